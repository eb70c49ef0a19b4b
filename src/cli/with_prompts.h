/* with_prompts.h - what rollout, generate and chat share: options of sampling and of prompts, and
 * the way from them to a tokenizer, a chat template and the services' own options. */
#ifndef GW_CLI_WITH_PROMPTS_H
#define GW_CLI_WITH_PROMPTS_H

#include "cli/with_model.h"
#include "service/rollout/rollout.h"

#include <math.h>

struct gw_prompting {
    /* options */
    struct gw_sampling sampling;
    struct gw_words stops;
    bool as_chat, no_think;
    const char *system, *date; /* NULL: not given */
    /* after gw_prompting_open */
    struct gw_runtime rt;
    struct gw_prompt_chat chat;
    json_t *chat_args;
};

/* Sampling of which nothing has been given, where the model's own is the default. */
#define GW_SAMPLING_UNSET                                                                          \
    { NAN, GW_COUNT_UNSET, NAN, NAN, NAN }

/* Rows of an option table for the struct gw_prompting `p`. */
#define GW_SAMPLING_OPTIONS(p)                                                                     \
    GW_OPT_REAL("temp", 0, &(p).sampling.temperature, 0, 1e4, "sampling temperature; 0: greedy"),  \
        GW_OPT_COUNT("top-k", 0, &(p).sampling.top_k, 0, INT32_MAX,                                \
                     "sample from the k likeliest tokens only; 0: off"),                           \
        GW_OPT_REAL("top-p", 0, &(p).sampling.top_p, 0, 1,                                         \
                    "nucleus sampling: keep the likeliest tokens of this total probability; "      \
                    "1: off"),                                                                     \
        GW_OPT_REAL("min-p", 0, &(p).sampling.min_p, 0, 1,                                         \
                    "drop tokens less likely than this fraction of the likeliest one; 0: off"),    \
        GW_OPT_REAL("repetition-penalty", 0, &(p).sampling.repetition_penalty, 0, 1e4,             \
                    "divide the logits of tokens that already occurred; 1: off"),                  \
        GW_OPT_WORDS("stop", 0, &(p).stops, "TEXT",                                                \
                     "stop a sample when its text contains this; repeatable")
#define GW_CHAT_OPTIONS(p)                                                                         \
    GW_OPT_STRING("system", 0, &(p).system, "TEXT", "system message put before the conversation"), \
        GW_OPT_FLAG("no-think", 0, &(p).no_think,                                                  \
                    "set enable_thinking to false for the chat template"),                         \
        GW_OPT_STRING("date", 0, &(p).date, "YYYY-MM-DD",                                          \
                      "today's date for the chat template (default: today)")

/* Looks at the options once they are parsed.  False after a message: *code is the exit status. */
bool gw_prompting_check(const struct gw_prompting *p, struct gw_cli *cli, int *code);
/* Parses "uniform:LO-HI". */
bool gw_prompting_lengths(const char *text, size_t *lo, size_t *hi);
/* Opens the runtime, finds the model, loads its tokenizer if it has one, and its template. */
enum gwen_status gw_prompting_open(struct gw_prompting *p, struct gw_cli *cli,
                                   struct gwen_err *err);
/* Takes what the command line does not say from generation_config.json, with a warning about
 * settings there that are not implemented. */
void gw_prompting_defaults(struct gw_prompting *p);
void gw_prompting_close(struct gw_prompting *p); /* a zeroed one is fine */

/* For rows without max_tokens; with `clamp` they are shortened to the context. */
struct gw_prompt_opts gw_prompting_prompts(const struct gw_prompting *p, size_t max_tokens,
                                           bool clamp);
struct gw_rollout_opts gw_prompting_rollout(const struct gw_prompting *p, size_t groups);
/* Logs what a rollout of n_prompts groups takes, and at -v how its sizes came about. */
void gw_prompting_log_plan(const struct gw_prompting *p, const struct gw_rollout_plan *plan,
                           size_t n_prompts, size_t groups);
/* Logs a line when the plan has fewer rows of prefill than were tuned. */
void gw_prompting_log_prefill(const struct gw_prompting *p, const struct gw_rollout_plan *plan);
/* "8 samples, 1234 tokens in 5.6 s, 220.4 tok/s ..." at -v, or with `loud` always. */
void gw_prompting_log_stats(const struct gw_prompting *p, const struct gw_rollout_stats *stats,
                            size_t slots, bool loud);

#endif

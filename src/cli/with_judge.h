/* with_judge.h - what commands with a judge share: its options, its model and cache, the way from
 * them to service/judge/judge.h. */
#ifndef GW_CLI_WITH_JUDGE_H
#define GW_CLI_WITH_JUDGE_H

#include "cli/with_model.h"
#include "service/judge/judge.h"

struct gw_judging {
    /* options */
    const char *rubric_path, *model, *cache_path, *date; /* NULL: not given */
    uint64_t cache_bytes;
    int mode;                 /* enum gw_judge_mode, in the words of GW_JUDGING_OPTIONS */
    size_t max_tokens, chunk; /* chunk 0: auto */
    bool no_sharing;
    /* after gw_judging_open */
    struct gw_runtime rt;
    struct gw_rubric rubric;
    struct tm now;
    struct gw_judge_cache *cache;
    /* after gw_judging_start */
    struct gw_judge *judge;
};

#define GW_JUDGING_INIT                                                                            \
    { .max_tokens = GW_JUDGE_MAX_TOKENS, .cache_bytes = UINT64_C(256) << 20 }

/* Rows of an option table for the struct gw_judging `j`. */
#define GW_JUDGING_OPTIONS(j)                                                                      \
    GW_OPT_CHOICE("judge-mode", 0, &(j).mode, "generate|logits",                                   \
                  "generate a verdict, or read the grade off the next token's logits"),            \
        GW_OPT_COUNT("max-tokens", 0, &(j).max_tokens, 1, 4096,                                    \
                     "most tokens of a generated verdict"),                                        \
        GW_OPT_AUTO("judge-chunk-size", 0, &(j).chunk, 1, 1 << 16, "responses judged together"),   \
        GW_OPT_BYTES("cache-max-bytes", 0, &(j).cache_bytes,                                       \
                     "size limit of the cache; the oldest verdicts are dropped"),                  \
        GW_OPT_STRING("date", 0, &(j).date, "YYYY-MM-DD",                                          \
                      "today's date for the chat template (default: today)")

/* Takes the defaults that the environment sets.  False after a message. */
bool gw_judging_environment(struct gw_judging *j, struct gw_cli *cli, int *code);
/* After parsing.  False after a message: *code is the exit status. */
bool gw_judging_check(struct gw_judging *j, struct gw_cli *cli, int *code);
/* Reads the rubric, finds the model and its tokenizer, opens the cache. */
enum gwen_status gw_judging_open(struct gw_judging *j, struct gw_cli *cli, struct gwen_err *err);
/* Makes j->judge, unless there is one; the weights are loaded when it is first asked. */
enum gwen_status gw_judging_start(struct gw_judging *j, enum gw_judge_mode mode,
                                  void (*look)(void *ctx, const struct gw_judge_look *look),
                                  void *look_ctx, struct gwen_err *err);
/* Logs what the judge did and frees it; does nothing where there is none. */
void gw_judging_stop(struct gw_judging *j);
void gw_judging_close(struct gw_judging *j);

#endif

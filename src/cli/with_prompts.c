/* with_prompts.c - see with_prompts.h. */
#include "cli/with_prompts.h"

#include "base/file.h"
#include "cli/date.h"
#include "service/rollout/generate.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

bool gw_prompting_check(const struct gw_prompting *p, struct gw_cli *cli, int *code) {
    const struct gw_sampling none = GW_SAMPLING_INIT;
    struct gw_sampling s = p->sampling;
    struct gwen_err err;
    struct tm date;
    if (isnan(s.temperature)) s.temperature = none.temperature;
    if (isnan(s.top_p)) s.top_p = none.top_p;
    if (isnan(s.min_p)) s.min_p = none.min_p;
    if (isnan(s.repetition_penalty)) s.repetition_penalty = none.repetition_penalty;
    *code = 0;
    if (gw_sampling_check(&s, &err) != GWEN_OK)
        *code = gw_cli_usage(cli, "%s", gw_cli_message(cli, &err));
    else if (p->system != NULL && !p->as_chat)
        *code = gw_cli_usage(cli, "--system needs --chat");
    else if (p->date != NULL && !gw_date_parse(p->date, &date))
        *code = gw_cli_usage(cli, "--date %s: expected a date as YYYY-MM-DD", p->date);
    return *code == 0;
}

bool gw_prompting_lengths(const char *text, size_t *lo, size_t *hi) {
    int used = 0;
    if (strspn(text, "uniform:0123456789-") != strlen(text) ||
        sscanf(text, "uniform:%7zu-%7zu%n", lo, hi, &used) != 2)
        return false;
    return text[used] == 0 && *lo >= 1 && *lo <= *hi;
}

/* The date was checked when the options were read. */
static struct tm date_of(const struct gw_prompting *p) {
    struct tm date = {0};
    time_t now = time(NULL);
    if (p->date == NULL || !gw_date_parse(p->date, &date)) localtime_r(&now, &date);
    return date;
}

enum gwen_status gw_prompting_open(struct gw_prompting *p, struct gw_cli *cli,
                                   struct gwen_err *err) {
    GW_TRY(gw_runtime_open(&p->rt, cli, err));
    GW_TRY(gw_runtime_find(&p->rt, err));
    p->chat_args = json_object();
    if (p->chat_args == NULL) return gw_nomem(err, 0, "template arguments");
    if (p->no_think && json_object_set_new(p->chat_args, "enable_thinking", json_false()) != 0)
        return gw_nomem(err, 0, "template arguments");
    if (!gw_tokenizer_exists(p->rt.dir.data)) return GWEN_OK;
    GW_TRY(gw_runtime_tokenizer(&p->rt, err));
    struct tm date = date_of(p);
    gw_prompt_chat_open(p->rt.tokenizer, &date, &p->chat);
    return GWEN_OK;
}

void gw_prompting_close(struct gw_prompting *p) {
    gw_prompt_chat_close(&p->chat);
    json_decref(p->chat_args);
    p->chat_args = NULL;
    gw_runtime_close(&p->rt);
}

/* Truncation asks for sampling: where the model's own default is greedy, giving --top-p and the
 * like without --temp turns it on. */
void gw_prompting_defaults(struct gw_prompting *p) {
    const struct gw_cli *cli = p->rt.cli;
    const struct gw_generation_config *g = &p->rt.generation;
    struct gw_sampling own;
    gw_generation_sampling(g, &own);
    bool truncates =
        gw_cli_given(cli, "top-k") || gw_cli_given(cli, "top-p") || gw_cli_given(cli, "min-p");
    if (own.temperature == 0 && truncates)
        own.temperature = g->has_temperature ? g->temperature : 1;
    if (!gw_cli_given(cli, "temp")) p->sampling.temperature = own.temperature;
    if (!gw_cli_given(cli, "top-k")) p->sampling.top_k = own.top_k;
    if (!gw_cli_given(cli, "top-p")) p->sampling.top_p = own.top_p;
    if (!gw_cli_given(cli, "min-p")) p->sampling.min_p = own.min_p;
    if (!gw_cli_given(cli, "repetition-penalty"))
        p->sampling.repetition_penalty = own.repetition_penalty;
    if (g->unsupported[0] != 0)
        gw_log(&cli->log, GWEN_LOG_WARNING,
               "generation_config.json: %s is not implemented and left out", g->unsupported);
    gw_log(&cli->log, GWEN_LOG_DEBUG,
           "sampling: temp %g, top-k %zu, top-p %g, min-p %g, repetition-penalty %g",
           p->sampling.temperature, p->sampling.top_k, p->sampling.top_p, p->sampling.min_p,
           p->sampling.repetition_penalty);
}

struct gw_prompt_opts gw_prompting_prompts(const struct gw_prompting *p, size_t max_tokens,
                                           bool clamp) {
    return (struct gw_prompt_opts){.tokenizer = p->rt.tokenizer,
                                   .chat = &p->chat,
                                   .chat_args = p->chat_args,
                                   .as_chat = p->as_chat,
                                   .system = p->system,
                                   .vocab_size = p->rt.cfg.vocab_size,
                                   .context = p->rt.cfg.max_position_embeddings,
                                   .max_tokens = max_tokens,
                                   .clamp = clamp};
}

struct gw_rollout_opts gw_prompting_rollout(const struct gw_prompting *p, size_t groups) {
    return (struct gw_rollout_opts){.groups = groups,
                                    .sampling = p->sampling,
                                    .seed = p->rt.cli->common.seed,
                                    .stream = GW_STREAM_ROLLOUT,
                                    .eos = p->rt.eos,
                                    .stops = p->stops.items,
                                    .n_stops = p->stops.n};
}

void gw_prompting_log_plan(const struct gw_prompting *p, const struct gw_rollout_plan *rollout,
                           size_t n_prompts, size_t groups) {
    const struct gw_engine_opts *e = &rollout->options.engine;
    const struct gw_log *log = &p->rt.cli->log;
    struct gw_str s = {0};
    gw_runtime_put_plan(&p->rt, &rollout->options, &s);
    gw_str_printf(&s, "; %zu prompts x %zu, %zu at a time", n_prompts, groups, e->slots);
    if (!s.failed) gw_log(log, GWEN_LOG_INFO, "%s", s.data);
    gw_str_free(&s);
    gw_log(log, GWEN_LOG_DEBUG, "rollout batch size %zu: %s", e->slots, rollout->why);
    gw_log(log, GWEN_LOG_DEBUG, "longest prompt %zu tokens, at most %zu new ones, %zu KV blocks",
           e->max_prompt, e->max_new, e->n_blocks);
}

void gw_prompting_log_prefill(const struct gw_prompting *p, const struct gw_rollout_plan *plan) {
    const size_t rows = plan->options.engine.prefill_rows;
    if (rows < plan->wanted_rows)
        gw_log(&p->rt.cli->log, GWEN_LOG_DEBUG,
               "prefill: %zu rows, as there is no memory for the %zu that were tuned", rows,
               plan->wanted_rows);
}

void gw_prompting_log_stats(const struct gw_prompting *p, const struct gw_rollout_stats *stats,
                            size_t slots, bool loud) {
    double seconds = stats->seconds > 0 ? stats->seconds : 1e-9;
    struct gw_str s = {0};
    gw_str_printf(&s, "%zu samples, %" PRIu64 " tokens in %.1f s, %.1f tok/s", stats->samples,
                  stats->engine.new_tokens, stats->seconds,
                  (double)stats->engine.new_tokens / seconds);
    gw_str_printf(&s, ", %" PRIu64 " tokens prefilled", stats->engine.prefill_tokens);
    /* With a slot for each, samples wait for their prompts only. */
    if (stats->samples > slots)
        gw_str_printf(&s, ", %.1f %% of %zu slots busy while samples waited",
                      100 * stats->occupancy, slots);
    enum gwen_log_level level = loud ? GWEN_LOG_INFO : GWEN_LOG_DEBUG;
    const struct gw_engine_stats *e = &stats->engine;
    if (!s.failed) gw_log(&p->rt.cli->log, level, "%s", s.data);
    gw_str_free(&s);
    if (e->given_back > 0)
        gw_log(&p->rt.cli->log, level,
               "memory was short: %" PRIu64 " KV blocks given back, samples begun anew %" PRIu64
               " times",
               e->given_back, e->restarted);
    gw_log(&p->rt.cli->log, GWEN_LOG_DEBUG,
           "KV blocks: %" PRIu64 " in use, %" PRIu64 " touched at most", e->peak_blocks,
           e->touched_blocks);
}

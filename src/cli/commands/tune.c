/* tune.c - gwen-cpu tune: measures what is fastest on this machine with this model, in the
 * memory there is, and keeps it for the other commands. */
#include "cli/output.h"
#include "cli/with_prompts.h"
#include "cli/with_tuned.h"

#include "base/clock.h"
#include "base/file.h"
#include "service/judge/sizes.h"
#include "service/tune/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tune {
    struct gw_cli *cli;
    struct gw_prompting p;
    size_t prompt_tokens, max_tokens, groups, n_prompts;
    const char *prompts_path, *lengths, *budget_text, *plot_path;
    bool overwrite;
    double seconds;
    struct gw_counts try;
    uint64_t start_ns;
    struct gw_prompts prompts;
    struct gw_rollout_opts opts;
    struct gw_plan_options base;
    struct gw_tune_result result;
    size_t judge_chunk; /* of the longest texts there are, with a usual rubric; 0: none fits */
};

/* A rubric as `bench judge` has it: tokens of its texts with one criterion, and criteria. */
enum { RUBRIC_TOKENS = 200, RUBRIC_CRITERIA = 3 };
static const char NO_JUDGE[] = "a response with a rubric does not fit into memory or context";

/* --- options -------------------------------------------------------------------------------- */

/* "60", "60s" or "2m". */
static bool parse_seconds(const char *text, double *seconds) {
    char *end;
    *seconds = strtod(text, &end);
    if (end == text || !(*seconds >= 0 && *seconds <= 86400)) return false;
    if (strcmp(end, "m") == 0) *seconds *= 60;
    return *end == '\0' || strcmp(end, "s") == 0 || strcmp(end, "m") == 0;
}

/* --- the work that is tuned for ------------------------------------------------------------- */

static enum gwen_status make_prompts(struct tune *t, struct gwen_err *err) {
    const size_t context = t->p.rt.cfg.max_position_embeddings;
    if (t->prompts_path != NULL) {
        const struct gw_prompt_opts o = gw_prompting_prompts(&t->p, t->max_tokens, true);
        return gw_prompts_read(t->prompts_path, &o, &t->prompts, err);
    }
    if (t->prompt_tokens + t->max_tokens > context)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "%zu tokens exceed the model's context of %zu: lower --max-tokens or "
                       "--prompt-tokens",
                       t->prompt_tokens + t->max_tokens, context);
    t->prompts = (struct gw_prompts){.n = t->n_prompts,
                                     .n_tokens = t->n_prompts * t->prompt_tokens,
                                     .max_prompt = t->prompt_tokens,
                                     .max_tokens = t->max_tokens};
    return GWEN_OK;
}

static enum gwen_status prepare(struct tune *t, struct gwen_err *err) {
    struct gw_runtime *rt = &t->p.rt;
    const size_t lo = t->opts.length_lo, hi = t->opts.length_hi;
    if (t->prompts_path != NULL) {
        GW_TRY(gw_prompting_open(&t->p, t->cli, err));
    } else {
        GW_TRY(gw_runtime_open(rt, t->cli, err));
        GW_TRY(gw_runtime_find(rt, err));
    }
    GW_TRY(make_prompts(t, err));
    t->opts = gw_prompting_rollout(&t->p, t->groups);
    t->opts.length_lo = lo;
    t->opts.length_hi = hi;
    t->base = gw_runtime_plan(rt);
    return GWEN_OK;
}

/* Loads the model if at least one sample at a time fits. */
static enum gwen_status load(struct tune *t, struct gwen_err *err) {
    struct gw_rollout_plan least;
    GW_TRY(gw_rollout_plan(&t->base, NULL, &t->prompts, &t->opts, 1, t->p.rt.budget, &least, err));
    return gw_runtime_load(&t->p.rt, &least.options, err);
}

static struct gw_tune_opts tune_opts(struct tune *t) {
    const struct gw_runtime *rt = &t->p.rt;
    struct gw_tune_opts o = {.model = rt->model,
                             .base = t->base,
                             .pool = rt->pool,
                             .hw = &rt->hw,
                             .bind = (enum gw_bind)t->cli->common.bind,
                             .budget_bytes = rt->budget,
                             .seconds = t->seconds,
                             .start_ns = t->start_ns,
                             .prompts = &t->prompts,
                             .rollout = &t->opts,
                             .progress = gw_cli_progress,
                             .progress_user = t->cli,
                             .log = &t->cli->log};
    const size_t n = (size_t)rt->n_threads, cpus = (size_t)rt->hw.n_pus;
    const size_t quota = rt->hw.cpu_quota >= 1 ? (size_t)rt->hw.cpu_quota : cpus;
    o.threads[o.n_threads++] = n;
    if (t->cli->common.threads != 0) return o;
    if (n > 1) o.threads[o.n_threads++] = n / 2;
    if (GW_MIN(cpus, quota) > n) o.threads[o.n_threads++] = GW_MIN(cpus, quota);
    return o;
}

/* --- output --------------------------------------------------------------------------------- */

static void put_size(struct gw_str *s, size_t value) {
    if (value > 0)
        gw_str_printf(s, "%zu", value);
    else
        gw_str_puts(s, "null");
}

/* Why something is null, if it is. */
static void put_reason(const struct tune *t, struct gw_str *s) {
    const struct gw_tune_train *train = &t->result.train;
    struct gw_str reason = {0};
    if (train->micro_batch == 0)
        gw_str_printf(&reason, "train_micro_batch: %s", gw_cli_message(t->cli, &train->why));
    if (t->judge_chunk == 0)
        gw_str_printf(&reason, "%sjudge_chunk: %s", reason.len > 0 ? "; " : "", NO_JUDGE);
    if (reason.len > 0) {
        gw_str_puts(s, ",\"reason\":");
        gw_str_put_json(s, reason.failed ? "" : reason.data, reason.failed ? 0 : reason.len);
    }
    gw_str_free(&reason);
}

static void put_final(const struct tune *t, const char *path, struct gw_str *s) {
    const struct gw_tune_result *r = &t->result;
    const struct gw_tune_candidate *c = &r->candidates[r->chosen];
    gw_str_printf(s, "{\"rollout_batch_size\":%zu,\"train_micro_batch\":", c->choice.batch);
    put_size(s, r->train.micro_batch);
    gw_str_puts(s, ",\"judge_chunk\":");
    put_size(s, t->judge_chunk);
    put_reason(t, s);
    gw_str_printf(s,
                  ",\"threads\":%zu,\"tok_s\":%.6g,\"tok_s_std\":%.4g,"
                  "\"memory_bytes\":%zu,\"budget_bytes\":%zu,\"prefill_rows\":%zu,"
                  "\"flops_s\":%.6g,\"bytes_s\":%.6g,\"seconds\":%.4g,\"linear\":[",
                  r->threads, c->choice.tok_s, c->tok_s_std, c->choice.bytes, t->p.rt.budget,
                  r->prefill_rows, r->flops_s, r->bytes_s, r->seconds);
    for (size_t i = 0; i < GW_LINEAR_RANGES; i++)
        gw_str_printf(s, "%s[%u,%u,%u]", i > 0 ? "," : "", r->linear.ranges[i].panels,
                      r->linear.ranges[i].block_bytes, r->linear.ranges[i].ahead_bytes);
    gw_str_puts(s, "],\"profile\":");
    if (path != NULL)
        gw_str_put_json(s, path, strlen(path));
    else
        gw_str_puts(s, "null");
    gw_str_puts(s, "}\n");
}

static void put_train(const struct tune *t, struct gw_str *s) {
    const struct gw_tune_train *r = &t->result.train;
    if (r->micro_batch == 0) {
        gw_str_printf(s, "train micro-batch: %s\n", gw_cli_message(t->cli, &r->why));
        return;
    }
    gw_str_printf(s, "train micro-batch %zu; a layer's passes of 8 samples take", r->micro_batch);
    for (size_t i = 0; i < r->n; i++)
        gw_str_printf(s, "%s %.3f s (%zu)", i > 0 ? "," : "", r->choices[i].seconds,
                      r->choices[i].micro_batch);
    gw_str_putc(s, '\n');
}

static void put_text(const struct tune *t, const char *path, struct gw_str *s) {
    const struct gw_tune_result *r = &t->result;
    const struct gw_tune_candidate *c = &r->candidates[r->chosen];
    gw_tune_put_table(r, s);
    gw_str_printf(s,
                  "rollout batch size %zu: %.1f tok/s (std %.1f), %zu threads, %zu rows of "
                  "prefill; %.1f s\n",
                  c->choice.batch, c->choice.tok_s, c->tok_s_std, r->threads, r->prefill_rows,
                  r->seconds);
    put_train(t, s);
    if (t->judge_chunk > 0)
        gw_str_printf(s, "judge chunk %zu responses\n", t->judge_chunk);
    else
        gw_str_printf(s, "judge chunk: %s\n", NO_JUDGE);
    if (path != NULL) gw_str_printf(s, "kept in %s\n", path);
}

static enum gwen_status plot(const struct tune *t, struct gwen_err *err) {
    struct gw_str s = {0}, title = {0};
    gw_str_printf(&title, "%s, %s, %zu threads: prompts of %zu, %zu samples each, up to %zu tokens",
                  gw_path_base(t->p.rt.dir.data), gw_dtype_torch_name(t->p.rt.dtype),
                  t->result.threads, t->prompts.n_tokens / t->prompts.n, t->groups,
                  t->prompts.max_tokens);
    gw_tune_put_svg(&t->result, t->p.rt.budget, title.failed ? "" : title.data, &s);
    enum gwen_status status = s.failed ? gw_nomem(err, s.len, "the plot")
                                       : gw_file_write(t->plot_path, s.data, s.len, err);
    gw_str_free(&title);
    gw_str_free(&s);
    return status;
}

static struct gw_tune_profile profile_of(const struct tune *t) {
    const struct gw_tune_result *r = &t->result;
    const struct gw_rollout_choice *c = &r->candidates[r->chosen].choice;
    return (struct gw_tune_profile){.threads = r->threads,
                                    .prefill_rows = r->prefill_rows,
                                    .train_micro_batch = r->train.micro_batch,
                                    .linear = r->linear,
                                    .flops_s = r->flops_s,
                                    .bytes_s = r->bytes_s,
                                    .has_curve = r->speed.source == GW_SPEED_CURVE,
                                    .curve = r->speed.curve,
                                    .n_prompts = t->prompts.n,
                                    .prompt_tokens = t->prompts.n_tokens / t->prompts.n,
                                    .max_tokens = t->prompts.max_tokens,
                                    .groups = t->groups,
                                    .budget_bytes = t->p.rt.budget,
                                    .rollout_batch = c->batch,
                                    .tok_s = c->tok_s};
}

static enum gwen_status report(struct tune *t, struct gwen_err *err) {
    const struct gw_tune_profile profile = profile_of(t);
    struct gw_str s = {0}, path = {0};
    enum gwen_status status = gw_tuned_write(&t->p.rt, &profile, &path, err);
    const char *kept = status == GWEN_OK ? path.data : NULL;
    gw_bar_clear(&t->cli->bar);
    if (status != GWEN_OK) /* what was found is worth more than the file */
        gw_log(&t->cli->log, GWEN_LOG_WARNING, "the profile could not be kept: %s",
               gw_cli_message(t->cli, err));
    if (t->cli->common.json) {
        gw_tune_put_candidates(&t->result, &s);
        put_final(t, kept, &s);
    } else {
        put_text(t, kept, &s);
    }
    status = t->plot_path != NULL ? plot(t, err) : GWEN_OK;
    if (status == GWEN_OK) status = gw_cli_put(t->cli, &s, err);
    gw_str_free(&s);
    gw_str_free(&path);
    return status;
}

/* Nothing fits: programs are told why, too. */
static enum gwen_status report_nothing(struct tune *t, const struct gwen_err *why) {
    struct gw_str s = {0}, reason = {0};
    struct gwen_err err;
    gw_str_printf(&reason, "rollout_batch_size, train_micro_batch, judge_chunk: %s",
                  gw_cli_message(t->cli, why));
    gw_str_puts(&s, "{\"rollout_batch_size\":null,\"train_micro_batch\":null,\"judge_chunk\":null,"
                    "\"reason\":");
    gw_str_put_json(&s, reason.failed ? "" : reason.data, reason.failed ? 0 : reason.len);
    gw_str_printf(&s,
                  ",\"threads\":%d,\"tok_s\":null,\"memory_bytes\":null,\"budget_bytes\":%zu}\n",
                  t->p.rt.n_threads, t->p.rt.budget);
    enum gwen_status status = gw_cli_put(t->cli, &s, &err);
    gw_str_free(&reason);
    gw_str_free(&s);
    return status;
}

/* --- real runs of given sizes --------------------------------------------------------------- */

static bool go_on(void *ctx) {
    const struct tune *t = ctx;
    const struct gwen_progress progress = {.what = "run", .unit = "s"};
    return gw_cli_progress(t->cli, &progress);
}

static enum gwen_status try_one(struct tune *t, const struct gw_queue *queue, size_t batch,
                                struct gw_str *s, struct gwen_err *err) {
    const struct gw_runtime *rt = &t->p.rt;
    struct gw_rollout_plan plan;
    struct gw_plan made;
    struct gw_tune_real real;
    GW_TRY(gw_rollout_plan(&t->base, NULL, &t->prompts, &t->opts, batch, rt->budget, &plan, err));
    gw_plan_make(&plan.options, &made);
    GW_TRY(gw_tune_real(rt->model, rt->pool, queue, &plan, 0, go_on, t, &real, err));
    if (t->cli->common.json)
        gw_str_printf(s,
                      "{\"what\":\"run\",\"rollout_batch_size\":%zu,\"tok_s\":%.6g,"
                      "\"memory_bytes\":%zu,\"new_tokens\":%" PRIu64 ",\"steps\":%" PRIu64 "}\n",
                      batch, real.tok_s, made.total, real.stats.new_tokens, real.stats.steps);
    else
        gw_str_printf(s, "batch %5zu | %8.1f tok/s | %" PRIu64 " tokens, %" PRIu64 " steps\n",
                      batch, real.tok_s, real.stats.new_tokens, real.stats.steps);
    return gw_cli_put(t->cli, s, err);
}

static enum gwen_status try_all(struct tune *t, struct gwen_err *err) {
    const struct gw_queue_opts o = gw_rollout_queue(&t->prompts, &t->opts);
    struct gw_queue *queue;
    struct gw_str s = {0};
    GW_TRY(gw_queue_create(&o, &queue, err));
    enum gwen_status status = GWEN_OK;
    for (size_t i = 0; i < t->try.n && status == GWEN_OK; i++)
        status = try_one(t, queue, t->try.items[i], &s, err);
    gw_queue_free(queue);
    gw_str_free(&s);
    return status;
}

/* --- the command ---------------------------------------------------------------------------- */

static enum gwen_status tune(struct tune *t, struct gwen_err *err) {
    GW_TRY(prepare(t, err));
    enum gwen_status status = load(t, err);
    if (status == GWEN_ERR_NOMEM && t->cli->common.json) report_nothing(t, err);
    GW_TRY(status);
    if (t->try.n > 0) return try_all(t, err);
    const struct gw_tune_opts o = tune_opts(t);
    GW_TRY(gw_tune_run(&o, &t->result, err));
    t->judge_chunk = gw_judge_auto_chunk(
        &t->base, t->p.rt.budget, RUBRIC_TOKENS + t->prompts.max_prompt + t->prompts.max_tokens,
        RUBRIC_CRITERIA);
    return report(t, err);
}

static const char about[] =
    "Finds out what is fastest on this machine with this model: how products are cut,\n"
    "how many threads, how many prompt tokens are computed beside a decode step, and how\n"
    "many samples are decoded together in the memory there is; and how many go through\n"
    "the model together in training.  How many responses judge takes at a time follows\n"
    "from the memory.  The work is described by\n"
    "--prompt-tokens, --max-tokens, --groups and --queue, or by a file of prompts as for\n"
    "rollout.  Steps are timed, the whole queue with its ragged end is played through at\n"
    "each batch size, and the best ones are run for real.  Of sizes that differ by less\n"
    "than the noise the smallest is taken.\n"
    "\n"
    "What was found is kept in $XDG_CACHE_HOME/gwen-cpu/tune (~/.cache) for this machine,\n"
    "model shape, dtype and version.  Every command uses it and says so at -v;\n"
    "--no-tune leaves it aside.  It changes speed, never a result.";

int gw_cmd_tune(struct gw_cli *cli, int argc, char **argv) {
    struct tune t = {.cli = cli,
                     .p = {.sampling = GW_SAMPLING_INIT},
                     .prompt_tokens = 128,
                     .max_tokens = 256,
                     .groups = 8,
                     .n_prompts = 8,
                     .budget_text = "60s",
                     .start_ns = gw_now_ns()};
    const struct gw_option options[] = {
        GW_OPT_COUNT("prompt-tokens", 0, &t.prompt_tokens, 1, 1 << 20, "prompt length"),
        GW_OPT_COUNT("max-tokens", 0, &t.max_tokens, 1, 1 << 20, "most tokens of a sample"),
        GW_OPT_COUNT("groups", 'n', &t.groups, 1, 65536, "samples of each prompt"),
        GW_OPT_COUNT("queue", 0, &t.n_prompts, 1, 1 << 20, "number of prompts of a rollout"),
        GW_OPT_STRING("prompts", 'p', &t.prompts_path, "FILE",
                      "take number and lengths of prompts from this JSONL"),
        GW_OPT_STRING("lengths", 0, &t.lengths, "uniform:LO-HI",
                      "limits of samples, as for rollout (else any length is as likely)"),
        GW_OPT_STRING("budget", 0, &t.budget_text, "TIME", "time limit, such as 60s or 2m"),
        GW_OPT_STRING("plot", 0, &t.plot_path, "FILE.svg",
                      "draw throughput and memory by batch size"),
        GW_OPT_OVERWRITE(&t.overwrite),
        GW_OPT_COUNTS("try", 0, &t.try, 1, 65536,
                      "only measure these batch sizes, each with a whole rollout"),
        GW_OPT_FLAG("chat", 0, &t.p.as_chat, "prompts are user messages"),
        GW_CHAT_OPTIONS(t.p),
    };
    const struct gw_cli_spec spec = {"--model DIR [options]", about, options,
                                     GW_ARRAY_LEN(options),   0,     true};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
    if (!parse_seconds(t.budget_text, &t.seconds))
        return gw_cli_usage(cli, "--budget %s: expected a time such as 60s", t.budget_text);
    if (t.lengths != NULL && !gw_prompting_lengths(t.lengths, &t.opts.length_lo, &t.opts.length_hi))
        return gw_cli_usage(cli, "--lengths %s: expected uniform:LO-HI", t.lengths);
    if (!gw_prompting_check(&t.p, cli, &code)) return code;
    /* What is measured must not depend on what was found before; --try runs as it says. */
    if (t.try.n == 0) cli->common.no_tune = true;
    struct gwen_err err;
    enum gwen_status status = gw_output_check(cli, "plot", t.plot_path, t.overwrite, &err);
    if (status == GWEN_OK) status = tune(&t, &err);
    if (t.prompts_path != NULL) gw_prompts_free(&t.prompts);
    gw_prompting_close(&t.p);
    return gw_cli_end(cli, status, &err);
}

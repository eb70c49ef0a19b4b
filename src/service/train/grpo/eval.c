/* eval.c - evaluation within a GRPO run, of prompts that are not trained on.
 *
 * Every eval_steps num_generations samples of each prompt are rewarded as in training; in the end,
 * with eval_full_sweep, all prompts are swept as by `eval` (eval.h), into OUT/eval.jsonl.  Draws
 * come from a stream of their own, so training goes as it would without.
 *
 * What eval_steps ask for belongs to the step and stands in its row of metrics.jsonl; cut short,
 * the step waits in a checkpoint until it has been evaluated.  The sweep may take long: it begins
 * once everything else is saved, can be resumed, and has a row of its own.
 */
#include "service/train/grpo/impl.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"
#include "service/eval/eval.h"
#include "service/reward/rewarded.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct evaluation {
    struct gw_grpo *grpo;
    size_t n, n_rewards;     /* samples */
    float *scores, *rewards; /* [n][n_rewards], [n] */
    uint64_t tokens, clipped;
};

size_t gw_grpo_eval_groups(const struct gw_train_config *c, bool full_sweep) {
    return c->num_generations + full_sweep;
}

size_t gw_grpo_eval_bytes(const struct gw_train_config *c, const struct gw_prompts *prompts,
                          size_t n_rewards) {
    if (prompts->n == 0) return 0;
    return prompts->n * (c->num_generations + 1) *
               (sizeof(struct gw_eval_cell) + (n_rewards + 1) * sizeof(float)) +
           gw_rewarded_bytes(prompts, c->num_generations + 1, n_rewards);
}

/* --- every eval_steps ----------------------------------------------------------------------- */

static enum gwen_status take_sample(void *ctx, const struct gw_rewarded *s, struct gwen_err *err) {
    struct evaluation *e = ctx;
    const size_t i = s->prompt_id * e->grpo->size.group + s->sample_id;
    (void)err;
    e->tokens += s->n;
    e->clipped += s->finish == GW_FINISH_LENGTH;
    memcpy(e->scores + i * e->n_rewards, s->scores, e->n_rewards * sizeof *e->scores);
    return GWEN_OK;
}

static void put_metrics(struct evaluation *e, double seconds) {
    struct gw_metrics *m = &e->grpo->eval;
    const struct gw_rewards *rewards = e->grpo->opts->rewards;
    gw_rewards_combine(rewards, e->scores, e->n, e->rewards);
    for (size_t k = 0; k < e->n_rewards; k++) {
        struct gw_str name = {0};
        gw_str_printf(&name, "eval/reward/func/%s", gw_rewards_name(rewards, k));
        if (!name.failed)
            gw_metrics_put(m, name.data, gw_moments(e->scores + k, e->n, e->n_rewards).mean);
        m->failed |= name.failed;
        gw_str_free(&name);
    }
    const struct gw_moments all = gw_moments(e->rewards, e->n, 1);
    gw_metrics_put(m, "eval/reward", all.mean);
    gw_metrics_put(m, "eval/reward_std", all.std);
    gw_metrics_put(m, "eval/completions/mean_length", (double)e->tokens / (double)e->n);
    gw_metrics_put(m, "eval/completions/clipped_ratio", (double)e->clipped / (double)e->n);
    gw_metrics_put(m, "time/eval_s", seconds);
}

static enum gwen_status run(struct evaluation *e, struct gwen_err *err) {
    struct gw_grpo *g = e->grpo;
    const struct gw_rewarded_opts rewarded = {.rewards = g->opts->rewards,
                                              .tokenizer = g->opts->tokenizer,
                                              .groups = g->size.group,
                                              .numeric_class = g->opts->numeric_class,
                                              .ctx = e,
                                              .take = take_sample,
                                              .progress = g->opts->progress,
                                              .progress_user = g->opts->progress_user};
    double score_s;
    struct gw_rollout_opts opts = g->opts->rollout;
    opts.stream = GW_STREAM_EVAL;
    opts.step = g->learner->step;
    GW_TRY(gw_rollout_redraw(g->sampler, &opts, err));
    enum gwen_status status =
        gw_rewarded_run(g->sampler, g->opts->eval_prompts, &rewarded, &score_s, NULL, err);
    struct gwen_err ignored;
    gw_rollout_redraw(g->sampler, &g->opts->rollout, &ignored);
    return status;
}

enum gwen_status gw_grpo_evaluate(struct gw_grpo *g, struct gwen_err *err) {
    const uint64_t start = gw_now_ns(), every = g->run->config->eval_steps;
    gw_metrics_clear(&g->eval);
    if (g->opts->eval_prompts == NULL || every == 0 || g->learner->step % every != 0)
        return GWEN_OK;
    struct evaluation e = {.grpo = g,
                           .n = g->opts->eval_prompts->n * g->size.group,
                           .n_rewards = gw_rewards_count(g->opts->rewards)};
    e.scores = malloc(e.n * e.n_rewards * sizeof *e.scores);
    e.rewards = malloc(e.n * sizeof *e.rewards);
    enum gwen_status status = e.scores == NULL || e.rewards == NULL
                                  ? gw_nomem(err, e.n * sizeof *e.scores, "an evaluation")
                                  : run(&e, err);
    if (status == GWEN_OK) put_metrics(&e, gw_seconds_since(start));
    free(e.scores);
    free(e.rewards);
    return status;
}

enum gwen_status gw_grpo_tell_evaluation(const struct gw_grpo *g, struct gwen_err *err) {
    const struct gw_train_host *host = g->run->host;
    struct gw_str line = {0};
    if (g->eval.n == 0 || host->json) return GWEN_OK;
    gw_str_printf(&line, "eval %" PRIu64 "/%" PRIu64 " | reward %.4g | length %.1f | %.1fs\n",
                  g->run->state.step, g->run->total_steps, gw_metrics_get(&g->eval, "eval/reward"),
                  gw_metrics_get(&g->eval, "eval/completions/mean_length"),
                  gw_metrics_get(&g->eval, "time/eval_s"));
    enum gwen_status status = line.failed ? gw_nomem(err, line.len, "a line")
                                          : host->say(host->ctx, line.data, line.len, err);
    gw_str_free(&line);
    return status;
}

/* --- the sweep in the end ------------------------------------------------------------------- */

struct sweep {
    struct gw_grpo *grpo;
    struct gw_rollout_opts opts;
    struct gw_str path;
    struct gw_rollout_file *file;
    struct gw_eval_result result;
    struct gw_eval_summary summary;
    uint64_t settings;
};

/* Goes on with what there is of this very sweep, and begins anew over that of another. */
static enum gwen_status open_file(struct sweep *s, const struct gw_provenance *from, bool *complete,
                                  struct gwen_err *err) {
    const struct gw_log *log = s->grpo->run->host->log;
    const size_t n = s->grpo->opts->eval_prompts->n;
    s->settings = gw_provenance_hash(from);
    *complete = gw_eval_result_complete(s->path.data, s->settings, &s->result);
    if (*complete) return GWEN_OK;
    enum gwen_status status = gw_provenance_open(from, s->path.data, GW_PART_RESUME, n,
                                                 s->opts.groups, log, &s->file, err);
    if (status != GWEN_ERR_ARGUMENT) return status;
    return gw_provenance_open(from, s->path.data, GW_PART_OVERWRITE, n, s->opts.groups, log,
                              &s->file, err);
}

static enum gwen_status sample_all(struct sweep *s, struct gwen_err *err) {
    const struct gw_grpo_run_opts *o = s->grpo->opts;
    const struct gw_eval_opts eval = {.k = s->opts.groups - 1,
                                      .rewards = o->rewards,
                                      .file = s->file,
                                      .settings = s->settings,
                                      .numeric_class = o->numeric_class,
                                      .tokenizer = o->tokenizer,
                                      .progress = o->progress,
                                      .progress_user = o->progress_user};
    double generate_s, score_s;
    GW_TRY(gw_rollout_redraw(s->grpo->sampler, &s->opts, err));
    GW_TRY(gw_eval_run(s->grpo->sampler, o->eval_prompts, &eval, &s->result, &generate_s, &score_s,
                       NULL, err));
    GW_TRY(gw_rollout_file_finish(s->file, err));
    gw_eval_result_free(&s->result);
    GW_TRY(gw_eval_result_read(s->path.data, &s->result, err));
    GW_TRY(gw_eval_summarize(&s->result, s->opts.seed, &s->summary, err));
    s->summary.generate_s = generate_s;
    s->summary.score_s = score_s;
    return GWEN_OK;
}

static enum gwen_status tell_sweep(const struct sweep *s, struct gwen_err *err) {
    struct gw_metrics m = {0};
    gw_eval_put_metrics(&m, &s->summary);
    enum gwen_status status = gw_train_run_add(s->grpo->run, &m, err);
    gw_metrics_free(&m);
    gw_log(s->grpo->run->host->log, GWEN_LOG_INFO,
           "eval: accuracy %.4g, mean of %zu samples %.4g, pass %.4g; %s",
           gw_eval_summary_get(&s->summary, "accuracy"), s->summary.k,
           gw_eval_summary_get(&s->summary, "mean_at_k"),
           gw_eval_summary_get(&s->summary, "pass_at_k"), s->path.data);
    return status;
}

static enum gwen_status sweep(struct sweep *s, struct gwen_err *err) {
    const struct gw_grpo *g = s->grpo;
    const struct gw_grpo_run_opts *o = g->opts;
    struct gw_provenance from = {0};
    bool complete = false;
    s->opts = o->rollout;
    gw_eval_rollout_opts(&s->opts, g->size.group);
    GW_TRY(gw_path_join(&s->path, g->run->dir, GW_EVAL_FILE, err));
    GW_TRY(gw_eval_result_new(GW_EVAL_SAMPLES, o->eval_prompts->n, g->size.group, &s->result, err));
    enum gwen_status status =
        gw_provenance_model(&from, g->learner->model, o->pool, o->numeric_class, o->tokenizer, err);
    gw_eval_provenance(&from, &s->opts, o->rewards, o->eval_prompts);
    /* What a command or a judge is, the run knows. */
    const struct gw_str *origin = &g->run->state.origin;
    if (!gw_rewards_built_in(o->rewards, true))
        gw_provenance_add(&from, "run", "%016" PRIx64, gw_hash64(origin->data, origin->len));
    if (status == GWEN_OK) status = open_file(s, &from, &complete, err);
    gw_provenance_free(&from);
    GW_TRY(status);
    GW_TRY(complete ? gw_eval_summarize(&s->result, s->opts.seed, &s->summary, err)
                    : sample_all(s, err));
    return tell_sweep(s, err);
}

enum gwen_status gw_grpo_sweep(struct gw_grpo *g, struct gwen_err *err) {
    struct sweep s = {.grpo = g};
    if (!g->opts->eval_full_sweep || g->run->added) return GWEN_OK;
    enum gwen_status status = sweep(&s, err);
    gw_rollout_file_close(s.file);
    gw_eval_result_free(&s.result);
    gw_str_free(&s.path);
    return status;
}

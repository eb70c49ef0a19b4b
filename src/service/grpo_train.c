/* grpo_train.c - see grpo_train.h. */
#include "service/grpo_train.h"

#include "base/clock.h"
#include "base/file.h"
#include "service/sft_data.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One completion of the step. */
struct completion {
    size_t n;
    enum gw_finish finish;
    struct gw_str text, row; /* row: its line, to which reward and advantage are added */
};

struct grpo {
    struct gw_train_run *run;
    struct gw_learner *learner;
    const struct gw_grpo_run_opts *o;
    struct gw_rollout *rollout;
    struct gw_grpo_opts loss_opts;
    size_t group, n_groups, n; /* completions: n = group * n_groups */
    size_t longest, width;     /* tokens of a completion; of prompt and completion */
    size_t *order;             /* [prompts->n] of the epoch */
    uint64_t epoch;
    /* one step */
    struct gw_prompts batch; /* rows [n_groups], borrowed from the data */
    size_t *chosen;          /* [n_groups] their numbers in the data */
    struct gw_str *prompt_texts;
    struct completion *completions; /* [n] */
    struct gw_train_group *groups;
    struct gw_train_sample *samples;
    int32_t *ids;                             /* [n][longest] */
    float *old, *now, *entropy, *slope, *ref; /* [n][longest] */
    int32_t *sequences;                       /* [n][width], for the reference */
    struct gw_score_request *requests;
    struct gw_reward_input *inputs;
    float *scores, *rewards; /* [n][count], [n] */
    double *filled, *advantages;
    struct gw_grpo_batch *batches; /* [accumulation steps] */
    struct gw_grpo_stats *stats;   /* likewise */
    size_t sampled, trained, differing;
    double loss, frac_zero_std;
    struct gw_rollout_stats rollout_stats;
    double rollout_s, reward_s, reference_s;
};

/* --- options ---------------------------------------------------------------------------------- */

enum gwen_status gw_grpo_check(const struct gw_train_config *c, struct gwen_err *err) {
    const char *what = NULL;
    if (c->num_iterations != 1) what = "num_iterations above 1";
    if (c->steps_per_generation != 0 && c->steps_per_generation != c->gradient_accumulation_steps)
        what = "steps_per_generation other than gradient_accumulation_steps";
    if (c->top_entropy_quantile < 1) what = "top_entropy_quantile below 1";
    if (c->entropy_coef != 0) what = "entropy_coef";
    if (c->log_completions) what = "log_completions";
    if (what != NULL) return gw_fail(err, GWEN_ERR_UNSUPPORTED, "%s is not implemented", what);
    return GWEN_OK;
}

size_t gw_grpo_step_prompts(const struct gw_train_config *c) {
    return gw_train_config_generation_batch(c) / c->num_generations;
}

uint64_t gw_grpo_total_steps(const struct gw_train_config *c, size_t n) {
    return gw_learner_total_steps(c, n, gw_grpo_step_prompts(c), true);
}

static struct gw_grpo_opts loss_options(const struct gw_train_config *c) {
    return (struct gw_grpo_opts){
        .loss = (enum gw_loss_type)c->loss_type,
        .sequence_level = c->importance_sampling_level == GW_IMPORTANCE_SEQUENCE,
        .epsilon = c->epsilon,
        .epsilon_high = isnan(c->epsilon_high) ? c->epsilon : c->epsilon_high,
        .delta = isnan(c->delta) ? (double)INFINITY : c->delta,
        .beta = c->beta,
        .use_bias_correction_kl = c->use_bias_correction_kl,
        .max_completion_length = c->max_completion_length};
}

static enum gw_advantage advantage_kind(const struct gw_train_config *c) {
    switch ((enum gw_scale_rewards)c->scale_rewards) {
    case GW_SCALE_GROUP: return GW_ADVANTAGE_GROUP;
    case GW_SCALE_BATCH: return GW_ADVANTAGE_BATCH;
    case GW_SCALE_NONE: break;
    }
    return GW_ADVANTAGE_NONE;
}

/* --- memory ----------------------------------------------------------------------------------- */

size_t gw_grpo_bytes(const struct gw_train_config *c, const struct gw_prompts *p) {
    const size_t n = gw_grpo_step_prompts(c) * c->num_generations;
    /* Rows of the log take about 24 bytes for a token. */
    const size_t per_token = 6 * sizeof(float) + 24;
    return n * (p->max_tokens * per_token + (p->max_prompt + p->max_tokens) * sizeof(int32_t) +
                p->max_prompt * 8 + 1024) +
           p->n * sizeof(size_t);
}

static enum gwen_status allocate(struct grpo *g, struct gwen_err *err) {
    const struct gw_train_config *c = g->run->config;
    const struct gw_prompts *p = g->o->prompts;
    const size_t n_rewards = gw_rewards_count(g->o->rewards),
                 micro = c->gradient_accumulation_steps;
    g->group = c->num_generations;
    g->n_groups = gw_grpo_step_prompts(c);
    g->n = g->group * g->n_groups;
    g->longest = p->max_tokens;
    g->width = p->max_prompt + p->max_tokens;
    const size_t floats = g->n * g->longest;
    struct {
        void *at;
        size_t n, bytes;
    } arrays[] = {{&g->order, p->n, sizeof *g->order},
                  {&g->batch.rows, g->n_groups, sizeof *g->batch.rows},
                  {&g->chosen, g->n_groups, sizeof *g->chosen},
                  {&g->prompt_texts, g->n_groups, sizeof *g->prompt_texts},
                  {&g->completions, g->n, sizeof *g->completions},
                  {&g->groups, g->n_groups, sizeof *g->groups},
                  {&g->samples, g->n, sizeof *g->samples},
                  {&g->ids, floats, sizeof *g->ids},
                  {&g->old, floats, sizeof *g->old},
                  {&g->now, floats, sizeof *g->now},
                  {&g->entropy, floats, sizeof *g->entropy},
                  {&g->slope, floats, sizeof *g->slope},
                  {&g->ref, floats, sizeof *g->ref},
                  {&g->sequences, g->n * g->width, sizeof *g->sequences},
                  {&g->requests, g->n, sizeof *g->requests},
                  {&g->inputs, g->n, sizeof *g->inputs},
                  {&g->scores, g->n * n_rewards, sizeof *g->scores},
                  {&g->rewards, g->n, sizeof *g->rewards},
                  {&g->filled, g->n, sizeof *g->filled},
                  {&g->advantages, g->n, sizeof *g->advantages},
                  {&g->batches, micro, sizeof *g->batches},
                  {&g->stats, micro, sizeof *g->stats}};
    for (size_t i = 0; i < GW_ARRAY_LEN(arrays); i++) {
        void *array = calloc(arrays[i].n, arrays[i].bytes);
        if (array == NULL) return gw_nomem(err, arrays[i].n * arrays[i].bytes, "a training step");
        memcpy(arrays[i].at, &array, sizeof array);
    }
    g->epoch = UINT64_MAX; /* no order yet */
    return GWEN_OK;
}

static void release(struct grpo *g) {
    for (size_t i = 0; g->prompt_texts != NULL && i < g->n_groups; i++)
        gw_str_free(&g->prompt_texts[i]);
    for (size_t i = 0; g->completions != NULL && i < g->n; i++) {
        gw_str_free(&g->completions[i].text);
        gw_str_free(&g->completions[i].row);
    }
    void *arrays[] = {g->order,   g->batch.rows, g->chosen,  g->prompt_texts, g->completions,
                      g->groups,  g->samples,    g->ids,     g->old,          g->now,
                      g->entropy, g->slope,      g->ref,     g->sequences,    g->requests,
                      g->inputs,  g->scores,     g->rewards, g->filled,       g->advantages,
                      g->batches, g->stats};
    for (size_t i = 0; i < GW_ARRAY_LEN(arrays); i++) free(arrays[i]);
    gw_rollout_free(g->rollout);
}

/* --- sampling --------------------------------------------------------------------------------- */

/* The next prompts of the epoch's order; what fills no step at its end is left out. */
static enum gwen_status choose_prompts(struct grpo *g, struct gwen_err *err) {
    const struct gw_prompts *p = g->o->prompts;
    const struct gw_train_config *c = g->run->config;
    struct gw_train_state *at = &g->run->state;
    if (at->row + g->n_groups > p->n) {
        at->row = 0;
        at->epoch++;
    }
    if (g->epoch != at->epoch && c->shuffle_dataset)
        gw_data_order(c->seed, at->epoch, g->order, p->n);
    for (size_t i = 0; g->epoch != at->epoch && !c->shuffle_dataset && i < p->n; i++)
        g->order[i] = i;
    g->epoch = at->epoch;
    g->batch.n = g->n_groups;
    g->batch.max_prompt = p->max_prompt;
    g->batch.max_tokens = p->max_tokens;
    g->batch.n_tokens = 0;
    for (size_t i = 0; i < g->n_groups; i++) {
        g->chosen[i] = g->order[at->row++];
        g->batch.rows[i] = p->rows[g->chosen[i]];
        g->batch.n_tokens += g->batch.rows[i].n;
        struct gw_str *text = &g->prompt_texts[i];
        gw_str_clear(text);
        gw_str_puts(text, "");
        if (g->o->tokenizer != NULL)
            GW_TRY(gw_tokenizer_decode(g->o->tokenizer, g->batch.rows[i].ids, g->batch.rows[i].n,
                                       true, text, err));
        if (text->failed) return gw_nomem(err, g->batch.rows[i].n, "a prompt's text");
    }
    return GWEN_OK;
}

static enum gwen_status take_sample(void *ctx, const struct gw_rollout_sample *s,
                                    struct gwen_err *err) {
    struct grpo *g = ctx;
    const size_t i = s->prompt_id * g->group + s->sample_id;
    struct completion *c = &g->completions[i];
    struct gw_rollout_sample named = *s;
    named.prompt_id = g->chosen[s->prompt_id];
    c->n = s->n;
    c->finish = s->finish;
    memcpy(g->ids + i * g->longest, s->ids, s->n * sizeof *s->ids);
    memcpy(g->old + i * g->longest, s->logprobs, s->n * sizeof *s->logprobs);
    gw_str_clear(&c->text);
    gw_str_put(&c->text, s->text != NULL ? s->text : "", s->text_len);
    gw_str_clear(&c->row);
    gw_rollout_put_row(&c->row, &named, g->o->numeric_class);
    g->sampled += s->n;
    return c->text.failed || c->row.failed ? gw_nomem(err, s->n, "a sample") : GWEN_OK;
}

static enum gwen_status sample(struct grpo *g, struct gwen_err *err) {
    const struct gw_rollout_sink sink = {.ctx = g,
                                         .sample = take_sample,
                                         .progress = g->o->progress,
                                         .progress_user = g->o->progress_user};
    const uint64_t start = gw_now_ns();
    g->sampled = 0;
    gw_rollout_set_step(g->rollout, g->run->state.generation++);
    GW_TRY(gw_rollout_run(g->rollout, &g->batch, &sink, &g->rollout_stats, err));
    g->rollout_s = gw_seconds_since(start);
    return GWEN_OK;
}

/* --- rewards ---------------------------------------------------------------------------------- */

/* A completion without a reward gets no advantage, and stands in its group for the mean of the
 * others. */
static void fill_missing(struct grpo *g) {
    for (size_t first = 0; first < g->n; first += g->group) {
        double sum = 0;
        size_t there = 0;
        for (size_t i = first; i < first + g->group; i++) {
            if (isnan(g->rewards[i])) continue;
            sum += (double)g->rewards[i];
            there++;
        }
        const double mean = there > 0 ? sum / (double)there : 0;
        for (size_t i = first; i < first + g->group; i++)
            g->filled[i] = isnan(g->rewards[i]) ? mean : (double)g->rewards[i];
    }
}

static enum gwen_status reward(struct grpo *g, struct gwen_err *err) {
    const uint64_t start = gw_now_ns();
    struct gw_reward_stats stats;
    for (size_t i = 0; i < g->n; i++) {
        const struct gw_prompt *p = &g->batch.rows[i / g->group];
        const struct gw_str *prompt = &g->prompt_texts[i / g->group];
        const struct completion *c = &g->completions[i];
        g->inputs[i] = (struct gw_reward_input){.prompt = prompt->data,
                                                .prompt_len = prompt->len,
                                                .completion = c->text.data,
                                                .completion_len = c->text.len,
                                                .ids = g->ids + i * g->longest,
                                                .n = c->n,
                                                .meta = p->meta,
                                                .meta_len = p->meta_len};
    }
    GW_TRY(gw_rewards_score(g->o->rewards, g->inputs, g->n, g->scores, err));
    gw_rewards_combine(g->o->rewards, g->scores, g->n, g->rewards);
    fill_missing(g);
    gw_grpo_advantages(advantage_kind(g->run->config), g->filled, g->n, g->group, g->advantages,
                       &stats);
    for (size_t i = 0; i < g->n; i++)
        if (isnan(g->rewards[i])) g->advantages[i] = 0;
    g->frac_zero_std = stats.frac_zero_std;
    g->reward_s = gw_seconds_since(start);
    return GWEN_OK;
}

/* --- loss ------------------------------------------------------------------------------------- */

static bool is_masked(const struct grpo *g, size_t i) {
    return g->run->config->mask_truncated_completions &&
           g->completions[i].finish == GW_FINISH_LENGTH;
}

static enum gwen_status score_reference(struct grpo *g, struct gwen_err *err) {
    const uint64_t start = gw_now_ns();
    g->reference_s = 0;
    if (g->loss_opts.beta == 0) return GWEN_OK;
    for (size_t i = 0; i < g->n; i++) {
        const struct gw_prompt *p = &g->batch.rows[i / g->group];
        const size_t n = g->completions[i].n;
        int32_t *sequence = g->sequences + i * g->width;
        memcpy(sequence, p->ids, p->n * sizeof *sequence);
        memcpy(sequence + p->n, g->ids + i * g->longest, n * sizeof *sequence);
        g->requests[i] = (struct gw_score_request){
            .ids = sequence, .n = p->n + n, .from = p->n, .logprobs = g->ref + i * g->longest};
    }
    GW_TRY(gw_scorer_run(g->o->reference, g->requests, g->n, false, NULL, NULL, err));
    g->reference_s = gw_seconds_since(start);
    return GWEN_OK;
}

/* What TRL's micro-batches are divided by: per_device_train_batch_size completions each. */
static void count_batches(struct grpo *g) {
    const size_t rows = g->run->config->per_device_train_batch_size;
    const size_t n = g->run->config->gradient_accumulation_steps;
    size_t all = 0;
    for (size_t b = 0; b < n; b++) {
        g->batches[b] = (struct gw_grpo_batch){.n_micro_batches = n, .rows = rows};
        g->stats[b] = (struct gw_grpo_stats){0};
        for (size_t i = b * rows; i < (b + 1) * rows; i++)
            g->batches[b].tokens += is_masked(g, i) ? 0 : g->completions[i].n;
        all += g->batches[b].tokens;
    }
    for (size_t b = 0; b < n; b++) g->batches[b].all_tokens = all;
}

static void completion_loss(void *ctx, size_t group, size_t index,
                            const struct gw_train_sample *s) {
    struct grpo *g = ctx;
    const size_t i = group * g->group + index;
    const size_t b = i / g->run->config->per_device_train_batch_size;
    const bool masked = is_masked(g, i);
    const double weight = gw_grpo_weight(&g->loss_opts, &g->batches[b], masked ? 0 : s->n);
    const float *old = g->old + i * g->longest;
    for (size_t t = 0; t < s->n; t++)
        g->differing += memcmp(&old[t], &s->logprobs[t], sizeof *old) != 0;
    gw_grpo_completion(&g->loss_opts, weight, g->advantages[i], masked, s->logprobs, old,
                       g->loss_opts.beta > 0 ? g->ref + i * g->longest : NULL, s->entropy, s->n,
                       &g->loss, s->dlogprobs, &g->stats[b]);
}

static enum gwen_status accumulate(struct grpo *g, struct gwen_err *err) {
    for (size_t i = 0; i < g->n; i++)
        g->samples[i] = (struct gw_train_sample){.ids = g->ids + i * g->longest,
                                                 .n = g->completions[i].n,
                                                 .logprobs = g->now + i * g->longest,
                                                 .entropy = g->entropy + i * g->longest,
                                                 .dlogprobs = g->slope + i * g->longest};
    for (size_t k = 0; k < g->n_groups; k++)
        g->groups[k] = (struct gw_train_group){.prompt = g->batch.rows[k].ids,
                                               .n_prompt = g->batch.rows[k].n,
                                               .samples = &g->samples[k * g->group],
                                               .n_samples = g->group};
    count_batches(g);
    g->loss = 0;
    g->differing = 0;
    GW_TRY(gw_learner_accumulate(g->learner, g->groups, g->n_groups, completion_loss, g, err));
    if (!g->o->verify || g->differing == 0) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_INTERNAL,
                   "step %" PRIu64 ": %zu of %zu log-probabilities recorded while sampling differ "
                   "from those of training",
                   g->run->state.step + 1, g->differing, g->sampled);
}

/* --- logs ------------------------------------------------------------------------------------- */

static void put_loss_metrics(struct grpo *g, struct gw_metrics *m) {
    const size_t n = g->run->config->gradient_accumulation_steps;
    struct gw_grpo_metrics sum = {0};
    for (size_t b = 0; b < n; b++) {
        struct gw_grpo_metrics one;
        gw_grpo_metrics(&g->loss_opts, &g->stats[b], &one);
        const double share = 1.0 / (double)n;
        sum.kl += one.kl * share;
        sum.entropy += one.entropy * share;
        sum.clip_low_mean += one.clip_low_mean * share;
        sum.clip_low_min += one.clip_low_min * share;
        sum.clip_high_mean += one.clip_high_mean * share;
        sum.clip_high_max += one.clip_high_max * share;
        sum.clip_region_mean += one.clip_region_mean * share;
        sum.cispo_clip_ratio += one.cispo_clip_ratio * share;
    }
    gw_metrics_put(m, "entropy", sum.entropy);
    if (g->loss_opts.beta > 0) gw_metrics_put(m, "kl", sum.kl);
    if (g->loss_opts.loss == GW_LOSS_CISPO) {
        gw_metrics_put(m, "cispo_clip_ratio", sum.cispo_clip_ratio);
        return;
    }
    gw_metrics_put(m, "clip_ratio/low_mean", sum.clip_low_mean);
    gw_metrics_put(m, "clip_ratio/low_min", sum.clip_low_min);
    gw_metrics_put(m, "clip_ratio/high_mean", sum.clip_high_mean);
    gw_metrics_put(m, "clip_ratio/high_max", sum.clip_high_max);
    gw_metrics_put(m, "clip_ratio/region_mean", sum.clip_region_mean);
}

/* Mean, least and most tokens of the completions, or of those that came to their end (none: 0). */
static void put_lengths(const struct grpo *g, bool terminated, const char *mean, const char *least,
                        const char *most, struct gw_metrics *m) {
    size_t n = 0, sum = 0, lo = SIZE_MAX, hi = 0;
    for (size_t i = 0; i < g->n; i++) {
        const struct completion *c = &g->completions[i];
        if (terminated && c->finish == GW_FINISH_LENGTH) continue;
        n++;
        sum += c->n;
        lo = GW_MIN(lo, c->n);
        hi = GW_MAX(hi, c->n);
    }
    gw_metrics_put(m, mean, n > 0 ? (double)sum / (double)n : 0);
    gw_metrics_put(m, least, n > 0 ? (double)lo : 0);
    gw_metrics_put(m, most, (double)hi);
}

static void put_metrics(struct grpo *g, const struct gw_learner_report *r) {
    struct gw_metrics *m = &g->run->metrics;
    const struct gw_train_state *at = &g->run->state;
    double tokens = at->step > 1 ? gw_metrics_get(m, "num_tokens") : 0;
    size_t clipped = 0;
    tokens += (double)(g->sampled + g->group * g->batch.n_tokens);
    for (size_t i = 0; i < g->n; i++) clipped += g->completions[i].finish == GW_FINISH_LENGTH;
    gw_metrics_clear(m);
    gw_metrics_put(m, "loss", r->skipped ? NAN : g->loss);
    gw_metrics_put(m, "grad_norm", r->grad_norm);
    gw_metrics_put(m, "learning_rate", r->learning_rate);
    gw_metrics_put(m, "num_tokens", tokens);
    put_lengths(g, false, "completions/mean_length", "completions/min_length",
                "completions/max_length", m);
    gw_metrics_put(m, "completions/clipped_ratio", (double)clipped / (double)g->n);
    put_lengths(g, true, "completions/mean_terminated_length", "completions/min_terminated_length",
                "completions/max_terminated_length", m);
    gw_rewards_put_metrics(g->o->rewards, g->scores, g->rewards, g->n, m);
    gw_metrics_put(m, "frac_reward_zero_std", g->frac_zero_std);
    put_loss_metrics(g, m);
    gw_metrics_put(m, "epoch", (double)at->epoch + (double)at->row / (double)g->o->prompts->n);
    gw_metrics_put(m, "skipped_steps", (double)g->learner->optimizer->skipped);
    if (g->o->verify) gw_metrics_put(m, "differing_logprobs", (double)g->differing);
}

static void put_reward(struct gw_str *s, float reward) {
    if (isfinite(reward))
        gw_str_put_float(s, reward);
    else
        gw_str_puts(s, "null");
}

static enum gwen_status write_rollouts(const struct grpo *g, const char *path,
                                       struct gwen_err *err) {
    struct gw_out *out;
    struct gw_str end = {0};
    enum gwen_status status = GWEN_OK;
    GW_TRY(gw_out_open(path, &out, err));
    for (size_t i = 0; i < g->n && status == GWEN_OK; i++) {
        const struct gw_str *row = &g->completions[i].row;
        gw_str_clear(&end);
        gw_str_puts(&end, ",\"reward\":");
        put_reward(&end, g->rewards[i]);
        gw_str_puts(&end, ",\"advantage\":");
        put_reward(&end, (float)g->advantages[i]);
        gw_str_puts(&end, "}\n");
        if (end.failed) status = gw_nomem(err, end.len, "a row");
        if (status == GWEN_OK) status = gw_out_write(out, row->data, row->len - 2, err);
        if (status == GWEN_OK) status = gw_out_write(out, end.data, end.len, err);
    }
    gw_str_free(&end);
    if (status == GWEN_OK) return gw_out_commit(out, err);
    gw_out_abort(out);
    return status;
}

static enum gwen_status rollouts_path(const struct grpo *g, uint64_t step, struct gw_str *path,
                                      struct gwen_err *err) {
    char name[64];
    snprintf(name, sizeof name, "rollouts/step-%" PRIu64 ".jsonl", step);
    return gw_path_join(path, g->run->dir, name, err);
}

/* Samples of steps after the checkpoint that the run goes on from. */
static enum gwen_status cut_rollouts(const struct grpo *g, struct gwen_err *err) {
    struct gw_str path = {0};
    enum gwen_status status = gw_path_join(&path, g->run->dir, "rollouts", err);
    if (status == GWEN_OK) status = gw_dir_make(path.data, err);
    for (uint64_t step = g->run->state.step + 1; status == GWEN_OK; step++) {
        status = rollouts_path(g, step, &path, err);
        if (status != GWEN_OK || !gw_file_exists(path.data)) break;
        if (unlink(path.data) != 0)
            status = gw_fail(err, GWEN_ERR_IO, "cannot remove %s", path.data);
    }
    gw_str_free(&path);
    return status;
}

static enum gwen_status log_step(struct grpo *g, struct gw_step_report *line,
                                 const struct gw_learner_report *report, struct gwen_err *err) {
    struct gw_metrics *m = &g->run->metrics;
    struct gw_str path = {0};
    enum gwen_status status = rollouts_path(g, g->run->state.step, &path, err);
    if (status == GWEN_OK) status = write_rollouts(g, path.data, err);
    gw_str_free(&path);
    GW_TRY(status);
    put_metrics(g, report);
    line->loss = gw_metrics_get(m, "loss");
    line->reward = gw_metrics_get(m, "reward");
    gw_metrics_put(m, "time/train/rollout_s", g->rollout_s);
    gw_metrics_put(m, "time/train/reward_s", g->reward_s);
    gw_metrics_put(m, "time/train/reference_s", g->reference_s);
    gw_metrics_put(m, "time/train/rollout_tokens_per_s", line->rollout_tok_s);
    gw_metrics_put(m, "time/train/tokens_per_s", line->train_tok_s);
    return gw_train_run_step(g->run, line, err);
}

/* --- a step ----------------------------------------------------------------------------------- */

static enum gwen_status step(struct grpo *g, struct gwen_err *err) {
    const struct gw_train_state before = g->run->state;
    const uint64_t start = gw_now_ns();
    struct gw_learner_report report;
    enum gwen_status status = choose_prompts(g, err);
    if (status == GWEN_OK) status = sample(g, err);
    if (status == GWEN_OK) status = reward(g, err);
    if (status != GWEN_OK) { /* the step has not begun, should a checkpoint be made */
        g->run->state.generation = before.generation;
        g->run->state.epoch = before.epoch;
        g->run->state.row = before.row;
        return status;
    }
    GW_TRY(score_reference(g, err));
    const uint64_t trained = gw_now_ns();
    GW_TRY(accumulate(g, err));
    GW_TRY(gw_learner_step(g->learner, &report, err));
    g->run->state.step = g->learner->step;
    struct gw_step_report line = {.seconds = gw_seconds_since(start),
                                  .rollout_tok_s = (double)g->sampled / g->rollout_s,
                                  .train_tok_s = (double)g->sampled / gw_seconds_since(trained)};
    return log_step(g, &line, &report, err);
}

static enum gwen_status check_collapse(const struct grpo *g, struct gwen_err *err) {
    if (!g->o->stop_on_collapse || !gw_train_run_collapsed(g->run)) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_NUMERIC,
                   "step %" PRIu64
                   ": the run has collapsed (see the warnings); checkpoints are kept",
                   g->run->state.step);
}

static enum gwen_status train(struct grpo *g, struct gwen_err *err) {
    bool more;
    if (g->o->prompts->n < gw_grpo_step_prompts(g->run->config))
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "a step takes %zu prompts (per_device_train_batch_size times "
                       "gradient_accumulation_steps / num_generations), the data have %zu",
                       gw_grpo_step_prompts(g->run->config), g->o->prompts->n);
    GW_TRY(allocate(g, err));
    g->loss_opts = loss_options(g->run->config);
    GW_TRY(gw_rollout_create(g->learner->model, g->o->pool, g->o->tokenizer, &g->o->rollout,
                             g->o->plan, &g->rollout, err));
    GW_TRY(cut_rollouts(g, err));
    for (;;) {
        GW_TRY(gw_train_run_more(g->run, g->learner, &more, err));
        if (!more) return gw_train_run_finish(g->run, g->learner, err);
        enum gwen_status status = step(g, err);
        if (status != GWEN_OK && g->learner->step == g->run->state.step) {
            /* Stopped while sampling, or a reward that failed: nothing is lost but this step. */
            struct gwen_err ignored;
            gw_train_run_save(g->run, g->learner, true, &ignored);
        }
        GW_TRY(status);
        GW_TRY(gw_train_run_save(g->run, g->learner, false, err));
        GW_TRY(check_collapse(g, err));
    }
}

enum gwen_status gw_grpo_run(struct gw_train_run *run, struct gw_learner *learner,
                             const struct gw_grpo_run_opts *opts, struct gwen_err *err) {
    struct grpo g = {.run = run, .learner = learner, .o = opts};
    enum gwen_status status = train(&g, err);
    release(&g);
    return status;
}

/* sft.c - see sft.h. */
#include "service/sft.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>

struct sft {
    struct gw_train_run *run;
    struct gw_learner *learner;
    const struct gw_sft_data *data;
    size_t *order; /* [data->n] of the epoch */
    uint64_t epoch;
    /* one step */
    struct gw_train_group *groups;   /* [step_rows] */
    struct gw_train_sample *samples; /* [step_rows], one of each group */
    float *floats;                   /* [3][step_rows * longest] */
    size_t step_rows, n, tokens, counted;
    double loss, entropy; /* sums over the tokens that count */
};

/* --- sizes ------------------------------------------------------------------------------------ */

size_t gw_sft_step_rows(const struct gw_train_config *c) {
    return c->per_device_train_batch_size * c->gradient_accumulation_steps; /* <= 1e18 */
}

uint64_t gw_sft_total_steps(const struct gw_train_config *c, const struct gw_sft_data *data) {
    return gw_learner_total_steps(c, data->n, gw_sft_step_rows(c), false);
}

/* No step has more rows than there are. */
static size_t most_rows(const struct gw_train_config *c, const struct gw_sft_data *data) {
    return GW_MIN(gw_sft_step_rows(c), data->n);
}

size_t gw_sft_bytes(const struct gw_train_config *c, const struct gw_sft_data *data) {
    const size_t rows = most_rows(c, data);
    return rows * (sizeof(struct gw_train_group) + sizeof(struct gw_train_sample) +
                   3 * data->longest * sizeof(float)) +
           data->n * sizeof(size_t);
}

/* --- a step ----------------------------------------------------------------------------------- */

/* Nothing before the first token that counts, or after the last one, has to be predicted. */
static void take_row(struct sft *s, const struct gw_sft_row *row) {
    size_t first = 0, end = row->n;
    while (!row->mask[first]) first++;
    while (!row->mask[end - 1]) end--;
    const size_t longest = s->data->longest, all = s->step_rows * longest;
    float *floats = s->floats + s->n * longest;
    s->samples[s->n] = (struct gw_train_sample){.ids = row->ids + first,
                                                .n = end - first,
                                                .want = row->mask + first,
                                                .logprobs = floats,
                                                .entropy = floats + all,
                                                .dlogprobs = floats + 2 * all};
    s->groups[s->n] = (struct gw_train_group){
        .prompt = row->ids, .n_prompt = first, .samples = &s->samples[s->n], .n_samples = 1};
    s->n++;
    s->tokens += row->n;
    s->counted += row->n_loss;
}

/* The next rows of the epoch's order. */
static void take_rows(struct sft *s) {
    struct gw_train_state *at = &s->run->state;
    if (at->row >= s->data->n) {
        at->row = 0;
        at->epoch++;
    }
    if (s->epoch != at->epoch) gw_data_order(s->run->config->seed, at->epoch, s->order, s->data->n);
    s->epoch = at->epoch;
    s->n = s->tokens = s->counted = 0;
    s->loss = s->entropy = 0;
    while (s->n < s->step_rows && at->row < s->data->n)
        take_row(s, &s->data->rows[s->order[at->row++]]);
}

/* loss = - sum of log-probabilities / tokens that count in the whole step. */
static void row_loss(void *ctx, size_t group, size_t index, const struct gw_train_sample *row) {
    struct sft *s = ctx;
    (void)group, (void)index;
    for (size_t i = 0; i < row->n; i++) {
        row->dlogprobs[i] = row->want[i] ? (float)(-1.0 / (double)s->counted) : 0;
        if (!row->want[i]) continue;
        s->loss -= (double)row->logprobs[i];
        s->entropy += (double)row->entropy[i];
    }
}

static void put_metrics(struct sft *s, const struct gw_learner_report *r) {
    struct gw_metrics *m = &s->run->metrics;
    const struct gw_train_state *at = &s->run->state;
    const double before = at->step > 1 ? gw_metrics_get(m, "num_tokens") : 0;
    const double n = (double)s->counted;
    gw_metrics_clear(m);
    gw_metrics_put(m, "loss", r->skipped ? NAN : s->loss / n);
    gw_metrics_put(m, "grad_norm", r->grad_norm);
    gw_metrics_put(m, "learning_rate", r->learning_rate);
    gw_metrics_put(m, "entropy", r->skipped ? NAN : s->entropy / n);
    gw_metrics_put(m, "num_tokens", before + (double)s->tokens);
    gw_metrics_put(m, "epoch", (double)at->epoch + (double)at->row / (double)s->data->n);
    gw_metrics_put(m, "skipped_steps", (double)s->learner->optimizer->skipped);
}

static enum gwen_status step(struct sft *s, struct gwen_err *err) {
    const uint64_t start = gw_now_ns();
    struct gw_learner_report report;
    take_rows(s);
    GW_TRY(gw_learner_accumulate(s->learner, s->groups, s->n, row_loss, s, err));
    const double passes = gw_seconds_since(start);
    GW_TRY(gw_learner_step(s->learner, &report, err));
    const double seconds = gw_seconds_since(start);
    s->run->state.step = s->learner->step;
    put_metrics(s, &report);
    struct gw_step_report line = {.loss = gw_metrics_get(&s->run->metrics, "loss"),
                                  .reward = NAN,
                                  .seconds = seconds,
                                  .rollout_tok_s = NAN,
                                  .train_tok_s = (double)s->tokens / seconds};
    gw_metrics_put(&s->run->metrics, "time/train/forward_backward_s", passes);
    gw_metrics_put(&s->run->metrics, "time/train/optimizer_s", seconds - passes);
    gw_metrics_put(&s->run->metrics, "time/train/tokens_per_s", line.train_tok_s);
    return gw_train_run_step(s->run, &line, err);
}

/* --- the run ---------------------------------------------------------------------------------- */

static enum gwen_status allocate(struct sft *s, struct gwen_err *err) {
    const size_t n = s->step_rows = most_rows(s->run->config, s->data);
    s->order = malloc(s->data->n * sizeof *s->order);
    s->groups = malloc(n * sizeof *s->groups);
    s->samples = malloc(n * sizeof *s->samples);
    s->floats = malloc(3 * n * s->data->longest * sizeof *s->floats);
    if (s->order == NULL || s->groups == NULL || s->samples == NULL || s->floats == NULL)
        return gw_nomem(err, gw_sft_bytes(s->run->config, s->data), "a training step");
    s->epoch = UINT64_MAX; /* no order yet */
    return GWEN_OK;
}

static enum gwen_status train(struct sft *s, struct gwen_err *err) {
    bool more;
    GW_TRY(allocate(s, err));
    for (;;) {
        GW_TRY(gw_train_run_more(s->run, s->learner, &more, err));
        if (!more) return gw_train_run_finish(s->run, s->learner, err);
        GW_TRY(step(s, err));
        GW_TRY(gw_train_run_save(s->run, s->learner, false, err));
    }
}

enum gwen_status gw_sft_run(struct gw_train_run *run, struct gw_learner *learner,
                            const struct gw_sft_data *data, struct gwen_err *err) {
    struct sft s = {.run = run, .learner = learner, .data = data};
    enum gwen_status status = train(&s, err);
    free(s.order);
    free(s.groups);
    free(s.samples);
    free(s.floats);
    return status;
}

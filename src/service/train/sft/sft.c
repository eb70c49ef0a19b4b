/* sft.c - see sft.h. */
#include "service/train/sft/sft.h"

#include "base/clock.h"
#include "service/train/order.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Sums over the tokens that count of one of TRL's batches. */
struct tally {
    double loss, entropy;
    size_t n, right; /* tokens; those that were the likeliest */
    size_t bins;
};

/* Rows that go through the model together: of a step, or of a batch of the evaluation. */
struct batch {
    struct gw_train_group *groups;   /* [rows] */
    struct gw_train_sample *samples; /* [rows], one of each group */
    struct tally **tally_of;         /* [rows] */
    struct tally *tallies;           /* [bins] */
    float *floats;                   /* [3][tokens] */
    uint8_t *top;                    /* [tokens] */
    struct gw_sft_size room;
    size_t n, n_tallies, tokens, counted;
};

struct sft {
    struct gw_train_run *run;
    size_t passed; /* tokens of the step that have been trained on */
    struct gw_learner *learner;
    const struct gw_sft_data *data, *eval;
    size_t *order; /* [data->n_bins] of the epoch */
    uint64_t epoch;
    struct batch batch;
    bool step_saves; /* see step() */
};

/* --- sizes ---------------------------------------------------------------------------------- */

/* bins <= 1e18 are wanted; there are no more than the data have. */
static struct gw_sft_size size_of(size_t bins, const struct gw_sft_data *data) {
    bins = GW_MIN(bins, data->n_bins);
    return (struct gw_sft_size){bins, GW_MIN(bins * data->most_rows, data->n),
                                GW_MIN(bins * data->longest_bin, data->n_tokens)};
}

struct gw_sft_size gw_sft_step_size(const struct gw_train_config *c,
                                    const struct gw_sft_data *data) {
    return size_of(c->per_device_train_batch_size * c->gradient_accumulation_steps, data);
}

uint64_t gw_sft_total_steps(const struct gw_train_config *c, const struct gw_sft_data *data) {
    return gw_learner_total_steps(
        c, data->n_bins, c->per_device_train_batch_size * c->gradient_accumulation_steps, false);
}

static struct gw_sft_size batch_room(const struct gw_train_config *c,
                                     const struct gw_sft_data *data,
                                     const struct gw_sft_data *eval) {
    struct gw_sft_size room = gw_sft_step_size(c, data);
    if (eval == NULL) return room;
    const struct gw_sft_size other = size_of(c->per_device_eval_batch_size, eval);
    return (struct gw_sft_size){GW_MAX(room.bins, other.bins), GW_MAX(room.rows, other.rows),
                                GW_MAX(room.tokens, other.tokens)};
}

size_t gw_sft_bytes(const struct gw_train_config *c, const struct gw_sft_data *data,
                    const struct gw_sft_data *eval) {
    const struct gw_sft_size room = batch_room(c, data, eval);
    return room.rows * (sizeof(struct gw_train_group) + sizeof(struct gw_train_sample) +
                        sizeof(struct tally *)) +
           room.bins * sizeof(struct tally) + room.tokens * (3 * sizeof(float) + 1) +
           data->n_bins * sizeof(size_t);
}

static enum gwen_status allocate(struct sft *s, struct gwen_err *err) {
    struct batch *b = &s->batch;
    const struct gw_sft_size room = b->room = batch_room(s->run->config, s->data, s->eval);
    s->order = malloc(s->data->n_bins * sizeof *s->order);
    b->groups = malloc(room.rows * sizeof *b->groups);
    b->samples = malloc(room.rows * sizeof *b->samples);
    b->tally_of = malloc(room.rows * sizeof *b->tally_of);
    b->tallies = malloc(room.bins * sizeof *b->tallies);
    b->floats = malloc(3 * room.tokens * sizeof *b->floats);
    b->top = malloc(room.tokens);
    if (s->order == NULL || b->groups == NULL || b->samples == NULL || b->tally_of == NULL ||
        b->tallies == NULL || b->floats == NULL || b->top == NULL)
        return gw_nomem(err, gw_sft_bytes(s->run->config, s->data, s->eval), "a training step");
    s->epoch = UINT64_MAX; /* no order yet */
    return GWEN_OK;
}

static void release(struct sft *s) {
    struct batch *b = &s->batch;
    void *arrays[] = {s->order, b->groups, b->samples, b->tally_of, b->tallies, b->floats, b->top};
    for (size_t i = 0; i < GW_ARRAY_LEN(arrays); i++) free(arrays[i]);
}

/* --- a batch -------------------------------------------------------------------------------- */

static void clear(struct batch *b) { b->n = b->n_tallies = b->tokens = b->counted = 0; }

/* Nothing before the first token that counts, or after the last one, has to be predicted. */
static void take_row(struct batch *b, const struct gw_sft_row *row, struct tally *tally) {
    size_t first = 0, end = row->n;
    while (!row->mask[first]) first++;
    while (!row->mask[end - 1]) end--;
    float *floats = b->floats + b->tokens;
    b->samples[b->n] = (struct gw_train_sample){.ids = row->ids + first,
                                                .n = end - first,
                                                .want = row->mask + first,
                                                .logprobs = floats,
                                                .entropy = floats + b->room.tokens,
                                                .top = b->top + b->tokens,
                                                .dlogprobs = floats + 2 * b->room.tokens};
    b->groups[b->n] = (struct gw_train_group){
        .prompt = row->ids, .n_prompt = first, .samples = &b->samples[b->n], .n_samples = 1};
    b->tally_of[b->n] = tally;
    b->n++;
    b->tokens += row->n;
    b->counted += row->n_loss;
}

/* A bin into the batch in progress, or into a new one of TRL's after `per_tally` of them. */
static void take_bin(struct batch *b, const struct gw_sft_data *data, size_t bin,
                     size_t per_tally) {
    if (b->n_tallies == 0 || b->tallies[b->n_tallies - 1].bins == per_tally)
        b->tallies[b->n_tallies++] = (struct tally){0};
    struct tally *tally = &b->tallies[b->n_tallies - 1];
    tally->bins++;
    for (size_t i = data->bins[bin]; i < data->bins[bin + 1]; i++)
        take_row(b, &data->rows[i], tally);
}

static void tally_row(struct batch *b, size_t i) {
    const struct gw_train_sample *row = &b->samples[i];
    struct tally *tally = b->tally_of[i];
    for (size_t t = 0; t < row->n; t++) {
        if (!row->want[t]) continue;
        tally->loss -= (double)row->logprobs[t];
        tally->entropy += (double)row->entropy[t];
        tally->right += row->top[t];
        tally->n++;
    }
}

/* --- a step --------------------------------------------------------------------------------- */

/* The next bins of the epoch's order. */
static void take_bins(struct sft *s) {
    const struct gw_train_config *c = s->run->config;
    struct gw_train_state *at = &s->run->state;
    const size_t wanted = gw_sft_step_size(c, s->data).bins;
    if (at->row >= s->data->n_bins) {
        at->row = 0;
        at->epoch++;
    }
    if (s->epoch != at->epoch) gw_data_order(c->seed, at->epoch, s->order, s->data->n_bins);
    s->epoch = at->epoch;
    clear(&s->batch);
    for (size_t i = 0; i < wanted && at->row < s->data->n_bins; i++)
        take_bin(&s->batch, s->data, s->order[at->row++], c->per_device_train_batch_size);
}

/* loss = - sum of log-probabilities / tokens that count in the whole step. */
static void row_loss(void *ctx, size_t group, size_t index, const struct gw_train_sample *row) {
    struct sft *s = ctx;
    (void)index;
    for (size_t i = 0; i < row->n; i++)
        row->dlogprobs[i] = row->want[i] ? (float)(-1.0 / (double)s->batch.counted) : 0;
    tally_row(&s->batch, group);
    gw_train_run_done(s->run, s->passed); /* before this row's backward pass */
    s->passed += s->batch.groups[group].n_prompt + row->n;
}

static void put_metrics(struct sft *s, const struct gw_learner_report *r) {
    struct gw_metrics *m = &s->run->metrics;
    const struct batch *b = &s->batch;
    const struct gw_train_state *at = &s->run->state;
    const double before = at->step > 1 ? gw_metrics_get(m, "num_tokens") : 0;
    double loss = 0, entropy = 0, accuracy = 0;
    for (size_t i = 0; i < b->n_tallies; i++) {
        const struct tally *t = &b->tallies[i];
        loss += t->loss / (double)b->counted;
        entropy += t->entropy / (double)t->n / (double)b->n_tallies;
        accuracy += (double)t->right / (double)t->n / (double)b->n_tallies;
    }
    gw_metrics_clear(m);
    gw_metrics_put(m, "loss", r->skipped ? NAN : loss);
    gw_metrics_put(m, "grad_norm", r->grad_norm);
    gw_metrics_put(m, "learning_rate", r->learning_rate);
    gw_metrics_put(m, "entropy", r->skipped ? NAN : entropy);
    gw_metrics_put(m, "mean_token_accuracy", r->skipped ? NAN : accuracy);
    gw_metrics_put(m, "num_tokens", before + (double)b->tokens);
    gw_metrics_put(m, "epoch", (double)at->epoch + (double)at->row / (double)s->data->n_bins);
    gw_metrics_put(m, "skipped_steps", (double)s->learner->optimizer->skipped);
}

/* --- evaluation ----------------------------------------------------------------------------- */

static bool is_due(const struct sft *s) {
    const uint64_t step = s->run->state.step, every = s->run->config->eval_steps;
    if (s->eval == NULL) return false;
    return step == s->run->total_steps || (every > 0 && step % every == 0);
}

/* A batch that begins with bin `from`: its tally. */
static enum gwen_status evaluate_batch(struct sft *s, size_t from, struct tally *tally,
                                       struct gwen_err *err) {
    struct batch *b = &s->batch;
    const size_t n = GW_MIN(s->run->config->per_device_eval_batch_size, s->eval->n_bins - from);
    clear(b);
    for (size_t i = from; i < from + n; i++) take_bin(b, s->eval, i, n);
    GW_TRY(gw_trainer_forward(s->learner->trainer, b->groups, b->n, err));
    for (size_t i = 0; i < b->n; i++) tally_row(b, i);
    *tally = b->tallies[0];
    return GWEN_OK;
}

/* Into the metrics of the step; what is to be said about it into *line. */
static enum gwen_status evaluate(struct sft *s, struct gw_str *line, struct gwen_err *err) {
    const uint64_t start = gw_now_ns();
    struct gw_metrics *m = &s->run->metrics;
    struct tally t;
    double loss = 0, entropy = 0, accuracy = 0, n_batches = 0;
    gw_train_run_phase(s->run, "eval", "rows", s->eval->n_bins);
    for (size_t from = 0; from < s->eval->n_bins; from += t.bins) {
        GW_TRY(evaluate_batch(s, from, &t, err));
        gw_train_run_done(s->run, from + t.bins);
        loss += t.loss / (double)t.n * (double)t.bins;
        entropy += t.entropy / (double)t.n;
        accuracy += (double)t.right / (double)t.n;
        n_batches++;
    }
    loss /= (double)s->eval->n_bins;
    accuracy /= n_batches;
    const double seconds = gw_seconds_since(start);
    gw_metrics_put(m, "eval_loss", loss);
    gw_metrics_put(m, "eval_entropy", entropy / n_batches);
    gw_metrics_put(m, "eval_mean_token_accuracy", accuracy);
    gw_metrics_put(m, "time/eval_s", seconds);
    gw_str_printf(line, "eval %" PRIu64 "/%" PRIu64 " | loss %.4f | accuracy %.4f | %.1fs\n",
                  s->run->state.step, s->run->total_steps, loss, accuracy, seconds);
    return line->failed ? gw_nomem(err, line->len, "a line") : GWEN_OK;
}

/* --- the run -------------------------------------------------------------------------------- */

static void put_all(struct gw_metrics *to, const struct gw_metrics *from) {
    for (size_t i = 0; i < from->n; i++)
        gw_metrics_put(to, from->items[i].name, from->items[i].value);
    to->failed |= from->failed;
}

/* What is left of a step once its weights are there: its evaluation, and then its row, to which
 * `times` are added.  Cut short, the step is held with all but the evaluation. */
static enum gwen_status log_step(struct sft *s, struct gw_step_report *line,
                                 const struct gw_metrics *times, struct gwen_err *err) {
    struct gw_str eval = {0};
    struct gwen_err ignored;
    enum gwen_status status = is_due(s) ? evaluate(s, &eval, err) : GWEN_OK;
    put_all(&s->run->metrics, times);
    if (status != GWEN_OK)
        s->step_saves =
            status == GWEN_ERR_CANCELLED && gw_train_run_hold(s->run, line, &ignored) == GWEN_OK;
    if (status == GWEN_OK) status = gw_train_run_step(s->run, line, err);
    if (status == GWEN_OK && eval.len > 0)
        status = s->run->host->say(s->run->host->ctx, eval.data, eval.len, err);
    gw_str_free(&eval);
    return status;
}

/* Goes on with a step that was held. */
static enum gwen_status end_held_step(struct sft *s, struct gwen_err *err) {
    struct gw_metrics row, times = {0}, *m = &s->run->metrics;
    struct gw_step_report line;
    bool held;
    GW_TRY(gw_train_run_take_held(s->run, &line, &held, err));
    if (!held) return GWEN_OK;
    row = *m;
    *m = (struct gw_metrics){0};
    for (size_t i = 0; i < row.n; i++)
        gw_metrics_put(strncmp(row.items[i].name, "time/", 5) == 0 ? &times : m, row.items[i].name,
                       row.items[i].value);
    enum gwen_status status = log_step(s, &line, &times, err);
    gw_metrics_free(&row);
    gw_metrics_free(&times);
    return status;
}

/* After a failure step_saves says whether the state, that before the step or one that holds it, may
 * be saved. */
static enum gwen_status step(struct sft *s, struct gwen_err *err) {
    const uint64_t start = gw_now_ns();
    struct gw_train_state *at = &s->run->state;
    const uint64_t epoch = at->epoch, row = at->row;
    struct gw_learner_report report;
    struct gw_metrics times = {0};
    s->step_saves = false;
    take_bins(s);
    const double tokens = (double)s->batch.tokens;
    s->passed = 0;
    gw_train_run_phase(s->run, "train", "tokens", s->batch.tokens);
    enum gwen_status status =
        gw_learner_accumulate(s->learner, s->batch.groups, s->batch.n, row_loss, s, err);
    if (status != GWEN_OK) { /* it has not begun */
        at->epoch = epoch;
        at->row = row;
        s->step_saves = status == GWEN_ERR_CANCELLED;
        return status;
    }
    const double passes = gw_seconds_since(start);
    gw_train_run_phase(s->run, "optimizer", "", 0);
    GW_TRY(gw_learner_step(s->learner, &report, err));
    const double seconds = gw_seconds_since(start);
    s->run->state.step = s->learner->step;
    put_metrics(s, &report);
    struct gw_step_report line = {.loss = gw_metrics_get(&s->run->metrics, "loss"),
                                  .reward = NAN,
                                  .seconds = seconds,
                                  .rollout_tok_s = NAN,
                                  .train_tok_s = tokens / seconds};
    gw_metrics_put(&times, "time/train/forward_backward_s", passes);
    gw_metrics_put(&times, "time/train/optimizer_s", report.optimizer_s);
    gw_metrics_put(&times, "time/train/repack_s", report.repack_s);
    gw_metrics_put(&times, "time/train/tokens_per_s", line.train_tok_s);
    status = log_step(s, &line, &times, err);
    gw_metrics_free(&times);
    return status;
}

/* What follows a step, or half of one that was held. */
static enum gwen_status after_step(struct sft *s, enum gwen_status status, struct gwen_err *err) {
    if (status != GWEN_OK && s->step_saves) gw_train_run_rescue(s->run, s->learner);
    GW_TRY(status);
    GW_TRY(gw_learner_check_bad(s->learner, err));
    return gw_train_run_save(s->run, s->learner, false, err);
}

static enum gwen_status train(struct sft *s, struct gwen_err *err) {
    bool more;
    GW_TRY(allocate(s, err));
    if (s->run->state.held.len > 0) GW_TRY(after_step(s, end_held_step(s, err), err));
    for (;;) {
        GW_TRY(gw_train_run_more(s->run, s->learner, &more, err));
        if (!more) return gw_train_run_finish(s->run, s->learner, err);
        GW_TRY(after_step(s, step(s, err), err));
    }
}

enum gwen_status gw_sft_run(struct gw_train_run *run, struct gw_learner *learner,
                            const struct gw_sft_data *data, const struct gw_sft_data *eval,
                            struct gwen_err *err) {
    struct sft s = {.run = run, .learner = learner, .data = data, .eval = eval};
    enum gwen_status status = train(&s, err);
    release(&s);
    return status;
}

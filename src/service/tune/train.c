/* train.c - see train.h. */
#include "service/tune/train.h"

#include "base/clock.h"
#include "base/knob.h"
#include "base/rng.h"

#include <stdlib.h>

enum { SAMPLES = 8, LEAST_ROUNDS = 1, MOST_ROUNDS = 4, RUNS = 2 /* the first one warms up */ };

static const double WORTH = 0.02; /* less is no difference */
static const double GOOD = 0.5;   /* share of the peak that is expected */

struct train {
    struct gw_tune *t;
    struct gw_model first_layer; /* the model, with one layer */
    struct gw_train_work work;
    struct gw_train_group groups[SAMPLES];
    struct gw_train_sample samples[SAMPLES];
    size_t n_groups;
    int32_t *ids;     /* any tokens: [max_len] */
    uint8_t *want;    /* [max_new] the last one: the head is not measured */
    float *logprobs;  /* [max_new] */
    float *dlogprobs; /* [max_new] */
    struct gw_plan_options plans[GW_TUNE_TRAIN_CHOICES];
    struct gw_series times[GW_TUNE_TRAIN_CHOICES];
};

/* --- the work ------------------------------------------------------------------------------- */

static enum gwen_status make_work(struct train *s, struct gwen_err *err) {
    const struct gw_tune_opts *o = s->t->opts;
    const size_t prompt = o->prompts->max_prompt, new = o->prompts->max_tokens;
    s->first_layer = *o->model;
    s->first_layer.cfg.n_layers = 1;
    s->work = (struct gw_train_work){.samples = SAMPLES,
                                     .max_len = prompt + new,
                                     .max_prompt = prompt,
                                     .group = GW_MIN(o->rollout->groups, (size_t)SAMPLES),
                                     .temperature = 1};
    s->ids = malloc(s->work.max_len * sizeof *s->ids);
    s->want = calloc(new, sizeof *s->want);
    s->logprobs = malloc(new * sizeof *s->logprobs);
    s->dlogprobs = calloc(new, sizeof *s->dlogprobs);
    if (s->ids == NULL || s->want == NULL || s->logprobs == NULL || s->dlogprobs == NULL)
        return gw_nomem(err, s->work.max_len * sizeof *s->ids, "measuring passes");
    for (size_t i = 0; i < s->work.max_len; i++) {
        const struct gw_rng_key key = {.stream = GW_STREAM_DATA, .position = i};
        s->ids[i] = (int32_t)(gw_rng_uniform(&key) * (double)o->model->cfg.vocab_size);
    }
    s->want[new - 1] = 1;
    for (size_t i = 0; i < SAMPLES; i++) {
        s->samples[i] = (struct gw_train_sample){.ids = s->ids + prompt,
                                                 .n = new,
                                                 .want = s->want,
                                                 .logprobs = s->logprobs,
                                                 .dlogprobs = s->dlogprobs};
        struct gw_train_group *g = &s->groups[i / s->work.group];
        if (i % s->work.group == 0)
            *g = (struct gw_train_group){
                .prompt = s->ids, .n_prompt = prompt, .samples = &s->samples[i]};
        g->n_samples++;
    }
    s->n_groups = (SAMPLES + s->work.group - 1) / s->work.group;
    return GWEN_OK;
}

static void free_work(struct train *s) {
    free(s->ids);
    free(s->want);
    free(s->logprobs);
    free(s->dlogprobs);
}

static void loss(void *ctx, size_t group, size_t sample, const struct gw_train_sample *s) {
    (void)ctx, (void)group, (void)sample;
    s->dlogprobs[s->n - 1] = 1;
}

/* --- what fits ------------------------------------------------------------------------------ */

/* Plans every size as training itself would; none may need more computed again than 1. */
static enum gwen_status plan(struct train *s, struct gwen_err *err) {
    struct gw_tune_result *r = s->t->result;
    for (size_t i = 0; i < GW_TUNE_TRAIN_CHOICES; i++) {
        const struct gw_train_cut cut = {.micro_batch = (size_t)1 << i,
                                         .recompute =
                                             i == 0 ? GW_RECOMPUTE_AUTO : (int)r->train.recompute};
        struct gw_plan made;
        s->plans[i] = s->t->opts->base;
        s->plans[i].n_threads = (int)r->threads;
        enum gwen_status status =
            gw_train_plan(&cut, &s->work, s->t->opts->budget_bytes, &s->plans[i], err);
        if (status != GWEN_OK) return i == 0 ? status : GWEN_OK;
        gw_plan_make(&s->plans[i], &made);
        r->train.recompute = s->plans[i].trainer.recompute;
        r->train.choices[r->train.n++] =
            (struct gw_tune_train_choice){.micro_batch = cut.micro_batch, .bytes = made.total};
    }
    return GWEN_OK;
}

/* Seconds that one measurement of all sizes is expected to take. */
static double expected(const struct train *s) {
    const struct gw_config *c = &s->t->opts->model->cfg;
    const double vocab =
        (double)c->vocab_size * (double)c->hidden * (c->tie_word_embeddings ? 1 : 2);
    const double layer = ((double)gw_config_n_params(c) - vocab) / (double)c->n_layers;
    const double rows = (double)(s->n_groups * s->work.max_prompt) +
                        (double)SAMPLES * (double)(s->work.max_len - s->work.max_prompt);
    const double flops_s = s->t->result->speed.flops_s * GOOD;
    return 6 * rows * layer / flops_s * RUNS * (double)s->t->result->train.n;
}

/* --- measuring ------------------------------------------------------------------------------ */

static enum gwen_status measure(struct train *s, size_t i, struct gwen_err *err) {
    struct gw_trainer *trainer;
    double seconds = 0;
    GW_TRY(gw_trainer_create(&s->first_layer, s->t->pool, &s->plans[i].trainer, &trainer, err));
    enum gwen_status status = GWEN_OK;
    for (int run = 0; run < RUNS && status == GWEN_OK; run++) {
        const uint64_t start = gw_now_ns();
        status = gw_trainer_accumulate(trainer, s->groups, s->n_groups, loss, NULL, err);
        gw_trainer_finish(trainer);
        seconds = gw_seconds_since(start);
        if (status == GWEN_OK) status = gw_tune_tick(s->t, err);
    }
    gw_trainer_free(trainer);
    if (status == GWEN_OK) gw_series_add(&s->times[i], seconds);
    return status;
}

static enum gwen_status measure_all(struct train *s, double seconds, struct gwen_err *err) {
    const uint64_t start = gw_now_ns();
    for (size_t round = 0; round < MOST_ROUNDS; round++) {
        const double spent = gw_seconds_since(start);
        if (round >= LEAST_ROUNDS && spent + spent / (double)round > seconds) break;
        for (size_t i = 0; i < s->t->result->train.n; i++) GW_TRY(measure(s, i, err));
    }
    return GWEN_OK;
}

/* The smallest that is nearly as fast as the fastest. */
static void choose(struct train *s) {
    struct gw_tune_train *r = &s->t->result->train;
    double best = gw_series_mean(&s->times[0]);
    for (size_t i = 0; i < r->n; i++) {
        r->choices[i].seconds = gw_series_mean(&s->times[i]);
        best = GW_MIN(best, r->choices[i].seconds);
    }
    size_t i = 0;
    while (r->choices[i].seconds > best * (1 + WORTH)) i++;
    r->micro_batch = r->choices[i].micro_batch;
}

static enum gwen_status work(struct train *s, double seconds, struct gwen_err *err) {
    struct gw_tune_train *r = &s->t->result->train;
    GW_TRY(make_work(s, err));
    if (plan(s, &r->why) != GWEN_OK) return GWEN_OK;
    const double least = LEAST_ROUNDS * expected(s);
    if (least > seconds) {
        gw_fail(&r->why, GWEN_ERR_CANCELLED,
                "measuring takes about %.0f s, %.0f are left: raise %s", least, GW_MAX(seconds, 0),
                gw_knob(GW_KNOB_TUNE_SECONDS));
        r->n = 0;
        return GWEN_OK;
    }
    GW_TRY(measure_all(s, seconds, err));
    choose(s);
    return GWEN_OK;
}

enum gwen_status gw_tune_train(struct gw_tune *t, double seconds, struct gwen_err *err) {
    struct train s = {.t = t};
    enum gwen_status status = work(&s, seconds, err);
    free_work(&s);
    return status;
}

/* tune.c - see tune.h: the order of things, and the decision. */
#include "service/tune/train.h"

#include "base/clock.h"
#include "ops/peak.h"

#include <math.h>

enum {
    FINALISTS = 3, /* run for real */
    REAL_ROUNDS = 2,
    LEAST_STEPS = 24 /* of a real run, or it says nothing */
};

/* Shares of the time. */
static const double LINEAR_SHARE = 0.15, CURVE_SHARE = 0.45, TRAIN_SHARE = 0.4, REAL_SHARE = 0.9;
static const double WORTH = 0.02; /* less is no difference */
static const size_t PEAK_BYTES = (size_t)256 << 20;

static bool tick(void *ctx) {
    struct gwen_err err;
    return gw_tune_tick(ctx, &err) == GWEN_OK;
}

/* --- peaks ---------------------------------------------------------------------------------- */

static void measure_peaks(struct gw_tune *t) {
    const struct gw_model *m = t->opts->model;
    struct gw_tune_result *r = t->result;
    struct gw_read_peak read;
    const double share = gw_tune_is_small(t) ? 0.02 : GW_MIN(0.25, t->opts->seconds / 50);
    const size_t bytes = gw_tune_is_small(t) ? PEAK_BYTES / 8 : PEAK_BYTES;
    r->flops_s = gw_peak_flops(&m->arith, t->pool, share / 4);
    if (gw_peak_read(&m->arith, t->pool, GW_MIN(bytes, t->free_bytes), share, &read, NULL) ==
        GWEN_OK)
        r->bytes_s = read.bytes_s;
    if (!(r->flops_s > 0 && r->bytes_s > 0)) return;
    r->speed.flops_s = r->flops_s;
    r->speed.bytes_s = r->bytes_s;
    r->speed.source = GW_SPEED_PEAKS;
}

/* --- the queue ------------------------------------------------------------------------------ */

static struct gw_plan_options plan_base(const struct gw_tune *t) {
    struct gw_plan_options base = t->opts->base;
    base.n_threads = (int)t->result->threads;
    base.engine.prefill_rows = t->result->prefill_rows;
    return base;
}

/* Plays the queue with what is known of the speed by now. */
static enum gwen_status compare(struct gw_tune *t, struct gw_rollout_choice *choices, size_t *n,
                                struct gwen_err *err) {
    const struct gw_tune_opts *o = t->opts;
    const struct gw_plan_options base = plan_base(t);
    const struct gw_queue_opts opts = gw_rollout_queue(o->prompts, o->rollout);
    struct gw_queue *queue;
    GW_TRY(gw_queue_create(&opts, &queue, err));
    enum gwen_status status = gw_rollout_compare(&base, &t->result->speed, o->prompts, o->rollout,
                                                 queue, o->budget_bytes, n, choices, err);
    gw_queue_free(queue);
    return status;
}

/* The noise of the measured steps that a batch size is judged by. */
static double curve_noise(const struct gw_speed *s, size_t batch) {
    if (s->source != GW_SPEED_CURVE) return 0.1; /* a roofline's, roughly */
    size_t i = 0;
    while (i + 1 < s->curve.n_points && s->curve.points[i].batch < batch) i++;
    return s->curve.points[i].noise;
}

/* --- real runs ------------------------------------------------------------------------------ */

/* The same queue with samples so much shorter that it takes about `seconds`. */
struct short_queue {
    struct gw_prompts prompts;
    struct gw_rollout_opts rollout;
    struct gw_queue *queue;
};

static enum gwen_status shorten(const struct gw_tune *t, double scale, struct short_queue *s,
                                struct gwen_err *err) {
    const struct gw_tune_opts *o = t->opts;
    s->prompts = *o->prompts;
    s->rollout = *o->rollout;
    s->prompts.max_tokens = GW_MAX((size_t)((double)o->prompts->max_tokens * scale), (size_t)2);
    s->rollout.length_lo = (size_t)((double)o->rollout->length_lo * scale);
    s->rollout.length_hi = (size_t)((double)o->rollout->length_hi * scale);
    if (o->rollout->length_hi > 0) {
        s->rollout.length_lo = GW_MAX(s->rollout.length_lo, (size_t)1);
        s->rollout.length_hi = GW_MAX(s->rollout.length_hi, (size_t)2);
    }
    const struct gw_queue_opts q = gw_rollout_queue(&s->prompts, &s->rollout);
    return gw_queue_create(&q, &s->queue, err);
}

/* Runs the short queue with a candidate's batch size: how much faster (1.02: 2 %) is it than
 * played?  0: could not be told. */
static enum gwen_status run_short(struct gw_tune *t, const struct short_queue *s, size_t batch,
                                  double limit, double *ratio, struct gwen_err *err) {
    const struct gw_plan_options base = plan_base(t);
    struct gw_rollout_plan plan;
    struct gw_queue_result played;
    struct gw_tune_real real;
    *ratio = 0;
    GW_TRY(gw_rollout_plan(&base, NULL, &s->prompts, &s->rollout, batch, t->opts->budget_bytes,
                           &plan, err));
    GW_TRY(gw_queue_run(s->queue, &plan.options.engine, &t->result->speed, &played, err));
    if (played.seconds > limit) return GWEN_OK;
    GW_TRY(gw_tune_real(t->opts->model, t->pool, s->queue, &plan, gw_tune_left(t), tick, t, &real,
                        err));
    *ratio = real.tok_s * played.seconds / played.tokens;
    return GWEN_OK;
}

static size_t choose(const struct gw_tune_result *r) {
    struct gw_rollout_choice choices[GW_ROLLOUT_CANDIDATES];
    double noise = WORTH;
    for (size_t i = 0; i < r->n_candidates; i++) {
        choices[i] = r->candidates[i].choice;
        if (choices[i].tok_s > 0)
            noise = GW_MAX(noise, r->candidates[i].tok_s_std / choices[i].tok_s);
    }
    /* Noise beyond that is a reason to measure again, not to give away speed. */
    return gw_rollout_choose(choices, r->n_candidates, GW_MIN(noise, 2 * WORTH));
}

/* What is decided between: the best one, the smallest near it, and the one below that. */
static size_t finalists(const struct gw_tune_result *r, size_t out[FINALISTS]) {
    size_t n = 0, best = 0;
    const size_t chosen = choose(r);
    for (size_t i = 0; i < r->n_candidates; i++)
        if (r->candidates[i].choice.tok_s > r->candidates[best].choice.tok_s) best = i;
    if (chosen > 0) out[n++] = chosen - 1;
    out[n++] = chosen;
    if (best != chosen) out[n++] = best;
    return n;
}

/* Real runs correct the candidates' speeds: all by the mean of the ratios; a candidate that was run
 * by its own, where that differs by more than the noise of its runs. */
static void correct(struct gw_tune_result *r, const size_t *final, const struct gw_series *ratios,
                    size_t n, const struct gw_log *log) {
    struct gw_series all = {0};
    double noise = 0, mean, spread, error;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < ratios[i].n; k++) gw_series_add(&all, ratios[i].values[k]);
    if (all.n == 0) return;
    mean = gw_tune_mean(all.values, all.n, &spread);
    for (size_t i = 0; i < n; i++) {
        if (ratios[i].n < 2) continue;
        gw_tune_mean(ratios[i].values, ratios[i].n, &error);
        noise = GW_MAX(noise, error);
    }
    for (size_t i = 0; i < r->n_candidates; i++) {
        struct gw_tune_candidate *c = &r->candidates[i];
        double ratio = mean;
        for (size_t k = 0; k < n; k++) {
            if (final[k] != i || ratios[k].n == 0) continue;
            const double own = gw_tune_mean(ratios[k].values, ratios[k].n, &error);
            gw_log(log, GWEN_LOG_DEBUG, "batch %zu: real runs have %.1f %% of the speed played",
                   c->choice.batch, 100 * own);
            c->real = true;
            if (ratios[k].n > 1 && fabs(own - mean) > 2 * noise) ratio = own;
        }
        c->choice.tok_s *= ratio;
        c->tok_s_std = c->choice.tok_s * hypot(all.n > 1 ? spread / mean : 0,
                                               curve_noise(&r->speed, c->choice.batch));
    }
    /* What the engine does between steps, the curve is to know too. */
    struct gw_speed_curve *curve = &r->speed.curve;
    for (size_t i = 0; i < curve->n_points; i++) {
        curve->points[i].near_s /= mean;
        curve->points[i].far_s /= mean;
    }
    curve->prefill_s /= mean;
}

/* How much shorter the samples of a real run of about `seconds` have to be; 0: too short to say
 * anything. */
static double short_scale(const struct gw_tune *t, const size_t *final, size_t n, double seconds) {
    const struct gw_tune_result *r = t->result;
    const struct gw_queue_opts q = gw_rollout_queue(t->opts->prompts, t->opts->rollout);
    const double samples = (double)q.n_prompts * (double)q.groups;
    const double mean = (double)(q.length_lo + q.length_hi) / 2;
    double slowest = INFINITY, rows = 1;
    for (size_t i = 0; i < n; i++) {
        slowest = GW_MIN(slowest, r->candidates[final[i]].choice.tok_s);
        rows = GW_MAX(rows, (double)r->candidates[final[i]].choice.batch);
    }
    const double scale = GW_MIN(0.8 * seconds * slowest / (samples * mean), 1);
    return mean * scale * GW_MAX(samples / rows, 1) >= LEAST_STEPS ? scale : 0;
}

static enum gwen_status run_real(struct gw_tune *t, struct gwen_err *err) {
    struct gw_tune_result *r = t->result;
    struct gw_series ratios[FINALISTS] = {0};
    struct short_queue s = {0};
    size_t final[FINALISTS], rounds = REAL_ROUNDS;
    const size_t n = r->speed.source == GW_SPEED_CURVE ? finalists(r, final) : 0;
    double each = n > 0 ? gw_tune_left(t) * REAL_SHARE / (double)(n * rounds) : 0, scale = 0;
    if (gw_tune_is_small(t)) each = GW_MIN(each, 0.05);
    for (; n > 0 && rounds > 0; rounds--, each *= REAL_ROUNDS)
        if ((scale = short_scale(t, final, n, each)) > 0) break;
    enum gwen_status status = scale > 0 ? shorten(t, scale, &s, err) : GWEN_OK;
    for (size_t round = 0; s.queue != NULL && round < rounds; round++)
        for (size_t i = 0; i < n && status == GWEN_OK; i++) {
            double ratio;
            status = run_short(t, &s, r->candidates[final[i]].choice.batch, each, &ratio, err);
            if (status == GWEN_OK && ratio > 0) gw_series_add(&ratios[i], ratio);
        }
    gw_queue_free(s.queue);
    if (status == GWEN_OK) correct(r, final, ratios, n, t->opts->log);
    return status;
}

/* --- all of it ------------------------------------------------------------------------------ */

static enum gwen_status decide(struct gw_tune *t, struct gwen_err *err) {
    struct gw_tune_result *r = t->result;
    struct gw_rollout_choice choices[GW_ROLLOUT_CANDIDATES];
    GW_TRY(compare(t, choices, &r->n_candidates, err));
    for (size_t i = 0; i < r->n_candidates; i++)
        r->candidates[i] = (struct gw_tune_candidate){
            .choice = choices[i],
            .tok_s_std = choices[i].tok_s * curve_noise(&r->speed, choices[i].batch)};
    GW_TRY(run_real(t, err));
    r->chosen = choose(r);
    return GWEN_OK;
}

static enum gwen_status work(struct gw_tune *t, struct gwen_err *err) {
    struct gw_tune_result *r = t->result;
    struct gw_rollout_choice choices[GW_ROLLOUT_CANDIDATES];
    size_t batches[GW_ROLLOUT_CANDIDATES], n, n_fit = 0;
    GW_TRY(compare(t, choices, &n, err));
    while (n_fit < n && choices[n_fit].fits) {
        batches[n_fit] = choices[n_fit].batch;
        n_fit++;
    }
    measure_peaks(t);
    GW_TRY(gw_tune_tick(t, err));
    GW_TRY(gw_tune_threads(t, err));
    GW_TRY(gw_tune_linear(t, batches[n_fit - 1] + r->prefill_rows, gw_tune_left(t) * LINEAR_SHARE,
                          err));
    GW_TRY(gw_tune_curve(t, batches, n_fit, gw_tune_left(t) * CURVE_SHARE, err));
    GW_TRY(gw_tune_train(t, gw_tune_left(t) * TRAIN_SHARE, err));
    GW_TRY(decide(t, err));
    r->linear = t->opts->model->tuning;
    r->seconds = gw_seconds_since(t->opts->start_ns);
    return GWEN_OK;
}

enum gwen_status gw_tune_run(const struct gw_tune_opts *o, struct gw_tune_result *r,
                             struct gwen_err *err) {
    struct gw_tune t = {.opts = o, .result = r, .pool = o->pool};
    struct gw_rollout_plan least;
    *r = (struct gw_tune_result){.threads = o->threads[0], .prefill_rows = GW_ENGINE_PREFILL_ROWS};
    GW_TRY(
        gw_rollout_plan(&o->base, NULL, o->prompts, o->rollout, 1, o->budget_bytes, &least, err));
    t.free_bytes = o->budget_bytes - gw_model_bytes(o->base.cfg, o->base.format) - o->base.other;
    gw_speed_assume(&o->base, &o->model->arith, &r->speed);
    gw_progress_init(&t.progress, o->progress, o->progress_user, "tune", "s",
                     (uint64_t)ceil(GW_MAX(o->seconds, 1)));
    enum gwen_status status = work(&t, err);
    gw_pool_free(t.own_pool);
    return status;
}

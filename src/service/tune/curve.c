/* curve.c - threads, rows of prefill, and the time of steps by batch size and context. */
#include "service/tune/impl.h"
#include "service/tune/steps.h"

enum {
    THREAD_ROWS = 16, /* rows of the step that threads and prefill are compared with */
    THREAD_ROUNDS = 6,
    PREFILL_ROUNDS = 5,
    LEAST_ROUNDS = 3,
    MOST_ROUNDS = 12,
    FLAT = 3 /* batch sizes in a row that bring nothing: larger ones are not measured */
};

static const double WORTH = 0.02;         /* less is no difference */
static const double QUIET_ENOUGH = 0.004; /* noise at which measuring ends */

/* Where two differ by less than the noise the first one stays. */
static bool is_faster(const struct gw_series *than, const struct gw_series *s) {
    double noise;
    const double slower = gw_series_compare(than, s, &noise);
    return -slower > WORTH + 2 * noise;
}

/* The widest steps, no wider than `rows`, that the memory allows; 0 rows: none. */
static struct gw_steps_opts steps_opts(const struct gw_tune *t, size_t rows, size_t prefill,
                                       size_t own_tokens, size_t n_threads) {
    const struct gw_tune_opts *o = t->opts;
    const struct gw_queue_opts q = gw_rollout_queue(o->prompts, o->rollout);
    struct gw_steps_opts s = {.rows = rows,
                              .prefill = prefill,
                              .prompt_tokens = q.prompt_tokens,
                              .groups = q.groups,
                              .own_tokens = own_tokens};
    while (s.rows > 0 &&
           gw_steps_bytes(o->base.cfg, o->base.format, &s, (int)n_threads) > t->free_bytes) {
        if (s.prefill > GW_ENGINE_PREFILL_ROWS / 4)
            s.prefill /= 2;
        else
            s.rows--;
    }
    return s;
}

/* Tokens of their own that rows have half-way. */
static size_t far_tokens(const struct gw_tune *t) {
    const struct gw_queue_opts q = gw_rollout_queue(t->opts->prompts, t->opts->rollout);
    return GW_MAX((q.length_lo + q.length_hi) / 2, (size_t)2);
}

/* --- threads -------------------------------------------------------------------------------- */

struct team {
    struct gw_pool *pool;
    struct gw_steps *steps;
    struct gw_series series;
};

static enum gwen_status open_teams(struct gw_tune *t, struct team *teams, struct gwen_err *err) {
    const struct gw_tune_opts *o = t->opts;
    struct gw_tune half = *t;
    half.free_bytes /= o->n_threads;
    for (size_t i = 0; i < o->n_threads; i++) {
        const struct gw_steps_opts s = steps_opts(&half, THREAD_ROWS, 0, 2, o->threads[i]);
        if (s.rows == 0) return GWEN_OK;
        GW_TRY(gw_pool_create((int)o->threads[i], &teams[i].pool, err));
        if (o->hw != NULL) gw_pool_bind(teams[i].pool, o->hw, o->bind);
        GW_TRY(gw_steps_open(o->model, teams[i].pool, &s, &teams[i].steps, err));
    }
    return GWEN_OK;
}

static enum gwen_status compare_teams(struct gw_tune *t, struct team *teams, size_t *chosen,
                                      struct gwen_err *err) {
    const size_t n = t->opts->n_threads;
    if (teams[n - 1].steps == NULL) return GWEN_OK; /* no memory to compare them in */
    for (size_t round = 0; round < THREAD_ROUNDS && gw_tune_left(t) > 0; round++) {
        for (size_t i = 0; i < n; i++) {
            const double once = gw_steps_time(teams[i].steps, THREAD_ROWS, 2, 0, 1);
            gw_series_add(&teams[i].series, gw_steps_time(teams[i].steps, THREAD_ROWS, 2, 0,
                                                          gw_tune_repeat(t, once)));
        }
        GW_TRY(gw_tune_tick(t, err));
    }
    if (teams[0].series.n < LEAST_ROUNDS) return GWEN_OK;
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (is_faster(&teams[best].series, &teams[i].series)) best = i;
    *chosen = best;
    return GWEN_OK;
}

enum gwen_status gw_tune_threads(struct gw_tune *t, struct gwen_err *err) {
    const struct gw_tune_opts *o = t->opts;
    struct team teams[GW_ARRAY_LEN(o->threads)] = {0};
    size_t chosen = 0;
    enum gwen_status status = GWEN_OK;
    if (o->n_threads > 1) status = open_teams(t, teams, err);
    if (o->n_threads > 1 && status == GWEN_OK) status = compare_teams(t, teams, &chosen, err);
    for (size_t i = 0; i < o->n_threads; i++) {
        gw_steps_close(teams[i].steps);
        if (i == chosen && i > 0)
            t->pool = t->own_pool = teams[i].pool;
        else
            gw_pool_free(teams[i].pool);
    }
    t->result->threads = o->threads[chosen];
    return status;
}

/* --- prefill -------------------------------------------------------------------------------- */

/* The fewest rows of prefill whose tokens cost within WORTH of the cheapest. */
static enum gwen_status choose_prefill(struct gw_tune *t, struct gw_steps *s, size_t most,
                                       double seconds, struct gwen_err *err) {
    static const size_t sizes[] = {0, 64, 128, 256, 512};
    struct gw_series series[GW_ARRAY_LEN(sizes)] = {0};
    double cost[GW_ARRAY_LEN(sizes)] = {0}, best = 0;
    const double until = gw_tune_left(t) - seconds;
    size_t n = 1;
    while (n < GW_ARRAY_LEN(sizes) && sizes[n] <= most) n++;
    for (size_t round = 0; round < PREFILL_ROUNDS && gw_tune_left(t) > until; round++) {
        for (size_t i = 0; i < n && gw_tune_left(t) > 0; i++) {
            const size_t repeat = gw_tune_repeat(t, gw_steps_time(s, THREAD_ROWS, 2, sizes[i], 1));
            gw_series_add(&series[i], gw_steps_time(s, THREAD_ROWS, 2, sizes[i], repeat));
        }
        GW_TRY(gw_tune_tick(t, err));
    }
    if (n == 1 || series[n - 1].n == 0) return GWEN_OK;
    for (size_t i = 1; i < n; i++) {
        cost[i] =
            GW_MAX(gw_series_mean(&series[i]) - gw_series_mean(&series[0]), 0) / (double)sizes[i];
        if (i == 1 || cost[i] < best) best = cost[i];
    }
    for (size_t i = n; i-- > 1;)
        if (cost[i] <= best * (1 + WORTH)) {
            t->result->prefill_rows = sizes[i];
            t->result->speed.curve.prefill_s = cost[i];
        }
    return GWEN_OK;
}

/* --- the curve ------------------------------------------------------------------------------ */

struct point {
    size_t batch;
    struct gw_series near, far;
};

static void measure(struct gw_tune *t, struct gw_steps *s, size_t own, struct point *p,
                    struct gw_series *series) {
    const double once = series->n > 0 ? series->values[0] : gw_steps_time(s, p->batch, own, 0, 1);
    gw_series_add(series, gw_steps_time(s, p->batch, own, 0, gw_tune_repeat(t, once)));
}

/* The first round, upwards; returns how many points are worth going on with. */
static size_t first_round(struct gw_tune *t, struct gw_steps *s, struct point *points, size_t n,
                          size_t far, struct gwen_err *err, enum gwen_status *status) {
    double best = 0;
    size_t flat = 0, i;
    for (i = 0; i < n && flat < FLAT && gw_tune_left(t) > 0; i++) {
        measure(t, s, 1, &points[i], &points[i].near);
        measure(t, s, far, &points[i], &points[i].far);
        const double rate = (double)points[i].batch / points[i].far.values[0];
        flat = rate > best * (1 + WORTH) || points[i].batch < THREAD_ROWS ? 0 : flat + 1;
        best = GW_MAX(best, rate);
        *status = gw_tune_tick(t, err);
        if (*status != GWEN_OK) return 0;
    }
    return i;
}

static enum gwen_status measure_points(struct gw_tune *t, struct gw_steps *s, struct point *points,
                                       size_t *n, size_t far, double seconds,
                                       struct gwen_err *err) {
    const double until = gw_tune_left(t) - seconds;
    enum gwen_status status = GWEN_OK;
    *n = first_round(t, s, points, *n, far, err, &status);
    GW_TRY(status);
    for (size_t round = 1; round < MOST_ROUNDS && gw_tune_left(t) > GW_MAX(until, 0); round++) {
        double noise = 0;
        for (size_t i = 0; i < *n && gw_tune_left(t) > 0; i++) {
            measure(t, s, 1, &points[i], &points[i].near);
            measure(t, s, far, &points[i], &points[i].far);
            noise = GW_MAX(noise, gw_series_noise(&points[i].near));
            noise = GW_MAX(noise, gw_series_noise(&points[i].far));
            GW_TRY(gw_tune_tick(t, err));
        }
        if (round >= LEAST_ROUNDS && noise < QUIET_ENOUGH) break;
    }
    return GWEN_OK;
}

/* Fewer rows, or shorter ones, take no longer: what says so was disturbed. */
static void straighten(struct gw_speed_curve *c) {
    for (size_t i = c->n_points; i-- > 0;) {
        struct gw_speed_point *p = &c->points[i];
        if (i + 1 < c->n_points) p->far_s = GW_MIN(p->far_s, p[1].far_s);
        if (i + 1 < c->n_points) p->near_s = GW_MIN(p->near_s, p[1].near_s);
        p->near_s = GW_MIN(p->near_s, p->far_s);
    }
}

static void keep_curve(struct gw_tune *t, const struct point *points, size_t n, size_t far,
                       const struct gw_steps_opts *s) {
    struct gw_speed_curve curve = t->result->speed.curve; /* prefill is there already */
    curve.prompt_tokens = s->prompt_tokens;
    curve.groups = s->groups;
    curve.near_tokens = 1;
    curve.far_tokens = far;
    curve.n_points = 0;
    for (size_t i = 0; i < n; i++) {
        const struct point *p = &points[i];
        if (p->far.n == 0) break;
        curve.points[curve.n_points++] = (struct gw_speed_point){
            .batch = p->batch,
            .near_s = gw_series_mean(&p->near),
            .far_s = gw_series_mean(&p->far),
            .noise = GW_MAX(gw_series_noise(&p->near), gw_series_noise(&p->far))};
    }
    straighten(&curve);
    if (curve.prefill_s <= 0 && curve.n_points > 1)
        curve.prefill_s = curve.points[curve.n_points - 1].near_s /
                          (double)curve.points[curve.n_points - 1].batch;
    if (curve.n_points > 1) gw_speed_set_curve(&t->result->speed, &curve);
}

enum gwen_status gw_tune_curve(struct gw_tune *t, const size_t *batches, size_t n, double seconds,
                               struct gwen_err *err) {
    const size_t most_prefill = GW_MIN(t->opts->prompts->n_tokens, (size_t)512);
    const size_t far = far_tokens(t);
    const struct gw_steps_opts opts =
        steps_opts(t, batches[n - 1], most_prefill, far, t->result->threads);
    struct point points[GW_ROLLOUT_CANDIDATES] = {0};
    struct gw_steps *s;
    if (opts.rows == 0) return GWEN_OK;
    while (n > 0 && batches[n - 1] > opts.rows) n--;
    for (size_t i = 0; i < n; i++) points[i].batch = batches[i];
    GW_TRY(gw_steps_open(t->opts->model, t->pool, &opts, &s, err));
    enum gwen_status status = choose_prefill(t, s, opts.prefill, seconds / 4, err);
    if (status == GWEN_OK) status = measure_points(t, s, points, &n, far, seconds * 3 / 4, err);
    if (status == GWEN_OK) keep_curve(t, points, n, far, &opts);
    gw_steps_close(s);
    return status;
}

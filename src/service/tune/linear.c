/* linear.c - which cuts of a product are fastest, range by range of rows.
 *
 * The layers' products run as they do in a step, over enough layers that weights come from memory
 * where they do so in earnest.  One thing is changed at a time (tile, then block of K, then
 * prefetch distance), and kept only if it is faster by more than 2 % and the noise. */
#include "service/tune/impl.h"

#include "base/clock.h"
#include "base/layout.h"

#include <string.h>

enum { MOST_CHOICES = 5, ROUNDS = 9, LEAST_ROUNDS = 5 };

static const double WORTH = 0.02;
static const size_t PASS_BYTES = (size_t)96 << 20; /* of weights in one measurement */

struct pass {
    const struct gw_model *model;
    struct gw_pool *pool;
    size_t n_layers, m, x_stride, scratch_bytes, repeat;
    char *x, *scratch;
};

static void ignore(void *ctx, int thread, size_t m0, size_t m, size_t n0, size_t n, float *c,
                   size_t c_stride) {
    (void)ctx, (void)thread, (void)m0, (void)m, (void)n0, (void)n, (void)c, (void)c_stride;
}

static void pass_region(void *ctx, int thread, int n_threads) {
    const struct pass *p = ctx;
    (void)n_threads;
    char *scratch = p->scratch + (size_t)thread * p->scratch_bytes;
    for (size_t i = 0; i < p->repeat * p->n_layers; i++) {
        const struct gw_layer *l = &p->model->layers[i % p->n_layers];
        const struct gw_packed *const all[] = {&l->qkv, &l->o, &l->gate_up, &l->down};
        for (size_t j = 0; j < GW_ARRAY_LEN(all); j++)
            gw_linear(&p->model->arith, all[j], p->m, p->x, p->x_stride, ignore, NULL, scratch,
                      p->pool, thread);
    }
}

static double seconds_of(struct pass *p, size_t repeat) {
    p->repeat = repeat;
    const uint64_t start = gw_now_ns();
    gw_pool_run(p->pool, pass_region, p);
    return gw_seconds_since(start) / (double)repeat;
}

/* --- one choice ----------------------------------------------------------------------------- */

enum what { PANELS, BLOCK, AHEAD, N_WHATS };

static uint32_t *field(struct gw_linear_cut *cut, enum what what) {
    return what == PANELS ? &cut->panels : what == BLOCK ? &cut->block_bytes : &cut->ahead_bytes;
}

/* Values to be tried besides the present one. */
static size_t choices(enum what what, uint32_t now, uint32_t out[MOST_CHOICES]) {
    static const uint32_t panels[] = {1, 2, 3, 4}, blocks[] = {8192, 16384, 65536, 131072},
                          aheads[] = {4096, 16384, 32768};
    const uint32_t *from = what == PANELS ? panels : what == BLOCK ? blocks : aheads;
    const size_t n = what == PANELS  ? GW_ARRAY_LEN(panels)
                     : what == BLOCK ? GW_ARRAY_LEN(blocks)
                                     : GW_ARRAY_LEN(aheads);
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        if (from[i] != now) out[k++] = from[i];
    return k;
}

static double time_with(struct pass *p, struct gw_model *model, size_t range,
                        struct gw_linear_cut cut, size_t repeat) {
    struct gw_linear_tuning t = model->tuning;
    const struct gw_linear_tuning before = t;
    t.ranges[range] = cut;
    gw_model_tune(model, &t);
    const double seconds = seconds_of(p, repeat);
    gw_model_tune(model, &before);
    return seconds;
}

/* Measures the present cut and all choices in turns; the best one becomes the model's. */
static enum gwen_status choose(struct gw_tune *tune, struct pass *p, size_t range, enum what what,
                               double seconds, struct gwen_err *err) {
    struct gw_model *model = tune->opts->model;
    const struct gw_linear_cut now = model->tuning.ranges[range];
    struct gw_linear_cut cuts[1 + MOST_CHOICES] = {now};
    struct gw_series series[1 + MOST_CHOICES] = {0};
    uint32_t values[MOST_CHOICES];
    const size_t n = 1 + choices(what, *field(&cuts[0], what), values);
    const uint64_t start = gw_now_ns();
    const size_t repeat = gw_tune_repeat(tune, seconds_of(p, 1));
    for (size_t i = 1; i < n; i++) {
        cuts[i] = now;
        *field(&cuts[i], what) = values[i - 1];
    }
    for (size_t round = 0; round < ROUNDS; round++) {
        if (gw_seconds_since(start) > seconds || gw_tune_left(tune) <= 0) break;
        for (size_t i = 0; i < n; i++)
            gw_series_add(&series[i], time_with(p, model, range, cuts[i], repeat));
        GW_TRY(gw_tune_tick(tune, err));
    }
    if (series[0].n < LEAST_ROUNDS) return GWEN_OK;
    size_t best = 0;
    double gain = 0;
    for (size_t i = 1; i < n; i++) {
        double noise;
        const double slower = gw_series_compare(&series[0], &series[i], &noise);
        if (-slower < WORTH + 2 * noise || -slower <= gain) continue;
        best = i;
        gain = -slower;
    }
    struct gw_linear_tuning t = model->tuning;
    t.ranges[range] = cuts[best];
    gw_model_tune(model, &t);
    if (best > 0)
        gw_log(
            tune->opts->log, GWEN_LOG_DEBUG,
            "products of %zu rows: %u panels, blocks of %u and %u bytes ahead are %.1f %% faster",
            p->m, cuts[best].panels, cuts[best].block_bytes, cuts[best].ahead_bytes, 100 * gain);
    return GWEN_OK;
}

/* --- all of them ---------------------------------------------------------------------------- */

/* A number of rows that stands for its range. */
static size_t rows_of(size_t range, size_t max_rows) {
    static const size_t rows[GW_LINEAR_RANGES] = {2, 8, 16, 32, 64, 256};
    return GW_MIN(rows[range], max_rows);
}

static size_t layer_bytes(const struct gw_layer *l) {
    return l->qkv.n_panels * l->qkv.panel_stride + l->o.n_panels * l->o.panel_stride +
           l->gate_up.n_panels * l->gate_up.panel_stride + l->down.n_panels * l->down.panel_stride;
}

static void lay_out(struct gw_layout *l, size_t rows, struct pass *p) {
    p->scratch_bytes = gw_round_up(gw_linear_scratch_bytes(), 4096);
    p->x = gw_layout_take(l, rows, p->x_stride);
    gw_layout_align(l, 4096);
    p->scratch = gw_layout_take(l, (size_t)gw_pool_threads(p->pool), p->scratch_bytes);
}

enum gwen_status gw_tune_linear(struct gw_tune *tune, size_t max_rows, double seconds,
                                struct gwen_err *err) {
    const struct gw_model *model = tune->opts->model;
    const struct gw_config *c = &model->cfg;
    const size_t k = GW_MAX(GW_MAX(c->hidden, c->ffn), c->n_heads * c->head_dim);
    struct pass p = {.model = model, .pool = tune->pool};
    struct gw_layout l = {0};
    struct gw_mem memory;
    p.x_stride = gw_packed_x_stride(model->arith.format, k);
    p.n_layers = GW_MIN(PASS_BYTES / layer_bytes(&model->layers[0]) + 1, c->n_layers);
    const size_t rows = rows_of(GW_LINEAR_RANGES - 1, max_rows);
    lay_out(&l, rows, &p);
    GW_TRY(gw_layout_map(&l, l.used, &memory, err));
    lay_out(&l, rows, &p);
    enum gwen_status status = gw_layout_end(&l, "products", err);
    if (status == GWEN_OK)
        memset(p.x, 0x3d, rows * p.x_stride); /* a small normal number in every type */
    const size_t last = gw_linear_range(max_rows);
    for (size_t range = 0; range <= last && status == GWEN_OK; range++) {
        p.m = rows_of(range, max_rows);
        for (enum what w = PANELS; w < N_WHATS && status == GWEN_OK; w++)
            status = choose(tune, &p, range, w, seconds / (double)((last + 1) * N_WHATS), err);
    }
    gw_mem_unmap(&memory);
    return status;
}

/* gemm.c - the rate of one packed product, the way the layers call it. */
#include "service/bench/bench.h"

#include "base/clock.h"
#include "base/layout.h"

#include <string.h>

enum { BEST_OF = 5 };

struct gemm {
    const struct gw_arith *arith;
    struct gw_pool *pool;
    struct gw_packed w;
    size_t m, x_stride, scratch_bytes, repeat;
    char *x, *scratch;
    float *y;
};

static void done(void *ctx, int thread, size_t m0, size_t m, size_t n0, size_t n, float *c,
                 size_t c_stride) {
    const struct gemm *g = ctx;
    (void)thread;
    for (size_t i = 0; i < m; i++)
        memcpy(g->y + (m0 + i) * g->w.n + n0, c + i * c_stride, n * sizeof *c);
}

static void fill_region(void *ctx, int thread, int n_threads) {
    const struct gemm *g = ctx;
    size_t begin, end;
    gw_share(g->w.n_panels, thread, n_threads, &begin, &end);
    /* A small normal number in every type. */
    memset((char *)g->w.data + begin * g->w.panel_stride, 0x3d, (end - begin) * g->w.panel_stride);
    if (thread == 0) memset(g->x, 0x3d, g->m * g->x_stride);
}

static void gemm_region(void *ctx, int thread, int n_threads) {
    struct gemm *g = ctx;
    (void)n_threads;
    for (size_t i = 0; i < g->repeat; i++)
        gw_linear(g->arith, &g->w, g->m, g->x, g->x_stride, done, g,
                  g->scratch + (size_t)thread * g->scratch_bytes, g->pool, thread);
}

static double seconds_of(struct gemm *g, size_t repeat) {
    g->repeat = repeat;
    uint64_t start = gw_now_ns();
    gw_pool_run(g->pool, gemm_region, g);
    return gw_seconds_since(start);
}

/* Each part begins on a page of its own. */
static void lay_out(struct gw_layout *l, size_t n, size_t k, struct gemm *g) {
    const enum gw_panel_format format = g->arith->format;
    gw_packed_init(&g->w, format, n, k, gw_layout_take(l, 1, gw_packed_bytes(format, n, k)));
    gw_layout_align(l, 4096);
    g->x_stride = gw_packed_x_stride(format, k);
    g->x = gw_layout_take(l, g->m, g->x_stride);
    gw_layout_align(l, 4096);
    g->y = gw_layout_take(l, g->m, n * sizeof *g->y);
    gw_layout_align(l, 4096);
    g->scratch_bytes = gw_round_up(gw_linear_scratch_bytes(), 4096);
    g->scratch = gw_layout_take(l, (size_t)gw_pool_threads(g->pool), g->scratch_bytes);
}

enum gwen_status gw_bench_gemm(const struct gw_arith *arith, struct gw_pool *pool, size_t m,
                               size_t n, size_t k, double seconds, double *flops_s,
                               struct gwen_err *err) {
    struct gemm g = {.arith = arith, .pool = pool, .m = m};
    struct gw_layout l = {0};
    struct gw_mem memory;
    lay_out(&l, n, k, &g);
    GW_TRY(gw_layout_map(&l, l.used, &memory, err));
    lay_out(&l, n, k, &g);
    const enum gwen_status status = gw_layout_end(&l, "a product", err);
    if (status != GWEN_OK) {
        gw_mem_unmap(&memory);
        return status;
    }
    gw_pool_run(pool, fill_region, &g);
    double once = seconds_of(&g, 1), best = seconds_of(&g, 1);
    size_t repeat = (size_t)(seconds / BEST_OF / GW_MAX(GW_MIN(once, best), 1e-7)) + 1;
    for (int i = 0; i < BEST_OF; i++) best = GW_MIN(best, seconds_of(&g, repeat) / (double)repeat);
    *flops_s = 2.0 * (double)m * (double)n * (double)k / best;
    gw_mem_unmap(&memory);
    return GWEN_OK;
}

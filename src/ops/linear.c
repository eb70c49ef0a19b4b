/* linear.c - packed weights and the blocked product over them.
 *
 * How the work of one thread is ordered, outermost first:
 *
 *     group of 4 panels (64 columns)     its weights stay in L2 while all rows pass
 *       chunk of rows                    its results [rows][64] stay in L2
 *         block of K                     at most 128 KB of weights, in L2
 *           tile of rows x panels        accumulators in registers: the micro-kernel
 *
 * While a block is computed the next one is prefetched into L2, each tile asking for an equal
 * share at an even pace, so that memory is read all the time and never in bursts.  (Without
 * that, batch 32 in bf16 drops from 91 % of the peak to 70 %; with it in bursts, to 66 %.)
 *
 * Sums carry over between blocks of K as floats in the result chunk: storing and reloading a
 * float is exact, so neither the block nor the chunk nor the tile changes a bit. */
#include "ops/linear.h"

#include "ref/math.h"

#include <string.h>

enum {
    AHEAD_BYTES = 4096, /* of each panel that the next product begins with */
    CHUNK_ROWS = 256,   /* rows of results kept in scratch: 64 KB */
    PACK_K = 256        /* elements of K per step of packing; even */
};

/* --- how products are cut ------------------------------------------------------------------- */
#define CUT                                                                                        \
    { 0, 32768, 8192 }
const struct gw_linear_tuning gw_linear_default = {{CUT, CUT, CUT, CUT, CUT, CUT}};
#undef CUT

size_t gw_linear_range_rows(size_t range) {
    return range + 1 < GW_LINEAR_RANGES ? (size_t)4 << range : SIZE_MAX;
}

size_t gw_linear_range(size_t m) {
    size_t range = 0;
    while (m > gw_linear_range_rows(range)) range++;
    return range;
}

bool gw_linear_tuning_valid(const struct gw_linear_tuning *t) {
    for (size_t i = 0; i < GW_LINEAR_RANGES; i++) {
        const struct gw_linear_cut *c = &t->ranges[i];
        if (c->panels > GWEN_TILE_PANELS || c->block_bytes < GW_LINEAR_MIN_BYTES ||
            c->block_bytes > GW_LINEAR_MAX_BYTES || c->ahead_bytes < GW_LINEAR_MIN_BYTES ||
            c->ahead_bytes > GW_LINEAR_MAX_BYTES)
            return false;
    }
    return true;
}

/* --- layout --------------------------------------------------------------------------------- */
size_t gw_panel_bytes(enum gw_panel_format format, size_t k) {
    return gw_round_up(gw_padded_k(format, k) * GWEN_PANEL * gw_panel_elem(format), GW_CACHE_LINE);
}

size_t gw_packed_bytes(enum gw_panel_format format, size_t n, size_t k) {
    return (n + GWEN_PANEL - 1) / GWEN_PANEL * gw_panel_bytes(format, k);
}

void gw_packed_init(struct gw_packed *p, enum gw_panel_format format, size_t n, size_t k,
                    void *data) {
    *p = (struct gw_packed){.format = format,
                            .n = n,
                            .k = k,
                            .n_panels = (n + GWEN_PANEL - 1) / GWEN_PANEL,
                            .panel_stride = gw_panel_bytes(format, k),
                            .data = data,
                            .tuning = &gw_linear_default};
}

size_t gw_packed_x_stride(enum gw_panel_format format, size_t k) {
    size_t bytes = gw_round_up(gw_padded_k(format, k) * gw_x_elem(format), GW_CACHE_LINE);
    /* Rows a power of two apart would fall into the same sets of the L1 cache. */
    return bytes % 1024 == 0 ? bytes + GW_CACHE_LINE : bytes;
}

/* --- packing -------------------------------------------------------------------------------- */
void gw_packed_set_panel(const struct gwen_kernels *kern, struct gw_packed *p, size_t panel,
                         const void *const rows[GWEN_PANEL]) {
    /* The rows may lie anywhere, at any alignment (a mapped file): each step copies a piece of
     * every row side by side and packs that. */
    union {
        uint32_t u32[GWEN_PANEL * PACK_K];
        uint16_t u16[GWEN_PANEL * PACK_K];
    } piece;
    const size_t elem = gw_panel_elem(p->format);
    char *dst = (char *)p->data + panel * p->panel_stride, *end = dst + p->panel_stride;
    for (size_t k0 = 0; k0 < p->k; k0 += PACK_K) {
        const size_t k = GW_MIN((size_t)PACK_K, p->k - k0);
        for (size_t j = 0; j < GWEN_PANEL; j++) {
            char *to = (char *)&piece + j * PACK_K * elem;
            if (rows[j] != NULL)
                memcpy(to, (const char *)rows[j] + k0 * elem, k * elem);
            else
                memset(to, 0, k * elem);
        }
        switch (p->format) {
        case GW_PANEL_F32:
            kern->pack_32((uint32_t *)(void *)dst, piece.u32, PACK_K, GWEN_PANEL, k);
            break;
        case GW_PANEL_BF16X2:
            kern->pack_16x2((uint16_t *)(void *)dst, piece.u16, PACK_K, GWEN_PANEL, k);
            break;
        default: kern->pack_16((uint16_t *)(void *)dst, piece.u16, PACK_K, GWEN_PANEL, k); break;
        }
        dst += gw_padded_k(p->format, k) * GWEN_PANEL * elem;
    }
    memset(dst, 0, (size_t)(end - dst));
}

/* Index, in elements, of element k of column j in a panel. */
static size_t panel_index(enum gw_panel_format format, size_t j, size_t k) {
    if (format == GW_PANEL_BF16X2) return (k / 2 * GWEN_PANEL + j) * 2 + k % 2;
    return k * GWEN_PANEL + j;
}

void gw_packed_get_row(const struct gw_packed *p, size_t n, float *out) {
    const void *panel = (const char *)p->data + n / GWEN_PANEL * p->panel_stride;
    const size_t j = n % GWEN_PANEL;
    for (size_t k = 0; k < p->k; k++) {
        const size_t i = panel_index(p->format, j, k);
        switch (p->format) {
        case GW_PANEL_F32: out[k] = ((const float *)panel)[i]; break;
        case GW_PANEL_F16: out[k] = gwen_f16_to_float(((const struct gwen_f16 *)panel)[i]); break;
        default: out[k] = gwen_bf16_to_float(((const struct gwen_bf16 *)panel)[i]); break;
        }
    }
}

void gw_packed_get_16(const struct gw_packed *p, size_t row, size_t first, size_t n,
                      uint16_t *out) {
    const char *panel = (const char *)p->data + row / GWEN_PANEL * p->panel_stride;
    for (size_t i = 0; i < n; i++)
        out[i] = ((const uint16_t *)(const void *)
                      panel)[panel_index(p->format, row % GWEN_PANEL, first + i)];
}

void gw_packed_get_panel(const struct gwen_kernels *kern, const struct gw_packed *p, size_t panel,
                         uint16_t *out, size_t stride) {
    const char *data = (const char *)p->data + panel * p->panel_stride;
    if (p->format == GW_PANEL_BF16X2 && stride % 2 == 0) {
        /* A pair is 32 bits, and the panel a matrix of them. */
        kern->transpose_32((uint32_t *)(void *)out, stride / 2,
                           (const uint32_t *)(const void *)data, GWEN_PANEL,
                           gw_padded_k(p->format, p->k) / 2, GWEN_PANEL);
        return;
    }
    for (size_t j = 0; j < GWEN_PANEL; j++)
        for (size_t k = 0; k < p->k; k++)
            out[j * stride + k] =
                ((const uint16_t *)(const void *)data)[panel_index(p->format, j, k)];
}

/* --- products ------------------------------------------------------------------------------- */
/* The micro-kernel of a format and what surrounds it. */
struct micro {
    void (*run)(const struct gwen_tile *t);
    struct gwen_tile_shape shape;
    size_t x_elem, w_elem;
    size_t step_bytes;        /* of a panel, that one step of the kernel takes */
    struct gw_linear_cut cut; /* for the rows at hand */
};

static struct micro micro_of(const struct gw_arith *arith, struct gw_linear_cut cut) {
    const struct gwen_kernels *kern = arith->kern;
    switch (arith->format) {
    case GW_PANEL_F32: return (struct micro){kern->gemm_f32, kern->tile_f32, 4, 4, 64, cut};
    case GW_PANEL_F16: return (struct micro){kern->gemm_f16, kern->tile_f16, 4, 2, 32, cut};
    case GW_PANEL_BF16: return (struct micro){kern->gemm_bf16, kern->tile_bf16, 4, 2, 32, cut};
    default: return (struct micro){kern->gemm_bf16dot, kern->tile_bf16dot, 2, 2, 64, cut};
    }
}

/* Panels per tile for m rows against n_panels panels.  Unless told otherwise few rows want few
 * passes over the weights: the most panels that take all rows in one tile, else two tall tiles.
 * Many rows want the fastest tile. */
static size_t pick_panels(const struct micro *micro, size_t m, size_t n_panels) {
    const struct gwen_tile_shape *shape = &micro->shape;
    const size_t most = GW_MIN(n_panels, (size_t)GWEN_TILE_PANELS);
    if (micro->cut.panels > 0) return GW_MIN(n_panels, (size_t)micro->cut.panels);
    if (m <= shape->rows[most]) return most;
    if (m <= 2 * (size_t)shape->rows[2]) return GW_MIN(n_panels, (size_t)2);
    return GW_MIN(n_panels, (size_t)shape->nv);
}

/* Cuts `all`, which may be of any size, into the tiles that the kernel takes, and its prefetching
 * into equal shares.  Rows are cut evenly (32 rows by 6 are 5+5+5+5+6+6, not 5 full tiles and a
 * slow one of 2). */
static void run_block(const struct micro *micro, const struct gwen_tile *all) {
    const size_t nv = pick_panels(micro, all->m, all->nv);
    const size_t mr = micro->shape.rows[nv], n_tiles = (all->m + mr - 1) / mr;
    for (size_t p = 0; p < all->nv; p += nv) {
        struct gwen_tile t = *all;
        t.nv = GW_MIN(nv, all->nv - p);
        t.w = (const char *)all->w + p * all->panel_stride;
        for (size_t i = 0; i < n_tiles; i++) {
            const size_t row = all->m * i / n_tiles;
            const size_t line = all->prefetch_lines * i / n_tiles;
            t.m = all->m * (i + 1) / n_tiles - row;
            t.x = (const char *)all->x + row * all->x_stride;
            t.c = all->c + row * all->c_stride + p * GWEN_PANEL;
            t.prefetch_lines = all->prefetch_lines * (i + 1) / n_tiles - line;
            if (all->prefetch != NULL)
                t.prefetch =
                    (const char *)all->prefetch + p * all->panel_stride + line * GW_CACHE_LINE;
            micro->run(&t);
        }
    }
}

/* Runs k elements of K of `whole` from k0 on; meanwhile asks for `ahead` elements of K at
 * `prefetch` (or NULL). */
static void run_part(const struct micro *micro, const struct gwen_tile *whole, size_t k0, size_t k,
                     const void *prefetch, size_t ahead) {
    const size_t row_bytes = GWEN_PANEL * micro->w_elem;
    if (k == 0) return; /* blocks shorter than a line round down to nothing */
    struct gwen_tile part = *whole;
    part.k = k;
    part.x = (const char *)whole->x + k0 * micro->x_elem;
    part.w = (const char *)whole->w + k0 * row_bytes;
    part.accumulate = k0 > 0;
    part.prefetch = prefetch;
    part.prefetch_lines = prefetch == NULL ? 0 : ahead * row_bytes / GW_CACHE_LINE;
    run_block(micro, &part);
}

/* At most k elements of K, at a place where K may be cut: between pairs, and at a whole line of
 * 16-bit activations. */
static size_t whole_lines(size_t k) { return k / (GW_CACHE_LINE / 2) * (GW_CACHE_LINE / 2); }

/* Few rows, one tile: the weights pass once and memory is the limit.  Blocks of K would only
 * break its streams.  Where a step takes whole lines and does little with them, the processor's
 * own prefetching is best (38 GB/s against 32).  Where it takes half lines (16-bit weights, float
 * activations) or computes much, some lines ahead in the same streams and, at their end, the
 * beginnings of the next ones help (35 against 32; 6 rows of bf16: 206 GF/s against 178, 12 rows:
 * 482 against 243). */
static void run_streaming(const struct micro *micro, const struct gwen_tile *whole,
                          const char *next) {
    const size_t row_bytes = GWEN_PANEL * micro->w_elem;
    const size_t nv = pick_panels(micro, whole->m, whole->nv);
    const size_t ahead = whole_lines(micro->cut.ahead_bytes / nv / row_bytes);
    const bool leave_alone =
        (micro->step_bytes == GW_CACHE_LINE && whole->m < 5) || whole->k <= ahead;
    for (size_t p = 0; p < whole->nv; p += nv) {
        struct gwen_tile pass = *whole;
        pass.nv = GW_MIN(nv, whole->nv - p);
        pass.w = (const char *)whole->w + p * whole->panel_stride;
        pass.c = whole->c + p * GWEN_PANEL;
        if (leave_alone) {
            run_part(micro, &pass, 0, pass.k, NULL, 0);
            continue;
        }
        const char *w = pass.w, *following = p + nv < whole->nv ? w + nv * pass.panel_stride : next;
        const size_t k = pass.k - ahead;
        run_part(micro, &pass, 0, k, w + ahead * row_bytes, k);
        run_part(micro, &pass, k, ahead, following, ahead);
    }
}

/* Where block i of n begins: equal parts, so that each has the time to fetch the next. */
static size_t block_begin(size_t k, size_t i, size_t n) {
    return i == n ? k : whole_lines(k * i / n);
}

/* Many rows: a block of K stays in L2 while all tiles of rows pass over it, and the next block
 * is read meanwhile. */
static void run_blocked(const struct micro *micro, const struct gwen_tile *whole,
                        const char *next) {
    const size_t row_bytes = GWEN_PANEL * micro->w_elem, most = micro->cut.block_bytes / row_bytes;
    const size_t n = GW_MAX((whole->k + most - 1) / most, (size_t)1);
    for (size_t i = 0; i < n; i++) {
        const size_t begin = block_begin(whole->k, i, n), end = block_begin(whole->k, i + 1, n);
        const size_t after =
            i + 1 < n ? block_begin(whole->k, i + 2, n) - end : block_begin(whole->k, 1, n);
        const char *following = i + 1 < n ? (const char *)whole->w + end * row_bytes : next;
        run_part(micro, whole, begin, end - begin, following, after);
    }
}

size_t gw_linear_scratch_bytes(void) { return (size_t)CHUNK_ROWS * GW_GROUP_COLS * sizeof(float); }

/* A thread's part in a product: the arguments of gw_linear. */
struct product {
    const struct micro *micro;
    const struct gw_packed *w;
    size_t m;
    const void *x;
    size_t x_stride;
    gw_linear_done *done;
    void *ctx, *scratch;
    int thread;
};

/* Group g of columns, all rows; `next`: the panels that this thread will read after it, or NULL. */
static void run_group(const struct product *p, size_t g, const char *next) {
    const struct micro *micro = p->micro;
    const struct gw_packed *w = p->w;
    const size_t m = p->m;
    const char *panels = (const char *)w->data + g * GW_GROUP_PANELS * w->panel_stride;
    const size_t n0 = g * GW_GROUP_COLS, n = GW_MIN((size_t)GW_GROUP_COLS, w->n - n0);
    const size_t n_chunks = (m + CHUNK_ROWS - 1) / CHUNK_ROWS;
    for (size_t chunk = 0; chunk < n_chunks; chunk++) {
        const size_t m0 = m * chunk / n_chunks, m1 = m * (chunk + 1) / n_chunks;
        const char *following = chunk + 1 < n_chunks ? panels : next;
        const struct gwen_tile block = {
            .m = m1 - m0,
            .k = gw_padded_k(w->format, w->k),
            .nv = GW_MIN((size_t)GW_GROUP_PANELS, w->n_panels - g * GW_GROUP_PANELS),
            .x = (const char *)p->x + m0 * p->x_stride,
            .x_stride = p->x_stride,
            .w = panels,
            .panel_stride = w->panel_stride,
            .c = p->scratch,
            .c_stride = GW_GROUP_COLS};
        if (m <= micro->shape.rows[pick_panels(micro, m, GW_GROUP_PANELS)])
            run_streaming(micro, &block, following);
        else
            run_blocked(micro, &block, following);
        p->done(p->ctx, p->thread, m0, m1 - m0, n0, n, p->scratch, GW_GROUP_COLS);
    }
}

/* Asks for what this thread will read first of the next product: else each begins with waiting. */
static void read_ahead(const struct gw_packed *then, const struct gw_pool *pool, int thread) {
    size_t begin, end;
    gw_pool_share(pool, thread, (then->n_panels + GW_GROUP_PANELS - 1) / GW_GROUP_PANELS, &begin,
                  &end);
    if (begin == end) return;
    const char *panels = (const char *)then->data + begin * GW_GROUP_PANELS * then->panel_stride;
    const size_t bytes = GW_MIN((size_t)AHEAD_BYTES, then->panel_stride);
    const size_t n = GW_MIN((size_t)GW_GROUP_PANELS, then->n_panels - begin * GW_GROUP_PANELS);
    for (size_t at = 0; at < bytes; at += GW_CACHE_LINE)
        for (size_t p = 0; p < n; p++)
            __builtin_prefetch(panels + p * then->panel_stride + at, 0, 2);
}

void gw_linear(const struct gw_arith *arith, const struct gw_packed *w, size_t m, const void *x,
               size_t x_stride, gw_linear_done *done, void *ctx, void *scratch,
               struct gw_pool *pool, int thread) {
    const struct micro micro = micro_of(arith, w->tuning->ranges[gw_linear_range(m)]);
    const size_t n_groups = (w->n_panels + GW_GROUP_PANELS - 1) / GW_GROUP_PANELS;
    const struct product p = {&micro, w, m, x, x_stride, done, ctx, scratch, thread};
    size_t begin, end; /* this thread's share, which it goes through in order */
    gw_pool_share(pool, thread, n_groups, &begin, &end);
    for (size_t g; gw_pool_next(pool, thread, n_groups, &g);) {
        const char *panels = (const char *)w->data + g * GW_GROUP_PANELS * w->panel_stride;
        const char *next =
            g >= begin && g + 1 < end ? panels + GW_GROUP_PANELS * w->panel_stride : NULL;
        run_group(&p, g, next);
        if (g + 1 == end && w->then != NULL) read_ahead(w->then, pool, thread);
    }
}

static void small_gemm(const struct gw_arith *arith, const struct gwen_tile *all,
                       struct gw_linear_cut cut) {
    if (all->m == 0 || all->nv == 0) return;
    const struct micro micro = micro_of(arith, cut);
    struct gwen_tile padded = *all;
    padded.k = gw_padded_k(arith->format, all->k);
    run_block(&micro, &padded);
}

void gw_small_gemm(const struct gw_arith *arith, const struct gwen_tile *all) {
    small_gemm(arith, all, (struct gw_linear_cut){0});
}

void gw_small_gemm_in_order(const struct gw_arith *arith, const struct gwen_tile *all) {
    small_gemm(arith, all, (struct gw_linear_cut){.panels = 1});
}

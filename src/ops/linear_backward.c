/* linear_backward.c - see linear_backward.h. */
#include "ops/linear_backward.h"

#include "base/pool.h"

#include <string.h>

enum {
    BLOCK_BYTES = 32768, /* of one panel: what a block of the reduction takes */
    DX_ROWS = 1024,      /* rows of results of dX in scratch: with a block of W they fill L2 half */
    DW_ROWS = 256,       /* rows of dY^T that stay in L2 while X's panels pass */
    STEP_ROWS = 12       /* rows after which more is asked for: a whole number of tiles */
};

/* Pieces of memory, `stride` apart, whose lines are asked for little by little. */
struct prefetch {
    const char *at;
    size_t piece_bytes, stride, n_pieces;
    size_t piece, offset; /* what comes next */
};

static void ask(struct prefetch *a, size_t lines) {
    for (; lines > 0 && a->piece < a->n_pieces; lines--) {
        __builtin_prefetch(a->at + a->piece * a->stride + a->offset, 0, 2);
        a->offset += GW_CACHE_LINE;
        if (a->offset < a->piece_bytes) continue;
        a->offset = 0;
        a->piece++;
    }
}

static size_t lines_of(const struct prefetch *a) {
    return a->n_pieces * ((a->piece_bytes + GW_CACHE_LINE - 1) / GW_CACHE_LINE);
}

/* A product by a few rows at a time, between which `lines` of *ahead are asked for, all in equal
 * shares; all->prefetch is spread likewise. */
static void paced_gemm(const struct gw_arith *arith, const struct gwen_tile *all,
                       struct prefetch *ahead, size_t lines) {
    const size_t n = (all->m + STEP_ROWS - 1) / STEP_ROWS;
    for (size_t i = 0; i < n; i++) {
        const size_t row = all->m * i / n, line = all->prefetch_lines * i / n;
        struct gwen_tile part = *all;
        part.m = all->m * (i + 1) / n - row;
        part.x = (const char *)all->x + row * all->x_stride;
        part.c = all->c + row * all->c_stride;
        part.prefetch_lines = all->prefetch_lines * (i + 1) / n - line;
        if (all->prefetch != NULL)
            part.prefetch = (const char *)all->prefetch + line * GW_CACHE_LINE;
        ask(ahead, lines * (i + 1) / n - lines * i / n);
        gw_small_gemm(arith, &part);
    }
}

/* --- dX ------------------------------------------------------------------------------------- */

enum { GROUP_PAIRS = GW_GROUP_COLS / 2 };

/* 16 rows of the matrix, one source panel, from column k0 on: each format's own way.  `to` is where
 * these 16 rows begin in the first of the transposed panels. */
static void transpose_f32(const struct gwen_kernels *kern, const struct gw_packed *w,
                          const char *panel, size_t k0, size_t q, char *to) {
    size_t cols = w->k > k0 + q * GWEN_PANEL ? w->k - k0 - q * GWEN_PANEL : 0;
    cols = GW_MIN(cols, (size_t)GWEN_PANEL);
    if (cols < GWEN_PANEL) memset(to, 0, (size_t)GWEN_PANEL * GWEN_PANEL * sizeof(float));
    kern->transpose_32((uint32_t *)(void *)to, GWEN_PANEL,
                       (const uint32_t *)(const void *)panel + (k0 + q * GWEN_PANEL) * GWEN_PANEL,
                       GWEN_PANEL, cols, GWEN_PANEL);
}

static void transpose_16(const struct gw_packed *w, const char *panel, size_t k0, size_t q,
                         char *to) {
    const uint16_t *src =
        (const uint16_t *)(const void *)panel + (k0 + q * GWEN_PANEL) * GWEN_PANEL;
    uint16_t *dst = (uint16_t *)(void *)to;
    for (size_t n = 0; n < GWEN_PANEL; n++)
        for (size_t j = 0; j < GWEN_PANEL; j++)
            dst[n * GWEN_PANEL + j] = k0 + q * GWEN_PANEL + j < w->k ? src[j * GWEN_PANEL + n] : 0;
}

/* Pairs along k become rows of 16-bit elements, and these pairs along n. */
static void transpose_pairs(const struct gwen_kernels *kern, const struct gw_packed *w,
                            const char *panel, size_t k0, size_t n_panels, char *to,
                            size_t dst_stride) {
    uint32_t rows[GWEN_PANEL][GROUP_PAIRS];
    const size_t wanted = n_panels * GWEN_PANEL / 2, all = gw_round_up(w->k, 2) / 2;
    const size_t n = GW_MIN(wanted, all > k0 / 2 ? all - k0 / 2 : 0);
    if (n < wanted) memset(rows, 0, sizeof rows);
    kern->transpose_32(rows[0], GROUP_PAIRS,
                       (const uint32_t *)(const void *)panel + k0 / 2 * GWEN_PANEL, GWEN_PANEL, n,
                       GWEN_PANEL);
    for (size_t r = 0; r < GWEN_PANEL; r += 2)
        for (size_t q = 0; q < n_panels; q++)
            kern->zip_16((uint16_t *)(void *)(to + q * dst_stride) + r * GWEN_PANEL,
                         (const uint16_t *)(const void *)rows[r] + q * GWEN_PANEL,
                         (const uint16_t *)(const void *)rows[r + 1] + q * GWEN_PANEL, GWEN_PANEL);
}

void gw_transpose_panels(const struct gwen_kernels *kern, const struct gw_packed *w, size_t k0,
                         size_t n_panels, void *dst, size_t dst_stride) {
    const size_t rows_bytes = (size_t)GWEN_PANEL * GWEN_PANEL * gw_panel_elem(w->format);
    for (size_t p = 0; p < w->n_panels; p++) {
        const char *panel = (const char *)w->data + p * w->panel_stride;
        char *to = (char *)dst + p * rows_bytes;
        for (size_t q0 = 0; w->format == GW_PANEL_BF16X2 && q0 < n_panels; q0 += GW_GROUP_PANELS)
            transpose_pairs(kern, w, panel, k0 + q0 * GWEN_PANEL,
                            GW_MIN((size_t)GW_GROUP_PANELS, n_panels - q0), to + q0 * dst_stride,
                            dst_stride);
        for (size_t q = 0; w->format != GW_PANEL_BF16X2 && q < n_panels; q++) {
            if (w->format == GW_PANEL_F32)
                transpose_f32(kern, w, panel, k0, q, to + q * dst_stride);
            else
                transpose_16(w, panel, k0, q, to + q * dst_stride);
        }
    }
}

/* Rows of W in a block of the reduction. */
static size_t dx_block(enum gw_panel_format format) {
    return BLOCK_BYTES / (GWEN_PANEL * gw_panel_elem(format));
}

static size_t dx_results_bytes(void) { return (size_t)DX_ROWS * GW_GROUP_COLS * sizeof(float); }

size_t gw_linear_dx_scratch_bytes(void) {
    return dx_results_bytes() + (size_t)GW_GROUP_PANELS * BLOCK_BYTES;
}

/* Rows [n0, n0 + step) of W, a multiple of 16 on. */
static struct gw_packed rows_of(const struct gw_packed *w, size_t n0, size_t step) {
    struct gw_packed part = *w;
    part.n = GW_MIN(step, w->n - n0);
    part.n_panels = (part.n + GWEN_PANEL - 1) / GWEN_PANEL;
    part.data = (char *)w->data + n0 / GWEN_PANEL * w->panel_stride;
    return part;
}

/* What is transposed of these rows for a group of columns. */
static struct prefetch dx_ahead(const struct gw_packed *rows, size_t k0, size_t cols) {
    const size_t col_bytes = GWEN_PANEL * gw_panel_elem(rows->format);
    return (struct prefetch){.at = (const char *)rows->data + k0 * col_bytes,
                             .piece_bytes = cols * col_bytes,
                             .stride = rows->panel_stride,
                             .n_pieces = rows->n_panels};
}

/* A piece of dX: rows m0..m1 and the columns of one group.  A block of W's rows is transposed into
 * the cache, and multiplied with all rows of dY while the next block is read. */
static void dx_piece(const struct gw_linear_dx *a, size_t m0, size_t m1, size_t k0, float *c,
                     char *panels) {
    const struct gw_packed *w = a->w;
    const size_t cols = GW_MIN((size_t)GW_GROUP_COLS, w->k - k0), step = dx_block(w->format);
    const size_t n_panels = (cols + GWEN_PANEL - 1) / GWEN_PANEL;
    for (size_t i = m0; a->start != NULL && i < m1; i++)
        memcpy(c + (i - m0) * GW_GROUP_COLS, a->start + i * a->start_stride + k0, cols * sizeof *c);
    for (size_t n0 = 0; n0 < w->n; n0 += step) {
        const struct gw_packed rows = rows_of(w, n0, step);
        const struct gwen_tile all = {.m = m1 - m0,
                                      .nv = n_panels,
                                      .k = rows.n,
                                      .x = (const char *)a->dy + m0 * a->dy_stride +
                                           n0 * gw_x_elem(w->format),
                                      .x_stride = a->dy_stride,
                                      .w = panels,
                                      .panel_stride = BLOCK_BYTES,
                                      .c = c,
                                      .c_stride = GW_GROUP_COLS,
                                      .accumulate = a->start != NULL || n0 > 0};
        gw_transpose_panels(a->arith->kern, &rows, k0, n_panels, panels, BLOCK_BYTES);
        /* The next block, or else the first one of the columns that follow. */
        const struct gw_packed next = rows_of(w, n0 + step < w->n ? n0 + step : 0, step);
        struct prefetch ahead = dx_ahead(&next, n0 + step < w->n ? k0 : k0 + cols, cols);
        paced_gemm(a->arith, &all, &ahead, lines_of(&ahead));
    }
}

void gw_linear_dx(const struct gw_linear_dx *a, gw_linear_done *done, void *ctx, void *scratch,
                  struct gw_pool *pool, int thread) {
    const size_t n_groups = (a->w->k + GW_GROUP_COLS - 1) / GW_GROUP_COLS;
    const size_t n_chunks = (a->m + DX_ROWS - 1) / DX_ROWS;
    float *c = scratch;
    for (size_t i; gw_pool_next(pool, thread, n_groups * n_chunks, &i);) {
        const size_t chunk = i / n_groups, k0 = i % n_groups * GW_GROUP_COLS;
        const size_t m0 = a->m * chunk / n_chunks, m1 = a->m * (chunk + 1) / n_chunks;
        dx_piece(a, m0, m1, k0, c, (char *)scratch + dx_results_bytes());
        done(ctx, thread, m0, m1 - m0, k0, GW_MIN((size_t)GW_GROUP_COLS, a->w->k - k0), c,
             GW_GROUP_COLS);
    }
}

/* --- dW ------------------------------------------------------------------------------------- */

size_t gw_padded_tokens(enum gw_panel_format format, const struct gw_span *spans, size_t n_spans) {
    size_t n = 0;
    for (size_t i = 0; i < n_spans; i++) n += gw_padded_k(format, spans[i].end - spans[i].begin);
    return n;
}

size_t gw_most_padded_tokens(size_t rows, size_t n_spans) { return rows + n_spans; }

/* Row r of pairs of x from column c0, its partner zeros where the span ends. */
static void zip_rows(const struct gw_token_pack *p, const char *x, size_t x_stride,
                     struct gw_span span, size_t r, size_t c0, size_t n, void *to) {
    static const uint16_t zeros[GW_GROUP_COLS];
    const uint16_t *a = (const uint16_t *)(const void *)(x + r * x_stride) + c0;
    const uint16_t *b = zeros;
    if (r + 1 < span.end) b = (const uint16_t *)(const void *)(x + (r + 1) * x_stride) + c0;
    p->arith->kern->zip_16(to, a, b, n);
}

/* Up to 4 panels side by side, columns c0..c0+n of x: a row's piece of them is whole lines. */
static void pack_group(const struct gw_token_pack *p, const char *x, size_t x_stride, size_t c0,
                       size_t n, char *panels, size_t stride) {
    const size_t line = GWEN_PANEL * sizeof(uint32_t),
                 step = p->arith->format == GW_PANEL_BF16X2 ? 2 : 1;
    uint32_t row[GW_GROUP_COLS] = {0};
    size_t at = 0;
    for (size_t s = 0; s < p->n_spans; s++)
        for (size_t r = p->spans[s].begin; r < p->spans[s].end; r += step, at += line) {
            if (p->arith->format == GW_PANEL_BF16X2)
                zip_rows(p, x, x_stride, p->spans[s], r, c0, n, row);
            else
                memcpy(row, (const float *)(const void *)(x + r * x_stride) + c0,
                       n * sizeof(float));
            for (size_t q = 0; q * GWEN_PANEL < n; q++)
                memcpy(panels + q * stride + at, row + q * GWEN_PANEL, line);
        }
}

void gw_pack_tokens(const struct gw_token_pack *p, const char *x, size_t x_stride, size_t c0,
                    size_t n_cols, char *panels, int thread, int n_threads) {
    const size_t stride = gw_panel_bytes(p->arith->format, p->n_padded);
    size_t begin, end;
    gw_share((n_cols + GW_GROUP_COLS - 1) / GW_GROUP_COLS, thread, n_threads, &begin, &end);
    for (size_t i = begin; i < end; i++)
        pack_group(p, x, x_stride, c0 + i * GW_GROUP_COLS,
                   GW_MIN((size_t)GW_GROUP_COLS, n_cols - i * GW_GROUP_COLS),
                   panels + i * GW_GROUP_PANELS * stride, stride);
}

enum { PIECE_PAIRS = 16 }; /* pairs of tokens that are transposed at once */

/* Columns c0..c0+n (n <= 64) of one span of pairs; out points to the span's first token. */
static void transpose_span(const struct gw_token_pack *p, const char *x, size_t x_stride,
                           struct gw_span span, size_t c0, size_t n, char *out, size_t out_stride) {
    uint32_t piece[PIECE_PAIRS][GW_GROUP_COLS];
    for (size_t r = span.begin; r < span.end; r += 2 * PIECE_PAIRS, out += 4 * PIECE_PAIRS) {
        size_t pairs = 0;
        for (; pairs < PIECE_PAIRS && r + 2 * pairs < span.end; pairs++)
            zip_rows(p, x, x_stride, span, r + 2 * pairs, c0, n, piece[pairs]);
        p->arith->kern->transpose_32((uint32_t *)(void *)out, out_stride / sizeof(uint32_t),
                                     piece[0], GW_GROUP_COLS, pairs, n);
    }
}

void gw_transpose_tokens(const struct gw_token_pack *p, const char *x, size_t x_stride, size_t c0,
                         size_t n_cols, char *out, size_t out_stride, int thread, int n_threads) {
    const size_t elem = gw_x_elem(p->arith->format);
    size_t begin, end;
    gw_share((n_cols + GWEN_PANEL - 1) / GWEN_PANEL, thread, n_threads, &begin, &end);
    begin = GW_MIN(begin * GWEN_PANEL, n_cols);
    end = GW_MIN(end * GWEN_PANEL, n_cols);
    for (size_t c = begin, n; c < end; c += n) {
        char *to = out + c * out_stride;
        n = GW_MIN((size_t)GW_GROUP_COLS, end - c);
        for (size_t s = 0; s < p->n_spans; s++) {
            const struct gw_span span = p->spans[s];
            if (p->arith->format == GW_PANEL_BF16X2)
                transpose_span(p, x, x_stride, span, c0 + c, n, to, out_stride);
            else
                p->arith->kern->transpose_32(
                    (uint32_t *)(void *)to, out_stride / sizeof(uint32_t),
                    (const uint32_t *)(const void *)(x + span.begin * x_stride) + c0 + c,
                    x_stride / sizeof(uint32_t), span.end - span.begin, n);
            to += gw_padded_k(p->arith->format, span.end - span.begin) * elem;
        }
    }
}

/* Rows n0..n1 of dW, columns of one group of panels; the gradients of a step's rows are asked for
 * while those before are added to, X's panels of the next group meanwhile. */
static void dw_piece(const struct gw_linear_dw *a, size_t n0, size_t n1, size_t group,
                     float *scratch) {
    const size_t k0 = group * GW_GROUP_COLS, cols = GW_MIN((size_t)GW_GROUP_COLS, a->k - k0);
    const size_t n_panels = (cols + GWEN_PANEL - 1) / GWEN_PANEL;
    const size_t stride = gw_panel_bytes(a->arith->format, a->n_padded), m = n1 - n0;
    const size_t row_bytes = GWEN_PANEL * gw_panel_elem(a->arith->format),
                 step = BLOCK_BYTES / row_bytes;
    const bool whole = cols % GWEN_PANEL == 0;
    const char *panels = a->x_panels + group * GW_GROUP_PANELS * stride;
    float *dw = a->dw + n0 * a->dw_stride + k0, *c = whole ? dw : scratch;
    const size_t c_stride = whole ? a->dw_stride : GW_GROUP_COLS;
    /* The last columns may end inside a panel: their sums are carried through scratch. */
    for (size_t i = 0; !whole && i < m; i++)
        memcpy(c + i * c_stride, dw + i * a->dw_stride, cols * sizeof *c);
    for (size_t t0 = 0; t0 < a->n_padded; t0 += step) {
        const size_t k = GW_MIN(step, a->n_padded - t0);
        struct prefetch ahead = {.at = (const char *)c,
                                 .piece_bytes = cols * sizeof *c,
                                 .stride = c_stride * sizeof *c,
                                 .n_pieces = t0 == 0 ? m : 0};
        ask(&ahead, STEP_ROWS * GW_GROUP_COLS * sizeof *c / GW_CACHE_LINE);
        paced_gemm(a->arith,
                   &(struct gwen_tile){
                       .m = m,
                       .nv = n_panels,
                       .k = k,
                       .x = a->dy_t + n0 * a->dy_t_stride + t0 * gw_x_elem(a->arith->format),
                       .x_stride = a->dy_t_stride,
                       .w = panels + t0 * row_bytes,
                       .panel_stride = stride,
                       .c = c,
                       .c_stride = c_stride,
                       .accumulate = true,
                       .prefetch = panels + GW_GROUP_PANELS * stride + t0 * row_bytes,
                       .prefetch_lines = k * row_bytes / GW_CACHE_LINE},
                   &ahead, lines_of(&ahead));
    }
    for (size_t i = 0; !whole && i < m; i++)
        memcpy(dw + i * a->dw_stride, c + i * c_stride, cols * sizeof *c);
}

void gw_linear_dw(const struct gw_linear_dw *a, void *scratch, struct gw_pool *pool, int thread) {
    const size_t n_groups = (a->k + GW_GROUP_COLS - 1) / GW_GROUP_COLS;
    const size_t n_chunks = (a->n + DW_ROWS - 1) / DW_ROWS;
    for (size_t i; gw_pool_next(pool, thread, n_groups * n_chunks, &i);) {
        const size_t chunk = i / n_groups;
        dw_piece(a, a->n * chunk / n_chunks, a->n * (chunk + 1) / n_chunks, i % n_groups, scratch);
    }
}

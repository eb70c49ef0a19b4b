/* linear_backward.c - see linear_backward.h. */
#include "ops/linear_backward.h"

#include "base/pool.h"

#include <string.h>

enum {
    BLOCK_BYTES = 32768, /* of one panel: what a block of the reduction takes */
    CHUNK_ROWS = 256     /* rows of results in scratch */
};

enum gw_panel_format gw_token_format(enum gw_panel_format format) {
    return format == GW_PANEL_BF16X2 ? GW_PANEL_BF16X2 : GW_PANEL_F32;
}

static size_t weight_bytes(enum gw_panel_format format) { return format == GW_PANEL_F32 ? 4 : 2; }

/* c (+)= x w with the reduction cut into blocks that stay in the cache while all rows pass. */
static void blocked_gemm(const struct gwen_kernels *kern, enum gw_panel_format format, size_t m,
                         size_t n_panels, size_t k, const char *x, size_t x_stride, const char *w,
                         size_t panel_stride, float *c, size_t c_stride, bool accumulate) {
    const size_t row_bytes = GWEN_PANEL * weight_bytes(format), step = BLOCK_BYTES / row_bytes;
    const size_t x_elem = gw_packed_x_elem(format);
    for (size_t k0 = 0; k0 < k || k0 == 0; k0 += step)
        gw_small_gemm(kern, format,
                      &(struct gwen_tile){.m = m,
                                          .nv = n_panels,
                                          .k = GW_MIN(step, k - k0),
                                          .x = x + k0 * x_elem,
                                          .x_stride = x_stride,
                                          .w = w + k0 * row_bytes,
                                          .panel_stride = panel_stride,
                                          .c = c,
                                          .c_stride = c_stride,
                                          .accumulate = accumulate || k0 > 0});
}

/* --- dX ----------------------------------------------------------------------------------------
 */

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
    const size_t rows_bytes = (size_t)GWEN_PANEL * GWEN_PANEL * weight_bytes(w->format);
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

size_t gw_linear_dx_scratch_bytes(enum gw_panel_format format, size_t n) {
    return gw_linear_scratch_bytes() +
           GW_GROUP_PANELS * gw_panel_bytes(format, gw_round_up(n, GWEN_PANEL));
}

void gw_linear_dx(const struct gw_linear_dx *a, gw_linear_done *done, void *ctx, void *scratch,
                  int thread, int n_threads) {
    const struct gw_packed *w = a->w;
    const size_t n_red = gw_round_up(w->n, w->format == GW_PANEL_BF16X2 ? 2 : 1);
    const size_t stride = gw_panel_bytes(w->format, gw_round_up(w->n, GWEN_PANEL));
    const size_t n_chunks = (a->m + CHUNK_ROWS - 1) / CHUNK_ROWS;
    float *c = scratch;
    char *panels = (char *)scratch + gw_linear_scratch_bytes();
    size_t begin, end;
    gw_share((w->k + GW_GROUP_COLS - 1) / GW_GROUP_COLS, thread, n_threads, &begin, &end);
    for (size_t g = begin; g < end; g++) {
        const size_t k0 = g * GW_GROUP_COLS, cols = GW_MIN((size_t)GW_GROUP_COLS, w->k - k0);
        const size_t n_panels = (cols + GWEN_PANEL - 1) / GWEN_PANEL;
        gw_transpose_panels(a->kern, w, k0, n_panels, panels, stride);
        for (size_t chunk = 0; chunk < n_chunks; chunk++) {
            const size_t m0 = a->m * chunk / n_chunks, m1 = a->m * (chunk + 1) / n_chunks;
            if (a->start != NULL)
                for (size_t i = m0; i < m1; i++)
                    memcpy(c + (i - m0) * GW_GROUP_COLS, a->start + i * a->start_stride + k0,
                           cols * sizeof *c);
            blocked_gemm(a->kern, w->format, m1 - m0, n_panels, n_red,
                         (const char *)a->dy + m0 * a->dy_stride, a->dy_stride, panels, stride, c,
                         GW_GROUP_COLS, a->start != NULL);
            done(ctx, thread, m0, m1 - m0, k0, cols, c, GW_GROUP_COLS);
        }
    }
}

/* --- dW ----------------------------------------------------------------------------------------
 */

static size_t padded(enum gw_panel_format format, size_t n) {
    return format == GW_PANEL_BF16X2 ? gw_round_up(n, 2) : n;
}

size_t gw_padded_tokens(enum gw_panel_format format, const struct gw_span *spans, size_t n_spans) {
    size_t n = 0;
    for (size_t i = 0; i < n_spans; i++) n += padded(format, spans[i].end - spans[i].begin);
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
    p->kern->zip_16(to, a, b, n);
}

/* One panel: columns c0..c0+n of x, n <= 16. */
static void pack_panel(const struct gw_token_pack *p, const char *x, size_t x_stride, size_t c0,
                       size_t n, char *to) {
    const size_t line = GWEN_PANEL * sizeof(uint32_t);
    const size_t step = p->format == GW_PANEL_BF16X2 ? 2 : 1;
    for (size_t s = 0; s < p->n_spans; s++) {
        for (size_t r = p->spans[s].begin; r < p->spans[s].end; r += step, to += line) {
            if (n < GWEN_PANEL) memset(to, 0, line);
            if (p->format == GW_PANEL_BF16X2)
                zip_rows(p, x, x_stride, p->spans[s], r, c0, n, to);
            else
                memcpy(to, (const float *)(const void *)(x + r * x_stride) + c0, n * sizeof(float));
        }
    }
}

void gw_pack_tokens(const struct gw_token_pack *p, const char *x, size_t x_stride, size_t c0,
                    size_t n_cols, char *panels, int thread, int n_threads) {
    const size_t stride = gw_panel_bytes(p->format, p->n_padded);
    size_t begin, end;
    gw_share((n_cols + GWEN_PANEL - 1) / GWEN_PANEL, thread, n_threads, &begin, &end);
    for (size_t i = begin; i < end; i++)
        pack_panel(p, x, x_stride, c0 + i * GWEN_PANEL,
                   GW_MIN((size_t)GWEN_PANEL, n_cols - i * GWEN_PANEL), panels + i * stride);
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
        p->kern->transpose_32((uint32_t *)(void *)out, out_stride / sizeof(uint32_t), piece[0],
                              GW_GROUP_COLS, pairs, n);
    }
}

void gw_transpose_tokens(const struct gw_token_pack *p, const char *x, size_t x_stride, size_t c0,
                         size_t n_cols, char *out, size_t out_stride, int thread, int n_threads) {
    const size_t elem = gw_packed_x_elem(p->format);
    size_t begin, end;
    gw_share((n_cols + GWEN_PANEL - 1) / GWEN_PANEL, thread, n_threads, &begin, &end);
    begin = GW_MIN(begin * GWEN_PANEL, n_cols);
    end = GW_MIN(end * GWEN_PANEL, n_cols);
    for (size_t c = begin, n; c < end; c += n) {
        char *to = out + c * out_stride;
        n = GW_MIN((size_t)GW_GROUP_COLS, end - c);
        for (size_t s = 0; s < p->n_spans; s++) {
            const struct gw_span span = p->spans[s];
            if (p->format == GW_PANEL_BF16X2)
                transpose_span(p, x, x_stride, span, c0 + c, n, to, out_stride);
            else
                p->kern->transpose_32((uint32_t *)(void *)to, out_stride / sizeof(uint32_t),
                                      (const uint32_t *)(const void *)(x + span.begin * x_stride) +
                                          c0 + c,
                                      x_stride / sizeof(uint32_t), span.end - span.begin, n);
            to += padded(p->format, span.end - span.begin) * elem;
        }
    }
}

/* Rows n0..n1 of dW, columns of one group of panels. */
static void dw_piece(const struct gw_linear_dw *a, size_t n0, size_t n1, size_t group,
                     float *scratch) {
    const size_t k0 = group * GW_GROUP_COLS, cols = GW_MIN((size_t)GW_GROUP_COLS, a->k - k0);
    const size_t n_panels = (cols + GWEN_PANEL - 1) / GWEN_PANEL;
    const size_t stride = gw_panel_bytes(a->format, a->n_padded);
    const bool whole = cols % GWEN_PANEL == 0;
    float *dw = a->dw + n0 * a->dw_stride + k0, *c = whole ? dw : scratch;
    const size_t c_stride = whole ? a->dw_stride : GW_GROUP_COLS;
    /* The last columns may end inside a panel: their sums are carried through scratch. */
    for (size_t i = 0; !whole && i < n1 - n0; i++)
        memcpy(c + i * c_stride, dw + i * a->dw_stride, cols * sizeof *c);
    blocked_gemm(a->kern, a->format, n1 - n0, n_panels, a->n_padded, a->dy_t + n0 * a->dy_t_stride,
                 a->dy_t_stride, a->x_panels + group * GW_GROUP_PANELS * stride, stride, c,
                 c_stride, true);
    for (size_t i = 0; !whole && i < n1 - n0; i++)
        memcpy(dw + i * a->dw_stride, c + i * c_stride, cols * sizeof *c);
}

void gw_linear_dw(const struct gw_linear_dw *a, void *scratch, int thread, int n_threads) {
    const size_t n_groups = (a->k + GW_GROUP_COLS - 1) / GW_GROUP_COLS;
    const size_t n_chunks = (a->n + CHUNK_ROWS - 1) / CHUNK_ROWS;
    size_t begin, end;
    gw_share(n_groups * n_chunks, thread, n_threads, &begin, &end);
    for (size_t i = begin; i < end; i++)
        dw_piece(a, a->n * (i % n_chunks) / n_chunks, a->n * (i % n_chunks + 1) / n_chunks,
                 i / n_chunks, scratch);
}

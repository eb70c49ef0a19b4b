/* by_rows.h - kernels over several rows, put together from the single-row functions of the file
 * that includes this: rmsnorm, rope, silu_mul, max, sum_exp_sub, row_to_bf16 and, with
 * BY_ROWS_SOFTMAX, softmax_row and scale.  Inlined here, a row costs no call and rows overlap. */
#ifndef GWEN_SIMD_BY_ROWS_H
#define GWEN_SIMD_BY_ROWS_H

#include <stdbool.h>
#include <string.h>

enum {
    MOST_HALF = 256
}; /* of a head that norm_rope keeps beside; larger ones go by the reference */

static inline void norm_rope_by_rows(void *y, bool bf16, const float *x, size_t n_heads,
                                     size_t half, const float *w, float eps, const float *cosines,
                                     const float *sines) {
    float kept[2 * MOST_HALF];
    if (half > MOST_HALF) {
        gwen_ref_norm_rope(y, bf16, x, n_heads, half, w, eps, cosines, sines);
        return;
    }
    for (size_t h = 0; h < n_heads; h++, x += 2 * half) {
        float *head = bf16 ? kept : (float *)y + h * 2 * half;
        if (w != NULL)
            rmsnorm(head, x, w, 2 * half, eps);
        else if (head != x)
            memcpy(head, x, 2 * half * sizeof *head);
        rope(head, cosines, sines, half);
        if (bf16) row_to_bf16((struct gwen_bf16 *)y + h * 2 * half, head, 2 * half);
    }
}

/* Up to 16 columns; `n` is a constant where all of them are there. */
INLINE void swiglu_panel(char *y, bool bf16, const float *c, size_t n) {
    float out[GWEN_PANEL];
    silu_mul(out, c, c + GWEN_PANEL, n);
    if (bf16)
        row_to_bf16((struct gwen_bf16 *)(void *)y, out, n);
    else
        memcpy(y, out, n * sizeof *out);
}

INLINE void swiglu_rows(char *y, size_t y_stride, bool bf16, const float *c, size_t c_stride,
                        size_t m, size_t n) {
    const size_t elem = bf16 ? sizeof(struct gwen_bf16) : sizeof(float);
    for (size_t i = 0; i < m; i++, y += y_stride, c += c_stride) {
        size_t f = 0;
        for (; f + GWEN_PANEL <= n; f += GWEN_PANEL)
            swiglu_panel(y + f * elem, bf16, c + 2 * f, GWEN_PANEL);
        if (f < n) swiglu_panel(y + f * elem, bf16, c + 2 * f, n - f);
    }
}

static inline void swiglu_by_rows(void *y, size_t y_stride, bool bf16, const float *c,
                                  size_t c_stride, size_t m, size_t n) {
    if (bf16)
        swiglu_rows(y, y_stride, true, c, c_stride, m, n);
    else
        swiglu_rows(y, y_stride, false, c, c_stride, m, n);
}

INLINE void stats_of_rows(const float *x, size_t x_stride, size_t m, size_t n, float *largest,
                          float *sum, size_t stride) {
    for (size_t i = 0; i < m; i++) {
        const float most = max(x + i * x_stride, n);
        largest[i * stride] = most;
        sum[i * stride] = sum_exp_sub(x + i * x_stride, most, n);
    }
}

static inline void block_stats_by_rows(const float *x, size_t x_stride, size_t m, size_t n,
                                       float *largest, float *sum, size_t stride) {
    enum { WHOLE = 64 }; /* a block of the vocabulary */
    if (n == WHOLE)
        stats_of_rows(x, x_stride, m, WHOLE, largest, sum, stride);
    else
        stats_of_rows(x, x_stride, m, n, largest, sum, stride);
}

#ifdef BY_ROWS_SOFTMAX
static inline void softmax_by_rows(const struct gwen_softmax *a) {
    for (size_t i = 0; i < a->m; i++) {
        float *s = a->s + i * a->s_stride;
        const float corr = softmax_row(s, a->n, a->visible[i], a->scale, a->max + i, a->sum + i);
        if (a->p != NULL) row_to_bf16(a->p + i * a->p_stride, s, a->n);
        if (a->o != NULL && corr != 1.0f) scale(a->o + i * a->o_stride, corr, a->o_n);
    }
}
#endif

#endif

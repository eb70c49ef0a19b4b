/* train_by_rows.h - kernels of the backward pass over several rows, put together from the
 * single-row functions of the file that includes this: rope_back, rmsnorm_back, swiglu_back_row,
 * divide_row, logprob_row, softmax_back_row and row_to_bf16. */
#ifndef GWEN_SIMD_TRAIN_BY_ROWS_H
#define GWEN_SIMD_TRAIN_BY_ROWS_H

#include <stdbool.h>
#include <string.h>

enum {
    MOST_BACK_HALF = 256, /* of a head that norm_rope_back keeps beside */
    MOST_COLS = 64,       /* of a piece of a product */
    ROWS_AHEAD = 4        /* that swiglu_back asks for: they come from memory */
};

static inline void norm_rope_back_by_rows(void *y, bool bf16, float *d, const float *x,
                                          size_t n_heads, size_t half, const float *w, float eps,
                                          const float *cosines, const float *sines, float *inv) {
    float kept[2 * MOST_BACK_HALF];
    const size_t n = 2 * half;
    if (half > MOST_BACK_HALF) {
        gwen_ref_norm_rope_back(y, bf16, d, x, n_heads, half, w, eps, cosines, sines, inv);
        return;
    }
    for (size_t h = 0; h < n_heads; h++, d += n, x += n) {
        float *dx = bf16 ? kept : (float *)y + h * n;
        rope_back(d, cosines, sines, half);
        inv[h] = 1.0f;
        if (w != NULL) {
            memset(dx, 0, n * sizeof *dx);
            inv[h] = rmsnorm_back(dx, d, x, w, n, eps);
        } else {
            memcpy(dx, d, n * sizeof *dx);
        }
        if (bf16) row_to_bf16((struct gwen_bf16 *)y + h * n, dx, n);
    }
}

/* Up to 16 columns; `n` is a constant where all of them are there. */
INLINE void swiglu_back_panel(char *d, bool bf16, const float *dy, const float *c, size_t n) {
    float out[2 * GWEN_PANEL] = {0};
    float *to = bf16 || n < GWEN_PANEL ? out : (float *)(void *)d;
    swiglu_back_row(to, to + GWEN_PANEL, dy, c, c + GWEN_PANEL, n);
    if (bf16)
        row_to_bf16((struct gwen_bf16 *)(void *)d, out, 2 * GWEN_PANEL);
    else if (n < GWEN_PANEL)
        memcpy(d, out, sizeof out);
}

INLINE void swiglu_back_rows(char *d, size_t d_stride, bool bf16, const float *dy, size_t dy_stride,
                             const float *c, size_t c_stride, size_t m, size_t n) {
    const size_t elem = bf16 ? sizeof(struct gwen_bf16) : sizeof(float);
    for (size_t i = 0; i < m; i++, d += d_stride, dy += dy_stride, c += c_stride) {
        size_t f = 0;
        for (; f + GWEN_PANEL <= n; f += GWEN_PANEL) {
            __builtin_prefetch(c + ROWS_AHEAD * c_stride + 2 * f);
            __builtin_prefetch(c + ROWS_AHEAD * c_stride + 2 * f + GWEN_PANEL);
            swiglu_back_panel(d + 2 * f * elem, bf16, dy + f, c + 2 * f, GWEN_PANEL);
        }
        if (f < n) swiglu_back_panel(d + 2 * f * elem, bf16, dy + f, c + 2 * f, n - f);
    }
}

static inline void swiglu_back_by_rows(void *d, size_t d_stride, bool bf16, const float *dy,
                                       size_t dy_stride, const float *c, size_t c_stride, size_t m,
                                       size_t n) {
    if (bf16)
        swiglu_back_rows(d, d_stride, true, dy, dy_stride, c, c_stride, m, n);
    else
        swiglu_back_rows(d, d_stride, false, dy, dy_stride, c, c_stride, m, n);
}

/* n is a constant where it is the usual one. */
INLINE void logprob_back_row(const struct gwen_logprob_back *a, size_t i, size_t n) {
    float *z = a->z + i * a->z_stride;
    void *dz = (char *)a->dz + i * a->dz_stride;
    const int64_t target = (int64_t)a->target[i] - a->first;
    if (a->temperature != 1.0f) divide_row(z, a->temperature, n);
    logprob_row(z, a->max[i], a->p[i], n);
    if (target >= 0 && target < (int64_t)n) z[target] = a->w[i] + z[target];
    if (a->temperature != 1.0f) divide_row(z, a->temperature, n);
    if (a->bf16)
        row_to_bf16(dz, z, n);
    else if (dz != z)
        memcpy(dz, z, n * sizeof *z);
}

static inline void logprob_back_by_rows(const struct gwen_logprob_back *a) {
    for (size_t i = 0; i < a->m && a->n == MOST_COLS; i++) logprob_back_row(a, i, MOST_COLS);
    for (size_t i = 0; i < a->m && a->n != MOST_COLS; i++) logprob_back_row(a, i, a->n);
}

static inline void softmax_back_by_rows(const struct gwen_softmax_back *a) {
    for (size_t i = 0; i < a->m; i++) {
        float *p = a->p + i * a->stride, *ds = a->ds + i * a->stride;
        softmax_back_row(p, ds, a->n, a->visible[i], a->scale, a->max[i], a->sum[i], a->delta[i]);
        if (a->p16 == NULL) continue;
        row_to_bf16(a->p16 + i * a->stride16, p, a->n);
        row_to_bf16(a->ds16 + i * a->stride16, ds, a->n);
    }
}

#endif

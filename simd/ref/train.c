/* train.c - reference of the kernels that only the backward pass and the optimizer use. */
#include "ref/math.h"

enum { LANES = 16 };

void gwen_ref_transpose_32(uint32_t *dst, size_t dst_stride, const uint32_t *src, size_t src_stride,
                           size_t rows, size_t cols) {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++) dst[c * dst_stride + r] = src[r * src_stride + c];
}

void gwen_ref_zip_16(uint16_t *dst, const uint16_t *a, const uint16_t *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        dst[2 * i] = a[i];
        dst[2 * i + 1] = b[i];
    }
}

float gwen_ref_dot(const float *x, const float *y, size_t n) {
    float lanes[LANES] = {0};
    for (size_t i = 0; i < n; i++) lanes[i % LANES] = fmaf(x[i], y[i], lanes[i % LANES]);
    return gwen_tree16(lanes);
}

void gwen_ref_add_product(float *y, const float *a, float s, const float *b, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = fmaf(a[i] * s, b[i], y[i]);
}

float gwen_ref_rmsnorm_back(float *dx, const float *dy, const float *x, const float *w, size_t n,
                            float eps) {
    float squares[LANES] = {0}, products[LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        squares[i % LANES] = fmaf(x[i], x[i], squares[i % LANES]);
        products[i % LANES] = fmaf(dy[i] * w[i], x[i], products[i % LANES]);
    }
    float inv = 1.0f / sqrtf(gwen_tree16(squares) / (float)n + eps);
    float c = (gwen_tree16(products) / (float)n) * (inv * inv);
    for (size_t i = 0; i < n; i++) dx[i] = fmaf(fmaf(-c, x[i], dy[i] * w[i]), inv, dx[i]);
    return inv;
}

void gwen_ref_swiglu_back(float *d_gate, float *d_up, const float *dy, const float *gate,
                          const float *up, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float g = gate[i], u = up[i], s = 1.0f / (1.0f + gwen_exp(-g)), silu = g * s;
        d_up[i] = dy[i] * silu;
        d_gate[i] = (dy[i] * u) * fmaf(silu, 1.0f - s, s);
    }
}

void gwen_ref_logprob_back(float *dz, const float *z, float max, float p, float w, size_t target,
                           size_t n) {
    for (size_t i = 0; i < n; i++) dz[i] = 0.0f - p * gwen_exp(z[i] - max);
    if (target < n) dz[target] = w + dz[target];
}

void gwen_ref_adamw(float *w, float *m, float *v, const float *g, const struct gwen_adamw *p,
                    size_t n) {
    for (size_t i = 0; i < n; i++) {
        float grad = g[i] * p->clip, weight = w[i] * p->decay;
        m[i] = fmaf(p->one_beta1, grad - m[i], m[i]);
        v[i] = fmaf(v[i], p->beta2, (grad * grad) * p->one_beta2);
        float denom = fmaf(sqrtf(v[i]), p->inv_bias2, p->eps);
        w[i] = fmaf(-p->step, m[i] / denom, weight);
    }
}

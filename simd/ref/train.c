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

/* One block of Philox4x32-10: the words of a position. */
static void philox(const struct gwen_rounding *r, uint64_t position, uint32_t c[4]) {
    uint32_t k0 = r->seed[0], k1 = r->seed[1];
    c[0] = r->chain[0] ^ r->sample;
    c[1] = r->chain[1];
    c[2] = r->chain[2] ^ (uint32_t)position;
    c[3] = r->chain[3] ^ (uint32_t)(position >> 32);
    for (int round = 0; round < GWEN_PHILOX_ROUNDS; round++) {
        const uint64_t p0 = (uint64_t)GWEN_PHILOX_M0 * c[0], p1 = (uint64_t)GWEN_PHILOX_M1 * c[2];
        c[0] = (uint32_t)(p1 >> 32) ^ c[1] ^ k0;
        c[1] = (uint32_t)p1;
        c[2] = (uint32_t)(p0 >> 32) ^ c[3] ^ k1;
        c[3] = (uint32_t)p0;
        k0 += GWEN_PHILOX_W0;
        k1 += GWEN_PHILOX_W1;
    }
}

void gwen_ref_random_bf16(struct gwen_bf16 *y, const float *x, size_t n,
                          const struct gwen_rounding *r) {
    for (size_t at = 0; at < n; at += GWEN_ROUNDING_CHUNK)
        for (size_t lane = 0; lane < LANES && at + lane < n; lane++) {
            uint32_t words[4];
            philox(r, r->position + at / GWEN_ROUNDING_CHUNK * GWEN_ROUNDING_POSITIONS + lane,
                   words);
            for (size_t half = 0; half < 8 && at + half * LANES + lane < n; half++) {
                const size_t i = at + half * LANES + lane;
                const uint32_t bits = words[half / 2] >> (half % 2 * 16) & 0xffff;
                const uint32_t u = gwen_float_bits(x[i]);
                y[i] = isnan(x[i]) ? gwen_float_to_bf16(x[i])
                                   : (struct gwen_bf16){(uint16_t)((u + bits) >> 16)};
            }
        }
}

/* train.c - reference of the kernels that only the backward pass and the optimizer use. */
#include "ref/math.h"

enum { LANES = 16 };

/* Element i of a row of bf16 or float. */
static void store(void *row, bool bf16, size_t i, float value) {
    if (bf16)
        ((struct gwen_bf16 *)row)[i] = gwen_float_to_bf16(value);
    else
        ((float *)row)[i] = value;
}

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

void gwen_ref_norm_rope_back(void *y, bool bf16, float *d, const float *x, size_t n_heads,
                             size_t half, const float *w, float eps, const float *cosines,
                             const float *sines, float *inv) {
    for (size_t h = 0; h < n_heads; h++, d += 2 * half, x += 2 * half) {
        for (size_t i = 0; i < half; i++) {
            float a = d[i], b = d[i + half], c = cosines[i], s = sines[i];
            d[i] = fmaf(a, c, b * s);
            d[i + half] = fmaf(b, c, -(a * s));
        }
        float squares[LANES] = {0}, products[LANES] = {0};
        for (size_t i = 0; w != NULL && i < 2 * half; i++) {
            squares[i % LANES] = fmaf(x[i], x[i], squares[i % LANES]);
            products[i % LANES] = fmaf(d[i] * w[i], x[i], products[i % LANES]);
        }
        const float n = (float)(2 * half);
        inv[h] = w != NULL ? 1.0f / sqrtf(gwen_tree16(squares) / n + eps) : 1.0f;
        const float c = (gwen_tree16(products) / n) * (inv[h] * inv[h]);
        for (size_t i = 0; i < 2 * half; i++)
            store(y, bf16, h * 2 * half + i,
                  w != NULL ? fmaf(fmaf(-c, x[i], d[i] * w[i]), inv[h], 0.0f) : d[i]);
    }
}

/* d_gate and d_up, or zeros beyond the row's end. */
static void swiglu_back_at(void *d, bool bf16, float dy, const float *c, size_t f, bool inside) {
    const size_t at = f / GWEN_PANEL * 2 * GWEN_PANEL + f % GWEN_PANEL;
    float d_gate = 0, d_up = 0;
    if (inside) {
        const float g = c[at], u = c[at + GWEN_PANEL], s = 1.0f / (1.0f + gwen_exp(-g));
        const float silu = g * s;
        d_up = dy * silu;
        d_gate = (dy * u) * fmaf(silu, 1.0f - s, s);
    }
    store(d, bf16, at, d_gate);
    store(d, bf16, at + GWEN_PANEL, d_up);
}

void gwen_ref_swiglu_back(void *d, size_t d_stride, bool bf16, const float *dy, size_t dy_stride,
                          const float *c, size_t c_stride, size_t m, size_t n) {
    const size_t whole = (n + GWEN_PANEL - 1) / GWEN_PANEL * GWEN_PANEL;
    for (size_t i = 0; i < m; i++)
        for (size_t f = 0; f < whole; f++)
            swiglu_back_at((char *)d + i * d_stride, bf16, f < n ? dy[i * dy_stride + f] : 0,
                           c + i * c_stride, f, f < n);
}

void gwen_ref_logprob_back(const struct gwen_logprob_back *a) {
    const float t = a->temperature;
    for (size_t i = 0; i < a->m; i++)
        for (size_t j = 0; j < a->n; j++) {
            float z = a->z[i * a->z_stride + j];
            if (t != 1.0f) z /= t;
            float dz = 0.0f - a->p[i] * gwen_exp(z - a->max[i]);
            if (a->first + (int32_t)j == a->target[i]) dz = a->w[i] + dz;
            if (t != 1.0f) dz /= t;
            store((char *)a->dz + i * a->dz_stride, a->bf16, j, dz);
        }
}

void gwen_ref_softmax_back(const struct gwen_softmax_back *a) {
    for (size_t i = 0; i < a->m; i++)
        for (size_t j = 0; j < a->n; j++) {
            const size_t at = i * a->stride + j, at16 = i * a->stride16 + j;
            float p = 0, ds = 0;
            if (j < a->visible[i]) {
                p = gwen_exp(a->p[at] * a->scale - a->max[i]) / a->sum[i];
                ds = (p * (a->ds[at] - a->delta[i])) * a->scale;
            }
            if (a->p16 != NULL) {
                a->p16[at16] = gwen_float_to_bf16(p);
                a->ds16[at16] = gwen_float_to_bf16(ds);
            } else {
                a->p[at] = p;
                a->ds[at] = ds;
            }
        }
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

/* neon_train.c - kernels of the backward pass and the optimizer on ARMv8-A NEON, step by step as
 * simd/ref/train.c has them.  What is left over at the end of a row goes through the reference. */
#include "arm/neon.h"

/* r[i] = row i becomes column i. */
INLINE void transpose(uint32x4_t r[WIDTH]) {
    const uint32x4x2_t a = vtrnq_u32(r[0], r[1]), b = vtrnq_u32(r[2], r[3]);
    r[0] = vcombine_u32(vget_low_u32(a.val[0]), vget_low_u32(b.val[0]));
    r[1] = vcombine_u32(vget_low_u32(a.val[1]), vget_low_u32(b.val[1]));
    r[2] = vcombine_u32(vget_high_u32(a.val[0]), vget_high_u32(b.val[0]));
    r[3] = vcombine_u32(vget_high_u32(a.val[1]), vget_high_u32(b.val[1]));
}

static void transpose_32(uint32_t *dst, size_t dst_stride, const uint32_t *src, size_t src_stride,
                         size_t rows, size_t cols) {
    const size_t whole_rows = rows / WIDTH * WIDTH, whole_cols = cols / WIDTH * WIDTH;
    uint32x4_t r[WIDTH];
    for (size_t r0 = 0; r0 < whole_rows; r0 += WIDTH)
        for (size_t c0 = 0; c0 < whole_cols; c0 += WIDTH) {
            UNROLL for (size_t i = 0; i < WIDTH; i++) r[i] =
                vld1q_u32(src + (r0 + i) * src_stride + c0);
            transpose(r);
            UNROLL for (size_t i = 0; i < WIDTH; i++)
                vst1q_u32(dst + (c0 + i) * dst_stride + r0, r[i]);
        }
    gwen_ref_transpose_32(dst + whole_cols * dst_stride, dst_stride, src + whole_cols, src_stride,
                          rows, cols - whole_cols);
    gwen_ref_transpose_32(dst + whole_rows, dst_stride, src + whole_rows * src_stride, src_stride,
                          rows - whole_rows, whole_cols);
}

static void zip_16(uint16_t *dst, const uint16_t *a, const uint16_t *b, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint16x8x2_t pair = {{vld1q_u16(a + i), vld1q_u16(b + i)}};
        vst2q_u16(dst + 2 * i, pair);
    }
    gwen_ref_zip_16(dst + 2 * i, a + i, b + i, n - i);
}

INLINE void clear(float32x4_t sum[VECTORS]) {
    UNROLL for (int v = 0; v < VECTORS; v++) sum[v] = vdupq_n_f32(0.0f);
}

static float dot(const float *x, const float *y, size_t n) {
    float32x4_t sum[VECTORS];
    clear(sum);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        UNROLL for (int v = 0; v < VECTORS; v++) {
            const size_t at = i + (size_t)v * WIDTH;
            sum[v] = vfmaq_f32(sum[v], vld1q_f32(x + at), vld1q_f32(y + at));
        }
    }
    if (i == n) return tree(sum);
    float lanes[LANES];
    store_lanes(lanes, sum);
    for (size_t j = 0; i + j < n; j++) lanes[j] = fmaf(x[i + j], y[i + j], lanes[j]);
    return gwen_tree16(lanes);
}

static void add_product(float *y, const float *a, float s, const float *b, size_t n) {
    size_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH) {
        const float32x4_t v = vmulq_n_f32(vld1q_f32(a + i), s);
        vst1q_f32(y + i, vfmaq_f32(vld1q_f32(y + i), v, vld1q_f32(b + i)));
    }
    gwen_ref_add_product(y + i, a + i, s, b + i, n - i);
}

/* The two sums of rmsnorm_back. */
INLINE void norm_sums(const float *dy, const float *x, const float *w, size_t n, float *square,
                      float *product) {
    float32x4_t squares[VECTORS], products[VECTORS];
    float square_lanes[LANES], product_lanes[LANES];
    clear(squares);
    clear(products);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        UNROLL for (int v = 0; v < VECTORS; v++) {
            const size_t at = i + (size_t)v * WIDTH;
            const float32x4_t part = vld1q_f32(x + at);
            const float32x4_t g = vmulq_f32(vld1q_f32(dy + at), vld1q_f32(w + at));
            squares[v] = vfmaq_f32(squares[v], part, part);
            products[v] = vfmaq_f32(products[v], g, part);
        }
    }
    store_lanes(square_lanes, squares);
    store_lanes(product_lanes, products);
    for (size_t j = 0; i + j < n; j++) {
        const float part = x[i + j];
        square_lanes[j] = fmaf(part, part, square_lanes[j]);
        product_lanes[j] = fmaf(dy[i + j] * w[i + j], part, product_lanes[j]);
    }
    *square = gwen_tree16(square_lanes);
    *product = gwen_tree16(product_lanes);
}

INLINE float rmsnorm_back(float *dx, const float *dy, const float *x, const float *w, size_t n,
                          float eps) {
    float square, product;
    norm_sums(dy, x, w, n, &square, &product);
    const float inv = 1.0f / sqrtf(square / (float)n + eps);
    const float c = (product / (float)n) * (inv * inv);
    const float32x4_t cs = vdupq_n_f32(c), factor = vdupq_n_f32(inv);
    size_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH) {
        float32x4_t g = vmulq_f32(vld1q_f32(dy + i), vld1q_f32(w + i));
        g = vfmsq_f32(g, cs, vld1q_f32(x + i));
        vst1q_f32(dx + i, vfmaq_f32(vld1q_f32(dx + i), g, factor));
    }
    for (; i < n; i++) dx[i] = fmaf(fmaf(-c, x[i], dy[i] * w[i]), inv, dx[i]);
    return inv;
}

/* A rotation's transpose turns back. */
INLINE void rope_back(float *d, const float *cosines, const float *sines, size_t half) {
    size_t i = 0;
    for (; i + WIDTH <= half; i += WIDTH) {
        const float32x4_t a = vld1q_f32(d + i), b = vld1q_f32(d + half + i);
        const float32x4_t c = vld1q_f32(cosines + i), s = vld1q_f32(sines + i);
        vst1q_f32(d + i, vfmaq_f32(vmulq_f32(b, s), a, c));
        vst1q_f32(d + half + i, vfmaq_f32(vnegq_f32(vmulq_f32(a, s)), b, c));
    }
    for (; i < half; i++) {
        const float a = d[i], b = d[i + half], c = cosines[i], s = sines[i];
        d[i] = fmaf(a, c, b * s);
        d[i + half] = fmaf(b, c, -(a * s));
    }
}

INLINE void swiglu_back_row(float *d_gate, float *d_up, const float *dy, const float *gate,
                            const float *up, size_t n) {
    const float32x4_t one = vdupq_n_f32(1.0f);
    size_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH) {
        const float32x4_t g = vld1q_f32(gate + i), u = vld1q_f32(up + i), d = vld1q_f32(dy + i);
        const float32x4_t s = vdivq_f32(one, vaddq_f32(one, exp4(vnegq_f32(g))));
        const float32x4_t silu = vmulq_f32(g, s);
        const float32x4_t slope = vfmaq_f32(s, silu, vsubq_f32(one, s));
        vst1q_f32(d_up + i, vmulq_f32(d, silu));
        vst1q_f32(d_gate + i, vmulq_f32(vmulq_f32(d, u), slope));
    }
    for (; i < n; i++) {
        const float s = 1.0f / (1.0f + gwen_exp(-gate[i])), silu = gate[i] * s;
        d_up[i] = dy[i] * silu;
        d_gate[i] = (dy[i] * up[i]) * fmaf(silu, 1.0f - s, s);
    }
}

INLINE void divide_row(float *y, float s, size_t n) {
    const float32x4_t divisor = vdupq_n_f32(s);
    size_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH) vst1q_f32(y + i, vdivq_f32(vld1q_f32(y + i), divisor));
    gwen_ref_divide(y + i, s, n - i);
}

/* z = 0 - p * exp(z - max) */
INLINE void logprob_row(float *z, float max, float p, size_t n) {
    const float32x4_t sub = vdupq_n_f32(max);
    size_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH) {
        const float32x4_t e = exp4(vsubq_f32(vld1q_f32(z + i), sub));
        vst1q_f32(z + i, vsubq_f32(vdupq_n_f32(0.0f), vmulq_n_f32(e, p)));
    }
    for (; i < n; i++) z[i] = 0.0f - p * gwen_exp(z[i] - max);
}

/* Bits set in the lanes of four columns from i on that are below `visible`. */
INLINE uint32x4_t below(size_t i, size_t visible) {
    static const uint32_t lane[WIDTH] = {0, 1, 2, 3};
    const size_t left = visible > i ? visible - i : 0;
    return vcltq_u32(vld1q_u32(lane), vdupq_n_u32(left < WIDTH ? (uint32_t)left : WIDTH));
}

INLINE void softmax_back_row(float *p, float *ds, size_t n, size_t visible, float scale, float max,
                             float sum, float delta) {
    const float32x4_t sub = vdupq_n_f32(max), divisor = vdupq_n_f32(sum);
    for (size_t i = 0; i < n; i += WIDTH) {
        const uint32x4_t seen = below(i, visible);
        const float32x4_t s = vmulq_n_f32(vld1q_f32(p + i), scale);
        uint32x4_t e = vreinterpretq_u32_f32(vdivq_f32(exp4(vsubq_f32(s, sub)), divisor));
        e = vandq_u32(e, seen);
        float32x4_t d = vsubq_f32(vld1q_f32(ds + i), vdupq_n_f32(delta));
        d = vmulq_n_f32(vmulq_f32(vreinterpretq_f32_u32(e), d), scale);
        vst1q_f32(p + i, vreinterpretq_f32_u32(e));
        vst1q_f32(ds + i, vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(d), seen)));
    }
}

#include "train_by_rows.h"

static void adamw(float *w, float *m, float *v, const float *g, const struct gwen_adamw *p,
                  size_t n) {
    const float32x4_t one_beta1 = vdupq_n_f32(p->one_beta1), beta2 = vdupq_n_f32(p->beta2);
    const float32x4_t step = vdupq_n_f32(p->step), eps = vdupq_n_f32(p->eps);
    const float32x4_t inv_bias2 = vdupq_n_f32(p->inv_bias2);
    size_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH) {
        const float32x4_t grad = vmulq_n_f32(vld1q_f32(g + i), p->clip), old = vld1q_f32(m + i);
        const float32x4_t weight = vmulq_n_f32(vld1q_f32(w + i), p->decay);
        const float32x4_t mean = vfmaq_f32(old, one_beta1, vsubq_f32(grad, old));
        const float32x4_t square =
            vfmaq_f32(vmulq_n_f32(vmulq_f32(grad, grad), p->one_beta2), vld1q_f32(v + i), beta2);
        const float32x4_t denom = vfmaq_f32(eps, vsqrtq_f32(square), inv_bias2);
        vst1q_f32(m + i, mean);
        vst1q_f32(v + i, square);
        vst1q_f32(w + i, vfmsq_f32(weight, step, vdivq_f32(mean, denom)));
    }
    gwen_ref_adamw(w + i, m + i, v + i, g + i, p, n - i);
}

void gwen_init_neon_train(struct gwen_kernels *k) {
    k->transpose_32 = transpose_32;
    k->zip_16 = zip_16;
    k->dot = dot;
    k->add_product = add_product;
    k->rmsnorm_back = rmsnorm_back;
    k->norm_rope_back = norm_rope_back_by_rows;
    k->swiglu_back = swiglu_back_by_rows;
    k->logprob_back = logprob_back_by_rows;
    k->softmax_back = softmax_back_by_rows;
    k->adamw = adamw;
}

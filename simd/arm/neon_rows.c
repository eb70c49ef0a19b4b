/* neon_rows.c - kernels over rows of float on ARMv8-A NEON.
 *
 * A block of 16 elements is four vectors: the 16 lanes in which the reference sums.  What is left
 * over at the end of a row goes through the reference, element by element where it is summed. */
#include "arm/neon.h"
#include "ref/math.h"

INLINE void rmsnorm(float *y, const float *x, const float *w, size_t n, float eps) {
    float32x4_t sum[VECTORS];
    UNROLL for (int v = 0; v < VECTORS; v++) sum[v] = vdupq_n_f32(0.0f);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        UNROLL for (int v = 0; v < VECTORS; v++) {
            const float32x4_t part = vld1q_f32(x + i + v * WIDTH);
            sum[v] = vfmaq_f32(sum[v], part, part);
        }
    }
    float total;
    if (i < n) {
        float lanes[LANES];
        store_lanes(lanes, sum);
        for (size_t j = 0; i + j < n; j++) lanes[j] = fmaf(x[i + j], x[i + j], lanes[j]);
        total = gwen_tree16(lanes);
    } else {
        total = tree(sum);
    }
    const float inv = 1.0f / sqrtf(total / (float)n + eps);
    for (i = 0; i + WIDTH <= n; i += WIDTH)
        vst1q_f32(y + i, vmulq_f32(vmulq_n_f32(vld1q_f32(x + i), inv), vld1q_f32(w + i)));
    for (; i < n; i++) y[i] = (x[i] * inv) * w[i];
}

INLINE void rope(float *x, const float *cosines, const float *sines, size_t half) {
    size_t i = 0;
    for (; i + WIDTH <= half; i += WIDTH) {
        const float32x4_t a = vld1q_f32(x + i), b = vld1q_f32(x + half + i);
        const float32x4_t c = vld1q_f32(cosines + i), s = vld1q_f32(sines + i);
        vst1q_f32(x + i, vfmaq_f32(vnegq_f32(vmulq_f32(b, s)), a, c));
        vst1q_f32(x + half + i, vfmaq_f32(vmulq_f32(a, s), b, c));
    }
    for (; i < half; i++) {
        const float a = x[i], b = x[i + half], c = cosines[i], s = sines[i];
        x[i] = fmaf(a, c, -(b * s));
        x[i + half] = fmaf(b, c, a * s);
    }
}

/* y = gate / (1 + exp(-gate)) * up */
INLINE void silu_mul(float *y, const float *gate, const float *up, size_t n) {
    const float32x4_t one = vdupq_n_f32(1.0f);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        UNROLL for (int v = 0; v < VECTORS; v++) {
            const float32x4_t g = vld1q_f32(gate + i + v * WIDTH);
            const float32x4_t silu = vdivq_f32(g, vaddq_f32(one, exp4(vnegq_f32(g))));
            vst1q_f32(y + i + v * WIDTH, vmulq_f32(silu, vld1q_f32(up + i + v * WIDTH)));
        }
    }
    for (; i < n; i++) y[i] = (gate[i] / (1.0f + gwen_exp(-gate[i]))) * up[i];
}

static void add(float *y, const float *x, size_t n) {
    size_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH)
        vst1q_f32(y + i, vaddq_f32(vld1q_f32(y + i), vld1q_f32(x + i)));
    gwen_ref_add(y + i, x + i, n - i);
}

INLINE void scale(float *y, float s, size_t n) {
    size_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH) vst1q_f32(y + i, vmulq_n_f32(vld1q_f32(y + i), s));
    gwen_ref_scale(y + i, s, n - i);
}

static void divide(float *y, float s, size_t n) {
    const float32x4_t divisor = vdupq_n_f32(s);
    size_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH) vst1q_f32(y + i, vdivq_f32(vld1q_f32(y + i), divisor));
    gwen_ref_divide(y + i, s, n - i);
}

static void exp_sub(float *y, const float *x, float sub, size_t n) {
    const float32x4_t less = vdupq_n_f32(sub);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        UNROLL for (int v = 0; v < VECTORS; v++) {
            const float32x4_t part = vld1q_f32(x + i + v * WIDTH);
            vst1q_f32(y + i + v * WIDTH, exp4(vsubq_f32(part, less)));
        }
    }
    gwen_ref_exp_sub(y + i, x + i, sub, n - i);
}

INLINE float sum_exp_sub(const float *x, float sub, size_t n) {
    const float32x4_t less = vdupq_n_f32(sub);
    float32x4_t sum[VECTORS];
    UNROLL for (int v = 0; v < VECTORS; v++) sum[v] = vdupq_n_f32(0.0f);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        UNROLL for (int v = 0; v < VECTORS; v++) {
            const float32x4_t part = vld1q_f32(x + i + v * WIDTH);
            sum[v] = vaddq_f32(sum[v], exp4(vsubq_f32(part, less)));
        }
    }
    if (i == n) return tree(sum);
    float lanes[LANES];
    store_lanes(lanes, sum);
    for (size_t j = 0; i + j < n; j++) lanes[j] += gwen_exp(x[i + j] - sub);
    return gwen_tree16(lanes);
}

/* The larger of each pair; a NaN in x is passed over, which no FMAX does (FMAXNM answers a
 * signalling NaN with a NaN).  best holds none. */
INLINE float32x4_t larger(float32x4_t best, float32x4_t x) {
    return vbslq_f32(vcgtq_f32(x, best), x, best);
}

/* -0 becomes +0: else the result would depend on the order. */
INLINE float largest(const float32x4_t best[VECTORS]) {
    return vmaxvq_f32(larger(larger(best[0], best[1]), larger(best[2], best[3]))) + 0.0f;
}

INLINE float max(const float *x, size_t n) {
    float32x4_t best[VECTORS];
    UNROLL for (int v = 0; v < VECTORS; v++) best[v] = vdupq_n_f32(-INFINITY);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        UNROLL for (int v = 0; v < VECTORS; v++) {
            best[v] = larger(best[v], vld1q_f32(x + i + v * WIDTH));
        }
    }
    const float front = largest(best), back = gwen_ref_max(x + i, n - i);
    return back > front ? back : front;
}

static size_t argmax(const float *x, size_t n) {
    const float best = max(x, n);
    const float32x4_t wanted = vdupq_n_f32(best);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        uint32x4_t found = vdupq_n_u32(0);
        UNROLL for (int v = 0; v < VECTORS; v++) {
            found = vorrq_u32(found, vceqq_f32(vld1q_f32(x + i + v * WIDTH), wanted));
        }
        if (vmaxvq_u32(found) != 0) break;
    }
    for (; i < n; i++)
        if (x[i] == best) return i;
    return 0;
}

/* Bits set in the lanes of vector v of a block that starts at i where i + lane < visible. */
INLINE uint32x4_t visible_lanes(size_t i, size_t visible, int v) {
    static const uint32_t lane[LANES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const size_t left = visible - i;
    const uint32_t bound = left < LANES ? (uint32_t)left : LANES;
    return vcltq_u32(vld1q_u32(lane + v * WIDTH), vdupq_n_u32(bound));
}

INLINE float softmax_row(float *s, size_t n, size_t visible, float factor, float *m, float *l) {
    float32x4_t most[VECTORS], sum[VECTORS];
    UNROLL for (int v = 0; v < VECTORS; v++) {
        most[v] = vdupq_n_f32(-INFINITY);
        sum[v] = vdupq_n_f32(0.0f);
    }
    for (size_t i = 0; i < visible; i += LANES) {
        UNROLL for (int v = 0; v < VECTORS; v++) {
            float *at = s + i + v * WIDTH;
            const float32x4_t score = vmulq_n_f32(vld1q_f32(at), factor);
            vst1q_f32(at, score);
            most[v] = vbslq_f32(visible_lanes(i, visible, v), larger(most[v], score), most[v]);
        }
    }
    const float old = *m, found = largest(most), best = old > found ? old : found;
    const float32x4_t less = vdupq_n_f32(best);
    for (size_t i = 0; i < n; i += LANES) {
        UNROLL for (int v = 0; v < VECTORS; v++) {
            float *at = s + i + v * WIDTH;
            uint32x4_t p = vdupq_n_u32(0);
            if (i < visible)
                p = vandq_u32(vreinterpretq_u32_f32(exp4(vsubq_f32(vld1q_f32(at), less))),
                              visible_lanes(i, visible, v));
            vst1q_f32(at, vreinterpretq_f32_u32(p));
            sum[v] = vaddq_f32(sum[v], vreinterpretq_f32_u32(p));
        }
    }
    const float corr = old == -INFINITY ? 0.0f : gwen_exp(old - best);
    *l = fmaf(*l, corr, tree(sum));
    *m = best;
    return corr;
}

#define BY_ROWS_SOFTMAX
#include "by_rows.h"

void gwen_init_neon_rows(struct gwen_kernels *k) {
    k->rmsnorm = rmsnorm;
    k->rope = rope;
    k->norm_rope = norm_rope_by_rows;
    k->swiglu = swiglu_by_rows;
    k->add = add;
    k->scale = scale;
    k->divide = divide;
    k->exp_sub = exp_sub;
    k->sum_exp_sub = sum_exp_sub;
    k->max = max;
    k->argmax = argmax;
    k->block_stats = block_stats_by_rows;
    k->softmax_block = softmax_by_rows;
}

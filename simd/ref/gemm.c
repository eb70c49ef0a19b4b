/* gemm.c - reference of the matrix products: the definition of their results.
 *
 * Every output element is one chain over k.  gemm_bf16dot has a reference for each way that
 * processors compute it (struct gwen_kernels.dot_class says which one a table has). */
#include "ref/math.h"

/* Element (row, k) of the activations. */
static float x_f32(const struct gwen_tile *t, size_t row, size_t k) {
    float v;
    memcpy(&v, (const char *)t->x + row * t->x_stride + k * sizeof v, sizeof v);
    return v;
}
static float x_bf16(const struct gwen_tile *t, size_t row, size_t k) {
    struct gwen_bf16 v;
    memcpy(&v, (const char *)t->x + row * t->x_stride + k * sizeof v, sizeof v);
    return gwen_bf16_to_float(v);
}

static const void *panel(const struct gwen_tile *t, size_t p) {
    return (const char *)t->w + p * t->panel_stride;
}

static float *c_at(const struct gwen_tile *t, size_t row, size_t p) {
    return t->c + row * t->c_stride + p * GWEN_PANEL;
}

void gwen_ref_gemm_f32(const struct gwen_tile *t) {
    for (size_t i = 0; i < t->m; i++) {
        for (size_t p = 0; p < t->nv; p++) {
            const float *w = panel(t, p);
            float *c = c_at(t, i, p);
            for (size_t j = 0; j < GWEN_PANEL; j++) {
                float acc = t->accumulate ? c[j] : 0.0f;
                for (size_t k = 0; k < t->k; k++)
                    acc = fmaf(x_f32(t, i, k), w[k * GWEN_PANEL + j], acc);
                c[j] = acc;
            }
        }
    }
}

void gwen_ref_gemm_f16(const struct gwen_tile *t) {
    for (size_t i = 0; i < t->m; i++) {
        for (size_t p = 0; p < t->nv; p++) {
            const struct gwen_f16 *w = panel(t, p);
            float *c = c_at(t, i, p);
            for (size_t j = 0; j < GWEN_PANEL; j++) {
                float acc = t->accumulate ? c[j] : 0.0f;
                for (size_t k = 0; k < t->k; k++)
                    acc = fmaf(x_f32(t, i, k), gwen_f16_to_float(w[k * GWEN_PANEL + j]), acc);
                c[j] = acc;
            }
        }
    }
}

void gwen_ref_gemm_bf16(const struct gwen_tile *t) {
    for (size_t i = 0; i < t->m; i++) {
        for (size_t p = 0; p < t->nv; p++) {
            const struct gwen_bf16 *w = panel(t, p);
            float *c = c_at(t, i, p);
            for (size_t j = 0; j < GWEN_PANEL; j++) {
                float acc = t->accumulate ? c[j] : 0.0f;
                for (size_t k = 0; k < t->k; k++)
                    acc = fmaf(x_f32(t, i, k), gwen_bf16_to_float(w[k * GWEN_PANEL + j]), acc);
                c[j] = acc;
            }
        }
    }
}

/* Calls dot(acc, x pair, w pair) along k for every element of the tile. */
static void gemm_pairs(const struct gwen_tile *t,
                       float (*dot)(float acc, float x0, float x1, float w0, float w1)) {
    for (size_t i = 0; i < t->m; i++) {
        for (size_t p = 0; p < t->nv; p++) {
            const struct gwen_bf16 *w = panel(t, p);
            float *c = c_at(t, i, p);
            for (size_t j = 0; j < GWEN_PANEL; j++) {
                float acc = t->accumulate ? c[j] : 0.0f;
                for (size_t k = 0; k + 1 < t->k; k += 2) {
                    const struct gwen_bf16 *pair = &w[k * GWEN_PANEL + 2 * j];
                    acc = dot(acc, x_bf16(t, i, k), x_bf16(t, i, k + 1),
                              gwen_bf16_to_float(pair[0]), gwen_bf16_to_float(pair[1]));
                }
                c[j] = acc;
            }
        }
    }
}

/* A denormal becomes a zero of its sign. */
static float flush(float x) {
    uint32_t u = gwen_float_bits(x);
    return (u & 0x7f800000u) != 0 ? x : gwen_float_of_bits(u & 0x80000000u);
}

/* a + b in double with what the rounding lost (Knuth); no overflow for sums of floats and
 * products of bf16. */
static double two_sum(double a, double b, double *lost) {
    double sum = a + b, b_part = sum - a;
    *lost = (a - (sum - b_part)) + (b - b_part);
    return sum;
}

/* --- VDPBF16PS ------------------------------------------------------------------------------ */
/* fma(a, b, c) as VDPBF16PS has it: denormal inputs count as 0, a result that is tiny after
 * rounding to 24 bits (with no bound on the exponent) becomes 0, ties go to even. */
static float fma_flush(float a, float b, float c) {
    a = flush(a), b = flush(b), c = flush(c);
    float r = fmaf(a, b, c);
    if (r == 0x1p-126f || r == -0x1p-126f) {
        /* Just below 2^-126 fmaf has 23 bits, the instruction rounds to 24 before it asks
         * whether the result is tiny: decide on the exact sum. */
        const double bound = 0x1.ffffffp-127; /* from here on 24 bits round up to 2^-126 */
        double lost, sum = two_sum((double)a * (double)b, c, &lost);
        if (sum < 0) sum = -sum, lost = -lost;
        if (sum < bound || (sum == bound && lost < 0)) return r < 0 ? -0.0f : 0.0f;
    }
    return flush(r);
}

/* The odd element of a pair is added first (Intel's pseudocode, and measured on Zen 5). */
static float dot_vdp(float acc, float x0, float x1, float w0, float w1) {
    return fma_flush(x0, w0, fma_flush(x1, w1, acc));
}

void gwen_ref_gemm_vdp(const struct gwen_tile *t) { gemm_pairs(t, dot_vdp); }

/* --- BFDOT (Arm's BFDotAdd without FEAT_EBF16) ---------------------------------------------- */
/* BFRound: the exact value v + lost (v != 0) to float, rounded to odd, tiny results to 0. */
static float round_to_odd(double v, double lost) {
    uint64_t u;
    memcpy(&u, &v, sizeof u);
    if (lost != 0) {
        if ((lost < 0) != (v < 0)) u--; /* |v| was rounded up: back towards 0 */
        u |= 1;                         /* something is below */
    }
    uint32_t sign = (uint32_t)(u >> 32) & 0x80000000u;
    int exponent = (int)(u >> 52 & 0x7ff) - 1023;
    if (exponent < -126) return gwen_float_of_bits(sign);
    if (exponent > 127) return gwen_float_of_bits(sign | 0x7f800000u);
    uint32_t fraction = (uint32_t)(u >> 29) & 0x7fffff;
    if ((u & 0x1fffffff) != 0) fraction |= 1;
    return gwen_float_of_bits(sign | (uint32_t)(exponent + 127) << 23 | fraction);
}

static const uint32_t DEFAULT_NAN = 0x7fc00000u;

static float bf_mul(float a, float b) {
    a = flush(a), b = flush(b);
    float product = a * b; /* sign, zeros, infinities and NaN-ness are right */
    if (product != product) return gwen_float_of_bits(DEFAULT_NAN);
    if (a == 0 || b == 0 || a - a != 0 || b - b != 0) return product;
    return round_to_odd((double)a * (double)b, 0.0);
}

static float bf_add(float a, float b) {
    a = flush(a), b = flush(b);
    float rough = a + b;
    if (a != a || b != b || (rough != rough)) return gwen_float_of_bits(DEFAULT_NAN);
    if (a - a != 0 || b - b != 0 || (a == 0 && b == 0)) return rough;
    double lost, sum = two_sum(a, b, &lost);
    return sum == 0 ? 0.0f : round_to_odd(sum, lost);
}

static float dot_bfdot(float acc, float x0, float x1, float w0, float w1) {
    return bf_add(acc, bf_add(bf_mul(x0, w0), bf_mul(x1, w1)));
}

void gwen_ref_gemm_bfdot(const struct gwen_tile *t) { gemm_pairs(t, dot_bfdot); }

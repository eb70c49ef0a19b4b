/* math.h - the arithmetic that every instruction set reproduces bit for bit.
 *
 * The float functions use only operations that AVX2, AVX-512 and NEON have in vector form with
 * the same result (fma, add, multiply, integer shifts), so a vector version written step by
 * step after them gives the same bits.  The double functions use only + - * / sqrt and integer
 * operations, never libm, so that angle tables and log-sum-exps agree between machines. */
#ifndef GWEN_REF_MATH_H
#define GWEN_REF_MATH_H

#include "gwen_simd.h"

#include <math.h>
#include <string.h>

/* --- bits of a float ------------------------------------------------------------------------ */
static inline uint32_t gwen_float_bits(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}
static inline float gwen_float_of_bits(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* --- exp of a float ------------------------------------------------------------------------- */
/* Constants of gwen_exp; the vector versions use the same ones. */
#define GWEN_EXP_MIN (-0x1.5d589ep+6f)  /* below: the result would be no normal number, gives 0 */
#define GWEN_EXP_MAX 0x1.62e42ep+6f     /* above: infinity */
#define GWEN_EXP_LOG2E 0x1.715476p+0f   /* 1 / ln 2 */
#define GWEN_EXP_MAGIC 0x1.8p+23f       /* adding it rounds to an integer, ties to even */
#define GWEN_EXP_LN2_HI 0x1.62e400p-1f  /* 15 bits of ln 2: n times it is exact */
#define GWEN_EXP_LN2_LO 0x1.7f7d1cp-20f /* ln 2 - GWEN_EXP_LN2_HI */
/* (exp(r) - 1 - r) / r^2 on |r| <= ln(2)/2, weighted so that the relative error of exp is 4e-9 */
#define GWEN_EXP_C0 0x1.000000p-1f
#define GWEN_EXP_C1 0x1.5554a4p-3f
#define GWEN_EXP_C2 0x1.555688p-5f
#define GWEN_EXP_C3 0x1.122facp-7f
#define GWEN_EXP_C4 0x1.6b6e42p-10f

/* e^x, error below 1.03 ulp (measured over all arguments).  Results below the smallest normal
 * float are 0 (exp(-inf) = 0), overflow gives infinity, NaN stays NaN. */
static inline float gwen_exp(float x) {
    float t = fmaf(x, GWEN_EXP_LOG2E, GWEN_EXP_MAGIC); /* low bits of t: n = round(x / ln 2) */
    float n = t - GWEN_EXP_MAGIC;
    float r = fmaf(n, -GWEN_EXP_LN2_HI, x);
    r = fmaf(n, -GWEN_EXP_LN2_LO, r);
    float q = fmaf(GWEN_EXP_C4, r, GWEN_EXP_C3);
    q = fmaf(q, r, GWEN_EXP_C2);
    q = fmaf(q, r, GWEN_EXP_C1);
    q = fmaf(q, r, GWEN_EXP_C0);
    float p = fmaf(q, r * r, r) + 1.0f;
    /* The range checks keep the exponent of p + n within 1..254: the sum of bits is exact. */
    float y = gwen_float_of_bits(gwen_float_bits(p) + (gwen_float_bits(t) << 23));
    if (x < GWEN_EXP_MIN) y = 0.0f;
    if (x > GWEN_EXP_MAX) y = INFINITY;
    if (x != x) y = x + x;
    return y;
}

/* --- 16-bit formats, round to nearest even -------------------------------------------------- */
static inline float gwen_bf16_to_float(struct gwen_bf16 h) {
    return gwen_float_of_bits((uint32_t)h.bits << 16);
}

static inline struct gwen_bf16 gwen_float_to_bf16(float x) {
    uint32_t u = gwen_float_bits(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (struct gwen_bf16){(uint16_t)(u >> 16 | 0x40)};
    return (struct gwen_bf16){(uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16)};
}

static inline float gwen_f16_to_float(struct gwen_f16 h) {
    uint32_t sign = (uint32_t)(h.bits & 0x8000) << 16, magnitude = h.bits & 0x7fff;
    if (magnitude > 0x7c00) return gwen_float_of_bits(sign | 0x7fc00000u | magnitude << 13);
    if (magnitude == 0x7c00) return gwen_float_of_bits(sign | 0x7f800000u);
    /* As a float exponent the half's is 112 too small; the product is exact, and makes
     * denormals normal. */
    float y = gwen_float_of_bits(magnitude << 13) * 0x1p112f;
    return gwen_float_of_bits(sign | gwen_float_bits(y));
}

static inline struct gwen_f16 gwen_float_to_f16(float x) {
    uint32_t u = gwen_float_bits(x), sign = u >> 16 & 0x8000, magnitude = u & 0x7fffffff;
    uint32_t h;
    if (magnitude > 0x7f800000u) {
        h = 0x7e00 | (magnitude >> 13 & 0x3ff);
    } else if (magnitude >= 0x47800000u) { /* 65536 and more */
        h = 0x7c00;
    } else if (magnitude < 0x38800000u) { /* below 2^-14: the unit is 2^-24, as 0.5's ulp is */
        h = gwen_float_bits(gwen_float_of_bits(magnitude) + 0.5f) - 0x3f000000u;
    } else { /* 65520 and more carry into infinity by themselves */
        h = (magnitude - 0x38000000u + 0xfff + (magnitude >> 13 & 1)) >> 13;
    }
    return (struct gwen_f16){(uint16_t)(sign | h)};
}

/* y[i] = x in one of two types. */
static inline void gwen_put(void *y, bool bf16, size_t i, float x) {
    if (bf16)
        ((struct gwen_bf16 *)y)[i] = gwen_float_to_bf16(x);
    else
        ((float *)y)[i] = x;
}

/* --- sums ----------------------------------------------------------------------------------- */
/* The fixed tree over 16 lanes that ends every row sum; overwrites l. */
static inline float gwen_tree16(float l[16]) {
    for (int width = 8; width > 0; width /= 2)
        for (int j = 0; j < width; j++) l[j] = l[j] + l[j + width];
    return l[0];
}

/* --- double functions, the same bits on every machine --------------------------------------- */
/* Natural logarithm, error about 1 ulp.  log(0) = -inf, log(x < 0) = NaN. */
double gwen_log(double x);
/* e^x, error about 1 ulp; overflow gives infinity, denormal results are rounded once more. */
double gwen_exp_d(double x);
/* Sine and cosine of x radians, |x| <= 1e7 (larger or NaN: both NaN); error about 1 ulp of the
 * result or 1e-19 absolute, whichever is more. */
void gwen_sincos_d(double x, double *sine, double *cosine);
/* x^y for x > 0 as exp(y log x): relative error about 1e-16 * (1 + |y log x|). */
double gwen_pow_d(double x, double y);

/* Philox4x32-10: multipliers, and what the key grows by from round to round. */
enum { GWEN_PHILOX_ROUNDS = 10 };
#define GWEN_PHILOX_M0 0xD2511F53u
#define GWEN_PHILOX_M1 0xCD9E8D57u
#define GWEN_PHILOX_W0 0x9E3779B9u
#define GWEN_PHILOX_W1 0xBB67AE85u

#endif

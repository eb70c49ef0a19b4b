/* neon.h - the parts of the NEON table, and what the files share. */
#ifndef GWEN_ARM_NEON_H
#define GWEN_ARM_NEON_H

#include "dispatch.h"
#include "inline.h"
#include "ref/math.h"

#include <arm_neon.h>

enum { LANES = GWEN_PANEL, WIDTH = 4, VECTORS = LANES / WIDTH };

/* Round to nearest even by adding: the high halves of u + 0x7fff + (lowest bit kept).  A NaN
 * gets its quiet bit and nothing added. */
INLINE uint16x4_t to_bf16(float32x4_t x) {
    const uint32x4_t number = vceqq_f32(x, x);
    uint32x4_t u = vreinterpretq_u32_f32(x);
    uint32x4_t round = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));
    round = vandq_u32(vaddq_u32(round, vdupq_n_u32(0x7fff)), number);
    u = vorrq_u32(u, vbicq_u32(vdupq_n_u32(0x400000), number));
    return vaddhn_u32(u, round);
}

INLINE void row_to_bf16(struct gwen_bf16 *y, const float *x, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint16x4_t low = to_bf16(vld1q_f32(x + i)), high = to_bf16(vld1q_f32(x + i + 4));
        vst1q_u16(&y[i].bits, vcombine_u16(low, high));
    }
    for (; i < n; i++) y[i] = gwen_float_to_bf16(x[i]);
}

/* gwen_exp, step by step (simd/ref/math.h). */
INLINE float32x4_t exp4(float32x4_t x) {
    const float32x4_t magic = vdupq_n_f32(GWEN_EXP_MAGIC);
    const float32x4_t t = vfmaq_f32(magic, x, vdupq_n_f32(GWEN_EXP_LOG2E));
    const float32x4_t n = vsubq_f32(t, magic);
    float32x4_t r = vfmaq_f32(x, n, vdupq_n_f32(-GWEN_EXP_LN2_HI));
    r = vfmaq_f32(r, n, vdupq_n_f32(-GWEN_EXP_LN2_LO));
    float32x4_t q = vfmaq_f32(vdupq_n_f32(GWEN_EXP_C3), vdupq_n_f32(GWEN_EXP_C4), r);
    q = vfmaq_f32(vdupq_n_f32(GWEN_EXP_C2), q, r);
    q = vfmaq_f32(vdupq_n_f32(GWEN_EXP_C1), q, r);
    q = vfmaq_f32(vdupq_n_f32(GWEN_EXP_C0), q, r);
    const float32x4_t p = vaddq_f32(vfmaq_f32(r, q, vmulq_f32(r, r)), vdupq_n_f32(1.0f));
    const uint32x4_t shift = vshlq_n_u32(vreinterpretq_u32_f32(t), 23);
    uint32x4_t y = vaddq_u32(vreinterpretq_u32_f32(p), shift);
    y = vbicq_u32(y, vcltq_f32(x, vdupq_n_f32(GWEN_EXP_MIN)));
    const uint32x4_t infinity = vreinterpretq_u32_f32(vdupq_n_f32(INFINITY));
    y = vbslq_u32(vcgtq_f32(x, vdupq_n_f32(GWEN_EXP_MAX)), infinity, y);
    return vbslq_f32(vceqq_f32(x, x), vreinterpretq_f32_u32(y), vaddq_f32(x, x));
}

/* gwen_tree16 */
INLINE float tree(const float32x4_t l[VECTORS]) {
    const float32x4_t s = vaddq_f32(vaddq_f32(l[0], l[2]), vaddq_f32(l[1], l[3]));
    return vpadds_f32(vadd_f32(vget_low_f32(s), vget_high_f32(s)));
}

INLINE void store_lanes(float lanes[LANES], const float32x4_t l[VECTORS]) {
    UNROLL for (int v = 0; v < VECTORS; v++) vst1q_f32(lanes + v * WIDTH, l[v]);
}

void gwen_init_neon_gemm(struct gwen_kernels *k);
void gwen_init_neon_pack(struct gwen_kernels *k);
void gwen_init_neon_rows(struct gwen_kernels *k);
void gwen_init_neon_train(struct gwen_kernels *k);

#endif

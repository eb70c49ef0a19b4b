/* neon.h - the parts of the NEON table, and what the files share. */
#ifndef GWEN_ARM_NEON_H
#define GWEN_ARM_NEON_H

#include "dispatch.h"
#include "inline.h"
#include "ref/math.h"

#include <arm_neon.h>

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

void gwen_init_neon_gemm(struct gwen_kernels *k);
void gwen_init_neon_pack(struct gwen_kernels *k);
void gwen_init_neon_rows(struct gwen_kernels *k);

#endif

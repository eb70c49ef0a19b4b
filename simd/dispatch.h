/* dispatch.h - how each level puts its kernels into the table (inside simd/ only).
 *
 * Called in ascending order on a table that the lower levels have filled: a function sets what
 * it does faster, with the tile shapes that go with it, and leaves the rest. */
#ifndef GWEN_SIMD_DISPATCH_H
#define GWEN_SIMD_DISPATCH_H

#include "gwen_simd.h"

void gwen_init_ref(struct gwen_kernels *k); /* fills everything but gemm_bf16dot and peak_dot */
void gwen_init_avx2(struct gwen_kernels *k);
void gwen_init_avx512(struct gwen_kernels *k);
void gwen_init_avx512bf16(struct gwen_kernels *k);
void gwen_init_neon(struct gwen_kernels *k);
void gwen_init_neonbf16(struct gwen_kernels *k);

#endif

/* avx2.h - what the AVX2 files share: small vector helpers and the parts of the table. */
#ifndef GWEN_X86_AVX2_H
#define GWEN_X86_AVX2_H

#include "dispatch.h"
#include "inline.h"

#include <immintrin.h>

/* 8 bf16 as floats. */
INLINE __m256 bf16_to_ps(__m128i h) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

void gwen_init_avx2_gemm(struct gwen_kernels *k);
void gwen_init_avx2_pack(struct gwen_kernels *k);
void gwen_init_avx2_rows(struct gwen_kernels *k);

#endif

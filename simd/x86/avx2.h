/* avx2.h - what the AVX2 files share: small vector helpers and the parts of the table. */
#ifndef GWEN_X86_AVX2_H
#define GWEN_X86_AVX2_H

#include "dispatch.h"
#include "inline.h"
#include "ref/math.h"

#include <immintrin.h>

/* 8 bf16 as floats. */
INLINE __m256 bf16_to_ps(__m128i h) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

/* The low 16 bits of 8 values below 2^16. */
INLINE __m128i narrow(__m256i v) {
    v = _mm256_permute4x64_epi64(_mm256_packus_epi32(v, v), 0xd8);
    return _mm256_castsi256_si128(v);
}

/* 8 floats as bf16, in the low halves of 32-bit lanes; see gwen_float_to_bf16. */
INLINE __m256i ps_to_bf16(__m256 v) {
    const __m256i u = _mm256_castps_si256(v), high = _mm256_srli_epi32(u, 16);
    const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    const __m256i r = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd);
    return _mm256_blendv_epi8(_mm256_srli_epi32(r, 16),
                              _mm256_or_si256(high, _mm256_set1_epi32(0x40)),
                              _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)));
}

INLINE void row_to_bf16(struct gwen_bf16 *y, const float *x, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(void *)(y + i), narrow(ps_to_bf16(_mm256_loadu_ps(x + i))));
    for (; i < n; i++) y[i] = gwen_float_to_bf16(x[i]);
}

void gwen_init_avx2_gemm(struct gwen_kernels *k);
void gwen_init_avx2_pack(struct gwen_kernels *k);
void gwen_init_avx2_rows(struct gwen_kernels *k);

#endif

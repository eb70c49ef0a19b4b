/* avx512.h - what the AVX-512 files share: small vector helpers and the parts of the table. */
#ifndef GWEN_X86_AVX512_H
#define GWEN_X86_AVX512_H

#include "dispatch.h"
#include "inline.h"

#include <immintrin.h>

enum { LANES = 16 };

/* The lanes that `left` more elements fill. */
INLINE __mmask16 lanes_of(size_t left) {
    return (__mmask16)(left >= LANES ? 0xffff : (1u << left) - 1);
}

/* 16 bf16 as floats. */
INLINE __m512 bf16_to_ps(__m256i h) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

/* 16 floats as bf16, in the low halves of 32-bit lanes; see gwen_float_to_bf16. */
INLINE __m512i ps_to_bf16(__m512 v) {
    const __m512i u = _mm512_castps_si512(v), high = _mm512_srli_epi32(u, 16);
    const __m512i odd = _mm512_and_epi32(high, _mm512_set1_epi32(1));
    __m512i r = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);
    r = _mm512_srli_epi32(r, 16);
    return _mm512_mask_or_epi32(r, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), high,
                                _mm512_set1_epi32(0x40));
}

INLINE void row_to_bf16(struct gwen_bf16 *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes_of(n - i);
        const __m512i bits = ps_to_bf16(_mm512_maskz_loadu_ps(k, x + i));
        _mm256_mask_storeu_epi16(y + i, k, _mm512_cvtepi32_epi16(bits));
    }
}

void gwen_init_avx512_gemm(struct gwen_kernels *k);
void gwen_init_avx512_pack(struct gwen_kernels *k);
void gwen_init_avx512_rows(struct gwen_kernels *k);

#endif

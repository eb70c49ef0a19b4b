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

void gwen_init_avx512_gemm(struct gwen_kernels *k);
void gwen_init_avx512_pack(struct gwen_kernels *k);
void gwen_init_avx512_rows(struct gwen_kernels *k);

#endif

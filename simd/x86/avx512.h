/* avx512.h - what the AVX-512 files share: small vector helpers and the parts of the table. */
#ifndef GWEN_X86_AVX512_H
#define GWEN_X86_AVX512_H

#include "dispatch.h"
#include "inline.h"
#include "ref/math.h"

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

/* gwen_tree16. */
INLINE float tree(__m512 l) {
    __m256 l8 = _mm256_add_ps(_mm512_castps512_ps256(l), _mm512_extractf32x8_ps(l, 1));
    __m128 l4 = _mm_add_ps(_mm256_castps256_ps128(l8), _mm256_extractf128_ps(l8, 1));
    __m128 l2 = _mm_add_ps(l4, _mm_movehl_ps(l4, l4));
    return _mm_cvtss_f32(_mm_add_ss(l2, _mm_movehdup_ps(l2)));
}

/* gwen_exp of 16 values. */
INLINE __m512 exp_ps(__m512 x) {
    const __m512 magic = _mm512_set1_ps(GWEN_EXP_MAGIC);
    __m512 t = _mm512_fmadd_ps(x, _mm512_set1_ps(GWEN_EXP_LOG2E), magic);
    __m512 n = _mm512_sub_ps(t, magic);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(GWEN_EXP_LN2_HI), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(GWEN_EXP_LN2_LO), r);
    __m512 q = _mm512_set1_ps(GWEN_EXP_C4);
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(GWEN_EXP_C3));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(GWEN_EXP_C2));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(GWEN_EXP_C1));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(GWEN_EXP_C0));
    __m512 p = _mm512_add_ps(_mm512_fmadd_ps(q, _mm512_mul_ps(r, r), r), _mm512_set1_ps(1.0f));
    __m512i scale = _mm512_slli_epi32(_mm512_castps_si512(t), 23);
    __m512 y = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), scale));
    __mmask16 low = _mm512_cmp_ps_mask(x, _mm512_set1_ps(GWEN_EXP_MIN), _CMP_LT_OQ);
    __mmask16 high = _mm512_cmp_ps_mask(x, _mm512_set1_ps(GWEN_EXP_MAX), _CMP_GT_OQ);
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    y = _mm512_mask_mov_ps(y, low, _mm512_setzero_ps());
    y = _mm512_mask_mov_ps(y, high, _mm512_set1_ps(INFINITY));
    return _mm512_mask_add_ps(y, nan, x, x);
}

/* r[i] = row i becomes column i. */
INLINE void transpose(__m512i r[LANES]) {
    __m512i t[LANES];
    UNROLL for (int i = 0; i < LANES; i += 2) { /* pairs of rows, within 128-bit lanes */
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    UNROLL for (int i = 0; i < LANES; i += 4) { /* fours of rows: r[i + c] has columns c mod 4 */
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    UNROLL for (int c = 0; c < 4; c++) { /* then a 4 x 4 transposition of 128-bit lanes */
        __m512i a = _mm512_shuffle_i32x4(r[c], r[c + 4], 0x88);
        __m512i b = _mm512_shuffle_i32x4(r[c], r[c + 4], 0xdd);
        __m512i d = _mm512_shuffle_i32x4(r[c + 8], r[c + 12], 0x88);
        __m512i e = _mm512_shuffle_i32x4(r[c + 8], r[c + 12], 0xdd);
        t[c] = _mm512_shuffle_i32x4(a, d, 0x88);
        t[c + 4] = _mm512_shuffle_i32x4(b, e, 0x88);
        t[c + 8] = _mm512_shuffle_i32x4(a, d, 0xdd);
        t[c + 12] = _mm512_shuffle_i32x4(b, e, 0xdd);
    }
    UNROLL for (int i = 0; i < LANES; i++) r[i] = t[i];
}

void gwen_init_avx512_gemm(struct gwen_kernels *k);
void gwen_init_avx512_pack(struct gwen_kernels *k);
void gwen_init_avx512_rows(struct gwen_kernels *k);
void gwen_init_avx512_train(struct gwen_kernels *k);

#endif

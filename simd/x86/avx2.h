/* avx2.h - what the AVX2 files share: small vector helpers and the parts of the table. */
#ifndef GWEN_X86_AVX2_H
#define GWEN_X86_AVX2_H

#include "dispatch.h"
#include "inline.h"
#include "ref/math.h"

#include <immintrin.h>

enum { WIDTH = 8, LANES = 16 };

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

/* 8 elements, or the `left` < 8 that remain: others are 0, or not written. */
INLINE __m256i mask_of(size_t left) {
    static const int32_t ones[2 * WIDTH] = {-1, -1, -1, -1, -1, -1, -1, -1};
    const size_t used = left < WIDTH ? left : WIDTH;
    return _mm256_loadu_si256((const __m256i *)(const void *)(ones + WIDTH - used));
}

INLINE __m256 load(const float *x, size_t left) {
    return left >= WIDTH ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, mask_of(left));
}

INLINE void store(float *y, __m256 v, size_t left) {
    if (left >= WIDTH)
        _mm256_storeu_ps(y, v);
    else
        _mm256_maskstore_ps(y, mask_of(left), v);
}

/* Zeroes the lanes from `left` on. */
INLINE __m256 keep(__m256 v, size_t left) {
    return left >= WIDTH ? v : _mm256_and_ps(v, _mm256_castsi256_ps(mask_of(left)));
}

/* gwen_tree16 of lanes 0..7 and 8..15. */
INLINE float tree(__m256 low, __m256 high) {
    __m256 l8 = _mm256_add_ps(low, high);
    __m128 l4 = _mm_add_ps(_mm256_castps256_ps128(l8), _mm256_extractf128_ps(l8, 1));
    __m128 l2 = _mm_add_ps(l4, _mm_movehl_ps(l4, l4));
    return _mm_cvtss_f32(_mm_add_ss(l2, _mm_movehdup_ps(l2)));
}

/* gwen_exp of 8 values. */
INLINE __m256 exp_ps(__m256 x) {
    const __m256 magic = _mm256_set1_ps(GWEN_EXP_MAGIC);
    __m256 t = _mm256_fmadd_ps(x, _mm256_set1_ps(GWEN_EXP_LOG2E), magic);
    __m256 n = _mm256_sub_ps(t, magic);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(GWEN_EXP_LN2_HI), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(GWEN_EXP_LN2_LO), r);
    __m256 q = _mm256_set1_ps(GWEN_EXP_C4);
    q = _mm256_fmadd_ps(q, r, _mm256_set1_ps(GWEN_EXP_C3));
    q = _mm256_fmadd_ps(q, r, _mm256_set1_ps(GWEN_EXP_C2));
    q = _mm256_fmadd_ps(q, r, _mm256_set1_ps(GWEN_EXP_C1));
    q = _mm256_fmadd_ps(q, r, _mm256_set1_ps(GWEN_EXP_C0));
    __m256 p = _mm256_add_ps(_mm256_fmadd_ps(q, _mm256_mul_ps(r, r), r), _mm256_set1_ps(1.0f));
    __m256i scale = _mm256_slli_epi32(_mm256_castps_si256(t), 23);
    __m256 y = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), scale));
    __m256 low = _mm256_cmp_ps(x, _mm256_set1_ps(GWEN_EXP_MIN), _CMP_LT_OQ);
    __m256 high = _mm256_cmp_ps(x, _mm256_set1_ps(GWEN_EXP_MAX), _CMP_GT_OQ);
    __m256 nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    y = _mm256_andnot_ps(low, y);
    y = _mm256_blendv_ps(y, _mm256_set1_ps(INFINITY), high);
    return _mm256_blendv_ps(y, _mm256_add_ps(x, x), nan);
}

/* r[i] = row i becomes column i. */
INLINE void transpose(__m256i r[WIDTH]) {
    __m256i t[WIDTH];
    UNROLL for (int i = 0; i < WIDTH; i += 2) {
        t[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
    }
    UNROLL for (int i = 0; i < WIDTH; i += 4) {
        r[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    UNROLL for (int c = 0; c < 4; c++) {
        t[c] = _mm256_permute2x128_si256(r[c], r[c + 4], 0x20);
        t[c + 4] = _mm256_permute2x128_si256(r[c], r[c + 4], 0x31);
    }
    UNROLL for (int i = 0; i < WIDTH; i++) r[i] = t[i];
}

void gwen_init_avx2_gemm(struct gwen_kernels *k);
void gwen_init_avx2_pack(struct gwen_kernels *k);
void gwen_init_avx2_rows(struct gwen_kernels *k);
void gwen_init_avx2_train(struct gwen_kernels *k);

#endif

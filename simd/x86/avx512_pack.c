/* avx512_pack.c - packing and conversions on AVX-512.
 *
 * Packing is a transposition of 16 rows.  Pairs of 16-bit elements are moved as one 32-bit
 * element, so all three packings share one 16 x 16 transposition; loading a model spends its
 * time here, at about the speed of a copy. */
#include "x86/avx512.h"

/* Up to 16 32-bit elements of each row, transposed; what is missing is 0. */
INLINE void load_block(__m512i r[LANES], const char *src, size_t stride_bytes, size_t rows,
                       __mmask16 columns) {
    UNROLL for (size_t j = 0; j < LANES; j++) r[j] =
        j < rows ? _mm512_maskz_loadu_epi32(columns, src + j * stride_bytes)
                 : _mm512_setzero_si512();
    transpose(r);
}

static void pack_32(uint32_t *dst, const uint32_t *src, size_t stride, size_t rows, size_t k) {
    __m512i r[LANES];
    for (size_t k0 = 0; k0 < k; k0 += LANES) {
        load_block(r, (const char *)(src + k0), 4 * stride, rows, lanes_of(k - k0));
        const size_t n = k - k0 < LANES ? k - k0 : LANES;
        UNROLL for (size_t i = 0; i < LANES; i++) if (i < n)
            _mm512_storeu_si512(dst + (k0 + i) * GWEN_PANEL, r[i]);
    }
}

static void pack_16x2(uint16_t *dst, const uint16_t *src, size_t stride, size_t rows, size_t k) {
    const size_t pairs = k / 2;
    __m512i r[LANES];
    for (size_t p0 = 0; p0 < pairs; p0 += LANES) {
        load_block(r, (const char *)(src + 2 * p0), 2 * stride, rows, lanes_of(pairs - p0));
        const size_t n = pairs - p0 < LANES ? pairs - p0 : LANES;
        UNROLL for (size_t i = 0; i < LANES; i++) if (i < n)
            _mm512_storeu_si512(dst + (p0 + i) * 2 * GWEN_PANEL, r[i]);
    }
    if (k % 2 != 0)
        gwen_ref_pack_16x2(dst + pairs * 2 * GWEN_PANEL, src + 2 * pairs, stride, rows, 1);
}

static void pack_16(uint16_t *dst, const uint16_t *src, size_t stride, size_t rows, size_t k) {
    const size_t pairs = k / 2;
    __m512i r[LANES];
    for (size_t p0 = 0; p0 < pairs; p0 += LANES) {
        load_block(r, (const char *)(src + 2 * p0), 2 * stride, rows, lanes_of(pairs - p0));
        const size_t n = pairs - p0 < LANES ? pairs - p0 : LANES;
        UNROLL for (size_t i = 0; i < LANES; i++) {
            if (i >= n) break;
            const __m256i even = _mm512_cvtepi32_epi16(r[i]);
            const __m256i odd = _mm512_cvtepi32_epi16(_mm512_srli_epi32(r[i], 16));
            uint16_t *to = dst + (p0 + i) * 2 * GWEN_PANEL;
            _mm256_storeu_si256((__m256i *)(void *)to, even);
            _mm256_storeu_si256((__m256i *)(void *)(to + GWEN_PANEL), odd);
        }
    }
    if (k % 2 != 0)
        gwen_ref_pack_16(dst + pairs * 2 * GWEN_PANEL, src + 2 * pairs, stride, rows, 1);
}

static void f32_to_bf16(struct gwen_bf16 *y, const float *x, size_t n) { row_to_bf16(y, x, n); }

static void zip_bf16(struct gwen_bf16 *y, size_t panel_stride, const float *a, const float *b,
                     size_t n) {
    for (size_t j = 0; j < n; j += LANES, y += panel_stride) {
        const __mmask16 k = lanes_of(n - j);
        __m512i pair = ps_to_bf16(_mm512_maskz_loadu_ps(k, a + j));
        if (b != NULL) {
            const __m512i second = ps_to_bf16(_mm512_maskz_loadu_ps(k, b + j));
            pair = _mm512_or_epi32(pair, _mm512_slli_epi32(second, 16));
        }
        _mm512_mask_storeu_epi32(y, k, pair);
    }
}

static void bf16_to_f32(float *y, const struct gwen_bf16 *x, size_t n) {
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes_of(n - i);
        _mm512_mask_storeu_ps(y + i, k, bf16_to_ps(_mm256_maskz_loadu_epi16(k, x + i)));
    }
}

static void f32_to_f16(struct gwen_f16 *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes_of(n - i);
        const __m512 v = _mm512_maskz_loadu_ps(k, x + i);
        _mm256_mask_storeu_epi16(y + i, k, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
    }
}

static void f16_to_f32(float *y, const struct gwen_f16 *x, size_t n) {
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes_of(n - i);
        _mm512_mask_storeu_ps(y + i, k, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(k, x + i)));
    }
}

void gwen_init_avx512_pack(struct gwen_kernels *k) {
    k->pack_32 = pack_32;
    k->pack_16 = pack_16;
    k->pack_16x2 = pack_16x2;
    k->f32_to_bf16 = f32_to_bf16;
    k->bf16_to_f32 = bf16_to_f32;
    k->f32_to_f16 = f32_to_f16;
    k->f16_to_f32 = f16_to_f32;
    k->zip_bf16 = zip_bf16;
}

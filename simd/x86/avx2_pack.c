/* avx2_pack.c - packing and conversions on AVX2; see avx512_pack.c.  Blocks are 8 x 8 32-bit
 * elements; what does not fill one goes through the reference. */
#include "x86/avx2.h"

#include <string.h>

/* 8 rows of 8 elements become columns; rows from `rows` on are 0. */
INLINE void load_block(__m256i r[WIDTH], const char *src, size_t stride_bytes, size_t rows) {
    UNROLL for (size_t j = 0; j < WIDTH; j++) r[j] =
        j < rows ? _mm256_loadu_si256((const __m256i *)(const void *)(src + j * stride_bytes))
                 : _mm256_setzero_si256();
    transpose(r);
}

INLINE void put(void *to, __m256i v) { _mm256_storeu_si256((__m256i *)to, v); }

/* 32-bit elements in blocks of 8 columns; returns how many columns were done. */
INLINE size_t pack_blocks(char *dst, const char *src, size_t stride_bytes, size_t rows, size_t k) {
    const size_t low = rows < WIDTH ? rows : WIDTH;
    __m256i r[WIDTH];
    size_t k0 = 0;
    for (; k0 + WIDTH <= k; k0 += WIDTH) {
        char *to = dst + k0 * GWEN_PANEL * 4;
        load_block(r, src + 4 * k0, stride_bytes, low);
        UNROLL for (int i = 0; i < WIDTH; i++) put(to + (size_t)i * GWEN_PANEL * 4, r[i]);
        load_block(r, src + 4 * k0 + WIDTH * stride_bytes, stride_bytes, rows - low);
        UNROLL for (int i = 0; i < WIDTH; i++) put(to + (size_t)i * GWEN_PANEL * 4 + 32, r[i]);
    }
    return k0;
}

static void pack_32(uint32_t *dst, const uint32_t *src, size_t stride, size_t rows, size_t k) {
    const size_t done = pack_blocks((char *)dst, (const char *)src, 4 * stride, rows, k);
    gwen_ref_pack_32(dst + done * GWEN_PANEL, src + done, stride, rows, k - done);
}

static void pack_16x2(uint16_t *dst, const uint16_t *src, size_t stride, size_t rows, size_t k) {
    const size_t done = 2 * pack_blocks((char *)dst, (const char *)src, 2 * stride, rows, k / 2);
    gwen_ref_pack_16x2(dst + done * GWEN_PANEL, src + done, stride, rows, k - done);
}

static void pack_16(uint16_t *dst, const uint16_t *src, size_t stride, size_t rows, size_t k) {
    const __m256i low_half = _mm256_set1_epi32(0xffff);
    const size_t low = rows < WIDTH ? rows : WIDTH;
    __m256i a[WIDTH], b[WIDTH];
    size_t k0 = 0;
    for (; k0 + 2 * WIDTH <= k; k0 += 2 * WIDTH) { /* pairs of elements as 32 bits */
        const char *from = (const char *)(src + k0);
        load_block(a, from, 2 * stride, low);
        load_block(b, from + 2 * stride * WIDTH, 2 * stride, rows - low);
        UNROLL for (size_t i = 0; i < WIDTH; i++) {
            __m256i even = _mm256_packus_epi32(_mm256_and_si256(a[i], low_half),
                                               _mm256_and_si256(b[i], low_half));
            __m256i odd =
                _mm256_packus_epi32(_mm256_srli_epi32(a[i], 16), _mm256_srli_epi32(b[i], 16));
            uint16_t *to = dst + (k0 + 2 * i) * GWEN_PANEL;
            put(to, _mm256_permute4x64_epi64(even, 0xd8));
            put(to + GWEN_PANEL, _mm256_permute4x64_epi64(odd, 0xd8));
        }
    }
    gwen_ref_pack_16(dst + k0 * GWEN_PANEL, src + k0, stride, rows, k - k0);
}

static void f32_to_bf16(struct gwen_bf16 *y, const float *x, size_t n) { row_to_bf16(y, x, n); }

static void zip_bf16(struct gwen_bf16 *y, size_t panel_stride, const float *a, const float *b,
                     size_t n) {
    size_t j = 0;
    for (; j + WIDTH <= n; j += WIDTH) {
        struct gwen_bf16 *to = y + j / GWEN_PANEL * panel_stride + j % GWEN_PANEL * 2;
        __m256i pair = ps_to_bf16(_mm256_loadu_ps(a + j));
        if (b != NULL)
            pair = _mm256_or_si256(pair, _mm256_slli_epi32(ps_to_bf16(_mm256_loadu_ps(b + j)), 16));
        put(to, pair);
    }
    for (; j < n; j++) {
        struct gwen_bf16 *to = y + j / GWEN_PANEL * panel_stride + j % GWEN_PANEL * 2;
        to[0] = gwen_float_to_bf16(a[j]);
        to[1] = gwen_float_to_bf16(b == NULL ? 0.0f : b[j]);
    }
}

static void bf16_to_f32(float *y, const struct gwen_bf16 *x, size_t n) {
    size_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH)
        _mm256_storeu_ps(y + i,
                         bf16_to_ps(_mm_loadu_si128((const __m128i *)(const void *)(x + i))));
    gwen_ref_bf16_to_f32(y + i, x + i, n - i);
}

static void f32_to_f16(struct gwen_f16 *y, const float *x, size_t n) {
    size_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH)
        _mm_storeu_si128((__m128i *)(void *)(y + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
    gwen_ref_f32_to_f16(y + i, x + i, n - i);
}

static void f16_to_f32(float *y, const struct gwen_f16 *x, size_t n) {
    size_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH)
        _mm256_storeu_ps(y + i,
                         _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(x + i))));
    gwen_ref_f16_to_f32(y + i, x + i, n - i);
}

void gwen_init_avx2_pack(struct gwen_kernels *k) {
    k->pack_32 = pack_32;
    k->pack_16 = pack_16;
    k->pack_16x2 = pack_16x2;
    k->f32_to_bf16 = f32_to_bf16;
    k->bf16_to_f32 = bf16_to_f32;
    k->f32_to_f16 = f32_to_f16;
    k->f16_to_f32 = f16_to_f32;
    k->zip_bf16 = zip_bf16;
}

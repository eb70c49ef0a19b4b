/* neon_pack.c - packing by transposing squares in registers, and the 16-bit conversions.
 *
 * What is left over at the end of a row goes through the reference, which gives the same bits. */
#include "arm/neon.h"
#include "ref/math.h"

/* --- packing -------------------------------------------------------------------------------- */
/* 16 bytes of row j, or zeros where there is no such row.  Words of 32 bits may be pairs of
 * 16 bits, aligned as such: hence bytes. */
INLINE uint8x16_t load_row(const void *src, size_t stride_bytes, size_t rows, size_t j) {
    return j < rows ? vld1q_u8((const uint8_t *)src + j * stride_bytes) : vdupq_n_u8(0);
}

/* Writes column v of a panel's quarter or half. */
INLINE void store_column(void *dst, uint64x2_t v) {
    vst1q_u8((uint8_t *)dst, vreinterpretq_u8_u64(v));
}

/* Four words of each of 16 rows become four columns of 64 bytes. */
INLINE void transpose_32(char *dst, const void *src, size_t stride_bytes, size_t rows) {
    enum { COLUMN = 64 };
    for (size_t q = 0; q < 4; q++, dst += 16) {
        uint32x4_t r[4];
        UNROLL for (size_t j = 0; j < 4; j++) {
            r[j] = vreinterpretq_u32_u8(load_row(src, stride_bytes, rows, 4 * q + j));
        }
        /* Pairs of rows (s0 = r0[0] r1[0] r0[2] r1[2]), then pairs of pairs. */
        const uint64x2_t s0 = vreinterpretq_u64_u32(vtrn1q_u32(r[0], r[1]));
        const uint64x2_t s1 = vreinterpretq_u64_u32(vtrn2q_u32(r[0], r[1]));
        const uint64x2_t s2 = vreinterpretq_u64_u32(vtrn1q_u32(r[2], r[3]));
        const uint64x2_t s3 = vreinterpretq_u64_u32(vtrn2q_u32(r[2], r[3]));
        store_column(dst, vtrn1q_u64(s0, s2));
        store_column(dst + COLUMN, vtrn1q_u64(s1, s3));
        store_column(dst + 2 * COLUMN, vtrn2q_u64(s0, s2));
        store_column(dst + 3 * COLUMN, vtrn2q_u64(s1, s3));
    }
}

/* Eight halfwords of each of 16 rows become eight columns of 32 bytes. */
INLINE void transpose_16(char *dst, const void *src, size_t stride_bytes, size_t rows) {
    enum { COLUMN = 32 };
    for (size_t h = 0; h < 2; h++, dst += 16) {
        uint32x4_t s[8]; /* pairs of rows: s[j] even columns of rows j, j+1; s[j+1] odd ones */
        UNROLL for (size_t j = 0; j < 8; j += 2) {
            const uint16x8_t a = vreinterpretq_u16_u8(load_row(src, stride_bytes, rows, 8 * h + j));
            const uint16x8_t b =
                vreinterpretq_u16_u8(load_row(src, stride_bytes, rows, 8 * h + j + 1));
            s[j] = vreinterpretq_u32_u16(vtrn1q_u16(a, b));
            s[j + 1] = vreinterpretq_u32_u16(vtrn2q_u16(a, b));
        }
        UNROLL for (size_t c = 0; c < 2; c++) { /* columns c, c+2, c+4, c+6 */
            const uint64x2_t f0 = vreinterpretq_u64_u32(vtrn1q_u32(s[c], s[c + 2]));
            const uint64x2_t f2 = vreinterpretq_u64_u32(vtrn2q_u32(s[c], s[c + 2]));
            const uint64x2_t g0 = vreinterpretq_u64_u32(vtrn1q_u32(s[c + 4], s[c + 6]));
            const uint64x2_t g2 = vreinterpretq_u64_u32(vtrn2q_u32(s[c + 4], s[c + 6]));
            store_column(dst + c * COLUMN, vtrn1q_u64(f0, g0));
            store_column(dst + (c + 2) * COLUMN, vtrn1q_u64(f2, g2));
            store_column(dst + (c + 4) * COLUMN, vtrn2q_u64(f0, g0));
            store_column(dst + (c + 6) * COLUMN, vtrn2q_u64(f2, g2));
        }
    }
}

static void pack_32(uint32_t *dst, const uint32_t *src, size_t stride, size_t rows, size_t k) {
    size_t i = 0;
    for (; i + 4 <= k; i += 4)
        transpose_32((char *)(dst + i * GWEN_PANEL), src + i, stride * sizeof *src, rows);
    gwen_ref_pack_32(dst + i * GWEN_PANEL, src + i, stride, rows, k - i);
}

static void pack_16(uint16_t *dst, const uint16_t *src, size_t stride, size_t rows, size_t k) {
    size_t i = 0;
    for (; i + 8 <= k; i += 8)
        transpose_16((char *)(dst + i * GWEN_PANEL), src + i, stride * sizeof *src, rows);
    gwen_ref_pack_16(dst + i * GWEN_PANEL, src + i, stride, rows, k - i);
}

static void pack_16x2(uint16_t *dst, const uint16_t *src, size_t stride, size_t rows, size_t k) {
    size_t i = 0;
    for (; i + 8 <= k; i += 8)
        transpose_32((char *)(dst + i * GWEN_PANEL), src + i, stride * sizeof *src, rows);
    gwen_ref_pack_16x2(dst + i * GWEN_PANEL, src + i, stride, rows, k - i);
}

/* --- conversions ---------------------------------------------------------------------------- */
static void f32_to_bf16(struct gwen_bf16 *y, const float *x, size_t n) { row_to_bf16(y, x, n); }

static void zip_bf16(struct gwen_bf16 *y, size_t panel_stride, const float *a, const float *b,
                     size_t n) {
    size_t j = 0;
    for (; j + 4 <= n; j += 4) {
        struct gwen_bf16 *to = y + j / GWEN_PANEL * panel_stride + j % GWEN_PANEL * 2;
        const uint16x4_t first = to_bf16(vld1q_f32(a + j));
        const uint16x4_t second = b != NULL ? to_bf16(vld1q_f32(b + j)) : vdup_n_u16(0);
        vst1q_u16(&to->bits, vcombine_u16(vzip1_u16(first, second), vzip2_u16(first, second)));
    }
    for (; j < n; j++) {
        struct gwen_bf16 *to = y + j / GWEN_PANEL * panel_stride + j % GWEN_PANEL * 2;
        to[0] = gwen_float_to_bf16(a[j]);
        to[1] = gwen_float_to_bf16(b == NULL ? 0.0f : b[j]);
    }
}

static void bf16_to_f32(float *y, const struct gwen_bf16 *x, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint16x8_t h = vld1q_u16(&x[i].bits), zero = vdupq_n_u16(0);
        vst1q_f32(y + i, vreinterpretq_f32_u16(vzip1q_u16(zero, h)));
        vst1q_f32(y + i + 4, vreinterpretq_f32_u16(vzip2q_u16(zero, h)));
    }
    gwen_ref_bf16_to_f32(y + i, x + i, n - i);
}

/* FCVTN and FCVTL round to nearest even, keep denormals and quiet NaNs, payload kept, as the
 * reference does (with the control register as a process starts with it). */
static void f32_to_f16(struct gwen_f16 *y, const float *x, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const float16x4_t low = vcvt_f16_f32(vld1q_f32(x + i));
        const float16x8_t both = vcvt_high_f16_f32(low, vld1q_f32(x + i + 4));
        vst1q_u16(&y[i].bits, vreinterpretq_u16_f16(both));
    }
    gwen_ref_f32_to_f16(y + i, x + i, n - i);
}

static void f16_to_f32(float *y, const struct gwen_f16 *x, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const float16x8_t h = vreinterpretq_f16_u16(vld1q_u16(&x[i].bits));
        vst1q_f32(y + i, vcvt_f32_f16(vget_low_f16(h)));
        vst1q_f32(y + i + 4, vcvt_high_f32_f16(h));
    }
    gwen_ref_f16_to_f32(y + i, x + i, n - i);
}

void gwen_init_neon_pack(struct gwen_kernels *k) {
    k->pack_32 = pack_32;
    k->pack_16 = pack_16;
    k->pack_16x2 = pack_16x2;
    k->f32_to_bf16 = f32_to_bf16;
    k->bf16_to_f32 = bf16_to_f32;
    k->f32_to_f16 = f32_to_f16;
    k->f16_to_f32 = f16_to_f32;
    k->zip_bf16 = zip_bf16;
}

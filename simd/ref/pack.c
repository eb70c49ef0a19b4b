/* pack.c - reference of packing (row-major weights to panels) and of the conversions. */
#include "ref/math.h"

void gwen_ref_pack_32(uint32_t *dst, const uint32_t *src, size_t stride, size_t rows, size_t k) {
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < GWEN_PANEL; j++)
            dst[i * GWEN_PANEL + j] = j < rows ? src[j * stride + i] : 0;
}

void gwen_ref_pack_16(uint16_t *dst, const uint16_t *src, size_t stride, size_t rows, size_t k) {
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < GWEN_PANEL; j++)
            dst[i * GWEN_PANEL + j] = j < rows ? src[j * stride + i] : 0;
}

void gwen_ref_pack_16x2(uint16_t *dst, const uint16_t *src, size_t stride, size_t rows, size_t k) {
    for (size_t i = 0; i < k; i += 2) {
        for (size_t j = 0; j < GWEN_PANEL; j++) {
            uint16_t *pair = &dst[i * GWEN_PANEL + 2 * j];
            pair[0] = j < rows ? src[j * stride + i] : 0;
            pair[1] = j < rows && i + 1 < k ? src[j * stride + i + 1] : 0;
        }
    }
}

void gwen_ref_f32_to_bf16(struct gwen_bf16 *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = gwen_float_to_bf16(x[i]);
}

void gwen_ref_bf16_to_f32(float *y, const struct gwen_bf16 *x, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = gwen_bf16_to_float(x[i]);
}

void gwen_ref_f32_to_f16(struct gwen_f16 *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = gwen_float_to_f16(x[i]);
}

void gwen_ref_f16_to_f32(float *y, const struct gwen_f16 *x, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = gwen_f16_to_float(x[i]);
}

void gwen_ref_zip_bf16(struct gwen_bf16 *y, size_t panel_stride, const float *a, const float *b,
                       size_t n) {
    for (size_t j = 0; j < n; j++) {
        struct gwen_bf16 *pair = y + j / GWEN_PANEL * panel_stride + 2 * (j % GWEN_PANEL);
        pair[0] = gwen_float_to_bf16(a[j]);
        pair[1] = gwen_float_to_bf16(b == NULL ? 0.0f : b[j]);
    }
}

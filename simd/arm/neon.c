/* neon.c - the NEON part of the table, and its peak. */
#include "arm/neon.h"

/* CHAINS chains of fma in registers: four units of latency 4 need 16, 24 leave room. */
static double peak_f32(size_t n) {
    enum { CHAINS = 24 };
    float32x4_t acc[CHAINS];
    const float32x4_t a = vdupq_n_f32(0.5f), b = vdupq_n_f32(1.0f);
    UNROLL for (int j = 0; j < CHAINS; j++) acc[j] = vdupq_n_f32((float)j);
    for (size_t i = 0; i < n; i++) {
        UNROLL for (int j = 0; j < CHAINS; j++) acc[j] = vfmaq_f32(acc[j], a, b);
        /* Uses every sum, so that none is left out; costs no instruction. */
        UNROLL for (int j = 0; j < CHAINS; j++) __asm__ volatile("" : "+w"(acc[j]));
    }
    return 2.0 * (sizeof acc[0] / sizeof(float)) * CHAINS * (double)n;
}

void gwen_init_neon(struct gwen_kernels *k) {
    gwen_init_neon_gemm(k);
    gwen_init_neon_pack(k);
    gwen_init_neon_rows(k);
    gwen_init_neon_train(k);
    k->peak_f32 = peak_f32;
}

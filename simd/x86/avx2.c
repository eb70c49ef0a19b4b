/* avx2.c - the AVX2 part of the table, and its peak. */
#include "x86/avx2.h"

/* CHAINS chains of fma in registers. */
static double peak_f32(size_t n) {
    enum { CHAINS = 12 };
    __m256 acc[CHAINS];
    const __m256 a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(1.0f);
    UNROLL for (int j = 0; j < CHAINS; j++) acc[j] = _mm256_set1_ps((float)j);
    for (size_t i = 0; i < n; i++) {
        UNROLL for (int j = 0; j < CHAINS; j++) acc[j] = _mm256_fmadd_ps(acc[j], a, b);
        /* Uses every sum, so that none is left out; costs no instruction. */
        UNROLL for (int j = 0; j < CHAINS; j++) __asm__ volatile("" : "+x"(acc[j]));
    }
    return 2.0 * (sizeof acc[0] / sizeof(float)) * CHAINS * (double)n;
}

void gwen_init_avx2(struct gwen_kernels *k) {
    gwen_init_avx2_gemm(k);
    gwen_init_avx2_pack(k);
    gwen_init_avx2_rows(k);
    gwen_init_avx2_train(k);
    k->peak_f32 = peak_f32;
}

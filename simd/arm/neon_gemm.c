/* neon_gemm.c - matrix products with float activations on ARMv8-A NEON.
 *
 * One outer-product tile serves three weight types, which differ in how four weights become a
 * vector of float.  A panel is four vectors; 6 rows x 1 panel make 24 sums.  Activations are
 * loaded four elements of K at a time and multiplied by lane: a broadcasting load would take a
 * slot of the units that multiply.  The 32 registers are 24 sums, 6 x 4 activations, and two
 * through which the weights pass.  Few rows take more panels, so that there are still enough
 * independent sums to hide the latency of fma.
 *
 * Two things are spelled out for compilers that know better.  gcc makes a broadcast of a lane that
 * is used more than once, hence fma_lane; and it loads weights early until sums are pushed out of
 * their registers, hence the fence in step_lane (40 spills in each step of 96 fma without). */
#include "arm/neon.h"

enum { MAX_ROWS = 6, MAX_SUMS = 24, LINE = 64, QUARTERS = GWEN_PANEL / WIDTH };

enum weight { F32, F16, BF16 };

INLINE size_t weight_bytes(enum weight type) { return type == F32 ? 4 : 2; }

/* Four weights as floats: those of quarter panel v; w is at the first panel. */
INLINE float32x4_t load_quarter(enum weight type, const char *w, size_t panel_stride, size_t v) {
    const char *at = w + v / QUARTERS * panel_stride + v % QUARTERS * WIDTH * weight_bytes(type);
    switch (type) {
    case F32: return vld1q_f32((const float *)(const void *)at);
    case F16: return vcvt_f32_f16(vld1_f16((const float16_t *)(const void *)at));
    default:
        return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16((const uint16_t *)(const void *)at), 16));
    }
}

/* acc + w * x[lane] */
INLINE float32x4_t fma_lane(float32x4_t acc, float32x4_t w, float32x4_t x, size_t lane) {
    switch (lane) {
    case 0: __asm__("fmla %0.4s, %1.4s, %2.s[0]" : "+w"(acc) : "w"(w), "w"(x)); break;
    case 1: __asm__("fmla %0.4s, %1.4s, %2.s[1]" : "+w"(acc) : "w"(w), "w"(x)); break;
    case 2: __asm__("fmla %0.4s, %1.4s, %2.s[2]" : "+w"(acc) : "w"(w), "w"(x)); break;
    default: __asm__("fmla %0.4s, %1.4s, %2.s[3]" : "+w"(acc) : "w"(w), "w"(x)); break;
    }
    return acc;
}

/* One element of K: weights at w (panels panel_stride apart), activations x[i][lane].  Sum u is
 * that of row u % m and quarter panel u / m. */
INLINE void step_lane(enum weight type, float32x4_t acc[MAX_SUMS], size_t m, size_t nv,
                      const char *w, size_t panel_stride, const float32x4_t x[MAX_ROWS],
                      size_t lane) {
    float32x4_t weights = x[0];
    UNROLL for (size_t u = 0; u < m * nv * QUARTERS; u++) {
        if (u % m == 0) {
            weights = load_quarter(type, w, panel_stride, u / m);
            __asm__ volatile("" ::: "memory");
        }
        acc[u] = fma_lane(acc[u], weights, x[u % m], lane);
    }
}

/* Four elements of K. */
INLINE void step(enum weight type, float32x4_t acc[MAX_SUMS], size_t m, size_t nv, const char *w,
                 size_t panel_stride, const float *const x[MAX_ROWS], size_t k) {
    const size_t row = GWEN_PANEL * weight_bytes(type);
    float32x4_t held[MAX_ROWS];
    UNROLL for (size_t i = 0; i < m; i++) held[i] = vld1q_f32(&x[i][k]);
    step_lane(type, acc, m, nv, w, panel_stride, held, 0);
    step_lane(type, acc, m, nv, w + row, panel_stride, held, 1);
    step_lane(type, acc, m, nv, w + 2 * row, panel_stride, held, 2);
    step_lane(type, acc, m, nv, w + 3 * row, panel_stride, held, 3);
}

/* One element of K, for the last ones. */
INLINE void step_one(enum weight type, float32x4_t acc[MAX_SUMS], size_t m, size_t nv,
                     const char *w, size_t panel_stride, const float *const x[MAX_ROWS], size_t k) {
    float32x4_t held[MAX_ROWS];
    UNROLL for (size_t i = 0; i < m; i++) held[i] = vld1q_dup_f32(&x[i][k]);
    step_lane(type, acc, m, nv, w, panel_stride, held, 0);
}

/* Where sum u of a tile of m rows belongs. */
INLINE float *sum_at(const struct gwen_tile *t, size_t m, size_t u) {
    return t->c + u % m * t->c_stride + u / m * WIDTH;
}

/* The whole tile; type, m and nv are constants where this is inlined. */
INLINE void tile(enum weight type, const struct gwen_tile *t, size_t m, size_t nv) {
    float32x4_t acc[MAX_SUMS];
    const float *x[MAX_ROWS];
    const char *w = t->w, *ahead = t->prefetch;
    const size_t stride = t->panel_stride, row_bytes = GWEN_PANEL * weight_bytes(type);
    const size_t n_steps = t->k / 4, sums = m * nv * QUARTERS;
    UNROLL for (size_t i = 0; i < m; i++) {
        x[i] = (const float *)(const void *)((const char *)t->x + i * t->x_stride);
    }
    UNROLL for (size_t u = 0; u < sums; u++) {
        acc[u] = t->accumulate ? vld1q_f32(sum_at(t, m, u)) : vdupq_n_f32(0.0f);
    }
    size_t k = 0;
    /* Spreads the lines evenly over the steps: each step earns prefetch_lines / n_steps of one. */
    for (size_t s = 0, earned = 0; s < n_steps; s++, k += 4, w += 4 * row_bytes) {
        for (earned += t->prefetch_lines; earned >= n_steps; earned -= n_steps, ahead += LINE)
            UNROLL for (size_t p = 0; p < nv; p++) __builtin_prefetch(ahead + p * stride, 0, 2);
        step(type, acc, m, nv, w, stride, x, k);
    }
    for (; k < t->k; k++, w += row_bytes) step_one(type, acc, m, nv, w, stride, x, k);
    UNROLL for (size_t u = 0; u < sums; u++) vst1q_f32(sum_at(t, m, u), acc[u]);
}

#define TILE(type, m, nv)                                                                          \
    static void type##_##m##x##nv(const struct gwen_tile *t) { tile(type, t, m, nv); }
#define TILES_3(type, nv) TILE(type, 1, nv) TILE(type, 2, nv) TILE(type, 3, nv)
#define TILES_6(type, nv) TILES_3(type, nv) TILE(type, 4, nv) TILE(type, 5, nv) TILE(type, 6, nv)
/* gemm_<name>: all tiles of a weight type and the choice among them. */
#define GEMM(name, type)                                                                           \
    TILES_6(type, 1)                                                                               \
    TILES_3(type, 2)                                                                               \
    TILE(type, 1, 3) TILE(type, 1, 4) static void gemm_##name(const struct gwen_tile *t) {         \
        static void (*const tiles[GWEN_TILE_PANELS + 1][MAX_ROWS + 1])(                            \
            const struct gwen_tile *) = {                                                          \
            {NULL},                                                                                \
            {NULL, type##_1x1, type##_2x1, type##_3x1, type##_4x1, type##_5x1, type##_6x1},        \
            {NULL, type##_1x2, type##_2x2, type##_3x2},                                            \
            {NULL, type##_1x3},                                                                    \
            {NULL, type##_1x4}};                                                                   \
        tiles[t->nv][t->m](t);                                                                     \
    }

GEMM(f32, F32)
GEMM(f16, F16)
GEMM(bf16, BF16)

void gwen_init_neon_gemm(struct gwen_kernels *k) {
    const struct gwen_tile_shape shape = {1, {0, 6, 3, 1, 1}};
    k->gemm_f32 = gemm_f32;
    k->gemm_f16 = gemm_f16;
    k->gemm_bf16 = gemm_bf16;
    k->tile_f32 = k->tile_f16 = k->tile_bf16 = shape;
}

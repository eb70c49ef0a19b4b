/* avx2_gemm.c - matrix products with float activations on AVX2 + FMA + F16C.
 *
 * As avx512_gemm.c with half the width and half the registers: a panel is two vectors, and 6
 * rows x 1 panel (12 sums of the 16 registers) is the largest tile. */
#include "x86/avx2.h"

#include <string.h>

enum { MAX_ROWS = 6, LINE = 64, WIDTH = 8, HALVES = GWEN_PANEL / WIDTH };
enum { MAX_VECTORS = GWEN_TILE_PANELS * HALVES };

enum weight { F32, F16, BF16 };

INLINE size_t weight_bytes(enum weight type) { return type == F32 ? 4 : 2; }

INLINE __m256 load_weights(enum weight type, const char *w) {
    switch (type) {
    case F32: return _mm256_loadu_ps((const float *)(const void *)w);
    case F16: return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)w));
    default: return bf16_to_ps(_mm_loadu_si128((const __m128i *)(const void *)w));
    }
}

/* Weights of half panel v. */
INLINE __m256 load_half(enum weight type, const char *w, size_t panel_stride, size_t v) {
    return load_weights(type,
                        w + v / HALVES * panel_stride + v % HALVES * WIDTH * weight_bytes(type));
}

/* One element of K: weights at w (panels panel_stride apart), activations at x[i][k].  Of the 16
 * registers 12 are sums: the shorter side of the tile is held in the others, the longer one
 * passes through one of them. */
INLINE void step(enum weight type, __m256 acc[MAX_ROWS][MAX_VECTORS], size_t m, size_t nv,
                 const char *w, size_t panel_stride, const float *const x[MAX_ROWS], size_t k) {
    __m256 held[MAX_ROWS];
    if (m < nv * HALVES) {
        UNROLL for (size_t i = 0; i < m; i++) held[i] = _mm256_broadcast_ss(&x[i][k]);
        UNROLL for (size_t v = 0; v < nv * HALVES; v++) {
            const __m256 weights = load_half(type, w, panel_stride, v);
            UNROLL for (size_t i = 0; i < m; i++) acc[i][v] =
                _mm256_fmadd_ps(held[i], weights, acc[i][v]);
        }
    } else {
        UNROLL for (size_t v = 0; v < nv * HALVES; v++) held[v] =
            load_half(type, w, panel_stride, v);
        UNROLL for (size_t i = 0; i < m; i++) {
            const __m256 both = _mm256_broadcast_ss(&x[i][k]);
            UNROLL for (size_t v = 0; v < nv * HALVES; v++) acc[i][v] =
                _mm256_fmadd_ps(both, held[v], acc[i][v]);
        }
    }
}

/* The whole tile; type, m and nv are constants where this is inlined. */
INLINE void tile(enum weight type, const struct gwen_tile *t, size_t m, size_t nv) {
    __m256 acc[MAX_ROWS][MAX_VECTORS];
    const float *x[MAX_ROWS];
    const char *w = t->w, *ahead = t->prefetch;
    const size_t stride = t->panel_stride, row_bytes = GWEN_PANEL * weight_bytes(type);
    const size_t n_ahead = t->prefetch_lines < t->k ? t->prefetch_lines : t->k;
    const size_t gap = n_ahead > 0 ? t->k / n_ahead : 0;
    UNROLL for (size_t i = 0; i < m; i++) {
        x[i] = (const float *)(const void *)((const char *)t->x + i * t->x_stride);
        UNROLL for (size_t v = 0; v < nv * HALVES; v++) acc[i][v] =
            t->accumulate ? _mm256_loadu_ps(t->c + i * t->c_stride + v * WIDTH)
                          : _mm256_setzero_ps();
    }
    size_t k = 0;
    for (size_t line = 0; line < n_ahead; line++, ahead += LINE) {
        UNROLL for (size_t p = 0; p < nv; p++) _mm_prefetch(ahead + p * stride, _MM_HINT_T1);
        for (const size_t end = k + gap; k < end; k++, w += row_bytes)
            step(type, acc, m, nv, w, stride, x, k);
    }
    for (; k < t->k; k++, w += row_bytes) step(type, acc, m, nv, w, stride, x, k);
    UNROLL for (size_t i = 0; i < m; i++) UNROLL for (size_t v = 0; v < nv * HALVES; v++)
        _mm256_storeu_ps(t->c + i * t->c_stride + v * WIDTH, acc[i][v]);
}

/* Three panels are a tile of two and a tile of one. */
INLINE void split_panels(const struct gwen_tile *t, void (*run)(const struct gwen_tile *t)) {
    struct gwen_tile part = *t;
    part.nv = 2;
    run(&part);
    part.nv = 1;
    part.w = (const char *)t->w + 2 * t->panel_stride;
    if (t->prefetch_lines > 0) part.prefetch = (const char *)t->prefetch + 2 * t->panel_stride;
    part.c = t->c + (size_t)2 * GWEN_PANEL;
    run(&part);
}

#define TILE(type, m, nv)                                                                          \
    static void type##_##m##x##nv(const struct gwen_tile *t) { tile(type, t, m, nv); }
#define TILES_3(type, nv) TILE(type, 1, nv) TILE(type, 2, nv) TILE(type, 3, nv)
#define TILES_6(type, nv) TILES_3(type, nv) TILE(type, 4, nv) TILE(type, 5, nv) TILE(type, 6, nv)
/* gemm_<name>: all tiles of a weight type and the choice among them. */
#define GEMM(name, type)                                                                           \
    TILES_6(type, 1)                                                                               \
    TILES_3(type, 2) TILE(type, 1, 4) static void gemm_##name(const struct gwen_tile *t) {         \
        static void (*const tiles[GWEN_TILE_PANELS + 1][MAX_ROWS + 1])(                            \
            const struct gwen_tile *) = {                                                          \
            {NULL},                                                                                \
            {NULL, type##_1x1, type##_2x1, type##_3x1, type##_4x1, type##_5x1, type##_6x1},        \
            {NULL, type##_1x2, type##_2x2, type##_3x2},                                            \
            {NULL},                                                                                \
            {NULL, type##_1x4}};                                                                   \
        if (t->nv == 3)                                                                            \
            split_panels(t, gemm_##name);                                                          \
        else                                                                                       \
            tiles[t->nv][t->m](t);                                                                 \
    }

GEMM(f32, F32)
GEMM(f16, F16)
GEMM(bf16, BF16)

void gwen_init_avx2_gemm(struct gwen_kernels *k) {
    const struct gwen_tile_shape shape = {2, {0, 6, 3, 1, 1}};
    k->gemm_f32 = gemm_f32;
    k->gemm_f16 = gemm_f16;
    k->gemm_bf16 = gemm_bf16;
    k->tile_f32 = k->tile_f16 = k->tile_bf16 = shape;
}

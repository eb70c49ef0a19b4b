/* avx512_gemm.c - matrix products with float activations on AVX-512.
 *
 * One outer-product tile serves three weight types, which differ in how a row of a panel becomes
 * 16 floats.  12 rows x 2 panels (24 sums) convert the fewest weights per multiplication; few
 * rows take 4 panels, so that one row still has 4 chains and 4 streams of memory. */
#include "x86/avx512.h"

#include <string.h>

enum { MAX_ROWS = 12, LINE = 64 };

enum weight { F32, F16, BF16 };

INLINE size_t weight_bytes(enum weight type) { return type == F32 ? 4 : 2; }

INLINE __m512 load_weights(enum weight type, const char *w) {
    switch (type) {
    case F32: return _mm512_loadu_ps(w);
    case F16: return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)w));
    default: return bf16_to_ps(_mm256_loadu_si256((const __m256i *)(const void *)w));
    }
}

/* One element of K: weights at w (panels panel_stride apart), activations at x[i][k]. */
INLINE void step(enum weight type, __m512 acc[MAX_ROWS][GWEN_TILE_PANELS], size_t m, size_t nv,
                 const char *w, size_t panel_stride, const float *const x[MAX_ROWS], size_t k) {
    __m512 weights[GWEN_TILE_PANELS];
    UNROLL for (size_t p = 0; p < nv; p++) weights[p] = load_weights(type, w + p * panel_stride);
    UNROLL for (size_t i = 0; i < m; i++) {
        const __m512 both = _mm512_set1_ps(x[i][k]);
        UNROLL for (size_t p = 0; p < nv; p++) acc[i][p] =
            _mm512_fmadd_ps(both, weights[p], acc[i][p]);
    }
}

/* The whole tile; type, m and nv are constants where this is inlined. */
INLINE void tile(enum weight type, const struct gwen_tile *t, size_t m, size_t nv) {
    __m512 acc[MAX_ROWS][GWEN_TILE_PANELS];
    const float *x[MAX_ROWS];
    const char *w = t->w, *ahead = t->prefetch;
    const size_t stride = t->panel_stride, row_bytes = GWEN_PANEL * weight_bytes(type);
    const size_t n_ahead = t->prefetch_lines < t->k ? t->prefetch_lines : t->k;
    const size_t gap = n_ahead > 0 ? t->k / n_ahead : 0;
    UNROLL for (size_t i = 0; i < m; i++) {
        x[i] = (const float *)(const void *)((const char *)t->x + i * t->x_stride);
        UNROLL for (size_t p = 0; p < nv; p++) acc[i][p] =
            t->accumulate ? _mm512_loadu_ps(t->c + i * t->c_stride + p * GWEN_PANEL)
                          : _mm512_setzero_ps();
    }
    size_t k = 0;
    for (size_t line = 0; line < n_ahead; line++, ahead += LINE) {
        UNROLL for (size_t p = 0; p < nv; p++) _mm_prefetch(ahead + p * stride, _MM_HINT_T1);
        for (const size_t end = k + gap; k < end; k++, w += row_bytes)
            step(type, acc, m, nv, w, stride, x, k);
    }
    for (; k < t->k; k++, w += row_bytes) step(type, acc, m, nv, w, stride, x, k);
    UNROLL for (size_t i = 0; i < m; i++) UNROLL for (size_t p = 0; p < nv; p++)
        _mm512_storeu_ps(t->c + i * t->c_stride + p * GWEN_PANEL, acc[i][p]);
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
#define TILES_6(type, nv)                                                                          \
    TILE(type, 1, nv)                                                                              \
    TILE(type, 2, nv) TILE(type, 3, nv) TILE(type, 4, nv) TILE(type, 5, nv) TILE(type, 6, nv)
#define TILES_12(type, nv)                                                                         \
    TILES_6(type, nv)                                                                              \
    TILE(type, 7, nv)                                                                              \
    TILE(type, 8, nv) TILE(type, 9, nv) TILE(type, 10, nv) TILE(type, 11, nv) TILE(type, 12, nv)
#define NAMES_6(type, nv)                                                                          \
    NULL, type##_1x##nv, type##_2x##nv, type##_3x##nv, type##_4x##nv, type##_5x##nv, type##_6x##nv
#define NAMES_12(type, nv)                                                                         \
    NAMES_6(type, nv), type##_7x##nv, type##_8x##nv, type##_9x##nv, type##_10x##nv,                \
        type##_11x##nv, type##_12x##nv
/* gemm_<name>: all tiles of a weight type and the choice among them. */
#define GEMM(name, type)                                                                           \
    TILES_12(type, 1)                                                                              \
    TILES_12(type, 2) TILES_6(type, 4) static void gemm_##name(const struct gwen_tile *t) {        \
        static void (*const tiles[GWEN_TILE_PANELS + 1][MAX_ROWS + 1])(                            \
            const struct gwen_tile *) = {                                                          \
            {NULL}, {NAMES_12(type, 1)}, {NAMES_12(type, 2)}, {NULL}, {NAMES_6(type, 4)}};         \
        if (t->nv == 3)                                                                            \
            split_panels(t, gemm_##name);                                                          \
        else                                                                                       \
            tiles[t->nv][t->m](t);                                                                 \
    }

GEMM(f32, F32)
GEMM(f16, F16)
GEMM(bf16, BF16)

void gwen_init_avx512_gemm(struct gwen_kernels *k) {
    const struct gwen_tile_shape shape = {2, {0, 12, 12, 6, 6}};
    k->gemm_f32 = gemm_f32;
    k->gemm_f16 = gemm_f16;
    k->gemm_bf16 = gemm_bf16;
    k->tile_f32 = k->tile_f16 = k->tile_bf16 = shape;
}

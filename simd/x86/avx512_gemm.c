/* avx512_gemm.c - matrix products with float activations on AVX-512.
 *
 * One outer-product tile serves three weight types, which differ in how a row of a panel becomes
 * 16 floats.  12 rows x 2 panels (24 sums) convert the fewest weights per multiplication; few
 * rows take 4 panels, so that one row still has 4 chains and 4 streams of memory. */
#include "x86/avx512.h"
#include "x86/tile.h"

enum { MAX_ROWS = 12, QUADS = MAX_ROWS / 4, MAX_SUMS = 24 };

enum weight { F32, F16, BF16 };

INLINE size_t weight_bytes(enum weight type) { return type == F32 ? 4 : 2; }

INLINE __m512 load_weights(enum weight type, const char *w) {
    switch (type) {
    case F32: return _mm512_loadu_ps(w);
    case F16: return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)w));
    default: return bf16_to_ps(_mm256_loadu_si256((const __m256i *)(const void *)w));
    }
}

/* One element of K: weights at w (panels panel_stride apart), activations where x points. */
INLINE void step(enum weight type, __m512 sums[MAX_SUMS], size_t m, size_t nv, const char *w,
                 size_t panel_stride, const char *const x[QUADS], size_t x_stride) {
    __m512 weights[GWEN_TILE_PANELS];
    UNROLL for (size_t p = 0; p < nv; p++) weights[p] = load_weights(type, w + p * panel_stride);
    UNROLL for (size_t v = 0; v < m * nv; v++) {
        const __m512 both = _mm512_set1_ps(*(const float *)x_at(x, x_stride, v / nv));
        sums[v] = _mm512_fmadd_ps(both, weights[v % nv], sums[v]);
    }
}

/* The whole tile; type, m and nv are constants where this is inlined. */
INLINE void tile(enum weight type, const struct gwen_tile *t, size_t m, size_t nv) {
    __m512 sums[MAX_SUMS];
    const char *x[QUADS], *w = t->w;
    const size_t w_stride = t->panel_stride, x_stride = t->x_stride, c_stride = t->c_stride;
    const size_t row_bytes = GWEN_PANEL * weight_bytes(type);
    float *const c = t->c; /* stores might change *t, for all the compiler knows */
    struct ahead ahead = ahead_of(t, t->k);
    UNROLL for (size_t i = 0; i < QUADS; i++) x[i] = (const char *)t->x + 4 * i * x_stride;
    UNROLL for (size_t v = 0; v < m * nv; v++) sums[v] =
        t->accumulate ? _mm512_loadu_ps(c + v / nv * c_stride + v % nv * GWEN_PANEL)
                      : _mm512_setzero_ps();
    for (size_t k = 0; k < t->k; k++, w += row_bytes) {
        ahead_step(&ahead, nv, w_stride);
        step(type, sums, m, nv, w, w_stride, x, x_stride);
        x_advance(x, QUADS, sizeof(float));
    }
    UNROLL for (size_t v = 0; v < m * nv; v++)
        _mm512_storeu_ps(c + v / nv * c_stride + v % nv * GWEN_PANEL, sums[v]);
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

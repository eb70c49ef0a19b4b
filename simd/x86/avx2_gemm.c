/* avx2_gemm.c - matrix products with float activations on AVX2 + FMA + F16C.
 *
 * As avx512_gemm.c with half the width and half the registers: a panel is two vectors, and 12 of
 * the 16 registers are sums.  3 rows x 2 panels read more weights and fewer activations than 6 x
 * 1 and are faster (98 % of the peak against 93), and leave fewer rows over. */
#include "x86/avx2.h"
#include "x86/tile.h"

enum { HALVES = GWEN_PANEL / WIDTH };
enum { MAX_ROWS = 6, QUADS = 2, MAX_SUMS = 12 };

enum weight { F32, F16, BF16 };

INLINE size_t weight_bytes(enum weight type) { return type == F32 ? 4 : 2; }

INLINE __m256 load_weights(enum weight type, const char *w) {
    switch (type) {
    case F32: return _mm256_loadu_ps((const float *)(const void *)w);
    case F16: return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)w));
    default: return bf16_to_ps(_mm_loadu_si128((const __m128i *)(const void *)w));
    }
}

/* Half panel h of the row of weights at w. */
INLINE __m256 load_half(enum weight type, const char *w, size_t panel_stride, size_t h) {
    return load_weights(type,
                        w + h / HALVES * panel_stride + h % HALVES * WIDTH * weight_bytes(type));
}

INLINE __m256 broadcast(const char *const x[QUADS], size_t x_stride, size_t row) {
    return _mm256_broadcast_ss(x_at(x, x_stride, row));
}

/* One element of K: weights at w (panels panel_stride apart), activations where x points.  Of the
 * 16 registers 12 are sums: the shorter side of the tile is held in the others, the longer one
 * passes through one of them. */
INLINE void step(enum weight type, __m256 sums[MAX_SUMS], size_t m, size_t n_halves, const char *w,
                 size_t panel_stride, const char *const x[QUADS], size_t x_stride) {
    __m256 held[MAX_ROWS];
    if (m < n_halves) {
        UNROLL for (size_t i = 0; i < m; i++) held[i] = broadcast(x, x_stride, i);
        UNROLL for (size_t v = 0; v < m * n_halves; v++) {
            const size_t i = v % m, h = v / m;
            const __m256 weights = load_half(type, w, panel_stride, h);
            sums[i * n_halves + h] = _mm256_fmadd_ps(held[i], weights, sums[i * n_halves + h]);
        }
    } else {
        UNROLL for (size_t h = 0; h < n_halves; h++) held[h] = load_half(type, w, panel_stride, h);
        UNROLL for (size_t v = 0; v < m * n_halves; v++) sums[v] =
            _mm256_fmadd_ps(broadcast(x, x_stride, v / n_halves), held[v % n_halves], sums[v]);
    }
}

/* The whole tile; type, m and nv are constants where this is inlined. */
INLINE void tile(enum weight type, const struct gwen_tile *t, size_t m, size_t nv) {
    __m256 sums[MAX_SUMS];
    const char *x[QUADS], *w = t->w;
    const size_t w_stride = t->panel_stride, x_stride = t->x_stride, c_stride = t->c_stride;
    const size_t row_bytes = GWEN_PANEL * weight_bytes(type), n_halves = nv * HALVES;
    float *const c = t->c; /* stores might change *t, for all the compiler knows */
    struct ahead ahead = ahead_of(t, t->k);
    UNROLL for (size_t i = 0; i < QUADS; i++) x[i] = (const char *)t->x + 4 * i * x_stride;
    UNROLL for (size_t v = 0; v < m * n_halves; v++) sums[v] =
        t->accumulate ? _mm256_loadu_ps(c + v / n_halves * c_stride + v % n_halves * WIDTH)
                      : _mm256_setzero_ps();
    for (size_t k = 0; k < t->k; k++, w += row_bytes) {
        ahead_step(&ahead, nv, w_stride);
        step(type, sums, m, n_halves, w, w_stride, x, x_stride);
        x_advance(x, QUADS, sizeof(float));
    }
    UNROLL for (size_t v = 0; v < m * n_halves; v++)
        _mm256_storeu_ps(c + v / n_halves * c_stride + v % n_halves * WIDTH, sums[v]);
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
#if defined(__clang__)
    /* clang 14 puts sums of the 3 x 32 tile on the stack, which halves its speed. */
    const struct gwen_tile_shape shape = {1, {0, 6, 2, 1, 1}};
#else
    const struct gwen_tile_shape shape = {2, {0, 6, 3, 1, 1}};
#endif
    k->gemm_f32 = gemm_f32;
    k->gemm_f16 = gemm_f16;
    k->gemm_bf16 = gemm_bf16;
    k->tile_f32 = k->tile_f16 = k->tile_bf16 = shape;
}

/* avx512bf16.c - native bf16 dot products (VDPBF16PS): class bf16-vdp.
 *
 * A tile is an outer product: 6 rows x 4 panels = 24 sums in registers, 4 registers of weight
 * pairs, one broadcast pair of activations.  No horizontal sums, and 24 independent chains hide
 * the instruction's latency.  Tall tiles of 12 rows x 2 panels, which load more activations per
 * product, serve 7 to 24 rows: fewer passes over the weights. */
#include "dispatch.h"
#include "x86/tile.h"

#include <immintrin.h>
#include <string.h>

enum { MAX_ROWS = 12, QUADS = MAX_ROWS / 4, MAX_SUMS = 24 };
enum { PAIR_ROW = GWEN_PANEL * 4 }; /* bytes of one pair of K in a panel */

/* One pair of K: weights at w (panels panel_stride apart), activations where x points. */
INLINE void step(__m512 sums[MAX_SUMS], size_t m, size_t nv, const char *w, size_t panel_stride,
                 const char *const x[QUADS], size_t x_stride) {
    __m512bh weights[GWEN_TILE_PANELS];
    UNROLL for (size_t p = 0; p < nv; p++) weights[p] =
        (__m512bh)_mm512_loadu_si512(w + p * panel_stride);
    UNROLL for (size_t v = 0; v < m * nv; v++) {
        int32_t pair;
        memcpy(&pair, x_at(x, x_stride, v / nv), sizeof pair);
        const __m512bh both = (__m512bh)_mm512_set1_epi32(pair);
        sums[v] = _mm512_dpbf16_ps(sums[v], both, weights[v % nv]);
    }
}

/* The whole tile; m and nv are constants where this is inlined. */
INLINE void tile(const struct gwen_tile *t, size_t m, size_t nv) {
    __m512 sums[MAX_SUMS];
    const char *x[QUADS], *w = t->w;
    const size_t w_stride = t->panel_stride, x_stride = t->x_stride, c_stride = t->c_stride;
    const size_t n = t->k / 2;
    float *const c = t->c; /* stores might change *t, for all the compiler knows */
    struct ahead ahead = ahead_of(t, n);
    UNROLL for (size_t i = 0; i < QUADS; i++) x[i] = (const char *)t->x + 4 * i * x_stride;
    UNROLL for (size_t v = 0; v < m * nv; v++) sums[v] =
        t->accumulate ? _mm512_loadu_ps(c + v / nv * c_stride + v % nv * GWEN_PANEL)
                      : _mm512_setzero_ps();
    for (size_t k = 0; k < n; k++, w += PAIR_ROW) {
        ahead_step(&ahead, nv, w_stride);
        step(sums, m, nv, w, w_stride, x, x_stride);
        x_advance(x, QUADS, sizeof(int32_t));
    }
    UNROLL for (size_t v = 0; v < m * nv; v++)
        _mm512_storeu_ps(c + v / nv * c_stride + v % nv * GWEN_PANEL, sums[v]);
}

#define TILE(m, nv)                                                                                \
    static void tile_##m##x##nv(const struct gwen_tile *t) { tile(t, m, nv); }
#define TILES_6(nv) TILE(1, nv) TILE(2, nv) TILE(3, nv) TILE(4, nv) TILE(5, nv) TILE(6, nv)
#define TILES_12(nv)                                                                               \
    TILES_6(nv) TILE(7, nv) TILE(8, nv) TILE(9, nv) TILE(10, nv) TILE(11, nv) TILE(12, nv)
#define NAMES_6(nv)                                                                                \
    NULL, tile_1x##nv, tile_2x##nv, tile_3x##nv, tile_4x##nv, tile_5x##nv, tile_6x##nv
#define NAMES_12(nv)                                                                               \
    NAMES_6(nv), tile_7x##nv, tile_8x##nv, tile_9x##nv, tile_10x##nv, tile_11x##nv, tile_12x##nv
TILES_12(1)
TILES_12(2)
TILES_6(3)
TILES_6(4)

static void gemm_bf16dot(const struct gwen_tile *t) {
    static void (*const tiles[GWEN_TILE_PANELS + 1][MAX_ROWS + 1])(const struct gwen_tile *) = {
        {NULL}, {NAMES_12(1)}, {NAMES_12(2)}, {NAMES_6(3)}, {NAMES_6(4)}};
    tiles[t->nv][t->m](t);
}

/* 24 chains of dot products in registers. */
static double peak_dot(size_t n) {
    enum { CHAINS = 24 };
    __m512 acc[CHAINS];
    const __m512bh one = (__m512bh)_mm512_set1_epi16(0x3f80);
    UNROLL for (int j = 0; j < CHAINS; j++) acc[j] = _mm512_set1_ps((float)j);
    for (size_t i = 0; i < n; i++) {
        UNROLL for (int j = 0; j < CHAINS; j++) acc[j] = _mm512_dpbf16_ps(acc[j], one, one);
        /* Keeps the compiler from doing the sum at once; costs no instruction. */
        UNROLL for (int j = 0; j < CHAINS; j++) __asm__ volatile("" : "+v"(acc[j]));
    }
    return 2.0 * 32 * CHAINS * (double)n;
}

void gwen_init_avx512bf16(struct gwen_kernels *k) {
    k->gemm_bf16dot = gemm_bf16dot;
    k->tile_bf16dot = (struct gwen_tile_shape){4, {0, 12, 12, 6, 6}};
    k->dot_class = GWEN_DOT_VDP;
    k->peak_dot = peak_dot;
}

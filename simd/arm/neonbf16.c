/* neonbf16.c - native bf16 dot products (BFDOT) and conversion: class bf16-bfdot.
 *
 * The tile of neon_gemm.c with pairs in place of elements: four pairs of activations are loaded
 * at a time and multiplied by lane, the weights of a pair pass through two registers, 24 sums
 * stay. */
#include "dispatch.h"
#include "inline.h"

#include <arm_neon.h>
#include <string.h>

enum { MAX_ROWS = 6, MAX_SUMS = 24, LINE = 64, WIDTH = 4, QUARTERS = GWEN_PANEL / WIDTH };

INLINE bfloat16x8_t load_pairs(const char *at) {
    return vld1q_bf16((const bfloat16_t *)(const void *)at);
}

/* acc + the dot product of each pair of w and pair `lane` of x */
INLINE float32x4_t dot_lane(float32x4_t acc, bfloat16x8_t w, bfloat16x8_t x, size_t lane) {
    switch (lane) {
    case 0: return vbfdotq_laneq_f32(acc, w, x, 0);
    case 1: return vbfdotq_laneq_f32(acc, w, x, 1);
    case 2: return vbfdotq_laneq_f32(acc, w, x, 2);
    default: return vbfdotq_laneq_f32(acc, w, x, 3);
    }
}

/* One pair of K: weights at w (panels panel_stride apart), activations pair `lane` of x[i].  Sum
 * u is that of row u % m and quarter panel u / m.  The fence keeps gcc from loading weights so
 * early that sums are pushed out of their registers. */
INLINE void step_lane(float32x4_t acc[MAX_SUMS], size_t m, size_t nv, const char *w,
                      size_t panel_stride, const bfloat16x8_t x[MAX_ROWS], size_t lane) {
    bfloat16x8_t weights = x[0];
    UNROLL for (size_t u = 0; u < m * nv * QUARTERS; u++) {
        if (u % m == 0) {
            weights = load_pairs(w + u / m / QUARTERS * panel_stride + u / m % QUARTERS * 16);
            __asm__ volatile("" ::: "memory");
        }
        acc[u] = dot_lane(acc[u], weights, x[u % m], lane);
    }
}

/* Four pairs of K, activations at x[i] + at. */
INLINE void step(float32x4_t acc[MAX_SUMS], size_t m, size_t nv, const char *w, size_t panel_stride,
                 const char *const x[MAX_ROWS], size_t at) {
    bfloat16x8_t held[MAX_ROWS];
    UNROLL for (size_t i = 0; i < m; i++) held[i] = load_pairs(x[i] + at);
    step_lane(acc, m, nv, w, panel_stride, held, 0);
    step_lane(acc, m, nv, w + LINE, panel_stride, held, 1);
    step_lane(acc, m, nv, w + 2 * LINE, panel_stride, held, 2);
    step_lane(acc, m, nv, w + 3 * LINE, panel_stride, held, 3);
}

/* One pair of K, for the last ones. */
INLINE void step_one(float32x4_t acc[MAX_SUMS], size_t m, size_t nv, const char *w,
                     size_t panel_stride, const char *const x[MAX_ROWS], size_t at) {
    bfloat16x8_t held[MAX_ROWS];
    UNROLL for (size_t i = 0; i < m; i++) {
        uint32_t pair;
        memcpy(&pair, x[i] + at, sizeof pair);
        held[i] = vreinterpretq_bf16_u32(vdupq_n_u32(pair));
    }
    step_lane(acc, m, nv, w, panel_stride, held, 0);
}

/* Where sum u of a tile of m rows belongs. */
INLINE float *sum_at(const struct gwen_tile *t, size_t m, size_t u) {
    return t->c + u % m * t->c_stride + u / m * WIDTH;
}

/* The whole tile; m and nv are constants where this is inlined. */
INLINE void tile(const struct gwen_tile *t, size_t m, size_t nv) {
    float32x4_t acc[MAX_SUMS];
    const char *x[MAX_ROWS], *w = t->w, *ahead = t->prefetch;
    const size_t stride = t->panel_stride, pairs = t->k / 2, n_steps = pairs / 4;
    const size_t sums = m * nv * QUARTERS;
    UNROLL for (size_t i = 0; i < m; i++) x[i] = (const char *)t->x + i * t->x_stride;
    UNROLL for (size_t u = 0; u < sums; u++) {
        acc[u] = t->accumulate ? vld1q_f32(sum_at(t, m, u)) : vdupq_n_f32(0.0f);
    }
    size_t at = 0; /* 4 bytes of a row of x for each pair */
    /* Spreads the lines evenly over the steps: each step earns prefetch_lines / n_steps of one. */
    for (size_t s = 0, earned = 0; s < n_steps; s++, at += 16, w += 4 * LINE) {
        for (earned += t->prefetch_lines; earned >= n_steps; earned -= n_steps, ahead += LINE)
            UNROLL for (size_t p = 0; p < nv; p++) __builtin_prefetch(ahead + p * stride, 0, 2);
        step(acc, m, nv, w, stride, x, at);
    }
    for (; at < 4 * pairs; at += 4, w += LINE) step_one(acc, m, nv, w, stride, x, at);
    UNROLL for (size_t u = 0; u < sums; u++) vst1q_f32(sum_at(t, m, u), acc[u]);
}

#define TILE(m, nv)                                                                                \
    static void tile_##m##x##nv(const struct gwen_tile *t) { tile(t, m, nv); }
#define TILES_3(nv) TILE(1, nv) TILE(2, nv) TILE(3, nv)
#define TILES_6(nv) TILES_3(nv) TILE(4, nv) TILE(5, nv) TILE(6, nv)
TILES_6(1)
TILES_3(2)
TILE(1, 3)
TILE(1, 4)

static void gemm_bf16dot(const struct gwen_tile *t) {
    static void (*const tiles[GWEN_TILE_PANELS + 1][MAX_ROWS + 1])(const struct gwen_tile *) = {
        {NULL},
        {NULL, tile_1x1, tile_2x1, tile_3x1, tile_4x1, tile_5x1, tile_6x1},
        {NULL, tile_1x2, tile_2x2, tile_3x2},
        {NULL, tile_1x3},
        {NULL, tile_1x4},
    };
    tiles[t->nv][t->m](t);
}

/* BFCVTN rounds to nearest even, keeps denormals and quiets NaNs, payload kept, as the reference
 * does (with the control register as a process starts with it). */
static void f32_to_bf16(struct gwen_bf16 *y, const float *x, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const bfloat16x8_t low = vcvtq_low_bf16_f32(vld1q_f32(x + i));
        vst1q_bf16((bfloat16_t *)(void *)(y + i), vcvtq_high_bf16_f32(low, vld1q_f32(x + i + 4)));
    }
    gwen_ref_f32_to_bf16(y + i, x + i, n - i);
}

/* CHAINS chains of dot products in registers. */
static double peak_dot(size_t n) {
    enum { CHAINS = 24, FLOPS = 16 };
    float32x4_t acc[CHAINS];
    const bfloat16x8_t one = vreinterpretq_bf16_u16(vdupq_n_u16(0x3f80));
    UNROLL for (int j = 0; j < CHAINS; j++) acc[j] = vdupq_n_f32((float)j);
    for (size_t i = 0; i < n; i++) {
        UNROLL for (int j = 0; j < CHAINS; j++) acc[j] = vbfdotq_f32(acc[j], one, one);
        /* Uses every sum, so that none is left out; costs no instruction. */
        UNROLL for (int j = 0; j < CHAINS; j++) __asm__ volatile("" : "+w"(acc[j]));
    }
    return (double)FLOPS * CHAINS * (double)n;
}

void gwen_init_neonbf16(struct gwen_kernels *k) {
    k->gemm_bf16dot = gemm_bf16dot;
    k->f32_to_bf16 = f32_to_bf16;
    k->tile_bf16dot = (struct gwen_tile_shape){1, {0, 6, 3, 1, 1}};
    k->dot_class = GWEN_DOT_BFDOT;
    k->peak_dot = peak_dot;
}

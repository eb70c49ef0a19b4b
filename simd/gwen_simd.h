/* gwen_simd.h - the kernel table: single-thread kernels chosen by instruction set.
 *
 * This folder needs libc only and knows nothing of models, threads or files.  The plain C code
 * in simd/ref is the definition of every result.  In float32 and float16 modes every
 * instruction set gives the reference's bits. */
#ifndef GWEN_SIMD_H
#define GWEN_SIMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Two 16-bit formats, two types: they must not be mixed up. */
struct gwen_bf16 {
    uint16_t bits;
};
struct gwen_f16 {
    uint16_t bits;
};

enum {
    GWEN_PANEL = 16,     /* columns of one packed panel */
    GWEN_TILE_PANELS = 4 /* most panels of one tile */
};

/* What tiles one GEMM micro-kernel takes: nv = 1..GWEN_TILE_PANELS panels with 1..rows[nv]
 * rows.  nv panels with all their rows are the fastest tile; more panels with fewer rows serve
 * small m, where only many independent sums and few passes over the activations help. */
struct gwen_tile_shape {
    uint8_t nv;
    uint8_t rows[GWEN_TILE_PANELS + 1]; /* rows[0] is 0 */
};

/* One call of a GEMM micro-kernel, of a shape that its gwen_tile_shape allows. */
struct gwen_tile {
    size_t m, nv, k;
    const void *x; /* [m][k] activations, rows x_stride bytes apart */
    size_t x_stride;
    const void *w; /* first panel, at this K block; panels panel_stride bytes apart */
    size_t panel_stride;
    float *c; /* [m][nv*16], rows c_stride floats apart; must not overlap x or w */
    size_t c_stride;
    bool accumulate;       /* start from c instead of 0 */
    const void *prefetch;  /* weights wanted next, first of nv panels panel_stride apart */
    size_t prefetch_lines; /* 64-byte lines to prefetch into L2 from each; 0: prefetch unused */
};

enum { GWEN_SOFTMAX_MAX = 64 }; /* scores of one row of a gwen_softmax */

/* One block of an online softmax for m rows. */
struct gwen_softmax {
    size_t m, n; /* n: a multiple of 16 up to GWEN_SOFTMAX_MAX */
    float *s;    /* [m][n] scores, rows s_stride floats apart; become probabilities */
    size_t s_stride;
    struct gwen_bf16 *p; /* NULL, or where probabilities go instead: then s holds nothing after */
    size_t p_stride;     /* in elements */
    const uint8_t *visible; /* [m] scores of the row that count: 1..n */
    float scale;
    float *max, *sum; /* [m] of the row up to here; -inf and 0 before the first block */
    float *o;         /* [m][o_n] what the row has added up, rescaled; NULL: nothing yet */
    size_t o_n, o_stride;
};

/* Gradients of w * log_softmax(z / temperature)[target] for m rows of n logits, part of longer
 * rows: dz[j] = ((first + j == target ? w : 0) - p * exp(z[j] / temperature - max)) / temperature
 * with p = w / sum of exp(z / temperature - max); nothing is divided by a temperature of 1. */
struct gwen_logprob_back {
    size_t m, n;
    float *z; /* [m][n], rows z_stride floats apart; holds nothing after */
    size_t z_stride;
    void *dz; /* bf16 or float, rows dz_stride bytes apart; may be z */
    size_t dz_stride;
    bool bf16;
    float temperature;
    const float *max, *p, *w; /* [m] */
    const int32_t *target;    /* [m] */
    int32_t first;            /* what column 0 is */
};

/* One block of attention's backward pass for m rows: with s = scale * score,
 *     p = exp(s - max) / sum,   ds = (p * (dp - delta)) * scale
 * for the first `visible` columns of a row; both are 0 in the others. */
struct gwen_softmax_back {
    size_t m, n;   /* n: a multiple of 16 */
    float *p, *ds; /* [m][stride] scores and dp; become p and ds, or hold nothing after: */
    size_t stride;
    struct gwen_bf16 *p16, *ds16; /* NULL, or where these go instead, rows stride16 apart */
    size_t stride16;
    const uint8_t *visible; /* [m] 0..n */
    float scale;
    const float *max, *sum, *delta; /* [m] */
};

/* What one step of AdamW (Loshchilov and Hutter 2019) does to every element, as PyTorch orders it:
 *     g' = g * clip;  w = w * decay;  m = fma(1 - beta1, g' - m, m)
 *     v = fma(v, beta2, (g' * g') * (1 - beta2))
 *     w = fma(-step, m / fma(sqrt v, inv_bias2, eps), w) */
struct gwen_adamw {
    float clip;      /* what gradients are multiplied by */
    float decay;     /* 1 - lr * weight_decay */
    float one_beta1; /* 1 - beta1 */
    float beta2, one_beta2;
    float step;      /* lr / (1 - beta1^t) */
    float inv_bias2; /* 1 / sqrt(1 - beta2^t) */
    float eps;
};

/* Rounding to bf16 at random: a value becomes one of its two neighbours, the nearer one more often,
 * so that its mean is itself.  16 random bits r are added to the float's bits, of which the upper
 * half is kept; NaN stays NaN.  r of element i is half i % 128 / 16 (0 is the lower half of the
 * first word) of the four words of Philox4x32-10 (Salmon et al. 2011) with key `seed` and counter
 * chain ^ [sample, 0, position lo, position hi], position = `position` + i / 128 * 16 + i % 16. */
struct gwen_rounding {
    uint32_t seed[2], chain[4];
    uint32_t sample;
    uint64_t position; /* a multiple of 16 */
};

enum {
    GWEN_ROUNDING_CHUNK = 128,
    GWEN_ROUNDING_POSITIONS = 16
}; /* elements, and their positions */

enum gwen_isa {
    GWEN_ISA_REF,
    GWEN_ISA_AVX2,       /* AVX2 + FMA + F16C */
    GWEN_ISA_AVX512,     /* AVX-512 F, BW, DQ, VL */
    GWEN_ISA_AVX512BF16, /* + AVX512_BF16: class bf16-vdp */
    GWEN_ISA_NEON,       /* ARMv8-A base */
    GWEN_ISA_NEONFP16,   /* + FP16 arithmetic and FHM */
    GWEN_ISA_NEONBF16,   /* + BF16: class bf16-bfdot */
    GWEN_ISA_COUNT
};

/* What gemm_bf16dot computes. */
enum gwen_dot_class { GWEN_DOT_NONE, GWEN_DOT_VDP, GWEN_DOT_BFDOT };

struct gwen_kernels {
    enum gwen_isa isa;
    enum gwen_dot_class dot_class; /* GWEN_DOT_NONE: gemm_bf16dot and peak_dot are NULL */
    struct gwen_tile_shape tile_f32, tile_f16, tile_bf16, tile_bf16dot;
    /* Runs n rounds of independent multiply-adds in registers, nothing else, and returns the
     * flops done: the peak that a GEMM is measured against.  peak_f32 for float fma, peak_dot
     * for the native bf16 dot product. */
    double (*peak_f32)(size_t n);
    double (*peak_dot)(size_t n);
#define GW_KERNEL(name, ret, params) ret(*name) params;
#define GW_KERNEL_OF_CLASS GW_KERNEL
#include "kernels.def"
#undef GW_KERNEL_OF_CLASS
#undef GW_KERNEL
};

/* The reference of every kernel. */
#define GW_KERNEL(name, ret, params) ret gwen_ref_##name params;
#define GW_KERNEL_OF_CLASS(name, ret, params)
#include "kernels.def"
#undef GW_KERNEL_OF_CLASS
#undef GW_KERNEL
/* gemm_bf16dot has one per class. */
void gwen_ref_gemm_vdp(const struct gwen_tile *t);
void gwen_ref_gemm_bfdot(const struct gwen_tile *t);

const char *gwen_isa_name(enum gwen_isa isa); /* "ref", "avx2", ... */
/* Parses a name; false when it is not one. */
bool gwen_isa_parse(const char *name, enum gwen_isa *isa);
/* The best level this processor and operating system have. */
enum gwen_isa gwen_isa_detect(void);
/* True when this build has the level and the processor can run it. */
bool gwen_isa_available(enum gwen_isa isa);
/* Fills *k with the best kernels available that are not above `cap`
 * (reference first, each level overrides in ascending order).  GWEN_ISA_COUNT: no cap. */
void gwen_kernels_init(struct gwen_kernels *k, enum gwen_isa cap);

#ifdef __cplusplus
}
#endif
#endif

/* avx512_rows.c - kernels over rows of float on AVX-512: the 16 virtual lanes are one register.
 * Every step does what simd/ref/rows.c does, in the same order; ends of rows use masks, whose
 * idle lanes add +0. */
#include "ref/math.h"
#include "x86/avx512.h"

INLINE void rmsnorm(float *y, const float *x, const float *w, size_t n, float eps) {
    __m512 sum = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += LANES) {
        __m512 v = _mm512_maskz_loadu_ps(lanes_of(n - i), x + i);
        sum = _mm512_fmadd_ps(v, v, sum);
    }
    const __m512 inv = _mm512_set1_ps(1.0f / sqrtf(tree(sum) / (float)n + eps));
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes_of(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(k, x + i), inv);
        v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(k, w + i));
        _mm512_mask_storeu_ps(y + i, k, v);
    }
}

INLINE void rope(float *x, const float *cosines, const float *sines, size_t half) {
    for (size_t i = 0; i < half; i += LANES) {
        const __mmask16 k = lanes_of(half - i);
        __m512 a = _mm512_maskz_loadu_ps(k, x + i), b = _mm512_maskz_loadu_ps(k, x + half + i);
        __m512 c = _mm512_maskz_loadu_ps(k, cosines + i);
        __m512 s = _mm512_maskz_loadu_ps(k, sines + i);
        _mm512_mask_storeu_ps(x + i, k, _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s)));
        _mm512_mask_storeu_ps(x + half + i, k, _mm512_fmadd_ps(b, c, _mm512_mul_ps(a, s)));
    }
}

/* y = gate / (1 + exp(-gate)) * up */
INLINE void silu_mul(float *y, const float *gate, const float *up, size_t n) {
    const __m512 one = _mm512_set1_ps(1.0f), sign = _mm512_set1_ps(-0.0f);
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes_of(n - i);
        __m512 g = _mm512_maskz_loadu_ps(k, gate + i), u = _mm512_maskz_loadu_ps(k, up + i);
        __m512 d = _mm512_add_ps(one, exp_ps(_mm512_xor_ps(g, sign)));
        _mm512_mask_storeu_ps(y + i, k, _mm512_mul_ps(_mm512_div_ps(g, d), u));
    }
}

static void add(float *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes_of(n - i);
        __m512 v = _mm512_add_ps(_mm512_maskz_loadu_ps(k, y + i), _mm512_maskz_loadu_ps(k, x + i));
        _mm512_mask_storeu_ps(y + i, k, v);
    }
}

INLINE void scale(float *y, float s, size_t n) {
    const __m512 factor = _mm512_set1_ps(s);
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes_of(n - i);
        _mm512_mask_storeu_ps(y + i, k, _mm512_mul_ps(_mm512_maskz_loadu_ps(k, y + i), factor));
    }
}

static void divide(float *y, float s, size_t n) {
    const __m512 divisor = _mm512_set1_ps(s);
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes_of(n - i);
        _mm512_mask_storeu_ps(y + i, k, _mm512_div_ps(_mm512_maskz_loadu_ps(k, y + i), divisor));
    }
}

static void exp_sub(float *y, const float *x, float sub, size_t n) {
    const __m512 s = _mm512_set1_ps(sub);
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes_of(n - i);
        __m512 v = exp_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(k, x + i), s));
        _mm512_mask_storeu_ps(y + i, k, v);
    }
}

INLINE float sum_exp_sub(const float *x, float sub, size_t n) {
    const __m512 s = _mm512_set1_ps(sub);
    __m512 sum = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes_of(n - i);
        __m512 v = exp_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(k, x + i), s));
        sum = _mm512_mask_add_ps(sum, k, sum, v);
    }
    return tree(sum);
}

/* The larger of each pair, the second where the first is NaN: `best` holds none. */
INLINE __m512 larger(__m512 x, __m512 best) { return _mm512_max_ps(x, best); }

/* Maximum of 16 lanes without NaNs; a zero becomes +0. */
INLINE float max_of_lanes(__m512 best) { return _mm512_reduce_max_ps(best) + 0.0f; }

INLINE float max(const float *x, size_t n) {
    const __m512 lowest = _mm512_set1_ps(-INFINITY);
    __m512 best = lowest, best2 = lowest;
    size_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        best = larger(_mm512_loadu_ps(x + i), best);
        best2 = larger(_mm512_loadu_ps(x + i + LANES), best2);
    }
    for (; i < n; i += LANES)
        best = larger(_mm512_mask_loadu_ps(lowest, lanes_of(n - i), x + i), best);
    return max_of_lanes(larger(best2, best));
}

static size_t argmax(const float *x, size_t n) {
    const __m512 best = _mm512_set1_ps(max(x, n));
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes_of(n - i);
        const __mmask16 equal =
            _mm512_mask_cmp_ps_mask(k, _mm512_maskz_loadu_ps(k, x + i), best, _CMP_EQ_OQ);
        if (equal != 0) return i + (size_t)__builtin_ctz(equal);
    }
    return 0;
}

/* --- several rows at once ------------------------------------------------------------------- */
#include "by_rows.h"

/* The visible scores of one row, of 16 nv, scaled; others are -inf. */
INLINE void load_scores(__m512 v[GWEN_SOFTMAX_MAX / LANES], size_t nv, const float *s,
                        uint64_t visible, __m512 scale) {
    const __m512 lowest = _mm512_set1_ps(-INFINITY);
    UNROLL for (size_t j = 0; j < nv; j++) {
        const __mmask16 k = (__mmask16)(visible >> j * LANES);
        v[j] = _mm512_mask_mul_ps(lowest, k, _mm512_maskz_loadu_ps(k, s + j * LANES), scale);
    }
}

/* Probabilities of one row, and their sum. */
INLINE float softmax_of(const struct gwen_softmax *a, size_t i, size_t nv, bool bf16,
                        uint64_t visible, __m512 scale, float best) {
    __m512 v[GWEN_SOFTMAX_MAX / LANES], sum = _mm512_setzero_ps();
    load_scores(v, nv, a->s + i * a->s_stride, visible, scale);
    UNROLL for (size_t j = 0; j < nv; j++) {
        const __mmask16 k = (__mmask16)(visible >> j * LANES);
        __m512 p = exp_ps(_mm512_sub_ps(v[j], _mm512_set1_ps(best)));
        p = _mm512_maskz_mov_ps(k, p);
        sum = _mm512_add_ps(sum, p);
        if (bf16)
            _mm256_storeu_si256((__m256i *)(void *)(a->p + i * a->p_stride + j * LANES),
                                _mm512_cvtepi32_epi16(ps_to_bf16(p)));
        else
            _mm512_storeu_ps(a->s + i * a->s_stride + j * LANES, p);
    }
    return tree(sum);
}

/* Up to 16 rows from i0 on: what is one number a row is done for all rows at once. */
INLINE void softmax_rows(const struct gwen_softmax *a, size_t i0, size_t m, size_t nv, bool bf16) {
    const __m512 scale_by = _mm512_set1_ps(a->scale);
    const __mmask16 rows = lanes_of(m);
    float best[LANES], sum[LANES], corr[LANES];
    uint64_t visible[LANES];
    for (size_t i = 0; i < m; i++) {
        const unsigned seen = a->visible[i0 + i];
        __m512 v[GWEN_SOFTMAX_MAX / LANES], most = _mm512_set1_ps(-INFINITY);
        visible[i] = seen >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << seen) - 1;
        load_scores(v, nv, a->s + (i0 + i) * a->s_stride, visible[i], scale_by);
        UNROLL for (size_t j = 0; j < nv; j++) most = larger(v[j], most);
        best[i] = max_of_lanes(most);
    }
    const __m512 old = _mm512_maskz_loadu_ps(rows, a->max + i0);
    const __m512 now = _mm512_max_ps(old, _mm512_maskz_loadu_ps(rows, best));
    const __mmask16 had = _mm512_cmp_ps_mask(old, _mm512_set1_ps(-INFINITY), _CMP_NEQ_UQ);
    const __m512 by = _mm512_maskz_mov_ps(had, exp_ps(_mm512_sub_ps(old, now)));
    _mm512_storeu_ps(best, now);
    _mm512_storeu_ps(corr, by);
    for (size_t i = 0; i < m; i++)
        sum[i] = softmax_of(a, i0 + i, nv, bf16, visible[i], scale_by, best[i]);
    const __m512 l = _mm512_maskz_loadu_ps(rows, a->sum + i0);
    _mm512_mask_storeu_ps(a->sum + i0, rows,
                          _mm512_fmadd_ps(l, by, _mm512_maskz_loadu_ps(rows, sum)));
    _mm512_mask_storeu_ps(a->max + i0, rows, now);
    if (a->o == NULL) return;
    for (size_t i = 0; i < m; i++)
        if (corr[i] != 1.0f) scale(a->o + (i0 + i) * a->o_stride, corr[i], a->o_n);
}

INLINE void softmax_all(const struct gwen_softmax *a, size_t nv) {
    for (size_t i = 0; i < a->m; i += LANES) {
        const size_t m = a->m - i < LANES ? a->m - i : LANES;
        if (a->p != NULL)
            softmax_rows(a, i, m, nv, true);
        else
            softmax_rows(a, i, m, nv, false);
    }
}

static void softmax_block(const struct gwen_softmax *a) {
    switch (a->n / LANES) {
    case 1: softmax_all(a, 1); break;
    case 2: softmax_all(a, 2); break;
    case 3: softmax_all(a, 3); break;
    default: softmax_all(a, 4); break;
    }
}

void gwen_init_avx512_rows(struct gwen_kernels *k) {
    k->rmsnorm = rmsnorm;
    k->rope = rope;
    k->norm_rope = norm_rope_by_rows;
    k->swiglu = swiglu_by_rows;
    k->add = add;
    k->scale = scale;
    k->divide = divide;
    k->exp_sub = exp_sub;
    k->sum_exp_sub = sum_exp_sub;
    k->max = max;
    k->argmax = argmax;
    k->block_stats = block_stats_by_rows;
    k->softmax_block = softmax_block;
}

/* avx512_rows.c - kernels over rows of float on AVX-512: the 16 virtual lanes are one register.
 * Every step does what simd/ref/rows.c does, in the same order; ends of rows use masks, whose
 * idle lanes add +0. */
#include "ref/math.h"
#include "x86/avx512.h"

/* gwen_tree16. */
INLINE float tree(__m512 l) {
    __m256 l8 = _mm256_add_ps(_mm512_castps512_ps256(l), _mm512_extractf32x8_ps(l, 1));
    __m128 l4 = _mm_add_ps(_mm256_castps256_ps128(l8), _mm256_extractf128_ps(l8, 1));
    __m128 l2 = _mm_add_ps(l4, _mm_movehl_ps(l4, l4));
    return _mm_cvtss_f32(_mm_add_ss(l2, _mm_movehdup_ps(l2)));
}

/* gwen_exp of 16 values. */
INLINE __m512 exp_ps(__m512 x) {
    const __m512 magic = _mm512_set1_ps(GWEN_EXP_MAGIC);
    __m512 t = _mm512_fmadd_ps(x, _mm512_set1_ps(GWEN_EXP_LOG2E), magic);
    __m512 n = _mm512_sub_ps(t, magic);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(GWEN_EXP_LN2_HI), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(GWEN_EXP_LN2_LO), r);
    __m512 q = _mm512_set1_ps(GWEN_EXP_C4);
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(GWEN_EXP_C3));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(GWEN_EXP_C2));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(GWEN_EXP_C1));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(GWEN_EXP_C0));
    __m512 p = _mm512_add_ps(_mm512_fmadd_ps(q, _mm512_mul_ps(r, r), r), _mm512_set1_ps(1.0f));
    __m512i scale = _mm512_slli_epi32(_mm512_castps_si512(t), 23);
    __m512 y = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), scale));
    __mmask16 low = _mm512_cmp_ps_mask(x, _mm512_set1_ps(GWEN_EXP_MIN), _CMP_LT_OQ);
    __mmask16 high = _mm512_cmp_ps_mask(x, _mm512_set1_ps(GWEN_EXP_MAX), _CMP_GT_OQ);
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    y = _mm512_mask_mov_ps(y, low, _mm512_setzero_ps());
    y = _mm512_mask_mov_ps(y, high, _mm512_set1_ps(INFINITY));
    return _mm512_mask_add_ps(y, nan, x, x);
}

static void rmsnorm(float *y, const float *x, const float *w, size_t n, float eps) {
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

static void rope(float *x, const float *cosines, const float *sines, size_t half) {
    for (size_t i = 0; i < half; i += LANES) {
        const __mmask16 k = lanes_of(half - i);
        __m512 a = _mm512_maskz_loadu_ps(k, x + i), b = _mm512_maskz_loadu_ps(k, x + half + i);
        __m512 c = _mm512_maskz_loadu_ps(k, cosines + i);
        __m512 s = _mm512_maskz_loadu_ps(k, sines + i);
        _mm512_mask_storeu_ps(x + i, k, _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s)));
        _mm512_mask_storeu_ps(x + half + i, k, _mm512_fmadd_ps(b, c, _mm512_mul_ps(a, s)));
    }
}

static void swiglu(float *y, const float *gate, const float *up, size_t n) {
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

static void scale(float *y, float s, size_t n) {
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

static float sum_exp_sub(const float *x, float sub, size_t n) {
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

static float max(const float *x, size_t n) {
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

static float softmax_block(float *s, size_t n, size_t visible, float factor, float *m, float *l) {
    const __m512 lowest = _mm512_set1_ps(-INFINITY), f = _mm512_set1_ps(factor);
    __m512 largest = lowest, sum = _mm512_setzero_ps();
    for (size_t i = 0; i < visible; i += LANES) {
        const __mmask16 k = lanes_of(visible - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(k, s + i), f);
        _mm512_storeu_ps(s + i, v);
        largest = larger(_mm512_mask_mov_ps(lowest, k, v), largest);
    }
    const float old = *m;
    float best = max_of_lanes(largest);
    if (old > best) best = old;
    const __m512 sub = _mm512_set1_ps(best);
    size_t i = 0;
    for (; i < visible; i += LANES) {
        const __mmask16 k = lanes_of(visible - i);
        __m512 p = exp_ps(_mm512_sub_ps(_mm512_loadu_ps(s + i), sub));
        p = _mm512_maskz_mov_ps(k, p);
        _mm512_storeu_ps(s + i, p);
        sum = _mm512_add_ps(sum, p);
    }
    for (; i < n; i += LANES) _mm512_storeu_ps(s + i, _mm512_setzero_ps());
    const float corr = old == -INFINITY ? 0.0f : gwen_exp(old - best);
    *l = fmaf(*l, corr, tree(sum));
    *m = best;
    return corr;
}

void gwen_init_avx512_rows(struct gwen_kernels *k) {
    k->rmsnorm = rmsnorm;
    k->rope = rope;
    k->swiglu = swiglu;
    k->add = add;
    k->scale = scale;
    k->divide = divide;
    k->exp_sub = exp_sub;
    k->sum_exp_sub = sum_exp_sub;
    k->max = max;
    k->argmax = argmax;
    k->softmax_block = softmax_block;
}

/* avx2_rows.c - kernels over rows of float on AVX2: the 16 virtual lanes are two registers.
 * Every step does what simd/ref/rows.c does, in the same order; ends of rows that do not fill 8
 * lanes go through masked loads and stores, whose idle lanes are +0. */
#include "ref/math.h"
#include "x86/avx2.h"

/* The larger of each pair, the second where the first is NaN: `best` holds none. */
INLINE __m256 larger(__m256 x, __m256 best) { return _mm256_max_ps(x, best); }

/* Maximum of 8 lanes without NaNs; a zero becomes +0. */
INLINE float max_of_lanes(__m256 best) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(best), _mm256_extractf128_ps(best, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m))) + 0.0f;
}

/* Lanes from `left` on become -inf. */
INLINE __m256 lowest_from(__m256 v, size_t left) {
    if (left >= WIDTH) return v;
    return _mm256_blendv_ps(_mm256_set1_ps(-INFINITY), v, _mm256_castsi256_ps(mask_of(left)));
}

/* --- kernels -------------------------------------------------------------------------------- */
INLINE void rmsnorm(float *y, const float *x, const float *w, size_t n, float eps) {
    __m256 low = _mm256_setzero_ps(), high = low;
    for (size_t i = 0; i < n; i += LANES) {
        __m256 v = load(x + i, n - i);
        low = _mm256_fmadd_ps(v, v, low);
        if (n - i <= WIDTH) break;
        v = load(x + i + WIDTH, n - i - WIDTH);
        high = _mm256_fmadd_ps(v, v, high);
    }
    const __m256 inv = _mm256_set1_ps(1.0f / sqrtf(tree(low, high) / (float)n + eps));
    for (size_t i = 0; i < n; i += WIDTH) {
        __m256 v = _mm256_mul_ps(load(x + i, n - i), inv);
        store(y + i, _mm256_mul_ps(v, load(w + i, n - i)), n - i);
    }
}

INLINE void rope(float *x, const float *cosines, const float *sines, size_t half) {
    for (size_t i = 0; i < half; i += WIDTH) {
        const size_t left = half - i;
        __m256 a = load(x + i, left), b = load(x + half + i, left);
        __m256 c = load(cosines + i, left), s = load(sines + i, left);
        store(x + i, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)), left);
        store(x + half + i, _mm256_fmadd_ps(b, c, _mm256_mul_ps(a, s)), left);
    }
}

/* y = gate / (1 + exp(-gate)) * up */
INLINE void silu_mul(float *y, const float *gate, const float *up, size_t n) {
    const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);
    for (size_t i = 0; i < n; i += WIDTH) {
        __m256 g = load(gate + i, n - i), u = load(up + i, n - i);
        __m256 d = _mm256_add_ps(one, exp_ps(_mm256_xor_ps(g, sign)));
        store(y + i, _mm256_mul_ps(_mm256_div_ps(g, d), u), n - i);
    }
}

static void add(float *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i += WIDTH)
        store(y + i, _mm256_add_ps(load(y + i, n - i), load(x + i, n - i)), n - i);
}

INLINE void scale(float *y, float s, size_t n) {
    const __m256 factor = _mm256_set1_ps(s);
    for (size_t i = 0; i < n; i += WIDTH)
        store(y + i, _mm256_mul_ps(load(y + i, n - i), factor), n - i);
}

static void divide(float *y, float s, size_t n) {
    const __m256 divisor = _mm256_set1_ps(s);
    for (size_t i = 0; i < n; i += WIDTH)
        store(y + i, _mm256_div_ps(load(y + i, n - i), divisor), n - i);
}

static void exp_sub(float *y, const float *x, float sub, size_t n) {
    const __m256 s = _mm256_set1_ps(sub);
    for (size_t i = 0; i < n; i += WIDTH)
        store(y + i, exp_ps(_mm256_sub_ps(load(x + i, n - i), s)), n - i);
}

INLINE float sum_exp_sub(const float *x, float sub, size_t n) {
    const __m256 s = _mm256_set1_ps(sub);
    __m256 low = _mm256_setzero_ps(), high = low;
    for (size_t i = 0; i < n; i += LANES) {
        __m256 v = exp_ps(_mm256_sub_ps(load(x + i, n - i), s));
        low = _mm256_add_ps(low, keep(v, n - i));
        if (n - i <= WIDTH) break;
        const size_t left = n - i - WIDTH;
        v = exp_ps(_mm256_sub_ps(load(x + i + WIDTH, left), s));
        high = _mm256_add_ps(high, keep(v, left));
    }
    return tree(low, high);
}

INLINE float max(const float *x, size_t n) {
    __m256 best = _mm256_set1_ps(-INFINITY), best2 = best;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        best = larger(_mm256_loadu_ps(x + i), best);
        best2 = larger(_mm256_loadu_ps(x + i + WIDTH), best2);
    }
    for (; i < n; i += WIDTH) best = larger(lowest_from(load(x + i, n - i), n - i), best);
    return max_of_lanes(larger(best2, best));
}

static size_t argmax(const float *x, size_t n) {
    const __m256 best = _mm256_set1_ps(max(x, n));
    for (size_t i = 0; i < n; i += WIDTH) {
        __m256 equal = _mm256_cmp_ps(load(x + i, n - i), best, _CMP_EQ_OQ);
        const int bits = _mm256_movemask_ps(keep(equal, n - i));
        if (bits != 0) return i + (size_t)__builtin_ctz((unsigned)bits);
    }
    return 0;
}

/* The first pass of softmax_row: scales the visible scores; their maximum. */
static float scale_and_max(float *s, size_t visible, float factor) {
    const __m256 f = _mm256_set1_ps(factor);
    __m256 largest = _mm256_set1_ps(-INFINITY);
    for (size_t i = 0; i < visible; i += WIDTH) {
        __m256 v = _mm256_mul_ps(_mm256_loadu_ps(s + i), f);
        _mm256_storeu_ps(s + i, v);
        largest = larger(lowest_from(v, visible - i), largest);
    }
    return max_of_lanes(largest);
}

INLINE float softmax_row(float *s, size_t n, size_t visible, float factor, float *m, float *l) {
    const float old = *m;
    float best = scale_and_max(s, visible, factor);
    if (old > best) best = old;
    const __m256 sub = _mm256_set1_ps(best), zero = _mm256_setzero_ps();
    __m256 sum[2] = {zero, zero};
    for (size_t i = 0; i < n; i += LANES) {
        UNROLL for (size_t half = 0; half < 2; half++) {
            const size_t at = i + half * WIDTH;
            __m256 p = zero;
            if (at < visible)
                p = keep(exp_ps(_mm256_sub_ps(_mm256_loadu_ps(s + at), sub)), visible - at);
            _mm256_storeu_ps(s + at, p);
            sum[half] = _mm256_add_ps(sum[half], p);
        }
    }
    const float corr = old == -INFINITY ? 0.0f : gwen_exp(old - best);
    *l = fmaf(*l, corr, tree(sum[0], sum[1]));
    *m = best;
    return corr;
}

#define BY_ROWS_SOFTMAX
#include "by_rows.h"

void gwen_init_avx2_rows(struct gwen_kernels *k) {
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
    k->softmax_block = softmax_by_rows;
}

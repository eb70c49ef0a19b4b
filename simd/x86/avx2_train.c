/* avx2_train.c - kernels of the backward pass and the optimizer on AVX2, step by step as
 * simd/ref/train.c has them. */
#include "x86/avx2.h"

/* Blocks of 8 x 8; what does not fill one goes through the reference. */
static void transpose_32(uint32_t *dst, size_t dst_stride, const uint32_t *src, size_t src_stride,
                         size_t rows, size_t cols) {
    const size_t whole_rows = rows / WIDTH * WIDTH, whole_cols = cols / WIDTH * WIDTH;
    __m256i r[WIDTH];
    for (size_t r0 = 0; r0 < whole_rows; r0 += WIDTH)
        for (size_t c0 = 0; c0 < whole_cols; c0 += WIDTH) {
            const uint32_t *from = src + r0 * src_stride + c0;
            uint32_t *to = dst + c0 * dst_stride + r0;
            UNROLL for (size_t i = 0; i < WIDTH; i++) r[i] =
                _mm256_loadu_si256((const __m256i *)(const void *)(from + i * src_stride));
            transpose(r);
            UNROLL for (size_t i = 0; i < WIDTH; i++)
                _mm256_storeu_si256((__m256i *)(void *)(to + i * dst_stride), r[i]);
        }
    gwen_ref_transpose_32(dst + whole_cols * dst_stride, dst_stride, src + whole_cols, src_stride,
                          rows, cols - whole_cols);
    gwen_ref_transpose_32(dst + whole_rows, dst_stride, src + whole_rows * src_stride, src_stride,
                          rows - whole_rows, whole_cols);
}

static void zip_16(uint16_t *dst, const uint16_t *a, const uint16_t *b, size_t n) {
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        const __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(a + i));
        const __m256i y = _mm256_loadu_si256((const __m256i *)(const void *)(b + i));
        const __m256i low = _mm256_unpacklo_epi16(x, y), high = _mm256_unpackhi_epi16(x, y);
        __m256i *to = (__m256i *)(void *)(dst + 2 * i);
        _mm256_storeu_si256(to, _mm256_permute2x128_si256(low, high, 0x20));
        _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(low, high, 0x31));
    }
    gwen_ref_zip_16(dst + 2 * i, a + i, b + i, n - i);
}

/* sum + x * y in the lanes that `left` more elements fill, sum in the others. */
INLINE __m256 add_to_sum(__m256 sum, __m256 x, __m256 y, size_t left) {
    const __m256 next = _mm256_fmadd_ps(x, y, sum);
    return left >= WIDTH ? next : _mm256_blendv_ps(sum, next, _mm256_castsi256_ps(mask_of(left)));
}

static float dot(const float *x, const float *y, size_t n) {
    __m256 low = _mm256_setzero_ps(), high = low;
    for (size_t i = 0; i < n; i += LANES) {
        low = add_to_sum(low, load(x + i, n - i), load(y + i, n - i), n - i);
        if (n - i <= WIDTH) break;
        const size_t at = i + WIDTH, left = n - at;
        high = add_to_sum(high, load(x + at, left), load(y + at, left), left);
    }
    return tree(low, high);
}

static void add_product(float *y, const float *a, float s, const float *b, size_t n) {
    const __m256 factor = _mm256_set1_ps(s);
    for (size_t i = 0; i < n; i += WIDTH) {
        const __m256 v = _mm256_mul_ps(load(a + i, n - i), factor);
        store(y + i, _mm256_fmadd_ps(v, load(b + i, n - i), load(y + i, n - i)), n - i);
    }
}

INLINE float rmsnorm_back(float *dx, const float *dy, const float *x, const float *w, size_t n,
                          float eps) {
    const __m256 zero = _mm256_setzero_ps();
    __m256 squares[2] = {zero, zero}, products[2] = {zero, zero};
    for (size_t i = 0; i < n; i += LANES) {
        UNROLL for (size_t half = 0; half < 2; half++) {
            const size_t at = i + half * WIDTH;
            if (at >= n) break;
            const size_t left = n - at;
            const __m256 v = load(x + at, left);
            const __m256 g = _mm256_mul_ps(load(dy + at, left), load(w + at, left));
            squares[half] = add_to_sum(squares[half], v, v, left);
            products[half] = add_to_sum(products[half], g, v, left);
        }
    }
    const float inv = 1.0f / sqrtf(tree(squares[0], squares[1]) / (float)n + eps);
    const __m256 factor = _mm256_set1_ps(inv);
    const __m256 c = _mm256_set1_ps((tree(products[0], products[1]) / (float)n) * (inv * inv));
    for (size_t i = 0; i < n; i += WIDTH) {
        __m256 g = _mm256_mul_ps(load(dy + i, n - i), load(w + i, n - i));
        g = _mm256_fnmadd_ps(c, load(x + i, n - i), g);
        store(dx + i, _mm256_fmadd_ps(g, factor, load(dx + i, n - i)), n - i);
    }
    return inv;
}

/* A rotation's transpose turns back. */
INLINE void rope_back(float *d, const float *cosines, const float *sines, size_t half) {
    for (size_t i = 0; i < half; i += WIDTH) {
        const size_t left = half - i;
        const __m256 a = load(d + i, left), b = load(d + half + i, left);
        const __m256 c = load(cosines + i, left), s = load(sines + i, left);
        store(d + i, _mm256_fmadd_ps(a, c, _mm256_mul_ps(b, s)), left);
        store(d + half + i, _mm256_fmsub_ps(b, c, _mm256_mul_ps(a, s)), left);
    }
}

INLINE void swiglu_back_row(float *d_gate, float *d_up, const float *dy, const float *gate,
                            const float *up, size_t n) {
    const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);
    for (size_t i = 0; i < n; i += WIDTH) {
        const size_t left = n - i;
        const __m256 g = load(gate + i, left), u = load(up + i, left), d = load(dy + i, left);
        const __m256 s = _mm256_div_ps(one, _mm256_add_ps(one, exp_ps(_mm256_xor_ps(g, sign))));
        const __m256 silu = _mm256_mul_ps(g, s);
        const __m256 slope = _mm256_fmadd_ps(silu, _mm256_sub_ps(one, s), s);
        store(d_up + i, _mm256_mul_ps(d, silu), left);
        store(d_gate + i, _mm256_mul_ps(_mm256_mul_ps(d, u), slope), left);
    }
}

INLINE void divide_row(float *y, float s, size_t n) {
    const __m256 divisor = _mm256_set1_ps(s);
    for (size_t i = 0; i < n; i += WIDTH)
        store(y + i, _mm256_div_ps(load(y + i, n - i), divisor), n - i);
}

/* z = 0 - p * exp(z - max) */
INLINE void logprob_row(float *z, float max, float p, size_t n) {
    const __m256 sub = _mm256_set1_ps(max), factor = _mm256_set1_ps(p);
    for (size_t i = 0; i < n; i += WIDTH) {
        const __m256 e = exp_ps(_mm256_sub_ps(load(z + i, n - i), sub));
        store(z + i, _mm256_sub_ps(_mm256_setzero_ps(), _mm256_mul_ps(factor, e)), n - i);
    }
}

INLINE void softmax_back_row(float *p, float *ds, size_t n, size_t visible, float scale, float max,
                             float sum, float delta) {
    const __m256 factor = _mm256_set1_ps(scale), sub = _mm256_set1_ps(max);
    const __m256 divisor = _mm256_set1_ps(sum), less = _mm256_set1_ps(delta);
    for (size_t i = 0; i < n; i += WIDTH) {
        const size_t left = visible > i ? visible - i : 0;
        __m256 e = _mm256_mul_ps(_mm256_loadu_ps(p + i), factor);
        e = keep(_mm256_div_ps(exp_ps(_mm256_sub_ps(e, sub)), divisor), left);
        const __m256 d = _mm256_mul_ps(e, _mm256_sub_ps(_mm256_loadu_ps(ds + i), less));
        _mm256_storeu_ps(p + i, e);
        _mm256_storeu_ps(ds + i, keep(_mm256_mul_ps(d, factor), left));
    }
}

#include "train_by_rows.h"

static void adamw(float *w, float *m, float *v, const float *g, const struct gwen_adamw *p,
                  size_t n) {
    const __m256 clip = _mm256_set1_ps(p->clip), decay = _mm256_set1_ps(p->decay);
    const __m256 one_beta1 = _mm256_set1_ps(p->one_beta1), beta2 = _mm256_set1_ps(p->beta2);
    const __m256 one_beta2 = _mm256_set1_ps(p->one_beta2), step = _mm256_set1_ps(p->step);
    const __m256 inv_bias2 = _mm256_set1_ps(p->inv_bias2), eps = _mm256_set1_ps(p->eps);
    for (size_t i = 0; i < n; i += WIDTH) {
        const size_t left = n - i;
        const __m256 grad = _mm256_mul_ps(load(g + i, left), clip), old = load(m + i, left);
        const __m256 weight = _mm256_mul_ps(load(w + i, left), decay);
        const __m256 mean = _mm256_fmadd_ps(one_beta1, _mm256_sub_ps(grad, old), old);
        const __m256 square = _mm256_fmadd_ps(load(v + i, left), beta2,
                                              _mm256_mul_ps(_mm256_mul_ps(grad, grad), one_beta2));
        const __m256 denom = _mm256_fmadd_ps(_mm256_sqrt_ps(square), inv_bias2, eps);
        store(m + i, mean, left);
        store(v + i, square, left);
        store(w + i, _mm256_fnmadd_ps(step, _mm256_div_ps(mean, denom), weight), left);
    }
}

void gwen_init_avx2_train(struct gwen_kernels *k) {
    k->transpose_32 = transpose_32;
    k->zip_16 = zip_16;
    k->dot = dot;
    k->add_product = add_product;
    k->rmsnorm_back = rmsnorm_back;
    k->norm_rope_back = norm_rope_back_by_rows;
    k->swiglu_back = swiglu_back_by_rows;
    k->logprob_back = logprob_back_by_rows;
    k->softmax_back = softmax_back_by_rows;
    k->adamw = adamw;
}

/* avx512_train.c - kernels of the backward pass and the optimizer on AVX-512, step by step as
 * simd/ref/train.c has them. */
#include "x86/avx512.h"

static void transpose_32(uint32_t *dst, size_t dst_stride, const uint32_t *src, size_t src_stride,
                         size_t rows, size_t cols) {
    __m512i r[LANES];
    for (size_t r0 = 0; r0 < rows; r0 += LANES) {
        const size_t m = rows - r0 < LANES ? rows - r0 : LANES;
        for (size_t c0 = 0; c0 < cols; c0 += LANES) {
            const __mmask16 k = lanes_of(cols - c0);
            const uint32_t *from = src + r0 * src_stride + c0;
            UNROLL for (size_t i = 0; i < LANES; i++) r[i] =
                i < m ? _mm512_maskz_loadu_epi32(k, from + i * src_stride) : _mm512_setzero_si512();
            transpose(r);
            uint32_t *to = dst + c0 * dst_stride + r0;
            const size_t n = cols - c0 < LANES ? cols - c0 : LANES;
            UNROLL for (size_t i = 0; i < LANES; i++) if (i < n)
                _mm512_mask_storeu_epi32(to + i * dst_stride, lanes_of(m), r[i]);
        }
    }
}

static void zip_16(uint16_t *dst, const uint16_t *a, const uint16_t *b, size_t n) {
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes_of(n - i);
        __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(k, a + i));
        __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(k, b + i));
        _mm512_mask_storeu_epi32(dst + 2 * i, k, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
}

static float dot(const float *x, const float *y, size_t n) {
    __m512 sum = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes_of(n - i);
        sum = _mm512_mask3_fmadd_ps(_mm512_maskz_loadu_ps(k, x + i),
                                    _mm512_maskz_loadu_ps(k, y + i), sum, k);
    }
    return tree(sum);
}

static void add_product(float *y, const float *a, float s, const float *b, size_t n) {
    const __m512 factor = _mm512_set1_ps(s);
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes_of(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(k, a + i), factor);
        v = _mm512_fmadd_ps(v, _mm512_maskz_loadu_ps(k, b + i), _mm512_maskz_loadu_ps(k, y + i));
        _mm512_mask_storeu_ps(y + i, k, v);
    }
}

static float rmsnorm_back(float *dx, const float *dy, const float *x, const float *w, size_t n,
                          float eps) {
    __m512 squares = _mm512_setzero_ps(), products = squares;
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes_of(n - i);
        const __m512 v = _mm512_maskz_loadu_ps(k, x + i);
        const __m512 g =
            _mm512_mul_ps(_mm512_maskz_loadu_ps(k, dy + i), _mm512_maskz_loadu_ps(k, w + i));
        squares = _mm512_mask3_fmadd_ps(v, v, squares, k);
        products = _mm512_mask3_fmadd_ps(g, v, products, k);
    }
    const float inv = 1.0f / sqrtf(tree(squares) / (float)n + eps);
    const __m512 c = _mm512_set1_ps((tree(products) / (float)n) * (inv * inv));
    const __m512 factor = _mm512_set1_ps(inv);
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes_of(n - i);
        __m512 g = _mm512_mul_ps(_mm512_maskz_loadu_ps(k, dy + i), _mm512_maskz_loadu_ps(k, w + i));
        g = _mm512_fnmadd_ps(c, _mm512_maskz_loadu_ps(k, x + i), g);
        g = _mm512_fmadd_ps(g, factor, _mm512_maskz_loadu_ps(k, dx + i));
        _mm512_mask_storeu_ps(dx + i, k, g);
    }
    return inv;
}

static void swiglu_back(float *d_gate, float *d_up, const float *dy, const float *gate,
                        const float *up, size_t n) {
    const __m512 one = _mm512_set1_ps(1.0f), sign = _mm512_set1_ps(-0.0f);
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes_of(n - i);
        const __m512 g = _mm512_maskz_loadu_ps(k, gate + i), u = _mm512_maskz_loadu_ps(k, up + i);
        const __m512 d = _mm512_maskz_loadu_ps(k, dy + i);
        const __m512 s = _mm512_div_ps(one, _mm512_add_ps(one, exp_ps(_mm512_xor_ps(g, sign))));
        const __m512 silu = _mm512_mul_ps(g, s);
        const __m512 slope = _mm512_fmadd_ps(silu, _mm512_sub_ps(one, s), s);
        _mm512_mask_storeu_ps(d_up + i, k, _mm512_mul_ps(d, silu));
        _mm512_mask_storeu_ps(d_gate + i, k, _mm512_mul_ps(_mm512_mul_ps(d, u), slope));
    }
}

static void logprob_back(float *dz, const float *z, float max, float p, float w, size_t target,
                         size_t n) {
    const __m512 sub = _mm512_set1_ps(max), factor = _mm512_set1_ps(p);
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes_of(n - i);
        const __m512 e = exp_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(k, z + i), sub));
        _mm512_mask_storeu_ps(dz + i, k,
                              _mm512_sub_ps(_mm512_setzero_ps(), _mm512_mul_ps(factor, e)));
    }
    if (target < n) dz[target] = w + dz[target];
}

static void adamw(float *w, float *m, float *v, const float *g, const struct gwen_adamw *p,
                  size_t n) {
    const __m512 clip = _mm512_set1_ps(p->clip), decay = _mm512_set1_ps(p->decay);
    const __m512 one_beta1 = _mm512_set1_ps(p->one_beta1), beta2 = _mm512_set1_ps(p->beta2);
    const __m512 one_beta2 = _mm512_set1_ps(p->one_beta2), step = _mm512_set1_ps(p->step);
    const __m512 inv_bias2 = _mm512_set1_ps(p->inv_bias2), eps = _mm512_set1_ps(p->eps);
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes_of(n - i);
        const __m512 grad = _mm512_mul_ps(_mm512_maskz_loadu_ps(k, g + i), clip);
        const __m512 weight = _mm512_mul_ps(_mm512_maskz_loadu_ps(k, w + i), decay);
        const __m512 old = _mm512_maskz_loadu_ps(k, m + i);
        const __m512 mean = _mm512_fmadd_ps(one_beta1, _mm512_sub_ps(grad, old), old);
        const __m512 square = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(k, v + i), beta2,
                                              _mm512_mul_ps(_mm512_mul_ps(grad, grad), one_beta2));
        const __m512 denom = _mm512_fmadd_ps(_mm512_sqrt_ps(square), inv_bias2, eps);
        _mm512_mask_storeu_ps(m + i, k, mean);
        _mm512_mask_storeu_ps(v + i, k, square);
        _mm512_mask_storeu_ps(w + i, k, _mm512_fnmadd_ps(step, _mm512_div_ps(mean, denom), weight));
    }
}

void gwen_init_avx512_train(struct gwen_kernels *k) {
    k->transpose_32 = transpose_32;
    k->zip_16 = zip_16;
    k->dot = dot;
    k->add_product = add_product;
    k->rmsnorm_back = rmsnorm_back;
    k->swiglu_back = swiglu_back;
    k->logprob_back = logprob_back;
    k->adamw = adamw;
}

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

INLINE float rmsnorm_back(float *dx, const float *dy, const float *x, const float *w, size_t n,
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

/* A rotation's transpose turns back. */
INLINE void rope_back(float *d, const float *cosines, const float *sines, size_t half) {
    for (size_t i = 0; i < half; i += LANES) {
        const __mmask16 k = lanes_of(half - i);
        const __m512 a = _mm512_maskz_loadu_ps(k, d + i),
                     b = _mm512_maskz_loadu_ps(k, d + half + i);
        const __m512 c = _mm512_maskz_loadu_ps(k, cosines + i);
        const __m512 s = _mm512_maskz_loadu_ps(k, sines + i);
        _mm512_mask_storeu_ps(d + i, k, _mm512_fmadd_ps(a, c, _mm512_mul_ps(b, s)));
        _mm512_mask_storeu_ps(d + half + i, k, _mm512_fmsub_ps(b, c, _mm512_mul_ps(a, s)));
    }
}

INLINE void swiglu_back_row(float *d_gate, float *d_up, const float *dy, const float *gate,
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

INLINE void divide_row(float *y, float s, size_t n) {
    const __m512 divisor = _mm512_set1_ps(s);
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes_of(n - i);
        _mm512_mask_storeu_ps(y + i, k, _mm512_div_ps(_mm512_maskz_loadu_ps(k, y + i), divisor));
    }
}

/* z = 0 - p * exp(z - max) */
INLINE void logprob_row(float *z, float max, float p, size_t n) {
    const __m512 sub = _mm512_set1_ps(max), factor = _mm512_set1_ps(p);
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes_of(n - i);
        const __m512 e = exp_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(k, z + i), sub));
        _mm512_mask_storeu_ps(z + i, k,
                              _mm512_sub_ps(_mm512_setzero_ps(), _mm512_mul_ps(factor, e)));
    }
}

INLINE void softmax_back_row(float *p, float *ds, size_t n, size_t visible, float scale, float max,
                             float sum, float delta) {
    const __m512 factor = _mm512_set1_ps(scale), sub = _mm512_set1_ps(max);
    const __m512 divisor = _mm512_set1_ps(sum), less = _mm512_set1_ps(delta);
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 k = visible > i ? lanes_of(visible - i) : 0;
        __m512 e = _mm512_mul_ps(_mm512_loadu_ps(p + i), factor);
        e = _mm512_maskz_div_ps(k, exp_ps(_mm512_sub_ps(e, sub)), divisor);
        const __m512 d = _mm512_mul_ps(e, _mm512_sub_ps(_mm512_loadu_ps(ds + i), less));
        _mm512_storeu_ps(p + i, e);
        _mm512_storeu_ps(ds + i, _mm512_maskz_mul_ps(k, d, factor));
    }
}

#include "train_by_rows.h"

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

/* The words of 8 positions of Philox4x32-10 in the low halves of 64-bit lanes; what is in the high
 * halves does not matter: the multiplication does not look at them. */
INLINE void philox(const struct gwen_rounding *r, __m512i position, __m512i c[4]) {
    const __m512i m0 = _mm512_set1_epi64(GWEN_PHILOX_M0), m1 = _mm512_set1_epi64(GWEN_PHILOX_M1);
    uint32_t k0 = r->seed[0], k1 = r->seed[1];
    c[0] = _mm512_set1_epi64(r->chain[0] ^ r->sample);
    c[1] = _mm512_set1_epi64(r->chain[1]);
    c[2] = _mm512_xor_si512(position, _mm512_set1_epi64(r->chain[2]));
    c[3] = _mm512_xor_si512(_mm512_srli_epi64(position, 32), _mm512_set1_epi64(r->chain[3]));
    UNROLL for (int round = 0; round < GWEN_PHILOX_ROUNDS; round++) {
        enum { XOR = 0x96 }; /* of three */
        const __m512i p0 = _mm512_mul_epu32(c[0], m0), p1 = _mm512_mul_epu32(c[2], m1);
        c[0] =
            _mm512_ternarylogic_epi64(_mm512_srli_epi64(p1, 32), c[1], _mm512_set1_epi64(k0), XOR);
        c[1] = p1;
        c[2] =
            _mm512_ternarylogic_epi64(_mm512_srli_epi64(p0, 32), c[3], _mm512_set1_epi64(k1), XOR);
        c[3] = p0;
        k0 += GWEN_PHILOX_W0;
        k1 += GWEN_PHILOX_W1;
    }
}

/* 16 floats with 16 random bits each, below 2^16. */
INLINE __m256i round_at_random(__m512 v, __m512i bits) {
    const __m512i u = _mm512_castps_si512(v), quiet = _mm512_set1_epi32(0x400000);
    const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    const __m512i sum = _mm512_mask_or_epi32(_mm512_add_epi32(u, bits), nan, u, quiet);
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(sum, 16));
}

static void random_bf16(struct gwen_bf16 *y, const float *x, size_t n,
                        const struct gwen_rounding *r) {
    const __m512i evens = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
    const __m512i low = _mm512_set1_epi32(0xffff), one = _mm512_set1_epi64(1);
    uint64_t position = r->position;
    for (size_t at = 0; at < n; at += GWEN_ROUNDING_CHUNK, position += GWEN_ROUNDING_POSITIONS) {
        const __m512i even = _mm512_add_epi64(_mm512_set1_epi64((long long)position), evens);
        __m512i a[4], b[4];
        philox(r, even, a);
        philox(r, _mm512_add_epi64(even, one), b);
        UNROLL for (size_t half = 0; half < 8; half++) {
            const size_t i = at + half * LANES;
            if (i >= n) break;
            const __mmask16 k = lanes_of(n - i);
            const __m512i words =
                _mm512_mask_mov_epi32(a[half / 2], 0xaaaa, _mm512_slli_epi64(b[half / 2], 32));
            const __m512i bits =
                half % 2 == 0 ? _mm512_and_si512(words, low) : _mm512_srli_epi32(words, 16);
            _mm256_mask_storeu_epi16(y + i, k,
                                     round_at_random(_mm512_maskz_loadu_ps(k, x + i), bits));
        }
    }
}

void gwen_init_avx512_train(struct gwen_kernels *k) {
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
    k->random_bf16 = random_bf16;
}

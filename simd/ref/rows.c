/* rows.c - reference of the kernels over rows of float.
 *
 * Sums run in 16 lanes whatever the width of the machine's vectors, so that 4, 8 and 16 wide
 * versions can all reproduce them. */
#include "ref/math.h"

enum { LANES = 16 };

void gwen_ref_rmsnorm(float *y, const float *x, const float *w, size_t n, float eps) {
    float lanes[LANES] = {0};
    for (size_t i = 0; i < n; i++) lanes[i % LANES] = fmaf(x[i], x[i], lanes[i % LANES]);
    float inv = 1.0f / sqrtf(gwen_tree16(lanes) / (float)n + eps);
    for (size_t i = 0; i < n; i++) y[i] = (x[i] * inv) * w[i];
}

void gwen_ref_rope(float *x, const float *cosines, const float *sines, size_t half) {
    for (size_t i = 0; i < half; i++) {
        float a = x[i], b = x[i + half], c = cosines[i], s = sines[i];
        x[i] = fmaf(a, c, -(b * s));
        x[i + half] = fmaf(b, c, a * s);
    }
}

void gwen_ref_norm_rope(void *y, bool bf16, const float *x, size_t n_heads, size_t half,
                        const float *w, float eps, const float *cosines, const float *sines) {
    for (size_t h = 0; h < n_heads; h++, x += 2 * half) {
        const size_t at = h * 2 * half;
        float inv = 1;
        if (w != NULL) {
            float lanes[LANES] = {0};
            for (size_t i = 0; i < 2 * half; i++)
                lanes[i % LANES] = fmaf(x[i], x[i], lanes[i % LANES]);
            inv = 1.0f / sqrtf(gwen_tree16(lanes) / (float)(2 * half) + eps);
        }
        for (size_t i = 0; i < half; i++) {
            const float a = w == NULL ? x[i] : (x[i] * inv) * w[i];
            const float b = w == NULL ? x[i + half] : (x[i + half] * inv) * w[i + half];
            const float c = cosines[i], s = sines[i];
            gwen_put(y, bf16, at + i, fmaf(a, c, -(b * s)));
            gwen_put(y, bf16, at + i + half, fmaf(b, c, a * s));
        }
    }
}

void gwen_ref_swiglu(void *y, size_t y_stride, bool bf16, const float *c, size_t c_stride, size_t m,
                     size_t n) {
    for (size_t i = 0; i < m; i++) {
        for (size_t f = 0; f < n; f++) {
            const float *at = c + i * c_stride + f / LANES * 2 * LANES + f % LANES;
            gwen_put((char *)y + i * y_stride, bf16, f,
                     (at[0] / (1.0f + gwen_exp(-at[0]))) * at[LANES]);
        }
    }
}

void gwen_ref_add(float *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] += x[i];
}

void gwen_ref_scale(float *y, float s, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] *= s;
}

void gwen_ref_divide(float *y, float s, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] /= s;
}

void gwen_ref_exp_sub(float *y, const float *x, float sub, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = gwen_exp(x[i] - sub);
}

float gwen_ref_sum_exp_sub(const float *x, float sub, size_t n) {
    float lanes[LANES] = {0};
    for (size_t i = 0; i < n; i++) lanes[i % LANES] += gwen_exp(x[i] - sub);
    return gwen_tree16(lanes);
}

float gwen_ref_max(const float *x, size_t n) {
    float best = -INFINITY;
    for (size_t i = 0; i < n; i++)
        if (x[i] > best) best = x[i];
    return best + 0.0f; /* -0 becomes +0: else the result would depend on the order */
}

size_t gwen_ref_argmax(const float *x, size_t n) {
    float best = gwen_ref_max(x, n);
    for (size_t i = 0; i < n; i++)
        if (x[i] == best) return i;
    return 0;
}

void gwen_ref_block_stats(const float *x, size_t x_stride, size_t m, size_t n, float *largest,
                          float *sum, size_t stride) {
    for (size_t i = 0; i < m; i++) {
        largest[i * stride] = gwen_ref_max(x + i * x_stride, n);
        sum[i * stride] = gwen_ref_sum_exp_sub(x + i * x_stride, largest[i * stride], n);
    }
}

/* Row i of the block; returns what its earlier sums must be multiplied by. */
static float softmax_row(const struct gwen_softmax *a, size_t i) {
    float *s = a->s + i * a->s_stride, lanes[LANES] = {0};
    for (size_t j = 0; j < a->visible[i]; j++) s[j] *= a->scale;
    const float old = a->max[i];
    float best = gwen_ref_max(s, a->visible[i]);
    if (old > best) best = old;
    for (size_t j = 0; j < a->n; j++) {
        s[j] = j < a->visible[i] ? gwen_exp(s[j] - best) : 0.0f;
        lanes[j % LANES] += s[j];
    }
    const float corr = old == -INFINITY ? 0.0f : gwen_exp(old - best);
    a->sum[i] = fmaf(a->sum[i], corr, gwen_tree16(lanes));
    a->max[i] = best;
    return corr;
}

void gwen_ref_softmax_block(const struct gwen_softmax *a) {
    for (size_t i = 0; i < a->m; i++) {
        const float corr = softmax_row(a, i);
        if (a->p != NULL)
            gwen_ref_f32_to_bf16(a->p + i * a->p_stride, a->s + i * a->s_stride, a->n);
        if (a->o != NULL && corr != 1.0f) gwen_ref_scale(a->o + i * a->o_stride, corr, a->o_n);
    }
}

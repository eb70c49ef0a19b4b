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

void gwen_ref_swiglu(float *y, const float *gate, const float *up, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float g = gate[i];
        y[i] = (g / (1.0f + gwen_exp(-g))) * up[i];
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

float gwen_ref_softmax_block(float *s, size_t n, size_t visible, float scale, float *m, float *l) {
    for (size_t i = 0; i < visible; i++) s[i] *= scale;
    float old = *m, best = gwen_ref_max(s, visible);
    if (old > best) best = old;
    float lanes[LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        s[i] = i < visible ? gwen_exp(s[i] - best) : 0.0f;
        lanes[i % LANES] += s[i];
    }
    float corr = old == -INFINITY ? 0.0f : gwen_exp(old - best);
    *l = fmaf(*l, corr, gwen_tree16(lanes));
    *m = best;
    return corr;
}

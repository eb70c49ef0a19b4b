/* check_rows.c - kernels over rows of float, in place too where that is allowed. */
#include "checkasm.h"
#include "ref/math.h"

#include <string.h>

enum { MOST = 150, BENCH_N = 4096 };

/* A random row of n floats in a slot. */
static float *row(struct checkasm *ca, int slot, size_t n) {
    float *x = ca_buffer(slot, n * sizeof *x);
    ca_fill_f32(ca, x, n, ca_draw_values(ca));
    return x;
}

/* A copy of x in a slot. */
static float *copy(int slot, const float *x, size_t n) {
    float *y = ca_buffer(slot, n * sizeof *y);
    memcpy(y, x, n * sizeof *y);
    return y;
}

static float number(struct checkasm *ca) {
    float x;
    ca_fill_f32(ca, &x, 1, ca_draw_values(ca));
    return x;
}

/* Compares rows of n in slots; `got` must not have been left at its beginning. */
static void compare(struct checkasm *ca, int got_slot, const float *got, const float *want,
                    size_t n) {
    ca_same_f32(ca, got, want, n);
    if (!ca_canary_intact(got_slot, n * sizeof *got)) ca_fail(ca, "wrote before the row");
}

static void compare_one(struct checkasm *ca, float got, float want) {
    ca_same_f32(ca, &got, &want, 1);
}

static float *plain(struct checkasm *ca, int slot) {
    float *x = ca_buffer(slot, BENCH_N * sizeof *x);
    ca_fill_f32(ca, x, BENCH_N, CA_PLAIN);
    ca_shape(ca, "n %d", BENCH_N);
    ca_bench_start(ca);
    return x;
}

/* --- rmsnorm, rope, norm_rope, swiglu ------------------------------------------------------- */
void check_rmsnorm(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t n = ca_range(ca, 1, MOST);
        const float eps = round % 2 == 0 ? 1e-6f : 1e-5f;
        float *x = row(ca, 0, n), *w = row(ca, 1, n), *want = ca_buffer(3, n * sizeof *x);
        float *got = round % 3 == 0 ? copy(2, x, n) : row(ca, 2, n);
        ca_shape(ca, "n %zu in place %d", n, round % 3 == 0);
        ca->k.rmsnorm(got, round % 3 == 0 ? got : x, w, n, eps);
        gwen_ref_rmsnorm(want, x, w, n, eps);
        compare(ca, 2, got, want, n);
    }
}

void bench_rmsnorm(struct checkasm *ca) {
    float *y = ca_buffer(2, BENCH_N * sizeof *y), *w = plain(ca, 1), *x = plain(ca, 0);
    while (ca_bench_running(ca)) ca->k.rmsnorm(y, x, w, BENCH_N, 1e-6f);
    ca_bench_report(ca, 0, 12.0 * BENCH_N, 0);
}

void check_rope(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t half = ca_range(ca, 0, MOST);
        float *got = row(ca, 0, 2 * half), *want = copy(1, got, 2 * half);
        float *c = row(ca, 2, half), *s = row(ca, 3, half);
        ca_shape(ca, "half %zu", half);
        ca->k.rope(got, c, s, half);
        gwen_ref_rope(want, c, s, half);
        compare(ca, 0, got, want, 2 * half);
    }
}

void bench_rope(struct checkasm *ca) {
    const size_t half = BENCH_N / 2;
    float *c = plain(ca, 1), *s = plain(ca, 2), *x = plain(ca, 0);
    memset(s, 0, half * sizeof *s); /* cosines below 2 and no sines: nothing overflows for long */
    for (size_t i = 0; i < half; i++) c[i] = 1.0f;
    while (ca_bench_running(ca)) ca->k.rope(x, c, s, half);
    ca_bench_report(ca, 0, 12.0 * BENCH_N, 0);
}

/* Row i of y, bf16 or float, compared with what was wanted. */
static void compare_typed(struct checkasm *ca, const void *got, const void *want, bool bf16,
                          size_t n) {
    float a[2 * MOST], b[2 * MOST];
    for (size_t i = 0; i < n; i++) {
        a[i] =
            bf16 ? gwen_bf16_to_float(((const struct gwen_bf16 *)got)[i]) : ((const float *)got)[i];
        b[i] = bf16 ? gwen_bf16_to_float(((const struct gwen_bf16 *)want)[i])
                    : ((const float *)want)[i];
    }
    ca_same_f32(ca, a, b, n);
}

void check_norm_rope(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t half = ca_range(ca, 1, MOST / 2), heads = ca_range(ca, 0, 3), n = 2 * half;
        const bool bf16 = round % 3 == 0, in_place = round % 3 == 1;
        const size_t elem = bf16 ? 2 : 4, bytes = heads * n * elem;
        float *x = row(ca, 0, heads * n), *w = row(ca, 1, n);
        float *c = row(ca, 2, half), *s = row(ca, 3, half);
        char *want = ca_buffer(4, bytes);
        char *got = in_place ? (char *)copy(5, x, heads * n) : ca_buffer(5, bytes);
        const float *weights = round % 4 == 0 ? NULL : w;
        ca_shape(ca, "heads %zu half %zu bf16 %d in place %d norm %d", heads, half, bf16, in_place,
                 weights != NULL);
        ca->k.norm_rope(got, bf16, in_place ? (float *)(void *)got : x, heads, half, weights, 1e-6f,
                        c, s);
        gwen_ref_norm_rope(want, bf16, x, heads, half, weights, 1e-6f, c, s);
        for (size_t h = 0; h < heads; h++)
            compare_typed(ca, got + h * n * elem, want + h * n * elem, bf16, n);
        if (!ca_canary_intact(5, bytes)) ca_fail(ca, "wrote before the row");
    }
}

void bench_norm_rope(struct checkasm *ca) {
    enum { HALF = 64, HEADS = BENCH_N / (2 * HALF) };
    struct gwen_bf16 *y = ca_buffer(2, BENCH_N * sizeof *y);
    float *w = plain(ca, 1), *x = plain(ca, 0);
    ca_shape(ca, "heads %d half %d", HEADS, HALF);
    while (ca_bench_running(ca)) ca->k.norm_rope(y, true, x, HEADS, HALF, w, 1e-6f, w, w + HALF);
    ca_bench_report(ca, 0, 6.0 * BENCH_N, 0);
}

void check_swiglu(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t n = ca_range(ca, 0, MOST), m = ca_range(ca, 1, 4);
        const size_t stride = (n + 15) / 16 * 32 + ca_range(ca, 0, 3), out = n + ca_range(ca, 0, 3);
        const bool bf16 = round % 2 == 0;
        const size_t elem = bf16 ? 2 : 4, bytes = m * out * elem;
        float *c = row(ca, 0, m * stride);
        char *want = ca_buffer(1, bytes), *got = ca_buffer(2, bytes);
        ca_fill_bytes(ca, got, bytes);
        memcpy(want, got, bytes);
        for (size_t i = 0; round % 3 == 0 && i < m * stride; i++) c[i] *= 60.0f;
        ca_shape(ca, "m %zu n %zu stride %zu bf16 %d", m, n, stride, bf16);
        ca->k.swiglu(got, out * elem, bf16, c, stride, m, n);
        gwen_ref_swiglu(want, out * elem, bf16, c, stride, m, n);
        for (size_t i = 0; i < m; i++)
            compare_typed(ca, got + i * out * elem, want + i * out * elem, bf16, out);
        if (!ca_canary_intact(2, bytes)) ca_fail(ca, "wrote before the row");
    }
}

void bench_swiglu(struct checkasm *ca) {
    enum { COLS = 64, ROWS = BENCH_N / COLS };
    struct gwen_bf16 *y = ca_buffer(2, BENCH_N * sizeof *y);
    float *c = plain(ca, 0);
    ca_shape(ca, "m %d n %d bf16", ROWS, COLS / 2);
    while (ca_bench_running(ca)) ca->k.swiglu(y, COLS, true, c, COLS, ROWS, COLS / 2);
    ca_bench_report(ca, 0, 5.0 * BENCH_N, 0);
}

/* --- add, scale, divide --------------------------------------------------------------------- */
void check_add(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t n = ca_range(ca, 0, MOST);
        float *got = row(ca, 0, n), *want = copy(1, got, n), *x = row(ca, 2, n);
        ca_shape(ca, "n %zu", n);
        ca->k.add(got, x, n);
        gwen_ref_add(want, x, n);
        compare(ca, 0, got, want, n);
    }
}

void bench_add(struct checkasm *ca) {
    float *x = plain(ca, 1), *y = plain(ca, 0);
    while (ca_bench_running(ca)) ca->k.add(y, x, BENCH_N);
    ca_bench_report(ca, 0, 12.0 * BENCH_N, 0);
}

static void check_by_number(struct checkasm *ca, void (*kernel)(float *, float, size_t),
                            void (*reference)(float *, float, size_t)) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t n = ca_range(ca, 0, MOST);
        float *got = row(ca, 0, n), *want = copy(1, got, n);
        const float s = number(ca);
        ca_shape(ca, "n %zu s %a", n, (double)s);
        kernel(got, s, n);
        reference(want, s, n);
        compare(ca, 0, got, want, n);
    }
}

void check_scale(struct checkasm *ca) { check_by_number(ca, ca->k.scale, gwen_ref_scale); }
void check_divide(struct checkasm *ca) { check_by_number(ca, ca->k.divide, gwen_ref_divide); }

static void bench_by_one(struct checkasm *ca, void (*kernel)(float *, float, size_t)) {
    float *y = plain(ca, 0);
    while (ca_bench_running(ca)) kernel(y, 1.0f, BENCH_N);
    ca_bench_report(ca, 0, 8.0 * BENCH_N, 0);
}

void bench_scale(struct checkasm *ca) { bench_by_one(ca, ca->k.scale); }
void bench_divide(struct checkasm *ca) { bench_by_one(ca, ca->k.divide); }

/* --- exp_sub, sum_exp_sub ------------------------------------------------------------------- */
/* Arguments of exp: every second row spread over its whole range. */
static float *exponents(struct checkasm *ca, int round, size_t n) {
    float *x = row(ca, 0, n);
    for (size_t i = 0; round % 2 == 0 && i < n; i++) x[i] *= 50.0f;
    return x;
}

/* The arguments at which exp changes its ways, and their neighbours. */
static void check_exp_edges(struct checkasm *ca) {
    static const float edges[] = {GWEN_EXP_MIN, GWEN_EXP_MAX, 0.0f, INFINITY};
    float *x = ca_buffer(0, 24 * sizeof *x), *got = ca_buffer(1, 24 * sizeof *x), want[24];
    for (int i = 0; i < 24; i++) {
        x[i] = edges[i % 4];
        for (int step = i / 4; step > 0; step--) x[i] = nextafterf(x[i], i < 12 ? 200 : -200);
    }
    ca_shape(ca, "the edges of exp");
    ca->k.exp_sub(got, x, 0.0f, 24);
    gwen_ref_exp_sub(want, x, 0.0f, 24);
    compare(ca, 1, got, want, 24);
}

void check_exp_sub(struct checkasm *ca) {
    check_exp_edges(ca);
    for (int round = 0; round < ca->rounds; round++) {
        const size_t n = ca_range(ca, 0, MOST);
        float *x = exponents(ca, round, n), *want = ca_buffer(1, n * sizeof *x);
        float *got = round % 3 == 0 ? copy(2, x, n) : row(ca, 2, n);
        const float sub = number(ca);
        ca_shape(ca, "n %zu sub %a in place %d", n, (double)sub, round % 3 == 0);
        ca->k.exp_sub(got, round % 3 == 0 ? got : x, sub, n);
        gwen_ref_exp_sub(want, x, sub, n);
        compare(ca, 2, got, want, n);
    }
}

void bench_exp_sub(struct checkasm *ca) {
    float *y = ca_buffer(1, BENCH_N * sizeof *y), *x = plain(ca, 0);
    while (ca_bench_running(ca)) ca->k.exp_sub(y, x, 1.0f, BENCH_N);
    ca_bench_report(ca, 0, 8.0 * BENCH_N, 0);
}

void check_sum_exp_sub(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t n = ca_range(ca, 0, MOST);
        float *x = exponents(ca, round, n);
        const float sub = number(ca);
        ca_shape(ca, "n %zu sub %a", n, (double)sub);
        compare_one(ca, ca->k.sum_exp_sub(x, sub, n), gwen_ref_sum_exp_sub(x, sub, n));
    }
}

void bench_sum_exp_sub(struct checkasm *ca) {
    volatile float sink = 0;
    float *x = plain(ca, 0);
    while (ca_bench_running(ca)) sink = ca->k.sum_exp_sub(x, 1.0f, BENCH_N);
    (void)sink;
    ca_bench_report(ca, 0, 4.0 * BENCH_N, 0);
}

/* --- max, argmax ---------------------------------------------------------------------------- */
/* A row for which the maximum is hard: ties, both zeros, NaNs only, infinities only. */
static float *contest(struct checkasm *ca, int round, size_t n) {
    static const float few[] = {0.0f, -0.0f, 1.0f, -1.0f};
    float *x = row(ca, 0, n);
    for (size_t i = 0; i < n; i++) {
        if (round % 4 == 0) x[i] = few[ca_random(ca) % (round % 8 == 0 ? 4 : 2)];
        if (round % 16 == 1) x[i] = -INFINITY;
        if (round % 16 == 2 || (round % 16 == 1 && ca_random(ca) % 2 != 0)) x[i] = NAN;
    }
    ca_shape(ca, "n %zu kind %d", n, round % 16);
    return x;
}

void check_max(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t n = ca_range(ca, 1, MOST);
        const float *x = contest(ca, round, n);
        compare_one(ca, ca->k.max(x, n), gwen_ref_max(x, n));
    }
}

void bench_max(struct checkasm *ca) {
    volatile float sink = 0;
    float *x = plain(ca, 0);
    while (ca_bench_running(ca)) sink = ca->k.max(x, BENCH_N);
    (void)sink;
    ca_bench_report(ca, 0, 4.0 * BENCH_N, 0);
}

void check_argmax(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t n = ca_range(ca, 1, MOST);
        const float *x = contest(ca, round, n);
        const size_t got = ca->k.argmax(x, n), want = gwen_ref_argmax(x, n);
        ca->compared++;
        if (got != want) ca_fail(ca, "index %zu, the reference has %zu", got, want);
    }
}

void bench_argmax(struct checkasm *ca) {
    volatile size_t sink = 0;
    float *x = plain(ca, 0);
    x[BENCH_N - 1] = 3.0f;
    while (ca_bench_running(ca)) sink = ca->k.argmax(x, BENCH_N);
    (void)sink;
    ca_bench_report(ca, 0, 4.0 * BENCH_N, 0);
}

void check_block_stats(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t n = round % 4 == 0 ? 64 : ca_range(ca, 1, MOST), m = ca_range(ca, 1, 5);
        const size_t stride = n + ca_range(ca, 0, 5), gap = ca_range(ca, 1, 3);
        float *x = row(ca, 0, m * stride), want[2][15] = {{0}}, got[2][15] = {{0}};
        ca_shape(ca, "m %zu n %zu", m, n);
        ca->k.block_stats(x, stride, m, n, got[0], got[1], gap);
        gwen_ref_block_stats(x, stride, m, n, want[0], want[1], gap);
        ca_same_f32(ca, got[0], want[0], 15);
        ca_same_f32(ca, got[1], want[1], 15);
    }
}

void bench_block_stats(struct checkasm *ca) {
    enum { COLS = 64, ROWS = BENCH_N / COLS };
    float *x = plain(ca, 0), largest[ROWS], sum[ROWS];
    ca_shape(ca, "m %d n %d", ROWS, COLS);
    while (ca_bench_running(ca)) ca->k.block_stats(x, COLS, ROWS, COLS, largest, sum, 1);
    ca_bench_report(ca, 0, 4.0 * BENCH_N, 0);
}

/* --- softmax_block -------------------------------------------------------------------------- */
enum { SOFTMAX_ROWS = 37, SOFTMAX_O = 40 };

void check_softmax_block(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t n = 16 * ca_range(ca, 1, GWEN_SOFTMAX_MAX / 16),
                     m = ca_range(ca, 1, SOFTMAX_ROWS);
        const size_t stride = n + 16 * ca_range(ca, 0, 2), all = (m - 1) * stride + n;
        const bool bf16 = round % 2 == 0;
        float *got_s = row(ca, 0, all), *want_s = copy(1, got_s, all);
        float *got_o = row(ca, 2, m * SOFTMAX_O), *want_o = copy(3, got_o, m * SOFTMAX_O);
        struct gwen_bf16 *got_p = ca_buffer(4, all * sizeof *got_p);
        struct gwen_bf16 *want_p = ca_buffer(5, all * sizeof *want_p);
        float state[4][SOFTMAX_ROWS];
        uint8_t visible[SOFTMAX_ROWS];
        ca_fill_bytes(ca, got_p, all * sizeof *got_p);
        memcpy(want_p, got_p, all * sizeof *want_p);
        for (size_t i = 0; i < m; i++) {
            visible[i] = (uint8_t)(round % 3 == 0 ? n : ca_range(ca, 1, n));
            state[0][i] = state[1][i] = (round + (int)i) % 3 == 0 ? -INFINITY : number(ca);
            state[2][i] = state[3][i] = number(ca);
        }
        struct gwen_softmax a = {.m = m,
                                 .n = n,
                                 .s = got_s,
                                 .s_stride = stride,
                                 .p = bf16 ? got_p : NULL,
                                 .p_stride = stride,
                                 .visible = visible,
                                 .scale = round % 3 == 0 ? number(ca) : 0.125f * (float)(round % 5),
                                 .max = state[0],
                                 .sum = state[2],
                                 .o = round % 4 == 0 ? NULL : got_o,
                                 .o_n = SOFTMAX_O - 3,
                                 .o_stride = SOFTMAX_O};
        struct gwen_softmax b = a;
        b.s = want_s, b.max = state[1], b.sum = state[3];
        if (bf16) b.p = want_p;
        if (b.o != NULL) b.o = want_o;
        ca_shape(ca, "m %zu n %zu scale %a bf16 %d", m, n, (double)a.scale, bf16);
        ca->k.softmax_block(&a);
        gwen_ref_softmax_block(&b);
        if (bf16)
            for (size_t i = 0; i < all; i++) compare_typed(ca, got_p + i, want_p + i, true, 1);
        else
            compare(ca, 0, got_s, want_s, all);
        compare(ca, 2, got_o, want_o, m * SOFTMAX_O);
        ca_same_f32(ca, state[0], state[1], m);
        ca_same_f32(ca, state[2], state[3], m);
    }
}

void bench_softmax_block(struct checkasm *ca) {
    enum { BLOCK = 64, ROWS = BENCH_N / BLOCK };
    float *x = plain(ca, 0), most[ROWS], sum[ROWS];
    struct gwen_bf16 *p = ca_buffer(1, BENCH_N * sizeof *p);
    uint8_t visible[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        most[i] = -INFINITY;
        sum[i] = 0;
        visible[i] = BLOCK;
    }
    const struct gwen_softmax a = {.m = ROWS,
                                   .n = BLOCK,
                                   .s = x,
                                   .s_stride = BLOCK,
                                   .p = p,
                                   .p_stride = BLOCK,
                                   .visible = visible,
                                   .scale = 1.0f,
                                   .max = most,
                                   .sum = sum};
    ca_shape(ca, "m %d n %d bf16", ROWS, BLOCK);
    while (ca_bench_running(ca)) ca->k.softmax_block(&a);
    ca_bench_report(ca, 0, 6.0 * BENCH_N, 0);
}

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

/* --- rmsnorm, rope, swiglu ------------------------------------------------------------------- */
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

void check_swiglu(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t n = ca_range(ca, 0, MOST);
        float *gate = row(ca, 0, n), *up = row(ca, 1, n), *want = ca_buffer(3, n * sizeof *up);
        float *got = row(ca, 2, n);
        const float *from_gate = gate, *from_up = up;
        if (round % 3 == 0) from_gate = got = copy(2, gate, n);
        if (round % 3 == 1) from_up = got = copy(2, up, n);
        for (size_t i = 0; round % 2 == 0 && i < n; i++) gate[i] *= 60.0f;
        if (round % 3 == 0) memcpy(got, gate, n * sizeof *got);
        ca_shape(ca, "n %zu in place %d", n, round % 3);
        ca->k.swiglu(got, from_gate, from_up, n);
        gwen_ref_swiglu(want, gate, up, n);
        compare(ca, 2, got, want, n);
    }
}

void bench_swiglu(struct checkasm *ca) {
    float *y = ca_buffer(2, BENCH_N * sizeof *y), *up = plain(ca, 1), *gate = plain(ca, 0);
    while (ca_bench_running(ca)) ca->k.swiglu(y, gate, up, BENCH_N);
    ca_bench_report(ca, 0, 12.0 * BENCH_N, 0);
}

/* --- add, scale, divide ----------------------------------------------------------------------- */
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

/* --- exp_sub, sum_exp_sub ----------------------------------------------------------------------
 */
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

/* --- max, argmax -------------------------------------------------------------------------------
 */
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

/* --- softmax_block ------------------------------------------------------------------------------
 */
void check_softmax_block(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t n = 16 * ca_range(ca, 1, 10), visible = ca_range(ca, 1, n);
        float *got = row(ca, 0, n), *want = copy(1, got, n);
        const float scale = round % 3 == 0 ? number(ca) : 0.125f * (float)(round % 5);
        float m = round % 2 == 0 ? -INFINITY : number(ca), l = number(ca);
        float got_state[3] = {m, l, 0}, want_state[3] = {m, l, 0};
        ca_shape(ca, "n %zu visible %zu scale %a m %a l %a", n, visible, (double)scale, (double)m,
                 (double)l);
        got_state[2] = ca->k.softmax_block(got, n, visible, scale, &got_state[0], &got_state[1]);
        want_state[2] =
            gwen_ref_softmax_block(want, n, visible, scale, &want_state[0], &want_state[1]);
        compare(ca, 0, got, want, n);
        ca_same_f32(ca, got_state, want_state, 3);
    }
}

void bench_softmax_block(struct checkasm *ca) {
    enum { BLOCK = 64 };
    float *x = plain(ca, 0), m = -INFINITY, l = 0;
    ca_shape(ca, "n %d", BLOCK);
    while (ca_bench_running(ca)) ca->k.softmax_block(x, BLOCK, BLOCK, 1.0f, &m, &l);
    ca_bench_report(ca, 0, 8.0 * BLOCK, 0);
}

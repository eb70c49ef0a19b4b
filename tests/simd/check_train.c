/* check_train.c - the kernels of the backward pass and the optimizer. */
#include "checkasm.h"
#include "ref/math.h"

#include <string.h>

enum { MOST = 150, BENCH_N = 4096 };

static float *row(struct checkasm *ca, int slot, size_t n, enum ca_values values) {
    float *x = ca_buffer(slot, n * sizeof *x);
    ca_fill_f32(ca, x, n, values);
    return x;
}

static float *copy(int slot, const float *x, size_t n) {
    float *y = ca_buffer(slot, n * sizeof *y);
    memcpy(y, x, n * sizeof *y);
    return y;
}

static void compare(struct checkasm *ca, int slot, const float *got, const float *want, size_t n) {
    ca_same_f32(ca, got, want, n);
    if (!ca_canary_intact(slot, n * sizeof *got)) ca_fail(ca, "wrote before the row");
}

static float *plain(struct checkasm *ca, int slot) { return row(ca, slot, BENCH_N, CA_PLAIN); }

static void start(struct checkasm *ca) {
    ca_shape(ca, "n %d", BENCH_N);
    ca_bench_start(ca);
}

/* --- moving ---------------------------------------------------------------------------------- */
void check_transpose_32(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t rows = ca_range(ca, 0, 40), cols = ca_range(ca, 0, 40);
        const size_t src_stride = cols + ca_range(ca, 0, 3), dst_stride = rows + ca_range(ca, 0, 3);
        const size_t n_src = rows * src_stride, n_dst = cols * dst_stride;
        uint32_t *src = ca_buffer(0, 4 * n_src), *got = ca_buffer(1, 4 * n_dst);
        uint32_t *want = ca_buffer(2, 4 * n_dst);
        ca_fill_bytes(ca, src, 4 * n_src);
        ca_fill_bytes(ca, got, 4 * n_dst);
        memcpy(want, got, 4 * n_dst);
        ca_shape(ca, "rows %zu of %zu, cols %zu of %zu", rows, dst_stride, cols, src_stride);
        ca->k.transpose_32(got, dst_stride, src, src_stride, rows, cols);
        gwen_ref_transpose_32(want, dst_stride, src, src_stride, rows, cols);
        ca_same_bytes(ca, got, want, 4 * n_dst);
        if (!ca_canary_intact(1, 4 * n_dst)) ca_fail(ca, "wrote before the output");
    }
}

void bench_transpose_32(struct checkasm *ca) {
    uint32_t *dst = ca_buffer(1, 4 * BENCH_N), *src = ca_buffer(0, 4 * BENCH_N);
    ca_fill_bytes(ca, src, 4 * BENCH_N);
    ca_shape(ca, "64 x 64");
    ca_bench_start(ca);
    while (ca_bench_running(ca)) ca->k.transpose_32(dst, 64, src, 64, 64, 64);
    ca_bench_report(ca, 0, 8.0 * BENCH_N, 0);
}

void check_zip_16(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t n = ca_range(ca, 0, MOST);
        uint16_t *a = ca_buffer(0, 2 * n), *b = ca_buffer(1, 2 * n);
        uint16_t *got = ca_buffer(2, 4 * n), *want = ca_buffer(3, 4 * n);
        ca_fill_bytes(ca, a, 2 * n);
        ca_fill_bytes(ca, b, 2 * n);
        ca_shape(ca, "n %zu", n);
        ca->k.zip_16(got, a, b, n);
        gwen_ref_zip_16(want, a, b, n);
        ca_same_bytes(ca, got, want, 4 * n);
        if (!ca_canary_intact(2, 4 * n)) ca_fail(ca, "wrote before the output");
    }
}

void bench_zip_16(struct checkasm *ca) {
    uint16_t *a = ca_buffer(0, 2 * BENCH_N), *b = ca_buffer(1, 2 * BENCH_N);
    uint16_t *dst = ca_buffer(2, 4 * BENCH_N);
    ca_fill_bytes(ca, a, 2 * BENCH_N);
    ca_fill_bytes(ca, b, 2 * BENCH_N);
    start(ca);
    while (ca_bench_running(ca)) ca->k.zip_16(dst, a, b, BENCH_N);
    ca_bench_report(ca, 0, 8.0 * BENCH_N, 0);
}

/* --- sums ------------------------------------------------------------------------------------ */
void check_dot(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t n = ca_range(ca, 0, MOST);
        float *x = row(ca, 0, n, ca_draw_values(ca)), *y = row(ca, 1, n, ca_draw_values(ca));
        ca_shape(ca, "n %zu", n);
        const float got = ca->k.dot(x, y, n), want = gwen_ref_dot(x, y, n);
        ca_same_f32(ca, &got, &want, 1);
    }
}

void bench_dot(struct checkasm *ca) {
    float *x = plain(ca, 0), *y = plain(ca, 1);
    volatile float sink = 0;
    start(ca);
    while (ca_bench_running(ca)) sink = ca->k.dot(x, y, BENCH_N);
    (void)sink;
    ca_bench_report(ca, 0, 8.0 * BENCH_N, 0);
}

void check_add_product(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t n = ca_range(ca, 0, MOST);
        const enum ca_values values = ca_draw_values(ca);
        float *a = row(ca, 0, n, values), *b = row(ca, 1, n, values), s;
        float *got = row(ca, 2, n, values), *want = copy(3, got, n);
        ca_fill_f32(ca, &s, 1, values);
        ca_shape(ca, "n %zu", n);
        ca->k.add_product(got, a, s, b, n);
        gwen_ref_add_product(want, a, s, b, n);
        compare(ca, 2, got, want, n);
    }
}

void bench_add_product(struct checkasm *ca) {
    float *a = plain(ca, 0), *b = plain(ca, 1), *y = plain(ca, 2);
    start(ca);
    while (ca_bench_running(ca)) ca->k.add_product(y, a, 1e-6f, b, BENCH_N);
    ca_bench_report(ca, 0, 16.0 * BENCH_N, 0);
}

/* --- rmsnorm, swiglu, log-softmax --------------------------------------------------------------
 */
void check_rmsnorm_back(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t n = ca_range(ca, 1, MOST);
        const enum ca_values values = ca_draw_values(ca);
        float *dy = row(ca, 0, n, values), *x = row(ca, 1, n, values), *w = row(ca, 2, n, CA_PLAIN);
        float *got = row(ca, 3, n, CA_PLAIN), *want = copy(4, got, n);
        ca_shape(ca, "n %zu", n);
        const float got_inv = ca->k.rmsnorm_back(got, dy, x, w, n, 1e-6f);
        const float want_inv = gwen_ref_rmsnorm_back(want, dy, x, w, n, 1e-6f);
        compare(ca, 3, got, want, n);
        ca_same_f32(ca, &got_inv, &want_inv, 1);
    }
}

void bench_rmsnorm_back(struct checkasm *ca) {
    float *dx = plain(ca, 0), *dy = plain(ca, 1), *x = plain(ca, 2), *w = plain(ca, 3);
    start(ca);
    while (ca_bench_running(ca)) {
        dx[0] = 0;
        ca->k.rmsnorm_back(dx, dy, x, w, BENCH_N, 1e-6f);
    }
    ca_bench_report(ca, 0, 20.0 * BENCH_N, 0);
}

void check_swiglu_back(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t n = ca_range(ca, 0, MOST);
        const enum ca_values values = ca_draw_values(ca);
        float *dy = row(ca, 0, n, values), *gate = row(ca, 1, n, values);
        float *up = row(ca, 2, n, values), *want = ca_buffer(5, n * sizeof *up);
        for (size_t i = 0; round % 2 == 0 && i < n; i++) gate[i] *= 60.0f;
        float *d_gate = copy(3, gate, n), *d_up = copy(4, up, n);
        float *want_up = ca_buffer(6, n * sizeof *up);
        ca_shape(ca, "n %zu in place %d", n, round % 3 == 0);
        if (round % 3 == 0)
            ca->k.swiglu_back(d_gate, d_up, dy, d_gate, d_up, n);
        else
            ca->k.swiglu_back(d_gate, d_up, dy, gate, up, n);
        gwen_ref_swiglu_back(want, want_up, dy, gate, up, n);
        compare(ca, 3, d_gate, want, n);
        compare(ca, 4, d_up, want_up, n);
    }
}

void bench_swiglu_back(struct checkasm *ca) {
    float *dy = plain(ca, 0), *gate = plain(ca, 1), *up = plain(ca, 2);
    float *d_gate = plain(ca, 3), *d_up = plain(ca, 4);
    start(ca);
    while (ca_bench_running(ca)) ca->k.swiglu_back(d_gate, d_up, dy, gate, up, BENCH_N);
    ca_bench_report(ca, 0, 20.0 * BENCH_N, 0);
}

void check_logprob_back(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t n = ca_range(ca, 0, MOST), target = ca_range(ca, 0, 2 * MOST);
        const enum ca_values values = ca_draw_values(ca);
        float *z = row(ca, 0, n, values), *want = ca_buffer(2, n * sizeof *z), max = 3.0f, w;
        float *got = round % 2 == 0 ? copy(1, z, n) : row(ca, 1, n, CA_ANY);
        ca_fill_f32(ca, &w, 1, values);
        ca_shape(ca, "n %zu target %zu in place %d", n, target, round % 2 == 0);
        ca->k.logprob_back(got, round % 2 == 0 ? got : z, max, 0.5f * w, w, target, n);
        gwen_ref_logprob_back(want, z, max, 0.5f * w, w, target, n);
        compare(ca, 1, got, want, n);
    }
}

void bench_logprob_back(struct checkasm *ca) {
    float *z = plain(ca, 0), *dz = plain(ca, 1);
    start(ca);
    while (ca_bench_running(ca)) ca->k.logprob_back(dz, z, 8.0f, 0.1f, 0.1f, 7, BENCH_N);
    ca_bench_report(ca, 0, 8.0 * BENCH_N, 0);
}

/* --- the optimizer ------------------------------------------------------------------------------
 */
static const struct gwen_adamw ADAMW = {0.7f, 0.999f, 0.1f, 0.95f, 0.05f, 1e-3f, 3.0f, 1e-8f};

void check_adamw(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t n = ca_range(ca, 0, MOST);
        const enum ca_values values = ca_draw_values(ca);
        float *w = row(ca, 0, n, values), *m = row(ca, 1, n, values), *v = row(ca, 2, n, CA_PLAIN);
        float *g = row(ca, 3, n, values);
        for (size_t i = 0; i < n; i++) v[i] = fabsf(v[i]);
        float *want_w = copy(4, w, n), *want_m = copy(5, m, n), *want_v = copy(6, v, n);
        ca_shape(ca, "n %zu", n);
        ca->k.adamw(w, m, v, g, &ADAMW, n);
        gwen_ref_adamw(want_w, want_m, want_v, g, &ADAMW, n);
        compare(ca, 0, w, want_w, n);
        compare(ca, 1, m, want_m, n);
        compare(ca, 2, v, want_v, n);
    }
}

void bench_adamw(struct checkasm *ca) {
    float *w = plain(ca, 0), *m = plain(ca, 1), *v = plain(ca, 2), *g = plain(ca, 3);
    for (size_t i = 0; i < BENCH_N; i++) v[i] = fabsf(v[i]);
    start(ca);
    while (ca_bench_running(ca)) ca->k.adamw(w, m, v, g, &ADAMW, BENCH_N);
    ca_bench_report(ca, 0, 28.0 * BENCH_N, 0);
}

static struct gwen_rounding draw_rounding(struct checkasm *ca) {
    struct gwen_rounding r;
    ca_fill_bytes(ca, &r, sizeof r);
    r.position -= r.position % GWEN_ROUNDING_POSITIONS;
    if (r.sample % 2 == 0) r.position |= 0xfffffff0; /* the next position is above 2^32 */
    return r;
}

void check_random_bf16(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t n = ca_range(ca, 0, 3 * MOST);
        float *x = row(ca, 0, n, ca_draw_values(ca));
        const struct gwen_rounding r = draw_rounding(ca);
        struct gwen_bf16 *got = ca_buffer(1, 2 * n), *want = ca_buffer(2, 2 * n);
        ca_shape(ca, "n %zu", n);
        ca->k.random_bf16(got, x, n, &r);
        gwen_ref_random_bf16(want, x, n, &r);
        ca_same_bytes(ca, got, want, 2 * n);
        if (!ca_canary_intact(1, 2 * n)) ca_fail(ca, "wrote before the row");
    }
}

void bench_random_bf16(struct checkasm *ca) {
    float *x = plain(ca, 0);
    struct gwen_bf16 *y = ca_buffer(1, 2 * BENCH_N);
    const struct gwen_rounding r = draw_rounding(ca);
    start(ca);
    while (ca_bench_running(ca)) ca->k.random_bf16(y, x, BENCH_N, &r);
    ca_bench_report(ca, 0, 6.0 * BENCH_N, 0);
}

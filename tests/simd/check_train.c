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

/* --- moving --------------------------------------------------------------------------------- */
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

/* --- sums ----------------------------------------------------------------------------------- */
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

/* --- norms, swiglu, log-softmax ------------------------------------------------------------- */
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

/* Results that are bf16 or float, `bytes` in all. */
static void same_rows(struct checkasm *ca, int slot, const void *got, const void *want, bool bf16,
                      size_t bytes) {
    const size_t n = bytes / (bf16 ? 2 : 4);
    for (size_t i = 0; bf16 && i < n; i++) {
        const float a = gwen_bf16_to_float(((const struct gwen_bf16 *)got)[i]);
        const float b = gwen_bf16_to_float(((const struct gwen_bf16 *)want)[i]);
        ca_same_f32(ca, &a, &b, 1);
    }
    if (!bf16) ca_same_f32(ca, got, want, n);
    if (!ca_canary_intact(slot, bytes)) ca_fail(ca, "wrote before the rows");
}

void check_norm_rope_back(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t half = round % 50 == 0 ? ca_range(ca, 250, 300) : ca_range(ca, 1, 70);
        const size_t heads = ca_range(ca, 0, 3), n = heads * 2 * half;
        const bool bf16 = ca_range(ca, 0, 1) == 1, norm = ca_range(ca, 0, 3) > 0;
        const size_t bytes = n * (bf16 ? 2 : 4);
        float *d = row(ca, 0, n, CA_PLAIN), *want_d = copy(1, d, n), *x = row(ca, 2, n, CA_PLAIN);
        float *w = norm ? row(ca, 3, 2 * half, CA_PLAIN) : NULL;
        float *cosines = row(ca, 4, half, CA_PLAIN), *sines = row(ca, 5, half, CA_PLAIN);
        float inv[3], want_inv[3];
        void *got = ca_buffer(6, bytes), *want = ca_buffer(7, bytes);
        ca_shape(ca, "heads %zu half %zu bf16 %d norm %d", heads, half, bf16, norm);
        ca->k.norm_rope_back(got, bf16, d, x, heads, half, w, 1e-6f, cosines, sines, inv);
        gwen_ref_norm_rope_back(want, bf16, want_d, x, heads, half, w, 1e-6f, cosines, sines,
                                want_inv);
        compare(ca, 0, d, want_d, n);
        same_rows(ca, 6, got, want, bf16, bytes);
        ca_same_f32(ca, inv, want_inv, heads);
    }
}

void bench_norm_rope_back(struct checkasm *ca) {
    enum { HALF = 64, HEADS = BENCH_N / (2 * HALF) };
    float *d = plain(ca, 0), *x = plain(ca, 1), *w = plain(ca, 2), *angles = plain(ca, 3);
    float inv[HEADS];
    struct gwen_bf16 *y = ca_buffer(4, 2 * BENCH_N);
    start(ca);
    while (ca_bench_running(ca))
        ca->k.norm_rope_back(y, true, d, x, HEADS, HALF, w, 1e-6f, angles, angles, inv);
    ca_bench_report(ca, 0, 14.0 * BENCH_N, 0);
}

void check_swiglu_back(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t m = ca_range(ca, 0, 7), n = ca_range(ca, 1, MOST);
        const size_t whole = (n + GWEN_PANEL - 1) / GWEN_PANEL * GWEN_PANEL;
        const bool bf16 = ca_range(ca, 0, 1) == 1;
        const size_t c_stride = 2 * whole + ca_range(ca, 0, 3), dy_stride = n + ca_range(ca, 0, 3);
        const size_t bytes = 2 * whole * (bf16 ? 2 : 4);
        const enum ca_values values = ca_draw_values(ca);
        float *dy = row(ca, 0, m * dy_stride, values), *c = row(ca, 1, m * c_stride, values);
        for (size_t i = 0; round % 2 == 0 && i < m * c_stride; i++) c[i] *= 60.0f;
        void *got = ca_buffer(2, m * bytes), *want = ca_buffer(3, m * bytes);
        ca_shape(ca, "m %zu n %zu bf16 %d", m, n, bf16);
        ca->k.swiglu_back(got, bytes, bf16, dy, dy_stride, c, c_stride, m, n);
        gwen_ref_swiglu_back(want, bytes, bf16, dy, dy_stride, c, c_stride, m, n);
        same_rows(ca, 2, got, want, bf16, m * bytes);
    }
}

void bench_swiglu_back(struct checkasm *ca) {
    float *dy = plain(ca, 0), *c = ca_buffer(1, 8 * BENCH_N), *d = ca_buffer(2, 4 * BENCH_N);
    ca_fill_f32(ca, c, 2 * BENCH_N, CA_PLAIN);
    start(ca);
    while (ca_bench_running(ca)) ca->k.swiglu_back(d, 256, true, dy, 64, c, 128, BENCH_N / 64, 64);
    ca_bench_report(ca, 0, 16.0 * BENCH_N, 0);
}

void check_logprob_back(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t m = ca_range(ca, 0, 5), n = round % 2 == 0 ? 64 : ca_range(ca, 1, MOST);
        const enum ca_values values = ca_draw_values(ca);
        const bool bf16 = ca_range(ca, 0, 1) == 1, in_place = !bf16 && ca_range(ca, 0, 1) == 1;
        const size_t row_bytes = n * (bf16 ? 2 : 4), bytes = m * row_bytes;
        float *z = row(ca, 0, m * n, values), *want_z = copy(1, z, m * n);
        float *max = row(ca, 2, m, CA_PLAIN), *p = row(ca, 3, m, values),
              *w = row(ca, 4, m, values);
        int32_t *target = ca_buffer(5, m * sizeof *target);
        void *got = in_place ? z : ca_buffer(6, bytes), *want = ca_buffer(7, bytes);
        for (size_t i = 0; i < m; i++) target[i] = (int32_t)ca_range(ca, 0, 4 * MOST);
        struct gwen_logprob_back a = {.m = m,
                                      .n = n,
                                      .z = z,
                                      .z_stride = n,
                                      .dz = got,
                                      .dz_stride = row_bytes,
                                      .bf16 = bf16,
                                      .temperature = round % 3 == 0 ? 0.7f : 1.0f,
                                      .max = max,
                                      .p = p,
                                      .w = w,
                                      .target = target,
                                      .first = (int32_t)ca_range(ca, 0, 3 * MOST)};
        ca_shape(ca, "m %zu n %zu bf16 %d in place %d", m, n, bf16, in_place);
        ca->k.logprob_back(&a);
        a.z = want_z;
        a.dz = want;
        gwen_ref_logprob_back(&a);
        same_rows(ca, in_place ? 0 : 6, got, want, bf16, bytes);
    }
}

void bench_logprob_back(struct checkasm *ca) {
    enum { N = 64, M = BENCH_N / N };
    float *z = plain(ca, 0), *dz = plain(ca, 1), *rows = plain(ca, 2);
    int32_t *target = ca_buffer(3, M * sizeof *target);
    memset(target, 0, M * sizeof *target);
    const struct gwen_logprob_back a = {.m = M,
                                        .n = N,
                                        .z = z,
                                        .z_stride = N,
                                        .dz = dz,
                                        .dz_stride = 2 * N,
                                        .bf16 = true,
                                        .temperature = 1,
                                        .max = rows,
                                        .p = rows,
                                        .w = rows,
                                        .target = target};
    start(ca);
    while (ca_bench_running(ca)) ca->k.logprob_back(&a);
    ca_bench_report(ca, 0, 6.0 * BENCH_N, 0);
}

void check_softmax_back(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t m = ca_range(ca, 0, 9), n = 16 * ca_range(ca, 1, 4);
        const bool bf16 = ca_range(ca, 0, 1) == 1;
        float *p = row(ca, 0, m * n, CA_PLAIN), *ds = row(ca, 1, m * n, CA_PLAIN);
        float *want_p = copy(2, p, m * n), *want_ds = copy(3, ds, m * n);
        float *max = row(ca, 4, m, CA_PLAIN), *sum = row(ca, 5, m, CA_PLAIN);
        float *delta = row(ca, 6, m, CA_PLAIN);
        struct gwen_bf16 *out[4];
        uint8_t *visible = ca_buffer(7, m);
        for (int i = 0; i < 4; i++) out[i] = ca_buffer(8 + i, 2 * m * n);
        for (size_t i = 0; i < m; i++) {
            visible[i] = (uint8_t)ca_range(ca, 0, n);
            sum[i] = 1.0f + fabsf(sum[i]);
        }
        struct gwen_softmax_back a = {.m = m,
                                      .n = n,
                                      .p = p,
                                      .ds = ds,
                                      .stride = n,
                                      .p16 = bf16 ? out[0] : NULL,
                                      .ds16 = bf16 ? out[1] : NULL,
                                      .stride16 = n,
                                      .visible = visible,
                                      .scale = 0.3f,
                                      .max = max,
                                      .sum = sum,
                                      .delta = delta};
        ca_shape(ca, "m %zu n %zu bf16 %d", m, n, bf16);
        ca->k.softmax_back(&a);
        a.p = want_p;
        a.ds = want_ds;
        a.p16 = bf16 ? out[2] : NULL;
        a.ds16 = bf16 ? out[3] : NULL;
        gwen_ref_softmax_back(&a);
        same_rows(ca, bf16 ? 8 : 0, bf16 ? (void *)out[0] : p, bf16 ? (void *)out[2] : want_p, bf16,
                  m * n * (bf16 ? 2 : 4));
        same_rows(ca, bf16 ? 9 : 1, bf16 ? (void *)out[1] : ds, bf16 ? (void *)out[3] : want_ds,
                  bf16, m * n * (bf16 ? 2 : 4));
    }
}

void bench_softmax_back(struct checkasm *ca) {
    enum { N = 64, M = BENCH_N / N };
    float *p = plain(ca, 0), *ds = plain(ca, 1), *rows = plain(ca, 2);
    struct gwen_bf16 *p16 = ca_buffer(3, 2 * BENCH_N), *ds16 = ca_buffer(4, 2 * BENCH_N);
    uint8_t *visible = ca_buffer(5, M);
    memset(visible, N, M);
    const struct gwen_softmax_back a = {.m = M,
                                        .n = N,
                                        .p = p,
                                        .ds = ds,
                                        .stride = N,
                                        .p16 = p16,
                                        .ds16 = ds16,
                                        .stride16 = N,
                                        .visible = visible,
                                        .scale = 0.1f,
                                        .max = rows,
                                        .sum = rows,
                                        .delta = rows};
    start(ca);
    while (ca_bench_running(ca)) ca->k.softmax_back(&a);
    ca_bench_report(ca, 0, 12.0 * BENCH_N, 0);
}

/* --- the optimizer -------------------------------------------------------------------------- */
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

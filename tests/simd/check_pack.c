/* check_pack.c - packing of panels and conversions between formats. */
#include "checkasm.h"

#include <string.h>

/* --- packing -------------------------------------------------------------------------------- */
enum { PACK_CASES_K = 70 };

static void draw_pack(struct checkasm *ca, size_t *rows, size_t *k, size_t *stride) {
    *rows = ca_random(ca) % 3 == 0 ? GWEN_PANEL : ca_range(ca, 1, GWEN_PANEL);
    *k = ca_range(ca, 0, PACK_CASES_K);
    *stride = *k + ca_range(ca, 0, 9);
    ca_shape(ca, "rows %zu k %zu stride %zu", *rows, *k, *stride);
}

static void compare_pack(struct checkasm *ca, const void *got, const void *want, size_t bytes) {
    ca_same_bytes(ca, got, want, bytes);
    if (!ca_canary_intact(1, bytes)) ca_fail(ca, "wrote before the panel");
}

void check_pack_32(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        size_t rows, k, stride;
        draw_pack(ca, &rows, &k, &stride);
        const size_t in = ((rows - 1) * stride + k) * 4, out = k * GWEN_PANEL * 4;
        uint32_t *src = ca_buffer(0, in), *got = ca_buffer(1, out), *want = ca_buffer(2, out);
        ca_fill_bytes(ca, src, in);
        ca->k.pack_32(got, src, stride, rows, k);
        gwen_ref_pack_32(want, src, stride, rows, k);
        compare_pack(ca, got, want, out);
    }
}

static void check_16(struct checkasm *ca, size_t multiple,
                     void (*kernel)(uint16_t *, const uint16_t *, size_t, size_t, size_t),
                     void (*reference)(uint16_t *, const uint16_t *, size_t, size_t, size_t)) {
    for (int round = 0; round < ca->rounds; round++) {
        size_t rows, k, stride;
        draw_pack(ca, &rows, &k, &stride);
        const size_t in = ((rows - 1) * stride + k) * 2;
        const size_t out = (k + multiple - 1) / multiple * multiple * GWEN_PANEL * 2;
        uint16_t *src = ca_buffer(0, in), *got = ca_buffer(1, out), *want = ca_buffer(2, out);
        ca_fill_bytes(ca, src, in);
        kernel(got, src, stride, rows, k);
        reference(want, src, stride, rows, k);
        compare_pack(ca, got, want, out);
    }
}

void check_pack_16(struct checkasm *ca) { check_16(ca, 1, ca->k.pack_16, gwen_ref_pack_16); }
void check_pack_16x2(struct checkasm *ca) { check_16(ca, 2, ca->k.pack_16x2, gwen_ref_pack_16x2); }

enum { BENCH_K = 1024 };

void bench_pack_32(struct checkasm *ca) {
    const size_t bytes = (size_t)BENCH_K * GWEN_PANEL * 4;
    uint32_t *src = ca_buffer(0, bytes), *dst = ca_buffer(1, bytes);
    ca_shape(ca, "k %d", BENCH_K);
    ca_bench_start(ca);
    while (ca_bench_running(ca)) ca->k.pack_32(dst, src, BENCH_K, GWEN_PANEL, BENCH_K);
    ca_bench_report(ca, 0, (double)bytes, 0);
}

static void bench_16(struct checkasm *ca,
                     void (*kernel)(uint16_t *, const uint16_t *, size_t, size_t, size_t)) {
    const size_t bytes = (size_t)BENCH_K * GWEN_PANEL * 2;
    uint16_t *src = ca_buffer(0, bytes), *dst = ca_buffer(1, bytes);
    ca_shape(ca, "k %d", BENCH_K);
    ca_bench_start(ca);
    while (ca_bench_running(ca)) kernel(dst, src, BENCH_K, GWEN_PANEL, BENCH_K);
    ca_bench_report(ca, 0, (double)bytes, 0);
}

void bench_pack_16(struct checkasm *ca) { bench_16(ca, ca->k.pack_16); }
void bench_pack_16x2(struct checkasm *ca) { bench_16(ca, ca->k.pack_16x2); }

/* --- conversions ---------------------------------------------------------------------------- */
static void compare_16(struct checkasm *ca, const void *got, const void *want, size_t n) {
    ca_same_bytes(ca, got, want, 2 * n);
    if (!ca_canary_intact(1, 2 * n)) ca_fail(ca, "wrote before the output");
}

void check_f32_to_bf16(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t n = ca_range(ca, 0, 100);
        float *x = ca_buffer(0, 4 * n);
        struct gwen_bf16 *got = ca_buffer(1, 2 * n), *want = ca_buffer(2, 2 * n);
        ca_fill_f32(ca, x, n, ca_draw_values(ca));
        ca_shape(ca, "n %zu", n);
        ca->k.f32_to_bf16(got, x, n);
        gwen_ref_f32_to_bf16(want, x, n);
        compare_16(ca, got, want, n);
    }
}

void check_f32_to_f16(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t n = ca_range(ca, 0, 100);
        float *x = ca_buffer(0, 4 * n);
        struct gwen_f16 *got = ca_buffer(1, 2 * n), *want = ca_buffer(2, 2 * n);
        ca_fill_f32(ca, x, n, ca_draw_values(ca));
        /* Most floats are out of half's range: bring the exponents near it. */
        for (size_t i = 0; round % 2 == 0 && i < n; i++) {
            uint32_t bits;
            memcpy(&bits, &x[i], sizeof bits);
            bits = (bits & 0x807fffff) | (uint32_t)ca_range(ca, 95, 150) << 23;
            memcpy(&x[i], &bits, sizeof bits);
        }
        ca_shape(ca, "n %zu", n);
        ca->k.f32_to_f16(got, x, n);
        gwen_ref_f32_to_f16(want, x, n);
        compare_16(ca, got, want, n);
    }
}

/* Every value there is, in pieces of random length. */
void check_bf16_to_f32(struct checkasm *ca) {
    for (size_t next = 0; next < 0x10000;) {
        const size_t n = ca_range(ca, 1, 300);
        struct gwen_bf16 *x = ca_buffer(0, 2 * n);
        float *got = ca_buffer(1, 4 * n), *want = ca_buffer(2, 4 * n);
        for (size_t i = 0; i < n; i++) x[i].bits = (uint16_t)next++;
        ca_shape(ca, "n %zu", n);
        ca->k.bf16_to_f32(got, x, n);
        gwen_ref_bf16_to_f32(want, x, n);
        ca_same_f32(ca, got, want, n);
        if (!ca_canary_intact(1, 4 * n)) ca_fail(ca, "wrote before the output");
    }
}

void check_f16_to_f32(struct checkasm *ca) {
    for (size_t next = 0; next < 0x10000;) {
        const size_t n = ca_range(ca, 1, 300);
        struct gwen_f16 *x = ca_buffer(0, 2 * n);
        float *got = ca_buffer(1, 4 * n), *want = ca_buffer(2, 4 * n);
        for (size_t i = 0; i < n; i++) x[i].bits = (uint16_t)next++;
        ca_shape(ca, "n %zu", n);
        ca->k.f16_to_f32(got, x, n);
        gwen_ref_f16_to_f32(want, x, n);
        ca_same_f32(ca, got, want, n);
        if (!ca_canary_intact(1, 4 * n)) ca_fail(ca, "wrote before the output");
    }
}

void check_zip_bf16(struct checkasm *ca) {
    for (int round = 0; round < ca->rounds; round++) {
        const size_t n = ca_range(ca, 1, 100), stride = 32 + 2 * ca_range(ca, 0, 3);
        const size_t bytes = ((n - 1) / GWEN_PANEL * stride + 2 * ((n - 1) % GWEN_PANEL + 1)) * 2;
        float *a = ca_buffer(0, 4 * n), *b = ca_buffer(1, 4 * n);
        struct gwen_bf16 *got = ca_buffer(2, bytes), *want = ca_buffer(3, bytes);
        ca_fill_f32(ca, a, n, ca_draw_values(ca));
        ca_fill_f32(ca, b, n, ca_draw_values(ca));
        ca_fill_bytes(ca, got, bytes);
        memcpy(want, got, bytes);
        ca_shape(ca, "n %zu stride %zu both %d", n, stride, round % 3 != 0);
        ca->k.zip_bf16(got, stride, a, round % 3 == 0 ? NULL : b, n);
        gwen_ref_zip_bf16(want, stride, a, round % 3 == 0 ? NULL : b, n);
        ca_same_bytes(ca, got, want, bytes);
        if (!ca_canary_intact(2, bytes)) ca_fail(ca, "wrote before the output");
    }
}

enum { BENCH_N = 4096 };

void bench_zip_bf16(struct checkasm *ca) {
    float *x = ca_buffer(0, 4 * BENCH_N);
    struct gwen_bf16 *y = ca_buffer(1, 2 * BENCH_N);
    ca_fill_f32(ca, x, BENCH_N, CA_PLAIN);
    ca_shape(ca, "n %d", BENCH_N / 2);
    ca_bench_start(ca);
    while (ca_bench_running(ca)) ca->k.zip_bf16(y, 2 * GWEN_PANEL, x, x + BENCH_N / 2, BENCH_N / 2);
    ca_bench_report(ca, 0, 6.0 * BENCH_N, 0);
}

void bench_f32_to_bf16(struct checkasm *ca) {
    float *x = ca_buffer(0, 4 * BENCH_N);
    struct gwen_bf16 *y = ca_buffer(1, 2 * BENCH_N);
    ca_fill_f32(ca, x, BENCH_N, CA_PLAIN);
    ca_shape(ca, "n %d", BENCH_N);
    ca_bench_start(ca);
    while (ca_bench_running(ca)) ca->k.f32_to_bf16(y, x, BENCH_N);
    ca_bench_report(ca, 0, 6.0 * BENCH_N, 0);
}

void bench_f32_to_f16(struct checkasm *ca) {
    float *x = ca_buffer(0, 4 * BENCH_N);
    struct gwen_f16 *y = ca_buffer(1, 2 * BENCH_N);
    ca_fill_f32(ca, x, BENCH_N, CA_PLAIN);
    ca_shape(ca, "n %d", BENCH_N);
    ca_bench_start(ca);
    while (ca_bench_running(ca)) ca->k.f32_to_f16(y, x, BENCH_N);
    ca_bench_report(ca, 0, 6.0 * BENCH_N, 0);
}

void bench_bf16_to_f32(struct checkasm *ca) {
    struct gwen_bf16 *x = ca_buffer(0, 2 * BENCH_N);
    float *y = ca_buffer(1, 4 * BENCH_N);
    ca_fill_bf16(ca, x, BENCH_N, CA_PLAIN);
    ca_shape(ca, "n %d", BENCH_N);
    ca_bench_start(ca);
    while (ca_bench_running(ca)) ca->k.bf16_to_f32(y, x, BENCH_N);
    ca_bench_report(ca, 0, 6.0 * BENCH_N, 0);
}

void bench_f16_to_f32(struct checkasm *ca) {
    struct gwen_f16 *x = ca_buffer(0, 2 * BENCH_N);
    float *y = ca_buffer(1, 4 * BENCH_N);
    ca_fill_f16(ca, x, BENCH_N, CA_PLAIN);
    ca_shape(ca, "n %d", BENCH_N);
    ca_bench_start(ca);
    while (ca_bench_running(ca)) ca->k.f16_to_f32(y, x, BENCH_N);
    ca_bench_report(ca, 0, 6.0 * BENCH_N, 0);
}

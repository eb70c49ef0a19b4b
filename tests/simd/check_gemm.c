/* check_gemm.c - matrix products: every tile shape that a level allows, with random lengths,
 * strides, starting values and prefetching. */
#include "checkasm.h"

#include <string.h>

enum weight { F32, F16, BF16, PAIRS };

/* One product, all of whose buffers end at an inaccessible page. */
struct problem {
    struct gwen_tile t;
    size_t x_bytes, w_bytes, c_count;
};

static void fill_weights(struct checkasm *ca, enum weight type, void *w, size_t n,
                         enum ca_values values) {
    switch (type) {
    case F32: ca_fill_f32(ca, w, n, values); break;
    case F16: ca_fill_f16(ca, w, n, values); break;
    default: ca_fill_bf16(ca, w, n, values); break;
    }
}

static struct problem draw(struct checkasm *ca, enum weight type, size_t m, size_t nv, size_t k) {
    const size_t w_elem = type == F32 ? 4 : 2, x_elem = type == PAIRS ? 2 : 4;
    struct problem p = {.t = {.m = m, .nv = nv, .k = k}};
    const enum ca_values values = ca_draw_values(ca);
    p.t.x_stride = (k + ca_range(ca, 0, 5)) * x_elem;
    p.x_bytes = (m - 1) * p.t.x_stride + k * x_elem;
    p.t.panel_stride = (k * GWEN_PANEL + ca_range(ca, 0, 40)) * w_elem;
    p.w_bytes = (nv - 1) * p.t.panel_stride + k * GWEN_PANEL * w_elem;
    p.t.c_stride = nv * GWEN_PANEL + ca_range(ca, 0, 20);
    p.c_count = (m - 1) * p.t.c_stride + nv * GWEN_PANEL;
    p.t.accumulate = ca_random(ca) % 2 != 0;
    void *x = ca_buffer(0, p.x_bytes), *w = ca_buffer(1, p.w_bytes);
    if (x_elem == 4)
        ca_fill_f32(ca, x, p.x_bytes / 4, values);
    else
        ca_fill_bf16(ca, x, p.x_bytes / 2, values);
    fill_weights(ca, type, w, p.w_bytes / w_elem, values);
    p.t.x = x;
    p.t.w = w;
    if (ca_random(ca) % 2 != 0) {
        p.t.prefetch = w;
        p.t.prefetch_lines = ca_range(ca, 0, k + 3);
    }
    return p;
}

/* Sums of pairs that come out just above or below the smallest normal float: c is it or a little
 * more, a product is around the last places of c. */
static void make_tiny(struct checkasm *ca, const struct problem *p, float *c) {
    struct gwen_bf16 *x = ca_buffer(0, p->x_bytes), *w = ca_buffer(1, p->w_bytes);
    for (size_t i = 0; i < p->x_bytes / 2; i++)
        x[i].bits = (uint16_t)((ca_random(ca) & 0x8000) | (127 - 75) << 7);
    for (size_t i = 0; i < p->w_bytes / 2; i++) {
        const uint32_t fraction = ca_random(ca) % 2 != 0 ? ca_random(ca) & 0x7f : 0;
        const uint32_t exponent = 127 - (uint32_t)ca_range(ca, 50, 80);
        w[i].bits = (uint16_t)((ca_random(ca) & 0x8000) | exponent << 7 | fraction);
    }
    for (size_t i = 0; i < p->c_count; i++) {
        const uint32_t bits = (ca_random(ca) & 0x80000000) | 0x00800000 | ca_random(ca) % 3;
        memcpy(&c[i], &bits, sizeof bits);
    }
}

static void check_one(struct checkasm *ca, enum weight type,
                      void (*kernel)(const struct gwen_tile *),
                      void (*reference)(const struct gwen_tile *), size_t m, size_t nv, size_t k) {
    struct problem p = draw(ca, type, m, nv, k);
    const size_t bytes = p.c_count * sizeof(float);
    float *got = ca_buffer(2, bytes), *want = ca_buffer(3, bytes);
    ca_fill_f32(ca, want, p.c_count, ca_draw_values(ca));
    if (type == PAIRS && ca_random(ca) % 4 == 0) make_tiny(ca, &p, want);
    memcpy(got, want, bytes);
    ca_shape(ca, "m %zu nv %zu k %zu x_stride %zu panel_stride %zu c_stride %zu accumulate %d", m,
             nv, k, p.t.x_stride, p.t.panel_stride, p.t.c_stride, p.t.accumulate);
    p.t.c = want;
    reference(&p.t);
    p.t.c = got;
    kernel(&p.t);
    ca_same_f32(ca, got, want, p.c_count);
    if (!ca_canary_intact(2, bytes)) ca_fail(ca, "wrote before c");
}

static void check(struct checkasm *ca, enum weight type, const struct gwen_tile_shape *shape,
                  void (*kernel)(const struct gwen_tile *),
                  void (*reference)(const struct gwen_tile *)) {
    const size_t step = type == PAIRS ? 2 : 1;
    if (shape->nv < 1 || shape->nv > GWEN_TILE_PANELS) ca_fail(ca, "panels of the tile shape");
    for (int round = 0; round * 20 < ca->rounds; round++)
        for (size_t nv = 1; nv <= GWEN_TILE_PANELS; nv++)
            for (size_t m = 1; m <= shape->rows[nv]; m++) {
                const size_t longest = round % 8 == 0 ? 300 : 40;
                check_one(ca, type, kernel, reference, m, nv,
                          ca_range(ca, 0, longest / step) * step);
            }
}

void check_gemm_f32(struct checkasm *ca) {
    check(ca, F32, &ca->k.tile_f32, ca->k.gemm_f32, gwen_ref_gemm_f32);
}
void check_gemm_f16(struct checkasm *ca) {
    check(ca, F16, &ca->k.tile_f16, ca->k.gemm_f16, gwen_ref_gemm_f16);
}
void check_gemm_bf16(struct checkasm *ca) {
    check(ca, BF16, &ca->k.tile_bf16, ca->k.gemm_bf16, gwen_ref_gemm_bf16);
}
void check_gemm_bf16dot(struct checkasm *ca) {
    check(ca, PAIRS, &ca->k.tile_bf16dot, ca->k.gemm_bf16dot,
          ca->k.dot_class == GWEN_DOT_BFDOT ? gwen_ref_gemm_bfdot : gwen_ref_gemm_vdp);
}

/* The fastest tile, and one row, on data in the L1 and L2 caches. */
static void bench(struct checkasm *ca, enum weight type, const struct gwen_tile_shape *shape,
                  void (*kernel)(const struct gwen_tile *), double peak) {
    const size_t k = 512;
    for (int one_row = 0; one_row < 2; one_row++) {
        const size_t nv = one_row ? GWEN_TILE_PANELS : shape->nv;
        const size_t m = one_row ? 1 : shape->rows[nv];
        struct problem p = draw(ca, type, m, nv, k);
        p.t.c = ca_buffer(2, p.c_count * sizeof(float));
        p.t.prefetch_lines = 0;
        p.t.accumulate = false;
        ca_fill_f32(ca, ca_buffer(0, p.x_bytes), p.x_bytes / 4, CA_PLAIN);
        memset(ca_buffer(1, p.w_bytes), 0x3c, p.w_bytes);
        ca_shape(ca, "m %zu, %zu columns, k %zu", m, nv * GWEN_PANEL, k);
        ca_bench_start(ca);
        while (ca_bench_running(ca)) kernel(&p.t);
        const double flops = 2.0 * (double)(m * nv * GWEN_PANEL * k);
        ca_bench_report(ca, flops, one_row ? (double)p.w_bytes : 0, peak);
    }
}

void bench_gemm_f32(struct checkasm *ca) {
    bench(ca, F32, &ca->k.tile_f32, ca->k.gemm_f32, ca->peak_f32);
}
void bench_gemm_f16(struct checkasm *ca) {
    bench(ca, F16, &ca->k.tile_f16, ca->k.gemm_f16, ca->peak_f32);
}
void bench_gemm_bf16(struct checkasm *ca) {
    bench(ca, BF16, &ca->k.tile_bf16, ca->k.gemm_bf16, ca->peak_f32);
}
void bench_gemm_bf16dot(struct checkasm *ca) {
    bench(ca, PAIRS, &ca->k.tile_bf16dot, ca->k.gemm_bf16dot, ca->peak_dot);
}

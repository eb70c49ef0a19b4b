/* test_linear.c - packed weights and their products: every result is one chain over K, whatever
 * the rows, the threads and the tiles. */
#include "ops/linear.h"
#include "ref/math.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST_THREADS = 5 };

static struct gwen_kernels kern;

static const enum gw_panel_format FORMATS[] = {GW_PANEL_F32, GW_PANEL_F16, GW_PANEL_BF16,
                                               GW_PANEL_BF16X2};

static uint32_t next_random(void) {
    static uint64_t state = 20240607;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

static float small_number(void) { return ((float)(next_random() % 2001) - 1000.0f) / 997.0f; }

/* Writes v, rounded to `format`'s elements, at `to`; returns the rounded value. */
static float write_weight(enum gw_panel_format format, void *to, float v) {
    if (format == GW_PANEL_F32) {
        memcpy(to, &v, sizeof v);
        return v;
    }
    if (format == GW_PANEL_F16) {
        const struct gwen_f16 h = gwen_float_to_f16(v);
        memcpy(to, &h, sizeof h);
        return gwen_f16_to_float(h);
    }
    const struct gwen_bf16 h = gwen_float_to_bf16(v);
    memcpy(to, &h, sizeof h);
    return gwen_bf16_to_float(h);
}

/* A random product with everything that belongs to it. */
struct problem {
    struct gw_packed w;
    size_t m, n, k, x_stride;
    char *source; /* row-major weights, at an odd address: files need not align theirs */
    float *w_values, *x_values, *y;
    void *x, *panels, *scratch; /* scratch: of MOST_THREADS threads */
    struct gw_pool *pool;       /* of the product that is running */
};

static void *zeroed(size_t bytes) {
    void *p = aligned_alloc(64, gw_round_up(bytes + 1, 64));
    assert_non_null(p);
    memset(p, 0, bytes);
    return p;
}

static void pack(struct problem *p) {
    const size_t elem = p->w.format == GW_PANEL_F32 ? 4 : 2;
    for (size_t panel = 0; panel < p->w.n_panels; panel++) {
        const void *rows[GWEN_PANEL];
        for (size_t j = 0; j < GWEN_PANEL; j++) {
            const size_t row = panel * GWEN_PANEL + j;
            rows[j] = row < p->n ? p->source + 1 + row * p->k * elem : NULL;
        }
        gw_packed_set_panel(&kern, &p->w, panel, rows);
    }
}

static void make(struct problem *p, enum gw_panel_format format, size_t m, size_t n, size_t k) {
    const size_t elem = format == GW_PANEL_F32 ? 4 : 2, bytes = gw_packed_bytes(format, n, k);
    *p = (struct problem){.m = m, .n = n, .k = k, .x_stride = gw_packed_x_stride(format, k)};
    p->source = zeroed(1 + n * k * elem);
    p->w_values = zeroed(n * k * sizeof(float));
    for (size_t i = 0; i < n * k; i++)
        p->w_values[i] = write_weight(format, p->source + 1 + i * elem, small_number());
    p->panels = zeroed(bytes);
    memset(p->panels, 0xff, bytes); /* NaN wherever packing forgets to write */
    gw_packed_init(&p->w, format, n, k, p->panels);
    pack(p);
    p->x = zeroed(m * p->x_stride);
    p->x_values = zeroed(m * k * sizeof(float));
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < k; j++) {
            const size_t size = gw_x_elem(format);
            void *to = (char *)p->x + i * p->x_stride + j * size;
            p->x_values[i * k + j] =
                write_weight(size == 4 ? GW_PANEL_F32 : GW_PANEL_BF16, to, small_number());
        }
    }
    p->y = zeroed(m * n * sizeof(float));
    p->scratch = zeroed(MOST_THREADS * gw_linear_scratch_bytes());
}

static void release(struct problem *p) {
    free(p->source);
    free(p->w_values);
    free(p->x_values);
    free(p->panels);
    free(p->x);
    free(p->y);
    free(p->scratch);
}

/* Puts a piece of the result where it belongs, and overwrites the piece, as is allowed. */
static void keep(void *ctx, int thread, size_t m0, size_t m, size_t n0, size_t n, float *c,
                 size_t c_stride) {
    struct problem *p = ctx;
    (void)thread;
    assert_true(n <= GW_GROUP_COLS && n0 + n <= p->n && m0 + m <= p->m);
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            float *y = &p->y[(m0 + i) * p->n + n0 + j];
            assert_true(isnan(*y)); /* nothing comes twice */
            *y = c[i * c_stride + j];
            c[i * c_stride + j] = NAN;
        }
    }
}

static void multiply_region(void *ctx, int thread, int n_threads) {
    struct problem *p = ctx;
    (void)n_threads;
    gw_linear(&(struct gw_arith){&kern, p->w.format}, &p->w, p->m, p->x, p->x_stride, keep, p,
              (char *)p->scratch + (size_t)thread * gw_linear_scratch_bytes(), p->pool, thread);
}

static void multiply(struct problem *p, int n_threads) {
    struct gwen_err err;
    for (size_t i = 0; i < p->m * p->n; i++) p->y[i] = NAN;
    assert_int_equal(gw_pool_create(n_threads, &p->pool, &err), GWEN_OK);
    gw_pool_run(p->pool, multiply_region, p);
    gw_pool_free(p->pool);
}

/* The definition: one chain of fma over k; native bf16 takes the odd element of a pair first
 * (or, on Arm, adds both first: only its bound is known). */
static float chain(const struct problem *p, size_t row, size_t column) {
    const float *x = &p->x_values[row * p->k], *w = &p->w_values[column * p->k];
    float sum = 0;
    if (p->w.format != GW_PANEL_BF16X2) {
        for (size_t k = 0; k < p->k; k++) sum = fmaf(x[k], w[k], sum);
        return sum;
    }
    for (size_t k = 0; k < p->k; k += 2) {
        if (k + 1 < p->k) sum = fmaf(x[k + 1], w[k + 1], sum);
        sum = fmaf(x[k], w[k], sum);
    }
    return sum;
}

static void expect_products(const struct problem *p) {
    const bool exact = p->w.format != GW_PANEL_BF16X2 || kern.dot_class == GWEN_DOT_VDP;
    for (size_t i = 0; i < p->m; i++) {
        for (size_t j = 0; j < p->n; j++) {
            const float got = p->y[i * p->n + j], want = chain(p, i, j);
            if (exact && memcmp(&got, &want, sizeof got) != 0)
                fail_msg("format %d, %zu x %zu x %zu: (%zu, %zu) is %a, not %a", (int)p->w.format,
                         p->m, p->n, p->k, i, j, (double)got, (double)want);
            if (!(fabsf(got - want) <= 1e-6f * (float)(p->k + 1)))
                fail_msg("(%zu, %zu) is %a, not near %a", i, j, (double)got, (double)want);
        }
    }
}

static bool has(enum gw_panel_format format) {
    return format != GW_PANEL_BF16X2 || kern.gemm_bf16dot != NULL;
}

static void test_products(void **state) {
    (void)state;
    for (size_t f = 0; f < GW_ARRAY_LEN(FORMATS); f++) {
        for (int round = 0; has(FORMATS[f]) && round < 12; round++) {
            const size_t m = round % 6 == 5 ? 257 + next_random() % 300 : 1 + next_random() % 40;
            const size_t k = round % 4 == 3 ? 1 + next_random() % 1300 : 1 + next_random() % 90;
            struct problem p;
            make(&p, FORMATS[f], m, 1 + next_random() % 150, k);
            multiply(&p, 1 + round % 3);
            expect_products(&p);
            release(&p);
        }
    }
}

/* Rows, threads and neighbours change no bit; lengths around a block of K and a tile of rows. */
static void test_same_bits_however_cut(void **state) {
    (void)state;
    /* Around blocks of K; columns for 1, 2, 3 and 4 panels in the last group. */
    static const size_t lengths[] = {511, 513, 1024, 1025, 2100, 700};
    static const size_t columns[] = {70, 84, 100, 128, 100, 128};
    for (size_t f = 0; f < GW_ARRAY_LEN(FORMATS); f++) {
        for (size_t l = 0; has(FORMATS[f]) && l < GW_ARRAY_LEN(lengths); l++) {
            struct problem p;
            make(&p, FORMATS[f], 29, columns[l], lengths[l]);
            multiply(&p, 1);
            if (l < 3) expect_products(&p);
            const size_t bytes = p.m * p.n * sizeof(float);
            float *all = zeroed(bytes);
            memcpy(all, p.y, bytes);
            multiply(&p, 5);
            assert_memory_equal(all, p.y, bytes);
            const size_t m = p.m;
            for (p.m = 1; p.m < m; p.m++) {
                multiply(&p, 2);
                assert_memory_equal(all, p.y, p.m * p.n * sizeof(float));
            }
            free(all);
            release(&p);
        }
    }
}

static uint32_t any_bytes(void) {
    const uint32_t range = GW_LINEAR_MAX_BYTES - GW_LINEAR_MIN_BYTES + 1;
    const uint32_t most = next_random() % 4 == 0 ? range : range / 64; /* small ones cut more */
    return GW_LINEAR_MIN_BYTES + next_random() % most;
}

/* Tiles, blocks of K and prefetch distances change no bit. */
static void test_same_bits_however_tuned(void **state) {
    (void)state;
    static const size_t rows[] = {1, 4, 5, 8, 13, 16, 29, 32, 40, 70, 300};
    for (size_t f = 0; f < GW_ARRAY_LEN(FORMATS); f++) {
        for (size_t r = 0; has(FORMATS[f]) && r < GW_ARRAY_LEN(rows); r++) {
            struct problem p;
            make(&p, FORMATS[f], rows[r], r % 2 == 0 ? 100 : 84, 1100 + r);
            multiply(&p, 1);
            const size_t bytes = p.m * p.n * sizeof(float);
            float *wanted = zeroed(bytes);
            memcpy(wanted, p.y, bytes);
            for (uint32_t panels = 0; panels <= GWEN_TILE_PANELS; panels++) {
                struct gw_linear_tuning tuning;
                for (size_t i = 0; i < GW_LINEAR_RANGES; i++)
                    tuning.ranges[i] = (struct gw_linear_cut){panels, any_bytes(), any_bytes()};
                assert_true(gw_linear_tuning_valid(&tuning));
                p.w.tuning = &tuning;
                multiply(&p, 2);
                assert_memory_equal(wanted, p.y, bytes);
            }
            free(wanted);
            release(&p);
        }
    }
}

static void test_tuning_ranges(void **state) {
    (void)state;
    assert_true(gw_linear_tuning_valid(&gw_linear_default));
    for (size_t m = 1; m < 200; m++) {
        const size_t range = gw_linear_range(m);
        assert_true(range < GW_LINEAR_RANGES && m <= gw_linear_range_rows(range));
        assert_true(range == 0 || m > gw_linear_range_rows(range - 1));
    }
    assert_int_equal(gw_linear_range(SIZE_MAX), GW_LINEAR_RANGES - 1);
    struct gw_linear_tuning t = gw_linear_default;
    t.ranges[2].panels = GWEN_TILE_PANELS + 1;
    assert_false(gw_linear_tuning_valid(&t));
    t = gw_linear_default;
    t.ranges[5].block_bytes = GW_LINEAR_MIN_BYTES - 1;
    assert_false(gw_linear_tuning_valid(&t));
    t = gw_linear_default;
    t.ranges[0].ahead_bytes = GW_LINEAR_MAX_BYTES + 1;
    assert_false(gw_linear_tuning_valid(&t));
}

static void test_small_gemm(void **state) {
    (void)state;
    for (size_t f = 0; f < GW_ARRAY_LEN(FORMATS); f++) {
        for (size_t m = 1; has(FORMATS[f]) && m < 40; m += 3) {
            const size_t panels = 1 + m % 7, columns = panels * GWEN_PANEL;
            struct problem p;
            make(&p, FORMATS[f], m, columns, 2 * (1 + m));
            multiply(&p, 1);
            float *c = zeroed(m * (columns + 3) * sizeof(float));
            const size_t half = gw_round_up(p.k / 2, 2), rest = p.k - half;
            const size_t w_row = GWEN_PANEL * (FORMATS[f] == GW_PANEL_F32 ? 4 : 2);
            /* In two parts, the second on top of the first: the same chain. */
            struct gwen_tile part = {.m = m,
                                     .nv = panels,
                                     .k = half,
                                     .x = p.x,
                                     .x_stride = p.x_stride,
                                     .w = p.panels,
                                     .panel_stride = p.w.panel_stride,
                                     .c = c,
                                     .c_stride = columns + 3,
                                     .prefetch = p.panels,
                                     .prefetch_lines = m % 3};
            (m % 2 == 0 ? gw_small_gemm_in_order
                        : gw_small_gemm)(&(struct gw_arith){&kern, FORMATS[f]}, &part);
            part.k = rest;
            part.x = (const char *)p.x + half * gw_x_elem(FORMATS[f]);
            part.w = (const char *)p.panels + half * w_row;
            part.accumulate = true;
            (m % 2 == 0 ? gw_small_gemm_in_order
                        : gw_small_gemm)(&(struct gw_arith){&kern, FORMATS[f]}, &part);
            for (size_t i = 0; i < m; i++)
                assert_memory_equal(&c[i * (columns + 3)], &p.y[i * columns],
                                    columns * sizeof(float));
            free(c);
            release(&p);
        }
    }
}

static void test_rows_come_back(void **state) {
    (void)state;
    for (size_t f = 0; f < GW_ARRAY_LEN(FORMATS); f++) {
        struct problem p;
        make(&p, FORMATS[f], 1, 37, 301);
        float *row = zeroed(p.k * sizeof(float));
        for (size_t n = 0; n < p.n; n++) {
            gw_packed_get_row(&p.w, n, row);
            assert_memory_equal(row, &p.w_values[n * p.k], p.k * sizeof(float));
        }
        free(row);
        release(&p);
    }
}

/* Padding is zeros to the last byte. */
static void test_padding(void **state) {
    (void)state;
    for (size_t f = 0; f < GW_ARRAY_LEN(FORMATS); f++) {
        struct problem p;
        make(&p, FORMATS[f], 1, 17, 5);
        const char *last = (const char *)p.panels + p.w.panel_stride;
        assert_int_equal(p.w.n_panels, 2);
        assert_int_equal(p.w.panel_stride % 64, 0);
        assert_int_equal(gw_packed_bytes(FORMATS[f], 17, 5), 2 * p.w.panel_stride);
        size_t non_zero = 0;
        for (size_t i = 0; i < p.w.panel_stride; i++) non_zero += last[i] != 0;
        assert_in_range(non_zero, 1, 5 * (FORMATS[f] == GW_PANEL_F32 ? 4 : 2));
        release(&p);
    }
}

static void test_strides(void **state) {
    (void)state;
    for (size_t f = 0; f < GW_ARRAY_LEN(FORMATS); f++) {
        for (size_t k = 1; k < 5000; k += 37) {
            const size_t stride = gw_packed_x_stride(FORMATS[f], k);
            assert_int_equal(stride % 64, 0);
            assert_true(stride >= k * gw_x_elem(FORMATS[f]));
            assert_true(stride <= k * gw_x_elem(FORMATS[f]) + 128);
            assert_int_not_equal(stride % 1024, 0);
        }
    }
}

int main(void) {
    const char *level = getenv("GWEN_ISA");
    enum gwen_isa cap = GWEN_ISA_COUNT;
    if (level != NULL && *level != '\0' && !gwen_isa_parse(level, &cap)) return 2;
    gwen_kernels_init(&kern, cap);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_same_bits_however_cut),
        cmocka_unit_test(test_same_bits_however_tuned),
        cmocka_unit_test(test_tuning_ranges),
        cmocka_unit_test(test_small_gemm),
        cmocka_unit_test(test_rows_come_back),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_strides),
    };
    return cmocka_run_group_tests_name("linear", tests, NULL, NULL);
}

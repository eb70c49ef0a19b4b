/* linear.c - one core's speed in packed products whose weights come from memory, as in a model:
 * matrices of real shapes lie one after another in a buffer much larger than the caches and are
 * used in turn.
 *
 *     linear [LEVEL...]      ref avx2 avx512 ...: those levels; default: all but ref
 *
 * Each figure is the best of many windows of about 1.5 ms, so that it stands beside other work on
 * the machine; the peak it is compared with is measured in the same way, just before. */
#include "ops/linear.h"
#include "base/clock.h"
#include "base/mem.h"
#include "ops/peak.h"

#include <stdio.h>
#include <string.h>

static const double WINDOW = 1.5e-3, SECONDS = 0.3; /* of one measurement, and for all of them */
static const size_t WEIGHT_BYTES = (size_t)600 << 20;

enum { MOST_ROWS = 512, MOST_K = 3072, MOST_N = 6144 };

static const size_t ROWS[] = {1, 2, 4, 6, 8, 12, 16, 24, 32, 64, 512};
static const struct {
    size_t n, k;
} SHAPES[] = {{1024, 1024}, {1024, 3072}, {6144, 1024}, {3072, 3072}};
static const struct {
    enum gw_panel_format format;
    const char *name;
} FORMATS[] = {{GW_PANEL_F32, "f32"},
               {GW_PANEL_F16, "f16"},
               {GW_PANEL_BF16, "bf16 as f32"},
               {GW_PANEL_BF16X2, "bf16 native"}};

struct bench {
    const struct gwen_kernels *kern;
    struct gw_pool *pool; /* of one thread */
    char *weights, *x, *scratch;
    float *y;
    size_t next; /* the matrix to use next */
};

static void done(void *ctx, int thread, size_t m0, size_t m, size_t n0, size_t n, float *c,
                 size_t c_stride) {
    const struct bench *b = ctx;
    (void)thread;
    for (size_t i = 0; i < m; i++)
        memcpy(b->y + (m0 + i) * MOST_N + n0, c + i * c_stride, n * sizeof *c);
}

/* Seconds of one product, the best there was. */
static double product_seconds(struct bench *b, const struct gw_arith *arith, size_t m, size_t n,
                              size_t k) {
    const enum gw_panel_format format = arith->format;
    const size_t bytes = gw_packed_bytes(format, n, k), copies = WEIGHT_BYTES / bytes;
    double best = 1e9;
    size_t repeat = 1;
    const uint64_t begin = gw_now_ns();
    for (int window = 0; window < 3 || gw_seconds_since(begin) < SECONDS; window++) {
        const uint64_t start = gw_now_ns();
        for (size_t i = 0; i < repeat; i++) {
            struct gw_packed w;
            gw_packed_init(&w, format, n, k, b->weights + b->next++ % copies * bytes);
            gw_linear(arith, &w, m, b->x, gw_packed_x_stride(format, k), done, b, b->scratch,
                      b->pool, 0);
        }
        const double each = gw_seconds_since(start) / (double)repeat;
        if (each < best) best = each;
        repeat = each < WINDOW ? (size_t)(WINDOW / each) : 1;
    }
    return best;
}

static void bench_format(struct bench *b, size_t f) {
    const struct gw_arith arith = {b->kern, FORMATS[f].format};
    const double peak = gw_peak_flops(&arith, b->pool, SECONDS);
    if (peak == 0) return;
    struct gw_read_peak read;
    struct gwen_err err;
    if (gw_peak_read(&arith, b->pool, WEIGHT_BYTES, 1.0, &read, &err) != GWEN_OK) {
        fprintf(stderr, "linear: %s\n", err.message);
        return;
    }
    printf("\n%s, %s: peak %.1f GF/s, reading %.1f GB/s (%s)\n", gwen_isa_name(b->kern->isa),
           FORMATS[f].name, peak * 1e-9, read.bytes_s * 1e-9, read.pattern);
    for (size_t s = 0; s < GW_ARRAY_LEN(SHAPES); s++) {
        const size_t n = SHAPES[s].n, k = SHAPES[s].k;
        for (size_t r = 0; r < GW_ARRAY_LEN(ROWS); r++) {
            const double seconds = product_seconds(b, &arith, ROWS[r], n, k);
            const double flops = 2.0 * (double)(ROWS[r] * n * k) / seconds;
            const double bytes = (double)gw_packed_bytes(FORMATS[f].format, n, k) / seconds;
            printf("N %4zu K %4zu M %3zu  %7.1f GF/s %3.0f %%  %5.1f GB/s %3.0f %%\n", n, k,
                   ROWS[r], flops * 1e-9, 100 * flops / peak, bytes * 1e-9,
                   100 * bytes / read.bytes_s);
            fflush(stdout);
        }
    }
}

/* True when the command line names this level, or none and it is not the reference. */
static bool wanted(int argc, char **argv, enum gwen_isa isa) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], gwen_isa_name(isa)) == 0) return true;
    return argc == 1 && isa != GWEN_ISA_REF;
}

int main(int argc, char **argv) {
    const size_t y_bytes = (size_t)MOST_ROWS * MOST_N * sizeof(float);
    const size_t x_bytes = MOST_ROWS * gw_packed_x_stride(GW_PANEL_F32, MOST_K);
    struct bench b = {0};
    struct gw_mem weights, rest;
    struct gwen_err err;
    if (gw_pool_create(1, &b.pool, &err) != GWEN_OK ||
        gw_mem_map(&weights, WEIGHT_BYTES, &err) != GWEN_OK ||
        gw_mem_map(&rest, y_bytes + x_bytes + gw_linear_scratch_bytes(), &err) != GWEN_OK) {
        fprintf(stderr, "linear: %s\n", err.message);
        return 1;
    }
    b.weights = memset(weights.data, 0x11, WEIGHT_BYTES); /* a tiny normal number in any format */
    b.scratch = rest.data;
    b.y = (float *)(void *)(b.scratch + gw_linear_scratch_bytes());
    b.x = memset((char *)b.y + y_bytes, 0x3c, x_bytes);
    for (int isa = GWEN_ISA_REF; isa < GWEN_ISA_COUNT; isa++) {
        struct gwen_kernels kern;
        if (!gwen_isa_available((enum gwen_isa)isa) || !wanted(argc, argv, (enum gwen_isa)isa))
            continue;
        gwen_kernels_init(&kern, (enum gwen_isa)isa);
        b.kern = &kern;
        /* A level with native dot products has the float kernels of the one below. */
        for (size_t f = 0; f < GW_ARRAY_LEN(FORMATS); f++)
            if (kern.dot_class == GWEN_DOT_NONE || FORMATS[f].format == GW_PANEL_BF16X2)
                bench_format(&b, f);
    }
    gw_mem_unmap(&rest);
    gw_mem_unmap(&weights);
    gw_pool_free(b.pool);
    return 0;
}

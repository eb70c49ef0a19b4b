/* test_attention.c - attention against a plain softmax in double, rows together and alone; block
 * tables are no longer than their sequences, so that sanitizers see a look beyond them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/attention.h"
#include "unit/scratch.h"

enum { HEAD_DIM = 24, KV_HEADS = 2, HEADS_PER_KV = 3, LAYERS = 2, N_ROWS = 4, MAX_TOKENS = 200 };
enum { LAYER = 1, KV_HEAD = 1, Q = HEADS_PER_KV * HEAD_DIM };

static const size_t POSITIONS[N_ROWS] = {63, 64, 0, MAX_TOKENS - 1};
static float keys[N_ROWS][MAX_TOKENS][HEAD_DIM], values[N_ROWS][MAX_TOKENS][HEAD_DIM];
static float queries[N_ROWS][Q];

static float draw(void) {
    static uint32_t state = 1;
    state = state * 1664525 + 1013904223;
    return (float)(state >> 8) / (float)(1 << 23) - 1;
}

/* Rows 0 and 1 share their first block, as samples of one prompt do. */
static void fill(void) {
    for (size_t r = 0; r < N_ROWS; r++) {
        for (size_t i = 0; i < Q; i++) queries[r][i] = draw();
        for (size_t t = 0; t < MAX_TOKENS; t++)
            for (size_t i = 0; i < HEAD_DIM; i++) {
                keys[r][t][i] = r == 1 && t < GW_KV_BLOCK ? keys[0][t][i] : draw();
                values[r][t][i] = r == 1 && t < GW_KV_BLOCK ? values[0][t][i] : draw();
            }
    }
}

static double expected(size_t r, size_t head, size_t i) {
    double weight[MAX_TOKENS], max = -INFINITY, sum = 0, out = 0;
    for (size_t t = 0; t <= POSITIONS[r]; t++) {
        weight[t] = 0;
        for (size_t d = 0; d < HEAD_DIM; d++)
            weight[t] += (double)queries[r][head * HEAD_DIM + d] * (double)keys[r][t][d];
        weight[t] /= sqrt(HEAD_DIM);
        max = fmax(max, weight[t]);
    }
    for (size_t t = 0; t <= POSITIONS[r]; t++) sum += exp(weight[t] - max);
    for (size_t t = 0; t <= POSITIONS[r]; t++)
        out += exp(weight[t] - max) / sum * (double)values[r][t][i];
    return out;
}

static void attends_as_a_plain_softmax(void **state) {
    struct gwen_kernels kern;
    const struct gw_arith arith = {&kern, GW_PANEL_F32};
    struct gw_kv_layout l;
    struct gw_attn_row rows[N_ROWS];
    uint32_t *tables[N_ROWS], next = 1;
    static float together[N_ROWS][Q], alone[Q];
    (void)state;
    fill();
    gwen_kernels_init(&kern, scratch_isa());
    gw_kv_layout_init(&l, GW_PANEL_F32, LAYERS, KV_HEADS, HEAD_DIM);
    char *base = aligned_alloc(64, l.block_bytes * 16);
    void *scratch = aligned_alloc(64, gw_attn_scratch_bytes(HEAD_DIM, HEADS_PER_KV));
    memset(base, 0, l.block_bytes * 16);
    for (size_t r = 0; r < N_ROWS; r++) {
        size_t n = POSITIONS[r] + 1, blocks = (n + GW_KV_BLOCK - 1) / GW_KV_BLOCK;
        tables[r] = malloc(blocks * sizeof *tables[r]);
        for (size_t b = 0; b < blocks; b++) {
            tables[r][b] = r == 1 && b == 0 ? tables[0][0] : next++;
            gw_kv_store(&arith, &l, base + tables[r][b] * l.block_bytes, LAYER, KV_HEAD, 0,
                        GW_MIN(n - b * GW_KV_BLOCK, (size_t)GW_KV_BLOCK), keys[r][b * GW_KV_BLOCK],
                        values[r][b * GW_KV_BLOCK], HEAD_DIM);
        }
        rows[r] = (struct gw_attn_row){tables[r], POSITIONS[r]};
    }
    struct gw_attn_args a = {.arith = &arith,
                             .layout = &l,
                             .base = base,
                             .layer = LAYER,
                             .kv_head = KV_HEAD,
                             .heads_per_kv = HEADS_PER_KV,
                             .scale = 1 / sqrtf(HEAD_DIM),
                             .rows = rows,
                             .n_rows = N_ROWS,
                             .q = (const char *)queries,
                             .q_stride = sizeof queries[0],
                             .out = (char *)together,
                             .out_stride = sizeof together[0],
                             .scratch = scratch};
    gw_attention(&a);
    for (size_t r = 0; r < N_ROWS; r++) {
        for (size_t i = 0; i < Q; i++)
            assert_true(fabs((double)together[r][i] - expected(r, i / HEAD_DIM, i % HEAD_DIM)) <
                        1e-5);
        a.rows = &rows[r];
        a.n_rows = 1;
        a.q = (const char *)queries[r];
        a.out = (char *)alone;
        gw_attention(&a);
        assert_memory_equal(alone, together[r], sizeof alone);
        free(tables[r]);
    }
    free(scratch);
    free(base);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(attends_as_a_plain_softmax)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

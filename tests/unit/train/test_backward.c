/* test_backward.c - the backward pass of every operation against finite differences of the
 * operation itself, written here in double: d f / d x_i = (f(x + h e_i) - f(x - h e_i)) / 2h, where
 * f is the operation's result weighted by random numbers, which are the gradient it is given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/attention_backward.h"
#include "ops/linear_backward.h"
#include "ops/loss.h"
#include "ops/optim.h"
#include "ref/math.h"
#include "unit/scratch.h"

enum { MOST = 1024 };
static const double STEP = 1e-6;
static struct gwen_kernels kern;
static const struct gw_arith arith = {&kern, GW_PANEL_F32};

static float draw(void) {
    static uint32_t state = 3;
    state = state * 1664525 + 1013904223;
    return (float)(state >> 8) / (float)(1 << 23) - 1;
}

static void fill(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = draw();
}

static void widen(double *to, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) to[i] = (double)x[i];
}

/* The slope of f(ctx) along *at. */
static double slope(double (*f)(const void *ctx), const void *ctx, double *at) {
    const double x = *at;
    *at = x + STEP;
    const double up = f(ctx);
    *at = x - STEP;
    const double down = f(ctx);
    *at = x;
    return (up - down) / (2 * STEP);
}

static void expect_slopes(const char *what, double (*f)(const void *ctx), const void *ctx,
                          double *at, const float *got, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const double want = slope(f, ctx, &at[i]);
        if (!(fabs(want - (double)got[i]) <= 2e-5 * (1 + fabs(want))))
            fail_msg("%s: %zu is %.9g, the slope is %.9g", what, i, (double)got[i], want);
    }
}

/* --- rows ----------------------------------------------------------------------------------- */

struct row {
    size_t n, target;
    double x[MOST], w[MOST], dy[MOST];
    const float *cosines, *sines;
};

static double rmsnorm(const void *ctx) {
    const struct row *r = ctx;
    double squares = 0, sum = 0;
    for (size_t i = 0; i < r->n; i++) squares += r->x[i] * r->x[i];
    for (size_t i = 0; i < r->n; i++)
        sum += r->dy[i] * r->x[i] / sqrt(squares / (double)r->n + 1e-6) * r->w[i];
    return sum;
}

static void test_rmsnorm(void **state) {
    static struct row r = {.n = 37};
    float x[64], w[64], dy[64], dx[64] = {0}, dw[64] = {0};
    (void)state;
    fill(x, r.n), fill(w, r.n), fill(dy, r.n);
    widen(r.x, x, r.n), widen(r.w, w, r.n), widen(r.dy, dy, r.n);
    const float inv = kern.rmsnorm_back(dx, dy, x, w, r.n, 1e-6f);
    kern.add_product(dw, x, inv, dy, r.n);
    expect_slopes("rmsnorm, x", rmsnorm, &r, r.x, dx, r.n);
    expect_slopes("rmsnorm, weight", rmsnorm, &r, r.w, dw, r.n);
}

/* x is the gates, w the ups. */
static double swiglu(const void *ctx) {
    const struct row *r = ctx;
    double sum = 0;
    for (size_t i = 0; i < r->n; i++) sum += r->dy[i] * (r->x[i] / (1 + exp(-r->x[i]))) * r->w[i];
    return sum;
}

static void test_swiglu(void **state) {
    static struct row r = {.n = 21};
    float gate[64], up[64], dy[64], d_gate[64], d_up[64], c[128], d[128];
    (void)state;
    fill(gate, r.n), fill(up, r.n), fill(dy, r.n);
    for (size_t i = 0; i < r.n; i++) gate[i] *= 6;
    widen(r.x, gate, r.n), widen(r.w, up, r.n), widen(r.dy, dy, r.n);
    for (size_t i = 0; i < r.n; i++) {
        const size_t at = i / GWEN_PANEL * 2 * GWEN_PANEL + i % GWEN_PANEL;
        c[at] = gate[i];
        c[at + GWEN_PANEL] = up[i];
    }
    kern.swiglu_back(d, sizeof d, false, dy, r.n, c, 128, 1, r.n);
    for (size_t i = 0; i < r.n; i++) {
        const size_t at = i / GWEN_PANEL * 2 * GWEN_PANEL + i % GWEN_PANEL;
        d_gate[i] = d[at];
        d_up[i] = d[at + GWEN_PANEL];
    }
    expect_slopes("swiglu, gate", swiglu, &r, r.x, d_gate, r.n);
    expect_slopes("swiglu, up", swiglu, &r, r.w, d_up, r.n);
}

static double logprob(const void *ctx) {
    const struct row *r = ctx;
    double sum = 0;
    for (size_t i = 0; i < r->n; i++) sum += exp(r->x[i]);
    return r->dy[0] * (r->x[r->target] - log(sum));
}

static void test_logprob(void **state) {
    static struct row r = {.n = 40, .target = 11};
    float z[64], dz[64], w = 0.7f;
    double sum = 0;
    (void)state;
    fill(z, r.n);
    for (size_t i = 0; i < r.n; i++) z[i] *= 4;
    widen(r.x, z, r.n);
    r.dy[0] = (double)w;
    const float max = kern.max(z, r.n);
    for (size_t i = 0; i < r.n; i++) sum += exp(r.x[i] - (double)max);
    const float p = (float)((double)w / sum);
    const int32_t target = (int32_t)r.target;
    kern.logprob_back(&(struct gwen_logprob_back){.m = 1,
                                                  .n = r.n,
                                                  .z = z,
                                                  .z_stride = r.n,
                                                  .dz = dz,
                                                  .dz_stride = sizeof dz,
                                                  .temperature = 1,
                                                  .max = &max,
                                                  .p = &p,
                                                  .w = &w,
                                                  .target = &target});
    expect_slopes("log-probability", logprob, &r, r.x, dz, r.n);
}

static double rotation(const void *ctx) {
    const struct row *r = ctx;
    const size_t half = r->n / 2;
    double sum = 0;
    for (size_t i = 0; i < half; i++) {
        const double c = (double)r->cosines[i], s = (double)r->sines[i];
        sum += r->dy[i] * (r->x[i] * c - r->x[i + half] * s);
        sum += r->dy[i + half] * (r->x[i + half] * c + r->x[i] * s);
    }
    return sum;
}

static void test_rotation(void **state) {
    static struct row r = {.n = 24};
    float x[64], d[64], cosines[32], sines[32], minus[32];
    (void)state;
    fill(x, r.n), fill(d, r.n);
    for (size_t i = 0; i < r.n / 2; i++) {
        cosines[i] = cosf((float)i + 0.3f);
        sines[i] = sinf((float)i + 0.3f);
        minus[i] = -sines[i];
    }
    widen(r.x, x, r.n), widen(r.dy, d, r.n);
    r.cosines = cosines;
    r.sines = sines;
    kern.rope(d, cosines, minus, r.n / 2);
    expect_slopes("rotation", rotation, &r, r.x, d, r.n);
}

/* --- linear layers -------------------------------------------------------------------------- */

enum { M = 9, N = 37, K = 29 };

struct linear {
    double x[M * K], w[N * K], dy[M * N];
};

static double linear(const void *ctx) {
    const struct linear *l = ctx;
    double sum = 0;
    for (size_t i = 0; i < M; i++)
        for (size_t n = 0; n < N; n++)
            for (size_t k = 0; k < K; k++)
                sum += l->dy[i * N + n] * l->x[i * K + k] * l->w[n * K + k];
    return sum;
}

static void keep_dx(void *ctx, int thread, size_t m0, size_t m, size_t n0, size_t n, float *c,
                    size_t c_stride) {
    float *dx = ctx;
    (void)thread;
    for (size_t i = 0; i < m; i++) memcpy(dx + (m0 + i) * K + n0, c + i * c_stride, n * sizeof *c);
}

static void *aligned(size_t bytes) {
    void *p = aligned_alloc(64, gw_round_up(bytes, 64));
    memset(p, 0, gw_round_up(bytes, 64));
    return p;
}

/* Both products on two threads. */
struct products {
    const struct gw_linear_dx *dx;
    float *to;
    const struct gw_linear_dw *dw;
    char *scratch[2];
    struct gw_pool *pool;
};

static void products_region(void *ctx, int thread, int n_threads) {
    const struct products *p = ctx;
    (void)n_threads;
    if (p->dx != NULL) gw_linear_dx(p->dx, keep_dx, p->to, p->scratch[thread], p->pool, thread);
    if (p->dw != NULL) gw_linear_dw(p->dw, p->scratch[thread], p->pool, thread);
}

static void run_products(const struct gw_linear_dx *dx, float *to, const struct gw_linear_dw *dw) {
    struct products p = {.dx = dx, .to = to, .dw = dw};
    struct gwen_err err;
    for (int i = 0; i < 2; i++) p.scratch[i] = aligned(gw_linear_dx_scratch_bytes());
    assert_int_equal(gw_pool_create(2, &p.pool, &err), GWEN_OK);
    gw_pool_run(p.pool, products_region, &p);
    gw_pool_free(p.pool);
    for (int i = 0; i < 2; i++) free(p.scratch[i]);
}

static void pack_weights(struct gw_packed *packed, void *panels, const float *w, size_t n,
                         size_t k) {
    gw_packed_init(packed, GW_PANEL_F32, n, k, panels);
    for (size_t p = 0; p < packed->n_panels; p++) {
        const void *rows[GWEN_PANEL];
        for (size_t j = 0; j < GWEN_PANEL; j++)
            rows[j] = p * GWEN_PANEL + j < n ? &w[(p * GWEN_PANEL + j) * k] : NULL;
        gw_packed_set_panel(&kern, packed, p, rows);
    }
}

static void test_linear(void **state) {
    static struct linear l;
    static float x[M * K], w[N * K], dy[M * N], dx[M * K], dw[N * K];
    (void)state;
    fill(x, M * K), fill(w, N * K), fill(dy, M * N);
    widen(l.x, x, M * K), widen(l.w, w, N * K), widen(l.dy, dy, M * N);
    struct gw_packed packed;
    void *panels = aligned(gw_packed_bytes(GW_PANEL_F32, N, K));
    pack_weights(&packed, panels, w, N, K);
    const struct gw_linear_dx a = {
        .arith = &arith, .w = &packed, .m = M, .dy = dy, .dy_stride = N * sizeof(float)};
    run_products(&a, dx, NULL);
    expect_slopes("linear, x", linear, &l, l.x, dx, M * K);

    const struct gw_span spans[] = {{4, 9}, {0, 4}};
    const struct gw_token_pack pack = {&arith, spans, 2, M};
    char *x_panels = aligned((K + 15) / 16 * gw_panel_bytes(GW_PANEL_F32, M));
    char *dy_t = aligned(N * 64);
    gw_pack_tokens(&pack, (const char *)x, K * sizeof(float), 0, K, x_panels, 0, 1);
    gw_transpose_tokens(&pack, (const char *)dy, N * sizeof(float), 0, N, dy_t, 64, 0, 1);
    const struct gw_linear_dw b = {.arith = &arith,
                                   .n = N,
                                   .k = K,
                                   .n_padded = M,
                                   .dy_t = dy_t,
                                   .dy_t_stride = 64,
                                   .x_panels = x_panels,
                                   .dw = dw,
                                   .dw_stride = K};
    run_products(NULL, NULL, &b);
    expect_slopes("linear, weights", linear, &l, l.w, dw, N * K);
    free(panels);
    free(x_panels);
    free(dy_t);
}

/* Larger than the blocks, pieces and steps that products are cut into: every element is still one
 * chain. */
static void test_linear_is_one_chain(void **state) {
    enum { ROWS = 1100, WIDE = 530, DEEP = 29 };
    float *dy = aligned(ROWS * WIDE * sizeof *dy), *w = aligned(WIDE * DEEP * sizeof *w);
    float *dx = aligned(ROWS * DEEP * sizeof *dx), *x = aligned(ROWS * DEEP * sizeof *x);
    float *dw = aligned(WIDE * DEEP * sizeof *dw), *dy_t = aligned(WIDE * ROWS * sizeof *dy_t);
    void *panels = aligned(gw_packed_bytes(GW_PANEL_F32, WIDE, DEEP));
    char *x_panels = aligned((DEEP + 15) / 16 * gw_panel_bytes(GW_PANEL_F32, ROWS));
    struct gw_packed packed;
    (void)state;
    fill(dy, ROWS * WIDE), fill(w, WIDE * DEEP), fill(x, ROWS * DEEP), fill(dw, WIDE * DEEP);
    pack_weights(&packed, panels, w, WIDE, DEEP);
    const struct gw_span all = {0, ROWS};
    const struct gw_token_pack pack = {&arith, &all, 1, ROWS};
    gw_pack_tokens(&pack, (const char *)x, DEEP * sizeof *x, 0, DEEP, x_panels, 0, 1);
    gw_transpose_tokens(&pack, (const char *)dy, WIDE * sizeof *dy, 0, WIDE, (char *)dy_t,
                        ROWS * sizeof *dy_t, 0, 1);
    float *want = aligned(WIDE * DEEP * sizeof *want);
    memcpy(want, dw, WIDE * DEEP * sizeof *want);
    run_products(
        &(struct gw_linear_dx){
            .arith = &arith, .w = &packed, .m = ROWS, .dy = dy, .dy_stride = WIDE * sizeof *dy},
        dx,
        &(struct gw_linear_dw){.arith = &arith,
                               .n = WIDE,
                               .k = DEEP,
                               .n_padded = ROWS,
                               .dy_t = (const char *)dy_t,
                               .dy_t_stride = ROWS * sizeof *dy_t,
                               .x_panels = x_panels,
                               .dw = dw,
                               .dw_stride = DEEP});
    for (size_t k = 0; k < DEEP; k++) {
        for (size_t i = 0; i < ROWS; i++) {
            float sum = 0;
            for (size_t n = 0; n < WIDE; n++) sum = fmaf(dy[i * WIDE + n], w[n * DEEP + k], sum);
            assert_memory_equal(&dx[i * DEEP + k], &sum, sizeof sum);
        }
        for (size_t n = 0; n < WIDE; n++) {
            float sum = want[n * DEEP + k];
            for (size_t i = 0; i < ROWS; i++) sum = fmaf(dy[i * WIDE + n], x[i * DEEP + k], sum);
            assert_memory_equal(&dw[n * DEEP + k], &sum, sizeof sum);
        }
    }
    void *all_of_it[] = {dy, w, dx, x, dw, dy_t, panels, x_panels, want};
    for (size_t i = 0; i < GW_ARRAY_LEN(all_of_it); i++) free(all_of_it[i]);
}

/* --- attention ------------------------------------------------------------------------------ */

enum {
    HEAD_DIM = 6,
    HEADS = 2,
    TOKENS = 70,
    FIRST = 60,
    ROWS = TOKENS - FIRST,
    Q = HEADS * HEAD_DIM
};

struct attention {
    double q[ROWS * Q], k[TOKENS * HEAD_DIM], v[TOKENS * HEAD_DIM], d[ROWS * Q];
};

static double attention(const void *ctx) {
    const struct attention *a = ctx;
    double sum = 0;
    for (size_t r = 0; r < ROWS; r++)
        for (size_t h = 0; h < HEADS; h++) {
            const double *q = &a->q[r * Q + h * HEAD_DIM], *d = &a->d[r * Q + h * HEAD_DIM];
            double total = 0, weighted = 0;
            for (size_t t = 0; t <= FIRST + r; t++) {
                double score = 0, value = 0;
                for (size_t i = 0; i < HEAD_DIM; i++) {
                    score += q[i] * a->k[t * HEAD_DIM + i];
                    value += d[i] * a->v[t * HEAD_DIM + i];
                }
                const double p = exp(score / sqrt(HEAD_DIM));
                total += p;
                weighted += p * value;
            }
            sum += weighted / total;
        }
    return sum;
}

/* Rows 60..69 of a sequence: some see one block, some two. */
static void test_attention(void **state) {
    static struct attention a;
    static float q[ROWS * Q], k[TOKENS * HEAD_DIM], v[TOKENS * HEAD_DIM], d[ROWS * Q],
        out[ROWS * Q];
    static float dq[ROWS * Q], got[TOKENS * HEAD_DIM];
    static struct gw_attn_stats stats[ROWS * HEADS];
    struct gw_attn_row rows[ROWS];
    const uint32_t blocks[] = {1, 0};
    struct gw_kv_layout l;
    (void)state;
    fill(q, ROWS * Q), fill(k, TOKENS * HEAD_DIM), fill(v, TOKENS * HEAD_DIM), fill(d, ROWS * Q);
    for (size_t i = 0; i < ROWS * Q; i++) q[i] *= 3;
    widen(a.q, q, ROWS * Q), widen(a.k, k, TOKENS * HEAD_DIM);
    widen(a.v, v, TOKENS * HEAD_DIM), widen(a.d, d, ROWS * Q);
    gw_kv_layout_init(&l, GW_PANEL_F32, 1, 1, HEAD_DIM);
    char *base = aligned(2 * l.block_bytes);
    gw_kv_store(&arith, &l, base + l.block_bytes, 0, 0, 0, GW_KV_BLOCK, k, v, HEAD_DIM);
    gw_kv_store(&arith, &l, base, 0, 0, 0, TOKENS - GW_KV_BLOCK, k + GW_KV_BLOCK * HEAD_DIM,
                v + GW_KV_BLOCK * HEAD_DIM, HEAD_DIM);
    for (size_t r = 0; r < ROWS; r++) rows[r] = (struct gw_attn_row){blocks, FIRST + r};
    void *scratch = aligned(gw_attn_scratch_bytes(HEAD_DIM, HEADS));
    gw_attention(&(struct gw_attn_args){.arith = &arith,
                                        .layout = &l,
                                        .base = base,
                                        .heads_per_kv = HEADS,
                                        .scale = 1 / sqrtf(HEAD_DIM),
                                        .rows = rows,
                                        .n_rows = ROWS,
                                        .q = (const char *)q,
                                        .q_stride = Q * sizeof(float),
                                        .out = (char *)out,
                                        .out_stride = Q * sizeof(float),
                                        .stats = stats,
                                        .stats_stride = HEADS,
                                        .scratch = scratch});
    free(scratch);
    scratch = aligned(gw_attn_back_scratch_bytes(GW_PANEL_F32, HEAD_DIM, HEADS));
    const size_t stride = gw_attn_back_stride(HEAD_DIM);
    float *sums[2];
    for (size_t i = 0; i < 2; i++) sums[i] = aligned(2 * GW_KV_BLOCK * stride * sizeof(float));
    gw_attention_backward(&(struct gw_attn_back){.arith = &arith,
                                                 .layout = &l,
                                                 .base = base,
                                                 .heads_per_kv = HEADS,
                                                 .scale = 1 / sqrtf(HEAD_DIM),
                                                 .blocks = blocks,
                                                 .position = FIRST,
                                                 .n_rows = ROWS,
                                                 .q = (const char *)q,
                                                 .out = (const char *)out,
                                                 .q_stride = Q * sizeof(float),
                                                 .stats = stats,
                                                 .stats_stride = HEADS,
                                                 .d_out = d,
                                                 .d_out_stride = Q,
                                                 .dq = dq,
                                                 .dq_stride = Q,
                                                 .dk = sums[0],
                                                 .dv = sums[1],
                                                 .scratch = scratch});
    expect_slopes("attention, queries", attention, &a, a.q, dq, ROWS * Q);
    for (size_t i = 0; i < 2; i++) {
        for (size_t t = 0; t < TOKENS; t++)
            memcpy(got + t * HEAD_DIM, sums[i] + t * stride, HEAD_DIM * sizeof *got);
        expect_slopes(i == 0 ? "attention, keys" : "attention, values", attention, &a,
                      i == 0 ? a.k : a.v, got, TOKENS * HEAD_DIM);
        free(sums[i]);
    }
    free(scratch);
    free(base);
}

/* --- losses --------------------------------------------------------------------------------- */

enum { LENGTH = 6 };

/* Log-probabilities are floats: the steps are wide, and the bounds far from the ratios. */
static void test_losses(void **state) {
    static const float old[LENGTH] = {-1, -2, -0.5f, -3, -1.5f, -0.25f};
    static const float shift[LENGTH] = {0.3f, -0.4f, 0.05f, -0.02f, 0.6f, -0.1f};
    float lp[LENGTH], ref[LENGTH], dlp[LENGTH];
    (void)state;
    for (size_t i = 0; i < LENGTH; i++) {
        lp[i] = old[i] + shift[i];
        ref[i] = lp[i] - 0.2f + 0.1f * (float)i;
    }
    for (unsigned way = 0; way < 5u * 2 * 2 * 2; way++) {
        const struct gw_loss_opts o = {.loss = (enum gw_loss_type)(way % 5),
                                       .sequence_level = way / 5 % 2,
                                       .epsilon = 0.2,
                                       .epsilon_high = way % 5 == GW_LOSS_CISPO ? 50 : 0.28,
                                       .delta = INFINITY,
                                       .beta = 0.1,
                                       .use_bias_correction_kl = way / 20 % 2,
                                       .max_completion_length = LENGTH};
        /* The ratio of CISPO has no gradient, which a difference does not know. */
        if (o.loss == GW_LOSS_CISPO) continue;
        const struct gw_loss_input in = {.weight = 0.5,
                                         .advantage = way / 10 % 2 ? 1.3 : -0.7,
                                         .n = LENGTH,
                                         .lp = lp,
                                         .old = old,
                                         .ref = ref};
        struct gw_loss_stats stats = {0};
        double loss = 0, up, down;
        gw_loss_completion(&o, &in, &loss, dlp, &stats);
        for (size_t i = 0; i < LENGTH; i++) {
            const float x = lp[i], h = 0x1p-10f;
            up = down = 0;
            lp[i] = x + h;
            gw_loss_completion(&o, &in, &up, NULL, &stats);
            lp[i] = x - h;
            gw_loss_completion(&o, &in, &down, NULL, &stats);
            lp[i] = x;
            const double want = (up - down) / (2 * (double)h);
            if (!(fabs(want - (double)dlp[i]) < 1e-5))
                fail_msg("way %u: %zu is %g, not %g", way, i, (double)dlp[i], want);
        }
    }
}

/* --- the optimizer -------------------------------------------------------------------------- */

/* Steps of the kernel against the same steps in double. */
static void test_adamw(void **state) {
    const struct gw_adamw_opts o = {.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1};
    float w[8], m[8] = {0}, v[8] = {0}, g[8];
    double ww[8], mm[8] = {0}, vv[8] = {0};
    (void)state;
    fill(w, 8);
    widen(ww, w, 8);
    for (uint64_t t = 1; t <= 20; t++) {
        const double lr = 1e-2 / (double)t, clip = 0.5;
        const struct gwen_adamw step = gw_adamw_step(&o, t, lr, clip, true);
        fill(g, 8);
        kern.adamw(w, m, v, g, &step, 8);
        for (size_t i = 0; i < 8; i++) {
            const double grad = (double)g[i] * clip;
            mm[i] = o.beta1 * mm[i] + (1 - o.beta1) * grad;
            vv[i] = o.beta2 * vv[i] + (1 - o.beta2) * grad * grad;
            ww[i] -= lr * o.weight_decay * ww[i];
            ww[i] -= lr * (mm[i] / (1 - pow(o.beta1, (double)t))) /
                     (sqrt(vv[i] / (1 - pow(o.beta2, (double)t))) + o.eps);
            assert_true(fabs(ww[i] - (double)w[i]) < 1e-5);
        }
    }
    assert_true(gw_clip_factor(0.5, 1) == 1 && gw_clip_factor(5, 0) == 1);
    assert_true(fabs(gw_clip_factor(4, 1) - 0.25) < 1e-6);
    g[3] = NAN;
    assert_false(isfinite(gw_sum_squares(&kern, g, 8)));
}

int main(void) {
    gwen_kernels_init(&kern, scratch_isa());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rmsnorm),   cmocka_unit_test(test_swiglu),
        cmocka_unit_test(test_logprob),   cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_linear),    cmocka_unit_test(test_linear_is_one_chain),
        cmocka_unit_test(test_attention), cmocka_unit_test(test_losses),
        cmocka_unit_test(test_adamw),
    };
    return cmocka_run_group_tests_name("backward", tests, NULL, NULL);
}

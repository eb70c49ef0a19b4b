/* bench.c - see bench.h.  The steps are those of the decode engine (forward, head, draw) without
 * its queue, so that nothing but the arithmetic is timed. */
#include "service/bench/bench.h"

#include "base/clock.h"
#include "base/layout.h"
#include "base/rng.h"
#include "model/head.h"
#include "model/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PREFILL_ROWS = 512 };

struct bench {
    const struct gw_model *model;
    struct gw_pool *pool;
    struct gw_kv *kv;
    struct gw_workspace *ws;
    struct gw_head *head;
    size_t n_seqs, max_len;
    struct gw_seq *seqs;   /* [n_seqs] */
    uint32_t *tables;      /* their block tables */
    int32_t *tokens;       /* [n_seqs] the last token of each */
    int32_t *prompt;       /* [max_len] */
    char *sampler_scratch; /* per thread */
    struct gw_mem memory;  /* of these */
    struct gw_sampling sampling;
    uint64_t seed;
    size_t step, n_steps; /* of the region in progress */
    enum gwen_status status;
    struct gwen_err *err;
};

static void bench_close(struct bench *b) {
    gw_head_free(b->head);
    gw_workspace_free(b->ws);
    gw_kv_free(b->kv);
    gw_mem_unmap(&b->memory);
}

/* Sizes of a measurement. */
struct shape {
    size_t n_seqs, rows, max_len, n_blocks;
};

static struct shape decode_shape(const struct gw_bench_decode_opts *o) {
    struct shape s = {.n_seqs = o->batch, .max_len = o->prompt_tokens + o->new_tokens};
    size_t blocks = gw_kv_blocks_for(s.max_len), shared = o->prompt_tokens / GW_KV_BLOCK;
    s.rows = GW_MAX(o->batch, GW_MIN(o->prompt_tokens, (size_t)PREFILL_ROWS));
    s.n_blocks = o->separate_prompts ? o->batch * blocks : o->batch * (blocks - shared) + blocks;
    return s;
}

static struct shape prefill_shape(size_t prompt_tokens) {
    return (struct shape){.n_seqs = 1,
                          .rows = GW_MIN(prompt_tokens, (size_t)PREFILL_ROWS),
                          .max_len = prompt_tokens,
                          .n_blocks = gw_kv_blocks_for(prompt_tokens) + 1};
}

static void lay_out(struct gw_layout *l, const struct gw_config *c, const struct shape *s,
                    int n_threads, struct bench *b) {
    const size_t blocks = gw_kv_blocks_for(s->max_len);
    b->n_seqs = s->n_seqs;
    b->max_len = s->max_len;
    b->seqs = gw_layout_take(l, s->n_seqs, sizeof *b->seqs);
    b->tables = gw_layout_take(l, s->n_seqs, blocks * sizeof *b->tables);
    b->tokens = gw_layout_take(l, s->n_seqs, sizeof *b->tokens);
    b->prompt = gw_layout_take(l, s->max_len, sizeof *b->prompt);
    b->sampler_scratch =
        gw_layout_take(l, (size_t)n_threads, gw_sampler_scratch_bytes(c->vocab_size));
}

static size_t table_bytes(const struct gw_config *c, const struct shape *s, int n_threads) {
    struct gw_layout plan = {0};
    struct bench unused;
    lay_out(&plan, c, s, n_threads, &unused);
    return plan.used;
}

static size_t shape_bytes(const struct gw_config *c, enum gw_panel_format format,
                          const struct shape *s, int n_threads) {
    struct gw_kv_layout layout;
    gw_kv_layout_init(&layout, format, c->n_layers, c->n_kv_heads, c->head_dim);
    return gw_kv_bytes(&layout, s->n_blocks) +
           gw_workspace_bytes(c, format, s->rows, s->n_seqs, s->max_len, n_threads) +
           gw_head_bytes(c, s->n_seqs, true) + table_bytes(c, s, n_threads);
}

size_t gw_bench_decode_bytes(const struct gw_config *cfg, enum gw_panel_format format,
                             const struct gw_bench_decode_opts *opts, int n_threads) {
    struct shape s = decode_shape(opts);
    return shape_bytes(cfg, format, &s, n_threads);
}

size_t gw_bench_prefill_bytes(const struct gw_config *cfg, enum gw_panel_format format,
                              size_t prompt_tokens, int n_threads) {
    struct shape s = prefill_shape(prompt_tokens);
    return shape_bytes(cfg, format, &s, n_threads);
}

static enum gwen_status bench_open(struct bench *b, const struct shape *shape) {
    const struct gw_config *c = &b->model->cfg;
    const int n_threads = gw_pool_threads(b->pool);
    const size_t n_seqs = shape->n_seqs, blocks = gw_kv_blocks_for(shape->max_len);
    struct gw_kv_layout layout;
    struct gw_layout l;
    if (shape->max_len > c->max_position_embeddings)
        return gw_fail(b->err, GWEN_ERR_ARGUMENT, "%zu tokens exceed the model's context of %zu",
                       shape->max_len, c->max_position_embeddings);
    gw_kv_layout_init(&layout, b->model->arith.format, c->n_layers, c->n_kv_heads, c->head_dim);
    GW_TRY(gw_layout_map(&l, table_bytes(c, shape, n_threads), &b->memory, b->err));
    lay_out(&l, c, shape, n_threads, b);
    GW_TRY(gw_layout_end(&l, "the benchmark", b->err));
    for (size_t i = 0; i < n_seqs; i++) b->seqs[i].blocks = b->tables + i * blocks;
    GW_TRY(gw_kv_create(&layout, shape->n_blocks, blocks, &b->kv, b->err));
    GW_TRY(gw_workspace_create(b->model, b->kv, b->pool, shape->rows, n_seqs, b->max_len, &b->ws,
                               b->err));
    return gw_head_create(b->model, b->pool, n_seqs, true, &b->head, b->err);
}

static void run_head(struct bench *b, int thread) {
    struct gw_workspace *ws = b->ws;
    for (size_t i = 0; thread == 0 && i < ws->batch.n_out; i++) {
        b->head->temperature[i] = gw_sampling_temperature(&b->sampling);
        b->head->target[i] = -1;
    }
    gw_pool_barrier(b->pool);
    gw_head_run(b->head, ws->head_x,
                gw_packed_x_stride(b->model->arith.format, b->model->cfg.hidden), ws->batch.n_out,
                ws->scratch + (size_t)thread * ws->scratch_bytes, thread);
    gw_profile_mark(ws, GW_OP_HEAD, thread);
}

/* --- prefill -------------------------------------------------------------------------------- */

struct prefill {
    struct bench *b;
    struct gw_seq *seq;
    size_t n;
};

static void prefill_region(void *ctx, int thread, int n_threads) {
    const struct prefill *p = ctx;
    struct bench *b = p->b;
    for (size_t at = 0, n; at < p->n; at += n) {
        n = GW_MIN(p->n - at, GW_MIN(b->ws->max_rows, (size_t)PREFILL_ROWS));
        if (thread == 0) {
            gw_batch_clear(&b->ws->batch);
            b->status = gw_kv_extend(b->kv, p->seq, n, b->err);
            if (b->status == GWEN_OK) gw_batch_add(&b->ws->batch, b->prompt + at, n, p->seq, at);
            if (b->status == GWEN_OK && at + n == p->n) gw_batch_want_last(&b->ws->batch);
        }
        gw_pool_barrier(b->pool);
        if (b->status != GWEN_OK) return;
        gw_forward(b->ws, thread, n_threads);
        gw_pool_barrier(b->pool);
    }
    run_head(b, thread);
}

static enum gwen_status prefill(struct bench *b, struct gw_seq *seq, size_t n, uint64_t which) {
    struct gw_rng_key key = {.seed = b->seed, .stream = GW_STREAM_DATA, .prompt_key = which};
    struct prefill p = {b, seq, n};
    for (size_t i = 0; i < n; i++) {
        key.position = i;
        b->prompt[i] = (int32_t)(gw_rng_uniform(&key) * (double)b->model->cfg.vocab_size);
    }
    gw_pool_run(b->pool, prefill_region, &p);
    return b->status;
}

/* --- decode --------------------------------------------------------------------------------- */

static void compose_decode(struct bench *b) {
    gw_batch_clear(&b->ws->batch);
    for (size_t i = 0; i < b->n_seqs && b->status == GWEN_OK; i++) {
        size_t position = b->seqs[i].n_tokens;
        b->status = gw_kv_extend(b->kv, &b->seqs[i], 1, b->err);
        if (b->status != GWEN_OK) return;
        gw_batch_add(&b->ws->batch, &b->tokens[i], 1, &b->seqs[i], position);
        gw_batch_want_last(&b->ws->batch);
    }
}

static void decode_region(void *ctx, int thread, int n_threads) {
    struct bench *b = ctx;
    char *scratch =
        b->sampler_scratch + (size_t)thread * gw_sampler_scratch_bytes(b->model->cfg.vocab_size);
    for (size_t step = 0; step < b->n_steps; step++) {
        if (thread == 0) compose_decode(b);
        gw_pool_barrier(b->pool);
        if (b->status != GWEN_OK) return;
        gw_forward(b->ws, thread, n_threads);
        run_head(b, thread);
        for (size_t i; gw_pool_next(b->pool, thread, b->n_seqs, &i);) {
            struct gw_rng_key key = {.seed = b->seed,
                                     .stream = GW_STREAM_ROLLOUT,
                                     .sample = i,
                                     .position = b->step + step};
            float logprob;
            int32_t id =
                gw_sample(b->head, i, &b->sampling, gw_rng_uniform(&key), NULL, scratch, &logprob);
            b->tokens[i] = GW_MAX(id, 0);
        }
        gw_pool_barrier(b->pool);
    }
}

/* The same tokens in blocks of its own: what a step reads counts, not what it finds there, and a
 * long prompt for each of many rows would take minutes. */
static enum gwen_status copy_prompt(struct bench *b, const struct gw_seq *src, struct gw_seq *dst) {
    GW_TRY(gw_kv_extend(b->kv, dst, src->n_tokens, b->err));
    for (size_t i = 0; i < src->n_blocks; i++)
        memcpy(gw_kv_block(b->kv, dst->blocks[i]), gw_kv_block(b->kv, src->blocks[i]),
               gw_kv_layout(b->kv)->block_bytes);
    return GWEN_OK;
}

static enum gwen_status fork_all(struct bench *b, size_t prompt_tokens, bool separate) {
    for (size_t i = 0; i < b->n_seqs; i++) gw_kv_release(b->kv, &b->seqs[i]);
    GW_TRY(prefill(b, &b->seqs[0], prompt_tokens, 0));
    for (size_t i = 1; i < b->n_seqs; i++)
        if (separate)
            GW_TRY(copy_prompt(b, &b->seqs[0], &b->seqs[i]));
        else
            gw_kv_fork(b->kv, &b->seqs[0], prompt_tokens, &b->seqs[i]);
    return GWEN_OK;
}

static void mean_std(const double *x, int n, struct gw_rate *rate) {
    double sum = 0, square = 0;
    for (int i = 0; i < n; i++) sum += x[i];
    rate->mean = sum / n;
    for (int i = 0; i < n; i++) square += (x[i] - rate->mean) * (x[i] - rate->mean);
    rate->std = n > 1 ? sqrt(square / (n - 1)) : 0;
}

/* Seconds that n_rows rows cannot be faster than: the larger of moving and computing. */
static double least_seconds(const struct gw_model *m, const struct gw_limits *limits, size_t n_rows,
                            size_t n_out, double context, double kv_tokens) {
    double flops = 0, bytes = 0;
    for (int op = 0; op < GW_OP_COUNT; op++) {
        double f, b;
        gw_op_cost(m, (enum gw_op)op, n_rows, n_out, context, kv_tokens, &f, &b);
        flops += f;
        bytes += b;
    }
    return GW_MAX(flops / limits->flops_s, bytes / limits->bytes_s);
}

void gw_bench_decode_context(const struct gw_bench_decode_opts *o, double *context,
                             double *kv_tokens) {
    double own = (double)(o->new_tokens + 1) / 2;
    *context = (double)o->prompt_tokens + own;
    *kv_tokens = (double)o->prompt_tokens * (o->separate_prompts ? (double)o->batch : 1) +
                 own * (double)o->batch;
}

static enum gwen_status measure_decode(struct bench *b, const struct gw_bench_decode_opts *o,
                                       double *rates) {
    for (int run = -1; run < o->runs; run++) { /* the first one warms up */
        GW_TRY(fork_all(b, o->prompt_tokens, o->separate_prompts));
        b->ws->profile = run >= 0 ? o->profile : NULL;
        b->n_steps = run < 0 ? GW_MIN(o->new_tokens, (size_t)2) : o->new_tokens;
        uint64_t start = gw_now_ns();
        gw_pool_run(b->pool, decode_region, b);
        if (run >= 0) rates[run] = (double)(o->batch * o->new_tokens) / gw_seconds_since(start);
        b->ws->profile = NULL;
        if (b->status != GWEN_OK) return b->status;
    }
    return GWEN_OK;
}

enum gwen_status gw_bench_decode(const struct gw_model *model, struct gw_pool *pool,
                                 const struct gw_limits *limits,
                                 const struct gw_bench_decode_opts *o, struct gw_rate *rate,
                                 struct gwen_err *err) {
    struct bench b = {.model = model, .pool = pool, .seed = o->seed, .err = err};
    b.sampling = (struct gw_sampling)GW_SAMPLING_INIT;
    b.sampling.temperature = 0.8;
    struct shape shape = decode_shape(o);
    double *rates = calloc((size_t)o->runs, sizeof *rates);
    enum gwen_status status =
        rates == NULL ? gw_nomem(err, 0, "the benchmark") : bench_open(&b, &shape);
    if (status == GWEN_OK) status = measure_decode(&b, o, rates);
    if (status == GWEN_OK) {
        double context, kv_tokens;
        gw_bench_decode_context(o, &context, &kv_tokens);
        mean_std(rates, o->runs, rate);
        rate->limit =
            (double)o->batch / least_seconds(model, limits, o->batch, o->batch, context, kv_tokens);
    }
    free(rates);
    bench_close(&b);
    return status;
}

enum gwen_status gw_bench_prefill(const struct gw_model *model, struct gw_pool *pool,
                                  const struct gw_limits *limits, size_t prompt_tokens, int runs,
                                  uint64_t seed, struct gw_profile *profile, struct gw_rate *rate,
                                  struct gwen_err *err) {
    struct bench b = {.model = model, .pool = pool, .seed = seed, .err = err};
    b.sampling = (struct gw_sampling)GW_SAMPLING_INIT;
    struct shape shape = prefill_shape(prompt_tokens);
    double *rates = calloc((size_t)runs, sizeof *rates);
    enum gwen_status status =
        rates == NULL ? gw_nomem(err, 0, "the benchmark") : bench_open(&b, &shape);
    for (int run = -1; run < runs && status == GWEN_OK; run++) {
        gw_kv_release(b.kv, &b.seqs[0]);
        b.ws->profile = run >= 0 ? profile : NULL;
        uint64_t start = gw_now_ns();
        status = prefill(&b, &b.seqs[0], prompt_tokens, 0);
        if (run >= 0) rates[run] = (double)prompt_tokens / gw_seconds_since(start);
    }
    if (status == GWEN_OK) {
        mean_std(rates, runs, rate);
        rate->limit = (double)prompt_tokens / least_seconds(model, limits, prompt_tokens, 1,
                                                            (double)(prompt_tokens + 1) / 2,
                                                            (double)prompt_tokens);
    }
    free(rates);
    bench_close(&b);
    return status;
}

/* --- costs ---------------------------------------------------------------------------------- */

static void linear_cost(const struct gw_packed *w, size_t rows, double *flops, double *bytes) {
    *flops = 2.0 * (double)rows * (double)w->n * (double)w->k;
    *bytes = (double)w->n_panels * (double)w->panel_stride;
}

void gw_op_cost(const struct gw_model *m, enum gw_op op, size_t n_rows, size_t n_out,
                double context, double kv_tokens, double *flops, double *bytes) {
    const struct gw_config *c = &m->cfg;
    const struct gw_layer *l = &m->layers[0];
    double layers = (double)c->n_layers, elem = (double)gw_panel_elem(m->arith.format);
    *flops = *bytes = 0;
    switch (op) {
    case GW_OP_QKV: linear_cost(&l->qkv, n_rows, flops, bytes); break;
    case GW_OP_O: linear_cost(&l->o, n_rows, flops, bytes); break;
    case GW_OP_GATE_UP: linear_cost(&l->gate_up, n_rows, flops, bytes); break;
    case GW_OP_DOWN: linear_cost(&l->down, n_rows, flops, bytes); break;
    case GW_OP_HEAD: linear_cost(&m->head, n_out, flops, bytes); return;
    case GW_OP_ATTEND:
        *flops = 4.0 * (double)n_rows * context * (double)(c->n_heads * c->head_dim);
        *bytes = 2.0 * kv_tokens * (double)(c->n_kv_heads * c->head_dim) * elem;
        break;
    case GW_OP_EMBED: *bytes = (double)(n_rows * c->hidden) * elem; return;
    case GW_OP_ROTATE: /* keys and values of the new tokens are stored */
        *bytes = 2.0 * (double)(n_rows * c->n_kv_heads * c->head_dim) * elem;
        break;
    case GW_OP_NORM: /* its rows are in the cache */
    case GW_OP_COUNT: return;
    }
    *flops *= layers;
    *bytes *= layers;
}

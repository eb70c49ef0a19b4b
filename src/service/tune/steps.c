/* steps.c - see steps.h.  A step is that of the decode engine (forward, head, draw)
 * without its queue. */
#include "service/tune/steps.h"

#include "base/clock.h"
#include "base/layout.h"
#include "base/rng.h"
#include "model/head.h"
#include "model/sampler.h"

#include <stdlib.h>

struct gw_steps {
    struct gw_steps_opts o;
    const struct gw_model *model;
    struct gw_pool *pool;
    struct gw_kv *kv;
    struct gw_workspace *ws;
    struct gw_head *head;
    struct gw_seq *seqs; /* [rows], then the prompts of rows, then those being prefilled */
    uint32_t *tables;
    int32_t *tokens; /* [max(rows, prompt_tokens)] drawn, or anything */
    char *scratch;   /* of the sampler, per thread */
    struct gw_mem memory;
    /* the step in progress */
    size_t rows, own_tokens, prefill, repeat;
};

/* How many of what. */
struct sizes {
    size_t n_prompts, n_prefills, n_seqs, blocks_each, n_blocks, max_rows;
};

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

static struct sizes sizes_of(const struct gw_steps_opts *o) {
    struct sizes s = {.n_prompts = ceil_div(o->rows, o->groups),
                      .n_prefills = ceil_div(o->prefill, o->prompt_tokens),
                      .blocks_each = gw_kv_blocks_for(o->prompt_tokens + o->own_tokens),
                      .max_rows = o->rows + o->prefill};
    const size_t prompt = gw_kv_blocks_for(o->prompt_tokens);
    s.n_seqs = o->rows + s.n_prompts + s.n_prefills;
    s.n_blocks = (s.n_prompts + s.n_prefills) * prompt +
                 o->rows * (s.blocks_each - o->prompt_tokens / GW_KV_BLOCK) + 1;
    return s;
}

static void lay_out(struct gw_layout *l, const struct gw_config *c, const struct gw_steps_opts *o,
                    int n_threads, struct gw_steps *s) {
    const struct sizes n = sizes_of(o);
    s->seqs = gw_layout_take(l, n.n_seqs, sizeof *s->seqs);
    s->tables = gw_layout_take(l, n.n_seqs, n.blocks_each * sizeof *s->tables);
    s->tokens = gw_layout_take(l, GW_MAX(o->rows, o->prompt_tokens), sizeof *s->tokens);
    s->scratch = gw_layout_take(l, (size_t)n_threads, gw_sampler_scratch_bytes(c->vocab_size));
}

static size_t table_bytes(const struct gw_config *c, const struct gw_steps_opts *o, int n_threads) {
    struct gw_layout plan = {0};
    struct gw_steps unused;
    lay_out(&plan, c, o, n_threads, &unused);
    return plan.used;
}

size_t gw_steps_bytes(const struct gw_config *c, enum gw_panel_format format,
                      const struct gw_steps_opts *o, int n_threads) {
    const struct sizes s = sizes_of(o);
    struct gw_kv_layout layout;
    gw_kv_layout_init(&layout, format, c->n_layers, c->n_kv_heads, c->head_dim);
    return gw_kv_bytes(&layout, s.n_blocks) +
           gw_workspace_bytes(c, format, s.max_rows, o->rows, o->prompt_tokens + o->own_tokens,
                              n_threads) +
           gw_head_bytes(c, o->rows, true) + table_bytes(c, o, n_threads);
}

static enum gwen_status allocate(struct gw_steps *s, struct gwen_err *err) {
    const struct sizes n = sizes_of(&s->o);
    const struct gw_config *c = &s->model->cfg;
    const int n_threads = gw_pool_threads(s->pool);
    struct gw_kv_layout layout;
    struct gw_layout l;
    GW_TRY(gw_layout_map(&l, table_bytes(c, &s->o, n_threads), &s->memory, err));
    lay_out(&l, c, &s->o, n_threads, s);
    GW_TRY(gw_layout_end(&l, "measuring steps", err));
    for (size_t i = 0; i < n.n_seqs; i++) s->seqs[i].blocks = s->tables + i * n.blocks_each;
    gw_kv_layout_init(&layout, s->model->arith.format, c->n_layers, c->n_kv_heads, c->head_dim);
    GW_TRY(gw_kv_create(&layout, n.n_blocks, n.blocks_each, &s->kv, err));
    GW_TRY(gw_workspace_create(s->model, s->kv, s->pool, n.max_rows, s->o.rows,
                               s->o.prompt_tokens + s->o.own_tokens, &s->ws, err));
    return gw_head_create(s->model, s->pool, s->o.rows, true, &s->head, err);
}

/* Gives every sequence its blocks: rows share their prompt's. */
static enum gwen_status fill(struct gw_steps *s, struct gwen_err *err) {
    const struct gw_steps_opts *o = &s->o;
    const struct sizes n = sizes_of(o);
    struct gw_seq *prompts = s->seqs + o->rows;
    for (size_t i = 0; i < n.n_prompts + n.n_prefills; i++)
        GW_TRY(gw_kv_extend(s->kv, &prompts[i], o->prompt_tokens, err));
    for (size_t i = 0; i < o->rows; i++) {
        gw_kv_fork(s->kv, &prompts[i / o->groups], o->prompt_tokens, &s->seqs[i]);
        GW_TRY(gw_kv_extend(s->kv, &s->seqs[i], o->own_tokens, err));
    }
    return GWEN_OK;
}

enum gwen_status gw_steps_open(const struct gw_model *model, struct gw_pool *pool,
                               const struct gw_steps_opts *opts, struct gw_steps **out,
                               struct gwen_err *err) {
    struct gw_steps *s = calloc(1, sizeof *s);
    *out = NULL;
    if (s == NULL) return gw_nomem(err, sizeof *s, "measuring steps");
    s->o = *opts;
    s->model = model;
    s->pool = pool;
    enum gwen_status status = allocate(s, err);
    if (status == GWEN_OK) status = fill(s, err);
    if (status != GWEN_OK) {
        gw_steps_close(s);
        return status;
    }
    gw_steps_time(s, 1, 1, 0, 1); /* the blocks that rows share in part are copied here */
    *out = s;
    return GWEN_OK;
}

void gw_steps_close(struct gw_steps *s) {
    if (s == NULL) return;
    gw_head_free(s->head);
    gw_workspace_free(s->ws);
    gw_kv_free(s->kv);
    gw_mem_unmap(&s->memory);
    free(s);
}

static void compose(struct gw_steps *s) {
    struct gw_batch *b = &s->ws->batch;
    const size_t prompt = s->o.prompt_tokens;
    const struct gw_seq *prefills = s->seqs + s->o.rows + sizes_of(&s->o).n_prompts;
    gw_batch_clear(b);
    for (size_t i = 0; i < s->rows; i++) {
        gw_batch_add(b, &s->tokens[i], 1, &s->seqs[i], prompt + s->own_tokens - 1);
        gw_batch_want_last(b);
        s->head->temperature[i] = 1;
        s->head->target[i] = -1;
    }
    for (size_t at = 0, n; at < s->prefill; at += n) {
        n = GW_MIN(prompt, s->prefill - at);
        gw_batch_add(b, s->tokens, n, &prefills[at / prompt], 0);
    }
}

static void steps_region(void *ctx, int thread, int n_threads) {
    struct gw_steps *s = ctx;
    const struct gw_sampling sampling = GW_SAMPLING_INIT;
    const size_t vocab = s->model->cfg.vocab_size;
    const size_t stride = gw_packed_x_stride(s->model->arith.format, s->model->cfg.hidden);
    char *scratch = s->scratch + (size_t)thread * gw_sampler_scratch_bytes(vocab);
    for (size_t step = 0; step < s->repeat; step++) {
        if (thread == 0) compose(s);
        gw_pool_barrier(s->pool);
        gw_forward(s->ws, thread, n_threads);
        gw_head_run(s->head, s->ws->head_x, stride, s->ws->batch.n_out,
                    s->ws->scratch + (size_t)thread * s->ws->scratch_bytes, thread);
        for (size_t i; gw_pool_next(s->pool, thread, s->rows, &i);) {
            const struct gw_rng_key key = {.sample = i, .position = step};
            float logprob;
            const int32_t id =
                gw_sample(s->head, i, &sampling, gw_rng_uniform(&key), NULL, scratch, &logprob);
            s->tokens[i] = GW_MAX(id, 0);
        }
        gw_pool_barrier(s->pool);
    }
}

double gw_steps_time(struct gw_steps *s, size_t rows, size_t own_tokens, size_t prefill,
                     size_t repeat) {
    s->rows = GW_MIN(rows, s->o.rows);
    s->own_tokens = GW_MIN(GW_MAX(own_tokens, (size_t)1), s->o.own_tokens);
    s->prefill = GW_MIN(prefill, s->o.prefill);
    s->repeat = repeat;
    const uint64_t start = gw_now_ns();
    gw_pool_run(s->pool, steps_region, s);
    return gw_seconds_since(start) / (double)repeat;
}

/* forward.c - see forward.h.
 *
 * All threads of a pool's run go through the same calls in the same order.  Each line below is one
 * operation of the pool (pool.h): its work is cut into units, every thread begins with the units of
 * its own share and then takes some of the share that is furthest behind.  One layer is
 *
 *     operation   a unit is                   reads             writes
 *     norm        a row                       h                 x
 *     q|k|v       a group of 64 columns       x, weights        qkv
 *     rotate      a run of rows, a kv head    qkv               q, keys and values in their blocks
 *     attend      part of an item, a kv head  q, their blocks   attn
 *     o           a group of 64 columns       attn, weights     h, added to
 *     norm        a row                       h                 x
 *     gate|up     a group of 64 columns       x, weights        act = silu(gate) * up
 *     down        a group of 64 columns       act, weights      h, added to
 *
 * with an adapter's first product, x A^T into lora_u, before each of the four it belongs to.
 *
 * Why it is cut so.  Every element has one unit that computes it, from start to end: nothing is
 * summed up from parts of several threads, so how many there are and who took what changes no bit.
 * What follows a product row by row and column by column (bias, the residual's sum, silu) is done
 * to a finished piece while it is in the cache, by the `done` of gw_linear.  A norm needs a whole
 * row of its input, attention all heads' keys: there one operation ends and the next begins.
 * The shares are the same each time, so that a thread finds its weights on its own node, where it
 * packed them, and a head's keys in its own cache, where it stored them.
 *
 * Why there are no barriers.  An operation ends for a thread when all units are done, by whomever,
 * not when all threads have come; decoding has some hundred short operations a step, and waiting in
 * each for a thread whose core was taken away would hold up all.  A thread that comes late to an
 * operation finds no unit of it left and touches none of its arrays: so x may be written
 * again by the second norm although somebody has not come to the first.  But it still asks how many
 * units there were.  Whatever that is computed from (the batch, what is kept, which adapter) must
 * not change before all have met: by the caller, between one pass and the next.  Barriers inside
 * stand only where one thread alone does something in between: when the KV cache's copies have been
 * made, and for tests that look on. */
#include "model/forward.h"

#include "base/clock.h"
#include "base/layout.h"
#include "model/lora.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t qkv_cols(const struct gw_config *c) {
    return (c->n_heads + 2 * c->n_kv_heads) * c->head_dim;
}

size_t gw_gate_up_cols(const struct gw_config *c) { return 2 * gw_round_up(c->ffn, GWEN_PANEL); }

/* --- memory --------------------------------------------------------------------------------- */

static size_t thread_scratch_bytes(const struct gw_config *c) {
    size_t attn = gw_attn_scratch_bytes(c->head_dim, c->n_heads / c->n_kv_heads);
    size_t row = gw_round_up(GW_MAX(c->hidden, 2 * c->head_dim) * sizeof(float), 64);
    return gw_round_up(GW_MAX(GW_MAX(attn, gw_linear_scratch_bytes()), row), 4096);
}

/* Everything but the rotation's table; returns the bytes at the start that all threads share. */
static size_t lay_out(struct gw_layout *l, const struct gw_config *c, enum gw_panel_format f,
                      size_t rows, size_t out, int n_threads, struct gw_workspace *ws) {
    const size_t width = gw_packed_x_stride(f, c->n_heads * c->head_dim);
    struct gw_batch *b = &ws->batch;
    ws->h = gw_layout_take(l, rows, c->hidden * sizeof *ws->h);
    ws->x = gw_layout_take(l, rows, gw_packed_x_stride(f, c->hidden));
    ws->qkv = gw_layout_take(l, rows, qkv_cols(c) * sizeof *ws->qkv);
    ws->q = gw_layout_take(l, rows, width);
    ws->attn = gw_layout_take(l, rows, width);
    ws->act = gw_layout_take(l, rows, gw_packed_x_stride(f, c->ffn));
    ws->lora_u =
        gw_layout_take(l, c->lora_width > 0 ? rows : 0, gw_packed_x_stride(f, c->lora_width));
    ws->head_x = gw_layout_take(l, out, gw_packed_x_stride(f, c->hidden));
    const size_t shared = l->used;
    ws->scratch_bytes = thread_scratch_bytes(c);
    ws->scratch = gw_layout_take(l, (size_t)n_threads, ws->scratch_bytes);
    b->tokens = gw_layout_take(l, rows, sizeof *b->tokens);
    b->rows = gw_layout_take(l, rows, sizeof *b->rows);
    b->runs = gw_layout_take(l, rows, sizeof *b->runs);
    b->items = gw_layout_take(l, rows, sizeof *b->items);
    b->out_rows = gw_layout_take(l, rows, sizeof *b->out_rows);
    return shared;
}

static size_t planned_bytes(const struct gw_config *c, enum gw_panel_format f, size_t rows,
                            size_t out, int n_threads) {
    struct gw_layout plan = {0};
    struct gw_workspace unused;
    lay_out(&plan, c, f, rows, out, n_threads, &unused);
    return plan.used;
}

size_t gw_workspace_bytes(const struct gw_config *c, enum gw_panel_format f, size_t max_rows,
                          size_t max_out, size_t max_positions, int n_threads) {
    return planned_bytes(c, f, max_rows, max_out, n_threads) +
           gw_rope_table_bytes(c->head_dim, max_positions);
}

static enum gwen_status create_memory(struct gw_workspace *ws, struct gwen_err *err) {
    const struct gw_config *c = &ws->model->cfg;
    const enum gw_panel_format f = ws->model->arith.format;
    const int n_threads = gw_pool_threads(ws->pool);
    struct gw_layout l;
    GW_TRY(gw_layout_map(&l, planned_bytes(c, f, ws->max_rows, ws->max_out, n_threads), &ws->memory,
                         err));
    const size_t shared = lay_out(&l, c, f, ws->max_rows, ws->max_out, n_threads, ws);
    GW_TRY(gw_layout_end(&l, "a workspace", err));
    gw_mem_interleave(ws->memory.data, shared); /* the rest each thread touches itself */
    return GWEN_OK;
}

static struct gw_rope_spec rope_spec(const struct gw_config *c) {
    struct gw_rope_spec s = {.theta = c->rope.theta,
                             .factor = c->rope.factor,
                             .low_freq_factor = c->rope.low_freq_factor,
                             .high_freq_factor = c->rope.high_freq_factor,
                             .original_context = (double)c->rope.original_max_position_embeddings,
                             .head_dim = c->head_dim};
    switch (c->rope.type) {
    case GW_ROPE_DEFAULT: s.scaling = GW_ROPE_SCALE_NONE; break;
    case GW_ROPE_LINEAR: s.scaling = GW_ROPE_SCALE_LINEAR; break;
    case GW_ROPE_LLAMA3: s.scaling = GW_ROPE_SCALE_LLAMA3; break;
    }
    return s;
}

enum gwen_status gw_workspace_create(const struct gw_model *model, struct gw_kv *kv,
                                     struct gw_pool *pool, size_t max_rows, size_t max_out,
                                     size_t max_positions, struct gw_workspace **out,
                                     struct gwen_err *err) {
    *out = NULL;
    struct gw_workspace *ws = calloc(1, sizeof *ws);
    if (ws == NULL) return gw_nomem(err, sizeof *ws, "a workspace");
    ws->model = model;
    ws->lora = model->lora;
    ws->kv = kv;
    ws->pool = pool;
    ws->max_rows = max_rows;
    ws->max_out = max_out;
    const struct gw_rope_spec spec = rope_spec(&model->cfg);
    enum gwen_status status = create_memory(ws, err);
    if (status == GWEN_OK) status = gw_rope_table_create(&spec, max_positions, &ws->rope, err);
    if (status != GWEN_OK) {
        gw_workspace_free(ws);
        return status;
    }
    *out = ws;
    return GWEN_OK;
}

void gw_workspace_free(struct gw_workspace *ws) {
    if (ws == NULL) return;
    free(ws->stop.asked);
    gw_rope_table_free(&ws->rope);
    gw_mem_unmap(&ws->memory);
    free(ws);
}

/* --- profile -------------------------------------------------------------------------------- */

const char *gw_op_name(enum gw_op op) {
    static const char *const names[GW_OP_COUNT] = {"embed", "norm",    "qkv",  "rotate", "attend",
                                                   "o",     "gate_up", "down", "head"};
    return names[op];
}

void gw_profile_mark(const struct gw_workspace *ws, enum gw_op op, int thread) {
    if (ws->profile == NULL || thread != 0) return;
    uint64_t now = gw_now_ns();
    ws->profile->ns[op] += now - ws->profile->last_ns;
    ws->profile->last_ns = now;
}

/* --- what happens to a finished piece of a product ------------------------------------------ */

/* y[m][n] (+)= c + bias, y row-major float. */
struct to_float {
    const struct gwen_kernels *kern;
    float *y;
    size_t stride;
    const float *bias; /* or NULL */
    bool add;
};

static void done_float(void *ctx, int thread, size_t m0, size_t m, size_t n0, size_t n, float *c,
                       size_t c_stride) {
    const struct to_float *d = ctx;
    (void)thread;
    for (size_t i = 0; i < m; i++) {
        float *row = c + i * c_stride, *y = d->y + (m0 + i) * d->stride + n0;
        if (d->bias != NULL) d->kern->add(row, d->bias + n0, n);
        if (d->add)
            d->kern->add(y, row, n);
        else
            memcpy(y, row, n * sizeof *row);
    }
}

/* act[m][f] = silu(gate) * up from columns that alternate panel by panel. */
struct to_act {
    const struct gw_arith *arith;
    char *act;
    size_t stride, ffn;
    const float *bias; /* or NULL */
    float *keep;       /* [rows][gw_gate_up_cols()] or NULL */
    size_t keep_stride;
};

static void done_act(void *ctx, int thread, size_t m0, size_t m, size_t n0, size_t n, float *c,
                     size_t c_stride) {
    const struct to_act *d = ctx;
    (void)thread;
    const bool bf16 = d->arith->format == GW_PANEL_BF16X2;
    const size_t f = n0 / 2, valid = GW_MIN(n / 2, d->ffn - f);
    for (size_t i = 0; d->bias != NULL && i < m; i++)
        d->arith->kern->add(c + i * c_stride, d->bias + n0, n);
    for (size_t i = 0; d->keep != NULL && i < m; i++)
        memcpy(d->keep + (m0 + i) * d->keep_stride + n0, c + i * c_stride, n * sizeof *c);
    d->arith->kern->swiglu(d->act + m0 * d->stride + f * gw_x_elem(d->arith->format), d->stride,
                           bf16, c, c_stride, m, valid);
}

/* A layer's product and, where it has an adapter, what that adds (lora.h). */
static void linear(const struct gw_workspace *ws, enum gw_op op, size_t layer, enum gw_site site,
                   const struct gw_packed *w, const char *x, size_t x_stride, gw_linear_done *done,
                   void *ctx, int thread) {
    const struct gw_model *m = ws->model;
    const struct gw_lora *lora = ws->lora;
    char *scratch = ws->scratch + (size_t)thread * ws->scratch_bytes;
    struct gw_lora_add add = {.arith = &m->arith, .lora = lora, .then = done, .ctx = ctx};
    if (lora != NULL && lora->sites[layer][site].width > 0) {
        add.site = &lora->sites[layer][site];
        add.u = ws->lora_u;
        add.u_stride = gw_packed_x_stride(m->arith.format, m->cfg.lora_width);
        struct gw_lora_u u = {&m->arith, lora->scale, ws->lora_u, add.u_stride};
        gw_linear(&m->arith, &add.site->a, ws->batch.n_rows, x, x_stride, gw_lora_take_u, &u,
                  scratch, ws->pool, thread);
        done = gw_lora_add;
        ctx = &add;
    }
    gw_linear(&m->arith, w, ws->batch.n_rows, x, x_stride, done, ctx, scratch, ws->pool, thread);
    gw_profile_mark(ws, op, thread);
}

/* --- the parts of a layer ------------------------------------------------------------------- */

static void embed(const struct gw_workspace *ws, int thread) {
    for (size_t r; gw_pool_next(ws->pool, thread, ws->batch.n_rows, &r);)
        gw_packed_get_row(&ws->model->embed, (size_t)ws->batch.tokens[r],
                          ws->h + r * ws->model->cfg.hidden);
    gw_profile_mark(ws, GW_OP_EMBED, thread);
}

/* x[i] = norm(h[rows[i]]) for n rows; rows NULL: all in order.  keep (or NULL) gets a copy of h. */
static void norm_rows(const struct gw_workspace *ws, const float *weight, const size_t *rows,
                      size_t n, char *x, float *keep, int thread) {
    const struct gw_model *m = ws->model;
    size_t hidden = m->cfg.hidden, stride = gw_packed_x_stride(m->arith.format, hidden);
    float *row = (float *)(void *)(ws->scratch + (size_t)thread * ws->scratch_bytes);
    for (size_t i; gw_pool_next(ws->pool, thread, n, &i);) {
        const float *h = ws->h + (rows == NULL ? i : rows[i]) * hidden;
        if (keep != NULL) memcpy(keep + i * hidden, h, hidden * sizeof *h);
        m->kern.rmsnorm(row, h, weight, hidden, (float)m->cfg.rms_eps);
        gw_store_x(&m->arith, x + i * stride, 0, row, hidden);
    }
    gw_profile_mark(ws, GW_OP_NORM, thread);
}

/* How many rows ahead the next ones are asked for. */
enum { ROWS_AHEAD = 2 };

/* Asks for the queries, key and values of one row: they are pieces of a long row, which another
 * thread may have computed. */
static void prefetch_heads(const struct gw_workspace *ws, size_t row, size_t kv_head) {
    const struct gw_config *c = &ws->model->cfg;
    const size_t hpk = c->n_heads / c->n_kv_heads, bytes = c->head_dim * sizeof(float);
    const float *at = ws->qkv + row * qkv_cols(c);
    const char *q = (const char *)(at + kv_head * hpk * c->head_dim);
    const char *k = (const char *)(at + (c->n_heads + kv_head) * c->head_dim);
    const char *v = k + c->n_kv_heads * bytes;
    for (size_t i = 0; i < hpk * bytes; i += GW_CACHE_LINE) __builtin_prefetch(q + i, 1);
    for (size_t i = 0; i < bytes; i += GW_CACHE_LINE) {
        __builtin_prefetch(k + i, 1);
        __builtin_prefetch(v + i, 1);
    }
}

/* Rows of one run and one kv head: finishes its keys and queries, stores keys and values.  A run
 * stays with one thread, because neighbouring tokens share words of the V panels. */
static void rotate_and_store(const struct gw_workspace *ws, size_t layer,
                             const struct gw_saves *saves, struct gw_span run, size_t kv_head) {
    const struct gw_model *m = ws->model;
    const struct gw_config *c = &m->cfg;
    const struct gw_layer *l = &m->layers[layer];
    size_t hd = c->head_dim, hpk = c->n_heads / c->n_kv_heads, cols = qkv_cols(c);
    size_t q_stride = gw_packed_x_stride(m->arith.format, c->n_heads * hd);
    float *keys = ws->qkv + (c->n_heads + kv_head) * hd;
    const size_t half = ws->rope.half, elem = gw_x_elem(m->arith.format);
    const float eps = (float)c->rms_eps;
    for (size_t r = run.begin; r < run.end; r++) {
        if (r + ROWS_AHEAD < run.end) prefetch_heads(ws, r + ROWS_AHEAD, kv_head);
        const size_t position = ws->batch.rows[r].position;
        const float *cosines = ws->rope.cosines + position * half;
        const float *sines = ws->rope.sines + position * half;
        float *q = ws->qkv + r * cols + kv_head * hpk * hd, *k = keys + r * cols;
        if (saves->qkv != NULL) { /* values are not looked at by the backward pass */
            float *keep = saves->qkv + r * cols;
            memcpy(keep + kv_head * hpk * hd, q, hpk * hd * sizeof *q);
            memcpy(keep + (c->n_heads + kv_head) * hd, k, hd * sizeof *k);
        }
        m->kern.norm_rope(k, false, k, 1, half, l->k_norm, eps, cosines, sines);
        m->kern.norm_rope(ws->q + r * q_stride + kv_head * hpk * hd * elem,
                          m->arith.format == GW_PANEL_BF16X2, q, hpk, half, l->q_norm, eps, cosines,
                          sines);
    }
    for (size_t r = run.begin, n; r < run.end; r += n) {
        const struct gw_attn_row *row = &ws->batch.rows[r];
        size_t slot = row->position % GW_KV_BLOCK;
        n = GW_MIN(run.end - r, GW_KV_BLOCK - slot);
        const float *k = keys + r * cols;
        gw_kv_store(&m->arith, gw_kv_layout(ws->kv),
                    gw_kv_block(ws->kv, row->blocks[row->position / GW_KV_BLOCK]), layer, kv_head,
                    slot, n, k, k + c->n_kv_heads * hd, cols);
    }
}

/* A sample's newest token lands in lines that nothing has read since its last step. */
static void prefetch_store(const struct gw_workspace *ws, size_t layer, struct gw_span run,
                           size_t kv_head) {
    const struct gw_attn_row *row = &ws->batch.rows[run.begin];
    gw_kv_prefetch_slot(gw_kv_layout(ws->kv),
                        gw_kv_block(ws->kv, row->blocks[row->position / GW_KV_BLOCK]), layer,
                        kv_head, row->position % GW_KV_BLOCK);
}

/* Where results of attention go. */
static char *attn_of(const struct gw_workspace *ws, const struct gw_saves *saves) {
    return saves->attn != NULL ? saves->attn : ws->attn;
}

static void attend(const struct gw_workspace *ws, size_t layer, const struct gw_saves *saves,
                   struct gw_span item, size_t kv_head, int thread) {
    const struct gw_model *m = ws->model;
    const struct gw_config *c = &m->cfg;
    size_t hpk = c->n_heads / c->n_kv_heads;
    size_t stride = gw_packed_x_stride(m->arith.format, c->n_heads * c->head_dim);
    size_t at = item.begin * stride + kv_head * hpk * c->head_dim * gw_x_elem(m->arith.format);
    gw_attention(&(struct gw_attn_args){
        .arith = &m->arith,
        .layout = gw_kv_layout(ws->kv),
        .base = gw_kv_base(ws->kv),
        .layer = layer,
        .kv_head = kv_head,
        .heads_per_kv = hpk,
        .scale = 1.0f / sqrtf((float)c->head_dim),
        .rows = ws->batch.rows + item.begin,
        .n_rows = item.end - item.begin,
        .q = ws->q + at,
        .q_stride = stride,
        .out = attn_of(ws, saves) + at,
        .out_stride = stride,
        .stats =
            saves->stats != NULL ? saves->stats + item.begin * c->n_heads + kv_head * hpk : NULL,
        .stats_stride = c->n_heads,
        .scratch = ws->scratch + (size_t)thread * ws->scratch_bytes,
    });
}

/* Rows that attend together read the blocks they share once, but many threads want several pieces
 * of work each: into how many parts an item is cut. */
static size_t parts_of_items(size_t n_items, int n_threads) {
    const size_t wanted = n_threads > 1 ? 4 * (size_t)n_threads : 1;
    return GW_MIN((wanted + n_items - 1) / n_items, (size_t)GW_ATTN_MAX_ROWS / 4);
}

/* Head by head: the thread that stores a head's keys and values is the one that reads them, while
 * they are in its caches. */
static void attention(const struct gw_workspace *ws, size_t layer, const struct gw_saves *saves,
                      int thread) {
    const size_t heads = ws->model->cfg.n_kv_heads;
    const size_t n_runs = ws->batch.n_runs, n_items = ws->batch.n_items;
    for (size_t i; gw_pool_next(ws->pool, thread, n_runs * heads, &i);) {
        if (i + 1 < n_runs * heads)
            prefetch_store(ws, layer, ws->batch.runs[(i + 1) % n_runs], (i + 1) / n_runs);
        rotate_and_store(ws, layer, saves, ws->batch.runs[i % n_runs], i / n_runs);
    }
    gw_profile_mark(ws, GW_OP_ROTATE, thread);
    const size_t parts = parts_of_items(n_items * heads, gw_pool_threads(ws->pool));
    for (size_t i; gw_pool_next(ws->pool, thread, n_items * heads * parts, &i);) {
        const struct gw_span all = ws->batch.items[i / parts % n_items];
        struct gw_span part;
        gw_share(all.end - all.begin, (int)(i % parts), (int)parts, &part.begin, &part.end);
        if (part.begin == part.end) continue;
        part.begin += all.begin;
        part.end += all.begin;
        attend(ws, layer, saves, part, i / parts / n_items, thread);
    }
    gw_profile_mark(ws, GW_OP_ATTEND, thread);
}

void gw_forward_layer(const struct gw_workspace *ws, size_t index, const struct gw_saves *keep,
                      int thread) {
    static const struct gw_saves nothing = {0};
    const struct gw_saves *saves = keep != NULL ? keep : &nothing;
    const struct gw_model *m = ws->model;
    const struct gw_config *c = &m->cfg;
    const struct gw_layer *l = &m->layers[index];
    const struct gw_batch *b = &ws->batch;
    size_t x_stride = gw_packed_x_stride(m->arith.format, c->hidden);
    size_t attn_stride = gw_packed_x_stride(m->arith.format, c->n_heads * c->head_dim);
    size_t act_stride = gw_packed_x_stride(m->arith.format, c->ffn);
    struct to_float qkv = {&m->kern, ws->qkv, qkv_cols(c), l->qkv_bias, false};
    struct to_float o = {&m->kern, ws->h, c->hidden, l->o_bias, true};
    struct to_float down = {&m->kern, ws->h, c->hidden, l->down_bias, true};
    struct to_act act = {&m->arith,       ws->act,        act_stride,        c->ffn,
                         l->gate_up_bias, saves->gate_up, gw_gate_up_cols(c)};

    norm_rows(ws, l->attn_norm, NULL, b->n_rows, ws->x, saves->h_in, thread);
    linear(ws, GW_OP_QKV, index, GW_SITE_QKV, &l->qkv, ws->x, x_stride, done_float, &qkv, thread);
    attention(ws, index, saves, thread);
    linear(ws, GW_OP_O, index, GW_SITE_O, &l->o, attn_of(ws, saves), attn_stride, done_float, &o,
           thread);
    norm_rows(ws, l->mlp_norm, NULL, b->n_rows, ws->x, saves->h_mid, thread);
    linear(ws, GW_OP_GATE_UP, index, GW_SITE_GATE_UP, &l->gate_up, ws->x, x_stride, done_act, &act,
           thread);
    linear(ws, GW_OP_DOWN, index, GW_SITE_DOWN, &l->down, ws->act, act_stride, done_float, &down,
           thread);
}

static void trace(const struct gw_workspace *ws, size_t layer, int thread) {
    if (ws->trace == NULL) return;
    if (thread == 0) ws->trace(ws->trace_ctx, layer, ws->h, ws->batch.n_rows);
    gw_pool_barrier(ws->pool);
}

enum gwen_status gw_workspace_may_stop(struct gw_workspace *ws, bool (*go_on)(void *ctx), void *ctx,
                                       struct gwen_err *err) {
    const size_t n = (size_t)gw_pool_threads(ws->pool);
    ws->stop.asked = calloc(n, sizeof *ws->stop.asked);
    if (ws->stop.asked == NULL) return gw_nomem(err, n * sizeof *ws->stop.asked, "a workspace");
    ws->stop.go_on = go_on;
    ws->stop.ctx = ctx;
    ws->stop.at = SIZE_MAX;
    return GWEN_OK;
}

void gw_workspace_ask_anew(struct gw_workspace *ws) {
    if (ws->stop.go_on == NULL) return;
    memset(ws->stop.asked, 0, (size_t)gw_pool_threads(ws->pool) * sizeof *ws->stop.asked);
    ws->stop.at = SIZE_MAX;
}

bool gw_workspace_stops(struct gw_workspace *ws, int thread) {
    struct gw_stop *s = &ws->stop;
    if (s->go_on == NULL) return false;
    const size_t number = s->asked[thread]++;
    for (size_t unit; gw_pool_next(ws->pool, thread, 1, &unit);)
        if (s->at == SIZE_MAX && !s->go_on(s->ctx)) s->at = number;
    return s->at <= number;
}

bool gw_workspace_stopped(const struct gw_workspace *ws) {
    return ws->stop.go_on != NULL && ws->stop.at != SIZE_MAX;
}

void gw_forward(struct gw_workspace *ws, int thread, int n_threads) {
    const struct gw_model *m = ws->model;
    if (thread == 0 && ws->profile != NULL) ws->profile->last_ns = gw_now_ns();
    if (gw_kv_n_copies(ws->kv) > 0) {
        gw_kv_run_copies(ws->kv, thread, n_threads);
        gw_pool_barrier(ws->pool);
        if (thread == 0) gw_kv_copies_done(ws->kv);
    }
    embed(ws, thread);
    trace(ws, 0, thread);
    for (size_t i = 0; i < m->cfg.n_layers; i++) {
        if (gw_workspace_stops(ws, thread)) return;
        gw_forward_layer(ws, i, ws->saves != NULL ? &ws->saves[i] : NULL, thread);
        trace(ws, i + 1, thread);
    }
    norm_rows(ws, m->norm, ws->batch.out_rows, ws->batch.n_out, ws->head_x, ws->keep_out, thread);
}

/* memory.c - what a trainer holds: how it is laid out, planned, created and freed; see trainer.h.
 */
#include "train/impl.h"

#include "base/clock.h"
#include "base/layout.h"
#include "base/touch.h"

#include <stdlib.h>

enum { HEAD_ROWS = 256 }; /* output rows whose statistics are held at a time */

size_t gw_qkv_cols(const struct gw_config *c) {
    return (c->n_heads + 2 * c->n_kv_heads) * c->head_dim;
}

void *gw_trainer_scratch(const struct gw_trainer *t, int thread) {
    return t->back.scratch + (size_t)thread * t->back.scratch_bytes;
}

enum gw_recompute gw_recompute_of(const struct gw_trainer_opts *o, size_t layer) {
    return o->recompute_stride > 1 && layer % o->recompute_stride != 0 ? GW_RECOMPUTE_NONE
                                                                       : o->recompute;
}

/* --- sizes ---------------------------------------------------------------------------------- */

static size_t max_segs(const struct gw_trainer_opts *o) { return 2 * o->micro_batch + 1; }

static size_t max_blocks(const struct gw_trainer_opts *o) { return gw_kv_blocks_for(o->max_len); }

/* KV blocks of a pass: whole ones for all rows, a partial one and a copy for each segment. */
static size_t n_blocks(const struct gw_trainer_opts *o) {
    return o->max_rows / GW_KV_BLOCK + 2 * max_segs(o) + 1;
}

void gw_train_lay_out_sums(struct gw_layout *l, const struct gw_config *c, enum gw_panel_format f,
                           const struct gw_trainer_opts *o, struct gw_train_sums *s) {
    const size_t positions = gw_round_up(o->max_len, GW_KV_BLOCK);
    s->stride = gw_attn_back_stride(c->head_dim);
    s->dk = gw_layout_take(l, positions, s->stride * sizeof *s->dk);
    s->dv = gw_layout_take(l, positions, s->stride * sizeof *s->dv);
    s->scratch = gw_layout_take(
        l, 1, gw_attn_back_scratch_bytes(f, c->head_dim, c->n_heads / c->n_kv_heads));
}

static size_t scratch_bytes(const struct gw_config *c, enum gw_panel_format f,
                            const struct gw_trainer_opts *o) {
    struct gw_layout attention = {0};
    struct gw_train_sums unused;
    gw_train_lay_out_sums(&attention, c, f, o, &unused);
    return gw_round_up(GW_MAX(gw_linear_dx_scratch_bytes(), attention.used), 4096);
}

static size_t vocab_chunk(const struct gw_config *c) {
    const size_t n = gw_gate_up_cols(c) / GW_VOCAB_BLOCK * GW_VOCAB_BLOCK; /* as wide as d_wide */
    return GW_MAX(n, (size_t)GW_VOCAB_BLOCK);
}

static size_t head_rows(const struct gw_trainer_opts *o) {
    return GW_MIN((size_t)HEAD_ROWS, o->max_rows);
}

/* --- layout --------------------------------------------------------------------------------- */

/* What one layer keeps besides h_in. */
static void lay_out_saves(struct gw_layout *l, const struct gw_config *c, enum gw_panel_format f,
                          size_t rows, bool attn, bool wide, struct gw_saves *s) {
    if (attn) {
        s->attn = gw_layout_take(l, rows, gw_packed_x_stride(f, c->n_heads * c->head_dim));
        s->stats = gw_layout_take(l, rows, c->n_heads * sizeof *s->stats);
        s->h_mid = gw_layout_take(l, rows, c->hidden * sizeof *s->h_mid);
    }
    if (wide) {
        s->qkv = gw_layout_take(l, rows, gw_qkv_cols(c) * sizeof *s->qkv);
        s->gate_up = gw_layout_take(l, rows, gw_gate_up_cols(c) * sizeof *s->gate_up);
    }
}

/* k->layers NULL: there are none yet, only the bytes count. */
static void lay_out_kept(struct gw_layout *l, const struct gw_config *c, enum gw_panel_format f,
                         const struct gw_trainer_opts *o, struct gw_train_kept *k) {
    const size_t rows = o->max_rows;
    struct gw_saves unused;
    for (size_t i = 0; i < c->n_layers; i++) {
        struct gw_saves *s = k->layers != NULL ? &k->layers[i] : &unused;
        const enum gw_recompute again = gw_recompute_of(o, i);
        s->h_in = gw_layout_take(l, rows, c->hidden * sizeof *s->h_in);
        lay_out_saves(l, c, f, rows, again != GW_RECOMPUTE_LAYER, again == GW_RECOMPUTE_NONE, s);
    }
    /* What is computed again lies here, layer after layer. */
    lay_out_saves(l, c, f, rows, o->recompute == GW_RECOMPUTE_LAYER,
                  o->recompute != GW_RECOMPUTE_NONE, &k->live);
}

static void lay_out_outputs(struct gw_layout *l, const struct gw_config *c,
                            const struct gw_trainer_opts *o, struct gw_train_out *out) {
    const size_t rows = o->max_rows;
    out->h = gw_layout_take(l, rows, c->hidden * sizeof *out->h);
    out->rows = gw_layout_take(l, rows, sizeof *out->rows);
    out->spans = gw_layout_take(l, max_segs(o), sizeof *out->spans);
    out->targets = gw_layout_take(l, rows, sizeof *out->targets);
    out->max = gw_layout_take(l, rows, sizeof *out->max);
    out->sum = gw_layout_take(l, rows, sizeof *out->sum);
    out->dlogprob = gw_layout_take(l, rows, sizeof *out->dlogprob);
    out->p = gw_layout_take(l, rows, sizeof *out->p);
}

static void lay_out_back(struct gw_layout *l, const struct gw_config *c, enum gw_panel_format f,
                         const struct gw_trainer_opts *o, int n_threads, struct gw_train_back *b) {
    const size_t rows = o->max_rows, width = c->n_heads * c->head_dim;
    b->vocab_chunk = vocab_chunk(c);
    b->max_padded = gw_most_padded_tokens(rows, max_segs(o));
    b->scratch_bytes = scratch_bytes(c, f, o);
    const size_t wide = GW_MAX(GW_MAX(gw_gate_up_cols(c), gw_qkv_cols(c)), b->vocab_chunk);
    const size_t tall = GW_MAX(GW_MAX(wide, c->hidden), c->lora_width);
    const size_t deep = GW_MAX(GW_MAX(c->hidden, c->ffn), width);
    const enum gw_panel_format token = gw_token_format(f);
    b->dh = gw_layout_take(l, rows, c->hidden * sizeof *b->dh);
    b->dx = gw_layout_take(l, rows, c->hidden * sizeof *b->dx);
    b->dy = gw_layout_take(l, rows, gw_packed_x_stride(f, c->hidden));
    b->d_wide = gw_layout_take(l, rows, gw_packed_x_stride(f, wide));
    b->d_attn = gw_layout_take(l, rows, width * sizeof *b->d_attn);
    b->d_qkv = gw_layout_take(l, rows, gw_qkv_cols(c) * sizeof *b->d_qkv);
    b->dy_t = gw_layout_take(l, tall, gw_packed_x_stride(token, b->max_padded));
    b->x_panels = gw_layout_take(l, (deep + GWEN_PANEL - 1) / GWEN_PANEL,
                                 gw_panel_bytes(token, b->max_padded));
    b->inv = gw_layout_take(l, rows, (c->n_heads + c->n_kv_heads) * sizeof *b->inv);
    b->prompt_dkv = gw_layout_take(l, o->share_prompts ? 2 * c->n_layers * c->n_kv_heads : 0,
                                   gw_round_up(o->max_prompt, GW_KV_BLOCK) *
                                       gw_attn_back_stride(c->head_dim) * sizeof *b->prompt_dkv);
    b->scratch = gw_layout_take(l, (size_t)n_threads, b->scratch_bytes);
    const size_t lora_rows = c->lora_width > 0 ? rows : 0;
    b->lora_u = gw_layout_take(l, lora_rows, gw_packed_x_stride(f, c->lora_width));
    b->lora_du = gw_layout_take(l, lora_rows, gw_packed_x_stride(f, c->lora_width));
    b->lora_dx = gw_layout_take(l, lora_rows, deep * sizeof *b->lora_dx);
}

static void lay_out_embed(struct gw_layout *l, const struct gw_config *c,
                          const struct gw_trainer_opts *o, struct gw_train_embed *e) {
    const size_t tokens = c->lora_width > 0 ? 0 : o->max_step_tokens;
    e->rows = gw_layout_take(l, tokens, c->hidden * sizeof *e->rows);
    e->tokens = gw_layout_take(l, tokens, sizeof *e->tokens);
}

static void lay_out_pass(struct gw_layout *l, const struct gw_trainer_opts *o,
                         struct gw_train_pass *p) {
    const size_t segs = max_segs(o);
    p->segs = gw_layout_take(l, segs, sizeof *p->segs);
    p->parts = gw_layout_take(l, segs, sizeof *p->parts);
    p->spans = gw_layout_take(l, segs, sizeof *p->spans);
    p->block_tables = gw_layout_take(l, segs, max_blocks(o) * sizeof *p->block_tables);
}

/* All of t->memory; says how much of it is what. */
static void lay_out(struct gw_layout *l, const struct gw_config *c, enum gw_panel_format f,
                    const struct gw_trainer_opts *o, int n_threads, size_t n_floats,
                    struct gw_trainer *t, struct gw_trainer_bytes *bytes) {
    *bytes = (struct gw_trainer_bytes){0};
    lay_out_kept(l, c, f, o, &t->kept);
    bytes->activations = l->used;
    lay_out_outputs(l, c, o, &t->out);
    lay_out_back(l, c, f, o, n_threads, &t->back);
    lay_out_embed(l, c, o, &t->embed);
    lay_out_pass(l, o, &t->pass);
    bytes->scratch = l->used - bytes->activations;
    t->grads = gw_layout_take(l, n_floats, sizeof *t->grads);
    bytes->gradients = l->used - bytes->scratch - bytes->activations;
}

void gw_trainer_bytes(const struct gw_config *c, enum gw_panel_format f,
                      const struct gw_trainer_opts *o, int n_threads,
                      struct gw_trainer_bytes *bytes) {
    struct gw_layout plan = {0};
    struct gw_trainer unused = {0};
    struct gw_kv_layout layout;
    gw_kv_layout_init(&layout, f, c->n_layers, c->n_kv_heads, c->head_dim);
    lay_out(&plan, c, f, o, n_threads, gw_trained_floats(c), &unused, bytes);
    bytes->kv = gw_kv_bytes(&layout, n_blocks(o));
    bytes->scratch += gw_workspace_bytes(c, f, o->max_rows, o->max_rows, o->max_len, n_threads) +
                      gw_head_bytes(c, head_rows(o), false);
}

/* --- creating ------------------------------------------------------------------------------- */

static enum gwen_status create_memory(struct gw_trainer *t, struct gwen_err *err) {
    const struct gw_config *c = &t->model->cfg;
    const enum gw_panel_format f = t->model->arith.format;
    const int n_threads = gw_pool_threads(t->pool);
    const size_t n_floats = t->params->n_floats;
    struct gw_trainer unused = {0};
    struct gw_trainer_bytes bytes;
    struct gw_layout l = {0};
    lay_out(&l, c, f, &t->opts, n_threads, n_floats, &unused, &bytes);
    GW_TRY(gw_layout_map(&l, l.used, &t->memory, err));
    lay_out(&l, c, f, &t->opts, n_threads, n_floats, t, &bytes);
    GW_TRY(gw_layout_end(&l, "the trainer", err));
    return gw_touch(t->pool, &t->memory, bytes.activations + bytes.scratch, t->memory.bytes, err);
}

static enum gwen_status create_parts(struct gw_trainer *t, struct gwen_err *err) {
    const struct gw_config *c = &t->model->cfg;
    const struct gw_trainer_opts *o = &t->opts;
    struct gw_kv_layout layout;
    t->kept.layers = calloc(c->n_layers, sizeof *t->kept.layers);
    t->kept.window = calloc(c->n_layers, sizeof *t->kept.window);
    if (t->kept.layers == NULL || t->kept.window == NULL)
        return gw_nomem(err, 2 * c->n_layers * sizeof *t->kept.layers, "the trainer");
    gw_kv_layout_init(&layout, t->model->arith.format, c->n_layers, c->n_kv_heads, c->head_dim);
    if (t->model->lora == NULL) GW_TRY(gw_params_of_model(c, &t->model_params, err));
    t->params = t->model->lora != NULL ? &t->model->lora->params : &t->model_params;
    GW_TRY(create_memory(t, err));
    GW_TRY(gw_kv_create(&layout, n_blocks(o), max_blocks(o), &t->kv, err));
    GW_TRY(gw_workspace_create(t->model, t->kv, t->pool, o->max_rows, o->max_rows, o->max_len,
                               &t->ws, err));
    if (o->go_on != NULL) GW_TRY(gw_workspace_may_stop(t->ws, o->go_on, o->go_on_ctx, err));
    return gw_head_create(t->model, t->pool, head_rows(o), false, &t->head, err);
}

enum gwen_status gw_trainer_create(const struct gw_model *model, struct gw_pool *pool,
                                   const struct gw_trainer_opts *opts, struct gw_trainer **out,
                                   struct gwen_err *err) {
    *out = NULL;
    if (opts->micro_batch == 0 || opts->max_len < 2 || opts->max_rows < gw_trainer_min_rows(opts) ||
        !(opts->temperature >= 1e-6 && opts->temperature <= 1e6))
        return gw_fail(err, GWEN_ERR_ARGUMENT, "trainer: bad sizes");
    if (opts->max_len > model->cfg.max_position_embeddings)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "sequences of %zu tokens exceed the model's context of %zu "
                       "(max_position_embeddings)",
                       opts->max_len, model->cfg.max_position_embeddings);
    struct gw_trainer *t = calloc(1, sizeof *t);
    if (t == NULL) return gw_nomem(err, sizeof *t, "the trainer");
    t->model = model;
    t->pool = pool;
    t->opts = *opts;
    enum gwen_status status = create_parts(t, err);
    if (status != GWEN_OK) {
        gw_trainer_free(t);
        return status;
    }
    t->ws->keep_out = t->out.h;
    *out = t;
    return GWEN_OK;
}

void gw_trainer_free(struct gw_trainer *t) {
    if (t == NULL) return;
    gw_head_free(t->head);
    gw_workspace_free(t->ws);
    gw_kv_free(t->kv);
    gw_params_free(&t->model_params);
    gw_mem_unmap(&t->memory);
    free(t->kept.layers);
    free(t->kept.window);
    free(t);
}

const struct gw_params *gw_trainer_params(const struct gw_trainer *t) { return t->params; }
float *gw_trainer_grads(struct gw_trainer *t) { return t->grads; }

/* --- profile -------------------------------------------------------------------------------- */

const char *gw_train_op_name(enum gw_train_op op) {
    static const char *const names[GW_TRAIN_OP_COUNT] = {
        "again",   "pack",   "head z", "head dX",    "head dW", "qkv dX",  "o dX",    "gate_up dX",
        "down dX", "qkv dW", "o dW",   "gate_up dW", "down dW", "attend'", "rotate'", "norm'"};
    return names[op];
}

void gw_trainer_profile(struct gw_trainer *t, struct gw_train_profile *profile) {
    t->profile = profile;
}

void gw_train_mark(const struct gw_trainer *t, enum gw_train_op op, int thread) {
    if (t->profile == NULL || thread != 0) return;
    uint64_t now = gw_now_ns();
    t->profile->ns[op] += now - t->profile->last_ns;
    t->profile->last_ns = now;
}

/* trainer.c - memory and the parallel region of the trainer; see trainer.h. */
#include "train/impl.h"

#include "base/clock.h"
#include "base/touch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_ROWS = 256 }; /* output rows whose statistics are held at a time */

size_t gw_qkv_cols(const struct gw_config *c) {
    return (c->n_heads + 2 * c->n_kv_heads) * c->head_dim;
}

void *gw_trainer_scratch(const struct gw_trainer *t, int thread) {
    return t->scratch + (size_t)thread * t->scratch_bytes;
}

/* --- memory --------------------------------------------------------------------------------- */

static size_t max_segs(const struct gw_trainer_opts *o) { return 2 * o->micro_batch + 1; }

static size_t max_blocks(const struct gw_trainer_opts *o) { return gw_kv_blocks_for(o->max_len); }

/* KV blocks of a pass: whole ones for all rows, a partial one and a copy for each segment. */
static size_t n_blocks(const struct gw_trainer_opts *o) {
    return o->max_rows / GW_KV_BLOCK + 2 * max_segs(o) + 1;
}

static size_t acc_floats(const struct gw_config *c, const struct gw_trainer_opts *o) {
    return gw_round_up(o->max_len, GW_KV_BLOCK) * gw_attn_back_stride(c->head_dim);
}

static size_t scratch_bytes(const struct gw_config *c, enum gw_panel_format f,
                            const struct gw_trainer_opts *o) {
    const size_t dx = gw_linear_dx_scratch_bytes();
    const size_t attn = gw_round_up(2 * acc_floats(c, o) * sizeof(float), 64) +
                        gw_attn_back_scratch_bytes(f, c->head_dim, c->n_heads / c->n_kv_heads);
    return gw_round_up(GW_MAX(dx, attn), 4096);
}

/* Lays everything out from `base` (NULL: only the size counts). */
struct carver {
    char *base;
    size_t used;
};

static void *carve(struct carver *c, size_t bytes) {
    void *at = c->base == NULL ? NULL : c->base + c->used;
    c->used += gw_round_up(bytes, 64);
    return at;
}

enum gw_recompute gw_recompute_of(const struct gw_trainer_opts *o, size_t layer) {
    return o->recompute_stride > 1 && layer % o->recompute_stride != 0 ? GW_RECOMPUTE_NONE
                                                                       : o->recompute;
}

/* What each layer keeps; h_in always. */
static void carve_saves(struct carver *k, const struct gw_config *c, enum gw_panel_format f,
                        size_t rows, bool attn, bool wide, struct gw_saves *s) {
    const size_t floats = rows * sizeof(float);
    if (attn) {
        s->attn = carve(k, rows * gw_packed_x_stride(f, c->n_heads * c->head_dim));
        s->stats = carve(k, rows * c->n_heads * sizeof *s->stats);
        s->h_mid = carve(k, floats * c->hidden);
    }
    if (wide) {
        s->qkv = carve(k, floats * gw_qkv_cols(c));
        s->gate_up = carve(k, floats * gw_gate_up_cols(c));
    }
}

static void lay_out_activations(struct carver *k, const struct gw_config *c, enum gw_panel_format f,
                                const struct gw_trainer_opts *o, struct gw_trainer *t) {
    struct gw_saves unused;
    for (size_t i = 0; i < c->n_layers; i++) {
        struct gw_saves *s = t != NULL ? &t->saves[i] : &unused;
        const enum gw_recompute again = gw_recompute_of(o, i);
        s->h_in = carve(k, o->max_rows * c->hidden * sizeof(float));
        carve_saves(k, c, f, o->max_rows, again != GW_RECOMPUTE_LAYER, again == GW_RECOMPUTE_NONE,
                    s);
    }
    /* What is computed again lies here, layer after layer. */
    carve_saves(k, c, f, o->max_rows, o->recompute == GW_RECOMPUTE_LAYER,
                o->recompute != GW_RECOMPUTE_NONE, t != NULL ? &t->live : &unused);
}

#define TAKE(field, bytes)                                                                         \
    do {                                                                                           \
        void *at_ = carve(k, bytes);                                                               \
        if (t != NULL) t->field = at_;                                                             \
    } while (0)

static void lay_out_scratch(struct carver *k, const struct gw_config *c, enum gw_panel_format f,
                            const struct gw_trainer_opts *o, int n_threads, struct gw_trainer *t) {
    const size_t rows = o->max_rows, segs = max_segs(o), chunk = gw_trainer_vocab_chunk(c);
    const size_t width = c->n_heads * c->head_dim, floats = rows * sizeof(float);
    const size_t wide = GW_MAX(GW_MAX(gw_gate_up_cols(c), gw_qkv_cols(c)), chunk);
    const size_t tall = GW_MAX(GW_MAX(wide, c->hidden), c->lora_width),
                 deep = GW_MAX(GW_MAX(c->hidden, c->ffn), width);
    const size_t padded = gw_most_padded_tokens(rows, segs);
    const enum gw_panel_format token = gw_token_format(f);
    TAKE(h_out, floats * c->hidden);
    TAKE(out_rows, rows * sizeof(size_t));
    TAKE(out_spans, segs * sizeof(struct gw_span));
    TAKE(out_targets, rows * sizeof(int32_t));
    TAKE(out_max, floats);
    TAKE(out_sum, rows * sizeof(double));
    TAKE(out_dlogprob, floats);
    TAKE(out_p, floats);
    TAKE(dh, floats * c->hidden);
    TAKE(dx, floats * c->hidden);
    TAKE(dy, rows * gw_packed_x_stride(f, c->hidden));
    TAKE(d_wide, rows * gw_packed_x_stride(f, wide));
    TAKE(d_attn, floats * width);
    TAKE(d_qkv, floats * gw_qkv_cols(c));
    TAKE(dy_t, tall * gw_packed_x_stride(token, padded));
    TAKE(x_panels, (deep + GWEN_PANEL - 1) / GWEN_PANEL * gw_panel_bytes(token, padded));
    TAKE(inv, floats * (c->n_heads + c->n_kv_heads));
    TAKE(prompt_dkv, o->share_prompts ? c->n_layers * c->n_kv_heads * 2 * sizeof(float) *
                                            gw_round_up(o->max_prompt, GW_KV_BLOCK) *
                                            gw_attn_back_stride(c->head_dim)
                                      : 0);
    TAKE(scratch, (size_t)n_threads * scratch_bytes(c, f, o));
    const bool lora = c->lora_width > 0;
    const size_t u_stride = lora ? gw_packed_x_stride(f, c->lora_width) : 0;
    TAKE(lora_u, rows * u_stride);
    TAKE(lora_du, rows * u_stride);
    TAKE(lora_dx, lora ? floats * deep : 0);
    TAKE(embed_rows, lora ? 0 : o->max_step_tokens * c->hidden * sizeof(float));
    TAKE(embed_tokens, lora ? 0 : o->max_step_tokens * sizeof(int32_t));
    TAKE(segs, segs * sizeof(struct gw_train_seg));
    TAKE(parts, segs * sizeof(struct gw_train_part));
    TAKE(spans, segs * sizeof(struct gw_span));
    TAKE(block_tables, segs * max_blocks(o) * sizeof(uint32_t));
}

void gw_trainer_bytes(const struct gw_config *c, enum gw_panel_format f,
                      const struct gw_trainer_opts *o, int n_threads,
                      struct gw_trainer_bytes *bytes) {
    struct carver activations = {0}, scratch = {0};
    struct gw_kv_layout layout;
    gw_kv_layout_init(&layout, f, c->n_layers, c->n_kv_heads, c->head_dim);
    lay_out_activations(&activations, c, f, o, NULL);
    lay_out_scratch(&scratch, c, f, o, n_threads, NULL);
    *bytes = (struct gw_trainer_bytes){
        .activations = activations.used,
        .scratch = scratch.used +
                   gw_workspace_bytes(c, f, o->max_rows, o->max_rows, o->max_len, n_threads) +
                   gw_head_bytes(c, GW_MIN((size_t)HEAD_ROWS, o->max_rows), false),
        .kv = gw_kv_bytes(&layout, n_blocks(o)),
        .gradients = gw_trained_floats(c) * sizeof(float)};
}

static enum gwen_status create_memory(struct gw_trainer *t, struct gwen_err *err) {
    const struct gw_config *c = &t->model->cfg;
    const enum gw_panel_format f = t->model->arith.format;
    const int n_threads = gw_pool_threads(t->pool);
    struct carver k = {0};
    lay_out_activations(&k, c, f, &t->opts, NULL);
    lay_out_scratch(&k, c, f, &t->opts, n_threads, NULL);
    const size_t grads = k.used;
    GW_TRY(gw_mem_map(&t->memory, grads + t->params->n_floats * sizeof(float), err));
    k = (struct carver){t->memory.data, 0};
    lay_out_activations(&k, c, f, &t->opts, t);
    lay_out_scratch(&k, c, f, &t->opts, n_threads, t);
    t->grads = (float *)(void *)((char *)t->memory.data + grads);
    return gw_touch(t->pool, &t->memory, grads, t->memory.bytes, err);
}

static enum gwen_status create_parts(struct gw_trainer *t, struct gwen_err *err) {
    const struct gw_config *c = &t->model->cfg;
    const struct gw_trainer_opts *o = &t->opts;
    struct gw_kv_layout layout;
    t->saves = calloc(c->n_layers, sizeof *t->saves);
    t->window = calloc(c->n_layers, sizeof *t->window);
    if (t->saves == NULL || t->window == NULL)
        return gw_nomem(err, 2 * c->n_layers * sizeof *t->saves, "the trainer");
    gw_kv_layout_init(&layout, t->model->arith.format, c->n_layers, c->n_kv_heads, c->head_dim);
    if (t->model->lora == NULL) GW_TRY(gw_params_of_model(c, &t->model_params, err));
    t->params = t->model->lora != NULL ? &t->model->lora->params : &t->model_params;
    GW_TRY(create_memory(t, err));
    GW_TRY(gw_kv_create(&layout, n_blocks(o), max_blocks(o), &t->kv, err));
    GW_TRY(gw_workspace_create(t->model, t->kv, t->pool, o->max_rows, o->max_rows, o->max_len,
                               &t->ws, err));
    return gw_head_create(t->model, t->pool, GW_MIN((size_t)HEAD_ROWS, o->max_rows), false,
                          &t->head, err);
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
    t->scratch_bytes = scratch_bytes(&model->cfg, model->arith.format, opts);
    t->acc_floats = acc_floats(&model->cfg, opts);
    t->max_padded = gw_most_padded_tokens(opts->max_rows, max_segs(opts));
    t->vocab_chunk = gw_trainer_vocab_chunk(&model->cfg);
    enum gwen_status status = create_parts(t, err);
    if (status != GWEN_OK) {
        gw_trainer_free(t);
        return status;
    }
    t->ws->keep_out = t->h_out;
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
    free(t->saves);
    free(t->window);
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

/* --- a pass --------------------------------------------------------------------------------- */

static float *row_of(float *rows, size_t row, size_t width) {
    return rows != NULL ? rows + row * width : NULL;
}

/* Has the forward pass keep what it computes from row `row` of the pass on. */
static void keep_from(struct gw_trainer *t, size_t row) {
    const struct gw_config *c = &t->model->cfg;
    const size_t stride = gw_packed_x_stride(t->model->arith.format, c->n_heads * c->head_dim);
    t->ws->saves = t->backward ? t->window : NULL;
    for (size_t i = 0; i < c->n_layers; i++) {
        const struct gw_saves *s = &t->saves[i];
        t->window[i] =
            (struct gw_saves){.h_in = row_of(s->h_in, row, c->hidden),
                              .qkv = row_of(s->qkv, row, gw_qkv_cols(c)),
                              .attn = s->attn != NULL ? s->attn + row * stride : NULL,
                              .stats = s->stats != NULL ? s->stats + row * c->n_heads : NULL,
                              .h_mid = row_of(s->h_mid, row, c->hidden),
                              .gate_up = row_of(s->gate_up, row, gw_gate_up_cols(c))};
    }
}

/* Whether entropies are wanted is decided by the first sample of the pass. */
static bool wants_entropy(const struct gw_trainer *t) {
    const struct gw_train_seg *seg = &t->segs[t->n_prefix_segs];
    return t->groups[seg->group].samples[seg->sample].entropy != NULL;
}

static void set_targets(struct gw_trainer *t, size_t first, size_t n) {
    t->head->entropy = wants_entropy(t);
    for (size_t i = 0; i < n; i++) {
        t->head->temperature[i] = (float)t->opts.temperature;
        t->head->target[i] = t->out_targets[first + i];
    }
}

/* Output row `out` is `i` of the head. */
static void take_row(struct gw_trainer *t, const struct gw_train_sample *s, size_t token,
                     size_t out, size_t i) {
    const struct gw_head *h = t->head;
    const float logprob = gw_head_logprob(h, i, h->target_z[i]);
    if (!isfinite(h->sum[i]) || !isfinite(logprob)) {
        if (t->status == GWEN_OK)
            t->status = gw_fail(t->err, GWEN_ERR_NUMERIC,
                                "training: a log-probability is not finite (the weights or the "
                                "learning rate may be at fault)");
        return;
    }
    s->logprobs[token] = logprob;
    if (s->entropy != NULL) s->entropy[token] = h->row_entropy[i];
    if (s->top != NULL) s->top[token] = h->target_z[i] >= h->max[i];
    t->out_max[out] = h->max[i];
    t->out_sum[out] = h->sum[i];
}

/* Output rows [first, first + n) have gone through the head. */
static void take_rows(struct gw_trainer *t, size_t first, size_t n) {
    for (size_t i = t->n_prefix_segs; i < t->n_segs; i++) {
        const struct gw_train_seg *seg = &t->segs[i];
        const struct gw_train_sample *s = &t->groups[seg->group].samples[seg->sample];
        for (size_t out = t->out_spans[i].begin; out < t->out_spans[i].end; out++)
            if (out >= first && out < first + n)
                take_row(t, s, t->out_rows[out] - (seg->rows.end - s->n), out, out - first);
    }
}

static void run_head(struct gw_trainer *t, int thread) {
    const size_t x_stride = gw_packed_x_stride(t->model->arith.format, t->model->cfg.hidden);
    for (size_t i = 0, n; i < t->n_out; i += n) {
        n = GW_MIN(t->head->max_rows, t->n_out - i);
        if (thread == 0) set_targets(t, i, n);
        gw_pool_barrier(t->pool);
        gw_head_run(t->head, t->ws->head_x + i * x_stride, x_stride, n,
                    gw_trainer_scratch(t, thread), thread);
        gw_pool_barrier(t->pool);
        if (thread == 0) take_rows(t, i, n);
        gw_pool_barrier(t->pool);
    }
    gw_profile_mark(t->ws, GW_OP_HEAD, thread);
}

/* The caller's loss of every sample of the pass, and its derivatives in the order of the output
 * rows. */
static void run_loss(struct gw_trainer *t) {
    for (size_t i = t->n_prefix_segs; i < t->n_segs && t->status == GWEN_OK; i++) {
        const struct gw_train_seg *seg = &t->segs[i];
        const struct gw_train_sample *s = &t->groups[seg->group].samples[seg->sample];
        t->loss(t->ctx, seg->group, seg->sample, s);
        for (size_t out = t->out_spans[i].begin; out < t->out_spans[i].end; out++) {
            const float d = s->dlogprobs[t->out_rows[out] - (seg->rows.end - s->n)];
            t->out_dlogprob[out] = d;
            t->out_p[out] = (float)((double)d / t->out_sum[out]);
        }
    }
}

static void forward_pass(struct gw_trainer *t, int thread, int n_threads) {
    if (thread == 0) {
        t->ws->profile = t->profile != NULL ? &t->profile->forward : NULL;
        gw_train_batch_prompts(t);
        keep_from(t, 0);
    }
    gw_pool_barrier(t->pool);
    const bool prompts = t->ws->batch.n_rows > 0 && t->status == GWEN_OK;
    gw_pool_barrier(t->pool);
    if (prompts) gw_forward(t->ws, thread, n_threads);
    gw_pool_barrier(t->pool);
    if (thread == 0 && t->status == GWEN_OK) {
        gw_train_batch_samples(t);
        keep_from(t, t->n_prefix_rows);
    }
    gw_pool_barrier(t->pool);
    if (t->status != GWEN_OK) return;
    gw_forward(t->ws, thread, n_threads);
    run_head(t, thread);
}

/* The gradient of what the layers were given waits for gw_trainer_finish. */
static void keep_embed_rows(struct gw_trainer *t) {
    const size_t hidden = t->model->cfg.hidden;
    for (size_t i = 0; i < t->n_spans; i++)
        for (size_t r = t->spans[i].begin; r < t->spans[i].end; r++) {
            memcpy(t->embed_rows + t->n_embed * hidden, t->dh + r * hidden, hidden * sizeof *t->dh);
            t->embed_tokens[t->n_embed++] = t->ws->batch.tokens[r - t->first_row];
        }
}

static void backward_pass(struct gw_trainer *t, int thread, int n_threads) {
    if (t->profile != NULL && thread == 0) t->profile->last_ns = gw_now_ns();
    gw_backward_head(t, thread, n_threads);
    for (size_t i = t->model->cfg.n_layers; i-- > 0;) gw_backward_layer(t, i, thread, n_threads);
    if (thread == 0 && t->model->lora == NULL) keep_embed_rows(t);
}

static void region(void *ctx, int thread, int n_threads) {
    struct gw_trainer *t = ctx;
    for (;;) {
        if (thread == 0) gw_train_next_pass(t);
        gw_pool_barrier(t->pool);
        if (!t->go) return;
        forward_pass(t, thread, n_threads);
        if (t->backward) {
            gw_pool_barrier(t->pool);
            if (thread == 0 && t->status == GWEN_OK) {
                run_loss(t);
                gw_train_batch_all(t);
                t->ws->profile = NULL; /* layers that are run again are not the forward pass */
            }
            gw_pool_barrier(t->pool);
            if (t->status == GWEN_OK) backward_pass(t, thread, n_threads);
        }
        gw_pool_barrier(t->pool);
        if (thread == 0) gw_train_end_pass(t);
        gw_pool_barrier(t->pool);
    }
}

static enum gwen_status run(struct gw_trainer *t, struct gw_train_group *groups, size_t n,
                            struct gwen_err *err) {
    GW_TRY(gw_pool_check_free(t->pool, err));
    t->groups = groups;
    t->n_groups = n;
    t->next_group = t->next_sample = 0;
    t->err = err;
    t->status = gw_train_check(t, err);
    if (t->status == GWEN_OK) gw_pool_run(t->pool, region, t);
    gw_kv_copies_done(t->kv);
    return t->status;
}

enum gwen_status gw_trainer_accumulate(struct gw_trainer *t, struct gw_train_group *groups,
                                       size_t n, gw_train_loss *loss, void *ctx,
                                       struct gwen_err *err) {
    t->backward = true;
    t->loss = loss;
    t->ctx = ctx;
    return run(t, groups, n, err);
}

enum gwen_status gw_trainer_forward(struct gw_trainer *t, struct gw_train_group *groups, size_t n,
                                    struct gwen_err *err) {
    t->backward = false;
    return run(t, groups, n, err);
}

/* --- the end of a step ---------------------------------------------------------------------- */

static void finish_region(void *ctx, int thread, int n_threads) {
    struct gw_trainer *t = ctx;
    const size_t hidden = t->model->cfg.hidden;
    float *embed = t->grads + gw_params_offset(t->params, GW_TENSOR_EMBED, 0);
    size_t begin, end;
    gw_share(hidden, thread, n_threads, &begin, &end);
    for (size_t i = 0; i < t->n_embed; i++)
        t->model->kern.add(embed + (size_t)t->embed_tokens[i] * hidden + begin,
                           t->embed_rows + i * hidden + begin, end - begin);
}

void gw_trainer_finish(struct gw_trainer *t) {
    if (t->n_embed > 0) gw_pool_run(t->pool, finish_region, t);
    t->n_embed = 0;
}

static void zero_region(void *ctx, int thread, int n_threads) {
    struct gw_trainer *t = ctx;
    size_t begin, end;
    gw_share(t->params->n_floats, thread, n_threads, &begin, &end);
    memset(t->grads + begin, 0, (end - begin) * sizeof *t->grads);
}

void gw_trainer_zero(struct gw_trainer *t) {
    gw_pool_run(t->pool, zero_region, t);
    t->n_embed = 0;
}

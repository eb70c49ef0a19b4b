/* trainer.c - the parallel region of the trainer: passes forward, through the loss and backward;
 * see trainer.h.  What it works on is memory.c's. */
#include "train/impl.h"

#include "base/clock.h"

#include <math.h>
#include <string.h>

/* --- a pass --------------------------------------------------------------------------------- */

static float *row_of(float *rows, size_t row, size_t width) {
    return rows != NULL ? rows + row * width : NULL;
}

/* Has the forward pass keep what it computes from row `row` of the pass on. */
static void keep_from(struct gw_trainer *t, size_t row) {
    const struct gw_config *c = &t->model->cfg;
    const size_t stride = gw_packed_x_stride(t->model->arith.format, c->n_heads * c->head_dim);
    t->ws->saves = t->call.backward ? t->kept.window : NULL;
    for (size_t i = 0; i < c->n_layers; i++) {
        const struct gw_saves *s = &t->kept.layers[i];
        t->kept.window[i] =
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
    const struct gw_train_seg *seg = &t->pass.segs[t->pass.n_prefix_segs];
    return t->call.groups[seg->group].samples[seg->sample].entropy != NULL;
}

static void set_targets(struct gw_trainer *t, size_t first, size_t n) {
    t->head->entropy = wants_entropy(t);
    for (size_t i = 0; i < n; i++) {
        t->head->temperature[i] = (float)t->opts.temperature;
        t->head->target[i] = t->out.targets[first + i];
    }
}

/* Output row `out` is `i` of the head. */
static void take_row(struct gw_trainer *t, const struct gw_train_sample *s, size_t token,
                     size_t out, size_t i) {
    const struct gw_head *h = t->head;
    const float logprob = gw_head_logprob(h, i, h->target_z[i]);
    if (!isfinite(h->sum[i]) || !isfinite(logprob)) {
        if (t->call.status == GWEN_OK)
            t->call.status =
                gw_fail(t->call.err, GWEN_ERR_NUMERIC,
                        "training: a log-probability is not finite (the weights or the "
                        "learning rate may be at fault)");
        return;
    }
    s->logprobs[token] = logprob;
    if (s->entropy != NULL) s->entropy[token] = h->row_entropy[i];
    if (s->top != NULL) s->top[token] = h->target_z[i] >= h->max[i];
    t->out.max[out] = h->max[i];
    t->out.sum[out] = h->sum[i];
}

/* Output rows [first, first + n) have gone through the head. */
static void take_rows(struct gw_trainer *t, size_t first, size_t n) {
    for (size_t i = t->pass.n_prefix_segs; i < t->pass.n_segs; i++) {
        const struct gw_train_seg *seg = &t->pass.segs[i];
        const struct gw_train_sample *s = &t->call.groups[seg->group].samples[seg->sample];
        for (size_t out = t->out.spans[i].begin; out < t->out.spans[i].end; out++)
            if (out >= first && out < first + n)
                take_row(t, s, t->out.rows[out] - (seg->rows.end - s->n), out, out - first);
    }
}

static void run_head(struct gw_trainer *t, int thread) {
    const size_t x_stride = gw_packed_x_stride(t->model->arith.format, t->model->cfg.hidden);
    for (size_t i = 0, n; i < t->out.n; i += n) {
        if (gw_workspace_stops(t->ws, thread)) return;
        n = GW_MIN(t->head->max_rows, t->out.n - i);
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
    for (size_t i = t->pass.n_prefix_segs; i < t->pass.n_segs && t->call.status == GWEN_OK; i++) {
        const struct gw_train_seg *seg = &t->pass.segs[i];
        const struct gw_train_sample *s = &t->call.groups[seg->group].samples[seg->sample];
        t->call.loss(t->call.ctx, seg->group, seg->sample, s);
        for (size_t out = t->out.spans[i].begin; out < t->out.spans[i].end; out++) {
            const float d = s->dlogprobs[t->out.rows[out] - (seg->rows.end - s->n)];
            t->out.dlogprob[out] = d;
            t->out.p[out] = (float)((double)d / t->out.sum[out]);
        }
    }
}

/* What go_on said becomes the call's outcome; thread 0, between barriers. */
static void take_stop(struct gw_trainer *t) {
    if (gw_workspace_stopped(t->ws) && t->call.status == GWEN_OK)
        t->call.status = gw_fail(t->call.err, GWEN_ERR_CANCELLED, "training: cancelled");
}

static void forward_pass(struct gw_trainer *t, int thread, int n_threads) {
    if (thread == 0) {
        t->ws->profile = t->profile != NULL ? &t->profile->forward : NULL;
        gw_train_batch_prompts(t);
        keep_from(t, 0);
    }
    gw_pool_barrier(t->pool);
    const bool prompts = t->ws->batch.n_rows > 0 && t->call.status == GWEN_OK;
    gw_pool_barrier(t->pool);
    if (prompts) gw_forward(t->ws, thread, n_threads);
    gw_pool_barrier(t->pool);
    if (thread == 0) take_stop(t);
    if (thread == 0 && t->call.status == GWEN_OK) {
        gw_train_batch_samples(t);
        keep_from(t, t->pass.n_prefix_rows);
    }
    gw_pool_barrier(t->pool);
    if (t->call.status != GWEN_OK) return;
    gw_forward(t->ws, thread, n_threads);
    run_head(t, thread);
}

/* The gradient of what the layers were given waits for gw_trainer_finish. */
static void keep_embed_rows(struct gw_trainer *t) {
    const size_t hidden = t->model->cfg.hidden;
    for (size_t i = 0; i < t->pass.n_spans; i++)
        for (size_t r = t->pass.spans[i].begin; r < t->pass.spans[i].end; r++) {
            memcpy(t->embed.rows + t->embed.n * hidden, t->back.dh + r * hidden,
                   hidden * sizeof *t->back.dh);
            t->embed.tokens[t->embed.n++] = t->ws->batch.tokens[r - t->pass.first_row];
        }
}

static void backward_pass(struct gw_trainer *t, int thread, int n_threads) {
    if (t->profile != NULL && thread == 0) t->profile->last_ns = gw_now_ns();
    gw_backward_head(t, thread, n_threads);
    for (size_t i = t->model->cfg.n_layers; i-- > 0;) {
        if (gw_workspace_stops(t->ws, thread)) return;
        gw_backward_layer(t, i, thread, n_threads);
    }
    if (thread == 0 && t->model->lora == NULL) keep_embed_rows(t);
}

static void region(void *ctx, int thread, int n_threads) {
    struct gw_trainer *t = ctx;
    for (;;) {
        if (thread == 0) gw_train_next_pass(t);
        gw_pool_barrier(t->pool);
        if (!t->pass.go) return;
        forward_pass(t, thread, n_threads);
        if (t->call.backward) {
            gw_pool_barrier(t->pool);
            if (thread == 0) take_stop(t);
            if (thread == 0 && t->call.status == GWEN_OK) {
                run_loss(t);
                gw_train_batch_all(t);
                t->ws->profile = NULL; /* layers that are run again are not the forward pass */
            }
            gw_pool_barrier(t->pool);
            if (t->call.status == GWEN_OK) backward_pass(t, thread, n_threads);
        }
        gw_pool_barrier(t->pool);
        if (thread == 0) {
            take_stop(t);
            gw_train_end_pass(t);
        }
        gw_pool_barrier(t->pool);
    }
}

static enum gwen_status run(struct gw_trainer *t, struct gw_train_group *groups, size_t n,
                            struct gwen_err *err) {
    GW_TRY(gw_pool_check_free(t->pool, err));
    t->call.groups = groups;
    t->call.n_groups = n;
    t->call.next_group = t->call.next_sample = 0;
    t->call.err = err;
    t->call.status = gw_train_check(t, err);
    gw_workspace_ask_anew(t->ws);
    if (t->call.status == GWEN_OK) gw_pool_run(t->pool, region, t);
    gw_kv_copies_done(t->kv);
    return t->call.status;
}

enum gwen_status gw_trainer_accumulate(struct gw_trainer *t, struct gw_train_group *groups,
                                       size_t n, gw_train_loss *loss, void *ctx,
                                       struct gwen_err *err) {
    t->call.backward = true;
    t->call.loss = loss;
    t->call.ctx = ctx;
    return run(t, groups, n, err);
}

enum gwen_status gw_trainer_forward(struct gw_trainer *t, struct gw_train_group *groups, size_t n,
                                    struct gwen_err *err) {
    t->call.backward = false;
    return run(t, groups, n, err);
}

/* --- the end of a step ---------------------------------------------------------------------- */

static void finish_region(void *ctx, int thread, int n_threads) {
    struct gw_trainer *t = ctx;
    const size_t hidden = t->model->cfg.hidden;
    float *embed = t->grads + gw_params_offset(t->params, GW_TENSOR_EMBED, 0);
    size_t begin, end;
    gw_share(hidden, thread, n_threads, &begin, &end);
    for (size_t i = 0; i < t->embed.n; i++)
        t->model->kern.add(embed + (size_t)t->embed.tokens[i] * hidden + begin,
                           t->embed.rows + i * hidden + begin, end - begin);
}

void gw_trainer_finish(struct gw_trainer *t) {
    if (t->embed.n > 0) gw_pool_run(t->pool, finish_region, t);
    t->embed.n = 0;
}

static void zero_region(void *ctx, int thread, int n_threads) {
    struct gw_trainer *t = ctx;
    size_t begin, end;
    gw_share(t->params->n_floats, thread, n_threads, &begin, &end);
    memset(t->grads + begin, 0, (end - begin) * sizeof *t->grads);
}

void gw_trainer_zero(struct gw_trainer *t) {
    gw_pool_run(t->pool, zero_region, t);
    t->embed.n = 0;
}

/* backward.c - one layer's backward pass: the MLP here, then attention (backward_attention.c).
 *
 *     MLP        dy = dh Wdown -> d(gate|up) -> dx = d(gate|up) Wgate_up -> dh += norm'(dx)
 *     attention  d_attn = dh Wo -> dq, dk, dv -> rotation', norm' -> dx = d(q|k|v) Wqkv
 *                                                                  -> dh += norm'(dx)
 *
 * What the forward pass did not keep is computed again by the same functions, so it has the same
 * bits.  As there all threads go through the same calls (model/forward.c), but the steps are of two
 * kinds:
 *
 *     step                            dealt out by             ends with
 *     dh as operand rows              rows, fixed shares       barrier
 *     norms, activations again        rows, fixed shares       barrier
 *     products again                  operation of the pool    its units
 *     dX = dY W                       operation of the pool    its units, barrier
 *     dW: both sides along tokens     panels, fixed shares     barrier
 *     dW += dY^T X                    operation of the pool    its units, barrier
 *     gradients of biases             columns, fixed shares    nothing
 *     attention'                      (part, kv head) in turn  barrier
 *     rotation', norms of heads'      rows, fixed shares       barrier
 *     dh += norm'(dx)                 rows, fixed shares       barrier
 *     gradients of norms' weights     elements, fixed shares   barrier
 *
 * Why a gradient's owner is a column.  An element of a weight's gradient is one chain of sums over
 * all tokens, in the order of t->pass.spans: groups, in each its samples, then its prompt.  Dealing
 * tokens out would make partial sums whose cuts depend on the threads.  So the thread that has a
 * column (of a bias, a norm's weight) goes through all rows; dW has the tokens as its inner
 * dimension and does the same within a unit; and the next pass goes on from what stands in
 * t->grads.  For the same reason attention's unit is a kv head of a whole part (a group, or what
 * the pass has of it): the keys of a shared prompt get their gradients from one sample after
 * another, in sums that lie in the thread's scratch, and in prompt_dkv from pass to pass.
 *
 * Why there are barriers.  A fixed share is not taken over by others, so its end says nothing of
 * the other threads' parts: whoever reads these needs a barrier.  And arrays are used over and
 * over: the operands of dW, dy_t and x_panels, are packed for one matrix after another, so one
 * barrier stands between packing and product, one between product and the next packing; dy, d_wide
 * and dx change their meaning within a layer.  Rows come by the hundred here, so a step is long
 * beside a meeting of the threads; in decoding it is not. */
#include "train/impl.h"

#include <math.h>
#include <string.h>

/* --- MLP ------------------------------------------------------------------------------------ */

/* d(gate|up) from a piece of the gradient of their product. */
struct to_gate_up {
    const struct gw_backward *s;
    char *out; /* operand rows, columns alternate by panels */
    size_t out_stride, r0;
};

static void done_gate_up(void *ctx, int thread, size_t m0, size_t m, size_t n0, size_t n, float *c,
                         size_t c_stride) {
    const struct to_gate_up *d = ctx;
    const struct gw_backward *s = d->s;
    const size_t cols = gw_gate_up_cols(s->cfg);
    (void)thread;
    const bool bf16 = s->arith->format == GW_PANEL_BF16X2;
    s->arith->kern->swiglu_back(
        d->out + (d->r0 + m0) * d->out_stride + 2 * n0 * gw_x_elem(s->arith->format), d->out_stride,
        bf16, c, c_stride, s->saves.gate_up + (d->r0 + m0) * cols + 2 * n0, cols, m, n);
}

/* ws->act = silu(gate) * up again; ends with a barrier. */
static void recompute_act(const struct gw_backward *s) {
    const size_t cols = gw_gate_up_cols(s->cfg),
                 stride = gw_packed_x_stride(s->arith->format, s->cfg->ffn);
    const struct gw_span mine = gw_backward_rows(s);
    s->arith->kern->swiglu(
        s->t->ws->act + mine.begin * stride, stride, s->arith->format == GW_PANEL_BF16X2,
        s->saves.gate_up + mine.begin * cols, cols, mine.end - mine.begin, s->cfg->ffn);
    gw_backward_barrier(s);
}

static void mlp_backward(const struct gw_backward *s) {
    struct gw_trainer *t = s->t;
    const size_t hidden = s->cfg->hidden, ffn = s->cfg->ffn, cols = gw_gate_up_cols(s->cfg);
    const size_t x_stride = gw_packed_x_stride(s->arith->format, hidden);
    const size_t act_stride = gw_packed_x_stride(s->arith->format, ffn);
    const size_t wide_stride = gw_packed_x_stride(s->arith->format, cols);
    gw_backward_operands(s, t->back.dh, hidden, t->back.dy);
    gw_backward_recompute_norm(s, s->saves.h_mid, s->weights->mlp_norm);
    if (s->recompute == GW_RECOMPUTE_ATTN)
        gw_backward_recompute_product(s, GW_SITE_GATE_UP, &s->weights->gate_up,
                                      s->weights->gate_up_bias, s->saves.gate_up, cols);
    recompute_act(s);
    gw_backward_mark(s, GW_TRAIN_AGAIN);
    struct to_gate_up to = {s, t->back.d_wide, wide_stride, s->rows.begin};
    gw_backward_dx(s, GW_SITE_DOWN, &s->weights->down, t->back.dy, x_stride, done_gate_up, &to);
    gw_backward_mark(s, GW_TRAIN_DX_DOWN);
    gw_backward_weight(s, GW_SITE_DOWN, &s->weights->down, t->back.dy, x_stride, t->ws->act,
                       act_stride);
    gw_backward_mark(s, GW_TRAIN_DW_DOWN);
    gw_backward_dx_rows(s, GW_SITE_GATE_UP, &s->weights->gate_up, t->back.d_wide, wide_stride,
                        t->back.dx);
    gw_backward_mark(s, GW_TRAIN_DX_GATE_UP);
    gw_backward_weight(s, GW_SITE_GATE_UP, &s->weights->gate_up, t->back.d_wide, wide_stride,
                       t->ws->x, x_stride);
    gw_backward_mark(s, GW_TRAIN_DW_GATE_UP);
    gw_backward_norm(s, s->saves.h_mid, s->weights->mlp_norm, GW_TENSOR_MLP_NORM);
    gw_backward_mark(s, GW_TRAIN_NORM);
}

/* --- a layer -------------------------------------------------------------------------------- */

/* The whole layer's forward pass again, from its input. */
static void recompute_layer(struct gw_backward *s) {
    struct gw_trainer *t = s->t;
    const size_t hidden = s->cfg->hidden, r0 = s->rows.begin;
    const struct gw_span mine = gw_backward_rows(s);
    memcpy(t->ws->h + (mine.begin - r0) * hidden, s->saves.h_in + mine.begin * hidden,
           (mine.end - mine.begin) * hidden * sizeof(float));
    gw_backward_barrier(s);
    struct gw_saves from_first_row = s->saves;
    from_first_row.h_in = NULL;
    from_first_row.qkv += r0 * gw_qkv_cols(s->cfg);
    from_first_row.attn +=
        r0 * gw_packed_x_stride(s->arith->format, s->cfg->n_heads * s->cfg->head_dim);
    from_first_row.stats += r0 * s->cfg->n_heads;
    from_first_row.h_mid += r0 * hidden;
    from_first_row.gate_up += r0 * gw_gate_up_cols(s->cfg);
    gw_forward_layer(t->ws, s->index, &from_first_row, s->thread);
}

void gw_backward_layer(struct gw_trainer *t, size_t layer, int thread, int n_threads) {
    const struct gw_saves *kept = &t->kept.layers[layer];
    struct gw_backward s = {.t = t,
                            .arith = &t->model->arith,
                            .cfg = &t->model->cfg,
                            .index = layer,
                            .recompute = gw_recompute_of(&t->opts, layer),
                            .weights = &t->model->layers[layer],
                            .saves = *kept,
                            .rows = {t->pass.first_row, t->pass.n_rows},
                            .thread = thread,
                            .n_threads = n_threads};
    if (kept->qkv == NULL) s.saves.qkv = t->kept.live.qkv;
    if (kept->attn == NULL) s.saves.attn = t->kept.live.attn;
    if (kept->stats == NULL) s.saves.stats = t->kept.live.stats;
    if (kept->h_mid == NULL) s.saves.h_mid = t->kept.live.h_mid;
    if (kept->gate_up == NULL) s.saves.gate_up = t->kept.live.gate_up;
    if (s.recompute == GW_RECOMPUTE_LAYER) recompute_layer(&s);
    gw_backward_mark(&s, GW_TRAIN_AGAIN);
    mlp_backward(&s);
    gw_backward_attention(&s);
}

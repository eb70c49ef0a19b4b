/* backward.c - one layer's backward pass; see impl.h.
 *
 *     MLP        dy = dh Wdown -> d gate, d up -> dx = d(gate|up) Wgate_up -> dh += norm'(dx)
 *     attention  d_attn = dh Wo -> dq, dk, dv -> rotation', norm' -> dx = d_qkv Wqkv -> dh +=
 * norm'(dx)
 *
 * What the forward pass did not keep is computed again by the same functions, so it has the same
 * bits.  Threads own columns of results and of weight gradients, or rows; a barrier ends each
 * step. */
#include "train/impl.h"

#include <math.h>
#include <string.h>

/* What the steps of a layer share. */
struct step {
    struct gw_trainer *t;
    const struct gw_arith *arith;
    const struct gw_config *c;
    size_t layer;
    enum gw_recompute again;
    const struct gw_layer *l;
    struct gw_saves v; /* what was kept, or is computed again */
    struct gw_span rows;
    int thread, n_threads;
};

static void barrier(const struct step *s) { gw_pool_barrier(s->t->pool); }

static void mark(const struct step *s, enum gw_train_op op) { gw_train_mark(s->t, op, s->thread); }

static void my_rows(const struct step *s, struct gw_span *mine) {
    gw_share(s->rows.end - s->rows.begin, s->thread, s->n_threads, &mine->begin, &mine->end);
    mine->begin += s->rows.begin;
    mine->end += s->rows.begin;
}

static float *grad(const struct step *s, enum gw_tensor_kind kind) {
    return s->t->grads + gw_params_offset(s->t->params, kind, s->layer);
}

/* Rows of floats as operands; ends with a barrier. */
static void to_operands(const struct step *s, const float *x, size_t n, char *out) {
    const size_t stride = gw_packed_x_stride(s->arith->format, n);
    struct gw_span mine;
    my_rows(s, &mine);
    for (size_t r = mine.begin; r < mine.end; r++)
        gw_store_x(s->arith, out + r * stride, 0, x + r * n, n);
    barrier(s);
}

/* ws->x = norm(h) for all rows, as the forward pass had it; ends with a barrier. */
static void norm_again(const struct step *s, const float *h, const float *weight) {
    const size_t hidden = s->c->hidden, stride = gw_packed_x_stride(s->arith->format, hidden);
    float *row = gw_trainer_scratch(s->t, s->thread);
    struct gw_span mine;
    my_rows(s, &mine);
    for (size_t r = mine.begin; r < mine.end; r++) {
        s->arith->kern->rmsnorm(row, h + r * hidden, weight, hidden, (float)s->c->rms_eps);
        gw_store_x(s->arith, s->t->ws->x + r * stride, 0, row, hidden);
    }
    barrier(s);
}

/* --- products ------------------------------------------------------------------------------- */

/* y[m][n] = c (+ bias), rows from a given one on. */
struct to_rows {
    const struct gwen_kernels *kern;
    float *y;
    size_t stride;
    const float *bias; /* or NULL */
};

static void done_rows(void *ctx, int thread, size_t m0, size_t m, size_t n0, size_t n, float *c,
                      size_t c_stride) {
    const struct to_rows *d = ctx;
    (void)thread;
    for (size_t i = 0; i < m; i++) {
        float *row = c + i * c_stride;
        if (d->bias != NULL) d->kern->add(row, d->bias + n0, n);
        memcpy(d->y + (m0 + i) * d->stride + n0, row, n * sizeof *row);
    }
}

/* The adapter on one of the layer's matrices, or NULL. */
static const struct gw_lora_site *site_of(const struct step *s, enum gw_site site) {
    const struct gw_lora *lora = s->t->model->lora;
    return lora != NULL && lora->sites[s->layer][site].width > 0 ? &lora->sites[s->layer][site]
                                                                 : NULL;
}

static size_t u_stride(const struct step *s) {
    return gw_packed_x_stride(s->arith->format, s->c->lora_width);
}

/* U = scale x A^T again, for all rows. */
static void u_again(const struct step *s, const struct gw_lora_site *site, const char *x,
                    size_t x_stride) {
    const size_t r0 = s->rows.begin, stride = u_stride(s);
    struct gw_lora_u to = {s->arith, s->t->model->lora->scale, s->t->lora_u + r0 * stride, stride};
    gw_linear(s->arith, &site->a, s->rows.end - r0, x + r0 * x_stride, x_stride, gw_lora_take_u,
              &to, gw_trainer_scratch(s->t, s->thread), s->t->pool, s->thread);
}

/* y = x W^T + bias (and the adapter's part) again, for all rows. */
static void product_again(const struct step *s, enum gw_site which, const struct gw_packed *w,
                          const float *bias, float *y, size_t y_stride) {
    const size_t x_stride = gw_packed_x_stride(s->arith->format, w->k), r0 = s->rows.begin;
    const struct gw_lora_site *site = site_of(s, which);
    struct to_rows to = {s->arith->kern, y + r0 * y_stride, y_stride, bias};
    struct gw_lora_add add = {.arith = s->arith,
                              .lora = s->t->model->lora,
                              .site = site,
                              .u = s->t->lora_u + r0 * u_stride(s),
                              .u_stride = u_stride(s),
                              .then = done_rows,
                              .ctx = &to};
    if (site != NULL) u_again(s, site, s->t->ws->x, x_stride);
    gw_linear(s->arith, w, s->rows.end - r0, s->t->ws->x + r0 * x_stride, x_stride,
              site != NULL ? gw_lora_add : done_rows, site != NULL ? (void *)&add : (void *)&to,
              gw_trainer_scratch(s->t, s->thread), s->t->pool, s->thread);
}

/* dX = dY W for all rows, from `start` (or NULL) on; dy [rows][w->n] operands. */
static void plain_dx(const struct step *s, const struct gw_packed *w, const char *dy,
                     size_t dy_stride, const float *start, gw_linear_done *done, void *ctx) {
    const size_t r0 = s->rows.begin;
    const struct gw_linear_dx a = {.arith = s->arith,
                                   .w = w,
                                   .m = s->rows.end - r0,
                                   .dy = dy + r0 * dy_stride,
                                   .dy_stride = dy_stride,
                                   .start = start != NULL ? start + r0 * w->k : NULL,
                                   .start_stride = w->k};
    gw_linear_dx(&a, done, ctx, gw_trainer_scratch(s->t, s->thread), s->t->pool, s->thread);
    barrier(s);
}

/* dX = dY W + scale (dY B) A: the adapter's dU = scale dY B is left in lora_du, its product with A
 * goes on from the base's. */
static void dx_product(const struct step *s, enum gw_site which, const struct gw_packed *w,
                       const char *dy, size_t dy_stride, gw_linear_done *done, void *ctx) {
    struct gw_trainer *t = s->t;
    const struct gw_lora_site *site = site_of(s, which);
    if (site == NULL) {
        plain_dx(s, w, dy, dy_stride, NULL, done, ctx);
        return;
    }
    const size_t r0 = s->rows.begin, stride = u_stride(s);
    struct gw_lora_u du = {s->arith, t->model->lora->scale, t->lora_du + r0 * stride, stride};
    struct to_rows to = {s->arith->kern, t->lora_dx + r0 * w->k, w->k, NULL};
    plain_dx(s, &site->b, dy, dy_stride, NULL, gw_lora_take_u, &du);
    plain_dx(s, w, dy, dy_stride, NULL, done_rows, &to);
    plain_dx(s, &site->a, t->lora_du, stride, t->lora_dx, done, ctx);
}

static void dx_rows(const struct step *s, enum gw_site which, const struct gw_packed *w,
                    const char *dy, size_t dy_stride, float *dx) {
    struct to_rows to = {s->arith->kern, dx + s->rows.begin * w->k, w->k, NULL};
    dx_product(s, which, w, dy, dy_stride, done_rows, &to);
}

void gw_backward_dw(const struct gw_trainer *t, const struct gw_backward_dw *a, int thread,
                    int n_threads) {
    const struct gw_arith arith = gw_token_arith(&t->model->arith);
    const struct gw_token_pack pack = {&arith, a->spans, a->n_spans,
                                       gw_padded_tokens(arith.format, a->spans, a->n_spans)};
    const size_t t_stride = gw_packed_x_stride(arith.format, t->max_padded);
    const size_t first = a->halves.begin, n_halves = a->halves.end - first;
    const size_t n = a->alternate ? n_halves * a->n : a->n;
    gw_pack_tokens(&pack, a->x, a->x_stride, 0, a->k, t->x_panels, thread, n_threads);
    if (a->alternate) {
        size_t begin, end;
        gw_share((a->n + GWEN_PANEL - 1) / GWEN_PANEL, thread, n_threads, &begin, &end);
        for (size_t b = begin; b < end; b++)
            for (size_t half = 0; half < n_halves; half++)
                gw_transpose_tokens(
                    &pack, a->dy, a->dy_stride, a->c0 + (2 * b + first + half) * GWEN_PANEL,
                    GW_MIN((size_t)GWEN_PANEL, a->n - b * GWEN_PANEL),
                    t->dy_t + (half * a->n + b * GWEN_PANEL) * t_stride, t_stride, 0, 1);
    } else {
        gw_transpose_tokens(&pack, a->dy, a->dy_stride, a->c0, n, t->dy_t, t_stride, thread,
                            n_threads);
    }
    gw_pool_barrier(t->pool);
    gw_train_mark(t, GW_TRAIN_PACK, thread);
    const struct gw_linear_dw dw = {.arith = &arith,
                                    .n = n,
                                    .k = a->k,
                                    .n_padded = pack.n_padded,
                                    .dy_t = t->dy_t,
                                    .dy_t_stride = t_stride,
                                    .x_panels = t->x_panels,
                                    .dw = a->dw,
                                    .dw_stride = a->k};
    gw_linear_dw(&dw, gw_trainer_scratch(t, thread), t->pool, thread);
    gw_pool_barrier(t->pool);
}

/* dbias[j] += the sum of column c0 + j over the rows of all spans, in their order. */
static void add_bias_grad(const struct step *s, const char *dy, size_t dy_stride, size_t c0,
                          size_t n, float *dbias) {
    const struct gw_trainer *t = s->t;
    size_t begin, end;
    gw_share(n, s->thread, s->n_threads, &begin, &end);
    for (size_t i = 0; i < t->n_spans; i++)
        for (size_t r = t->spans[i].begin; r < t->spans[i].end; r++) {
            const char *row = dy + r * dy_stride;
            for (size_t at = begin, len; at < end; at += len) {
                float values[GW_GROUP_COLS];
                len = GW_MIN(end - at, (size_t)GW_GROUP_COLS);
                if (s->arith->format == GW_PANEL_BF16X2)
                    s->arith->kern->bf16_to_f32(
                        values, (const struct gwen_bf16 *)(const void *)row + c0 + at, len);
                else
                    memcpy(values, (const float *)(const void *)row + c0 + at,
                           len * sizeof *values);
                s->arith->kern->add(dbias + at, values, len);
            }
        }
}

/* Gradients of an adapter: dA from what lora_dx left, dB from U. */
static void lora_grad(const struct step *s, const struct gw_lora_site *site, const char *dy,
                      size_t dy_stride, const char *x, size_t x_stride) {
    const struct gw_trainer *t = s->t;
    struct gw_backward_dw a = {.dy = t->lora_du,
                               .dy_stride = u_stride(s),
                               .n = site->width,
                               .x = x,
                               .x_stride = x_stride,
                               .k = site->a.k,
                               .dw = t->grads + site->a_offset,
                               .spans = t->spans,
                               .n_spans = t->n_spans};
    gw_backward_dw(t, &a, s->thread, s->n_threads);
    u_again(s, site, x, x_stride);
    for (size_t i = 0; i < site->n_parts; i++) {
        const struct gw_lora_part *p = &site->parts[i];
        const bool up = p->module == GW_LORA_UP;
        a.dy = dy;
        a.dy_stride = dy_stride;
        a.c0 = p->row0;
        a.n = p->rows;
        a.alternate = up || p->module == GW_LORA_GATE;
        a.halves = (struct gw_span){up ? 1 : 0, up ? 2 : 1};
        a.x = t->lora_u + p->col0 * gw_x_elem(s->arith->format);
        a.x_stride = u_stride(s);
        a.k = t->model->lora->opts.r;
        a.dw = t->grads + p->b_offset;
        gw_backward_dw(t, &a, s->thread, s->n_threads);
    }
}

static void bias_grad(const struct step *s, enum gw_site which, const char *dy, size_t dy_stride) {
    const struct gw_config *c = s->c;
    const size_t ffn = c->ffn;
    switch (which) {
    case GW_SITE_QKV:
        if (c->qkv_bias) add_bias_grad(s, dy, dy_stride, 0, s->l->qkv.n, grad(s, GW_TENSOR_Q_BIAS));
        break;
    case GW_SITE_O:
        if (c->o_bias) add_bias_grad(s, dy, dy_stride, 0, c->hidden, grad(s, GW_TENSOR_O_BIAS));
        break;
    case GW_SITE_DOWN:
        if (c->mlp_bias)
            add_bias_grad(s, dy, dy_stride, 0, c->hidden, grad(s, GW_TENSOR_DOWN_BIAS));
        break;
    default:
        for (size_t f = 0; c->mlp_bias && f < ffn; f += GWEN_PANEL) {
            const size_t n = GW_MIN((size_t)GWEN_PANEL, ffn - f);
            add_bias_grad(s, dy, dy_stride, 2 * f, n, grad(s, GW_TENSOR_GATE_BIAS) + f);
            add_bias_grad(s, dy, dy_stride, 2 * f + GWEN_PANEL, n, grad(s, GW_TENSOR_UP_BIAS) + f);
        }
    }
}

/* The gradient of one of the layer's matrices and its bias, or of its adapter. */
static void weight_grad(const struct step *s, enum gw_site which, const struct gw_packed *w,
                        const char *dy, size_t dy_stride, const char *x, size_t x_stride) {
    static const enum gw_tensor_kind kinds[GW_SITES] = {GW_TENSOR_Q, GW_TENSOR_O, GW_TENSOR_GATE,
                                                        GW_TENSOR_DOWN};
    const struct gw_trainer *t = s->t;
    const struct gw_lora_site *site = site_of(s, which);
    const bool gate_up = which == GW_SITE_GATE_UP;
    if (site != NULL) lora_grad(s, site, dy, dy_stride, x, x_stride);
    if (t->model->lora != NULL) return;
    gw_backward_dw(t,
                   &(struct gw_backward_dw){.dy = dy,
                                            .dy_stride = dy_stride,
                                            .n = gate_up ? s->c->ffn : w->n,
                                            .alternate = gate_up,
                                            .halves = {0, 2},
                                            .x = x,
                                            .x_stride = x_stride,
                                            .k = w->k,
                                            .dw = grad(s, kinds[which]),
                                            .spans = t->spans,
                                            .n_spans = t->n_spans},
                   s->thread, s->n_threads);
    bias_grad(s, which, dy, dy_stride);
}

/* --- norms ---------------------------------------------------------------------------------- */

void gw_backward_norm_weight(const struct gw_trainer *t, float *dw, size_t n, size_t heads,
                             const float *dy, size_t dy_stride, const float *x, size_t x_stride,
                             const float *inv, size_t inv_stride, const struct gw_span *spans,
                             size_t n_spans, int thread, int n_threads) {
    const struct gwen_kernels *kern = &t->model->kern;
    size_t begin, end;
    gw_share(n, thread, n_threads, &begin, &end);
    for (size_t i = 0; i < n_spans; i++)
        for (size_t r = spans[i].begin; r < spans[i].end; r++)
            for (size_t h = 0; h < heads; h++)
                kern->add_product(dw + begin, x + r * x_stride + h * n + begin,
                                  inv[r * inv_stride + h], dy + r * dy_stride + h * n + begin,
                                  end - begin);
}

/* dh += gradient of norm(h) given dx, and the norm weight's gradient; ends with a barrier. */
static void norm_backward(const struct step *s, const float *h, const float *weight,
                          enum gw_tensor_kind kind) {
    struct gw_trainer *t = s->t;
    const size_t hidden = s->c->hidden;
    struct gw_span mine;
    my_rows(s, &mine);
    for (size_t r = mine.begin; r < mine.end; r++)
        t->inv[r] =
            s->arith->kern->rmsnorm_back(t->dh + r * hidden, t->dx + r * hidden, h + r * hidden,
                                         weight, hidden, (float)s->c->rms_eps);
    barrier(s);
    if (t->model->lora != NULL) return;
    gw_backward_norm_weight(t, grad(s, kind), hidden, 1, t->dx, hidden, h, hidden, t->inv, 1,
                            t->spans, t->n_spans, s->thread, s->n_threads);
    barrier(s);
}

/* --- MLP ------------------------------------------------------------------------------------ */

/* d(gate|up) from a piece of the gradient of their product. */
struct to_gate_up {
    const struct step *s;
    char *out; /* operand rows, columns alternate by panels */
    size_t out_stride, r0;
};

static void done_gate_up(void *ctx, int thread, size_t m0, size_t m, size_t n0, size_t n, float *c,
                         size_t c_stride) {
    const struct to_gate_up *d = ctx;
    const struct step *s = d->s;
    const size_t cols = gw_gate_up_cols(s->c);
    (void)thread;
    const bool bf16 = s->arith->format == GW_PANEL_BF16X2;
    s->arith->kern->swiglu_back(
        d->out + (d->r0 + m0) * d->out_stride + 2 * n0 * gw_x_elem(s->arith->format), d->out_stride,
        bf16, c, c_stride, s->v.gate_up + (d->r0 + m0) * cols + 2 * n0, cols, m, n);
}

/* ws->act = silu(gate) * up again; ends with a barrier. */
static void act_again(const struct step *s) {
    const size_t cols = gw_gate_up_cols(s->c),
                 stride = gw_packed_x_stride(s->arith->format, s->c->ffn);
    struct gw_span mine;
    my_rows(s, &mine);
    s->arith->kern->swiglu(s->t->ws->act + mine.begin * stride, stride,
                           s->arith->format == GW_PANEL_BF16X2, s->v.gate_up + mine.begin * cols,
                           cols, mine.end - mine.begin, s->c->ffn);
    barrier(s);
}

static void mlp_backward(const struct step *s) {
    struct gw_trainer *t = s->t;
    const size_t hidden = s->c->hidden, ffn = s->c->ffn, cols = gw_gate_up_cols(s->c);
    const size_t x_stride = gw_packed_x_stride(s->arith->format, hidden);
    const size_t act_stride = gw_packed_x_stride(s->arith->format, ffn);
    const size_t wide_stride = gw_packed_x_stride(s->arith->format, cols);
    to_operands(s, t->dh, hidden, t->dy);
    norm_again(s, s->v.h_mid, s->l->mlp_norm);
    if (s->again == GW_RECOMPUTE_ATTN)
        product_again(s, GW_SITE_GATE_UP, &s->l->gate_up, s->l->gate_up_bias, s->v.gate_up, cols);
    act_again(s);
    mark(s, GW_TRAIN_AGAIN);
    struct to_gate_up to = {s, t->d_wide, wide_stride, s->rows.begin};
    dx_product(s, GW_SITE_DOWN, &s->l->down, t->dy, x_stride, done_gate_up, &to);
    mark(s, GW_TRAIN_DX_DOWN);
    weight_grad(s, GW_SITE_DOWN, &s->l->down, t->dy, x_stride, t->ws->act, act_stride);
    mark(s, GW_TRAIN_DW_DOWN);
    dx_rows(s, GW_SITE_GATE_UP, &s->l->gate_up, t->d_wide, wide_stride, t->dx);
    mark(s, GW_TRAIN_DX_GATE_UP);
    weight_grad(s, GW_SITE_GATE_UP, &s->l->gate_up, t->d_wide, wide_stride, t->ws->x, x_stride);
    mark(s, GW_TRAIN_DW_GATE_UP);
    norm_backward(s, s->v.h_mid, s->l->mlp_norm, GW_TENSOR_MLP_NORM);
    mark(s, GW_TRAIN_NORM);
}

/* --- attention ------------------------------------------------------------------------------ */

/* Each head's queries again, rotated, as the forward pass had them; ends with a barrier. */
static void queries_again(const struct step *s) {
    const struct gw_workspace *ws = s->t->ws;
    const size_t half = ws->rope.half, cols = gw_qkv_cols(s->c);
    const size_t stride = gw_packed_x_stride(s->arith->format, s->c->n_heads * s->c->head_dim);
    struct gw_span mine;
    my_rows(s, &mine);
    for (size_t r = mine.begin; r < mine.end; r++) {
        const size_t at = ws->batch.rows[r - s->rows.begin].position * half;
        s->arith->kern->norm_rope(ws->q + r * stride, s->arith->format == GW_PANEL_BF16X2,
                                  s->v.qkv + r * cols, s->c->n_heads, half, s->l->q_norm,
                                  (float)s->c->rms_eps, ws->rope.cosines + at, ws->rope.sines + at);
    }
    barrier(s);
}

/* One kv head's sums of dK and dV over the positions of a sequence. */
struct sums {
    float *dk, *dv; /* [positions][stride] */
    size_t stride;
};

static void attend_back(const struct step *s, const struct gw_train_seg *seg, size_t kv_head,
                        const struct sums *sums, void *scratch) {
    const struct gw_trainer *t = s->t;
    const struct gw_config *c = s->c;
    const size_t hpk = c->n_heads / c->n_kv_heads, width = hpk * c->head_dim;
    const size_t stride = gw_packed_x_stride(s->arith->format, c->n_heads * c->head_dim);
    const size_t r0 = seg->rows.begin;
    const size_t at = r0 * stride + kv_head * width * gw_x_elem(s->arith->format);
    gw_attention_backward(
        &(struct gw_attn_back){.arith = s->arith,
                               .layout = gw_kv_layout(t->kv),
                               .base = gw_kv_base(t->kv),
                               .layer = s->layer,
                               .kv_head = kv_head,
                               .heads_per_kv = hpk,
                               .scale = 1.0f / sqrtf((float)c->head_dim),
                               .blocks = seg->seq.blocks,
                               .position = seg->position,
                               .n_rows = seg->rows.end - r0,
                               .q = t->ws->q + at,
                               .out = s->v.attn + at,
                               .q_stride = stride,
                               .stats = s->v.stats + r0 * c->n_heads + kv_head * hpk,
                               .stats_stride = c->n_heads,
                               .d_out = t->d_attn + r0 * c->n_heads * c->head_dim + kv_head * width,
                               .d_out_stride = c->n_heads * c->head_dim,
                               .dq = t->d_qkv + r0 * gw_qkv_cols(c) + kv_head * width,
                               .dq_stride = gw_qkv_cols(c),
                               .dk = sums->dk,
                               .dv = sums->dv,
                               .scratch = scratch});
}

/* The sums of a segment's own positions are complete. */
static void take_dkv(const struct step *s, const struct gw_train_seg *seg, size_t kv_head,
                     const struct sums *sums) {
    const struct gw_config *c = s->c;
    const size_t hd = c->head_dim, cols = gw_qkv_cols(c);
    for (size_t r = seg->rows.begin; r < seg->rows.end; r++) {
        const size_t at = (seg->position + r - seg->rows.begin) * sums->stride;
        float *dk = s->t->d_qkv + r * cols + (c->n_heads + kv_head) * hd;
        memcpy(dk, sums->dk + at, hd * sizeof *dk);
        memcpy(dk + c->n_kv_heads * hd, sums->dv + at, hd * sizeof *dk);
    }
}

static void clear_from(const struct sums *sums, size_t position, size_t end) {
    const size_t n = (gw_round_up(end, GW_KV_BLOCK) - position) * sums->stride * sizeof(float);
    memset(sums->dk + position * sums->stride, 0, n);
    memset(sums->dv + position * sums->stride, 0, n);
}

/* Between the passes of a group that is split, the sums of its prompt wait in prompt_dkv. */
static void move_prompt_sums(const struct step *s, size_t kv_head, const struct sums *sums,
                             size_t n, bool load) {
    const struct gw_trainer *t = s->t;
    const size_t room = gw_round_up(t->opts.max_prompt, GW_KV_BLOCK) * sums->stride;
    const size_t bytes = n * sums->stride * sizeof(float);
    float *dk = t->prompt_dkv + (s->layer * s->c->n_kv_heads + kv_head) * 2 * room, *dv = dk + room;
    memcpy(load ? sums->dk : dk, load ? dk : sums->dk, bytes);
    memcpy(load ? sums->dv : dv, load ? dv : sums->dv, bytes);
}

/* One kv head of the samples of a part, then of their prompt. */
static void part_back(const struct step *s, const struct gw_train_part *part, size_t kv_head,
                      const struct sums *sums, void *scratch) {
    const struct gw_trainer *t = s->t;
    const struct gw_train_seg *prompt = part->prompt != SIZE_MAX ? &t->segs[part->prompt] : NULL;
    const size_t shared = prompt != NULL ? prompt->rows.end - prompt->rows.begin : 0;
    if (prompt != NULL && part->first) clear_from(sums, 0, shared);
    if (prompt != NULL && !part->first) move_prompt_sums(s, kv_head, sums, shared, true);
    for (size_t i = part->samples.begin; i < part->samples.end; i++) {
        const struct gw_train_seg *seg = &t->segs[i];
        clear_from(sums, shared, seg->position + (seg->rows.end - seg->rows.begin));
        attend_back(s, seg, kv_head, sums, scratch);
        take_dkv(s, seg, kv_head, sums);
    }
    if (prompt == NULL) return;
    if (!part->last) {
        move_prompt_sums(s, kv_head, sums, shared, false);
        return;
    }
    clear_from(sums, shared, shared); /* the rest of its last block */
    attend_back(s, prompt, kv_head, sums, scratch);
    take_dkv(s, prompt, kv_head, sums);
}

/* dq, dk and dv of all rows; ends with a barrier. */
static void attention_back(const struct step *s) {
    const struct gw_trainer *t = s->t;
    const size_t heads = s->c->n_kv_heads;
    char *scratch = gw_trainer_scratch(t, s->thread);
    struct sums sums = {.dk = (float *)(void *)scratch,
                        .stride = gw_attn_back_stride(s->c->head_dim)};
    sums.dv = sums.dk + t->acc_floats;
    scratch += gw_round_up(2 * t->acc_floats * sizeof(float), 64);
    for (size_t i = (size_t)s->thread; i < t->n_parts * heads; i += (size_t)s->n_threads)
        part_back(s, &t->parts[i / heads], i % heads, &sums, scratch);
    barrier(s);
}

/* Row r of it: queries and keys go back through rotation (in place: what their norms gave) and
 * norm, whose factors are kept, values as they are. */
static void row_back(const struct step *s, size_t r, char *out) {
    struct gw_trainer *t = s->t;
    const struct gw_config *c = s->c;
    const size_t hd = c->head_dim, q = c->n_heads * hd, n_qk = c->n_heads + c->n_kv_heads;
    const size_t half = t->ws->rope.half, elem = gw_x_elem(s->arith->format);
    const size_t at = t->ws->batch.rows[r - s->rows.begin].position * half;
    const float *raw = s->v.qkv + r * gw_qkv_cols(c), eps = (float)c->rms_eps;
    float *d = t->d_qkv + r * gw_qkv_cols(c), *inv = t->inv + r * n_qk;
    const bool bf16 = s->arith->format == GW_PANEL_BF16X2;
    s->arith->kern->norm_rope_back(out, bf16, d, raw, c->n_heads, half, s->l->q_norm, eps,
                                   t->ws->rope.cosines + at, t->ws->rope.sines + at, inv);
    s->arith->kern->norm_rope_back(out + q * elem, bf16, d + q, raw + q, c->n_kv_heads, half,
                                   s->l->k_norm, eps, t->ws->rope.cosines + at,
                                   t->ws->rope.sines + at, inv + c->n_heads);
    gw_store_x(s->arith, out, n_qk * hd, d + n_qk * hd, c->n_kv_heads * hd);
}

/* d_wide = gradient of the products q|k|v, from d_qkv; ends with a barrier. */
static void heads_back(const struct step *s) {
    struct gw_trainer *t = s->t;
    const struct gw_config *c = s->c;
    const size_t hd = c->head_dim, cols = gw_qkv_cols(c), n_qk = c->n_heads + c->n_kv_heads;
    const size_t stride = gw_packed_x_stride(s->arith->format, cols);
    struct gw_span mine;
    my_rows(s, &mine);
    for (size_t r = mine.begin; r < mine.end; r++) row_back(s, r, t->d_wide + r * stride);
    barrier(s);
    if (s->l->q_norm == NULL || t->model->lora != NULL) return;
    gw_backward_norm_weight(t, grad(s, GW_TENSOR_Q_NORM), hd, c->n_heads, t->d_qkv, cols, s->v.qkv,
                            cols, t->inv, n_qk, t->spans, t->n_spans, s->thread, s->n_threads);
    const size_t k = c->n_heads * hd;
    gw_backward_norm_weight(t, grad(s, GW_TENSOR_K_NORM), hd, c->n_kv_heads, t->d_qkv + k, cols,
                            s->v.qkv + k, cols, t->inv + c->n_heads, n_qk, t->spans, t->n_spans,
                            s->thread, s->n_threads);
    barrier(s);
}

static void attention_backward(const struct step *s) {
    struct gw_trainer *t = s->t;
    const struct gw_config *c = s->c;
    const size_t hidden = c->hidden, width = c->n_heads * c->head_dim, cols = gw_qkv_cols(c);
    const size_t x_stride = gw_packed_x_stride(s->arith->format, hidden);
    const size_t attn_stride = gw_packed_x_stride(s->arith->format, width);
    const size_t wide_stride = gw_packed_x_stride(s->arith->format, cols);
    to_operands(s, t->dh, hidden, t->dy);
    mark(s, GW_TRAIN_AGAIN);
    dx_rows(s, GW_SITE_O, &s->l->o, t->dy, x_stride, t->d_attn);
    mark(s, GW_TRAIN_DX_O);
    weight_grad(s, GW_SITE_O, &s->l->o, t->dy, x_stride, s->v.attn, attn_stride);
    mark(s, GW_TRAIN_DW_O);
    norm_again(s, s->v.h_in, s->l->attn_norm);
    if (s->again == GW_RECOMPUTE_ATTN)
        product_again(s, GW_SITE_QKV, &s->l->qkv, s->l->qkv_bias, s->v.qkv, cols);
    queries_again(s);
    mark(s, GW_TRAIN_AGAIN);
    attention_back(s);
    mark(s, GW_TRAIN_ATTEND);
    heads_back(s);
    mark(s, GW_TRAIN_ROTATE);
    dx_rows(s, GW_SITE_QKV, &s->l->qkv, t->d_wide, wide_stride, t->dx);
    mark(s, GW_TRAIN_DX_QKV);
    weight_grad(s, GW_SITE_QKV, &s->l->qkv, t->d_wide, wide_stride, t->ws->x, x_stride);
    mark(s, GW_TRAIN_DW_QKV);
    norm_backward(s, s->v.h_in, s->l->attn_norm, GW_TENSOR_ATTN_NORM);
    mark(s, GW_TRAIN_NORM);
}

/* --- a layer -------------------------------------------------------------------------------- */

/* The whole layer's forward pass again, from its input. */
static void layer_again(struct step *s) {
    struct gw_trainer *t = s->t;
    const size_t hidden = s->c->hidden, r0 = s->rows.begin;
    struct gw_span mine;
    my_rows(s, &mine);
    memcpy(t->ws->h + (mine.begin - r0) * hidden, s->v.h_in + mine.begin * hidden,
           (mine.end - mine.begin) * hidden * sizeof(float));
    barrier(s);
    struct gw_saves from_first_row = s->v;
    from_first_row.h_in = NULL;
    from_first_row.qkv += r0 * gw_qkv_cols(s->c);
    from_first_row.attn +=
        r0 * gw_packed_x_stride(s->arith->format, s->c->n_heads * s->c->head_dim);
    from_first_row.stats += r0 * s->c->n_heads;
    from_first_row.h_mid += r0 * hidden;
    from_first_row.gate_up += r0 * gw_gate_up_cols(s->c);
    gw_forward_layer(t->ws, s->layer, &from_first_row, s->thread);
}

void gw_backward_layer(struct gw_trainer *t, size_t layer, int thread, int n_threads) {
    const struct gw_saves *kept = &t->saves[layer];
    struct step s = {.t = t,
                     .arith = &t->model->arith,
                     .c = &t->model->cfg,
                     .layer = layer,
                     .again = gw_recompute_of(&t->opts, layer),
                     .l = &t->model->layers[layer],
                     .v = *kept,
                     .rows = {t->first_row, t->n_rows},
                     .thread = thread,
                     .n_threads = n_threads};
    if (kept->qkv == NULL) s.v.qkv = t->live.qkv;
    if (kept->attn == NULL) s.v.attn = t->live.attn;
    if (kept->stats == NULL) s.v.stats = t->live.stats;
    if (kept->h_mid == NULL) s.v.h_mid = t->live.h_mid;
    if (kept->gate_up == NULL) s.v.gate_up = t->live.gate_up;
    if (s.again == GW_RECOMPUTE_LAYER) layer_again(&s);
    mark(&s, GW_TRAIN_AGAIN);
    mlp_backward(&s);
    attention_backward(&s);
}

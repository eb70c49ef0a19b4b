/* products.c - what the parts of the backward pass are made of: products with a matrix's rows and
 * columns, its adapter's beside it, and norms.
 *
 * dX = dY W takes panels that each thread transposes as it needs them; dW = dY^T X has both sides
 * packed along tokens first, by all threads, into dy_t and x_panels (ops/linear_backward.h). */
#include "train/impl.h"

#include <string.h>

/* --- rows ----------------------------------------------------------------------------------- */

/* Rows of floats as operands; ends with a barrier. */
void gw_backward_operands(const struct gw_backward *s, const float *x, size_t n, char *out) {
    const size_t stride = gw_packed_x_stride(s->arith->format, n);
    const struct gw_span mine = gw_backward_rows(s);
    for (size_t r = mine.begin; r < mine.end; r++)
        gw_store_x(s->arith, out + r * stride, 0, x + r * n, n);
    gw_backward_barrier(s);
}

/* ws->x = norm(h) for all rows, as the forward pass had it; ends with a barrier. */
void gw_backward_recompute_norm(const struct gw_backward *s, const float *h, const float *weight) {
    const size_t hidden = s->cfg->hidden, stride = gw_packed_x_stride(s->arith->format, hidden);
    float *row = gw_trainer_scratch(s->t, s->thread);
    const struct gw_span mine = gw_backward_rows(s);
    for (size_t r = mine.begin; r < mine.end; r++) {
        s->arith->kern->rmsnorm(row, h + r * hidden, weight, hidden, (float)s->cfg->rms_eps);
        gw_store_x(s->arith, s->t->ws->x + r * stride, 0, row, hidden);
    }
    gw_backward_barrier(s);
}

void gw_backward_norm_weight(const struct gwen_kernels *kern, const struct gw_backward_norm *a,
                             int thread, int n_threads) {
    size_t begin, end;
    gw_share(a->n, thread, n_threads, &begin, &end);
    for (size_t i = 0; i < a->n_spans; i++)
        for (size_t r = a->spans[i].begin; r < a->spans[i].end; r++)
            for (size_t h = 0; h < a->heads; h++)
                kern->add_product(a->dw + begin, a->x + r * a->x_stride + h * a->n + begin,
                                  a->inv[r * a->inv_stride + h],
                                  a->dy + r * a->dy_stride + h * a->n + begin, end - begin);
}

/* dh += gradient of norm(h) given dx, and the norm weight's gradient; ends with a barrier. */
void gw_backward_norm(const struct gw_backward *s, const float *h, const float *weight,
                      enum gw_tensor_kind kind) {
    struct gw_trainer *t = s->t;
    const size_t hidden = s->cfg->hidden;
    const struct gw_span mine = gw_backward_rows(s);
    for (size_t r = mine.begin; r < mine.end; r++)
        t->back.inv[r] =
            s->arith->kern->rmsnorm_back(t->back.dh + r * hidden, t->back.dx + r * hidden,
                                         h + r * hidden, weight, hidden, (float)s->cfg->rms_eps);
    gw_backward_barrier(s);
    if (t->model->lora != NULL) return;
    gw_backward_norm_weight(s->arith->kern,
                            &(struct gw_backward_norm){.dw = gw_backward_grad(s, kind),
                                                       .n = hidden,
                                                       .heads = 1,
                                                       .dy = t->back.dx,
                                                       .dy_stride = hidden,
                                                       .x = h,
                                                       .x_stride = hidden,
                                                       .inv = t->back.inv,
                                                       .inv_stride = 1,
                                                       .spans = t->pass.spans,
                                                       .n_spans = t->pass.n_spans},
                            s->thread, s->n_threads);
    gw_backward_barrier(s);
}

/* --- dX ------------------------------------------------------------------------------------- */

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
static const struct gw_lora_site *site_of(const struct gw_backward *s, enum gw_site site) {
    const struct gw_lora *lora = s->t->model->lora;
    return lora != NULL && lora->sites[s->index][site].width > 0 ? &lora->sites[s->index][site]
                                                                 : NULL;
}

static size_t u_stride(const struct gw_backward *s) {
    return gw_packed_x_stride(s->arith->format, s->cfg->lora_width);
}

/* U = scale x A^T again, for all rows. */
static void recompute_u(const struct gw_backward *s, const struct gw_lora_site *site, const char *x,
                        size_t x_stride) {
    const size_t r0 = s->rows.begin, stride = u_stride(s);
    struct gw_lora_u to = {s->arith, s->t->model->lora->scale, s->t->back.lora_u + r0 * stride,
                           stride};
    gw_linear(s->arith, &site->a, s->rows.end - r0, x + r0 * x_stride, x_stride, gw_lora_take_u,
              &to, gw_trainer_scratch(s->t, s->thread), s->t->pool, s->thread);
}

/* y = x W^T + bias (and the adapter's part) again, for all rows. */
void gw_backward_recompute_product(const struct gw_backward *s, enum gw_site which,
                                   const struct gw_packed *w, const float *bias, float *y,
                                   size_t y_stride) {
    const size_t x_stride = gw_packed_x_stride(s->arith->format, w->k), r0 = s->rows.begin;
    const struct gw_lora_site *site = site_of(s, which);
    struct to_rows to = {s->arith->kern, y + r0 * y_stride, y_stride, bias};
    struct gw_lora_add add = {.arith = s->arith,
                              .lora = s->t->model->lora,
                              .site = site,
                              .u = s->t->back.lora_u + r0 * u_stride(s),
                              .u_stride = u_stride(s),
                              .then = done_rows,
                              .ctx = &to};
    if (site != NULL) recompute_u(s, site, s->t->ws->x, x_stride);
    gw_linear(s->arith, w, s->rows.end - r0, s->t->ws->x + r0 * x_stride, x_stride,
              site != NULL ? gw_lora_add : done_rows, site != NULL ? (void *)&add : (void *)&to,
              gw_trainer_scratch(s->t, s->thread), s->t->pool, s->thread);
}

/* dX = dY W for all rows, from `start` (or NULL) on; dy [rows][w->n] operands. */
static void plain_dx(const struct gw_backward *s, const struct gw_packed *w, const char *dy,
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
    gw_backward_barrier(s);
}

/* dX = dY W + scale (dY B) A: the adapter's dU = scale dY B is left in lora_du, its product with A
 * goes on from the base's. */
void gw_backward_dx(const struct gw_backward *s, enum gw_site which, const struct gw_packed *w,
                    const char *dy, size_t dy_stride, gw_linear_done *done, void *ctx) {
    struct gw_trainer *t = s->t;
    const struct gw_lora_site *site = site_of(s, which);
    if (site == NULL) {
        plain_dx(s, w, dy, dy_stride, NULL, done, ctx);
        return;
    }
    const size_t r0 = s->rows.begin, stride = u_stride(s);
    struct gw_lora_u du = {s->arith, t->model->lora->scale, t->back.lora_du + r0 * stride, stride};
    struct to_rows to = {s->arith->kern, t->back.lora_dx + r0 * w->k, w->k, NULL};
    plain_dx(s, &site->b, dy, dy_stride, NULL, gw_lora_take_u, &du);
    plain_dx(s, w, dy, dy_stride, NULL, done_rows, &to);
    plain_dx(s, &site->a, t->back.lora_du, stride, t->back.lora_dx, done, ctx);
}

void gw_backward_dx_rows(const struct gw_backward *s, enum gw_site which, const struct gw_packed *w,
                         const char *dy, size_t dy_stride, float *dx) {
    struct to_rows to = {s->arith->kern, dx + s->rows.begin * w->k, w->k, NULL};
    gw_backward_dx(s, which, w, dy, dy_stride, done_rows, &to);
}

void gw_backward_dw(const struct gw_trainer *t, const struct gw_backward_dw *a, int thread,
                    int n_threads) {
    const struct gw_arith arith = gw_token_arith(&t->model->arith);
    const struct gw_token_pack pack = {&arith, a->spans, a->n_spans,
                                       gw_padded_tokens(arith.format, a->spans, a->n_spans)};
    const size_t t_stride = gw_packed_x_stride(arith.format, t->back.max_padded);
    const size_t first = a->halves.begin, n_halves = a->halves.end - first;
    const size_t n = a->alternate ? n_halves * a->n : a->n;
    gw_pack_tokens(&pack, a->x, a->x_stride, 0, a->k, t->back.x_panels, thread, n_threads);
    if (a->alternate) {
        size_t begin, end;
        gw_share((a->n + GWEN_PANEL - 1) / GWEN_PANEL, thread, n_threads, &begin, &end);
        for (size_t b = begin; b < end; b++)
            for (size_t half = 0; half < n_halves; half++)
                gw_transpose_tokens(
                    &pack, a->dy, a->dy_stride, a->c0 + (2 * b + first + half) * GWEN_PANEL,
                    GW_MIN((size_t)GWEN_PANEL, a->n - b * GWEN_PANEL),
                    t->back.dy_t + (half * a->n + b * GWEN_PANEL) * t_stride, t_stride, 0, 1);
    } else {
        gw_transpose_tokens(&pack, a->dy, a->dy_stride, a->c0, n, t->back.dy_t, t_stride, thread,
                            n_threads);
    }
    gw_pool_barrier(t->pool);
    gw_train_mark(t, GW_TRAIN_PACK, thread);
    const struct gw_linear_dw dw = {.arith = &arith,
                                    .n = n,
                                    .k = a->k,
                                    .n_padded = pack.n_padded,
                                    .dy_t = t->back.dy_t,
                                    .dy_t_stride = t_stride,
                                    .x_panels = t->back.x_panels,
                                    .dw = a->dw,
                                    .dw_stride = a->k};
    gw_linear_dw(&dw, gw_trainer_scratch(t, thread), t->pool, thread);
    gw_pool_barrier(t->pool);
}

/* dbias[j] += the sum of column c0 + j over the rows of all spans, in their order. */
static void add_bias_grad(const struct gw_backward *s, const char *dy, size_t dy_stride, size_t c0,
                          size_t n, float *dbias) {
    const struct gw_trainer *t = s->t;
    size_t begin, end;
    gw_share(n, s->thread, s->n_threads, &begin, &end);
    for (size_t i = 0; i < t->pass.n_spans; i++)
        for (size_t r = t->pass.spans[i].begin; r < t->pass.spans[i].end; r++) {
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
static void lora_grad(const struct gw_backward *s, const struct gw_lora_site *site, const char *dy,
                      size_t dy_stride, const char *x, size_t x_stride) {
    const struct gw_trainer *t = s->t;
    struct gw_backward_dw a = {.dy = t->back.lora_du,
                               .dy_stride = u_stride(s),
                               .n = site->width,
                               .x = x,
                               .x_stride = x_stride,
                               .k = site->a.k,
                               .dw = t->grads + site->a_offset,
                               .spans = t->pass.spans,
                               .n_spans = t->pass.n_spans};
    gw_backward_dw(t, &a, s->thread, s->n_threads);
    recompute_u(s, site, x, x_stride);
    for (size_t i = 0; i < site->n_parts; i++) {
        const struct gw_lora_part *p = &site->parts[i];
        const bool up = p->module == GW_LORA_UP;
        a.dy = dy;
        a.dy_stride = dy_stride;
        a.c0 = p->row0;
        a.n = p->rows;
        a.alternate = up || p->module == GW_LORA_GATE;
        a.halves = (struct gw_span){up ? 1 : 0, up ? 2 : 1};
        a.x = t->back.lora_u + p->col0 * gw_x_elem(s->arith->format);
        a.x_stride = u_stride(s);
        a.k = t->model->lora->opts.r;
        a.dw = t->grads + p->b_offset;
        gw_backward_dw(t, &a, s->thread, s->n_threads);
    }
}

static void bias_grad(const struct gw_backward *s, enum gw_site which, const char *dy,
                      size_t dy_stride) {
    const struct gw_config *c = s->cfg;
    const size_t ffn = c->ffn;
    switch (which) {
    case GW_SITE_QKV:
        if (c->qkv_bias)
            add_bias_grad(s, dy, dy_stride, 0, s->weights->qkv.n,
                          gw_backward_grad(s, GW_TENSOR_Q_BIAS));
        break;
    case GW_SITE_O:
        if (c->o_bias)
            add_bias_grad(s, dy, dy_stride, 0, c->hidden, gw_backward_grad(s, GW_TENSOR_O_BIAS));
        break;
    case GW_SITE_DOWN:
        if (c->mlp_bias)
            add_bias_grad(s, dy, dy_stride, 0, c->hidden, gw_backward_grad(s, GW_TENSOR_DOWN_BIAS));
        break;
    default:
        for (size_t f = 0; c->mlp_bias && f < ffn; f += GWEN_PANEL) {
            const size_t n = GW_MIN((size_t)GWEN_PANEL, ffn - f);
            add_bias_grad(s, dy, dy_stride, 2 * f, n, gw_backward_grad(s, GW_TENSOR_GATE_BIAS) + f);
            add_bias_grad(s, dy, dy_stride, 2 * f + GWEN_PANEL, n,
                          gw_backward_grad(s, GW_TENSOR_UP_BIAS) + f);
        }
    }
}

/* The gradient of one of the layer's matrices and its bias, or of its adapter. */
void gw_backward_weight(const struct gw_backward *s, enum gw_site which, const struct gw_packed *w,
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
                                            .n = gate_up ? s->cfg->ffn : w->n,
                                            .alternate = gate_up,
                                            .halves = {0, 2},
                                            .x = x,
                                            .x_stride = x_stride,
                                            .k = w->k,
                                            .dw = gw_backward_grad(s, kinds[which]),
                                            .spans = t->pass.spans,
                                            .n_spans = t->pass.n_spans},
                   s->thread, s->n_threads);
    bias_grad(s, which, dy, dy_stride);
}

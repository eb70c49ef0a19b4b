/* backward_head.c - the LM head and the final norm backwards.
 *
 * The vocabulary is taken in chunks: logits of all output rows for the chunk are computed again,
 * turned into their gradient dz = w (onehot - softmax) / temperature, and used for both products,
 * so that nothing of size rows x vocabulary is ever held. */
#include "train/impl.h"

#include <string.h>

/* A chunk of the vocabulary in work. */
struct chunk {
    struct gw_trainer *t;
    size_t v0;
    size_t stride; /* of operand rows of dz, which lie in d_wide */
};

static void done_logits(void *ctx, int thread, size_t m0, size_t m, size_t n0, size_t n, float *c,
                        size_t c_stride) {
    const struct chunk *k = ctx;
    const struct gw_trainer *t = k->t;
    const bool bf16 = t->model->arith.format == GW_PANEL_BF16X2;
    (void)thread;
    t->model->kern.logprob_back(&(struct gwen_logprob_back){
        .m = m,
        .n = n,
        .z = c,
        .z_stride = c_stride,
        .dz = t->back.d_wide + m0 * k->stride + n0 * gw_x_elem(t->model->arith.format),
        .dz_stride = k->stride,
        .bf16 = bf16,
        .temperature = (float)t->opts.temperature,
        .max = t->out.max + m0,
        .p = t->out.p + m0,
        .w = t->out.dlogprob + m0,
        .target = t->out.targets + m0,
        .first = (int32_t)(k->v0 + n0)});
}

struct to_sums {
    float *y;
    size_t stride;
};

static void done_sums(void *ctx, int thread, size_t m0, size_t m, size_t n0, size_t n, float *c,
                      size_t c_stride) {
    const struct to_sums *d = ctx;
    (void)thread;
    for (size_t i = 0; i < m; i++)
        memcpy(d->y + (m0 + i) * d->stride + n0, c + i * c_stride, n * sizeof *c);
}

static void chunk_backward(struct gw_trainer *t, size_t v0, int thread, int n_threads) {
    const struct gw_model *m = t->model;
    const size_t hidden = m->cfg.hidden, x_stride = gw_packed_x_stride(m->arith.format, hidden);
    const size_t n = GW_MIN(t->back.vocab_chunk, m->cfg.vocab_size - v0);
    struct chunk chunk = {t, v0, gw_packed_x_stride(m->arith.format, t->back.vocab_chunk)};
    struct gw_packed w;
    gw_packed_init(&w, m->arith.format, n, hidden,
                   (char *)m->head.data + v0 / GWEN_PANEL * m->head.panel_stride);
    gw_linear(&m->arith, &w, t->out.n, t->ws->head_x, x_stride, done_logits, &chunk,
              gw_trainer_scratch(t, thread), t->pool, thread);
    gw_train_mark(t, GW_TRAIN_HEAD_Z, thread);
    struct to_sums to = {t->back.dx, hidden};
    const struct gw_linear_dx dx = {.arith = &m->arith,
                                    .w = &w,
                                    .m = t->out.n,
                                    .dy = t->back.d_wide,
                                    .dy_stride = chunk.stride,
                                    .start = v0 > 0 ? t->back.dx : NULL,
                                    .start_stride = hidden};
    gw_linear_dx(&dx, done_sums, &to, gw_trainer_scratch(t, thread), t->pool, thread);
    gw_train_mark(t, GW_TRAIN_HEAD_DX, thread);
    if (m->lora != NULL) {
        gw_pool_barrier(t->pool);
        return;
    }
    enum gw_tensor_kind kind = m->cfg.tie_word_embeddings ? GW_TENSOR_EMBED : GW_TENSOR_LM_HEAD;
    gw_backward_dw(t,
                   &(struct gw_backward_dw){.dy = t->back.d_wide,
                                            .dy_stride = chunk.stride,
                                            .n = n,
                                            .x = t->ws->head_x,
                                            .x_stride = x_stride,
                                            .k = hidden,
                                            .dw = t->grads + v0 * hidden +
                                                  gw_params_offset(t->params, kind, 0),
                                            .spans = t->out.spans + t->pass.n_prefix_segs,
                                            .n_spans = t->pass.n_segs - t->pass.n_prefix_segs},
                   thread, n_threads);
    gw_train_mark(t, GW_TRAIN_HEAD_DW, thread);
}

void gw_backward_head(struct gw_trainer *t, int thread, int n_threads) {
    const struct gw_model *m = t->model;
    const size_t hidden = m->cfg.hidden;
    for (size_t v0 = 0; t->out.n > 0 && v0 < m->cfg.vocab_size; v0 += t->back.vocab_chunk) {
        if (gw_workspace_stops(t->ws, thread)) return;
        chunk_backward(t, v0, thread, n_threads);
    }
    size_t begin, end;
    gw_share(t->pass.n_rows, thread, n_threads, &begin, &end);
    memset(t->back.dh + begin * hidden, 0, (end - begin) * hidden * sizeof *t->back.dh);
    gw_pool_barrier(t->pool);
    gw_share(t->out.n, thread, n_threads, &begin, &end);
    for (size_t i = begin; i < end; i++)
        t->back.inv[i] =
            m->kern.rmsnorm_back(t->back.dh + t->out.rows[i] * hidden, t->back.dx + i * hidden,
                                 t->out.h + i * hidden, m->norm, hidden, (float)m->cfg.rms_eps);
    gw_pool_barrier(t->pool);
    if (m->lora != NULL) return;
    const struct gw_span all = {0, t->out.n};
    gw_backward_norm_weight(
        &m->kern,
        &(struct gw_backward_norm){.dw = t->grads + gw_params_offset(t->params, GW_TENSOR_NORM, 0),
                                   .n = hidden,
                                   .heads = 1,
                                   .dy = t->back.dx,
                                   .dy_stride = hidden,
                                   .x = t->out.h,
                                   .x_stride = hidden,
                                   .inv = t->back.inv,
                                   .inv_stride = 1,
                                   .spans = &all,
                                   .n_spans = 1},
        thread, n_threads);
    gw_pool_barrier(t->pool);
    gw_train_mark(t, GW_TRAIN_NORM, thread);
}

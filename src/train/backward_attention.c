/* backward_attention.c - a layer's attention backwards.
 *
 *     d_attn = dh Wo -> dq, dk, dv -> rotation', norm' -> dx = d_qkv Wqkv -> dh += norm'(dx)
 */
#include "train/impl.h"

#include <math.h>
#include <string.h>

/* Each head's queries again, rotated, as the forward pass had them; ends with a barrier. */
static void recompute_queries(const struct gw_backward *s) {
    const struct gw_workspace *ws = s->t->ws;
    const size_t half = ws->rope.half, cols = gw_qkv_cols(s->cfg);
    const size_t stride = gw_packed_x_stride(s->arith->format, s->cfg->n_heads * s->cfg->head_dim);
    const struct gw_span mine = gw_backward_rows(s);
    for (size_t r = mine.begin; r < mine.end; r++) {
        const size_t at = ws->batch.rows[r - s->rows.begin].position * half;
        s->arith->kern->norm_rope(ws->q + r * stride, s->arith->format == GW_PANEL_BF16X2,
                                  s->saves.qkv + r * cols, s->cfg->n_heads, half,
                                  s->weights->q_norm, (float)s->cfg->rms_eps, ws->rope.cosines + at,
                                  ws->rope.sines + at);
    }
    gw_backward_barrier(s);
}

static void attend_back(const struct gw_backward *s, const struct gw_train_seg *seg, size_t kv_head,
                        const struct gw_train_sums *sums) {
    const struct gw_trainer *t = s->t;
    const struct gw_config *c = s->cfg;
    const size_t hpk = c->n_heads / c->n_kv_heads, width = hpk * c->head_dim;
    const size_t stride = gw_packed_x_stride(s->arith->format, c->n_heads * c->head_dim);
    const size_t r0 = seg->rows.begin;
    const size_t at = r0 * stride + kv_head * width * gw_x_elem(s->arith->format);
    gw_attention_backward(&(struct gw_attn_back){
        .arith = s->arith,
        .layout = gw_kv_layout(t->kv),
        .base = gw_kv_base(t->kv),
        .layer = s->index,
        .kv_head = kv_head,
        .heads_per_kv = hpk,
        .scale = 1.0f / sqrtf((float)c->head_dim),
        .blocks = seg->seq.blocks,
        .position = seg->position,
        .n_rows = seg->rows.end - r0,
        .q = t->ws->q + at,
        .out = s->saves.attn + at,
        .q_stride = stride,
        .stats = s->saves.stats + r0 * c->n_heads + kv_head * hpk,
        .stats_stride = c->n_heads,
        .d_out = t->back.d_attn + r0 * c->n_heads * c->head_dim + kv_head * width,
        .d_out_stride = c->n_heads * c->head_dim,
        .dq = t->back.d_qkv + r0 * gw_qkv_cols(c) + kv_head * width,
        .dq_stride = gw_qkv_cols(c),
        .dk = sums->dk,
        .dv = sums->dv,
        .scratch = sums->scratch});
}

/* The sums of a segment's own positions are complete. */
static void take_dkv(const struct gw_backward *s, const struct gw_train_seg *seg, size_t kv_head,
                     const struct gw_train_sums *sums) {
    const struct gw_config *c = s->cfg;
    const size_t hd = c->head_dim, cols = gw_qkv_cols(c);
    for (size_t r = seg->rows.begin; r < seg->rows.end; r++) {
        const size_t at = (seg->position + r - seg->rows.begin) * sums->stride;
        float *dk = s->t->back.d_qkv + r * cols + (c->n_heads + kv_head) * hd;
        memcpy(dk, sums->dk + at, hd * sizeof *dk);
        memcpy(dk + c->n_kv_heads * hd, sums->dv + at, hd * sizeof *dk);
    }
}

static void clear_from(const struct gw_train_sums *sums, size_t position, size_t end) {
    const size_t n = (gw_round_up(end, GW_KV_BLOCK) - position) * sums->stride * sizeof(float);
    memset(sums->dk + position * sums->stride, 0, n);
    memset(sums->dv + position * sums->stride, 0, n);
}

/* Between the passes of a group that is split, the sums of its prompt wait in prompt_dkv. */
static void move_prompt_sums(const struct gw_backward *s, size_t kv_head,
                             const struct gw_train_sums *sums, size_t n, bool load) {
    const struct gw_trainer *t = s->t;
    const size_t room = gw_round_up(t->opts.max_prompt, GW_KV_BLOCK) * sums->stride;
    const size_t bytes = n * sums->stride * sizeof(float);
    float *dk = t->back.prompt_dkv + (s->index * s->cfg->n_kv_heads + kv_head) * 2 * room,
          *dv = dk + room;
    memcpy(load ? sums->dk : dk, load ? dk : sums->dk, bytes);
    memcpy(load ? sums->dv : dv, load ? dv : sums->dv, bytes);
}

/* One kv head of the samples of a part, then of their prompt. */
static void part_back(const struct gw_backward *s, const struct gw_train_part *part, size_t kv_head,
                      const struct gw_train_sums *sums) {
    const struct gw_trainer *t = s->t;
    const struct gw_train_seg *prompt =
        part->prompt != SIZE_MAX ? &t->pass.segs[part->prompt] : NULL;
    const size_t shared = prompt != NULL ? prompt->rows.end - prompt->rows.begin : 0;
    if (prompt != NULL && part->first) clear_from(sums, 0, shared);
    if (prompt != NULL && !part->first) move_prompt_sums(s, kv_head, sums, shared, true);
    for (size_t i = part->samples.begin; i < part->samples.end; i++) {
        const struct gw_train_seg *seg = &t->pass.segs[i];
        clear_from(sums, shared, seg->position + (seg->rows.end - seg->rows.begin));
        attend_back(s, seg, kv_head, sums);
        take_dkv(s, seg, kv_head, sums);
    }
    if (prompt == NULL) return;
    if (!part->last) {
        move_prompt_sums(s, kv_head, sums, shared, false);
        return;
    }
    clear_from(sums, shared, shared); /* the rest of its last block */
    attend_back(s, prompt, kv_head, sums);
    take_dkv(s, prompt, kv_head, sums);
}

/* dq, dk and dv of all rows; ends with a barrier. */
static void attention_back(const struct gw_backward *s) {
    const struct gw_trainer *t = s->t;
    const size_t heads = s->cfg->n_kv_heads;
    struct gw_layout l = gw_layout_over(gw_trainer_scratch(t, s->thread), t->back.scratch_bytes);
    struct gw_train_sums sums;
    gw_train_lay_out_sums(&l, s->cfg, s->arith->format, &t->opts, &sums);
    for (size_t i = (size_t)s->thread; i < t->pass.n_parts * heads; i += (size_t)s->n_threads)
        part_back(s, &t->pass.parts[i / heads], i % heads, &sums);
    gw_backward_barrier(s);
}

/* Row r of it: queries and keys go back through rotation (in place: what their norms gave) and
 * norm, whose factors are kept, values as they are. */
static void row_back(const struct gw_backward *s, size_t r, char *out) {
    struct gw_trainer *t = s->t;
    const struct gw_config *c = s->cfg;
    const size_t hd = c->head_dim, q = c->n_heads * hd, n_qk = c->n_heads + c->n_kv_heads;
    const size_t half = t->ws->rope.half, elem = gw_x_elem(s->arith->format);
    const size_t at = t->ws->batch.rows[r - s->rows.begin].position * half;
    const float *raw = s->saves.qkv + r * gw_qkv_cols(c), eps = (float)c->rms_eps;
    float *d = t->back.d_qkv + r * gw_qkv_cols(c), *inv = t->back.inv + r * n_qk;
    const bool bf16 = s->arith->format == GW_PANEL_BF16X2;
    s->arith->kern->norm_rope_back(out, bf16, d, raw, c->n_heads, half, s->weights->q_norm, eps,
                                   t->ws->rope.cosines + at, t->ws->rope.sines + at, inv);
    s->arith->kern->norm_rope_back(out + q * elem, bf16, d + q, raw + q, c->n_kv_heads, half,
                                   s->weights->k_norm, eps, t->ws->rope.cosines + at,
                                   t->ws->rope.sines + at, inv + c->n_heads);
    gw_store_x(s->arith, out, n_qk * hd, d + n_qk * hd, c->n_kv_heads * hd);
}

/* d_wide = gradient of the products q|k|v, from d_qkv; ends with a barrier. */
static void heads_back(const struct gw_backward *s) {
    struct gw_trainer *t = s->t;
    const struct gw_config *c = s->cfg;
    const size_t hd = c->head_dim, cols = gw_qkv_cols(c), n_qk = c->n_heads + c->n_kv_heads;
    const size_t stride = gw_packed_x_stride(s->arith->format, cols);
    const struct gw_span mine = gw_backward_rows(s);
    for (size_t r = mine.begin; r < mine.end; r++) row_back(s, r, t->back.d_wide + r * stride);
    gw_backward_barrier(s);
    if (s->weights->q_norm == NULL || t->model->lora != NULL) return;
    struct gw_backward_norm norm = {.dw = gw_backward_grad(s, GW_TENSOR_Q_NORM),
                                    .n = hd,
                                    .heads = c->n_heads,
                                    .dy = t->back.d_qkv,
                                    .dy_stride = cols,
                                    .x = s->saves.qkv,
                                    .x_stride = cols,
                                    .inv = t->back.inv,
                                    .inv_stride = n_qk,
                                    .spans = t->pass.spans,
                                    .n_spans = t->pass.n_spans};
    gw_backward_norm_weight(s->arith->kern, &norm, s->thread, s->n_threads);
    norm.dw = gw_backward_grad(s, GW_TENSOR_K_NORM);
    norm.heads = c->n_kv_heads;
    norm.dy += c->n_heads * hd;
    norm.x += c->n_heads * hd;
    norm.inv += c->n_heads;
    gw_backward_norm_weight(s->arith->kern, &norm, s->thread, s->n_threads);
    gw_backward_barrier(s);
}

void gw_backward_attention(const struct gw_backward *s) {
    struct gw_trainer *t = s->t;
    const struct gw_config *c = s->cfg;
    const size_t hidden = c->hidden, width = c->n_heads * c->head_dim, cols = gw_qkv_cols(c);
    const size_t x_stride = gw_packed_x_stride(s->arith->format, hidden);
    const size_t attn_stride = gw_packed_x_stride(s->arith->format, width);
    const size_t wide_stride = gw_packed_x_stride(s->arith->format, cols);
    gw_backward_operands(s, t->back.dh, hidden, t->back.dy);
    gw_backward_mark(s, GW_TRAIN_AGAIN);
    gw_backward_dx_rows(s, GW_SITE_O, &s->weights->o, t->back.dy, x_stride, t->back.d_attn);
    gw_backward_mark(s, GW_TRAIN_DX_O);
    gw_backward_weight(s, GW_SITE_O, &s->weights->o, t->back.dy, x_stride, s->saves.attn,
                       attn_stride);
    gw_backward_mark(s, GW_TRAIN_DW_O);
    gw_backward_recompute_norm(s, s->saves.h_in, s->weights->attn_norm);
    if (s->recompute == GW_RECOMPUTE_ATTN)
        gw_backward_recompute_product(s, GW_SITE_QKV, &s->weights->qkv, s->weights->qkv_bias,
                                      s->saves.qkv, cols);
    recompute_queries(s);
    gw_backward_mark(s, GW_TRAIN_AGAIN);
    attention_back(s);
    gw_backward_mark(s, GW_TRAIN_ATTEND);
    heads_back(s);
    gw_backward_mark(s, GW_TRAIN_ROTATE);
    gw_backward_dx_rows(s, GW_SITE_QKV, &s->weights->qkv, t->back.d_wide, wide_stride, t->back.dx);
    gw_backward_mark(s, GW_TRAIN_DX_QKV);
    gw_backward_weight(s, GW_SITE_QKV, &s->weights->qkv, t->back.d_wide, wide_stride, t->ws->x,
                       x_stride);
    gw_backward_mark(s, GW_TRAIN_DW_QKV);
    gw_backward_norm(s, s->saves.h_in, s->weights->attn_norm, GW_TENSOR_ATTN_NORM);
    gw_backward_mark(s, GW_TRAIN_NORM);
}

/* attention_backward.c - see attention_backward.h.  Rows are taken in tiles as the forward pass
 * takes them; what a tile needs of its queries is packed once and used for all its blocks. */
#include "ops/attention_backward.h"

#include "base/layout.h"
#include "ops/linear_backward.h"

#include <string.h>

/* Scratch of one tile: M = rows x heads_per_kv query rows. */
struct work {
    char *q, *d_o;               /* [M][head_dim] operands */
    char *q_panels, *d_o_panels; /* the same as panels over M */
    float *max, *sum;            /* [M] */
    float *delta;                /* [M] rowsum(dO O) */
    uint8_t *visible;            /* [M] slots of the block that a row sees */
    float *p, *ds;               /* [M][GW_KV_BLOCK] */
    char *p_op, *ds_op; /* the same as operands; p and ds themselves when these are float */
    char *p_t, *ds_t;   /* [GW_KV_BLOCK][M] operands */
    float *dq;          /* [M][head_dim rounded up] */
    char *k_t;          /* panels of K^T: columns head_dim, over tokens */
    char *v_t;          /* panels of V^T: columns tokens, over head_dim */
};

size_t gw_attn_back_stride(size_t head_dim) { return gw_round_up(head_dim, GWEN_PANEL); }

static size_t row_bytes(enum gw_panel_format format, size_t head_dim) {
    return gw_round_up(head_dim * gw_x_elem(format), 4);
}

/* Bytes between rows of a transposed operand of m elements. */
static size_t t_stride(enum gw_panel_format format, size_t m) {
    return gw_packed_x_stride(gw_token_format(format), gw_most_padded_tokens(m, 1));
}

static void lay_out(struct gw_layout *l, enum gw_panel_format format, size_t head_dim,
                    size_t heads_per_kv, struct work *w) {
    const size_t M = (size_t)GW_ATTN_MAX_ROWS * heads_per_kv, hd = gw_attn_back_stride(head_dim);
    const enum gw_panel_format token = gw_token_format(format);
    const size_t over_m = gw_panel_bytes(token, gw_most_padded_tokens(M, 1));
    w->q = gw_layout_take(l, M, row_bytes(format, head_dim));
    w->d_o = gw_layout_take(l, M, row_bytes(format, head_dim));
    w->q_panels = gw_layout_take(l, hd / GWEN_PANEL, over_m);
    w->d_o_panels = gw_layout_take(l, hd / GWEN_PANEL, over_m);
    w->max = gw_layout_take(l, M, sizeof *w->max);
    w->sum = gw_layout_take(l, M, sizeof *w->sum);
    w->delta = gw_layout_take(l, M, sizeof *w->delta);
    w->visible = gw_layout_take(l, M, sizeof *w->visible);
    w->p = gw_layout_take(l, M, GW_KV_BLOCK * sizeof *w->p);
    w->ds = gw_layout_take(l, M, GW_KV_BLOCK * sizeof *w->ds);
    w->p_op = gw_layout_take(l, M, GW_KV_BLOCK * sizeof(float));
    w->ds_op = gw_layout_take(l, M, GW_KV_BLOCK * sizeof(float));
    w->p_t = gw_layout_take(l, GW_KV_BLOCK, t_stride(format, M));
    w->ds_t = gw_layout_take(l, GW_KV_BLOCK, t_stride(format, M));
    w->dq = gw_layout_take(l, M, hd * sizeof *w->dq);
    w->k_t = gw_layout_take(l, hd / GWEN_PANEL, gw_panel_bytes(format, GW_KV_BLOCK));
    w->v_t = gw_layout_take(l, GW_KV_BLOCK / GWEN_PANEL, gw_panel_bytes(format, hd));
    if (token != GW_PANEL_F32) return;
    w->p_op = (char *)w->p;
    w->ds_op = (char *)w->ds;
}

size_t gw_attn_back_scratch_bytes(enum gw_panel_format format, size_t head_dim,
                                  size_t heads_per_kv) {
    struct gw_layout plan = {0};
    struct work unused;
    lay_out(&plan, format, head_dim, heads_per_kv, &unused);
    return plan.used;
}

/* Queries, dO, statistics and delta of rows r0.. of the call, n of them. */
static void gather(const struct gw_attn_back *a, const struct work *w, size_t r0, size_t n) {
    const struct gwen_kernels *kern = a->arith->kern;
    const enum gw_panel_format format = a->layout->format;
    const size_t hd = a->layout->head_dim, stride = row_bytes(format, hd);
    const size_t elem = gw_x_elem(format);
    float *o = w->p; /* free until the first block */
    for (size_t i = 0; i < n * a->heads_per_kv; i++) {
        const size_t r = r0 + i / a->heads_per_kv, h = i % a->heads_per_kv;
        const float *d_out = a->d_out + r * a->d_out_stride + h * hd;
        const char *out = a->out + r * a->q_stride + h * hd * elem;
        memcpy(w->q + i * stride, a->q + r * a->q_stride + h * hd * elem, hd * elem);
        gw_store_x(a->arith, w->d_o + i * stride, 0, d_out, hd);
        w->max[i] = a->stats[r * a->stats_stride + h].max;
        w->sum[i] = a->stats[r * a->stats_stride + h].sum;
        float sum = 0;
        for (size_t at = 0; at < hd; at += GW_KV_BLOCK) { /* heads may be longer than a row of p */
            const size_t len = GW_MIN(hd - at, (size_t)GW_KV_BLOCK);
            if (format == GW_PANEL_BF16X2)
                kern->bf16_to_f32(o, (const struct gwen_bf16 *)(const void *)out + at, len);
            else
                memcpy(o, (const float *)(const void *)out + at, len * sizeof *o);
            sum += kern->dot(d_out + at, o, len);
        }
        w->delta[i] = sum;
    }
}

/* P and dS from scores and dP, over n slots of which each row sees some; the first rows of a tile
 * may end before the block begins. */
static void finish_rows(const struct gw_attn_back *a, const struct work *w, size_t m, size_t n,
                        size_t begin, size_t r0) {
    const bool bf16 = a->layout->format == GW_PANEL_BF16X2;
    for (size_t i = 0; i < m; i++) {
        const size_t seen = a->position + r0 + i / a->heads_per_kv + 1;
        w->visible[i] = (uint8_t)(seen > begin ? GW_MIN(seen - begin, n) : 0);
    }
    a->arith->kern->softmax_back(
        &(struct gwen_softmax_back){.m = m,
                                    .n = n,
                                    .p = w->p,
                                    .ds = w->ds,
                                    .stride = GW_KV_BLOCK,
                                    .p16 = bf16 ? (struct gwen_bf16 *)(void *)w->p_op : NULL,
                                    .ds16 = bf16 ? (struct gwen_bf16 *)(void *)w->ds_op : NULL,
                                    .stride16 = GW_KV_BLOCK,
                                    .visible = w->visible,
                                    .scale = a->scale,
                                    .max = w->max,
                                    .sum = w->sum,
                                    .delta = w->delta});
}

/* What a product is of, and where its sums go. */
struct operand {
    const char *at;
    size_t stride; /* bytes between rows or panels */
};
struct sums {
    float *at;
    size_t stride; /* floats between rows */
    bool add;
};

/* A product of m rows of k elements with n panels. */
static void product(const struct gw_arith *arith, size_t m, size_t n, size_t k, struct operand rows,
                    struct operand panels, struct sums to) {
    gw_small_gemm(arith, &(struct gwen_tile){.m = m,
                                             .nv = n,
                                             .k = k,
                                             .x = rows.at,
                                             .x_stride = rows.stride,
                                             .w = panels.at,
                                             .panel_stride = panels.stride,
                                             .c = to.at,
                                             .c_stride = to.stride,
                                             .accumulate = to.add});
}

/* Block j of the sequence for rows r0..r0+n of the call. */
static void block_backward(const struct gw_attn_back *a, const struct work *w,
                           const struct gw_token_pack *over_m, size_t j, size_t r0, size_t n) {
    const struct gw_kv_layout *l = a->layout;
    const struct gwen_kernels *kern = a->arith->kern;
    const enum gw_panel_format format = l->format, token = over_m->arith->format;
    const size_t hd = l->head_dim, hd_panels = gw_attn_back_stride(hd) / GWEN_PANEL;
    const size_t hpk = a->heads_per_kv, m = n * hpk, begin = j * GW_KV_BLOCK;
    const size_t end = a->position + r0 + n; /* the last row sees the positions before it */
    const size_t slots = gw_round_up(GW_MIN(end - begin, (size_t)GW_KV_BLOCK), GWEN_PANEL);
    const size_t q_stride = row_bytes(format, hd), s_panels = slots / GWEN_PANEL;
    const size_t op_stride = GW_KV_BLOCK * gw_x_elem(format);
    const size_t k_t_stride = gw_panel_bytes(format, GW_KV_BLOCK);
    const size_t v_t_stride = gw_panel_bytes(format, gw_round_up(hd, GWEN_PANEL));
    const size_t over_stride = gw_panel_bytes(token, over_m->n_padded);
    const size_t t = t_stride(format, m), kv_stride = gw_attn_back_stride(hd);
    struct gw_packed k, v;
    gw_kv_matrices(l, a->base + (size_t)a->blocks[j] * l->block_bytes, a->layer, a->kv_head, &k,
                   &v);
    gw_transpose_panels(kern, &k, 0, hd_panels, w->k_t, k_t_stride);
    gw_transpose_panels(kern, &v, 0, s_panels, w->v_t, v_t_stride);

    product(a->arith, m, s_panels, hd, (struct operand){w->q, q_stride},
            (struct operand){k.data, k.panel_stride}, (struct sums){w->p, GW_KV_BLOCK, false});
    product(a->arith, m, s_panels, hd, (struct operand){w->d_o, q_stride},
            (struct operand){w->v_t, v_t_stride}, (struct sums){w->ds, GW_KV_BLOCK, false});
    finish_rows(a, w, m, slots, begin, r0);
    product(a->arith, m, hd_panels, slots, (struct operand){w->ds_op, op_stride},
            (struct operand){w->k_t, k_t_stride}, (struct sums){w->dq, kv_stride, j > 0});
    gw_transpose_tokens(over_m, w->p_op, op_stride, 0, slots, w->p_t, t, 0, 1);
    gw_transpose_tokens(over_m, w->ds_op, op_stride, 0, slots, w->ds_t, t, 0, 1);
    product(over_m->arith, slots, hd_panels, over_m->n_padded, (struct operand){w->p_t, t},
            (struct operand){w->d_o_panels, over_stride},
            (struct sums){a->dv + j * GW_KV_BLOCK * kv_stride, kv_stride, true});
    product(over_m->arith, slots, hd_panels, over_m->n_padded, (struct operand){w->ds_t, t},
            (struct operand){w->q_panels, over_stride},
            (struct sums){a->dk + j * GW_KV_BLOCK * kv_stride, kv_stride, true});
}

static void write_dq(const struct gw_attn_back *a, const struct work *w, size_t r0, size_t n) {
    const size_t hd = a->layout->head_dim, hpk = a->heads_per_kv;
    for (size_t i = 0; i < n * hpk; i++)
        memcpy(a->dq + (r0 + i / hpk) * a->dq_stride + i % hpk * hd,
               w->dq + i * gw_attn_back_stride(hd), hd * sizeof *a->dq);
}

void gw_attention_backward(const struct gw_attn_back *a) {
    const struct gw_arith token = gw_token_arith(a->arith);
    const enum gw_panel_format format = a->layout->format;
    const size_t hd = a->layout->head_dim, stride = row_bytes(format, hd);
    struct gw_layout l = gw_layout_over(a->scratch, SIZE_MAX);
    struct work w;
    lay_out(&l, format, hd, a->heads_per_kv, &w);
    for (size_t r0 = 0, n; r0 < a->n_rows; r0 += n) {
        n = GW_MIN(a->n_rows - r0, (size_t)GW_ATTN_MAX_ROWS);
        const struct gw_span all = {0, n * a->heads_per_kv};
        const struct gw_token_pack over_m = {&token, &all, 1,
                                             gw_padded_tokens(token.format, &all, 1)};
        gather(a, &w, r0, n);
        gw_pack_tokens(&over_m, w.q, stride, 0, hd, w.q_panels, 0, 1);
        gw_pack_tokens(&over_m, w.d_o, stride, 0, hd, w.d_o_panels, 0, 1);
        for (size_t j = 0; j * GW_KV_BLOCK <= a->position + r0 + n - 1; j++)
            block_backward(a, &w, &over_m, j, r0, n);
        write_dq(a, &w, r0, n);
    }
}

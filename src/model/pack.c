/* pack.c - see pack.h.  One parallel region packs matrix after matrix; a matrix is a list of up
 * to three source tensors and a rule that says which source row feeds which packed row. */
#include "model/pack.h"
#include "ref/math.h"

#include "base/knob.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct gw_packer {
    struct gw_model *m;
    struct gw_pool *pool;
    const struct gw_safetensors *st; /* the source: a file, or ... */
    const struct gw_params *params;  /* ... what is trained: */
    struct gw_tensor *tensors;       /* params->list as tensors of float, or ... */
    gw_pack_edit_fn *edit;           /* ... what the weights are become by this */
    void *edit_ctx;
    char *buffers; /* per thread: 16 rows and one more */
    size_t buffer_bytes, row_bytes;
    pthread_mutex_t lock; /* guards status and *err */
    enum gwen_status status;
    struct gwen_err *err;
};

/* A packed matrix and where its rows come from. */
struct plan {
    struct gw_packed *dst;
    const struct gw_tensor *src[3];
    size_t n_src;
    bool alternate; /* panels of src[0] and src[1] take turns (gate|up); else one after another */
};

static bool failed(struct gw_packer *p) {
    pthread_mutex_lock(&p->lock);
    bool f = p->status != GWEN_OK;
    pthread_mutex_unlock(&p->lock);
    return f;
}

static void fail_value(struct gw_packer *p, const struct gw_tensor *t, size_t at, float v) {
    pthread_mutex_lock(&p->lock);
    if (p->status == GWEN_OK) {
        p->status = isfinite(v)
                        ? gw_fail(p->err, GWEN_ERR_UNSUPPORTED,
                                  "%s: element %zu is %.9g, which float16 cannot hold (largest "
                                  "65504): use %s bf16 or fp32",
                                  t->name, at, (double)v, gw_knob(GW_KNOB_DTYPE))
                        : gw_fail(p->err, GWEN_ERR_NUMERIC, "%s: element %zu is %s", t->name, at,
                                  isnan(v) ? "NaN" : "infinite");
    }
    pthread_mutex_unlock(&p->lock);
}

/* n elements of a tensor as float. */
static void to_float(const struct gwen_kernels *k, const struct gw_tensor *t, size_t first,
                     size_t n, float *out, void *aligned) {
    size_t elem = gw_dtype_bytes(t->dtype);
    const char *src = (const char *)t->data + first * elem;
    if (t->dtype == GW_DTYPE_F32) {
        memcpy(out, src, n * elem);
        return;
    }
    memcpy(aligned, src, n * elem); /* files need not align their data */
    if (t->dtype == GW_DTYPE_F16)
        k->f16_to_f32(out, aligned, n);
    else
        k->bf16_to_f32(out, aligned, n);
}

/* The largest magnitude and whether all are finite, as one number: infinite or NaN if any is. */
static bool row_fits(const float *x, size_t n, float limit, size_t *bad) {
    int over = 0;
    for (size_t i = 0; i < n; i++) over |= !(fabsf(x[i]) <= limit);
    if (!over) return true;
    for (*bad = 0; fabsf(x[*bad]) <= limit; (*bad)++) {
    }
    return false;
}

/* True when none of n 16-bit floats is infinite or NaN: its exponent (the bits of `mask`) is not
 * all ones, so adding the exponent's lowest bit does not carry into the sign.  Four at a time. */
static bool all_finite_16(const uint16_t *x, size_t n, uint16_t mask, uint16_t low) {
    const uint64_t ones = UINT64_C(0x0001000100010001);
    uint64_t carry = 0, word;
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        memcpy(&word, x + i, sizeof word);
        carry |= (word & mask * ones) + low * ones;
    }
    for (; i < n; i++) carry |= (uint64_t)((x[i] & mask) + low);
    return (carry & 0x8000 * ones) == 0;
}

/* The row as it lies in the file, when it is of the panel's type, aligned and finite. */
static const void *row_in_place(const struct gw_packer *p, const struct gw_tensor *t, size_t row,
                                size_t k) {
    const char *at = (const char *)t->data + row * k * gw_dtype_bytes(t->dtype);
    if (t->dtype != p->m->dtype || t->dtype == GW_DTYPE_F32 || (uintptr_t)at % 2 != 0) return NULL;
    const uint16_t *bits = (const void *)at;
    bool f16 = t->dtype == GW_DTYPE_F16;
    return all_finite_16(bits, k, f16 ? 0x7c00 : 0x7f80, f16 ? 0x0400 : 0x0080) ? bits : NULL;
}

/* One source row in the panel's element type: where it lies, or converted into `dst`; NULL after a
 * value that cannot be used. */
static const void *convert_row(struct gw_packer *p, const struct gw_tensor *t, size_t row, size_t k,
                               float *row_f32, void *dst) {
    const void *in_place = row_in_place(p, t, row, k);
    if (in_place != NULL) return in_place;
    /* 65519.99... still rounds to 65504 */
    float limit = p->m->arith.format == GW_PANEL_F16 ? nextafterf(65520.0f, 0) : 3.402823466e38f;
    size_t bad;
    to_float(&p->m->kern, t, row * k, k, row_f32, dst);
    if (!row_fits(row_f32, k, limit, &bad)) {
        fail_value(p, t, row * k + bad, row_f32[bad]);
        return NULL;
    }
    switch (p->m->arith.format) {
    case GW_PANEL_F32: memcpy(dst, row_f32, k * sizeof(float)); break;
    case GW_PANEL_F16: p->m->kern.f32_to_f16(dst, row_f32, k); break;
    case GW_PANEL_BF16:
    case GW_PANEL_BF16X2: p->m->kern.f32_to_bf16(dst, row_f32, k); break;
    }
    return dst;
}

/* Which tensor and row feed packed row n; false for padding. */
static bool source_of(const struct plan *plan, size_t n, const struct gw_tensor **t, size_t *row) {
    if (plan->alternate) {
        *t = plan->src[n / GWEN_PANEL % 2];
        *row = n / (2 * GWEN_PANEL) * GWEN_PANEL + n % GWEN_PANEL;
        return *row < (*t)->shape[0];
    }
    for (size_t i = 0; i < plan->n_src; i++) {
        *t = plan->src[i];
        if (n < (*t)->shape[0]) {
            *row = n;
            return true;
        }
        n -= (*t)->shape[0];
    }
    return false;
}

/* Rows of a panel as they are, edited. */
static bool edit_rows(struct gw_packer *p, const struct plan *plan, size_t panel, char *buffer,
                      int thread, const void *rows[GWEN_PANEL]) {
    const size_t k = plan->dst->k;
    gw_packed_get_panel(&p->m->kern, plan->dst, panel, (uint16_t *)(void *)buffer,
                        p->row_bytes / sizeof(uint16_t));
    for (size_t j = 0; j < GWEN_PANEL; j++) {
        const struct gw_tensor *t;
        size_t row;
        uint16_t *at = (uint16_t *)(void *)(buffer + j * p->row_bytes);
        rows[j] = NULL;
        if (!source_of(plan, panel * GWEN_PANEL + j, &t, &row)) continue;
        p->edit(p->edit_ctx, thread, (size_t)(t - p->tensors), row, at, k);
        if (!all_finite_16(at, k, 0x7f80, 0x0080)) {
            size_t bad = 0;
            while (all_finite_16(at + bad, 1, 0x7f80, 0x0080)) bad++;
            fail_value(p, t, row * k + bad, gwen_bf16_to_float((struct gwen_bf16){at[bad]}));
            return false;
        }
        rows[j] = at;
    }
    return true;
}

static bool convert_rows(struct gw_packer *p, const struct plan *plan, size_t panel, char *buffer,
                         const void *rows[GWEN_PANEL]) {
    float *row_f32 = (float *)(void *)(buffer + GWEN_PANEL * p->row_bytes);
    for (size_t j = 0; j < GWEN_PANEL; j++) {
        const struct gw_tensor *t;
        size_t row;
        rows[j] = NULL;
        if (!source_of(plan, panel * GWEN_PANEL + j, &t, &row)) continue;
        rows[j] = convert_row(p, t, row, plan->dst->k, row_f32, buffer + j * p->row_bytes);
        if (rows[j] == NULL) return false;
    }
    return true;
}

static void pack_matrix(struct gw_packer *p, const struct plan *plan, char *buffer, int thread,
                        int n_threads) {
    struct gw_packed *dst = plan->dst;
    size_t n_groups = (dst->n_panels + GW_GROUP_PANELS - 1) / GW_GROUP_PANELS, begin, end;
    gw_share(n_groups, thread, n_threads, &begin, &end);
    end = GW_MIN(end * GW_GROUP_PANELS, dst->n_panels);
    for (size_t panel = begin * GW_GROUP_PANELS; panel < end; panel++) {
        const void *rows[GWEN_PANEL];
        if (!(p->edit != NULL ? edit_rows(p, plan, panel, buffer, thread, rows)
                              : convert_rows(p, plan, panel, buffer, rows)))
            return;
        gw_packed_set_panel(&p->m->kern, dst, panel, rows);
    }
}

static void pack_vector(struct gw_packer *p, const struct gw_tensor *t, float *dst, char *buffer) {
    size_t n = t->shape[0], bad;
    if (p->edit != NULL)
        p->edit(p->edit_ctx, 0, (size_t)(t - p->tensors), 0, dst, n);
    else
        to_float(&p->m->kern, t, 0, n, dst, buffer);
    if (!row_fits(dst, n, 3.402823466e38f, &bad)) fail_value(p, t, bad, dst[bad]);
}

static const struct gw_tensor *find(const struct gw_packer *p, enum gw_tensor_kind kind,
                                    size_t layer) {
    struct gw_tensor_spec spec;
    if (p->params != NULL) return &p->tensors[gw_params_index(p->params, kind, layer)];
    gw_config_tensor(&p->m->cfg, kind, layer, &spec);
    return gw_safetensors_find(p->st, spec.name);
}

/* Where row j of gate (half 0) or up (1) lies among the packed rows of both. */
static size_t alternate(size_t j, size_t half) {
    return (j / GWEN_PANEL * 2 + half) * GWEN_PANEL + j % GWEN_PANEL;
}

static void pack_layer_vectors(struct gw_packer *p, size_t i, char *buffer) {
    struct gw_layer *l = &p->m->layers[i];
    const struct gw_config *c = &p->m->cfg;
    size_t q_rows = c->n_heads * c->head_dim, kv_rows = c->n_kv_heads * c->head_dim;
    pack_vector(p, find(p, GW_TENSOR_ATTN_NORM, i), l->attn_norm, buffer);
    pack_vector(p, find(p, GW_TENSOR_MLP_NORM, i), l->mlp_norm, buffer);
    if (l->q_norm != NULL) {
        pack_vector(p, find(p, GW_TENSOR_Q_NORM, i), l->q_norm, buffer);
        pack_vector(p, find(p, GW_TENSOR_K_NORM, i), l->k_norm, buffer);
    }
    if (l->qkv_bias != NULL) {
        pack_vector(p, find(p, GW_TENSOR_Q_BIAS, i), l->qkv_bias, buffer);
        pack_vector(p, find(p, GW_TENSOR_K_BIAS, i), l->qkv_bias + q_rows, buffer);
        pack_vector(p, find(p, GW_TENSOR_V_BIAS, i), l->qkv_bias + q_rows + kv_rows, buffer);
    }
    if (l->o_bias != NULL) pack_vector(p, find(p, GW_TENSOR_O_BIAS, i), l->o_bias, buffer);
    if (l->down_bias != NULL) {
        pack_vector(p, find(p, GW_TENSOR_DOWN_BIAS, i), l->down_bias, buffer);
        for (size_t s = 0; s < 2; s++) {
            float *plain = (float *)(void *)(buffer + p->row_bytes);
            for (size_t j = 0; j < c->ffn; j++) plain[j] = l->gate_up_bias[alternate(j, s)];
            pack_vector(p, find(p, s == 0 ? GW_TENSOR_GATE_BIAS : GW_TENSOR_UP_BIAS, i), plain,
                        buffer);
            for (size_t j = 0; j < c->ffn; j++) l->gate_up_bias[alternate(j, s)] = plain[j];
        }
    }
}

/* The matrices in memory order; returns how many: embedding, [head], 4 per layer. */
static struct plan plan_at(const struct gw_packer *p, size_t index) {
    struct gw_model *m = p->m;
    size_t first = m->cfg.tie_word_embeddings ? 1 : 2;
    if (index == 0) return (struct plan){&m->embed, {find(p, GW_TENSOR_EMBED, 0)}, 1, false};
    if (index < first) return (struct plan){&m->head, {find(p, GW_TENSOR_LM_HEAD, 0)}, 1, false};
    size_t i = (index - first) / 4;
    struct gw_layer *l = &m->layers[i];
    switch ((index - first) % 4) {
    case 0:
        return (struct plan){
            &l->qkv,
            {find(p, GW_TENSOR_Q, i), find(p, GW_TENSOR_K, i), find(p, GW_TENSOR_V, i)},
            3,
            false};
    case 1: return (struct plan){&l->o, {find(p, GW_TENSOR_O, i)}, 1, false};
    case 2:
        return (struct plan){
            &l->gate_up, {find(p, GW_TENSOR_GATE, i), find(p, GW_TENSOR_UP, i)}, 2, true};
    default: return (struct plan){&l->down, {find(p, GW_TENSOR_DOWN, i)}, 1, false};
    }
}

static void pack_region(void *ctx, int thread, int n_threads) {
    struct gw_packer *p = ctx;
    char *buffer = p->buffers + (size_t)thread * p->buffer_bytes;
    size_t n = (p->m->cfg.tie_word_embeddings ? 1 : 2) + 4 * p->m->cfg.n_layers;
    if (thread == 0) {
        pack_vector(p, find(p, GW_TENSOR_NORM, 0), p->m->norm, buffer);
        for (size_t i = 0; i < p->m->cfg.n_layers; i++) pack_layer_vectors(p, i, buffer);
    }
    /* Every thread passes every barrier, failed or not. */
    for (size_t i = 0; i < n; i++) {
        struct plan plan = plan_at(p, i);
        if (!failed(p)) pack_matrix(p, &plan, buffer, thread, n_threads);
        if (p->st == NULL) continue;
        /* All threads are done with the sources: their pages can go. */
        gw_pool_barrier(p->pool);
        for (size_t s = 0; thread == 0 && s < plan.n_src; s++)
            gw_safetensors_release(p->st, plan.src[s]);
    }
}

static size_t row_bytes(const struct gw_config *c) {
    const size_t widest =
        GW_MAX(GW_MAX(c->hidden, c->ffn), (c->n_heads + 2 * c->n_kv_heads) * c->head_dim);
    return gw_round_up(widest * sizeof(float), 64);
}

size_t gw_packer_bytes(const struct gw_config *c, int n_threads) {
    return (size_t)n_threads * (GWEN_PANEL + 1) * row_bytes(c);
}

/* What a packer has of its own. */
static enum gwen_status open_packer(struct gw_packer *p, struct gwen_err *err) {
    const int n_threads = gw_pool_threads(p->pool);
    p->row_bytes = row_bytes(&p->m->cfg);
    p->buffer_bytes = gw_packer_bytes(&p->m->cfg, 1);
    p->buffers = aligned_alloc(64, gw_packer_bytes(&p->m->cfg, n_threads));
    if (p->buffers == NULL) return gw_nomem(err, gw_packer_bytes(&p->m->cfg, n_threads), "packing");
    pthread_mutex_init(&p->lock, NULL);
    return GWEN_OK;
}

static void close_packer(struct gw_packer *p) {
    if (p->buffers != NULL) pthread_mutex_destroy(&p->lock);
    free(p->buffers);
    free(p->tensors);
}

static enum gwen_status pack(struct gw_packer *p, struct gwen_err *err) {
    p->status = GWEN_OK;
    p->err = err;
    gw_pool_run(p->pool, pack_region, p);
    return p->status;
}

enum gwen_status gw_pack_model(struct gw_model *m, const struct gw_safetensors *st,
                               struct gw_pool *pool, struct gwen_err *err) {
    struct gw_packer p = {.m = m, .pool = pool, .st = st};
    enum gwen_status status = open_packer(&p, err);
    if (status == GWEN_OK) status = pack(&p, err);
    close_packer(&p);
    return status;
}

/* --- again and again ------------------------------------------------------------------------ */

enum gwen_status gw_packer_create(struct gw_model *m, const struct gw_params *params,
                                  struct gw_pool *pool, struct gw_packer **out,
                                  struct gwen_err *err) {
    *out = NULL;
    struct gw_packer *p = calloc(1, sizeof *p);
    if (p == NULL) return gw_nomem(err, sizeof *p, "packing");
    *p = (struct gw_packer){.m = m, .pool = pool, .params = params};
    enum gwen_status status = open_packer(p, err);
    if (status == GWEN_OK && (p->tensors = calloc(params->n, sizeof *p->tensors)) == NULL)
        status = gw_nomem(err, params->n * sizeof *p->tensors, "packing");
    if (status != GWEN_OK) {
        gw_packer_free(p);
        return status;
    }
    for (size_t i = 0; i < params->n; i++) {
        const struct gw_param *t = &params->list[i];
        p->tensors[i] = (struct gw_tensor){.name = t->name,
                                           .dtype = GW_DTYPE_F32,
                                           .rank = t->rank,
                                           .shape = {t->shape[0], t->shape[1]},
                                           .n_elem = t->n,
                                           .bytes = t->n * sizeof(float)};
    }
    *out = p;
    return GWEN_OK;
}

void gw_packer_free(struct gw_packer *p) {
    if (p == NULL) return;
    close_packer(p);
    free(p);
}

enum gwen_status gw_pack_update(struct gw_packer *p, const float *master, struct gwen_err *err) {
    for (size_t i = 0; i < p->params->n; i++)
        p->tensors[i].data = master + p->params->list[i].offset;
    p->edit = NULL;
    return pack(p, err);
}

enum gwen_status gw_pack_edit(struct gw_packer *p, gw_pack_edit_fn *edit, void *ctx,
                              struct gwen_err *err) {
    p->edit = edit;
    p->edit_ctx = ctx;
    return pack(p, err);
}

enum gwen_status gw_master_read(const struct gw_params *params, const struct gw_safetensors *st,
                                const struct gwen_kernels *kern, float *master,
                                struct gwen_err *err) {
    enum { PIECE = 1024 };
    uint16_t aligned[PIECE];
    for (size_t i = 0; i < params->n; i++) {
        const struct gw_param *p = &params->list[i];
        const struct gw_tensor *t;
        GW_TRY(gw_safetensors_get(st, p->name, GW_DTYPE_NONE, p->rank, p->shape, &t, err));
        if (t->dtype == GW_DTYPE_F32) {
            memcpy(master + p->offset, t->data, p->n * sizeof *master);
        } else {
            for (size_t at = 0; at < p->n; at += PIECE)
                to_float(kern, t, at, GW_MIN((size_t)PIECE, p->n - at), master + p->offset + at,
                         aligned);
        }
        gw_safetensors_release(st, t);
    }
    return GWEN_OK;
}

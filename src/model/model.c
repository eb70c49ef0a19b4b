/* model.c - layout of a model's memory and the load itself; packing is in pack.c. */
#include "model/model.h"

#include "base/layout.h"
#include "checkpoint/safetensors/safetensors.h"
#include "model/lora.h"
#include "model/pack.h"

#include <stdlib.h>
#include <string.h>

enum gw_dtype gw_model_auto_dtype(enum gw_dtype stored) {
    return stored == GW_DTYPE_F16 ? GW_DTYPE_F16 : GW_DTYPE_BF16;
}

struct gw_arith gw_model_arith(enum gw_dtype dtype, const struct gwen_kernels *kern) {
    const enum gw_panel_format bf16 =
        kern->dot_class == GWEN_DOT_NONE ? GW_PANEL_BF16 : GW_PANEL_BF16X2;
    return (struct gw_arith){kern, dtype == GW_DTYPE_F32   ? GW_PANEL_F32
                                   : dtype == GW_DTYPE_F16 ? GW_PANEL_F16
                                                           : bf16};
}

/* --- one reservation for everything --------------------------------------------------------- */

static void take_packed(struct gw_layout *l, struct gw_packed *p, enum gw_panel_format format,
                        size_t n, size_t k) {
    gw_packed_init(p, format, n, k, gw_layout_take(l, 1, gw_packed_bytes(format, n, k)));
}

static float *take_floats(struct gw_layout *l, size_t n, bool wanted) {
    return wanted ? gw_layout_take(l, n, sizeof(float)) : NULL;
}

static void lay_out_layer(struct gw_layout *layout, const struct gw_config *cfg,
                          enum gw_panel_format format, struct gw_layer *l) {
    size_t q_rows = cfg->n_heads * cfg->head_dim, kv_rows = cfg->n_kv_heads * cfg->head_dim;
    size_t n_gate_up = 2 * gw_round_up(cfg->ffn, GWEN_PANEL);
    take_packed(layout, &l->qkv, format, q_rows + 2 * kv_rows, cfg->hidden);
    take_packed(layout, &l->o, format, cfg->hidden, q_rows);
    take_packed(layout, &l->gate_up, format, n_gate_up, cfg->hidden);
    take_packed(layout, &l->down, format, cfg->hidden, cfg->ffn);
    l->attn_norm = take_floats(layout, cfg->hidden, true);
    l->mlp_norm = take_floats(layout, cfg->hidden, true);
    l->q_norm = take_floats(layout, cfg->head_dim, cfg->qk_norm);
    l->k_norm = take_floats(layout, cfg->head_dim, cfg->qk_norm);
    l->qkv_bias = take_floats(layout, q_rows + 2 * kv_rows, cfg->qkv_bias);
    l->o_bias = take_floats(layout, cfg->hidden, cfg->o_bias);
    l->gate_up_bias = take_floats(layout, n_gate_up, cfg->mlp_bias);
    l->down_bias = take_floats(layout, cfg->hidden, cfg->mlp_bias);
}

/* Tells each product which one follows it. */
static void chain(struct gw_model *m) {
    for (size_t i = 0; i < m->cfg.n_layers; i++) {
        struct gw_layer *l = &m->layers[i];
        l->qkv.then = &l->o;
        l->o.then = &l->gate_up;
        l->gate_up.then = &l->down;
        l->down.then = i + 1 < m->cfg.n_layers ? &m->layers[i + 1].qkv : &m->head;
    }
}

/* The weights of *m, whose layers are layers[n_layers]; NULL: there are none yet, only the bytes
 * count. */
static void lay_out(struct gw_layout *l, const struct gw_config *cfg, enum gw_panel_format format,
                    struct gw_model *m, struct gw_layer *layers) {
    struct gw_layer unused;
    take_packed(l, &m->embed, format, cfg->vocab_size, cfg->hidden);
    m->head = m->embed;
    if (!cfg->tie_word_embeddings) take_packed(l, &m->head, format, cfg->vocab_size, cfg->hidden);
    m->norm = take_floats(l, cfg->hidden, true);
    for (size_t i = 0; i < cfg->n_layers; i++)
        lay_out_layer(l, cfg, format, layers != NULL ? &layers[i] : &unused);
}

size_t gw_model_bytes(const struct gw_config *cfg, enum gw_panel_format format) {
    struct gw_layout plan = {0};
    struct gw_model unused;
    lay_out(&plan, cfg, format, &unused, NULL);
    return plan.used;
}

static enum gwen_status load_weights(struct gw_model *m, const struct gw_safetensors *st,
                                     struct gw_pool *pool, struct gwen_err *err) {
    struct gw_layout l;
    m->layers = calloc(m->cfg.n_layers, sizeof *m->layers);
    if (m->layers == NULL) return gw_nomem(err, m->cfg.n_layers * sizeof *m->layers, "layers");
    GW_TRY(gw_layout_map(&l, gw_model_bytes(&m->cfg, m->arith.format), &m->memory, err));
    lay_out(&l, &m->cfg, m->arith.format, m, m->layers);
    GW_TRY(gw_layout_end(&l, "the weights", err));
    chain(m);
    gw_model_tune(m, &gw_linear_default);
    return gw_pack_model(m, st, pool, err);
}

enum gwen_status gw_model_load(const char *dir, const struct gw_model_opts *opts,
                               struct gw_pool *pool, struct gw_model **out, struct gwen_err *err) {
    *out = NULL;
    struct gw_model *m = calloc(1, sizeof *m);
    if (m == NULL) return gw_nomem(err, sizeof *m, "a model");
    struct gw_safetensors *st = NULL;
    enum gwen_status status = gw_config_load(dir, &m->cfg, err);
    if (status == GWEN_OK) status = gw_safetensors_open(dir, &st, err);
    if (status == GWEN_OK) status = gw_safetensors_check(st, &m->cfg, err);
    if (status == GWEN_OK) {
        gwen_kernels_init(&m->kern, opts->isa_cap);
        m->dtype = opts->dtype != GW_DTYPE_NONE ? opts->dtype
                                                : gw_model_auto_dtype(gw_safetensors_dtype(st));
        m->arith = gw_model_arith(m->dtype, &m->kern);
        status = load_weights(m, st, pool, err);
        if (status == GWEN_ERR_NUMERIC) status = gw_err_prefix(err, status, "%s", dir);
    }
    gw_safetensors_close(st);
    if (status != GWEN_OK) {
        gw_model_free(m);
        return status;
    }
    gw_log(opts->log, GWEN_LOG_DEBUG, "%s: %s, %zu parameters, %s, kernels %s (%s)", dir,
           gw_arch_name(m->cfg.arch), gw_config_n_params(&m->cfg), gw_dtype_torch_name(m->dtype),
           gwen_isa_name(m->kern.isa), gw_arith_class(&m->arith));
    *out = m;
    return GWEN_OK;
}

void gw_model_tune(struct gw_model *m, const struct gw_linear_tuning *tuning) {
    m->tuning = *tuning;
    m->embed.tuning = m->head.tuning = &m->tuning;
    for (size_t i = 0; i < m->cfg.n_layers; i++) {
        struct gw_layer *l = &m->layers[i];
        l->qkv.tuning = l->o.tuning = l->gate_up.tuning = l->down.tuning = &m->tuning;
    }
}

void gw_model_free(struct gw_model *model) {
    if (model == NULL) return;
    gw_lora_free(model->lora);
    gw_mem_unmap(&model->memory);
    free(model->layers);
    free(model);
}

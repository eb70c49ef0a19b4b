/* unpack.c - packed weights as the tensors they came from: what gw_pack_read tells. */
#include "model/pack.h"
#include "ref/math.h"

#include <string.h>

/* The packed matrix that has a tensor's rows, and which of its rows is row `row`. */
static const struct gw_packed *matrix_of(const struct gw_model *m,
                                         const struct gw_tensor_spec *spec, size_t row,
                                         size_t *packed_row) {
    const struct gw_config *c = &m->cfg;
    const struct gw_layer *l = &m->layers[spec->layer];
    const size_t q_rows = c->n_heads * c->head_dim, kv_rows = c->n_kv_heads * c->head_dim;
    const size_t alternate = row / GWEN_PANEL * 2 * GWEN_PANEL + row % GWEN_PANEL;
    *packed_row = row;
    switch (spec->kind) {
    case GW_TENSOR_EMBED: return &m->embed;
    case GW_TENSOR_LM_HEAD: return &m->head;
    case GW_TENSOR_V: *packed_row += kv_rows; /* fall through */
    case GW_TENSOR_K: *packed_row += q_rows;  /* fall through */
    case GW_TENSOR_Q: return &l->qkv;
    case GW_TENSOR_O: return &l->o;
    case GW_TENSOR_GATE: *packed_row = alternate; return &l->gate_up;
    case GW_TENSOR_UP: *packed_row = alternate + GWEN_PANEL; return &l->gate_up;
    default: return &l->down;
    }
}

/* Element i of a vector. */
static float vector_at(const struct gw_model *m, const struct gw_tensor_spec *spec, size_t i) {
    const struct gw_config *c = &m->cfg;
    const struct gw_layer *l = &m->layers[spec->layer];
    const size_t q_rows = c->n_heads * c->head_dim, kv_rows = c->n_kv_heads * c->head_dim;
    const size_t alternate = i / GWEN_PANEL * 2 * GWEN_PANEL + i % GWEN_PANEL;
    switch (spec->kind) {
    case GW_TENSOR_ATTN_NORM: return l->attn_norm[i];
    case GW_TENSOR_MLP_NORM: return l->mlp_norm[i];
    case GW_TENSOR_Q_NORM: return l->q_norm[i];
    case GW_TENSOR_K_NORM: return l->k_norm[i];
    case GW_TENSOR_Q_BIAS: return l->qkv_bias[i];
    case GW_TENSOR_K_BIAS: return l->qkv_bias[q_rows + i];
    case GW_TENSOR_V_BIAS: return l->qkv_bias[q_rows + kv_rows + i];
    case GW_TENSOR_O_BIAS: return l->o_bias[i];
    case GW_TENSOR_GATE_BIAS: return l->gate_up_bias[alternate];
    case GW_TENSOR_UP_BIAS: return l->gate_up_bias[alternate + GWEN_PANEL];
    case GW_TENSOR_DOWN_BIAS: return l->down_bias[i];
    default: return m->norm[i];
    }
}

void gw_pack_read(const struct gw_model *m, size_t param, size_t first, size_t n, void *out) {
    struct gw_tensor_spec spec;
    gw_config_tensor_at(&m->cfg, param, &spec);
    if (spec.rank == 1) {
        for (size_t i = 0; i < n; i++) ((float *)out)[i] = vector_at(m, &spec, first + i);
        return;
    }
    const size_t k = spec.shape[1];
    for (size_t i = 0, piece; i < n; i += piece) {
        size_t row;
        const struct gw_packed *p = matrix_of(m, &spec, (first + i) / k, &row);
        piece = GW_MIN(k - (first + i) % k, n - i);
        gw_packed_get_16(p, row, (first + i) % k, piece, (uint16_t *)out + i);
    }
}

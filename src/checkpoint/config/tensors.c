/* tensors.c - the names and shapes of a model's tensors, as in the Hugging Face state
 * dict. */
#include "checkpoint/config/config.h"

#include <stdio.h>

/* What a dimension is; NONE marks vectors. */
enum dim { NONE, VOCAB, HIDDEN, FFN, Q_DIM, KV_DIM, HEAD_DIM };

static const struct {
    const char *name; /* behind "model.layers.L." unless `global` */
    bool global;
    enum dim rows, cols;
} kinds[GW_TENSOR_KIND_COUNT] = {
    [GW_TENSOR_EMBED] = {"model.embed_tokens.weight", true, VOCAB, HIDDEN},
    [GW_TENSOR_NORM] = {"model.norm.weight", true, HIDDEN, NONE},
    [GW_TENSOR_LM_HEAD] = {"lm_head.weight", true, VOCAB, HIDDEN},
    [GW_TENSOR_ATTN_NORM] = {"input_layernorm.weight", false, HIDDEN, NONE},
    [GW_TENSOR_Q] = {"self_attn.q_proj.weight", false, Q_DIM, HIDDEN},
    [GW_TENSOR_Q_BIAS] = {"self_attn.q_proj.bias", false, Q_DIM, NONE},
    [GW_TENSOR_K] = {"self_attn.k_proj.weight", false, KV_DIM, HIDDEN},
    [GW_TENSOR_K_BIAS] = {"self_attn.k_proj.bias", false, KV_DIM, NONE},
    [GW_TENSOR_V] = {"self_attn.v_proj.weight", false, KV_DIM, HIDDEN},
    [GW_TENSOR_V_BIAS] = {"self_attn.v_proj.bias", false, KV_DIM, NONE},
    [GW_TENSOR_O] = {"self_attn.o_proj.weight", false, HIDDEN, Q_DIM},
    [GW_TENSOR_O_BIAS] = {"self_attn.o_proj.bias", false, HIDDEN, NONE},
    [GW_TENSOR_Q_NORM] = {"self_attn.q_norm.weight", false, HEAD_DIM, NONE},
    [GW_TENSOR_K_NORM] = {"self_attn.k_norm.weight", false, HEAD_DIM, NONE},
    [GW_TENSOR_MLP_NORM] = {"post_attention_layernorm.weight", false, HIDDEN, NONE},
    [GW_TENSOR_GATE] = {"mlp.gate_proj.weight", false, FFN, HIDDEN},
    [GW_TENSOR_GATE_BIAS] = {"mlp.gate_proj.bias", false, FFN, NONE},
    [GW_TENSOR_UP] = {"mlp.up_proj.weight", false, FFN, HIDDEN},
    [GW_TENSOR_UP_BIAS] = {"mlp.up_proj.bias", false, FFN, NONE},
    [GW_TENSOR_DOWN] = {"mlp.down_proj.weight", false, HIDDEN, FFN},
    [GW_TENSOR_DOWN_BIAS] = {"mlp.down_proj.bias", false, HIDDEN, NONE},
};

static size_t dim_size(const struct gw_config *c, enum dim d) {
    switch (d) {
    case NONE: return 1;
    case VOCAB: return c->vocab_size;
    case HIDDEN: return c->hidden;
    case FFN: return c->ffn;
    case Q_DIM: return c->n_heads * c->head_dim;
    case KV_DIM: return c->n_kv_heads * c->head_dim;
    case HEAD_DIM: return c->head_dim;
    }
    return 0;
}

bool gw_config_has_tensor(const struct gw_config *c, enum gw_tensor_kind kind) {
    switch (kind) {
    case GW_TENSOR_LM_HEAD: return !c->tie_word_embeddings;
    case GW_TENSOR_Q_BIAS:
    case GW_TENSOR_K_BIAS:
    case GW_TENSOR_V_BIAS: return c->qkv_bias;
    case GW_TENSOR_O_BIAS: return c->o_bias;
    case GW_TENSOR_GATE_BIAS:
    case GW_TENSOR_UP_BIAS:
    case GW_TENSOR_DOWN_BIAS: return c->mlp_bias;
    case GW_TENSOR_Q_NORM:
    case GW_TENSOR_K_NORM: return c->qk_norm;
    default: return true;
    }
}

void gw_config_tensor(const struct gw_config *c, enum gw_tensor_kind kind, size_t layer,
                      struct gw_tensor_spec *spec) {
    bool global = kinds[kind].global, vector = kinds[kind].cols == NONE;
    *spec = (struct gw_tensor_spec){
        .kind = kind,
        .layer = global ? 0 : layer,
        .rank = vector ? 1 : 2,
        .shape = {dim_size(c, kinds[kind].rows), vector ? 0 : dim_size(c, kinds[kind].cols)}};
    if (global)
        snprintf(spec->name, sizeof spec->name, "%s", kinds[kind].name);
    else
        snprintf(spec->name, sizeof spec->name, "model.layers.%zu.%s", layer, kinds[kind].name);
}

/* Number of kinds a layer has. */
static size_t per_layer(const struct gw_config *c) {
    size_t n = 0;
    for (int k = GW_TENSOR_ATTN_NORM; k < GW_TENSOR_KIND_COUNT; k++)
        n += gw_config_has_tensor(c, (enum gw_tensor_kind)k);
    return n;
}

size_t gw_config_n_tensors(const struct gw_config *c) {
    return 2 + !c->tie_word_embeddings + c->n_layers * per_layer(c);
}

void gw_config_tensor_at(const struct gw_config *c, size_t index, struct gw_tensor_spec *spec) {
    size_t in_layers = c->n_layers * per_layer(c);
    if (index == 0 || index > in_layers) {
        gw_config_tensor(c,
                         index == 0               ? GW_TENSOR_EMBED
                         : index == in_layers + 1 ? GW_TENSOR_NORM
                                                  : GW_TENSOR_LM_HEAD,
                         0, spec);
        return;
    }
    size_t layer = (index - 1) / per_layer(c), nth = (index - 1) % per_layer(c);
    int kind = GW_TENSOR_ATTN_NORM;
    for (;; kind++) {
        if (!gw_config_has_tensor(c, (enum gw_tensor_kind)kind)) continue;
        if (nth-- == 0) break;
    }
    gw_config_tensor(c, (enum gw_tensor_kind)kind, layer, spec);
}

size_t gw_config_n_params(const struct gw_config *c) {
    size_t outside = 0, layer = 0;
    for (int k = 0; k < GW_TENSOR_KIND_COUNT; k++) {
        if (!gw_config_has_tensor(c, (enum gw_tensor_kind)k)) continue;
        size_t n = dim_size(c, kinds[k].rows) * dim_size(c, kinds[k].cols);
        *(kinds[k].global ? &outside : &layer) += n;
    }
    return outside + layer * c->n_layers;
}

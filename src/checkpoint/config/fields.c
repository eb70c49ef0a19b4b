/* fields.c - the fields of config.json that would change the computation in a way not
 * implemented here: each must be absent or neutral, or the model is refused by name and value.
 *
 * Other forks of these architectures add switches under the same model_type, and transformers
 * drops what it does not know; computing something else than the author meant is worse than
 * refusing, so the table also lists fields of related families.  Not in it: pretraining_tp, which
 * cut products in pieces; the sums are the same, and transformers no longer reads it. */
#include "checkpoint/config/impl.h"

#include <string.h>

enum rule {
    MUST_BE_NULL,  /* or an empty object or array */
    MUST_BE_FALSE, /* or null */
    MUST_BE_ZERO,  /* or null or false */
    MUST_BE_ONE,   /* or null */
    MUST_BE_HEAD_DIM,
    MUST_BE_QK_NORM, /* true or false as the architecture has it */
    MUST_BE_SILU,
    MUST_BE_ROPE
};

static const struct field {
    const char *name;
    enum rule rule;
} fields[] = {
    {"quantization_config", MUST_BE_NULL},
    {"compression_config", MUST_BE_NULL},
    {"per_layer_config", MUST_BE_NULL},
    {"text_config", MUST_BE_NULL},
    {"vision_config", MUST_BE_NULL},
    {"pruned_heads", MUST_BE_NULL},
    /* another activation under another name */
    {"hidden_activation", MUST_BE_SILU},
    {"mlp_hidden_act", MUST_BE_SILU},
    /* positions */
    {"partial_rotary_factor", MUST_BE_ONE},
    {"rotary_pct", MUST_BE_ONE},
    {"rope_local_base_freq", MUST_BE_NULL},
    {"local_rope_theta", MUST_BE_NULL},
    {"global_rope_theta", MUST_BE_NULL},
    {"swa_rope_theta", MUST_BE_NULL},
    {"rope_interleave", MUST_BE_FALSE},
    {"rope_interleaved", MUST_BE_FALSE},
    {"no_rope_layers", MUST_BE_NULL},
    {"no_rope_layer_interval", MUST_BE_NULL},
    {"use_mrope", MUST_BE_FALSE},
    {"alibi", MUST_BE_FALSE},
    {"use_alibi", MUST_BE_FALSE},
    {"use_dynamic_ntk", MUST_BE_FALSE},
    {"use_logn_attn", MUST_BE_FALSE},
    {"position_embedding_type", MUST_BE_ROPE},
    /* which positions a layer sees */
    {"sliding_window_pattern", MUST_BE_NULL},
    {"full_attention_interval", MUST_BE_NULL},
    {"attention_chunk_size", MUST_BE_NULL},
    {"interleaved_sliding_window", MUST_BE_NULL},
    {"num_kv_shared_layers", MUST_BE_ZERO},
    {"is_encoder_decoder", MUST_BE_FALSE},
    {"add_cross_attention", MUST_BE_FALSE},
    /* inside attention */
    {"qk_norm", MUST_BE_QK_NORM},
    {"use_qk_norm", MUST_BE_QK_NORM},
    {"qk_layernorm", MUST_BE_QK_NORM},
    {"query_pre_attn_scalar", MUST_BE_HEAD_DIM},
    {"v_head_dim", MUST_BE_HEAD_DIM},
    {"clip_qkv", MUST_BE_NULL},
    {"kv_lora_rank", MUST_BE_NULL},
    {"q_lora_rank", MUST_BE_NULL},
    {"attn_output_gate", MUST_BE_FALSE},
    {"headwise_attn_output_gate", MUST_BE_FALSE},
    {"elementwise_attn_output_gate", MUST_BE_FALSE},
    {"attn_logit_softcapping", MUST_BE_NULL},
    {"final_logit_softcapping", MUST_BE_NULL},
    {"logits_soft_cap", MUST_BE_NULL},
    {"logit_softcapping", MUST_BE_NULL},
    /* scales */
    {"embedding_multiplier", MUST_BE_ONE},
    {"residual_multiplier", MUST_BE_ONE},
    {"attention_multiplier", MUST_BE_NULL},
    {"logits_scaling", MUST_BE_ONE},
    {"logit_scale", MUST_BE_ONE},
    {"lm_head_multiplier", MUST_BE_ONE},
    {"key_multiplier", MUST_BE_ONE},
    {"attention_in_multiplier", MUST_BE_ONE},
    {"attention_out_multiplier", MUST_BE_ONE},
    {"mlp_multipliers", MUST_BE_NULL},
    {"scale_embedding", MUST_BE_FALSE},
    {"scale_emb", MUST_BE_ONE},
    {"scale_depth", MUST_BE_NULL},
    {"dim_model_base", MUST_BE_NULL},
    {"use_scaled_embedding", MUST_BE_FALSE},
    /* linear layers */
    {"use_bias", MUST_BE_FALSE},
    {"lm_head_bias", MUST_BE_FALSE},
    {"add_bias_linear", MUST_BE_FALSE},
    {"parallel_attn", MUST_BE_FALSE},
    {"use_parallel_residual", MUST_BE_FALSE},
    /* mixtures of experts */
    {"num_experts", MUST_BE_ZERO},
    {"num_local_experts", MUST_BE_ZERO},
    {"n_routed_experts", MUST_BE_ZERO},
    {"num_experts_per_tok", MUST_BE_ZERO},
    {"moe_intermediate_size", MUST_BE_ZERO},
};

static bool is_number(struct gw_json_node v, double want) {
    return gw_json_is_number(v) && v.v->valuedouble == want;
}

static bool is_bool(struct gw_json_node v, bool want) {
    return gw_json_is_bool(v) && cJSON_IsTrue(v.v) == want;
}

static bool is_string(struct gw_json_node v, const char *want) {
    return gw_json_is_string(v) && strcmp(v.v->valuestring, want) == 0;
}

static bool is_neutral(struct gw_json_node v, enum rule rule, const struct gw_config *c) {
    if (gw_json_is_null(v)) return true;
    switch (rule) {
    case MUST_BE_NULL:
        return (gw_json_is_object(v) || gw_json_is_array(v)) && gw_json_first(v).v == NULL;
    case MUST_BE_FALSE: return is_bool(v, false);
    case MUST_BE_ZERO: return is_bool(v, false) || is_number(v, 0);
    case MUST_BE_ONE: return is_number(v, 1);
    case MUST_BE_HEAD_DIM: return is_number(v, (double)c->head_dim);
    case MUST_BE_QK_NORM: return is_bool(v, c->qk_norm);
    case MUST_BE_SILU: return is_string(v, "silu") || is_string(v, "swish");
    case MUST_BE_ROPE: return is_string(v, "rope") || is_string(v, "rotary");
    }
    return false;
}

/* layer_types: one name per layer.  *sliding: some layer asks for a window. */
static enum gwen_status check_layer_types(struct gw_json_node types, const struct gw_config *c,
                                          bool *sliding, struct gwen_err *err) {
    size_t n = gw_json_size(types);
    if (n != c->n_layers)
        return gw_json_fail(types, err, GWEN_ERR_FORMAT,
                            "%zu entries, but num_hidden_layers is %zu", n, c->n_layers);
    for (struct gw_json_node t = gw_json_first(types); t.v != NULL; t = gw_json_next(t)) {
        if (is_string(t, "sliding_attention"))
            *sliding = true;
        else if (!is_string(t, "full_attention") && !is_string(t, "attention"))
            return gw_config_refuse(t, NULL, err);
    }
    return GWEN_OK;
}

/* A window that is never shorter than the context changes nothing. */
static enum gwen_status refuse_window(struct gw_json_node root, size_t window,
                                      const struct gw_config *c, struct gwen_err *err) {
    if (window >= c->max_position_embeddings) return GWEN_OK;
    struct gw_json_node node;
    if (!gw_json_find(root, "sliding_window", &node))
        return gw_json_fail(root, err, GWEN_ERR_UNSUPPORTED,
                            "sliding_window: is missing, which for model_type \"%s\" means %zu; "
                            "sliding windows are not supported",
                            gw_arch_name(c->arch), window);
    return gw_json_fail(node, err, GWEN_ERR_UNSUPPORTED,
                        "%zu is not supported: attention windows shorter than "
                        "max_position_embeddings %zu are not implemented",
                        window, c->max_position_embeddings);
}

/* How each configuration class decides whether a window is in force:
 *   qwen2, qwen3: use_sliding_window (default false) and sliding_window (default 4096) on the
 *                 layers that layer_types names, or else from max_window_layers (default 28) on;
 *   mistral:      sliding_window (default 4096; null: none) on all layers;
 *   llama:        none, so a window that is switched on is somebody else's model. */
static enum gwen_status check_sliding(struct gw_json_node root, const struct gw_config *c,
                                      struct gwen_err *err) {
    bool qwen = c->arch == GW_ARCH_QWEN2 || c->arch == GW_ARCH_QWEN3;
    bool enabled = c->arch == GW_ARCH_MISTRAL, sliding = false;
    struct gw_json_node types, window_node;
    bool window_given = gw_json_find(root, "sliding_window", &window_node);
    if (c->arch == GW_ARCH_LLAMA) enabled = window_given;
    if (c->arch != GW_ARCH_MISTRAL)
        GW_TRY(gw_json_get_bool(root, "use_sliding_window", GW_JSON_OPTIONAL, &enabled, err));
    size_t window = 0, first = 28;
    GW_TRY(gw_json_get_size(root, "sliding_window", GW_JSON_OPTIONAL, 0, (size_t)1 << 40, &window,
                            err));
    GW_TRY(gw_json_get_size(root, "max_window_layers", GW_JSON_OPTIONAL, 0, (size_t)1 << 40, &first,
                            err));
    bool none = window_given && gw_json_is_null(window_node);
    if (!window_given && c->arch != GW_ARCH_LLAMA) window = 4096;
    enabled = enabled && !none && (window_given || c->arch != GW_ARCH_LLAMA);

    GW_TRY(gw_json_get_array(root, "layer_types", GW_JSON_OPTIONAL, &types, err));
    if (types.v != NULL) {
        GW_TRY(check_layer_types(types, c, &sliding, err));
        if (sliding && !enabled)
            return gw_json_fail(types, err, GWEN_ERR_UNSUPPORTED,
                                "\"sliding_attention\" is not supported (and there is no "
                                "sliding_window in force)");
    }
    if (!enabled) return GWEN_OK;
    if (qwen && types.v != NULL && !sliding) return GWEN_OK;
    if (qwen && types.v == NULL && first >= c->n_layers) return GWEN_OK;
    return refuse_window(root, window, c, err);
}

enum gwen_status gw_config_check_fields(struct gw_json_node root, const struct gw_config *c,
                                        struct gwen_err *err) {
    struct gw_json_node v;
    for (size_t i = 0; i < GW_ARRAY_LEN(fields); i++)
        if (gw_json_find(root, fields[i].name, &v) && !is_neutral(v, fields[i].rule, c))
            return gw_config_refuse(v, NULL, err);
    return check_sliding(root, c, err);
}

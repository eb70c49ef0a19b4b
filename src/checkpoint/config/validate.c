/* validate.c - whether a configuration describes a model that can be computed. */
#include "checkpoint/config/impl.h"

static enum gwen_status validate_sizes(const struct gw_config *c, const char *name,
                                       struct gwen_err *err) {
    const struct {
        const char *what;
        size_t value, max;
    } sizes[] = {
        {"vocab_size", c->vocab_size, GW_MAX_VOCAB},
        {"hidden_size", c->hidden, GW_MAX_HIDDEN},
        {"intermediate_size", c->ffn, GW_MAX_FFN},
        {"num_hidden_layers", c->n_layers, GW_MAX_LAYERS},
        {"num_attention_heads", c->n_heads, GW_MAX_HEADS},
        {"num_key_value_heads", c->n_kv_heads, GW_MAX_HEADS},
        {"head_dim", c->head_dim, GW_MAX_HEAD_DIM},
        {"max_position_embeddings", c->max_position_embeddings, GW_MAX_POSITIONS},
    };
    for (size_t i = 0; i < GW_ARRAY_LEN(sizes); i++)
        if (sizes[i].value < 1 || sizes[i].value > sizes[i].max)
            return gw_fail(err, GWEN_ERR_FORMAT, "%s: %s: %zu is outside 1..%zu", name,
                           sizes[i].what, sizes[i].value, sizes[i].max);
    if (c->n_heads % c->n_kv_heads != 0)
        return gw_fail(err, GWEN_ERR_FORMAT,
                       "%s: num_key_value_heads: %zu does not divide num_attention_heads %zu", name,
                       c->n_kv_heads, c->n_heads);
    if (c->head_dim % 2 != 0)
        return gw_fail(err, GWEN_ERR_UNSUPPORTED,
                       "%s: head_dim: %zu is odd; rotary embeddings need an even one", name,
                       c->head_dim);
    return GWEN_OK;
}

/* Which of the switches each architecture has. */
static bool switches_fit(const struct gw_config *c) {
    if (c->qk_norm != gw_arch_defaults[c->arch].qk_norm) return false;
    if (c->mlp_bias && c->arch != GW_ARCH_LLAMA) return false;
    if (c->arch == GW_ARCH_QWEN3 || c->arch == GW_ARCH_LLAMA) return c->qkv_bias == c->o_bias;
    return c->qkv_bias == gw_arch_defaults[c->arch].qkv_bias && !c->o_bias;
}

static enum gwen_status validate_rope(const struct gw_rope *r, const char *name,
                                      struct gwen_err *err) {
    if (!(r->theta > 0 && r->theta <= 1e30))
        return gw_fail(err, GWEN_ERR_FORMAT, "%s: rope_theta: %g is not positive", name, r->theta);
    if (r->type != GW_ROPE_DEFAULT && !(r->factor > 0 && r->factor <= 1e9))
        return gw_fail(err, GWEN_ERR_FORMAT, "%s: rope factor %g is not positive", name, r->factor);
    if (r->type != GW_ROPE_LLAMA3) return GWEN_OK;
    if (!(r->low_freq_factor > 0 && r->high_freq_factor > r->low_freq_factor))
        return gw_fail(err, GWEN_ERR_FORMAT,
                       "%s: rope high_freq_factor %g must be above low_freq_factor %g, and both "
                       "above 0",
                       name, r->high_freq_factor, r->low_freq_factor);
    if (r->original_max_position_embeddings < 1)
        return gw_fail(err, GWEN_ERR_FORMAT, "%s: rope original_max_position_embeddings is 0",
                       name);
    return GWEN_OK;
}

enum gwen_status gw_config_validate(const struct gw_config *c, const char *name,
                                    struct gwen_err *err) {
    GW_TRY(validate_sizes(c, name, err));
    GW_TRY(validate_rope(&c->rope, name, err));
    if (!switches_fit(c))
        return gw_fail(err, GWEN_ERR_UNSUPPORTED,
                       "%s: biases or q/k norms that model_type \"%s\" does not have", name,
                       gw_arch_name(c->arch));
    if (!(c->rms_eps >= 0 && c->rms_eps <= 1))
        return gw_fail(err, GWEN_ERR_FORMAT, "%s: rms_norm_eps: %g is outside 0..1", name,
                       c->rms_eps);
    if (!(c->initializer_range >= 0 && c->initializer_range <= 1))
        return gw_fail(err, GWEN_ERR_FORMAT, "%s: initializer_range: %g is outside 0..1", name,
                       c->initializer_range);
    if (c->n_eos > GW_CONFIG_MAX_EOS)
        return gw_fail(err, GWEN_ERR_FORMAT, "%s: more than %d eos ids", name, GW_CONFIG_MAX_EOS);
    /* the limits above keep every product within 64 bits; this keeps the model within reason */
    if (gw_config_n_params(c) > (size_t)1 << 46)
        return gw_fail(err, GWEN_ERR_FORMAT, "%s: the sizes give a model of more than 2^46 weights",
                       name);
    return GWEN_OK;
}

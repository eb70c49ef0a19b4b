/* config.h - the architecture of a model, from config.json in the style of transformers 4 or 5.
 *
 * Every field that would change the computation is implemented or refused by name and value;
 * defaults of missing fields are those of the transformers configuration class of the
 * model_type. */
#ifndef GW_CHECKPOINT_CONFIG_CONFIG_H
#define GW_CHECKPOINT_CONFIG_CONFIG_H

#include "base/base.h"
#include "base/str.h"
#include "checkpoint/dtype.h"

enum gw_arch { GW_ARCH_QWEN3, GW_ARCH_QWEN2, GW_ARCH_LLAMA, GW_ARCH_MISTRAL };

enum gw_rope_type { GW_ROPE_DEFAULT, GW_ROPE_LINEAR, GW_ROPE_LLAMA3 };

struct gw_rope {
    enum gw_rope_type type;
    double theta;
    double factor;                            /* linear, llama3 */
    double low_freq_factor, high_freq_factor; /* llama3 */
    size_t original_max_position_embeddings;  /* llama3 */
};

enum { GW_CONFIG_MAX_EOS = 16 };

/* The ids that end a sequence. */
struct gw_eos {
    const int32_t *ids;
    size_t n;
};

static inline bool gw_eos_has(struct gw_eos eos, int32_t id) {
    for (size_t i = 0; i < eos.n; i++)
        if (eos.ids[i] == id) return true;
    return false;
}

struct gw_config {
    enum gw_arch arch;
    size_t vocab_size;
    size_t hidden; /* width of the residual stream */
    size_t n_layers;
    size_t n_heads, n_kv_heads; /* n_kv_heads divides n_heads */
    size_t head_dim;            /* even; n_heads * head_dim need not be hidden */
    size_t ffn;                 /* width of the MLP */
    size_t max_position_embeddings;
    double rms_eps;
    bool tie_word_embeddings; /* the LM head is the embedding table */
    bool qkv_bias, o_bias, mlp_bias;
    bool qk_norm; /* RMSNorm over head_dim of each q and k head before the rotation (qwen3) */
    struct gw_rope rope;
    enum gw_dtype dtype; /* F32, F16, BF16 or NONE (not given) */
    double initializer_range;
    int32_t eos_ids[GW_CONFIG_MAX_EOS];
    size_t n_eos;
    int32_t bos_id, pad_id; /* -1: none */
    /* Not of the file, but of an adapter (gw_lora_plan): the most ranks that it puts on one packed
     * matrix, 0: no adapter; the floats of its tensors; the bytes it takes. */
    size_t lora_width, lora_floats, lora_bytes;
};

/* Reads DIR/config.json. */
enum gwen_status gw_config_load(const char *dir, struct gw_config *c, struct gwen_err *err);
/* Parses the text of a config.json; `name` is for messages. */
enum gwen_status gw_config_parse(const char *text, size_t len, const char *name,
                                 struct gw_config *c, struct gwen_err *err);
/* Checks a configuration, however it was made: sizes positive, in range and consistent, products
 * within size_t; `name` is for messages. */
enum gwen_status gw_config_validate(const struct gw_config *c, const char *name,
                                    struct gwen_err *err);
/* Writes DIR/config.json (transformers 5 style) and DIR/generation_config.json, which
 * transformers loads. */
enum gwen_status gw_config_write(const struct gw_config *c, const char *dir, struct gwen_err *err);
/* Built-in configurations: "qwen3-0.6b", "qwen2.5-3b", "tiny".  Unknown: GWEN_ERR_ARGUMENT with
 * the names that exist. */
enum gwen_status gw_config_preset(const char *name, struct gw_config *c, struct gwen_err *err);

const char *gw_arch_name(enum gw_arch arch); /* model_type: "qwen3", ... */

/* --- the tensors of a model ----------------------------------------------------------------- */

enum gw_tensor_kind {
    GW_TENSOR_EMBED,   /* model.embed_tokens.weight [vocab, hidden] */
    GW_TENSOR_NORM,    /* model.norm.weight [hidden] */
    GW_TENSOR_LM_HEAD, /* lm_head.weight [vocab, hidden]; only when not tied */
    /* of each layer, model.layers.L. in front */
    GW_TENSOR_ATTN_NORM, /* input_layernorm.weight [hidden] */
    GW_TENSOR_Q,         /* self_attn.q_proj.weight [heads * head_dim, hidden] */
    GW_TENSOR_Q_BIAS,
    GW_TENSOR_K,
    GW_TENSOR_K_BIAS,
    GW_TENSOR_V,
    GW_TENSOR_V_BIAS,
    GW_TENSOR_O, /* self_attn.o_proj.weight [hidden, heads * head_dim] */
    GW_TENSOR_O_BIAS,
    GW_TENSOR_Q_NORM, /* self_attn.q_norm.weight [head_dim] */
    GW_TENSOR_K_NORM,
    GW_TENSOR_MLP_NORM, /* post_attention_layernorm.weight [hidden] */
    GW_TENSOR_GATE,     /* mlp.gate_proj.weight [ffn, hidden] */
    GW_TENSOR_GATE_BIAS,
    GW_TENSOR_UP,
    GW_TENSOR_UP_BIAS,
    GW_TENSOR_DOWN, /* mlp.down_proj.weight [hidden, ffn] */
    GW_TENSOR_DOWN_BIAS,
    GW_TENSOR_KIND_COUNT
};

enum { GW_TENSOR_NAME_MAX = 96 };

struct gw_tensor_spec {
    enum gw_tensor_kind kind;
    size_t layer;                  /* 0 for the first three kinds */
    char name[GW_TENSOR_NAME_MAX]; /* as in the Hugging Face state dict */
    size_t rank;                   /* 1 or 2 */
    size_t shape[2];
};

/* True when this configuration has tensors of the kind. */
bool gw_config_has_tensor(const struct gw_config *c, enum gw_tensor_kind kind);
/* Name and shape of one tensor of the configuration. */
void gw_config_tensor(const struct gw_config *c, enum gw_tensor_kind kind, size_t layer,
                      struct gw_tensor_spec *spec);
/* All tensors in a fixed order: embedding, layer by layer in enum order, norm, LM head. */
size_t gw_config_n_tensors(const struct gw_config *c);
void gw_config_tensor_at(const struct gw_config *c, size_t index, struct gw_tensor_spec *spec);
/* Number of parameters (tied ones once). */
size_t gw_config_n_params(const struct gw_config *c);

#endif

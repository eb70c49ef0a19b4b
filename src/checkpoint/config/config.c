/* config.c - config.json to struct gw_config (see config.h).
 *
 * What a missing field means is decided by the configuration class of the model_type in
 * transformers; gw_arch_defaults in common.c is their table.  Fields that must be neutral are in
 * fields.c, rotary embeddings in rope.c; what is out of bounds in validate.c. */
#include "checkpoint/config/config.h"

#include "base/file.h"
#include "checkpoint/config/impl.h"

#include <string.h>

enum { GW_CONFIG_MAX_BYTES = 1 << 20 };

static enum gwen_status parse_arch(struct gw_json_node root, enum gw_arch *arch,
                                   struct gwen_err *err) {
    const char *type = NULL;
    GW_TRY(gw_json_get_string(root, "model_type", GW_JSON_REQUIRED, &type, err));
    for (size_t i = 0; i < GW_N_ARCHS; i++) {
        if (strcmp(type, gw_arch_defaults[i].model_type) != 0) continue;
        *arch = (enum gw_arch)i;
        return GWEN_OK;
    }
    struct gw_json_node node;
    gw_json_find(root, "model_type", &node);
    return gw_config_refuse(node, "qwen3, qwen2, llama and mistral are", err);
}

static enum gwen_status parse_sizes(struct gw_json_node root, struct gw_config *c,
                                    struct gwen_err *err) {
    const struct gw_arch_defaults *d = &gw_arch_defaults[c->arch];
    c->vocab_size = d->vocab;
    c->hidden = 4096;
    c->ffn = d->ffn;
    c->n_layers = 32;
    c->n_heads = 32;
    c->max_position_embeddings = d->max_positions;
    const struct {
        const char *key;
        size_t max, *out;
    } sizes[] = {
        {"vocab_size", GW_MAX_VOCAB, &c->vocab_size},
        {"hidden_size", GW_MAX_HIDDEN, &c->hidden},
        {"intermediate_size", GW_MAX_FFN, &c->ffn},
        {"num_hidden_layers", GW_MAX_LAYERS, &c->n_layers},
        {"num_attention_heads", GW_MAX_HEADS, &c->n_heads},
        {"max_position_embeddings", GW_MAX_POSITIONS, &c->max_position_embeddings},
    };
    struct gw_json_node v;
    for (size_t i = 0; i < GW_ARRAY_LEN(sizes); i++) {
        /* absent takes the class's default, but null is no number */
        if (gw_json_find(root, sizes[i].key, &v))
            GW_TRY(gw_json_get_size(root, sizes[i].key, GW_JSON_REQUIRED, 1, sizes[i].max,
                                    sizes[i].out, err));
    }
    bool kv_given = gw_json_find(root, "num_key_value_heads", &v);
    c->n_kv_heads = kv_given || d->n_kv_heads == 0 ? c->n_heads : d->n_kv_heads;
    GW_TRY(gw_json_get_size(root, "num_key_value_heads", GW_JSON_OPTIONAL, 1, GW_MAX_HEADS,
                            &c->n_kv_heads, err));
    c->head_dim = d->head_dim != 0 ? d->head_dim : c->hidden / c->n_heads;
    enum gw_json_need need = d->head_dim != 0 && gw_json_find(root, "head_dim", &v)
                                 ? GW_JSON_REQUIRED
                                 : GW_JSON_OPTIONAL;
    GW_TRY(gw_json_get_size(root, "head_dim", need, 1, GW_MAX_HEAD_DIM, &c->head_dim, err));
    if (d->head_dim == 0 && !gw_json_has(root, "head_dim") && c->hidden % c->n_heads != 0)
        return gw_json_fail(root, err, GWEN_ERR_FORMAT,
                            "hidden_size %zu is not a multiple of num_attention_heads %zu, and "
                            "there is no head_dim",
                            c->hidden, c->n_heads);
    return GWEN_OK;
}

static enum gwen_status parse_activation(struct gw_json_node root, struct gwen_err *err) {
    const char *act = "silu";
    GW_TRY(gw_json_get_string(root, "hidden_act", GW_JSON_OPTIONAL, &act, err));
    if (strcmp(act, "silu") == 0 || strcmp(act, "swish") == 0) return GWEN_OK;
    struct gw_json_node node;
    gw_json_find(root, "hidden_act", &node);
    return gw_config_refuse(node, "silu is", err);
}

static enum gwen_status parse_biases(struct gw_json_node root, struct gw_config *c,
                                     struct gwen_err *err) {
    bool bias = gw_arch_defaults[c->arch].qkv_bias, mlp_bias = false;
    GW_TRY(gw_json_get_bool(root, "attention_bias", GW_JSON_OPTIONAL, &bias, err));
    GW_TRY(gw_json_get_bool(root, "mlp_bias", GW_JSON_OPTIONAL, &mlp_bias, err));
    bool free_bias = c->arch == GW_ARCH_QWEN3 || c->arch == GW_ARCH_LLAMA;
    struct gw_json_node node;
    if (!free_bias && bias != gw_arch_defaults[c->arch].qkv_bias) {
        gw_json_find(root, "attention_bias", &node);
        return gw_json_fail(node, err, GWEN_ERR_UNSUPPORTED,
                            "%s is not supported for model_type \"%s\"", bias ? "true" : "false",
                            gw_arch_name(c->arch));
    }
    if (mlp_bias && c->arch != GW_ARCH_LLAMA) {
        gw_json_find(root, "mlp_bias", &node);
        return gw_json_fail(node, err, GWEN_ERR_UNSUPPORTED,
                            "true is not supported for model_type \"%s\"", gw_arch_name(c->arch));
    }
    c->qkv_bias = bias;
    c->o_bias = free_bias && bias;
    c->mlp_bias = mlp_bias;
    return GWEN_OK;
}

static enum gwen_status parse_dtype(struct gw_json_node root, struct gw_config *c,
                                    struct gwen_err *err) {
    const char *key = gw_json_has(root, "dtype") ? "dtype" : "torch_dtype", *name = NULL;
    GW_TRY(gw_json_get_string(root, key, GW_JSON_OPTIONAL, &name, err));
    c->dtype = GW_DTYPE_NONE;
    if (name == NULL || gw_dtype_parse(name, &c->dtype)) return GWEN_OK;
    if (strcmp(name, "auto") == 0) return GWEN_OK; /* as the tensors are, as if not given */
    struct gw_json_node node;
    gw_json_find(root, key, &node);
    return gw_config_refuse(node, "float32, float16 and bfloat16 are", err);
}

static enum gwen_status parse_ids(struct gw_json_node root, struct gw_config *c,
                                  struct gwen_err *err) {
    c->bos_id = gw_arch_defaults[c->arch].bos;
    c->pad_id = -1;
    c->n_eos = gw_arch_defaults[c->arch].eos >= 0 ? 1 : 0;
    c->eos_ids[0] = gw_arch_defaults[c->arch].eos;
    GW_TRY(gw_config_parse_id(root, "bos_token_id", &c->bos_id, err));
    GW_TRY(gw_config_parse_id(root, "pad_token_id", &c->pad_id, err));
    return gw_config_parse_ids(root, "eos_token_id", c->eos_ids, &c->n_eos, err);
}

static enum gwen_status parse_config(struct gw_json_node root, struct gw_config *c,
                                     struct gwen_err *err) {
    if (!gw_json_is_object(root))
        return gw_json_fail(root, err, GWEN_ERR_FORMAT, "expected a JSON object");
    GW_TRY(parse_arch(root, &c->arch, err));
    GW_TRY(parse_sizes(root, c, err));
    GW_TRY(parse_activation(root, err));
    GW_TRY(parse_biases(root, c, err));
    c->qk_norm = gw_arch_defaults[c->arch].qk_norm;
    c->rms_eps = 1e-6;
    c->initializer_range = 0.02;
    struct gw_json_node v;
    if (gw_json_find(root, "rms_norm_eps", &v)) /* absent is the default, null is no number */
        GW_TRY(gw_json_get_double(root, "rms_norm_eps", GW_JSON_REQUIRED, 0, 1, &c->rms_eps, err));
    GW_TRY(gw_json_get_double(root, "initializer_range", GW_JSON_OPTIONAL, 0, 1,
                              &c->initializer_range, err));
    GW_TRY(gw_json_get_bool(root, "tie_word_embeddings", GW_JSON_OPTIONAL, &c->tie_word_embeddings,
                            err));
    GW_TRY(parse_dtype(root, c, err));
    GW_TRY(parse_ids(root, c, err));
    GW_TRY(gw_config_check_fields(root, c, err));
    GW_TRY(gw_config_parse_rope(root, c, err));
    return gw_config_validate(c, root.doc->file, err);
}

enum gwen_status gw_config_parse(const char *text, size_t len, const char *name,
                                 struct gw_config *c, struct gwen_err *err) {
    *c = (struct gw_config){0};
    struct gw_json_doc doc;
    GW_TRY(gw_json_parse(text, len, name, &doc, err));
    enum gwen_status status = parse_config(gw_json_root(&doc), c, err);
    gw_json_free(&doc);
    return status;
}

enum gwen_status gw_config_load(const char *dir, struct gw_config *c, struct gwen_err *err) {
    *c = (struct gw_config){0};
    struct gw_str path = {0}, text = {0};
    enum gwen_status status = gw_path_join(&path, dir, "config.json", err);
    if (status == GWEN_OK) status = gw_file_read(path.data, GW_CONFIG_MAX_BYTES, &text, err);
    if (status == GWEN_OK) status = gw_config_parse(text.data, text.len, path.data, c, err);
    gw_str_free(&text);
    gw_str_free(&path);
    return status;
}

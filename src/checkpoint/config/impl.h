/* impl.h - what the files of this folder share. */
#ifndef GW_CHECKPOINT_CONFIG_IMPL_H
#define GW_CHECKPOINT_CONFIG_IMPL_H

#include "base/json.h"
#include "checkpoint/config/config.h"

/* What every size may be at most; with these no product of sizes leaves 64 bits. */
enum {
    GW_MAX_VOCAB = 1 << 24,
    GW_MAX_HIDDEN = 1 << 20,
    GW_MAX_LAYERS = 1 << 12,
    GW_MAX_HEADS = 1 << 14,
    GW_MAX_HEAD_DIM = 1 << 12,
    GW_MAX_FFN = 1 << 22,
    GW_MAX_POSITIONS = 1 << 30
};

enum { GW_N_ARCHS = GW_ARCH_MISTRAL + 1 };
/* Of each architecture the values of absent fields.  n_kv_heads 0: as many as heads; head_dim 0:
 * hidden / heads. */
struct gw_arch_defaults {
    const char *model_type;
    size_t vocab, ffn, n_kv_heads, head_dim, max_positions;
    int32_t bos, eos; /* -1: none */
    bool qkv_bias;    /* fixed by the architecture rather than by attention_bias */
    bool qk_norm;
};
extern const struct gw_arch_defaults gw_arch_defaults[GW_N_ARCHS];

/* Checks every field that must have its neutral value in the models implemented here, sliding
 * windows and layer types among them; *c is filled except for rope. */
enum gwen_status gw_config_check_fields(struct gw_json_node root, const struct gw_config *c,
                                        struct gwen_err *err);
/* Refuses the value of a node: "file: field: VALUE is not supported", and after it, unless NULL,
 * " (`known`)". */
enum gwen_status gw_config_refuse(struct gw_json_node v, const char *known, struct gwen_err *err);
/* Fills c->rope from rope_parameters, rope_scaling and rope_theta; the sizes are already there. */
enum gwen_status gw_config_parse_rope(struct gw_json_node root, struct gw_config *c,
                                      struct gwen_err *err);
/* A member that is an id, a list of ids or null: up to GW_CONFIG_MAX_EOS of them; negative ids mean
 * none.  An absent member leaves *n and ids as they were. */
enum gwen_status gw_config_parse_ids(struct gw_json_node root, const char *key,
                                     int32_t ids[GW_CONFIG_MAX_EOS], size_t *n,
                                     struct gwen_err *err);
/* A single optional id; negative or null: -1; absent: as it was. */
enum gwen_status gw_config_parse_id(struct gw_json_node root, const char *key, int32_t *id,
                                    struct gwen_err *err);

#endif

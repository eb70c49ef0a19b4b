/* rope.c - rotary embeddings in config.json: `rope_parameters` of transformers 5, or
 * `rope_theta` and `rope_scaling` of transformers 4.
 *
 * As transformers does: a non-empty rope_scaling stands in for rope_parameters; a rope_theta
 * inside wins over one outside; the type is `rope_type`, else `type`, else "default". */
#include "checkpoint/config/impl.h"

#include <string.h>

static enum gwen_status parse_type(struct gw_json_node params, enum gw_rope_type *type,
                                   struct gwen_err *err) {
    static const char *const names[] = {
        [GW_ROPE_DEFAULT] = "default", [GW_ROPE_LINEAR] = "linear", [GW_ROPE_LLAMA3] = "llama3"};
    const char *key = gw_json_has(params, "rope_type") ? "rope_type" : "type", *name = "default";
    GW_TRY(gw_json_get_string(params, key, GW_JSON_OPTIONAL, &name, err));
    const size_t i = gw_name_index(name, names, GW_ARRAY_LEN(names));
    if (i < GW_ARRAY_LEN(names)) {
        *type = (enum gw_rope_type)i;
        return GWEN_OK;
    }
    struct gw_json_node node;
    gw_json_find(params, key, &node);
    return gw_config_refuse(node, "default, linear and llama3 are", err);
}

/* Members that none of the three types has: parameters of other types, or whole dictionaries per
 * kind of layer. */
static enum gwen_status check_members(struct gw_json_node params, const struct gw_rope *r,
                                      struct gwen_err *err) {
    static const char *const one[] = {"partial_rotary_factor", "attention_factor", "mscale",
                                      "mscale_all_dim"};
    for (size_t i = 0; i < GW_ARRAY_LEN(one); i++) {
        struct gw_json_node v;
        if (!gw_json_find(params, one[i], &v) || gw_json_is_null(v)) continue;
        if (!gw_json_is_number(v) || v.v->valuedouble != 1) return gw_config_refuse(v, NULL, err);
    }
    for (struct gw_json_node v = gw_json_first(params); v.v != NULL; v = gw_json_next(v)) {
        if (gw_json_is_object(v) || gw_json_is_array(v)) return gw_config_refuse(v, NULL, err);
        if (r->type == GW_ROPE_DEFAULT && strcmp(gw_json_key(v), "factor") == 0 &&
            gw_json_is_number(v) && v.v->valuedouble != 1)
            return gw_json_fail(v, err, GWEN_ERR_UNSUPPORTED,
                                "%g has no meaning with rope_type \"default\"", v.v->valuedouble);
    }
    return GWEN_OK;
}

/* Absent, it is max_position_embeddings.  A field of this name outside the dictionary is read by
 * some versions of transformers and not by others: it must not say something else. */
static enum gwen_status parse_original(struct gw_json_node root, struct gw_json_node params,
                                       struct gw_config *c, struct gwen_err *err) {
    static const char key[] = "original_max_position_embeddings";
    size_t original = c->max_position_embeddings, limit = (size_t)1 << 40;
    GW_TRY(gw_json_get_size(params, key, GW_JSON_OPTIONAL, 1, limit, &original, err));
    size_t outside = original;
    GW_TRY(gw_json_get_size(root, key, GW_JSON_OPTIONAL, 1, limit, &outside, err));
    if (outside != original)
        return gw_json_fail(root, err, GWEN_ERR_UNSUPPORTED,
                            "%s: %zu here, but %zu by the rope parameters", key, outside, original);
    c->rope.original_max_position_embeddings = original;
    return GWEN_OK;
}

enum gwen_status gw_config_parse_rope(struct gw_json_node root, struct gw_config *c,
                                      struct gwen_err *err) {
    struct gw_rope *r = &c->rope;
    *r = (struct gw_rope){.type = GW_ROPE_DEFAULT, .theta = 10000, .factor = 1};
    struct gw_json_node scaling, params;
    GW_TRY(gw_json_get_double(root, "rope_theta", GW_JSON_OPTIONAL, 1e-30, 1e30, &r->theta, err));
    GW_TRY(gw_json_get_object(root, "rope_scaling", GW_JSON_OPTIONAL, &scaling, err));
    GW_TRY(gw_json_get_object(root, "rope_parameters", GW_JSON_OPTIONAL, &params, err));
    if (gw_json_first(scaling).v != NULL) params = scaling;
    if (gw_json_first(params).v == NULL) return GWEN_OK;
    GW_TRY(gw_json_get_double(params, "rope_theta", GW_JSON_OPTIONAL, 1e-30, 1e30, &r->theta, err));
    GW_TRY(parse_type(params, &r->type, err));
    GW_TRY(check_members(params, r, err));
    if (r->type == GW_ROPE_DEFAULT) return GWEN_OK;
    GW_TRY(gw_json_get_double(params, "factor", GW_JSON_REQUIRED, 1e-9, 1e9, &r->factor, err));
    if (r->type != GW_ROPE_LLAMA3) return GWEN_OK;
    GW_TRY(gw_json_get_double(params, "low_freq_factor", GW_JSON_REQUIRED, 1e-9, 1e9,
                              &r->low_freq_factor, err));
    GW_TRY(gw_json_get_double(params, "high_freq_factor", GW_JSON_REQUIRED, 1e-9, 1e9,
                              &r->high_freq_factor, err));
    return parse_original(root, params, c, err);
}

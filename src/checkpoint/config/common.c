/* common.c - what the readers of config.json share: what each architecture has and takes for
 * granted, ids, the refusal of a value. */
#include "checkpoint/config/impl.h"

const struct gw_arch_defaults gw_arch_defaults[GW_N_ARCHS] = {
    [GW_ARCH_QWEN3] = {"qwen3", 151936, 22016, 32, 128, 32768, -1, -1, false, true},
    [GW_ARCH_QWEN2] = {"qwen2", 151936, 22016, 32, 0, 32768, -1, -1, true, false},
    [GW_ARCH_LLAMA] = {"llama", 32000, 11008, 0, 0, 2048, 1, 2, false, false},
    [GW_ARCH_MISTRAL] = {"mistral", 32000, 14336, 8, 0, 131072, 1, 2, false, false},
};

const char *gw_arch_name(enum gw_arch arch) { return gw_arch_defaults[arch].model_type; }

enum gwen_status gw_config_refuse(struct gw_json_node v, const char *known, struct gwen_err *err) {
    char shown[80];
    gw_json_show(v, shown, sizeof shown);
    return gw_json_fail(v, err, GWEN_ERR_UNSUPPORTED, "%s is not supported%s%s%s", shown,
                        known != NULL ? " (" : "", known != NULL ? known : "",
                        known != NULL ? ")" : "");
}

enum gwen_status gw_config_parse_id(struct gw_json_node root, const char *key, int32_t *id,
                                    struct gwen_err *err) {
    struct gw_json_node node;
    if (!gw_json_find(root, key, &node)) return GWEN_OK;
    int64_t v = -1;
    GW_TRY(gw_json_get_i64(root, key, GW_JSON_OPTIONAL, INT32_MIN, INT32_MAX, &v, err));
    *id = v < 0 ? -1 : (int32_t)v;
    return GWEN_OK;
}

enum gwen_status gw_config_parse_ids(struct gw_json_node root, const char *key,
                                     int32_t ids[GW_CONFIG_MAX_EOS], size_t *n,
                                     struct gwen_err *err) {
    struct gw_json_node node;
    if (!gw_json_find(root, key, &node)) return GWEN_OK;
    *n = 0;
    if (!gw_json_is_array(node)) {
        int32_t id = -1;
        GW_TRY(gw_config_parse_id(root, key, &id, err));
        if (id >= 0) ids[(*n)++] = id;
        return GWEN_OK;
    }
    for (struct gw_json_node e = gw_json_first(node); e.v != NULL; e = gw_json_next(e)) {
        int64_t id;
        GW_TRY(gw_json_as_i64(e, 0, INT32_MAX, &id, err));
        if (*n == GW_CONFIG_MAX_EOS)
            return gw_json_fail(node, err, GWEN_ERR_UNSUPPORTED, "more than %d ids",
                                GW_CONFIG_MAX_EOS);
        ids[(*n)++] = (int32_t)id;
    }
    return GWEN_OK;
}

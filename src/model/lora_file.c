/* lora_file.c - PEFT's adapter directories; see lora.h. */
#include "model/lora.h"

#include "base/file.h"
#include "base/json.h"
#include "checkpoint/safetensors/safetensors.h"

#include <stdlib.h>
#include <string.h>

enum { CONFIG_BYTES = 1 << 20 };

static const char *const names[GW_LORA_MODULES] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                   "gate_proj", "up_proj", "down_proj"};

const char *gw_lora_module_name(enum gw_lora_module module) { return names[module]; }

/* --- the configuration ---------------------------------------------------------------------- */

/* Fields that are read, and those that change no result. */
static bool is_known(const char *key) {
    static const char *const keys[] = {"peft_type",
                                       "bias",
                                       "r",
                                       "lora_alpha",
                                       "use_rslora",
                                       "target_modules",
                                       "lora_dropout",
                                       "task_type",
                                       "layers_to_transform",
                                       "auto_mapping",
                                       "revision",
                                       "base_model_name_or_path",
                                       "peft_version",
                                       "eva_config",
                                       "inference_mode",
                                       "corda_config",
                                       "loftq_config",
                                       "init_lora_weights",
                                       "lora_ga_config",
                                       "megatron_core",
                                       "qalora_group_size",
                                       "runtime_config",
                                       "ensure_weight_tying"};
    return gw_name_index(key, keys, GW_ARRAY_LEN(keys)) < GW_ARRAY_LEN(keys);
}

static bool is_off(struct gw_json_node n) {
    struct gwen_err err;
    bool on;
    double value;
    if (gw_json_is_null(n)) return true;
    if (gw_json_is_object(n) || gw_json_is_array(n)) return gw_json_size(n) == 0;
    if (gw_json_is_bool(n)) return gw_json_as_bool(n, &on, &err) == GWEN_OK && !on;
    return gw_json_is_number(n) && gw_json_as_double(n, 0, 0, &value, &err) == GWEN_OK;
}

/* Every other field may change the computation: it must be null, false, 0 or empty. */
static enum gwen_status refuse_others(struct gw_json_node root, struct gwen_err *err) {
    for (struct gw_json_node n = gw_json_first(root); n.v != NULL; n = gw_json_next(n)) {
        char shown[80];
        if (is_known(gw_json_key(n)) || is_off(n)) continue;
        gw_json_show(n, shown, sizeof shown);
        return gw_json_fail(n, err, GWEN_ERR_UNSUPPORTED, "%s is not supported", shown);
    }
    return GWEN_OK;
}

/* Some ways to begin change the base model's weights too, and the file does not hold those. */
static enum gwen_status check_init(struct gw_json_node root, struct gwen_err *err) {
    static const char *const harmless[] = {"gaussian", "orthogonal", "eva"};
    struct gw_json_node n;
    const char *text;
    if (!gw_json_find(root, "init_lora_weights", &n) || !gw_json_is_string(n)) return GWEN_OK;
    GW_TRY(gw_json_as_string(n, &text, err));
    if (gw_name_index(text, harmless, GW_ARRAY_LEN(harmless)) < GW_ARRAY_LEN(harmless))
        return GWEN_OK;
    return gw_json_fail(n, err, GWEN_ERR_UNSUPPORTED,
                        "\"%s\" changes the base model's weights and is not supported", text);
}

static enum gwen_status find_module(struct gw_json_node n, bool modules[GW_LORA_MODULES],
                                    struct gwen_err *err) {
    const char *text;
    GW_TRY(gw_json_as_string(n, &text, err));
    const size_t i = gw_name_index(text, names, GW_LORA_MODULES);
    if (i == GW_LORA_MODULES)
        return gw_json_fail(n, err, GWEN_ERR_UNSUPPORTED,
                            "\"%s\" is not one of q_proj, k_proj, v_proj, o_proj, gate_proj, "
                            "up_proj, down_proj",
                            text);
    modules[i] = true;
    return GWEN_OK;
}

static enum gwen_status read_modules(struct gw_json_node root, bool modules[GW_LORA_MODULES],
                                     struct gwen_err *err) {
    struct gw_json_node n;
    const char *text;
    if (!gw_json_find(root, "target_modules", &n))
        return gw_json_fail(root, err, GWEN_ERR_FORMAT, "target_modules is missing");
    if (gw_json_is_string(n)) {
        GW_TRY(gw_json_as_string(n, &text, err));
        if (strcmp(text, "all-linear") != 0) return find_module(n, modules, err);
        for (size_t i = 0; i < GW_LORA_MODULES; i++) modules[i] = true;
        return GWEN_OK;
    }
    GW_TRY(gw_json_get_array(root, "target_modules", GW_JSON_REQUIRED, &n, err));
    for (struct gw_json_node i = gw_json_first(n); i.v != NULL; i = gw_json_next(i))
        GW_TRY(find_module(i, modules, err));
    return GWEN_OK;
}

/* layers_to_transform: a number, a list of them, or null for all. */
static enum gwen_status read_layers(struct gw_json_node root, size_t n_layers, bool *layers,
                                    struct gwen_err *err) {
    struct gw_json_node n;
    int64_t layer;
    const bool some = gw_json_find(root, "layers_to_transform", &n) && !gw_json_is_null(n);
    for (size_t i = 0; i < n_layers; i++) layers[i] = !some;
    if (!some) return GWEN_OK;
    if (gw_json_is_number(n)) {
        GW_TRY(gw_json_as_i64(n, 0, (int64_t)n_layers - 1, &layer, err));
        layers[layer] = true;
        return GWEN_OK;
    }
    for (struct gw_json_node i = gw_json_first(n); i.v != NULL; i = gw_json_next(i)) {
        GW_TRY(gw_json_as_i64(i, 0, (int64_t)n_layers - 1, &layer, err));
        layers[layer] = true;
    }
    return GWEN_OK;
}

static bool any(const bool *flags, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (flags[i]) return true;
    return false;
}

enum gwen_status gw_lora_parse(const struct gw_json_doc *doc, const struct gw_config *cfg,
                               bool *layers, struct gw_lora_opts *o, struct gwen_err *err) {
    const struct gw_json_node root = gw_json_root(doc);
    const char *type = "LORA", *bias = "none";
    *o = (struct gw_lora_opts){.layers = layers};
    GW_TRY(gw_json_get_string(root, "peft_type", GW_JSON_REQUIRED, &type, err));
    if (strcmp(type, "LORA") != 0)
        return gw_json_fail(root, err, GWEN_ERR_UNSUPPORTED, "peft_type \"%s\" is not LORA", type);
    GW_TRY(gw_json_get_string(root, "bias", GW_JSON_OPTIONAL, &bias, err));
    if (strcmp(bias, "none") != 0)
        return gw_json_fail(root, err, GWEN_ERR_UNSUPPORTED, "bias \"%s\" is not supported", bias);
    GW_TRY(refuse_others(root, err));
    GW_TRY(check_init(root, err));
    GW_TRY(gw_json_get_size(root, "r", GW_JSON_REQUIRED, 1, 1 << 14, &o->r, err));
    GW_TRY(gw_json_get_double(root, "lora_alpha", GW_JSON_REQUIRED, 0, 1e9, &o->alpha, err));
    GW_TRY(gw_json_get_double(root, "lora_dropout", GW_JSON_OPTIONAL, 0, 1, &o->dropout, err));
    GW_TRY(gw_json_get_bool(root, "use_rslora", GW_JSON_OPTIONAL, &o->rslora, err));
    GW_TRY(read_modules(root, o->modules, err));
    GW_TRY(read_layers(root, cfg->n_layers, layers, err));
    if (!any(o->modules, GW_LORA_MODULES) || !any(layers, cfg->n_layers))
        return gw_json_fail(root, err, GWEN_ERR_FORMAT,
                            "target_modules and layers_to_transform "
                            "leave nothing to adapt");
    return GWEN_OK;
}

/* --- reading -------------------------------------------------------------------------------- */

static enum gwen_status read_tensor(const struct gwen_kernels *kern,
                                    const struct gw_safetensors *st, const struct gw_param *p,
                                    float *values, struct gwen_err *err) {
    const struct gw_tensor *t;
    GW_TRY(gw_safetensors_get(st, p->name, GW_DTYPE_NONE, 2, p->shape, &t, err));
    float *to = values + p->offset;
    switch (t->dtype) {
    case GW_DTYPE_F32: memcpy(to, t->data, t->bytes); break;
    case GW_DTYPE_F16: kern->f16_to_f32(to, t->data, t->n_elem); break;
    case GW_DTYPE_BF16: kern->bf16_to_f32(to, t->data, t->n_elem); break;
    default:
        return gw_fail(err, GWEN_ERR_UNSUPPORTED, "tensor %s is %s: float types are supported",
                       p->name, gw_dtype_name(t->dtype));
    }
    return GWEN_OK;
}

static enum gwen_status read_tensors(const struct gw_arith *arith, const char *path,
                                     struct gw_lora *l, struct gwen_err *err) {
    struct gw_safetensors *st = NULL;
    enum gwen_status status = gw_safetensors_open(path, &st, err);
    for (size_t i = 0; i < l->params.n && status == GWEN_OK; i++)
        status = read_tensor(arith->kern, st, &l->params.list[i], l->values, err);
    if (status == GWEN_OK && gw_safetensors_count(st) != l->params.n)
        status =
            gw_fail(err, GWEN_ERR_FORMAT, "%s: %zu tensors, where adapter_config.json asks for %zu",
                    path, gw_safetensors_count(st), l->params.n);
    gw_safetensors_close(st);
    GW_TRY(status);
    return gw_err_prefix(err, gw_lora_check(l, arith->format, l->values, err), "%s", path);
}

static char *base_name(struct gw_json_node root) {
    const char *text = NULL;
    struct gwen_err err;
    if (gw_json_get_string(root, "base_model_name_or_path", GW_JSON_OPTIONAL, &text, &err) !=
            GWEN_OK ||
        text == NULL)
        return NULL;
    return strdup(text);
}

/* DIR/adapter_config.json; *layers is to be freed. */
static enum gwen_status load_config(const char *dir, const struct gw_config *cfg,
                                    struct gw_json_doc *doc, bool **layers,
                                    struct gw_lora_opts *opts, struct gwen_err *err) {
    struct gw_str path = {0};
    bool there;
    *layers = NULL;
    GW_TRY(gw_dir_find(dir, &there, err));
    if (!there) return gw_fail(err, GWEN_ERR_IO, "adapter %.300s: no such directory", dir);
    *layers = calloc(cfg->n_layers, sizeof **layers);
    if (*layers == NULL) return gw_nomem(err, cfg->n_layers, "an adapter");
    enum gwen_status status = gw_path_join(&path, dir, "adapter_config.json", err);
    if (status == GWEN_OK) status = gw_json_load(path.data, CONFIG_BYTES, doc, err);
    if (status == GWEN_OK) status = gw_lora_parse(doc, cfg, *layers, opts, err);
    gw_str_free(&path);
    return status;
}

enum gwen_status gw_lora_measure(const char *dir, enum gw_panel_format format,
                                 struct gw_config *cfg, struct gwen_err *err) {
    struct gw_json_doc doc = {0};
    struct gw_lora_opts opts;
    bool *layers;
    enum gwen_status status = load_config(dir, cfg, &doc, &layers, &opts, err);
    if (status == GWEN_OK) gw_lora_plan(cfg, format, &opts);
    gw_json_free(&doc);
    free(layers);
    return status;
}

enum gwen_status gw_lora_read(const struct gw_config *cfg, const struct gw_arith *arith,
                              const char *dir, struct gw_lora **out, struct gwen_err *err) {
    struct gw_json_doc doc = {0};
    struct gw_str path = {0};
    struct gw_lora_opts opts;
    struct gw_lora *l = NULL;
    bool *layers;
    *out = NULL;
    enum gwen_status status = load_config(dir, cfg, &doc, &layers, &opts, err);
    if (status == GWEN_OK) status = gw_lora_allocate(cfg, arith->format, &opts, &l, err);
    if (status == GWEN_OK) status = gw_path_join(&path, dir, "adapter_model.safetensors", err);
    if (status == GWEN_OK) status = read_tensors(arith, path.data, l, err);
    if (status == GWEN_OK) {
        l->base_model = base_name(gw_json_root(&doc));
        *out = l;
    } else {
        gw_lora_free(l);
    }
    gw_json_free(&doc);
    gw_str_free(&path);
    free(layers);
    return status;
}

enum gwen_status gw_lora_load(struct gw_model *m, const char *dir, struct gwen_err *err) {
    struct gw_lora *l;
    GW_TRY(gw_lora_read(&m->cfg, &m->arith, dir, &l, err));
    gw_lora_attach(m, l);
    return GWEN_OK;
}

/* --- writing -------------------------------------------------------------------------------- */

static void put_layers(struct gw_str *s, const struct gw_lora *l) {
    bool all = true;
    size_t n = 0;
    for (size_t i = 0; i < l->n_layers; i++) all = all && l->layers[i];
    if (all) {
        gw_str_puts(s, "null");
        return;
    }
    gw_str_putc(s, '[');
    for (size_t i = 0; i < l->n_layers; i++)
        if (l->layers[i]) gw_str_printf(s, "%s%zu", n++ > 0 ? ", " : "", i);
    gw_str_putc(s, ']');
}

static void put_config(struct gw_str *s, const struct gw_lora *l) {
    size_t n = 0;
    gw_str_puts(s, "{\n  \"base_model_name_or_path\": ");
    if (l->base_model != NULL)
        gw_str_put_json(s, l->base_model, strlen(l->base_model));
    else
        gw_str_puts(s, "null");
    gw_str_puts(s, ",\n  \"bias\": \"none\",\n  \"fan_in_fan_out\": false,\n"
                   "  \"inference_mode\": true,\n  \"init_lora_weights\": true,\n"
                   "  \"layers_to_transform\": ");
    put_layers(s, l);
    gw_str_puts(s, ",\n  \"lora_alpha\": ");
    gw_str_put_real(s, l->opts.alpha); /* a run that is resumed reads it back */
    gw_str_puts(s, ",\n  \"lora_dropout\": 0.0,\n");
    gw_str_printf(s, "  \"modules_to_save\": null,\n  \"peft_type\": \"LORA\",\n  \"r\": %zu,\n",
                  l->opts.r);
    gw_str_puts(s, "  \"target_modules\": [");
    for (size_t i = 0; i < GW_LORA_MODULES; i++)
        if (l->opts.modules[i]) gw_str_printf(s, "%s\"%s\"", n++ > 0 ? ", " : "", names[i]);
    gw_str_printf(s,
                  "],\n  \"task_type\": \"CAUSAL_LM\",\n  \"use_dora\": false,\n"
                  "  \"use_rslora\": %s\n}\n",
                  l->opts.rslora ? "true" : "false");
}

static enum gwen_status write_tensors(const struct gw_lora *l, const char *path,
                                      struct gwen_err *err) {
    const struct gw_meta meta = {"format", "pt"};
    struct gw_tensor *tensors = calloc(l->params.n, sizeof *tensors);
    if (tensors == NULL) return gw_nomem(err, l->params.n * sizeof *tensors, "an adapter");
    for (size_t i = 0; i < l->params.n; i++) {
        const struct gw_param *p = &l->params.list[i];
        tensors[i] = (struct gw_tensor){.name = p->name,
                                        .dtype = GW_DTYPE_F32,
                                        .rank = 2,
                                        .shape = {p->shape[0], p->shape[1]},
                                        .data = l->values + p->offset};
    }
    enum gwen_status status =
        gw_safetensors_write(path, tensors, l->params.n, &meta, 1, NULL, NULL, err);
    free(tensors);
    return status;
}

enum gwen_status gw_lora_save(const struct gw_lora *l, const char *dir, struct gwen_err *err) {
    struct gw_str path = {0}, config = {0};
    enum gwen_status status = gw_dir_make(dir, err);
    if (status == GWEN_OK) status = gw_path_join(&path, dir, "adapter_model.safetensors", err);
    if (status == GWEN_OK) status = write_tensors(l, path.data, err);
    gw_str_free(&path);
    put_config(&config, l);
    if (status == GWEN_OK && config.failed) status = gw_nomem(err, config.cap, dir);
    if (status == GWEN_OK) status = gw_path_join(&path, dir, "adapter_config.json", err);
    if (status == GWEN_OK) status = gw_file_write(path.data, config.data, config.len, err);
    gw_str_free(&path);
    gw_str_free(&config);
    return status;
}

/* lora_file.c - PEFT's adapter directories; see lora.h. */
#include "model/lora.h"

#include "base/file.h"
#include "base/json.h"
#include "checkpoint/safetensors/safetensors.h"

#include <stdlib.h>
#include <string.h>

enum { CONFIG_BYTES = 1 << 20 };

/* --- reading -------------------------------------------------------------------------------- */

/* A tensor [rows][cols] of any float type as floats. */
static enum gwen_status read_tensor(const struct gwen_kernels *kern,
                                    const struct gw_safetensors *st, const char *name, size_t rows,
                                    size_t cols, float *to, struct gwen_err *err) {
    const struct gw_tensor *t;
    GW_TRY(gw_safetensors_get(st, name, GW_DTYPE_NONE, 2, (size_t[]){rows, cols}, &t, err));
    switch (t->dtype) {
    case GW_DTYPE_F32: memcpy(to, t->data, t->bytes); break;
    case GW_DTYPE_F16: kern->f16_to_f32(to, t->data, t->n_elem); break;
    case GW_DTYPE_BF16: kern->bf16_to_f32(to, t->data, t->n_elem); break;
    default:
        return gw_fail(err, GWEN_ERR_UNSUPPORTED, "tensor %s is %s: float types are supported",
                       name, gw_dtype_name(t->dtype));
    }
    return GWEN_OK;
}

/* The tensors of a module; a rank below the adapter's gets zeros behind it, in A and in B, which
 * add nothing.  Its own scale goes into B, where it is not the adapter's. */
static enum gwen_status read_module(const struct gwen_kernels *kern,
                                    const struct gw_safetensors *st, struct gw_lora *l,
                                    const struct gw_param *a, const struct gw_param *b,
                                    const struct gw_lora_choice *choice, struct gwen_err *err) {
    const size_t r = choice->r, most = l->opts.r, rows = b->shape[0];
    float *to = l->values + b->offset;
    GW_TRY(read_tensor(kern, st, a->name, r, a->shape[1], l->values + a->offset, err));
    GW_TRY(read_tensor(kern, st, b->name, rows, r, to, err));
    const float scale = gw_lora_choice_scale(&l->opts, choice);
    const double ratio = scale == l->scale ? 1 : (double)scale / (double)l->scale;
    for (size_t i = rows; i-- > 0 && (r < most || ratio != 1);) { /* from the last on: in place */
        memmove(to + i * most, to + i * r, r * sizeof *to);
        memset(to + i * most + r, 0, (most - r) * sizeof *to);
        for (size_t j = 0; j < r; j++) to[i * most + j] = (float)((double)to[i * most + j] * ratio);
    }
    return GWEN_OK;
}

static enum gwen_status read_modules(const struct gw_arith *arith, const struct gw_safetensors *st,
                                     struct gw_lora *l, struct gwen_err *err) {
    const struct gw_param *p = l->params.list; /* of a site, all A, then all B */
    for (size_t i = 0; i < l->n_layers * GW_SITES; i++) {
        const struct gw_lora_site *site = &l->sites[i / GW_SITES][i % GW_SITES];
        for (size_t j = 0; j < site->n_parts; j++)
            GW_TRY(read_module(arith->kern, st, l, p + j, p + site->n_parts + j,
                               &l->choices[i / GW_SITES * GW_LORA_MODULES + site->parts[j].module],
                               err));
        p += 2 * site->n_parts;
    }
    return GWEN_OK;
}

static enum gwen_status read_tensors(const struct gw_arith *arith, const char *path,
                                     struct gw_lora *l, struct gwen_err *err) {
    struct gw_safetensors *st = NULL;
    enum gwen_status status = gw_safetensors_open(path, &st, err);
    if (status == GWEN_OK) status = read_modules(arith, st, l, err);
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

/* DIR/adapter_config.json; *choices is to be freed. */
static enum gwen_status load_config(const char *dir, const struct gw_config *cfg,
                                    struct gw_json_doc *doc, struct gw_lora_choice **choices,
                                    struct gw_lora_opts *opts, struct gwen_err *err) {
    struct gw_str path = {0};
    bool there;
    *choices = NULL;
    GW_TRY(gw_dir_find(dir, &there, err));
    if (!there) return gw_fail(err, GWEN_ERR_IO, "adapter %.300s: no such directory", dir);
    *choices = calloc(cfg->n_layers * GW_LORA_MODULES, sizeof **choices);
    if (*choices == NULL)
        return gw_nomem(err, cfg->n_layers * GW_LORA_MODULES * sizeof **choices, "an adapter");
    enum gwen_status status = gw_path_join(&path, dir, "adapter_config.json", err);
    if (status == GWEN_OK) status = gw_json_load(path.data, CONFIG_BYTES, doc, err);
    if (status == GWEN_OK) status = gw_lora_parse(doc, cfg, *choices, opts, err);
    gw_str_free(&path);
    return status;
}

enum gwen_status gw_lora_measure(const char *dir, enum gw_panel_format format,
                                 struct gw_config *cfg, struct gwen_err *err) {
    struct gw_json_doc doc = {0};
    struct gw_lora_opts opts;
    struct gw_lora_choice *choices;
    enum gwen_status status = load_config(dir, cfg, &doc, &choices, &opts, err);
    if (status == GWEN_OK) gw_lora_plan(cfg, format, &opts);
    gw_json_free(&doc);
    free(choices);
    return status;
}

enum gwen_status gw_lora_read(const struct gw_config *cfg, const struct gw_arith *arith,
                              const char *dir, struct gw_lora **out, struct gwen_err *err) {
    struct gw_json_doc doc = {0};
    struct gw_str path = {0};
    struct gw_lora_opts opts;
    struct gw_lora *l = NULL;
    struct gw_lora_choice *choices;
    *out = NULL;
    enum gwen_status status = load_config(dir, cfg, &doc, &choices, &opts, err);
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
    free(choices);
    return status;
}

enum gwen_status gw_lora_load(struct gw_model *m, const char *dir, struct gwen_err *err) {
    struct gw_lora *l;
    GW_TRY(gw_lora_read(&m->cfg, &m->arith, dir, &l, err));
    gw_lora_attach(m, l);
    return GWEN_OK;
}

/* --- writing -------------------------------------------------------------------------------- */

static bool adapts(const struct gw_lora *l, size_t layer, size_t module) {
    return l->choices[layer * GW_LORA_MODULES + module].r > 0;
}

static bool adapts_layer(const struct gw_lora *l, size_t layer) {
    bool any = false;
    for (size_t m = 0; m < GW_LORA_MODULES; m++) any = any || adapts(l, layer, m);
    return any;
}

static bool adapts_module(const struct gw_lora *l, size_t module) {
    bool any = false;
    for (size_t i = 0; i < l->n_layers; i++) any = any || adapts(l, i, module);
    return any;
}

/* Whether every adapted layer has the same modules. */
static bool is_regular(const struct gw_lora *l) {
    for (size_t i = 0; i < l->n_layers; i++)
        for (size_t m = 0; m < GW_LORA_MODULES; m++)
            if (adapts(l, i, m) != (adapts_layer(l, i) && adapts_module(l, m))) return false;
    return true;
}

static void put_layers(struct gw_str *s, const struct gw_lora *l) {
    bool all = true;
    size_t n = 0;
    for (size_t i = 0; i < l->n_layers; i++) all = all && adapts_layer(l, i);
    if (all || !is_regular(l)) {
        gw_str_puts(s, "null");
        return;
    }
    gw_str_putc(s, '[');
    for (size_t i = 0; i < l->n_layers; i++)
        if (adapts_layer(l, i)) gw_str_printf(s, "%s%zu", n++ > 0 ? ", " : "", i);
    gw_str_putc(s, ']');
}

/* The names of the modules, or where layers differ, every one's full name. */
static void put_modules(struct gw_str *s, const struct gw_lora *l) {
    const bool regular = is_regular(l);
    size_t n = 0;
    for (size_t i = 0; i < (regular ? 1 : l->n_layers); i++)
        for (size_t m = 0; m < GW_LORA_MODULES; m++) {
            if (!(regular ? adapts_module(l, m) : adapts(l, i, m))) continue;
            gw_str_puts(s, n++ > 0 ? ", \"" : "\"");
            if (!regular)
                gw_str_printf(s, "model.layers.%zu.%s.", i, m <= GW_LORA_O ? "self_attn" : "mlp");
            gw_str_printf(s, "%s\"", gw_lora_module_name((enum gw_lora_module)m));
        }
}

static void put_config(struct gw_str *s, const struct gw_lora *l) {
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
    put_modules(s, l);
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

/* adapter.c - see adapter.h. */
#include "service/train/adapter.h"

#include "base/parse.h"

#include <stdlib.h>
#include <string.h>

const char *gw_adapter_option(size_t i) {
    static const char *const names[] = {"lora_r",     "lora_alpha",          "lora_dropout",
                                        "use_rslora", "lora_target_modules", "layers_to_transform"};
    return i < GW_ARRAY_LEN(names) ? names[i] : NULL;
}

/* The next word of a list with commas, as a string; false at its end. */
static bool next_word(const char **at, char word[GW_MAX_LIST]) {
    if (**at == '\0') return false;
    const size_t len = strcspn(*at, ",");
    memcpy(word, *at, len);
    word[len] = '\0';
    *at += len + ((*at)[len] == ',');
    return true;
}

static enum gwen_status take_module(const char *name, bool modules[GW_LORA_MODULES],
                                    struct gwen_err *err) {
    const bool all = strcmp(name, "all-linear") == 0;
    bool found = false;
    for (int i = 0; i < GW_LORA_MODULES; i++) {
        if (!all && strcmp(name, gw_lora_module_name((enum gw_lora_module)i)) != 0) continue;
        modules[i] = found = true;
    }
    if (found) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_ARGUMENT,
                   "lora_target_modules: \"%s\" is not one of q_proj, k_proj, v_proj, o_proj, "
                   "gate_proj, up_proj, down_proj, all-linear",
                   name);
}

static enum gwen_status take_layer(const char *text, size_t n_layers, bool *layers,
                                   struct gwen_err *err) {
    uint64_t layer;
    if (!gw_parse_u64(text, &layer) || layer >= n_layers)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "layers_to_transform: expected numbers from 0 to %zu, not \"%s\"",
                       n_layers - 1, text);
    layers[layer] = true;
    return GWEN_OK;
}

/* layers[n_layers] is what o->layers points to. */
static enum gwen_status read_options(const struct gw_train_config *c, size_t n_layers, bool *layers,
                                     struct gw_lora_opts *o, struct gwen_err *err) {
    char word[GW_MAX_LIST];
    *o = (struct gw_lora_opts){
        .r = c->lora_r, .alpha = c->lora_alpha, .rslora = c->use_rslora, .layers = layers};
    if (c->lora_dropout != 0)
        return gw_fail(err, GWEN_ERR_UNSUPPORTED, "lora_dropout %g is not supported: only 0 is",
                       c->lora_dropout);
    const char *at = c->lora_target_modules[0] != '\0' ? c->lora_target_modules : "q_proj,v_proj";
    while (next_word(&at, word)) GW_TRY(take_module(word, o->modules, err));
    at = c->layers_to_transform;
    for (size_t i = 0; i < n_layers; i++) layers[i] = *at == '\0';
    while (next_word(&at, word)) GW_TRY(take_layer(word, n_layers, layers, err));
    return GWEN_OK;
}

enum gwen_status gw_adapter_plan(const struct gw_train_config *c, enum gw_panel_format format,
                                 struct gw_config *cfg, struct gwen_err *err) {
    struct gw_lora_opts opts;
    bool *layers = calloc(cfg->n_layers, sizeof *layers);
    if (layers == NULL) return gw_nomem(err, cfg->n_layers, "an adapter");
    enum gwen_status status = read_options(c, cfg->n_layers, layers, &opts, err);
    if (status == GWEN_OK) gw_lora_plan(cfg, format, &opts);
    free(layers);
    return status;
}

enum gwen_status gw_adapter_create(const struct gw_train_config *c, struct gw_model *model,
                                   struct gwen_err *err) {
    struct gw_lora_opts opts;
    bool *layers = calloc(model->cfg.n_layers, sizeof *layers);
    if (layers == NULL) return gw_nomem(err, model->cfg.n_layers, "an adapter");
    enum gwen_status status = read_options(c, model->cfg.n_layers, layers, &opts, err);
    if (status == GWEN_OK) status = gw_lora_create(model, &opts, c->seed, err);
    free(layers);
    return status;
}

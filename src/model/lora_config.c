/* lora_config.c - adapter_config.json: what is adapted, and with which rank and scale, by PEFT's
 * own rules of matching; see lora.h.
 *
 * target_modules and exclude_modules are lists of names or of their ends behind a dot, or one
 * regular expression for the whole name ("model.layers.0.self_attn.q_proj"); the keys of
 * rank_pattern and alpha_pattern are expressions for the name's end behind a dot, of which the
 * first that matches counts.  Python's dialect is PCRE2's for such names but for what check_dialect
 * refuses. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/json.h"
#include "model/lora.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
                                       "exclude_modules",
                                       "rank_pattern",
                                       "alpha_pattern",
                                       "layers_pattern",
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

/* --- matching ------------------------------------------------------------------------------- */

enum {
    PATTERN_BYTES = 4096,
    MATCH_STEPS = 10000, /* of one name: what runs away ends in the blink of an eye */
    MATCH_KIB = 1024,
    MATCH_NAMES = 1 << 18 /* names times expressions of one file */
};

struct expression {
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *context;
};

static void free_expression(struct expression *e) {
    pcre2_match_context_free(e->context);
    pcre2_match_data_free(e->data);
    pcre2_code_free(e->code);
    *e = (struct expression){0};
}

/* What PCRE2 has and Python's re has not, or has with another meaning. */
static enum gwen_status check_dialect(struct gw_json_node at, const char *text,
                                      struct gwen_err *err) {
    static const char *const others[] = {
        "(*",  "(?|", "(?R", "(?&", "(?+", "(?-1", "(?C", "[:",  "\\K", "\\Q", "\\R", "\\h",
        "\\H", "\\G", "\\X", "\\Z", "\\z", "\\p",  "\\P", "\\g", "\\k", "\\o", "\\c", "\\e"};
    for (size_t i = 0; i < GW_ARRAY_LEN(others); i++)
        if (strstr(text, others[i]) != NULL)
            return gw_json_fail(at, err, GWEN_ERR_UNSUPPORTED,
                                "%s in a regular expression is not supported", others[i]);
    return GWEN_OK;
}

/* Compiles an expression for whole names; `end`: for what stands behind any dot of them.  To be
 * freed, whether or not it fails. */
static enum gwen_status compile(struct gw_json_node at, const char *text, bool end,
                                struct expression *e, struct gwen_err *err) {
    char whole[PATTERN_BYTES + 16];
    int code;
    PCRE2_SIZE offset;
    *e = (struct expression){0};
    if (strlen(text) > PATTERN_BYTES)
        return gw_json_fail(at, err, GWEN_ERR_UNSUPPORTED,
                            "a regular expression of more than %d bytes is not supported",
                            PATTERN_BYTES);
    GW_TRY(check_dialect(at, text, err));
    snprintf(whole, sizeof whole, end ? "(?:.*\\.)?(%s)" : "%s", text);
    e->code =
        pcre2_compile((PCRE2_SPTR)whole, PCRE2_ZERO_TERMINATED,
                      PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C,
                      &code, &offset, NULL);
    if (e->code == NULL) {
        PCRE2_UCHAR message[128];
        if (code == PCRE2_ERROR_NOMEMORY || code == 121)
            return gw_nomem(err, strlen(whole), "a regular expression");
        pcre2_get_error_message(code, message, sizeof message);
        return gw_json_fail(at, err, GWEN_ERR_FORMAT, "not a regular expression: %s",
                            (const char *)message);
    }
    e->data = pcre2_match_data_create(1, NULL);
    e->context = pcre2_match_context_create(NULL);
    if (e->data == NULL || e->context == NULL) return gw_nomem(err, 1024, "a regular expression");
    pcre2_set_match_limit(e->context, MATCH_STEPS);
    pcre2_set_depth_limit(e->context, MATCH_STEPS);
    pcre2_set_heap_limit(e->context, MATCH_KIB);
    return GWEN_OK;
}

static enum gwen_status matches(struct gw_json_node at, const struct expression *e,
                                const char *name, bool *yes, struct gwen_err *err) {
    const int rc = pcre2_match(e->code, (PCRE2_SPTR)name, strlen(name), 0, 0, e->data, e->context);
    *yes = rc >= 0;
    if (rc >= 0 || rc == PCRE2_ERROR_NOMATCH) return GWEN_OK;
    if (rc == PCRE2_ERROR_NOMEMORY) return gw_nomem(err, MATCH_KIB, "a regular expression");
    return gw_json_fail(at, err, GWEN_ERR_UNSUPPORTED,
                        "the regular expression takes too long for %s", name);
}

/* The name itself or its end behind a dot. */
static bool names_it(const char *target, const char *name) {
    const size_t n = strlen(name), m = strlen(target);
    return n >= m && strcmp(name + n - m, target) == 0 && (n == m || name[n - m - 1] == '.');
}

/* target_modules or exclude_modules. */
struct selection {
    struct gw_json_node node; /* v NULL: nothing */
    struct expression expression;
    bool is_expression;
    bool all_linear;
};

static enum gwen_status read_selection(struct gw_json_node root, const char *key,
                                       struct selection *s, struct gwen_err *err) {
    const char *text;
    *s = (struct selection){0};
    if (!gw_json_find(root, key, &s->node) || gw_json_is_null(s->node)) {
        s->node.v = NULL;
        return GWEN_OK;
    }
    if (gw_json_is_string(s->node)) {
        GW_TRY(gw_json_as_string(s->node, &text, err));
        s->all_linear = strcmp(text, "all-linear") == 0;
        s->is_expression = !s->all_linear;
        for (int i = 0; i < GW_LORA_MODULES; i++) /* one name, as it is meant */
            if (strcmp(text, names[i]) == 0)
                return compile(s->node, text, true, &s->expression, err);
        return s->is_expression ? compile(s->node, text, false, &s->expression, err) : GWEN_OK;
    }
    GW_TRY(gw_json_get_array(root, key, GW_JSON_REQUIRED, &s->node, err));
    for (struct gw_json_node i = gw_json_first(s->node); i.v != NULL; i = gw_json_next(i))
        GW_TRY(gw_json_as_string(i, &text, err));
    return GWEN_OK;
}

/* Whether the selection has the module of this name; *whole: by its full name. */
static enum gwen_status selects(const struct selection *s, const char *name, bool linear, bool *yes,
                                bool *whole, struct gwen_err *err) {
    const char *text;
    *yes = *whole = false;
    if (s->node.v == NULL) return GWEN_OK;
    if (s->is_expression) return matches(s->node, &s->expression, name, yes, err);
    if (s->all_linear) {
        *yes = linear;
        return GWEN_OK;
    }
    for (struct gw_json_node i = gw_json_first(s->node); i.v != NULL; i = gw_json_next(i)) {
        GW_TRY(gw_json_as_string(i, &text, err));
        *yes = *yes || names_it(text, name);
        *whole = *whole || strcmp(text, name) == 0;
    }
    return GWEN_OK;
}

/* --- which modules -------------------------------------------------------------------------- */

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

/* layers_pattern: null, empty, or a name of the list of layers, which here is "layers"; others
 * would find no layer at all. */
static enum gwen_status check_layers_pattern(struct gw_json_node root, struct gwen_err *err) {
    struct gw_json_node n, i;
    const char *text;
    if (!gw_json_find(root, "layers_pattern", &n) || is_off(n)) return GWEN_OK;
    const bool list = gw_json_is_array(n);
    for (i = list ? gw_json_first(n) : n; i.v != NULL; i = gw_json_next(i)) {
        GW_TRY(gw_json_as_string(i, &text, err));
        if (text[0] == 0 || strcmp(text, "layers") == 0) return GWEN_OK;
        if (!list) break;
    }
    char shown[80];
    gw_json_show(n, shown, sizeof shown);
    return gw_json_fail(n, err, GWEN_ERR_UNSUPPORTED,
                        "%s finds no layers: in this model they are \"layers\"", shown);
}

/* The modules of a model that have no adapter here: PEFT refuses them or adapts them. */
static enum gwen_status refuse_target(const struct selection *targets,
                                      const struct selection *exclude, const char *name,
                                      struct gwen_err *err) {
    bool yes, excluded, whole;
    GW_TRY(selects(exclude, name, false, &excluded, &whole, err));
    if (excluded) return GWEN_OK;
    GW_TRY(selects(targets, name, false, &yes, &whole, err));
    if (!yes) return GWEN_OK;
    return gw_json_fail(targets->node, err, GWEN_ERR_UNSUPPORTED,
                        "\"%s\" cannot have an adapter: only q_proj, k_proj, v_proj, o_proj, "
                        "gate_proj, up_proj, down_proj can",
                        name);
}

static enum gwen_status refuse_targets(const struct selection *targets,
                                       const struct selection *exclude, const struct gw_config *cfg,
                                       struct gwen_err *err) {
    static const char *const global[] = {"lm_head",      "model.embed_tokens", "model.norm",
                                         "model.layers", "model.rotary_emb",   "model"};
    static const char *const local[] = {"",
                                        ".self_attn",
                                        ".mlp",
                                        ".mlp.act_fn",
                                        ".input_layernorm",
                                        ".post_attention_layernorm",
                                        ".self_attn.q_norm",
                                        ".self_attn.k_norm"};
    const size_t n_local = GW_ARRAY_LEN(local) - (cfg->qk_norm ? 0 : 2);
    char name[GW_TENSOR_NAME_MAX];
    for (size_t i = 0; i < GW_ARRAY_LEN(global); i++)
        GW_TRY(refuse_target(targets, exclude, global[i], err));
    for (size_t layer = 0; layer < cfg->n_layers; layer++)
        for (size_t i = 0; i < n_local; i++) {
            snprintf(name, sizeof name, "model.layers.%zu%s", layer, local[i]);
            GW_TRY(refuse_target(targets, exclude, name, err));
        }
    return GWEN_OK;
}

/* Gives r and alpha to the modules that are adapted. */
static enum gwen_status choose(const struct selection *targets, const struct selection *exclude,
                               const struct gw_config *cfg, const bool *layers,
                               struct gw_lora_opts *o, struct gw_lora_choice *choices,
                               struct gwen_err *err) {
    for (size_t i = 0; i < cfg->n_layers * GW_LORA_MODULES; i++) {
        char name[GW_TENSOR_NAME_MAX];
        bool yes, excluded, whole, unused;
        choices[i] = (struct gw_lora_choice){0};
        gw_lora_full_name(cfg, i / GW_LORA_MODULES, (enum gw_lora_module)(i % GW_LORA_MODULES),
                          name);
        GW_TRY(selects(exclude, name, true, &excluded, &unused, err));
        GW_TRY(selects(targets, name, true, &yes, &whole, err));
        if (!yes || excluded || !(whole || layers[i / GW_LORA_MODULES])) continue;
        choices[i] = (struct gw_lora_choice){o->r, o->alpha};
    }
    return refuse_targets(targets, exclude, cfg, err);
}

static enum gwen_status read_choices(struct gw_json_node root, const struct gw_config *cfg,
                                     struct gw_lora_opts *o, struct gw_lora_choice *choices,
                                     struct gwen_err *err) {
    struct selection targets, exclude = {0};
    bool *layers = calloc(cfg->n_layers, sizeof *layers);
    if (layers == NULL) return gw_nomem(err, cfg->n_layers, "an adapter");
    enum gwen_status status = read_selection(root, "target_modules", &targets, err);
    if (status == GWEN_OK && targets.node.v == NULL)
        status = gw_json_fail(root, err, GWEN_ERR_FORMAT, "target_modules is missing");
    if (status == GWEN_OK) status = read_selection(root, "exclude_modules", &exclude, err);
    if (status == GWEN_OK) status = read_layers(root, cfg->n_layers, layers, err);
    if (status == GWEN_OK) status = check_layers_pattern(root, err);
    if (status == GWEN_OK) status = choose(&targets, &exclude, cfg, layers, o, choices, err);
    free_expression(&targets.expression);
    free_expression(&exclude.expression);
    free(layers);
    return status;
}

/* --- ranks and scales of their own ---------------------------------------------------------- */

/* One entry of rank_pattern or alpha_pattern; done[n_layers * GW_LORA_MODULES]: those that an
 * earlier entry matched. */
static enum gwen_status apply_entry(struct gw_json_node entry, bool is_rank,
                                    const struct gw_config *cfg, bool *done,
                                    struct gw_lora_choice *choices, struct gwen_err *err) {
    struct expression e;
    int64_t r = 0;
    double alpha = 0;
    GW_TRY(is_rank ? gw_json_as_i64(entry, 1, 1 << 14, &r, err)
                   : gw_json_as_double(entry, 0, 1e9, &alpha, err));
    enum gwen_status status = compile(entry, gw_json_key(entry), true, &e, err);
    for (size_t i = 0; i < cfg->n_layers * GW_LORA_MODULES && status == GWEN_OK; i++) {
        char name[GW_TENSOR_NAME_MAX];
        bool yes;
        if (choices[i].r == 0 || done[i]) continue;
        gw_lora_full_name(cfg, i / GW_LORA_MODULES, (enum gw_lora_module)(i % GW_LORA_MODULES),
                          name);
        status = matches(entry, &e, name, &yes, err);
        if (status != GWEN_OK || !yes) continue;
        done[i] = true;
        if (is_rank)
            choices[i].r = (size_t)r;
        else
            choices[i].alpha = alpha;
    }
    free_expression(&e);
    return status;
}

static enum gwen_status apply_pattern(struct gw_json_node root, const char *key,
                                      const struct gw_config *cfg, struct gw_lora_choice *choices,
                                      struct gwen_err *err) {
    struct gw_json_node n;
    const size_t n_choices = cfg->n_layers * GW_LORA_MODULES;
    if (!gw_json_find(root, key, &n) || is_off(n)) return GWEN_OK;
    if (!gw_json_is_object(n))
        return gw_json_fail(n, err, GWEN_ERR_FORMAT, "expected a JSON object");
    if (gw_json_size(n) > MATCH_NAMES / n_choices)
        return gw_json_fail(n, err, GWEN_ERR_UNSUPPORTED, "more than %zu entries",
                            MATCH_NAMES / n_choices);
    bool *done = calloc(n_choices, sizeof *done);
    if (done == NULL) return gw_nomem(err, n_choices, "an adapter");
    enum gwen_status status = GWEN_OK;
    for (n = gw_json_first(n); n.v != NULL && status == GWEN_OK; n = gw_json_next(n))
        status = apply_entry(n, strcmp(key, "rank_pattern") == 0, cfg, done, choices, err);
    free(done);
    return status;
}

enum gwen_status gw_lora_parse(const struct gw_json_doc *doc, const struct gw_config *cfg,
                               struct gw_lora_choice *choices, struct gw_lora_opts *o,
                               struct gwen_err *err) {
    const struct gw_json_node root = gw_json_root(doc);
    const char *type = "LORA", *bias = "none";
    *o = (struct gw_lora_opts){.choices = choices};
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
    GW_TRY(read_choices(root, cfg, o, choices, err));
    GW_TRY(apply_pattern(root, "rank_pattern", cfg, choices, err));
    GW_TRY(apply_pattern(root, "alpha_pattern", cfg, choices, err));
    const size_t r = o->r;
    o->r = 0;
    for (size_t i = 0; i < cfg->n_layers * GW_LORA_MODULES; i++) {
        if (choices[i].r == 0) continue;
        o->r = GW_MAX(o->r, choices[i].r);
        o->own_ranks = o->own_ranks || choices[i].r != r || choices[i].alpha != o->alpha;
    }
    if (o->r == 0)
        return gw_json_fail(root, err, GWEN_ERR_FORMAT,
                            "target_modules and layers_to_transform "
                            "leave nothing to adapt");
    return GWEN_OK;
}

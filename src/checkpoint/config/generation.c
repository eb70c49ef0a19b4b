/* generation.c - generation_config.json (see generation.h). */
#include "checkpoint/config/generation.h"

#include "base/file.h"
#include "base/json.h"
#include "checkpoint/config/impl.h"

#include <stdio.h>
#include <string.h>

enum { GW_GENERATION_MAX_BYTES = 1 << 20 };

/* Settings of transformers that change what is sampled, with the value at which they do nothing
 * (besides null, false and empty lists). */
static const struct {
    const char *name;
    double neutral;
} unsupported[] = {
    {"num_beams", 1},
    {"penalty_alpha", 0},
    {"typical_p", 1},
    {"epsilon_cutoff", 0},
    {"eta_cutoff", 0},
    {"top_h", 1},
    {"encoder_repetition_penalty", 1},
    {"no_repeat_ngram_size", 0},
    {"encoder_no_repeat_ngram_size", 0},
    {"min_length", 0},
    {"min_new_tokens", 0},
    {"bad_words_ids", 0},
    {"force_words_ids", 0},
    {"forced_bos_token_id", -1},
    {"forced_eos_token_id", -1},
    {"suppress_tokens", 0},
    {"begin_suppress_tokens", 0},
    {"sequence_bias", 0},
    {"exponential_decay_length_penalty", 0},
    {"guidance_scale", 1},
    {"dola_layers", 0},
};

static bool is_off(struct gw_json_node v, double neutral) {
    if (gw_json_is_null(v)) return true;
    if (gw_json_is_bool(v)) return !cJSON_IsTrue(v.v);
    if (gw_json_is_number(v)) return v.v->valuedouble == neutral;
    return !gw_json_is_string(v) && gw_json_first(v).v == NULL;
}

static void note_unsupported(struct gw_json_node root, struct gw_generation_config *g) {
    for (size_t i = 0; i < GW_ARRAY_LEN(unsupported); i++) {
        struct gw_json_node v;
        if (!gw_json_find(root, unsupported[i].name, &v) || is_off(v, unsupported[i].neutral))
            continue;
        char shown[48];
        gw_json_show(v, shown, sizeof shown);
        snprintf(g->unsupported, sizeof g->unsupported, "%s %s", unsupported[i].name, shown);
        return;
    }
}

static enum gwen_status parse_root(struct gw_json_node root, struct gw_generation_config *g,
                                   struct gwen_err *err) {
    if (!gw_json_is_object(root))
        return gw_json_fail(root, err, GWEN_ERR_FORMAT, "expected a JSON object");
    GW_TRY(gw_config_parse_ids(root, "eos_token_id", g->eos_ids, &g->n_eos, err));
    GW_TRY(gw_config_parse_id(root, "bos_token_id", &g->bos_id, err));
    GW_TRY(gw_config_parse_id(root, "pad_token_id", &g->pad_id, err));
    GW_TRY(gw_json_get_bool(root, "do_sample", GW_JSON_OPTIONAL, &g->do_sample, err));
    g->has_do_sample = gw_json_has(root, "do_sample");
    const struct {
        const char *key;
        double min, max, *out;
        bool *has;
    } reals[] = {
        {"temperature", 0, 1e6, &g->temperature, &g->has_temperature},
        {"top_p", 0, 1, &g->top_p, &g->has_top_p},
        {"min_p", 0, 1, &g->min_p, &g->has_min_p},
        {"repetition_penalty", 1e-6, 1e6, &g->repetition_penalty, &g->has_repetition_penalty},
    };
    for (size_t i = 0; i < GW_ARRAY_LEN(reals); i++) {
        GW_TRY(gw_json_get_double(root, reals[i].key, GW_JSON_OPTIONAL, reals[i].min, reals[i].max,
                                  reals[i].out, err));
        *reals[i].has = gw_json_has(root, reals[i].key);
    }
    int64_t top_k = 0; /* 0 and less, often -1: off */
    GW_TRY(gw_json_get_i64(root, "top_k", GW_JSON_OPTIONAL, INT32_MIN, INT32_MAX, &top_k, err));
    g->top_k = top_k > 0 ? (size_t)top_k : 0;
    g->has_top_k = gw_json_has(root, "top_k");
    GW_TRY(gw_json_get_size(root, "max_new_tokens", GW_JSON_OPTIONAL, 1, INT32_MAX,
                            &g->max_new_tokens, err));
    g->has_max_new_tokens = gw_json_has(root, "max_new_tokens");
    note_unsupported(root, g);
    return GWEN_OK;
}

enum gwen_status gw_generation_config_parse(const char *text, size_t len, const char *name,
                                            struct gw_generation_config *g, struct gwen_err *err) {
    *g = (struct gw_generation_config){.bos_id = -1, .pad_id = -1};
    struct gw_json_doc doc;
    GW_TRY(gw_json_parse(text, len, name, &doc, err));
    enum gwen_status status = parse_root(gw_json_root(&doc), g, err);
    gw_json_free(&doc);
    return status;
}

enum gwen_status gw_generation_config_load(const char *dir, struct gw_generation_config *g,
                                           struct gwen_err *err) {
    *g = (struct gw_generation_config){.bos_id = -1, .pad_id = -1};
    struct gw_str path = {0}, text = {0};
    enum gwen_status status = gw_path_join(&path, dir, "generation_config.json", err);
    bool there = false;
    if (status == GWEN_OK) status = gw_file_find(path.data, &there, err);
    if (status == GWEN_OK && there) {
        status = gw_file_read(path.data, GW_GENERATION_MAX_BYTES, &text, err);
        if (status == GWEN_OK)
            status = gw_generation_config_parse(text.data, text.len, path.data, g, err);
    }
    gw_str_free(&text);
    gw_str_free(&path);
    return status;
}

struct gw_eos gw_generation_eos(const struct gw_generation_config *g, const struct gw_config *c) {
    return g->n_eos > 0 ? (struct gw_eos){g->eos_ids, g->n_eos}
                        : (struct gw_eos){c->eos_ids, c->n_eos};
}

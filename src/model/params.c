/* params.c - see params.h. */
#include "model/params.h"

#include <stdio.h>
#include <stdlib.h>

enum { ALIGN = 16 }; /* floats */

/* The order in memory; kinds that follow one another without a gap are marked. */
static const struct {
    enum gw_tensor_kind kind;
    bool joined; /* to the one before */
} order[] = {
    {GW_TENSOR_Q, false},         {GW_TENSOR_K, true},          {GW_TENSOR_V, true},
    {GW_TENSOR_O, false},         {GW_TENSOR_GATE, false},      {GW_TENSOR_UP, true},
    {GW_TENSOR_DOWN, false},      {GW_TENSOR_ATTN_NORM, false}, {GW_TENSOR_MLP_NORM, false},
    {GW_TENSOR_Q_NORM, false},    {GW_TENSOR_K_NORM, false},    {GW_TENSOR_Q_BIAS, false},
    {GW_TENSOR_K_BIAS, true},     {GW_TENSOR_V_BIAS, true},     {GW_TENSOR_O_BIAS, false},
    {GW_TENSOR_GATE_BIAS, false}, {GW_TENSOR_UP_BIAS, true},    {GW_TENSOR_DOWN_BIAS, false},
};

static size_t elements(const struct gw_config *cfg, enum gw_tensor_kind kind, size_t layer) {
    struct gw_tensor_spec spec;
    gw_config_tensor(cfg, kind, layer, &spec);
    return spec.shape[0] * (spec.rank == 2 ? spec.shape[1] : 1);
}

/* Offsets of a layer's tensors from its beginning (NULL: not wanted); returns its floats. */
static size_t lay_out_layer(const struct gw_config *cfg, size_t offsets[GW_TENSOR_KIND_COUNT]) {
    size_t used = 0;
    for (size_t i = 0; i < GW_ARRAY_LEN(order); i++) {
        if (!gw_config_has_tensor(cfg, order[i].kind)) continue;
        if (!order[i].joined) used = gw_round_up(used, ALIGN);
        if (offsets != NULL) offsets[order[i].kind] = used;
        used += elements(cfg, order[i].kind, 0);
    }
    return gw_round_up(used, ALIGN);
}

static size_t rounded(const struct gw_config *cfg, enum gw_tensor_kind kind) {
    return gw_round_up(elements(cfg, kind, 0), ALIGN);
}

size_t gw_params_floats(const struct gw_config *cfg) {
    return rounded(cfg, GW_TENSOR_EMBED) + cfg->n_layers * lay_out_layer(cfg, NULL) +
           rounded(cfg, GW_TENSOR_NORM) +
           (cfg->tie_word_embeddings ? 0 : rounded(cfg, GW_TENSOR_LM_HEAD));
}

size_t gw_trained_floats(const struct gw_config *cfg) {
    return cfg->lora_width > 0 ? cfg->lora_floats : gw_params_floats(cfg);
}

static void add(struct gw_params *p, const struct gw_tensor_spec *spec, size_t offset) {
    struct gw_param *t = &p->list[p->n];
    *t = (struct gw_param){.rank = spec->rank,
                           .shape = {spec->shape[0], spec->shape[1]},
                           .offset = offset,
                           .n = spec->shape[0] * (spec->rank == 2 ? spec->shape[1] : 1),
                           .decay = spec->rank == 2};
    snprintf(t->name, sizeof t->name, "%s", spec->name);
    size_t row = spec->kind < GW_TENSOR_ATTN_NORM ? 0 : 1 + spec->layer;
    p->index[row * GW_TENSOR_KIND_COUNT + spec->kind] = p->n++;
}

enum gwen_status gw_params_of_model(const struct gw_config *cfg, struct gw_params *p,
                                    struct gwen_err *err) {
    size_t n = gw_config_n_tensors(cfg), in_layer[GW_TENSOR_KIND_COUNT] = {0};
    *p = (struct gw_params){.n_floats = gw_params_floats(cfg)};
    p->list = calloc(n, sizeof *p->list);
    p->index = calloc((1 + cfg->n_layers) * GW_TENSOR_KIND_COUNT, sizeof *p->index);
    if (p->list == NULL || p->index == NULL) {
        gw_params_free(p);
        return gw_nomem(err, n * sizeof *p->list, "the list of parameters");
    }
    size_t per_layer = lay_out_layer(cfg, in_layer), layers = rounded(cfg, GW_TENSOR_EMBED);
    size_t norm = layers + cfg->n_layers * per_layer;
    for (size_t i = 0; i < n; i++) {
        struct gw_tensor_spec spec;
        gw_config_tensor_at(cfg, i, &spec);
        switch (spec.kind) {
        case GW_TENSOR_EMBED: add(p, &spec, 0); break;
        case GW_TENSOR_NORM: add(p, &spec, norm); break;
        case GW_TENSOR_LM_HEAD: add(p, &spec, norm + rounded(cfg, GW_TENSOR_NORM)); break;
        default: add(p, &spec, layers + spec.layer * per_layer + in_layer[spec.kind]); break;
        }
    }
    return GWEN_OK;
}

void gw_params_free(struct gw_params *p) {
    free(p->list);
    free(p->index);
    *p = (struct gw_params){0};
}

size_t gw_params_index(const struct gw_params *p, enum gw_tensor_kind kind, size_t layer) {
    size_t row = kind < GW_TENSOR_ATTN_NORM ? 0 : 1 + layer;
    return p->index[row * GW_TENSOR_KIND_COUNT + kind];
}

size_t gw_params_offset(const struct gw_params *p, enum gw_tensor_kind kind, size_t layer) {
    return p->list[gw_params_index(p, kind, layer)].offset;
}

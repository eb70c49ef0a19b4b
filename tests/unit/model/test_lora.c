/* test_lora.c - what an adapter takes is known before it is there; options make the adapter that
 * they say; values that cannot be used are refused; a scorer can leave the model's adapter out or
 * have another; merging piece by piece is merging; adapter_config.json is read by PEFT's rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "checkpoint/safetensors/safetensors.h"
#include "engine/scorer.h"
#include "service/record/fingerprint.h"
#include "service/train/adapter.h"
#include "unit/scratch.h"

static const char MODEL[] = "tests/fixtures/golden/models/qwen3";
static const char ADAPTER[] = "tests/fixtures/golden/lora/qwen3-all-r2";

static void check(enum gwen_status status, const struct gwen_err *err) {
    if (status != GWEN_OK) fail_msg("%s", err->message);
}

static struct gw_pool *new_pool(void) {
    struct gw_pool *pool;
    struct gwen_err err;
    check(gw_pool_create(2, &pool, &err), &err);
    return pool;
}

static struct gw_model *load(enum gw_dtype dtype, const char *adapter, struct gw_pool *pool) {
    struct gw_model *model;
    struct gwen_err err;
    const struct gw_model_opts opts = {.dtype = dtype, .isa_cap = scratch_isa()};
    check(gw_model_load(MODEL, &opts, pool, &model, &err), &err);
    if (adapter != NULL) check(gw_lora_load(model, adapter, &err), &err);
    return model;
}

static struct gw_train_config config(const char *modules, const char *layers) {
    struct gw_train_config c;
    struct gwen_err err;
    gw_train_config_init(&c, GW_TRAIN_SFT);
    c.lora_r = 3;
    if (modules != NULL) check(gw_train_config_set(&c, "lora_target_modules", modules, &err), &err);
    if (layers != NULL) check(gw_train_config_set(&c, "layers_to_transform", layers, &err), &err);
    return c;
}

static void plans_are_what_is_taken(void **state) {
    (void)state;
    static const char *const modules[] = {NULL, "all-linear", "up_proj", "k_proj,o_proj,down_proj"};
    struct gw_pool *pool = new_pool();
    struct gwen_err err;
    for (size_t i = 0; i < 2 * GW_ARRAY_LEN(modules); i++) {
        const struct gw_train_config c = config(modules[i / 2], i % 2 ? "1" : NULL);
        struct gw_model *m = load(GW_DTYPE_BF16, NULL, pool);
        struct gw_config plan = m->cfg;
        check(gw_adapter_plan(&c, m->arith.format, &plan, &err), &err);
        check(gw_adapter_create(&c, m, &err), &err);
        const struct gw_lora *l = m->lora;
        assert_int_equal(plan.lora_width, m->cfg.lora_width);
        assert_int_equal(plan.lora_floats, l->params.n_floats);
        assert_int_equal(plan.lora_bytes, m->cfg.lora_bytes);
        const size_t lists = l->params.n * sizeof *l->params.list + l->n_layers * sizeof *l->sites;
        assert_true(plan.lora_bytes >= l->memory.bytes - 4096 + lists);
        assert_true(plan.lora_bytes <= l->memory.bytes + lists);
        gw_model_free(m);
    }
    gw_pool_free(pool);
}

static void options_say_what_is_adapted(void **state) {
    (void)state;
    struct gw_pool *pool = new_pool();
    struct gwen_err err;
    struct gw_model *m = load(GW_DTYPE_F32, NULL, pool);
    struct gw_train_config c = config(NULL, "1");
    c.use_rslora = true;
    check(gw_adapter_create(&c, m, &err), &err);
    assert_int_equal(m->lora->params.n, 4);
    assert_string_equal(m->lora->params.list[0].name,
                        "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight");
    assert_string_equal(m->lora->params.list[3].name,
                        "base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight");
    assert_true(m->lora->scale == (float)(32 / sqrt(3)));
    for (size_t i = 0; i < m->lora->params.n; i++) {
        const struct gw_param *p = &m->lora->params.list[i];
        const bool b = strstr(p->name, "lora_B") != NULL;
        assert_true((m->lora->values[p->offset] == 0) == b); /* begins as the model is */
    }
    gw_model_free(m);
    gw_pool_free(pool);
}

static void refused(const char *modules, const char *layers, double dropout, const char *message) {
    struct gw_config cfg;
    struct gwen_err err;
    struct gw_train_config c = config(modules, layers);
    c.lora_dropout = dropout;
    check(gw_config_load(MODEL, &cfg, &err), &err);
    assert_int_not_equal(gw_adapter_plan(&c, GW_PANEL_F32, &cfg, &err), GWEN_OK);
    assert_string_equal(err.message, message);
}

static void bad_options_are_refused(void **state) {
    (void)state;
    refused("lm_head", NULL, 0,
            "lora_target_modules: \"lm_head\" is not one of q_proj, k_proj, v_proj, o_proj, "
            "gate_proj, up_proj, down_proj, all-linear");
    refused("q_proj,,v_proj", NULL, 0,
            "lora_target_modules: \"\" is not one of q_proj, k_proj, v_proj, o_proj, "
            "gate_proj, up_proj, down_proj, all-linear");
    refused(NULL, "0,2", 0, "layers_to_transform: expected numbers from 0 to 1, not \"2\"");
    refused(NULL, "0-1", 0, "layers_to_transform: expected numbers from 0 to 1, not \"0-1\"");
    refused(NULL, NULL, 0.05, "lora_dropout 0.05 is not supported: only 0 is");
}

static void bad_values_are_refused(void **state) {
    (void)state;
    struct gw_pool *pool = new_pool();
    struct gwen_err err;
    for (int i = 0; i < 2; i++) {
        struct gw_model *m = load(i == 0 ? GW_DTYPE_F16 : GW_DTYPE_F32, ADAPTER, pool);
        const size_t bytes = m->lora->params.n_floats * sizeof(float);
        float *values = malloc(bytes);
        assert_non_null(values);
        memcpy(values, m->lora->values, bytes);
        values[m->lora->params.list[1].offset + 5] = 7e4f;
        assert_int_equal(gw_lora_update(m, values, &err), i == 0 ? GWEN_ERR_NUMERIC : GWEN_OK);
        values[m->lora->params.list[1].offset + 5] = NAN;
        assert_int_equal(gw_lora_update(m, values, &err), GWEN_ERR_NUMERIC);
        assert_non_null(strstr(err.message, m->lora->params.list[1].name));
        assert_non_null(strstr(err.message, "element 5 is not finite"));
        free(values);
        gw_model_free(m);
    }
    gw_pool_free(pool);
}

/* --- frozen --------------------------------------------------------------------------------- */

enum { N_IDS = 40 };

static void score(const struct gw_model *m, struct gw_pool *pool, bool frozen,
                  const struct gw_lora *lora, float logprobs[N_IDS - 1]) {
    int32_t ids[N_IDS];
    struct gw_scorer *scorer;
    struct gwen_err err;
    for (int32_t i = 0; i < N_IDS; i++) ids[i] = (i * 31 + 7) % (int32_t)m->cfg.vocab_size;
    const struct gw_scorer_opts opts = {.rows = 16,
                                        .n_blocks = gw_kv_blocks_for(N_IDS) + 1,
                                        .max_len = N_IDS,
                                        .temperature = 1,
                                        .frozen = frozen,
                                        .lora = lora};
    struct gw_score_request request = {.ids = ids, .n = N_IDS, .from = 1, .logprobs = logprobs};
    check(gw_scorer_create(m, pool, &opts, &scorer, &err), &err);
    check(gw_scorer_run(scorer, &request, 1, false, NULL, NULL, &err), &err);
    gw_scorer_free(scorer);
}

static void frozen_scorers_are_the_reference(void **state) {
    (void)state;
    struct gw_pool *pool = new_pool();
    struct gwen_err err;
    struct gw_model *bare = load(GW_DTYPE_BF16, NULL, pool),
                    *m = load(GW_DTYPE_BF16, ADAPTER, pool);
    struct gw_lora *other;
    float a[N_IDS - 1], b[N_IDS - 1], with[N_IDS - 1];
    score(bare, pool, false, NULL, a);
    score(m, pool, true, NULL, b);
    score(m, pool, false, NULL, with);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_not_equal(a, with, sizeof a);
    /* The adapter as it was, while the model's own moves on. */
    check(gw_lora_read(&m->cfg, &m->arith, ADAPTER, &other, &err), &err);
    gw_lora_pack(other, &m->kern);
    uint64_t before, after;
    check(gw_model_fingerprint(m, m->lora, pool, &before, &err), &err);
    m->lora->values[m->lora->params.list[0].offset] += 1;
    gw_lora_pack(m->lora, &m->kern);
    check(gw_model_fingerprint(m, m->lora, pool, &after, &err), &err);
    assert_true(before != after);
    score(m, pool, true, other, b);
    assert_memory_equal(with, b, sizeof with);
    score(m, pool, false, NULL, b);
    assert_memory_not_equal(with, b, sizeof with);
    gw_lora_free(other);
    gw_model_free(m);
    gw_model_free(bare);
    gw_pool_free(pool);
}

/* --- merging -------------------------------------------------------------------------------- */

static void pieces_are_the_whole(void **state) {
    (void)state;
    static const size_t pieces[] = {1, 7, 33, 1000};
    struct gw_pool *pool = new_pool();
    struct gw_model *m = load(GW_DTYPE_F32, ADAPTER, pool);
    struct gw_tensor_spec spec;
    gw_config_tensor(&m->cfg, GW_TENSOR_UP, 1, &spec);
    const size_t n = spec.shape[0] * spec.shape[1];
    float *whole = calloc(n, sizeof *whole), *cut = calloc(n, sizeof *cut);
    assert_true(whole != NULL && cut != NULL);
    gw_lora_merge_part(m->lora, GW_TENSOR_UP, 1, 0, n, whole);
    for (size_t at = 0, i = 0, piece; at < n; at += piece, i++) {
        piece = GW_MIN(n - at, pieces[i % GW_ARRAY_LEN(pieces)]);
        gw_lora_merge_part(m->lora, GW_TENSOR_UP, 1, at, piece, cut + at);
    }
    assert_memory_equal(whole, cut, n * sizeof *whole);
    assert_true(whole[0] != 0 && whole[n - 1] != 0);
    /* What has no adapter stays as it is. */
    memset(cut, 0, n * sizeof *cut);
    gw_lora_merge_part(m->lora, GW_TENSOR_EMBED, 0, 0, n, cut);
    for (size_t i = 0; i < n; i++) assert_true(cut[i] == 0);
    free(whole);
    free(cut);
    gw_model_free(m);
    gw_pool_free(pool);
}

/* --- PEFT's rules --------------------------------------------------------------------------- */

/* What a configuration adapts in the model of two layers: per layer and module (q, k, v, o, gate,
 * up, down) its rank as a digit, '.' for none; NULL: refused. */
static void adapts(const char *fields, const char *ranks) {
    struct gw_config cfg;
    struct gwen_err err;
    struct gw_json_doc doc;
    struct gw_lora_opts opts;
    struct gw_lora_choice choices[2 * GW_LORA_MODULES];
    char text[1024], got[2 * GW_LORA_MODULES + 1] = "";
    check(gw_config_load(MODEL, &cfg, &err), &err);
    snprintf(text, sizeof text, "{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":4,%s}", fields);
    check(gw_json_parse(text, strlen(text), "adapter_config.json", &doc, &err), &err);
    const enum gwen_status status = gw_lora_parse(&doc, &cfg, choices, &opts, &err);
    gw_json_free(&doc);
    if (ranks == NULL) {
        if (status == GWEN_OK) fail_msg("not refused: %s", fields);
        return;
    }
    if (status != GWEN_OK) fail_msg("%s: %s", fields, err.message);
    for (size_t i = 0; i < GW_ARRAY_LEN(choices); i++)
        got[i] = choices[i].r == 0 ? '.' : (char)('0' + choices[i].r);
    if (strcmp(got, ranks) != 0) fail_msg("%s: %s, not %s", fields, got, ranks);
}

static void targets_are_matched_as_peft_does(void **state) {
    (void)state;
    /* names, and ends behind a dot */
    adapts("\"target_modules\":[\"q_proj\"]", "2......2......");
    adapts("\"target_modules\":[\"self_attn.q_proj\",\"layers.1.mlp.up_proj\"]", "2......2....2.");
    adapts("\"target_modules\":[\"model.layers.0.mlp.down_proj\"]", "......2.......");
    adapts("\"target_modules\":[\"q_proj\",\"c_attn\"]", "2......2......");
    adapts("\"target_modules\":[\"proj\"]", NULL);
    /* one expression for the whole name */
    adapts("\"target_modules\":\".*\\\\.(q|v)_proj\"", "2.2....2.2....");
    adapts("\"target_modules\":\"model\\\\.layers\\\\.1\\\\..*_proj\"", ".......2222222");
    adapts("\"target_modules\":\"(?:.*?(?:self_attn|mlp).*?(?:k|up)_proj).*?\"", ".2...2..2...2.");
    adapts("\"target_modules\":\"(q|v)_proj\"", NULL);
    adapts("\"target_modules\":\"all-linear\"", "22222222222222");
    /* what cannot have an adapter */
    adapts("\"target_modules\":[\"q_proj\",\"lm_head\"]", NULL);
    adapts("\"target_modules\":[\"q_proj\",\"embed_tokens\"]", NULL);
    adapts("\"target_modules\":\".*self_attn.*\"", NULL);
    adapts("\"target_modules\":\".*proj|lm_head\"", NULL);
    adapts("\"target_modules\":\".*proj|lm_head\",\"exclude_modules\":[\"lm_head\"]",
           "22222222222222");
    /* left out */
    adapts("\"target_modules\":\"all-linear\",\"exclude_modules\":[\"mlp.up_proj\",\"0.mlp.gate_"
           "proj\"]",
           "2222..222222.2");
    adapts("\"target_modules\":\"all-linear\",\"exclude_modules\":\".*\\\\.0\\\\..*\"",
           ".......2222222");
    /* layers: not for a module by its full name */
    adapts(
        "\"target_modules\":[\"q_proj\"],\"layers_to_transform\":1,\"layers_pattern\":\"layers\"",
        ".......2......");
    adapts("\"target_modules\":[\"q_proj\",\"model.layers.0.mlp.up_proj\"],"
           "\"layers_to_transform\":[1],\"layers_pattern\":[\"layers\"]",
           ".....2.2......");
    adapts("\"target_modules\":[\"q_proj\"],\"layers_to_transform\":1,\"layers_pattern\":\"h\"",
           NULL);
}

static void ranks_are_matched_as_peft_does(void **state) {
    (void)state;
    adapts("\"target_modules\":[\"q_proj\",\"up_proj\"],\"rank_pattern\":{\"q_proj\":4}",
           "4....2.4....2.");
    adapts("\"target_modules\":[\"q_proj\",\"up_proj\"],\"rank_pattern\":"
           "{\"layers.1.self_attn.q_proj\":1,\"self_attn.*\":3,\"q_proj\":4}",
           "3....2.1....2.");
    adapts("\"target_modules\":[\"q_proj\",\"up_proj\"],\"rank_pattern\":"
           "{\"^model.layers.0.mlp.up_proj\":5,\"^mlp.up_proj\":6,\"proj\":7}",
           "2....5.2....2.");
    adapts("\"target_modules\":[\"q_proj\"],\"rank_pattern\":{\"q_proj\":0}", NULL);
    adapts("\"target_modules\":[\"q_proj\"],\"rank_pattern\":[4]", NULL);
    adapts("\"target_modules\":[\"q_proj\"],\"alpha_pattern\":{\"(q_proj\":4}", NULL);
}

/* Writes values as an adapter whose q_proj have the given rank (of at most 2). */
static void write_adapter(const struct gw_lora *l, const float *values, size_t q_rank,
                          const char *config_text, const char *dir) {
    struct gwen_err err;
    char path[512];
    const size_t n = l->params.n;
    struct gw_tensor *tensors = calloc(n, sizeof *tensors);
    float *cut = malloc(l->params.n_floats * sizeof *cut);
    assert_true(tensors != NULL && cut != NULL);
    memcpy(cut, values, l->params.n_floats * sizeof *cut);
    for (size_t i = 0; i < n; i++) {
        const struct gw_param *p = &l->params.list[i];
        size_t shape[2] = {p->shape[0], p->shape[1]};
        float *to = cut + p->offset;
        if (strstr(p->name, "q_proj.lora_A") != NULL) shape[0] = q_rank;
        if (strstr(p->name, "q_proj.lora_B") != NULL) {
            shape[1] = q_rank;
            for (size_t j = 0; j < shape[0] * q_rank; j++)
                to[j] = values[p->offset + j / q_rank * p->shape[1] + j % q_rank];
        }
        tensors[i] = (struct gw_tensor){.name = p->name,
                                        .dtype = GW_DTYPE_F32,
                                        .rank = 2,
                                        .shape = {shape[0], shape[1]},
                                        .data = to};
    }
    check(gw_dir_make(dir, &err), &err);
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", dir);
    check(gw_safetensors_write(path, tensors, n, NULL, 0, NULL, NULL, &err), &err);
    snprintf(path, sizeof path, "%s/adapter_config.json", dir);
    check(gw_file_write(path, config_text, strlen(config_text), &err), &err);
    free(tensors);
    free(cut);
}

/* A rank and an alpha of q_proj's own are the same sum as B that much larger, to the bit where the
 * factor is a power of two. */
static void own_ranks_are_exact(void **state) {
    (void)state;
    static const char PLAIN[] = "{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":4,"
                                "\"target_modules\":\"all-linear\"}",
                      OWN[] = "{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":4,"
                              "\"target_modules\":\"all-linear\",\"rank_pattern\":{\"q_proj\":1},"
                              "\"alpha_pattern\":{\"self_attn.q_proj\":8}}"; /* 8 / 1, not 4 / 2 */
    struct gw_pool *pool = new_pool();
    struct gw_model *m = load(GW_DTYPE_F32, ADAPTER, pool), *with[2];
    const struct gw_lora *l = m->lora;
    const char *const dirs[] = {scratch_path("plain"), scratch_path("own")};
    write_adapter(l, l->values, 1, OWN, dirs[1]);
    for (size_t i = 0; i < l->params.n; i++) {
        const struct gw_param *p = &l->params.list[i];
        const bool b = strstr(p->name, "q_proj.lora_B") != NULL;
        for (size_t j = 0; b && j < p->n; j++) l->values[p->offset + j] *= j % 2 == 0 ? 4.0f : 0.0f;
    }
    write_adapter(l, l->values, 2, PLAIN, dirs[0]);
    for (int i = 0; i < 2; i++) with[i] = load(GW_DTYPE_F32, dirs[i], pool);
    assert_false(with[0]->lora->opts.own_ranks);
    assert_true(with[1]->lora->opts.own_ranks);
    for (int kind = GW_TENSOR_ATTN_NORM; kind < GW_TENSOR_KIND_COUNT; kind++) {
        struct gw_tensor_spec spec;
        if (!gw_config_has_tensor(&m->cfg, (enum gw_tensor_kind)kind)) continue;
        gw_config_tensor(&m->cfg, (enum gw_tensor_kind)kind, 1, &spec);
        if (spec.rank != 2) continue;
        const size_t n = spec.shape[0] * spec.shape[1];
        float *sums[2];
        for (int i = 0; i < 2; i++) {
            sums[i] = calloc(n, sizeof *sums[i]);
            assert_non_null(sums[i]);
            gw_lora_merge_part(with[i]->lora, spec.kind, 1, 0, n, sums[i]);
        }
        assert_true(sums[0][0] != 0);
        assert_memory_equal(sums[0], sums[1], n * sizeof *sums[0]);
        free(sums[0]);
        free(sums[1]);
    }
    float a[N_IDS - 1], b[N_IDS - 1];
    score(with[0], pool, false, NULL, a);
    score(with[1], pool, false, NULL, b);
    for (size_t i = 0; i < N_IDS - 1; i++) assert_true(fabsf(a[i] - b[i]) < 1e-4f);
    for (int i = 0; i < 2; i++) gw_model_free(with[i]);
    gw_model_free(m);
    gw_pool_free(pool);
}

/* An adapter whose layers differ is saved so that it is read back as it was. */
static void irregular_adapters_are_saved(void **state) {
    (void)state;
    struct gw_pool *pool = new_pool();
    struct gwen_err err;
    struct gw_model *m = load(GW_DTYPE_F32, NULL, pool);
    struct gw_lora_choice choices[2 * GW_LORA_MODULES] = {{0}};
    struct gw_lora *back;
    choices[GW_LORA_Q] = choices[GW_LORA_MODULES + GW_LORA_UP] = (struct gw_lora_choice){3, 6};
    const struct gw_lora_opts opts = {.r = 3, .alpha = 6, .choices = choices};
    check(gw_lora_create(m, &opts, 1, &err), &err);
    const char *dir = scratch_path("irregular");
    check(gw_lora_save(m->lora, dir, &err), &err);
    check(gw_lora_read(&m->cfg, &m->arith, dir, &back, &err), &err);
    assert_int_equal(back->params.n, 4);
    assert_false(back->opts.own_ranks);
    assert_memory_equal(back->values, m->lora->values, back->params.n_floats * sizeof(float));
    gw_lora_free(back);
    gw_model_free(m);
    gw_pool_free(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_are_what_is_taken),
        cmocka_unit_test(options_say_what_is_adapted),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(bad_values_are_refused),
        cmocka_unit_test(frozen_scorers_are_the_reference),
        cmocka_unit_test(pieces_are_the_whole),
        cmocka_unit_test(targets_are_matched_as_peft_does),
        cmocka_unit_test(ranks_are_matched_as_peft_does),
        cmocka_unit_test(own_ranks_are_exact),
        cmocka_unit_test(irregular_adapters_are_saved),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

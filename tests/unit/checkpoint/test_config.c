/* test_config.c - config.json field by field, presets, writing, expected tensors; the sampling
 * defaults beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "checkpoint/config/config.h"
#include "checkpoint/config/generation.h"
#include "unit/scratch.h"

/* A small model of each type, `%s` standing for further fields. */
static const char *const bases[] = {
    [GW_ARCH_QWEN3] = "{\"model_type\":\"qwen3\",\"vocab_size\":100,\"hidden_size\":64,"
                      "\"intermediate_size\":160,\"num_hidden_layers\":3,"
                      "\"num_attention_heads\":4,\"num_key_value_heads\":2%s}",
    [GW_ARCH_QWEN2] = "{\"model_type\":\"qwen2\",\"vocab_size\":100,\"hidden_size\":64,"
                      "\"intermediate_size\":160,\"num_hidden_layers\":3,"
                      "\"num_attention_heads\":4,\"num_key_value_heads\":2%s}",
    [GW_ARCH_LLAMA] = "{\"model_type\":\"llama\",\"vocab_size\":100,\"hidden_size\":64,"
                      "\"intermediate_size\":160,\"num_hidden_layers\":3,"
                      "\"num_attention_heads\":4%s}",
    [GW_ARCH_MISTRAL] = "{\"model_type\":\"mistral\",\"sliding_window\":null,\"vocab_size\":100,"
                        "\"hidden_size\":64,\"intermediate_size\":160,\"num_hidden_layers\":3,"
                        "\"num_attention_heads\":8%s}",
};

static enum gwen_status parse_with(enum gw_arch arch, const char *fields, struct gw_config *c,
                                   struct gwen_err *err) {
    char text[4096], more[2048];
    snprintf(more, sizeof more, "%s%s", *fields != 0 ? "," : "", fields);
    snprintf(text, sizeof text, bases[arch], more);
    return gw_config_parse(text, strlen(text), "config.json", c, err);
}

static struct gw_config accept_with(enum gw_arch arch, const char *fields) {
    struct gw_config c;
    struct gwen_err err = {0};
    if (parse_with(arch, fields, &c, &err) != GWEN_OK) fail_msg("%s: %s", fields, err.message);
    return c;
}

/* The message must be exactly "config.json: MESSAGE". */
static void refuse_with(enum gw_arch arch, const char *fields, enum gwen_status status,
                        const char *message) {
    struct gw_config c;
    struct gwen_err err = {0};
    enum gwen_status got = parse_with(arch, fields, &c, &err);
    char want[1024];
    snprintf(want, sizeof want, "config.json: %s", message);
    if (got != status || strcmp(err.message, want) != 0)
        fail_msg("%s\n  gives %d %s\n  not   %d %s", fields, got, err.message, status, want);
}

static void unsupported(enum gw_arch arch, const char *fields, const char *message) {
    refuse_with(arch, fields, GWEN_ERR_UNSUPPORTED, message);
}

static void malformed(enum gw_arch arch, const char *fields, const char *message) {
    refuse_with(arch, fields, GWEN_ERR_FORMAT, message);
}

static void assert_same(const struct gw_config *a, const struct gw_config *b) {
    assert_int_equal(a->arch, b->arch);
    assert_int_equal(a->vocab_size, b->vocab_size);
    assert_int_equal(a->hidden, b->hidden);
    assert_int_equal(a->n_layers, b->n_layers);
    assert_int_equal(a->n_heads, b->n_heads);
    assert_int_equal(a->n_kv_heads, b->n_kv_heads);
    assert_int_equal(a->head_dim, b->head_dim);
    assert_int_equal(a->ffn, b->ffn);
    assert_int_equal(a->max_position_embeddings, b->max_position_embeddings);
    assert_true(a->rms_eps == b->rms_eps && a->initializer_range == b->initializer_range);
    assert_int_equal(a->tie_word_embeddings, b->tie_word_embeddings);
    assert_int_equal(a->qkv_bias, b->qkv_bias);
    assert_int_equal(a->o_bias, b->o_bias);
    assert_int_equal(a->mlp_bias, b->mlp_bias);
    assert_int_equal(a->qk_norm, b->qk_norm);
    assert_int_equal(a->rope.type, b->rope.type);
    assert_true(a->rope.theta == b->rope.theta && a->rope.factor == b->rope.factor);
    assert_true(a->rope.low_freq_factor == b->rope.low_freq_factor);
    assert_true(a->rope.high_freq_factor == b->rope.high_freq_factor);
    assert_int_equal(a->rope.original_max_position_embeddings,
                     b->rope.original_max_position_embeddings);
    assert_int_equal(a->dtype, b->dtype);
    assert_int_equal(a->n_eos, b->n_eos);
    assert_memory_equal(a->eos_ids, b->eos_ids, a->n_eos * sizeof a->eos_ids[0]);
    assert_int_equal(a->bos_id, b->bos_id);
    assert_int_equal(a->pad_id, b->pad_id);
}

/* What transformers' configuration classes give for absent fields. */
static void defaults_by_type(void **state) {
    (void)state;
    static const struct {
        const char *type;
        size_t vocab, ffn, kv, head_dim, positions, n_eos;
        int bos;
        bool qkv_bias, qk_norm;
    } want[] = {{"qwen3", 151936, 22016, 32, 128, 32768, 0, -1, false, true},
                {"qwen2", 151936, 22016, 32, 128, 32768, 0, -1, true, false},
                {"llama", 32000, 11008, 32, 128, 2048, 1, 1, false, false},
                {"mistral", 32000, 14336, 8, 128, 131072, 1, 1, false, false}};
    for (size_t i = 0; i < GW_ARRAY_LEN(want); i++) {
        char text[128];
        struct gw_config c;
        struct gwen_err err;
        snprintf(text, sizeof text, "{\"model_type\":\"%s\",\"sliding_window\":null}",
                 want[i].type);
        assert_int_equal(gw_config_parse(text, strlen(text), "c", &c, &err), GWEN_OK);
        assert_string_equal(gw_arch_name(c.arch), want[i].type);
        assert_int_equal(c.vocab_size, want[i].vocab);
        assert_int_equal(c.hidden, 4096);
        assert_int_equal(c.n_layers, 32);
        assert_int_equal(c.n_heads, 32);
        assert_int_equal(c.n_kv_heads, want[i].kv);
        assert_int_equal(c.head_dim, want[i].head_dim);
        assert_int_equal(c.ffn, want[i].ffn);
        assert_int_equal(c.max_position_embeddings, want[i].positions);
        assert_true(c.rms_eps == 1e-6 && c.initializer_range == 0.02);
        assert_int_equal(c.tie_word_embeddings, false);
        assert_int_equal(c.qkv_bias, want[i].qkv_bias);
        assert_int_equal(c.o_bias, false);
        assert_int_equal(c.mlp_bias, false);
        assert_int_equal(c.qk_norm, want[i].qk_norm);
        assert_int_equal(c.rope.type, GW_ROPE_DEFAULT);
        assert_true(c.rope.theta == 10000);
        assert_int_equal(c.dtype, GW_DTYPE_NONE);
        assert_int_equal(c.n_eos, want[i].n_eos);
        if (c.n_eos > 0) assert_int_equal(c.eos_ids[0], 2);
        assert_int_equal(c.bos_id, want[i].bos);
        assert_int_equal(c.pad_id, -1);
    }
}

static void model_types(void **state) {
    (void)state;
    struct gw_config c;
    struct gwen_err err;
    static const char moe[] = "{\"model_type\":\"qwen3_moe\"}";
    assert_int_equal(gw_config_parse(moe, sizeof moe - 1, "c", &c, &err), GWEN_ERR_UNSUPPORTED);
    assert_string_equal(err.message, "c: model_type: \"qwen3_moe\" is not supported (qwen3, qwen2, "
                                     "llama and mistral are)");
    assert_int_equal(gw_config_parse("{}", 2, "c", &c, &err), GWEN_ERR_FORMAT);
    assert_string_equal(err.message, "c: model_type: is missing, but needed");
    assert_int_equal(gw_config_parse("[]", 2, "c", &c, &err), GWEN_ERR_FORMAT);
    assert_string_equal(err.message, "c: expected a JSON object");
}

static void sizes(void **state) {
    (void)state;
    struct gw_config c =
        accept_with(GW_ARCH_QWEN3, "\"head_dim\":32,\"max_position_embeddings\":9");
    assert_int_equal(c.vocab_size, 100);
    assert_int_equal(c.hidden, 64);
    assert_int_equal(c.ffn, 160);
    assert_int_equal(c.n_layers, 3);
    assert_int_equal(c.n_heads, 4);
    assert_int_equal(c.n_kv_heads, 2);
    assert_int_equal(c.head_dim, 32);
    assert_int_equal(c.max_position_embeddings, 9);
    assert_int_equal(accept_with(GW_ARCH_QWEN3, "").head_dim, 128);
    assert_int_equal(accept_with(GW_ARCH_QWEN2, "").head_dim, 16);
    assert_int_equal(accept_with(GW_ARCH_QWEN2, "\"head_dim\":24").head_dim, 24);
    assert_int_equal(accept_with(GW_ARCH_LLAMA, "\"head_dim\":null").head_dim, 16);
    assert_int_equal(accept_with(GW_ARCH_LLAMA, "").n_kv_heads, 4);
    assert_int_equal(accept_with(GW_ARCH_LLAMA, "\"num_key_value_heads\":null").n_kv_heads, 4);
    assert_int_equal(accept_with(GW_ARCH_LLAMA, "\"num_key_value_heads\":1").n_kv_heads, 1);
    assert_int_equal(accept_with(GW_ARCH_MISTRAL, "").n_kv_heads, 8);
    malformed(GW_ARCH_QWEN3, "\"head_dim\":null", "head_dim: is null, but needed");
    malformed(GW_ARCH_LLAMA, "\"max_position_embeddings\":null",
              "max_position_embeddings: is null, but needed");
    malformed(GW_ARCH_LLAMA, "\"max_position_embeddings\":0",
              "max_position_embeddings: 0 is outside 1..1073741824");
    malformed(GW_ARCH_LLAMA, "\"max_position_embeddings\":\"9\"",
              "max_position_embeddings: expected an integer, not \"9\"");
    malformed(GW_ARCH_LLAMA, "\"num_key_value_heads\":3",
              "num_key_value_heads: 3 does not divide num_attention_heads 4");
    malformed(GW_ARCH_LLAMA, "\"num_key_value_heads\":8",
              "num_key_value_heads: 8 does not divide num_attention_heads 4");
    unsupported(GW_ARCH_LLAMA, "\"head_dim\":15",
                "head_dim: 15 is odd; rotary embeddings need an even one");
}

static void bad_sizes(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\"model_type\":\"llama\",\"vocab_size\":0}", "c: vocab_size: 0 is outside 1..16777216"},
        {"{\"model_type\":\"llama\",\"vocab_size\":1e15}",
         "c: vocab_size: 1000000000000000 is outside 1..16777216"},
        {"{\"model_type\":\"llama\",\"hidden_size\":-64}", "c: hidden_size: -64 is outside "
                                                           "1..1048576"},
        {"{\"model_type\":\"llama\",\"hidden_size\":64.5}",
         "c: hidden_size: expected an integer, not 64.5"},
        {"{\"model_type\":\"llama\",\"intermediate_size\":null}",
         "c: intermediate_size: is null, but needed"},
        {"{\"model_type\":\"llama\",\"num_hidden_layers\":100000}",
         "c: num_hidden_layers: 100000 is outside 1..4096"},
        {"{\"model_type\":\"llama\",\"num_attention_heads\":0}",
         "c: num_attention_heads: 0 is outside 1..16384"},
        {"{\"model_type\":\"llama\",\"hidden_size\":100,\"num_attention_heads\":3}",
         "c: hidden_size 100 is not a multiple of num_attention_heads 3, and there is no head_dim"},
        {"{\"model_type\":\"llama\",\"head_dim\":128,\"hidden_size\":1048576,\"intermediate_size\":"
         "4194304,"
         "\"num_hidden_layers\":4096}",
         "c: the sizes give a model of more than 2^46 weights"},
    };
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct gw_config c;
        struct gwen_err err;
        assert_int_equal(gw_config_parse(cases[i].text, strlen(cases[i].text), "c", &c, &err),
                         GWEN_ERR_FORMAT);
        assert_string_equal(err.message, cases[i].message);
    }
}

static void norm_and_init(void **state) {
    (void)state;
    assert_true(accept_with(GW_ARCH_LLAMA, "\"rms_norm_eps\":1e-5").rms_eps == 1e-5);
    assert_true(accept_with(GW_ARCH_LLAMA, "\"initializer_range\":0.1").initializer_range == 0.1);
    malformed(GW_ARCH_LLAMA, "\"rms_norm_eps\":\"1e-5\"",
              "rms_norm_eps: expected a number, not \"1e-5\"");
    malformed(GW_ARCH_LLAMA, "\"rms_norm_eps\":null", "rms_norm_eps: is null, but needed");
    malformed(GW_ARCH_LLAMA, "\"rms_norm_eps\":-1", "rms_norm_eps: -1 is outside 0..1");
}

static void activation(void **state) {
    (void)state;
    accept_with(GW_ARCH_QWEN2, "\"hidden_act\":\"silu\"");
    accept_with(GW_ARCH_QWEN2, "\"hidden_act\":\"swish\"");
    unsupported(GW_ARCH_QWEN2, "\"hidden_act\":\"gelu\"",
                "hidden_act: \"gelu\" is not supported (silu is)");
    unsupported(GW_ARCH_LLAMA, "\"hidden_activation\":\"gelu_pytorch_tanh\"",
                "hidden_activation: \"gelu_pytorch_tanh\" is not supported");
    malformed(GW_ARCH_QWEN2, "\"hidden_act\":3", "hidden_act: expected a string, not 3");
}

static void biases(void **state) {
    (void)state;
    struct gw_config c = accept_with(GW_ARCH_LLAMA, "\"attention_bias\":true");
    assert_true(c.qkv_bias && c.o_bias && !c.mlp_bias);
    c = accept_with(GW_ARCH_QWEN3, "\"attention_bias\":true");
    assert_true(c.qkv_bias && c.o_bias);
    c = accept_with(GW_ARCH_QWEN2, "");
    assert_true(c.qkv_bias && !c.o_bias);
    c = accept_with(GW_ARCH_LLAMA, "\"mlp_bias\":true");
    assert_true(!c.qkv_bias && !c.o_bias && c.mlp_bias);
    accept_with(GW_ARCH_QWEN3, "\"attention_bias\":false,\"mlp_bias\":false");
    accept_with(GW_ARCH_MISTRAL, "\"attention_bias\":false");
    unsupported(GW_ARCH_QWEN2, "\"attention_bias\":false",
                "attention_bias: false is not supported for model_type \"qwen2\"");
    unsupported(GW_ARCH_MISTRAL, "\"attention_bias\":true",
                "attention_bias: true is not supported for model_type \"mistral\"");
    unsupported(GW_ARCH_QWEN3, "\"mlp_bias\":true",
                "mlp_bias: true is not supported for model_type \"qwen3\"");
    malformed(GW_ARCH_LLAMA, "\"attention_bias\":1",
              "attention_bias: expected true or false, not 1");
}

static void ties(void **state) {
    (void)state;
    assert_true(accept_with(GW_ARCH_QWEN3, "\"tie_word_embeddings\":true").tie_word_embeddings);
    assert_false(accept_with(GW_ARCH_QWEN3, "\"tie_word_embeddings\":false").tie_word_embeddings);
    malformed(GW_ARCH_QWEN3, "\"tie_word_embeddings\":\"yes\"",
              "tie_word_embeddings: expected true or false, not \"yes\"");
}

static void dtypes(void **state) {
    (void)state;
    assert_int_equal(accept_with(GW_ARCH_QWEN3, "\"dtype\":\"bfloat16\"").dtype, GW_DTYPE_BF16);
    assert_int_equal(accept_with(GW_ARCH_QWEN3, "\"torch_dtype\":\"float16\"").dtype, GW_DTYPE_F16);
    assert_int_equal(
        accept_with(GW_ARCH_QWEN3, "\"torch_dtype\":\"float16\",\"dtype\":\"float32\"").dtype,
        GW_DTYPE_F32);
    assert_int_equal(accept_with(GW_ARCH_QWEN3, "\"torch_dtype\":\"auto\"").dtype, GW_DTYPE_NONE);
    unsupported(GW_ARCH_QWEN3, "\"torch_dtype\":\"float8_e4m3fn\"",
                "torch_dtype: \"float8_e4m3fn\" is not supported (float32, float16 and bfloat16 "
                "are)");
}

static void token_ids(void **state) {
    (void)state;
    struct gw_config c = accept_with(GW_ARCH_QWEN3, "\"eos_token_id\":[7,9],\"bos_token_id\":3,"
                                                    "\"pad_token_id\":0");
    assert_int_equal(c.n_eos, 2);
    assert_int_equal(c.eos_ids[0], 7);
    assert_int_equal(c.eos_ids[1], 9);
    assert_int_equal(c.bos_id, 3);
    assert_int_equal(c.pad_id, 0);
    c = accept_with(GW_ARCH_LLAMA,
                    "\"eos_token_id\":null,\"bos_token_id\":null,\"pad_token_id\":-1");
    assert_int_equal(c.n_eos, 0);
    assert_int_equal(c.bos_id, -1);
    assert_int_equal(c.pad_id, -1);
    malformed(GW_ARCH_LLAMA, "\"eos_token_id\":[1,\"2\"]",
              "eos_token_id[1]: expected an integer, not \"2\"");
    unsupported(GW_ARCH_LLAMA, "\"eos_token_id\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]",
                "eos_token_id: more than 16 ids");
    malformed(GW_ARCH_LLAMA, "\"bos_token_id\":1e12",
              "bos_token_id: 1000000000000 is outside -2147483648..2147483647");
}

static void rope_of_both_styles(void **state) {
    (void)state;
    struct gw_config c = accept_with(GW_ARCH_QWEN3, "\"rope_theta\":1e6,\"rope_scaling\":null");
    assert_true(c.rope.type == GW_ROPE_DEFAULT && c.rope.theta == 1e6);
    c = accept_with(GW_ARCH_QWEN3,
                    "\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":5e5}");
    assert_true(c.rope.type == GW_ROPE_DEFAULT && c.rope.theta == 5e5);
    c = accept_with(GW_ARCH_LLAMA, "\"rope_theta\":3,\"rope_scaling\":{\"type\":\"linear\","
                                   "\"factor\":4}");
    assert_true(c.rope.type == GW_ROPE_LINEAR && c.rope.theta == 3 && c.rope.factor == 4);
    static const char llama3[] = "\"factor\":8.0,\"low_freq_factor\":1,\"high_freq_factor\":4,"
                                 "\"original_max_position_embeddings\":96,\"rope_type\":\"llama3\"";
    char text[512];
    for (int style = 4; style <= 5; style++) {
        if (style == 4)
            snprintf(text, sizeof text, "\"rope_theta\":5e5,\"rope_scaling\":{%s}", llama3);
        else
            snprintf(text, sizeof text, "\"rope_parameters\":{\"rope_theta\":5e5,%s}", llama3);
        c = accept_with(GW_ARCH_LLAMA, text);
        assert_true(c.rope.type == GW_ROPE_LLAMA3 && c.rope.theta == 5e5 && c.rope.factor == 8 &&
                    c.rope.low_freq_factor == 1 && c.rope.high_freq_factor == 4);
        assert_int_equal(c.rope.original_max_position_embeddings, 96);
    }
    /* a theta inside wins; rope_scaling stands in for rope_parameters unless it is empty */
    c = accept_with(GW_ARCH_LLAMA, "\"rope_theta\":3,\"rope_parameters\":{\"rope_theta\":7}");
    assert_true(c.rope.theta == 7);
    c = accept_with(GW_ARCH_LLAMA, "\"rope_scaling\":{\"type\":\"linear\",\"factor\":2},"
                                   "\"rope_parameters\":{\"rope_theta\":7}");
    assert_true(c.rope.type == GW_ROPE_LINEAR && c.rope.theta == 10000);
    c = accept_with(GW_ARCH_LLAMA, "\"rope_scaling\":{},\"rope_parameters\":{\"rope_theta\":7}");
    assert_true(c.rope.theta == 7);
    /* absent: max_position_embeddings */
    c = accept_with(GW_ARCH_LLAMA, "\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":2,"
                                   "\"low_freq_factor\":1,\"high_freq_factor\":2}");
    assert_int_equal(c.rope.original_max_position_embeddings, 2048);
}

static void rope_refused(void **state) {
    (void)state;
    static const char *const types[] = {"yarn", "dynamic", "longrope", "su", "mrope"};
    for (size_t i = 0; i < GW_ARRAY_LEN(types); i++) {
        char fields[128], message[128];
        snprintf(message, sizeof message,
                 "rope_scaling.type: \"%s\" is not supported (default, linear and llama3 are)",
                 types[i]);
        snprintf(fields, sizeof fields, "\"rope_scaling\":{\"type\":\"%s\",\"factor\":2}",
                 types[i]);
        unsupported(GW_ARCH_QWEN2, fields, message);
    }
    malformed(GW_ARCH_LLAMA, "\"rope_parameters\":{\"rope_theta\":\"x\"}",
              "rope_parameters.rope_theta: expected a number, not \"x\"");
    malformed(GW_ARCH_LLAMA, "\"rope_theta\":0", "rope_theta: 0 is outside 1e-30..1e+30");
    malformed(GW_ARCH_LLAMA, "\"rope_scaling\":{\"type\":\"linear\"}",
              "rope_scaling.factor: is missing, but needed");
    malformed(GW_ARCH_LLAMA, "\"rope_scaling\":{\"type\":\"linear\",\"factor\":-1}",
              "rope_scaling.factor: -1 is outside 1e-09..1e+09");
    malformed(GW_ARCH_LLAMA, "\"rope_scaling\":\"linear\"",
              "rope_scaling: expected an object, not \"linear\"");
    malformed(GW_ARCH_LLAMA,
              "\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":2,\"low_freq_factor\":1}",
              "rope_scaling.high_freq_factor: is missing, but needed");
    malformed(GW_ARCH_LLAMA,
              "\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":2,\"low_freq_factor\":4,"
              "\"high_freq_factor\":4}",
              "rope high_freq_factor 4 must be above low_freq_factor 4, and both above 0");
    static const char beside[] =
        "\"original_max_position_embeddings\":%d,\"rope_scaling\":{\"rope_type\":\"llama3\","
        "\"factor\":2,\"low_freq_factor\":1,\"high_freq_factor\":4%s}";
    char fields[256];
    snprintf(fields, sizeof fields, beside, 5, ",\"original_max_position_embeddings\":6");
    unsupported(GW_ARCH_LLAMA, fields,
                "original_max_position_embeddings: 5 here, but 6 by the rope parameters");
    snprintf(fields, sizeof fields, beside, 5, "");
    unsupported(GW_ARCH_LLAMA, fields,
                "original_max_position_embeddings: 5 here, but 2048 by the rope parameters");
    snprintf(fields, sizeof fields, beside, 6, ",\"original_max_position_embeddings\":6");
    accept_with(GW_ARCH_LLAMA, fields);
    unsupported(GW_ARCH_LLAMA, "\"rope_parameters\":{\"partial_rotary_factor\":0.5}",
                "rope_parameters.partial_rotary_factor: 0.5 is not supported");
    unsupported(GW_ARCH_LLAMA,
                "\"rope_parameters\":{\"rope_theta\":1e4,\"mrope_section\":[16,24,24]}",
                "rope_parameters.mrope_section: [16, 24, 24] is not supported");
    unsupported(GW_ARCH_QWEN3, "\"rope_parameters\":{\"full_attention\":{\"rope_theta\":1e6}}",
                "rope_parameters.full_attention: {\"rope_theta\": 1000000} is not supported");
    unsupported(GW_ARCH_QWEN3, "\"rope_scaling\":{\"type\":\"default\",\"factor\":4}",
                "rope_scaling.factor: 4 has no meaning with rope_type \"default\"");
    unsupported(GW_ARCH_QWEN3,
                "\"rope_scaling\":{\"type\":\"linear\",\"factor\":4,\"attention_factor\":1.2}",
                "rope_scaling.attention_factor: 1.2 is not supported");
}

static void sliding_windows(void **state) {
    (void)state;
    /* switched off, or without effect */
    accept_with(GW_ARCH_QWEN2, "\"use_sliding_window\":false,\"sliding_window\":16,"
                               "\"max_window_layers\":0");
    accept_with(GW_ARCH_QWEN3, "\"sliding_window\":16,\"max_window_layers\":0");
    accept_with(GW_ARCH_QWEN2, "\"use_sliding_window\":true,\"sliding_window\":null,"
                               "\"max_window_layers\":0");
    accept_with(GW_ARCH_QWEN2, "\"use_sliding_window\":true,\"sliding_window\":16,"
                               "\"max_window_layers\":3");
    accept_with(GW_ARCH_QWEN2, "\"use_sliding_window\":true,\"sliding_window\":16"); /* 28 */
    accept_with(GW_ARCH_QWEN2, "\"use_sliding_window\":true,\"sliding_window\":32768,"
                               "\"max_window_layers\":0");
    accept_with(GW_ARCH_QWEN3, "\"use_sliding_window\":true,\"sliding_window\":16,"
                               "\"max_window_layers\":0,\"layer_types\":[\"full_attention\","
                               "\"full_attention\",\"attention\"]");
    accept_with(GW_ARCH_QWEN3, "\"use_sliding_window\":true,\"sliding_window\":512,"
                               "\"max_position_embeddings\":512,\"layer_types\":["
                               "\"full_attention\",\"sliding_attention\",\"full_attention\"]");
    accept_with(GW_ARCH_LLAMA, "\"sliding_window\":null");
    accept_with(GW_ARCH_LLAMA, "\"use_sliding_window\":false,\"sliding_window\":16");
    accept_with(GW_ARCH_MISTRAL, "\"max_position_embeddings\":4096");
    /* in force */
    unsupported(GW_ARCH_QWEN2,
                "\"use_sliding_window\":true,\"sliding_window\":16,"
                "\"max_window_layers\":2",
                "sliding_window: 16 is not supported: attention windows shorter than "
                "max_position_embeddings 32768 are not implemented");
    unsupported(GW_ARCH_QWEN3, "\"use_sliding_window\":true,\"max_window_layers\":0",
                "sliding_window: is missing, which for model_type \"qwen3\" means 4096; sliding "
                "windows are not supported");
    unsupported(GW_ARCH_QWEN3,
                "\"use_sliding_window\":true,\"sliding_window\":16,"
                "\"layer_types\":[\"full_attention\",\"sliding_attention\","
                "\"full_attention\"]",
                "sliding_window: 16 is not supported: attention windows shorter than "
                "max_position_embeddings 32768 are not implemented");
    unsupported(GW_ARCH_QWEN3,
                "\"layer_types\":[\"full_attention\",\"sliding_attention\","
                "\"full_attention\"]",
                "layer_types: \"sliding_attention\" is not supported (and there is no "
                "sliding_window in force)");
    unsupported(GW_ARCH_LLAMA, "\"sliding_window\":16",
                "sliding_window: 16 is not supported: attention windows shorter than "
                "max_position_embeddings 2048 are not implemented");
    unsupported(GW_ARCH_QWEN3,
                "\"layer_types\":[\"full_attention\",\"linear_attention\","
                "\"full_attention\"]",
                "layer_types[1]: \"linear_attention\" is not supported");
    malformed(GW_ARCH_QWEN3, "\"layer_types\":[\"full_attention\"]",
              "layer_types: 1 entries, but num_hidden_layers is 3");
}

static void mistral_windows(void **state) {
    (void)state;
    struct gw_config c;
    struct gwen_err err;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\"model_type\":\"mistral\"}",
         "c: sliding_window: is missing, which for model_type \"mistral\" means 4096; sliding "
         "windows are not supported"},
        {"{\"model_type\":\"mistral\",\"sliding_window\":4096,\"max_position_embeddings\":32768}",
         "c: sliding_window: 4096 is not supported: attention windows shorter than "
         "max_position_embeddings 32768 are not implemented"},
        {"{\"model_type\":\"mistral\",\"max_position_embeddings\":4096}", NULL},
        {"{\"model_type\":\"mistral\",\"sliding_window\":null}", NULL},
        {"{\"model_type\":\"mistral\",\"use_sliding_window\":false,\"sliding_window\":16}",
         "c: sliding_window: 16 is not supported: attention windows shorter than "
         "max_position_embeddings 131072 are not implemented"},
    };
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        enum gwen_status s = gw_config_parse(cases[i].text, strlen(cases[i].text), "c", &c, &err);
        assert_int_equal(s, cases[i].message != NULL ? GWEN_ERR_UNSUPPORTED : GWEN_OK);
        if (s != GWEN_OK) assert_string_equal(err.message, cases[i].message);
    }
}

/* Every field of the table of neutral values: a neutral value passes, another is refused by name
 * and value. */
static void neutral_fields(void **state) {
    (void)state;
    static const struct {
        const char *name, *neutral, *other;
    } cases[] = {
        {"quantization_config", "null", "{\"quant_method\": \"gptq\"}"},
        {"compression_config", "{}", "{\"a\": 1}"},
        {"per_layer_config", "{}", "{\"0\": {}}"},
        {"text_config", "null", "{\"a\": 1}"},
        {"vision_config", "null", "{\"a\": 1}"},
        {"pruned_heads", "{}", "{\"0\": [1]}"},
        {"hidden_activation", "\"silu\"", "\"gelu\""},
        {"mlp_hidden_act", "\"swish\"", "\"relu2\""},
        {"partial_rotary_factor", "1.0", "0.25"},
        {"rotary_pct", "1", "0.25"},
        {"rope_local_base_freq", "null", "10000"},
        {"local_rope_theta", "null", "10000"},
        {"global_rope_theta", "null", "10000"},
        {"swa_rope_theta", "null", "10000"},
        {"rope_interleave", "false", "true"},
        {"rope_interleaved", "false", "true"},
        {"no_rope_layers", "[]", "[1, 0]"},
        {"no_rope_layer_interval", "null", "4"},
        {"use_mrope", "false", "true"},
        {"alibi", "false", "true"},
        {"use_alibi", "false", "true"},
        {"use_dynamic_ntk", "false", "true"},
        {"use_logn_attn", "false", "true"},
        {"position_embedding_type", "\"rope\"", "\"nope\""},
        {"sliding_window_pattern", "null", "6"},
        {"full_attention_interval", "null", "4"},
        {"attention_chunk_size", "null", "8192"},
        {"interleaved_sliding_window", "null", "4096"},
        {"num_kv_shared_layers", "0", "10"},
        {"is_encoder_decoder", "false", "true"},
        {"add_cross_attention", "false", "true"},
        {"qk_norm", "true", "false"},
        {"use_qk_norm", "true", "false"},
        {"qk_layernorm", "true", "false"},
        {"query_pre_attn_scalar", "128", "256"},
        {"v_head_dim", "128", "64"},
        {"clip_qkv", "null", "8"},
        {"kv_lora_rank", "null", "512"},
        {"q_lora_rank", "null", "1536"},
        {"attn_output_gate", "false", "true"},
        {"headwise_attn_output_gate", "false", "true"},
        {"elementwise_attn_output_gate", "false", "true"},
        {"attn_logit_softcapping", "null", "50"},
        {"final_logit_softcapping", "null", "30"},
        {"logits_soft_cap", "null", "30"},
        {"logit_softcapping", "null", "30"},
        {"embedding_multiplier", "1.0", "12"},
        {"residual_multiplier", "1.0", "0.22"},
        {"attention_multiplier", "null", "0.015625"},
        {"logits_scaling", "1.0", "8"},
        {"logit_scale", "1", "0.0625"},
        {"lm_head_multiplier", "1", "0.5"},
        {"key_multiplier", "1", "0.5"},
        {"attention_in_multiplier", "1", "0.5"},
        {"attention_out_multiplier", "1", "0.5"},
        {"mlp_multipliers", "null", "[0.5, 1]"},
        {"scale_embedding", "false", "true"},
        {"scale_emb", "1", "12"},
        {"scale_depth", "null", "1.4"},
        {"dim_model_base", "null", "256"},
        {"use_scaled_embedding", "false", "true"},
        {"use_bias", "false", "true"},
        {"lm_head_bias", "false", "true"},
        {"add_bias_linear", "false", "true"},
        {"parallel_attn", "false", "true"},
        {"use_parallel_residual", "false", "true"},
        {"num_experts", "0", "128"},
        {"num_local_experts", "null", "8"},
        {"n_routed_experts", "0", "64"},
        {"num_experts_per_tok", "false", "8"},
        {"moe_intermediate_size", "0", "768"},
    };
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        char fields[256], message[256];
        snprintf(fields, sizeof fields, "\"%s\":%s", cases[i].name, cases[i].neutral);
        accept_with(GW_ARCH_QWEN3, fields);
        snprintf(fields, sizeof fields, "\"%s\":null", cases[i].name);
        accept_with(GW_ARCH_QWEN3, fields);
        snprintf(fields, sizeof fields, "\"%s\":%s", cases[i].name, cases[i].other);
        snprintf(message, sizeof message, "%s: %s is not supported", cases[i].name, cases[i].other);
        unsupported(GW_ARCH_QWEN3, fields, message);
    }
    /* q/k norms the other way round */
    accept_with(GW_ARCH_LLAMA, "\"qk_norm\":false");
    unsupported(GW_ARCH_LLAMA, "\"qk_norm\":true", "qk_norm: true is not supported");
    /* what has no effect */
    accept_with(GW_ARCH_LLAMA, "\"pretraining_tp\":2");
    accept_with(GW_ARCH_LLAMA, "\"attention_dropout\":0.1,\"use_cache\":false,"
                               "\"_name_or_path\":\"x\",\"chunk_size_feed_forward\":0");
}

static void validate(void **state) {
    (void)state;
    struct gw_config c;
    struct gwen_err err;
    assert_int_equal(gw_config_preset("tiny", &c, &err), GWEN_OK);
    assert_int_equal(gw_config_validate(&c, "c", &err), GWEN_OK);
    struct gw_config bad = c;
    bad.qk_norm = false;
    assert_int_equal(gw_config_validate(&bad, "c", &err), GWEN_ERR_UNSUPPORTED);
    bad = c;
    bad.o_bias = true;
    assert_int_equal(gw_config_validate(&bad, "c", &err), GWEN_ERR_UNSUPPORTED);
    bad = c;
    bad.n_kv_heads = 0;
    assert_int_equal(gw_config_validate(&bad, "c", &err), GWEN_ERR_FORMAT);
    bad = c;
    bad.rms_eps = -1;
    assert_int_equal(gw_config_validate(&bad, "c", &err), GWEN_ERR_FORMAT);
    bad = c;
    bad.rope.theta = 0.0 / 1e300;
    assert_int_equal(gw_config_validate(&bad, "c", &err), GWEN_ERR_FORMAT);
}

static void presets(void **state) {
    (void)state;
    struct gw_config c;
    struct gwen_err err;
    assert_int_equal(gw_config_preset("qwen3-0.6b", &c, &err), GWEN_OK);
    assert_int_equal(gw_config_n_params(&c), 596049920);
    assert_int_equal(gw_config_n_tensors(&c), 310);
    assert_int_equal(gw_config_preset("qwen2.5-3b", &c, &err), GWEN_OK);
    assert_int_equal(gw_config_n_params(&c), 3085938688);
    assert_int_equal(gw_config_n_tensors(&c), 434);
    assert_int_equal(gw_config_preset("tiny", &c, &err), GWEN_OK);
    assert_in_range(gw_config_n_params(&c), 900000, 1100000);
    assert_int_equal(gw_config_preset("huge", &c, &err), GWEN_ERR_ARGUMENT);
    assert_string_equal(err.message,
                        "no preset \"huge\" (there are qwen3-0.6b, qwen2.5-3b and tiny)");
}

static void expected_tensors(void **state) {
    (void)state;
    struct gw_config c = accept_with(
        GW_ARCH_LLAMA, "\"attention_bias\":true,\"mlp_bias\":true,\"num_key_value_heads\":2");
    static const struct {
        size_t index;
        const char *name;
        size_t rank, shape[2];
    } want[] = {{0, "model.embed_tokens.weight", 2, {100, 64}},
                {1, "model.layers.0.input_layernorm.weight", 1, {64, 0}},
                {2, "model.layers.0.self_attn.q_proj.weight", 2, {64, 64}},
                {3, "model.layers.0.self_attn.q_proj.bias", 1, {64, 0}},
                {4, "model.layers.0.self_attn.k_proj.weight", 2, {32, 64}},
                {5, "model.layers.0.self_attn.k_proj.bias", 1, {32, 0}},
                {9, "model.layers.0.self_attn.o_proj.bias", 1, {64, 0}},
                {16, "model.layers.0.mlp.down_proj.bias", 1, {64, 0}},
                {17, "model.layers.1.input_layernorm.weight", 1, {64, 0}},
                {47, "model.layers.2.mlp.down_proj.weight", 2, {64, 160}},
                {49, "model.norm.weight", 1, {64, 0}},
                {50, "lm_head.weight", 2, {100, 64}}};
    assert_int_equal(gw_config_n_tensors(&c), 51);
    size_t params = 0;
    for (size_t i = 0; i < 51; i++) {
        struct gw_tensor_spec spec, again;
        gw_config_tensor_at(&c, i, &spec);
        gw_config_tensor(&c, spec.kind, spec.layer, &again);
        assert_string_equal(spec.name, again.name);
        params += spec.shape[0] * (spec.rank == 2 ? spec.shape[1] : 1);
        for (size_t j = 0; j < GW_ARRAY_LEN(want); j++) {
            if (want[j].index != i) continue;
            assert_string_equal(spec.name, want[j].name);
            assert_int_equal(spec.rank, want[j].rank);
            assert_memory_equal(spec.shape, want[j].shape, sizeof spec.shape);
        }
    }
    assert_int_equal(params, gw_config_n_params(&c));
    c = accept_with(GW_ARCH_QWEN3, "\"tie_word_embeddings\":true");
    struct gw_tensor_spec q_norm;
    gw_config_tensor(&c, GW_TENSOR_Q_NORM, 2, &q_norm);
    assert_string_equal(q_norm.name, "model.layers.2.self_attn.q_norm.weight");
    assert_int_equal(q_norm.shape[0], 128);
    assert_int_equal(gw_config_n_tensors(&c), 2 + 3 * 11);
}

/* Every configuration survives being written and read. */
static void write_and_read(void **state) {
    (void)state;
    static const struct {
        enum gw_arch arch;
        const char *fields;
    } cases[] = {
        {GW_ARCH_QWEN3, "\"head_dim\":24,\"tie_word_embeddings\":true,\"dtype\":\"bfloat16\","
                        "\"eos_token_id\":[5,6],\"attention_bias\":true,\"rope_theta\":1234567.5"},
        {GW_ARCH_QWEN2, "\"rms_norm_eps\":1.25e-5,\"initializer_range\":0.019999999552965164"},
        {GW_ARCH_QWEN2, "\"head_dim\":24,\"pad_token_id\":4,\"bos_token_id\":1"},
        {GW_ARCH_LLAMA, "\"mlp_bias\":true,\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.5}"},
        {GW_ARCH_LLAMA, "\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,"
                        "\"low_freq_factor\":1,\"high_freq_factor\":4,"
                        "\"original_max_position_embeddings\":96},\"eos_token_id\":null"},
        {GW_ARCH_MISTRAL, "\"torch_dtype\":\"float16\""},
    };
    for (size_t i = 0; i < GW_ARRAY_LEN(cases) + 3; i++) {
        static const char *const names[] = {"qwen3-0.6b", "qwen2.5-3b", "tiny"};
        struct gw_config c = {0}, again = {0};
        struct gw_generation_config g;
        struct gwen_err err = {0};
        if (i < GW_ARRAY_LEN(cases))
            c = accept_with(cases[i].arch, cases[i].fields);
        else
            gw_config_preset(names[i - GW_ARRAY_LEN(cases)], &c, &err);
        const char *dir = scratch_path("");
        assert_int_equal(gw_config_write(&c, dir, &err), GWEN_OK);
        if (gw_config_load(dir, &again, &err) != GWEN_OK) fail_msg("%s", err.message);
        assert_same(&c, &again);
        assert_int_equal(gw_generation_config_load(dir, &g, &err), GWEN_OK);
        const struct gw_eos eos = gw_generation_eos(&g, &c);
        assert_int_equal(eos.n, c.n_eos);
        assert_memory_equal(eos.ids, c.eos_ids, c.n_eos * sizeof *eos.ids);
        assert_int_equal(g.bos_id, c.bos_id);
    }
}

static void golden_configs(void **state) {
    (void)state;
    static const char *const names[] = {"models/tiny-qwen3",     "models/tiny-qwen3-bf16",
                                        "models/tiny-qwen2",     "models/tiny-llama",
                                        "models/tiny-llama-mha", "stories260K-hf"};
    for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
        const char *dir = golden_path(names[i]);
        if (dir == NULL) skip();
        struct gw_config five, four;
        struct gwen_err err = {0};
        struct gw_str text = {0}, path = {0};
        assert_int_equal(gw_config_load(dir, &five, &err), GWEN_OK);
        assert_int_equal(gw_path_join(&path, dir, "config.v4.json", &err), GWEN_OK);
        assert_int_equal(gw_file_read(path.data, 1 << 20, &text, &err), GWEN_OK);
        assert_int_equal(gw_config_parse(text.data, text.len, path.data, &four, &err), GWEN_OK);
        assert_same(&five, &four);
        gw_str_free(&text);
        gw_str_free(&path);
    }
}

static void load_errors(void **state) {
    (void)state;
    struct gw_config c;
    struct gwen_err err;
    assert_int_equal(gw_config_load(scratch_path("nowhere"), &c, &err), GWEN_ERR_IO);
    assert_non_null(strstr(err.message, "nowhere/config.json: No such file"));
    scratch_puts("broken/config.json", "{\"model_type\": NaN}");
    assert_int_equal(gw_config_load(scratch_path("broken"), &c, &err), GWEN_ERR_FORMAT);
    assert_non_null(strstr(err.message, "broken/config.json:1:16: NaN and Infinity"));
}

/* --- generation_config.json ----------------------------------------------------------------- */

static enum gwen_status generation(const char *text, struct gw_generation_config *g,
                                   struct gwen_err *err) {
    return gw_generation_config_parse(text, strlen(text), "g", g, err);
}

static void generation_fields(void **state) {
    (void)state;
    struct gw_generation_config g;
    struct gwen_err err;
    assert_int_equal(
        generation("{\"eos_token_id\":[151645,151643],\"bos_token_id\":1,\"pad_token_id\":2,"
                   "\"do_sample\":true,\"temperature\":0.6,\"top_k\":20,\"top_p\":0.95,"
                   "\"min_p\":0.1,\"repetition_penalty\":1.1,\"max_new_tokens\":64,"
                   "\"transformers_version\":\"5.0.0\"}",
                   &g, &err),
        GWEN_OK);
    assert_int_equal(g.n_eos, 2);
    assert_int_equal(g.eos_ids[1], 151643);
    assert_int_equal(g.bos_id, 1);
    assert_int_equal(g.pad_id, 2);
    assert_true(g.has_do_sample && g.do_sample && g.has_temperature && g.temperature == 0.6 &&
                g.has_top_k && g.top_k == 20 && g.has_top_p && g.top_p == 0.95 && g.has_min_p &&
                g.min_p == 0.1 && g.has_repetition_penalty && g.repetition_penalty == 1.1 &&
                g.has_max_new_tokens && g.max_new_tokens == 64);
    assert_string_equal(g.unsupported, "");
    assert_int_equal(generation("{\"temperature\":null,\"eos_token_id\":null}", &g, &err), GWEN_OK);
    assert_false(g.has_do_sample || g.has_temperature || g.has_top_k || g.has_top_p ||
                 g.has_min_p || g.has_repetition_penalty || g.has_max_new_tokens);
    assert_int_equal(g.n_eos, 0);
    assert_int_equal(g.bos_id, -1);
    assert_int_equal(generation("{\"temperature\":0.0,\"top_k\":-1,\"top_p\":1}", &g, &err),
                     GWEN_OK);
    assert_true(g.has_temperature && g.temperature == 0 && g.has_top_k && g.top_k == 0 &&
                g.has_top_p && g.top_p == 1);
    assert_int_equal(gw_generation_config_load(scratch_path("nowhere"), &g, &err), GWEN_OK);
    assert_int_equal(g.pad_id, -1);
}

static void generation_errors(void **state) {
    (void)state;
    struct gw_generation_config g;
    struct gwen_err err;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\"temperature\":-1}", "g: temperature: -1 is outside 0..1e+06"},
        {"{\"top_p\":1.5}", "g: top_p: 1.5 is outside 0..1"},
        {"{\"top_k\":0.5}", "g: top_k: expected an integer, not 0.5"},
        {"{\"repetition_penalty\":0}", "g: repetition_penalty: 0 is outside 1e-06..1e+06"},
        {"{\"do_sample\":\"no\"}", "g: do_sample: expected true or false, not \"no\""},
        {"[]", "g: expected a JSON object"},
    };
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        assert_int_equal(generation(cases[i].text, &g, &err), GWEN_ERR_FORMAT);
        assert_string_equal(err.message, cases[i].message);
    }
}

static void generation_unsupported(void **state) {
    (void)state;
    struct gw_generation_config g;
    struct gwen_err err;
    assert_int_equal(generation("{\"num_beams\":1,\"suppress_tokens\":[],\"typical_p\":1.0,"
                                "\"no_repeat_ngram_size\":3}",
                                &g, &err),
                     GWEN_OK);
    assert_string_equal(g.unsupported, "no_repeat_ngram_size 3");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_by_type),
        cmocka_unit_test(model_types),
        cmocka_unit_test(sizes),
        cmocka_unit_test(bad_sizes),
        cmocka_unit_test(norm_and_init),
        cmocka_unit_test(activation),
        cmocka_unit_test(biases),
        cmocka_unit_test(ties),
        cmocka_unit_test(dtypes),
        cmocka_unit_test(token_ids),
        cmocka_unit_test(rope_of_both_styles),
        cmocka_unit_test(rope_refused),
        cmocka_unit_test(sliding_windows),
        cmocka_unit_test(mistral_windows),
        cmocka_unit_test(neutral_fields),
        cmocka_unit_test(validate),
        cmocka_unit_test(presets),
        cmocka_unit_test(expected_tensors),
        cmocka_unit_test(write_and_read),
        cmocka_unit_test(golden_configs),
        cmocka_unit_test(load_errors),
        cmocka_unit_test(generation_fields),
        cmocka_unit_test(generation_errors),
        cmocka_unit_test(generation_unsupported),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

/* presets.c - built-in configurations for `init`, benchmarks and tests. */
#include "checkpoint/config/config.h"

#include <string.h>

static const struct {
    const char *name;
    struct gw_config config;
} presets[] = {
    {"qwen3-0.6b",
     {.arch = GW_ARCH_QWEN3,
      .vocab_size = 151936,
      .hidden = 1024,
      .n_layers = 28,
      .n_heads = 16,
      .n_kv_heads = 8,
      .head_dim = 128,
      .ffn = 3072,
      .max_position_embeddings = 40960,
      .rms_eps = 1e-6,
      .tie_word_embeddings = true,
      .qk_norm = true,
      .rope = {.type = GW_ROPE_DEFAULT, .theta = 1e6, .factor = 1},
      .dtype = GW_DTYPE_BF16,
      .initializer_range = 0.02,
      .eos_ids = {151645},
      .n_eos = 1,
      .bos_id = 151643,
      .pad_id = -1}},
    {"qwen2.5-3b",
     {.arch = GW_ARCH_QWEN2,
      .vocab_size = 151936,
      .hidden = 2048,
      .n_layers = 36,
      .n_heads = 16,
      .n_kv_heads = 2,
      .head_dim = 128,
      .ffn = 11008,
      .max_position_embeddings = 32768,
      .rms_eps = 1e-6,
      .tie_word_embeddings = true,
      .qkv_bias = true,
      .rope = {.type = GW_ROPE_DEFAULT, .theta = 1e6, .factor = 1},
      .dtype = GW_DTYPE_BF16,
      .initializer_range = 0.02,
      .eos_ids = {151643},
      .n_eos = 1,
      .bos_id = 151643,
      .pad_id = -1}},
    /* one million weights with what qwen3 has: grouped heads, q/k norms, tied embeddings, and
     * heads * head_dim unlike hidden; for byte-level tokenizers of up to 512 tokens */
    {"tiny",
     {.arch = GW_ARCH_QWEN3,
      .vocab_size = 512,
      .hidden = 128,
      .n_layers = 4,
      .n_heads = 4,
      .n_kv_heads = 2,
      .head_dim = 64,
      .ffn = 384,
      .max_position_embeddings = 2048,
      .rms_eps = 1e-6,
      .tie_word_embeddings = true,
      .qk_norm = true,
      .rope = {.type = GW_ROPE_DEFAULT, .theta = 1e4, .factor = 1},
      .dtype = GW_DTYPE_BF16,
      .initializer_range = 0.02,
      .eos_ids = {2},
      .n_eos = 1,
      .bos_id = 1,
      .pad_id = 0}},
};

enum gwen_status gw_config_preset(const char *name, struct gw_config *c, struct gwen_err *err) {
    for (size_t i = 0; i < GW_ARRAY_LEN(presets); i++) {
        if (strcmp(name, presets[i].name) != 0) continue;
        *c = presets[i].config;
        return GWEN_OK;
    }
    return gw_fail(err, GWEN_ERR_ARGUMENT,
                   "no preset \"%s\" (there are qwen3-0.6b, qwen2.5-3b and tiny)", name);
}

/* write.c - config.json and generation_config.json as transformers 5 writes them: keys in
 * alphabetical order, two spaces of indent. */
#include "checkpoint/config/config.h"

#include "base/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define GW_WRITTEN_FOR "5.0.0" /* transformers_version: whose style this is */

/* A JSON number that Python reads as a float. */
static void put_real(struct gw_str *s, double v) {
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    bool integral = v == floor(v) && fabs(v) < 1e15;
    if (integral) snprintf(text, sizeof text, "%.1f", v);
    gw_str_puts(s, text);
}

static void put_bool(struct gw_str *s, const char *key, bool v) {
    gw_str_printf(s, "  \"%s\": %s,\n", key, v ? "true" : "false");
}

static void put_size(struct gw_str *s, const char *key, size_t v) {
    gw_str_printf(s, "  \"%s\": %zu,\n", key, v);
}

static void put_id(struct gw_str *s, const char *key, int32_t id) {
    if (id < 0)
        gw_str_printf(s, "  \"%s\": null,\n", key);
    else
        gw_str_printf(s, "  \"%s\": %d,\n", key, (int)id);
}

static void put_eos(struct gw_str *s, const struct gw_config *c) {
    if (c->n_eos <= 1) {
        put_id(s, "eos_token_id", c->n_eos == 1 ? c->eos_ids[0] : -1);
        return;
    }
    gw_str_puts(s, "  \"eos_token_id\": [\n");
    for (size_t i = 0; i < c->n_eos; i++)
        gw_str_printf(s, "    %d%s\n", (int)c->eos_ids[i], i + 1 < c->n_eos ? "," : "");
    gw_str_puts(s, "  ],\n");
}

static void put_rope(struct gw_str *s, const struct gw_rope *r) {
    static const char *const types[] = {
        [GW_ROPE_DEFAULT] = "default", [GW_ROPE_LINEAR] = "linear", [GW_ROPE_LLAMA3] = "llama3"};
    gw_str_puts(s, "  \"rope_parameters\": {\n");
    if (r->type != GW_ROPE_DEFAULT) {
        gw_str_puts(s, "    \"factor\": ");
        put_real(s, r->factor);
        gw_str_puts(s, ",\n");
    }
    if (r->type == GW_ROPE_LLAMA3) {
        gw_str_puts(s, "    \"high_freq_factor\": ");
        put_real(s, r->high_freq_factor);
        gw_str_puts(s, ",\n    \"low_freq_factor\": ");
        put_real(s, r->low_freq_factor);
        gw_str_printf(s, ",\n    \"original_max_position_embeddings\": %zu,\n",
                      r->original_max_position_embeddings);
    }
    gw_str_puts(s, "    \"rope_theta\": ");
    put_real(s, r->theta);
    gw_str_printf(s, ",\n    \"rope_type\": \"%s\"\n  },\n", types[r->type]);
}

static void put_config(struct gw_str *s, const struct gw_config *c) {
    static const char *const classes[] = {[GW_ARCH_QWEN3] = "Qwen3ForCausalLM",
                                          [GW_ARCH_QWEN2] = "Qwen2ForCausalLM",
                                          [GW_ARCH_LLAMA] = "LlamaForCausalLM",
                                          [GW_ARCH_MISTRAL] = "MistralForCausalLM"};
    bool qwen = c->arch == GW_ARCH_QWEN3 || c->arch == GW_ARCH_QWEN2;
    bool llama = c->arch == GW_ARCH_LLAMA;
    gw_str_printf(s, "{\n  \"architectures\": [\n    \"%s\"\n  ],\n", classes[c->arch]);
    if (c->arch == GW_ARCH_QWEN3 || llama) put_bool(s, "attention_bias", c->qkv_bias);
    gw_str_puts(s, "  \"attention_dropout\": 0.0,\n");
    put_id(s, "bos_token_id", c->bos_id);
    if (c->dtype != GW_DTYPE_NONE)
        gw_str_printf(s, "  \"dtype\": \"%s\",\n", gw_dtype_torch_name(c->dtype));
    put_eos(s, c);
    /* Qwen2Config has no such field but takes it; it is needed where it is not hidden / heads */
    if (c->arch != GW_ARCH_QWEN2 || c->n_heads * c->head_dim != c->hidden)
        put_size(s, "head_dim", c->head_dim);
    gw_str_puts(s, "  \"hidden_act\": \"silu\",\n");
    put_size(s, "hidden_size", c->hidden);
    gw_str_puts(s, "  \"initializer_range\": ");
    put_real(s, c->initializer_range);
    gw_str_puts(s, ",\n");
    put_size(s, "intermediate_size", c->ffn);
    put_size(s, "max_position_embeddings", c->max_position_embeddings);
    if (qwen) put_size(s, "max_window_layers", c->n_layers);
    if (llama) put_bool(s, "mlp_bias", c->mlp_bias);
    gw_str_printf(s, "  \"model_type\": \"%s\",\n", gw_arch_name(c->arch));
    put_size(s, "num_attention_heads", c->n_heads);
    put_size(s, "num_hidden_layers", c->n_layers);
    put_size(s, "num_key_value_heads", c->n_kv_heads);
    put_id(s, "pad_token_id", c->pad_id);
    if (llama) gw_str_puts(s, "  \"pretraining_tp\": 1,\n");
    gw_str_puts(s, "  \"rms_norm_eps\": ");
    put_real(s, c->rms_eps);
    gw_str_puts(s, ",\n");
    put_rope(s, &c->rope);
    if (!llama) gw_str_puts(s, "  \"sliding_window\": null,\n");
    put_bool(s, "tie_word_embeddings", c->tie_word_embeddings);
    gw_str_puts(s, "  \"transformers_version\": \"" GW_WRITTEN_FOR "\",\n");
    put_bool(s, "use_cache", true);
    if (qwen) put_bool(s, "use_sliding_window", false);
    gw_str_printf(s, "  \"vocab_size\": %zu\n}\n", c->vocab_size);
}

static void put_generation(struct gw_str *s, const struct gw_config *c) {
    gw_str_puts(s, "{\n  \"_from_model_config\": true,\n");
    if (c->bos_id >= 0) put_id(s, "bos_token_id", c->bos_id);
    if (c->n_eos > 0) put_eos(s, c);
    if (c->pad_id >= 0) put_id(s, "pad_token_id", c->pad_id);
    gw_str_puts(s, "  \"transformers_version\": \"" GW_WRITTEN_FOR "\"\n}\n");
}

static enum gwen_status write_into(const char *dir, const char *name, const struct gw_str *text,
                                   struct gwen_err *err) {
    if (text->failed) return gw_nomem(err, text->cap, name);
    struct gw_str path = {0};
    enum gwen_status status = gw_path_join(&path, dir, name, err);
    if (status == GWEN_OK) status = gw_file_write(path.data, text->data, text->len, err);
    gw_str_free(&path);
    return status;
}

enum gwen_status gw_config_write(const struct gw_config *c, const char *dir, struct gwen_err *err) {
    GW_TRY(gw_config_validate(c, dir, err));
    struct gw_str config = {0}, generation = {0};
    put_config(&config, c);
    put_generation(&generation, c);
    enum gwen_status status = write_into(dir, "config.json", &config, err);
    if (status == GWEN_OK) status = write_into(dir, "generation_config.json", &generation, err);
    gw_str_free(&config);
    gw_str_free(&generation);
    return status;
}

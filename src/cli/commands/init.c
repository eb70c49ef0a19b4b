/* init.c - gwen-cpu init: a model directory with random weights. */
#include "cli/output.h"

#include "base/file.h"
#include "checkpoint/hub.h"
#include "checkpoint/weights_init.h"
#include "text/tokenizer/tokenizer.h"

#include <string.h>

enum { CONFIG_MAX_BYTES = 1 << 20 };

struct init {
    const char *config, *preset, *tokenizer, *out;
    bool overwrite;
};

static enum gwen_status read_config(const char *path, struct gw_config *c, struct gwen_err *err) {
    struct gw_str text = {0};
    enum gwen_status status = gw_file_read(path, CONFIG_MAX_BYTES, &text, err);
    if (status == GWEN_OK)
        status = gw_config_parse(text.data != NULL ? text.data : "", text.len, path, c, err);
    gw_str_free(&text);
    return status;
}

static int32_t named_id(const struct gw_tokenizer *t, enum gw_named_token which) {
    int32_t id = -1;
    return gw_tokenizer_named(t, which, &id) != NULL ? id : -1;
}

/* The tiny preset is whatever size its tokenizer is, and ends where that says. */
static void adopt_tokenizer(struct gw_config *c, const struct gw_tokenizer *t) {
    int32_t eos = named_id(t, GW_TOKEN_EOS);
    if (gw_tokenizer_size(t) > c->vocab_size) c->vocab_size = gw_round_up(gw_tokenizer_size(t), 64);
    c->n_eos = eos >= 0;
    c->eos_ids[0] = eos;
    c->bos_id = named_id(t, GW_TOKEN_BOS);
    c->pad_id = named_id(t, GW_TOKEN_PAD);
}

/* Every id of the tokenizer needs a row of the embedding. */
static enum gwen_status match_tokenizer(struct gw_config *c, const struct init *o, const char *dir,
                                        struct gwen_err *err) {
    struct gw_tokenizer *t;
    GW_TRY(gw_tokenizer_load(dir, &t, err));
    if (o->preset != NULL && strcmp(o->preset, "tiny") == 0) adopt_tokenizer(c, t);
    size_t size = gw_tokenizer_size(t);
    gw_tokenizer_free(t);
    if (size <= c->vocab_size) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_ARGUMENT,
                   "%s: the tokenizer has %zu ids, but the configuration's vocab_size is %zu", dir,
                   size, c->vocab_size);
}

static enum gwen_status init(struct gw_cli *cli, const struct init *o, struct gw_str *tokenizer,
                             struct gwen_err *err) {
    struct gw_config c;
    struct gw_init_options opts = {
        .seed = cli->common.seed,
        .dtype = cli->common.dtype,
        .progress = gw_cli_progress,
        .progress_user = cli,
    };
    if (o->preset != NULL)
        GW_TRY(gw_config_preset(o->preset, &c, err));
    else
        GW_TRY(read_config(o->config, &c, err));
    if (o->tokenizer != NULL) {
        GW_TRY(gw_hub_resolve(o->tokenizer, cli->common.cache_root, tokenizer, err));
        GW_TRY(match_tokenizer(&c, o, tokenizer->data, err));
        opts.tokenizer_dir = tokenizer->data;
    }
    GW_TRY(gw_output_check(cli, "out", o->out, o->overwrite, err));
    GW_TRY(gw_weights_init(&c, &opts, o->out, err));
    gw_log(&cli->log, GWEN_LOG_INFO, "%s: %s with %zu random parameters", o->out,
           gw_arch_name(c.arch), gw_config_n_params(&c));
    return GWEN_OK;
}

int gw_cmd_init(struct gw_cli *cli, int argc, char **argv) {
    struct init o = {0};
    const struct gw_option options[] = {
        GW_OPT_STRING("config", 0, &o.config, "FILE", "config.json to build the model from"),
        GW_OPT_STRING("preset", 0, &o.preset, "qwen3-0.6b|qwen2.5-3b|tiny",
                      "built-in configuration to build the model from"),
        GW_OPT_STRING("tokenizer", 0, &o.tokenizer, "DIR",
                      "copy the tokenizer of this directory (or hub id)"),
        GW_OPT_STRING("out", 'o', &o.out, "DIR", "directory to write"),
        GW_OPT_OVERWRITE(&o.overwrite),
    };
    const struct gw_cli_spec spec = {
        "--config FILE | --preset NAME  --out DIR [options]",
        "Writes a model with random weights as a complete Hugging Face directory:\n"
        "config.json, generation_config.json, model.safetensors and the tokenizer's\n"
        "files.  Matrices are normal with the configuration's initializer_range, norms\n"
        "1, biases 0.  The same seed gives the same weights on every machine.  --preset\n"
        "tiny takes the size of its vocabulary and its special tokens from the\n"
        "tokenizer.",
        options,
        GW_ARRAY_LEN(options),
        0,
        false};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
    if ((o.config == NULL) == (o.preset == NULL))
        return gw_cli_usage(cli, "give either --config or --preset");
    if (o.out == NULL) return gw_cli_usage(cli, "--out is needed: the directory to write");
    struct gw_config preset;
    struct gwen_err err;
    if (o.preset != NULL && gw_config_preset(o.preset, &preset, &err) != GWEN_OK)
        return gw_cli_usage(cli, "--preset: %s", err.message);
    struct gw_str tokenizer = {0};
    enum gwen_status status = init(cli, &o, &tokenizer, &err);
    gw_str_free(&tokenizer);
    return gw_cli_end(cli, status, &err);
}

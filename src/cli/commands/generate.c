/* generate.c - gwen-cpu generate: completions of a prompt, to read. */
#include "cli/with_prompts.h"
#include "service/rollout/ordered.h"

#include <string.h>

enum { DEFAULT_MAX_TOKENS = 256 };

struct generate {
    struct gw_cli *cli;
    struct gw_prompting p;
    const char *prompt, *prompts_path;
    size_t n, max_tokens, batch; /* max_tokens 0: the model's own or ours */
    struct gw_prompts prompts;
    struct gw_rollout_opts opts;
    struct gw_rollout_plan plan;
    struct gw_ordered *ordered;
    struct gw_str out;
    bool stream; /* one sample as text: shown as it comes */
};

static enum gwen_status emit(void *ctx, const char *row, size_t len, struct gwen_err *err) {
    struct generate *g = ctx;
    return gw_cli_write(g->cli, row, len, err);
}

static enum gwen_status on_text(void *ctx, size_t prompt, size_t sample, const char *text,
                                size_t len, struct gwen_err *err) {
    const struct generate *g = ctx;
    (void)prompt, (void)sample;
    return gw_cli_write(g->cli, text, len, err);
}

static enum gwen_status on_sample(void *ctx, const struct gw_rollout_sample *s,
                                  struct gwen_err *err) {
    struct generate *g = ctx;
    if (g->stream) return gw_cli_write(g->cli, "\n", 1, err);
    gw_str_clear(&g->out);
    if (g->cli->common.json) {
        gw_rollout_put_row(&g->out, s, gw_runtime_class(&g->p.rt));
    } else {
        if (g->prompts.n * g->n > 1)
            gw_str_printf(&g->out, "== prompt %zu, sample %zu ==\n", s->prompt_id, s->sample_id);
        gw_str_put(&g->out, s->text, s->text_len);
        gw_str_putc(&g->out, '\n');
    }
    if (g->out.failed) return gw_nomem(err, s->n, "a row");
    return gw_ordered_put(g->ordered, s->prompt_id * g->n + s->sample_id, g->out.data, g->out.len,
                          err);
}

/* A limit that was not asked for gives way to the context. */
static enum gwen_status read_prompts(struct generate *g, struct gwen_err *err) {
    const struct gw_generation_config *gc = &g->p.rt.generation;
    bool asked = g->max_tokens != 0;
    if (!asked) g->max_tokens = gc->has_max_new_tokens ? gc->max_new_tokens : DEFAULT_MAX_TOKENS;
    const struct gw_prompt_opts o = gw_prompting_prompts(&g->p, g->max_tokens, !asked);
    if (g->prompts_path != NULL) return gw_prompts_read(g->prompts_path, &o, &g->prompts, err);
    return gw_err_prefix(err, gw_prompts_add_text(&g->prompts, &o, g->prompt, err), "--prompt");
}

static enum gwen_status sample_all(struct generate *g, struct gwen_err *err) {
    struct gw_runtime *rt = &g->p.rt;
    struct gw_rollout *rollout;
    struct gw_rollout_stats stats;
    /* One sample is shown as it comes; a bar would be in its way. */
    g->stream = !g->cli->common.json && g->prompts.n * g->n == 1;
    if (g->stream) g->cli->bar.on = false;
    const struct gw_rollout_sink sink = {.ctx = g,
                                         .sample = on_sample,
                                         .text = g->stream ? on_text : NULL,
                                         .progress = gw_cli_progress,
                                         .progress_user = g->cli};
    GW_TRY(gw_ordered_new(g->prompts.n * g->n, emit, g, &g->ordered, err));
    GW_TRY(
        gw_rollout_create(rt->model, rt->pool, rt->tokenizer, &g->opts, &g->plan, &rollout, err));
    enum gwen_status status = gw_rollout_run(rollout, &g->prompts, &sink, &stats, err);
    gw_rollout_free(rollout);
    gw_prompting_log_stats(&g->p, &stats, g->plan.options.engine.slots, false);
    return status;
}

static enum gwen_status generate(struct generate *g, struct gwen_err *err) {
    struct gw_runtime *rt = &g->p.rt;
    GW_TRY(gw_prompting_open(&g->p, g->cli, err));
    if (rt->tokenizer == NULL && !g->cli->common.json)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "%s has no tokenizer: prompts must be given as \"ids\" in --prompts FILE, "
                       "and the answer be asked for with --json",
                       rt->dir.data);
    gw_prompting_defaults(&g->p);
    GW_TRY(gw_sampling_check(&g->p.sampling, err));
    GW_TRY(read_prompts(g, err));
    g->opts = gw_prompting_rollout(&g->p, g->n);
    g->opts.file_order = true;
    const struct gw_plan_options base = gw_runtime_plan(rt);
    struct gw_speed speed;
    if (g->batch == 0) gw_runtime_speed(rt, &speed);
    GW_TRY(
        gw_rollout_plan(&base, &speed, &g->prompts, &g->opts, g->batch, rt->budget, &g->plan, err));
    gw_prompting_log_prefill(&g->p, &g->plan);
    GW_TRY(gw_runtime_load(rt, &g->plan.options, err));
    return sample_all(g, err);
}

int gw_cmd_generate(struct gw_cli *cli, int argc, char **argv) {
    struct generate g = {.cli = cli, .p = {.sampling = GW_SAMPLING_UNSET}, .n = 1};
    const struct gw_option options[] = {
        GW_OPT_ADAPTER(cli),
        GW_OPT_STRING("prompt", 'p', &g.prompt, "TEXT", "the prompt"),
        GW_OPT_STRING("prompts", 0, &g.prompts_path, "FILE",
                      "prompts, a JSONL file as for rollout"),
        GW_OPT_COUNT("groups", 'n', &g.n, 1, 1 << 20, "samples of each prompt"),
        GW_OPT_AUTO("max-tokens", 0, &g.max_tokens, 1, 1 << 24,
                    "tokens of a sample; auto: the model's own limit, else 256"),
        GW_OPT_AUTO("rollout-batch-size", 'B', &g.batch, 1, 1 << 16, "samples decoded together"),
        GW_SAMPLING_OPTIONS(g.p),
        GW_OPT_FLAG("chat", 0, &g.p.as_chat,
                    "treat prompts as user messages: apply the chat template"),
        GW_CHAT_OPTIONS(g.p),
    };
    const struct gw_cli_spec spec = {
        "--model DIR (--prompt TEXT | --prompts FILE) [options]",
        "Samples completions and writes their texts; one alone is shown as it comes.  With\n"
        "--json a line for each sample, as rollout writes them.\n"
        "\n"
        "Sampling options that are not given are those of the model's\n"
        "generation_config.json: greedy, unless that says do_sample.  --top-k, --top-p and\n"
        "--min-p without --temp turn sampling on.",
        options,
        GW_ARRAY_LEN(options),
        0,
        true};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
    if ((g.prompt == NULL) == (g.prompts_path == NULL))
        return gw_cli_usage(cli, "give --prompt TEXT or --prompts FILE");
    if (!gw_prompting_check(&g.p, cli, &code)) return code;
    struct gwen_err err;
    enum gwen_status status = generate(&g, &err);
    gw_ordered_free(g.ordered);
    gw_prompts_free(&g.prompts);
    gw_str_free(&g.out);
    gw_prompting_close(&g.p);
    return gw_cli_end(cli, status, &err);
}

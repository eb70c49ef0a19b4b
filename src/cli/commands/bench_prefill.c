/* bench_prefill.c - gwen-cpu bench prefill: prompts, of which the last token's logits are wanted.
 */
#include "cli/commands/bench_common.h"

struct prefill {
    struct gw_counts prompt_tokens;
    size_t runs;
    bool profile;
    struct gw_runtime rt;
    struct gw_limits limits; /* of all threads */
};

static size_t most_bytes(const struct prefill *b) {
    size_t most = 0;
    for (size_t i = 0; i < b->prompt_tokens.n; i++)
        most = GW_MAX(most, gw_bench_prefill_bytes(&b->rt.cfg, b->rt.arith.format,
                                                   b->prompt_tokens.items[i], b->rt.n_threads));
    return most;
}

static enum gwen_status measure(struct prefill *b, struct gwen_err *err) {
    for (size_t i = 0; i < b->prompt_tokens.n && gw_interrupt_signal() == 0; i++) {
        struct gw_profile profile = {0};
        struct gw_rate rate;
        size_t n = b->prompt_tokens.items[i];
        const struct gw_bench_profiled of = {(double)b->runs, n, 1, (double)(n + 1) / 2, (double)n};
        GW_TRY(gw_bench_prefill(b->rt.model, b->rt.pool, &b->limits, n, (int)b->runs,
                                b->rt.cli->common.seed, b->profile ? &profile : NULL, &rate, err));
        GW_TRY(gw_bench_put_rate(&b->rt, "prefill", 1, n, 0, &rate, err));
        if (b->profile) GW_TRY(gw_bench_put_profile(&b->rt, &b->limits, &profile, &of, err));
    }
    return GWEN_OK;
}

static enum gwen_status prefill(struct prefill *b, struct gw_cli *cli, struct gwen_err *err) {
    GW_TRY(gw_bench_open(&b->rt, cli, err));
    GW_TRY(gw_bench_load(&b->rt, most_bytes(b), &b->limits, err));
    return measure(b, err);
}

int gw_cmd_bench_prefill(struct gw_cli *cli, int argc, char **argv) {
    size_t prompt_tokens[] = {512};
    struct prefill b = {.prompt_tokens = {prompt_tokens, GW_ARRAY_LEN(prompt_tokens)}, .runs = 3};
    const struct gw_option options[] = {
        GW_OPT_ADAPTER(cli),
        GW_OPT_COUNTS("prompt-tokens", 0, &b.prompt_tokens, 1, 1 << 20, "prompt lengths"),
        GW_BENCH_OPT_RUNS(&b.runs),
        GW_BENCH_OPT_PROFILE(&b.profile),
    };
    const struct gw_cli_spec spec = {
        .usage = "--model DIR [options]",
        .about =
            "Measures the tokens/s of processing one prompt up to the logits of its last token.",
        .options = options,
        .n_options = GW_ARRAY_LEN(options),
        .needs_model = true};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
    struct gwen_err err;
    enum gwen_status status = prefill(&b, cli, &err);
    gw_runtime_close(&b.rt);
    return gw_cli_end(cli, status, &err);
}

/* bench_decode.c - gwen-cpu bench decode: steps of one token for each row of a batch, and what
 * longer prompts cost them. */
#include "cli/commands/bench_common.h"

#include "ops/peak.h"

/* Time for measuring how fast memory is read. */
static const double READ_SECONDS = 1.5;

struct decode {
    struct gw_counts batch, prompt_tokens;
    size_t new_tokens, runs;
    bool separate_prompts, profile;
    struct gw_runtime rt;
    struct gw_limits limits; /* of all threads */
};

static struct gw_bench_decode_opts decode_opts(const struct decode *b, size_t batch,
                                               size_t prompt_tokens) {
    return (struct gw_bench_decode_opts){.batch = batch,
                                         .prompt_tokens = prompt_tokens,
                                         .new_tokens = b->new_tokens,
                                         .separate_prompts = b->separate_prompts,
                                         .runs = (int)b->runs,
                                         .seed = b->rt.cli->common.seed};
}

/* What the largest measurement takes beside the weights. */
static size_t most_bytes(const struct decode *b) {
    const struct gw_counts *batch = &b->batch, *prompt = &b->prompt_tokens;
    size_t most = 0;
    for (size_t i = 0; i < prompt->n; i++)
        for (size_t j = 0; j < batch->n; j++) {
            struct gw_bench_decode_opts o = decode_opts(b, batch->items[j], prompt->items[i]);
            most = GW_MAX(
                most, gw_bench_decode_bytes(&b->rt.cfg, b->rt.arith.format, &o, b->rt.n_threads));
        }
    return most;
}

/* A measured decode, and the speed that memory kept up right after it: on shared machines the best
 * milliseconds, which are the limit, may be twice what lasts. */
struct decoded {
    struct gw_bench_decode_opts o;
    double tok_s, bytes_s;
};

/* How much slower longer prompts decode, beside what their keys and values (read at the speed of
 * memory) and the attention to them (at the peak) add to a step as it was measured. */
static enum gwen_status put_loss(const struct decode *b, const struct decoded *from,
                                 const struct decoded *to, struct gwen_err *err) {
    const struct gw_bench_decode_opts *base = &from->o, *o = &to->o;
    struct gw_str s = {0};
    double context[2], kv_tokens[2], flops[2], bytes[2];
    gw_bench_decode_context(base, &context[0], &kv_tokens[0]);
    gw_bench_decode_context(o, &context[1], &kv_tokens[1]);
    for (int i = 0; i < 2; i++)
        gw_op_cost(b->rt.model, GW_OP_ATTEND, o->batch, o->batch, context[i], kv_tokens[i],
                   &flops[i], &bytes[i]);
    double more_flops = flops[1] - flops[0], more_bytes = bytes[1] - bytes[0];
    double seconds = (double)o->batch / from->tok_s, bandwidth = (from->bytes_s + to->bytes_s) / 2;
    double more = GW_MAX(more_flops / b->limits.flops_s, more_bytes / bandwidth);
    double loss = 1 - to->tok_s / from->tok_s, predicted = more / (seconds + more);
    static const char formula[] =
        "dT / (T + dT), dT = max(more KV bytes / bandwidth kept up, more attention flops / peak)";
    if (b->rt.cli->common.json) {
        gw_bench_put_common(&s, &b->rt, "loss");
        gw_str_printf(&s,
                      ",\"batch\":%zu,\"prompt_tokens\":%zu,\"base_prompt_tokens\":%zu,"
                      "\"separate_prompts\":%s",
                      o->batch, o->prompt_tokens, base->prompt_tokens,
                      o->separate_prompts ? "true" : "false");
        gw_bench_put_real(&s, "loss", loss);
        gw_bench_put_real(&s, "predicted_loss", predicted);
        gw_bench_put_real(&s, "base_step_ms", seconds * 1e3);
        gw_bench_put_real(&s, "more_ms", more * 1e3);
        gw_bench_put_real(&s, "more_kv_bytes", more_bytes);
        gw_bench_put_real(&s, "more_flops", more_flops);
        gw_bench_put_real(&s, "bandwidth_gb_s", bandwidth * 1e-9);
        gw_bench_put_real(&s, "peak_gflops", b->limits.flops_s * 1e-9);
        gw_str_printf(&s, ",\"formula\":\"%s\"}\n", formula);
    } else {
        gw_str_printf(&s,
                      "loss     | batch %4zu | prompts of %zu tokens%s instead of %zu: %.1f %%, "
                      "predicted %.1f %%\n"
                      "  predicted = %s\n"
                      "  T = %.2f ms, dT = %.2f ms = max(%.3f GB / %.1f GB/s, "
                      "%.2f GFLOP / %.0f GFLOP/s)\n",
                      o->batch, o->prompt_tokens, o->separate_prompts ? ", one for each row" : "",
                      base->prompt_tokens, 100 * loss, 100 * predicted, formula, seconds * 1e3,
                      more * 1e3, more_bytes * 1e-9, bandwidth * 1e-9, more_flops * 1e-9,
                      b->limits.flops_s * 1e-9);
    }
    enum gwen_status status = gw_cli_put(b->rt.cli, &s, err);
    gw_str_free(&s);
    return status;
}

static enum gwen_status decode_once(struct decode *b, struct gw_bench_decode_opts *o,
                                    struct gw_rate *rate, struct gwen_err *err) {
    struct gw_profile profile = {0};
    struct gw_bench_profiled of = {
        .n_steps = (double)(b->runs * o->new_tokens), .rows = o->batch, .n_out = o->batch};
    o->profile = b->profile ? &profile : NULL;
    GW_TRY(gw_bench_decode(b->rt.model, b->rt.pool, &b->limits, o, rate, err));
    GW_TRY(
        gw_bench_put_rate(&b->rt, "decode", o->batch, o->prompt_tokens, o->new_tokens, rate, err));
    gw_bench_decode_context(o, &of.context, &of.kv_tokens);
    return b->profile ? gw_bench_put_profile(&b->rt, &b->limits, &profile, &of, err) : GWEN_OK;
}

static enum gwen_status lasting_bandwidth(struct decode *b, double *bytes_s, struct gwen_err *err) {
    struct gw_read_peak read;
    GW_TRY(gw_peak_read(&b->rt.arith, b->rt.pool, b->rt.budget / 4, READ_SECONDS, &read, err));
    *bytes_s = read.mean_bytes_s;
    return GWEN_OK;
}

static enum gwen_status measure(struct decode *b, struct gwen_err *err) {
    const struct gw_counts *batch = &b->batch, *prompt = &b->prompt_tokens;
    for (size_t i = 0; i < batch->n; i++) {
        struct decoded base = {0};
        for (size_t j = 0; j < prompt->n && gw_interrupt_signal() == 0; j++) {
            struct decoded one = {.o = decode_opts(b, batch->items[i], prompt->items[j])};
            struct gw_rate rate;
            GW_TRY(decode_once(b, &one.o, &rate, err));
            one.tok_s = rate.mean;
            if (prompt->n > 1) GW_TRY(lasting_bandwidth(b, &one.bytes_s, err));
            if (j == 0)
                base = one;
            else
                GW_TRY(put_loss(b, &base, &one, err));
        }
    }
    return GWEN_OK;
}

static enum gwen_status decode(struct decode *b, struct gw_cli *cli, struct gwen_err *err) {
    GW_TRY(gw_bench_open(&b->rt, cli, err));
    GW_TRY(gw_bench_load(&b->rt, most_bytes(b), &b->limits, err));
    return measure(b, err);
}

int gw_cmd_bench_decode(struct gw_cli *cli, int argc, char **argv) {
    size_t batch[] = {1, 8, 32, 64}, prompt_tokens[] = {128};
    struct decode b = {.batch = {batch, GW_ARRAY_LEN(batch)},
                       .prompt_tokens = {prompt_tokens, GW_ARRAY_LEN(prompt_tokens)},
                       .new_tokens = 32,
                       .runs = 3};
    const struct gw_option options[] = {
        GW_OPT_ADAPTER(cli),
        GW_OPT_COUNTS("batch", 0, &b.batch, 1, 65536, "batch sizes: rows decoded together"),
        GW_OPT_COUNTS("prompt-tokens", 0, &b.prompt_tokens, 1, 1 << 20, "prompt lengths"),
        GW_OPT_COUNT("new-tokens", 0, &b.new_tokens, 1, 1 << 20, "decoding steps of a measurement"),
        GW_BENCH_OPT_RUNS(&b.runs),
        GW_OPT_FLAG("separate-prompts", 0, &b.separate_prompts,
                    "each row has a prompt of its own instead of one shared by all"),
        GW_BENCH_OPT_PROFILE(&b.profile),
    };
    const struct gw_cli_spec spec = {
        .usage = "--model DIR [options]",
        .about =
            "Measures the tokens/s of decoding --batch rows together after a prompt of\n"
            "--prompt-tokens tokens, beside the limit set by reading weights and keys and values\n"
            "once a step.  Given several prompt lengths, it also prints how much slower the\n"
            "longer ones are than the first, and what the additional bytes and FLOPs of\n"
            "attention predict.",
        .options = options,
        .n_options = GW_ARRAY_LEN(options),
        .needs_model = true};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
    struct gwen_err err;
    enum gwen_status status = decode(&b, cli, &err);
    gw_runtime_close(&b.rt);
    return gw_cli_end(cli, status, &err);
}

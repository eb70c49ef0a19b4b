/* cmd_bench.c - gwen-cpu bench: what this machine does, beside what it could do at best. */
#include "cli/runtime.h"

#include "ops/peak.h"
#include "service/bench.h"

#include <stdio.h>
#include <string.h>

enum { AUTO_SLOTS = 64 };

/* Time for measuring the machine's own limits. */
static const double PEAK_SECONDS = 0.3, READ_SECONDS = 1.5, GEMM_SECONDS = 0.3;

struct bench {
    struct gw_counts batch;
    size_t prompt_tokens, new_tokens, runs, warmup;
    bool separate_prompts, profile;
    /* rollout */
    size_t groups, max_tokens, slots;
    double temperature;
    const char *lengths;
    struct gw_runtime rt;
    struct gw_limits limits; /* of all threads */
};

static void put_common(struct gw_str *s, const struct bench *b, const char *what) {
    gw_str_printf(s,
                  "{\"what\":\"%s\",\"dtype\":\"%s\",\"isa\":\"%s\",\"numeric_class\":\"%s\","
                  "\"threads\":%d",
                  what, gw_dtype_torch_name(b->rt.dtype), gwen_isa_name(b->rt.kern.isa),
                  gw_runtime_class(&b->rt), b->rt.n_threads);
}

static void put_real(struct gw_str *s, const char *key, double v) {
    gw_str_printf(s, ",\"%s\":%.6g", key, v);
}

static enum gwen_status measure_limits(struct bench *b, struct gwen_err *err) {
    struct gw_read_peak read;
    b->limits.flops_s = gw_peak_flops(&b->rt.kern, b->rt.format, b->rt.pool, PEAK_SECONDS);
    GW_TRY(gw_peak_read(&b->rt.kern, b->rt.format, b->rt.pool, b->rt.budget / 4, READ_SECONDS,
                        &read, err));
    b->limits.bytes_s = read.bytes_s;
    gw_log(&b->rt.cli->log, GWEN_LOG_DEBUG,
           "peak %.0f GFLOP/s, reading %.1f GB/s (%s, %zu MiB, huge pages %s) on %d threads",
           b->limits.flops_s * 1e-9, read.bytes_s * 1e-9, read.pattern, read.bytes >> 20,
           read.huge_pages ? "used" : "not used", b->rt.n_threads);
    return GWEN_OK;
}

/* --- decode, prefill -------------------------------------------------------------------------- */

static enum gwen_status put_rate(struct bench *b, struct gw_cli *cli, const char *what,
                                 size_t batch, size_t new_tokens, const struct gw_rate *r,
                                 struct gwen_err *err) {
    struct gw_str s = {0};
    if (cli->common.json) {
        put_common(&s, b, what);
        gw_str_printf(&s, ",\"batch\":%zu,\"prompt_tokens\":%zu,\"new_tokens\":%zu", batch,
                      b->prompt_tokens, new_tokens);
        put_real(&s, "tok_s", r->mean);
        put_real(&s, "tok_s_std", r->std);
        put_real(&s, "limit_tok_s", r->limit);
        put_real(&s, "fraction", r->mean / r->limit);
        gw_str_puts(&s, "}\n");
    } else {
        gw_str_printf(
            &s, "%-8s | %s %s | batch %4zu | %8.1f tok/s | std %6.1f | limit %8.1f | %3.0f %%\n",
            what, gw_dtype_torch_name(b->rt.dtype), gwen_isa_name(b->rt.kern.isa), batch, r->mean,
            r->std, r->limit, 100 * r->mean / r->limit);
    }
    enum gwen_status status = gw_cli_put(cli, &s, err);
    gw_str_free(&s);
    return status;
}

/* A line per part of the step: its share of the time, its rate, and what its own limit allows. */
static enum gwen_status put_profile(const struct bench *b, struct gw_cli *cli,
                                    const struct gw_profile *p, double n_steps, size_t rows,
                                    size_t n_out, double context, double kv_tokens,
                                    struct gwen_err *err) {
    struct gw_str s = {0};
    double total = 0;
    for (int op = 0; op < GW_OP_COUNT; op++) total += (double)p->ns[op];
    for (int op = 0; op < GW_OP_COUNT; op++) {
        double flops, bytes, seconds = (double)p->ns[op] * 1e-9 / n_steps;
        gw_op_cost(b->rt.model, (enum gw_op)op, rows, n_out, context, kv_tokens, &flops, &bytes);
        double least = GW_MAX(flops / b->limits.flops_s, bytes / b->limits.bytes_s);
        if (cli->common.json)
            gw_str_printf(&s,
                          "{\"what\":\"profile\",\"op\":\"%s\",\"ms\":%.6g,\"share\":%.4g,"
                          "\"flops\":%.6g,\"bytes\":%.6g,\"fraction\":%.4g}\n",
                          gw_op_name((enum gw_op)op), seconds * 1e3, (double)p->ns[op] / total,
                          flops, bytes, seconds > 0 ? least / seconds : 0);
        else
            gw_str_printf(
                &s, "  %-8s %8.3f ms  %5.1f %%  %7.1f GFLOP/s  %6.1f GB/s  %4.0f %% of limit\n",
                gw_op_name((enum gw_op)op), seconds * 1e3, 100 * (double)p->ns[op] / total,
                seconds > 0 ? flops / seconds * 1e-9 : 0, seconds > 0 ? bytes / seconds * 1e-9 : 0,
                seconds > 0 ? 100 * least / seconds : 0);
    }
    enum gwen_status status = gw_cli_put(cli, &s, err);
    gw_str_free(&s);
    return status;
}

static struct gw_bench_decode_opts decode_opts(const struct bench *b, size_t batch) {
    return (struct gw_bench_decode_opts){.batch = batch,
                                         .prompt_tokens = b->prompt_tokens,
                                         .new_tokens = b->new_tokens,
                                         .separate_prompts = b->separate_prompts,
                                         .runs = (int)b->runs,
                                         .seed = b->rt.cli->common.seed};
}

/* What the largest batch takes beside the weights. */
static size_t most_bytes(const struct bench *b, bool decode) {
    size_t most = 0;
    if (!decode)
        return gw_bench_prefill_bytes(&b->rt.cfg, b->rt.format, b->prompt_tokens, b->rt.n_threads);
    for (size_t i = 0; i < b->batch.n; i++) {
        struct gw_bench_decode_opts o = decode_opts(b, b->batch.items[i]);
        most = GW_MAX(most, gw_bench_decode_bytes(&b->rt.cfg, b->rt.format, &o, b->rt.n_threads));
    }
    return most;
}

static enum gwen_status bench_decode(struct bench *b, struct gw_cli *cli, struct gwen_err *err) {
    for (size_t i = 0; i < b->batch.n && gw_interrupt_signal() == 0; i++) {
        struct gw_profile profile = {0};
        struct gw_rate rate;
        struct gw_bench_decode_opts o = decode_opts(b, b->batch.items[i]);
        o.profile = b->profile ? &profile : NULL;
        GW_TRY(gw_bench_decode(b->rt.model, b->rt.pool, &b->limits, &o, &rate, err));
        GW_TRY(put_rate(b, cli, "decode", o.batch, o.new_tokens, &rate, err));
        double half = (double)(o.new_tokens + 1) / 2,
               prompts = o.separate_prompts ? (double)o.batch : 1;
        if (b->profile)
            GW_TRY(put_profile(b, cli, &profile, (double)(b->runs * o.new_tokens), o.batch, o.batch,
                               (double)o.prompt_tokens + half,
                               (double)o.prompt_tokens * prompts + half * (double)o.batch, err));
    }
    return GWEN_OK;
}

static enum gwen_status bench_prefill(struct bench *b, struct gw_cli *cli, struct gwen_err *err) {
    struct gw_profile profile = {0};
    struct gw_rate rate;
    GW_TRY(gw_bench_prefill(b->rt.model, b->rt.pool, &b->limits, b->prompt_tokens, (int)b->runs,
                            cli->common.seed, b->profile ? &profile : NULL, &rate, err));
    GW_TRY(put_rate(b, cli, "prefill", 1, 0, &rate, err));
    if (!b->profile) return GWEN_OK;
    return put_profile(b, cli, &profile, (double)b->runs, b->prompt_tokens, 1,
                       (double)(b->prompt_tokens + 1) / 2, (double)b->prompt_tokens, err);
}

/* --- rollout ---------------------------------------------------------------------------------- */

static bool parse_lengths(const char *text, size_t *low, size_t *high) {
    int end = 0;
    *low = *high = 0;
    if (text == NULL) return true;
    if (sscanf(text, "uniform:%5zu-%5zu%n", low, high, &end) != 2) return false;
    return text[end] == 0 && *low >= 1 && *low <= *high;
}

static void put_rollout(const struct bench *b, const struct gw_cli *cli, struct gw_str *s,
                        const struct gw_bench_rollout_opts *o,
                        const struct gw_bench_rollout_result *r) {
    const struct gw_engine_stats *st = &r->stats;
    double occupancy = st->queued_steps > 0
                           ? (double)st->queued_live / ((double)st->queued_steps * (double)o->slots)
                           : 1;
    if (!cli->common.json) {
        gw_str_printf(s,
                      "ours     | mean %.1f ms | std %.1f ms | total_out_toks %llu | throughput "
                      "%.2f tok/s\n",
                      r->mean_ms, r->std_ms, (unsigned long long)r->new_tokens, r->tok_s);
        return;
    }
    put_common(s, b, "rollout");
    gw_str_printf(s,
                  ",\"batch\":%zu,\"groups\":%zu,\"prompt_tokens\":%zu,\"new_tokens\":%llu,"
                  "\"slots\":%zu",
                  o->prompts, o->group, o->prompt_tokens, (unsigned long long)r->new_tokens,
                  o->slots);
    put_real(s, "mean_ms", r->mean_ms);
    put_real(s, "std_ms", r->std_ms);
    put_real(s, "tok_s", r->tok_s);
    put_real(s, "occupancy", occupancy);
    gw_str_puts(s, "}\n");
}

static enum gwen_status rollout_once(struct bench *b, struct gw_cli *cli,
                                     struct gw_bench_rollout_opts *o, struct gw_str *s,
                                     struct gwen_err *err) {
    struct gw_bench_rollout_result result;
    struct gw_plan_options plan = gw_runtime_plan(&b->rt);
    plan.kind = GW_PLAN_ROLLOUT;
    plan.engine = gw_bench_rollout_engine(o);
    GW_TRY(gw_plan_check(&plan, b->rt.budget, err));
    if (b->rt.model == NULL) GW_TRY(gw_runtime_load(&b->rt, &plan, err));
    if (!cli->common.json)
        gw_str_printf(s, "Config: B=%zu G=%zu pairs=%zu max_tokens=%zu temp=%g warmup=%d runs=%d\n",
                      o->prompts, o->group, o->prompts * o->group, o->max_tokens, o->temperature,
                      o->warmup, o->runs);
    GW_TRY(gw_cli_put(cli, s, err));
    GW_TRY(gw_bench_rollout(b->rt.model, b->rt.pool, o, &result, err));
    put_rollout(b, cli, s, o, &result);
    return gw_cli_put(cli, s, err);
}

static enum gwen_status bench_rollout(struct bench *b, struct gw_cli *cli, struct gwen_err *err) {
    struct gw_str s = {0};
    enum gwen_status status = GWEN_OK;
    for (size_t i = 0; i < b->batch.n && status == GWEN_OK; i++) {
        struct gw_bench_rollout_opts o = {.prompts = b->batch.items[i],
                                          .group = b->groups,
                                          .prompt_tokens = b->prompt_tokens,
                                          .max_tokens = b->max_tokens,
                                          .prefill_rows = GW_ENGINE_PREFILL_ROWS,
                                          .temperature = b->temperature,
                                          .warmup = (int)b->warmup,
                                          .runs = (int)b->runs,
                                          .seed = cli->common.seed,
                                          .eos = b->rt.eos,
                                          .n_eos = b->rt.n_eos,
                                          .progress = gw_interrupt_none};
        parse_lengths(b->lengths, &o.length_low, &o.length_high);
        o.slots = GW_MIN(b->slots > 0 ? b->slots : (size_t)AUTO_SLOTS, o.prompts * o.group);
        o.n_blocks = gw_engine_good_blocks(o.slots, o.group, o.prompt_tokens,
                                           GW_MAX(o.max_tokens, o.length_high));
        status = rollout_once(b, cli, &o, &s, err);
    }
    gw_str_free(&s);
    return status;
}

/* --- gemm, membw ------------------------------------------------------------------------------ */

/* The products of a model's layer, or of Qwen3-0.6B's. */
static enum gwen_status bench_gemm(struct bench *b, struct gw_cli *cli, struct gwen_err *err) {
    struct gw_config c = b->rt.cfg;
    struct gw_str s = {0};
    if (cli->common.model == NULL) GW_TRY(gw_config_preset("qwen3-0.6b", &c, err));
    const size_t shapes[][2] = {{(c.n_heads + 2 * c.n_kv_heads) * c.head_dim, c.hidden},
                                {c.hidden, c.n_heads * c.head_dim},
                                {2 * c.ffn, c.hidden},
                                {c.hidden, c.ffn}};
    for (size_t i = 0; i < b->batch.n; i++)
        for (size_t j = 0; j < GW_ARRAY_LEN(shapes) && gw_interrupt_signal() == 0; j++) {
            double flops, peak = gw_peak_flops(&b->rt.kern, b->rt.format, b->rt.pool, PEAK_SECONDS);
            size_t m = b->batch.items[i], n = shapes[j][0], k = shapes[j][1];
            GW_TRY(gw_bench_gemm(&b->rt.kern, b->rt.format, b->rt.pool, m, n, k, GEMM_SECONDS,
                                 &flops, err));
            /* Of a noisy machine's peak, the best that was seen counts. */
            double after = gw_peak_flops(&b->rt.kern, b->rt.format, b->rt.pool, PEAK_SECONDS);
            peak = GW_MAX(GW_MAX(peak, after), flops);
            if (cli->common.json) {
                put_common(&s, b, "gemm");
                gw_str_printf(&s, ",\"m\":%zu,\"n\":%zu,\"k\":%zu,\"batch\":%zu", m, n, k, m);
                put_real(&s, "gflops", flops * 1e-9);
                put_real(&s, "limit_gflops", peak * 1e-9);
                put_real(&s, "fraction", flops / peak);
                gw_str_puts(&s, "}\n");
            } else {
                gw_str_printf(
                    &s,
                    "gemm     | %s %s | M %4zu N %6zu K %5zu | %8.1f GFLOP/s | peak %8.1f "
                    "| %3.0f %%\n",
                    gw_dtype_torch_name(b->rt.dtype), gwen_isa_name(b->rt.kern.isa), m, n, k,
                    flops * 1e-9, peak * 1e-9, 100 * flops / peak);
            }
            GW_TRY(gw_cli_put(cli, &s, err));
        }
    gw_str_free(&s);
    return GWEN_OK;
}

static enum gwen_status bench_membw(struct bench *b, struct gw_cli *cli, struct gwen_err *err) {
    struct gw_str s = {0};
    GW_TRY(measure_limits(b, err));
    if (cli->common.json) {
        put_common(&s, b, "membw");
        put_real(&s, "gb_s", b->limits.bytes_s * 1e-9);
        gw_str_puts(&s, "}\n");
    } else {
        gw_str_printf(&s, "membw    | %d threads | %.1f GB/s\n", b->rt.n_threads,
                      b->limits.bytes_s * 1e-9);
    }
    enum gwen_status status = gw_cli_put(cli, &s, err);
    gw_str_free(&s);
    return status;
}

/* --- the command ------------------------------------------------------------------------------ */

static enum gwen_status bench(struct bench *b, struct gw_cli *cli, const char *what,
                              struct gwen_err *err) {
    GW_TRY(gw_runtime_open(&b->rt, cli, err));
    if (cli->common.model != NULL) {
        GW_TRY(gw_runtime_find(&b->rt, err));
    } else {
        b->rt.dtype = cli->common.dtype != GW_DTYPE_NONE ? cli->common.dtype : GW_DTYPE_BF16;
        b->rt.format = gw_model_format(b->rt.dtype, &b->rt.kern);
    }
    if (strcmp(what, "gemm") == 0) return bench_gemm(b, cli, err);
    if (strcmp(what, "membw") == 0) return bench_membw(b, cli, err);
    if (strcmp(what, "rollout") == 0) return bench_rollout(b, cli, err);
    struct gw_plan_options plan = gw_runtime_plan(&b->rt);
    plan.other = most_bytes(b, strcmp(what, "decode") == 0);
    GW_TRY(gw_plan_check(&plan, b->rt.budget, err));
    GW_TRY(measure_limits(b, err));
    GW_TRY(gw_runtime_load(&b->rt, &plan, err));
    return strcmp(what, "decode") == 0 ? bench_decode(b, cli, err) : bench_prefill(b, cli, err);
}

int gw_cmd_bench(struct gw_cli *cli, int argc, char **argv) {
    static size_t default_batch[] = {1, 8, 32, 64};
    struct bench b = {.batch = {default_batch, GW_ARRAY_LEN(default_batch)},
                      .prompt_tokens = 0,
                      .new_tokens = 32,
                      .runs = 3,
                      .warmup = 1,
                      .groups = 4,
                      .max_tokens = 64,
                      .temperature = 0.8};
    const struct gw_option options[] = {
        GW_OPT_COUNTS("batch", 0, &b.batch, 1, 65536,
                      "rows (decode, gemm) or prompts (rollout); several with commas"),
        GW_OPT_COUNT("prompt-tokens", 0, &b.prompt_tokens, 0, 1 << 20,
                     "length of prompts; 0: 128, for prefill 512"),
        GW_OPT_COUNT("new-tokens", 0, &b.new_tokens, 1, 1 << 20, "steps of decode"),
        GW_OPT_COUNT("runs", 0, &b.runs, 1, 1000, "measurements"),
        GW_OPT_COUNT("warmup", 0, &b.warmup, 0, 1000, "rollouts that are not measured"),
        GW_OPT_FLAG("separate-prompts", 0, &b.separate_prompts,
                    "decode: each row has a prompt of its own"),
        GW_OPT_FLAG("profile", 0, &b.profile, "decode, prefill: time, bytes and flops by part"),
        GW_OPT_COUNT("groups", 0, &b.groups, 1, 65536, "rollout: samples of each prompt"),
        GW_OPT_COUNT("max-tokens", 0, &b.max_tokens, 1, 1 << 20, "rollout: length of samples"),
        GW_OPT_AUTO("rollout-batch-size", 0, &b.slots, 1, 65536,
                    "rollout: samples decoded together"),
        GW_OPT_REAL("temp", 0, &b.temperature, 0, 100, "rollout: sampling temperature"),
        GW_OPT_STRING("lengths", 0, &b.lengths, "uniform:LO-HI",
                      "rollout: limits of rows drawn from the seed"),
    };
    const struct gw_cli_spec spec = {
        "decode|prefill|rollout|gemm|membw [--model DIR] [options]",
        "Measures this machine with a model (decode, prefill, rollout; random prompts) or\n"
        "without (gemm, membw), and gives beside each rate the limit that the machine's\n"
        "own peak and read bandwidth, measured in the same run, set.\n"
        "\n"
        "  decode    tokens/s of steps of --batch rows after a prompt shared by all\n"
        "  prefill   tokens/s of one prompt, of which the last logits are wanted\n"
        "  rollout   groups of samples through the engine, queue and refill included\n"
        "  gemm      the products of a layer, at --batch rows; one thread unless told\n"
        "  membw     reading from memory, the best of several patterns",
        options,
        GW_ARRAY_LEN(options),
        1,
        false};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
    static const char *const kinds[] = {"decode", "prefill", "rollout", "gemm", "membw"};
    const char *what = cli->n_args == 1 ? cli->args[0] : "";
    size_t kind = 0, low, high;
    while (kind < GW_ARRAY_LEN(kinds) && strcmp(kinds[kind], what) != 0) kind++;
    if (kind == GW_ARRAY_LEN(kinds))
        return gw_cli_usage(cli, "say what: decode, prefill, rollout, gemm or membw");
    if (kind < 3 && cli->common.model == NULL)
        return gw_cli_usage(cli, "%s: --model is missing", what);
    if (!parse_lengths(b.lengths, &low, &high))
        return gw_cli_usage(cli, "--lengths: \"%s\" is not uniform:LO-HI", b.lengths);
    if (b.prompt_tokens == 0) b.prompt_tokens = kind == 1 ? 512 : 128;
    /* One core is what kernels are judged by; more only tell how threads share the caches. */
    if (kind == 3 && !gw_cli_given(cli, "threads")) cli->common.threads = 1;
    struct gwen_err err;
    enum gwen_status status = bench(&b, cli, what, &err);
    gw_runtime_close(&b.rt);
    return gw_cli_end(cli, status, &err);
}

/* bench.c - gwen-cpu bench: what this machine does, beside what it could do at best. */
#include "cli/commands/bench_common.h"

#include "ops/peak.h"

#include <stdio.h>
#include <string.h>

enum { AUTO_SLOTS = 64 };

/* Time for measuring the machine's own limits. */
static const double PEAK_SECONDS = 0.3, GEMM_SECONDS = 0.3, READ_SECONDS = 1.5;

struct bench {
    struct gw_counts batch, prompt_tokens;
    size_t new_tokens, runs, warmup;
    bool separate_prompts, profile;
    /* rollout */
    size_t groups, max_tokens, slots;
    double temperature;
    const char *lengths;
    size_t length_low, length_high;
    struct gw_counts length_list;
    struct gw_bench_train_cli train;
    struct gw_bench_judge_cli judge;
    bool benchmark_judge;
    struct gw_runtime rt;
    struct gw_limits limits; /* of all threads */
};

/* --- decode, prefill ------------------------------------------------------------------------ */

static enum gwen_status put_rate(struct bench *b, struct gw_cli *cli, const char *what,
                                 size_t batch, size_t prompt_tokens, size_t new_tokens,
                                 const struct gw_rate *r, struct gwen_err *err) {
    struct gw_str s = {0};
    if (cli->common.json) {
        gw_bench_put_common(&s, &b->rt, what);
        gw_str_printf(&s, ",\"batch\":%zu,\"prompt_tokens\":%zu,\"new_tokens\":%zu", batch,
                      prompt_tokens, new_tokens);
        gw_bench_put_real(&s, "tok_s", r->mean);
        gw_bench_put_real(&s, "tok_s_std", r->std);
        gw_bench_put_real(&s, "limit_tok_s", r->limit);
        gw_bench_put_real(&s, "fraction", r->mean / r->limit);
        gw_str_puts(&s, "}\n");
    } else {
        gw_str_printf(
            &s,
            "%-8s | %s %s | batch %4zu | prompt %5zu | %8.1f tok/s | std %6.1f | limit %8.1f "
            "| %3.0f %%\n",
            what, gw_dtype_torch_name(b->rt.dtype), gwen_isa_name(b->rt.kern.isa), batch,
            prompt_tokens, r->mean, r->std, r->limit, 100 * r->mean / r->limit);
    }
    enum gwen_status status = gw_cli_put(cli, &s, err);
    gw_str_free(&s);
    return status;
}

/* What a profile is of: rows of a step, and what they attend to on average. */
struct profiled {
    double n_steps;
    size_t rows, n_out;
    double context, kv_tokens;
};

/* A line per part of a step: its share of the time, its work, and what its own limit allows; and
 * one for the whole. */
static enum gwen_status put_profile(const struct bench *b, struct gw_cli *cli,
                                    const struct gw_profile *p, const struct profiled *of,
                                    struct gwen_err *err) {
    struct gw_str s = {0};
    double total = 0, all_flops = 0, all_bytes = 0;
    for (int op = 0; op < GW_OP_COUNT; op++) total += (double)p->ns[op];
    for (int op = 0; op < GW_OP_COUNT; op++) {
        double flops, bytes, ns = (double)p->ns[op];
        gw_op_cost(b->rt.model, (enum gw_op)op, of->rows, of->n_out, of->context, of->kv_tokens,
                   &flops, &bytes);
        gw_bench_put_op(&s, &b->rt, &b->limits, gw_op_name((enum gw_op)op), ns * 1e-9 / of->n_steps,
                        ns / total, flops, bytes);
        all_flops += flops;
        all_bytes += bytes;
    }
    gw_bench_put_op(&s, &b->rt, &b->limits, "step", total * 1e-9 / of->n_steps, 1, all_flops,
                    all_bytes);
    enum gwen_status status = gw_cli_put(cli, &s, err);
    gw_str_free(&s);
    return status;
}

static struct gw_bench_decode_opts decode_opts(const struct bench *b, size_t batch,
                                               size_t prompt_tokens) {
    return (struct gw_bench_decode_opts){.batch = batch,
                                         .prompt_tokens = prompt_tokens,
                                         .new_tokens = b->new_tokens,
                                         .separate_prompts = b->separate_prompts,
                                         .runs = (int)b->runs,
                                         .seed = b->rt.cli->common.seed};
}

/* What the largest measurement takes beside the weights. */
static size_t most_bytes(const struct bench *b, bool decode) {
    const struct gw_counts *batch = &b->batch, *prompt = &b->prompt_tokens;
    size_t most = 0;
    for (size_t i = 0; i < prompt->n; i++) {
        if (!decode)
            most = GW_MAX(most, gw_bench_prefill_bytes(&b->rt.cfg, b->rt.arith.format,
                                                       prompt->items[i], b->rt.n_threads));
        for (size_t j = 0; decode && j < batch->n; j++) {
            struct gw_bench_decode_opts o = decode_opts(b, batch->items[j], prompt->items[i]);
            most = GW_MAX(
                most, gw_bench_decode_bytes(&b->rt.cfg, b->rt.arith.format, &o, b->rt.n_threads));
        }
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
static enum gwen_status put_loss(const struct bench *b, struct gw_cli *cli,
                                 const struct decoded *from, const struct decoded *to,
                                 struct gwen_err *err) {
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
    if (cli->common.json) {
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
    enum gwen_status status = gw_cli_put(cli, &s, err);
    gw_str_free(&s);
    return status;
}

static enum gwen_status decode_once(struct bench *b, struct gw_cli *cli,
                                    struct gw_bench_decode_opts *o, struct gw_rate *rate,
                                    struct gwen_err *err) {
    struct gw_profile profile = {0};
    struct profiled of = {
        .n_steps = (double)(b->runs * o->new_tokens), .rows = o->batch, .n_out = o->batch};
    o->profile = b->profile ? &profile : NULL;
    GW_TRY(gw_bench_decode(b->rt.model, b->rt.pool, &b->limits, o, rate, err));
    GW_TRY(put_rate(b, cli, "decode", o->batch, o->prompt_tokens, o->new_tokens, rate, err));
    gw_bench_decode_context(o, &of.context, &of.kv_tokens);
    return b->profile ? put_profile(b, cli, &profile, &of, err) : GWEN_OK;
}

static enum gwen_status lasting_bandwidth(struct bench *b, double *bytes_s, struct gwen_err *err) {
    struct gw_read_peak read;
    GW_TRY(gw_peak_read(&b->rt.arith, b->rt.pool, b->rt.budget / 4, READ_SECONDS, &read, err));
    *bytes_s = read.mean_bytes_s;
    return GWEN_OK;
}

static enum gwen_status bench_decode(struct bench *b, struct gw_cli *cli, struct gwen_err *err) {
    const struct gw_counts *batch = &b->batch, *prompt = &b->prompt_tokens;
    for (size_t i = 0; i < batch->n; i++) {
        struct decoded base = {0};
        for (size_t j = 0; j < prompt->n && gw_interrupt_signal() == 0; j++) {
            struct decoded one = {.o = decode_opts(b, batch->items[i], prompt->items[j])};
            struct gw_rate rate;
            GW_TRY(decode_once(b, cli, &one.o, &rate, err));
            one.tok_s = rate.mean;
            if (prompt->n > 1) GW_TRY(lasting_bandwidth(b, &one.bytes_s, err));
            if (j == 0)
                base = one;
            else
                GW_TRY(put_loss(b, cli, &base, &one, err));
        }
    }
    return GWEN_OK;
}

static enum gwen_status bench_prefill(struct bench *b, struct gw_cli *cli, struct gwen_err *err) {
    for (size_t i = 0; i < b->prompt_tokens.n && gw_interrupt_signal() == 0; i++) {
        struct gw_profile profile = {0};
        struct gw_rate rate;
        size_t n = b->prompt_tokens.items[i];
        const struct profiled of = {(double)b->runs, n, 1, (double)(n + 1) / 2, (double)n};
        GW_TRY(gw_bench_prefill(b->rt.model, b->rt.pool, &b->limits, n, (int)b->runs,
                                cli->common.seed, b->profile ? &profile : NULL, &rate, err));
        GW_TRY(put_rate(b, cli, "prefill", 1, n, 0, &rate, err));
        if (b->profile) GW_TRY(put_profile(b, cli, &profile, &of, err));
    }
    return GWEN_OK;
}

/* --- rollout -------------------------------------------------------------------------------- */

/* "3,5,8" */
static bool parse_list(struct gw_cli *cli, const char *text, struct gw_counts *list) {
    size_t n = 1;
    for (const char *c = text; *c != '\0'; c++) n += *c == ',';
    list->items = gw_cli_alloc(cli, n * sizeof *list->items);
    for (list->n = 0; list->n < n; list->n++) {
        int end = 0;
        if (strspn(text, "0123456789") == 0 ||
            sscanf(text, "%7zu%n", &list->items[list->n], &end) != 1 || list->items[list->n] == 0 ||
            text[end] != (list->n + 1 < n ? ',' : '\0'))
            return false;
        text += end + 1;
    }
    return true;
}

static bool parse_lengths(struct bench *b, struct gw_cli *cli) {
    const char *text = b->lengths;
    int end = 0;
    if (text == NULL) return true;
    if (strncmp(text, "list:", 5) == 0) return parse_list(cli, text + 5, &b->length_list);
    if (sscanf(text, "uniform:%5zu-%5zu%n", &b->length_low, &b->length_high, &end) != 2)
        return false;
    return text[end] == 0 && b->length_low >= 1 && b->length_low <= b->length_high;
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
    gw_bench_put_common(s, &b->rt, "rollout");
    gw_str_printf(s,
                  ",\"batch\":%zu,\"groups\":%zu,\"prompt_tokens\":%zu,\"new_tokens\":%llu,"
                  "\"slots\":%zu",
                  o->prompts, o->group, o->prompt_tokens, (unsigned long long)r->new_tokens,
                  o->slots);
    gw_bench_put_real(s, "mean_ms", r->mean_ms);
    gw_bench_put_real(s, "std_ms", r->std_ms);
    double limit = gw_bench_rollout_limit(b->rt.model, &b->limits, o, r);
    gw_bench_put_real(s, "tok_s", r->tok_s);
    gw_bench_put_real(s, "tok_s_std", r->tok_s * r->std_ms / r->mean_ms);
    gw_bench_put_real(s, "limit_tok_s", limit);
    gw_bench_put_real(s, "fraction", r->tok_s / limit);
    gw_bench_put_real(s, "occupancy", occupancy);
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
    if (b->rt.model == NULL) {
        if (cli->common.json) GW_TRY(gw_bench_measure_limits(&b->rt, &b->limits, err));
        GW_TRY(gw_runtime_load(&b->rt, &plan, err));
    }
    if (!cli->common.json)
        gw_str_printf(s, "Config: B=%zu G=%zu pairs=%zu max_tokens=%zu temp=%g warmup=%d runs=%d\n",
                      o->prompts, o->group, o->prompts * o->group, o->max_tokens, o->temperature,
                      o->warmup, o->runs);
    GW_TRY(gw_cli_put(cli, s, err));
    GW_TRY(gw_bench_rollout(b->rt.model, b->rt.pool, o, &result, err));
    put_rollout(b, cli, s, o, &result);
    if (b->benchmark_judge) GW_TRY(gw_bench_judge_rollout(&b->judge, &b->rt, o, s, err));
    return gw_cli_put(cli, s, err);
}

static enum gwen_status bench_rollout(struct bench *b, struct gw_cli *cli, struct gwen_err *err) {
    struct gw_str s = {0};
    enum gwen_status status = GWEN_OK;
    for (size_t i = 0; i < b->batch.n && status == GWEN_OK; i++) {
        struct gw_bench_rollout_opts o = {.prompts = b->batch.items[i],
                                          .group = b->groups,
                                          .prompt_tokens = b->prompt_tokens.items[0],
                                          .max_tokens = b->max_tokens,
                                          .lengths = b->length_list.items,
                                          .n_lengths = b->length_list.n,
                                          .length_low = b->length_low,
                                          .length_high = b->length_high,
                                          .prefill_rows = GW_ENGINE_PREFILL_ROWS,
                                          .temperature = b->temperature,
                                          .warmup = (int)b->warmup,
                                          .runs = (int)b->runs,
                                          .seed = cli->common.seed,
                                          .eos = b->rt.eos,
                                          .n_eos = b->rt.n_eos,
                                          .progress = gw_interrupt_none};
        o.slots = GW_MIN(b->slots > 0 ? b->slots : (size_t)AUTO_SLOTS, o.prompts * o.group);
        o.n_blocks =
            gw_engine_good_blocks(o.slots, o.group, o.prompt_tokens, gw_bench_rollout_longest(&o));
        status = rollout_once(b, cli, &o, &s, err);
    }
    gw_str_free(&s);
    return status;
}

/* --- gemm, membw ---------------------------------------------------------------------------- */

/* One product y[m][n] = x[m][k] W^T, beside the peak before and after it. */
static enum gwen_status gemm_once(struct bench *b, struct gw_cli *cli, size_t m, size_t n, size_t k,
                                  struct gw_str *s, struct gwen_err *err) {
    double flops, peak = gw_peak_flops(&b->rt.arith, b->rt.pool, PEAK_SECONDS);
    GW_TRY(gw_bench_gemm(&b->rt.arith, b->rt.pool, m, n, k, GEMM_SECONDS, &flops, err));
    /* Of a noisy machine's peak, the best that was seen counts. */
    double after = gw_peak_flops(&b->rt.arith, b->rt.pool, PEAK_SECONDS);
    peak = GW_MAX(GW_MAX(peak, after), flops);
    if (cli->common.json) {
        gw_bench_put_common(s, &b->rt, "gemm");
        gw_str_printf(s, ",\"m\":%zu,\"n\":%zu,\"k\":%zu,\"batch\":%zu", m, n, k, m);
        gw_bench_put_real(s, "gflops", flops * 1e-9);
        gw_bench_put_real(s, "limit_gflops", peak * 1e-9);
        gw_bench_put_real(s, "fraction", flops / peak);
        gw_str_puts(s, "}\n");
    } else {
        gw_str_printf(s,
                      "gemm     | %s %s | M %4zu N %6zu K %5zu | %8.1f GFLOP/s | peak %8.1f "
                      "| %3.0f %%\n",
                      gw_dtype_torch_name(b->rt.dtype), gwen_isa_name(b->rt.kern.isa), m, n, k,
                      flops * 1e-9, peak * 1e-9, 100 * flops / peak);
    }
    return gw_cli_put(cli, s, err);
}

/* The products of a model's layer, or of Qwen3-0.6B's. */
static enum gwen_status bench_gemm(struct bench *b, struct gw_cli *cli, struct gwen_err *err) {
    struct gw_config c = b->rt.cfg;
    struct gw_str s = {0};
    enum gwen_status status = GWEN_OK;
    if (cli->common.model == NULL) GW_TRY(gw_config_preset("qwen3-0.6b", &c, err));
    const size_t shapes[][2] = {{(c.n_heads + 2 * c.n_kv_heads) * c.head_dim, c.hidden},
                                {c.hidden, c.n_heads * c.head_dim},
                                {2 * c.ffn, c.hidden},
                                {c.hidden, c.ffn}};
    for (size_t i = 0; i < b->batch.n; i++)
        for (size_t j = 0; j < GW_ARRAY_LEN(shapes) && status == GWEN_OK; j++)
            if (gw_interrupt_signal() == 0)
                status = gemm_once(b, cli, b->batch.items[i], shapes[j][0], shapes[j][1], &s, err);
    gw_str_free(&s);
    return status;
}

static enum gwen_status bench_membw(struct bench *b, struct gw_cli *cli, struct gwen_err *err) {
    struct gw_str s = {0};
    GW_TRY(gw_bench_measure_limits(&b->rt, &b->limits, err));
    if (cli->common.json) {
        gw_bench_put_common(&s, &b->rt, "membw");
        gw_bench_put_real(&s, "gb_s", b->limits.bytes_s * 1e-9);
        gw_str_puts(&s, "}\n");
    } else {
        gw_str_printf(&s, "membw    | %d threads | %.1f GB/s\n", b->rt.n_threads,
                      b->limits.bytes_s * 1e-9);
    }
    enum gwen_status status = gw_cli_put(cli, &s, err);
    gw_str_free(&s);
    return status;
}

/* --- the command ---------------------------------------------------------------------------- */

static enum gwen_status bench(struct bench *b, struct gw_cli *cli, const char *what,
                              struct gwen_err *err) {
    GW_TRY(gw_runtime_open(&b->rt, cli, err));
    if (cli->common.model != NULL) {
        GW_TRY(gw_runtime_find(&b->rt, err));
    } else {
        b->rt.dtype = cli->common.dtype != GW_DTYPE_NONE ? cli->common.dtype : GW_DTYPE_BF16;
        b->rt.arith = gw_model_arith(b->rt.dtype, &b->rt.kern);
    }
    if (strcmp(what, "gemm") == 0) return bench_gemm(b, cli, err);
    if (strcmp(what, "membw") == 0) return bench_membw(b, cli, err);
    if (strcmp(what, "rollout") == 0) return bench_rollout(b, cli, err);
    if (strcmp(what, "train") == 0) return gw_bench_train_run(&b->train, &b->rt, err);
    if (strcmp(what, "judge") == 0) return gw_bench_judge_run(&b->judge, &b->rt, err);
    struct gw_plan_options plan = gw_runtime_plan(&b->rt);
    plan.other = most_bytes(b, strcmp(what, "decode") == 0);
    GW_TRY(gw_plan_check(&plan, b->rt.budget, err));
    GW_TRY(gw_bench_measure_limits(&b->rt, &b->limits, err));
    GW_TRY(gw_runtime_load(&b->rt, &plan, err));
    return strcmp(what, "decode") == 0 ? bench_decode(b, cli, err) : bench_prefill(b, cli, err);
}

/* What bench train takes of the options it shares.  False after a message. */
static bool set_train(struct bench *b, struct gw_cli *cli, int *code) {
    struct gw_bench_train_cli *t = &b->train;
    const bool batch = gw_cli_given(cli, "batch"), prompt = gw_cli_given(cli, "prompt-tokens");
    t->group = gw_cli_given(cli, "groups") ? b->groups : 1;
    t->prompts = batch ? b->batch.items[0] : 4;
    t->prompt_tokens = prompt ? b->prompt_tokens.items[0] : t->group > 1 ? t->seq / 2 : 0;
    t->runs = b->runs;
    t->warmup = b->warmup;
    t->profile = b->profile;
    if ((batch && b->batch.n > 1) || (prompt && b->prompt_tokens.n > 1))
        *code = gw_cli_usage(cli, "train: --batch and --prompt-tokens take one number");
    else if (t->prompt_tokens >= t->seq)
        *code = gw_cli_usage(cli, "train: --prompt-tokens is not below --seq");
    else
        return true;
    return false;
}

int gw_cmd_bench(struct gw_cli *cli, int argc, char **argv) {
    static size_t default_batch[] = {1, 8, 32, 64};
    struct bench b = {.batch = {default_batch, GW_ARRAY_LEN(default_batch)},
                      .new_tokens = 32,
                      .runs = 3,
                      .warmup = 1,
                      .groups = 4,
                      .max_tokens = 64,
                      .temperature = 0.8,
                      .train.seq = 256,
                      .judge = GW_BENCH_JUDGE_INIT};
    const struct gw_option options[] = {
        GW_OPT_ADAPTER(cli),
        GW_OPT_COUNTS("batch", 0, &b.batch, 1, 65536,
                      "rows (decode, gemm) or prompts (rollout); several with commas"),
        GW_OPT_COUNTS("prompt-tokens", 0, &b.prompt_tokens, 1, 1 << 20,
                      "length of prompts; 128, for prefill 512"),
        GW_OPT_COUNT("new-tokens", 0, &b.new_tokens, 1, 1 << 20, "steps of decode"),
        GW_OPT_COUNT("runs", 0, &b.runs, 1, 1000, "measurements"),
        GW_OPT_COUNT("warmup", 0, &b.warmup, 0, 1000, "rollouts or passes that are not measured"),
        GW_OPT_FLAG("separate-prompts", 0, &b.separate_prompts,
                    "decode: each row has a prompt of its own"),
        GW_OPT_FLAG("profile", 0, &b.profile,
                    "decode, prefill, train: time, bytes and flops by part"),
        GW_OPT_COUNT("groups", 0, &b.groups, 1, 65536,
                     "rollout, train: samples of each prompt; train: 1"),
        GW_OPT_COUNT("max-tokens", 0, &b.max_tokens, 1, 1 << 20, "rollout: length of samples"),
        GW_OPT_AUTO("rollout-batch-size", 0, &b.slots, 1, 65536,
                    "rollout: samples decoded together"),
        GW_OPT_REAL("temp", 0, &b.temperature, 0, 100, "rollout: sampling temperature"),
        GW_OPT_STRING("lengths", 0, &b.lengths, "uniform:LO-HI|list:N,...",
                      "rollout: limits of rows, drawn from the seed or by prompt and sample, "
                      "the list over again as often as needed"),
        GW_OPT_COUNT("seq", 0, &b.train.seq, 1, 1 << 20,
                     "train: length of a sequence, its prompt included"),
        GW_OPT_AUTO("train-micro-batch", 0, &b.train.micro_batch, 1, 1 << 20,
                    "train: sequences that go through the model together; auto: all"),
        GW_OPT_CHOICE("recompute", 0, &b.train.recompute, "none|attn|layer",
                      "train: what the backward pass computes again"),
        GW_OPT_FLAG("matrix", 0, &b.train.matrix,
                    "train: memory and time of each recomputation and micro-batch"),
        GW_OPT_FLAG("benchmark-judge", 0, &b.benchmark_judge,
                    "rollout: judge the samples too (verdicts are generated)"),
        GW_OPT_COUNT("responses", 0, &b.judge.responses, 1, 65536, "judge: texts that are graded"),
        GW_OPT_COUNT("criteria", 0, &b.judge.criteria, 1, GW_RUBRIC_MAX_CRITERIA, "judge: of each"),
        GW_OPT_COUNT("shared-tokens", 0, &b.judge.shared_tokens, 1, 1 << 20,
                     "judge: shared by all"),
        GW_OPT_COUNT("own-tokens", 0, &b.judge.own_tokens, 1, 1 << 20, "judge: of a response"),
        GW_OPT_COUNT("criterion-tokens", 0, &b.judge.criterion_tokens, 1, 1 << 20,
                     "judge: of a criterion"),
        GW_OPT_CHOICE("judge-mode", 0, &b.judge.mode, "generate|logits", "judge: of verdicts"),
        GW_OPT_COUNT("verdict-tokens", 0, &b.judge.verdict_tokens, 1, 4096,
                     "judge: of a generated verdict"),
        GW_OPT_AUTO("judge-chunk-size", 0, &b.judge.chunk, 1, 65536, "judge: responses at a time"),
    };
    const struct gw_cli_spec spec = {
        "decode|prefill|rollout|train|judge|gemm|membw [options]",
        "Measures this machine with a model (decode, prefill, rollout, train; random tokens) or\n"
        "without (gemm, membw), and gives beside each rate the limit that the machine's\n"
        "own peak and read bandwidth, measured in the same run, set.\n"
        "\n"
        "  decode    tokens/s of steps of --batch rows after a prompt shared by all;\n"
        "            with several --prompt-tokens also what the longer ones lose, and\n"
        "            what the bytes and flops of attending to them predict\n"
        "  prefill   tokens/s of one prompt, of which the last logits are wanted\n"
        "  rollout   groups of samples through the engine, queue and refill included\n"
        "  train     tokens/s of forward and backward passes of --batch sequences of\n"
        "            --seq tokens, or of --groups samples for each of --batch prompts,\n"
        "            which share --prompt-tokens and are not counted; no optimizer\n"
        "  judge     criteria/s of graded responses; what they share is computed once\n"
        "  gemm      the products of a layer, at --batch rows; one thread unless told\n"
        "  membw     reading from memory, the best of several patterns",
        options,
        GW_ARRAY_LEN(options),
        1,
        false};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
    static const char *const kinds[] = {"decode", "prefill", "rollout", "train",
                                        "judge",  "gemm",    "membw"};
    enum { PREFILL = 1, ROLLOUT, TRAIN, GEMM = 5 };
    const char *what = cli->n_args == 1 ? cli->args[0] : "";
    size_t kind = 0, default_prompt = 128;
    while (kind < GW_ARRAY_LEN(kinds) && strcmp(kinds[kind], what) != 0) kind++;
    if (kind == GW_ARRAY_LEN(kinds))
        return gw_cli_usage(cli, "say what: decode, prefill, rollout, train, judge, gemm or membw");
    if (kind < GEMM && cli->common.model == NULL)
        return gw_cli_usage(cli, "%s: --model is missing", what);
    if (!parse_lengths(&b, cli))
        return gw_cli_usage(cli, "--lengths: \"%s\" is neither uniform:LO-HI nor list:N,N,...",
                            b.lengths);
    if (kind == PREFILL) default_prompt = 512;
    if (kind == TRAIN && !set_train(&b, cli, &code)) return code;
    if (b.prompt_tokens.n == 0) b.prompt_tokens = (struct gw_counts){&default_prompt, 1};
    if (kind == ROLLOUT && b.prompt_tokens.n > 1)
        return gw_cli_usage(cli, "rollout: --prompt-tokens takes one length");
    /* One core is what kernels are judged by; more only tell how threads share the caches. */
    if (kind == GEMM && !gw_cli_given(cli, "threads")) cli->common.threads = 1;
    b.judge.runs = b.runs;
    b.judge.warmup = b.warmup;
    struct gwen_err err;
    enum gwen_status status = bench(&b, cli, what, &err);
    gw_runtime_close(&b.rt);
    return gw_cli_end(cli, status, &err);
}

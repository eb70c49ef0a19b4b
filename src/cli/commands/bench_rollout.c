/* bench_rollout.c - gwen-cpu bench rollout: groups of samples through the engine, and grading them.
 */
#include "cli/commands/bench_common.h"

#include <stdio.h>
#include <string.h>

enum { AUTO_SLOTS = 64 };

struct rollout {
    struct gw_counts batch;
    size_t prompt_tokens, groups, max_tokens, slots, runs, warmup;
    double temperature;
    const char *lengths; /* NULL: all as long as max_tokens */
    size_t length_low, length_high;
    struct gw_counts length_list;
    bool benchmark_judge;
    struct gw_bench_judge_cli judge;
    struct gw_runtime rt;
    struct gw_limits limits; /* of all threads */
};

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

static bool parse_lengths(struct rollout *b, struct gw_cli *cli) {
    const char *text = b->lengths;
    int end = 0;
    if (text == NULL) return true;
    if (strncmp(text, "list:", 5) == 0) return parse_list(cli, text + 5, &b->length_list);
    if (sscanf(text, "uniform:%5zu-%5zu%n", &b->length_low, &b->length_high, &end) != 2)
        return false;
    return text[end] == 0 && b->length_low >= 1 && b->length_low <= b->length_high;
}

static void put_rollout(const struct rollout *b, const struct gw_cli *cli, struct gw_str *s,
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

static enum gwen_status rollout_once(struct rollout *b, struct gw_cli *cli,
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

static enum gwen_status measure(struct rollout *b, struct gw_cli *cli, struct gwen_err *err) {
    struct gw_str s = {0};
    enum gwen_status status = GWEN_OK;
    for (size_t i = 0; i < b->batch.n && status == GWEN_OK; i++) {
        struct gw_bench_rollout_opts o = {.prompts = b->batch.items[i],
                                          .group = b->groups,
                                          .prompt_tokens = b->prompt_tokens,
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
                                          .progress = gw_interrupt_none};
        o.slots = GW_MIN(b->slots > 0 ? b->slots : (size_t)AUTO_SLOTS, o.prompts * o.group);
        o.n_blocks =
            gw_engine_good_blocks(o.slots, o.group, o.prompt_tokens, gw_bench_rollout_longest(&o));
        status = rollout_once(b, cli, &o, &s, err);
    }
    gw_str_free(&s);
    return status;
}

static enum gwen_status rollout(struct rollout *b, struct gw_cli *cli, struct gwen_err *err) {
    GW_TRY(gw_bench_open(&b->rt, cli, err));
    return measure(b, cli, err);
}

int gw_cmd_bench_rollout(struct gw_cli *cli, int argc, char **argv) {
    size_t batch[] = {1, 8, 32, 64};
    struct rollout b = {.batch = {batch, GW_ARRAY_LEN(batch)},
                        .prompt_tokens = 128,
                        .groups = 4,
                        .max_tokens = 64,
                        .runs = 3,
                        .warmup = 1,
                        .temperature = 0.8,
                        .judge = GW_BENCH_JUDGE_INIT};
    const struct gw_option options[] = {
        GW_OPT_ADAPTER(cli),
        GW_OPT_COUNTS("batch", 0, &b.batch, 1, 65536, "numbers of prompts"),
        GW_OPT_COUNT("groups", 0, &b.groups, 1, 65536, "samples of each prompt"),
        GW_OPT_COUNT("prompt-tokens", 0, &b.prompt_tokens, 1, 1 << 20, "prompt length"),
        GW_OPT_COUNT("max-tokens", 0, &b.max_tokens, 1, 1 << 20, "length of a sample"),
        GW_OPT_STRING("lengths", 0, &b.lengths, "uniform:LO-HI|list:N,...",
                      "lengths of samples instead: drawn from a range by --seed, or a list that "
                      "is gone through by prompt and sample, again from its start at the end"),
        GW_OPT_AUTO("rollout-batch-size", 0, &b.slots, 1, 65536, "samples decoded together"),
        GW_OPT_REAL("temp", 0, &b.temperature, 0, 100, "sampling temperature"),
        GW_BENCH_OPT_RUNS(&b.runs),
        GW_BENCH_OPT_WARMUP(&b.warmup),
        GW_OPT_FLAG("benchmark-judge", 0, &b.benchmark_judge,
                    "also grade the samples, by generated verdicts"),
        GW_BENCH_JUDGE_OPTIONS(b.judge),
    };
    const struct gw_cli_spec spec = {
        .usage = "--model DIR [options]",
        .about =
            "Measures the tokens/s of a rollout: --groups samples for each of --batch prompts,\n"
            "of which --rollout-batch-size are decoded together; when one ends, the next in\n"
            "the queue takes its place.",
        .options = options,
        .n_options = GW_ARRAY_LEN(options),
        .needs_model = true};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
    if (!parse_lengths(&b, cli))
        return gw_cli_usage(cli, "--lengths: \"%s\" is neither uniform:LO-HI nor list:N,N,...",
                            b.lengths);
    b.judge.runs = b.runs;
    b.judge.warmup = b.warmup;
    struct gwen_err err;
    enum gwen_status status = rollout(&b, cli, &err);
    gw_runtime_close(&b.rt);
    return gw_cli_end(cli, status, &err);
}

/* bench_judge.c - gwen-cpu bench judge, and what bench rollout --benchmark-judge adds. */
#include "cli/commands/bench_common.h"
#include "service/judge/judge.h"

#include <math.h>

static struct gw_bench_judge_opts sizes(const struct gw_bench_judge_cli *b,
                                        const struct gw_runtime *rt, enum gw_judge_mode mode) {
    const struct gw_bench_judge_opts o = {.prompts = b->responses,
                                          .group = 1,
                                          .criteria = b->criteria,
                                          .shared_tokens = b->shared_tokens,
                                          .own_tokens = b->own_tokens,
                                          .criterion_tokens = b->criterion_tokens,
                                          .max_new =
                                              mode == GW_JUDGE_GENERATE ? b->verdict_tokens : 0,
                                          .chunk = b->chunk != 0 ? b->chunk : GW_JUDGE_CHUNK,
                                          .warmup = (int)b->warmup,
                                          .runs = (int)b->runs,
                                          .seed = rt->cli->common.seed,
                                          .progress = gw_interrupt_none};
    return o;
}

static enum gwen_status check(const struct gw_runtime *rt, const struct gw_bench_judge_opts *o,
                              struct gw_plan_options *plan, struct gwen_err *err) {
    *plan = gw_runtime_plan(rt);
    plan->kind = GW_PLAN_SCORE;
    plan->scorer = gw_bench_judge_scorer(o);
    return gw_plan_check(plan, rt->budget, err);
}

static void put_json(struct gw_str *s, const struct gw_runtime *rt,
                     const struct gw_bench_judge_opts *o, const struct gw_rate *r) {
    const double tokens = (double)gw_bench_judge_tokens(o) / (double)(o->prompts * o->criteria);
    gw_bench_put_common(s, rt, "judge");
    gw_str_printf(s, ",\"batch\":%zu,\"criteria\":%zu,\"prompt_tokens\":%zu,\"new_tokens\":%zu",
                  o->prompts, o->criteria, o->shared_tokens + o->own_tokens + o->criterion_tokens,
                  o->max_new);
    gw_bench_put_real(s, "crit_eval_s", r->mean);
    gw_bench_put_real(s, "crit_eval_s_std", r->std);
    gw_bench_put_real(s, "limit_crit_eval_s", r->limit);
    gw_bench_put_real(s, "tok_s", r->mean * tokens);
    gw_bench_put_real(s, "tok_s_std", r->std * tokens);
    gw_bench_put_real(s, "limit_tok_s", r->limit * tokens);
    gw_bench_put_real(s, "fraction", r->mean / r->limit);
    gw_str_puts(s, "}\n");
}

static void put_text(struct gw_str *s, const struct gw_runtime *rt,
                     const struct gw_bench_judge_opts *o, const struct gw_rate *r) {
    gw_str_printf(s,
                  "judge    | %s %s | %zu responses x %zu criteria | tokens %zu + %zu + %zu | "
                  "%.2f crit_eval/s | std %.2f | limit %.2f | %3.0f %%\n",
                  gw_dtype_torch_name(rt->dtype), gwen_isa_name(rt->kern.isa), o->prompts,
                  o->criteria, o->shared_tokens, o->own_tokens, o->criterion_tokens, r->mean,
                  r->std, r->limit, 100 * r->mean / r->limit);
}

enum gwen_status gw_bench_judge_rollout(const struct gw_bench_judge_cli *b, struct gw_runtime *rt,
                                        const struct gw_bench_rollout_opts *rollout,
                                        struct gw_str *s, struct gwen_err *err) {
    struct gw_bench_judge_opts o = sizes(b, rt, GW_JUDGE_GENERATE);
    struct gw_plan_options plan;
    struct gw_rate r;
    o.prompts = rollout->prompts;
    o.group = rollout->group;
    o.prompt_tokens = rollout->prompt_tokens;
    o.own_tokens = gw_bench_rollout_longest(rollout);
    GW_TRY(check(rt, &o, &plan, err));
    GW_TRY(gw_bench_judge(rt->model, rt->pool, &o, &r, err));
    if (rt->cli->common.json) {
        gw_bench_put_common(s, rt, "judge_rollout");
        gw_bench_put_real(s, "crit_eval_s", r.mean);
        gw_bench_put_real(s, "crit_eval_s_std", r.std);
        gw_str_puts(s, "}\n");
    } else {
        gw_str_printf(s, "judge_ours | crit_eval/s %.2f\n", r.mean);
    }
    return GWEN_OK;
}

static enum gwen_status judge(const struct gw_bench_judge_cli *b, struct gw_runtime *rt,
                              struct gw_cli *cli, struct gwen_err *err) {
    GW_TRY(gw_bench_open(rt, cli, err));
    const struct gw_bench_judge_opts o = sizes(b, rt, (enum gw_judge_mode)b->mode);
    struct gw_plan_options plan;
    struct gw_limits limits;
    struct gw_rate r;
    struct gw_str s = {0};
    GW_TRY(check(rt, &o, &plan, err));
    GW_TRY(gw_bench_measure_limits(rt, &limits, err));
    GW_TRY(gw_runtime_load(rt, &plan, err));
    GW_TRY(gw_bench_judge(rt->model, rt->pool, &o, &r, err));
    /* Of a noisy machine's peak, the best that was seen counts. */
    limits.flops_s = fmax(limits.flops_s, gw_bench_measure_peak(rt));
    r.limit = gw_bench_judge_limit(rt->model, &limits, &o);
    (rt->cli->common.json ? put_json : put_text)(&s, rt, &o, &r);
    enum gwen_status status = gw_cli_put(rt->cli, &s, err);
    gw_str_free(&s);
    return status;
}

int gw_cmd_bench_judge(struct gw_cli *cli, int argc, char **argv) {
    struct gw_bench_judge_cli b = GW_BENCH_JUDGE_INIT;
    struct gw_runtime rt = {0};
    b.runs = 3;
    b.warmup = 1;
    const struct gw_option options[] = {
        GW_OPT_ADAPTER(cli),
        GW_OPT_COUNT("responses", 0, &b.responses, 1, 65536, "number of responses to grade"),
        GW_OPT_COUNT("own-tokens", 0, &b.own_tokens, 1, 1 << 20, "tokens of a response"),
        GW_BENCH_JUDGE_OPTIONS(b),
        GW_OPT_CHOICE("judge-mode", 0, &b.mode, "generate|logits",
                      "generate a verdict, or read the grade off the next token's logits"),
        GW_BENCH_OPT_RUNS(&b.runs),
        GW_BENCH_OPT_WARMUP(&b.warmup),
    };
    const struct gw_cli_spec spec = {
        .usage = "--model DIR [options]",
        .about =
            "Measures the criteria/s of grading responses; what judge prompts have in common is\n"
            "computed once.",
        .options = options,
        .n_options = GW_ARRAY_LEN(options),
        .needs_model = true};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
    struct gwen_err err;
    enum gwen_status status = judge(&b, &rt, cli, &err);
    gw_runtime_close(&rt);
    return gw_cli_end(cli, status, &err);
}

/* bench_train.c - gwen-cpu bench train: forward and backward passes, and the table of what
 * recomputation and micro-batches cost and save. */
#include "cli/commands/bench_common.h"

#include "service/bench/train.h"

#include <stdlib.h>

static const char *const RECOMPUTE[] = {"none", "attn", "layer"};

/* What the options say. */
struct train {
    size_t prompts, group, prompt_tokens, seq; /* seq: tokens of a sequence, the prompt's too */
    size_t micro_batch, runs, warmup;
    int recompute;
    bool profile, matrix;
};

struct measured {
    struct gw_bench_train_opts o;
    struct gw_bench_train_result r;
};

static struct gw_bench_train_opts options(const struct train *b, const struct gw_runtime *rt) {
    return (struct gw_bench_train_opts){.prompts = b->prompts,
                                        .group = b->group,
                                        .prompt_tokens = b->prompt_tokens,
                                        .new_tokens = b->seq - b->prompt_tokens,
                                        .micro_batch = b->micro_batch,
                                        .recompute = (enum gw_recompute)b->recompute,
                                        .warmup = (int)b->warmup,
                                        .runs = (int)b->runs,
                                        .seed = rt->cli->common.seed};
}

static size_t bytes_of(const struct gw_runtime *rt, const struct gw_bench_train_opts *o) {
    const struct gw_trainer_opts trainer = gw_bench_train_trainer(o);
    struct gw_trainer_bytes b;
    gw_trainer_bytes(&rt->cfg, rt->arith.format, &trainer, rt->n_threads, &b);
    return b.activations + b.scratch + b.kv + b.gradients;
}

/* Refuses a measurement that does not fit. */
static enum gwen_status check(const struct gw_runtime *rt, const struct gw_bench_train_opts *o,
                              struct gwen_err *err) {
    struct gw_plan_options plan = gw_runtime_plan(rt);
    plan.other += bytes_of(rt, o);
    return gw_plan_check(&plan, rt->budget, err);
}

static void put_json(struct gw_str *s, const struct gw_runtime *rt, const char *what,
                     const struct measured *m) {
    const struct gw_trainer_opts t = gw_bench_train_trainer(&m->o);
    gw_bench_put_common(s, rt, what);
    gw_str_printf(s,
                  ",\"batch\":%zu,\"groups\":%zu,\"prompt_tokens\":%zu,\"new_tokens\":%zu,"
                  "\"recompute\":\"%s\",\"train_micro_batch\":%zu,\"memory_bytes\":%zu",
                  m->o.prompts, m->o.group, m->o.prompt_tokens, m->o.new_tokens,
                  RECOMPUTE[m->o.recompute], t.micro_batch, m->r.resident_bytes);
    gw_bench_put_real(s, "step_ms", m->r.seconds * 1e3);
    gw_bench_put_real(s, "tok_s", m->r.rate.mean);
    gw_bench_put_real(s, "tok_s_std", m->r.rate.std);
    gw_bench_put_real(s, "tok_s_best", m->r.best);
    gw_bench_put_real(s, "limit_tok_s", m->r.rate.limit);
    gw_bench_put_real(s, "fraction", m->r.rate.mean / m->r.rate.limit);
}

/* Of a noisy machine's peak, the best that was seen counts. */
static enum gwen_status measure(struct gw_runtime *rt, struct gw_limits *limits, struct measured *m,
                                struct gwen_err *err) {
    const double before = limits->flops_s;
    GW_TRY(gw_bench_train(rt->model, rt->pool, limits, &m->o, &m->r, err));
    const double after = gw_bench_measure_peak(rt);
    if (after <= before) return GWEN_OK;
    limits->flops_s = after;
    m->r.rate.limit = gw_bench_train_limit(rt->model, limits, &m->o);
    return GWEN_OK;
}

/* --- one measurement ------------------------------------------------------------------------ */

static void put_rate(struct gw_str *s, const struct gw_runtime *rt, const struct measured *m) {
    const struct gw_rate *r = &m->r.rate;
    if (rt->cli->common.json) {
        put_json(s, rt, "train", m);
        gw_str_puts(s, "}\n");
        return;
    }
    gw_str_printf(s,
                  "train    | %s %s | batch %4zu x %zu | prompt %5zu | new %5zu | %8.1f tok/s | "
                  "std %6.1f | best %8.1f | limit %8.1f | %3.0f %%\n",
                  gw_dtype_torch_name(rt->dtype), gwen_isa_name(rt->kern.isa), m->o.prompts,
                  m->o.group, m->o.prompt_tokens, m->o.new_tokens, r->mean, r->std, m->r.best,
                  r->limit, 100 * r->mean / r->limit);
}

static void put_profile(struct gw_str *s, const struct gw_runtime *rt,
                        const struct gw_limits *limits, const struct gw_bench_train_opts *o) {
    const struct gw_train_profile *p = o->profile;
    double total = 0, all_flops = 0, all_bytes = 0, flops, bytes;
    for (int op = 0; op < GW_OP_COUNT; op++) total += (double)p->forward.ns[op];
    for (int op = 0; op < GW_TRAIN_OP_COUNT; op++) total += (double)p->ns[op];
    for (int i = 0; i < GW_OP_COUNT + GW_TRAIN_OP_COUNT; i++) {
        const enum gw_op op = (enum gw_op)i;
        const enum gw_train_op back = (enum gw_train_op)(i - GW_OP_COUNT);
        const bool forward = i < GW_OP_COUNT;
        const double ns = (double)(forward ? p->forward.ns[op] : p->ns[back]);
        if (forward)
            gw_bench_train_forward_cost(rt->model, o, op, &flops, &bytes);
        else
            gw_bench_train_cost(rt->model, o, back, &flops, &bytes);
        gw_bench_put_op(s, rt, limits, forward ? gw_op_name(op) : gw_train_op_name(back), ns * 1e-9,
                        ns / total, flops, bytes);
        all_flops += flops;
        all_bytes += bytes;
    }
    gw_bench_put_op(s, rt, limits, "step", total * 1e-9, 1, all_flops, all_bytes);
}

static enum gwen_status one(const struct train *b, struct gw_runtime *rt, struct gw_limits *limits,
                            struct gwen_err *err) {
    struct gw_train_profile profile = {0};
    struct measured m = {.o = options(b, rt)};
    struct gw_str s = {0};
    if (b->profile) m.o.profile = &profile;
    GW_TRY(measure(rt, limits, &m, err));
    put_rate(&s, rt, &m);
    if (b->profile) put_profile(&s, rt, limits, &m.o);
    enum gwen_status status = gw_cli_put(rt->cli, &s, err);
    gw_str_free(&s);
    return status;
}

/* --- the table ------------------------------------------------------------------------------ */

static void put_cell(struct gw_str *s, const struct gw_runtime *rt, const struct measured *base,
                     const struct measured *m) {
    const double memory = (double)m->r.resident_bytes / (double)base->r.resident_bytes - 1;
    const double time = m->r.seconds / base->r.seconds - 1;
    if (rt->cli->common.json) {
        put_json(s, rt, "train-matrix", m);
        gw_bench_put_real(s, "memory_change", memory);
        gw_bench_put_real(s, "time_change", time);
        gw_str_puts(s, "}\n");
        return;
    }
    gw_str_printf(s, "matrix   | recompute %-5s | micro-batch %4zu | ", RECOMPUTE[m->o.recompute],
                  m->o.micro_batch);
    gw_put_bytes(s, m->r.resident_bytes);
    gw_str_printf(s, " %+6.1f %% | %8.2f s %+6.1f %% | %8.1f tok/s\n", 100 * memory, m->r.seconds,
                  100 * time, m->r.rate.mean);
}

/* Each kind of recomputation with micro-batches from all samples down to one, halved each time; the
 * first, which recomputes nothing, is what the others are compared with. */
static enum gwen_status matrix(const struct train *b, struct gw_runtime *rt,
                               struct gw_limits *limits, struct gwen_err *err) {
    struct measured base = {0};
    struct gw_str s = {0};
    enum gwen_status status = GWEN_OK;
    for (int r = GW_RECOMPUTE_NONE; r <= GW_RECOMPUTE_LAYER; r++)
        for (size_t n = b->prompts * b->group; n > 0 && status == GWEN_OK; n /= 2) {
            struct measured m = {.o = options(b, rt)};
            if (gw_interrupt_signal() != 0) break;
            m.o.recompute = (enum gw_recompute)r;
            m.o.micro_batch = n;
            status = measure(rt, limits, &m, err);
            if (base.r.seconds <= 0) base = m;
            if (status == GWEN_OK) put_cell(&s, rt, &base, &m);
            if (status == GWEN_OK) status = gw_cli_put(rt->cli, &s, err);
        }
    gw_str_free(&s);
    return status;
}

static enum gwen_status train(const struct train *b, struct gw_runtime *rt, struct gw_cli *cli,
                              struct gwen_err *err) {
    GW_TRY(gw_bench_open(rt, cli, err));
    struct gw_bench_train_opts o = options(b, rt);
    struct gw_limits limits;
    if (b->matrix) o.micro_batch = 0, o.recompute = GW_RECOMPUTE_NONE; /* takes the most */
    GW_TRY(check(rt, &o, err));
    GW_TRY(gw_bench_measure_limits(rt, &limits, err));
    struct gw_plan_options plan = gw_runtime_plan(rt);
    plan.other += bytes_of(rt, &o);
    GW_TRY(gw_runtime_load(rt, &plan, err));
    return b->matrix ? matrix(b, rt, &limits, err) : one(b, rt, &limits, err);
}

int gw_cmd_bench_train(struct gw_cli *cli, int argc, char **argv) {
    struct train b = {.prompts = 4,
                      .group = 1,
                      .prompt_tokens = GW_COUNT_UNSET,
                      .seq = 256,
                      .runs = 3,
                      .warmup = 1};
    struct gw_runtime rt = {0};
    const struct gw_option options[] = {
        GW_OPT_ADAPTER(cli),
        GW_OPT_COUNT("batch", 0, &b.prompts, 1, 65536,
                     "number of sequences, or with --groups of prompts"),
        GW_OPT_COUNT("groups", 0, &b.group, 1, 65536, "samples of each prompt"),
        GW_OPT_COUNT("seq", 0, &b.seq, 1, 1 << 20, "length of a sequence, its prompt included"),
        GW_OPT_COUNT("prompt-tokens", 0, &b.prompt_tokens, 0, 1 << 20,
                     "length of the prompt, which a group shares and which is not counted in the "
                     "tokens/s; default 0, with --groups half of --seq"),
        GW_OPT_AUTO("train-micro-batch", 0, &b.micro_batch, 1, 1 << 20,
                    "sequences that go through the model together; auto: all"),
        GW_OPT_CHOICE("recompute", 0, &b.recompute, "none|attn|layer",
                      "activation checkpointing: recompute nothing, attention, or whole layers in "
                      "the backward pass"),
        GW_OPT_FLAG("matrix", 0, &b.matrix,
                    "a table of memory and time of each kind of recomputation and micro-batch"),
        GW_BENCH_OPT_RUNS(&b.runs),
        GW_BENCH_OPT_WARMUP(&b.warmup),
        GW_BENCH_OPT_PROFILE(&b.profile),
    };
    const struct gw_cli_spec spec = {
        .usage = "--model DIR [options]",
        .about = "Measures the tokens/s of training passes, forward and backward without the\n"
                 "optimizer, over --batch sequences of --seq tokens, or over --groups samples for\n"
                 "each of --batch prompts.",
        .options = options,
        .n_options = GW_ARRAY_LEN(options),
        .needs_model = true};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
    if (b.prompt_tokens == GW_COUNT_UNSET) b.prompt_tokens = b.group > 1 ? b.seq / 2 : 0;
    if (b.prompt_tokens >= b.seq) return gw_cli_usage(cli, "--prompt-tokens is not below --seq");
    struct gwen_err err;
    enum gwen_status status = train(&b, &rt, cli, &err);
    gw_runtime_close(&rt);
    return gw_cli_end(cli, status, &err);
}

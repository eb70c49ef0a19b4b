/* bench_common.c - see bench_common.h. */
#include "cli/commands/bench_common.h"

#include "ops/peak.h"

/* Time for measuring the machine's own limits. */
static const double PEAK_SECONDS = 0.3, READ_SECONDS = 1.5;

void gw_bench_put_common(struct gw_str *s, const struct gw_runtime *rt, const char *what) {
    gw_str_printf(s,
                  "{\"what\":\"%s\",\"dtype\":\"%s\",\"isa\":\"%s\",\"numeric_class\":\"%s\","
                  "\"threads\":%d",
                  what, gw_dtype_torch_name(rt->dtype), gwen_isa_name(rt->kern.isa),
                  gw_runtime_class(rt), rt->n_threads);
}

void gw_bench_put_real(struct gw_str *s, const char *key, double v) {
    gw_str_printf(s, ",\"%s\":%.6g", key, v);
}

void gw_bench_put_op(struct gw_str *s, const struct gw_runtime *rt, const struct gw_limits *limits,
                     const char *name, double seconds, double share, double flops, double bytes) {
    double least = GW_MAX(flops / limits->flops_s, bytes / limits->bytes_s);
    double fraction = seconds > 0 ? least / seconds : 0;
    if (rt->cli->common.json)
        gw_str_printf(s,
                      "{\"what\":\"profile\",\"op\":\"%s\",\"ms\":%.6g,\"share\":%.4g,"
                      "\"flops\":%.6g,\"bytes\":%.6g,\"fraction\":%.4g}\n",
                      name, seconds * 1e3, share, flops, bytes, fraction);
    else
        gw_str_printf(s,
                      "  %-10s %8.3f ms %5.1f %% | %8.3f GFLOP %7.1f GFLOP/s | %8.1f MB %6.1f GB/s "
                      "| %3.0f %% of limit\n",
                      name, seconds * 1e3, 100 * share, flops * 1e-9,
                      seconds > 0 ? flops / seconds * 1e-9 : 0, bytes * 1e-6,
                      seconds > 0 ? bytes / seconds * 1e-9 : 0, 100 * fraction);
}

enum gwen_status gw_bench_put_rate(const struct gw_runtime *rt, const char *what, size_t batch,
                                   size_t prompt_tokens, size_t new_tokens, const struct gw_rate *r,
                                   struct gwen_err *err) {
    struct gw_str s = {0};
    if (rt->cli->common.json) {
        gw_bench_put_common(&s, rt, what);
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
            what, gw_dtype_torch_name(rt->dtype), gwen_isa_name(rt->kern.isa), batch, prompt_tokens,
            r->mean, r->std, r->limit, 100 * r->mean / r->limit);
    }
    enum gwen_status status = gw_cli_put(rt->cli, &s, err);
    gw_str_free(&s);
    return status;
}

enum gwen_status gw_bench_put_profile(const struct gw_runtime *rt, const struct gw_limits *limits,
                                      const struct gw_profile *p,
                                      const struct gw_bench_profiled *of, struct gwen_err *err) {
    struct gw_str s = {0};
    double total = 0, all_flops = 0, all_bytes = 0;
    for (int op = 0; op < GW_OP_COUNT; op++) total += (double)p->ns[op];
    for (int op = 0; op < GW_OP_COUNT; op++) {
        double flops, bytes, ns = (double)p->ns[op];
        gw_op_cost(rt->model, (enum gw_op)op, of->rows, of->n_out, of->context, of->kv_tokens,
                   &flops, &bytes);
        gw_bench_put_op(&s, rt, limits, gw_op_name((enum gw_op)op), ns * 1e-9 / of->n_steps,
                        ns / total, flops, bytes);
        all_flops += flops;
        all_bytes += bytes;
    }
    gw_bench_put_op(&s, rt, limits, "step", total * 1e-9 / of->n_steps, 1, all_flops, all_bytes);
    enum gwen_status status = gw_cli_put(rt->cli, &s, err);
    gw_str_free(&s);
    return status;
}

double gw_bench_measure_peak(struct gw_runtime *rt) {
    return gw_peak_flops(&rt->arith, rt->pool, PEAK_SECONDS);
}

enum gwen_status gw_bench_measure_limits(struct gw_runtime *rt, struct gw_limits *limits,
                                         struct gwen_err *err) {
    struct gw_read_peak read;
    limits->flops_s = gw_bench_measure_peak(rt);
    GW_TRY(gw_peak_read(&rt->arith, rt->pool, rt->budget / 4, READ_SECONDS, &read, err));
    limits->bytes_s = read.bytes_s;
    gw_log(&rt->cli->log, GWEN_LOG_DEBUG,
           "peak %.0f GFLOP/s, reading %.1f GB/s (%s, %zu MiB, huge pages %s) on %d threads",
           limits->flops_s * 1e-9, read.bytes_s * 1e-9, read.pattern, read.bytes >> 20,
           read.huge_pages ? "used" : "not used", rt->n_threads);
    return GWEN_OK;
}

enum gwen_status gw_bench_open(struct gw_runtime *rt, struct gw_cli *cli, struct gwen_err *err) {
    GW_TRY(gw_runtime_open(rt, cli, err));
    if (cli->common.model != NULL) return gw_runtime_find(rt, err);
    rt->dtype = cli->common.dtype != GW_DTYPE_NONE ? cli->common.dtype : GW_DTYPE_BF16;
    rt->arith = gw_model_arith(rt->dtype, &rt->kern);
    return GWEN_OK;
}

enum gwen_status gw_bench_load(struct gw_runtime *rt, size_t bytes, struct gw_limits *limits,
                               struct gwen_err *err) {
    struct gw_plan_options plan = gw_runtime_plan(rt);
    plan.other = bytes;
    GW_TRY(gw_plan_check(&plan, rt->budget, err));
    GW_TRY(gw_bench_measure_limits(rt, limits, err));
    return gw_runtime_load(rt, &plan, err);
}

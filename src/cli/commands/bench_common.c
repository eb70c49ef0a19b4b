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

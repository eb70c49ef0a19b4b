/* bench_gemm.c - gwen-cpu bench gemm: the matrix products of a layer. */
#include "cli/commands/bench_common.h"

#include "ops/peak.h"

/* Time for measuring the peak, and a product. */
static const double PEAK_SECONDS = 0.3, GEMM_SECONDS = 0.3;

static enum gwen_status product(const struct gw_runtime *rt, size_t m, size_t n, size_t k,
                                struct gwen_err *err) {
    struct gw_str s = {0};
    double flops, peak = gw_peak_flops(&rt->arith, rt->pool, PEAK_SECONDS);
    GW_TRY(gw_bench_gemm(&rt->arith, rt->pool, m, n, k, GEMM_SECONDS, &flops, err));
    /* Of a noisy machine's peak, the best that was seen counts. */
    double after = gw_peak_flops(&rt->arith, rt->pool, PEAK_SECONDS);
    peak = GW_MAX(GW_MAX(peak, after), flops);
    if (rt->cli->common.json) {
        gw_bench_put_common(&s, rt, "gemm");
        gw_str_printf(&s, ",\"m\":%zu,\"n\":%zu,\"k\":%zu,\"batch\":%zu", m, n, k, m);
        gw_bench_put_real(&s, "gflops", flops * 1e-9);
        gw_bench_put_real(&s, "limit_gflops", peak * 1e-9);
        gw_bench_put_real(&s, "fraction", flops / peak);
        gw_str_puts(&s, "}\n");
    } else {
        gw_str_printf(&s,
                      "gemm     | %s %s | M %4zu N %6zu K %5zu | %8.1f GFLOP/s | peak %8.1f "
                      "| %3.0f %%\n",
                      gw_dtype_torch_name(rt->dtype), gwen_isa_name(rt->kern.isa), m, n, k,
                      flops * 1e-9, peak * 1e-9, 100 * flops / peak);
    }
    enum gwen_status status = gw_cli_put(rt->cli, &s, err);
    gw_str_free(&s);
    return status;
}

/* The products of a model's layer, or of Qwen3-0.6B's. */
static enum gwen_status gemm(struct gw_runtime *rt, struct gw_cli *cli,
                             const struct gw_counts *batch, struct gwen_err *err) {
    GW_TRY(gw_bench_open(rt, cli, err));
    struct gw_config c = rt->cfg;
    if (cli->common.model == NULL) GW_TRY(gw_config_preset("qwen3-0.6b", &c, err));
    const size_t shapes[][2] = {{(c.n_heads + 2 * c.n_kv_heads) * c.head_dim, c.hidden},
                                {c.hidden, c.n_heads * c.head_dim},
                                {2 * c.ffn, c.hidden},
                                {c.hidden, c.ffn}};
    for (size_t i = 0; i < batch->n; i++)
        for (size_t j = 0; j < GW_ARRAY_LEN(shapes) && gw_interrupt_signal() == 0; j++)
            GW_TRY(product(rt, batch->items[i], shapes[j][0], shapes[j][1], err));
    return GWEN_OK;
}

int gw_cmd_bench_gemm(struct gw_cli *cli, int argc, char **argv) {
    size_t items[] = {1, 8, 32, 64};
    struct gw_counts batch = {items, GW_ARRAY_LEN(items)};
    struct gw_runtime rt = {0};
    const struct gw_option options[] = {
        GW_OPT_COUNTS("batch", 0, &batch, 1, 65536, "rows of the activations: M of M x N x K"),
    };
    const struct gw_cli_spec spec = {
        .usage = "[options]",
        .about = "Measures the FLOP/s of the matrix products of a transformer layer, those of\n"
                 "--model or of Qwen3-0.6B, on one thread unless --threads says otherwise.",
        .options = options,
        .n_options = GW_ARRAY_LEN(options)};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
    /* One core is what kernels are judged by; more only tell how threads share the caches. */
    if (!gw_cli_given(cli, "threads")) cli->common.threads = 1;
    struct gwen_err err;
    enum gwen_status status = gemm(&rt, cli, &batch, &err);
    gw_runtime_close(&rt);
    return gw_cli_end(cli, status, &err);
}

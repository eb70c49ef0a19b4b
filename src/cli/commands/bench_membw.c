/* bench_membw.c - gwen-cpu bench membw: how fast memory is read. */
#include "cli/commands/bench_common.h"

static enum gwen_status membw(struct gw_runtime *rt, struct gw_cli *cli, struct gwen_err *err) {
    struct gw_limits limits;
    struct gw_str s = {0};
    GW_TRY(gw_bench_open(rt, cli, err));
    GW_TRY(gw_bench_measure_limits(rt, &limits, err));
    if (cli->common.json) {
        gw_bench_put_common(&s, rt, "membw");
        gw_bench_put_real(&s, "gb_s", limits.bytes_s * 1e-9);
        gw_str_puts(&s, "}\n");
    } else {
        gw_str_printf(&s, "membw    | %d threads | %.1f GB/s\n", rt->n_threads,
                      limits.bytes_s * 1e-9);
    }
    enum gwen_status status = gw_cli_put(cli, &s, err);
    gw_str_free(&s);
    return status;
}

int gw_cmd_bench_membw(struct gw_cli *cli, int argc, char **argv) {
    struct gw_runtime rt = {0};
    const struct gw_cli_spec spec = {
        .usage = "[options]",
        .about =
            "Measures how many bytes a second all threads together read from memory: the best\n"
            "of several access patterns."};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
    struct gwen_err err;
    enum gwen_status status = membw(&rt, cli, &err);
    gw_runtime_close(&rt);
    return gw_cli_end(cli, status, &err);
}

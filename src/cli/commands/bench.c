/* bench.c - gwen-cpu bench: what this machine does, beside what it could do at best. */
#include "cli/commands/bench_common.h"

static const struct gw_command KINDS[] = {
#define GW_BENCH(name, help) {#name, gw_cmd_bench_##name, help},
#include "cli/commands/bench.def"
#undef GW_BENCH
};

int gw_cmd_bench(struct gw_cli *cli, int argc, char **argv) {
    const struct gw_cli_spec spec = {
        .usage = "KIND [options]",
        .about = "Measures this machine, with a model (of which the shape matters, the tokens are\n"
                 "random) or without, and prints beside each rate the limit that the processor's\n"
                 "peak FLOP/s and the memory bandwidth set, measured in the same run."};
    return gw_cli_group(cli, &spec, KINDS, GW_ARRAY_LEN(KINDS), argc, argv);
}

/* help.c - gwen-cpu help: a command's options as -h prints them, as a manual page, or all commands'
 * as a script for completion.  All of it is made from the tables that parse the command line. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

static int tell(struct gw_cli *cli, const char *const *words, size_t n, bool man) {
    char *argv[4] = {NULL};
    for (size_t i = 0; i < n; i++) argv[i + 1] = (char *)words[i];
    /* Nothing that this command was given is a default of the other. */
    cli->common = (struct gw_common){0};
    cli->command = NULL;
    cli->tell = man ? gw_man_command : gw_help_command;
    cli->tell_kinds = man;
    return gw_cli_run(cli, cli->commands, cli->n_commands, (int)n + 1, argv);
}

int gw_cmd_help(struct gw_cli *cli, int argc, char **argv) {
    bool man = false;
    int completion = -1;
    const struct gw_option options[] = {
        GW_OPT_FLAG("man", 0, &man, "print a manual page (roff) instead"),
        GW_OPT_CHOICE("completion", 0, &completion, "bash",
                      "print a script that completes command lines in this shell"),
    };
    const struct gw_cli_spec spec = {
        .usage = "[COMMAND [KIND]] [options]",
        .about = "Prints what COMMAND does and its options, as gwen-cpu COMMAND -h does.  KIND is\n"
                 "one of a command that has several, such as decode of bench.",
        .options = options,
        .n_options = GW_ARRAY_LEN(options),
        .max_args = 2};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
    if (completion >= 0 && (man || cli->n_args > 0))
        return gw_cli_usage(cli, "--completion is of all commands: give nothing else");
    if (man && cli->n_args > 1)
        return gw_cli_usage(cli, "the manual page of %s has all its kinds", cli->args[0]);
    if (cli->n_args > 0) return tell(cli, cli->args, cli->n_args, man);
    if (completion >= 0)
        gw_complete_bash(cli);
    else if (man)
        gw_man_program(cli);
    else
        gw_help_program(cli);
    return GW_EXIT_OK;
}

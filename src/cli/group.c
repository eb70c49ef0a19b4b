/* group.c - from a name to its row in a table of commands, or of a command's kinds. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

static const struct gw_command *find(const struct gw_command *commands, size_t n,
                                     const char *name) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
    return NULL;
}

/* "bench", or "bench decode" of a command in progress. */
static const char *full_name(struct gw_cli *cli, const char *name) {
    if (cli->command == NULL) return name;
    const size_t bytes = strlen(cli->command) + strlen(name) + 2;
    char *full = gw_cli_alloc(cli, bytes);
    snprintf(full, bytes, "%s %s", cli->command, name);
    return full;
}

int gw_cli_run(struct gw_cli *cli, const struct gw_command *commands, size_t n, int argc,
               char **argv) {
    const struct gw_command *command = find(commands, n, argv[1]);
    if (command == NULL) {
        const char *hint = gw_command_hint(cli, commands, n, argv[1]);
        const size_t bytes = strlen(argv[1]) + strlen(hint) + 64;
        char *line = gw_cli_alloc(cli, bytes);
        snprintf(line, bytes, "unknown command \"%s\"%s; see gwen-cpu -h", argv[1], hint);
        gw_cli_line(cli, "gwen-cpu: ", line);
        return GW_EXIT_USAGE;
    }
    cli->command = full_name(cli, command->name);
    return command->run(cli, argc - 1, argv + 1);
}

static void tell_kinds(struct gw_cli *cli, const struct gw_command *kinds, size_t n_kinds) {
    const char *group = cli->command;
    for (size_t i = 0; i < n_kinds; i++) {
        char *words[] = {(char *)kinds[i].name, NULL};
        cli->command = group;
        cli->command = full_name(cli, kinds[i].name);
        kinds[i].run(cli, 1, words);
    }
}

static int expected(struct gw_cli *cli, const char *word) {
    struct gw_str names = {0};
    for (size_t i = 0; i < cli->n_kinds; i++)
        gw_str_printf(&names, "%s%s",
                      i == 0                 ? ""
                      : i + 1 < cli->n_kinds ? ", "
                                             : " or ",
                      cli->kinds[i].name);
    const char *list = names.failed ? "a kind" : names.data;
    if (word == NULL)
        gw_cli_usage(cli, "expected %s first", list);
    else
        gw_cli_usage(cli, "expected %s, not \"%s\"%s", list, word,
                     gw_command_hint(cli, cli->kinds, cli->n_kinds, word));
    gw_str_free(&names);
    return GW_EXIT_USAGE;
}

int gw_cli_group(struct gw_cli *cli, const struct gw_cli_spec *spec, const struct gw_command *kinds,
                 size_t n_kinds, int argc, char **argv) {
    bool help = cli->tell != NULL;
    const char *word = argc > 1 && argv[1][0] != '-' ? argv[1] : NULL;
    if (word != NULL && find(kinds, n_kinds, word) != NULL)
        return gw_cli_run(cli, kinds, n_kinds, argc, argv);
    cli->spec = spec;
    cli->kinds = kinds;
    cli->n_kinds = n_kinds;
    gw_option_add_common(cli);
    for (int i = 1; i < argc; i++)
        help = help || strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0;
    if (word != NULL || !help) return expected(cli, word);
    (cli->tell != NULL ? cli->tell : gw_help_command)(cli);
    if (cli->tell_kinds) tell_kinds(cli, kinds, n_kinds);
    return GW_EXIT_OK;
}

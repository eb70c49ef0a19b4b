/* help.c - what -h prints, made from the tables. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

enum { HELP_COLUMN = 28, HELP_WIDTH = 79 };

/* Words of `text` from column HELP_COLUMN on, broken before HELP_WIDTH. */
static void print_wrapped(const char *text) {
    size_t column = HELP_COLUMN;
    while (*text != '\0') {
        size_t len = strcspn(text, " ");
        bool first = column == HELP_COLUMN;
        if (!first && column + 1 + len > HELP_WIDTH) {
            printf("\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
            first = true;
        }
        printf("%s%.*s", first ? "" : " ", (int)len, text);
        column += len + !first;
        text += len;
        while (*text == ' ') text++;
    }
    putchar('\n');
}

static void print_option(const struct gw_option *o) {
    char left[80];
    int n = snprintf(left, sizeof left, "  %c%c%c --%s%s%s", o->letter ? '-' : ' ',
                     o->letter ? o->letter : ' ', o->letter ? ',' : ' ', o->name,
                     o->arg != NULL ? " " : "", o->arg != NULL ? o->arg : "");
    if (n > HELP_COLUMN - 2)
        printf("%s\n%*s", left, HELP_COLUMN, "");
    else
        printf("%-*s", HELP_COLUMN, left);
    struct gw_str text = {0}, value = {0};
    gw_str_puts(&text, o->help);
    gw_option_show(o, &value);
    if (value.len > 0) gw_str_printf(&text, " (default %s)", value.data);
    if (!text.failed) print_wrapped(text.data);
    gw_str_free(&text);
    gw_str_free(&value);
}

void gw_help_command(const struct gw_cli *cli) {
    const struct gw_cli_spec *spec = cli->spec;
    printf("usage: gwen-cpu %s %s\n\n%s\n", cli->command, spec->usage, spec->about);
    if (spec->n_options > 0) printf("\nOptions\n");
    for (size_t i = 0; i < spec->n_options; i++) print_option(&spec->options[i]);
    printf("\nCommon options\n");
    for (size_t i = 0; i < GW_CLI_N_COMMON; i++)
        if (!gw_option_hidden(cli, &cli->common_options[i])) print_option(&cli->common_options[i]);
}

void gw_help_program(const struct gw_command *commands, size_t n) {
    printf("usage: gwen-cpu COMMAND [options]\n"
           "       gwen-cpu COMMAND -h\n"
           "       gwen-cpu --version\n\n"
           "Reinforcement learning on language models on CPUs.\n\nCommands\n");
    for (size_t i = 0; i < n; i++) printf("  %-10s %s\n", commands[i].name, commands[i].help);
    printf("\nData goes to standard output, everything else to standard error.\n"
           "Exit status: 0 ok, 1 failed, 2 wrong usage, 130 or 143 interrupted.\n\n"
           "Environment: GWEN_DTYPE (default of --dtype), GWEN_ISA (highest instruction set to\n"
           "use), HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME (where hub ids are looked up)\n");
}

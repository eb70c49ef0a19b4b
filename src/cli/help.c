/* help.c - what -h prints, made from the tables. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

enum { HELP_COLUMN = 28, HELP_WIDTH = 79 };

/* Words of text[0..len) from column `column` on, broken before HELP_WIDTH with an indent of
 * `indent`.  Returns the column after them. */
static size_t print_words(const char *text, size_t len, size_t indent, size_t column) {
    const char *end = text + len;
    while (text < end) {
        size_t n = 0;
        while (text + n < end && text[n] != ' ') n++;
        bool first = column == indent;
        if (!first && column + 1 + n > HELP_WIDTH) {
            printf("\n%*s", (int)indent, "");
            column = indent;
            first = true;
        }
        printf("%s%.*s", first ? "" : " ", (int)n, text);
        column += n + !first;
        text += n;
        while (text < end && *text == ' ') text++;
    }
    return column;
}

/* Paragraphs; lines that begin with a blank (tables, examples) stay as they are. */
static void print_about(const char *text) {
    size_t column = 0;
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        if (len == 0 || text[0] == ' ') {
            printf("%s%.*s\n", column > 0 ? "\n" : "", (int)len, text);
            column = 0;
        } else {
            column = print_words(text, len, 0, column);
        }
        text += len;
        if (*text == '\n') text++;
    }
    if (column > 0) putchar('\n');
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
    if (!text.failed) print_words(text.data, text.len, HELP_COLUMN, HELP_COLUMN);
    putchar('\n');
    gw_str_free(&text);
    gw_str_free(&value);
}

static void print_names(const struct gw_command *commands, size_t n) {
    for (size_t i = 0; i < n; i++) printf("  %-10s %s\n", commands[i].name, commands[i].help);
}

void gw_help_command(const struct gw_cli *cli) {
    const struct gw_cli_spec *spec = cli->spec;
    printf("usage: gwen-cpu %s %s\n\n", cli->command, spec->usage);
    print_about(spec->about);
    if (cli->n_kinds > 0) {
        printf("\nKinds (gwen-cpu %s KIND -h lists the options of one)\n", cli->command);
        print_names(cli->kinds, cli->n_kinds);
    }
    if (spec->n_options > 0) printf("\nOptions\n");
    for (size_t i = 0; i < spec->n_options; i++) print_option(&spec->options[i]);
    printf("\nCommon options\n");
    for (size_t i = 0; i < GW_CLI_N_COMMON; i++)
        if (!gw_option_hidden(cli, &cli->common_options[i])) print_option(&cli->common_options[i]);
}

void gw_help_program(const struct gw_cli *cli) {
    printf("usage: gwen-cpu COMMAND [options]\n"
           "       gwen-cpu help COMMAND\n"
           "       gwen-cpu --version\n\n"
           "Reinforcement learning on language models on CPUs.\n\nCommands\n");
    print_names(cli->commands, cli->n_commands);
    printf("\nData goes to standard output, everything else to standard error.\n"
           "Exit status: 0 ok, 1 failed, 2 wrong usage, 129, 130 or 143 interrupted.\n\n"
           "Environment: GWEN_DTYPE (default of --dtype), GWEN_ISA (highest instruction set to\n"
           "use), HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME (where hub ids are looked up)\n");
}

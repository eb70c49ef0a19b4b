/* man.c - manual pages in roff, made from the tables; `make` appends the prose of man/ to them. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

/* Text as it is: roff's own signs are escaped, and a hyphen is one that can be pasted. */
static void put(const char *text, size_t len) {
    if (len > 0 && (text[0] == '.' || text[0] == '\'')) printf("\\&");
    for (size_t i = 0; i < len; i++)
        if (text[i] == '\\')
            printf("\\e");
        else if (text[i] == '-')
            printf("\\-");
        else
            putchar(text[i]);
}

static void puts_text(const char *text) { put(text, strlen(text)); }

/* Text of an option's value, which may be broken after each word to choose from. */
static void put_arg(const char *arg) {
    for (; *arg != '\0'; arg += strcspn(arg, "|,") + (arg[strcspn(arg, "|,")] != '\0')) {
        const size_t len = strcspn(arg, "|,");
        put(arg, len);
        if (arg[len] != '\0') printf("%c\\:", arg[len]);
    }
}

/* As in -h: paragraphs, and lines that stay as they are because they begin with a blank. */
static void put_about(const char *text) {
    bool literal = false;
    while (*text != '\0') {
        const size_t len = strcspn(text, "\n");
        if (literal != (text[0] == ' ')) {
            literal = !literal;
            printf(literal ? ".PP\n.nf\n" : ".fi\n.PP\n");
        }
        if (len == 0) {
            if (text[1] != ' ' && text[1] != '\0') printf(".PP\n");
        } else {
            put(text, len);
            putchar('\n');
        }
        text += len;
        if (*text == '\n') text++;
    }
    if (literal) printf(".fi\n");
}

static void put_option(const struct gw_option *o) {
    struct gw_str value = {0};
    printf(".TP\n");
    if (o->letter != 0) printf("\\fB\\-%c\\fR, ", o->letter);
    printf("\\fB\\-\\-");
    puts_text(o->name);
    printf("\\fR");
    if (o->arg != NULL) {
        printf(" \\fI");
        put_arg(o->arg);
        printf("\\fR");
    }
    putchar('\n');
    puts_text(o->help);
    gw_option_show(o, &value);
    if (value.len > 0 && !value.failed) {
        printf(" (default ");
        put_arg(value.data);
        putchar(')');
    }
    printf("\n");
    gw_str_free(&value);
}

static void put_common(const struct gw_cli *cli) {
    for (size_t i = 0; i < GW_CLI_N_COMMON; i++)
        if (!gw_option_hidden(cli, &cli->common_options[i])) put_option(&cli->common_options[i]);
}

static void put_names(const struct gw_command *commands, size_t n, bool pages) {
    for (size_t i = 0; i < n; i++) {
        printf(pages ? ".TP\n.BR gwen\\-cpu\\-%s (1)\n" : ".TP\n.B %s\n", commands[i].name);
        puts_text(commands[i].help);
        putchar('\n');
    }
}

static void put_synopsis(const struct gw_cli *cli) {
    printf(".B gwen\\-cpu %s\n", cli->command);
    puts_text(cli->spec->usage);
    putchar('\n');
}

static const char *help_of(const struct gw_cli *cli) {
    for (size_t i = 0; i < cli->n_commands; i++)
        if (strcmp(cli->commands[i].name, cli->command) == 0) return cli->commands[i].help;
    return "";
}

/* A page begins with NAME: .TH has no date, so that the same sources give the same page. */
static void put_title(const char *section) {
    printf(".TH %s 1 \"\" \"gwen\\-cpu %s\" \"User Commands\"\n.ad l\n.nh\n.SH NAME\n", section,
           gwen_version());
}

/* One of several kinds: a section of the page of its command. */
static void put_kind(const struct gw_cli *cli) {
    const struct gw_cli_spec *spec = cli->spec;
    printf(".SS %s\n", cli->command);
    put_synopsis(cli);
    printf(".PP\n");
    put_about(spec->about);
    for (size_t i = 0; i < spec->n_options; i++) put_option(&spec->options[i]);
}

void gw_man_command(const struct gw_cli *cli) {
    const struct gw_cli_spec *spec = cli->spec;
    if (strchr(cli->command, ' ') != NULL) {
        put_kind(cli);
        return;
    }
    char title[64];
    size_t n = 0;
    n = (size_t)snprintf(title, sizeof title, "GWEN\\-CPU\\-");
    for (const char *c = cli->command; *c != '\0' && n + 1 < sizeof title; c++)
        title[n++] = (char)(*c - 'a' + 'A');
    title[n] = '\0';
    put_title(title);
    printf("gwen\\-cpu\\-%s \\- ", cli->command);
    puts_text(help_of(cli));
    printf("\n.SH SYNOPSIS\n");
    put_synopsis(cli);
    printf(".SH DESCRIPTION\n");
    put_about(spec->about);
    if (spec->n_options > 0) printf(".SH OPTIONS\n");
    for (size_t i = 0; i < spec->n_options; i++) put_option(&spec->options[i]);
    printf(".SH COMMON OPTIONS\n");
    put_common(cli);
    if (cli->n_kinds > 0) {
        printf(".SH KINDS\n");
        put_names(cli->kinds, cli->n_kinds, false);
    }
}

void gw_man_program(struct gw_cli *cli) {
    put_title("GWEN\\-CPU");
    printf("gwen\\-cpu \\- reinforcement learning on language models on CPUs\n"
           ".SH SYNOPSIS\n"
           ".B gwen\\-cpu\n.I command\n.RI [ options ]\n.br\n"
           ".B gwen\\-cpu help\n.I command\n"
           ".SH DESCRIPTION\n"
           "Reads a model directory in Hugging Face's format; samples groups of completions with\n"
           "their log\\-probabilities, scores given text, trains (supervised, and by GRPO on\n"
           "rewards), evaluates, and measures how fast it does so.\n"
           "Everything runs on the processor, with 16\\-bit or 32\\-bit weights.\n.PP\n"
           "Data goes to standard output, everything else to standard error.\n"
           "Progress bars are shown on a terminal only.\n"
           ".SH COMMANDS\nEach has a page of its own, with its options.\n");
    put_names(cli->commands, cli->n_commands, true);
    printf(".SH COMMON OPTIONS\n");
    const struct gw_cli_spec none = {.n_options = 0};
    cli->common = (struct gw_common){0};
    cli->spec = &none;
    put_common(cli);
    cli->spec = NULL;
}

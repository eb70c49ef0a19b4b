/* complete.c - completion in bash: a script with the tables in it, so that pressing Tab starts no
 * program.
 *
 * What follows an option is known by what its help calls the value: words to choose from, a folder
 * or a file; anything else is the user's. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

static bool has_capital(const char *text) {
    return strcspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") < strlen(text);
}

/* The words to choose from, or @dir, @file, @value. */
static void put_values(const char *arg) {
    if (strcmp(arg, "DIR") == 0)
        printf("@dir");
    else if (strncmp(arg, "FILE", 4) == 0)
        printf("@file");
    else if (strcmp(arg, "N|auto") == 0)
        printf("auto");
    else if (strpbrk(arg, "|") == NULL || has_capital(arg) || strpbrk(arg, "[].") != NULL)
        printf("@value");
    else
        for (; *arg != '\0'; arg++) putchar(*arg == '|' ? ' ' : *arg);
}

static void put_row(const struct gw_cli *cli, const struct gw_option *o) {
    if (o->arg == NULL) return;
    printf("    '%s --%s'", cli->command, o->name);
    if (o->letter != 0) printf(" | '%s -%c'", cli->command, o->letter);
    printf(") echo '");
    put_values(o->arg);
    printf("' ;;\n");
}

static void tell_words(const struct gw_cli *cli) {
    const struct gw_option *o;
    printf("    '%s') echo '", cli->command);
    for (size_t i = 0; i < cli->n_kinds; i++) printf("%s ", cli->kinds[i].name);
    for (size_t i = 0; cli->n_kinds == 0 && (o = gw_option_at(cli, i)) != NULL; i++)
        if (!gw_option_hidden(cli, o)) printf("--%s ", o->name);
    printf("' ;;\n");
}

static void tell_rows(const struct gw_cli *cli) {
    const struct gw_option *o;
    for (size_t i = 0; cli->n_kinds == 0 && (o = gw_option_at(cli, i)) != NULL; i++)
        if (!gw_option_hidden(cli, o)) put_row(cli, o);
}

static void for_all(struct gw_cli *cli, void (*tell)(const struct gw_cli *cli)) {
    cli->tell = tell;
    cli->tell_kinds = true;
    for (size_t i = 0; i < cli->n_commands; i++) {
        char *words[] = {NULL, (char *)cli->commands[i].name, NULL};
        cli->command = NULL;
        gw_cli_run(cli, cli->commands, cli->n_commands, 2, words);
    }
}

static const char head[] =
    "# bash completion of gwen-cpu; written by gwen-cpu help --completion bash\n"
    "_gwen_cpu_words() { # of a command: its kinds, or its options\n"
    "    case $1 in\n";
static const char middle[] = "    esac\n"
                             "}\n"
                             "_gwen_cpu_values() { # of an option of a command\n"
                             "    case $1 in\n";
static const char tail[] =
    "    esac\n"
    "}\n"
    "_gwen_cpu() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
    "    local command=${COMP_WORDS[1]} words values\n"
    "    COMPREPLY=()\n"
    "    # --name=value comes as three words\n"
    "    if [ \"$prev\" = = ]; then prev=${COMP_WORDS[COMP_CWORD - 2]}; fi\n"
    "    if [ \"$cur\" = = ]; then cur=; fi\n"
    "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$(_gwen_cpu_words '') --help --version\" -- "
    "\"$cur\")\n"
    "        return\n"
    "    fi\n"
    "    words=$(_gwen_cpu_words \"$command\")\n"
    "    if [ \"$COMP_CWORD\" -gt 2 ] || [ \"$command\" = help ]; then\n"
    "        case $words in\n"
    "        [!-]*) command=\"$command ${COMP_WORDS[2]}\" words=$(_gwen_cpu_words \"$command\") "
    ";;\n"
    "        esac\n"
    "    fi\n"
    "    if [ \"${COMP_WORDS[1]}\" = help ] && [ \"$COMP_CWORD\" -le 3 ]; then\n"
    "        case $COMP_CWORD in\n"
    "        2) words=\"$(_gwen_cpu_words '') $words\" ;;\n"
    "        3) case $(_gwen_cpu_words \"$prev\") in [!-]*) words=$(_gwen_cpu_words \"$prev\") ;; "
    "esac ;;\n"
    "        esac\n"
    "    fi\n"
    "    values=$(_gwen_cpu_values \"$command $prev\")\n"
    "    case $values in\n"
    "    @dir)\n"
    "        compopt -o filenames 2>/dev/null\n"
    "        mapfile -t COMPREPLY < <(compgen -d -- \"$cur\")\n"
    "        return\n"
    "        ;;\n"
    "    @value) return ;;\n"
    "    @file) words= ;;\n"
    "    ?*) words=$values ;;\n"
    "    esac\n"
    "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
    "    case $values$cur in\n"
    "    @file* | [!-]*)\n"
    "        if [ \"${#COMPREPLY[@]}\" -eq 0 ]; then\n"
    "            compopt -o filenames 2>/dev/null\n"
    "            mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
    "        fi\n"
    "        ;;\n"
    "    esac\n"
    "}\n"
    "complete -F _gwen_cpu gwen-cpu\n";

void gw_complete_bash(struct gw_cli *cli) {
    cli->common = (struct gw_common){0};
    printf("%s    '') echo '", head);
    for (size_t i = 0; i < cli->n_commands; i++) printf("%s ", cli->commands[i].name);
    printf("' ;;\n");
    for_all(cli, tell_words);
    printf("%s", middle);
    for_all(cli, tell_rows);
    printf("%s", tail);
}

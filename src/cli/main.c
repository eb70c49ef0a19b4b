/* main.c - the table of commands: finds the one that is named and runs it. */
#include "cli/cli.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct gw_command COMMANDS[] = {
#define GW_COMMAND(name, help) {#name, gw_cmd_##name, help},
#include "cli/commands.def"
#undef GW_COMMAND
};

static int run(struct gw_cli *cli, int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "gwen-cpu: expected a command; see gwen-cpu -h\n");
        return GW_EXIT_USAGE;
    }
    if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0) {
        gw_help_program(cli);
        return GW_EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("gwen-cpu %s\n", gwen_version());
        return GW_EXIT_OK;
    }
    return gw_cli_run(cli, COMMANDS, GW_ARRAY_LEN(COMMANDS), argc, argv);
}

/* A standard descriptor that is closed would be given to the next file opened, and data end up
 * there.  What takes its place cannot be used either: reading or writing it fails. */
static void occupy_standard_descriptors(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0) open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

/* OpenMP makes its threads with the stack that the environment says as the program is loaded,
 * however small; it is another program's size.  So the program begins again without. */
static void forget_stack_size(char **argv) {
    static const char *const names[] = {"OMP_STACKSIZE", "GOMP_STACKSIZE", "KMP_STACKSIZE"};
    bool given = false;
    for (size_t i = 0; i < GW_ARRAY_LEN(names); i++)
        given |= getenv(names[i]) != NULL && unsetenv(names[i]) == 0;
    if (given) execv("/proc/self/exe", argv); /* where that cannot be, as it is */
}

int main(int argc, char **argv) {
    struct gw_cli cli;
    forget_stack_size(argv);
    occupy_standard_descriptors();
    gw_cli_init(&cli, COMMANDS, GW_ARRAY_LEN(COMMANDS));
    gw_interrupt_install();
    gw_cli_guard_json();
    return gw_cli_close(&cli, run(&cli, argc, argv));
}

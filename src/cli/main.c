/* main.c - finds the command and runs it; messages, output and the ways a command ends. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct gw_command COMMANDS[] = {
#define GW_COMMAND(name, help) {#name, gw_cmd_##name, help},
#include "cli/commands.def"
#undef GW_COMMAND
};

/* --- messages ------------------------------------------------------------------------------- */

static void on_log(void *user, enum gwen_log_level level, const char *message) {
    struct gw_cli *cli = user;
    gw_bar_clear(&cli->bar);
    fprintf(stderr, "%s%s\n",
            level == GWEN_LOG_ERROR     ? "gwen-cpu: "
            : level == GWEN_LOG_WARNING ? "gwen-cpu: warning: "
                                        : "",
            message);
}

int gw_cli_usage(struct gw_cli *cli, const char *fmt, ...) {
    char message[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    gw_bar_clear(&cli->bar);
    fprintf(stderr, "gwen-cpu: %s: %s; see gwen-cpu %s -h\n", cli->command, message, cli->command);
    return GW_EXIT_USAGE;
}

int gw_cli_end(struct gw_cli *cli, enum gwen_status status, const struct gwen_err *err) {
    gw_bar_clear(&cli->bar);
    if (status == GWEN_OK) return GW_EXIT_OK;
    int number = gw_interrupt_signal();
    if (status == GWEN_ERR_CANCELLED && number != 0) {
        fprintf(stderr, "gwen-cpu: interrupted\n");
        return 128 + number;
    }
    if (!cli->pipe_closed) fprintf(stderr, "gwen-cpu: %s\n", gw_cli_message(cli, err));
    return GW_EXIT_FAILED;
}

bool gw_cli_progress(void *user, const struct gwen_progress *progress) {
    struct gw_cli *cli = user;
    gw_bar_report(&cli->bar, progress);
    return gw_interrupt_signal() == 0;
}

/* --- memory --------------------------------------------------------------------------------- */

struct gw_owned {
    struct gw_owned *next;
    max_align_t data[];
};

void *gw_cli_alloc(struct gw_cli *cli, size_t bytes) {
    struct gw_owned *o = bytes < SIZE_MAX / 2 ? calloc(1, sizeof *o + bytes) : NULL;
    if (o == NULL) {
        fprintf(stderr, "gwen-cpu: no memory for %zu bytes\n", bytes);
        exit(GW_EXIT_FAILED);
    }
    o->next = cli->owned;
    cli->owned = o;
    return o->data;
}

/* --- output --------------------------------------------------------------------------------- */

/* Not through stdio: its write gives up, and loses track of what was written, when a signal
 * comes. */
enum gwen_status gw_cli_write(struct gw_cli *cli, const void *bytes, size_t len,
                              struct gwen_err *err) {
    const char *at = bytes;
    if (len > 0) gw_bar_clear(&cli->bar);
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, at, len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            cli->pipe_closed = errno == EPIPE;
            return gw_fail(err, GWEN_ERR_IO, "cannot write to standard output: %s",
                           strerror(errno));
        }
        at += n;
        len -= (size_t)n;
    }
    return GWEN_OK;
}

enum gwen_status gw_cli_put(struct gw_cli *cli, struct gw_str *s, struct gwen_err *err) {
    if (s->failed) return gw_nomem(err, s->len, "output");
    enum gwen_status status = gw_cli_write(cli, s->data, s->len, err);
    gw_str_clear(s);
    return status;
}

/* Help goes through stdio; and some file systems tell of a full disk only as a file is closed. */
static int close_output(const struct gw_cli *cli, int code) {
    bool failed = ferror(stdout) != 0;
    errno = 0;
    if (fclose(stdout) != 0) failed = true;
    if (!failed || cli->pipe_closed || code != GW_EXIT_OK) return code;
    if (errno != EPIPE)
        fprintf(stderr, "gwen-cpu: cannot write to standard output%s%s\n", errno != 0 ? ": " : "",
                errno != 0 ? strerror(errno) : "");
    return GW_EXIT_FAILED;
}

/* --- main ----------------------------------------------------------------------------------- */

static int run_command(struct gw_cli *cli, int argc, char **argv) {
    for (size_t i = 0; i < GW_ARRAY_LEN(COMMANDS); i++) {
        if (strcmp(argv[1], COMMANDS[i].name) != 0) continue;
        cli->command = COMMANDS[i].name;
        return COMMANDS[i].run(cli, argc - 1, argv + 1);
    }
    fprintf(stderr, "gwen-cpu: unknown command \"%s\"; see gwen-cpu -h\n", argv[1]);
    return GW_EXIT_USAGE;
}

static int run(struct gw_cli *cli, int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "gwen-cpu: expected a command; see gwen-cpu -h\n");
        return GW_EXIT_USAGE;
    }
    if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0 ||
        strcmp(argv[1], "help") == 0) {
        gw_help_program(COMMANDS, GW_ARRAY_LEN(COMMANDS));
        return GW_EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("gwen-cpu %s\n", gwen_version());
        return GW_EXIT_OK;
    }
    return run_command(cli, argc, argv);
}

/* A standard descriptor that is closed would be given to the next file opened, and data end up
 * there.  What takes its place cannot be used either: reading or writing it fails. */
static void occupy_standard_descriptors(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0) open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv) {
    occupy_standard_descriptors();
    struct gw_cli cli = {
        .log = {.fn = on_log, .user = &cli, .level = GWEN_LOG_INFO, .spelling = gw_cli_knob}};
    gw_interrupt_install();
    int code = close_output(&cli, run(&cli, argc, argv));
    while (cli.owned != NULL) {
        struct gw_owned *next = cli.owned->next;
        free(cli.owned);
        cli.owned = next;
    }
    return code;
}

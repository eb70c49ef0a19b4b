/* start_end.c - how the program starts, and the ways it ends. */
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void on_log(void *user, enum gwen_log_level level, const char *message) {
    struct gw_cli *cli = user;
    gw_cli_line(cli,
                level == GWEN_LOG_ERROR     ? "gwen-cpu: "
                : level == GWEN_LOG_WARNING ? "gwen-cpu: warning: "
                                            : "",
                message);
}

void gw_cli_init(struct gw_cli *cli, const struct gw_command *commands, size_t n_commands) {
    *cli = (struct gw_cli){
        .commands = commands,
        .n_commands = n_commands,
        .to_terminal = isatty(STDOUT_FILENO) != 0,
        .log = {.fn = on_log, .user = cli, .level = GWEN_LOG_INFO, .spelling = gw_cli_knob}};
}

int gw_cli_end(struct gw_cli *cli, enum gwen_status status, const struct gwen_err *err) {
    gw_bar_clear(&cli->bar);
    if (status == GWEN_OK) return GW_EXIT_OK;
    int number = gw_interrupt_signal();
    if (status == GWEN_ERR_CANCELLED && number != 0) return 128 + number; /* told as it came */
    if (!cli->pipe_closed) gw_cli_line(cli, "gwen-cpu: ", gw_cli_message(cli, err));
    return GW_EXIT_FAILED;
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

int gw_cli_close(struct gw_cli *cli, int code) {
    code = close_output(cli, code);
    gw_cli_free(cli);
    return code;
}

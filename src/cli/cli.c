/* cli.c - what all of the command line stands on: words about wrong usage, memory, output. */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- messages ------------------------------------------------------------------------------- */

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

void gw_cli_free(struct gw_cli *cli) {
    while (cli->owned != NULL) {
        struct gw_owned *next = cli->owned->next;
        free(cli->owned);
        cli->owned = next;
    }
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

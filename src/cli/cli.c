/* cli.c - what all of the command line stands on: words about wrong usage, memory, output. */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/shown.h"

/* --- messages ------------------------------------------------------------------------------- */

/* Without memory for better: what is not plain ASCII as a question mark. */
static void put_plain(const char *text) {
    for (; *text != '\0'; text++) fputc(*text >= 0x20 && *text < 0x7F ? *text : '?', stderr);
    fputc('\n', stderr);
}

void gw_cli_log_line(struct gw_cli *cli, const char *head, const char *text, size_t len) {
    if (cli->log_file == NULL) return;
    struct gw_str line = {0};
    char when[32] = "";
    struct tm tm;
    const time_t now = time(NULL);
    if (localtime_r(&now, &tm) != NULL) strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S%z", &tm);
    while (len > 0 && text[len - 1] == '\n') len--;
    gw_str_puts(&line, head);
    gw_str_put_shown(&line, text, len, GW_SHOWN_LINE);
    bool failed = line.failed || fprintf(cli->log_file, "%s %s\n", when, line.data) < 0;
    if (fflush(cli->log_file) != 0 || failed) {
        fclose(cli->log_file);
        cli->log_file = NULL; /* the message below is not for it */
        gw_cli_line(cli,
                    "gwen-cpu: warning: ", "--log-file cannot be written, and is left at that");
    }
    gw_str_free(&line);
}

void gw_cli_line(struct gw_cli *cli, const char *head, const char *text) {
    struct gw_str line = {0};
    gw_str_puts(&line, head);
    gw_str_put_shown(&line, text, strlen(text), GW_SHOWN_LINE);
    gw_bar_clear(&cli->bar);
    if (line.failed)
        put_plain(text);
    else
        fprintf(stderr, "%s\n", line.data);
    gw_str_free(&line);
    gw_cli_log_line(cli, head, text, strlen(text));
}

int gw_cli_usage(struct gw_cli *cli, const char *fmt, ...) {
    char message[1024], line[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    snprintf(line, sizeof line, "%s: %s; see gwen-cpu %s -h", cli->command, message, cli->command);
    gw_cli_line(cli, "gwen-cpu: ", line);
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
    if (cli->log_file != NULL) fclose(cli->log_file);
    cli->log_file = NULL;
    while (cli->owned != NULL) {
        struct gw_owned *next = cli->owned->next;
        free(cli->owned);
        cli->owned = next;
    }
}

/* --- output --------------------------------------------------------------------------------- */

/* Not through stdio: its write gives up, and loses track of what was written, when a signal
 * comes. */
enum gwen_status gw_cli_write_raw(struct gw_cli *cli, const void *bytes, size_t len,
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

enum gwen_status gw_cli_write(struct gw_cli *cli, const void *bytes, size_t len,
                              struct gwen_err *err) {
    if (!cli->to_terminal) return gw_cli_write_raw(cli, bytes, len, err);
    struct gw_str shown = {0};
    gw_str_put_shown(&shown, bytes, len, GW_SHOWN_LINES);
    enum gwen_status status = shown.failed ? gw_nomem(err, len, "output") : GWEN_OK;
    if (status == GWEN_OK) status = gw_cli_write_raw(cli, shown.data, shown.len, err);
    gw_str_free(&shown);
    return status;
}

enum gwen_status gw_cli_put(struct gw_cli *cli, struct gw_str *s, struct gwen_err *err) {
    if (s->failed) return gw_nomem(err, s->len, "output");
    enum gwen_status status = gw_cli_write(cli, s->data, s->len, err);
    gw_str_clear(s);
    return status;
}

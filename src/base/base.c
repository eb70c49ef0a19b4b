/* base.c - error values; see base.h. */
#include "base/base.h"

#include "base/knob.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Callers' errors are as large as they were before there were knobs in them. */
_Static_assert(sizeof(struct gwen_err) == sizeof(enum gwen_status) + 1024, "a caller's structure");

/* Writes text into the message from byte `at` on, as far as there is room. */
static void put_message(struct gwen_err *err, size_t at, const char *text) {
    const size_t room = sizeof err->message - 1, len = strlen(text);
    if (at > room) return;
    const size_t n = GW_MIN(len, room - at);
    memcpy(err->message + at, text, n);
    err->message[at + n] = '\0';
}

enum gwen_status gw_fail(struct gwen_err *err, enum gwen_status status, const char *fmt, ...) {
    if (err != NULL) {
        char line[sizeof err->message + 4 * GWEN_ERR_KNOBS]; /* marks are taken out again */
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(line, sizeof line, fmt, ap);
        va_end(ap);
        err->status = status;
        gw_knobs_take(line, err->knobs, GWEN_ERR_KNOBS);
        put_message(err, 0, line);
    }
    return status;
}

enum gwen_status gw_sys_fail(struct gwen_err *err, const char *what, const char *path, int number) {
    char text[128];
    return gw_fail(err, GWEN_ERR_IO, "cannot %s %s: %s", what, path,
                   strerror_r(number, text, sizeof text));
}

/* Appends those of `from`, whose text now stands `by` bytes further on, to err's knobs; what the
 * message no longer holds is left out. */
static void add_knobs(struct gwen_err *err, const struct gwen_err_knob *from, size_t by) {
    const size_t len = strlen(err->message);
    size_t n = 0;
    while (n < GWEN_ERR_KNOBS && err->knobs[n].knob != 0) n++;
    for (size_t i = 0; i < GWEN_ERR_KNOBS && from[i].knob != 0 && n < GWEN_ERR_KNOBS; i++)
        if (from[i].at + by < len)
            err->knobs[n++] = (struct gwen_err_knob){from[i].knob, (uint16_t)(from[i].at + by)};
}

enum gwen_status gw_err_prefix(struct gwen_err *err, enum gwen_status status, const char *fmt,
                               ...) {
    if (err == NULL || status == GWEN_OK) return status;
    const struct gwen_err old = *err;
    char line[sizeof err->message + 4 * GWEN_ERR_KNOBS];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    gw_knobs_take(line, err->knobs, GWEN_ERR_KNOBS);
    put_message(err, 0, line);
    put_message(err, strlen(line), ": ");
    put_message(err, strlen(line) + 2, old.message);
    add_knobs(err, old.knobs, strlen(line) + 2);
    err->status = status;
    return status;
}

enum gwen_status gw_err_copy(struct gwen_err *err, const struct gwen_err *from) {
    if (err != NULL) *err = *from;
    return from->status;
}

const char *gw_err_message(const struct gwen_err *err) { return err != NULL ? err->message : ""; }

enum gwen_status gw_err_as(struct gwen_err *err, enum gwen_status status) {
    if (err != NULL) err->status = status;
    return status;
}

enum gwen_status gw_nomem(struct gwen_err *err, size_t bytes, const char *what) {
    return gw_fail(err, GWEN_ERR_NOMEM, "out of memory: %zu bytes for %s", bytes, what);
}

size_t gw_largest(size_t least, size_t most, bool (*fits)(void *ctx, size_t n), void *ctx) {
    size_t fitting = least, above = most + 1;
    while (above > fitting + 1) {
        const size_t middle = fitting + (above - fitting) / 2;
        if (fits(ctx, middle))
            fitting = middle;
        else
            above = middle;
    }
    return fitting;
}

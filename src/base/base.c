/* base.c - error values; see base.h. */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum gwen_status gw_fail(struct gwen_err *err, enum gwen_status status, const char *fmt, ...) {
    if (err != NULL) {
        va_list ap;
        va_start(ap, fmt);
        err->status = status;
        vsnprintf(err->message, sizeof err->message, fmt, ap);
        va_end(ap);
    }
    return status;
}

enum gwen_status gw_err_prefix(struct gwen_err *err, const char *fmt, ...) {
    if (err == NULL) return GWEN_ERR_INTERNAL;
    char old[sizeof err->message];
    memcpy(old, err->message, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->message, sizeof err->message, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof err->message)
        snprintf(err->message + n, sizeof err->message - (size_t)n, ": %.*s", (int)(sizeof old - 3),
                 old);
    return err->status;
}

enum gwen_status gw_nomem(struct gwen_err *err, size_t bytes, const char *what) {
    return gw_fail(err, GWEN_ERR_NOMEM, "out of memory: %zu bytes for %s", bytes, what);
}

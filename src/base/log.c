/* log.c - see log.h. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

bool gw_log_on(const struct gw_log *log, enum gwen_log_level level) {
    return log != NULL && log->fn != NULL && (int)level <= log->level;
}

void gw_log(const struct gw_log *log, enum gwen_log_level level, const char *fmt, ...) {
    if (!gw_log_on(log, level)) return;
    char line[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    log->fn(log->user, level, line);
}

/* log.c - see log.h. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

bool gw_log_on(const struct gw_log *log, enum gwen_log_level level) {
    return log != NULL && log->fn != NULL && (int)level <= log->level;
}

void gw_log(const struct gw_log *log, enum gwen_log_level level, const char *fmt, ...) {
    if (!gw_log_on(log, level)) return;
    enum { KNOBS = 8 };
    char line[2048], spelled[2048];
    struct gwen_err_knob knobs[KNOBS];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    gw_knobs_take(line, knobs, KNOBS);
    if (log->spelling != NULL)
        gw_knobs_spell(line, knobs, KNOBS, log->spelling, log->user, spelled, sizeof spelled);
    log->fn(log->user, level, log->spelling != NULL ? spelled : line);
}

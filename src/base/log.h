/* log.h - messages on their way to whoever called the library.
 *
 * The library never prints.  A struct gw_log carries the caller's callback; a message above its
 * level is dropped before it is formatted. */
#ifndef GW_LOG_H
#define GW_LOG_H

#include "base/knob.h"

struct gw_log {
    gwen_log_fn fn;            /* NULL: silence */
    void *user;                /* handed to fn */
    int level;                 /* the most talkative enum gwen_log_level that is passed on */
    gw_knob_spelling spelling; /* of the knobs in a message, called with user; NULL: their names */
};

/* True when a message of `level` would reach the callback; log may be NULL. */
bool gw_log_on(const struct gw_log *log, enum gwen_log_level level);
/* Formats one line (no newline; cut at 2047 bytes) and hands it on; log may be NULL. */
void gw_log(const struct gw_log *log, enum gwen_log_level level, const char *fmt, ...)
    GW_PRINTF(3, 4);

#endif

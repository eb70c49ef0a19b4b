/* shown.h - text of others (models, data, files) made safe for a terminal. */
#ifndef GW_SHOWN_H
#define GW_SHOWN_H

#include "base/str.h"

/* What gw_str_put_shown lets through or shows besides; to be or-ed. */
enum gw_shown_how {
    GW_SHOWN_LINE = 0,     /* one line: line feeds become \n, tabs \t */
    GW_SHOWN_LINES = 1,    /* line feeds and tabs stay */
    GW_SHOWN_INVISIBLE = 2 /* what has no width (joiners, soft hyphens, tags) is shown too */
};

/* Appends s[0..len) with all that a terminal obeys instead of showing it by its number: C0 and C1
 * control characters and DEL, marks that turn the direction of text (U+061C, U+200E/F, U+202A-E,
 * U+2066-9) and the separators U+2028/9 as \u009b, bytes that are no UTF-8 as \x9b.  Nothing is
 * remembered from one call to the next: a sequence that comes in pieces is as harmless, and so is a
 * character cut in two, whose bytes are shown by their numbers. */
void gw_str_put_shown(struct gw_str *out, const char *s, size_t len, unsigned how);

#endif

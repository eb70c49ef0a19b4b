/* str.h - a growing byte string.  A failed allocation is remembered in `failed` and turns
 * every later append into a no-op, so that callers check once, at the end.  And UTF-8. */
#ifndef GW_STR_H
#define GW_STR_H

#include "base/base.h"

struct gw_str {
    char *data; /* NUL-terminated when not NULL; may hold NULs */
    size_t len, cap;
    bool failed;
};

void gw_str_free(struct gw_str *s);
void gw_str_clear(struct gw_str *s);
/* Makes room for `extra` more bytes; false (and s->failed) when there is no memory. */
bool gw_str_reserve(struct gw_str *s, size_t extra);
void gw_str_put(struct gw_str *s, const void *bytes, size_t len);
void gw_str_puts(struct gw_str *s, const char *text);
void gw_str_putc(struct gw_str *s, char c);
void gw_str_printf(struct gw_str *s, const char *fmt, ...) GW_PRINTF(2, 3);
/* Appends a code point as UTF-8 (surrogates and values above U+10FFFF become U+FFFD). */
void gw_str_put_utf8(struct gw_str *s, uint32_t code_point);
/* Appends `text` (UTF-8; ill-formed parts become U+FFFD) as a JSON string with quotes. */
void gw_str_put_json(struct gw_str *s, const char *text, size_t len);
/* Appends a float with 9 significant digits (survives the round trip); NaN and infinities,
 * which JSON has not, become null. */
void gw_str_put_float(struct gw_str *s, float v);
void gw_str_put_double(struct gw_str *s, double v);
/* The same with as few digits as survive it, at least 6. */
void gw_str_put_real(struct gw_str *s, double v);

/* Decodes one code point of s[0..len), len > 0.  Returns the number of bytes taken; an
 * ill-formed part (Unicode's "maximal subpart") gives *cp = 0xFFFD and its length, and
 * *valid = false. */
size_t gw_utf8_next(const char *s, size_t len, uint32_t *cp, bool *valid);
bool gw_utf8_is_valid(const char *s, size_t len);

/* The place of a name in a list, n if it is not there. */
size_t gw_name_index(const char *name, const char *const *names, size_t n);

/* s[0..len) in quotes with its control characters escaped, cut short: for messages. */
enum { GW_SHOWN = 256 };
const char *gw_shown(char buf[GW_SHOWN], const char *s, size_t len);

#endif

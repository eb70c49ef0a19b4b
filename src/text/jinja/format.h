/* format.h - how one value is laid out, by % or by format(). */
#ifndef GW_TEXT_JINJA_FORMAT_H
#define GW_TEXT_JINJA_FORMAT_H

#include "text/jinja/value.h"

struct gw_jbuf;

struct gw_jspec {
    struct gw_jv fill; /* one code point; MISSING: a space */
    char align;        /* < > ^ =, 0: that of the type */
    char sign;         /* + or space, 0: minus only */
    bool alt;          /* # */
    bool zero;         /* padded with zeros behind the sign */
    char group;        /* , or _, 0: none */
    char type;         /* 0: none was given */
    int64_t width;     /* 0: none */
    int64_t precision; /* -1: none */
};
/* Appends v laid out. */
bool gw_j_put_int(struct gw_jbuf *b, int64_t v, const struct gw_jspec *spec);
bool gw_j_put_float(struct gw_jbuf *b, double v, const struct gw_jspec *spec);
bool gw_j_put_text(struct gw_jbuf *b, struct gw_jv text, const struct gw_jspec *spec);
/* format(v, spec) with the specification as text. */
bool gw_j_put_format(struct gw_jbuf *b, struct gw_jv v, struct gw_jv spec);

#endif

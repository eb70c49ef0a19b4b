/* select.h - "attribute" arguments of filters: "a.b.0", and for sort "a,b.c". */
#ifndef GW_TEXT_JINJA_SELECT_H
#define GW_TEXT_JINJA_SELECT_H

#include "text/jinja/value.h"

/* Zero: the value itself. */
struct gw_jattr {
    const struct gw_jvec *paths; /* each a list of names and numbers */
    size_t n;                    /* 0: none was given */
    bool many;                   /* keys are lists, one element per path */
    struct gw_jv when_undefined; /* put for what is not there; MISSING: nothing is */
};
bool gw_j_attr_parse(struct gw_jrt *rt, struct gw_jv given, struct gw_jattr *out);
bool gw_j_attr_parse_many(struct gw_jrt *rt, struct gw_jv given, struct gw_jattr *out);
/* The attribute of v. */
bool gw_j_attr_get(struct gw_jrt *rt, const struct gw_jattr *attr, struct gw_jv v,
                   struct gw_jv *out);
/* What to sort or compare v by: its attribute, text in lower case unless case counts. */
bool gw_j_attr_key(struct gw_jrt *rt, const struct gw_jattr *attr, struct gw_jv v,
                   bool case_sensitive, struct gw_jv *out);

#endif

/* sort.h - stable sorting with an order that can fail. */
#ifndef GW_TEXT_JINJA_SORT_H
#define GW_TEXT_JINJA_SORT_H

#include "text/jinja/value.h"

struct gw_jsort {
    struct gw_jv key;
    size_t at; /* place in the input */
};
/* Orders item[0..n) by key as Python's sorted(), equal ones in their order. */
bool gw_j_sort(struct gw_jrt *rt, struct gw_jsort *item, size_t n, bool reverse);
/* The entries of a dict by key: d->n of them, in the arena. */
bool gw_j_sorted_entries(struct gw_jrt *rt, const struct gw_jdict *d, const struct gw_jentry **out);

#endif

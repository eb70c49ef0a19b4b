/* search.h - whether the body of a loop or macro speaks of `loop`, `caller`, `kwargs` or `varargs`,
 * which decides whether it has such a variable. */
#ifndef GW_TEXT_JINJA_SEARCH_H
#define GW_TEXT_JINJA_SEARCH_H

#include "text/jinja/ast.h"

struct gw_jsearch {
    const struct gw_jname *names[3]; /* looked for, until something assigns them; NULL: none */
    bool used[3];
};
/* Goes through statements n and those after it, in the order in which jinja2 does. */
void gw_j_search(struct gw_jsearch *s, const struct gw_jnode *n);

#endif

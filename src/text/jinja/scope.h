/* scope.h - where each name of a template lives. */
#ifndef GW_TEXT_JINJA_SCOPE_H
#define GW_TEXT_JINJA_SCOPE_H

#include "text/jinja/lexer.h"
#include "text/jinja/runtime.h"

/* Resolves every name below `body` to a slot; fills the frames of its statements, that of the
 * template itself and the number of slots it needs.  Refuses what jinja2's compiler refuses:
 * unknown filters and tests outside of an `if`, break and continue outside of a loop, assignments
 * to `loop`. */
bool gw_j_resolve(struct gw_jrt *rt, const struct gw_jnames *names, struct gw_jnode *body,
                  struct gw_jframe *frame, uint32_t *n_slots);

#endif

/* ordered.h - rows that are finished in any order, handed on in theirs.
 *
 * A row is kept until all before it have been handed on. */
#ifndef GW_SERVICE_ROLLOUT_ORDERED_H
#define GW_SERVICE_ROLLOUT_ORDERED_H

#include "base/base.h"

struct gw_ordered;

/* Takes row `index`, whose turn it is. */
typedef enum gwen_status gw_ordered_emit(void *ctx, const char *row, size_t len,
                                         struct gwen_err *err);

/* For rows 0 .. n-1. */
enum gwen_status gw_ordered_new(size_t n, gw_ordered_emit *emit, void *ctx, struct gw_ordered **out,
                                struct gwen_err *err);
/* Gives in row `index` (once), which is copied if its turn has not come. */
enum gwen_status gw_ordered_put(struct gw_ordered *o, size_t index, const char *row, size_t len,
                                struct gwen_err *err);
void gw_ordered_free(struct gw_ordered *o); /* NULL is fine */

#endif

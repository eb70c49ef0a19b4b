/* layout.c - see layout.h. */
#include "base/layout.h"

void gw_layout_align(struct gw_layout *l, size_t align) {
    l->used = l->used > SIZE_MAX - align ? SIZE_MAX : gw_round_up(l->used, align);
}

enum gwen_status gw_layout_map(struct gw_layout *l, size_t bytes, struct gw_mem *m,
                               struct gwen_err *err) {
    *l = (struct gw_layout){0};
    GW_TRY(gw_mem_map(m, bytes, err));
    *l = gw_layout_over(m->data, bytes);
    return GWEN_OK;
}

enum gwen_status gw_layout_end(const struct gw_layout *l, const char *what, struct gwen_err *err) {
    if (l->used == l->bytes) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_INTERNAL, "%s: %zu bytes planned, %zu laid out", what, l->bytes,
                   l->used);
}

/* layout.h - several arrays in one piece of memory.
 *
 * Who needs many arrays that live equally long writes one function that takes them in turn from a
 * struct gw_layout, and calls it twice: on a layout without a base, which only counts (the plan;
 * what it gives is NULL), and on one with a base, which hands the arrays out.  So what is planned
 * and what is taken cannot come apart:
 *
 *     static void lay_out(struct gw_layout *l, size_t rows, struct things *t) {
 *         t->a = gw_layout_take(l, rows, sizeof *t->a);
 *         t->b = gw_layout_take(l, 2 * rows, sizeof *t->b);
 *     }
 *
 *     size_t things_bytes(size_t rows) {
 *         struct gw_layout plan = {0};
 *         struct things unused;
 *         lay_out(&plan, rows, &unused);
 *         return plan.used;
 *     }
 *
 *     enum gwen_status create(struct things *t, size_t rows, struct gwen_err *err) {
 *         struct gw_layout l;
 *         GW_TRY(gw_layout_map(&l, things_bytes(rows), &t->memory, err));
 *         lay_out(&l, rows, t);
 *         return gw_layout_end(&l, "things", err);
 *     }
 *
 * The pieces, one after another, from the base on:
 *
 *     | a, 64-byte aligned | 0 to 63 bytes | b, 64-byte aligned | 0 to 63 bytes |
 *     0                                                                         used
 */
#ifndef GW_LAYOUT_H
#define GW_LAYOUT_H

#include "base/mem.h"

enum { GW_LAYOUT_ALIGN = GW_CACHE_LINE }; /* and the longest vector */

struct gw_layout {
    char *base;   /* NULL: bytes are only counted */
    size_t bytes; /* with a base: as many as there are */
    size_t used;  /* so far; SIZE_MAX, for good: more than a size can hold */
};

/* The next n elements of `size` bytes each, or NULL: the layout only counts, or has no room for
 * them (gw_layout_end reports it).  n == 0 takes nothing, and points where the next piece begins.
 */
static inline void *gw_layout_take(struct gw_layout *l, size_t n, size_t size) {
    const size_t begin = l->used;
    size_t bytes, end;
    if (!gw_mul_size(n, size, &bytes) || !gw_add_size(begin, bytes, &end) ||
        end > SIZE_MAX - GW_LAYOUT_ALIGN) {
        l->used = SIZE_MAX;
        return NULL;
    }
    l->used = gw_round_up(end, GW_LAYOUT_ALIGN);
    return l->base != NULL && l->used <= l->bytes ? l->base + begin : NULL;
}

/* Begins the next piece, and ends the last one, at a multiple of `align` bytes from the base, a
 * multiple of GW_LAYOUT_ALIGN itself: what one thread writes on pages of its own. */
void gw_layout_align(struct gw_layout *l, size_t align);

/* A layout of `bytes` bytes that are there already, base 64-byte aligned.  SIZE_MAX: at least those
 * that the same function counted, as in a thread's scratch, which is as large as its largest use.
 */
static inline struct gw_layout gw_layout_over(void *base, size_t bytes) {
    return (struct gw_layout){.base = base, .bytes = bytes};
}

/* A layout of *m, which is mapped here with the planned `bytes` and is the caller's to unmap. */
enum gwen_status gw_layout_map(struct gw_layout *l, size_t bytes, struct gw_mem *m,
                               struct gwen_err *err);

/* When all is handed out: GWEN_ERR_INTERNAL, naming `what` was laid out, unless exactly the planned
 * bytes were taken. */
enum gwen_status gw_layout_end(const struct gw_layout *l, const char *what, struct gwen_err *err);

#endif

/* tile.h - what the matrix products of all x86 levels share.
 *
 * A tile's sums are a flat array, sum v belonging to row v / nv and panel v % nv: one unrolled
 * loop over it becomes registers with gcc and clang alike. */
#ifndef GWEN_X86_TILE_H
#define GWEN_X86_TILE_H

#include "gwen_simd.h"
#include "inline.h"

enum { LINE = 64 };

/* Rows of activations are reached from every fourth one: base, base + stride, base + 2 stride and
 * base + 3 stride take 2 registers more for all of them, pointers of their own one for each. */
INLINE const void *x_at(const char *const quads[], size_t x_stride, size_t row) {
    return quads[row / 4] + row % 4 * x_stride;
}

/* Moves the `n` quads one step of `bytes` along K. */
INLINE void x_advance(const char *quads[], size_t n, size_t bytes) {
    UNROLL for (size_t i = 0; i < n; i++) quads[i] += bytes;
}

/* Three panels as a tile of two and a tile of one. */
static inline void split_panels(const struct gwen_tile *t, void (*run)(const struct gwen_tile *)) {
    struct gwen_tile part = *t;
    part.nv = 2;
    run(&part);
    part.nv = 1;
    part.w = (const char *)t->w + 2 * t->panel_stride;
    if (t->prefetch_lines > 0) part.prefetch = (const char *)t->prefetch + 2 * t->panel_stride;
    part.c = t->c + (size_t)2 * GWEN_PANEL;
    run(&part);
}

/* The prefetching of a tile: a line of each panel in every gap-th step, until `lines` are done.
 * Evenly, since a burst would stall what follows. */
struct ahead {
    const char *at;
    size_t lines, gap, wait; /* wait: steps until the next, this one included */
};

INLINE struct ahead ahead_of(const struct gwen_tile *t, size_t steps) {
    const size_t lines = t->prefetch_lines < steps ? t->prefetch_lines : steps;
    return (struct ahead){t->prefetch, lines, lines > 0 ? steps / lines : 0, lines > 0 ? 1 : 0};
}

INLINE void ahead_step(struct ahead *a, size_t nv, size_t panel_stride) {
    if (--a->wait != 0) return; /* where there is nothing to do it starts from 0 and wraps */
    UNROLL for (size_t p = 0; p < nv; p++) __builtin_prefetch(a->at + p * panel_stride, 0, 2);
    a->at += LINE;
    a->wait = --a->lines > 0 ? a->gap : 0;
}

#endif

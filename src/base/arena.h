/* arena.h - a bump allocator for everything that lives exactly as long as a step, a file's
 * parse or a session.
 *
 *     struct gw_arena
 *       first --> +--------+-----+-----+-------+-----+..........+
 *                 | header |  a  |  b  | (pad) |  c  |   free   |   chunk 1
 *                 +--------+-----+-----+-------+-----+..........+
 *                    | next                          ^ used     ^ size
 *                    v
 *       cur   --> +--------+-----------------+..................+
 *                 | header |        d        |       free       |   chunk 2
 *                 +--------+-----------------+..................+
 *                    | next
 *                    v  chunks kept by a reset, or NULL
 *
 * An allocation takes the next aligned bytes of the current chunk; one that does not fit moves
 * on to the next chunk, which is made as large as needed (chunks double up to 1 MiB).  Nothing is
 * freed singly: reset empties all chunks and keeps them, free gives them back.  Single-threaded.
 * Under AddressSanitizer what is not handed out is poisoned. */
#ifndef GW_ARENA_H
#define GW_ARENA_H

#include "base/base.h"

struct gw_arena_chunk;

struct gw_arena {
    struct gw_arena_chunk *first, *cur;
    size_t limit; /* most bytes of chunks, headers included; 0: no limit */
    size_t taken; /* bytes of all chunks, headers included */
    size_t used;  /* bytes handed out since the last reset, padding included */
};

/* An empty arena; takes nothing until the first allocation.  limit_bytes 0: no limit. */
void gw_arena_init(struct gw_arena *a, size_t limit_bytes);
/* `size` bytes aligned to `align` (a power of two, at most 4096), uninitialised.  NULL when the
 * system has no memory or the limit would be passed.  size 0 gives a valid unique pointer. */
void *gw_arena_alloc(struct gw_arena *a, size_t size, size_t align);
/* `n` zeroed elements of `size` bytes, aligned for any type; NULL also when n*size overflows. */
void *gw_arena_calloc(struct gw_arena *a, size_t n, size_t size);
/* A NUL-terminated copy of text[0..len), which may itself hold NULs. */
char *gw_arena_strndup(struct gw_arena *a, const char *text, size_t len);
/* Forgets every allocation; the chunks stay for the next ones. */
void gw_arena_reset(struct gw_arena *a);
/* Gives everything back; the arena is as after gw_arena_init with the same limit. */
void gw_arena_free(struct gw_arena *a);

#endif

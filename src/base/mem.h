/* mem.h - large zeroed memory straight from the kernel, on huge pages where they are to be had.
 * A page is touched (and so counted) only when it is first written. */
#ifndef GW_MEM_H
#define GW_MEM_H

#include "base/base.h"

struct gw_mem {
    void *data;   /* 2 MiB aligned when bytes >= 2 MiB, else page aligned */
    size_t bytes; /* as asked for */
    void *map;    /* what munmap wants back */
    size_t map_bytes;
    bool huge_advised; /* madvise(MADV_HUGEPAGE) was accepted */
};

/* bytes == 0 gives an empty, valid *m. */
enum gwen_status gw_mem_map(struct gw_mem *m, size_t bytes, struct gwen_err *err);
void gw_mem_unmap(struct gw_mem *m);
/* Cuts the next `bytes` off a mapping that is being divided into 64-byte aligned parts. */
static inline void *gw_mem_take(char **at, size_t bytes) {
    void *part = *at;
    *at += gw_round_up(bytes, 64);
    return part;
}
/* Has the kernel hand out all pages now: memory that has been touched cannot be lacking later. */
enum gwen_status gw_mem_touch(const struct gw_mem *m, struct gwen_err *err);

#endif

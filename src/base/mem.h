/* mem.h - large zeroed memory straight from the kernel, on huge pages where there are any.
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
/* Spreads pages that have not been touched over the NUMA nodes that the process may use: for what
 * all threads read alike.  `data` is at the start of a page.  Does nothing where there is one
 * node. */
void gw_mem_interleave(void *data, size_t bytes);
/* Has the kernel hand out the pages of [begin, end) now, huge ones whole: memory that has been
 * touched cannot be lacking later.  Pages that are there stay as they are. */
enum gwen_status gw_mem_touch(const struct gw_mem *m, size_t begin, size_t end,
                              struct gwen_err *err);
/* Gives the pages that lie wholly in [begin, end) back to the kernel, huge ones whole; what they
 * held is lost, and they count as never touched. */
void gw_mem_drop(const struct gw_mem *m, size_t begin, size_t end);
/* Bytes of the mapping that are there, and how many of them in transparent huge pages, as the
 * kernel tells (/proc/self/smaps; it may show neighbours of one kind as one mapping, and then
 * counts them all); false when it does not. */
bool gw_mem_residence(const struct gw_mem *m, size_t *resident, size_t *huge);
/* Tries whether memory that asks for huge pages gets them at present. */
bool gw_mem_huge_pages_work(void);

#endif

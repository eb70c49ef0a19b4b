/* mem.c - see mem.h. */
#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20, PAGE = 4096 };

enum gwen_status gw_mem_map(struct gw_mem *m, size_t bytes, struct gwen_err *err) {
    *m = (struct gw_mem){.bytes = bytes};
    if (bytes == 0) return GWEN_OK;
    size_t align = bytes >= HUGE_PAGE ? HUGE_PAGE : PAGE;
    if (!gw_add_size(bytes, align, &m->map_bytes)) return gw_nomem(err, bytes, "a mapping");
    m->map = mmap(NULL, m->map_bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m->map == MAP_FAILED) {
        *m = (struct gw_mem){0};
        return gw_fail(err, GWEN_ERR_NOMEM, "could not reserve %zu bytes: %s", bytes,
                       strerror(errno));
    }
    m->data = (void *)gw_round_up((size_t)m->map, align);
    if (align == HUGE_PAGE) m->huge_advised = madvise(m->data, bytes, MADV_HUGEPAGE) == 0;
    return GWEN_OK;
}

enum gwen_status gw_mem_touch(const struct gw_mem *m, struct gwen_err *err) {
    if (m->bytes == 0) return GWEN_OK;
#ifdef MADV_POPULATE_WRITE
    if (madvise(m->data, m->bytes, MADV_POPULATE_WRITE) == 0) return GWEN_OK;
    if (errno == ENOMEM)
        return gw_fail(err, GWEN_ERR_NOMEM, "could not get %zu bytes: %s", m->bytes,
                       strerror(errno));
#else
    (void)err;
#endif
    /* Kernels before 5.14. */
    volatile char *p = m->data;
    for (size_t i = 0; i < m->bytes; i += PAGE) p[i] = 0;
    return GWEN_OK;
}

void gw_mem_unmap(struct gw_mem *m) {
    if (m->map != NULL) munmap(m->map, m->map_bytes);
    *m = (struct gw_mem){0};
}

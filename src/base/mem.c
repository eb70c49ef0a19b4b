/* mem.c - see mem.h. */
#include "base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <numaif.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20, PAGE = 4096, MAX_NODES = 1024 };

enum gwen_status gw_mem_map(struct gw_mem *m, size_t bytes, struct gwen_err *err) {
    *m = (struct gw_mem){.bytes = bytes};
    if (bytes == 0) return GWEN_OK;
    size_t align = bytes >= HUGE_PAGE ? HUGE_PAGE : PAGE;
    if (!gw_add_size(bytes, align, &m->map_bytes)) return gw_nomem(err, bytes, "a mapping");
    m->map = mmap(NULL, m->map_bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m->map == MAP_FAILED) {
        char text[128];
        *m = (struct gw_mem){0};
        return gw_fail(err, GWEN_ERR_NOMEM, "could not reserve %zu bytes: %s", bytes,
                       strerror_r(errno, text, sizeof text));
    }
    m->data = (void *)gw_round_up((size_t)m->map, align);
    if (align == HUGE_PAGE) m->huge_advised = madvise(m->data, bytes, MADV_HUGEPAGE) == 0;
    return GWEN_OK;
}

void gw_mem_interleave(void *data, size_t bytes) {
    /* As libnuma does it, without its messages and exits. */
    unsigned long nodes[MAX_NODES / (8 * sizeof(unsigned long))] = {0};
    int n = 0;
    if (bytes == 0 || get_mempolicy(NULL, nodes, MAX_NODES, NULL, MPOL_F_MEMS_ALLOWED) != 0) return;
    for (size_t i = 0; i < GW_ARRAY_LEN(nodes); i++) n += __builtin_popcountl(nodes[i]);
    /* A refusal is no error: the pages then lie where they are touched. */
    if (n > 1) mbind(data, bytes, MPOL_INTERLEAVE, nodes, MAX_NODES, 0);
}

/* What comes and goes in one piece. */
static size_t piece(const struct gw_mem *m) { return m->huge_advised ? HUGE_PAGE : PAGE; }

enum gwen_status gw_mem_touch(const struct gw_mem *m, size_t begin, size_t end,
                              struct gwen_err *err) {
    if (begin >= end) return GWEN_OK;
    begin -= begin % piece(m);
    end = GW_MIN(gw_round_up(end, piece(m)), gw_round_up(m->bytes, PAGE));
    volatile char *p = m->data;
#ifdef MADV_POPULATE_WRITE
    if (madvise((char *)m->data + begin, end - begin, MADV_POPULATE_WRITE) == 0) return GWEN_OK;
    if (errno == ENOMEM) {
        char text[128];
        return gw_fail(err, GWEN_ERR_NOMEM, "could not get %zu bytes: %s", end - begin,
                       strerror_r(errno, text, sizeof text));
    }
#else
    (void)err;
#endif
    /* Kernels before 5.14.  What is there must keep its value. */
    for (size_t i = begin; i < end; i += PAGE) p[i] = p[i];
    return GWEN_OK;
}

void gw_mem_drop(const struct gw_mem *m, size_t begin, size_t end) {
    begin = gw_round_up(begin, piece(m));
    end -= end % piece(m);
    if (begin < end) madvise((char *)m->data + begin, end - begin, MADV_DONTNEED);
}

bool gw_mem_residence(const struct gw_mem *m, size_t *resident, size_t *huge) {
    FILE *f = fopen("/proc/self/smaps", "re");
    uintptr_t begin = (uintptr_t)m->data, end = begin + m->bytes, from, to;
    bool inside = false, found = false;
    char line[512];
    size_t kib;
    *resident = *huge = 0;
    if (f == NULL) return false;
    /* A line "from-to ..." for each mapping, then its numbers, "Name: kB". */
    while (fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
            inside = from < end && to > begin;
        else if (inside && sscanf(line, "Rss: %zu", &kib) == 1)
            *resident += kib << 10, found = true;
        else if (inside && sscanf(line, "AnonHugePages: %zu", &kib) == 1)
            *huge += kib << 10;
    }
    fclose(f);
    return found;
}

bool gw_mem_huge_pages_work(void) {
    struct gw_mem m;
    size_t resident, before, after;
    if (gw_mem_map(&m, HUGE_PAGE, NULL) != GWEN_OK) return false;
    /* The kernel may show it as one with a neighbour. */
    bool work = gw_mem_residence(&m, &resident, &before) &&
                gw_mem_touch(&m, 0, m.bytes, NULL) == GWEN_OK &&
                gw_mem_residence(&m, &resident, &after) && after >= before + HUGE_PAGE;
    gw_mem_unmap(&m);
    return work;
}

void gw_mem_unmap(struct gw_mem *m) {
    if (m->map != NULL) munmap(m->map, m->map_bytes);
    *m = (struct gw_mem){0};
}

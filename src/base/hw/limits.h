/* limits.h - what hw.c reads from /proc and /sys/fs/cgroup; private to this folder. */
#ifndef GW_HW_LIMITS_H
#define GW_HW_LIMITS_H

#include "base/hw/hw.h"
#include "base/str.h"

/* Reads root/path (at most 8 MiB of it) into *out, replacing what is there; false when it cannot
 * be read.  out->data is NUL-terminated on success. */
bool gw_hw_slurp(const char *root, const char *path, struct gw_str *out);

/* Limits of the process's control group and its ancestors. */
struct gw_cgroup {
    double cpu_quota;   /* CPUs; 0: none */
    uint64_t mem_limit; /* bytes, or GW_UNLIMITED */
    uint64_t mem_left;  /* smallest limit - non-reclaimable use, or GW_UNLIMITED */
    uint64_t mem_hits;  /* how often a limit was met; only rises */
    struct gw_stall stall;
    bool has_stall; /* the group has figures of its own */
};
void gw_cgroup_read(const char *root, struct gw_cgroup *out);

/* Takes the "some" line of a PSI file's text; false when there is none. */
bool gw_parse_stall(const char *text, struct gw_stall *out);

#endif

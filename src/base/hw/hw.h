/* hw.h - the machine as this process may use it: cores, caches, NUMA nodes, memory, quotas.
 *
 * hwloc knows the topology and the processor mask; it knows nothing of CPU quotas and memory
 * limits, which are read from the control-group files (versions 1 and 2, every ancestor up to
 * the mount's root counts) and from /proc.  All files are read below a root folder, so that
 * tests can show a made-up machine. */
#ifndef GW_HW_H
#define GW_HW_H

#include "base/base.h"

#define GW_UNLIMITED UINT64_MAX

/* State of transparent huge pages. */
enum gw_thp { GW_THP_NONE, GW_THP_NEVER, GW_THP_MADVISE, GW_THP_ALWAYS };

struct gw_hw_opts {
    const char *root; /* put before /proc and /sys; NULL or "": the real ones */
    /* Instead of this machine's topology (or NULL): hwloc's synthetic description, or its XML. */
    const char *topology;
};

/* One processing unit (hardware thread) in the process's mask. */
struct gw_hw_pu {
    unsigned os_index; /* as sched_setaffinity counts */
    int core;          /* 0..n_cores-1: physical core, in topology order */
    int node;          /* 0..n_nodes-1: index into gw_hw.nodes */
};

struct gw_hw_node {
    unsigned os_index; /* as mbind counts */
    int n_cores;       /* physical cores of the mask that are local to it */
    uint64_t bytes;    /* its local memory */
};

/* Time that some task spent waiting for memory (PSI). */
struct gw_stall {
    double percent; /* of the last 10 seconds */
    uint64_t us;    /* in all; only rises */
};

struct gw_hw_memory {
    uint64_t total;        /* MemTotal */
    uint64_t available;    /* MemAvailable, or GW_UNLIMITED when it is not known */
    uint64_t cgroup_limit; /* smallest limit among the group and its ancestors, or GW_UNLIMITED */
    uint64_t cgroup_left;  /* smallest limit - non-reclaimable use, or GW_UNLIMITED */
    uint64_t rlimit_left;  /* what RLIMIT_AS and RLIMIT_DATA leave, or GW_UNLIMITED */
    uint64_t margin;       /* kept free: a sixteenth, at least 64 MiB and at most 1 GiB */
    uint64_t budget;       /* min(available, cgroup_left, rlimit_left) - margin; may be 0 */
    uint64_t cgroup_hits;  /* how often the group met a limit of its own or an ancestor's */
    struct gw_stall stall; /* of the group, else of the machine; zero when not known */
};

struct gw_hw {
    bool this_machine;   /* not one made up for hwloc (synthetic or from XML) */
    char cpu_model[128]; /* "unknown" when it is not known */
    int n_packages;
    int n_cores;      /* physical cores in the mask */
    int n_fast_cores; /* of them, those of the fastest kind; all where hwloc knows of one kind */
    int n_pus;
    int n_nodes;                            /* at least 1 */
    struct gw_hw_pu *pus;                   /* [n_pus], in topology order */
    struct gw_hw_node *nodes;               /* [n_nodes] */
    uint64_t l1d_bytes, l2_bytes, l3_bytes; /* of one cache; 0: none or not known */
    int l2_cores, l3_cores;                 /* cores of the mask that share one of them */
    double cpu_quota;                       /* in CPUs, smallest over the ancestors; 0: none */
    int default_threads;                    /* min(n_cores, floor(cpu_quota)), at least 1 */
    enum gw_thp thp;
    uint64_t huge_page_bytes; /* of a transparent huge page; 0: none */
    struct gw_hw_memory memory;
};

/* Fills *hw (gw_hw_free it); opts may be NULL.  A file that is missing or makes no sense counts
 * as "no limit": only a failing hwloc or allocation is an error. */
enum gwen_status gw_hw_query(const struct gw_hw_opts *opts, struct gw_hw *hw, struct gwen_err *err);
void gw_hw_free(struct gw_hw *hw);
/* The memory part alone, read anew (cheap: a few small files). */
void gw_hw_read_memory(const struct gw_hw_opts *opts, struct gw_hw_memory *m);
/* Memory that this process holds now, the pages of programs and files it uses among it, and the
 * most it ever held, in bytes; 0 when not known. */
void gw_hw_read_process(uint64_t *now, uint64_t *most);

#endif

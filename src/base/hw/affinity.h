/* affinity.h - which processors a thread may run on, and where threads of a pool are put.
 *
 * A binding that cannot be had (a seccomp filter, more processors than a mask has bits) is done
 * without: it is a matter of speed. */
#ifndef GW_AFFINITY_H
#define GW_AFFINITY_H

#include "base/hw/hw.h"

#include <sched.h>

/* What each thread of a pool is bound to. */
enum gw_bind {
    GW_BIND_NODE, /* the processors of a NUMA node: the kernel may move it within */
    GW_BIND_CORE, /* one physical core: for machines of one's own */
    GW_BIND_NONE  /* the threads are left as they are */
};

const char *gw_bind_name(enum gw_bind bind);

/* The core of thread `thread` of n_threads, of hw->n_cores in topology order: spread evenly, so
 * that each node gets threads by its cores and neighbouring threads share a node. */
int gw_bind_core_of(const struct gw_hw *hw, int thread, int n_threads);
/* The NUMA node (index into hw->nodes) of a core. */
int gw_bind_node_of_core(const struct gw_hw *hw, int core);

/* Fills *mask with the processors that the thread is to be bound to; false when there is nothing
 * to bind to: GW_BIND_NONE, another machine's topology, a processor beyond the mask. */
bool gw_bind_mask(const struct gw_hw *hw, enum gw_bind bind, int thread, int n_threads,
                  cpu_set_t *mask);

#endif

/* affinity.c - see affinity.h. */
#include "base/hw/affinity.h"

const char *gw_bind_name(enum gw_bind bind) {
    static const char *const names[] = {"node", "core", "none"};
    return names[bind];
}

int gw_bind_core_of(const struct gw_hw *hw, int thread, int n_threads) {
    return (int)((int64_t)hw->n_cores * thread / n_threads);
}

int gw_bind_node_of_core(const struct gw_hw *hw, int core) {
    for (int i = 0; i < hw->n_pus; i++)
        if (hw->pus[i].core == core) return hw->pus[i].node;
    return 0;
}

bool gw_bind_mask(const struct gw_hw *hw, enum gw_bind bind, int thread, int n_threads,
                  cpu_set_t *mask) {
    if (bind == GW_BIND_NONE || !hw->this_machine) return false;
    const int core = gw_bind_core_of(hw, thread, n_threads);
    const int node = gw_bind_node_of_core(hw, core);
    CPU_ZERO(mask);
    for (int i = 0; i < hw->n_pus; i++) {
        const struct gw_hw_pu *pu = &hw->pus[i];
        if (bind == GW_BIND_CORE ? pu->core != core : pu->node != node) continue;
        if (pu->os_index >= CPU_SETSIZE) return false;
        CPU_SET(pu->os_index, mask);
    }
    return true;
}

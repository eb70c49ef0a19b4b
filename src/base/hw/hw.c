/* hw.c - topology through hwloc, memory and huge pages from /proc and /sys; the limits of control
 * groups are in cgroup.c. */
#include "base/hw/hw.h"

#include <hwloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hw/limits.h"

/* The number after "key" at the start of a line of text, times `unit`; GW_UNLIMITED when there
 * is no such line or no number ("unlimited"). */
static uint64_t line_value(const char *text, const char *key, uint64_t unit) {
    size_t n = strlen(key);
    for (const char *line = text; *line != '\0';) {
        if (strncmp(line, key, n) == 0) {
            const char *p = line + n + strspn(line + n, " \t");
            if (*p < '0' || *p > '9') return GW_UNLIMITED;
            uint64_t v = strtoull(p, NULL, 10);
            return v <= UINT64_MAX / unit ? v * unit : GW_UNLIMITED;
        }
        const char *end = strchrnul(line, '\n');
        line = *end == '\0' ? end : end + 1;
    }
    return GW_UNLIMITED;
}

static uint64_t left_of(uint64_t limit, uint64_t used) {
    if (limit == GW_UNLIMITED) return GW_UNLIMITED;
    if (used == GW_UNLIMITED) used = 0;
    return limit > used ? limit - used : 0;
}

/* What RLIMIT_AS and RLIMIT_DATA leave.  Read from /proc rather than getrlimit, as the use has to
 * be read there anyway. */
static uint64_t rlimit_left(const char *root) {
    struct gw_str limits = {0}, status = {0};
    uint64_t left = GW_UNLIMITED;
    if (gw_hw_slurp(root, "/proc/self/limits", &limits) &&
        gw_hw_slurp(root, "/proc/self/status", &status)) {
        uint64_t space = left_of(line_value(limits.data, "Max address space", 1),
                                 line_value(status.data, "VmSize:", 1024));
        uint64_t data = left_of(line_value(limits.data, "Max data size", 1),
                                line_value(status.data, "VmData:", 1024));
        left = GW_MIN(space, data);
    }
    gw_str_free(&limits);
    gw_str_free(&status);
    return left;
}

static const char *root_of(const struct gw_hw_opts *opts) {
    return opts != NULL && opts->root != NULL ? opts->root : "";
}

void gw_hw_read_memory(const struct gw_hw_opts *opts, struct gw_hw_memory *m) {
    const uint64_t least_margin = (uint64_t)64 << 20, most_margin = (uint64_t)1 << 30;
    const char *root = root_of(opts);
    *m = (struct gw_hw_memory){.total = 0, .available = GW_UNLIMITED};
    struct gw_str text = {0};
    if (gw_hw_slurp(root, "/proc/meminfo", &text)) {
        m->total = line_value(text.data, "MemTotal:", 1024);
        if (m->total == GW_UNLIMITED) m->total = 0;
        m->available = line_value(text.data, "MemAvailable:", 1024);
        if (m->available == GW_UNLIMITED) /* kernels before 3.14 */
            m->available = line_value(text.data, "MemFree:", 1024);
    }
    struct gw_cgroup group;
    gw_cgroup_read(root, &group);
    m->cgroup_limit = group.mem_limit;
    m->cgroup_left = group.mem_left;
    m->cgroup_hits = group.mem_hits;
    m->stall = group.stall;
    if (!group.has_stall && gw_hw_slurp(root, "/proc/pressure/memory", &text))
        gw_parse_stall(text.data, &m->stall);
    gw_str_free(&text);
    m->rlimit_left = rlimit_left(root);
    uint64_t left = GW_MIN(m->available, GW_MIN(m->cgroup_left, m->rlimit_left));
    m->margin = GW_MAX(least_margin, GW_MIN(most_margin, left / 16));
    m->budget = left > m->margin ? left - m->margin : 0;
}

void gw_hw_read_process(uint64_t *now, uint64_t *most) {
    struct gw_str text = {0};
    *now = *most = 0;
    if (gw_hw_slurp("", "/proc/self/status", &text)) {
        *now = line_value(text.data, "VmRSS:", 1024);
        *most = line_value(text.data, "VmHWM:", 1024);
    }
    if (*now == GW_UNLIMITED) *now = 0;
    if (*most == GW_UNLIMITED) *most = 0;
    gw_str_free(&text);
}

static void read_huge_pages(const char *root, struct gw_hw *hw) {
    static const struct {
        const char *word;
        enum gw_thp thp;
    } states[] = {
        {"[never]", GW_THP_NEVER}, {"[madvise]", GW_THP_MADVISE}, {"[always]", GW_THP_ALWAYS}};
    struct gw_str text = {0};
    hw->thp = GW_THP_NONE;
    if (gw_hw_slurp(root, "/sys/kernel/mm/transparent_hugepage/enabled", &text))
        for (size_t i = 0; i < GW_ARRAY_LEN(states); i++)
            if (strstr(text.data, states[i].word) != NULL) hw->thp = states[i].thp;
    if (hw->thp != GW_THP_NONE) {
        hw->huge_page_bytes = (uint64_t)2 << 20; /* where the kernel is too old to tell */
        if (gw_hw_slurp(root, "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", &text)) {
            uint64_t v = line_value(text.data, "", 1);
            if (v != GW_UNLIMITED && v != 0) hw->huge_page_bytes = v;
        }
    }
    gw_str_free(&text);
}

/* hwloc's name of the processor, else that of /proc/cpuinfo, with runs of blanks made one. */
static void read_cpu_model(const char *root, hwloc_topology_t topo, struct gw_hw *hw) {
    struct gw_str text = {0};
    hwloc_obj_t package = hwloc_get_obj_by_type(topo, HWLOC_OBJ_PACKAGE, 0);
    if (package == NULL) package = hwloc_get_root_obj(topo);
    const char *name = hwloc_obj_get_info_by_name(package, "CPUModel");
    if (name == NULL && gw_hw_slurp(root, "/proc/cpuinfo", &text)) {
        const char *p = strstr(text.data, "model name");
        p = p != NULL ? strchr(p, ':') : NULL;
        if (p != NULL) name = p + 1;
    }
    size_t n = 0;
    for (; name != NULL && *name != '\0' && *name != '\n' && n + 1 < sizeof hw->cpu_model; name++)
        if (*name != ' ' || (n > 0 && hw->cpu_model[n - 1] != ' ')) hw->cpu_model[n++] = *name;
    while (n > 0 && hw->cpu_model[n - 1] == ' ') n--;
    hw->cpu_model[n] = '\0';
    if (n == 0) snprintf(hw->cpu_model, sizeof hw->cpu_model, "unknown");
    gw_str_free(&text);
}

static int cores_of(hwloc_topology_t topo, hwloc_const_cpuset_t set) {
    int n = hwloc_get_nbobjs_inside_cpuset_by_type(topo, set, HWLOC_OBJ_CORE);
    return n > 0 ? n : hwloc_get_nbobjs_inside_cpuset_by_type(topo, set, HWLOC_OBJ_PU);
}

static void read_cache(hwloc_topology_t topo, hwloc_obj_type_t type, uint64_t *bytes, int *cores) {
    hwloc_obj_t cache = hwloc_get_obj_by_type(topo, type, 0);
    if (cache == NULL) return;
    *bytes = cache->attr->cache.size;
    *cores = cores_of(topo, cache->cpuset);
}

/* The index in hw->nodes of the first NUMA node that has PU `os_index`; nodes enter the list in
 * the order in which processing units meet them, so that it holds no node without any. */
static int node_of(hwloc_topology_t topo, unsigned os_index, struct gw_hw *hw) {
    hwloc_obj_t node = NULL;
    while ((node = hwloc_get_next_obj_by_type(topo, HWLOC_OBJ_NUMANODE, node)) != NULL)
        if (node->cpuset != NULL && hwloc_bitmap_isset(node->cpuset, os_index)) break;
    unsigned index = node != NULL ? node->os_index : 0;
    for (int i = 0; i < hw->n_nodes; i++)
        if (hw->nodes[i].os_index == index) return i;
    hw->nodes[hw->n_nodes] = (struct gw_hw_node){
        .os_index = index, .bytes = node != NULL ? node->attr->numanode.local_memory : 0};
    return hw->n_nodes++;
}

/* Lists processing units with their cores and nodes. */
static enum gwen_status read_pus(hwloc_topology_t topo, struct gw_hw *hw, struct gwen_err *err) {
    int n = hwloc_get_nbobjs_by_type(topo, HWLOC_OBJ_PU);
    int nodes = GW_MAX(hwloc_get_nbobjs_by_type(topo, HWLOC_OBJ_NUMANODE), 1);
    if (n <= 0) return gw_fail(err, GWEN_ERR_INTERNAL, "hwloc: no processing unit in the mask");
    hw->pus = calloc((size_t)n, sizeof *hw->pus);
    hw->nodes = calloc((size_t)nodes + 1, sizeof *hw->nodes);
    if (hw->pus == NULL || hw->nodes == NULL)
        return gw_nomem(err, (size_t)n * sizeof *hw->pus, "the list of processors");
    hwloc_obj_t pu = NULL, last = NULL;
    while ((pu = hwloc_get_next_obj_by_type(topo, HWLOC_OBJ_PU, pu)) != NULL) {
        hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(topo, HWLOC_OBJ_CORE, pu);
        int node = node_of(topo, pu->os_index, hw);
        if (core == NULL || core != last) { /* units of one core follow each other */
            hw->n_cores++;
            hw->nodes[node].n_cores++;
        }
        last = core;
        hw->pus[hw->n_pus++] =
            (struct gw_hw_pu){.os_index = pu->os_index, .core = hw->n_cores - 1, .node = node};
    }
    return GWEN_OK;
}

/* Loads the topology and cuts it down to the thread's mask. */
static enum gwen_status load(const struct gw_hw_opts *opts, hwloc_topology_t topo,
                             struct gwen_err *err) {
    const char *given = opts != NULL ? opts->topology : NULL;
    if (given != NULL &&
        (given[0] == '<' ? hwloc_topology_set_xmlbuffer(topo, given, (int)strlen(given) + 1)
                         : hwloc_topology_set_synthetic(topo, given)) != 0)
        return gw_fail(err, GWEN_ERR_ARGUMENT, "hwloc: bad topology \"%s\"", given);
    if (hwloc_topology_load(topo) != 0)
        return gw_fail(err, GWEN_ERR_INTERNAL, "hwloc: cannot read the machine's topology");
    hwloc_bitmap_t mask = hwloc_bitmap_alloc();
    if (mask == NULL) return gw_nomem(err, sizeof(unsigned long), "a processor mask");
    if (hwloc_topology_is_thissystem(topo) &&
        hwloc_get_cpubind(topo, mask, HWLOC_CPUBIND_THREAD) == 0 &&
        hwloc_bitmap_intersects(mask, hwloc_topology_get_topology_cpuset(topo)))
        hwloc_topology_restrict(topo, mask, HWLOC_RESTRICT_FLAG_REMOVE_CPULESS);
    hwloc_bitmap_free(mask);
    return GWEN_OK;
}

/* Cores of the fastest kind, where the machine has several. */
static int fast_cores(hwloc_topology_t topo, int n_cores) {
    int n = n_cores;
#if HWLOC_API_VERSION >= 0x00020400
    int n_kinds = hwloc_cpukinds_get_nr(topo, 0), efficiency = -1;
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    if (set != NULL && n_kinds > 1 &&
        hwloc_cpukinds_get_info(topo, (unsigned)n_kinds - 1, set, &efficiency, NULL, NULL, 0) ==
            0 &&
        efficiency >= 0) /* the kinds are in order: the last one is the fastest */
        n = cores_of(topo, set);
    hwloc_bitmap_free(set);
#else
    (void)topo;
#endif
    return n;
}

static enum gwen_status query(const struct gw_hw_opts *opts, hwloc_topology_t topo,
                              struct gw_hw *hw, struct gwen_err *err) {
    GW_TRY(load(opts, topo, err));
    GW_TRY(read_pus(topo, hw, err));
    hw->n_fast_cores = fast_cores(topo, hw->n_cores);
    hw->this_machine = hwloc_topology_is_thissystem(topo) != 0;
    hw->n_packages = GW_MAX(hwloc_get_nbobjs_by_type(topo, HWLOC_OBJ_PACKAGE), 1);
    int l1_cores;
    read_cache(topo, HWLOC_OBJ_L1CACHE, &hw->l1d_bytes, &l1_cores);
    read_cache(topo, HWLOC_OBJ_L2CACHE, &hw->l2_bytes, &hw->l2_cores);
    read_cache(topo, HWLOC_OBJ_L3CACHE, &hw->l3_bytes, &hw->l3_cores);
    const char *root = root_of(opts);
    read_cpu_model(root, topo, hw);
    read_huge_pages(root, hw);
    struct gw_cgroup group;
    gw_cgroup_read(root, &group);
    hw->cpu_quota = group.cpu_quota;
    hw->default_threads = hw->n_cores;
    if (hw->cpu_quota > 0 && hw->cpu_quota < hw->n_cores)
        hw->default_threads = GW_MAX((int)hw->cpu_quota, 1);
    gw_hw_read_memory(opts, &hw->memory);
    return GWEN_OK;
}

enum gwen_status gw_hw_query(const struct gw_hw_opts *opts, struct gw_hw *hw,
                             struct gwen_err *err) {
    *hw = (struct gw_hw){0};
    hwloc_topology_t topo;
    if (hwloc_topology_init(&topo) != 0)
        return gw_fail(err, GWEN_ERR_INTERNAL, "hwloc: cannot initialise");
    enum gwen_status status = query(opts, topo, hw, err);
    hwloc_topology_destroy(topo);
    if (status != GWEN_OK) gw_hw_free(hw);
    return status;
}

void gw_hw_free(struct gw_hw *hw) {
    free(hw->pus);
    free(hw->nodes);
    *hw = (struct gw_hw){0};
}

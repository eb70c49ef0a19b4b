/* test_hw.c - topology on synthetic machines, limits on made-up /proc and /sys trees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hw/affinity.h"
#include "base/hw/limits.h"
#include "unit/scratch.h"

static const uint64_t mib = (uint64_t)1 << 20, gib = (uint64_t)1 << 30;

/* --- a made-up file tree -------------------------------------------------------------------- */

/* The folder of the running test, which stands for the machine's root. */
static char root[1024];

static int make_root(void **state) {
    if (scratch_setup(state) != 0) return -1;
    snprintf(root, sizeof root, "%s", scratch_path(""));
    return 0;
}

/* Writes root/path (path begins with a slash), making its folders. */
static void put(const char *path, const char *text) { scratch_puts(path + 1, text); }

static struct gw_cgroup cgroup(void) {
    struct gw_cgroup g;
    gw_cgroup_read(root, &g);
    return g;
}

static void assert_close(double a, double b) { assert_true(fabs(a - b) < 1e-9); }

/* --- control groups ------------------------------------------------------------------------- */

static void no_files(void **state) {
    (void)state;
    struct gw_cgroup g = cgroup();
    assert_true(g.cpu_quota == 0 && g.mem_limit == GW_UNLIMITED && g.mem_left == GW_UNLIMITED);
    struct gw_hw_memory m;
    gw_hw_read_memory(&(struct gw_hw_opts){.root = root}, &m);
    assert_true(m.available == GW_UNLIMITED && m.rlimit_left == GW_UNLIMITED);
}

static const char v2_mount[] =
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
    "30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

/* Version 2: the tightest of group and ancestors, for each limit on its own. */
static void version2(void **state) {
    (void)state;
    put("/proc/self/mountinfo", v2_mount);
    put("/proc/self/cgroup", "0::/a.slice/b.scope\n");
    put("/sys/fs/cgroup/a.slice/b.scope/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/a.slice/cpu.max", "250000 100000\n");
    put("/sys/fs/cgroup/a.slice/b.scope/memory.max", "8589934592\n");     /* 8 G */
    put("/sys/fs/cgroup/a.slice/b.scope/memory.current", "2147483648\n"); /* 2 G */
    put("/sys/fs/cgroup/a.slice/b.scope/memory.stat",
        "anon 5\ninactive_file 1073741824\nactive_file 77\n"); /* 1 G of it */
    put("/sys/fs/cgroup/a.slice/memory.max", "max\n");
    put("/sys/fs/cgroup/a.slice/memory.high", "9663676416\n");    /* 9 G */
    put("/sys/fs/cgroup/a.slice/memory.current", "7516192768\n"); /* 7 G, all held */
    struct gw_cgroup g = cgroup();
    assert_close(g.cpu_quota, 2.5);
    assert_int_equal(g.mem_limit, 8 * gib);
    assert_int_equal(g.mem_left, 2 * gib); /* the ancestor leaves less: 9 - 7 */
}

/* A container: the mount's root is its own group, whose host name /proc/self/cgroup may show. */
static void version2_container(void **state) {
    (void)state;
    static const char *const groups[] = {"0::/\n", "0::/docker/0abc\n", "0::/../../x\n",
                                         "0::/elsewhere\n"};
    put("/proc/self/mountinfo",
        "30 22 0:26 /docker/0abc /sys/fs/cg\\040roup rw - cgroup2 cgroup rw\n");
    put("/sys/fs/cg roup/cpu.max", "150000 50000\n");
    put("/sys/fs/cg roup/memory.max", "1073741824\n");
    for (size_t i = 0; i < GW_ARRAY_LEN(groups); i++) {
        put("/proc/self/cgroup", groups[i]);
        struct gw_cgroup g = cgroup();
        assert_close(g.cpu_quota, 3);
        assert_int_equal(g.mem_left, gib); /* no memory.current: nothing held */
    }
}

static const char v1_mounts[] =
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpuacct,cpu\n"
    "33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
    "34 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

/* Version 1 beside a version 2 mount without these controllers. */
static void version1(void **state) {
    (void)state;
    put("/proc/self/mountinfo", v1_mounts);
    put("/proc/self/cgroup",
        "9:name=systemd:/\n4:memory:/job/7\n2:cpuacct,cpu:/q\n1:cpuset:/wrong\n0::/\n");
    put("/sys/fs/cgroup/cpu,cpuacct/q/cpu.cfs_quota_us", "350000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/q/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/memory/job/7/memory.limit_in_bytes", "4294967296\n");
    put("/sys/fs/cgroup/memory/job/7/memory.usage_in_bytes", "3221225472\n");
    put("/sys/fs/cgroup/memory/job/7/memory.stat",
        "inactive_file 1\ntotal_inactive_file 2147483648\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/unified/memory.max", "1000\n"); /* not where this controller lives */
    put("/sys/fs/cgroup/unified/cpu.max", "1000 100000\n");
    struct gw_cgroup g = cgroup();
    assert_close(g.cpu_quota, 3.5);
    assert_int_equal(g.mem_limit, 4 * gib);
    assert_int_equal(g.mem_left, 3 * gib);
}

static void nonsense(void **state) {
    (void)state;
    static const char *const lines[] = {"",
                                        "\n",
                                        " - ",
                                        "1 2 3",
                                        "  -  cgroup2  ",
                                        "1 2 3 4 5 6 - cgroup2 a",
                                        "a b c  / rw - cgroup2 x y\n",
                                        "\\\\ \\777 - - -"};
    for (size_t i = 0; i < GW_ARRAY_LEN(lines); i++) {
        put("/proc/self/mountinfo", lines[i]);
        put("/proc/self/cgroup", "0\n::\n:\n0:\n0::nothing");
        struct gw_cgroup g = cgroup();
        assert_true(g.mem_limit == GW_UNLIMITED);
    }
    put("/proc/self/mountinfo", v2_mount);
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/cpu.max", "-3 zero\n");
    put("/sys/fs/cgroup/memory.max", "many\n");
    assert_true(cgroup().mem_limit == GW_UNLIMITED);
    put("/sys/fs/cgroup/cpu.max", "100000 0\n");
    put("/sys/fs/cgroup/memory.max", "1000\n");
    put("/sys/fs/cgroup/memory.current", "2000\n"); /* over the limit already */
    struct gw_cgroup g = cgroup();
    assert_true(g.cpu_quota == 0 && g.mem_left == 0);
}

/* --- memory --------------------------------------------------------------------------------- */

static void budget_is_the_smallest(void **state) {
    (void)state;
    const struct gw_hw_opts opts = {.root = root};
    struct gw_hw_memory m;
    put("/proc/meminfo", "MemTotal:       33554432 kB\nMemFree:         1048576 kB\n"
                         "MemAvailable:   16777216 kB\n");
    gw_hw_read_memory(&opts, &m);
    assert_int_equal(m.total, 32 * gib);
    assert_int_equal(m.available, 16 * gib);
    assert_int_equal(m.margin, gib); /* a sixteenth of 16 G */
    assert_int_equal(m.budget, 15 * gib);

    put("/proc/self/mountinfo", v2_mount);
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/memory.max", "8589934592\n");
    gw_hw_read_memory(&opts, &m);
    assert_int_equal(m.cgroup_left, 8 * gib);
    assert_int_equal(m.margin, gib / 2);
    assert_int_equal(m.budget, 8 * gib - gib / 2);

    put("/proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        "Max data size             4294967296           unlimited            bytes     \n"
        "Max address space         3221225472           unlimited            bytes     \n");
    put("/proc/self/status", "Name:\tx\nVmSize:\t 1048576 kB\nVmData:\t 3145728 kB\n");
    gw_hw_read_memory(&opts, &m);
    assert_int_equal(m.rlimit_left, gib); /* data: 4 - 3; address space: 3 - 1 */
    assert_int_equal(m.margin, 64 * mib);
    assert_int_equal(m.budget, gib - 64 * mib);

    put("/proc/self/status", "VmSize:\t 8388608 kB\n"); /* over the limit already */
    gw_hw_read_memory(&opts, &m);
    assert_int_equal(m.rlimit_left, 0);
    assert_int_equal(m.budget, 0);
}

static void old_kernel(void **state) {
    (void)state;
    struct gw_hw_memory m;
    put("/proc/meminfo", "MemTotal: 4194304 kB\nMemFree: 2097152 kB\n");
    put("/proc/self/limits", "Max address space         unlimited            unlimited bytes\n");
    put("/proc/self/status", "VmSize: 100 kB\n");
    gw_hw_read_memory(&(struct gw_hw_opts){.root = root}, &m);
    assert_int_equal(m.available, 2 * gib);
    assert_true(m.rlimit_left == GW_UNLIMITED);
}

/* --- topology ------------------------------------------------------------------------------- */

static void synthetic(void **state) {
    (void)state;
    struct gw_hw hw;
    struct gwen_err err;
    const struct gw_hw_opts opts = {
        .root = root,
        .topology = "pack:2 [numa(memory=8589934592)] l3:1(size=33554432) l2:4(size=1048576) "
                    "l1d:1(size=49152) core:1 pu:2"};
    put("/proc/cpuinfo", "processor : 0\nmodel name\t:  Model   X  900 \nflags : a\n");
    put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    put("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "33554432\n");
    assert_int_equal(gw_hw_query(&opts, &hw, &err), GWEN_OK);
    assert_int_equal(hw.n_packages, 2);
    assert_int_equal(hw.n_nodes, 2);
    assert_int_equal(hw.n_cores, 8);
    assert_int_equal(hw.n_pus, 16);
    assert_int_equal(hw.default_threads, 8);
    assert_int_equal(hw.l1d_bytes, 49152);
    assert_int_equal(hw.l2_bytes, 1048576);
    assert_int_equal(hw.l2_cores, 1);
    assert_int_equal(hw.l3_bytes, 33554432);
    assert_int_equal(hw.l3_cores, 4);
    assert_int_equal(hw.nodes[0].n_cores, 4);
    assert_int_equal(hw.nodes[1].n_cores, 4);
    assert_int_equal(hw.nodes[1].bytes, 8 * gib);
    for (int i = 0; i < hw.n_pus; i++) {
        assert_int_equal(hw.pus[i].core, i / 2);
        assert_int_equal(hw.pus[i].node, i / 8);
    }
    assert_string_equal(hw.cpu_model, "Model X 900");
    assert_int_equal(hw.thp, GW_THP_MADVISE);
    assert_int_equal(hw.huge_page_bytes, 32 * mib);
    gw_hw_free(&hw);
}

/* The quota counts whole CPUs, never less than one and never more than there are cores. */
static void quota_and_threads(void **state) {
    (void)state;
    static const struct {
        const char *cpu_max;
        int threads;
    } cases[] = {{"max 100000", 8},    {"50000 100000", 1},  {"100000 100000", 1},
                 {"399999 100000", 3}, {"400000 100000", 4}, {"9900000 100000", 8}};
    put("/proc/self/mountinfo", v2_mount);
    put("/proc/self/cgroup", "0::/\n");
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct gw_hw hw;
        struct gwen_err err;
        put("/sys/fs/cgroup/cpu.max", cases[i].cpu_max);
        const struct gw_hw_opts opts = {.root = root, .topology = "numa:1 core:8 pu:2"};
        assert_int_equal(gw_hw_query(&opts, &hw, &err), GWEN_OK);
        assert_int_equal(hw.default_threads, cases[i].threads);
        assert_string_equal(hw.cpu_model, "unknown");
        assert_int_equal(hw.thp, GW_THP_NONE);
        gw_hw_free(&hw);
    }
}

/* --- which thread goes where ---------------------------------------------------------------- */

/* A recorded machine's XML; the caller frees it. */
static char *recorded(const char *name) {
    char path[128];
    struct gw_str text = {0};
    snprintf(path, sizeof path, "tests/fixtures/topology/%s.xml", name);
    assert_true(gw_hw_slurp("", path, &text));
    return text.data;
}

/* The node of each thread, as digits: "0011". */
static const char *nodes_of(const struct gw_hw *hw, int n_threads) {
    static char digits[65];
    for (int i = 0; i < n_threads; i++)
        digits[i] = (char)('0' + gw_bind_node_of_core(hw, gw_bind_core_of(hw, i, n_threads)));
    digits[n_threads] = '\0';
    return digits;
}

static void machines(void **state) {
    (void)state;
    static const struct {
        const char *topology;
        bool recorded;
        int cores, fast, pus, nodes;
        int n_threads; /* other than the default, with their nodes */
        const char *of_default, *of_n;
    } cases[] = {
        {"core:1 pu:1", false, 1, 1, 1, 1, 3, "0", "000"},
        {"core:2 pu:2", false, 2, 2, 4, 1, 3, "00", "000"},
        {"pack:2 numa:1 core:8 pu:1", false, 16, 16, 16, 2, 4, "0000000011111111", "0011"},
        {"pack:2 numa:2 core:8 pu:1", false, 32, 32, 32, 4, 6, "00000000111111112222222233333333",
         "001223"},
        {"numa:2 core:1 pu:1", false, 2, 2, 2, 2, 1, "01", "0"},
        {"hybrid", true, 6, 2, 8, 1, 2, "000000", "00"}, /* 2 x 2 + 4 */
        {"cpuset", true, 5, 5, 10, 2, 2, "00111", "01"}, /* 2 and 3 cores of 8 and 8 */
    };
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct gw_hw hw;
        struct gwen_err err;
        char *xml = cases[i].recorded ? recorded(cases[i].topology) : NULL;
        const struct gw_hw_opts opts = {.root = root,
                                        .topology = xml != NULL ? xml : cases[i].topology};
        assert_int_equal(gw_hw_query(&opts, &hw, &err), GWEN_OK);
        assert_false(hw.this_machine);
        assert_int_equal(hw.n_cores, cases[i].cores);
        assert_int_equal(hw.n_fast_cores, cases[i].fast);
        assert_int_equal(hw.n_pus, cases[i].pus);
        assert_int_equal(hw.n_nodes, cases[i].nodes);
        assert_int_equal(hw.default_threads, cases[i].cores);
        assert_string_equal(nodes_of(&hw, hw.default_threads), cases[i].of_default);
        assert_string_equal(nodes_of(&hw, cases[i].n_threads), cases[i].of_n);
        gw_hw_free(&hw);
        free(xml);
    }
}

/* The processors of each thread of 4 on the recorded 5 cores: of its node, of its core, none. */
static void masks(void **state) {
    (void)state;
    struct gw_hw hw;
    struct gwen_err err;
    cpu_set_t mask;
    char *xml = recorded("cpuset");
    const struct gw_hw_opts opts = {.root = root, .topology = xml};
    assert_int_equal(gw_hw_query(&opts, &hw, &err), GWEN_OK);
    assert_false(gw_bind_mask(&hw, GW_BIND_NODE, 0, 4, &mask)); /* not of this machine */
    hw.this_machine = true;
    static const struct {
        enum gw_bind bind;
        int thread, first, n;
    } cases[] = {{GW_BIND_NODE, 0, 4, 4},  {GW_BIND_NODE, 1, 4, 4},  {GW_BIND_NODE, 2, 16, 6},
                 {GW_BIND_NODE, 3, 16, 6}, {GW_BIND_CORE, 0, 4, 2},  {GW_BIND_CORE, 1, 8, 2},
                 {GW_BIND_CORE, 2, 16, 2}, {GW_BIND_CORE, 3, 18, 2}, {GW_BIND_NONE, 0, 0, 0}};
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        bool bound = gw_bind_mask(&hw, cases[i].bind, cases[i].thread, 4, &mask);
        assert_int_equal(bound, cases[i].n > 0);
        if (!bound) continue;
        assert_int_equal(CPU_COUNT(&mask), cases[i].n);
        assert_true(CPU_ISSET((unsigned)cases[i].first, &mask));
    }
    hw.pus[0].os_index = CPU_SETSIZE; /* more than a mask holds */
    assert_false(gw_bind_mask(&hw, GW_BIND_NODE, 0, 4, &mask));
    gw_hw_free(&hw);
    free(xml);
}

/* A quota and a limit of nested groups together, in both versions. */
static void nested_groups(void **state) {
    (void)state;
    const struct gw_hw_opts opts = {.root = root, .topology = "pack:2 numa:1 core:4 pu:2"};
    struct gw_hw hw;
    struct gwen_err err;
    put("/proc/meminfo", "MemTotal: 67108864 kB\nMemAvailable: 67108864 kB\n");
    put("/proc/self/mountinfo", v2_mount);
    put("/proc/self/cgroup", "0::/a/b/c\n");
    put("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
    put("/sys/fs/cgroup/a/b/cpu.max", "700000 100000\n");
    put("/sys/fs/cgroup/a/b/c/memory.max", "12884901888\n");
    put("/sys/fs/cgroup/a/memory.max", "3221225472\n"); /* 3 G */
    assert_int_equal(gw_hw_query(&opts, &hw, &err), GWEN_OK);
    assert_int_equal(hw.default_threads, 3);
    assert_string_equal(nodes_of(&hw, 3), "001");
    assert_int_equal(hw.memory.cgroup_limit, 3 * gib);
    assert_int_equal(hw.memory.budget, 3 * gib - 192 * mib);
    gw_hw_free(&hw);

    put("/proc/self/mountinfo", v1_mounts);
    put("/proc/self/cgroup", "4:memory:/a/b\n2:cpuacct,cpu:/a/b\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "100000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "600000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "3221225472\n");
    put("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(gw_hw_query(&opts, &hw, &err), GWEN_OK);
    assert_int_equal(hw.default_threads, 1);
    assert_int_equal(hw.memory.budget, 3 * gib - 192 * mib);
    gw_hw_free(&hw);
}

static void bad_topology(void **state) {
    (void)state;
    struct gw_hw hw;
    struct gwen_err err;
    const struct gw_hw_opts opts = {.root = root, .topology = "core:0 nonsense"};
    assert_int_equal(gw_hw_query(&opts, &hw, &err), GWEN_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "nonsense"));
    const struct gw_hw_opts xml = {.root = root, .topology = "<topology><nonsense/>"};
    assert_int_not_equal(gw_hw_query(&xml, &hw, &err), GWEN_OK);
}

/* This machine: processing units are those of the thread's mask, and a smaller mask shows. */
static void this_machine(void **state) {
    (void)state;
    if (getenv("HWLOC_SYNTHETIC") != NULL || getenv("HWLOC_XMLFILE") != NULL) skip();
    struct gw_hw hw;
    struct gwen_err err;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_int_equal(gw_hw_query(NULL, &hw, &err), GWEN_OK);
    assert_true(hw.this_machine && hw.n_fast_cores >= 1 && hw.n_fast_cores <= hw.n_cores);
    assert_true(hw.n_pus >= 1 && hw.n_cores >= 1 && hw.n_cores <= hw.n_pus && hw.n_nodes >= 1);
    assert_true(hw.default_threads >= 1 && hw.default_threads <= hw.n_cores);
    assert_true(hw.memory.total > 0 && hw.memory.budget < hw.memory.total);
    for (int i = 0; i < hw.n_pus; i++) assert_true(CPU_ISSET(hw.pus[i].os_index, &before));
    unsigned last = hw.pus[hw.n_pus - 1].os_index;
    gw_hw_free(&hw);

    CPU_ZERO(&one);
    CPU_SET(last, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(gw_hw_query(NULL, &hw, &err), GWEN_OK);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(hw.n_pus, 1);
    assert_int_equal(hw.n_cores, 1);
    assert_int_equal(hw.n_nodes, 1);
    assert_int_equal(hw.default_threads, 1);
    assert_int_equal(hw.pus[0].os_index, last);
    gw_hw_free(&hw);
}

#define TREE_TEST(f) cmocka_unit_test_setup_teardown(f, make_root, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TREE_TEST(no_files),
        TREE_TEST(version2),
        TREE_TEST(version2_container),
        TREE_TEST(version1),
        TREE_TEST(nonsense),
        TREE_TEST(budget_is_the_smallest),
        TREE_TEST(old_kernel),
        TREE_TEST(synthetic),
        TREE_TEST(quota_and_threads),
        TREE_TEST(machines),
        TREE_TEST(masks),
        TREE_TEST(nested_groups),
        TREE_TEST(bad_topology),
        cmocka_unit_test(this_machine),
    };
    return cmocka_run_group_tests_name("hw", tests, NULL, NULL);
}

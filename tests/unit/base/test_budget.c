/* test_budget.c - what may be taken and when memory is short, on made-up /proc and /sys trees; and
 * pages that come and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/budget.h"
#include "base/mem.h"
#include "unit/scratch.h"

static const uint64_t mib = (uint64_t)1 << 20;

/* The folder of the running test, which stands for the machine's root. */
static char root[1024];

static int make_root(void **state) {
    if (scratch_setup(state) != 0) return -1;
    snprintf(root, sizeof root, "%s", scratch_path(""));
    return 0;
}

/* Writes root/path (path begins with a slash), making its folders. */
static void put(const char *path, const char *text) { scratch_puts(path + 1, text); }

/* A group of 1 GiB in a machine of 8, half of it used: the margin is 64 MiB. */
static void put_group(const char *current) {
    put("/proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 6291456 kB\n");
    put("/proc/self/mountinfo", "30 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/sys/fs/cgroup/a/b/memory.max", "1073741824\n");
    put("/sys/fs/cgroup/a/b/memory.current", current);
}

static const char half[] = "536870912\n";

static struct gw_memory_watch watch;

static void start(bool given) {
    gw_memory_watch_init(&watch, &(struct gw_hw_opts){.root = root}, given, NULL);
}

static bool may_take(uint64_t bytes, uint64_t reserved) {
    return watch.budget.may_take(watch.budget.ctx, bytes, reserved);
}

/* As if it had not been looked lately. */
static bool pressed(void) {
    watch.look_ns = watch.refuse_ns = 0;
    return watch.budget.pressed(watch.budget.ctx);
}

static void what_may_be_taken(void **state) {
    (void)state;
    put_group(half);
    start(false);
    assert_true(may_take(400 * mib, 0));
    assert_false(may_take(480 * mib, 0)); /* less than three quarters of the margin would stay */
    assert_false(may_take(1, 0));         /* a refusal holds for a while ... */
    watch.refuse_ns = 0;
    assert_true(may_take(464 * mib, 0)); /* ... and then it is looked again */
    put("/proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 102400 kB\n");
    assert_false(may_take(64 * mib, 0));
    start(true); /* the user knows better, but not than the group's limit */
    assert_true(may_take(64 * mib, 0));
    assert_false(may_take(600 * mib, 0));
}

/* RLIMIT_AS counts what is mapped: of it, all that is reserved can be touched. */
static void address_space(void **state) {
    (void)state;
    put_group(half);
    put("/proc/self/limits", "Max address space  1073741824 unlimited bytes\n");
    put("/proc/self/status", "VmSize: 1048576 kB\n"); /* nothing is left */
    start(false);
    assert_true(may_take(64 * mib, 256 * mib));
    assert_false(may_take(64 * mib, 64 * mib));
}

static void what_presses(void **state) {
    (void)state;
    put_group(half);
    put("/sys/fs/cgroup/a/b/memory.events", "low 0\nhigh 3\nmax 4\noom 0\n");
    put("/sys/fs/cgroup/a/memory.events", "low 0\nhigh 0\nmax 0\n");
    put("/sys/fs/cgroup/a/memory.events.local", "low 0\nhigh 0\nmax 0\n");
    start(false);
    assert_false(pressed());
    put("/sys/fs/cgroup/a/b/memory.events", "low 9\nhigh 4\nmax 4\noom 0\n");
    assert_true(pressed());
    assert_false(may_take(mib, 0)); /* for some seconds */
    assert_false(pressed());        /* it was told */
    put("/sys/fs/cgroup/a/b/memory.events", "low 9\nhigh 4\nmax 5\noom 0\n");
    assert_true(pressed());
    put("/sys/fs/cgroup/a/memory.events", "high 0\nmax 100\n"); /* a neighbour's */
    assert_false(pressed());
    put("/sys/fs/cgroup/a/memory.events.local", "high 0\nmax 1\n");
    assert_true(pressed());
    put_group("1052770304\n"); /* 20 MiB left */
    assert_true(pressed());
    assert_true(pressed());
    put_group(half);
    assert_false(pressed());
}

static void stalls(void **state) {
    (void)state;
    put_group(half);
    put("/proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\nfull avg10=0.00 "
                                 "avg60=0.00 avg300=0.00 total=0\n");
    start(false);
    put("/proc/pressure/memory", "some avg10=9.50 avg60=0.00 avg300=0.00 total=9\n");
    assert_false(pressed());
    put("/proc/pressure/memory", "some avg10=12.50 avg60=0.00 avg300=0.00 total=9\n");
    assert_false(pressed()); /* it is over */
    put("/proc/pressure/memory", "some avg10=12.50 avg60=0.00 avg300=0.00 total=10\n");
    assert_true(pressed());
    /* The group's own counts for more than the machine's. */
    put("/sys/fs/cgroup/a/b/memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
    put("/proc/pressure/memory", "some avg10=90.50 avg60=0.00 avg300=0.00 total=99\n");
    assert_false(pressed());
    put("/sys/fs/cgroup/a/b/memory.pressure",
        "some avg10=91.00 avg60=0.00 avg300=0.00 total=999\n");
    assert_true(pressed());
    put("/sys/fs/cgroup/a/b/memory.pressure", "nothing of the kind\n");
    assert_false(pressed());
}

static void version1(void **state) {
    (void)state;
    put("/proc/self/mountinfo",
        "34 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
    put("/proc/self/cgroup", "4:memory:/job\n");
    put("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "1073741824\n");
    put("/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "1048576\n");
    put("/sys/fs/cgroup/memory/job/memory.failcnt", "7\n");
    start(false);
    assert_false(pressed());
    put("/sys/fs/cgroup/memory/job/memory.failcnt", "8\n");
    assert_true(pressed());
}

/* It is looked at most ten times a second. */
static void looks_are_rare(void **state) {
    (void)state;
    put_group("1070000000\n");
    start(false);
    watch.look_ns = UINT64_MAX;
    assert_false(watch.budget.pressed(watch.budget.ctx));
    assert_true(pressed());
    assert_true(watch.look_ns > 0);
}

/* --- pages ---------------------------------------------------------------------------------- */

static size_t resident_pages(const struct gw_mem *m) {
    unsigned char there[4096];
    size_t pages = m->bytes / 4096, n = 0;
    assert_true(pages <= sizeof there);
    assert_int_equal(mincore(m->data, m->bytes, there), 0);
    for (size_t i = 0; i < pages; i++) n += there[i] & 1;
    return n;
}

static void pages_come_and_go(void **state) {
    (void)state;
    struct gwen_err err;
    struct gw_mem m;
    size_t resident, huge;
    const size_t piece = 2 * mib, pages = piece / 4096;
    assert_int_equal(gw_mem_map(&m, 4 * piece, &err), GWEN_OK);
    assert_int_equal(resident_pages(&m), 0);
    if (!m.huge_advised) skip(); /* then pages are small: covered by the next test */
    assert_int_equal(gw_mem_touch(&m, piece + 1, piece + 2, &err), GWEN_OK);
    assert_int_equal(resident_pages(&m), pages);
    char *data = m.data;
    memset(data + piece, 7, piece);
    assert_int_equal(gw_mem_touch(&m, 0, 3 * piece, &err), GWEN_OK);
    assert_int_equal(resident_pages(&m), 3 * pages);
    for (size_t i = 0; i < piece; i += 4096) assert_int_equal(data[piece + i], 7);
    assert_true(gw_mem_residence(&m, &resident, &huge));
    assert_true(resident >= 3 * piece && huge <= resident);
    gw_mem_drop(&m, 1, 2 * piece + 5); /* only the second is whole */
    assert_int_equal(resident_pages(&m), 2 * pages);
    assert_int_equal(data[piece], 0);
    gw_mem_unmap(&m);
}

static void small_pages(void **state) {
    (void)state;
    struct gwen_err err;
    struct gw_mem m;
    assert_int_equal(gw_mem_map(&m, 10 * 4096, &err), GWEN_OK);
    assert_int_equal(gw_mem_touch(&m, 100, 2 * 4096 + 1, &err), GWEN_OK);
    assert_int_equal(resident_pages(&m), 3);
    gw_mem_drop(&m, 1, 3 * 4096 - 1);
    assert_int_equal(resident_pages(&m), 2);
    gw_mem_unmap(&m);
}

#define TREE_TEST(f) cmocka_unit_test_setup_teardown(f, make_root, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TREE_TEST(what_may_be_taken),
        TREE_TEST(address_space),
        TREE_TEST(what_presses),
        TREE_TEST(stalls),
        TREE_TEST(version1),
        TREE_TEST(looks_are_rare),
        cmocka_unit_test(pages_come_and_go),
        cmocka_unit_test(small_pages),
    };
    return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}

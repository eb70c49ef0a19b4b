/* test_pool.c - the thread pool's runs, barrier and units of work, and large memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/pool.h"

enum { THREADS = 4, ROUNDS = 500 };

static struct gw_pool *make_pool(int n) {
    struct gw_pool *pool;
    struct gwen_err err;
    assert_int_equal(gw_pool_create(n, &pool, &err), GWEN_OK);
    assert_int_equal(gw_pool_threads(pool), n);
    return pool;
}

struct shared {
    struct gw_pool *pool;
    int n_threads;
    long values[THREADS]; /* plain: only the barrier orders them */
    atomic_int wrong, runs;
};

/* Each round every thread writes its own value, then reads all of them. */
static void exchange(void *ctx, int thread, int n_threads) {
    struct shared *s = ctx;
    atomic_fetch_add(&s->runs, 1);
    if (thread == 0) s->n_threads = n_threads;
    for (long round = 1; round <= ROUNDS; round++) {
        s->values[thread] = round * (thread + 1);
        gw_pool_barrier(s->pool);
        for (int i = 0; i < n_threads; i++)
            if (s->values[i] != round * (i + 1)) atomic_fetch_add(&s->wrong, 1);
        gw_pool_barrier(s->pool);
    }
}

static void barrier_orders_memory(void **state) {
    (void)state;
    for (int n = 1; n <= THREADS; n++) {
        struct gw_pool *pool = make_pool(n);
        for (int again = 0; again < 3; again++) {
            struct shared s = {.pool = pool};
            gw_pool_run(pool, exchange, &s);
            assert_true(s.n_threads >= 1 && s.n_threads <= n);
            assert_int_equal(s.runs, s.n_threads);
            assert_int_equal(s.wrong, 0);
        }
        gw_pool_free(pool);
    }
}

/* --- units of work -------------------------------------------------------------------------- */

enum { MOST_UNITS = 300 };

/* Operation i adds i to every unit's sum, which the operations before it have left right. */
struct sums {
    struct gw_pool *pool;
    size_t n_units;
    long of[MOST_UNITS]; /* plain: only the operations' ends order them */
    atomic_int wrong;
    bool delays;
};

static void now_and_then_sleep(struct sums *s, uint32_t *random) {
    *random = *random * 1664525 + 1013904223;
    if (s->delays && *random >> 24 == 0) usleep(*random >> 12 & 511);
}

static void add_up(void *ctx, int thread, int n_threads) {
    struct sums *s = ctx;
    uint32_t random = (uint32_t)thread * 77 + 1;
    (void)n_threads;
    for (long op = 1; op <= 100; op++) {
        for (size_t u; gw_pool_next(s->pool, thread, s->n_units, &u);) {
            now_and_then_sleep(s, &random);
            if (s->of[u] != op * (op - 1) / 2) atomic_fetch_add(&s->wrong, 1);
            s->of[u] += op;
        }
        now_and_then_sleep(s, &random);
    }
    /* All see what the others have done. */
    for (size_t u = 0; u < s->n_units; u++)
        if (s->of[u] != 5050) atomic_fetch_add(&s->wrong, 1);
}

static void units_are_done_once(void **state) {
    (void)state;
    static const size_t counts[] = {0, 1, 2, 3, 7, 64, MOST_UNITS};
    for (int n = 1; n <= THREADS; n++) {
        struct gw_pool *pool = make_pool(n);
        for (size_t i = 0; i < 2 * GW_ARRAY_LEN(counts); i++) {
            struct sums s = {.pool = pool, .n_units = counts[i / 2], .delays = i % 2 != 0};
            gw_pool_run(pool, add_up, &s);
            assert_int_equal(s.wrong, 0);
            for (size_t u = 0; u < s.n_units; u++) assert_int_equal(s.of[u], 5050);
        }
        gw_pool_free(pool);
    }
}

struct delayed {
    struct gw_pool *pool;
    atomic_size_t done;
    size_t by[THREADS];
    int n_threads;
};

/* Thread 0 does not get on with its first unit before all others have been done. */
static void one_is_stuck(void *ctx, int thread, int n_threads) {
    struct delayed *d = ctx;
    if (thread == 0) d->n_threads = n_threads;
    gw_pool_barrier(d->pool);
    for (size_t u; gw_pool_next(d->pool, thread, MOST_UNITS, &u);) {
        if (n_threads > 1 && thread == 0)
            while (atomic_load(&d->done) < MOST_UNITS - 1) usleep(10);
        d->by[thread]++;
        atomic_fetch_add(&d->done, 1);
    }
}

static void units_of_a_stuck_thread_are_stolen(void **state) {
    (void)state;
    for (int n = 2; n <= THREADS; n++) {
        struct gw_pool *pool = make_pool(n);
        struct delayed d = {.pool = pool};
        gw_pool_run(pool, one_is_stuck, &d);
        assert_int_equal(d.done, MOST_UNITS);
        size_t stolen = 0;
        for (int t = 0; t < d.n_threads; t++) stolen += gw_pool_stolen(pool, t);
        if (d.n_threads > 1) {
            assert_true(d.by[0] <= 1);
            assert_true(stolen >= MOST_UNITS / (size_t)d.n_threads - 1);
        }
        gw_pool_free(pool);
    }
}

/* A thread that has taken nothing holds up nobody, and finds its way when it comes. */
static void one_is_late(void *ctx, int thread, int n_threads) {
    struct delayed *d = ctx;
    if (thread == 0) d->n_threads = n_threads;
    while (n_threads > 1 && thread == 0 && atomic_load(&d->done) < 50 * 8) usleep(10);
    for (int op = 0; op < 50; op++)
        for (size_t u; gw_pool_next(d->pool, thread, 8, &u);) {
            d->by[thread]++;
            atomic_fetch_add(&d->done, 1);
        }
    gw_pool_barrier(d->pool);
    for (size_t u; gw_pool_next(d->pool, thread, 8, &u);) atomic_fetch_add(&d->done, 1);
}

static void late_threads_pass_through(void **state) {
    (void)state;
    for (int n = 1; n <= THREADS; n++) {
        struct gw_pool *pool = make_pool(n);
        struct delayed d = {.pool = pool};
        gw_pool_run(pool, one_is_late, &d);
        assert_int_equal(d.done, 51 * 8);
        if (d.n_threads > 1) assert_int_equal(d.by[0], 0);
        gw_pool_free(pool);
    }
}

/* --- binding -------------------------------------------------------------------------------- */

static void bind_here(struct gw_pool *pool, enum gw_bind bind, struct gw_hw *hw) {
    struct gwen_err err;
    assert_int_equal(gw_hw_query(NULL, hw, &err), GWEN_OK);
    gw_pool_bind(pool, hw, bind);
}

struct bound {
    struct gw_pool *pool;
    const struct gw_hw *hw;
    enum gw_bind bind;
    atomic_int wrong;
};

/* Each thread has the mask that was planned for it. */
static void look_at_mask(void *ctx, int thread, int n_threads) {
    struct bound *b = ctx;
    cpu_set_t want, have;
    if (!gw_bind_mask(b->hw, b->bind, thread, gw_pool_threads(b->pool), &want)) return;
    if (n_threads != gw_pool_threads(b->pool)) return;
    if (sched_getaffinity(0, sizeof have, &have) != 0 || !CPU_EQUAL(&want, &have))
        atomic_fetch_add(&b->wrong, 1);
}

static void masks_are_given_back(void **state) {
    (void)state;
    static const enum gw_bind binds[] = {GW_BIND_NODE, GW_BIND_CORE, GW_BIND_NONE};
    cpu_set_t before, after;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    for (size_t i = 0; i < GW_ARRAY_LEN(binds); i++)
        for (int n = 1; n <= THREADS; n++) {
            struct gw_hw hw;
            struct gw_pool *pool = make_pool(n);
            bind_here(pool, binds[i], &hw);
            struct bound b = {pool, &hw, binds[i], 0};
            gw_pool_run(pool, look_at_mask, &b);
            assert_int_equal(b.wrong, 0);
            assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
            assert_true(CPU_EQUAL(&before, &after));
            gw_pool_free(pool);
            gw_hw_free(&hw);
        }
}

/* A thread in a unit, and a neighbour that follows it wherever it runs. */
struct chase {
    struct gw_pool *pool;
    atomic_int cpu; /* of the thread; -1: over */
    int n_threads;
};

static void *run_beside(void *ctx) {
    struct chase *c = ctx;
    for (int cpu, at = -1; (cpu = atomic_load(&c->cpu)) >= 0;) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET((unsigned)cpu, &one);
        if (cpu != at) sched_setaffinity(0, sizeof one, &one);
        at = cpu;
    }
    return NULL;
}

/* One unit lasts until the thread that waits for it has given it its place. */
static void be_chased(void *ctx, int thread, int n_threads) {
    struct chase *c = ctx;
    if (thread == 0) c->n_threads = n_threads;
    for (size_t u; gw_pool_next(c->pool, thread, 1, &u);)
        while (n_threads > 1 && gw_pool_moves(c->pool) == 0) atomic_store(&c->cpu, sched_getcpu());
}

static void stuck_threads_are_given_a_place(void **state) {
    (void)state;
    struct gw_hw hw;
    struct gw_pool *pool = make_pool(2);
    struct chase c = {.pool = pool};
    pthread_t neighbour;
    bind_here(pool, GW_BIND_NODE, &hw);
    bool possible = hw.this_machine && hw.n_pus > 1 && hw.n_nodes == 1;
    gw_hw_free(&hw);
    if (!possible) {
        gw_pool_free(pool);
        skip();
    }
    atomic_store(&c.cpu, sched_getcpu());
    assert_int_equal(pthread_create(&neighbour, NULL, run_beside, &c), 0);
    gw_pool_run(pool, be_chased, &c);
    atomic_store(&c.cpu, -1);
    pthread_join(neighbour, NULL);
    assert_true(c.n_threads == 1 || gw_pool_moves(pool) > 0);
    gw_pool_free(pool);
}

static void bad_counts(void **state) {
    (void)state;
    struct gw_pool *pool;
    struct gwen_err err;
    assert_int_equal(gw_pool_create(0, &pool, &err), GWEN_ERR_ARGUMENT);
    assert_int_equal(gw_pool_create(-1, &pool, &err), GWEN_ERR_ARGUMENT);
    assert_int_equal(gw_pool_create(100000, &pool, &err), GWEN_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "100000"));
}

/* Shares follow each other, cover everything and differ by at most one. */
static void shares(void **state) {
    (void)state;
    for (size_t n = 0; n < 40; n++)
        for (int threads = 1; threads <= 9; threads++) {
            size_t at = 0;
            for (int t = 0; t < threads; t++) {
                size_t begin, end;
                gw_share(n, t, threads, &begin, &end);
                assert_int_equal(begin, at);
                assert_true(end >= begin && end - begin >= n / (size_t)threads);
                assert_true(end - begin <= n / (size_t)threads + 1);
                at = end;
            }
            assert_int_equal(at, n);
        }
}

static void memory(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 4095, 4096, 4097, (2 << 20) - 1, 2 << 20, (5 << 20) + 3};
    for (size_t i = 0; i < GW_ARRAY_LEN(sizes); i++) {
        struct gw_mem m;
        struct gwen_err err;
        assert_int_equal(gw_mem_map(&m, sizes[i], &err), GWEN_OK);
        assert_int_equal(m.bytes, sizes[i]);
        assert_int_equal((uintptr_t)m.data % (sizes[i] >= 2 << 20 ? 2 << 20 : 4096), 0);
        gw_mem_interleave(m.data, m.bytes);
        unsigned char *p = m.data;
        assert_int_equal(p[0], 0);
        assert_int_equal(p[sizes[i] - 1], 0);
        p[0] = p[sizes[i] - 1] = 1;
        gw_mem_unmap(&m);
        assert_null(m.data);
    }
    struct gw_mem m;
    struct gwen_err err;
    assert_int_equal(gw_mem_map(&m, 0, &err), GWEN_OK);
    gw_mem_unmap(&m);
    assert_int_equal(gw_mem_map(&m, SIZE_MAX / 2, &err), GWEN_ERR_NOMEM);
    assert_int_equal(gw_mem_map(&m, SIZE_MAX, &err), GWEN_ERR_NOMEM);
}

struct many {
    struct gw_pool *pool;
    size_t n;
    atomic_uchar *done; /* [n] */
};

static void mark_all(void *ctx, int thread, int n_threads) {
    struct many *m = ctx;
    (void)n_threads;
    for (size_t unit; gw_pool_next(m->pool, thread, m->n, &unit);)
        atomic_fetch_add(&m->done[unit], 1);
}

/* More units than a word of an operation can count. */
static void any_number_of_units(void **state) {
    static const size_t sizes[] = {1, ((size_t)1 << 19) + 1, (size_t)1 << 20, 3333333};
    (void)state;
    struct gw_pool *pool = make_pool(3);
    for (size_t i = 0; i < GW_ARRAY_LEN(sizes); i++) {
        struct many m = {pool, sizes[i], calloc(sizes[i], sizeof *m.done)};
        assert_non_null(m.done);
        gw_pool_run(pool, mark_all, &m);
        for (size_t unit = 0; unit < m.n; unit++) assert_int_equal(m.done[unit], 1);
        free(m.done);
    }
    gw_pool_free(pool);
}

/* --- nesting -------------------------------------------------------------------------------- */

struct nesting {
    struct gw_pool *pool;
    atomic_int refused;
};

static void try_within(void *ctx, int thread, int n_threads) {
    struct nesting *n = ctx;
    struct gwen_err err;
    (void)thread;
    (void)n_threads;
    if (gw_pool_check_free(n->pool, &err) == GWEN_ERR_INTERNAL) atomic_fetch_add(&n->refused, 1);
}

static void a_run_within_a_run_is_refused(void **state) {
    (void)state;
    struct gwen_err err;
    for (int threads = 1; threads <= 2; threads++) {
        struct nesting n = {.pool = make_pool(threads)};
        assert_int_equal(gw_pool_check_free(n.pool, &err), GWEN_OK);
        gw_pool_run(n.pool, try_within, &n);
        assert_true(n.refused >= 1);
        assert_int_equal(gw_pool_check_free(n.pool, &err), GWEN_OK);
        gw_pool_free(n.pool);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(barrier_orders_memory),
        cmocka_unit_test(any_number_of_units),
        cmocka_unit_test(units_are_done_once),
        cmocka_unit_test(units_of_a_stuck_thread_are_stolen),
        cmocka_unit_test(late_threads_pass_through),
        cmocka_unit_test(masks_are_given_back),
        cmocka_unit_test(stuck_threads_are_given_a_place),
        cmocka_unit_test(bad_counts),
        cmocka_unit_test(shares),
        cmocka_unit_test(a_run_within_a_run_is_refused),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}

/* test_pool.c - the thread pool's runs and barrier, and large memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <string.h>

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(barrier_orders_memory),
        cmocka_unit_test(bad_counts),
        cmocka_unit_test(shares),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}

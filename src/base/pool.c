/* pool.c - the parallel region, by OpenMP or plain threads, and its barrier; see pool.h. */
#include "base/pool.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifdef GW_POOL_PTHREADS
#include <pthread.h>
#else
#include <omp.h>
#endif

enum { SPIN_NS = 50 * 1000, SPINS_PER_CLOCK_READ = 128, MOST_THREADS = 1024 };

struct gw_pool {
    int n_threads;
    int n_active; /* threads of the current run */
    /* The barrier: a count of arrivals and a generation that the last one advances.  Each on
     * its own cache line, because waiting threads poll the generation. */
    _Alignas(64) atomic_int arrived;
    _Alignas(64) atomic_uint generation;
    _Alignas(64) atomic_int sleepers;
};

enum gwen_status gw_pool_create(int n_threads, struct gw_pool **out, struct gwen_err *err) {
    if (n_threads < 1 || n_threads > MOST_THREADS)
        return gw_fail(err, GWEN_ERR_ARGUMENT, "threads: %d is not between 1 and %d", n_threads,
                       MOST_THREADS);
    struct gw_pool *pool = aligned_alloc(64, gw_round_up(sizeof *pool, 64));
    if (pool == NULL) return gw_nomem(err, sizeof *pool, "the thread pool");
    pool->n_threads = n_threads;
    pool->n_active = 1;
    atomic_init(&pool->arrived, 0);
    atomic_init(&pool->generation, 0);
    atomic_init(&pool->sleepers, 0);
    *out = pool;
    return GWEN_OK;
}

void gw_pool_free(struct gw_pool *pool) { free(pool); }

int gw_pool_threads(const struct gw_pool *pool) { return pool->n_threads; }

static void cpu_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void futex_wait(atomic_uint *word, unsigned seen) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake_all(atomic_uint *word) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

void gw_pool_barrier(struct gw_pool *pool) {
    if (pool->n_active == 1) return;
    unsigned generation = atomic_load_explicit(&pool->generation, memory_order_acquire);
    if (atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel) + 1 == pool->n_active) {
        atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
        /* seq_cst against the sleepers' own increment-then-check. */
        atomic_fetch_add(&pool->generation, 1);
        if (atomic_load(&pool->sleepers) > 0) futex_wake_all(&pool->generation);
        return;
    }
    int64_t start = 0;
    for (unsigned spins = 1;; spins++) {
        if (atomic_load_explicit(&pool->generation, memory_order_acquire) != generation) return;
        cpu_relax();
        if (spins % SPINS_PER_CLOCK_READ == 0) {
            int64_t now = now_ns();
            if (start == 0) start = now;
            if (now - start > SPIN_NS) break;
        }
    }
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->generation) == generation) futex_wait(&pool->generation, generation);
    atomic_fetch_sub(&pool->sleepers, 1);
}

#ifdef GW_POOL_PTHREADS

/* The threads of one run wait until it is known how many there are. */
struct crew {
    gw_pool_fn *fn;
    void *ctx;
    atomic_uint n_threads; /* 0: not known yet */
};

struct start {
    struct crew *crew;
    int thread;
};

static void *thread_main(void *arg) {
    const struct start *s = arg;
    unsigned n;
    while ((n = atomic_load(&s->crew->n_threads)) == 0) futex_wait(&s->crew->n_threads, 0);
    s->crew->fn(s->crew->ctx, s->thread, (int)n);
    return NULL;
}

void gw_pool_run(struct gw_pool *pool, gw_pool_fn *fn, void *ctx) {
    pthread_t ids[MOST_THREADS];
    struct start starts[MOST_THREADS];
    struct crew crew = {.fn = fn, .ctx = ctx};
    int n = 1;
    for (; n < pool->n_threads; n++) {
        starts[n] = (struct start){&crew, n};
        if (pthread_create(&ids[n], NULL, thread_main, &starts[n]) != 0) break;
    }
    pool->n_active = n;
    atomic_store(&crew.n_threads, (unsigned)n);
    futex_wake_all(&crew.n_threads);
    fn(ctx, 0, n);
    for (int i = 1; i < n; i++) pthread_join(ids[i], NULL);
    pool->n_active = 1;
}

#else

void gw_pool_run(struct gw_pool *pool, gw_pool_fn *fn, void *ctx) {
    if (pool->n_threads == 1) {
        fn(ctx, 0, 1);
        return;
    }
#pragma omp parallel num_threads(pool->n_threads)
    {
        /* OpenMP may give fewer threads than asked for (OMP_THREAD_LIMIT). */
        int n = omp_get_num_threads();
#pragma omp single
        pool->n_active = n;
        fn(ctx, omp_get_thread_num(), n);
    }
    pool->n_active = 1;
}

#endif

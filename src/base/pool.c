/* pool.c - the parallel region, by OpenMP or plain threads, and its barrier; see pool.h.
 *
 * Why operations are dealt out in units.  A decode step is hundreds of operations (products,
 * attention, norms), most of them well below a millisecond.  With fixed shares and a barrier after
 * each, an operation takes as long as the thread that has it worst; one whose core another process
 * has for a time slice holds all others up for several milliseconds, as long as a dozen operations.
 * So nobody waits for threads here, only for units:
 *
 *     share of thread 0        share of thread 1        share of thread 2
 *     | x x x x x . . . |      | x x . . . x x x |      | x x x x x x x x |    x: taken
 *                 ^                  ^     ^
 *           0 takes the first    1 here    2, done with its own, takes the last of the
 *                                          fullest share: it steals
 *
 * A thread's own share is the same every time, so that it meets the weights that it packed (on its
 * NUMA node, perhaps in its cache), and ascends, so that it reads memory forwards.  A thief comes
 * from the other end: it meets the owner only at the last unit, and the fullest share is the one
 * that is furthest behind.
 *
 * Why shares are words with the number of the operation.  Nobody prepares an operation: a word that
 * still has an earlier number means that nothing of that share has been taken, and what it holds
 * follows from n_units.  Thus a thread that has lost its core need not have begun an operation for
 * others to do all of its units; when it comes back it finds a later number, and passes through
 * what it has missed.  Owner and thieves change the word by compare and exchange, so each unit is
 * taken once.  That needs no order of memory beyond the word's own: a unit may be taken by whoever
 * has seen the operation before end, and what that wrote was published by its end.
 *
 * Why an operation ends by a count.  Whoever has no unit left adds those it did to n_done, once an
 * operation; the one who completes the count advances `current`, and all who wait there see what
 * was written (release by each that counts, acquire by each that waits).  The number of threads
 * plays no part in it.  They may be several operations apart; only what an operation reads and a
 * later one overwrites asks for gw_pool_barrier().
 *
 * Why a core is given away.  All the same a thread is nearly always in the middle of a unit when
 * its core is taken, and that unit cannot be stolen.  The others spin for a moment, then look
 * whether the clock of its processor time stands still, and one of them changes places with it (see
 * "changing places"): that costs about 70 us instead of the time slice.  Who has no unit has
 * nothing to lose by waiting in its place.  No result depends on any of it, for what a unit gives
 * does not depend on who does it. */
#include "base/pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef GW_POOL_PTHREADS
#include <omp.h>
#endif

enum {
    SPIN_NS = 45 * 1000,  /* before a waiting thread sleeps, or changes places */
    WATCH_NS = 5 * 1000,  /* in which a thread that runs is seen to do so */
    LOOK_NS = 500 * 1000, /* between looks of a sleeping thread at those it waits for */
    SPINS_PER_CLOCK_READ = 128,
    MOST_THREADS = 1024
};

/* What threads wait for: a number that another one changes.  Alone on a cache line, because it is
 * polled. */
struct signal {
    _Alignas(64) atomic_uint value;
    atomic_int sleepers;
};

/* A thread of a run, on lines of its own. */
struct worker {
    /* What is left of its share of an operation: see "Operations". */
    _Alignas(128) atomic_uint_fast64_t left;
    /* Its own count of operations, and of units it has taken of the current one. */
    uint32_t op, n_taken;
    size_t n_stolen;
    size_t at, end; /* of the range it is at: see gw_pool_next */
    /* Where it is: see "Changing places". */
    cpu_set_t mask;   /* what it is bound to in a run */
    cpu_set_t before; /* and before it */
    bool placed;      /* bound in this run, so that it can be moved */
    pid_t tid;
    clockid_t clock;               /* of the processor time it has had */
    _Alignas(64) atomic_uint busy; /* the operation of which it has a unit; 0: none */
    atomic_int cpu;                /* where it began that */
};

struct gw_pool {
    int n_threads;
    int n_active; /* threads of the current run */
    bool bound;   /* workers have masks */
    atomic_bool running;
    _Alignas(64) atomic_int arrived;
    struct signal generation;                 /* of the barrier: the last to arrive advances it */
    _Alignas(64) atomic_uint_fast64_t n_done; /* operation << 32 | units of it that are done */
    struct signal current;                    /* the first operation that is not over */
    atomic_size_t n_moves;
    atomic_bool moving;     /* a thread is being moved by another one */
    struct worker *workers; /* [n_threads] */
};

/* Sets everything up for n threads, before any of them is at work. */
static void begin_run(struct gw_pool *pool, int n) {
    pool->n_active = n;
    atomic_store(&pool->arrived, 0);
    atomic_store(&pool->n_done, 0);
    atomic_store(&pool->n_moves, 0);
    atomic_store(&pool->current.value, 1);
    for (int i = 0; i < n; i++) {
        struct worker *w = &pool->workers[i];
        atomic_store(&w->left, 0);
        w->op = 1;
        w->n_taken = 0;
        w->n_stolen = 0;
        w->at = w->end = 0;
        atomic_store(&w->busy, 0);
    }
}

enum gwen_status gw_pool_create(int n_threads, struct gw_pool **out, struct gwen_err *err) {
    if (n_threads < 1 || n_threads > MOST_THREADS)
        return gw_fail(err, GWEN_ERR_ARGUMENT, "threads: %d is not between 1 and %d", n_threads,
                       MOST_THREADS);
    size_t workers_at = gw_round_up(sizeof(struct gw_pool), 128);
    size_t bytes = workers_at + (size_t)n_threads * sizeof(struct worker);
    struct gw_pool *pool = aligned_alloc(128, bytes);
    if (pool == NULL) return gw_nomem(err, bytes, "the thread pool");
    memset(pool, 0, bytes);
    pool->n_threads = n_threads;
    pool->workers = (struct worker *)(void *)((char *)pool + workers_at);
    begin_run(pool, 1);
    *out = pool;
    return GWEN_OK;
}

void gw_pool_free(struct gw_pool *pool) { free(pool); }

int gw_pool_threads(const struct gw_pool *pool) { return pool->n_threads; }

size_t gw_pool_stolen(const struct gw_pool *pool, int thread) {
    return pool->workers[thread].n_stolen;
}

size_t gw_pool_moves(const struct gw_pool *pool) { return atomic_load(&pool->n_moves); }

void gw_pool_share(const struct gw_pool *pool, int thread, size_t n, size_t *begin, size_t *end) {
    gw_share(n, thread, pool->n_active, begin, end);
}

/* --- waiting -------------------------------------------------------------------------------- */

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

/* timeout NULL: none. */
static void futex_wait(atomic_uint *word, unsigned seen, const struct timespec *timeout) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, timeout, NULL, 0);
}

static void futex_wake_all(atomic_uint *word) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static void advance(struct signal *s) {
    /* seq_cst against the sleepers' own increment-then-check. */
    atomic_fetch_add(&s->value, 1);
    if (atomic_load(&s->sleepers) > 0) futex_wake_all(&s->value);
}

/* Both return true when s is no longer `value`, false after a time. */
static bool spin_past(struct signal *s, unsigned value, int64_t ns) {
    int64_t start = 0;
    for (unsigned spins = 1;; spins++) {
        if (atomic_load_explicit(&s->value, memory_order_acquire) != value) return true;
        cpu_relax();
        if (spins % SPINS_PER_CLOCK_READ == 0) {
            int64_t now = now_ns();
            if (start == 0) start = now;
            if (now - start > ns) return false;
        }
    }
}

static bool sleep_past(struct signal *s, unsigned value, const struct timespec *timeout) {
    atomic_fetch_add(&s->sleepers, 1);
    if (atomic_load(&s->value) == value) futex_wait(&s->value, value, timeout);
    atomic_fetch_sub(&s->sleepers, 1);
    return atomic_load(&s->value) != value;
}

void gw_pool_barrier(struct gw_pool *pool) {
    if (pool->n_active == 1) return;
    unsigned generation = atomic_load_explicit(&pool->generation.value, memory_order_acquire);
    if (atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel) + 1 != pool->n_active) {
        if (spin_past(&pool->generation, generation, SPIN_NS)) return;
        while (!sleep_past(&pool->generation, generation, NULL)) {
        }
        return;
    }
    atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
    advance(&pool->generation);
}

/* --- operations ----------------------------------------------------------------------------
 *
 * Each thread counts operations by itself.  What is left of a thread's share of one is a word
 *
 *     operation (24 bits) | first unit (20) | end (20)
 *
 * of which the owner takes the first unit and thieves the last one, by compare and exchange.  A
 * word of an earlier operation means that nothing has been taken of this one, so nobody has to
 * prepare it.  One of a later operation is found by a thread that comes late: this one is over. */

enum { UNIT_BITS = 20, OP_BITS = 24, UNIT_MASK = (1 << UNIT_BITS) - 1, MOST_RANGES = 1 << 19 };

static uint64_t pack(uint32_t op, size_t begin, size_t end) {
    return (uint64_t)op << (2 * UNIT_BITS) | (uint64_t)begin << UNIT_BITS | end;
}

/* What a word says of operation `op`: the units [*begin, *end) of `owner` are left.  Returns true
 * when the word is of an earlier operation. */
static bool unpack(const struct gw_pool *pool, uint64_t word, uint32_t op, size_t n_units,
                   int owner, size_t *begin, size_t *end) {
    uint32_t behind = (op - (uint32_t)(word >> (2 * UNIT_BITS))) & ((1u << OP_BITS) - 1);
    *begin = *end = 0;
    if (behind == 0) {
        *begin = word >> UNIT_BITS & UNIT_MASK;
        *end = word & UNIT_MASK;
        return false;
    }
    if (behind >> (OP_BITS - 1)) return false; /* ahead */
    gw_share(n_units, owner, pool->n_active, begin, end);
    return true;
}

/* Takes a unit of owner's share: the first for itself, the last for a thief. */
static bool take(struct gw_pool *pool, int owner, bool thief, uint32_t op, size_t n_units,
                 size_t *unit) {
    atomic_uint_fast64_t *left = &pool->workers[owner].left;
    uint_fast64_t seen = atomic_load_explicit(left, memory_order_relaxed);
    for (;;) {
        size_t begin, end;
        bool earlier = unpack(pool, seen, op, n_units, owner, &begin, &end);
        /* An empty share is marked as this operation's, too: words must not grow so old that the
         * count wraps around. */
        if (begin == end && !earlier) return false;
        bool empty = begin == end;
        *unit = thief ? end - 1 : begin;
        if (!empty && thief) end--;
        if (!empty && !thief) begin++;
        if (atomic_compare_exchange_weak_explicit(left, &seen, pack(op, begin, end),
                                                  memory_order_relaxed, memory_order_relaxed))
            return !empty;
    }
}

static size_t units_left(const struct gw_pool *pool, int owner, uint32_t op, size_t n_units) {
    size_t begin, end;
    unpack(pool, atomic_load_explicit(&pool->workers[owner].left, memory_order_relaxed), op,
           n_units, owner, &begin, &end);
    return end - begin;
}

static bool steal(struct gw_pool *pool, uint32_t op, size_t n_units, size_t *unit) {
    for (;;) {
        int victim = -1;
        size_t most = 0;
        for (int i = 0; i < pool->n_active; i++) {
            size_t n = units_left(pool, i, op, n_units);
            if (n <= most) continue;
            most = n;
            victim = i;
        }
        if (victim < 0) return false;
        if (take(pool, victim, true, op, n_units, unit)) return true;
    }
}

/* Adds n units to those done of operation `op`; the last ones end it. */
static void report(struct gw_pool *pool, uint32_t op, uint32_t n, size_t n_units) {
    uint_fast64_t seen = atomic_load_explicit(&pool->n_done, memory_order_relaxed);
    uint32_t before;
    do before = seen >> 32 == op ? (uint32_t)seen : 0;
    while (!atomic_compare_exchange_weak_explicit(&pool->n_done, &seen,
                                                  (uint64_t)op << 32 | (before + n),
                                                  memory_order_acq_rel, memory_order_relaxed));
    if (before + n == n_units) advance(&pool->current);
}

/* --- changing places -----------------------------------------------------------------------
 *
 * A thread whose processor was taken away in the middle of a unit comes back after a time slice of
 * the other process, which is as long as a dozen operations; all others would wait for it.  One of
 * them, which has no unit that anyone could wait for, gives it its own processor and queues up
 * where it was.  (Left to itself the kernel does not: a thread that ran a moment ago is taken to
 * have warm caches there.) */

static void move_to(pid_t tid, int cpu, const cpu_set_t *mask) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((unsigned)cpu, &one);
    sched_setaffinity(tid, sizeof one, &one);
    sched_setaffinity(tid, sizeof *mask, mask); /* which leaves it there */
}

static int64_t processor_time(const struct worker *w) {
    struct timespec t = {0, 0};
    clock_gettime(w->clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Whether the operation ended, or `w` got any processor time, in the next few microseconds. */
static bool seen_running(struct gw_pool *pool, const struct worker *w, uint32_t op) {
    int64_t before = processor_time(w);
    return spin_past(&pool->current, op, WATCH_NS) || processor_time(w) != before;
}

/* Changes places with `w`, if it still has a unit of `op` and is where it was. */
static bool change_places(struct gw_pool *pool, struct worker *me, struct worker *w, uint32_t op,
                          int here, int there) {
    if (atomic_exchange(&pool->moving, true)) return false; /* another thread is at it */
    bool still = atomic_load(&w->busy) == op && atomic_load(&w->cpu) == there;
    if (still) {
        atomic_store(&w->cpu, here);
        move_to(w->tid, here, &w->mask);
        atomic_fetch_add(&pool->n_moves, 1);
    }
    atomic_store(&pool->moving, false);
    if (still) move_to(0, there, &me->mask);
    return still;
}

static void help_the_stuck(struct gw_pool *pool, struct worker *me, uint32_t op) {
    for (int i = 0; i < pool->n_active; i++) {
        struct worker *w = &pool->workers[i];
        if (atomic_load_explicit(&w->busy, memory_order_acquire) != op) continue;
        int here = sched_getcpu(), there = atomic_load_explicit(&w->cpu, memory_order_relaxed);
        if (here < 0 || there < 0 || here == there || !CPU_ISSET((unsigned)here, &w->mask) ||
            !CPU_ISSET((unsigned)there, &me->mask))
            continue;
        if (!seen_running(pool, w, op) && change_places(pool, me, w, op, here, there)) return;
    }
}

static void wait_for_end(struct gw_pool *pool, struct worker *me, uint32_t op) {
    static const struct timespec look = {0, LOOK_NS};
    if (spin_past(&pool->current, op, SPIN_NS)) return;
    do {
        if (me->placed) help_the_stuck(pool, me, op);
    } while (!sleep_past(&pool->current, op, me->placed ? &look : NULL));
}

/* --- what threads call ---------------------------------------------------------------------- */

static bool take_any(struct gw_pool *pool, int thread, size_t n_units, size_t *unit) {
    struct worker *me = &pool->workers[thread];
    if (take(pool, thread, false, me->op, n_units, unit)) return true;
    if (!steal(pool, me->op, n_units, unit)) return false;
    me->n_stolen++;
    return true;
}

/* Units are dealt out in ranges of one, or of as many as it takes to have few enough of them. */
bool gw_pool_next(struct gw_pool *pool, int thread, size_t n_units, size_t *unit) {
    struct worker *me = &pool->workers[thread];
    if (n_units == 0) return false;
    const size_t length = (n_units + MOST_RANGES - 1) / MOST_RANGES;
    const size_t n_ranges = (n_units + length - 1) / length;
    size_t range;
    if (me->at == me->end && take_any(pool, thread, n_ranges, &range)) {
        me->at = range * length;
        me->end = GW_MIN(me->at + length, n_units);
        if (me->n_taken++ == 0 && me->placed) {
            atomic_store_explicit(&me->cpu, sched_getcpu(), memory_order_relaxed);
            atomic_store_explicit(&me->busy, me->op, memory_order_release);
        }
    }
    if (me->at < me->end) {
        *unit = me->at++;
        return true;
    }
    if (me->n_taken > 0) {
        atomic_store_explicit(&me->busy, 0, memory_order_relaxed);
        report(pool, me->op, me->n_taken, n_ranges);
    }
    wait_for_end(pool, me, me->op);
    me->op++;
    me->n_taken = 0;
    return false;
}

void gw_pool_bind(struct gw_pool *pool, const struct gw_hw *hw, enum gw_bind bind) {
    pool->bound = true;
    for (int i = 0; i < pool->n_threads; i++)
        if (!gw_bind_mask(hw, bind, i, pool->n_threads, &pool->workers[i].mask))
            pool->bound = false;
}

/* --- runs ----------------------------------------------------------------------------------- */

/* Binds the calling thread, unless it cannot be found out how to undo that. */
static void place(struct worker *me) {
    me->tid = gettid();
    me->placed = pthread_getcpuclockid(pthread_self(), &me->clock) == 0 &&
                 sched_getaffinity(0, sizeof me->before, &me->before) == 0;
    if (me->placed && !CPU_EQUAL(&me->before, &me->mask))
        sched_setaffinity(0, sizeof me->mask, &me->mask);
}

static void work(struct gw_pool *pool, gw_pool_fn *fn, void *ctx, int thread, int n_threads) {
    struct worker *me = &pool->workers[thread];
    me->placed = false;
    if (pool->bound) place(me);
    fn(ctx, thread, n_threads);
    if (!pool->bound) return;
    /* None gets back its own mask while another one may still be moving it. */
    gw_pool_barrier(pool);
    if (me->placed) sched_setaffinity(0, sizeof me->before, &me->before);
}

#ifdef GW_POOL_PTHREADS

/* The threads of one run wait until it is known how many there are. */
struct crew {
    struct gw_pool *pool;
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
    while ((n = atomic_load(&s->crew->n_threads)) == 0) futex_wait(&s->crew->n_threads, 0, NULL);
    work(s->crew->pool, s->crew->fn, s->crew->ctx, s->thread, (int)n);
    return NULL;
}

static void run_all(struct gw_pool *pool, gw_pool_fn *fn, void *ctx) {
    pthread_t ids[MOST_THREADS];
    struct start starts[MOST_THREADS];
    struct crew crew = {.pool = pool, .fn = fn, .ctx = ctx};
    int n = 1;
    for (; n < pool->n_threads; n++) {
        starts[n] = (struct start){&crew, n};
        if (pthread_create(&ids[n], NULL, thread_main, &starts[n]) != 0) break;
    }
    begin_run(pool, n);
    atomic_store(&crew.n_threads, (unsigned)n);
    futex_wake_all(&crew.n_threads);
    work(pool, fn, ctx, 0, n);
    for (int i = 1; i < n; i++) pthread_join(ids[i], NULL);
}

#else

static void run_all(struct gw_pool *pool, gw_pool_fn *fn, void *ctx) {
    if (pool->n_threads == 1) {
        begin_run(pool, 1);
        work(pool, fn, ctx, 0, 1);
        return;
    }
#pragma omp parallel num_threads(pool->n_threads)
    {
        /* OpenMP may give fewer threads than asked for (OMP_THREAD_LIMIT). */
        int n = omp_get_num_threads();
#pragma omp single
        begin_run(pool, n);
        work(pool, fn, ctx, omp_get_thread_num(), n);
    }
}

#endif

void gw_pool_run(struct gw_pool *pool, gw_pool_fn *fn, void *ctx) {
    atomic_store(&pool->running, true);
    run_all(pool, fn, ctx);
    atomic_store(&pool->running, false);
}

enum gwen_status gw_pool_check_free(struct gw_pool *pool, struct gwen_err *err) {
    if (!atomic_load(&pool->running)) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_INTERNAL, "thread pool: a run within a run");
}

/* pool.h - the thread pool: one parallel region per long call, our own barrier inside.
 *
 * gw_pool_run() opens one OpenMP parallel region in which every thread runs the same function
 * (SPMD); inside it threads meet at gw_pool_barrier(), never at libgomp's: libgomp's spins for
 * hundreds of thousands of rounds, which is ruinous as soon as another process holds one of
 * the cores.  Ours spins for at most about 50 us and then sleeps in the kernel.
 *
 * With -DGW_POOL_PTHREADS the region is made of plain threads instead, so that thread
 * sanitizers, which know nothing of libgomp, see every hand-over. */
#ifndef GW_POOL_H
#define GW_POOL_H

#include "base/hw/affinity.h"

struct gw_pool;

/* What each thread runs: its index and how many there are (may be fewer than asked for). */
typedef void gw_pool_fn(void *ctx, int thread, int n_threads);

/* A pool for n_threads >= 1 threads.  The caller's thread is thread 0 of every run. */
enum gwen_status gw_pool_create(int n_threads, struct gw_pool **out, struct gwen_err *err);
void gw_pool_free(struct gw_pool *pool);
int gw_pool_threads(const struct gw_pool *pool);

/* Binds the threads during each later run, at whose end they get back what they had.  Threads that
 * are bound to the same processors also change places there: one that waits for a unit of another
 * whose processor was taken away gives it its own. */
void gw_pool_bind(struct gw_pool *pool, const struct gw_hw *hw, enum gw_bind bind);

/* Runs fn on all threads; returns when all have returned.  Must not be nested: threads
 * would wait for ever. */
void gw_pool_run(struct gw_pool *pool, gw_pool_fn *fn, void *ctx);
/* GWEN_ERR_INTERNAL during a run: for what may be called back from one by mistake. */
enum gwen_status gw_pool_check_free(struct gw_pool *pool, struct gwen_err *err);

/* Waits until every thread of the current run is here.  Everything written before it is seen
 * after it. */
void gw_pool_barrier(struct gw_pool *pool);

/* The units of one operation, dealt out to the threads of the current run:
 *
 *     for (size_t unit; gw_pool_next(pool, thread, n_units, &unit);) ...
 *
 * Every thread does this for the same operations in the same order, and takes n_units to be the
 * same.  First come the units of its own gw_pool_share(), ascending; then those that the thread
 * that is furthest behind has not come to, so that a thread whose core was taken away holds up the
 * others by no more than the unit it is at.  What a unit gives must not depend on who does it.
 *
 * False once all units are done, whoever did them; what they wrote is seen.  That is not a barrier
 * of the threads: one that comes late may find operations over and pass through them while others
 * are further on.  What operations only read may change after the next gw_pool_barrier(). */
bool gw_pool_next(struct gw_pool *pool, int thread, size_t n_units, size_t *unit);

/* Units that `thread` has taken from others' shares in the current run, or in the last one. */
size_t gw_pool_stolen(const struct gw_pool *pool, int thread);

/* How many times threads have changed places in the current run, or in the last one. */
size_t gw_pool_moves(const struct gw_pool *pool);

/* The part [*begin, *end) of n items that belongs to `thread`: contiguous, the same each time. */
static inline void gw_share(size_t n, int thread, int n_threads, size_t *begin, size_t *end) {
    *begin = n * (size_t)thread / (size_t)n_threads;
    *end = n * ((size_t)thread + 1) / (size_t)n_threads;
}
/* gw_share() among the threads of the current run. */
void gw_pool_share(const struct gw_pool *pool, int thread, size_t n, size_t *begin, size_t *end);

#endif

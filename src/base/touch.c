/* touch.c - see touch.h. */
#include "base/touch.h"

#include <stdatomic.h>

struct job {
    const struct gw_mem *m;
    size_t begin, end;
    struct gwen_err *err;
    atomic_int status;
};

static void region(void *ctx, int thread, int n_threads) {
    struct job *j = ctx;
    struct gwen_err err;
    size_t begin, end;
    int none = GWEN_OK;
    gw_share(j->end - j->begin, thread, n_threads, &begin, &end);
    const enum gwen_status status = gw_mem_touch(j->m, j->begin + begin, j->begin + end, &err);
    if (status != GWEN_OK && atomic_compare_exchange_strong(&j->status, &none, (int)status))
        gw_err_copy(j->err, &err);
}

enum gwen_status gw_touch(struct gw_pool *pool, const struct gw_mem *m, size_t begin, size_t end,
                          struct gwen_err *err) {
    struct job j = {.m = m, .begin = begin, .end = end, .err = err};
    atomic_store(&j.status, GWEN_OK);
    gw_pool_run(pool, region, &j);
    return (enum gwen_status)atomic_load(&j.status);
}

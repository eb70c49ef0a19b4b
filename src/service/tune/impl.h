/* impl.h - the tuning in progress: what its parts (curve.c, linear.c, train.c) share, and tune.c,
 * which drives them. */
#ifndef GW_SERVICE_TUNE_IMPL_H
#define GW_SERVICE_TUNE_IMPL_H

#include "service/tune/measure.h"
#include "service/tune/tune.h"

/* The work in progress. */
struct gw_tune {
    const struct gw_tune_opts *opts;
    struct gw_tune_result *result;
    struct gw_progress progress;
    struct gw_pool *pool;     /* of the chosen threads */
    struct gw_pool *own_pool; /* the same, when it is not the caller's; else NULL */
    size_t free_bytes;        /* of the budget, beside the weights */
};

/* Seconds left. */
double gw_tune_left(const struct gw_tune *t);
/* Reports progress; fails with GWEN_ERR_CANCELLED alone. */
enum gwen_status gw_tune_tick(struct gw_tune *t, struct gwen_err *err);
/* The model is so small that little time is enough to measure anything. */
bool gw_tune_is_small(const struct gw_tune *t);
/* Times that something which takes `once` seconds is to be repeated for one measurement. */
size_t gw_tune_repeat(const struct gw_tune *t, double once);

/* Chooses among opts->threads. */
enum gwen_status gw_tune_threads(struct gw_tune *t, struct gwen_err *err);
/* Chooses prefill rows, and measures the curve of steps of the given batch sizes (ascending; large
 * ones that bring nothing are left out) until it has taken `seconds`. */
enum gwen_status gw_tune_curve(struct gw_tune *t, const size_t *batches, size_t n, double seconds,
                               struct gwen_err *err);
/* Chooses how products of each range of rows are cut, for up to max_rows rows; takes about
 * `seconds`.  Sets the model's tuning. */
enum gwen_status gw_tune_linear(struct gw_tune *t, size_t max_rows, double seconds,
                                struct gwen_err *err);

#endif

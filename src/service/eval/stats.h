/* stats.h - figures of an evaluation and how sure they are.
 *
 * All draws are keyed by a seed: the same values give the same intervals and p-values, on any
 * machine. */
#ifndef GW_SERVICE_EVAL_STATS_H
#define GW_SERVICE_EVAL_STATS_H

#include "base/base.h"

enum { GW_BOOTSTRAP_RESAMPLES = 1000, GW_SIGN_FLIPS = 10000 };

/* The chance that of k samples drawn from n, `right` of which are right, one at least is right:
 * 1 - C(n - right, k) / C(n, k) (Chen et al. 2021, "Evaluating large language models trained on
 * code").  k <= n. */
double gw_pass_at_k(size_t n, size_t right, size_t k);

/* One value for each unit that was evaluated (a question, a window of text).  The figure is the sum
 * of values over the sum of weights. */
struct gw_eval_column {
    const double *values;  /* [n] */
    const double *weights; /* [n], >= 0; NULL: 1 each, so that the figure is the mean */
};

/* NaN when the weights add up to 0. */
double gw_eval_figure(const struct gw_eval_column *column, size_t n);

struct gw_interval {
    double lo, hi;
};

/* The middle 95 % of each column's figure over GW_BOOTSTRAP_RESAMPLES resamples of the n units with
 * replacement (Efron's percentile bootstrap), the same resamples for every column. */
enum gwen_status gw_bootstrap(const struct gw_eval_column *columns, size_t n_columns, size_t n,
                              uint64_t seed, struct gw_interval *out, struct gwen_err *err);

/* Two-sided p-value of differences[n] of pairs having mean 0: the share of assignments of signs
 * whose mean is as far from 0 or farther (Fisher's randomisation test).  All assignments where at
 * most 16 differences are not 0; else GW_SIGN_FLIPS random ones, counting the one that was seen. */
enum gwen_status gw_sign_flip_test(const double *differences, size_t n, uint64_t seed, double *p,
                                   struct gwen_err *err);

#endif

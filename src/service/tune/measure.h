/* measure.h - repeated measurements of a thing, and what they say about it and another one. */
#ifndef GW_SERVICE_TUNE_MEASURE_H
#define GW_SERVICE_TUNE_MEASURE_H

#include "base/base.h"

enum { GW_SERIES_MAX = 24 };

/* Repeated measurements of one thing, in seconds. */
struct gw_series {
    size_t n;
    double values[GW_SERIES_MAX];
};

/* Mean of values[n >= 1] and its standard error, which is infinite for a single one. */
double gw_tune_mean(const double *values, size_t n, double *error);

void gw_series_add(struct gw_series *s, double seconds);
/* Mean of the faster half (what disturbs a measurement only makes it slower). */
double gw_series_mean(const struct gw_series *s);
/* Standard error of that mean, relative to it; 1 with fewer than two values. */
double gw_series_noise(const struct gw_series *s);
/* How much longer b takes than a (0.05: 5 %): the mean of the pairs' ratios without a quarter at
 * either end, less 1.  *noise is its standard error. */
double gw_series_compare(const struct gw_series *a, const struct gw_series *b, double *noise);

#endif

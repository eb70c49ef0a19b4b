/* measure.c - see measure.h; and the time that a tuning has. */
#include "service/tune/impl.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>

static const size_t SMALL_MODEL = (size_t)64 << 20; /* bytes of weights */

/* --- series --------------------------------------------------------------------------------- */

void gw_series_add(struct gw_series *s, double seconds) {
    if (s->n < GW_SERIES_MAX) s->values[s->n++] = seconds;
}

static int ascending(const void *pa, const void *pb) {
    const double a = *(const double *)pa, b = *(const double *)pb;
    return (a > b) - (a < b);
}

double gw_tune_mean(const double *values, size_t n_values, double *error) {
    double sum = 0, square = 0;
    const double n = (double)n_values;
    for (size_t i = 0; i < n_values; i++) sum += values[i];
    for (size_t i = 0; i < n_values; i++) square += (values[i] - sum / n) * (values[i] - sum / n);
    *error = n > 1 ? sqrt(square / (n - 1) / n) : INFINITY;
    return sum / n;
}

static double series_mean(const struct gw_series *s, double *error) {
    double sorted[GW_SERIES_MAX];
    for (size_t i = 0; i < s->n; i++) sorted[i] = s->values[i];
    qsort(sorted, s->n, sizeof *sorted, ascending);
    return gw_tune_mean(sorted, s->n - s->n / 2, error);
}

double gw_series_mean(const struct gw_series *s) {
    double error;
    return series_mean(s, &error);
}

double gw_series_noise(const struct gw_series *s) {
    double error;
    if (s->n < 2) return 1;
    const double mean = series_mean(s, &error);
    return GW_MIN(error / mean, 1);
}

double gw_series_compare(const struct gw_series *a, const struct gw_series *b, double *noise) {
    double ratios[GW_SERIES_MAX];
    const size_t n = GW_MIN(a->n, b->n);
    *noise = 1;
    if (n < 2) return 0;
    for (size_t i = 0; i < n; i++) ratios[i] = b->values[i] / a->values[i];
    qsort(ratios, n, sizeof *ratios, ascending);
    return gw_tune_mean(ratios + n / 4, n - n / 4 - n / 4, noise) - 1;
}

/* --- time ----------------------------------------------------------------------------------- */

double gw_tune_left(const struct gw_tune *t) {
    return t->opts->seconds - gw_seconds_since(t->opts->start_ns);
}

enum gwen_status gw_tune_tick(struct gw_tune *t, struct gwen_err *err) {
    const double spent = gw_seconds_since(t->opts->start_ns);
    /* The bar is full when all is done, not when the time is up. */
    const double most = (double)t->progress.total - 1;
    return gw_progress_update(&t->progress, (uint64_t)GW_MAX(GW_MIN(spent, most), 0), err);
}

bool gw_tune_is_small(const struct gw_tune *t) {
    return t->opts->model->memory.bytes < SMALL_MODEL;
}

size_t gw_tune_repeat(const struct gw_tune *t, double once) {
    const double least = gw_tune_is_small(t) ? 1e-4 : 1e-3;
    return once < least ? (size_t)(least / GW_MAX(once, 1e-7)) + 1 : 1;
}

/* stats.c - see stats.h. */
#include "service/eval/stats.h"

#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EXACT_SIGNS = 16 };

double gw_pass_at_k(size_t n, size_t right, size_t k) {
    double none = 1;
    if (k > n - right) return 1; /* too few wrong ones to draw k of them */
    for (size_t i = n - right + 1; i <= n; i++) none *= 1 - (double)k / (double)i;
    return 1 - none;
}

double gw_eval_figure(const struct gw_eval_column *c, size_t n) {
    double sum = 0, weight = 0;
    for (size_t i = 0; i < n; i++) {
        sum += c->values[i];
        weight += c->weights != NULL ? c->weights[i] : 1;
    }
    return weight > 0 ? sum / weight : NAN;
}

/* --- bootstrap ------------------------------------------------------------------------------ */

static struct gw_rng draws(uint64_t seed, uint64_t step, const char *what) {
    const struct gw_rng_key key = {.seed = seed,
                                   .stream = GW_STREAM_EVAL,
                                   .step = step,
                                   .prompt_key = gw_hash64(what, strlen(what))};
    struct gw_rng rng;
    gw_rng_init(&rng, &key);
    return rng;
}

/* chosen[n]: how often each unit is in resample `step`. */
static void resample(uint64_t seed, uint64_t step, uint32_t *chosen, size_t n) {
    const struct gw_rng rng = draws(seed, step, "bootstrap");
    memset(chosen, 0, n * sizeof *chosen);
    for (size_t i = 0; i < n; i += 2) {
        uint32_t w[4];
        gw_rng_words(&rng, i, 0, w);
        chosen[(size_t)(gw_rng_to_double(w[0], w[1]) * (double)n)]++;
        if (i + 1 < n) chosen[(size_t)(gw_rng_to_double(w[2], w[3]) * (double)n)]++;
    }
}

static double resampled_figure(const struct gw_eval_column *c, const uint32_t *chosen, size_t n) {
    double sum = 0, weight = 0;
    for (size_t i = 0; i < n; i++) {
        sum += c->values[i] * (double)chosen[i];
        weight += (c->weights != NULL ? c->weights[i] : 1) * (double)chosen[i];
    }
    return weight > 0 ? sum / weight : NAN;
}

/* NaN (a resample without weight) last. */
static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y)) return (int)isnan(x) - (int)isnan(y);
    return x < y ? -1 : x > y;
}

enum gwen_status gw_bootstrap(const struct gw_eval_column *columns, size_t n_columns, size_t n,
                              uint64_t seed, struct gw_interval *out, struct gwen_err *err) {
    enum { N = GW_BOOTSTRAP_RESAMPLES, CUT = N / 40 };
    uint32_t *chosen = malloc(GW_MAX(n, (size_t)1) * sizeof *chosen);
    double *figures = malloc(GW_MAX(n_columns, (size_t)1) * N * sizeof *figures);
    if (chosen == NULL || figures == NULL) {
        free(chosen);
        free(figures);
        return gw_nomem(err, n * sizeof *chosen, "a bootstrap");
    }
    for (size_t b = 0; b < N; b++) {
        resample(seed, b, chosen, n);
        for (size_t c = 0; c < n_columns; c++)
            figures[c * N + b] = resampled_figure(&columns[c], chosen, n);
    }
    for (size_t c = 0; c < n_columns; c++) {
        qsort(figures + c * N, N, sizeof *figures, by_value);
        out[c] = (struct gw_interval){figures[c * N + CUT], figures[c * N + N - 1 - CUT]};
    }
    free(chosen);
    free(figures);
    return GWEN_OK;
}

/* --- the sign-flip test --------------------------------------------------------------------- */

/* Sums that differ by rounding only are as far. */
static bool as_far(double sum, double seen, double scale) {
    return fabs(sum) >= fabs(seen) - 1e-9 * scale;
}

static double exact_p(const double *d, size_t n, double seen, double scale) {
    size_t far = 0;
    for (size_t signs = 0; signs < (size_t)1 << n; signs++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++) sum += signs >> i & 1 ? -d[i] : d[i];
        far += as_far(sum, seen, scale);
    }
    return (double)far / (double)((size_t)1 << n);
}

static double random_p(const double *d, size_t n, uint64_t seed, double seen, double scale) {
    size_t far = 1;
    for (size_t flip = 0; flip < GW_SIGN_FLIPS; flip++) {
        const struct gw_rng rng = draws(seed, flip, "signs");
        uint32_t w[4] = {0};
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            if (i % 128 == 0) gw_rng_words(&rng, i, 0, w);
            sum += w[i / 32 % 4] >> i % 32 & 1 ? -d[i] : d[i];
        }
        far += as_far(sum, seen, scale);
    }
    return (double)far / (double)(GW_SIGN_FLIPS + 1);
}

enum gwen_status gw_sign_flip_test(const double *differences, size_t n, uint64_t seed, double *p,
                                   struct gwen_err *err) {
    double *d = malloc(GW_MAX(n, (size_t)1) * sizeof *d), seen = 0, scale = 0;
    size_t m = 0; /* those of 0 have no sign */
    if (d == NULL) return gw_nomem(err, n * sizeof *d, "a test of differences");
    for (size_t i = 0; i < n; i++) {
        if (differences[i] == 0) continue;
        d[m++] = differences[i];
        seen += differences[i];
        scale += fabs(differences[i]);
    }
    *p = m <= EXACT_SIGNS ? exact_p(d, m, seen, scale) : random_p(d, m, seed, seen, scale);
    free(d);
    return GWEN_OK;
}

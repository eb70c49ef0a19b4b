/* test_eval_stats.c - figures of an evaluation against what they are defined as. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "service/eval/stats.h"

static void near(double value, double wanted, double within) {
    if (!(fabs(value - wanted) <= within)) fail_msg("%.17g, not %.17g", value, wanted);
}

/* The share of the k-subsets of n samples, the first `right` of which are right, with a right one.
 */
static double pass_at_k_by_counting(size_t n, size_t right, size_t k) {
    size_t all = 0, with = 0;
    for (size_t set = 0; set < (size_t)1 << n; set++) {
        if ((size_t)__builtin_popcountll(set) != k) continue;
        all++;
        with += (set & (((size_t)1 << right) - 1)) != 0;
    }
    return (double)with / (double)all;
}

static void pass_at_k(void **state) {
    (void)state;
    for (size_t n = 1; n <= 8; n++)
        for (size_t right = 0; right <= n; right++)
            for (size_t k = 1; k <= n; k++)
                near(gw_pass_at_k(n, right, k), pass_at_k_by_counting(n, right, k), 1e-12);
    near(gw_pass_at_k(4000, 1, 1), 1.0 / 4000, 1e-12);
}

static void figures(void **state) {
    (void)state;
    const double values[] = {1, 0, 1, 6}, weights[] = {1, 1, 2, 4}, none[] = {0, 0, 0, 0};
    const struct gw_eval_column mean = {values, NULL}, ratio = {values, weights},
                                empty = {values, none};
    near(gw_eval_figure(&mean, 4), 2, 0);
    near(gw_eval_figure(&ratio, 4), 1, 0);
    assert_true(isnan(gw_eval_figure(&empty, 4)));
}

enum { N = 400 };

/* The interval of a share p of n is about p -+ 1.96 sqrt(p (1 - p) / n). */
static void bootstrap(void **state) {
    (void)state;
    double values[N], same[N], uneven[N];
    struct gw_interval a[3], b[3], other[3];
    struct gwen_err err;
    for (size_t i = 0; i < N; i++) {
        values[i] = i % 4 == 0;
        same[i] = 3;
        uneven[i] = sqrt((double)i);
    }
    const struct gw_eval_column columns[] = {{values, NULL}, {same, NULL}, {uneven, NULL}};
    assert_int_equal(gw_bootstrap(columns, 3, N, 7, a, &err), GWEN_OK);
    assert_int_equal(gw_bootstrap(columns, 3, N, 7, b, &err), GWEN_OK);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(gw_bootstrap(columns, 3, N, 8, other, &err), GWEN_OK);
    assert_memory_not_equal(&a[2], &other[2], sizeof a[2]);
    near(a[0].lo, 0.25 - 1.96 * sqrt(0.25 * 0.75 / N), 0.006);
    near(a[0].hi, 0.25 + 1.96 * sqrt(0.25 * 0.75 / N), 0.006);
    near(a[1].lo, 3, 0);
    near(a[1].hi, 3, 0);
}

static double p_value(const double *d, size_t n, uint64_t seed) {
    struct gwen_err err;
    double p = -1;
    assert_int_equal(gw_sign_flip_test(d, n, seed, &p, &err), GWEN_OK);
    return p;
}

static void sign_flips_of_few(void **state) {
    (void)state;
    const double same[] = {0, 0, 0}, up[] = {1, 0, 1, 1}, mixed[] = {1, -1, 1}, one[] = {-5};
    near(p_value(same, 3, 0), 1, 0);
    near(p_value(up, 4, 0), 2.0 / 8, 0); /* all up or all down */
    near(p_value(mixed, 3, 0), 1, 0);    /* none is nearer to 0 than 1 */
    near(p_value(one, 1, 0), 1, 0);
    const double tenths[] = {0.1, 0.2, -0.3, 0.3}; /* 4 of 16 sums are nearer to 0 */
    near(p_value(tenths, 4, 0), 12.0 / 16, 0);
}

/* Random flips agree with all of them, as far as their number lets them. */
static void sign_flips_of_many(void **state) {
    (void)state;
    double d[40];
    for (size_t i = 0; i < 40; i++) d[i] = i < 25 ? 1 : -1;
    /* The sum is 10: binomially, P(|sum| >= 10) of 40 signs. */
    double p = 0, choose = pow(0.5, 40);
    for (int ups = 0; ups <= 40; ups++) {
        if (ups <= 15 || ups >= 25) p += choose;
        choose = choose * (40 - ups) / (ups + 1);
    }
    near(p_value(d, 40, 1), p, 0.02);
    near(p_value(d, 40, 1), p_value(d, 40, 1), 0);
    for (size_t i = 0; i < 40; i++) d[i] = 1;
    near(p_value(d, 40, 1), 1.0 / (GW_SIGN_FLIPS + 1), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pass_at_k),          cmocka_unit_test(figures),
        cmocka_unit_test(bootstrap),          cmocka_unit_test(sign_flips_of_few),
        cmocka_unit_test(sign_flips_of_many),
    };
    return cmocka_run_group_tests_name("eval_stats", tests, NULL, NULL);
}

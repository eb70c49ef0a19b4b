/* test_loss.c - advantages where rewards are missing, as TRL's nanmean and nanstd have it.  (Losses
 * and whole groups are held to TRL's own numbers by the golden tests.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "ops/loss.h"

enum { GROUP = 4 };

static void check(enum gw_advantage kind, const double *rewards, size_t n, const double *expected) {
    double advantages[3 * GROUP];
    struct gw_reward_stats stats;
    gw_loss_advantages(kind, rewards, n, GROUP, advantages, &stats);
    for (size_t i = 0; i < n; i++)
        if (!(fabs(advantages[i] - expected[i]) <= 1e-4))
            fail_msg("kind %d: advantage %zu is %g, not %g", (int)kind, i, advantages[i],
                     expected[i]);
    assert_true(isfinite(stats.mean) && isfinite(stats.std));
}

/* The numbers are TRL 1.16's, or follow from those that are there by hand. */
static void some_are_missing(void **state) {
    (void)state;
    static const double rewards[GROUP] = {1, NAN, 0.25, -2.5};
    const double mean = -1.25 / 3, std = sqrt(163.0 / 48) + 1e-4; /* of three */
    check(GW_ADVANTAGE_GROUP, rewards, GROUP, (double[]){0.7687, 0, 0.3618, -1.1305});
    check(GW_ADVANTAGE_NONE, rewards, GROUP, (double[]){1 - mean, 0, 0.25 - mean, -2.5 - mean});
    check(GW_ADVANTAGE_RLOO, rewards, GROUP,
          (double[]){1 - (0.25 - 2.5) / 2, 0, 0.25 - (1 - 2.5) / 2, -2.5 - 1.25 / 2});
    check(GW_ADVANTAGE_BATCH, rewards, GROUP,
          (double[]){(1 - mean) / std, 0, (0.25 - mean) / std, (-2.5 - mean) / std});
    check(GW_ADVANTAGE_REINFORCE_PP, rewards, GROUP,
          (double[]){(1 - mean) / std, 0, (0.25 - mean) / std, (-2.5 - mean) / std});
}

/* One that is there has nothing to be compared with; what other groups have is not changed. */
static void one_or_none(void **state) {
    (void)state;
    static const double rewards[3 * GROUP] = {NAN, 5,   NAN,    NAN, /**/ NAN, NAN,
                                              NAN, NAN, /**/ 1, 0,   0,        1};
    const double a = 0.5 / (0.57735 + 1e-4);
    check(GW_ADVANTAGE_GROUP, rewards, 3 * GROUP, (double[]){0, 0, 0, 0, 0, 0, 0, 0, a, -a, -a, a});
    check(GW_ADVANTAGE_NONE, rewards, 3 * GROUP,
          (double[]){0, 0, 0, 0, 0, 0, 0, 0, 0.5, -0.5, -0.5, 0.5});
    check(GW_ADVANTAGE_RLOO, rewards, 3 * GROUP,
          (double[]){0, 0, 0, 0, 0, 0, 0, 0, 2.0 / 3, -2.0 / 3, -2.0 / 3, 2.0 / 3});
}

static void what_is_flat(void **state) {
    (void)state;
    assert_true(gw_loss_is_flat((const double[]){2, 2, 2, 2}, GROUP));
    assert_true(gw_loss_is_flat((const double[]){2, NAN, NAN, 2}, GROUP));
    assert_true(gw_loss_is_flat((const double[]){NAN, NAN, NAN, 2}, GROUP));
    assert_true(gw_loss_is_flat((const double[]){NAN, NAN, NAN, NAN}, GROUP));
    assert_false(gw_loss_is_flat((const double[]){2, NAN, NAN, 1}, GROUP));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(some_are_missing),
        cmocka_unit_test(one_or_none),
        cmocka_unit_test(what_is_flat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

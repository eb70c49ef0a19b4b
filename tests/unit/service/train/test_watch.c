/* test_watch.c - each rule on a run that goes wrong in its way, and none on one that does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "service/train/watch.h"

struct run {
    struct gw_watch watch;
    struct gw_metrics metrics;
    struct gw_str said;
    uint64_t step;
    size_t told;
};

/* n steps in which one metric has a value. */
static void go(struct run *r, const char *name, double value, int n) {
    for (int i = 0; i < n; i++) {
        gw_metrics_clear(&r->metrics);
        gw_metrics_put(&r->metrics, name, value);
        r->told += gw_watch_step(&r->watch, ++r->step, &r->metrics, &r->said);
    }
}

static void done(struct run *r) {
    gw_metrics_free(&r->metrics);
    gw_str_free(&r->said);
}

/* `good` for 10 steps, then `bad`: one line that begins with `line`, after `until` bad steps. */
static void told(const char *name, double good, double bad, int until, bool collapsed,
                 const char *line) {
    struct run r = {0};
    go(&r, name, good, 10);
    assert_int_equal(r.told, 0);
    go(&r, name, bad, until - 1);
    if (r.told != 0) fail_msg("too early: %s", r.said.data);
    assert_false(gw_watch_collapsed(&r.watch));
    go(&r, name, bad, 1);
    assert_int_equal(r.told, 1);
    assert_int_equal(gw_watch_collapsed(&r.watch), collapsed);
    if (strncmp(r.said.data, line, strlen(line)) != 0) fail_msg("%s", r.said.data);
    assert_ptr_equal(strchr(r.said.data, '\n'), r.said.data + r.said.len - 1);
    go(&r, name, bad, 30); /* not again */
    assert_int_equal(r.told, 1);
    go(&r, name, good, 30); /* it is over ... */
    assert_int_equal(r.told, 1);
    assert_false(gw_watch_collapsed(&r.watch));
    go(&r, name, bad, 10); /* ... and back */
    assert_int_equal(r.told, 2);
    done(&r);
}

static void every_rule(void **state) {
    (void)state;
    told("frac_reward_zero_std", 0.5, 1, 7, false,
         "step 17: frac_reward_zero_std is 0.85 over 10 steps: most groups have equal rewards");
    told("reward_std", 0.5, 0, 10, true,
         "step 20: reward_std is 0 over 10 steps: every completion");
    told("entropy", 2, 0.1, 10, true,
         "step 20: entropy is 0.1 over 10 steps (at first 2): the policy");
    told("completions/mean_length", 100, 20, 10, true,
         "step 20: completions/mean_length is 20 over 10 steps (at first 100): completions");
    told("kl", 0.05, 4, 10, true,
         "step 20: kl is 4 over 10 steps (at first 0.05): the policy runs");
    told("grad_norm", 2, 0.001, 10, true,
         "step 20: grad_norm is 0.001 over 10 steps (at first 2): ");
    told("judge/neutral_share", 0.2, 1, 9, true,
         "step 19: judge/neutral_share is 0.92 over 10 steps: all grades converge to 3");
    told("judge/length_correlation", 0.1, 0.9, 7, false,
         "step 17: judge/length_correlation is 0.66 over 10 steps: the judge pays for long");
    told("judge/length_correlation", -0.1, -0.9, 7, false,
         "step 17: judge/length_correlation is -0.66 over 10 steps: the judge pays for short");
    told("judge/stock_phrase_share", 0.1, 0.8, 6, true,
         "step 16: judge/stock_phrase_share is 0.52 over 10 steps: most completions say");
    told("clip_ratio/region_mean", 0.1, 0.45, 6, false,
         "step 16: clip_ratio/region_mean is 0.31 over 10 steps: many tokens");
    told("completions/clipped_ratio", 0.1, 0.9, 6, false,
         "step 16: completions/clipped_ratio is 0.58 over 10 steps: most completions");
}

static void a_good_run_is_left_alone(void **state) {
    (void)state;
    struct run r = {0};
    for (int i = 0; i < 200; i++) {
        double t = i / 200.0;
        gw_metrics_clear(&r.metrics);
        gw_metrics_put(&r.metrics, "frac_reward_zero_std", 0.2 + 0.5 * t);
        gw_metrics_put(&r.metrics, "reward_std", 0.5 - 0.4 * t);
        gw_metrics_put(&r.metrics, "entropy", 2 - 1.5 * t);
        gw_metrics_put(&r.metrics, "completions/mean_length", 200 - 100 * t);
        gw_metrics_put(&r.metrics, "kl", i % 7 == 0 ? NAN : 0.001 + 0.9 * t); /* 900 times, small */
        gw_metrics_put(&r.metrics, "loss", 1e9);
        r.told += gw_watch_step(&r.watch, (uint64_t)i, &r.metrics, &r.said);
    }
    assert_int_equal(r.told, 0);
    assert_int_equal(r.said.len, 0);
    done(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule),
        cmocka_unit_test(a_good_run_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

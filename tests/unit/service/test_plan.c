/* test_plan.c - memory plans: sums, limits, advice. */
#include "service/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static struct gw_config config;

static struct gw_plan_options rollout(size_t slots, size_t max_new) {
    return (struct gw_plan_options){.cfg = &config,
                                    .format = GW_PANEL_BF16,
                                    .n_threads = 2,
                                    .kind = GW_PLAN_ROLLOUT,
                                    .engine = {.slots = slots,
                                               .prefill_rows = 64,
                                               .max_prompt = 100,
                                               .max_new = max_new,
                                               .max_group = 4}};
}

static size_t total(const struct gw_plan_options *o) {
    struct gw_plan p;
    gw_plan_make(o, &p);
    return p.total;
}

static void test_sums(void **state) {
    (void)state;
    struct gw_plan_options o = rollout(8, 100);
    struct gw_plan p, with_other;
    gw_plan_make(&o, &p);
    assert_int_equal(p.weights, gw_model_bytes(&config, GW_PANEL_BF16));
    assert_true(p.kv > 0 && p.scratch > 0);
    assert_int_equal(p.total, p.weights + p.kv + p.scratch + p.gradients + p.optimizer);
    o.other = 12345;
    gw_plan_make(&o, &with_other);
    assert_int_equal(with_other.total, p.total + 12345);
    o.other = SIZE_MAX;
    assert_int_equal(total(&o), SIZE_MAX);
    struct gw_plan_options weights = {.cfg = &config, .format = GW_PANEL_F32, .n_threads = 1};
    assert_int_equal(total(&weights), gw_model_bytes(&config, GW_PANEL_F32));
}

static void test_largest_is_exact(void **state) {
    (void)state;
    struct gw_plan_options o = rollout(1, 100);
    for (size_t slots = 1; slots < 40; slots += 6) {
        struct gw_plan_options at = rollout(slots, 100), next = rollout(slots + 1, 100);
        size_t budget = total(&at);
        assert_true(total(&next) > budget);
        assert_int_equal(gw_plan_largest(&o, GW_PLAN_SLOTS, 64, budget), slots);
        assert_int_equal(gw_plan_largest(&o, GW_PLAN_SLOTS, slots, SIZE_MAX), slots);
    }
    assert_int_equal(gw_plan_largest(&o, GW_PLAN_SLOTS, 64, 1000), 0);
    /* a knob of another plan */
    assert_int_equal(gw_plan_largest(&o, GW_PLAN_SCORE_BLOCKS, 64, SIZE_MAX), 0);
}

/* The options that the message names make the plan fit. */
static void test_advice(void **state) {
    (void)state;
    struct gw_plan_options o = rollout(32, 200), half = rollout(16, 200);
    struct gwen_err err;
    size_t budget = total(&half), batch, tokens;
    assert_int_equal(gw_plan_check(&o, total(&o), &err), GWEN_OK);
    assert_int_equal(gw_plan_check(&o, total(&o) - 1, &err), GWEN_ERR_NOMEM);
    assert_int_equal(gw_plan_check(&o, budget, &err), GWEN_ERR_NOMEM);
    const char *at = strstr(err.message, "lower batch_size to ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "lower batch_size to %zu or max_tokens to %zu", &batch, &tokens),
                     2);
    assert_int_equal(batch, 16);
    struct gw_plan_options shorter = rollout(32, tokens);
    assert_true(total(&shorter) <= budget && tokens < 200);
    assert_int_equal(gw_plan_check(&o, 1000, &err), GWEN_ERR_NOMEM);
    assert_non_null(strstr(err.message, "max_memory"));
}

/* When no option alone helps, two are named. */
static void test_advice_of_two(void **state) {
    (void)state;
    struct gw_plan_options o = rollout(64, 900), small = rollout(1, 200);
    struct gwen_err err;
    size_t budget = total(&small), tokens;
    assert_int_equal(gw_plan_largest(&o, GW_PLAN_SLOTS, 64, budget), 0);
    assert_int_equal(gw_plan_largest(&o, GW_PLAN_MAX_NEW, 900, budget), 0);
    assert_int_equal(gw_plan_check(&o, budget, &err), GWEN_ERR_NOMEM);
    const char *at = strstr(err.message, "lower batch_size to 1 and max_tokens to ");
    assert_non_null(at);
    assert_int_equal(sscanf(strstr(at, "max_tokens to "), "max_tokens to %zu", &tokens), 1);
    struct gw_plan_options advised = rollout(1, tokens), more = rollout(1, tokens + 1);
    assert_true(tokens >= 200 && total(&advised) <= budget && total(&more) > budget);
}

static void test_score(void **state) {
    (void)state;
    struct gw_plan_options o = {.cfg = &config,
                                .format = GW_PANEL_F32,
                                .n_threads = 2,
                                .kind = GW_PLAN_SCORE,
                                .scorer = {.rows = 256,
                                           .n_blocks = gw_kv_blocks_for(1000) + 1,
                                           .max_len = 1000,
                                           .temperature = 1}};
    struct gwen_err err;
    struct gw_plan_options shorter = o;
    shorter.scorer.max_len = 300;
    shorter.scorer.n_blocks = gw_kv_blocks_for(300) + 1;
    size_t budget = total(&shorter), longest;
    assert_int_equal(gw_plan_check(&o, budget, &err), GWEN_ERR_NOMEM);
    const char *at = strstr(err.message, "give no row more tokens than ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "give no row more tokens than %zu", &longest), 1);
    assert_true(longest >= 300 && longest < 1000);
    assert_int_equal(
        gw_plan_largest(&shorter, GW_PLAN_SCORE_BLOCKS, shorter.scorer.n_blocks, budget),
        shorter.scorer.n_blocks);
    /* float32 weights alone are too many, 16-bit ones are not */
    struct gw_plan_options weights = {.cfg = &config, .format = GW_PANEL_F32, .n_threads = 2};
    assert_int_equal(gw_plan_check(&weights, gw_model_bytes(&config, GW_PANEL_BF16), &err),
                     GWEN_ERR_NOMEM);
    assert_non_null(strstr(err.message, "dtype bf16"));
}

static void test_bytes(void **state) {
    (void)state;
    struct gw_str s = {0};
    gw_put_bytes(&s, (size_t)9771050598); /* 9.1 GiB */
    gw_str_putc(&s, ' ');
    gw_put_bytes(&s, (size_t)350 << 20);
    gw_str_putc(&s, ' ');
    gw_put_bytes(&s, 12 << 10);
    assert_string_equal(s.data, "9.1 GiB 350 MiB 12 KiB");
    gw_str_free(&s);
}

int main(void) {
    struct gwen_err err;
    if (gw_config_preset("tiny", &config, &err) != GWEN_OK) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),   cmocka_unit_test(test_largest_is_exact),
        cmocka_unit_test(test_advice), cmocka_unit_test(test_advice_of_two),
        cmocka_unit_test(test_score),  cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

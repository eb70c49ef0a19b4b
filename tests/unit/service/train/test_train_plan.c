/* test_train_plan.c - how training is cut to fit into memory. */
#include "base/knob.h"
#include "service/train/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static struct gw_config config;

static struct gw_plan_options base(void) {
    return (struct gw_plan_options){
        .cfg = &config, .format = GW_PANEL_BF16, .n_threads = 2, .kind = GW_PLAN_TRAIN};
}

static const struct gw_train_work WORK = {
    .samples = 16, .max_len = 150, .max_prompt = 100, .group = 4, .temperature = 1};

static enum gwen_status make(struct gw_train_cut cut, size_t budget, bool bf16,
                             struct gw_plan_options *o, struct gwen_err *err) {
    *o = base();
    o->optimizer_bf16 = bf16;
    return gw_train_plan(&cut, &WORK, budget, o, err);
}

static size_t total(const struct gw_plan_options *o) {
    struct gw_plan plan;
    gw_plan_make(o, &plan);
    return plan.total;
}

static void test_rows(void **state) {
    static const struct {
        size_t micro_batch, rows;
    } cases[] = {{1, 150}, {2, 200}, {4, 300}, {5, 450}, {16, 1200}, {100, 1200}};
    struct gw_plan_options o;
    struct gwen_err err;
    (void)state;
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        const struct gw_train_cut cut = {.micro_batch = cases[i].micro_batch,
                                         .recompute = GW_RECOMPUTE_AUTO};
        assert_int_equal(make(cut, SIZE_MAX, false, &o, &err), GWEN_OK);
        assert_int_equal(o.trainer.max_rows, cases[i].rows);
        assert_int_equal(o.trainer.micro_batch, GW_MIN(cases[i].micro_batch, (size_t)16));
        assert_int_equal(o.trainer.max_step_tokens, 1200);
        assert_int_equal(o.trainer.recompute, GW_RECOMPUTE_NONE);
    }
}

/* A step that takes a part of each group may meet every prompt, but none twice. */
static void test_parts(void **state) {
    static const struct {
        size_t prompts, samples, step_tokens;
    } cases[] = {{0, 8, 600}, {4, 8, 800}, {8, 8, 1200}, {9, 8, 1200}, {4, 2, 300}};
    struct gw_plan_options o;
    struct gwen_err err;
    (void)state;
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        const struct gw_train_cut cut = {.recompute = GW_RECOMPUTE_AUTO};
        struct gw_train_work work = WORK;
        work.samples = cases[i].samples;
        work.prompts = cases[i].prompts;
        o = base();
        assert_int_equal(gw_train_plan(&cut, &work, SIZE_MAX, &o, &err), GWEN_OK);
        assert_int_equal(o.trainer.max_step_tokens, cases[i].step_tokens);
    }
}

/* What was tuned is taken as far as it makes nothing be computed again. */
static void test_tuned(void **state) {
    const struct gw_train_cut cut = {.tuned = 8, .recompute = GW_RECOMPUTE_AUTO};
    struct gw_plan_options o;
    struct gwen_err err;
    (void)state;
    assert_int_equal(make(cut, SIZE_MAX, false, &o, &err), GWEN_OK);
    assert_int_equal(o.trainer.max_rows, 600);
    assert_int_equal(make(cut, total(&o) - 1, false, &o, &err), GWEN_OK);
    assert_int_equal(o.trainer.max_rows, 150);
    assert_int_equal(o.trainer.recompute, GW_RECOMPUTE_NONE);
    assert_int_equal(make(cut, total(&o) - 1, false, &o, &err), GWEN_OK);
    assert_int_equal(o.trainer.recompute, GW_RECOMPUTE_ATTN);
}

static void test_optimizer(void **state) {
    const struct gw_train_cut cut = {.recompute = GW_RECOMPUTE_LAYER, .micro_batch = 1};
    struct gw_plan_options wide, narrow, o;
    struct gwen_err err;
    (void)state;
    assert_int_equal(make(cut, SIZE_MAX, false, &wide, &err), GWEN_OK);
    assert_int_equal(make(cut, SIZE_MAX, true, &narrow, &err), GWEN_OK);
    /* 12 and 4 bytes of state. */
    const size_t saved = total(&wide) - total(&narrow), n = gw_params_floats(&config);
    assert_true(saved > 7 * n && saved <= 8 * n);
    assert_int_equal(make(cut, total(&narrow), true, &o, &err), GWEN_OK);
}

/* What a refusal names is what fits, each tried: an option alone, else two; the largest number. */
static void test_advice(void **state) {
    const struct gw_train_cut least = {.recompute = GW_RECOMPUTE_LAYER, .micro_batch = 1};
    const struct gw_train_cut wasteful = {.recompute = GW_RECOMPUTE_NONE, .micro_batch = 16};
    struct gw_plan_options wide, narrow, small, o;
    struct gwen_err err;
    size_t tokens;
    (void)state;
    assert_int_equal(make(least, SIZE_MAX, false, &wide, &err), GWEN_OK);
    assert_int_equal(make(least, SIZE_MAX, true, &narrow, &err), GWEN_OK);
    assert_true(total(&narrow) < total(&wide));
    /* enough for one or the other, and where nothing has to be lowered nothing but that is said */
    const size_t enough = total(&narrow) + total(&narrow) / 63 + 1; /* with advice's margin */
    assert_int_equal(make(least, enough, false, &o, &err), GWEN_ERR_NOMEM);
    assert_non_null(strstr(err.message, "available: use use_peft ("));
    assert_non_null(strstr(err.message, " or use the optimizer adamw-bf16 ("));
    assert_int_equal(err.knobs[0].knob, GW_KNOB_PEFT);
    assert_int_equal(err.knobs[1].knob, GW_KNOB_OPTIMIZER);
    /* less: it is not named */
    assert_int_equal(make(least, total(&narrow) - 1, false, &o, &err), GWEN_ERR_NOMEM);
    assert_null(strstr(err.message, "the optimizer"));
    /* what was asked for is too much, what is chosen would do */
    assert_int_equal(make(wasteful, SIZE_MAX, false, &o, &err), GWEN_OK);
    assert_int_equal(make(wasteful, total(&o) - 1, false, &o, &err), GWEN_ERR_NOMEM);
    assert_non_null(strstr(err.message, "available: leave recompute and micro_batch to auto ("));
    /* fewer tokens: with so many it fits, with one more it does not */
    struct gw_train_work work = WORK;
    const size_t budget = total(&wide) - 1, sure = budget - budget / 64;
    assert_int_equal(make(least, budget, false, &o, &err), GWEN_ERR_NOMEM);
    const char *at = strstr(err.message, "lower max_completion_length to ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "lower max_completion_length to %zu (", &tokens), 1);
    assert_true(tokens > 0 && tokens < 50);
    for (size_t more = 0; more < 2; more++) {
        work.max_len = work.max_prompt + tokens + more;
        small = base();
        assert_true(gw_train_fit(&least, &work, sure, &small) == (more == 0));
    }
    /* nothing helps */
    assert_int_equal(make(least, 1000, false, &o, &err), GWEN_ERR_NOMEM);
    assert_non_null(strstr(err.message, "available: use a smaller model, or more memory"));
    assert_int_equal(err.knobs[0].knob, GWEN_KNOB_MAX_MEMORY);
}

static int setup(void **state) {
    struct gwen_err err;
    (void)state;
    return gw_config_preset("tiny", &config, &err) == GWEN_OK ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),   cmocka_unit_test(test_parts),
        cmocka_unit_test(test_tuned),  cmocka_unit_test(test_optimizer),
        cmocka_unit_test(test_advice),
    };
    return cmocka_run_group_tests_name("train_plan", tests, setup, NULL);
}

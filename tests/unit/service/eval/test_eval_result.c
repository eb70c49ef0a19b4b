/* test_eval_result.c - rows of an evaluation's file: read, added up, compared, and refused where
 * they are not what they should be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "service/eval/result.h"
#include "unit/scratch.h"

static void near(double value, double wanted, double within) {
    if (!(fabs(value - wanted) <= within)) fail_msg("%.17g, not %.17g", value, wanted);
}

#define SAMPLE(p, s, tokens, finish, reward)                                                       \
    "{\"prompt_id\":" #p ",\"sample_id\":" #s ",\"ids\":[" tokens "],\"finish_reason\":\"" finish  \
    "\",\"meta\":{\"answer\":" #p "},\"greedy\":" #s ",\"reward\":" #reward                        \
    ",\"settings\":\"00000000000000ff\"}\n"
#define WINDOW(p, tokens, nll, bytes, words)                                                       \
    "{\"prompt_id\":" #p ",\"sample_id\":0,\"tokens\":" #tokens ",\"nll\":" #nll                   \
    ",\"bytes\":" #bytes ",\"words\":" #words ",\"settings\":\"01\"}\n"
#define QUESTION(p, acc, norm)                                                                     \
    "{\"prompt_id\":" #p ",\"sample_id\":0,\"answer\":1,\"acc\":" #acc ",\"acc_norm\":" #norm      \
    ",\"settings\":\"01\"}\n"

/* Two prompts, k = 2. */
static const char SAMPLES[] = SAMPLE(0, 0, "1,2", "stop", 1) SAMPLE(0, 1, "1", "stop", 0)
    SAMPLE(0, 2, "1,2,3", "length", 1) SAMPLE(1, 0, "5,6,7", "length", 0)
        SAMPLE(1, 1, "5", "stop", 0) SAMPLE(1, 2, "5,6", "stop", 0);

static struct gw_eval_result read_text(const char *text) {
    struct gw_eval_result r;
    struct gwen_err err;
    if (gw_eval_result_read(scratch_puts("rows", text), &r, &err) != GWEN_OK)
        fail_msg("%s", err.message);
    return r;
}

static void samples(void **state) {
    (void)state;
    struct gw_eval_result r = read_text(SAMPLES);
    struct gw_eval_summary s;
    struct gwen_err err;
    assert_int_equal(r.n, 2);
    assert_int_equal(r.k, 2);
    assert_int_equal(r.settings, 0xff);
    assert_int_equal(gw_eval_summarize(&r, 0, &s, &err), GWEN_OK);
    near(gw_eval_summary_get(&s, "accuracy"), 0.5, 0);
    near(gw_eval_summary_get(&s, "mean_at_k"), 0.25, 0);
    near(gw_eval_summary_get(&s, "pass_at_k"), 0.5, 0);
    assert_true(isnan(gw_eval_summary_get(&s, "perplexity")));
    near(gw_eval_pass_at(&r, 1), 0.25, 0);
    near(s.mean_tokens, 2, 0);
    assert_int_equal(s.least_tokens, 1);
    assert_int_equal(s.median_tokens, 2);
    assert_int_equal(s.most_tokens, 3);
    near(s.stopped, 4.0 / 6, 1e-15);
    gw_eval_result_free(&r);
}

static void summary_as_json(void **state) {
    (void)state;
    static const char *const numbers[] = {"accuracy",
                                          "mean_at_k",
                                          "pass_at_k",
                                          "eval_full/accuracy",
                                          "eval_full/accuracy/pass_at_1",
                                          "eval_full/mean_at_k",
                                          "time/eval_full/generate_s",
                                          "time/eval_full/score_s"};
    struct gw_eval_result r = read_text(SAMPLES);
    struct gw_eval_summary s;
    struct gw_str out = {0};
    struct gwen_err err;
    json_t *obj;
    assert_int_equal(gw_eval_summarize(&r, 0, &s, &err), GWEN_OK);
    gw_eval_put_summary(&out, "qa", "a \"model\"", &r, &s);
    assert_int_equal(gw_row_parse(out.data, out.len - 1, "summary", 1, &obj, &err), GWEN_OK);
    for (size_t i = 0; i < GW_ARRAY_LEN(numbers); i++)
        assert_true(json_is_number(json_object_get(obj, numbers[i])));
    assert_string_equal(json_string_value(json_object_get(obj, "model")), "a \"model\"");
    assert_int_equal(json_array_size(json_object_get(obj, "accuracy_ci95")), 2);
    assert_int_equal(json_object_size(json_object_get(obj, "pass_at")), 2);
    json_decref(obj);
    gw_str_free(&out);
    gw_eval_result_free(&r);
}

static void texts_and_choices(void **state) {
    (void)state;
    struct gw_eval_summary s;
    struct gwen_err err;
    struct gw_eval_result r = read_text(WINDOW(0, 4, 2.5, 0, 0) WINDOW(1, 1, 7.5, 20, 5));
    assert_int_equal(gw_eval_summarize(&r, 0, &s, &err), GWEN_OK);
    near(gw_eval_summary_get(&s, "perplexity"), exp(2), 1e-12);
    near(s.word_perplexity, exp(2), 1e-12);
    near(s.byte_perplexity, exp(0.5), 1e-12);
    near(s.bits_per_byte, 0.5 / log(2), 1e-12);
    gw_eval_result_free(&r);
    r = read_text(WINDOW(0, 4, 2.5, 0, 0)); /* cut off: its bytes are not known */
    assert_int_equal(gw_eval_summarize(&r, 0, &s, &err), GWEN_OK);
    assert_true(isnan(s.byte_perplexity));
    gw_eval_result_free(&r);
    r = read_text(QUESTION(0, 1, 0) QUESTION(1, 1, 1) QUESTION(2, 0, 1) QUESTION(3, 1, 0));
    assert_int_equal(gw_eval_summarize(&r, 0, &s, &err), GWEN_OK);
    near(gw_eval_summary_get(&s, "accuracy"), 0.75, 0);
    near(gw_eval_summary_get(&s, "acc_norm"), 0.5, 0);
    gw_eval_result_free(&r);
}

static void refused(const char *text, const char *message) {
    const char *path = scratch_puts("bad", text);
    struct gw_eval_result r;
    struct gwen_err err;
    assert_int_not_equal(gw_eval_result_read(path, &r, &err), GWEN_OK);
    assert_string_equal(err.message + strlen(path), message);
}

static void bad_files(void **state) {
    (void)state;
    refused("", ": holds no samples");
    refused("{}\n", ":1: is no row of an evaluation (see gwen-cpu eval -h)");
    refused(SAMPLE(1, 0, "1", "stop", 1), ":1: prompt 1, sample 0 is out of order");
    refused(SAMPLE(0, 0, "1", "stop", 1) SAMPLE(0, 0, "1", "stop", 1),
            ":2: prompt 0, sample 0 is out of order");
    refused(SAMPLE(0, 0, "1", "stop", 1) SAMPLE(0, 1, "1", "stop", 1) SAMPLE(1, 0, "1", "stop", 1),
            ": ends in the middle of prompt 1");
    refused(SAMPLE(0, 0, "1", "stop", 1) SAMPLE(1, 0, "1", "stop", 1) SAMPLE(1, 1, "1", "stop", 1),
            ":3: prompt 1, sample 1 is out of order");
    refused(WINDOW(0, 0, 2, 0, 0), ":1: \"tokens\": 0 is outside 1..4294967295");
    refused(WINDOW(0, 1, 2, 0, 0) QUESTION(1, 0, 0), ":2: is of another task than the first row");
    refused(WINDOW(0, 1, 2, 0, 0) "{\"prompt_id\":1,\"sample_id\":0,\"tokens\":1,\"nll\":1,"
                                  "\"bytes\":0,\"words\":0,\"settings\":\"02\"}",
            ":2: is of another evaluation than the first row");
}

/* --- comparison ----------------------------------------------------------------------------- */

static double number(const json_t *obj, const char *name) {
    const json_t *v = json_object_get(obj, name);
    assert_true(json_is_number(v));
    return json_number_value(v);
}

static void comparison(void **state) {
    (void)state;
    struct gw_eval_result a =
        read_text(QUESTION(0, 0, 0) QUESTION(1, 0, 1) QUESTION(2, 0, 1) QUESTION(3, 1, 1));
    struct gw_eval_result b =
        read_text(QUESTION(0, 1, 0) QUESTION(1, 1, 1) QUESTION(2, 1, 0) QUESTION(3, 1, 1));
    struct gw_str out = {0};
    struct gwen_err err;
    json_t *obj;
    assert_int_equal(gw_eval_compare(&a, "A", &b, "B", 0, &out, &err), GWEN_OK);
    assert_int_equal(gw_row_parse(out.data, out.len - 1, "difference", 1, &obj, &err), GWEN_OK);
    near(number(obj, "a"), 0.25, 0);
    near(number(obj, "b"), 1, 0);
    near(number(obj, "difference"), 0.75, 0);
    near(number(obj, "p_value"), 0.25, 0); /* 2 of 8 signs */
    near(number(obj, "b_greater"), 3, 0);
    const json_t *norm = json_object_get(json_object_get(obj, "metrics"), "acc_norm");
    near(number(norm, "difference"), -0.25, 0);
    near(number(norm, "p_value"), 1, 0);
    json_decref(obj);
    gw_str_free(&out);
    gw_eval_result_free(&a);
    gw_eval_result_free(&b);
}

static void not_comparable(const char *a_text, const char *b_text, const char *message) {
    struct gw_eval_result a = read_text(a_text), b = read_text(b_text);
    struct gw_str out = {0};
    struct gwen_err err;
    assert_int_not_equal(gw_eval_compare(&a, "A", &b, "B", 0, &out, &err), GWEN_OK);
    assert_string_equal(err.message, message);
    gw_str_free(&out);
    gw_eval_result_free(&a);
    gw_eval_result_free(&b);
}

static void bad_pairs(void **state) {
    (void)state;
    not_comparable(WINDOW(0, 1, 2, 3, 1), QUESTION(0, 0, 0), "A and B are of different tasks");
    not_comparable(QUESTION(0, 0, 0), QUESTION(0, 0, 0) QUESTION(1, 0, 0),
                   "A has 1 prompts and B 2: only answers to the same ones can be compared");
    not_comparable(WINDOW(0, 1, 2, 3, 1), WINDOW(0, 2, 2, 3, 1),
                   "prompt 0 is not the same in A and B: only answers to the same ones can be "
                   "compared");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples),   cmocka_unit_test(summary_as_json),
        cmocka_unit_test(bad_files), cmocka_unit_test(texts_and_choices),
        cmocka_unit_test(bad_pairs), cmocka_unit_test(comparison),
    };
    return cmocka_run_group_tests_name("eval_result", tests, scratch_setup, scratch_teardown);
}

/* test_reward.c - the built-in rewards, sets of them, nulls and weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "service/reward/reward.h"
#include "unit/scratch.h"

static struct gw_rewards *set_of(const char *spec) {
    struct gw_rewards *r;
    struct gwen_err err;
    assert_int_equal(gw_rewards_new(&r, &err), GWEN_OK);
    if (gw_rewards_add(r, spec, &err) != GWEN_OK) fail_msg("%s: %s", spec, err.message);
    return r;
}

/* The reward of one completion of n_ids tokens. */
static float score(const char *spec, const char *meta, const char *completion, size_t n_ids) {
    struct gw_rewards *r = set_of(spec);
    struct gwen_err err;
    int32_t *ids = calloc(n_ids + 1, sizeof *ids);
    const struct gw_reward_input in = {.prompt = "p",
                                       .prompt_len = 1,
                                       .completion = completion,
                                       .completion_len = strlen(completion),
                                       .ids = ids,
                                       .n = n_ids,
                                       .meta = meta,
                                       .meta_len = strlen(meta)};
    float value;
    if (gw_rewards_score(r, &in, 1, &value, &err) != GWEN_OK) fail_msg("%s", err.message);
    gw_rewards_free(r);
    free(ids);
    return value;
}

static void is(const char *spec, const char *meta, const char *completion, float expected) {
    float got = score(spec, meta, completion, 3);
    if (isnan(expected) ? isnan(got) : got == expected) return;
    fail_msg("%s, %s, \"%s\": %g instead of %g", spec, meta, completion, (double)got,
             (double)expected);
}

static void gsm8k_compares_numbers(void **state) {
    (void)state;
    static const struct {
        const char *answer, *completion;
        float expected;
    } cases[] = {
        {"9 * 2 = $<<9*2=18>>18.\\n#### 18", "She makes $18.", 1},
        {"#### 18", "16 - 3 - 4 = 9, 9 * 2 = 18", 1},
        {"#### 18", "18 is it, or 19", 0},
        {"#### 18", "19 #### 18 and then Question: 5", 1},
        {"#### 18", "18 ####", 0}, /* said to be the answer, but is none */
        {"#### 18", "no number", 0},
        {"#### 18", "", 0},
        {"#### 1,234,567", "1234567", 1},
        {"#### 1234567", "It is $1,234,567.00!", 1},
        {"#### 0.5", "half: .5", 1},
        {"#### 0.50", "00.5", 1},
        {"#### -3", "that is -3.", 1},
        {"#### -3", "that is $-3", 1},
        {"#### -3", "that is -$3.0", 1},
        {"#### -3", "that is \xE2\x88\x92\x33", 1},
        {"#### -3", "that is 3", 0},
        {"#### 3", "6-3", 1}, /* a subtraction, not a sign */
        {"#### 3", "(6)-3", 1},
        {"#### 0", "-0.00", 1},
        {"#### 10", "1, 2, 10", 1},
        {"#### 2345", "1,2345", 1}, /* no thousands */
        {"#### 12", "12345678901234567890", 0},
        {"#### 12345678901234567890", "12345678901234567891", 0},
        {"#### 12345678901234567890", "12,345,678,901,234,567,890", 1},
        {"#### 0.1", "0.10000000000000000001", 0},
        {"#### 15", "15%", 1},
        {"it is 7", "7", 1}, /* an answer without the mark */
        {"none", "7", NAN},
    };
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        char meta[200];
        snprintf(meta, sizeof meta, "{\"answer\":\"%s\"}", cases[i].answer);
        is("gsm8k", meta, cases[i].completion, cases[i].expected);
    }
    is("gsm8k", "{\"answer\":18}", "18.0", 1);
    is("gsm8k", "{\"answer\":2.5}", "2.50", 1);
    is("gsm8k", "{\"answer\":null,\"solution\":\"#### 4\"}", "4", 1);
    is("gsm8k", "{}", "4", NAN);
    is("gsm8k", "{\"answer\":[1]}", "1", NAN);
}

/* Every solution of the data set is worth 1 by its own answer, and 0 with another number. */
static void gsm8k_agrees_with_its_data(void **state) {
    (void)state;
    struct gw_str path = {0};
    struct gw_lines *lines;
    struct gw_line line;
    struct gwen_err err;
    bool more = true;
    const char *shared = getenv("GWEN_SHARED");
    if (gw_path_join(&path, shared != NULL ? shared : "../shared", "data/gsm8k/test.jsonl", &err) !=
            GWEN_OK ||
        !gw_file_exists(path.data)) {
        gw_str_free(&path);
        print_message("skip: the GSM8K data is not there\n");
        skip();
    }
    assert_int_equal(gw_lines_open(path.data, 1 << 20, &lines, &err), GWEN_OK);
    while (gw_lines_next(lines, &line, &more, &err) == GWEN_OK && more) {
        json_t *row;
        struct gw_str other = {0};
        assert_int_equal(gw_row_parse(line.text, line.len, "test", line.number, &row, &err),
                         GWEN_OK);
        const char *answer = json_string_value(json_object_get(row, "answer"));
        assert_true(score("gsm8k", line.text, answer, 1) == 1);
        gw_str_printf(&other, "%s1", answer); /* "... #### 181" */
        assert_true(score("gsm8k", line.text, other.data, 1) == 0);
        gw_str_free(&other);
        json_decref(row);
    }
    assert_int_equal(line.number, 1319);
    gw_lines_close(lines);
    gw_str_free(&path);
}

static void exact_and_formats(void **state) {
    (void)state;
    is("exact", "{\"answer\":\"46\"}", " 46\n", 1);
    is("exact", "{\"answer\":46}", "46", 1);
    is("exact", "{\"answer\":\" a b \"}", "a b", 1);
    is("exact", "{\"answer\":\"46\"}", "460", 0);
    is("exact", "{\"answer\":\"\"}", "  ", 1);
    is("exact", "{\"answer\":[\"x\",\"y\",3]}", "y", 1);
    is("exact", "{\"answer\":[\"x\",\"y\",3]}", "3", 1);
    is("exact", "{\"answer\":[\"x\",\"y\"]}", "z", 0);
    is("exact", "{\"answer\":[]}", "z", NAN);
    is("exact", "{\"answer\":true}", "true", NAN);
    is("exact", "{}", "z", NAN);

    is("think_format", "{}", "<think>\na\n</think>\nb", 1);
    is("think_format", "{}", "<think></think>", 1);
    is("think_format", "{}", "<think>\na", 0);
    is("think_format", "{}", " <think>a</think>", 0);
    is("think_format", "{}", "<think>a<think>b</think>", 0);
    is("think_format", "{}", "<think>a</think>b<think>", 0);
    is("think_format", "{}", "", 0);

    is("tags:think,answer", "{}", " <think>a</think>\n<answer>4</answer>\n", 1);
    is("tags:think,answer", "{}", "<think>a</think><answer>4</answer> more", 0);
    is("tags:think,answer", "{}", "<answer>4</answer><think>a</think>", 0);
    is("tags:think,answer", "{}", "<think>a<think>b</think><answer>4</answer>", 0);
    is("tags:think,answer", "{}", "<think>a</think><answer>4", 0);
    is("tags:answer", "{}", "<answer></answer>", 1);

    is("regex:^A.*z$", "{}", "A\nz", 1);
    is("regex:\\d{3}", "{}", "ab12", 0);
    is("regex:\xC3\xA9", "{}", "caf\xC3\xA9", 1);
    is("regex:(x+x+)+y", "{}", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 0);
}

static void lengths(void **state) {
    (void)state;
    assert_true(score("length:10", "{}", "", 10) == 1);
    assert_true(score("length:10", "{}", "", 5) == 0.5F);
    assert_true(score("length:10", "{}", "", 15) == 0.5F);
    assert_true(score("length:10", "{}", "", 0) == 0);
    assert_true(score("length:10", "{}", "", 50) == 0);
    assert_true(score("overlong:100,20", "{}", "", 80) == 0);
    assert_true(score("overlong:100,20", "{}", "", 90) == -0.5F);
    assert_true(score("overlong:100,20", "{}", "", 100) == -1);
    assert_true(score("overlong:100,20", "{}", "", 101) == -1);
}

static void countdown(void **state) {
    (void)state;
    static const struct {
        const char *completion;
        float expected;
    } cases[] = {
        {"<think>hm</think><answer>(8 - 6) * 3 * 4</answer>", 1},
        {"<answer>1</answer> no: <answer>4*3*(8-6)</answer>", 1},
        {"<answer>4*3*(8-6) = 24</answer>", 1},
        {"let me see\n4 \xC3\x97 3 * (8 \xE2\x88\x92 6) = 24\n", 1},
        {"8 / ((4 - 3) / (6 / 2))", 0}, /* 2 is not there */
        {"4*3*(8-6", 0},
        {"4*3*(8-6))", 0},
        {"4*3*2", 0},         /* not the numbers */
        {"4*3*(8-6)+8-8", 0}, /* too often */
        {"8*3*(4-6)*-1", 0},  /* 1 is not there */
        {"-(4*3*(6-8))", 1},  /* a sign is no number */
        {"6+8+4+3", 0},       /* 21 */
        {"8*6/(4-3)/2", 0},   /* numbers again */
        {"(8/4)*(6+6)", 0},   /* 6 twice, 3 not at all */
        {"4*6*(8-3)/0", 0},
        {"the answer is 24", 0},
        {"4**6", 0},
        {"4.0*3*(8-6)", 0},
        {"", 0},
    };
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++)
        is("countdown", "{\"nums\":[3,4,6,8],\"target\":24}", cases[i].completion,
           cases[i].expected);
    /* exact fractions on the way: 8 / (3 - 8 / 3) = 24 */
    is("countdown", "{\"nums\":[3,3,8,8],\"target\":24}", "8/(3-8/3)", 1);
    is("countdown", "{\"nums\":[3,3,8,8],\"target\":25}", "8/(3-8/3)", 0);
    is("countdown", "{\"numbers\":[7],\"target\":7}", "7", 1);
    is("countdown", "{\"nums\":[1,3],\"target\":0}", "1/3", 0);
    is("countdown", "{\"nums\":[9223372036854775807,2],\"target\":0}", "9223372036854775807*2", 0);
    is("countdown", "{\"nums\":[1.5],\"target\":0}", "1", NAN);
    is("countdown", "{\"nums\":[],\"target\":0}", "1", NAN);
    is("countdown", "{\"nums\":[1]}", "1", NAN);
    is("countdown", "{\"nums\":[-1],\"target\":1}", "1", NAN);
    /* nesting and length are bounded */
    char deep[20000];
    memset(deep, '(', sizeof deep);
    deep[3000] = 0;
    is("countdown", "{\"nums\":[1],\"target\":1}", deep, 0);
    memset(deep, '-', 3000);
    is("countdown", "{\"nums\":[1],\"target\":1}", deep, 0);
    memset(deep, ' ', sizeof deep);
    memcpy(deep + sizeof deep - 15, "<answer>1+1", 12);
    is("countdown", "{\"nums\":[1,1],\"target\":2}", deep, 1);
}

/* What a set refuses, in words. */
static void wrong_rewards_are_told(void **state) {
    (void)state;
    static const struct {
        const char *spec, *what;
    } cases[] = {
        {"gsm9k", "there is no reward \"gsm9k\"; there are gsm8k, exact, countdown"},
        {"", "there is no reward \"\""},
        {"gsm8k:3", "reward gsm8k takes no argument"},
        {"tags", "reward tags: expected tags:A,B,..."},
        {"tags:", "reward tags: expected at most 16 names"},
        {"tags:a,<b>", "not \"a,<b>\""},
        {"regex:(", "reward regex: the pattern is wrong at byte 1: missing closing parenthesis"},
        {"length:-3", "reward length: expected a number of tokens, not \"-3\""},
        {"length:0", "expected a number of tokens"},
        {"length:3x", "expected a number of tokens"},
        {"overlong:5", "expected two numbers of tokens MAX,CACHE"},
        {"overlong:5,6", "CACHE <= MAX"},
        {"overlong:5,0", "expected two numbers"},
    };
    struct gw_rewards *r;
    struct gwen_err err;
    assert_int_equal(gw_rewards_new(&r, &err), GWEN_OK);
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        assert_int_equal(gw_rewards_add(r, cases[i].spec, &err), GWEN_ERR_ARGUMENT);
        assert_int_equal(gw_rewards_add(r, cases[i].spec, NULL), GWEN_ERR_ARGUMENT);
        if (strstr(err.message, cases[i].what) == NULL) fail_msg("%s", err.message);
    }
    assert_int_equal(gw_rewards_count(r), 0);
    gw_rewards_free(r);
    gw_rewards_free(NULL);
    for (size_t i = 0; i < gw_reward_kind_count(); i++)
        assert_true(gw_reward_kind_at(i).name != NULL && gw_reward_kind_at(i).help != NULL);
}

static struct gw_reward_input row(const char *meta, const char *completion) {
    return (struct gw_reward_input){.prompt = "",
                                    .completion = completion,
                                    .completion_len = strlen(completion),
                                    .meta = meta,
                                    .meta_len = strlen(meta)};
}

static void sets_have_names_weights_and_nulls(void **state) {
    (void)state;
    struct gwen_err err;
    struct gw_rewards *r = set_of("exact");
    assert_int_equal(gw_rewards_add(r, "regex:a", &err), GWEN_OK);
    assert_int_equal(gw_rewards_add(r, "regex:b", &err), GWEN_OK);
    assert_int_equal(gw_rewards_add(r, "regex:c", &err), GWEN_OK);
    assert_int_equal(gw_rewards_count(r), 4);
    assert_string_equal(gw_rewards_name(r, 0), "exact");
    assert_string_equal(gw_rewards_name(r, 1), "regex");
    assert_string_equal(gw_rewards_name(r, 2), "regex_2");
    assert_string_equal(gw_rewards_name(r, 3), "regex_3");

    const double few[] = {1, 2}, bad[] = {1, 2, NAN, 1}, good[] = {1, 0.5, -2, 0.25};
    assert_int_equal(gw_rewards_set_weights(r, few, 2, &err), GWEN_ERR_ARGUMENT);
    assert_string_equal(err.message, "reward_weights has 2 numbers, but there are 4 rewards");
    assert_int_equal(gw_rewards_set_weights(r, bad, 4, &err), GWEN_ERR_ARGUMENT);
    assert_int_equal(gw_rewards_set_weights(r, good, 4, &err), GWEN_OK);

    const struct gw_reward_input in[] = {row("{\"answer\":\"ab\"}", "ab"), row("{}", "c"),
                                         row("{\"answer\":\"x\"}", "")};
    float scores[3][4], rewards[3];
    assert_int_equal(gw_rewards_score(r, in, 3, scores[0], &err), GWEN_OK);
    assert_true(scores[0][0] == 1 && scores[0][1] == 1 && scores[0][2] == 1 && scores[0][3] == 0);
    assert_true(isnan(scores[1][0]) && scores[1][1] == 0 && scores[1][3] == 1);
    gw_rewards_combine(r, scores[0], 3, rewards);
    assert_true(rewards[0] == 1 + 0.5F - 2);
    assert_true(rewards[1] == 0.25F);
    assert_true(rewards[2] == 0);
    for (int k = 0; k < 4; k++) scores[1][k] = NAN;
    gw_rewards_combine(r, scores[0], 3, rewards);
    assert_true(isnan(rewards[1])); /* none has anything to say: not 0 */

    bool applies;
    assert_int_equal(gw_rewards_applies(r, 0, "{\"answer\":\"x\"}", 14, &applies, &err), GWEN_OK);
    assert_true(applies);
    assert_int_equal(gw_rewards_applies(r, 0, "{}", 2, &applies, &err), GWEN_OK);
    assert_false(applies);
    assert_int_equal(gw_rewards_applies(r, 1, "{}", 2, &applies, &err), GWEN_OK);
    assert_true(applies);

    const struct gw_reward_input broken = row("[1]", "");
    assert_int_equal(gw_rewards_score(r, &broken, 1, scores[0], &err), GWEN_ERR_ARGUMENT);
    gw_rewards_free(r);
}

static void statistics_leave_nulls_out(void **state) {
    (void)state;
    const float v[] = {1, 9, NAN, 9, 2, 9, 6, 9};
    struct gw_moments s = gw_moments(v, 4, 2);
    assert_int_equal(s.count, 3);
    assert_true(s.mean == 3);
    assert_true(s.std == sqrt(7)); /* (4 + 1 + 9) / 2 */
    s = gw_moments(v, 1, 2);
    assert_true(s.count == 1 && s.mean == 1 && isnan(s.std));
    s = gw_moments(v + 2, 1, 1);
    assert_true(s.count == 0 && isnan(s.mean) && isnan(s.std));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gsm8k_compares_numbers),
        cmocka_unit_test(gsm8k_agrees_with_its_data),
        cmocka_unit_test(exact_and_formats),
        cmocka_unit_test(lengths),
        cmocka_unit_test(countdown),
        cmocka_unit_test(wrong_rewards_are_told),
        cmocka_unit_test(sets_have_names_weights_and_nulls),
        cmocka_unit_test(statistics_leave_nulls_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

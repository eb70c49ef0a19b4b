/* test_rubric.c - rubrics are read whole or refused in a line; grades are found in texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "service/judge/rubric.h"

static const char good[] =
    "{\"system\": \"Be fair.\", \"template\": \"{{prompt}{response}} {prompt}{x} {criterion}!\","
    "\"criteria\": [{\"name\": \"kind\", \"description\": \"Is it?\", \"weight\": 2,"
    "\"scale\": [1, 5]}, {\"name\": \"short\", \"scale\": \"1-5\"}]}";

static void texts_are_filled_in(void **state) {
    struct gw_rubric r;
    struct gwen_err err;
    struct gw_str out = {0};
    (void)state;
    if (gw_rubric_parse(good, strlen(good), "r", &r, &err) != GWEN_OK) fail_msg("%s", err.message);
    assert_int_equal(r.n, 2);
    assert_string_equal(r.system, "Be fair.");
    assert_true(r.criterion_last);
    /* What is filled in is not looked at again; NULs are text. */
    gw_rubric_put(&r, 0, "{response}", 10, "a\0{criterion}", 13, &out);
    static const char wanted[] = "{{response}a\0{criterion}} {response}{x} kind: Is it?!";
    assert_int_equal(out.len, sizeof wanted - 1);
    assert_memory_equal(out.data, wanted, out.len);
    gw_str_clear(&out);
    gw_rubric_put(&r, 1, "", 0, "", 0, &out);
    assert_string_equal(out.data, "{} {x} short!");
    gw_str_free(&out);
    const double grades[] = {5, 2};
    assert_true(gw_rubric_reward(&r, grades) == 2 * 1 - 0.5);
    gw_rubric_free(&r);
}

static void hashes_tell_rubrics_apart(void **state) {
    struct gw_rubric a, b;
    struct gwen_err err;
    char other[sizeof good];
    (void)state;
    assert_int_equal(gw_rubric_parse(good, strlen(good), "r", &a, &err), GWEN_OK);
    for (const char *word = "Be fair"; word != NULL; word = *word == '!' ? NULL : "!") {
        memcpy(other, good, sizeof good);
        *strstr(other, word) = 'X';
        assert_int_equal(gw_rubric_parse(other, strlen(other), "r", &b, &err), GWEN_OK);
        assert_true(a.hash != b.hash);
        gw_rubric_free(&b);
    }
    gw_rubric_free(&a);
}

static void refused(const char *text, const char *message) {
    struct gw_rubric r;
    struct gwen_err err;
    assert_int_not_equal(gw_rubric_parse(text, strlen(text), "r.json", &r, &err), GWEN_OK);
    if (strcmp(err.message, message) != 0) fail_msg("%s\nbut expected\n%s", err.message, message);
}

#define TEMPLATE "\"template\": \"{prompt}{response}{criterion}\""
static void bad_rubrics_are_refused(void **state) {
    (void)state;
    refused("[]", "r.json: a rubric is an object with \"template\" and \"criteria\"");
    refused("{\"criteria\": []}", "r.json: template: is missing, but needed");
    refused("{\"template\": 5}", "r.json: template: expected a string, not 5");
    refused("{\"template\": \"{prompt} {response}\"}", "r.json: template: {criterion} is missing");
    refused("{\"template\": \"{response} {criterion}\"}", "r.json: template: {prompt} is missing");
    refused("{\"template\": \"{prompt} {criterion} { response}\"}",
            "r.json: template: {response} is missing");
    refused("{\"templat\": 1}", "r.json: a rubric has nothing called \"templat\"");
    refused("{" TEMPLATE "}", "r.json: criteria: is missing, but needed");
    refused("{" TEMPLATE ", \"criteria\": []}",
            "r.json: criteria: expected 1 to 64 criteria, not 0");
    refused("{" TEMPLATE ", \"criteria\": [3]}",
            "r.json: criteria[0]: expected a criterion, an object");
    refused("{" TEMPLATE ", \"criteria\": [{}]}",
            "r.json: criteria[0].name: is missing, but needed");
    refused("{" TEMPLATE ", \"criteria\": [{\"name\": \"\"}]}",
            "r.json: criteria[0]: name: expected 1 to 64 bytes, not 0");
    refused("{" TEMPLATE ", \"criteria\": [{\"name\": \"a\"}, {\"name\": \"a\"}]}",
            "r.json: criteria[1]: name: there are two criteria \"a\"");
    refused("{" TEMPLATE ", \"criteria\": [{\"name\": \"a\", \"wieght\": 1}]}",
            "r.json: criteria[0]: a rubric has nothing called \"wieght\"");
    refused("{" TEMPLATE ", \"criteria\": [{\"name\": \"a\", \"scale\": [0, 10]}]}",
            "r.json: criteria[0].scale: grades are from 1 to 5: expected [1, 5]");
    refused("{" TEMPLATE ", \"criteria\": [{\"name\": \"a\", \"weight\": \"b\"}]}",
            "r.json: criteria[0].weight: expected a number, not \"b\"");
}

static void grades_are_found(void **state) {
    static const struct {
        const char *text;
        int grade;
    } cases[] = {{"4", 4},
                 {"", 0},
                 {"I say 2.", 2},
                 {"4/5", 5},
                 {"45", 0},
                 {"Grade: 3\n", 3},
                 {"a5 b", 0},
                 {"5th", 0},
                 {"1 2 3", 3},
                 {"0 6 7", 0},
                 {"4 10", 4},
                 {"_3_", 0},
                 {"(1)", 1},
                 {"4.5", 5},
                 {"-2-", 2},
                 {"3 x", 3},
                 {"\xe4\xb8\xad"
                  "4",
                  4}};
    (void)state;
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        int grade = gw_rubric_find_grade(cases[i].text, strlen(cases[i].text));
        if (grade != cases[i].grade) fail_msg("\"%s\": %d", cases[i].text, grade);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_filled_in),
        cmocka_unit_test(hashes_tell_rubrics_apart),
        cmocka_unit_test(bad_rubrics_are_refused),
        cmocka_unit_test(grades_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

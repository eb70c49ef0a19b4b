/* test_json.c - the strict scan, nodes that know their path, rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "unit/scratch.h"

static enum gwen_status parse(const char *text, struct gw_json_doc *doc, struct gwen_err *err) {
    /* exactly as long as the text, so that sanitizers see a read beyond it */
    size_t len = strlen(text);
    char *copy = malloc(len > 0 ? len : 1);
    memcpy(copy, text, len);
    enum gwen_status status = gw_json_parse(copy, len, "f.json", doc, err);
    free(copy);
    return status;
}

static void accepts(void **state) {
    (void)state;
    static const char *const texts[] = {"{}",
                                        "[]",
                                        "0",
                                        "-0",
                                        "-1.5e+3",
                                        "1E2",
                                        "\"\"",
                                        "true",
                                        " null ",
                                        "\xEF\xBB\xBF{\"a\":1}",
                                        "\r\n\t [1 , 2\n]",
                                        "\"\\u00e9\\ud83d\\ude00\\n\\/\"",
                                        "\"\xC3\xA9\xF0\x9F\x98\x80\"",
                                        "{\"a\":{\"a\":[{}]},\"b\":1}",
                                        "{\"\":1}",
                                        "123456789012345678901234567890"};
    for (size_t i = 0; i < GW_ARRAY_LEN(texts); i++) {
        struct gw_json_doc doc;
        struct gwen_err err = {0};
        assert_int_equal(parse(texts[i], &doc, &err), GWEN_OK);
        gw_json_free(&doc);
    }
}

static void refuses(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "f.json:1:1: expected a value, but the text ends"},
        {"\n  ", "f.json:2:3: expected a value, but the text ends"},
        {"{} x", "f.json:1:4: more text after the end of the JSON value"},
        {"{}{}", "f.json:1:3: more text after"},
        {"{\"a\":1,}", "f.json:1:8: expected a key in quotes"},
        {"{\"a\" 1}", "f.json:1:6: expected ':' after a key"},
        {"{a:1}", "f.json:1:2: expected a key in quotes"},
        {"{\"a\":1", "f.json:1:1: object without its closing '}'"},
        {"[1 2]", "f.json:1:4: expected ',' or ']'"},
        {"[1,", "f.json:1:4: expected a value, but the text ends"},
        {"[1", "f.json:1:1: array without its closing ']'"},
        {"[,]", "f.json:1:2: expected a value"},
        {"\"abc", "f.json:1:1: string without its closing quote"},
        {"\"abc\\", "f.json:1:5: the file ends inside a string"},
        {"\"\\x\"", "f.json:1:2: unknown escape"},
        {"\"\\u12g4\"", "f.json:1:2: \\u needs four hexadecimal digits"},
        {"\"\\u12", "f.json:1:2: \\u needs four hexadecimal digits"},
        {"\"\\u0000\"", "f.json:1:2: \\u0000 is not allowed"},
        {"\"\\ud800\"", "f.json:1:2: half of a surrogate pair"},
        {"\"\\ud800\\n\"", "f.json:1:2: half of a surrogate pair"},
        {"\"\\udc00\\ud800\"", "f.json:1:2: half of a surrogate pair"},
        {"\"\\ud800\\u0041\"", "f.json:1:2: half of a surrogate pair"},
        {"\"a\nb\"", "f.json:1:3: control character"},
        {"\"\xC0\x80\"", "f.json:1:2: the text is not UTF-8"},
        {"\"\xED\xA0\x80\"", "f.json:1:2: the text is not UTF-8"},
        {"\"\xC3", "f.json:1:2: the text is not UTF-8"},
        {"01", "f.json:1:1: a number must not start with 0"},
        {"-", "f.json:1:1: expected a digit after '-'"},
        {"1.", "f.json:1:3: expected a digit after the decimal point"},
        {"1e+", "f.json:1:4: expected a digit in the exponent"},
        {"+1", "f.json:1:1: expected a value"},
        {".5", "f.json:1:1: expected a value"},
        {"0x10", "f.json:1:2: more text after"},
        {"1234567890123456789012345678901234567890123456789012345678901",
         "f.json:1:1: a number of more than 60 characters"},
        {"{\"a\": NaN}", "f.json:1:7: NaN and Infinity are not JSON"},
        {"[Infinity]", "f.json:1:2: NaN and Infinity are not JSON"},
        {"{\"a\":\n-Infinity}", "f.json:2:1: Infinity is not JSON"},
        {"{\"a\": 1e999}", "f.json: a: number too large"},
        {"{\"a\":1,\"b\":{\"c\":1,\"d\":2,\"c\":3}}", "f.json: b.c: this key occurs twice"},
        {"{\"\\u0061\":1,\"a\":2}", "f.json: a: this key occurs twice"},
        {"True", "f.json:1:1: expected a value"},
        {"nul", "f.json:1:1: expected a value"},
        {"\xFF", "f.json:1:1: expected a value"},
    };
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct gw_json_doc doc;
        struct gwen_err err = {0};
        assert_int_equal(parse(cases[i].text, &doc, &err), GWEN_ERR_FORMAT);
        assert_int_equal(err.status, GWEN_ERR_FORMAT);
        if (strncmp(err.message, cases[i].message, strlen(cases[i].message)) != 0)
            fail_msg("%s\n  gives %s\n  not   %s", cases[i].text, err.message, cases[i].message);
        assert_null(doc.root);
    }
}

static void depth_is_bounded(void **state) {
    (void)state;
    char text[200000];
    struct gw_json_doc doc;
    struct gwen_err err;
    memset(text, '[', GW_JSON_MAX_DEPTH);
    memset(text + GW_JSON_MAX_DEPTH, ']', GW_JSON_MAX_DEPTH);
    text[2 * GW_JSON_MAX_DEPTH] = 0;
    assert_int_equal(parse(text, &doc, &err), GWEN_OK);
    gw_json_free(&doc);
    memset(text, '[', sizeof text - 1);
    text[sizeof text - 1] = 0;
    assert_int_equal(parse(text, &doc, &err), GWEN_ERR_FORMAT);
    assert_string_equal(err.message, "f.json:1:65: nested deeper than 64 levels");
}

static struct gw_json_doc doc;
static struct gw_json_node root;

static int setup_doc(void **state) {
    (void)state;
    struct gwen_err err;
    static const char text[] =
        "{\"i\": 9007199254740991, \"big\": 9007199254740993, \"neg\": -3, \"x\": 1.5,\n"
        " \"s\": \"h\\u00e9\", \"t\": true, \"n\": null, \"I\": 2,\n"
        " \"rope\": {\"theta\": \"x\", \"list\": [1, {\"deep\": [2, \"three\"]}], \"a b\": 1}}";
    if (parse(text, &doc, &err) != GWEN_OK) return 1;
    root = gw_json_root(&doc);
    return 0;
}

static int free_doc(void **state) {
    (void)state;
    gw_json_free(&doc);
    return 0;
}

static void getters(void **state) {
    (void)state;
    struct gwen_err err;
    int64_t i = 7;
    double x = 7;
    bool b = false;
    const char *s = NULL;
    size_t n = 0;
    struct gw_json_node v;
    assert_int_equal(gw_json_get_i64(root, "i", GW_JSON_REQUIRED, 0, INT64_MAX, &i, &err), GWEN_OK);
    assert_int_equal(i, 9007199254740991);
    assert_int_equal(gw_json_get_i64(root, "I", GW_JSON_REQUIRED, 0, 9, &i, &err), GWEN_OK);
    assert_int_equal(i, 2); /* names are case-sensitive */
    assert_int_equal(gw_json_get_i64(root, "absent", GW_JSON_OPTIONAL, 0, 9, &i, &err), GWEN_OK);
    assert_int_equal(gw_json_get_i64(root, "n", GW_JSON_OPTIONAL, 0, 9, &i, &err), GWEN_OK);
    assert_int_equal(i, 2);
    assert_int_equal(gw_json_get_size(root, "I", GW_JSON_REQUIRED, 1, SIZE_MAX, &n, &err), GWEN_OK);
    assert_int_equal(n, 2);
    assert_int_equal(gw_json_get_double(root, "x", GW_JSON_REQUIRED, 0, 2, &x, &err), GWEN_OK);
    assert_true(x == 1.5);
    assert_int_equal(gw_json_get_bool(root, "t", GW_JSON_REQUIRED, &b, &err), GWEN_OK);
    assert_true(b);
    assert_int_equal(gw_json_get_string(root, "s", GW_JSON_REQUIRED, &s, &err), GWEN_OK);
    assert_string_equal(s, "h\xC3\xA9");
    assert_int_equal(gw_json_get_object(root, "rope", GW_JSON_REQUIRED, &v, &err), GWEN_OK);
    assert_int_equal(gw_json_size(v), 3);
    assert_string_equal(gw_json_key(gw_json_first(v)), "theta");
    assert_int_equal(gw_json_get_array(v, "list", GW_JSON_REQUIRED, &v, &err), GWEN_OK);
    assert_int_equal(gw_json_size(v), 2);
    assert_int_equal(gw_json_get_array(root, "absent", GW_JSON_OPTIONAL, &v, &err), GWEN_OK);
    assert_null(v.v);
    assert_true(gw_json_find(root, "n", &v) && gw_json_is_null(v));
    assert_false(gw_json_has(root, "n"));
    assert_true(gw_json_has(root, "t"));
    assert_null(gw_json_first(v).v);
}

static void messages_name_the_path(void **state) {
    (void)state;
    struct gwen_err err;
    int64_t i;
    double x;
    bool b;
    const char *s;
    size_t n = 0;
    struct gw_json_node rope, list, deep;
    assert_int_equal(gw_json_get_i64(root, "big", GW_JSON_REQUIRED, 0, INT64_MAX, &i, &err),
                     GWEN_ERR_FORMAT);
    assert_string_equal(err.message, "f.json: big: expected an integer, not 9007199254740992");
    assert_int_equal(gw_json_get_i64(root, "x", GW_JSON_REQUIRED, 0, 9, &i, &err), GWEN_ERR_FORMAT);
    assert_string_equal(err.message, "f.json: x: expected an integer, not 1.5");
    gw_json_get_size(root, "neg", GW_JSON_REQUIRED, 1, 9, &n, &err);
    assert_string_equal(err.message, "f.json: neg: -3 is outside 1..9");
    gw_json_get_double(root, "x", GW_JSON_REQUIRED, 2, 3, &x, &err);
    assert_string_equal(err.message, "f.json: x: 1.5 is outside 2..3");
    gw_json_get_i64(root, "absent", GW_JSON_REQUIRED, 0, 9, &i, &err);
    assert_string_equal(err.message, "f.json: absent: is missing, but needed");
    gw_json_get_i64(root, "n", GW_JSON_REQUIRED, 0, 9, &i, &err);
    assert_string_equal(err.message, "f.json: n: is null, but needed");
    gw_json_get_bool(root, "s", GW_JSON_REQUIRED, &b, &err);
    assert_string_equal(err.message, "f.json: s: expected true or false, not \"h\xC3\xA9\"");
    gw_json_get_string(root, "t", GW_JSON_REQUIRED, &s, &err);
    assert_string_equal(err.message, "f.json: t: expected a string, not true");
    gw_json_get_object(root, "rope", GW_JSON_REQUIRED, &rope, &err);
    gw_json_get_double(rope, "theta", GW_JSON_REQUIRED, 0, 9, &x, &err);
    assert_string_equal(err.message, "f.json: rope.theta: expected a number, not \"x\"");
    gw_json_get_double(rope, "gone", GW_JSON_REQUIRED, 0, 9, &x, &err);
    assert_string_equal(err.message, "f.json: rope.gone: is missing, but needed");
    gw_json_get_bool(rope, "a b", GW_JSON_REQUIRED, &b, &err);
    assert_string_equal(err.message, "f.json: rope.\"a b\": expected true or false, not 1");
    gw_json_get_array(rope, "list", GW_JSON_REQUIRED, &list, &err);
    gw_json_get_array(gw_json_next(gw_json_first(list)), "deep", GW_JSON_REQUIRED, &deep, &err);
    gw_json_as_i64(gw_json_next(gw_json_first(deep)), 0, 9, &i, &err);
    assert_string_equal(err.message, "f.json: rope.list[1].deep[1]: expected an integer, not "
                                     "\"three\"");
    gw_json_get_object(list, "x", GW_JSON_OPTIONAL, &deep, &err);
    assert_string_equal(err.message, "f.json: rope.list: expected an object, not "
                                     "[1, {\"deep\": [2, \"three\"]}]");
    gw_json_fail(root, &err, GWEN_ERR_UNSUPPORTED, "no %d", 3);
    assert_string_equal(err.message, "f.json: no 3");
    assert_int_equal(err.status, GWEN_ERR_UNSUPPORTED);
}

/* Many keys: the check for duplicates must find one without comparing all pairs, and messages
 * about values stay short. */
static void many_keys(void **state) {
    (void)state;
    struct gw_str s = {0};
    struct gwen_err err;
    struct gw_json_doc d;
    gw_str_putc(&s, '{');
    for (int i = 0; i < 200000; i++) gw_str_printf(&s, "\"k%d\":%d,", i, i);
    gw_str_puts(&s, "\"k77777\":0}");
    assert_int_equal(gw_json_parse(s.data, s.len, "f.json", &d, &err), GWEN_ERR_FORMAT);
    assert_string_equal(err.message, "f.json: k77777: this key occurs twice");
    s.len -= strlen(",\"k77777\":0}");
    gw_str_putc(&s, '}');
    assert_int_equal(gw_json_parse(s.data, s.len, "f.json", &d, &err), GWEN_OK);
    char shown[32];
    gw_json_show(gw_json_root(&d), shown, sizeof shown);
    assert_string_equal(shown, "{\"k0\": 0, \"k1\": 1, \"k2\": 2, ...");
    gw_json_free(&d);
    gw_str_free(&s);
}

static void load(void **state) {
    (void)state;
    struct gw_json_doc d;
    struct gwen_err err;
    const char *path = scratch_puts("c.json", "{\"a\": [}");
    assert_int_equal(gw_json_load(path, 100, &d, &err), GWEN_ERR_FORMAT);
    assert_non_null(strstr(err.message, "c.json:1:8: expected a value"));
    assert_int_equal(gw_json_load(path, 3, &d, &err), GWEN_ERR_FORMAT);
    assert_int_equal(gw_json_load(scratch_path("none.json"), 3, &d, &err), GWEN_ERR_IO);
    assert_int_equal(gw_json_load(scratch_puts("e.json", ""), 3, &d, &err), GWEN_ERR_FORMAT);
}

/* --- rows ----------------------------------------------------------------------------------- */

static void rows(void **state) {
    (void)state;
    static const char text[] =
        "{\"text\": \"a\\u0000b\", \"id\": 9223372036854775807, \"ids\": [0, 5, 319], \"t\": true, "
        "\"x\": 0.1, \"none\": null, \"empty\": []}";
    struct gwen_err err;
    json_t *obj;
    assert_int_equal(gw_row_parse(text, sizeof text - 1, "in.jsonl", 12, &obj, &err), GWEN_OK);
    const struct gw_row row = {.obj = obj, .file = "in.jsonl", .line = 12};
    const char *s;
    size_t len;
    assert_int_equal(gw_row_string(&row, "text", GW_JSON_REQUIRED, &s, &len, &err), GWEN_OK);
    assert_int_equal(len, 3);
    assert_memory_equal(s, "a\0b", 3);
    int64_t i = 4;
    assert_int_equal(gw_row_i64(&row, "id", GW_JSON_REQUIRED, 0, INT64_MAX, &i, &err), GWEN_OK);
    assert_true(i == INT64_MAX);
    double x;
    assert_int_equal(gw_row_double(&row, "x", GW_JSON_REQUIRED, &x, &err), GWEN_OK);
    assert_true(x == 0.1);
    bool b = false;
    assert_int_equal(gw_row_bool(&row, "t", GW_JSON_REQUIRED, &b, &err), GWEN_OK);
    assert_true(b);
    int32_t *ids;
    size_t n;
    assert_int_equal(gw_row_ids(&row, "ids", GW_JSON_REQUIRED, 320, &ids, &n, &err), GWEN_OK);
    assert_int_equal(n, 3);
    assert_int_equal(ids[2], 319);
    free(ids);
    assert_int_equal(gw_row_ids(&row, "empty", GW_JSON_REQUIRED, 320, &ids, &n, &err), GWEN_OK);
    assert_int_equal(n, 0);
    assert_non_null(ids);
    free(ids);
    assert_int_equal(gw_row_ids(&row, "none", GW_JSON_OPTIONAL, 320, &ids, &n, &err), GWEN_OK);
    assert_null(ids);
    assert_int_equal(gw_row_ids(&row, "ids", GW_JSON_REQUIRED, 319, &ids, &n, &err),
                     GWEN_ERR_FORMAT);
    assert_string_equal(err.message, "in.jsonl:12: \"ids\"[2]: token id 319 is outside 0..318");
    assert_int_equal(gw_row_string(&row, "gone", GW_JSON_OPTIONAL, &s, &len, &err), GWEN_OK);
    assert_null(s);
    gw_row_string(&row, "gone", GW_JSON_REQUIRED, &s, &len, &err);
    assert_string_equal(err.message, "in.jsonl:12: \"gone\" is missing, but needed");
    gw_row_string(&row, "none", GW_JSON_REQUIRED, &s, &len, &err);
    assert_string_equal(err.message, "in.jsonl:12: \"none\" is null, but needed");
    gw_row_string(&row, "t", GW_JSON_REQUIRED, &s, &len, &err);
    assert_string_equal(err.message, "in.jsonl:12: \"t\": expected a string, not true or false");
    gw_row_i64(&row, "x", GW_JSON_REQUIRED, 0, 9, &i, &err);
    assert_string_equal(err.message, "in.jsonl:12: \"x\": expected an integer, not a number with "
                                     "a fraction or exponent");
    gw_row_i64(&row, "id", GW_JSON_REQUIRED, 0, 9, &i, &err);
    assert_string_equal(err.message, "in.jsonl:12: \"id\": 9223372036854775807 is outside 0..9");
    json_decref(obj);
}

static void row_errors(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "x.jsonl:3:1: "},
        {"[1]", "x.jsonl:3:1: expected a JSON object"},
        {"{\"a\":1} x", "x.jsonl:3:9: end of file expected near 'x'"},
        {"{\"a\":1,\"a\":2}", "x.jsonl:3:10: duplicate object key near '\"a\"'"},
        {"{\"a\": NaN}", "x.jsonl:3:9: NaN and Infinity are not JSON"},
        {"{\"a\": -Infinity}", "x.jsonl:3:7: NaN and Infinity are not JSON"},
        {"{\"a\": Infinity}", "x.jsonl:3:14: NaN and Infinity are not JSON"},
        {"{\"a\": 9223372036854775808}", "x.jsonl:3:25: too big integer"},
        {"{\"a\": \"\xFF\"}", "x.jsonl:3:"},
        {"{\"a\": \"b", "x.jsonl:3:8: premature end of input near '\"b'"},
        {"{\"a\": \"\001\"}", "x.jsonl:3:7: control character 0x1 near '\"'"},
    };
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct gwen_err err = {0};
        json_t *obj;
        assert_int_equal(
            gw_row_parse(cases[i].text, strlen(cases[i].text), "x.jsonl", 3, &obj, &err),
            GWEN_ERR_FORMAT);
        assert_null(obj);
        if (strncmp(err.message, cases[i].message, strlen(cases[i].message)) != 0)
            fail_msg("%s\n  gives %s\n  not   %s", cases[i].text, err.message, cases[i].message);
    }
}

static void bom_before_the_first_row(void **state) {
    (void)state;
    static const char text[] = "\xEF\xBB\xBF{}";
    struct gwen_err err;
    json_t *obj;
    assert_int_equal(gw_row_parse(text, 5, "x", 1, &obj, &err), GWEN_OK);
    json_decref(obj);
    assert_int_equal(gw_row_parse(text, 5, "x", 2, &obj, &err), GWEN_ERR_FORMAT);
}

static void put_row(void **state) {
    (void)state;
    static const char text[] =
        "{\"z\":1,\"a\":[0.1,1.0,-3e300,1e22,true,false,null,\"\\u0000\\\"\"],"
        "\"n\":{},\"e\":[],\"big\":-9223372036854775808,\"\\u00e9\":\"\\n\"}";
    static const char want[] = "{\"z\":1,\"a\":[0.1,1.0,-3e+300,1e+22,true,false,null,"
                               "\"\\u0000\\\"\"],\"n\":{},\"e\":[],\"big\":-9223372036854775808,"
                               "\"\xC3\xA9\":\"\\n\"}";
    struct gwen_err err;
    struct gw_str s = {0};
    json_t *obj;
    assert_int_equal(gw_row_parse(text, sizeof text - 1, "x", 1, &obj, &err), GWEN_OK);
    gw_str_put_row(&s, obj);
    json_decref(obj);
    assert_string_equal(s.data, want);
    assert_int_equal(gw_row_parse(s.data, s.len, "x", 1, &obj, &err), GWEN_OK);
    struct gw_str again = {0};
    gw_str_put_row(&again, obj);
    assert_string_equal(again.data, want);
    json_decref(obj);
    gw_str_free(&s);
    gw_str_free(&again);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts),
        cmocka_unit_test(refuses),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test_setup_teardown(getters, setup_doc, free_doc),
        cmocka_unit_test_setup_teardown(messages_name_the_path, setup_doc, free_doc),
        cmocka_unit_test(many_keys),
        cmocka_unit_test(load),
        cmocka_unit_test(rows),
        cmocka_unit_test(row_errors),
        cmocka_unit_test(bom_before_the_first_row),
        cmocka_unit_test(put_row),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

/* test_jinja.c - the Jinja interpreter against what jinja2 rendered, its messages and its limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja/jinja.h"
#include "unit/jinja_rows.h"

static const struct tm NOW = {
    .tm_year = 124, .tm_mon = 6, .tm_mday = 26, .tm_hour = 13, .tm_min = 5, .tm_sec = 9};

/* Parses and renders bytes that lie in a buffer of their own, so that sanitizers see a read beyond
 * its end. */
static enum gwen_status render_bytes(const char *src, size_t len, const json_t *vars,
                                     const struct gw_jinja_limits *limits, struct gw_str *out,
                                     struct gwen_err *err) {
    struct gw_jinja *t;
    char *copy = malloc(len > 0 ? len : 1);
    if (len > 0) memcpy(copy, src, len);
    enum gwen_status status = gw_jinja_parse(copy, len, "chat template", &t, err);
    free(copy);
    if (status != GWEN_OK) {
        assert_null(t);
        return status;
    }
    status = gw_jinja_render(t, vars, &NOW, limits, out, err);
    gw_jinja_free(t);
    return status;
}

/* The same of a string over no variables. */
static enum gwen_status render(const char *src, struct gw_str *out, struct gwen_err *err) {
    json_t *vars = json_object();
    enum gwen_status status = render_bytes(src, strlen(src), vars, NULL, out, err);
    json_decref(vars);
    return status;
}

static void gives(const char *src, const char *text) {
    struct gw_str out = {0};
    struct gwen_err err = {0};
    enum gwen_status status = render(src, &out, &err);
    if (status != GWEN_OK) fail_msg("%s: %s", src, err.message);
    assert_int_equal(out.len, strlen(text));
    if (out.len > 0) assert_memory_equal(out.data, text, out.len);
    gw_str_free(&out);
}

static void fails(const char *src, enum gwen_status wanted, const char *message) {
    struct gw_str out = {0};
    struct gwen_err err = {0};
    gw_str_puts(&out, "kept");
    enum gwen_status status = render(src, &out, &err);
    if (status != wanted || strcmp(err.message, message) != 0)
        fail_msg("%.60s: status %d, message \"%s\"", src, status, err.message);
    assert_int_equal(err.status, wanted);
    assert_string_equal(out.data, "kept");
    gw_str_free(&out);
}

/* --- fixtures ------------------------------------------------------------------------------- */

/* Variables by name, from the rows that define them. */
static bool run_row(json_t *row, void *ctx) {
    json_t *defined = ctx;
    const char *name = json_string_value(json_object_get(row, "define"));
    if (name != NULL) return json_object_set(defined, name, json_object_get(row, "value")) == 0;
    const json_t *template = json_object_get(row, "t");
    const json_t *vars = json_object_get(defined, json_string_value(json_object_get(row, "v")));
    struct gw_str out = {0};
    struct gwen_err err = {0};
    enum gwen_status status = render_bytes(json_string_value(template),
                                           json_string_length(template), vars, NULL, &out, &err);
    bool ok = jinja_row_matches(row, status, &out, &err);
    gw_str_free(&out);
    return ok;
}

static void run_fixture(const char *name, size_t least) {
    json_t *defined = json_object();
    jinja_rows(name, least, run_row, defined);
    json_decref(defined);
}

static void cases(void **state) {
    (void)state;
    run_fixture("cases.jsonl", 900);
}

static void random_templates(void **state) {
    (void)state;
    run_fixture("random.jsonl", 1000);
}

/* --- messages ------------------------------------------------------------------------------- */

static void messages(void **state) {
    (void)state;
    fails("a\n{% foo %}", GWEN_ERR_FORMAT, "chat template line 2: encountered unknown tag 'foo'");
    fails("a\n\n{% include 'x' %}", GWEN_ERR_UNSUPPORTED,
          "chat template line 3: the statement 'include' is not supported");
    fails("{{ 1|\nnope }}", GWEN_ERR_UNSUPPORTED, "chat template line 2: no filter named 'nope'");
    fails("{{ 1 is nope }}", GWEN_ERR_UNSUPPORTED, "chat template line 1: no test named 'nope'");
    fails("{{ 1|random }}", GWEN_ERR_UNSUPPORTED,
          "chat template line 1: the filter 'random' is not supported");
    fails("{# \n #}{% if 1 %}\n{{ 1|nope }}{% endif %}", GWEN_ERR_UNSUPPORTED,
          "chat template line 3: no filter named 'nope'");
    fails("{% if 1 %}", GWEN_ERR_FORMAT,
          "chat template line 1: unexpected end of template, expected 'elif' or 'else' or 'endif'");
    fails("{% for x in y %}\n{% endif %}", GWEN_ERR_FORMAT,
          "chat template line 2: encountered unknown tag 'endif'");
    fails("{{ (1 }}", GWEN_ERR_FORMAT, "chat template line 1: unexpected '}', expected ')'");
    fails("{{ 'a }}", GWEN_ERR_FORMAT, "chat template line 1: unexpected char '''");
    fails("\n{{ a.b }}", GWEN_ERR_ARGUMENT, "chat template line 2: 'a' is undefined");
    fails("{{ {}.a.b }}", GWEN_ERR_ARGUMENT,
          "chat template line 1: 'dict object' has no attribute 'a'");
    fails("{{ 'a' + 1 }}", GWEN_ERR_ARGUMENT,
          "chat template line 1: unsupported operand type(s) for +: 'str' and 'int'");
    fails("x\n{{- raise_exception('no\nway: ' ~ 1) }}", GWEN_ERR_ARGUMENT,
          "chat template line 2: no\\nway: 1");
    fails("{{ [].append(1) }}", GWEN_ERR_ARGUMENT,
          "chat template line 1: access to attribute 'append' of 'list' object is unsafe");
    fails("{{ 'a'.encode() }}", GWEN_ERR_UNSUPPORTED,
          "chat template line 1: 'encode' is not supported");
    fails("{{ 9223372036854775807 + 1 }}", GWEN_ERR_UNSUPPORTED,
          "chat template line 1: integers beyond 64 bits are not supported");
    fails("{{ 9223372036854775808 }}", GWEN_ERR_FORMAT,
          "chat template line 1: the number 9223372036854775808 is too large");
    fails("{% break %}", GWEN_ERR_FORMAT, "chat template line 1: 'break' outside of a loop");
    fails("a\n\xFF", GWEN_ERR_FORMAT, "chat template line 2: is not valid UTF-8");
    fails("{% macro m(a) %}{% endmacro %}{{ m(b=1) }}", GWEN_ERR_ARGUMENT,
          "chat template line 1: macro 'm' takes no keyword argument 'b'");
    fails("{{ 'x'|replace('a') }}", GWEN_ERR_ARGUMENT,
          "chat template line 1: replace() needs at least 2 arguments");
}

static void dates(void **state) {
    (void)state;
    gives("{{ strftime_now('%d %b %Y') }}", "26 Jul 2024");
    gives("{{ strftime_now('%A %j %H:%M:%S %p%%%z%Z%f') }}", "Friday 208 13:05:09 PM%000000");
    fails("{{ strftime_now('%s') }}", GWEN_ERR_UNSUPPORTED,
          "chat template line 1: %s in a date format is not supported");
}

static void strings_may_hold_nul(void **state) {
    (void)state;
    struct gw_str out = {0};
    struct gwen_err err = {0};
    json_t *vars = json_object();
    json_object_set_new(vars, "s", json_stringn("a\0b", 3));
    static const char src[] = "\0{{ s }}{{ s|length }}{{ '\\0' in s }}{{ s.split('\\0') }}";
    assert_int_equal(render_bytes(src, sizeof src - 1, vars, NULL, &out, &err), GWEN_OK);
    static const char wanted[] = "\0a\0b3True['a', 'b']";
    assert_int_equal(out.len, sizeof wanted - 1);
    assert_memory_equal(out.data, wanted, sizeof wanted - 1);
    gw_str_free(&out);
    json_decref(vars);
}

static void output_is_appended(void **state) {
    (void)state;
    struct gw_str out = {0};
    struct gwen_err err = {0};
    struct gw_jinja *t;
    json_t *vars = json_pack("{s:s}", "range", "mine");
    assert_int_equal(gw_jinja_parse("{{ range }};", 12, "t", &t, &err), GWEN_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(gw_jinja_render(t, vars, &NOW, NULL, &out, &err), GWEN_OK);
    assert_string_equal(out.data, "mine;mine;mine;");
    gw_jinja_free(t);
    gw_jinja_free(NULL);
    gw_str_free(&out);
    json_decref(vars);
}

/* --- limits --------------------------------------------------------------------------------- */

/* head, then `piece` n times, then tail. */
static char *repeated(const char *head, const char *piece, size_t n, const char *tail) {
    struct gw_str s = {0};
    gw_str_puts(&s, head);
    for (size_t i = 0; i < n; i++) gw_str_puts(&s, piece);
    gw_str_puts(&s, tail);
    assert_false(s.failed);
    return s.data;
}

static void nesting_is_bounded(void **state) {
    (void)state;
    static const struct {
        const char *head, *piece, *tail;
    } shapes[] = {{"{{ ", "(", "1"},
                  {"{{ ", "[", "1"},
                  {"{{ ", "{'a':", "1"},
                  {"{{ ", "not ", "1 }}"},
                  {"{{ ", "-", "1 }}"},
                  {"{{ 1", "+1", " }}"},
                  {"{{ 1", "|abs", " }}"},
                  {"{{ a", ".a", " }}"},
                  {"{{ a", "()", " }}"},
                  {"{{ a", "[0]", " }}"},
                  {"{{ 1", " and 1", "}}"},
                  {"{{ 1", "**1", " }}"},
                  {"", "{% if 1 %}", ""},
                  {"", "{% set a %}", ""},
                  {"", "{% filter upper %}", ""},
                  {"", "{% for i in l %}", ""},
                  {"", "{% macro m() %}", ""}};
    for (size_t i = 0; i < GW_ARRAY_LEN(shapes); i++) {
        char *src = repeated(shapes[i].head, shapes[i].piece, 30000, shapes[i].tail);
        struct gw_str out = {0};
        struct gwen_err err = {0};
        if (render(src, &out, &err) != GWEN_ERR_NOMEM ||
            strstr(err.message, "nested deeper") == NULL)
            fail_msg("%s: %s", shapes[i].piece, err.message);
        gw_str_free(&out);
        free(src);
    }
    char *flat = repeated("{{ 'a'", " ~ 'a'", 5000, " }}");
    struct gw_str out = {0};
    struct gwen_err err = {0};
    assert_int_equal(render(flat, &out, &err), GWEN_OK);
    assert_int_equal(out.len, 5001);
    gw_str_free(&out);
    free(flat);
}

static void recursion_is_bounded(void **state) {
    (void)state;
    static const char deep[] = "chat template line 1: nests or recurses too deeply";
    fails("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", GWEN_ERR_NOMEM, deep);
    fails("{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}", GWEN_ERR_NOMEM, deep);
    fails("{% set ns = namespace(a=[]) %}{% for i in range(9999) %}{% set ns.a = [ns.a] %}"
          "{% endfor %}{{ ns.a }}",
          GWEN_ERR_NOMEM, deep);
    fails("{% set ns = namespace(a=[]) %}{% for i in range(9999) %}{% set ns.a = [ns.a] %}"
          "{% endfor %}{{ ns.a|tojson }}",
          GWEN_ERR_NOMEM, deep);
    gives("{% macro m(n) %}{{ n if n < 2 else m(n - 1) }}{% endmacro %}{{ m(150) }}", "1");
    gives("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}",
          "<Namespace {'me': <Namespace {...}>}>");
}

static void data_depth_is_bounded(void **state) {
    (void)state;
    json_t *deep = json_array(), *vars = json_object();
    for (int i = 0; i < 1000; i++) {
        json_t *outer = json_array();
        json_array_append_new(outer, deep);
        deep = outer;
    }
    json_object_set_new(vars, "deep", deep);
    struct gw_str out = {0};
    struct gwen_err err = {0};
    assert_int_equal(render_bytes("{{ deep }}", 10, vars, NULL, &out, &err), GWEN_ERR_NOMEM);
    assert_non_null(strstr(err.message, "nested deeper than 400 levels"));
    /* What the template does not speak of is not looked at. */
    assert_int_equal(render_bytes("{{ keep }}", 10, vars, NULL, &out, &err), GWEN_OK);
    gw_str_free(&out);
    json_decref(vars);
}

static void steps_memory_and_output_are_bounded(void **state) {
    (void)state;
    static const struct {
        const char *src, *message;
    } hogs[] = {
        {"{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "steps"},
        {"{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(60) }}",
         ""},
        {"{% set s = 'ab' * 500000 %}{% for i in range(99999) %}{{ s.isalpha() }}{% endfor %}",
         "steps"},
        {"{% set s = ' ' * 900000 %}{% for i in range(99999) %}{{ s|trim }}{% endfor %}", "steps"},
        {"{% set s = 'a' * 900000 %}{% set t = 'a' * 900000 %}{% for i in range(99999) %}"
         "{% if s == t %}{% endif %}{% endfor %}",
         "steps"},
        {"{% set s = 'a' * 900000 %}{{ s.rfind('ab' ~ 'a' * 90000) }}", "steps"},
        {"{% set l = range(99999)|list %}{% for i in l %}{% if -1 in l %}{% endif %}{% endfor %}",
         "steps"},
        {"{{ 'a' * 1000000000000 }}", "memory"},
        {"{{ [1] * 1000000000000 }}", "memory"},
        {"{% set ns = namespace(s='aa') %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}"
         "{% endfor %}",
         "memory"},
        {"{{ [1]|batch(1000000000000, 0)|list }}", "memory"},
        {"{% for i in range(9999) %}{{ 'abcdefghij' * 100 }}{% endfor %}", "prints too much"},
        {"{% set x %}{% for i in range(9999) %}{{ 'abcdefghij' * 100 }}{% endfor %}{% endset %}",
         "prints too much"},
        {"{{ 'a'.center(1000000000) }}", "wider"},
        {"{{ '%1000000000d' % 1 }}", "wider"},
        {"{{ '{:1000000000}'.format(1) }}", "wider"},
        {"{{ [1]|tojson(indent=1000000000) }}", "indent"},
        {"{{ range(1000000000) }}", "Range too big"},
    };
    const struct gw_jinja_limits limits = {
        .steps = 1000000, .memory_bytes = 16 << 20, .output_bytes = 1 << 20};
    json_t *vars = json_object();
    for (size_t i = 0; i < GW_ARRAY_LEN(hogs); i++) {
        struct gw_str out = {0};
        struct gwen_err err = {0};
        enum gwen_status status =
            render_bytes(hogs[i].src, strlen(hogs[i].src), vars, &limits, &out, &err);
        if (status == GWEN_OK || strstr(err.message, hogs[i].message) == NULL)
            fail_msg("%s: status %d, message \"%s\"", hogs[i].src, status, err.message);
        gw_str_free(&out);
    }
    json_decref(vars);
}

/* Text that is built piece by piece takes memory in proportion to its length. */
static void growing_text_is_not_quadratic(void **state) {
    (void)state;
    static const char src[] = "{% set ns = namespace(s='') %}{% for i in range(20000) %}"
                              "{% set ns.s = ns.s + 'some words ' ~ i %}{% endfor %}"
                              "{{ ns.s|length }}";
    const struct gw_jinja_limits limits = {.memory_bytes = 8 << 20};
    json_t *vars = json_object();
    struct gw_str out = {0};
    struct gwen_err err = {0};
    if (render_bytes(src, sizeof src - 1, vars, &limits, &out, &err) != GWEN_OK)
        fail_msg("%s", err.message);
    assert_string_equal(out.data, "308890");
    gw_str_free(&out);
    json_decref(vars);
    /* A piece added to what was added to already does not change that. */
    gives("{% set a = 'x' * 300 + 'y' %}{% set b = a + '1' %}{% set c = a + '2' %}"
          "{{ (a|length, b[-2:], c[-2:], b[-3:], (b + '3')[-3:]) }}",
          "(301, 'y1', 'y2', 'xy1', 'y13')");
}

static void large_sources_are_refused(void **state) {
    (void)state;
    char *src = repeated("", "xxxxxxxxxxxxxxxx", (1 << 16) + 1, "");
    struct gw_str out = {0};
    struct gwen_err err = {0};
    assert_int_equal(render(src, &out, &err), GWEN_ERR_NOMEM);
    assert_string_equal(err.message, "chat template line 1: is larger than 1048576 bytes");
    src[1 << 20] = '\0';
    assert_int_equal(render(src, &out, &err), GWEN_OK);
    assert_int_equal(out.len, 1 << 20);
    gw_str_free(&out);
    free(src);
}

/* Renders, and writes the spans of the tags as "start-end start-end". */
static enum gwen_status spans_of(const char *src, char *shown, size_t size, struct gwen_err *err) {
    struct gw_jinja *t;
    struct gw_jinja_spans spans;
    struct gw_str out = {0};
    json_t *vars = json_object();
    shown[0] = '\0';
    assert_int_equal(gw_jinja_parse(src, strlen(src), "t", &t, err), GWEN_OK);
    assert_int_equal(gw_jinja_has_generation(t), strstr(src, "endgeneration") != NULL);
    enum gwen_status status = gw_jinja_render_spans(t, vars, &NOW, &out, &spans, err);
    for (size_t i = 0; i < spans.n; i++)
        snprintf(shown + strlen(shown), size - strlen(shown), "%s%zu-%zu", i > 0 ? " " : "",
                 spans.v[i].start, spans.v[i].end);
    if (status != GWEN_OK) assert_null(spans.v);
    free(spans.v);
    gw_str_free(&out);
    gw_jinja_free(t);
    json_decref(vars);
    return status;
}

/* What a {% generation %} writes is told in bytes; inside a macro as far as it is where
 * transformers looks for it, and never where something else stands. */
static void generation_spans(void **state) {
    (void)state;
    static const struct {
        const char *src, *spans;
    } cases[] = {
        {"no tags", ""},
        {"ab{% generation %}cd{% endgeneration %}ef", "2-4"},
        {"\xC3\xA4{%- generation -%} x {%- endgeneration -%}", "2-3"},
        {"{% for i in [1,2] %}u{% generation %}{{ i }}.{% endgeneration %}{% endfor %}", "1-3 4-6"},
        {"a{% generation %}{% endgeneration %}", "1-1"},
        {"{% macro m() %}{% generation %}x{% endgeneration %}y{% endmacro %}a{{ m() }}b", "1-2"},
        {"{% set s %}{% generation %}q{% endgeneration %}{% endset %}{{ s }}", "0-1"},
    };
    struct gwen_err err;
    char shown[100];
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        if (spans_of(cases[i].src, shown, sizeof shown, &err) != GWEN_OK)
            fail_msg("%s", err.message);
        assert_string_equal(shown, cases[i].spans);
    }
    static const char *const elsewhere[] = {
        "{% macro m() %}h{% generation %}x{% endgeneration %}{% endmacro %}a{{ m() }}b",
        "{% set s %}{% generation %}q{% endgeneration %}{% endset %}abc",
        "{% set s %}{% generation %}qqqqqq{% endgeneration %}{% endset %}q"};
    for (size_t i = 0; i < GW_ARRAY_LEN(elsewhere); i++) {
        assert_int_equal(spans_of(elsewhere[i], shown, sizeof shown, &err), GWEN_ERR_UNSUPPORTED);
        assert_non_null(strstr(err.message, "inside a macro or captured block"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases),
        cmocka_unit_test(random_templates),
        cmocka_unit_test(messages),
        cmocka_unit_test(dates),
        cmocka_unit_test(strings_may_hold_nul),
        cmocka_unit_test(output_is_appended),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(recursion_is_bounded),
        cmocka_unit_test(data_depth_is_bounded),
        cmocka_unit_test(steps_memory_and_output_are_bounded),
        cmocka_unit_test(growing_text_is_not_quadratic),
        cmocka_unit_test(large_sources_are_refused),
        cmocka_unit_test(generation_spans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

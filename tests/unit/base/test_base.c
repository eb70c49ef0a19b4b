/* test_base.c - error values, strings, log, clock and progress. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/clock.h"
#include "base/knob.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/shown.h"
#include "base/str.h"

static void version(void **state) {
    (void)state;
    int major, minor, patch, end = 0;
    assert_int_equal(sscanf(gwen_version(), "%d.%d.%d%n", &major, &minor, &patch, &end), 3);
    assert_int_equal(gwen_version()[end], '\0');
}

static void errors(void **state) {
    (void)state;
    struct gwen_err err = {0};
    assert_int_equal(gw_fail(&err, GWEN_ERR_FORMAT, "byte %d", 7), GWEN_ERR_FORMAT);
    assert_int_equal(gw_err_prefix(&err, GWEN_ERR_FORMAT, "%s", "a.json"), GWEN_ERR_FORMAT);
    assert_string_equal(err.message, "a.json: byte 7");
    assert_int_equal(gw_fail(NULL, GWEN_ERR_IO, "x"), GWEN_ERR_IO);
    /* what it gives does not depend on whether anyone wants the message */
    assert_int_equal(gw_err_prefix(NULL, GWEN_ERR_NUMERIC, "x"), GWEN_ERR_NUMERIC);
    assert_int_equal(gw_err_prefix(NULL, GWEN_OK, "x"), GWEN_OK);
    assert_int_equal(gw_err_prefix(&err, GWEN_OK, "x"), GWEN_OK);
    assert_string_equal(err.message, "a.json: byte 7");
    /* prefixes beyond the room cut the message, never the terminator */
    for (int i = 0; i < 600; i++) gw_err_prefix(&err, err.status, "%s", "prefix");
    assert_true(strlen(err.message) < sizeof err.message);
    assert_int_equal(gw_nomem(&err, 123, "a thing"), GWEN_ERR_NOMEM);
    assert_non_null(strstr(err.message, "123 bytes for a thing"));
}

static const char *as_option(void *ctx, unsigned knob) {
    ++*(int *)ctx; /* of a struct heard: its n */
    return knob == GWEN_KNOB_MAX_TOKENS ? "--max-tokens" : NULL;
}

/* A message is whole by itself, and says where what is to be turned stands in it. */
static void knobs(void **state) {
    (void)state;
    struct gwen_err err;
    char line[200];
    int calls = 0;
    memset(&err, 0xff, sizeof err); /* a caller's, not initialised */
    gw_fail(&err, GWEN_ERR_ARGUMENT, "too long: lower %s to %d or %s", gw_knob(GW_KNOB_MAX_TOKENS),
            7, gw_knob(GW_KNOB_BATCH_SIZE));
    assert_string_equal(err.message, "too long: lower max_tokens to 7 or batch_size");
    assert_int_equal(err.knobs[0].knob, GWEN_KNOB_MAX_TOKENS);
    assert_int_equal(err.knobs[1].knob, GWEN_KNOB_BATCH_SIZE);
    assert_int_equal(err.knobs[2].knob, GWEN_KNOB_NONE);
    gw_err_prefix(&err, err.status, "row %d (%s)", 12, gw_knob(GW_KNOB_DTYPE));
    assert_string_equal(err.message,
                        "row 12 (dtype): too long: lower max_tokens to 7 or batch_size");
    assert_int_equal(err.knobs[0].knob, GWEN_KNOB_DTYPE);
    assert_memory_equal(err.message + err.knobs[1].at, "max_tokens", 10);
    assert_memory_equal(err.message + err.knobs[2].at, "batch_size", 10);
    gw_knobs_spell(err.message, err.knobs, GWEN_ERR_KNOBS, as_option, &calls, line, sizeof line);
    assert_string_equal(line, "row 12 (dtype): too long: lower --max-tokens to 7 or batch_size");
    assert_int_equal(calls, 3);
    gw_knobs_spell(err.message, err.knobs, GWEN_ERR_KNOBS, as_option, &calls, line, 40);
    assert_string_equal(line, "row 12 (dtype): too long: lower --max-t");
    /* knobs that are not of this text leave it as it is */
    gw_knobs_spell("short", err.knobs, GWEN_ERR_KNOBS, as_option, &calls, line, sizeof line);
    assert_string_equal(line, "short");
    /* what the message has no room for is no knob of it; more than there is room for keep names */
    for (int i = 0; i < 200; i++) gw_err_prefix(&err, err.status, "a prefix");
    assert_int_equal(err.knobs[0].knob, GWEN_KNOB_NONE);
    const char *k = gw_knob(GW_KNOB_DTYPE);
    gw_fail(&err, GWEN_ERR_IO, "%s %s %s %s %s %s %s %s", k, k, k, k, k, k, k, k);
    assert_string_equal(err.message, "dtype dtype dtype dtype dtype dtype dtype dtype");
    assert_int_equal(err.knobs[GWEN_ERR_KNOBS - 1].at, 30);
    /* marks that somebody else's text has are left alone */
    gw_fail(&err, GWEN_ERR_IO, "%s", "\001nothing\002 \001");
    assert_string_equal(err.message, "\001nothing\002 \001");
    /* an error that is not wanted is no error of its own */
    struct gwen_err copy;
    assert_int_equal(gw_err_copy(&copy, &err), GWEN_ERR_IO);
    assert_string_equal(copy.message, err.message);
    assert_int_equal(gw_err_copy(NULL, &err), GWEN_ERR_IO);
    assert_string_equal(gw_err_message(NULL), "");
}

static void checked_sizes(void **state) {
    (void)state;
    size_t n;
    assert_true(gw_mul_size(1000, 1000, &n));
    assert_int_equal(n, 1000000);
    assert_false(gw_mul_size(SIZE_MAX / 2, 3, &n));
    assert_false(gw_add_size(SIZE_MAX, 1, &n));
    assert_int_equal(gw_round_up(17, 16), 32);
    assert_int_equal(gw_round_up(32, 16), 32);
}

static void strings(void **state) {
    (void)state;
    struct gw_str s = {0};
    gw_str_printf(&s, "%d-%s", 12, "ab");
    gw_str_putc(&s, '\0');
    gw_str_puts(&s, "z");
    assert_int_equal(s.len, 7);
    assert_memory_equal(s.data, "12-ab\0z", 8);
    gw_str_clear(&s);
    gw_str_put_json(&s, "a\"\\\n\x01\xff\xc3\xa9", 8);
    assert_false(s.failed);
    /* the ill-formed byte becomes U+FFFD, as UTF-8 or escaped */
    assert_non_null(strstr(s.data, "\\\"\\\\\\n\\u0001"));
    gw_str_clear(&s);
    gw_str_put_float(&s, NAN);
    assert_string_equal(s.data, "null");
    gw_str_clear(&s);
    gw_str_put_float(&s, 0.1f);
    assert_true(strtof(s.data, NULL) == 0.1f);
    const double reals[] = {0.1, 16, 1.0 / 3, 12.345678901234567, 5e-324};
    for (size_t i = 0; i < GW_ARRAY_LEN(reals); i++) {
        gw_str_clear(&s);
        gw_str_put_real(&s, reals[i]);
        assert_true(strtod(s.data, NULL) == reals[i]);
    }
    gw_str_clear(&s);
    gw_str_put_real(&s, 0.1);
    assert_string_equal(s.data, "0.1");
    assert_false(gw_str_reserve(&s, SIZE_MAX));
    assert_true(s.failed);
    gw_str_free(&s);
}

static void shown_as(const char *bytes, size_t len, unsigned how, const char *want) {
    struct gw_str s = {0};
    gw_str_put_shown(&s, bytes, len, how);
    assert_false(s.failed);
    assert_string_equal(s.data != NULL ? s.data : "", want);
    gw_str_free(&s);
}

/* Nothing that a terminal obeys gets through, however the text is cut. */
static void shown(void **state) {
    (void)state;
    static const char text[] =
        "a\x1b]0;t\a\xc2\x9b\x35m\xe2\x80\xae\xe2\x81\xa6\xd8\x9c\xe2\x80\xa8"
        "\xe2\x80\x8f\x7f\r\n\t\xc3\xa9\xe2\x80\x8d";
    shown_as(text, sizeof text - 1, GW_SHOWN_LINE,
             "a\\u001b]0;t\\u0007\\u009b5m\\u202e\\u2066\\u061c\\u2028\\u200f\\u007f\\u000d\\n\\t"
             "\xc3\xa9\xe2\x80\x8d");
    shown_as("a\n\tb\xe2\x80\x8d", 7, GW_SHOWN_LINES | GW_SHOWN_INVISIBLE, "a\n\tb\\u200d");
    shown_as("\xf3\xa0\x80\x81", 4, GW_SHOWN_INVISIBLE, "\\U000e0001");
    shown_as("\0x", 2, GW_SHOWN_LINES, "\\u0000x");
    shown_as("\x9b", 1, GW_SHOWN_LINES, "\\x9b");
    for (size_t cut = 0; cut < sizeof text; cut++) {
        struct gw_str s = {0};
        gw_str_put_shown(&s, text, cut, GW_SHOWN_LINE);
        gw_str_put_shown(&s, text + cut, sizeof text - 1 - cut, GW_SHOWN_LINE);
        assert_true(gw_utf8_is_valid(s.data, s.len));
        for (size_t i = 0, n; i < s.len; i += n) {
            uint32_t c;
            bool valid;
            n = gw_utf8_next(s.data + i, s.len - i, &c, &valid);
            assert_true((c >= 0x20 && c < 0x7F) || c == 0xE9 || c == 0x200D);
        }
        gw_str_free(&s);
    }
}

static void utf8(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t len, taken;
        uint32_t cp;
        bool valid;
    } cases[] = {
        {"A", 1, 1, 'A', true},
        {"\xc3\xa9", 2, 2, 0xe9, true},
        {"\xe2\x82\xac", 3, 3, 0x20ac, true},
        {"\xf0\x9f\x98\x80", 4, 4, 0x1f600, true},
        {"\x80", 1, 1, 0xfffd, false},
        {"\xc0\x80", 2, 1, 0xfffd, false},         /* overlong */
        {"\xe0\x80\x80", 3, 1, 0xfffd, false},     /* overlong */
        {"\xed\xa0\x80", 3, 1, 0xfffd, false},     /* surrogate */
        {"\xf4\x90\x80\x80", 4, 1, 0xfffd, false}, /* above U+10FFFF */
        {"\xe2\x82", 2, 2, 0xfffd, false},         /* cut: one maximal subpart */
        {"\xf0\x9f\x98z", 4, 3, 0xfffd, false},
        {"\xff", 1, 1, 0xfffd, false},
    };
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        uint32_t cp = 0;
        bool valid = true;
        assert_int_equal(gw_utf8_next(cases[i].bytes, cases[i].len, &cp, &valid), cases[i].taken);
        assert_int_equal(cp, cases[i].cp);
        assert_int_equal(valid, cases[i].valid);
        assert_int_equal(gw_utf8_is_valid(cases[i].bytes, cases[i].len), cases[i].valid);
    }
}

struct heard {
    int n;
    enum gwen_log_level level;
    char text[4096];
};

static void hear(void *user, enum gwen_log_level level, const char *message) {
    struct heard *h = user;
    h->n++;
    h->level = level;
    snprintf(h->text, sizeof h->text, "%s", message);
}

static void logging(void **state) {
    (void)state;
    struct heard h = {0};
    const struct gw_log log = {.fn = hear, .user = &h, .level = GWEN_LOG_INFO};
    gw_log(&log, GWEN_LOG_WARNING, "%d files", 3);
    assert_int_equal(h.n, 1);
    assert_int_equal(h.level, GWEN_LOG_WARNING);
    assert_string_equal(h.text, "3 files");
    gw_log(&log, GWEN_LOG_DEBUG, "not wanted");
    assert_int_equal(h.n, 1);
    gw_log(&log, GWEN_LOG_INFO, "%03000d", 1); /* cut, terminated */
    assert_int_equal(h.n, 2);
    assert_int_equal(strlen(h.text), 2047);
    /* knobs by their names, or as whoever listens calls them */
    struct gw_log spelt = log;
    gw_log(&log, GWEN_LOG_INFO, "lower %s", gw_knob(GW_KNOB_MAX_TOKENS));
    assert_string_equal(h.text, "lower max_tokens");
    spelt.spelling = as_option;
    gw_log(&spelt, GWEN_LOG_INFO, "lower %s", gw_knob(GW_KNOB_MAX_TOKENS));
    assert_string_equal(h.text, "lower --max-tokens");
    gw_log(NULL, GWEN_LOG_ERROR, "nobody");
    gw_log(&(struct gw_log){.level = GWEN_LOG_DEBUG}, GWEN_LOG_ERROR, "nobody");
    assert_false(gw_log_on(NULL, GWEN_LOG_ERROR));
}

static void clock_goes_on(void **state) {
    (void)state;
    uint64_t last = gw_now_ns();
    assert_true(last > 0);
    for (int i = 0; i < 1000; i++) {
        uint64_t now = gw_now_ns();
        assert_true(now >= last);
        last = now;
    }
    assert_true(gw_seconds_since(last) >= 0);
}

struct reports {
    int n;
    uint64_t last;
    bool stop;
};

static bool report(void *user, const struct gwen_progress *p) {
    struct reports *r = user;
    r->n++;
    r->last = p->done;
    assert_string_equal(p->what, "count");
    assert_int_equal(p->total, 1000000);
    return !r->stop;
}

static void progress(void **state) {
    (void)state;
    struct reports r = {0};
    struct gw_progress p;
    struct gwen_err err = {0};
    gw_progress_init(&p, report, &r, "count", "beans", 1000000);
    for (uint64_t i = 0; i <= 1000000; i++)
        assert_int_equal(gw_progress_update(&p, i, &err), GWEN_OK);
    assert_int_equal(r.last, 1000000); /* the end is always told */
    assert_true(r.n >= 2 && r.n < 100000);

    gw_progress_init(&p, report, &r, "count", "beans", 1000000);
    r.stop = true;
    assert_int_equal(gw_progress_update(&p, 1, &err), GWEN_ERR_CANCELLED);
    int n = r.n;
    assert_int_equal(gw_progress_update(&p, 2, &err), GWEN_ERR_CANCELLED); /* stays so */
    assert_int_equal(r.n, n);
    assert_string_equal(err.message, "count: cancelled");

    gw_progress_init(&p, NULL, NULL, "x", "y", 1);
    assert_int_equal(gw_progress_update(&p, 1, &err), GWEN_OK);
    assert_int_equal(gw_progress_update(NULL, 1, &err), GWEN_OK);
}

static void eta(void **state) {
    (void)state;
    struct gw_eta e = {0};
    const uint64_t second = 1000000000;
    assert_true(gw_eta_seconds(&e, 5 * second, 10, 110) < 0); /* no rate yet */
    assert_true(fabs(gw_eta_seconds(&e, 15 * second, 30, 110) - 40) < 1e-9);
    assert_true(gw_eta_seconds(&e, 16 * second, 110, 110) == 0);
    assert_true(gw_eta_seconds(&e, 16 * second, 40, 0) < 0);  /* no total */
    assert_true(gw_eta_seconds(&e, 17 * second, 5, 110) < 0); /* went back: starts anew */
    assert_true(fabs(gw_eta_seconds(&e, 18 * second, 6, 110) - 104) < 1e-9);
}

static void progress_lines(void **state) {
    (void)state;
    char out[256];
    struct gwen_progress p = {.what = "rollout", .unit = "samples", .done = 123, .total = 256};
    gw_progress_line(out, sizeof out, 80, &p, 42);
    assert_string_equal(
        out, "rollout  [==============>               ]  48 % 123/256 samples  0:42 left");
    gw_progress_line(out, sizeof out, 50, &p, -1);
    assert_string_equal(out, "rollout  [========>        ]  48 % 123/256 samples");
    gw_progress_line(out, sizeof out, 40, &p, 3 * 3600 + 61); /* no room for a bar, cut */
    assert_string_equal(out, "rollout   48 % 123/256 samples  3:01:01 ");
    p.done = 256;
    gw_progress_line(out, sizeof out, 60, &p, 0);
    assert_string_equal(out, "rollout  [================] 100 % 256/256 samples  0:00 left");
    p.total = 0;
    gw_progress_line(out, sizeof out, 80, &p, -1);
    assert_string_equal(out, "rollout  256 samples");
    for (size_t size = 0; size < 30; size++)
        for (int width = -1; width < 120; width++) {
            memset(out, 'x', sizeof out);
            p.total = 300;
            size_t n = gw_progress_line(out, size, width, &p, 1e300);
            assert_true(size == 0 || (n < size && strlen(out) == n));
            assert_true((int)n <= GW_MAX(width, 0));
            assert_int_equal(out[size], 'x');
        }
}

static void step_lines(void **state) {
    (void)state;
    const uint64_t s = 1000000000;
    struct gw_run_steps steps = {0};
    const struct gwen_progress p = {.what = "train", .unit = "tokens", .done = 1, .total = 4};
    const struct gwen_progress phase = {.what = "optimizer", .unit = ""};
    char out[256];
    gw_steps_at(&steps, 100 * s, 3, 5); /* a run that was resumed at its third step */
    gw_progress_step_line(out, sizeof out, 60, &p, &steps, 101 * s);
    assert_string_equal(out, "step 3/5  train   25 % 1/4 tokens  step 0:01  run 0:01");
    gw_steps_at(&steps, 110 * s, 4, 5);
    gw_steps_at(&steps, 114 * s, 4, 5); /* the same one goes on */
    gw_progress_step_line(out, sizeof out, 200, &phase, &steps, 114 * s);
    assert_string_equal(out, "step 4/5  optimizer  step 0:04  run 0:14  0:16 left");
    /* a step that takes longer than the others: those after it are left */
    assert_true(gw_steps_left(&steps, 150 * s) == 10);
    for (int width = 0; width < 120; width++)
        assert_true(gw_progress_step_line(out, sizeof out, width, &p, &steps, 114 * s) <=
                    (size_t)width);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version),       cmocka_unit_test(errors),
        cmocka_unit_test(knobs),         cmocka_unit_test(checked_sizes),
        cmocka_unit_test(strings),       cmocka_unit_test(utf8),
        cmocka_unit_test(shown),         cmocka_unit_test(logging),
        cmocka_unit_test(clock_goes_on), cmocka_unit_test(progress),
        cmocka_unit_test(eta),           cmocka_unit_test(progress_lines),
        cmocka_unit_test(step_lines),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}

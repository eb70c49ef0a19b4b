/* test_metrics.c - figures of a step, metrics.jsonl and TensorBoard's event files: what is written,
 * what readers make of it, and that a cut file goes on as if nothing had happened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "service/record/metrics.h"
#include "service/record/tfevents.h"
#include "service/reward/reward.h"
#include "unit/scratch.h"

static const char EVENTS[] = "events.out.tfevents.gwen-cpu";

static const char *folder(void) {
    static int n;
    char name[32];
    snprintf(name, sizeof name, "run-%d", n++);
    const char *path = scratch_path(name);
    assert_int_equal(mkdir(path, 0777), 0);
    return path;
}

static struct gw_str content(const char *dir, const char *name) {
    struct gw_str path = {0}, text = {0};
    struct gwen_err err;
    assert_int_equal(gw_path_join(&path, dir, name, &err), GWEN_OK);
    if (gw_file_read(path.data, 1 << 24, &text, &err) != GWEN_OK) fail_msg("%s", err.message);
    gw_str_free(&path);
    return text;
}

/* --- a reader of event files that shares nothing with the writer ---------------------------- */

/* Bit by bit, from the polynomial. */
static uint32_t slow_crc(const unsigned char *p, size_t n) {
    uint32_t crc = 0xFFFFFFFF;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++) crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78 : 0);
    }
    crc = ~crc;
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8;
}

static uint64_t varint(const unsigned char **p) {
    uint64_t v = 0;
    int shift = 0;
    do v |= (uint64_t)(**p & 0x7F) << shift, shift += 7;
    while (*(*p)++ & 0x80);
    return v;
}

/* Appends "TIME [STEP] tag=value ..." and a newline for each event. */
static void describe_events(const struct gw_str *file, struct gw_str *out) {
    const unsigned char *p = (const unsigned char *)file->data, *end = p + file->len;
    while (p < end) {
        uint64_t n;
        uint32_t crc;
        memcpy(&n, p, 8);
        memcpy(&crc, p + 8, 4);
        assert_true(crc == slow_crc(p, 8));
        memcpy(&crc, p + 12 + n, 4);
        assert_true(crc == slow_crc(p + 12, n));
        const unsigned char *q = p + 12, *event_end = q + n;
        p = event_end + 4;
        assert_true(p <= end);
        while (q < event_end) {
            uint64_t key = varint(&q), len;
            double time;
            float value;
            switch (key) {
            case 1 << 3 | 1:
                memcpy(&time, q, 8);
                q += 8;
                gw_str_printf(out, "%.0f", time);
                break;
            case 2 << 3 | 0: gw_str_printf(out, " [%d]", (int)varint(&q)); break;
            case 3 << 3 | 2:
                len = varint(&q);
                gw_str_printf(out, " %.*s", (int)len, (const char *)q);
                q += len;
                break;
            case 5 << 3 | 2: varint(&q); break; /* into the summary */
            case 1 << 3 | 2:
                varint(&q); /* into a value */
                assert_int_equal(*q++, 1 << 3 | 2);
                len = varint(&q);
                gw_str_printf(out, " %.*s", (int)len, (const char *)q);
                q += len;
                assert_int_equal(*q++, 2 << 3 | 5);
                memcpy(&value, q, 4);
                q += 4;
                gw_str_printf(out, "=%g", (double)value);
                break;
            default: fail_msg("unknown field %d", (int)key);
            }
        }
        gw_str_putc(out, '\n');
    }
}

/* --- writing a run -------------------------------------------------------------------------- */

static void write_step(struct gw_metrics_log *log, struct gw_metrics *m, uint64_t step) {
    struct gwen_err err;
    gw_metrics_clear(m);
    gw_metrics_put(m, "loss", 1.0 / (double)step);
    gw_metrics_put(m, "rewards/a/mean", step == 2 ? NAN : (double)step);
    gw_metrics_put(m, "big", 1e300); /* no float32: null would be wrong in JSON, absent in events */
    if (gw_metrics_log_write(log, step, 1000 + (double)step, m, &err) != GWEN_OK)
        fail_msg("%s", err.message);
}

static void write_run(const char *dir, bool resume, uint64_t keep, uint64_t first, uint64_t last) {
    struct gw_metrics m = {0};
    struct gw_metrics_log *log;
    struct gwen_err err;
    if (gw_metrics_log_open(dir, resume, keep, &log, &err) != GWEN_OK) fail_msg("%s", err.message);
    for (uint64_t step = first; step <= last; step++) write_step(log, &m, step);
    assert_int_equal(gw_metrics_log_sync(log, &err), GWEN_OK);
    gw_metrics_log_close(log);
    gw_metrics_free(&m);
}

static void both_files_hold_the_steps(void **state) {
    (void)state;
    const char *dir = folder();
    write_run(dir, false, 0, 1, 3);
    struct gw_str rows = content(dir, "metrics.jsonl"), events = content(dir, EVENTS), text = {0};
    assert_string_equal(rows.data,
                        "{\"step\":1,\"loss\":1,\"rewards/a/mean\":1,\"big\":1e+300}\n"
                        "{\"step\":2,\"loss\":0.5,\"rewards/a/mean\":null,\"big\":1e+300}\n"
                        "{\"step\":3,\"loss\":0.333333333,\"rewards/a/mean\":3,\"big\":1e+300}\n");
    describe_events(&events, &text);
    const char *after_time = strstr(text.data, " brain.Event:2\n");
    assert_non_null(after_time);
    assert_string_equal(after_time, " brain.Event:2\n"
                                    "1001 [1] loss=1 rewards/a/mean=1\n"
                                    "1002 [2] loss=0.5\n"
                                    "1003 [3] loss=0.333333 rewards/a/mean=3\n");
    gw_str_free(&rows);
    gw_str_free(&events);
    gw_str_free(&text);

    struct gw_metrics_log *log;
    struct gwen_err err;
    assert_int_equal(gw_metrics_log_open(dir, false, 0, &log, &err), GWEN_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "metrics.jsonl holds another run: go on with it by"));
    assert_int_equal(gw_metrics_log_open("/does/not/exist", false, 0, &log, &err), GWEN_ERR_IO);
}

static void append_text(const char *dir, const char *name, const char *text, size_t len) {
    struct gw_str path = {0};
    struct gwen_err err;
    assert_int_equal(gw_path_join(&path, dir, name, &err), GWEN_OK);
    FILE *f = fopen(path.data, "ab");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    fclose(f);
    gw_str_free(&path);
}

/* A run that was killed (its last writes torn) and resumed from step 2 ends like one that was not.
 */
static void cut_and_go_on(void **state) {
    (void)state;
    const char *whole = folder(), *cut = folder();
    write_run(whole, false, 0, 1, 5);
    write_run(cut, false, 0, 1, 4);
    append_text(cut, "metrics.jsonl", "{\"step\":5,\"lo", 13);
    append_text(cut, EVENTS, "\x40\0\0\0\0\0\0\0abcdefghijkl", 20);
    write_run(cut, true, 2, 3, 5);
    struct gw_str a = content(whole, "metrics.jsonl"), b = content(cut, "metrics.jsonl");
    assert_string_equal(a.data, b.data);
    gw_str_free(&a);
    gw_str_free(&b);
    struct gw_str x = {0}, y = {0};
    a = content(whole, EVENTS);
    b = content(cut, EVENTS);
    describe_events(&a, &x);
    describe_events(&b, &y);
    assert_string_equal(strchr(x.data, '\n'), strchr(y.data, '\n')); /* the first has the time */
    gw_str_free(&a);
    gw_str_free(&b);
    gw_str_free(&x);
    gw_str_free(&y);

    write_run(cut, true, 0, 1, 1); /* before the first step: all of it goes */
    a = content(cut, "metrics.jsonl");
    assert_int_equal(strncmp(a.data, "{\"step\":1,", 10), 0);
    assert_int_equal(strlen(strchr(a.data, '\n')), 1);
    gw_str_free(&a);
    write_run(folder(), true, 7, 8, 8); /* nothing there yet */
}

static void cutting_rows(void **state) {
    (void)state;
    struct gwen_err err;
    struct gw_str text = {0};
    const char *path = scratch_puts("r.jsonl", "{\"step\":1,\"a\":1}\n{\"a\":2,\"step\":1}\r\n"
                                               "{\"step\":4}\n{\"step\":5}");
    assert_int_equal(gw_jsonl_cut(path, 3, &err), GWEN_OK);
    assert_int_equal(gw_file_read(path, 1000, &text, &err), GWEN_OK);
    assert_string_equal(text.data, "{\"step\":1,\"a\":1}\n{\"a\":2,\"step\":1}\r\n");
    gw_str_free(&text);
    assert_int_equal(gw_jsonl_cut(scratch_path("none.jsonl"), 3, &err), GWEN_OK);
    path = scratch_puts("bad.jsonl", "{\"step\":1}\n{\"stop\":2}\n{\"step\":3}\n");
    assert_int_equal(gw_jsonl_cut(path, 3, &err), GWEN_ERR_FORMAT);
    assert_non_null(strstr(err.message, "bad.jsonl:2: \"step\" is missing"));
    path = scratch_puts("bad.jsonl", "{\"step\":-1}\n{\"step\":3}\n");
    assert_int_equal(gw_jsonl_cut(path, 3, &err), GWEN_ERR_FORMAT);
}

struct warnings {
    int n;
    char text[512];
};

static void take_warning(void *user, enum gwen_log_level level, const char *text) {
    struct warnings *w = user;
    assert_int_equal(level, GWEN_LOG_WARNING);
    w->n++;
    snprintf(w->text, sizeof w->text, "%s", text);
}

/* Damages metrics.jsonl of a run of three steps, mends it, and goes on with step 4. */
static void mended(const char *damaged, const char *warning, const char *expected) {
    const char *dir = folder();
    struct warnings said = {0};
    const struct gw_log log = {.fn = take_warning, .user = &said, .level = GWEN_LOG_WARNING};
    struct gw_metrics_was was = {.keep = 3, .known = true};
    struct gw_metrics_log *rows;
    struct gwen_err err;
    struct gw_str path = {0};
    write_run(dir, false, 0, 1, 3);
    assert_int_equal(gw_metrics_log_open(dir, true, 3, &rows, &err), GWEN_OK);
    assert_int_equal(gw_metrics_log_sum(rows, &was.bytes, &was.sum, &err), GWEN_OK);
    gw_metrics_log_close(rows);
    assert_int_equal(gw_metrics_mend(dir, &was, &log, &err), GWEN_OK);
    assert_int_equal(said.n, 0); /* as it was */
    assert_int_equal(gw_path_join(&path, dir, "metrics.jsonl", &err), GWEN_OK);
    if (damaged != NULL)
        assert_int_equal(gw_file_write(path.data, damaged, strlen(damaged), &err), GWEN_OK);
    else
        assert_int_equal(unlink(path.data), 0);
    assert_int_equal(gw_metrics_mend(dir, &was, &log, &err), GWEN_OK);
    assert_int_equal(said.n, 1);
    if (strstr(said.text, warning) == NULL) fail_msg("%s", said.text);
    write_run(dir, true, 3, 4, 4);
    struct gw_str now = content(dir, "metrics.jsonl");
    assert_string_equal(now.data, expected);
    gw_str_free(&now);
    gw_str_free(&path);
}

static void accidents_are_told(void **state) {
    (void)state;
#define FOURTH "{\"step\":4,\"loss\":0.25,\"rewards/a/mean\":4,\"big\":1e+300}\n"
    mended(NULL, "is gone", FOURTH);
    mended("", "is not what it was", FOURTH);
    mended("{\"step\":1}\n{\"step\":3}\n", "rows are missing or were changed; 2 are there",
           "{\"step\":1}\n{\"step\":3}\n" FOURTH);
    mended("X\"step\":1}\n{\"step\":2}\n{\"step\":3}\n", "1 of its lines cannot be read, 2 rows",
           "{\"step\":2}\n{\"step\":3}\n" FOURTH);
    mended("{\"step\":3}\n{\"step\":2}\n{\"stop\":3}\n", "2 of its lines cannot be read, 1 rows",
           "{\"step\":3}\n" FOURTH);
#undef FOURTH
}

static void checksums(void **state) {
    (void)state;
    assert_true(gw_crc32c("123456789", 9) == 0xE3069283); /* the check value of CRC-32C */
    assert_true(gw_crc32c("", 0) == 0);
    unsigned char zeros[32] = {0};
    assert_true(gw_crc32c(zeros, 32) == 0x8A9136AA); /* RFC 3720, B.4 */
}

/* Any changed byte is seen. */
static void damaged_events_are_not_read(void **state) {
    (void)state;
    struct gw_metrics m = {0};
    struct gw_str s = {0};
    uint64_t step = 99;
    size_t at = 0;
    gw_metrics_put(&m, "loss", 0.25);
    gw_tfevents_put_step(&s, 300, 1.0, &m);
    unsigned char *bytes = (unsigned char *)s.data;
    assert_true(gw_tfevents_next(bytes, s.len, &at, &step));
    assert_true(step == 300 && at == s.len);
    assert_false(gw_tfevents_next(bytes, s.len, &at, &step)); /* the end */
    for (size_t i = 0; i < s.len; i++) {
        at = 0;
        assert_false(gw_tfevents_next(bytes, i, &at, &step));
        bytes[i] ^= 0x10;
        assert_false(gw_tfevents_next(bytes, s.len, &at, &step));
        bytes[i] ^= 0x10;
    }
    gw_str_free(&s);
    gw_metrics_free(&m);
}

/* TensorBoard's own reader finds the same. */
static void tensorboard_reads_it(void **state) {
    (void)state;
    static const char program[] =
        "import sys\n"
        "from tensorboard.backend.event_processing import event_file_loader as l\n"
        "for e in l.EventFileLoader(sys.argv[1]).Load():\n"
        "    if e.HasField('summary'):\n"
        "        print(e.step, '%g' % e.wall_time, *('%s=%g' % (v.tag, v.tensor.float_val[0])\n"
        "              for v in e.summary.value))\n";
    const char *name = getenv("GWEN_PYTHON"), *dir = folder();
    char text[800];
    if (name == NULL) name = "python3";
    snprintf(text, sizeof text, "%s -c 'import tensorboard' 2>/dev/null", name);
    if (system(text) != 0) {
        print_message("skip: %s has no tensorboard (GWEN_PYTHON names another Python)\n", name);
        skip();
    }
    write_run(dir, false, 0, 1, 3);
    snprintf(text, sizeof text, "%s %s %s/%s 2>/dev/null", name, scratch_puts("read.py", program),
             dir, EVENTS);
    FILE *f = popen(text, "r");
    char got[400] = "";
    assert_non_null(f);
    size_t n = fread(got, 1, sizeof got - 1, f);
    got[n] = 0;
    assert_int_equal(pclose(f), 0);
    assert_string_equal(got, "1 1001 loss=1 rewards/a/mean=1\n"
                             "2 1002 loss=0.5\n"
                             "3 1003 loss=0.333333 rewards/a/mean=3\n");
}

static void metrics_are_a_map(void **state) {
    (void)state;
    struct gw_metrics m = {0};
    char name[16];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "m%d", i % 50);
        gw_metrics_put(&m, name, i);
    }
    assert_int_equal(m.n, 50);
    assert_true(gw_metrics_get(&m, "m7") == 57);
    assert_true(isnan(gw_metrics_get(&m, "m50")));
    gw_metrics_clear(&m);
    assert_true(isnan(gw_metrics_get(&m, "m7")));
    gw_metrics_free(&m);
}

static void rewards_are_logged_as_trl_does(void **state) {
    (void)state;
    struct gw_rewards *r;
    struct gwen_err err;
    struct gw_metrics m = {0};
    struct gw_str s = {0};
    const float scores[] = {1, NAN, 0, NAN, 1, 4}, rewards[] = {1, 0, 5};
    assert_int_equal(gw_rewards_new(&r, &err), GWEN_OK);
    assert_int_equal(gw_rewards_add(r, "gsm8k", &err), GWEN_OK);
    assert_int_equal(gw_rewards_add(r, "length:4", &err), GWEN_OK);
    gw_rewards_put_metrics(r, scores, rewards, 3, &m);
    gw_metrics_put_json(&m, 9, &s);
    assert_string_equal(s.data,
                        "{\"step\":9,\"rewards/gsm8k/mean\":0.666666667,"
                        "\"rewards/gsm8k/std\":0.577350269,\"rewards/length/mean\":4,"
                        "\"rewards/length/std\":null,\"reward\":2,\"reward_std\":2.64575131}\n");
    gw_str_free(&s);
    gw_metrics_free(&m);
    gw_rewards_free(r);
}

static void line_of_a_step(void **state) {
    (void)state;
    struct gw_str s = {0};
    struct gw_step_report r = {1, 100, 0.01234, 0.75, 10.54, 607.44, 91.55};
    gw_step_line(&r, &s);
    assert_string_equal(s.data, "step 1/100 | loss 0.0123 | reward 0.75 | 10.5s | "
                                "rollout 607.4 tok/s | train 91.5 tok/s");
    gw_str_clear(&s);
    r = (struct gw_step_report){3, 3, -1e-9, NAN, 2, NAN, 1200};
    gw_step_line(&r, &s);
    assert_string_equal(s.data, "step 3/3 | loss 0.0000 | 2.0s | train 1200.0 tok/s");
    gw_str_free(&s);
}

static void is_spark(const double *v, size_t n, size_t width, const char *expected) {
    struct gw_str s = {0};
    gw_sparkline(v, n, width, &s);
    gw_str_puts(&s, "");
    assert_string_equal(s.data, expected);
    gw_str_free(&s);
}

static void sparklines(void **state) {
    (void)state;
    const double up[] = {0, 1, 2, 3, 4, 5, 6, 7}, gap[] = {1, NAN, 3}, flat[] = {2, 2};
    const double none[] = {NAN, INFINITY};
    is_spark(up, 8, 8, "▁▂▃▄▅▆▇█");
    is_spark(up, 8, 100, "▁▂▃▄▅▆▇█");
    is_spark(up, 8, 2, "▁█");
    is_spark(gap, 3, 3, "▁ █");
    is_spark(flat, 2, 5, "▅▅");
    is_spark(none, 2, 5, "  ");
    is_spark(up, 0, 5, "");
    is_spark(up, 8, 0, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_files_hold_the_steps),
        cmocka_unit_test(cut_and_go_on),
        cmocka_unit_test(cutting_rows),
        cmocka_unit_test(accidents_are_told),
        cmocka_unit_test(checksums),
        cmocka_unit_test(damaged_events_are_not_read),
        cmocka_unit_test(tensorboard_reads_it),
        cmocka_unit_test(metrics_are_a_map),
        cmocka_unit_test(rewards_are_logged_as_trl_does),
        cmocka_unit_test(line_of_a_step),
        cmocka_unit_test(sparklines),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

/* test_rollout_file.c - the part file: torn at every byte, resumed, refused, damaged, full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "service/rollout/file.h"
#include "unit/scratch.h"

enum { PROMPTS = 3, GROUPS = 2, ROWS = PROMPTS * GROUPS };

static const struct gw_part_field fields[] = {{"seed", "7"}, {"numeric class", "f32-fma"}};

static struct {
    char text[4096];
    int warnings;
} said;

static void listen(void *user, enum gwen_log_level level, const char *message) {
    (void)user;
    snprintf(said.text + strlen(said.text), sizeof said.text - strlen(said.text), "%s\n", message);
    said.warnings += level == GWEN_LOG_WARNING;
}

static const struct gw_log listener = {.fn = listen, .level = GWEN_LOG_DEBUG};

static enum gwen_status try_open(const char *path, enum gw_part_mode mode,
                                 const struct gw_part_field *with, struct gw_rollout_file **f,
                                 struct gwen_err *err) {
    said.text[0] = 0;
    said.warnings = 0;
    return gw_rollout_file_open(path, mode, with, 2, PROMPTS, GROUPS, &listener, f, err);
}

static struct gw_rollout_file *open_ok(const char *path, enum gw_part_mode mode) {
    struct gwen_err err;
    struct gw_rollout_file *f;
    if (try_open(path, mode, fields, &f, &err) != GWEN_OK) fail_msg("%s", err.message);
    return f;
}

/* Row i as a rollout would write it, of a length of its own. */
static size_t make_row(size_t i, char *row, size_t size) {
    return (size_t)snprintf(row, size,
                            "{\"prompt_id\":%zu,\"sample_id\":%zu,\"text\":\"%.*s\\u0000\"}\n",
                            i / GROUPS, i % GROUPS, (int)(i * 5 % 13), "abcdefghijklm");
}

static void append(struct gw_rollout_file *f, size_t i) {
    char row[128];
    struct gwen_err err;
    size_t len = make_row(i, row, sizeof row);
    if (gw_rollout_file_append(f, i / GROUPS, i % GROUPS, row, len, &err) != GWEN_OK)
        fail_msg("%s", err.message);
}

static void append_missing(struct gw_rollout_file *f) {
    static const size_t order[ROWS] = {4, 0, 5, 2, 1, 3};
    for (size_t k = 0; k < ROWS; k++)
        if (!gw_rollout_file_has(f, order[k] / GROUPS, order[k] % GROUPS)) append(f, order[k]);
}

static void finish(struct gw_rollout_file *f) {
    struct gwen_err err;
    if (gw_rollout_file_finish(f, &err) != GWEN_OK) fail_msg("%s", err.message);
    gw_rollout_file_close(f);
}

static void read_all(const char *path, struct gw_str *out) {
    struct gwen_err err;
    gw_str_clear(out);
    if (gw_file_read(path, 1 << 20, out, &err) != GWEN_OK) fail_msg("%s", err.message);
}

static void check_final(const char *path) {
    struct gw_str got = {0}, expected = {0};
    char part[512], row[128];
    for (size_t i = 0; i < ROWS; i++) gw_str_put(&expected, row, make_row(i, row, sizeof row));
    read_all(path, &got);
    assert_int_equal(got.len, expected.len);
    assert_memory_equal(got.data, expected.data, got.len);
    snprintf(part, sizeof part, "%s.part", path);
    assert_false(gw_file_exists(part));
    gw_str_free(&got);
    gw_str_free(&expected);
}

static void rows_end_up_in_order(void **state) {
    (void)state;
    const char *path = scratch_path("plain.jsonl");
    struct gw_rollout_file *f = open_ok(path, GW_PART_NEW);
    assert_int_equal(gw_rollout_file_count(f), 0);
    append_missing(f);
    assert_int_equal(gw_rollout_file_count(f), ROWS);
    assert_false(gw_file_exists(path));
    finish(f);
    check_final(path);
}

/* The file as a process that was killed after any byte left it: the run goes on from there. */
static void a_file_torn_anywhere_is_resumed(void **state) {
    (void)state;
    struct gw_str whole = {0};
    const char *path = scratch_path("torn.jsonl"), *part = scratch_path("torn.jsonl.part");
    struct gw_rollout_file *f = open_ok(path, GW_PART_NEW);
    append_missing(f);
    gw_rollout_file_close(f);
    read_all(part, &whole);
    /* every byte of the last row, some of the rest */
    for (size_t cut = 0; cut <= whole.len; cut += cut + 60 < whole.len && cut % 64 > 10 ? 5 : 1) {
        struct gwen_err err;
        size_t rows = 0;
        assert_int_equal(gw_file_write(part, whole.data, cut, &err), GWEN_OK);
        for (size_t i = 0; i < cut; i++) rows += whole.data[i] == '\n';
        f = open_ok(path, GW_PART_RESUME);
        assert_int_equal(gw_rollout_file_count(f), rows > 0 ? rows - 1 : 0);
        assert_int_equal(said.warnings, 0);
        bool torn = cut > 0 && whole.data[cut - 1] != '\n' && rows > 0;
        assert_true((strstr(said.text, "unfinished row dropped") != NULL) == torn);
        append_missing(f);
        finish(f);
        check_final(path);
    }
    gw_str_free(&whole);
}

/* After a power cut anything can stand where nothing was synced: zeros, halves of rows, rows twice,
 * rows of another run. */
static void damaged_lines_are_passed_over(void **state) {
    (void)state;
    static const char junk[] = "\0\0\0\0\0\n"
                               "{\"prompt_id\":1,\"sample_id\":\n"
                               "{\"prompt_id\":9,\"sample_id\":0}\n"
                               "{\"prompt_id\":0,\"sample_id\":-1}\n"
                               "{\"prompt_id\":0.5,\"sample_id\":1}\n"
                               "[]\n\n";
    struct gw_str text = {0};
    char row[128];
    struct gwen_err err;
    const char *path = scratch_path("junk.jsonl"), *part = scratch_path("junk.jsonl.part");
    struct gw_rollout_file *f = open_ok(path, GW_PART_NEW);
    append(f, 2);
    gw_rollout_file_close(f);
    read_all(part, &text);
    gw_str_put(&text, junk, sizeof junk - 1);
    gw_str_put(&text, row, make_row(5, row, sizeof row));
    gw_str_put(&text, row, make_row(2, row, sizeof row));
    assert_int_equal(gw_file_write(part, text.data, text.len, &err), GWEN_OK);
    f = open_ok(path, GW_PART_RESUME);
    /* rows without a checksum are damaged too */
    assert_int_equal(gw_rollout_file_count(f), 1);
    assert_true(gw_rollout_file_has(f, 1, 0));
    assert_int_equal(said.warnings, 1);
    assert_non_null(strstr(said.text, "9 damaged lines"));
    append_missing(f);
    finish(f);
    check_final(path);
    gw_str_free(&text);
}

/* Whatever bit of the rows is another one, the row is drawn again. */
static void a_flipped_bit_is_found(void **state) {
    (void)state;
    struct gw_str text = {0};
    struct gwen_err err;
    const char *path = scratch_path("flip.jsonl"), *part = scratch_path("flip.jsonl.part");
    struct gw_rollout_file *f = open_ok(path, GW_PART_NEW);
    for (size_t i = 0; i < ROWS; i++) append(f, i);
    gw_rollout_file_close(f);
    read_all(part, &text);
    const size_t begin = (size_t)(strchr(text.data, '\n') - text.data) + 1;
    for (size_t bit = 8 * begin; bit < 8 * text.len; bit += 5) {
        text.data[bit / 8] ^= (char)(1 << bit % 8);
        assert_int_equal(gw_file_write(part, text.data, text.len, &err), GWEN_OK);
        text.data[bit / 8] ^= (char)(1 << bit % 8);
        f = open_ok(path, GW_PART_RESUME);
        assert_true(gw_rollout_file_count(f) < ROWS);
        append_missing(f);
        finish(f);
        check_final(path);
        assert_int_equal(unlink(path), 0);
    }
    gw_str_free(&text);
}

/* A part file from before rows had checksums is gone on with, with a warning. */
static void an_older_part_is_accepted(void **state) {
    (void)state;
    struct gw_str text = {0};
    char row[128];
    const char *path = scratch_path("older.jsonl");
    gw_str_puts(&text, "{\"gwen_part\":1,\"seed\":\"7\",\"numeric class\":\"f32-fma\"}\n");
    gw_str_put(&text, row, make_row(3, row, sizeof row));
    scratch_puts("older.jsonl.part", text.data);
    struct gw_rollout_file *f = open_ok(path, GW_PART_RESUME);
    assert_int_equal(gw_rollout_file_count(f), 1);
    assert_int_equal(said.warnings, 1);
    assert_non_null(strstr(said.text, "no checksums"));
    append_missing(f);
    finish(f);
    check_final(path);
    gw_str_free(&text);
}

/* What a link at FILE.part names is not written to. */
static void a_link_is_not_followed(void **state) {
    (void)state;
    struct gwen_err err;
    struct gw_rollout_file *f;
    const char *path = scratch_path("linked.jsonl"), *part = scratch_path("linked.jsonl.part");
    const char *mine = scratch_puts("mine", "my notes\n");
    static const enum gw_part_mode modes[] = {GW_PART_NEW, GW_PART_RESUME, GW_PART_OVERWRITE};
    assert_int_equal(symlink(mine, part), 0);
    for (size_t i = 0; i < GW_ARRAY_LEN(modes); i++)
        assert_int_not_equal(try_open(path, modes[i], fields, &f, &err), GWEN_OK);
    struct gw_str text = {0};
    read_all(mine, &text);
    assert_string_equal(text.data, "my notes\n");
    gw_str_free(&text);
    assert_int_equal(unlink(part), 0);
    assert_int_equal(mkfifo(part, 0666), 0);
    assert_int_equal(try_open(path, GW_PART_RESUME, fields, &f, &err), GWEN_ERR_IO);
    assert_non_null(strstr(err.message, "no regular file"));
}

static void a_part_file_is_not_overwritten_by_accident(void **state) {
    (void)state;
    struct gwen_err err;
    const char *path = scratch_path("there.jsonl");
    struct gw_rollout_file *f = open_ok(path, GW_PART_NEW), *g;
    append(f, 0);
    /* by another run at the same time */
    assert_int_equal(try_open(path, GW_PART_RESUME, fields, &g, &err), GWEN_ERR_IO);
    assert_non_null(strstr(err.message, "another run"));
    gw_rollout_file_close(f);
    assert_int_equal(try_open(path, GW_PART_NEW, fields, &g, &err), GWEN_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "with resume"));
    assert_non_null(strstr(err.message, "with overwrite"));
    f = open_ok(path, GW_PART_RESUME);
    assert_int_equal(gw_rollout_file_count(f), 1);
    gw_rollout_file_close(f);
    f = open_ok(path, GW_PART_OVERWRITE);
    assert_int_equal(gw_rollout_file_count(f), 0);
    append_missing(f);
    finish(f);
    check_final(path);
}

static void another_run_is_refused_by_name(void **state) {
    (void)state;
    struct gwen_err err;
    const char *path = scratch_path("other.jsonl");
    struct gw_rollout_file *f = open_ok(path, GW_PART_NEW), *g;
    append(f, 0);
    gw_rollout_file_close(f);
    const struct gw_part_field changed[] = {{"seed", "7"}, {"numeric class", "bf16-vdp"}};
    assert_int_equal(try_open(path, GW_PART_RESUME, changed, &g, &err), GWEN_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "(numeric class: f32-fma, now bf16-vdp)"));
    const struct gw_part_field more[] = {{"seed", "7"}, {"prompts", "1"}};
    assert_int_equal(try_open(path, GW_PART_RESUME, more, &g, &err), GWEN_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "(prompts: none, now 1)"));
    scratch_puts("other.jsonl.part", "{\"prompt_id\":0,\"sample_id\":0}\n");
    assert_int_equal(try_open(path, GW_PART_RESUME, fields, &g, &err), GWEN_ERR_FORMAT);
    scratch_puts("other.jsonl.part", "my notes\n");
    assert_int_equal(try_open(path, GW_PART_RESUME, fields, &g, &err), GWEN_ERR_FORMAT);
}

static void a_failed_write_leaves_the_file_as_it_was(void **state) {
    (void)state;
    struct gwen_err err;
    struct rlimit was, small;
    struct gw_str before = {0}, after = {0};
    char row[128];
    const char *path = scratch_path("full.jsonl"), *part = scratch_path("full.jsonl.part");
    struct gw_rollout_file *f = open_ok(path, GW_PART_NEW);
    append(f, 0);
    append(f, 1);
    read_all(part, &before);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = was;
    small.rlim_cur = before.len + 10; /* room for a part of the row */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    size_t len = make_row(2, row, sizeof row);
    enum gwen_status status = gw_rollout_file_append(f, 1, 0, row, len, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(status, GWEN_ERR_IO);
    assert_non_null(strstr(err.message, part));
    assert_false(gw_rollout_file_has(f, 1, 0));
    read_all(part, &after);
    assert_int_equal(after.len, before.len);
    gw_rollout_file_close(f);
    f = open_ok(path, GW_PART_RESUME);
    assert_int_equal(gw_rollout_file_count(f), 2);
    append_missing(f);
    finish(f);
    check_final(path);
    gw_str_free(&before);
    gw_str_free(&after);
}

static void mistakes_of_the_caller_are_caught(void **state) {
    (void)state;
    struct gwen_err err;
    struct gw_rollout_file *f = open_ok(scratch_path("caller.jsonl"), GW_PART_NEW);
    append(f, 3);
    assert_int_equal(gw_rollout_file_append(f, 1, 1, "{}\n", 3, &err), GWEN_ERR_INTERNAL);
    assert_int_equal(gw_rollout_file_append(f, PROMPTS, 0, "{}\n", 3, &err), GWEN_ERR_INTERNAL);
    assert_int_equal(gw_rollout_file_append(f, 0, GROUPS, "{}\n", 3, &err), GWEN_ERR_INTERNAL);
    assert_int_equal(gw_rollout_file_finish(f, &err), GWEN_ERR_INTERNAL);
    assert_false(gw_rollout_file_has(f, PROMPTS, 0));
    gw_rollout_file_close(f);
    assert_int_equal(try_open(scratch_path("no/such/folder/x"), GW_PART_NEW, fields, &f, &err),
                     GWEN_ERR_IO);
    assert_int_equal(try_open(scratch_path(""), GW_PART_NEW, fields, &f, &err), GWEN_ERR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_end_up_in_order),
        cmocka_unit_test(a_file_torn_anywhere_is_resumed),
        cmocka_unit_test(damaged_lines_are_passed_over),
        cmocka_unit_test(a_flipped_bit_is_found),
        cmocka_unit_test(an_older_part_is_accepted),
        cmocka_unit_test(a_link_is_not_followed),
        cmocka_unit_test(a_part_file_is_not_overwritten_by_accident),
        cmocka_unit_test(another_run_is_refused_by_name),
        cmocka_unit_test(a_failed_write_leaves_the_file_as_it_was),
        cmocka_unit_test(mistakes_of_the_caller_are_caught),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

/* test_file.c - reading, mapping, atomic writing, folders and lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "unit/scratch.h"

static void assert_content(const char *path, const char *want, size_t len) {
    struct gw_str s = {0};
    struct gwen_err err;
    assert_int_equal(gw_file_read(path, 1 << 26, &s, &err), GWEN_OK);
    assert_int_equal(s.len, len);
    if (len > 0) assert_memory_equal(s.data, want, len);
    gw_str_free(&s);
}

static void read_limits(void **state) {
    (void)state;
    struct gw_str s = {0};
    struct gwen_err err;
    const char *path = scratch_write("limit", "a\0b", 3);
    assert_int_equal(gw_file_read(path, 3, &s, &err), GWEN_OK);
    assert_int_equal(s.len, 3);
    assert_memory_equal(s.data, "a\0b", 4);
    assert_int_equal(gw_file_read(path, 2, &s, &err), GWEN_ERR_FORMAT);
    assert_non_null(strstr(err.message, path));
    assert_int_equal(gw_file_read(scratch_path("absent"), 9, &s, &err), GWEN_ERR_IO);
    assert_non_null(strstr(err.message, "No such file"));
    assert_int_equal(gw_file_read(scratch_path(""), 9, &s, &err), GWEN_ERR_IO);
    assert_non_null(strstr(err.message, "directory"));
    gw_str_clear(&s);
    assert_int_equal(gw_file_read("/dev/zero", 100000, &s, &err), GWEN_ERR_FORMAT);
    gw_str_free(&s);
    assert_content(scratch_write("empty", "", 0), "", 0);
}

static void write_replaces(void **state) {
    (void)state;
    struct gwen_err err;
    assert_true(mkdir(scratch_path("w"), 0777) == 0);
    const char *path = scratch_path("w/file");
    assert_int_equal(gw_file_write(path, "one", 3, &err), GWEN_OK);
    assert_int_equal(gw_file_write(path, "second", 6, &err), GWEN_OK);
    assert_content(path, "second", 6);
    assert_int_equal(scratch_count(scratch_path("w")), 1);
    struct stat st;
    mode_t mask = umask(022);
    umask(mask);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666 & ~mask);
}

static void write_large(void **state) {
    (void)state;
    struct gwen_err err;
    struct gw_out *out;
    size_t n = 1000003;
    char *data = malloc(n);
    for (size_t i = 0; i < n; i++) data[i] = (char)(i * 7 + i / 251);
    const char *path = scratch_path("large");
    assert_int_equal(gw_out_open(path, &out, &err), GWEN_OK);
    size_t at = 0;
    for (size_t step = 1; at < n; step = step * 3 + 1) {
        size_t m = GW_MIN(step, n - at);
        assert_int_equal(gw_out_write(out, data + at, m, &err), GWEN_OK);
        at += m;
    }
    assert_false(gw_file_exists(path)); /* nothing to see before the commit */
    assert_int_equal(gw_out_commit(out, &err), GWEN_OK);
    assert_content(path, data, n);
    free(data);
}

static void abort_leaves_nothing(void **state) {
    (void)state;
    struct gwen_err err;
    struct gw_out *out;
    assert_true(mkdir(scratch_path("a"), 0777) == 0);
    scratch_puts("a/file", "old");
    const char *path = scratch_path("a/file");
    assert_int_equal(gw_out_open(path, &out, &err), GWEN_OK);
    assert_int_equal(gw_out_write(out, "new", 3, &err), GWEN_OK);
    assert_int_equal(scratch_count(scratch_path("a")), 2);
    gw_out_abort(out);
    assert_int_equal(scratch_count(scratch_path("a")), 1);
    assert_content(path, "old", 3);
    gw_out_abort(NULL);
}

static void write_errors(void **state) {
    (void)state;
    struct gwen_err err;
    assert_int_equal(gw_file_write(scratch_path("no/such/folder"), "x", 1, &err), GWEN_ERR_IO);
    assert_non_null(strstr(err.message, "no/such/folder"));
    assert_int_equal(gw_file_write(scratch_path(""), "x", 1, &err), GWEN_ERR_IO);
    /* a full device: small pieces fail at the commit, large ones at once */
    struct gw_out *out;
    assert_int_equal(gw_file_write("/dev/full", "x", 1, &err), GWEN_ERR_IO);
    assert_non_null(strstr(err.message, "No space left"));
    char *big = calloc(1, 1 << 20);
    assert_int_equal(gw_out_open("/dev/full", &out, &err), GWEN_OK);
    assert_int_equal(gw_out_write(out, big, 1 << 20, &err), GWEN_ERR_IO);
    assert_non_null(strstr(err.message, "No space left"));
    gw_out_abort(out);
    free(big);
    struct stat st; /* and the device is still there */
    assert_int_equal(stat("/dev/full", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
}

static void writers_do_not_meet(void **state) {
    (void)state;
    struct gwen_err err;
    struct gw_out *a, *b;
    const char *path = scratch_path("shared");
    assert_int_equal(gw_out_open(path, &a, &err), GWEN_OK);
    assert_int_equal(gw_out_open(path, &b, &err), GWEN_OK);
    assert_int_equal(gw_out_write(a, "aaaa", 4, &err), GWEN_OK);
    assert_int_equal(gw_out_write(b, "bb", 2, &err), GWEN_OK);
    assert_int_equal(gw_out_commit(a, &err), GWEN_OK);
    assert_content(path, "aaaa", 4);
    assert_int_equal(gw_out_commit(b, &err), GWEN_OK);
    assert_content(path, "bb", 2);
}

/* What a killed process leaves goes with the next write of the same file; what a living one writes
 * does not. */
static void left_over_files_go(void **state) {
    (void)state;
    struct gwen_err err;
    struct gw_out *a;
    scratch_puts("left/.gw-file.tmp", "half of it");
    const char *path = scratch_path("left/file"), *dir = scratch_path("left");
    assert_int_equal(gw_out_open(path, &a, &err), GWEN_OK);
    assert_int_equal(scratch_count(dir), 1);
    assert_int_equal(gw_file_write(path, "other", 5, &err), GWEN_OK);
    assert_int_equal(scratch_count(dir), 2);
    assert_int_equal(gw_out_write(a, "whole", 5, &err), GWEN_OK);
    assert_int_equal(gw_out_commit(a, &err), GWEN_OK);
    assert_content(path, "whole", 5);
    assert_int_equal(scratch_count(dir), 1);
    char name[255] = "";
    memset(name, 'x', sizeof name - 1);
    assert_int_equal(gw_file_write(scratch_path(name), "long", 4, &err), GWEN_OK);
    assert_content(scratch_path(name), "long", 4);
}

/* A pipe with a name is not waited for; one that a shell gives is read. */
static void pipes(void **state) {
    (void)state;
    struct gwen_err err;
    struct gw_str text = {0};
    struct gw_map map;
    bool found;
    const char *path = scratch_path("pipe");
    int ends[2];
    char given[64];
    assert_int_equal(mkfifo(path, 0666), 0);
    assert_int_equal(gw_file_read(path, 100, &text, &err), GWEN_ERR_IO);
    assert_non_null(strstr(err.message, "named pipe"));
    assert_int_equal(gw_map_open(path, &map, &err), GWEN_ERR_IO);
    assert_int_equal(gw_file_copy(path, scratch_path("copy"), &err), GWEN_ERR_IO);
    assert_int_equal(gw_file_find(path, &found, &err), GWEN_ERR_IO);
    assert_false(found);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "text", 4), 4);
    close(ends[1]);
    snprintf(given, sizeof given, "/dev/fd/%d", ends[0]);
    assert_int_equal(gw_file_read(given, 100, &text, &err), GWEN_OK);
    assert_string_equal(text.data, "text");
    close(ends[0]);
    gw_str_free(&text);
}

/* "Not there" is what the disk says, nothing else. */
static void finding(void **state) {
    (void)state;
    struct gwen_err err;
    bool found;
    char name[5000];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    const char *file = scratch_puts("found/file", "x"), *dir = scratch_path("found");
    assert_int_equal(gw_file_find(file, &found, &err), GWEN_OK);
    assert_true(found);
    assert_int_equal(gw_file_find(scratch_path("found/none"), &found, &err), GWEN_OK);
    assert_false(found);
    assert_int_equal(gw_file_find(scratch_path("found/file/below"), &found, &err), GWEN_OK);
    assert_false(found);
    assert_int_equal(gw_file_find(dir, &found, &err), GWEN_ERR_IO);
    assert_non_null(strstr(err.message, "is a folder"));
    assert_int_equal(gw_dir_find(dir, &found, &err), GWEN_OK);
    assert_true(found);
    assert_int_equal(gw_dir_find(file, &found, &err), GWEN_OK);
    assert_false(found);
    assert_int_equal(gw_file_find(name, &found, &err), GWEN_ERR_IO); /* ENAMETOOLONG */
    assert_int_equal(gw_dir_find(name, &found, &err), GWEN_ERR_IO);
}

static void copies(void **state) {
    (void)state;
    struct gwen_err err;
    size_t n = 200001;
    char *data = malloc(n);
    for (size_t i = 0; i < n; i++) data[i] = (char)(i * 31 >> 3);
    const char *from = scratch_write("from", data, n), *to = scratch_path("to");
    assert_int_equal(gw_file_copy(from, to, &err), GWEN_OK);
    assert_content(to, data, n);
    assert_int_equal(gw_file_copy(from, from, &err), GWEN_OK); /* onto itself */
    assert_content(from, data, n);
    assert_int_equal(gw_file_copy(scratch_path("absent"), to, &err), GWEN_ERR_IO);
    assert_content(to, data, n);
    free(data);
}

static void maps(void **state) {
    (void)state;
    struct gwen_err err;
    struct gw_map map;
    size_t n = 40001;
    char *data = malloc(n);
    for (size_t i = 0; i < n; i++) data[i] = (char)(i * 13 >> 2);
    const char *path = scratch_write("mapped", data, n);
    assert_int_equal(gw_map_open(path, &map, &err), GWEN_OK);
    assert_int_equal(map.size, n);
    assert_memory_equal(map.data, data, n);
    gw_map_release(&map, 0, n);
    gw_map_release(&map, 5000, SIZE_MAX);
    gw_map_release(&map, n + 1, 5);
    assert_memory_equal(map.data, data, n); /* file pages come back */
    gw_map_close(&map);
    gw_map_close(&map);
    for (size_t aligned = 0; aligned < 70; aligned += 23) {
        assert_int_equal(gw_map_read(path, aligned, &map, &err), GWEN_OK);
        assert_int_equal(((uintptr_t)map.data + aligned) % 64, 0);
        assert_memory_equal(map.data, data, n);
        gw_map_release(&map, 8192, 8192);
        assert_memory_equal(map.data, data, 8192); /* what was not let go stays */
        assert_memory_equal(map.data + 16384, data + 16384, n - 16384);
        gw_map_close(&map);
    }
    assert_int_equal(gw_map_open(scratch_write("nothing", "", 0), &map, &err), GWEN_OK);
    assert_null(map.data);
    gw_map_close(&map);
    assert_int_equal(gw_map_open("/dev/zero", &map, &err), GWEN_ERR_IO);
    assert_int_equal(gw_map_open(scratch_path(""), &map, &err), GWEN_ERR_IO);
    free(data);
}

static void folders(void **state) {
    (void)state;
    struct gwen_err err;
    assert_int_equal(gw_dir_make(scratch_path("d/e//f/"), &err), GWEN_OK);
    assert_true(gw_dir_exists(scratch_path("d/e/f")));
    assert_int_equal(gw_dir_make(scratch_path("d/e/f"), &err), GWEN_OK);
    scratch_puts("d/file", "");
    assert_int_equal(gw_dir_make(scratch_path("d/file"), &err), GWEN_ERR_IO);
    assert_int_equal(gw_dir_make(scratch_path("d/file/g"), &err), GWEN_ERR_IO);
    assert_int_equal(gw_dir_make("", &err), GWEN_ERR_IO);
    assert_true(gw_file_exists(scratch_path("d/file")));
    assert_false(gw_file_exists(scratch_path("d")));
    assert_false(gw_dir_exists(scratch_path("d/file")));
}

static void paths(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"/", "b", "/b"}, {"a", "/b", "/b"}};
    struct gw_str s = {0};
    struct gwen_err err;
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        assert_int_equal(gw_path_join(&s, cases[i][0], cases[i][1], &err), GWEN_OK);
        assert_string_equal(s.data, cases[i][2]);
    }
    gw_str_free(&s);
    assert_string_equal(gw_path_base("a/b/c"), "c");
    assert_string_equal(gw_path_base("c"), "c");
    assert_string_equal(gw_path_base("a/"), "");
}

/* Reads all lines and glues them together again. */
static void assert_lines(const char *path, const char *data, size_t len, size_t max_line,
                         uint64_t want_lines) {
    struct gwen_err err;
    struct gw_lines *r;
    struct gw_line line = {0};
    bool more;
    size_t at = 0;
    assert_int_equal(gw_lines_open(path, max_line, &r, &err), GWEN_OK);
    for (;;) {
        assert_int_equal(gw_lines_next(r, &line, &more, &err), GWEN_OK);
        if (!more) break;
        assert_int_equal(line.offset, at);
        assert_true(at + line.len <= len);
        assert_memory_equal(line.text, data + at, line.len);
        assert_int_equal(line.text[line.len], 0);
        at += line.len;
        if (at < len) assert_int_equal(data[at++], '\n');
    }
    assert_int_equal(at, len);
    assert_int_equal(line.number, want_lines);
    assert_int_equal(gw_lines_next(r, &line, &more, &err), GWEN_OK);
    assert_false(more);
    gw_lines_close(r);
}

static void lines(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        uint64_t lines;
    } cases[] = {{"", 0, 0},       {"\n", 1, 1},       {"a", 1, 1},        {"a\n", 2, 1},
                 {"a\n\nb", 4, 3}, {"a\0b\n\0", 5, 2}, {"x\r\ny\n", 5, 2}, {"\n\n\n", 3, 3}};
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++)
        assert_lines(scratch_write("lines", cases[i].text, cases[i].len), cases[i].text,
                     cases[i].len, 100, cases[i].lines);
    /* lines around the size of the buffer, and one far beyond it */
    size_t n = 0, cap = 3 << 20;
    char *data = malloc(cap);
    static const size_t lens[] = {65534, 65535, 65536, 65537, 0, 131071, 1, 1 << 20, 200000};
    for (size_t i = 0; i < GW_ARRAY_LEN(lens); i++) {
        memset(data + n, 'a' + (int)i, lens[i]);
        n += lens[i];
        data[n++] = '\n';
    }
    assert_lines(scratch_write("lines", data, n), data, n, 1 << 20, GW_ARRAY_LEN(lens));
    free(data);
}

static void long_lines_are_refused(void **state) {
    (void)state;
    struct gwen_err err;
    struct gw_lines *r;
    struct gw_line line;
    bool more;
    assert_int_equal(gw_lines_open(scratch_puts("long", "ok\n12345\n"), 4, &r, &err), GWEN_OK);
    assert_int_equal(gw_lines_next(r, &line, &more, &err), GWEN_OK);
    assert_int_equal(gw_lines_next(r, &line, &more, &err), GWEN_ERR_FORMAT);
    assert_non_null(strstr(err.message, "long:2: line longer than 4 bytes"));
    gw_lines_close(r);
    /* without an end in sight: not read to its end */
    assert_int_equal(gw_lines_open("/dev/zero", 1 << 20, &r, &err), GWEN_OK);
    assert_int_equal(gw_lines_next(r, &line, &more, &err), GWEN_ERR_FORMAT);
    gw_lines_close(r);
    assert_int_equal(gw_lines_open(scratch_path("absent"), 4, &r, &err), GWEN_ERR_IO);
    assert_null(r);
}

static void lines_from_a_pipe(void **state) {
    (void)state;
    struct gwen_err err;
    struct gw_lines *r;
    struct gw_line line;
    bool more;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(gw_lines_open_fd(fds[0], "stdin", 100, &r, &err), GWEN_OK);
    assert_string_equal(gw_lines_name(r), "stdin");
    assert_int_equal(write(fds[1], "on", 2), 2);
    assert_int_equal(write(fds[1], "e\ntw", 4), 4);
    assert_int_equal(gw_lines_next(r, &line, &more, &err), GWEN_OK); /* before the writer ends */
    assert_string_equal(line.text, "one");
    assert_int_equal(write(fds[1], "o", 1), 1);
    close(fds[1]);
    assert_int_equal(gw_lines_next(r, &line, &more, &err), GWEN_OK);
    assert_string_equal(line.text, "two");
    gw_lines_close(r);
    assert_int_equal(fcntl(fds[0], F_GETFD) >= 0, 1); /* not ours to close */
    close(fds[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_limits),
        cmocka_unit_test(write_replaces),
        cmocka_unit_test(write_large),
        cmocka_unit_test(abort_leaves_nothing),
        cmocka_unit_test(write_errors),
        cmocka_unit_test(writers_do_not_meet),
        cmocka_unit_test(left_over_files_go),
        cmocka_unit_test(pipes),
        cmocka_unit_test(finding),
        cmocka_unit_test(copies),
        cmocka_unit_test(maps),
        cmocka_unit_test(folders),
        cmocka_unit_test(paths),
        cmocka_unit_test(lines),
        cmocka_unit_test(long_lines_are_refused),
        cmocka_unit_test(lines_from_a_pipe),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

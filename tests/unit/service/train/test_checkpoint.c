/* test_checkpoint.c - checkpoints: what is read back, which are kept, and that neither a kill nor a
 * full disk costs the one before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/tree.h"
#include "service/train/checkpoint.h"
#include "unit/scratch.h"

static const char *folder(const char *name) {
    const char *path = scratch_path(name);
    assert_int_equal(mkdir(path, 0777), 0);
    return path;
}

static struct gw_str join(const char *dir, const char *name) {
    struct gw_str path = {0};
    struct gwen_err err;
    assert_int_equal(gw_path_join(&path, dir, name, &err), GWEN_OK);
    return path;
}

/* A part: sub/weights, `size` bytes that all have the low byte of the step. */
struct weights {
    uint64_t step;
    size_t size;
};

static enum gwen_status write_weights(void *ctx, const char *dir, struct gwen_err *err) {
    const struct weights *w = ctx;
    struct gw_str sub = {0}, path = {0};
    char *bytes = malloc(w->size);
    memset(bytes, (int)w->step, w->size);
    enum gwen_status status = gw_path_join(&sub, dir, "sub", err);
    if (status == GWEN_OK) status = gw_dir_make(sub.data, err);
    if (status == GWEN_OK) status = gw_path_join(&path, sub.data, "weights", err);
    if (status == GWEN_OK) status = gw_file_write(path.data, bytes, w->size, err);
    gw_str_free(&sub);
    gw_str_free(&path);
    free(bytes);
    return status;
}

static enum gwen_status save(const char *dir, uint64_t step, size_t size, size_t keep,
                             struct gwen_err *err) {
    struct weights w = {step, size};
    const struct gw_checkpoint_part part = {write_weights, &w};
    struct gw_train_state s = {
        .step = step, .generation = 3 * step, .used = 2, .data = 11, .epoch = 1, .row = 7};
    gw_str_puts(&s.config, "{\"seed\":9007199254740993}");
    if (step % 2 == 1) gw_str_puts(&s.held, "{\"step\":1,\"loss\":0.25,\"a\":null}\n");
    enum gwen_status status = gw_checkpoint_write(dir, &s, &part, 1, keep, err);
    gw_train_state_free(&s);
    return status;
}

static void save_ok(const char *dir, uint64_t step, size_t size, size_t keep) {
    struct gwen_err err;
    if (save(dir, step, size, keep, &err) != GWEN_OK) fail_msg("%s", err.message);
}

/* The newest checkpoint is of this step, and whole. */
static uint64_t check_newest(const char *dir, size_t size) {
    struct gw_str path = {0}, bytes = {0};
    struct gw_train_state s;
    struct gwen_err err;
    bool found;
    assert_int_equal(gw_checkpoint_newest(dir, NULL, &path, &found, &err), GWEN_OK);
    if (!found) return 0;
    if (gw_checkpoint_read(path.data, &s, &err) != GWEN_OK) fail_msg("%s", err.message);
    struct gw_str name = join(path.data, "sub/weights");
    if (gw_file_read(name.data, 1 << 24, &bytes, &err) != GWEN_OK) fail_msg("%s", err.message);
    assert_int_equal(bytes.len, size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal((unsigned char)bytes.data[i], (unsigned char)s.step);
    assert_true(s.generation == 3 * s.step && s.used == 2 && s.data == 11 && s.epoch == 1 &&
                s.row == 7 && s.skipped == 0);
    assert_string_equal(s.config.data, "{\"seed\":9007199254740993}");
    assert_string_equal(s.profile.data, "{}");
    assert_string_equal(s.held.len > 0 ? s.held.data : "",
                        s.step % 2 == 1 ? "{\"step\":1,\"loss\":0.25,\"a\":null}" : "");
    uint64_t step = s.step;
    gw_train_state_free(&s);
    gw_str_free(&name);
    gw_str_free(&path);
    gw_str_free(&bytes);
    return step;
}

static void newest_are_kept(void **state) {
    (void)state;
    const char *dir = folder("kept");
    assert_int_equal(check_newest(dir, 10), 0);
    for (uint64_t step = 8; step <= 12; step++) save_ok(dir, step, 10, 2);
    assert_int_equal(scratch_count(dir), 2); /* 11 and 12: by number, not by name */
    assert_int_equal(check_newest(dir, 10), 12);
    save_ok(dir, 12, 20, 2); /* again */
    assert_int_equal(scratch_count(dir), 2);
    assert_int_equal(check_newest(dir, 20), 12);
    for (uint64_t step = 13; step <= 15; step++) save_ok(dir, step, 10, 0);
    assert_int_equal(scratch_count(dir), 5);
    save_ok(dir, 16, 10, 1);
    assert_int_equal(scratch_count(dir), 1);
}

/* Only whole ones with our names count; what a killed run left is swept away. */
static void other_folders_are_left_alone(void **state) {
    (void)state;
    const char *dir = folder("other");
    struct gwen_err err;
    uint64_t *steps;
    size_t n;
    save_ok(dir, 5, 10, 0);
    const char *const names[] = {"checkpoint-7", "checkpoint-09", "checkpoint-", "checkpoint-x",
                                 "checkpoint-6.tmp"};
    for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
        struct gw_str path = join(dir, names[i]);
        assert_int_equal(mkdir(path.data, 0777), 0);
        gw_str_free(&path);
    }
    /* one with the state of another step */
    struct gw_str from = join(dir, "checkpoint-5/state.json"),
                  to = join(dir, "checkpoint-7/state.json");
    assert_int_equal(gw_file_copy(from.data, to.data, &err), GWEN_OK);
    gw_str_free(&from);
    gw_str_free(&to);
    assert_int_equal(gw_checkpoint_list(dir, &steps, &n, &err), GWEN_OK);
    assert_int_equal(n, 1);
    assert_int_equal(steps[0], 5);
    free(steps);
    save_ok(dir, 8, 10, 1);
    assert_int_equal(scratch_count(dir), 5); /* 8 and the four that are not ours */
    assert_int_equal(gw_checkpoint_list("/does/not/exist", &steps, &n, &err), GWEN_ERR_IO);
}

static void take_warning(void *user, enum gwen_log_level level, const char *text) {
    assert_int_equal(level, GWEN_LOG_WARNING);
    snprintf(user, 512, "%s", text);
}

/* The one before is used, and it is said why; without one nothing begins anew. */
static void a_damaged_one_is_told(void **state) {
    (void)state;
    const char *dir = folder("damaged");
    char said[512] = "";
    const struct gw_log log = {.fn = take_warning, .user = said, .level = GWEN_LOG_WARNING};
    struct gw_str path = {0};
    struct gwen_err err;
    bool found;
    save_ok(dir, 3, 10, 0);
    save_ok(dir, 4, 10, 0);
    struct gw_str third = join(dir, "checkpoint-3/state.json"),
                  fourth = join(dir, "checkpoint-4/state.json");
    assert_int_equal(gw_file_write(fourth.data, "{", 1, &err), GWEN_OK);
    assert_int_equal(gw_checkpoint_newest(dir, &log, &path, &found, &err), GWEN_OK);
    assert_true(found && strstr(path.data, "checkpoint-3") != NULL);
    assert_non_null(strstr(said, "checkpoint-4 cannot be used: "));
    assert_int_equal(unlink(third.data), 0);
    assert_int_equal(gw_checkpoint_newest(dir, &log, &path, &found, &err), GWEN_ERR_IO);
    if (strstr(err.message, "checkpoint-3/state.json") == NULL) fail_msg("%s", err.message);
    gw_str_free(&third);
    gw_str_free(&fourth);
    gw_str_free(&path);
}

/* Any bit of any file: the one before is used instead. */
static void a_flipped_bit_is_found(void **state) {
    (void)state;
    static const char *const files[] = {"state.json", "sub/weights"};
    const char *dir = folder("flipped");
    struct gw_str path = {0}, was = {0};
    struct gwen_err err;
    bool found, unsummed = true;
    save_ok(dir, 3, 10, 0);
    save_ok(dir, 4, 70, 0);
    struct gw_str fourth = join(dir, "checkpoint-4");
    assert_int_equal(gw_checkpoint_check(fourth.data, &unsummed, &err), GWEN_OK);
    assert_false(unsummed);
    for (size_t k = 0; k < GW_ARRAY_LEN(files); k++) {
        struct gw_str file = join(fourth.data, files[k]);
        gw_str_clear(&was);
        assert_int_equal(gw_file_read(file.data, 1 << 20, &was, &err), GWEN_OK);
        for (size_t bit = k; bit < 8 * was.len; bit += 3) {
            was.data[bit / 8] ^= (char)(1 << bit % 8);
            assert_int_equal(gw_file_write(file.data, was.data, was.len, &err), GWEN_OK);
            assert_int_not_equal(gw_checkpoint_check(fourth.data, NULL, &err), GWEN_OK);
            assert_int_equal(gw_checkpoint_newest(dir, NULL, &path, &found, &err), GWEN_OK);
            assert_non_null(strstr(path.data, "checkpoint-3"));
            was.data[bit / 8] ^= (char)(1 << bit % 8);
        }
        assert_int_equal(gw_file_write(file.data, was.data, was.len - 1, &err), GWEN_OK);
        assert_int_not_equal(gw_checkpoint_check(fourth.data, NULL, &err), GWEN_OK);
        assert_int_equal(gw_file_write(file.data, was.data, was.len, &err), GWEN_OK);
        gw_str_free(&file);
    }
    assert_int_equal(gw_checkpoint_check(fourth.data, NULL, &err), GWEN_OK);
    gw_str_free(&fourth);
    gw_str_free(&path);
    gw_str_free(&was);
}

/* One that a version without checksums wrote is used, with a warning. */
static void an_older_one_is_accepted(void **state) {
    (void)state;
    const char *dir = folder("older");
    char said[512] = "";
    const struct gw_log log = {.fn = take_warning, .user = said, .level = GWEN_LOG_WARNING};
    struct gw_str path = {0};
    struct gwen_err err;
    bool found;
    scratch_puts("older/checkpoint-2/state.json",
                 "{\"gwen_checkpoint\":2,\"step\":2,\"generation\":0,\"used\":0,\"epoch\":0,"
                 "\"row\":0,\"skipped\":0,\"data\":0,\"config\":{},\"origin\":{},\"profile\":{}}");
    assert_int_equal(gw_checkpoint_newest(dir, NULL, &path, &found, &err), GWEN_ERR_IO);
    scratch_puts("older/checkpoint-2/optimizer.safetensors", "x");
    assert_int_equal(gw_checkpoint_newest(dir, &log, &path, &found, &err), GWEN_OK);
    assert_true(found);
    assert_non_null(strstr(said, "without checksums"));
    gw_str_free(&path);
}

static void a_failed_part_leaves_nothing(void **state) {
    (void)state;
    const char *dir = folder("failed");
    struct gwen_err err;
    struct rlimit old, small;
    save_ok(dir, 1, 10, 1);
    /* Files of at most 100 kB: what a full disk looks like to a writer. */
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 100000;
    setrlimit(RLIMIT_FSIZE, &small);
    enum gwen_status status = save(dir, 2, 1000000, 1, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(status, GWEN_ERR_IO);
    assert_non_null(strstr(err.message, "checkpoint-2.tmp/sub/weights: File too large"));
    assert_int_equal(scratch_count(dir), 1);
    assert_int_equal(check_newest(dir, 10), 1);
    save_ok(dir, 2, 1000000, 1);
    assert_int_equal(check_newest(dir, 1000000), 2);
}

/* The same with a disk that is full indeed. */
static void a_full_disk(void **state) {
    (void)state;
    const char *dir = folder("disk");
    struct gwen_err err;
    if (mount("none", dir, "tmpfs", 0, "size=1m") != 0) {
        print_message("skip: cannot mount a small disk\n");
        skip();
    }
    save_ok(dir, 1, 400000, 1);
    enum gwen_status space = gw_checkpoint_check_space(dir, 700000, 0, 1, &err);
    struct gwen_err space_err = err;
    enum gwen_status enough = gw_checkpoint_check_space(dir, 400000, 0, 1, &err);
    enum gwen_status status = save(dir, 2, 900000, 1, &err);
    int entries = scratch_count(dir);
    uint64_t step = check_newest(dir, 400000);
    umount(dir);
    assert_int_equal(space, GWEN_ERR_IO);
    assert_non_null(strstr(space_err.message, "free: make room or lower save_total_limit"));
    assert_int_equal(enough, GWEN_OK);
    assert_int_equal(status, GWEN_ERR_IO);
    assert_non_null(strstr(err.message, "No space left on device"));
    assert_int_equal(entries, 1);
    assert_int_equal(step, 1);
}

static void space_is_checked(void **state) {
    (void)state;
    const char *dir = folder("space");
    struct gwen_err err;
    uint64_t there;
    assert_int_equal(gw_dir_free_bytes(dir, &there, &err), GWEN_OK);
    assert_int_equal(gw_checkpoint_check_space(dir, 1, 1, 3, &err), GWEN_OK);
    assert_int_equal(gw_checkpoint_check_space(dir, UINT64_MAX / 2, 0, 3, &err), GWEN_ERR_IO);
    if (strstr(err.message, "4 checkpoints of ") == NULL) fail_msg("%s", err.message);
    assert_int_equal(gw_checkpoint_check_space(dir, there * 2, 0, 0, &err), GWEN_ERR_IO);
    assert_non_null(strstr(err.message, "1 checkpoint of "));
    assert_int_equal(gw_checkpoint_check_space(dir, 1, there * 2, 0, &err), GWEN_ERR_IO);
}

/* Killed at any moment, the newest checkpoint is whole, and no older than the last that was told to
 * be written. */
static void killed_at_any_moment(void **state) {
    (void)state;
    const char *dir = folder("killed");
    uint64_t *told = calloc(1, sizeof *told), last = 0;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    for (unsigned round = 0; round < 20 || last == 0; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            struct gwen_err err;
            for (uint64_t step = last + 1;; step++) {
                if (save(dir, step, 100000, 2, &err) != GWEN_OK) _exit(1);
                if (write(ends[1], &step, sizeof step) != (ssize_t)sizeof step) _exit(1);
            }
        }
        assert_true(pid > 0);
        usleep(1000 + round * round * 400);
        kill(pid, SIGKILL);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        uint64_t none = UINT64_MAX, step; /* marks the end of what this child has told */
        assert_int_equal(write(ends[1], &none, sizeof none), sizeof none);
        while (read(ends[0], &step, sizeof step) == (ssize_t)sizeof step && step != none)
            *told = step;
        last = check_newest(dir, 100000);
        assert_true(last >= *told);
    }
    save_ok(dir, last + 1, 100000, 2);
    assert_true(scratch_count(dir) <= 2);
    close(ends[0]);
    close(ends[1]);
    free(told);
}

static void wrong_states(void **state) {
    (void)state;
    static const struct {
        const char *text, *what;
    } cases[] = {
        {"", "state.json:1:"},
        {"{}", "state.json:1: \"gwen_checkpoint\" is missing"},
        {"{\"gwen_checkpoint\":4}", "version 4 of a checkpoint is not known"},
        {"{\"gwen_checkpoint\":3,\"step\":1,\"generation\":0,\"used\":0,\"epoch\":0,\"row\":0,"
         "\"skipped\":0,\"data\":0,\"metrics\":{\"bytes\":1,\"sum\":\"xyz\"}}",
         "\"metrics\": expected its bytes and their sum"},
        {"{\"gwen_checkpoint\":2,\"step\":-1}", "\"step\": -1 is outside"},
        {"{\"gwen_checkpoint\":2,\"step\":1.5}", "\"step\": expected an integer"},
        {"{\"gwen_checkpoint\":2,\"step\":1,\"generation\":0,\"used\":0,\"epoch\":0,\"row\":0,"
         "\"skipped\":0,\"data\":0,"
         "\"config\":[],\"profile\":{}}",
         "\"config\": expected an object"},
    };
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct gw_train_state s;
        struct gwen_err err;
        assert_int_equal(
            gw_train_state_parse(cases[i].text, strlen(cases[i].text), "state.json", &s, &err),
            GWEN_ERR_FORMAT);
        if (strstr(err.message, cases[i].what) == NULL) fail_msg("%s", err.message);
    }
}

static void trees(void **state) {
    (void)state;
    struct gwen_err err;
    const char *root = folder("tree"), *keep = scratch_puts("outside", "x");
    struct gw_str link = join(root, "link");
    scratch_puts("tree/a/b/file", "y");
    assert_int_equal(symlink(keep, link.data), 0);
    assert_int_equal(gw_tree_sync(root, &err), GWEN_OK);
    assert_int_equal(gw_tree_remove(root, &err), GWEN_OK);
    assert_false(gw_dir_exists(root));
    assert_true(gw_file_exists(keep)); /* the link went, not what it names */
    assert_int_equal(gw_tree_remove(root, &err), GWEN_OK);
    assert_int_equal(gw_tree_sync(root, &err), GWEN_ERR_IO);
    gw_str_free(&link);
    /* too deep to be one of ours */
    root = folder("deep");
    struct gw_str path = join(root, "x");
    for (int i = 0; i < GW_TREE_DEPTH + 1; i++) gw_str_puts(&path, "/x");
    assert_int_equal(gw_dir_make(path.data, &err), GWEN_OK);
    assert_int_equal(gw_tree_remove(root, &err), GWEN_ERR_IO);
    gw_str_free(&path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newest_are_kept),
        cmocka_unit_test(other_folders_are_left_alone),
        cmocka_unit_test(a_damaged_one_is_told),
        cmocka_unit_test(a_flipped_bit_is_found),
        cmocka_unit_test(an_older_one_is_accepted),
        cmocka_unit_test(a_failed_part_leaves_nothing),
        cmocka_unit_test(a_full_disk),
        cmocka_unit_test(space_is_checked),
        cmocka_unit_test(killed_at_any_moment),
        cmocka_unit_test(wrong_states),
        cmocka_unit_test(trees),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

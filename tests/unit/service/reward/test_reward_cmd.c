/* test_reward_cmd.c - rewards from a child process: good ones, slow ones, and every way to fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "service/reward/child.h"
#include "service/reward/cmd.h"
#include "unit/scratch.h"

enum { MANY = 2000 };

static struct gw_reward_input input(const char *completion) {
    static const int32_t ids[] = {5, 6, 7};
    return (struct gw_reward_input){.prompt = "a \"prompt\"\n",
                                    .prompt_len = 11,
                                    .completion = completion,
                                    .completion_len = strlen(completion),
                                    .ids = ids,
                                    .n = 3,
                                    .meta = "{\"answer\":4}",
                                    .meta_len = 12};
}

static struct gw_reward_cmd *command(const char *text, double timeout_s, unsigned restarts) {
    struct gw_reward_cmd_opts o = GW_REWARD_CMD_OPTS_INIT;
    struct gw_reward_cmd *c;
    struct gwen_err err;
    o.command = text;
    o.timeout_s = timeout_s;
    o.restarts = restarts;
    if (gw_reward_cmd_new(&o, &c, &err) != GWEN_OK) fail_msg("%s", err.message);
    return c;
}

/* The command `python3 FILE` with this program. */
static const char *python(const char *program) {
    static char text[300];
    if (system("python3 -c pass 2>/dev/null") != 0) {
        print_message("skip: there is no python3\n");
        skip();
    }
    snprintf(text, sizeof text, "exec python3 %s", scratch_puts("reward.py", program));
    return text;
}

/* Scores n rows whose completions are their numbers. */
static enum gwen_status score(struct gw_reward_cmd *c, size_t n, float *out, struct gwen_err *err) {
    struct gw_reward_input *in = calloc(n, sizeof *in);
    char(*texts)[24] = calloc(n, sizeof *texts);
    for (size_t i = 0; i < n; i++) {
        snprintf(texts[i], sizeof *texts, "%zu", i);
        in[i] = input(texts[i]);
    }
    enum gwen_status status = gw_reward_cmd_score(c, in, n, out, 1, err);
    free(in);
    free(texts);
    return status;
}

static void score_ok(struct gw_reward_cmd *c, size_t n, float *out) {
    struct gwen_err err;
    if (score(c, n, out, &err) != GWEN_OK) fail_msg("%s", err.message);
}

/* The command fails on two rows with all of these words, in one line. */
static void fails(struct gw_reward_cmd *c, const char *first, const char *second) {
    struct gwen_err err = {0};
    float out[2];
    assert_int_not_equal(score(c, 2, out, &err), GWEN_OK);
    if (strstr(err.message, first) == NULL || strstr(err.message, second) == NULL)
        fail_msg("%s", err.message);
    assert_null(strchr(err.message, '\n'));
    gw_reward_cmd_free(c);
}

static int open_files(void) { return scratch_count("/proc/self/fd"); }

static int setup(void **state) { return scratch_setup(state); }

/* No test leaves a child or a descriptor behind. */
static int files_before;
static int before(void **state) {
    (void)state;
    files_before = open_files();
    return 0;
}
static int after(void **state) {
    (void)state;
    int status;
    return open_files() != files_before || waitpid(-1, &status, WNOHANG) != -1 || errno != ECHILD;
}

static void answers_in_any_order(void **state) {
    (void)state;
    struct gw_reward_cmd *c = command(python("import sys, json\n"
                                             "held = []\n"
                                             "for line in sys.stdin:\n"
                                             "    r = json.loads(line)\n"
                                             "    assert r['prompt'] == 'a \"prompt\"\\n'\n"
                                             "    assert r['ids'] == [5, 6, 7]\n"
                                             "    assert r['meta'] == {'answer': 4}\n"
                                             "    held.append(r)\n"
                                             "    if len(held) < 5: continue\n"
                                             "    for r in reversed(held):\n"
                                             "        v = int(r['completion'])\n"
                                             "        v = None if v == 3 else v / 2\n"
                                             "        print(json.dumps({'reward': v, 'x': 1,\n"
                                             "              'id': r['id']}), flush=True)\n"
                                             "    held = []\n"),
                                      60, 0);
    float out[5];
    for (int call = 0; call < 3; call++) {
        score_ok(c, 5, out);
        for (int i = 0; i < 5; i++) assert_true(i == 3 ? isnan(out[i]) : out[i] == (float)i / 2);
    }
    assert_string_equal(gw_reward_cmd_stderr(c), "");
    gw_reward_cmd_free(c);
}

/* More than pipes hold on all three: it answers only when everything has been read, and complains
 * without end meanwhile. */
static void floods_do_not_block(void **state) {
    (void)state;
    struct gw_reward_cmd *c =
        command(python("import sys, json\n"
                       "rows = []\n"
                       "while len(rows) < 2000:\n"
                       "    rows.append(json.loads(sys.stdin.readline()))\n"
                       "    sys.stderr.write('x' * 2000 + '\\n')\n"
                       "for r in rows:\n"
                       "    sys.stderr.write('y' * 200 + '\\n')\n"
                       "    print(json.dumps({'id': r['id'], 'reward': 1, 'pad': 'z' * 500}))\n"
                       "    print()\n"
                       "sys.stdout.flush()\n"
                       "sys.stdin.read()\n"),
                60, 0);
    float *out = calloc(MANY, sizeof *out);
    score_ok(c, MANY, out);
    for (int i = 0; i < MANY; i++) assert_true(out[i] == 1);
    assert_true(strlen(gw_reward_cmd_stderr(c)) <= GW_CHILD_TAIL);
    gw_reward_cmd_free(c);
    free(out);
}

/* A child may answer while it is still being written to. */
static void answers_while_rows_are_written(void **state) {
    (void)state;
    struct gw_reward_cmd *c =
        command("sed -u 's/^{\"id\":\\([0-9]*\\),.*/{\"id\":\\1,\"reward\":\\1}/'", 60, 0);
    float *out = calloc(MANY, sizeof *out);
    score_ok(c, MANY, out);
    for (int i = 0; i < MANY; i++) assert_true(out[i] == (float)i);
    gw_reward_cmd_free(c);
    free(out);
}

static void dead_children(void **state) {
    (void)state;
    fails(command("echo one >&2; echo two >&2; exit 3", 60, 0),
          "ended with status 3 at row {\"id\":0,\"prompt\":\"a \\\"prompt\\\"\\n\"",
          "its stderr: one | two");
    fails(command("read x; kill -9 $$", 60, 0), "was killed by signal 9 at row {\"id\":0",
          "wrote nothing to stderr");
    fails(command("read x; echo '{\"id\":0,\"reward\":1}'; read x; exit 1", 60, 5),
          "ended with status 1 at row {\"id\":1", "\"completion\":\"1\"");
    fails(command("/does/not/exist", 60, 5), "ended with status 127", "not found");
    /* it ends well, but too early: started again, then told */
    fails(command("true", 60, 2), "ended with status 0", "at row {\"id\":0");
    /* it closes its output and lives on */
    fails(command("exec >&-; sleep 100", 60, 0), "closed its output, and was killed", "at row");
}

static void nonsense(void **state) {
    static const struct {
        const char *command, *first, *second;
    } cases[] = {
        {"echo hello; cat", "answered nonsense (answer:2:5: ", "): hello at row {\"id\":0"},
        {"echo '{\"id\":0,\"reward\":NaN}'; cat", "NaN and Infinity are not JSON", "at row"},
        {"echo '{\"id\":0,\"reward\":1e300}'; cat", "that a float32 can hold", "at row"},
        {"echo '{\"id\":0,\"reward\":true}'; cat", "neither null nor a number", "at row"},
        {"echo '{\"id\":0,\"reward\":\"1\"}'; cat", "neither null nor a number", "at row"},
        {"echo '{\"id\":0}'; cat", "\"reward\" is missing", "at row"},
        {"echo '{\"reward\":1}'; cat", "\"id\" is not the one of a row", "at row"},
        {"echo '{\"id\":\"0\",\"reward\":1}'; cat", "\"id\" is not the one of a row", "at row"},
        {"echo '[0,1]'; cat", "expected a JSON object", "[0,1]"},
        {"read x; echo '{\"id\":77,\"reward\":1}'; cat", "no row with this id is waiting", "77"},
        {"read x; echo '{\"id\":0,\"reward\":1}\n{\"id\":0,\"reward\":1}'; cat", "answered twice",
         "at row {\"id\":0"},
        {"echo why >&2; printf '\\033[1m\\377a\\001\\n'; cat", "): ?[1m?a? at row",
         "its stderr: why"},
        {"head -c 3000000 /dev/zero | tr '\\0' x; cat", "a line of more than 1 MiB", "xxx"},
    };
    (void)state;
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++)
        fails(command(cases[i].command, 60, 3), cases[i].first, cases[i].second);
}

static void hanging_children_are_started_again(void **state) {
    (void)state;
    fails(command("sleep 1000", 0.2, 1), "gave no answer within 0.2 s at row {\"id\":0",
          "wrote nothing to stderr");
    fails(command("echo stuck >&2; read x; read x; echo '{\"id\":1,\"reward\":1}'; sleep 1000", 0.3,
                  0),
          "gave no answer", "at row {\"id\":0");
    /* Blank lines and parts of a line are no answers. */
    fails(command("yes ''", 0.3, 1), "gave no answer within 0.3 s at row {\"id\":0", "stderr");
    fails(command("while :; do printf ' '; sleep 0.05; done", 0.3, 0), "gave no answer", "stderr");
    /* The first one hangs, the second works: the rows are sent again. */
    char text[600];
    snprintf(text, sizeof text,
             "if mkdir %s 2>/dev/null; then sleep 1000; fi; "
             "sed -u 's/^{\"id\":\\([0-9]*\\),.*/{\"id\":\\1,\"reward\":2}/'",
             scratch_path("mark"));
    struct gw_reward_cmd *c = command(text, 2, 1);
    float out[3];
    score_ok(c, 3, out);
    assert_true(out[0] == 2 && out[2] == 2);
    gw_reward_cmd_free(c);
}

/* One process per call is fine, as long as it ends well. */
static void short_lived_children(void **state) {
    (void)state;
    struct gw_reward_cmd *c =
        command("head -n 2 | sed 's/^{\"id\":\\([0-9]*\\),.*/{\"id\":\\1,\"reward\":\\1}/'", 60, 1);
    float out[2];
    for (int call = 0; call < 3; call++) {
        score_ok(c, 2, out);
        assert_true(out[1] == (float)(2 * call + 1)); /* ids are never used again */
    }
    gw_reward_cmd_free(c);
}

static bool never(void *user) {
    ++*(int *)user;
    return false;
}

static void cancelling_and_wrong_use(void **state) {
    (void)state;
    struct gw_reward_cmd_opts o = GW_REWARD_CMD_OPTS_INIT;
    struct gw_reward_cmd *c;
    struct gwen_err err;
    int asked = 0;
    float out[2];
    assert_int_equal(gw_reward_cmd_new(&o, &c, &err), GWEN_ERR_ARGUMENT);
    o.command = "sleep 1000";
    o.timeout_s = 0;
    assert_int_equal(gw_reward_cmd_new(&o, &c, &err), GWEN_ERR_ARGUMENT);
    o.timeout_s = 60;
    o.keep_going = never;
    o.user = &asked;
    assert_int_equal(gw_reward_cmd_new(&o, &c, &err), GWEN_OK);
    assert_int_equal(gw_reward_cmd_score(c, NULL, 0, out, 1, &err), GWEN_OK); /* nothing to do */
    assert_int_equal(score(c, 2, out, &err), GWEN_ERR_CANCELLED);
    assert_int_equal(asked, 1);
    gw_reward_cmd_free(c);
    gw_reward_cmd_free(NULL);
}

static bool is_running(long pid) {
    char path[64], text[200] = "";
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *f = fopen(path, "r");
    if (f == NULL) return false;
    char *line = fgets(text, sizeof text, f);
    fclose(f);
    return line != NULL && strstr(text, ") Z ") == NULL;
}

/* What the child has started goes with it. */
static void the_whole_group_is_killed(void **state) {
    (void)state;
    char text[600];
    const char *path = scratch_path("pid");
    snprintf(text, sizeof text,
             "sleep 1000 & echo $! >%s; sed -u 's/^{\"id\":\\([0-9]*\\),.*/{\"id\":\\1,"
             "\"reward\":null}/'",
             path);
    struct gw_reward_cmd *c = command(text, 60, 0);
    struct gw_str pid = {0};
    struct gwen_err err;
    float out[2];
    score_ok(c, 2, out);
    assert_true(isnan(out[0]) && isnan(out[1]));
    assert_int_equal(gw_file_read(path, 100, &pid, &err), GWEN_OK);
    long number = strtol(pid.data, NULL, 10);
    assert_true(is_running(number));
    gw_reward_cmd_free(c);
    for (int i = 0; i < 500 && is_running(number); i++) usleep(10000);
    assert_false(is_running(number));
    gw_str_free(&pid);
}

/* A host whose SIGPIPE kills: the write to a child without ears must not raise it. */
static void no_sigpipe(void **state) {
    (void)state;
    signal(SIGPIPE, SIG_DFL);
    struct gw_reward_cmd *c = command("exec <&-; echo deaf >&2; sleep 0.3; exit 4", 60, 0);
    struct gwen_err err;
    float *out = calloc(MANY, sizeof *out);
    assert_int_equal(score(c, MANY, out, &err), GWEN_ERR_FORMAT);
    if (strstr(err.message, "ended with status 4") == NULL) fail_msg("%s", err.message);
    assert_string_equal(gw_reward_cmd_stderr(c), "deaf\n");
    sigset_t pending;
    sigpending(&pending);
    assert_false(sigismember(&pending, SIGPIPE));
    gw_reward_cmd_free(c);
    free(out);
}

static void as_one_reward_of_several(void **state) {
    (void)state;
    struct gw_rewards *r;
    struct gw_reward_cmd_opts o = GW_REWARD_CMD_OPTS_INIT;
    struct gwen_err err;
    o.command = "sed -u 's/^{\"id\":\\([0-9]*\\),.*/{\"id\":\\1,\"reward\":\\1}/'";
    assert_int_equal(gw_rewards_new(&r, &err), GWEN_OK);
    assert_int_equal(gw_rewards_add(r, "exact", &err), GWEN_OK);
    assert_int_equal(gw_rewards_add_command(r, &o, &err), GWEN_OK);
    assert_int_equal(gw_rewards_add(r, "length:3", &err), GWEN_OK);
    assert_string_equal(gw_rewards_name(r, 1), "command");
    bool applies;
    assert_int_equal(gw_rewards_applies(r, 1, "{}", 2, &applies, &err), GWEN_OK);
    assert_true(applies);
    const struct gw_reward_input in[] = {input("4"), input("5")};
    float scores[2][3];
    if (gw_rewards_score(r, in, 2, scores[0], &err) != GWEN_OK) fail_msg("%s", err.message);
    assert_true(scores[0][0] == 1 && scores[0][1] == 0 && scores[0][2] == 1);
    assert_true(scores[1][0] == 0 && scores[1][1] == 1 && scores[1][2] == 1);
    gw_rewards_free(r);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, before, after)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(answers_in_any_order),
        CASE(floods_do_not_block),
        CASE(answers_while_rows_are_written),
        CASE(dead_children),
        CASE(nonsense),
        CASE(hanging_children_are_started_again),
        CASE(short_lived_children),
        CASE(cancelling_and_wrong_use),
        CASE(the_whole_group_is_killed),
        CASE(no_sigpipe),
        CASE(as_one_reward_of_several),
    };
    return cmocka_run_group_tests(tests, setup, scratch_teardown);
}

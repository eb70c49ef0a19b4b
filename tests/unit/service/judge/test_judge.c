/* test_judge.c - verdicts do not depend on chunks, sharing or memory; the cache keeps them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/judge/judge.h"
#include "unit/scratch.h"

static const char DIR[] = "tests/fixtures/golden/stories260K-hf";
enum { N = 9, CRITERIA = 3 };

struct world {
    struct gw_pool *pool;
    struct gw_model *model;
    struct gw_tokenizer *tokenizer;
    struct gw_config cfg;
    struct gw_rubric rubric;
    struct gw_judge_item items[N];
    char texts[N][64];
    struct tm now;
    size_t loads, warnings;
};

static void open_world(struct world *w) {
    static const char rubric[] =
        "{\"system\": \"You read stories to children and say how they like them.\", \"template\":"
        "\"The story began so: {prompt}\\nIt went on: {response}\\nWas it {criterion}? 1 to 5: \","
        "\"criteria\": [{\"name\": \"funny\"}, {\"name\": \"sad\", \"weight\": -1},"
        "{\"name\": \"long\", \"description\": \"longer than a sentence\"}]}";
    struct gwen_err err;
    *w = (struct world){0};
    assert_int_equal(gw_pool_create(2, &w->pool, &err), GWEN_OK);
    assert_int_equal(gw_config_load(DIR, &w->cfg, &err), GWEN_OK);
    const struct gw_model_opts opts = {.dtype = GW_DTYPE_F32, .isa_cap = scratch_isa()};
    if (gw_model_load(DIR, &opts, w->pool, &w->model, &err) != GWEN_OK) fail_msg("%s", err.message);
    assert_int_equal(gw_tokenizer_load(DIR, &w->tokenizer, &err), GWEN_OK);
    assert_int_equal(gw_rubric_parse(rubric, sizeof rubric - 1, "r", &w->rubric, &err), GWEN_OK);
    for (size_t i = 0; i < N; i++) {
        int n = snprintf(w->texts[i], sizeof w->texts[i], "and then %zu dogs and a cat came", i);
        w->items[i] = (struct gw_judge_item){"Once upon a time", w->texts[i], 16, (size_t)n};
    }
}

static void close_world(struct world *w) {
    gw_rubric_free(&w->rubric);
    gw_tokenizer_free(w->tokenizer);
    gw_model_free(w->model);
    gw_pool_free(w->pool);
}

static enum gwen_status load(void *ctx, const struct gw_plan_options *plan, struct gw_model **model,
                             struct gw_pool **pool, struct gwen_err *err) {
    struct world *w = ctx;
    (void)plan, (void)err;
    w->loads++;
    *model = w->model;
    *pool = w->pool;
    return GWEN_OK;
}

static struct gw_judge_opts options(struct world *w, enum gw_judge_mode mode) {
    return (struct gw_judge_opts){
        .rubric = &w->rubric,
        .tokenizer = w->tokenizer,
        .now = &w->now,
        .mode = mode,
        .max_tokens = 5,
        .plan = {.cfg = &w->cfg, .format = w->model->arith.format, .n_threads = 2},
        .budget_bytes = SIZE_MAX,
        .load = load,
        .load_ctx = w};
}

/* Verdicts of all items, `each` at a time; what was done is added to *stats. */
static void judge_all(const struct gw_judge_opts *o, struct world *w, size_t each,
                      struct gw_verdict *out, struct gw_judge_stats *stats) {
    struct gw_judge *j;
    struct gwen_err err;
    if (gw_judge_create(o, &j, &err) != GWEN_OK) fail_msg("%s", err.message);
    for (size_t i = 0, n; i < N; i += n) {
        n = GW_MIN(each, N - i);
        if (gw_judge_run(j, w->items + i, n, i, out + i * CRITERIA, &err) != GWEN_OK)
            fail_msg("%s", err.message);
    }
    *stats = gw_judge_stats(j);
    gw_judge_free(j);
}

static void same(const struct gw_verdict *a, const struct gw_verdict *b) {
    for (size_t i = 0; i < N * CRITERIA; i++) {
        assert_memory_equal(&a[i].grade, &b[i].grade, sizeof a[i].grade);
        assert_int_equal(a[i].parsed, b[i].parsed);
    }
}

static bool may_take(void *ctx, uint64_t bytes, uint64_t reserved) {
    (void)bytes, (void)reserved;
    return *(const uint32_t *)ctx > 1;
}

static bool pressed(void *ctx) {
    const uint32_t *mood = ctx;
    return *mood > 0;
}

static void on_log(void *user, enum gwen_log_level level, const char *message) {
    struct world *w = user;
    assert_int_equal(level, GWEN_LOG_WARNING);
    assert_non_null(strstr(message, "memory is short"));
    w->warnings++;
}

static void verdicts_do_not_depend_on_the_chunk(void **state) {
    struct world w;
    struct gw_verdict one[N * CRITERIA], v[N * CRITERIA];
    struct gw_judge_stats stats;
    (void)state;
    open_world(&w);
    for (int mode = GW_JUDGE_GENERATE; mode <= GW_JUDGE_LOGITS; mode++) {
        struct gw_judge_opts o = options(&w, (enum gw_judge_mode)mode);
        o.no_sharing = true;
        o.chunk = 1;
        judge_all(&o, &w, 1, one, &stats);
        assert_int_equal(stats.evaluations, N * CRITERIA);
        assert_int_equal(stats.parse_failures == 0, mode == GW_JUDGE_LOGITS);
        o.no_sharing = false;
        for (o.chunk = 1; o.chunk < 2 * N; o.chunk += 3) {
            judge_all(&o, &w, N, v, &stats);
            same(one, v);
        }
        o.chunk = 0;
        judge_all(&o, &w, 4, v, &stats);
        same(one, v);
    }
    close_world(&w);
}

static void short_memory_makes_chunks_smaller(void **state) {
    struct world w;
    struct gw_verdict calm[N * CRITERIA], v[N * CRITERIA];
    struct gw_judge_stats stats;
    (void)state;
    open_world(&w);
    const struct gw_log log = {.fn = on_log, .user = &w, .level = GWEN_LOG_INFO};
    struct gw_judge_opts o = options(&w, GW_JUDGE_GENERATE);
    judge_all(&o, &w, N, calm, &stats);
    assert_int_equal(stats.chunk, GW_JUDGE_CHUNK);
    o.chunk = 4;
    o.log = &log;
    for (uint32_t mood = 0; mood < 3; mood++) { /* calm, and nothing more; short; short, but more */
        const struct gw_budget budget = {&mood, may_take, pressed};
        o.plan.scorer.budget = &budget;
        w.warnings = 0;
        judge_all(&o, &w, N, v, &stats);
        same(calm, v);
        assert_int_equal(stats.chunk, mood == 0 ? 4 : 1);
        assert_int_equal(w.warnings, mood == 0 ? 0 : 2);
    }
    /* A budget that lets less run at once; and one that is too small for anything. */
    struct gw_plan plan;
    gw_plan_make(&o.plan, &plan);
    o.chunk = 0;
    o.log = NULL;
    o.plan.scorer.budget = NULL;
    size_t fails = 0, works = plan.total + (16 << 20);
    while (works - fails > 1024) {
        struct gw_judge *j;
        struct gwen_err err;
        o.budget_bytes = fails + (works - fails) / 2;
        assert_int_equal(gw_judge_create(&o, &j, &err), GWEN_OK);
        enum gwen_status status = gw_judge_run(j, w.items, N, 0, v, &err);
        if (status == GWEN_OK) {
            same(calm, v);
            stats = gw_judge_stats(j);
            works = o.budget_bytes;
        } else {
            assert_int_equal(status, GWEN_ERR_NOMEM);
            assert_non_null(strstr(err.message, ", judge_max_tokens included: needs "));
            fails = o.budget_bytes;
        }
        gw_judge_free(j);
    }
    assert_int_equal(stats.chunk, 1); /* the least budget is that of one response */
    close_world(&w);
}

static void a_chunk_follows_from_the_memory(void **state) {
    struct world w;
    size_t least = GW_JUDGE_CHUNK;
    (void)state;
    open_world(&w);
    const struct gw_plan_options o = options(&w, GW_JUDGE_GENERATE).plan;
    const size_t context = w.cfg.max_position_embeddings - GW_JUDGE_MAX_TOKENS;
    assert_int_equal(gw_judge_auto_chunk(&o, SIZE_MAX, context, 3), GW_JUDGE_CHUNK);
    assert_int_equal(gw_judge_auto_chunk(&o, SIZE_MAX, context + 1, 3), 0);
    assert_int_equal(gw_judge_auto_chunk(&o, 1 << 10, context, 3), 0);
    bool between = false;
    for (size_t budget = 64 << 20; budget > 0; budget -= 1 << 18) {
        const size_t chunk = gw_judge_auto_chunk(&o, budget, context, 3);
        assert_true(chunk <= least);
        assert_true(gw_judge_auto_chunk(&o, budget, context / 4, 3) >= chunk);
        between |= chunk > 0 && chunk < GW_JUDGE_CHUNK;
        least = chunk;
    }
    assert_true(between);
    close_world(&w);
}

static void known_verdicts_are_not_asked_again(void **state) {
    struct world w;
    struct gw_verdict first[N * CRITERIA], v[N * CRITERIA];
    struct gw_judge_stats stats;
    struct gwen_err err;
    (void)state;
    open_world(&w);
    for (int mode = GW_JUDGE_GENERATE; mode <= GW_JUDGE_LOGITS; mode++) {
        struct gw_judge_opts o = options(&w, (enum gw_judge_mode)mode);
        const char *path = scratch_path("cache.db");
        if (gw_judge_cache_open(path, 0, &o.cache, &err) != GWEN_OK) fail_msg("%s", err.message);
        judge_all(&o, &w, N, first, &stats);
        assert_int_equal(stats.evaluations, N * CRITERIA); /* modes have verdicts of their own */
        gw_judge_cache_close(o.cache);
        assert_int_equal(gw_judge_cache_open(path, 0, &o.cache, &err), GWEN_OK);
        o.chunk = 2;
        const uint64_t failures = stats.parse_failures;
        judge_all(&o, &w, N, v, &stats);
        same(first, v);
        assert_int_equal(stats.evaluations, 0);
        assert_int_equal(stats.cached, N * CRITERIA);
        assert_int_equal(stats.parse_failures, failures);
        /* Other words are other verdicts. */
        w.texts[3][0] = 'A';
        judge_all(&o, &w, N, v, &stats);
        assert_int_equal(stats.evaluations, CRITERIA);
        w.texts[3][0] = 'a';
        w.rubric.hash++;
        judge_all(&o, &w, N, v, &stats);
        assert_int_equal(stats.evaluations, N * CRITERIA);
        w.rubric.hash--;
        /* Where a verdict ends matters to the modes that write one. */
        const int32_t eos[] = {2, 7};
        o.eos = (struct gw_eos){eos, 2};
        judge_all(&o, &w, N, v, &stats);
        assert_int_equal(stats.evaluations, mode == GW_JUDGE_GENERATE ? N * CRITERIA : 0);
        gw_judge_cache_close(o.cache);
    }
    close_world(&w);
}

/* --- the cache alone ------------------------------------------------------------------------ */

static void a_full_cache_drops_the_oldest(void **state) {
    struct gw_judge_cache *c;
    struct gw_judge_known known;
    struct gwen_err err;
    bool found;
    const char *path = scratch_path("small.db");
    (void)state;
    assert_int_equal(gw_judge_cache_open(path, 96 * 100, &c, &err), GWEN_OK);
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(gw_judge_cache_put(c, (struct gw_judge_key){{i, ~i}},
                                            (struct gw_judge_known){(float)(i % 5), i % 2}, &err),
                         GWEN_OK);
    size_t kept = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        assert_int_equal(
            gw_judge_cache_get(c, (struct gw_judge_key){{i, ~i}}, &known, &found, &err), GWEN_OK);
        if (kept > 0) assert_true(found); /* the youngest, without gaps */
        kept += found;
        if (!found) continue;
        assert_true(known.grade == (float)(i % 5));
        assert_int_equal(known.parsed, i % 2);
    }
    assert_in_range(kept, 80, 100);
    gw_judge_cache_close(c);
}

/* A grade that is not the one that was put there is as good as none. */
static void a_changed_verdict_is_asked_for_again(void **state) {
    (void)state;
    static const struct {
        const char *sql;
        bool found;
    } cases[] = {
        {"UPDATE verdicts SET grade = 1e30", false},
        {"UPDATE verdicts SET grade = 3.0", false},
        {"UPDATE verdicts SET parsed = 0", false},
        {"UPDATE verdicts SET sum = sum + 1", false},
        /* of a version without sums: what can be a grade is one */
        {"UPDATE verdicts SET sum = NULL", true},
        {"UPDATE verdicts SET sum = NULL, grade = 1e30", false},
        {"UPDATE verdicts SET sum = NULL, grade = 0", false},
        {"ALTER TABLE verdicts DROP COLUMN sum", true},
    };
    const struct gw_judge_key key = {{1, 2}};
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        char name[32];
        struct gw_judge_cache *c;
        struct gw_judge_known known;
        struct gwen_err err;
        sqlite3 *db;
        bool found;
        snprintf(name, sizeof name, "changed-%zu.db", i);
        const char *path = scratch_path(name);
        assert_int_equal(gw_judge_cache_open(path, 0, &c, &err), GWEN_OK);
        assert_int_equal(gw_judge_cache_put(c, key, (struct gw_judge_known){4, true}, &err),
                         GWEN_OK);
        gw_judge_cache_close(c);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, cases[i].sql, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        assert_int_equal(gw_judge_cache_open(path, 0, &c, &err), GWEN_OK);
        assert_int_equal(gw_judge_cache_get(c, key, &known, &found, &err), GWEN_OK);
        assert_int_equal(found, cases[i].found);
        if (found) assert_true(known.grade == 4 && known.parsed);
        gw_judge_cache_close(c);
    }
}

static void other_files_are_refused(void **state) {
    struct gw_judge_cache *c;
    struct gwen_err err;
    char garbage[9000];
    (void)state;
    memset(garbage, 'x', sizeof garbage);
    const char *path = scratch_write("garbage.db", garbage, sizeof garbage);
    assert_int_equal(gw_judge_cache_open(path, 0, &c, &err), GWEN_ERR_FORMAT);
    assert_non_null(strstr(err.message, "garbage.db: no cache of verdicts, or damaged"));
    assert_null(c);
    assert_int_equal(gw_judge_cache_open(scratch_path("no/such/folder.db"), 0, &c, &err),
                     GWEN_ERR_IO);
}

static void grades_need_tokens(void **state) {
    struct world w;
    struct gw_judge *j;
    struct gwen_err err;
    (void)state;
    open_world(&w);
    struct gw_judge_opts o = options(&w, GW_JUDGE_LOGITS);
    w.cfg.vocab_size = 3;
    assert_int_equal(gw_judge_create(&o, &j, &err), GWEN_ERR_ARGUMENT);
    assert_string_equal(err.message,
                        "the judge's tokenizer has no token \"1\": use judge_mode generate");
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_do_not_depend_on_the_chunk),
        cmocka_unit_test(short_memory_makes_chunks_smaller),
        cmocka_unit_test(a_chunk_follows_from_the_memory),
        cmocka_unit_test(known_verdicts_are_not_asked_again),
        cmocka_unit_test(a_changed_verdict_is_asked_for_again),
        cmocka_unit_test(a_full_cache_drops_the_oldest),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(grades_need_tokens),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

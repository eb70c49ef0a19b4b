/* test_rollout.c - the rows of a rollout: the same bytes at any batch size, thread count and
 * order, scored again to the last bit, and what ends, orders and limits samples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "checkpoint/weights_init.h"
#include "engine/scorer.h"
#include "service/record/fingerprint.h"
#include "service/rollout/ordered.h"
#include "service/rollout/rollout.h"
#include "unit/level.h"
#include "unit/scratch.h"

enum { GROUPS = 5, N_PROMPTS = 6 };

/* --- a model, prompts and a run of them ----------------------------------------------------- */

static const char *model_dir(void) {
    static char dir[4096];
    struct gwen_err err;
    struct gw_config c;
    if (dir[0] != 0) return dir;
    snprintf(dir, sizeof dir, "%s", scratch_path("model"));
    assert_int_equal(gw_config_preset("tiny", &c, &err), GWEN_OK);
    c.vocab_size = 149;
    c.hidden = 72;
    c.ffn = 88;
    c.n_layers = 2;
    c.n_heads = 4;
    c.n_kv_heads = 2;
    c.head_dim = 24;
    c.initializer_range = 0.15;
    c.max_position_embeddings = 256;
    const struct gw_init_options o = {.seed = 5, .dtype = GW_DTYPE_F32};
    if (gw_weights_init(&c, &o, dir, &err) != GWEN_OK) fail_msg("%s", err.message);
    return dir;
}

struct machine {
    struct gw_pool *pool;
    struct gw_model *model;
};

static void open_machine(struct machine *m, const char *dir, enum gw_dtype dtype, enum gwen_isa isa,
                         int threads) {
    struct gwen_err err;
    const struct gw_model_opts o = {.dtype = dtype, .isa_cap = isa};
    assert_int_equal(gw_pool_create(threads, &m->pool, &err), GWEN_OK);
    if (gw_model_load(dir, &o, m->pool, &m->model, &err) != GWEN_OK) fail_msg("%s", err.message);
}

static void close_machine(struct machine *m) {
    gw_model_free(m->model);
    gw_pool_free(m->pool);
}

/* Prompts given as ids, some with max_tokens of their own; one is longer than a KV block. */
static void read_prompts(struct gw_prompts *p, const struct gw_config *c, size_t max_tokens) {
    struct gw_str s = {0};
    static const size_t lengths[N_PROMPTS] = {3, 1, 70, 12, 64, 3};
    for (size_t i = 0; i < N_PROMPTS; i++) {
        gw_str_printf(&s, "{\"ids\":[");
        for (size_t k = 0; k < lengths[i]; k++)
            gw_str_printf(&s, "%s%zu", k > 0 ? "," : "", (i * 29 + k * 7 + 3) % c->vocab_size);
        gw_str_printf(&s, "],\"level\":%zu", i);
        if (i % 2 == 1) gw_str_printf(&s, ",\"max_tokens\":%zu", 5 + i * 6);
        if (i == 3) gw_str_puts(&s, ",\"id\":\"third\"");
        gw_str_puts(&s, "}\n");
    }
    struct gwen_err err;
    const struct gw_prompt_opts o = {.vocab_size = c->vocab_size,
                                     .context = c->max_position_embeddings,
                                     .max_tokens = max_tokens};
    *p = (struct gw_prompts){0};
    const char *path = scratch_write("prompts.jsonl", s.data, s.len);
    if (gw_prompts_read(path, &o, p, &err) != GWEN_OK) fail_msg("%s", err.message);
    gw_str_free(&s);
}

/* What a run gives: the rows in order, and in which order they were finished. */
struct result {
    struct gw_str rows;
    size_t n, finished[N_PROMPTS * GROUPS];
    struct gw_ordered *ordered;
    const struct gw_model *model;
    size_t groups, fail_after; /* samples; 0: never */
    bool cancel;
    bool *skip; /* [prompts * groups] or NULL */
    struct gw_rollout_stats stats;
};

static enum gwen_status emit(void *ctx, const char *row, size_t len, struct gwen_err *err) {
    (void)err;
    gw_str_put(ctx, row, len);
    return GWEN_OK;
}

static enum gwen_status on_sample(void *ctx, const struct gw_rollout_sample *s,
                                  struct gwen_err *err) {
    struct result *r = ctx;
    struct gw_str row = {0};
    size_t index = s->prompt_id * r->groups + s->sample_id;
    if (r->n < GW_ARRAY_LEN(r->finished)) r->finished[r->n] = index;
    r->n++;
    if (r->n == r->fail_after) return gw_fail(err, GWEN_ERR_IO, "the disk is full");
    gw_rollout_put_row(&row, s, gw_arith_class(&r->model->arith));
    enum gwen_status status = gw_ordered_put(r->ordered, index, row.data, row.len, err);
    gw_str_free(&row);
    return status;
}

static bool on_skip(void *ctx, size_t prompt, size_t sample) {
    const struct result *r = ctx;
    return r->skip != NULL && r->skip[prompt * r->groups + sample];
}

static bool on_progress(void *ctx, const struct gwen_progress *p) {
    const struct result *r = ctx;
    (void)p;
    return !r->cancel;
}

static enum gwen_status run(const struct machine *m, const struct gw_prompts *p,
                            const struct gw_rollout_opts *o, size_t batch, struct result *r,
                            struct gwen_err *err) {
    struct gw_rollout_plan plan;
    struct gw_rollout *rollout;
    const struct gw_plan_options base = {.cfg = &m->model->cfg,
                                         .format = m->model->arith.format,
                                         .n_threads = gw_pool_threads(m->pool)};
    if (gw_rollout_plan(&base, NULL, p, o, batch, SIZE_MAX, &plan, err) != GWEN_OK)
        fail_msg("%s", err->message);
    if (gw_rollout_create(m->model, m->pool, NULL, o, &plan, &rollout, err) != GWEN_OK)
        fail_msg("%s", err->message);
    r->model = m->model;
    r->groups = o->groups;
    assert_int_equal(gw_ordered_new(p->n * o->groups, emit, &r->rows, &r->ordered, err), GWEN_OK);
    const struct gw_rollout_sink sink = {.ctx = r,
                                         .skip = on_skip,
                                         .sample = on_sample,
                                         .progress = on_progress,
                                         .progress_user = r};
    enum gwen_status status = gw_rollout_run(rollout, p, &sink, &r->stats, err);
    gw_ordered_free(r->ordered);
    gw_rollout_free(rollout);
    return status;
}

static void run_ok(const struct machine *m, const struct gw_prompts *p,
                   const struct gw_rollout_opts *o, size_t batch, struct result *r) {
    struct gwen_err err;
    if (run(m, p, o, batch, r, &err) != GWEN_OK) fail_msg("%s", err.message);
}

static const int32_t EOS[] = {3, 77};

static struct gw_rollout_opts options(void) {
    return (struct gw_rollout_opts){.groups = GROUPS,
                                    .sampling = GW_SAMPLING_INIT,
                                    .seed = 9,
                                    .stream = GW_STREAM_ROLLOUT,
                                    .eos = {EOS, 2}};
}

/* --- the contract --------------------------------------------------------------------------- */

/* Scores rows again, as read from their JSON, all at once or one by one. */
static void check_scores(const struct machine *m, const struct result *r, double temperature,
                         bool together) {
    enum { MOST = 64 };
    struct gw_score_request q[MOST];
    float *expected[MOST];
    size_t n = 0, total = 0;
    struct gwen_err err;
    for (const char *at = r->rows.data; *at != 0; at = strchr(at, '\n') + 1) {
        json_t *obj;
        int32_t *prompt, *ids;
        size_t n_prompt, n_ids;
        assert_int_equal(
            gw_row_parse(at, (size_t)(strchr(at, '\n') - at), "rows", n + 1, &obj, &err), GWEN_OK);
        const struct gw_row row = {obj, "rows", n + 1};
        assert_int_equal(
            gw_row_ids(&row, "prompt_ids", GW_JSON_REQUIRED, SIZE_MAX, &prompt, &n_prompt, &err),
            GWEN_OK);
        assert_int_equal(gw_row_ids(&row, "ids", GW_JSON_REQUIRED, SIZE_MAX, &ids, &n_ids, &err),
                         GWEN_OK);
        const json_t *logprobs = json_object_get(obj, "logprobs");
        assert_int_equal(json_array_size(logprobs), n_ids);
        int32_t *all = malloc((n_prompt + n_ids) * sizeof *all);
        expected[n] = malloc(n_ids * sizeof(float));
        memcpy(all, prompt, n_prompt * sizeof *all);
        memcpy(all + n_prompt, ids, n_ids * sizeof *all);
        for (size_t i = 0; i < n_ids; i++)
            expected[n][i] = (float)json_number_value(json_array_get(logprobs, i));
        q[n++] = (struct gw_score_request){.ids = all,
                                           .n = n_prompt + n_ids,
                                           .from = n_prompt,
                                           .logprobs = malloc(n_ids * sizeof(float))};
        total = GW_MAX(total, n_prompt + n_ids);
        free(prompt);
        free(ids);
        json_decref(obj);
    }
    struct gw_scorer *scorer;
    const struct gw_scorer_opts o = {.rows = together ? 100 : 17,
                                     .n_blocks = gw_kv_blocks_for(total) + 1,
                                     .max_len = total,
                                     .temperature = temperature};
    assert_int_equal(gw_scorer_create(m->model, m->pool, &o, &scorer, &err), GWEN_OK);
    for (size_t i = 0; i < n; i += together ? n : 1)
        assert_int_equal(gw_scorer_run(scorer, q + i, together ? n : 1, false, NULL, NULL, &err),
                         GWEN_OK);
    for (size_t i = 0; i < n; i++) {
        assert_memory_equal(q[i].logprobs, expected[i], (q[i].n - q[i].from) * sizeof(float));
        free((void *)(uintptr_t)q[i].ids);
        free(q[i].logprobs);
        free(expected[i]);
    }
    assert_true(n > 0);
    gw_scorer_free(scorer);
}

/* Every row the same, whatever the batch; and scored again, bit for bit. */
static void check_model(const char *dir, enum gw_dtype dtype, double temperature) {
    static const size_t batches[] = {1, 3, 32};
    struct gw_rollout_opts o = options();
    struct result first = {0};
    o.sampling.temperature = temperature;
    for (int threads = 1; threads <= 2; threads++) {
        struct machine m;
        struct gw_prompts p;
        open_machine(&m, dir, dtype, test_level(), threads);
        read_prompts(&p, &m.model->cfg, 40);
        if (m.model->cfg.n_eos > 0)
            o.eos = (struct gw_eos){m.model->cfg.eos_ids, m.model->cfg.n_eos};
        for (size_t i = 0; i < GW_ARRAY_LEN(batches); i++) {
            struct result r = {0};
            o.file_order = i == 1;
            run_ok(&m, &p, &o, batches[i], &r);
            if (first.rows.data == NULL) {
                first = r;
                continue;
            }
            assert_string_equal(r.rows.data, first.rows.data);
            gw_str_free(&r.rows);
        }
        check_scores(&m, &first, temperature, threads == 1);
        check_scores(&m, &first, temperature, threads == 2);
        gw_prompts_free(&p);
        close_machine(&m);
    }
    gw_str_free(&first.rows);
}

static void rows_do_not_depend_on_the_batch(void **state) {
    (void)state;
    check_model(model_dir(), GW_DTYPE_F32, 1.0);
    check_model(model_dir(), GW_DTYPE_F16, 0.8);
    check_model(model_dir(), GW_DTYPE_BF16, 1.3);
    check_model(model_dir(), GW_DTYPE_BF16, 1.0);
}

/* A trained model ends its stories by itself. */
static void rows_of_a_trained_model_do_not_depend_on_the_batch(void **state) {
    (void)state;
    const char *dir = golden_path("stories260K-hf");
    /* The reference is very slow, and its bits are those of every other level. */
    if (dir == NULL || test_level() == GWEN_ISA_REF) skip();
    check_model(dir, GW_DTYPE_F32, 1.0);
    check_model(dir, GW_DTYPE_F16, 1.0);
    check_model(dir, GW_DTYPE_BF16, 0.7);
}

static void instruction_sets_agree(void **state) {
    static const enum gw_dtype dtypes[] = {GW_DTYPE_F32, GW_DTYPE_F16};
    (void)state;
    for (size_t d = 0; d < GW_ARRAY_LEN(dtypes); d++) {
        struct result first = {0};
        uint64_t first_print = 0;
        for (int isa = 0; isa < GWEN_ISA_COUNT; isa++) {
            if (!gwen_isa_available((enum gwen_isa)isa)) continue;
            struct machine m;
            struct gw_prompts p;
            struct gw_rollout_opts o = options();
            struct result r = {0};
            struct gwen_err err;
            uint64_t print;
            open_machine(&m, model_dir(), dtypes[d], (enum gwen_isa)isa, 2);
            read_prompts(&p, &m.model->cfg, 30);
            run_ok(&m, &p, &o, 7, &r);
            assert_int_equal(gw_model_fingerprint(m.model, m.model->lora, m.pool, &print, &err),
                             GWEN_OK);
            gw_prompts_free(&p);
            close_machine(&m);
            if (first.rows.data == NULL) {
                first = r;
                first_print = print;
                continue;
            }
            assert_string_equal(r.rows.data, first.rows.data);
            assert_true(print == first_print);
            gw_str_free(&r.rows);
        }
        gw_str_free(&first.rows);
    }
}

/* --- parts of a run ------------------------------------------------------------------------- */

struct fixture {
    struct machine m;
    struct gw_prompts p;
};

static void open_fixture(struct fixture *f) {
    open_machine(&f->m, model_dir(), GW_DTYPE_BF16, test_level(), 2);
    read_prompts(&f->p, &f->m.model->cfg, 40);
}

static void close_fixture(struct fixture *f) {
    gw_prompts_free(&f->p);
    close_machine(&f->m);
}

static const char *row_at(const struct result *r, size_t index, size_t *len) {
    const char *at = r->rows.data;
    for (size_t i = 0; i < index; i++) at = strchr(at, '\n') + 1;
    *len = (size_t)(strchr(at, '\n') - at) + 1;
    return at;
}

/* What is skipped changes nothing in the rest; and a run that was cancelled, or is one of many
 * with the same engine, neither. */
static void skipped_samples_are_left_out(void **state) {
    (void)state;
    struct fixture f;
    struct gw_rollout_opts o = options();
    struct result whole = {0}, part = {0};
    bool skip[N_PROMPTS * GROUPS];
    open_fixture(&f);
    run_ok(&f.m, &f.p, &o, 8, &whole);
    for (size_t i = 0; i < GW_ARRAY_LEN(skip); i++) skip[i] = i % 3 != 0 && i / GROUPS != 2;
    skip[0] = false;
    part.skip = skip;
    struct gw_str expected = {0};
    size_t n = 0;
    for (size_t i = 0; i < GW_ARRAY_LEN(skip); i++) {
        size_t len;
        const char *row = row_at(&whole, i, &len);
        if (!skip[i]) gw_str_put(&expected, row, len);
        n += !skip[i];
    }
    /* The order waits for rows that are skipped: give them to it as empty ones. */
    struct gwen_err err;
    struct gw_rollout_plan plan;
    struct gw_rollout *rollout;
    const struct gw_plan_options base = {
        .cfg = &f.m.model->cfg, .format = f.m.model->arith.format, .n_threads = 2};
    assert_int_equal(gw_rollout_plan(&base, NULL, &f.p, &o, 4, SIZE_MAX, &plan, &err), GWEN_OK);
    assert_int_equal(gw_rollout_create(f.m.model, f.m.pool, NULL, &o, &plan, &rollout, &err),
                     GWEN_OK);
    part.model = f.m.model;
    part.groups = GROUPS;
    const struct gw_rollout_sink sink = {.ctx = &part,
                                         .skip = on_skip,
                                         .sample = on_sample,
                                         .progress = on_progress,
                                         .progress_user = &part};
    /* A whole run, one that fails on the way, one that is cancelled, and a whole one again. */
    for (int attempt = 0; attempt < 4; attempt++) {
        assert_int_equal(gw_ordered_new(GW_ARRAY_LEN(skip), emit, &part.rows, &part.ordered, &err),
                         GWEN_OK);
        for (size_t i = 0; i < GW_ARRAY_LEN(skip); i++)
            if (skip[i]) assert_int_equal(gw_ordered_put(part.ordered, i, "", 0, &err), GWEN_OK);
        part.n = 0;
        part.fail_after = attempt == 1 ? 4 : 0;
        part.cancel = attempt == 2;
        enum gwen_status status = gw_rollout_run(rollout, &f.p, &sink, &part.stats, &err);
        if (attempt == 1) {
            assert_int_equal(status, GWEN_ERR_IO);
            assert_string_equal(err.message, "the disk is full");
            assert_int_equal(part.n, 4);
        } else if (attempt == 2) {
            assert_int_equal(status, GWEN_ERR_CANCELLED);
            assert_int_equal(part.n, 0);
        } else {
            assert_int_equal(status, GWEN_OK);
            assert_int_equal(part.n, n);
            assert_int_equal(part.stats.samples, n);
            assert_string_equal(part.rows.data, expected.data);
        }
        gw_ordered_free(part.ordered);
        gw_str_clear(&part.rows);
    }
    gw_rollout_free(rollout);
    gw_str_free(&part.rows);
    gw_str_free(&whole.rows);
    gw_str_free(&expected);
    close_fixture(&f);
}

static void long_prompts_start_first(void **state) {
    (void)state;
    struct fixture f;
    struct gw_rollout_opts o = options();
    struct result r = {0}, in_order = {0};
    /* 40 for the even ones, else 5 + 6 i */
    static const size_t longest_first[N_PROMPTS] = {0, 2, 4, 5, 3, 1};
    open_fixture(&f);
    o.eos.n = 0;
    run_ok(&f.m, &f.p, &o, 1, &r);
    o.file_order = true;
    run_ok(&f.m, &f.p, &o, 1, &in_order);
    for (size_t i = 0; i < N_PROMPTS * GROUPS; i++) {
        assert_int_equal(r.finished[i], longest_first[i / GROUPS] * GROUPS + i % GROUPS);
        assert_int_equal(in_order.finished[i], i);
    }
    assert_string_equal(r.rows.data, in_order.rows.data);
    assert_int_equal(r.stats.engine.new_tokens, GROUPS * (3 * 40 + 11 + 23 + 35));
    assert_true(r.stats.occupancy > 0.9 && r.stats.occupancy <= 1);
    gw_str_free(&r.rows);
    gw_str_free(&in_order.rows);
    close_fixture(&f);
}

static void lengths_are_drawn_from_the_seed(void **state) {
    (void)state;
    struct gw_rollout_opts o = options(), other;
    struct gw_prompt p = {.max_tokens = 60, .key = 5};
    size_t count[65] = {0}, differ = 0;
    o.length_lo = 16;
    o.length_hi = 64;
    other = o;
    other.seed++;
    for (size_t s = 0; s < 5000; s++) {
        size_t n = gw_rollout_limit(&o, &p, s);
        assert_in_range(n, 16, 60);
        assert_int_equal(n, gw_rollout_limit(&o, &p, s));
        differ += n != gw_rollout_limit(&other, &p, s);
        count[n]++;
    }
    for (size_t n = 16; n < 60; n++) assert_in_range(count[n], 60, 150);
    assert_in_range(count[60], 400, 640); /* all those beyond the row's own limit */
    assert_true(differ > 4000);
    struct fixture f;
    struct result r = {0};
    open_fixture(&f);
    o.eos.n = 0;
    o.length_hi = 20;
    run_ok(&f.m, &f.p, &o, 8, &r);
    size_t expected = 0;
    for (size_t i = 0; i < N_PROMPTS; i++)
        for (size_t s = 0; s < GROUPS; s++) expected += gw_rollout_limit(&o, &f.p.rows[i], s);
    assert_int_equal(r.stats.engine.new_tokens, expected);
    gw_str_free(&r.rows);
    close_fixture(&f);
}

static void a_sample_ends_at_eos_or_its_limit(void **state) {
    (void)state;
    struct fixture f;
    struct gw_rollout_opts o = options();
    struct result r = {0};
    size_t stops = 0, lengths = 0;
    struct gwen_err err;
    open_fixture(&f);
    run_ok(&f.m, &f.p, &o, 8, &r);
    for (size_t i = 0; i < N_PROMPTS * GROUPS; i++) {
        size_t len;
        json_t *obj;
        const char *row = row_at(&r, i, &len);
        assert_int_equal(gw_row_parse(row, len, "rows", i + 1, &obj, &err), GWEN_OK);
        const json_t *ids = json_object_get(obj, "ids");
        size_t n = json_array_size(ids);
        json_int_t last = json_integer_value(json_array_get(ids, n - 1));
        bool eos = last == EOS[0] || last == EOS[1];
        const char *why = json_string_value(json_object_get(obj, "finish_reason"));
        assert_string_equal(why, eos ? "stop" : "length");
        if (!eos) assert_int_equal(n, f.p.rows[i / GROUPS].max_tokens);
        assert_int_equal(json_integer_value(json_object_get(obj, "prompt_id")), i / GROUPS);
        assert_int_equal(json_integer_value(json_object_get(obj, "sample_id")), i % GROUPS);
        const json_t *meta = json_object_get(obj, "meta");
        assert_int_equal(json_object_size(meta), 1);
        assert_int_equal(json_integer_value(json_object_get(meta, "level")), i / GROUPS);
        const char *id = json_string_value(json_object_get(obj, "id"));
        if (i / GROUPS == 3)
            assert_string_equal(id, "third");
        else
            assert_null(id);
        assert_true(json_is_null(json_object_get(obj, "text"))); /* no tokenizer */
        stops += eos;
        lengths += !eos;
        json_decref(obj);
    }
    assert_true(stops > 0 && lengths > 0);
    gw_str_free(&r.rows);
    close_fixture(&f);
}

/* First tokens of many samples against the exact distribution, which the scorer gives. */
static void keep_probabilities(void *ctx, size_t index, size_t t, const float *z) {
    double *p = ctx, sum = 0;
    (void)index;
    if (t != 12) return;
    for (size_t i = 0; i < 149; i++) sum += exp((double)z[i]);
    for (size_t i = 0; i < 149; i++) p[i] = exp((double)z[i]) / sum;
}

static enum gwen_status count_first(void *ctx, const struct gw_rollout_sample *s,
                                    struct gwen_err *err) {
    size_t *count = ctx;
    (void)err;
    assert_int_equal(s->n, 1);
    count[s->ids[0]]++;
    return GWEN_OK;
}

static void samples_follow_the_models_distribution(void **state) {
    enum { N = 20000, VOCAB = 149 };
    (void)state;
    struct fixture f;
    struct gwen_err err;
    struct gw_rollout_plan plan;
    struct gw_rollout *rollout;
    struct gw_scorer *scorer;
    static double p[VOCAB];
    static size_t count[VOCAB];
    open_fixture(&f);
    struct gw_rollout_opts o = options();
    o.groups = N;
    o.sampling.temperature = 0.7;
    struct gw_prompts one = {
        .rows = &f.p.rows[3], .n = 1, .cap = 1, .n_tokens = 12, .max_prompt = 12, .max_tokens = 1};
    f.p.rows[3].max_tokens = 1;
    const struct gw_plan_options base = {
        .cfg = &f.m.model->cfg, .format = f.m.model->arith.format, .n_threads = 2};
    assert_int_equal(gw_rollout_plan(&base, NULL, &one, &o, 16, SIZE_MAX, &plan, &err), GWEN_OK);
    assert_int_equal(gw_rollout_create(f.m.model, f.m.pool, NULL, &o, &plan, &rollout, &err),
                     GWEN_OK);
    const struct gw_rollout_sink sink = {.ctx = count, .sample = count_first};
    if (gw_rollout_run(rollout, &one, &sink, NULL, &err) != GWEN_OK) fail_msg("%s", err.message);
    const struct gw_scorer_opts so = {
        .rows = 16, .n_blocks = 2, .max_len = 13, .temperature = 0.7, .keep_logits = true};
    assert_int_equal(gw_scorer_create(f.m.model, f.m.pool, &so, &scorer, &err), GWEN_OK);
    float logprobs[13];
    struct gw_score_request q = {.ids = one.rows->ids, .n = 12, .from = 1, .logprobs = logprobs};
    assert_int_equal(gw_scorer_run(scorer, &q, 1, true, keep_probabilities, p, &err), GWEN_OK);
    double x = 0;
    size_t bins = 0;
    for (size_t i = 0; i < VOCAB; i++) {
        double expected = p[i] * N;
        if (expected < 8) continue;
        x += ((double)count[i] - expected) * ((double)count[i] - expected) / expected;
        bins++;
    }
    assert_true(bins > 20);
    double k = (double)bins - 1;
    assert_true((cbrt(x / k) - (1 - 2 / (9 * k))) / sqrt(2 / (9 * k)) < 4);
    gw_scorer_free(scorer);
    gw_rollout_free(rollout);
    close_fixture(&f);
}

/* --- plans, fingerprints, order ------------------------------------------------------------- */

static void plans_obey_the_budget(void **state) {
    (void)state;
    struct fixture f;
    struct gw_rollout_opts o = options();
    struct gwen_err err;
    struct gw_rollout_plan plan;
    struct gw_plan made;
    open_fixture(&f);
    const struct gw_plan_options base = {
        .cfg = &f.m.model->cfg, .format = f.m.model->arith.format, .n_threads = 2};
    struct gw_speed speed;
    gw_speed_assume(&base, &f.m.model->arith, &speed);
    assert_int_equal(gw_rollout_plan(&base, &speed, &f.p, &o, 0, SIZE_MAX, &plan, &err), GWEN_OK);
    assert_in_range(plan.options.engine.slots, 1, N_PROMPTS * GROUPS);
    assert_non_null(strstr(plan.why, "auto"));
    assert_int_equal(gw_rollout_plan(&base, NULL, &f.p, &o, 24, SIZE_MAX, &plan, &err), GWEN_OK);
    gw_plan_make(&plan.options, &made);
    size_t most = made.total, refused = 0, last = 0;
    for (size_t i = 1; i <= 40; i++) {
        size_t budget = most * i / 40;
        enum gwen_status status = gw_rollout_plan(&base, NULL, &f.p, &o, 24, budget, &plan, &err);
        if (status != GWEN_OK) {
            assert_int_equal(status, GWEN_ERR_NOMEM);
            assert_int_equal(last, 0); /* more memory is never worse */
            refused++;
            continue;
        }
        gw_plan_make(&plan.options, &made);
        assert_true(made.total <= budget);
        assert_int_equal(plan.options.engine.slots, 24);
        assert_true(plan.options.engine.n_blocks >= last);
        last = plan.options.engine.n_blocks;
    }
    assert_true(refused > 0 && refused < 40);
    /* A rollout with as few blocks as possible gives the same rows. */
    struct result a = {0}, b = {0};
    run_ok(&f.m, &f.p, &o, 24, &a);
    run_ok(&f.m, &f.p, &o, 2, &b);
    assert_string_equal(a.rows.data, b.rows.data);
    gw_str_free(&a.rows);
    gw_str_free(&b.rows);
    close_fixture(&f);
}

/* Rows of prefill beyond the usual ones never cost a plan that fits without them. */
static void tuned_rows_give_way_to_memory(void **state) {
    (void)state;
    static const size_t batches[] = {0, 1, 24};
    const struct gw_prompts p = {.n = 30, .n_tokens = 3000, .max_prompt = 100, .max_tokens = 20};
    const struct gw_rollout_opts o = {.groups = 2, .sampling = GW_SAMPLING_INIT};
    struct fixture f;
    struct gwen_err err;
    struct gw_speed speed;
    struct gw_rollout_plan usual, tuned;
    struct gw_plan made;
    open_fixture(&f);
    struct gw_plan_options base = {
        .cfg = &f.m.model->cfg, .format = f.m.model->arith.format, .n_threads = 2};
    gw_speed_assume(&base, &f.m.model->arith, &speed);
    for (size_t b = 0; b < GW_ARRAY_LEN(batches); b++) {
        size_t refused = 0, last = 0, halved = 0;
        base.engine.prefill_rows = 1000;
        assert_int_equal(gw_rollout_plan(&base, &speed, &p, &o, batches[b], SIZE_MAX, &tuned, &err),
                         GWEN_OK);
        gw_plan_make(&tuned.options, &made);
        assert_int_equal(tuned.options.engine.prefill_rows, 1000);
        for (size_t i = 1; i <= 100; i++) {
            const size_t budget = made.total / 100 * i, rows[] = {0, 1000};
            enum gwen_status status[2];
            base.engine.prefill_rows = rows[0];
            status[0] = gw_rollout_plan(&base, &speed, &p, &o, batches[b], budget, &usual, &err);
            base.engine.prefill_rows = rows[1];
            status[1] = gw_rollout_plan(&base, &speed, &p, &o, batches[b], budget, &tuned, &err);
            assert_int_equal(status[0], status[1]);
            if (status[1] != GWEN_OK) {
                refused++;
                continue;
            }
            const size_t now = tuned.options.engine.prefill_rows;
            assert_true(now == 256 || now == 500 || now == 1000);
            assert_true(now >= last);
            assert_int_equal(tuned.wanted_rows, 1000);
            assert_int_equal(usual.wanted_rows, 256);
            halved += now < 1000;
            last = now;
        }
        assert_true(refused > 0 && halved > 0);
    }
    close_fixture(&f);
}

static void fingerprints_see_a_changed_weight(void **state) {
    (void)state;
    struct fixture f;
    struct gwen_err err;
    uint64_t before, after, again;
    open_fixture(&f);
    assert_int_equal(gw_model_fingerprint(f.m.model, f.m.model->lora, f.m.pool, &before, &err),
                     GWEN_OK);
    struct gw_pool *one;
    assert_int_equal(gw_pool_create(1, &one, &err), GWEN_OK);
    assert_int_equal(gw_model_fingerprint(f.m.model, f.m.model->lora, one, &again, &err), GWEN_OK);
    gw_pool_free(one);
    assert_true(before == again);
    ((unsigned char *)f.m.model->layers[1].down.data)[33] ^= 1;
    assert_int_equal(gw_model_fingerprint(f.m.model, f.m.model->lora, f.m.pool, &after, &err),
                     GWEN_OK);
    assert_true(before != after);
    ((unsigned char *)f.m.model->layers[1].down.data)[33] ^= 1;
    f.m.model->cfg.rms_eps *= 2;
    assert_int_equal(gw_model_fingerprint(f.m.model, f.m.model->lora, f.m.pool, &after, &err),
                     GWEN_OK);
    assert_true(before != after);
    close_fixture(&f);
}

static void ordered_rows_wait_for_their_turn(void **state) {
    (void)state;
    struct gwen_err err;
    struct gw_str out = {0};
    struct gw_ordered *o;
    assert_int_equal(gw_ordered_new(4, emit, &out, &o, &err), GWEN_OK);
    assert_int_equal(gw_ordered_put(o, 2, "c", 1, &err), GWEN_OK);
    assert_int_equal(gw_ordered_put(o, 1, "b", 1, &err), GWEN_OK);
    assert_int_equal(out.len, 0);
    assert_int_equal(gw_ordered_put(o, 1, "b", 1, &err), GWEN_ERR_INTERNAL);
    assert_int_equal(gw_ordered_put(o, 0, "a", 1, &err), GWEN_OK);
    assert_string_equal(out.data, "abc");
    assert_int_equal(gw_ordered_put(o, 0, "a", 1, &err), GWEN_ERR_INTERNAL);
    assert_int_equal(gw_ordered_put(o, 4, "e", 1, &err), GWEN_ERR_INTERNAL);
    gw_ordered_free(o);
    gw_str_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_do_not_depend_on_the_batch),
        cmocka_unit_test(rows_of_a_trained_model_do_not_depend_on_the_batch),
        cmocka_unit_test(instruction_sets_agree),
        cmocka_unit_test(skipped_samples_are_left_out),
        cmocka_unit_test(long_prompts_start_first),
        cmocka_unit_test(lengths_are_drawn_from_the_seed),
        cmocka_unit_test(a_sample_ends_at_eos_or_its_limit),
        cmocka_unit_test(samples_follow_the_models_distribution),
        cmocka_unit_test(plans_obey_the_budget),
        cmocka_unit_test(tuned_rows_give_way_to_memory),
        cmocka_unit_test(fingerprints_see_a_changed_weight),
        cmocka_unit_test(ordered_rows_wait_for_their_turn),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

/* test_engine.c - a sample does not depend on slots, blocks, threads, prefill pieces, neighbours
 * or memory pressure, and the scorer gives back its log-probabilities bit for bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/weights_init.h"
#include "engine/engine.h"
#include "engine/scorer.h"
#include "unit/disturb.h"
#include "unit/scratch.h"

enum { N_PROMPTS = 7, GROUP = 5, MAX_NEW = 90, MAX_PROMPT = 150, EOS = 3 };

struct sample {
    size_t n;
    int32_t ids[MAX_NEW];
    float logprobs[MAX_NEW];
    enum gw_finish finish;
};

struct run {
    const struct gw_model *model;
    size_t next, n_done;
    int32_t prompts[N_PROMPTS][MAX_PROMPT];
    size_t lengths[N_PROMPTS];
    struct gw_want wants[N_PROMPTS][GROUP];
    struct gw_sampling sampling;
    const struct gw_budget *budget;
    struct sample samples[N_PROMPTS][GROUP];
    size_t told[N_PROMPTS][GROUP]; /* tokens */
    struct gw_engine_stats stats;
};

/* Lengths on both sides of a block, one token, and two prompts with equal ids. */
static void make_prompts(struct run *r, size_t vocab) {
    static const size_t lengths[N_PROMPTS] = {1, 63, 64, 65, 128, 150, 150};
    for (size_t p = 0; p < N_PROMPTS; p++) {
        r->lengths[p] = lengths[p];
        for (size_t i = 0; i < lengths[p]; i++)
            r->prompts[p][i] = (int32_t)((i * 31 + GW_MIN(p, (size_t)5) * 101 + 7) % vocab);
        for (size_t g = 0; g < GROUP; g++)
            r->wants[p][g] = (struct gw_want){g, 1 + (p * 37 + g * 19) % MAX_NEW};
    }
}

static enum gwen_status next(void *ctx, struct gw_job *job, bool *more, struct gwen_err *err) {
    struct run *r = ctx;
    (void)err;
    *more = r->next < N_PROMPTS;
    if (!*more) return GWEN_OK;
    size_t p = r->next++;
    *job = (struct gw_job){.prompt = r->prompts[p],
                           .n_prompt = r->lengths[p],
                           .wants = r->wants[p],
                           .n_wants = GROUP,
                           .key = {.seed = 42, .stream = GW_STREAM_ROLLOUT, .prompt_key = p},
                           .sampling = r->sampling,
                           .user = (void *)(uintptr_t)p};
    return GWEN_OK;
}

static enum gwen_status done(void *ctx, const struct gw_sample *s, struct gwen_err *err) {
    struct run *r = ctx;
    (void)err;
    struct sample *out = &r->samples[(uintptr_t)s->job->user][s->want];
    assert_int_equal(out->n, 0);
    assert_in_range(s->n, 1, MAX_NEW);
    out->n = s->n;
    out->finish = s->finish;
    memcpy(out->ids, s->ids, s->n * sizeof *s->ids);
    memcpy(out->logprobs, s->logprobs, s->n * sizeof *s->logprobs);
    r->n_done++;
    return GWEN_OK;
}

/* Each token is told once, in order. */
static bool token(void *ctx, const struct gw_sample *s) {
    struct run *r = ctx;
    assert_int_equal(s->n, ++r->told[(uintptr_t)s->job->user][s->want]);
    return false;
}

struct shape {
    int threads;
    size_t slots, prefill_rows, n_blocks;
};

static struct gw_model *load(const char *dir, enum gw_dtype dtype, enum gwen_isa isa,
                             struct gw_pool *pool) {
    struct gwen_err err;
    struct gw_model *m;
    if (gw_model_load(dir, &(struct gw_model_opts){.dtype = dtype, .isa_cap = isa}, pool, &m,
                      &err) != GWEN_OK)
        fail_msg("%s", err.message);
    return m;
}

/* disturbed: threads are bound, and held up now and then. */
static void sample_with(struct run *r, const char *dir, enum gw_dtype dtype, enum gwen_isa isa,
                        const struct shape *shape, bool disturbed) {
    static const int32_t eos[] = {EOS};
    struct gwen_err err;
    struct gw_pool *pool;
    assert_int_equal(gw_pool_create(shape->threads, &pool, &err), GWEN_OK);
    struct gw_model *m = load(dir, dtype, isa, pool);
    struct gw_engine_opts o = {.slots = shape->slots,
                               .prefill_rows = shape->prefill_rows,
                               .n_blocks = shape->n_blocks,
                               .max_prompt = MAX_PROMPT,
                               .max_new = MAX_NEW,
                               .max_group = GROUP,
                               .eos = {eos, 1},
                               .budget = r->budget,
                               .chunk_bytes = 1};
    if (o.n_blocks == 0) o.n_blocks = gw_engine_good_blocks(o.slots, GROUP, MAX_PROMPT, MAX_NEW);
    struct gw_engine *e;
    assert_int_equal(gw_engine_create(m, pool, &o, &e, &err), GWEN_OK);
    make_prompts(r, m->cfg.vocab_size);
    struct gw_engine_client client = {.ctx = r, .next = next, .token = token, .done = done};
    if (disturbed) {
        struct gw_hw hw;
        assert_int_equal(gw_hw_query(NULL, &hw, &err), GWEN_OK);
        gw_pool_bind(pool, &hw, GW_BIND_NODE);
        gw_hw_free(&hw);
        disturb_start();
    }
    enum gwen_status status = gw_engine_run(e, &client, &r->stats, &err);
    if (disturbed) disturb_stop();
    if (status != GWEN_OK) fail_msg("%s", err.message);
    assert_int_equal(r->n_done, N_PROMPTS * GROUP);
    size_t tokens = 0;
    for (size_t i = 0; i < N_PROMPTS * GROUP; i++) {
        assert_int_equal(r->told[i / GROUP][i % GROUP], r->samples[i / GROUP][i % GROUP].n);
        tokens += r->samples[i / GROUP][i % GROUP].n;
    }
    assert_int_equal(r->stats.new_tokens, tokens);
    assert_true(r->stats.peak_blocks <= r->stats.touched_blocks);
    assert_true(r->stats.touched_blocks <= o.n_blocks);
    gw_engine_free(e);
    gw_model_free(m);
    gw_pool_free(pool);
}

static void sample_all(struct run *r, const char *dir, enum gw_dtype dtype, enum gwen_isa isa,
                       const struct shape *shape) {
    sample_with(r, dir, dtype, isa, shape, false);
}

static void same_samples(const struct run *a, const struct run *b) {
    for (size_t p = 0; p < N_PROMPTS; p++)
        for (size_t g = 0; g < GROUP; g++) {
            const struct sample *x = &a->samples[p][g], *y = &b->samples[p][g];
            assert_int_equal(x->n, y->n);
            assert_int_equal(x->finish, y->finish);
            assert_memory_equal(x->ids, y->ids, x->n * sizeof *x->ids);
            assert_memory_equal(x->logprobs, y->logprobs, x->n * sizeof *x->logprobs);
        }
}

static void check_scores(struct run *r, const char *dir, enum gw_dtype dtype, int threads,
                         size_t rows, bool together) {
    struct gwen_err err;
    struct gw_pool *pool;
    struct gw_scorer *scorer;
    assert_int_equal(gw_pool_create(threads, &pool, &err), GWEN_OK);
    struct gw_model *m = load(dir, dtype, scratch_isa(), pool);
    struct gw_scorer_opts o = {.rows = rows,
                               .n_blocks = gw_kv_blocks_for(MAX_PROMPT + MAX_NEW) + 1 + rows % 7,
                               .max_len = MAX_PROMPT + MAX_NEW,
                               .temperature = r->sampling.temperature};
    assert_int_equal(gw_scorer_create(m, pool, &o, &scorer, &err), GWEN_OK);
    struct gw_score_request requests[N_PROMPTS * GROUP];
    static int32_t ids[N_PROMPTS * GROUP][MAX_PROMPT + MAX_NEW];
    static float logprobs[N_PROMPTS * GROUP][MAX_NEW];
    for (size_t i = 0; i < N_PROMPTS * GROUP; i++) {
        size_t p = i / GROUP, n = r->lengths[p];
        const struct sample *s = &r->samples[p][i % GROUP];
        memcpy(ids[i], r->prompts[p], n * sizeof **ids);
        memcpy(ids[i] + n, s->ids, s->n * sizeof *s->ids);
        requests[i] = (struct gw_score_request){
            .ids = ids[i], .n = n + s->n, .from = n, .logprobs = logprobs[i]};
    }
    for (size_t i = 0; i < N_PROMPTS * GROUP; i += together ? N_PROMPTS * GROUP : 1)
        if (gw_scorer_run(scorer, requests + i, together ? N_PROMPTS * GROUP : 1, false, NULL, NULL,
                          &err) != GWEN_OK)
            fail_msg("%s", err.message);
    for (size_t i = 0; i < N_PROMPTS * GROUP; i++) {
        const struct sample *s = &r->samples[i / GROUP][i % GROUP];
        assert_memory_equal(logprobs[i], s->logprobs, s->n * sizeof *s->logprobs);
    }
    gw_scorer_free(scorer);
    gw_model_free(m);
    gw_pool_free(pool);
}

/* The model under test: odd sizes, so that every panel and block has an edge. */
static const char *model_dir(void) {
    static char dir[4096];
    struct gwen_err err;
    struct gw_config c;
    if (dir[0] != 0) return dir;
    snprintf(dir, sizeof dir, "%s", scratch_path("model"));
    assert_int_equal(gw_config_preset("tiny", &c, &err), GWEN_OK);
    c.vocab_size = 203;
    c.hidden = 72;
    c.ffn = 88;
    c.n_layers = 2;
    c.n_heads = 6;
    c.n_kv_heads = 2;
    c.head_dim = 24;
    c.initializer_range = 0.15;
    if (gw_weights_init(&c, &(struct gw_init_options){.seed = 5, .dtype = GW_DTYPE_F32}, dir,
                        &err) != GWEN_OK)
        fail_msg("%s", err.message);
    return dir;
}

static void samples_do_not_depend_on_the_batch(void **state) {
    static const enum gw_dtype dtypes[] = {GW_DTYPE_F32, GW_DTYPE_F16, GW_DTYPE_BF16};
    /* One slot and the fewest blocks possible; odd pieces; more slots than samples. */
    const size_t fewest = gw_engine_min_blocks(MAX_PROMPT, MAX_NEW);
    const struct shape shapes[] = {{1, 1, 1, fewest}, {2, 3, 7, fewest + 3}, {2, 8, 64, 0},
                                   {1, 32, 200, 0},   {3, 40, 512, 0},       {2, 16, 33, fewest}};
    (void)state;
    for (size_t d = 0; d < GW_ARRAY_LEN(dtypes); d++) {
        struct run *first = NULL;
        for (size_t i = 0; i < GW_ARRAY_LEN(shapes); i++) {
            struct run *r = calloc(1, sizeof *r);
            r->sampling = (struct gw_sampling)GW_SAMPLING_INIT;
            r->sampling.temperature = 0.9;
            sample_all(r, model_dir(), dtypes[d], scratch_isa(), &shapes[i]);
            if (first == NULL) {
                first = r;
                continue;
            }
            same_samples(first, r);
            free(r);
        }
        check_scores(first, model_dir(), dtypes[d], 1, 64, false);
        check_scores(first, model_dir(), dtypes[d], 2, 256, true);
        check_scores(first, model_dir(), dtypes[d], 2, 5, true);
        free(first);
    }
}

/* Threads that are held up have their units stolen, come late, change places. */
static void delays_change_nothing(void **state) {
    (void)state;
    const struct shape shapes[] = {{1, 1, 16, 0}, {2, 8, 64, 0}, {4, 12, 32, 0}};
    struct run *first = NULL;
    for (size_t i = 0; i < GW_ARRAY_LEN(shapes); i++) {
        struct run *r = calloc(1, sizeof *r);
        r->sampling = (struct gw_sampling)GW_SAMPLING_INIT;
        sample_with(r, model_dir(), GW_DTYPE_BF16, scratch_isa(), &shapes[i], i > 0);
        if (first == NULL) {
            first = r;
            continue;
        }
        same_samples(first, r);
        free(r);
    }
    free(first);
}

static void instruction_sets_agree(void **state) {
    static const enum gw_dtype dtypes[] = {GW_DTYPE_F32, GW_DTYPE_F16};
    (void)state;
    for (size_t d = 0; d < GW_ARRAY_LEN(dtypes); d++) {
        struct run *first = NULL;
        for (int isa = 0; isa < GWEN_ISA_COUNT; isa++) {
            if (!gwen_isa_available((enum gwen_isa)isa) || isa > (int)scratch_isa()) continue;
            struct run *r = calloc(1, sizeof *r);
            r->sampling = (struct gw_sampling)GW_SAMPLING_INIT;
            sample_all(r, model_dir(), dtypes[d], (enum gwen_isa)isa, &(struct shape){2, 9, 50, 0});
            if (first == NULL) {
                first = r;
                continue;
            }
            same_samples(first, r);
            free(r);
        }
        free(first);
    }
}

/* Truncation and penalty go through other code; the batch must not show there either. */
static void truncated_sampling_does_not_depend_on_the_batch(void **state) {
    (void)state;
    struct run *a = calloc(1, sizeof *a), *b = calloc(1, sizeof *b);
    a->sampling = b->sampling = (struct gw_sampling){0.7, 20, 0.9, 0.02, 1.2};
    sample_all(a, model_dir(), GW_DTYPE_BF16, scratch_isa(), &(struct shape){1, 2, 16, 0});
    sample_all(b, model_dir(), GW_DTYPE_BF16, scratch_isa(), &(struct shape){2, 33, 99, 0});
    same_samples(a, b);
    check_scores(a, model_dir(), GW_DTYPE_BF16, 2, 100, true);
    free(a);
    free(b);
}

static void some_samples_end_by_themselves(void **state) {
    (void)state;
    struct run *r = calloc(1, sizeof *r);
    size_t stopped = 0;
    r->sampling = (struct gw_sampling)GW_SAMPLING_INIT;
    sample_all(r, model_dir(), GW_DTYPE_F32, scratch_isa(), &(struct shape){2, 8, 64, 0});
    for (size_t p = 0; p < N_PROMPTS; p++)
        for (size_t g = 0; g < GROUP; g++) {
            const struct sample *s = &r->samples[p][g];
            bool eos = s->ids[s->n - 1] == EOS;
            assert_int_equal(s->finish, eos ? GW_FINISH_STOP : GW_FINISH_LENGTH);
            if (!eos) assert_int_equal(s->n, r->wants[p][g].max_tokens);
            stopped += eos;
        }
    assert_in_range(stopped, 1, N_PROMPTS * GROUP - 1);
    free(r);
}

/* A budget of moods: how many of 256 requests for more are granted, and at how many of 256 steps
 * memory is short. */
struct moods {
    uint32_t state, granted, short_steps;
};

static uint32_t mood(struct moods *m) {
    m->state = m->state * 1664525 + 1013904223;
    return m->state >> 24;
}

static bool may_take(void *ctx, uint64_t bytes, uint64_t reserved) {
    struct moods *m = ctx;
    assert_true(bytes > 0 && bytes <= reserved);
    return mood(m) < m->granted;
}

static bool pressed(void *ctx) {
    struct moods *m = ctx;
    return mood(m) < m->short_steps;
}

/* Growth is refused and blocks are asked back at any time: all samples come, and come the same. */
static void short_memory_changes_nothing(void **state) {
    static const struct {
        uint32_t granted, short_steps;
        bool restarts, fewest; /* what is to be seen */
    } cases[] = {{256, 0, false, false},  {0, 0, false, true},    {256, 1, false, false},
                 {256, 8, true, false},   {200, 40, true, false}, {30, 128, true, false},
                 {256, 256, true, false}, {0, 256, false, true}};
    const size_t fewest = gw_engine_min_blocks(MAX_PROMPT, MAX_NEW);
    (void)state;
    struct run *calm = calloc(1, sizeof *calm);
    calm->sampling = (struct gw_sampling){0.9, 0, 1, 0, 1.1};
    sample_all(calm, model_dir(), GW_DTYPE_BF16, scratch_isa(), &(struct shape){1, 8, 64, 0});
    assert_int_equal(calm->stats.restarted, 0);
    for (size_t i = 0; i < GW_ARRAY_LEN(cases) * 2; i++) {
        struct moods m = {(uint32_t)i * 77 + 1, cases[i / 2].granted, cases[i / 2].short_steps};
        const struct gw_budget budget = {&m, may_take, pressed};
        /* Many slots with room for all; few with hardly more than one sample needs. */
        const struct shape shape =
            i % 2 == 0 ? (struct shape){2, 16, 33, 0} : (struct shape){1, 5, 200, fewest + 9};
        struct run *r = calloc(1, sizeof *r);
        r->sampling = calm->sampling;
        r->budget = &budget;
        sample_all(r, model_dir(), GW_DTYPE_BF16, scratch_isa(), &shape);
        same_samples(calm, r);
        if (cases[i / 2].fewest) assert_int_equal(r->stats.touched_blocks, fewest + 1);
        if (cases[i / 2].restarts && i % 2 == 0) assert_true(r->stats.restarted > 0);
        if (cases[i / 2].short_steps >= 40 && cases[i / 2].granted > 0)
            assert_true(r->stats.given_back > 0);
        if (cases[i / 2].short_steps == 0) assert_int_equal(r->stats.restarted, 0);
        free(r);
    }
    free(calm);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_do_not_depend_on_the_batch),
        cmocka_unit_test(delays_change_nothing),
        cmocka_unit_test(instruction_sets_agree),
        cmocka_unit_test(truncated_sampling_does_not_depend_on_the_batch),
        cmocka_unit_test(some_samples_end_by_themselves),
        cmocka_unit_test(short_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

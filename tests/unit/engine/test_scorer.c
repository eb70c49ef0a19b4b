/* test_scorer.c - what requests have in common is run once, and nothing of it shows:
 * log-probabilities, logits and what is gone on with are those of each request alone, and of the
 * decode engine. */
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
#include "unit/scratch.h"

/* A tree: a beginning shared by all, PARENTS of which each is shared by CHILDREN, and some that are
 * strangers. */
enum { PARENTS = 3, CHILDREN = 4, STRANGERS = 2, N = PARENTS * CHILDREN + STRANGERS };
enum { ROOT = 70, OWN = 75, TAIL = 9, MAX_NEW = 7, MAX_LEN = 192, VOCAB = 203, EOS = 3 };

struct answers {
    float logprobs[N][MAX_LEN];
    float first[N][VOCAB]; /* logits behind the last id */
    int32_t out[N][MAX_NEW];
    size_t n_new[N];
    bool stopped[N];
    const struct gw_score_request *requests;
    size_t at, done; /* the first request of the run in progress; those complete */
};

struct world {
    struct gw_pool *pool;
    struct gw_model *model;
    int32_t ids[N][MAX_LEN];
    size_t lengths[N];
};

static void make_ids(struct world *w) {
    for (size_t i = 0; i < N; i++) {
        size_t parent = i / CHILDREN;
        w->lengths[i] = ROOT + OWN + parent + TAIL + i % 3;
        for (size_t t = 0; t < w->lengths[i]; t++) {
            size_t salt = t < ROOT                  ? 1
                          : t < ROOT + OWN + parent ? 100 + parent
                                                    : 1000 + i % CHILDREN;
            if (i >= PARENTS * CHILDREN) salt = 10000 + i;
            w->ids[i][t] = (int32_t)((t * 31 + salt * 17 + 7) % VOCAB);
        }
    }
}

static void open_world(struct world *w, int threads, enum gw_dtype dtype) {
    struct gwen_err err;
    struct gw_config c;
    const char *dir = scratch_path("model");
    assert_int_equal(gw_config_preset("tiny", &c, &err), GWEN_OK);
    c.vocab_size = VOCAB;
    c.hidden = 72;
    c.ffn = 88;
    c.n_layers = 2;
    c.n_heads = 6;
    c.n_kv_heads = 2;
    c.head_dim = 24;
    c.initializer_range = 0.15;
    assert_int_equal(
        gw_weights_init(&c, &(struct gw_init_options){.seed = 5, .dtype = GW_DTYPE_F32}, dir, &err),
        GWEN_OK);
    assert_int_equal(gw_pool_create(threads, &w->pool, &err), GWEN_OK);
    if (gw_model_load(dir, &(struct gw_model_opts){.dtype = dtype, .isa_cap = scratch_isa()},
                      w->pool, &w->model, &err) != GWEN_OK)
        fail_msg("%s", err.message);
    make_ids(w);
}

static void close_world(struct world *w) {
    gw_model_free(w->model);
    gw_pool_free(w->pool);
}

static void on_logits(void *ctx, size_t index, size_t t, const float *z) {
    struct answers *a = ctx;
    index += a->at;
    if (t == a->requests[index].n) memcpy(a->first[index], z, sizeof a->first[index]);
}

static void on_done(void *ctx, size_t index) {
    struct answers *a = ctx;
    assert_true(a->requests[a->at + index].n_new > 0);
    a->done++;
}

/* Requests `each` at a time; from: where log-probabilities are wanted, counted from the end. */
static void run(const struct world *w, struct gw_scorer_opts o, size_t each, size_t from,
                struct answers *a) {
    static const int32_t eos[] = {EOS};
    struct gw_score_request requests[N];
    struct gw_scorer *scorer;
    struct gwen_err err;
    *a = (struct answers){.requests = requests};
    for (size_t i = 0; i < N; i++)
        requests[i] = (struct gw_score_request){.ids = w->ids[i],
                                                .n = w->lengths[i],
                                                .from = w->lengths[i] - from,
                                                .logprobs = a->logprobs[i],
                                                .max_new = 1 + i % MAX_NEW,
                                                .out = a->out[i]};
    o.max_len = MAX_LEN;
    o.temperature = 1;
    o.keep_logits = true;
    o.eos = (struct gw_eos){eos, 1};
    o.done = on_done;
    o.done_ctx = a;
    if (gw_scorer_create(w->model, w->pool, &o, &scorer, &err) != GWEN_OK)
        fail_msg("%s", err.message);
    for (size_t n; a->at < N; a->at += n) {
        n = GW_MIN(each, N - a->at);
        if (gw_scorer_run(scorer, requests + a->at, n, true, on_logits, a, &err) != GWEN_OK)
            fail_msg("%s", err.message);
    }
    assert_int_equal(a->done, N);
    for (size_t i = 0; i < N; i++) {
        a->n_new[i] = requests[i].n_new;
        a->stopped[i] = requests[i].stopped;
    }
    gw_scorer_free(scorer);
}

static void same(const struct answers *a, const struct answers *b) {
    assert_memory_equal(a->logprobs, b->logprobs, sizeof a->logprobs);
    assert_memory_equal(a->first, b->first, sizeof a->first);
    assert_memory_equal(a->n_new, b->n_new, sizeof a->n_new);
    assert_memory_equal(a->out, b->out, sizeof a->out);
    assert_memory_equal(a->stopped, b->stopped, sizeof a->stopped);
}

static void sharing_does_not_show(void **state) {
    static const enum gw_dtype dtypes[] = {GW_DTYPE_F32, GW_DTYPE_BF16};
    const size_t fewest = gw_kv_blocks_for(MAX_LEN) + 1;
    (void)state;
    for (size_t d = 0; d < GW_ARRAY_LEN(dtypes); d++) {
        struct world w;
        struct answers *alone = malloc(sizeof *alone), *a = malloc(sizeof *a);
        open_world(&w, 2, dtypes[d]);
        for (size_t from = 0; from < 4; from += 3) {
            run(&w, (struct gw_scorer_opts){.rows = 64, .n_blocks = fewest, .no_sharing = true}, 1,
                from, alone);
            const struct gw_scorer_opts shapes[] = {
                {.rows = 256, .n_blocks = 100},
                {.rows = 17, .n_blocks = fewest + 2},
                {.rows = 100, .n_blocks = fewest},
                {.rows = 300, .n_blocks = 60, .no_sharing = true},
            };
            for (size_t i = 0; i < GW_ARRAY_LEN(shapes); i++) {
                run(&w, shapes[i], i == 0 ? 5 : N, from, a);
                same(alone, a);
            }
        }
        close_world(&w);
        free(alone);
        free(a);
    }
}

/* --- beside the engine ---------------------------------------------------------------------- */

struct sampling {
    const struct world *w;
    const struct answers *a;
    size_t next, n_done;
    struct gw_want wants[N];
};

static enum gwen_status next(void *ctx, struct gw_job *job, bool *more, struct gwen_err *err) {
    struct sampling *s = ctx;
    (void)err;
    *more = s->next < N;
    if (!*more) return GWEN_OK;
    size_t i = s->next++;
    s->wants[i] = (struct gw_want){0, 1 + i % MAX_NEW};
    *job = (struct gw_job){.prompt = s->w->ids[i],
                           .n_prompt = s->w->lengths[i],
                           .wants = &s->wants[i],
                           .n_wants = 1,
                           .sampling = GW_SAMPLING_INIT,
                           .user = (void *)(uintptr_t)i};
    job->sampling.temperature = 0;
    return GWEN_OK;
}

static enum gwen_status done(void *ctx, const struct gw_sample *sample, struct gwen_err *err) {
    struct sampling *s = ctx;
    size_t i = (uintptr_t)sample->job->user;
    (void)err;
    assert_int_equal(sample->n, s->a->n_new[i]);
    assert_memory_equal(sample->ids, s->a->out[i], sample->n * sizeof *sample->ids);
    assert_int_equal(sample->finish == GW_FINISH_STOP, s->a->stopped[i]);
    s->n_done++;
    return GWEN_OK;
}

static void going_on_is_greedy_decoding(void **state) {
    static const int32_t eos[] = {EOS};
    struct world w;
    struct answers *a = malloc(sizeof *a);
    struct gw_engine *engine;
    struct gwen_err err;
    (void)state;
    open_world(&w, 2, GW_DTYPE_BF16);
    run(&w, (struct gw_scorer_opts){.rows = 128, .n_blocks = 60}, N, 0, a);
    const struct gw_engine_opts o = {.slots = 5,
                                     .prefill_rows = 64,
                                     .n_blocks = gw_engine_good_blocks(5, 1, MAX_LEN, MAX_NEW),
                                     .max_prompt = MAX_LEN,
                                     .max_new = MAX_NEW,
                                     .max_group = 1,
                                     .eos = {eos, 1}};
    assert_int_equal(gw_engine_create(w.model, w.pool, &o, &engine, &err), GWEN_OK);
    struct sampling s = {.w = &w, .a = a};
    const struct gw_engine_client client = {.ctx = &s, .next = next, .done = done};
    assert_int_equal(gw_engine_run(engine, &client, NULL, &err), GWEN_OK);
    assert_int_equal(s.n_done, N);
    gw_engine_free(engine);
    close_world(&w);
    free(a);
}

static void refused(void **state) {
    struct world w;
    struct gw_scorer *scorer;
    struct gwen_err err;
    int32_t out[4];
    (void)state;
    open_world(&w, 1, GW_DTYPE_F32);
    struct gw_scorer_opts o = {.rows = 16, .n_blocks = 5, .max_len = MAX_LEN, .temperature = 1};
    struct gw_score_request r = {
        .ids = w.ids[0], .n = w.lengths[0], .from = w.lengths[0], .max_new = 2, .out = out};
    assert_int_equal(gw_scorer_create(w.model, w.pool, &o, &scorer, &err), GWEN_OK);
    /* Without logits nothing can be gone on with. */
    assert_int_equal(gw_scorer_run(scorer, &r, 1, true, NULL, NULL, &err), GWEN_ERR_ARGUMENT);
    gw_scorer_free(scorer);
    o.keep_logits = true;
    o.max_len = w.lengths[0];
    assert_int_equal(gw_scorer_create(w.model, w.pool, &o, &scorer, &err), GWEN_OK);
    assert_int_equal(gw_scorer_run(scorer, &r, 1, true, NULL, NULL, &err), GWEN_ERR_ARGUMENT);
    r.max_new = 1;
    assert_int_equal(gw_scorer_run(scorer, &r, 1, true, NULL, NULL, &err), GWEN_OK);
    assert_int_equal(r.n_new, 1);
    gw_scorer_free(scorer);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sharing_does_not_show),
        cmocka_unit_test(going_on_is_greedy_decoding),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

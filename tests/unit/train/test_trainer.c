/* test_trainer.c - gradients and log-probabilities of the trainer do not depend on how the work is
 * cut: samples of a pass, rows of a pass, what is recomputed, threads; and its log-probabilities
 * are, to the last bit, those recorded while sampling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "model/lora.h"
#include "train/trainer.h"
#include "unit/scratch.h"

enum { N_GROUPS = 3, GROUP = 3, MAX_NEW = 70, PROMPT = 75, MAX_LEN = PROMPT + MAX_NEW };
enum { N_SAMPLES = N_GROUPS * GROUP, MODEL_COUNT = 3 };
static const char *const MODELS[MODEL_COUNT] = {"qwen3", "llama-bias", "llama3"};
/* Within one block, at a block's border, beyond it. */
static const size_t PROMPT_LENGTHS[N_GROUPS] = {9, 65, PROMPT};

static void check(enum gwen_status status, const struct gwen_err *err) {
    if (status != GWEN_OK) fail_msg("%s", err->message);
}

/* An adapter that all models are given, or NULL. */
static const char *adapter;

static struct gw_pool *new_pool(int n_threads) {
    struct gw_pool *pool;
    struct gwen_err err;
    check(gw_pool_create(n_threads, &pool, &err), &err);
    return pool;
}

static struct gw_model *load(const char *name, enum gw_dtype dtype, struct gw_pool *pool) {
    char dir[256];
    struct gw_model *model;
    struct gwen_err err;
    struct gw_model_opts opts = {.dtype = dtype, .isa_cap = scratch_isa()};
    snprintf(dir, sizeof dir, "tests/fixtures/golden/models/%s", name);
    check(gw_model_load(dir, &opts, pool, &model, &err), &err);
    if (adapter != NULL) check(gw_lora_load(model, adapter, &err), &err);
    return model;
}

/* --- sampling ------------------------------------------------------------------------------- */

/* Prompts and what was sampled of them. */
struct data {
    int32_t prompts[N_GROUPS][PROMPT];
    int32_t ids[N_SAMPLES][MAX_NEW];
    float sampled[N_SAMPLES][MAX_NEW];
    size_t n[N_SAMPLES];
    struct gw_want wants[GROUP];
    size_t next;
};

static enum gwen_status next_job(void *ctx, struct gw_job *job, bool *more, struct gwen_err *err) {
    struct data *d = ctx;
    (void)err;
    *more = d->next < N_GROUPS;
    if (!*more) return GWEN_OK;
    *job = (struct gw_job){.prompt = d->prompts[d->next],
                           .n_prompt = PROMPT_LENGTHS[d->next],
                           .wants = d->wants,
                           .n_wants = GROUP,
                           .key = {.stream = GW_STREAM_ROLLOUT, .prompt_key = d->next},
                           .sampling = GW_SAMPLING_INIT,
                           .user = (void *)(uintptr_t)d->next};
    job->sampling.temperature = 0.75;
    d->next++;
    return GWEN_OK;
}

static enum gwen_status take_sample(void *ctx, const struct gw_sample *s, struct gwen_err *err) {
    struct data *d = ctx;
    const size_t i = (size_t)(uintptr_t)s->job->user * GROUP + s->want;
    (void)err;
    memcpy(d->ids[i], s->ids, s->n * sizeof *s->ids);
    memcpy(d->sampled[i], s->logprobs, s->n * sizeof *s->logprobs);
    d->n[i] = s->n;
    return GWEN_OK;
}

static void sample(const struct gw_model *model, struct gw_pool *pool, struct data *d) {
    struct gwen_err err;
    struct gw_engine *engine;
    const struct gw_engine_opts opts = {.slots = 4,
                                        .prefill_rows = 16,
                                        .n_blocks =
                                            gw_engine_good_blocks(4, GROUP, PROMPT, MAX_NEW),
                                        .max_prompt = PROMPT,
                                        .max_new = MAX_NEW,
                                        .max_group = GROUP};
    const struct gw_engine_client client = {.ctx = d, .next = next_job, .done = take_sample};
    memset(d, 0, sizeof *d);
    for (size_t g = 0; g < N_GROUPS; g++)
        for (size_t t = 0; t < PROMPT; t++)
            d->prompts[g][t] = (int32_t)((g * 37 + t * t * 11 + t * 5) % model->cfg.vocab_size);
    for (size_t i = 0; i < GROUP; i++) d->wants[i] = (struct gw_want){i, i == 1 ? 7 : MAX_NEW - i};
    check(gw_engine_create(model, pool, &opts, &engine, &err), &err);
    check(gw_engine_run(engine, &client, NULL, &err), &err);
    gw_engine_free(engine);
}

/* --- training ------------------------------------------------------------------------------- */

struct way {
    size_t micro_batch, max_rows;
    enum gw_recompute recompute;
    bool share;
    int threads;
    bool one_by_one; /* a call for each group */
    size_t stride;   /* of what is recomputed */
};

struct result {
    float *grads;
    size_t n;
    float logprobs[N_SAMPLES][MAX_NEW], entropy[N_SAMPLES][MAX_NEW];
};

/* Any function of the log-probabilities will do. */
static void loss(void *ctx, size_t group, size_t index, const struct gw_train_sample *s) {
    (void)ctx, (void)group;
    for (size_t i = 0; i < s->n; i++)
        s->dlogprobs[i] = 0.02f * (float)(index + 1) * (s->logprobs[i] + 3.0f);
}

static void train(const char *name, enum gw_dtype dtype, const struct data *d, struct way way,
                  struct result *r) {
    struct gw_pool *pool = new_pool(way.threads);
    struct gw_model *model = load(name, dtype, pool);
    struct gw_trainer *t;
    struct gwen_err err;
    struct gw_train_group groups[N_GROUPS];
    struct gw_train_sample samples[N_SAMPLES];
    float dlogprobs[N_SAMPLES][MAX_NEW];
    const struct gw_trainer_opts opts = {.micro_batch = way.micro_batch,
                                         .max_rows = way.max_rows,
                                         .max_len = MAX_LEN,
                                         .max_prompt = PROMPT,
                                         .max_step_tokens = N_SAMPLES * MAX_LEN,
                                         .recompute = way.recompute,
                                         .recompute_stride = way.stride,
                                         .share_prompts = way.share,
                                         .temperature = 0.75};
    for (size_t i = 0; i < N_SAMPLES; i++)
        samples[i] = (struct gw_train_sample){.ids = d->ids[i],
                                              .n = d->n[i],
                                              .logprobs = r->logprobs[i],
                                              .entropy = r->entropy[i],
                                              .dlogprobs = dlogprobs[i]};
    for (size_t g = 0; g < N_GROUPS; g++)
        groups[g] =
            (struct gw_train_group){d->prompts[g], PROMPT_LENGTHS[g], &samples[g * GROUP], GROUP};
    check(gw_trainer_create(model, pool, &opts, &t, &err), &err);
    for (size_t g = 0; way.one_by_one && g < N_GROUPS; g++)
        check(gw_trainer_accumulate(t, &groups[g], 1, loss, NULL, &err), &err);
    if (!way.one_by_one) check(gw_trainer_accumulate(t, groups, N_GROUPS, loss, NULL, &err), &err);
    gw_trainer_finish(t);
    r->n = gw_trainer_params(t)->n_floats;
    r->grads = malloc(r->n * sizeof *r->grads);
    memcpy(r->grads, gw_trainer_grads(t), r->n * sizeof *r->grads);
    gw_trainer_free(t);
    gw_model_free(model);
    gw_pool_free(pool);
}

static void expect_sampled(const struct data *d, const struct result *r) {
    for (size_t i = 0; i < N_SAMPLES; i++)
        assert_memory_equal(d->sampled[i], r->logprobs[i], d->n[i] * sizeof(float));
}

static void expect_same(const struct result *a, const struct result *b, size_t way) {
    for (size_t i = 0; i < a->n; i++)
        if (memcmp(&a->grads[i], &b->grads[i], sizeof a->grads[i]) != 0)
            fail_msg("way %zu: gradient %zu is %a, not %a", way, i, (double)b->grads[i],
                     (double)a->grads[i]);
}

/* Largest difference relative to the largest gradient. */
static double difference(const struct result *a, const struct result *b) {
    double largest = 0, worst = 0;
    for (size_t i = 0; i < a->n; i++) {
        largest = GW_MAX(largest, fabs((double)a->grads[i]));
        worst = GW_MAX(worst, fabs((double)a->grads[i] - (double)b->grads[i]));
    }
    assert_true(largest > 0 && isfinite(largest));
    return worst / largest;
}

/* --- stopping ------------------------------------------------------------------------------- */

/* Says yes `left` times, then no. */
static bool go_on(void *ctx) {
    size_t *left = ctx;
    if (*left == 0) return false;
    --*left;
    return true;
}

/* Wherever a call is stopped, forward or backward, the next one is as if that had not been. */
static void test_stopped(void **state) {
    (void)state;
    static struct data d;
    static float logprobs[N_SAMPLES][MAX_NEW], dlogprobs[N_SAMPLES][MAX_NEW];
    struct gw_pool *pool = new_pool(2);
    struct gw_model *model = load(MODELS[0], GW_DTYPE_F32, pool);
    struct gw_trainer *t;
    struct gwen_err err;
    struct gw_train_group groups[N_GROUPS];
    struct gw_train_sample samples[N_SAMPLES];
    size_t left = SIZE_MAX, stops = 0;
    const struct gw_trainer_opts opts = {.micro_batch = 4,
                                         .max_rows = 4 * MAX_LEN,
                                         .max_len = MAX_LEN,
                                         .max_prompt = PROMPT,
                                         .max_step_tokens = N_SAMPLES * MAX_LEN,
                                         .share_prompts = true,
                                         .temperature = 0.75,
                                         .go_on = go_on,
                                         .go_on_ctx = &left};
    sample(model, pool, &d);
    for (size_t i = 0; i < N_SAMPLES; i++)
        samples[i] = (struct gw_train_sample){
            .ids = d.ids[i], .n = d.n[i], .logprobs = logprobs[i], .dlogprobs = dlogprobs[i]};
    for (size_t g = 0; g < N_GROUPS; g++)
        groups[g] =
            (struct gw_train_group){d.prompts[g], PROMPT_LENGTHS[g], &samples[g * GROUP], GROUP};
    check(gw_trainer_create(model, pool, &opts, &t, &err), &err);
    check(gw_trainer_accumulate(t, groups, N_GROUPS, loss, NULL, &err), &err);
    gw_trainer_finish(t);
    const size_t n = gw_trainer_params(t)->n_floats;
    float *grads = malloc(n * sizeof *grads);
    memcpy(grads, gw_trainer_grads(t), n * sizeof *grads);
    for (;; stops++) {
        gw_trainer_zero(t);
        left = stops;
        enum gwen_status status = gw_trainer_accumulate(t, groups, N_GROUPS, loss, NULL, &err);
        if (status == GWEN_OK) break;
        assert_int_equal(status, GWEN_ERR_CANCELLED);
        left = stops / 2;
        assert_int_equal(gw_trainer_forward(t, groups, N_GROUPS, &err), GWEN_ERR_CANCELLED);
    }
    gw_trainer_finish(t);
    assert_true(stops > 3 * 3 * model->cfg.n_layers); /* passes; prompts, samples, backward */
    assert_memory_equal(grads, gw_trainer_grads(t), n * sizeof *grads);
    free(grads);
    gw_trainer_free(t);
    gw_model_free(model);
    gw_pool_free(pool);
}

/* --- cutting -------------------------------------------------------------------------------- */

/* Ways of cutting that must all give the bits of the first. */
static const struct way WAYS[] = {
    {1, MAX_LEN, GW_RECOMPUTE_NONE, true, 1, false, 0},
    {2, 2 * MAX_LEN, GW_RECOMPUTE_ATTN, true, 2, false, 0},
    {3, 4 * MAX_LEN, GW_RECOMPUTE_LAYER, true, 3, false, 0},
    {8, 9 * MAX_LEN, GW_RECOMPUTE_LAYER, true, 2, false, 0},
    {8, 9 * MAX_LEN, GW_RECOMPUTE_NONE, true, 1, true, 0},
    {2, 2 * MAX_LEN, GW_RECOMPUTE_LAYER, true, 1, true, 0},
    {3, 4 * MAX_LEN, GW_RECOMPUTE_LAYER, true, 2, false, 2},
    {2, 2 * MAX_LEN, GW_RECOMPUTE_ATTN, true, 1, false, 2},
};

static void cutting_changes_no_bit(const char *name, enum gw_dtype dtype, double rounding) {
    static struct data d;
    static struct result first[2], other;
    struct gw_pool *pool = new_pool(2);
    struct gw_model *model = load(name, dtype, pool);
    sample(model, pool, &d);
    for (size_t share = 0; share < 2; share++) {
        for (size_t i = 0; i < GW_ARRAY_LEN(WAYS); i++) {
            struct way way = WAYS[i];
            struct result *r = i == 0 ? &first[share] : &other;
            way.share = share == 1;
            train(name, dtype, &d, way, r);
            expect_sampled(&d, r);
            if (i == 0) continue;
            expect_same(&first[share], r, i);
            assert_memory_equal(first[share].entropy, r->entropy, sizeof r->entropy);
            free(r->grads);
        }
    }
    const double off = difference(&first[0], &first[1]);
    printf("%s: gradients with and without shared prompts differ by %.2g\n", name, off);
    assert_true(off < rounding);
    assert_true(off > 0 || adapter != NULL); /* one on the last MLP alone sees no prompt's rows */
    free(first[0].grads);
    free(first[1].grads);
    gw_model_free(model);
    gw_pool_free(pool);
}

static void test_float32(void **state) {
    (void)state;
    for (size_t i = 0; i < MODEL_COUNT; i++) cutting_changes_no_bit(MODELS[i], GW_DTYPE_F32, 1e-5);
}

static void test_bfloat16(void **state) {
    (void)state;
    for (size_t i = 0; i < MODEL_COUNT; i++) cutting_changes_no_bit(MODELS[i], GW_DTYPE_BF16, 2e-2);
}

static void test_float16(void **state) {
    (void)state;
    cutting_changes_no_bit(MODELS[0], GW_DTYPE_F16, 1e-5);
}

static void test_adapters(void **state) {
    (void)state;
    adapter = "tests/fixtures/golden/lora/qwen3-all-r2";
    cutting_changes_no_bit("qwen3", GW_DTYPE_F32, 1e-5);
    cutting_changes_no_bit("qwen3", GW_DTYPE_BF16, 2e-2);
    adapter = "tests/fixtures/golden/lora/llama-bias-one-r1";
    cutting_changes_no_bit("llama-bias", GW_DTYPE_BF16, 2e-2);
    adapter = NULL;
}

/* 16-bit gradients are near the float32 ones. */
static void test_16_bit_gradients_are_near(void **state) {
    static struct data d;
    static struct result wide, narrow;
    (void)state;
    struct gw_pool *pool = new_pool(1);
    struct gw_model *model = load(MODELS[0], GW_DTYPE_F32, pool);
    sample(model, pool, &d);
    train(MODELS[0], GW_DTYPE_F32, &d, WAYS[0], &wide);
    static const struct {
        enum gw_dtype dtype;
        double most;
    } types[] = {{GW_DTYPE_BF16, 0.1}, {GW_DTYPE_F16, 0.02}};
    for (size_t i = 0; i < GW_ARRAY_LEN(types); i++) {
        train(MODELS[0], types[i].dtype, &d, WAYS[0], &narrow);
        const double off = difference(&wide, &narrow);
        printf("%s: gradients differ from float32's by %.2g\n", gw_dtype_torch_name(types[i].dtype),
               off);
        assert_true(off > 0 && off < types[i].most);
        free(narrow.grads);
    }
    free(wide.grads);
    gw_model_free(model);
    gw_pool_free(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_float32), cmocka_unit_test(test_bfloat16),
        cmocka_unit_test(test_float16), cmocka_unit_test(test_adapters),
        cmocka_unit_test(test_stopped), cmocka_unit_test(test_16_bit_gradients_are_near),
    };
    return cmocka_run_group_tests_name("trainer", tests, NULL, NULL);
}

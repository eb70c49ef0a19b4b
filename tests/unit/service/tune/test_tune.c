/* test_tune.c - the queue that is played against the engine's own steps; what is measured and
 * chosen; profiles; and that nothing of it changes a bit of a rollout.
 *
 * level: any - the play is about counts, and cli/tune runs at every level. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "checkpoint/weights_init.h"
#include "service/tune/measure.h"
#include "service/tune/profile.h"
#include "service/tune/steps.h"
#include "service/tune/tune.h"
#include "unit/scratch.h"

static struct {
    struct gw_pool *pool;
    struct gw_model *model;
} m;

static int setup(void **state) {
    struct gwen_err err;
    struct gw_config c;
    char dir[4096];
    if (scratch_setup(state) != 0) return -1;
    snprintf(dir, sizeof dir, "%s", scratch_path("model"));
    if (gw_config_preset("tiny", &c, &err) != GWEN_OK) return -1;
    c.vocab_size = 149;
    c.hidden = 72;
    c.ffn = 88;
    c.n_layers = 2;
    c.n_heads = 4;
    c.n_kv_heads = 2;
    c.head_dim = 24;
    c.initializer_range = 0.15;
    c.max_position_embeddings = 512;
    const struct gw_init_options o = {.seed = 5, .dtype = GW_DTYPE_F32};
    const struct gw_model_opts load = {.isa_cap = scratch_isa()};
    return gw_weights_init(&c, &o, dir, &err) == GWEN_OK &&
                   gw_pool_create(2, &m.pool, &err) == GWEN_OK &&
                   gw_model_load(dir, &load, m.pool, &m.model, &err) == GWEN_OK
               ? 0
               : -1;
}

static int teardown(void **state) {
    gw_model_free(m.model);
    gw_pool_free(m.pool);
    return scratch_teardown(state);
}

static struct gw_plan_options plan_base(void) {
    return (struct gw_plan_options){
        .cfg = &m.model->cfg, .format = m.model->arith.format, .n_threads = 2};
}

/* Every step takes a second, whatever it does. */
static struct gw_speed a_second_a_step(void) {
    struct gw_speed speed = {0};
    struct gw_speed_curve curve = {
        .prompt_tokens = 1, .groups = 1, .near_tokens = 1, .far_tokens = 2, .n_points = 2};
    curve.points[0] = (struct gw_speed_point){1, 1, 1, 0};
    curve.points[1] = (struct gw_speed_point){2, 1, 1, 0};
    gw_speed_set_curve(&speed, &curve);
    return speed;
}

static bool go_on(void *ctx) {
    (void)ctx;
    return true;
}

/* --- the queue ------------------------------------------------------------------------------ */

/* Steps of the play and of the engine; budget 0: as much as is wanted. */
static void expect_same_steps(size_t n_prompts, size_t groups, size_t prompt_tokens, size_t max_new,
                              size_t lo, size_t slots, size_t prefill_rows, size_t blocks) {
    struct gwen_err err;
    const struct gw_prompts prompts = {.n = n_prompts,
                                       .n_tokens = n_prompts * prompt_tokens,
                                       .max_prompt = prompt_tokens,
                                       .max_tokens = max_new};
    static const int32_t eos = 3;
    struct gw_rollout_opts o = {
        .groups = groups, .sampling = GW_SAMPLING_INIT, .seed = 7, .eos = {&eos, 1}};
    if (lo > 0) {
        o.length_lo = lo;
        o.length_hi = max_new;
    }
    struct gw_plan_options base = plan_base();
    base.engine.prefill_rows = prefill_rows;
    struct gw_rollout_plan plan;
    assert_int_equal(gw_rollout_plan(&base, NULL, &prompts, &o, slots, SIZE_MAX, &plan, &err),
                     GWEN_OK);
    struct gw_engine_opts *e = &plan.options.engine;
    if (blocks > 0) e->n_blocks = gw_engine_min_blocks(e->max_prompt, e->max_new) + blocks - 1;
    const struct gw_queue_opts q = gw_rollout_queue(&prompts, &o);
    assert_int_equal(q.lengths_known, lo > 0);
    struct gw_queue *queue;
    struct gw_queue_result played;
    struct gw_tune_real real;
    const struct gw_speed speed = a_second_a_step();
    assert_int_equal(gw_queue_create(&q, &queue, &err), GWEN_OK);
    assert_int_equal(gw_queue_run(queue, e, &speed, &played, &err), GWEN_OK);
    if (gw_tune_real(m.model, m.pool, queue, &plan, 0, go_on, NULL, &real, &err) != GWEN_OK)
        fail_msg("%s", err.message);
    assert_int_equal((uint64_t)played.tokens, real.stats.new_tokens);
    if ((uint64_t)played.seconds != real.stats.steps)
        fail_msg("%zu x %zu of %zu + %zu, %zu slots, %zu blocks: %.0f steps played, %zu run",
                 n_prompts, groups, prompt_tokens, max_new, slots, e->n_blocks, played.seconds,
                 (size_t)real.stats.steps);
    const double busy = (double)real.stats.live_rows / (double)(real.stats.steps * slots);
    assert_true(fabs(played.busy - busy) < 1e-9);
    gw_queue_free(queue);
}

static void plays_as_the_engine_runs(void **state) {
    (void)state;
    static const size_t prompts[] = {1, 3, 10, 64}, slots[] = {1, 3, 8, 20};
    /* Samples that end with their first token, where few blocks are left. */
    expect_same_steps(10, 3, 3, 6, 1, 4, 64, 4);
    for (size_t p = 0; p < GW_ARRAY_LEN(prompts); p++) {
        for (size_t s = 0; s < GW_ARRAY_LEN(slots); s++) {
            const size_t few = GW_MIN(slots[s], prompts[p] * 4);
            expect_same_steps(prompts[p], 4, 30, 40, 0, few, 16, 0);
            expect_same_steps(prompts[p], 4, 30, 40, 1, few, 256, 0);
            expect_same_steps(prompts[p], 4, 100, 70, 0, few, 64, 3);
            expect_same_steps(prompts[p], 4, 64, 70, 10, few, 1000, 1 + few);
            expect_same_steps(prompts[p], 1, 3, 2, 1, GW_MIN(slots[s], prompts[p]), 64, 0);
        }
    }
}

static bool stop(void *ctx) {
    int *steps = ctx;
    return --*steps > 0;
}

/* With prompts in flight, others done and others never begun. */
static void a_real_run_can_be_cancelled(void **state) {
    (void)state;
    struct gwen_err err;
    const struct gw_prompts p = {.n = 40, .n_tokens = 1200, .max_prompt = 30, .max_tokens = 8};
    const struct gw_rollout_opts o = {.groups = 2, .sampling = GW_SAMPLING_INIT, .seed = 7};
    const struct gw_plan_options base = plan_base();
    const struct gw_queue_opts q = gw_rollout_queue(&p, &o);
    struct gw_rollout_plan plan;
    struct gw_queue *queue;
    struct gw_tune_real real;
    int steps = 20;
    assert_int_equal(gw_rollout_plan(&base, NULL, &p, &o, 4, SIZE_MAX, &plan, &err), GWEN_OK);
    assert_int_equal(gw_queue_create(&q, &queue, &err), GWEN_OK);
    assert_int_equal(gw_tune_real(m.model, m.pool, queue, &plan, 0, stop, &steps, &real, &err),
                     GWEN_ERR_CANCELLED);
    assert_int_equal(steps, 0);
    assert_in_range(real.stats.prefill_tokens, 1, 1199);
    gw_queue_free(queue);
}

static void long_queues_are_cut(void **state) {
    (void)state;
    struct gwen_err err;
    const struct gw_queue_opts o = {.n_prompts = 1u << 30,
                                    .groups = 64,
                                    .prompt_tokens = 100,
                                    .max_new = 1 << 20,
                                    .length_lo = 1,
                                    .length_hi = 1 << 20};
    struct gw_queue *queue;
    struct gw_queue_result r;
    const struct gw_speed speed = a_second_a_step();
    struct gw_engine_opts e = {
        .slots = 2, .prefill_rows = 64, .max_prompt = 100, .max_new = 1 << 20, .max_group = 64};
    assert_int_equal(gw_queue_create(&o, &queue, &err), GWEN_OK);
    assert_true(gw_queue_opts(queue)->n_prompts <= 64);
    e.n_blocks = gw_engine_good_blocks(2, 64, 100, 1 << 20);
    assert_int_equal(gw_queue_run(queue, &e, &speed, &r, &err), GWEN_OK);
    assert_true(r.seconds > r.tokens / 2 * 0.99 && r.seconds < r.tokens / 2 * 1.05);
    e.n_blocks = 1; /* never enough */
    assert_int_equal(gw_queue_run(queue, &e, &speed, &r, &err), GWEN_OK);
    assert_true(isinf(r.seconds));
    gw_queue_free(queue);
}

/* --- speed ---------------------------------------------------------------------------------- */

static double seconds_at(const struct gw_speed *s, double rows, double prompt, double own,
                         double prefill) {
    return gw_speed_step(s, &(struct gw_step){rows, 1, prompt, own, prefill});
}

static void curves_are_read_between_points(void **state) {
    (void)state;
    struct gw_speed s = {0};
    struct gw_speed_curve c = {.prompt_tokens = 10,
                               .groups = 2,
                               .near_tokens = 1,
                               .far_tokens = 101,
                               .prefill_s = 0.5,
                               .n_points = 3};
    c.points[0] = (struct gw_speed_point){1, 1, 2, 0};
    c.points[1] = (struct gw_speed_point){4, 2, 4, 0};
    c.points[2] = (struct gw_speed_point){8, 6, 12, 0};
    gw_speed_set_curve(&s, &c);
    const double cases[][5] = {/* rows, prompt, own, prefill, seconds */
                               {1, 10, 1, 0, 1},     {1, 10, 101, 0, 2},  {4, 10, 51, 0, 3},
                               {2.5, 10, 1, 0, 1.5}, {8, 10, 101, 0, 12}, {16, 10, 1, 0, 14},
                               {4, 60, 1, 0, 3},     {4, 10, 1, 6, 5},    {0, 10, 0, 8, 4},
                               {0, 10, 1, 1, 1}};
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        const double *k = cases[i], got = seconds_at(&s, k[0], k[1], k[2], k[3]);
        if (fabs(got - k[4]) > 1e-9) fail_msg("case %zu: %g instead of %g", i, got, k[4]);
    }
}

static void rooflines_grow(void **state) {
    (void)state;
    struct gw_plan_options base = plan_base();
    struct gw_config c;
    struct gwen_err err;
    struct gw_speed s;
    assert_int_equal(gw_config_preset("qwen3-0.6b", &c, &err), GWEN_OK);
    base.cfg = &c;
    gw_speed_assume(&base, &m.model->arith, &s);
    assert_int_equal(s.source, GW_SPEED_ASSUMED);
    assert_true(seconds_at(&s, 64, 100, 100, 0) > seconds_at(&s, 1, 100, 100, 0));
    assert_true(seconds_at(&s, 64, 100, 1000, 0) > seconds_at(&s, 64, 100, 100, 0));
    assert_true(seconds_at(&s, 8, 100, 100, 256) > seconds_at(&s, 8, 100, 100, 0));
    /* A small model is not worth measuring for; a large one is. */
    struct gw_speed small = s;
    small.weight_bytes = 1e6;
    gw_speed_measure(&small, &m.model->arith, m.pool, SIZE_MAX);
    assert_int_equal(small.source, GW_SPEED_ASSUMED);
    gw_speed_measure(&s, &m.model->arith, m.pool, 1 << 20);
    assert_int_equal(s.source, GW_SPEED_ASSUMED); /* no memory to measure in */
    gw_speed_measure(&s, &m.model->arith, m.pool, (size_t)64 << 20);
    assert_int_equal(s.source, GW_SPEED_PEAKS);
    assert_true(s.flops_s > 0 && s.bytes_s > 0);
}

static void choices_prefer_the_smaller(void **state) {
    (void)state;
    const struct gw_rollout_choice c[] = {{.batch = 1, .fits = true, .tok_s = 50},
                                          {.batch = 2, .fits = true, .tok_s = 97},
                                          {.batch = 4, .fits = true, .tok_s = 99},
                                          {.batch = 8, .fits = true, .tok_s = 100},
                                          {.batch = 16, .fits = false, .tok_s = 0}};
    assert_int_equal(gw_rollout_choose(c, 5, 0.02), 2);
    assert_int_equal(gw_rollout_choose(c, 5, 0.05), 1);
    assert_int_equal(gw_rollout_choose(c, 5, 0), 3);
}

/* --- measurements --------------------------------------------------------------------------- */

static void series_ignore_what_disturbs(void **state) {
    (void)state;
    struct gw_series a = {0}, b = {0};
    double noise;
    for (size_t i = 0; i < 8; i++) {
        gw_series_add(&a, i == 3 ? 9 : 1);
        gw_series_add(&b, i == 5 ? 20 : 1.1);
    }
    assert_true(fabs(gw_series_mean(&a) - 1) < 1e-12);
    assert_true(gw_series_noise(&a) < 1e-12);
    assert_true(fabs(gw_series_compare(&a, &b, &noise) - 0.1) < 1e-9 && noise < 1e-9);
    struct gw_series one = {0};
    gw_series_add(&one, 1);
    assert_true(gw_series_noise(&one) == 1);
    assert_true(gw_series_compare(&one, &a, &noise) == 0 && noise == 1);
    for (size_t i = 0; i < 100; i++) gw_series_add(&one, 1);
    assert_int_equal(one.n, GW_SERIES_MAX);
}

static void steps_can_be_timed(void **state) {
    (void)state;
    struct gwen_err err;
    const struct gw_steps_opts shapes[] = {
        {1, 0, 1, 1, 2}, {7, 100, 64, 3, 70}, {5, 30, 100, 8, 1}, {40, 512, 10, 4, 129}};
    for (size_t i = 0; i < GW_ARRAY_LEN(shapes); i++) {
        const struct gw_steps_opts *o = &shapes[i];
        struct gw_steps *s;
        assert_int_equal(gw_steps_open(m.model, m.pool, o, &s, &err), GWEN_OK);
        assert_true(gw_steps_bytes(&m.model->cfg, m.model->arith.format, o, 2) > 0);
        assert_true(gw_steps_time(s, o->rows, o->own_tokens, o->prefill, 2) > 0);
        assert_true(gw_steps_time(s, 1, 1, 0, 1) > 0);
        gw_steps_close(s);
    }
}

/* --- tuning a small model ------------------------------------------------------------------- */

static bool cancel(void *user, const struct gwen_progress *progress) {
    (void)progress;
    return --*(int *)user > 0;
}

static const struct gw_prompts PROMPTS = {
    .n = 4, .n_tokens = 4 * 20, .max_prompt = 20, .max_tokens = 48};

static struct gw_tune_opts tune_opts(const struct gw_rollout_opts *rollout) {
    return (struct gw_tune_opts){.model = m.model,
                                 .base = plan_base(),
                                 .threads = {2, 1},
                                 .n_threads = 2,
                                 .pool = m.pool,
                                 .budget_bytes = (size_t)1 << 30,
                                 .seconds = 20,
                                 .start_ns = gw_now_ns(),
                                 .prompts = &PROMPTS,
                                 .rollout = rollout};
}

static void tunes_a_small_model(void **state) {
    (void)state;
    static const int32_t eos = 3;
    const struct gw_rollout_opts rollout = {
        .groups = 4, .sampling = GW_SAMPLING_INIT, .eos = {&eos, 1}};
    struct gw_tune_opts o = tune_opts(&rollout);
    struct gw_tune_result r;
    struct gwen_err err;
    if (gw_tune_run(&o, &r, &err) != GWEN_OK) fail_msg("%s", err.message);
    assert_in_range(r.threads, 1, 2);
    assert_in_range(r.prefill_rows, 1, 512);
    assert_true(gw_linear_tuning_valid(&r.linear));
    assert_int_equal(r.speed.source, GW_SPEED_CURVE);
    assert_true(r.speed.curve.n_points >= 2 && r.speed.curve.prefill_s > 0);
    assert_true(r.n_candidates > 1 && r.chosen < r.n_candidates);
    if (r.train.micro_batch == 0) /* the machine was too slow for it */
        assert_non_null(strstr(r.train.why.message, "raise the time for tuning"));
    else
        assert_int_equal(r.train.n, GW_TUNE_TRAIN_CHOICES);
    assert_in_range(r.train.micro_batch, 0, 8);
    for (size_t i = 0; i < r.train.n; i++)
        assert_true(r.train.choices[i].seconds > 0 && r.train.choices[i].micro_batch == 1u << i);
    const struct gw_tune_candidate *c = &r.candidates[r.chosen];
    assert_in_range(c->choice.batch, 1, 16);
    for (size_t i = 0; i < r.n_candidates; i++) {
        assert_true(r.candidates[i].choice.bytes <= o.budget_bytes);
        assert_true(c->choice.tok_s >= 0.95 * r.candidates[i].choice.tok_s);
    }

    /* Least memory: one row at a time, and not a byte less. */
    struct gw_rollout_plan plan;
    struct gw_plan made;
    assert_int_equal(gw_rollout_plan(&o.base, NULL, &PROMPTS, &rollout, 1, SIZE_MAX, &plan, &err),
                     GWEN_OK);
    plan.options.engine.n_blocks = gw_engine_min_blocks(20, 48);
    gw_plan_make(&plan.options, &made);
    o.budget_bytes = made.total;
    o.start_ns = gw_now_ns();
    if (gw_tune_run(&o, &r, &err) != GWEN_OK) fail_msg("%s", err.message);
    assert_int_equal(r.candidates[r.chosen].choice.batch, 1);
    o.budget_bytes--;
    assert_int_equal(gw_tune_run(&o, &r, &err), GWEN_ERR_NOMEM);

    /* No time at all still gives an answer; and it can be cancelled. */
    o.budget_bytes = (size_t)1 << 30;
    o.seconds = 0;
    assert_int_equal(gw_tune_run(&o, &r, &err), GWEN_OK);
    assert_true(r.candidates[r.chosen].choice.fits);
    int left = 1;
    o.seconds = 20;
    o.start_ns = gw_now_ns();
    o.progress = cancel;
    o.progress_user = &left;
    assert_int_equal(gw_tune_run(&o, &r, &err), GWEN_ERR_CANCELLED);
    gw_model_tune(m.model, &gw_linear_default);
}

/* --- the same bits -------------------------------------------------------------------------- */

static enum gwen_status keep_row(void *ctx, const struct gw_rollout_sample *s,
                                 struct gwen_err *err) {
    struct gw_str *rows = ctx; /* of equal size, by place */
    (void)err;
    struct gw_str *row = &rows[s->prompt_id * 3 + s->sample_id];
    gw_str_put(row, s->ids, s->n * sizeof *s->ids);
    gw_str_put(row, s->logprobs, s->n * sizeof *s->logprobs);
    return GWEN_OK;
}

static void roll_out(struct gw_pool *pool, size_t batch, size_t prefill_rows, struct gw_str *all) {
    enum { N = 4, GROUPS = 3 };
    int32_t ids[N][90];
    struct gw_prompt rows[N] = {{0}};
    struct gw_str parts[N * GROUPS] = {{0}};
    struct gw_prompts p = {.rows = rows, .n = N, .max_prompt = 90, .max_tokens = 30};
    for (size_t i = 0; i < N; i++) {
        rows[i] =
            (struct gw_prompt){.ids = ids[i], .n = i == 2 ? 90 : 5 + i, .max_tokens = 30, .key = i};
        for (size_t k = 0; k < rows[i].n; k++) ids[i][k] = (int32_t)((i * 31 + k * 7) % 149);
        p.n_tokens += rows[i].n;
    }
    const struct gw_rollout_opts o = {
        .groups = GROUPS, .sampling = GW_SAMPLING_INIT, .seed = 3, .stream = GW_STREAM_ROLLOUT};
    const struct gw_rollout_sink sink = {.ctx = parts, .sample = keep_row};
    struct gw_plan_options base = plan_base();
    struct gw_rollout_plan plan;
    struct gw_rollout *r = NULL;
    struct gwen_err err;
    base.engine.prefill_rows = prefill_rows;
    base.n_threads = gw_pool_threads(pool);
    if (gw_rollout_plan(&base, NULL, &p, &o, batch, SIZE_MAX, &plan, &err) != GWEN_OK ||
        gw_rollout_create(m.model, pool, NULL, &o, &plan, &r, &err) != GWEN_OK ||
        gw_rollout_run(r, &p, &sink, NULL, &err) != GWEN_OK)
        fail_msg("%s", err.message);
    gw_rollout_free(r);
    for (size_t i = 0; i < N * GROUPS; i++) {
        assert_int_equal(parts[i].len, 30 * 8);
        gw_str_put(all, parts[i].data, parts[i].len);
        gw_str_free(&parts[i]);
    }
}

static void tuning_changes_no_bit(void **state) {
    (void)state;
    static const uint32_t bytes[] = {GW_LINEAR_MIN_BYTES, 8192, 100000, GW_LINEAR_MAX_BYTES};
    struct gw_str before = {0}, after = {0};
    struct gwen_err err;
    roll_out(m.pool, 5, 0, &before);
    for (uint32_t i = 0; i < 20; i++) {
        struct gw_linear_tuning t;
        struct gw_pool *pool;
        for (uint32_t r = 0; r < GW_LINEAR_RANGES; r++)
            t.ranges[r] = (struct gw_linear_cut){(i + r) % (GWEN_TILE_PANELS + 1),
                                                 bytes[(i + r) % 4], bytes[(i / 4 + r) % 4]};
        gw_model_tune(m.model, &t);
        assert_int_equal(gw_pool_create(1 + (int)i % 4, &pool, &err), GWEN_OK);
        gw_str_clear(&after);
        roll_out(pool, 1 + i % 12, 1 + i * 13, &after);
        assert_int_equal(before.len, after.len);
        assert_memory_equal(before.data, after.data, before.len);
        gw_pool_free(pool);
    }
    gw_model_tune(m.model, &gw_linear_default);
    gw_str_free(&before);
    gw_str_free(&after);
}

/* --- profiles ------------------------------------------------------------------------------- */

static struct gw_tune_profile a_profile(void) {
    struct gw_tune_profile p = {.threads = 2,
                                .prefill_rows = 128,
                                .train_micro_batch = 4,
                                .linear = gw_linear_default,
                                .flops_s = 1.5e12,
                                .bytes_s = 4.7e10,
                                .has_curve = true,
                                .curve = a_second_a_step().curve,
                                .n_prompts = 8,
                                .prompt_tokens = 128,
                                .max_tokens = 1024,
                                .groups = 8,
                                .budget_bytes = UINT64_C(3) << 30,
                                .rollout_batch = 15,
                                .tok_s = 321.25};
    p.linear.ranges[3] = (struct gw_linear_cut){2, 65536, 4096};
    return p;
}

static void profiles_come_back(void **state) {
    (void)state;
    struct gw_tune_profile p = a_profile(), q;
    struct gw_str text = {0}, again = {0}, key = {0}, other = {0}, name = {0};
    struct gw_hw hw = {.cpu_model = "A \"fast\" one", .n_cores = 2};
    struct gwen_err err;
    gw_tune_key(&hw, &m.model->kern, &m.model->cfg, GW_DTYPE_BF16, 0, &key);
    hw.cpu_quota = 1.5;
    gw_tune_key(&hw, &m.model->kern, &m.model->cfg, GW_DTYPE_BF16, 0, &other);
    assert_string_not_equal(key.data, other.data);
    hw.cpu_quota = 0;
    gw_tune_key(&hw, &m.model->kern, &m.model->cfg, GW_DTYPE_BF16, 1, &other);
    assert_string_not_equal(key.data, other.data);
    gw_tune_profile_name(&m.model->cfg, GW_DTYPE_BF16, key.data, &name);
    assert_null(strchr(name.data, '/'));
    for (int curve = 1; curve >= 0; curve--) {
        p.has_curve = curve == 1;
        gw_str_clear(&text);
        gw_str_clear(&again);
        gw_tune_profile_put(&p, key.data, &text);
        if (gw_tune_profile_parse(text.data, text.len, "p.json", key.data, &q, &err) != GWEN_OK)
            fail_msg("%s", err.message);
        gw_tune_profile_put(&q, key.data, &again);
        assert_string_equal(text.data, again.data);
    }
    assert_int_equal(gw_tune_profile_parse(text.data, text.len, "p.json", other.data, &q, &err),
                     GWEN_ERR_FORMAT);
    assert_non_null(strstr(err.message, "another machine"));
    for (size_t len = 0; len + 2 < text.len; len += 7)
        assert_int_not_equal(gw_tune_profile_parse(text.data, len, "p.json", key.data, &q, &err),
                             GWEN_OK);
    gw_str_free(&text);
    gw_str_free(&again);
    gw_str_free(&key);
    gw_str_free(&other);
    gw_str_free(&name);
}

/* The text of a_profile() with one piece replaced is refused. */
static void expect_refused(const char *from, const char *to) {
    const struct gw_tune_profile p = a_profile();
    struct gw_tune_profile q;
    struct gw_str text = {0}, changed = {0};
    struct gwen_err err;
    gw_tune_profile_put(&p, "key", &text);
    const char *at = strstr(text.data, from);
    if (at == NULL) fail_msg("no %s in %s", from, text.data);
    gw_str_put(&changed, text.data, (size_t)(at - text.data));
    gw_str_puts(&changed, to);
    gw_str_puts(&changed, at + strlen(from));
    if (gw_tune_profile_parse(changed.data, changed.len, "p.json", "key", &q, &err) == GWEN_OK)
        fail_msg("%s instead of %s was taken", to, from);
    assert_null(strchr(err.message, '\n'));
    gw_str_free(&text);
    gw_str_free(&changed);
}

static void absurd_profiles_are_refused(void **state) {
    (void)state;
    expect_refused("\"threads\": 2", "\"threads\": 0");
    expect_refused("\"threads\": 2", "\"threads\": 1000000");
    expect_refused("\"threads\": 2", "\"threads\": \"2\"");
    expect_refused("\"threads\": 2,", "");
    expect_refused("\"prefill_rows\": 128", "\"prefill_rows\": 1e9");
    expect_refused("\"train_micro_batch\": 4", "\"train_micro_batch\": -4");
    expect_refused("[2, 65536, 4096]", "[2, 65536]");
    expect_refused("[2, 65536, 4096]", "[5, 65536, 4096]");
    expect_refused("[2, 65536, 4096]", "[2, 1, 4096]");
    expect_refused("[2, 65536, 4096]", "[2, 65536, 99999999]");
    expect_refused("[2, 65536, 4096], ", "");
    expect_refused("[2, 1, 1, 0]", "[1, 1, 1, 0]");
    expect_refused("[2, 1, 1, 0]", "[2, -1, 1, 0]");
    expect_refused("[2, 1, 1, 0]", "[2, 1, 1e30, 0]");
    expect_refused("[2, 1, 1, 0]", "2");
    expect_refused("\"far_tokens\": 2", "\"far_tokens\": 1");
    expect_refused("\"prefill_s\": 0", "\"prefill_s\": -1");
    expect_refused("\"work\": {", "\"w\": {");
    expect_refused("\"tok_s\": 321.25", "\"tok_s\": null");
    expect_refused("\"flops_s\": 1.5e+12", "\"flops_s\": 1e999");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plays_as_the_engine_runs),
        cmocka_unit_test(a_real_run_can_be_cancelled),
        cmocka_unit_test(long_queues_are_cut),
        cmocka_unit_test(curves_are_read_between_points),
        cmocka_unit_test(rooflines_grow),
        cmocka_unit_test(choices_prefer_the_smaller),
        cmocka_unit_test(series_ignore_what_disturbs),
        cmocka_unit_test(steps_can_be_timed),
        cmocka_unit_test(tunes_a_small_model),
        cmocka_unit_test(tuning_changes_no_bit),
        cmocka_unit_test(profiles_come_back),
        cmocka_unit_test(absurd_profiles_are_refused),
    };
    return cmocka_run_group_tests_name("tune", tests, setup, teardown);
}

/* test_optimizer_bf16.c - AdamW in bfloat16: rounding is unbiased and a function of its key, a step
 * is that of AdamW in float32 but for the rounding, and the same on any number of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ref/math.h"
#include "train/optimizer_bf16.h"
#include "unit/scratch.h"

static void check(enum gwen_status status, const struct gwen_err *err) {
    if (status != GWEN_OK) fail_msg("%s", err->message);
}

/* --- rounding ------------------------------------------------------------------------------- */

static const struct gw_rng_key KEY = {
    .seed = 0x123456789abcdef0, .stream = GW_STREAM_ROUNDING, .step = 7, .prompt_key = 99};

static void test_draws_are_those_of_the_generator(void **state) {
    enum { ROW = 300, ROWS = 5, SAMPLE = 2 };
    struct gwen_kernels kern;
    struct gw_rng rng;
    float x[ROW];
    struct gwen_bf16 y[ROW];
    (void)state;
    gwen_kernels_init(&kern, scratch_isa());
    gw_rng_init(&rng, &KEY);
    for (uint32_t i = 0; i < ROW; i++) x[i] = gwen_float_of_bits(0x3f800000 + i * 217);
    for (size_t row = 0; row < ROWS; row++) {
        const struct gwen_rounding r = gw_rounding_of(&rng, SAMPLE, row, ROW);
        kern.random_bf16(y, x, ROW, &r);
        for (size_t i = 0; i < ROW; i++) {
            /* 300 elements are 3 chunks of 128, of 16 positions each. */
            uint32_t words[4];
            gw_rng_words(&rng, SAMPLE, row * 48 + i / 128 * 16 + i % 16, words);
            const uint32_t bits = words[i % 128 / 32] >> (i % 32 / 16 * 16) & 0xffff;
            assert_int_equal(y[i].bits, (gwen_float_bits(x[i]) + bits) >> 16);
        }
    }
}

/* Each value lies between two bf16 neighbours: only those come out, and their mean is it. */
static void test_rounding_keeps_the_mean(void **state) {
    static const float values[] = {1.001f, -1.0077f, 3.14159f, 1e-20f, -6.5e7f, 1e-40f};
    enum { N = 1 << 16 };
    struct gwen_kernels kern;
    struct gw_rng rng;
    float *x = malloc(N * sizeof *x);
    struct gwen_bf16 *y = malloc(N * sizeof *y);
    (void)state;
    gwen_kernels_init(&kern, scratch_isa());
    gw_rng_init(&rng, &KEY);
    for (size_t k = 0; k < GW_ARRAY_LEN(values); k++) {
        const struct gwen_rounding r = gw_rounding_of(&rng, 0, k, N);
        const uint32_t bits = gwen_float_bits(values[k]);
        const double low = (double)gwen_float_of_bits(bits & 0xffff0000),
                     high = (double)gwen_float_of_bits((bits & 0xffff0000) + 0x10000);
        double sum = 0;
        for (size_t i = 0; i < N; i++) x[i] = values[k];
        kern.random_bf16(y, x, N, &r);
        for (size_t i = 0; i < N; i++) {
            const double got = (double)gwen_bf16_to_float(y[i]);
            assert_true(got == low || got == high);
            sum += got;
        }
        /* Five standard deviations of the mean of N coins, at most. */
        assert_true(fabs(sum / N - (double)values[k]) < 5 * fabs(high - low) / 2 / sqrt(N));
    }
    free(x);
    free(y);
}

static void test_what_is_exact_stays(void **state) {
    const float x[] = {0, -0.0f, 1, -2.5f, INFINITY, -INFINITY, 0x1p-133f, 0x1.fep127f};
    struct gwen_bf16 y[GW_ARRAY_LEN(x) + 1];
    struct gwen_kernels kern;
    struct gw_rng rng;
    const float nan = gwen_float_of_bits(0xff800001);
    (void)state;
    gwen_kernels_init(&kern, scratch_isa());
    gw_rng_init(&rng, &KEY);
    for (size_t row = 0; row < 100; row++) {
        const struct gwen_rounding r = gw_rounding_of(&rng, 1, row, GW_ARRAY_LEN(x));
        kern.random_bf16(y, x, GW_ARRAY_LEN(x), &r);
        for (size_t i = 0; i < GW_ARRAY_LEN(x); i++)
            assert_int_equal(y[i].bits, gwen_float_bits(x[i]) >> 16);
        kern.random_bf16(y, &nan, 1, &r);
        assert_int_equal(y[0].bits, 0xffc0);
    }
}

/* --- a model -------------------------------------------------------------------------------- */

static const char *const MODELS[] = {"qwen3", "llama-bias", "llama3", "qwen2"};

struct subject {
    struct gw_pool *pool;
    struct gw_model *model;
    struct gw_params params;
    float *master; /* as in the file, rounded to bfloat16 */
    float *grads;
};

static void open_subject(const char *name, enum gw_dtype dtype, int n_threads, struct subject *s) {
    const struct gw_model_opts opts = {.dtype = dtype, .isa_cap = scratch_isa()};
    struct gw_safetensors *st;
    struct gwen_err err;
    char dir[256];
    snprintf(dir, sizeof dir, "tests/fixtures/golden/models/%s", name);
    check(gw_pool_create(n_threads, &s->pool, &err), &err);
    check(gw_model_load(dir, &opts, s->pool, &s->model, &err), &err);
    check(gw_params_of_model(&s->model->cfg, &s->params, &err), &err);
    s->master = calloc(s->params.n_floats, sizeof *s->master);
    s->grads = calloc(s->params.n_floats, sizeof *s->grads);
    check(gw_safetensors_open(dir, &st, &err), &err);
    check(gw_master_read(&s->params, st, &s->model->kern, s->master, &err), &err);
    gw_safetensors_close(st);
    for (size_t i = 0; i < s->params.n; i++) {
        const struct gw_param *p = &s->params.list[i];
        for (size_t k = 0; k < p->n; k++) {
            float *w = &s->master[p->offset + k];
            if (p->rank == 2) *w = gwen_bf16_to_float(gwen_float_to_bf16(*w));
            s->grads[p->offset + k] = 0.01f * sinf((float)(i * 31 + k));
        }
    }
}

static void close_subject(struct subject *s) {
    gw_params_free(&s->params);
    free(s->master);
    free(s->grads);
    gw_model_free(s->model);
    gw_pool_free(s->pool);
}

/* The model's weights as floats, laid out as the parameters. */
static void read_weights(const struct subject *s, float *out) {
    for (size_t i = 0; i < s->params.n; i++) {
        const struct gw_param *p = &s->params.list[i];
        struct gwen_bf16 *bits = malloc(p->n * sizeof *bits);
        if (p->rank == 1) {
            gw_pack_read(s->model, i, 0, p->n, out + p->offset);
        } else { /* in two pieces, cut within a row */
            gw_pack_read(s->model, i, 0, 7, bits);
            gw_pack_read(s->model, i, 7, p->n - 7, bits + 7);
            for (size_t k = 0; k < p->n; k++) out[p->offset + k] = gwen_bf16_to_float(bits[k]);
        }
        free(bits);
    }
}

static void leave(void *ctx, int thread, size_t param, size_t row, void *values, size_t n) {
    (void)ctx, (void)thread, (void)param, (void)row, (void)values, (void)n;
}

static void spoil(void *ctx, int thread, size_t param, size_t row, void *values, size_t n) {
    (void)thread;
    if (param == *(size_t *)ctx && row == 3 && n > 5) ((uint16_t *)values)[5] = 0x7f80;
}

static void test_packed_weights_come_back(void **state) {
    (void)state;
    for (size_t i = 0; i < GW_ARRAY_LEN(MODELS); i++) {
        struct subject s;
        struct gw_packer *packer;
        struct gwen_err err;
        open_subject(MODELS[i], GW_DTYPE_BF16, 2, &s);
        float *got = calloc(s.params.n_floats, sizeof *got);
        read_weights(&s, got);
        assert_memory_equal(got, s.master, s.params.n_floats * sizeof *got);
        free(got);

        void *before = malloc(s.model->memory.bytes);
        memcpy(before, s.model->memory.data, s.model->memory.bytes);
        check(gw_packer_create(s.model, &s.params, s.pool, &packer, &err), &err);
        check(gw_pack_edit(packer, leave, NULL, &err), &err);
        assert_memory_equal(before, s.model->memory.data, s.model->memory.bytes);
        check(gw_pack_update(packer, s.master, &err), &err);
        assert_memory_equal(before, s.model->memory.data, s.model->memory.bytes);
        free(before);

        size_t param = gw_params_index(&s.params, GW_TENSOR_UP, 1);
        assert_int_equal(gw_pack_edit(packer, spoil, &param, &err), GWEN_ERR_NUMERIC);
        char wanted[128];
        snprintf(wanted, sizeof wanted,
                 "model.layers.1.mlp.up_proj.weight: element %zu is infinite",
                 3 * s.params.list[param].shape[1] + 5);
        assert_string_equal(err.message, wanted);
        gw_packer_free(packer);
        close_subject(&s);
    }
}

/* --- steps ---------------------------------------------------------------------------------- */

static const struct gw_adamw_opts ADAMW = {
    .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1};

static struct gw_optimizer *new_optimizer(struct subject *s, uint64_t seed) {
    struct gw_optimizer *o;
    struct gwen_err err;
    check(gw_optimizer_bf16_create(s->model, &s->params, s->pool, &ADAMW, 1.0, seed, &o, &err),
          &err);
    return o;
}

static void test_near_float32(void **state) {
    enum { STEPS = 8 };
    (void)state;
    for (size_t i = 0; i < GW_ARRAY_LEN(MODELS); i++) {
        struct subject s;
        struct gw_optimizer *wide, *narrow;
        struct gwen_err err;
        open_subject(MODELS[i], GW_DTYPE_BF16, 2, &s);
        const size_t n = s.params.n_floats;
        check(gw_optimizer_create(&s.params, &s.model->kern, s.pool, &ADAMW, 1.0, &wide, &err),
              &err);
        memcpy(wide->master, s.master, n * sizeof *s.master);
        narrow = new_optimizer(&s, 3);
        for (int step = 0; step < STEPS; step++) {
            double norm;
            for (size_t k = 0; k < n; k++) s.grads[k] = -0.9f * s.grads[k];
            const double wanted = gw_optimizer_step(wide, s.grads, 1e-3, 0.5);
            check(gw_optimizer_bf16_step(narrow, s.grads, 1e-3, 0.5, &norm, &err), &err);
            assert_true(norm == wanted);
        }
        assert_int_equal(narrow->steps, STEPS);
        float *got = calloc(n, sizeof *got);
        read_weights(&s, got);
        /* Every rounding moves a value by less than its last bit, 2^-7 of it at most: they come to
         * less than one for each step, and on the whole to nothing. */
        double off = 0, bits = 0;
        for (size_t k = 0; k < n; k++) {
            const double unit = fabs((double)wide->master[k]) * 0x1p-7 + 1e-4;
            assert_true(fabs((double)(got[k] - wide->master[k])) < STEPS * unit);
            off += (double)(got[k] - wide->master[k]) / unit;
            bits += 1;
        }
        assert_true(fabs(off / bits) < 8 / sqrt(bits));
        free(got);
        gw_optimizer_free(wide);
        gw_optimizer_free(narrow);
        close_subject(&s);
    }
}

/* Steps of a thousandth of a weight's last bit add up. */
static void test_small_steps_count(void **state) {
    enum { STEPS = 50 };
    struct subject s;
    struct gwen_err err;
    (void)state;
    open_subject("qwen3", GW_DTYPE_BF16, 2, &s);
    const struct gw_param *p = &s.params.list[gw_params_index(&s.params, GW_TENSOR_DOWN, 0)];
    struct gw_optimizer *o = new_optimizer(&s, 3);
    double norm, moved = 0, lr = 1e-6;
    for (size_t k = 0; k < s.params.n_floats; k++) s.grads[k] = 1;
    for (int step = 0; step < STEPS; step++)
        check(gw_optimizer_bf16_step(o, s.grads, lr, 1, &norm, &err), &err);
    float *got = calloc(s.params.n_floats, sizeof *got);
    read_weights(&s, got);
    for (size_t k = p->offset; k < p->offset + p->n; k++) moved += (double)(s.master[k] - got[k]);
    /* All gradients are 1: every step is lr down. */
    assert_true(fabs(moved / (double)p->n / (STEPS * lr) - 1) < 0.5);
    free(got);
    gw_optimizer_free(o);
    close_subject(&s);
}

/* Weights and moments after some steps. */
static void *run_steps(const char *name, int n_threads, uint64_t seed, size_t *bytes) {
    struct subject s;
    struct gwen_err err;
    open_subject(name, GW_DTYPE_BF16, n_threads, &s);
    struct gw_optimizer *o = new_optimizer(&s, seed);
    for (int step = 0; step < 3; step++) {
        double norm;
        check(gw_optimizer_bf16_step(o, s.grads, 1e-2, 1, &norm, &err), &err);
    }
    const size_t moments = s.params.n_floats * sizeof *o->m16, weights = s.model->memory.bytes;
    *bytes = weights + 2 * moments;
    char *all = malloc(*bytes);
    memcpy(all, s.model->memory.data, weights);
    memcpy(all + weights, o->m16, moments);
    memcpy(all + weights + moments, o->v16, moments);
    gw_optimizer_free(o);
    close_subject(&s);
    return all;
}

static void test_threads_change_no_bit(void **state) {
    (void)state;
    for (size_t i = 0; i < GW_ARRAY_LEN(MODELS); i++) {
        size_t bytes, same;
        void *one = run_steps(MODELS[i], 1, 5, &bytes), *other = run_steps(MODELS[i], 1, 6, &same);
        assert_memory_not_equal(one, other, bytes); /* the seed counts */
        free(other);
        for (int n_threads = 2; n_threads <= 3; n_threads++) {
            void *many = run_steps(MODELS[i], n_threads, 5, &same);
            assert_int_equal(same, bytes);
            assert_memory_equal(one, many, bytes);
            free(many);
        }
        free(one);
    }
}

static void test_bad_gradients_are_left_out(void **state) {
    struct subject s;
    struct gwen_err err;
    double norm;
    (void)state;
    open_subject("qwen3", GW_DTYPE_BF16, 2, &s);
    struct gw_optimizer *o = new_optimizer(&s, 3);
    void *before = malloc(s.model->memory.bytes);
    memcpy(before, s.model->memory.data, s.model->memory.bytes);
    s.grads[s.params.list[2].offset] = NAN;
    check(gw_optimizer_bf16_step(o, s.grads, 1e-2, 1, &norm, &err), &err);
    assert_false(isfinite(norm));
    assert_int_equal(o->skipped, 1);
    assert_int_equal(o->steps, 0);
    assert_memory_equal(before, s.model->memory.data, s.model->memory.bytes);
    free(before);
    gw_optimizer_free(o);
    close_subject(&s);

    open_subject("qwen3", GW_DTYPE_F32, 1, &s);
    assert_int_equal(gw_optimizer_bf16_create(s.model, &s.params, s.pool, &ADAMW, 1.0, 3, &o, &err),
                     GWEN_ERR_ARGUMENT);
    assert_string_equal(err.message, "adamw-bf16 trains weights in bfloat16, not float32: use "
                                     "dtype bf16 or the optimizer adamw");
    close_subject(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_draws_are_those_of_the_generator),
        cmocka_unit_test(test_rounding_keeps_the_mean),
        cmocka_unit_test(test_what_is_exact_stays),
        cmocka_unit_test(test_packed_weights_come_back),
        cmocka_unit_test(test_near_float32),
        cmocka_unit_test(test_small_steps_count),
        cmocka_unit_test(test_threads_change_no_bit),
        cmocka_unit_test(test_bad_gradients_are_left_out),
    };
    return cmocka_run_group_tests_name("optimizer_bf16", tests, NULL, NULL);
}

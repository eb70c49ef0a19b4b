/* test_16bit.c - the engine's own 16-bit errors against PyTorch's: log-probabilities of the golden
 * sequences in bfloat16 and float16, compared with the stored float32 ones, may err at most 1.5
 * times as much (largest and root mean square) as PyTorch in the same type, whose errors
 * tests/golden/make_torch16.py wrote to torch16.json. */
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
#include "checkpoint/safetensors/safetensors.h"
#include "engine/scorer.h"
#include "unit/scratch.h"

enum { MAX_SEQS = 64, MAX_LEN = 512 };
static const double ALLOWED = 1.5;

struct errors {
    double max, square;
    size_t n;
};

static void check(enum gwen_status status, const struct gwen_err *err) {
    if (status != GWEN_OK) fail_msg("%s", err->message);
}

static const struct gw_tensor *tensor(const struct gw_safetensors *st, const char *name) {
    const struct gw_tensor *t = gw_safetensors_find(st, name);
    assert_non_null(t);
    return t;
}

/* The golden's sequences as requests, and the float32 log-probability of every wanted token. */
static size_t make_requests(const struct gw_safetensors *st, struct gw_score_request *requests,
                            const float **wanted, float out[][MAX_LEN]) {
    const struct gw_tensor *ids = tensor(st, "prompt_ids"), *logprobs = tensor(st, "logprobs");
    const int32_t *lengths = tensor(st, "lengths")->data;
    size_t n = 0, width = ids->shape[1];
    for (size_t i = 0; i < ids->shape[0]; i++) {
        if (lengths[i] < 2) continue;
        assert_true(n < MAX_SEQS - 1 && lengths[i] <= MAX_LEN);
        requests[n] = (struct gw_score_request){.ids = (const int32_t *)ids->data + i * width,
                                                .n = (size_t)lengths[i],
                                                .from = 1,
                                                .logprobs = out[n]};
        wanted[n++] = (const float *)logprobs->data + i * width + 1;
    }
    size_t longest = tensor(st, "long_ids")->n_elem;
    assert_true(longest <= MAX_LEN);
    requests[n] = (struct gw_score_request){
        .ids = tensor(st, "long_ids")->data, .n = longest, .from = 1, .logprobs = out[n]};
    wanted[n++] = (const float *)tensor(st, "long_logprobs")->data + 1;
    return n;
}

static struct errors errors_of(const char *dir, enum gw_dtype dtype) {
    static float out[MAX_SEQS][MAX_LEN];
    struct gw_score_request requests[MAX_SEQS];
    const float *wanted[MAX_SEQS];
    struct gwen_err err;
    struct gw_pool *pool;
    struct gw_model *model;
    struct gw_safetensors *st;
    struct gw_scorer *scorer;
    struct errors e = {0};
    char path[4096];
    snprintf(path, sizeof path, "%s/golden.safetensors", dir);
    check(gw_pool_create(2, &pool, &err), &err);
    struct gw_model_opts opts = {.dtype = dtype, .isa_cap = scratch_isa()};
    check(gw_model_load(dir, &opts, pool, &model, &err), &err);
    check(gw_safetensors_open(path, &st, &err), &err);
    struct gw_scorer_opts o = {.rows = 128, .n_blocks = 32, .max_len = MAX_LEN, .temperature = 1};
    o.max_len = GW_MIN(o.max_len, model->cfg.max_position_embeddings);
    check(gw_scorer_create(model, pool, &o, &scorer, &err), &err);
    size_t n = make_requests(st, requests, wanted, out);
    check(gw_scorer_run(scorer, requests, n, false, NULL, NULL, &err), &err);
    for (size_t i = 0; i < n; i++)
        for (size_t t = 0; t + 1 < requests[i].n; t++, e.n++) {
            double d = fabs((double)out[i][t] - (double)wanted[i][t]);
            assert_true(isfinite(d));
            e.max = GW_MAX(e.max, d);
            e.square += d * d;
        }
    gw_scorer_free(scorer);
    gw_safetensors_close(st);
    gw_model_free(model);
    gw_pool_free(pool);
    return e;
}

static void compare(struct gw_json_node model, const char *dir, const char *name,
                    enum gw_dtype dtype) {
    struct gwen_err err;
    struct gw_json_node torch;
    double max, rms;
    check(gw_json_get_object(model, name, GW_JSON_REQUIRED, &torch, &err), &err);
    check(gw_json_get_double(torch, "max", GW_JSON_REQUIRED, 0, 100, &max, &err), &err);
    check(gw_json_get_double(torch, "rms", GW_JSON_REQUIRED, 0, 100, &rms, &err), &err);
    struct errors e = errors_of(dir, dtype);
    double own = sqrt(e.square / (double)e.n);
    printf("%-16s %s: max %.4f (PyTorch %.4f), RMS %.4f (PyTorch %.4f)\n", gw_json_key(model), name,
           e.max, max, own, rms);
    assert_true(e.max <= ALLOWED * max);
    assert_true(own <= ALLOWED * rms);
    assert_true(own > 0); /* or 16 bits were not used at all */
}

static void errors_are_no_larger_than_pytorchs(void **state) {
    struct gw_json_doc doc;
    struct gw_json_node models;
    struct gwen_err err;
    (void)state;
    if (golden_path("models") == NULL) skip();
    check(gw_json_load("tests/golden/torch16.json", 1 << 20, &doc, &err), &err);
    check(gw_json_get_object(gw_json_root(&doc), "models", GW_JSON_REQUIRED, &models, &err), &err);
    for (struct gw_json_node m = gw_json_first(models); m.v != NULL; m = gw_json_next(m)) {
        char name[256], dir[4096];
        snprintf(name, sizeof name, "models/%s", gw_json_key(m));
        const char *found = golden_path(name);
        if (found == NULL) continue;
        snprintf(dir, sizeof dir, "%s", found);
        compare(m, dir, "bf16", GW_DTYPE_BF16);
        compare(m, dir, "fp16", GW_DTYPE_F16);
    }
    gw_json_free(&doc);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(errors_are_no_larger_than_pytorchs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

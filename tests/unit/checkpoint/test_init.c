/* test_init.c - random models: complete, loadable, the same bytes everywhere, and as random as
 * they should be.  Beside it, finding models: directories and the Hugging Face cache. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/rng.h"
#include "checkpoint/config/generation.h"
#include "checkpoint/hub.h"
#include "checkpoint/safetensors/safetensors.h"
#include "checkpoint/weights_init.h"
#include "unit/scratch.h"

/* Makes the tiny preset in SCRATCH/name and opens it. */
static struct gw_safetensors *make(const char *name, struct gw_init_options opt,
                                   struct gw_config *c) {
    struct gwen_err err = {0};
    struct gw_safetensors *st = NULL;
    struct gw_config preset;
    assert_int_equal(gw_config_preset("tiny", &preset, &err), GWEN_OK);
    if (gw_weights_init(&preset, &opt, scratch_path(name), &err) != GWEN_OK ||
        gw_config_load(scratch_path(name), c, &err) != GWEN_OK ||
        gw_safetensors_open(scratch_path(name), &st, &err) != GWEN_OK ||
        gw_safetensors_check(st, c, &err) != GWEN_OK)
        fail_msg("%s", err.message);
    return st;
}

static uint64_t hash_of(const char *name) {
    struct gw_str s = {0}, path = {0};
    struct gwen_err err;
    assert_int_equal(gw_path_join(&path, scratch_path(name), "model.safetensors", &err), GWEN_OK);
    assert_int_equal(gw_file_read(path.data, 1 << 26, &s, &err), GWEN_OK);
    uint64_t h = gw_hash64(s.data, s.len);
    gw_str_free(&s);
    gw_str_free(&path);
    return h;
}

static void complete_and_fixed(void **state) {
    (void)state;
    static const struct {
        enum gw_dtype dtype, got;
        uint64_t hash; /* of the file: it must never change, on any machine */
    } cases[] = {{GW_DTYPE_NONE, GW_DTYPE_BF16, 0xaf6383b95737ab92},
                 {GW_DTYPE_BF16, GW_DTYPE_BF16, 0xaf6383b95737ab92},
                 {GW_DTYPE_F16, GW_DTYPE_F16, 0x1e359ef9b8ba3c94},
                 {GW_DTYPE_F32, GW_DTYPE_F32, 0x6ac312dfb16f5fe4}};
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct gw_config c;
        struct gw_safetensors *st =
            make("fixed", (struct gw_init_options){.seed = 7, .dtype = cases[i].dtype}, &c);
        assert_int_equal(c.dtype, cases[i].got);
        assert_int_equal(gw_safetensors_dtype(st), cases[i].got);
        assert_string_equal(gw_safetensors_metadata(st, "format"), "pt");
        assert_int_equal(gw_safetensors_count(st), gw_config_n_tensors(&c));
        gw_safetensors_close(st);
        uint64_t h = hash_of("fixed");
        if (h != cases[i].hash)
            fail_msg("%s: hash is 0x%016llx", gw_dtype_name(cases[i].dtype), (unsigned long long)h);
    }
}

static void statistics(void **state) {
    (void)state;
    struct gw_config c;
    struct gw_safetensors *st =
        make("stats", (struct gw_init_options){.seed = 1, .dtype = GW_DTYPE_F32}, &c);
    double sum = 0, square = 0, fourth = 0, product = 0;
    size_t n = 0, beyond = 0;
    for (size_t i = 0; i < gw_safetensors_count(st); i++) {
        const struct gw_tensor *t = gw_safetensors_at(st, i);
        const float *x = t->data;
        if (t->rank == 1) {
            for (size_t j = 0; j < t->n_elem; j++) assert_true(x[j] == 1); /* norms */
            continue;
        }
        for (size_t j = 0; j < t->n_elem; j++) {
            double v = x[j] / 0.02;
            sum += v;
            square += v * v;
            fourth += v * v * v * v;
            if (j > 0) product += v * (x[j - 1] / 0.02);
            beyond += fabs(v) > 3;
        }
        n += t->n_elem;
    }
    /* five standard errors of each */
    double se = 1 / sqrt((double)n);
    assert_true(fabs(sum / (double)n) < 5 * se);
    assert_true(fabs(square / (double)n - 1) < 5 * sqrt(2) * se);
    assert_true(fabs(fourth / (double)n - 3) < 5 * sqrt(96) * se);
    assert_true(fabs(product / (double)n) < 5 * se);
    assert_true(fabs((double)beyond / (double)n - 0.0026998) < 5 * 0.0519 * se);
    gw_safetensors_close(st);
}

/* Tensors and seeds have nothing in common; a tensor does not depend on the others. */
static void independent_draws(void **state) {
    (void)state;
    struct gw_config c, one;
    struct gwen_err err;
    struct gw_init_options opt = {.seed = 1, .dtype = GW_DTYPE_F32};
    struct gw_safetensors *a = make("a", opt, &c);
    opt.seed = 2;
    struct gw_safetensors *b = make("b", opt, &c);
    opt.seed = 1;
    assert_int_equal(gw_config_preset("tiny", &one, &err), GWEN_OK);
    one.n_layers = 1;
    one.tie_word_embeddings = false;
    assert_int_equal(gw_weights_init(&one, &opt, scratch_path("one"), &err), GWEN_OK);
    struct gw_safetensors *s;
    assert_int_equal(gw_safetensors_open(scratch_path("one"), &s, &err), GWEN_OK);
    const char *q = "model.layers.0.self_attn.q_proj.weight";
    const char *o = "model.layers.1.self_attn.q_proj.weight";
    const float *x = gw_safetensors_find(a, q)->data, *y = gw_safetensors_find(b, q)->data;
    const float *z = gw_safetensors_find(a, o)->data;
    size_t n = gw_safetensors_find(a, q)->n_elem, same_seed = 0, same_layer = 0;
    for (size_t i = 0; i < n; i++) {
        same_seed += x[i] == y[i];
        same_layer += x[i] == z[i];
    }
    assert_true(same_seed < 10 && same_layer < 10);
    assert_memory_equal(gw_safetensors_find(s, q)->data, x, n * sizeof *x);
    assert_non_null(gw_safetensors_find(s, "lm_head.weight"));
    gw_safetensors_close(a);
    gw_safetensors_close(b);
    gw_safetensors_close(s);
}

/* A qwen2 has biases; they start at 0. */
static void biases_are_zero(void **state) {
    (void)state;
    static const char text[] =
        "{\"model_type\":\"qwen2\",\"vocab_size\":9,\"hidden_size\":16,\"intermediate_size\":24,"
        "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"num_key_value_heads\":1,"
        "\"initializer_range\":0}";
    struct gw_config c;
    struct gwen_err err;
    struct gw_safetensors *st;
    assert_int_equal(gw_config_parse(text, sizeof text - 1, "c", &c, &err), GWEN_OK);
    const struct gw_init_options opt = {.dtype = GW_DTYPE_F32};
    assert_int_equal(gw_weights_init(&c, &opt, scratch_path("deep/er/q2"), &err), GWEN_OK);
    assert_int_equal(gw_safetensors_open(scratch_path("deep/er/q2"), &st, &err), GWEN_OK);
    assert_int_equal(gw_safetensors_check(st, &c, &err), GWEN_OK);
    const struct gw_tensor *t = gw_safetensors_find(st, "model.layers.0.self_attn.k_proj.bias");
    assert_int_equal(t->n_elem, 8);
    for (size_t i = 0; i < 8; i++) assert_true(((const float *)t->data)[i] == 0);
    t = gw_safetensors_find(st, "lm_head.weight"); /* and a range of 0 gives zeros */
    for (size_t i = 0; i < t->n_elem; i++) assert_true(((const float *)t->data)[i] == 0);
    gw_safetensors_close(st);
}

static void tokenizer_files(void **state) {
    (void)state;
    struct gw_config c;
    struct gwen_err err;
    struct gw_generation_config g;
    scratch_puts("tok/tokenizer.json", "{\"t\":1}");
    scratch_puts("tok/chat_template.jinja", "{{ x }}");
    scratch_puts("tok/generation_config.json", "{\"eos_token_id\":[4,5]}");
    scratch_puts("tok/model.safetensors", "not to be copied");
    char *tok = strdup(scratch_path("tok"));
    struct gw_init_options opt = {.tokenizer_dir = tok};
    gw_safetensors_close(make("with_tok", opt, &c));
    assert_int_equal(scratch_count(scratch_path("with_tok")), 5);
    struct gw_str s = {0};
    assert_int_equal(gw_file_read(scratch_path("with_tok/tokenizer.json"), 99, &s, &err), GWEN_OK);
    assert_string_equal(s.data, "{\"t\":1}");
    gw_str_free(&s);
    assert_int_equal(gw_generation_config_load(scratch_path("with_tok"), &g, &err), GWEN_OK);
    assert_int_equal(g.n_eos, 2);
    free(tok);
    opt.tokenizer_dir = "/nowhere";
    assert_int_equal(gw_config_preset("tiny", &c, &err), GWEN_OK);
    assert_int_equal(gw_weights_init(&c, &opt, scratch_path("x"), &err), GWEN_ERR_IO);
    assert_string_equal(err.message, "/nowhere: no tokenizer.json and no vocab.json");
}

static void init_errors(void **state) {
    (void)state;
    struct gw_config c;
    struct gwen_err err;
    struct gw_init_options opt = {.dtype = GW_DTYPE_I32};
    assert_int_equal(gw_config_preset("tiny", &c, &err), GWEN_OK);
    assert_int_equal(gw_weights_init(&c, &opt, scratch_path("e"), &err), GWEN_ERR_ARGUMENT);
    opt.dtype = GW_DTYPE_F16;
    c.hidden = 0;
    assert_int_equal(gw_weights_init(&c, &opt, scratch_path("e"), &err), GWEN_ERR_FORMAT);
    assert_false(gw_dir_exists(scratch_path("e")));
    assert_int_equal(gw_config_preset("tiny", &c, &err), GWEN_OK);
    const char *file = scratch_puts("file", "");
    assert_int_equal(gw_weights_init(&c, &opt, file, &err), GWEN_ERR_IO);
}

static bool stop_soon(void *user, const struct gwen_progress *report) {
    (void)report;
    return ++*(int *)user < 2;
}

static void cancelled(void **state) {
    (void)state;
    struct gw_config c;
    struct gwen_err err;
    int calls = 1;
    const struct gw_init_options opt = {.progress = stop_soon, .progress_user = &calls};
    assert_int_equal(gw_config_preset("tiny", &c, &err), GWEN_OK);
    assert_int_equal(gw_weights_init(&c, &opt, scratch_path("stopped"), &err), GWEN_ERR_CANCELLED);
    assert_false(gw_file_exists(scratch_path("stopped/model.safetensors")));
}

/* --- finding models ------------------------------------------------------------------------- */

static void hub(void **state) {
    (void)state;
    struct gw_str dir = {0};
    struct gwen_err err;
    static const char commit[] = "0123456789abcdef0123456789abcdef01234567";
    char file[256], *cache = strdup(scratch_path("hub"));
    snprintf(file, sizeof file, "hub/models--Qwen--Qwen3-0.6B/snapshots/%s/config.json", commit);
    scratch_puts(file, "{}");
    snprintf(file, sizeof file, "%s\n", commit);
    scratch_puts("hub/models--Qwen--Qwen3-0.6B/refs/main", file);
    assert_int_equal(gw_hub_resolve("Qwen/Qwen3-0.6B", cache, &dir, &err), GWEN_OK);
    snprintf(file, sizeof file, "hub/models--Qwen--Qwen3-0.6B/snapshots/%s", commit);
    assert_string_equal(dir.data, scratch_path(file));
    /* a commit, or a branch that is not there */
    snprintf(file, sizeof file, "Qwen/Qwen3-0.6B@%s", commit);
    assert_int_equal(gw_hub_resolve(file, cache, &dir, &err), GWEN_OK);
    assert_non_null(strstr(dir.data, commit));
    assert_int_equal(gw_hub_resolve("Qwen/Qwen3-0.6B@v2", cache, &dir, &err), GWEN_ERR_IO);
    assert_non_null(strstr(err.message, "hf download Qwen/Qwen3-0.6B --revision v2"));
    /* a directory comes first */
    assert_int_equal(gw_hub_resolve(cache, cache, &dir, &err), GWEN_OK);
    assert_string_equal(dir.data, cache);
    assert_int_equal(gw_hub_resolve("Qwen/Qwen3-8B", cache, &dir, &err), GWEN_ERR_IO);
    assert_non_null(strstr(err.message, "model Qwen/Qwen3-8B: no such directory, and not in the "
                                        "local Hugging Face cache ("));
    assert_non_null(strstr(err.message, "; download it with: hf download Qwen/Qwen3-8B"));
    assert_int_equal(gw_hub_resolve("gpt2", NULL, &dir, &err), GWEN_ERR_IO);
    assert_string_equal(err.message,
                        "model gpt2: no such directory, and not in the local Hugging Face cache; "
                        "download it with: hf download gpt2");
    gw_str_free(&dir);
    free(cache);
}

static void hub_refuses(void **state) {
    (void)state;
    static const char *const specs[] = {"",     "/no/such", "a/b/c",  "../x",  "a/../b",
                                        "a/.b", "a b",      "a/",     "/a",    "a//b",
                                        "a@",   "a@../b",   "a@b/..", "a\nb/c"};
    struct gw_str dir = {0};
    struct gwen_err err;
    for (size_t i = 0; i < GW_ARRAY_LEN(specs); i++) {
        assert_int_equal(gw_hub_resolve(specs[i], "/", &dir, &err), GWEN_ERR_IO);
        assert_non_null(strstr(err.message, "not a hub id such as Qwen/Qwen3-0.6B"));
    }
    char *cache = strdup(scratch_path("bad"));
    scratch_puts("bad/models--a--b/refs/main", "../../../etc");
    assert_int_equal(gw_hub_resolve("a/b", cache, &dir, &err), GWEN_ERR_FORMAT);
    assert_non_null(strstr(err.message, "refs/main: expected the name of a commit"));
    gw_str_free(&dir);
    free(cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(complete_and_fixed), cmocka_unit_test(statistics),
        cmocka_unit_test(independent_draws),  cmocka_unit_test(biases_are_zero),
        cmocka_unit_test(tokenizer_files),    cmocka_unit_test(init_errors),
        cmocka_unit_test(cancelled),          cmocka_unit_test(hub),
        cmocka_unit_test(hub_refuses),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

/* test_safetensors.c - the header's checks, shards, a model's tensors, and the writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"
#include "checkpoint/safetensors/safetensors.h"
#include "unit/scratch.h"

/* A file made of a header and `n_data` bytes 0, 1, 2, ...; malloc'ed exactly as long as it is. */
static unsigned char *make_file(const char *header, size_t n_data, size_t *size) {
    size_t len = strlen(header);
    *size = 8 + len + n_data;
    unsigned char *p = malloc(*size);
    for (int i = 0; i < 8; i++) p[i] = (unsigned char)((uint64_t)len >> (8 * i));
    memcpy(p + 8, header, len);
    for (size_t i = 0; i < n_data; i++) p[8 + len + i] = (unsigned char)i;
    return p;
}

static enum gwen_status open_made(const char *header, size_t n_data, struct gw_safetensors **st,
                                  unsigned char **bytes, struct gwen_err *err) {
    size_t size;
    *bytes = make_file(header, n_data, &size);
    return gw_safetensors_open_memory(*bytes, size, "f", st, err);
}

static const char good[] =
    "{\"__metadata__\":{\"format\":\"pt\",\"k\":\"\\u00e9\\n\"},"
    "\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
    "\"a\\\"\\ud83d\\ude00\" : {\"shape\":[],\"extra\":[{\"x\":[1,\"]}\"]},-2.5e3,null],"
    "\"data_offsets\":[24,28], \"dtype\":\"I32\"},"
    "\"none\":{\"dtype\":\"BF16\",\"shape\":[4,0],\"data_offsets\":[28,28]},"
    "\"h\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[28,30]}}   ";

static void reads(void **state) {
    (void)state;
    struct gw_safetensors *st;
    struct gwen_err err;
    unsigned char *bytes;
    assert_int_equal(open_made(good, 30, &st, &bytes, &err), GWEN_OK);
    const unsigned char *data = bytes + 8 + sizeof good - 1;
    assert_int_equal(gw_safetensors_count(st), 4);
    const struct gw_tensor *t = gw_safetensors_find(st, "b");
    assert_ptr_equal(t, gw_safetensors_at(st, 0));
    assert_int_equal(t->dtype, GW_DTYPE_F32);
    assert_int_equal(t->rank, 2);
    assert_int_equal(t->shape[1], 3);
    assert_int_equal(t->n_elem, 6);
    assert_int_equal(t->bytes, 24);
    assert_ptr_equal(t->data, data);
    t = gw_safetensors_find(st, "a\"\xF0\x9F\x98\x80");
    assert_int_equal(t->dtype, GW_DTYPE_I32);
    assert_int_equal(t->rank, 0);
    assert_int_equal(t->n_elem, 1);
    assert_ptr_equal(t->data, data + 24);
    t = gw_safetensors_find(st, "none");
    assert_int_equal(t->bytes, 0);
    assert_int_equal(gw_safetensors_find(st, "h")->bytes, 2);
    assert_null(gw_safetensors_find(st, "c"));
    assert_null(gw_safetensors_find(st, "__metadata__"));
    assert_string_equal(gw_safetensors_metadata(st, "format"), "pt");
    assert_string_equal(gw_safetensors_metadata(st, "k"), "\xC3\xA9\n");
    assert_null(gw_safetensors_metadata(st, "x"));
    static const size_t shape[] = {2, 3}, wrong[] = {3, 2};
    assert_int_equal(gw_safetensors_get(st, "b", GW_DTYPE_F32, 2, shape, &t, &err), GWEN_OK);
    assert_int_equal(gw_safetensors_get(st, "b", GW_DTYPE_NONE, 2, shape, &t, &err), GWEN_OK);
    assert_int_equal(gw_safetensors_get(st, "b", GW_DTYPE_F32, 2, wrong, &t, &err),
                     GWEN_ERR_FORMAT);
    assert_string_equal(err.message, "f: tensor b has shape [2, 3], but [3, 2] is wanted");
    gw_safetensors_get(st, "b", GW_DTYPE_F32, 1, shape, &t, &err);
    assert_string_equal(err.message, "f: tensor b has shape [2, 3], but [2] is wanted");
    gw_safetensors_get(st, "b", GW_DTYPE_F16, 2, shape, &t, &err);
    assert_string_equal(err.message, "f: tensor b has dtype F32, but F16 is wanted");
    gw_safetensors_get(st, "z", GW_DTYPE_F16, 0, NULL, &t, &err);
    assert_string_equal(err.message, "f: tensor z [] is missing");
    gw_safetensors_close(st);
    free(bytes);
    gw_safetensors_close(NULL);
}

static void empty_file(void **state) {
    (void)state;
    struct gw_safetensors *st;
    struct gwen_err err;
    unsigned char *bytes;
    assert_int_equal(open_made("{}", 0, &st, &bytes, &err), GWEN_OK);
    assert_int_equal(gw_safetensors_count(st), 0);
    assert_null(gw_safetensors_find(st, ""));
    gw_safetensors_close(st);
    free(bytes);
}

#define T(dtype, shape, offsets)                                                                   \
    "{\"t\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void refuses_headers(void **state) {
    (void)state;
    static const struct {
        const char *header;
        size_t n_data;
        const char *message;
    } cases[] = {
        {"", 0, "f: not a safetensors file: the header does not begin with '{'"},
        {" {}", 0, "f: not a safetensors file: the header does not begin with '{'"},
        {"[]", 0, "f: not a safetensors file: the header does not begin with '{'"},
        {"{", 0, "f:1:2: expected a key in quotes"},
        {"{}x", 0, "f:1:3: more text after the end of the JSON value"},
        {"{\"t\":1}", 0, "f: tensor \"t\": expected an object"},
        {"{\"t\":{}}", 0, "f: tensor \"t\": dtype, shape and data_offsets are missing"},
        {"{\"t\":{\"shape\":[],\"data_offsets\":[0,4]}}", 4, "f: tensor \"t\": dtype is missing"},
        {"{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4,
         "f: tensor \"t\": shape is missing"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[]}}", 0, "f: tensor \"t\": data_offsets is missing"},
        {"{\"t\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", 0,
         "f: tensor \"t\": a member occurs twice"},
        {T("F33", "[1]", "[0,4]"), 4, "f: tensor \"t\": dtype \"F33\" is not supported"},
        {T("F8_E4M3", "[4]", "[0,4]"), 4, "f: tensor \"t\": dtype \"F8_E4M3\" is not supported"},
        {"{\"t\":{\"dtype\":4}}", 0, "f: tensor \"t\": dtype: expected a string"},
        {T("F32", "4", "[0,4]"), 4, "f: tensor \"t\": shape: expected at most 8 sizes"},
        {T("F32", "[-1]", "[0,4]"), 4, "f: tensor \"t\": shape: expected at most 8 sizes"},
        {T("F32", "[1.0]", "[0,4]"), 4, "f: tensor \"t\": shape: expected at most 8 sizes"},
        {T("F32", "[1e0]", "[0,4]"), 4, "f: tensor \"t\": shape: expected at most 8 sizes"},
        {T("F32", "[[1]]", "[0,4]"), 4, "f: tensor \"t\": shape: expected at most 8 sizes"},
        {T("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4,
         "f: tensor \"t\": shape: expected at most 8 sizes"},
        {T("F32", "[18446744073709551616]", "[0,4]"), 4,
         "f: tensor \"t\": shape: expected at most 8 sizes"},
        {T("F32", "[4294967296,4294967296]", "[0,0]"), 0,
         "f: tensor \"t\": shape: the number of elements overflows"},
        {T("F32", "[4611686018427387904]", "[0,0]"), 0,
         "f: tensor \"t\": shape: the number of bytes overflows"},
        {T("F32", "[1]", "[0]"), 4, "f: tensor \"t\": data_offsets: expected two offsets"},
        {T("F32", "[1]", "[0,4,8]"), 4, "f: tensor \"t\": data_offsets: expected two offsets"},
        {T("F32", "[1]", "[4,0]"), 4,
         "f: tensor \"t\": data_offsets: the end is before the beginning"},
        {T("F32", "[1]", "[0,2]"), 2,
         "f: tensor \"t\": data_offsets span 2 bytes, but F32 [1] has 4"},
        {T("F16", "[2,2]", "[0,4]"), 4,
         "f: tensor \"t\": data_offsets span 4 bytes, but F16 [2, 2] has 8"},
        {T("F32", "[1]", "[4,8]"), 8,
         "f: tensor \"t\": data_offsets: unused bytes before this tensor"},
        {T("F32", "[1]", "[0,4]"), 3,
         "f: tensor \"t\": cut short: ends at byte 4 of the data, which have 3"},
        {T("F32", "[1]", "[0,4]"), 5, "f: 1 bytes after the last tensor"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}",
         6, "f: tensor \"b\": data_offsets: overlaps the tensor before it"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"\\u0061\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
         2, "f: tensor \"a\" occurs twice in this file"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "f: __metadata__: \"a\" is no string"},
        {"{\"__metadata__\":[]}", 0, "f: __metadata__: expected an object"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0,
         "f: tensor \"__metadata__\": occurs twice"},
        {"{\"t\\n\\u00e9\\u007f\":1}", 0, "f: tensor \"t?\xC3\xA9?\": expected an object"},
        {"{\"t\\u0000\":{}}", 0, "f:1:4: \\u0000 is not allowed in this file"},
        {"{\"t\xFF\":{}}", 0, "f:1:4: the text is not UTF-8"},
    };
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct gw_safetensors *st;
        struct gwen_err err = {0};
        unsigned char *bytes;
        enum gwen_status s = open_made(cases[i].header, cases[i].n_data, &st, &bytes, &err);
        if (s == GWEN_OK || strcmp(err.message, cases[i].message) != 0)
            fail_msg("%s\n  gives %d %s\n  not   %s", cases[i].header, s, err.message,
                     cases[i].message);
        assert_null(st);
        free(bytes);
    }
}

static void refuses_lengths(void **state) {
    (void)state;
    struct gw_safetensors *st;
    struct gwen_err err;
    static const unsigned char huge[] = {255, 255, 255, 255, 255, 255, 255, 255, '{', '}'};
    static const unsigned char large[] = {0, 225, 245, 5, 0, 0, 0, 0, '{', '}'}; /* 100,000,000 */
    static const unsigned char over[] = {1, 225, 245, 5, 0, 0, 0, 0, '{', '}'};
    assert_int_equal(gw_safetensors_open_memory(huge, 10, "f", &st, &err), GWEN_ERR_FORMAT);
    assert_string_equal(err.message, "f: not a safetensors file: header of 18446744073709551615 "
                                     "bytes (at most 100000000)");
    gw_safetensors_open_memory(over, 10, "f", &st, &err);
    assert_non_null(strstr(err.message, "header of 100000001 bytes (at most"));
    gw_safetensors_open_memory(large, 10, "f", &st, &err);
    assert_string_equal(err.message,
                        "f: cut short: header of 100000000 bytes in a file of 10 bytes");
    gw_safetensors_open_memory(huge, 7, "f", &st, &err);
    assert_string_equal(err.message, "f: 7 bytes are too few for a safetensors file");
    assert_int_equal(gw_safetensors_open_memory(NULL, 0, "f", &st, &err), GWEN_ERR_FORMAT);
}

/* Whatever was accepted must be safe to use. */
static void use_all(const struct gw_safetensors *st, const unsigned char *begin,
                    const unsigned char *end) {
    for (size_t i = 0; i < gw_safetensors_count(st); i++) {
        const struct gw_tensor *t = gw_safetensors_at(st, i);
        const unsigned char *data = t->data;
        assert_true(data >= begin && t->bytes <= (size_t)(end - data));
        assert_int_equal(t->bytes, t->n_elem * gw_dtype_bytes(t->dtype));
        assert_ptr_equal(gw_safetensors_find(st, t->name), t);
    }
}

static void truncated_and_flipped(void **state) {
    (void)state;
    size_t size;
    unsigned char *bytes = make_file(good, 30, &size);
    struct gw_safetensors *st;
    struct gwen_err err;
    for (size_t cut = 0; cut < size; cut++) {
        unsigned char *part = malloc(cut > 0 ? cut : 1);
        memcpy(part, bytes, cut);
        assert_int_not_equal(gw_safetensors_open_memory(part, cut, "f", &st, &err), GWEN_OK);
        free(part);
    }
    size_t accepted = 0;
    for (size_t bit = 0; bit < 8 * (8 + sizeof good - 1); bit++) {
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        err.message[0] = 0;
        if (gw_safetensors_open_memory(bytes, size, "f", &st, &err) == GWEN_OK) {
            use_all(st, bytes, bytes + size);
            accepted++;
        } else {
            assert_true(err.message[0] != 0 && strchr(err.message, '\n') == NULL);
        }
        gw_safetensors_close(st);
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    assert_in_range(accepted, 1, 8 * size / 2); /* other names and strings are fine */
    free(bytes);
}

/* Headers of older writers are not padded: tensors are aligned all the same. */
static void unaligned_header(void **state) {
    (void)state;
    for (int pad = 0; pad < 8; pad++) {
        char header[256];
        size_t size;
        struct gw_safetensors *st;
        struct gwen_err err;
        snprintf(header, sizeof header,
                 "{\"t\":{\"dtype\":\"F32\",\"shape\":[3000],"
                 "\"data_offsets\":[0,12000]}}%.*s",
                 pad, "        ");
        unsigned char *bytes = make_file(header, 12000, &size);
        const char *path = scratch_write("unaligned.safetensors", bytes, size);
        assert_int_equal(gw_safetensors_open(path, &st, &err), GWEN_OK);
        const struct gw_tensor *t = gw_safetensors_find(st, "t");
        assert_int_equal((uintptr_t)t->data % sizeof(float), 0);
        assert_memory_equal(t->data, bytes + size - 12000, 12000);
        gw_safetensors_release(st, t);
        gw_safetensors_close(st);
        free(bytes);
    }
}

static void many_tensors(void **state) {
    (void)state;
    struct gw_str s = {0};
    struct gw_safetensors *st;
    struct gwen_err err;
    unsigned char *bytes;
    enum { N = 50000 };
    gw_str_putc(&s, '{');
    for (int i = 0; i < N; i++)
        gw_str_printf(&s, "%s\"t%d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                      i > 0 ? "," : "", i, N - 1 - i, N - i);
    gw_str_putc(&s, '}');
    assert_int_equal(open_made(s.data, N, &st, &bytes, &err), GWEN_OK);
    assert_int_equal(gw_safetensors_count(st), N);
    for (int i = 0; i < N; i += 7) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        const struct gw_tensor *t = gw_safetensors_find(st, name);
        assert_int_equal(*(const unsigned char *)t->data, (N - 1 - i) & 255);
    }
    gw_safetensors_close(st);
    free(bytes);
    gw_str_free(&s);
}

/* --- shards --------------------------------------------------------------------------------- */

static void write_shard(const char *name, const char *tensor) {
    char header[256];
    size_t size;
    snprintf(header, sizeof header,
             "{\"%s\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", tensor);
    unsigned char *bytes = make_file(header, 4, &size);
    scratch_write(name, bytes, size);
    free(bytes);
}

static enum gwen_status open_shards(const char *index, struct gw_safetensors **st,
                                    struct gwen_err *err) {
    write_shard("shards/one.safetensors", "a");
    write_shard("shards/two.safetensors", "b");
    scratch_puts("shards/model.safetensors.index.json", index);
    return gw_safetensors_open(scratch_path("shards"), st, err);
}

static void shards(void **state) {
    (void)state;
    struct gw_safetensors *st;
    struct gwen_err err;
    assert_int_equal(open_shards("{\"metadata\":{\"total_size\":8},\"weight_map\":{\"b\":"
                                 "\"two.safetensors\",\"a\":\"one.safetensors\"}}",
                                 &st, &err),
                     GWEN_OK);
    assert_int_equal(gw_safetensors_count(st), 2);
    assert_memory_equal(gw_safetensors_find(st, "a")->data, "\0\1\2\3", 4);
    assert_non_null(gw_safetensors_find(st, "b"));
    gw_safetensors_release(st, gw_safetensors_find(st, "b"));
    gw_safetensors_close(st);
}

static void refuses_shards(void **state) {
    (void)state;
    static const struct {
        const char *index, *message;
    } cases[] = {
        {"{}", "weight_map: is missing, but needed"},
        {"{\"weight_map\":{}}", "weight_map: is empty"},
        {"{\"weight_map\":{\"a\":1}}", "weight_map.a: expected a string, not 1"},
        {"{\"weight_map\":{\"a\":\"../one.safetensors\"}}",
         "weight_map.a: \"../one.safetensors\" is not a plain file name in this folder"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "is not a plain file name in this folder"},
        {"{\"weight_map\":{\"a\":\"..\"}}", "is not a plain file name in this folder"},
        {"{\"weight_map\":{\"a\":\"x\\ny\"}}", "weight_map.a: \"x?y\" is not a plain file name"},
        {"{\"weight_map\":{\"a\":\"\"}}", "is not a plain file name in this folder"},
        {"{\"weight_map\":{\"a\":\"three.safetensors\"}}", "three.safetensors: No such file"},
        {"{\"weight_map\":{\"c\":\"one.safetensors\"}}",
         "weight_map.c: one.safetensors has no such tensor"},
        {"{\"weight_map\":{\"a\":\"two.safetensors\",\"b\":\"one.safetensors\"}}",
         "weight_map.a: the tensor is in one.safetensors, not in two.safetensors"},
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"model.safetensors.index.json\"}}",
         "model.safetensors.index.json: not a safetensors file"},
    };
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct gw_safetensors *st;
        struct gwen_err err = {0};
        assert_int_not_equal(open_shards(cases[i].index, &st, &err), GWEN_OK);
        assert_null(st);
        if (strstr(err.message, cases[i].message) == NULL)
            fail_msg("%s\n  gives %s\n  not   %s", cases[i].index, err.message, cases[i].message);
    }
    struct gw_safetensors *st;
    struct gwen_err err;
    write_shard("shards/three.safetensors", "a");
    assert_int_not_equal(open_shards("{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":"
                                     "\"three.safetensors\"}}",
                                     &st, &err),
                         GWEN_OK);
    assert_non_null(strstr(err.message, "tensor \"a\" is also in"));
}

static void no_weights(void **state) {
    (void)state;
    struct gw_safetensors *st;
    struct gwen_err err;
    scratch_puts("bare/config.json", "{}");
    assert_int_equal(gw_safetensors_open(scratch_path("bare"), &st, &err), GWEN_ERR_IO);
    assert_non_null(strstr(err.message, "bare: no model.safetensors and no "
                                        "model.safetensors.index.json"));
    scratch_puts("bare/pytorch_model.bin", "");
    gw_safetensors_open(scratch_path("bare"), &st, &err);
    assert_non_null(strstr(err.message, "pytorch_model.bin is not read"));
    assert_int_equal(gw_safetensors_open(scratch_path("absent"), &st, &err), GWEN_ERR_IO);
    assert_int_equal(gw_safetensors_open(scratch_puts("zero", ""), &st, &err), GWEN_ERR_FORMAT);
}

/* --- a model's tensors ---------------------------------------------------------------------- */

enum { MODEL_MAX = 64 };
static struct gw_config model_config;
static struct gw_tensor model_tensors[MODEL_MAX];
static struct gw_tensor_spec model_specs[MODEL_MAX];
static size_t model_n;
static float model_data[32 * 8]; /* every tensor shows the same numbers */

/* A tiny tied qwen3 with all its tensors in F32. */
static int make_model(void **state) {
    (void)state;
    static const char text[] =
        "{\"model_type\":\"qwen3\",\"vocab_size\":16,\"hidden_size\":8,\"intermediate_size\":12,"
        "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"num_key_value_heads\":1,"
        "\"head_dim\":4,\"tie_word_embeddings\":true}";
    struct gwen_err err;
    if (gw_config_parse(text, sizeof text - 1, "c", &model_config, &err) != GWEN_OK) return 1;
    for (size_t i = 0; i < GW_ARRAY_LEN(model_data); i++) model_data[i] = (float)i;
    model_n = gw_config_n_tensors(&model_config);
    for (size_t i = 0; i < model_n; i++) {
        struct gw_tensor_spec *s = &model_specs[i];
        gw_config_tensor_at(&model_config, i, s);
        model_tensors[i] = (struct gw_tensor){.name = s->name,
                                              .dtype = GW_DTYPE_F32,
                                              .rank = s->rank,
                                              .shape = {s->shape[0], s->shape[1]},
                                              .data = model_data};
    }
    return 0;
}

/* Writes the first `n` tensors and checks them; the message, less the path, must be `want`, or
 * there must be none. */
static void check_model(size_t n, const char *want) {
    struct gw_safetensors *st;
    struct gwen_err err = {0};
    const char *path = scratch_path("m.safetensors");
    assert_int_equal(gw_safetensors_write(path, model_tensors, n, NULL, 0, NULL, NULL, &err),
                     GWEN_OK);
    assert_int_equal(gw_safetensors_open(path, &st, &err), GWEN_OK);
    enum gwen_status s = gw_safetensors_check(st, &model_config, &err);
    if (want == NULL && s != GWEN_OK) fail_msg("%s", err.message);
    if (want != NULL) {
        assert_int_not_equal(s, GWEN_OK);
        assert_int_equal(strncmp(err.message, path, strlen(path)), 0);
        assert_string_equal(err.message + strlen(path) + 2, want);
    }
    gw_safetensors_close(st);
}

static void check_accepts(void **state) {
    (void)state;
    check_model(model_n, NULL);
    model_tensors[3].dtype = GW_DTYPE_BF16; /* mixed types are fine */
    check_model(model_n, NULL);
    model_tensors[model_n] =
        (struct gw_tensor){.name = "model.layers.0.self_attn.rotary_emb.inv_freq",
                           .dtype = GW_DTYPE_F32,
                           .rank = 1,
                           .shape = {2},
                           .data = model_data};
    check_model(model_n + 1, NULL);
    model_tensors[model_n] = model_tensors[0];
    model_tensors[model_n].name = "lm_head.weight"; /* tied, and saved twice */
    check_model(model_n + 1, NULL);
    struct gw_safetensors *st;
    struct gwen_err err;
    assert_int_equal(gw_safetensors_open(scratch_path("m.safetensors"), &st, &err), GWEN_OK);
    assert_int_equal(gw_safetensors_dtype(st), GW_DTYPE_F32);
    gw_safetensors_close(st);
}

/* Saved without the head's wrapper, and with the tied table under the head's name. */
static void check_accepts_other_names(void **state) {
    (void)state;
    make_model(NULL);
    struct gw_safetensors *st;
    struct gwen_err err;
    model_tensors[0].name = "lm_head.weight";
    check_model(model_n, NULL);
    model_config.tie_word_embeddings = false;
    check_model(model_n, "tensor model.embed_tokens.weight is missing, and tie_word_embeddings is "
                         "false");
    make_model(NULL);
    for (size_t i = 0; i < model_n; i++) model_tensors[i].name += strlen("model.");
    check_model(model_n, NULL);
    assert_int_equal(gw_safetensors_open(scratch_path("m.safetensors"), &st, &err), GWEN_OK);
    assert_int_equal(gw_safetensors_dtype(st), GW_DTYPE_F32);
    assert_ptr_equal(gw_safetensors_find(st, "model.norm.weight"),
                     gw_safetensors_find(st, "norm.weight"));
    gw_safetensors_close(st);
    make_model(NULL);
    model_tensors[1].name += strlen("model."); /* only one: no such form */
    check_model(model_n, "tensor model.layers.0.input_layernorm.weight [8] is missing");
    make_model(NULL);
}

static void check_refuses(void **state) {
    (void)state;
    check_model(model_n - 1, "tensor model.norm.weight [8] is missing");
    model_tensors[2].shape[0] = 9;
    check_model(model_n, "tensor model.layers.0.self_attn.q_proj.weight has shape [9, 8], but "
                         "[8, 8] is wanted");
    make_model(NULL);
    model_tensors[2].dtype = GW_DTYPE_I32;
    check_model(model_n, "tensor model.layers.0.self_attn.q_proj.weight has dtype I32; weights of "
                         "a qwen3 must be F32, F16 or BF16");
    make_model(NULL);
    model_tensors[model_n] = model_tensors[1];
    model_tensors[model_n].name = "model.layers.0.self_attn.q_proj.bias";
    check_model(model_n + 1, "tensor \"model.layers.0.self_attn.q_proj.bias\" is not part of a "
                             "qwen3 with this config.json");
    model_tensors[model_n] = model_tensors[0];
    model_tensors[model_n].name = "lm_head.weight";
    model_tensors[model_n].data = model_data + 1;
    check_model(model_n + 1, "lm_head.weight differs from model.embed_tokens.weight, but "
                             "tie_word_embeddings is true");
    model_config.tie_word_embeddings = false;
    check_model(model_n, "tensor lm_head.weight is missing, and tie_word_embeddings is false");
    check_model(model_n + 1, NULL);
}

/* --- the writer ----------------------------------------------------------------------------- */

static void writes_as_the_reference(void **state) {
    (void)state;
    static const float f[2] = {1, 2};
    static const int32_t i32[1] = {7};
    static const unsigned char u8[3] = {1, 2, 3};
    const struct gw_tensor tensors[] = {
        {.name = "z", .dtype = GW_DTYPE_U8, .rank = 1, .shape = {3}, .data = u8},
        {.name = "b\"\n", .dtype = GW_DTYPE_F32, .rank = 2, .shape = {1, 2}, .data = f},
        {.name = "scalar", .dtype = GW_DTYPE_I32, .rank = 0, .data = i32},
        {.name = "a", .dtype = GW_DTYPE_F32, .rank = 1, .shape = {0}},
    };
    const struct gw_meta meta = {"format", "pt"};
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F32\",\"shape\":[0],"
        "\"data_offsets\":[0,0]},\"b\\\"\\n\":{\"dtype\":\"F32\",\"shape\":[1,2],"
        "\"data_offsets\":[0,8]},\"scalar\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":"
        "[8,12]},\"z\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[12,15]}}";
    struct gw_str got = {0};
    struct gwen_err err;
    const char *path = scratch_path("written.safetensors");
    assert_int_equal(gw_safetensors_write(path, tensors, 4, &meta, 1, NULL, NULL, &err), GWEN_OK);
    assert_int_equal(gw_file_read(path, 1000, &got, &err), GWEN_OK);
    size_t len = (unsigned char)got.data[0] | (size_t)(unsigned char)got.data[1] << 8;
    assert_int_equal(len % 8, 0);
    assert_int_equal(len, gw_round_up(sizeof header - 1, 8));
    assert_memory_equal(got.data + 2, "\0\0\0\0\0\0", 6);
    assert_memory_equal(got.data + 8, header, sizeof header - 1);
    for (size_t i = sizeof header - 1; i < len; i++) assert_int_equal(got.data[8 + i], ' ');
    assert_int_equal(got.len, 8 + len + 15);
    assert_memory_equal(got.data + 8 + len, f, 8);
    assert_memory_equal(got.data + 8 + len + 8, i32, 4);
    assert_memory_equal(got.data + 8 + len + 12, u8, 3);
    gw_str_free(&got);
}

/* Element i of tensor t is 1000 t + i; calls must come in ascending pieces. */
static enum gwen_status counting_fill(void *ctx, size_t index, size_t first, size_t n, void *dst,
                                      struct gwen_err *err) {
    size_t *next = ctx;
    if (first != next[index]) return gw_fail(err, GWEN_ERR_INTERNAL, "out of order");
    next[index] += n;
    for (size_t i = 0; i < n; i++) ((int32_t *)dst)[i] = (int32_t)(1000 * index + first + i);
    return GWEN_OK;
}

static void writes_streams(void **state) {
    (void)state;
    const struct gw_tensor tensors[] = {
        {.name = "b", .dtype = GW_DTYPE_I32, .rank = 2, .shape = {1000, 1001}},
        {.name = "a", .dtype = GW_DTYPE_I32, .rank = 1, .shape = {5}}};
    size_t next[2] = {0, 0};
    struct gw_safetensors *st;
    struct gwen_err err;
    const char *path = scratch_path("streamed.safetensors");
    assert_int_equal(gw_safetensors_write(path, tensors, 2, NULL, 0, counting_fill, next, &err),
                     GWEN_OK);
    assert_int_equal(next[0], 1001000);
    assert_int_equal(gw_safetensors_open(path, &st, &err), GWEN_OK);
    const int32_t *b = gw_safetensors_find(st, "b")->data, *a = gw_safetensors_find(st, "a")->data;
    for (int32_t i = 0; i < 1001000; i++)
        if (b[i] != i) fail_msg("element %d is %d", i, b[i]);
    assert_int_equal(a[4], 1004);
    gw_safetensors_close(st);
}

static enum gwen_status failing_fill(void *ctx, size_t index, size_t first, size_t n, void *dst,
                                     struct gwen_err *err) {
    (void)ctx;
    (void)index;
    memset(dst, 0, n * 4);
    return first > 0 ? gw_fail(err, GWEN_ERR_CANCELLED, "stop") : GWEN_OK;
}

static void write_errors(void **state) {
    (void)state;
    struct gwen_err err;
    struct gw_tensor t[2] = {{.name = "a", .dtype = GW_DTYPE_I32, .rank = 1, .shape = {1 << 20}},
                             {.name = "a", .dtype = GW_DTYPE_I32, .rank = 1, .shape = {5}}};
    gw_dir_make(scratch_path("w"), &err);
    const char *path = scratch_path("w/x.safetensors");
    assert_int_equal(gw_safetensors_write(path, t, 2, NULL, 0, failing_fill, NULL, &err),
                     GWEN_ERR_ARGUMENT); /* the same name twice */
    assert_int_equal(gw_safetensors_write(path, t, 1, NULL, 0, failing_fill, NULL, &err),
                     GWEN_ERR_CANCELLED);
    assert_string_equal(err.message, "stop");
    assert_int_equal(gw_safetensors_write(path, t, 1, NULL, 0, NULL, NULL, &err),
                     GWEN_ERR_ARGUMENT); /* nothing to write it from */
    t[0].shape[0] = SIZE_MAX;
    assert_int_equal(gw_safetensors_write(path, t, 1, NULL, 0, failing_fill, NULL, &err),
                     GWEN_ERR_ARGUMENT);
    t[0].name = "__metadata__";
    t[0].shape[0] = 1;
    assert_int_equal(gw_safetensors_write(path, t, 1, NULL, 0, failing_fill, NULL, &err),
                     GWEN_ERR_ARGUMENT);
    assert_int_equal(scratch_count(scratch_path("w")), 0);
}

/* --- files of other writers ----------------------------------------------------------------- */

/* The files that the reference library wrote: they fit their configurations, and writing their
 * tensors again gives the same bytes. */
static void golden_models(void **state) {
    (void)state;
    static const char *const names[] = {"models/tiny-qwen3",     "models/tiny-qwen3-bf16",
                                        "models/tiny-qwen2",     "models/tiny-llama",
                                        "models/tiny-llama-mha", "stories260K-hf"};
    for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
        const char *dir = golden_path(names[i]);
        if (dir == NULL) skip();
        struct gw_config c;
        struct gw_safetensors *st;
        struct gwen_err err = {0};
        assert_int_equal(gw_config_load(dir, &c, &err), GWEN_OK);
        assert_int_equal(gw_safetensors_open(dir, &st, &err), GWEN_OK);
        if (gw_safetensors_check(st, &c, &err) != GWEN_OK) fail_msg("%s", err.message);
        assert_int_equal(gw_safetensors_dtype(st), c.dtype);
        assert_string_equal(gw_safetensors_metadata(st, "format"), "pt");
        c.ffn += 2;
        assert_int_equal(gw_safetensors_check(st, &c, &err), GWEN_ERR_FORMAT);
        gw_safetensors_close(st);
    }
}

static void golden_rewritten(void **state) {
    (void)state;
    static const char *const names[] = {"models/tiny-qwen3/model.safetensors",
                                        "models/tiny-qwen2/model.safetensors",
                                        "models/tiny-qwen3-bf16/model.safetensors",
                                        "models/tiny-llama/golden.safetensors",
                                        "models/tiny-llama/model-00002-of-00002.safetensors",
                                        "grpo/golden.safetensors",
                                        "stories/golden.safetensors",
                                        "lora/tiny-llama-qv-r2/adapter_model.safetensors"};
    for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
        const char *path = golden_path(names[i]);
        if (path == NULL) skip();
        struct gw_safetensors *st;
        struct gwen_err err = {0};
        assert_int_equal(gw_safetensors_open(path, &st, &err), GWEN_OK);
        size_t n = gw_safetensors_count(st);
        struct gw_tensor *tensors = malloc(n * sizeof *tensors);
        for (size_t j = 0; j < n; j++) tensors[n - 1 - j] = *gw_safetensors_at(st, j);
        const struct gw_meta meta = {"format", gw_safetensors_metadata(st, "format")};
        const char *copy = scratch_path("copy.safetensors");
        assert_int_equal(
            gw_safetensors_write(copy, tensors, n, &meta, meta.value != NULL, NULL, NULL, &err),
            GWEN_OK);
        struct gw_str a = {0}, b = {0};
        assert_int_equal(gw_file_read(path, 1 << 26, &a, &err), GWEN_OK);
        assert_int_equal(gw_file_read(copy, 1 << 26, &b, &err), GWEN_OK);
        assert_int_equal(a.len, b.len);
        assert_memory_equal(a.data, b.data, a.len);
        gw_str_free(&a);
        gw_str_free(&b);
        free(tensors);
        gw_safetensors_close(st);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),
        cmocka_unit_test(empty_file),
        cmocka_unit_test(refuses_headers),
        cmocka_unit_test(refuses_lengths),
        cmocka_unit_test(truncated_and_flipped),
        cmocka_unit_test(unaligned_header),
        cmocka_unit_test(many_tensors),
        cmocka_unit_test(shards),
        cmocka_unit_test(refuses_shards),
        cmocka_unit_test(no_weights),
        cmocka_unit_test_setup(check_accepts, make_model),
        cmocka_unit_test_setup(check_accepts_other_names, make_model),
        cmocka_unit_test_setup(check_refuses, make_model),
        cmocka_unit_test(writes_as_the_reference),
        cmocka_unit_test(writes_streams),
        cmocka_unit_test(write_errors),
        cmocka_unit_test(golden_models),
        cmocka_unit_test(golden_rewritten),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

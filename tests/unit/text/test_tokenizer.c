/* test_tokenizer.c - the tokenizer as a whole: fixtures made by the tokenizers library, loading and
 * its errors, special tokens, decoding step by step, long texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "text/tokenizer/tokenizer.h"
#include "unit/scratch.h"

#define FIXTURES "tests/fixtures/tokenizer"

/* --- helpers -------------------------------------------------------------------------------- */

static void must(enum gwen_status status, const struct gwen_err *err) {
    if (status != GWEN_OK) fail_msg("%s", err->message);
}

static struct gw_tokenizer *load_text(const char *json) {
    struct gw_tokenizer *t;
    struct gwen_err err;
    must(gw_tokenizer_load_memory(json, strlen(json), "test", &t, &err), &err);
    return t;
}

static struct gw_ids encode(const struct gw_tokenizer *t, const char *text, size_t len,
                            unsigned flags) {
    struct gw_ids ids = {0};
    struct gwen_err err;
    must(gw_tokenizer_encode(t, text, len, flags, &ids, &err), &err);
    return ids;
}

/* The ids of a text must be those of a list that ends with -1. */
static void check_ids(const struct gw_tokenizer *t, const char *text, unsigned flags,
                      const int32_t *wanted) {
    struct gw_ids ids = encode(t, text, strlen(text), flags);
    size_t n = 0;
    while (wanted[n] >= 0) n++;
    if (ids.len != n) fail_msg("\"%s\": %zu ids, not %zu", text, ids.len, n);
    for (size_t i = 0; i < n; i++)
        if (ids.data[i] != wanted[i])
            fail_msg("\"%s\": id %zu is %d, not %d", text, i, ids.data[i], wanted[i]);
    gw_ids_free(&ids);
}
#define CHECK_IDS(t, text, flags, ...) check_ids(t, text, flags, (const int32_t[]){__VA_ARGS__, -1})

/* What decoding gives, at once and id by id, which must agree; free it. */
static struct gw_str decode(const struct gw_tokenizer *t, const int32_t *ids, size_t n,
                            bool skip_special) {
    struct gw_str whole = {0}, parts = {0};
    struct gw_decode_stream *stream;
    struct gwen_err err;
    must(gw_tokenizer_decode(t, ids, n, skip_special, &whole, &err), &err);
    must(gw_decode_stream_new(t, skip_special, &stream, &err), &err);
    for (int round = 0; round < 2; round++) { /* a finished stream is as new */
        gw_str_clear(&parts);
        for (size_t i = 0; i < n; i++)
            must(gw_decode_stream_push(stream, ids[i], &parts, &err), &err);
        must(gw_decode_stream_finish(stream, &parts, &err), &err);
        assert_int_equal(parts.len, whole.len);
        if (whole.len > 0) assert_memory_equal(parts.data, whole.data, whole.len);
    }
    gw_decode_stream_free(stream);
    gw_str_free(&parts);
    gw_str_putc(&whole, 0);
    whole.len--;
    return whole;
}

static void check_text(const struct gw_tokenizer *t, const int32_t *ids, size_t n, bool skip,
                       const char *wanted, size_t len) {
    struct gw_str text = decode(t, ids, n, skip);
    if (text.len != len || memcmp(text.data, wanted, len) != 0)
        fail_msg("decoded \"%s\", not \"%s\"", text.data, wanted);
    gw_str_free(&text);
}

/* --- fixtures ------------------------------------------------------------------------------- */

/* Member `key` of a row is an array of ids that encoding `text` must give. */
static void check_row_ids(const struct gw_tokenizer *t, const struct gw_row *row, const char *text,
                          size_t len, const char *key, unsigned flags) {
    int32_t *wanted;
    size_t n;
    struct gwen_err err;
    must(gw_row_ids(row, key, GW_JSON_REQUIRED, INT32_MAX, &wanted, &n, &err), &err);
    struct gw_ids ids = encode(t, text, len, flags);
    if (ids.len != n || (n > 0 && memcmp(ids.data, wanted, n * sizeof *wanted) != 0))
        fail_msg("%s:%llu: %s", row->file, (unsigned long long)row->line, key);
    gw_ids_free(&ids);
    free(wanted);
}

static void check_row(const struct gw_tokenizer *t, const struct gw_row *row) {
    const char *text, *decoded, *skipped;
    size_t len, decoded_len, skipped_len, n;
    int32_t *ids;
    struct gwen_err err;
    must(gw_row_string(row, "text", GW_JSON_OPTIONAL, &text, &len, &err), &err);
    if (text != NULL) {
        check_row_ids(t, row, text, len, "ids", 0);
        check_row_ids(t, row, text, len, "special", GW_ENCODE_ADD_SPECIAL);
        check_row_ids(t, row, text, len, "no_special", GW_ENCODE_NO_SPECIAL_PARSE);
    }
    must(gw_row_ids(row, "ids", GW_JSON_REQUIRED, INT32_MAX, &ids, &n, &err), &err);
    must(gw_row_string(row, "decoded", GW_JSON_REQUIRED, &decoded, &decoded_len, &err), &err);
    must(gw_row_string(row, "skipped", GW_JSON_REQUIRED, &skipped, &skipped_len, &err), &err);
    check_text(t, ids, n, false, decoded, decoded_len);
    check_text(t, ids, n, true, skipped, skipped_len);
    free(ids);
}

static size_t check_fixture(const char *name) {
    char dir[400], path[500];
    struct gw_tokenizer *t;
    struct gw_lines *lines;
    struct gw_line line;
    struct gwen_err err;
    size_t n = 0;
    bool more;
    snprintf(dir, sizeof dir, FIXTURES "/%s", name);
    snprintf(path, sizeof path, "%s/rows.jsonl", dir);
    must(gw_tokenizer_load(dir, &t, &err), &err);
    must(gw_lines_open(path, 1 << 20, &lines, &err), &err);
    for (;; n++) {
        must(gw_lines_next(lines, &line, &more, &err), &err);
        if (!more) break;
        json_t *obj;
        must(gw_row_parse(line.text, line.len, path, line.number, &obj, &err), &err);
        check_row(t, &(struct gw_row){obj, path, line.number});
        json_decref(obj);
    }
    gw_lines_close(lines);
    gw_tokenizer_free(t);
    return n;
}

static void fixtures(void **state) {
    (void)state;
    struct dirent *entry;
    size_t rows = 0, folders = 0;
    DIR *dir = opendir(FIXTURES);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.') continue;
        rows += check_fixture(entry->d_name);
        folders++;
    }
    closedir(dir);
    assert_true(folders >= 20 && rows >= 50 * folders);
}

/* --- the files of Qwen2.5 ------------------------------------------------------------------- */

static const char *shared_data(const char *name) {
    static char path[600];
    const char *root = getenv("GWEN_SHARED");
    snprintf(path, sizeof path, "%s/data/%s", root != NULL ? root : "../shared", name);
    return path;
}

/* One line of ids against a text. */
static void check_vector(const struct gw_tokenizer *t, const char *text, size_t len,
                         const char *line) {
    struct gw_ids ids = encode(t, text, len, 0);
    for (size_t i = 0; i < ids.len; i++) {
        char *end;
        assert_int_equal(strtol(line, &end, 10), ids.data[i]);
        assert_ptr_not_equal(end, line);
        line = end;
    }
    assert_int_equal(strspn(line, " \n"), strcspn(line, "0123456789"));
    assert_true(line[strspn(line, " ")] == '\n' || line[strspn(line, " ")] == 0);
    gw_ids_free(&ids);
}

static void qwen_files(void **state) {
    (void)state;
    static const char mark[] = "\n__ggml_vocab_test__\n";
    struct gw_tokenizer *t;
    struct gw_str in = {0}, out = {0};
    struct gwen_err err;
    if (!gw_file_exists(shared_data("qwen2.5-tokenizer/vocab.json"))) {
        print_message("no %s: skipped\n", shared_data("qwen2.5-tokenizer"));
        skip();
    }
    must(gw_tokenizer_load(shared_data("qwen2.5-tokenizer"), &t, &err), &err);
    must(gw_file_read(shared_data("tokenizer-vectors/qwen2.inp"), 1 << 20, &in, &err), &err);
    must(gw_file_read(shared_data("tokenizer-vectors/qwen2.out"), 1 << 20, &out, &err), &err);
    const char *line = out.data;
    size_t n = 0;
    for (const char *text = in.data, *end; (end = strstr(text, mark)) != NULL; n++) {
        check_vector(t, text, (size_t)(end - text), line);
        text = end + sizeof mark - 1;
        line = strchr(line, '\n') + 1;
    }
    assert_true(n > 40);
    int32_t id;
    assert_string_equal(gw_tokenizer_named(t, GW_TOKEN_EOS, &id), "<|im_end|>");
    assert_int_equal(id, 151645);
    assert_null(gw_tokenizer_named(t, GW_TOKEN_BOS, NULL));
    assert_int_equal(gw_tokenizer_id_of_token(t, "<tool_call>", 11), 151657);
    assert_true(gw_tokenizer_is_special(t, 151645));
    assert_false(gw_tokenizer_is_special(t, 151657));
    gw_str_free(&in);
    gw_str_free(&out);
    gw_tokenizer_free(t);
}

/* --- small tokenizers written here ---------------------------------------------------------- */

/* Added tokens, stages and model members in one text. */
#define TOKENIZER(added, stages, model)                                                            \
    "{\"version\":\"1.0\",\"added_tokens\":[" added "]," stages                                    \
    "\"model\":{\"type\":\"BPE\"," model "}}"
#define ADDED(content, special)                                                                    \
    "{\"id\":0,\"content\":\"" content "\",\"single_word\":false,\"lstrip\":false,"                \
    "\"rstrip\":false,\"normalized\":false,\"special\":" special "}"
#define ABC "\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"ab\":3,\"abc\":4},\"merges\":[\"a b\",\"ab c\"]"

static void merges(void **state) {
    (void)state;
    struct gw_tokenizer *t = load_text(TOKENIZER("", "", ABC));
    CHECK_IDS(t, "abcab", 0, 4, 3);
    CHECK_IDS(t, "bca", 0, 1, 2, 0);
    check_ids(t, "", 0, (const int32_t[]){-1});
    CHECK_IDS(t, "axb", 0, 3); /* an unknown character without unk_token vanishes */
    gw_tokenizer_free(t);
    /* merges as pairs, which may hold spaces */
    t = load_text(TOKENIZER("", "",
                            "\"vocab\":{\"a\":0,\" \":1,\"b\":2,\"a b\":3,\" b\":4,\"aa\":5},"
                            "\"merges\":[[\" \",\"b\"],[\"a\",\" b\"],[\"a\",\"a\"]]"));
    CHECK_IDS(t, "a b", 0, 3);
    CHECK_IDS(t, "aa b", 0, 0, 3); /* "a"+" b" comes before "a"+"a" */
    gw_tokenizer_free(t);
}

static void special_tokens(void **state) {
    (void)state;
    struct gw_tokenizer *t = load_text(TOKENIZER(
        ADDED("<s>", "true") "," ADDED("<t>", "false") "," ADDED("ab", "false"),
        "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":"
        "\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[],"
        "\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[5],\"tokens\":[\"<s>\"]}}},",
        ABC ",\"unk_token\":\"c\""));
    CHECK_IDS(t, "b<s>b<t>b", 0, 1, 5, 1, 6, 1);
    CHECK_IDS(t, "b<t>b", GW_ENCODE_ADD_SPECIAL, 5, 1, 6, 1);
    CHECK_IDS(t, "<s><t>", GW_ENCODE_NO_SPECIAL_PARSE, 2, 2, 2, 6);
    CHECK_IDS(t, "abc", 0, 3, 2); /* an added token of the model's own keeps its id */
    assert_int_equal(gw_tokenizer_size(t), 7);
    assert_true(gw_tokenizer_is_special(t, 5));
    assert_false(gw_tokenizer_is_special(t, 6));
    assert_false(gw_tokenizer_is_special(t, 7));
    assert_false(gw_tokenizer_is_special(t, -1));
    size_t len;
    assert_memory_equal(gw_tokenizer_token(t, 5, &len), "<s>", 3);
    assert_int_equal(len, 3);
    assert_null(gw_tokenizer_token(t, 7, &len));
    assert_null(gw_tokenizer_token(t, -5, &len));
    assert_int_equal(gw_tokenizer_id_of_token(t, "abc", 3), 4);
    assert_int_equal(gw_tokenizer_id_of_token(t, "zz", 2), -1);
    check_text(t, (const int32_t[]){5, 0, 6, 99, -3, 1}, 6, true, "a <t> b", 7);
    check_text(t, (const int32_t[]){5, 0}, 2, false, "<s> a", 5);
    gw_tokenizer_free(t);
}

/* A byte-level vocabulary of the bytes of U+20AC and a few letters. */
#define EURO                                                                                       \
    TOKENIZER(ADDED("<s>", "true"), "\"decoder\":{\"type\":\"ByteLevel\"},",                       \
              "\"vocab\":{\"\xC3\xA2\":0,\"\xC4\xA4\":1,\"\xC2\xAC\":2,\"a\":3,\"\xC4\xA0\":4,"    \
              "\"\xC3\xBF\":5},\"merges\":[]")

static void streams(void **state) {
    (void)state;
    struct gw_tokenizer *t = load_text(EURO);
    struct gw_decode_stream *s;
    struct gw_str out = {0}, bytes = {0};
    struct gwen_err err;
    must(gw_decode_stream_new(t, true, &s, &err), &err);
    static const struct {
        int32_t id;
        size_t len; /* of the text after this id */
    } steps[] = {{3, 1}, {0, 1}, {1, 1}, {2, 4}, {6, 4}, {0, 4}, {3, 8}, {5, 11}, {0, 11}};
    for (size_t i = 0; i < GW_ARRAY_LEN(steps); i++) { /* parts of a character are held back */
        must(gw_decode_stream_push(s, steps[i].id, &out, &err), &err);
        assert_int_equal(out.len, steps[i].len);
    }
    must(gw_decode_stream_finish(s, &out, &err), &err);
    assert_string_equal(out.data, "a\xE2\x82\xAC\xEF\xBF\xBD"
                                  "a\xEF\xBF\xBD\xEF\xBF\xBD");
    for (int32_t id = -1; id < 8; id++) must(gw_tokenizer_token_bytes(t, id, &bytes, &err), &err);
    assert_int_equal(bytes.len, 9);
    assert_memory_equal(bytes.data,
                        "\xE2\x82\xAC"
                        "a \xFF<s>",
                        9);
    gw_decode_stream_free(s);
    gw_str_free(&out);
    gw_str_free(&bytes);
    gw_tokenizer_free(t);
}

static void not_utf8(void **state) {
    (void)state;
    struct gw_tokenizer *t = load_text(TOKENIZER("", "", ABC));
    struct gw_ids ids = {0};
    struct gwen_err err;
    assert_int_equal(gw_tokenizer_encode(t, "ab\xC3", 3, 0, &ids, &err), GWEN_ERR_ARGUMENT);
    assert_string_equal(err.message, "the text is not UTF-8 at byte 2");
    assert_int_equal(gw_tokenizer_encode(t, "a\0b", 3, 0, &ids, &err), GWEN_OK);
    assert_int_equal(ids.len, 1); /* NUL is a character like others, here unknown: "ab" */
    gw_ids_free(&ids);
    gw_tokenizer_free(t);
}

/* --- errors --------------------------------------------------------------------------------- */

static const struct {
    const char *json, *message; /* a part of it */
} broken[] = {
    {"", "expected an object"},
    {"[]", "expected an object"},
    {"{\"version\":\"1.0\"", "the file ends"},
    {"{\"version\":\"1.0\"}", "model is missing"},
    {"{\"version\":\"2.0\",\"model\":{" ABC "}}", "\"2.0\" is not \"1.0\""},
    {"{\"model\":{" ABC "}} x", "something follows"},
    {"{\"model\":{" ABC "},\"model\":{}}", "model occurs twice"},
    {"{\"model\":{\"merges\":[]}}", "model.vocab is missing"},
    {"{\"model\":{\"vocab\":{}}}", "model.merges is missing"},
    {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[],\"merges\":[]}}", "\"Unigram\""},
    {"{\"model\":{\"dropout\":0.5," ABC "}}", "dropout 0.5"},
    {"{\"model\":{\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}", "both have id 0"},
    {"{\"model\":{\"vocab\":{\"a\":0,\"a\":1},\"merges\":[]}}", "occurs twice"},
    {"{\"model\":{\"vocab\":{\"a\":-1},\"merges\":[]}}", "expected a whole number"},
    {"{\"model\":{\"vocab\":{\"a\":1.5},\"merges\":[]}}", "expected a whole number"},
    {"{\"model\":{\"vocab\":{\"a\":99999999999},\"merges\":[]}}", "from 0 to 16777215"},
    {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"a x\"]}}", "merge needs \"x\""},
    {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"a a\"]}}", "merge needs \"aa\""},
    {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"a  a\"]}}", "one space"},
    {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]}}", "two tokens"},
    {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[1]}}", "expected a string"},
    {"{\"model\":{\"vocab\":{\"a\\ud800\":0},\"merges\":[]}}", "surrogate"},
    {"{\"model\":{\"vocab\":{\"a\n\":0},\"merges\":[]}}", "control character"},
    {"{\"model\":{\"vocab\":{\"a\xFF\":0},\"merges\":[]}}", "not UTF-8"},
    {"{\"model\":{" ABC "},\"normalizer\":{\"type\":\"Nmt\"}}", "\"Nmt\" is not supported"},
    {"{\"model\":{" ABC "},\"normalizer\":{}}", "type: is missing"},
    {"{\"model\":{" ABC "},\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"(\"},"
     "\"content\":\"\"}}",
     "'(' without ')'"},
    {"{\"model\":{" ABC "},\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a*\"},"
     "\"content\":\"\"}}",
     "can match nothing"},
    {"{\"model\":{" ABC "},\"pre_tokenizer\":{\"type\":\"Punctuation\"}}", "\"Punctuation\""},
    {"{\"model\":{" ABC "},\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},"
     "\"behavior\":\"Sideways\",\"invert\":false}}",
     "\"Sideways\""},
    {"{\"model\":{" ABC "},\"decoder\":{\"type\":\"WordPiece\"}}", "\"WordPiece\""},
    {"{\"model\":{" ABC "},\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{"
     "\"SpecialToken\":{\"id\":\"x\",\"type_id\":0}}],\"special_tokens\":{}}}",
     "special_tokens.x: is missing"},
    {"{\"model\":{" ABC "},\"added_tokens\":[{\"id\":0,\"content\":\"x\"}]}", "single_word"},
    {"{\"model\":{" ABC "},\"added_tokens\":{}}", "expected an array"},
};

static void errors(void **state) {
    (void)state;
    struct gw_tokenizer *t;
    for (size_t i = 0; i < GW_ARRAY_LEN(broken); i++) {
        struct gwen_err err = {0};
        const char *json = broken[i].json;
        enum gwen_status status = gw_tokenizer_load_memory(json, strlen(json), "f.json", &t, &err);
        if (status == GWEN_OK) fail_msg("case %zu loads", i);
        assert_null(t);
        if (strstr(err.message, broken[i].message) == NULL ||
            strncmp(err.message, "f.json", 6) != 0)
            fail_msg("case %zu: %s", i, err.message);
    }
}

static void deep_nesting(void **state) {
    (void)state;
    struct gw_str s = {0};
    struct gw_tokenizer *t;
    struct gwen_err err;
    gw_str_puts(&s, "{\"x\":");
    for (int i = 0; i < 100000; i++) gw_str_putc(&s, '[');
    assert_int_equal(gw_tokenizer_load_memory(s.data, s.len, "deep", &t, &err), GWEN_ERR_FORMAT);
    assert_non_null(strstr(err.message, "nested deeper than 64"));
    gw_str_free(&s);
}

/* Every cut and many changed bytes of a real file: an error or a tokenizer, never a crash. */
static void damaged(void **state) {
    (void)state;
    struct gw_str s = {0};
    struct gwen_err err;
    struct gw_tokenizer *t;
    must(gw_file_read(FIXTURES "/llama2/tokenizer.json", 1 << 20, &s, &err), &err);
    size_t end = s.len;
    while (end > 0 && s.data[end - 1] != '}') end--;
    for (size_t cut = 0; cut < end; cut += 7) {
        assert_int_not_equal(gw_tokenizer_load_memory(s.data, cut, "cut", &t, &err), GWEN_OK);
        assert_non_null(strchr(err.message, ':'));
    }
    uint32_t random = 1;
    for (int i = 0; i < 2000; i++) {
        random = random * 1664525u + 1013904223u;
        char *at = &s.data[(random >> 8) % s.len], was = *at;
        *at = (char)(was ^ (1 << (i % 8)));
        if (gw_tokenizer_load_memory(s.data, s.len, "changed", &t, &err) == GWEN_OK)
            gw_tokenizer_free(t);
        else
            assert_null(strchr(err.message, '\n'));
        *at = was;
    }
    gw_str_free(&s);
}

/* --- folders -------------------------------------------------------------------------------- */

static void config_tokens(void **state) {
    (void)state;
    struct gw_tokenizer *t;
    struct gwen_err err;
    int32_t id;
    scratch_puts("m/tokenizer.json",
                 TOKENIZER(ADDED("<s>", "true") "," ADDED("</s>", "true"), "", ABC));
    scratch_puts("m/tokenizer_config.json",
                 "{\"bos_token\":{\"content\":\"<s>\",\"special\":true},\"eos_token\":\"</s>\","
                 "\"pad_token\":\"<pad>\",\"unk_token\":null,\"add_bos_token\":true,"
                 "\"add_eos_token\":true,\"chat_template\":[{\"name\":\"default\",\"template\":"
                 "\"one\"},{\"name\":\"tool_use\",\"template\":\"two\"}]}");
    must(gw_tokenizer_load(scratch_path("m"), &t, &err), &err);
    assert_string_equal(gw_tokenizer_named(t, GW_TOKEN_BOS, &id), "<s>");
    assert_int_equal(id, 5);
    assert_string_equal(gw_tokenizer_named(t, GW_TOKEN_PAD, &id), "<pad>");
    assert_int_equal(id, -1); /* kept, though the vocabulary has it not */
    assert_null(gw_tokenizer_named(t, GW_TOKEN_UNK, &id));
    assert_int_equal(id, -1);
    CHECK_IDS(t, "abc", GW_ENCODE_ADD_SPECIAL, 5, 4, 6);
    CHECK_IDS(t, "abc", 0, 4);
    assert_string_equal(gw_tokenizer_chat_template(t, NULL), "one");
    assert_string_equal(gw_tokenizer_chat_template(t, "tool_use"), "two");
    assert_null(gw_tokenizer_chat_template(t, "other"));
    gw_tokenizer_free(t);
    scratch_puts("m/chat_template.jinja", "from a file");
    scratch_puts("m/tokenizer_config.json", "{\"chat_template\":\"x\",\"bos_token\":\"<s>\"}");
    must(gw_tokenizer_load(scratch_path("m"), &t, &err), &err);
    assert_string_equal(gw_tokenizer_chat_template(t, NULL), "from a file");
    CHECK_IDS(t, "abc", GW_ENCODE_ADD_SPECIAL, 4);
    gw_tokenizer_free(t);
    scratch_puts("m/tokenizer_config.json", "{\"bos_token\":\"<none>\",\"add_bos_token\":true}");
    assert_int_equal(gw_tokenizer_load(scratch_path("m"), &t, &err), GWEN_ERR_FORMAT);
    assert_non_null(strstr(err.message, "\"<none>\" is not in the vocabulary"));
}

static void old_layout(void **state) {
    (void)state;
    struct gw_tokenizer *t;
    struct gwen_err err;
    assert_int_equal(gw_tokenizer_load(scratch_path("nothing"), &t, &err), GWEN_ERR_IO);
    assert_non_null(strstr(err.message, "no tokenizer.json here"));
    scratch_puts("v/vocab.json", "{\"a\":0,\"b\":1,\"ab\":2,\"\xC4\xA0\":3,\"\xC4\xA0"
                                 "ab\":4,"
                                 "\"<e>\":5}");
    scratch_puts("v/merges.txt", "#version: 0.2\na b\r\n\xC4\xA0 ab\n\n");
    assert_int_equal(gw_tokenizer_load(scratch_path("v"), &t, &err), GWEN_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "tokenizer_class"));
    scratch_puts("v/tokenizer_config.json",
                 "{\"tokenizer_class\":\"GPT2Tokenizer\",\"eos_token\":\"<e>\","
                 "\"added_tokens_decoder\":{\"7\":{\"content\":\"<x>\",\"special\":false,"
                 "\"normalized\":false},\"6\":{\"content\":\"<y>\",\"special\":true}}}");
    must(gw_tokenizer_load(scratch_path("v"), &t, &err), &err);
    CHECK_IDS(t, "ab ab<x><y><e>", 0, 2, 4, 7, 6, 5);
    check_text(t, (const int32_t[]){2, 4, 7, 6, 5}, 5, true, "ab ab<x>", 8);
    gw_tokenizer_free(t);
    scratch_puts("v/tokenizer_config.json", "{\"tokenizer_class\":\"LlamaTokenizer\"}");
    assert_int_equal(gw_tokenizer_load(scratch_path("v"), &t, &err), GWEN_ERR_UNSUPPORTED);
    scratch_puts("v/tokenizer_config.json",
                 "{\"tokenizer_class\":\"Qwen2Tokenizer\",\"added_tokens_decoder\":{\"1\":{"
                 "\"content\":\"<x>\"}}}");
    assert_int_equal(gw_tokenizer_load(scratch_path("v"), &t, &err), GWEN_ERR_FORMAT);
    scratch_puts("v/tokenizer_config.json", "{\"tokenizer_class\":\"Qwen2Tokenizer\"}");
    scratch_puts("v/merges.txt", "a b\nb q\n");
    assert_int_equal(gw_tokenizer_load(scratch_path("v"), &t, &err), GWEN_ERR_FORMAT);
    assert_non_null(strstr(err.message, "merges.txt:2: a merge needs \"q\""));
}

/* --- long texts ----------------------------------------------------------------------------- */

/* A word of a million letters, a million spaces, marks in the wrong order: each would take hours if
 * any stage were quadratic. */
static void long_texts(void **state) {
    (void)state;
    enum { N = 1 << 20 };
    static const char *const units[] = {"a",       " ", "\n", "1", "!", "<", "\xCC\x81\xCC\xA3",
                                        "the cat "};
    static const char *const folders[] = {"nfc-qwen", "llama2", "nfkd", "metaspace-always-split",
                                          "added-flags"};
    char *text = malloc(N);
    assert_non_null(text);
    for (size_t f = 0; f < GW_ARRAY_LEN(folders); f++) {
        char dir[200];
        struct gw_tokenizer *t;
        struct gwen_err err;
        snprintf(dir, sizeof dir, FIXTURES "/%s", folders[f]);
        must(gw_tokenizer_load(dir, &t, &err), &err);
        for (size_t u = 0; u < GW_ARRAY_LEN(units); u++) {
            size_t n = strlen(units[u]), len = N / n * n;
            for (size_t i = 0; i < len; i += n) memcpy(text + i, units[u], n);
            struct gw_ids ids = encode(t, text, len, 0);
            assert_true(ids.len > 0); /* as few as one, of unknown letters fused */
            gw_ids_free(&ids);
        }
        gw_tokenizer_free(t);
    }
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixtures),   cmocka_unit_test(qwen_files),
        cmocka_unit_test(merges),     cmocka_unit_test(special_tokens),
        cmocka_unit_test(streams),    cmocka_unit_test(not_utf8),
        cmocka_unit_test(errors),     cmocka_unit_test(deep_nesting),
        cmocka_unit_test(damaged),    cmocka_unit_test(config_tokens),
        cmocka_unit_test(old_layout), cmocka_unit_test(long_texts),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

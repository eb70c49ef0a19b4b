/* golden_tokenizer.c - texts to ids and ids to texts, to the last one.
 *
 * Every folder of DIR/tokenizer/ has encode.jsonl, decode.jsonl or both; its tokenizer is in the
 * folder itself or in DIR/NAME-tokenizer.  DIR/stories/tokenizer.jsonl has rows of the same kind
 * for the model that DIR/stories/golden.json names.  The manifest DIR/tokenizer/golden.json says
 * how many rows there are and how large each vocabulary is. */
#include "golden.h"

#include "base/file.h"
#include "text/tokenizer/tokenizer.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LINE = 64 << 20 };

/* A file of rows and what its rows are checked with. */
struct vectors {
    const struct gw_tokenizer *tokenizer;
    struct golden_counts *counts;
    const char *path;
    /* encode.jsonl: rows without ids_no_special_parse have the same ids in that mode */
    bool no_special_defaults;
};

struct expected_text {
    const char *text;
    size_t len;
};

/* --- rows ----------------------------------------------------------------------------------- */

/* What went wrong first; NULL so far. */
typedef const char *verdict;

static enum gwen_status check_ids(const struct vectors *v, const char *text, size_t len,
                                  unsigned flags, const int32_t *wanted, size_t n, const char *what,
                                  verdict *bad, struct gwen_err *err) {
    struct gw_ids ids = {0};
    enum gwen_status status = gw_tokenizer_encode(v->tokenizer, text, len, flags, &ids, err);
    bool same = ids.len == n && (n == 0 || memcmp(ids.data, wanted, n * sizeof *wanted) == 0);
    if (status == GWEN_OK && !same && *bad == NULL) *bad = what;
    gw_ids_free(&ids);
    return status;
}

/* Decodes at once and id by id. */
static enum gwen_status check_text(const struct vectors *v, const int32_t *ids, size_t n,
                                   bool skip_special, struct expected_text wanted, const char *what,
                                   verdict *bad, struct gwen_err *err) {
    struct gw_str whole = {0}, parts = {0};
    struct gw_decode_stream *stream = NULL;
    enum gwen_status status = gw_tokenizer_decode(v->tokenizer, ids, n, skip_special, &whole, err);
    if (status == GWEN_OK) status = gw_decode_stream_new(v->tokenizer, skip_special, &stream, err);
    for (size_t i = 0; i < n && status == GWEN_OK; i++)
        status = gw_decode_stream_push(stream, ids[i], &parts, err);
    if (status == GWEN_OK) status = gw_decode_stream_finish(stream, &parts, err);
    if (status == GWEN_OK && *bad == NULL) {
        if (whole.len != wanted.len ||
            (whole.len > 0 && memcmp(whole.data, wanted.text, whole.len) != 0))
            *bad = what;
        else if (parts.len != whole.len ||
                 (whole.len > 0 && memcmp(parts.data, whole.data, whole.len) != 0))
            *bad = "decoding id by id";
    }
    gw_decode_stream_free(stream);
    gw_str_free(&whole);
    gw_str_free(&parts);
    return status;
}

/* A text of the row, or what it defaults to. */
static enum gwen_status text_of(const struct gw_row *row, const char *key,
                                struct expected_text otherwise, struct expected_text *out,
                                struct gwen_err *err) {
    GW_TRY(gw_row_string(row, key, GW_JSON_OPTIONAL, &out->text, &out->len, err));
    if (out->text == NULL) *out = otherwise;
    return GWEN_OK;
}

static enum gwen_status check_encoding(const struct vectors *v, const struct gw_row *row,
                                       const char *key, unsigned flags, struct expected_text text,
                                       bool required, verdict *bad, struct gwen_err *err) {
    int32_t *ids = NULL;
    size_t n = 0;
    GW_TRY(gw_row_ids(row, key, GW_JSON_OPTIONAL, INT32_MAX, &ids, &n, err));
    if (ids == NULL && required) /* left out where equal to "ids" */
        GW_TRY(gw_row_ids(row, "ids", GW_JSON_REQUIRED, INT32_MAX, &ids, &n, err));
    enum gwen_status status = GWEN_OK;
    if (ids != NULL) status = check_ids(v, text.text, text.len, flags, ids, n, key, bad, err);
    free(ids);
    return status;
}

static enum gwen_status check_encode_row(const struct vectors *v, const struct gw_row *row,
                                         verdict *bad, struct gwen_err *err) {
    struct expected_text text, decoded, skipped;
    int32_t *ids = NULL;
    size_t n = 0;
    GW_TRY(gw_row_string(row, "text", GW_JSON_REQUIRED, &text.text, &text.len, err));
    GW_TRY(check_encoding(v, row, "ids", 0, text, true, bad, err));
    GW_TRY(check_encoding(v, row, "ids_with_special_tokens", GW_ENCODE_ADD_SPECIAL, text, false,
                          bad, err));
    GW_TRY(check_encoding(v, row, "ids_no_special_parse", GW_ENCODE_NO_SPECIAL_PARSE, text,
                          v->no_special_defaults, bad, err));
    GW_TRY(text_of(row, "decoded", text, &decoded, err));
    GW_TRY(text_of(row, "decoded_skip_special", decoded, &skipped, err));
    GW_TRY(gw_row_ids(row, "ids", GW_JSON_REQUIRED, INT32_MAX, &ids, &n, err));
    enum gwen_status status = check_text(v, ids, n, false, decoded, "decoded", bad, err);
    if (status == GWEN_OK && v->no_special_defaults)
        status = check_text(v, ids, n, true, skipped, "decoded_skip_special", bad, err);
    free(ids);
    return status;
}

/* The bytes of all tokens in order against their hexadecimal digits. */
static enum gwen_status check_bytes(const struct vectors *v, const int32_t *ids, size_t n,
                                    struct expected_text hex, verdict *bad, struct gwen_err *err) {
    struct gw_str bytes = {0}, digits = {0};
    enum gwen_status status = GWEN_OK;
    for (size_t i = 0; i < n && status == GWEN_OK; i++)
        status = gw_tokenizer_token_bytes(v->tokenizer, ids[i], &bytes, err);
    for (size_t i = 0; i < bytes.len; i++)
        gw_str_printf(&digits, "%02x", (unsigned)(unsigned char)bytes.data[i]);
    if (status == GWEN_OK && *bad == NULL &&
        (digits.len != hex.len || (hex.len > 0 && memcmp(digits.data, hex.text, hex.len) != 0)))
        *bad = "bytes_hex";
    gw_str_free(&bytes);
    gw_str_free(&digits);
    return status;
}

static enum gwen_status check_decode_row(const struct vectors *v, const struct gw_row *row,
                                         verdict *bad, struct gwen_err *err) {
    struct expected_text hex, text, skipped;
    int32_t *ids = NULL;
    size_t n = 0;
    GW_TRY(gw_row_string(row, "bytes_hex", GW_JSON_REQUIRED, &hex.text, &hex.len, err));
    GW_TRY(gw_row_string(row, "text", GW_JSON_REQUIRED, &text.text, &text.len, err));
    GW_TRY(text_of(row, "text_skip_special", text, &skipped, err));
    GW_TRY(gw_row_ids(row, "ids", GW_JSON_REQUIRED, INT32_MAX, &ids, &n, err));
    enum gwen_status status = check_bytes(v, ids, n, hex, bad, err);
    if (status == GWEN_OK) status = check_text(v, ids, n, false, text, "text", bad, err);
    if (status == GWEN_OK)
        status = check_text(v, ids, n, true, skipped, "text_skip_special", bad, err);
    free(ids);
    return status;
}

/* --- files ---------------------------------------------------------------------------------- */

typedef enum gwen_status check_row_fn(const struct vectors *v, const struct gw_row *row,
                                      verdict *bad, struct gwen_err *err);

static void check_line(const struct vectors *v, const struct gw_line *line, check_row_fn *check) {
    struct gwen_err err;
    json_t *obj = NULL;
    verdict bad = NULL;
    enum gwen_status status =
        gw_row_parse(line->text, line->len, v->path, line->number, &obj, &err);
    struct gw_row row = {obj, v->path, line->number};
    if (status == GWEN_OK) status = check(v, &row, &bad, &err);
    if (status != GWEN_OK)
        golden_error(v->counts, &err, "tokenizer: %s:%llu", v->path,
                     (unsigned long long)line->number);
    else
        golden_case(v->counts, bad == NULL, "tokenizer: %s:%llu: %s differs", v->path,
                    (unsigned long long)line->number, bad != NULL ? bad : "nothing");
    json_decref(obj);
}

/* Checks every row of v->path; returns their number. */
static size_t check_file(const struct vectors *v, check_row_fn *check) {
    struct gw_lines *lines;
    struct gwen_err err;
    size_t n = 0;
    bool more = true;
    enum gwen_status status = gw_lines_open(v->path, MAX_LINE, &lines, &err);
    if (status != GWEN_OK) {
        golden_error(v->counts, &err, "tokenizer");
        return 0;
    }
    for (;; n++) {
        struct gw_line line;
        status = gw_lines_next(lines, &line, &more, &err);
        if (status != GWEN_OK || !more) break;
        check_line(v, &line, check);
    }
    if (status != GWEN_OK) golden_error(v->counts, &err, "tokenizer");
    gw_lines_close(lines);
    return n;
}

/* Where the tokenizer of DIR/tokenizer/NAME is; free it. */
static char *tokenizer_dir(const char *dir, const char *own, const char *name) {
    char *inside = golden_path(own, "tokenizer.json"), *vocab = golden_path(own, "vocab.json");
    bool here = gw_file_exists(inside) || gw_file_exists(vocab);
    free(inside);
    free(vocab);
    if (here) return strdup(own);
    char beside[300];
    snprintf(beside, sizeof beside, "%s-tokenizer", name);
    return golden_path(dir, beside);
}

/* The manifest's number `key` for a tokenizer must be n. */
static void check_manifest(struct gw_json_node manifest, const char *name, const char *key,
                           size_t n, struct golden_counts *counts) {
    struct gw_json_node files, entry, value;
    int64_t wanted;
    struct gwen_err err;
    if (!gw_json_find(manifest, "files", &files) || !gw_json_find(files, name, &entry) ||
        !gw_json_find(entry, key, &value))
        return;
    if (gw_json_as_i64(value, 0, INT64_MAX >> 11, &wanted, &err) != GWEN_OK)
        golden_error(counts, &err, "tokenizer");
    else
        golden_case(counts, (int64_t)n == wanted, "tokenizer: %s: %s is %zu, not %lld", name, key,
                    n, (long long)wanted);
}

static void check_folder(const char *dir, const char *name, struct gw_json_node manifest,
                         struct golden_counts *counts) {
    char relative[300];
    snprintf(relative, sizeof relative, "tokenizer/%s", name);
    char *own = golden_path(dir, relative), *from = tokenizer_dir(dir, own, name);
    char *encode = golden_path(own, "encode.jsonl"), *decode = golden_path(own, "decode.jsonl");
    struct gw_tokenizer *t = NULL;
    struct gwen_err err;
    if (gw_tokenizer_load(from, &t, &err) != GWEN_OK) {
        golden_error(counts, &err, "tokenizer: %s", name);
    } else {
        struct vectors v = {t, counts, encode, true};
        check_manifest(manifest, name, "vocab", gw_tokenizer_size(t), counts);
        if (gw_file_exists(encode))
            check_manifest(manifest, name, "encode", check_file(&v, check_encode_row), counts);
        v.path = decode;
        if (gw_file_exists(decode))
            check_manifest(manifest, name, "decode", check_file(&v, check_decode_row), counts);
    }
    gw_tokenizer_free(t);
    free(own);
    free(from);
    free(encode);
    free(decode);
}

/* --- the stories' tokenizer ----------------------------------------------------------------- */

static void check_stories(const char *dir, struct golden_counts *counts) {
    char *rows = golden_path(dir, "stories/tokenizer.jsonl");
    char *manifest = golden_path(dir, "stories/golden.json"), *own = golden_path(dir, "stories");
    struct gw_json_doc doc = {0};
    struct gw_tokenizer *t = NULL;
    struct gwen_err err;
    const char *model = NULL;
    if (gw_file_exists(rows)) {
        enum gwen_status status = gw_json_load(manifest, (size_t)64 << 20, &doc, &err);
        if (status == GWEN_OK)
            status =
                gw_json_get_string(gw_json_root(&doc), "model", GW_JSON_REQUIRED, &model, &err);
        char *from = golden_path(own, model != NULL ? model : ".");
        if (status == GWEN_OK) status = gw_tokenizer_load(from, &t, &err);
        struct vectors v = {t, counts, rows, false};
        if (status == GWEN_OK)
            check_file(&v, check_encode_row);
        else
            golden_error(counts, &err, "tokenizer: stories");
        free(from);
    }
    gw_tokenizer_free(t);
    gw_json_free(&doc);
    free(rows);
    free(manifest);
    free(own);
}

void golden_tokenizer(const char *dir, struct golden_counts *counts) {
    char *folder = golden_path(dir, "tokenizer"), *path = golden_path(folder, "golden.json");
    struct gw_json_doc doc = {0};
    struct gwen_err err;
    struct dirent **entries = NULL;
    if (gw_file_exists(path) && gw_json_load(path, (size_t)64 << 20, &doc, &err) != GWEN_OK)
        golden_error(counts, &err, "tokenizer");
    int n = gw_dir_exists(folder) ? scandir(folder, &entries, NULL, alphasort) : 0;
    for (int i = 0; i < n; i++) {
        char *own = golden_path(folder, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && gw_dir_exists(own))
            check_folder(dir, entries[i]->d_name, gw_json_root(&doc), counts);
        free(own);
        free(entries[i]);
    }
    free(entries);
    gw_json_free(&doc);
    free(folder);
    free(path);
    check_stories(dir, counts);
}

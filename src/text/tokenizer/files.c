/* files.c - the older layout: vocab.json, merges.txt and tokenizer_config.json.
 *
 * These files do not say how texts are split; it follows from the class that wrote them. */
#include "text/tokenizer/json.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char qwen2_pattern[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
                                    "\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
                                    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

static enum gwen_status read_file(const char *dir, const char *name, struct gw_str *path,
                                  struct gw_str *text, struct gwen_err *err) {
    gw_str_clear(path);
    gw_str_clear(text);
    GW_TRY(gw_path_join(path, dir, name, err));
    GW_TRY(gw_file_read(path->data, GW_TOKENIZER_MAX_FILE, text, err));
    if (text->data == NULL) gw_str_reserve(text, 1);
    return text->failed ? gw_nomem(err, 1, path->data) : GWEN_OK;
}

/* --- merges.txt ----------------------------------------------------------------------------- */

/* The lines "a b" of text, in order of rank. */
static enum gwen_status read_merges(const char *text, size_t len, const char *path,
                                    struct gw_bpe *m, struct gwen_err *err) {
    size_t lines = 1;
    for (size_t i = 0; i < len; i++) lines += text[i] == '\n';
    if (lines > INT32_MAX || !gw_merge_map_init(&m->merges, lines))
        return gw_nomem(err, lines * sizeof(struct gw_merge), "merges");
    struct gw_str missing = {0};
    char shown[GW_SHOWN];
    enum gwen_status status = GWEN_OK;
    uint32_t rank = 0;
    size_t number = 0;
    for (size_t at = 0; at < len && status == GWEN_OK;) {
        const char *line = text + at, *newline = memchr(line, '\n', len - at);
        size_t n = newline != NULL ? (size_t)(newline - line) : len - at;
        at += n + 1;
        number++;
        if (n > 0 && line[n - 1] == '\r') n--;
        if (n == 0 || (n >= 8 && memcmp(line, "#version", 8) == 0)) continue;
        const char *space = memchr(line, ' ', n);
        size_t left = space != NULL ? (size_t)(space - line) : n, right = n - left - (left < n);
        if (space == NULL || memchr(space + 1, ' ', right) != NULL)
            status = gw_fail(err, GWEN_ERR_FORMAT, "%s:%zu: a merge needs two tokens and one space",
                             path, number);
        else if (!gw_bpe_add_merge(m, line, left, space + 1, right, rank++, &missing))
            status = gw_fail(err, GWEN_ERR_FORMAT,
                             "%s:%zu: a merge needs %s, which is not in the vocabulary", path,
                             number, gw_shown(shown, missing.data, missing.len));
    }
    gw_str_free(&missing);
    return status;
}

/* --- added tokens --------------------------------------------------------------------------- */

static int compare_ids(const void *a, const void *b) {
    const struct gw_json_node *x = a, *y = b;
    long i = strtol(gw_json_key(*x), NULL, 10), j = strtol(gw_json_key(*y), NULL, 10);
    return (i > j) - (i < j);
}

/* The id that a member's name spells. */
static enum gwen_status id_of_key(struct gw_json_node n, uint32_t *id, struct gwen_err *err) {
    const char *key = gw_json_key(n);
    size_t len = strlen(key);
    bool ok = len > 0 && len < 9 && strspn(key, "0123456789") == len;
    *id = ok ? (uint32_t)strtoul(key, NULL, 10) : 0;
    if (!ok || *id > GW_TOKEN_MAX_ID)
        return gw_json_fail(n, err, GWEN_ERR_FORMAT, "the name must be an id up to %d",
                            GW_TOKEN_MAX_ID);
    return GWEN_OK;
}

static enum gwen_status add_token(struct gw_tokenizer *t, struct gw_json_node n,
                                  struct gwen_err *err) {
    struct gw_added_spec a = {0};
    uint32_t id;
    GW_TRY(id_of_key(n, &id, err));
    GW_TRY(gw_json_get_string(n, "content", GW_JSON_REQUIRED, &a.content, err));
    GW_TRY(gw_json_get_bool(n, "special", GW_JSON_OPTIONAL, &a.special, err));
    a.normalized = !a.special;
    GW_TRY(gw_json_get_bool(n, "single_word", GW_JSON_OPTIONAL, &a.single_word, err));
    GW_TRY(gw_json_get_bool(n, "lstrip", GW_JSON_OPTIONAL, &a.lstrip, err));
    GW_TRY(gw_json_get_bool(n, "rstrip", GW_JSON_OPTIONAL, &a.rstrip, err));
    GW_TRY(gw_json_get_bool(n, "normalized", GW_JSON_OPTIONAL, &a.normalized, err));
    a.len = strlen(a.content);
    uint32_t known = gw_string_map_get(&t->model.vocab, a.content, a.len);
    bool taken = id < t->model.n_ids && t->model.entry_of_id[id] != GW_NO_ID;
    if (known != GW_NO_ID ? known != id : taken)
        return gw_json_fail(n, err, GWEN_ERR_FORMAT,
                            "vocab.json has another id for this token, or another token with the "
                            "id");
    return gw_added_put(&t->added, &a, id, t->normalizer, n.doc->file, err);
}

/* added_tokens_decoder: {"id": {"content": ...}}, in order of ids. */
static enum gwen_status add_tokens(struct gw_tokenizer *t, struct gw_json_node config,
                                   struct gwen_err *err) {
    struct gw_json_node list;
    GW_TRY(gw_json_get_object(config, "added_tokens_decoder", GW_JSON_OPTIONAL, &list, err));
    size_t n = list.v != NULL ? gw_json_size(list) : 0, i = 0;
    if (n == 0) return GWEN_OK;
    struct gw_json_node *sorted = malloc(n * sizeof *sorted);
    if (sorted == NULL) return gw_nomem(err, n * sizeof *sorted, "added tokens");
    for (struct gw_json_node c = gw_json_first(list); c.v != NULL; c = gw_json_next(c))
        sorted[i++] = c;
    qsort(sorted, n, sizeof *sorted, compare_ids);
    enum gwen_status status = GWEN_OK;
    for (i = 0; i < n && status == GWEN_OK; i++) status = add_token(t, sorted[i], err);
    free(sorted);
    return status;
}

/* Tokens that the configuration names and the vocabulary knows are special too. */
static enum gwen_status add_named(struct gw_tokenizer *t, struct gw_json_node config,
                                  struct gwen_err *err) {
    static const char *const keys[] = {"bos_token", "eos_token", "unk_token", "pad_token"};
    for (size_t i = 0; i < GW_ARRAY_LEN(keys); i++) {
        struct gw_added_spec a = {.special = true};
        GW_TRY(gw_tokenizer_read_named(config, keys[i], &a.content, err));
        if (a.content == NULL) continue;
        a.len = strlen(a.content);
        uint32_t id = gw_string_map_get(&t->model.vocab, a.content, a.len);
        if (id == GW_NO_ID || gw_string_map_find(&t->added.names, a.content, a.len) != NULL)
            continue;
        GW_TRY(gw_added_put(&t->added, &a, id, t->normalizer, config.doc->file, err));
    }
    return GWEN_OK;
}

/* --- the whole ------------------------------------------------------------------------------ */

/* Normalizer, pre-tokenizer and decoder by tokenizer_class. */
static enum gwen_status set_class(const char *dir, struct gw_json_node config,
                                  struct gw_tokenizer *t, struct gwen_err *err) {
    const char *class = NULL;
    char shown[GW_SHOWN];
    bool prefix = false;
    if (config.v != NULL) {
        GW_TRY(gw_json_get_string(config, "tokenizer_class", GW_JSON_OPTIONAL, &class, err));
        GW_TRY(gw_json_get_bool(config, "add_prefix_space", GW_JSON_OPTIONAL, &prefix, err));
    }
    if (class == NULL)
        return gw_fail(err, GWEN_ERR_UNSUPPORTED,
                       "%s: vocab.json and merges.txt need a tokenizer_config.json whose "
                       "tokenizer_class says how texts are split; or use a tokenizer.json",
                       dir);
    bool qwen2 = strcmp(class, "Qwen2Tokenizer") == 0 || strcmp(class, "Qwen2TokenizerFast") == 0;
    bool gpt2 = strcmp(class, "GPT2Tokenizer") == 0 || strcmp(class, "GPT2TokenizerFast") == 0;
    if (!qwen2 && !gpt2)
        return gw_json_fail(config, err, GWEN_ERR_UNSUPPORTED,
                            "tokenizer_class %s needs a tokenizer.json",
                            gw_shown(shown, class, strlen(class)));
    if (qwen2) GW_TRY(gw_normalizer_nfc(&t->normalizer, err));
    GW_TRY(gw_pretokenizer_byte_level(qwen2 ? qwen2_pattern : NULL, prefix, &t->pretokenizer, err));
    return gw_decoder_byte_level(&t->decoder, err);
}

enum gwen_status gw_tokenizer_read_files(const char *dir, struct gw_json_node config,
                                         struct gw_tokenizer *t, struct gwen_err *err) {
    struct gw_str path = {0}, text = {0};
    struct gw_scan s;
    enum gwen_status status = set_class(dir, config, t, err);
    if (status == GWEN_OK) status = read_file(dir, "vocab.json", &path, &text, err);
    if (status == GWEN_OK) status = gw_tokenizer_begin(&s, text.data, text.len, path.data, err);
    if (status == GWEN_OK) status = gw_tokenizer_read_vocab(&s, &t->model);
    if (status == GWEN_OK) status = gw_scan_end(&s);
    if (status == GWEN_OK) status = gw_bpe_index(&t->model, path.data, err);
    if (status == GWEN_OK) status = read_file(dir, "merges.txt", &path, &text, err);
    if (status == GWEN_OK) status = gw_tokenizer_begin(&s, text.data, text.len, path.data, err);
    if (status == GWEN_OK) status = read_merges(s.text, s.len, path.data, &t->model, err);
    gw_str_free(&path);
    gw_str_free(&text);
    GW_TRY(status);
    GW_TRY(add_tokens(t, config, err));
    return add_named(t, config, err);
}

bool gw_tokenizer_exists(const char *dir) {
    static const char *const names[] = {"tokenizer.json", "vocab.json"};
    struct gw_str path = {0};
    bool found = false;
    for (size_t i = 0; i < GW_ARRAY_LEN(names) && !found; i++)
        found = gw_path_join(&path, dir, names[i], NULL) == GWEN_OK && gw_file_exists(path.data);
    gw_str_free(&path);
    return found;
}

/* --- copying -------------------------------------------------------------------------------- */

static const char *const copied[] = {"tokenizer.json",
                                     "vocab.json",
                                     "merges.txt",
                                     "tokenizer_config.json",
                                     "special_tokens_map.json",
                                     "added_tokens.json",
                                     "chat_template.jinja",
                                     "generation_config.json"};

enum gwen_status gw_tokenizer_copy(const char *from_dir, const char *to_dir, struct gwen_err *err) {
    struct gw_str from = {0}, to = {0};
    enum gwen_status status = GWEN_OK;
    for (size_t i = 0; i < GW_ARRAY_LEN(copied) && status == GWEN_OK; i++) {
        bool there = false;
        status = gw_path_join(&from, from_dir, copied[i], err);
        if (status == GWEN_OK) status = gw_file_find(from.data, &there, err);
        if (status != GWEN_OK || !there) continue;
        status = gw_path_join(&to, to_dir, copied[i], err);
        if (status == GWEN_OK) status = gw_file_copy(from.data, to.data, err);
    }
    gw_str_free(&from);
    gw_str_free(&to);
    return status;
}

uint64_t gw_tokenizer_copy_bytes(const char *dir) {
    struct gw_str path = {0};
    struct gwen_err ignored;
    struct stat st;
    uint64_t bytes = 0;
    for (size_t i = 0; i < GW_ARRAY_LEN(copied); i++)
        if (gw_path_join(&path, dir, copied[i], &ignored) == GWEN_OK && stat(path.data, &st) == 0)
            bytes += (uint64_t)st.st_size;
    gw_str_free(&path);
    return bytes;
}

/* json.c - reading tokenizer.json.
 *
 * The vocabulary and the merges, nearly all of the file, are walked in place; the rest is small
 * and parsed as configuration.  Members may stand in any order, so a first walk finds where each
 * one is. */
#include "text/tokenizer/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum gwen_status gw_tokenizer_begin(struct gw_scan *s, const char *text, size_t len,
                                    const char *name, struct gwen_err *err) {
    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        text += 3;
        len -= 3;
    }
    *s = (struct gw_scan){.text = text, .len = len, .name = name, .err = err};
    for (size_t i = 0; i < len;) {
        uint64_t word;
        if (len - i >= 8) {
            memcpy(&word, text + i, 8);
            if ((word & UINT64_C(0x8080808080808080)) == 0) {
                i += 8;
                continue;
            }
        }
        uint32_t c;
        bool valid;
        size_t n = gw_utf8_next(text + i, len - i, &c, &valid);
        if (!valid) return gw_scan_fail(s, i, "the text is not UTF-8");
        i += n;
    }
    return GWEN_OK;
}

/* --- vocabulary and merges ------------------------------------------------------------------ */

enum gwen_status gw_tokenizer_read_vocab(struct gw_scan *s, struct gw_bpe *m) {
    bool first = true, more;
    struct gw_string_map *v = &m->vocab;
    GW_TRY(gw_scan_open(s, '{'));
    if (!gw_string_map_reserve(v, s->len / 64)) return gw_nomem(s->err, s->len, "a vocabulary");
    for (;;) {
        GW_TRY(gw_scan_next(s, '}', &first, &more));
        if (!more) return GWEN_OK;
        size_t start = v->bytes.len, at = s->pos;
        uint32_t id;
        const struct gw_string_entry *known;
        GW_TRY(gw_scan_key(s, &v->bytes));
        GW_TRY(gw_scan_uint(s, GW_TOKEN_MAX_ID, &id));
        if (!gw_string_map_add_tail(v, v->bytes.len - start, id, &known))
            return gw_nomem(s->err, v->bytes.len, "a vocabulary");
        if (known != NULL && known->value != id)
            return gw_scan_fail(s, at, "a token occurs twice, with ids %u and %u",
                                (unsigned)known->value, (unsigned)id);
    }
}

/* One merge, "a b" or ["a", "b"]: both parts into *text, *left_len bytes of it the first.  *skip is
 * set for the line that names the version. */
static enum gwen_status read_merge(struct gw_scan *s, struct gw_str *text, size_t *left_len,
                                   bool *skip) {
    gw_str_clear(text);
    *skip = false;
    size_t at = s->pos;
    if (gw_scan_peek(s) == '[') {
        bool first = true, more;
        GW_TRY(gw_scan_open(s, '['));
        for (int i = 0; i < 2; i++) {
            *left_len = text->len;
            GW_TRY(gw_scan_next(s, ']', &first, &more));
            if (!more) return gw_scan_fail(s, at, "a merge needs two tokens");
            GW_TRY(gw_scan_string(s, text));
        }
        GW_TRY(gw_scan_next(s, ']', &first, &more));
        return more ? gw_scan_fail(s, at, "a merge needs two tokens") : GWEN_OK;
    }
    GW_TRY(gw_scan_string(s, text));
    *skip = text->len >= 8 && memcmp(text->data, "#version", 8) == 0;
    char *space = text->len > 0 ? memchr(text->data, ' ', text->len) : NULL;
    size_t rest = space != NULL ? text->len - (size_t)(space - text->data) - 1 : 0;
    if (!*skip && (space == NULL || memchr(space + 1, ' ', rest) != NULL))
        return gw_scan_fail(s, at, "a merge needs two tokens and one space");
    if (*skip) return GWEN_OK;
    *left_len = (size_t)(space - text->data);
    memmove(space, space + 1, rest);
    text->len--;
    return GWEN_OK;
}

static enum gwen_status read_merges(struct gw_scan *s, struct gw_bpe *m) {
    struct gw_scan count = *s;
    bool first = true, more;
    struct gw_slice skipped;
    size_t n = 0;
    GW_TRY(gw_scan_open(&count, '['));
    for (;; n++) {
        GW_TRY(gw_scan_next(&count, ']', &first, &more));
        if (!more) break;
        GW_TRY(gw_scan_skip(&count, &skipped));
    }
    if (n > INT32_MAX || !gw_merge_map_init(&m->merges, n))
        return gw_nomem(s->err, n * sizeof(struct gw_merge), "merges");
    GW_TRY(gw_scan_open(s, '['));
    struct gw_str text = {0}, missing = {0};
    char shown[GW_SHOWN];
    enum gwen_status status = GWEN_OK;
    first = true;
    for (uint32_t rank = 0; status == GWEN_OK;) {
        size_t left_len = 0, at;
        bool skip;
        status = gw_scan_next(s, ']', &first, &more);
        if (status != GWEN_OK || !more) break;
        at = s->pos;
        status = read_merge(s, &text, &left_len, &skip);
        if (status != GWEN_OK || skip) continue;
        if (!gw_bpe_add_merge(m, text.data, left_len, text.data + left_len, text.len - left_len,
                              rank++, &missing))
            status = gw_scan_fail(s, at, "a merge needs %s, which is not in the vocabulary",
                                  gw_shown(shown, missing.data, missing.len));
    }
    gw_str_free(&text);
    gw_str_free(&missing);
    return status;
}

/* --- the model ------------------------------------------------------------------------------ */

/* Finds the members of the object at the position: slices[i] for names[i] (len 0: absent).  Other
 * members are checked and skipped. */
static enum gwen_status find_members(struct gw_scan *s, const char *const *names, size_t n,
                                     struct gw_slice *slices) {
    bool first = true, more;
    struct gw_str key = {0};
    enum gwen_status status = gw_scan_open(s, '{');
    for (size_t i = 0; i < n; i++) slices[i] = (struct gw_slice){0};
    while (status == GWEN_OK) {
        struct gw_slice value;
        status = gw_scan_next(s, '}', &first, &more);
        if (status != GWEN_OK || !more) break;
        size_t at = s->pos;
        gw_str_clear(&key);
        status = gw_scan_key(s, &key);
        if (status == GWEN_OK) status = gw_scan_skip(s, &value);
        for (size_t i = 0; i < n && status == GWEN_OK; i++) {
            if (key.len != strlen(names[i]) || memcmp(key.data, names[i], key.len) != 0) continue;
            if (slices[i].len > 0) status = gw_scan_fail(s, at, "%s occurs twice", names[i]);
            slices[i] = value;
        }
    }
    gw_str_free(&key);
    return status;
}

static enum gwen_status take_string(struct gw_json_node config, const char *key, struct gw_str *out,
                                    struct gwen_err *err) {
    const char *text = NULL;
    GW_TRY(gw_json_get_string(config, key, GW_JSON_OPTIONAL, &text, err));
    if (text == NULL) return GWEN_OK;
    gw_str_puts(out, text);
    if (out->data == NULL) gw_str_reserve(out, 1); /* an empty string is still one */
    return out->failed ? gw_nomem(err, strlen(text), key) : GWEN_OK;
}

/* The model's members but for vocabulary and merges. */
static enum gwen_status read_options(struct gw_json_node config, struct gw_bpe *m,
                                     struct gwen_err *err) {
    const char *type = "BPE";
    char shown[GW_SHOWN];
    double dropout = 0;
    GW_TRY(gw_json_get_string(config, "type", GW_JSON_OPTIONAL, &type, err));
    if (strcmp(type, "BPE") != 0)
        return gw_json_fail(config, err, GWEN_ERR_UNSUPPORTED,
                            "type %s is not supported, only \"BPE\"",
                            gw_shown(shown, type, strlen(type)));
    GW_TRY(gw_json_get_double(config, "dropout", GW_JSON_OPTIONAL, 0, 1, &dropout, err));
    if (dropout != 0)
        return gw_json_fail(config, err, GWEN_ERR_UNSUPPORTED, "dropout %g is not supported",
                            dropout);
    GW_TRY(take_string(config, "unk_token", &m->unk, err));
    GW_TRY(take_string(config, "continuing_subword_prefix", &m->prefix, err));
    GW_TRY(take_string(config, "end_of_word_suffix", &m->suffix, err));
    GW_TRY(gw_json_get_bool(config, "fuse_unk", GW_JSON_OPTIONAL, &m->fuse_unk, err));
    GW_TRY(gw_json_get_bool(config, "byte_fallback", GW_JSON_OPTIONAL, &m->byte_fallback, err));
    return gw_json_get_bool(config, "ignore_merges", GW_JSON_OPTIONAL, &m->ignore_merges, err);
}

static enum gwen_status read_model(struct gw_scan *s, struct gw_bpe *m) {
    static const char *const names[] = {
        "vocab",        "merges",        "type",
        "dropout",      "unk_token",     "continuing_subword_prefix",
        "fuse_unk",     "byte_fallback", "end_of_word_suffix",
        "ignore_merges"};
    struct gw_slice part[GW_ARRAY_LEN(names)];
    GW_TRY(find_members(s, names, GW_ARRAY_LEN(names), part));
    struct gw_str small = {0}, name = {0};
    gw_str_putc(&small, '{');
    for (size_t i = 2; i < GW_ARRAY_LEN(names); i++) {
        if (part[i].len == 0) continue;
        gw_str_printf(&small, "%s\"%s\":", small.len > 1 ? "," : "", names[i]);
        gw_str_put(&small, s->text + part[i].start, part[i].len);
    }
    gw_str_putc(&small, '}');
    gw_str_printf(&name, "%s: model", s->name);
    struct gw_json_doc doc = {0};
    enum gwen_status status = small.failed || name.failed
                                  ? gw_nomem(s->err, small.len, "a tokenizer")
                                  : gw_json_parse(small.data, small.len, name.data, &doc, s->err);
    if (status == GWEN_OK) status = read_options(gw_json_root(&doc), m, s->err);
    gw_json_free(&doc);
    gw_str_free(&small);
    gw_str_free(&name);
    GW_TRY(status);
    for (size_t i = 0; i < 2; i++)
        if (part[i].len == 0)
            return gw_fail(s->err, GWEN_ERR_FORMAT, "%s: model.%s is missing", s->name, names[i]);
    struct gw_scan at = *s;
    at.pos = part[0].start;
    GW_TRY(gw_tokenizer_read_vocab(&at, m));
    GW_TRY(gw_bpe_index(m, s->name, s->err));
    at.pos = part[1].start;
    return read_merges(&at, m);
}

/* --- the other members ---------------------------------------------------------------------- */

/* Parses one member; doc->root stays NULL if it is absent or null. */
static enum gwen_status parse_part(const struct gw_scan *s, struct gw_slice part,
                                   const char *member, struct gw_json_doc *doc) {
    *doc = (struct gw_json_doc){0};
    if (part.len == 0) return GWEN_OK;
    struct gw_str name = {0};
    gw_str_printf(&name, "%s: %s", s->name, member);
    enum gwen_status status =
        name.failed ? gw_nomem(s->err, strlen(s->name), "a tokenizer")
                    : gw_json_parse(s->text + part.start, part.len, name.data, doc, s->err);
    gw_str_free(&name);
    if (status == GWEN_OK && gw_json_is_null(gw_json_root(doc))) gw_json_free(doc);
    return status;
}

static enum gwen_status read_added(struct gw_json_node list, struct gw_tokenizer *t,
                                   struct gwen_err *err) {
    if (!gw_json_is_array(list))
        return gw_json_fail(list, err, GWEN_ERR_FORMAT, "expected an array");
    /* As the library: the ids follow the vocabulary, whatever the file says they are. */
    uint32_t next = (uint32_t)t->model.vocab.n;
    for (struct gw_json_node c = gw_json_first(list); c.v != NULL; c = gw_json_next(c)) {
        struct gw_added_spec a = {0};
        int64_t declared;
        GW_TRY(gw_json_get_i64(c, "id", GW_JSON_REQUIRED, 0, GW_TOKEN_MAX_ID, &declared, err));
        GW_TRY(gw_json_get_string(c, "content", GW_JSON_REQUIRED, &a.content, err));
        GW_TRY(gw_json_get_bool(c, "single_word", GW_JSON_REQUIRED, &a.single_word, err));
        GW_TRY(gw_json_get_bool(c, "lstrip", GW_JSON_REQUIRED, &a.lstrip, err));
        GW_TRY(gw_json_get_bool(c, "rstrip", GW_JSON_REQUIRED, &a.rstrip, err));
        GW_TRY(gw_json_get_bool(c, "normalized", GW_JSON_REQUIRED, &a.normalized, err));
        GW_TRY(gw_json_get_bool(c, "special", GW_JSON_REQUIRED, &a.special, err));
        a.len = strlen(a.content);
        uint32_t id = gw_string_map_get(&t->model.vocab, a.content, a.len);
        bool known = id != GW_NO_ID || a.len == 0 ||
                     gw_string_map_find(&t->added.names, a.content, a.len) != NULL;
        if (!known) id = next++;
        if (!known && id > GW_TOKEN_MAX_ID)
            return gw_json_fail(c, err, GWEN_ERR_UNSUPPORTED, "ids above %d", GW_TOKEN_MAX_ID);
        GW_TRY(gw_added_put(&t->added, &a, id, t->normalizer, list.doc->file, err));
    }
    return GWEN_OK;
}

enum part { VERSION, NORMALIZER, ADDED, PRE_TOKENIZER, POST_PROCESSOR, DECODER, MODEL, N_PARTS };
static const char *const part_names[N_PARTS] = {
    "version", "normalizer", "added_tokens", "pre_tokenizer", "post_processor", "decoder", "model"};

static enum gwen_status read_part(enum part which, struct gw_json_node config,
                                  struct gw_tokenizer *t, struct gwen_err *err) {
    const char *version;
    char shown[GW_SHOWN];
    switch (which) {
    case VERSION:
        GW_TRY(gw_json_as_string(config, &version, err));
        if (strcmp(version, "1.0") == 0) return GWEN_OK;
        return gw_json_fail(config, err, GWEN_ERR_UNSUPPORTED, "%s is not \"1.0\"",
                            gw_shown(shown, version, strlen(version)));
    case NORMALIZER: return gw_normalizer_load(config, &t->normalizer, err);
    case ADDED: return read_added(config, t, err);
    case PRE_TOKENIZER: return gw_pretokenizer_load(config, &t->pretokenizer, err);
    case POST_PROCESSOR: return gw_template_load(config, &t->post, err);
    case DECODER: return gw_decoder_load(config, &t->decoder, err);
    case MODEL:
    case N_PARTS: break;
    }
    return GWEN_OK;
}

enum gwen_status gw_tokenizer_read_json(const char *text, size_t len, const char *name,
                                        struct gw_tokenizer *t, struct gwen_err *err) {
    struct gw_scan s;
    struct gw_slice part[N_PARTS];
    GW_TRY(gw_tokenizer_begin(&s, text, len, name, err));
    GW_TRY(find_members(&s, part_names, N_PARTS, part));
    GW_TRY(gw_scan_end(&s));
    if (part[MODEL].len == 0) return gw_fail(err, GWEN_ERR_FORMAT, "%s: model is missing", name);
    s.pos = part[MODEL].start;
    GW_TRY(read_model(&s, &t->model));
    for (int i = 0; i < MODEL; i++) { /* added tokens after the normalizer they may need */
        struct gw_json_doc doc;
        enum gwen_status status = parse_part(&s, part[i], part_names[i], &doc);
        if (status == GWEN_OK && doc.root != NULL)
            status = read_part((enum part)i, gw_json_root(&doc), t, err);
        gw_json_free(&doc);
        GW_TRY(status);
    }
    return GWEN_OK;
}

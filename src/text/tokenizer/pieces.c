/* pieces.c - the lists that travel between the stages, and small things that several
 * stages read from their configuration (see impl.h). */
#include "text/tokenizer/impl.h"

#include <stdlib.h>
#include <string.h>

/* --- ids ------------------------------------------------------------------------------------ */

void gw_ids_free(struct gw_ids *ids) {
    free(ids->data);
    *ids = (struct gw_ids){0};
}

bool gw_ids_put(struct gw_ids *ids, const int32_t *data, size_t n) {
    if (n > ids->cap - ids->len) {
        size_t cap;
        if (!gw_add_size(ids->cap + ids->cap / 2 + 16, n, &cap) || cap > SIZE_MAX / 8) return false;
        int32_t *grown = realloc(ids->data, cap * sizeof *grown);
        if (grown == NULL) return false;
        ids->data = grown;
        ids->cap = cap;
    }
    if (n > 0) memcpy(ids->data + ids->len, data, n * sizeof *data);
    ids->len += n;
    return true;
}

/* --- pieces and parts ----------------------------------------------------------------------- */

enum gwen_status gw_pieces_put(struct gw_tok_work *w, struct gw_pieces *p, struct gw_piece piece) {
    if (piece.start == piece.end && piece.id < 0) return GWEN_OK;
    if (p->n == p->cap) {
        size_t cap = p->cap * 2 + 64;
        struct gw_piece *v = realloc(p->v, cap * sizeof *v);
        if (v == NULL) return gw_nomem(w->err, cap * sizeof *v, "splitting a text");
        p->v = v;
        p->cap = cap;
    }
    p->v[p->n++] = piece;
    return GWEN_OK;
}

enum gwen_status gw_parts_put(struct gw_tok_work *w, uint32_t start, uint32_t end, bool match) {
    struct gw_parts *s = &w->parts;
    if (s->n == s->cap) {
        size_t cap = s->cap * 2 + 64;
        struct gw_part *v = realloc(s->v, cap * sizeof *v);
        if (v == NULL) return gw_nomem(w->err, cap * sizeof *v, "splitting a text");
        s->v = v;
        s->cap = cap;
    }
    s->v[s->n++] = (struct gw_part){start, end, match};
    return GWEN_OK;
}

void gw_pieces_swap(struct gw_tok_work *w, bool keep_text) {
    if (keep_text) { /* the pieces made are spans of the old buffer */
        struct gw_str text = w->now.text;
        w->now.text = w->next.text;
        w->next.text = text;
    }
    struct gw_pieces old = w->now;
    w->now = w->next;
    w->next = old;
    w->next.n = 0;
    w->next.text.len = 0;
}

enum gwen_status gw_pieces_check(struct gw_tok_work *w, const struct gw_str *text) {
    if (text->failed) return gw_nomem(w->err, text->len, "a text");
    if (text->len > INT32_MAX)
        return gw_fail(w->err, GWEN_ERR_ARGUMENT,
                       "a text of %zu bytes; the tokenizer takes up to 2 GiB", text->len);
    return GWEN_OK;
}

/* --- byte-level letters --------------------------------------------------------------------- */

/* Printable bytes stand for themselves; the others follow from U+0100 on, in order. */
static bool is_own_letter(unsigned b) {
    return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
}

uint32_t gw_byte_to_letter(uint8_t byte) {
    if (is_own_letter(byte)) return byte;
    if (byte <= 0x20) return 0x100u + byte;
    if (byte == 0xAD) return 0x143;
    return 0x121u + (byte - 0x7Fu); /* 0x7F..0xA0 */
}

int gw_letter_to_byte(uint32_t c) {
    if (c < 0x100) return is_own_letter(c) ? (int)c : -1;
    if (c <= 0x120) return (int)(c - 0x100);
    if (c <= 0x142) return (int)(c - 0x121 + 0x7F);
    return c == 0x143 ? 0xAD : -1;
}

void gw_put_byte_letters(struct gw_str *out, const char *text, size_t len) {
    if (len > SIZE_MAX / 4 || !gw_str_reserve(out, len * 2)) {
        out->failed = true;
        return;
    }
    char *to = out->data + out->len;
    for (size_t i = 0; i < len; i++) {
        uint32_t c = gw_byte_to_letter((uint8_t)text[i]);
        if (c < 0x80) {
            *to++ = (char)c;
            continue;
        }
        *to++ = (char)(0xC0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3F));
    }
    *to = 0;
    out->len = (size_t)(to - out->data);
}

/* --- configuration -------------------------------------------------------------------------- */

enum gwen_status gw_pattern_load(struct gw_json_node config, const char *key, struct gw_regex **out,
                                 struct gwen_err *err) {
    struct gw_json_node pattern, text;
    const char *source;
    GW_TRY(gw_json_get_object(config, key, GW_JSON_REQUIRED, &pattern, err));
    bool regex = gw_json_find(pattern, "Regex", &text);
    if (!regex && !gw_json_find(pattern, "String", &text))
        return gw_json_fail(pattern, err, GWEN_ERR_FORMAT, "expected a String or a Regex");
    GW_TRY(gw_json_as_string(text, &source, err));
    size_t len = strlen(source);
    const char *where = config.doc->file;
    return regex ? gw_regex_compile(source, len, where, out, err)
                 : gw_regex_compile_literal(source, len, where, out, err);
}

enum gwen_status gw_text_load(struct gw_json_node config, const char *key, char **out, size_t *len,
                              struct gwen_err *err) {
    const char *text;
    GW_TRY(gw_json_get_string(config, key, GW_JSON_REQUIRED, &text, err));
    *len = strlen(text);
    *out = strdup(text);
    return *out != NULL ? GWEN_OK : gw_nomem(err, *len, "a tokenizer");
}

enum gwen_status gw_char_load(struct gw_json_node config, const char *key, uint32_t *out,
                              struct gwen_err *err) {
    const char *text;
    GW_TRY(gw_json_get_string(config, key, GW_JSON_REQUIRED, &text, err));
    size_t len = strlen(text);
    bool valid = false;
    if (len == 0 || gw_utf8_next(text, len, out, &valid) != len)
        return gw_json_fail(config, err, GWEN_ERR_FORMAT, "%s must be one character", key);
    return GWEN_OK;
}

enum gwen_status gw_type_load(struct gw_json_node config, const char *const *names, size_t n,
                              size_t *which, struct gwen_err *err) {
    const char *type;
    GW_TRY(gw_json_get_string(config, "type", GW_JSON_REQUIRED, &type, err));
    *which = gw_name_index(type, names, n);
    if (*which < n) return GWEN_OK;
    char shown[GW_SHOWN];
    return gw_json_fail(config, err, GWEN_ERR_UNSUPPORTED, "type %s is not supported",
                        gw_shown(shown, type, strlen(type)));
}

enum gwen_status gw_stage_load(const struct gw_stage *stage, struct gw_json_node config,
                               gw_stage_take *take, void *owner, const size_t *n,
                               struct gwen_err *err) {
    size_t type;
    GW_TRY(gw_type_load(config, stage->types, stage->n_types, &type, err));
    if (type + 1 == stage->n_types) {
        struct gw_json_node list;
        GW_TRY(gw_json_get_array(config, stage->list, GW_JSON_REQUIRED, &list, err));
        for (struct gw_json_node c = gw_json_first(list); c.v != NULL; c = gw_json_next(c))
            GW_TRY(gw_stage_load(stage, c, take, owner, n, err));
        return GWEN_OK;
    }
    if (*n == GW_TOKEN_MAX_STEPS)
        return gw_json_fail(config, err, GWEN_ERR_UNSUPPORTED, "more than %d %s",
                            GW_TOKEN_MAX_STEPS, stage->what);
    return take(owner, type, config, err);
}

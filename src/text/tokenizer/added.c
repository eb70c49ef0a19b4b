/* added.c - added tokens, found in the text before anything else looks at it.
 *
 * The library looks twice: tokens not flagged `normalized` in the raw text, then, in what is left
 * and normalized, the others (in their own normalized form).  A match that single_word or
 * no_special rejects is skipped as a whole; a token with rstrip takes white space in which the next
 * match may already lie, so spans can overlap. */
#include "text/tokenizer/impl.h"
#include "text/tokenizer/matcher.h"
#include "text/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>

/* Longer ones would allow texts that are searched in more than linear time. */
enum { GW_ADDED_MAX_LEN = 4096 };

/* --- building ------------------------------------------------------------------------------- */

void gw_added_free(struct gw_added *a) {
    gw_string_map_free(&a->names);
    gw_str_free(&a->normalized);
    free(a->special);
    free(a->tokens);
    free(a->of_id);
    gw_matcher_free(a->raw);
    gw_matcher_free(a->after);
    gw_regex_free(a->word);
    *a = (struct gw_added){0};
}

const struct gw_added_token *gw_added_of_id(const struct gw_added *a, int32_t id) {
    if (id < 0 || (size_t)id >= a->n_ids || a->of_id[id] == GW_NO_ID) return NULL;
    return &a->tokens[a->of_id[id]];
}

const char *gw_added_form(const struct gw_added *a, const struct gw_added_token *t, size_t *len) {
    const struct gw_string_entry *name = &a->names.entries[t->content];
    *len = t->has_form ? t->form_len : name->len;
    return t->has_form ? a->normalized.data + t->form_start : a->names.bytes.data + name->start;
}

/* The form of a token that the normalized text shows. */
static enum gwen_status normalize_content(struct gw_added *a, const struct gw_added_spec *spec,
                                          const struct gw_normalizer *n, struct gw_added_token *t,
                                          struct gwen_err *err) {
    struct gw_tok_work w = {.err = err};
    struct gw_str out = {0};
    uint32_t origin = 0;
    enum gwen_status status = gw_regex_run_new(&w.regex, err);
    if (status == GWEN_OK) status = gw_normalize(n, &w, spec->content, spec->len, &origin, &out);
    bool same = out.len == spec->len && memcmp(out.data, spec->content, out.len) == 0;
    if (status == GWEN_OK && !same) {
        t->has_form = true;
        t->form_start = (uint32_t)a->normalized.len;
        t->form_len = (uint32_t)out.len;
        gw_str_put(&a->normalized, out.data, out.len);
        status = gw_pieces_check(&w, &a->normalized);
    }
    gw_str_free(&out);
    gw_str_free(&w.scratch[0]);
    gw_str_free(&w.scratch[1]);
    gw_regex_run_free(w.regex);
    return status;
}

/* The entry of names for the content, a new one with value `id` if there is none. */
static enum gwen_status name_of(struct gw_added *a, const struct gw_added_spec *spec, uint32_t id,
                                uint32_t *entry, struct gwen_err *err) {
    const struct gw_string_entry *known;
    gw_str_put(&a->names.bytes, spec->content, spec->len);
    if (!gw_string_map_add_tail(&a->names, spec->len, id, &known))
        return gw_nomem(err, a->names.bytes.len, "added tokens");
    *entry = (uint32_t)(known != NULL ? (size_t)(known - a->names.entries) : a->names.n - 1);
    if (*entry >= a->special_cap) {
        size_t cap = a->special_cap * 2 + 32;
        bool *special = realloc(a->special, cap * sizeof *special);
        if (special == NULL) return gw_nomem(err, cap, "added tokens");
        memset(special + a->special_cap, 0, cap - a->special_cap);
        a->special = special;
        a->special_cap = cap;
    }
    return GWEN_OK;
}

/* The token of an id, a new one if there is none. */
static enum gwen_status token_of(struct gw_added *a, uint32_t id, struct gw_added_token **t,
                                 struct gwen_err *err) {
    if (id >= a->n_ids) {
        size_t n = GW_MAX((size_t)id + 1, a->n_ids * 2);
        uint32_t *of_id = realloc(a->of_id, n * sizeof *of_id);
        if (of_id == NULL) return gw_nomem(err, n * sizeof *of_id, "added tokens");
        for (size_t i = a->n_ids; i < n; i++) of_id[i] = GW_NO_ID;
        a->of_id = of_id;
        a->n_ids = n;
    }
    if (a->n == a->cap) {
        size_t cap = a->cap * 2 + 32;
        struct gw_added_token *tokens = realloc(a->tokens, cap * sizeof *tokens);
        if (tokens == NULL) return gw_nomem(err, cap * sizeof *tokens, "added tokens");
        a->tokens = tokens;
        a->cap = cap;
    }
    if (a->of_id[id] == GW_NO_ID) {
        a->of_id[id] = (uint32_t)a->n;
        a->tokens[a->n++] = (struct gw_added_token){.id = id};
    }
    *t = &a->tokens[a->of_id[id]];
    return GWEN_OK;
}

/* Two contents can come to the same id when the vocabulary has holes: as in the library the later
 * one then takes the place of the earlier. */
enum gwen_status gw_added_put(struct gw_added *a, const struct gw_added_spec *spec, uint32_t id,
                              const struct gw_normalizer *n, const char *where,
                              struct gwen_err *err) {
    uint32_t entry = 0;
    struct gw_added_token *t = NULL;
    if (spec->len == 0) return GWEN_OK;
    if (spec->len > GW_ADDED_MAX_LEN)
        return gw_fail(err, GWEN_ERR_UNSUPPORTED, "%s: an added token of %zu bytes; at most %d",
                       where, spec->len, GW_ADDED_MAX_LEN);
    GW_TRY(name_of(a, spec, id, &entry, err));
    a->special[entry] = a->special[entry] || spec->special;
    GW_TRY(token_of(a, a->names.entries[entry].value, &t, err));
    t->content = entry;
    t->single_word = spec->single_word;
    t->lstrip = spec->lstrip;
    t->rstrip = spec->rstrip;
    t->normalized = spec->normalized;
    return spec->normalized ? normalize_content(a, spec, n, t, err) : GWEN_OK;
}

enum gwen_status gw_added_finish(struct gw_added *a, struct gwen_err *err) {
    bool words = false;
    char shown[GW_SHOWN];
    for (size_t i = 0; i < a->n; i++) {
        const struct gw_added_token *t = &a->tokens[i];
        const struct gw_string_entry *name = &a->names.entries[t->content];
        struct gw_matcher **m = t->normalized ? &a->after : &a->raw;
        if (*m == NULL) GW_TRY(gw_matcher_new(m, err));
        size_t len = name->len;
        const char *s = a->names.bytes.data + name->start;
        if (t->normalized) s = gw_added_form(a, t, &len);
        if (len == 0) /* the library matches it between characters, at places hard to foresee */
            return gw_fail(err, GWEN_ERR_UNSUPPORTED,
                           "added token %s is nothing once it is normalized",
                           gw_shown(shown, a->names.bytes.data + name->start, name->len));
        GW_TRY(gw_matcher_add(*m, s, len, (uint32_t)i, err));
        words = words || t->single_word;
    }
    if (a->raw != NULL) GW_TRY(gw_matcher_finish(a->raw, err));
    if (a->after != NULL) GW_TRY(gw_matcher_finish(a->after, err));
    return words ? gw_regex_compile_rust_word(false, &a->word, err) : GWEN_OK;
}

/* --- finding -------------------------------------------------------------------------------- */

/* The text being searched, a piece of w->now. */
struct search {
    const struct gw_added *added;
    const char *text;
    size_t len;
    struct gw_piece piece;
};

static size_t char_before(const char *text, size_t end) {
    size_t i = end - 1;
    while (i > 0 && ((unsigned char)text[i] & 0xC0) == 0x80) i--;
    return i;
}

static enum gwen_status is_word(const struct search *s, struct gw_tok_work *w, size_t start,
                                size_t end, bool *yes) {
    return gw_regex_test(s->added->word, w->regex, s->text + start, end - start, yes, w->err);
}

/* Whether text[start..end) has no letter of a word on either side. */
static enum gwen_status stands_alone(const struct search *s, struct gw_tok_work *w, size_t start,
                                     size_t end, bool *alone) {
    bool before = false, after = false;
    if (start > 0) GW_TRY(is_word(s, w, char_before(s->text, start), start, &before));
    if (end < s->len) {
        uint32_t c;
        bool valid;
        size_t n = gw_utf8_next(s->text + end, s->len - end, &c, &valid);
        GW_TRY(is_word(s, w, end, end + n, &after));
    }
    *alone = !before && !after;
    return GWEN_OK;
}

/* Where white space that ends at `end` begins, not before `floor`. */
static size_t skip_space_left(const char *text, size_t floor, size_t end) {
    while (end > floor) {
        size_t i = char_before(text, end);
        uint32_t c;
        bool valid;
        gw_utf8_next(text + i, end - i, &c, &valid);
        if (!gw_uni_is_space(c)) break;
        end = i;
    }
    return end;
}

static size_t skip_space_right(const char *text, size_t len, size_t start) {
    while (start < len) {
        uint32_t c;
        bool valid;
        size_t n = gw_utf8_next(text + start, len - start, &c, &valid);
        if (!gw_uni_is_space(c)) break;
        start += n;
    }
    return start;
}

static enum gwen_status put_part(const struct search *s, struct gw_tok_work *w, size_t start,
                                 size_t end, int32_t id) {
    uint32_t origin = s->piece.origin > start ? s->piece.origin - (uint32_t)start : 0;
    struct gw_piece part = {.start = s->piece.start + (uint32_t)start,
                            .end = s->piece.start + (uint32_t)end,
                            .origin = (uint32_t)GW_MIN((size_t)origin, end - start),
                            .id = id};
    return gw_pieces_put(w, &w->next, part);
}

/* Cuts the piece at the tokens of one matcher, into w->next. */
static enum gwen_status cut(const struct search *s, const struct gw_matcher *m, bool no_special,
                            struct gw_tok_work *w) {
    size_t done = 0, from = 0, start, end;
    size_t spaces_end = 0; /* white space before this has been looked at by an rstrip */
    uint32_t which;
    while (m != NULL && gw_matcher_find(m, s->text, s->len, from, &start, &end, &which)) {
        const struct gw_added_token *t = &s->added->tokens[which];
        from = end;
        if (no_special && s->added->special[t->content]) continue;
        if (t->single_word) {
            bool alone;
            GW_TRY(stands_alone(s, w, start, end, &alone));
            if (!alone) continue;
        }
        if (t->lstrip) start = start > done ? skip_space_left(s->text, done, start) : done;
        if (t->rstrip) {
            if (end < spaces_end)
                end = spaces_end;
            else
                end = spaces_end = skip_space_right(s->text, s->len, end);
        }
        if (done < start) GW_TRY(put_part(s, w, done, start, -1));
        if (start < end) GW_TRY(put_part(s, w, start, end, (int32_t)t->id));
        done = end;
    }
    return done != s->len ? put_part(s, w, done, s->len, -1) : GWEN_OK;
}

/* Raw text first: one piece, cut at the tokens that are not normalized. */
enum gwen_status gw_added_cut(const struct gw_added *a, const char *text, size_t len,
                              bool no_special, struct gw_tok_work *w) {
    uint32_t c;
    bool valid;
    struct gw_piece whole = {.end = (uint32_t)len, .id = -1};
    if (len > 0) whole.origin = (uint32_t)gw_utf8_next(text, len, &c, &valid);
    struct search s = {a, text, len, whole};
    GW_TRY(cut(&s, a->raw, no_special, w));
    gw_pieces_swap(w, false);
    return GWEN_OK;
}

/* Normalizes what is still text, one piece after the other into the new buffer. */
static enum gwen_status normalize_pieces(const struct gw_normalizer *n, const char *text,
                                         struct gw_tok_work *w) {
    struct gw_str out = {0};
    enum gwen_status status = GWEN_OK;
    for (size_t i = 0; i < w->now.n && status == GWEN_OK; i++) {
        struct gw_piece p = w->now.v[i];
        if (p.id < 0) {
            status = gw_normalize(n, w, text + p.start, p.end - p.start, &p.origin, &out);
            p.start = (uint32_t)w->next.text.len;
            if (status == GWEN_OK) gw_str_put(&w->next.text, out.data, out.len);
            p.end = (uint32_t)w->next.text.len;
        } else {
            p.start = p.end = p.origin = 0;
        }
        if (status == GWEN_OK) status = gw_pieces_check(w, &w->next.text);
        if (status == GWEN_OK) status = gw_pieces_put(w, &w->next, p);
    }
    gw_str_free(&out);
    if (status == GWEN_OK) gw_pieces_swap(w, false);
    return status;
}

enum gwen_status gw_added_normalize(const struct gw_added *a, const struct gw_normalizer *n,
                                    const char *text, bool no_special, struct gw_tok_work *w) {
    GW_TRY(normalize_pieces(n, text, w));
    if (a->after == NULL) return GWEN_OK;
    for (size_t i = 0; i < w->now.n; i++) {
        struct gw_piece p = w->now.v[i];
        if (p.id >= 0) {
            GW_TRY(gw_pieces_put(w, &w->next, p));
            continue;
        }
        struct search s = {a, w->now.text.data + p.start, p.end - p.start, p};
        GW_TRY(cut(&s, a->after, no_special, w));
    }
    gw_pieces_swap(w, true);
    return GWEN_OK;
}

enum gwen_status gw_added_extract(const struct gw_added *a, const struct gw_normalizer *n,
                                  const char *text, size_t len, bool no_special,
                                  struct gw_tok_work *w) {
    GW_TRY(gw_added_cut(a, text, len, no_special, w));
    return gw_added_normalize(a, n, text, no_special, w);
}

/* normalizer.c - the normalizers of tokenizer.json, flattened into a row of steps. */
#include "text/tokenizer/impl.h"
#include "text/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>

static const char *const type_names[] = {"NFC",   "NFD",     "NFKC",    "NFKD",      "Lowercase",
                                         "Strip", "Prepend", "Replace", "ByteLevel", "Sequence"};
enum kind { NFC, NFD, NFKC, NFKD, LOWERCASE, STRIP, PREPEND, REPLACE, BYTE_LEVEL, SEQUENCE };

struct gw_normalizer {
    size_t n;
    struct normalizer_step {
        enum kind kind;
        bool left, right;       /* Strip */
        char *text;             /* of Prepend and Replace */
        size_t len;             /* of text */
        struct gw_regex *regex; /* Replace */
    } steps[GW_TOKEN_MAX_STEPS];
};

/* --- loading -------------------------------------------------------------------------------- */

static const struct gw_stage stage = {type_names, GW_ARRAY_LEN(type_names), "normalizers",
                                      "normalizers"};

/* gw_stage_take */
static enum gwen_status add(void *owner, size_t type, struct gw_json_node config,
                            struct gwen_err *err) {
    struct gw_normalizer *n = owner;
    struct normalizer_step *step = &n->steps[n->n++];
    step->kind = (enum kind)type;
    switch (step->kind) {
    case STRIP:
        GW_TRY(gw_json_get_bool(config, "strip_left", GW_JSON_REQUIRED, &step->left, err));
        return gw_json_get_bool(config, "strip_right", GW_JSON_REQUIRED, &step->right, err);
    case PREPEND:
        GW_TRY(gw_text_load(config, "prepend", &step->text, &step->len, err));
        if (step->len > 0) return GWEN_OK;
        return gw_json_fail(config, err, GWEN_ERR_UNSUPPORTED, "nothing to prepend");
    case REPLACE:
        GW_TRY(gw_text_load(config, "content", &step->text, &step->len, err));
        GW_TRY(gw_pattern_load(config, "pattern", &step->regex, err));
        /* What the library puts before the first character it later forgets to normalize. */
        if (!gw_regex_matches_empty(step->regex)) return GWEN_OK;
        return gw_json_fail(config, err, GWEN_ERR_UNSUPPORTED,
                            "a pattern that can match nothing is not supported");
    default: return GWEN_OK;
    }
}

enum gwen_status gw_normalizer_load(struct gw_json_node config, struct gw_normalizer **out,
                                    struct gwen_err *err) {
    struct gw_normalizer *n = calloc(1, sizeof *n);
    if (n == NULL) return gw_nomem(err, sizeof *n, "a normalizer");
    enum gwen_status status = gw_stage_load(&stage, config, add, n, &n->n, err);
    if (status == GWEN_OK)
        *out = n;
    else
        gw_normalizer_free(n);
    return status;
}

enum gwen_status gw_normalizer_nfc(struct gw_normalizer **out, struct gwen_err *err) {
    struct gw_normalizer *n = calloc(1, sizeof *n);
    if (n == NULL) return gw_nomem(err, sizeof *n, "a normalizer");
    n->n = 1;
    n->steps[0].kind = NFC;
    *out = n;
    return GWEN_OK;
}

void gw_normalizer_free(struct gw_normalizer *n) {
    if (n == NULL) return;
    for (size_t i = 0; i < n->n; i++) {
        free(n->steps[i].text);
        gw_regex_free(n->steps[i].regex);
    }
    free(n);
}

/* --- running -------------------------------------------------------------------------------- */

static size_t first_char(const struct gw_str *s) {
    uint32_t c;
    bool valid;
    return s->len > 0 ? gw_utf8_next(s->data, s->len, &c, &valid) : 0;
}

static void lowercase(const char *text, size_t len, uint32_t *origin, struct gw_str *out) {
    size_t new_origin = 0;
    for (size_t i = 0; i < len;) {
        uint32_t c;
        bool valid;
        size_t n = gw_utf8_next(text + i, len - i, &c, &valid);
        gw_uni_put_lower(out, c);
        if (i < *origin) new_origin = out->len;
        i += n;
    }
    *origin = (uint32_t)new_origin;
}

/* White space at one end of text[0..len): how many bytes. */
static size_t space_at_start(const char *text, size_t len) {
    size_t i = 0;
    while (i < len) {
        uint32_t c;
        bool valid;
        size_t n = gw_utf8_next(text + i, len - i, &c, &valid);
        if (!gw_uni_is_space(c)) break;
        i += n;
    }
    return i;
}

static size_t space_at_end(const char *text, size_t len) {
    size_t end = len;
    while (end > 0) {
        size_t i = end - 1;
        while (i > 0 && ((unsigned char)text[i] & 0xC0) == 0x80) i--;
        uint32_t c;
        bool valid;
        gw_utf8_next(text + i, end - i, &c, &valid);
        if (!gw_uni_is_space(c)) break;
        end = i;
    }
    return len - end;
}

static void strip(const struct normalizer_step *step, const char *text, size_t len,
                  uint32_t *origin, struct gw_str *out) {
    size_t left = step->left ? space_at_start(text, len) : 0;
    size_t right = step->right && left < len ? space_at_end(text + left, len - left) : 0;
    gw_str_put(out, text + left, len - left - right);
    *origin = (uint32_t)(*origin > left ? *origin - left : 0);
}

static enum gwen_status check_growth(struct gw_tok_work *w, const struct gw_str *text) {
    GW_TRY(gw_pieces_check(w, text));
    if (text->len <= w->most_bytes) return GWEN_OK;
    return gw_fail(w->err, GWEN_ERR_UNSUPPORTED,
                   "the tokenizer's normalizer makes a text more than %d times as long",
                   GW_TOKEN_MAX_GROWTH);
}

static enum gwen_status replace(const struct normalizer_step *step, struct gw_tok_work *w,
                                const char *text, size_t len, uint32_t *origin,
                                struct gw_str *out) {
    struct gw_regex_iter it;
    size_t last = 0, new_origin = 0;
    gw_regex_begin(&it, step->regex, text, len);
    for (;;) {
        bool found;
        GW_TRY(gw_regex_next(&it, w->regex, &found, w->err));
        size_t stop = found ? it.start : len;
        gw_str_put(out, text + last, stop - last);
        if (last < *origin) new_origin = out->len - (stop - GW_MIN(stop, (size_t)*origin));
        if (!found) break;
        gw_str_put(out, step->text, step->len);
        if (*origin > 0 && it.end <= *origin) new_origin = out->len;
        last = it.end;
        GW_TRY(check_growth(w, out));
    }
    *origin = (uint32_t)new_origin;
    return GWEN_OK;
}

static enum gwen_status unicode_form(enum gw_uni_form form, const char *text, size_t len,
                                     uint32_t *origin, struct gw_str *out, struct gwen_err *err) {
    if (!gw_uni_normalize(form, text, len, out)) return gw_nomem(err, len, "normalizing a text");
    if (*origin == 0) return GWEN_OK;
    struct gw_str head = {0};
    bool ok = gw_uni_normalize(form, text, GW_MIN(len, (size_t)*origin), &head);
    *origin = (uint32_t)GW_MIN(out->len, GW_MAX(head.len, first_char(out)));
    gw_str_free(&head);
    return ok ? GWEN_OK : gw_nomem(err, *origin, "normalizing a text");
}

/* text[0..len), not empty, into *out, which is empty. */
static enum gwen_status run_step(const struct normalizer_step *step, struct gw_tok_work *w,
                                 const char *text, size_t len, uint32_t *origin,
                                 struct gw_str *out) {
    switch (step->kind) {
    case NFC: return unicode_form(GW_NFC, text, len, origin, out, w->err);
    case NFD: return unicode_form(GW_NFD, text, len, origin, out, w->err);
    case NFKC: return unicode_form(GW_NFKC, text, len, origin, out, w->err);
    case NFKD: return unicode_form(GW_NFKD, text, len, origin, out, w->err);
    case LOWERCASE: lowercase(text, len, origin, out); return GWEN_OK;
    case STRIP: strip(step, text, len, origin, out); return GWEN_OK;
    case PREPEND:
        gw_str_put(out, step->text, step->len);
        gw_str_put(out, text, len);
        if (*origin > 0) *origin += (uint32_t)step->len;
        return GWEN_OK;
    case REPLACE: return replace(step, w, text, len, origin, out);
    case BYTE_LEVEL: {
        gw_put_byte_letters(out, text, *origin);
        size_t head = out->len;
        gw_put_byte_letters(out, text + *origin, len - *origin);
        *origin = (uint32_t)head;
        return GWEN_OK;
    }
    case SEQUENCE: break;
    }
    return gw_fail(w->err, GWEN_ERR_INTERNAL, "a normalizer of an unknown kind");
}

enum gwen_status gw_normalize(const struct gw_normalizer *n, struct gw_tok_work *w,
                              const char *text, size_t len, uint32_t *origin, struct gw_str *out) {
    gw_str_clear(out);
    if (n == NULL || n->n == 0) {
        gw_str_put(out, text, len);
        return gw_pieces_check(w, out);
    }
    w->most_bytes = GW_TOKEN_ALWAYS_BYTES + GW_TOKEN_MAX_GROWTH * len;
    for (size_t i = 0; i < n->n && len > 0; i++) {
        struct gw_str *to = i + 1 == n->n ? out : &w->scratch[i % 2];
        gw_str_clear(to);
        GW_TRY(run_step(&n->steps[i], w, text, len, origin, to));
        GW_TRY(check_growth(w, to));
        text = to->data;
        len = to->len;
    }
    return GWEN_OK;
}

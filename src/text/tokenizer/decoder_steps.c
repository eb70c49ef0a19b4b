/* decoder_steps.c - see decoder.h: how steps are read, what they do to a string, and so which bytes
 * a single token stands for. */
#include "text/tokenizer/decoder.h"

#include <stdlib.h>
#include <string.h>

/* In the order of enum gw_decoder_kind. */
static const char *const type_names[] = {"ByteLevel", "Replace",   "ByteFallback", "Fuse",
                                         "Strip",     "Metaspace", "BPEDecoder",   "Sequence"};

/* --- loading -------------------------------------------------------------------------------- */

static enum gwen_status load_metaspace(struct gw_decoder_step *step, struct gw_json_node config,
                                       struct gwen_err *err) {
    const char *scheme = "always";
    bool add_prefix_space = true;
    GW_TRY(gw_char_load(config, "replacement", &step->c, err));
    GW_TRY(gw_json_get_string(config, "prepend_scheme", GW_JSON_OPTIONAL, &scheme, err));
    GW_TRY(gw_json_get_bool(config, "add_prefix_space", GW_JSON_OPTIONAL, &add_prefix_space, err));
    step->prepend = strcmp(scheme, "never") != 0;
    char shown[GW_SHOWN];
    bool known = !step->prepend || strcmp(scheme, "always") == 0 || strcmp(scheme, "first") == 0;
    if (!known || (!add_prefix_space && step->prepend))
        return gw_json_fail(config, err, GWEN_ERR_FORMAT,
                            "prepend_scheme %s is unknown or contradicted",
                            gw_shown(shown, scheme, strlen(scheme)));
    return GWEN_OK;
}

static const struct gw_stage stage = {type_names, GW_ARRAY_LEN(type_names), "decoders", "decoders"};

/* gw_stage_take */
static enum gwen_status add(void *owner, size_t type, struct gw_json_node config,
                            struct gwen_err *err) {
    struct gw_decoder *d = owner;
    struct gw_decoder_step *step = &d->steps[d->n++];
    step->kind = (enum gw_decoder_kind)type;
    switch (step->kind) {
    case GW_DECODE_REPLACE:
        GW_TRY(gw_text_load(config, "content", &step->content, &step->len, err));
        return gw_pattern_load(config, "pattern", &step->regex, err);
    case GW_DECODE_STRIP:
        GW_TRY(gw_char_load(config, "content", &step->c, err));
        GW_TRY(gw_json_get_i64(config, "start", GW_JSON_REQUIRED, 0, INT32_MAX, &step->start, err));
        return gw_json_get_i64(config, "stop", GW_JSON_REQUIRED, 0, INT32_MAX, &step->stop, err);
    case GW_DECODE_METASPACE: return load_metaspace(step, config, err);
    case GW_DECODE_BPE:
        GW_TRY(gw_text_load(config, "suffix", &step->content, &step->len, err));
        if (step->len > 0) return GWEN_OK;
        return gw_json_fail(config, err, GWEN_ERR_UNSUPPORTED, "an empty suffix is not supported");
    default: return GWEN_OK;
    }
}

enum gwen_status gw_decoder_load(struct gw_json_node config, struct gw_decoder **out,
                                 struct gwen_err *err) {
    struct gw_decoder *d = calloc(1, sizeof *d);
    if (d == NULL) return gw_nomem(err, sizeof *d, "a decoder");
    enum gwen_status status = gw_stage_load(&stage, config, add, d, &d->n, err);
    if (status == GWEN_OK)
        *out = d;
    else
        gw_decoder_free(d);
    return status;
}

enum gwen_status gw_decoder_byte_level(struct gw_decoder **out, struct gwen_err *err) {
    struct gw_decoder *d = calloc(1, sizeof *d);
    if (d == NULL) return gw_nomem(err, sizeof *d, "a decoder");
    d->n = 1;
    d->steps[0].kind = GW_DECODE_BYTE_LEVEL;
    *out = d;
    return GWEN_OK;
}

void gw_decoder_free(struct gw_decoder *d) {
    if (d == NULL) return;
    for (size_t i = 0; i < d->n; i++) {
        gw_regex_free(d->steps[i].regex);
        free(d->steps[i].content);
    }
    free(d);
}

/* --- single strings ------------------------------------------------------------------------- */

void gw_decode_letters(struct gw_str *out, const char *s, size_t len) {
    size_t start = out->len;
    for (size_t i = 0; i < len;) {
        uint32_t c;
        bool valid;
        i += gw_utf8_next(s + i, len - i, &c, &valid);
        int byte = gw_letter_to_byte(c);
        if (byte < 0) {
            out->len = start;
            gw_str_put(out, s, len);
            return;
        }
        gw_str_putc(out, (char)byte);
    }
}

int gw_decode_byte(const char *s, size_t len) {
    if (len != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>') return -1;
    int value = 0;
    for (size_t i = 3; i < 5; i++) {
        char c = s[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0 && !(c == '+' && i == 3)) return -1;
        value = value * 16 + GW_MAX(digit, 0);
    }
    return value;
}

enum gwen_status gw_decode_replace(const struct gw_decoder_step *step, struct gw_regex_run *run,
                                   const char *s, size_t len, size_t given, struct gw_str *out,
                                   struct gwen_err *err) {
    struct gw_regex_iter it;
    size_t last = 0;
    if (len == 0) return GWEN_OK;
    gw_regex_begin(&it, step->regex, s, len);
    for (;;) {
        bool found;
        GW_TRY(gw_regex_next(&it, run, &found, err));
        gw_str_put(out, s + last, (found ? it.start : len) - last);
        if (!found) return out->failed ? gw_nomem(err, out->len, "decoding") : GWEN_OK;
        gw_str_put(out, step->content, step->len);
        last = it.end;
        if (out->len > GW_TOKEN_ALWAYS_BYTES && out->len / GW_TOKEN_MAX_GROWTH > given)
            return gw_fail(err, GWEN_ERR_UNSUPPORTED,
                           "the tokenizer's decoder makes a text more than %d times as long",
                           GW_TOKEN_MAX_GROWTH);
    }
}

void gw_decode_suffix(const struct gw_decoder_step *step, const char *s, size_t len, bool space,
                      struct gw_str *out) {
    if (len == 0) return;
    const char *end = s + len, *hit;
    while ((hit = memmem(s, (size_t)(end - s), step->content, step->len)) != NULL) {
        gw_str_put(out, s, (size_t)(hit - s));
        if (space) gw_str_putc(out, ' ');
        s = hit + step->len;
    }
    gw_str_put(out, s, (size_t)(end - s));
}

void gw_decode_strip(const struct gw_decoder_step *step, const char **s, size_t *len) {
    struct gw_str c = {0};
    gw_str_put_utf8(&c, step->c);
    size_t n = c.failed ? 0 : c.len;
    for (int64_t k = 0; n > 0 && k < step->start && *len >= n && memcmp(*s, c.data, n) == 0; k++) {
        *s += n;
        *len -= n;
    }
    for (int64_t k = 0;
         n > 0 && k < step->stop && *len >= n && memcmp(*s + *len - n, c.data, n) == 0; k++)
        *len -= n;
    gw_str_free(&c);
}

/* --- the bytes of one token ----------------------------------------------------------------- */

/* One step's effect on a token in the middle of a text; *done when the step joins tokens. */
static enum gwen_status token_step(const struct gw_decoder_step *step, struct gw_regex_run *run,
                                   const struct gw_str *in, size_t given, struct gw_str *out,
                                   bool *done, struct gwen_err *err) {
    const char *s = in->data != NULL ? in->data : "";
    int byte;
    switch (step->kind) {
    case GW_DECODE_BYTE_LEVEL:
        gw_decode_letters(out, s, in->len);
        *done = true;
        return GWEN_OK;
    case GW_DECODE_BYTE_FALLBACK:
        byte = gw_decode_byte(s, in->len);
        *done = byte >= 0;
        if (byte >= 0)
            gw_str_putc(out, (char)byte);
        else
            gw_str_put(out, s, in->len);
        return GWEN_OK;
    case GW_DECODE_REPLACE: return gw_decode_replace(step, run, s, in->len, given, out, err);
    case GW_DECODE_BPE: gw_decode_suffix(step, s, in->len, true, out); return GWEN_OK;
    case GW_DECODE_METASPACE:
        for (size_t i = 0; i < in->len;) {
            uint32_t c;
            bool valid;
            size_t n = gw_utf8_next(s + i, in->len - i, &c, &valid);
            gw_str_put(out, c == step->c ? " " : s + i, c == step->c ? 1 : n);
            i += n;
        }
        return GWEN_OK;
    default: /* Fuse joins; Strip in front of it would be at work on every token */
        gw_str_put(out, s, in->len);
        *done = step->kind == GW_DECODE_FUSE;
        return GWEN_OK;
    }
}

enum gwen_status gw_tokenizer_token_bytes(const struct gw_tokenizer *t, int32_t id,
                                          struct gw_str *out, struct gwen_err *err) {
    size_t len;
    const char *token = gw_token_for_decoding(t, id, &len);
    if (token == NULL) return GWEN_OK;
    struct gw_regex_run *run;
    GW_TRY(gw_regex_run_new(&run, err));
    struct gw_str now = {0}, next = {0};
    enum gwen_status status = GWEN_OK;
    bool done = t->decoder == NULL;
    gw_str_put(&now, token, len);
    for (size_t i = 0; !done && i < t->decoder->n && status == GWEN_OK; i++) {
        gw_str_clear(&next);
        status = token_step(&t->decoder->steps[i], run, &now, len, &next, &done, err);
        struct gw_str swap = now;
        now = next;
        next = swap;
    }
    gw_str_put(out, now.data, now.len);
    if (status == GWEN_OK && (out->failed || now.failed || next.failed))
        status = gw_nomem(err, len, "decoding");
    gw_str_free(&now);
    gw_str_free(&next);
    gw_regex_run_free(run);
    return status;
}

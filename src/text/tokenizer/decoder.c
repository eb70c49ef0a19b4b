/* decoder.c - the decoders of tokenizer.json as a row of transducers.
 *
 * A decoder of the library maps a list of strings, first the tokens, to another list.  Here each
 * step receives its strings bit by bit and passes on what later input can't change any more, so
 * that decoding a list and decoding id by id are the same code and can't disagree.  A string ends
 * with the call that has `end` set.
 *
 *     ByteLevel     all tokens become one string of bytes; what is not UTF-8 becomes U+FFFD
 *     ByteFallback  a row of tokens <0xNN> becomes one string, or each U+FFFD if it is not UTF-8
 *     Fuse          joins all strings
 *     Strip, Replace, Metaspace, BPEDecoder   work on each string
 *
 * Without a decoder the tokens are joined by spaces. */
#include "text/tokenizer/decoder.h"

#include <stdlib.h>
#include <string.h>

/* What a step remembers between calls. */
struct step_state {
    struct gw_str hold; /* the string so far */
    struct gw_str row;  /* bytes not passed on yet; BPEDecoder: the string before */
    uint64_t index;     /* of the string being received */
    int64_t stripped;   /* Strip: characters gone from its start; -1: past the start */
    bool inside;        /* Join: some of the string has been passed on */
};

struct gw_decode_stream {
    const struct gw_tokenizer *t;
    bool skip_special;
    struct gw_regex_run *regex;
    size_t n;
    struct gw_str *out;
    struct gwen_err *err;
    size_t given; /* bytes of tokens so far */
    struct step_state states[GW_TOKEN_MAX_STEPS];
};

static const struct gw_decoder join_decoder = {.n = 1, .steps = {{.kind = GW_DECODE_JOIN}}};

/* --- transducers ---------------------------------------------------------------------------- */

static enum gwen_status pass(struct gw_decode_stream *d, size_t i, const char *s, size_t len,
                             bool end);

static const struct gw_decoder *steps_of(const struct gw_decode_stream *d) {
    return d->t->decoder != NULL ? d->t->decoder : &join_decoder;
}

/* Passes on what of the bytes in the row is settled; at the end all of them. */
static enum gwen_status pass_utf8(struct gw_decode_stream *d, size_t i, bool all) {
    struct gw_str *row = &d->states[i].row, out = {0};
    size_t at = 0;
    while (at < row->len) {
        uint32_t c;
        bool valid;
        size_t left = row->len - at;
        size_t n = gw_utf8_next(row->data + at, left, &c, &valid);
        unsigned char lead = (unsigned char)row->data[at];
        bool may_go_on = !valid && n == left && lead >= 0xC2 && lead <= 0xF4;
        if (may_go_on && !all) break;
        if (valid)
            gw_str_put(&out, row->data + at, n);
        else
            gw_str_put_utf8(&out, 0xFFFD);
        at += n;
    }
    if (at > 0) {
        memmove(row->data, row->data + at, row->len - at);
        row->len -= at;
    }
    enum gwen_status status = out.failed ? gw_nomem(d->err, out.len, "decoding") : GWEN_OK;
    if (status == GWEN_OK && out.len > 0) status = pass(d, i + 1, out.data, out.len, false);
    gw_str_free(&out);
    return status;
}

/* The row of bytes that tokens <0xNN> have made ends. */
static enum gwen_status end_row(struct gw_decode_stream *d, size_t i) {
    struct gw_str *row = &d->states[i].row;
    if (row->len == 0) return GWEN_OK;
    size_t n = row->len;
    row->len = 0;
    if (gw_utf8_is_valid(row->data, n)) return pass(d, i + 1, row->data, n, true);
    for (size_t k = 0; k < n; k++) GW_TRY(pass(d, i + 1, "\xEF\xBF\xBD", 3, true));
    return GWEN_OK;
}

/* A whole string s[0..len) has come to a step that waits for whole strings. */
static enum gwen_status take_string(struct gw_decode_stream *d, size_t i, const char *s,
                                    size_t len) {
    const struct gw_decoder_step *step = &steps_of(d)->steps[i];
    struct step_state *state = &d->states[i];
    struct gw_str out = {0};
    enum gwen_status status = GWEN_OK;
    int byte;
    switch (step->kind) {
    case GW_DECODE_BYTE_LEVEL:
        gw_decode_letters(&state->row, s, len);
        if (!state->row.failed) status = pass_utf8(d, i, false);
        break;
    case GW_DECODE_BYTE_FALLBACK:
        byte = gw_decode_byte(s, len);
        if (byte >= 0) {
            gw_str_putc(&state->row, (char)byte);
            break;
        }
        status = end_row(d, i);
        if (status == GWEN_OK) status = pass(d, i + 1, s, len, true);
        break;
    case GW_DECODE_BPE: /* what was held is not the last string */
        if (state->index > 0) {
            gw_decode_suffix(step, state->row.data, state->row.len, true, &out);
            status = out.failed ? gw_nomem(d->err, out.len, "decoding")
                                : pass(d, i + 1, out.data, out.len, true);
        }
        state->row.len = 0;
        gw_str_put(&state->row, s, len);
        break;
    case GW_DECODE_REPLACE:
        status = gw_decode_replace(step, d->regex, s, len, d->given, &out, d->err);
        if (status == GWEN_OK) status = pass(d, i + 1, out.data, out.len, true);
        break;
    default: /* Strip */
        gw_decode_strip(step, &s, &len);
        status = pass(d, i + 1, s, len, true);
        break;
    }
    if (status == GWEN_OK && (out.failed || state->row.failed))
        status = gw_nomem(d->err, len, "decoding");
    gw_str_free(&out);
    return status;
}

/* Strip without an end to cut: goes along with the input. */
static enum gwen_status strip_start(struct gw_decode_stream *d, size_t i, const char *s, size_t len,
                                    bool end) {
    const struct gw_decoder_step *step = &steps_of(d)->steps[i];
    struct step_state *state = &d->states[i];
    while (len > 0 && state->stripped >= 0) {
        uint32_t c;
        bool valid;
        size_t n = gw_utf8_next(s, len, &c, &valid);
        if (c != step->c || state->stripped == step->start) {
            state->stripped = -1;
            break;
        }
        state->stripped++;
        s += n;
        len -= n;
    }
    if (end) state->stripped = 0;
    return pass(d, i + 1, s, len, end);
}

static enum gwen_status metaspace(struct gw_decode_stream *d, size_t i, const char *s, size_t len,
                                  bool end) {
    const struct gw_decoder_step *step = &steps_of(d)->steps[i];
    struct step_state *state = &d->states[i];
    struct gw_str out = {0};
    while (len > 0) {
        uint32_t c;
        bool valid;
        size_t n = gw_utf8_next(s, len, &c, &valid);
        if (c != step->c)
            gw_str_put(&out, s, n);
        else if (state->index > 0 || !step->prepend)
            gw_str_putc(&out, ' ');
        s += n;
        len -= n;
    }
    if (end) state->index++;
    enum gwen_status status =
        out.failed ? gw_nomem(d->err, out.len, "decoding") : pass(d, i + 1, out.data, out.len, end);
    gw_str_free(&out);
    return status;
}

static enum gwen_status join(struct gw_decode_stream *d, size_t i, const char *s, size_t len,
                             bool end) {
    struct step_state *state = &d->states[i];
    if (!state->inside && state->index > 0) GW_TRY(pass(d, i + 1, " ", 1, false));
    state->inside = !end;
    if (end) state->index++;
    return pass(d, i + 1, s, len, false);
}

/* Steps that look at a string as a whole collect it first. */
static enum gwen_status collect(struct gw_decode_stream *d, size_t i, const char *s, size_t len,
                                bool end) {
    struct step_state *state = &d->states[i];
    if (!end || state->hold.len > 0) {
        gw_str_put(&state->hold, s, len);
        if (state->hold.failed) return gw_nomem(d->err, state->hold.len, "decoding");
        if (!end) return GWEN_OK;
        s = state->hold.data;
        len = state->hold.len;
    }
    state->hold.len = 0;
    GW_TRY(take_string(d, i, s, len));
    state->index++;
    return GWEN_OK;
}

/* Gives step i a part of a string. */
static enum gwen_status pass(struct gw_decode_stream *d, size_t i, const char *s, size_t len,
                             bool end) {
    if (i == d->n) {
        gw_str_put(d->out, s, len);
        return d->out->failed ? gw_nomem(d->err, d->out->len, "decoding") : GWEN_OK;
    }
    const struct gw_decoder_step *step = &steps_of(d)->steps[i];
    switch (step->kind) {
    case GW_DECODE_FUSE: return len > 0 ? pass(d, i + 1, s, len, false) : GWEN_OK;
    case GW_DECODE_METASPACE: return metaspace(d, i, s, len, end);
    case GW_DECODE_JOIN: return join(d, i, s, len, end);
    case GW_DECODE_STRIP:
        if (step->stop == 0) return strip_start(d, i, s, len, end);
        return collect(d, i, s, len, end);
    default: return collect(d, i, s, len, end);
    }
}

/* No more input for step i. */
static enum gwen_status finish_step(struct gw_decode_stream *d, size_t i) {
    const struct gw_decoder_step *step = &steps_of(d)->steps[i];
    struct step_state *state = &d->states[i];
    struct gw_str out = {0};
    enum gwen_status status = GWEN_OK;
    switch (step->kind) {
    case GW_DECODE_BYTE_LEVEL:
        status = pass_utf8(d, i, true);
        if (status == GWEN_OK) status = pass(d, i + 1, NULL, 0, true);
        break;
    case GW_DECODE_FUSE: status = pass(d, i + 1, NULL, 0, true); break;
    case GW_DECODE_BYTE_FALLBACK: status = end_row(d, i); break;
    case GW_DECODE_BPE:
        if (state->index == 0) break;
        gw_decode_suffix(step, state->row.data, state->row.len, false, &out);
        status = out.failed ? gw_nomem(d->err, out.len, "decoding")
                            : pass(d, i + 1, out.data, out.len, true);
        break;
    default: break;
    }
    gw_str_free(&out);
    return status;
}

/* --- streams -------------------------------------------------------------------------------- */

enum gwen_status gw_decode_stream_new(const struct gw_tokenizer *t, bool skip_special,
                                      struct gw_decode_stream **out, struct gwen_err *err) {
    struct gw_decode_stream *d = calloc(1, sizeof *d);
    *out = d;
    if (d == NULL) return gw_nomem(err, sizeof *d, "decoding");
    d->t = t;
    d->skip_special = skip_special;
    d->n = steps_of(d)->n;
    enum gwen_status status = gw_regex_run_new(&d->regex, err);
    if (status == GWEN_OK) return GWEN_OK;
    gw_decode_stream_free(d);
    *out = NULL;
    return status;
}

void gw_decode_stream_free(struct gw_decode_stream *d) {
    if (d == NULL) return;
    for (size_t i = 0; i < GW_TOKEN_MAX_STEPS; i++) {
        gw_str_free(&d->states[i].hold);
        gw_str_free(&d->states[i].row);
    }
    gw_regex_run_free(d->regex);
    free(d);
}

enum gwen_status gw_decode_stream_push(struct gw_decode_stream *d, int32_t id, struct gw_str *out,
                                       struct gwen_err *err) {
    size_t len;
    const char *token = gw_token_for_decoding(d->t, id, &len);
    if (token == NULL || (d->skip_special && gw_tokenizer_is_special(d->t, id))) return GWEN_OK;
    d->out = out;
    d->err = err;
    d->given += len;
    return pass(d, 0, token, len, true);
}

enum gwen_status gw_decode_stream_finish(struct gw_decode_stream *d, struct gw_str *out,
                                         struct gwen_err *err) {
    d->out = out;
    d->err = err;
    enum gwen_status status = GWEN_OK;
    for (size_t i = 0; i < d->n && status == GWEN_OK; i++) status = finish_step(d, i);
    for (size_t i = 0; i < d->n; i++) { /* as new, but for the memory */
        struct step_state *state = &d->states[i];
        struct gw_str hold = state->hold, row = state->row;
        gw_str_clear(&hold);
        gw_str_clear(&row);
        *state = (struct step_state){.hold = hold, .row = row};
    }
    return status;
}

/* Moves what the steps hold into saved[0..n), and copies of it back; false when there is no memory
 * for them. */
static bool save_states(struct gw_decode_stream *d, struct step_state *saved) {
    bool ok = true;
    for (size_t i = 0; i < d->n; i++) {
        struct step_state *state = &d->states[i];
        saved[i] = *state;
        state->hold = state->row = (struct gw_str){0};
        gw_str_put(&state->hold, saved[i].hold.data, saved[i].hold.len);
        gw_str_put(&state->row, saved[i].row.data, saved[i].row.len);
        ok = ok && !state->hold.failed && !state->row.failed;
    }
    return ok;
}

static void restore_states(struct gw_decode_stream *d, const struct step_state *saved) {
    for (size_t i = 0; i < d->n; i++) {
        gw_str_free(&d->states[i].hold);
        gw_str_free(&d->states[i].row);
        d->states[i] = saved[i];
    }
}

enum gwen_status gw_decode_stream_peek(struct gw_decode_stream *d, struct gw_str *out,
                                       struct gwen_err *err) {
    struct step_state saved[GW_TOKEN_MAX_STEPS];
    size_t held = 0;
    for (size_t i = 0; i < d->n; i++) held += d->states[i].hold.len + d->states[i].row.len;
    if (held == 0) return GWEN_OK; /* as nearly always: all that a finish appends is held */
    enum gwen_status status = save_states(d, saved) ? gw_decode_stream_finish(d, out, err)
                                                    : gw_nomem(err, held, "decoding");
    restore_states(d, saved);
    return status;
}

enum gwen_status gw_tokenizer_decode(const struct gw_tokenizer *t, const int32_t *ids, size_t n,
                                     bool skip_special, struct gw_str *out, struct gwen_err *err) {
    struct gw_decode_stream *d;
    GW_TRY(gw_decode_stream_new(t, skip_special, &d, err));
    enum gwen_status status = GWEN_OK;
    for (size_t i = 0; i < n && status == GWEN_OK; i++)
        status = gw_decode_stream_push(d, ids[i], out, err);
    if (status == GWEN_OK) status = gw_decode_stream_finish(d, out, err);
    gw_decode_stream_free(d);
    return status;
}

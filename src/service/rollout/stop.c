/* stop.c - see stop.h. */
#include "service/rollout/stop.h"

#include <stdlib.h>
#include <string.h>

struct stop_string {
    char *text;
    uint32_t len;
    /* fail[k]: length of the longest proper prefix of text[0..k) that is also its suffix */
    uint32_t *fail;
};

struct gw_stop_set {
    size_t n;
    struct stop_string strings[GW_STOP_MAX_STRINGS];
};

struct gw_stop_text {
    const struct gw_stop_set *set;
    struct gw_decode_stream *stream;
    struct gw_str pending; /* decoded for good, not yet taken */
    struct gw_str open;    /* what the stream would give if the text ended here */
    size_t decoded;        /* bytes decoded for good */
    size_t cut;            /* where the stop string begins; SIZE_MAX: none so far */
    uint32_t matched[];    /* [set->n] bytes of each string that the decoded text ends with */
};

/* --- the strings ---------------------------------------------------------------------------- */

static enum gwen_status compile(struct stop_string *s, const char *text, struct gwen_err *err) {
    size_t len = strlen(text);
    if (len == 0) return gw_fail(err, GWEN_ERR_ARGUMENT, "a stop string must not be empty");
    if (len > GW_STOP_MAX_BYTES)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "a stop string of %zu bytes is too long (at most %d)", len,
                       GW_STOP_MAX_BYTES);
    if (!gw_utf8_is_valid(text, len))
        return gw_fail(err, GWEN_ERR_ARGUMENT, "a stop string is not valid UTF-8");
    s->text = strdup(text);
    s->len = (uint32_t)len;
    s->fail = calloc(len + 1, sizeof *s->fail);
    if (s->text == NULL || s->fail == NULL) return gw_nomem(err, len, "a stop string");
    uint32_t k = 0;
    for (uint32_t i = 1; i < s->len; i++) {
        while (k > 0 && text[i] != text[k]) k = s->fail[k];
        if (text[i] == text[k]) k++;
        s->fail[i + 1] = k;
    }
    return GWEN_OK;
}

enum gwen_status gw_stop_set_new(const char *const *strings, size_t n, struct gw_stop_set **out,
                                 struct gwen_err *err) {
    *out = NULL;
    if (n > GW_STOP_MAX_STRINGS)
        return gw_fail(err, GWEN_ERR_ARGUMENT, "%zu stop strings are too many (at most %d)", n,
                       GW_STOP_MAX_STRINGS);
    struct gw_stop_set *set = calloc(1, sizeof *set);
    if (set == NULL) return gw_nomem(err, sizeof *set, "stop strings");
    set->n = n;
    for (size_t i = 0; i < n; i++) {
        enum gwen_status status = compile(&set->strings[i], strings[i], err);
        if (status != GWEN_OK) {
            gw_stop_set_free(set);
            return status;
        }
    }
    *out = set;
    return GWEN_OK;
}

void gw_stop_set_free(struct gw_stop_set *set) {
    if (set == NULL) return;
    for (size_t i = 0; i < set->n; i++) {
        free(set->strings[i].text);
        free(set->strings[i].fail);
    }
    free(set);
}

/* Moves automaton *k over text[0..len).  Returns the number of bytes up to the end of the first
 * occurrence (0: none). */
static size_t advance(const struct stop_string *s, uint32_t *k, const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        while (*k > 0 && text[i] != s->text[*k]) *k = s->fail[*k];
        if (text[i] == s->text[*k]) ++*k;
        if (*k == s->len) return i + 1;
    }
    return 0;
}

/* --- the text ------------------------------------------------------------------------------- */

enum gwen_status gw_stop_text_new(const struct gw_tokenizer *tokenizer,
                                  const struct gw_stop_set *set, struct gw_stop_text **out,
                                  struct gwen_err *err) {
    *out = NULL;
    struct gw_stop_text *t = calloc(1, sizeof *t + set->n * sizeof t->matched[0]);
    if (t == NULL) return gw_nomem(err, sizeof *t, "a sample's text");
    t->set = set;
    t->cut = SIZE_MAX;
    enum gwen_status status = gw_decode_stream_new(tokenizer, true, &t->stream, err);
    if (status != GWEN_OK) {
        free(t);
        return status;
    }
    *out = t;
    return GWEN_OK;
}

void gw_stop_text_free(struct gw_stop_text *t) {
    if (t == NULL) return;
    gw_decode_stream_free(t->stream);
    gw_str_free(&t->pending);
    gw_str_free(&t->open);
    free(t);
}

/* Looks for each string in `fresh`, decoded for good after t->decoded bytes, and then in the open
 * end behind it. */
static void search(struct gw_stop_text *t, const char *fresh, size_t len) {
    for (size_t i = 0; i < t->set->n; i++) {
        const struct stop_string *s = &t->set->strings[i];
        size_t end = advance(s, &t->matched[i], fresh, len);
        if (end == 0 && t->open.len > 0) {
            uint32_t k = t->matched[i];
            end = advance(s, &k, t->open.data, t->open.len);
            if (end > 0) end += len;
        }
        if (end > 0) t->cut = GW_MIN(t->cut, t->decoded + end - s->len);
    }
}

enum gwen_status gw_stop_text_push(struct gw_stop_text *t, int32_t id, bool *stop,
                                   struct gwen_err *err) {
    size_t before = t->pending.len;
    GW_TRY(gw_decode_stream_push(t->stream, id, &t->pending, err));
    gw_str_clear(&t->open);
    if (t->set->n > 0) GW_TRY(gw_decode_stream_peek(t->stream, &t->open, err));
    if (t->pending.failed || t->open.failed) return gw_nomem(err, before, "a sample's text");
    size_t fresh = t->pending.len - before;
    if (t->cut == SIZE_MAX && fresh + t->open.len > 0)
        search(t, fresh > 0 ? t->pending.data + before : "", fresh);
    t->decoded += fresh;
    *stop = t->cut != SIZE_MAX;
    return GWEN_OK;
}

size_t gw_stop_text_cut(const struct gw_stop_text *t) { return t->cut; }

void gw_stop_text_take(struct gw_stop_text *t, struct gw_str *out) {
    size_t keep = 0, taken = t->decoded - t->pending.len, most = t->pending.len;
    for (size_t i = 0; i < t->set->n; i++) keep = GW_MAX(keep, (size_t)t->matched[i]);
    if (t->cut != SIZE_MAX)
        most = t->cut > taken ? t->cut - taken : 0;
    else
        most = keep < most ? most - keep : 0;
    most = GW_MIN(most, t->pending.len);
    if (most == 0) return;
    gw_str_put(out, t->pending.data, most);
    memmove(t->pending.data, t->pending.data + most, t->pending.len - most);
    t->pending.len -= most;
}

enum gwen_status gw_stop_text_finish(struct gw_stop_text *t, struct gw_str *out,
                                     struct gwen_err *err) {
    size_t taken = t->decoded - t->pending.len;
    enum gwen_status status = gw_decode_stream_finish(t->stream, &t->pending, err);
    if (status == GWEN_OK && t->pending.failed)
        status = gw_nomem(err, t->decoded, "a sample's text");
    if (status == GWEN_OK && out != NULL) {
        size_t most = t->cut == SIZE_MAX ? t->pending.len : t->cut > taken ? t->cut - taken : 0;
        most = GW_MIN(most, t->pending.len);
        if (most > 0) gw_str_put(out, t->pending.data, most);
    }
    gw_str_clear(&t->pending);
    t->decoded = 0;
    t->cut = SIZE_MAX;
    memset(t->matched, 0, t->set->n * sizeof t->matched[0]);
    return status;
}

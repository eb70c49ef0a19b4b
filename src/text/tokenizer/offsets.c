/* offsets.c - where in a text its ids come from.
 *
 * The stages keep no offsets.  But the added tokens of the raw text are places that both sides have
 * in common, and between two of them the bytes that the tokens stand for are the text's own unless
 * the normalizer rewrites it; so each piece is encoded by itself and its tokens are laid along the
 * text, from both ends.  What agrees byte by byte is known, and what lies between is not. */
#include "text/tokenizer/impl.h"

#include <stdlib.h>
#include <string.h>

/* A piece of the raw text and its ids. */
struct stretch {
    const struct gw_tokenizer *t;
    const char *text;
    size_t start, end; /* bytes of the text */
    const int32_t *ids;
    size_t n;
    size_t *starts; /* [n] */
    struct gw_str bytes;
};

/* The bytes of a token as the text has them, in s->bytes. */
static enum gwen_status bytes_of(struct stretch *s, size_t i, struct gwen_err *err) {
    gw_str_clear(&s->bytes);
    GW_TRY(gw_tokenizer_token_bytes(s->t, s->ids[i], &s->bytes, err));
    return s->bytes.failed ? gw_nomem(err, s->bytes.len, "a token") : GWEN_OK;
}

static bool is_there(const struct stretch *s, size_t at, const char *bytes, size_t len) {
    return len <= s->end - at && (len == 0 || memcmp(s->text + at, bytes, len) == 0);
}

/* Lays tokens along the text from its start; *n of them fit, up to byte *at.  A space that the
 * tokenizer puts in front of its text is nothing there. */
static enum gwen_status go_forward(struct stretch *s, size_t *n, size_t *at, struct gwen_err *err) {
    *at = s->start;
    for (*n = 0; *n < s->n; ++*n) {
        GW_TRY(bytes_of(s, *n, err));
        const char *bytes = s->bytes.data != NULL ? s->bytes.data : "";
        size_t len = s->bytes.len;
        if (*n == 0 && len > 0 && bytes[0] == ' ' && !is_there(s, *at, bytes, len)) {
            bytes++;
            len--;
        }
        if (!is_there(s, *at, bytes, len)) return GWEN_OK;
        s->starts[*n] = *at;
        *at += len;
    }
    return GWEN_OK;
}

/* The same from the end for ids[from..n): those that fit get their start.  *first is the first of
 * them. */
static enum gwen_status go_back(struct stretch *s, size_t from, size_t floor, size_t *first,
                                struct gwen_err *err) {
    size_t at = s->end;
    for (*first = s->n; *first > from; --*first) {
        GW_TRY(bytes_of(s, *first - 1, err));
        const size_t len = s->bytes.len;
        if (len > at - floor || (len > 0 && memcmp(s->text + at - len, s->bytes.data, len) != 0))
            return GWEN_OK;
        at -= len;
        s->starts[*first - 1] = at;
    }
    return GWEN_OK;
}

static enum gwen_status lay(struct stretch *s, struct gwen_err *err) {
    size_t n, at, first;
    GW_TRY(go_forward(s, &n, &at, err));
    if (n == s->n && at == s->end) return GWEN_OK;
    GW_TRY(go_back(s, n, at, &first, err));
    for (size_t i = n; i < first; i++) s->starts[i] = i == n ? at : GW_NO_OFFSET;
    return GWEN_OK;
}

/* The ids of one piece, which it has whatever stands around it. */
static enum gwen_status encode_piece(const struct gw_tokenizer *t, const char *text,
                                     struct gw_piece piece, struct gw_ids *out,
                                     struct gwen_err *err) {
    struct gw_tok_work w = {.err = err};
    enum gwen_status status = gw_regex_run_new(&w.regex, err);
    if (status == GWEN_OK) status = gw_pieces_put(&w, &w.now, piece);
    if (status == GWEN_OK) status = gw_added_normalize(&t->added, t->normalizer, text, false, &w);
    if (status == GWEN_OK) status = gw_pretokenize(t->pretokenizer, &w);
    if (status == GWEN_OK) status = gw_bpe_encode(&t->model, &w, out);
    gw_tok_work_free(&w);
    return status;
}

/* The ids of `piece` stand at ids[*at], and *at moves behind them. */
static enum gwen_status take_piece(const struct gw_tokenizer *t, const char *text,
                                   struct gw_piece piece, const int32_t *ids, size_t n, size_t *at,
                                   size_t *starts, struct gwen_err *err) {
    struct gw_ids own = {0};
    struct stretch s = {
        .t = t, .text = text, .start = piece.start, .end = piece.end, .starts = starts + *at};
    enum gwen_status status = encode_piece(t, text, piece, &own, err);
    s.ids = own.data;
    s.n = own.len;
    if (status == GWEN_OK &&
        (own.len > n - *at || (own.len > 0 && memcmp(own.data, ids + *at, own.len * 4) != 0)))
        status =
            gw_fail(err, GWEN_ERR_INTERNAL, "token offsets: the ids are not those of the text");
    if (status == GWEN_OK && piece.id >= 0)
        s.starts[0] = piece.start;
    else if (status == GWEN_OK)
        status = lay(&s, err);
    *at += own.len;
    gw_str_free(&s.bytes);
    gw_ids_free(&own);
    return status;
}

enum gwen_status gw_tokenizer_offsets(const struct gw_tokenizer *t, const char *text, size_t len,
                                      const int32_t *ids, size_t n, size_t *starts,
                                      struct gwen_err *err) {
    struct gw_tok_work w = {.err = err};
    size_t at = 0;
    enum gwen_status status = gw_regex_run_new(&w.regex, err);
    if (status == GWEN_OK) status = gw_added_cut(&t->added, text, len, false, &w);
    for (size_t i = 0; i < w.now.n && status == GWEN_OK; i++)
        status = take_piece(t, text, w.now.v[i], ids, n, &at, starts, err);
    if (status == GWEN_OK && at != n)
        status =
            gw_fail(err, GWEN_ERR_INTERNAL, "token offsets: the ids are not those of the text");
    starts[n] = len;
    gw_tok_work_free(&w);
    return status;
}

/* --- two texts ------------------------------------------------------------------------------ */

/* Which of the ids of `text` is the first that has bytes from `cut` on. */
static enum gwen_status find_cut(const struct gw_tokenizer *t, const struct gw_str *text,
                                 size_t cut, const int32_t *ids, size_t n, size_t *split,
                                 bool *straddles, struct gwen_err *err) {
    size_t *starts = calloc(n + 1, sizeof *starts), i = n;
    if (starts == NULL) return gw_nomem(err, n * sizeof *starts, "ids");
    enum gwen_status status = gw_tokenizer_offsets(t, text->data, text->len, ids, n, starts, err);
    while (i > 0 && (starts[i] == GW_NO_OFFSET || starts[i] > cut)) i--;
    while (i > 0 && starts[i - 1] == starts[i]) i--; /* a mark in front goes with what it marks */
    *split = i;
    *straddles = starts[i] < cut;
    if (status == GWEN_OK && *straddles && starts[i + 1] == GW_NO_OFFSET)
        status =
            gw_fail(err, GWEN_ERR_FORMAT,
                    "the tokenizer rewrites the text where prompt and completion meet, so that "
                    "their tokens cannot be told apart");
    free(starts);
    return status;
}

/* The ids of the joint text begin with those of the first one, as a rule. */
static enum gwen_status split_ids(const struct gw_tokenizer *t, const struct gw_text_pair *pair,
                                  const struct gw_str *text, const int32_t *ids, size_t n,
                                  size_t *split, bool *straddles, struct gwen_err *err) {
    struct gw_ids first = {0};
    enum gwen_status status = gw_tokenizer_encode(t, pair->first, pair->n_first, 0, &first, err);
    *split = first.len;
    *straddles = false;
    if (status == GWEN_OK &&
        (first.len > n || (first.len > 0 && memcmp(first.data, ids, first.len * sizeof *ids) != 0)))
        status = find_cut(t, text, pair->n_first, ids, n, split, straddles, err);
    gw_ids_free(&first);
    return status;
}

enum gwen_status gw_tokenizer_encode_pair(const struct gw_tokenizer *t,
                                          const struct gw_text_pair *pair, struct gw_ids *out,
                                          size_t *split, bool *straddles, struct gwen_err *err) {
    struct gw_str text = {0};
    for (size_t i = 0; i < t->post.n && t->post.items[i] >= 0; i++)
        if (!gw_ids_put(out, &t->post.items[i], 1)) return gw_nomem(err, out->len * 4, "ids");
    const size_t from = out->len;
    gw_str_put(&text, pair->first, pair->n_first);
    gw_str_put(&text, pair->second, pair->n_second);
    gw_str_puts(&text, "");
    enum gwen_status status = text.failed ? gw_nomem(err, pair->n_second, "a text") : GWEN_OK;
    if (status == GWEN_OK) status = gw_tokenizer_encode(t, text.data, text.len, 0, out, err);
    if (status == GWEN_OK)
        status =
            split_ids(t, pair, &text, out->data + from, out->len - from, split, straddles, err);
    *split += from;
    gw_str_free(&text);
    return status;
}

/* data.c - see data.h. */
#include "service/train/sft/data.h"

#include "base/rng.h"
#include "service/rollout/rows.h"
#include "service/train/sft/turns.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* One row while it is made. */
struct draft {
    uint64_t line;
    struct gw_ids ids;
    uint8_t *mask;           /* [ids.len], NULL: all count */
    bool straddles;          /* a token has bytes of prompt and completion */
    size_t n_turns, n_stops; /* of a conversation: turns that count, those that end a sequence */
};

/* --- adding a row --------------------------------------------------------------------------- */

static bool reserve_row(struct gw_sft_data *d) {
    if (d->n < d->cap) return true;
    size_t cap = GW_MAX(d->cap * 2, (size_t)64), bytes;
    struct gw_sft_row *rows =
        gw_mul_size(cap, sizeof *rows, &bytes) ? realloc(d->rows, bytes) : NULL;
    if (rows == NULL) return false;
    d->rows = rows;
    d->cap = cap;
    return true;
}

static enum gwen_status add_row(struct gw_sft_data *d, const struct gw_sft_opts *o,
                                const struct draft *draft, struct gwen_err *err) {
    struct gw_sft_row row = {.n = GW_MIN(draft->ids.len, o->max_length)};
    GW_TRY(gw_prompt_check_ids(draft->ids.data, draft->ids.len, o->prompt->vocab_size, err));
    for (size_t i = 1; i < row.n; i++) row.n_loss += draft->mask == NULL || draft->mask[i] != 0;
    if (row.n_loss == 0) {
        d->n_left_out++;
        return GWEN_OK;
    }
    d->n_cut += row.n < draft->ids.len;
    int32_t *ids = gw_arena_alloc(&d->arena, row.n * sizeof *ids, sizeof *ids);
    uint8_t *mask = gw_arena_alloc(&d->arena, row.n, 1);
    if (ids == NULL || mask == NULL || !reserve_row(d))
        return gw_nomem(err, row.n * 5, "training rows");
    memcpy(ids, draft->ids.data, row.n * sizeof *ids);
    for (size_t i = 0; i < row.n; i++) mask[i] = i > 0 && (!draft->mask || draft->mask[i] != 0);
    row.ids = ids;
    row.line = draft->line;
    row.mask = mask;
    d->n_straddling += draft->straddles;
    d->n_turns += draft->n_turns;
    d->n_stops += draft->n_stops;
    d->n_tokens += row.n;
    d->n_loss += row.n_loss;
    d->longest = GW_MAX(d->longest, row.n);
    d->rows[d->n++] = row;
    return GWEN_OK;
}

/* --- texts ---------------------------------------------------------------------------------- */

static bool is_eos(const struct gw_sft_opts *o, int32_t id) {
    return (id >= 0 && id == o->own_eos) || gw_eos_has(o->eos, id);
}

static enum gwen_status need_tokenizer(const struct gw_sft_opts *o, struct gwen_err *err) {
    if (o->prompt->tokenizer != NULL) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_ARGUMENT,
                   "the model's directory has no tokenizer: rows must be given as \"ids\"");
}

static enum gwen_status encode(const struct gw_sft_opts *o, const char *text, size_t len,
                               unsigned flags, struct gw_ids *ids, struct gwen_err *err) {
    GW_TRY(need_tokenizer(o, err));
    return gw_tokenizer_encode(o->prompt->tokenizer, text, len, flags, ids, err);
}

/* Unless what begins at `from` ends with one. */
static enum gwen_status add_eos(const struct gw_sft_opts *o, struct gw_ids *ids, size_t from,
                                struct gwen_err *err) {
    const int32_t *eos = o->own_eos >= 0 ? &o->own_eos : o->eos.n > 0 ? o->eos.ids : NULL;
    if (eos == NULL || (ids->len > from && is_eos(o, ids->data[ids->len - 1]))) return GWEN_OK;
    return gw_ids_put(ids, eos, 1) ? GWEN_OK : gw_nomem(err, ids->len, "training rows");
}

/* A mask of zeros. */
static enum gwen_status make_mask(struct draft *d, struct gwen_err *err) {
    d->mask = calloc(d->ids.len + 1, 1);
    return d->mask != NULL ? GWEN_OK : gw_nomem(err, d->ids.len, "training rows");
}

static enum gwen_status from_text(const struct gw_sft_opts *o, const struct gw_row *row,
                                  struct draft *d, struct gwen_err *err) {
    const char *text;
    size_t len;
    GW_TRY(gw_row_string(row, "text", GW_JSON_REQUIRED, &text, &len, err));
    GW_TRY(encode(o, text, len, GW_ENCODE_ADD_SPECIAL, &d->ids, err));
    return add_eos(o, &d->ids, 0, err);
}

static enum gwen_status from_two_texts(const struct gw_sft_opts *o, const struct gw_row *row,
                                       struct draft *d, struct gwen_err *err) {
    const char *prompt, *completion;
    size_t prompt_len, completion_len;
    GW_TRY(gw_row_string(row, "prompt", GW_JSON_REQUIRED, &prompt, &prompt_len, err));
    GW_TRY(gw_row_string(row, "completion", GW_JSON_REQUIRED, &completion, &completion_len, err));
    const struct gw_text_pair pair = {prompt, completion, prompt_len, completion_len};
    size_t n_prompt;
    GW_TRY(need_tokenizer(o, err));
    GW_TRY(gw_tokenizer_encode_pair(o->prompt->tokenizer, &pair, &d->ids, &n_prompt, &d->straddles,
                                    err));
    GW_TRY(add_eos(o, &d->ids, n_prompt, err));
    GW_TRY(make_mask(d, err));
    memset(d->mask + n_prompt, 1, d->ids.len - n_prompt);
    return GWEN_OK;
}

/* --- conversations -------------------------------------------------------------------------- */

/* A text as tokens, and where each begins; see gw_tokenizer_offsets(). */
struct tokens {
    const struct gw_sft_opts *opts;
    const int32_t *ids;
    size_t n;
    const size_t *starts; /* [n + 1] */
};

/* The token that holds the byte: the first one that ends behind it; n: none.  A mark of its own
 * that the tokenizer writes before the byte goes with it.  False: its place is not known. */
static bool token_at(const struct tokens *t, size_t byte, size_t *at) {
    size_t i = 0, high = t->n;
    while (i < high) { /* places that are not known are those of the next that is */
        const size_t middle = i + (high - i) / 2;
        size_t next = middle + 1;
        while (t->starts[next] == GW_NO_OFFSET) next++;
        if (t->starts[next] > byte)
            high = middle;
        else
            i = next;
    }
    while (i > 0 && t->starts[i] == byte && t->starts[i - 1] == byte) i--;
    *at = i;
    if (i == t->n || t->starts[i] == byte) return true;
    return t->starts[i] != GW_NO_OFFSET && t->starts[i + 1] != GW_NO_OFFSET;
}

static enum gwen_status not_known(const struct gw_turn *turn, struct gwen_err *err) {
    return gw_fail(err, GWEN_ERR_FORMAT,
                   "messages[%zu]: the tokenizer rewrites the text where this answer begins or "
                   "ends, so that its tokens cannot be told",
                   turn->message);
}

/* Of the tokens [from, to) the first that is special, n: none. */
static size_t first_special(const struct tokens *t, size_t from, size_t to) {
    for (size_t i = from; i < to; i++)
        if (is_eos(t->opts, t->ids[i]) ||
            gw_tokenizer_is_special(t->opts->prompt->tokenizer, t->ids[i]))
            return i;
    return t->n;
}

/* Of the tokens [from, to) that follow a turn's words the one that closes it, n: none.  Calls of
 * tools have special tokens of their own, so behind them it is the last end of sequence, or last
 * special token.  Where there is none, a marker of the next turn that ends a sequence does it. */
static size_t closing_token(const struct tokens *t, size_t from, size_t to, bool calls) {
    size_t special = calls ? t->n : first_special(t, from, to);
    for (size_t i = to; i > from && calls; i--)
        if (is_eos(t->opts, t->ids[i - 1])) return i - 1;
    if (special == t->n && to >= from && to < t->n && is_eos(t->opts, t->ids[to])) return to;
    for (size_t i = to; i > from && special == t->n; i--) special = first_special(t, i - 1, i);
    return special;
}

/* The tokens [*from, *to) of a turn. */
static enum gwen_status turn_tokens(const struct tokens *t, const struct gw_turn *turn,
                                    size_t *from, size_t *to, struct gwen_err *err) {
    size_t said, end, words;
    if (!token_at(t, turn->start, from) || !token_at(t, turn->said, &said) ||
        !token_at(t, turn->end, &end))
        return not_known(turn, err);
    *to = said + (said < t->n && t->starts[said] < turn->said); /* a token may straddle the end */
    if (turn->tagged) return GWEN_OK;
    if (turn->unsure && turn->words != SIZE_MAX && turn->words > turn->start) {
        if (!token_at(t, turn->words, &words)) return not_known(turn, err);
        if (first_special(t, *from, words) < words) *from = words;
    }
    /* A token of the header that has taken the white space behind it. */
    if (!turn->partial && *from < t->n && t->starts[*from] < turn->start &&
        first_special(t, *from, *from + 1) < t->n)
        ++*from;
    if (turn->partial && *from < t->n && t->starts[*from] <= turn->floor)
        return gw_fail(err, GWEN_ERR_FORMAT,
                       "messages[%zu]: where in the text this answer begins cannot be told",
                       turn->message);
    const size_t closing = closing_token(t, GW_MIN(said, end), end, turn->calls);
    if (closing < t->n)
        *to = closing + 1;
    else
        *to = turn->calls ? end : GW_MIN(*to, end); /* nothing of what comes after the turn */
    return GWEN_OK;
}

static enum gwen_status mask_turns(const struct gw_sft_opts *o, const struct gw_turns *turns,
                                   struct draft *d, struct gwen_err *err) {
    size_t *starts = malloc((d->ids.len + 1) * sizeof *starts);
    if (starts == NULL) return gw_nomem(err, d->ids.len * sizeof *starts, "training rows");
    const struct tokens t = {o, d->ids.data, d->ids.len, starts};
    enum gwen_status status =
        gw_tokenizer_offsets(o->prompt->tokenizer, turns->text.data != NULL ? turns->text.data : "",
                             turns->text.len, d->ids.data, d->ids.len, starts, err);
    for (size_t i = 0; i < turns->n && status == GWEN_OK; i++) {
        size_t from = 0, to = 0;
        status = turn_tokens(&t, &turns->list[i], &from, &to, err);
        for (size_t k = from; status == GWEN_OK && k < to; k++) d->mask[k] = 1;
        d->n_turns += status == GWEN_OK && to > from;
        d->n_stops += status == GWEN_OK && to > from && is_eos(o, d->ids.data[to - 1]);
    }
    free(starts);
    return status;
}

/* The assistant's turns from message `first` on count. */
static enum gwen_status from_messages(const struct gw_sft_opts *o, const struct gw_row *row,
                                      const json_t *messages, size_t first, struct draft *d,
                                      struct gwen_err *err) {
    const size_t n = json_array_size(messages);
    bool any = false;
    if (n > GW_SFT_MAX_MESSAGES)
        return gw_fail(err, GWEN_ERR_FORMAT, "a conversation of more than %d messages",
                       GW_SFT_MAX_MESSAGES);
    for (size_t i = first; i < n; i++) {
        const char *role = json_string_value(json_object_get(json_array_get(messages, i), "role"));
        any = any || (role != NULL && strcmp(role, "assistant") == 0);
    }
    if (!any)
        return gw_fail(err, GWEN_ERR_FORMAT, "no message of the assistant is there to be learnt");
    struct gw_turns turns;
    enum gwen_status status = gw_turns_find(o->prompt, messages, row->obj, first, &turns, err);
    if (status == GWEN_OK)
        status = encode(o, turns.text.data != NULL ? turns.text.data : "", turns.text.len, 0,
                        &d->ids, err);
    if (status == GWEN_OK) status = make_mask(d, err);
    if (status == GWEN_OK) status = mask_turns(o, &turns, d, err);
    gw_turns_free(&turns);
    return status;
}

/* Appends member `key`, a list of messages or the text of one by `role`. */
static enum gwen_status take_messages(const struct gw_row *row, const char *key, const char *role,
                                      json_t *all, struct gwen_err *err) {
    json_t *list;
    const char *text;
    size_t len;
    if (json_is_array(json_object_get(row->obj, key))) {
        GW_TRY(gw_prompt_row_messages(row, key, &list, err));
        return json_array_extend(all, list) == 0 ? GWEN_OK : gw_nomem(err, 0, "messages");
    }
    GW_TRY(gw_row_string(row, key, GW_JSON_REQUIRED, &text, &len, err));
    json_t *m = json_pack("{s:s, s:s%}", "role", role, "content", text, len);
    return m != NULL && json_array_append_new(all, m) == 0 ? GWEN_OK
                                                           : gw_nomem(err, len, "messages");
}

static enum gwen_status from_prompt(const struct gw_sft_opts *o, const struct gw_row *row,
                                    struct draft *d, struct gwen_err *err) {
    if (!o->prompt->as_chat && !json_is_array(json_object_get(row->obj, "prompt")) &&
        !json_is_array(json_object_get(row->obj, "completion")))
        return from_two_texts(o, row, d, err);
    json_t *all = json_array();
    if (all == NULL) return gw_nomem(err, 0, "messages");
    enum gwen_status status = take_messages(row, "prompt", "user", all, err);
    size_t first = json_array_size(all);
    if (status == GWEN_OK) status = take_messages(row, "completion", "assistant", all, err);
    if (status == GWEN_OK) status = from_messages(o, row, all, first, d, err);
    json_decref(all);
    return status;
}

/* --- ids ------------------------------------------------------------------------------------ */

static enum gwen_status take_mask(const struct gw_row *row, const json_t *list, struct draft *d,
                                  struct gwen_err *err) {
    if (json_array_size(list) != d->ids.len)
        return gw_row_fail(row, err, "\"mask\" has %zu entries, but \"ids\" %zu",
                           json_array_size(list), d->ids.len);
    GW_TRY(make_mask(d, err));
    for (size_t i = 0; i < d->ids.len; i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_boolean(v) &&
            !(json_is_integer(v) && (json_integer_value(v) == 0 || json_integer_value(v) == 1)))
            return gw_row_fail(row, err, "\"mask\"[%zu]: expected 0 or 1", i);
        d->mask[i] = json_is_true(v) || json_integer_value(v) == 1;
    }
    return GWEN_OK;
}

static enum gwen_status from_ids(const struct gw_sft_opts *o, const struct gw_row *row,
                                 struct draft *d, struct gwen_err *err) {
    json_t *mask;
    GW_TRY(gw_row_ids(row, "ids", GW_JSON_REQUIRED, o->prompt->vocab_size, &d->ids.data,
                      &d->ids.len, err));
    d->ids.cap = d->ids.len;
    GW_TRY(gw_row_array(row, "mask", GW_JSON_OPTIONAL, &mask, err));
    return mask != NULL ? take_mask(row, mask, d, err) : GWEN_OK;
}

/* --- rows ----------------------------------------------------------------------------------- */

static bool has(const struct gw_row *row, const char *key) {
    const json_t *v = json_object_get(row->obj, key);
    return v != NULL && !json_is_null(v);
}

static enum gwen_status make_draft(const struct gw_sft_opts *o, const struct gw_row *row,
                                   struct draft *d, struct gwen_err *err) {
    static const char *const kinds[] = {"ids", "messages", "prompt", "text"};
    size_t n_kinds = 0;
    for (size_t i = 0; i < GW_ARRAY_LEN(kinds); i++) n_kinds += has(row, kinds[i]);
    if (n_kinds != 1)
        return gw_row_fail(row, err,
                           "expected one of \"prompt\" and \"completion\", \"messages\", \"text\" "
                           "or \"ids\" and \"mask\"");
    if (has(row, "ids")) return from_ids(o, row, d, err);
    if (has(row, "prompt")) return from_prompt(o, row, d, err);
    if (has(row, "text")) return from_text(o, row, d, err);
    json_t *messages;
    GW_TRY(gw_prompt_row_messages(row, "messages", &messages, err));
    return from_messages(o, row, messages, 0, d, err);
}

struct reading {
    struct gw_sft_data *data;
    const struct gw_sft_opts *opts;
};

/* Messages that do not say where they come from are given file and line. */
static enum gwen_status with_place(const struct gw_row *row, enum gwen_status status,
                                   struct gwen_err *err) {
    const size_t n = strlen(row->file);
    const char *message = gw_err_message(err);
    if (status == GWEN_OK || (strncmp(message, row->file, n) == 0 && message[n] == ':'))
        return status;
    return gw_err_prefix(err, status, "%s:%" PRIu64, row->file, row->line);
}

static enum gwen_status take_row(void *ctx, const struct gw_row *row, struct gwen_err *err) {
    const struct reading *r = ctx;
    struct draft d = {.line = row->line};
    enum gwen_status status = make_draft(r->opts, row, &d, err);
    if (status == GWEN_OK) status = add_row(r->data, r->opts, &d, err);
    gw_ids_free(&d.ids);
    free(d.mask);
    return with_place(row, status, err);
}

enum gwen_status gw_sft_read(const char *path, const struct gw_sft_opts *opts,
                             struct gw_sft_data *d, struct gwen_err *err) {
    struct reading r = {d, opts};
    GW_TRY(gw_rows_read(path, GW_ROW_MAX_BYTES, "training row", take_row, &r, err));
    if (d->n == 0)
        return gw_fail(err, GWEN_ERR_FORMAT,
                       "%s: no row has a token to be learnt within %zu tokens", path,
                       opts->max_length);
    return gw_sft_pack(d, opts->packing ? opts->max_length : 0, err);
}

void gw_sft_free(struct gw_sft_data *d) {
    free(d->rows);
    free(d->bins);
    gw_arena_free(&d->arena);
    *d = (struct gw_sft_data){0};
}

/* --- order ---------------------------------------------------------------------------------- */

uint64_t gw_sft_hash(const struct gw_sft_data *d) {
    uint64_t h = d->n;
    for (size_t i = 0; i < d->n; i++) {
        const struct gw_sft_row *r = &d->rows[i];
        const uint64_t parts[] = {h, gw_hash64(r->ids, r->n * sizeof *r->ids),
                                  gw_hash64(r->mask, r->n)};
        h = gw_hash64(parts, sizeof parts);
    }
    return h;
}

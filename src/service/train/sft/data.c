/* data.c - see data.h. */
#include "service/train/sft/data.h"

#include "base/rng.h"
#include "service/rollout/rows.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* One row while it is made. */
struct draft {
    struct gw_ids ids;
    uint8_t *mask; /* [ids.len], NULL: all count */
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
    row.mask = mask;
    d->n_tokens += row.n;
    d->n_loss += row.n_loss;
    d->longest = GW_MAX(d->longest, row.n);
    d->rows[d->n++] = row;
    return GWEN_OK;
}

/* --- texts ---------------------------------------------------------------------------------- */

static bool is_eos(const struct gw_sft_opts *o, int32_t id) {
    for (size_t i = 0; i < o->n_eos; i++)
        if (o->eos[i] == id) return true;
    return false;
}

static enum gwen_status encode(const struct gw_sft_opts *o, const char *text, size_t len,
                               unsigned flags, struct gw_ids *ids, struct gwen_err *err) {
    if (o->prompt->tokenizer == NULL)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "the model's directory has no tokenizer: rows must be given as \"ids\"");
    return gw_tokenizer_encode(o->prompt->tokenizer, text, len, flags, ids, err);
}

/* Unless what begins at `from` ends with one. */
static enum gwen_status add_eos(const struct gw_sft_opts *o, struct gw_ids *ids, size_t from,
                                struct gwen_err *err) {
    if (o->n_eos == 0 || (ids->len > from && is_eos(o, ids->data[ids->len - 1]))) return GWEN_OK;
    return gw_ids_put(ids, o->eos, 1) ? GWEN_OK : gw_nomem(err, ids->len, "training rows");
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
    GW_TRY(encode(o, prompt, prompt_len, GW_ENCODE_ADD_SPECIAL, &d->ids, err));
    size_t n_prompt = d->ids.len;
    GW_TRY(encode(o, completion, completion_len, 0, &d->ids, err));
    GW_TRY(add_eos(o, &d->ids, n_prompt, err));
    GW_TRY(make_mask(d, err));
    memset(d->mask + n_prompt, 1, d->ids.len - n_prompt);
    return GWEN_OK;
}

/* --- conversations -------------------------------------------------------------------------- */

static bool is_assistant(const json_t *message) {
    const char *role = json_string_value(json_object_get(message, "role"));
    return role != NULL && strcmp(role, "assistant") == 0;
}

static size_t common_prefix(const struct gw_ids *a, const struct gw_ids *b) {
    size_t n = 0;
    while (n < a->len && n < b->len && a->data[n] == b->data[n]) n++;
    return n;
}

/* Ids with which the model would begin message i: those before it, and the generation prompt. */
static enum gwen_status encode_before(const struct gw_sft_opts *o, const struct gw_row *row,
                                      const json_t *messages, size_t i, struct gw_ids *ids,
                                      struct gwen_err *err) {
    json_t *before = json_array();
    bool ok = before != NULL;
    for (size_t k = 0; k < i && ok; k++)
        ok = json_array_append(before, json_array_get(messages, k)) == 0;
    enum gwen_status status = ok ? GWEN_OK : gw_nomem(err, 0, "messages");
    if (status == GWEN_OK && i > 0)
        status = gw_prompt_encode_chat(o->prompt, before, row->obj, true, ids, err);
    json_decref(before);
    return status;
}

static enum gwen_status mask_turn(const struct gw_sft_opts *o, const struct gw_row *row,
                                  const json_t *messages, size_t i, struct draft *d,
                                  struct gwen_err *err) {
    struct gw_ids before = {0};
    enum gwen_status status = encode_before(o, row, messages, i, &before, err);
    if (status == GWEN_OK) {
        for (size_t k = common_prefix(&before, &d->ids); k < d->ids.len; k++) {
            d->mask[k] = 1;
            if (is_eos(o, d->ids.data[k])) break;
        }
    }
    gw_ids_free(&before);
    return status;
}

/* The assistant's turns from message `first` on count. */
static enum gwen_status from_messages(const struct gw_sft_opts *o, const struct gw_row *row,
                                      const json_t *messages, size_t first, struct draft *d,
                                      struct gwen_err *err) {
    size_t n = json_array_size(messages), turns = 0;
    if (n > GW_SFT_MAX_MESSAGES)
        return gw_fail(err, GWEN_ERR_FORMAT, "a conversation of more than %d messages",
                       GW_SFT_MAX_MESSAGES);
    GW_TRY(gw_prompt_encode_chat(o->prompt, messages, row->obj, false, &d->ids, err));
    GW_TRY(make_mask(d, err));
    for (size_t i = first; i < n; i++) {
        if (!is_assistant(json_array_get(messages, i))) continue;
        GW_TRY(mask_turn(o, row, messages, i, d, err));
        turns++;
    }
    if (turns > 0) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_FORMAT, "no message of the assistant is there to be learnt");
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
    struct draft d = {0};
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

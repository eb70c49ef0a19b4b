/* data.c - questions with choices, and texts in windows, as requests to the scorer; see
 * likelihood.h. */
#include "service/eval/likelihood.h"

#include "base/file.h"
#include "base/rng.h"
#include "service/rollout/rows.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT = 512 << 20, MAX_CHOICES = 1024 };

struct reading {
    const struct gw_eval_data_opts *opts;
    struct gw_eval_data *data;
    size_t n_documents;
    struct gw_str text; /* scratch */
    struct gw_ids ids;  /* likewise */
};

void gw_eval_data_free(struct gw_eval_data *d) {
    for (size_t i = 0; i < d->n_units; i++) free(d->units[i].id);
    gw_ids_free(&d->ids);
    free(d->requests);
    free(d->units);
    *d = (struct gw_eval_data){0};
}

uint64_t gw_eval_data_hash(const struct gw_eval_data *d) {
    uint64_t h = gw_hash64(d->ids.data, d->ids.len * sizeof *d->ids.data);
    for (size_t i = 0; i < d->n_units; i++) {
        const struct gw_eval_unit *u = &d->units[i];
        const uint64_t id = u->id != NULL ? gw_hash64(u->id, strlen(u->id)) : 0;
        const uint64_t unit[] = {h, u->n, u->number, id, u->bytes, u->words};
        h = gw_hash64(unit, sizeof unit);
        for (size_t k = u->first; k < u->first + u->n; k++) {
            const struct gw_eval_request *r = &d->requests[k];
            const uint64_t request[] = {h, r->n, r->from, r->chars};
            h = gw_hash64(request, sizeof request);
        }
    }
    return h;
}

static bool is_full(const struct reading *rd) {
    return rd->opts->limit > 0 && rd->data->n_units >= rd->opts->limit;
}

/* --- adding --------------------------------------------------------------------------------- */

static bool reserve(void **array, size_t *cap, size_t n, size_t bytes) {
    if (n < *cap) return true;
    const size_t more = GW_MAX(2 * *cap, (size_t)64);
    void *p = realloc(*array, more * bytes);
    if (p == NULL) return false;
    *array = p;
    *cap = more;
    return true;
}

/* A unit to which requests are added next. */
static enum gwen_status add_unit(struct gw_eval_data *d, struct gw_eval_unit unit,
                                 struct gwen_err *err) {
    void *units = d->units;
    bool ok = reserve(&units, &d->cap_units, d->n_units, sizeof *d->units);
    d->units = units;
    if (!ok) {
        free(unit.id);
        return gw_nomem(err, d->n_units * sizeof *d->units, "an evaluation's data");
    }
    unit.first = d->n_requests;
    unit.n = 0;
    d->units[d->n_units++] = unit;
    return GWEN_OK;
}

/* head[n_head] and then tail[n_tail], which is scored. */
static enum gwen_status add_request(struct reading *rd, const int32_t *head, size_t n_head,
                                    const int32_t *tail, size_t n_tail, size_t chars,
                                    struct gwen_err *err) {
    struct gw_eval_data *d = rd->data;
    const struct gw_prompt_opts *o = rd->opts->prompt;
    const size_t n = n_head + n_tail;
    void *requests = d->requests;
    if (n > o->context)
        return gw_fail(err, GWEN_ERR_FORMAT,
                       "%zu tokens exceed the model's context of %zu (max_position_embeddings)", n,
                       o->context);
    GW_TRY(gw_prompt_check_ids(head, n_head, o->vocab_size, err));
    GW_TRY(gw_prompt_check_ids(tail, n_tail, o->vocab_size, err));
    const size_t first = d->ids.len;
    bool ok = reserve(&requests, &d->cap_requests, d->n_requests, sizeof *d->requests);
    d->requests = requests;
    if (!ok || !gw_ids_put(&d->ids, head, n_head) || !gw_ids_put(&d->ids, tail, n_tail))
        return gw_nomem(err, n * sizeof *head, "an evaluation's data");
    d->requests[d->n_requests++] = (struct gw_eval_request){first, n, n_head, chars};
    d->units[d->n_units - 1].n++;
    d->longest = GW_MAX(d->longest, n);
    return GWEN_OK;
}

static enum gwen_status need_tokenizer(const struct gw_eval_data_opts *o, struct gwen_err *err) {
    if (o->prompt->tokenizer != NULL) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_ARGUMENT,
                   "the model's directory has no tokenizer, which this task needs");
}

/* --- questions with choices ----------------------------------------------------------------- */

static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static enum gwen_status encode(const struct reading *rd, const char *text, size_t len,
                               unsigned flags, struct gw_ids *ids, struct gwen_err *err) {
    return gw_tokenizer_encode(rd->opts->prompt->tokenizer, text, len, flags, ids, err);
}

/* A choice after a plain question.  White space at the question's end belongs to the choice. */
static enum gwen_status add_plain_choice(struct reading *rd, const char *question, size_t len,
                                         const json_t *choice, size_t chars, struct gwen_err *err) {
    size_t cut = len;
    while (cut > 0 && is_blank(question[cut - 1])) cut--;
    gw_str_clear(&rd->text);
    gw_str_put(&rd->text, question + cut, len - cut);
    if (cut == len) gw_str_putc(&rd->text, ' ');
    gw_str_put(&rd->text, json_string_value(choice), json_string_length(choice));
    if (rd->text.failed) return gw_nomem(err, len, "a question");
    const struct gw_text_pair pair = {question, rd->text.data, cut, rd->text.len};
    size_t n_head;
    bool straddles;
    rd->ids.len = 0;
    GW_TRY(gw_tokenizer_encode_pair(rd->opts->prompt->tokenizer, &pair, &rd->ids, &n_head,
                                    &straddles, err));
    rd->data->n_straddling += straddles;
    if (rd->ids.len <= n_head)
        return gw_fail(err, GWEN_ERR_FORMAT, "a choice adds no tokens to the question");
    if (n_head > 0)
        return add_request(rd, rd->ids.data, n_head, rd->ids.data + n_head, rd->ids.len - n_head,
                           chars, err);
    if (rd->opts->prefix < 0)
        return gw_fail(err, GWEN_ERR_FORMAT,
                       "the question has no tokens, and the tokenizer no BOS to stand for it");
    return add_request(rd, &rd->opts->prefix, 1, rd->ids.data, rd->ids.len, chars, err);
}

/* A choice as the answer of a conversation: what the template wrote, then the choice. */
static enum gwen_status add_chat_choice(struct reading *rd, const char *question, size_t len,
                                        const json_t *choice, size_t chars, struct gwen_err *err) {
    json_t *messages = json_pack("[{s:s, s:s%}]", "role", "user", "content", question, len);
    if (messages == NULL) return gw_nomem(err, len, "a question");
    rd->ids.len = 0;
    enum gwen_status status =
        gw_prompt_encode_chat(rd->opts->prompt, messages, NULL, true, &rd->ids, err);
    json_decref(messages);
    GW_TRY(status);
    const size_t n_head = rd->ids.len;
    GW_TRY(encode(rd, json_string_value(choice), json_string_length(choice), 0, &rd->ids, err));
    if (rd->ids.len == n_head || n_head == 0)
        return gw_fail(err, GWEN_ERR_FORMAT, "a choice adds no tokens to the question");
    return add_request(rd, rd->ids.data, n_head, rd->ids.data + n_head, rd->ids.len - n_head, chars,
                       err);
}

static size_t count_chars(const char *text, size_t len) {
    size_t n = 0;
    for (size_t at = 0; at < len; n++) {
        uint32_t cp;
        bool valid;
        at += gw_utf8_next(text + at, len - at, &cp, &valid);
    }
    return n;
}

/* The number of the right choice, from a number (0 is the first) or a letter (A is). */
static enum gwen_status read_answer(const struct gw_row *row, size_t n_choices, size_t *answer,
                                    struct gwen_err *err) {
    const json_t *v = json_object_get(row->obj, "answer");
    json_int_t at = -1;
    if (json_is_integer(v)) at = json_integer_value(v);
    if (json_is_string(v) && json_string_length(v) == 1) {
        const char c = json_string_value(v)[0];
        if (c >= 'A' && c <= 'Z') at = c - 'A';
        if (c >= 'a' && c <= 'z') at = c - 'a';
    }
    if (at < 0 || (size_t)at >= n_choices)
        return gw_row_fail(row, err,
                           "\"answer\": expected a number from 0 to %zu or a letter from A on",
                           n_choices - 1);
    *answer = (size_t)at;
    return GWEN_OK;
}

static enum gwen_status add_choices(struct reading *rd, const struct gw_row *row,
                                    const char *question, size_t len, const json_t *choices,
                                    struct gwen_err *err) {
    for (size_t i = 0; i < json_array_size(choices); i++) {
        const json_t *c = json_array_get(choices, i);
        if (!json_is_string(c) || json_string_length(c) == 0)
            return gw_row_fail(row, err, "\"choices\"[%zu]: expected a text", i);
        const size_t chars = count_chars(json_string_value(c), json_string_length(c));
        const enum gwen_status status = rd->opts->prompt->as_chat
                                            ? add_chat_choice(rd, question, len, c, chars, err)
                                            : add_plain_choice(rd, question, len, c, chars, err);
        GW_TRY(gw_err_prefix(err, status, "%s:%" PRIu64 ": choice %zu", row->file, row->line, i));
    }
    return GWEN_OK;
}

static enum gwen_status take_question(void *ctx, const struct gw_row *row, struct gwen_err *err) {
    struct reading *rd = ctx;
    const char *question;
    size_t len;
    json_t *choices;
    struct gw_eval_unit unit = {0};
    if (is_full(rd)) return GWEN_OK;
    const char *key = json_object_get(row->obj, "prompt") != NULL ? "prompt" : "question";
    GW_TRY(gw_row_string(row, key, GW_JSON_REQUIRED, &question, &len, err));
    GW_TRY(gw_row_array(row, "choices", GW_JSON_REQUIRED, &choices, err));
    const size_t n = json_array_size(choices);
    if (n < 2 || n > MAX_CHOICES)
        return gw_row_fail(row, err, "\"choices\": expected 2 to %d texts, not %zu", MAX_CHOICES,
                           n);
    GW_TRY(read_answer(row, n, &unit.number, err));
    GW_TRY(gw_row_hash(row, &unit.data, err));
    const json_t *id = json_object_get(row->obj, "id");
    struct gw_str text = {0};
    if (id != NULL) gw_str_put_row(&text, id);
    if (text.failed) {
        gw_str_free(&text);
        return gw_nomem(err, len, "a row");
    }
    unit.id = text.data;
    GW_TRY(add_unit(rd->data, unit, err));
    return add_choices(rd, row, question, len, choices, err);
}

static void free_scratch(struct reading *rd) {
    gw_str_free(&rd->text);
    gw_ids_free(&rd->ids);
}

enum gwen_status gw_eval_read_choices(const char *path, const struct gw_eval_data_opts *opts,
                                      struct gw_eval_data *d, struct gwen_err *err) {
    *d = (struct gw_eval_data){.kind = GW_EVAL_CHOICES};
    struct reading rd = {.opts = opts, .data = d};
    GW_TRY(need_tokenizer(opts, err));
    enum gwen_status status =
        gw_rows_read(path, GW_ROW_MAX_BYTES, "question", take_question, &rd, err);
    free_scratch(&rd);
    return status;
}

/* --- texts in windows ----------------------------------------------------------------------- */

/* White space as Python's str knows it. */
static bool is_space(uint32_t c) {
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

/* Pieces between stretches of white space, empty ones at the ends too: what re.split(r"\s+") has.
 */
static uint64_t count_words(const char *text, size_t len) {
    uint64_t n = 1;
    bool space = false;
    for (size_t at = 0; at < len;) {
        uint32_t cp;
        bool valid;
        at += gw_utf8_next(text + at, len - at, &cp, &valid);
        n += is_space(cp) && !space;
        space = is_space(cp);
    }
    return n;
}

static enum gwen_status add_window(struct reading *rd, size_t start, uint64_t data,
                                   struct gwen_err *err) {
    const int32_t *ids = rd->ids.data;
    const size_t n = GW_MIN(rd->opts->window, rd->ids.len - start);
    const size_t before = GW_MIN(rd->opts->overlap, start);
    GW_TRY(add_unit(rd->data, (struct gw_eval_unit){.number = rd->n_documents, .data = data}, err));
    if (before > 0) return add_request(rd, ids + start - before, before, ids + start, n, 0, err);
    if (rd->opts->prefix < 0)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "the tokenizer has neither BOS nor EOS to begin a window with");
    return add_request(rd, &rd->opts->prefix, 1, ids + start, n, 0, err);
}

static enum gwen_status add_document(struct reading *rd, const char *text, size_t len,
                                     struct gwen_err *err) {
    const uint64_t data = gw_hash64(text, len);
    size_t start = 0;
    rd->ids.len = 0;
    GW_TRY(encode(rd, text, len, 0, &rd->ids, err));
    if (rd->ids.len == 0) return gw_fail(err, GWEN_ERR_FORMAT, "the text has no tokens");
    for (; start < rd->ids.len && !is_full(rd); start += rd->opts->window)
        GW_TRY(add_window(rd, start, data, err));
    rd->n_documents++;
    if (start < rd->ids.len) return GWEN_OK; /* cut off: its length says nothing */
    struct gw_eval_unit *last = &rd->data->units[rd->data->n_units - 1];
    last->bytes = len;
    last->words = count_words(text, len);
    return GWEN_OK;
}

static enum gwen_status take_document(void *ctx, const struct gw_row *row, struct gwen_err *err) {
    struct reading *rd = ctx;
    const char *text;
    size_t len;
    if (is_full(rd)) return GWEN_OK;
    GW_TRY(gw_row_string(row, "text", GW_JSON_REQUIRED, &text, &len, err));
    return gw_err_prefix(err, add_document(rd, text, len, err), "%s:%" PRIu64, row->file,
                         row->line);
}

static enum gwen_status take_file(struct reading *rd, const char *path, struct gwen_err *err) {
    struct gw_str text = {0};
    enum gwen_status status = gw_file_read(path, MAX_TEXT, &text, err);
    if (status == GWEN_OK)
        status = gw_err_prefix(err, add_document(rd, text.len > 0 ? text.data : "", text.len, err),
                               "%s", path);
    gw_str_free(&text);
    return status;
}

enum gwen_status gw_eval_read_text(const char *path, const struct gw_eval_data_opts *opts,
                                   struct gw_eval_data *d, struct gwen_err *err) {
    static const char suffix[] = ".jsonl";
    const size_t len = strlen(path), tail = sizeof suffix - 1;
    *d = (struct gw_eval_data){.kind = GW_EVAL_TEXT};
    struct reading rd = {.opts = opts, .data = d};
    GW_TRY(need_tokenizer(opts, err));
    enum gwen_status status =
        len >= tail && strcmp(path + len - tail, suffix) == 0
            ? gw_rows_read(path, GW_ROW_MAX_BYTES, "text", take_document, &rd, err)
            : take_file(&rd, path, err);
    free_scratch(&rd);
    return status;
}

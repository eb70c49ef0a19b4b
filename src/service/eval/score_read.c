/* score_read.c - the rows that score.h describes, from lines of JSON. */
#include "service/eval/score.h"

#include "base/json.h"

#include <stdlib.h>
#include <string.h>

static void free_row(struct gw_score_row *row) {
    free(row->id);
    free(row->ids);
    free(row->logprobs);
}

void gw_score_window_clear(struct gw_score_window *w) {
    for (size_t i = 0; i < w->n; i++) free_row(&w->rows[i]);
    w->n = w->n_tokens = w->longest = 0;
}

void gw_score_window_free(struct gw_score_window *w) {
    gw_score_window_clear(w);
    free(w->rows);
    *w = (struct gw_score_window){0};
}

/* A zeroed row at the window's end, which counts only once n is raised. */
static struct gw_score_row *next_row(struct gw_score_window *w) {
    if (w->n == w->cap) {
        size_t cap = w->cap == 0 ? 64 : 2 * w->cap;
        struct gw_score_row *rows = realloc(w->rows, cap * sizeof *rows);
        if (rows == NULL) return NULL;
        w->rows = rows;
        w->cap = cap;
    }
    w->rows[w->n] = (struct gw_score_row){0};
    return &w->rows[w->n];
}

/* --- the three kinds of row ----------------------------------------------------------------- */

/* A member that is null counts as absent. */
static bool has(const struct gw_row *json, const char *key) {
    const json_t *v = json_object_get(json->obj, key);
    return v != NULL && !json_is_null(v);
}

static enum gwen_status read_whole(const struct gw_row *json, const struct gw_score_source *source,
                                   struct gw_score_row *row, struct gwen_err *err) {
    row->whole = true;
    row->from = 1;
    return gw_row_ids(json, "ids", GW_JSON_REQUIRED, source->vocab_size, &row->ids, &row->n, err);
}

static enum gwen_status read_pair(const struct gw_row *json, const struct gw_score_source *source,
                                  struct gw_score_row *row, struct gwen_err *err) {
    const char *second = json_object_get(json->obj, "completion_ids") == NULL &&
                                 json_object_get(json->obj, "ids") != NULL
                             ? "ids"
                             : "completion_ids";
    int32_t *completion, *both;
    size_t n_completion;
    GW_TRY(gw_row_ids(json, "prompt_ids", GW_JSON_REQUIRED, source->vocab_size, &row->ids,
                      &row->from, err));
    GW_TRY(gw_row_ids(json, second, GW_JSON_REQUIRED, source->vocab_size, &completion,
                      &n_completion, err));
    row->n = row->from + n_completion;
    both = realloc(row->ids, (row->n + 1) * sizeof *both);
    if (both != NULL) {
        row->ids = both;
        memcpy(both + row->from, completion, n_completion * sizeof *both);
    }
    free(completion);
    return both != NULL ? GWEN_OK : gw_nomem(err, row->n * sizeof *both, "a row");
}

static enum gwen_status encode(const struct gw_row *json, struct gw_score_source *source,
                               struct gw_score_row *row, struct gw_ids *ids, struct gwen_err *err) {
    struct gw_text_pair pair;
    GW_TRY(gw_row_string(json, "prompt", GW_JSON_REQUIRED, &pair.first, &pair.n_first, err));
    GW_TRY(gw_row_string(json, "completion", GW_JSON_REQUIRED, &pair.second, &pair.n_second, err));
    enum gwen_status status =
        gw_tokenizer_encode_pair(source->tokenizer, &pair, ids, &row->from, &row->straddles, err);
    if (status != GWEN_OK)
        return gw_err_prefix(err, status, "%s:%llu", json->file, (unsigned long long)json->line);
    for (size_t i = 0; i < ids->len; i++)
        if ((size_t)ids->data[i] >= source->vocab_size)
            return gw_row_fail(json, err,
                               "\"%s\": the tokenizer gives id %d, but the model's vocab_size is "
                               "%zu",
                               i < row->from ? "prompt" : "completion", (int)ids->data[i],
                               source->vocab_size);
    return GWEN_OK;
}

static enum gwen_status read_text(const struct gw_row *json, struct gw_score_source *source,
                                  struct gw_score_row *row, struct gwen_err *err) {
    if (source->tokenizer == NULL)
        GW_TRY(source->load_tokenizer(source->ctx, &source->tokenizer, err));
    struct gw_ids ids = {0};
    enum gwen_status status = encode(json, source, row, &ids, err);
    row->ids = ids.data;
    row->n = ids.len;
    return status;
}

/* --- a row, a window ------------------------------------------------------------------------ */

static enum gwen_status read_ids(const struct gw_row *json, struct gw_score_source *source,
                                 struct gw_score_row *row, struct gwen_err *err) {
    bool ids = has(json, "ids"), text = has(json, "prompt");
    if (has(json, "prompt_ids")) return read_pair(json, source, row, err);
    if (ids && text) return gw_row_fail(json, err, "give \"ids\" or \"prompt\", not both");
    if (ids) return read_whole(json, source, row, err);
    if (text) return read_text(json, source, row, err);
    return gw_row_fail(json, err,
                       "expected \"ids\", or \"prompt_ids\" and \"completion_ids\", or \"prompt\" "
                       "and \"completion\"");
}

static enum gwen_status check(const struct gw_row *json, const struct gw_score_source *source,
                              const struct gw_score_row *row, struct gwen_err *err) {
    if (row->n == 0) return gw_row_fail(json, err, "there are no token ids");
    if (row->from == 0)
        return gw_row_fail(json, err, "the prompt has no tokens%s",
                           row->straddles ? ": its only one is the completion's as well" : "");
    if (row->n > source->context)
        return gw_row_fail(json, err,
                           "%zu tokens exceed the model's context of %zu "
                           "(max_position_embeddings)",
                           row->n, source->context);
    return GWEN_OK;
}

static enum gwen_status read_row(const struct gw_row *json, struct gw_score_source *source,
                                 struct gw_score_row *row, struct gwen_err *err) {
    row->line = json->line;
    GW_TRY(read_ids(json, source, row, err));
    GW_TRY(check(json, source, row, err));
    row->logprobs = calloc(row->n - row->from + 1, sizeof *row->logprobs);
    const json_t *id = json_object_get(json->obj, "id");
    struct gw_str text = {0};
    if (id != NULL) gw_str_put_row(&text, id);
    row->id = text.data;
    return row->logprobs == NULL || text.failed ? gw_nomem(err, row->n, "a row") : GWEN_OK;
}

static enum gwen_status add_line(struct gw_score_source *source, const struct gw_line *line,
                                 struct gw_score_window *w, struct gwen_err *err) {
    struct gw_row json = {.file = gw_lines_name(source->lines), .line = line->number};
    struct gw_score_row *row = next_row(w);
    if (row == NULL) return gw_nomem(err, w->cap * sizeof *row, "rows");
    GW_TRY(gw_row_parse(line->text, line->len, json.file, line->number, &json.obj, err));
    enum gwen_status status = read_row(&json, source, row, err);
    json_decref(json.obj);
    if (status != GWEN_OK) {
        free_row(row);
        return status;
    }
    w->n++;
    source->n_straddling += row->straddles;
    w->n_tokens += row->n;
    w->longest = GW_MAX(w->longest, row->n);
    return GWEN_OK;
}

enum gwen_status gw_score_read(struct gw_score_source *source, size_t max_rows,
                               struct gw_score_window *w, bool *more, struct gwen_err *err) {
    *more = true;
    while (w->n < max_rows && w->n_tokens < GW_SCORE_WINDOW_TOKENS) {
        struct gw_line line;
        GW_TRY(gw_lines_next(source->lines, &line, more, err));
        if (!*more) return GWEN_OK;
        GW_TRY(add_line(source, &line, w, err));
    }
    return GWEN_OK;
}

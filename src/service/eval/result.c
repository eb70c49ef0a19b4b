/* result.c - the figures of each sample, and reading them from a file; see result.h. */
#include "service/eval/result.h"

#include "base/file.h"
#include "base/rng.h"
#include "service/rollout/rows.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROW = 256 << 20 };

static bool cell_count(size_t n, size_t k, size_t *count, size_t *bytes) {
    return gw_add_size(k, 1, count) && gw_mul_size(*count, n, count) &&
           gw_mul_size(GW_MAX(*count, (size_t)1), sizeof(struct gw_eval_cell), bytes);
}

enum gwen_status gw_eval_result_new(enum gw_eval_kind kind, size_t n, size_t k,
                                    struct gw_eval_result *r, struct gwen_err *err) {
    size_t count, bytes;
    *r = (struct gw_eval_result){.kind = kind, .n = n, .k = k};
    r->cells = cell_count(n, k, &count, &bytes) ? calloc(1, bytes) : NULL;
    return r->cells != NULL ? GWEN_OK : gw_nomem(err, n * (k + 1), "an evaluation's figures");
}

void gw_eval_result_free(struct gw_eval_result *r) {
    free(r->cells);
    *r = (struct gw_eval_result){0};
}

/* --- reading a file ------------------------------------------------------------------------- */

struct reading {
    struct gw_eval_result *result;
    size_t count, cap;  /* of cells */
    int64_t last[2];    /* prompt and sample of the last row */
    struct gw_str meta; /* scratch */
};

static bool find_kind(const struct gw_row *row, enum gw_eval_kind *kind) {
    static const char *const marks[] = {"greedy", "acc_norm", "nll"};
    for (int i = 0; i < 3; i++)
        if (json_object_get(row->obj, marks[i]) != NULL) {
            *kind = (enum gw_eval_kind)i;
            return true;
        }
    return false;
}

static enum gwen_status read_number(const struct gw_row *row, const char *key, double *out,
                                    struct gwen_err *err) {
    return gw_row_double(row, key, GW_JSON_REQUIRED, out, err);
}

static enum gwen_status read_sample(const struct gw_row *row, struct gw_eval_cell *c,
                                    struct gwen_err *err) {
    const char *finish;
    size_t len;
    json_t *ids;
    double score;
    GW_TRY(gw_row_array(row, "ids", GW_JSON_REQUIRED, &ids, err));
    GW_TRY(gw_row_string(row, "finish_reason", GW_JSON_REQUIRED, &finish, &len, err));
    GW_TRY(read_number(row, "reward", &score, err));
    c->of.sample.score = (float)score;
    c->of.sample.tokens = (uint32_t)json_array_size(ids);
    c->of.sample.stopped = strcmp(finish, "stop") == 0;
    return GWEN_OK;
}

static enum gwen_status read_choice(const struct gw_row *row, struct gw_eval_cell *c,
                                    struct gwen_err *err) {
    int64_t acc = 0, acc_norm = 0;
    GW_TRY(gw_row_i64(row, "acc", GW_JSON_REQUIRED, 0, 1, &acc, err));
    GW_TRY(gw_row_i64(row, "acc_norm", GW_JSON_REQUIRED, 0, 1, &acc_norm, err));
    c->of.choice.acc = acc != 0;
    c->of.choice.acc_norm = acc_norm != 0;
    return GWEN_OK;
}

static enum gwen_status read_window(const struct gw_row *row, struct gw_eval_cell *c,
                                    struct gwen_err *err) {
    int64_t tokens = 0, bytes = 0, words = 0;
    double nll;
    GW_TRY(read_number(row, "nll", &nll, err));
    GW_TRY(gw_row_i64(row, "tokens", GW_JSON_REQUIRED, 1, UINT32_MAX, &tokens, err));
    GW_TRY(gw_row_i64(row, "bytes", GW_JSON_REQUIRED, 0, INT64_MAX, &bytes, err));
    GW_TRY(gw_row_i64(row, "words", GW_JSON_REQUIRED, 0, INT64_MAX, &words, err));
    c->of.text.nll = (float)nll;
    c->of.text.tokens = (uint32_t)tokens;
    c->of.text.bytes = (uint64_t)bytes;
    c->of.text.words = (uint64_t)words;
    return GWEN_OK;
}

/* A hash of what the row says of the data it answers. */
static enum gwen_status read_key(struct reading *rd, const struct gw_row *row,
                                 struct gw_eval_cell *c, struct gwen_err *err) {
    static const char *const members[] = {"data", "id", "meta", "answer", "tokens", "bytes"};
    gw_str_clear(&rd->meta);
    for (size_t i = 0; i < GW_ARRAY_LEN(members); i++) {
        const json_t *v = json_object_get(row->obj, members[i]);
        if (v != NULL) gw_str_put_row(&rd->meta, v);
        gw_str_putc(&rd->meta, '\n');
    }
    if (rd->meta.failed) return gw_nomem(err, rd->meta.len, "a row");
    c->key = gw_hash64(rd->meta.data, rd->meta.len);
    return GWEN_OK;
}

static enum gwen_status read_settings(struct reading *rd, const struct gw_row *row,
                                      struct gwen_err *err) {
    const char *text;
    size_t len;
    GW_TRY(gw_row_string(row, "settings", GW_JSON_REQUIRED, &text, &len, err));
    const uint64_t settings = strtoull(text, NULL, 16);
    if (rd->count > 0 && settings != rd->result->settings)
        return gw_row_fail(row, err, "is of another evaluation than the first row");
    rd->result->settings = settings;
    return GWEN_OK;
}

/* Rows come prompt by prompt, each with as many samples as the first. */
static enum gwen_status check_place(struct reading *rd, const struct gw_row *row,
                                    struct gwen_err *err) {
    int64_t prompt = 0, sample = 0;
    GW_TRY(gw_row_i64(row, "prompt_id", GW_JSON_REQUIRED, 0, INT64_MAX, &prompt, err));
    GW_TRY(gw_row_i64(row, "sample_id", GW_JSON_REQUIRED, 0, INT64_MAX, &sample, err));
    const bool first = rd->count == 0;
    const bool next_sample = !first && prompt == rd->last[0] && sample == rd->last[1] + 1 &&
                             (prompt == 0 || (size_t)sample <= rd->result->k);
    const bool next_prompt =
        !first && prompt == rd->last[0] + 1 && sample == 0 && (size_t)rd->last[1] == rd->result->k;
    if ((first && (prompt != 0 || sample != 0)) || (!first && !next_sample && !next_prompt))
        return gw_row_fail(row, err, "prompt %" PRId64 ", sample %" PRId64 " is out of order",
                           prompt, sample);
    if (prompt == 0) rd->result->k = (size_t)sample;
    rd->result->n = (size_t)prompt + 1;
    rd->last[0] = prompt;
    rd->last[1] = sample;
    return GWEN_OK;
}

static bool reserve_cell(struct reading *rd) {
    if (rd->count < rd->cap) return true;
    const size_t cap = GW_MAX(2 * rd->cap, (size_t)256);
    struct gw_eval_cell *cells = realloc(rd->result->cells, cap * sizeof *cells);
    if (cells == NULL) return false;
    rd->result->cells = cells;
    rd->cap = cap;
    return true;
}

static enum gwen_status take_row(void *ctx, const struct gw_row *row, struct gwen_err *err) {
    struct reading *rd = ctx;
    enum gw_eval_kind kind;
    if (!find_kind(row, &kind))
        return gw_row_fail(row, err, "is no row of an evaluation (see gwen-cpu eval -h)");
    if (rd->count > 0 && kind != rd->result->kind)
        return gw_row_fail(row, err, "is of another task than the first row");
    rd->result->kind = kind;
    GW_TRY(read_settings(rd, row, err));
    GW_TRY(check_place(rd, row, err));
    if (!reserve_cell(rd)) return gw_nomem(err, rd->cap, "an evaluation's figures");
    struct gw_eval_cell *c = &rd->result->cells[rd->count];
    *c = (struct gw_eval_cell){.there = true};
    GW_TRY(read_key(rd, row, c, err));
    rd->count++;
    switch (kind) {
    case GW_EVAL_SAMPLES: return read_sample(row, c, err);
    case GW_EVAL_CHOICES: return read_choice(row, c, err);
    case GW_EVAL_TEXT: break;
    }
    return read_window(row, c, err);
}

enum gwen_status gw_eval_result_read(const char *path, struct gw_eval_result *r,
                                     struct gwen_err *err) {
    *r = (struct gw_eval_result){0};
    struct reading rd = {.result = r};
    enum gwen_status status = gw_rows_read(path, MAX_ROW, "sample", take_row, &rd, err);
    if (status == GWEN_OK && rd.count != r->n * (r->k + 1))
        status =
            gw_fail(err, GWEN_ERR_FORMAT, "%s: ends in the middle of prompt %zu", path, r->n - 1);
    gw_str_free(&rd.meta);
    if (status != GWEN_OK) gw_eval_result_free(r);
    return status;
}

bool gw_eval_result_complete(const char *path, uint64_t settings, struct gw_eval_result *r) {
    struct gw_str part = {0};
    struct gw_eval_result was;
    struct gwen_err ignored;
    gw_str_printf(&part, "%s.part", path);
    const bool whole = !part.failed && gw_file_exists(path) && !gw_file_exists(part.data);
    gw_str_free(&part);
    if (!whole || gw_eval_result_read(path, &was, &ignored) != GWEN_OK) return false;
    if (was.settings != settings) {
        gw_eval_result_free(&was);
        return false;
    }
    gw_eval_result_free(r);
    *r = was;
    return true;
}

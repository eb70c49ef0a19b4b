/* judge.c - gwen-cpu judge: grades of responses by the criteria of a rubric. */
#include "cli/output.h"
#include "cli/with_judge.h"

#include "base/file.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct row {
    json_t *obj; /* holds the texts */
    struct gw_judge_item item;
};

struct judge {
    struct gw_judging j;
    const char *in, *verdicts_path;
    bool overwrite, compare;
    struct gw_lines *lines;
    struct row *rows;
    struct gw_judge_item *items;
    size_t n, cap, before;                /* rows of the window, and those before it */
    struct gw_verdict *verdicts, *others; /* [n][criteria]; others: of the other mode */
    struct gw_out *looks;
    struct gw_str out;
    struct gwen_err looks_err;
    enum gwen_status looks_status;
};

/* --- rows ----------------------------------------------------------------------------------- */

static bool grow(struct judge *s) {
    if (s->n < s->cap) return true;
    size_t cap = s->cap == 0 ? GW_JUDGE_CHUNK : 2 * s->cap;
    struct row *rows = realloc(s->rows, cap * sizeof *rows);
    if (rows == NULL) return false;
    s->rows = rows;
    s->cap = cap;
    return true;
}

static enum gwen_status add_row(struct judge *s, const struct gw_line *line, struct gwen_err *err) {
    struct gw_row json = {.file = gw_lines_name(s->lines), .line = line->number};
    if (!grow(s)) return gw_nomem(err, s->cap * sizeof *s->rows, "rows");
    struct row *row = &s->rows[s->n];
    struct gw_judge_item *i = &row->item;
    GW_TRY(gw_row_parse(line->text, line->len, json.file, json.line, &json.obj, err));
    enum gwen_status status =
        gw_row_string(&json, "prompt", GW_JSON_REQUIRED, &i->prompt, &i->prompt_len, err);
    if (status == GWEN_OK)
        status =
            gw_row_string(&json, "response", GW_JSON_REQUIRED, &i->response, &i->response_len, err);
    if (status == GWEN_OK)
        status = gw_err_prefix(err, gw_judge_check(s->j.judge, i, err), "%s:%" PRIu64, json.file,
                               json.line);
    if (status != GWEN_OK) {
        json_decref(json.obj);
        return status;
    }
    row->obj = json.obj;
    s->n++;
    return GWEN_OK;
}

/* As many rows as are judged together, so that they are answered as soon as they are; the other
 * mode is asked about all rows together. */
static enum gwen_status read_rows(struct judge *s, bool *more, struct gwen_err *err) {
    const size_t chunk = gw_judge_stats(s->j.judge).chunk;
    const size_t window = chunk > 0 ? chunk : GW_JUDGE_CHUNK;
    *more = true;
    while (s->n < window || s->compare) {
        struct gw_line line;
        GW_TRY(gw_lines_next(s->lines, &line, more, err));
        if (!*more) return GWEN_OK;
        GW_TRY(add_row(s, &line, err));
    }
    return GWEN_OK;
}

static void clear_rows(struct judge *s) {
    for (size_t i = 0; i < s->n; i++) json_decref(s->rows[i].obj);
    s->before += s->n;
    s->n = 0;
}

/* --- output --------------------------------------------------------------------------------- */

static void put_row(struct judge *s, size_t i) {
    const struct gw_rubric *r = &s->j.rubric;
    const json_t *id = json_object_get(s->rows[i].obj, "id");
    gw_str_putc(&s->out, '{');
    if (id != NULL) {
        gw_str_puts(&s->out, "\"id\":");
        gw_str_put_row(&s->out, id);
        gw_str_putc(&s->out, ',');
    }
    gw_str_puts(&s->out, "\"scores\":");
    gw_judge_put_scores(&s->out, r, &s->verdicts[i * r->n]);
    gw_str_puts(&s->out, ",\"reward\":");
    gw_str_put_double(&s->out, gw_judge_reward(r, &s->verdicts[i * r->n]));
    if (s->compare) {
        gw_str_puts(&s->out, ",\"other_scores\":");
        gw_judge_put_scores(&s->out, r, &s->others[i * r->n]);
        gw_str_puts(&s->out, ",\"other_reward\":");
        gw_str_put_double(&s->out, gw_judge_reward(r, &s->others[i * r->n]));
    }
    gw_str_puts(&s->out, "}\n");
}

/* One verdict with what it was come by. */
static void on_look(void *ctx, const struct gw_judge_look *look) {
    struct judge *s = ctx;
    const struct gw_criterion *c = &s->j.rubric.criteria[look->criterion];
    struct gw_str line = {0};
    if (s->looks_status != GWEN_OK) return;
    gw_str_printf(&line, "{\"row\":%zu,\"criterion\":", look->item);
    gw_str_put_json(&line, c->name, strlen(c->name));
    gw_str_puts(&line, ",\"prompt_ids\":[");
    for (size_t i = 0; i < look->n_prompt; i++)
        gw_str_printf(&line, "%s%d", i > 0 ? "," : "", (int)look->prompt_ids[i]);
    gw_str_puts(&line, look->logits != NULL ? "],\"logits\":[" : "],\"ids\":[");
    for (size_t i = 0; look->logits != NULL && i < GW_GRADES; i++) {
        if (i > 0) gw_str_putc(&line, ',');
        gw_str_put_float(&line, look->logits[i]);
    }
    for (size_t i = 0; look->logits == NULL && i < look->n; i++)
        gw_str_printf(&line, "%s%d", i > 0 ? "," : "", (int)look->ids[i]);
    gw_str_puts(&line, "],\"grade\":");
    gw_str_put_float(&line, look->verdict.grade);
    gw_str_printf(&line, ",\"parsed\":%s}\n", look->verdict.parsed ? "true" : "false");
    s->looks_status = line.failed ? gw_nomem(&s->looks_err, line.len, "a verdict")
                                  : gw_out_write(s->looks, line.data, line.len, &s->looks_err);
    gw_str_free(&line);
}

/* --- how the two modes agree ---------------------------------------------------------------- */

struct pairs {
    size_t n, same;
    double difference, x, y, xx, yy, xy;
};

static void add_pair(struct pairs *p, double x, double y) {
    p->n++;
    p->same += round(x) == round(y);
    p->difference += fabs(x - y);
    p->x += x;
    p->y += y;
    p->xx += x * x;
    p->yy += y * y;
    p->xy += x * y;
}

static void put_pairs(struct gw_str *out, const char *name, const struct pairs *p) {
    double n = (double)p->n, cov = n * p->xy - p->x * p->y;
    double spread = (n * p->xx - p->x * p->x) * (n * p->yy - p->y * p->y);
    gw_str_put_json(out, name, strlen(name));
    gw_str_printf(out, ":{\"verdicts\":%zu,\"same\":", p->n);
    gw_str_put_double(out, (double)p->same / n);
    gw_str_puts(out, ",\"mean_difference\":");
    gw_str_put_double(out, p->difference / n);
    gw_str_puts(out, ",\"correlation\":");
    gw_str_put_double(out, spread > 1e-9 * n ? cov / sqrt(spread) : NAN);
    gw_str_putc(out, '}');
}

static void put_agreement(struct judge *s) {
    const struct gw_rubric *r = &s->j.rubric;
    struct pairs all = {0};
    if (s->n == 0) return;
    gw_str_puts(&s->out, "{\"agreement\":{");
    for (size_t k = 0; k < r->n; k++) {
        struct pairs p = {0};
        for (size_t i = 0; i < s->n; i++) {
            double x = (double)s->verdicts[i * r->n + k].grade;
            double y = (double)s->others[i * r->n + k].grade;
            add_pair(&p, x, y);
            add_pair(&all, x, y);
        }
        put_pairs(&s->out, r->criteria[k].name, &p);
        gw_str_putc(&s->out, ',');
    }
    put_pairs(&s->out, "all criteria", &all);
    gw_str_puts(&s->out, "}}\n");
}

/* --- the run -------------------------------------------------------------------------------- */

static enum gwen_status start(struct judge *s, enum gw_judge_mode mode, struct gwen_err *err) {
    return gw_judging_start(&s->j, mode, s->looks != NULL ? on_look : NULL, s, err);
}

static enum gwen_status judge_rows(struct judge *s, struct gw_verdict **verdicts,
                                   struct gwen_err *err) {
    *verdicts = realloc(*verdicts, (s->n * s->j.rubric.n + 1) * sizeof **verdicts);
    struct gw_judge_item *items = realloc(s->items, (s->n + 1) * sizeof *items);
    if (items != NULL) s->items = items;
    if (*verdicts == NULL || items == NULL) return gw_nomem(err, s->n, "verdicts");
    for (size_t i = 0; i < s->n; i++) items[i] = s->rows[i].item;
    return gw_judge_run(s->j.judge, items, s->n, s->before + 1, *verdicts, err);
}

static enum gwen_status answer(struct judge *s, struct gw_cli *cli, struct gwen_err *err) {
    const enum gw_judge_mode mode = (enum gw_judge_mode)s->j.mode;
    GW_TRY(judge_rows(s, &s->verdicts, err));
    if (s->compare) {
        gw_judging_stop(&s->j);
        GW_TRY(start(s, mode == GW_JUDGE_LOGITS ? GW_JUDGE_GENERATE : GW_JUDGE_LOGITS, err));
        GW_TRY(judge_rows(s, &s->others, err));
    }
    for (size_t i = 0; i < s->n; i++) put_row(s, i);
    if (s->compare) put_agreement(s);
    clear_rows(s);
    return gw_cli_put(cli, &s->out, err);
}

/* Rows before a bad one are answered, then it is told. */
static enum gwen_status answer_all(struct judge *s, struct gw_cli *cli, struct gwen_err *err) {
    bool more = true;
    while (more) {
        struct gwen_err bad;
        enum gwen_status read = read_rows(s, &more, &bad);
        if (s->n > 0) GW_TRY(answer(s, cli, err));
        if (read == GWEN_OK) continue;
        *err = bad;
        return read;
    }
    return GWEN_OK;
}

static enum gwen_status judge(struct judge *s, struct gw_cli *cli, struct gwen_err *err) {
    GW_TRY(gw_output_check(cli, "verdicts", s->verdicts_path, s->overwrite, err));
    GW_TRY(gw_judging_open(&s->j, cli, err));
    GW_TRY(s->in != NULL && strcmp(s->in, "-") != 0
               ? gw_lines_open(s->in, GW_ROW_MAX_BYTES, &s->lines, err)
               : gw_lines_open_fd(STDIN_FILENO, "stdin", GW_ROW_MAX_BYTES, &s->lines, err));
    if (s->verdicts_path != NULL) GW_TRY(gw_out_open(s->verdicts_path, &s->looks, err));
    GW_TRY(start(s, (enum gw_judge_mode)s->j.mode, err));
    GW_TRY(answer_all(s, cli, err));
    gw_judging_stop(&s->j);
    if (s->looks == NULL) return GWEN_OK;
    if (s->looks_status != GWEN_OK) {
        *err = s->looks_err;
        return s->looks_status;
    }
    struct gw_out *looks = s->looks;
    s->looks = NULL;
    return gw_out_commit(looks, err);
}

int gw_cmd_judge(struct gw_cli *cli, int argc, char **argv) {
    struct judge s = {.j = GW_JUDGING_INIT};
    int code;
    if (!gw_judging_environment(&s.j, cli, &code)) return code;
    const struct gw_option options[] = {
        GW_OPT_STRING("rubric", 0, &s.j.rubric_path, "FILE", "rubric, a JSON file"),
        GW_OPT_STRING("in", 'i', &s.in, "FILE",
                      "rows to grade, a JSONL file (default: standard input)"),
        GW_OPT_ADAPTER(cli),
        GW_OPT_STRING("judge-model", 0, &s.j.model, "DIR", "same as --model"),
        GW_JUDGING_OPTIONS(s.j),
        GW_OPT_STRING("cache", 0, &s.j.cache_path, "FILE",
                      "cache of verdicts, an SQLite file; created if missing"),
        GW_OPT_FLAG("compare", 0, &s.compare, "grade in both modes and report how well they agree"),
        GW_OPT_STRING("verdicts", 0, &s.verdicts_path, "FILE",
                      "write the tokens and logits of each verdict"),
        GW_OPT_OVERWRITE(&s.overwrite),
        GW_OPT_FLAG("no-prefix-tree", 0, &s.j.no_sharing,
                    "compute each prompt by itself instead of sharing prefixes"),
    };
    const struct gw_cli_spec spec = {
        "--model DIR --rubric FILE [options] <rows.jsonl",
        "Grades responses from 1 to 5.  Reads rows of JSON {\"prompt\", \"response\"} with an\n"
        "optional \"id\" and writes for each, in the same order,\n"
        "{\"id\", \"scores\": {CRITERION: GRADE}, \"reward\"}; the reward is the sum over the\n"
        "criteria of (grade - 3) / 2 * weight.\n"
        "\n"
        "The rubric is an object with \"system\", \"template\" (in which {prompt}, {response} and\n"
        "{criterion} are filled in, the criterion best last) and \"criteria\": a list of\n"
        "{\"name\", \"description\", \"weight\"}.\n"
        "\n"
        "--judge-mode generate: the grade is the last digit from 1 to 5 that stands alone in\n"
        "--max-tokens greedy tokens; 3 where there is none, which is counted.\n"
        "--judge-mode logits: the mean grade under the softmax over the tokens \"1\" to \"5\" at\n"
        "the first place; nothing is generated.\n"
        "\n"
        "Text that prompts share is computed once.  Chunks, sharing and the cache never\n"
        "change a verdict.  RUBRIC_JUDGE_BATCH_SIZE sets the default of --judge-chunk-size.",
        options,
        GW_ARRAY_LEN(options),
        0,
        false};
    if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
    if (!gw_judging_check(&s.j, cli, &code)) return code;
    if (s.verdicts_path != NULL && s.j.cache_path != NULL)
        return gw_cli_usage(cli, "a --cache keeps no tokens and logits, which --verdicts writes: "
                                 "give one of the two");
    struct gwen_err err;
    enum gwen_status status = judge(&s, cli, &err);
    gw_out_abort(s.looks);
    clear_rows(&s);
    free(s.rows);
    free(s.items);
    free(s.verdicts);
    free(s.others);
    gw_lines_close(s.lines);
    gw_str_free(&s.out);
    gw_judging_close(&s.j);
    return gw_cli_end(cli, status, &err);
}

/* samples.c - see impl.h: the samples of a run, a page for each step.
 *
 * A row of rollouts/step-N.jsonl has "prompt_id", "prompt", "text", "finish_reason", "ids", "meta",
 * "rewards", "reward", "advantage".  Besides, every object in it gives a column for each of its
 * numbers and short texts: verdicts of a judge come beside the rewards like that. */
#include "service/report/impl.h"

#include "base/json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { CELL_BYTES = 200, META_BYTES = 400, COLUMN_BYTES = 2 * GW_REPORT_NAME };

/* Samples of one step that are shown, and what they have. */
struct page {
    json_t **rows; /* [n] */
    size_t n, cap, total;
    char *columns[GW_REPORT_SCORES]; /* "length", "judge/clarity" */
    size_t n_columns, columns_left_out;
    struct gw_str problem; /* why it ends early; data NULL: it does not */
};

/* --- reading -------------------------------------------------------------------------------- */

/* Of a row that is shown only what is needed stays in memory. */
static void strip(json_t *row) {
    const json_t *ids = json_object_get(row, "ids");
    json_object_set_new(row, "n_tokens", json_integer((json_int_t)json_array_size(ids)));
    json_object_del(row, "ids");
    json_object_del(row, "prompt_ids");
    json_object_del(row, "logprobs");
}

static enum gwen_status read_rows(struct page *p, struct gw_lines *lines, struct gwen_err *err) {
    for (;;) {
        struct gw_line line;
        bool more;
        GW_TRY(gw_lines_next(lines, &line, &more, err));
        if (!more) return GWEN_OK;
        p->total++;
        if (p->n == p->cap) continue; /* only counted */
        GW_TRY(gw_row_parse(line.text, line.len, gw_lines_name(lines), line.number, &p->rows[p->n],
                            err));
        strip(p->rows[p->n++]);
    }
}

static enum gwen_status read_page(const struct gw_report_run *run, uint64_t step, struct page *p,
                                  struct gwen_err *err) {
    char name[64];
    struct gw_str path = {0};
    struct gw_lines *lines = NULL;
    struct gwen_err bad;
    snprintf(name, sizeof name, "rollouts/step-%" PRIu64 ".jsonl", step);
    GW_TRY(gw_path_join(&path, run->dir, name, err));
    enum gwen_status status = gw_lines_open(path.data, GW_REPORT_LINE, &lines, &bad);
    if (status == GWEN_OK) status = read_rows(p, lines, &bad);
    gw_lines_close(lines);
    gw_str_free(&path);
    /* What is wrong with a row is for the page; what is wrong with the machine is no page. */
    if (status != GWEN_OK && status != GWEN_ERR_FORMAT) return gw_err_copy(err, &bad);
    if (status != GWEN_OK) gw_str_puts(&p->problem, bad.message);
    return p->problem.failed ? gw_nomem(err, sizeof bad.message, "a page") : GWEN_OK;
}

static void clear_page(struct page *p) {
    for (size_t i = 0; i < p->n; i++) json_decref(p->rows[i]);
    for (size_t i = 0; i < p->n_columns; i++) free(p->columns[i]);
    gw_str_free(&p->problem);
    *p = (struct page){.rows = p->rows, .cap = p->cap};
}

/* --- columns -------------------------------------------------------------------------------- */

static bool is_cell(const json_t *v) {
    return json_is_number(v) || json_is_string(v) || json_is_boolean(v) || json_is_null(v);
}

static enum gwen_status add_column(struct page *p, const char *object, const char *member,
                                   struct gwen_err *err) {
    char name[COLUMN_BYTES];
    const int len = snprintf(name, sizeof name, "%s/%s", object, member);
    if (len < 0 || (size_t)len >= sizeof name) {
        p->columns_left_out++;
        return GWEN_OK;
    }
    for (size_t i = 0; i < p->n_columns; i++)
        if (strcmp(p->columns[i], name) == 0) return GWEN_OK;
    if (p->n_columns == GW_REPORT_SCORES) {
        p->columns_left_out++;
        return GWEN_OK;
    }
    p->columns[p->n_columns] = strdup(name);
    return p->columns[p->n_columns++] != NULL ? GWEN_OK : gw_nomem(err, sizeof name, "a column");
}

static enum gwen_status find_columns(struct page *p, struct gwen_err *err) {
    for (size_t i = 0; i < p->n; i++) {
        const char *key, *name;
        json_t *object, *cell;
        json_object_foreach(p->rows[i], key, object) {
            if (!json_is_object(object) || strcmp(key, "meta") == 0) continue;
            json_object_foreach(object, name, cell) {
                if (is_cell(cell)) GW_TRY(add_column(p, key, name, err));
            }
        }
    }
    return GWEN_OK;
}

/* The value of a column in a row, NULL: it has none. */
static const json_t *cell_of(const json_t *row, const char *column) {
    const char *key;
    json_t *object;
    json_object_foreach((json_t *)row, key, object) {
        const size_t n = strlen(key);
        if (!json_is_object(object) || strncmp(column, key, n) != 0 || column[n] != '/') continue;
        const json_t *cell = json_object_get(object, column + n + 1);
        if (cell != NULL) return cell;
    }
    return NULL;
}

/* --- writing -------------------------------------------------------------------------------- */

/* At most `limit` bytes, and then how many there would be more. */
static void put_cut(struct gw_str *out, const char *text, size_t len, size_t limit) {
    size_t n = len;
    if (n > limit) {
        n = limit;
        while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80) n--;
    }
    gw_report_put_html(out, text, n);
    if (n < len) gw_str_printf(out, "<i> \u2026 and %zu bytes more</i>", len - n);
}

static void put_string(struct gw_str *out, const json_t *v, size_t limit) {
    put_cut(out, json_string_value(v), json_string_length(v), limit);
}

static void put_cell(struct gw_str *out, const json_t *v) {
    if (json_is_string(v))
        put_string(out, v, CELL_BYTES);
    else if (json_is_number(v))
        gw_report_put_number(out, json_number_value(v));
    else
        gw_str_puts(out, json_is_true(v) ? "yes" : json_is_false(v) ? "no" : "-");
}

static void put_number_cell(struct gw_str *out, const json_t *v) {
    const double value = json_is_number(v) ? json_number_value(v) : 0;
    gw_str_printf(out, "<td class=\"num%s\">", value > 0 ? " good" : value < 0 ? " bad" : "");
    put_cell(out, v);
    gw_str_puts(out, "</td>");
}

/* Rewards are called by their names alone. */
static const char *column_title(const char *column) {
    return strncmp(column, "rewards/", 8) == 0 ? column + 8 : column;
}

static void put_head(const struct page *p, struct gw_str *out) {
    gw_str_puts(out, "<tr><th>completion</th><th class=\"num\">tokens</th>");
    for (size_t i = 0; i < p->n_columns; i++) {
        const char *title = column_title(p->columns[i]);
        gw_str_puts(out, "<th class=\"num\">");
        gw_report_put_html(out, title, strlen(title));
        gw_str_puts(out, "</th>");
    }
    gw_str_puts(out, "<th class=\"num\">reward</th><th class=\"num\">advantage</th></tr>");
}

static void put_row(const struct page *p, const json_t *row, struct gw_str *out) {
    const json_t *text = json_object_get(row, "text");
    const char *finish = json_string_value(json_object_get(row, "finish_reason"));
    gw_str_puts(out, "<tr><td class=\"text\"><bdi>");
    if (json_is_string(text)) put_string(out, text, GW_REPORT_TEXT);
    if (finish != NULL && strcmp(finish, "length") == 0)
        gw_str_puts(out, " <i>\u2026 cut off at the limit</i>");
    gw_str_puts(out, "</bdi></td><td class=\"num\">");
    put_cell(out, json_object_get(row, "n_tokens"));
    gw_str_puts(out, "</td>");
    for (size_t i = 0; i < p->n_columns; i++) {
        gw_str_puts(out, "<td class=\"num\">");
        put_cell(out, cell_of(row, p->columns[i]));
        gw_str_puts(out, "</td>");
    }
    gw_str_puts(out, "<td class=\"num\"><b>");
    put_cell(out, json_object_get(row, "reward"));
    gw_str_puts(out, "</b></td>");
    put_number_cell(out, json_object_get(row, "advantage"));
    gw_str_puts(out, "</tr>\n");
}

/* The prompt with what its row of data says besides, above its completions. */
static void put_prompt(const json_t *row, struct gw_str *out) {
    const json_t *prompt = json_object_get(row, "prompt"), *meta = json_object_get(row, "meta");
    gw_str_puts(out, "<div class=\"prompt\"><span>prompt ");
    put_cell(out, json_object_get(row, "prompt_id"));
    gw_str_puts(out, "</span><bdi>");
    if (json_is_string(prompt)) put_string(out, prompt, GW_REPORT_TEXT);
    gw_str_puts(out, "</bdi>");
    if (json_is_object(meta) && json_object_size(meta) > 0) {
        struct gw_str json = {0};
        gw_str_put_row(&json, meta);
        out->failed |= json.failed;
        gw_str_puts(out, "<code>");
        if (!json.failed) put_cut(out, json.data, json.len, META_BYTES);
        gw_str_puts(out, "</code>");
        gw_str_free(&json);
    }
    gw_str_puts(out, "</div>\n");
}

static bool same_prompt(const json_t *a, const json_t *b) {
    return json_equal(json_object_get(a, "prompt_id"), json_object_get(b, "prompt_id")) != 0;
}

static void put_groups(const struct page *p, struct gw_str *out) {
    for (size_t i = 0; i < p->n; i++) {
        const bool first = i == 0 || !same_prompt(p->rows[i], p->rows[i - 1]);
        if (first && i > 0) gw_str_puts(out, "</table></div>\n");
        if (first) {
            put_prompt(p->rows[i], out);
            gw_str_puts(out, "<div class=\"wide\"><table>");
            put_head(p, out);
        }
        put_row(p, p->rows[i], out);
    }
    if (p->n > 0) gw_str_puts(out, "</table></div>\n");
}

static void put_page(const struct gw_report_run *run, size_t number, uint64_t step,
                     const struct page *p, struct gw_str *out) {
    gw_str_printf(out,
                  "<details class=\"page\" data-run=\"%zu\" data-step=\"%" PRIu64
                  "\"><summary><b class=\"c%zu\">",
                  number, step, number % 8);
    gw_report_put_html(out, run->name, strlen(run->name));
    gw_str_printf(out, "</b> step %" PRIu64 " <small>%zu of %zu%s completions", step, p->n,
                  p->total, p->problem.data != NULL ? " or more" : "");
    if (p->columns_left_out > 0) gw_str_printf(out, ", %zu scores left out", p->columns_left_out);
    gw_str_puts(out, "</small></summary>\n");
    if (p->problem.data != NULL) {
        gw_str_puts(out, "<p class=\"note\">");
        gw_report_put_html(out, p->problem.data, p->problem.len);
        gw_str_puts(out, "</p>\n");
    }
    put_groups(p, out);
    gw_str_puts(out, "</details>\n");
}

/* --- pages ---------------------------------------------------------------------------------- */

/* Of n things the i-th of k evenly spaced ones, the first and the last among them. */
static size_t spaced(size_t n, size_t k, size_t i) { return k > 1 ? i * (n - 1) / (k - 1) : n - 1; }

static enum gwen_status write_page(const struct gw_report_run *run, size_t number, uint64_t step,
                                   struct page *p, struct gw_out *file, struct gwen_err *err) {
    struct gw_str out = {0};
    enum gwen_status status = read_page(run, step, p, err);
    if (status == GWEN_OK) status = find_columns(p, err);
    if (status == GWEN_OK) put_page(run, number, step, p, &out);
    if (status == GWEN_OK && (out.failed || p->problem.failed))
        status = gw_nomem(err, out.len, "samples");
    if (status == GWEN_OK) status = gw_out_write(file, out.data, out.len, err);
    gw_str_free(&out);
    return status;
}

enum gwen_status gw_report_put_samples(const struct gw_report_run *run, size_t number,
                                       const struct gw_report_opts *opts, struct gw_out *file,
                                       struct gwen_err *err) {
    const size_t pages = GW_MIN(run->n_sample_steps, opts->sample_steps);
    enum gwen_status status = GWEN_OK;
    struct page p = {.rows = malloc((opts->samples + 1) * sizeof *p.rows), .cap = opts->samples};
    if (p.rows == NULL) return gw_nomem(err, opts->samples * sizeof *p.rows, "samples");
    for (size_t i = 0; i < pages && status == GWEN_OK; i++) {
        const uint64_t step = run->sample_steps[spaced(run->n_sample_steps, pages, i)];
        status = write_page(run, number, step, &p, file, err);
        clear_page(&p);
    }
    free(p.rows);
    return status;
}

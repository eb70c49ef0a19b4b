/* records.c - see records.h. */
#include "service/rollout/records.h"

#include "base/file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum form { UNKNOWN, LINES, ARRAY, CSV };

struct field {
    size_t at, len; /* in text */
    bool quoted;
};

struct gw_records {
    struct gw_lines *lines;
    const char *name;
    size_t max_bytes;
    enum form form;
    struct gw_str text; /* of the row in progress */
    /* array */
    bool begun, closed; /* an element was read; the ']' was */
    /* CSV */
    struct field *fields; /* [GW_CSV_MAX_COLUMNS] */
    size_t n_fields, n_columns;
    char **columns; /* [n_columns] */
};

static enum gwen_status fail_at(const struct gw_records *r, uint64_t line, struct gwen_err *err,
                                const char *what) {
    return gw_fail(err, GWEN_ERR_FORMAT, "%s:%" PRIu64 ": %s", r->name, line, what);
}

/* The line of the next byte. */
static uint64_t line_now(const struct gw_records *r) { return gw_lines_number(r->lines) + 1; }

static enum gwen_status keep(struct gw_records *r, int c, uint64_t line, struct gwen_err *err) {
    if (r->text.len >= r->max_bytes)
        return gw_fail(err, GWEN_ERR_FORMAT, "%s:%" PRIu64 ": row longer than %zu bytes", r->name,
                       line, r->max_bytes);
    gw_str_putc(&r->text, (char)c);
    return r->text.failed ? gw_nomem(err, r->text.len, r->name) : GWEN_OK;
}

static bool is_blank(int c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* The first byte that is not blank, which is left; -1 at the end. */
static enum gwen_status skip_blank(struct gw_records *r, int *c, struct gwen_err *err) {
    for (;;) {
        GW_TRY(gw_lines_peek(r->lines, c, err));
        if (!is_blank(*c)) return GWEN_OK;
        gw_lines_skip(r->lines);
    }
}

/* --- a line each ---------------------------------------------------------------------------- */

static bool is_blank_line(const struct gw_line *line) {
    for (size_t i = 0; i < line->len; i++)
        if (!is_blank(line->text[i])) return false;
    return true;
}

static enum gwen_status next_line(struct gw_records *r, struct gw_row *row, bool *more,
                                  struct gwen_err *err) {
    struct gw_line line;
    do {
        GW_TRY(gw_lines_next(r->lines, &line, more, err));
        if (!*more) return GWEN_OK;
    } while (is_blank_line(&line));
    row->line = line.number;
    return gw_row_parse(line.text, line.len, r->name, line.number, &row->obj, err);
}

/* --- an array ------------------------------------------------------------------------------- */

/* The text of an element, up to the ',' or ']' after it, which is left.  Whether it is JSON is seen
 * when it is parsed. */
static enum gwen_status take_element(struct gw_records *r, uint64_t line, struct gwen_err *err) {
    size_t depth = 0;
    bool in_string = false, escaped = false;
    gw_str_clear(&r->text);
    for (;;) {
        int c;
        GW_TRY(gw_lines_peek(r->lines, &c, err));
        if (c < 0) return fail_at(r, line, err, "the file ends in this element of the array");
        if (!in_string && depth == 0 && (c == ',' || c == ']')) return GWEN_OK;
        if (in_string) {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
        GW_TRY(keep(r, c, line, err));
        gw_lines_skip(r->lines);
    }
}

static enum gwen_status close_array(struct gw_records *r, struct gwen_err *err) {
    int c;
    GW_TRY(skip_blank(r, &c, err));
    return c < 0 ? GWEN_OK : fail_at(r, line_now(r), err, "something stands after the array's end");
}

static enum gwen_status next_element(struct gw_records *r, struct gw_row *row, bool *more,
                                     struct gwen_err *err) {
    int c;
    if (r->closed) return close_array(r, err);
    GW_TRY(skip_blank(r, &c, err));
    if (c == ']' && !r->begun) {
        gw_lines_skip(r->lines);
        r->closed = true;
        return close_array(r, err);
    }
    row->line = line_now(r);
    if (c == ']' || c == ',')
        return fail_at(r, row->line, err, "an element of the array is missing");
    GW_TRY(take_element(r, row->line, err));
    GW_TRY(gw_lines_peek(r->lines, &c, err));
    gw_lines_skip(r->lines);
    r->closed = c == ']';
    r->begun = *more = true;
    return gw_row_parse(r->text.data, r->text.len, r->name, row->line, &row->obj, err);
}

/* --- CSV ------------------------------------------------------------------------------------ */

/* What stands in quotes; the one that opens has been read. */
static enum gwen_status take_quoted(struct gw_records *r, uint64_t line, struct gwen_err *err) {
    for (;;) {
        int c;
        GW_TRY(gw_lines_peek(r->lines, &c, err));
        if (c < 0) return fail_at(r, line, err, "a quote of this row is not closed");
        gw_lines_skip(r->lines);
        if (c == '"') {
            GW_TRY(gw_lines_peek(r->lines, &c, err));
            if (c != '"') return GWEN_OK;
            gw_lines_skip(r->lines);
        }
        GW_TRY(keep(r, c, line, err));
    }
}

static bool ends_field(int c) { return c == ',' || c == '\n' || c < 0; }

/* A field up to the ',', the '\n' or the end after it, *stop, which has been read. */
static enum gwen_status take_field(struct gw_records *r, uint64_t line, int *stop,
                                   struct gwen_err *err) {
    if (r->n_fields == GW_CSV_MAX_COLUMNS) return fail_at(r, line, err, "too many columns");
    struct field *f = &r->fields[r->n_fields++];
    *f = (struct field){.at = r->text.len};
    GW_TRY(gw_lines_peek(r->lines, stop, err));
    f->quoted = *stop == '"';
    if (f->quoted) {
        gw_lines_skip(r->lines);
        GW_TRY(take_quoted(r, line, err));
        f->len = r->text.len - f->at;
    }
    bool returned = false; /* a '\r' that may belong to the line's end */
    for (;; gw_lines_skip(r->lines)) {
        GW_TRY(gw_lines_peek(r->lines, stop, err));
        if (ends_field(*stop)) break;
        if (f->quoted && (*stop != '\r' || returned))
            return fail_at(r, line, err, "expected a comma after a quoted field");
        if (*stop == '"')
            return fail_at(r, line, err, "a quote inside of a field that has none around it");
        returned = *stop == '\r';
        if (!f->quoted) GW_TRY(keep(r, *stop, line, err));
    }
    if (*stop >= 0) gw_lines_skip(r->lines);
    if (f->quoted && returned && *stop == ',')
        return fail_at(r, line, err, "expected a comma after a quoted field");
    if (!f->quoted && returned && *stop != ',') r->text.len--;
    if (!f->quoted) f->len = r->text.len - f->at;
    return GWEN_OK;
}

static bool is_blank_row(const struct gw_records *r) {
    if (r->n_fields != 1 || r->fields[0].quoted) return false;
    for (size_t i = 0; i < r->text.len; i++)
        if (!is_blank(r->text.data[i])) return false;
    return true;
}

static enum gwen_status take_row(struct gw_records *r, uint64_t *line, bool *more,
                                 struct gwen_err *err) {
    do {
        int c;
        *line = line_now(r);
        GW_TRY(gw_lines_peek(r->lines, &c, err));
        *more = c >= 0;
        if (!*more) return GWEN_OK;
        gw_str_clear(&r->text);
        r->n_fields = 0;
        do {
            GW_TRY(take_field(r, *line, &c, err));
        } while (c == ',');
    } while (is_blank_row(r));
    return GWEN_OK;
}

static enum gwen_status take_header(struct gw_records *r, struct gwen_err *err) {
    uint64_t line;
    bool more;
    GW_TRY(take_row(r, &line, &more, err));
    if (!more) return GWEN_OK;
    r->columns = calloc(r->n_fields, sizeof *r->columns);
    if (r->columns == NULL) return gw_nomem(err, r->n_fields * sizeof *r->columns, r->name);
    for (size_t i = 0; i < r->n_fields; i++) {
        const struct field *f = &r->fields[i];
        const char *at = f->len > 0 ? r->text.data + f->at : "";
        if (memchr(at, 0, f->len) != NULL || !gw_utf8_is_valid(at, f->len))
            return fail_at(r, line, err, "a column's name is no UTF-8 text");
        for (size_t k = 0; k < i; k++)
            if (strlen(r->columns[k]) == f->len && memcmp(r->columns[k], at, f->len) == 0)
                return gw_fail(err, GWEN_ERR_FORMAT,
                               "%s:%" PRIu64 ": two columns are called \"%s\"", r->name, line,
                               r->columns[k]);
        r->columns[i] = strndup(at, f->len);
        if (r->columns[i] == NULL) return gw_nomem(err, f->len, r->name);
        r->n_columns++;
    }
    return GWEN_OK;
}

static enum gwen_status put_fields(const struct gw_records *r, const struct gw_row *row,
                                   struct gwen_err *err) {
    for (size_t i = 0; i < r->n_columns; i++) {
        const struct field *f = &r->fields[i];
        const char *at = f->len > 0 ? r->text.data + f->at : "";
        if (!gw_utf8_is_valid(at, f->len))
            return gw_row_fail(row, err, "column \"%s\" is not UTF-8", r->columns[i]);
        json_t *v = f->len == 0 && !f->quoted ? json_null() : json_stringn(at, f->len);
        if (json_object_set_new(row->obj, r->columns[i], v) != 0)
            return gw_nomem(err, f->len, r->name);
    }
    return GWEN_OK;
}

static enum gwen_status next_csv(struct gw_records *r, struct gw_row *row, bool *more,
                                 struct gwen_err *err) {
    if (r->columns == NULL) GW_TRY(take_header(r, err));
    GW_TRY(take_row(r, &row->line, more, err));
    if (!*more) return GWEN_OK;
    if (r->n_fields != r->n_columns)
        return gw_row_fail(row, err, "%zu fields, but the header has %zu", r->n_fields,
                           r->n_columns);
    row->obj = json_object();
    if (row->obj == NULL) return gw_nomem(err, r->text.len, r->name);
    enum gwen_status status = put_fields(r, row, err);
    if (status == GWEN_OK) return GWEN_OK;
    json_decref(row->obj);
    row->obj = NULL;
    return status;
}

/* --- opening, reading, closing -------------------------------------------------------------- */

static bool is_csv(const char *name) {
    size_t len = strlen(name);
    if (len > 3 && strcasecmp(name + len - 3, ".gz") == 0) len -= 3;
    return len > 4 && strncasecmp(name + len - 4, ".csv", 4) == 0;
}

static enum gwen_status find_form(struct gw_records *r, struct gwen_err *err) {
    int c;
    GW_TRY(gw_lines_skip_mark(r->lines, err));
    if (is_csv(r->name)) {
        r->fields = malloc(GW_CSV_MAX_COLUMNS * sizeof *r->fields);
        if (r->fields == NULL)
            return gw_nomem(err, GW_CSV_MAX_COLUMNS * sizeof *r->fields, r->name);
        r->form = CSV;
        return GWEN_OK;
    }
    GW_TRY(skip_blank(r, &c, err));
    if (c == '[') gw_lines_skip(r->lines);
    r->form = c == '[' ? ARRAY : LINES;
    return GWEN_OK;
}

enum gwen_status gw_records_next(struct gw_records *r, struct gw_row *row, bool *more,
                                 struct gwen_err *err) {
    *more = false;
    *row = (struct gw_row){.file = r->name};
    if (r->form == UNKNOWN) GW_TRY(find_form(r, err));
    switch (r->form) {
    case ARRAY: return next_element(r, row, more, err);
    case CSV: return next_csv(r, row, more, err);
    default: return next_line(r, row, more, err);
    }
}

static enum gwen_status wrap(struct gw_lines *lines, size_t max_bytes, struct gw_records **out,
                             struct gwen_err *err) {
    struct gw_records *r = calloc(1, sizeof *r);
    enum gwen_status status =
        r == NULL ? gw_nomem(err, sizeof *r, gw_lines_name(lines)) : gw_lines_unzip(lines, err);
    if (status != GWEN_OK) {
        gw_lines_close(lines);
        free(r);
        return status;
    }
    *r = (struct gw_records){.lines = lines, .name = gw_lines_name(lines), .max_bytes = max_bytes};
    *out = r;
    return GWEN_OK;
}

enum gwen_status gw_records_open(const char *path, size_t max_bytes, struct gw_records **out,
                                 struct gwen_err *err) {
    struct gw_lines *lines;
    *out = NULL;
    GW_TRY(gw_lines_open(path, max_bytes, &lines, err));
    return wrap(lines, max_bytes, out, err);
}

enum gwen_status gw_records_open_fd(int fd, const char *name, size_t max_bytes,
                                    struct gw_records **out, struct gwen_err *err) {
    struct gw_lines *lines;
    *out = NULL;
    GW_TRY(gw_lines_open_fd(fd, name, max_bytes, &lines, err));
    return wrap(lines, max_bytes, out, err);
}

void gw_records_close(struct gw_records *r) {
    if (r == NULL) return;
    gw_lines_close(r->lines);
    gw_str_free(&r->text);
    for (size_t i = 0; i < r->n_columns; i++) free(r->columns[i]);
    free(r->columns);
    free(r->fields);
    free(r);
}

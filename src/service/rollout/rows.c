/* rows.c - see rows.h. */
#include "service/rollout/rows.h"

#include "base/file.h"
#include "base/kind.h"
#include "base/rng.h"
#include "checkpoint/hub.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static bool is_blank(const struct gw_line *line) {
    for (size_t i = 0; i < line->len; i++)
        if (strchr(" \t\r", line->text[i]) == NULL || line->text[i] == 0) return false;
    return true;
}

static enum gwen_status take_line(const struct gw_line *line, const char *file, gw_rows_take *take,
                                  void *ctx, struct gwen_err *err) {
    struct gw_row row = {.file = file, .line = line->number};
    GW_TRY(gw_row_parse(line->text, line->len, file, line->number, &row.obj, err));
    enum gwen_status status = take(ctx, &row, err);
    json_decref(row.obj);
    return status;
}

static enum gwen_status read_lines(struct gw_lines *lines, const char *what, gw_rows_take *take,
                                   void *ctx, struct gwen_err *err) {
    const char *file = gw_lines_name(lines);
    struct gw_line line;
    bool more;
    for (size_t n = 0;; n++) {
        GW_TRY(gw_lines_next(lines, &line, &more, err));
        if (more && is_blank(&line)) {
            uint64_t number = line.number;
            GW_TRY(gw_lines_next(lines, &line, &more, err));
            if (more)
                return gw_fail(err, GWEN_ERR_FORMAT, "%s:%" PRIu64 ": an empty line is no %s", file,
                               number, what);
        }
        if (!more && n == 0) return gw_fail(err, GWEN_ERR_FORMAT, "%s: holds no %ss", file, what);
        if (!more) return GWEN_OK;
        GW_TRY(take_line(&line, file, take, ctx, err));
    }
}

/* A file that cannot hold rows is called by its name, before it is read as if it could. */
static enum gwen_status refuse_foreign(const char *path, struct gwen_err *err) {
    const enum gw_kind kind = gw_kind_of(path);
    switch (kind) {
    case GW_KIND_FOLDER:
        return gw_fail(err, GWEN_ERR_IO, "%s is a folder: name the file of rows, JSON lines", path);
    case GW_KIND_PARQUET:
    case GW_KIND_ARROW:
        return gw_fail(err, GWEN_ERR_UNSUPPORTED,
                       "%s is %s, and rows are read from JSON lines: convert it, in Python with "
                       "datasets.Dataset.%s(...).to_json(\"rows.jsonl\")",
                       path, gw_kind_name(kind),
                       kind == GW_KIND_PARQUET ? "from_parquet" : "from_file");
    case GW_KIND_GGUF:
    case GW_KIND_ZIP:
        return gw_fail(err, GWEN_ERR_UNSUPPORTED, "%s is %s, not rows of JSON lines", path,
                       gw_kind_name(kind));
    case GW_KIND_ABSENT:
        if (strchr(path, '/') == NULL || !gw_hub_is_id(path)) return GWEN_OK;
        return gw_fail(err, GWEN_ERR_IO,
                       "no file %s; if it is a data set of the Hugging Face hub, write it as JSON "
                       "lines first, in Python with "
                       "datasets.load_dataset(\"%s\", split=\"train\").to_json(\"rows.jsonl\")",
                       path, path);
    default: return GWEN_OK;
    }
}

enum gwen_status gw_rows_read(const char *path, size_t max_line, const char *what,
                              gw_rows_take *take, void *ctx, struct gwen_err *err) {
    struct gw_lines *lines;
    if (strcmp(path, "-") != 0) GW_TRY(refuse_foreign(path, err));
    if (strcmp(path, "-") == 0)
        GW_TRY(gw_lines_open_fd(STDIN_FILENO, GW_ROWS_STDIN, max_line, &lines, err));
    else
        GW_TRY(gw_lines_open(path, max_line, &lines, err));
    enum gwen_status status = read_lines(lines, what, take, ctx, err);
    gw_lines_close(lines);
    return status;
}

enum gwen_status gw_row_hash(const struct gw_row *row, uint64_t *hash, struct gwen_err *err) {
    struct gw_str text = {0};
    gw_str_put_row(&text, row->obj);
    enum gwen_status status = text.failed ? gw_nomem(err, text.len, "a row") : GWEN_OK;
    if (status == GWEN_OK) *hash = gw_hash64(text.data, text.len);
    gw_str_free(&text);
    return status;
}

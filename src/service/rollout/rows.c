/* rows.c - see rows.h. */
#include "service/rollout/rows.h"

#include "base/kind.h"
#include "base/rng.h"
#include "checkpoint/hub.h"
#include "service/rollout/records.h"

#include <string.h>
#include <unistd.h>

static enum gwen_status read_rows(struct gw_records *records, const char *file, const char *what,
                                  gw_rows_take *take, void *ctx, struct gwen_err *err) {
    for (size_t n = 0;; n++) {
        struct gw_row row;
        bool more;
        GW_TRY(gw_records_next(records, &row, &more, err));
        if (!more && n == 0) return gw_fail(err, GWEN_ERR_FORMAT, "%s: holds no %ss", file, what);
        if (!more) return GWEN_OK;
        enum gwen_status status = take(ctx, &row, err);
        json_decref(row.obj);
        if (status != GWEN_OK) return status;
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
    struct gw_records *records;
    const bool is_stdin = strcmp(path, "-") == 0;
    if (!is_stdin) GW_TRY(refuse_foreign(path, err));
    if (is_stdin)
        GW_TRY(gw_records_open_fd(STDIN_FILENO, GW_ROWS_STDIN, max_line, &records, err));
    else
        GW_TRY(gw_records_open(path, max_line, &records, err));
    enum gwen_status status =
        read_rows(records, is_stdin ? GW_ROWS_STDIN : path, what, take, ctx, err);
    gw_records_close(records);
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

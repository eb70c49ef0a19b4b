/* metrics_mend.c - metrics.jsonl after accidents: what can still be read stays, and people are told
 * what cannot. */
#include "base/checksum.h"
#include "base/file.h"
#include "base/json.h"
#include "service/record/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* What a reading of the file found. */
struct finding {
    uint64_t keep;
    int64_t last;        /* step of the last good row */
    size_t good, bad;    /* rows; those past `keep` count as neither */
    struct gw_out *copy; /* good rows go here; NULL: they are only counted */
};

/* The step of a row; false: it is none of ours. */
static bool read_step(const struct gw_line *line, const char *path, int64_t *step) {
    struct gw_row row = {.file = path, .line = line->number};
    if (gw_row_parse(line->text, line->len, path, line->number, &row.obj, NULL) != GWEN_OK)
        return false;
    const bool there =
        gw_row_i64(&row, "step", GW_JSON_REQUIRED, 0, INT64_MAX, step, NULL) == GWEN_OK;
    json_decref(row.obj);
    return there;
}

static enum gwen_status take_line(struct finding *f, const struct gw_line *line, const char *path,
                                  struct gwen_err *err) {
    int64_t step = 0;
    if (!read_step(line, path, &step) || step < f->last) {
        f->bad++;
        return GWEN_OK;
    }
    if ((uint64_t)step > f->keep) return GWEN_OK;
    f->last = step;
    f->good++;
    if (f->copy == NULL) return GWEN_OK;
    GW_TRY(gw_out_write(f->copy, line->text, line->len, err));
    return gw_out_write(f->copy, "\n", 1, err);
}

/* Reads all lines; a torn last one is what a killed process leaves, and no damage. */
static enum gwen_status read_all(const char *path, uint64_t size, struct finding *f,
                                 struct gwen_err *err) {
    struct gw_lines *lines;
    GW_TRY(gw_lines_open(path, GW_METRICS_MAX_LINE, &lines, err));
    enum gwen_status status = GWEN_OK;
    for (bool more = true; status == GWEN_OK && more;) {
        struct gw_line line;
        status = gw_lines_next(lines, &line, &more, err);
        if (status == GWEN_ERR_FORMAT) { /* endless: nothing behind it can be found again */
            f->bad++;
            status = GWEN_OK;
            break;
        }
        if (status != GWEN_OK || !more || line.offset + line.len >= size) break;
        status = take_line(f, &line, path, err);
    }
    gw_lines_close(lines);
    return status;
}

/* The damaged file is set aside before the good rows take its place. */
static enum gwen_status replace(const char *path, uint64_t size, uint64_t keep,
                                struct gwen_err *err) {
    struct finding f = {.keep = keep};
    struct gw_str aside = {0};
    gw_str_printf(&aside, "%s.damaged", path);
    enum gwen_status status =
        aside.failed ? gw_nomem(err, aside.len, path) : gw_file_copy(path, aside.data, err);
    gw_str_free(&aside);
    if (status != GWEN_OK) return status;
    GW_TRY(gw_out_open(path, &f.copy, err));
    status = read_all(path, size, &f, err);
    if (status == GWEN_OK) return gw_out_commit(f.copy, err);
    gw_out_abort(f.copy);
    return status;
}

static enum gwen_status is_as_it_was(const char *path, const struct gw_metrics_was *was, bool *same,
                                     struct gwen_err *err) {
    uint64_t bytes, sum;
    *same = true;
    if (!was->known) return GWEN_OK;
    GW_TRY(gw_file_checksum(path, was->bytes, &bytes, &sum, err));
    *same = bytes == was->bytes && sum == was->sum;
    return GWEN_OK;
}

static enum gwen_status mend(const char *path, const struct gw_metrics_was *was,
                             const struct gw_log *log, struct gwen_err *err) {
    struct finding f = {.keep = was->keep};
    struct stat st;
    bool same;
    if (stat(path, &st) != 0) {
        if (errno != ENOENT) return gw_sys_fail(err, "look at", path, errno);
        if (was->keep > 0)
            gw_log(log, GWEN_LOG_WARNING, "%s is gone: its rows begin again after step %" PRIu64,
                   path, was->keep);
        return GWEN_OK;
    }
    GW_TRY(is_as_it_was(path, was, &same, err));
    GW_TRY(read_all(path, (uint64_t)st.st_size, &f, err));
    if (same && f.bad == 0) return GWEN_OK;
    if (f.bad > 0)
        gw_log(log, GWEN_LOG_WARNING,
               "%s is damaged: %zu of its lines cannot be read, %zu rows are kept (the file as it "
               "was is %s.damaged)",
               path, f.bad, f.good, gw_path_base(path));
    else
        gw_log(log, GWEN_LOG_WARNING,
               "%s is not what it was when the checkpoint was made: rows are missing or were "
               "changed; %zu are there up to step %" PRIu64,
               path, f.good, was->keep);
    return f.bad > 0 ? replace(path, (uint64_t)st.st_size, was->keep, err) : GWEN_OK;
}

enum gwen_status gw_metrics_mend(const char *dir, const struct gw_metrics_was *was,
                                 const struct gw_log *log, struct gwen_err *err) {
    struct gw_str path = {0};
    enum gwen_status status = gw_path_join(&path, dir, "metrics.jsonl", err);
    if (status == GWEN_OK) status = mend(path.data, was, log, err);
    gw_str_free(&path);
    return status;
}

/* metrics_log.c - the files of metrics.h: appending, and cutting back. */
#include "base/checksum.h"
#include "base/file.h"
#include "base/json.h"
#include "base/knob.h"
#include "service/record/metrics.h"
#include "service/record/tfevents.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct log_file {
    struct gw_str path;
    int fd;
    uint64_t end; /* bytes that are valid */
};

struct gw_metrics_log {
    struct log_file rows, events;
    struct gw_str buffer;
};

/* --- cutting back --------------------------------------------------------------------------- */

static enum gwen_status cut_file(const char *path, uint64_t len, struct gwen_err *err) {
    struct stat st;
    if (stat(path, &st) != 0) return gw_sys_fail(err, "look at", path, errno);
    if ((uint64_t)st.st_size == len) return GWEN_OK;
    return truncate(path, (off_t)len) == 0 ? GWEN_OK : gw_sys_fail(err, "cut", path, errno);
}

/* The step of a row. */
static enum gwen_status row_step(const struct gw_line *line, const char *path, int64_t *step,
                                 struct gwen_err *err) {
    struct gw_row row = {.file = path, .line = line->number};
    GW_TRY(gw_row_parse(line->text, line->len, path, line->number, &row.obj, err));
    enum gwen_status status = gw_row_i64(&row, "step", GW_JSON_REQUIRED, 0, INT64_MAX, step, err);
    json_decref(row.obj);
    return status;
}

/* Where the rows with step <= keep end.  `size` is the file's. */
static enum gwen_status find_row_end(struct gw_lines *lines, uint64_t size, uint64_t keep,
                                     uint64_t *end, struct gwen_err *err) {
    struct gw_line line;
    bool more;
    *end = 0;
    for (;;) {
        int64_t step = 0;
        GW_TRY(gw_lines_next(lines, &line, &more, err));
        if (!more || line.offset + line.len == size) return GWEN_OK; /* a torn last line */
        GW_TRY(row_step(&line, gw_lines_name(lines), &step, err));
        if ((uint64_t)step > keep) return GWEN_OK;
        *end = line.offset + line.len + 1;
    }
}

enum gwen_status gw_jsonl_cut(const char *path, uint64_t keep, struct gwen_err *err) {
    struct gw_lines *lines;
    struct stat st;
    uint64_t end;
    if (stat(path, &st) != 0 && errno == ENOENT) return GWEN_OK;
    GW_TRY(gw_lines_open(path, GW_METRICS_MAX_LINE, &lines, err));
    enum gwen_status status = find_row_end(lines, (uint64_t)st.st_size, keep, &end, err);
    gw_lines_close(lines);
    return status == GWEN_OK ? cut_file(path, end, err) : status;
}

static enum gwen_status cut_events(const char *path, uint64_t keep, struct gwen_err *err) {
    struct gw_map map;
    struct stat st;
    size_t at = 0, end = 0;
    uint64_t step;
    if (stat(path, &st) != 0 && errno == ENOENT) return GWEN_OK;
    GW_TRY(gw_map_open(path, &map, err));
    while (gw_tfevents_next(map.data, map.size, &at, &step) && step <= keep) end = at;
    gw_map_close(&map);
    return cut_file(path, end, err);
}

/* --- appending ------------------------------------------------------------------------------ */

static enum gwen_status open_log(struct log_file *f, const char *dir, const char *name, bool resume,
                                 struct gwen_err *err) {
    struct stat st;
    GW_TRY(gw_path_join(&f->path, dir, name, err));
    f->fd = open(f->path.data, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (f->fd < 0 || fstat(f->fd, &st) != 0) return gw_sys_fail(err, "write", f->path.data, errno);
    f->end = (uint64_t)st.st_size;
    if (resume || f->end == 0) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_ARGUMENT,
                   "%s holds another run: go on with it by %s, or take another folder",
                   f->path.data, gw_knob(GW_KNOB_RESUME));
}

static enum gwen_status append(struct log_file *f, const struct gw_str *s, struct gwen_err *err) {
    if (s->failed) return gw_nomem(err, s->len, "metrics");
    return gw_append(f->fd, f->path.data, s->data, s->len, &f->end, err);
}

static enum gwen_status open_both(struct gw_metrics_log *log, const char *dir, bool resume,
                                  uint64_t keep, struct gwen_err *err) {
    static const char *const names[] = {"metrics.jsonl", "events.out.tfevents.gwen-cpu"};
    if (resume) {
        GW_TRY(gw_path_join(&log->buffer, dir, names[0], err));
        GW_TRY(gw_jsonl_cut(log->buffer.data, keep, err));
        GW_TRY(gw_path_join(&log->buffer, dir, names[1], err));
        GW_TRY(cut_events(log->buffer.data, keep, err));
    }
    GW_TRY(open_log(&log->rows, dir, names[0], resume, err));
    GW_TRY(open_log(&log->events, dir, names[1], resume, err));
    if (log->events.end > 0) return GWEN_OK;
    gw_str_clear(&log->buffer);
    gw_tfevents_put_version(&log->buffer, (double)time(NULL));
    return append(&log->events, &log->buffer, err);
}

enum gwen_status gw_metrics_log_open(const char *dir, bool resume, uint64_t keep,
                                     struct gw_metrics_log **out, struct gwen_err *err) {
    struct gw_metrics_log *log = calloc(1, sizeof *log);
    if (log == NULL) return gw_nomem(err, sizeof *log, "metrics");
    log->rows.fd = log->events.fd = -1;
    enum gwen_status status = open_both(log, dir, resume, keep, err);
    if (status == GWEN_OK)
        *out = log;
    else
        gw_metrics_log_close(log);
    return status;
}

enum gwen_status gw_metrics_log_write(struct gw_metrics_log *log, uint64_t step, double wall_time,
                                      const struct gw_metrics *m, struct gwen_err *err) {
    gw_str_clear(&log->buffer);
    gw_metrics_put_json(m, step, &log->buffer);
    GW_TRY(append(&log->rows, &log->buffer, err));
    gw_str_clear(&log->buffer);
    gw_tfevents_put_step(&log->buffer, step, wall_time, m);
    return append(&log->events, &log->buffer, err);
}

bool gw_metrics_log_is_empty(const struct gw_metrics_log *log) { return log->rows.end == 0; }

enum gwen_status gw_metrics_log_sum(const struct gw_metrics_log *log, uint64_t *bytes,
                                    uint64_t *sum, struct gwen_err *err) {
    return gw_file_checksum(log->rows.path.data, log->rows.end, bytes, sum, err);
}

enum gwen_status gw_metrics_log_sync(struct gw_metrics_log *log, struct gwen_err *err) {
    const struct log_file *files[] = {&log->rows, &log->events};
    for (size_t i = 0; i < GW_ARRAY_LEN(files); i++)
        if (fdatasync(files[i]->fd) != 0 && errno != EINVAL && errno != ENOSYS)
            return gw_sys_fail(err, "sync", files[i]->path.data, errno);
    return GWEN_OK;
}

void gw_metrics_log_close(struct gw_metrics_log *log) {
    if (log == NULL) return;
    struct log_file *files[] = {&log->rows, &log->events};
    for (size_t i = 0; i < GW_ARRAY_LEN(files); i++) {
        if (files[i]->fd >= 0) close(files[i]->fd);
        gw_str_free(&files[i]->path);
    }
    gw_str_free(&log->buffer);
    free(log);
}

/* file.c - see file.h. */
#include "service/rollout/file.h"

#include "base/checksum.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/knob.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_ROW = 256 << 20, SYNC_SECONDS = 3 };

struct row_at {
    uint64_t offset, len; /* of its line, newline and checksum included; len 0: not there */
};

/* In the part file a row's last member is a checksum of all before it; FILE does not have it. */
static const char SUM_AT[] = ",\"gwen_sum\":\"";
enum { SUM_LEN = sizeof SUM_AT - 1 + 16 + 3 /* "}\n */, UNSUMMED = 1, VERSION = 2 };

struct gw_rollout_file {
    char *path, *part;
    int fd;
    uint64_t end; /* bytes of the part file that are valid */
    uint64_t synced_ns;
    bool dirty, unsummed; /* unsummed: begun by a version that wrote no checksums */
    struct gw_str line;   /* the last one appended */
    size_t n_prompts, groups, count;
    struct row_at *rows; /* [n_prompts * groups] */
};

/* --- writing -------------------------------------------------------------------------------- */

static enum gwen_status append_bytes(struct gw_rollout_file *f, const char *bytes, size_t len,
                                     struct gwen_err *err) {
    GW_TRY(gw_append(f->fd, f->part, bytes, len, &f->end, err));
    f->dirty = true;
    return GWEN_OK;
}

static enum gwen_status sync_part(struct gw_rollout_file *f, struct gwen_err *err) {
    f->synced_ns = gw_now_ns();
    if (!f->dirty) return GWEN_OK;
    if (fdatasync(f->fd) != 0 && errno != EINVAL && errno != ENOSYS)
        return gw_sys_fail(err, "sync", f->part, errno);
    f->dirty = false;
    return GWEN_OK;
}

/* The row, an object and a newline, with its checksum. */
static void put_summed(struct gw_str *line, const char *row, size_t len) {
    gw_str_put(line, row, len - 2);
    gw_str_printf(line, "%s%016" PRIx64 "\"}\n", SUM_AT, gw_checksum(row, len - 2));
}

enum { ROW_IS_BAD = 0, ROW_IS_SUMMED, ROW_IS_BARE };

/* Whether a line (newline included) has a checksum, and the right one. */
static int look_at_sum(const char *line, size_t len) {
    char sum[SUM_LEN + 1];
    if (len <= SUM_LEN || memcmp(line + len - SUM_LEN, SUM_AT, sizeof SUM_AT - 1) != 0)
        return ROW_IS_BARE;
    snprintf(sum, sizeof sum, "%s%016" PRIx64 "\"}\n", SUM_AT, gw_checksum(line, len - SUM_LEN));
    return memcmp(line + len - SUM_LEN, sum, SUM_LEN) == 0 ? ROW_IS_SUMMED : ROW_IS_BAD;
}

enum gwen_status gw_rollout_file_append(struct gw_rollout_file *f, size_t prompt, size_t sample,
                                        const char *row, size_t len, struct gwen_err *err) {
    if (prompt >= f->n_prompts || sample >= f->groups || gw_rollout_file_has(f, prompt, sample))
        return gw_fail(err, GWEN_ERR_INTERNAL, "%s: row %zu/%zu was not expected", f->part, prompt,
                       sample);
    uint64_t offset = f->end;
    gw_str_clear(&f->line);
    put_summed(&f->line, row, len);
    if (f->line.failed) return gw_nomem(err, len, "a row");
    GW_TRY(append_bytes(f, f->line.data, f->line.len, err));
    f->rows[prompt * f->groups + sample] = (struct row_at){offset, f->line.len};
    f->count++;
    if (gw_seconds_since(f->synced_ns) < SYNC_SECONDS) return GWEN_OK;
    return sync_part(f, err);
}

bool gw_rollout_file_has(const struct gw_rollout_file *f, size_t prompt, size_t sample) {
    return prompt < f->n_prompts && sample < f->groups &&
           f->rows[prompt * f->groups + sample].len != 0;
}

size_t gw_rollout_file_count(const struct gw_rollout_file *f) { return f->count; }

/* --- the first line ------------------------------------------------------------------------- */

static enum gwen_status write_header(struct gw_rollout_file *f, const struct gw_part_field *fields,
                                     size_t n, struct gwen_err *err) {
    struct gw_str s = {0};
    gw_str_printf(&s, "{\"gwen_part\":%d", VERSION);
    for (size_t i = 0; i < n; i++) {
        gw_str_putc(&s, ',');
        gw_str_put_json(&s, fields[i].name, strlen(fields[i].name));
        gw_str_putc(&s, ':');
        gw_str_put_json(&s, fields[i].value, strlen(fields[i].value));
    }
    gw_str_puts(&s, "}\n");
    enum gwen_status status =
        s.failed ? gw_nomem(err, s.len, f->part) : append_bytes(f, s.data, s.len, err);
    gw_str_free(&s);
    return status == GWEN_OK ? sync_part(f, err) : status;
}

static enum gwen_status check_header(struct gw_rollout_file *f, const struct gw_line *line,
                                     const struct gw_part_field *fields, size_t n,
                                     struct gwen_err *err) {
    json_t *obj = NULL;
    struct gwen_err ignored;
    enum gwen_status status = gw_row_parse(line->text, line->len, f->part, 1, &obj, &ignored);
    const json_int_t version =
        status == GWEN_OK ? json_integer_value(json_object_get(obj, "gwen_part")) : 0;
    f->unsummed = version == UNSUMMED;
    if (status != GWEN_OK && status != GWEN_ERR_FORMAT)
        return gw_fail(err, status, "%s", ignored.message);
    if (version != VERSION && version != UNSUMMED) {
        json_decref(obj);
        return gw_fail(err, GWEN_ERR_FORMAT,
                       "%s: is not the beginning of a rollout's output; move it away", f->part);
    }
    for (size_t i = 0; i < n && status == GWEN_OK; i++) {
        const char *was = json_string_value(json_object_get(obj, fields[i].name));
        if (was != NULL && strcmp(was, fields[i].value) == 0) continue;
        status = gw_fail(err, GWEN_ERR_ARGUMENT,
                         "%s was begun otherwise (%s: %.120s, now %.120s): %s needs the "
                         "same, %s begins anew",
                         f->part, fields[i].name, was != NULL ? was : "none", fields[i].value,
                         gw_knob(GW_KNOB_RESUME), gw_knob(GW_KNOB_OVERWRITE));
    }
    json_decref(obj);
    return status;
}

/* --- resuming ------------------------------------------------------------------------------- */

/* Takes note of the row in a line; *good false when the line is damaged. */
static enum gwen_status take_line(struct gw_rollout_file *f, const struct gw_line *line, bool *good,
                                  struct gwen_err *err) {
    json_t *obj;
    *good = false;
    gw_str_clear(&f->line);
    gw_str_put(&f->line, line->text, line->len);
    gw_str_putc(&f->line, '\n');
    if (f->line.failed) return gw_nomem(err, line->len, "a row");
    const int sum = look_at_sum(f->line.data, f->line.len);
    if (sum == ROW_IS_BAD || (sum == ROW_IS_BARE && !f->unsummed)) return GWEN_OK;
    enum gwen_status status = gw_row_parse(line->text, line->len, f->part, line->number, &obj, err);
    if (status == GWEN_ERR_FORMAT) return GWEN_OK;
    if (status != GWEN_OK) return status;
    const json_t *p = json_object_get(obj, "prompt_id"), *s = json_object_get(obj, "sample_id");
    json_int_t prompt = json_is_integer(p) ? json_integer_value(p) : -1;
    json_int_t sample = json_is_integer(s) ? json_integer_value(s) : -1;
    json_decref(obj);
    if (prompt < 0 || sample < 0 || (size_t)prompt >= f->n_prompts || (size_t)sample >= f->groups)
        return GWEN_OK;
    struct row_at *at = &f->rows[(size_t)prompt * f->groups + (size_t)sample];
    f->count += at->len == 0;
    *at = (struct row_at){line->offset, line->len + 1};
    *good = true;
    return GWEN_OK;
}

/* Reads the rows of a part file of `size` bytes after its first line.  Lines that are no rows
 * (after a power cut anything can stand where nothing had been synced) stay where they are and
 * are counted; f->end becomes the end of the last whole line. */
static enum gwen_status read_rows(struct gw_rollout_file *f, struct gw_lines *lines, uint64_t size,
                                  size_t *damaged, struct gwen_err *err) {
    for (;;) {
        struct gw_line line;
        bool more;
        enum gwen_status status = gw_lines_next(lines, &line, &more, err);
        if (status == GWEN_ERR_FORMAT) { /* endless: nothing behind it can be found again */
            ++*damaged;
            return GWEN_OK;
        }
        if (status != GWEN_OK) return status;
        if (!more || line.offset + line.len >= size) return GWEN_OK;
        bool good;
        GW_TRY(take_line(f, &line, &good, err));
        if (!good) ++*damaged;
        f->end = line.offset + line.len + 1;
    }
}

static enum gwen_status read_part(struct gw_rollout_file *f, uint64_t size,
                                  const struct gw_part_field *fields, size_t n, size_t *damaged,
                                  struct gwen_err *err) {
    struct gw_lines *lines;
    struct gw_line line;
    bool more = true;
    GW_TRY(gw_lines_open_fd(f->fd, f->part, MAX_ROW, &lines, err));
    enum gwen_status status = gw_lines_next(lines, &line, &more, err);
    /* Killed while it wrote the first line, a run has done nothing. */
    if (status == GWEN_OK && more && line.offset + line.len < size) {
        status = check_header(f, &line, fields, n, err);
        f->end = line.len + 1;
        if (status == GWEN_OK) status = read_rows(f, lines, size, damaged, err);
    }
    gw_lines_close(lines);
    if (status != GWEN_OK) return status;
    if (f->end < size && ftruncate(f->fd, (off_t)f->end) != 0)
        return gw_sys_fail(err, "shorten", f->part, errno);
    return f->end > 0 ? GWEN_OK : write_header(f, fields, n, err);
}

static enum gwen_status resume(struct gw_rollout_file *f, const struct gw_part_field *fields,
                               size_t n, const struct gw_log *log, struct gwen_err *err) {
    struct stat st;
    size_t damaged = 0;
    if (fstat(f->fd, &st) != 0) return gw_sys_fail(err, "look at", f->part, errno);
    uint64_t size = (uint64_t)st.st_size;
    GW_TRY(read_part(f, size, fields, n, &damaged, err));
    gw_log(log, GWEN_LOG_INFO, "%s: %zu of %zu samples are there", f->part, f->count,
           f->n_prompts * f->groups);
    if (f->end < size)
        gw_log(log, GWEN_LOG_INFO, "%s: %" PRIu64 " bytes of an unfinished row dropped", f->part,
               size - f->end);
    if (f->unsummed)
        gw_log(log, GWEN_LOG_WARNING,
               "%s was begun by an older version: its rows have no checksums, whether they are "
               "damaged cannot be told",
               f->part);
    if (damaged > 0)
        gw_log(log, GWEN_LOG_WARNING, "%s: %zu damaged lines passed over", f->part, damaged);
    return GWEN_OK;
}

/* --- opening and closing -------------------------------------------------------------------- */

static enum gwen_status open_part(struct gw_rollout_file *f, enum gw_part_mode mode,
                                  struct gwen_err *err) {
    int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (mode == GW_PART_NEW ? O_EXCL : 0);
    struct stat st;
    do {
        f->fd = open(f->part, flags, 0666);
    } while (f->fd < 0 && errno == EINTR);
    if (f->fd < 0 && errno == EEXIST)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "%s is there from an unfinished run: continue it with %s or begin "
                       "anew with %s",
                       f->part, gw_knob(GW_KNOB_RESUME), gw_knob(GW_KNOB_OVERWRITE));
    if (f->fd < 0 && errno == ELOOP)
        return gw_fail(err, GWEN_ERR_IO, "%s is a symbolic link, which is not followed", f->part);
    if (f->fd < 0) return gw_sys_fail(err, "create", f->part, errno);
    if (fstat(f->fd, &st) != 0) return gw_sys_fail(err, "look at", f->part, errno);
    if (!S_ISREG(st.st_mode)) return gw_fail(err, GWEN_ERR_IO, "%s is no regular file", f->part);
    /* Some network file systems have no locks: then two runs are the user's affair. */
    if (flock(f->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return gw_fail(err, GWEN_ERR_IO, "%s is being written by another run", f->part);
    if (mode == GW_PART_OVERWRITE && ftruncate(f->fd, 0) != 0)
        return gw_sys_fail(err, "empty", f->part, errno);
    return GWEN_OK;
}

enum gwen_status gw_rollout_file_open(const char *path, enum gw_part_mode mode,
                                      const struct gw_part_field *fields, size_t n_fields,
                                      size_t n_prompts, size_t groups, const struct gw_log *log,
                                      struct gw_rollout_file **out, struct gwen_err *err) {
    *out = NULL;
    size_t n, part_len = strlen(path) + sizeof ".part";
    struct gw_rollout_file *f = calloc(1, sizeof *f);
    if (f == NULL || !gw_mul_size(n_prompts, groups, &n)) {
        free(f);
        return gw_nomem(err, sizeof *f, path);
    }
    *f = (struct gw_rollout_file){.fd = -1, .n_prompts = n_prompts, .groups = groups};
    f->synced_ns = gw_now_ns();
    f->path = strdup(path);
    f->part = malloc(part_len);
    f->rows = calloc(n + 1, sizeof *f->rows);
    enum gwen_status status = f->path == NULL || f->part == NULL || f->rows == NULL
                                  ? gw_nomem(err, n * sizeof *f->rows, path)
                                  : GWEN_OK;
    if (status == GWEN_OK && gw_dir_exists(path)) status = gw_sys_fail(err, "write", path, EISDIR);
    if (status == GWEN_OK) {
        snprintf(f->part, part_len, "%s.part", path);
        status = open_part(f, mode, err);
    }
    if (status == GWEN_OK)
        status = mode == GW_PART_RESUME ? resume(f, fields, n_fields, log, err)
                                        : write_header(f, fields, n_fields, err);
    if (status != GWEN_OK) {
        gw_rollout_file_close(f);
        return status;
    }
    *out = f;
    return GWEN_OK;
}

void gw_rollout_file_close(struct gw_rollout_file *f) {
    if (f == NULL) return;
    struct gwen_err ignored;
    if (f->fd >= 0) {
        sync_part(f, &ignored);
        close(f->fd);
    }
    free(f->path);
    free(f->part);
    free(f->rows);
    gw_str_free(&f->line);
    free(f);
}

/* --- the end -------------------------------------------------------------------------------- */

static enum gwen_status read_row(const struct gw_rollout_file *f, const struct row_at *at,
                                 struct gw_str *row, struct gwen_err *err) {
    gw_str_clear(row);
    if (!gw_str_reserve(row, (size_t)at->len)) return gw_nomem(err, (size_t)at->len, f->part);
    while (row->len < at->len) {
        ssize_t n = pread(f->fd, row->data + row->len, (size_t)at->len - row->len,
                          (off_t)(at->offset + row->len));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return gw_sys_fail(err, "read", f->part, errno);
        if (n == 0)
            return gw_fail(err, GWEN_ERR_IO, "%s: became shorter while it was read", f->part);
        row->len += (size_t)n;
    }
    switch (look_at_sum(row->data, row->len)) {
    case ROW_IS_BAD:
        return gw_fail(err, GWEN_ERR_IO, "%s: a row is damaged: %s has it made again", f->part,
                       gw_knob(GW_KNOB_RESUME));
    case ROW_IS_SUMMED: row->len -= SUM_LEN; gw_str_puts(row, "}\n");
    }
    return row->failed ? gw_nomem(err, row->len, "a row") : GWEN_OK;
}

enum gwen_status gw_rollout_file_finish(struct gw_rollout_file *f, struct gwen_err *err) {
    size_t n = f->n_prompts * f->groups;
    struct gw_str row = {0};
    struct gw_out *out = NULL;
    if (f->count != n)
        return gw_fail(err, GWEN_ERR_INTERNAL, "%s: %zu of %zu rows are there", f->part, f->count,
                       n);
    enum gwen_status status = sync_part(f, err);
    if (status == GWEN_OK) status = gw_out_open(f->path, &out, err);
    for (size_t i = 0; i < n && status == GWEN_OK; i++) {
        status = read_row(f, &f->rows[i], &row, err);
        if (status == GWEN_OK) status = gw_out_write(out, row.data, row.len, err);
    }
    gw_str_free(&row);
    if (status != GWEN_OK) {
        gw_out_abort(out);
        return status;
    }
    GW_TRY(gw_out_commit(out, err));
    if (unlink(f->part) != 0) return gw_sys_fail(err, "remove", f->part, errno);
    return GWEN_OK;
}

/* run.c - see run.h.
 *
 * Points are collected `stride` steps at a time.  When there are GW_REPORT_POINTS of them and one
 * more comes, neighbours are merged and the stride is doubled. */
#include "service/report/run.h"

#include "base/file.h"
#include "base/json.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Greater values could not be drawn in finite numbers. */
#define MOST_DRAWN 1e30

/* --- points --------------------------------------------------------------------------------- */

static double mean2(double a, double b) {
    if (isnan(a)) return b;
    return isnan(b) ? a : (a + b) / 2;
}

static void merge_points(struct gw_report_run *run) {
    run->n /= 2;
    run->stride *= 2;
    for (size_t i = 0; i < run->n; i++) run->steps[i] = run->steps[2 * i + 1];
    for (size_t s = 0; s < run->n_series; s++) {
        double *v = run->series[s].values;
        for (size_t i = 0; i < run->n; i++) v[i] = mean2(v[2 * i], v[2 * i + 1]);
    }
}

static void end_point(struct gw_report_run *run) {
    run->steps[run->n] = (double)run->last_step;
    for (size_t s = 0; s < run->n_series; s++) {
        struct gw_report_series *one = &run->series[s];
        one->values[run->n] = one->in_stretch > 0 ? one->stretch / (double)one->in_stretch : NAN;
        one->stretch = 0;
        one->in_stretch = 0;
    }
    run->n++;
    run->in_stretch = 0;
}

static void begin_step(struct gw_report_run *run, uint64_t step) {
    if (run->n_steps > 0 && step == run->last_step) return;
    if (run->in_stretch == run->stride && run->n == GW_REPORT_POINTS) merge_points(run);
    if (run->in_stretch == run->stride) end_point(run);
    run->in_stretch++;
    run->n_steps++;
    run->last_step = step;
}

static void end_steps(struct gw_report_run *run) {
    if (run->in_stretch == 0) return;
    if (run->n == GW_REPORT_POINTS) merge_points(run);
    end_point(run);
}

/* --- metrics -------------------------------------------------------------------------------- */

/* What was left out of one file. */
struct left_out {
    uint64_t lines, names, values;
    bool last; /* of the lines, the last one of the file */
    struct gwen_err first;
};

static struct gw_report_series *add_series(struct gw_report_run *run, const char *name) {
    struct gw_report_series one = {.name = strdup(name),
                                   .values = malloc(GW_REPORT_POINTS * sizeof *one.values)};
    if (one.name == NULL || one.values == NULL) {
        free(one.name);
        free(one.values);
        return NULL;
    }
    for (size_t i = 0; i < GW_REPORT_POINTS; i++) one.values[i] = NAN;
    run->series[run->n_series] = one;
    return &run->series[run->n_series++];
}

/* Rows have the same names in the same order, so the search begins at `guess`. */
static struct gw_report_series *find_series(const struct gw_report_run *run, const char *name,
                                            size_t guess) {
    for (size_t i = 0; i < run->n_series; i++) {
        struct gw_report_series *one = &run->series[(guess + i) % run->n_series];
        if (strcmp(one->name, name) == 0) return one;
    }
    return NULL;
}

static void take_value(struct gw_report_series *one, double value) {
    if (one->count == 0) one->first = one->least = one->most = value;
    one->least = fmin(one->least, value);
    one->most = fmax(one->most, value);
    one->last = value;
    one->total += value;
    one->count++;
    one->stretch += value;
    one->in_stretch++;
}

static enum gwen_status take_members(struct gw_report_run *run, json_t *obj, struct left_out *out,
                                     struct gwen_err *err) {
    const char *name;
    json_t *member;
    size_t guess = 0;
    json_object_foreach(obj, name, member) {
        if (strcmp(name, "step") == 0 || !json_is_number(member)) continue;
        const double value = json_number_value(member);
        struct gw_report_series *one = find_series(run, name, guess);
        if (one == NULL && (run->n_series == GW_REPORT_SERIES || strlen(name) > GW_REPORT_NAME)) {
            out->names++;
            continue;
        }
        if (one == NULL) one = add_series(run, name);
        if (one == NULL) return gw_nomem(err, GW_REPORT_POINTS * sizeof(double), "a metric");
        guess = (size_t)(one - run->series) + 1;
        if (fabs(value) <= MOST_DRAWN)
            take_value(one, value);
        else
            out->values++;
    }
    return GWEN_OK;
}

static enum gwen_status take_row(struct gw_report_run *run, const struct gw_row *row,
                                 struct left_out *out, struct gwen_err *err) {
    int64_t step;
    GW_TRY(gw_row_i64(row, "step", GW_JSON_REQUIRED, 0, INT64_C(1) << 53, &step, err));
    if (run->n_steps > 0 && (uint64_t)step < run->last_step)
        return gw_row_fail(row, err, "step %" PRId64 " after step %" PRIu64, step, run->last_step);
    begin_step(run, (uint64_t)step);
    return take_members(run, row->obj, out, err);
}

static enum gwen_status take_line(struct gw_report_run *run, const char *file,
                                  const struct gw_line *line, struct left_out *out,
                                  struct gwen_err *err) {
    struct gw_row row = {.file = file, .line = line->number};
    GW_TRY(gw_row_parse(line->text, line->len, file, line->number, &row.obj, err));
    enum gwen_status status = take_row(run, &row, out, err);
    json_decref(row.obj);
    return status;
}

/* A failure is either of the line, and then counted, or of the machine. */
static enum gwen_status leave_out(struct left_out *out, const struct gwen_err *bad,
                                  struct gwen_err *err) {
    if (bad->status != GWEN_ERR_FORMAT && bad->status != GWEN_ERR_ARGUMENT)
        return gw_err_copy(err, bad);
    if (out->lines++ == 0) out->first = *bad;
    return GWEN_OK;
}

static enum gwen_status take_lines(struct gw_report_run *run, struct gw_lines *lines,
                                   struct left_out *out, struct gwen_err *err) {
    for (;;) {
        struct gwen_err bad;
        struct gw_line line;
        bool more;
        if (gw_lines_next(lines, &line, &more, &bad) != GWEN_OK)
            return leave_out(out, &bad, err); /* too long: it ends there */
        if (!more) return GWEN_OK;
        out->last = take_line(run, gw_lines_name(lines), &line, out, &bad) != GWEN_OK;
        if (out->last) GW_TRY(leave_out(out, &bad, err));
    }
}

static void put_notes(struct gw_report_run *run, const struct left_out *out) {
    struct gw_str *s = &run->notes;
    if (out->lines == 1 && out->last)
        gw_str_puts(s, "The last line of metrics.jsonl is cut off or cannot be read; it is left "
                       "out.\n");
    else if (out->lines > 0)
        gw_str_printf(s, "%" PRIu64 " lines of metrics.jsonl are left out; the first: %s\n",
                      out->lines, out->first.message);
    if (out->names > 0)
        gw_str_printf(s,
                      "%" PRIu64 " values are left out: more than %d metrics, or names of more "
                      "than %d bytes.\n",
                      out->names, GW_REPORT_SERIES, GW_REPORT_NAME);
    if (out->values > 0)
        gw_str_printf(s, "%" PRIu64 " values beyond 1e30 are left out.\n", out->values);
    if (run->n_steps == 0) gw_str_puts(s, "No step has been logged yet.\n");
}

static enum gwen_status read_metrics(struct gw_report_run *run, const char *path,
                                     struct gwen_err *err) {
    struct gw_lines *lines;
    struct left_out out = {0};
    GW_TRY(gw_lines_open(path, GW_REPORT_LINE, &lines, err));
    enum gwen_status status = take_lines(run, lines, &out, err);
    gw_lines_close(lines);
    GW_TRY(status);
    if (run->n_steps == 0 && out.lines > 0) return gw_err_copy(err, &out.first);
    end_steps(run);
    put_notes(run, &out);
    return GWEN_OK;
}

/* --- samples -------------------------------------------------------------------------------- */

static bool sample_step(const char *file, uint64_t *step) {
    char *end;
    if (strncmp(file, "step-", 5) != 0 || file[5] < '0' || file[5] > '9') return false;
    errno = 0;
    unsigned long long value = strtoull(file + 5, &end, 10);
    *step = value;
    return errno == 0 && strcmp(end, ".jsonl") == 0;
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static enum gwen_status list_samples(struct gw_report_run *run, DIR *dir, struct gwen_err *err) {
    size_t cap = 0;
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        uint64_t step;
        if (!sample_step(e->d_name, &step)) continue;
        if (run->n_sample_steps == GW_REPORT_FILES) {
            gw_str_printf(&run->notes, "There are more than %d files of samples.\n",
                          GW_REPORT_FILES);
            break;
        }
        if (run->n_sample_steps == cap) {
            cap = GW_MAX(cap * 2, (size_t)64);
            uint64_t *steps = realloc(run->sample_steps, cap * sizeof *steps);
            if (steps == NULL) return gw_nomem(err, cap * sizeof *steps, "steps with samples");
            run->sample_steps = steps;
        }
        run->sample_steps[run->n_sample_steps++] = step;
    }
    if (run->n_sample_steps > 0)
        qsort(run->sample_steps, run->n_sample_steps, sizeof *run->sample_steps, by_value);
    return GWEN_OK;
}

/* --- a run ---------------------------------------------------------------------------------- */

static enum gwen_status read_parts(struct gw_report_run *run, struct gw_str *path,
                                   struct gwen_err *err) {
    bool there;
    GW_TRY(gw_path_join(path, run->dir, "metrics.jsonl", err));
    GW_TRY(gw_file_find(path->data, &there, err));
    if (!there)
        return gw_fail(err, GWEN_ERR_IO, "%s has no metrics.jsonl: it is not the folder of a run",
                       run->dir);
    GW_TRY(read_metrics(run, path->data, err));
    GW_TRY(gw_path_join(path, run->dir, "rollouts", err));
    DIR *rollouts = opendir(path->data);
    if (rollouts == NULL && errno == ENOENT) return GWEN_OK; /* supervised training makes none */
    if (rollouts == NULL) return gw_sys_fail(err, "read the folder", path->data, errno);
    enum gwen_status status = list_samples(run, rollouts, err);
    closedir(rollouts);
    return status;
}

enum gwen_status gw_report_run_read(const char *dir, struct gw_report_run *run,
                                    struct gwen_err *err) {
    struct gw_str path = {0};
    bool there;
    *run = (struct gw_report_run){0};
    GW_TRY(gw_dir_find(dir, &there, err));
    if (!there) {
        return gw_fail(err, GWEN_ERR_IO, "%s: no such folder", dir);
    }
    run->stride = 1;
    run->dir = strdup(dir);
    run->name = strdup(dir);
    run->steps = malloc(GW_REPORT_POINTS * sizeof *run->steps);
    run->series = malloc(GW_REPORT_SERIES * sizeof *run->series);
    enum gwen_status status = GWEN_OK;
    if (run->dir == NULL || run->name == NULL || run->steps == NULL || run->series == NULL)
        status = gw_nomem(err, GW_REPORT_SERIES * sizeof *run->series, "a run");
    if (status == GWEN_OK) status = read_parts(run, &path, err);
    if (status == GWEN_OK && run->notes.failed) status = gw_nomem(err, 1, "notes");
    gw_str_free(&path);
    if (status != GWEN_OK) gw_report_run_free(run);
    return status;
}

void gw_report_run_free(struct gw_report_run *run) {
    for (size_t i = 0; i < run->n_series; i++) {
        free(run->series[i].name);
        free(run->series[i].values);
    }
    free(run->series);
    free(run->steps);
    free(run->sample_steps);
    free(run->dir);
    free(run->name);
    gw_str_free(&run->notes);
    *run = (struct gw_report_run){0};
}

const struct gw_report_series *gw_report_run_find(const struct gw_report_run *run,
                                                  const char *name) {
    const struct gw_report_series *one = find_series(run, name, 0);
    return one != NULL && one->count > 0 ? one : NULL;
}

/* The last part of a path; slashes at its end do not count. */
static char *last_part(const char *path) {
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/') begin--;
    return strndup(path + begin, end - begin);
}

enum gwen_status gw_report_name_runs(struct gw_report_run *runs, size_t n, struct gwen_err *err) {
    bool unique = true;
    for (size_t i = 0; i < n; i++) {
        char *name = last_part(runs[i].dir);
        if (name == NULL) return gw_nomem(err, strlen(runs[i].dir), "a name");
        free(runs[i].name);
        runs[i].name = name;
        unique = unique && name[0] != 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
        for (size_t k = 0; k < i; k++) unique = unique && strcmp(runs[k].name, name) != 0;
    }
    for (size_t i = 0; i < n && !unique; i++) {
        char *name = strdup(runs[i].dir);
        if (name == NULL) return gw_nomem(err, strlen(runs[i].dir), "a name");
        free(runs[i].name);
        runs[i].name = name;
    }
    return GWEN_OK;
}

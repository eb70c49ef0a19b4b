/* checkpoint.c - see checkpoint.h. */
#include "service/train/checkpoint.h"

#include "base/file.h"
#include "base/json.h"
#include "base/tree.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char PREFIX[] = "checkpoint-";
enum { MAX_STATE = 16 << 20 };

static enum gwen_status sys_fail(struct gwen_err *err, const char *verb, const char *path, int no) {
    char text[128];
    return gw_fail(err, GWEN_ERR_IO, "cannot %s %s: %s", verb, path,
                   strerror_r(no, text, sizeof text));
}

/* --- state.json ----------------------------------------------------------------------------- */

void gw_train_state_free(struct gw_train_state *s) {
    gw_str_free(&s->config);
    gw_str_free(&s->origin);
    gw_str_free(&s->profile);
    *s = (struct gw_train_state){0};
}

static void put_object(struct gw_str *out, const char *name, const struct gw_str *object) {
    gw_str_printf(out, ",\n\"%s\":", name);
    if (object->len > 0)
        gw_str_put(out, object->data, object->len);
    else
        gw_str_puts(out, "{}");
    out->failed |= object->failed;
}

void gw_train_state_put(const struct gw_train_state *s, struct gw_str *out) {
    gw_str_printf(out,
                  "{\"gwen_checkpoint\":2,\"step\":%" PRIu64 ",\"generation\":%" PRIu64
                  ",\"used\":%" PRIu64 ",\"epoch\":%" PRIu64 ",\"row\":%" PRIu64
                  ",\"skipped\":%" PRIu64 ",\"data\":%" PRIu64,
                  s->step, s->generation, s->used, s->epoch, s->row, s->skipped, s->data);
    put_object(out, "config", &s->config);
    put_object(out, "origin", &s->origin);
    put_object(out, "profile", &s->profile);
    gw_str_puts(out, "}\n");
}

static enum gwen_status take_count(const struct gw_row *row, const char *key, uint64_t *out,
                                   struct gwen_err *err) {
    int64_t v = 0;
    GW_TRY(gw_row_i64(row, key, GW_JSON_REQUIRED, 0, INT64_MAX, &v, err));
    *out = (uint64_t)v;
    return GWEN_OK;
}

static enum gwen_status take_object(const struct gw_row *row, const char *key, struct gw_str *out,
                                    struct gwen_err *err) {
    const json_t *v = json_object_get(row->obj, key);
    if (!json_is_object(v)) return gw_row_fail(row, err, "\"%s\": expected an object", key);
    gw_str_put_row(out, v);
    return out->failed ? gw_nomem(err, out->len, key) : GWEN_OK;
}

static enum gwen_status take_state(const struct gw_row *row, struct gw_train_state *s,
                                   struct gwen_err *err) {
    uint64_t version;
    GW_TRY(take_count(row, "gwen_checkpoint", &version, err));
    if (version != 2)
        return gw_row_fail(row, err, "version %" PRIu64 " of a checkpoint is not known", version);
    GW_TRY(take_count(row, "step", &s->step, err));
    GW_TRY(take_count(row, "generation", &s->generation, err));
    GW_TRY(take_count(row, "used", &s->used, err));
    GW_TRY(take_count(row, "epoch", &s->epoch, err));
    GW_TRY(take_count(row, "row", &s->row, err));
    GW_TRY(take_count(row, "skipped", &s->skipped, err));
    GW_TRY(take_count(row, "data", &s->data, err));
    GW_TRY(take_object(row, "config", &s->config, err));
    GW_TRY(take_object(row, "origin", &s->origin, err));
    return take_object(row, "profile", &s->profile, err);
}

enum gwen_status gw_train_state_parse(const char *text, size_t len, const char *name,
                                      struct gw_train_state *out, struct gwen_err *err) {
    struct gw_row row = {.file = name, .line = 1};
    struct gw_train_state s = {0};
    GW_TRY(gw_row_parse(text, len, name, 1, &row.obj, err));
    enum gwen_status status = take_state(&row, &s, err);
    json_decref(row.obj);
    if (status == GWEN_OK)
        *out = s;
    else
        gw_train_state_free(&s);
    return status;
}

enum gwen_status gw_checkpoint_read(const char *path, struct gw_train_state *out,
                                    struct gwen_err *err) {
    struct gw_str name = {0}, text = {0};
    enum gwen_status status = gw_path_join(&name, path, "state.json", err);
    if (status == GWEN_OK) status = gw_file_read(name.data, MAX_STATE, &text, err);
    if (status == GWEN_OK) status = gw_train_state_parse(text.data, text.len, name.data, out, err);
    gw_str_free(&name);
    gw_str_free(&text);
    return status;
}

/* --- which there are ------------------------------------------------------------------------ */

/* The step of "checkpoint-STEP", written as we write it. */
static bool parse_name(const char *name, uint64_t *step) {
    char again[64];
    size_t n = sizeof PREFIX - 1;
    if (strncmp(name, PREFIX, n) != 0 || name[n] < '0' || name[n] > '9') return false;
    *step = strtoull(name + n, NULL, 10);
    snprintf(again, sizeof again, "%s%" PRIu64, PREFIX, *step);
    return strcmp(name, again) == 0;
}

static enum gwen_status path_of(const char *run_dir, uint64_t step, const char *suffix,
                                struct gw_str *out, struct gwen_err *err) {
    char name[64];
    snprintf(name, sizeof name, "%s%" PRIu64 "%s", PREFIX, step, suffix);
    return gw_path_join(out, run_dir, name, err);
}

/* A folder that was renamed to its name is whole; but a person may have copied half of one, and a
 * disk may have lost a file. */
static enum gwen_status check_complete(const char *run_dir, uint64_t step, struct gwen_err *err) {
    struct gw_str path = {0};
    struct gw_train_state state = {0};
    enum gwen_status status = path_of(run_dir, step, "", &path, err);
    if (status == GWEN_OK) status = gw_checkpoint_read(path.data, &state, err);
    if (status == GWEN_OK && state.step != step)
        status = gw_fail(err, GWEN_ERR_FORMAT, "%s/state.json: is of step %" PRIu64, path.data,
                         state.step);
    gw_train_state_free(&state);
    gw_str_free(&path);
    return status;
}

static int by_step(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Calls fn for every entry of the folder. */
static enum gwen_status each_entry(const char *dir,
                                   enum gwen_status (*fn)(void *ctx, const char *name,
                                                          struct gwen_err *err),
                                   void *ctx, struct gwen_err *err) {
    DIR *d = opendir(dir);
    enum gwen_status status = GWEN_OK;
    if (d == NULL) return sys_fail(err, "read the folder", dir, errno);
    for (const struct dirent *e; status == GWEN_OK && (e = readdir(d)) != NULL;)
        status = fn(ctx, e->d_name, err);
    closedir(d);
    return status;
}

struct listing {
    uint64_t *steps;
    size_t n;
};

static enum gwen_status add_step(void *ctx, const char *name, struct gwen_err *err) {
    struct listing *l = ctx;
    uint64_t step;
    if (!parse_name(name, &step)) return GWEN_OK;
    uint64_t *steps = realloc(l->steps, (l->n + 1) * sizeof *steps);
    if (steps == NULL) return gw_nomem(err, l->n, "a list of checkpoints");
    l->steps = steps;
    steps[l->n++] = step;
    return GWEN_OK;
}

/* Those with a checkpoint's name, whole or not; l->steps is to be freed. */
static enum gwen_status list_names(const char *run_dir, struct listing *l, struct gwen_err *err) {
    *l = (struct listing){0};
    enum gwen_status status = each_entry(run_dir, add_step, l, err);
    if (status == GWEN_OK && l->n > 0) qsort(l->steps, l->n, sizeof *l->steps, by_step);
    return status;
}

enum gwen_status gw_checkpoint_list(const char *run_dir, uint64_t **steps, size_t *n,
                                    struct gwen_err *err) {
    struct listing l;
    struct gwen_err ignored;
    *steps = NULL;
    *n = 0;
    enum gwen_status status = list_names(run_dir, &l, err);
    if (status != GWEN_OK) {
        free(l.steps);
        return status;
    }
    for (size_t i = 0; i < l.n; i++)
        if (check_complete(run_dir, l.steps[i], &ignored) == GWEN_OK) l.steps[(*n)++] = l.steps[i];
    *steps = l.steps;
    return GWEN_OK;
}

/* The newest that can be read; what is wrong with newer ones is said. */
static enum gwen_status choose(const char *run_dir, const struct listing *l,
                               const struct gw_log *log, struct gw_str *path,
                               struct gwen_err *caller_err) {
    struct gwen_err own, *err = gw_err_or(caller_err, &own);
    for (size_t i = l->n; i-- > 0;) {
        if (check_complete(run_dir, l->steps[i], err) == GWEN_OK)
            return path_of(run_dir, l->steps[i], "", path, err);
        if (i > 0)
            gw_log(log, GWEN_LOG_WARNING, "checkpoint-%" PRIu64 " cannot be used: %s", l->steps[i],
                   err->message);
    }
    return gw_err_prefix(err, "%s: no checkpoint there can be used; the last one tried", run_dir);
}

enum gwen_status gw_checkpoint_newest(const char *run_dir, const struct gw_log *log,
                                      struct gw_str *path, bool *found, struct gwen_err *err) {
    struct listing l;
    enum gwen_status status = list_names(run_dir, &l, err);
    *found = status == GWEN_OK && l.n > 0;
    if (*found) status = choose(run_dir, &l, log, path, err);
    free(l.steps);
    return status;
}

/* --- removing ------------------------------------------------------------------------------- */

/* What a killed run left behind. */
static enum gwen_status remove_leftover(void *ctx, const char *name, struct gwen_err *err) {
    const char *dir = ctx;
    size_t len = strlen(name);
    if (strncmp(name, PREFIX, sizeof PREFIX - 1) != 0 || len < 4 ||
        strcmp(name + len - 4, ".tmp") != 0)
        return GWEN_OK;
    struct gw_str path = {0};
    enum gwen_status status = gw_path_join(&path, dir, name, err);
    if (status == GWEN_OK) status = gw_tree_remove(path.data, err);
    gw_str_free(&path);
    return status;
}

/* Renamed first: half a checkpoint must never have a checkpoint's name. */
static enum gwen_status remove_one(const char *run_dir, uint64_t step, struct gwen_err *err) {
    struct gw_str from = {0}, to = {0};
    enum gwen_status status = path_of(run_dir, step, "", &from, err);
    if (status == GWEN_OK) status = path_of(run_dir, step, ".old.tmp", &to, err);
    if (status == GWEN_OK && rename(from.data, to.data) != 0 && errno != ENOENT)
        status = sys_fail(err, "rename", from.data, errno);
    if (status == GWEN_OK) status = gw_tree_remove(to.data, err);
    gw_str_free(&from);
    gw_str_free(&to);
    return status;
}

static enum gwen_status remove_oldest(const char *run_dir, size_t keep, struct gwen_err *err) {
    uint64_t *steps;
    size_t n;
    if (keep == 0) return GWEN_OK;
    GW_TRY(gw_checkpoint_list(run_dir, &steps, &n, err));
    enum gwen_status status = GWEN_OK;
    for (size_t i = 0; i + keep < n && status == GWEN_OK; i++)
        status = remove_one(run_dir, steps[i], err);
    free(steps);
    return status;
}

/* --- writing -------------------------------------------------------------------------------- */

static enum gwen_status write_state(const struct gw_train_state *state, const char *dir,
                                    struct gwen_err *err) {
    struct gw_str path = {0}, text = {0};
    gw_train_state_put(state, &text);
    enum gwen_status status = text.failed ? gw_nomem(err, text.len, "a checkpoint's state")
                                          : gw_path_join(&path, dir, "state.json", err);
    if (status == GWEN_OK) status = gw_file_write(path.data, text.data, text.len, err);
    gw_str_free(&path);
    gw_str_free(&text);
    return status;
}

static enum gwen_status fill(const char *dir, const struct gw_train_state *state,
                             const struct gw_checkpoint_part *parts, size_t n_parts,
                             struct gwen_err *err) {
    if (mkdir(dir, 0777) != 0) return sys_fail(err, "make folder", dir, errno);
    for (size_t i = 0; i < n_parts; i++) GW_TRY(parts[i].write(parts[i].ctx, dir, err));
    GW_TRY(write_state(state, dir, err));
    return gw_tree_sync(dir, err);
}

/* One of the same step is replaced. */
static enum gwen_status publish(const char *run_dir, const char *from, const char *to,
                                uint64_t step, struct gwen_err *err) {
    if (gw_dir_exists(to)) GW_TRY(remove_one(run_dir, step, err));
    if (rename(from, to) != 0) return sys_fail(err, "rename a folder to", to, errno);
    return gw_dir_sync(run_dir, err);
}

enum gwen_status gw_checkpoint_write(const char *run_dir, const struct gw_train_state *state,
                                     const struct gw_checkpoint_part *parts, size_t n_parts,
                                     size_t keep, struct gwen_err *err) {
    struct gw_str tmp = {0}, final = {0};
    struct gwen_err ignored;
    enum gwen_status status = each_entry(run_dir, remove_leftover, (void *)(uintptr_t)run_dir, err);
    if (status == GWEN_OK) status = path_of(run_dir, state->step, ".tmp", &tmp, err);
    if (status == GWEN_OK) status = path_of(run_dir, state->step, "", &final, err);
    if (status == GWEN_OK) {
        status = fill(tmp.data, state, parts, n_parts, err);
        if (status == GWEN_OK) status = publish(run_dir, tmp.data, final.data, state->step, err);
        if (status != GWEN_OK) gw_tree_remove(tmp.data, &ignored);
    }
    gw_str_free(&tmp);
    gw_str_free(&final);
    return status == GWEN_OK ? remove_oldest(run_dir, keep, err) : status;
}

enum gwen_status gw_checkpoint_check_space(const char *run_dir, uint64_t bytes, uint64_t others,
                                           size_t keep, struct gwen_err *err) {
    uint64_t *steps, there, needed;
    size_t n;
    GW_TRY(gw_checkpoint_list(run_dir, &steps, &n, err));
    free(steps);
    GW_TRY(gw_dir_free_bytes(run_dir, &there, err));
    /* The new one is whole before the oldest goes: one more than are kept. */
    size_t more = keep == 0 || n > keep ? 1 : keep + 1 - n;
    if (__builtin_mul_overflow(bytes, (uint64_t)more, &needed) ||
        __builtin_add_overflow(needed, others, &needed))
        needed = UINT64_MAX;
    if (needed <= there) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_IO,
                   "%s: %zu checkpoint%s of %.2f GiB and %.2f GiB besides are to be written, but "
                   "the disk has %.2f GiB free: make room or lower save_total_limit",
                   run_dir, more, more == 1 ? "" : "s", (double)bytes / 0x1p30,
                   (double)others / 0x1p30, (double)there / 0x1p30);
}

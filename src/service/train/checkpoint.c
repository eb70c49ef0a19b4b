/* checkpoint.c - see checkpoint.h. */
#include "service/train/checkpoint.h"

#include "base/checksum.h"
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
static const char STATE[] = "state.json";
/* Version 2 had no checksums. */
enum { MAX_STATE = 16 << 20, VERSION = 3, VERSION_UNSUMMED = 2 };

/* --- state.json ----------------------------------------------------------------------------- */

void gw_train_state_free(struct gw_train_state *s) {
    gw_str_free(&s->config);
    gw_str_free(&s->origin);
    gw_str_free(&s->profile);
    gw_str_free(&s->files);
    gw_str_free(&s->held);
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
                  "{\"gwen_checkpoint\":%d,\"step\":%" PRIu64 ",\"generation\":%" PRIu64
                  ",\"used\":%" PRIu64 ",\"epoch\":%" PRIu64 ",\"row\":%" PRIu64
                  ",\"skipped\":%" PRIu64 ",\"data\":%" PRIu64,
                  s->unsummed ? VERSION_UNSUMMED : VERSION, s->step, s->generation, s->used,
                  s->epoch, s->row, s->skipped, s->data);
    if (!s->unsummed) {
        gw_str_printf(out, ",\"metrics\":{\"bytes\":%" PRIu64 ",\"sum\":\"%016" PRIx64 "\"}",
                      s->metrics_bytes, s->metrics_sum);
        put_object(out, "files", &s->files);
    }
    put_object(out, "config", &s->config);
    put_object(out, "origin", &s->origin);
    put_object(out, "profile", &s->profile);
    if (s->held.len > 0) put_object(out, "held", &s->held);
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

/* {"bytes": N, "sum": "0123456789abcdef"} */
static enum gwen_status take_sum(const struct gw_row *row, const char *what, const json_t *v,
                                 uint64_t *bytes, uint64_t *sum, struct gwen_err *err) {
    const json_t *n = json_object_get(v, "bytes");
    const char *text = json_string_value(json_object_get(v, "sum"));
    if (!json_is_integer(n) || json_integer_value(n) < 0 || text == NULL || strlen(text) != 16 ||
        strspn(text, "0123456789abcdef") != 16)
        return gw_row_fail(row, err, "\"%s\": expected its bytes and their sum", what);
    *bytes = (uint64_t)json_integer_value(n);
    *sum = strtoull(text, NULL, 16);
    return GWEN_OK;
}

static enum gwen_status take_state(const struct gw_row *row, struct gw_train_state *s,
                                   struct gwen_err *err) {
    uint64_t version;
    GW_TRY(take_count(row, "gwen_checkpoint", &version, err));
    s->unsummed = version == VERSION_UNSUMMED;
    if (version != VERSION && !s->unsummed)
        return gw_row_fail(row, err, "version %" PRIu64 " of a checkpoint is not known", version);
    GW_TRY(take_count(row, "step", &s->step, err));
    GW_TRY(take_count(row, "generation", &s->generation, err));
    GW_TRY(take_count(row, "used", &s->used, err));
    GW_TRY(take_count(row, "epoch", &s->epoch, err));
    GW_TRY(take_count(row, "row", &s->row, err));
    GW_TRY(take_count(row, "skipped", &s->skipped, err));
    GW_TRY(take_count(row, "data", &s->data, err));
    if (!s->unsummed) {
        const json_t *metrics = json_object_get(row->obj, "metrics");
        GW_TRY(take_sum(row, "metrics", metrics, &s->metrics_bytes, &s->metrics_sum, err));
        GW_TRY(take_object(row, "files", &s->files, err));
    }
    GW_TRY(take_object(row, "config", &s->config, err));
    GW_TRY(take_object(row, "origin", &s->origin, err));
    GW_TRY(take_object(row, "profile", &s->profile, err));
    if (json_object_get(row->obj, "held") == NULL) return GWEN_OK;
    return take_object(row, "held", &s->held, err);
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

/* The text of a state and, as its last member, the sum of all before it. */
static const char SUM_AT[] = ",\n\"sum\":\"";
enum { SUM_LEN = sizeof SUM_AT - 1 + 16 + 3 /* "}\n */ };

static void seal(struct gw_str *text) {
    if (text->failed || text->len < 2) return;
    text->len -= 2; /* }\n */
    const uint64_t sum = gw_checksum(text->data, text->len);
    gw_str_printf(text, "%s%016" PRIx64 "\"}\n", SUM_AT, sum);
}

static enum gwen_status check_seal(const struct gw_str *text, const char *name,
                                   struct gwen_err *err) {
    if (text->len > SUM_LEN) {
        const char *end = text->data + text->len - SUM_LEN;
        struct gw_str expected = {0};
        gw_str_printf(&expected, "%s%016" PRIx64 "\"}\n", SUM_AT,
                      gw_checksum(text->data, text->len - SUM_LEN));
        const bool failed = expected.failed;
        const bool same = !failed && memcmp(end, expected.data, SUM_LEN) == 0;
        gw_str_free(&expected);
        if (failed) return gw_nomem(err, SUM_LEN, name);
        if (same) return GWEN_OK;
    }
    return gw_fail(err, GWEN_ERR_FORMAT, "%s: is damaged: it does not have its checksum", name);
}

enum gwen_status gw_checkpoint_read(const char *path, struct gw_train_state *out,
                                    struct gwen_err *err) {
    struct gw_str name = {0}, text = {0};
    struct gw_train_state s = {0};
    enum gwen_status status = gw_path_join(&name, path, STATE, err);
    if (status == GWEN_OK) status = gw_file_read(name.data, MAX_STATE, &text, err);
    if (status == GWEN_OK) status = gw_train_state_parse(text.data, text.len, name.data, &s, err);
    if (status == GWEN_OK && !s.unsummed) status = check_seal(&text, name.data, err);
    if (status == GWEN_OK)
        *out = s;
    else
        gw_train_state_free(&s);
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

/* One file of a checkpoint against what state.json has of it; with `whole` its bytes too. */
static enum gwen_status check_file(const struct gw_row *row, const char *path, const char *name,
                                   const json_t *known, bool whole, struct gwen_err *err) {
    struct gw_str file = {0};
    struct stat st;
    uint64_t bytes, sum, there, have = 0;
    if (name[0] == '/' || strstr(name, "..") != NULL)
        return gw_row_fail(row, err, "\"%s\": is no file of a checkpoint", name);
    GW_TRY(take_sum(row, name, known, &bytes, &sum, err));
    GW_TRY(gw_path_join(&file, path, name, err));
    enum gwen_status status = GWEN_OK;
    if (stat(file.data, &st) != 0)
        status = gw_sys_fail(err, "look at", file.data, errno);
    else if ((uint64_t)st.st_size != bytes)
        status = gw_fail(err, GWEN_ERR_FORMAT,
                         "%s: is damaged: it has %" PRIu64 " bytes instead of %" PRIu64, file.data,
                         (uint64_t)st.st_size, bytes);
    else if (whole)
        status = gw_file_checksum(file.data, UINT64_MAX, &there, &have, err);
    if (status == GWEN_OK && whole && have != sum)
        status = gw_fail(err, GWEN_ERR_FORMAT, "%s: is damaged: it does not have its checksum",
                         file.data);
    gw_str_free(&file);
    return status;
}

static enum gwen_status check_files(const char *path, const struct gw_train_state *state,
                                    bool whole, struct gwen_err *err) {
    struct gw_row row = {.file = path, .line = 1};
    const char *name;
    json_t *known;
    GW_TRY(gw_row_parse(state->files.data, state->files.len, path, 1, &row.obj, err));
    enum gwen_status status = GWEN_OK;
    json_object_foreach(row.obj, name, known) {
        if (status == GWEN_OK) status = check_file(&row, path, name, known, whole, err);
    }
    json_decref(row.obj);
    return status;
}

/* Of a version that did not list its files: the one that every checkpoint has. */
static enum gwen_status check_unsummed(const char *path, struct gwen_err *err) {
    struct gw_str file = {0};
    struct stat st;
    enum gwen_status status = gw_path_join(&file, path, "optimizer.safetensors", err);
    if (status == GWEN_OK && stat(file.data, &st) != 0)
        status = gw_sys_fail(err, "look at", file.data, errno);
    gw_str_free(&file);
    return status;
}

static enum gwen_status check(const char *path, bool whole, uint64_t *step, bool *unsummed,
                              struct gwen_err *err) {
    struct gw_train_state state = {0};
    GW_TRY(gw_checkpoint_read(path, &state, err));
    *step = state.step;
    *unsummed = state.unsummed;
    enum gwen_status status =
        state.unsummed ? check_unsummed(path, err) : check_files(path, &state, whole, err);
    gw_train_state_free(&state);
    return status;
}

enum gwen_status gw_checkpoint_check(const char *path, bool *unsummed, struct gwen_err *err) {
    uint64_t step;
    bool old;
    GW_TRY(check(path, true, &step, &old, err));
    if (unsummed != NULL) *unsummed = old;
    return GWEN_OK;
}

/* A folder that was renamed to its name was whole; but a person may have copied half of one, and a
 * disk may have lost or changed a file. */
static enum gwen_status check_step(const char *run_dir, uint64_t step, bool whole, bool *unsummed,
                                   struct gwen_err *err) {
    struct gw_str path = {0};
    uint64_t of = step;
    enum gwen_status status = path_of(run_dir, step, "", &path, err);
    if (status == GWEN_OK) status = check(path.data, whole, &of, unsummed, err);
    if (status == GWEN_OK && of != step)
        status = gw_fail(err, GWEN_ERR_FORMAT, "%s/%s: is of step %" PRIu64, path.data, STATE, of);
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
    if (d == NULL) return gw_sys_fail(err, "read the folder", dir, errno);
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
    bool unsummed;
    *steps = NULL;
    *n = 0;
    enum gwen_status status = list_names(run_dir, &l, err);
    if (status != GWEN_OK) {
        free(l.steps);
        return status;
    }
    for (size_t i = 0; i < l.n; i++)
        if (check_step(run_dir, l.steps[i], false, &unsummed, &ignored) == GWEN_OK)
            l.steps[(*n)++] = l.steps[i];
    *steps = l.steps;
    return GWEN_OK;
}

/* The newest that is whole; what is wrong with newer ones is said. */
static enum gwen_status choose(const char *run_dir, const struct listing *l,
                               const struct gw_log *log, struct gw_str *path,
                               struct gwen_err *err) {
    struct gwen_err why;
    enum gwen_status status = GWEN_ERR_INTERNAL;
    for (size_t i = l->n; i-- > 0;) {
        bool unsummed;
        status = check_step(run_dir, l->steps[i], true, &unsummed, &why);
        if (status == GWEN_OK && unsummed)
            gw_log(log, GWEN_LOG_WARNING,
                   "checkpoint-%" PRIu64 " is of an older version, without checksums: whether it "
                   "is damaged cannot be told",
                   l->steps[i]);
        if (status == GWEN_OK) return path_of(run_dir, l->steps[i], "", path, err);
        if (status == GWEN_ERR_NOMEM || status == GWEN_ERR_CANCELLED)
            break; /* says nothing of it */
        if (i > 0)
            gw_log(log, GWEN_LOG_WARNING, "checkpoint-%" PRIu64 " cannot be used: %s", l->steps[i],
                   why.message);
    }
    return gw_fail(err, status, "%s: no checkpoint there can be used; the last one tried: %s",
                   run_dir, why.message);
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

/* Names that only we give: checkpoint-STEP.tmp and checkpoint-STEP.old.tmp. */
static bool is_leftover(const char *name) {
    char stem[64];
    uint64_t step;
    size_t len = strlen(name);
    if (len < 4 || len >= sizeof stem || strcmp(name + len - 4, ".tmp") != 0) return false;
    len -= 4;
    if (len > 4 && strncmp(name + len - 4, ".old", 4) == 0) len -= 4;
    memcpy(stem, name, len);
    stem[len] = '\0';
    return parse_name(stem, &step);
}

/* What a killed run left behind. */
static enum gwen_status remove_leftover(void *ctx, const char *name, struct gwen_err *err) {
    const char *dir = ctx;
    struct gw_str path = {0};
    if (!is_leftover(name)) return GWEN_OK;
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
        status = gw_sys_fail(err, "rename", from.data, errno);
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

static enum gwen_status put_sum(struct gw_str *out, const char *dir, const char *name,
                                struct gwen_err *err) {
    struct gw_str path = {0};
    uint64_t bytes, sum;
    enum gwen_status status = gw_path_join(&path, dir, name, err);
    if (status == GWEN_OK) status = gw_file_checksum(path.data, UINT64_MAX, &bytes, &sum, err);
    gw_str_free(&path);
    if (status != GWEN_OK) return status;
    gw_str_puts(out, out->len > 1 ? ",\n " : "");
    gw_str_put_json(out, name, strlen(name));
    gw_str_printf(out, ":{\"bytes\":%" PRIu64 ",\"sum\":\"%016" PRIx64 "\"}", bytes, sum);
    return GWEN_OK;
}

static int is_not_hidden(const struct dirent *e) { return e->d_name[0] != '.'; }

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static enum gwen_status put_folder(struct gw_str *out, const char *dir, const char *below,
                                   unsigned depth, struct gwen_err *err);

/* A file, or all that a folder has. */
static enum gwen_status put_entry(struct gw_str *out, const char *dir, const char *name,
                                  unsigned depth, struct gwen_err *err) {
    struct gw_str path = {0};
    enum gwen_status status = gw_path_join(&path, dir, name, err);
    const bool folder = status == GWEN_OK && gw_dir_exists(path.data);
    gw_str_free(&path);
    if (status != GWEN_OK) return status;
    return folder ? put_folder(out, dir, name, depth + 1, err) : put_sum(out, dir, name, err);
}

/* The files of dir/below and its folders, in the order of their names. */
static enum gwen_status put_folder(struct gw_str *out, const char *dir, const char *below,
                                   unsigned depth, struct gwen_err *err) {
    struct dirent **entries = NULL;
    struct gw_str path = {0}, name = {0};
    if (depth > GW_TREE_DEPTH)
        return gw_fail(err, GWEN_ERR_INTERNAL, "%s: folders nested too deep", dir);
    enum gwen_status status = gw_path_join(&path, dir, below, err);
    const int n = status == GWEN_OK ? scandir(path.data, &entries, is_not_hidden, by_name) : 0;
    if (n < 0) status = gw_sys_fail(err, "read the folder", path.data, errno);
    for (int i = 0; i < n; i++) {
        if (status == GWEN_OK) status = gw_path_join(&name, below, entries[i]->d_name, err);
        if (status == GWEN_OK) status = put_entry(out, dir, name.data, depth, err);
        free(entries[i]);
    }
    if (n >= 0) free(entries);
    gw_str_free(&path);
    gw_str_free(&name);
    return status;
}

/* {name: {"bytes", "sum"}} of all files under the folder. */
static enum gwen_status put_files(struct gw_str *out, const char *dir, struct gwen_err *err) {
    gw_str_putc(out, '{');
    GW_TRY(put_folder(out, dir, "", 0, err));
    gw_str_putc(out, '}');
    return out->failed ? gw_nomem(err, out->len, "a checkpoint") : GWEN_OK;
}

/* The last file, since it has the sums of all others. */
static enum gwen_status write_state(const struct gw_train_state *state, const char *dir,
                                    struct gwen_err *err) {
    struct gw_str path = {0}, text = {0};
    struct gw_train_state with_files = *state;
    with_files.unsummed = false;
    with_files.files = (struct gw_str){0};
    enum gwen_status status = put_files(&with_files.files, dir, err);
    gw_train_state_put(&with_files, &text);
    seal(&text);
    if (status == GWEN_OK && text.failed) status = gw_nomem(err, text.len, "a checkpoint's state");
    if (status == GWEN_OK) status = gw_path_join(&path, dir, STATE, err);
    if (status == GWEN_OK) status = gw_file_write(path.data, text.data, text.len, err);
    gw_str_free(&with_files.files);
    gw_str_free(&path);
    gw_str_free(&text);
    return status;
}

static enum gwen_status fill(const char *dir, const struct gw_train_state *state,
                             const struct gw_checkpoint_part *parts, size_t n_parts,
                             struct gwen_err *err) {
    if (mkdir(dir, 0777) != 0) return gw_sys_fail(err, "make folder", dir, errno);
    for (size_t i = 0; i < n_parts; i++) GW_TRY(parts[i].write(parts[i].ctx, dir, err));
    GW_TRY(write_state(state, dir, err));
    return gw_tree_sync(dir, err);
}

/* One of the same step is replaced. */
static enum gwen_status publish(const char *run_dir, const char *from, const char *to,
                                uint64_t step, struct gwen_err *err) {
    if (gw_dir_exists(to)) GW_TRY(remove_one(run_dir, step, err));
    if (rename(from, to) != 0) return gw_sys_fail(err, "rename a folder to", to, errno);
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

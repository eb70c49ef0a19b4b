/* output.c - see output.h. */
#include "cli/output.h"

#include "base/file.h"
#include "cli/with_model.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { DEPTH = 2 }; /* folders below one that is named: samples, checkpoints of a run */

struct look {
    const struct gw_cli *cli;
    const char *path;         /* what is to be written */
    struct stat out[2];       /* of it and its part file, */
    size_t n_out;             /* as far as they are there */
    bool is_dir, is_argument; /* the output is a folder; what is looked at is no option's value */
    struct gwen_err *err;
};

static bool same(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static enum gwen_status refuse(const struct look *l, const char *input) {
    return gw_fail(l->err, GWEN_ERR_ARGUMENT, "%s: would be written over %s, which is read",
                   l->path, input);
}

static bool ends_in(const char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* Files of a model, an adapter or a tokenizer; of a run (an argument of report) its rows, too. */
static bool is_read(const struct look *l, const char *name) {
    static const char *const ends[] = {".safetensors", ".json", ".jinja", ".txt", ".model"};
    for (size_t i = 0; i < GW_ARRAY_LEN(ends); i++)
        if (ends_in(name, ends[i])) return true;
    return l->is_argument && ends_in(name, ".jsonl");
}

static enum gwen_status look_in(struct look *l, const char *path, int depth) {
    DIR *dir = opendir(path);
    if (dir == NULL) return GWEN_OK; /* what reads it says what is wrong with it */
    enum gwen_status status = GWEN_OK;
    struct gw_str below = {0};
    const struct dirent *entry;
    while (status == GWEN_OK && (entry = readdir(dir)) != NULL) {
        struct stat st;
        if (entry->d_name[0] == '.') continue;
        status = gw_path_join(&below, path, entry->d_name, l->err);
        if (status != GWEN_OK || stat(below.data, &st) != 0) continue;
        if (S_ISDIR(st.st_mode) && depth > 0) status = look_in(l, below.data, depth - 1);
        if (!S_ISREG(st.st_mode) || !is_read(l, entry->d_name)) continue;
        for (size_t i = 0; i < l->n_out && status == GWEN_OK; i++)
            if (same(&st, &l->out[i])) status = refuse(l, below.data);
    }
    closedir(dir);
    gw_str_free(&below);
    return status;
}

/* For an output folder: whether the file lies in it. */
static enum gwen_status look_around(const struct look *l, const char *path) {
    struct gw_str folder = {0};
    struct stat st;
    const char *base = gw_path_base(path);
    gw_str_put(&folder, path, (size_t)(base - path));
    gw_str_puts(&folder, ".");
    enum gwen_status status = folder.failed ? gw_nomem(l->err, folder.len, path) : GWEN_OK;
    if (status == GWEN_OK && stat(folder.data, &st) == 0 && same(&st, &l->out[0]))
        status = refuse(l, path);
    gw_str_free(&folder);
    return status;
}

static enum gwen_status look_at(struct look *l, const char *path) {
    struct stat st;
    if (path == NULL || stat(path, &st) != 0) return GWEN_OK;
    if (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode))
        for (size_t i = 0; i < l->n_out; i++)
            if (same(&st, &l->out[i])) return refuse(l, path);
    if (S_ISDIR(st.st_mode) && !l->is_dir) return look_in(l, path, DEPTH);
    return S_ISREG(st.st_mode) && l->is_dir ? look_around(l, path) : GWEN_OK;
}

static enum gwen_status look_at_all(struct look *l, const char *option) {
    const struct gw_cli *cli = l->cli;
    const struct gw_option *o;
    for (size_t i = 0; (o = gw_option_at(cli, i)) != NULL; i++)
        if (o->kind == GW_OPTION_STRING && strcmp(o->name, option) != 0)
            GW_TRY(look_at(l, *(const char *const *)o->value));
    if (cli->common.model != NULL) { /* from the hub's cache */
        struct gwen_err ignored;
        struct gw_str dir = {0};
        enum gwen_status status = GWEN_OK;
        if (gw_model_dir(cli, &dir, &ignored) == GWEN_OK) status = look_at(l, dir.data);
        gw_str_free(&dir);
        GW_TRY(status);
    }
    l->is_argument = true;
    for (size_t i = 0; i < cli->n_args; i++) GW_TRY(look_at(l, cli->args[i]));
    return GWEN_OK;
}

static bool is_empty(const char *path) {
    DIR *dir = opendir(path);
    bool empty = true;
    const struct dirent *entry;
    while (dir != NULL && empty && (entry = readdir(dir)) != NULL)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    if (dir != NULL) closedir(dir);
    return empty;
}

static enum gwen_status find_part(const char *path, struct stat *st, bool *found,
                                  struct gwen_err *err) {
    struct gw_str part = {0};
    gw_str_puts(&part, path);
    gw_str_puts(&part, ".part");
    enum gwen_status status = part.failed ? gw_nomem(err, part.len, path) : GWEN_OK;
    *found = status == GWEN_OK && stat(part.data, st) == 0;
    gw_str_free(&part);
    return status;
}

enum gwen_status gw_output_check(const struct gw_cli *cli, const char *option, const char *path,
                                 bool replace, struct gwen_err *err) {
    struct look l = {.cli = cli, .path = path, .err = err};
    bool is_there, part;
    if (path == NULL || strcmp(path, "-") == 0) return GWEN_OK;
    is_there = stat(path, &l.out[0]) == 0;
    if (!is_there && errno == ENOMEM) return gw_sys_fail(err, "look at", path, errno);
    l.is_dir = is_there && S_ISDIR(l.out[0].st_mode);
    if (is_there && !l.is_dir && !S_ISREG(l.out[0].st_mode)) return GWEN_OK;
    l.n_out = is_there;
    GW_TRY(find_part(path, &l.out[l.n_out], &part, err));
    l.n_out += part;
    if (l.n_out > 0) GW_TRY(look_at_all(&l, option));
    if (!is_there || replace || (l.is_dir && is_empty(path))) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_ARGUMENT,
                   "%s is there already%s: name another or give --overwrite", path,
                   l.is_dir ? " and not empty" : "");
}

enum gwen_status gw_output_check_part(const struct gw_cli *cli, const char *option,
                                      const char *path, bool resume, bool overwrite,
                                      struct gwen_err *err) {
    struct stat st;
    bool part = false;
    if (resume) GW_TRY(find_part(path, &st, &part, err));
    return gw_output_check(cli, option, path, overwrite || part, err);
}

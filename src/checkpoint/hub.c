/* hub.c - hub ids and the Hugging Face cache:
 *
 *     ROOT/models--ORG--NAME/refs/main               the commit that "main" was, as text
 *     ROOT/models--ORG--NAME/snapshots/COMMIT/...     its files
 */
#include "checkpoint/hub.h"

#include "base/file.h"
#include "base/kind.h"

#include <dirent.h>
#include <string.h>

static bool is_id_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

/* One or two parts of letters, digits, '_', '-' and '.', none beginning with '.'. */
static bool is_hub_id(const char *s, size_t len) {
    size_t slashes = 0;
    for (size_t i = 0; i < len; i++) {
        bool first = i == 0 || s[i - 1] == '/';
        if (s[i] == '/')
            slashes++;
        else if (!is_id_char(s[i]))
            return false;
        if (first && (s[i] == '.' || s[i] == '/')) return false;
    }
    return len > 0 && len <= 200 && slashes <= 1 && s[len - 1] != '/';
}

bool gw_hub_is_id(const char *text) {
    const char *dot = strrchr(text, '.');
    const char *const files[] = {".json", ".jsonl", ".csv", ".txt", ".gz", ".parquet", ".gguf"};
    for (size_t i = 0; dot != NULL && i < GW_ARRAY_LEN(files); i++)
        if (strcmp(dot, files[i]) == 0) return false;
    return is_hub_id(text, strlen(text));
}

/* Sets *out to ROOT/models--ORG--NAME. */
static enum gwen_status repo_dir(const char *root, const char *id, size_t len, struct gw_str *out,
                                 struct gwen_err *err) {
    GW_TRY(gw_path_join(out, root, "models--", err));
    for (size_t i = 0; i < len; i++) {
        if (id[i] == '/')
            gw_str_puts(out, "--");
        else
            gw_str_putc(out, id[i]);
    }
    return out->failed ? gw_nomem(err, len, "a file name") : GWEN_OK;
}

/* The commit that a branch or tag stands for, else the revision itself, as a plain name. */
static enum gwen_status read_ref(const char *repo, const char *revision, struct gw_str *commit,
                                 struct gwen_err *err) {
    struct gw_str refs = {0}, path = {0};
    enum gwen_status status = gw_path_join(&refs, repo, "refs", err);
    if (status == GWEN_OK) status = gw_path_join(&path, refs.data, revision, err);
    bool there = false;
    if (status == GWEN_OK) status = gw_file_find(path.data, &there, err);
    if (status == GWEN_OK && there) {
        status = gw_file_read(path.data, 256, commit, err);
        while (status == GWEN_OK && commit->len > 0 &&
               (unsigned char)commit->data[commit->len - 1] <= ' ')
            commit->data[--commit->len] = 0;
        if (status == GWEN_OK && (!is_hub_id(commit->data, commit->len) ||
                                  memchr(commit->data, '/', commit->len) != NULL))
            status = gw_fail(err, GWEN_ERR_FORMAT, "%s: expected the name of a commit", path.data);
    } else if (status == GWEN_OK) {
        gw_str_puts(commit, revision);
    }
    gw_str_free(&refs);
    gw_str_free(&path);
    return status;
}

/* Sets *dir to the snapshot; it may not exist. */
static enum gwen_status snapshot_dir(const char *root, const char *id, size_t id_len,
                                     const char *revision, struct gw_str *dir,
                                     struct gwen_err *err) {
    struct gw_str repo = {0}, commit = {0}, snapshots = {0};
    enum gwen_status status = repo_dir(root, id, id_len, &repo, err);
    if (status == GWEN_OK) status = read_ref(repo.data, revision, &commit, err);
    if (status == GWEN_OK) status = gw_path_join(&snapshots, repo.data, "snapshots", err);
    if (status == GWEN_OK) status = gw_path_join(dir, snapshots.data, commit.data, err);
    gw_str_free(&repo);
    gw_str_free(&commit);
    gw_str_free(&snapshots);
    return status;
}

enum gwen_status gw_hub_resolve(const char *spec, const char *cache_root, struct gw_str *dir,
                                struct gwen_err *err) {
    bool there;
    gw_str_clear(dir);
    GW_TRY(gw_dir_find(spec, &there, err));
    if (there) return gw_path_join(dir, "", spec, err);
    const char *at = strchr(spec, '@');
    const char *revision = at != NULL ? at + 1 : "main";
    const enum gw_kind kind = gw_kind_of(spec);
    if (kind == GW_KIND_GGUF)
        return gw_fail(err, GWEN_ERR_UNSUPPORTED,
                       "model %s is a GGUF file, which is not read: give the folder of the "
                       "safetensors model that it was made from",
                       spec);
    if (kind != GW_KIND_ABSENT && kind != GW_KIND_UNKNOWN)
        return gw_fail(err, GWEN_ERR_UNSUPPORTED, "model %s is %s, not a model's folder", spec,
                       gw_kind_name(kind));
    if (gw_file_exists(spec))
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "model %s is a file: give the folder that it lies in", spec);
    size_t id_len = at != NULL ? (size_t)(at - spec) : strlen(spec);
    if (!is_hub_id(spec, id_len) || !is_hub_id(revision, strlen(revision)))
        return gw_fail(err, GWEN_ERR_IO,
                       "model %.300s: no such directory, and not a hub id such as Qwen/Qwen3-0.6B",
                       spec);
    if (cache_root != NULL) {
        GW_TRY(snapshot_dir(cache_root, spec, id_len, revision, dir, err));
        GW_TRY(gw_dir_find(dir->data, &there, err));
        if (there) return GWEN_OK;
        gw_str_clear(dir);
    }
    return gw_fail(
        err, GWEN_ERR_IO,
        "model %s: no such directory, and not in the local Hugging Face cache%s%.300s%s; "
        "download it with: hf download %.*s%s%s",
        spec, cache_root != NULL ? " (" : "", cache_root != NULL ? cache_root : "",
        cache_root != NULL ? ")" : "", (int)id_len, spec, at != NULL ? " --revision " : "",
        at != NULL ? revision : "");
}

enum gwen_status gw_hub_check_folder(const char *dir, struct gwen_err *err) {
    struct gw_str path = {0};
    GW_TRY(gw_path_join(&path, dir, "config.json", err));
    bool known = gw_file_exists(path.data);
    gw_str_clear(&path);
    enum gwen_status status = gw_path_join(&path, dir, "tokenizer.json", err);
    known = known || (status == GWEN_OK && gw_file_exists(path.data));
    gw_str_free(&path);
    DIR *d = status == GWEN_OK && !known ? opendir(dir) : NULL;
    if (d == NULL) return status; /* whoever reads what should be there says so */
    for (const struct dirent *e; status == GWEN_OK && (e = readdir(d)) != NULL;) {
        const char *dot = strrchr(e->d_name, '.');
        if (dot != NULL && strcmp(dot, ".gguf") == 0)
            status = gw_fail(err, GWEN_ERR_UNSUPPORTED,
                             "model %s holds a GGUF file, %.200s, which is not read: give the "
                             "folder of the safetensors model that it was made from",
                             dir, e->d_name);
    }
    closedir(d);
    return status;
}

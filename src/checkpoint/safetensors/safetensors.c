/* safetensors.c - opening files and shards, finding tensors.  Names are looked up by binary search
 * in one sorted array: unlike a hash table it has no bad cases that a file could provoke, and
 * duplicates are neighbours. */
#include "checkpoint/safetensors/safetensors.h"

#include "base/json.h"
#include "checkpoint/safetensors/impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GW_ST_MAX_INDEX = 16 << 20, GW_ST_MAX_SHARDS = 4096 };

/* --- one file ------------------------------------------------------------------------------- */

/* Maps the file, or reads it where the mapping would leave the tensors misaligned. */
static enum gwen_status file_open(const char *path, struct gw_st_file *f, struct gwen_err *err) {
    *f = (struct gw_st_file){.name = strdup(path), .mapped = true};
    if (f->name == NULL) return gw_nomem(err, strlen(path), "a file name");
    GW_TRY(gw_map_open(path, &f->map, err));
    size_t len;
    GW_TRY(gw_st_header_len(f->map.data, f->map.size, path, &len, err));
    if (len % 8 != 0) {
        gw_map_close(&f->map);
        GW_TRY(gw_map_read(path, 8 + len, &f->map, err));
    }
    return gw_st_parse_header(f, err);
}

/* --- all files ------------------------------------------------------------------------------ */

static int compare_names(const void *a, const void *b) {
    const struct gw_st_ref *x = a, *y = b;
    return strcmp(x->tensor->name, y->tensor->name);
}

/* Builds the two arrays of references and refuses duplicates. */
static enum gwen_status index_tensors(struct gw_safetensors *st, struct gwen_err *err) {
    size_t n = 0;
    for (size_t i = 0; i < st->n_files; i++) n += st->files[i].n_tensors;
    size_t bytes = (n > 0 ? n : 1) * sizeof *st->by_name;
    st->by_name = malloc(bytes);
    st->in_order = malloc(bytes);
    if (st->by_name == NULL || st->in_order == NULL) return gw_nomem(err, 2 * bytes, st->path);
    st->n_tensors = n;
    n = 0;
    for (size_t i = 0; i < st->n_files; i++)
        for (size_t j = 0; j < st->files[i].n_tensors; j++)
            st->in_order[n++] = (struct gw_st_ref){&st->files[i].tensors[j], &st->files[i]};
    memcpy(st->by_name, st->in_order, n * sizeof *st->by_name);
    qsort(st->by_name, n, sizeof *st->by_name, compare_names);
    for (size_t i = 1; i < n; i++) {
        const struct gw_st_ref *r = &st->by_name[i];
        if (compare_names(r - 1, r) != 0) continue;
        bool same = r[-1].file == r->file;
        return gw_fail(err, GWEN_ERR_FORMAT, "%s: tensor \"%s\" %s %s", r->file->name,
                       gw_st_show(r->tensor->name).text, same ? "occurs twice" : "is also in",
                       same ? "in this file" : r[-1].file->name);
    }
    return GWEN_OK;
}

/* A shard name comes from a file of strangers: it must not lead out of the folder. */
static bool is_plain_name(const char *name) {
    for (const char *p = name; *p != 0; p++)
        if (*p == '/' || (unsigned char)*p < ' ' || *p == 0x7F) return false;
    return *name != 0 && strlen(name) <= 255 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int compare_strings(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct file names of weight_map, sorted; pointers into the document. */
static enum gwen_status list_shards(struct gw_json_node map, const char ***names, size_t *n,
                                    struct gwen_err *err) {
    size_t count = gw_json_size(map), used = 0;
    *n = 0;
    *names = malloc((count > 0 ? count : 1) * sizeof **names);
    if (*names == NULL) return gw_nomem(err, count * sizeof **names, map.doc->file);
    for (struct gw_json_node e = gw_json_first(map); e.v != NULL; e = gw_json_next(e)) {
        GW_TRY(gw_json_as_string(e, &(*names)[used], err));
        if (!is_plain_name((*names)[used]))
            return gw_json_fail(e, err, GWEN_ERR_FORMAT,
                                "\"%s\" is not a plain file name in this folder",
                                gw_st_show((*names)[used]).text);
        used++;
    }
    if (used == 0) return gw_json_fail(map, err, GWEN_ERR_FORMAT, "is empty");
    qsort(*names, used, sizeof **names, compare_strings);
    for (size_t i = 0; i < used; i++)
        if (i == 0 || strcmp((*names)[i], (*names)[*n - 1]) != 0) (*names)[(*n)++] = (*names)[i];
    if (*n > GW_ST_MAX_SHARDS)
        return gw_json_fail(map, err, GWEN_ERR_FORMAT, "more than %d files", GW_ST_MAX_SHARDS);
    return GWEN_OK;
}

/* Each tensor of weight_map must be in the file that it names. */
static enum gwen_status check_weight_map(const struct gw_safetensors *st, struct gw_json_node map,
                                         struct gwen_err *err) {
    for (struct gw_json_node e = gw_json_first(map); e.v != NULL; e = gw_json_next(e)) {
        const char *want = e.v->valuestring;
        const struct gw_st_ref *ref = gw_st_lookup(st, gw_json_key(e));
        if (ref == NULL)
            return gw_json_fail(e, err, GWEN_ERR_FORMAT, "%s has no such tensor", want);
        if (strcmp(gw_path_base(ref->file->name), want) != 0)
            return gw_json_fail(e, err, GWEN_ERR_FORMAT, "the tensor is in %s, not in %s",
                                gw_path_base(ref->file->name), want);
    }
    return GWEN_OK;
}

static enum gwen_status open_shards(struct gw_safetensors *st, const char *dir,
                                    struct gw_json_node map, struct gwen_err *err) {
    const char **names = NULL;
    size_t n = 0;
    struct gw_str path = {0};
    enum gwen_status status = list_shards(map, &names, &n, err);
    if (status == GWEN_OK) {
        st->files = calloc(n, sizeof *st->files);
        if (st->files == NULL) status = gw_nomem(err, n * sizeof *st->files, dir);
    }
    for (size_t i = 0; i < n && status == GWEN_OK; i++) {
        status = gw_path_join(&path, dir, names[i], err);
        st->n_files = i + 1; /* close frees a half-opened file as well */
        if (status == GWEN_OK) status = file_open(path.data, &st->files[i], err);
    }
    if (status == GWEN_OK) status = index_tensors(st, err);
    if (status == GWEN_OK) status = check_weight_map(st, map, err);
    free(names);
    gw_str_free(&path);
    return status;
}

static enum gwen_status open_index(struct gw_safetensors *st, const char *dir, const char *path,
                                   struct gwen_err *err) {
    struct gw_json_doc doc;
    struct gw_json_node map;
    GW_TRY(gw_json_load(path, GW_ST_MAX_INDEX, &doc, err));
    enum gwen_status status =
        gw_json_get_object(gw_json_root(&doc), "weight_map", GW_JSON_REQUIRED, &map, err);
    if (status == GWEN_OK) status = open_shards(st, dir, map, err);
    gw_json_free(&doc);
    return status;
}

static enum gwen_status open_single(struct gw_safetensors *st, const char *path,
                                    struct gwen_err *err) {
    st->files = calloc(1, sizeof *st->files);
    if (st->files == NULL) return gw_nomem(err, sizeof *st->files, path);
    st->n_files = 1;
    GW_TRY(file_open(path, &st->files[0], err));
    return index_tensors(st, err);
}

static enum gwen_status open_dir(struct gw_safetensors *st, const char *dir, struct gwen_err *err) {
    struct gw_str path = {0};
    bool there = false;
    enum gwen_status status = gw_path_join(&path, dir, "model.safetensors", err);
    if (status == GWEN_OK) status = gw_file_find(path.data, &there, err);
    if (status == GWEN_OK && there) {
        status = open_single(st, path.data, err);
        gw_str_free(&path);
        return status;
    }
    if (status == GWEN_OK) status = gw_path_join(&path, dir, "model.safetensors.index.json", err);
    if (status == GWEN_OK) status = gw_file_find(path.data, &there, err);
    if (status == GWEN_OK && there) {
        status = open_index(st, dir, path.data, err);
    } else if (status == GWEN_OK) {
        status = gw_path_join(&path, dir, "pytorch_model.bin", err);
        if (status == GWEN_OK)
            status = gw_fail(err, GWEN_ERR_IO,
                             "%s: no model.safetensors and no model.safetensors.index.json%s", dir,
                             gw_file_exists(path.data)
                                 ? " (pytorch_model.bin is not read: convert it to safetensors)"
                                 : "");
    }
    gw_str_free(&path);
    return status;
}

static struct gw_safetensors *new_safetensors(const char *path) {
    struct gw_safetensors *st = calloc(1, sizeof *st);
    if (st == NULL) return NULL;
    st->path = strdup(path);
    if (st->path != NULL) return st;
    free(st);
    return NULL;
}

enum gwen_status gw_safetensors_open(const char *path, struct gw_safetensors **out,
                                     struct gwen_err *err) {
    *out = NULL;
    struct gw_safetensors *st = new_safetensors(path);
    if (st == NULL) return gw_nomem(err, sizeof *st, path);
    bool folder = false;
    enum gwen_status status = gw_dir_find(path, &folder, err);
    if (status == GWEN_OK) status = folder ? open_dir(st, path, err) : open_single(st, path, err);
    if (status == GWEN_OK)
        *out = st;
    else
        gw_safetensors_close(st);
    return status;
}

enum gwen_status gw_safetensors_open_memory(const void *bytes, size_t size, const char *name,
                                            struct gw_safetensors **out, struct gwen_err *err) {
    *out = NULL;
    struct gw_safetensors *st = new_safetensors(name);
    if (st == NULL) return gw_nomem(err, sizeof *st, name);
    enum gwen_status status = GWEN_OK;
    st->files = calloc(1, sizeof *st->files);
    if (st->files != NULL) {
        st->n_files = 1;
        st->files[0].map = (struct gw_map){.data = bytes, .size = size};
        st->files[0].name = strdup(name);
    }
    if (st->files == NULL || st->files[0].name == NULL) status = gw_nomem(err, size, name);
    if (status == GWEN_OK) status = gw_st_parse_header(&st->files[0], err);
    if (status == GWEN_OK) status = index_tensors(st, err);
    if (status == GWEN_OK)
        *out = st;
    else
        gw_safetensors_close(st);
    return status;
}

void gw_safetensors_close(struct gw_safetensors *st) {
    if (st == NULL) return;
    for (size_t i = 0; i < st->n_files; i++) gw_st_file_free(&st->files[i]);
    free(st->files);
    free(st->by_name);
    free(st->in_order);
    free(st->path);
    free(st);
}

/* --- looking up ----------------------------------------------------------------------------- */

size_t gw_safetensors_count(const struct gw_safetensors *st) { return st->n_tensors; }

const struct gw_tensor *gw_safetensors_at(const struct gw_safetensors *st, size_t i) {
    return st->in_order[i].tensor;
}

const struct gw_st_ref *gw_st_lookup(const struct gw_safetensors *st, const char *name) {
    size_t lo = 0, hi = st->n_tensors;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int order = strcmp(name, st->by_name[mid].tensor->name);
        if (order == 0) return &st->by_name[mid];
        if (order < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

/* Whether a tensor's name begins with "model.". */
static bool has_prefix(const struct gw_safetensors *st) {
    size_t lo = 0, hi = st->n_tensors;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const int order = strncmp("model.", st->by_name[mid].tensor->name, 6);
        if (order == 0) return true;
        if (order < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return false;
}

const struct gw_st_ref *gw_st_resolve(const struct gw_safetensors *st, const char *name) {
    const struct gw_st_ref *ref = gw_st_lookup(st, name);
    if (ref != NULL) return ref;
    if (strncmp(name, "model.", 6) == 0 && !has_prefix(st)) ref = gw_st_lookup(st, name + 6);
    if (ref == NULL && strcmp(name, "model.embed_tokens.weight") == 0)
        ref = gw_st_lookup(st, "lm_head.weight");
    return ref;
}

const struct gw_tensor *gw_safetensors_find(const struct gw_safetensors *st, const char *name) {
    const struct gw_st_ref *ref = gw_st_resolve(st, name);
    return ref != NULL ? ref->tensor : NULL;
}

enum gwen_status gw_safetensors_get(const struct gw_safetensors *st, const char *name,
                                    enum gw_dtype dtype, size_t rank, const size_t *shape,
                                    const struct gw_tensor **out, struct gwen_err *err) {
    char want[128], have[128];
    *out = NULL;
    gw_st_show_shape(rank, shape, want, sizeof want);
    const struct gw_st_ref *ref = gw_st_resolve(st, name);
    if (ref == NULL)
        return gw_fail(err, GWEN_ERR_FORMAT, "%s: tensor %s %s is missing", st->path, name, want);
    const struct gw_tensor *t = ref->tensor;
    bool same = t->rank == rank;
    for (size_t i = 0; i < rank && same; i++) same = t->shape[i] == shape[i];
    if (!same) {
        gw_st_show_shape(t->rank, t->shape, have, sizeof have);
        return gw_fail(err, GWEN_ERR_FORMAT, "%s: tensor %s has shape %s, but %s is wanted",
                       ref->file->name, name, have, want);
    }
    if (dtype != GW_DTYPE_NONE && t->dtype != dtype)
        return gw_fail(err, GWEN_ERR_FORMAT, "%s: tensor %s has dtype %s, but %s is wanted",
                       ref->file->name, name, gw_dtype_name(t->dtype), gw_dtype_name(dtype));
    *out = t;
    return GWEN_OK;
}

const char *gw_safetensors_metadata(const struct gw_safetensors *st, const char *key) {
    for (size_t i = 0; i < st->n_files; i++) {
        const struct gw_st_file *f = &st->files[i];
        for (size_t j = 0; j < f->n_meta; j++)
            if (strcmp(f->strings + f->meta[2 * j], key) == 0)
                return f->strings + f->meta[2 * j + 1];
    }
    return NULL;
}

void gw_safetensors_release(const struct gw_safetensors *st, const struct gw_tensor *t) {
    const struct gw_st_ref *ref = gw_st_lookup(st, t->name);
    if (ref == NULL || !ref->file->mapped) return;
    size_t offset = (size_t)((const unsigned char *)t->data - ref->file->map.data);
    gw_map_release(&ref->file->map, offset, t->bytes);
}

/* export.c - see export.h. */
#include "service/train/export.h"

#include "base/file.h"
#include "base/tree.h"
#include "checkpoint/safetensors/safetensors.h"
#include "model/lora.h"
#include "text/tokenizer/tokenizer.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PIECE = 4096 };

struct merging {
    const struct gw_export_opts *opts;
    struct gw_config cfg;
    struct gwen_kernels kern;
    struct gw_safetensors *st;
    struct gw_lora *lora;
    struct gw_progress progress;
    uint64_t done; /* parameters */
};

/* --- weights -------------------------------------------------------------------------------- */

static enum gw_dtype dtype_of(const struct merging *m, const struct gw_tensor *t) {
    return m->opts->dtype != GW_DTYPE_NONE ? m->opts->dtype : t->dtype;
}

static void to_float(const struct gwen_kernels *k, const struct gw_tensor *t, size_t first,
                     size_t n, float *out) {
    const char *src = (const char *)t->data + first * gw_dtype_bytes(t->dtype);
    switch (t->dtype) {
    case GW_DTYPE_F16: k->f16_to_f32(out, (const struct gwen_f16 *)(const void *)src, n); break;
    case GW_DTYPE_BF16: k->bf16_to_f32(out, (const struct gwen_bf16 *)(const void *)src, n); break;
    default: memcpy(out, src, n * sizeof *out); break;
    }
}

static enum gwen_status from_float(const struct gwen_kernels *k, const char *name, enum gw_dtype to,
                                   const float *values, size_t n, void *dst, struct gwen_err *err) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]) || (to == GW_DTYPE_F16 && fabsf(values[i]) > 65504.0f))
            return gw_fail(err, GWEN_ERR_NUMERIC, "%s: %.9g cannot be held in %s", name,
                           (double)values[i], gw_dtype_torch_name(to));
    switch (to) {
    case GW_DTYPE_F16: k->f32_to_f16(dst, values, n); break;
    case GW_DTYPE_BF16: k->f32_to_bf16(dst, values, n); break;
    default: memcpy(dst, values, n * sizeof *values); break;
    }
    return GWEN_OK;
}

/* A gw_tensor_fill. */
static enum gwen_status fill(void *ctx, size_t index, size_t first, size_t n, void *dst,
                             struct gwen_err *err) {
    struct merging *m = ctx;
    struct gw_tensor_spec spec;
    gw_config_tensor_at(&m->cfg, index, &spec);
    const struct gw_tensor *t = gw_safetensors_find(m->st, spec.name);
    const enum gw_dtype to = dtype_of(m, t);
    float values[PIECE];
    for (size_t i = 0, piece; i < n; i += piece) {
        piece = GW_MIN(n - i, (size_t)PIECE);
        GW_TRY(gw_progress_update(&m->progress, m->done, err));
        m->done += piece;
        to_float(&m->kern, t, first + i, piece, values);
        gw_lora_merge_part(m->lora, spec.kind, spec.layer, first + i, piece, values);
        GW_TRY(from_float(&m->kern, spec.name, to, values, piece,
                          (char *)dst + i * gw_dtype_bytes(to), err));
    }
    if (first + n == t->n_elem) gw_safetensors_release(m->st, t);
    return GWEN_OK;
}

static enum gwen_status write_weights(struct merging *m, const char *path, struct gwen_err *err) {
    const struct gw_meta meta = {"format", "pt"}; /* transformers wants to see it */
    const size_t n = gw_config_n_tensors(&m->cfg);
    struct gw_tensor *tensors = calloc(n, sizeof *tensors);
    struct gw_tensor_spec *specs = calloc(n, sizeof *specs);
    enum gwen_status status = GWEN_OK;
    if (tensors == NULL || specs == NULL) status = gw_nomem(err, n * sizeof *specs, path);
    for (size_t i = 0; i < n && status == GWEN_OK; i++) {
        gw_config_tensor_at(&m->cfg, i, &specs[i]);
        const struct gw_tensor *t = gw_safetensors_find(m->st, specs[i].name);
        tensors[i] = (struct gw_tensor){.name = specs[i].name,
                                        .dtype = dtype_of(m, t),
                                        .rank = specs[i].rank,
                                        .shape = {specs[i].shape[0], specs[i].shape[1]}};
    }
    if (status == GWEN_OK) status = gw_safetensors_write(path, tensors, n, &meta, 1, fill, m, err);
    free(tensors);
    free(specs);
    return status;
}

/* --- the directory -------------------------------------------------------------------------- */

static enum gwen_status write_files(struct merging *m, const char *dir, struct gwen_err *err) {
    struct gw_str path = {0};
    struct gw_config c = m->cfg;
    c.dtype = m->opts->dtype != GW_DTYPE_NONE ? m->opts->dtype : gw_safetensors_dtype(m->st);
    GW_TRY(gw_dir_make(dir, err));
    GW_TRY(gw_config_write(&c, dir, err));
    GW_TRY(gw_tokenizer_copy(m->opts->model_dir, dir, err));
    enum gwen_status status = gw_path_join(&path, dir, "model.safetensors", err);
    if (status == GWEN_OK) status = write_weights(m, path.data, err);
    gw_str_free(&path);
    return status == GWEN_OK ? gw_tree_sync(dir, err) : status;
}

static enum gwen_status open_sources(struct merging *m, struct gwen_err *err) {
    const struct gw_export_opts *o = m->opts;
    gwen_kernels_init(&m->kern, o->isa_cap);
    GW_TRY(gw_config_load(o->model_dir, &m->cfg, err));
    GW_TRY(gw_lora_read(&m->cfg, &(struct gw_arith){&m->kern, GW_PANEL_F32}, o->adapter_dir,
                        &m->lora, err));
    GW_TRY(gw_safetensors_open(o->model_dir, &m->st, err));
    gw_progress_init(&m->progress, o->progress, o->progress_user, "export", "parameters",
                     gw_config_n_params(&m->cfg));
    return gw_safetensors_check(m->st, &m->cfg, err);
}

/* Nothing that is there is ever written over. */
static enum gwen_status check_out(const char *out, struct gwen_err *err) {
    struct stat st;
    bool empty = true;
    if (lstat(out, &st) != 0) return GWEN_OK; /* should it be out of reach, making it will say so */
    DIR *d = opendir(out);
    for (const struct dirent *e; d != NULL && empty && (e = readdir(d)) != NULL;)
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    if (d != NULL) closedir(d);
    if (d != NULL && empty) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_ARGUMENT, "%s: there is something already: give another folder",
                   out);
}

/* The folder that `out` is in. */
static enum gwen_status make_parent(const char *out, struct gw_str *parent, struct gwen_err *err) {
    const size_t len = (size_t)(gw_path_base(out) - out);
    if (len > 0)
        gw_str_put(parent, out, len);
    else
        gw_str_puts(parent, ".");
    if (parent->failed) return gw_nomem(err, len, "a path");
    return gw_dir_make(parent->data, err);
}

static enum gwen_status publish(const char *from, const char *to, const char *parent,
                                struct gwen_err *err) {
    if (rename(from, to) == 0) return gw_dir_sync(parent, err);
    return gw_sys_fail(err, "rename a folder to", to, errno);
}

/* `out` ends without a slash. */
static enum gwen_status write_out(struct merging *m, const char *out, struct gwen_err *err) {
    struct gw_str tmp = {0}, parent = {0};
    struct gwen_err ignored;
    gw_str_printf(&tmp, "%s.export.tmp", out);
    enum gwen_status status =
        tmp.failed ? gw_nomem(err, tmp.len, "a path") : make_parent(out, &parent, err);
    if (status == GWEN_OK) status = gw_tree_remove(tmp.data, err); /* of one that was killed */
    if (status == GWEN_OK) {
        status = write_files(m, tmp.data, err);
        if (status == GWEN_OK) status = publish(tmp.data, out, parent.data, err);
        if (status != GWEN_OK) gw_tree_remove(tmp.data, &ignored);
    }
    gw_str_free(&tmp);
    gw_str_free(&parent);
    return status;
}

enum gwen_status gw_export_merged(const struct gw_export_opts *opts, const char *out,
                                  struct gwen_err *err) {
    struct merging m = {.opts = opts};
    struct gw_str path = {0};
    size_t len = strlen(out);
    while (len > 1 && out[len - 1] == '/') len--;
    gw_str_put(&path, out, len);
    enum gwen_status status =
        path.failed ? gw_nomem(err, len, "a path") : check_out(path.data, err);
    if (status == GWEN_OK) status = open_sources(&m, err);
    if (status == GWEN_OK) status = write_out(&m, path.data, err);
    gw_safetensors_close(m.st);
    gw_lora_free(m.lora);
    gw_str_free(&path);
    return status;
}

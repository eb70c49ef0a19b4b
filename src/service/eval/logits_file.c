/* logits_file.c - see logits_file.h. */
#include "service/eval/logits_file.h"

#include "base/str.h"
#include "checkpoint/safetensors/safetensors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = 32 };

struct entry {
    size_t n_positions, first; /* rows of vocab_size floats; the number of rows before */
};

struct gw_logits_file {
    char *path;
    int fd; /* the nameless file */
    int error;
    size_t vocab_size, n_rows;
    struct entry *entries;
    size_t n, cap;
};

enum gwen_status gw_logits_open(const char *path, size_t vocab_size, struct gw_logits_file **out,
                                struct gwen_err *err) {
    *out = NULL;
    struct gw_logits_file *f = calloc(1, sizeof *f);
    if (f == NULL) return gw_nomem(err, sizeof *f, path);
    *f = (struct gw_logits_file){.path = strdup(path), .fd = -1, .vocab_size = vocab_size};
    struct gw_str name = {0};
    gw_str_printf(&name, "%s.XXXXXX", path);
    if (f->path == NULL || name.failed) {
        gw_str_free(&name);
        gw_logits_abort(f);
        return gw_nomem(err, strlen(path), path);
    }
    f->fd = mkstemp(name.data);
    int error = errno;
    if (f->fd >= 0) unlink(name.data);
    gw_str_free(&name);
    if (f->fd < 0) {
        gw_logits_abort(f);
        return gw_sys_fail(err, "write", path, error);
    }
    *out = f;
    return GWEN_OK;
}

void gw_logits_abort(struct gw_logits_file *f) {
    if (f == NULL) return;
    if (f->fd >= 0) close(f->fd);
    free(f->path);
    free(f->entries);
    free(f);
}

enum gwen_status gw_logits_add(struct gw_logits_file *f, size_t n_positions, size_t *index,
                               struct gwen_err *err) {
    if (f->n == f->cap) {
        size_t cap = f->cap == 0 ? 256 : 2 * f->cap;
        struct entry *entries = realloc(f->entries, cap * sizeof *entries);
        if (entries == NULL) return gw_nomem(err, cap * sizeof *entries, f->path);
        f->entries = entries;
        f->cap = cap;
    }
    f->entries[f->n] = (struct entry){n_positions, f->n_rows};
    f->n_rows += n_positions;
    *index = f->n++;
    return GWEN_OK;
}

/* Reads or writes all of it; false with f->error. */
static bool transfer(struct gw_logits_file *f, bool writing, void *bytes, size_t len, size_t at) {
    char *p = bytes;
    while (len > 0) {
        ssize_t n = writing ? pwrite(f->fd, p, len, (off_t)at) : pread(f->fd, p, len, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            f->error = n < 0 ? errno : EIO;
            return false;
        }
        p += n;
        at += (size_t)n;
        len -= (size_t)n;
    }
    return true;
}

void gw_logits_put(struct gw_logits_file *f, size_t index, size_t position, const float *values) {
    size_t bytes = f->vocab_size * sizeof *values;
    if (f->error != 0) return;
    transfer(f, true, (void *)(uintptr_t)values, bytes,
             (f->entries[index].first + position) * bytes);
}

static enum gwen_status io_error(const struct gw_logits_file *f, struct gwen_err *err) {
    return gw_sys_fail(err, "write", f->path, f->error);
}

/* gw_tensor_fill */
static enum gwen_status fill(void *ctx, size_t index, size_t first, size_t n, void *dst,
                             struct gwen_err *err) {
    struct gw_logits_file *f = ctx;
    size_t at = (f->entries[index].first * f->vocab_size + first) * sizeof(float);
    return transfer(f, false, dst, n * sizeof(float), at) ? GWEN_OK : io_error(f, err);
}

static enum gwen_status write_file(struct gw_logits_file *f, struct gwen_err *err) {
    struct gw_tensor *tensors = calloc(GW_MAX(f->n, (size_t)1), sizeof *tensors);
    char(*names)[NAME_MAX_BYTES] = calloc(GW_MAX(f->n, (size_t)1), sizeof *names);
    enum gwen_status status =
        tensors == NULL || names == NULL ? gw_nomem(err, f->n * sizeof *tensors, f->path) : GWEN_OK;
    for (size_t i = 0; i < f->n && status == GWEN_OK; i++) {
        snprintf(names[i], sizeof names[i], "logits.%zu", i);
        tensors[i] = (struct gw_tensor){.name = names[i],
                                        .dtype = GW_DTYPE_F32,
                                        .rank = 2,
                                        .shape = {f->entries[i].n_positions, f->vocab_size}};
    }
    if (status == GWEN_OK)
        status = gw_safetensors_write(f->path, tensors, f->n, NULL, 0, fill, f, err);
    free(tensors);
    free(names);
    return status;
}

enum gwen_status gw_logits_commit(struct gw_logits_file *f, struct gwen_err *err) {
    enum gwen_status status = f->error != 0 ? io_error(f, err) : write_file(f, err);
    gw_logits_abort(f);
    return status;
}

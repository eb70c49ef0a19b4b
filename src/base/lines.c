/* lines.c - the line reader of file.h: one growing buffer over a descriptor.
 *
 * Bytes that were searched for a newline are not searched again, and the buffer doubles, so a long
 * line costs time in proportion to its length. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* --- gzip ----------------------------------------------------------------------------------- */

enum { ZIP_BUFFER = 1 << 16, GZIP_ONLY = 15 + 16 };

struct unzip {
    enum { LOOKING, PLAIN, PACKED, BETWEEN } state; /* BETWEEN: two members */
    bool at_end;                                    /* of the descriptor */
    size_t at, n;                                   /* what is left of in: [at, n) */
    z_stream z;
    unsigned char in[ZIP_BUFFER];
};

static struct unzip *unzip_new(void) { return calloc(1, sizeof(struct unzip)); }

static void unzip_free(struct unzip *u) {
    if (u == NULL) return;
    if (u->state == PACKED || u->state == BETWEEN) inflateEnd(&u->z);
    free(u);
}

/* Reads behind [at, n), which is moved to the front. */
static enum gwen_status unzip_fill(struct unzip *u, int fd, const char *name,
                                   struct gwen_err *err) {
    memmove(u->in, u->in + u->at, u->n - u->at);
    u->n -= u->at;
    u->at = 0;
    ssize_t n = read(fd, u->in + u->n, sizeof u->in - u->n);
    if (n < 0 && errno == EINTR)
        return gw_fail(err, GWEN_ERR_CANCELLED, "%s: interrupted while waiting", name);
    if (n < 0) return gw_sys_fail(err, "read", name, errno);
    u->at_end = n == 0;
    u->n += (size_t)n;
    return GWEN_OK;
}

static enum gwen_status look(struct unzip *u, int fd, const char *name, struct gwen_err *err) {
    while (u->n < 2 && !u->at_end) GW_TRY(unzip_fill(u, fd, name, err));
    if (u->n < 2 || u->in[0] != 0x1F || u->in[1] != 0x8B) {
        u->state = PLAIN;
        return GWEN_OK;
    }
    if (inflateInit2(&u->z, GZIP_ONLY) != Z_OK) return gw_nomem(err, ZIP_BUFFER, name);
    u->state = PACKED;
    return GWEN_OK;
}

static enum gwen_status pass_on(struct unzip *u, int fd, const char *name, char *out, size_t cap,
                                size_t *got, struct gwen_err *err) {
    if (u->at == u->n && !u->at_end) GW_TRY(unzip_fill(u, fd, name, err));
    *got = GW_MIN(cap, u->n - u->at);
    memcpy(out, u->in + u->at, *got);
    u->at += *got;
    return GWEN_OK;
}

/* Like read: up to `cap` bytes (more than 0) into `out`, *got of them, 0 at the end.  Input that
 * begins with gzip's two bytes is decompressed, member after member; other input is passed on as it
 * is.  GWEN_ERR_FORMAT for damaged or cut off gzip, GWEN_ERR_CANCELLED as for gw_lines_next; the
 * memory does not depend on the input. */
static enum gwen_status unzip_read(struct unzip *u, int fd, const char *name, char *out, size_t cap,
                                   size_t *got, struct gwen_err *err) {
    *got = 0;
    if (u->state == LOOKING) GW_TRY(look(u, fd, name, err));
    if (u->state == PLAIN) return pass_on(u, fd, name, out, cap, got, err);
    cap = GW_MIN(cap, (size_t)UINT_MAX);
    while (*got == 0) {
        if (u->at == u->n && !u->at_end) GW_TRY(unzip_fill(u, fd, name, err));
        if (u->at == u->n && u->state == BETWEEN) return GWEN_OK;
        if (u->at == u->n)
            return gw_fail(err, GWEN_ERR_FORMAT, "%s: the gzip file is cut off", name);
        if (u->state == BETWEEN && inflateReset(&u->z) != Z_OK)
            return gw_fail(err, GWEN_ERR_INTERNAL, "%s: zlib cannot begin anew", name);
        u->state = PACKED;
        u->z.next_in = u->in + u->at;
        u->z.avail_in = (uInt)(u->n - u->at);
        u->z.next_out = (Bytef *)out;
        u->z.avail_out = (uInt)cap;
        const int result = inflate(&u->z, Z_NO_FLUSH);
        u->at = u->n - u->z.avail_in;
        *got = cap - u->z.avail_out;
        if (result == Z_STREAM_END) u->state = BETWEEN;
        if (result == Z_MEM_ERROR) return gw_nomem(err, ZIP_BUFFER, name);
        if (result != Z_OK && result != Z_STREAM_END)
            return gw_fail(err, GWEN_ERR_FORMAT, "%s: damaged gzip (%s)", name,
                           u->z.msg != NULL ? u->z.msg : "no progress");
    }
    return GWEN_OK;
}

/* --- lines ---------------------------------------------------------------------------------- */

enum { GW_LINES_BUFFER = 1 << 16 };

struct gw_lines {
    int fd;
    bool owned;
    bool at_end;
    char *name;
    struct unzip *unzip; /* NULL: bytes are taken as they are */
    size_t max_line;
    char *buf;
    size_t cap;
    size_t begin, scan, end; /* begin <= scan <= end < cap: line start, searched, filled */
    uint64_t number, offset; /* of the line at `begin` less one; of `begin` in the input */
};

enum gwen_status gw_lines_open_fd(int fd, const char *name, size_t max_line, struct gw_lines **out,
                                  struct gwen_err *err) {
    *out = NULL;
    struct gw_lines *r = calloc(1, sizeof *r);
    if (r == NULL) return gw_nomem(err, sizeof *r, name);
    *r = (struct gw_lines){.fd = fd, .max_line = max_line, .cap = GW_LINES_BUFFER};
    r->name = strdup(name);
    r->buf = malloc(r->cap);
    if (r->name == NULL || r->buf == NULL) {
        gw_lines_close(r);
        return gw_nomem(err, GW_LINES_BUFFER, name);
    }
    *out = r;
    return GWEN_OK;
}

enum gwen_status gw_lines_open(const char *path, size_t max_line, struct gw_lines **out,
                               struct gwen_err *err) {
    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == EINTR)
        return gw_fail(err, GWEN_ERR_CANCELLED, "interrupted before %s could be opened", path);
    if (fd < 0) return gw_sys_fail(err, "open", path, errno);
    enum gwen_status status = gw_lines_open_fd(fd, path, max_line, out, err);
    if (status == GWEN_OK)
        (*out)->owned = true;
    else
        close(fd);
    return status;
}

void gw_lines_close(struct gw_lines *r) {
    if (r == NULL) return;
    if (r->owned) close(r->fd);
    unzip_free(r->unzip);
    free(r->name);
    free(r->buf);
    free(r);
}

const char *gw_lines_name(const struct gw_lines *r) { return r->name; }

uint64_t gw_lines_number(const struct gw_lines *r) { return r->number; }

enum gwen_status gw_lines_unzip(struct gw_lines *r, struct gwen_err *err) {
    r->unzip = unzip_new();
    return r->unzip != NULL ? GWEN_OK : gw_nomem(err, GW_LINES_BUFFER, r->name);
}

static enum gwen_status read_bytes(struct gw_lines *r, char *out, size_t cap, size_t *got,
                                   struct gwen_err *err) {
    if (r->unzip != NULL) return unzip_read(r->unzip, r->fd, r->name, out, cap, got, err);
    ssize_t n = read(r->fd, out, cap);
    if (n < 0 && errno == EINTR)
        return gw_fail(err, GWEN_ERR_CANCELLED, "%s: interrupted while waiting", r->name);
    if (n < 0) return gw_sys_fail(err, "read", r->name, errno);
    *got = (size_t)n;
    return GWEN_OK;
}

/* Reads more bytes behind `end`, moving the unfinished line to the front or growing first. */
static enum gwen_status lines_fill(struct gw_lines *r, struct gwen_err *err) {
    if (r->begin > 0) {
        memmove(r->buf, r->buf + r->begin, r->end - r->begin);
        r->end -= r->begin;
        r->scan -= r->begin;
        r->begin = 0;
    }
    if (r->end + 1 >= r->cap) {
        size_t cap;
        char *buf = gw_mul_size(r->cap, 2, &cap) ? realloc(r->buf, cap) : NULL;
        if (buf == NULL) return gw_nomem(err, r->cap, r->name);
        r->buf = buf;
        r->cap = cap;
    }
    size_t n = 0;
    GW_TRY(read_bytes(r, r->buf + r->end, r->cap - 1 - r->end, &n, err));
    r->at_end = n == 0;
    r->end += n;
    return GWEN_OK;
}

enum gwen_status gw_lines_peek(struct gw_lines *r, int *c, struct gwen_err *err) {
    if (r->begin == r->end && !r->at_end) GW_TRY(lines_fill(r, err));
    *c = r->begin < r->end ? (unsigned char)r->buf[r->begin] : -1;
    return GWEN_OK;
}

void gw_lines_skip(struct gw_lines *r) {
    if (r->begin == r->end) return;
    r->number += r->buf[r->begin] == '\n';
    r->begin++;
    r->offset++;
    r->scan = GW_MAX(r->scan, r->begin);
}

enum gwen_status gw_lines_skip_mark(struct gw_lines *r, struct gwen_err *err) {
    static const char mark[] = "\xEF\xBB\xBF";
    for (size_t n = r->end - r->begin; n < 3 && !r->at_end; n = r->end - r->begin)
        if (n > 0 && memcmp(r->buf + r->begin, mark, n) != 0)
            return GWEN_OK;
        else
            GW_TRY(lines_fill(r, err));
    if (r->end - r->begin >= 3 && memcmp(r->buf + r->begin, mark, 3) == 0)
        for (int i = 0; i < 3; i++) gw_lines_skip(r);
    return GWEN_OK;
}

enum gwen_status gw_lines_next(struct gw_lines *r, struct gw_line *line, bool *more,
                               struct gwen_err *err) {
    *more = false;
    char *newline;
    while ((newline = memchr(r->buf + r->scan, '\n', r->end - r->scan)) == NULL) {
        r->scan = r->end;
        if (r->at_end || r->end - r->begin > r->max_line) break;
        GW_TRY(lines_fill(r, err));
    }
    if (newline == NULL && r->at_end && r->begin == r->end) return GWEN_OK;
    size_t stop = newline != NULL ? (size_t)(newline - r->buf) : r->end;
    size_t len = stop - r->begin;
    if (len > r->max_line)
        return gw_fail(err, GWEN_ERR_FORMAT, "%s:%llu: line longer than %zu bytes", r->name,
                       (unsigned long long)r->number + 1, r->max_line);
    r->buf[stop] = 0;
    r->number++;
    *line = (struct gw_line){
        .text = r->buf + r->begin, .len = len, .number = r->number, .offset = r->offset};
    size_t taken = len + (newline != NULL);
    r->begin += taken;
    r->scan = r->begin;
    r->offset += taken;
    *more = true;
    return GWEN_OK;
}

/* lines.c - the line reader of file.h: one growing buffer over a descriptor.
 *
 * Bytes that were searched for a newline are not searched again, and the buffer doubles, so a long
 * line costs time in proportion to its length. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GW_LINES_BUFFER = 1 << 16 };

struct gw_lines {
    int fd;
    bool owned;
    bool at_end;
    char *name;
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
    free(r->name);
    free(r->buf);
    free(r);
}

const char *gw_lines_name(const struct gw_lines *r) { return r->name; }

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
    ssize_t n = read(r->fd, r->buf + r->end, r->cap - 1 - r->end);
    if (n < 0 && errno == EINTR)
        return gw_fail(err, GWEN_ERR_CANCELLED, "%s: interrupted while waiting", r->name);
    if (n < 0) return gw_sys_fail(err, "read", r->name, errno);
    r->at_end = n == 0;
    r->end += (size_t)n;
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

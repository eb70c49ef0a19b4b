/* file.c - whole files, mappings, atomic output, folders (see file.h; lines are in lines.c).
 *
 * The temporary file of an atomic write lies in the folder of its target, because rename is
 * atomic within one file system only.  Its name is the target's between ".gw-" and ".tmp", so that
 * the next writer of the same file finds what a killed one has left, and it is locked as long as it
 * is written, so that nobody takes it for left over; a second writer of one path at the same time
 * has its process id and a counter in the name instead. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GW_OUT_BUFFER = 1 << 17, GW_READ_CHUNK = 1 << 16 };

static int open_retry(const char *path, int flags, mode_t mode) {
    int fd;
    do fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static ssize_t read_retry(int fd, void *buf, size_t len) {
    ssize_t n;
    do n = read(fd, buf, len);
    while (n < 0 && errno == EINTR);
    return n;
}

static bool write_all(int fd, const char *p, size_t len) {
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

enum gwen_status gw_append(int fd, const char *path, const char *bytes, size_t len, uint64_t *end,
                           struct gwen_err *err) {
    size_t done = 0;
    while (done < len) {
        ssize_t n = pwrite(fd, bytes + done, len - done, (off_t)(*end + done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            const int number = n < 0 ? errno : ENOSPC;
            const int ignored = ftruncate(fd, (off_t)*end);
            (void)ignored;
            return gw_sys_fail(err, "write", path, number);
        }
        done += (size_t)n;
    }
    *end += len;
    return GWEN_OK;
}

/* Some file systems have no fsync for some kinds of file; that is not a loss of data. */
static bool sync_fd(int fd) { return fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP; }

/* --- whole files ---------------------------------------------------------------------------- */

/* A pipe that has a name may never get a writer, and opening it waits for one.  One that the
 * process was given (/dev/stdin, /dev/fd/63 of a shell's `<(...)`) has been opened already. */
static bool was_given(const char *path) {
    return strncmp(path, "/dev/fd/", 8) == 0 || strncmp(path, "/proc/", 6) == 0 ||
           strcmp(path, "/dev/stdin") == 0;
}

static enum gwen_status open_for_reading(const char *path, int *fd, struct stat *st,
                                         struct gwen_err *err) {
    *fd = open_retry(path, O_RDONLY | O_NONBLOCK, 0);
    if (*fd < 0) return gw_sys_fail(err, "open", path, errno);
    int no = fstat(*fd, st) != 0 ? errno : S_ISDIR(st->st_mode) ? EISDIR : 0;
    const bool pipe = no == 0 && S_ISFIFO(st->st_mode);
    if (no == 0 && (!pipe || was_given(path)) && fcntl(*fd, F_SETFL, 0) == 0) return GWEN_OK;
    if (no == 0 && !pipe) no = errno;
    close(*fd);
    if (no != 0) return gw_sys_fail(err, "read", path, no);
    return gw_fail(err, GWEN_ERR_IO, "cannot read %s: it is a named pipe, not a file", path);
}

static enum gwen_status too_big(struct gwen_err *err, const char *path, size_t max_bytes) {
    return gw_fail(err, GWEN_ERR_FORMAT, "%s: larger than the %zu bytes allowed for such a file",
                   path, max_bytes);
}

enum gwen_status gw_file_read(const char *path, size_t max_bytes, struct gw_str *out,
                              struct gwen_err *err) {
    int fd;
    struct stat st;
    GW_TRY(open_for_reading(path, &fd, &st, err));
    enum gwen_status status = GWEN_OK;
    size_t total = 0, want = GW_READ_CHUNK;
    if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > max_bytes)
        status = too_big(err, path, max_bytes);
    else if (S_ISREG(st.st_mode))
        want = (size_t)st.st_size + 1; /* one read sees the end as well */
    while (status == GWEN_OK) {
        if (!gw_str_reserve(out, want)) {
            status = gw_nomem(err, want, path);
            break;
        }
        ssize_t n = read_retry(fd, out->data + out->len, want);
        if (n < 0) status = gw_sys_fail(err, "read", path, errno);
        if (n <= 0) break;
        out->len += (size_t)n;
        out->data[out->len] = 0;
        total += (size_t)n;
        if (total > max_bytes) status = too_big(err, path, max_bytes);
        want = GW_READ_CHUNK;
    }
    close(fd);
    return status;
}

enum gwen_status gw_file_write(const char *path, const void *bytes, size_t len,
                               struct gwen_err *err) {
    struct gw_out *out;
    GW_TRY(gw_out_open(path, &out, err));
    enum gwen_status status = gw_out_write(out, bytes, len, err);
    if (status == GWEN_OK) return gw_out_commit(out, err);
    gw_out_abort(out);
    return status;
}

enum gwen_status gw_file_copy(const char *from, const char *to, struct gwen_err *err) {
    int fd;
    struct stat st;
    GW_TRY(open_for_reading(from, &fd, &st, err));
    struct gw_out *out = NULL;
    enum gwen_status status = gw_out_open(to, &out, err);
    char *buf = malloc(GW_READ_CHUNK); /* a stack may be as small as this */
    if (status == GWEN_OK && buf == NULL) status = gw_nomem(err, GW_READ_CHUNK, from);
    while (status == GWEN_OK) {
        ssize_t n = read_retry(fd, buf, GW_READ_CHUNK);
        if (n < 0) status = gw_sys_fail(err, "read", from, errno);
        if (n <= 0) break;
        status = gw_out_write(out, buf, (size_t)n, err);
    }
    free(buf);
    close(fd);
    if (status == GWEN_OK) return gw_out_commit(out, err);
    gw_out_abort(out);
    return status;
}

/* --- mapped files --------------------------------------------------------------------------- */

static enum gwen_status map_check(const char *path, const struct stat *st, struct gwen_err *err) {
    if (!S_ISREG(st->st_mode))
        return gw_fail(err, GWEN_ERR_IO, "cannot map %s: not a regular file", path);
    if ((uint64_t)st->st_size > PTRDIFF_MAX / 2)
        return gw_fail(err, GWEN_ERR_IO, "cannot map %s: too large", path);
    return GWEN_OK;
}

enum gwen_status gw_map_open(const char *path, struct gw_map *map, struct gwen_err *err) {
    *map = (struct gw_map){0};
    int fd;
    struct stat st;
    GW_TRY(open_for_reading(path, &fd, &st, err));
    enum gwen_status status = map_check(path, &st, err);
    if (status == GWEN_OK && st.st_size > 0) {
        size_t size = (size_t)st.st_size;
        void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            status = gw_sys_fail(err, "map", path, errno);
        else
            *map = (struct gw_map){.data = p, .size = size, .base = p, .base_size = size};
    }
    close(fd);
    return status;
}

static enum gwen_status read_exactly(int fd, const char *path, unsigned char *p, size_t len,
                                     struct gwen_err *err) {
    while (len > 0) {
        ssize_t n = read_retry(fd, p, GW_MIN(len, (size_t)1 << 30));
        if (n < 0) return gw_sys_fail(err, "read", path, errno);
        if (n == 0) return gw_fail(err, GWEN_ERR_IO, "%s: became shorter while it was read", path);
        p += n;
        len -= (size_t)n;
    }
    return GWEN_OK;
}

enum gwen_status gw_map_read(const char *path, size_t aligned, struct gw_map *map,
                             struct gwen_err *err) {
    *map = (struct gw_map){0};
    int fd;
    struct stat st;
    GW_TRY(open_for_reading(path, &fd, &st, err));
    enum gwen_status status = map_check(path, &st, err);
    if (status == GWEN_OK && st.st_size > 0) {
        size_t size = (size_t)st.st_size, skip = (64 - aligned % 64) % 64;
        void *p =
            mmap(NULL, size + skip, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) {
            status = gw_nomem(err, size, path);
        } else {
            unsigned char *data = (unsigned char *)p + skip;
            *map = (struct gw_map){.data = data, .size = size, .base = p, .base_size = size + skip};
            status = read_exactly(fd, path, data, size, err);
        }
    }
    close(fd);
    if (status != GWEN_OK) gw_map_close(map);
    return status;
}

void gw_map_close(struct gw_map *map) {
    if (map->base != NULL) munmap(map->base, map->base_size);
    *map = (struct gw_map){0};
}

void gw_map_release(const struct gw_map *map, size_t offset, size_t len) {
    if (map->base == NULL || offset > map->size) return;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), data = (uintptr_t)map->data;
    uintptr_t end = data + offset + GW_MIN(len, map->size - offset);
    /* the last page of the file may be let go although the file does not fill it */
    uintptr_t last = end == data + map->size ? gw_round_up(end, page) : end / page * page;
    uintptr_t first = gw_round_up(data + offset, page);
    if (first < last) madvise((void *)first, last - first, MADV_DONTNEED);
}

/* --- atomic output -------------------------------------------------------------------------- */

struct gw_out {
    int fd;
    bool direct; /* the target is a device or pipe: written straight, never renamed */
    char *path;
    char *tmp;
    size_t fill;
    char buf[GW_OUT_BUFFER];
};

static void out_free(struct gw_out *out) {
    if (out->fd >= 0) close(out->fd);
    free(out->path);
    free(out->tmp);
    free(out);
}

/* Length of the folder part of `path` with its slash; 0 when there is none. */
static size_t folder_len(const char *path) { return (size_t)(gw_path_base(path) - path); }

/* Creates out->tmp, which nobody else has, and locks it.  Some network file systems have no locks:
 * there what a killed process has left may be of a living one, and stays.  False and errno. */
static bool create_tmp(struct gw_out *out) {
    for (unsigned i = 0; i < 100; i++) {
        struct stat st, there;
        out->fd = open_retry(out->tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0666);
        if (out->fd >= 0) {
            flock(out->fd, LOCK_EX | LOCK_NB);
            /* Between the two calls another one may have taken it for left over. */
            if (fstat(out->fd, &st) == 0 && st.st_nlink > 0) return true;
            close(out->fd);
            continue;
        }
        if (errno != EEXIST) return false;
        const int fd = open_retry(out->tmp, O_WRONLY | O_NOFOLLOW | O_NONBLOCK, 0);
        const bool left_over = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
                               fstat(fd, &st) == 0 && stat(out->tmp, &there) == 0 &&
                               st.st_ino == there.st_ino && S_ISREG(st.st_mode);
        if (left_over) unlink(out->tmp);
        if (fd >= 0) close(fd);
        if (!left_over) break;
    }
    out->fd = -1;
    errno = EEXIST;
    return false;
}

static bool open_tmp(struct gw_out *out) {
    const size_t dir = folder_len(out->path), cap = strlen(out->path) + 64;
    out->tmp = malloc(cap);
    if (out->tmp == NULL) {
        errno = ENOMEM;
        return false;
    }
    snprintf(out->tmp, cap, "%.*s.gw-%s.tmp", (int)dir, out->path, out->path + dir);
    if (create_tmp(out)) return true;
    for (unsigned i = 0; (errno == EEXIST || errno == ENAMETOOLONG) && i < 10000; i++) {
        snprintf(out->tmp, cap, "%.*s.gw-%ld-%u.tmp", (int)dir, out->path, (long)getpid(), i);
        if (create_tmp(out)) return true;
    }
    return false;
}

/* Creates out->tmp in the folder of out->path, or opens what is no file. */
static enum gwen_status out_create(struct gw_out *out, struct gwen_err *err) {
    struct stat st;
    const bool there = stat(out->path, &st) == 0;
    if (!there && errno != ENOENT) return gw_sys_fail(err, "write", out->path, errno);
    if (there && S_ISDIR(st.st_mode)) return gw_sys_fail(err, "write", out->path, EISDIR);
    out->direct = there && !S_ISREG(st.st_mode);
    if (out->direct) {
        out->fd = open_retry(out->path, O_WRONLY, 0);
        return out->fd >= 0 ? GWEN_OK : gw_sys_fail(err, "write", out->path, errno);
    }
    return open_tmp(out) ? GWEN_OK : gw_sys_fail(err, "create a file for", out->path, errno);
}

enum gwen_status gw_out_open(const char *path, struct gw_out **result, struct gwen_err *err) {
    *result = NULL;
    struct gw_out *out = malloc(sizeof *out);
    if (out == NULL) return gw_nomem(err, sizeof *out, path);
    out->fd = -1;
    out->direct = false;
    out->tmp = NULL;
    out->fill = 0;
    out->path = strdup(path);
    enum gwen_status status =
        out->path != NULL ? out_create(out, err) : gw_nomem(err, strlen(path), "a file name");
    if (status == GWEN_OK)
        *result = out;
    else
        out_free(out);
    return status;
}

static enum gwen_status out_flush(struct gw_out *out, struct gwen_err *err) {
    size_t n = out->fill;
    out->fill = 0;
    return write_all(out->fd, out->buf, n) ? GWEN_OK : gw_sys_fail(err, "write", out->path, errno);
}

enum gwen_status gw_out_write(struct gw_out *out, const void *bytes, size_t len,
                              struct gwen_err *err) {
    if (len > sizeof out->buf - out->fill) GW_TRY(out_flush(out, err));
    if (len >= sizeof out->buf) {
        if (!write_all(out->fd, bytes, len)) return gw_sys_fail(err, "write", out->path, errno);
    } else if (len > 0) {
        memcpy(out->buf + out->fill, bytes, len);
        out->fill += len;
    }
    return GWEN_OK;
}

static enum gwen_status sync_folder(const char *path, struct gwen_err *err) {
    size_t len = folder_len(path);
    char *dir = len > 0 ? strndup(path, len) : strdup(".");
    if (dir == NULL) return gw_nomem(err, len, "a file name");
    int fd = open_retry(dir, O_RDONLY | O_DIRECTORY, 0);
    bool ok = fd >= 0 && sync_fd(fd);
    enum gwen_status status = ok ? GWEN_OK : gw_sys_fail(err, "sync the folder of", path, errno);
    if (fd >= 0) close(fd);
    free(dir);
    return status;
}

enum gwen_status gw_out_commit(struct gw_out *out, struct gwen_err *err) {
    enum gwen_status status = out_flush(out, err);
    if (status == GWEN_OK && !sync_fd(out->fd)) status = gw_sys_fail(err, "sync", out->path, errno);
    if (status == GWEN_OK && close(out->fd) != 0) {
        status = gw_sys_fail(err, "close", out->path, errno);
        out->fd = -1; /* closed all the same */
    } else if (status == GWEN_OK) {
        out->fd = -1;
    }
    if (status == GWEN_OK && !out->direct && rename(out->tmp, out->path) != 0)
        status = gw_sys_fail(err, "rename a file to", out->path, errno);
    if (status != GWEN_OK) {
        gw_out_abort(out);
        return status;
    }
    if (!out->direct) status = sync_folder(out->path, err);
    out_free(out);
    return status;
}

void gw_out_abort(struct gw_out *out) {
    if (out == NULL) return;
    if (out->tmp != NULL) unlink(out->tmp);
    out_free(out);
}

/* --- folders and paths ---------------------------------------------------------------------- */

/* ENOTDIR: a part of the path is a file, so that there is nothing behind it. */
static enum gwen_status look_at(const char *path, struct stat *st, bool *there,
                                struct gwen_err *err) {
    *there = stat(path, st) == 0;
    if (*there || errno == ENOENT || errno == ENOTDIR) return GWEN_OK;
    return gw_sys_fail(err, "look at", path, errno);
}

enum gwen_status gw_file_find(const char *path, bool *found, struct gwen_err *err) {
    struct stat st;
    GW_TRY(look_at(path, &st, found, err));
    if (!*found || S_ISREG(st.st_mode)) return GWEN_OK;
    *found = false;
    return gw_fail(err, GWEN_ERR_IO, "%s: is %s, not a file", path,
                   S_ISDIR(st.st_mode)    ? "a folder"
                   : S_ISFIFO(st.st_mode) ? "a named pipe"
                                          : "a device or socket");
}

enum gwen_status gw_dir_find(const char *path, bool *found, struct gwen_err *err) {
    struct stat st;
    GW_TRY(look_at(path, &st, found, err));
    *found = *found && S_ISDIR(st.st_mode);
    return GWEN_OK;
}

bool gw_file_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool gw_dir_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

enum gwen_status gw_dir_make(const char *path, struct gwen_err *err) {
    char *copy = strdup(path);
    if (copy == NULL) return gw_nomem(err, strlen(path), "a file name");
    enum gwen_status status = GWEN_OK;
    for (char *p = copy; status == GWEN_OK; p++) {
        if (*p != '/' && *p != 0) continue;
        char was = *p;
        *p = 0;
        /* EEXIST may also mean a file: then the next mkdir, or the check below, says so */
        if (p != copy && mkdir(copy, 0777) != 0 && errno != EEXIST)
            status = gw_sys_fail(err, "make folder", copy, errno);
        *p = was;
        if (was == 0) break;
    }
    free(copy);
    if (status == GWEN_OK && !gw_dir_exists(path))
        return gw_sys_fail(err, "make folder", path, *path == 0 ? ENOENT : ENOTDIR);
    return status;
}

enum gwen_status gw_path_join(struct gw_str *out, const char *dir, const char *name,
                              struct gwen_err *err) {
    gw_str_clear(out);
    size_t len = strlen(dir);
    if (len > 0 && name[0] != '/') {
        gw_str_put(out, dir, len);
        if (dir[len - 1] != '/') gw_str_putc(out, '/');
    }
    gw_str_puts(out, name);
    return out->failed ? gw_nomem(err, len + strlen(name), "a file name") : GWEN_OK;
}

const char *gw_path_base(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

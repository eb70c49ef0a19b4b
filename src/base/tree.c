/* tree.c - see tree.h.  Everything goes by descriptors of open folders, so that no path can become
 * too long and none is looked up twice. */
#include "base/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Some file systems have no fsync for some kinds of file; that is not a loss of data. */
static bool sync_fd(int fd) { return fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP; }

/* What is done with an entry that is no folder, and with a folder after all that is in it.  `dir`
 * is the folder that has it.  Returns false and errno. */
struct visitor {
    bool (*file)(int dir, const char *name);
    bool (*folder)(int dir, const char *name);
};

static bool visit(const struct visitor *v, int dir, const char *name, unsigned depth);

static bool visit_entries(const struct visitor *v, DIR *entries, unsigned depth) {
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(entries);
        if (e == NULL) return errno == 0;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (!visit(v, dirfd(entries), e->d_name, depth)) return false;
    }
}

static bool visit(const struct visitor *v, int dir, const char *name, unsigned depth) {
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0) return false;
    if (!S_ISDIR(st.st_mode)) return v->file(dir, name);
    if (depth == GW_TREE_DEPTH) {
        errno = ELOOP;
        return false;
    }
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    bool ok = entries != NULL && visit_entries(v, entries, depth + 1);
    int no = errno;
    if (entries != NULL)
        closedir(entries);
    else if (fd >= 0)
        close(fd);
    errno = no;
    return ok && v->folder(dir, name);
}

static bool sync_entry(int dir, const char *name, int flags) {
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags);
    if (fd < 0) return errno == ELOOP; /* a link is a name of its folder, which is synced */
    bool ok = sync_fd(fd);
    int no = errno;
    close(fd);
    errno = no;
    return ok;
}

static bool sync_file(int dir, const char *name) { return sync_entry(dir, name, 0); }
static bool sync_folder(int dir, const char *name) { return sync_entry(dir, name, O_DIRECTORY); }
static bool remove_file(int dir, const char *name) { return unlinkat(dir, name, 0) == 0; }
static bool remove_folder(int dir, const char *name) {
    return unlinkat(dir, name, AT_REMOVEDIR) == 0;
}

enum gwen_status gw_tree_sync(const char *path, struct gwen_err *err) {
    static const struct visitor v = {sync_file, sync_folder};
    return visit(&v, AT_FDCWD, path, 0) ? GWEN_OK : gw_sys_fail(err, "sync", path, errno);
}

enum gwen_status gw_tree_remove(const char *path, struct gwen_err *err) {
    static const struct visitor v = {remove_file, remove_folder};
    if (visit(&v, AT_FDCWD, path, 0) || errno == ENOENT) return GWEN_OK;
    return gw_sys_fail(err, "remove", path, errno);
}

enum gwen_status gw_dir_sync(const char *path, struct gwen_err *err) {
    return sync_folder(AT_FDCWD, path) ? GWEN_OK : gw_sys_fail(err, "sync", path, errno);
}

enum gwen_status gw_dir_free_bytes(const char *path, uint64_t *bytes, struct gwen_err *err) {
    struct statvfs fs;
    if (statvfs(path, &fs) != 0) return gw_sys_fail(err, "look at the disk of", path, errno);
    if (__builtin_mul_overflow((uint64_t)fs.f_bavail, (uint64_t)fs.f_frsize, bytes))
        *bytes = UINT64_MAX;
    return GWEN_OK;
}

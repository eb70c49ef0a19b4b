/* inject.c - a library to preload that makes the N-th call of a kind fail, once.
 *
 *     FAULT_KIND     mem, or a list of open,read,write,fsync,rename,stat,mkdir,unlink,truncate
 *     FAULT_AT       which call fails, counted from 1; 0 or not set: none does
 *     FAULT_SITES    file that gets the number of the first call from each place (a hash of the
 *                    return addresses on the stack), one a line: those are the calls worth failing
 *
 * Calls of the processes that the program starts are their own affair: the variables are taken out
 * of the environment.  Allocations that libhwloc makes are not counted: it asserts and crashes when
 * one fails, which only another process could survive. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

enum kind { MEM, OPEN, READ, WRITE, FSYNC, RENAME, STAT, MKDIR, UNLINK, TRUNCATE, KINDS };
static const char *const names[KINDS] = {"mem",    "open", "read",  "write",  "fsync",
                                         "rename", "stat", "mkdir", "unlink", "truncate"};
enum { FRAMES = 14, SITES = 1 << 16 };

static bool wanted[KINDS], ready;
static long at;
static int sites_fd = -1;
static atomic_long count;
static uint64_t seen[SITES];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static __thread bool inside; /* what is called from here is ours */

__attribute__((constructor)) static void begin(void) {
    inside = true;
    const char *list = getenv("FAULT_KIND"), *number = getenv("FAULT_AT");
    const char *sites = getenv("FAULT_SITES");
    for (int k = 0; list != NULL && k < KINDS; k++) {
        const char *hit = strstr(list, names[k]);
        wanted[k] = hit != NULL;
    }
    at = number != NULL ? strtol(number, NULL, 10) : 0;
    if (sites != NULL)
        sites_fd = open(sites, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    void *frames[2];
    backtrace(frames, 2); /* which loads what it needs now */
    unsetenv("LD_PRELOAD");
    unsetenv("FAULT_KIND");
    unsetenv("FAULT_AT");
    unsetenv("FAULT_SITES");
    ready = true;
    inside = false;
}

static bool from_hwloc(void *const *frames, int n) {
    for (int i = 1; i < n; i++) {
        Dl_info info;
        if (dladdr(frames[i], &info) != 0 && info.dli_fname != NULL &&
            strstr(info.dli_fname, "hwloc") != NULL)
            return true;
    }
    return false;
}

static void note_site(long number, void *const *frames, int n) {
    uint64_t h = 0xcbf29ce484222325u;
    for (int i = 1; i < n; i++) h = (h ^ (uintptr_t)frames[i]) * 0x100000001b3u;
    if (h == 0) h = 1;
    pthread_mutex_lock(&mutex);
    size_t i = h % SITES;
    while (seen[i] != 0 && seen[i] != h) i = (i + 1) % SITES;
    const bool fresh = seen[i] == 0;
    seen[i] = h;
    pthread_mutex_unlock(&mutex);
    char line[24];
    const int len = snprintf(line, sizeof line, "%ld\n", number);
    if (fresh && write(sites_fd, line, (size_t)len) != len) _exit(99);
}

/* Whether this call is the one to fail. */
static bool fails(enum kind kind) {
    if (!ready || inside || !wanted[kind]) return false;
    inside = true;
    void *frames[FRAMES];
    int n = 0;
    if (kind == MEM || sites_fd >= 0) n = backtrace(frames, FRAMES);
    bool hit = false;
    if (kind != MEM || !from_hwloc(frames, n)) {
        const long number = atomic_fetch_add(&count, 1) + 1;
        if (sites_fd >= 0) note_site(number, frames, n);
        hit = number == at;
    }
    inside = false;
    if (hit) errno = kind == MEM ? ENOMEM : kind == WRITE ? ENOSPC : EIO;
    return hit;
}

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, #name))

void *malloc(size_t n) { return fails(MEM) ? NULL : __libc_malloc(n); }
void *calloc(size_t a, size_t b) { return fails(MEM) ? NULL : __libc_calloc(a, b); }
void *realloc(void *p, size_t n) { return n > 0 && fails(MEM) ? NULL : __libc_realloc(p, n); }
void *aligned_alloc(size_t a, size_t n) { return fails(MEM) ? NULL : __libc_memalign(a, n); }
int posix_memalign(void **out, size_t a, size_t n) {
    if (fails(MEM)) return ENOMEM;
    void *p = __libc_memalign(a, n);
    if (p == NULL) return ENOMEM;
    *out = p;
    return 0;
}

int open(const char *path, int flags, ...) {
    va_list ap;
    va_start(ap, flags);
    const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    if (fails(OPEN)) return -1;
    return REAL(open, int (*)(const char *, int, ...))(path, flags, mode);
}
ssize_t read(int fd, void *to, size_t n) {
    return fails(READ) ? -1 : REAL(read, ssize_t(*)(int, void *, size_t))(fd, to, n);
}
ssize_t pread(int fd, void *to, size_t n, off_t from) {
    return fails(READ) ? -1 : REAL(pread, ssize_t(*)(int, void *, size_t, off_t))(fd, to, n, from);
}
/* What is said to people is not what is kept. */
ssize_t write(int fd, const void *from, size_t n) {
    if (fd != STDERR_FILENO && fails(WRITE)) return -1;
    return REAL(write, ssize_t(*)(int, const void *, size_t))(fd, from, n);
}
ssize_t pwrite(int fd, const void *from, size_t n, off_t to) {
    if (fails(WRITE)) return -1;
    return REAL(pwrite, ssize_t(*)(int, const void *, size_t, off_t))(fd, from, n, to);
}
int fsync(int fd) { return fails(FSYNC) ? -1 : REAL(fsync, int (*)(int))(fd); }
int fdatasync(int fd) { return fails(FSYNC) ? -1 : REAL(fdatasync, int (*)(int))(fd); }
int rename(const char *a, const char *b) {
    return fails(RENAME) ? -1 : REAL(rename, int (*)(const char *, const char *))(a, b);
}
int stat(const char *path, struct stat *st) {
    return fails(STAT) ? -1 : REAL(stat, int (*)(const char *, struct stat *))(path, st);
}
int fstat(int fd, struct stat *st) {
    return fails(STAT) ? -1 : REAL(fstat, int (*)(int, struct stat *))(fd, st);
}
int mkdir(const char *path, mode_t mode) {
    return fails(MKDIR) ? -1 : REAL(mkdir, int (*)(const char *, mode_t))(path, mode);
}
int unlink(const char *path) {
    return fails(UNLINK) ? -1 : REAL(unlink, int (*)(const char *))(path);
}
int ftruncate(int fd, off_t len) {
    return fails(TRUNCATE) ? -1 : REAL(ftruncate, int (*)(int, off_t))(fd, len);
}

/* scratch.c - see scratch.h. */
#include "unit/scratch.h"

#include <dirent.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[512];

int scratch_setup(void **state) {
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(root, sizeof root, "%s/gwen-test-XXXXXX", tmp != NULL ? tmp : "/tmp");
    return mkdtemp(root) == NULL;
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

int scratch_teardown(void **state) {
    (void)state;
    return nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *scratch_path(const char *name) {
    static char buffers[8][1024];
    static unsigned next;
    char *buf = buffers[next++ % 8];
    snprintf(buf, sizeof buffers[0], "%s/%s", root, name);
    return buf;
}

const char *scratch_write(const char *name, const void *bytes, size_t len) {
    const char *path = scratch_path(name);
    char parent[1024];
    snprintf(parent, sizeof parent, "%s", path);
    for (char *p = parent + strlen(root) + 1; *p != 0; p++) {
        if (*p != '/') continue;
        *p = 0;
        mkdir(parent, 0777);
        *p = '/';
    }
    FILE *f = fopen(path, "wb");
    if (f == NULL || fwrite(bytes, 1, len, f) != len || fclose(f) != 0) {
        fprintf(stderr, "cannot write %s\n", path);
        exit(1);
    }
    return path;
}

const char *scratch_puts(const char *name, const char *text) {
    return scratch_write(name, text, strlen(text));
}

int scratch_count(const char *dir) {
    DIR *d = opendir(dir);
    int n = 0;
    if (d == NULL) return -1;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return n;
}

const char *golden_path(const char *name) {
    static char buffers[4][1024];
    static unsigned next;
    static int said;
    const char *shared = getenv("GWEN_SHARED");
    char *buf = buffers[next++ % 4];
    snprintf(buf, sizeof buffers[0], "%s/data/golden/%s", shared != NULL ? shared : "../shared",
             name);
    if (access(buf, R_OK) == 0) return buf;
    if (!said++) printf("SKIP: %s is not there\n", buf);
    return NULL;
}

enum gwen_isa scratch_isa(void) {
    enum gwen_isa isa = GWEN_ISA_COUNT;
    const char *name = getenv("GWEN_ISA");
    if (name != NULL && !gwen_isa_parse(name, &isa)) {
        fprintf(stderr, "GWEN_ISA=%s is no instruction set\n", name);
        exit(1);
    }
    return isa;
}

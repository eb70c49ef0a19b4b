/* kind.c - see kind.h. */
#include "base/kind.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the files begin with. */
static const struct {
    enum gw_kind kind;
    const char *magic;
} MAGICS[] = {
    {GW_KIND_PARQUET, "PAR1"},
    {GW_KIND_ARROW, "ARROW1"},
    {GW_KIND_ARROW, "\xff\xff\xff\xff"}, /* a stream, as the datasets library keeps */
    {GW_KIND_GGUF, "GGUF"},
    {GW_KIND_ZIP, "PK\x03\x04"},
};

enum gw_kind gw_kind_of(const char *path) {
    char head[8] = {0};
    struct stat st;
    if (stat(path, &st) != 0) return errno == ENOENT ? GW_KIND_ABSENT : GW_KIND_UNKNOWN;
    if (S_ISDIR(st.st_mode)) return GW_KIND_FOLDER;
    if (!S_ISREG(st.st_mode)) return GW_KIND_UNKNOWN;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return GW_KIND_UNKNOWN;
    const ssize_t n = read(fd, head, sizeof head);
    close(fd);
    for (size_t i = 0; i < GW_ARRAY_LEN(MAGICS); i++) {
        const size_t len = strlen(MAGICS[i].magic);
        if (n >= (ssize_t)len && memcmp(head, MAGICS[i].magic, len) == 0) return MAGICS[i].kind;
    }
    return GW_KIND_UNKNOWN;
}

const char *gw_kind_name(enum gw_kind kind) {
    static const char *const NAMES[GW_KINDS] = {
        [GW_KIND_UNKNOWN] = "a file",        [GW_KIND_ABSENT] = "nothing",
        [GW_KIND_FOLDER] = "a folder",       [GW_KIND_PARQUET] = "a Parquet file",
        [GW_KIND_ARROW] = "an Arrow file",   [GW_KIND_GGUF] = "a GGUF file",
        [GW_KIND_ZIP] = "a ZIP or .pt file",
    };
    return kind < GW_KINDS ? NAMES[kind] : "a file";
}

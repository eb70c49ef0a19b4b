/* checksum.c - see checksum.h. */
#include "base/checksum.h"

#include "base/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 1 << 20 };

void gw_hash_lanes(const void *bytes, size_t len, uint64_t lanes[GW_LANES]) {
    const char *at = bytes;
    uint64_t word;
    for (size_t j = 0; j < GW_LANES; j++) lanes[j] = UINT64_C(0x9E3779B97F4A7C15) * (j + 1);
    for (size_t i = 0; i + GW_LANES_BYTES <= len; i += GW_LANES_BYTES)
        for (size_t j = 0; j < GW_LANES; j++) {
            memcpy(&word, at + i + j * sizeof word, sizeof word);
            lanes[j] = (lanes[j] ^ word) * UINT64_C(0xFF51AFD7ED558CCD);
            lanes[j] ^= lanes[j] >> 32;
        }
}

/* Goes on from the sum of the pieces before; all but the last are PIECE bytes. */
static uint64_t add_piece(uint64_t sum, const char *bytes, size_t len) {
    uint64_t parts[GW_LANES + 3];
    const size_t rest = len % GW_LANES_BYTES;
    gw_hash_lanes(bytes, len, parts);
    parts[GW_LANES] = rest > 0 ? gw_hash64(bytes + len - rest, rest) : 0;
    parts[GW_LANES + 1] = len;
    parts[GW_LANES + 2] = sum;
    return gw_hash64(parts, sizeof parts);
}

uint64_t gw_checksum(const void *bytes, size_t len) {
    const char *at = bytes;
    uint64_t sum = 0;
    for (size_t i = 0; i < len; i += PIECE)
        sum = add_piece(sum, at + i, GW_MIN((size_t)PIECE, len - i));
    return sum;
}

/* Fills the piece but at the end of the file; *len is what it holds. */
static bool read_piece(int fd, char *piece, size_t most, size_t *len) {
    for (*len = 0; *len < most;) {
        const ssize_t n = read(fd, piece + *len, most - *len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        if (n == 0) break;
        *len += (size_t)n;
    }
    return true;
}

static enum gwen_status sum_up(int fd, const char *path, uint64_t most, uint64_t *bytes,
                               uint64_t *sum, struct gwen_err *err) {
    char *piece = malloc(PIECE);
    enum gwen_status status = piece != NULL ? GWEN_OK : gw_nomem(err, PIECE, path);
    size_t len = PIECE;
    for (*bytes = *sum = 0; status == GWEN_OK && *bytes < most && len == PIECE; *bytes += len) {
        if (!read_piece(fd, piece, (size_t)GW_MIN(most - *bytes, (uint64_t)PIECE), &len))
            status = gw_sys_fail(err, "read", path, errno);
        else if (len > 0)
            *sum = add_piece(*sum, piece, len);
    }
    free(piece);
    return status;
}

enum gwen_status gw_file_checksum(const char *path, uint64_t most, uint64_t *bytes, uint64_t *sum,
                                  struct gwen_err *err) {
    struct stat st;
    *bytes = *sum = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return gw_sys_fail(err, "read", path, errno);
    enum gwen_status status = GWEN_OK;
    if (fstat(fd, &st) != 0)
        status = gw_sys_fail(err, "look at", path, errno);
    else if (!S_ISREG(st.st_mode))
        status = gw_fail(err, GWEN_ERR_IO, "cannot read %s: no regular file", path);
    if (status == GWEN_OK) status = sum_up(fd, path, most, bytes, sum, err);
    close(fd);
    return status;
}

/* fuzz_records.c - rows of data: JSON lines, arrays, CSV and gzip.  The first byte says whether the
 * file's name is one of CSV.  Rows that are read are objects that can be written. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "service/rollout/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { MAX_BYTES = 4096 };
    if (size == 0) return 0;
    int fd = memfd_create("rows", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data + 1, size - 1) != (ssize_t)(size - 1)) abort();
    if (lseek(fd, 0, SEEK_SET) != 0) abort();
    struct gw_records *r;
    struct gwen_err err = {0};
    struct gw_row row;
    bool more = true;
    uint64_t before = 0;
    if (gw_records_open_fd(fd, data[0] == 'c' ? "f.csv" : "f", MAX_BYTES, &r, &err) != GWEN_OK)
        abort();
    while (more) {
        if (gw_records_next(r, &row, &more, &err) != GWEN_OK) {
            if (err.message[0] == 0 || strchr(err.message, '\n') != NULL) abort();
            break;
        }
        if (!more) break;
        if (!json_is_object(row.obj) || row.line < before) abort();
        before = row.line;
        struct gw_str s = {0};
        gw_str_put_row(&s, row.obj);
        if (s.failed || s.data == NULL) abort();
        gw_str_free(&s);
        json_decref(row.obj);
    }
    gw_records_close(r);
    close(fd);
    return 0;
}

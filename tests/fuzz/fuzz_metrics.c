/* fuzz_metrics.c - a run's logs with anything in them: an event file is read record by record
 * within its bounds, and what is cut stays cut. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "service/record/metrics.h"
#include "service/record/tfevents.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_events(const uint8_t *data, size_t size) {
    size_t at = 0, before = 0;
    uint64_t step;
    while (gw_tfevents_next(data, size, &at, &step)) {
        if (at < before + 16 || at > size) abort();
        before = at;
    }
    if (at != before) abort();
}

static size_t size_of(const char *path) {
    struct gw_str s = {0};
    struct gwen_err err;
    if (gw_file_read(path, 1 << 24, &s, &err) != GWEN_OK) abort();
    size_t n = s.len;
    gw_str_free(&s);
    return n;
}

static void cut_rows(const uint8_t *data, size_t size) {
    char path[64];
    struct gwen_err err = {0};
    const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(path, sizeof path, "%s/gwen-fuzz-metrics-%ld", dir, (long)getpid());
    FILE *f = fopen(path, "w");
    if (f == NULL || fwrite(data, 1, size, f) != size || fclose(f) != 0) abort();
    if (gw_jsonl_cut(path, 5, &err) == GWEN_OK) {
        size_t once = size_of(path);
        if (once > size || gw_jsonl_cut(path, 5, &err) != GWEN_OK || size_of(path) != once) abort();
    } else if (err.message[0] == 0 || strchr(err.message, '\n') != NULL) {
        abort();
    }
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    read_events(data, size);
    cut_rows(data, size);
    return 0;
}

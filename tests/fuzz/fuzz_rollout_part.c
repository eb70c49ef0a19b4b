/* fuzz_rollout_part.c - a part file with anything in it: it is refused, or it can be gone on with,
 * and then the finished file has every row once, in order. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "service/rollout/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PROMPTS = 3, GROUPS = 2 };
static const struct gw_part_field FIELD = {"seed", "7"};

static void put(const char *path, const uint8_t *data, size_t size) {
    FILE *f = fopen(path, "w");
    if (f == NULL || fwrite(data, 1, size, f) != size || fclose(f) != 0) abort();
}

static void check_final(const char *path) {
    struct gwen_err err;
    struct gw_lines *lines;
    struct gw_line line;
    bool more;
    if (gw_lines_open(path, 1 << 20, &lines, &err) != GWEN_OK) abort();
    for (json_int_t i = 0; i < PROMPTS * GROUPS; i++) {
        json_t *obj;
        if (gw_lines_next(lines, &line, &more, &err) != GWEN_OK || !more ||
            gw_row_parse(line.text, line.len, path, line.number, &obj, &err) != GWEN_OK ||
            json_integer_value(json_object_get(obj, "prompt_id")) != i / GROUPS ||
            json_integer_value(json_object_get(obj, "sample_id")) != i % GROUPS)
            abort();
        json_decref(obj);
    }
    if (gw_lines_next(lines, &line, &more, &err) != GWEN_OK || more) abort();
    gw_lines_close(lines);
}

static void go_on(struct gw_rollout_file *f, const char *path) {
    struct gwen_err err;
    for (size_t i = 0; i < PROMPTS * GROUPS; i++) {
        char row[80];
        if (gw_rollout_file_has(f, i / GROUPS, i % GROUPS)) continue;
        int len = snprintf(row, sizeof row, "{\"prompt_id\":%zu,\"sample_id\":%zu}\n", i / GROUPS,
                           i % GROUPS);
        if (gw_rollout_file_append(f, i / GROUPS, i % GROUPS, row, (size_t)len, &err) != GWEN_OK)
            abort();
    }
    if (gw_rollout_file_finish(f, &err) != GWEN_OK) abort();
    check_final(path);
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64], part[80];
    struct gwen_err err = {0};
    struct gw_rollout_file *f;
    const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(path, sizeof path, "%s/gwen-fuzz-part-%ld", dir, (long)getpid());
    snprintf(part, sizeof part, "%s.part", path);
    put(part, data, size);
    if (gw_rollout_file_open(path, GW_PART_RESUME, &FIELD, 1, PROMPTS, GROUPS, NULL, &f, &err) ==
        GWEN_OK) {
        go_on(f, path);
        gw_rollout_file_close(f);
    } else if (strchr(err.message, '\n') != NULL || err.message[0] == 0) {
        abort();
    }
    unlink(part);
    return 0;
}

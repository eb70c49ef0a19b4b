/* fuzz_jsonl.c - lines and rows: a row that was read and written again is the same row. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_row(const struct gw_line *line) {
    struct gwen_err err = {0};
    json_t *obj, *again;
    if (gw_row_parse(line->text, line->len, "fuzz", line->number, &obj, &err) != GWEN_OK) {
        if (err.message[0] == 0 || strchr(err.message, '\n') != NULL) abort();
        return;
    }
    const struct gw_row row = {.obj = obj, .file = "fuzz", .line = line->number};
    const char *text;
    size_t len;
    int32_t *ids;
    if (gw_row_string(&row, "text", GW_JSON_OPTIONAL, &text, &len, &err) == GWEN_OK &&
        text != NULL && !gw_utf8_is_valid(text, len))
        abort();
    if (gw_row_ids(&row, "ids", GW_JSON_OPTIONAL, 1000, &ids, &len, &err) == GWEN_OK) free(ids);
    struct gw_str s = {0};
    gw_str_put_row(&s, obj);
    if (memchr(s.data, '\n', s.len) != NULL) abort();
    if (gw_row_parse(s.data, s.len, "fuzz", 2, &again, &err) != GWEN_OK) abort();
    if (!json_equal(obj, again)) abort();
    json_decref(again);
    json_decref(obj);
    gw_str_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { MOST = 1 << 15, MAX_LINE = 1 << 12 }; /* a pipe holds 64 KiB without a reader */
    int fds[2];
    if (size > MOST || pipe(fds) != 0) return 0;
    if (size > 0 && write(fds[1], data, size) != (ssize_t)size) abort();
    close(fds[1]);
    struct gw_lines *r;
    struct gw_line line;
    struct gwen_err err = {0};
    bool more = true;
    size_t at = 0;
    if (gw_lines_open_fd(fds[0], "fuzz", MAX_LINE, &r, &err) != GWEN_OK) abort();
    while (gw_lines_next(r, &line, &more, &err) == GWEN_OK && more) {
        if (line.len > MAX_LINE || line.offset != at || at + line.len > size) abort();
        if (memcmp(line.text, data + at, line.len) != 0) abort();
        at += line.len + 1;
        check_row(&line);
    }
    gw_lines_close(r);
    close(fds[0]);
    struct gw_json_doc doc;
    if (gw_json_parse((const char *)data, size, "fuzz", &doc, &err) == GWEN_OK) {
        char shown[64];
        gw_json_show(gw_json_root(&doc), shown, sizeof shown);
        gw_json_free(&doc);
    }
    return 0;
}

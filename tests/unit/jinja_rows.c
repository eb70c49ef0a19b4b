/* jinja_rows.c - see jinja_rows.h. */
#include "unit/jinja_rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *open_fixture(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "tests/fixtures/jinja/%s", name);
    FILE *f = fopen(path, "rb");
    if (f == NULL) fail_msg("%s cannot be read", path);
    return f;
}

void jinja_file(const char *name, struct gw_str *out) {
    char chunk[4096];
    size_t n;
    FILE *f = open_fixture(name);
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0) gw_str_put(out, chunk, n);
    fclose(f);
}

void jinja_rows(const char *name, size_t least, bool (*each)(json_t *row, void *ctx), void *ctx) {
    FILE *f = open_fixture(name);
    char *line = NULL;
    size_t cap = 0, rows = 0, failed = 0;
    ssize_t n;
    while ((n = getline(&line, &cap, f)) > 0) {
        json_error_t error;
        json_t *row = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, &error);
        if (row == NULL) fail_msg("%s:%zu: %s", name, rows + 1, error.text);
        rows++;
        if (!each(row, ctx) && ++failed < 10) printf("%s:%zu: see above\n", name, rows);
        json_decref(row);
    }
    free(line);
    fclose(f);
    if (rows < least) fail_msg("%s has %zu rows only", name, rows);
    if (failed > 0) fail_msg("%s: %zu of %zu rows failed", name, failed, rows);
}

static bool is_error(const json_t *wanted, enum gwen_status status, const struct gwen_err *err) {
    const char *part = json_string_value(wanted);
    if (status == GWEN_OK || strchr(err->message, '\n') != NULL) return false;
    /* Messages show line ends as escapes. */
    size_t n = strcspn(part, "\n");
    return memmem(err->message, strlen(err->message), part, n) != NULL;
}

bool jinja_row_matches(const json_t *row, enum gwen_status status, const struct gw_str *text,
                       const struct gwen_err *err) {
    const json_t *wanted = json_object_get(row, "text"), *error = json_object_get(row, "error");
    bool ok;
    if (wanted != NULL)
        ok = status == GWEN_OK && text->len == json_string_length(wanted) &&
             (text->len == 0 || memcmp(text->data, json_string_value(wanted), text->len) == 0);
    else if (error != NULL)
        ok = is_error(error, status, err);
    else
        ok = status == GWEN_ERR_UNSUPPORTED;
    if (ok) return true;
    char *shown = json_dumps(row, JSON_COMPACT);
    printf("%s\n  gave %s\n", shown != NULL ? shown : "",
           status != GWEN_OK    ? err->message
           : text->data != NULL ? text->data
                                : "(nothing)");
    free(shown);
    return false;
}

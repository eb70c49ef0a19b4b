/* json_row.c - rows of JSONL: Jansson behind getters that name file and line (see json.h). */
#include "base/json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Jansson quotes what it stumbled over; a message must stay one line of text. */
static void make_printable(char *text) {
    for (; *text != 0; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7F) *text = '?';
}

static bool is_python_literal(const json_error_t *je, const char *text, size_t len) {
    if (strstr(je->text, "near 'NaN") != NULL || strstr(je->text, "near 'Infinity") != NULL)
        return true;
    /* of "-Infinity" it quotes the sign alone */
    size_t at = je->position > 0 ? (size_t)je->position : 0;
    return at < len && len - at >= 8 && memcmp(text + at, "Infinity", 8) == 0;
}

/* Where a row is nested deeper than GW_ROW_MAX_DEPTH, else SIZE_MAX: Jansson's parser takes stack
 * for each level, and a stack may be small. */
static size_t find_too_deep(const char *text, size_t len) {
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        if (in_string && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            in_string = !in_string;
        else if (!in_string && (text[i] == '[' || text[i] == '{') && ++depth > GW_ROW_MAX_DEPTH)
            return i;
        else if (!in_string && (text[i] == ']' || text[i] == '}') && depth > 0)
            depth--;
    }
    return SIZE_MAX;
}

enum gwen_status gw_row_parse(const char *text, size_t len, const char *file, uint64_t line,
                              json_t **out, struct gwen_err *err) {
    *out = NULL;
    if (line <= 1 && len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        text += 3;
        len -= 3;
    }
    const size_t deep = find_too_deep(text, len);
    if (deep != SIZE_MAX)
        return gw_fail(err, GWEN_ERR_FORMAT, "%s:%" PRIu64 ":%zu: nested deeper than %d levels",
                       file, line, deep + 1, GW_ROW_MAX_DEPTH);
    json_error_t je;
    json_t *v = json_loadb(text, len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &je);
    if (v == NULL) {
        if (json_error_code(&je) == json_error_out_of_memory) return gw_nomem(err, len, file);
        make_printable(je.text);
        const char *hint = is_python_literal(&je, text, len)
                               ? "NaN and Infinity are not JSON; write a finite number or null"
                               : je.text;
        return gw_fail(err, GWEN_ERR_FORMAT, "%s:%" PRIu64 ":%d: %s", file, line,
                       je.column > 0 ? je.column : 1, hint);
    }
    if (!json_is_object(v)) {
        json_decref(v);
        return gw_fail(err, GWEN_ERR_FORMAT, "%s:%" PRIu64 ":1: expected a JSON object", file,
                       line);
    }
    *out = v;
    return GWEN_OK;
}

enum gwen_status gw_row_fail(const struct gw_row *row, struct gwen_err *err, const char *fmt, ...) {
    char message[768];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    return gw_fail(err, GWEN_ERR_FORMAT, "%s:%" PRIu64 ": %s", row->file, row->line, message);
}

/* The member, NULL when optional and absent or null. */
static enum gwen_status member(const struct gw_row *row, const char *key, enum gw_json_need need,
                               json_t **out, struct gwen_err *err) {
    *out = json_object_get(row->obj, key);
    if (*out != NULL && !json_is_null(*out)) return GWEN_OK;
    bool null = *out != NULL;
    *out = NULL;
    if (need == GW_JSON_OPTIONAL) return GWEN_OK;
    return gw_row_fail(row, err, "\"%s\" is %s, but needed", key, null ? "null" : "missing");
}

static const char *kind_of(const json_t *v) {
    switch (json_typeof(v)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a number with a fraction or exponent";
    case JSON_TRUE:
    case JSON_FALSE: return "true or false";
    case JSON_NULL: return "null";
    }
    return "something else";
}

static enum gwen_status expected(const struct gw_row *row, const char *key, const char *what,
                                 const json_t *v, struct gwen_err *err) {
    return gw_row_fail(row, err, "\"%s\": expected %s, not %s", key, what, kind_of(v));
}

enum gwen_status gw_row_string(const struct gw_row *row, const char *key, enum gw_json_need need,
                               const char **out, size_t *len, struct gwen_err *err) {
    json_t *v;
    *out = NULL;
    *len = 0;
    GW_TRY(member(row, key, need, &v, err));
    if (v == NULL) return GWEN_OK;
    if (!json_is_string(v)) return expected(row, key, "a string", v, err);
    *out = json_string_value(v);
    *len = json_string_length(v);
    return GWEN_OK;
}

enum gwen_status gw_row_i64(const struct gw_row *row, const char *key, enum gw_json_need need,
                            int64_t min, int64_t max, int64_t *out, struct gwen_err *err) {
    json_t *v;
    GW_TRY(member(row, key, need, &v, err));
    if (v == NULL) return GWEN_OK;
    if (!json_is_integer(v)) return expected(row, key, "an integer", v, err);
    int64_t i = json_integer_value(v);
    if (i < min || i > max)
        return gw_row_fail(row, err, "\"%s\": %" PRId64 " is outside %" PRId64 "..%" PRId64, key, i,
                           min, max);
    *out = i;
    return GWEN_OK;
}

enum gwen_status gw_row_double(const struct gw_row *row, const char *key, enum gw_json_need need,
                               double *out, struct gwen_err *err) {
    json_t *v;
    GW_TRY(member(row, key, need, &v, err));
    if (v == NULL) return GWEN_OK;
    if (!json_is_number(v)) return expected(row, key, "a number", v, err);
    *out = json_number_value(v);
    return GWEN_OK;
}

enum gwen_status gw_row_bool(const struct gw_row *row, const char *key, enum gw_json_need need,
                             bool *out, struct gwen_err *err) {
    json_t *v;
    GW_TRY(member(row, key, need, &v, err));
    if (v == NULL) return GWEN_OK;
    if (!json_is_boolean(v)) return expected(row, key, "true or false", v, err);
    *out = json_is_true(v);
    return GWEN_OK;
}

enum gwen_status gw_row_array(const struct gw_row *row, const char *key, enum gw_json_need need,
                              json_t **out, struct gwen_err *err) {
    json_t *v;
    *out = NULL;
    GW_TRY(member(row, key, need, &v, err));
    if (v != NULL && !json_is_array(v)) return expected(row, key, "an array", v, err);
    *out = v;
    return GWEN_OK;
}

enum gwen_status gw_row_ids(const struct gw_row *row, const char *key, enum gw_json_need need,
                            size_t vocab_size, int32_t **ids, size_t *n, struct gwen_err *err) {
    *ids = NULL;
    *n = 0;
    json_t *array;
    GW_TRY(gw_row_array(row, key, need, &array, err));
    if (array == NULL) return GWEN_OK;
    size_t count = json_array_size(array);
    int32_t *values = malloc((count > 0 ? count : 1) * sizeof *values);
    if (values == NULL) return gw_nomem(err, count * sizeof *values, key);
    int64_t limit = vocab_size < INT32_MAX ? (int64_t)vocab_size : (int64_t)INT32_MAX + 1;
    for (size_t i = 0; i < count; i++) {
        const json_t *v = json_array_get(array, i);
        int64_t id = json_is_integer(v) ? json_integer_value(v) : -1;
        if (json_is_integer(v) && id >= 0 && id < limit) {
            values[i] = (int32_t)id;
            continue;
        }
        free(values);
        if (!json_is_integer(v))
            return gw_row_fail(row, err, "\"%s\"[%zu]: expected a token id, not %s", key, i,
                               kind_of(v));
        return gw_row_fail(row, err, "\"%s\"[%zu]: token id %" PRId64 " is outside 0..%" PRId64,
                           key, i, id, limit - 1);
    }
    *ids = values;
    *n = count;
    return GWEN_OK;
}

static void put_real(struct gw_str *s, double v) {
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    gw_str_puts(s, text);
    if (strpbrk(text, ".e") == NULL) gw_str_puts(s, ".0"); /* stays a real when read again */
}

static void put_object(struct gw_str *s, json_t *object) {
    const char *key;
    json_t *v;
    bool first = true;
    gw_str_putc(s, '{');
    json_object_foreach(object, key, v) {
        if (!first) gw_str_putc(s, ',');
        first = false;
        gw_str_put_json(s, key, strlen(key));
        gw_str_putc(s, ':');
        gw_str_put_row(s, v);
    }
    gw_str_putc(s, '}');
}

static void put_array(struct gw_str *s, const json_t *array) {
    gw_str_putc(s, '[');
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (i > 0) gw_str_putc(s, ',');
        gw_str_put_row(s, json_array_get(array, i));
    }
    gw_str_putc(s, ']');
}

void gw_str_put_row(struct gw_str *s, const json_t *v) {
    switch (json_typeof(v)) {
    case JSON_OBJECT: put_object(s, (json_t *)(uintptr_t)v); break;
    case JSON_ARRAY: put_array(s, v); break;
    case JSON_STRING: gw_str_put_json(s, json_string_value(v), json_string_length(v)); break;
    case JSON_INTEGER: gw_str_printf(s, "%" JSON_INTEGER_FORMAT, json_integer_value(v)); break;
    case JSON_REAL: put_real(s, json_real_value(v)); break;
    case JSON_TRUE: gw_str_puts(s, "true"); break;
    case JSON_FALSE: gw_str_puts(s, "false"); break;
    case JSON_NULL: gw_str_puts(s, "null"); break;
    }
}

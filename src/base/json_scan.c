/* json_scan.c - a strict JSON checker (see json_scan.h): recursive descent without a result. */
#include "base/json_scan.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

/* cJSON copies a number into a buffer of 64 bytes and stops there. */
enum { GW_JSON_MAX_NUMBER = 60 };

struct scan {
    const char *begin, *p, *end;
    const char *name;
    unsigned depth_left, max_depth;
    struct gwen_err *err;
};

static enum gwen_status fail_at(const struct scan *s, const char *at, const char *what) {
    size_t line = 1;
    const char *line_start = s->begin;
    for (const char *p = s->begin; p < at; p++) {
        if (*p != '\n') continue;
        line++;
        line_start = p + 1;
    }
    return gw_fail(s->err, GWEN_ERR_FORMAT, "%s:%zu:%zu: %s", s->name, line,
                   (size_t)(at - line_start) + 1, what);
}

static void skip_space(struct scan *s) {
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

static bool starts_with(const struct scan *s, const char *word) {
    size_t n = strlen(word);
    return (size_t)(s->end - s->p) >= n && memcmp(s->p, word, n) == 0;
}

static bool is_digit(const struct scan *s) { return s->p < s->end && *s->p >= '0' && *s->p <= '9'; }

static void skip_digits(struct scan *s) {
    while (is_digit(s)) s->p++;
}

static enum gwen_status scan_number(struct scan *s) {
    const char *start = s->p;
    if (*s->p == '-') s->p++;
    if (starts_with(s, "Infinity"))
        return fail_at(s, start, "Infinity is not JSON; write a finite number or null");
    if (!is_digit(s)) return fail_at(s, start, "expected a digit after '-'");
    if (*s->p == '0') {
        s->p++;
        if (is_digit(s)) return fail_at(s, start, "a number must not start with 0");
    }
    skip_digits(s);
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (!is_digit(s)) return fail_at(s, s->p, "expected a digit after the decimal point");
        skip_digits(s);
    }
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
        s->p++;
        if (s->p < s->end && (*s->p == '+' || *s->p == '-')) s->p++;
        if (!is_digit(s)) return fail_at(s, s->p, "expected a digit in the exponent");
        skip_digits(s);
    }
    if (s->p - start > GW_JSON_MAX_NUMBER)
        return fail_at(s, start, "a number of more than 60 characters");
    return GWEN_OK;
}

/* Four hex digits at s->p, which stays before them on failure; -1 when there are none. */
static int32_t scan_hex4(struct scan *s) {
    if (s->end - s->p < 4) return -1;
    int32_t v = 0;
    for (int i = 0; i < 4; i++) {
        char c = s->p[i];
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0) return -1;
        v = v * 16 + d;
    }
    s->p += 4;
    return v;
}

/* s->p is behind the backslash. */
static enum gwen_status scan_escape(struct scan *s) {
    const char *start = s->p - 1;
    if (s->p >= s->end) return fail_at(s, start, "the file ends inside a string");
    char c = *s->p++;
    if (c == 0 || strchr("\"\\/bfnrtu", c) == NULL)
        return fail_at(s, start, "unknown escape in a string");
    if (c != 'u') return GWEN_OK;
    int32_t unit = scan_hex4(s);
    if (unit < 0) return fail_at(s, start, "\\u needs four hexadecimal digits");
    if (unit == 0) return fail_at(s, start, "\\u0000 is not allowed in this file");
    if (unit < 0xD800 || unit > 0xDFFF) return GWEN_OK;
    if (unit < 0xDC00 && starts_with(s, "\\u")) {
        s->p += 2;
        int32_t low = scan_hex4(s);
        if (low >= 0xDC00 && low <= 0xDFFF) return GWEN_OK;
    }
    return fail_at(s, start, "half of a surrogate pair in a string");
}

static enum gwen_status scan_string(struct scan *s) {
    const char *start = s->p++;
    while (s->p < s->end) {
        unsigned char c = (unsigned char)*s->p;
        if (c == '"') {
            s->p++;
            return GWEN_OK;
        }
        if (c == '\\') {
            s->p++;
            GW_TRY(scan_escape(s));
        } else if (c < 0x20) {
            return fail_at(s, s->p, "control character in a string");
        } else if (c < 0x80) {
            s->p++;
        } else {
            uint32_t cp;
            bool valid;
            size_t n = gw_utf8_next(s->p, (size_t)(s->end - s->p), &cp, &valid);
            if (!valid) return fail_at(s, s->p, "the text is not UTF-8");
            s->p += n;
        }
    }
    return fail_at(s, start, "string without its closing quote");
}

static enum gwen_status scan_value(struct scan *s);

/* One `"key": value`. */
static enum gwen_status scan_member(struct scan *s) {
    if (s->p >= s->end || *s->p != '"') return fail_at(s, s->p, "expected a key in quotes");
    GW_TRY(scan_string(s));
    skip_space(s);
    if (s->p >= s->end || *s->p != ':') return fail_at(s, s->p, "expected ':' after a key");
    s->p++;
    skip_space(s);
    return scan_value(s);
}

static enum gwen_status scan_container(struct scan *s) {
    bool object = *s->p == '{';
    char close = object ? '}' : ']';
    const char *start = s->p++;
    if (s->depth_left == 0) {
        char text[64];
        snprintf(text, sizeof text, "nested deeper than %u levels", s->max_depth);
        return fail_at(s, start, text);
    }
    s->depth_left--;
    skip_space(s);
    if (s->p < s->end && *s->p == close) {
        s->p++;
        s->depth_left++;
        return GWEN_OK;
    }
    for (;;) {
        GW_TRY(object ? scan_member(s) : scan_value(s));
        skip_space(s);
        if (s->p >= s->end)
            return fail_at(s, start,
                           object ? "object without its closing '}'"
                                  : "array without its closing ']'");
        char c = *s->p++;
        if (c == close) break;
        if (c != ',')
            return fail_at(s, s->p - 1, object ? "expected ',' or '}'" : "expected ',' or ']'");
        skip_space(s);
    }
    s->depth_left++;
    return GWEN_OK;
}

static enum gwen_status scan_value(struct scan *s) {
    if (s->p >= s->end) return fail_at(s, s->p, "expected a value, but the text ends");
    char c = *s->p;
    if (c == '{' || c == '[') return scan_container(s);
    if (c == '"') return scan_string(s);
    if (c == '-' || (c >= '0' && c <= '9')) return scan_number(s);
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < GW_ARRAY_LEN(words); i++) {
        if (!starts_with(s, words[i])) continue;
        s->p += strlen(words[i]);
        return GWEN_OK;
    }
    if (starts_with(s, "NaN") || starts_with(s, "Infinity"))
        return fail_at(s, s->p, "NaN and Infinity are not JSON; write a finite number or null");
    return fail_at(s, s->p, "expected a value");
}

enum gwen_status gw_json_scan(const char *text, size_t len, const char *name, unsigned max_depth,
                              struct gwen_err *err) {
    struct scan s = {.begin = text,
                     .p = text,
                     .end = text + len,
                     .name = name,
                     .depth_left = max_depth,
                     .max_depth = max_depth,
                     .err = err};
    skip_space(&s);
    GW_TRY(scan_value(&s));
    skip_space(&s);
    if (s.p < s.end) return fail_at(&s, s.p, "more text after the end of the JSON value");
    return GWEN_OK;
}

/* scan.c - walking a large JSON text without building a tree (see scan.h). */
#include "text/tokenizer/scan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum gwen_status gw_scan_fail(const struct gw_scan *s, size_t at, const char *fmt, ...) {
    size_t line = 1, start = 0;
    for (size_t i = 0; i < at; i++) {
        if (s->text[i] != '\n') continue;
        line++;
        start = i + 1;
    }
    char message[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    return gw_fail(s->err, GWEN_ERR_FORMAT, "%s:%zu:%zu: %s", s->name, line, at - start + 1,
                   message);
}

static void skip_space(struct gw_scan *s) {
    while (s->pos < s->len) {
        char c = s->text[s->pos];
        if (c != ' ' && c != '\n' && c != '\t' && c != '\r') return;
        s->pos++;
    }
}

char gw_scan_peek(struct gw_scan *s) {
    skip_space(s);
    return s->pos < s->len ? s->text[s->pos] : 0;
}

enum gwen_status gw_scan_open(struct gw_scan *s, char open) {
    if (gw_scan_peek(s) != open)
        return gw_scan_fail(s, s->pos, "expected %s", open == '{' ? "an object" : "an array");
    s->pos++;
    return GWEN_OK;
}

enum gwen_status gw_scan_next(struct gw_scan *s, char close, bool *first, bool *more) {
    char c = gw_scan_peek(s);
    *more = c != close;
    if (!*more) {
        s->pos++;
        return GWEN_OK;
    }
    if (s->pos >= s->len) return gw_scan_fail(s, s->pos, "the file ends before '%c'", close);
    if (!*first) {
        if (c != ',') return gw_scan_fail(s, s->pos, "expected ',' or '%c'", close);
        s->pos++;
    }
    *first = false;
    return GWEN_OK;
}

/* --- strings -------------------------------------------------------------------------------- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool hex4(const struct gw_scan *s, size_t at, uint32_t *unit) {
    if (s->len - at < 4) return false;
    *unit = 0;
    for (size_t i = 0; i < 4; i++) {
        int d = hex_digit(s->text[at + i]);
        if (d < 0) return false;
        *unit = *unit * 16 + (uint32_t)d;
    }
    return true;
}

/* The position is behind "\u". */
static enum gwen_status unicode_escape(struct gw_scan *s, struct gw_str *out) {
    uint32_t unit, low;
    if (!hex4(s, s->pos, &unit))
        return gw_scan_fail(s, s->pos - 2, "\\u needs four hexadecimal digits");
    s->pos += 4;
    if (unit >= 0xD800 && unit <= 0xDFFF) {
        bool pair = unit < 0xDC00 && s->len - s->pos >= 6 && s->text[s->pos] == '\\' &&
                    s->text[s->pos + 1] == 'u' && hex4(s, s->pos + 2, &low) && low >= 0xDC00 &&
                    low <= 0xDFFF;
        if (!pair) return gw_scan_fail(s, s->pos - 6, "half of a surrogate pair in a string");
        s->pos += 6;
        unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
    }
    if (out != NULL) gw_str_put_utf8(out, unit);
    return GWEN_OK;
}

/* The position is at a backslash. */
static enum gwen_status escape(struct gw_scan *s, struct gw_str *out) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = s->pos + 1 < s->len ? s->text[s->pos + 1] : 0;
    s->pos += 2;
    if (c == 'u') return unicode_escape(s, out);
    const char *found = c != 0 ? strchr(from, c) : NULL;
    if (found == NULL) return gw_scan_fail(s, s->pos - 2, "unknown escape in a string");
    if (out != NULL) gw_str_putc(out, to[found - from]);
    return GWEN_OK;
}

/* The string at the position into *out, or past it when out is NULL. */
static enum gwen_status string(struct gw_scan *s, struct gw_str *out) {
    size_t start = s->pos++;
    for (;;) {
        size_t run = s->pos;
        unsigned char c = 0;
        while (s->pos < s->len) {
            c = (unsigned char)s->text[s->pos];
            if (c == '"' || c == '\\' || c < 0x20) break;
            s->pos++;
        }
        if (out != NULL && s->pos > run) gw_str_put(out, s->text + run, s->pos - run);
        if (s->pos >= s->len) return gw_scan_fail(s, start, "string without its closing quote");
        if (c == '"') break;
        if (c != '\\') return gw_scan_fail(s, s->pos, "control character in a string");
        GW_TRY(escape(s, out));
    }
    s->pos++;
    if (out != NULL && out->failed) return gw_nomem(s->err, out->len, s->name);
    return GWEN_OK;
}

enum gwen_status gw_scan_string(struct gw_scan *s, struct gw_str *out) {
    if (gw_scan_peek(s) != '"') return gw_scan_fail(s, s->pos, "expected a string");
    return string(s, out);
}

static enum gwen_status colon(struct gw_scan *s) {
    if (gw_scan_peek(s) != ':') return gw_scan_fail(s, s->pos, "expected ':' after a key");
    s->pos++;
    return GWEN_OK;
}

enum gwen_status gw_scan_key(struct gw_scan *s, struct gw_str *out) {
    if (gw_scan_peek(s) != '"') return gw_scan_fail(s, s->pos, "expected a key in quotes");
    GW_TRY(string(s, out));
    return colon(s);
}

/* --- numbers and other values --------------------------------------------------------------- */

static bool digit_at(const struct gw_scan *s) {
    return s->pos < s->len && s->text[s->pos] >= '0' && s->text[s->pos] <= '9';
}

enum gwen_status gw_scan_uint(struct gw_scan *s, uint32_t max, uint32_t *out) {
    skip_space(s);
    size_t start = s->pos;
    uint64_t v = 0;
    while (digit_at(s) && v <= max) v = v * 10 + (uint64_t)(s->text[s->pos++] - '0');
    char after = s->pos < s->len ? s->text[s->pos] : 0;
    bool number = s->pos > start && after != '.' && after != 'e' && after != 'E' &&
                  (s->text[start] != '0' || s->pos == start + 1);
    if (!number || v > max)
        return gw_scan_fail(s, start, "expected a whole number from 0 to %u", (unsigned)max);
    *out = (uint32_t)v;
    return GWEN_OK;
}

static enum gwen_status skip_number(struct gw_scan *s) {
    size_t start = s->pos;
    if (s->text[s->pos] == '-') s->pos++;
    bool ok = digit_at(s), zero = ok && s->text[s->pos] == '0';
    if (zero) s->pos++;
    while (!zero && digit_at(s)) s->pos++;
    if (ok && s->pos < s->len && s->text[s->pos] == '.') {
        s->pos++;
        ok = digit_at(s);
        while (digit_at(s)) s->pos++;
    }
    if (ok && s->pos < s->len && (s->text[s->pos] == 'e' || s->text[s->pos] == 'E')) {
        s->pos++;
        if (s->pos < s->len && (s->text[s->pos] == '+' || s->text[s->pos] == '-')) s->pos++;
        ok = digit_at(s);
        while (digit_at(s)) s->pos++;
    }
    return ok && !digit_at(s) ? GWEN_OK : gw_scan_fail(s, start, "malformed number");
}

/* A value that is no container. */
static enum gwen_status skip_scalar(struct gw_scan *s, char c) {
    static const char *const words[] = {"true", "false", "null"};
    if (c == '"') return string(s, NULL);
    if (c == '-' || (c >= '0' && c <= '9')) return skip_number(s);
    for (size_t i = 0; i < GW_ARRAY_LEN(words); i++) {
        size_t n = strlen(words[i]);
        if (s->len - s->pos < n || memcmp(s->text + s->pos, words[i], n) != 0) continue;
        s->pos += n;
        return GWEN_OK;
    }
    return gw_scan_fail(s, s->pos, s->pos < s->len ? "expected a value" : "the file ends here");
}

enum gwen_status gw_scan_skip(struct gw_scan *s, struct gw_slice *slice) {
    char closers[GW_SCAN_MAX_DEPTH];
    bool first[GW_SCAN_MAX_DEPTH];
    size_t depth = 0;
    skip_space(s);
    slice->start = s->pos;
    do {
        if (depth > 0) { /* before an element of a container */
            bool more;
            GW_TRY(gw_scan_next(s, closers[depth - 1], &first[depth - 1], &more));
            if (!more) {
                depth--;
                continue;
            }
            if (closers[depth - 1] == '}') {
                if (gw_scan_peek(s) != '"')
                    return gw_scan_fail(s, s->pos, "expected a key in quotes");
                GW_TRY(string(s, NULL));
                GW_TRY(colon(s));
            }
        }
        char c = gw_scan_peek(s);
        if (c != '{' && c != '[') {
            GW_TRY(skip_scalar(s, c));
            continue;
        }
        if (depth == GW_SCAN_MAX_DEPTH)
            return gw_scan_fail(s, s->pos, "nested deeper than %d levels", GW_SCAN_MAX_DEPTH);
        closers[depth] = c == '{' ? '}' : ']';
        first[depth++] = true;
        s->pos++;
    } while (depth > 0);
    slice->len = s->pos - slice->start;
    return GWEN_OK;
}

enum gwen_status gw_scan_end(struct gw_scan *s) {
    skip_space(s);
    return s->pos == s->len ? GWEN_OK : gw_scan_fail(s, s->pos, "something follows the value");
}

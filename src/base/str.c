/* str.c - the growing string, UTF-8 and numbers as text; see str.h. */
#include "base/str.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void gw_str_free(struct gw_str *s) {
    free(s->data);
    *s = (struct gw_str){0};
}

void gw_str_clear(struct gw_str *s) {
    s->len = 0;
    s->failed = false;
    if (s->data != NULL) s->data[0] = 0;
}

bool gw_str_reserve(struct gw_str *s, size_t extra) {
    size_t need;
    if (s->failed || !gw_add_size(s->len, extra, &need) || !gw_add_size(need, 1, &need)) {
        s->failed = true;
        return false;
    }
    if (need <= s->cap) return true;
    size_t cap = s->cap < 64 ? 64 : s->cap;
    while (cap < need) cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    char *data = realloc(s->data, cap);
    if (data == NULL) {
        s->failed = true;
        return false;
    }
    s->data = data;
    s->cap = cap;
    return true;
}

void gw_str_put(struct gw_str *s, const void *bytes, size_t len) {
    if (!gw_str_reserve(s, len)) return;
    if (len > 0) memcpy(s->data + s->len, bytes, len);
    s->len += len;
    s->data[s->len] = 0;
}

void gw_str_puts(struct gw_str *s, const char *text) { gw_str_put(s, text, strlen(text)); }

void gw_str_putc(struct gw_str *s, char c) { gw_str_put(s, &c, 1); }

void gw_str_printf(struct gw_str *s, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        s->failed = true;
    } else if (gw_str_reserve(s, (size_t)n)) {
        vsnprintf(s->data + s->len, (size_t)n + 1, fmt, again);
        s->len += (size_t)n;
    }
    va_end(again);
}

void gw_str_put_utf8(struct gw_str *s, uint32_t c) {
    if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) c = 0xFFFD;
    char b[4];
    size_t n;
    if (c < 0x80) {
        b[0] = (char)c;
        n = 1;
    } else if (c < 0x800) {
        b[0] = (char)(0xC0 | c >> 6);
        b[1] = (char)(0x80 | (c & 63));
        n = 2;
    } else if (c < 0x10000) {
        b[0] = (char)(0xE0 | c >> 12);
        b[1] = (char)(0x80 | (c >> 6 & 63));
        b[2] = (char)(0x80 | (c & 63));
        n = 3;
    } else {
        b[0] = (char)(0xF0 | c >> 18);
        b[1] = (char)(0x80 | (c >> 12 & 63));
        b[2] = (char)(0x80 | (c >> 6 & 63));
        b[3] = (char)(0x80 | (c & 63));
        n = 4;
    }
    gw_str_put(s, b, n);
}

/* Table 3-7 of the Unicode standard: the range of the second byte depends on the first. */
size_t gw_utf8_next(const char *text, size_t len, uint32_t *cp, bool *valid) {
    const unsigned char *s = (const unsigned char *)text;
    unsigned lo = 0x80, hi = 0xBF;
    size_t need;
    *valid = true;
    if (s[0] < 0x80) {
        *cp = s[0];
        return 1;
    }
    if (s[0] >= 0xC2 && s[0] <= 0xDF) {
        need = 1;
        *cp = s[0] & 0x1F;
    } else if (s[0] >= 0xE0 && s[0] <= 0xEF) {
        need = 2;
        *cp = s[0] & 0x0F;
        if (s[0] == 0xE0) lo = 0xA0;
        if (s[0] == 0xED) hi = 0x9F;
    } else if (s[0] >= 0xF0 && s[0] <= 0xF4) {
        need = 3;
        *cp = s[0] & 0x07;
        if (s[0] == 0xF0) lo = 0x90;
        if (s[0] == 0xF4) hi = 0x8F;
    } else {
        *cp = 0xFFFD;
        *valid = false;
        return 1;
    }
    for (size_t i = 1; i <= need; i++) {
        if (i >= len || s[i] < lo || s[i] > hi) {
            *cp = 0xFFFD;
            *valid = false;
            return i;
        }
        *cp = *cp << 6 | (s[i] & 0x3F);
        lo = 0x80;
        hi = 0xBF;
    }
    return need + 1;
}

bool gw_utf8_is_valid(const char *s, size_t len) {
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        bool valid;
        i += gw_utf8_next(s + i, len - i, &cp, &valid);
        if (!valid) return false;
    }
    return true;
}

void gw_str_put_json(struct gw_str *s, const char *text, size_t len) {
    gw_str_putc(s, '"');
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        bool valid;
        size_t n = gw_utf8_next(text + i, len - i, &cp, &valid);
        if (cp == '"' || cp == '\\') {
            gw_str_printf(s, "\\%c", (int)cp);
        } else if (cp == '\n') {
            gw_str_puts(s, "\\n");
        } else if (cp == '\t') {
            gw_str_puts(s, "\\t");
        } else if (cp == '\r') {
            gw_str_puts(s, "\\r");
        } else if (cp < 0x20 || cp == 0x7F) {
            gw_str_printf(s, "\\u%04x", (unsigned)cp);
        } else if (valid) {
            gw_str_put(s, text + i, n);
        } else {
            gw_str_put_utf8(s, 0xFFFD);
        }
        i += n;
    }
    gw_str_putc(s, '"');
}

void gw_str_put_float(struct gw_str *s, float v) {
    if (isfinite(v))
        gw_str_printf(s, "%.9g", (double)v);
    else
        gw_str_puts(s, "null");
}

void gw_str_put_real(struct gw_str *s, double v) {
    char text[40];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    gw_str_puts(s, isfinite(v) ? text : "null");
}

void gw_str_put_double(struct gw_str *s, double v) {
    if (isfinite(v))
        gw_str_printf(s, "%.17g", v);
    else
        gw_str_puts(s, "null");
}

const char *gw_shown(char buf[GW_SHOWN], const char *s, size_t len) {
    struct gw_str out = {0};
    size_t n = 0;
    while (n < len && n < 36) { /* whole characters; each byte becomes 6 at most */
        uint32_t c;
        bool valid;
        n += gw_utf8_next(s + n, len - n, &c, &valid);
    }
    gw_str_put_json(&out, s, n);
    if (n < len) gw_str_puts(&out, "...");
    bool fits = !out.failed && out.len < GW_SHOWN;
    memcpy(buf, fits ? out.data : "?", fits ? out.len + 1 : 2);
    gw_str_free(&out);
    return buf;
}

size_t gw_name_index(const char *name, const char *const *names, size_t n) {
    size_t i = 0;
    while (i < n && strcmp(name, names[i]) != 0) i++;
    return i;
}

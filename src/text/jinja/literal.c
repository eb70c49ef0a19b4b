/* literal.c - string and number literals. */
#include "text/jinja/lexer.h"
#include "text/jinja/text.h"

#include <string.h>

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* The code point of \xHH, \uHHHH or \UHHHHHHHH, whose n digits are at s[0..len). */
static bool put_hex_escape(struct gw_jbuf *b, const char *s, size_t len, size_t n) {
    uint32_t cp = 0;
    for (size_t i = 0; i < n; i++) {
        int d = i < len ? hex_value(s[i]) : -1;
        if (d < 0) return gw_j_fail(b->rt, GWEN_ERR_FORMAT, "truncated \\x, \\u or \\U escape");
        cp = cp << 4 | (uint32_t)d;
    }
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF))
        return gw_j_fail(b->rt, GWEN_ERR_FORMAT, "an escape that is no Unicode character");
    gw_j_put_cp(b, cp);
    return true;
}

/* jinja2 turns what is not ASCII into escapes before it decodes them, so that a backslash before
 * such a character escapes the backslash of its escape. */
static size_t put_escaped_non_ascii(struct gw_jbuf *b, const char *s) {
    uint32_t cp;
    size_t n = gw_j_decode(s, &cp);
    if (cp < 0x100)
        gw_j_putf(b, "\\x%02x", (unsigned)cp);
    else if (cp < 0x10000)
        gw_j_putf(b, "\\u%04x", (unsigned)cp);
    else
        gw_j_putf(b, "\\U%08x", (unsigned)cp);
    return n;
}

/* The escape after a backslash, at s[0..len), len > 0; *used gets its bytes. */
static bool put_escape(struct gw_jbuf *b, const char *s, size_t len, size_t *used) {
    static const char letters[] = "abfnrtv\\'\"", bytes[] = "\a\b\f\n\r\t\v\\'\"";
    *used = 1;
    if (s[0] == '\n') return true; /* the line goes on */
    if ((unsigned char)s[0] >= 0x80) {
        *used = put_escaped_non_ascii(b, s);
        return true;
    }
    const char *letter = s[0] != '\0' ? strchr(letters, s[0]) : NULL;
    if (letter != NULL) {
        gw_j_putc(b, bytes[letter - letters]);
        return true;
    }
    if (s[0] >= '0' && s[0] <= '7') {
        uint32_t cp = 0;
        size_t n = 0;
        for (; n < 3 && n < len && s[n] >= '0' && s[n] <= '7'; n++)
            cp = cp * 8 + (uint32_t)(s[n] - '0');
        gw_j_put_cp(b, cp);
        *used = n;
        return true;
    }
    size_t digits = s[0] == 'x' ? 2 : s[0] == 'u' ? 4 : s[0] == 'U' ? 8 : 0;
    if (digits > 0) {
        *used = 1 + digits;
        return put_hex_escape(b, s + 1, len - 1, digits);
    }
    if (s[0] == 'N')
        return gw_j_fail(b->rt, GWEN_ERR_UNSUPPORTED, "\\N{...} in a string is not supported");
    gw_j_putc(b, '\\');
    gw_j_putc(b, s[0]);
    return true;
}

bool gw_j_lex_string(struct gw_jrt *rt, const char *s, size_t len, struct gw_jv *out) {
    if (memchr(s, '\\', len) == NULL) {
        *out = gw_jv_str(s, len);
        return true;
    }
    struct gw_jbuf b = {.rt = rt};
    for (size_t i = 0; i < len;) {
        if (s[i] != '\\' || i + 1 >= len) {
            gw_j_putc(&b, s[i++]);
            continue;
        }
        size_t used;
        if (!put_escape(&b, s + i + 1, len - i - 1, &used)) return false;
        i += 1 + used;
    }
    return gw_j_buf_str(&b, out);
}

static bool is_digit(const char *src, size_t pos, size_t len) {
    return pos < len && src[pos] >= '0' && src[pos] <= '9';
}

/* The end of digits with single underscores between them; pos when there is none. */
static size_t skip_digits(const char *src, size_t pos, size_t len) {
    while (is_digit(src, pos, len) || (pos < len && src[pos] == '_' && pos > 0 &&
                                       is_digit(src, pos - 1, len) && is_digit(src, pos + 1, len)))
        pos++;
    return pos;
}

/* The end of the float at pos, 0 when it is none. */
static size_t match_float(const char *src, size_t pos, size_t len) {
    if (pos > 0 && src[pos - 1] == '.') return 0;
    size_t end = skip_digits(src, pos, len);
    bool fraction = end < len && src[end] == '.' && is_digit(src, end + 1, len);
    if (fraction) end = skip_digits(src, end + 1, len);
    size_t e = end;
    if (e < len && (src[e] == 'e' || src[e] == 'E')) {
        e++;
        if (e < len && (src[e] == '+' || src[e] == '-')) e++;
        if (is_digit(src, e, len)) return skip_digits(src, e, len);
    }
    return fraction ? end : 0;
}

/* The end of the 0x, 0o or 0b integer at pos, 0 when it is none. */
static size_t match_prefixed(const char *src, size_t pos, size_t len) {
    if (pos + 2 >= len || src[pos] != '0') return 0;
    char kind = (char)(src[pos + 1] | 0x20);
    int base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
    size_t end = pos + 2;
    for (;;) {
        size_t digit = end < len && src[end] == '_' ? end + 1 : end;
        int d = digit < len ? hex_value(src[digit]) : -1;
        if (d < 0 || d >= base) break;
        end = digit + 1;
    }
    return end > pos + 2 ? end : 0;
}

size_t gw_j_lex_number(struct gw_jrt *rt, const char *src, size_t pos, size_t len,
                       struct gw_jv *out) {
    enum gw_jparsed parsed;
    size_t end = match_float(src, pos, len);
    if (end != 0) {
        double v;
        parsed = gw_j_parse_float(src + pos, end - pos, &v);
        *out = gw_jv_float(v);
    } else {
        int64_t v = 0;
        end = match_prefixed(src, pos, len);
        if (end == 0) {
            /* A decimal number does not begin with 0; "00" is read as zero. */
            end = pos + 1;
            while (end < len && (src[pos] != '0' || src[end] == '0' || src[end] == '_') &&
                   (is_digit(src, end, len) || (src[end] == '_' && is_digit(src, end + 1, len) &&
                                                (src[pos] != '0' || src[end + 1] == '0'))))
                end++;
        }
        parsed = gw_j_parse_int(src + pos, end - pos, 0, &v);
        *out = gw_jv_int(v);
    }
    if (parsed == GW_J_PARSED) return end;
    gw_j_fail(rt, GWEN_ERR_FORMAT, "the number %.*s%s is too large",
              (int)GW_MIN(end - pos, (size_t)40), src + pos, end - pos > 40 ? "..." : "");
    return 0;
}

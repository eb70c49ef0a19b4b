/* format.c - Python's format specification: [[fill]align][sign][#][0][width][group][.precision]
 * [type]. */
#include "text/jinja/format.h"

#include "text/jinja/runtime.h"
#include "text/jinja/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* `head` (sign and prefix) and `body`, padded to the width. */
static bool put_padded(struct gw_jbuf *b, const char *head, struct gw_jv body,
                       const struct gw_jspec *spec, char default_align) {
    if (spec->width > GW_J_MAX_WIDTH)
        return gw_j_raise(b->rt, "a field wider than %d characters", GW_J_MAX_WIDTH);
    size_t n = strlen(head) + gw_j_cp_count(body.u.s, body.len);
    size_t space = spec->width > (int64_t)n ? (size_t)spec->width - n : 0;
    char align = spec->align != 0 ? spec->align : default_align;
    struct gw_jv fill = spec->fill.type == GW_J_STR ? spec->fill : gw_jv_str(" ", 1);
    if (spec->zero && spec->fill.type != GW_J_STR) fill = gw_jv_str("0", 1);
    if (spec->zero && spec->align == 0 && default_align == '>') align = '=';
    size_t before = align == '>' ? space : align == '^' ? space / 2 : 0;
    gw_j_put_repeat(b, fill.u.s, fill.len, before);
    gw_j_puts(b, head);
    if (align == '=') gw_j_put_repeat(b, fill.u.s, fill.len, space);
    gw_j_put(b, body.u.s, body.len);
    if (align != '=') gw_j_put_repeat(b, fill.u.s, fill.len, space - before);
    return !b->rt->failed;
}

bool gw_j_put_text(struct gw_jbuf *b, struct gw_jv text, const struct gw_jspec *spec) {
    if (spec->precision >= 0)
        text = gw_jv_sub(text, 0, gw_j_cp_offset(text.u.s, text.len, (size_t)spec->precision));
    return put_padded(b, "", text, spec, '<');
}

/* digits[0..n) with a separator every `every` digits from the right, into out. */
static size_t group_digits(const char *digits, size_t n, char separator, size_t every, char *out) {
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (separator != 0 && i > 0 && (n - i) % every == 0) out[k++] = separator;
        out[k++] = digits[i];
    }
    return k;
}

static bool check_grouping(struct gw_jbuf *b, const struct gw_jspec *spec) {
    return !(spec->group != 0 && spec->zero) ||
           gw_j_fail(b->rt, GWEN_ERR_UNSUPPORTED,
                     "zero padding together with a separator of thousands is not supported");
}

static void put_sign(char *head, bool negative, const struct gw_jspec *spec) {
    size_t n = strlen(head);
    head[n] = negative ? '-' : spec->sign;
    head[n + 1] = '\0';
}

bool gw_j_put_int(struct gw_jbuf *b, int64_t v, const struct gw_jspec *spec) {
    char digits[72], grouped[160], head[8] = "";
    uint64_t magnitude = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    unsigned base = 10;
    if (spec->type == 'c') {
        if (v < 0 || v > 0x10FFFF || (v >= 0xD800 && v <= 0xDFFF))
            return gw_j_raise(b->rt, "%%c arg not in range(0x110000)");
        char c[4];
        return put_padded(b, "", gw_jv_str(c, gw_j_encode((uint32_t)v, c)), spec, '<');
    }
    if (spec->type == 'x' || spec->type == 'X') base = 16;
    if (spec->type == 'o') base = 8;
    if (spec->type == 'b') base = 2;
    size_t at = sizeof digits;
    do {
        char d = "0123456789abcdef"[magnitude % base];
        digits[--at] = spec->type == 'X' && d >= 'a' ? (char)(d - 32) : d;
        magnitude /= base;
    } while (magnitude > 0);
    put_sign(head, v < 0, spec);
    if (spec->alt && base != 10) {
        size_t at_prefix = strlen(head);
        head[at_prefix] = '0';
        head[at_prefix + 1] = spec->type;
        head[at_prefix + 2] = '\0';
    }
    if (!check_grouping(b, spec)) return false;
    size_t n =
        group_digits(digits + at, sizeof digits - at, spec->group, base == 10 ? 3 : 4, grouped);
    return put_padded(b, head, gw_jv_str(grouped, n), spec, '>');
}

enum { MAX_PRECISION = 400, FLOAT_TEXT = 800 }; /* 309 digits before the point, 400 behind */

/* The digits of a magnitude without a type and with a precision: as %g, but with the exponent one
 * earlier and always a digit behind the point. */
static void general_digits(double v, int precision, char *text, size_t cap) {
    snprintf(text, cap, "%.*e", precision - 1, v);
    int exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    if (exponent < -4 || exponent + 1 > precision - 1) {
        char mantissa[FLOAT_TEXT];
        size_t n = (size_t)(strchr(text, 'e') - text);
        n = GW_MIN(n, sizeof mantissa - 1);
        memcpy(mantissa, text, n);
        while (n > 0 && memchr(mantissa, '.', n) != NULL &&
               (mantissa[n - 1] == '0' || mantissa[n - 1] == '.')) {
            n--;
            if (mantissa[n] == '.') break;
        }
        mantissa[n] = '\0';
        snprintf(text, cap, "%.*s%s%02d", MAX_PRECISION + 2, mantissa, exponent < 0 ? "e-" : "e+",
                 abs(exponent));
        return;
    }
    size_t n = (size_t)snprintf(text, cap, "%.*g", precision, v);
    if (strpbrk(text, ".e") == NULL && n < cap) snprintf(text + n, cap - n, ".0");
}

/* The digits of a magnitude. */
static bool float_digits(struct gw_jbuf *b, double v, const struct gw_jspec *spec, char *text) {
    char format[16], type = spec->type == 'n' || spec->type == 0 ? 'g' : spec->type;
    int precision = spec->precision < 0 ? 6 : (int)GW_MIN(spec->precision, (int64_t)INT32_MAX);
    if (precision > MAX_PRECISION)
        return gw_j_fail(b->rt, GWEN_ERR_UNSUPPORTED, "a precision beyond %d is not supported",
                         MAX_PRECISION);
    if (spec->type == 0 && spec->precision < 0) {
        gw_j_float_repr(v, text);
        return true;
    }
    if (!isfinite(v)) {
        bool upper = type == 'E' || type == 'F' || type == 'G';
        const char *word = isnan(v) ? (upper ? "NAN" : "nan") : upper ? "INF" : "inf";
        snprintf(text, FLOAT_TEXT, "%s%s", word, type == '%' ? "%" : "");
        return true;
    }
    if (spec->type == 0) {
        general_digits(v, GW_MAX(precision, 1), text, FLOAT_TEXT);
        return true;
    }
    snprintf(format, sizeof format, "%%%s.*%c%s", spec->alt ? "#" : "", type == '%' ? 'f' : type,
             type == '%' ? "%%" : "");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, FLOAT_TEXT, format, precision, type == '%' ? v * 100 : v);
#pragma GCC diagnostic pop
    return true;
}

bool gw_j_put_float(struct gw_jbuf *b, double v, const struct gw_jspec *spec) {
    char text[FLOAT_TEXT], grouped[2 * FLOAT_TEXT], head[8] = "";
    if (!float_digits(b, fabs(v), spec, text) || !check_grouping(b, spec)) return false;
    put_sign(head, signbit(v) && !isnan(v), spec);
    size_t n = strlen(text), whole = strspn(text, "0123456789");
    size_t k = group_digits(text, whole, spec->group, 3, grouped);
    memcpy(grouped + k, text + whole, n - whole);
    return put_padded(b, head, gw_jv_str(grouped, k + n - whole), spec, '>');
}

/* --- specifications ------------------------------------------------------------------------- */

static bool is_align(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

/* A number at s[*i]; -1 when there is none. */
static int64_t take_number(struct gw_jv s, size_t *i) {
    int64_t v = -1; /* none yet */
    for (; *i < s.len && s.u.s[*i] >= '0' && s.u.s[*i] <= '9'; *i += 1) {
        v = GW_MAX(v, 0) * 10 + (s.u.s[*i] - '0');
        v = GW_MIN(v, (int64_t)INT32_MAX);
    }
    return v;
}

static bool take_char(struct gw_jv s, size_t *i, char c) {
    if (*i >= s.len || s.u.s[*i] != c) return false;
    *i += 1;
    return true;
}

static bool parse_spec(struct gw_jrt *rt, struct gw_jv s, struct gw_jspec *out) {
    size_t i = 0, n = 0;
    uint32_t cp;
    *out = (struct gw_jspec){.precision = -1};
    if (s.len > 0) n = gw_j_decode(s.u.s, &cp);
    if (n > 0 && n < s.len && is_align(s.u.s[n])) {
        out->fill = gw_jv_sub(s, 0, n);
        i = n;
    }
    if (i < s.len && is_align(s.u.s[i])) out->align = s.u.s[i++];
    if (take_char(s, &i, '+'))
        out->sign = '+';
    else if (take_char(s, &i, ' '))
        out->sign = ' ';
    else
        take_char(s, &i, '-');
    out->alt = take_char(s, &i, '#');
    out->zero = take_char(s, &i, '0');
    int64_t width = take_number(s, &i);
    out->width = GW_MAX(width, 0);
    if (take_char(s, &i, ','))
        out->group = ',';
    else if (take_char(s, &i, '_'))
        out->group = '_';
    if (take_char(s, &i, '.')) {
        out->precision = take_number(s, &i);
        if (out->precision < 0) return gw_j_raise(rt, "Format specifier missing precision");
    }
    if (i < s.len) out->type = s.u.s[i++];
    return i == s.len || gw_j_raise(rt, "Invalid format specifier");
}

static bool bad_code(struct gw_jbuf *b, struct gw_jv v, char code) {
    return gw_j_raise(b->rt, "Unknown format code '%c' for object of type '%s'", code,
                      gw_j_type_name(v));
}

bool gw_j_put_format(struct gw_jbuf *b, struct gw_jv v, struct gw_jv text) {
    struct gw_jspec spec;
    if (text.len == 0) {
        gw_j_put_str(b, v);
        return !b->rt->failed;
    }
    if (!parse_spec(b->rt, text, &spec)) return false;
    if (v.type == GW_J_STR) {
        if (spec.type != 0 && spec.type != 's') return bad_code(b, v, spec.type);
        if (spec.sign != 0 || spec.group != 0 || spec.alt || spec.align == '=')
            return gw_j_raise(b->rt, "a format specifier that strings do not take");
        return gw_j_put_text(b, v, &spec);
    }
    if (!gw_jv_is_number(v))
        return gw_j_raise(b->rt, "unsupported format string passed to %s.__format__",
                          gw_j_type_name(v));
    bool as_float = spec.type != 0 && strchr("eEfFgG%", spec.type) != NULL;
    if (v.type == GW_J_FLOAT || as_float) {
        if (!as_float && spec.type != 0 && spec.type != 'n') return bad_code(b, v, spec.type);
        return gw_j_put_float(b, gw_jv_to_double(v), &spec);
    }
    if (spec.type != 0 && strchr("bcdoxXn", spec.type) == NULL) return bad_code(b, v, spec.type);
    if (spec.precision >= 0)
        return gw_j_raise(b->rt, "Precision not allowed in integer format specifier");
    return gw_j_put_int(b, gw_jv_to_int(v), &spec);
}

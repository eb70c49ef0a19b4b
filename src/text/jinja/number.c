/* number.c - numbers as Python writes and reads them. */
#include "text/jinja/text.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The fewest digits that read back as the same double, in Python's layout: an exponent when it
 * is below -4 or at least 16. */
void gw_j_float_repr(double v, char buf[32]) {
    if (!isfinite(v)) {
        snprintf(buf, 32, "%s", isnan(v) ? "nan" : v < 0 ? "-inf" : "inf");
        return;
    }
    char digits[40];
    int precision = 0;
    do {
        snprintf(digits, sizeof digits, "%.*e", precision, v);
    } while (strtod(digits, NULL) != v && ++precision < 17);
    char *e = strchr(digits, 'e');
    int exponent = (int)strtol(e + 1, NULL, 10);
    if (exponent < -4 || exponent >= 16) {
        /* Python writes at least two digits of the exponent, as C does. */
        snprintf(buf, 32, "%.*e", precision, v);
        return;
    }
    int decimals = precision - exponent;
    snprintf(buf, 32, decimals > 0 ? "%.*f" : "%.*f.0", decimals > 0 ? decimals : 0, v);
}

/* Narrows s to what lies between white space. */
static void trim(const char **s, size_t *len) {
    size_t from = 0, to = *len;
    gw_j_strip(*s, &from, &to, true, true);
    *s += from;
    *len = to - from;
}

static int digit_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'z') return c - 'a' + 10;
    if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
    return 99;
}

/* Takes off "0x", "0o" or "0b" where the base allows it; base 0 is decided by it. */
static bool take_prefix(const char *s, size_t len, size_t *i, unsigned *base) {
    unsigned found = 0;
    if (len >= *i + 2 && s[*i] == '0') {
        int c = tolower((unsigned char)s[*i + 1]);
        found = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
    }
    if (found != 0 && (*base == 0 || *base == found)) {
        *i += 2;
        *base = found;
        if (*i < len && s[*i] == '_') *i += 1;
        return true;
    }
    if (*base != 0) return false;
    *base = 10;
    return false;
}

enum gw_jparsed gw_j_parse_int(const char *s, size_t len, unsigned base, int64_t *out) {
    trim(&s, &len);
    size_t i = 0;
    bool negative = len > 0 && s[0] == '-';
    if (len > 0 && (s[0] == '-' || s[0] == '+')) i = 1;
    bool plain_zero = base == 0;
    if (take_prefix(s, len, &i, &base)) plain_zero = false;
    if (i >= len) return GW_J_NOT_A_NUMBER;
    /* With base 0 a decimal number may not begin with 0, unless it is zero. */
    plain_zero = plain_zero && s[i] == '0';
    uint64_t v = 0;
    bool large = false, digit_before = false;
    for (; i < len; i++) {
        if (s[i] == '_' && digit_before && i + 1 < len) {
            digit_before = false;
            continue;
        }
        int d = digit_value(s[i]);
        if (d >= (int)base) return GW_J_NOT_A_NUMBER;
        digit_before = true;
        large = large || __builtin_mul_overflow(v, (uint64_t)base, &v) ||
                __builtin_add_overflow(v, (uint64_t)d, &v);
    }
    if (!digit_before || (plain_zero && (large || v != 0))) return GW_J_NOT_A_NUMBER;
    if (large || v > (uint64_t)INT64_MAX + (negative ? 1 : 0)) return GW_J_TOO_LARGE;
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return GW_J_PARSED;
}

/* Whether s is [sign] digits [. digits] [e [sign] digits], underscores between digits only. */
static bool looks_like_float(const char *s, size_t len) {
    size_t i = 0, digits = 0;
    if (i < len && (s[i] == '-' || s[i] == '+')) i++;
    bool dot = false, exponent = false;
    for (; i < len; i++) {
        char c = s[i];
        if (c >= '0' && c <= '9') {
            digits++;
        } else if (c == '_') {
            if (i == 0 || i + 1 >= len || !isdigit((unsigned char)s[i - 1]) ||
                !isdigit((unsigned char)s[i + 1]))
                return false;
        } else if (c == '.' && !dot && !exponent) {
            dot = true;
        } else if ((c == 'e' || c == 'E') && !exponent && digits > 0) {
            exponent = true;
            digits = 0;
            if (i + 1 < len && (s[i + 1] == '-' || s[i + 1] == '+')) i++;
        } else {
            return false;
        }
    }
    return digits > 0;
}

static bool is_word(const char *s, size_t len, const char *word) {
    if (strlen(word) != len) return false;
    for (size_t i = 0; i < len; i++)
        if (tolower((unsigned char)s[i]) != word[i]) return false;
    return true;
}

enum gw_jparsed gw_j_parse_float(const char *s, size_t len, double *out) {
    trim(&s, &len);
    size_t sign = len > 0 && (s[0] == '-' || s[0] == '+');
    const char *rest = s + sign;
    size_t n = len - sign;
    if (is_word(rest, n, "inf") || is_word(rest, n, "infinity")) {
        *out = s[0] == '-' ? -INFINITY : INFINITY;
        return GW_J_PARSED;
    }
    if (is_word(rest, n, "nan")) {
        *out = NAN;
        return GW_J_PARSED;
    }
    if (!looks_like_float(s, len)) return GW_J_NOT_A_NUMBER;
    /* strtod needs a terminated copy without underscores; digits that do not fit here are of
     * numbers that nobody writes. */
    char copy[512];
    size_t k = 0;
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '_') continue;
        if (k + 1 >= sizeof copy) return GW_J_TOO_LARGE;
        copy[k++] = s[i];
    }
    copy[k] = '\0';
    *out = strtod(copy, NULL);
    return GW_J_PARSED;
}

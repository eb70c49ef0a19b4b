/* parse.c - see parse.h. */
#include "base/parse.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool gw_parse_u64(const char *text, uint64_t *out) {
    uint64_t value = 0;
    if (*text == '\0') return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9') return false;
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

bool gw_parse_real(const char *text, double *out) {
    char *end;
    if (strspn(text, "0123456789+-.eE") != strlen(text)) return false;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*out);
}

bool gw_parse_flag(const char *text, bool *out) {
    *out = strcmp(text, "true") == 0;
    return *out || strcmp(text, "false") == 0;
}

int gw_parse_choice(const char *words, const char *text) {
    size_t len = strlen(text);
    for (int i = 0;; i++) {
        size_t n = strcspn(words, "|");
        if (n == len && memcmp(words, text, n) == 0) return i;
        if (words[n] == '\0') return -1;
        words += n + 1;
    }
}

/* --- nearness of names ---------------------------------------------------------------------- */

enum { MAX_NAME = 63 };

static bool same(char a, char b) { return (a == '-' ? '_' : a) == (b == '-' ? '_' : b); }

/* Damerau and Levenshtein, row by row: d[i % 3][k] is the distance of a[0..i) and b[0..k). */
size_t gw_edit_distance(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b), d[3][MAX_NAME + 1];
    if (n > MAX_NAME || m > MAX_NAME) return SIZE_MAX;
    for (size_t k = 0; k <= m; k++) d[0][k] = k;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = d[i % 3], *before = d[(i + 2) % 3], *two_before = d[(i + 1) % 3];
        now[0] = i;
        for (size_t k = 1; k <= m; k++) {
            size_t best = before[k - 1] + !same(a[i - 1], b[k - 1]);
            best = GW_MIN(best, GW_MIN(before[k], now[k - 1]) + 1);
            if (i > 1 && k > 1 && same(a[i - 1], b[k - 2]) && same(a[i - 2], b[k - 1]))
                best = GW_MIN(best, two_before[k - 2] + 1);
            now[k] = best;
        }
    }
    return d[n % 3][m];
}

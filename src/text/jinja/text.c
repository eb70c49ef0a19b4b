/* text.c - see text.h.  Categories and simple case mappings are utf8proc's; the full mappings
 * come from casing.c, the final sigma and the properties that utf8proc lacks from here. */
#include "text/jinja/text.h"

#include "text/jinja/casing.h"
#include "text/jinja/runtime.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

size_t gw_j_decode(const char *s, uint32_t *cp) {
    const unsigned char *u = (const unsigned char *)s;
    if (u[0] < 0x80) {
        *cp = u[0];
        return 1;
    }
    if (u[0] < 0xE0) {
        *cp = (u[0] & 0x1Fu) << 6 | (u[1] & 0x3Fu);
        return 2;
    }
    if (u[0] < 0xF0) {
        *cp = (u[0] & 0x0Fu) << 12 | (u[1] & 0x3Fu) << 6 | (u[2] & 0x3Fu);
        return 3;
    }
    *cp = (u[0] & 7u) << 18 | (u[1] & 0x3Fu) << 12 | (u[2] & 0x3Fu) << 6 | (u[3] & 0x3Fu);
    return 4;
}

size_t gw_j_encode(uint32_t cp, char out[4]) {
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 63));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 63));
        out[2] = (char)(0x80 | (cp & 63));
        return 3;
    }
    out[0] = (char)(0xF0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 63));
    out[2] = (char)(0x80 | (cp >> 6 & 63));
    out[3] = (char)(0x80 | (cp & 63));
    return 4;
}

static bool is_continuation(char c) { return ((unsigned char)c & 0xC0) == 0x80; }

size_t gw_j_decode_back(const char *s, size_t end, uint32_t *cp) {
    size_t at = end - 1;
    while (at > 0 && is_continuation(s[at])) at--;
    gw_j_decode(s + at, cp);
    return end - at;
}

size_t gw_j_cp_count(const char *s, size_t len) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++) n += !is_continuation(s[i]);
    return n;
}

size_t gw_j_cp_offset(const char *s, size_t len, size_t index) {
    for (size_t i = 0; i < len; i++) {
        if (is_continuation(s[i])) continue;
        if (index-- == 0) return i;
    }
    return len;
}

/* --- classes -------------------------------------------------------------------------------- */

bool gw_j_is_space(uint32_t c) {
    if (c < 0x80) return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20);
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
           c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool gw_j_is_line_break(uint32_t c) {
    return (c >= 10 && c <= 13) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
           c == 0x2029;
}

static utf8proc_category_t category(uint32_t cp) { return utf8proc_category((utf8proc_int32_t)cp); }

bool gw_j_is_alpha(uint32_t cp) {
    utf8proc_category_t c = category(cp);
    return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}

bool gw_j_is_decimal(uint32_t cp) { return category(cp) == UTF8PROC_CATEGORY_ND; }

struct range {
    uint32_t from, to;
};

static bool in_ranges(uint32_t cp, const struct range *r, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (cp >= r[i].from && cp <= r[i].to) return true;
    return false;
}

bool gw_j_is_digit(uint32_t cp) {
    /* Numeric_Type=Digit: superscripts, subscripts, circled and the like. */
    static const struct range other[] = {
        {0xB2, 0xB3},       {0xB9, 0xB9},       {0x1369, 0x1371},   {0x19DA, 0x19DA},
        {0x2070, 0x2070},   {0x2074, 0x2079},   {0x2080, 0x2089},   {0x2460, 0x2468},
        {0x2474, 0x247C},   {0x2488, 0x2490},   {0x24EA, 0x24EA},   {0x24F5, 0x24FD},
        {0x24FF, 0x24FF},   {0x2776, 0x277E},   {0x2780, 0x2788},   {0x278A, 0x2792},
        {0x10A40, 0x10A43}, {0x10E60, 0x10E68}, {0x11052, 0x1105A}, {0x1F100, 0x1F10A}};
    return gw_j_is_decimal(cp) || in_ranges(cp, other, GW_ARRAY_LEN(other));
}

bool gw_j_is_numeric(uint32_t cp) {
    static const uint32_t han[] = {0x3007, 0x4E00, 0x4E03, 0x4E07, 0x4E09, 0x4E8C, 0x4E94,
                                   0x4EBF, 0x4E5D, 0x516B, 0x516D, 0x5104, 0x5146, 0x5341,
                                   0x5343, 0x56DB, 0x767E, 0x842C, 0x96F6};
    utf8proc_category_t c = category(cp);
    if (c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_NO)
        return true;
    for (size_t i = 0; i < GW_ARRAY_LEN(han); i++)
        if (cp == han[i]) return true;
    return false;
}

bool gw_j_is_alnum(uint32_t cp) { return gw_j_is_alpha(cp) || gw_j_is_numeric(cp); }

bool gw_j_is_lower(uint32_t cp) {
    /* Other_Lowercase */
    static const struct range other[] = {
        {0xAA, 0xAA},     {0xBA, 0xBA},     {0x2B0, 0x2B8},   {0x2C0, 0x2C1},   {0x2E0, 0x2E4},
        {0x345, 0x345},   {0x37A, 0x37A},   {0x1D2C, 0x1D6A}, {0x1D78, 0x1D78}, {0x1D9B, 0x1DBF},
        {0x2071, 0x2071}, {0x207F, 0x207F}, {0x2090, 0x209C}, {0x2170, 0x217F}, {0x24D0, 0x24E9},
        {0x2C7C, 0x2C7D}, {0xA69C, 0xA69D}, {0xA770, 0xA770}, {0xA7F8, 0xA7F9}, {0xAB5C, 0xAB5F}};
    return category(cp) == UTF8PROC_CATEGORY_LL ||
           (cp >= 0x80 && in_ranges(cp, other, GW_ARRAY_LEN(other)));
}

bool gw_j_is_upper(uint32_t cp) {
    static const struct range other[] = {{0x2160, 0x216F},
                                         {0x24B6, 0x24CF},
                                         {0x1F130, 0x1F149},
                                         {0x1F150, 0x1F169},
                                         {0x1F170, 0x1F189}};
    return category(cp) == UTF8PROC_CATEGORY_LU ||
           (cp >= 0x80 && in_ranges(cp, other, GW_ARRAY_LEN(other)));
}

bool gw_j_is_title(uint32_t cp) { return category(cp) == UTF8PROC_CATEGORY_LT; }

bool gw_j_is_printable(uint32_t cp) {
    if (cp < 0x7F) return cp >= 0x20;
    switch (category(cp)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return false;
    default: return true;
    }
}

bool gw_j_is_name_char(uint32_t cp, bool first) {
    if (cp < 0x80)
        return (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z') || cp == '_' ||
               (!first && cp >= '0' && cp <= '9');
    switch (category(cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_NL: return true;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_PC: return !first;
    default: return false;
    }
}

/* --- case ----------------------------------------------------------------------------------- */

static bool is_cased(uint32_t cp) {
    return gw_j_is_lower(cp) || gw_j_is_upper(cp) || gw_j_is_title(cp);
}

/* Case_Ignorable: skipped when looking whether a sigma ends a word. */
static bool is_case_ignorable(uint32_t cp) {
    switch (cp) {
    case '\'':
    case '.':
    case ':':
    case 0xB7:
    case 0x387:
    case 0x55F:
    case 0x5F4:
    case 0x2018:
    case 0x2019:
    case 0x2024:
    case 0x2027:
    case 0xFE13:
    case 0xFE52:
    case 0xFE55:
    case 0xFF07:
    case 0xFF0E:
    case 0xFF1A: return true;
    default: break;
    }
    switch (category(cp)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK: return true;
    default: return false;
    }
}

/* Whether the capital sigma at s[at] ends a word: a cased letter before, none after, ignorable
 * ones between. */
static bool is_final_sigma(const char *s, size_t len, size_t at) {
    uint32_t cp;
    size_t i = at;
    bool before = false;
    while (i > 0) {
        i -= gw_j_decode_back(s, i, &cp);
        if (is_case_ignorable(cp)) continue;
        before = is_cased(cp);
        break;
    }
    if (!before) return false;
    for (i = at + 2; i < len;) {
        i += gw_j_decode(s + i, &cp);
        if (!is_case_ignorable(cp)) return !is_cased(cp);
    }
    return true;
}

static int compare_special(const void *key, const void *row) {
    uint32_t cp = *(const uint32_t *)key, at = ((const struct gw_j_special_case *)row)->cp;
    return cp < at ? -1 : cp > at;
}

static void put_upper(struct gw_jbuf *b, uint32_t cp, bool title) {
    const struct gw_j_special_case *special =
        cp < 0x80 ? NULL
                  : bsearch(&cp, gw_j_special_cases, gw_j_n_special_cases,
                            sizeof gw_j_special_cases[0], compare_special);
    if (special == NULL) {
        utf8proc_int32_t c = (utf8proc_int32_t)cp;
        gw_j_put_cp(b, (uint32_t)(title ? utf8proc_totitle(c) : utf8proc_toupper(c)));
        return;
    }
    const uint32_t *to = title ? special->title : special->upper;
    for (int i = 0; i < 3 && to[i] != 0; i++) gw_j_put_cp(b, to[i]);
}

/* Lower case of the code point cp at s[at]. */
static void put_lower(struct gw_jbuf *b, const char *s, size_t len, size_t at, uint32_t cp) {
    if (cp == 0x3A3) {
        gw_j_put_cp(b, is_final_sigma(s, len, at) ? 0x3C2 : 0x3C3);
    } else if (cp == 0x130) {
        gw_j_put(b, "i\xCC\x87", 3);
    } else {
        gw_j_put_cp(b, (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp));
    }
}

static void put_folded(struct gw_jbuf *b, uint32_t cp) {
    utf8proc_int32_t folded[8];
    int last = 0;
    utf8proc_ssize_t n =
        utf8proc_decompose_char((utf8proc_int32_t)cp, folded, 8, UTF8PROC_CASEFOLD, &last);
    if (n < 1 || n > 8) {
        gw_j_put_cp(b, cp);
        return;
    }
    for (utf8proc_ssize_t i = 0; i < n; i++) gw_j_put_cp(b, (uint32_t)folded[i]);
}

void gw_j_put_case(struct gw_jbuf *b, const char *s, size_t len, enum gw_jcase how) {
    bool after_cased = false;
    uint32_t cp;
    for (size_t i = 0, n; i < len && !b->rt->failed; i += n) {
        n = gw_j_decode(s + i, &cp);
        bool cased = how == GW_J_TITLE && is_cased(cp);
        bool upper = how == GW_J_UPPER || (how == GW_J_CAPITALIZE && i == 0) ||
                     (how == GW_J_TITLE && !after_cased) || (how == GW_J_SWAP && gw_j_is_lower(cp));
        bool lower = how == GW_J_LOWER || how == GW_J_CAPITALIZE ||
                     (how == GW_J_TITLE && after_cased) || (how == GW_J_SWAP && gw_j_is_upper(cp));
        if (how == GW_J_FOLD)
            put_folded(b, cp);
        else if (upper)
            put_upper(b, cp, how == GW_J_TITLE || how == GW_J_CAPITALIZE);
        else if (lower)
            put_lower(b, s, len, i, cp);
        else
            gw_j_put_cp(b, cp);
        after_cased = cased;
    }
}

/* --- stripping and finding ------------------------------------------------------------------ */

void gw_j_strip(const char *s, size_t *from, size_t *to, bool left, bool right) {
    uint32_t cp;
    while (left && *from < *to) {
        size_t n = gw_j_decode(s + *from, &cp);
        if (!gw_j_is_space(cp)) break;
        *from += n;
    }
    while (right && *from < *to) {
        size_t n = gw_j_decode_back(s, *to, &cp);
        if (!gw_j_is_space(cp)) break;
        *to -= n;
    }
}

/* Whether the code point s[0..n) is one of chars. */
static bool is_among(const char *s, size_t n, const char *chars, size_t n_chars) {
    if (n == 1) return memchr(chars, s[0], n_chars) != NULL;
    return memmem(chars, n_chars, s, n) != NULL;
}

bool gw_j_strip_chars(struct gw_jrt *rt, const char *s, size_t *from, size_t *to, const char *chars,
                      size_t n_chars, bool left, bool right) {
    uint32_t cp;
    while (left && *from < *to) {
        if (!gw_j_steps(rt, 1 + n_chars / 16)) return false;
        size_t n = gw_j_decode(s + *from, &cp);
        if (!is_among(s + *from, n, chars, n_chars)) break;
        *from += n;
    }
    while (right && *from < *to) {
        if (!gw_j_steps(rt, 1 + n_chars / 16)) return false;
        size_t n = gw_j_decode_back(s, *to, &cp);
        if (!is_among(s + *to - n, n, chars, n_chars)) break;
        *to -= n;
    }
    return true;
}

size_t gw_j_find(struct gw_jrt *rt, const char *s, size_t from, size_t to, const char *needle,
                 size_t n, bool last) {
    if (from > to || n > to - from) return SIZE_MAX;
    if (n == 0) return last ? to : from;
    const char *p = NULL;
    if (!last) {
        p = memmem(s + from, to - from, needle, n);
        size_t passed = p != NULL ? (size_t)(p - s) - from : to - from;
        if (!gw_j_scan(rt, passed)) return SIZE_MAX;
        return p != NULL ? (size_t)(p - s) : SIZE_MAX;
    }
    uint64_t cost = 0;
    size_t at = to - n + 1;
    while (p == NULL && at > from) {
        at--;
        cost++;
        if (s[at] != needle[0] || s[at + n - 1] != needle[n - 1]) continue;
        cost += n;
        if (memcmp(s + at, needle, n) == 0) p = s + at;
        if (cost < 4096) continue;
        if (!gw_j_steps(rt, cost / 16)) return SIZE_MAX;
        cost = 0;
    }
    if (!gw_j_steps(rt, cost / 16)) return SIZE_MAX;
    return p != NULL ? at : SIZE_MAX;
}

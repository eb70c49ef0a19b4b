/* unicode.c - characters as the tokenizers library sees them (see unicode.h).
 *
 * PCRE2 and utf8proc know Unicode 14 on Debian 12.  The library's regular expressions know 16, its
 * lower-casing and numbers 17, its normalization 9.  The generated tables hold the differences;
 * they only add to (or take from) what the installed libraries say, so that newer ones, which
 * already know these characters, give the same result. */
#include "text/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utf8proc.h>

struct range {
    uint32_t first, last;
};
struct new_range {
    uint32_t first, last;
    char category[3];
    bool alphabetic;
};
struct script_range {
    uint32_t first, last;
    const char *script;
};
struct lower_range {
    uint32_t first, last;
    int32_t delta;
};

#include "text/tokenizer/unicode_tables.h"

static const char *const scripts[] = {"Arabic",     "Armenian",  "Bengali",  "Bopomofo", "Cyrillic",
                                      "Devanagari", "Ethiopic",  "Georgian", "Greek",    "Gujarati",
                                      "Gurmukhi",   "Han",       "Hangul",   "Hebrew",   "Hiragana",
                                      "Kannada",    "Katakana",  "Khmer",    "Lao",      "Latin",
                                      "Malayalam",  "Mongolian", "Myanmar",  "Oriya",    "Sinhala",
                                      "Tamil",      "Telugu",    "Thaana",   "Thai",     "Tibetan"};

static bool in_ranges(const struct range *r, size_t n, uint32_t c) {
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (c > r[mid].last)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && c >= r[lo].first;
}

/* The category letter pair of a character assigned after Unicode 14, NULL for others. */
static const char *new_category(uint32_t c) {
    size_t lo = 0, hi = GW_ARRAY_LEN(new_ranges);
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (c > new_ranges[mid].last)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < GW_ARRAY_LEN(new_ranges) && c >= new_ranges[lo].first ? new_ranges[lo].category
                                                                      : NULL;
}

/* --- properties ----------------------------------------------------------------------------- */

bool gw_uni_is_space(uint32_t c) {
    if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
           c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool gw_uni_is_numeric(uint32_t c) {
    if (c < 0x80) return c >= '0' && c <= '9';
    const char *category = new_category(c);
    if (category != NULL) return category[0] == 'N';
    if (in_ranges(newer_numeric, GW_ARRAY_LEN(newer_numeric), c)) return true;
    utf8proc_category_t known = utf8proc_category((utf8proc_int32_t)c);
    return known == UTF8PROC_CATEGORY_ND || known == UTF8PROC_CATEGORY_NL ||
           known == UTF8PROC_CATEGORY_NO;
}

static const struct lower_range *find_lower(uint32_t c) {
    for (size_t i = 0; i < GW_ARRAY_LEN(lower_ranges); i++)
        if (c >= lower_ranges[i].first && c <= lower_ranges[i].last) return &lower_ranges[i];
    return NULL;
}

bool gw_uni_is_cased(uint32_t c) {
    utf8proc_int32_t cp = (utf8proc_int32_t)c;
    return utf8proc_tolower(cp) != cp || utf8proc_toupper(cp) != cp || utf8proc_totitle(cp) != cp ||
           find_lower(c) != NULL;
}

void gw_uni_put_lower(struct gw_str *s, uint32_t c) {
    if (c < 0x80) {
        gw_str_putc(s, (char)(c >= 'A' && c <= 'Z' ? c + 32 : c));
        return;
    }
    if (c == 0x130) { /* the one character whose lower case is two */
        gw_str_puts(s, "i\xCC\x87");
        return;
    }
    const struct lower_range *r = c >= 0x1C89 ? find_lower(c) : NULL;
    if (r != NULL)
        c = (uint32_t)((int32_t)c + r->delta);
    else
        c = (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
    gw_str_put_utf8(s, c);
}

/* --- members of character classes ----------------------------------------------------------- */

static void put_range(struct gw_str *s, uint32_t first, uint32_t last) {
    gw_str_printf(s, "\\x{%x}", (unsigned)first);
    if (last != first) gw_str_printf(s, "-\\x{%x}", (unsigned)last);
}

void gw_uni_put_new(struct gw_str *s, const char *category) {
    bool alphabetic = strcmp(category, "Alphabetic") == 0;
    struct range open = {1, 0};
    for (size_t i = 0; i < GW_ARRAY_LEN(new_ranges); i++) {
        const struct new_range *r = &new_ranges[i];
        bool take =
            alphabetic ? r->alphabetic : strncmp(r->category, category, strlen(category)) == 0;
        if (!take) continue;
        if (open.first <= open.last && r->first == open.last + 1) {
            open.last = r->last;
            continue;
        }
        if (open.first <= open.last) put_range(s, open.first, open.last);
        open = (struct range){r->first, r->last};
    }
    if (open.first <= open.last) put_range(s, open.first, open.last);
}

const char *gw_uni_script(const char *name, size_t len) {
    for (size_t i = 0; i < GW_ARRAY_LEN(scripts); i++)
        if (strlen(scripts[i]) == len && strncasecmp(scripts[i], name, len) == 0) return scripts[i];
    return NULL;
}

bool gw_uni_put_new_script(struct gw_str *s, const char *script) {
    if (gw_uni_script(script, strlen(script)) == NULL) return false;
    for (size_t i = 0; i < GW_ARRAY_LEN(script_ranges); i++)
        if (strcmp(script_ranges[i].script, script) == 0)
            put_range(s, script_ranges[i].first, script_ranges[i].last);
    return true;
}

/* --- normalization -------------------------------------------------------------------------- */

/* A growing array of code points with their combining classes. */
struct points {
    struct point {
        int32_t c;
        int32_t ccc;
    } * v, *spare; /* spare: as large, for sorting */
    size_t n, cap;
};

static void points_free(struct points *p) {
    free(p->v);
    free(p->spare);
}

static bool points_reserve(struct points *p, size_t extra) {
    if (extra <= p->cap - p->n) return true;
    size_t cap = p->cap * 2 + extra + 64;
    struct point *v = realloc(p->v, cap * sizeof *v);
    if (v == NULL) return false;
    p->v = v;
    struct point *spare = realloc(p->spare, cap * sizeof *spare);
    if (spare == NULL) return false;
    p->spare = spare;
    p->cap = cap;
    return true;
}

static bool is_inert(uint32_t c) {
    return c >= 0x558 && in_ranges(inert_ranges, GW_ARRAY_LEN(inert_ranges), c);
}

/* Appends the full decomposition of c. */
static bool decompose(struct points *p, uint32_t c, bool compatibility) {
    if (!points_reserve(p, 32)) return false;
    if (c < 0xA0 || is_inert(c)) {
        p->v[p->n++] = (struct point){(int32_t)c, 0};
        return true;
    }
    utf8proc_int32_t buf[32];
    int boundclass = 0;
    utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    if (compatibility) options |= UTF8PROC_COMPAT;
    utf8proc_ssize_t n =
        utf8proc_decompose_char((utf8proc_int32_t)c, buf, GW_ARRAY_LEN(buf), options, &boundclass);
    if (n < 0 || n > (utf8proc_ssize_t)GW_ARRAY_LEN(buf)) { /* 18 is the longest there is */
        buf[0] = (utf8proc_int32_t)c;
        n = 1;
    }
    for (utf8proc_ssize_t i = 0; i < n; i++)
        p->v[p->n++] = (struct point){buf[i], utf8proc_get_property(buf[i])->combining_class};
    return true;
}

/* Stable merge sort of v[0..n) by combining class: runs of marks may be as long as the text. */
static void sort_marks(struct point *v, struct point *spare, size_t n) {
    if (n < 2) return;
    size_t half = n / 2;
    sort_marks(v, spare, half);
    sort_marks(v + half, spare, n - half);
    if (v[half - 1].ccc <= v[half].ccc) return;
    memcpy(spare, v, half * sizeof *v);
    size_t a = 0, b = half, at = 0;
    while (a < half && b < n) v[at++] = v[b].ccc < spare[a].ccc ? v[b++] : spare[a++];
    memcpy(v + at, spare + a, (half - a) * sizeof *v);
}

/* Canonical ordering: every run of characters with a non-zero class is sorted by class. */
static void reorder(struct points *p) {
    for (size_t i = 0; i < p->n;) {
        if (p->v[i].ccc == 0) {
            i++;
            continue;
        }
        size_t j = i;
        while (j < p->n && p->v[j].ccc != 0) j++;
        sort_marks(p->v + i, p->spare, j - i);
        i = j;
    }
}

/* Hangul syllables are arithmetic; utf8proc (2.8) also drops U+11A7, which is no final. */
static int32_t compose_hangul(int32_t a, int32_t b) {
    if (a >= 0x1100 && a < 0x1113 && b >= 0x1161 && b < 0x1176)
        return 0xAC00 + ((a - 0x1100) * 21 + (b - 0x1161)) * 28;
    bool open = a >= 0xAC00 && a < 0xD7A4 && (a - 0xAC00) % 28 == 0;
    return open && b > 0x11A7 && b < 0x11C3 ? a + (b - 0x11A7) : -1;
}

/* The primary composite of a and b, or -1. */
static int32_t compose_pair(int32_t a, int32_t b) {
    if (b >= 0x1161 && b < 0x11C3) return compose_hangul(a, b);
    utf8proc_int32_t pair[2] = {a, b};
    utf8proc_ssize_t n = utf8proc_normalize_utf32(pair, 2, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    return n == 1 && !is_inert((uint32_t)pair[0]) ? pair[0] : -1;
}

static void compose(struct points *p) {
    size_t at = 0, starter = SIZE_MAX;
    int32_t last_ccc = -1; /* of what was kept after the starter */
    for (size_t i = 0; i < p->n; i++) {
        struct point c = p->v[i];
        if (starter != SIZE_MAX && c.ccc > last_ccc && c.c >= 0x300) {
            int32_t both = compose_pair(p->v[starter].c, c.c);
            if (both >= 0) {
                p->v[starter].c = both;
                continue;
            }
        }
        if (c.ccc == 0) {
            starter = at;
            last_ccc = -1;
        } else {
            last_ccc = c.ccc;
        }
        p->v[at++] = c;
    }
    p->n = at;
}

static bool flush(struct points *p, enum gw_uni_form form, struct gw_str *out) {
    reorder(p);
    if (form == GW_NFC || form == GW_NFKC) compose(p);
    for (size_t i = 0; i < p->n; i++) gw_str_put_utf8(out, (uint32_t)p->v[i].c);
    p->n = 0;
    return !out->failed;
}

/* Characters that normalization leaves alone and that compose with nothing before them. */
static bool is_plain(enum gw_uni_form form, uint32_t c) {
    if (c < 0xA0) return true;
    switch (form) {
    case GW_NFC:
        return c < 0x300 || (c >= 0x370 && c < 0x374) || (c >= 0x400 && c < 0x483) ||
               (c >= 0x3041 && c <= 0x3096) || (c >= 0x30A0 && c <= 0x30FF) ||
               (c >= 0x3400 && c <= 0x9FFF) || (c >= 0xAC00 && c <= 0xD7A3);
    case GW_NFD:
    case GW_NFKC:
    case GW_NFKD: return c >= 0x3400 && c <= 0x9FFF;
    }
    return false;
}

bool gw_uni_normalize(enum gw_uni_form form, const char *text, size_t len, struct gw_str *out) {
    struct points p = {0};
    bool compatibility = form == GW_NFKC || form == GW_NFKD;
    size_t pos = 0, plain = 0; /* text[plain..pos) is plain and not yet copied */
    size_t last = 0;           /* start of the last plain character */
    bool ok = true;
    while (ok && pos < len) {
        uint32_t c;
        bool valid;
        size_t n = gw_utf8_next(text + pos, len - pos, &c, &valid);
        if (is_plain(form, c)) {
            last = pos;
            pos += n;
            continue;
        }
        /* The plain character before may compose with what follows: it goes along. */
        if (pos > plain) {
            gw_str_put(out, text + plain, last - plain);
            pos = last;
            n = gw_utf8_next(text + pos, len - pos, &c, &valid);
        }
        do {
            ok = decompose(&p, c, compatibility);
            pos += n;
            if (pos >= len) break;
            n = gw_utf8_next(text + pos, len - pos, &c, &valid);
        } while (ok && !is_plain(form, c));
        ok = ok && flush(&p, form, out);
        plain = last = pos;
    }
    if (ok && pos > plain) gw_str_put(out, text + plain, pos - plain);
    points_free(&p);
    return ok && !out->failed;
}

/* regex_class.c - one-character parts of Oniguruma patterns (see the header).
 *
 * Differences between the dialects that are dealt with here: \h is a hexadecimal digit, \v the
 * vertical tab; \s, \w and \d have the library's members, not PCRE2's (whose \s takes U+180E);
 * properties get the characters that PCRE2's Unicode lacks; \p{Han} is the script, not its
 * extensions; classes nest and intersect with &&. */
#include "text/tokenizer/regex_class.h"

#include "text/tokenizer/regex.h"
#include "text/tokenizer/unicode.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { GW_REGEX_MAX_NESTED = 8 };

#define SPACES                                                                                     \
    "\\t-\\r\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"       \
    "\\x{3000}"

/* Alphabetic, with the marks that became so with Unicode 16. */
#define ALPHABETIC                                                                                 \
    "\\p{Alphabetic}\\x{363}-\\x{36f}\\x{c04}\\x{f82}\\x{f83}\\x{1dd3}-\\x{1de6}"                  \
    "\\x{11080}\\x{11081}"

enum gwen_status gw_regex_refuse(const struct gw_regex_src *s, size_t at, const char *fmt, ...) {
    char message[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    return gw_fail(s->err, GWEN_ERR_UNSUPPORTED, "%s: regular expression, byte %zu: %s", s->where,
                   at, message);
}

/* --- sets ----------------------------------------------------------------------------------- */

void gw_regex_set_free(struct gw_regex_set *set) {
    gw_str_free(&set->members);
    gw_str_free(&set->others);
}

void gw_regex_put_set(struct gw_str *out, const struct gw_regex_set *set, bool negated) {
    if (set->others.len == 0) {
        gw_str_puts(out, negated ? "[^" : "[");
        gw_str_put(out, set->members.data, set->members.len);
        gw_str_putc(out, ']');
        return;
    }
    gw_str_puts(out, negated ? "(?:(?!" : "(?:");
    if (set->members.len > 0) gw_str_printf(out, "[%s]|", set->members.data);
    gw_str_put(out, set->others.data, set->others.len);
    gw_str_puts(out, negated ? ")(?s:.))" : ")");
}

static void put_other(struct gw_regex_set *set, const char *expression) {
    if (set->others.len > 0) gw_str_putc(&set->others, '|');
    gw_str_puts(&set->others, expression);
}

static void put_char(struct gw_str *members, uint32_t c) {
    gw_str_printf(members, "\\x{%x}", (unsigned)c);
}

void gw_regex_put_word(struct gw_str *members, bool in_class) {
    /* Outside classes Oniguruma asks its table of Latin-1, where fractions and superscripts are
     * part of words. */
    gw_str_puts(members, "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}");
    if (!in_class) gw_str_puts(members, "\\xb2\\xb3\\xb9\\xbc-\\xbe");
    gw_uni_put_new(members, "Alphabetic");
    gw_uni_put_new(members, "M");
    gw_uni_put_new(members, "Nd");
}

/* --- properties ----------------------------------------------------------------------------- */

/* General categories and what else can be had by members alone. */
static const struct property {
    const char *name, *members, *category;
} properties[] = {
    {"l", "\\p{L}", "L"},
    {"letter", "\\p{L}", "L"},
    {"lu", "\\p{Lu}", "Lu"},
    {"uppercaseletter", "\\p{Lu}", "Lu"},
    {"ll", "\\p{Ll}", "Ll"},
    {"lowercaseletter", "\\p{Ll}", "Ll"},
    {"lt", "\\p{Lt}", "Lt"},
    {"titlecaseletter", "\\p{Lt}", "Lt"},
    {"lm", "\\p{Lm}", "Lm"},
    {"modifierletter", "\\p{Lm}", "Lm"},
    {"lo", "\\p{Lo}", "Lo"},
    {"otherletter", "\\p{Lo}", "Lo"},
    {"m", "\\p{M}", "M"},
    {"mark", "\\p{M}", "M"},
    {"mc", "\\p{Mc}\\x{1171e}", "Mc"},
    {"spacingmark", "\\p{Mc}\\x{1171e}", "Mc"},
    {"me", "\\p{Me}", "Me"},
    {"enclosingmark", "\\p{Me}", "Me"},
    {"n", "\\p{N}", "N"},
    {"number", "\\p{N}", "N"},
    {"nd", "\\p{Nd}", "Nd"},
    {"decimalnumber", "\\p{Nd}", "Nd"},
    {"digit", "\\p{Nd}", "Nd"},
    {"nl", "\\p{Nl}", "Nl"},
    {"letternumber", "\\p{Nl}", "Nl"},
    {"no", "\\p{No}", "No"},
    {"othernumber", "\\p{No}", "No"},
    {"p", "\\p{P}", "P"},
    {"punctuation", "\\p{P}", "P"},
    {"punct", "\\p{P}", "P"},
    {"pc", "\\p{Pc}", "Pc"},
    {"connectorpunctuation", "\\p{Pc}", "Pc"},
    {"pd", "\\p{Pd}", "Pd"},
    {"dashpunctuation", "\\p{Pd}", "Pd"},
    {"ps", "\\p{Ps}", "Ps"},
    {"openpunctuation", "\\p{Ps}", "Ps"},
    {"pe", "\\p{Pe}", "Pe"},
    {"closepunctuation", "\\p{Pe}", "Pe"},
    {"pi", "\\p{Pi}", "Pi"},
    {"initialpunctuation", "\\p{Pi}", "Pi"},
    {"pf", "\\p{Pf}", "Pf"},
    {"finalpunctuation", "\\p{Pf}", "Pf"},
    {"po", "\\p{Po}", "Po"},
    {"otherpunctuation", "\\p{Po}", "Po"},
    {"s", "\\p{S}", "S"},
    {"symbol", "\\p{S}", "S"},
    {"sm", "\\p{Sm}", "Sm"},
    {"mathsymbol", "\\p{Sm}", "Sm"},
    {"sc", "\\p{Sc}", "Sc"},
    {"currencysymbol", "\\p{Sc}", "Sc"},
    {"sk", "\\p{Sk}", "Sk"},
    {"modifiersymbol", "\\p{Sk}", "Sk"},
    {"so", "\\p{So}", "So"},
    {"othersymbol", "\\p{So}", "So"},
    {"z", "\\p{Z}", "Z"},
    {"separator", "\\p{Z}", "Z"},
    {"zs", "\\p{Zs}", "Zs"},
    {"spaceseparator", "\\p{Zs}", "Zs"},
    {"zl", "\\p{Zl}", "Zl"},
    {"lineseparator", "\\p{Zl}", "Zl"},
    {"zp", "\\p{Zp}", "Zp"},
    {"paragraphseparator", "\\p{Zp}", "Zp"},
    {"cc", "\\p{Cc}", "Cc"},
    {"control", "\\p{Cc}", "Cc"},
    {"cntrl", "\\p{Cc}", "Cc"},
    {"cf", "\\p{Cf}", "Cf"},
    {"format", "\\p{Cf}", "Cf"},
    {"co", "\\p{Co}", "Co"},
    {"privateuse", "\\p{Co}", "Co"},
    {"alphabetic", ALPHABETIC, "Alphabetic"},
    {"alpha", ALPHABETIC, "Alphabetic"},
    {"space", SPACES, "none"},
    {"whitespace", SPACES, "none"},
    {"xdigit", "0-9A-Fa-f", "none"},
    {"ascii", "\\x00-\\x7f", "none"},
    {"any", "\\x{0}-\\x{10ffff}", "none"},
};

/* Properties from which newer Unicode took characters away. */
static bool put_shrunk(struct gw_regex_set *set, const char *name) {
    bool mn = strcmp(name, "mn") == 0 || strcmp(name, "nonspacingmark") == 0;
    bool cn = strcmp(name, "cn") == 0 || strcmp(name, "unassigned") == 0;
    bool c = strcmp(name, "c") == 0 || strcmp(name, "other") == 0;
    struct gw_str other = {0};
    if (mn) {
        gw_uni_put_new(&set->members, "Mn");
        put_other(set, "(?!\\x{1171e})\\p{Mn}");
    } else if (cn || c) {
        gw_str_puts(&other, "(?![");
        gw_uni_put_new(&other, "");
        gw_str_puts(&other, "])\\p{Cn}");
        if (c) gw_str_puts(&set->members, "\\p{Cc}\\p{Cf}\\p{Co}");
        if (c) gw_uni_put_new(&set->members, "Cf");
        put_other(set, other.data != NULL ? other.data : "");
        set->others.failed |= other.failed;
    }
    gw_str_free(&other);
    return mn || cn || c;
}

/* Adds the property name[0..len) to the set; false if it is not known. */
static bool put_property(struct gw_regex_set *set, const char *name, size_t len, bool in_class) {
    char key[40];
    size_t n = 0;
    for (size_t i = 0; i < len; i++) { /* as Oniguruma: case, spaces, - and _ do not count */
        char ch = name[i];
        if (ch == ' ' || ch == '-' || ch == '_') continue;
        if (n + 1 >= sizeof key) return false;
        key[n++] = (char)(ch >= 'A' && ch <= 'Z' ? ch + 32 : ch);
    }
    key[n] = 0;
    if (strcmp(key, "word") == 0) {
        gw_regex_put_word(&set->members, in_class);
        return true;
    }
    if (strcmp(key, "alnum") == 0) {
        gw_str_puts(&set->members, ALPHABETIC "\\p{Nd}");
        gw_uni_put_new(&set->members, "Alphabetic");
        gw_uni_put_new(&set->members, "Nd");
        return true;
    }
    for (size_t i = 0; i < GW_ARRAY_LEN(properties); i++) {
        if (strcmp(properties[i].name, key) != 0) continue;
        gw_str_puts(&set->members, properties[i].members);
        gw_uni_put_new(&set->members, properties[i].category);
        return true;
    }
    const char *script = gw_uni_script(key, n);
    if (script == NULL) return put_shrunk(set, key);
    gw_str_printf(&set->members, "\\p{sc:%s}", script);
    return gw_uni_put_new_script(&set->members, script);
}

/* Adds the property, or its complement, as one thing to the set. */
static enum gwen_status add_property(struct gw_regex_src *s, size_t at, const char *name,
                                     size_t len, bool negated, bool in_class,
                                     struct gw_regex_set *set) {
    static const char *const caseless[] = {"digit", "space", "xdigit"};
    bool has_case = true;
    char shown[GW_SHOWN];
    for (size_t i = 0; i < GW_ARRAY_LEN(caseless); i++)
        if (strlen(caseless[i]) == len && memcmp(caseless[i], name, len) == 0) has_case = false;
    if (s->ignore_case && has_case)
        return gw_regex_refuse(s, at,
                               "properties and classes like \\w ignoring case are not "
                               "supported");
    if (!negated) {
        if (put_property(set, name, len, in_class)) return GWEN_OK;
        return gw_regex_refuse(s, at, "property %s is not supported", gw_shown(shown, name, len));
    }
    struct gw_regex_set inner = {0};
    struct gw_str out = {0};
    enum gwen_status status = add_property(s, at, name, len, false, in_class, &inner);
    gw_regex_put_set(&out, &inner, true);
    if (status == GWEN_OK) put_other(set, out.data != NULL ? out.data : "");
    set->others.failed |= out.failed || inner.members.failed || inner.others.failed;
    gw_regex_set_free(&inner);
    gw_str_free(&out);
    return status;
}

/* --- escapes -------------------------------------------------------------------------------- */

static int digit_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return 99;
}

/* Up to `most` digits at the position; false if there are none. */
static bool number(struct gw_regex_src *s, int base, int most, uint32_t *c) {
    *c = 0;
    int n = 0;
    for (; n < most && s->pos < s->len && digit_value(s->text[s->pos]) < base; n++)
        *c = *c * (uint32_t)base + (uint32_t)digit_value(s->text[s->pos++]);
    return n > 0;
}

static enum gwen_status check_char(const struct gw_regex_src *s, size_t at, uint32_t c) {
    if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        return gw_regex_refuse(s, at, "U+%04X is no character", (unsigned)c);
    return GWEN_OK;
}

/* \xHH, \x{H...}, \uHHHH; the position is behind the letter. */
static enum gwen_status hex_escape(struct gw_regex_src *s, size_t at, char letter, uint32_t *c) {
    bool braces = letter == 'x' && s->pos < s->len && s->text[s->pos] == '{';
    if (braces) s->pos++;
    size_t start = s->pos;
    bool ok = number(s, 16, braces ? 8 : letter == 'u' ? 4 : 2, c);
    if (letter == 'u') ok = s->pos == start + 4;
    if (braces) ok = ok && s->pos < s->len && s->text[s->pos++] == '}';
    if (!ok) return gw_regex_refuse(s, at, "malformed \\%c escape", letter);
    if (letter == 'x' && !braces && *c >= 0x80)
        return gw_regex_refuse(s, at, "\\x80 and above (single bytes) are not supported");
    return check_char(s, at, *c);
}

/* \p{name}, \P{name}, \p{^name}; the position is behind the letter. */
static enum gwen_status property_escape(struct gw_regex_src *s, size_t at, bool negated,
                                        bool in_class, struct gw_regex_set *set) {
    const char *close = s->pos < s->len && s->text[s->pos] == '{'
                            ? memchr(s->text + s->pos, '}', s->len - s->pos)
                            : NULL;
    if (close == NULL) return gw_regex_refuse(s, at, "\\p needs a name in braces");
    const char *name = s->text + s->pos + 1;
    if (*name == '^') {
        negated = !negated;
        name++;
    }
    s->pos = (size_t)(close - s->text) + 1;
    return add_property(s, at, name, (size_t)(close - name), negated, in_class, set);
}

enum gwen_status gw_regex_escape(struct gw_regex_src *s, bool in_class, struct gw_regex_set *set,
                                 enum gw_regex_escape *kind, uint32_t *c) {
    static const char from[] = "tnrfvae", to[] = "\t\n\r\f\v\a\x1b";
    static const char sets[] = "dswh";
    static const char *const names[] = {"digit", "space", "word", "xdigit"};
    size_t at = s->pos;
    if (at + 1 >= s->len) return gw_regex_refuse(s, at, "a backslash at the end");
    char letter = s->text[at + 1];
    const char *found = letter != 0 ? strchr(from, letter) : NULL;
    *kind = GW_ESCAPE_CHAR;
    s->pos = at + 2;
    if (found != NULL || (in_class && letter == 'b')) {
        *c = found != NULL ? (uint32_t)to[found - from] : '\b';
        return GWEN_OK;
    }
    if (letter == 'x' || letter == 'u') return hex_escape(s, at, letter, c);
    if (letter == '0') {
        s->pos--;
        number(s, 8, 3, c);
        return GWEN_OK;
    }
    found = letter != 0 ? strchr(sets, letter | 0x20) : NULL;
    if (letter == 'p' || letter == 'P' || (found != NULL && (letter | 0x20) >= 'a')) {
        *kind = GW_ESCAPE_SET;
        if (letter == 'p' || letter == 'P')
            return property_escape(s, at, letter == 'P', in_class, set);
        const char *name = names[found - sets];
        return add_property(s, at, name, strlen(name), letter < 'a', in_class, set);
    }
    bool alnum = (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'z') ||
                 (letter >= 'A' && letter <= 'Z');
    if (alnum) {
        *kind = GW_ESCAPE_OTHER;
        *c = (uint32_t)letter;
        s->pos = at;
        return GWEN_OK;
    }
    bool valid;
    s->pos = at + 1;
    s->pos += gw_utf8_next(s->text + s->pos, s->len - s->pos, c, &valid);
    return GWEN_OK;
}

/* --- bracketed classes ---------------------------------------------------------------------- */

static enum gwen_status class_at(struct gw_regex_src *s, struct gw_str *out, unsigned depth);

/* [:punct:] has the symbols too, \p{punct} has not. */
static enum gwen_status posix_punct(struct gw_regex_src *s, size_t at, bool negated,
                                    struct gw_regex_set *set) {
    struct gw_regex_set inner = {0};
    struct gw_str out = {0};
    enum gwen_status status = add_property(s, at, "P", 1, false, true, &inner);
    if (status == GWEN_OK) status = add_property(s, at, "S", 1, false, true, &inner);
    gw_regex_put_set(&out, &inner, negated);
    if (status == GWEN_OK) put_other(set, out.data != NULL ? out.data : "");
    set->others.failed |= out.failed || inner.members.failed;
    gw_regex_set_free(&inner);
    gw_str_free(&out);
    return status;
}

/* "[:name:]" or "[:^name:]" at the position; *found is false if that is no such thing. */
static enum gwen_status posix_class(struct gw_regex_src *s, struct gw_regex_set *set, bool *found) {
    static const char *const known[] = {"alnum", "alpha", "ascii", "cntrl", "digit",
                                        "punct", "space", "word",  "xdigit"};
    size_t at = s->pos, i = at + 2;
    bool negated = i < s->len && s->text[i] == '^';
    if (negated) i++;
    size_t name = i;
    while (i < s->len && s->text[i] >= 'a' && s->text[i] <= 'z') i++;
    *found = s->text[at + 1] == ':' && i + 1 < s->len && s->text[i] == ':' && s->text[i + 1] == ']';
    if (!*found) return GWEN_OK;
    for (size_t k = 0; k < GW_ARRAY_LEN(known); k++) {
        if (strlen(known[k]) != i - name || memcmp(known[k], s->text + name, i - name) != 0)
            continue;
        s->pos = i + 2;
        if (strcmp(known[k], "punct") != 0)
            return add_property(s, at, known[k], i - name, negated, true, set);
        return posix_punct(s, at, negated, set);
    }
    char shown[GW_SHOWN];
    return gw_regex_refuse(s, at, "class %s is not supported",
                           gw_shown(shown, s->text + at, i + 2 - at));
}

/* A character of a class, or what stands for several (*set_item). */
static enum gwen_status class_atom(struct gw_regex_src *s, struct gw_regex_set *set, bool *set_item,
                                   uint32_t *c) {
    *set_item = false;
    if (s->text[s->pos] != '\\') {
        bool valid;
        s->pos += gw_utf8_next(s->text + s->pos, s->len - s->pos, c, &valid);
        return GWEN_OK;
    }
    size_t at = s->pos;
    enum gw_regex_escape kind;
    GW_TRY(gw_regex_escape(s, true, set, &kind, c));
    if (kind == GW_ESCAPE_OTHER)
        return gw_regex_refuse(s, at, "\\%c in a class is not supported", (int)*c);
    *set_item = kind == GW_ESCAPE_SET;
    return GWEN_OK;
}

/* Ignoring case, a class takes what its characters fold to: simple for ASCII only. */
static enum gwen_status check_case(const struct gw_regex_src *s, size_t at, uint32_t first,
                                   uint32_t last) {
    if (!s->ignore_case || last < 0x80 || (first == last && !gw_uni_is_cased(first)))
        return GWEN_OK;
    return gw_regex_refuse(s, at, "a class beyond ASCII ignoring case is not supported");
}

/* A character or a range, whose first character is at the position. */
static enum gwen_status class_range(struct gw_regex_src *s, struct gw_regex_set *set,
                                    bool *was_range) {
    size_t at = s->pos;
    bool set_item;
    uint32_t first, last;
    *was_range = false;
    GW_TRY(class_atom(s, set, &set_item, &first));
    bool dash = s->pos + 1 < s->len && s->text[s->pos] == '-' && s->text[s->pos + 1] != ']';
    if (set_item) {
        if (dash) return gw_regex_refuse(s, s->pos, "a range can't begin with a set");
        return GWEN_OK;
    }
    last = first;
    if (dash) {
        s->pos++;
        bool nested = s->text[s->pos] == '[' ||
                      (s->text[s->pos] == '&' && s->pos + 1 < s->len && s->text[s->pos + 1] == '&');
        if (nested) return gw_regex_refuse(s, s->pos, "a range can't end with a set");
        GW_TRY(class_atom(s, set, &set_item, &last));
        if (set_item || last < first) return gw_regex_refuse(s, at, "a range without an end");
        *was_range = true;
    }
    GW_TRY(check_case(s, at, first, last));
    put_char(&set->members, first);
    if (last != first) gw_str_putc(&set->members, '-');
    if (last != first) put_char(&set->members, last);
    return GWEN_OK;
}

/* One union of items, up to "&&" or the closing bracket, which stay. */
static enum gwen_status class_union(struct gw_regex_src *s, struct gw_regex_set *set, bool first,
                                    unsigned depth) {
    bool after_range = false;
    for (;; first = false) {
        if (s->pos >= s->len) return gw_regex_refuse(s, s->pos, "a class without its ']'");
        char c = s->text[s->pos];
        if (c == ']') {
            bool literal = first && memchr(s->text + s->pos + 1, ']', s->len - s->pos - 1) != NULL;
            if (!literal) return GWEN_OK;
        }
        if (c == '&' && s->pos + 1 < s->len && s->text[s->pos + 1] == '&') return GWEN_OK;
        if (c == '[') {
            bool found;
            after_range = false;
            if (s->pos + 1 >= s->len) return gw_regex_refuse(s, s->pos, "a class without its ']'");
            GW_TRY(posix_class(s, set, &found));
            if (found) continue;
            if (set->others.len > 0) gw_str_putc(&set->others, '|');
            GW_TRY(class_at(s, &set->others, depth + 1));
            continue;
        }
        if (c == '-' && after_range) { /* what follows a range is a plain hyphen */
            put_char(&set->members, '-');
            s->pos++;
            after_range = false;
            continue;
        }
        GW_TRY(class_range(s, set, &after_range));
    }
}

/* Operands of && and their conjunction; the position is behind "[" or "[^". */
static enum gwen_status class_body(struct gw_regex_src *s, bool negated, struct gw_str *out,
                                   unsigned depth) {
    struct gw_regex_set set = {0};
    struct gw_str before = {0}; /* lookaheads for all operands but the last */
    enum gwen_status status;
    bool first = true;
    for (;;) {
        size_t at = s->pos;
        status = class_union(s, &set, first, depth);
        first = false;
        if (status == GWEN_OK && set.members.len == 0 && set.others.len == 0)
            status = gw_regex_refuse(s, at, "an empty class");
        if (status != GWEN_OK || s->text[s->pos] == ']') break;
        s->pos += 2;
        gw_str_puts(&before, "(?=");
        gw_regex_put_set(&before, &set, false);
        gw_str_putc(&before, ')');
        gw_regex_set_free(&set);
        set = (struct gw_regex_set){0};
    }
    if (status == GWEN_OK) {
        s->pos++;
        if (before.len > 0) {
            gw_str_puts(out, negated ? "(?:(?!" : "(?:");
            gw_str_put(out, before.data, before.len);
            gw_regex_put_set(out, &set, false);
            gw_str_puts(out, negated ? ")(?s:.))" : ")");
        } else {
            gw_regex_put_set(out, &set, negated);
        }
    }
    out->failed |= before.failed || set.members.failed || set.others.failed;
    gw_str_free(&before);
    gw_regex_set_free(&set);
    return status;
}

static enum gwen_status class_at(struct gw_regex_src *s, struct gw_str *out, unsigned depth) {
    if (depth > GW_REGEX_MAX_NESTED) return gw_regex_refuse(s, s->pos, "classes nested too deep");
    s->pos++;
    bool negated = s->pos < s->len && s->text[s->pos] == '^';
    if (negated) s->pos++;
    return class_body(s, negated, out, depth);
}

enum gwen_status gw_regex_class(struct gw_regex_src *s, struct gw_str *out) {
    return class_at(s, out, 0);
}

/* methods_str.c - methods of str.  Where one gives text back, a string marked safe stays so. */
#include "text/jinja/object.h"
#include "text/jinja/text.h"

#include <string.h>

#define METHOD(fn)                                                                                 \
    static bool fn(struct gw_jrt *rt, struct gw_jv self, const struct gw_jv *a,                    \
                   const struct gw_jargs *args, struct gw_jv *out)

/* The text of b, marked as self is. */
static bool finish(const struct gw_jbuf *b, struct gw_jv self, struct gw_jv *out) {
    if (!gw_j_buf_str(b, out)) return false;
    out->flags = self.flags & GW_JF_MARKUP;
    return true;
}

bool gw_j_case(struct gw_jrt *rt, struct gw_jv s, int how, struct gw_jv *out) {
    struct gw_jbuf b = {.rt = rt};
    gw_j_put_case(&b, s.u.s, s.len, (enum gw_jcase)how);
    return finish(&b, s, out) && gw_j_look(rt, s.len);
}

#define CASE(fn, how)                                                                              \
    METHOD(fn) {                                                                                   \
        (void)a, (void)args;                                                                       \
        return gw_j_case(rt, self, how, out);                                                      \
    }
CASE(s_upper, GW_J_UPPER)
CASE(s_lower, GW_J_LOWER)
CASE(s_title, GW_J_TITLE)
CASE(s_capitalize, GW_J_CAPITALIZE)
CASE(s_swapcase, GW_J_SWAP)
CASE(s_casefold, GW_J_FOLD)

/* --- stripping ------------------------------------------------------------------------------ */

static bool strip(struct gw_jrt *rt, struct gw_jv self, struct gw_jv chars, bool left, bool right,
                  struct gw_jv *out) {
    size_t from = 0, to = self.len;
    if (chars.type == GW_J_MISSING || chars.type == GW_J_NONE) {
        gw_j_strip(self.u.s, &from, &to, left, right);
    } else if (!gw_j_arg_str(rt, chars, "strip arg", &chars) ||
               !gw_j_strip_chars(rt, self.u.s, &from, &to, chars.u.s, chars.len, left, right)) {
        return false;
    }
    *out = gw_jv_sub(self, from, to);
    return gw_j_look(rt, self.len - (to - from));
}

METHOD(s_strip) {
    (void)args;
    return strip(rt, self, a[0], true, true, out);
}
METHOD(s_lstrip) {
    (void)args;
    return strip(rt, self, a[0], true, false, out);
}
METHOD(s_rstrip) {
    (void)args;
    return strip(rt, self, a[0], false, true, out);
}

static bool has_prefix(struct gw_jv s, struct gw_jv prefix) {
    return prefix.len <= s.len && memcmp(s.u.s, prefix.u.s, prefix.len) == 0;
}
static bool has_suffix(struct gw_jv s, struct gw_jv suffix) {
    return suffix.len <= s.len && memcmp(s.u.s + s.len - suffix.len, suffix.u.s, suffix.len) == 0;
}

METHOD(s_removeprefix) {
    struct gw_jv prefix;
    (void)args;
    if (!gw_j_arg_str(rt, a[0], "prefix", &prefix) || !gw_j_scan(rt, prefix.len)) return false;
    *out = has_prefix(self, prefix) ? gw_jv_sub(self, prefix.len, self.len) : self;
    return true;
}
METHOD(s_removesuffix) {
    struct gw_jv suffix;
    (void)args;
    if (!gw_j_arg_str(rt, a[0], "suffix", &suffix) || !gw_j_scan(rt, suffix.len)) return false;
    *out = has_suffix(self, suffix) ? gw_jv_sub(self, 0, self.len - suffix.len) : self;
    return true;
}

/* --- finding -------------------------------------------------------------------------------- */

/* The bytes [*from, *to) that start and end, in code points, mean; *none when start lies behind
 * the string's end. */
static bool bounds(struct gw_jrt *rt, struct gw_jv s, struct gw_jv start, struct gw_jv end,
                   size_t *from, size_t *to, bool *none) {
    int64_t first, last, n = INT64_MAX;
    *from = 0;
    *to = s.len;
    *none = false;
    struct gw_jv missing = gw_jv_of(GW_J_MISSING);
    if (start.type == GW_J_NONE) start = missing;
    if (end.type == GW_J_NONE) end = missing;
    if (start.type == GW_J_MISSING && end.type == GW_J_MISSING) return true;
    if (!gw_j_arg_int(rt, start, 0, "start", &first) ||
        !gw_j_arg_int(rt, end, INT64_MAX, "end", &last) || !gw_j_scan(rt, s.len))
        return false;
    n = (int64_t)gw_j_cp_count(s.u.s, s.len);
    if (first < 0) first = GW_MAX(first + n, 0);
    if (last < 0) last = GW_MAX(last + n, 0);
    last = GW_MIN(last, n);
    *none = first > n || first > last;
    *from = gw_j_cp_offset(s.u.s, s.len, (size_t)GW_MIN(first, n));
    *to = gw_j_cp_offset(s.u.s, s.len, (size_t)last);
    return true;
}

static bool find(struct gw_jrt *rt, struct gw_jv self, const struct gw_jv *a, bool last, bool must,
                 struct gw_jv *out) {
    size_t from, to, at = SIZE_MAX;
    bool none;
    struct gw_jv needle;
    if (!gw_j_arg_str(rt, a[0], "the text to find", &needle) ||
        !bounds(rt, self, a[1], a[2], &from, &to, &none))
        return false;
    if (!none) at = gw_j_find(rt, self.u.s, from, to, needle.u.s, needle.len, last);
    if (rt->failed) return false;
    if (at == SIZE_MAX && must) return gw_j_raise(rt, "substring not found");
    *out = gw_jv_int(at == SIZE_MAX ? -1 : (int64_t)gw_j_cp_count(self.u.s, at));
    return true;
}

METHOD(s_find) {
    (void)args;
    return find(rt, self, a, false, false, out);
}
METHOD(s_rfind) {
    (void)args;
    return find(rt, self, a, true, false, out);
}
METHOD(s_index) {
    (void)args;
    return find(rt, self, a, false, true, out);
}
METHOD(s_rindex) {
    (void)args;
    return find(rt, self, a, true, true, out);
}

METHOD(s_count) {
    size_t from, to, n = 0;
    bool none;
    struct gw_jv needle;
    (void)args;
    if (!gw_j_arg_str(rt, a[0], "the text to count", &needle) ||
        !bounds(rt, self, a[1], a[2], &from, &to, &none))
        return false;
    if (none) {
        n = 0;
    } else if (needle.len == 0) {
        n = gw_j_cp_count(self.u.s + from, to - from) + 1;
    } else {
        const char *p = self.u.s + from, *end = self.u.s + to;
        if (!gw_j_scan(rt, to - from)) return false;
        while ((p = memmem(p, (size_t)(end - p), needle.u.s, needle.len)) != NULL) {
            n++;
            p += needle.len;
        }
        if (!gw_j_steps(rt, n)) return false;
    }
    *out = gw_jv_int((int64_t)n);
    return true;
}

/* startswith and endswith: one text or a tuple of them. */
static bool affix(struct gw_jrt *rt, struct gw_jv self, const struct gw_jv *a, bool suffix,
                  struct gw_jv *out) {
    size_t from, to;
    bool none;
    const char *what = suffix ? "endswith first arg" : "startswith first arg";
    if (!bounds(rt, self, a[1], a[2], &from, &to, &none)) return false;
    const struct gw_jv *option = &a[0];
    size_t n = 1;
    if (a[0].type == GW_J_TUPLE) {
        option = a[0].u.seq->v;
        n = a[0].u.seq->n;
    }
    *out = gw_jv_bool(false);
    for (size_t i = 0; i < n; i++) {
        struct gw_jv text, part = gw_jv_sub(self, from, GW_MAX(from, to));
        if (!gw_j_arg_str(rt, option[i], what, &text) || !gw_j_scan(rt, text.len)) return false;
        if (!none && (suffix ? has_suffix(part, text) : has_prefix(part, text))) {
            *out = gw_jv_bool(true);
            return true;
        }
    }
    return true;
}

METHOD(s_startswith) {
    (void)args;
    return affix(rt, self, a, false, out);
}
METHOD(s_endswith) {
    (void)args;
    return affix(rt, self, a, true, out);
}

bool gw_j_replace(struct gw_jrt *rt, struct gw_jv s, struct gw_jv old, struct gw_jv new_text,
                  int64_t count, struct gw_jv *out) {
    struct gw_jbuf b = {.rt = rt};
    uint64_t left = count < 0 ? UINT64_MAX : (uint64_t)count;
    size_t at = 0;
    if (s.flags & GW_JF_MARKUP && !gw_j_escape(rt, new_text, &new_text)) return false;
    if (!gw_j_scan(rt, s.len)) return false;
    for (; left > 0 && !rt->failed; left--) {
        if (old.len == 0) { /* between all code points, and at both ends */
            uint32_t cp;
            gw_j_put(&b, new_text.u.s, new_text.len);
            if (at >= s.len) break;
            size_t n = gw_j_decode(s.u.s + at, &cp);
            gw_j_put(&b, s.u.s + at, n);
            at += n;
            continue;
        }
        const char *p = memmem(s.u.s + at, s.len - at, old.u.s, old.len);
        if (p == NULL || !gw_j_steps(rt, 1)) break;
        size_t next = (size_t)(p - s.u.s);
        gw_j_put(&b, s.u.s + at, next - at);
        gw_j_put(&b, new_text.u.s, new_text.len);
        at = next + old.len;
    }
    gw_j_put(&b, s.u.s + at, s.len - at);
    return finish(&b, s, out);
}

METHOD(s_replace) {
    struct gw_jv old, new_text;
    int64_t count;
    (void)args;
    return gw_j_arg_str(rt, a[0], "replace() argument 1", &old) &&
           gw_j_arg_str(rt, a[1], "replace() argument 2", &new_text) &&
           gw_j_arg_int(rt, a[2], -1, "count", &count) &&
           gw_j_replace(rt, self, old, new_text, count, out);
}

/* --- classes -------------------------------------------------------------------------------- */

/* Whether all code points, at least one, are of a class. */
static bool all_are(struct gw_jv s, bool (*is)(uint32_t), bool when_empty) {
    uint32_t cp;
    for (size_t i = 0; i < s.len;) {
        i += gw_j_decode(s.u.s + i, &cp);
        if (!is(cp)) return false;
    }
    return s.len > 0 || when_empty;
}

static bool is_ascii(uint32_t cp) { return cp < 0x80; }

#define CLASS(fn, is, when_empty)                                                                  \
    METHOD(fn) {                                                                                   \
        (void)rt, (void)a, (void)args;                                                             \
        *out = gw_jv_bool(all_are(self, is, when_empty));                                          \
        return gw_j_look(rt, self.len);                                                            \
    }
CLASS(s_isspace, gw_j_is_space, false)
CLASS(s_isalpha, gw_j_is_alpha, false)
CLASS(s_isalnum, gw_j_is_alnum, false)
CLASS(s_isdecimal, gw_j_is_decimal, false)
CLASS(s_isdigit, gw_j_is_digit, false)
CLASS(s_isnumeric, gw_j_is_numeric, false)
CLASS(s_isascii, is_ascii, true)
CLASS(s_isprintable, gw_j_is_printable, true)

METHOD(s_isidentifier) {
    uint32_t cp = 0;
    bool ok = self.len > 0;
    (void)rt, (void)a, (void)args;
    for (size_t i = 0; i < self.len && ok;) {
        size_t n = gw_j_decode(self.u.s + i, &cp);
        ok = gw_j_is_name_char(cp, i == 0);
        i += n;
    }
    *out = gw_jv_bool(ok);
    return true;
}

METHOD(s_islower) { return gw_j_test("lower", 5)->fn(rt, self, a, args, out); }
METHOD(s_isupper) { return gw_j_test("upper", 5)->fn(rt, self, a, args, out); }

METHOD(s_istitle) {
    bool cased = false, previous = false, ok = true;
    (void)rt, (void)a, (void)args;
    for (size_t i = 0; i < self.len && ok;) {
        uint32_t cp;
        i += gw_j_decode(self.u.s + i, &cp);
        bool upper = gw_j_is_upper(cp) || gw_j_is_title(cp), lower = gw_j_is_lower(cp);
        ok = upper ? !previous : !lower || previous;
        previous = upper || lower;
        cased = cased || previous;
    }
    *out = gw_jv_bool(ok && cased);
    return true;
}

static const struct gw_jdef defs[] = {
    {.name = "upper", .params = "", .fn = s_upper},
    {.name = "lower", .params = "", .fn = s_lower},
    {.name = "title", .params = "", .fn = s_title},
    {.name = "capitalize", .params = "", .fn = s_capitalize},
    {.name = "swapcase", .params = "", .fn = s_swapcase},
    {.name = "casefold", .params = "", .fn = s_casefold},
    {.name = "strip", .params = "chars", .positional = 1, .fn = s_strip},
    {.name = "lstrip", .params = "chars", .positional = 1, .fn = s_lstrip},
    {.name = "rstrip", .params = "chars", .positional = 1, .fn = s_rstrip},
    {.name = "removeprefix",
     .params = "prefix",
     .required = 1,
     .positional = 1,
     .fn = s_removeprefix},
    {.name = "removesuffix",
     .params = "suffix",
     .required = 1,
     .positional = 1,
     .fn = s_removesuffix},
    {.name = "find", .params = "sub,start,end", .required = 1, .positional = 3, .fn = s_find},
    {.name = "rfind", .params = "sub,start,end", .required = 1, .positional = 3, .fn = s_rfind},
    {.name = "index", .params = "sub,start,end", .required = 1, .positional = 3, .fn = s_index},
    {.name = "rindex", .params = "sub,start,end", .required = 1, .positional = 3, .fn = s_rindex},
    {.name = "count", .params = "sub,start,end", .required = 1, .positional = 3, .fn = s_count},
    {.name = "startswith",
     .params = "prefix,start,end",
     .required = 1,
     .positional = 3,
     .fn = s_startswith},
    {.name = "endswith",
     .params = "suffix,start,end",
     .required = 1,
     .positional = 3,
     .fn = s_endswith},
    {.name = "replace", .params = "old,new,count", .required = 2, .positional = 3, .fn = s_replace},
    {.name = "isspace", .params = "", .fn = s_isspace},
    {.name = "isalpha", .params = "", .fn = s_isalpha},
    {.name = "isalnum", .params = "", .fn = s_isalnum},
    {.name = "isdecimal", .params = "", .fn = s_isdecimal},
    {.name = "isdigit", .params = "", .fn = s_isdigit},
    {.name = "isnumeric", .params = "", .fn = s_isnumeric},
    {.name = "isascii", .params = "", .fn = s_isascii},
    {.name = "isprintable", .params = "", .fn = s_isprintable},
    {.name = "isidentifier", .params = "", .fn = s_isidentifier},
    {.name = "islower", .params = "", .fn = s_islower},
    {.name = "isupper", .params = "", .fn = s_isupper},
    {.name = "istitle", .params = "", .fn = s_istitle},
};
const struct gw_jdefs gw_j_str_class_methods = {defs, GW_ARRAY_LEN(defs)};

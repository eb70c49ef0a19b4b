/* filters_text.c - filters of text. */
#include "text/jinja/object.h"
#include "text/jinja/text.h"

#include <string.h>

#define FILTER(fn)                                                                                 \
    static bool fn(struct gw_jrt *rt, struct gw_jv self, const struct gw_jv *a,                    \
                   const struct gw_jargs *args, struct gw_jv *out)

/* The filters take any value and use its text. */
#define SELF_TEXT()                                                                                \
    (void)a, (void)args;                                                                           \
    if (!gw_j_to_str(rt, self, &self)) return false

static struct gw_jv plain(struct gw_jv s) {
    s.flags &= (uint8_t)~GW_JF_MARKUP;
    return s;
}

FILTER(f_upper) {
    SELF_TEXT();
    return gw_j_case(rt, self, GW_J_UPPER, out);
}
FILTER(f_lower) {
    SELF_TEXT();
    return gw_j_case(rt, self, GW_J_LOWER, out);
}
FILTER(f_capitalize) {
    SELF_TEXT();
    return gw_j_case(rt, self, GW_J_CAPITALIZE, out);
}
FILTER(f_string) {
    SELF_TEXT();
    *out = self;
    return true;
}
FILTER(f_escape) {
    SELF_TEXT();
    return gw_j_escape(rt, self, out);
}
FILTER(f_forceescape) {
    SELF_TEXT();
    return gw_j_escape(rt, plain(self), out);
}
FILTER(f_safe) {
    SELF_TEXT();
    self.flags |= GW_JF_MARKUP;
    *out = self;
    return true;
}

/* Words begin after these; jinja2's own rule, not that of str.title(). */
static bool separates_words(uint32_t cp) {
    return cp == '-' || cp == '(' || cp == '{' || cp == '[' || cp == '<' || gw_j_is_space(cp);
}

FILTER(f_title) {
    SELF_TEXT();
    if (!gw_j_look(rt, self.len)) return false;
    struct gw_jbuf b = {.rt = rt};
    for (size_t i = 0; i < self.len && !rt->failed;) {
        uint32_t cp;
        size_t n = gw_j_decode(self.u.s + i, &cp), end = i + n;
        bool separator = separates_words(cp);
        while (end < self.len) {
            size_t more = gw_j_decode(self.u.s + end, &cp);
            if (separates_words(cp) != separator) break;
            end += more;
        }
        gw_j_put_case(&b, self.u.s + i, n, GW_J_UPPER);
        gw_j_put_case(&b, self.u.s + i + n, end - i - n, GW_J_LOWER);
        i = end;
    }
    return gw_j_buf_str(&b, out);
}

FILTER(f_trim) {
    SELF_TEXT();
    size_t from = 0, to = self.len;
    struct gw_jv chars;
    if (a[0].type == GW_J_MISSING || a[0].type == GW_J_NONE) {
        gw_j_strip(self.u.s, &from, &to, true, true);
    } else if (!gw_j_arg_str(rt, a[0], "strip arg", &chars) ||
               !gw_j_strip_chars(rt, self.u.s, &from, &to, chars.u.s, chars.len, true, true)) {
        return false;
    }
    *out = gw_jv_sub(self, from, to);
    return gw_j_look(rt, self.len - (to - from));
}

FILTER(f_replace) {
    SELF_TEXT();
    struct gw_jv old, new_text;
    int64_t count;
    struct gw_jv limit = a[2].type == GW_J_NONE ? gw_jv_of(GW_J_MISSING) : a[2];
    return gw_j_to_str(rt, a[0], &old) && gw_j_to_str(rt, a[1], &new_text) &&
           gw_j_arg_int(rt, limit, -1, "count", &count) &&
           gw_j_replace(rt, plain(self), plain(old), plain(new_text), count, out);
}

FILTER(f_indent) {
    struct gw_jbuf b = {.rt = rt};
    struct gw_jvec lines;
    struct gw_jv indent = gw_jv_str("    ", 4);
    bool first = gw_j_arg_truth(a[1], false), blank = gw_j_arg_truth(a[2], false);
    (void)args;
    if (!gw_j_arg_str(rt, self, "the text to indent", &self)) return false;
    if (a[0].type == GW_J_STR) {
        indent = a[0];
    } else if (a[0].type != GW_J_MISSING) {
        int64_t width;
        if (!gw_j_arg_int(rt, a[0], 4, "width", &width)) return false;
        if (width > GW_J_MAX_WIDTH)
            return gw_j_raise(rt, "an indent of more than %d", GW_J_MAX_WIDTH);
        struct gw_jbuf spaces = {.rt = rt};
        gw_j_put_repeat(&spaces, " ", 1, width > 0 ? (size_t)width : 0);
        if (!gw_j_buf_str(&spaces, &indent)) return false;
    }
    struct gw_jv newline = gw_jv_str("\n", 1), text;
    if (!gw_j_concat(rt, self, newline, &text) || !gw_j_splitlines(rt, text, false, &lines))
        return false;
    for (size_t i = 0; i < lines.n; i++) {
        if (i > 0) gw_j_putc(&b, '\n');
        bool wanted = i == 0 ? first : blank || lines.v[i].len > 0;
        if (wanted) gw_j_put(&b, indent.u.s, indent.len);
        gw_j_put(&b, lines.v[i].u.s, lines.v[i].len);
    }
    if (!gw_j_buf_str(&b, out)) return false;
    out->flags = self.flags & GW_JF_MARKUP;
    return true;
}

FILTER(f_truncate) {
    int64_t length, leeway;
    size_t n, end_n;
    struct gw_jv end = gw_jv_str("...", 3);
    (void)args;
    if (a[2].type != GW_J_MISSING && !gw_j_arg_str(rt, a[2], "end", &end)) return false;
    struct gw_jv slack = a[3].type == GW_J_NONE ? gw_jv_of(GW_J_MISSING) : a[3];
    if (!gw_j_arg_int(rt, a[0], 255, "length", &length) ||
        !gw_j_arg_int(rt, slack, 5, "leeway", &leeway) || !gw_j_len(rt, self, &n) ||
        !gw_j_len(rt, end, &end_n))
        return false;
    if (length < (int64_t)end_n) return gw_j_raise(rt, "expected length >= %zu", end_n);
    if (leeway < 0) return gw_j_raise(rt, "expected leeway >= 0");
    *out = self;
    if (length >= (int64_t)n || (int64_t)n - length <= leeway) return true;
    if (!gw_j_arg_str(rt, self, "the text to truncate", &self)) return false;
    size_t cut = gw_j_cp_offset(self.u.s, self.len, (size_t)length - end_n);
    if (!gw_j_arg_truth(a[1], false)) {
        size_t space = gw_j_find(rt, self.u.s, 0, cut, " ", 1, true);
        if (space != SIZE_MAX) cut = space;
    }
    return gw_j_concat(rt, gw_jv_sub(self, 0, cut), end, out);
}

FILTER(f_center) {
    SELF_TEXT();
    struct gw_jargs pass = {.pos = a, .n_pos = 1};
    struct gw_jv width = gw_jv_int(80);
    if (a[0].type == GW_J_MISSING) pass.pos = &width;
    return gw_j_run(rt, gw_j_method(self, "center", 6), self, &pass, out);
}

FILTER(f_format) {
    SELF_TEXT();
    struct gw_jv values, *items;
    if (args->n_kw > 0) {
        struct gw_jdict *d;
        if (args->n_pos > 0)
            return gw_j_raise(rt, "can't handle positional and keyword arguments at the same time");
        if (!gw_j_dict(rt, &d)) return false;
        for (size_t i = 0; i < args->n_kw; i++)
            if (!gw_j_dict_set(rt, d, args->kw[i].name, args->kw[i].value)) return false;
        values = gw_jv_of(GW_J_DICT);
        values.u.dict = d;
    } else {
        if (!gw_j_seq(rt, GW_J_TUPLE, args->n_pos, &values, &items)) return false;
        if (args->n_pos > 0) memcpy(items, args->pos, args->n_pos * sizeof *items);
    }
    return gw_j_percent(rt, self, values, out);
}

FILTER(f_wordcount) {
    SELF_TEXT();
    int64_t n = 0;
    bool inside = false;
    for (size_t i = 0; i < self.len;) {
        uint32_t cp;
        i += gw_j_decode(self.u.s + i, &cp);
        bool word = cp == '_' || gw_j_is_alnum(cp);
        n += word && !inside;
        inside = word;
    }
    *out = gw_jv_int(n);
    return gw_j_look(rt, self.len);
}

static void put_quoted(struct gw_jbuf *b, struct gw_jv s, bool query) {
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.u.s[i];
        bool safe = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
                    (c < 0x80 && c != 0 && strchr(query ? "_.-~" : "_.-~/", c) != NULL);
        if (safe)
            gw_j_putc(b, (char)c);
        else if (query && c == ' ')
            gw_j_putc(b, '+');
        else
            gw_j_putf(b, "%%%02X", c);
    }
}

FILTER(f_urlencode) {
    struct gw_jbuf b = {.rt = rt};
    struct gw_jvec pairs, pair;
    (void)a, (void)args;
    if (self.type == GW_J_STR || !gw_j_is_iterable(self)) {
        if (!gw_j_to_str(rt, self, &self)) return false;
        put_quoted(&b, self, false);
        return gw_j_buf_str(&b, out);
    }
    if (self.type == GW_J_DICT) {
        self.type = GW_J_VIEW;
        self.aux = GW_JVIEW_ITEMS;
    }
    if (!gw_j_collect(rt, self, &pairs)) return false;
    for (size_t i = 0; i < pairs.n; i++) {
        struct gw_jv key, value;
        if (!gw_j_collect(rt, pairs.v[i], &pair)) return false;
        if (pair.n != 2) return gw_j_raise(rt, "urlencode needs pairs of key and value");
        if (!gw_j_to_str(rt, pair.v[0], &key) || !gw_j_to_str(rt, pair.v[1], &value)) return false;
        if (i > 0) gw_j_putc(&b, '&');
        put_quoted(&b, key, true);
        gw_j_putc(&b, '=');
        put_quoted(&b, value, true);
    }
    return gw_j_buf_str(&b, out);
}

static const struct gw_jdef defs[] = {
    {.name = "upper", .params = "", .fn = f_upper},
    {.name = "lower", .params = "", .fn = f_lower},
    {.name = "capitalize", .params = "", .fn = f_capitalize},
    {.name = "title", .params = "", .fn = f_title},
    {.name = "string", .params = "", .fn = f_string},
    {.name = "e", .params = "", .fn = f_escape},
    {.name = "escape", .params = "", .fn = f_escape},
    {.name = "forceescape", .params = "", .fn = f_forceescape},
    {.name = "safe", .params = "", .fn = f_safe},
    {.name = "trim", .params = "chars", .fn = f_trim},
    {.name = "replace", .params = "old,new,count", .required = 2, .fn = f_replace},
    {.name = "indent", .params = "width,first,blank", .fn = f_indent},
    {.name = "truncate", .params = "length,killwords,end,leeway", .fn = f_truncate},
    {.name = "center", .params = "width", .fn = f_center},
    {.name = "format", .fn = f_format},
    {.name = "wordcount", .params = "", .fn = f_wordcount},
    {.name = "urlencode", .params = "", .fn = f_urlencode},
};
const struct gw_jdefs gw_j_text_filters = {defs, GW_ARRAY_LEN(defs)};

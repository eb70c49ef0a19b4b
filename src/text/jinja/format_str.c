/* format_str.c - "..." % values and "...".format(). */
#include "text/jinja/format.h"
#include "text/jinja/object.h"
#include "text/jinja/text.h"

#include <string.h>

/* --- % -------------------------------------------------------------------------------------- */

struct percent {
    struct gw_jbuf b;
    struct gw_jv format, values;
    size_t at;   /* in the format */
    size_t next; /* of the values */
    bool markup;
};

static bool next_value(struct percent *p, struct gw_jv *out) {
    bool tuple = p->values.type == GW_J_TUPLE;
    size_t n = tuple ? p->values.u.seq->n : 1;
    if (p->next >= n) return gw_j_raise(p->b.rt, "not enough arguments for format string");
    *out = tuple ? p->values.u.seq->v[p->next] : p->values;
    p->next++;
    return true;
}

/* "(name)", whose value becomes the only one. */
static bool take_key(struct percent *p, struct gw_jv *out) {
    size_t from = ++p->at, depth = 1;
    for (; p->at < p->format.len; p->at++) {
        char c = p->format.u.s[p->at];
        if (c == '(') depth++;
        if (c == ')' && --depth == 0) break;
    }
    if (p->at >= p->format.len) return gw_j_raise(p->b.rt, "incomplete format key");
    if (p->values.type != GW_J_DICT) return gw_j_raise(p->b.rt, "format requires a mapping");
    struct gw_jv key = gw_jv_sub(p->format, from, p->at++);
    if (!gw_j_dict_get(p->b.rt, p->values.u.dict, key, out)) return false;
    if (out->type != GW_J_MISSING) return true;
    return gw_j_raise(p->b.rt, "no key '%.*s' to format", (int)GW_MIN(key.len, 100u), key.u.s);
}

/* A width or precision: digits, or the next value for "*". */
static bool take_size(struct percent *p, int64_t *out) {
    *out = 0;
    struct gw_jv v;
    if (p->at < p->format.len && p->format.u.s[p->at] == '*') {
        p->at++;
        return next_value(p, &v) && gw_j_arg_int(p->b.rt, v, 0, "* in a format", out);
    }
    for (; p->at < p->format.len; p->at++) {
        char c = p->format.u.s[p->at];
        if (c < '0' || c > '9') break;
        *out = GW_MIN(*out * 10 + (c - '0'), (int64_t)INT32_MAX);
    }
    return true;
}

static bool take_flags(struct percent *p, struct gw_jspec *spec) {
    spec->align = '>';
    for (; p->at < p->format.len; p->at++) {
        switch (p->format.u.s[p->at]) {
        case '-': spec->align = '<'; break;
        case '+': spec->sign = '+'; break;
        case ' ':
            if (spec->sign == 0) spec->sign = ' ';
            break;
        case '#': spec->alt = true; break;
        case '0': spec->zero = true; break;
        default: return true;
        }
    }
    return true;
}

static bool put_conversion(struct percent *p, struct gw_jv v, struct gw_jspec *spec) {
    struct gw_jrt *rt = p->b.rt;
    struct gw_jv text;
    char c = spec->type;
    bool number = c != 's' && c != 'r' && c != 'c';
    if (!number) spec->zero = false;
    if (spec->zero && spec->align == '>')
        spec->align = 0;
    else
        spec->zero = false;
    if (c == 's' || c == 'r') {
        struct gw_jbuf repr = {.rt = rt};
        if (c == 'r') gw_j_put_repr(&repr, v);
        if (c == 'r' ? !gw_j_buf_str(&repr, &text) : !gw_j_to_str(rt, v, &text)) return false;
        if (p->markup && !gw_j_escape(rt, text, &text)) return false;
        return gw_j_put_text(&p->b, text, spec);
    }
    if (c == 'c' && v.type == GW_J_STR && gw_j_cp_count(v.u.s, v.len) == 1) {
        spec->precision = -1;
        return gw_j_put_text(&p->b, v, spec);
    }
    if (v.type == GW_J_UNDEFINED) return gw_j_fail_undefined(rt, v);
    if (!gw_jv_is_number(v) ||
        (v.type == GW_J_FLOAT && (c == 'c' || c == 'x' || c == 'X' || c == 'o')))
        return gw_j_raise(rt, "%%%c format: a number is required, not %s", c, gw_j_type_name(v));
    if (strchr("eEfFgG", c) != NULL) return gw_j_put_float(&p->b, gw_jv_to_double(v), spec);
    if (v.type == GW_J_FLOAT) {
        if (!(v.u.f > -9223372036854775809.0 && v.u.f < 9223372036854775808.0))
            return gw_j_raise(rt, "cannot convert this float to an integer of 64 bits");
        v = gw_jv_int((int64_t)v.u.f);
    }
    if (c == 'd' || c == 'i' || c == 'u') spec->type = 0;
    if (spec->precision < 0 || c == 'c') return gw_j_put_int(&p->b, gw_jv_to_int(v), spec);
    /* The precision of an integer is its least number of digits. */
    struct gw_jspec inner = {.type = spec->type, .zero = true, .precision = -1};
    struct gw_jbuf digits = {.rt = rt};
    int64_t i = gw_jv_to_int(v);
    inner.width = spec->precision + (i < 0 || spec->sign != 0);
    inner.sign = spec->sign;
    if (!gw_j_put_int(&digits, i, &inner) || !gw_j_buf_str(&digits, &text)) return false;
    spec->precision = -1;
    return gw_j_put_text(&p->b, text, spec);
}

/* A conversion, after its "%". */
static bool convert(struct percent *p) {
    struct gw_jrt *rt = p->b.rt;
    struct gw_jspec spec = {.precision = -1};
    struct gw_jv keyed = gw_jv_of(GW_J_MISSING), v;
    const char *s = p->format.u.s;
    if (p->at < p->format.len && s[p->at] == '(' && !take_key(p, &keyed)) return false;
    if (!take_flags(p, &spec) || !take_size(p, &spec.width)) return false;
    if (spec.width < 0) {
        spec.align = '<';
        spec.width = -spec.width;
    }
    if (p->at < p->format.len && s[p->at] == '.') {
        p->at++;
        if (!take_size(p, &spec.precision)) return false;
        spec.precision = GW_MAX(spec.precision, 0);
    }
    while (p->at < p->format.len && (s[p->at] == 'h' || s[p->at] == 'l' || s[p->at] == 'L'))
        p->at++;
    if (p->at >= p->format.len) return gw_j_raise(rt, "incomplete format");
    spec.type = s[p->at++];
    if (spec.type == '%') {
        gw_j_putc(&p->b, '%');
        return true;
    }
    if (spec.type == 'a')
        return gw_j_fail(rt, GWEN_ERR_UNSUPPORTED, "%%a in a format is not supported");
    if (spec.type == 0 || strchr("diuoxXeEfFgGcrs", spec.type) == NULL)
        return gw_j_raise(rt, "unsupported format character at index %zu", p->at - 1);
    v = keyed;
    if (keyed.type == GW_J_MISSING && !next_value(p, &v)) return false;
    return put_conversion(p, v, &spec);
}

bool gw_j_percent(struct gw_jrt *rt, struct gw_jv format, struct gw_jv values, struct gw_jv *out) {
    struct percent p = {.b = {.rt = rt}, .format = format, .values = values};
    p.markup = format.flags & GW_JF_MARKUP;
    while (p.at < format.len && !rt->failed) {
        const char *next = memchr(format.u.s + p.at, '%', format.len - p.at);
        size_t end = next != NULL ? (size_t)(next - format.u.s) : format.len;
        gw_j_put(&p.b, format.u.s + p.at, end - p.at);
        p.at = end + 1;
        if (next != NULL && (!gw_j_steps(rt, 1) || !convert(&p))) return false;
    }
    /* What can be looked up in may hold more than the format speaks of. */
    bool scalar = values.type == GW_J_STR || values.type == GW_J_NONE || gw_jv_is_number(values);
    size_t n = values.type == GW_J_TUPLE ? values.u.seq->n : scalar ? 1 : 0;
    if (p.next < n) return gw_j_raise(rt, "not all arguments converted during string formatting");
    if (!gw_j_buf_str(&p.b, out)) return false;
    out->flags = format.flags & GW_JF_MARKUP;
    return true;
}

/* --- str.format ----------------------------------------------------------------------------- */

struct formatter {
    struct gw_jrt *rt;
    const struct gw_jargs *args;
    size_t next;
    bool automatic, manual, markup;
};

static bool is_index(struct gw_jv s, int64_t *out) {
    for (size_t i = 0; i < s.len; i++)
        if (s.u.s[i] < '0' || s.u.s[i] > '9') return false;
    return s.len > 0 && gw_j_parse_int(s.u.s, s.len, 10, out) == GW_J_PARSED;
}

/* The value that the first part of a field's name means. */
static bool first_value(struct formatter *f, struct gw_jv name, struct gw_jv *out) {
    int64_t index = 0;
    if (name.len == 0 || is_index(name, &index)) {
        bool *kind = name.len == 0 ? &f->automatic : &f->manual;
        *kind = true;
        if (f->automatic && f->manual)
            return gw_j_raise(f->rt, "cannot switch from manual field specification to automatic "
                                     "field numbering");
        if (name.len == 0) index = (int64_t)f->next++;
        if ((uint64_t)index >= f->args->n_pos)
            return gw_j_raise(f->rt,
                              "Replacement index %lld out of range for positional args tuple",
                              (long long)index);
        *out = f->args->pos[index];
        return true;
    }
    for (size_t i = 0; i < f->args->n_kw; i++) {
        struct gw_jv key = f->args->kw[i].name;
        if (key.len != name.len || memcmp(key.u.s, name.u.s, key.len) != 0) continue;
        *out = f->args->kw[i].value;
        return true;
    }
    return gw_j_raise(f->rt, "no argument '%.*s' to format", (int)GW_MIN(name.len, 100u), name.u.s);
}

/* The value of "name.attr[item]". */
static bool field_value(struct formatter *f, struct gw_jv name, struct gw_jv *out) {
    size_t at = 0;
    while (at < name.len && name.u.s[at] != '.' && name.u.s[at] != '[') at++;
    if (!first_value(f, gw_jv_sub(name, 0, at), out)) return false;
    while (at < name.len) {
        bool item = name.u.s[at++] == '[';
        size_t from = at;
        while (at < name.len &&
               (item ? name.u.s[at] != ']' : name.u.s[at] != '.' && name.u.s[at] != '['))
            at++;
        struct gw_jv part = gw_jv_sub(name, from, at);
        int64_t index;
        if (part.len == 0) return gw_j_raise(f->rt, "Empty attribute in format string");
        if (!item) {
            if (!gw_j_getattr(f->rt, *out, part.u.s, part.len, out)) return false;
            continue;
        }
        if (at++ >= name.len) return gw_j_raise(f->rt, "Missing ']' in format string");
        if (!gw_j_getitem(f->rt, *out, is_index(part, &index) ? gw_jv_int(index) : part, out))
            return false;
    }
    return true;
}

static bool format_into(struct formatter *f, struct gw_jbuf *b, struct gw_jv s, int nesting);

/* A field s, without its braces: name, then !conversion, then :specification. */
static bool put_field(struct formatter *f, struct gw_jbuf *b, struct gw_jv s, int nesting) {
    size_t end = 0;
    bool bracket = false;
    for (; end < s.len && (bracket || (s.u.s[end] != '!' && s.u.s[end] != ':')); end++) {
        if (s.u.s[end] == '[') bracket = true;
        if (s.u.s[end] == ']') bracket = false;
    }
    struct gw_jv v, spec = gw_jv_sub(s, end, end), name = gw_jv_sub(s, 0, end);
    char conversion = 0;
    if (end < s.len && s.u.s[end] == '!') {
        if (end + 1 >= s.len || (end + 2 < s.len && s.u.s[end + 2] != ':'))
            return gw_j_raise(f->rt, "expected ':' after conversion specifier");
        conversion = s.u.s[end + 1];
        end += 2;
    }
    if (end < s.len) spec = gw_jv_sub(s, end + 1, s.len);
    if (!field_value(f, name, &v)) return false;
    if (conversion == 'r') {
        struct gw_jbuf repr = {.rt = f->rt};
        gw_j_put_repr(&repr, v);
        if (!gw_j_buf_str(&repr, &v)) return false;
    } else if (conversion == 's') {
        if (!gw_j_to_str(f->rt, v, &v)) return false;
    } else if (conversion != 0) {
        return gw_j_fail(f->rt, GWEN_ERR_UNSUPPORTED, "the conversion !%c is not supported",
                         conversion);
    }
    struct gw_jbuf inner = {.rt = f->rt}, text = {.rt = f->rt};
    if (!format_into(f, &inner, spec, nesting + 1) || !gw_j_buf_str(&inner, &spec)) return false;
    if (!gw_j_put_format(f->markup ? &text : b, v, spec)) return false;
    if (!f->markup) return true;
    if (v.type == GW_J_STR && (v.flags & GW_JF_MARKUP))
        gw_j_put(b, text.p, text.len);
    else
        gw_j_put_escaped(b, text.p, text.len);
    return !f->rt->failed;
}

static bool format_into(struct formatter *f, struct gw_jbuf *b, struct gw_jv s, int nesting) {
    if (nesting > 2) return gw_j_raise(f->rt, "Max string recursion exceeded");
    for (size_t i = 0; i < s.len && !f->rt->failed;) {
        char c = s.u.s[i];
        if (c != '{' && c != '}') {
            gw_j_putc(b, c);
            i++;
            continue;
        }
        if (i + 1 < s.len && s.u.s[i + 1] == c) {
            gw_j_putc(b, c);
            i += 2;
            continue;
        }
        if (c == '}') return gw_j_raise(f->rt, "Single '}' encountered in format string");
        size_t from = ++i, depth = 1;
        for (; i < s.len; i++) {
            if (s.u.s[i] == '{') depth++;
            if (s.u.s[i] == '}' && --depth == 0) break;
        }
        if (i >= s.len) return gw_j_raise(f->rt, "expected '}' before end of string");
        if (!gw_j_steps(f->rt, 1) || !put_field(f, b, gw_jv_sub(s, from, i), nesting)) return false;
        i++;
    }
    return !f->rt->failed;
}

bool gw_j_format(struct gw_jrt *rt, struct gw_jv format, const struct gw_jargs *args,
                 struct gw_jv *out) {
    struct formatter f = {.rt = rt, .args = args, .markup = format.flags & GW_JF_MARKUP};
    struct gw_jbuf b = {.rt = rt};
    if (!format_into(&f, &b, format, 0) || !gw_j_buf_str(&b, out)) return false;
    out->flags = format.flags & GW_JF_MARKUP;
    return true;
}

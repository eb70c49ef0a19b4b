/* methods_split.c - methods of str that cut, join, pad and format. */
#include "text/jinja/object.h"
#include "text/jinja/text.h"

#include <string.h>

#define METHOD(fn)                                                                                 \
    static bool fn(struct gw_jrt *rt, struct gw_jv self, const struct gw_jv *a,                    \
                   const struct gw_jargs *args, struct gw_jv *out)

/* --- cutting -------------------------------------------------------------------------------- */

/* The next stretch of white space (or of anything else) of s from `at` on; its end. */
static size_t skip(struct gw_jv s, size_t at, bool space) {
    uint32_t cp;
    while (at < s.len) {
        size_t n = gw_j_decode(s.u.s + at, &cp);
        if (gw_j_is_space(cp) != space) break;
        at += n;
    }
    return at;
}

static size_t skip_back(struct gw_jv s, size_t at, bool space) {
    uint32_t cp;
    while (at > 0) {
        size_t n = gw_j_decode_back(s.u.s, at, &cp);
        if (gw_j_is_space(cp) != space) break;
        at -= n;
    }
    return at;
}

static bool split_space(struct gw_jrt *rt, struct gw_jv s, uint64_t most, struct gw_jvec *parts) {
    for (size_t at = skip(s, 0, true); at < s.len; at = skip(s, at, true)) {
        size_t end = most-- > 0 ? skip(s, at, false) : s.len;
        if (!gw_j_push(rt, parts, gw_jv_sub(s, at, end))) return false;
        at = end;
    }
    return true;
}

/* From the right; the parts come last first. */
static bool rsplit_space(struct gw_jrt *rt, struct gw_jv s, uint64_t most, struct gw_jvec *parts) {
    for (size_t end = skip_back(s, s.len, true); end > 0; end = skip_back(s, end, true)) {
        size_t at = most-- > 0 ? skip_back(s, end, false) : 0;
        if (!gw_j_push(rt, parts, gw_jv_sub(s, at, end))) return false;
        end = at;
    }
    return true;
}

static bool split_sep(struct gw_jrt *rt, struct gw_jv s, struct gw_jv sep, uint64_t most,
                      struct gw_jvec *parts) {
    size_t at = 0;
    for (; most > 0; most--) {
        const char *p = memmem(s.u.s + at, s.len - at, sep.u.s, sep.len);
        if (p == NULL) break;
        size_t next = (size_t)(p - s.u.s);
        if (!gw_j_push(rt, parts, gw_jv_sub(s, at, next))) return false;
        at = next + sep.len;
    }
    return gw_j_push(rt, parts, gw_jv_sub(s, at, s.len));
}

static bool rsplit_sep(struct gw_jrt *rt, struct gw_jv s, struct gw_jv sep, uint64_t most,
                       struct gw_jvec *parts) {
    size_t end = s.len;
    for (; most > 0; most--) {
        size_t at = gw_j_find(rt, s.u.s, 0, end, sep.u.s, sep.len, true);
        if (at == SIZE_MAX) break;
        if (!gw_j_push(rt, parts, gw_jv_sub(s, at + sep.len, end))) return false;
        end = at;
    }
    return !rt->failed && gw_j_push(rt, parts, gw_jv_sub(s, 0, end));
}

static void reverse(struct gw_jvec *vec) {
    for (size_t i = 0, k = vec->n; i + 1 < k; i++) {
        struct gw_jv swap = vec->v[i];
        vec->v[i] = vec->v[--k];
        vec->v[k] = swap;
    }
}

static bool split(struct gw_jrt *rt, struct gw_jv self, const struct gw_jv *a, bool right,
                  struct gw_jv *out) {
    struct gw_jvec parts = {0};
    struct gw_jv sep;
    int64_t max;
    if (!gw_j_arg_int(rt, a[1], -1, "maxsplit", &max) || !gw_j_scan(rt, self.len)) return false;
    uint64_t most = max < 0 ? UINT64_MAX : (uint64_t)max;
    bool ok;
    if (a[0].type == GW_J_MISSING || a[0].type == GW_J_NONE) {
        ok = gw_j_look(rt, self.len) &&
             (right ? rsplit_space(rt, self, most, &parts) : split_space(rt, self, most, &parts));
    } else {
        if (!gw_j_arg_str(rt, a[0], "the separator", &sep)) return false;
        if (sep.len == 0) return gw_j_raise(rt, "empty separator");
        ok = right ? rsplit_sep(rt, self, sep, most, &parts)
                   : split_sep(rt, self, sep, most, &parts);
    }
    if (right) reverse(&parts);
    return ok && gw_j_steps(rt, parts.n) && gw_j_vec_seq(rt, &parts, GW_J_LIST, out);
}

METHOD(s_split) {
    (void)args;
    return split(rt, self, a, false, out);
}
METHOD(s_rsplit) {
    (void)args;
    return split(rt, self, a, true, out);
}

bool gw_j_splitlines(struct gw_jrt *rt, struct gw_jv s, bool keep_ends, struct gw_jvec *lines) {
    *lines = (struct gw_jvec){0};
    for (size_t at = 0; at < s.len;) {
        uint32_t cp = 0;
        size_t end = at, next = at;
        while (end < s.len) {
            next = end + gw_j_decode(s.u.s + end, &cp);
            if (gw_j_is_line_break(cp)) break;
            end = next;
        }
        if (end < s.len && cp == '\r' && next < s.len && s.u.s[next] == '\n') next++;
        if (!gw_j_push(rt, lines, gw_jv_sub(s, at, keep_ends ? next : end))) return false;
        at = next;
    }
    return gw_j_look(rt, s.len);
}

METHOD(s_splitlines) {
    struct gw_jvec lines;
    (void)args;
    return gw_j_splitlines(rt, self, gw_j_arg_truth(a[0], false), &lines) &&
           gw_j_vec_seq(rt, &lines, GW_J_LIST, out);
}

static bool partition(struct gw_jrt *rt, struct gw_jv self, struct gw_jv given, bool last,
                      struct gw_jv *out) {
    struct gw_jv sep, *part;
    if (!gw_j_arg_str(rt, given, "the separator", &sep)) return false;
    if (sep.len == 0) return gw_j_raise(rt, "empty separator");
    if (!gw_j_seq(rt, GW_J_TUPLE, 3, out, &part)) return false;
    size_t at = gw_j_find(rt, self.u.s, 0, self.len, sep.u.s, sep.len, last);
    part[0] = part[1] = part[2] = gw_jv_sub(self, 0, 0);
    if (at == SIZE_MAX) {
        part[last ? 2 : 0] = self;
    } else {
        part[0] = gw_jv_sub(self, 0, at);
        part[1] = gw_jv_sub(self, at, at + sep.len);
        part[2] = gw_jv_sub(self, at + sep.len, self.len);
    }
    return !rt->failed;
}

METHOD(s_partition) {
    (void)args;
    return partition(rt, self, a[0], false, out);
}
METHOD(s_rpartition) {
    (void)args;
    return partition(rt, self, a[0], true, out);
}

/* --- joining and padding -------------------------------------------------------------------- */

METHOD(s_join) {
    struct gw_jvec items;
    struct gw_jbuf b = {.rt = rt};
    bool markup = self.flags & GW_JF_MARKUP;
    (void)args;
    if (!gw_j_collect(rt, a[0], &items)) return false;
    for (size_t i = 0; i < items.n && !rt->failed; i++) {
        struct gw_jv v = items.v[i];
        if (markup && !gw_j_escape(rt, v, &v)) return false;
        if (v.type != GW_J_STR)
            return gw_j_raise(rt, "sequence item %zu: expected str instance, %s found", i,
                              gw_j_type_name(v));
        if (i > 0) gw_j_put(&b, self.u.s, self.len);
        gw_j_put(&b, v.u.s, v.len);
    }
    if (!gw_j_buf_str(&b, out)) return false;
    out->flags = self.flags & GW_JF_MARKUP;
    return true;
}

enum side { LEFT, RIGHT, CENTER };

static bool pad(struct gw_jrt *rt, struct gw_jv self, const struct gw_jv *a, enum side text_side,
                struct gw_jv *out) {
    int64_t width;
    size_t n;
    struct gw_jv fill = gw_jv_str(" ", 1);
    struct gw_jbuf b = {.rt = rt};
    if (!gw_j_arg_int(rt, a[0], 0, "width", &width) || !gw_j_len(rt, self, &n)) return false;
    if (a[1].type != GW_J_MISSING && !gw_j_arg_str(rt, a[1], "the fill character", &fill))
        return false;
    if (gw_j_cp_count(fill.u.s, fill.len) != 1)
        return gw_j_raise(rt, "The fill character must be exactly one character long");
    if (width > GW_J_MAX_WIDTH)
        return gw_j_raise(rt, "a field wider than %d characters", GW_J_MAX_WIDTH);
    if (width <= (int64_t)n) {
        *out = self;
        return true;
    }
    size_t space = (size_t)width - n, before = 0;
    if (text_side == RIGHT) before = space;
    if (text_side == CENTER) before = space / 2 + (space & (size_t)width & 1);
    gw_j_put_repeat(&b, fill.u.s, fill.len, before);
    gw_j_put(&b, self.u.s, self.len);
    gw_j_put_repeat(&b, fill.u.s, fill.len, space - before);
    if (!gw_j_buf_str(&b, out)) return false;
    out->flags = self.flags & GW_JF_MARKUP;
    return true;
}

METHOD(s_ljust) {
    (void)args;
    return pad(rt, self, a, LEFT, out);
}
METHOD(s_rjust) {
    (void)args;
    return pad(rt, self, a, RIGHT, out);
}
METHOD(s_center) {
    (void)args;
    return pad(rt, self, a, CENTER, out);
}

METHOD(s_zfill) {
    int64_t width;
    size_t n;
    struct gw_jbuf b = {.rt = rt};
    (void)args;
    if (!gw_j_arg_int(rt, a[0], 0, "width", &width) || !gw_j_len(rt, self, &n)) return false;
    if (width > GW_J_MAX_WIDTH)
        return gw_j_raise(rt, "a field wider than %d characters", GW_J_MAX_WIDTH);
    size_t sign = self.len > 0 && (self.u.s[0] == '+' || self.u.s[0] == '-');
    gw_j_put(&b, self.u.s, sign);
    gw_j_put_repeat(&b, "0", 1, width > (int64_t)n ? (size_t)width - n : 0);
    gw_j_put(&b, self.u.s + sign, self.len - sign);
    if (!gw_j_buf_str(&b, out)) return false;
    out->flags = self.flags & GW_JF_MARKUP;
    return true;
}

METHOD(s_expandtabs) {
    int64_t size;
    size_t column = 0;
    struct gw_jbuf b = {.rt = rt};
    (void)args;
    if (!gw_j_arg_int(rt, a[0], 8, "tabsize", &size)) return false;
    if (size > GW_J_MAX_WIDTH) return gw_j_raise(rt, "a tab wider than %d", GW_J_MAX_WIDTH);
    for (size_t i = 0; i < self.len && !rt->failed;) {
        uint32_t cp;
        size_t n = gw_j_decode(self.u.s + i, &cp);
        if (cp == '\t') {
            size_t wide = size > 0 ? (size_t)size - column % (size_t)size : 0;
            gw_j_put_repeat(&b, " ", 1, wide);
            column += wide;
        } else {
            gw_j_put(&b, self.u.s + i, n);
            column = cp == '\n' || cp == '\r' ? 0 : column + 1;
        }
        i += n;
    }
    if (!gw_j_buf_str(&b, out)) return false;
    out->flags = self.flags & GW_JF_MARKUP;
    return true;
}

METHOD(s_format) {
    (void)a;
    return gw_j_format(rt, self, args, out);
}

METHOD(s_format_map) {
    (void)args;
    if (a[0].type != GW_J_DICT)
        return gw_j_raise(rt, "format_map() needs a mapping, not '%s'", gw_j_type_name(a[0]));
    const struct gw_jdict *d = a[0].u.dict;
    struct gw_jkw *kw = gw_j_alloc(rt, d->n + 1, sizeof *kw);
    if (kw == NULL) return false;
    struct gw_jargs named = {.kw = kw};
    for (size_t i = 0; i < d->n; i++)
        if (d->e[i].key.type == GW_J_STR)
            kw[named.n_kw++] = (struct gw_jkw){.name = d->e[i].key, .value = d->e[i].value};
    return gw_j_format(rt, self, &named, out);
}

static const struct gw_jdef defs[] = {
    {.name = "split", .params = "sep,maxsplit", .fn = s_split},
    {.name = "rsplit", .params = "sep,maxsplit", .fn = s_rsplit},
    {.name = "splitlines", .params = "keepends", .fn = s_splitlines},
    {.name = "partition", .params = "sep", .required = 1, .positional = 1, .fn = s_partition},
    {.name = "rpartition", .params = "sep", .required = 1, .positional = 1, .fn = s_rpartition},
    {.name = "join", .params = "iterable", .required = 1, .positional = 1, .fn = s_join},
    {.name = "ljust", .params = "width,fillchar", .required = 1, .positional = 2, .fn = s_ljust},
    {.name = "rjust", .params = "width,fillchar", .required = 1, .positional = 2, .fn = s_rjust},
    {.name = "center", .params = "width,fillchar", .required = 1, .positional = 2, .fn = s_center},
    {.name = "zfill", .params = "width", .required = 1, .positional = 1, .fn = s_zfill},
    {.name = "expandtabs", .params = "tabsize", .fn = s_expandtabs},
    {.name = "format", .fn = s_format},
    {.name = "format_map", .params = "mapping", .required = 1, .positional = 1, .fn = s_format_map},
    {.name = "encode", .kind = GW_JDEF_UNSUPPORTED},
    {.name = "maketrans", .kind = GW_JDEF_UNSUPPORTED},
    {.name = "translate", .kind = GW_JDEF_UNSUPPORTED},
};
const struct gw_jdefs gw_j_str_methods = {defs, GW_ARRAY_LEN(defs)};

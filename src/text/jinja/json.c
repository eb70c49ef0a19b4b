/* json.c - values from Jansson, and json.dumps(). */
#include "text/jinja/runtime.h"
#include "text/jinja/sort.h"
#include "text/jinja/text.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static bool from_array(struct gw_jrt *rt, const json_t *j, unsigned depth, struct gw_jv *out) {
    struct gw_jv *items;
    size_t n = json_array_size(j);
    if (!gw_j_seq(rt, GW_J_LIST, n, out, &items)) return false;
    for (size_t i = 0; i < n; i++)
        if (!gw_j_from_json(rt, json_array_get(j, i), depth + 1, &items[i])) return false;
    return true;
}

static bool from_object(struct gw_jrt *rt, const json_t *j, unsigned depth, struct gw_jv *out) {
    struct gw_jdict *d;
    if (!gw_j_dict(rt, &d)) return false;
    /* Jansson's iterators want a json_t that is not const, and do not change it. */
    json_t *object = (json_t *)(uintptr_t)j;
    for (void *it = json_object_iter(object); it != NULL; it = json_object_iter_next(object, it)) {
        struct gw_jv v, key = gw_jv_str(json_object_iter_key(it), json_object_iter_key_len(it));
        if (!gw_j_from_json(rt, json_object_iter_value(it), depth + 1, &v)) return false;
        if (!gw_j_dict_set(rt, d, key, v)) return false;
    }
    *out = gw_jv_of(GW_J_DICT);
    out->u.dict = d;
    return true;
}

/* Strings are not copied: they stay the JSON value's. */
bool gw_j_from_json(struct gw_jrt *rt, const json_t *j, unsigned depth, struct gw_jv *out) {
    if (depth > GW_J_MAX_DATA_DEPTH) {
        rt->fatal = true;
        return gw_j_fail(rt, GWEN_ERR_NOMEM, "is given data nested deeper than %d levels",
                         GW_J_MAX_DATA_DEPTH);
    }
    switch (json_typeof(j)) {
    case JSON_OBJECT: return from_object(rt, j, depth, out);
    case JSON_ARRAY: return from_array(rt, j, depth, out);
    case JSON_STRING: *out = gw_jv_str(json_string_value(j), json_string_length(j)); break;
    case JSON_INTEGER: *out = gw_jv_int(json_integer_value(j)); break;
    case JSON_REAL: *out = gw_jv_float(json_real_value(j)); break;
    case JSON_TRUE: *out = gw_jv_bool(true); break;
    case JSON_FALSE: *out = gw_jv_bool(false); break;
    case JSON_NULL: *out = gw_jv_none(); break;
    }
    return true;
}

/* --- json.dumps ----------------------------------------------------------------------------- */

struct dumper {
    struct gw_jbuf b;
    const struct gw_jdumps *how;
    size_t level;
};

static bool dump(struct dumper *d, struct gw_jv v);

static void put_unicode_escape(struct gw_jbuf *b, uint32_t cp) {
    if (cp < 0x10000) {
        gw_j_putf(b, "\\u%04x", (unsigned)cp);
        return;
    }
    cp -= 0x10000;
    gw_j_putf(b, "\\u%04x\\u%04x", (unsigned)(0xD800 | cp >> 10), (unsigned)(0xDC00 | (cp & 1023)));
}

static void dump_string(struct dumper *d, struct gw_jv v) {
    struct gw_jbuf *b = &d->b;
    if (!gw_j_look(b->rt, v.len)) return;
    gw_j_putc(b, '"');
    for (size_t i = 0, n; i < v.len && !b->rt->failed; i += n) {
        uint32_t cp;
        n = gw_j_decode(v.u.s + i, &cp);
        static const char plain[] = "\"\\\n\r\t\f\b", letter[] = "\"\\nrtfb";
        const char *p = cp != 0 && cp < 0x80 ? strchr(plain, (int)cp) : NULL;
        if (p != NULL)
            gw_j_putf(b, "\\%c", letter[p - plain]);
        else if (cp < 0x20 || (d->how->ensure_ascii && cp >= 0x7F))
            put_unicode_escape(b, cp);
        else
            gw_j_put(b, v.u.s + i, n);
    }
    gw_j_putc(b, '"');
}

static void dump_float(struct dumper *d, double v) {
    char text[32];
    gw_j_float_repr(v, text);
    gw_j_puts(&d->b, isfinite(v) ? text : isnan(v) ? "NaN" : v < 0 ? "-Infinity" : "Infinity");
}

static void new_line(struct dumper *d) {
    if (!d->how->has_indent) return;
    gw_j_putc(&d->b, '\n');
    gw_j_put_repeat(&d->b, d->how->indent.u.s, d->how->indent.len, d->level);
}

static bool dump_seq(struct dumper *d, const struct gw_jseq *s) {
    gw_j_putc(&d->b, '[');
    d->level++;
    for (size_t i = 0; i < s->n; i++) {
        if (i > 0) gw_j_put(&d->b, d->how->item_sep.u.s, d->how->item_sep.len);
        new_line(d);
        if (!dump(d, s->v[i])) return false;
    }
    d->level--;
    if (s->n > 0) new_line(d);
    gw_j_putc(&d->b, ']');
    return true;
}

static bool dump_key(struct dumper *d, struct gw_jv key) {
    switch ((enum gw_jtype)key.type) {
    case GW_J_STR: dump_string(d, key); return true;
    case GW_J_NONE:
    case GW_J_BOOL:
    case GW_J_INT:
    case GW_J_FLOAT:
        gw_j_putc(&d->b, '"');
        if (!dump(d, key)) return false;
        gw_j_putc(&d->b, '"');
        return true;
    default:
        return gw_j_raise(d->b.rt, "keys must be str, int, float, bool or None, not %s",
                          gw_j_type_name(key));
    }
}

static bool dump_dict(struct dumper *d, const struct gw_jdict *dict) {
    const struct gw_jentry *e = dict->e;
    if (d->how->sort_keys && !gw_j_sorted_entries(d->b.rt, dict, &e)) return false;
    gw_j_putc(&d->b, '{');
    d->level++;
    for (size_t i = 0; i < dict->n; i++) {
        if (i > 0) gw_j_put(&d->b, d->how->item_sep.u.s, d->how->item_sep.len);
        new_line(d);
        if (!dump_key(d, e[i].key)) return false;
        gw_j_put(&d->b, d->how->key_sep.u.s, d->how->key_sep.len);
        if (!dump(d, e[i].value)) return false;
    }
    d->level--;
    if (dict->n > 0) new_line(d);
    gw_j_putc(&d->b, '}');
    return true;
}

static bool dump(struct dumper *d, struct gw_jv v) {
    struct gw_jrt *rt = d->b.rt;
    bool ok = gw_j_enter(rt);
    if (!ok) return false;
    switch ((enum gw_jtype)v.type) {
    case GW_J_NONE: gw_j_puts(&d->b, "null"); break;
    case GW_J_BOOL: gw_j_puts(&d->b, v.u.b ? "true" : "false"); break;
    case GW_J_INT: gw_j_putf(&d->b, "%" PRId64, v.u.i); break;
    case GW_J_FLOAT: dump_float(d, v.u.f); break;
    case GW_J_STR: dump_string(d, v); break;
    case GW_J_LIST:
    case GW_J_TUPLE: ok = dump_seq(d, v.u.seq); break;
    case GW_J_DICT: ok = dump_dict(d, v.u.dict); break;
    default: ok = gw_j_raise(rt, "Object of type %s is not JSON serializable", gw_j_type_name(v));
    }
    rt->depth--;
    return ok && !rt->failed;
}

bool gw_j_dumps(struct gw_jrt *rt, struct gw_jv v, const struct gw_jdumps *how, struct gw_jv *out) {
    struct dumper d = {.b = {.rt = rt}, .how = how};
    return dump(&d, v) && gw_j_buf_str(&d.b, out);
}

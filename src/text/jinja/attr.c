/* attr.c - attributes and items.  v.name is Python's attribute first and the item second, v[key]
 * the other way round; a dict's method therefore hides a member of the same name in v.name. */
#include "text/jinja/object.h"
#include "text/jinja/text.h"

#include <string.h>

static bool is(const char *name, size_t len, const char *text) {
    return strlen(text) == len && memcmp(name, text, len) == 0;
}

static bool bind_method(struct gw_jrt *rt, struct gw_jv self, const struct gw_jdef *def,
                        const char *name, size_t len, struct gw_jv *out) {
    if (def->kind == GW_JDEF_UNSAFE) {
        *out = gw_jv_undefined(GW_JU_UNSAFE, (enum gw_jtype)self.type, name, len);
        return true;
    }
    struct gw_jmethod *m = GW_J_NEW(rt, struct gw_jmethod);
    if (m == NULL) return false;
    *m = (struct gw_jmethod){.self = self, .def = def};
    *out = gw_jv_of(GW_J_METHOD);
    out->u.method = m;
    return true;
}

/* The fields of numbers, ranges and groups. */
static bool plain_attribute(struct gw_jv v, const char *name, size_t len, struct gw_jv *out) {
    if (gw_jv_is_number(v)) {
        bool real = is(name, len, "real"), imag = is(name, len, "imag");
        bool ratio = v.type != GW_J_FLOAT;
        if (real || (ratio && is(name, len, "numerator")))
            *out = v.type == GW_J_FLOAT ? v : gw_jv_int(gw_jv_to_int(v));
        else if (imag)
            *out = v.type == GW_J_FLOAT ? gw_jv_float(0) : gw_jv_int(0);
        else if (ratio && is(name, len, "denominator"))
            *out = gw_jv_int(1);
    } else if (v.type == GW_J_RANGE) {
        if (is(name, len, "start")) *out = gw_jv_int(v.u.range->start);
        if (is(name, len, "stop")) *out = gw_jv_int(v.u.range->stop);
        if (is(name, len, "step")) *out = gw_jv_int(v.u.range->step);
    } else if (v.type == GW_J_TUPLE && v.aux == 1) { /* what groupby gives */
        if (is(name, len, "grouper")) *out = v.u.seq->v[0];
        if (is(name, len, "list")) *out = v.u.seq->v[1];
    } else if (v.type == GW_J_CYCLER) {
        if (is(name, len, "current")) *out = v.u.cycler->items->v[v.u.cycler->pos];
    }
    return out->type != GW_J_MISSING;
}

bool gw_j_attribute(struct gw_jrt *rt, struct gw_jv v, const char *name, size_t len,
                    struct gw_jv *out) {
    *out = gw_jv_of(GW_J_MISSING);
    switch ((enum gw_jtype)v.type) {
    case GW_J_UNDEFINED: return gw_j_fail_undefined(rt, v);
    case GW_J_LOOP:
        if (!gw_j_loop_attr(rt, v.u.loop, name, len, out)) return false;
        break;
    case GW_J_MACRO:
        if (!gw_j_macro_attr(rt, v.u.macro, name, len, out)) return false;
        break;
    case GW_J_NAMESPACE:
        if (!gw_j_dict_get(rt, v.u.dict, gw_jv_str(name, len), out)) return false;
        break;
    default: break;
    }
    if (out->type != GW_J_MISSING || plain_attribute(v, name, len, out)) return true;
    const struct gw_jdef *def = gw_j_method(v, name, len);
    return def == NULL || bind_method(rt, v, def, name, len, out);
}

bool gw_j_getattr(struct gw_jrt *rt, struct gw_jv v, const char *name, size_t len,
                  struct gw_jv *out) {
    if (!gw_j_attribute(rt, v, name, len, out)) return false;
    if (out->type == GW_J_MISSING && v.type == GW_J_DICT &&
        !gw_j_dict_get(rt, v.u.dict, gw_jv_str(name, len), out))
        return false;
    if (out->type == GW_J_MISSING)
        *out = gw_jv_undefined(GW_JU_ATTR, (enum gw_jtype)v.type, name, len);
    return true;
}

/* v[key] as Python has it; *out MISSING where Python would raise a TypeError or LookupError. */
static bool subscript(struct gw_jrt *rt, struct gw_jv v, struct gw_jv key, struct gw_jv *out) {
    *out = gw_jv_of(GW_J_MISSING);
    if (v.type == GW_J_UNDEFINED) return gw_j_fail_undefined(rt, v);
    if (v.type == GW_J_DICT) {
        if (key.type == GW_J_LIST || key.type == GW_J_DICT || key.type == GW_J_VIEW) return true;
        return gw_j_dict_get(rt, v.u.dict, key, out);
    }
    bool indexed =
        v.type == GW_J_STR || v.type == GW_J_LIST || v.type == GW_J_TUPLE || v.type == GW_J_RANGE;
    size_t n;
    if (!indexed || !gw_jv_is_int(key)) return true;
    if (!gw_j_len(rt, v, &n)) return false;
    int64_t i = gw_jv_to_int(key);
    if (i < 0) i += (int64_t)n;
    if (i < 0 || i >= (int64_t)n) return true;
    if (v.type == GW_J_STR) {
        uint32_t cp;
        size_t at = gw_j_cp_offset(v.u.s, v.len, (size_t)i);
        *out = gw_jv_sub(v, at, at + gw_j_decode(v.u.s + at, &cp));
    } else if (v.type == GW_J_RANGE) {
        *out = gw_jv_int(v.u.range->start + i * v.u.range->step);
    } else {
        *out = v.u.seq->v[i];
    }
    return true;
}

bool gw_j_getitem(struct gw_jrt *rt, struct gw_jv v, struct gw_jv key, struct gw_jv *out) {
    if (!subscript(rt, v, key, out)) return false;
    if (out->type != GW_J_MISSING) return true;
    if (key.type == GW_J_STR) {
        if (!gw_j_attribute(rt, v, key.u.s, key.len, out)) return false;
        if (out->type == GW_J_MISSING)
            *out = gw_jv_undefined(GW_JU_ATTR, (enum gw_jtype)v.type, key.u.s, key.len);
        return true;
    }
    struct gw_jbuf b = {.rt = rt};
    struct gw_jv text;
    gw_j_put_repr(&b, key);
    if (!gw_j_buf_str(&b, &text)) return false;
    *out = gw_jv_undefined(GW_JU_ELEMENT, (enum gw_jtype)v.type, text.u.s, text.len);
    return true;
}

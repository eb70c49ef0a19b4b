/* methods.c - methods of dicts, lists, tuples, ranges, numbers and cyclers.  Those that change a
 * dict or list are marked unsafe, as the sandbox does: the template finds them undefined. */
#include "text/jinja/object.h"

#include <math.h>
#include <string.h>

#define METHOD(fn)                                                                                 \
    static bool fn(struct gw_jrt *rt, struct gw_jv self, const struct gw_jv *a,                    \
                   const struct gw_jargs *args, struct gw_jv *out)

static struct gw_jv view(struct gw_jv dict, int kind) {
    dict.type = GW_J_VIEW;
    dict.aux = (uint16_t)kind;
    return dict;
}

METHOD(dict_keys) {
    (void)rt, (void)a, (void)args;
    *out = view(self, GW_JVIEW_KEYS);
    return true;
}
METHOD(dict_values) {
    (void)rt, (void)a, (void)args;
    *out = view(self, GW_JVIEW_VALUES);
    return true;
}
METHOD(dict_items) {
    (void)rt, (void)a, (void)args;
    *out = view(self, GW_JVIEW_ITEMS);
    return true;
}
METHOD(dict_get) {
    (void)args;
    if (!gw_j_dict_get(rt, self.u.dict, a[0], out)) return false;
    if (out->type == GW_J_MISSING) *out = a[1].type != GW_J_MISSING ? a[1] : gw_jv_none();
    return true;
}
METHOD(same_value) { /* what cannot change need not be copied */
    (void)rt, (void)a, (void)args;
    *out = self;
    return true;
}
METHOD(dict_fromkeys) {
    struct gw_jvec keys;
    struct gw_jdict *d;
    (void)self, (void)args;
    if (!gw_j_collect(rt, a[0], &keys) || !gw_j_dict(rt, &d)) return false;
    struct gw_jv value = a[1].type != GW_J_MISSING ? a[1] : gw_jv_none();
    for (size_t i = 0; i < keys.n; i++)
        if (!gw_j_dict_set(rt, d, keys.v[i], value)) return false;
    *out = gw_jv_of(GW_J_DICT);
    out->u.dict = d;
    return true;
}

METHOD(seq_count) {
    struct gw_jvec items;
    int64_t n = 0;
    (void)args;
    if (!gw_j_collect(rt, self, &items)) return false;
    for (size_t i = 0; i < items.n; i++) {
        bool equal = gw_j_same(items.v[i], a[0]);
        if (!equal && !gw_j_equal(rt, items.v[i], a[0], &equal)) return false;
        n += equal;
    }
    *out = gw_jv_int(n);
    return true;
}

METHOD(seq_index) {
    struct gw_jvec items;
    int64_t start, stop;
    (void)args;
    if (!gw_j_arg_int(rt, a[1], 0, "start", &start) ||
        !gw_j_arg_int(rt, a[2], INT64_MAX, "stop", &stop) || !gw_j_collect(rt, self, &items))
        return false;
    int64_t n = (int64_t)items.n;
    if (start < 0) start = GW_MAX(start + n, 0);
    if (stop < 0) stop = GW_MAX(stop + n, 0);
    for (int64_t i = start; i < n && i < stop; i++) {
        bool equal = gw_j_same(items.v[i], a[0]);
        if (!equal && !gw_j_equal(rt, items.v[i], a[0], &equal)) return false;
        if (!equal) continue;
        *out = gw_jv_int(i);
        return true;
    }
    return gw_j_raise(rt, "the value is not in the %s", gw_j_type_name(self));
}

METHOD(float_is_integer) {
    (void)rt, (void)a, (void)args;
    *out = gw_jv_bool(isfinite(self.u.f) && self.u.f == floor(self.u.f));
    return true;
}
METHOD(number_conjugate) {
    (void)rt, (void)a, (void)args;
    *out = self.type == GW_J_FLOAT ? self : gw_jv_int(gw_jv_to_int(self));
    return true;
}
METHOD(int_bit_length) {
    (void)rt, (void)a, (void)args;
    int64_t i = gw_jv_to_int(self);
    uint64_t magnitude = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    *out = gw_jv_int(magnitude == 0 ? 0 : 64 - __builtin_clzll(magnitude));
    return true;
}

METHOD(cycler_next) {
    (void)rt, (void)a, (void)args;
    struct gw_jcycler *c = self.u.cycler;
    *out = c->items->v[c->pos];
    c->pos = (c->pos + 1) % c->items->n;
    return true;
}
METHOD(cycler_reset) {
    (void)rt, (void)a, (void)args;
    self.u.cycler->pos = 0;
    *out = gw_jv_none();
    return true;
}

#define UNSAFE(n)                                                                                  \
    { .name = n, .kind = GW_JDEF_UNSAFE }
#define UNSUPPORTED(n)                                                                             \
    { .name = n, .kind = GW_JDEF_UNSUPPORTED }

static const struct gw_jdef dict_methods[] = {
    {.name = "keys", .params = "", .fn = dict_keys},
    {.name = "values", .params = "", .fn = dict_values},
    {.name = "items", .params = "", .fn = dict_items},
    {.name = "get", .params = "key,default", .required = 1, .positional = 2, .fn = dict_get},
    {.name = "copy", .params = "", .fn = same_value},
    {.name = "fromkeys",
     .params = "iterable,value",
     .required = 1,
     .positional = 2,
     .fn = dict_fromkeys},
    UNSAFE("clear"),
    UNSAFE("pop"),
    UNSAFE("popitem"),
    UNSAFE("setdefault"),
    UNSAFE("update"),
};
/* index and count come first: tuples and ranges have those two only. */
enum { N_SEQ_METHODS = 2 };
static const struct gw_jdef list_methods[] = {
    {.name = "index",
     .params = "value,start,stop",
     .required = 1,
     .positional = 3,
     .fn = seq_index},
    {.name = "count", .params = "value", .required = 1, .positional = 1, .fn = seq_count},
    {.name = "copy", .params = "", .fn = same_value},
    UNSAFE("append"),
    UNSAFE("clear"),
    UNSAFE("pop"),
    UNSAFE("reverse"),
    UNSAFE("insert"),
    UNSAFE("sort"),
    UNSAFE("extend"),
    UNSAFE("remove"),
};
static const struct gw_jdef view_methods[] = {
    UNSUPPORTED("isdisjoint"),
    UNSUPPORTED("mapping"),
};
static const struct gw_jdef int_methods[] = {
    {.name = "conjugate", .params = "", .fn = number_conjugate},
    {.name = "bit_length", .params = "", .fn = int_bit_length},
    UNSUPPORTED("bit_count"),
    UNSUPPORTED("as_integer_ratio"),
    UNSUPPORTED("to_bytes"),
    UNSUPPORTED("from_bytes"),
};
static const struct gw_jdef float_methods[] = {
    {.name = "conjugate", .params = "", .fn = number_conjugate},
    {.name = "is_integer", .params = "", .fn = float_is_integer},
    UNSUPPORTED("as_integer_ratio"),
    UNSUPPORTED("hex"),
    UNSUPPORTED("fromhex"),
};
static const struct gw_jdef cycler_methods[] = {
    {.name = "next", .params = "", .fn = cycler_next},
    {.name = "reset", .params = "", .fn = cycler_reset},
};

#define FIND(table) gw_j_find_def(table, GW_ARRAY_LEN(table), name, len)

const struct gw_jdef *gw_j_method(struct gw_jv v, const char *name, size_t len) {
    const struct gw_jdef *def;
    switch ((enum gw_jtype)v.type) {
    case GW_J_STR:
        def = gw_j_find_def(gw_j_str_methods.v, gw_j_str_methods.n, name, len);
        return def != NULL
                   ? def
                   : gw_j_find_def(gw_j_str_class_methods.v, gw_j_str_class_methods.n, name, len);
    case GW_J_DICT: return FIND(dict_methods);
    case GW_J_LIST: return FIND(list_methods);
    case GW_J_TUPLE:
    case GW_J_RANGE: return gw_j_find_def(list_methods, N_SEQ_METHODS, name, len);
    case GW_J_VIEW: return FIND(view_methods);
    case GW_J_BOOL:
    case GW_J_INT: return FIND(int_methods);
    case GW_J_FLOAT: return FIND(float_methods);
    case GW_J_CYCLER: return FIND(cycler_methods);
    case GW_J_FUNC:
        def = FIND(dict_methods);
        return v.u.func == gw_j_function("dict", 4) && def != NULL && def->fn == dict_fromkeys
                   ? def
                   : NULL;
    default: return NULL;
    }
}

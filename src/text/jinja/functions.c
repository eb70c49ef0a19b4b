/* functions.c - global functions. */
#include "text/jinja/object.h"

#include <string.h>

static bool fn_range(struct gw_jrt *rt, struct gw_jv self, const struct gw_jv *a,
                     const struct gw_jargs *args, struct gw_jv *out) {
    int64_t start, stop, step;
    (void)self;
    (void)args;
    if (!gw_j_arg_int(rt, a[0], 0, "range() argument", &start) ||
        !gw_j_arg_int(rt, a[1], 0, "range() argument", &stop) ||
        !gw_j_arg_int(rt, a[2], 1, "range() argument", &step))
        return false;
    if (a[1].type == GW_J_MISSING) {
        stop = start;
        start = 0;
    }
    if (step == 0) return gw_j_raise(rt, "range() arg 3 must not be zero");
    uint64_t stride = step < 0 ? 0 - (uint64_t)step : (uint64_t)step, n = 0;
    if (step > 0 ? stop > start : stop < start) {
        uint64_t span =
            step > 0 ? (uint64_t)stop - (uint64_t)start : (uint64_t)start - (uint64_t)stop;
        n = (span - 1) / stride + 1;
    }
    if (n > GW_J_MAX_RANGE)
        return gw_j_raise(rt, "Range too big. The sandbox blocks ranges larger than %d.",
                          GW_J_MAX_RANGE);
    struct gw_jrange *r = GW_J_NEW(rt, struct gw_jrange);
    if (r == NULL) return false;
    *r = (struct gw_jrange){.start = start, .stop = stop, .step = step, .n = (size_t)n};
    *out = gw_jv_of(GW_J_RANGE);
    out->u.range = r;
    return true;
}

/* A pair (key, value) in any iterable. */
static bool set_pair(struct gw_jrt *rt, struct gw_jdict *d, struct gw_jv pair) {
    struct gw_jvec two;
    if (!gw_j_collect(rt, pair, &two)) return false;
    if (two.n != 2)
        return gw_j_raise(rt, "dictionary update sequence element has length %zu; 2 is required",
                          two.n);
    return gw_j_dict_set(rt, d, two.v[0], two.v[1]);
}

/* dict(mapping or pairs, **kwargs) */
static bool build_dict(struct gw_jrt *rt, const struct gw_jargs *args, const char *what,
                       struct gw_jdict **out) {
    if (args->n_pos > 1)
        return gw_j_raise(rt, "%s expected at most 1 argument, got %zu", what, args->n_pos);
    if (!gw_j_dict(rt, out)) return false;
    if (args->n_pos == 1 && args->pos[0].type == GW_J_UNDEFINED)
        return gw_j_fail_undefined(rt, args->pos[0]);
    if (args->n_pos == 1 && args->pos[0].type == GW_J_DICT) {
        const struct gw_jdict *from = args->pos[0].u.dict;
        for (size_t i = 0; i < from->n; i++)
            if (!gw_j_dict_set(rt, *out, from->e[i].key, from->e[i].value)) return false;
    } else if (args->n_pos == 1) {
        struct gw_jvec pairs;
        if (!gw_j_collect(rt, args->pos[0], &pairs)) return false;
        for (size_t i = 0; i < pairs.n; i++)
            if (!set_pair(rt, *out, pairs.v[i])) return false;
    }
    for (size_t i = 0; i < args->n_kw; i++)
        if (!gw_j_dict_set(rt, *out, args->kw[i].name, args->kw[i].value)) return false;
    return true;
}

static bool fn_dict(struct gw_jrt *rt, struct gw_jv self, const struct gw_jv *a,
                    const struct gw_jargs *args, struct gw_jv *out) {
    struct gw_jdict *d;
    (void)self;
    (void)a;
    if (!build_dict(rt, args, "dict", &d)) return false;
    *out = gw_jv_of(GW_J_DICT);
    out->u.dict = d;
    return true;
}

static bool fn_namespace(struct gw_jrt *rt, struct gw_jv self, const struct gw_jv *a,
                         const struct gw_jargs *args, struct gw_jv *out) {
    struct gw_jdict *d;
    (void)self;
    (void)a;
    if (!build_dict(rt, args, "namespace", &d)) return false;
    for (size_t i = 0; i < d->n; i++) {
        struct gw_jv key = d->e[i].key;
        if (key.type == GW_J_STR && key.len > 0 && key.u.s[0] == '_')
            return gw_j_raise(rt,
                              "Chat templates cannot store underscore-prefixed attributes on a "
                              "namespace, but got '%.*s'",
                              (int)GW_MIN(key.len, 100u), key.u.s);
    }
    *out = gw_jv_of(GW_J_NAMESPACE);
    out->u.dict = d;
    return true;
}

static bool fn_raise_exception(struct gw_jrt *rt, struct gw_jv self, const struct gw_jv *a,
                               const struct gw_jargs *args, struct gw_jv *out) {
    struct gw_jv text;
    (void)self;
    (void)args;
    (void)out;
    if (!gw_j_to_str(rt, a[0], &text)) return false;
    return gw_j_raise(rt, "%.*s", (int)GW_MIN(text.len, 800u), text.u.s);
}

static bool fn_strftime_now(struct gw_jrt *rt, struct gw_jv self, const struct gw_jv *a,
                            const struct gw_jargs *args, struct gw_jv *out) {
    struct gw_jv format;
    (void)self;
    (void)args;
    return gw_j_arg_str(rt, a[0], "strftime_now() argument", &format) &&
           gw_j_strftime(rt, format, out);
}

static bool fn_cycler(struct gw_jrt *rt, struct gw_jv self, const struct gw_jv *a,
                      const struct gw_jargs *args, struct gw_jv *out) {
    struct gw_jv items, *v;
    (void)self;
    (void)a;
    if (args->n_kw > 0) return gw_j_raise(rt, "cycler() takes no keyword arguments");
    if (args->n_pos == 0) return gw_j_raise(rt, "at least one item has to be provided");
    struct gw_jcycler *c = GW_J_NEW(rt, struct gw_jcycler);
    if (c == NULL || !gw_j_seq(rt, GW_J_TUPLE, args->n_pos, &items, &v)) return false;
    memcpy(v, args->pos, args->n_pos * sizeof *v);
    c->items = items.u.seq;
    *out = gw_jv_of(GW_J_CYCLER);
    out->u.cycler = c;
    return true;
}

static bool fn_joiner(struct gw_jrt *rt, struct gw_jv self, const struct gw_jv *a,
                      const struct gw_jargs *args, struct gw_jv *out) {
    (void)self;
    (void)args;
    struct gw_jjoiner *j = GW_J_NEW(rt, struct gw_jjoiner);
    if (j == NULL) return false;
    j->sep = a[0].type != GW_J_MISSING ? a[0] : gw_jv_str(", ", 2);
    *out = gw_jv_of(GW_J_JOINER);
    out->u.joiner = j;
    return true;
}

static const struct gw_jdef functions[] = {
    {.name = "range", .params = "start,stop,step", .required = 1, .positional = 3, .fn = fn_range},
    {.name = "dict", .fn = fn_dict},
    {.name = "namespace", .fn = fn_namespace},
    {.name = "raise_exception", .params = "message", .required = 1, .fn = fn_raise_exception},
    {.name = "strftime_now", .params = "format", .required = 1, .fn = fn_strftime_now},
    {.name = "cycler", .fn = fn_cycler},
    {.name = "joiner", .params = "sep", .fn = fn_joiner},
    {.name = "lipsum", .kind = GW_JDEF_UNSUPPORTED},
};

const struct gw_jdef *gw_j_function(const char *name, size_t len) {
    return gw_j_find_def(functions, GW_ARRAY_LEN(functions), name, len);
}

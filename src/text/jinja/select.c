/* select.c - map, select, reject, selectattr, rejectattr, and attributes of items. */
#include "text/jinja/select.h"

#include "text/jinja/object.h"
#include "text/jinja/text.h"

#include <string.h>

/* --- attributes ----------------------------------------------------------------------------- */

static bool is_number(const char *s, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (s[i] < '0' || s[i] > '9') return false;
    return len > 0 && len < 18;
}

/* "a.0.b" as names and numbers. */
static bool parse_path(struct gw_jrt *rt, const char *s, size_t len, struct gw_jvec *out) {
    *out = (struct gw_jvec){0};
    for (size_t at = 0;;) {
        const char *dot = memchr(s + at, '.', len - at);
        size_t n = dot != NULL ? (size_t)(dot - s) - at : len - at;
        struct gw_jv part = gw_jv_str(s + at, n);
        int64_t i;
        if (is_number(s + at, n) && gw_j_parse_int(s + at, n, 10, &i) == GW_J_PARSED)
            part = gw_jv_int(i);
        if (!gw_j_push(rt, out, part)) return false;
        if (dot == NULL) return true;
        at += n + 1;
    }
}

static bool attr_parse(struct gw_jrt *rt, struct gw_jv given, bool many, struct gw_jattr *out) {
    *out = (struct gw_jattr){.many = many};
    if (given.type == GW_J_MISSING || given.type == GW_J_NONE) return true;
    size_t n = 1;
    for (size_t i = 0; many && given.type == GW_J_STR && i < given.len; i++)
        n += given.u.s[i] == ',';
    struct gw_jvec *paths = gw_j_alloc(rt, n, sizeof *paths);
    if (paths == NULL) return false;
    out->paths = paths;
    out->n = n;
    if (given.type != GW_J_STR) return gw_j_push(rt, &paths[0], given);
    for (size_t i = 0, at = 0; i < n; i++) {
        const char *comma = many ? memchr(given.u.s + at, ',', given.len - at) : NULL;
        size_t len = comma != NULL ? (size_t)(comma - given.u.s) - at : given.len - at;
        if (!parse_path(rt, given.u.s + at, len, &paths[i])) return false;
        at += len + 1;
    }
    return true;
}

bool gw_j_attr_parse(struct gw_jrt *rt, struct gw_jv given, struct gw_jattr *out) {
    return attr_parse(rt, given, false, out);
}

bool gw_j_attr_parse_many(struct gw_jrt *rt, struct gw_jv given, struct gw_jattr *out) {
    return attr_parse(rt, given, true, out);
}

static bool follow(struct gw_jrt *rt, const struct gw_jattr *attr, size_t path, struct gw_jv v,
                   struct gw_jv *out) {
    *out = v;
    for (size_t i = 0; path < attr->n && i < attr->paths[path].n; i++) {
        if (!gw_j_getitem(rt, *out, attr->paths[path].v[i], out)) return false;
        if (out->type == GW_J_UNDEFINED && attr->when_undefined.type != GW_J_MISSING)
            *out = attr->when_undefined;
    }
    return true;
}

bool gw_j_attr_get(struct gw_jrt *rt, const struct gw_jattr *attr, struct gw_jv v,
                   struct gw_jv *out) {
    return follow(rt, attr, 0, v, out);
}

static bool ignore_case(struct gw_jrt *rt, bool case_sensitive, struct gw_jv *v) {
    return case_sensitive || v->type != GW_J_STR || gw_j_case(rt, *v, GW_J_LOWER, v);
}

bool gw_j_attr_key(struct gw_jrt *rt, const struct gw_jattr *attr, struct gw_jv v,
                   bool case_sensitive, struct gw_jv *out) {
    if (!attr->many) return follow(rt, attr, 0, v, out) && ignore_case(rt, case_sensitive, out);
    struct gw_jv *items;
    size_t n = GW_MAX(attr->n, (size_t)1);
    if (!gw_j_seq(rt, GW_J_LIST, n, out, &items)) return false;
    for (size_t i = 0; i < n; i++)
        if (!follow(rt, attr, i, v, &items[i]) || !ignore_case(rt, case_sensitive, &items[i]))
            return false;
    return true;
}

/* --- generators ----------------------------------------------------------------------------- */

/* What is done with each element. */
struct step {
    const struct gw_jattr *attr; /* looked up first; NULL: the element itself */
    const struct gw_jdef *def;   /* then this filter or test; NULL: truth */
    const struct gw_jv *unknown; /* its name, when there is none of that name */
    struct gw_jargs args;
    bool map;    /* the result is the new element; else it decides whether the element stays */
    bool reject; /* ... and this turns the decision round */
};

static bool apply(struct gw_jrt *rt, const struct step *s, struct gw_jv item, struct gw_jvec *out) {
    struct gw_jv v = item, result;
    if (s->attr != NULL && !gw_j_attr_get(rt, s->attr, item, &v)) return false;
    if (s->unknown != NULL)
        return gw_j_fail(rt, GWEN_ERR_UNSUPPORTED, "no %s named '%.*s'", s->map ? "filter" : "test",
                         (int)GW_MIN(s->unknown->len, 100u), s->unknown->u.s);
    result = v;
    if (s->def != NULL && !gw_j_run(rt, s->def, v, &s->args, &result)) return false;
    if (s->map) return gw_j_push(rt, out, result);
    return gw_j_truth(result) == s->reject || gw_j_push(rt, out, item);
}

/* Collects what the generator gives; false at the first error. */
static bool generate_into(struct gw_jrt *rt, struct gw_jv self, const struct step *s,
                          struct gw_jvec *out) {
    struct gw_jcursor c;
    struct gw_jv item;
    if (!gw_j_iterate(rt, self, &c)) return false;
    for (;;) {
        if (!gw_j_next(rt, &c, &item)) return false;
        if (item.type == GW_J_MISSING) return true;
        if (!apply(rt, s, item, out)) return false;
    }
}

typedef bool prepare_fn(struct gw_jrt *rt, const struct gw_jargs *args, struct step *s,
                        struct gw_jattr *attr);

/* The elements of self after the step that `prepare` makes of *args, as a generator.  In Python an
 * element is worked out when it is asked for; nothing that filters do can tell the difference, but
 * for errors: the first one is put by, and raised when the generator comes to it. */
static bool generate(struct gw_jrt *rt, struct gw_jv self, const struct gw_jargs *args,
                     prepare_fn *prepare, struct step s, struct gw_jv *out) {
    struct gw_jattr attr;
    struct gw_jvec kept = {0};
    struct gwen_err *pending = NULL;
    uint32_t depth = rt->depth, line = rt->line;
    bool ok =
        !gw_j_truth(self) || (prepare(rt, args, &s, &attr) && generate_into(rt, self, &s, &kept));
    if (!ok) {
        if (rt->fatal) return false;
        struct gwen_err error = rt->error;
        rt->failed = false;
        rt->depth = depth;
        rt->line = line;
        pending = GW_J_NEW(rt, struct gwen_err);
        if (pending == NULL) return false;
        *pending = error;
    }
    if (!gw_j_iter(rt, kept.v, kept.n, "generator", out)) return false;
    out->u.iter->pending = pending;
    return true;
}

/* The first positional argument left is the name of a filter or test. */
static bool take_name(struct gw_jrt *rt, const struct gw_jargs *args, size_t skip, struct step *s) {
    struct gw_jv name;
    if (!gw_j_arg_str(rt, args->pos[skip], "the name of a filter or test", &name)) return false;
    s->def = s->map ? gw_j_filter(name.u.s, name.len) : gw_j_test(name.u.s, name.len);
    if (s->def == NULL) s->unknown = &args->pos[skip];
    s->args = *args;
    s->args.pos += skip + 1;
    s->args.n_pos -= skip + 1;
    return true;
}

static bool prepare_map(struct gw_jrt *rt, const struct gw_jargs *args, struct step *s,
                        struct gw_jattr *attr) {
    struct gw_jv attribute = gw_jv_of(GW_J_MISSING), when_undefined = attribute, other = attribute;
    if (args->n_pos > 0) return take_name(rt, args, 0, s);
    for (size_t i = 0; i < args->n_kw; i++) {
        struct gw_jv name = args->kw[i].name;
        if (gw_jv_equals_text(name, "attribute"))
            attribute = args->kw[i].value;
        else if (gw_jv_equals_text(name, "default"))
            when_undefined = args->kw[i].value;
        else
            other = name;
    }
    if (attribute.type == GW_J_MISSING) return gw_j_raise(rt, "map requires a filter argument");
    if (other.type != GW_J_MISSING)
        return gw_j_raise(rt, "Unexpected keyword argument '%.*s'", (int)GW_MIN(other.len, 100u),
                          other.u.s);
    if (!gw_j_attr_parse(rt, attribute, attr)) return false;
    if (when_undefined.type != GW_J_NONE) attr->when_undefined = when_undefined;
    s->attr = attr;
    return true;
}

static bool prepare_select(struct gw_jrt *rt, const struct gw_jargs *args, struct step *s,
                           struct gw_jattr *attr) {
    (void)attr;
    return args->n_pos == 0 || take_name(rt, args, 0, s);
}

static bool prepare_selectattr(struct gw_jrt *rt, const struct gw_jargs *args, struct step *s,
                               struct gw_jattr *attr) {
    if (args->n_pos == 0) return gw_j_raise(rt, "Missing parameter for attribute name");
    if (!gw_j_attr_parse(rt, args->pos[0], attr)) return false;
    s->attr = attr;
    return args->n_pos == 1 || take_name(rt, args, 1, s);
}

#define GENERATOR(fn, prepare, ...)                                                                \
    static bool fn(struct gw_jrt *rt, struct gw_jv self, const struct gw_jv *a,                    \
                   const struct gw_jargs *args, struct gw_jv *out) {                               \
        (void)a;                                                                                   \
        return generate(rt, self, args, prepare, (struct step){__VA_ARGS__}, out);                 \
    }
GENERATOR(f_map, prepare_map, .map = true)
GENERATOR(f_select, prepare_select, .reject = false)
GENERATOR(f_reject, prepare_select, .reject = true)
GENERATOR(f_selectattr, prepare_selectattr, .reject = false)
GENERATOR(f_rejectattr, prepare_selectattr, .reject = true)

static const struct gw_jdef defs[] = {
    {.name = "map", .fn = f_map},
    {.name = "select", .fn = f_select},
    {.name = "reject", .fn = f_reject},
    {.name = "selectattr", .fn = f_selectattr},
    {.name = "rejectattr", .fn = f_rejectattr},
};
const struct gw_jdefs gw_j_select_filters = {defs, GW_ARRAY_LEN(defs)};

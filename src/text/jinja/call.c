/* call.c - calling what can be called, and sorting arguments by parameters. */
#include "text/jinja/object.h"

#include <string.h>

const struct gw_jdef *gw_j_find_def(const struct gw_jdef *defs, size_t n, const char *name,
                                    size_t len) {
    for (size_t i = 0; i < n; i++)
        if (strlen(defs[i].name) == len && memcmp(defs[i].name, name, len) == 0) return &defs[i];
    return NULL;
}

bool gw_j_fail_unknown(struct gw_jrt *rt, const struct gw_jnode *n) {
    const char *what = n->kind == GW_JN_TEST ? "test" : "filter";
    struct gw_jv name = gw_jv_str(n->u.call.name->s, n->u.call.name->len);
    int len = (int)GW_MIN(name.len, 100u);
    if (n->u.call.def != NULL)
        return gw_j_fail(rt, GWEN_ERR_UNSUPPORTED, "the %s '%.*s' is not supported", what, len,
                         name.u.s);
    return gw_j_fail(rt, GWEN_ERR_UNSUPPORTED, "no %s named '%.*s'", what, len, name.u.s);
}

/* The place of `name` in "a,b,c", -1 when it is not there; *n gets how many there are. */
static int param_index(const char *params, struct gw_jv name, size_t *n) {
    int found = -1;
    *n = 0;
    for (const char *p = params; *p != '\0';) {
        size_t len = strcspn(p, ",");
        if (name.type == GW_J_STR && name.len == len && memcmp(name.u.s, p, len) == 0)
            found = (int)*n;
        *n += 1;
        p += len + (p[len] == ',');
    }
    return found;
}

static bool bind_kwargs(struct gw_jrt *rt, const struct gw_jdef *def, const struct gw_jargs *args,
                        struct gw_jv *a) {
    size_t n;
    for (size_t i = 0; i < args->n_kw; i++) {
        struct gw_jv name = args->kw[i].name;
        int len = (int)GW_MIN(name.len, 100u);
        int at = param_index(def->params, name, &n);
        if (at < (int)def->positional)
            return gw_j_raise(rt, "%s() got an unexpected keyword argument '%.*s'", def->name, len,
                              name.u.s);
        if (a[at].type != GW_J_MISSING)
            return gw_j_raise(rt, "%s() got multiple values for argument '%.*s'", def->name, len,
                              name.u.s);
        a[at] = args->kw[i].value;
    }
    return true;
}

bool gw_j_run(struct gw_jrt *rt, const struct gw_jdef *def, struct gw_jv self,
              const struct gw_jargs *args, struct gw_jv *out) {
    struct gw_jv a[GW_J_MAX_PARAMS] = {{0}};
    if (def->kind == GW_JDEF_UNSUPPORTED)
        return gw_j_fail(rt, GWEN_ERR_UNSUPPORTED, "'%s' is not supported", def->name);
    if (def->params != NULL) {
        size_t n;
        param_index(def->params, gw_jv_of(GW_J_MISSING), &n);
        if (args->n_pos > n)
            return gw_j_raise(rt, "%s() takes at most %zu arguments (%zu given)", def->name, n,
                              args->n_pos);
        for (size_t i = 0; i < args->n_pos; i++) a[i] = args->pos[i];
        if (!bind_kwargs(rt, def, args, a)) return false;
        for (size_t i = 0; i < def->required; i++)
            if (a[i].type == GW_J_MISSING)
                return gw_j_raise(rt, "%s() needs at least %u arguments", def->name,
                                  (unsigned)def->required);
    }
    return def->fn(rt, self, a, args, out) && !rt->failed;
}

bool gw_j_call(struct gw_jrt *rt, struct gw_jv callee, const struct gw_jargs *args,
               struct gw_jv *out) {
    struct gw_jv self = gw_jv_of(GW_J_MISSING);
    switch ((enum gw_jtype)callee.type) {
    case GW_J_UNDEFINED: return gw_j_fail_undefined(rt, callee);
    case GW_J_METHOD: return gw_j_run(rt, callee.u.method->def, callee.u.method->self, args, out);
    case GW_J_FUNC: return gw_j_run(rt, callee.u.func, self, args, out);
    case GW_J_MACRO: return gw_j_macro_call(rt, callee.u.macro, args, out);
    case GW_J_LOOP:
        if (args->n_pos != 1 || args->n_kw != 0)
            return gw_j_raise(rt, "loop() takes exactly one argument");
        return gw_j_loop_recurse(rt, callee.u.loop, args->pos[0], out);
    case GW_J_JOINER:
        *out = callee.u.joiner->used ? callee.u.joiner->sep : gw_jv_str("", 0);
        callee.u.joiner->used = true;
        return args->n_pos + args->n_kw == 0 || gw_j_raise(rt, "joiner() takes no arguments");
    default: return gw_j_raise(rt, "'%s' object is not callable", gw_j_type_name(callee));
    }
}

bool gw_j_arg_int(struct gw_jrt *rt, struct gw_jv v, int64_t when_missing, const char *what,
                  int64_t *out) {
    *out = when_missing;
    if (v.type == GW_J_MISSING) return true;
    if (v.type == GW_J_UNDEFINED) return gw_j_fail_undefined(rt, v);
    if (!gw_jv_is_int(v))
        return gw_j_raise(rt, "%s must be an integer, not '%s'", what, gw_j_type_name(v));
    *out = gw_jv_to_int(v);
    return true;
}

bool gw_j_arg_str(struct gw_jrt *rt, struct gw_jv v, const char *what, struct gw_jv *out) {
    *out = v;
    if (v.type == GW_J_STR) return true;
    if (v.type == GW_J_UNDEFINED) return gw_j_fail_undefined(rt, v);
    return gw_j_raise(rt, "%s must be a string, not '%s'", what, gw_j_type_name(v));
}

bool gw_j_arg_truth(struct gw_jv v, bool when_missing) {
    return v.type == GW_J_MISSING ? when_missing : gw_j_truth(v);
}

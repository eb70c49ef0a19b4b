/* macro.c - macros: functions that return the text their body prints. */
#include "text/jinja/object.h"

#include <string.h>

bool gw_j_macro(struct gw_jrt *rt, const struct gw_jmacro_def *def, struct gw_jv *out) {
    struct gw_jmacro *m = GW_J_NEW(rt, struct gw_jmacro);
    if (m == NULL) return false;
    *m = (struct gw_jmacro){.def = def, .act = rt->act};
    *out = gw_jv_of(GW_J_MACRO);
    out->u.macro = m;
    return true;
}

static bool same_name(struct gw_jv v, const struct gw_jname *name) {
    return v.len == name->len && memcmp(v.u.s, name->s, v.len) == 0;
}

static const char *macro_name(const struct gw_jmacro *m, int *len) {
    if (m->def->name == NULL) {
        *len = 9;
        return "anonymous";
    }
    *len = (int)GW_MIN(m->def->name->len, 100u);
    return m->def->name->s;
}

/* The keyword arguments that no parameter took: for `kwargs`, else an error. */
static bool leftover_kwargs(struct gw_jrt *rt, const struct gw_jmacro *m,
                            const struct gw_jargs *args, const bool *taken) {
    int len;
    const char *name = macro_name(m, &len);
    struct gw_jdict *d = NULL;
    if (m->def->takes_kwargs) {
        if (!gw_j_dict(rt, &d)) return false;
        struct gw_jv v = gw_jv_of(GW_J_DICT);
        v.u.dict = d;
        rt->act->slots[m->def->kwargs] = v;
    }
    for (size_t i = 0; i < args->n_kw; i++) {
        if (taken[i]) continue;
        struct gw_jv kw = args->kw[i].name;
        if (d == NULL)
            return gw_j_raise(rt, "macro '%.*s' takes no keyword argument '%.*s'", len, name,
                              (int)GW_MIN(kw.len, 100u), kw.u.s);
        if (!gw_j_dict_set(rt, d, kw, args->kw[i].value)) return false;
    }
    return true;
}

/* The positional arguments beyond the parameters: for `varargs`, else an error. */
static bool leftover_positional(struct gw_jrt *rt, const struct gw_jmacro *m,
                                const struct gw_jargs *args) {
    size_t n = m->def->n_params, more = args->n_pos > n ? args->n_pos - n : 0;
    int len;
    const char *name = macro_name(m, &len);
    if (!m->def->takes_varargs)
        return more == 0 ||
               gw_j_raise(rt, "macro '%.*s' takes not more than %zu argument(s)", len, name, n);
    struct gw_jv *items;
    if (!gw_j_seq(rt, GW_J_TUPLE, more, &rt->act->slots[m->def->varargs], &items)) return false;
    if (more > 0) memcpy(items, args->pos + n, more * sizeof *items);
    return true;
}

/* Puts the arguments into the slots of rt->act, MISSING where none is given. */
static bool bind(struct gw_jrt *rt, const struct gw_jmacro *m, const struct gw_jargs *args) {
    const struct gw_jmacro_def *def = m->def;
    bool *taken = gw_j_alloc(rt, args->n_kw + 1, sizeof *taken);
    if (taken == NULL) return false;
    bool found_caller = args->n_pos >= def->n_params && def->explicit_caller;
    size_t k = 0;
    for (const struct gw_jnode *p = def->params; p != NULL; p = p->next, k++) {
        struct gw_jv v = k < args->n_pos ? args->pos[k] : gw_jv_of(GW_J_MISSING);
        for (size_t i = 0; k >= args->n_pos && i < args->n_kw; i++) {
            if (taken[i] || !same_name(args->kw[i].name, p->u.name.name)) continue;
            v = args->kw[i].value;
            taken[i] = true;
        }
        if (!gw_j_steps(rt, args->n_kw / 4)) return false;
        rt->act->slots[p->u.name.ref.slot] = v;
    }
    found_caller = found_caller || (args->n_pos < def->n_params && def->explicit_caller);
    if (def->takes_caller && !found_caller) {
        struct gw_jv caller = gw_jv_undefined(GW_JU_HINT, GW_J_MISSING, "No caller defined", 17);
        for (size_t i = 0; i < args->n_kw; i++) {
            if (!gw_jv_equals_text(args->kw[i].name, "caller")) continue;
            taken[i] = true;
            if (args->kw[i].value.type != GW_J_NONE) caller = args->kw[i].value;
        }
        rt->act->slots[def->caller] = caller;
    }
    return leftover_kwargs(rt, m, args, taken) && leftover_positional(rt, m, args);
}

/* Fills parameters that were not given with their defaults, which may speak of earlier ones. */
static bool fill_defaults(struct gw_jrt *rt, const struct gw_jmacro_def *def) {
    const struct gw_jnode *value = def->defaults;
    uint32_t k = 0;
    for (const struct gw_jnode *p = def->params; p != NULL; p = p->next, k++) {
        bool has_default = k >= def->n_params - def->n_defaults;
        struct gw_jv *slot = &rt->act->slots[p->u.name.ref.slot];
        struct gw_jv v;
        if (slot->type == GW_J_MISSING && has_default) {
            if (!gw_j_eval(rt, value, &v)) return false;
            *slot = v;
        }
        if (has_default) value = value->next;
    }
    return true;
}

static bool run(struct gw_jrt *rt, const struct gw_jmacro *m, const struct gw_jargs *args,
                struct gw_jv *out) {
    if (!bind(rt, m, args)) return false;
    gw_j_enter_frame(rt, &m->def->frame);
    return fill_defaults(rt, m->def) && gw_j_capture(rt, m->def->body, out);
}

bool gw_j_macro_call(struct gw_jrt *rt, const struct gw_jmacro *m, const struct gw_jargs *args,
                     struct gw_jv *out) {
    struct gw_jact *act = rt->act, *own;
    if (!gw_j_new_act(rt, m->act, m->def->n_slots, &own)) return false;
    rt->act = own;
    bool ok = gw_j_enter(rt) && run(rt, m, args, out);
    rt->depth--;
    rt->act = act;
    return ok;
}

bool gw_j_macro_attr(struct gw_jrt *rt, const struct gw_jmacro *m, const char *name, size_t len,
                     struct gw_jv *out) {
    struct gw_jv key = gw_jv_str(name, len);
    if (gw_jv_equals_text(key, "name")) {
        *out = m->def->name != NULL ? gw_jv_str(m->def->name->s, m->def->name->len) : gw_jv_none();
    } else if (gw_jv_equals_text(key, "arguments")) {
        struct gw_jv *items;
        if (!gw_j_seq(rt, GW_J_TUPLE, m->def->n_params, out, &items)) return false;
        for (const struct gw_jnode *p = m->def->params; p != NULL; p = p->next)
            *items++ = gw_jv_str(p->u.name.name->s, p->u.name.name->len);
    } else if (gw_jv_equals_text(key, "caller")) {
        *out = gw_jv_bool(m->def->takes_caller);
    } else if (gw_jv_equals_text(key, "catch_kwargs")) {
        *out = gw_jv_bool(m->def->takes_kwargs);
    } else if (gw_jv_equals_text(key, "catch_varargs")) {
        *out = gw_jv_bool(m->def->takes_varargs);
    }
    return true;
}

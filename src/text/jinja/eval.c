/* eval.c - expressions. */
#include "text/jinja/object.h"

#include <string.h>

struct gw_jv *gw_j_slot(struct gw_jrt *rt, struct gw_jref ref) {
    struct gw_jact *act = rt->act;
    for (uint32_t i = 0; i < ref.hops; i++) act = act->parent;
    return &act->slots[ref.slot];
}

static bool eval_name(struct gw_jrt *rt, const struct gw_jnode *n, struct gw_jv *out) {
    *out = *gw_j_slot(rt, n->u.name.ref);
    if (out->type == GW_J_MISSING)
        *out = gw_jv_undefined(GW_JU_NAME, GW_J_MISSING, n->u.name.name->s, n->u.name.name->len);
    return true;
}

static bool eval_list(struct gw_jrt *rt, const struct gw_jnode *n, struct gw_jv *out) {
    struct gw_jv *items;
    enum gw_jtype type = n->kind == GW_JN_LIST ? GW_J_LIST : GW_J_TUPLE;
    if (!gw_j_seq(rt, type, n->u.list.n, out, &items)) return false;
    for (const struct gw_jnode *i = n->u.list.first; i != NULL; i = i->next)
        if (!gw_j_eval(rt, i, items++)) return false;
    return true;
}

static bool eval_dict(struct gw_jrt *rt, const struct gw_jnode *n, struct gw_jv *out) {
    struct gw_jdict *d;
    struct gw_jv key, value;
    if (!gw_j_dict(rt, &d)) return false;
    for (const struct gw_jnode *i = n->u.list.first; i != NULL; i = i->next) {
        if (!gw_j_eval(rt, i->u.x.a, &key) || !gw_j_eval(rt, i->u.x.b, &value)) return false;
        if (!gw_j_dict_set(rt, d, key, value)) return false;
    }
    *out = gw_jv_of(GW_J_DICT);
    out->u.dict = d;
    return true;
}

static bool eval_cond(struct gw_jrt *rt, const struct gw_jnode *n, struct gw_jv *out) {
    static const char hint[] =
        "the inline if-expression evaluated to false and no else section was defined.";
    struct gw_jv test;
    if (!gw_j_eval(rt, n->u.x.b, &test)) return false;
    if (gw_j_truth(test)) return gw_j_eval(rt, n->u.x.a, out);
    if (n->u.x.c != NULL) return gw_j_eval(rt, n->u.x.c, out);
    *out = gw_jv_undefined(GW_JU_HINT, GW_J_MISSING, hint, sizeof hint - 1);
    return true;
}

static bool eval_logic(struct gw_jrt *rt, const struct gw_jnode *n, struct gw_jv *out) {
    if (!gw_j_eval(rt, n->u.x.a, out)) return false;
    if (n->kind == GW_JN_NOT) {
        *out = gw_jv_bool(!gw_j_truth(*out));
        return true;
    }
    if (gw_j_truth(*out) == (n->kind == GW_JN_OR)) return true;
    return gw_j_eval(rt, n->u.x.b, out);
}

static bool eval_binary(struct gw_jrt *rt, const struct gw_jnode *n, struct gw_jv *out) {
    struct gw_jv a, b;
    if (!gw_j_eval(rt, n->u.x.a, &a) || !gw_j_eval(rt, n->u.x.b, &b)) return false;
    rt->line = n->line;
    return gw_j_binary(rt, (enum gw_jop)n->op, a, b, out);
}

static bool eval_sign(struct gw_jrt *rt, const struct gw_jnode *n, struct gw_jv *out) {
    struct gw_jv v;
    return gw_j_eval(rt, n->u.x.a, &v) && gw_j_negate(rt, v, n->kind == GW_JN_POS, out);
}

static bool eval_concat(struct gw_jrt *rt, const struct gw_jnode *n, struct gw_jv *out) {
    struct gw_jv v, text;
    *out = gw_jv_str("", 0);
    for (const struct gw_jnode *i = n->u.list.first; i != NULL; i = i->next) {
        if (!gw_j_eval(rt, i, &v) || !gw_j_to_str(rt, v, &text)) return false;
        text.flags &= (uint8_t)~GW_JF_MARKUP;
        if (i == n->u.list.first)
            *out = text;
        else if (!gw_j_concat(rt, *out, text, out))
            return false;
    }
    return true;
}

static bool eval_compare(struct gw_jrt *rt, const struct gw_jnode *n, struct gw_jv *out) {
    struct gw_jv a, b;
    bool holds = true;
    if (!gw_j_eval(rt, n->u.list.a, &a)) return false;
    for (const struct gw_jnode *i = n->u.list.first; i != NULL && holds; i = i->next) {
        if (!gw_j_eval(rt, i->u.x.a, &b)) return false;
        rt->line = n->line;
        if (!gw_j_compare(rt, (enum gw_jop)i->op, a, b, &holds)) return false;
        a = b;
    }
    *out = gw_jv_bool(holds);
    return true;
}

static bool eval_attr(struct gw_jrt *rt, const struct gw_jnode *n, struct gw_jv *out) {
    struct gw_jv v;
    if (!gw_j_eval(rt, n->u.attr.a, &v)) return false;
    rt->line = n->line;
    return gw_j_getattr(rt, v, n->u.attr.name->s, n->u.attr.name->len, out);
}

static bool eval_item(struct gw_jrt *rt, const struct gw_jnode *n, struct gw_jv *out) {
    struct gw_jv v, key;
    if (!gw_j_eval(rt, n->u.x.a, &v) || !gw_j_eval(rt, n->u.x.b, &key)) return false;
    rt->line = n->line;
    return gw_j_getitem(rt, v, key, out);
}

static bool eval_slice(struct gw_jrt *rt, const struct gw_jnode *n, struct gw_jv *out) {
    struct gw_jv v, bound[3];
    const struct gw_jnode *given[3] = {n->u.x.b, n->u.x.c, n->u.x.d};
    if (!gw_j_eval(rt, n->u.x.a, &v)) return false;
    for (int i = 0; i < 3; i++) {
        bound[i] = gw_jv_of(GW_J_MISSING);
        if (given[i] != NULL && !gw_j_eval(rt, given[i], &bound[i])) return false;
    }
    rt->line = n->line;
    return gw_j_slice(rt, v, bound[0], bound[1], bound[2], out);
}

/* --- calls ---------------------------------------------------------------------------------- */

static bool add_kw(struct gw_jrt *rt, struct gw_jkw *kw, size_t *n, struct gw_jv name,
                   struct gw_jv value) {
    for (size_t i = 0; i < *n; i++)
        if (kw[i].name.len == name.len && memcmp(kw[i].name.u.s, name.u.s, name.len) == 0)
            return gw_j_raise(rt, "keyword argument '%.*s' is given twice",
                              (int)GW_MIN(name.len, 100u), name.u.s);
    kw[(*n)++] = (struct gw_jkw){.name = name, .value = value};
    return gw_j_steps(rt, *n / 4);
}

static bool eval_kwargs(struct gw_jrt *rt, const struct gw_jcallargs *given, struct gw_jargs *out) {
    size_t n = 0;
    struct gw_jv more = gw_jv_of(GW_J_MISSING), value;
    for (const struct gw_jnode *i = given->kw; i != NULL; i = i->next) n++;
    if (given->kwstar != NULL) {
        if (!gw_j_eval(rt, given->kwstar, &more)) return false;
        if (more.type != GW_J_DICT)
            return gw_j_raise(rt, "argument after ** must be a mapping, not %s",
                              gw_j_type_name(more));
        n += more.u.dict->n;
    }
    if (n == 0) return true;
    struct gw_jkw *kw = gw_j_alloc(rt, n, sizeof *kw);
    if (kw == NULL) return false;
    out->kw = kw;
    for (const struct gw_jnode *i = given->kw; i != NULL; i = i->next)
        if (!gw_j_eval(rt, i->u.x.b, &value) ||
            !add_kw(rt, kw, &out->n_kw, i->u.x.a->u.value, value))
            return false;
    for (size_t i = 0; more.type == GW_J_DICT && i < more.u.dict->n; i++) {
        const struct gw_jentry *e = &more.u.dict->e[i];
        if (e->key.type != GW_J_STR) return gw_j_raise(rt, "keywords must be strings");
        if (!add_kw(rt, kw, &out->n_kw, e->key, e->value)) return false;
    }
    return true;
}

bool gw_j_eval_args(struct gw_jrt *rt, const struct gw_jcallargs *given, struct gw_jargs *out) {
    struct gw_jvec pos = {0}, more;
    struct gw_jv v;
    *out = (struct gw_jargs){0};
    for (const struct gw_jnode *i = given->pos; i != NULL; i = i->next)
        if (!gw_j_eval(rt, i, &v) || !gw_j_push(rt, &pos, v)) return false;
    if (given->star != NULL) {
        if (!gw_j_eval(rt, given->star, &v) || !gw_j_collect(rt, v, &more)) return false;
        for (size_t i = 0; i < more.n; i++)
            if (!gw_j_push(rt, &pos, more.v[i])) return false;
    }
    out->pos = pos.v;
    out->n_pos = pos.n;
    return (given->kw == NULL && given->kwstar == NULL) || eval_kwargs(rt, given, out);
}

static bool eval_call(struct gw_jrt *rt, const struct gw_jnode *n, struct gw_jv *out) {
    struct gw_jv callee;
    struct gw_jargs args;
    if (!gw_j_eval(rt, n->u.call.a, &callee) || !gw_j_eval_args(rt, &n->u.call.args, &args))
        return false;
    rt->line = n->line;
    return gw_j_call(rt, callee, &args, out);
}

/* A filter or test; the operand NULL stands for `input`. */
static bool eval_filter(struct gw_jrt *rt, const struct gw_jnode *n, struct gw_jv input,
                        struct gw_jv *out) {
    struct gw_jargs args;
    struct gw_jv v = input;
    rt->line = n->line;
    if (n->u.call.def == NULL || n->u.call.def->kind == GW_JDEF_UNSUPPORTED)
        return gw_j_fail_unknown(rt, n);
    if (n->u.call.a != NULL && n->u.call.a->kind == GW_JN_FILTER) {
        if (!gw_j_eval_filter(rt, n->u.call.a, input, &v)) return false;
    } else if (n->u.call.a != NULL && !gw_j_eval(rt, n->u.call.a, &v)) {
        return false;
    }
    if (!gw_j_eval_args(rt, &n->u.call.args, &args)) return false;
    rt->line = n->line;
    return gw_j_run(rt, n->u.call.def, v, &args, out);
}

bool gw_j_eval_filter(struct gw_jrt *rt, const struct gw_jnode *n, struct gw_jv input,
                      struct gw_jv *out) {
    bool ok = gw_j_enter(rt) && eval_filter(rt, n, input, out);
    rt->depth--;
    return ok;
}

static bool eval_node(struct gw_jrt *rt, const struct gw_jnode *n, struct gw_jv *out) {
    switch ((enum gw_jkind)n->kind) {
    case GW_JN_CONST: *out = n->u.value; return true;
    case GW_JN_NAME: return eval_name(rt, n, out);
    case GW_JN_LIST:
    case GW_JN_TUPLE: return eval_list(rt, n, out);
    case GW_JN_DICT: return eval_dict(rt, n, out);
    case GW_JN_COND: return eval_cond(rt, n, out);
    case GW_JN_OR:
    case GW_JN_AND:
    case GW_JN_NOT: return eval_logic(rt, n, out);
    case GW_JN_NEG:
    case GW_JN_POS: return eval_sign(rt, n, out);
    case GW_JN_BINARY: return eval_binary(rt, n, out);
    case GW_JN_CONCAT: return eval_concat(rt, n, out);
    case GW_JN_COMPARE: return eval_compare(rt, n, out);
    case GW_JN_ATTR: return eval_attr(rt, n, out);
    case GW_JN_ITEM: return eval_item(rt, n, out);
    case GW_JN_SLICE: return eval_slice(rt, n, out);
    case GW_JN_CALL: return eval_call(rt, n, out);
    case GW_JN_FILTER:
    case GW_JN_TEST: return eval_filter(rt, n, gw_jv_of(GW_J_MISSING), out);
    default: return gw_j_fail(rt, GWEN_ERR_INTERNAL, "a node that is no expression");
    }
}

bool gw_j_eval(struct gw_jrt *rt, const struct gw_jnode *n, struct gw_jv *out) {
    rt->line = n->line;
    bool ok = gw_j_enter(rt) && eval_node(rt, n, out);
    rt->depth--;
    return ok;
}

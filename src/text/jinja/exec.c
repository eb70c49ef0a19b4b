/* exec.c - statements and loops. */
#include "text/jinja/object.h"

#include <string.h>

bool gw_j_new_act(struct gw_jrt *rt, struct gw_jact *parent, uint32_t n_slots,
                  struct gw_jact **out) {
    *out = gw_j_alloc(rt, 1, sizeof(struct gw_jact) + n_slots * sizeof(struct gw_jv));
    if (*out == NULL) return false;
    (*out)->parent = parent;
    return true;
}

void gw_j_enter_frame(struct gw_jrt *rt, const struct gw_jframe *f) {
    for (uint32_t i = 0; i < f->n; i++) {
        const struct gw_jvar *v = &f->vars[i];
        struct gw_jv *slot = &rt->act->slots[v->slot];
        switch ((enum gw_jload)v->load) {
        case GW_JLOAD_PARAM: break;
        case GW_JLOAD_CONTEXT: *slot = rt->vars[v->name]; break;
        case GW_JLOAD_ALIAS: *slot = *gw_j_slot(rt, v->outer); break;
        case GW_JLOAD_UNSET: *slot = gw_jv_of(GW_J_MISSING); break;
        }
    }
}

void gw_j_leave_frame(struct gw_jrt *rt, const struct gw_jframe *f) {
    for (uint32_t i = 0; i < f->n; i++) rt->act->slots[f->vars[i].slot] = gw_jv_of(GW_J_MISSING);
}

static bool assign_tuple(struct gw_jrt *rt, const struct gw_jnode *target, struct gw_jv v) {
    struct gw_jvec items;
    size_t n = target->u.list.n;
    if (!gw_j_is_iterable(v))
        return gw_j_raise(rt, "cannot unpack non-iterable %s object", gw_j_type_name(v));
    if (!gw_j_collect(rt, v, &items)) return false;
    if (items.n < n)
        return gw_j_raise(rt, "not enough values to unpack (expected %zu, got %zu)", n, items.n);
    if (items.n > n) return gw_j_raise(rt, "too many values to unpack (expected %zu)", n);
    size_t k = 0;
    for (const struct gw_jnode *i = target->u.list.first; i != NULL; i = i->next)
        if (!gw_j_assign(rt, i, items.v[k++])) return false;
    return true;
}

bool gw_j_assign(struct gw_jrt *rt, const struct gw_jnode *target, struct gw_jv v) {
    if (target->kind == GW_JN_TUPLE) return assign_tuple(rt, target, v);
    struct gw_jv *slot = gw_j_slot(rt, target->u.name.ref);
    if (target->kind == GW_JN_NAME) {
        *slot = v;
        return true;
    }
    const struct gw_jname *attr = target->u.name.attr;
    if (attr->len > 0 && attr->s[0] == '_')
        return gw_j_raise(rt,
                          "Chat templates cannot store underscore-prefixed attributes on a "
                          "namespace, but got '%.*s'",
                          (int)GW_MIN(attr->len, 100u), attr->s);
    return gw_j_dict_set(rt, slot->u.dict, gw_jv_str(attr->s, attr->len), v);
}

/* Attributes can be assigned of namespaces only, which is checked before the value is worked
 * out. */
static bool check_namespaces(struct gw_jrt *rt, const struct gw_jnode *target) {
    if (target->kind == GW_JN_TUPLE) {
        for (const struct gw_jnode *i = target->u.list.first; i != NULL; i = i->next)
            if (!check_namespaces(rt, i)) return false;
        return true;
    }
    if (target->kind != GW_JN_NSREF || gw_j_slot(rt, target->u.name.ref)->type == GW_J_NAMESPACE)
        return true;
    rt->line = target->line;
    return gw_j_raise(rt, "cannot assign attribute on non-namespace object");
}

/* --- loops ---------------------------------------------------------------------------------- */

/* Runs the body for each element of *l, then the else part if the body never came to its end:
 * jinja2 looks at that, so that `break` in the first round leads to the else part. */
static bool run_loop(struct gw_jrt *rt, const struct gw_jfor *f, struct gw_jloop *l) {
    bool finished_once = false, more;
    for (;;) {
        if (!gw_j_loop_next(rt, l, &more)) return false;
        if (!more) break;
        if (f->has_loop) {
            struct gw_jv v = gw_jv_of(GW_J_LOOP);
            v.u.loop = l;
            *gw_j_slot(rt, f->loop) = v;
        }
        if (!gw_j_assign(rt, f->target, l->current)) return false;
        gw_j_enter_frame(rt, &f->body_frame);
        if (!gw_j_exec(rt, f->body)) return false;
        enum gw_jflow flow = rt->flow;
        rt->flow = GW_JFLOW_NEXT;
        if (flow == GW_JFLOW_BREAK) break;
        finished_once = finished_once || flow == GW_JFLOW_NEXT;
    }
    gw_j_leave_frame(rt, &f->body_frame);
    if (!f->has_else || finished_once) return true;
    gw_j_enter_frame(rt, &f->else_frame);
    if (!gw_j_exec(rt, f->otherwise)) return false;
    gw_j_leave_frame(rt, &f->else_frame);
    return true;
}

/* The loop over `items` as it stands in rt->act. */
static bool begin_loop(struct gw_jrt *rt, const struct gw_jfor *f, struct gw_jv items,
                       struct gw_jloop **out) {
    struct gw_jloop *l = GW_J_NEW(rt, struct gw_jloop);
    if (l == NULL || !gw_j_iterate(rt, items, &l->cursor)) return false;
    l->index0 = -1;
    l->act = rt->act;
    if (f->test != NULL) {
        l->cursor.filter = f;
        l->cursor.act = rt->act;
    }
    *out = l;
    return true;
}

/* A recursive loop is a function that returns its text; `around` is the function it is in. */
static bool run_recursive(struct gw_jrt *rt, const struct gw_jfor *f, struct gw_jact *around,
                          struct gw_jv items, int64_t depth0, struct gw_jv *out) {
    struct gw_jact *act = rt->act, *own;
    struct gw_jbuf *outer = rt->out, text = {.rt = rt};
    struct gw_jloop *l;
    if (!gw_j_new_act(rt, around, f->n_slots, &own)) return false;
    rt->act = own;
    rt->out = &text;
    bool ok = gw_j_enter(rt) && begin_loop(rt, f, items, &l);
    if (ok) {
        l->recursive = f;
        l->act = around;
        l->depth0 = depth0;
        ok = run_loop(rt, f, l);
    }
    rt->depth--;
    rt->act = act;
    rt->out = outer;
    return ok && gw_j_buf_str(&text, out);
}

bool gw_j_loop_recurse(struct gw_jrt *rt, struct gw_jloop *l, struct gw_jv items,
                       struct gw_jv *out) {
    if (l->recursive == NULL)
        return gw_j_raise(rt,
                          "The loop must have the 'recursive' marker to be called recursively.");
    return run_recursive(rt, l->recursive, l->act, items, l->depth0 + 1, out);
}

static bool exec_for(struct gw_jrt *rt, const struct gw_jnode *n) {
    const struct gw_jfor *f = n->u.loop;
    struct gw_jv items, text;
    struct gw_jloop *l;
    if (!gw_j_eval(rt, f->iter, &items)) return false;
    rt->line = n->line;
    if (!f->recursive) return begin_loop(rt, f, items, &l) && run_loop(rt, f, l);
    if (!run_recursive(rt, f, rt->act, items, 0, &text)) return false;
    gw_j_put(rt->out, text.u.s, text.len);
    return !rt->failed;
}

/* --- the other statements ------------------------------------------------------------------- */

static bool exec_output(struct gw_jrt *rt, const struct gw_jnode *n) {
    struct gw_jv v;
    for (const struct gw_jnode *i = n->u.list.first; i != NULL; i = i->next) {
        if (i->kind == GW_JN_CONST)
            v = i->u.value;
        else if (!gw_j_eval(rt, i, &v))
            return false;
        size_t before = rt->out->len;
        gw_j_put_str(rt->out, v);
        size_t grown = rt->out->len - before;
        if (grown > rt->output_left) {
            rt->fatal = true;
            return gw_j_fail(rt, GWEN_ERR_NOMEM, "prints too much");
        }
        rt->output_left -= grown;
        if (rt->failed) return false;
    }
    return true;
}

static bool exec_if(struct gw_jrt *rt, const struct gw_jnode *n) {
    for (const struct gw_jnode *b = n->u.list.first; b != NULL; b = b->next) {
        struct gw_jv test;
        if (b->u.branch.cond != NULL) {
            if (!gw_j_eval(rt, b->u.branch.cond, &test)) return false;
            if (!gw_j_truth(test)) continue;
        }
        return gw_j_exec(rt, b->u.branch.body);
    }
    return true;
}

static bool exec_set(struct gw_jrt *rt, const struct gw_jnode *n) {
    struct gw_jv v;
    if (!check_namespaces(rt, n->u.x.a) || !gw_j_eval(rt, n->u.x.b, &v)) return false;
    rt->line = n->line;
    return gw_j_assign(rt, n->u.x.a, v);
}

bool gw_j_capture(struct gw_jrt *rt, const struct gw_jnode *body, struct gw_jv *out) {
    struct gw_jbuf *outer = rt->out, text = {.rt = rt};
    rt->out = &text;
    bool ok = gw_j_exec(rt, body);
    rt->out = outer;
    return ok && gw_j_buf_str(&text, out);
}

/* What a call or filter block yields is joined with the other text as it is. */
static bool print_text(struct gw_jrt *rt, struct gw_jv v) {
    if (v.type != GW_J_STR)
        return gw_j_raise(rt, "the block gives no text but an object of type '%s'",
                          gw_j_type_name(v));
    gw_j_put(rt->out, v.u.s, v.len);
    return !rt->failed;
}

/* {% set x %}...{% endset %} and {% filter f %}...{% endfilter %} */
static bool exec_block(struct gw_jrt *rt, const struct gw_jnode *n) {
    const struct gw_jnode *target = n->u.block.target;
    struct gw_jv v;
    if (target != NULL && !check_namespaces(rt, target)) return false;
    gw_j_enter_frame(rt, &n->u.block.frame);
    if (!gw_j_capture(rt, n->u.block.body, &v)) return false;
    if (rt->flow != GW_JFLOW_NEXT) return true; /* break and continue drop the text */
    if (n->u.block.filter != NULL && !gw_j_eval_filter(rt, n->u.block.filter, v, &v)) return false;
    gw_j_leave_frame(rt, &n->u.block.frame);
    return target != NULL ? gw_j_assign(rt, target, v) : print_text(rt, v);
}

static bool exec_macro(struct gw_jrt *rt, const struct gw_jnode *n) {
    return gw_j_macro(rt, n->u.macro.def, gw_j_slot(rt, n->u.macro.ref));
}

/* {% call(args) m(...) %}...{% endcall %} */
static bool exec_call_block(struct gw_jrt *rt, const struct gw_jnode *n) {
    const struct gw_jnode *call = n->u.macro.call;
    struct gw_jargs args;
    struct gw_jv caller, callee, v;
    if (!gw_j_macro(rt, n->u.macro.def, &caller)) return false;
    if (!gw_j_eval(rt, call->u.call.a, &callee) || !gw_j_eval_args(rt, &call->u.call.args, &args))
        return false;
    struct gw_jkw *kw = gw_j_alloc(rt, args.n_kw + 1, sizeof *kw);
    if (kw == NULL) return false;
    if (args.n_kw > 0) memcpy(kw, args.kw, args.n_kw * sizeof *kw);
    kw[args.n_kw++] = (struct gw_jkw){.name = gw_jv_str("caller", 6), .value = caller};
    args.kw = kw;
    rt->line = n->line;
    return gw_j_call(rt, callee, &args, &v) && print_text(rt, v);
}

static bool exec_generation(struct gw_jrt *rt, const struct gw_jnode *n) {
    struct gw_jargs none = {0};
    struct gw_jv body, text;
    if (!gw_j_macro(rt, n->u.macro.def, &body)) return false;
    if (!gw_j_macro_call(rt, body.u.macro, &none, &text)) return false;
    struct gw_jgeneration *g = GW_J_NEW(rt, struct gw_jgeneration);
    if (g == NULL) return false;
    *g = (struct gw_jgeneration){.start = rt->root->len, .len = text.len, .text = text.u.s};
    *rt->last_generation = g;
    rt->last_generation = &g->next;
    rt->n_generations++;
    return print_text(rt, text);
}

static bool exec_with(struct gw_jrt *rt, const struct gw_jnode *n) {
    struct gw_jv v;
    gw_j_enter_frame(rt, &n->u.with.frame);
    for (const struct gw_jnode *i = n->u.with.first; i != NULL; i = i->next)
        if (!gw_j_eval(rt, i->u.x.b, &v) || !gw_j_assign(rt, i->u.x.a, v)) return false;
    if (!gw_j_exec(rt, n->u.with.body)) return false;
    gw_j_leave_frame(rt, &n->u.with.frame);
    return true;
}

static bool exec_statement(struct gw_jrt *rt, const struct gw_jnode *n) {
    switch ((enum gw_jkind)n->kind) {
    case GW_JN_OUTPUT: return exec_output(rt, n);
    case GW_JN_FOR: return exec_for(rt, n);
    case GW_JN_IF: return exec_if(rt, n);
    case GW_JN_SET: return exec_set(rt, n);
    case GW_JN_SETBLOCK:
    case GW_JN_FILTERBLOCK: return exec_block(rt, n);
    case GW_JN_MACRO: return exec_macro(rt, n);
    case GW_JN_CALLBLOCK: return exec_call_block(rt, n);
    case GW_JN_GENERATION: return exec_generation(rt, n);
    case GW_JN_WITH: return exec_with(rt, n);
    case GW_JN_BREAK: rt->flow = GW_JFLOW_BREAK; return true;
    case GW_JN_CONTINUE: rt->flow = GW_JFLOW_CONTINUE; return true;
    default: return gw_j_fail(rt, GWEN_ERR_INTERNAL, "a node that is no statement");
    }
}

bool gw_j_exec(struct gw_jrt *rt, const struct gw_jnode *body) {
    bool ok = gw_j_enter(rt);
    for (const struct gw_jnode *n = body; n != NULL && ok && rt->flow == GW_JFLOW_NEXT;
         n = n->next) {
        rt->line = n->line;
        ok = gw_j_steps(rt, 1) && exec_statement(rt, n);
    }
    rt->depth--;
    return ok;
}

/* iter.c - going through values. */
#include "text/jinja/object.h"
#include "text/jinja/text.h"

#include <string.h>

bool gw_j_is_iterable(struct gw_jv v) {
    switch ((enum gw_jtype)v.type) {
    case GW_J_UNDEFINED:
    case GW_J_STR:
    case GW_J_LIST:
    case GW_J_TUPLE:
    case GW_J_DICT:
    case GW_J_VIEW:
    case GW_J_RANGE:
    case GW_J_ITER:
    case GW_J_LOOP: return true;
    default: return false;
    }
}

bool gw_j_iterate(struct gw_jrt *rt, struct gw_jv v, struct gw_jcursor *c) {
    *c = (struct gw_jcursor){.over = v};
    if (v.type == GW_J_LOOP)
        return gw_j_fail(rt, GWEN_ERR_UNSUPPORTED, "iterating over 'loop' is not supported");
    if (gw_j_is_iterable(v)) return true;
    return gw_j_raise(rt, "'%s' object is not iterable", gw_j_type_name(v));
}

static bool iter_next(struct gw_jrt *rt, struct gw_jiter *it, struct gw_jv *out) {
    if (it->pos < it->n) {
        *out = it->v[it->pos++];
        return true;
    }
    if (it->pending == NULL) return true;
    if (!rt->failed) rt->error = *it->pending;
    rt->failed = true;
    return false;
}

static bool view_at(struct gw_jrt *rt, struct gw_jv view, size_t i, struct gw_jv *out) {
    const struct gw_jentry *e = &view.u.dict->e[i];
    if (view.aux == GW_JVIEW_ITEMS) return gw_j_pair(rt, e->key, e->value, out);
    *out = view.aux == GW_JVIEW_KEYS ? e->key : e->value;
    return true;
}

/* The next element without regard to a filter. */
static bool base_next(struct gw_jrt *rt, struct gw_jcursor *c, struct gw_jv *out) {
    struct gw_jv v = c->over;
    *out = gw_jv_of(GW_J_MISSING);
    if (!gw_j_steps(rt, 1)) return false;
    switch ((enum gw_jtype)v.type) {
    case GW_J_STR:
        if (c->pos < v.len) {
            uint32_t cp;
            size_t n = gw_j_decode(v.u.s + c->pos, &cp);
            *out = gw_jv_str(v.u.s + c->pos, n);
            c->pos += n;
        }
        return true;
    case GW_J_LIST:
    case GW_J_TUPLE:
        if (c->pos < v.u.seq->n) *out = v.u.seq->v[c->pos++];
        return true;
    case GW_J_DICT:
        if (c->pos < v.u.dict->n) *out = v.u.dict->e[c->pos++].key;
        return true;
    case GW_J_VIEW: return c->pos >= v.u.dict->n || view_at(rt, v, c->pos++, out);
    case GW_J_RANGE:
        if (c->pos < v.u.range->n)
            *out = gw_jv_int(v.u.range->start + (int64_t)c->pos++ * v.u.range->step);
        return true;
    case GW_J_ITER: return iter_next(rt, v.u.iter, out);
    default: return true;
    }
}

/* What a loop's `if` passes on is put together again from the loop's variables. */
static bool rebuild(struct gw_jrt *rt, const struct gw_jnode *target, struct gw_jv *out) {
    struct gw_jv *items;
    if (target->kind == GW_JN_NAME) {
        *out = *gw_j_slot(rt, target->u.name.ref);
        return true;
    }
    if (!gw_j_seq(rt, GW_J_TUPLE, target->u.list.n, out, &items)) return false;
    for (const struct gw_jnode *i = target->u.list.first; i != NULL; i = i->next)
        if (!rebuild(rt, i, items++)) return false;
    return true;
}

/* Whether the loop's `if` keeps *v.  It is evaluated when the element is wanted, so that it sees
 * what the loop's body has done so far. */
static bool passes(struct gw_jrt *rt, struct gw_jcursor *c, struct gw_jv *v, bool *out) {
    const struct gw_jnode *target = c->filter->test_target;
    struct gw_jact *act = rt->act;
    struct gw_jv test;
    rt->act = c->act;
    if (!c->filter_entered) gw_j_enter_frame(rt, &c->filter->test_frame);
    c->filter_entered = true;
    bool ok = gw_j_assign(rt, target, *v) && gw_j_eval(rt, c->filter->test, &test);
    *out = ok && gw_j_truth(test);
    ok = ok && (!*out || rebuild(rt, target, v));
    rt->act = act;
    return ok;
}

bool gw_j_next(struct gw_jrt *rt, struct gw_jcursor *c, struct gw_jv *out) {
    for (;;) {
        if (!base_next(rt, c, out)) return false;
        bool pass = true;
        if (out->type == GW_J_MISSING || c->filter == NULL) return true;
        if (!passes(rt, c, out, &pass)) return false;
        if (pass) return true;
    }
}

bool gw_j_len(struct gw_jrt *rt, struct gw_jv v, size_t *out) {
    switch ((enum gw_jtype)v.type) {
    case GW_J_UNDEFINED: *out = 0; return true;
    case GW_J_STR: *out = gw_j_cp_count(v.u.s, v.len); return gw_j_scan(rt, v.len);
    case GW_J_LIST:
    case GW_J_TUPLE: *out = v.u.seq->n; return true;
    case GW_J_DICT:
    case GW_J_VIEW: *out = v.u.dict->n; return true;
    case GW_J_RANGE: *out = v.u.range->n; return true;
    case GW_J_LOOP: return gw_j_loop_length(rt, v.u.loop, out);
    default: return gw_j_raise(rt, "object of type '%s' has no len()", gw_j_type_name(v));
    }
}

bool gw_j_collect(struct gw_jrt *rt, struct gw_jv v, struct gw_jvec *vec) {
    struct gw_jcursor c;
    struct gw_jv item;
    *vec = (struct gw_jvec){0};
    if (!gw_j_iterate(rt, v, &c)) return false;
    for (;;) {
        if (!gw_j_next(rt, &c, &item)) return false;
        if (item.type == GW_J_MISSING) return true;
        if (!gw_j_push(rt, vec, item)) return false;
    }
}

bool gw_j_reversed(struct gw_jrt *rt, struct gw_jv v, bool *ok, struct gw_jv *out) {
    static const struct {
        uint8_t type;
        const char *name;
    } kinds[] = {{GW_J_STR, "reversed"},
                 {GW_J_LIST, "list_reverseiterator"},
                 {GW_J_TUPLE, "reversed"},
                 {GW_J_DICT, "dict_reversekeyiterator"},
                 {GW_J_VIEW, "dict_reverseiterator"},
                 {GW_J_RANGE, "range_iterator"},
                 {GW_J_UNDEFINED, "reversed"}};
    struct gw_jvec vec;
    for (size_t i = 0; i < GW_ARRAY_LEN(kinds); i++) {
        if (kinds[i].type != v.type) continue;
        *ok = true;
        if (!gw_j_collect(rt, v, &vec)) return false;
        if (v.type == GW_J_STR) /* iter() drops the mark of safe text, reversed() does not */
            for (size_t k = 0; k < vec.n; k++) vec.v[k].flags = v.flags & GW_JF_MARKUP;
        for (size_t a = 0, b = vec.n; a + 1 < b; a++) {
            struct gw_jv swap = vec.v[a];
            vec.v[a] = vec.v[--b];
            vec.v[b] = swap;
        }
        return gw_j_iter(rt, vec.v, vec.n, kinds[i].name, out);
    }
    *ok = false;
    return true;
}

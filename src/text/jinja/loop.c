/* loop.c - the variable `loop`. */
#include "text/jinja/object.h"

#include <string.h>

/* What comes after the current element, fetched when it is asked for. */
static bool peek(struct gw_jrt *rt, struct gw_jloop *l) {
    if (l->after.type != GW_J_MISSING || l->at_end) return true;
    if (!gw_j_next(rt, &l->cursor, &l->after)) return false;
    l->at_end = l->after.type == GW_J_MISSING;
    return true;
}

bool gw_j_loop_next(struct gw_jrt *rt, struct gw_jloop *l, bool *more) {
    if (!peek(rt, l)) return false;
    *more = !l->at_end;
    if (l->at_end) return true;
    l->index0++;
    l->before = l->current;
    l->current = l->after;
    l->after = gw_jv_of(GW_J_MISSING);
    return true;
}

bool gw_j_loop_length(struct gw_jrt *rt, struct gw_jloop *l, size_t *out) {
    bool counted = l->cursor.filter != NULL || l->cursor.over.type == GW_J_ITER;
    if (!l->has_length && !counted) {
        if (!gw_j_len(rt, l->cursor.over, &l->length)) return false;
    } else if (!l->has_length) {
        /* What has no length is fetched to its end and kept. */
        struct gw_jvec rest = {0};
        struct gw_jv v, kept;
        for (;;) {
            if (!gw_j_next(rt, &l->cursor, &v)) return false;
            if (v.type == GW_J_MISSING) break;
            if (!gw_j_push(rt, &rest, v)) return false;
        }
        l->length = (size_t)(l->index0 + 1) + rest.n + (l->after.type != GW_J_MISSING);
        if (!gw_j_vec_seq(rt, &rest, GW_J_LIST, &kept)) return false;
        l->cursor = (struct gw_jcursor){.over = kept};
    }
    l->has_length = true;
    *out = l->length;
    return true;
}

static bool loop_cycle(struct gw_jrt *rt, struct gw_jv self, const struct gw_jv *a,
                       const struct gw_jargs *args, struct gw_jv *out) {
    (void)a;
    if (args->n_pos == 0 || args->n_kw > 0) return gw_j_raise(rt, "no items for cycling given");
    *out = args->pos[(size_t)self.u.loop->index0 % args->n_pos];
    return true;
}

static bool loop_changed(struct gw_jrt *rt, struct gw_jv self, const struct gw_jv *a,
                         const struct gw_jargs *args, struct gw_jv *out) {
    struct gw_jloop *l = self.u.loop;
    struct gw_jv now, *items;
    bool equal = false;
    (void)a;
    if (args->n_kw > 0) return gw_j_raise(rt, "loop.changed() takes no keyword arguments");
    if (!gw_j_seq(rt, GW_J_TUPLE, args->n_pos, &now, &items)) return false;
    if (args->n_pos > 0) memcpy(items, args->pos, args->n_pos * sizeof *items);
    if (l->changed_once && !gw_j_equal(rt, l->changed, now, &equal)) return false;
    if (!equal) l->changed = now;
    l->changed_once = true;
    *out = gw_jv_bool(!equal);
    return true;
}

static const struct gw_jdef methods[] = {
    {.name = "cycle", .fn = loop_cycle},
    {.name = "changed", .fn = loop_changed},
};

static struct gw_jv or_undefined(struct gw_jv v, const char *hint) {
    return v.type != GW_J_MISSING ? v
                                  : gw_jv_undefined(GW_JU_HINT, GW_J_MISSING, hint, strlen(hint));
}

/* The attributes that say how many elements are left. */
static bool length_attr(struct gw_jrt *rt, struct gw_jloop *l, int which, struct gw_jv *out) {
    size_t n;
    if (!gw_j_loop_length(rt, l, &n)) return false;
    int64_t taken = which == 0 ? 0 : which == 1 ? l->index0 : l->index0 + 1;
    *out = gw_jv_int((int64_t)n - taken);
    return true;
}

bool gw_j_loop_attr(struct gw_jrt *rt, struct gw_jloop *l, const char *name, size_t len,
                    struct gw_jv *out) {
    enum { INDEX, INDEX0, FIRST, LAST, LENGTH, REVINDEX, REVINDEX0, PREV, NEXT, DEPTH, DEPTH0, N };
    static const char *const names[N] = {"index",    "index0",   "first",     "last",
                                         "length",   "revindex", "revindex0", "previtem",
                                         "nextitem", "depth",    "depth0"};
    int which = 0;
    while (which < N && (strlen(names[which]) != len || memcmp(names[which], name, len) != 0))
        which++;
    switch (which) {
    case INDEX: *out = gw_jv_int(l->index0 + 1); return true;
    case INDEX0: *out = gw_jv_int(l->index0); return true;
    case FIRST: *out = gw_jv_bool(l->index0 == 0); return true;
    case LAST:
        if (!peek(rt, l)) return false;
        *out = gw_jv_bool(l->at_end);
        return true;
    case LENGTH: return length_attr(rt, l, 0, out);
    case REVINDEX: return length_attr(rt, l, 1, out);
    case REVINDEX0: return length_attr(rt, l, 2, out);
    case PREV: *out = or_undefined(l->before, "there is no previous item"); return true;
    case NEXT:
        if (!peek(rt, l)) return false;
        *out = or_undefined(l->after, "there is no next item");
        return true;
    case DEPTH: *out = gw_jv_int(l->depth0 + 1); return true;
    case DEPTH0: *out = gw_jv_int(l->depth0); return true;
    default: break;
    }
    const struct gw_jdef *def = gw_j_find_def(methods, GW_ARRAY_LEN(methods), name, len);
    if (def == NULL) return true;
    struct gw_jmethod *m = GW_J_NEW(rt, struct gw_jmethod);
    if (m == NULL) return false;
    m->self = gw_jv_of(GW_J_LOOP);
    m->self.u.loop = l;
    m->def = def;
    *out = gw_jv_of(GW_J_METHOD);
    out->u.method = m;
    return true;
}

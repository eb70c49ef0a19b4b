/* filters_seq.c - filters of sequences and dicts as a whole. */
#include "text/jinja/object.h"
#include "text/jinja/select.h"
#include "text/jinja/sort.h"

#include <string.h>

#define FILTER(fn)                                                                                 \
    static bool fn(struct gw_jrt *rt, struct gw_jv self, const struct gw_jv *a,                    \
                   const struct gw_jargs *args, struct gw_jv *out)

static struct gw_jv hint(const char *text) {
    return gw_jv_undefined(GW_JU_HINT, GW_J_MISSING, text, strlen(text));
}

FILTER(f_first) {
    struct gw_jcursor c;
    (void)a, (void)args;
    if (!gw_j_iterate(rt, self, &c) || !gw_j_next(rt, &c, out)) return false;
    if (out->type == GW_J_MISSING) *out = hint("No first item, sequence was empty.");
    return true;
}

FILTER(f_last) {
    struct gw_jv reversed;
    bool ok;
    (void)a, (void)args;
    if (!gw_j_reversed(rt, self, &ok, &reversed)) return false;
    if (!ok) return gw_j_raise(rt, "'%s' object is not reversible", gw_j_type_name(self));
    *out =
        reversed.u.iter->n > 0 ? reversed.u.iter->v[0] : hint("No last item, sequence was empty.");
    return true;
}

FILTER(f_reverse) {
    struct gw_jvec all;
    bool ok;
    (void)a, (void)args;
    if (self.type == GW_J_STR)
        return gw_j_slice(rt, self, gw_jv_none(), gw_jv_none(), gw_jv_int(-1), out);
    if (!gw_j_reversed(rt, self, &ok, out)) return false;
    if (ok) return true;
    /* Iterators have no reverse: the reversed list of what is left of them. */
    struct gw_jv list;
    return gw_j_collect(rt, self, &all) && gw_j_vec_seq(rt, &all, GW_J_LIST, &list) &&
           gw_j_slice(rt, list, gw_jv_none(), gw_jv_none(), gw_jv_int(-1), out);
}

FILTER(f_list) {
    struct gw_jvec all;
    (void)a, (void)args;
    return gw_j_collect(rt, self, &all) && gw_j_vec_seq(rt, &all, GW_J_LIST, out);
}

FILTER(f_join) {
    struct gw_jattr attr;
    struct gw_jvec items;
    struct gw_jv sep = gw_jv_str("", 0);
    struct gw_jbuf b = {.rt = rt};
    (void)args;
    if (a[0].type != GW_J_MISSING && !gw_j_to_str(rt, a[0], &sep)) return false;
    if (!gw_j_attr_parse(rt, a[1], &attr) || !gw_j_collect(rt, self, &items)) return false;
    for (size_t i = 0; i < items.n && !rt->failed; i++) {
        struct gw_jv v;
        if (!gw_j_attr_get(rt, &attr, items.v[i], &v)) return false;
        if (i > 0) gw_j_put(&b, sep.u.s, sep.len);
        gw_j_put_str(&b, v);
    }
    return gw_j_buf_str(&b, out);
}

FILTER(f_items) {
    struct gw_jvec all = {0};
    (void)a, (void)args;
    if (self.type != GW_J_UNDEFINED && self.type != GW_J_DICT)
        return gw_j_raise(rt, "Can only get item pairs from a mapping.");
    if (self.type == GW_J_DICT) {
        self.type = GW_J_VIEW;
        self.aux = GW_JVIEW_ITEMS;
        if (!gw_j_collect(rt, self, &all)) return false;
    }
    return gw_j_iter(rt, all.v, all.n, "generator", out);
}

/* The argument `reverse`, which Python wants as a number. */
static bool arg_reverse(struct gw_jrt *rt, struct gw_jv v, bool *out) {
    *out = false;
    int64_t i;
    if (v.type == GW_J_UNDEFINED)
        return gw_j_raise(rt, "'Undefined' object cannot be interpreted as an integer");
    if (!gw_j_arg_int(rt, v, 0, "reverse", &i)) return false;
    *out = i != 0;
    return true;
}

/* The values to sort by, with text in lower case unless case counts. */
static bool sort_keys(struct gw_jrt *rt, const struct gw_jvec *items, const struct gw_jattr *attr,
                      bool case_sensitive, struct gw_jsort **out) {
    struct gw_jsort *s = gw_j_alloc(rt, items->n + 1, sizeof *s);
    if (s == NULL) return false;
    for (size_t i = 0; i < items->n; i++) {
        s[i].at = i;
        if (!gw_j_attr_key(rt, attr, items->v[i], case_sensitive, &s[i].key)) return false;
    }
    *out = s;
    return true;
}

FILTER(f_sort) {
    struct gw_jattr attr;
    struct gw_jvec items;
    struct gw_jsort *order;
    struct gw_jv *v;
    (void)args;
    bool reverse, case_sensitive = gw_j_arg_truth(a[1], false);
    if (!arg_reverse(rt, a[0], &reverse) || !gw_j_attr_parse_many(rt, a[2], &attr) ||
        !gw_j_collect(rt, self, &items) || !sort_keys(rt, &items, &attr, case_sensitive, &order) ||
        !gw_j_sort(rt, order, items.n, reverse) || !gw_j_seq(rt, GW_J_LIST, items.n, out, &v))
        return false;
    for (size_t i = 0; i < items.n; i++) v[i] = items.v[order[i].at];
    return true;
}

FILTER(f_dictsort) {
    struct gw_jattr none = {0};
    struct gw_jsort *order;
    struct gw_jv *v;
    struct gw_jvec keys = {0};
    (void)args;
    bool case_sensitive = gw_j_arg_truth(a[0], false), reverse;
    if (!arg_reverse(rt, a[2], &reverse)) return false;
    bool by_value = gw_jv_equals_text(a[1], "value");
    if (!by_value && a[1].type != GW_J_MISSING && !gw_jv_equals_text(a[1], "key"))
        return gw_j_raise(rt, "You can only sort by either \"key\" or \"value\"");
    if (self.type == GW_J_UNDEFINED) return gw_j_fail_undefined(rt, self);
    if (self.type != GW_J_DICT)
        return gw_j_raise(rt, "'%s' object has no attribute 'items'", gw_j_type_name(self));
    const struct gw_jdict *d = self.u.dict;
    for (size_t i = 0; i < d->n; i++)
        if (!gw_j_push(rt, &keys, by_value ? d->e[i].value : d->e[i].key)) return false;
    if (!sort_keys(rt, &keys, &none, case_sensitive, &order) ||
        !gw_j_sort(rt, order, d->n, reverse) || !gw_j_seq(rt, GW_J_LIST, d->n, out, &v))
        return false;
    for (size_t i = 0; i < d->n; i++) {
        const struct gw_jentry *e = &d->e[order[i].at];
        if (!gw_j_pair(rt, e->key, e->value, &v[i])) return false;
    }
    return true;
}

FILTER(f_unique) {
    struct gw_jattr attr;
    struct gw_jvec items, kept = {0};
    struct gw_jdict *seen;
    (void)args;
    bool case_sensitive = gw_j_arg_truth(a[0], false);
    if (!gw_j_attr_parse(rt, a[1], &attr) || !gw_j_collect(rt, self, &items) ||
        !gw_j_dict(rt, &seen))
        return false;
    for (size_t i = 0; i < items.n; i++) {
        struct gw_jv key, found;
        if (!gw_j_attr_key(rt, &attr, items.v[i], case_sensitive, &key)) return false;
        if (!gw_j_dict_get(rt, seen, key, &found)) return false;
        if (found.type != GW_J_MISSING) continue;
        if (!gw_j_dict_set(rt, seen, key, gw_jv_none()) || !gw_j_push(rt, &kept, items.v[i]))
            return false;
    }
    return gw_j_iter(rt, kept.v, kept.n, "generator", out);
}

static bool min_or_max(struct gw_jrt *rt, struct gw_jv self, const struct gw_jv *a, bool max,
                       struct gw_jv *out) {
    struct gw_jattr attr;
    struct gw_jvec items;
    struct gw_jv best = gw_jv_none(), key;
    bool case_sensitive = gw_j_arg_truth(a[0], false), better;
    if (!gw_j_attr_parse(rt, a[1], &attr) || !gw_j_collect(rt, self, &items)) return false;
    if (items.n == 0) {
        *out = hint("No aggregated item, sequence was empty.");
        return true;
    }
    for (size_t i = 0; i < items.n; i++) {
        if (!gw_j_attr_key(rt, &attr, items.v[i], case_sensitive, &key)) return false;
        if (i > 0 && !gw_j_compare(rt, max ? GW_JOP_GT : GW_JOP_LT, key, best, &better))
            return false;
        if (i > 0 && !better) continue;
        best = key;
        *out = items.v[i];
    }
    return true;
}

FILTER(f_min) {
    (void)args;
    return min_or_max(rt, self, a, false, out);
}
FILTER(f_max) {
    (void)args;
    return min_or_max(rt, self, a, true, out);
}

FILTER(f_sum) {
    struct gw_jattr attr;
    struct gw_jvec items;
    struct gw_jv v;
    (void)args;
    *out = a[1].type != GW_J_MISSING ? a[1] : gw_jv_int(0);
    if (out->type == GW_J_STR) return gw_j_raise(rt, "sum() can't sum strings");
    if (!gw_j_attr_parse(rt, a[0], &attr) || !gw_j_collect(rt, self, &items)) return false;
    for (size_t i = 0; i < items.n; i++)
        if (!gw_j_attr_get(rt, &attr, items.v[i], &v) || !gw_j_binary(rt, GW_JOP_ADD, *out, v, out))
            return false;
    return true;
}

FILTER(f_batch) {
    struct gw_jvec items, batches = {0}, one = {0};
    int64_t size;
    (void)args;
    bool fill = a[1].type != GW_J_MISSING && a[1].type != GW_J_NONE;
    if (!gw_j_arg_int(rt, a[0], 0, "linecount", &size) || !gw_j_collect(rt, self, &items))
        return false;
    for (size_t i = 0; i < items.n; i++) {
        struct gw_jv list;
        if ((int64_t)one.n == size) {
            if (!gw_j_vec_seq(rt, &one, GW_J_LIST, &list) || !gw_j_push(rt, &batches, list))
                return false;
            one = (struct gw_jvec){0};
        }
        if (!gw_j_push(rt, &one, items.v[i])) return false;
    }
    if (one.n > 0) {
        struct gw_jv list;
        while (fill && (int64_t)one.n < size)
            if (!gw_j_steps(rt, 1) || !gw_j_push(rt, &one, a[1])) return false;
        if (!gw_j_vec_seq(rt, &one, GW_J_LIST, &list) || !gw_j_push(rt, &batches, list))
            return false;
    }
    return gw_j_iter(rt, batches.v, batches.n, "generator", out);
}

FILTER(f_slice) {
    struct gw_jvec items, slices = {0};
    int64_t n;
    (void)args;
    bool fill = a[1].type != GW_J_MISSING && a[1].type != GW_J_NONE;
    if (!gw_j_arg_int(rt, a[0], 0, "slices", &n) || !gw_j_collect(rt, self, &items)) return false;
    if (n == 0) return gw_j_raise(rt, "integer division or modulo by zero");
    size_t count = n > 0 ? (size_t)n : 0, at = 0;
    for (size_t i = 0; i < count; i++) {
        struct gw_jv list;
        struct gw_jvec one = {0};
        size_t extra = items.n % count, take = items.n / count + (i < extra);
        if (!gw_j_steps(rt, 1 + take)) return false;
        for (size_t k = 0; k < take; k++)
            if (!gw_j_push(rt, &one, items.v[at++])) return false;
        if (fill && i >= extra && !gw_j_push(rt, &one, a[1])) return false;
        if (!gw_j_vec_seq(rt, &one, GW_J_LIST, &list) || !gw_j_push(rt, &slices, list))
            return false;
    }
    return gw_j_iter(rt, slices.v, slices.n, "generator", out);
}

/* (grouper, list) for the items order[from..to), which have equal keys. */
static bool push_group(struct gw_jrt *rt, struct gw_jvec *groups, const struct gw_jvec *items,
                       const struct gw_jsort *order, size_t from, size_t to, struct gw_jv grouper) {
    struct gw_jv list, *v, group;
    if (!gw_j_seq(rt, GW_J_LIST, to - from, &list, &v)) return false;
    for (size_t i = from; i < to; i++) v[i - from] = items->v[order[i].at];
    if (!gw_j_pair(rt, grouper, list, &group)) return false;
    group.aux = 1;
    return gw_j_push(rt, groups, group);
}

FILTER(f_groupby) {
    struct gw_jattr attr;
    struct gw_jvec items, groups = {0};
    struct gw_jsort *order;
    (void)args;
    bool case_sensitive = gw_j_arg_truth(a[2], false);
    if (!gw_j_attr_parse(rt, a[0], &attr) || !gw_j_collect(rt, self, &items)) return false;
    if (a[1].type != GW_J_NONE) attr.when_undefined = a[1];
    if (!sort_keys(rt, &items, &attr, case_sensitive, &order) ||
        !gw_j_sort(rt, order, items.n, false))
        return false;
    for (size_t from = 0, to; from < items.n; from = to) {
        bool same = true;
        struct gw_jv grouper = order[from].key;
        for (to = from + 1; to < items.n; to++) {
            if (!gw_j_equal(rt, order[from].key, order[to].key, &same)) return false;
            if (!same) break;
        }
        /* The group is called as its first element has it. */
        if (!case_sensitive && !gw_j_attr_get(rt, &attr, items.v[order[from].at], &grouper))
            return false;
        if (!push_group(rt, &groups, &items, order, from, to, grouper)) return false;
    }
    return gw_j_vec_seq(rt, &groups, GW_J_LIST, out);
}

static const struct gw_jdef defs[] = {
    {.name = "first", .params = "", .fn = f_first},
    {.name = "last", .params = "", .fn = f_last},
    {.name = "reverse", .params = "", .fn = f_reverse},
    {.name = "list", .params = "", .fn = f_list},
    {.name = "join", .params = "d,attribute", .fn = f_join},
    {.name = "items", .params = "", .fn = f_items},
    {.name = "sort", .params = "reverse,case_sensitive,attribute", .fn = f_sort},
    {.name = "dictsort", .params = "case_sensitive,by,reverse", .fn = f_dictsort},
    {.name = "unique", .params = "case_sensitive,attribute", .fn = f_unique},
    {.name = "min", .params = "case_sensitive,attribute", .fn = f_min},
    {.name = "max", .params = "case_sensitive,attribute", .fn = f_max},
    {.name = "sum", .params = "attribute,start", .fn = f_sum},
    {.name = "batch", .params = "linecount,fill_with", .required = 1, .fn = f_batch},
    {.name = "slice", .params = "slices,fill_with", .required = 1, .fn = f_slice},
    {.name = "groupby",
     .params = "attribute,default,case_sensitive",
     .required = 1,
     .fn = f_groupby},
};
const struct gw_jdefs gw_j_seq_filters = {defs, GW_ARRAY_LEN(defs)};

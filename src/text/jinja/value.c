/* value.c - lists and dicts, truth, equality, order and hashes of values. */
#include "text/jinja/value.h"

#include "text/jinja/runtime.h"

#include <math.h>
#include <string.h>

enum { DICT_SMALL = 8 }; /* up to here looking through all keys beats an index */

bool gw_jv_equals_text(struct gw_jv v, const char *text) {
    return v.type == GW_J_STR && strlen(text) == v.len && memcmp(v.u.s, text, v.len) == 0;
}

const char *gw_j_type_name(struct gw_jv v) {
    switch ((enum gw_jtype)v.type) {
    case GW_J_MISSING:
    case GW_J_UNDEFINED: return "Undefined";
    case GW_J_NONE: return "NoneType";
    case GW_J_BOOL: return "bool";
    case GW_J_INT: return "int";
    case GW_J_FLOAT: return "float";
    case GW_J_STR: return v.flags & GW_JF_MARKUP ? "Markup" : "str";
    case GW_J_LIST: return "list";
    case GW_J_TUPLE: return "tuple";
    case GW_J_DICT: return "dict";
    case GW_J_VIEW:
        return v.aux == GW_JVIEW_KEYS     ? "dict_keys"
               : v.aux == GW_JVIEW_VALUES ? "dict_values"
                                          : "dict_items";
    case GW_J_RANGE: return "range";
    case GW_J_ITER: return v.u.iter != NULL ? v.u.iter->type_name : "iterator";
    case GW_J_NAMESPACE: return "namespace";
    case GW_J_LOOP: return "LoopContext";
    case GW_J_MACRO: return "Macro";
    case GW_J_METHOD: return "method";
    case GW_J_FUNC: return "function";
    case GW_J_CYCLER: return "Cycler";
    case GW_J_JOINER: return "Joiner";
    }
    return "object";
}

/* --- sequences ------------------------------------------------------------------------------ */

bool gw_j_seq(struct gw_jrt *rt, enum gw_jtype type, size_t n, struct gw_jv *out,
              struct gw_jv **items) {
    size_t bytes;
    if (!gw_mul_size(n, sizeof(struct gw_jv), &bytes) ||
        !gw_add_size(bytes, sizeof(struct gw_jseq), &bytes))
        bytes = SIZE_MAX;
    struct gw_jseq *s = gw_j_alloc(rt, 1, bytes);
    if (s == NULL) return false;
    s->n = n;
    *items = s->v;
    *out = gw_jv_of(type);
    out->u.seq = s;
    return true;
}

bool gw_j_pair(struct gw_jrt *rt, struct gw_jv a, struct gw_jv b, struct gw_jv *out) {
    struct gw_jv *items;
    if (!gw_j_seq(rt, GW_J_TUPLE, 2, out, &items)) return false;
    items[0] = a;
    items[1] = b;
    return true;
}

bool gw_j_iter(struct gw_jrt *rt, const struct gw_jv *v, size_t n, const char *type_name,
               struct gw_jv *out) {
    struct gw_jiter *it = GW_J_NEW(rt, struct gw_jiter);
    if (it == NULL) return false;
    *it = (struct gw_jiter){.v = v, .n = n, .type_name = type_name};
    *out = gw_jv_of(GW_J_ITER);
    out->u.iter = it;
    return true;
}

bool gw_j_push(struct gw_jrt *rt, struct gw_jvec *vec, struct gw_jv v) {
    if (vec->n == vec->cap) {
        size_t cap = vec->cap == 0 ? 8 : vec->cap * 2;
        struct gw_jv *p = gw_j_alloc(rt, cap, sizeof *p);
        if (p == NULL) return false;
        if (vec->n > 0) memcpy(p, vec->v, vec->n * sizeof *p);
        vec->v = p;
        vec->cap = cap;
    }
    vec->v[vec->n++] = v;
    return true;
}

bool gw_j_vec_seq(struct gw_jrt *rt, const struct gw_jvec *vec, enum gw_jtype type,
                  struct gw_jv *out) {
    struct gw_jv *items;
    if (!gw_j_seq(rt, type, vec->n, out, &items)) return false;
    if (vec->n > 0) memcpy(items, vec->v, vec->n * sizeof *items);
    return true;
}

/* --- hashing and dicts ---------------------------------------------------------------------- */

uint64_t gw_j_hash_bytes(const void *bytes, size_t len, uint64_t seed) {
    const unsigned char *p = bytes;
    uint64_t h = seed ^ (uint64_t)len * 0x9E3779B97F4A7C15u;
    while (len > 0) {
        uint64_t w = 0;
        size_t n = GW_MIN(len, sizeof w);
        memcpy(&w, p, n);
        h = (h ^ w) * 0xD6E8FEB86659FD93u;
        h ^= h >> 32;
        p += n;
        len -= n;
    }
    h *= 0xD6E8FEB86659FD93u;
    return h ^ h >> 29;
}

bool gw_j_hash(struct gw_jrt *rt, struct gw_jv v, uint64_t *out) {
    int64_t i = 0;
    switch ((enum gw_jtype)v.type) {
    case GW_J_STR: *out = gw_j_hash_bytes(v.u.s, v.len, rt->hash_seed); return gw_j_scan(rt, v.len);
    case GW_J_FLOAT:
        /* Numbers that are equal have the same hash. */
        if (!(v.u.f >= -9223372036854775808.0 && v.u.f < 9223372036854775808.0) ||
            v.u.f != floor(v.u.f)) {
            *out = gw_j_hash_bytes(&v.u.f, sizeof v.u.f, rt->hash_seed);
            return true;
        }
        i = (int64_t)v.u.f;
        break;
    case GW_J_BOOL:
    case GW_J_INT: i = gw_jv_to_int(v); break;
    case GW_J_NONE:
    case GW_J_MISSING:
    case GW_J_UNDEFINED: i = v.type; break;
    case GW_J_LIST:
    case GW_J_DICT:
    case GW_J_VIEW: return gw_j_raise(rt, "unhashable type: '%s'", gw_j_type_name(v));
    case GW_J_TUPLE:
        if (!gw_j_enter(rt)) return false;
        *out = v.u.seq->n;
        for (size_t k = 0; k < v.u.seq->n; k++) {
            uint64_t h;
            if (!gw_j_steps(rt, 1) || !gw_j_hash(rt, v.u.seq->v[k], &h)) return false;
            *out = gw_j_hash_bytes(&h, sizeof h, *out);
        }
        rt->depth--;
        return true;
    default: i = (int64_t)(intptr_t)v.u.s; break; /* by identity */
    }
    *out = gw_j_hash_bytes(&i, sizeof i, rt->hash_seed);
    return true;
}

bool gw_j_dict(struct gw_jrt *rt, struct gw_jdict **out) {
    *out = GW_J_NEW(rt, struct gw_jdict);
    return *out != NULL;
}

/* The entry of `key`, or NULL. */
static bool dict_find(struct gw_jrt *rt, const struct gw_jdict *d, struct gw_jv key, uint64_t hash,
                      struct gw_jentry **out) {
    bool equal;
    *out = NULL;
    if (d->index == NULL) {
        for (size_t i = 0; i < d->n; i++) {
            if (d->e[i].hash != hash) continue;
            if (!gw_j_equal(rt, d->e[i].key, key, &equal)) return false;
            if (!equal) continue;
            *out = &d->e[i];
            return true;
        }
        return true;
    }
    for (size_t at = hash & (d->n_index - 1); d->index[at] != 0; at = (at + 1) & (d->n_index - 1)) {
        struct gw_jentry *e = &d->e[d->index[at] - 1];
        if (!gw_j_steps(rt, 1)) return false; /* keys made to collide must not hang us */
        if (e->hash != hash) continue;
        if (!gw_j_equal(rt, e->key, key, &equal)) return false;
        if (!equal) continue;
        *out = e;
        return true;
    }
    return true;
}

bool gw_j_dict_get(struct gw_jrt *rt, const struct gw_jdict *d, struct gw_jv key,
                   struct gw_jv *out) {
    struct gw_jentry *e;
    uint64_t hash;
    if (!gw_j_hash(rt, key, &hash) || !dict_find(rt, d, key, hash, &e)) return false;
    *out = e != NULL ? e->value : gw_jv_of(GW_J_MISSING);
    return true;
}

static void index_put(struct gw_jdict *d, size_t entry) {
    size_t at = d->e[entry].hash & (d->n_index - 1);
    while (d->index[at] != 0) at = (at + 1) & (d->n_index - 1);
    d->index[at] = (uint32_t)entry + 1;
}

static bool dict_grow(struct gw_jrt *rt, struct gw_jdict *d) {
    size_t cap = d->cap == 0 ? 4 : d->cap * 2;
    struct gw_jentry *e = gw_j_alloc(rt, cap, sizeof *e);
    if (e == NULL) return false;
    if (d->n > 0) memcpy(e, d->e, d->n * sizeof *e);
    d->e = e;
    d->cap = cap;
    if (cap <= DICT_SMALL) return true;
    d->n_index = cap * 2;
    d->index = gw_j_alloc(rt, d->n_index, sizeof *d->index);
    if (d->index == NULL) return false;
    for (size_t i = 0; i < d->n; i++) index_put(d, i);
    return true;
}

bool gw_j_dict_set(struct gw_jrt *rt, struct gw_jdict *d, struct gw_jv key, struct gw_jv value) {
    struct gw_jentry *e;
    uint64_t hash;
    if (!gw_j_hash(rt, key, &hash) || !dict_find(rt, d, key, hash, &e)) return false;
    if (e != NULL) {
        e->value = value; /* the first key stays, as in Python */
        return true;
    }
    if (d->n == d->cap && !dict_grow(rt, d)) return false;
    d->e[d->n] = (struct gw_jentry){.key = key, .value = value, .hash = hash};
    if (d->index != NULL) index_put(d, d->n);
    d->n++;
    return true;
}

/* --- truth, equality, order ----------------------------------------------------------------- */

bool gw_j_truth(struct gw_jv v) {
    switch ((enum gw_jtype)v.type) {
    case GW_J_MISSING:
    case GW_J_UNDEFINED:
    case GW_J_NONE: return false;
    case GW_J_BOOL: return v.u.b;
    case GW_J_INT: return v.u.i != 0;
    case GW_J_FLOAT: return v.u.f != 0;
    case GW_J_STR: return v.len > 0;
    case GW_J_LIST:
    case GW_J_TUPLE: return v.u.seq->n > 0;
    case GW_J_DICT:
    case GW_J_VIEW: return v.u.dict->n > 0;
    case GW_J_RANGE: return v.u.range->n > 0;
    default: return true;
    }
}

/* A double of magnitude below 2^63 and an int compare exactly as long doubles on x86-64 and
 * AArch64, whose significands have at least 64 bits. */
static long double widened(struct gw_jv v) {
    return v.type == GW_J_FLOAT ? (long double)v.u.f : (long double)gw_jv_to_int(v);
}

static bool seq_equal(struct gw_jrt *rt, const struct gw_jseq *a, const struct gw_jseq *b,
                      bool *out) {
    *out = a->n == b->n;
    for (size_t i = 0; *out && i < a->n; i++)
        if (!gw_j_steps(rt, 1) || !gw_j_equal(rt, a->v[i], b->v[i], out)) return false;
    return true;
}

static bool dict_equal(struct gw_jrt *rt, const struct gw_jdict *a, const struct gw_jdict *b,
                       bool *out) {
    *out = a->n == b->n;
    for (size_t i = 0; *out && i < a->n; i++) {
        struct gw_jentry *e;
        if (!gw_j_steps(rt, 1) || !dict_find(rt, b, a->e[i].key, a->e[i].hash, &e)) return false;
        *out = e != NULL;
        if (e != NULL && !gw_j_equal(rt, a->e[i].value, e->value, out)) return false;
    }
    return true;
}

static bool range_equal(const struct gw_jrange *a, const struct gw_jrange *b) {
    return a->n == b->n &&
           (a->n == 0 || (a->start == b->start && (a->n == 1 || a->step == b->step)));
}

bool gw_j_equal(struct gw_jrt *rt, struct gw_jv a, struct gw_jv b, bool *out) {
    if (gw_jv_is_number(a) && gw_jv_is_number(b)) {
        if (gw_jv_is_int(a) && gw_jv_is_int(b))
            *out = gw_jv_to_int(a) == gw_jv_to_int(b);
        else
            *out = widened(a) == widened(b);
        return true;
    }
    *out = a.type == b.type;
    if (!*out) return true;
    bool ok = true;
    switch ((enum gw_jtype)a.type) {
    case GW_J_MISSING:
    case GW_J_UNDEFINED:
    case GW_J_NONE: return true;
    case GW_J_STR:
        *out = a.len == b.len && (a.u.s == b.u.s || memcmp(a.u.s, b.u.s, a.len) == 0);
        return gw_j_scan(rt, a.len);
    case GW_J_LIST:
    case GW_J_TUPLE:
    case GW_J_DICT:
        if (a.u.s == b.u.s) return true;
        ok = gw_j_enter(rt) && (a.type == GW_J_DICT ? dict_equal(rt, a.u.dict, b.u.dict, out)
                                                    : seq_equal(rt, a.u.seq, b.u.seq, out));
        rt->depth--;
        return ok;
    case GW_J_RANGE: *out = range_equal(a.u.range, b.u.range); return true;
    case GW_J_VIEW:
        if (a.aux != b.aux || a.aux == GW_JVIEW_VALUES)
            *out = a.aux == b.aux && a.u.dict == b.u.dict;
        else if (a.aux == GW_JVIEW_ITEMS)
            ok = dict_equal(rt, a.u.dict, b.u.dict, out);
        else
            for (size_t i = 0; *out && ok && i < a.u.dict->n; i++) {
                struct gw_jentry *e;
                ok = dict_find(rt, b.u.dict, a.u.dict->e[i].key, a.u.dict->e[i].hash, &e);
                *out = e != NULL && a.u.dict->n == b.u.dict->n;
            }
        return ok;
    default: *out = a.u.s == b.u.s; return true;
    }
}

bool gw_j_same(struct gw_jv a, struct gw_jv b) {
    if (a.type != b.type) return false;
    switch ((enum gw_jtype)a.type) {
    case GW_J_MISSING:
    case GW_J_UNDEFINED: return a.u.s == b.u.s && a.aux == b.aux;
    case GW_J_NONE: return true;
    case GW_J_BOOL: return a.u.b == b.u.b;
    case GW_J_INT: return a.u.i == b.u.i; /* Python keeps one object of each small number */
    case GW_J_FLOAT: return a.u.f == b.u.f;
    case GW_J_STR: return a.len == b.len && (a.u.s == b.u.s || (a.len == 1 && *a.u.s == *b.u.s));
    case GW_J_VIEW: return false;
    default: return a.u.s == b.u.s;
    }
}

static bool seq_less(struct gw_jrt *rt, const struct gw_jseq *a, const struct gw_jseq *b,
                     const char *op, bool *out) {
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        bool equal;
        if (!gw_j_steps(rt, 1) || !gw_j_equal(rt, a->v[i], b->v[i], &equal)) return false;
        if (!equal) return gw_j_less(rt, a->v[i], b->v[i], op, out);
    }
    *out = a->n < b->n;
    return true;
}

bool gw_j_less(struct gw_jrt *rt, struct gw_jv a, struct gw_jv b, const char *op, bool *out) {
    *out = false;
    if (gw_jv_is_number(a) && gw_jv_is_number(b)) {
        if (gw_jv_is_int(a) && gw_jv_is_int(b))
            *out = gw_jv_to_int(a) < gw_jv_to_int(b);
        else
            *out = widened(a) < widened(b);
        return true;
    }
    if (a.type == GW_J_UNDEFINED) return gw_j_fail_undefined(rt, a);
    if (b.type == GW_J_UNDEFINED) return gw_j_fail_undefined(rt, b);
    if (a.type == GW_J_STR && b.type == GW_J_STR) {
        /* The order of UTF-8 bytes is the order of code points. */
        int c = memcmp(a.u.s, b.u.s, GW_MIN(a.len, b.len));
        *out = c != 0 ? c < 0 : a.len < b.len;
        return gw_j_scan(rt, GW_MIN(a.len, b.len));
    }
    if (a.type == b.type && (a.type == GW_J_LIST || a.type == GW_J_TUPLE)) {
        bool ok = gw_j_enter(rt) && seq_less(rt, a.u.seq, b.u.seq, op, out);
        rt->depth--;
        return ok;
    }
    /* a > b and a <= b are asked as b < a. */
    bool swapped = strcmp(op, ">") == 0 || strcmp(op, "<=") == 0;
    return gw_j_raise(rt, "'%s' not supported between instances of '%s' and '%s'", op,
                      gw_j_type_name(swapped ? b : a), gw_j_type_name(swapped ? a : b));
}

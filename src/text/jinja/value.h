/* value.h - the values of a template, 16 bytes each and passed by value.
 *
 * They behave as the Python objects of the same names.  Lists, tuples, dicts and strings never
 * change once built (the sandbox forbids it), so they are shared freely and nothing is copied or
 * freed singly: all of it lives in the arena of the rendering.  Strings are UTF-8, always valid,
 * and may hold NUL; their lengths here are bytes, those the template sees are code points. */
#ifndef GW_TEXT_JINJA_VALUE_H
#define GW_TEXT_JINJA_VALUE_H

#include "base/base.h"

struct gw_jrt;

enum gw_jtype {
    GW_J_MISSING, /* no value: an unset variable, an argument that was not given */
    GW_J_UNDEFINED,
    GW_J_NONE,
    GW_J_BOOL,
    GW_J_INT,
    GW_J_FLOAT,
    GW_J_STR,
    GW_J_LIST,
    GW_J_TUPLE,
    GW_J_DICT,
    GW_J_VIEW,  /* dict.keys(), .values(), .items() */
    GW_J_RANGE, /* range(...) */
    GW_J_ITER,  /* a generator or iterator: can be gone through once, has no length */
    GW_J_NAMESPACE,
    GW_J_LOOP,   /* the variable `loop` */
    GW_J_MACRO,  /* a macro, or the `caller` of a call block */
    GW_J_METHOD, /* a method bound to its object */
    GW_J_FUNC,   /* a global function */
    GW_J_CYCLER,
    GW_J_JOINER
};

enum {
    GW_JF_MARKUP = 1, /* a string marked safe: what is added to it is HTML-escaped */
    GW_JF_GROW = 2    /* a string with room after it, see gw_j_concat() */
};

/* How an undefined value came about, which decides the message when it is used. */
enum gw_jundef {
    GW_JU_NAME,    /* 's' is undefined */
    GW_JU_ATTR,    /* '<type> object' has no attribute 's' */
    GW_JU_ELEMENT, /* <type> object has no element s */
    GW_JU_UNSAFE,  /* access to attribute 's' of '<type>' object is unsafe */
    GW_JU_HINT     /* s is the message */
};

enum { GW_JVIEW_KEYS, GW_JVIEW_VALUES, GW_JVIEW_ITEMS };

struct gw_jv {
    uint8_t type;  /* enum gw_jtype */
    uint8_t flags; /* strings: GW_JF_...; undefined: type of the object it was looked up in */
    uint16_t aux;  /* undefined: enum gw_jundef; views: GW_JVIEW_...; tuples: 1 for a group */
    uint32_t len;  /* strings and undefined: bytes of u.s */
    union {
        bool b;
        int64_t i;
        double f;
        const char *s;
        const struct gw_jseq *seq; /* list, tuple */
        struct gw_jdict *dict;     /* dict, view, namespace */
        const struct gw_jrange *range;
        struct gw_jiter *iter;
        struct gw_jloop *loop;
        const struct gw_jmacro *macro;
        const struct gw_jmethod *method;
        const struct gw_jdef *func;
        struct gw_jcycler *cycler;
        struct gw_jjoiner *joiner;
    } u;
};

struct gw_jseq {
    size_t n;
    struct gw_jv v[];
};

struct gw_jentry {
    struct gw_jv key, value;
    uint64_t hash;
};
struct gw_jdict {
    size_t n, cap;
    struct gw_jentry *e; /* in order of insertion */
    uint32_t *index;     /* n_index slots of entry number + 1, 0 free; NULL while small */
    size_t n_index;      /* a power of two */
};

struct gw_jrange {
    int64_t start, stop, step;
    size_t n;
};

/* Generators are worked out when they are made; an error that one of their elements met waits
 * here until that element is asked for. */
struct gw_jiter {
    const struct gw_jv *v;
    size_t n, pos;
    const struct gwen_err *pending; /* NULL: none */
    const char *type_name;
    bool reversible;
};

struct gw_jmethod {
    struct gw_jv self;
    const struct gw_jdef *def;
};

struct gw_jcycler {
    const struct gw_jseq *items;
    size_t pos;
};
struct gw_jjoiner {
    struct gw_jv sep;
    bool used;
};

static inline struct gw_jv gw_jv_of(enum gw_jtype type) {
    return (struct gw_jv){.type = (uint8_t)type};
}
static inline struct gw_jv gw_jv_none(void) { return gw_jv_of(GW_J_NONE); }
static inline struct gw_jv gw_jv_bool(bool b) {
    return (struct gw_jv){.type = GW_J_BOOL, .u.b = b};
}
static inline struct gw_jv gw_jv_int(int64_t i) {
    return (struct gw_jv){.type = GW_J_INT, .u.i = i};
}
static inline struct gw_jv gw_jv_float(double f) {
    return (struct gw_jv){.type = GW_J_FLOAT, .u.f = f};
}
/* A string over bytes that outlive the rendering or lie in its arena. */
static inline struct gw_jv gw_jv_str(const char *s, size_t len) {
    return (struct gw_jv){.type = GW_J_STR, .len = (uint32_t)len, .u.s = s};
}
/* Bytes from..to of string v, marked as v is. */
static inline struct gw_jv gw_jv_sub(struct gw_jv v, size_t from, size_t to) {
    struct gw_jv r = gw_jv_str(v.u.s + from, to - from);
    r.flags = v.flags & GW_JF_MARKUP;
    return r;
}
static inline struct gw_jv gw_jv_undefined(enum gw_jundef how, enum gw_jtype object, const char *s,
                                           size_t len) {
    return (struct gw_jv){.type = GW_J_UNDEFINED,
                          .flags = (uint8_t)object,
                          .aux = (uint16_t)how,
                          .len = (uint32_t)len,
                          .u.s = s};
}
static inline bool gw_jv_is_int(struct gw_jv v) {
    return v.type == GW_J_INT || v.type == GW_J_BOOL;
}
static inline bool gw_jv_is_number(struct gw_jv v) {
    return v.type == GW_J_INT || v.type == GW_J_BOOL || v.type == GW_J_FLOAT;
}
/* Of an int or bool; of any number. */
static inline int64_t gw_jv_to_int(struct gw_jv v) { return v.type == GW_J_BOOL ? v.u.b : v.u.i; }
static inline double gw_jv_to_double(struct gw_jv v) {
    return v.type == GW_J_FLOAT ? v.u.f : (double)gw_jv_to_int(v);
}
bool gw_jv_equals_text(struct gw_jv v, const char *text); /* a string with exactly these bytes */

/* The functions below that can fail return false, with the error in *rt. */

/* A list or tuple of n elements for the caller to fill through *items. */
bool gw_j_seq(struct gw_jrt *rt, enum gw_jtype type, size_t n, struct gw_jv *out,
              struct gw_jv **items);
/* A tuple of two. */
bool gw_j_pair(struct gw_jrt *rt, struct gw_jv a, struct gw_jv b, struct gw_jv *out);
/* An iterator over v[0..n), which stay the arena's. */
bool gw_j_iter(struct gw_jrt *rt, const struct gw_jv *v, size_t n, const char *type_name,
               struct gw_jv *out);

/* A list being collected. */
struct gw_jvec {
    struct gw_jv *v;
    size_t n, cap;
};
bool gw_j_push(struct gw_jrt *rt, struct gw_jvec *vec, struct gw_jv v);
bool gw_j_vec_seq(struct gw_jrt *rt, const struct gw_jvec *vec, enum gw_jtype type,
                  struct gw_jv *out);

bool gw_j_dict(struct gw_jrt *rt, struct gw_jdict **out);
/* Adds or replaces; the key must be hashable. */
bool gw_j_dict_set(struct gw_jrt *rt, struct gw_jdict *d, struct gw_jv key, struct gw_jv value);
/* *out is MISSING when there is no such key; fails on an unhashable one. */
bool gw_j_dict_get(struct gw_jrt *rt, const struct gw_jdict *d, struct gw_jv key,
                   struct gw_jv *out);

bool gw_j_truth(struct gw_jv v);
bool gw_j_equal(struct gw_jrt *rt, struct gw_jv a, struct gw_jv b, bool *out);
/* a < b, with Python's rules on what can be ordered.  `op` is the operator named in the error. */
bool gw_j_less(struct gw_jrt *rt, struct gw_jv a, struct gw_jv b, const char *op, bool *out);
bool gw_j_hash(struct gw_jrt *rt, struct gw_jv v, uint64_t *out);
bool gw_j_same(struct gw_jv a, struct gw_jv b); /* Python's `is` */

/* Python's name of the type, as in messages. */
const char *gw_j_type_name(struct gw_jv v);
uint64_t gw_j_hash_bytes(const void *bytes, size_t len, uint64_t seed);

#endif

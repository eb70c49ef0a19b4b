/* runtime.h - what parsing and rendering share: memory, limits, errors and text being built.
 *
 * Every function of the interpreter that can fail returns bool: true, or false after
 * gw_j_fail() has put the message into the run.  The first error stands. */
#ifndef GW_TEXT_JINJA_RUNTIME_H
#define GW_TEXT_JINJA_RUNTIME_H

#include "base/arena.h"
#include "text/jinja/jinja.h"
#include "text/jinja/value.h"

enum {
    GW_J_MAX_SOURCE = 1 << 20, /* bytes of a template */
    GW_J_MAX_STATEMENTS = 100, /* nesting, as Python's limit on indentation */
    GW_J_MAX_EXPR = 200,       /* nesting, as Python's limit on parentheses */
    GW_J_MAX_DEPTH = 2000,     /* nested evaluations of statements, expressions and calls */
    GW_J_MAX_DATA_DEPTH = 400, /* nesting of lists and dicts */
    GW_J_MAX_RANGE = 100000,   /* elements of range(), as in jinja2's sandbox */
    GW_J_MAX_WIDTH = 1 << 20   /* of a padded field */
};
#define GW_J_MAX_STRING ((size_t)UINT32_MAX / 2)

/* One Python function of the compiled template: the root, a macro, a recursive loop. */
struct gw_jact {
    struct gw_jact *parent; /* the function it is nested in */
    struct gw_jv slots[];
};

/* What a {% generation %} wrote, and where: once the text around had `start` bytes. */
struct gw_jgeneration {
    struct gw_jgeneration *next;
    size_t start, len;
    const char *text;
};

enum gw_jflow { GW_JFLOW_NEXT, GW_JFLOW_BREAK, GW_JFLOW_CONTINUE };

struct gw_jrt {
    const char *name;       /* of the template */
    struct gw_arena *arena; /* where everything is put */
    struct gwen_err error;
    bool failed, fatal; /* fatal: a limit was passed, which nothing may catch */
    uint32_t line;      /* being worked on */
    uint32_t depth;
    uint64_t steps; /* left */
    uint64_t hash_seed;

    /* Rendering only. */
    const struct gw_jinja *tmpl;
    const struct tm *now;
    const struct gw_jv *vars; /* by number of the name; MISSING when not given */
    struct gw_jact *act;
    struct gw_jbuf *out;
    size_t output_left;
    enum gw_jflow flow;
    const struct gw_jbuf *root; /* the output; `out` is another one in a macro or captured block */
    struct gw_jgeneration *generations, **last_generation;
    size_t n_generations;
};

/* Records "NAME line N: ..." (control characters shown as escapes) unless an error is there
 * already; returns false. */
bool gw_j_fail(struct gw_jrt *rt, enum gwen_status status, const char *fmt, ...) GW_PRINTF(3, 4);
/* A failure that is the template's or its variables': GWEN_ERR_ARGUMENT. */
#define gw_j_raise(rt, ...) gw_j_fail(rt, GWEN_ERR_ARGUMENT, __VA_ARGS__)
/* Fails with what an undefined value says of itself. */
bool gw_j_fail_undefined(struct gw_jrt *rt, struct gw_jv v);

/* Arena memory; NULL after recording the error. */
void *gw_j_alloc(struct gw_jrt *rt, size_t n, size_t size);
#define GW_J_NEW(rt, type) ((type *)gw_j_alloc(rt, 1, sizeof(type)))

/* Takes n steps. */
static inline bool gw_j_steps(struct gw_jrt *rt, uint64_t n) {
    if (rt->steps >= n) {
        rt->steps -= n;
        return true;
    }
    rt->steps = 0;
    rt->fatal = true;
    return gw_j_fail(rt, GWEN_ERR_NOMEM, "takes too many steps");
}
/* The steps of looking at each code point of so many bytes, and of scanning them by the C
 * library's fast functions.  A step is some 20 ns. */
static inline bool gw_j_look(struct gw_jrt *rt, size_t bytes) { return gw_j_steps(rt, bytes / 2); }
static inline bool gw_j_scan(struct gw_jrt *rt, size_t bytes) { return gw_j_steps(rt, bytes / 32); }
/* One level deeper; leave with rt->depth--, also after a failure. */
static inline bool gw_j_enter(struct gw_jrt *rt) {
    if (++rt->depth <= GW_J_MAX_DEPTH) return gw_j_steps(rt, 1);
    rt->fatal = true;
    return gw_j_fail(rt, GWEN_ERR_NOMEM, "nests or recurses too deeply");
}

/* Text being built in the arena.  A failed append is in the run's error and makes later ones
 * no-ops; gw_j_buf_str() then fails. */
struct gw_jbuf {
    struct gw_jrt *rt;
    char *p;
    size_t len, cap;
};
void gw_j_put(struct gw_jbuf *b, const char *s, size_t len);
void gw_j_puts(struct gw_jbuf *b, const char *s);
void gw_j_putc(struct gw_jbuf *b, char c);
void gw_j_put_cp(struct gw_jbuf *b, uint32_t cp);
void gw_j_put_repeat(struct gw_jbuf *b, const char *s, size_t len, size_t times);
void gw_j_putf(struct gw_jbuf *b, const char *fmt, ...) GW_PRINTF(2, 3);
bool gw_j_buf_str(const struct gw_jbuf *b, struct gw_jv *out);

/* str(v) and repr(v). */
void gw_j_put_str(struct gw_jbuf *b, struct gw_jv v);
void gw_j_put_repr(struct gw_jbuf *b, struct gw_jv v);
void gw_j_put_escaped(struct gw_jbuf *b, const char *s, size_t len); /* & < > ' " for HTML */
/* str(v) as a string value; a string is returned as it is, still marked. */
bool gw_j_to_str(struct gw_jrt *rt, struct gw_jv v, struct gw_jv *out);
/* markupsafe.escape(v). */
bool gw_j_escape(struct gw_jrt *rt, struct gw_jv v, struct gw_jv *out);
/* a + b for strings.  Building a text piece by piece, as `ns.out = ns.out + x` does, would be
 * quadratic: a result is therefore given room to grow, and the bytes of b are put right behind
 * those of a when a is the last user of that room. */
bool gw_j_concat(struct gw_jrt *rt, struct gw_jv a, struct gw_jv b, struct gw_jv *out);

/* JSON in and out (json.c). */
bool gw_j_from_json(struct gw_jrt *rt, const json_t *j, unsigned depth, struct gw_jv *out);
struct gw_jdumps {
    bool ensure_ascii, sort_keys;
    bool has_indent;
    struct gw_jv indent;            /* string put per level */
    struct gw_jv item_sep, key_sep; /* strings */
};
bool gw_j_dumps(struct gw_jrt *rt, struct gw_jv v, const struct gw_jdumps *how, struct gw_jv *out);

#endif

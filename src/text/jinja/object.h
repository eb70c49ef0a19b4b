/* object.h - what evaluation works with: operators, attributes, iteration, loops and macros. */
#ifndef GW_TEXT_JINJA_OBJECT_H
#define GW_TEXT_JINJA_OBJECT_H

#include "text/jinja/ast.h"
#include "text/jinja/builtins.h"
#include "text/jinja/runtime.h"

/* --- iteration (iter.c) --------------------------------------------------------------------- */

struct gw_jcursor {
    struct gw_jv over;
    size_t pos;
    const struct gw_jfor *filter; /* NULL, or the loop whose `if` decides */
    struct gw_jact *act;          /* the filter's variables */
    bool filter_entered;
};

/* Fails when v cannot be iterated over. */
bool gw_j_iterate(struct gw_jrt *rt, struct gw_jv v, struct gw_jcursor *c);
/* *out MISSING at the end. */
bool gw_j_next(struct gw_jrt *rt, struct gw_jcursor *c, struct gw_jv *out);
/* len(v). */
bool gw_j_len(struct gw_jrt *rt, struct gw_jv v, size_t *out);
bool gw_j_is_iterable(struct gw_jv v);
/* All elements of v. */
bool gw_j_collect(struct gw_jrt *rt, struct gw_jv v, struct gw_jvec *vec);
/* The elements of v last first, as Python's reversed(); *ok false when it has no reverse. */
bool gw_j_reversed(struct gw_jrt *rt, struct gw_jv v, bool *ok, struct gw_jv *out);

/* --- operators and attributes (ops.c, attr.c) ----------------------------------------------- */

bool gw_j_binary(struct gw_jrt *rt, enum gw_jop op, struct gw_jv a, struct gw_jv b,
                 struct gw_jv *out);
bool gw_j_compare(struct gw_jrt *rt, enum gw_jop op, struct gw_jv a, struct gw_jv b, bool *out);
bool gw_j_contains(struct gw_jrt *rt, struct gw_jv container, struct gw_jv item, bool *out);
bool gw_j_negate(struct gw_jrt *rt, struct gw_jv v, bool plus, struct gw_jv *out);
/* v.name, then v[name]; and v[key], then v.key.  Undefined when there is neither. */
bool gw_j_getattr(struct gw_jrt *rt, struct gw_jv v, const char *name, size_t len,
                  struct gw_jv *out);
bool gw_j_getitem(struct gw_jrt *rt, struct gw_jv v, struct gw_jv key, struct gw_jv *out);
/* The attribute alone, without items; *out MISSING when there is none. */
bool gw_j_attribute(struct gw_jrt *rt, struct gw_jv v, const char *name, size_t len,
                    struct gw_jv *out);
/* v[start:stop:step]; bounds not given are MISSING or none. */
bool gw_j_slice(struct gw_jrt *rt, struct gw_jv v, struct gw_jv start, struct gw_jv stop,
                struct gw_jv step, struct gw_jv *out);

/* --- loops and macros (exec.c, macro.c) ----------------------------------------------------- */

struct gw_jloop {
    struct gw_jcursor cursor;
    struct gw_jv before, current, after; /* after: looked at already; MISSING: not yet */
    bool at_end;                         /* nothing comes after `current` */
    int64_t index0;
    size_t length;
    bool has_length;
    bool changed_once;
    struct gw_jv changed; /* arguments of the last loop.changed() */
    int64_t depth0;
    const struct gw_jfor *recursive; /* NULL: loop(...) is an error */
    struct gw_jact *act;             /* of the function the statement is in */
};
/* The next element into l->current; *more false at the end. */
bool gw_j_loop_next(struct gw_jrt *rt, struct gw_jloop *l, bool *more);
bool gw_j_loop_length(struct gw_jrt *rt, struct gw_jloop *l, size_t *out);
/* loop.name; *out MISSING when there is no such attribute. */
bool gw_j_loop_attr(struct gw_jrt *rt, struct gw_jloop *l, const char *name, size_t len,
                    struct gw_jv *out);
/* loop(items) in a recursive loop: the text of the loop over them. */
bool gw_j_loop_recurse(struct gw_jrt *rt, struct gw_jloop *l, struct gw_jv items,
                       struct gw_jv *out);

struct gw_jmacro {
    const struct gw_jmacro_def *def;
    struct gw_jact *act; /* of the function it was defined in */
};
bool gw_j_macro(struct gw_jrt *rt, const struct gw_jmacro_def *def, struct gw_jv *out);
bool gw_j_macro_call(struct gw_jrt *rt, const struct gw_jmacro *m, const struct gw_jargs *args,
                     struct gw_jv *out);
bool gw_j_macro_attr(struct gw_jrt *rt, const struct gw_jmacro *m, const char *name, size_t len,
                     struct gw_jv *out);

/* --- evaluation (eval.c, exec.c) ------------------------------------------------------------ */

bool gw_j_eval(struct gw_jrt *rt, const struct gw_jnode *n, struct gw_jv *out);
bool gw_j_eval_args(struct gw_jrt *rt, const struct gw_jcallargs *given, struct gw_jargs *out);
/* A filter node (or a chain of them) over `input`, which stands for a NULL operand. */
bool gw_j_eval_filter(struct gw_jrt *rt, const struct gw_jnode *n, struct gw_jv input,
                      struct gw_jv *out);
bool gw_j_assign(struct gw_jrt *rt, const struct gw_jnode *target, struct gw_jv v);
/* Statements, linked; rt->flow tells how they ended. */
bool gw_j_exec(struct gw_jrt *rt, const struct gw_jnode *body);
/* The text that the statements print. */
bool gw_j_capture(struct gw_jrt *rt, const struct gw_jnode *body, struct gw_jv *out);
void gw_j_enter_frame(struct gw_jrt *rt, const struct gw_jframe *f);
void gw_j_leave_frame(struct gw_jrt *rt, const struct gw_jframe *f);
bool gw_j_new_act(struct gw_jrt *rt, struct gw_jact *parent, uint32_t n_slots,
                  struct gw_jact **out);
struct gw_jv *gw_j_slot(struct gw_jrt *rt, struct gw_jref ref);

#endif

/* builtins.h - filters, tests, functions and methods: one table each, one signature for all. */
#ifndef GW_TEXT_JINJA_BUILTINS_H
#define GW_TEXT_JINJA_BUILTINS_H

#include "text/jinja/value.h"

struct gw_jkw {
    struct gw_jv name, value; /* name: a string */
};
/* The arguments of a call, as given. */
struct gw_jargs {
    const struct gw_jv *pos;
    size_t n_pos;
    const struct gw_jkw *kw;
    size_t n_kw;
};

enum { GW_J_MAX_PARAMS = 8 };

/* self: the value that is filtered or tested, or whose method it is (MISSING for functions).
 * a[i]: argument of the i-th parameter, MISSING when not given.  Functions that take any
 * arguments (params NULL) look at *args instead. */
typedef bool gw_jfn(struct gw_jrt *rt, struct gw_jv self, const struct gw_jv *a,
                    const struct gw_jargs *args, struct gw_jv *out);

enum gw_jdef_kind {
    GW_JDEF_OK,
    GW_JDEF_UNSAFE,     /* the sandbox lets no template have it */
    GW_JDEF_UNSUPPORTED /* Python has it, this does not: an error when it is called */
};

struct gw_jdef {
    const char *name;
    const char *params; /* "old,new,count"; "" none; NULL any */
    uint8_t required;   /* of them */
    uint8_t positional; /* leading ones that have no name for the caller */
    uint8_t kind;       /* enum gw_jdef_kind */
    gw_jfn *fn;
};

/* NULL when jinja2 has none of that name; one that is not implemented is GW_JDEF_UNSUPPORTED. */
const struct gw_jdef *gw_j_filter(const char *name, size_t len);
const struct gw_jdef *gw_j_test(const char *name, size_t len);
const struct gw_jdef *gw_j_function(const char *name, size_t len);
/* Fails with what filter or test node n wants and there is not. */
struct gw_jnode;
bool gw_j_fail_unknown(struct gw_jrt *rt, const struct gw_jnode *n);
/* The method `name` of values like v, NULL when they have none. */
const struct gw_jdef *gw_j_method(struct gw_jv v, const char *name, size_t len);

/* Looks through defs[0..n). */
const struct gw_jdef *gw_j_find_def(const struct gw_jdef *defs, size_t n, const char *name,
                                    size_t len);
/* Tables that a file of their own holds. */
struct gw_jdefs {
    const struct gw_jdef *v;
    size_t n;
};
extern const struct gw_jdefs gw_j_text_filters, gw_j_seq_filters, gw_j_select_filters,
    gw_j_str_methods, gw_j_str_class_methods;

/* Sorts *args by the parameters of *def and runs it. */
bool gw_j_run(struct gw_jrt *rt, const struct gw_jdef *def, struct gw_jv self,
              const struct gw_jargs *args, struct gw_jv *out);
/* Calls any callable value. */
bool gw_j_call(struct gw_jrt *rt, struct gw_jv callee, const struct gw_jargs *args,
               struct gw_jv *out);

/* Arguments with a default, or of a kind; `what` is how messages call it. */
bool gw_j_arg_int(struct gw_jrt *rt, struct gw_jv v, int64_t when_missing, const char *what,
                  int64_t *out);
bool gw_j_arg_str(struct gw_jrt *rt, struct gw_jv v, const char *what, struct gw_jv *out);
bool gw_j_arg_truth(struct gw_jv v, bool when_missing);

/* str.format() and %, in format.c. */
bool gw_j_percent(struct gw_jrt *rt, struct gw_jv format, struct gw_jv values, struct gw_jv *out);
bool gw_j_format(struct gw_jrt *rt, struct gw_jv format, const struct gw_jargs *args,
                 struct gw_jv *out);

/* str methods that filters use too; `how` is an enum gw_jcase, count < 0 all. */
bool gw_j_splitlines(struct gw_jrt *rt, struct gw_jv s, bool keep_ends, struct gw_jvec *lines);
bool gw_j_case(struct gw_jrt *rt, struct gw_jv s, int how, struct gw_jv *out);
bool gw_j_replace(struct gw_jrt *rt, struct gw_jv s, struct gw_jv old, struct gw_jv new_text,
                  int64_t count, struct gw_jv *out);

/* strftime_now(): `format` with the date of the run. */
bool gw_j_strftime(struct gw_jrt *rt, struct gw_jv format, struct gw_jv *out);

#endif

/* ast.h - the tree of a template.  Nodes lie in the template's arena; those of one list are
 * linked by `next`.  scope.c fills in where each name lives. */
#ifndef GW_TEXT_JINJA_AST_H
#define GW_TEXT_JINJA_AST_H

#include "text/jinja/value.h"

/* A name of the template; there is one object per name. */
struct gw_jname {
    const char *s;
    uint32_t len;
    uint32_t id; /* numbered from 0 */
    uint64_t hash;
    struct gw_jname *chain;    /* in the table of names */
    struct gw_jbinding *bound; /* innermost binding while scope.c works */
};

/* A variable: which function's record it is in (0: the running one's, 1: the one around, ...) and
 * where there. */
struct gw_jref {
    uint32_t hops, slot;
};

/* What is done with a frame's variables when it is entered. */
enum gw_jload { GW_JLOAD_PARAM, GW_JLOAD_CONTEXT, GW_JLOAD_ALIAS, GW_JLOAD_UNSET };
struct gw_jvar {
    uint32_t slot;
    uint8_t load;
    uint32_t name;        /* GW_JLOAD_CONTEXT: id */
    struct gw_jref outer; /* GW_JLOAD_ALIAS */
};
struct gw_jframe {
    const struct gw_jvar *vars;
    uint32_t n;
};

enum gw_jkind {
    /* expressions */
    GW_JN_CONST,
    GW_JN_NAME,
    GW_JN_LIST,  /* items */
    GW_JN_TUPLE, /* items; also a target */
    GW_JN_DICT,  /* items: pairs (a key, b value) */
    GW_JN_PAIR,
    GW_JN_COND, /* a if b else c; c may be NULL */
    GW_JN_OR,
    GW_JN_AND,
    GW_JN_NOT,
    GW_JN_NEG,
    GW_JN_POS,
    GW_JN_BINARY,  /* a op b */
    GW_JN_CONCAT,  /* items */
    GW_JN_COMPARE, /* a, then items: operands (op, a) */
    GW_JN_OPERAND,
    GW_JN_ATTR,  /* a.name */
    GW_JN_ITEM,  /* a[b] */
    GW_JN_SLICE, /* a[b:c:d], each of b, c, d NULL or given */
    GW_JN_CALL,
    GW_JN_FILTER,
    GW_JN_TEST,
    /* statements */
    GW_JN_OUTPUT, /* items */
    GW_JN_FOR,
    GW_JN_IF, /* items: branches (a condition or NULL for else, body) */
    GW_JN_BRANCH,
    GW_JN_SET, /* a target, b value */
    GW_JN_SETBLOCK,
    GW_JN_MACRO,
    GW_JN_CALLBLOCK,
    GW_JN_GENERATION,
    GW_JN_FILTERBLOCK,
    GW_JN_WITH, /* items: pairs (a target, b value) */
    GW_JN_BREAK,
    GW_JN_CONTINUE,
    GW_JN_NSREF /* target name.attr */
};

enum gw_jop {
    GW_JOP_ADD,
    GW_JOP_SUB,
    GW_JOP_MUL,
    GW_JOP_DIV,
    GW_JOP_FLOORDIV,
    GW_JOP_MOD,
    GW_JOP_POW,
    GW_JOP_EQ,
    GW_JOP_NE,
    GW_JOP_LT,
    GW_JOP_LE,
    GW_JOP_GT,
    GW_JOP_GE,
    GW_JOP_IN,
    GW_JOP_NOT_IN
};

struct gw_jcallargs {
    struct gw_jnode *pos;           /* linked */
    struct gw_jnode *kw;            /* linked pairs: a constant name, b value */
    struct gw_jnode *star, *kwstar; /* *args, **kwargs, or NULL */
};

struct gw_jfor {
    struct gw_jnode *target, *iter, *test, *body, *otherwise; /* test, otherwise may be NULL */
    bool recursive, has_else;
    bool has_loop; /* the body speaks of `loop` */
    struct gw_jref loop;
    struct gw_jframe body_frame, test_frame, else_frame;
    struct gw_jnode *test_target; /* the target again, in the test's frame */
    uint32_t n_slots;             /* of the function a recursive loop is */
};

struct gw_jmacro_def {
    const struct gw_jname *name; /* NULL: the body of a call block */
    struct gw_jnode *params;     /* linked names */
    struct gw_jnode *defaults;   /* linked, of the last parameters */
    uint32_t n_params, n_defaults;
    struct gw_jnode *body;
    struct gw_jframe frame;
    bool takes_caller, takes_kwargs, takes_varargs; /* the body speaks of them */
    bool explicit_caller;                           /* a parameter is called so */
    uint32_t caller, kwargs, varargs;               /* their slots */
    uint32_t n_slots;
};

struct gw_jnode {
    uint8_t kind;
    uint8_t op;
    uint16_t depth; /* of the expression below */
    uint32_t line;
    struct gw_jnode *next;
    union {
        struct gw_jv value; /* CONST */
        struct {
            struct gw_jname *name;
            const struct gw_jname *attr; /* NSREF */
            struct gw_jref ref;
        } name; /* NAME, NSREF */
        struct {
            struct gw_jnode *first;
            uint32_t n;
            struct gw_jnode *a; /* COMPARE */
        } list;                 /* LIST, TUPLE, DICT, CONCAT, COMPARE, OUTPUT, IF */
        struct {
            struct gw_jnode *a, *b, *c, *d;
        } x;
        struct {
            struct gw_jnode *a;
            const struct gw_jname *name;
        } attr;
        struct {
            struct gw_jnode *a;          /* callee or operand; NULL in a filter block */
            const struct gw_jname *name; /* of a filter or test */
            const struct gw_jdef *def;   /* NULL: not known, an error when it is reached */
            struct gw_jcallargs args;
        } call; /* CALL, FILTER, TEST */
        struct gw_jfor *loop;
        struct {
            struct gw_jnode *cond, *body;
        } branch;
        struct {
            struct gw_jnode *target, *filter, *body;
            struct gw_jframe frame;
        } block; /* SETBLOCK, FILTERBLOCK */
        struct {
            struct gw_jmacro_def *def;
            struct gw_jref ref;    /* MACRO: where it is stored */
            struct gw_jnode *call; /* CALLBLOCK */
        } macro;
        struct {
            struct gw_jnode *first, *body;
            struct gw_jframe frame;
        } with;
    } u;
};

#endif

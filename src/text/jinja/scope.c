/* scope.c - jinja2's scoping.
 *
 * jinja2 compiles a template to Python functions and decides there, once, which variable a name
 * means; some of that shows.  A name that a frame (a loop body, a macro, a block) assigns anywhere
 * is local to it from the start: entering the frame copies the outer variable of that name, if the
 * outer frames speak of it, else the name is unset, unless only branches of an `if` assign it.
 * Names that are only read come from the nearest frame that has them, else from the caller's
 * variables.  The same decisions are made here, frame by frame from the outside in:
 * analyse_*() visits what belongs to a frame itself and collects its bindings, then resolve_*()
 * visits the same again, turns names into slots and descends into the frames within. */
#include "text/jinja/scope.h"

#include "text/jinja/builtins.h"
#include "text/jinja/search.h"

#include <string.h>

struct function {
    uint32_t depth, n_slots;
};

struct scope_frame {
    struct scope_frame *parent;
    struct function *function;
    struct gw_jbinding *first, **end;
    uint32_t n;
};

/* A name in a frame. */
struct gw_jbinding {
    struct gw_jname *name;
    struct scope_frame *frame;
    struct gw_jbinding *outer; /* of the same name */
    struct gw_jbinding *next;  /* of the same frame */
    uint8_t load;
    bool stored, attached;
    uint32_t slot;
};

/* What a branch of an `if` did to its frame. */
struct change {
    struct gw_jbinding *binding;
    bool defined; /* else: stored */
};

struct scope {
    struct gw_jrt *rt;
    struct scope_frame *frame;
    struct function *function;
    struct change *log;
    size_t n_log, cap_log;
    const struct gw_jname *loop, *caller, *kwargs, *varargs; /* NULL: not in the template */
    unsigned loops;                                          /* `for` statements around */
    bool in_loop; /* break and continue have a loop to end */
    bool soft;    /* unknown filters and tests are errors only when they are reached */
};

/* --- bindings ------------------------------------------------------------------------------- */

static bool log_change(struct scope *sc, struct gw_jbinding *b, bool defined) {
    if (sc->n_log == sc->cap_log) {
        size_t cap = sc->cap_log == 0 ? 64 : sc->cap_log * 2;
        struct change *p = gw_j_alloc(sc->rt, cap, sizeof *p);
        if (p == NULL) return false;
        if (sc->n_log > 0) memcpy(p, sc->log, sc->n_log * sizeof *p);
        sc->log = p;
        sc->cap_log = cap;
    }
    sc->log[sc->n_log++] = (struct change){.binding = b, .defined = defined};
    return true;
}

static void attach(struct gw_jbinding *b) {
    b->outer = b->name->bound;
    b->name->bound = b;
    b->attached = true;
}

static void detach(struct gw_jbinding *b) {
    b->name->bound = b->outer;
    b->attached = false;
}

/* The binding of the name in the current frame itself, or NULL. */
static struct gw_jbinding *own(const struct scope *sc, const struct gw_jname *name) {
    return name->bound != NULL && name->bound->frame == sc->frame ? name->bound : NULL;
}

static struct gw_jbinding *define(struct scope *sc, struct gw_jname *name, enum gw_jload load) {
    struct gw_jbinding *b = GW_J_NEW(sc->rt, struct gw_jbinding);
    if (b == NULL) return NULL;
    b->name = name;
    b->frame = sc->frame;
    b->load = (uint8_t)load;
    attach(b);
    *sc->frame->end = b;
    sc->frame->end = &b->next;
    return log_change(sc, b, true) ? b : NULL;
}

static bool load_name(struct scope *sc, struct gw_jname *name) {
    return name->bound != NULL || define(sc, name, GW_JLOAD_CONTEXT) != NULL;
}

static bool store_name(struct scope *sc, struct gw_jname *name) {
    struct gw_jbinding *b = own(sc, name);
    if (b == NULL) b = define(sc, name, name->bound != NULL ? GW_JLOAD_ALIAS : GW_JLOAD_UNSET);
    if (b == NULL) return false;
    if (b->stored) return true;
    b->stored = true;
    return log_change(sc, b, false);
}

static struct gw_jbinding *param_name(struct scope *sc, struct gw_jname *name) {
    struct gw_jbinding *b = own(sc, name);
    if (b == NULL) b = define(sc, name, GW_JLOAD_PARAM);
    if (b == NULL) return NULL;
    b->load = GW_JLOAD_PARAM;
    b->stored = true;
    return b;
}

/* --- frames --------------------------------------------------------------------------------- */

static bool push_frame(struct scope *sc) {
    struct scope_frame *f = GW_J_NEW(sc->rt, struct scope_frame);
    if (f == NULL) return false;
    *f = (struct scope_frame){.parent = sc->frame, .function = sc->function};
    f->end = &f->first;
    sc->frame = f;
    return true;
}

/* A function within the current one becomes current; the caller puts the old one back. */
static bool enter_function(struct scope *sc) {
    struct function *f = GW_J_NEW(sc->rt, struct function);
    if (f == NULL) return false;
    f->depth = sc->function->depth + 1;
    sc->function = f;
    return true;
}

static struct gw_jref ref_of(const struct scope *sc, const struct gw_jbinding *b) {
    return (struct gw_jref){.hops = sc->function->depth - b->frame->function->depth,
                            .slot = b->slot};
}

/* All names of the frame are known: gives them slots and writes down how they start. */
static bool finish_frame(struct scope *sc, struct gw_jframe *out) {
    uint32_t n = 0;
    for (struct gw_jbinding *b = sc->frame->first; b != NULL; b = b->next) n += b->attached;
    struct gw_jvar *vars = gw_j_alloc(sc->rt, GW_MAX(n, 1u), sizeof *vars);
    if (vars == NULL) return false;
    *out = (struct gw_jframe){.vars = vars, .n = n};
    for (struct gw_jbinding *b = sc->frame->first; b != NULL; b = b->next) {
        if (!b->attached) continue;
        b->slot = sc->function->n_slots++;
        *vars = (struct gw_jvar){.slot = b->slot, .load = b->load, .name = b->name->id};
        if (b->load == GW_JLOAD_ALIAS) vars->outer = ref_of(sc, b->outer);
        vars++;
    }
    return true;
}

static void pop_frame(struct scope *sc) {
    for (struct gw_jbinding *b = sc->frame->first; b != NULL; b = b->next)
        if (b->attached) detach(b);
    sc->frame = sc->frame->parent;
}

/* --- analysis of one frame ------------------------------------------------------------------ */

static bool analyse_expr(struct scope *sc, const struct gw_jnode *n);

static bool analyse_list(struct scope *sc, const struct gw_jnode *first) {
    for (; first != NULL; first = first->next)
        if (!analyse_expr(sc, first)) return false;
    return true;
}

static bool analyse_expr(struct scope *sc, const struct gw_jnode *n) {
    if (n == NULL) return true;
    switch ((enum gw_jkind)n->kind) {
    case GW_JN_CONST: return true;
    case GW_JN_NAME: return load_name(sc, n->u.name.name);
    case GW_JN_COMPARE: return analyse_expr(sc, n->u.list.a) && analyse_list(sc, n->u.list.first);
    case GW_JN_LIST:
    case GW_JN_TUPLE:
    case GW_JN_DICT:
    case GW_JN_CONCAT: return analyse_list(sc, n->u.list.first);
    case GW_JN_ATTR: return analyse_expr(sc, n->u.attr.a);
    case GW_JN_CALL:
    case GW_JN_FILTER:
    case GW_JN_TEST:
        return analyse_expr(sc, n->u.call.a) && analyse_list(sc, n->u.call.args.pos) &&
               analyse_list(sc, n->u.call.args.kw) && analyse_expr(sc, n->u.call.args.star) &&
               analyse_expr(sc, n->u.call.args.kwstar);
    default:
        return analyse_expr(sc, n->u.x.a) && analyse_expr(sc, n->u.x.b) &&
               analyse_expr(sc, n->u.x.c) && analyse_expr(sc, n->u.x.d);
    }
}

static bool analyse_target(struct scope *sc, const struct gw_jnode *n, bool param) {
    if (n->kind == GW_JN_NSREF) return load_name(sc, n->u.name.name);
    if (n->kind == GW_JN_NAME)
        return param ? param_name(sc, n->u.name.name) != NULL : store_name(sc, n->u.name.name);
    for (const struct gw_jnode *i = n->u.list.first; i != NULL; i = i->next)
        if (!analyse_target(sc, i, param)) return false;
    return true;
}

static bool analyse_body(struct scope *sc, const struct gw_jnode *first);

/* Applies what the branches did, log[start..], to the frame: a name that any of them assigns
 * begins as the outer variable or the caller's, for the other branches leave it so. */
static bool merge_branches(struct scope *sc, size_t start) {
    size_t kept = start;
    for (size_t i = start; i < sc->n_log; i++) {
        struct change c = sc->log[i];
        if (c.defined) {
            if (own(sc, c.binding->name) != NULL) continue;
            attach(c.binding);
        } else {
            c.binding = own(sc, c.binding->name);
            if (c.binding->stored) continue;
            c.binding->stored = true;
            c.binding->load = c.binding->outer != NULL ? GW_JLOAD_ALIAS : GW_JLOAD_CONTEXT;
        }
        sc->log[kept++] = c;
    }
    sc->n_log = kept;
    return true;
}

static bool analyse_if(struct scope *sc, const struct gw_jnode *n) {
    const struct gw_jnode *b = n->u.list.first;
    if (!analyse_expr(sc, b->u.branch.cond)) return false;
    size_t start = sc->n_log;
    for (; b != NULL; b = b->next) {
        size_t mark = sc->n_log;
        if (!analyse_expr(sc, b->u.branch.cond) || !analyse_body(sc, b->u.branch.body))
            return false;
        for (size_t i = sc->n_log; i-- > mark;) {
            if (sc->log[i].defined)
                detach(sc->log[i].binding);
            else
                sc->log[i].binding->stored = false;
        }
    }
    return merge_branches(sc, start);
}

static bool analyse_with_values(struct scope *sc, const struct gw_jnode *pairs) {
    for (; pairs != NULL; pairs = pairs->next)
        if (!analyse_expr(sc, pairs->u.x.b)) return false;
    return true;
}

static bool analyse_statement(struct scope *sc, const struct gw_jnode *n) {
    switch ((enum gw_jkind)n->kind) {
    case GW_JN_OUTPUT: return analyse_list(sc, n->u.list.first);
    case GW_JN_FOR: return analyse_expr(sc, n->u.loop->iter);
    case GW_JN_IF: return analyse_if(sc, n);
    case GW_JN_SET: return analyse_expr(sc, n->u.x.b) && analyse_target(sc, n->u.x.a, false);
    case GW_JN_SETBLOCK: return analyse_target(sc, n->u.block.target, false);
    case GW_JN_MACRO: return store_name(sc, (struct gw_jname *)(uintptr_t)n->u.macro.def->name);
    case GW_JN_CALLBLOCK: return analyse_expr(sc, n->u.macro.call);
    case GW_JN_FILTERBLOCK: return analyse_expr(sc, n->u.block.filter);
    case GW_JN_WITH: return analyse_with_values(sc, n->u.with.first);
    default: return true;
    }
}

static bool analyse_body(struct scope *sc, const struct gw_jnode *first) {
    for (; first != NULL; first = first->next)
        if (!analyse_statement(sc, first)) return false;
    return true;
}

/* --- resolution ----------------------------------------------------------------------------- */

static bool resolve_expr(struct scope *sc, struct gw_jnode *n);
static bool resolve_body(struct scope *sc, struct gw_jnode *first);

static bool resolve_list(struct scope *sc, struct gw_jnode *first) {
    for (; first != NULL; first = first->next)
        if (!resolve_expr(sc, first)) return false;
    return true;
}

static bool resolve_call(struct scope *sc, struct gw_jnode *n) {
    const struct gw_jdef *def = n->u.call.def;
    bool known = n->kind == GW_JN_CALL || (def != NULL && def->kind != GW_JDEF_UNSUPPORTED);
    if (!known && !sc->soft) {
        sc->rt->line = n->line;
        return gw_j_fail_unknown(sc->rt, n);
    }
    return resolve_expr(sc, n->u.call.a) && resolve_list(sc, n->u.call.args.pos) &&
           resolve_list(sc, n->u.call.args.kw) && resolve_expr(sc, n->u.call.args.star) &&
           resolve_expr(sc, n->u.call.args.kwstar);
}

static bool resolve_expr(struct scope *sc, struct gw_jnode *n) {
    if (n == NULL) return true;
    switch ((enum gw_jkind)n->kind) {
    case GW_JN_CONST: return true;
    case GW_JN_NAME: n->u.name.ref = ref_of(sc, n->u.name.name->bound); return true;
    case GW_JN_COMPARE: return resolve_expr(sc, n->u.list.a) && resolve_list(sc, n->u.list.first);
    case GW_JN_LIST:
    case GW_JN_TUPLE:
    case GW_JN_DICT:
    case GW_JN_CONCAT: return resolve_list(sc, n->u.list.first);
    case GW_JN_ATTR: return resolve_expr(sc, n->u.attr.a);
    case GW_JN_CALL:
    case GW_JN_FILTER:
    case GW_JN_TEST: return resolve_call(sc, n);
    default: break;
    }
    bool soft = sc->soft;
    if (n->kind == GW_JN_COND) sc->soft = true;
    bool ok = resolve_expr(sc, n->u.x.a) && resolve_expr(sc, n->u.x.b) &&
              resolve_expr(sc, n->u.x.c) && resolve_expr(sc, n->u.x.d);
    sc->soft = soft;
    return ok;
}

static bool resolve_target(struct scope *sc, struct gw_jnode *n, bool store) {
    if (n->kind == GW_JN_TUPLE) {
        for (struct gw_jnode *i = n->u.list.first; i != NULL; i = i->next)
            if (!resolve_target(sc, i, store)) return false;
        return true;
    }
    if (store && n->kind == GW_JN_NAME && sc->loops > 0 && n->u.name.name == sc->loop) {
        sc->rt->line = n->line;
        return gw_j_fail(sc->rt, GWEN_ERR_FORMAT,
                         "cannot assign to the special variable 'loop' in a for loop");
    }
    n->u.name.ref = ref_of(sc, n->u.name.name->bound);
    return true;
}

/* The frame of a macro or call block, which is a function of its own. */
static bool resolve_macro(struct scope *sc, struct gw_jmacro_def *def, uint32_t line) {
    struct gw_jsearch s = {.names = {sc->caller, sc->kwargs, sc->varargs}};
    gw_j_search(&s, def->body);
    struct scope saved = *sc;
    if (!enter_function(sc) || !push_frame(sc)) return false;
    sc->in_loop = sc->soft = false;
    bool own_kwargs = false, own_varargs = false, caller_default = false;
    uint32_t index = 0;
    for (struct gw_jnode *i = def->params; i != NULL; i = i->next, index++) {
        if (own(sc, i->u.name.name) != NULL) {
            sc->rt->line = i->line;
            return gw_j_fail(sc->rt, GWEN_ERR_FORMAT, "duplicate argument '%.*s'",
                             (int)GW_MIN(i->u.name.name->len, 100u), i->u.name.name->s);
        }
        if (!analyse_target(sc, i, true)) return false;
        own_kwargs = own_kwargs || i->u.name.name == sc->kwargs;
        own_varargs = own_varargs || i->u.name.name == sc->varargs;
        if (i->u.name.name != sc->caller || sc->caller == NULL) continue;
        def->explicit_caller = true;
        caller_default = index >= def->n_params - def->n_defaults;
    }
    if (!analyse_list(sc, def->defaults) || !analyse_body(sc, def->body)) return false;
    def->takes_caller = s.used[0];
    def->takes_kwargs = s.used[1] && !own_kwargs;
    def->takes_varargs = s.used[2] && !own_varargs;
    if (def->takes_caller && def->explicit_caller && !caller_default) {
        sc->rt->line = line;
        return gw_j_fail(sc->rt, GWEN_ERR_FORMAT,
                         "the macro's argument 'caller' must be omitted or be given a default");
    }
    struct gw_jname *special[3] = {(struct gw_jname *)(uintptr_t)sc->caller,
                                   (struct gw_jname *)(uintptr_t)sc->kwargs,
                                   (struct gw_jname *)(uintptr_t)sc->varargs};
    bool takes[3] = {def->takes_caller && !def->explicit_caller, def->takes_kwargs,
                     def->takes_varargs};
    for (int i = 0; i < 3; i++)
        if (takes[i] && param_name(sc, special[i]) == NULL) return false;
    if (!finish_frame(sc, &def->frame)) return false;
    uint32_t *slots[3] = {&def->caller, &def->kwargs, &def->varargs};
    for (int i = 0; i < 3; i++)
        if (takes[i]) *slots[i] = special[i]->bound->slot;
    for (struct gw_jnode *i = def->params; i != NULL; i = i->next)
        if (!resolve_target(sc, i, false)) return false;
    if (!resolve_list(sc, def->defaults) || !resolve_body(sc, def->body)) return false;
    pop_frame(sc);
    def->n_slots = sc->function->n_slots;
    sc->function = saved.function;
    sc->in_loop = saved.in_loop;
    sc->soft = saved.soft;
    return true;
}

static bool resolve_loop_body(struct scope *sc, struct gw_jfor *f) {
    struct gw_jsearch s = {.names = {sc->loop, NULL, NULL}};
    gw_j_search(&s, f->body);
    f->has_loop = f->recursive || (sc->loop != NULL && s.used[0]);
    if (!push_frame(sc)) return false;
    bool bound = f->has_loop && sc->loop != NULL;
    struct gw_jname *loop = (struct gw_jname *)(uintptr_t)sc->loop;
    if (bound && param_name(sc, loop) == NULL) return false;
    if (!analyse_target(sc, f->target, true) || !analyse_body(sc, f->body)) return false;
    if (!finish_frame(sc, &f->body_frame)) return false;
    f->has_loop = bound;
    if (bound) f->loop = ref_of(sc, loop->bound);
    bool in_loop = sc->in_loop;
    sc->in_loop = true;
    bool ok = resolve_target(sc, f->target, true) && resolve_body(sc, f->body);
    sc->in_loop = in_loop;
    if (ok) pop_frame(sc);
    return ok;
}

static bool resolve_loop_test(struct scope *sc, struct gw_jfor *f) {
    if (!push_frame(sc)) return false;
    if (!analyse_target(sc, f->test_target, true) || !analyse_expr(sc, f->test)) return false;
    if (!finish_frame(sc, &f->test_frame)) return false;
    if (!resolve_target(sc, f->test_target, true) || !resolve_expr(sc, f->test)) return false;
    pop_frame(sc);
    return true;
}

static bool resolve_loop_else(struct scope *sc, struct gw_jfor *f) {
    if (!push_frame(sc)) return false;
    if (!analyse_body(sc, f->otherwise) || !finish_frame(sc, &f->else_frame)) return false;
    if (!resolve_body(sc, f->otherwise)) return false;
    pop_frame(sc);
    return true;
}

static bool resolve_for(struct scope *sc, struct gw_jfor *f) {
    if (!resolve_expr(sc, f->iter)) return false;
    struct scope saved = *sc;
    if (f->recursive && !enter_function(sc)) return false;
    sc->loops++;
    sc->soft = false;
    if (!resolve_loop_body(sc, f)) return false;
    if (f->test != NULL && !resolve_loop_test(sc, f)) return false;
    /* The else of a recursive loop is in the loop's own function, where no loop is around it. */
    if (f->recursive) sc->in_loop = false;
    if (f->has_else && !resolve_loop_else(sc, f)) return false;
    f->n_slots = sc->function->n_slots;
    sc->function = saved.function;
    sc->loops--;
    sc->in_loop = saved.in_loop;
    sc->soft = saved.soft;
    return true;
}

static bool resolve_if(struct scope *sc, struct gw_jnode *n) {
    bool soft = sc->soft;
    sc->soft = true;
    for (struct gw_jnode *b = n->u.list.first; b != NULL; b = b->next)
        if (!resolve_expr(sc, b->u.branch.cond) || !resolve_body(sc, b->u.branch.body))
            return false;
    sc->soft = soft;
    return true;
}

/* The body of a set or filter block. */
static bool resolve_block(struct scope *sc, struct gw_jnode *n) {
    bool soft = sc->soft;
    if (!push_frame(sc)) return false;
    sc->soft = false;
    if (!analyse_body(sc, n->u.block.body) || !analyse_expr(sc, n->u.block.filter)) return false;
    if (!finish_frame(sc, &n->u.block.frame)) return false;
    if (!resolve_expr(sc, n->u.block.filter) || !resolve_body(sc, n->u.block.body)) return false;
    pop_frame(sc);
    sc->soft = soft;
    return n->u.block.target == NULL || resolve_target(sc, n->u.block.target, true);
}

static bool resolve_with(struct scope *sc, struct gw_jnode *n) {
    for (struct gw_jnode *i = n->u.with.first; i != NULL; i = i->next)
        if (!resolve_expr(sc, i->u.x.b)) return false;
    bool soft = sc->soft;
    if (!push_frame(sc)) return false;
    sc->soft = false;
    for (struct gw_jnode *i = n->u.with.first; i != NULL; i = i->next)
        if (!analyse_target(sc, i->u.x.a, true)) return false;
    if (!analyse_body(sc, n->u.with.body) || !finish_frame(sc, &n->u.with.frame)) return false;
    for (struct gw_jnode *i = n->u.with.first; i != NULL; i = i->next)
        if (!resolve_target(sc, i->u.x.a, false)) return false;
    if (!resolve_body(sc, n->u.with.body)) return false;
    pop_frame(sc);
    sc->soft = soft;
    return true;
}

static bool resolve_statement(struct scope *sc, struct gw_jnode *n) {
    switch ((enum gw_jkind)n->kind) {
    case GW_JN_OUTPUT: return resolve_list(sc, n->u.list.first);
    case GW_JN_FOR: return resolve_for(sc, n->u.loop);
    case GW_JN_IF: return resolve_if(sc, n);
    case GW_JN_SET: return resolve_expr(sc, n->u.x.b) && resolve_target(sc, n->u.x.a, true);
    case GW_JN_SETBLOCK:
    case GW_JN_FILTERBLOCK: return resolve_block(sc, n);
    case GW_JN_MACRO:
        n->u.macro.ref = ref_of(sc, n->u.macro.def->name->bound);
        return resolve_macro(sc, n->u.macro.def, n->line);
    case GW_JN_CALLBLOCK:
        return resolve_expr(sc, n->u.macro.call) && resolve_macro(sc, n->u.macro.def, n->line);
    case GW_JN_GENERATION: return resolve_macro(sc, n->u.macro.def, n->line);
    case GW_JN_WITH: return resolve_with(sc, n);
    case GW_JN_BREAK:
    case GW_JN_CONTINUE:
        sc->rt->line = n->line;
        return sc->in_loop || gw_j_fail(sc->rt, GWEN_ERR_FORMAT, "'%s' outside of a loop",
                                        n->kind == GW_JN_BREAK ? "break" : "continue");
    default: return true;
    }
}

static bool resolve_body(struct scope *sc, struct gw_jnode *first) {
    for (; first != NULL; first = first->next)
        if (!resolve_statement(sc, first)) return false;
    return true;
}

bool gw_j_resolve(struct gw_jrt *rt, const struct gw_jnames *names, struct gw_jnode *body,
                  struct gw_jframe *frame, uint32_t *n_slots) {
    struct scope sc = {.rt = rt, .function = GW_J_NEW(rt, struct function)};
    if (sc.function == NULL) return false;
    sc.loop = gw_j_name_find(names, rt->hash_seed, "loop", 4);
    sc.caller = gw_j_name_find(names, rt->hash_seed, "caller", 6);
    sc.kwargs = gw_j_name_find(names, rt->hash_seed, "kwargs", 6);
    sc.varargs = gw_j_name_find(names, rt->hash_seed, "varargs", 7);
    if (!push_frame(&sc) || !analyse_body(&sc, body) || !finish_frame(&sc, frame)) return false;
    if (!resolve_body(&sc, body)) return false;
    pop_frame(&sc);
    *n_slots = sc.function->n_slots;
    return true;
}

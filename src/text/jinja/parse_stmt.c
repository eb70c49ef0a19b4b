/* parse_stmt.c - statements. */
#include "text/jinja/parser.h"

#include <stdio.h>
#include <string.h>

static bool parse_body(struct gw_jparser *p, const char *const *ends, struct gw_jnode **body);

static const char *const end_if[] = {"elif", "else", "endif", NULL};
static const char *const end_else[] = {"endif", NULL};
static const char *const end_for[] = {"endfor", "else", NULL};
static const char *const end_for_else[] = {"endfor", NULL};
static const char *const end_set[] = {"endset", NULL};
static const char *const end_macro[] = {"endmacro", NULL};
static const char *const end_call[] = {"endcall", NULL};
static const char *const end_filter[] = {"endfilter", NULL};
static const char *const end_with[] = {"endwith", NULL};
static const char *const end_generation[] = {"endgeneration", NULL};

static struct gw_jnode *parse_for(struct gw_jparser *p) {
    struct gw_jnode *n = gw_jp_node(p, GW_JN_FOR, p->t[-1].line);
    struct gw_jfor *f = GW_J_NEW(p->rt, struct gw_jfor);
    if (n == NULL || f == NULL) return NULL;
    n->u.loop = f;
    const struct gw_jtoken *target = p->t;
    f->target = gw_jp_target(p, false);
    if (f->target == NULL) return NULL;
    if (!gw_jp_skip_name(p, "in")) {
        gw_jp_unexpected(p, "'in'");
        return NULL;
    }
    f->iter = gw_jp_tuple(p, false);
    if (f->iter == NULL) return NULL;
    if (gw_jp_skip_name(p, "if")) {
        f->test = gw_jp_expression(p, true);
        if (f->test == NULL) return NULL;
        /* The test has its own copy of the loop's variables: parsed again for them. */
        struct gw_jparser again = *p;
        again.t = target;
        f->test_target = gw_jp_target(&again, false);
        if (f->test_target == NULL) return NULL;
    }
    f->recursive = gw_jp_skip_name(p, "recursive");
    if (!parse_body(p, end_for, &f->body)) return NULL;
    f->has_else = gw_jp_is_name(p, "else");
    p->t++;
    if (f->has_else) {
        if (!parse_body(p, end_for_else, &f->otherwise)) return NULL;
        p->t++;
    }
    return n;
}

static struct gw_jnode *parse_if(struct gw_jparser *p) {
    struct gw_jnode *n = gw_jp_node(p, GW_JN_IF, p->t[-1].line);
    if (n == NULL) return NULL;
    struct gw_jnodes branches = GW_JNODES_INIT(branches);
    for (bool more = true; more;) {
        struct gw_jnode *b = gw_jp_node(p, GW_JN_BRANCH, p->t[-1].line);
        if (b == NULL) return NULL;
        gw_jp_append(&branches, b);
        b->u.branch.cond = gw_jp_tuple(p, false);
        if (b->u.branch.cond == NULL || !parse_body(p, end_if, &b->u.branch.body)) return NULL;
        more = gw_jp_is_name(p, "elif");
        bool otherwise = gw_jp_is_name(p, "else");
        p->t++;
        if (!otherwise) continue;
        b = gw_jp_node(p, GW_JN_BRANCH, p->t[-1].line);
        if (b == NULL || !parse_body(p, end_else, &b->u.branch.body)) return NULL;
        gw_jp_append(&branches, b);
        p->t++;
    }
    n->u.list.first = branches.first;
    n->u.list.n = branches.n;
    return n;
}

static struct gw_jnode *parse_set(struct gw_jparser *p) {
    uint32_t line = p->t[-1].line;
    struct gw_jnode *target = gw_jp_target(p, true);
    if (target == NULL) return NULL;
    bool block = !gw_jp_skip(p, GW_JT_ASSIGN);
    struct gw_jnode *n = gw_jp_node(p, block ? GW_JN_SETBLOCK : GW_JN_SET, line);
    if (n == NULL) return NULL;
    if (!block) {
        n->u.x.a = target;
        n->u.x.b = gw_jp_tuple(p, true);
        return n->u.x.b != NULL ? n : NULL;
    }
    n->u.block.target = target;
    if (!gw_jp_filters(p, NULL, false, &n->u.block.filter)) return NULL;
    if (!parse_body(p, end_set, &n->u.block.body)) return NULL;
    p->t++;
    return n;
}

/* "(name, name=default, ...)" of a macro or call block. */
static bool parse_signature(struct gw_jparser *p, struct gw_jmacro_def *def) {
    struct gw_jnodes params = GW_JNODES_INIT(params), defaults = GW_JNODES_INIT(defaults);
    if (!gw_jp_expect(p, GW_JT_LPAREN)) return false;
    while (p->t->type != GW_JT_RPAREN) {
        if (params.n > 0 && !gw_jp_expect(p, GW_JT_COMMA)) return false;
        struct gw_jnode *param = gw_jp_node(p, GW_JN_NAME, p->t->line);
        if (param == NULL || !gw_jp_expect_name(p, &param->u.name.name)) return false;
        gw_jp_append(&params, param);
        if (gw_jp_skip(p, GW_JT_ASSIGN)) {
            struct gw_jnode *value = gw_jp_expression(p, true);
            if (value == NULL) return false;
            gw_jp_append(&defaults, value);
        } else if (defaults.n > 0) {
            p->rt->line = p->t->line;
            return gw_j_fail(p->rt, GWEN_ERR_FORMAT,
                             "non-default argument follows default argument");
        }
    }
    p->t++;
    def->params = params.first;
    def->n_params = params.n;
    def->defaults = defaults.first;
    def->n_defaults = defaults.n;
    return true;
}

static struct gw_jnode *parse_macro(struct gw_jparser *p) {
    struct gw_jnode *n = gw_jp_node(p, GW_JN_MACRO, p->t[-1].line);
    struct gw_jmacro_def *def = GW_J_NEW(p->rt, struct gw_jmacro_def);
    struct gw_jname *name = NULL;
    if (n == NULL || def == NULL || !gw_jp_expect_name(p, &name)) return NULL;
    n->u.macro.def = def;
    def->name = name;
    if (!parse_signature(p, def) || !parse_body(p, end_macro, &def->body)) return NULL;
    p->t++;
    return n;
}

static struct gw_jnode *parse_call_block(struct gw_jparser *p) {
    struct gw_jnode *n = gw_jp_node(p, GW_JN_CALLBLOCK, p->t[-1].line);
    struct gw_jmacro_def *def = GW_J_NEW(p->rt, struct gw_jmacro_def);
    if (n == NULL || def == NULL) return NULL;
    n->u.macro.def = def;
    if (p->t->type == GW_JT_LPAREN && !parse_signature(p, def)) return NULL;
    n->u.macro.call = gw_jp_expression(p, true);
    if (n->u.macro.call == NULL) return NULL;
    if (n->u.macro.call->kind != GW_JN_CALL) {
        p->rt->line = n->line;
        gw_j_fail(p->rt, GWEN_ERR_FORMAT, "expected call");
        return NULL;
    }
    if (!parse_body(p, end_call, &def->body)) return NULL;
    p->t++;
    return n;
}

/* {% generation %}: transformers runs the body as the caller of a call block. */
static struct gw_jnode *parse_generation(struct gw_jparser *p) {
    struct gw_jnode *n = gw_jp_node(p, GW_JN_GENERATION, p->t[-1].line);
    struct gw_jmacro_def *def = GW_J_NEW(p->rt, struct gw_jmacro_def);
    if (n == NULL || def == NULL) return NULL;
    n->u.macro.def = def;
    p->has_generation = true;
    if (!parse_body(p, end_generation, &def->body)) return NULL;
    p->t++;
    return n;
}

static struct gw_jnode *parse_filter_block(struct gw_jparser *p) {
    struct gw_jnode *n = gw_jp_node(p, GW_JN_FILTERBLOCK, p->t[-1].line);
    if (n == NULL || !gw_jp_filters(p, NULL, true, &n->u.block.filter)) return NULL;
    if (!parse_body(p, end_filter, &n->u.block.body)) return NULL;
    p->t++;
    return n;
}

static struct gw_jnode *parse_with(struct gw_jparser *p) {
    struct gw_jnode *n = gw_jp_node(p, GW_JN_WITH, p->t[-1].line);
    if (n == NULL) return NULL;
    struct gw_jnodes pairs = GW_JNODES_INIT(pairs);
    while (p->t->type != GW_JT_BLOCK_END) {
        if (pairs.n > 0 && !gw_jp_expect(p, GW_JT_COMMA)) return NULL;
        struct gw_jnode *pair = gw_jp_node(p, GW_JN_PAIR, p->t->line);
        if (pair == NULL) return NULL;
        pair->u.x.a = gw_jp_target(p, false);
        if (pair->u.x.a == NULL || !gw_jp_expect(p, GW_JT_ASSIGN)) return NULL;
        pair->u.x.b = gw_jp_expression(p, true);
        if (pair->u.x.b == NULL) return NULL;
        gw_jp_append(&pairs, pair);
    }
    n->u.with.first = pairs.first;
    if (!parse_body(p, end_with, &n->u.with.body)) return NULL;
    p->t++;
    return n;
}

static struct gw_jnode *parse_print(struct gw_jparser *p) {
    struct gw_jnode *n = gw_jp_node(p, GW_JN_OUTPUT, p->t[-1].line);
    if (n == NULL) return NULL;
    struct gw_jnodes items = GW_JNODES_INIT(items);
    while (p->t->type != GW_JT_BLOCK_END) {
        if (items.n > 0 && !gw_jp_expect(p, GW_JT_COMMA)) return NULL;
        struct gw_jnode *item = gw_jp_expression(p, true);
        if (item == NULL) return NULL;
        gw_jp_append(&items, item);
    }
    n->u.list.first = items.first;
    n->u.list.n = items.n;
    return n;
}

static struct gw_jnode *parse_break(struct gw_jparser *p) {
    return gw_jp_node(p, GW_JN_BREAK, p->t[-1].line);
}

static struct gw_jnode *parse_continue(struct gw_jparser *p) {
    return gw_jp_node(p, GW_JN_CONTINUE, p->t[-1].line);
}

static const struct {
    const char *tag;
    struct gw_jnode *(*parse)(struct gw_jparser *p); /* NULL: jinja2 has it, this does not */
} statements[] = {{"for", parse_for},
                  {"if", parse_if},
                  {"set", parse_set},
                  {"macro", parse_macro},
                  {"call", parse_call_block},
                  {"generation", parse_generation},
                  {"filter", parse_filter_block},
                  {"with", parse_with},
                  {"print", parse_print},
                  {"break", parse_break},
                  {"continue", parse_continue},
                  {"block", NULL},
                  {"extends", NULL},
                  {"include", NULL},
                  {"import", NULL},
                  {"from", NULL},
                  {"autoescape", NULL}};

static struct gw_jnode *parse_statement(struct gw_jparser *p) {
    p->rt->line = p->t->line;
    if (p->t->type != GW_JT_NAME) {
        gw_jp_unexpected(p, "a tag name");
        return NULL;
    }
    for (size_t i = 0; i < GW_ARRAY_LEN(statements); i++) {
        if (!gw_jp_is_name(p, statements[i].tag)) continue;
        if (statements[i].parse == NULL) {
            gw_j_fail(p->rt, GWEN_ERR_UNSUPPORTED, "the statement '%s' is not supported",
                      statements[i].tag);
            return NULL;
        }
        p->t++;
        return statements[i].parse(p);
    }
    gw_j_fail(p->rt, GWEN_ERR_FORMAT, "encountered unknown tag '%.*s'",
              (int)GW_MIN(p->t->u.name->len, 100u), p->t->u.name->s);
    return NULL;
}

/* --- bodies --------------------------------------------------------------------------------- */

/* Texts and {{ }} up to the next {% or the end, as one output statement. */
static bool parse_output(struct gw_jparser *p, struct gw_jnodes *body) {
    struct gw_jnodes items = GW_JNODES_INIT(items);
    uint32_t line = p->t->line;
    for (;;) {
        struct gw_jnode *item;
        if (p->t->type == GW_JT_DATA) {
            item = gw_jp_node(p, GW_JN_CONST, p->t->line);
            if (item == NULL) return false;
            item->u.value = p->t->u.value;
            p->t++;
        } else if (p->t->type == GW_JT_VARIABLE_BEGIN) {
            p->t++;
            item = gw_jp_tuple(p, true);
            if (item == NULL || !gw_jp_expect(p, GW_JT_VARIABLE_END)) return false;
        } else {
            break;
        }
        gw_jp_append(&items, item);
    }
    struct gw_jnode *n = gw_jp_node(p, GW_JN_OUTPUT, line);
    if (n == NULL) return false;
    n->u.list.first = items.first;
    n->u.list.n = items.n;
    gw_jp_append(body, n);
    return true;
}

static bool is_end(const struct gw_jparser *p, const char *const *ends) {
    for (; ends != NULL && *ends != NULL; ends++)
        if (gw_jp_is_name(p, *ends)) return true;
    return false;
}

/* Statements up to the tag that ends them, which stays the current token. */
static bool parse_until(struct gw_jparser *p, const char *const *ends, struct gw_jnode **out) {
    struct gw_jnodes body = GW_JNODES_INIT(body);
    *out = NULL;
    while (p->t->type != GW_JT_EOF) {
        if (p->t->type != GW_JT_BLOCK_BEGIN) {
            if (!parse_output(p, &body)) return false;
            continue;
        }
        p->t++;
        if (is_end(p, ends)) {
            *out = body.first;
            return true;
        }
        struct gw_jnode *n = parse_statement(p);
        if (n == NULL || !gw_jp_expect(p, GW_JT_BLOCK_END)) return false;
        gw_jp_append(&body, n);
    }
    *out = body.first;
    if (ends == NULL) return true;
    char expected[64];
    size_t n = 0;
    for (const char *const *e = ends; *e != NULL && n < sizeof expected; e++)
        n += (size_t)snprintf(expected + n, sizeof expected - n, "%s'%s'", e == ends ? "" : " or ",
                              *e);
    return gw_jp_unexpected(p, expected);
}

static bool parse_body(struct gw_jparser *p, const char *const *ends, struct gw_jnode **body) {
    gw_jp_skip(p, GW_JT_COLON); /* allowed for the sake of Python */
    if (!gw_jp_expect(p, GW_JT_BLOCK_END)) return false;
    if (++p->statements > GW_J_MAX_STATEMENTS) {
        p->rt->line = p->t->line;
        return gw_j_fail(p->rt, GWEN_ERR_NOMEM, "statements are nested deeper than %d levels",
                         GW_J_MAX_STATEMENTS);
    }
    bool ok = parse_until(p, ends, body);
    p->statements--;
    return ok;
}

bool gw_jp_template(struct gw_jparser *p, struct gw_jnode **body) {
    return parse_until(p, NULL, body);
}

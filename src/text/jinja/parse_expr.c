/* parse_expr.c - expressions, with the grammar of jinja2's parser: from loosest to tightest
 *
 *     x if y else z | or | and | not | comparisons and in | + - | ~ | * / // % | ** | unary - +
 *     then .name [item] (call), and |filter and `is test` after those. */
#include "text/jinja/builtins.h"
#include "text/jinja/parser.h"

/* --- nodes ---------------------------------------------------------------------------------- */

/* The depth of a node over `child`; false when that is too deep to be walked. */
static bool deepen(struct gw_jparser *p, struct gw_jnode *n, const struct gw_jnode *child) {
    if (child == NULL) return true;
    n->depth = GW_MAX(n->depth, (uint16_t)(child->depth + 1));
    if (n->depth <= GW_J_MAX_EXPR) return true;
    p->rt->line = n->line;
    return gw_j_fail(p->rt, GWEN_ERR_NOMEM, "an expression is nested deeper than %d levels",
                     GW_J_MAX_EXPR);
}

static struct gw_jnode *node3(struct gw_jparser *p, enum gw_jkind kind, uint32_t line,
                              struct gw_jnode *a, struct gw_jnode *b, struct gw_jnode *c) {
    struct gw_jnode *n = gw_jp_node(p, kind, line);
    if (n == NULL || !deepen(p, n, a) || !deepen(p, n, b) || !deepen(p, n, c)) return NULL;
    n->u.x.a = a;
    n->u.x.b = b;
    n->u.x.c = c;
    return n;
}

static struct gw_jnode *constant(struct gw_jparser *p, struct gw_jv v, uint32_t line) {
    struct gw_jnode *n = gw_jp_node(p, GW_JN_CONST, line);
    if (n != NULL) n->u.value = v;
    return n;
}

static struct gw_jnode *list_node(struct gw_jparser *p, enum gw_jkind kind, uint32_t line,
                                  const struct gw_jnodes *items) {
    struct gw_jnode *n = gw_jp_node(p, kind, line);
    if (n == NULL) return NULL;
    n->u.list.first = items->first;
    n->u.list.n = items->n;
    for (const struct gw_jnode *i = items->first; i != NULL; i = i->next)
        if (!deepen(p, n, i)) return NULL;
    return n;
}

static bool append(struct gw_jnodes *list, struct gw_jnode *node) {
    if (node == NULL) return false;
    gw_jp_append(list, node);
    return true;
}

/* One more expression within another: bounds the parser's own recursion. */
static bool open_expression(struct gw_jparser *p) {
    if (++p->expressions <= GW_J_MAX_EXPR) return true;
    p->rt->line = p->t->line;
    return gw_j_fail(p->rt, GWEN_ERR_NOMEM, "an expression is nested deeper than %d levels",
                     GW_J_MAX_EXPR);
}

/* --- literals and names --------------------------------------------------------------------- */

static struct gw_jnode *parse_name(struct gw_jparser *p, bool with_ns) {
    uint32_t line = p->t->line;
    bool is_true = gw_jp_is_name(p, "true") || gw_jp_is_name(p, "True");
    bool is_false = gw_jp_is_name(p, "false") || gw_jp_is_name(p, "False");
    bool is_none = gw_jp_is_name(p, "none") || gw_jp_is_name(p, "None");
    struct gw_jname *name = p->t->u.name;
    p->t++;
    if (is_true || is_false) return constant(p, gw_jv_bool(is_true), line);
    if (is_none) return constant(p, gw_jv_none(), line);
    bool ns = with_ns && p->t->type == GW_JT_DOT;
    struct gw_jnode *n = gw_jp_node(p, ns ? GW_JN_NSREF : GW_JN_NAME, line);
    if (n == NULL) return NULL;
    n->u.name.name = name;
    if (!ns) return n;
    p->t++;
    struct gw_jname *attr = NULL;
    if (!gw_jp_expect_name(p, &attr)) return NULL;
    n->u.name.attr = attr;
    return n;
}

static struct gw_jnode *parse_strings(struct gw_jparser *p) {
    uint32_t line = p->t->line;
    struct gw_jv v = p->t->u.value;
    p->t++;
    if (p->t->type == GW_JT_STRING) { /* neighbours are joined */
        struct gw_jbuf b = {.rt = p->rt};
        gw_j_put(&b, v.u.s, v.len);
        for (; p->t->type == GW_JT_STRING; p->t++)
            gw_j_put(&b, p->t->u.value.u.s, p->t->u.value.len);
        if (!gw_j_buf_str(&b, &v)) return NULL;
    }
    return constant(p, v, line);
}

static struct gw_jnode *parse_list(struct gw_jparser *p) {
    uint32_t line = p->t->line;
    struct gw_jnodes items = GW_JNODES_INIT(items);
    p->t++;
    while (p->t->type != GW_JT_RBRACKET) {
        if (items.n > 0 && !gw_jp_expect(p, GW_JT_COMMA)) return NULL;
        if (p->t->type == GW_JT_RBRACKET) break;
        if (!append(&items, gw_jp_expression(p, true))) return NULL;
    }
    p->t++;
    return list_node(p, GW_JN_LIST, line, &items);
}

static struct gw_jnode *parse_dict(struct gw_jparser *p) {
    uint32_t line = p->t->line;
    struct gw_jnodes items = GW_JNODES_INIT(items);
    p->t++;
    while (p->t->type != GW_JT_RBRACE) {
        if (items.n > 0 && !gw_jp_expect(p, GW_JT_COMMA)) return NULL;
        if (p->t->type == GW_JT_RBRACE) break;
        struct gw_jnode *key = gw_jp_expression(p, true);
        if (key == NULL || !gw_jp_expect(p, GW_JT_COLON)) return NULL;
        struct gw_jnode *value = gw_jp_expression(p, true);
        if (value == NULL) return NULL;
        if (!append(&items, node3(p, GW_JN_PAIR, key->line, key, value, NULL))) return NULL;
    }
    p->t++;
    return list_node(p, GW_JN_DICT, line, &items);
}

static struct gw_jnode *parse_items(struct gw_jparser *p, bool simplified, bool with_cond,
                                    bool in_parens, bool with_ns);

static struct gw_jnode *parse_primary(struct gw_jparser *p, bool with_ns) {
    struct gw_jnode *n;
    switch (p->t->type) {
    case GW_JT_NAME: return parse_name(p, with_ns);
    case GW_JT_STRING: return parse_strings(p);
    case GW_JT_NUMBER:
        n = constant(p, p->t->u.value, p->t->line);
        p->t++;
        return n;
    case GW_JT_LPAREN:
        p->t++;
        n = parse_items(p, false, true, true, false);
        return n != NULL && gw_jp_expect(p, GW_JT_RPAREN) ? n : NULL;
    case GW_JT_LBRACKET: return parse_list(p);
    case GW_JT_LBRACE: return parse_dict(p);
    default: gw_jp_unexpected(p, "an expression"); return NULL;
    }
}

static bool is_tuple_end(const struct gw_jparser *p) {
    return p->t->type == GW_JT_VARIABLE_END || p->t->type == GW_JT_BLOCK_END ||
           p->t->type == GW_JT_RPAREN;
}

static struct gw_jnode *parse_items(struct gw_jparser *p, bool simplified, bool with_cond,
                                    bool in_parens, bool with_ns) {
    uint32_t line = p->t->line;
    struct gw_jnodes items = GW_JNODES_INIT(items);
    bool tuple = false;
    for (;;) {
        if (items.n > 0 && !gw_jp_expect(p, GW_JT_COMMA)) return NULL;
        if (is_tuple_end(p)) break;
        if (!append(&items,
                    simplified ? parse_primary(p, with_ns) : gw_jp_expression(p, with_cond)))
            return NULL;
        if (p->t->type != GW_JT_COMMA) break;
        tuple = true;
    }
    if (!tuple && items.n > 0) return items.first;
    if (!tuple && !in_parens) {
        gw_jp_unexpected(p, "an expression");
        return NULL;
    }
    return list_node(p, GW_JN_TUPLE, line, &items);
}

struct gw_jnode *gw_jp_tuple(struct gw_jparser *p, bool with_cond) {
    return parse_items(p, false, with_cond, false, false);
}

static bool can_assign(struct gw_jparser *p, const struct gw_jnode *n) {
    if (n->kind == GW_JN_NAME || n->kind == GW_JN_NSREF) return true;
    bool ok = n->kind == GW_JN_TUPLE;
    for (const struct gw_jnode *i = ok ? n->u.list.first : NULL; i != NULL && ok; i = i->next)
        ok = can_assign(p, i);
    p->rt->line = n->line;
    return ok || gw_j_fail(p->rt, GWEN_ERR_FORMAT, "cannot assign to this");
}

struct gw_jnode *gw_jp_target(struct gw_jparser *p, bool with_ns) {
    struct gw_jnode *n = parse_items(p, true, true, false, with_ns);
    return n != NULL && can_assign(p, n) ? n : NULL;
}

/* --- what follows a primary ----------------------------------------------------------------- */

/* One of the up to three parts of a slice; *out NULL when it is left out. */
static bool parse_bound(struct gw_jparser *p, struct gw_jnode **out) {
    *out = NULL;
    if (p->t->type == GW_JT_COLON || p->t->type == GW_JT_RBRACKET || p->t->type == GW_JT_COMMA)
        return true;
    *out = gw_jp_expression(p, true);
    return *out != NULL;
}

static struct gw_jnode *parse_item(struct gw_jparser *p, struct gw_jnode *node) {
    uint32_t line = p->t->line;
    struct gw_jnode *part[3] = {NULL, NULL, NULL};
    p->t++;
    if (!parse_bound(p, &part[0])) return NULL;
    bool slice = p->t->type == GW_JT_COLON;
    for (int i = 1; i < 3 && gw_jp_skip(p, GW_JT_COLON); i++)
        if (!parse_bound(p, &part[i])) return NULL;
    if (p->t->type == GW_JT_COMMA || (!slice && part[0] == NULL)) {
        p->rt->line = line;
        gw_j_fail(p->rt, GWEN_ERR_UNSUPPORTED, "a tuple as a subscript is not supported");
        return NULL;
    }
    if (!gw_jp_expect(p, GW_JT_RBRACKET)) return NULL;
    if (!slice) return node3(p, GW_JN_ITEM, line, node, part[0], NULL);
    struct gw_jnode *n = node3(p, GW_JN_SLICE, line, node, part[0], part[1]);
    if (n == NULL || !deepen(p, n, part[2])) return NULL;
    n->u.x.d = part[2];
    return n;
}

static struct gw_jnode *parse_attr(struct gw_jparser *p, struct gw_jnode *node) {
    uint32_t line = p->t->line;
    p->t++;
    if (p->t->type == GW_JT_NUMBER && p->t->u.value.type == GW_J_INT) {
        struct gw_jnode *index = constant(p, p->t->u.value, line);
        p->t++;
        return index == NULL ? NULL : node3(p, GW_JN_ITEM, line, node, index, NULL);
    }
    struct gw_jname *name = NULL;
    if (!gw_jp_expect_name(p, &name)) return NULL;
    struct gw_jnode *n = gw_jp_node(p, GW_JN_ATTR, line);
    if (n == NULL || !deepen(p, n, node)) return NULL;
    n->u.attr.a = node;
    n->u.attr.name = name;
    return n;
}

static bool bad_arguments(struct gw_jparser *p) {
    p->rt->line = p->t->line;
    return gw_j_fail(p->rt, GWEN_ERR_FORMAT, "invalid syntax for function call expression");
}

/* One argument of a call into *args. */
static bool parse_argument(struct gw_jparser *p, struct gw_jcallargs *args, struct gw_jnodes *pos,
                           struct gw_jnodes *kw) {
    if (p->t->type == GW_JT_MUL || p->t->type == GW_JT_POW) {
        bool star = p->t->type == GW_JT_MUL;
        if ((star && args->star != NULL) || args->kwstar != NULL) return bad_arguments(p);
        p->t++;
        struct gw_jnode **where = star ? &args->star : &args->kwstar;
        *where = gw_jp_expression(p, true);
        return *where != NULL;
    }
    if (p->t->type == GW_JT_NAME && p->t[1].type == GW_JT_ASSIGN) {
        if (args->kwstar != NULL) return bad_arguments(p);
        const struct gw_jname *name = p->t->u.name;
        uint32_t line = p->t->line;
        p->t += 2;
        struct gw_jnode *value = gw_jp_expression(p, true);
        struct gw_jnode *key =
            value == NULL ? NULL : constant(p, gw_jv_str(name->s, name->len), line);
        return key != NULL && append(kw, node3(p, GW_JN_PAIR, line, key, value, NULL));
    }
    if (args->star != NULL || args->kwstar != NULL || kw->n > 0) return bad_arguments(p);
    return append(pos, gw_jp_expression(p, true));
}

/* "(...)" after a callee, filter or test, which is `call`. */
static bool parse_call_args(struct gw_jparser *p, struct gw_jnode *call) {
    struct gw_jcallargs *args = &call->u.call.args;
    struct gw_jnodes pos = GW_JNODES_INIT(pos), kw = GW_JNODES_INIT(kw);
    bool comma = false;
    p->t++;
    while (p->t->type != GW_JT_RPAREN) {
        if (comma && !gw_jp_expect(p, GW_JT_COMMA)) return false;
        if (comma && p->t->type == GW_JT_RPAREN) break;
        if (!parse_argument(p, args, &pos, &kw)) return false;
        comma = true;
    }
    p->t++;
    args->pos = pos.first;
    args->kw = kw.first;
    if (!deepen(p, call, args->star) || !deepen(p, call, args->kwstar)) return false;
    for (const struct gw_jnode *i = args->pos; i != NULL; i = i->next)
        if (!deepen(p, call, i)) return false;
    for (const struct gw_jnode *i = args->kw; i != NULL; i = i->next)
        if (!deepen(p, call, i)) return false;
    return true;
}

static struct gw_jnode *parse_call(struct gw_jparser *p, struct gw_jnode *node) {
    struct gw_jnode *n = gw_jp_node(p, GW_JN_CALL, p->t->line);
    if (n == NULL || !deepen(p, n, node)) return NULL;
    n->u.call.a = node;
    return parse_call_args(p, n) ? n : NULL;
}

static struct gw_jnode *parse_postfix(struct gw_jparser *p, struct gw_jnode *n) {
    while (n != NULL) {
        if (p->t->type == GW_JT_DOT)
            n = parse_attr(p, n);
        else if (p->t->type == GW_JT_LBRACKET)
            n = parse_item(p, n);
        else if (p->t->type == GW_JT_LPAREN)
            n = parse_call(p, n);
        else
            break;
    }
    return n;
}

/* The possibly dotted name of a filter or test. */
static const struct gw_jname *parse_dotted(struct gw_jparser *p) {
    struct gw_jname *name = NULL, *more = NULL;
    if (!gw_jp_expect_name(p, &name)) return NULL;
    while (p->t->type == GW_JT_DOT) {
        p->t++;
        if (!gw_jp_expect_name(p, &more)) return NULL;
        struct gw_jbuf b = {.rt = p->rt};
        struct gw_jv joined;
        gw_j_put(&b, name->s, name->len);
        gw_j_putc(&b, '.');
        gw_j_put(&b, more->s, more->len);
        if (!gw_j_buf_str(&b, &joined)) return NULL;
        name = gw_j_name(p->rt, p->names, joined.u.s, joined.len);
        if (name == NULL) return NULL;
    }
    return name;
}

bool gw_jp_filters(struct gw_jparser *p, struct gw_jnode *node, bool inline_start,
                   struct gw_jnode **out) {
    while (inline_start || p->t->type == GW_JT_PIPE) {
        if (!inline_start) p->t++;
        inline_start = false;
        struct gw_jnode *n = gw_jp_node(p, GW_JN_FILTER, p->t->line);
        if (n == NULL || !deepen(p, n, node)) return false;
        n->u.call.a = node;
        n->u.call.name = parse_dotted(p);
        if (n->u.call.name == NULL) return false;
        n->u.call.def = gw_j_filter(n->u.call.name->s, n->u.call.name->len);
        if (p->t->type == GW_JT_LPAREN && !parse_call_args(p, n)) return false;
        node = n;
    }
    *out = node;
    return true;
}

/* Whether the token can begin the argument of a test that has no parentheses. */
static bool begins_test_argument(const struct gw_jparser *p) {
    switch (p->t->type) {
    case GW_JT_STRING:
    case GW_JT_NUMBER:
    case GW_JT_LBRACKET:
    case GW_JT_LBRACE: return true;
    case GW_JT_NAME:
        return !gw_jp_is_name(p, "else") && !gw_jp_is_name(p, "or") && !gw_jp_is_name(p, "and");
    default: return false;
    }
}

static struct gw_jnode *parse_test(struct gw_jparser *p, struct gw_jnode *node) {
    uint32_t line = p->t->line;
    p->t++;
    bool negated = gw_jp_skip_name(p, "not");
    struct gw_jnode *n = gw_jp_node(p, GW_JN_TEST, line);
    if (n == NULL || !deepen(p, n, node)) return NULL;
    n->u.call.a = node;
    n->u.call.name = parse_dotted(p);
    if (n->u.call.name == NULL) return NULL;
    n->u.call.def = gw_j_test(n->u.call.name->s, n->u.call.name->len);
    if (p->t->type == GW_JT_LPAREN) {
        if (!parse_call_args(p, n)) return NULL;
    } else if (begins_test_argument(p)) {
        if (gw_jp_is_name(p, "is")) {
            p->rt->line = p->t->line;
            gw_j_fail(p->rt, GWEN_ERR_FORMAT, "cannot chain multiple tests with is");
            return NULL;
        }
        struct gw_jnode *arg = parse_postfix(p, parse_primary(p, false));
        if (arg == NULL || !deepen(p, n, arg)) return NULL;
        n->u.call.args.pos = arg;
    }
    return negated ? node3(p, GW_JN_NOT, line, n, NULL, NULL) : n;
}

static struct gw_jnode *parse_filter_expr(struct gw_jparser *p, struct gw_jnode *n) {
    while (n != NULL) {
        if (p->t->type == GW_JT_PIPE) {
            if (!gw_jp_filters(p, n, false, &n)) return NULL;
        } else if (gw_jp_is_name(p, "is")) {
            n = parse_test(p, n);
        } else if (p->t->type == GW_JT_LPAREN) {
            n = parse_call(p, n);
        } else {
            break;
        }
    }
    return n;
}

/* --- operators ------------------------------------------------------------------------------ */

static struct gw_jnode *parse_unary(struct gw_jparser *p, bool with_filter) {
    uint32_t line = p->t->line;
    struct gw_jnode *n = NULL;
    if (!open_expression(p)) return NULL;
    if (p->t->type == GW_JT_SUB || p->t->type == GW_JT_ADD) {
        bool neg = p->t->type == GW_JT_SUB;
        p->t++;
        n = parse_unary(p, false);
        if (n != NULL) n = node3(p, neg ? GW_JN_NEG : GW_JN_POS, line, n, NULL, NULL);
    } else {
        n = parse_primary(p, false);
    }
    n = parse_postfix(p, n);
    if (with_filter) n = parse_filter_expr(p, n);
    p->expressions--;
    return n;
}

static struct gw_jnode *binary(struct gw_jparser *p, enum gw_jop op, uint32_t line,
                               struct gw_jnode *a, struct gw_jnode *b) {
    if (b == NULL) return NULL;
    struct gw_jnode *n = node3(p, GW_JN_BINARY, line, a, b, NULL);
    if (n != NULL) n->op = (uint8_t)op;
    return n;
}

static struct gw_jnode *parse_pow(struct gw_jparser *p) {
    struct gw_jnode *n = parse_unary(p, true);
    while (n != NULL && p->t->type == GW_JT_POW) {
        uint32_t line = p->t->line;
        p->t++;
        n = binary(p, GW_JOP_POW, line, n, parse_unary(p, true));
    }
    return n;
}

static struct gw_jnode *parse_product(struct gw_jparser *p) {
    struct gw_jnode *n = parse_pow(p);
    while (n != NULL) {
        uint32_t line = p->t->line;
        enum gw_jop op;
        switch (p->t->type) {
        case GW_JT_MUL: op = GW_JOP_MUL; break;
        case GW_JT_DIV: op = GW_JOP_DIV; break;
        case GW_JT_FLOORDIV: op = GW_JOP_FLOORDIV; break;
        case GW_JT_MOD: op = GW_JOP_MOD; break;
        default: return n;
        }
        p->t++;
        n = binary(p, op, line, n, parse_pow(p));
    }
    return NULL;
}

static struct gw_jnode *parse_concat(struct gw_jparser *p) {
    uint32_t line = p->t->line;
    struct gw_jnodes items = GW_JNODES_INIT(items);
    do {
        if (!append(&items, parse_product(p))) return NULL;
    } while (gw_jp_skip(p, GW_JT_TILDE));
    return items.n == 1 ? items.first : list_node(p, GW_JN_CONCAT, line, &items);
}

static struct gw_jnode *parse_sum(struct gw_jparser *p) {
    struct gw_jnode *n = parse_concat(p);
    while (n != NULL && (p->t->type == GW_JT_ADD || p->t->type == GW_JT_SUB)) {
        enum gw_jop op = p->t->type == GW_JT_ADD ? GW_JOP_ADD : GW_JOP_SUB;
        uint32_t line = p->t->line;
        p->t++;
        n = binary(p, op, line, n, parse_concat(p));
    }
    return n;
}

/* Takes a comparison operator, if there is one. */
static bool take_comparison(struct gw_jparser *p, enum gw_jop *op) {
    static const struct {
        uint8_t token, op;
    } simple[] = {{GW_JT_EQ, GW_JOP_EQ}, {GW_JT_NE, GW_JOP_NE}, {GW_JT_LT, GW_JOP_LT},
                  {GW_JT_LE, GW_JOP_LE}, {GW_JT_GT, GW_JOP_GT}, {GW_JT_GE, GW_JOP_GE}};
    for (size_t i = 0; i < GW_ARRAY_LEN(simple); i++) {
        if (p->t->type != simple[i].token) continue;
        *op = (enum gw_jop)simple[i].op;
        p->t++;
        return true;
    }
    if (gw_jp_skip_name(p, "in")) {
        *op = GW_JOP_IN;
        return true;
    }
    struct gw_jparser next = *p;
    next.t++;
    if (!gw_jp_is_name(p, "not") || !gw_jp_is_name(&next, "in")) return false;
    *op = GW_JOP_NOT_IN;
    p->t += 2;
    return true;
}

static struct gw_jnode *parse_compare(struct gw_jparser *p) {
    struct gw_jnode *a = parse_sum(p);
    if (a == NULL) return NULL;
    struct gw_jnodes operands = GW_JNODES_INIT(operands);
    uint32_t line = p->t->line;
    enum gw_jop op;
    while (take_comparison(p, &op)) {
        struct gw_jnode *b = parse_sum(p);
        struct gw_jnode *operand = b == NULL ? NULL : node3(p, GW_JN_OPERAND, line, b, NULL, NULL);
        if (!append(&operands, operand)) return NULL;
        operand->op = (uint8_t)op;
    }
    if (operands.n == 0) return a;
    struct gw_jnode *n = list_node(p, GW_JN_COMPARE, line, &operands);
    if (n == NULL || !deepen(p, n, a)) return NULL;
    n->u.list.a = a;
    return n;
}

static struct gw_jnode *parse_not(struct gw_jparser *p) {
    uint32_t line = p->t->line;
    if (!gw_jp_skip_name(p, "not")) return parse_compare(p);
    if (!open_expression(p)) return NULL;
    struct gw_jnode *n = parse_not(p);
    p->expressions--;
    return n == NULL ? NULL : node3(p, GW_JN_NOT, line, n, NULL, NULL);
}

static struct gw_jnode *parse_and(struct gw_jparser *p) {
    struct gw_jnode *n = parse_not(p);
    while (n != NULL && gw_jp_is_name(p, "and")) {
        uint32_t line = p->t->line;
        p->t++;
        struct gw_jnode *b = parse_not(p);
        n = b == NULL ? NULL : node3(p, GW_JN_AND, line, n, b, NULL);
    }
    return n;
}

static struct gw_jnode *parse_or(struct gw_jparser *p) {
    struct gw_jnode *n = parse_and(p);
    while (n != NULL && gw_jp_is_name(p, "or")) {
        uint32_t line = p->t->line;
        p->t++;
        struct gw_jnode *b = parse_and(p);
        n = b == NULL ? NULL : node3(p, GW_JN_OR, line, n, b, NULL);
    }
    return n;
}

struct gw_jnode *gw_jp_expression(struct gw_jparser *p, bool with_cond) {
    if (!open_expression(p)) return NULL;
    struct gw_jnode *n = parse_or(p);
    while (with_cond && n != NULL && gw_jp_is_name(p, "if")) {
        uint32_t line = p->t->line;
        p->t++;
        struct gw_jnode *cond = parse_or(p), *otherwise = NULL;
        if (cond == NULL) return NULL;
        if (gw_jp_skip_name(p, "else")) {
            otherwise = gw_jp_expression(p, true);
            if (otherwise == NULL) return NULL;
        }
        n = node3(p, GW_JN_COND, line, n, cond, otherwise);
    }
    p->expressions--;
    return n;
}

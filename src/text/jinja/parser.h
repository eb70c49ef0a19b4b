/* parser.h - tokens to a tree; parse_expr.c has the expressions, parse_stmt.c the statements. */
#ifndef GW_TEXT_JINJA_PARSER_H
#define GW_TEXT_JINJA_PARSER_H

#include "text/jinja/lexer.h"

struct gw_jparser {
    struct gw_jrt *rt;
    struct gw_jnames *names;
    const struct gw_jtoken *t; /* the current token; the last one is GW_JT_EOF */
    unsigned statements;       /* open ones */
    unsigned expressions;      /* open ones */
    bool has_generation;       /* a {% generation %} was seen */
};

/* A list of nodes being built. */
struct gw_jnodes {
    struct gw_jnode *first, **end;
    uint32_t n;
};
#define GW_JNODES_INIT(list)                                                                       \
    (struct gw_jnodes) { .end = &(list).first }
void gw_jp_append(struct gw_jnodes *list, struct gw_jnode *node);

/* The functions below return NULL (or false) after a failure. */
struct gw_jnode *gw_jp_node(struct gw_jparser *p, enum gw_jkind kind, uint32_t line);
/* An expression with or without `x if y else z` at its top. */
struct gw_jnode *gw_jp_expression(struct gw_jparser *p, bool with_cond);
/* Expressions with commas between them are a tuple. */
struct gw_jnode *gw_jp_tuple(struct gw_jparser *p, bool with_cond);
/* What can be assigned to: a name, with_ns also name.attribute, or a tuple of them. */
struct gw_jnode *gw_jp_target(struct gw_jparser *p, bool with_ns);
/* "| filter(...) | ...", or without the first "|" when `inline_start`, over `node` (may be NULL).
 */
bool gw_jp_filters(struct gw_jparser *p, struct gw_jnode *node, bool inline_start,
                   struct gw_jnode **out);

bool gw_jp_is_name(const struct gw_jparser *p, const char *name);
bool gw_jp_skip(struct gw_jparser *p, enum gw_jtok type);
bool gw_jp_skip_name(struct gw_jparser *p, const char *name);
bool gw_jp_expect(struct gw_jparser *p, enum gw_jtok type);
bool gw_jp_expect_name(struct gw_jparser *p, struct gw_jname **out);
/* Fails with what the current token is. */
bool gw_jp_unexpected(struct gw_jparser *p, const char *expected);

/* The whole template: its statements, linked. */
bool gw_jp_template(struct gw_jparser *p, struct gw_jnode **body);

#endif

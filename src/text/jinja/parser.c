/* parser.c - what both halves of the parser stand on: tokens and lists of nodes. */
#include "text/jinja/parser.h"

#include <stdio.h>
#include <string.h>

void gw_jp_append(struct gw_jnodes *list, struct gw_jnode *node) {
    *list->end = node;
    list->end = &node->next;
    list->n++;
}

struct gw_jnode *gw_jp_node(struct gw_jparser *p, enum gw_jkind kind, uint32_t line) {
    struct gw_jnode *n = GW_J_NEW(p->rt, struct gw_jnode);
    if (n == NULL) return NULL;
    n->kind = (uint8_t)kind;
    n->line = line;
    n->depth = 1;
    return n;
}

bool gw_jp_is_name(const struct gw_jparser *p, const char *name) {
    return p->t->type == GW_JT_NAME && strlen(name) == p->t->u.name->len &&
           memcmp(p->t->u.name->s, name, p->t->u.name->len) == 0;
}

bool gw_jp_skip(struct gw_jparser *p, enum gw_jtok type) {
    if (p->t->type != type) return false;
    p->t++;
    return true;
}

bool gw_jp_skip_name(struct gw_jparser *p, const char *name) {
    if (!gw_jp_is_name(p, name)) return false;
    p->t++;
    return true;
}

bool gw_jp_unexpected(struct gw_jparser *p, const char *expected) {
    p->rt->line = p->t->line;
    if (p->t->type == GW_JT_EOF)
        return gw_j_fail(p->rt, GWEN_ERR_FORMAT, "unexpected end of template, expected %s",
                         expected);
    if (p->t->type == GW_JT_NAME)
        return gw_j_fail(p->rt, GWEN_ERR_FORMAT, "expected %s, got '%.*s'", expected,
                         (int)GW_MIN(p->t->u.name->len, 100u), p->t->u.name->s);
    return gw_j_fail(p->rt, GWEN_ERR_FORMAT, "expected %s, got '%s'", expected,
                     gw_j_token_text((enum gw_jtok)p->t->type));
}

bool gw_jp_expect(struct gw_jparser *p, enum gw_jtok type) {
    if (gw_jp_skip(p, type)) return true;
    char expected[64];
    snprintf(expected, sizeof expected, "'%s'", gw_j_token_text(type));
    return gw_jp_unexpected(p, expected);
}

bool gw_jp_expect_name(struct gw_jparser *p, struct gw_jname **out) {
    if (p->t->type != GW_JT_NAME) return gw_jp_unexpected(p, "a name");
    *out = p->t->u.name;
    p->t++;
    return true;
}

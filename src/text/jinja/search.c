/* search.c - see search.h. */
#include "text/jinja/search.h"

static void search_name(struct gw_jsearch *s, const struct gw_jname *name, bool load) {
    for (int i = 0; i < 3; i++) {
        if (s->names[i] != name) continue;
        if (load)
            s->used[i] = true;
        else
            s->names[i] = NULL;
    }
}

static void search_expr(struct gw_jsearch *s, const struct gw_jnode *n) {
    for (; n != NULL; n = n->next) {
        switch ((enum gw_jkind)n->kind) {
        case GW_JN_CONST:
        case GW_JN_NSREF: break;
        case GW_JN_NAME: search_name(s, n->u.name.name, true); break;
        case GW_JN_COMPARE:
            search_expr(s, n->u.list.a);
            search_expr(s, n->u.list.first);
            break;
        case GW_JN_LIST:
        case GW_JN_TUPLE:
        case GW_JN_DICT:
        case GW_JN_CONCAT: search_expr(s, n->u.list.first); break;
        case GW_JN_ATTR: search_expr(s, n->u.attr.a); break;
        case GW_JN_CALL:
        case GW_JN_FILTER:
        case GW_JN_TEST:
            search_expr(s, n->u.call.a);
            search_expr(s, n->u.call.args.pos);
            search_expr(s, n->u.call.args.kw);
            search_expr(s, n->u.call.args.star);
            search_expr(s, n->u.call.args.kwstar);
            break;
        default:
            search_expr(s, n->u.x.a);
            search_expr(s, n->u.x.b);
            search_expr(s, n->u.x.c);
            search_expr(s, n->u.x.d);
        }
    }
}

static void search_target(struct gw_jsearch *s, const struct gw_jnode *n) {
    if (n->kind == GW_JN_NAME) search_name(s, n->u.name.name, false);
    for (const struct gw_jnode *i = n->kind == GW_JN_TUPLE ? n->u.list.first : NULL; i != NULL;
         i = i->next)
        search_target(s, i);
}

static void search_macro(struct gw_jsearch *s, const struct gw_jmacro_def *def) {
    for (const struct gw_jnode *i = def->params; i != NULL; i = i->next) search_target(s, i);
    search_expr(s, def->defaults);
    gw_j_search(s, def->body);
}

/* Children in the order in which jinja2 keeps them. */
void gw_j_search(struct gw_jsearch *s, const struct gw_jnode *n) {
    for (; n != NULL; n = n->next) {
        switch ((enum gw_jkind)n->kind) {
        case GW_JN_OUTPUT: search_expr(s, n->u.list.first); break;
        case GW_JN_FOR:
            search_target(s, n->u.loop->target);
            search_expr(s, n->u.loop->iter);
            gw_j_search(s, n->u.loop->body);
            gw_j_search(s, n->u.loop->otherwise);
            search_expr(s, n->u.loop->test);
            break;
        case GW_JN_IF:
            for (const struct gw_jnode *b = n->u.list.first; b != NULL; b = b->next) {
                search_expr(s, b->u.branch.cond);
                gw_j_search(s, b->u.branch.body);
            }
            break;
        case GW_JN_SET:
            search_target(s, n->u.x.a);
            search_expr(s, n->u.x.b);
            break;
        case GW_JN_SETBLOCK:
            search_target(s, n->u.block.target);
            search_expr(s, n->u.block.filter);
            gw_j_search(s, n->u.block.body);
            break;
        case GW_JN_CALLBLOCK: search_expr(s, n->u.macro.call); /* fall through */
        case GW_JN_MACRO:
        case GW_JN_GENERATION: search_macro(s, n->u.macro.def); break;
        case GW_JN_FILTERBLOCK:
            gw_j_search(s, n->u.block.body);
            search_expr(s, n->u.block.filter);
            break;
        case GW_JN_WITH:
            for (const struct gw_jnode *i = n->u.with.first; i != NULL; i = i->next)
                search_target(s, i->u.x.a);
            for (const struct gw_jnode *i = n->u.with.first; i != NULL; i = i->next)
                search_expr(s, i->u.x.b);
            gw_j_search(s, n->u.with.body);
            break;
        default: break;
        }
    }
}

/* print.c - str() and repr() of values. */
#include "text/jinja/object.h"
#include "text/jinja/runtime.h"
#include "text/jinja/text.h"

#include <inttypes.h>
#include <string.h>

/* Namespaces can hold themselves: Python prints an object that is being printed as "...". */
struct shown {
    const void *object;
    const struct shown *outer;
};

static void put_repr(struct gw_jbuf *b, struct gw_jv v, const struct shown *outer);

static void put_str_repr(struct gw_jbuf *b, struct gw_jv v) {
    char quote =
        memchr(v.u.s, '\'', v.len) != NULL && memchr(v.u.s, '"', v.len) == NULL ? '"' : '\'';
    if (!gw_j_look(b->rt, v.len)) return;
    if (v.flags & GW_JF_MARKUP) gw_j_puts(b, "Markup(");
    gw_j_putc(b, quote);
    for (size_t i = 0, n; i < v.len && !b->rt->failed; i += n) {
        uint32_t cp;
        n = gw_j_decode(v.u.s + i, &cp);
        if (cp == (unsigned char)quote || cp == '\\') {
            gw_j_putf(b, "\\%c", (int)cp);
        } else if (cp == '\n') {
            gw_j_puts(b, "\\n");
        } else if (cp == '\r') {
            gw_j_puts(b, "\\r");
        } else if (cp == '\t') {
            gw_j_puts(b, "\\t");
        } else if (gw_j_is_printable(cp)) {
            gw_j_put(b, v.u.s + i, n);
        } else if (cp < 0x100) {
            gw_j_putf(b, "\\x%02x", (unsigned)cp);
        } else if (cp < 0x10000) {
            gw_j_putf(b, "\\u%04x", (unsigned)cp);
        } else {
            gw_j_putf(b, "\\U%08x", (unsigned)cp);
        }
    }
    gw_j_putc(b, quote);
    if (v.flags & GW_JF_MARKUP) gw_j_putc(b, ')');
}

static void put_seq(struct gw_jbuf *b, struct gw_jv v, const struct shown *outer) {
    bool list = v.type == GW_J_LIST;
    gw_j_putc(b, list ? '[' : '(');
    for (size_t i = 0; i < v.u.seq->n && !b->rt->failed; i++) {
        if (i > 0) gw_j_puts(b, ", ");
        put_repr(b, v.u.seq->v[i], outer);
    }
    if (!list && v.u.seq->n == 1) gw_j_putc(b, ',');
    gw_j_putc(b, list ? ']' : ')');
}

static void put_dict(struct gw_jbuf *b, const struct gw_jdict *d, const struct shown *outer) {
    gw_j_putc(b, '{');
    for (size_t i = 0; i < d->n && !b->rt->failed; i++) {
        if (i > 0) gw_j_puts(b, ", ");
        put_repr(b, d->e[i].key, outer);
        gw_j_puts(b, ": ");
        put_repr(b, d->e[i].value, outer);
    }
    gw_j_putc(b, '}');
}

static void put_view(struct gw_jbuf *b, struct gw_jv v, const struct shown *outer) {
    gw_j_putf(b, "%s([", gw_j_type_name(v));
    for (size_t i = 0; i < v.u.dict->n && !b->rt->failed; i++) {
        const struct gw_jentry *e = &v.u.dict->e[i];
        if (i > 0) gw_j_puts(b, ", ");
        if (v.aux == GW_JVIEW_ITEMS) gw_j_putc(b, '(');
        if (v.aux != GW_JVIEW_VALUES) put_repr(b, e->key, outer);
        if (v.aux == GW_JVIEW_ITEMS) gw_j_puts(b, ", ");
        if (v.aux != GW_JVIEW_KEYS) put_repr(b, e->value, outer);
        if (v.aux == GW_JVIEW_ITEMS) gw_j_putc(b, ')');
    }
    gw_j_puts(b, "])");
}

static void put_range(struct gw_jbuf *b, const struct gw_jrange *r) {
    gw_j_putf(b, "range(%" PRId64 ", %" PRId64, r->start, r->stop);
    if (r->step != 1) gw_j_putf(b, ", %" PRId64, r->step);
    gw_j_putc(b, ')');
}

/* The values that hold others. */
static void put_container(struct gw_jbuf *b, struct gw_jv v, const struct shown *outer) {
    for (const struct shown *s = outer; v.type == GW_J_NAMESPACE && s != NULL; s = s->outer) {
        if (s->object != v.u.dict) continue;
        gw_j_puts(b, "<Namespace {...}>");
        return;
    }
    struct shown here = {.object = v.u.dict, .outer = outer};
    if (gw_j_enter(b->rt)) {
        if (v.type == GW_J_DICT) {
            put_dict(b, v.u.dict, outer);
        } else if (v.type == GW_J_VIEW) {
            put_view(b, v, outer);
        } else if (v.type == GW_J_NAMESPACE) {
            gw_j_puts(b, "<Namespace ");
            put_dict(b, v.u.dict, &here);
            gw_j_putc(b, '>');
        } else {
            put_seq(b, v, outer);
        }
    }
    b->rt->depth--;
}

static void put_repr(struct gw_jbuf *b, struct gw_jv v, const struct shown *outer) {
    char number[32];
    switch ((enum gw_jtype)v.type) {
    case GW_J_MISSING:
    case GW_J_UNDEFINED: gw_j_puts(b, "Undefined"); break;
    case GW_J_NONE: gw_j_puts(b, "None"); break;
    case GW_J_BOOL: gw_j_puts(b, v.u.b ? "True" : "False"); break;
    case GW_J_INT: gw_j_putf(b, "%" PRId64, v.u.i); break;
    case GW_J_FLOAT:
        gw_j_float_repr(v.u.f, number);
        gw_j_puts(b, number);
        break;
    case GW_J_STR: put_str_repr(b, v); break;
    case GW_J_LIST:
    case GW_J_TUPLE:
    case GW_J_DICT:
    case GW_J_VIEW:
    case GW_J_NAMESPACE: put_container(b, v, outer); break;
    case GW_J_RANGE: put_range(b, v.u.range); break;
    case GW_J_MACRO:
        gw_j_puts(b, "<Macro ");
        if (v.u.macro->def->name == NULL)
            gw_j_puts(b, "anonymous");
        else
            put_str_repr(b, gw_jv_str(v.u.macro->def->name->s, v.u.macro->def->name->len));
        gw_j_putc(b, '>');
        break;
    case GW_J_LOOP: {
        size_t n = 0;
        if (gw_j_loop_length(b->rt, v.u.loop, &n))
            gw_j_putf(b, "<LoopContext %" PRId64 "/%zu>", v.u.loop->index0 + 1, n);
        break;
    }
    default:
        /* Python shows its address, which no two runs agree on. */
        gw_j_fail(b->rt, GWEN_ERR_UNSUPPORTED, "prints an object of type '%s', which has no text",
                  gw_j_type_name(v));
    }
}

void gw_j_put_repr(struct gw_jbuf *b, struct gw_jv v) { put_repr(b, v, NULL); }

void gw_j_put_str(struct gw_jbuf *b, struct gw_jv v) {
    if (v.type == GW_J_STR)
        gw_j_put(b, v.u.s, v.len);
    else if (v.type != GW_J_UNDEFINED && v.type != GW_J_MISSING)
        put_repr(b, v, NULL);
}

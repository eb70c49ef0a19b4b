/* runtime.c - errors, memory and text of a run; see runtime.h. */
#include "text/jinja/runtime.h"

#include "text/jinja/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool gw_j_fail(struct gw_jrt *rt, enum gwen_status status, const char *fmt, ...) {
    if (rt->failed) return false;
    char text[sizeof rt->error.message];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    /* Messages may quote the template or come from it, and must stay one line. */
    char shown[sizeof text];
    size_t n = 0;
    for (const char *p = text; *p != '\0' && n + 5 < sizeof shown; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '\n') {
            n += (size_t)snprintf(shown + n, sizeof shown - n, "\\n");
        } else if (c < 0x20 || c == 0x7F) {
            n += (size_t)snprintf(shown + n, sizeof shown - n, "\\x%02x", c);
        } else {
            shown[n++] = (char)c;
        }
    }
    shown[n] = '\0';
    gw_fail(&rt->error, status, "%s line %u: %s", rt->name, (unsigned)rt->line, shown);
    rt->failed = true;
    return false;
}

bool gw_j_fail_undefined(struct gw_jrt *rt, struct gw_jv v) {
    int n = (int)GW_MIN(v.len, (uint32_t)200);
    struct gw_jv object = gw_jv_of((enum gw_jtype)v.flags);
    const char *type = gw_j_type_name(object);
    bool none = object.type == GW_J_NONE;
    switch ((enum gw_jundef)v.aux) {
    case GW_JU_NAME: return gw_j_raise(rt, "'%.*s' is undefined", n, v.u.s);
    case GW_JU_ATTR:
        return gw_j_raise(rt, "'%s%s' has no attribute '%.*s'", none ? "None" : type,
                          none ? "" : " object", n, v.u.s);
    case GW_JU_ELEMENT:
        return gw_j_raise(rt, "%s%s has no element %.*s", none ? "None" : type,
                          none ? "" : " object", n, v.u.s);
    case GW_JU_UNSAFE:
        return gw_j_raise(rt, "access to attribute '%.*s' of '%s' object is unsafe", n, v.u.s,
                          type);
    case GW_JU_HINT: break;
    }
    return gw_j_raise(rt, "%.*s", n, v.u.s);
}

void *gw_j_alloc(struct gw_jrt *rt, size_t n, size_t size) {
    void *p = rt->failed ? NULL : gw_arena_calloc(rt->arena, n, size);
    if (p == NULL && !rt->failed) {
        rt->fatal = true;
        gw_j_fail(rt, GWEN_ERR_NOMEM, "takes too much memory");
    }
    return p;
}

static char *alloc_bytes(struct gw_jrt *rt, size_t n) {
    char *p = rt->failed || n > GW_J_MAX_STRING ? NULL : gw_arena_alloc(rt->arena, n, 16);
    if (p == NULL && !rt->failed) {
        rt->fatal = true;
        gw_j_fail(rt, GWEN_ERR_NOMEM, "takes too much memory");
    }
    return p;
}

/* --- text ----------------------------------------------------------------------------------- */

static bool reserve(struct gw_jbuf *b, size_t extra) {
    if (b->rt->failed) return false;
    size_t need;
    if (!gw_add_size(b->len, extra, &need)) need = SIZE_MAX;
    if (need <= b->cap) return true;
    size_t cap = GW_MAX(need, GW_MIN(b->cap * 2, GW_J_MAX_STRING));
    cap = GW_MAX(cap, (size_t)64);
    char *p = alloc_bytes(b->rt, cap);
    if (p == NULL) return false;
    if (b->len > 0) memcpy(p, b->p, b->len);
    b->p = p;
    b->cap = cap;
    return true;
}

void gw_j_put(struct gw_jbuf *b, const char *s, size_t len) {
    if (len == 0 || !reserve(b, len)) return;
    memcpy(b->p + b->len, s, len);
    b->len += len;
}

void gw_j_puts(struct gw_jbuf *b, const char *s) { gw_j_put(b, s, strlen(s)); }

void gw_j_putc(struct gw_jbuf *b, char c) { gw_j_put(b, &c, 1); }

void gw_j_put_cp(struct gw_jbuf *b, uint32_t cp) {
    char bytes[4];
    gw_j_put(b, bytes, gw_j_encode(cp, bytes));
}

void gw_j_put_repeat(struct gw_jbuf *b, const char *s, size_t len, size_t times) {
    size_t total;
    if (!gw_mul_size(len, times, &total)) total = SIZE_MAX;
    if (total == 0 || !reserve(b, total)) return;
    for (size_t i = 0; i < times; i++) memcpy(b->p + b->len + i * len, s, len);
    b->len += total;
}

void gw_j_putf(struct gw_jbuf *b, const char *fmt, ...) {
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n > 0) gw_j_put(b, text, GW_MIN((size_t)n, sizeof text - 1));
}

bool gw_j_buf_str(const struct gw_jbuf *b, struct gw_jv *out) {
    if (b->rt->failed) return false;
    *out = gw_jv_str(b->len > 0 ? b->p : "", b->len);
    return true;
}

bool gw_j_to_str(struct gw_jrt *rt, struct gw_jv v, struct gw_jv *out) {
    if (v.type == GW_J_STR) {
        *out = v;
        return true;
    }
    struct gw_jbuf b = {.rt = rt};
    gw_j_put_str(&b, v);
    return gw_j_buf_str(&b, out);
}

void gw_j_put_escaped(struct gw_jbuf *b, const char *s, size_t len) {
    for (size_t i = 0; i < len; i++) {
        switch (s[i]) {
        case '&': gw_j_puts(b, "&amp;"); break;
        case '<': gw_j_puts(b, "&lt;"); break;
        case '>': gw_j_puts(b, "&gt;"); break;
        case '\'': gw_j_puts(b, "&#39;"); break;
        case '"': gw_j_puts(b, "&#34;"); break;
        default: gw_j_putc(b, s[i]);
        }
    }
}

bool gw_j_escape(struct gw_jrt *rt, struct gw_jv v, struct gw_jv *out) {
    if (!gw_j_to_str(rt, v, &v)) return false;
    if (!(v.flags & GW_JF_MARKUP)) {
        struct gw_jbuf b = {.rt = rt};
        gw_j_put_escaped(&b, v.u.s, v.len);
        if (!gw_j_buf_str(&b, &v)) return false;
    }
    v.flags |= GW_JF_MARKUP;
    *out = v;
    return true;
}

/* In front of the bytes of a string that has GW_JF_GROW. */
struct room {
    size_t used, cap;
};

bool gw_j_concat(struct gw_jrt *rt, struct gw_jv a, struct gw_jv b, struct gw_jv *out) {
    uint8_t markup = (a.flags | b.flags) & GW_JF_MARKUP;
    if (markup && !(gw_j_escape(rt, a, &a) && gw_j_escape(rt, b, &b))) return false;
    size_t len = (size_t)a.len + b.len;
    if (a.flags & GW_JF_GROW) {
        struct room *room = (struct room *)(uintptr_t)(a.u.s - sizeof(struct room));
        if (room->used == a.len && room->cap - room->used >= b.len) {
            if (b.len > 0) memcpy((char *)(uintptr_t)a.u.s + a.len, b.u.s, b.len);
            room->used = len;
            *out = gw_jv_str(a.u.s, len);
            out->flags = markup | GW_JF_GROW;
            return true;
        }
    }
    /* Short strings are mostly not appended to again. */
    size_t cap = len < 256 ? len : GW_MIN(len * 2, GW_J_MAX_STRING);
    struct room *room = (struct room *)alloc_bytes(rt, sizeof *room + GW_MAX(cap, len));
    if (room == NULL) return false;
    char *p = (char *)(room + 1);
    if (a.len > 0) memcpy(p, a.u.s, a.len);
    if (b.len > 0) memcpy(p + a.len, b.u.s, b.len);
    *room = (struct room){.used = len, .cap = cap};
    *out = gw_jv_str(p, len);
    out->flags = markup | GW_JF_GROW;
    return true;
}

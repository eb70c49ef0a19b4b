/* jinja.c - parsing and rendering as a whole. */
#include "text/jinja/jinja.h"

#include "text/jinja/object.h"
#include "text/jinja/parser.h"
#include "text/jinja/scope.h"

#include <stdlib.h>
#include <string.h>

struct gw_jinja {
    struct gw_arena arena; /* all below */
    char *name;
    struct gw_jnames names;
    uint64_t hash_seed;
    struct gw_jnode *body;
    struct gw_jframe frame;
    uint32_t n_slots;
    bool has_generation;
};

enum {
    DEFAULT_STEPS = 50000000,
    DEFAULT_OUTPUT = 64 << 20,
    PARSE_MEMORY = 512 << 20 /* a template of brackets needs 100 times its size */
};
#define DEFAULT_MEMORY ((size_t)256 << 20)

static enum gwen_status finish(const struct gw_jrt *rt, bool ok, struct gwen_err *err) {
    return ok ? GWEN_OK : gw_err_copy(err, &rt->error);
}

/* The source with "\n" for all line ends and without the last one, in the arena. */
static bool normalise(struct gw_jrt *rt, const char *src, size_t len, char **out, size_t *out_len) {
    char *p = gw_j_alloc(rt, len + 1, 1);
    if (p == NULL) return false;
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (src[i] == '\r' && i + 1 < len && src[i + 1] == '\n') continue;
        p[n++] = src[i] == '\r' ? '\n' : src[i];
    }
    if (n > 0 && p[n - 1] == '\n') n--;
    *out = p;
    *out_len = n;
    return true;
}

static bool check_utf8(struct gw_jrt *rt, const char *src, size_t len) {
    uint32_t cp;
    bool valid = true;
    for (size_t i = 0; i < len && valid; i += gw_utf8_next(src + i, len - i, &cp, &valid))
        rt->line += src[i] == '\n';
    return valid || gw_j_fail(rt, GWEN_ERR_FORMAT, "is not valid UTF-8");
}

static bool parse(struct gw_jrt *rt, struct gw_jinja *t, const char *src, size_t len) {
    struct gw_jtoken *tokens;
    char *text;
    size_t n;
    if (len > GW_J_MAX_SOURCE)
        return gw_j_fail(rt, GWEN_ERR_NOMEM, "is larger than %d bytes", GW_J_MAX_SOURCE);
    if (!check_utf8(rt, src, len) || !normalise(rt, src, len, &text, &n)) return false;
    if (!gw_j_lex(rt, &t->names, text, n, &tokens)) return false;
    struct gw_jparser p = {.rt = rt, .names = &t->names, .t = tokens};
    if (!gw_jp_template(&p, &t->body)) return false;
    t->has_generation = p.has_generation;
    return gw_j_resolve(rt, &t->names, t->body, &t->frame, &t->n_slots);
}

enum gwen_status gw_jinja_parse(const char *src, size_t len, const char *name,
                                struct gw_jinja **out, struct gwen_err *err) {
    *out = NULL;
    struct gw_jinja *t = calloc(1, sizeof *t);
    if (t == NULL) return gw_nomem(err, sizeof *t, "a template");
    gw_arena_init(&t->arena, PARSE_MEMORY);
    t->name = gw_arena_strndup(&t->arena, name, strlen(name));
    if (t->name == NULL) {
        gw_jinja_free(t);
        return gw_nomem(err, strlen(name), "a template");
    }
    /* Hashes decide nothing but places in tables; the address makes them hard to foresee. */
    t->hash_seed = (uint64_t)(uintptr_t)t;
    struct gw_jrt rt = {.name = t->name, .arena = &t->arena, .line = 1, .steps = UINT64_MAX};
    rt.hash_seed = t->hash_seed;
    bool ok = parse(&rt, t, src, len);
    if (ok)
        *out = t;
    else
        gw_jinja_free(t);
    /* rt.name is gone, the message in rt.error is not. */
    return finish(&rt, ok, err);
}

void gw_jinja_free(struct gw_jinja *t) {
    if (t == NULL) return;
    gw_arena_free(&t->arena);
    free(t);
}

/* The variables that the template speaks of, by number of their name: the caller's, then the
 * global functions. */
static bool load_vars(struct gw_jrt *rt, const struct gw_jinja *t, const json_t *vars) {
    struct gw_jv *v = gw_j_alloc(rt, (size_t)t->names.n + 1, sizeof *v);
    if (v == NULL) return false;
    rt->vars = v;
    for (size_t i = 0; i < t->names.n_table; i++) {
        for (const struct gw_jname *n = t->names.table[i]; n != NULL; n = n->chain) {
            const struct gw_jdef *def = gw_j_function(n->s, n->len);
            const json_t *j = json_object_getn(vars, n->s, n->len);
            if (j != NULL && !gw_j_from_json(rt, j, 0, &v[n->id])) return false;
            if (j != NULL || def == NULL) continue;
            v[n->id] = gw_jv_of(GW_J_FUNC);
            v[n->id].u.func = def;
        }
    }
    return true;
}

static bool render(struct gw_jrt *rt, const struct gw_jinja *t, const json_t *vars) {
    if (!load_vars(rt, t, vars) || !gw_j_new_act(rt, NULL, t->n_slots, &rt->act)) return false;
    gw_j_enter_frame(rt, &t->frame);
    return gw_j_exec(rt, t->body) && !rt->failed;
}

bool gw_jinja_has_generation(const struct gw_jinja *t) { return t->has_generation; }

/* What the tags wrote as spans of the text, whose bytes there are looked at. */
static bool take_spans(struct gw_jrt *rt, const struct gw_jbuf *text,
                       struct gw_jinja_spans *spans) {
    spans->v = calloc(rt->n_generations + 1, sizeof *spans->v);
    if (spans->v == NULL) return gw_j_fail(rt, GWEN_ERR_NOMEM, "no memory for spans");
    for (const struct gw_jgeneration *g = rt->generations; g != NULL; g = g->next) {
        const bool there = g->start <= text->len && g->len <= text->len - g->start;
        if (!there || (g->len > 0 && memcmp(text->p + g->start, g->text, g->len) != 0))
            return gw_j_fail(rt, GWEN_ERR_UNSUPPORTED,
                             "what {%% generation %%} wrote inside a macro or captured block "
                             "cannot be found in the text");
        spans->v[spans->n++] = (struct gw_jinja_span){g->start, g->start + g->len};
    }
    return true;
}

/* spans NULL: not asked for. */
static enum gwen_status render_all(const struct gw_jinja *t, const json_t *vars,
                                   const struct tm *now, const struct gw_jinja_limits *limits,
                                   struct gw_str *out, struct gw_jinja_spans *spans,
                                   struct gwen_err *err) {
    static const struct gw_jinja_limits none = {0};
    if (limits == NULL) limits = &none;
    struct gw_arena arena;
    gw_arena_init(&arena, limits->memory_bytes != 0 ? limits->memory_bytes : DEFAULT_MEMORY);
    struct gw_jrt rt = {.name = t->name, .arena = &arena, .line = 1, .tmpl = t, .now = now};
    struct gw_jbuf text = {.rt = &rt};
    rt.hash_seed = t->hash_seed;
    rt.steps = limits->steps != 0 ? limits->steps : DEFAULT_STEPS;
    rt.output_left = limits->output_bytes != 0 ? limits->output_bytes : DEFAULT_OUTPUT;
    rt.out = &text;
    rt.root = &text;
    rt.last_generation = &rt.generations;
    bool ok = render(&rt, t, vars);
    if (ok && spans != NULL) ok = take_spans(&rt, &text, spans);
    if (ok) {
        gw_str_put(out, text.p, text.len);
        if (out->failed) ok = gw_j_fail(&rt, GWEN_ERR_NOMEM, "no memory for the output");
    }
    if (!ok && spans != NULL) {
        free(spans->v);
        *spans = (struct gw_jinja_spans){0};
    }
    gw_arena_free(&arena);
    return finish(&rt, ok, err);
}

enum gwen_status gw_jinja_render(const struct gw_jinja *t, const json_t *vars, const struct tm *now,
                                 const struct gw_jinja_limits *limits, struct gw_str *out,
                                 struct gwen_err *err) {
    return render_all(t, vars, now, limits, out, NULL, err);
}

enum gwen_status gw_jinja_render_spans(const struct gw_jinja *t, const json_t *vars,
                                       const struct tm *now, struct gw_str *out,
                                       struct gw_jinja_spans *spans, struct gwen_err *err) {
    *spans = (struct gw_jinja_spans){0};
    return render_all(t, vars, now, NULL, out, spans, err);
}

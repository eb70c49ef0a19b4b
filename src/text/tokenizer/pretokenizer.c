/* pretokenizer.c - the pre-tokenizers of tokenizer.json, flattened into a row of steps.
 *
 * A step replaces every piece by smaller ones.  It first marks the parts of the piece that its
 * pattern matches and those between, then merges, keeps or drops them as its behaviour says. */
#include "text/tokenizer/impl.h"
#include "text/tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>

/* What ByteLevel splits by: the pattern of GPT-2. */
static const char gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static const char *const type_names[] = {"Split",      "ByteLevel",       "Digits",  "Metaspace",
                                         "Whitespace", "WhitespaceSplit", "Sequence"};
enum kind { SPLIT, BYTE_LEVEL, DIGITS, METASPACE, WHITESPACE, WHITESPACE_SPLIT, SEQUENCE };

static const char *const behavior_names[] = {"Removed", "Isolated", "MergedWithPrevious",
                                             "MergedWithNext", "Contiguous"};
enum behavior { REMOVED, ISOLATED, MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS };

enum prepend { ALWAYS, NEVER, FIRST };

struct gw_pretokenizer {
    size_t n;
    struct pretokenizer_step {
        enum kind kind;
        enum behavior behavior;
        bool invert;
        bool add_prefix_space;
        bool split; /* Metaspace */
        enum prepend prepend;
        char replacement[8]; /* Metaspace: one character */
        size_t replacement_len;
        struct gw_regex *regex; /* NULL: ByteLevel without a pattern, or split by kind */
    } steps[GW_TOKEN_MAX_STEPS];
};

/* --- loading -------------------------------------------------------------------------------- */

static enum gwen_status load_split(struct pretokenizer_step *step, struct gw_json_node config,
                                   struct gwen_err *err) {
    const char *behavior;
    char shown[GW_SHOWN];
    GW_TRY(gw_json_get_string(config, "behavior", GW_JSON_REQUIRED, &behavior, err));
    GW_TRY(gw_json_get_bool(config, "invert", GW_JSON_REQUIRED, &step->invert, err));
    const size_t i = gw_name_index(behavior, behavior_names, GW_ARRAY_LEN(behavior_names));
    if (i == GW_ARRAY_LEN(behavior_names))
        return gw_json_fail(config, err, GWEN_ERR_FORMAT, "unknown behavior %s",
                            gw_shown(shown, behavior, strlen(behavior)));
    step->behavior = (enum behavior)i;
    return gw_pattern_load(config, "pattern", &step->regex, err);
}

static enum gwen_status load_byte_level(struct pretokenizer_step *step, struct gw_json_node config,
                                        struct gwen_err *err) {
    bool use_regex = true, trim_offsets;
    GW_TRY(gw_json_get_bool(config, "add_prefix_space", GW_JSON_REQUIRED, &step->add_prefix_space,
                            err));
    /* offsets are not kept, but the library wants the member */
    GW_TRY(gw_json_get_bool(config, "trim_offsets", GW_JSON_REQUIRED, &trim_offsets, err));
    GW_TRY(gw_json_get_bool(config, "use_regex", GW_JSON_OPTIONAL, &use_regex, err));
    step->behavior = ISOLATED;
    if (!use_regex) return GWEN_OK;
    return gw_regex_compile(gpt2_pattern, strlen(gpt2_pattern), "ByteLevel", &step->regex, err);
}

static enum gwen_status load_metaspace(struct pretokenizer_step *step, struct gw_json_node config,
                                       struct gwen_err *err) {
    const char *scheme = "always";
    char shown[GW_SHOWN];
    bool add_prefix_space = true;
    uint32_t c = 0;
    GW_TRY(gw_char_load(config, "replacement", &c, err));
    GW_TRY(gw_json_get_string(config, "prepend_scheme", GW_JSON_OPTIONAL, &scheme, err));
    GW_TRY(gw_json_get_bool(config, "add_prefix_space", GW_JSON_OPTIONAL, &add_prefix_space, err));
    step->split = true;
    GW_TRY(gw_json_get_bool(config, "split", GW_JSON_OPTIONAL, &step->split, err));
    if (strcmp(scheme, "always") == 0)
        step->prepend = ALWAYS;
    else if (strcmp(scheme, "never") == 0)
        step->prepend = NEVER;
    else if (strcmp(scheme, "first") == 0)
        step->prepend = FIRST;
    else
        return gw_json_fail(config, err, GWEN_ERR_FORMAT, "unknown prepend_scheme %s",
                            gw_shown(shown, scheme, strlen(scheme)));
    if (!add_prefix_space && step->prepend != NEVER)
        return gw_json_fail(config, err, GWEN_ERR_FORMAT,
                            "add_prefix_space contradicts prepend_scheme");
    struct gw_str text = {0};
    gw_str_put_utf8(&text, c);
    step->replacement_len = text.len;
    if (!text.failed) memcpy(step->replacement, text.data, text.len);
    gw_str_free(&text);
    step->behavior = MERGED_WITH_NEXT;
    return gw_regex_compile_literal(step->replacement, step->replacement_len, "Metaspace",
                                    &step->regex, err);
}

static const struct gw_stage stage = {type_names, GW_ARRAY_LEN(type_names), "pretokenizers",
                                      "pre-tokenizers"};

/* gw_stage_take */
static enum gwen_status add(void *owner, size_t type, struct gw_json_node config,
                            struct gwen_err *err) {
    struct gw_pretokenizer *p = owner;
    struct pretokenizer_step *step = &p->steps[p->n++];
    step->kind = (enum kind)type;
    step->behavior = REMOVED;
    switch (step->kind) {
    case SPLIT: return load_split(step, config, err);
    case BYTE_LEVEL: return load_byte_level(step, config, err);
    case METASPACE: return load_metaspace(step, config, err);
    case WHITESPACE:
        step->invert = true;
        return gw_regex_compile_rust_word(true, &step->regex, err);
    case DIGITS: {
        bool individual = false;
        GW_TRY(gw_json_get_bool(config, "individual_digits", GW_JSON_REQUIRED, &individual, err));
        step->behavior = individual ? ISOLATED : CONTIGUOUS;
        return GWEN_OK;
    }
    case WHITESPACE_SPLIT:
    case SEQUENCE: break;
    }
    return GWEN_OK;
}

enum gwen_status gw_pretokenizer_load(struct gw_json_node config, struct gw_pretokenizer **out,
                                      struct gwen_err *err) {
    struct gw_pretokenizer *p = calloc(1, sizeof *p);
    if (p == NULL) return gw_nomem(err, sizeof *p, "a pre-tokenizer");
    enum gwen_status status = gw_stage_load(&stage, config, add, p, &p->n, err);
    if (status == GWEN_OK)
        *out = p;
    else
        gw_pretokenizer_free(p);
    return status;
}

enum gwen_status gw_pretokenizer_byte_level(const char *pattern, bool add_prefix_space,
                                            struct gw_pretokenizer **out, struct gwen_err *err) {
    struct gw_pretokenizer *p = calloc(1, sizeof *p);
    if (p == NULL) return gw_nomem(err, sizeof *p, "a pre-tokenizer");
    enum gwen_status status = GWEN_OK;
    if (pattern != NULL) {
        p->steps[p->n++] = (struct pretokenizer_step){.kind = SPLIT, .behavior = ISOLATED};
        status =
            gw_regex_compile(pattern, strlen(pattern), "pre-tokenizer", &p->steps[0].regex, err);
    }
    struct pretokenizer_step *last = &p->steps[p->n++];
    *last = (struct pretokenizer_step){
        .kind = BYTE_LEVEL, .behavior = ISOLATED, .add_prefix_space = add_prefix_space};
    if (status == GWEN_OK && pattern == NULL)
        status =
            gw_regex_compile(gpt2_pattern, strlen(gpt2_pattern), "ByteLevel", &last->regex, err);
    if (status == GWEN_OK)
        *out = p;
    else
        gw_pretokenizer_free(p);
    return status;
}

void gw_pretokenizer_free(struct gw_pretokenizer *p) {
    if (p == NULL) return;
    for (size_t i = 0; i < p->n; i++) gw_regex_free(p->steps[i].regex);
    free(p);
}

/* --- marking parts -------------------------------------------------------------------------- */

static enum gwen_status mark_by_regex(const struct gw_regex *re, const char *text, size_t len,
                                      struct gw_tok_work *w) {
    struct gw_regex_iter it;
    size_t last = 0;
    gw_regex_begin(&it, re, text, len);
    for (;;) {
        bool found;
        GW_TRY(gw_regex_next(&it, w->regex, &found, w->err));
        size_t stop = found ? it.start : len;
        if (last != stop) GW_TRY(gw_parts_put(w, (uint32_t)last, (uint32_t)stop, false));
        if (!found) return GWEN_OK;
        GW_TRY(gw_parts_put(w, (uint32_t)it.start, (uint32_t)it.end, true));
        last = it.end;
    }
}

static enum gwen_status mark_by_char(bool (*matches)(uint32_t), const char *text, size_t len,
                                     struct gw_tok_work *w) {
    size_t last = 0;
    for (size_t i = 0; i < len;) {
        uint32_t c;
        bool valid;
        size_t n = gw_utf8_next(text + i, len - i, &c, &valid);
        if (matches(c)) {
            if (last < i) GW_TRY(gw_parts_put(w, (uint32_t)last, (uint32_t)i, false));
            GW_TRY(gw_parts_put(w, (uint32_t)i, (uint32_t)(i + n), true));
            last = i + n;
        }
        i += n;
    }
    return last < len ? gw_parts_put(w, (uint32_t)last, (uint32_t)len, false) : GWEN_OK;
}

/* --- behaviours ----------------------------------------------------------------------------- */

/* Joins each match to the part before it (unless that is a match too, when it stands alone). */
static void merge_with_previous(struct gw_parts *s) {
    size_t n = 0;
    bool previous = false;
    for (size_t i = 0; i < s->n; i++) {
        struct gw_part part = s->v[i];
        if (part.match && !previous && n > 0)
            s->v[n - 1].end = part.end;
        else
            s->v[n++] = part;
        previous = part.match;
    }
    s->n = n;
}

/* The mirror image: works from the right end, then closes the gap. */
static void merge_with_next(struct gw_parts *s) {
    size_t at = s->n;
    bool previous = false;
    for (size_t i = s->n; i-- > 0;) {
        struct gw_part part = s->v[i];
        if (part.match && !previous && at < s->n)
            s->v[at].start = part.start;
        else
            s->v[--at] = part;
        previous = part.match;
    }
    memmove(s->v, s->v + at, (s->n - at) * sizeof *s->v);
    s->n -= at;
}

/* Joins neighbours of the same kind. */
static void merge_contiguous(struct gw_parts *s) {
    size_t n = 0;
    bool previous = false;
    for (size_t i = 0; i < s->n; i++) {
        struct gw_part part = s->v[i];
        if (part.match == previous && n > 0)
            s->v[n - 1].end = part.end;
        else
            s->v[n++] = part;
        previous = part.match;
    }
    s->n = n;
}

/* Turns the marked parts of piece p into pieces of w->next. */
static enum gwen_status put_parts(const struct pretokenizer_step *step, struct gw_piece p,
                                  struct gw_tok_work *w) {
    struct gw_parts *s = &w->parts;
    if (step->invert)
        for (size_t i = 0; i < s->n; i++) s->v[i].match = !s->v[i].match;
    if (step->behavior == MERGED_WITH_PREVIOUS) merge_with_previous(s);
    if (step->behavior == MERGED_WITH_NEXT) merge_with_next(s);
    if (step->behavior == CONTIGUOUS) merge_contiguous(s);
    for (size_t i = 0; i < s->n; i++) {
        struct gw_part part = s->v[i];
        if (step->behavior == REMOVED && part.match) continue;
        uint32_t origin = p.origin > part.start ? p.origin - part.start : 0;
        struct gw_piece piece = {.start = p.start + part.start,
                                 .end = p.start + part.end,
                                 .origin = GW_MIN(origin, part.end - part.start),
                                 .id = -1};
        GW_TRY(gw_pieces_put(w, &w->next, piece));
    }
    return GWEN_OK;
}

/* --- steps ---------------------------------------------------------------------------------- */

/* Marks and cuts one piece of `text`. */
static enum gwen_status cut(const struct pretokenizer_step *step, const char *text,
                            struct gw_piece p, struct gw_tok_work *w) {
    const char *s = text + p.start;
    size_t len = p.end - p.start;
    w->parts.n = 0;
    if (step->regex != NULL)
        GW_TRY(mark_by_regex(step->regex, s, len, w));
    else if (step->kind == DIGITS)
        GW_TRY(mark_by_char(gw_uni_is_numeric, s, len, w));
    else if (step->kind == WHITESPACE_SPLIT)
        GW_TRY(mark_by_char(gw_uni_is_space, s, len, w));
    else
        GW_TRY(gw_parts_put(w, 0, (uint32_t)len, false));
    return put_parts(step, p, w);
}

/* Steps that leave the letters alone: Split, Digits, Whitespace, WhitespaceSplit. */
static enum gwen_status run_split(const struct pretokenizer_step *step, struct gw_tok_work *w) {
    for (size_t i = 0; i < w->now.n; i++) {
        struct gw_piece p = w->now.v[i];
        if (p.id >= 0)
            GW_TRY(gw_pieces_put(w, &w->next, p));
        else
            GW_TRY(cut(step, w->now.text.data, p, w));
    }
    gw_pieces_swap(w, true);
    return GWEN_OK;
}

/* Appends piece p with every space replaced; p becomes the new piece. */
static void put_metaspace(const struct pretokenizer_step *step, const char *text,
                          struct gw_piece *p, struct gw_str *out) {
    size_t start = out->len, origin = 0, len = p->end - p->start;
    const char *s = text + p->start;
    /* what the text starts with once its spaces are replaced */
    bool marked =
        len > 0 && (s[0] == ' ' || (len >= step->replacement_len &&
                                    memcmp(s, step->replacement, step->replacement_len) == 0));
    bool prepend =
        !marked && (step->prepend == ALWAYS || (step->prepend == FIRST && p->origin > 0));
    if (prepend) gw_str_put(out, step->replacement, step->replacement_len);
    for (size_t i = 0; i < len;) {
        const char *space = memchr(s + i, ' ', len - i);
        size_t stop = space != NULL ? (size_t)(space - s) : len;
        gw_str_put(out, s + i, stop - i);
        if (i < p->origin) origin = out->len - start - (stop - GW_MIN(stop, (size_t)p->origin));
        if (space != NULL) gw_str_put(out, step->replacement, step->replacement_len);
        i = stop + (space != NULL);
        if (space != NULL && i <= p->origin) origin = out->len - start;
    }
    p->start = (uint32_t)start;
    p->end = (uint32_t)out->len;
    p->origin = (uint32_t)origin;
}

static enum gwen_status run_metaspace(const struct pretokenizer_step *step, struct gw_tok_work *w) {
    struct gw_str text = {0}; /* what the new pieces are spans of */
    enum gwen_status status = GWEN_OK;
    for (size_t i = 0; i < w->now.n && status == GWEN_OK; i++) {
        struct gw_piece p = w->now.v[i];
        if (p.id < 0) {
            put_metaspace(step, w->now.text.data, &p, &text);
            status = gw_pieces_check(w, &text);
        }
        if (status != GWEN_OK) break;
        if (p.id < 0 && step->split)
            status = cut(step, text.data, p, w);
        else
            status = gw_pieces_put(w, &w->next, p);
    }
    gw_str_free(&w->next.text);
    w->next.text = text;
    gw_pieces_swap(w, false);
    return status;
}

/* Puts a space before pieces that do not begin with one. */
static enum gwen_status add_prefix_spaces(struct gw_tok_work *w) {
    for (size_t i = 0; i < w->now.n; i++) {
        struct gw_piece p = w->now.v[i];
        if (p.id < 0) {
            const char *s = w->now.text.data + p.start;
            size_t start = w->next.text.len, len = p.end - p.start;
            bool add_space = s[0] != ' ';
            if (add_space) gw_str_putc(&w->next.text, ' ');
            gw_str_put(&w->next.text, s, len);
            if (add_space && p.origin > 0) p.origin++;
            p.start = (uint32_t)start;
            p.end = (uint32_t)w->next.text.len;
            GW_TRY(gw_pieces_check(w, &w->next.text));
        }
        GW_TRY(gw_pieces_put(w, &w->next, p));
    }
    gw_pieces_swap(w, false);
    return GWEN_OK;
}

/* Every byte becomes its letter. */
static enum gwen_status put_letters(struct gw_tok_work *w) {
    const char *text = w->now.text.data;
    for (size_t i = 0; i < w->now.n; i++) {
        struct gw_piece *p = &w->now.v[i];
        if (p->id >= 0) continue;
        size_t start = w->next.text.len;
        gw_put_byte_letters(&w->next.text, text + p->start, p->origin);
        size_t origin = w->next.text.len - start;
        gw_put_byte_letters(&w->next.text, text + p->start + p->origin,
                            p->end - p->start - p->origin);
        p->start = (uint32_t)start;
        p->end = (uint32_t)w->next.text.len;
        p->origin = (uint32_t)origin;
        GW_TRY(gw_pieces_check(w, &w->next.text));
    }
    struct gw_str old = w->now.text;
    w->now.text = w->next.text;
    w->next.text = old;
    w->next.text.len = 0;
    return GWEN_OK;
}

static enum gwen_status run_byte_level(const struct pretokenizer_step *step,
                                       struct gw_tok_work *w) {
    if (step->add_prefix_space) GW_TRY(add_prefix_spaces(w));
    if (step->regex != NULL) GW_TRY(run_split(step, w));
    return put_letters(w);
}

enum gwen_status gw_pretokenize(const struct gw_pretokenizer *p, struct gw_tok_work *w) {
    for (size_t i = 0; p != NULL && i < p->n && w->now.n > 0; i++) {
        const struct pretokenizer_step *step = &p->steps[i];
        if (step->kind == BYTE_LEVEL)
            GW_TRY(run_byte_level(step, w));
        else if (step->kind == METASPACE)
            GW_TRY(run_metaspace(step, w));
        else
            GW_TRY(run_split(step, w));
    }
    return GWEN_OK;
}

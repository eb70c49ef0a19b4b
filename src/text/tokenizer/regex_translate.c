/* regex_translate.c - from Oniguruma's dialect to PCRE2's.
 *
 * One pass from left to right; groups are kept on a small stack.  Beyond single characters (see
 * regex_class.h) the dialects differ in these: (?m) makes the dot match newlines;
 * an isolated (?i) spans the alternatives up to the end of its group; {,n} counts from 0; ^ and $
 * match at every line (PCRE2_MULTILINE).  Ignoring case, Oniguruma folds "ss" with U+00DF and the
 * like: such literals are refused, plain ASCII ones mean the same to both. */
#include "text/tokenizer/regex.h"
#include "text/tokenizer/regex_class.h"
#include "text/tokenizer/unicode.h"

#include <string.h>

enum { GW_REGEX_MAX_GROUPS = 100 };

/* What is known of the group we are in. */
struct scope {
    unsigned extra;  /* parentheses that isolated options have opened */
    bool empty;      /* this alternative can match nothing so far */
    bool some_empty; /* an alternative before it can */
};

struct translation {
    struct gw_regex_src src;
    struct gw_str *out;
    struct group {
        bool ignore_case; /* outside the group */
        bool look;        /* it is a lookaround, which takes no text */
        size_t start;     /* where it begins in `out` */
        struct scope outer;
    } groups[GW_REGEX_MAX_GROUPS];
    unsigned depth;
    struct scope now;
    bool atom;         /* a quantifier may follow */
    bool atom_empty;   /* what it would repeat can match nothing */
    bool empty_before; /* now.empty as it was before that atom */
    size_t atom_start; /* where it begins in `out` */
    uint32_t literal;  /* the literal just written, for folds of two letters; 0 if none */
    bool *atomic;      /* set when there is an atomic group */
};

static bool at(const struct translation *t, const char *what) {
    size_t n = strlen(what);
    return t->src.len - t->src.pos >= n && memcmp(t->src.text + t->src.pos, what, n) == 0;
}

/* What was written from `start` on is something that a quantifier may follow. */
static void after_atom(struct translation *t, size_t start, bool can_be_empty) {
    t->atom = true;
    t->atom_start = start;
    t->atom_empty = can_be_empty;
    t->empty_before = t->now.empty;
    t->now.empty = t->now.empty && can_be_empty;
    t->literal = 0;
}

/* --- literals ------------------------------------------------------------------------------- */

static enum gwen_status literal(struct translation *t, size_t from, uint32_t c) {
    static const char *const folds[] = {"ss", "st", "ff", "fi", "fl"};
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    bool folds_beyond = c >= 0x80 && (gw_uni_is_cased(c) || (c >= 0x2B0 && c < 0x370));
    if (t->src.ignore_case && folds_beyond)
        return gw_regex_refuse(&t->src, from, "U+%04X ignoring case is not supported", (unsigned)c);
    if (t->src.ignore_case && letter) {
        for (size_t i = 0; i < GW_ARRAY_LEN(folds); i++)
            if (t->literal == (uint32_t)folds[i][0] && (c | 0x20) == (uint32_t)folds[i][1])
                return gw_regex_refuse(&t->src, from, "\"%s\" ignoring case is not supported",
                                       folds[i]);
    }
    size_t start = t->out->len;
    if (letter || (c >= '0' && c <= '9') || c >= 0x80)
        gw_str_put_utf8(t->out, c);
    else
        gw_str_printf(t->out, "\\x%02x", (unsigned)c);
    after_atom(t, start, false);
    t->literal = letter ? c | 0x20 : 0;
    return GWEN_OK;
}

static void put(struct translation *t, const char *text, bool atom) {
    size_t start = t->out->len;
    gw_str_puts(t->out, text);
    t->atom = false;
    t->literal = 0;
    if (atom) after_atom(t, start, false);
}

/* --- escapes outside classes ---------------------------------------------------------------- */

static enum gwen_status boundary(struct translation *t, bool negated) {
    if (t->src.ignore_case)
        return gw_regex_refuse(&t->src, t->src.pos, "\\b ignoring case is not supported");
    struct gw_str w = {0};
    gw_regex_put_word(&w, false);
    if (w.data != NULL)
        gw_str_printf(t->out,
                      negated ? "(?:(?<=[%s])(?=[%s])|(?<![%s])(?![%s]))"
                              : "(?:(?<=[%s])(?![%s])|(?<![%s])(?=[%s]))",
                      w.data, w.data, w.data, w.data);
    t->out->failed |= w.failed;
    gw_str_free(&w);
    put(t, "", false);
    return GWEN_OK;
}

static enum gwen_status escape(struct translation *t) {
    size_t from = t->src.pos, start = t->out->len;
    struct gw_regex_set set = {0};
    enum gw_regex_escape kind = GW_ESCAPE_CHAR;
    uint32_t c = 0;
    enum gwen_status status = gw_regex_escape(&t->src, false, &set, &kind, &c);
    if (status == GWEN_OK && kind == GW_ESCAPE_SET) {
        gw_regex_put_set(t->out, &set, false);
        t->out->failed |= set.members.failed || set.others.failed;
        after_atom(t, start, false);
    }
    gw_regex_set_free(&set);
    GW_TRY(status);
    if (kind == GW_ESCAPE_CHAR) return literal(t, from, c);
    if (kind == GW_ESCAPE_SET) return GWEN_OK;
    t->src.pos += 2;
    switch (c) {
    case 'A': put(t, "\\A", false); return GWEN_OK;
    case 'z': put(t, "\\z", false); return GWEN_OK;
    case 'Z': put(t, "\\Z", false); return GWEN_OK;
    case 'b': return boundary(t, false);
    case 'B': return boundary(t, true);
    case 'R': put(t, "(?>\\r\\n|[\\n-\\r\\x85\\x{2028}\\x{2029}])", true); return GWEN_OK;
    default: return gw_regex_refuse(&t->src, from, "\\%c is not supported", (int)c);
    }
}

/* --- groups --------------------------------------------------------------------------------- */

static enum gwen_status open_group(struct translation *t, const char *open) {
    if (t->depth == GW_REGEX_MAX_GROUPS)
        return gw_regex_refuse(&t->src, t->src.pos, "groups nested too deep");
    bool look = open[2] == '=' || open[2] == '!' || open[2] == '<';
    t->groups[t->depth++] = (struct group){t->src.ignore_case, look, t->out->len, t->now};
    t->now = (struct scope){.empty = true};
    if (open[2] == '>') *t->atomic = true;
    put(t, open, false);
    return GWEN_OK;
}

static enum gwen_status close_group(struct translation *t) {
    if (t->depth == 0) return gw_regex_refuse(&t->src, t->src.pos, "')' without '('");
    for (; t->now.extra > 0; t->now.extra--) gw_str_putc(t->out, ')');
    gw_str_putc(t->out, ')');
    const struct group *g = &t->groups[--t->depth];
    bool empty = g->look || t->now.empty || t->now.some_empty;
    t->src.ignore_case = g->ignore_case;
    t->now = g->outer;
    t->src.pos++;
    after_atom(t, g->start, empty);
    return GWEN_OK;
}

/* "(?imx-imx)" or "(?imx-imx:"; the position is behind "(?". */
static enum gwen_status options(struct translation *t, size_t from) {
    bool on = true, ignore_case = t->src.ignore_case;
    struct gw_str flags = {0};
    gw_str_puts(&flags, "(?");
    size_t i = t->src.pos;
    for (; i < t->src.len; i++) {
        char c = t->src.text[i];
        if (c == '-' && on) {
            on = false;
            gw_str_putc(&flags, '-');
        } else if (c == 'i') {
            ignore_case = on;
            gw_str_putc(&flags, 'i');
        } else if (c == 'm') {
            gw_str_putc(&flags, 's');
        } else {
            break;
        }
    }
    char end = i < t->src.len ? t->src.text[i] : 0;
    gw_str_putc(&flags, ':');
    enum gwen_status status = GWEN_OK;
    if (end == ':') {
        status = open_group(t, flags.data != NULL ? flags.data : "");
    } else if (end == ')') {
        put(t, flags.data != NULL ? flags.data : "", false);
        t->now.extra++;
    } else {
        status = gw_regex_refuse(&t->src, from, "this kind of group is not supported");
    }
    t->out->failed |= flags.failed;
    gw_str_free(&flags);
    t->src.pos = i + 1;
    t->src.ignore_case = ignore_case;
    return status;
}

/* "(?<name>" or "(?'name'"; the position is at the quote.  Names only serve references, which are
 * refused, so the group becomes a plain one. */
static enum gwen_status named_group(struct translation *t, size_t from, char close) {
    const char *end = memchr(t->src.text + t->src.pos + 1, close, t->src.len - t->src.pos - 1);
    size_t n = end != NULL ? (size_t)(end - t->src.text) - t->src.pos - 1 : 0;
    bool ok = n > 0 && n < 64;
    for (size_t i = 0; ok && i < n; i++) {
        char c = t->src.text[t->src.pos + 1 + i];
        ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
             (i > 0 && c >= '0' && c <= '9');
    }
    if (!ok) return gw_regex_refuse(&t->src, from, "malformed group name");
    t->src.pos += n + 2;
    return open_group(t, "(?:");
}

static enum gwen_status group(struct translation *t) {
    static const char *const same[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
    size_t from = t->src.pos;
    for (size_t i = 0; i < GW_ARRAY_LEN(same); i++) {
        if (!at(t, same[i])) continue;
        t->src.pos += strlen(same[i]);
        return open_group(t, same[i]);
    }
    if (at(t, "(?#")) {
        const char *end = memchr(t->src.text + from, ')', t->src.len - from);
        if (end == NULL) return gw_regex_refuse(&t->src, from, "a comment without its ')'");
        t->src.pos = (size_t)(end - t->src.text) + 1;
        return GWEN_OK;
    }
    if (at(t, "(?<") || at(t, "(?'")) {
        t->src.pos += 2;
        return named_group(t, from, t->src.text[t->src.pos] == '<' ? '>' : '\'');
    }
    if (at(t, "(?")) {
        t->src.pos += 2;
        return options(t, from);
    }
    t->src.pos++;
    return open_group(t, "(?:");
}

/* --- quantifiers ---------------------------------------------------------------------------- */

static bool digits(const struct translation *t, size_t *i, uint32_t *v) {
    size_t start = *i;
    *v = 0;
    while (*i < t->src.len && t->src.text[*i] >= '0' && t->src.text[*i] <= '9' && *i < start + 9)
        *v = *v * 10 + (uint32_t)(t->src.text[(*i)++] - '0');
    return *i > start;
}

/* Reads "{n}", "{n,}", "{,n}" or "{n,m}"; false (and nothing read) if that is none. */
static bool interval(struct translation *t, char text[32], bool *exact, bool *reversed) {
    size_t i = t->src.pos + 1;
    uint32_t lo, hi;
    bool has_lo = digits(t, &i, &lo), comma = i < t->src.len && t->src.text[i] == ',';
    if (comma) i++;
    bool has_hi = comma && digits(t, &i, &hi);
    if ((!has_lo && !has_hi) || i >= t->src.len || t->src.text[i] != '}') return false;
    struct gw_str s = {0};
    *exact = !comma;
    *reversed = has_lo && has_hi && hi < lo;
    gw_str_printf(&s, "{%u", (unsigned)lo);
    if (comma) gw_str_putc(&s, ',');
    if (has_hi) gw_str_printf(&s, "%u", (unsigned)hi);
    gw_str_putc(&s, '}');
    bool ok = !s.failed && s.len < 32;
    if (ok) memcpy(text, s.data, s.len + 1);
    gw_str_free(&s);
    if (ok) t->src.pos = i + 1;
    return ok;
}

/* Makes the atom and the quantifier written behind it a group, which is the next atom. */
static void wrap(struct translation *t, bool can_be_empty) {
    static const char open[] = "(?:";
    size_t n = sizeof open - 1, len = t->out->len - t->atom_start;
    if (gw_str_reserve(t->out, n)) {
        char *start = t->out->data + t->atom_start;
        memmove(start + n, start, len + 1);
        memcpy(start, open, n);
        t->out->len += n;
    }
    gw_str_putc(t->out, ')');
    t->now.empty = t->empty_before;
    after_atom(t, t->atom_start, can_be_empty);
}

/* Whether a quantifier stands at the position. */
static bool at_quantifier(struct translation *t) {
    char c = t->src.pos < t->src.len ? t->src.text[t->src.pos] : 0, text[32];
    bool exact, reversed;
    size_t from = t->src.pos;
    bool yes =
        c == '*' || c == '+' || c == '?' || (c == '{' && interval(t, text, &exact, &reversed));
    t->src.pos = from;
    return yes;
}

/* '*', '+', '?' or '{' at the position. */
static enum gwen_status quantifier(struct translation *t) {
    size_t from = t->src.pos;
    char text[32] = {t->src.text[from], 0};
    bool exact = false, reversed = false, braces = text[0] == '{';
    if (braces && !interval(t, text, &exact, &reversed)) {
        t->src.pos++;
        return literal(t, from, '{');
    }
    if (!braces) t->src.pos++;
    if (!t->atom) return gw_regex_refuse(&t->src, from, "nothing to repeat");
    if (reversed) return gw_regex_refuse(&t->src, from, "%s is not supported", text);
    bool optional = text[0] == '*' || text[0] == '?' || text[1] == '0';
    bool once = text[0] == '?' || strcmp(text, "{1}") == 0 || strcmp(text, "{0,1}") == 0;
    if (t->atom_empty && !once) /* the dialects leave such loops at different times */
        return gw_regex_refuse(&t->src, from, "repeating what can be empty is not supported");
    gw_str_puts(t->out, text);
    char next = t->src.pos < t->src.len ? t->src.text[t->src.pos] : 0;
    if ((next == '?' && !exact) || (next == '+' && !braces)) {
        gw_str_putc(t->out, next);
        t->src.pos++;
    } else if (braces &&
               at_quantifier(t)) { /* "{1,3}+" repeats the whole, "{2}?" makes it optional */
        wrap(t, optional || t->atom_empty);
        return GWEN_OK;
    }
    if (at_quantifier(t))
        return gw_regex_refuse(&t->src, t->src.pos, "a repeated repetition is not supported");
    if (optional) t->now.empty = t->empty_before;
    t->atom = false;
    t->literal = 0;
    return GWEN_OK;
}

/* --- the pattern ---------------------------------------------------------------------------- */

static enum gwen_status step(struct translation *t) {
    size_t from = t->src.pos, start = t->out->len;
    char c = t->src.text[from];
    switch (c) {
    case '\\': return escape(t);
    case '(': return group(t);
    case ')': return close_group(t);
    case '*':
    case '+':
    case '?':
    case '{': return quantifier(t);
    case '[':
        GW_TRY(gw_regex_class(&t->src, t->out));
        after_atom(t, start, false);
        return GWEN_OK;
    case '|':
    case '^':
    case '$':
    case '.': {
        char text[2] = {c, 0};
        put(t, text, c == '.');
        if (c == '|') {
            t->now.some_empty |= t->now.empty;
            t->now.empty = true;
        }
        t->src.pos++;
        return GWEN_OK;
    }
    default: {
        uint32_t cp;
        bool valid;
        t->src.pos += gw_utf8_next(t->src.text + from, t->src.len - from, &cp, &valid);
        return literal(t, from, cp);
    }
    }
}

enum gwen_status gw_regex_translate(const char *pattern, size_t len, const char *where,
                                    struct gw_str *out, bool *atomic, struct gwen_err *err) {
    *atomic = false;
    struct translation t = {.src = {.text = pattern, .len = len, .where = where, .err = err},
                            .out = out,
                            .now = {.empty = true},
                            .atomic = atomic};
    while (t.src.pos < len) GW_TRY(step(&t));
    if (t.depth > 0) return gw_regex_refuse(&t.src, len, "'(' without ')'");
    for (; t.now.extra > 0; t.now.extra--) gw_str_putc(out, ')');
    return out->failed ? gw_nomem(err, out->len, where) : GWEN_OK;
}

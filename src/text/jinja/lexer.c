/* lexer.c - cuts a template into tokens as jinja2's lexer does with trim_blocks and lstrip_blocks:
 * the first newline after a block or comment goes, and so does white space before one that stands
 * first on its line; "-" in a tag takes all white space beside it, "+" keeps it. */
#include "text/jinja/lexer.h"

#include "text/jinja/text.h"

#include <string.h>

struct lexer {
    struct gw_jrt *rt;
    struct gw_jnames *names;
    const char *src;
    size_t len, pos;
    size_t counted; /* bytes whose newlines are in `line` */
    uint32_t line;
    bool line_starting; /* what was consumed last ended with a newline */
    struct gw_jtoken *tokens;
    size_t n, cap;
    char *closers; /* brackets that must come, innermost last */
    size_t n_closers, cap_closers;
};

/* --- names ---------------------------------------------------------------------------------- */

const struct gw_jname *gw_j_name_find(const struct gw_jnames *names, uint64_t seed, const char *s,
                                      size_t len) {
    if (names->n_table == 0) return NULL;
    uint64_t hash = gw_j_hash_bytes(s, len, seed);
    const struct gw_jname *name = names->table[hash & (names->n_table - 1)];
    while (name != NULL && (name->hash != hash || name->len != len || memcmp(name->s, s, len) != 0))
        name = name->chain;
    return name;
}

static bool names_grow(struct gw_jrt *rt, struct gw_jnames *names) {
    size_t n = names->n_table == 0 ? 64 : names->n_table * 2;
    struct gw_jname **table = gw_j_alloc(rt, n, sizeof(struct gw_jname *));
    if (table == NULL) return false;
    for (size_t i = 0; i < names->n_table; i++) {
        for (struct gw_jname *name = names->table[i], *after; name != NULL; name = after) {
            after = name->chain;
            name->chain = table[name->hash & (n - 1)];
            table[name->hash & (n - 1)] = name;
        }
    }
    names->table = table;
    names->n_table = n;
    return true;
}

struct gw_jname *gw_j_name(struct gw_jrt *rt, struct gw_jnames *names, const char *s, size_t len) {
    const struct gw_jname *found = gw_j_name_find(names, rt->hash_seed, s, len);
    if (found != NULL) return (struct gw_jname *)(uintptr_t)found;
    if (names->n >= names->n_table && !names_grow(rt, names)) return NULL;
    struct gw_jname *name = GW_J_NEW(rt, struct gw_jname);
    if (name == NULL) return NULL;
    uint64_t hash = gw_j_hash_bytes(s, len, rt->hash_seed);
    struct gw_jname **chain = &names->table[hash & (names->n_table - 1)];
    *name = (struct gw_jname){
        .s = s, .len = (uint32_t)len, .id = names->n++, .hash = hash, .chain = *chain};
    *chain = name;
    return name;
}

/* --- tokens --------------------------------------------------------------------------------- */

static const struct {
    char text[3];
    uint8_t type;
} operators[] = {
    {"**", GW_JT_POW},     {"//", GW_JT_FLOORDIV}, {"==", GW_JT_EQ},    {"!=", GW_JT_NE},
    {">=", GW_JT_GE},      {"<=", GW_JT_LE},       {"+", GW_JT_ADD},    {"-", GW_JT_SUB},
    {"/", GW_JT_DIV},      {"*", GW_JT_MUL},       {"%", GW_JT_MOD},    {"~", GW_JT_TILDE},
    {"[", GW_JT_LBRACKET}, {"]", GW_JT_RBRACKET},  {"(", GW_JT_LPAREN}, {")", GW_JT_RPAREN},
    {"{", GW_JT_LBRACE},   {"}", GW_JT_RBRACE},    {">", GW_JT_GT},     {"<", GW_JT_LT},
    {"=", GW_JT_ASSIGN},   {".", GW_JT_DOT},       {":", GW_JT_COLON},  {"|", GW_JT_PIPE},
    {",", GW_JT_COMMA},    {";", GW_JT_SEMICOLON}};

const char *gw_j_token_text(enum gw_jtok type) {
    switch (type) {
    case GW_JT_EOF: return "end of template";
    case GW_JT_DATA: return "template data / text";
    case GW_JT_BLOCK_BEGIN: return "begin of statement block";
    case GW_JT_BLOCK_END: return "end of statement block";
    case GW_JT_VARIABLE_BEGIN: return "begin of print statement";
    case GW_JT_VARIABLE_END: return "end of print statement";
    case GW_JT_NAME: return "name";
    case GW_JT_STRING: return "string";
    case GW_JT_NUMBER: return "number";
    default: break;
    }
    for (size_t i = 0; i < GW_ARRAY_LEN(operators); i++)
        if (operators[i].type == type) return operators[i].text;
    return "token";
}

/* The line of the current position; positions only go forward. */
static void count_lines(struct lexer *lx) {
    for (; lx->counted < lx->pos; lx->counted++) lx->line += lx->src[lx->counted] == '\n';
    lx->rt->line = lx->line;
}

static struct gw_jtoken *add_token(struct lexer *lx, enum gw_jtok type) {
    if (lx->n == lx->cap) {
        size_t cap = lx->cap == 0 ? 256 : lx->cap * 2;
        struct gw_jtoken *p = gw_j_alloc(lx->rt, cap, sizeof *p);
        if (p == NULL) return NULL;
        if (lx->n > 0) memcpy(p, lx->tokens, lx->n * sizeof *p);
        lx->tokens = p;
        lx->cap = cap;
    }
    struct gw_jtoken *t = &lx->tokens[lx->n++];
    *t = (struct gw_jtoken){.type = (uint8_t)type, .line = lx->line};
    return t;
}

static bool at(const struct lexer *lx, size_t pos, const char *text) {
    size_t n = strlen(text);
    return lx->len - pos >= n && memcmp(lx->src + pos, text, n) == 0;
}

static size_t skip_space(const struct lexer *lx, size_t pos) {
    uint32_t cp;
    while (pos < lx->len) {
        size_t n = gw_j_decode(lx->src + pos, &cp);
        if (!gw_j_is_space(cp)) break;
        pos += n;
    }
    return pos;
}

/* Moves to `pos`, the end of what was recognised. */
static void advance(struct lexer *lx, size_t pos) {
    if (pos > lx->pos) lx->line_starting = lx->src[pos - 1] == '\n';
    lx->pos = pos;
    count_lines(lx);
}

/* The text src[from..to) before a tag, shortened as the tag's sign and lstrip_blocks want it. */
static bool add_data(struct lexer *lx, size_t from, size_t to, char sign, bool lstrip) {
    if (sign == '-') {
        gw_j_strip(lx->src, &from, &to, false, true);
    } else if (sign != '+' && lstrip) {
        const char *newline = to > from ? memrchr(lx->src + from, '\n', to - from) : NULL;
        size_t start = newline != NULL ? (size_t)(newline - lx->src) + 1 : from;
        size_t left = to;
        if (newline != NULL || lx->line_starting) {
            gw_j_strip(lx->src, &start, &left, false, true);
            if (left == start) to = start;
        }
    }
    if (from == to) return true;
    struct gw_jtoken *t = add_token(lx, GW_JT_DATA);
    if (t == NULL) return false;
    t->u.value = gw_jv_str(lx->src + from, to - from);
    return true;
}

/* The end of a block or comment tag at pos, which takes a newline after it along. */
static size_t end_of_block(const struct lexer *lx, size_t pos) {
    pos += 2;
    return pos < lx->len && lx->src[pos] == '\n' ? pos + 1 : pos;
}

/* Length of the white-space-controlled word tag ("{%- raw -%}", "{%+ endraw %}") at pos: the end
 * of what it takes, 0 when it is something else.  *sign gets its opening sign. */
static size_t match_word_tag(const struct lexer *lx, size_t pos, const char *word, bool trim,
                             char *sign) {
    if (!at(lx, pos, "{%")) return 0;
    pos += 2;
    *sign = pos < lx->len && (lx->src[pos] == '-' || lx->src[pos] == '+') ? lx->src[pos++] : 0;
    pos = skip_space(lx, pos);
    if (!at(lx, pos, word)) return 0;
    pos = skip_space(lx, pos + strlen(word));
    if (at(lx, pos, "-%}")) return skip_space(lx, pos + 3);
    if (trim && at(lx, pos, "+%}")) return pos + 3;
    if (!at(lx, pos, "%}")) return 0;
    return trim ? end_of_block(lx, pos) : pos + 2;
}

static bool lex_raw(struct lexer *lx, size_t begin_end) {
    advance(lx, begin_end);
    size_t from = lx->pos;
    for (size_t p = from; p < lx->len; p++) {
        char sign;
        size_t end = lx->src[p] == '{' ? match_word_tag(lx, p, "endraw", true, &sign) : 0;
        if (end == 0) continue;
        if (!add_data(lx, from, p, sign, true)) return false;
        advance(lx, end);
        return true;
    }
    if (from >= lx->len) return true; /* jinja2 misses the end only where there is text */
    return gw_j_fail(lx->rt, GWEN_ERR_FORMAT, "missing end of raw directive");
}

/* A comment, whose opening is at lx->pos. */
static bool lex_comment(struct lexer *lx) {
    size_t p = lx->pos + 2;
    if (p < lx->len && (lx->src[p] == '-' || lx->src[p] == '+')) p++;
    size_t from = p;
    const char *end = memmem(lx->src + p, lx->len - p, "#}", 2);
    if (end == NULL && p < lx->len)
        return gw_j_fail(lx->rt, GWEN_ERR_FORMAT, "missing end of comment tag");
    if (end == NULL) { /* as jinja2 has it */
        advance(lx, p);
        return true;
    }
    p = (size_t)(end - lx->src);
    char sign = p > from ? lx->src[p - 1] : 0;
    if (sign == '-')
        advance(lx, skip_space(lx, p + 2));
    else
        advance(lx, sign == '+' ? p + 2 : end_of_block(lx, p));
    return true;
}

/* --- inside tags ---------------------------------------------------------------------------- */

static bool push_closer(struct lexer *lx, char c) {
    if (lx->n_closers == lx->cap_closers) {
        size_t cap = lx->cap_closers == 0 ? 64 : lx->cap_closers * 2;
        char *p = gw_j_alloc(lx->rt, cap, 1);
        if (p == NULL) return false;
        if (lx->n_closers > 0) memcpy(p, lx->closers, lx->n_closers);
        lx->closers = p;
        lx->cap_closers = cap;
    }
    lx->closers[lx->n_closers++] = c;
    return true;
}

static bool balance(struct lexer *lx, char c) {
    switch (c) {
    case '{': return push_closer(lx, '}');
    case '(': return push_closer(lx, ')');
    case '[': return push_closer(lx, ']');
    default: break;
    }
    if (strchr("})]", c) == NULL) return true;
    if (lx->n_closers == 0) return gw_j_fail(lx->rt, GWEN_ERR_FORMAT, "unexpected '%c'", c);
    char want = lx->closers[--lx->n_closers];
    if (want == c) return true;
    return gw_j_fail(lx->rt, GWEN_ERR_FORMAT, "unexpected '%c', expected '%c'", c, want);
}

static bool lex_operator(struct lexer *lx) {
    for (size_t i = 0; i < GW_ARRAY_LEN(operators); i++) {
        if (!at(lx, lx->pos, operators[i].text)) continue;
        if (!balance(lx, operators[i].text[0])) return false;
        if (add_token(lx, (enum gw_jtok)operators[i].type) == NULL) return false;
        advance(lx, lx->pos + strlen(operators[i].text));
        return true;
    }
    uint32_t cp;
    size_t n = gw_j_decode(lx->src + lx->pos, &cp);
    return gw_j_fail(lx->rt, GWEN_ERR_FORMAT, "unexpected char '%.*s'", (int)n, lx->src + lx->pos);
}

static bool lex_name(struct lexer *lx) {
    size_t p = lx->pos;
    uint32_t cp;
    while (p < lx->len) {
        size_t n = gw_j_decode(lx->src + p, &cp);
        if (!gw_j_is_name_char(cp, false)) break;
        p += n;
    }
    struct gw_jname *name = gw_j_name(lx->rt, lx->names, lx->src + lx->pos, p - lx->pos);
    struct gw_jtoken *t = name != NULL ? add_token(lx, GW_JT_NAME) : NULL;
    if (t == NULL) return false;
    t->u.name = name;
    advance(lx, p);
    return true;
}

/* A string literal at lx->pos; an unterminated one is a stray quote. */
static bool lex_string(struct lexer *lx) {
    char quote = lx->src[lx->pos];
    size_t p = lx->pos + 1;
    while (p < lx->len && lx->src[p] != quote) p += lx->src[p] == '\\' ? 2 : 1;
    if (p >= lx->len) return lex_operator(lx);
    struct gw_jv v;
    if (!gw_j_lex_string(lx->rt, lx->src + lx->pos + 1, p - lx->pos - 1, &v)) return false;
    struct gw_jtoken *t = add_token(lx, GW_JT_STRING);
    if (t == NULL) return false;
    t->u.value = v;
    advance(lx, p + 1);
    return true;
}

static bool lex_number(struct lexer *lx) {
    struct gw_jv v;
    size_t end = gw_j_lex_number(lx->rt, lx->src, lx->pos, lx->len, &v);
    if (end == 0) return false;
    struct gw_jtoken *t = add_token(lx, GW_JT_NUMBER);
    if (t == NULL) return false;
    t->u.value = v;
    advance(lx, end);
    return true;
}

/* The end of the tag at lx->pos, 0 when it does not end here. */
static size_t match_tag_end(const struct lexer *lx, bool variable) {
    if (lx->n_closers > 0) return 0;
    if (variable) {
        if (at(lx, lx->pos, "-}}")) return skip_space(lx, lx->pos + 3);
        return at(lx, lx->pos, "}}") ? lx->pos + 2 : 0;
    }
    if (at(lx, lx->pos, "+%}")) return lx->pos + 3;
    if (at(lx, lx->pos, "-%}")) return skip_space(lx, lx->pos + 3);
    return at(lx, lx->pos, "%}") ? end_of_block(lx, lx->pos) : 0;
}

/* The inside of a {{ }} or {% %} tag, after its opening. */
static bool lex_tag(struct lexer *lx, bool variable) {
    while (lx->pos < lx->len) {
        size_t end = match_tag_end(lx, variable);
        if (end != 0) {
            if (add_token(lx, variable ? GW_JT_VARIABLE_END : GW_JT_BLOCK_END) == NULL)
                return false;
            advance(lx, end);
            return true;
        }
        size_t p = skip_space(lx, lx->pos);
        if (p > lx->pos) {
            advance(lx, p);
            continue;
        }
        uint32_t cp;
        gw_j_decode(lx->src + lx->pos, &cp);
        bool ok;
        if (cp >= '0' && cp <= '9')
            ok = lex_number(lx);
        else if (gw_j_is_name_char(cp, true))
            ok = lex_name(lx);
        else if (cp == '\'' || cp == '"')
            ok = lex_string(lx);
        else
            ok = lex_operator(lx);
        if (!ok) return false;
    }
    return true; /* the parser says what is missing */
}

/* Text up to the next tag, and that tag. */
static bool lex_root(struct lexer *lx) {
    size_t p = lx->pos;
    for (;; p++) {
        const char *brace = p < lx->len ? memchr(lx->src + p, '{', lx->len - p) : NULL;
        if (brace == NULL || (size_t)(brace - lx->src) + 1 >= lx->len) {
            size_t from = lx->pos;
            if (!add_data(lx, from, lx->len, '+', false)) return false;
            advance(lx, lx->len);
            return true;
        }
        p = (size_t)(brace - lx->src);
        if (strchr("%{#", lx->src[p + 1]) != NULL && lx->src[p + 1] != '\0') break;
    }
    char kind = lx->src[p + 1], sign = 0;
    size_t raw_end = match_word_tag(lx, p, "raw", false, &sign);
    if (raw_end == 0 && p + 2 < lx->len && (lx->src[p + 2] == '-' || lx->src[p + 2] == '+'))
        sign = lx->src[p + 2];
    if (!add_data(lx, lx->pos, p, sign, kind != '{')) return false;
    advance(lx, p);
    if (raw_end != 0) return lex_raw(lx, raw_end);
    if (kind == '#') return lex_comment(lx);
    enum gw_jtok type = kind == '{' ? GW_JT_VARIABLE_BEGIN : GW_JT_BLOCK_BEGIN;
    if (add_token(lx, type) == NULL) return false;
    advance(lx, p + 2 + (sign != 0));
    lx->n_closers = 0;
    return lex_tag(lx, kind == '{');
}

bool gw_j_lex(struct gw_jrt *rt, struct gw_jnames *names, const char *src, size_t len,
              struct gw_jtoken **tokens) {
    struct lexer lx = {.rt = rt, .names = names, .src = src, .len = len, .line = 1};
    lx.line_starting = true;
    rt->line = 1;
    while (lx.pos < len)
        if (!lex_root(&lx)) return false;
    if (add_token(&lx, GW_JT_EOF) == NULL) return false;
    *tokens = lx.tokens;
    return true;
}

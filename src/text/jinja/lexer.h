/* lexer.h - a template as tokens. */
#ifndef GW_TEXT_JINJA_LEXER_H
#define GW_TEXT_JINJA_LEXER_H

#include "text/jinja/ast.h"
#include "text/jinja/runtime.h"

enum gw_jtok {
    GW_JT_EOF,
    GW_JT_DATA, /* text between tags; value */
    GW_JT_BLOCK_BEGIN,
    GW_JT_BLOCK_END,
    GW_JT_VARIABLE_BEGIN,
    GW_JT_VARIABLE_END,
    GW_JT_NAME,
    GW_JT_STRING, /* value */
    GW_JT_NUMBER, /* value */
    GW_JT_ADD,
    GW_JT_SUB,
    GW_JT_MUL,
    GW_JT_DIV,
    GW_JT_FLOORDIV,
    GW_JT_MOD,
    GW_JT_POW,
    GW_JT_TILDE,
    GW_JT_LPAREN,
    GW_JT_RPAREN,
    GW_JT_LBRACKET,
    GW_JT_RBRACKET,
    GW_JT_LBRACE,
    GW_JT_RBRACE,
    GW_JT_EQ,
    GW_JT_NE,
    GW_JT_LT,
    GW_JT_LE,
    GW_JT_GT,
    GW_JT_GE,
    GW_JT_ASSIGN,
    GW_JT_DOT,
    GW_JT_COLON,
    GW_JT_PIPE,
    GW_JT_COMMA,
    GW_JT_SEMICOLON
};

struct gw_jtoken {
    uint8_t type;
    uint32_t line;
    union {
        struct gw_jname *name;
        struct gw_jv value;
    } u;
};

/* The names of a template, shared by lexer and parser. */
struct gw_jnames {
    struct gw_jname **table; /* chains */
    size_t n_table;
    uint32_t n;
};
/* The one object of name s[0..len); NULL after a failure. */
struct gw_jname *gw_j_name(struct gw_jrt *rt, struct gw_jnames *names, const char *s, size_t len);
/* The same without adding it; NULL when the template has no such name. */
const struct gw_jname *gw_j_name_find(const struct gw_jnames *names, uint64_t seed, const char *s,
                                      size_t len);

/* Cuts src[0..len), valid UTF-8 with "\n" line ends that outlives the tokens, into *tokens; the
 * last one is GW_JT_EOF. */
bool gw_j_lex(struct gw_jrt *rt, struct gw_jnames *names, const char *src, size_t len,
              struct gw_jtoken **tokens);
/* The value of a string literal, s[0..len) between its quotes: Python's escapes. */
bool gw_j_lex_string(struct gw_jrt *rt, const char *s, size_t len, struct gw_jv *out);
/* The number that begins with the digit at src[pos]; returns its end, 0 after a failure. */
size_t gw_j_lex_number(struct gw_jrt *rt, const char *src, size_t pos, size_t len,
                       struct gw_jv *out);
/* How messages call a kind of token. */
const char *gw_j_token_text(enum gw_jtok type);

#endif

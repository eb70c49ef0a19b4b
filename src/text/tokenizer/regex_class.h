/* regex_class.h - the parts of a pattern that stand for one character: escapes,
 * properties and bracketed classes.  Private to the translator. */
#ifndef GW_TEXT_TOKENIZER_REGEX_CLASS_H
#define GW_TEXT_TOKENIZER_REGEX_CLASS_H

#include "base/base.h"
#include "base/str.h"

/* Where the translator stands in a pattern. */
struct gw_regex_src {
    const char *text;
    size_t len, pos;
    const char *where; /* for messages */
    struct gwen_err *err;
    bool ignore_case; /* inside (?i...) */
};

/* "where: regular expression, byte N: ..." */
enum gwen_status gw_regex_refuse(const struct gw_regex_src *s, size_t at, const char *fmt, ...)
    GW_PRINTF(3, 4);

/* A set of characters on its way out.  `members` go between PCRE2's brackets; what brackets can't
 * express is in `others`, alternatives that match one character each. */
struct gw_regex_set {
    struct gw_str members, others;
};
void gw_regex_set_free(struct gw_regex_set *set);
/* Appends an expression for one character inside (or, negated, outside) the set. */
void gw_regex_put_set(struct gw_str *out, const struct gw_regex_set *set, bool negated);

enum gw_regex_escape {
    GW_ESCAPE_CHAR,  /* *c is a character */
    GW_ESCAPE_SET,   /* members were added to the set */
    GW_ESCAPE_OTHER, /* *c is the letter after the backslash, not known here */
};
/* Reads an escape; the position is at the backslash and, but for GW_ESCAPE_OTHER, goes behind the
 * escape. */
enum gwen_status gw_regex_escape(struct gw_regex_src *s, bool in_class, struct gw_regex_set *set,
                                 enum gw_regex_escape *kind, uint32_t *c);

/* Translates the bracketed class at the position. */
enum gwen_status gw_regex_class(struct gw_regex_src *s, struct gw_str *out);

/* The members of \w, in a class or by itself (and in \b). */
void gw_regex_put_word(struct gw_str *members, bool in_class);

#endif

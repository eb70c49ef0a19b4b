/* regex.h - the regular expressions of tokenizer.json.
 *
 * The tokenizers library runs them with Oniguruma (Ruby's dialect); here they are translated to
 * PCRE2.  A construct that the two read differently is rewritten, one that can't be is refused by
 * name, so that a pattern either means the same or does not load. */
#ifndef GW_TEXT_TOKENIZER_REGEX_H
#define GW_TEXT_TOKENIZER_REGEX_H

#include "base/base.h"
#include "base/str.h"

struct gw_regex; /* never changed after compiling: any number of threads may match with it */

/* Compiles an Oniguruma pattern, valid UTF-8.  Errors begin with `where`. */
enum gwen_status gw_regex_compile(const char *pattern, size_t len, const char *where,
                                  struct gw_regex **out, struct gwen_err *err);
/* A pattern that matches the very bytes. */
enum gwen_status gw_regex_compile_literal(const char *text, size_t len, const char *where,
                                          struct gw_regex **out, struct gwen_err *err);
/* One code point that Rust's \w matches. */
enum gwen_status gw_regex_compile_rust_word(bool runs, struct gw_regex **out, struct gwen_err *err);
void gw_regex_free(struct gw_regex *re); /* NULL is fine */
/* Whether it may match the empty string. */
bool gw_regex_matches_empty(const struct gw_regex *re);

/* Appends the PCRE2 pattern that means what the Oniguruma pattern does; *atomic says whether it
 * has an atomic group. */
enum gwen_status gw_regex_translate(const char *pattern, size_t len, const char *where,
                                    struct gw_str *out, bool *atomic, struct gwen_err *err);

/* What matching needs besides the pattern; one per thread, for any number of patterns. */
struct gw_regex_run;
enum gwen_status gw_regex_run_new(struct gw_regex_run **out, struct gwen_err *err);
void gw_regex_run_free(struct gw_regex_run *run); /* NULL is fine */

/* The matches in text[0..len), valid UTF-8, from left to right, as the library's find_iter. */
struct gw_regex_iter {
    const struct gw_regex *re;
    const char *text;
    size_t len;
    size_t from;       /* where the next search begins */
    size_t match_end;  /* end of the last match, SIZE_MAX if none */
    size_t start, end; /* the match */
    uint64_t steps;    /* that all further matches may take together */
};
void gw_regex_begin(struct gw_regex_iter *it, const struct gw_regex *re, const char *text,
                    size_t len);
/* The next match; *found is false when there is none.  A pattern that needs too many steps, all
 * matches in this text together, or too much memory is an error. */
enum gwen_status gw_regex_next(struct gw_regex_iter *it, struct gw_regex_run *run, bool *found,
                               struct gwen_err *err);
/* Whether the pattern matches somewhere. */
enum gwen_status gw_regex_test(const struct gw_regex *re, struct gw_regex_run *run,
                               const char *text, size_t len, bool *found, struct gwen_err *err);

#endif

/* matcher.h - finds many fixed strings in one pass (Aho-Corasick), leftmost and among
 * those the longest, without overlaps. */
#ifndef GW_TEXT_TOKENIZER_MATCHER_H
#define GW_TEXT_TOKENIZER_MATCHER_H

#include "base/base.h"

struct gw_matcher;

enum gwen_status gw_matcher_new(struct gw_matcher **out, struct gwen_err *err);
/* Adds a string with its value; the first of two equal strings wins, an empty one never matches. */
enum gwen_status gw_matcher_add(struct gw_matcher *m, const char *s, size_t len, uint32_t value,
                                struct gwen_err *err);
/* Completes the automaton; once, after the last string. */
enum gwen_status gw_matcher_finish(struct gw_matcher *m, struct gwen_err *err);
void gw_matcher_free(struct gw_matcher *m); /* NULL is fine */

/* The first match in text[from..len): its span and value; false if there is none. */
bool gw_matcher_find(const struct gw_matcher *m, const char *text, size_t len, size_t from,
                     size_t *start, size_t *end, uint32_t *value);

#endif

/* stop.h - stop strings, and the text of a sample as it grows.
 *
 * A sample ends with the first token after which the text decoded so far (special tokens left
 * out) holds a stop string.  That text is not searched again with every token: a decode stream
 * gives what no later token can change, over which each stop string's automaton (Knuth, Morris,
 * Pratt 1977) moves once; only the few bytes that are still open are looked at provisionally.  A
 * string that spans tokens, or ends inside one, is found as well as any other. */
#ifndef GW_SERVICE_ROLLOUT_STOP_H
#define GW_SERVICE_ROLLOUT_STOP_H

#include "base/str.h"
#include "text/tokenizer/tokenizer.h"

enum { GW_STOP_MAX_STRINGS = 64, GW_STOP_MAX_BYTES = 4096 };

struct gw_stop_set; /* compiled; shared by all samples, never changed */

/* Compiles n strings of UTF-8 (n may be 0), which are copied.  Empty ones, longer ones than
 * GW_STOP_MAX_BYTES and more than GW_STOP_MAX_STRINGS are GWEN_ERR_ARGUMENT. */
enum gwen_status gw_stop_set_new(const char *const *strings, size_t n, struct gw_stop_set **out,
                                 struct gwen_err *err);
void gw_stop_set_free(struct gw_stop_set *set); /* NULL is fine */

struct gw_stop_text; /* the text of one sample */

/* The tokenizer and the set must outlive *out. */
enum gwen_status gw_stop_text_new(const struct gw_tokenizer *tokenizer,
                                  const struct gw_stop_set *set, struct gw_stop_text **out,
                                  struct gwen_err *err);
void gw_stop_text_free(struct gw_stop_text *t); /* NULL is fine */

/* Takes the sample's next token.  *stop becomes true when a stop string is complete. */
enum gwen_status gw_stop_text_push(struct gw_stop_text *t, int32_t id, bool *stop,
                                   struct gwen_err *err);
/* Bytes of the sample's text (its decoding without special tokens) that stand before the stop
 * string; SIZE_MAX when there was none.  Of several that one token completed, the one that
 * begins first counts. */
size_t gw_stop_text_cut(const struct gw_stop_text *t);
/* Moves to *out what has been decoded, belongs to the text whatever comes, and has not been taken
 * yet: all but a possible beginning of a stop string. */
void gw_stop_text_take(struct gw_stop_text *t, struct gw_str *out);
/* The sample is over: appends the rest of its text, without the stop string, to *out (which may
 * be NULL) and makes *t ready for another sample. */
enum gwen_status gw_stop_text_finish(struct gw_stop_text *t, struct gw_str *out,
                                     struct gwen_err *err);

#endif

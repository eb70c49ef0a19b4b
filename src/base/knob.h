/* knob.h - what a message advises to turn, as values.
 *
 * The library does not know how the program that called it spells its options.  A message names a
 * knob through gw_knob:
 *
 *     gw_fail(err, GWEN_ERR_ARGUMENT, "%zu tokens exceed the context of %zu: lower %s", n, context,
 *             gw_knob(GW_KNOB_MAX_TOKENS));
 *
 * gw_knob puts the name between two marks, which gw_fail and gw_log take out again: a caller reads
 * "lower max_tokens", and the error says which knob stands where (gwen_err.knobs), so that the
 * command line can write "lower --max-tokens".  A message that travels inside another one keeps the
 * name and loses the number. */
#ifndef GW_KNOB_H
#define GW_KNOB_H

#include "base/base.h"

enum gw_knob {
#define GW_KNOB(id, number, name) GW_KNOB_##id = (number),
#include "base/knobs.def"
#undef GW_KNOB
};

/* The knob's name between marks, for messages; a static string. */
const char *gw_knob(enum gw_knob knob);
/* The name of the knob with this number; NULL where there is none. */
const char *gw_knob_name(unsigned knob);

/* Takes the marks out of a line.  Where knobs stood is written to list, [most] entries, those
 * behind the last one zero; knobs beyond `most` stay as names. */
void gw_knobs_take(char *line, struct gwen_err_knob *list, size_t most);

/* How a knob is to be written; NULL: by its name.  The string need live until the next call. */
typedef const char *(*gw_knob_spelling)(void *ctx, unsigned knob);
/* Writes text to out (size bytes with the NUL; cut when it is longer), each knob of list, [n]
 * entries of gw_knobs_take, as `spelling` says. */
void gw_knobs_spell(const char *text, const struct gwen_err_knob *list, size_t n,
                    gw_knob_spelling spelling, void *ctx, char *out, size_t size);

#endif

/* turns.h - which bytes of a rendered conversation an assistant says.
 *
 * Where the template marks them with {% generation %}, they are what it marks.  Elsewhere a turn
 * goes from the end of its header, which is what the generation prompt writes, up to where the
 * template is done with it; data.c, which knows the tokens, finds the one that closes it there. All
 * places are found in the rendering of the whole conversation: by renderings of its first messages
 * where they are a beginning of the whole, else by renderings in which a message is marked with
 * text that stands nowhere else.  Where the places are not clear, it is an error: the words of
 * others are never taken for the assistant's. */
#ifndef GW_SERVICE_TRAIN_SFT_TURNS_H
#define GW_SERVICE_TRAIN_SFT_TURNS_H

#include "service/rollout/prompts.h"

/* Places in the text, in bytes: start <= said <= end.  Where the tokens straddle one is for the
 * caller to see to. */
struct gw_turn {
    size_t message;
    size_t start; /* behind the header */
    size_t words; /* where the turn's own words begin, at the latest; SIZE_MAX: not known */
    size_t said;  /* behind the turn's own words; a closing token is looked for from here on */
    size_t end;   /* behind what the template writes for this turn */
    /* Tools are called behind the words: the last closing token counts, not the first. */
    bool calls;
    /* No header was seen that ends at `start`: if a special token stands from there to `words`,
     * what is there is a header. */
    bool unsure;
    /* `start` is where the turn parts from a longer prompt: a token that straddles it is the
     * turn's, and begins behind `floor`, where the header does. */
    bool partial;
    size_t floor;
    bool tagged; /* said == end, both given by the template's tags; nothing is looked for */
};

struct gw_turns {
    struct gw_str text;   /* the whole conversation without a generation prompt */
    struct gw_turn *list; /* in order, disjoint */
    size_t n;
};

/* The turns of `messages` from number `first` on.  `row` as in gw_prompt_encode_chat().  An error
 * names the message. */
enum gwen_status gw_turns_find(const struct gw_prompt_opts *opts, const json_t *messages,
                               const json_t *row, size_t first, struct gw_turns *turns,
                               struct gwen_err *err);
void gw_turns_free(struct gw_turns *turns); /* a zeroed one is fine */

#endif

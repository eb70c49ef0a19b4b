/* data.h - rows to learn from: JSONL as token ids with a mask of those that count.
 *
 * A row is an object with
 *     "ids" and "mask"           as they are; mask 1 (or true): the token counts.  No mask: all do
 *     "prompt" and "completion"  two texts, encoded as one (gw_tokenizer_encode_pair), then end of
 *                                sequence; the completion counts.  With as_chat, or where one is a
 *                                list of messages, they are a conversation: the assistant's turns
 *                                of the completion count
 *     "messages"                 a conversation: all turns of the assistant count
 *     "text"                     a text, then end of sequence; all of it counts
 * A template's {% generation %} tags say what of a conversation counts, as with TRL's
 * assistant_only_loss.  Without them a turn of the assistant goes from behind its header, which is
 * what the generation prompt writes (turns.h), through the token that closes it: the first special
 * token or end of sequence that the template writes behind its words.  Where it writes none, but
 * the marker of the next turn is an end of sequence of the model, that one token counts.  What
 * follows does not, and a row in which this place is not clear is refused.  End of sequence is not
 * added where it is there already.  The first token of a row never counts: nothing predicts it.
 *
 * Rows longer than max_length lose their end, as TRL's "keep_start"; those of which no token counts
 * then are left out.
 *
 * A bin is what a step counts.  It holds one row; with packing as many as TRL's "bfd" puts into
 * max_length tokens.  Each row stays a sequence of its own whatever bin it is in: packing says how
 * many of them make a step, no more. */
#ifndef GW_SERVICE_TRAIN_SFT_DATA_H
#define GW_SERVICE_TRAIN_SFT_DATA_H

#include "base/arena.h"
#include "checkpoint/config/config.h"
#include "service/rollout/prompts.h"

enum { GW_SFT_MAX_MESSAGES = 1024 };

struct gw_sft_row {
    const int32_t *ids;
    const uint8_t *mask; /* [n] 0 or 1 */
    size_t n;            /* >= 2 */
    size_t n_loss;       /* ones of the mask, >= 1 */
    uint64_t line;       /* of the file */
};

struct gw_sft_opts {
    /* Tokenizer, template, system, chat_args, as_chat and vocab_size are used. */
    const struct gw_prompt_opts *prompt;
    struct gw_eos eos; /* ids that end a sequence for the model */
    int32_t own_eos;   /* the tokenizer's eos_token: what is added; -1: the first of eos, if any */
    size_t max_length; /* of a row in tokens, at most the model's context */
    bool packing;      /* bins of max_length tokens */
};

struct gw_sft_data {
    struct gw_sft_row *rows; /* bin after bin */
    size_t n, cap;
    size_t *bins; /* [n_bins + 1] the first row of each, then n */
    size_t n_bins;
    size_t longest_bin, most_rows; /* tokens of the fullest bin; rows of the one that has most */
    struct gw_arena arena;
    size_t n_tokens, n_loss; /* of all rows */
    size_t longest;          /* tokens of the longest row */
    size_t n_cut, n_left_out;
    size_t n_straddling;     /* rows with a token of both prompt and completion, which counts */
    size_t n_turns, n_stops; /* of conversations: turns that count, those that end with an eos */
};

/* Reads a file ("-": standard input).  Errors begin with FILE:LINE. */
enum gwen_status gw_sft_read(const char *path, const struct gw_sft_opts *opts,
                             struct gw_sft_data *d, struct gwen_err *err);
void gw_sft_free(struct gw_sft_data *d); /* a zeroed one is fine */
/* The last step of gw_sft_read: puts the rows into bins of `capacity` tokens (>= longest), 0: one
 * in each. */
enum gwen_status gw_sft_pack(struct gw_sft_data *d, size_t capacity, struct gwen_err *err);
/* A hash over all rows. */
uint64_t gw_sft_hash(const struct gw_sft_data *d);

#endif

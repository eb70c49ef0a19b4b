/* tokenizer.h - text to token ids and back, as the Hugging Face `tokenizers` library does it.
 *
 * Reads tokenizer.json (BPE models) or vocab.json + merges.txt, and tokenizer_config.json beside
 * them.  Results equal the library's (0.23) to the last id and byte; what is not implemented is
 * refused by name when the files are loaded.
 *
 * A loaded tokenizer is never changed: any number of threads may use it at once.  Texts are UTF-8
 * and may hold NUL. */
#ifndef GW_TEXT_TOKENIZER_TOKENIZER_H
#define GW_TEXT_TOKENIZER_TOKENIZER_H

#include "base/base.h"
#include "base/str.h"

struct gw_tokenizer;

/* A growing array of token ids. */
struct gw_ids {
    int32_t *data;
    size_t len, cap;
};
void gw_ids_free(struct gw_ids *ids);
/* Appends n ids; false when there is no memory. */
bool gw_ids_put(struct gw_ids *ids, const int32_t *data, size_t n);

/* --- loading -------------------------------------------------------------------------------- */

/* True when the directory has a file that gw_tokenizer_load would begin with; without one a model
 * works on ids only. */
bool gw_tokenizer_exists(const char *dir);
/* Loads tokenizer.json of `model_dir`, else its vocab.json + merges.txt, and reads
 * tokenizer_config.json and chat_template.jinja when they are there.  The caller owns *out. */
enum gwen_status gw_tokenizer_load(const char *model_dir, struct gw_tokenizer **out,
                                   struct gwen_err *err);
/* Copies what there is of a tokenizer's files, and generation_config.json, to another folder. */
enum gwen_status gw_tokenizer_copy(const char *from_dir, const char *to_dir, struct gwen_err *err);
/* The bytes that this takes. */
uint64_t gw_tokenizer_copy_bytes(const char *dir);
/* The content of a tokenizer.json alone; `name` is for messages. */
enum gwen_status gw_tokenizer_load_memory(const char *json, size_t len, const char *name,
                                          struct gw_tokenizer **out, struct gwen_err *err);
void gw_tokenizer_free(struct gw_tokenizer *t); /* NULL is fine */

/* --- encoding ------------------------------------------------------------------------------- */

enum {
    GW_ENCODE_ADD_SPECIAL = 1,     /* run the post-processor: BOS and the like */
    GW_ENCODE_NO_SPECIAL_PARSE = 2 /* special tokens in the text are plain text; added tokens
                                    * that are not flagged special are still recognised */
};

/* Appends the ids of text[0..len) to *out.  A text that is not UTF-8 is an error that names the
 * byte.  Time is linear in len, apart from a logarithm for very long words. */
enum gwen_status gw_tokenizer_encode(const struct gw_tokenizer *t, const char *text, size_t len,
                                     unsigned flags, struct gw_ids *out, struct gwen_err *err);

/* Where in the text the ids of gw_tokenizer_encode(text, flags 0) come from: id i covers the bytes
 * [starts[i], starts[i + 1]), nothing for a mark that the tokenizer adds by itself.  starts[n] is
 * len.  Inside a stretch that the normalizer has rewritten places are not known: GW_NO_OFFSET.
 * GWEN_ERR_INTERNAL: the ids are not those of the text. */
#define GW_NO_OFFSET SIZE_MAX
enum gwen_status gw_tokenizer_offsets(const struct gw_tokenizer *t, const char *text, size_t len,
                                      const int32_t *ids, size_t n, size_t *starts,
                                      struct gwen_err *err);

/* Appends the ids of two texts that stand one behind the other, encoded as the one text that they
 * are, with what the post-processor puts in front.  ids from number *split of *out on are the
 * second text's; a token that has bytes of both is, and *straddles then.  GWEN_ERR_ARGUMENT: see
 * gw_tokenizer_encode(); GWEN_ERR_FORMAT: the normalizer rewrites the text where they meet, so that
 * its tokens belong to neither. */
struct gw_text_pair {
    const char *first, *second;
    size_t n_first, n_second; /* bytes */
};
enum gwen_status gw_tokenizer_encode_pair(const struct gw_tokenizer *t,
                                          const struct gw_text_pair *pair, struct gw_ids *out,
                                          size_t *split, bool *straddles, struct gwen_err *err);

/* --- decoding ------------------------------------------------------------------------------- */

/* Appends the text of ids[0..n) to *out.  Ids without a token are skipped, special tokens too if
 * `skip_special`.  Bytes that are not UTF-8 become U+FFFD. */
enum gwen_status gw_tokenizer_decode(const struct gw_tokenizer *t, const int32_t *ids, size_t n,
                                     bool skip_special, struct gw_str *out, struct gwen_err *err);
/* Appends the bytes that token `id` stands for inside a text (not at its start, where some
 * tokenizers drop a space); they may be a part of a character.  Nothing for an id without a
 * token. */
enum gwen_status gw_tokenizer_token_bytes(const struct gw_tokenizer *t, int32_t id,
                                          struct gw_str *out, struct gwen_err *err);

/* Decoding id by id.  What the pushes and the finish append, taken together, equals
 * gw_tokenizer_decode of all the ids; a push appends what no later id can change. */
struct gw_decode_stream;
enum gwen_status gw_decode_stream_new(const struct gw_tokenizer *t, bool skip_special,
                                      struct gw_decode_stream **out, struct gwen_err *err);
enum gwen_status gw_decode_stream_push(struct gw_decode_stream *s, int32_t id, struct gw_str *out,
                                       struct gwen_err *err);
/* Appends what a finish would append now, and leaves the stream as it is. */
enum gwen_status gw_decode_stream_peek(struct gw_decode_stream *s, struct gw_str *out,
                                       struct gwen_err *err);
/* Appends the rest; the stream is then as new and can be used for other ids. */
enum gwen_status gw_decode_stream_finish(struct gw_decode_stream *s, struct gw_str *out,
                                         struct gwen_err *err);
void gw_decode_stream_free(struct gw_decode_stream *s); /* NULL is fine */

/* --- the vocabulary ------------------------------------------------------------------------- */

/* One more than the largest id that has a token. */
size_t gw_tokenizer_size(const struct gw_tokenizer *t);
/* The token of an id as it is written in the files (byte-level tokens in their stand-in letters)
 * with its length, NULL if the id has none; lives as long as the tokenizer.  Not NUL-terminated. */
const char *gw_tokenizer_token(const struct gw_tokenizer *t, int32_t id, size_t *len);
/* The id of a token so written, added tokens first; -1 if there is none. */
int32_t gw_tokenizer_id_of_token(const struct gw_tokenizer *t, const char *content, size_t len);
/* Whether decoding with skip_special leaves the id out. */
bool gw_tokenizer_is_special(const struct gw_tokenizer *t, int32_t id);

enum gw_named_token { GW_TOKEN_BOS, GW_TOKEN_EOS, GW_TOKEN_PAD, GW_TOKEN_UNK, GW_N_NAMED_TOKENS };
/* What tokenizer_config.json names as bos_token and so on: its string, NULL if none, and in *id
 * (which may be NULL) its id, -1 when it is not in the vocabulary. */
const char *gw_tokenizer_named(const struct gw_tokenizer *t, enum gw_named_token which,
                               int32_t *id);
/* The source of the chat template `name` ("default" if NULL), NULL if there is none.  It comes
 * from chat_template.jinja, else from tokenizer_config.json, where it may be one of several. */
const char *gw_tokenizer_chat_template(const struct gw_tokenizer *t, const char *name);

#endif

/* impl.h - what the files of the tokenizer share.
 *
 * A tokenizer is a row of stages, each in a file of its own:
 *
 *     text -> added tokens (raw) -> normalizer -> added tokens (normalized) -> pre-tokenizer
 *          -> BPE -> post-processor -> ids -> decoder -> text
 *
 * Between the stages up to BPE a text is a list of pieces, spans of one buffer; a piece that is an
 * added token carries its id and passes the later stages untouched. */
#ifndef GW_TEXT_TOKENIZER_IMPL_H
#define GW_TEXT_TOKENIZER_IMPL_H

#include "base/json.h"
#include "text/tokenizer/regex.h"
#include "text/tokenizer/tokenizer.h"
#include "text/tokenizer/vocab.h"

enum {
    GW_TOKEN_MAX_ID = (1 << 24) - 1, /* tables are indexed by id */
    GW_TOKEN_MAX_STEPS = 32,         /* of a normalizer, pre-tokenizer or decoder, flattened */
    /* Steps that replace can multiply each other: a text may become that many times as long by all
     * of them, and short ones longer. */
    GW_TOKEN_MAX_GROWTH = 64,
    GW_TOKEN_ALWAYS_BYTES = 1 << 20
};

/* --- pieces of a text ----------------------------------------------------------------------- */

struct gw_piece {
    uint32_t start, end; /* bytes of the buffer */
    /* How many of its first bytes come from the first character of the whole text; Metaspace asks
     * for it ("first").  0 for a piece that begins later in the text. */
    uint32_t origin;
    int32_t id; /* of an added token, else -1 */
};

/* A buffer and its pieces, in order. */
struct gw_pieces {
    struct gw_str text;
    struct gw_piece *v;
    size_t n, cap;
};

/* A part of a piece as a pattern sees it; offsets within the piece. */
struct gw_part {
    uint32_t start, end;
    bool match;
};
struct gw_parts {
    struct gw_part *v;
    size_t n, cap;
};

/* What encoding one text needs; made and freed by each call. */
struct gw_tok_work {
    struct gw_pieces now, next;
    struct gw_parts parts;
    struct gw_str scratch[2];
    struct gw_regex_run *regex;
    struct gw_bpe_work *bpe;
    size_t most_bytes; /* that the text being normalized may become */
    struct gwen_err *err;
};

/* Appends a piece; empty ones are dropped, as the library does. */
enum gwen_status gw_pieces_put(struct gw_tok_work *w, struct gw_pieces *p, struct gw_piece piece);
enum gwen_status gw_parts_put(struct gw_tok_work *w, uint32_t start, uint32_t end, bool match);
/* Begins an empty list in w->next; its text keeps what it holds if `keep_text`. */
void gw_pieces_swap(struct gw_tok_work *w, bool keep_text);
/* Fails if the buffer has outgrown 32-bit offsets or memory. */
enum gwen_status gw_pieces_check(struct gw_tok_work *w, const struct gw_str *text);

/* {"String": ...} or {"Regex": ...} in member `key` of a configuration. */
enum gwen_status gw_pattern_load(struct gw_json_node config, const char *key, struct gw_regex **out,
                                 struct gwen_err *err);
/* Member `key`, a text: a copy of its own. */
enum gwen_status gw_text_load(struct gw_json_node config, const char *key, char **out, size_t *len,
                              struct gwen_err *err);
/* Member `key`, one character. */
enum gwen_status gw_char_load(struct gw_json_node config, const char *key, uint32_t *out,
                              struct gwen_err *err);
/* A stage as a row of steps: the names of its types, of which the last one is a sequence of others,
 * its member; and what an error calls many steps. */
struct gw_stage {
    const char *const *types;
    size_t n_types;
    const char *list, *what;
};
/* Hands `take` (which counts them in *n) each step of a configuration with its index in
 * stage->types, those of sequences one by one; more than GW_TOKEN_MAX_STEPS are refused. */
typedef enum gwen_status gw_stage_take(void *owner, size_t type, struct gw_json_node config,
                                       struct gwen_err *err);
enum gwen_status gw_stage_load(const struct gw_stage *stage, struct gw_json_node config,
                               gw_stage_take *take, void *owner, const size_t *n,
                               struct gwen_err *err);
/* Finds the member "type" among n names; *which is its index.  Others are refused by name. */
enum gwen_status gw_type_load(struct gw_json_node config, const char *const *names, size_t n,
                              size_t *which, struct gwen_err *err);

/* --- byte-level letters --------------------------------------------------------------------- */

/* The code point that stands for each byte, and back (-1 for other code points). */
uint32_t gw_byte_to_letter(uint8_t byte);
int gw_letter_to_byte(uint32_t c);
/* Appends text[0..len) with a letter for each byte. */
void gw_put_byte_letters(struct gw_str *out, const char *text, size_t len);

/* --- normalizer ----------------------------------------------------------------------------- */

struct gw_normalizer; /* NULL: none */
enum gwen_status gw_normalizer_load(struct gw_json_node config, struct gw_normalizer **out,
                                    struct gwen_err *err);
/* Made of nothing but NFC. */
enum gwen_status gw_normalizer_nfc(struct gw_normalizer **out, struct gwen_err *err);
void gw_normalizer_free(struct gw_normalizer *n);
/* Normalizes text[0..len) into *out (cleared first); *origin as in struct gw_piece. */
enum gwen_status gw_normalize(const struct gw_normalizer *n, struct gw_tok_work *w,
                              const char *text, size_t len, uint32_t *origin, struct gw_str *out);

/* --- added tokens --------------------------------------------------------------------------- */

struct gw_added_token {
    uint32_t id;
    uint32_t content; /* entry of gw_added.names */
    /* The token's normalized form in gw_added.normalized, if that differs: what the normalized
     * text shows and what decoding starts from. */
    bool has_form;
    uint32_t form_start, form_len;
    bool single_word, lstrip, rstrip, normalized;
};
struct gw_matcher; /* Aho-Corasick */
struct gw_added {
    struct gw_string_map names; /* content to id */
    bool *special;              /* by entry of names: flagged special once */
    size_t special_cap;
    struct gw_str normalized;
    struct gw_added_token *tokens; /* one for each id */
    size_t n, cap;
    uint32_t *of_id; /* index of tokens, GW_NO_ID; n_ids entries */
    size_t n_ids;
    struct gw_matcher *raw, *after; /* on the raw and the normalized text; NULL: no such tokens */
    struct gw_regex *word;          /* one \w; NULL when no token is single_word */
};
/* Adds one token as the library's add_tokens does: `id` is used if the content is new. */
struct gw_added_spec {
    const char *content;
    size_t len;
    bool single_word, lstrip, rstrip, normalized, special;
};
enum gwen_status gw_added_put(struct gw_added *a, const struct gw_added_spec *spec, uint32_t id,
                              const struct gw_normalizer *n, const char *where,
                              struct gwen_err *err);
/* Builds the matchers; once, after all tokens. */
enum gwen_status gw_added_finish(struct gw_added *a, struct gwen_err *err);
void gw_added_free(struct gw_added *a);
/* The token of an id, NULL if it is no added one. */
const struct gw_added_token *gw_added_of_id(const struct gw_added *a, int32_t id);
/* The string that decoding a token starts from. */
const char *gw_added_form(const struct gw_added *a, const struct gw_added_token *t, size_t *len);
/* The whole first half of encoding: text into pieces (w->now), normalized, added tokens apart. */
enum gwen_status gw_added_extract(const struct gw_added *a, const struct gw_normalizer *n,
                                  const char *text, size_t len, bool no_special,
                                  struct gw_tok_work *w);

/* The first part of gw_added_extract: the raw text cut at the tokens that are not normalized. */
enum gwen_status gw_added_cut(const struct gw_added *a, const char *text, size_t len,
                              bool no_special, struct gw_tok_work *w);
/* The other part: on what is in w->now, pieces of `text`. */
enum gwen_status gw_added_normalize(const struct gw_added *a, const struct gw_normalizer *n,
                                    const char *text, bool no_special, struct gw_tok_work *w);

/* --- pre-tokenizer -------------------------------------------------------------------------- */

struct gw_pretokenizer; /* NULL: none */
enum gwen_status gw_pretokenizer_load(struct gw_json_node config, struct gw_pretokenizer **out,
                                      struct gwen_err *err);
/* A Split by `pattern` (NULL: none), isolated, then byte-level letters. */
enum gwen_status gw_pretokenizer_byte_level(const char *pattern, bool add_prefix_space,
                                            struct gw_pretokenizer **out, struct gwen_err *err);
void gw_pretokenizer_free(struct gw_pretokenizer *p);
/* Splits the pieces of w->now further. */
enum gwen_status gw_pretokenize(const struct gw_pretokenizer *p, struct gw_tok_work *w);

/* --- the model ------------------------------------------------------------------------------ */

struct gw_bpe {
    struct gw_string_map vocab; /* token to id */
    uint32_t *entry_of_id;      /* index of vocab.entries, GW_NO_ID for holes */
    size_t n_ids;
    struct gw_merge_map merges;
    uint32_t letter_id[512];           /* of one-character tokens, GW_NO_ID if there is none */
    uint32_t byte_id[256];             /* of <0x00>..<0xFF> */
    struct gw_str unk, prefix, suffix; /* data NULL: none */
    uint32_t unk_id;
    bool fuse_unk, byte_fallback, ignore_merges;
};
void gw_bpe_free(struct gw_bpe *m);
/* Builds the tables by id once the vocabulary is there. */
enum gwen_status gw_bpe_index(struct gw_bpe *m, const char *where, struct gwen_err *err);
/* Adds merge `rank` of two tokens; the table must have room.  false if one of the three tokens is
 * not in the vocabulary, with its name in *missing. */
bool gw_bpe_add_merge(struct gw_bpe *m, const char *left, size_t left_len, const char *right,
                      size_t right_len, uint32_t rank, struct gw_str *missing);
/* Appends the ids of all pieces of w->now. */
enum gwen_status gw_bpe_encode(const struct gw_bpe *m, struct gw_tok_work *w, struct gw_ids *out);
void gw_bpe_work_free(struct gw_bpe_work *w);

/* --- post-processor ------------------------------------------------------------------------- */

/* What surrounds the ids of one sequence: items are ids, or -1 for the sequence itself. */
struct gw_template {
    int32_t *items;
    size_t n;
};
enum gwen_status gw_template_load(struct gw_json_node config, struct gw_template *out,
                                  struct gwen_err *err);
void gw_template_free(struct gw_template *t);

/* --- decoder -------------------------------------------------------------------------------- */

struct gw_decoder; /* NULL: tokens are joined by spaces */
enum gwen_status gw_decoder_load(struct gw_json_node config, struct gw_decoder **out,
                                 struct gwen_err *err);
enum gwen_status gw_decoder_byte_level(struct gw_decoder **out, struct gwen_err *err);
void gw_decoder_free(struct gw_decoder *d);

/* --- the whole ------------------------------------------------------------------------------ */

struct gw_named {
    char *text; /* NULL: none */
    int32_t id;
};
struct gw_chat_template {
    char *name, *source;
};

struct gw_tokenizer {
    struct gw_normalizer *normalizer;
    struct gw_pretokenizer *pretokenizer;
    struct gw_bpe model;
    struct gw_added added;
    struct gw_template post;
    struct gw_decoder *decoder;
    bool *special; /* by id */
    size_t n_ids;
    struct gw_named named[GW_N_NAMED_TOKENS];
    struct gw_chat_template *templates;
    size_t n_templates;
};

void gw_tok_work_free(struct gw_tok_work *w);
/* The string decoding starts from, NULL if the id has no token. */
const char *gw_token_for_decoding(const struct gw_tokenizer *t, int32_t id, size_t *len);
#endif

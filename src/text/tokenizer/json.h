/* json.h - the loaders of a tokenizer's files, for one another. */
#ifndef GW_TEXT_TOKENIZER_JSON_H
#define GW_TEXT_TOKENIZER_JSON_H

#include "text/tokenizer/impl.h"
#include "text/tokenizer/scan.h"

enum { GW_TOKENIZER_MAX_FILE = 1 << 30 }; /* bytes */

/* Steps over a byte order mark and checks that the text is UTF-8. */
enum gwen_status gw_tokenizer_begin(struct gw_scan *s, const char *text, size_t len,
                                    const char *name, struct gwen_err *err);
/* Walks {"token": id, ...} at the position into the vocabulary. */
enum gwen_status gw_tokenizer_read_vocab(struct gw_scan *s, struct gw_bpe *m);
/* The content of a tokenizer.json. */
enum gwen_status gw_tokenizer_read_json(const char *text, size_t len, const char *name,
                                        struct gw_tokenizer *t, struct gwen_err *err);
/* vocab.json, merges.txt and the added tokens that `config` (tokenizer_config.json) lists; its
 * tokenizer_class says how texts are split. */
enum gwen_status gw_tokenizer_read_files(const char *dir, struct gw_json_node config,
                                         struct gw_tokenizer *t, struct gwen_err *err);
/* What tokenizer_config.json (config.v NULL: none) and chat_template.jinja add. */
enum gwen_status gw_tokenizer_read_config(const char *dir, struct gw_json_node config,
                                          struct gw_tokenizer *t, struct gwen_err *err);
/* A token in tokenizer_config.json: a string, or an object with its content; NULL for null. */
enum gwen_status gw_tokenizer_read_named(struct gw_json_node config, const char *key,
                                         const char **content, struct gwen_err *err);

#endif

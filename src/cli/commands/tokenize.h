/* tokenize.h - what the two files of gwen-cpu tokenize share: rows of text and ids
 * (tokenize.c), rows of messages (tokenize_chat.c). */
#ifndef GW_CLI_COMMANDS_TOKENIZE_H
#define GW_CLI_COMMANDS_TOKENIZE_H

#include "base/json.h"
#include "cli/with_model.h"

#include <time.h>

struct gw_chat;

struct gw_tokenize {
    struct gw_cli *cli;
    bool decode, skip_special, no_special, bos, chat;
    const char *date, *template_path; /* NULL: not given */
    struct tm today;                  /* what templates see, once a date was given or chat opened */
    struct gw_tokenizer *tokenizer;
    struct gw_chat *template, *tool_template; /* the second only where a model has two */
    struct gw_ids ids;
    struct gw_str text, out;
};

/* Appends "ids":[...] to *out. */
void gw_tokenize_put_ids(struct gw_str *out, const struct gw_ids *ids);
/* Gets the template ready: of --chat-template, else the model's. */
enum gwen_status gw_tokenize_chat_open(struct gw_tokenize *t, const char *dir,
                                       struct gwen_err *err);
void gw_tokenize_chat_close(struct gw_tokenize *t);
/* Appends the answer to one row of messages. */
enum gwen_status gw_tokenize_chat_row(struct gw_tokenize *t, const struct gw_row *row,
                                      struct gwen_err *err);

#endif

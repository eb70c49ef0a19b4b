/* prompts.h - the prompts of a run, from JSONL rows or single texts, as token ids.
 *
 * A row is an object with one of
 *     "ids"       token ids, used as they are
 *     "messages"  rendered through the model's chat template, with the generation prompt
 *     "prompt"    a text; with as_chat the content of a user message.  A list of messages (as
 *                 TRL's conversational data sets have) is the same as "messages"
 *     "question"  as a "prompt" text; looked at only where none of the other three is there
 * and optionally "id" (a string or an integer; no two rows may share one) and "max_tokens".  All
 * other members are passed on as "meta", values and order unchanged; "tools", "documents" and
 * "chat_template_kwargs" of a conversation are also given to the template.  A plain text gets the
 * special tokens that the tokenizer itself adds, a rendered one none: its template wrote them.
 *
 * A prompt's prompt_id is the 0-based number of its line; its random key is the hash of its
 * "id" (of an integer: of its decimal text), else the prompt_id. */
#ifndef GW_SERVICE_ROLLOUT_PROMPTS_H
#define GW_SERVICE_ROLLOUT_PROMPTS_H

#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"
#include "text/chat.h"
#include "text/tokenizer/tokenizer.h"

struct gw_prompt {
    const int32_t *ids;
    size_t n;          /* >= 1 */
    size_t max_tokens; /* >= 1; the row's own, else the default */
    uint64_t key;
    /* What is asked, before any template: the row's text, of a conversation the last message of its
     * user.  NULL: there is none, it came as ids. */
    const char *text;
    size_t text_len;
    uint64_t data;  /* a hash of the whole row, whatever the model makes of it; 0: of no row */
    const char *id; /* the row's "id" as JSON text, NULL: none */
    size_t id_len;
    const char *meta; /* a JSON object as text */
    size_t meta_len;
};

/* A model's chat template and what it is rendered with. */
struct gw_prompt_chat {
    struct gw_chat *template;      /* NULL: the model has none that can be used, see `why` */
    struct gw_chat *tool_template; /* for conversations with tools, where a model has two */
    struct gw_chat_env env;        /* its strings belong to the tokenizer */
    struct gwen_err why;
};

struct gw_prompt_opts {
    const struct gw_tokenizer *tokenizer; /* NULL: rows must give ids */
    const struct gw_prompt_chat *chat;    /* may be NULL: as without a template */
    const json_t *chat_args;    /* an object: members of each request besides the messages, such as
                                 * {"enable_thinking": false}; NULL: none */
    bool as_chat;               /* texts are user messages */
    const char *system;         /* put before conversations without a system message; NULL: none */
    size_t vocab_size, context; /* of the model */
    size_t max_tokens;          /* of rows that do not say */
    bool clamp; /* shorten max_tokens to the context instead of refusing the prompt */
};

struct gw_prompts {
    struct gw_prompt *rows;
    size_t n, cap;
    struct gw_arena arena; /* everything rows point to */
    size_t n_tokens;       /* of all prompts */
    size_t max_prompt;     /* most tokens of a prompt ... */
    size_t max_tokens;     /* ... and most new ones */
};

/* Gets the template of the tokenizer's model ready; `now` is the date that it sees.  That there
 * is none, or that it cannot be parsed, is an error once it is needed. */
void gw_prompt_chat_open(const struct gw_tokenizer *tokenizer, const struct tm *now,
                         struct gw_prompt_chat *chat);
void gw_prompt_chat_close(struct gw_prompt_chat *chat); /* a zeroed one is fine */

/* Reads a JSONL file ("-": standard input).  Errors begin with FILE:LINE.  An empty line is an
 * error unless it is the last one; so is a file without rows. */
enum gwen_status gw_prompts_read(const char *path, const struct gw_prompt_opts *opts,
                                 struct gw_prompts *p, struct gwen_err *err);
/* Adds one prompt: a text, a user message with opts->as_chat. */
enum gwen_status gw_prompts_add_text(struct gw_prompts *p, const struct gw_prompt_opts *opts,
                                     const char *text, struct gwen_err *err);
/* Adds one prompt: a conversation, a JSON array of messages. */
enum gwen_status gw_prompts_add_messages(struct gw_prompts *p, const struct gw_prompt_opts *opts,
                                         const json_t *messages, struct gwen_err *err);
/* Empties *p (which a zeroed structure may be) for other prompts. */
void gw_prompts_free(struct gw_prompts *p);
/* A hash over everything in *p that a result depends on. */
uint64_t gw_prompts_hash(const struct gw_prompts *p);

/* --- parts that other data sets use --------------------------------------------------------- */

/* Appends the ids of a conversation through the template, with opts->system and opts->chat_args;
 * `row` (NULL: none) may have further arguments of the template.  generate: with the generation
 * prompt. */
enum gwen_status gw_prompt_encode_chat(const struct gw_prompt_opts *opts, const json_t *messages,
                                       const json_t *row, bool generate, struct gw_ids *ids,
                                       struct gwen_err *err);
/* The text alone, appended to *text.  spans (NULL: not wanted; *text is then to be empty): see
 * gw_chat_render_spans(); the caller frees spans->v. */
enum gwen_status gw_prompt_render_chat(const struct gw_prompt_opts *opts, const json_t *messages,
                                       const json_t *row, bool generate, struct gw_str *text,
                                       struct gw_jinja_spans *spans, struct gwen_err *err);
/* The template that a conversation of this row goes through, NULL: there is none. */
const struct gw_chat *gw_prompt_template(const struct gw_prompt_opts *opts, const json_t *row);
/* Member `key` as a list of at least one message; *messages is borrowed. */
enum gwen_status gw_prompt_row_messages(const struct gw_row *row, const char *key,
                                        json_t **messages, struct gwen_err *err);
/* Fails unless every id is in [0, vocab_size). */
enum gwen_status gw_prompt_check_ids(const int32_t *ids, size_t n, size_t vocab_size,
                                     struct gwen_err *err);

#endif

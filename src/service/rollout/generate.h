/* generate.h - what is particular to generate and chat: a model's own sampling defaults, and
 * conversations. */
#ifndef GW_SERVICE_ROLLOUT_GENERATE_H
#define GW_SERVICE_ROLLOUT_GENERATE_H

#include "checkpoint/config/generation.h"
#include "service/rollout/rollout.h"

/* Sampling as the model's makers meant it.  As in transformers it is greedy unless the file says
 * do_sample; what the file does not give is off (temperature 1). */
void gw_generation_sampling(const struct gw_generation_config *g, struct gw_sampling *s);

/* --- conversations ----------------------------------------------------------------------------
 *
 * Every turn renders the whole conversation anew: templates may show earlier turns differently from
 * how they were generated (Qwen3's leaves out their reasoning). */

struct gw_talk_opts {
    const struct gw_model *model;
    struct gw_pool *pool;
    const struct gw_tokenizer *tokenizer;
    const struct gw_prompt_opts *prompt; /* how turns become tokens */
    const struct gw_rollout_opts *rollout;
    const struct gw_rollout_plan *plan; /* of gw_talk_plan */
};

/* Called with pieces of the answer as they come. */
typedef enum gwen_status gw_talk_text(void *ctx, const char *text, size_t len,
                                      struct gwen_err *err);
/* Called with the whole answer. */
typedef enum gwen_status gw_talk_answer(void *ctx, const struct gw_rollout_sample *s,
                                        struct gwen_err *err);

struct gw_talk_listener {
    void *ctx;
    gw_talk_text *text;     /* may be NULL */
    gw_talk_answer *answer; /* may be NULL */
    gwen_progress_fn progress;
    void *progress_user;
};

struct gw_talk;

/* Sizes for conversations of up to `window` tokens, the answer's max_tokens included. */
enum gwen_status gw_talk_plan(const struct gw_plan_options *base,
                              const struct gw_rollout_opts *opts, size_t window, size_t max_tokens,
                              size_t budget_bytes, struct gw_rollout_plan *plan,
                              struct gwen_err *err);
/* All that *opts points to must outlive *out. */
enum gwen_status gw_talk_new(const struct gw_talk_opts *opts, struct gw_talk **out,
                             struct gwen_err *err);
/* Adds a user's turn and samples the answer, which becomes part of the conversation.  On failure
 * the conversation is as before.  The random key counts the turns since the beginning. */
enum gwen_status gw_talk_say(struct gw_talk *t, const char *text, size_t len,
                             const struct gw_talk_listener *listener, struct gwen_err *err);
/* Forgets all turns. */
enum gwen_status gw_talk_reset(struct gw_talk *t, struct gwen_err *err);
void gw_talk_free(struct gw_talk *t); /* NULL is fine */

#endif

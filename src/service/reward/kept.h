/* kept.h - the samples of some prompts' groups, kept from the rollout until they are rewarded.
 *
 *     sample --keep--> ids, text, line of JSON --prompts' texts--> what rewards look at --> scores
 *
 * Evaluation keeps a window of prompts, training a rollout and for as long as it trains on it.
 * Sample i belongs to prompt i / group; what has no sample there is passed over. */
#ifndef GW_SERVICE_REWARD_KEPT_H
#define GW_SERVICE_REWARD_KEPT_H

#include "base/layout.h"
#include "service/reward/reward.h"
#include "service/rollout/rollout.h"

struct gw_kept_sample {
    bool there;
    size_t n; /* of its ids */
    enum gw_finish finish;
    struct gw_str text, row; /* row: its line, to which rewards may be added */
};

struct gw_kept {
    const struct gw_tokenizer *tokenizer; /* NULL: prompts and samples have no text */
    const char *numeric_class;
    size_t prompts, group, longest; /* sizes: longest is the most tokens of a sample */
    size_t n_rewards;
    struct gw_kept_sample *samples; /* [n], n = prompts * group */
    int32_t *ids;                   /* [n][longest] */
    struct gw_str *prompt_texts;    /* [prompts] */
    struct gw_reward_input *inputs; /* [n] */
    float *scores;                  /* [n][n_rewards] */
};

/* Places the arrays, for the sizes that are set, in memory that is zeroed and stays the caller's.
 */
void gw_kept_lay_out(struct gw_kept *k, struct gw_layout *layout);
/* Bytes of the texts of so many tokens at most: those of the prompts, and of each sample its own
 * and its line. */
size_t gw_kept_text_bytes(const struct gw_kept *k, size_t max_prompt);
/* Frees the texts; a zeroed one is fine. */
void gw_kept_free_texts(struct gw_kept *k);

/* Keeps *s as sample i, in place of what was there; its line calls the prompt `prompt_id`. */
enum gwen_status gw_kept_put(struct gw_kept *k, size_t i, const struct gw_rollout_sample *s,
                             size_t prompt_id, struct gwen_err *err);
/* Decodes the text of a prompt, which is *p. */
enum gwen_status gw_kept_prompt(struct gw_kept *k, size_t prompt, const struct gw_prompt *p,
                                struct gwen_err *err);
/* Fills inputs with the samples from `first` to `end` that are there, from inputs[first] on with
 * no gaps, and returns their number; rows[prompts] are the prompts. */
size_t gw_kept_inputs(struct gw_kept *k, const struct gw_prompt *rows, size_t first, size_t end);
/* The same, and then scores[first ...] of them; with first_only the first reward of each alone. */
enum gwen_status gw_kept_reward(struct gw_kept *k, const struct gw_prompt *rows, size_t first,
                                size_t end, struct gw_rewards *rewards, bool first_only,
                                struct gwen_err *err);
/* Moves a prompt's samples and scores to the place of another's, whose texts' memory they get in
 * exchange. */
void gw_kept_move(struct gw_kept *k, size_t from, size_t to);

#endif

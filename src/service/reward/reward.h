/* reward.h - what a completion is worth: built-in rewards and those of a command, with weights.
 *
 * A set holds one or more rewards in the order they were added.  Each gives every completion a
 * float32 or null (NaN here: this reward has nothing to say about that row).  As in TRL, nulls are
 * left out of the weighted sum; a completion of which every reward is null has no reward at all
 * (NaN), and its advantage is to be 0.
 *
 * Built in (gw_reward_kinds lists them with their arguments):
 *     gsm8k            1 if the completion's number equals the answer's, else 0
 *     exact            1 if the completion, trimmed, is the answer, else 0
 *     countdown        1 if the expression uses "nums" once each and gives "target", else 0
 *     think_format     1 for <think>...</think>..., as TRL's think_format_reward
 *     tags:A,B,...     1 for <A>...</A> <B>...</B> in this order, each once, nothing else around
 *     regex:PATTERN    1 if the pattern (PCRE2; a dot matches newlines) is found
 *     length:N         1 at N tokens, falling to 0 at none and at 2 N
 *     overlong:MAX,C   0 up to MAX - C tokens, falling to -1 at MAX (TRL's
 *                      get_soft_overlong_punishment)
 * The answer is the member "answer" of the prompt's row, else "solution". */
#ifndef GW_SERVICE_REWARD_REWARD_H
#define GW_SERVICE_REWARD_REWARD_H

#include "base/base.h"
#include "base/str.h"
#include "service/record/metrics.h"

/* One completion; everything is borrowed, texts are UTF-8. */
struct gw_reward_input {
    const char *prompt; /* what the model was given */
    size_t prompt_len;
    const char *asked; /* the same as it was before the chat template; NULL: not known */
    size_t asked_len;
    const char *completion;
    size_t completion_len;
    const int32_t *ids; /* [n] of the completion, the ending eos included */
    size_t n;
    const char *meta; /* the other members of the prompt's row, a JSON object */
    size_t meta_len;
};

/* --- what there is -------------------------------------------------------------------------- */

struct gw_reward_kind {
    const char *name;
    const char *argument; /* how -h calls what follows the colon, NULL: nothing may follow */
    const char *needs;    /* member of the row it looks at, NULL: none */
    const char *help;
};
/* The built-in ones; *n is their number.  i < n. */
size_t gw_reward_kind_count(void);
struct gw_reward_kind gw_reward_kind_at(size_t i);

/* --- a set ---------------------------------------------------------------------------------- */

struct gw_rewards;
struct gw_reward_cmd_opts; /* cmd.h */

enum gwen_status gw_rewards_new(struct gw_rewards **out, struct gwen_err *err);
/* Ends commands too; NULL is fine. */
void gw_rewards_free(struct gw_rewards *r);
/* Adds a built-in reward, written NAME or NAME:ARGUMENT, with weight 1.  It is called NAME in
 * logs, NAME_2 ... when there is one of that name.  Errors say what would have been right. */
enum gwen_status gw_rewards_add(struct gw_rewards *r, const char *spec, struct gwen_err *err);
/* Adds the rewards of a command, called "command" in logs. */
enum gwen_status gw_rewards_add_command(struct gw_rewards *r, const struct gw_reward_cmd_opts *opts,
                                        struct gwen_err *err);
/* Rewards from elsewhere that come together, such as the criteria of a judge. */
struct gw_reward_source {
    void *ctx; /* must outlive the set */
    /* out[i * stride + k] of n completions, k being the number of the reward among the source's;
     * NaN: null. */
    enum gwen_status (*score)(void *ctx, const struct gw_reward_input *in, size_t n, float *out,
                              size_t stride, struct gwen_err *err);
    /* Puts metrics of scores[i * stride + k] of n completions. */
    void (*put_metrics)(void *ctx, const struct gw_reward_input *in, const float *scores,
                        size_t stride, size_t n, struct gw_metrics *m);
};
/* Adds n of them, called names[k]. */
enum gwen_status gw_rewards_add_source(struct gw_rewards *r, const struct gw_reward_source *source,
                                       const char *const *names, const double *weights, size_t n,
                                       struct gwen_err *err);
/* Weights in the order of adding; their number has to be that of the rewards. */
enum gwen_status gw_rewards_set_weights(struct gw_rewards *r, const double *weights, size_t n,
                                        struct gwen_err *err);
size_t gw_rewards_count(const struct gw_rewards *r);
const char *gw_rewards_name(const struct gw_rewards *r, size_t i); /* i < count */
/* NAME or NAME:ARGUMENT of a built-in one, the name of others. */
const char *gw_rewards_spec(const struct gw_rewards *r, size_t i);

/* Whether reward i can say anything about a row with this "meta" (a command always can). */
enum gwen_status gw_rewards_applies(const struct gw_rewards *r, size_t i, const char *meta,
                                    size_t meta_len, bool *applies, struct gwen_err *err);
/* Whether all rewards (or the first one) are built in: those may be asked for while the threads of
 * a pool wait, others may need these very threads, or long. */
bool gw_rewards_built_in(const struct gw_rewards *r, bool first_only);
/* scores[n][count] of n completions; NaN is null.  Built-in rewards fail only
 * for lack of memory; of commands see cmd.h. */
enum gwen_status gw_rewards_score(struct gw_rewards *r, const struct gw_reward_input *in, size_t n,
                                  float *scores, struct gwen_err *err);
/* The same for who wants scores[n][0] only: if that one is built in, no other is asked. */
enum gwen_status gw_rewards_score_first(struct gw_rewards *r, const struct gw_reward_input *in,
                                        size_t n, float *scores, struct gwen_err *err);
/* rewards[n]: the weighted sum of each row of scores[n][count] without its nulls, NaN for a row
 * of nulls. */
void gw_rewards_combine(const struct gw_rewards *r, const float *scores, size_t n, float *rewards);

/* Mean and standard deviation (n - 1) of the values that are not NaN; the mean of none and the
 * deviation of fewer than two are NaN, as TRL's nanmean and nanstd. */
struct gw_moments {
    size_t count;
    double mean, std;
};
/* Over values[0], values[stride], ...: n of them. */
struct gw_moments gw_moments(const float *values, size_t n, size_t stride);

/* Puts what TRL logs of scores[n][count]: rewards/NAME/mean and rewards/NAME/std of each reward,
 * then "reward" and "reward_std" of the weighted sums rewards[n]. */
void gw_rewards_put_metrics(const struct gw_rewards *r, const float *scores, const float *rewards,
                            size_t n, struct gw_metrics *m);
/* Puts what sources make of the same scores; in[n] are the completions. */
void gw_rewards_put_source_metrics(const struct gw_rewards *r, const struct gw_reward_input *in,
                                   const float *scores, size_t n, struct gw_metrics *m);

#endif

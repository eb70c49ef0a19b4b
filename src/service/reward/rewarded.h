/* rewarded.h - a rollout whose samples are rewarded.
 *
 *     prompts --rollout--> sample --built-in rewards--> taken
 *                            '--kept, a window of prompts--> any other rewards --> taken
 *
 * A judge needs the threads that sample, and a command may take any time while they wait:
 * such rewards get the samples of a window together once it is sampled.  Built-in ones are computed
 * at once. */
#ifndef GW_SERVICE_REWARD_REWARDED_H
#define GW_SERVICE_REWARD_REWARDED_H

#include "service/reward/reward.h"
#include "service/rollout/rollout.h"

/* A sample with its rewards; everything is valid during the call. */
struct gw_rewarded {
    const struct gw_prompt *prompt;
    size_t prompt_id, sample_id, n;
    enum gw_finish finish;
    struct gw_str *row;  /* as gw_rollout_put_row has it; the callee may change it */
    const float *scores; /* [rewards], or with first_only [1] */
};

struct gw_rewarded_opts {
    struct gw_rewards *rewards;
    bool first_only; /* nobody wants more than the first reward */
    const struct gw_tokenizer *tokenizer;
    size_t groups; /* the rollout's */
    const char *numeric_class;
    void *ctx;
    /* True: this sample is not wanted.  May be NULL. */
    bool (*skip)(void *ctx, size_t prompt_id, size_t sample_id);
    enum gwen_status (*take)(void *ctx, const struct gw_rewarded *s, struct gwen_err *err);
    gwen_progress_fn progress; /* of the rollout of each window */
    void *progress_user;
};

/* Samples and rewards.  *score_s gets the seconds that rewards took.  *stats (may be NULL) is of
 * the last window; with built-in rewards there is only one. */
enum gwen_status gw_rewarded_run(struct gw_rollout *rollout, const struct gw_prompts *prompts,
                                 const struct gw_rewarded_opts *opts, double *score_s,
                                 struct gw_rollout_stats *stats, struct gwen_err *err);
/* Bytes that it takes at most. */
size_t gw_rewarded_bytes(const struct gw_prompts *prompts, size_t groups, size_t n_rewards);

#endif

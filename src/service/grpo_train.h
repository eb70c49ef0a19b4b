/* grpo_train.h - a GRPO run:
 *
 *     prompts x G samples --> rewards --> advantages --> loss, gradients --> AdamW --> pack again
 *
 * Each optimizer step samples its own groups; the old log-probabilities are those recorded while
 * sampling, which are the trainer's own to the last bit. */
#ifndef GW_GRPO_TRAIN_H
#define GW_GRPO_TRAIN_H

#include "service/reward.h"
#include "service/rollout.h"
#include "service/train_run.h"

struct gw_grpo_run_opts {
    struct gw_pool *pool;
    const struct gw_tokenizer *tokenizer; /* NULL: prompts and completions have no text */
    const struct gw_prompts *prompts;
    struct gw_rewards *rewards;
    struct gw_rollout_opts rollout;
    const struct gw_rollout_plan *plan;
    struct gw_scorer *reference; /* of the frozen model; needed when beta > 0 */
    const char *numeric_class;
    bool verify;           /* end the run unless sampler and trainer agree to the last bit */
    bool stop_on_collapse; /* end it when it looks lost */
    gwen_progress_fn progress;
    void *progress_user;
};

/* Refuses options that are not there yet, and data that fill no step. */
enum gwen_status gw_grpo_check(const struct gw_train_config *c, struct gwen_err *err);
/* Prompts of an optimizer step, and the steps of a run over n prompts. */
size_t gw_grpo_step_prompts(const struct gw_train_config *c);
uint64_t gw_grpo_total_steps(const struct gw_train_config *c, size_t n);
/* Bytes that gw_grpo_run takes besides what learner, engine and prompts hold. */
size_t gw_grpo_bytes(const struct gw_train_config *c, const struct gw_prompts *prompts);

/* Trains until the run is over; every step's samples go to OUT/rollouts/step-N.jsonl. */
enum gwen_status gw_grpo_run(struct gw_train_run *run, struct gw_learner *learner,
                             const struct gw_grpo_run_opts *opts, struct gwen_err *err);

#endif

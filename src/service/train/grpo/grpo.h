/* grpo.h - a GRPO run:
 *
 *     prompts x G samples --> rewards --> advantages --> loss, gradients --> AdamW --> repack
 *
 * A rollout feeds one optimizer step, or several (steps_per_generation, num_iterations).  The old
 * log-probabilities are those recorded while sampling, which are the trainer's own to the last bit
 * until it has taken a step. */
#ifndef GW_SERVICE_TRAIN_GRPO_GRPO_H
#define GW_SERVICE_TRAIN_GRPO_GRPO_H

#include "service/reward/reward.h"
#include "service/rollout/rollout.h"
#include "service/train/run.h"

struct gw_grpo_run_opts {
    struct gw_pool *pool;
    const struct gw_tokenizer *tokenizer; /* NULL: prompts and completions have no text */
    const struct gw_prompts *prompts;
    struct gw_rewards *rewards;
    struct gw_rollout_opts rollout;
    const struct gw_rollout_plan *plan;
    struct gw_scorer *reference; /* of the frozen model; needed when beta > 0 */
    const char *numeric_class;
    const struct gw_prompts *eval_prompts; /* evaluated every eval_steps; NULL: none */
    bool eval_full_sweep;                  /* and all of them in the end, into OUT/eval.jsonl */
    bool verify;           /* end the run unless sampler and trainer agree to the last bit */
    bool stop_on_collapse; /* end it when it looks lost */
    gwen_progress_fn progress;
    void *progress_user;
};

/* How much is sampled at a time, and how it is cut into steps. */
struct gw_grpo_sizes {
    size_t group;            /* completions of a prompt */
    size_t prompts;          /* of a rollout */
    size_t completions;      /* of a rollout: prompts * group */
    size_t micro_batches;    /* that a rollout is cut into, of per_device_train_batch_size each */
    size_t accumulation;     /* micro-batches of an optimizer step */
    size_t step_completions; /* completions of an optimizer step */
    size_t updates;          /* optimizer steps that a rollout feeds */
    size_t parts;            /* generations that TRL would make of a rollout */
};

/* Refuses options that do not fit together. */
enum gwen_status gw_grpo_check(const struct gw_train_config *c, struct gwen_err *err);
/* Of options that gw_train_config_check and gw_grpo_check have passed. */
struct gw_grpo_sizes gw_grpo_sizes(const struct gw_train_config *c);
/* Steps of a run over n prompts, at least as many as a rollout has. */
uint64_t gw_grpo_total_steps(const struct gw_train_config *c, size_t n);
/* Bytes that gw_grpo_run takes besides what learner, engine and prompts hold. */
size_t gw_grpo_bytes(const struct gw_train_config *c, const struct gw_prompts *prompts,
                     size_t n_rewards);
/* Bytes of a rollout in a checkpoint. */
size_t gw_grpo_saved_bytes(const struct gw_train_config *c, const struct gw_prompts *prompts);

/* Samples of a prompt that the rollout's plan has to have room for where there are eval_prompts,
 * and the bytes that evaluating them takes. */
size_t gw_grpo_eval_groups(const struct gw_train_config *c, bool full_sweep);
size_t gw_grpo_eval_bytes(const struct gw_train_config *c, const struct gw_prompts *prompts,
                          size_t n_rewards);

/* Trains until the run is over; every step's samples go to OUT/rollouts/step-N.jsonl. */
enum gwen_status gw_grpo_run(struct gw_train_run *run, struct gw_learner *learner,
                             const struct gw_grpo_run_opts *opts, struct gwen_err *err);

#endif

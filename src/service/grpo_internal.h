/* grpo_internal.h - what the files of a GRPO run share: its state, and the parts of a step.
 *
 *     grpo_train.c    options, memory, the loop over steps
 *     grpo_rollout.c  prompts --> samples --> rewards --> advantages, reference
 *     grpo_step.c     loss, gradients, the optimizer's step
 *     grpo_log.c      metrics, OUT/rollouts */
#ifndef GW_GRPO_INTERNAL_H
#define GW_GRPO_INTERNAL_H

#include "service/grpo_train.h"

/* One completion of the step. */
struct gw_completion {
    size_t n;
    enum gw_finish finish;
    struct gw_str text, row; /* row: its line, to which reward and advantage are added */
};

struct gw_grpo {
    struct gw_train_run *run;
    struct gw_learner *learner;
    const struct gw_grpo_run_opts *o;
    struct gw_rollout *rollout;
    struct gw_grpo_opts loss_opts;
    size_t group, n_groups, n; /* completions: n = group * n_groups */
    size_t longest, width;     /* tokens of a completion; of prompt and completion */
    size_t *order;             /* [prompts->n] of the epoch */
    uint64_t epoch;
    /* one step */
    struct gw_prompts batch; /* rows [n_groups], borrowed from the data */
    size_t *chosen;          /* [n_groups] their numbers in the data */
    struct gw_str *prompt_texts;
    struct gw_completion *completions; /* [n] */
    struct gw_train_group *groups;
    struct gw_train_sample *samples;
    int32_t *ids;                             /* [n][longest] */
    float *old, *now, *entropy, *slope, *ref; /* [n][longest] */
    int32_t *sequences;                       /* [n][width], for the reference */
    struct gw_score_request *requests;
    struct gw_reward_input *inputs;
    float *scores, *rewards; /* [n][count], [n] */
    double *filled, *advantages;
    struct gw_grpo_batch *batches; /* [accumulation steps] */
    struct gw_grpo_stats *stats;   /* likewise */
    size_t sampled, trained, differing;
    double loss, frac_zero_std;
    struct gw_rollout_stats rollout_stats;
    double rollout_s, reward_s, reference_s;
};

/* Chooses the next prompts, samples their groups, has them rewarded and, with a KL, scored by the
 * reference.  On failure the run's position in data and draws is as before. */
enum gwen_status gw_grpo_make_rollout(struct gw_grpo *g, struct gwen_err *err);
/* One optimizer step: a rollout, gradients, AdamW, logs. */
enum gwen_status gw_grpo_step(struct gw_grpo *g, struct gwen_err *err);
/* Writes the step's samples and metrics; the times of *line are there already. */
enum gwen_status gw_grpo_log_step(struct gw_grpo *g, struct gw_step_report *line,
                                  const struct gw_learner_report *report, struct gwen_err *err);
/* Makes OUT/rollouts, and removes the samples of steps after the one the run goes on from. */
enum gwen_status gw_grpo_cut_rollouts(const struct gw_grpo *g, struct gwen_err *err);

#endif

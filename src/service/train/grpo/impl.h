/* impl.h - what the files of a GRPO run share: its state, and the parts of a step.
 *
 *     grpo.c     options, memory, the loop over steps
 *     step.c     one step: rollout, gradients, the optimizer, evaluation, logs
 *     log.c      metrics, OUT/rollouts
 *     eval.c     evaluation of other prompts
 *     save.c     a rollout that is not used up, in a checkpoint
 *     rollout.c  prompts --> samples --> rewards, reference
 *     pass.c     loss and gradients of the step's completions
 *     weigh.c    rewards --> advantages, micro-batches
 *
 * Each calls only what is below it.
 *
 * As in TRL, the completions of a rollout are shuffled and cut into micro-batches of
 * per_device_train_batch_size; each optimizer step uses gradient_accumulation_steps of them, all in
 * turn, until each has been used num_iterations times.
 *
 * Completion i of a rollout belongs to its prompt i / size.group; arrays "per token" have a row of
 * `longest` for each completion.  n stands for size.completions. */
#ifndef GW_SERVICE_TRAIN_GRPO_IMPL_H
#define GW_SERVICE_TRAIN_GRPO_IMPL_H

#include "service/reward/kept.h"
#include "service/train/grpo/grpo.h"

/* The order in which an epoch goes through the prompts. */
struct gw_grpo_order {
    size_t *rows;   /* [n] */
    size_t n;       /* of the data */
    uint64_t epoch; /* whose order this is; UINT64_MAX: none yet */
};

/* What was drawn and measured: run->state.used updates were made with it. */
struct gw_grpo_drawn {
    struct gw_prompt *prompts; /* [size.prompts] borrowed from the data */
    size_t *chosen;            /* [size.prompts] their numbers in the data */
    struct gw_kept kept;       /* completions and their scores */
    float *rewards;            /* [n] NaN: none */
    float *old;                /* per token: log-probability when it was sampled */
    float *ref;                /* per token: that of the reference; with a KL */
};

/* What follows from it. */
struct gw_grpo_weighed {
    double *values, *advantages; /* [n] values: the rewards; NaN: missing */
    bool *left_out;              /* [n] filter_zero_std, and groups without any reward */
    size_t *shuffled, *micro_of; /* [n] micro_of: micro-batch of a completion */
    double *part_tokens;         /* [size.parts] that count, as TRL's num_items_in_batch */
    double frac_zero_std;
};

/* How the rollout came about, for the logs; all zero after a resumption. */
struct gw_grpo_counts {
    size_t sampled, prompt_tokens; /* tokens */
    size_t rounds, dropped;        /* dynamic_sampling: further rounds, groups they replaced */
    double rollout_s, reward_s, reference_s;
};

/* What the reference is asked: prompt and completion in one. */
struct gw_grpo_asked {
    size_t width;                      /* most tokens of a sequence */
    int32_t *sequences;                /* [n][width] */
    struct gw_score_request *requests; /* [n] */
};

/* The step in progress. */
struct gw_grpo_pass {
    size_t update;                   /* which one of the rollout */
    struct gw_train_group *groups;   /* [size.prompts], n_groups of them in use */
    struct gw_train_sample *samples; /* [n] */
    size_t *which;                   /* [n] the completion of each sample */
    float *logprobs;                 /* per token: of the weights as they are */
    float *entropy, *slope;          /* per token: slope: d loss / d logprobs */
    struct gw_loss_batch *batches;   /* [size.accumulation] */
    struct gw_loss_stats *stats;     /* [size.accumulation] */
    size_t passed;                   /* tokens of those that have been trained on */
    size_t n_groups, trained;        /* trained: tokens */
    size_t differing;                /* tokens whose logprobs are not those of sampling */
    double loss, seconds;
};

struct gw_grpo {
    struct gw_train_run *run;
    struct gw_learner *learner;
    const struct gw_grpo_run_opts *opts;
    struct gw_rollout *sampler;
    struct gw_mem memory; /* of all arrays below */
    struct gw_loss_opts loss;
    struct gw_grpo_sizes size;
    size_t longest; /* most tokens of a completion */
    struct gw_grpo_order order;
    struct gw_grpo_drawn drawn;
    struct gw_grpo_weighed weighed;
    struct gw_grpo_counts counts;
    struct gw_grpo_asked asked;
    struct gw_grpo_pass pass;
    struct gw_metrics eval; /* of the step; empty: it has no evaluation */
    bool rewarding;         /* a reward has not come to its end */
    bool step_saves;        /* the step that failed leaves a model that is as good as before */
};

/* --- weigh.c -------------------------------------------------------------------------------- */

/* Everything that follows from prompts, completions and rewards: advantages, micro-batches.
 * `number` is the rollout's. */
void gw_grpo_weigh(struct gw_grpo *g, uint64_t number);
/* What a group's rewards teach: nothing where all that are there are the same, and who knows where
 * there are none.  values[group] become the rewards. */
enum gw_teaching { GW_TEACHING_SOMETHING, GW_TEACHING_NOTHING, GW_TEACHING_UNKNOWN };
enum gw_teaching gw_grpo_teaching(const float *rewards, size_t group, double *values);
/* Whether completion i does not count (though its reward does). */
bool gw_grpo_is_masked(const struct gw_grpo *g, size_t i);

/* --- pass.c --------------------------------------------------------------------------------- */

/* Loss and gradients of the completions that pass->update uses, into g->pass and the learner. */
enum gwen_status gw_grpo_accumulate(struct gw_grpo *g, struct gwen_err *err);

/* --- rollout.c ------------------------------------------------------------------------------ */

/* Chooses the next prompts, samples their groups, has them rewarded and, with a KL, scored by the
 * reference; after a failure the rollout is not to be used. */
enum gwen_status gw_grpo_make_rollout(struct gw_grpo *g, struct gwen_err *err);

/* --- save.c --------------------------------------------------------------------------------- */

/* A part of a checkpoint (ctx: the struct gw_grpo): writes the rollout if it is not used up. */
enum gwen_status gw_grpo_save_rollout(void *ctx, const char *dir, struct gwen_err *err);
/* Reads that rollout back. */
enum gwen_status gw_grpo_load_rollout(struct gw_grpo *g, const char *dir, struct gwen_err *err);

/* --- eval.c --------------------------------------------------------------------------------- */

/* Evaluates, if that is due at learner->step, into g->eval; what there is to say about it. */
enum gwen_status gw_grpo_evaluate(struct gw_grpo *g, struct gwen_err *err);
enum gwen_status gw_grpo_tell_evaluation(const struct gw_grpo *g, struct gwen_err *err);
/* The sweep at the end of the run, if it is wanted and not in the logs yet. */
enum gwen_status gw_grpo_sweep(struct gw_grpo *g, struct gwen_err *err);

/* --- log.c ---------------------------------------------------------------------------------- */

/* Writes the samples of a new rollout, and fills in *line, whose seconds are there already, and the
 * step's metrics; then the row of these and of g->eval. */
enum gwen_status gw_grpo_log_step(struct gw_grpo *g, struct gw_step_report *line,
                                  const struct gw_learner_report *report, struct gwen_err *err);
enum gwen_status gw_grpo_log_row(struct gw_grpo *g, struct gw_step_report *line,
                                 struct gwen_err *err);
/* Makes OUT/rollouts, and removes the samples of steps after the one the run goes on from. */
enum gwen_status gw_grpo_cut_rollouts(const struct gw_grpo *g, struct gwen_err *err);

/* --- step.c --------------------------------------------------------------------------------- */

/* One optimizer step: a rollout if need be, gradients, AdamW, evaluation, logs.  After a failure
 * the state is that before it, or one that holds it (gw_train_run_hold), and step_saves says
 * whether that may be saved. */
enum gwen_status gw_grpo_step(struct gw_grpo *g, struct gwen_err *err);
/* The evaluation and the row of a step that the checkpoint holds, if it does; fails like a step. */
enum gwen_status gw_grpo_end_held_step(struct gw_grpo *g, struct gwen_err *err);

#endif

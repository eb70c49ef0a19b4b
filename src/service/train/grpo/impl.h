/* impl.h - what the files of a GRPO run share: its state, and the parts of a step.
 *
 *     grpo.c          options, memory, the loop over steps
 *     rollout.c       prompts --> samples --> rewards --> advantages, reference
 *     step.c          loss, gradients, the optimizer's step
 *     log.c           metrics, OUT/rollouts
 *     eval.c          evaluation of other prompts
 *     save.c          a rollout that is not used up, in a checkpoint
 *
 * As in TRL, the completions of a rollout are shuffled and cut into micro-batches of
 * per_device_train_batch_size; each optimizer step uses gradient_accumulation_steps of them, all in
 * turn, until each has been used num_iterations times. */
#ifndef GW_SERVICE_TRAIN_GRPO_IMPL_H
#define GW_SERVICE_TRAIN_GRPO_IMPL_H

#include "service/train/grpo/grpo.h"

/* One completion of the rollout. */
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
    struct gw_metrics eval; /* of the step; empty: it has no evaluation */
    struct gw_loss_opts loss_opts;
    struct gw_grpo_sizes size;
    size_t longest, width; /* tokens of a completion; of prompt and completion */
    size_t *order;         /* [prompts->n] of the epoch */
    uint64_t epoch;
    /* The rollout; run->state.used updates were made with it.  n = size.completions. */
    struct gw_prompts batch; /* rows [size.prompts], borrowed from the data */
    size_t *chosen;          /* [size.prompts] their numbers in the data */
    struct gw_str *prompt_texts;
    size_t first;                      /* the group that rows are being sampled for from */
    struct gw_completion *completions; /* [n] */
    int32_t *ids;                      /* [n][longest] */
    float *old, *ref;                  /* [n][longest] */
    float *scores, *rewards;           /* [n][count], [n] */
    double *filled, *advantages;       /* [n] */
    bool *left_out;                    /* [n] filter_zero_std */
    size_t *shuffled, *micro_of;       /* [n] micro_of: micro-batch of a completion */
    double *part_tokens;               /* [size.parts] that count, as TRL's num_items_in_batch */
    size_t sampled, prompt_tokens, rounds, dropped;
    double frac_zero_std;
    double rollout_s, reward_s, reference_s;
    int32_t *sequences; /* [n][width], for the reference */
    struct gw_score_request *requests;
    struct gw_reward_input *inputs;
    /* one step */
    size_t update;                   /* which one of the rollout */
    struct gw_train_group *groups;   /* [size.prompts] */
    struct gw_train_sample *samples; /* [n] */
    size_t *which;                   /* [n] the completion of each sample */
    float *now, *entropy, *slope;    /* [n][longest] */
    struct gw_loss_batch *batches;   /* [accumulation steps] */
    struct gw_loss_stats *stats;     /* likewise */
    size_t n_groups, trained, differing;
    double loss, passes_s;
    bool rewarding;  /* a reward has not come to its end */
    bool step_saves; /* the step that failed leaves a model that is as good as before */
};

/* Chooses the next prompts, samples their groups, has them rewarded and, with a KL, scored by the
 * reference; after a failure the rollout is not to be used. */
enum gwen_status gw_grpo_make_rollout(struct gw_grpo *g, struct gwen_err *err);
/* Everything that follows from prompts, completions and rewards: advantages, micro-batches.
 * `number` is the rollout's. */
void gw_grpo_weigh_rollout(struct gw_grpo *g, uint64_t number);
/* The text of prompt k, which batch.rows[k] has. */
enum gwen_status gw_grpo_decode_prompt(struct gw_grpo *g, size_t k, struct gwen_err *err);
/* One optimizer step: a rollout if need be, gradients, AdamW, logs.  After a failure the state is
 * that before it, and step_saves says whether it may be saved. */
enum gwen_status gw_grpo_step(struct gw_grpo *g, struct gwen_err *err);
/* Whether completion i does not count (though its reward does). */
bool gw_grpo_is_masked(const struct gw_grpo *g, size_t i);

/* What rewards look at, of the completions from `first` on. */
void gw_grpo_set_inputs(struct gw_grpo *g, size_t first);
/* Writes the samples of a new rollout and the step's metrics; the times of *line are there
 * already. */
enum gwen_status gw_grpo_log_step(struct gw_grpo *g, struct gw_step_report *line,
                                  const struct gw_learner_report *report, struct gwen_err *err);
/* Makes OUT/rollouts, and removes the samples of steps after the one the run goes on from. */
enum gwen_status gw_grpo_cut_rollouts(const struct gw_grpo *g, struct gwen_err *err);

/* Evaluates, if that is due at learner->step, into g->eval; what there is to say about it. */
enum gwen_status gw_grpo_evaluate(struct gw_grpo *g, struct gwen_err *err);
enum gwen_status gw_grpo_tell_evaluation(const struct gw_grpo *g, struct gwen_err *err);
/* The sweep at the end of the run, if it is wanted and not in the logs yet. */
enum gwen_status gw_grpo_sweep(struct gw_grpo *g, struct gwen_err *err);
/* A part of a checkpoint (ctx: the struct gw_grpo): writes the rollout if it is not used up. */
enum gwen_status gw_grpo_save_rollout(void *ctx, const char *dir, struct gwen_err *err);
/* Reads it again. */
enum gwen_status gw_grpo_load_rollout(struct gw_grpo *g, const char *dir, struct gwen_err *err);

#endif

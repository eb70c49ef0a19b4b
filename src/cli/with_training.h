/* with_training.h - what sft and train share: their options, the model with gradients, and the host
 * of a run. */
#ifndef GW_CLI_WITH_TRAINING_H
#define GW_CLI_WITH_TRAINING_H

#include "cli/with_prompts.h"
#include "service/train/plan.h"
#include "service/train/run.h"

struct gw_training {
    /* options */
    struct gw_train_config config;
    const char *out;
    bool resume;
    size_t micro_batch; /* 0: auto */
    int recompute;      /* of the words of GW_TRAINING_OPTIONS */
    size_t stride;      /* 0: every layer */
    bool has_reference; /* a frozen model has a say: that of the KL, or a judge */
    size_t show;        /* sft: rows to be printed instead of training; 0: train */
    bool only_check;    /* validate: nothing is loaded, trained or written */
    bool made_out;      /* ... so the folder, which was made for it, is removed */
    /* the run */
    struct gw_prompting p;
    struct gw_train_host host;
    struct gw_train_run run;
    struct gw_learner *learner;
    struct gw_str source;        /* the directory of --model */
    struct gw_provenance origin; /* what decides its results besides config and data */
    bool fresh;                  /* the run begins with an adapter of its own making */
};

/* Rows of an option table for the struct gw_training `t`, after which those of TRL's names follow
 * (gw_training_options). */
#define GW_TRAINING_OPTIONS(t)                                                                     \
    GW_OPT_STRING("out", 'o', &(t).out, "DIR", "output directory of the run"),                     \
        GW_OPT_ADAPTER(cli),                                                                       \
        GW_OPT_FLAG("resume", 0, &(t).resume, "continue from the newest checkpoint in --out"),     \
        GW_OPT_AUTO("train-micro-batch", 0, &(t).micro_batch, 1, 1 << 20,                          \
                    "sequences per forward and backward pass; affects speed and memory, "          \
                    "not the result"),                                                             \
        GW_OPT_COUNT("eval-every", 0, &(t).config.eval_steps, 0, 1e9, "same as --eval_steps"),     \
        GW_OPT_CHOICE("recompute", 0, &(t).recompute, "auto|none|attn|layer",                      \
                      "activation checkpointing: recompute nothing, attention or whole layers in " \
                      "the backward pass; auto: as little as memory allows"),                      \
        GW_OPT_COUNT("recompute-stride", 0, &(t).stride, 0, 1 << 16,                               \
                     "recompute in every N-th layer only; 0: in every layer")

/* What validate says of itself; its options are those of the command that it checks. */
extern const char gw_validate_usage[], gw_validate_about[];

/* own[n_own], then the options of t->config, as one table (*n) that lives as long as the cli. */
const struct gw_option *gw_training_options(struct gw_cli *cli, struct gw_training *t,
                                            const struct gw_option *own, size_t n_own, size_t *n);
/* After parsing; --adapter turns use_peft on.  False after a message: *code is the exit status. */
bool gw_training_check(struct gw_training *t, struct gw_cli *cli, int *code);

/* Opens the runtime and looks into --out. */
enum gwen_status gw_training_open(struct gw_training *t, struct gw_cli *cli, struct gwen_err *err);
/* Adds what else decides the results to t->origin, to which the caller may have added: model,
 * number formats and tokenizer.  Cuts the work (train/plan.h), checks memory and disk, loads the
 * model and makes the learner, and opens the logs.  Of *job the caller gives steps, data, and bytes
 * of a checkpoint besides the learner's. */
enum gwen_status gw_training_load(struct gw_training *t, struct gw_plan_options *plan,
                                  const struct gw_train_work *work, struct gw_train_job *job,
                                  struct gwen_err *err);
/* validate's last word: that the run could begin, with its memory plan. */
enum gwen_status gw_training_tell(const struct gw_training *t, const struct gw_plan_options *plan,
                                  const struct gw_train_job *job, struct gwen_err *err);
/* A gwen_progress_fn may call it first: the bar then says which step of the run is in progress. */
void gw_training_at(struct gw_training *t);
void gw_training_close(struct gw_training *t);

#endif

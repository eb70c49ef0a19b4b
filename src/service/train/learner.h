/* learner.h - weights that are being trained, a model's or its adapter's: gradients, optimizer,
 * schedule; their step, and how they are saved and loaded.
 *
 *     gw_learner_accumulate ... --> gw_learner_step: finish, norm, clip, AdamW, repack in place
 *
 * A step whose gradients are not finite is left out and counted; several in a row end the run.
 * Saved are a Hugging Face directory, in the type that the model is trained in, or an adapter as
 * PEFT saves it, in float32; and beside it optimizer.safetensors: moments, and float master weights
 * where that type is not float32.  With adamw-bf16 the packed weights themselves are what is
 * trained, and moments are bfloat16. */
#ifndef GW_SERVICE_TRAIN_LEARNER_H
#define GW_SERVICE_TRAIN_LEARNER_H

#include "base/log.h"
#include "model/pack.h"
#include "service/train/config.h"
#include "train/optimizer.h"
#include "train/trainer.h"

enum { GW_LEARNER_MAX_BAD = 3 }; /* steps left out in a row that end a run */

struct gw_learner_opts {
    const struct gw_train_config *config;
    uint64_t total_steps; /* of the schedule */
    struct gw_trainer_opts trainer;
    const char *model_dir;  /* where the model came from; its tokenizer's files go along */
    const char *checkpoint; /* where it is loaded from, to go on; NULL: begin with model_dir */
    uint64_t step, skipped; /* of the checkpoint */
    const struct gw_log *log;
};

struct gw_learner {
    struct gw_model *model;
    struct gw_pool *pool;
    struct gw_learner_opts opts;
    struct gw_trainer *trainer;
    struct gw_optimizer *optimizer;
    struct gw_packer *packer; /* NULL: the optimizer changes the model itself, or has an adapter */
    struct gw_schedule schedule;
    uint64_t step;   /* done, those left out too */
    unsigned bad;    /* left out in a row */
    bool not_finite; /* a log-probability of this step */
};

struct gw_learner_report {
    double learning_rate, grad_norm; /* the norm before clipping */
    double optimizer_s, repack_s;    /* clipping and AdamW; repacking the weights */
    bool skipped;
};

/* Refuses options of training that are not there yet. */
enum gwen_status gw_learner_check(const struct gw_train_config *c, struct gwen_err *err);
/* Steps of a run over `n` units of data (rows, groups), `per_step` to a step, when max_steps does
 * not say; `whole`: the rest of an epoch that fills no step is not used. */
uint64_t gw_learner_total_steps(const struct gw_train_config *c, size_t n, size_t per_step,
                                bool whole);

/* The model, or its adapter, must have been loaded from the checkpoint, else the model from
 * model_dir.  An adapter on the model (model->lora) is what is trained, and it alone. */
enum gwen_status gw_learner_create(struct gw_model *model, struct gw_pool *pool,
                                   const struct gw_learner_opts *opts, struct gw_learner **out,
                                   struct gwen_err *err);
void gw_learner_free(struct gw_learner *l); /* NULL is fine */

/* gw_trainer_accumulate; a log-probability that is not finite spoils the step instead. */
enum gwen_status gw_learner_accumulate(struct gw_learner *l, struct gw_train_group *groups,
                                       size_t n, gw_train_loss *loss, void *ctx,
                                       struct gwen_err *err);
/* One optimizer step with what was accumulated. */
enum gwen_status gw_learner_step(struct gw_learner *l, struct gw_learner_report *report,
                                 struct gwen_err *err);

/* Fails when the last steps were all left out: to be asked once the step has been logged. */
enum gwen_status gw_learner_check_bad(const struct gw_learner *l, struct gwen_err *err);

/* Writes the model into an existing folder. */
enum gwen_status gw_learner_write_model(const struct gw_learner *l, const char *dir,
                                        struct gwen_err *err);
/* Parts of a checkpoint (struct gw_checkpoint_part): ctx is the learner. */
enum gwen_status gw_learner_save_model(void *ctx, const char *dir, struct gwen_err *err);
enum gwen_status gw_learner_save_optimizer(void *ctx, const char *dir, struct gwen_err *err);
/* Bytes of the two together, nearly. */
uint64_t gw_learner_saved_bytes(const struct gw_train_config *c, const struct gw_config *cfg,
                                enum gw_dtype dtype);

#endif

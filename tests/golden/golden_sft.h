/* golden_sft.h - what the kinds `train` and `lora` share: a fixed batch of masked sequences, its
 * loss and gradients, and some optimizer steps on it. */
#ifndef GOLDEN_SFT_H
#define GOLDEN_SFT_H

#include "golden_model.h"

#include "train/optimizer.h"
#include "train/trainer.h"

/* loss = -(sum of the masked targets' log-probabilities) / (how many there are). */
struct golden_batch {
    struct gw_train_group *groups;
    struct gw_train_sample *samples;
    float *logprobs, *dlogprobs;
    uint8_t *want;
    size_t n, width, n_targets, longest, n_tokens;
};
/* `ids`, `lengths` and `loss_mask` of a golden. */
enum gwen_status golden_batch_open(const struct gw_safetensors *st, struct golden_batch *b,
                                   struct gwen_err *err);
void golden_batch_close(struct golden_batch *b);

/* A trainer for the batch; the passes are small, so that they are many. */
enum gwen_status golden_batch_trainer(const struct golden_batch *b, const struct golden_model *m,
                                      struct gw_trainer **out, struct gwen_err *err);
/* Gradients of the batch into the trainer, from zero; returns the loss in *loss. */
enum gwen_status golden_batch_gradients(const struct golden_batch *b, struct gw_trainer *t,
                                        double *loss, struct gwen_err *err);

/* The steps of a golden's manifest. */
struct golden_step {
    double lr, loss_before, grad_norm;
};
struct golden_steps {
    struct golden_step *list;
    size_t n;
    struct gw_adamw_opts adamw;
    double max_grad_norm, loss_after;
};
enum gwen_status golden_steps_read(struct gw_json_node root, struct golden_steps *s,
                                   struct gwen_err *err);

/* Compares arrays tensor by tensor with PREFIX + name of the golden; tensors that it does not have
 * are an error.  Each a case: the largest error relative to the tensor's largest element. */
void golden_compare_gradients(const char *name, const char *prefix, const struct gw_safetensors *st,
                              const struct gw_params *params, const float *got, double tolerance,
                              struct golden_counts *counts);
/* The same by root mean square and by largest element. */
void golden_compare_final(const char *name, const struct gw_safetensors *st,
                          const struct gw_params *params, const float *got, double rms,
                          double largest, struct golden_counts *counts);
/* One number. */
void golden_compare_number(const char *name, const char *what, double got, double wanted,
                           double tolerance, struct golden_counts *counts);

#endif

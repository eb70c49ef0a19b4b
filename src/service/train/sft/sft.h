/* sft.h - supervised fine-tuning: the mean negative log-probability of the tokens that count, as
 * TRL's SFTTrainer, row by row without padding; and what other rows get, the validation loss.
 *
 * A step takes per_device_train_batch_size times gradient_accumulation_steps bins (data.h).
 * loss is the mean over all tokens of the step that count.  entropy and mean_token_accuracy, the
 * share of tokens that were the likeliest, are means of the batches' means, as in TRL; so is
 * eval_loss over batches of per_device_eval_batch_size bins, by their bins. */
#ifndef GW_SERVICE_TRAIN_SFT_SFT_H
#define GW_SERVICE_TRAIN_SFT_SFT_H

#include "service/train/run.h"
#include "service/train/sft/data.h"

/* What goes through the model for a step. */
struct gw_sft_size {
    size_t bins, rows, tokens; /* at most */
};
struct gw_sft_size gw_sft_step_size(const struct gw_train_config *c,
                                    const struct gw_sft_data *data);
uint64_t gw_sft_total_steps(const struct gw_train_config *c, const struct gw_sft_data *data);
/* Bytes that gw_sft_run takes besides what learner and data hold.  eval NULL: none. */
size_t gw_sft_bytes(const struct gw_train_config *c, const struct gw_sft_data *data,
                    const struct gw_sft_data *eval);

/* Trains until the run is over.  An epoch uses every bin once, in an order drawn from the seed;
 * its last step takes what is left.  The rows of `eval` (NULL: none) are evaluated every
 * eval_steps and at the end.  GWEN_ERR_CANCELLED, with a checkpoint, when asked to stop. */
enum gwen_status gw_sft_run(struct gw_train_run *run, struct gw_learner *learner,
                            const struct gw_sft_data *data, const struct gw_sft_data *eval,
                            struct gwen_err *err);

#endif

/* sft.h - supervised fine-tuning: the mean negative log-probability of the tokens that count, as
 * TRL's SFTTrainer, row by row without padding. */
#ifndef GW_SFT_H
#define GW_SFT_H

#include "service/sft_data.h"
#include "service/train_run.h"

/* Rows of an optimizer step. */
size_t gw_sft_step_rows(const struct gw_train_config *c);
uint64_t gw_sft_total_steps(const struct gw_train_config *c, const struct gw_sft_data *data);
/* Bytes that gw_sft_run takes besides what learner and data hold. */
size_t gw_sft_bytes(const struct gw_train_config *c, const struct gw_sft_data *data);

/* Trains until the run is over.  An epoch uses every row once, in an order drawn from the seed;
 * its last step takes what is left.  GWEN_ERR_CANCELLED, with a checkpoint, when asked to stop. */
enum gwen_status gw_sft_run(struct gw_train_run *run, struct gw_learner *learner,
                            const struct gw_sft_data *data, struct gwen_err *err);

#endif

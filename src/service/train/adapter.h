/* adapter.h - the adapter that a training run begins with, from its options.
 *
 * Names and defaults are those of TRL's ModelConfig and PEFT's LoraConfig: lora_r, lora_alpha,
 * use_rslora, lora_target_modules (nothing: q_proj and v_proj, "all-linear": all seven) and
 * layers_to_transform (nothing: all). */
#ifndef GW_SERVICE_TRAIN_ADAPTER_H
#define GW_SERVICE_TRAIN_ADAPTER_H

#include "model/lora.h"
#include "service/train/config.h"

/* Name i of the options that only make sense with an adapter; NULL past the last one. */
const char *gw_adapter_option(size_t i);

/* Fills cfg->lora_* with what the run's adapter will take.  Errors name the option. */
enum gwen_status gw_adapter_plan(const struct gw_train_config *c, enum gw_panel_format format,
                                 struct gw_config *cfg, struct gwen_err *err);
/* Puts it on the model: A drawn from the run's seed, B zero. */
enum gwen_status gw_adapter_create(const struct gw_train_config *c, struct gw_model *model,
                                   struct gwen_err *err);

#endif

/* config.h - the options of training, by the names and with the defaults of TRL 1.16
 * (GRPOConfig, SFTConfig), transformers (TrainingArguments) and TRL's ModelConfig for LoRA.
 *
 * One table says what there is: names, types, ranges, defaults.  From it follow reading an option
 * from text, reading a JSON object, and writing one for a checkpoint.  What is None in TRL is NaN
 * (reals), 0 (counts) or NULL here, and null in JSON. */
#ifndef GW_SERVICE_TRAIN_CONFIG_H
#define GW_SERVICE_TRAIN_CONFIG_H

#include "base/json.h"
#include "ops/loss.h"

enum gw_train_kind { GW_TRAIN_GRPO, GW_TRAIN_SFT };

enum gw_optim { GW_OPTIM_ADAMW, GW_OPTIM_ADAMW_BF16 };
enum gw_lr_scheduler { GW_LR_LINEAR, GW_LR_COSINE, GW_LR_CONSTANT, GW_LR_CONSTANT_WITH_WARMUP };
enum gw_scale_rewards { GW_SCALE_GROUP, GW_SCALE_BATCH, GW_SCALE_NONE };
enum gw_advantage_estimator { GW_ESTIMATOR_GRPO, GW_ESTIMATOR_RLOO, GW_ESTIMATOR_REINFORCE_PP };
enum gw_importance_level { GW_IMPORTANCE_TOKEN, GW_IMPORTANCE_SEQUENCE };

enum { GW_MAX_REWARD_WEIGHTS = 32, GW_MAX_LIST = 512 };

struct gw_train_config {
    enum gw_train_kind kind;
    /* how long, and in what steps */
    int64_t max_steps; /* -1: num_train_epochs says */
    double num_train_epochs;
    size_t per_device_train_batch_size, gradient_accumulation_steps;
    uint64_t seed;
    /* optimizer */
    int optim; /* enum gw_optim */
    double learning_rate, weight_decay, adam_beta1, adam_beta2, adam_epsilon;
    double max_grad_norm;  /* 0: no clipping */
    int lr_scheduler_type; /* enum gw_lr_scheduler */
    double warmup_steps;   /* below 1: a share of all steps */
    double warmup_ratio;   /* used where warmup_steps is 0 */
    /* logs and checkpoints */
    size_t logging_steps, save_steps, save_total_limit, eval_steps;
    size_t per_device_eval_batch_size;
    bool log_completions;
    size_t num_completions_to_print; /* 0: all */
    /* LoRA */
    bool use_peft, use_rslora;
    size_t lora_r;
    double lora_alpha, lora_dropout;
    char lora_target_modules[GW_MAX_LIST]; /* names with commas; "": by architecture */
    char layers_to_transform[GW_MAX_LIST]; /* numbers with commas; "": all */
    /* SFT */
    size_t max_length;
    bool packing;
    /* GRPO: rollouts */
    size_t num_generations, max_completion_length;
    double temperature, top_p, min_p, repetition_penalty;
    size_t top_k;
    size_t steps_per_generation; /* 0: gradient_accumulation_steps */
    bool shuffle_dataset;
    /* GRPO: loss */
    double beta, epsilon, epsilon_high, delta;
    int loss_type;                                /* enum gw_loss_type */
    int scale_rewards, importance_sampling_level; /* enums above */
    bool mask_truncated_completions, use_bias_correction_kl;
    size_t num_iterations;
    int advantage_estimator; /* enum above */
    bool dynamic_sampling, filter_zero_std;
    size_t max_resample_rounds;
    double reward_weights[GW_MAX_REWARD_WEIGHTS];
    size_t n_reward_weights; /* 0: all 1 */
};

/* TRL's defaults for one kind of training. */
void gw_train_config_init(struct gw_train_config *c, enum gw_train_kind kind);
/* Sets one option from its text ("1e-6", "true", "dapo", "1,0.5"; "null" gives back the default);
 * in names '-' and '_' are the same.  Errors do not say where; they name the option, and for an
 * unknown one the nearest there is. */
enum gwen_status gw_train_config_set(struct gw_train_config *c, const char *name, const char *text,
                                     struct gwen_err *err);
/* Sets the options that the JSON object has.  Errors begin with the document's name. */
enum gwen_status gw_train_config_apply(struct gw_train_config *c, const struct gw_json_doc *doc,
                                       struct gwen_err *err);
/* Whether the options fit together, which none of them shows alone. */
enum gwen_status gw_train_config_check(const struct gw_train_config *c, struct gwen_err *err);
/* Appends all options as a JSON object, which gives the same options when it is applied. */
void gw_train_config_put_json(const struct gw_train_config *c, struct gw_str *out);
/* For a resumed run: fails, naming the first option that differs, unless the object (written by
 * put_json) holds what *c does.  How long to train and what is logged or saved may differ. */
enum gwen_status gw_train_config_same(const struct gw_train_config *c, const char *json, size_t len,
                                      struct gwen_err *err);
/* --- the table, for whoever lists it -------------------------------------------------------- */

struct gw_train_option {
    const char *name, *help;
    const char *arg; /* what -h calls the value; NULL: true or false */
};
size_t gw_train_option_count(enum gw_train_kind kind);
struct gw_train_option gw_train_option_at(enum gw_train_kind kind, size_t i); /* i < count */
/* Appends the option's value as text, nothing where it is null.  An unknown name has none. */
void gw_train_config_show(const struct gw_train_config *c, const char *name, struct gw_str *out);

/* Completions of one rollout: per_device_train_batch_size times steps_per_generation. */
size_t gw_train_config_generation_batch(const struct gw_train_config *c);

#endif

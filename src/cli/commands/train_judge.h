/* train_judge.h - the judge of `train`: its options, its model beside the policy, its reward.
 *
 * Without --judge-model it is the policy as it was before training: with an adapter the base
 * weights, which are there anyway, else the reference of the KL, or where there is none a second
 * copy. */
#ifndef GW_CLI_COMMANDS_TRAIN_JUDGE_H
#define GW_CLI_COMMANDS_TRAIN_JUDGE_H

#include "cli/with_training.h"
#include "service/judge/reward.h"

struct gw_train_judge {
    /* options; rubric_path NULL: no judge */
    const char *rubric_path, *model_dir, *cache_path;
    double weight;
    int mode; /* enum gw_judge_mode */
    size_t max_tokens, chunk;
    /* the run */
    struct gw_training *training;
    struct gw_rubric rubric;
    struct tm now;
    struct gw_str dir; /* of weights that are the judge's own; empty: it uses those of another */
    struct gw_config own_cfg;
    struct gw_generation_config generation;
    enum gw_dtype dtype;
    struct gw_tokenizer *own_tokenizer;
    struct gw_model *own_model, *shared; /* shared: borrowed */
    struct gw_judge_cache *cache;
    struct gw_judge *judge;
    struct gw_judge_reward *reward;
};

/* In training there are no more responses than samples of a step: fewer at a time take less. */
#define GW_TRAIN_JUDGE_INIT                                                                        \
    { .weight = 1, .max_tokens = GW_JUDGE_MAX_TOKENS, .chunk = 16 }

/* Rows of an option table for the struct gw_train_judge `j`. */
#define GW_TRAIN_JUDGE_OPTIONS(j)                                                                  \
    GW_OPT_STRING("judge", 0, &(j).rubric_path, "FILE",                                            \
                  "add rewards graded by a model under this rubric (see gwen-cpu help judge)"),    \
        GW_OPT_STRING("judge-model", 0, &(j).model_dir, "DIR",                                     \
                      "model that grades (default: the model as it is before training)"),          \
        GW_OPT_REAL("judge-weight", 0, &(j).weight, -1e6, 1e6,                                     \
                    "weight of the judge's rewards beside the others"),                            \
        GW_OPT_CHOICE("judge-mode", 0, &(j).mode, "generate|logits",                               \
                      "generate a verdict, or read the grade off the next token's logits"),        \
        GW_OPT_COUNT("judge-max-tokens", 0, &(j).max_tokens, 1, 4096,                              \
                     "most tokens of a generated verdict"),                                        \
        GW_OPT_COUNT("judge-chunk-size", 0, &(j).chunk, 1, 1 << 16, "responses judged together"),  \
        GW_OPT_STRING("judge-cache", 0, &(j).cache_path, "FILE",                                   \
                      "cache of verdicts, an SQLite file; created if missing")

/* Reads the rubric, finds the judge's model and adds its reward; the training has been opened.
 * Nothing where there is no judge, as all that follow. */
enum gwen_status gw_train_judge_open(struct gw_train_judge *j, struct gw_training *t,
                                     struct gw_rewards *rewards, struct gwen_err *err);
/* Adds to the plan what it takes for texts of up to text_tokens of the policy's tokens.
 * plan->reference is known. */
enum gwen_status gw_train_judge_plan(struct gw_train_judge *j, size_t text_tokens,
                                     struct gw_plan_options *plan, struct gwen_err *err);
/* Adds what its verdicts depend on. */
enum gwen_status gw_train_judge_origin(const struct gw_train_judge *j, struct gw_provenance *p,
                                       struct gwen_err *err);
/* Gives the judge the frozen model that there is; NULL: only the policy's own. */
void gw_train_judge_share(struct gw_train_judge *j, struct gw_model *reference);
void gw_train_judge_close(struct gw_train_judge *j); /* after the rewards */

#endif

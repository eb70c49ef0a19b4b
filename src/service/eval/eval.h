/* eval.h - a full sweep over a data set: of each prompt a greedy sample and k drawn ones, scored.
 *
 *     prompts --rollout, stream eval--> samples --reward--> result
 *                                          '--row--> part file, FILE
 *
 * Tasks and what they score with (reward.h): gsm8k, countdown, qa (exact match). */
#ifndef GW_SERVICE_EVAL_EVAL_H
#define GW_SERVICE_EVAL_EVAL_H

#include "service/eval/result.h"
#include "service/record/provenance.h"
#include "service/reward/reward.h"
#include "service/rollout/file.h"
#include "service/rollout/rollout.h"

struct gw_eval_opts {
    size_t k;                     /* samples of each prompt beside the greedy one */
    struct gw_rewards *rewards;   /* the first one scores */
    struct gw_rollout_file *file; /* rows go there, and those that are there are not redrawn;
                                   * NULL: no rows */
    uint64_t settings;            /* for the rows */
    const char *numeric_class;    /* likewise */
    const struct gw_tokenizer *tokenizer;
    gwen_progress_fn progress;
    void *progress_user;
};

/* Makes *o, in which everything else is set, one for a sweep with k samples: groups, stream, the
 * greedy sample in front. */
void gw_eval_rollout_opts(struct gw_rollout_opts *o, size_t k);
/* Adds what rows depend on beside the model. */
void gw_eval_provenance(struct gw_provenance *p, const struct gw_rollout_opts *o,
                        const struct gw_rewards *rewards, const struct gw_prompts *prompts);
/* Fails unless the first reward, if there is one yet, has something to say about every prompt;
 * `path` is for the message. */
enum gwen_status gw_eval_check_prompts(const struct gw_rewards *rewards,
                                       const struct gw_prompts *prompts, const char *path,
                                       struct gwen_err *err);
/* Samples and scores.  *result (of gw_eval_result_new) gets the samples that were drawn now;
 * seconds go to *generate_s and *score_s.  *stats may be NULL. */
enum gwen_status gw_eval_run(struct gw_rollout *rollout, const struct gw_prompts *prompts,
                             const struct gw_eval_opts *opts, struct gw_eval_result *result,
                             double *generate_s, double *score_s, struct gw_rollout_stats *stats,
                             struct gwen_err *err);

#endif

/* reward.h - a judge as rewards of training, with the signs by which one sees that it is
 * being pleased instead of convinced.
 *
 * Each criterion NAME is a reward "judge/NAME" of (grade - 3) / 2, whose weight is its own times
 * that of the judge.  Metrics of each step: judge/NAME/mean and judge/NAME/hist_1 .. hist_5 (shares
 * of grades, rounded), judge/neutral_share (grades within a quarter of 3), judge/length_correlation
 * (of what the judge pays and tokens) and judge/stock_phrase_share (of completions that have one
 * run of eight tokens in common). */
#ifndef GW_SERVICE_JUDGE_REWARD_H
#define GW_SERVICE_JUDGE_REWARD_H

#include "service/judge/judge.h"
#include "service/reward/reward.h"

struct gw_judge_reward;

/* Adds the criteria to `rewards`.  The judge and its rubric must outlive the set.  Responses that
 * do not fit into the judge's context or memory get no reward, which is logged. */
enum gwen_status gw_judge_reward_add(struct gw_rewards *rewards, struct gw_judge *judge,
                                     const struct gw_rubric *rubric, double weight,
                                     const struct gw_log *log, struct gw_judge_reward **out,
                                     struct gwen_err *err);
void gw_judge_reward_free(struct gw_judge_reward *r); /* NULL is fine; after the set */

/* The largest share of n completions that have one run of eight tokens in common; 0 for fewer than
 * two of them. */
double gw_stock_phrase_share(const struct gw_reward_input *in, size_t n);

#endif

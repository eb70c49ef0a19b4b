/* plan.h - how the trainer cuts its work so that everything fits into the memory there is.
 * Results do not depend on it. */
#ifndef GW_SERVICE_TRAIN_PLAN_H
#define GW_SERVICE_TRAIN_PLAN_H

#include "service/plan.h"

enum { GW_RECOMPUTE_AUTO = -1 };

/* What is asked for. */
struct gw_train_cut {
    size_t micro_batch; /* samples of a pass; 0: what is good */
    size_t tuned;       /* that is what tune found out (tune/train.h); 0: not known */
    int recompute;      /* enum gw_recompute, or AUTO: the least that fits */
    size_t stride;      /* of gw_trainer_opts.recompute_stride */
};

/* The work: `samples` of a step, of at most max_len tokens each and `tokens` together (0: all of
 * max_len); with shared prompts of at most max_prompt tokens, each of them by `group` samples of at
 * most max_len - max_prompt tokens (0: nothing is shared).  `prompts`: a step takes any samples
 * of the groups of so many prompts, single samples too (0: whole groups). */
struct gw_train_work {
    size_t samples, tokens, max_len, max_prompt, group, prompts;
    size_t batch; /* per_device_train_batch_size, where `samples` goes down with it; else 0 */
    double temperature;
};

/* Fills plan->trainer, sets kind GW_PLAN_TRAIN; the rest of *plan is the caller's.  GWEN_ERR_NOMEM
 * when nothing fits into budget_bytes: the message names what would make it fit, as far as that was
 * tried, and what it would need then. */
enum gwen_status gw_train_plan(const struct gw_train_cut *cut, const struct gw_train_work *work,
                               size_t budget_bytes, struct gw_plan_options *plan,
                               struct gwen_err *err);
/* The same for whoever only wants to know whether it fits; *plan is then the one that needs least.
 */
bool gw_train_fit(const struct gw_train_cut *cut, const struct gw_train_work *work,
                  size_t budget_bytes, struct gw_plan_options *plan);

#endif

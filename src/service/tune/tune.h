/* tune.h - what `gwen-cpu tune` measures and decides: cuts of the products, threads, rows of
 * prefill, and how many samples to decode together in the memory there is.
 *
 *     peaks -> threads -> cuts -> prefill rows -> curve of steps -> queue played -> short real runs
 *
 * Everything is measured on the model itself, candidates in turns (A B C A B C) so that what
 * changes on the machine meanwhile meets them all.  One that is better by less than the noise is
 * not preferred: the smaller one, or the default, stays. */
#ifndef GW_SERVICE_TUNE_TUNE_H
#define GW_SERVICE_TUNE_TUNE_H

#include "base/progress.h"
#include "service/rollout/rollout.h"

struct gw_tune_opts {
    struct gw_model *model; /* its tuning is set as cuts are tried; left as chosen */
    struct gw_plan_options base;
    size_t threads[4], n_threads; /* candidates; the first is that of `pool` */
    struct gw_pool *pool;
    const struct gw_hw *hw; /* other pools are bound to; NULL: not bound */
    enum gw_bind bind;
    size_t budget_bytes; /* of everything, weights included */
    double seconds;      /* to spend, from start_ns on */
    uint64_t start_ns;
    const struct gw_prompts *prompts; /* the work; rows are not read */
    const struct gw_rollout_opts *rollout;
    gwen_progress_fn progress;
    void *progress_user;
    const struct gw_log *log;
};

struct gw_tune_candidate {
    struct gw_rollout_choice choice; /* its speed corrected by real runs */
    double tok_s_std;
    bool real; /* was run for real */
};

enum { GW_TUNE_TRAIN_CHOICES = 4 };

struct gw_tune_train_choice {
    size_t micro_batch, bytes; /* of all that training takes */
    double seconds;            /* of a few samples' passes through one layer */
};

/* train.h */
struct gw_tune_train {
    size_t micro_batch;  /* chosen; 0: could not be */
    struct gwen_err why; /* why none could be chosen */
    enum gw_recompute recompute;
    size_t n;
    struct gw_tune_train_choice choices[GW_TUNE_TRAIN_CHOICES]; /* measured ones, ascending */
};

struct gw_tune_result {
    double flops_s, bytes_s; /* measured peaks of the chosen threads; 0: could not be measured */
    size_t threads, prefill_rows;
    struct gw_linear_tuning linear;
    struct gw_speed speed; /* CURVE, unless the time was too short for one */
    size_t n_candidates, chosen;
    struct gw_tune_candidate candidates[GW_ROLLOUT_CANDIDATES];
    struct gw_tune_train train;
    double seconds; /* spent */
};

/* GWEN_ERR_NOMEM when not even one sample at a time fits. */
enum gwen_status gw_tune_run(const struct gw_tune_opts *opts, struct gw_tune_result *result,
                             struct gwen_err *err);

struct gw_tune_real {
    double tok_s; /* 0: stopped after `limit` seconds */
    struct gw_engine_stats stats;
};

/* Runs a queue through the engine with the sizes of `plan`: random prompts, and a sample ends when
 * it has the length drawn for it.  Stops after `limit` seconds (0: never); `progress` is asked once
 * a step, false cancels. */
enum gwen_status gw_tune_real(const struct gw_model *model, struct gw_pool *pool,
                              const struct gw_queue *queue, const struct gw_rollout_plan *plan,
                              double limit, bool (*progress)(void *ctx), void *ctx,
                              struct gw_tune_real *result, struct gwen_err *err);

#endif

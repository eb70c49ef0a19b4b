/* run.h - the folder of a training run: metrics, the line that people see of a step, checkpoints,
 * and resuming from the newest of them.
 *
 *     OUT/metrics.jsonl, OUT/events.out.tfevents...   a line per optimizer step
 *     OUT/rollouts/step-N.jsonl                       the samples of a step (train)
 *     OUT/checkpoint-N/                               model, optimizer.safetensors, state.json
 *     OUT/config.json, model.safetensors ...          the model, once the run has come to its end
 */
#ifndef GW_SERVICE_TRAIN_RUN_H
#define GW_SERVICE_TRAIN_RUN_H

#include "base/progress.h"
#include "service/record/metrics.h"
#include "service/record/provenance.h"
#include "service/train/checkpoint.h"
#include "service/train/learner.h"
#include "service/train/watch.h"

/* Who asked for the run. */
struct gw_train_host {
    const struct gw_log *log;
    bool json; /* a step's line is its metrics, as a JSON object */
    /* Takes a step's line, newline included. */
    enum gwen_status (*say)(void *ctx, const char *text, size_t len, struct gwen_err *err);
    bool (*keep_going)(
        void *ctx); /* asked between steps (within them the learner's go_on, the
                     * rewards' and the progress of sampling are); NULL: to the end */
    void *ctx;
    gwen_progress_fn progress; /* of the phases of a step; user: ctx; may be NULL */
};

/* What a run is about to do. */
struct gw_train_job {
    uint64_t total_steps;
    uint64_t data;                      /* a hash of the rows */
    const char *data_path;              /* for messages */
    uint64_t checkpoint_bytes;          /* of each */
    uint64_t model_bytes;               /* of what is written at the end */
    const struct gw_provenance *origin; /* what else decides the results */
    const struct gw_str *profile;       /* struct gw_train_state */
};

enum { GW_TRAIN_LAST = 10 }; /* steps that time/train/step_avg_last10_s looks at */

struct gw_train_run {
    const char *dir;
    const struct gw_train_config *config;
    const struct gw_train_host *host;
    struct gw_train_state state; /* where the run is */
    struct gw_str checkpoint;    /* that it is resumed from; empty: none */
    struct gw_metrics metrics;   /* of the step in progress; of the last one after opening */
    struct gw_metrics_log *log;
    struct gw_checkpoint_part more; /* of checkpoints, besides the learner's; write NULL: none */
    struct gw_watch watch;
    uint64_t total_steps;
    double last_seconds[GW_TRAIN_LAST];
    uint64_t n_seconds;
    uint64_t saved; /* step of the newest checkpoint */
    int lock;       /* of the folder, with has_lock */
    bool has_lock;
    struct gw_progress phase; /* of the step in progress */
    bool added;               /* the last step has a row that was added to it (gw_train_run_add) */
};

/* Finds what there is in `dir` (made if need be), and keeps other runs out of it.  resume false:
 * there must be no run and no model in it.  resume true: resumes the newest checkpoint, the
 * options of which must be the same, or begins where there is none, and no model either.  Fills
 * state and checkpoint; nothing is changed yet.  gw_train_run_close whatever the outcome. */
enum gwen_status gw_train_run_find(struct gw_train_run *run, const char *dir, bool resume,
                                   const struct gw_train_config *config,
                                   const struct gw_train_host *host, struct gwen_err *err);
/* Refuses to resume with other data or another origin, and more than fits on the disk. */
enum gwen_status gw_train_run_check(const struct gw_train_run *run, const struct gw_train_job *job,
                                    struct gwen_err *err);
/* The same; then cuts the logs back to the state's step and opens them. */
enum gwen_status gw_train_run_open(struct gw_train_run *run, const struct gw_train_job *job,
                                   struct gwen_err *err);
/* Logs run->metrics as those of state.step, warns of bad signs in them (watch.h), and hands the
 * step's line to the host's `say` where it is due. */
enum gwen_status gw_train_run_step(struct gw_train_run *run, struct gw_step_report *report,
                                   struct gwen_err *err);
/* Whether a step is reported to people: the first, the last, and every logging_steps. */
bool gw_train_run_is_told(const struct gw_train_run *run, uint64_t step);
/* The step has been made, but what belongs to it (its evaluation) was cut short: run->metrics and
 * the report are kept in the state, instead of being logged, until gw_train_run_step. */
enum gwen_status gw_train_run_hold(struct gw_train_run *run, const struct gw_step_report *report,
                                   struct gwen_err *err);
/* What was held by the checkpoint that the run goes on from, after gw_train_run_open: run->metrics
 * and *report as they were.  *held false: nothing. */
enum gwen_status gw_train_run_take_held(struct gw_train_run *run, struct gw_step_report *report,
                                        bool *held, struct gwen_err *err);
/* Adds a row to the logs, after that of the last step and with its number. */
enum gwen_status gw_train_run_add(struct gw_train_run *run, const struct gw_metrics *m,
                                  struct gwen_err *err);
/* Whether the run looks lost (watch.h). */
bool gw_train_run_collapsed(const struct gw_train_run *run);
/* Writes a checkpoint of state.step if one is due: every save_steps, at the end, or `now`.  After a
 * step that was left out there is none, lest broken weights take the place of good ones; what was
 * due is made up for after the next good step. */
enum gwen_status gw_train_run_save(struct gw_train_run *run, struct gw_learner *learner, bool now,
                                   struct gwen_err *err);
/* After a step that failed, if the last finished one is as good as before: saves that.  A failure
 * of this too is logged. */
void gw_train_run_rescue(struct gw_train_run *run, struct gw_learner *learner);
/* Whether the run is over: done, or asked to stop (then it saves and is GWEN_ERR_CANCELLED). */
enum gwen_status gw_train_run_more(struct gw_train_run *run, struct gw_learner *learner, bool *more,
                                   struct gwen_err *err);
/* Writes the model into the run's folder, and logs how the reward (or the loss) went. */
enum gwen_status gw_train_run_finish(struct gw_train_run *run, const struct gw_learner *learner,
                                     struct gwen_err *err);
/* Begins a phase of a step of `total` units (0 and "": nothing to count), which is told at once;
 * cancellation is not heard here (the learner's go_on). */
void gw_train_run_phase(struct gw_train_run *run, const char *what, const char *unit,
                        uint64_t total);
/* `done` units of it are done. */
void gw_train_run_done(struct gw_train_run *run, uint64_t done);
void gw_train_run_close(struct gw_train_run *run);

#endif

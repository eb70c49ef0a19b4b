/* progress.h - telling the caller how far a long call has come, and hearing "stop" from it.
 *
 * struct gw_progress wraps the caller's callback (gwen_progress_fn): it throttles the reports,
 * but asks at least ten times a second, so that a cancellation is heard soon.  struct gw_eta and
 * gw_progress_line turn reports into the text of a progress bar; printing it is the command
 * line's business. */
#ifndef GW_PROGRESS_H
#define GW_PROGRESS_H

#include "base/base.h"

/* A phase without parts that could be counted has the unit "" and no total. */

struct gw_progress {
    gwen_progress_fn fn; /* NULL: nobody listens, nothing cancels */
    void *user;
    const char *what;  /* "prefill", "rollout"...; must outlive the progress */
    const char *unit;  /* of done and total: "tokens", "samples" */
    uint64_t total;    /* 0: not known */
    uint64_t interval; /* least nanoseconds between two reports */
    uint64_t last_ns;  /* time of the last report; 0: none yet */
    bool cancelled;    /* the callback said stop; remembered */
};

/* Starts a phase; fn may be NULL. */
void gw_progress_init(struct gw_progress *p, gwen_progress_fn fn, void *user, const char *what,
                      const char *unit, uint64_t total);
/* Reports `done` units, if the last report is old enough or done == total.  Returns
 * GWEN_ERR_CANCELLED (and fills *err) once the callback has returned false.  p may be NULL.
 * For one thread at a time. */
enum gwen_status gw_progress_update(struct gw_progress *p, uint64_t done, struct gwen_err *err);

/* Remaining time, from the mean rate since the first report. */
struct gw_eta {
    uint64_t start_ns, start_done;
    bool started;
};
/* Seconds left at `now_ns` with `done` of `total`; negative when not known yet. */
double gw_eta_seconds(struct gw_eta *eta, uint64_t now_ns, uint64_t done, uint64_t total);
/* One line without control characters, at most width columns (and size-1 bytes), such as
 *     rollout  [=========>          ]  48 % 123/256 samples  0:42 left
 * Returns its length. */
size_t gw_progress_line(char *out, size_t size, int width, const struct gwen_progress *report,
                        double eta_seconds);

/* A run of steps, of which the reports are phases. */
struct gw_run_steps {
    uint64_t step, total;        /* in progress, from 1; of the run; total 0: no run */
    uint64_t first;              /* the first one since the program began */
    uint64_t start_ns, begun_ns; /* when that one began; when the one in progress did */
};
/* Step `step` is in progress at `now_ns`. */
void gw_steps_at(struct gw_run_steps *s, uint64_t now_ns, uint64_t step, uint64_t total);
/* Seconds left of the run, from the mean time of the steps that are done; negative when there is
 * none yet. */
double gw_steps_left(const struct gw_run_steps *s, uint64_t now_ns);
/* As gw_progress_line, such as
 *     step 3/20  train  [====>   ]  48 % 123/256 tokens  step 0:12  run 1:32  9:20 left
 * The times are those of the step, of the run so far and of what is left of it. */
size_t gw_progress_step_line(char *out, size_t size, int width, const struct gwen_progress *report,
                             const struct gw_run_steps *steps, uint64_t now_ns);

#endif

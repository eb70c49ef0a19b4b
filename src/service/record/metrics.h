/* metrics.h - the figures of a training step, and the files they are logged to.
 *
 *     DIR/metrics.jsonl                   {"step":1,"loss":0.25,...}, one line per step
 *     DIR/events.out.tfevents.gwen-cpu    the same for TensorBoard (tfevents.h)
 *
 * Both are appended to, each step wholly or not at all, and can be cut back to the step of a
 * checkpoint: what a resumed run then appends continues them as if it had never stopped. */
#ifndef GW_SERVICE_RECORD_METRICS_H
#define GW_SERVICE_RECORD_METRICS_H

#include "base/base.h"
#include "base/log.h"
#include "base/str.h"

/* What a line of metrics.jsonl may hold at most. */
enum { GW_METRICS_MAX_LINE = 16 << 20 };

/* --- one step ------------------------------------------------------------------------------- */

struct gw_metric {
    char *name; /* TRL's: "loss", "rewards/gsm8k/mean", ... */
    double value;
};

/* Names and values in the order in which they were first put.  A failed allocation is remembered
 * and reported by whoever logs the metrics. */
struct gw_metrics {
    struct gw_metric *items;
    size_t n, cap;
    bool failed;
};

/* Sets a value; one that is there already is replaced.  NaN and infinities are kept, and logged as
 * null. */
void gw_metrics_put(struct gw_metrics *m, const char *name, double value);
/* NaN when it is not there. */
double gw_metrics_get(const struct gw_metrics *m, const char *name);
/* Forgets values and names; what was allocated stays for the next step. */
void gw_metrics_clear(struct gw_metrics *m);
void gw_metrics_free(struct gw_metrics *m); /* a zeroed one is fine */
/* Appends {"step":N,...} and a newline, values with 9 significant digits. */
void gw_metrics_put_json(const struct gw_metrics *m, uint64_t step, struct gw_str *out);

/* --- the files ------------------------------------------------------------------------------ */

struct gw_metrics_log;

/* Opens the two files of an existing folder.  resume false: they must not be there (or be empty).
 * resume true: they are cut back to steps <= keep first, and made if they are missing. */
enum gwen_status gw_metrics_log_open(const char *dir, bool resume, uint64_t keep,
                                     struct gw_metrics_log **out, struct gwen_err *err);
/* Appends a step; steps grow.  wall_time (seconds since 1970) is for TensorBoard alone. */
enum gwen_status gw_metrics_log_write(struct gw_metrics_log *log, uint64_t step, double wall_time,
                                      const struct gw_metrics *m, struct gwen_err *err);
/* Whether metrics.jsonl has no row. */
bool gw_metrics_log_is_empty(const struct gw_metrics_log *log);
/* The length and the checksum (base/checksum.h) of metrics.jsonl as it is now. */
enum gwen_status gw_metrics_log_sum(const struct gw_metrics_log *log, uint64_t *bytes,
                                    uint64_t *sum, struct gwen_err *err);
/* Has the disk hold what was written: to be called before a checkpoint of that step is made. */
enum gwen_status gw_metrics_log_sync(struct gw_metrics_log *log, struct gwen_err *err);
void gw_metrics_log_close(struct gw_metrics_log *log); /* NULL is fine */

/* Cuts a JSONL file whose rows have growing "step"s back to rows with step <= keep; a torn last
 * line goes too.  A file that is not there is fine.  A row that cannot be read, or has no step, is
 * an error that names file and line. */
enum gwen_status gw_jsonl_cut(const char *path, uint64_t keep, struct gwen_err *err);

/* What metrics.jsonl was when a checkpoint of step `keep` was made. */
struct gw_metrics_was {
    uint64_t keep;
    bool known; /* false: of a checkpoint that does not say */
    uint64_t bytes, sum;
};
/* Before a folder's metrics.jsonl is gone on with: where it is not what it was (rows lost, changed
 * or added) warns of that; where a row cannot be read, the rows up to keep that can be are what
 * stays, and the damaged file is kept as metrics.jsonl.damaged.  A lost or damaged log is no error:
 * no result depends on it. */
enum gwen_status gw_metrics_mend(const char *dir, const struct gw_metrics_was *was,
                                 const struct gw_log *log, struct gwen_err *err);

/* --- for people ----------------------------------------------------------------------------- */

/* What the line of a step says; what is NaN is left out. */
struct gw_step_report {
    uint64_t step, n_steps;
    double loss, reward;
    double seconds;
    double rollout_tok_s, train_tok_s;
};
/* "step 1/100 | loss 0.0123 | reward 0.75 | 10.5s | rollout 607.4 tok/s | train 91.6 tok/s",
 * without a newline. */
void gw_step_line(const struct gw_step_report *r, struct gw_str *out);

/* Appends at most `width` block characters (U+2581..U+2588) that draw the series: where it is
 * longer, a character is the mean of a stretch.  Stretches without a finite value are blanks. */
void gw_sparkline(const double *values, size_t n, size_t width, struct gw_str *out);

#endif

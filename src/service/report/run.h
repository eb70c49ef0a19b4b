/* run.h - the folder of a run as a report sees it: metrics in columns, cut to a bounded
 * number of points, and which steps have samples.
 *
 *     DIR/metrics.jsonl           {"step":1,"loss":0.25,...}    any names; null: no value
 *     DIR/rollouts/step-N.jsonl   samples of a step, where the run has any
 *
 * A run may still be going on, or have been killed: lines that cannot be read are left out, and
 * `notes` says so.  Memory does not grow with the length of the run. */
#ifndef GW_SERVICE_REPORT_RUN_H
#define GW_SERVICE_REPORT_RUN_H

#include "base/base.h"
#include "base/str.h"

/* Most points, metrics, bytes of a line and of a metric's name, and files of samples. */
enum {
    GW_REPORT_POINTS = 1024,
    GW_REPORT_SERIES = 512,
    GW_REPORT_LINE = 8 << 20,
    GW_REPORT_NAME = 128,
    GW_REPORT_FILES = 1 << 20
};

/* One metric. */
struct gw_report_series {
    char *name;
    double *values; /* [points of the run] means over a point's steps, NaN where it has none */
    double stretch; /* sum and number of the steps that will be the next point */
    size_t in_stretch;
    /* over every step that has a value */
    uint64_t count;
    double total, first, last, least, most;
};

struct gw_report_run {
    char *dir, *name; /* name: what it is called on the page */
    double *steps;    /* [n] the last step of each point */
    size_t n, stride; /* points; steps of a point */
    size_t in_stretch;
    uint64_t n_steps, last_step;
    struct gw_report_series *series; /* in the order in which they appear */
    size_t n_series;
    uint64_t *sample_steps; /* [n_sample_steps] growing */
    size_t n_sample_steps;
    struct gw_str notes; /* what is not as it should be, a line each; data NULL: all is well */
};

/* Reads the run in `dir`.  A folder without metrics.jsonl, or one of which no line can be read, is
 * an error.  On failure *run is zeroed. */
enum gwen_status gw_report_run_read(const char *dir, struct gw_report_run *run,
                                    struct gwen_err *err);
void gw_report_run_free(struct gw_report_run *run); /* a zeroed one is fine */
/* NULL when the run has no finite value of that name. */
const struct gw_report_series *gw_report_run_find(const struct gw_report_run *run,
                                                  const char *name);
/* Sets the names of n runs: the last part of the folder, or the whole of it where that is not
 * unique. */
enum gwen_status gw_report_name_runs(struct gw_report_run *runs, size_t n, struct gwen_err *err);

#endif

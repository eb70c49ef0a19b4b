/* report.h - what came of a training run, or of several beside each other: one HTML file that needs
 * nothing but itself, or lines for a terminal.
 *
 *     DIR/metrics.jsonl, DIR/rollouts --run.h--> runs --> a page of charts (inline SVG) and samples
 *                                                     --> a table with sparklines
 *
 * Charts follow from the names that metrics.jsonl has: what is known gets a title and a unit, what
 * is not a chart all the same.  Everything is bounded: points of a chart, samples, bytes of a text;
 * where something is left out the page says how much. */
#ifndef GW_SERVICE_REPORT_REPORT_H
#define GW_SERVICE_REPORT_REPORT_H

#include "service/report/run.h"

/* Runs of one report; bytes of a prompt or completion; scores of a completion. */
enum { GW_REPORT_RUNS = 16, GW_REPORT_TEXT = 8192, GW_REPORT_SCORES = 24 };

struct gw_report_opts {
    size_t samples;      /* completions of a step that are shown */
    size_t sample_steps; /* steps of a run whose samples are shown; 0: no samples */
};
#define GW_REPORT_OPTS_INIT                                                                        \
    { .samples = 16, .sample_steps = 24 }

/* Writes the page, atomically.  Samples that cannot be read are named on it. */
enum gwen_status gw_report_html(const struct gw_report_run *runs, size_t n_runs,
                                const struct gw_report_opts *opts, const char *path,
                                struct gwen_err *err);
/* Appends the same figures as lines of at most `columns` characters. */
enum gwen_status gw_report_text(const struct gw_report_run *runs, size_t n_runs, size_t columns,
                                struct gw_str *out, struct gwen_err *err);

#endif

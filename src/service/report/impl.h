/* impl.h - what the files of a report share.
 *
 *     run.c              a run's folder --> metrics in columns
 *     metrics.c          names --> sections, titles, units
 *     chart.c            one metric of all runs --> SVG
 *     samples.c          samples of a step --> HTML
 *     html.c             the page; page.c its style and script
 *     text.c             the terminal
 *     put.c              text and numbers for both
 *
 * Whatever comes from files is put by gw_report_put_html or gw_report_put_plain. */
#ifndef GW_SERVICE_REPORT_IMPL_H
#define GW_SERVICE_REPORT_IMPL_H

#include "base/file.h"
#include "service/report/report.h"

/* --- put.c ---------------------------------------------------------------------------------- */

/* Appends text (UTF-8; ill-formed parts become U+FFFD) for HTML, as content or between quotes.
 * What would not be seen or would reorder its surroundings (control characters other than newline
 * and tab, bidirectional controls) is shown by a picture or by its number. */
void gw_report_put_html(struct gw_str *out, const char *text, size_t len);
/* The same for a terminal, in one line. */
void gw_report_put_plain(struct gw_str *out, const char *text, size_t len);
/* A number for people, four digits: 0.8125, 12.35k, 1e-06; "-" for NaN. */
void gw_report_put_number(struct gw_str *out, double v);
/* Columns that UTF-8 text takes up, each character being one. */
size_t gw_report_width(const char *text, size_t len);

/* --- metrics.c ------------------------------------------------------------------------------ */

/* What is known of a metric by its name. */
struct gw_report_metric {
    const char *name, *title; /* borrowed from a run */
    const char *unit;         /* "" where there is none */
    double scale;             /* value x scale is in that unit */
    /* Metrics that bound it, and its standard deviation; NULL: there is none. */
    const char *low, *high, *std;
};

/* Metrics of one section of the page. */
struct gw_report_section {
    const char *title;
    size_t first, n; /* of gw_report_plan.metrics */
};

/* All metrics that the runs have, sorted for the page; those that never change, in none of the
 * runs, apart. */
struct gw_report_plan {
    struct gw_report_metric *metrics;
    size_t n;
    struct gw_report_section *sections;
    size_t n_sections;
    struct gw_report_metric *constant; /* [n_constant] */
    size_t n_constant;
};
enum gwen_status gw_report_plan(const struct gw_report_run *runs, size_t n_runs,
                                struct gw_report_plan *plan, struct gwen_err *err);
void gw_report_plan_free(struct gw_report_plan *plan); /* a zeroed one is fine */

/* --- chart.c -------------------------------------------------------------------------------- */

/* Appends a figure with the metric of each run that has it; run i is drawn in colour i. */
void gw_report_put_chart(const struct gw_report_run *runs, size_t n_runs,
                         const struct gw_report_metric *metric, struct gw_str *out);

/* --- samples.c ------------------------------------------------------------------------------ */

/* Writes one page for each chosen step of the run, at most opts->sample_steps evenly spaced ones,
 * to the file. */
enum gwen_status gw_report_put_samples(const struct gw_report_run *run, size_t number,
                                       const struct gw_report_opts *opts, struct gw_out *file,
                                       struct gwen_err *err);

/* --- page.c --------------------------------------------------------------------------------- */

extern const char GW_REPORT_STYLE[], GW_REPORT_SCRIPT[];

#endif

/* report.h - what `tune` found, for people (a table with a curve, a picture) and programs. */
#ifndef GW_SERVICE_TUNE_REPORT_H
#define GW_SERVICE_TUNE_REPORT_H

#include "service/tune/tune.h"

/* A line for each candidate, with a bar; the chosen one is marked. */
void gw_tune_put_table(const struct gw_tune_result *r, struct gw_str *s);
/* A line of JSON for each candidate. */
void gw_tune_put_candidates(const struct gw_tune_result *r, struct gw_str *s);
/* A self-contained SVG: throughput (with its deviation) and memory against the batch size. */
void gw_tune_put_svg(const struct gw_tune_result *r, size_t budget_bytes, const char *title,
                     struct gw_str *s);

#endif

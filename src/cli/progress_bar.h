/* progress_bar.h - a progress bar with the remaining time, on a terminal only. */
#ifndef GW_CLI_PROGRESS_BAR_H
#define GW_CLI_PROGRESS_BAR_H

#include <stdio.h>

#include "base/progress.h"

struct gw_bar {
    FILE *out;
    bool on;           /* out is a terminal and nobody asked for quiet */
    bool shown;        /* a line stands on the terminal */
    uint64_t drawn_ns; /* when */
    struct gw_eta eta;
    struct gw_run_steps steps; /* total 0: what is reported is no run of steps */
    char what[32];             /* the phase that eta belongs to */
};

/* Draws on `out` (stderr), unless it is no terminal or `quiet`. */
void gw_bar_init(struct gw_bar *bar, FILE *out, bool quiet);
/* A gwen_progress_fn whose user is the bar; draws at most ten times a second; always true. */
bool gw_bar_report(void *bar, const struct gwen_progress *progress);
/* Wipes the bar's line, before other output and at the end. */
void gw_bar_clear(struct gw_bar *bar);

#endif

/* watch.h - signs in the metrics that a run goes wrong, each logged as a line with what it usually
 * means.
 *
 * A rule looks at one metric over the last GW_WATCH_WINDOW steps, and some compare that with the
 * first ones of the run.  It speaks when it begins to hold, and again only after it has ceased to.
 * The state is a function of the metrics alone: a resumed run feeds it the logged steps again. */
#ifndef GW_SERVICE_TRAIN_WATCH_H
#define GW_SERVICE_TRAIN_WATCH_H

#include "service/record/metrics.h"

enum { GW_WATCH_WINDOW = 10, GW_WATCH_RULES = 12 };

struct gw_watch {
    struct gw_watch_series {
        double first_sum;             /* of the first window */
        double last[GW_WATCH_WINDOW]; /* a ring */
        uint64_t n;                   /* values seen */
        bool holds;
    } series[GW_WATCH_RULES];
};

/* Takes a step's metrics; *w is zeroed before the first.  A metric that is absent or NaN says
 * nothing.  Appends a line with its newline to *out for every rule that begins to hold; returns
 * how many. */
size_t gw_watch_step(struct gw_watch *w, uint64_t step, const struct gw_metrics *m,
                     struct gw_str *out);
/* Whether a rule holds from which a run does not come back: entropy or length collapsed, rewards
 * all one value, KL blown up (for --stop-on-collapse). */
bool gw_watch_collapsed(const struct gw_watch *w);

#endif

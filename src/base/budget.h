/* budget.h - memory that may be taken while a command runs, and when some should be given back.
 *
 * A plan is checked once, before anything is taken; but other programs take memory too, and a
 * control group kills instead of refusing.  So what a plan foresees for later is asked for once
 * more as it is needed, and between steps the signs of memory pressure are read. */
#ifndef GW_BUDGET_H
#define GW_BUDGET_H

#include "base/hw/hw.h"
#include "base/log.h"

struct gw_budget {
    void *ctx;
    /* May `bytes` more be touched, of `reserved` bytes that are mapped and not touched so far? */
    bool (*may_take)(void *ctx, uint64_t bytes, uint64_t reserved);
    /* Has memory become short?  Then some is to be given back.  Cheap: asked at every step. */
    bool (*pressed)(void *ctx);
};

/* The budget of this machine, read at most every 100 ms.  Memory is short when the control group
 * has met a limit since the last look, when tasks keep waiting for memory for more than a
 * tenth of the time (PSI), or when less than half the margin is left; for 5 seconds after that,
 * and whenever three quarters of the margin would not be left, nothing more may be taken. */
struct gw_memory_watch {
    struct gw_budget budget; /* hand this out; not to be moved afterwards */
    struct gw_hw_opts hw;
    const struct gw_log *log;
    bool given; /* the user said how much may be taken: MemAvailable does not count */
    uint64_t margin;
    uint64_t hits, stall_us; /* at the last look */
    uint64_t look_ns;        /* when to look for pressure again */
    uint64_t refuse_ns;      /* until when nothing may be taken */
    bool refused;            /* the last answer, to log changes only */
};

/* Takes the first look.  *hw and its strings, and log (or NULL), must outlive *w. */
void gw_memory_watch_init(struct gw_memory_watch *w, const struct gw_hw_opts *hw, bool given,
                          const struct gw_log *log);

#endif

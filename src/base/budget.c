/* budget.c - see budget.h. */
#include "base/budget.h"

#include "base/clock.h"

#include <inttypes.h>

static const uint64_t LOOK_NS = 100 * 1000000ull, HOLD_NS = 5 * 1000000000ull;
static const double MOST_STALL_PERCENT = 10;

/* Bytes that machine and control group leave, without the margin. */
static uint64_t left_now(const struct gw_memory_watch *w, struct gw_hw_memory *m) {
    gw_hw_read_memory(&w->hw, m);
    return GW_MIN(w->given ? GW_UNLIMITED : m->available, m->cgroup_left);
}

static void tell_refusal(struct gw_memory_watch *w, uint64_t bytes, uint64_t left) {
    if (!w->refused)
        gw_log(w->log, GWEN_LOG_DEBUG,
               "memory: %" PRIu64 " MiB more are refused, %" PRIu64
               " MiB are left: the KV arena stops growing",
               bytes >> 20, left >> 20);
    w->refused = true;
}

static bool may_take(void *ctx, uint64_t bytes, uint64_t reserved) {
    struct gw_memory_watch *w = ctx;
    struct gw_hw_memory m;
    uint64_t now = gw_now_ns();
    if (now < w->refuse_ns) return false;
    uint64_t left = left_now(w, &m);
    /* The limits of resources count what is mapped, touched or not. */
    if (m.rlimit_left < GW_UNLIMITED - reserved) left = GW_MIN(left, m.rlimit_left + reserved);
    if (left < bytes || left - bytes < w->margin / 4 * 3) {
        w->refuse_ns = now + LOOK_NS;
        tell_refusal(w, bytes, left);
        return false;
    }
    w->refused = false;
    return true;
}

static bool pressed(void *ctx) {
    struct gw_memory_watch *w = ctx;
    struct gw_hw_memory m;
    uint64_t now = gw_now_ns();
    if (now < w->look_ns) return false;
    w->look_ns = now + LOOK_NS;
    uint64_t left = left_now(w, &m);
    const char *why = NULL;
    if (m.cgroup_hits > w->hits)
        why = "the control group met its limit";
    else if (m.stall.percent > MOST_STALL_PERCENT && m.stall.us > w->stall_us)
        why = "programs wait for memory";
    else if (left < w->margin / 2)
        why = "hardly any is left";
    w->hits = m.cgroup_hits;
    w->stall_us = m.stall.us;
    if (why == NULL) return false;
    w->refuse_ns = now + HOLD_NS;
    gw_log(w->log, GWEN_LOG_DEBUG, "memory is short: %s; %" PRIu64 " MiB left", why,
           left == GW_UNLIMITED ? 0 : left >> 20);
    return true;
}

void gw_memory_watch_init(struct gw_memory_watch *w, const struct gw_hw_opts *hw, bool given,
                          const struct gw_log *log) {
    struct gw_hw_memory m;
    gw_hw_read_memory(hw, &m);
    *w = (struct gw_memory_watch){.budget = {w, may_take, pressed},
                                  .hw = *hw,
                                  .log = log,
                                  .given = given,
                                  .margin = m.margin,
                                  .hits = m.cgroup_hits,
                                  .stall_us = m.stall.us,
                                  .look_ns = gw_now_ns() + LOOK_NS};
}

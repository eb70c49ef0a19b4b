/* progress.c - see progress.h. */
#include "base/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

enum { INTERVAL_NS = 100000000 };

void gw_progress_init(struct gw_progress *p, gwen_progress_fn fn, void *user, const char *what,
                      const char *unit, uint64_t total) {
    *p = (struct gw_progress){.fn = fn,
                              .user = user,
                              .what = what,
                              .unit = unit,
                              .total = total,
                              .interval = INTERVAL_NS};
}

enum gwen_status gw_progress_update(struct gw_progress *p, uint64_t done, struct gwen_err *err) {
    if (p == NULL || p->fn == NULL) return GWEN_OK;
    if (!p->cancelled) {
        uint64_t now = gw_now_ns();
        bool last = p->total > 0 && done >= p->total;
        if (p->last_ns != 0 && !last && now - p->last_ns < p->interval) return GWEN_OK;
        p->last_ns = now;
        const struct gwen_progress report = {
            .what = p->what, .unit = p->unit, .done = done, .total = p->total};
        p->cancelled = !p->fn(p->user, &report);
    }
    if (!p->cancelled) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_CANCELLED, "%s: cancelled", p->what);
}

double gw_eta_seconds(struct gw_eta *eta, uint64_t now_ns, uint64_t done, uint64_t total) {
    if (!eta->started || done < eta->start_done) {
        *eta = (struct gw_eta){.start_ns = now_ns, .start_done = done, .started = true};
        return -1;
    }
    if (total == 0 || done == eta->start_done) return -1;
    if (done >= total) return 0;
    double per_unit = (double)(now_ns - eta->start_ns) / (double)(done - eta->start_done);
    return per_unit * (double)(total - done) * 1e-9;
}

/* "0:42", "12:03" or "3:07:00" */
static void format_time(char *out, size_t size, double seconds) {
    const double most = 359999; /* 99:59:59 */
    uint32_t s = (uint32_t)(seconds < most ? seconds + 0.5 : most);
    if (s >= 3600)
        snprintf(out, size, "%" PRIu32 ":%02" PRIu32 ":%02" PRIu32, s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, size, "%" PRIu32 ":%02" PRIu32, s / 60, s % 60);
}

static void format_bar(char *out, size_t columns, double fraction) {
    size_t filled = (size_t)((double)columns * fraction);
    out[0] = '[';
    for (size_t i = 0; i < columns; i++) out[1 + i] = i < filled ? '=' : i == filled ? '>' : ' ';
    out[columns + 1] = ']';
    out[columns + 2] = '\0';
}

size_t gw_progress_line(char *out, size_t size, int width, const struct gwen_progress *r,
                        double eta_seconds) {
    enum { BAR_MAX = 30, BAR_MIN = 5 };
    if (size == 0) return 0;
    char tail[160], left[48] = "", bar[BAR_MAX + 3] = "";
    if (eta_seconds >= 0) {
        char t[32];
        format_time(t, sizeof t, eta_seconds);
        snprintf(left, sizeof left, "  %s left", t);
    }
    if (r->total == 0) {
        snprintf(tail, sizeof tail, "%" PRIu64 " %.60s", r->done, r->unit);
    } else {
        double fraction = r->done >= r->total ? 1 : (double)r->done / (double)r->total;
        snprintf(tail, sizeof tail, "%3d %% %" PRIu64 "/%" PRIu64 " %.60s%s", (int)(fraction * 100),
                 r->done, r->total, r->unit, left);
        /* what, two spaces, brackets, a space */
        long room = (long)width - (long)strlen(r->what) - (long)strlen(tail) - 5;
        if (room >= BAR_MIN) format_bar(bar, (size_t)GW_MIN(room, BAR_MAX), fraction);
    }
    size_t most = GW_MIN(size, (size_t)GW_MAX(width, 0) + 1);
    int n = snprintf(out, most, "%.80s  %s%s%s", r->what, bar, bar[0] != '\0' ? " " : "", tail);
    return n < 0 ? 0 : GW_MIN((size_t)n, most - 1);
}

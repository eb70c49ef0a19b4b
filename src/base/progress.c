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

/* "HEAD  [==>   ]  48 % 1/2 unit  TIMES", of which the bar gives way first. */
static size_t put_line(char *out, size_t size, int width, const char *head,
                       const struct gwen_progress *r, const char *times) {
    enum { BAR_MAX = 30, BAR_MIN = 5 };
    if (size == 0) return 0;
    char tail[256], bar[BAR_MAX + 3] = "";
    if (r->total == 0 && r->unit[0] == '\0') {
        snprintf(tail, sizeof tail, "%s", times[0] != '\0' ? times + 2 : "");
    } else if (r->total == 0) {
        snprintf(tail, sizeof tail, "%" PRIu64 " %.60s%s", r->done, r->unit, times);
    } else {
        double fraction = r->done >= r->total ? 1 : (double)r->done / (double)r->total;
        snprintf(tail, sizeof tail, "%3d %% %" PRIu64 "/%" PRIu64 " %.60s%s", (int)(fraction * 100),
                 r->done, r->total, r->unit, times);
        /* what, two spaces, brackets, a space */
        long room = (long)width - (long)strlen(head) - (long)strlen(tail) - 5;
        if (room >= BAR_MIN) format_bar(bar, (size_t)GW_MIN(room, BAR_MAX), fraction);
    }
    size_t most = GW_MIN(size, (size_t)GW_MAX(width, 0) + 1);
    int n = snprintf(out, most, "%s  %s%s%s", head, bar, bar[0] != '\0' ? " " : "", tail);
    return n < 0 ? 0 : GW_MIN((size_t)n, most - 1);
}

size_t gw_progress_line(char *out, size_t size, int width, const struct gwen_progress *r,
                        double eta_seconds) {
    char head[84], left[48] = "", t[32];
    format_time(t, sizeof t, GW_MAX(eta_seconds, 0.0));
    if (eta_seconds >= 0 && r->total > 0) snprintf(left, sizeof left, "  %s left", t);
    snprintf(head, sizeof head, "%.80s", r->what);
    return put_line(out, size, width, head, r, left);
}

void gw_steps_at(struct gw_run_steps *s, uint64_t now_ns, uint64_t step, uint64_t total) {
    if (s->total == 0) *s = (struct gw_run_steps){.first = step, .start_ns = now_ns};
    if (s->step != step) s->begun_ns = now_ns;
    s->step = step;
    s->total = total;
}

double gw_steps_left(const struct gw_run_steps *s, uint64_t now_ns) {
    if (s->step <= s->first || s->step > s->total) return -1;
    const double each = (double)(s->begun_ns - s->start_ns) / (double)(s->step - s->first);
    const double left = each * (double)(s->total - s->step + 1) - (double)(now_ns - s->begun_ns);
    return GW_MAX(left, each * (double)(s->total - s->step)) * 1e-9;
}

size_t gw_progress_step_line(char *out, size_t size, int width, const struct gwen_progress *report,
                             const struct gw_run_steps *s, uint64_t now_ns) {
    char head[160], step[32], run[32], left[32], times[128];
    format_time(step, sizeof step, (double)(now_ns - s->begun_ns) * 1e-9);
    format_time(run, sizeof run, (double)(now_ns - s->start_ns) * 1e-9);
    const double seconds = gw_steps_left(s, now_ns);
    format_time(left, sizeof left, GW_MAX(seconds, 0.0));
    snprintf(times, sizeof times, "  step %s  run %s%s%s%s", step, run, seconds >= 0 ? "  " : "",
             seconds >= 0 ? left : "", seconds >= 0 ? " left" : "");
    snprintf(head, sizeof head, "step %" PRIu64 "/%" PRIu64 "  %.80s", s->step, s->total,
             report->what);
    return put_line(out, size, width, head, report, times);
}

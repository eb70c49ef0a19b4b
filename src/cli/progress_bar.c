/* progress_bar.c - see progress_bar.h; the text of the line is made by base/progress.c. */
#include "cli/progress_bar.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"

enum { REDRAW_NS = 100000000, DEFAULT_COLUMNS = 80 };

void gw_bar_init(struct gw_bar *bar, FILE *out, bool quiet) {
    *bar = (struct gw_bar){.out = out, .on = !quiet && isatty(fileno(out)) != 0};
}

/* One column stays free: a full line would make some terminals scroll. */
static int columns(FILE *out) {
    struct winsize size;
    if (ioctl(fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return DEFAULT_COLUMNS - 1;
    return size.ws_col - 1;
}

bool gw_bar_report(void *user, const struct gwen_progress *p) {
    struct gw_bar *bar = user;
    if (!bar->on) return true;
    uint64_t now = gw_now_ns();
    bool new_phase = strncmp(bar->what, p->what, sizeof bar->what - 1) != 0;
    if (new_phase) {
        snprintf(bar->what, sizeof bar->what, "%s", p->what);
        bar->eta = (struct gw_eta){0};
    }
    double left = gw_eta_seconds(&bar->eta, now, p->done, p->total);
    bool last = p->total > 0 && p->done >= p->total;
    if (bar->shown && !new_phase && !last && now - bar->drawn_ns < REDRAW_NS) return true;
    char line[512];
    if (bar->steps.total > 0)
        gw_progress_step_line(line, sizeof line, columns(bar->out), p, &bar->steps, now);
    else
        gw_progress_line(line, sizeof line, columns(bar->out), p, left);
    fprintf(bar->out, "\r%s\033[K", line);
    fflush(bar->out);
    bar->shown = true;
    bar->drawn_ns = now;
    return true;
}

void gw_bar_clear(struct gw_bar *bar) {
    if (!bar->shown) return;
    fputs("\r\033[K", bar->out);
    fflush(bar->out);
    bar->shown = false;
}

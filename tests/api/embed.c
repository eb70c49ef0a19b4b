/* embed.c - a program of somebody else's, built against the installed headers and libraries, as
 * C11 and as C++17.  It uses the public interface alone. */
#include <gwen/gwen.h>

#include <stdio.h>
#include <string.h>

/* Must not clash with anything in the static library, whose internal names are local. */
int gw_fail(void);
int gw_fail(void) { return 42; }

static void hear(void *user, enum gwen_log_level level, const char *message) {
    (void)level;
    (void)message;
    ++*(int *)user;
}

static bool go_on(void *user, const struct gwen_progress *progress) {
    (void)user;
    return progress->total == 0 || progress->done <= progress->total;
}

int main(void) {
    gwen_log_fn log = hear;
    gwen_progress_fn progress = go_on;
    int heard = 0;
    log(&heard, GWEN_LOG_INFO, "hello");
    struct gwen_progress report;
    memset(&report, 0, sizeof report);
    if (heard != 1 || !progress(NULL, &report) || gw_fail() != 42) return 1;
    if (strcmp(gwen_version(), GWEN_VERSION) != 0) {
        fprintf(stderr, "header %s, library %s\n", GWEN_VERSION, gwen_version());
        return 1;
    }
    printf("%s\n", gwen_version());
    return 0;
}

/* interrupt.c - signals: the first one asks the work to stop at its next safe point, a later one
 * ends the program at once.
 *
 * timeout, Slurm and Kubernetes send a signal to a process and to its group, or repeat it: what
 * comes soon after the first is the same one.
 *
 * Handlers do not restart system calls, so that a command that waits for input hears the first
 * signal too (gw_lines_next then says GWEN_ERR_CANCELLED).  One that comes just before the wait
 * begins would be missed: hence an alarm every second from then on, which does nothing but
 * interrupt. */
#include "cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

/* People who press Ctrl-C twice mean it. */
static const uint64_t SAME_NS = 2000000000, SAME_INT_NS = 500000000;

static volatile sig_atomic_t received;
static _Atomic uint64_t first_ns; /* when the first came; 0: none has */
static const char *_Atomic what_happens;
static bool on_terminal;

/* Over the progress bar, if there is one; nothing can be done where it cannot be said. */
static void say(const char *text) {
    static const char clear[] = "\r\033[K";
    if (on_terminal && write(STDERR_FILENO, clear, sizeof clear - 1) < 0) return;
    if (write(STDERR_FILENO, text, strlen(text)) < 0) return;
}

static void on_signal(int number) {
    const int saved = errno;
    const uint64_t now = gw_now_ns();
    uint64_t first = 0;
    if (atomic_compare_exchange_strong(&first_ns, &first, now)) {
        const char *text = what_happens;
        received = number;
        say(text != NULL ? text : "gwen-cpu: interrupted; a further signal ends it at once\n");
        alarm(1);
    } else if (now > first + (number == SIGINT ? SAME_INT_NS : SAME_NS)) {
        say("gwen-cpu: a further signal: ended at once\n");
        _exit(128 + number);
    }
    errno = saved;
}

static void on_alarm(int number) {
    (void)number;
    alarm(1);
}

/* Whoever started us with a signal ignored (nohup, or a shell's background job) wants it so. */
static void install(int number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler}, before;
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler == SIG_IGN) return;
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

void gw_interrupt_install(void) {
    on_terminal = isatty(STDERR_FILENO) != 0;
    install(SIGINT, on_signal);
    install(SIGTERM, on_signal);
    install(SIGHUP, on_signal);
    install(SIGALRM, on_alarm);
    install(SIGPIPE, SIG_IGN);
    install(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error of write() too */
}

void gw_interrupt_tell(const char *text) { what_happens = text; }

int gw_interrupt_signal(void) { return received; }

bool gw_interrupt_none(void *ctx) {
    (void)ctx;
    return received == 0;
}

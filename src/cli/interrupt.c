/* interrupt.c - signals: the first asks the work to stop at its next safe point, the second ends
 * the program at once.
 *
 * Handlers do not restart system calls, so that a command that waits for input hears the first
 * signal too (gw_lines_next then says GWEN_ERR_CANCELLED).  One that comes just before the wait
 * begins would be missed: hence an alarm every second from then on, which does nothing but
 * interrupt. */
#include "cli/cli.h"

#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t received;

static void on_signal(int number) {
    if (received != 0) _exit(128 + number);
    received = number;
    alarm(1);
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
    install(SIGINT, on_signal);
    install(SIGTERM, on_signal);
    install(SIGALRM, on_alarm);
    install(SIGPIPE, SIG_IGN);
    install(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error of write() too */
}

int gw_interrupt_signal(void) { return received; }

bool gw_interrupt_none(void *ctx) {
    (void)ctx;
    return received == 0;
}

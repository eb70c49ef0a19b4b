/* interrupt.c - signals: the first asks the work to stop at its next safe point, the second ends
 * the program at once.  Handlers do not restart system calls, so that a command that waits for
 * input hears the first one too (gw_lines_next then says GWEN_ERR_CANCELLED). */
#include "cli/cli.h"

#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t received;

static void on_signal(int number) {
    if (received != 0) _exit(128 + number);
    received = number;
}

void gw_interrupt_install(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
}

int gw_interrupt_signal(void) { return received; }

bool gw_interrupt_none(void *ctx) {
    (void)ctx;
    return received == 0;
}

/* disturb.c - see disturb.h. */
#include "unit/disturb.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static pthread_t thread;
static atomic_bool stop;
static atomic_uint state = 1;

static unsigned next_random(void) {
    unsigned seen = atomic_load(&state);
    while (!atomic_compare_exchange_weak(&state, &seen, seen * 1664525u + 1013904223u)) {
    }
    return seen >> 12;
}

static void pause_us(unsigned us) {
    struct timespec t = {0, (long)us * 1000};
    nanosleep(&t, NULL);
}

static void hold_up(int signal_number) {
    (void)signal_number;
    pause_us(next_random() % 1000);
}

/* Sends the signal to one of the other threads. */
static void hit_one(void) {
    pid_t others[64];
    size_t n = 0;
    DIR *dir = opendir("/proc/self/task");
    if (dir == NULL) return;
    for (struct dirent *e; (e = readdir(dir)) != NULL && n < 64;) {
        pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);
        if (tid > 0 && tid != gettid()) others[n++] = tid;
    }
    closedir(dir);
    if (n > 0) syscall(SYS_tgkill, getpid(), others[next_random() % n], SIGUSR1);
}

static void *disturb(void *unused) {
    (void)unused;
    while (!atomic_load(&stop)) {
        hit_one();
        pause_us(next_random() % 500);
    }
    return NULL;
}

void disturb_start(void) {
    struct sigaction action = {.sa_handler = hold_up, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    atomic_store(&stop, false);
    if (pthread_create(&thread, NULL, disturb, NULL) != 0) abort();
}

void disturb_stop(void) {
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    /* Signals that are under way are still caught: the handler stays. */
}

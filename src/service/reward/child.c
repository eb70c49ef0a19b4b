/* child.c - see child.h.
 *
 * posix_spawn, not fork: this process may hold many gigabytes and other threads.
 *
 * The guard is a shell that reads from a pipe into which nobody writes: it comes to the end of it
 * when we are gone, however that happened (SIGKILL too).  PR_SET_PDEATHSIG would reach the child
 * alone, not what it has started. */
#include "service/reward/child.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* --- starting ------------------------------------------------------------------------------- */

static void close_fd(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

/* Both ends above 2, so that none is in the way when the child's own 0, 1 and 2 are made. */
static bool make_pipe(int ends[2]) {
    int raw[2];
    if (pipe2(raw, O_CLOEXEC) != 0) return false;
    for (int i = 0; i < 2; i++) {
        ends[i] = fcntl(raw[i], F_DUPFD_CLOEXEC, 3);
        close(raw[i]);
    }
    return ends[0] >= 0 && ends[1] >= 0;
}

static bool set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

static const char GUARD[] = "read -r nothing; kill -KILL 0";

/* A group of its own or (the guard) that of `group`, no signal blocked, SIGPIPE and friends as a
 * program expects them. */
static int set_attributes(posix_spawnattr_t *attributes, pid_t group) {
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGTERM);
    int number = posix_spawnattr_setflags(
        attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (number == 0) number = posix_spawnattr_setpgroup(attributes, group);
    if (number == 0) number = posix_spawnattr_setsigmask(attributes, &none);
    if (number == 0) number = posix_spawnattr_setsigdefault(attributes, &defaults);
    return number;
}

/* Returns an errno, 0: running. */
static int spawn(const char *command, const int fds[3], pid_t group, pid_t *pid) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, (char *)(uintptr_t)command, NULL};
    int number = posix_spawn_file_actions_init(&actions);
    if (number != 0) return number;
    number = posix_spawnattr_init(&attributes);
    if (number == 0) {
        for (int i = 0; i < 3 && number == 0; i++)
            number = posix_spawn_file_actions_adddup2(&actions, fds[i], i);
        if (number == 0) number = set_attributes(&attributes, group);
        if (number == 0) number = posix_spawn(pid, "/bin/sh", &actions, &attributes, argv, environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return number;
}

/* Into the child's group, which is there as long as the child has not been reaped.  Returns an
 * errno, 0: running. */
static int spawn_guard(struct gw_child *c) {
    int alive[2] = {-1, -1}, nowhere = -1, number = 0;
    pid_t pid = 0;
    if (!make_pipe(alive)) number = errno;
    if (number == 0) nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (number == 0 && nowhere < 0) number = errno;
    if (number == 0)
        number = spawn(GUARD, (const int[3]){alive[0], nowhere, nowhere}, c->pid, &pid);
    close_fd(&alive[0]);
    close_fd(&nowhere);
    if (number != 0) close_fd(&alive[1]);
    c->guard = number == 0 ? pid : 0;
    c->alive = alive[1];
    return number;
}

enum gwen_status gw_child_start(struct gw_child *c, const char *command, struct gwen_err *err) {
    int in[2] = {-1, -1}, out[2] = {-1, -1}, log[2] = {-1, -1}, number = 0;
    pid_t pid = 0;
    if (!make_pipe(in) || !make_pipe(out) || !make_pipe(log) || !set_nonblocking(in[1]) ||
        !set_nonblocking(out[0]) || !set_nonblocking(log[0]))
        number = errno;
    if (number == 0) number = spawn(command, (const int[3]){in[0], out[1], log[1]}, 0, &pid);
    close_fd(&in[0]);
    close_fd(&out[1]);
    close_fd(&log[1]);
    gw_str_clear(&c->tail);
    *c = (struct gw_child){
        .pid = pid, .alive = -1, .in = in[1], .out = out[0], .log = log[0], .tail = c->tail};
    if (number == 0) number = spawn_guard(c);
    if (number == 0) return GWEN_OK;
    gw_child_stop(c, 0);
    close_fd(&c->in);
    close_fd(&c->out);
    close_fd(&c->log);
    char text[128];
    return gw_fail(err, GWEN_ERR_IO, "cannot start \"%.200s\": %s", command,
                   strerror_r(number, text, sizeof text));
}

/* --- reading and writing -------------------------------------------------------------------- */

/* Keeps the end of the child's stderr: the newest GW_CHILD_TAIL bytes. */
static void keep_tail(struct gw_child *c, const char *bytes, size_t len) {
    if (len > GW_CHILD_TAIL) {
        bytes += len - GW_CHILD_TAIL;
        len = GW_CHILD_TAIL;
    }
    if (c->tail.len + len > GW_CHILD_TAIL) {
        size_t drop = c->tail.len + len - GW_CHILD_TAIL;
        memmove(c->tail.data, c->tail.data + drop, c->tail.len - drop);
        c->tail.len -= drop;
    }
    gw_str_put(&c->tail, bytes, len);
}

/* At most a few reads, so that a child that never stops complaining cannot hold us here. */
static void read_log(struct gw_child *c) {
    char buf[4096];
    for (int i = 0; i < 32 && c->log >= 0; i++) {
        ssize_t n = read(c->log, buf, sizeof buf);
        if (n > 0)
            keep_tail(c, buf, (size_t)n);
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
            close_fd(&c->log);
        else
            return;
    }
}

void gw_child_wait(struct gw_child *c, bool want_write, int timeout_ms) {
    struct pollfd fds[3] = {{c->out, POLLIN, 0}, {c->log, POLLIN, 0}, {c->in, POLLOUT, 0}};
    if (!want_write) fds[2].fd = -1; /* negative ones are passed over */
    if (poll(fds, 3, timeout_ms) > 0 && fds[1].revents != 0) read_log(c);
}

/* write() without SIGPIPE: the signal is blocked for this thread and, if it came from this very
 * write, taken back.  (Handlers belong to the whole process, which is not ours.) */
static ssize_t write_quietly(int fd, const char *bytes, size_t len) {
    sigset_t pipe, old, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &old);
    ssize_t n = write(fd, bytes, len);
    int number = errno;
    if (n < 0 && number == EPIPE && sigismember(&pending, SIGPIPE) == 0)
        while (sigtimedwait(&pipe, NULL, &(struct timespec){0}) < 0 && errno == EINTR) continue;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = number;
    return n;
}

bool gw_child_write(struct gw_child *c, const char *bytes, size_t len, size_t *done) {
    *done = 0;
    while (c->in >= 0 && *done < len) {
        ssize_t n = write_quietly(c->in, bytes + *done, len - *done);
        if (n > 0)
            *done += (size_t)n;
        else if (errno == EAGAIN)
            return true;
        else if (errno != EINTR)
            close_fd(&c->in);
    }
    return c->in >= 0;
}

bool gw_child_read(struct gw_child *c, struct gw_str *out, size_t max) {
    for (size_t got = 0; c->out >= 0 && got < max;) {
        size_t want = GW_MIN(max - got, (size_t)65536);
        if (!gw_str_reserve(out, want)) return false;
        ssize_t n = read(c->out, out->data + out->len, want);
        if (n > 0) {
            out->len += (size_t)n;
            out->data[out->len] = 0;
            got += (size_t)n;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            close_fd(&c->out);
        } else if (errno == EAGAIN) {
            return true;
        }
    }
    return c->out >= 0;
}

/* --- ending --------------------------------------------------------------------------------- */

static void pause_ms(int ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

/* Whether the child has ended; it is not reaped yet, so its group's number is still its own. */
static bool has_ended(const struct gw_child *c) {
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0) return errno != EINTR;
    return info.si_pid == c->pid;
}

/* Drains the pipes meanwhile: a child may want to say something before it goes. */
static bool wait_for_end(struct gw_child *c, int ms) {
    uint64_t start = gw_now_ns();
    for (;;) {
        struct gw_str ignored = {0};
        if (has_ended(c)) return true;
        if (gw_seconds_since(start) * 1000 >= ms) return false;
        gw_child_read(c, &ignored, 65536);
        read_log(c);
        gw_str_free(&ignored);
        pause_ms(2);
    }
}

void gw_child_stop(struct gw_child *c, int grace_ms) {
    if (c->pid == 0) return;
    close_fd(&c->in);
    c->killed = !wait_for_end(c, grace_ms);
    if (c->killed && grace_ms > 0) {
        kill(-c->pid, SIGTERM);
        wait_for_end(c, 500);
    }
    kill(-c->pid, SIGKILL); /* its own children too */
    c->status = 0;
    while (waitpid(c->pid, &c->status, 0) < 0 && errno == EINTR) continue;
    while (c->guard > 0 && waitpid(c->guard, NULL, 0) < 0 && errno == EINTR) continue;
    c->pid = c->guard = 0;
    close_fd(&c->alive);
    read_log(c);
    close_fd(&c->out);
    close_fd(&c->log);
}

void gw_child_free(struct gw_child *c) {
    gw_child_stop(c, 0);
    gw_str_free(&c->tail);
}

void gw_child_put_end(const struct gw_child *c, struct gw_str *out) {
    if (c->killed)
        gw_str_puts(out, "closed its output, and was killed");
    else if (WIFSIGNALED(c->status))
        gw_str_printf(out, "was killed by signal %d", WTERMSIG(c->status));
    else
        gw_str_printf(out, "ended with status %d", WEXITSTATUS(c->status));
}

/* child.h - a long-lived child process that is spoken to through pipes.
 *
 *     bytes --> in [pipe] stdin   child   stdout [pipe] out --> bytes
 *                                 stderr [pipe] log --> the last GW_CHILD_TAIL bytes are kept
 *
 * All our ends are non-blocking and waited for together, so that neither side can wait for the
 * other for ever: what the child writes is read while it is being written to.  The child runs in
 * a process group of its own, which is killed as a whole; a signal of the terminal (Ctrl-C) does
 * not reach it.  A guard in that group waits for our end, of whatever kind, and then kills the
 * group: nothing of a command lives longer than we do.  Writing to a child that has gone is an
 * error, never SIGPIPE. */
#ifndef GW_SERVICE_REWARD_CHILD_H
#define GW_SERVICE_REWARD_CHILD_H

#include "base/base.h"
#include "base/str.h"

#include <sys/types.h>

enum { GW_CHILD_TAIL = 8192 };

struct gw_child {
    pid_t pid;          /* of the child and its group; 0: none is running */
    pid_t guard;        /* of the one that waits for our end */
    int alive;          /* our end of the pipe that it waits at; -1: closed */
    int in, out, log;   /* our ends; -1: closed */
    int status;         /* as waitpid gives it, once the child has ended */
    bool killed;        /* by us, as it did not end by itself */
    struct gw_str tail; /* the end of what it wrote to stderr */
};

/* Runs `command` by /bin/sh -c.  *c must be zeroed, or stopped before. */
enum gwen_status gw_child_start(struct gw_child *c, const char *command, struct gwen_err *err);
/* Waits at most timeout_ms until the child has written something, or (with want_write) can be
 * written to.  Reads its stderr.  A signal handler ends the wait. */
void gw_child_wait(struct gw_child *c, bool want_write, int timeout_ms);
/* Writes as many of the bytes as go in now; *done is their number.  False once the child has
 * closed its stdin. */
bool gw_child_write(struct gw_child *c, const char *bytes, size_t len, size_t *done);
/* Appends to *out at most `max` bytes that are there now.  False at the end: the child has closed
 * its stdout, or is gone. */
bool gw_child_read(struct gw_child *c, struct gw_str *out, size_t max);
/* Closes its stdin, gives it `grace_ms` to end by itself, then kills the group.  The rest of its
 * stderr is read, c->status set, every descriptor closed; no zombie stays.  Fine when it is not
 * running. */
void gw_child_stop(struct gw_child *c, int grace_ms);
/* Stops without grace and frees what *c holds. */
void gw_child_free(struct gw_child *c);
/* Appends how a child ended whose output had ended before it was stopped: "ended with status 1",
 * "was killed by signal 9", "closed its output, and was killed". */
void gw_child_put_end(const struct gw_child *c, struct gw_str *out);

#endif

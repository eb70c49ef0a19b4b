/* gwen.h - the public interface of libgwen, a CPU engine for reinforcement learning on
 * language models.
 *
 * Conventions.  Handles are opaque.  Every options structure begins with `struct_size`, which
 * the caller sets to sizeof the structure (use the GWEN_*_INIT macros), so that later versions
 * can grow it.  Functions return GWEN_OK or another status and then fill the caller's
 * struct gwen_err.  The library keeps no process-global state, installs no signal handlers,
 * reads no environment variables, never prints and never exits.  Different handles may be used
 * from different threads; one handle must not be used from two threads at once. */
#ifndef GWEN_GWEN_H
#define GWEN_GWEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define GWEN_API __attribute__((visibility("default")))
#else
#define GWEN_API
#endif

#define GWEN_VERSION "0.1.0"

enum gwen_status {
    GWEN_OK = 0,
    GWEN_ERR_ARGUMENT,    /* the caller asked for something impossible */
    GWEN_ERR_IO,          /* a file could not be read or written */
    GWEN_ERR_FORMAT,      /* a file's content is not what it should be */
    GWEN_ERR_UNSUPPORTED, /* well-formed, but not implemented; never computed wrongly instead */
    GWEN_ERR_NOMEM,       /* does not fit the memory budget, or allocation failed */
    GWEN_ERR_NUMERIC,     /* NaN or infinity where a finite number was needed */
    GWEN_ERR_CANCELLED,   /* the caller's progress callback said stop */
    GWEN_ERR_INTERNAL     /* a bug */
};

struct gwen_err {
    enum gwen_status status;
    char message[1024]; /* one line: what, where, what to do; no newline at the end */
};

enum gwen_log_level {
    GWEN_LOG_ERROR,
    GWEN_LOG_WARNING,
    GWEN_LOG_INFO, /* what a person waiting wants to know */
    GWEN_LOG_DEBUG
};

/* Receives one line (no newline at its end), which is valid during the call only.  It is called
 * from the thread that called the library, never from two threads at once. */
typedef void (*gwen_log_fn)(void *user, enum gwen_log_level level, const char *message);

/* How far a long call has come. */
struct gwen_progress {
    const char *what; /* the phase: "load", "rollout"... */
    const char *unit; /* of done and total: "bytes", "samples", "tokens"... */
    uint64_t done;
    uint64_t total; /* 0: not known */
};

/* Called from time to time by long calls, from the thread that called the library.  Returns true
 * to go on; false makes the call return GWEN_ERR_CANCELLED at its next safe point. */
typedef bool (*gwen_progress_fn)(void *user, const struct gwen_progress *progress);

/* Version of the library as "MAJOR.MINOR.PATCH"; a static string. */
GWEN_API const char *gwen_version(void);

#ifdef __cplusplus
}
#endif
#endif

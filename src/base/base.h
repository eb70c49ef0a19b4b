/* base.h - what every layer may rely on: status codes, error values, checked sizes.
 *
 * Library functions return an enum gwen_status and, when it is not GWEN_OK, fill a
 * struct gwen_err with one line that says what, where and what to do.  Nothing here
 * prints or exits. */
#ifndef GW_BASE_H
#define GW_BASE_H

#include <gwen/gwen.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GW_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define GW_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define GW_MIN(a, b) ((a) < (b) ? (a) : (b))
#define GW_MAX(a, b) ((a) > (b) ? (a) : (b))

enum { GW_CACHE_LINE = 64 }; /* bytes */

/* Fills *err (which may be NULL) and returns `status`, so that callers write
 * `return gw_fail(err, GWEN_ERR_FORMAT, "%s: ...", path)`. */
enum gwen_status gw_fail(struct gwen_err *err, enum gwen_status status, const char *fmt, ...)
    GW_PRINTF(3, 4);

/* A call of the system that failed with `number` (an errno): "cannot WHAT PATH: ...". */
enum gwen_status gw_sys_fail(struct gwen_err *err, const char *what, const char *path, int number);

/* Puts "prefix: " before the message already in *err (which may be NULL), the error of a call that
 * gave `status`; returns `status`.  Does nothing with GWEN_OK, so that callers write
 * `return gw_err_prefix(err, read_row(row, err), "%s", path)`. */
enum gwen_status gw_err_prefix(struct gwen_err *err, enum gwen_status status, const char *fmt, ...)
    GW_PRINTF(3, 4);

/* Fills *err (which may be NULL) with another error; returns its status. */
enum gwen_status gw_err_copy(struct gwen_err *err, const struct gwen_err *from);

/* What *err says; "" where err is NULL. */
const char *gw_err_message(const struct gwen_err *err);

/* Gives the error in *err (which may be NULL) another status, which it returns. */
enum gwen_status gw_err_as(struct gwen_err *err, enum gwen_status status);

/* Out-of-memory, naming what was wanted. */
enum gwen_status gw_nomem(struct gwen_err *err, size_t bytes, const char *what);

/* a * b and a + b into *out; false on overflow. */
static inline bool gw_mul_size(size_t a, size_t b, size_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool gw_add_size(size_t a, size_t b, size_t *out) {
    return !__builtin_add_overflow(a, b, out);
}
static inline size_t gw_round_up(size_t n, size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

/* The largest n of least..most for which fits(ctx, n) holds, by bisection: it must hold up to some
 * n and for none beyond.  `least` is taken to fit. */
size_t gw_largest(size_t least, size_t most, bool (*fits)(void *ctx, size_t n), void *ctx);

#define GW_TRY(expr)                                                                               \
    do {                                                                                           \
        enum gwen_status gw_try_status_ = (expr);                                                  \
        if (gw_try_status_ != GWEN_OK) return gw_try_status_;                                      \
    } while (0)

#endif

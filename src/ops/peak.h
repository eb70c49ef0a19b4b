/* peak.h - what this machine can do at most, measured: the limits that `bench` compares with.
 *
 * Both measurements must be taken in the same run as what they are compared with: clock speeds
 * and neighbours change from minute to minute. */
#ifndef GW_PEAK_H
#define GW_PEAK_H

#include "base/pool.h"
#include "ops/linear.h"

/* Flops per second (2 per multiply-add) of the instructions that multiply panels of its format, in
 * registers alone, on all threads of the pool together; the best of several measurements that
 * take about `seconds` in all.  0 where the kernels do not have the format. */
double gw_peak_flops(const struct gw_arith *arith, struct gw_pool *pool, double seconds);

struct gw_read_peak {
    double bytes_s;      /* all threads together, in the best few milliseconds */
    double mean_bytes_s; /* the same pattern over all its rounds: what lasts */
    const char *pattern; /* the way of reading that was fastest; a static string */
    size_t bytes;        /* size of the buffer */
    bool huge_pages;     /* asked for and granted */
};

/* Bytes per second that all threads of the pool together read from memory: the best of several
 * patterns, the product of one row with panels of its format (if the kernels have it) among them.
 * Uses up to max_bytes of memory, at most 1 GiB; below 512 MiB caches begin to help, and below
 * 16 MiB it fails (GWEN_ERR_NOMEM).  Takes about `seconds`. */
enum gwen_status gw_peak_read(const struct gw_arith *arith, struct gw_pool *pool, size_t max_bytes,
                              double seconds, struct gw_read_peak *out, struct gwen_err *err);

#endif

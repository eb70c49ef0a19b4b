/* clock.h - monotonic time in nanoseconds; for rates and pauses, never for results. */
#ifndef GW_CLOCK_H
#define GW_CLOCK_H

#include <stdint.h>

/* Nanoseconds since an arbitrary start; never goes back. */
uint64_t gw_now_ns(void);
/* Seconds passed since `start_ns`, a value of gw_now_ns. */
double gw_seconds_since(uint64_t start_ns);

#endif

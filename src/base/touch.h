/* touch.h - large memory taken from the kernel at once, by all threads. */
#ifndef GW_TOUCH_H
#define GW_TOUCH_H

#include "base/mem.h"
#include "base/pool.h"

/* gw_mem_touch of [begin, end), an equal part by each thread: the kernel clears what it hands out,
 * at a few GB/s for a thread, and what is touched first in the middle of work holds that up. */
enum gwen_status gw_touch(struct gw_pool *pool, const struct gw_mem *m, size_t begin, size_t end,
                          struct gwen_err *err);

#endif

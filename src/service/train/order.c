/* order.c - see order.h. */
#include "service/train/order.h"

#include "base/rng.h"

void gw_data_order(uint64_t seed, uint64_t epoch, size_t *order, size_t n) {
    const struct gw_rng_key key = {.seed = seed, .stream = GW_STREAM_DATA, .step = epoch};
    gw_rng_shuffle(&key, order, n);
}

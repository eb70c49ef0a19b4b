/* order.h - the order in which an epoch goes through its data. */
#ifndef GW_SERVICE_TRAIN_ORDER_H
#define GW_SERVICE_TRAIN_ORDER_H

#include <stddef.h>
#include <stdint.h>

/* The order in which n bins or prompts are used in an epoch: a permutation that depends on seed and
 * epoch alone (draws of GW_STREAM_DATA). */
void gw_data_order(uint64_t seed, uint64_t epoch, size_t *order, size_t n);

#endif

/* tfevents.h - TensorBoard's event files, written by hand.
 *
 * A file is a sequence of TFRecords, each holding a protocol buffer "Event":
 *
 *     u64 length | u32 masked CRC32C of the length | bytes | u32 masked CRC32C of the bytes
 *     Event  { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5 }
 *     Summary { repeated Value value = 1 }   Value { string tag = 1; float simple_value = 2 }
 *
 * all little-endian; a checksum is masked as ((c >> 15) | (c << 17)) + 0xa282ead8. */
#ifndef GW_SERVICE_RECORD_TFEVENTS_H
#define GW_SERVICE_RECORD_TFEVENTS_H

#include "service/record/metrics.h"

/* CRC-32C (Castagnoli) of the bytes. */
uint32_t gw_crc32c(const void *bytes, size_t len);
/* Appends the record that opens a file. */
void gw_tfevents_put_version(struct gw_str *out, double wall_time);
/* Appends one record with all finite values of *m. */
void gw_tfevents_put_step(struct gw_str *out, uint64_t step, double wall_time,
                          const struct gw_metrics *m);
/* The record at bytes[*at]: moves *at behind it and gives its event's step (0 when it has none).
 * False, with *at unchanged, at the end and where no whole, undamaged record begins. */
bool gw_tfevents_next(const unsigned char *bytes, size_t len, size_t *at, uint64_t *step);

#endif

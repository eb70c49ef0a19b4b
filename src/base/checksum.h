/* checksum.h - sums by which a file is known to be the one that was written.
 *
 * They find accidents (a flipped bit, a lost page, half a copy), not forgeries.  Eight chains of 64
 * bits side by side, so that the multiplier's latency does not count: as fast as memory is read. */
#ifndef GW_BASE_CHECKSUM_H
#define GW_BASE_CHECKSUM_H

#include "base/base.h"

enum { GW_LANES = 8, GW_LANES_BYTES = GW_LANES * (int)sizeof(uint64_t) };

/* The chains over len bytes from their beginning; what is left of a block of GW_LANES_BYTES at the
 * end is not looked at. */
void gw_hash_lanes(const void *bytes, size_t len, uint64_t lanes[GW_LANES]);

/* The sum of len bytes, the last ones and len itself included; it never changes between versions
 * and machines (of little-endian order). */
uint64_t gw_checksum(const void *bytes, size_t len);

/* The sum of a regular file's first `most` bytes, or of all of it where it is shorter; *bytes is
 * how many there were.  Equal to gw_checksum of the same bytes. */
enum gwen_status gw_file_checksum(const char *path, uint64_t most, uint64_t *bytes, uint64_t *sum,
                                  struct gwen_err *err);

#endif

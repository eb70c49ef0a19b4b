/* scratch.h - a folder for a test's files, and the way to data outside the repository. */
#ifndef GW_TEST_SCRATCH_H
#define GW_TEST_SCRATCH_H

#include "gwen_simd.h"

#include <stddef.h>

/* Makes a fresh folder under TMPDIR; cmocka set-up and tear-down of a group.  The tear-down
 * removes it with all that is in it. */
int scratch_setup(void **state);
int scratch_teardown(void **state);
/* SCRATCH/name, in one of eight static buffers used in turn. */
const char *scratch_path(const char *name);
/* Writes SCRATCH/name, making its folder; returns its path. */
const char *scratch_write(const char *name, const void *bytes, size_t len);
const char *scratch_puts(const char *name, const char *text);
/* Number of entries of a folder, "." and ".." apart. */
int scratch_count(const char *dir);

/* $GWEN_SHARED/data/golden/name (or ../shared/...), or NULL, said once, when it is not there. */
const char *golden_path(const char *name);

/* The highest instruction set that a test may use: GWEN_ISA, or GWEN_ISA_COUNT (no cap). */
enum gwen_isa scratch_isa(void);

#endif

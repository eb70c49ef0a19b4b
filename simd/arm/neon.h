/* neon.h - the parts of the NEON table, and what the files share. */
#ifndef GWEN_ARM_NEON_H
#define GWEN_ARM_NEON_H

#include "dispatch.h"
#include "inline.h"

#include <arm_neon.h>

void gwen_init_neon_gemm(struct gwen_kernels *k);
void gwen_init_neon_pack(struct gwen_kernels *k);
void gwen_init_neon_rows(struct gwen_kernels *k);

#endif

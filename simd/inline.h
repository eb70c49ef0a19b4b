/* inline.h - templates in plain C: functions that are always inlined, with loops whose bounds
 * are then constants and which must be unrolled for their arrays to become registers.  gcc needs
 * to be told (its unrolling comes after arrays are split up), clang does it by itself. */
#ifndef GWEN_SIMD_INLINE_H
#define GWEN_SIMD_INLINE_H

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

#endif

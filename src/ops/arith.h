/* arith.h - the arithmetic of products, which the bits of every result depend on: the numeric
 * class.
 *
 * It is what the kernels of a machine make of a storage type.  Whatever computes with weights, keys
 * and values or activations is given one, and all that share them are given the same. */
#ifndef GW_ARITH_H
#define GW_ARITH_H

#include "base/base.h"
#include "gwen_simd.h"

/* How elements of a matrix lie in its panels (linear.h). */
enum gw_panel_format { GW_PANEL_F32, GW_PANEL_F16, GW_PANEL_BF16, GW_PANEL_BF16X2 };

struct gw_arith {
    const struct gwen_kernels *kern; /* not owned */
    enum gw_panel_format format;     /* of weights, keys and values */
};

/* The class's name: "f32-fma" (float32 and float16 anywhere, bfloat16 without native dot products),
 * "bf16-vdp", "bf16-bfdot". */
const char *gw_arith_class(const struct gw_arith *arith);

/* Bytes of one element of a panel (4 or 2). */
static inline size_t gw_panel_elem(enum gw_panel_format format) {
    return format == GW_PANEL_F32 ? 4 : 2;
}

/* Bytes of one activation (4 or 2). */
static inline size_t gw_x_elem(enum gw_panel_format format) {
    return format == GW_PANEL_BF16X2 ? 2 : 4;
}

/* The length of a reduction over k elements: pairs want an even one. */
static inline size_t gw_padded_k(enum gw_panel_format format, size_t k) {
    return format == GW_PANEL_BF16X2 ? gw_round_up(k, 2) : k;
}

/* The arithmetic of products in which both sides are activations, and its format. */
struct gw_arith gw_token_arith(const struct gw_arith *arith);
static inline enum gw_panel_format gw_token_format(enum gw_panel_format format) {
    return format == GW_PANEL_BF16X2 ? GW_PANEL_BF16X2 : GW_PANEL_F32;
}

/* Writes n values as activations, from element `at` of x on. */
void gw_store_x(const struct gw_arith *arith, char *x, size_t at, const float *values, size_t n);

#endif

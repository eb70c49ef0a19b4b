/* arith.c - see arith.h. */
#include "ops/arith.h"

#include <string.h>

const char *gw_arith_class(const struct gw_arith *arith) {
    if (arith->format != GW_PANEL_BF16X2) return "f32-fma";
    return arith->kern->dot_class == GWEN_DOT_BFDOT ? "bf16-bfdot" : "bf16-vdp";
}

struct gw_arith gw_token_arith(const struct gw_arith *arith) {
    return (struct gw_arith){arith->kern, gw_token_format(arith->format)};
}

void gw_store_x(const struct gw_arith *arith, char *x, size_t at, const float *values, size_t n) {
    if (arith->format == GW_PANEL_BF16X2)
        arith->kern->f32_to_bf16((struct gwen_bf16 *)(void *)x + at, values, n);
    else
        memcpy((float *)(void *)x + at, values, n * sizeof *values);
}

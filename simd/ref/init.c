/* init.c - the reference's part of the table. */
#include "dispatch.h"
#include "ref/math.h"

/* Eight chains of fmaf: what plain C reaches on this machine. */
static double peak_f32(size_t n) {
    float acc[8] = {0};
    for (size_t i = 0; i < n; i++)
        for (int j = 0; j < 8; j++) acc[j] = fmaf(acc[j], 0.5f, 1.0f);
    volatile float sink =
        gwen_tree16((float[16]){acc[0], acc[1], acc[2], acc[3], acc[4], acc[5], acc[6], acc[7]});
    (void)sink;
    return 2.0 * 8 * (double)n;
}

void gwen_init_ref(struct gwen_kernels *k) {
    static const struct gwen_tile_shape shape = {4, {0, 8, 8, 8, 8}};
#define GW_KERNEL(name, ret, params) k->name = gwen_ref_##name;
#define GW_KERNEL_OF_CLASS(name, ret, params) k->name = NULL;
#include "kernels.def"
#undef GW_KERNEL_OF_CLASS
#undef GW_KERNEL
    k->dot_class = GWEN_DOT_NONE;
    k->tile_f32 = k->tile_f16 = k->tile_bf16 = k->tile_bf16dot = shape;
    k->peak_f32 = peak_f32;
    k->peak_dot = NULL;
}

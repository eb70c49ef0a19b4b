/* optim.h - AdamW, the norm of a gradient and learning-rate schedules: pure functions on arrays. */
#ifndef GW_OPTIM_H
#define GW_OPTIM_H

#include "base/rng.h"
#include "gwen_simd.h"

/* --- learning rate -------------------------------------------------------------------------- */

enum gw_schedule_kind {
    GW_SCHEDULE_CONSTANT, /* with warm-up: transformers' constant_with_warmup */
    GW_SCHEDULE_LINEAR,
    GW_SCHEDULE_COSINE /* down to min_lr_rate: transformers' cosine, cosine_with_min_lr */
};

struct gw_schedule {
    enum gw_schedule_kind kind;
    double lr; /* the peak */
    size_t warmup_steps, total_steps;
    double min_lr_rate; /* COSINE: what is left at the end; 0 .. 1 */
};

/* The learning rate of optimizer step `step` (0 is the first), as transformers computes it: with
 * warm-up the first step's is 0. */
double gw_schedule_lr(const struct gw_schedule *s, size_t step);

/* --- gradient ------------------------------------------------------------------------------- */

enum { GW_NORM_BLOCK = 16384 }; /* floats whose squares are summed at a time: part of the result */

/* Sum of squares of one block of at most GW_NORM_BLOCK floats; the norm of an array is the root of
 * the sum of its blocks' in ascending order.  Not finite when an element is not. */
double gw_sum_squares(const struct gwen_kernels *kern, const float *x, size_t n);
/* What PyTorch's clip_grad_norm_ multiplies by: min(1, max_norm / (norm + 1e-6)); 1 when max_norm
 * is 0. */
double gw_clip_factor(double norm, double max_norm);

/* --- AdamW ---------------------------------------------------------------------------------- */

struct gw_adamw_opts {
    double beta1, beta2, eps, weight_decay;
};

/* The constants of step t (1 is the first) for the kernel: decay only where `decayed`. */
struct gwen_adamw gw_adamw_step(const struct gw_adamw_opts *o, uint64_t t, double lr, double clip,
                                bool decayed);

/* How random_bf16 rounds a row, the `row`th of n elements, drawing by *rng; `sample` tells apart
 * what is drawn for the same elements.  Rows never share a draw. */
struct gwen_rounding gw_rounding_of(const struct gw_rng *rng, uint32_t sample, size_t row,
                                    size_t n);

#endif

/* optimizer.h - AdamW over all trained tensors: master weights and moments in float, clipping by
 * the global norm, steps with gradients that are not finite left out. */
#ifndef GW_TRAIN_OPTIMIZER_H
#define GW_TRAIN_OPTIMIZER_H

#include "base/layout.h"
#include "base/pool.h"
#include "model/params.h"
#include "ops/optim.h"

struct gw_optimizer {
    const struct gw_params *params;
    const struct gwen_kernels *kern;
    struct gw_pool *pool;
    struct gw_adamw_opts opts;
    double max_grad_norm;  /* 0: no clipping */
    float *master, *m, *v; /* [params->n_floats]; or, without master weights: */
    struct gwen_bf16 *m16, *v16;
    struct gw_optimizer_bf16 *bf16; /* optimizer_bf16.h, in memory; else NULL */
    struct gw_packer *packer;       /* what that edits the weights with; else NULL */
    double *block_squares;          /* scratch of the norm */
    uint64_t steps;                 /* taken so far */
    uint64_t skipped;               /* left out because of gradients that were not finite */
    struct gw_mem memory;
};

/* Moments are 0; master weights are the caller's to fill.  `params` and `kern` must live on. */
enum gwen_status gw_optimizer_create(const struct gw_params *params,
                                     const struct gwen_kernels *kern, struct gw_pool *pool,
                                     const struct gw_adamw_opts *opts, double max_grad_norm,
                                     struct gw_optimizer **out, struct gwen_err *err);
void gw_optimizer_free(struct gw_optimizer *o);
size_t gw_optimizer_bytes(size_t n_floats);

/* 2-norm of the whole gradient, the same on any number of threads; NaN or infinity when an element
 * is. */
double gw_optimizer_norm(struct gw_optimizer *o, const float *grads);
/* One step with gradients multiplied by `scale` (what the caller has not divided by yet) and
 * clipped; returns the norm of scale * grads before clipping.  When that is not finite nothing
 * changes but `skipped`. */
double gw_optimizer_step(struct gw_optimizer *o, const float *grads, double lr, double scale);

/* --- what both kinds of optimizer share ----------------------------------------------------- */

/* Sets *norm to the norm of scale * grads, and *clip to what gradients are to be multiplied by;
 * false, and counts a step left out, when the norm is not finite. */
bool gw_optimizer_clip(struct gw_optimizer *o, const float *grads, double scale, double *norm,
                       double *clip);
/* The norm's scratch, as a part of the optimizer's memory. */
void gw_optimizer_lay_out_norm(struct gw_layout *l, size_t n_floats, struct gw_optimizer *o);

#endif

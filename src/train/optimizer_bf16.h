/* optimizer_bf16.h - AdamW without float copies: weights and moments in bfloat16, rounded at
 * random.
 *
 * A step computes in float as gw_optimizer does, from the model's own packed weights; what it
 * leaves is rounded up or down by chance, so that means are kept: steps far smaller than a weight's
 * last bit still move it, one time in many.  Draws are a function of (seed, step, parameter,
 * element). Norms and biases stay float, as the model has them; their moments are bfloat16 too. */
#ifndef GW_TRAIN_OPTIMIZER_BF16_H
#define GW_TRAIN_OPTIMIZER_BF16_H

#include "model/pack.h"
#include "train/optimizer.h"

/* The model is one in bfloat16, params all of it; they, and the pool, must live on.  Moments are
 * 0. */
enum gwen_status gw_optimizer_bf16_create(struct gw_model *model, const struct gw_params *params,
                                          struct gw_pool *pool, const struct gw_adamw_opts *opts,
                                          double max_grad_norm, uint64_t seed,
                                          struct gw_optimizer **out, struct gwen_err *err);
size_t gw_optimizer_bf16_bytes(const struct gw_config *cfg, int n_threads);

/* As gw_optimizer_step, on the model itself; *norm is what that returns.  GWEN_ERR_NUMERIC, naming
 * the tensor, when a weight is finite no more. */
enum gwen_status gw_optimizer_bf16_step(struct gw_optimizer *o, const float *grads, double lr,
                                        double scale, double *norm, struct gwen_err *err);

#endif

/* pack.h - from the tensors of a checkpoint to the packed weights of a model. */
#ifndef GW_PACK_H
#define GW_PACK_H

#include "checkpoint/safetensors/safetensors.h"
#include "model/model.h"
#include "model/params.h"

/* Fills every weight of *m (laid out, zeroed) from a checked file.  Each thread packs the column
 * groups that gw_linear will later give it.  NaN and infinite weights, and values that float16
 * cannot hold, are refused by name. */
enum gwen_status gw_pack_model(struct gw_model *m, const struct gw_safetensors *st,
                               struct gw_pool *pool, struct gwen_err *err);

/* --- weights that are trained --------------------------------------------------------------- */

/* Repacks a model's weights, step after step, in memory of its own; model, params (those of the
 * whole model) and pool must live on. */
struct gw_packer;
enum gwen_status gw_packer_create(struct gw_model *m, const struct gw_params *params,
                                  struct gw_pool *pool, struct gw_packer **out,
                                  struct gwen_err *err);
void gw_packer_free(struct gw_packer *p); /* NULL is fine */
size_t gw_packer_bytes(const struct gw_config *cfg, int n_threads);

/* Packs every weight, in place, from float master weights laid out as the params: the same bits as
 * saving them and loading the file.  GWEN_ERR_NUMERIC, naming the tensor, when a value cannot be
 * used. */
enum gwen_status gw_pack_update(struct gw_packer *p, const float *master, struct gwen_err *err);

/* Changes row `row` of matrix params->list[param], n bf16; or all of a vector, n floats.  Called by
 * all threads at once, each row by one of them. */
typedef void gw_pack_edit_fn(void *ctx, int thread, size_t param, size_t row, void *values,
                             size_t n);
/* Has every row of a model in bfloat16 changed in place.  Errors as above. */
enum gwen_status gw_pack_edit(struct gw_packer *p, gw_pack_edit_fn *edit, void *ctx,
                              struct gwen_err *err);

/* Elements [first, first + n) of a parameter as the model has them: bf16 of a matrix (of a model in
 * bfloat16), floats of a vector. */
void gw_pack_read(const struct gw_model *m, size_t param, size_t first, size_t n, void *out);

/* All tensors of a checked file as master weights. */
enum gwen_status gw_master_read(const struct gw_params *params, const struct gw_safetensors *st,
                                const struct gwen_kernels *kern, float *master,
                                struct gwen_err *err);

#endif

/* pack.h - from the tensors of a checkpoint to the packed weights of a model. */
#ifndef GW_PACK_H
#define GW_PACK_H

#include "model/model.h"
#include "model/params.h"
#include "model/safetensors.h"

/* Fills every weight of *m (laid out, zeroed) from a checked file.  Each thread packs the column
 * groups that gw_linear will later give it.  NaN and infinite weights, and values that float16
 * cannot hold, are refused by name. */
enum gwen_status gw_pack_model(struct gw_model *m, const struct gw_safetensors *st,
                               struct gw_pool *pool, struct gwen_err *err);

/* Packs every weight of *m again, in place, from float master weights laid out as `params` (those
 * of the whole model): the same bits as saving them and loading the file.  GWEN_ERR_NUMERIC, naming
 * the tensor, when a value cannot be used. */
enum gwen_status gw_pack_update(struct gw_model *m, const struct gw_params *params,
                                const float *master, struct gw_pool *pool, struct gwen_err *err);
/* All tensors of a checked file as master weights. */
enum gwen_status gw_master_read(const struct gw_params *params, const struct gw_safetensors *st,
                                const struct gwen_kernels *kern, float *master,
                                struct gwen_err *err);

#endif

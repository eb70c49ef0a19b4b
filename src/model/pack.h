/* pack.h - from the tensors of a checkpoint to the packed weights of a model. */
#ifndef GW_PACK_H
#define GW_PACK_H

#include "model/model.h"
#include "model/safetensors.h"

/* Fills every weight of *m (laid out, zeroed) from a checked file.  Each thread packs the column
 * groups that gw_linear will later give it.  NaN and infinite weights, and values that float16
 * cannot hold, are refused by name. */
enum gwen_status gw_pack_model(struct gw_model *m, const struct gw_safetensors *st,
                               struct gw_pool *pool, struct gwen_err *err);

#endif

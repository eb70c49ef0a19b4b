/* params.h - the trained tensors as one flat array of floats: gradients, master weights and moments
 * all have this layout, so that the optimizer and the gradient norm are loops over one array.
 *
 * Tensors that are one packed matrix in the model lie side by side (q|k|v, gate|up and their
 * biases), so that their gradient is one product.  Others begin at whole cache lines; what lies
 * between is zero and stays zero. */
#ifndef GW_PARAMS_H
#define GW_PARAMS_H

#include "checkpoint/config/config.h"

struct gw_param {
    char name[2 * GW_TENSOR_NAME_MAX]; /* as in the file that it is saved to */
    size_t rank, shape[2];
    size_t offset, n; /* floats */
    bool decay;       /* weight decay applies: matrices, not norms and biases */
};

struct gw_params {
    size_t n;
    struct gw_param *list;
    size_t n_floats; /* of the whole array */
    size_t *index;   /* of a whole model: [1 + n_layers][GW_TENSOR_KIND_COUNT] places in `list` */
};

/* All tensors of a model, in the order of gw_config_tensor_at.  GWEN_ERR_NOMEM. */
enum gwen_status gw_params_of_model(const struct gw_config *cfg, struct gw_params *p,
                                    struct gwen_err *err);
void gw_params_free(struct gw_params *p); /* a zeroed one is fine */
/* A tensor's place in `list`, of a whole model that has it. */
size_t gw_params_index(const struct gw_params *p, enum gw_tensor_kind kind, size_t layer);
/* Where such a tensor begins. */
size_t gw_params_offset(const struct gw_params *p, enum gw_tensor_kind kind, size_t layer);
/* Floats of the array for a configuration. */
size_t gw_params_floats(const struct gw_config *cfg);
/* Floats of what is trained: the adapter's where there is one, else the model's. */
size_t gw_trained_floats(const struct gw_config *cfg);

#endif

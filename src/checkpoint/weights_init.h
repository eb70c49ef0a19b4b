/* weights_init.h - a model directory with random weights. */
#ifndef GW_CHECKPOINT_WEIGHTS_INIT_H
#define GW_CHECKPOINT_WEIGHTS_INIT_H

#include "base/base.h"
#include "checkpoint/config/config.h"

struct gw_init_options {
    uint64_t seed;
    enum gw_dtype dtype;       /* F32, F16 or BF16; NONE: the configuration's, else BF16 */
    const char *tokenizer_dir; /* its tokenizer files are copied; NULL: none */
    gwen_progress_fn progress; /* of "init" in "parameters"; may be NULL */
    void *progress_user;
};

/* Writes config.json, generation_config.json, model.safetensors and the tokenizer's files into
 * `dir` (made if need be).  Matrices are normal(0, initializer_range), norms 1, biases 0; each
 * element depends on (seed, tensor, element) alone and is the same on every machine.  Weights are
 * streamed: memory does not grow with the model.  GWEN_ERR_CANCELLED when the progress callback
 * said stop; no weights are left behind then. */
enum gwen_status gw_weights_init(const struct gw_config *c, const struct gw_init_options *opt,
                                 const char *dir, struct gwen_err *err);

#endif

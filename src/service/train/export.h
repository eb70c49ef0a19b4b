/* export.h - an adapter's model as a Hugging Face directory of its own: W + scale * B A. */
#ifndef GW_SERVICE_TRAIN_EXPORT_H
#define GW_SERVICE_TRAIN_EXPORT_H

#include "base/progress.h"
#include "checkpoint/dtype.h"
#include "gwen_simd.h"

struct gw_export_opts {
    const char *model_dir, *adapter_dir;
    enum gw_dtype dtype; /* of all tensors; NONE: each keeps the one it is stored in */
    enum gwen_isa isa_cap;
    gwen_progress_fn progress; /* of "export" in "parameters"; may be NULL */
    void *progress_user;
};

/* Writes configuration, weights and the tokenizer's files to `out`, which must not be there or be
 * empty: made under another name, synced and renamed.  Sums are in double, then rounded once to
 * float32 and once to the tensor's type; weights are streamed, so that memory does not grow with
 * the model.  GWEN_ERR_NUMERIC, naming the tensor, for a value that its type cannot hold. */
enum gwen_status gw_export_merged(const struct gw_export_opts *opts, const char *out,
                                  struct gwen_err *err);

#endif

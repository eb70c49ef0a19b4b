/* dtype.h - element types of tensors in files. */
#ifndef GW_CHECKPOINT_DTYPE_H
#define GW_CHECKPOINT_DTYPE_H

#include "base/base.h"

enum gw_dtype {
    GW_DTYPE_NONE, /* not given */
    GW_DTYPE_F32,
    GW_DTYPE_F16,
    GW_DTYPE_BF16,
    /* the rest can be read but are no weights */
    GW_DTYPE_F64,
    GW_DTYPE_I64,
    GW_DTYPE_I32,
    GW_DTYPE_I16,
    GW_DTYPE_I8,
    GW_DTYPE_U64,
    GW_DTYPE_U32,
    GW_DTYPE_U16,
    GW_DTYPE_U8,
    GW_DTYPE_BOOL,
    GW_DTYPE_COUNT
};

/* Bytes of one element (0 for NONE). */
size_t gw_dtype_bytes(enum gw_dtype t);
/* "F32", "BF16", ... as safetensors writes it. */
const char *gw_dtype_name(enum gw_dtype t);
/* The inverse; false when it is not one of these. */
bool gw_dtype_from_name(const char *name, size_t len, enum gw_dtype *out);
/* "float32", "float16", "bfloat16" as PyTorch and config.json write it; NULL for the others. */
const char *gw_dtype_torch_name(enum gw_dtype t);
/* Parses fp32 | fp16 | bf16 | float32 | float16 | bfloat16 (also with "torch." in front). */
bool gw_dtype_parse(const char *text, enum gw_dtype *out);
/* True for F32, F16 and BF16, the types weights may have. */
bool gw_dtype_is_weight(enum gw_dtype t);

#endif

/* dtype.c - names and sizes of element types. */
#include "checkpoint/dtype.h"

#include <string.h>

static const struct {
    const char *name, *torch_name;
    size_t bytes;
} types[GW_DTYPE_COUNT] = {
    [GW_DTYPE_NONE] = {"none", NULL, 0},    [GW_DTYPE_F32] = {"F32", "float32", 4},
    [GW_DTYPE_F16] = {"F16", "float16", 2}, [GW_DTYPE_BF16] = {"BF16", "bfloat16", 2},
    [GW_DTYPE_F64] = {"F64", NULL, 8},      [GW_DTYPE_I64] = {"I64", NULL, 8},
    [GW_DTYPE_I32] = {"I32", NULL, 4},      [GW_DTYPE_I16] = {"I16", NULL, 2},
    [GW_DTYPE_I8] = {"I8", NULL, 1},        [GW_DTYPE_U64] = {"U64", NULL, 8},
    [GW_DTYPE_U32] = {"U32", NULL, 4},      [GW_DTYPE_U16] = {"U16", NULL, 2},
    [GW_DTYPE_U8] = {"U8", NULL, 1},        [GW_DTYPE_BOOL] = {"BOOL", NULL, 1},
};

size_t gw_dtype_bytes(enum gw_dtype t) { return types[t].bytes; }
const char *gw_dtype_name(enum gw_dtype t) { return types[t].name; }
const char *gw_dtype_torch_name(enum gw_dtype t) { return types[t].torch_name; }

bool gw_dtype_from_name(const char *name, size_t len, enum gw_dtype *out) {
    for (int t = GW_DTYPE_F32; t < GW_DTYPE_COUNT; t++) {
        if (strlen(types[t].name) != len || memcmp(types[t].name, name, len) != 0) continue;
        *out = (enum gw_dtype)t;
        return true;
    }
    return false;
}

bool gw_dtype_parse(const char *text, enum gw_dtype *out) {
    static const struct {
        const char *name;
        enum gw_dtype type;
    } names[] = {{"fp32", GW_DTYPE_F32},    {"fp16", GW_DTYPE_F16},    {"bf16", GW_DTYPE_BF16},
                 {"float32", GW_DTYPE_F32}, {"float16", GW_DTYPE_F16}, {"bfloat16", GW_DTYPE_BF16}};
    if (strncmp(text, "torch.", 6) == 0) text += 6;
    for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
        if (strcmp(text, names[i].name) != 0) continue;
        *out = names[i].type;
        return true;
    }
    return false;
}

bool gw_dtype_is_weight(enum gw_dtype t) {
    return t == GW_DTYPE_F32 || t == GW_DTYPE_F16 || t == GW_DTYPE_BF16;
}

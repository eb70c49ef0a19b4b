/* model.h - a model's weights, packed for the kernels in force.
 *
 * Weights are repacked once, at load, into the panels of ops/linear.h, in the storage type chosen
 * by --dtype; q|k|v are one matrix and gate|up another.  The file's pages are let go as they
 * are read: one copy of the weights exists.  Norm weights and biases stay float. */
#ifndef GW_MODEL_H
#define GW_MODEL_H

#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"
#include "checkpoint/config/config.h"
#include "ops/linear.h"

struct gw_layer {
    struct gw_packed qkv; /* [(heads + 2 kv_heads) * head_dim, hidden]: q rows, k rows, v rows */
    struct gw_packed o;   /* [hidden, heads * head_dim] */
    struct gw_packed gate_up;    /* panels alternate: 16 rows of gate, 16 rows of up */
    struct gw_packed down;       /* [hidden, ffn] */
    float *attn_norm, *mlp_norm; /* [hidden] */
    float *q_norm, *k_norm;      /* [head_dim] or NULL */
    float *qkv_bias, *o_bias, *gate_up_bias, *down_bias; /* as the matrix's rows, or NULL */
};

struct gw_model {
    struct gw_config cfg;
    enum gw_dtype dtype; /* storage of weights and KV: F32, F16 or BF16 */
    struct gwen_kernels kern;
    struct gw_arith arith; /* of these kernels */
    struct gw_layer *layers;
    float *norm;                    /* [hidden] */
    struct gw_packed embed;         /* [vocab, hidden]; the same panels as head when tied */
    struct gw_packed head;          /* [vocab, hidden] */
    struct gw_mem memory;           /* everything above */
    struct gw_lora *lora;           /* an adapter (lora.h), or NULL; freed with the model */
    struct gw_linear_tuning tuning; /* that all its matrices are cut by */
};

struct gw_model_opts {
    enum gw_dtype dtype; /* NONE: the checkpoint's own 16-bit type (float32: bfloat16) */
    enum gwen_isa isa_cap;
    const struct gw_log *log; /* may be NULL */
};

/* Loads a Hugging Face directory; `pool` packs and first touches.  Errors name the file, tensor
 * and what is wrong with it. */
enum gwen_status gw_model_load(const char *dir, const struct gw_model_opts *opts,
                               struct gw_pool *pool, struct gw_model **out, struct gwen_err *err);
void gw_model_free(struct gw_model *model);
/* From now on products are cut as *tuning (valid; copied) says; speed changes, results do not.
 * Not while the model is in use. */
void gw_model_tune(struct gw_model *model, const struct gw_linear_tuning *tuning);

/* Storage type that --dtype auto means for a checkpoint of type `stored`. */
enum gw_dtype gw_model_auto_dtype(enum gw_dtype stored);
/* The arithmetic of weights stored as `dtype` with these kernels, which must live on. */
struct gw_arith gw_model_arith(enum gw_dtype dtype, const struct gwen_kernels *kern);
/* Bytes gw_model_load takes for the packed weights. */
size_t gw_model_bytes(const struct gw_config *cfg, enum gw_panel_format format);

#endif

/* attention.h - causal attention over key/value blocks, the same code in prefill, decode and
 * training.
 *
 * Keys and values live in blocks of GW_KV_BLOCK tokens counted from absolute position 0.  Inside
 * a block each (layer, kv head) has, in the panel format of the numeric class,
 *     K: GW_KV_BLOCK/16 panels of [head_dim][16 tokens]    (tokens are the columns)
 *     V: head_dim/16 panels of [GW_KV_BLOCK tokens][16]    (tokens are the reduction)
 * so that scores and outputs are the same micro-kernels as every linear layer.
 *
 * The softmax is online over these blocks in ascending order (Milakov and Gimelshein 2018;
 * Dao et al. 2022).  The block length is part of the numeric version: it fixes where the
 * running maximum is updated and must never be tuned.  A row's result depends on its own
 * query, keys and values only, not on the rows it is computed with. */
#ifndef GW_ATTENTION_H
#define GW_ATTENTION_H

#include "base/base.h"
#include "ops/linear.h"

enum { GW_KV_BLOCK = 64, GW_ATTN_MAX_ROWS = 32 };

struct gw_kv_layout {
    enum gw_panel_format format;
    size_t n_layers, n_kv_heads, head_dim;
    size_t k_panel_bytes, v_panel_bytes; /* one panel of 16 columns */
    size_t k_bytes, v_bytes;             /* one (layer, head) of a block */
    size_t layer_bytes, block_bytes;
};

/* The layout for K and V stored in `format`; sizes are checked by the caller (config). */
void gw_kv_layout_init(struct gw_kv_layout *l, enum gw_panel_format format, size_t n_layers,
                       size_t n_kv_heads, size_t head_dim);

/* Stores keys and values of n consecutive tokens (head_dim floats each, rows `stride` floats
 * apart) in slots slot.. of the block; slot + n <= GW_KV_BLOCK.  Tokens stored one by one leave
 * the same bytes as tokens stored together. */
void gw_kv_store(const struct gw_arith *arith, const struct gw_kv_layout *l, char *block,
                 size_t layer, size_t kv_head, size_t slot, size_t n, const float *k,
                 const float *v, size_t stride);

/* Asks for the lines that storing one token there will write. */
void gw_kv_prefetch_slot(const struct gw_kv_layout *l, char *block, size_t layer, size_t kv_head,
                         size_t slot);

/* Copies the first `used` slots of one layer of a block. */
void gw_kv_copy_layer(const struct gw_kv_layout *l, char *dst, const char *src, size_t layer,
                      size_t used);

/* One query row: the blocks of its sequence and its own position (it sees 0..position). */
struct gw_attn_row {
    const uint32_t *blocks;
    size_t position;
};

/* A row's largest score max = max(scale * q k) and sum = sum of exp(scale * q k - max).  Together
 * they are its log-sum-exp, without the rounding of max + log(sum). */
struct gw_attn_stats {
    float max, sum;
};

struct gw_attn_args {
    const struct gw_arith *arith;
    const struct gw_kv_layout *layout; /* in its format */
    char *base;                        /* block b begins at base + b * block_bytes */
    size_t layer, kv_head;
    size_t heads_per_kv; /* query heads that share the kv head */
    float scale;         /* 1 / sqrt(head_dim) */
    const struct gw_attn_row *rows;
    size_t n_rows; /* <= GW_ATTN_MAX_ROWS */
    const char *q; /* activations: row r, head h (of this kv head) at
                      q + r * q_stride + h * head_dim * element */
    size_t q_stride;
    char *out; /* same shape and type as q */
    size_t out_stride;
    /* For the backward pass, NULL: not wanted.  [n_rows][heads_per_kv], rows stats_stride apart. */
    struct gw_attn_stats *stats;
    size_t stats_stride;
    void *scratch; /* gw_attn_scratch_bytes(), 64-byte aligned */
};

/* out = softmax(scale * q K^T) V for n_rows rows and the heads of one kv head.  Consecutive rows
 * that share a block read it once, in one product. */
void gw_attention(const struct gw_attn_args *args);
size_t gw_attn_scratch_bytes(size_t head_dim, size_t heads_per_kv);

/* Where K and V of one (layer, kv head) of a block lie, as matrices: K is [GW_KV_BLOCK, head_dim],
 * V is [head_dim, GW_KV_BLOCK]. */
void gw_kv_matrices(const struct gw_kv_layout *l, char *block, size_t layer, size_t kv_head,
                    struct gw_packed *k, struct gw_packed *v);

#endif

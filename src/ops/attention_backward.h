/* attention_backward.h - the backward pass of ops/attention.h, on the same blocks and kernels.
 *
 * Probabilities are recomputed, block by block, from the statistics the forward pass left:
 *
 *     P = exp(scale Q K^T - max) / sum            dV += P^T dO        dP = dO V^T
 *     dS = scale P (dP - rowsum(dO O))            dQ = dS K           dK += dS^T Q
 *
 * K and V are those in the cache, rounded to its type.  Each sum is one chain: dQ over the blocks
 * in ascending order, dK and dV over the rows (and their heads) in ascending order. */
#ifndef GW_ATTENTION_BACKWARD_H
#define GW_ATTENTION_BACKWARD_H

#include "ops/attention.h"

/* Consecutive rows of one sequence and the heads of one kv head. */
struct gw_attn_back {
    const struct gw_arith *arith;
    const struct gw_kv_layout *layout; /* in its format */
    char *base;                        /* block b begins at base + b * block_bytes */
    size_t layer, kv_head, heads_per_kv;
    float scale;
    const uint32_t *blocks; /* of the sequence */
    size_t position;        /* of the first row */
    size_t n_rows;
    const char *q, *out; /* as in struct gw_attn_args: queries (rotated) and results */
    size_t q_stride;     /* bytes, of both */
    const struct gw_attn_stats *stats;
    size_t stats_stride;
    const float *d_out; /* [n_rows][heads_per_kv * head_dim], rows d_out_stride floats apart */
    size_t d_out_stride;
    float *dq; /* written, same shape */
    size_t dq_stride;
    /* [positions][gw_attn_back_stride()]: sums to which those of positions 0 .. position + n_rows
     * are added, room for whole blocks. */
    float *dk, *dv;
    void *scratch; /* gw_attn_back_scratch_bytes(), 64-byte aligned */
};

void gw_attention_backward(const struct gw_attn_back *a);
/* Floats between positions of dk and dv: head_dim rounded up to a panel. */
size_t gw_attn_back_stride(size_t head_dim);
size_t gw_attn_back_scratch_bytes(enum gw_panel_format format, size_t head_dim,
                                  size_t heads_per_kv);

#endif

/* head.h - the LM head: logits, log-sum-exp and log-probabilities in one pass over the vocabulary.
 *
 * The vocabulary is cut into blocks of GW_VOCAB_BLOCK columns.  As a block's logits leave the
 * product, z = logit / temperature, its maximum m_b and s_b = sum exp(z - m_b) are taken while
 * they are in the cache; then M = max m_b, S = sum s_b exp(m_b - M) in double over ascending
 * blocks, log-sum-exp = M + log S.  The block length is part of the numeric version.  Nothing of
 * size rows x vocabulary need be kept when only given tokens' log-probabilities are wanted. */
#ifndef GW_HEAD_H
#define GW_HEAD_H

#include "model/forward.h"

enum { GW_VOCAB_BLOCK = 64 };

struct gw_head {
    const struct gw_model *model;
    struct gw_pool *pool;
    size_t max_rows, n_blocks, z_stride;
    bool keep;           /* z is there */
    bool entropy;        /* entropies are wanted: set by the owner before a run */
    float *z;            /* [max_rows][z_stride] logits / temperature */
    float *block_max;    /* [max_rows][n_blocks] */
    float *block_sum;    /* [max_rows][n_blocks] */
    float *block_weight; /* [max_rows][n_blocks] exp(m_b - M) */
    float *block_mean;   /* [max_rows][n_blocks] sum of exp(z - m_b) z, with entropies */
    float *temperature;  /* [max_rows] in: > 0 */
    int32_t *target;     /* [max_rows] in: token whose z is wanted; -1: none */
    float *target_z;     /* [max_rows] out */
    float *max;          /* [max_rows] out: M */
    double *sum;         /* [max_rows] out: S; not finite or 0 when a logit was not finite */
    double *log_sum_exp; /* [max_rows] out */
    float *row_entropy;  /* [max_rows] out, of softmax(z), with entropies */
    struct gw_mem memory;
};

/* Room for max_rows rows; with `keep` z is stored (sampling), else only targets' (scoring). */
enum gwen_status gw_head_create(const struct gw_model *model, struct gw_pool *pool, size_t max_rows,
                                bool keep, struct gw_head **out, struct gwen_err *err);
void gw_head_free(struct gw_head *head);
size_t gw_head_bytes(const struct gw_config *cfg, size_t max_rows, bool keep);

/* Products and statistics for n_rows rows of normed hidden states x.  `scratch` as for gw_linear.
 * SPMD; done when it returns. */
void gw_head_run(struct gw_head *head, const char *x, size_t x_stride, size_t n_rows, void *scratch,
                 int thread);

/* log p of a value z of row i. */
float gw_head_logprob(const struct gw_head *head, size_t i, float z);

#endif

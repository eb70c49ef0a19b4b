/* head.c - see head.h.  Statistics of a block are taken as its logits leave the product; one pass
 * over the block statistics finishes a row. */
#include "model/head.h"

#include "ref/math.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)GW_VOCAB_BLOCK == (int)GW_GROUP_COLS,
               "a finished piece of the product is one block of the vocabulary");

static size_t blocks_of(const struct gw_config *c) {
    return (c->vocab_size + GW_VOCAB_BLOCK - 1) / GW_VOCAB_BLOCK;
}

size_t gw_head_bytes(const struct gw_config *c, size_t max_rows, bool keep) {
    size_t per_row = 4 * blocks_of(c) * sizeof(float) + 64;
    if (keep) per_row += gw_round_up(c->vocab_size, 16) * sizeof(float);
    return max_rows * per_row + 16 * 64;
}

enum gwen_status gw_head_create(const struct gw_model *model, struct gw_pool *pool, size_t max_rows,
                                bool keep, struct gw_head **out, struct gwen_err *err) {
    *out = NULL;
    struct gw_head *h = calloc(1, sizeof *h);
    if (h == NULL) return gw_nomem(err, sizeof *h, "the LM head");
    h->model = model;
    h->pool = pool;
    h->max_rows = max_rows;
    h->n_blocks = blocks_of(&model->cfg);
    h->z_stride = gw_round_up(model->cfg.vocab_size, 16);
    h->keep = keep;
    enum gwen_status status =
        gw_mem_map(&h->memory, gw_head_bytes(&model->cfg, max_rows, keep), err);
    if (status != GWEN_OK) {
        gw_head_free(h);
        return status;
    }
    gw_mem_interleave(h->memory.data, h->memory.bytes);
    char *at = h->memory.data;
    h->block_max = gw_mem_take(&at, max_rows * h->n_blocks * sizeof(float));
    h->block_sum = gw_mem_take(&at, max_rows * h->n_blocks * sizeof(float));
    h->block_weight = gw_mem_take(&at, max_rows * h->n_blocks * sizeof(float));
    h->block_mean = gw_mem_take(&at, max_rows * h->n_blocks * sizeof(float));
    h->temperature = gw_mem_take(&at, max_rows * sizeof(float));
    h->target = gw_mem_take(&at, max_rows * sizeof(int32_t));
    h->target_z = gw_mem_take(&at, max_rows * sizeof(float));
    h->max = gw_mem_take(&at, max_rows * sizeof(float));
    h->sum = gw_mem_take(&at, max_rows * sizeof(double));
    h->log_sum_exp = gw_mem_take(&at, max_rows * sizeof(double));
    h->row_entropy = gw_mem_take(&at, max_rows * sizeof(float));
    if (keep) h->z = gw_mem_take(&at, max_rows * h->z_stride * sizeof(float));
    *out = h;
    return GWEN_OK;
}

void gw_head_free(struct gw_head *h) {
    if (h == NULL) return;
    gw_mem_unmap(&h->memory);
    free(h);
}

static void done_block(void *ctx, int thread, size_t m0, size_t m, size_t n0, size_t n, float *c,
                       size_t c_stride) {
    struct gw_head *h = ctx;
    const struct gwen_kernels *kern = &h->model->kern;
    (void)thread;
    for (size_t i = 0; i < m; i++)
        if (h->temperature[m0 + i] != 1.0f)
            kern->divide(c + i * c_stride, h->temperature[m0 + i], n);
    const size_t stat = m0 * h->n_blocks + n0 / GW_VOCAB_BLOCK;
    kern->block_stats(c, c_stride, m, n, h->block_max + stat, h->block_sum + stat, h->n_blocks);
    for (size_t i = 0; i < m; i++) {
        float *z = c + i * c_stride;
        const size_t row = m0 + i, target = (size_t)h->target[row]; /* -1: beyond every block */
        if (h->entropy) {
            float p[GW_VOCAB_BLOCK];
            const size_t at = stat + i * h->n_blocks;
            kern->exp_sub(p, z, h->block_max[at], n);
            h->block_mean[at] = kern->dot(p, z, n);
        }
        if (target >= n0 && target < n0 + n) h->target_z[row] = z[target - n0];
        if (h->keep) memcpy(h->z + row * h->z_stride + n0, z, n * sizeof *z);
    }
}

static void finish_row(struct gw_head *h, size_t row) {
    const struct gwen_kernels *kern = &h->model->kern;
    const float *m = h->block_max + row * h->n_blocks, *s = h->block_sum + row * h->n_blocks;
    float *w = h->block_weight + row * h->n_blocks;
    h->max[row] = kern->max(m, h->n_blocks);
    kern->exp_sub(w, m, h->max[row], h->n_blocks);
    double sum = 0;
    for (size_t b = 0; b < h->n_blocks; b++) sum += (double)s[b] * (double)w[b];
    h->sum[row] = sum;
    h->log_sum_exp[row] = (double)h->max[row] + gwen_log(sum);
    if (!h->entropy) return;
    const float *e = h->block_mean + row * h->n_blocks;
    double mean = 0;
    for (size_t b = 0; b < h->n_blocks; b++) mean += (double)e[b] * (double)w[b];
    h->row_entropy[row] = (float)(h->log_sum_exp[row] - mean / sum);
}

void gw_head_run(struct gw_head *h, const char *x, size_t x_stride, size_t n_rows, void *scratch,
                 int thread) {
    gw_linear(&h->model->arith, &h->model->head, n_rows, x, x_stride, done_block, h, scratch,
              h->pool, thread);
    for (size_t row; gw_pool_next(h->pool, thread, n_rows, &row);) finish_row(h, row);
}

float gw_head_logprob(const struct gw_head *h, size_t i, float z) {
    return (float)((double)z - h->log_sum_exp[i]);
}

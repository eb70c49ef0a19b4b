/* head.c - see head.h.  Statistics of a block are taken as its logits leave the product; one pass
 * over the block statistics finishes a row. */
#include "model/head.h"

#include "base/layout.h"
#include "ref/math.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)GW_VOCAB_BLOCK == (int)GW_GROUP_COLS,
               "a finished piece of the product is one block of the vocabulary");

static size_t blocks_of(const struct gw_config *c) {
    return (c->vocab_size + GW_VOCAB_BLOCK - 1) / GW_VOCAB_BLOCK;
}

static void lay_out(struct gw_layout *l, const struct gw_config *c, size_t max_rows, bool keep,
                    struct gw_head *h) {
    h->max_rows = max_rows;
    h->n_blocks = blocks_of(c);
    h->z_stride = gw_round_up(c->vocab_size, 16);
    h->keep = keep;
    h->block_max = gw_layout_take(l, max_rows, h->n_blocks * sizeof *h->block_max);
    h->block_sum = gw_layout_take(l, max_rows, h->n_blocks * sizeof *h->block_sum);
    h->block_weight = gw_layout_take(l, max_rows, h->n_blocks * sizeof *h->block_weight);
    h->block_mean = gw_layout_take(l, max_rows, h->n_blocks * sizeof *h->block_mean);
    h->temperature = gw_layout_take(l, max_rows, sizeof *h->temperature);
    h->target = gw_layout_take(l, max_rows, sizeof *h->target);
    h->target_z = gw_layout_take(l, max_rows, sizeof *h->target_z);
    h->max = gw_layout_take(l, max_rows, sizeof *h->max);
    h->sum = gw_layout_take(l, max_rows, sizeof *h->sum);
    h->log_sum_exp = gw_layout_take(l, max_rows, sizeof *h->log_sum_exp);
    h->row_entropy = gw_layout_take(l, max_rows, sizeof *h->row_entropy);
    h->z = keep ? gw_layout_take(l, max_rows, h->z_stride * sizeof *h->z) : NULL;
}

size_t gw_head_bytes(const struct gw_config *c, size_t max_rows, bool keep) {
    struct gw_layout plan = {0};
    struct gw_head unused;
    lay_out(&plan, c, max_rows, keep, &unused);
    return plan.used;
}

enum gwen_status gw_head_create(const struct gw_model *model, struct gw_pool *pool, size_t max_rows,
                                bool keep, struct gw_head **out, struct gwen_err *err) {
    struct gw_layout l;
    *out = NULL;
    struct gw_head *h = calloc(1, sizeof *h);
    if (h == NULL) return gw_nomem(err, sizeof *h, "the LM head");
    h->model = model;
    h->pool = pool;
    enum gwen_status status =
        gw_layout_map(&l, gw_head_bytes(&model->cfg, max_rows, keep), &h->memory, err);
    if (status == GWEN_OK) {
        lay_out(&l, &model->cfg, max_rows, keep, h);
        status = gw_layout_end(&l, "the LM head", err);
    }
    if (status != GWEN_OK) {
        gw_head_free(h);
        return status;
    }
    gw_mem_interleave(h->memory.data, h->memory.bytes);
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

/* linear_backward.h - the two products of a linear layer's backward pass, on the same packed
 * micro-kernels as the forward one.
 *
 *     Y = X W^T        dX = dY W              reduces over the N rows of W
 *                      dW = dW + dY^T X       reduces over the rows of X (tokens)
 *
 * dX wants panels of W^T: each thread transposes 64 columns of W, a block of rows at a time, into
 * scratch of its own and uses them for all rows of dY, which costs about 1/M of the product and
 * saves a second copy of the weights.  dW wants X in panels whose reduction runs over tokens, and
 * dY transposed: both are packed once by all threads (struct gw_token_pack).
 *
 * Operands are activations of the weights' format: bf16 with BF16X2, else float.  Each element of a
 * result is one chain of fused multiply-adds, over N ascending or over tokens in the order of the
 * spans; a span of odd length is filled up with a zero where pairs are multiplied.  So the way rows
 * are cut into calls at the borders of spans changes no bit. */
#ifndef GW_LINEAR_BACKWARD_H
#define GW_LINEAR_BACKWARD_H

#include "ops/linear.h"

/* --- dX ------------------------------------------------------------------------------------- */

struct gw_linear_dx {
    const struct gw_arith *arith;
    const struct gw_packed *w;
    size_t m;
    const void *dy; /* [m][n] operand; with BF16X2 and n odd one element more, finite */
    size_t dy_stride;
    const float *start; /* [m][k] sums that the chains start from; NULL: zeros */
    size_t start_stride;
};

/* dX = start + dY W, handed to `done` in pieces (columns of K in place of N): an operation of the
 * pool's current run, as gw_linear is.  scratch: this thread's, gw_linear_dx_scratch_bytes(). */
void gw_linear_dx(const struct gw_linear_dx *a, gw_linear_done *done, void *ctx, void *scratch,
                  struct gw_pool *pool, int thread);
size_t gw_linear_dx_scratch_bytes(void);

/* Panels of the transposed matrix, for 16 * n_panels columns of K from k0 on (a multiple of 16):
 * dst panel q is [n rounded up to 16][16], in pairs along n with BF16X2; columns beyond k are 0.
 * How attention gets keys and values the other way round. */
void gw_transpose_panels(const struct gwen_kernels *kern, const struct gw_packed *w, size_t k0,
                         size_t n_panels, void *dst, size_t dst_stride);

/* --- dW ------------------------------------------------------------------------------------- */

/* Rows of activations as the reduction of a product. */
struct gw_token_pack {
    const struct gw_arith *arith; /* gw_token_arith() */
    const struct gw_span *spans;  /* of rows, in the order they are added */
    size_t n_spans;
    size_t n_padded; /* gw_padded_tokens(): the length of the reduction */
};
size_t gw_padded_tokens(enum gw_panel_format format, const struct gw_span *spans, size_t n_spans);
/* The most it can be for `rows` rows in n_spans spans. */
size_t gw_most_padded_tokens(size_t rows, size_t n_spans);

/* Panels of x, columns c0..c0+n_cols: ceil(n_cols/16) panels of gw_panel_bytes(format, n_padded)
 * each.  A thread fills its share of them. */
void gw_pack_tokens(const struct gw_token_pack *p, const char *x, size_t x_stride, size_t c0,
                    size_t n_cols, char *panels, int thread, int n_threads);
/* x transposed: row c of out is column c0 + c of x, n_cols of them, out_stride bytes apart,
 * n_padded elements each.  A thread fills its share of the columns, 16 at a time; c0 is a multiple
 * of 2. */
void gw_transpose_tokens(const struct gw_token_pack *p, const char *x, size_t x_stride, size_t c0,
                         size_t n_cols, char *out, size_t out_stride, int thread, int n_threads);

struct gw_linear_dw {
    const struct gw_arith *arith; /* gw_token_arith() */
    size_t n, k, n_padded;
    const char *dy_t; /* [n] rows of n_padded elements */
    size_t dy_t_stride;
    const char *x_panels;
    float *dw; /* [n][k] */
    size_t dw_stride;
};
/* dW += dY^T X: an operation of the pool's current run.  scratch: this thread's,
 * gw_linear_scratch_bytes(). */
void gw_linear_dw(const struct gw_linear_dw *a, void *scratch, struct gw_pool *pool, int thread);

#endif

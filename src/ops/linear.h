/* linear.h - packed weight matrices and the blocked, threaded product Y = X W^T.
 *
 * A weight matrix [N, K] lives in panels of 16 output columns:
 *     GW_PANEL_F32, _F16, _BF16   [N/16][K][16]       activations float
 *     GW_PANEL_BF16X2             [N/16][K/2][16][2]  activations bf16 (native dot products)
 * N is padded to a multiple of 16, K (BF16X2) to a multiple of 2, with zeros; a panel fills whole
 * lines of 64 bytes. */
#ifndef GW_LINEAR_H
#define GW_LINEAR_H

#include "base/pool.h"
#include "ops/arith.h"

enum {
    GW_GROUP_PANELS = 4,                         /* panels that one thread works on at a time */
    GW_GROUP_COLS = GW_GROUP_PANELS * GWEN_PANEL /* 64 */
};

/* How products of a range of rows are cut.  Any valid values give the same bits. */
struct gw_linear_cut {
    uint32_t panels;      /* of one tile, 1..4 (GWEN_TILE_PANELS); 0: as the kernels advise */
    uint32_t block_bytes; /* the most of one panel that a block of K takes */
    uint32_t ahead_bytes; /* few rows: from what is used to what is prefetched, all panels */
};

enum {
    GW_LINEAR_RANGES = 6, /* of rows: up to 4, 8, 16, 32, 64; more */
    GW_LINEAR_MIN_BYTES = 2048,
    GW_LINEAR_MAX_BYTES = 1 << 20
};

struct gw_linear_tuning {
    struct gw_linear_cut ranges[GW_LINEAR_RANGES];
};

/* What is good on most machines. */
extern const struct gw_linear_tuning gw_linear_default;
/* The range that a product of m rows falls in, and the most rows of one (SIZE_MAX: the last). */
size_t gw_linear_range(size_t m);
size_t gw_linear_range_rows(size_t range);
/* False when a value is out of range: bytes are GW_LINEAR_MIN_BYTES..GW_LINEAR_MAX_BYTES. */
bool gw_linear_tuning_valid(const struct gw_linear_tuning *t);

struct gw_packed {
    enum gw_panel_format format;
    size_t n, k;                           /* logical shape */
    size_t n_panels;                       /* ceil(n / 16) */
    size_t panel_stride;                   /* bytes of one panel */
    void *data;                            /* 64-byte aligned; not owned */
    const struct gw_linear_tuning *tuning; /* not owned; gw_packed_init sets the default */
    const struct gw_packed *then; /* the next product, whose beginning is read ahead; or NULL */
};

/* Rows [begin, end). */
struct gw_span {
    size_t begin, end;
};

size_t gw_panel_bytes(enum gw_panel_format format, size_t k);
/* Bytes of a packed [n, k] matrix. */
size_t gw_packed_bytes(enum gw_panel_format format, size_t n, size_t k);
void gw_packed_init(struct gw_packed *p, enum gw_panel_format format, size_t n, size_t k,
                    void *data);
/* Writes panel `panel` of *p from up to 16 rows of source weights, already in the panel's
 * element type: row j of the panel is rows[j] (k elements; NULL gives zeros). */
void gw_packed_set_panel(const struct gwen_kernels *kern, struct gw_packed *p, size_t panel,
                         const void *const rows[GWEN_PANEL]);
/* Row `n` of the matrix as k floats (a strided read: how a tied embedding is looked up). */
void gw_packed_get_row(const struct gw_packed *p, size_t n, float *out);

/* Elements [first, first + n) of row `row` as they are, of 16-bit formats. */
void gw_packed_get_16(const struct gw_packed *p, size_t row, size_t first, size_t n, uint16_t *out);
/* The reverse of set_panel, of 16-bit formats: row j of the panel becomes the k elements at out + j
 * * stride; stride >= k rounded up to even. */
void gw_packed_get_panel(const struct gwen_kernels *kern, const struct gw_packed *p, size_t panel,
                         uint16_t *out, size_t stride);

/* A good distance in bytes between rows of k activations: a multiple of 64, no power of two. BF16X2
 * with odd k reads one element more, which must be finite (its weight is 0). */
size_t gw_packed_x_stride(enum gw_panel_format format, size_t k);

/* Called with a finished piece of Y: rows m0..m0+m, columns n0..n0+n (n <= 64, past the logical
 * N already cut off), values c[i * c_stride + j], which the callback may overwrite. */
typedef void gw_linear_done(void *ctx, int thread, size_t m0, size_t m, size_t n0, size_t n,
                            float *c, size_t c_stride);

/* Y = X W^T for m rows of X, x_stride bytes apart, K-blocked: an operation of the pool's current
 * run, whose units are groups of columns (gw_pool_next); when it returns, all of Y is done.  Each
 * element is one fma chain over K, whatever m, the tiles or the threads. `scratch` is this thread's
 * own, gw_linear_scratch_bytes() long, 64-byte aligned.  *w is in the arithmetic's format. */
void gw_linear(const struct gw_arith *arith, const struct gw_packed *w, size_t m, const void *x,
               size_t x_stride, gw_linear_done *done, void *ctx, void *scratch,
               struct gw_pool *pool, int thread);
size_t gw_linear_scratch_bytes(void);

/* The micro-kernels over one small product without threads or blocking (attention's QK and PV):
 * all->c[m][nv*16] (+)= x[m][k] w, of any m, nv and k; all->prefetch is spread evenly over it. */
void gw_small_gemm(const struct gw_arith *arith, const struct gwen_tile *all);
/* The same panel after panel: reads memory from front to back, but computes more slowly. */
void gw_small_gemm_in_order(const struct gw_arith *arith, const struct gwen_tile *all);

#endif

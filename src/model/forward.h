/* forward.h - the transformer over a batch of rows.
 *
 * A batch is a list of rows, one token each, from any mix of sequences: decode steps give one row
 * per sequence, prefill and scoring many consecutive ones.  Every linear layer is one product over
 * all rows.  A row's result does not depend on the other rows (ARCHITECTURE.md, "Same answer
 * always"), so batches may be cut and mixed at will.
 *
 * Everything here is SPMD: all threads of a pool run call the same function. */
#ifndef GW_FORWARD_H
#define GW_FORWARD_H

#include "base/pool.h"
#include "model/kv.h"
#include "model/model.h"
#include "ops/rope.h"

struct gw_batch {
    size_t n_rows;
    int32_t *tokens;          /* [n_rows] */
    struct gw_attn_row *rows; /* [n_rows] */
    size_t n_runs;            /* maximal spans of consecutive positions of one sequence */
    struct gw_span *runs;
    size_t n_items; /* spans of at most GW_ATTN_MAX_ROWS rows that attend together */
    struct gw_span *items;
    size_t n_out; /* rows whose final hidden state is wanted, ascending */
    size_t *out_rows;
};

/* Empties a batch whose arrays have room for max_rows each. */
void gw_batch_clear(struct gw_batch *b);
/* Adds n consecutive tokens of a sequence, which start at `position`; blocks are there already. */
void gw_batch_add(struct gw_batch *b, const int32_t *tokens, size_t n, const struct gw_seq *seq,
                  size_t position);
/* Makes the row added last an output row. */
void gw_batch_want_last(struct gw_batch *b);
/* Makes the last n rows added output rows. */
void gw_batch_want(struct gw_batch *b, size_t n);

/* The parts of a step, for the profile. */
enum gw_op {
    GW_OP_EMBED,
    GW_OP_NORM,
    GW_OP_QKV,
    GW_OP_ROTATE, /* q-norm, k-norm, rotation, storing K and V */
    GW_OP_ATTEND,
    GW_OP_O,
    GW_OP_GATE_UP,
    GW_OP_DOWN,
    GW_OP_HEAD, /* product and statistics */
    GW_OP_COUNT
};

/* Wall time of each part, as thread 0 sees it. */
struct gw_profile {
    uint64_t last_ns;
    uint64_t ns[GW_OP_COUNT];
};

/* What a layer leaves for its backward pass, row by row of the batch; NULL: not wanted. */
struct gw_saves {
    float *h_in; /* [rows][hidden] the residual stream before the layer */
    float *qkv;  /* [rows][(heads + 2 kv_heads) * head_dim] before norms and rotation */
    char *attn;  /* [rows][x_stride(heads * head_dim)] results of attention */
    struct gw_attn_stats *stats; /* [rows][heads] */
    float *h_mid;                /* [rows][hidden] the residual stream before the MLP */
    float *gate_up;              /* [rows][gw_gate_up_cols()] panels alternate, as in the weights */
};
/* Columns of gate|up. */
size_t gw_gate_up_cols(const struct gw_config *cfg);

const char *gw_op_name(enum gw_op op);

/* Whether to go on.  Threads that come late ask again what others have asked long before: they are
 * told the same, as a thread knows how often it has asked. */
struct gw_stop {
    bool (*go_on)(void *ctx); /* NULL: it is not asked */
    void *ctx;
    _Atomic size_t at; /* number of the question that was answered with no; SIZE_MAX: none */
    size_t *asked;     /* [threads] */
};

struct gw_workspace {
    const struct gw_model *model;
    const struct gw_lora *lora; /* the model's adapter; another of its shape or NULL may be set */
    struct gw_kv *kv;
    struct gw_pool *pool;
    size_t max_rows, max_out;
    struct gw_rope_table rope;
    struct gw_batch batch;
    float *h;       /* [max_rows][hidden] the residual stream */
    char *x;        /* [max_rows][x_stride(hidden)] normed activations */
    float *qkv;     /* [max_rows][(heads + 2 kv_heads) * head_dim] */
    char *q, *attn; /* [max_rows][x_stride(heads * head_dim)] */
    char *act;      /* [max_rows][x_stride(ffn)] */
    char *lora_u;   /* [max_rows][x_stride(lora_width)] of an adapter: U of lora.h */
    char *head_x;   /* [max_out][x_stride(hidden)] final normed rows, in out_rows order */
    char *scratch;  /* per thread */
    size_t scratch_bytes;
    /* Tests look at the residual stream here: called by thread 0 between barriers with the rows'
     * hidden states after `layer` layers (0: embeddings; n_layers + 1: after the final norm). */
    void (*trace)(void *ctx, size_t layer, const float *h, size_t n_rows);
    void *trace_ctx;
    struct gw_profile *profile;   /* NULL: not measured */
    const struct gw_saves *saves; /* [n_layers] for training; NULL: nothing is kept */
    float *keep_out; /* [max_out][hidden] for training: what the final norm gets; or NULL */
    struct gw_stop stop;
    struct gw_mem memory;
};

/* Room for batches of max_rows rows of which max_out are output rows, and positions below
 * max_positions. */
enum gwen_status gw_workspace_create(const struct gw_model *model, struct gw_kv *kv,
                                     struct gw_pool *pool, size_t max_rows, size_t max_out,
                                     size_t max_positions, struct gw_workspace **out,
                                     struct gwen_err *err);
void gw_workspace_free(struct gw_workspace *ws);
size_t gw_workspace_bytes(const struct gw_config *cfg, enum gw_panel_format format, size_t max_rows,
                          size_t max_out, size_t max_positions, int n_threads);

/* When a part is done: adds the time since the last call to `op` (thread 0, with a profile only).
 */
void gw_profile_mark(const struct gw_workspace *ws, enum gw_op op, int thread);

/* From now on `go_on` is asked, by one thread at a time, before each layer and wherever else
 * gw_workspace_stops is called. */
enum gwen_status gw_workspace_may_stop(struct gw_workspace *ws, bool (*go_on)(void *ctx), void *ctx,
                                       struct gwen_err *err);
/* Before a run: nothing has been asked. */
void gw_workspace_ask_anew(struct gw_workspace *ws);
/* Whether to stop here, which is the same for all threads, and stays so once it is true.  An
 * operation as gw_pool_next has them, no barrier. */
bool gw_workspace_stops(struct gw_workspace *ws, int thread);
/* Between barriers: whether that has been true. */
bool gw_workspace_stopped(const struct gw_workspace *ws);
/* Runs ws->batch through the layers; stores keys and values; leaves head_x.  SPMD.  When it
 * returns all of that is done, but threads that came late may still have to pass through: the batch
 * may be changed after a barrier.  Where it was stopped nothing it leaves means anything. */
void gw_forward(struct gw_workspace *ws, int thread, int n_threads);
/* One layer over ws->h, keeping what saves asks for (NULL: nothing); done when it returns.  Running
 * it again over the same rows gives the same bits. */
void gw_forward_layer(const struct gw_workspace *ws, size_t index, const struct gw_saves *saves,
                      int thread);

#endif

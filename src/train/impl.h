/* impl.h - what the files of the trainer share; nobody else includes it.
 *
 * Rows of a pass in memory: the shared prompts of its groups, then its samples:
 *
 *     | prompt g | prompt g+1 | sample g.0 | sample g.1 | sample g+1.0 | ...
 *     0                       n_prefix_rows                            n_rows
 *
 * A group too large for one pass is split over several: its prompt's rows then stay where they are,
 * and the backward pass works on the samples' alone until the group's last pass. */
#ifndef GW_TRAIN_IMPL_H
#define GW_TRAIN_IMPL_H

#include "base/layout.h"
#include "model/lora.h"
#include "ops/attention_backward.h"
#include "ops/linear_backward.h"
#include "train/trainer.h"

/* One sequence of rows: a shared prompt, or a sample. */
struct gw_train_seg {
    struct gw_seq seq;
    struct gw_span rows;
    size_t position; /* of its first row */
    size_t group;    /* of the call */
    size_t sample;
    size_t prefix; /* tokens that are a shared prompt's: the group's segment before position */
};

/* A group's part of a pass. */
struct gw_train_part {
    size_t prompt;          /* index of the prompt's segment; SIZE_MAX: nothing is shared */
    struct gw_span samples; /* indices of segments */
    bool split;             /* the group is split over passes ... */
    bool first, last;       /* ... of which this is the first, the last */
};

/* The call in work: what is asked for, and how far its groups have been cut into passes. */
struct gw_train_call {
    struct gw_train_group *groups;
    size_t n_groups, next_group, next_sample;
    bool backward;
    gw_train_loss *loss;
    void *ctx;
    enum gwen_status status;
    struct gwen_err *err;
};

/* The pass in work. */
struct gw_train_pass {
    bool go;                   /* there is one */
    struct gw_train_seg *segs; /* [2 * micro_batch + 1] */
    struct gw_train_part *parts;
    struct gw_span *spans; /* of rows, in the order in which gradients are added */
    size_t n_segs, n_parts, n_spans, n_prefix_segs, n_prefix_rows, n_rows;
    size_t first_row;       /* of the backward pass: 0, or n_prefix_rows */
    uint32_t *block_tables; /* of the segments */
};

/* What the layers keep from the forward pass for the backward one; rows of the pass. */
struct gw_train_kept {
    struct gw_saves *layers; /* [n_layers] */
    struct gw_saves *window; /* [n_layers] the same from the row on that is being run */
    struct gw_saves live;    /* of one layer: what is recomputed */
};

/* Output rows, in their order: those whose log-probabilities are wanted. */
struct gw_train_out {
    size_t n;
    float *h;              /* [max_rows][hidden] what the final norm was given */
    size_t *rows;          /* [max_rows] rows of the pass */
    struct gw_span *spans; /* per segment: its places among the output rows */
    int32_t *targets;      /* [max_rows] */
    float *max;            /* [max_rows] see gw_head */
    double *sum;           /* [max_rows] likewise */
    float *dlogprob;       /* [max_rows] */
    float *p;              /* [max_rows] dlogprob / sum */
};

/* What the backward pass works with. */
struct gw_train_back {
    float *dh;             /* [max_rows][hidden] gradient of the residual stream */
    float *dx;             /* [max_rows][hidden] */
    char *dy;              /* [max_rows] operand rows of hidden */
    char *d_wide;          /* [max_rows] operand rows of gate|up, of q|k|v, or of logits */
    float *d_attn;         /* [max_rows][heads * head_dim] */
    float *d_qkv;          /* [max_rows][q|k|v] */
    char *dy_t, *x_panels; /* operands of dW */
    float *inv;            /* [max_rows][heads + kv_heads] 1 / rms, of the last norms */
    float *prompt_dkv;     /* [n_layers][kv_heads][2][max_prompt rounded up][stride] */
    /* of an adapter: U and what U's gradient is, as operand rows of lora_width, and what they
     * give for dX, [max_rows][widest k] */
    char *lora_u, *lora_du;
    float *lora_dx;
    char *scratch; /* per thread */
    size_t scratch_bytes;
    size_t max_padded; /* tokens of a pass, with a zero for each segment */
    size_t vocab_chunk;
};

/* The input side of the embedding, until the finish. */
struct gw_train_embed {
    float *rows; /* [max_step_tokens][hidden] */
    int32_t *tokens;
    size_t n;
};

struct gw_trainer {
    const struct gw_model *model;
    struct gw_pool *pool;
    struct gw_trainer_opts opts;
    struct gw_params model_params;  /* of all weights; empty with an adapter */
    const struct gw_params *params; /* the trained ones: those, or the adapter's */
    struct gw_kv *kv;
    struct gw_workspace *ws;
    struct gw_head *head;
    float *grads;
    struct gw_train_call call;
    struct gw_train_pass pass;
    struct gw_train_kept kept;
    struct gw_train_out out;
    struct gw_train_back back;
    struct gw_train_embed embed;
    struct gw_train_profile *profile; /* or NULL */
    struct gw_mem memory;             /* of all of it but kv, ws and head */
};

/* --- memory.c ------------------------------------------------------------------------------- */

/* Columns of the packed q|k|v. */
size_t gw_qkv_cols(const struct gw_config *c);
/* This thread's scratch. */
void *gw_trainer_scratch(const struct gw_trainer *t, int thread);
/* That scratch as attention's backward pass uses it: one kv head's sums of dK and dV over the
 * positions of a sequence, [max_len rounded up][stride], and gw_attention_backward's own. */
struct gw_train_sums {
    float *dk, *dv;
    size_t stride;
    void *scratch;
};
void gw_train_lay_out_sums(struct gw_layout *l, const struct gw_config *c, enum gw_panel_format f,
                           const struct gw_trainer_opts *o, struct gw_train_sums *s);
/* When a part of the backward pass is done: adds the time since the last one to `op` (thread 0,
 * with a profile only). */
void gw_train_mark(const struct gw_trainer *t, enum gw_train_op op, int thread);

/* --- pass.c, on one thread ------------------------------------------------------------------ */

/* The next pass of the call into t->pass (go: there is one). */
void gw_train_next_pass(struct gw_trainer *t);
/* Gives back the blocks of a pass that is over. */
void gw_train_end_pass(struct gw_trainer *t);
/* GWEN_ERR_ARGUMENT when the call's groups do not fit what was planned. */
enum gwen_status gw_train_check(const struct gw_trainer *t, struct gwen_err *err);
/* Batches of ws: the shared prompts, the samples, or all rows of the backward pass. */
void gw_train_batch_prompts(struct gw_trainer *t);
void gw_train_batch_samples(struct gw_trainer *t);
void gw_train_batch_all(struct gw_trainer *t);

/* --- products.c: what all parts of the backward pass are made of; SPMD ---------------------- */

/* dW += dY^T X for columns c0..c0+n of the operand rows dy: dw [n][k]. */
struct gw_backward_dw {
    const char *dy;
    size_t dy_stride, c0, n;
    bool alternate;        /* dy's columns alternate by panels of 16 (gate|up), n of each: */
    struct gw_span halves; /* {0, 1} is gate, {1, 2} up, {0, 2} both */
    const char *x;
    size_t x_stride, k;
    float *dw;
    const struct gw_span *spans;
    size_t n_spans;
};
/* Ends with a barrier. */
void gw_backward_dw(const struct gw_trainer *t, const struct gw_backward_dw *a, int thread,
                    int n_threads);

/* Gradient of a norm's weight [n]: rows of dy (gradient of its result) and x (what it was given),
 * each of `heads` times n, `inv` [row * inv_stride + head] the norm's factor. */
struct gw_backward_norm {
    float *dw;
    size_t n, heads;
    const float *dy;
    size_t dy_stride;
    const float *x;
    size_t x_stride;
    const float *inv;
    size_t inv_stride;
    const struct gw_span *spans;
    size_t n_spans;
};
/* Adds what all rows say of it; each thread some elements.  No barrier. */
void gw_backward_norm_weight(const struct gwen_kernels *kern, const struct gw_backward_norm *a,
                             int thread, int n_threads);

/* --- one layer's backward pass, as a thread sees it; SPMD ----------------------------------- */

struct gw_backward {
    struct gw_trainer *t;
    const struct gw_arith *arith;
    const struct gw_config *cfg;
    size_t index; /* of the layer */
    enum gw_recompute recompute;
    const struct gw_layer *weights;
    struct gw_saves saves; /* what was kept, or is recomputed */
    struct gw_span rows;   /* of the pass */
    int thread, n_threads;
};

/* This thread's share of the rows. */
static inline struct gw_span gw_backward_rows(const struct gw_backward *s) {
    struct gw_span mine;
    gw_share(s->rows.end - s->rows.begin, s->thread, s->n_threads, &mine.begin, &mine.end);
    return (struct gw_span){s->rows.begin + mine.begin, s->rows.begin + mine.end};
}
static inline float *gw_backward_grad(const struct gw_backward *s, enum gw_tensor_kind kind) {
    return s->t->grads + gw_params_offset(s->t->params, kind, s->index);
}
/* Until all threads are here. */
static inline void gw_backward_barrier(const struct gw_backward *s) { gw_pool_barrier(s->t->pool); }
static inline void gw_backward_mark(const struct gw_backward *s, enum gw_train_op op) {
    gw_train_mark(s->t, op, s->thread);
}

/* products.c.  Recomputes y = x W^T + bias (and the adapter's part) for all rows; x is ws->x. */
void gw_backward_recompute_product(const struct gw_backward *s, enum gw_site which,
                                   const struct gw_packed *w, const float *bias, float *y,
                                   size_t y_stride);
/* dX = dY W (and the adapter's part) for all rows; dy [rows][w->n] operands; `done` gets dX, or
 * gw_backward_dx_rows stores it as rows of w->k.  End with a barrier. */
void gw_backward_dx(const struct gw_backward *s, enum gw_site which, const struct gw_packed *w,
                    const char *dy, size_t dy_stride, gw_linear_done *done, void *ctx);
void gw_backward_dx_rows(const struct gw_backward *s, enum gw_site which, const struct gw_packed *w,
                         const char *dy, size_t dy_stride, float *dx);
/* The gradient of one of the layer's matrices and its bias, or of its adapter. */
void gw_backward_weight(const struct gw_backward *s, enum gw_site which, const struct gw_packed *w,
                        const char *dy, size_t dy_stride, const char *x, size_t x_stride);

/* Rows of floats as operands; ends with a barrier. */
void gw_backward_operands(const struct gw_backward *s, const float *x, size_t n, char *out);
/* ws->x = norm(h) for all rows, as the forward pass had it; ends with a barrier. */
void gw_backward_recompute_norm(const struct gw_backward *s, const float *h, const float *weight);
/* dh += gradient of norm(h) given dx, and the norm weight's gradient; ends with a barrier. */
void gw_backward_norm(const struct gw_backward *s, const float *h, const float *weight,
                      enum gw_tensor_kind kind);

/* --- the parts, from above ------------------------------------------------------------------ */

/* backward_attention.c: dh through a layer's attention, the last half of its backward pass. */
void gw_backward_attention(const struct gw_backward *s);
/* backward.c: dh through one layer. */
void gw_backward_layer(struct gw_trainer *t, size_t layer, int thread, int n_threads);
/* backward_head.c: the gradient of output rows into dh (all other rows 0), that of the head and
 * the final norm. */
void gw_backward_head(struct gw_trainer *t, int thread, int n_threads);

#endif

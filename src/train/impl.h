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
    /* --- kept from forward to backward; rows of the pass */
    struct gw_saves *saves;    /* [n_layers] */
    struct gw_saves *window;   /* [n_layers] the same from the row on that is being run */
    struct gw_saves live;      /* of one layer: what is computed again */
    float *h_out;              /* [max_rows][hidden] of output rows, in their order */
    size_t *out_rows;          /* [max_rows] rows of the pass */
    struct gw_span *out_spans; /* per sample: its places among the output rows */
    int32_t *out_targets;
    float *out_max, *out_dlogprob; /* [max_rows] */
    float *out_p;                  /* [max_rows] out_dlogprob / out_sum */
    double *out_sum;               /* [max_rows] see gw_head */
    size_t n_out;
    /* --- scratch of the backward pass */
    float *dh;             /* [max_rows][hidden] gradient of the residual stream */
    float *dx;             /* [max_rows][hidden] */
    char *dy;              /* [max_rows] operand rows of hidden */
    char *d_wide;          /* [max_rows] operand rows of gate|up, of q|k|v, or of logits */
    float *d_attn;         /* [max_rows][heads * head_dim] */
    float *d_qkv;          /* [max_rows][q|k|v] */
    char *dy_t, *x_panels; /* operands of dW */
    float *inv;            /* [max_rows][heads + kv_heads + 1] 1 / rms, of the last norms */
    float *prompt_dkv;     /* [n_layers][kv_heads][2][max_prompt rounded up][stride] */
    char *scratch;         /* per thread */
    size_t scratch_bytes, acc_floats;
    size_t max_padded; /* tokens of a pass, with a zero for each segment */
    size_t vocab_chunk;
    /* --- of an adapter: U and what U's gradient is, as operand rows of lora_width, and what they
     * give for dX, [max_rows][widest k] */
    char *lora_u, *lora_du;
    float *lora_dx;
    /* --- input side of the embedding, until the finish */
    float *embed_rows; /* [max_step_tokens][hidden] */
    int32_t *embed_tokens;
    size_t n_embed;
    /* --- the call and the pass */
    struct gw_train_group *groups;
    size_t n_groups, next_group, next_sample;
    bool backward, go;
    gw_train_loss *loss;
    void *ctx;
    struct gw_train_seg *segs; /* [2 * micro_batch + 1] */
    struct gw_train_part *parts;
    struct gw_span *spans; /* of rows, in the order in which gradients are added */
    size_t n_segs, n_parts, n_spans, n_prefix_segs, n_prefix_rows, n_rows;
    size_t first_row; /* of the backward pass: 0, or n_prefix_rows */
    uint32_t *block_tables;
    struct gw_train_profile *profile; /* or NULL */
    enum gwen_status status;
    struct gwen_err *err;
    struct gw_mem memory;
};

/* Columns of the packed q|k|v. */
size_t gw_qkv_cols(const struct gw_config *c);
/* This thread's scratch. */
void *gw_trainer_scratch(const struct gw_trainer *t, int thread);
size_t gw_trainer_vocab_chunk(const struct gw_config *c);

/* When a part of the backward pass is done: adds the time since the last one to `op` (thread 0,
 * with a profile only). */
void gw_train_mark(const struct gw_trainer *t, enum gw_train_op op, int thread);

/* pass.c: the next pass of the call into *t (go: there is one); on one thread. */
void gw_train_next_pass(struct gw_trainer *t);
void gw_train_end_pass(struct gw_trainer *t);
enum gwen_status gw_train_check(const struct gw_trainer *t, struct gwen_err *err);
/* Batches of ws: the shared prompts, the samples, or all rows of the backward pass. */
void gw_train_batch_prompts(struct gw_trainer *t);
void gw_train_batch_samples(struct gw_trainer *t);
void gw_train_batch_all(struct gw_trainer *t);

/* backward_head.c, SPMD: the gradient of output rows into dh (all other rows 0), that of the head
 * and the final norm. */
void gw_backward_head(struct gw_trainer *t, int thread, int n_threads);
/* backward.c, SPMD: dh through one layer. */
void gw_backward_layer(struct gw_trainer *t, size_t layer, int thread, int n_threads);
/* Adds what rows of dy (gradient of a norm's result) and x (what it was given) say of its weight:
 * `inv` [row * inv_stride] is the norm's factor; heads: the row holds that many of them. */
void gw_backward_norm_weight(const struct gw_trainer *t, float *dw, size_t n, size_t heads,
                             const float *dy, size_t dy_stride, const float *x, size_t x_stride,
                             const float *inv, size_t inv_stride, const struct gw_span *spans,
                             size_t n_spans, int thread, int n_threads);
/* dW += dY^T X for columns c0..c0+n of the operand rows dy: dw [n][k].  All threads; barriers. */
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
void gw_backward_dw(const struct gw_trainer *t, const struct gw_backward_dw *a, int thread,
                    int n_threads);

#endif

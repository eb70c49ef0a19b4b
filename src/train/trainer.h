/* trainer.h - gradients of log-probabilities: forward with saved activations, loss, backward.
 *
 * A group is a prompt and its samples.  The forward pass is that of the decode engine and the
 * scorer: the log-probabilities it gives are, to the last bit, those recorded while sampling.
 * For each sample the caller turns them into the derivative of its loss; the backward pass then
 * adds gradients into one flat float array (params.h).
 *
 *     groups --cut into passes--> forward --> logprobs --loss()--> dlogprobs --> backward
 *                                                                            --> gradients
 *
 * With shared prompts the G samples of a group share one forward and one backward pass of the
 * prompt (all but its last token, which predicts the sample's first): the gradients of its keys and
 * values are summed over the samples, and its own backward pass follows the last of them.
 *
 * Gradients are sums in a fixed order: groups, in each the samples and then the shared prompt, in
 * each the tokens; the embedding's input side comes after everything else (gw_trainer_finish).
 * How many samples a pass takes, what is recomputed and the number of threads change no bit. */
#ifndef GW_TRAIN_TRAINER_H
#define GW_TRAIN_TRAINER_H

#include "model/forward.h"
#include "model/head.h"
#include "model/params.h"

/* What the backward pass recomputes instead of finding it in memory. */
enum gw_recompute {
    GW_RECOMPUTE_NONE, /* nothing but norms and activations */
    GW_RECOMPUTE_ATTN, /* all but attention: the products of q|k|v and gate|up as well */
    GW_RECOMPUTE_LAYER /* whole layers, from their inputs */
};

struct gw_train_sample {
    const int32_t *ids;  /* [n] completion tokens, all predicted */
    size_t n;            /* >= 1 */
    const uint8_t *want; /* [n] 0: neither log-probability nor gradient; NULL: all are wanted */
    float *logprobs;     /* [n] filled before loss(); of log_softmax(logits / temperature) */
    float *entropy;      /* [n] likewise; NULL: not wanted (all samples of a call or none) */
    uint8_t *top;        /* [n] likewise, 1: no token is likelier; NULL: not wanted */
    float *dlogprobs;    /* [n] filled by loss(): d loss / d logprobs */
};

struct gw_train_group {
    const int32_t *prompt;
    size_t n_prompt; /* >= 1 */
    struct gw_train_sample *samples;
    size_t n_samples;
};

struct gw_trainer_opts {
    size_t micro_batch;     /* most samples of a pass */
    size_t max_rows;        /* most tokens of a pass; at least gw_trainer_min_rows() */
    size_t max_len;         /* longest prompt + completion */
    size_t max_prompt;      /* longest prompt that is shared (its own gradients are kept) */
    size_t max_step_tokens; /* tokens that go through the model between two finishes */
    enum gw_recompute recompute;
    size_t recompute_stride; /* only by every so many-th layer, the others keep all; 0, 1: by all */
    bool share_prompts;
    double temperature; /* > 0 */
    /* Asked often, by one thread: false ends the call with GWEN_ERR_CANCELLED.  NULL: it runs to
     * its end. */
    bool (*go_on)(void *ctx);
    void *go_on_ctx;
};

struct gw_trainer;

/* What the backward pass of a layer recomputes. */
enum gw_recompute gw_recompute_of(const struct gw_trainer_opts *opts, size_t layer);

/* Rows that a pass needs for one sample of the longest group. */
size_t gw_trainer_min_rows(const struct gw_trainer_opts *opts);

/* Bytes that gw_trainer_create takes: activations and scratch, keys and values, gradients. */
struct gw_trainer_bytes {
    size_t activations, scratch, kv, gradients;
};
void gw_trainer_bytes(const struct gw_config *cfg, enum gw_panel_format format,
                      const struct gw_trainer_opts *opts, int n_threads,
                      struct gw_trainer_bytes *bytes);

/* All is allocated here.  Gradients are zero.  With an adapter on the model (model->lora) it alone
 * is trained. */
enum gwen_status gw_trainer_create(const struct gw_model *model, struct gw_pool *pool,
                                   const struct gw_trainer_opts *opts, struct gw_trainer **out,
                                   struct gwen_err *err);
void gw_trainer_free(struct gw_trainer *t);

/* The parameters that are trained and their gradients [params->n_floats]. */
const struct gw_params *gw_trainer_params(const struct gw_trainer *t);
float *gw_trainer_grads(struct gw_trainer *t);

/* Fills the dlogprobs of one sample; called on one thread, in order. */
typedef void gw_train_loss(void *ctx, size_t group, size_t sample, const struct gw_train_sample *s);

/* Forward, loss and backward of n groups; adds to the gradients.  Calling it once for several
 * groups or once for each gives the same bits.  GWEN_ERR_NUMERIC when a log-probability is not
 * finite, GWEN_ERR_CANCELLED when go_on said so (gradients are then undefined: gw_trainer_zero). */
enum gwen_status gw_trainer_accumulate(struct gw_trainer *t, struct gw_train_group *groups,
                                       size_t n, gw_train_loss *loss, void *ctx,
                                       struct gwen_err *err);
/* Log-probabilities (and entropies) alone, by the same forward pass. */
enum gwen_status gw_trainer_forward(struct gw_trainer *t, struct gw_train_group *groups, size_t n,
                                    struct gwen_err *err);
/* The parts of the backward pass, for the profile. */
enum gw_train_op {
    GW_TRAIN_AGAIN,  /* what was not kept: norms, activations, with recomputation products */
    GW_TRAIN_PACK,   /* both sides of all dW */
    GW_TRAIN_HEAD_Z, /* logits recomputed, and their gradient */
    GW_TRAIN_HEAD_DX,
    GW_TRAIN_HEAD_DW,
    GW_TRAIN_DX_QKV,
    GW_TRAIN_DX_O,
    GW_TRAIN_DX_GATE_UP,
    GW_TRAIN_DX_DOWN,
    GW_TRAIN_DW_QKV,
    GW_TRAIN_DW_O,
    GW_TRAIN_DW_GATE_UP,
    GW_TRAIN_DW_DOWN,
    GW_TRAIN_ATTEND,
    GW_TRAIN_ROTATE, /* rotation and the norms of heads */
    GW_TRAIN_NORM,
    GW_TRAIN_OP_COUNT
};
const char *gw_train_op_name(enum gw_train_op op);

/* Wall time of each part, as thread 0 sees it. */
struct gw_train_profile {
    struct gw_profile forward;
    uint64_t last_ns;
    uint64_t ns[GW_TRAIN_OP_COUNT];
};
/* Later calls add to *profile; NULL: nothing is measured. */
void gw_trainer_profile(struct gw_trainer *t, struct gw_train_profile *profile);

/* Completes the gradients of all calls since the last finish: adds the input side of the
 * embedding. */
void gw_trainer_finish(struct gw_trainer *t);
/* Clears gradients and what is waiting for gw_trainer_finish. */
void gw_trainer_zero(struct gw_trainer *t);

#endif

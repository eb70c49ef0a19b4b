/* scorer.h - log-probabilities of given tokens: the training side of the bit-equality contract.
 *
 * The same forward pass, head and kernels as the decode engine, over many rows at once: what a
 * rollout recorded while sampling is reproduced to the last bit.  It can also continue a sequence
 * greedily for a few tokens, which gives what the engine gives at temperature 0. */
#ifndef GW_ENGINE_SCORER_H
#define GW_ENGINE_SCORER_H

#include "model/head.h"

/* One sequence: log p(ids[t] | ids[0..t-1]) is wanted for t = from .. n-1. */
struct gw_score_request {
    const int32_t *ids;
    size_t n;
    size_t from;     /* 1 .. n */
    float *logprobs; /* [n - from], filled */
    /* The sequence is continued with the likeliest tokens, as by greedy decoding: up to max_new of
     * them (0: none), to the first eos.  Needs keep_logits; n + max_new - 1 <= max_len. */
    size_t max_new;
    int32_t *out; /* [max_new], filled with n_new */
    size_t n_new;
    bool stopped; /* out ends with an eos */
};

/* Deepest chain of common beginnings: system, prompt, response, and some to spare. */
enum { GW_SCORER_DEPTH = 6 };

struct gw_scorer_opts {
    size_t rows;        /* tokens per forward pass */
    size_t n_blocks;    /* KV blocks; at least blocks of the longest sequence + 1 */
    size_t max_len;     /* longest sequence */
    double temperature; /* 1e-6 .. 1e6 */
    bool keep_logits;   /* logits are handed to `logits` below */
    /* Computes with `lora` (NULL: the base model alone) instead of the model's own adapter, whose
     * shape it has: the reference of a run that trains that one. */
    bool frozen;
    const struct gw_lora *lora;
    struct gw_eos eos;              /* ids that end a continuation; copied */
    bool no_sharing;                /* run every request by itself: for comparison */
    const struct gw_budget *budget; /* outlives the scorer; NULL: all blocks are touched at once */
    /* Once a forward pass; false ends the run with GWEN_ERR_CANCELLED.  May be NULL. */
    bool (*progress)(void *ctx);
    void *progress_ctx;
    /* A request that was continued is complete.  May be NULL. */
    void (*done)(void *ctx, size_t index);
    void *done_ctx;
};

struct gw_scorer;

void gw_scorer_bytes(const struct gw_config *cfg, enum gw_panel_format format,
                     const struct gw_scorer_opts *opts, int n_threads, size_t *kv, size_t *scratch);

enum gwen_status gw_scorer_create(const struct gw_model *model, struct gw_pool *pool,
                                  const struct gw_scorer_opts *opts, struct gw_scorer **out,
                                  struct gwen_err *err);
void gw_scorer_free(struct gw_scorer *scorer);

/* Called for every scored position of request `index`, on one thread, in no particular order of
 * requests: z[vocab] = logits / temperature that predict ids[t]; t may be n, the position after
 * the last token, if want_last was given to gw_scorer_run. */
typedef void gw_score_logits(void *ctx, size_t index, size_t t, const float *z);

/* Scores n requests.  What requests have in common before the last id ahead of `from` is run once:
 * a tree of common beginnings, as deep as n_blocks beyond those of the longest sequence allow.
 * `logits` (only with keep_logits) may be NULL. */
enum gwen_status gw_scorer_run(struct gw_scorer *scorer, struct gw_score_request *requests,
                               size_t n, bool want_last, gw_score_logits *logits, void *ctx,
                               struct gwen_err *err);

#endif

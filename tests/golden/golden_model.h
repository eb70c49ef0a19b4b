/* golden_model.h - what golden cases that run a model share: a model in float32, the reference's
 * tensors, greedy decoding and scoring through the library. */
#ifndef GOLDEN_MODEL_H
#define GOLDEN_MODEL_H

#include "golden.h"

#include "checkpoint/safetensors/safetensors.h"
#include "engine/engine.h"
#include "engine/scorer.h"

/* The highest instruction set to use, from GWEN_ISA; GWEN_ISA_COUNT: no cap. */
enum gwen_isa golden_isa(void);

/* --- the reference -------------------------------------------------------------------------- */

/* A tensor of golden.safetensors, with the rank and dtype (I32 or F32) wanted; rows beyond its
 * rank count 1. */
struct golden_tensor {
    const int32_t *i;
    const float *f;
    size_t shape[3];
};
enum gwen_status golden_get(const struct gw_safetensors *st, const char *name, enum gw_dtype dtype,
                            size_t rank, struct golden_tensor *t, struct gwen_err *err);

/* --- a model -------------------------------------------------------------------------------- */

struct golden_model {
    struct gw_pool *pool;
    struct gw_model *model; /* float32 */
};
enum gwen_status golden_model_open(const char *dir, struct golden_model *m, struct gwen_err *err);
void golden_model_close(struct golden_model *m);

/* What a sequence's scoring gives. */
struct golden_scores {
    size_t n, vocab;
    float *logprobs; /* [n], [0] is 0 */
    float *logits;   /* [n][vocab], of every position */
};
/* Scores n sequences in one run; out[n], each freed by golden_scores_free. */
enum gwen_status golden_score(const struct golden_model *m, const int32_t *const *ids,
                              const size_t *lengths, size_t n, struct golden_scores *out,
                              struct gwen_err *err);
void golden_scores_free(struct golden_scores *s);

/* Continues n prompts greedily by n_new tokens each in one run, not stopping at any token;
 * ids [n][n_new] and logprobs [n][n_new] are the caller's. */
enum gwen_status golden_greedy(const struct golden_model *m, const int32_t *const *prompts,
                               const size_t *lengths, size_t n, size_t n_new, int32_t *ids,
                               float *logprobs, struct gwen_err *err);

/* The position where a greedy continuation leaves the reference by more than a near tie (a margin
 * of at most 1e-3, after which the two need not agree); n_new when it does not. */
size_t golden_first_difference(const int32_t *ids, const int32_t *wanted, const float *margin,
                               size_t n_new);

/* Largest absolute difference; infinity when a value is not finite. */
double golden_max_error(const float *a, const float *b, size_t n);

#endif

/* sampler.h - drawing one token from one row of the LM head.
 *
 * The draw inverts the cumulative distribution at a uniform number that the caller made from
 * the row's key (base/rng.h), over tokens in ascending id order without truncation, in
 * descending probability (equal ones by id) with it.  It depends on the row and that number only.
 *
 * Order of the filters, as in transformers: repetition penalty, temperature, top-k, top-p, min-p.
 * The reported log-probability is always that of log_softmax(logits / temperature), before
 * penalty and truncation (temperature 1 when greedy). */
#ifndef GW_SAMPLER_H
#define GW_SAMPLER_H

#include "model/head.h"

struct gw_sampling {
    double temperature;        /* >= 0; 0 is greedy */
    size_t top_k;              /* 0: off */
    double top_p;              /* 1: off; in (0, 1] */
    double min_p;              /* 0: off; in [0, 1] */
    double repetition_penalty; /* 1: off; > 0 (Keskar et al. 2019) */
};

#define GW_SAMPLING_INIT                                                                           \
    { 1.0, 0, 1.0, 0.0, 1.0 }

/* Refuses values out of range, naming the field. */
enum gwen_status gw_sampling_check(const struct gw_sampling *s, struct gwen_err *err);
/* What the head divides by: the temperature, 1 when greedy. */
float gw_sampling_temperature(const struct gw_sampling *s);

/* Bytes of scratch that gw_sample needs for a vocabulary. */
size_t gw_sampler_scratch_bytes(size_t vocab_size);
/* Words of a seen-tokens bitmap. */
static inline size_t gw_seen_words(size_t vocab_size) { return (vocab_size + 63) / 64; }
static inline void gw_seen_add(uint64_t *seen, int32_t token) {
    seen[token / 64] |= UINT64_C(1) << (token % 64);
}

/* Draws a token from row `row` of a head that keeps z.  u in [0, 1).  `seen` (used with a
 * repetition penalty only; else may be NULL) marks the tokens of prompt and completion so far.
 * Fills *logprob.  Returns -1 when the row holds NaN or infinite logits. */
int32_t gw_sample(const struct gw_head *head, size_t row, const struct gw_sampling *s, double u,
                  const uint64_t *seen, void *scratch, float *logprob);

#endif

/* rng.h - counter-based random numbers: every draw is a pure function of its key.
 *
 * The generator is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011).  No state is carried from draw to draw, so a draw does not depend on how many others
 * were made, by which thread, or in what order: that is what lets a sample stay the same whatever
 * the batch or the number of threads.
 *
 * A draw's key is wider (seed, stream, step, prompt, sample, position: 352 bits) than Philox's
 * counter (128) and key (64), so three blocks are chained, each keyed with the seed:
 *
 *     a = P(seed, [stream, 0x6e657767, 0, 0])
 *     b = P(seed, a ^ [step lo, step hi, prompt_key lo, prompt_key hi])
 *     c = P(seed, b ^ [sample lo, sample hi, position lo, position hi])       c: the 4 words drawn
 *
 * P is a bijection of its counter, so two draws of one seed that differ in only one of the three
 * rows ({stream}, {step, prompt}, {sample, position}) never give the same block; any other two
 * collide with the chance of two random 128-bit numbers.  a and b are the same for a whole
 * completion: struct gw_rng holds them ready and each further block costs one P. */
#ifndef GW_RNG_H
#define GW_RNG_H

#include "base/base.h"

/* What a draw is for; values are part of the result and never change. */
enum gw_rng_stream {
    GW_STREAM_ROLLOUT = 1,
    GW_STREAM_JUDGE = 2,
    GW_STREAM_EVAL = 3,
    GW_STREAM_INIT = 4,     /* random weights; prompt_key = hash of the tensor's name */
    GW_STREAM_ROUNDING = 5, /* stochastic rounding; prompt_key = hash of the tensor's name */
    GW_STREAM_DATA = 6      /* order of training rows: step = epoch, prompt_key = 0; of a rollout's
                             * completions in training: step = the rollout's, prompt_key = 1 */
};

struct gw_rng_key {
    uint64_t seed;
    enum gw_rng_stream stream;
    uint64_t step;       /* optimizer step; 0 outside training */
    uint64_t prompt_key; /* gw_hash64 of the row's id, or the row's number */
    uint64_t sample;     /* runs on over resamples */
    uint64_t position;   /* of the token in the completion */
};

/* A key's first four fields, absorbed. */
struct gw_rng {
    uint32_t seed[2];
    uint32_t chain[4];
};

/* One block: out = Philox4x32-10 of counter `ctr` under `key`; out may be ctr. */
void gw_philox4x32(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4]);

/* Absorbs seed, stream, step and prompt_key of *key (its sample and position are not used). */
void gw_rng_init(struct gw_rng *r, const struct gw_rng_key *key);
/* The four independent words of (sample, position). */
void gw_rng_words(const struct gw_rng *r, uint64_t sample, uint64_t position, uint32_t out[4]);
/* A uniform double in [0, 1), a multiple of 2^-53, from words 0 (high bits) and 1. */
double gw_rng_uniform_at(const struct gw_rng *r, uint64_t sample, uint64_t position);
/* The same from a whole key. */
double gw_rng_uniform(const struct gw_rng_key *key);
/* Two words as a uniform double in [0, 1): the top 53 bits of hi:lo, times 2^-53. */
double gw_rng_to_double(uint32_t hi, uint32_t lo);

/* order[n] = a permutation of 0 .. n-1 that depends on the key (but its sample and position) alone:
 * Fisher-Yates over its draws. */
void gw_rng_shuffle(const struct gw_rng_key *key, size_t *order, size_t n);

/* 64-bit hash of bytes: FNV-1a 64, then the finalizer of MurmurHash3 (whose avalanche FNV lacks
 * on short strings).  Not meant to withstand chosen collisions.  It is part of the result: the
 * hash of a given string never changes. */
uint64_t gw_hash64(const void *bytes, size_t len);

#endif

/* rng.c - Philox4x32-10, the chain that absorbs a draw's key, and the string hash. */
#include "base/rng.h"

/* The constants of the paper: two multipliers, two Weyl increments for the key. */
enum { PHILOX_ROUNDS = 10 };
static const uint32_t philox_m0 = 0xD2511F53u, philox_m1 = 0xCD9E8D57u;
static const uint32_t philox_w0 = 0x9E3779B9u, philox_w1 = 0xBB67AE85u;

/* Tells the first block of the chain from any other use of Philox with the same seed. */
static const uint32_t chain_tag = 0x6e657767u;

void gw_philox4x32(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c0 = ctr[0], c1 = ctr[1], c2 = ctr[2], c3 = ctr[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        uint64_t p0 = (uint64_t)philox_m0 * c0, p1 = (uint64_t)philox_m1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += philox_w0;
        k1 += philox_w1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* out = P(seed, chain ^ [a lo, a hi, b lo, b hi]) */
static void absorb(const uint32_t seed[2], const uint32_t chain[4], uint64_t a, uint64_t b,
                   uint32_t out[4]) {
    const uint32_t ctr[4] = {chain[0] ^ (uint32_t)a, chain[1] ^ (uint32_t)(a >> 32),
                             chain[2] ^ (uint32_t)b, chain[3] ^ (uint32_t)(b >> 32)};
    gw_philox4x32(ctr, seed, out);
}

void gw_rng_init(struct gw_rng *r, const struct gw_rng_key *key) {
    r->seed[0] = (uint32_t)key->seed;
    r->seed[1] = (uint32_t)(key->seed >> 32);
    const uint32_t first[4] = {(uint32_t)key->stream, chain_tag, 0, 0};
    uint32_t a[4];
    gw_philox4x32(first, r->seed, a);
    absorb(r->seed, a, key->step, key->prompt_key, r->chain);
}

void gw_rng_words(const struct gw_rng *r, uint64_t sample, uint64_t position, uint32_t out[4]) {
    absorb(r->seed, r->chain, sample, position, out);
}

double gw_rng_to_double(uint32_t hi, uint32_t lo) {
    uint64_t bits = (uint64_t)hi << 32 | lo;
    return (double)(bits >> 11) * 0x1p-53;
}

double gw_rng_uniform_at(const struct gw_rng *r, uint64_t sample, uint64_t position) {
    uint32_t words[4];
    gw_rng_words(r, sample, position, words);
    return gw_rng_to_double(words[0], words[1]);
}

double gw_rng_uniform(const struct gw_rng_key *key) {
    struct gw_rng r;
    gw_rng_init(&r, key);
    return gw_rng_uniform_at(&r, key->sample, key->position);
}

void gw_rng_shuffle(const struct gw_rng_key *key, size_t *order, size_t n) {
    struct gw_rng rng;
    gw_rng_init(&rng, key);
    for (size_t i = 0; i < n; i++) order[i] = i;
    for (size_t i = n; i > 1; i--) {
        size_t k = (size_t)(gw_rng_uniform_at(&rng, 0, i - 1) * (double)i);
        size_t was = order[i - 1];
        order[i - 1] = order[k];
        order[k] = was;
    }
}

uint64_t gw_hash64(const void *bytes, size_t len) {
    const unsigned char *p = bytes;
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a: offset basis and prime */
    for (size_t i = 0; i < len; i++) h = (h ^ p[i]) * 0x100000001b3u;
    h ^= h >> 33; /* MurmurHash3's fmix64 */
    h *= 0xff51afd7ed558ccdu;
    h ^= h >> 33;
    h *= 0xc4ceb9fe1a85ec53u;
    h ^= h >> 33;
    return h;
}

/* test_rng.c - Philox against the published vectors, the chain's structure, the hash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

/* Random123's kat_vectors, lines "philox4x32 10". */
static void known_answers(void **state) {
    (void)state;
    static const struct {
        uint32_t ctr[4], key[2], out[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        uint32_t out[4];
        gw_philox4x32(cases[i].ctr, cases[i].key, out);
        assert_memory_equal(out, cases[i].out, sizeof out);
        memcpy(out, cases[i].ctr, sizeof out); /* in place */
        gw_philox4x32(out, cases[i].key, out);
        assert_memory_equal(out, cases[i].out, sizeof out);
    }
}

/* The chain as the header states it, written out. */
static void chain_is_as_documented(void **state) {
    (void)state;
    const struct gw_rng_key key = {.seed = 0x1122334455667788u,
                                   .stream = GW_STREAM_JUDGE,
                                   .step = 0x0102030405060708u,
                                   .prompt_key = 0x1112131415161718u,
                                   .sample = 0x2122232425262728u,
                                   .position = 0x3132333435363738u};
    const uint32_t seed[2] = {0x55667788, 0x11223344};
    uint32_t block[4] = {2, 0x6e657767, 0, 0};
    gw_philox4x32(block, seed, block);
    const uint32_t row1[4] = {0x05060708, 0x01020304, 0x15161718, 0x11121314};
    for (int i = 0; i < 4; i++) block[i] ^= row1[i];
    gw_philox4x32(block, seed, block);
    const uint32_t row2[4] = {0x25262728, 0x21222324, 0x35363738, 0x31323334};
    for (int i = 0; i < 4; i++) block[i] ^= row2[i];
    gw_philox4x32(block, seed, block);

    struct gw_rng r;
    uint32_t words[4];
    gw_rng_init(&r, &key);
    gw_rng_words(&r, key.sample, key.position, words);
    assert_memory_equal(words, block, sizeof words);
    double want = gw_rng_to_double(block[0], block[1]);
    assert_true(gw_rng_uniform(&key) == want);
    assert_true(gw_rng_uniform_at(&r, key.sample, key.position) == want);
}

static int compare_words(const void *a, const void *b) {
    return memcmp(a, b, 4 * sizeof(uint32_t));
}

/* Small fields, as in use, never share a block; each field matters. */
static void no_collisions(void **state) {
    (void)state;
    enum { STREAMS = 5, STEPS = 4, PROMPTS = 8, SAMPLES = 8, POSITIONS = 64 };
    const size_t n = (size_t)2 * STREAMS * STEPS * PROMPTS * SAMPLES * POSITIONS;
    uint32_t(*blocks)[4] = malloc(n * sizeof *blocks);
    assert_non_null(blocks);
    size_t at = 0;
    for (uint64_t seed = 0; seed < 2; seed++)
        for (int stream = 1; stream <= STREAMS; stream++)
            for (uint64_t step = 0; step < STEPS; step++)
                for (uint64_t prompt = 0; prompt < PROMPTS; prompt++) {
                    const struct gw_rng_key key = {.seed = seed,
                                                   .stream = (enum gw_rng_stream)stream,
                                                   .step = step,
                                                   .prompt_key = prompt};
                    struct gw_rng r;
                    gw_rng_init(&r, &key);
                    for (uint64_t s = 0; s < SAMPLES; s++)
                        for (uint64_t p = 0; p < POSITIONS; p++)
                            gw_rng_words(&r, s, p, blocks[at++]);
                }
    assert_int_equal(at, n);
    qsort(blocks, n, sizeof *blocks, compare_words);
    for (size_t i = 1; i < n; i++) assert_int_not_equal(compare_words(blocks[i - 1], blocks[i]), 0);
    free(blocks);
}

static void uniform_range(void **state) {
    (void)state;
    assert_true(gw_rng_to_double(0, 0) == 0);
    assert_true(gw_rng_to_double(0xffffffff, 0xffffffff) == 1 - 0x1p-53);
    assert_true(gw_rng_to_double(0x80000000, 0) == 0.5);
    assert_true(gw_rng_to_double(0, 0x800) == 0x1p-53);
    assert_true(gw_rng_to_double(0, 0x7ff) == 0);
}

/* 2^20 draws into 256 equal cells: chi-squared with 255 degrees of freedom stays within six
 * standard deviations (the draws are fixed, so this cannot flicker). */
static void uniform_is_uniform(void **state) {
    (void)state;
    enum { CELLS = 256, DRAWS = 1 << 20 };
    static uint32_t count[CELLS];
    struct gw_rng r;
    gw_rng_init(&r, &(struct gw_rng_key){.seed = 42, .stream = GW_STREAM_ROLLOUT});
    for (uint64_t i = 0; i < DRAWS; i++)
        count[(int)(gw_rng_uniform_at(&r, i >> 10, i & 1023) * CELLS)]++;
    double chi2 = 0, expected = (double)DRAWS / CELLS;
    for (int i = 0; i < CELLS; i++)
        chi2 += (count[i] - expected) * (count[i] - expected) / expected;
    assert_true(fabs(chi2 - (CELLS - 1)) < 6 * sqrt(2.0 * (CELLS - 1)));
}

static void hash_is_fixed(void **state) {
    (void)state;
    /* fmix64 of FNV-1a's published values: "" cbf29ce484222325, "a" af63dc4c8601ec8c,
     * "foobar" 85944171f73967e8. */
    assert_true(gw_hash64("", 0) == UINT64_C(0xefd01f60ba992926));
    assert_true(gw_hash64("a", 1) == UINT64_C(0x82a2a958a9bece5b));
    assert_true(gw_hash64("foobar", 6) == UINT64_C(0x2c22194922d1672b));
    assert_true(gw_hash64("a\0b", 3) != gw_hash64("a\0c", 3)); /* NUL does not end it */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),      cmocka_unit_test(chain_is_as_documented),
        cmocka_unit_test(no_collisions),      cmocka_unit_test(uniform_range),
        cmocka_unit_test(uniform_is_uniform), cmocka_unit_test(hash_is_fixed),
    };
    return cmocka_run_group_tests_name("rng", tests, NULL, NULL);
}

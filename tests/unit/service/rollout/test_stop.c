/* test_stop.c - stop strings against the definition: the sample ends with the first token after
 * which the decoding of all tokens so far holds one of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "service/rollout/stop.h"
#include "unit/scratch.h"
#include "unit/toy_tokenizer.h"

static struct gw_tokenizer *byte_level, *llama;

static int set_up(void **state) {
    struct gwen_err err;
    if (scratch_setup(state) != 0) return 1;
    if (gw_tokenizer_load(toy_byte_level(), &byte_level, &err) == GWEN_OK &&
        gw_tokenizer_load(toy_byte_fallback(), &llama, &err) == GWEN_OK)
        return 0;
    print_error("%s\n", err.message);
    return 1;
}

static int tear_down(void **state) {
    gw_tokenizer_free(byte_level);
    gw_tokenizer_free(llama);
    return scratch_teardown(state);
}

static struct gw_stop_set *make_set(const char *const *strings, size_t n) {
    struct gwen_err err;
    struct gw_stop_set *set;
    if (gw_stop_set_new(strings, n, &set, &err) != GWEN_OK) fail_msg("%s", err.message);
    return set;
}

static void decode(const struct gw_tokenizer *t, const int32_t *ids, size_t n, struct gw_str *out) {
    struct gwen_err err;
    gw_str_clear(out);
    gw_str_puts(out, "");
    assert_int_equal(gw_tokenizer_decode(t, ids, n, true, out, &err), GWEN_OK);
}

/* Where the first of the strings begins; SIZE_MAX: none is there. */
static size_t find(const struct gw_str *text, const char *const *strings, size_t n) {
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        const char *at = memmem(text->data, text->len, strings[i], strlen(strings[i]));
        if (at != NULL) best = GW_MIN(best, (size_t)(at - text->data));
    }
    return best;
}

/* Feeds ids until a stop string is complete; compares each step with the definition, and the text
 * that is handed out on the way with the final one.  Returns how many ids were taken. */
static size_t check(const struct gw_tokenizer *tokenizer, const char *const *strings, size_t n,
                    const int32_t *ids, size_t n_ids, struct gw_stop_text *t) {
    struct gwen_err err;
    struct gw_str text = {0}, shown = {0};
    size_t longest = 0, taken = 0;
    bool stop = false;
    for (size_t i = 0; i < n; i++) longest = GW_MAX(longest, strlen(strings[i]));
    while (taken < n_ids && !stop) {
        assert_int_equal(gw_stop_text_push(t, ids[taken++], &stop, &err), GWEN_OK);
        decode(tokenizer, ids, taken, &text);
        size_t cut = find(&text, strings, n);
        assert_int_equal(stop, cut != SIZE_MAX);
        assert_true(gw_stop_text_cut(t) == cut);
        gw_str_puts(&shown, "");
        gw_stop_text_take(t, &shown);
        assert_true(shown.len <= GW_MIN(text.len, cut));
        assert_memory_equal(shown.data, text.data, shown.len);
    }
    gw_str_puts(&shown, "");
    assert_int_equal(gw_stop_text_finish(t, &shown, &err), GWEN_OK);
    decode(tokenizer, ids, taken, &text);
    size_t len = GW_MIN(text.len, find(&text, strings, n));
    assert_int_equal(shown.len, len);
    assert_memory_equal(shown.data, text.data, len);
    gw_str_free(&text);
    gw_str_free(&shown);
    return taken;
}

static uint32_t next_random(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

static void check_random(const struct gw_tokenizer *tokenizer, const int32_t *alphabet, size_t n) {
    static const char *const sets[][4] = {{"abab"},
                                          {"ab", "ba"},
                                          {"aab", "abaab", "b\xE2\x82\xAC"},
                                          {"\n", "cab"},
                                          {"\xE2\x82\xAC\xE2\x82\xAC", "aaaa"},
                                          {" a", "bb ", "the end", "\xEF\xBF\xBD\xEF\xBF\xBD"},
                                          {"abcabcabcabcabd"}};
    uint64_t state = 77;
    size_t stopped = 0, ran = 0;
    for (size_t k = 0; k < GW_ARRAY_LEN(sets); k++) {
        struct gwen_err err;
        size_t m = 0;
        while (m < 4 && sets[k][m] != NULL) m++;
        struct gw_stop_set *set = make_set(sets[k], m);
        struct gw_stop_text *t;
        assert_int_equal(gw_stop_text_new(tokenizer, set, &t, &err), GWEN_OK);
        for (int round = 0; round < 300; round++) { /* one text after the other in the same state */
            int32_t ids[40];
            size_t len = 1 + next_random(&state) % 40;
            for (size_t i = 0; i < len; i++) ids[i] = alphabet[next_random(&state) % n];
            bool before_end = check(tokenizer, sets[k], m, ids, len, t) < len;
            stopped += before_end;
            ran += !before_end;
        }
        gw_stop_text_free(t);
        gw_stop_set_free(set);
    }
    assert_true(stopped > 300 && ran > 300);
}

/* Tokens of several letters, parts of characters, special tokens and ids without a token. */
static void byte_level_texts(void **state) {
    enum { A = TOY_BYTES + 'a', B = TOY_BYTES + 'b', E2 = TOY_BYTES + 0xE2 };
    static const int32_t alphabet[] = {A,
                                       B,
                                       A,
                                       B,
                                       TOY_BYTES + 'c',
                                       TOY_BYTES + 256,
                                       TOY_BYTES + 257,
                                       TOY_BYTES + ' ',
                                       TOY_BYTES + '\n',
                                       E2,
                                       TOY_BYTES + 0x82,
                                       TOY_BYTES + 0xAC,
                                       TOY_BYTES + 256 + 7,
                                       TOY_BYTES + 256 + 8,
                                       TOY_END,
                                       TOY_THINK,
                                       TOY_SIZE + 5};
    (void)state;
    check_random(byte_level, alphabet, GW_ARRAY_LEN(alphabet));
}

/* Where a row of byte tokens becomes one U+FFFD each as soon as one byte too many spoils it. */
static void byte_fallback_texts(void **state) {
    static const int32_t alphabet[] = {LLAMA_TEXT,         LLAMA_TEXT + 1,     LLAMA_TEXT + 2,
                                       LLAMA_TEXT + 3,     LLAMA_TEXT + 4,     LLAMA_TEXT + 5,
                                       LLAMA_BYTES + '\n', LLAMA_BYTES + 'a',  LLAMA_BYTES + 0xE2,
                                       LLAMA_BYTES + 0x82, LLAMA_BYTES + 0xAC, LLAMA_END};
    (void)state;
    check_random(llama, alphabet, GW_ARRAY_LEN(alphabet));
}

static void a_string_ends_inside_a_token(void **state) {
    static const char *const stops[] = {"\nQ:", "the"};
    static const int32_t ids[] = {TOY_BYTES + 'x', TOY_BYTES + 256 + 4, TOY_BYTES + 'y'};
    (void)state;
    struct gwen_err err;
    struct gw_stop_set *set = make_set(stops, 2);
    struct gw_stop_text *t;
    struct gw_str rest = {0};
    bool stop = false;
    assert_int_equal(gw_stop_text_new(byte_level, set, &t, &err), GWEN_OK);
    assert_int_equal(gw_stop_text_push(t, ids[0], &stop, &err), GWEN_OK);
    assert_false(stop);
    assert_int_equal(gw_stop_text_push(t, ids[1], &stop, &err), GWEN_OK);
    assert_true(stop);
    assert_int_equal(gw_stop_text_cut(t), 2); /* "x " of "x the" */
    assert_int_equal(gw_stop_text_finish(t, &rest, &err), GWEN_OK);
    assert_string_equal(rest.data, "x ");
    gw_str_free(&rest);
    gw_stop_text_free(t);
    gw_stop_set_free(set);
}

/* With Llama's byte fallback a line ends as its <0x0A> comes, not one token later. */
static void a_byte_token_stops_at_once(void **state) {
    static const char *const stops[] = {"\n"};
    static const int32_t ids[] = {LLAMA_TEXT + 4, LLAMA_BYTES + '\n', LLAMA_TEXT + 2};
    (void)state;
    struct gwen_err err;
    struct gw_stop_set *set = make_set(stops, 1);
    struct gw_stop_text *t;
    assert_int_equal(gw_stop_text_new(llama, set, &t, &err), GWEN_OK);
    assert_int_equal(check(llama, stops, 1, ids, 3, t), 2);
    gw_stop_text_free(t);
    gw_stop_set_free(set);
}

/* Time grows with the text alone: a string that nearly matches everywhere is the bad case of a
 * naive search.  A quadratic search would take days. */
static void near_matches_cost_no_more(void **state) {
    (void)state;
    char text[GW_STOP_MAX_BYTES + 1];
    memset(text, 'a', sizeof text - 2);
    text[sizeof text - 2] = 'b';
    text[sizeof text - 1] = 0;
    const char *stops[GW_STOP_MAX_STRINGS];
    struct gwen_err err;
    struct gw_stop_text *t;
    bool stop = false;
    for (size_t i = 0; i < GW_ARRAY_LEN(stops); i++) stops[i] = text;
    struct gw_stop_set *set = make_set(stops, GW_ARRAY_LEN(stops));
    assert_int_equal(gw_stop_text_new(byte_level, set, &t, &err), GWEN_OK);
    for (size_t i = 0; i < 100000; i++)
        assert_int_equal(gw_stop_text_push(t, TOY_BYTES + 'a', &stop, &err), GWEN_OK);
    assert_false(stop);
    assert_int_equal(gw_stop_text_push(t, TOY_BYTES + 'b', &stop, &err), GWEN_OK);
    assert_true(stop);
    assert_int_equal(gw_stop_text_cut(t), 100001 - GW_STOP_MAX_BYTES);
    gw_stop_text_free(t);
    gw_stop_set_free(set);
}

static void bad_strings_are_refused(void **state) {
    (void)state;
    struct gwen_err err;
    struct gw_stop_set *set;
    static char big[GW_STOP_MAX_BYTES + 2];
    const char *many[GW_STOP_MAX_STRINGS + 1];
    memset(big, 'x', sizeof big - 1);
    for (size_t i = 0; i < GW_ARRAY_LEN(many); i++) many[i] = "x";
    assert_int_equal(gw_stop_set_new((const char *[]){"a", ""}, 2, &set, &err), GWEN_ERR_ARGUMENT);
    assert_int_equal(gw_stop_set_new((const char *[]){big}, 1, &set, &err), GWEN_ERR_ARGUMENT);
    assert_int_equal(gw_stop_set_new((const char *[]){"\xFF"}, 1, &set, &err), GWEN_ERR_ARGUMENT);
    assert_int_equal(gw_stop_set_new(many, GW_ARRAY_LEN(many), &set, &err), GWEN_ERR_ARGUMENT);
    assert_int_equal(gw_stop_set_new(many, GW_ARRAY_LEN(many) - 1, &set, &err), GWEN_OK);
    gw_stop_set_free(set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_level_texts),
        cmocka_unit_test(byte_fallback_texts),
        cmocka_unit_test(a_string_ends_inside_a_token),
        cmocka_unit_test(a_byte_token_stops_at_once),
        cmocka_unit_test(near_matches_cost_no_more),
        cmocka_unit_test(bad_strings_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

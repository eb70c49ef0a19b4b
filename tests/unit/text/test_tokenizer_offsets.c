/* test_tokenizer_offsets.c - where in a text its ids come from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer/tokenizer.h"
#include "unit/scratch.h"
#include "unit/toy_tokenizer.h"

/* The places as "0 1 ?", where ? is one that is not known. */
static void check(const struct gw_tokenizer *t, const char *text, const char *wanted) {
    struct gw_ids ids = {0};
    struct gwen_err err;
    char shown[200] = "";
    const size_t len = strlen(text);
    if (gw_tokenizer_encode(t, text, len, 0, &ids, &err) != GWEN_OK) fail_msg("%s", err.message);
    size_t *starts = malloc((ids.len + 1) * sizeof *starts);
    assert_non_null(starts);
    if (gw_tokenizer_offsets(t, text, len, ids.data, ids.len, starts, &err) != GWEN_OK)
        fail_msg("%s: %s", text, err.message);
    assert_int_equal(starts[ids.len], len);
    for (size_t i = 0; i <= ids.len; i++) {
        const size_t n = strlen(shown);
        if (starts[i] == GW_NO_OFFSET)
            snprintf(shown + n, sizeof shown - n, " ?");
        else
            snprintf(shown + n, sizeof shown - n, " %zu", starts[i]);
    }
    if (strcmp(shown + 1, wanted) != 0) fail_msg("%s:%s, not %s", text, shown, wanted);
    /* Ids that are not the text's are not laid along it. */
    if (ids.len > 0)
        assert_int_equal(gw_tokenizer_offsets(t, text, len, ids.data, ids.len - 1, starts, &err),
                         GWEN_ERR_INTERNAL);
    gw_ids_free(&ids);
    free(starts);
}

static void byte_level(void **state) {
    (void)state;
    struct gw_tokenizer *t;
    struct gwen_err err;
    assert_int_equal(gw_tokenizer_load(toy_byte_level(), &t, &err), GWEN_OK);
    check(t, "", "0");
    check(t, "abc the end", "0 3 7 8 11");
    check(t, "ab<|end|>ab<think>", "0 2 9 11 18");
    check(t, "\xE2\x82\xAC\xC3\xA4", "0 3 4 5"); /* a character of two tokens */
    gw_tokenizer_free(t);
}

/* The mark that is put in front covers nothing. */
static void marks_of_spaces(void **state) {
    (void)state;
    struct gw_tokenizer *t;
    struct gwen_err err;
    assert_int_equal(gw_tokenizer_load(toy_byte_fallback(), &t, &err), GWEN_OK);
    check(t, "ab", "0 0 2");
    check(t, "ac b", "0 1 2 3 4");
    check(t, "a</s>a b", "0 1 5 6 7 8");
    check(t, "\xC3\xA4", "0 0 1 2");
    gw_tokenizer_free(t);
}

static const char lowercase[] =
    "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":4,\"content\":\"<E>\",\"single_word\":false,"
    "\"lstrip\":true,\"rstrip\":true,\"normalized\":false,\"special\":true}],\"normalizer\":{"
    "\"type\":\"Lowercase\"},\"pre_tokenizer\":null,\"post_processor\":null,\"decoder\":{\"type\":"
    "\"Fuse\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\" \":3},\"merges\":"
    "[]}}";

/* What the normalizer rewrites is not known, but what stands around it is, and what an added token
 * has taken of the white space beside it is the token's. */
static void rewritten(void **state) {
    (void)state;
    struct gw_tokenizer *t;
    struct gwen_err err;
    assert_int_equal(gw_tokenizer_load_memory(lowercase, strlen(lowercase), "t", &t, &err),
                     GWEN_OK);
    check(t, "abc", "0 1 2 3");
    check(t, "aBc", "0 1 2 3"); /* one token between two that are known */
    check(t, "abBCc", "0 1 2 ? 4 5");
    check(t, "AB <E> cC<E>aa", "0 ? 2 7 8 9 12 13 14");
    gw_tokenizer_free(t);
}

/* The ids of two texts, "|" before the second's and "!" where one straddles. */
static void check_pair(const struct gw_tokenizer *t, const char *first, const char *second,
                       const char *wanted) {
    const struct gw_text_pair pair = {first, second, strlen(first), strlen(second)};
    struct gw_ids ids = {0};
    struct gwen_err err = {0};
    char shown[200] = "";
    size_t split;
    bool straddles;
    if (gw_tokenizer_encode_pair(t, &pair, &ids, &split, &straddles, &err) != GWEN_OK)
        snprintf(shown, sizeof shown, "%s", strstr(err.message, "rewrites"));
    for (size_t i = 0; i <= ids.len && shown[0] != 'r'; i++) {
        const size_t n = strlen(shown);
        if (i == split) snprintf(shown + n, sizeof shown - n, straddles ? "! " : "| ");
        if (i < ids.len)
            snprintf(shown + strlen(shown), sizeof shown - strlen(shown), "%d ", ids.data[i]);
    }
    if (strncmp(shown, wanted, strlen(wanted)) != 0)
        fail_msg("%s|%s: %s, not %s", first, second, shown, wanted);
    gw_ids_free(&ids);
}

/* Two texts are one; a token of both is the second's. */
static void pairs(void **state) {
    (void)state;
    struct gw_tokenizer *t;
    struct gwen_err err;
    assert_int_equal(gw_tokenizer_load(toy_byte_level(), &t, &err), GWEN_OK);
    enum { AB = TOY_BYTES + 256, ABC, TH, THE, SPACE_THE, EN, END };
    check_pair(t, "ab", "ab", "1 260 | 260 ");
    check_pair(t, "ab", "c", "1 ! 261 ");
    check_pair(t, "end t", "he ab", "1 266 ! 264 36 260 ");
    check_pair(t, "end ", "the", "1 266 ! 264 ");
    check_pair(t, "ab", "", "1 260 | ");
    check_pair(t, "", "ab", "1 | 260 ");
    check_pair(t, "ab<|e", "nd|>ab", "1 260 ! 2 260 ");
    gw_tokenizer_free(t);
    assert_int_equal(gw_tokenizer_load(toy_byte_fallback(), &t, &err), GWEN_OK);
    check_pair(t, "ab", "ab", "1 259 262 | 262 "); /* the mark is put in front once */
    check_pair(t, "", "ab", "1 | 259 262 ");
    check_pair(t, "c", " a", "1 259 264 | 263 ");
    check_pair(t, "c ", "a", "1 259 264 ! 263 ");
    gw_tokenizer_free(t);
    assert_int_equal(gw_tokenizer_load_memory(lowercase, strlen(lowercase), "t", &t, &err),
                     GWEN_OK);
    check_pair(t, "aB", "Ba", "0 1 | 1 0 ");
    check_pair(t, "a <", "E> b", "0 ! 4 1 ");
    gw_tokenizer_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_level),
        cmocka_unit_test(marks_of_spaces),
        cmocka_unit_test(rewritten),
        cmocka_unit_test(pairs),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

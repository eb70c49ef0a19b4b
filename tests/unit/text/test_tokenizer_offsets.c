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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_level),
        cmocka_unit_test(marks_of_spaces),
        cmocka_unit_test(rewritten),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

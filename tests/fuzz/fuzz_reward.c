/* fuzz_reward.c - completions and answers with anything in them: every built-in reward stays
 * within what it promises.  The input is a row's meta, a newline and the completion. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/str.h"
#include "service/reward/impl.h"
#include "service/reward/reward.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const SPECS[] = {"gsm8k",     "exact",       "countdown", "think_format",
                                    "tags:a,bb", "regex:a+b.?", "length:5"};

/* A canonical number is found in its own text again, unchanged. */
static void check_number(struct gw_text s) {
    struct gw_str once = {0}, twice = {0};
    if (gw_number_find(s, true, &once) &&
        (!gw_number_find((struct gw_text){once.data, once.len}, false, &twice) ||
         once.len != twice.len || memcmp(once.data, twice.data, once.len) != 0))
        abort();
    gw_str_free(&once);
    gw_str_free(&twice);
}

static void check_expression(struct gw_text s) {
    struct gw_expression e;
    if (gw_expression_parse(s, &e) && (e.den <= 0 || e.n == 0 || e.n > GW_COUNTDOWN_MAX_NUMBERS))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct gwen_err err;
    struct gw_rewards *r;
    const char *text = (const char *)data, *line = memchr(text, '\n', size);
    size_t meta_len = line != NULL ? (size_t)(line - text) : size;
    struct gw_text s = {text, size};
    if (line != NULL) s = (struct gw_text){line + 1, size - meta_len - 1};
    float scores[GW_ARRAY_LEN(SPECS)];
    check_number(s);
    check_expression(s);
    if (!gw_utf8_is_valid(s.text, s.len)) return 0;
    if (gw_rewards_new(&r, &err) != GWEN_OK) abort();
    for (size_t i = 0; i < GW_ARRAY_LEN(SPECS); i++)
        if (gw_rewards_add(r, SPECS[i], &err) != GWEN_OK) abort();
    const struct gw_reward_input in = {.prompt = "",
                                       .completion = s.text,
                                       .completion_len = s.len,
                                       .n = s.len,
                                       .meta = text,
                                       .meta_len = meta_len};
    if (gw_rewards_score(r, &in, 1, scores, &err) == GWEN_OK)
        for (size_t i = 0; i < GW_ARRAY_LEN(SPECS); i++)
            if (!isnan(scores[i]) && !(scores[i] >= 0 && scores[i] <= 1)) abort();
    gw_rewards_free(r);
    return 0;
}

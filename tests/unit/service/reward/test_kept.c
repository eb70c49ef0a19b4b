/* test_kept.c - samples kept for their rewards: gaps, exchanged places, prompts without a text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "service/reward/kept.h"

enum { PROMPTS = 3, GROUP = 2, LONGEST = 4 };

static const int32_t ids[LONGEST] = {11, 12, 13, 14};
static const struct gw_prompt rows[PROMPTS] = {
    {.ids = ids, .n = 2, .meta = "{\"answer\":\"a\"}", .meta_len = 14},
    {.ids = ids, .n = 2, .meta = "{\"answer\":\"b\"}", .meta_len = 14},
    {.ids = ids, .n = 2, .meta = "{\"answer\":\"c\"}", .meta_len = 14},
};

static void open_store(struct gw_kept *k, struct gw_mem *memory) {
    struct gw_layout plan = {0}, layout;
    struct gwen_err err;
    *k = (struct gw_kept){.numeric_class = "f32-fma",
                          .prompts = PROMPTS,
                          .group = GROUP,
                          .longest = LONGEST,
                          .n_rewards = 1};
    gw_kept_lay_out(k, &plan);
    assert_int_equal(gw_layout_map(&layout, plan.used, memory, &err), GWEN_OK);
    gw_kept_lay_out(k, &layout);
    assert_int_equal(gw_layout_end(&layout, "samples", &err), GWEN_OK);
}

static void put(struct gw_kept *k, size_t i, const char *text, size_t n) {
    static const float logprobs[LONGEST] = {0};
    const struct gw_rollout_sample s = {.prompt = &rows[i / GROUP],
                                        .prompt_id = i / GROUP,
                                        .sample_id = i % GROUP,
                                        .ids = ids,
                                        .logprobs = logprobs,
                                        .n = n,
                                        .text = text,
                                        .text_len = strlen(text),
                                        .finish = GW_FINISH_STOP};
    struct gwen_err err;
    assert_int_equal(gw_kept_put(k, i, &s, 70 + i / GROUP, &err), GWEN_OK);
}

static struct gw_rewards *exact(void) {
    struct gw_rewards *r;
    struct gwen_err err;
    assert_int_equal(gw_rewards_new(&r, &err), GWEN_OK);
    assert_int_equal(gw_rewards_add(r, "exact", &err), GWEN_OK);
    return r;
}

static void what_is_not_there_is_passed_over(void **state) {
    struct gw_kept k;
    struct gw_mem memory;
    struct gwen_err err;
    struct gw_rewards *r = exact();
    (void)state;
    open_store(&k, &memory);
    put(&k, 1, "a", 1);
    put(&k, 2, "x", 2);
    put(&k, 5, "c", LONGEST);
    assert_int_equal(gw_kept_prompt(&k, 0, &rows[0], &err), GWEN_OK);
    assert_int_equal(gw_kept_reward(&k, rows, 0, PROMPTS * GROUP, r, false, &err), GWEN_OK);
    const float right[] = {1, 0, 1};
    assert_memory_equal(k.scores, right, sizeof right);
    assert_string_equal(k.inputs[0].completion, "a");
    assert_string_equal(k.inputs[0].prompt, "");
    assert_string_equal(k.inputs[1].prompt, ""); /* it was never decoded */
    assert_int_equal(k.inputs[2].n, LONGEST);
    assert_memory_equal(k.inputs[2].ids, ids, sizeof ids);
    assert_non_null(strstr(k.samples[5].row.data, "\"prompt_id\":72,"));
    /* from a place on, inputs and scores stand from that place on */
    k.scores[0] = 7;
    assert_int_equal(gw_kept_reward(&k, rows, 3, PROMPTS * GROUP, r, true, &err), GWEN_OK);
    assert_true(k.scores[0] == 7 && k.scores[3] == 1);
    assert_int_equal(gw_kept_inputs(&k, rows, 3, 5), 0);
    assert_int_equal(gw_kept_reward(&k, rows, 3, 5, r, false, NULL), GWEN_OK);
    /* another sample takes the place of the one before */
    put(&k, 1, "no", 3);
    assert_int_equal(gw_kept_inputs(&k, rows, 0, 2), 1);
    assert_string_equal(k.inputs[0].completion, "no");
    assert_int_equal(k.inputs[0].completion_len, 2);
    gw_kept_free_texts(&k);
    gw_mem_unmap(&memory);
    gw_rewards_free(r);
    gw_kept_free_texts(&(struct gw_kept){0});
}

static void groups_change_places(void **state) {
    struct gw_kept k;
    struct gw_mem memory;
    (void)state;
    open_store(&k, &memory);
    for (size_t i = 0; i < PROMPTS * GROUP; i++) {
        put(&k, i, (const char *[]){"p", "q", "r", "s", "t", "u"}[i], 1 + i % LONGEST);
        k.scores[i] = (float)i;
    }
    char *const of_first = k.samples[0].text.data;
    gw_kept_move(&k, 2, 0);
    assert_string_equal(k.samples[0].text.data, "t");
    assert_string_equal(k.samples[1].text.data, "u");
    assert_int_equal(k.samples[1].n, 2);
    assert_memory_equal(k.ids + LONGEST, ids, 2 * sizeof *ids);
    assert_true(k.scores[0] == 4 && k.scores[1] == 5);
    assert_ptr_equal(k.samples[4].text.data, of_first); /* memory that is used again */
    assert_string_equal(k.samples[2].text.data, "r");
    gw_kept_free_texts(&k);
    gw_mem_unmap(&memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_there_is_passed_over),
        cmocka_unit_test(groups_change_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

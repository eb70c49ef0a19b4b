/* test_generate.c - samples with texts: stop strings, streaming, defaults of a model, and
 * conversations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/weights_init.h"
#include "service/rollout/generate.h"
#include "unit/scratch.h"
#include "unit/toy_tokenizer.h"

enum { GROUPS = 40, VOCAB = TOY_SIZE + 11 }; /* some ids have no token */

static struct gw_tokenizer *tokenizer;
static struct gw_prompt_chat chat;
static struct gw_pool *pool;
static struct gw_model *model;

static int set_up(void **state) {
    struct gwen_err err = {0};
    struct gw_config c;
    if (scratch_setup(state) != 0) return 1;
    const struct gw_init_options o = {.seed = 11, .dtype = GW_DTYPE_F32};
    const struct gw_model_opts mo = {.dtype = GW_DTYPE_F32, .isa_cap = scratch_isa()};
    const char *dir = scratch_path("model");
    if (gw_tokenizer_load(toy_byte_level(), &tokenizer, &err) != GWEN_OK ||
        gw_config_preset("tiny", &c, &err) != GWEN_OK) {
        print_error("%s\n", err.message);
        return 1;
    }
    c.vocab_size = VOCAB;
    c.hidden = 64;
    c.ffn = 96;
    c.n_layers = 2;
    c.n_heads = 2;
    c.n_kv_heads = 1;
    c.head_dim = 32;
    c.max_position_embeddings = 300;
    if (gw_weights_init(&c, &o, dir, &err) != GWEN_OK ||
        gw_pool_create(2, &pool, &err) != GWEN_OK ||
        gw_model_load(dir, &mo, pool, &model, &err) != GWEN_OK) {
        print_error("%s\n", err.message);
        return 1;
    }
    gw_prompt_chat_open(tokenizer, &(struct tm){.tm_year = 126}, &chat);
    return chat.template == NULL;
}

static int tear_down(void **state) {
    gw_prompt_chat_close(&chat);
    gw_tokenizer_free(tokenizer);
    gw_model_free(model);
    gw_pool_free(pool);
    return scratch_teardown(state);
}

static struct gw_prompt_opts prompt_options(size_t max_tokens) {
    return (struct gw_prompt_opts){.tokenizer = tokenizer,
                                   .chat = &chat,
                                   .vocab_size = VOCAB,
                                   .context = model->cfg.max_position_embeddings,
                                   .max_tokens = max_tokens,
                                   .clamp = true};
}

/* --- texts of samples ----------------------------------------------------------------------- */

struct seen {
    struct gw_str rows, shown[GROUPS], texts[GROUPS];
    size_t n, by_string, by_token, by_length;
    const char *const *stops;
    size_t n_stops;
};

static size_t find(const struct gw_str *text, const char *const *strings, size_t n) {
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        const char *at = memmem(text->data, text->len, strings[i], strlen(strings[i]));
        if (at != NULL) best = GW_MIN(best, (size_t)(at - text->data));
    }
    return best;
}

static size_t find_in_prefix(const struct gw_rollout_sample *s, size_t n, const struct seen *seen,
                             struct gw_str *text) {
    struct gwen_err err;
    gw_str_clear(text);
    gw_str_puts(text, "");
    assert_int_equal(gw_tokenizer_decode(tokenizer, s->ids, n, true, text, &err), GWEN_OK);
    return find(text, seen->stops, seen->n_stops);
}

/* Each sample against the definition of where it ends and what its text is. */
static enum gwen_status check_sample(void *ctx, const struct gw_rollout_sample *s,
                                     struct gwen_err *err) {
    struct seen *seen = ctx;
    struct gw_str text = {0};
    (void)err;
    for (size_t n = 1; n < s->n; n++) {
        assert_true(find_in_prefix(s, n, seen, &text) == SIZE_MAX);
        assert_int_not_equal(s->ids[n - 1], TOY_END);
    }
    size_t cut = find_in_prefix(s, s->n, seen, &text);
    bool token = s->ids[s->n - 1] == TOY_END;
    assert_int_equal(s->finish, cut != SIZE_MAX || token ? GW_FINISH_STOP : GW_FINISH_LENGTH);
    if (s->finish == GW_FINISH_LENGTH) assert_int_equal(s->n, 60);
    seen->by_string += cut != SIZE_MAX;
    seen->by_token += token;
    seen->by_length += s->finish == GW_FINISH_LENGTH;
    assert_int_equal(s->text_len, GW_MIN(text.len, cut));
    assert_memory_equal(s->text, text.data, s->text_len);
    gw_str_put(&seen->texts[s->sample_id], s->text, s->text_len);
    seen->n++;
    gw_str_free(&text);
    return GWEN_OK;
}

static enum gwen_status show_text(void *ctx, size_t prompt, size_t sample, const char *text,
                                  size_t len, struct gwen_err *err) {
    struct seen *seen = ctx;
    (void)err;
    assert_int_equal(prompt, 0);
    assert_true(len > 0);
    gw_str_put(&seen->shown[sample], text, len);
    return GWEN_OK;
}

static void run(const struct gw_rollout_opts *o, const struct gw_rollout_sink *sink, size_t batch,
                const struct gw_prompts *p) {
    struct gwen_err err;
    struct gw_rollout_plan plan;
    struct gw_rollout *r = NULL;
    const struct gw_plan_options base = {
        .cfg = &model->cfg, .format = model->arith.format, .n_threads = 2};
    if (gw_rollout_plan(&base, NULL, p, o, batch, SIZE_MAX, &plan, &err) != GWEN_OK ||
        gw_rollout_create(model, pool, tokenizer, o, &plan, &r, &err) != GWEN_OK ||
        gw_rollout_run(r, p, sink, NULL, &err) != GWEN_OK)
        fail_msg("%s", err.message);
    gw_rollout_free(r);
}

static void samples_end_at_stop_strings(void **state) {
    /* "<|end|>" is a special token: it stops as a token, not as a text */
    static const char *const stops[] = {"x", "\xE2\x82", "the", "ab", "<|end|>"};
    (void)state;
    struct gwen_err err;
    struct gw_prompts p = {0};
    const struct gw_prompt_opts po = prompt_options(60);
    assert_int_equal(gw_prompts_add_text(&p, &po, "the abc", &err), GWEN_OK);
    struct seen first = {0};
    for (size_t batch = 1; batch <= 16; batch += 5) {
        struct seen seen = {.stops = (const char *const[]){"x", "the", "ab"}, .n_stops = 3};
        struct gw_rollout_opts o = {.groups = GROUPS,
                                    .sampling = GW_SAMPLING_INIT,
                                    .seed = 5,
                                    .stream = GW_STREAM_ROLLOUT,
                                    .stops = (const char *const[]){"x", stops[4], "the", "ab"},
                                    .n_stops = 4};
        const struct gw_rollout_sink sink = {
            .ctx = &seen, .sample = check_sample, .text = batch == 6 ? show_text : NULL};
        run(&o, &sink, batch, &p);
        assert_int_equal(seen.n, GROUPS);
        if (seen.by_string == 0 || seen.by_token == 0 || seen.by_length == 0)
            fail_msg("%zu %zu %zu", seen.by_string, seen.by_token, seen.by_length);
        for (size_t s = 0; s < GROUPS; s++) {
            assert_int_equal(seen.texts[s].len,
                             batch == 1 ? seen.texts[s].len : first.texts[s].len);
            if (batch > 1 && seen.texts[s].len > 0)
                assert_memory_equal(seen.texts[s].data, first.texts[s].data, seen.texts[s].len);
            if (batch == 6) {
                assert_int_equal(seen.shown[s].len, seen.texts[s].len);
                if (seen.shown[s].len > 0)
                    assert_memory_equal(seen.shown[s].data, seen.texts[s].data, seen.shown[s].len);
            }
            gw_str_free(&seen.shown[s]);
            if (batch > 1) gw_str_free(&seen.texts[s]);
        }
        if (batch == 1) first = seen;
    }
    for (size_t s = 0; s < GROUPS; s++) gw_str_free(&first.texts[s]);
    gw_prompts_free(&p);
    /* and what is no string at all is refused */
    struct gw_rollout_opts o = {
        .groups = 1, .sampling = GW_SAMPLING_INIT, .stops = &stops[1], .n_stops = 1};
    struct gw_rollout *r;
    const struct gw_rollout_plan plan = {.options.engine = {.slots = 1}};
    assert_int_equal(gw_rollout_create(model, pool, tokenizer, &o, &plan, &r, &err),
                     GWEN_ERR_ARGUMENT);
    o.stops = stops;
    assert_int_equal(gw_rollout_create(model, pool, NULL, &o, &plan, &r, &err), GWEN_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "tokenizer"));
}

/* The eos is left out of the text even where the tokenizer does not call it special. */
static enum gwen_status ends_with_think(void *ctx, const struct gw_rollout_sample *s,
                                        struct gwen_err *err) {
    size_t *stopped = ctx;
    struct gw_str text = {0};
    bool eos = s->ids[s->n - 1] == TOY_THINK;
    assert_int_equal(gw_tokenizer_decode(tokenizer, s->ids, s->n - eos, true, &text, err), GWEN_OK);
    assert_int_equal(s->text_len, text.len);
    assert_memory_equal(s->text, text.data != NULL ? text.data : "", text.len);
    *stopped += eos;
    gw_str_free(&text);
    return GWEN_OK;
}

static void the_eos_is_no_text(void **state) {
    static const int32_t eos = TOY_THINK;
    (void)state;
    struct gwen_err err;
    struct gw_prompts p = {0};
    const struct gw_prompt_opts po = prompt_options(100);
    const struct gw_rollout_opts o = {.groups = GROUPS,
                                      .sampling = GW_SAMPLING_INIT,
                                      .seed = 5,
                                      .stream = GW_STREAM_ROLLOUT,
                                      .eos = {&eos, 1}};
    size_t stopped = 0;
    const struct gw_rollout_sink sink = {.ctx = &stopped, .sample = ends_with_think};
    assert_int_equal(gw_prompts_add_text(&p, &po, "abc", &err), GWEN_OK);
    run(&o, &sink, 8, &p);
    assert_true(stopped > 0);
    gw_prompts_free(&p);
}

/* --- defaults ------------------------------------------------------------------------------- */

static void defaults_of_the_model(void **state) {
    static const struct {
        const char *json;
        struct gw_sampling expected;
    } cases[] = {
        {"{}", {0, 0, 1, 0, 1}},
        {"{\"do_sample\":false,\"temperature\":0.7,\"top_p\":0.9}", {0, 0, 0.9, 0, 1}},
        {"{\"temperature\":0.7}", {0, 0, 1, 0, 1}},
        {"{\"do_sample\":true}", {1, 0, 1, 0, 1}},
        {"{\"do_sample\":true,\"temperature\":0.6,\"top_k\":20,\"top_p\":0.95,\"min_p\":0.1,"
         "\"repetition_penalty\":1.05}",
         {0.6, 20, 0.95, 0.1, 1.05}},
    };
    (void)state;
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct gw_generation_config g;
        struct gwen_err err;
        struct gw_sampling s;
        const char *json = cases[i].json;
        assert_int_equal(gw_generation_config_parse(json, strlen(json), "g", &g, &err), GWEN_OK);
        gw_generation_sampling(&g, &s);
        assert_true(s.temperature == cases[i].expected.temperature);
        assert_int_equal(s.top_k, cases[i].expected.top_k);
        assert_true(s.top_p == cases[i].expected.top_p && s.min_p == cases[i].expected.min_p);
        assert_true(s.repetition_penalty == cases[i].expected.repetition_penalty);
    }
}

/* --- conversations -------------------------------------------------------------------------- */

struct heard {
    struct gw_str shown, answer, prompt;
    size_t answers;
    bool cancel;
};

static enum gwen_status hear_text(void *ctx, const char *text, size_t len, struct gwen_err *err) {
    struct heard *h = ctx;
    (void)err;
    gw_str_put(&h->shown, text, len);
    return GWEN_OK;
}

static enum gwen_status hear_answer(void *ctx, const struct gw_rollout_sample *s,
                                    struct gwen_err *err) {
    struct heard *h = ctx;
    gw_str_clear(&h->answer);
    gw_str_put(&h->answer, s->text, s->text_len);
    gw_str_clear(&h->prompt);
    h->answers++;
    return gw_tokenizer_decode(tokenizer, s->prompt->ids, s->prompt->n, false, &h->prompt, err);
}

static bool hear_progress(void *ctx, const struct gwen_progress *p) {
    (void)p;
    return !((const struct heard *)ctx)->cancel;
}

static void conversations_remember_their_turns(void **state) {
    (void)state;
    struct gwen_err err;
    struct gw_rollout_plan plan;
    struct gw_talk *talk;
    struct heard h = {0};
    struct gw_prompt_opts po = prompt_options(12);
    struct gw_str expected = {0}, first = {0};
    const struct gw_rollout_opts o = {
        .groups = 1, .sampling = GW_SAMPLING_INIT, .seed = 8, .stream = GW_STREAM_ROLLOUT};
    const struct gw_plan_options base = {
        .cfg = &model->cfg, .format = model->arith.format, .n_threads = 2};
    const struct gw_talk_listener listener = {&h, hear_text, hear_answer, hear_progress, &h};
    po.system = "S";
    assert_int_equal(gw_talk_plan(&base, &o, 200, 12, SIZE_MAX, &plan, &err), GWEN_OK);
    const struct gw_talk_opts to = {model, pool, tokenizer, &po, &o, &plan};
    assert_int_equal(gw_talk_new(&to, &talk, &err), GWEN_OK);

    assert_int_equal(gw_talk_say(talk, "ab", 2, &listener, &err), GWEN_OK);
    assert_string_equal(h.prompt.data, "<system>S<|end|><user>ab<|end|><assistant>");
    gw_str_put(&first, h.answer.data, h.answer.len);
    assert_int_equal(h.shown.len, h.answer.len);
    gw_str_printf(&expected, "<system>S<|end|><user>ab<|end|><assistant>");
    gw_str_put(&expected, h.answer.data, h.answer.len);
    gw_str_puts(&expected, "<|end|><user>the end<|end|><assistant>");

    /* Turns that fail leave no trace. */
    assert_int_equal(gw_talk_say(talk, "\xFF", 1, &listener, &err), GWEN_ERR_FORMAT);
    char much[400];
    memset(much, 'z', sizeof much);
    assert_true(gw_talk_say(talk, much, sizeof much, &listener, &err) != GWEN_OK);
    assert_int_equal(gw_talk_say(talk, much, 190, &listener, &err), GWEN_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "room"));
    h.cancel = true;
    assert_int_equal(gw_talk_say(talk, "b", 1, &listener, &err), GWEN_ERR_CANCELLED);
    h.cancel = false;
    assert_int_equal(h.answers, 1);

    assert_int_equal(gw_talk_say(talk, "the end", 7, &listener, &err), GWEN_OK);
    assert_int_equal(h.prompt.len, expected.len);
    assert_memory_equal(h.prompt.data, expected.data, expected.len);
    assert_int_equal(gw_talk_reset(talk, &err), GWEN_OK);
    assert_int_equal(gw_talk_say(talk, "ab", 2, &listener, &err), GWEN_OK);
    assert_string_equal(h.prompt.data, "<system>S<|end|><user>ab<|end|><assistant>");
    /* the same words, another draw */
    assert_true(h.answer.len != first.len || memcmp(h.answer.data, first.data, first.len) != 0);
    gw_talk_free(talk);
    gw_str_free(&h.shown);
    gw_str_free(&h.answer);
    gw_str_free(&h.prompt);
    gw_str_free(&expected);
    gw_str_free(&first);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_end_at_stop_strings),
        cmocka_unit_test(the_eos_is_no_text),
        cmocka_unit_test(defaults_of_the_model),
        cmocka_unit_test(conversations_remember_their_turns),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

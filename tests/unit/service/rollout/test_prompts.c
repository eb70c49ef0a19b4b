/* test_prompts.c - rows of prompts: every way to give one, keys, meta, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "service/rollout/prompts.h"
#include "unit/scratch.h"
#include "unit/toy_tokenizer.h"

static struct gw_tokenizer *tokenizer;
static struct gw_prompt_chat chat;

static int set_up(void **state) {
    struct gwen_err err;
    if (scratch_setup(state) != 0) return 1;
    if (gw_tokenizer_load(toy_byte_level(), &tokenizer, &err) != GWEN_OK) {
        print_error("%s\n", err.message);
        return 1;
    }
    gw_prompt_chat_open(tokenizer, &(struct tm){.tm_year = 126}, &chat);
    return chat.template == NULL;
}

static int tear_down(void **state) {
    gw_prompt_chat_close(&chat);
    gw_tokenizer_free(tokenizer);
    return scratch_teardown(state);
}

static struct gw_prompt_opts options(void) {
    return (struct gw_prompt_opts){
        .tokenizer = tokenizer, .chat = &chat, .vocab_size = 300, .context = 100, .max_tokens = 20};
}

static enum gwen_status try_read(const char *text, size_t len, const struct gw_prompt_opts *o,
                                 struct gw_prompts *p, struct gwen_err *err) {
    *p = (struct gw_prompts){0};
    return gw_prompts_read(scratch_write("prompts.jsonl", text, len), o, p, err);
}

static void read_ok(const char *text, const struct gw_prompt_opts *o, struct gw_prompts *p) {
    struct gwen_err err;
    if (try_read(text, strlen(text), o, p, &err) != GWEN_OK) fail_msg("%s", err.message);
}

/* The prompt decoded, special tokens shown. */
static void is_text(const struct gw_prompt *p, const char *expected) {
    struct gw_str s = {0};
    struct gwen_err err;
    assert_int_equal(gw_tokenizer_decode(tokenizer, p->ids, p->n, false, &s, &err), GWEN_OK);
    assert_string_equal(s.data, expected);
    gw_str_free(&s);
}

static void every_way_to_give_a_prompt(void **state) {
    (void)state;
    static const char rows[] =
        "{\"prompt\":\"the end<|end|>\"}\n"
        "{\"question\":\"abc\"}\n"
        "{\"ids\":[7,299,0]}\n"
        "{\"messages\":[{\"role\":\"user\",\"content\":\"abc\"}]}\n"
        "{\"prompt\":[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"b\"}"
        "]}\n"
        "{\"prompt\":\"x\",\"question\":\"y\",\"ids\":null}\n"
        "{\"messages\":[{\"role\":\"user\",\"content\":\"\"}],\"tools\":[{\"name\":\"f\"}]}";
    struct gw_prompt_opts o = options();
    struct gw_prompts p;
    read_ok(rows, &o, &p);
    assert_int_equal(p.n, 7);
    /* A special token in a text is that token; the tokenizer's own are put in front. */
    is_text(&p.rows[0], "<s>the end<|end|>");
    assert_int_equal(p.rows[0].ids[p.rows[0].n - 1], TOY_END);
    is_text(&p.rows[1], "<s>abc");
    assert_int_equal(p.rows[2].n, 3);
    assert_int_equal(p.rows[2].ids[1], 299);
    is_text(&p.rows[3], "<user>abc<|end|><assistant>");
    is_text(&p.rows[4], "<system>S<|end|><user>b<|end|><assistant>");
    is_text(&p.rows[5], "<s>x");
    assert_string_equal(p.rows[5].meta, "{\"question\":\"y\"}");
    is_text(&p.rows[6], "<user><|end|><assistant>[f]");
    assert_string_equal(p.rows[6].meta, "{\"tools\":[{\"name\":\"f\"}]}");
    /* What is asked is the same without a template. */
    static const char *const asked[] = {"the end<|end|>", "abc", NULL, "abc", "b", "x", ""};
    for (size_t i = 0; i < p.n; i++) {
        if (asked[i] == NULL)
            assert_null(p.rows[i].text);
        else
            assert_string_equal(p.rows[i].text, asked[i]);
    }
    assert_int_equal(p.max_prompt, p.rows[4].n);
    assert_int_equal(p.max_tokens, 20);
    gw_prompts_free(&p);

    o.as_chat = true;
    o.system = "Be brief.";
    o.chat_args = json_pack("{s:b}", "enable_thinking", 0);
    read_ok(rows, &o, &p);
    is_text(&p.rows[0], "<system>Be brief.<|end|><user>the end<|end|><|end|><assistant>!");
    is_text(&p.rows[1], "<system>Be brief.<|end|><user>abc<|end|><assistant>!");
    assert_int_equal(p.rows[2].n, 3);
    is_text(&p.rows[3], "<system>Be brief.<|end|><user>abc<|end|><assistant>!");
    is_text(&p.rows[4], "<system>S<|end|><user>b<|end|><assistant>!"); /* it has one */
    gw_prompts_free(&p);
    json_decref((json_t *)(uintptr_t)o.chat_args);
}

static void keys_ids_and_limits(void **state) {
    (void)state;
    struct gw_prompt_opts o = options();
    struct gw_prompts p;
    read_ok("{\"ids\":[1]}\n"
            "{\"ids\":[1],\"id\":\"a\\u0000b\"}\n"
            "{\"ids\":[1],\"id\":-12,\"max_tokens\":7}\r\n"
            "{\"ids\":[1],\"id\":null,\"max_tokens\":null}\n"
            "{\"id\":9223372036854775807,\"ids\":[1,2],\"max_tokens\":98}\n\n",
            &o, &p);
    assert_int_equal(p.n, 5);
    assert_true(p.rows[0].key == 0 && p.rows[0].id == NULL);
    assert_true(p.rows[1].key == gw_hash64("a\0b", 3));
    assert_string_equal(p.rows[1].id, "\"a\\u0000b\"");
    assert_true(p.rows[2].key == gw_hash64("-12", 3));
    assert_string_equal(p.rows[2].id, "-12");
    assert_true(p.rows[3].key == 3 && p.rows[3].id == NULL);
    assert_true(p.rows[4].key == gw_hash64("9223372036854775807", 19));
    assert_int_equal(p.rows[1].max_tokens, 20);
    assert_int_equal(p.rows[2].max_tokens, 7);
    assert_int_equal(p.rows[3].max_tokens, 20);
    assert_int_equal(p.rows[4].max_tokens, 98);
    assert_int_equal(p.max_tokens, 98);
    assert_int_equal(p.n_tokens, 6);
    gw_prompts_free(&p);
}

static void meta_is_passed_on_unchanged(void **state) {
    (void)state;
    struct gw_prompt_opts o = options();
    struct gw_prompts p;
    read_ok("{\"zeta\":9007199254740993,\"prompt\":\"b\",\"alpha\":[1.5,{\"b\":null,\"a\":true}],"
            "\"id\":4,\"meta\":{\"x\":\"\\u0000\\u20ac\"},\"max_tokens\":3,\"answer\":\"4\",\"e\":"
            "1e300}\n"
            "{\"ids\":[1]}\n",
            &o, &p);
    assert_string_equal(p.rows[0].meta, "{\"zeta\":9007199254740993,\"alpha\":[1.5,{\"b\":null,"
                                        "\"a\":true}],\"meta\":{\"x\":\"\\u0000\xE2\x82\xAC\"},"
                                        "\"answer\":\"4\",\"e\":1e+300}");
    assert_string_equal(p.rows[1].meta, "{}");
    gw_prompts_free(&p);
}

static void what_is_refused(void **state) {
    static const struct {
        const char *text, *where, *what;
    } cases[] = {
        {"", ":", "no prompts"},
        {"\n", ":", "no prompts"},
        {"{\"ids\":[1]}\n{\"ids\":[1]\n", ":2:", ""},
        {"[1]\n", ":1:", "expected"},
        {"{\"ids\":[1]}\n{}\n", ":2:", "needed"},
        {"{\"prompt\":null}\n", ":1:", "needed"},
        {"{\"prompt\":\"a\",\"ids\":[1]}\n", ":1:", "both"},
        {"{\"messages\":[],\"ids\":[1]}\n", ":1:", "both"},
        {"{\"prompt\":5}\n", ":1:", "string"},
        {"{\"question\":[\"a\"]}\n", ":1:", "string"},
        {"{\"ids\":\"x\"}\n", ":1:", "array"},
        {"{\"ids\":[]}\n", ":1:", "no tokens"},
        {"{\"ids\":[300]}\n", ":1:", "300"},
        {"{\"ids\":[-1]}\n", ":1:", "-1"},
        {"{\"ids\":[1.0]}\n", ":1:", "token id"},
        {"{\"messages\":[]}\n", ":1:", "at least one"},
        {"{\"messages\":[\"hi\"]}\n", ":1:", "message"},
        {"{\"messages\":\"hi\"}\n", ":1:", "array"},
        {"{\"ids\":[1],\"id\":1.5}\n", ":1:", "\"id\""},
        {"{\"ids\":[1],\"id\":[1]}\n", ":1:", "\"id\""},
        {"{\"ids\":[1],\"max_tokens\":0}\n", ":1:", "max_tokens"},
        {"{\"ids\":[1],\"max_tokens\":-5}\n", ":1:", "max_tokens"},
        {"{\"ids\":[1],\"max_tokens\":\"5\"}\n", ":1:", "max_tokens"},
        {"{\"ids\":[1],\"max_tokens\":100}\n", ":1:", "context of 100"},
        {"{\"ids\":[1],\"id\":\"x\"}\n{\"ids\":[1]}\n{\"ids\":[1],\"id\":\"x\"}\n",
         ":3:", "line 1"},
        {"{\"ids\":[1],\"id\":5}\n{\"ids\":[1],\"id\":\"5\"}\n", ":2:", "line 1"},
        {"{\"ids\":[1],\"ids\":[2]}\n", ":1:", "duplicate"},
        {"{\"prompt\":\"\xFF\"}\n", ":1:", "0xff"},
    };
    (void)state;
    struct gw_prompt_opts o = options();
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct gw_prompts p;
        struct gwen_err err = {0};
        enum gwen_status status = try_read(cases[i].text, strlen(cases[i].text), &o, &p, &err);
        gw_prompts_free(&p);
        if (status == GWEN_OK) fail_msg("accepted: %s", cases[i].text);
        char where[64];
        snprintf(where, sizeof where, "prompts.jsonl%s", cases[i].where);
        if (strstr(err.message, where) == NULL || strstr(err.message, cases[i].what) == NULL ||
            strchr(err.message, '\n') != NULL)
            fail_msg("case %d: %s", (int)i, err.message);
    }
}

static void prompts_beyond_the_context(void **state) {
    (void)state;
    struct gw_prompt_opts o = options();
    struct gw_prompts p;
    struct gwen_err err;
    struct gw_str s = {0};
    for (size_t n = 79; n <= 101; n++) {
        gw_str_clear(&s);
        gw_str_puts(&s, "{\"ids\":[1]}\n{\"ids\":[");
        for (size_t i = 0; i < n; i++) gw_str_puts(&s, i > 0 ? ",1" : "1");
        gw_str_puts(&s, "]}\n");
        o.clamp = false;
        enum gwen_status status = try_read(s.data, s.len, &o, &p, &err);
        assert_int_equal(status, n <= 80 ? GWEN_OK : GWEN_ERR_FORMAT);
        if (n > 80) assert_non_null(strstr(err.message, "prompts.jsonl:2:"));
        gw_prompts_free(&p);
        o.clamp = true;
        status = try_read(s.data, s.len, &o, &p, &err);
        assert_int_equal(status, n < 100 ? GWEN_OK : GWEN_ERR_FORMAT);
        if (n < 100) assert_int_equal(p.rows[1].max_tokens, GW_MIN(100 - n, (size_t)20));
        gw_prompts_free(&p);
    }
    gw_str_free(&s);
}

/* Models whose tokenizer has more ids than the embedding has rows exist. */
static void ids_beyond_the_vocabulary(void **state) {
    (void)state;
    struct gw_prompt_opts o = options();
    struct gw_prompts p;
    struct gwen_err err;
    o.vocab_size = 100;
    assert_int_equal(try_read("{\"prompt\":\"a\"}\n", 15, &o, &p, &err), GWEN_ERR_FORMAT);
    assert_non_null(strstr(err.message, "prompts.jsonl:1: token id 101"));
    gw_prompts_free(&p);
}

static void without_tokenizer_or_template(void **state) {
    (void)state;
    struct gw_prompt_opts o = options();
    struct gw_prompts p = {0};
    struct gwen_err err;
    o.chat = NULL;
    assert_int_equal(try_read("{\"messages\":[{}]}\n", 18, &o, &p, &err), GWEN_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "template"));
    gw_prompts_free(&p);
    struct gw_prompt_chat none = {0};
    gw_fail(&none.why, GWEN_ERR_UNSUPPORTED, "chat template line 3: no such thing");
    o.chat = &none;
    assert_int_equal(try_read("{\"messages\":[{}]}\n", 18, &o, &p, &err), GWEN_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "prompts.jsonl:1: chat template line 3"));
    gw_prompts_free(&p);
    o.tokenizer = NULL;
    assert_int_equal(try_read("{\"prompt\":\"a\"}\n", 15, &o, &p, &err), GWEN_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "tokenizer"));
    gw_prompts_free(&p);
    read_ok("{\"ids\":[1]}\n", &o, &p);
    gw_prompts_free(&p);
}

static void single_texts_and_conversations(void **state) {
    (void)state;
    struct gw_prompt_opts o = options();
    struct gw_prompts p = {0};
    struct gwen_err err;
    json_t *messages = json_pack("[{s:s,s:s}]", "role", "user", "content", "b");
    assert_int_equal(gw_prompts_add_text(&p, &o, "abc", &err), GWEN_OK);
    assert_int_equal(gw_prompts_add_messages(&p, &o, messages, &err), GWEN_OK);
    o.as_chat = true;
    assert_int_equal(gw_prompts_add_text(&p, &o, "abc", &err), GWEN_OK);
    assert_int_equal(gw_prompts_add_text(&p, &o, "\xFF", &err) == GWEN_OK, false);
    assert_int_equal(p.n, 3);
    is_text(&p.rows[0], "<s>abc");
    is_text(&p.rows[1], "<user>b<|end|><assistant>");
    is_text(&p.rows[2], "<user>abc<|end|><assistant>");
    assert_true(p.rows[2].key == 2);
    json_decref(messages);
    gw_prompts_free(&p);
}

static void the_hash_sees_every_member(void **state) {
    static const char *const others[] = {
        "{\"ids\":[1,2],\"id\":\"a\",\"max_tokens\":5,\"m\":1}\n{\"ids\":[4]}\n",
        "{\"ids\":[1,3],\"id\":\"a\",\"max_tokens\":5,\"m\":1}\n{\"ids\":[3]}\n",
        "{\"ids\":[1,2],\"id\":\"b\",\"max_tokens\":5,\"m\":1}\n{\"ids\":[3]}\n",
        "{\"ids\":[1,2],\"id\":\"a\",\"max_tokens\":6,\"m\":1}\n{\"ids\":[3]}\n",
        "{\"ids\":[1,2],\"id\":\"a\",\"max_tokens\":5,\"m\":2}\n{\"ids\":[3]}\n",
        "{\"ids\":[1,2],\"id\":\"a\",\"max_tokens\":5,\"m\":1}\n",
    };
    (void)state;
    struct gw_prompt_opts o = options();
    struct gw_prompts p;
    read_ok("{\"ids\":[1,2],\"id\":\"a\",\"max_tokens\":5,\"m\":1}\n{\"ids\":[3]}\n", &o, &p);
    uint64_t hash = gw_prompts_hash(&p);
    gw_prompts_free(&p);
    for (size_t i = 0; i < GW_ARRAY_LEN(others); i++) {
        read_ok(others[i], &o, &p);
        assert_true(gw_prompts_hash(&p) != hash);
        gw_prompts_free(&p);
    }
    read_ok("{\"m\":1,\"max_tokens\":5,\"id\":\"a\",\"ids\":[1, 2]}\n{\"ids\":[3]}", &o, &p);
    assert_true(gw_prompts_hash(&p) == hash);
    gw_prompts_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_to_give_a_prompt),
        cmocka_unit_test(keys_ids_and_limits),
        cmocka_unit_test(meta_is_passed_on_unchanged),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(prompts_beyond_the_context),
        cmocka_unit_test(ids_beyond_the_vocabulary),
        cmocka_unit_test(without_tokenizer_or_template),
        cmocka_unit_test(single_texts_and_conversations),
        cmocka_unit_test(the_hash_sees_every_member),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

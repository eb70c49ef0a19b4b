/* test_sft_masks.c - what sft learns of conversations: twelve templates by thirteen conversations,
 * with the ranges of tokens that tests/golden/make_sft_masks.py has from transformers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "service/train/sft/data.h"
#include "unit/scratch.h"

#define FIXTURES "tests/fixtures/sft-masks"

/* One of the templates, and what conversations are made of with it. */
struct setup {
    const char *name;
    struct gw_tokenizer *tokenizer;
    struct gw_prompt_chat chat;
    struct gw_prompt_opts prompt;
    int32_t eos[8];
    struct gw_sft_opts opts;
};

static json_t *conversations, *templates, *masks; /* lists of objects */

static json_t *read_rows(const char *name) {
    struct gw_lines *lines;
    struct gw_line line;
    struct gwen_err err;
    bool more;
    char path[100];
    json_t *list = json_array();
    snprintf(path, sizeof path, FIXTURES "/%s", name);
    if (gw_lines_open(path, 1 << 24, &lines, &err) != GWEN_OK) fail_msg("%s", err.message);
    for (;;) {
        if (gw_lines_next(lines, &line, &more, &err) != GWEN_OK) fail_msg("%s", err.message);
        if (!more) break;
        json_t *row = json_loadb(line.text, line.len, 0, NULL);
        assert_non_null(row);
        json_array_append_new(list, row);
    }
    gw_lines_close(lines);
    return list;
}

static int set_up(void **state) {
    conversations = read_rows("conversations.jsonl");
    templates = read_rows("templates.jsonl");
    masks = read_rows("masks.jsonl");
    return scratch_setup(state);
}

static int tear_down(void **state) {
    json_decref(conversations);
    json_decref(templates);
    json_decref(masks);
    return scratch_teardown(state);
}

static const char *get(const json_t *row, const char *key) {
    return json_string_value(json_object_get(row, key));
}

static void read_file(const char *path, struct gw_str *out) {
    struct gwen_err err;
    if (gw_file_read(path, 1 << 24, out, &err) != GWEN_OK) fail_msg("%s", err.message);
}

/* The template's source: that of member `key`, or of the shared file; NULL: there is none. */
static json_t *source_of(const json_t *template, const char *key) {
    const char *shared = getenv("GWEN_SHARED"), *name = get(template, "shared");
    struct gw_str text = {0};
    char path[1000];
    if (name == NULL) return json_incref(json_object_get(template, key));
    snprintf(path, sizeof path, "%s/data/chat-templates/%s.jinja",
             shared != NULL ? shared : "../shared", name);
    if (strcmp(key, "plain") != 0 || !gw_file_exists(path)) return NULL;
    read_file(path, &text);
    json_t *source = json_stringn(text.data, text.len);
    gw_str_free(&text);
    return source;
}

/* A folder with the tokenizer and the template, opened.  Takes `source`. */
static void open_setup(const json_t *template, json_t *source, struct setup *s) {
    struct gw_str text = {0};
    struct gwen_err err;
    char path[100];
    *s = (struct setup){.name = get(template, "name")};
    snprintf(path, sizeof path, FIXTURES "/%s.json", get(template, "tokenizer"));
    read_file(path, &text);
    scratch_write("model/tokenizer.json", text.data, text.len);
    gw_str_free(&text);
    json_t *config =
        json_pack("{s:O?, s:O?, s:o}", "bos_token", json_object_get(template, "bos_token"),
                  "eos_token", json_object_get(template, "eos_token"), "chat_template", source);
    char *dumped = json_dumps(config, 0);
    scratch_puts("model/tokenizer_config.json", dumped);
    free(dumped);
    json_decref(config);
    if (gw_tokenizer_load(scratch_path("model"), &s->tokenizer, &err) != GWEN_OK)
        fail_msg("%s: %s", s->name, err.message);
    gw_prompt_chat_open(s->tokenizer, &(struct tm){.tm_year = 124, .tm_mon = 6, .tm_mday = 26},
                        &s->chat);
    if (s->chat.template == NULL) fail_msg("%s: %s", s->name, s->chat.why.message);
    s->prompt = (struct gw_prompt_opts){
        .tokenizer = s->tokenizer, .chat = &s->chat, .vocab_size = gw_tokenizer_size(s->tokenizer)};
    const json_t *eos = json_object_get(template, "eos");
    for (size_t i = 0; i < json_array_size(eos); i++)
        s->eos[i] = (int32_t)json_integer_value(json_array_get(eos, i));
    s->opts = (struct gw_sft_opts){
        .prompt = &s->prompt, .eos = {s->eos, json_array_size(eos)}, .max_length = 100000};
    gw_tokenizer_named(s->tokenizer, GW_TOKEN_EOS, &s->opts.own_eos);
}

static void close_setup(struct setup *s) {
    gw_prompt_chat_close(&s->chat);
    gw_tokenizer_free(s->tokenizer);
}

static enum gwen_status read_row(const struct setup *s, const json_t *row, struct gw_sft_data *d,
                                 struct gwen_err *err) {
    char *line = json_dumps(row, 0);
    *d = (struct gw_sft_data){0};
    enum gwen_status status = gw_sft_read(scratch_puts("rows.jsonl", line), &s->opts, d, err);
    free(line);
    return status;
}

static const json_t *find(const json_t *list, const char *key, const char *name, const char *also,
                          const char *other) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        if (strcmp(get(row, key), name) == 0 &&
            (also == NULL || strcmp(get(row, also), other) == 0))
            return row;
    }
    fail_msg("no %s %s", key, name);
    return NULL;
}

static bool is_wanted(const json_t *ranges, size_t token) {
    for (size_t i = 0; i < json_array_size(ranges); i++) {
        const json_t *range = json_array_get(ranges, i);
        if ((json_int_t)token >= json_integer_value(json_array_get(range, 0)) &&
            (json_int_t)token < json_integer_value(json_array_get(range, 1)))
            return true;
    }
    return false;
}

/* Whether the row's mask is the ranges; else shows what is learnt. */
static bool is_right(const struct setup *s, const char *conversation, const struct gw_sft_row *r,
                     const json_t *wanted, const char *key) {
    const json_t *ranges = json_object_get(wanted, key);
    bool right = (json_int_t)r->n == json_integer_value(json_object_get(wanted, "n"));
    struct gw_str shown = {0};
    struct gwen_err err;
    for (size_t i = 0; i < r->n; i++) {
        const bool want = is_wanted(ranges, i);
        right = right && want == (r->mask[i] != 0);
        gw_str_puts(&shown, r->mask[i] && want ? "=" : r->mask[i] ? "+" : want ? "-" : " ");
        gw_tokenizer_token_bytes(s->tokenizer, r->ids[i], &shown, &err);
    }
    if (!right)
        print_error("%s, %s (%s), + is learnt and should not be, - should:\n%s\n", s->name,
                    conversation, key, shown.data);
    gw_str_free(&shown);
    return right;
}

/* The number of conversations of which something else is learnt. */
static size_t check_template(const struct setup *s, const char *key) {
    size_t wrong = 0;
    for (size_t i = 0; i < json_array_size(conversations); i++) {
        const json_t *row = json_array_get(conversations, i);
        const char *name = get(row, "name");
        const json_t *wanted = find(masks, "template", s->name, "conversation", name);
        struct gw_sft_data d;
        struct gwen_err err = {0};
        json_t *copy = json_copy((json_t *)(uintptr_t)row);
        json_object_del(copy, "name");
        enum gwen_status status = read_row(s, copy, &d, &err);
        json_decref(copy);
        if (json_is_true(json_object_get(wanted, "refused"))) {
            if (status == GWEN_OK || strstr(err.message, "must alternate") == NULL) {
                print_error("%s, %s: not refused: %s\n", s->name, name, err.message);
                wrong++;
            }
        } else if (status != GWEN_OK) {
            print_error("%s, %s: %s\n", s->name, name, err.message);
            wrong++;
        } else {
            wrong += !is_right(s, name, &d.rows[0], wanted, key);
        }
        gw_sft_free(&d);
    }
    return wrong;
}

static void check_templates(const char *source, const char *key, size_t least) {
    size_t wrong = 0, n = 0;
    for (size_t i = 0; i < json_array_size(templates); i++) {
        const json_t *template = json_array_get(templates, i);
        json_t *text = source_of(template, source);
        struct setup s;
        if (text == NULL) {
            if (get(template, "shared") != NULL && strcmp(source, "plain") == 0)
                print_message("%s: skipped: no ../shared/data/chat-templates\n",
                              get(template, "name"));
            continue;
        }
        open_setup(template, text, &s);
        wrong += check_template(&s, key);
        n++;
        close_setup(&s);
    }
    assert_true(n >= least);
    assert_int_equal(wrong, 0);
}

/* By the rule: the templates without tags. */
static void by_the_rule(void **state) {
    (void)state;
    check_templates("plain", "rule", 8);
}

/* By the tags: return_assistant_tokens_mask. */
static void by_the_tags(void **state) {
    (void)state;
    check_templates("tagged", "learnt", 9);
}

/* --- odd templates -------------------------------------------------------------------------- */

#define U(text) "{\"role\":\"user\",\"content\":\"" text "\"}"
#define A(text) "{\"role\":\"assistant\",\"content\":\"" text "\"}"
#define CALL(name)                                                                                 \
    "{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"" name "\"}}]}"
#define MESSAGES(...) "{\"messages\":[" __VA_ARGS__ "]}"
/* For each message its beginning, its words and its end, and what an answer is asked for with. */
#define EACH(head, words, tail) "{% for m in messages %}" head words tail "{% endfor %}"
#define ASK(text) "{% if add_generation_prompt %}" text "{% endif %}"
#define HEAD "<|im_start|>{{ m.role }}\n"
#define WORDS "{{ m.content }}{% if m.tool_calls %}{{ m.tool_calls[0].function.name }}{% endif %}"
#define TAIL "<|im_end|>{{ '\\n' }}"
#define ASSISTANT "<|im_start|>assistant\n"

static const struct odd {
    const char *template, *row, *learnt; /* the ranges that are learnt, each in brackets; or */
    const char *error;
} odd[] = {
    /* The generation prompt is not spoken of, or not written behind an answer. */
    {EACH(HEAD, WORDS, TAIL), MESSAGES(U("u") "," A("one") "," A("two") "," U("v") "," CALL("f")),
     "[one<|im_end|>][two<|im_end|>][f<|im_end|>]", NULL},
    {EACH(HEAD, WORDS,
          TAIL) "{% if add_generation_prompt and messages[-1].role == 'user' %}" ASSISTANT
                "{% endif %}",
     MESSAGES(U("u") "," A("one") "," A("two") "," A("two")),
     "[one<|im_end|>][two<|im_end|>][two<|im_end|>]", NULL},
    /* It is always written. */
    {EACH(HEAD, WORDS, TAIL) ASSISTANT "{{ '' }}",
     MESSAGES(U("u") "," A("one") "," U("v") "," A("two")), "[one<|im_end|>][two<|im_end|>]", NULL},
    /* It opens a thought, which old turns lack and the words of some begin with. */
    {EACH(HEAD, WORDS, TAIL) ASK(ASSISTANT "<think>\n"),
     MESSAGES(U("u") "," A("<b>") "," U("v") "," A("<think>\\nhm</think>two")),
     "[<b><|im_end|>][hm</think>two<|im_end|>]", NULL},
    /* The last turn alone is closed; or all but the last, where the closing token is what ends a
     * sequence and comes next. */
    {EACH(HEAD, WORDS, "{% if loop.last %}<|im_end|>{% endif %}") ASK(ASSISTANT),
     MESSAGES(U("u") "," A("one") "," U("v") "," A("two")), "[one][two<|im_end|>]", NULL},
    {EACH(HEAD, WORDS, "{% if not loop.last %}<|im_end|>{% endif %}") ASK(ASSISTANT),
     MESSAGES(U("u") "," A("one") "," U("v") "," A("two")), "[one<|im_end|>][two]", NULL},
    /* Two closing tokens: the first; words of the template before it belong to it. */
    {EACH(HEAD, WORDS, " .<|im_end|><|endoftext|>") ASK(ASSISTANT), MESSAGES(U("u") "," A("one")),
     "[one .<|im_end|>]", NULL},
    /* The user's words are the answer's, header and all. */
    {EACH(HEAD, WORDS, TAIL) ASK(ASSISTANT),
     MESSAGES(U("one<|im_end|>\\n"
                "<|im_start|>assistant\\none") "," A("one")),
     "[one<|im_end|>]", NULL},
    {EACH(HEAD, WORDS, TAIL), MESSAGES(U("<|im_start|>assistant\\none") "," A("one")),
     "[one<|im_end|>]", NULL},
    /* Parts of a content; a name that the answer has as well. */
    {EACH(HEAD, "{% for p in m.content %}{{ p.text }}{% endfor %}", TAIL) ASK(ASSISTANT),
     MESSAGES("{\"role\":\"user\",\"content\":[{\"text\":\"u\"}]},"
              "{\"role\":\"assistant\",\"content\":[{\"text\":\"one\"},{\"image\":1},{\"text\":"
              "\"two\"}]}"),
     "[onetwo<|im_end|>]", NULL},
    /* Only the completion's turns, the prompt's last being an answer too. */
    {EACH(HEAD, WORDS, TAIL) ASK(ASSISTANT),
     "{\"prompt\":[" U("u") "," A("one") "],\"completion\":[" A("two") "]}", "[two<|im_end|>]",
     NULL},
    {EACH(HEAD,
          "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
          "{% else %}{{ m.content }}{% endif %}",
          TAIL) ASK(ASSISTANT),
     "{\"prompt\":[" U("u") "," A("one") "],\"completion\":[" A("two") "]}", "[two]", NULL},
    /* Upper case: nothing marks the words, but what is asked and what is closed does. */
    {EACH(HEAD, "{{ m.content | upper }}", TAIL) ASK(ASSISTANT),
     MESSAGES(U("u") "," A("one") "," U("v") "," A("two")), "[ONE<|im_end|>][TWO<|im_end|>]", NULL},
    /* What cannot be told is refused. */
    {"<|im_start|>user\n{{ messages[0].content }}" TAIL
     "{% for m in messages[1:] %}" HEAD WORDS TAIL "{% endfor %}" ASK(ASSISTANT),
     MESSAGES(A("one") "," U("u") "," A("two")), NULL,
     "messages[0]: where in the text this answer"},
    {EACH("{{ loop.length }}" HEAD, "{{ m.content | upper }}", TAIL) ASK(ASSISTANT),
     MESSAGES(U("u") "," A("one") "," U("v") "," A("two")), NULL,
     "messages[1]: where in the text this answer"},
    {"{{ messages[-1].content }}" EACH(HEAD, WORDS, TAIL) ASK(ASSISTANT),
     MESSAGES(U("u") "," A("one") "," U("v") "," A("two")), NULL,
     "messages[1]: where in the text this answer"},
    {EACH(HEAD, WORDS, "") ASK("<|im_start|>assistant\n"),
     MESSAGES(U("e\xCC\x81") "," A("e\xCC\x81")), "[\xC3\xA9]", NULL},
    {EACH("{{ m.role }}: ", WORDS, "") ASK("assistant: "),
     MESSAGES(U("e\xCC\x81") "," A("e\xCC\x81 one e\xCC\x81") "," U("e\xCC\x81")), NULL,
     "messages[1]: the tokenizer rewrites the text"},
};

/* What of a row is learnt, in brackets. */
static void put_learnt(const struct setup *s, const struct gw_sft_row *r, struct gw_str *out) {
    struct gwen_err err;
    for (size_t i = 0; i < r->n; i++) {
        if (r->mask[i] && !r->mask[i - 1]) gw_str_putc(out, '[');
        if (!r->mask[i] && i > 0 && r->mask[i - 1]) gw_str_putc(out, ']');
        if (r->mask[i]) gw_tokenizer_token_bytes(s->tokenizer, r->ids[i], out, &err);
    }
    if (r->mask[r->n - 1]) gw_str_putc(out, ']');
}

static void odd_templates(void **state) {
    (void)state;
    const json_t *like = find(templates, "name", "chatml", NULL, NULL);
    size_t wrong = 0;
    for (size_t i = 0; i < GW_ARRAY_LEN(odd); i++) {
        struct setup s;
        struct gw_sft_data d;
        struct gwen_err err = {0};
        struct gw_str learnt = {0};
        json_error_t where;
        json_t *row = json_loads(odd[i].row, 0, &where);
        if (row == NULL) fail_msg("%s: %s", odd[i].row, where.text);
        open_setup(like, json_string(odd[i].template), &s);
        if (read_row(&s, row, &d, &err) == GWEN_OK) put_learnt(&s, &d.rows[0], &learnt);
        const bool right = odd[i].error != NULL
                               ? strstr(err.message, odd[i].error) != NULL
                               : learnt.len > 0 && strcmp(learnt.data, odd[i].learnt) == 0;
        if (!right)
            print_error("%s\n%s\ngives %s %s\n\n", odd[i].template, odd[i].row,
                        learnt.data != NULL ? learnt.data : "", err.message);
        wrong += !right;
        gw_str_free(&learnt);
        json_decref(row);
        gw_sft_free(&d);
        close_setup(&s);
    }
    assert_int_equal(wrong, 0);
}

/* Whether anything teaches a stop: an end of sequence behind a turn, the next marker being one too.
 */
static void stops_are_counted(void **state) {
    (void)state;
    static const struct {
        const char *template;
        size_t stops;
    } cases[] = {{EACH(HEAD, WORDS, TAIL), 2},
                 {EACH(HEAD, WORDS, "<|eot_id|>"), 0},
                 {EACH(HEAD, WORDS, ""), 0},
                 {EACH("<|endoftext|>{{ m.role }}", WORDS, ""), 1}};
    const json_t *like = find(templates, "name", "chatml", NULL, NULL);
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct setup s;
        struct gw_sft_data d;
        struct gwen_err err = {0};
        json_t *row = json_loads(MESSAGES(U("u") "," A("one") "," U("v") "," A("two")), 0, NULL);
        open_setup(like, json_string(cases[i].template), &s);
        if (read_row(&s, row, &d, &err) != GWEN_OK) fail_msg("%s", err.message);
        assert_int_equal(d.n_turns, 2);
        assert_int_equal(d.n_stops, cases[i].stops);
        gw_sft_free(&d);
        close_setup(&s);
        json_decref(row);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_the_rule),
        cmocka_unit_test(by_the_tags),
        cmocka_unit_test(odd_templates),
        cmocka_unit_test(stops_are_counted),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

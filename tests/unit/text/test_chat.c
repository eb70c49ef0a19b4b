/* test_chat.c - chat templates as apply_chat_template() renders them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/chat.h"
#include "unit/jinja_rows.h"

static const struct tm NOW = {.tm_year = 124, .tm_mon = 6, .tm_mday = 26, .tm_hour = 13};

static json_t *parse_json(const char *text) {
    json_error_t error;
    json_t *v = json_loads(text, JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
    if (v == NULL) fail_msg("%s: %s", text, error.text);
    return v;
}

/* Renders, and checks that the request is left alone. */
static enum gwen_status render(const char *src, size_t len, json_t *request,
                               const struct gw_chat_env *env, struct gw_str *out,
                               struct gwen_err *err) {
    struct gw_chat *chat;
    json_t *before = json_deep_copy(request);
    enum gwen_status status = gw_chat_parse(src, len, "chat template", &chat, err);
    if (status == GWEN_OK) status = gw_chat_render(chat, request, env, out, err);
    gw_chat_free(chat);
    assert_true(json_equal(before, request));
    json_decref(before);
    return status;
}

/* --- the fixture ---------------------------------------------------------------------------- */

struct fixture {
    json_t *messages, *kwargs, *templates; /* by name */
};

static json_t *template_of(struct fixture *f, const char *name) {
    json_t *t = json_object_get(f->templates, name);
    if (t != NULL) return t;
    char path[128];
    struct gw_str text = {0};
    snprintf(path, sizeof path, "templates/%s", name);
    jinja_file(path, &text);
    json_object_set_new(f->templates, name, json_stringn(text.data, text.len));
    gw_str_free(&text);
    return json_object_get(f->templates, name);
}

static const char *kwargs_key(const json_t *index) {
    static char key[24];
    snprintf(key, sizeof key, "%lld", (long long)json_integer_value(index));
    return key;
}

static bool run_row(json_t *row, void *ctx) {
    struct fixture *f = ctx;
    json_t *messages = json_object_get(row, "messages"), *kwargs = json_object_get(row, "kwargs");
    json_t *value = json_object_get(row, "value");
    if (messages != NULL)
        return json_object_set(f->messages, json_string_value(messages), value) == 0;
    if (kwargs != NULL) return json_object_set(f->kwargs, kwargs_key(kwargs), value) == 0;

    const char *name = json_string_value(json_object_get(row, "m"));
    json_t *request = json_incref(json_object_get(row, "request"));
    if (name != NULL) {
        request = json_copy(json_object_get(f->kwargs, kwargs_key(json_object_get(row, "k"))));
        json_object_set(request, "messages", json_object_get(f->messages, name));
    }
    struct gw_chat_env env = {.now = NOW};
    if (json_is_true(json_object_get(row, "tokens"))) {
        env.bos_token = "<s>";
        env.eos_token = "</s>";
    }
    json_t *t = template_of(f, json_string_value(json_object_get(row, "template")));
    struct gw_str out = {0};
    struct gwen_err err = {0};
    enum gwen_status status =
        render(json_string_value(t), json_string_length(t), request, &env, &out, &err);
    bool ok = jinja_row_matches(row, status, &out, &err);
    gw_str_free(&out);
    json_decref(request);
    return ok;
}

static void conversations(void **state) {
    (void)state;
    struct fixture f = {json_object(), json_object(), json_object()};
    jinja_rows("chat.jsonl", 1200, run_row, &f);
    assert_true(json_object_size(f.templates) >= 14);
    json_decref(f.messages);
    json_decref(f.kwargs);
    json_decref(f.templates);
}

/* --- single things -------------------------------------------------------------------------- */

static void gives(const char *src, const char *request, const char *text) {
    struct gw_chat_env env = {.now = NOW, .bos_token = "<s>"};
    struct gw_str out = {0};
    struct gwen_err err = {0};
    json_t *r = parse_json(request);
    if (render(src, strlen(src), r, &env, &out, &err) != GWEN_OK)
        fail_msg("%s: %s", request, err.message);
    assert_string_equal(out.data != NULL ? out.data : "", text);
    gw_str_free(&out);
    json_decref(r);
}

static void fails(const char *src, const char *request, enum gwen_status wanted,
                  const char *message) {
    struct gw_chat_env env = {.now = NOW};
    struct gw_str out = {0};
    struct gwen_err err = {0};
    json_t *r = parse_json(request);
    gw_str_puts(&out, "kept");
    enum gwen_status status = render(src, strlen(src), r, &env, &out, &err);
    if (status != wanted || strncmp(err.message, message, strlen(message)) != 0)
        fail_msg("%s: status %d, message \"%s\"", request, status, err.message);
    assert_string_equal(out.data, "kept");
    gw_str_free(&out);
    json_decref(r);
}

#define USER "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]"

static void variables(void **state) {
    (void)state;
    gives("{{ tools is none }} {{ documents is none }} {{ add_generation_prompt }}", USER "}",
          "True True False");
    gives("{{ bos_token }}{{ eos_token is defined }}{{ pad_token is defined }}", USER "}",
          "<s>FalseFalse");
    gives("{{ bos_token }}", USER ",\"bos_token\":\"<b>\"}", "<b>");
    gives("{{ a }}{{ b.c }}{{ enable_thinking }}",
          USER ",\"a\":1.0,\"b\":{\"c\":[1,null]},\"enable_thinking\":false}", "1.0[1, None]False");
    gives("{{ a }}{{ b }}{{ chat_template_kwargs is defined }}",
          USER ",\"a\":1,\"chat_template_kwargs\":{\"a\":2,\"b\":3}}", "23False");
    gives("{{ add_generation_prompt }}",
          USER ",\"chat_template_kwargs\":{\"add_generation_prompt\":true}}", "True");
    gives("{{ tokenize is defined }}{{ max_length is defined }}{{ continue_final_message is "
          "defined }}",
          USER ",\"tokenize\":true,\"max_length\":3,\"continue_final_message\":false}",
          "FalseFalseFalse");
    gives("{{ strftime_now('%d %b %Y') }}", USER "}", "26 Jul 2024");
}

static void null_members_are_left_out(void **state) {
    (void)state;
    gives("{{ messages }}", "{\"messages\":[{\"role\":\"a\",\"content\":null,\"x\":{\"y\":null}}]}",
          "[{'role': 'a', 'x': {'y': None}}]");
}

static void reasoning_has_all_names(void **state) {
    (void)state;
    gives("{{ messages[0] }}", "{\"messages\":[{\"role\":\"a\",\"reasoning\":\"r\"}]}",
          "{'thinking': 'r', 'role': 'a', 'reasoning': 'r', 'reasoning_content': 'r'}");
    gives("{{ messages[0] }}",
          "{\"messages\":[{\"role\":\"a\",\"thinking\":\"t\",\"reasoning_content\":null}]}",
          "{'thinking': 't', 'role': 'a', 'reasoning_content': 't'}");
}

static void final_message_is_continued(void **state) {
    (void)state;
    static const char plain[] = "{% for m in messages %}[{{ m.content }}]{% endfor %}";
    static const char trims[] = "{% for m in messages %}[{{ m.content|trim }}]{% endfor %}";
#define GO_ON(content)                                                                             \
    "{\"messages\":[{\"role\":\"a\",\"content\":" content "}],"                                    \
    "\"continue_final_message\":true}"
    gives(plain, GO_ON("\" x \""), "[ x ");
    gives(trims, GO_ON("\" x \\n\""), "[x");
    gives(plain, GO_ON("\"\""), "[");
    gives(plain, GO_ON("\"]CONTINUE_FINAL_MESSAGE_TAG\""), "[]CONTINUE_FINAL_MESSAGE_TAG");
    gives("{% for m in messages %}{% for p in m.content %}<{{ p.text }}>{% endfor %}{% endfor %}",
          GO_ON("[{\"text\":\"a\"},{\"text\":\"b \"},{\"image\":1}]"), "<a><b ");
    gives("{{ messages[0].reasoning_content }};{{ messages[0].content }}",
          "{\"messages\":[{\"role\":\"a\",\"content\":\"c\",\"thinking\":\"t\"}],"
          "\"continue_final_message\":\"thinking\"}",
          "t");
    fails("{{ messages[0].content[:2] }}", GO_ON("\"abc\""), GWEN_ERR_ARGUMENT,
          "chat template: continue_final_message is set but the final message does not appear");
    fails(plain, GO_ON("null"), GWEN_ERR_ARGUMENT,
          "chat template: continue_final_message is set but the final message has no \"content\"");
    fails(plain, GO_ON("5"), GWEN_ERR_ARGUMENT,
          "chat template: continue_final_message is set but the final message's \"content\" is no");
    fails(plain, GO_ON("[{\"image\":1}]"), GWEN_ERR_ARGUMENT,
          "chat template: continue_final_message is set but there is no text to continue");
    fails("{{ messages }}", GO_ON("\"x\""), GWEN_ERR_ARGUMENT,
          "chat template: continue_final_message is set to \"content\", which the template");
    fails(plain, USER ",\"continue_final_message\":true,\"add_generation_prompt\":true}",
          GWEN_ERR_ARGUMENT, "chat template: continue_final_message and add_generation_prompt");
}

static void bad_requests(void **state) {
    (void)state;
    static const char t[] = "{{ messages }}";
    fails(t, "{}", GWEN_ERR_ARGUMENT, "chat template: \"messages\" must be a list");
    fails(t, "{\"messages\":{}}", GWEN_ERR_ARGUMENT, "chat template: \"messages\" must be a list");
    fails(t, "{\"messages\":[]}", GWEN_ERR_ARGUMENT, "chat template: \"messages\" is empty");
    fails(t, "{\"messages\":[{},1]}", GWEN_ERR_ARGUMENT,
          "chat template: messages[1] is not an object");
    fails(t, USER ",\"tools\":{}}", GWEN_ERR_ARGUMENT, "chat template: \"tools\" must be a list");
    fails(t, USER ",\"documents\":[1]}", GWEN_ERR_ARGUMENT,
          "chat template: \"documents\" must be a list");
    fails(t, USER ",\"chat_template_kwargs\":[]}", GWEN_ERR_ARGUMENT,
          "chat template: \"chat_template_kwargs\" must be an object");
    fails(t, USER ",\"chat_template\":\"x\"}", GWEN_ERR_UNSUPPORTED,
          "chat template: \"chat_template\" in a request is not supported");
    fails(t, USER ",\"sanitize_control_tokens\":true}", GWEN_ERR_UNSUPPORTED,
          "chat template: \"sanitize_control_tokens\" in a request is not supported");
    fails("\n{{ raise_exception('no ' ~ messages[0].role) }}", USER "}", GWEN_ERR_ARGUMENT,
          "chat template line 2: no user");
    fails("{% if %}", USER "}", GWEN_ERR_FORMAT, "chat template line 1: ");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conversations),
        cmocka_unit_test(variables),
        cmocka_unit_test(null_members_are_left_out),
        cmocka_unit_test(reasoning_has_all_names),
        cmocka_unit_test(final_message_is_continued),
        cmocka_unit_test(bad_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

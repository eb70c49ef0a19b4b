/* chat.c - apply_chat_template() of transformers 5: its checks, what it does to the messages
 * before and to the text after the template, and the variables that it gives the template. */
#include "text/chat.h"

#include "text/jinja/jinja.h"
#include "text/jinja/text.h"

#include <stdlib.h>
#include <string.h>

struct gw_chat {
    struct gw_jinja *jinja;
    char *name, *source; /* the source is searched for the name of the field to continue */
    size_t source_len;
};

/* Put behind the message to continue, so that its end is found in the rendered text. */
static const char tag[] = "CONTINUE_FINAL_MESSAGE_TAG ";
enum { TAG_LEN = sizeof tag - 1, TAG_STRIPPED = sizeof tag - 2 };

/* Names a message's reasoning is passed under; the first is the one that templates read. */
static const char *const reasoning_fields[] = {"reasoning_content", "thinking", "reasoning"};

enum gwen_status gw_chat_parse(const char *src, size_t len, const char *name, struct gw_chat **out,
                               struct gwen_err *err) {
    *out = NULL;
    struct gw_chat *t = calloc(1, sizeof *t);
    if (t == NULL) return gw_nomem(err, sizeof *t, "a chat template");
    enum gwen_status status = gw_jinja_parse(src, len, name, &t->jinja, err);
    if (status != GWEN_OK) {
        gw_chat_free(t);
        return status;
    }
    t->name = strdup(name);
    t->source = malloc(len + 1);
    if (t->name == NULL || t->source == NULL) {
        gw_chat_free(t);
        return gw_nomem(err, len, "a chat template");
    }
    if (len > 0) memcpy(t->source, src, len);
    t->source_len = len;
    *out = t;
    return GWEN_OK;
}

void gw_chat_free(struct gw_chat *t) {
    if (t == NULL) return;
    gw_jinja_free(t->jinja);
    free(t->name);
    free(t->source);
    free(t);
}

/* --- JSON helpers: a failed allocation is a NULL, which Jansson's functions pass on --------- */

/* Iterates over `object` (const or not), which Jansson does not change by that. */
#define EACH_MEMBER(object, it)                                                                    \
    for (void *it = json_object_iter((json_t *)(uintptr_t)(object)); it != NULL;                   \
         it = json_object_iter_next((json_t *)(uintptr_t)(object), it))

static int put(json_t *object, const char *key, size_t key_len, const json_t *value) {
    return json_object_setn(object, key, key_len, (json_t *)(uintptr_t)value);
}

static int put_member(json_t *object, void *it) {
    return put(object, json_object_iter_key(it), json_object_iter_key_len(it),
               json_object_iter_value(it));
}

static bool is_text(const json_t *v) { return json_is_string(v); }

/* --- the messages --------------------------------------------------------------------------- */

/* The reasoning of a message under whichever name it has; NULL: none. */
static const json_t *reasoning_of(const json_t *message) {
    for (size_t i = 0; i < GW_ARRAY_LEN(reasoning_fields); i++) {
        const json_t *v = json_object_get(message, reasoning_fields[i]);
        if (v != NULL && !json_is_null(v)) return v;
    }
    return NULL;
}

/* A copy of the message without its null members, and with its reasoning under the names that
 * templates look for.  The order of members is that of Python's {"thinking": r, **message,
 * "reasoning_content": r}. */
static json_t *copy_message(const json_t *message) {
    json_t *copy = json_object();
    const json_t *reasoning = reasoning_of(message);
    int failed = copy == NULL;
    if (reasoning != NULL) failed |= put(copy, "thinking", 8, reasoning);
    EACH_MEMBER(message, it) {
        if (!json_is_null(json_object_iter_value(it))) failed |= put_member(copy, it);
    }
    if (reasoning != NULL) failed |= put(copy, "reasoning_content", 17, reasoning);
    if (!failed) return copy;
    json_decref(copy);
    return NULL;
}

static enum gwen_status copy_messages(const struct gw_chat *t, const json_t *messages, json_t **out,
                                      struct gwen_err *err) {
    size_t n = json_array_size(messages);
    if (!json_is_array(messages))
        return gw_fail(err, GWEN_ERR_ARGUMENT, "%s: \"messages\" must be a list of objects",
                       t->name);
    if (n == 0)
        return gw_fail(err, GWEN_ERR_ARGUMENT, "%s: \"messages\" is empty; at least one is needed",
                       t->name);
    json_t *copy = json_array();
    for (size_t i = 0; i < n && copy != NULL; i++) {
        const json_t *message = json_array_get(messages, i);
        if (!json_is_object(message)) {
            json_decref(copy);
            return gw_fail(err, GWEN_ERR_ARGUMENT, "%s: messages[%zu] is not an object", t->name,
                           i);
        }
        json_t *m = copy_message(message);
        if (m != NULL && json_array_append_new(copy, m) == 0) continue;
        json_decref(copy);
        copy = NULL;
    }
    if (copy == NULL) return gw_nomem(err, n * sizeof(json_t), "the messages");
    *out = copy;
    return GWEN_OK;
}

/* --- continue_final_message ----------------------------------------------------------------- */

/* What is to be continued. */
struct continuation {
    const char *field; /* NULL: nothing */
    const char *text;  /* the final message's, of the request */
    size_t len;
};

/* text + tag */
static json_t *tagged(const json_t *text) {
    struct gw_str s = {0};
    gw_str_put(&s, json_string_value(text), json_string_length(text));
    gw_str_put(&s, tag, TAG_LEN);
    json_t *v = s.failed ? NULL : json_stringn(s.data, s.len);
    gw_str_free(&s);
    return v;
}

/* Tags the last part with a "text" of a message that is a list of parts. */
static enum gwen_status tag_parts(const struct gw_chat *t, json_t *message, struct continuation *c,
                                  const json_t *parts, struct gwen_err *err) {
    size_t i = json_array_size(parts);
    const json_t *part = NULL, *text = NULL;
    while (text == NULL && i > 0) {
        part = json_array_get(parts, --i);
        if (json_is_object(part)) text = json_object_get(part, "text");
    }
    if (!is_text(text))
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "%s: continue_final_message is set but there is no text to continue in the "
                       "final message",
                       t->name);
    c->text = json_string_value(text);
    c->len = json_string_length(text);
    json_t *new_parts = json_copy((json_t *)(uintptr_t)parts);
    json_t *new_part = json_copy((json_t *)(uintptr_t)part);
    int failed = new_parts == NULL || new_part == NULL ||
                 json_object_set_new(new_part, "text", tagged(text)) != 0 ||
                 json_array_set(new_parts, i, new_part) != 0 ||
                 json_object_set(message, c->field, new_parts) != 0;
    json_decref(new_part);
    json_decref(new_parts);
    return failed ? gw_nomem(err, c->len, "the final message") : GWEN_OK;
}

static bool is_reasoning_field(const char *field) {
    return gw_name_index(field, reasoning_fields, GW_ARRAY_LEN(reasoning_fields)) <
           GW_ARRAY_LEN(reasoning_fields);
}

/* Tags the field of the message in all copies that it has; `read` tells whether the template
 * speaks of one of them. */
static int tag_field(const struct gw_chat *t, json_t *message, const char *field,
                     const json_t *text, bool write, bool *read) {
    json_t *kept = json_incref((json_t *)(uintptr_t)text); /* is replaced in the message */
    bool reasoning = is_reasoning_field(field);
    int failed = 0;
    for (size_t i = 0; i < (reasoning ? GW_ARRAY_LEN(reasoning_fields) : 1); i++) {
        const char *name = reasoning ? reasoning_fields[i] : field;
        const json_t *v = json_object_get(message, name);
        if (reasoning && (v == NULL || !json_equal(v, kept))) continue;
        *read = *read || memmem(t->source, t->source_len, name, strlen(name)) != NULL;
        if (write) failed |= json_object_set_new(message, name, tagged(kept));
    }
    json_decref(kept);
    return failed;
}

static enum gwen_status tag_final_message(const struct gw_chat *t, json_t *messages,
                                          struct continuation *c, struct gwen_err *err) {
    json_t *message = json_array_get(messages, json_array_size(messages) - 1);
    const json_t *text = json_object_get(message, c->field);
    bool read = false;
    if (text == NULL)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "%s: continue_final_message is set but the final message has no \"%.100s\"",
                       t->name, c->field);
    tag_field(t, message, c->field, text, false, &read);
    if (!read)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "%s: continue_final_message is set to \"%.100s\", which the template does "
                       "not speak of",
                       t->name, c->field);
    if (json_is_array(text)) return tag_parts(t, message, c, text, err);
    if (!is_text(text))
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "%s: continue_final_message is set but the final message's \"%.100s\" is no "
                       "text",
                       t->name, c->field);
    c->text = json_string_value(text);
    c->len = json_string_length(text);
    if (tag_field(t, message, c->field, text, true, &read) != 0)
        return gw_nomem(err, c->len, "the final message");
    return GWEN_OK;
}

/* Cuts the rendered text s[0..*len) at the tag. */
static enum gwen_status cut_at_tag(const struct gw_chat *t, const struct continuation *c,
                                   const char *s, size_t *len, struct gwen_err *err) {
    const char *at = NULL;
    size_t from = 0, to = c->len;
    gw_j_strip(c->text, &from, &to, true, true);
    /* The last tag counts: the message may hold that text itself. */
    for (const char *p = s; (p = memmem(p, *len - (size_t)(p - s), tag, TAG_STRIPPED)) != NULL;
         p += TAG_STRIPPED)
        at = p;
    if (at == NULL || memmem(s, *len, c->text + from, to - from) == NULL)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "%s: continue_final_message is set but the final message does not appear in "
                       "the text; the template may delete parts of it",
                       t->name);
    bool kept = (size_t)(at - s) + TAG_LEN <= *len && at[TAG_STRIPPED] == ' ';
    *len = (size_t)(at - s);
    from = 0;
    if (!kept) gw_j_strip(s, &from, len, false, true); /* the template has trimmed the message */
    return GWEN_OK;
}

/* --- the request ---------------------------------------------------------------------------- */

/* Arguments of apply_chat_template() that are about the tokens. */
static bool concerns_tokens(const char *key) {
    static const char *const names[] = {"tokenize",
                                        "padding",
                                        "truncation",
                                        "max_length",
                                        "return_tensors",
                                        "return_dict",
                                        "return_assistant_tokens_mask",
                                        "tokenizer_kwargs"};
    return gw_name_index(key, names, GW_ARRAY_LEN(names)) < GW_ARRAY_LEN(names);
}

/* The variables: special tokens, then the request's members, then chat_template_kwargs. */
static json_t *collect_vars(const json_t *request, const struct gw_chat_env *env) {
    const struct {
        const char *name, *value;
    } tokens[] = {{"bos_token", env->bos_token},  {"eos_token", env->eos_token},
                  {"unk_token", env->unk_token},  {"sep_token", env->sep_token},
                  {"pad_token", env->pad_token},  {"cls_token", env->cls_token},
                  {"mask_token", env->mask_token}};
    const json_t *sources[] = {request, json_object_get(request, "chat_template_kwargs")};
    json_t *vars = json_object();
    int failed = vars == NULL;
    for (size_t i = 0; i < GW_ARRAY_LEN(tokens); i++)
        if (tokens[i].value != NULL)
            failed |= json_object_set_new(vars, tokens[i].name, json_string(tokens[i].value));
    failed |= json_object_set_new(vars, "tools", json_null());
    failed |= json_object_set_new(vars, "documents", json_null());
    failed |= json_object_set_new(vars, "add_generation_prompt", json_false());
    for (size_t i = 0; i < GW_ARRAY_LEN(sources); i++) {
        EACH_MEMBER(sources[i], it) {
            const char *key = json_object_iter_key(it);
            if (strcmp(key, "chat_template_kwargs") == 0 || concerns_tokens(key)) continue;
            failed |= put_member(vars, it);
        }
    }
    if (!failed) return vars;
    json_decref(vars);
    return NULL;
}

/* tools and documents: null or a list of objects. */
static enum gwen_status check_objects(const struct gw_chat *t, const json_t *vars, const char *key,
                                      struct gwen_err *err) {
    const json_t *list = json_object_get(vars, key);
    bool ok = json_is_null(list) || json_is_array(list);
    for (size_t i = 0; ok && i < json_array_size(list); i++)
        ok = json_is_object(json_array_get(list, i));
    if (ok) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_ARGUMENT, "%s: \"%s\" must be a list of objects or null", t->name,
                   key);
}

static bool is_true(const json_t *v) {
    if (json_is_string(v)) return json_string_length(v) > 0;
    return json_is_true(v) || json_integer_value(v) != 0;
}

/* Checks the variables, and takes those out that are not for the template. */
static enum gwen_status check_vars(const struct gw_chat *t, json_t *vars, struct continuation *c,
                                   json_t **keep, struct gwen_err *err) {
    static const char *const refused[] = {"chat_template", "sanitize_control_tokens"};
    for (size_t i = 0; i < GW_ARRAY_LEN(refused); i++) {
        const json_t *v = json_object_get(vars, refused[i]);
        if (v != NULL && !json_is_null(v) && !json_is_false(v))
            return gw_fail(err, GWEN_ERR_UNSUPPORTED, "%s: \"%s\" in a request is not supported",
                           t->name, refused[i]);
        json_object_del(vars, refused[i]);
    }
    GW_TRY(check_objects(t, vars, "tools", err));
    GW_TRY(check_objects(t, vars, "documents", err));
    *keep = json_incref(json_object_get(vars, "continue_final_message"));
    json_object_del(vars, "continue_final_message");
    if (!is_true(*keep)) return GWEN_OK;
    c->field = json_is_string(*keep) ? json_string_value(*keep) : "content";
    if (is_true(json_object_get(vars, "add_generation_prompt")))
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "%s: continue_final_message and add_generation_prompt exclude each other",
                       t->name);
    return GWEN_OK;
}

/* Renders with the variables, which this may change.  spans NULL: not asked for. */
static enum gwen_status render(const struct gw_chat *t, json_t *vars, const struct gw_chat_env *env,
                               struct continuation *c, struct gw_str *out,
                               struct gw_jinja_spans *spans, struct gwen_err *err) {
    json_t *messages = NULL;
    GW_TRY(copy_messages(t, json_object_get(vars, "messages"), &messages, err));
    enum gwen_status status = GWEN_OK;
    if (c->field != NULL) status = tag_final_message(t, messages, c, err);
    json_t *original = json_incref(json_object_get(vars, "messages")); /* holds c->text */
    if (json_object_set_new(vars, "messages", messages) != 0 && status == GWEN_OK)
        status = gw_nomem(err, sizeof(json_t), "the messages");
    struct gw_str text = {0};
    if (status == GWEN_OK && spans != NULL)
        status = gw_jinja_render_spans(t->jinja, vars, &env->now, &text, spans, err);
    else if (status == GWEN_OK)
        status = gw_jinja_render(t->jinja, vars, &env->now, NULL, &text, err);
    if (status == GWEN_OK && c->field != NULL)
        status = cut_at_tag(t, c, text.data != NULL ? text.data : "", &text.len, err);
    if (status == GWEN_OK) {
        gw_str_put(out, text.data, text.len);
        if (out->failed) status = gw_nomem(err, text.len, "the text");
    }
    gw_str_free(&text);
    json_decref(original);
    return status;
}

static enum gwen_status render_request(const struct gw_chat *t, const json_t *request,
                                       const struct gw_chat_env *env, struct gw_str *out,
                                       struct gw_jinja_spans *spans, struct gwen_err *err) {
    struct continuation c = {0};
    json_t *keep = NULL; /* holds c.field */
    const json_t *kwargs = json_object_get(request, "chat_template_kwargs");
    if (kwargs != NULL && !json_is_null(kwargs) && !json_is_object(kwargs))
        return gw_fail(err, GWEN_ERR_ARGUMENT, "%s: \"chat_template_kwargs\" must be an object",
                       t->name);
    json_t *vars = collect_vars(request, env);
    if (vars == NULL) return gw_nomem(err, sizeof(json_t), "the template's variables");
    enum gwen_status status = check_vars(t, vars, &c, &keep, err);
    if (status == GWEN_OK && spans != NULL && c.field != NULL)
        status = gw_fail(err, GWEN_ERR_ARGUMENT,
                         "%s: continue_final_message: the spans of a message that is cut are not "
                         "known",
                         t->name);
    if (status == GWEN_OK) status = render(t, vars, env, &c, out, spans, err);
    json_decref(keep);
    json_decref(vars);
    return status;
}

enum gwen_status gw_chat_render(const struct gw_chat *t, const json_t *request,
                                const struct gw_chat_env *env, struct gw_str *out,
                                struct gwen_err *err) {
    return render_request(t, request, env, out, NULL, err);
}

bool gw_chat_has_generation(const struct gw_chat *t) { return gw_jinja_has_generation(t->jinja); }

enum gwen_status gw_chat_render_spans(const struct gw_chat *t, const json_t *request,
                                      const struct gw_chat_env *env, struct gw_str *out,
                                      struct gw_jinja_spans *spans, struct gwen_err *err) {
    *spans = (struct gw_jinja_spans){0};
    return render_request(t, request, env, out, spans, err);
}

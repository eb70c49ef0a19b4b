/* prompts.c - see prompts.h. */
#include "service/rollout/prompts.h"

#include "base/json.h"
#include "base/rng.h"
#include "service/rollout/rows.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- adding a prompt of ids ----------------------------------------------------------------- */

enum gwen_status gw_prompt_check_ids(const int32_t *ids, size_t n, size_t vocab_size,
                                     struct gwen_err *err) {
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= vocab_size)
            return gw_fail(err, GWEN_ERR_FORMAT,
                           "token id %" PRId32 " is outside the model's vocabulary of %zu", ids[i],
                           vocab_size);
    return GWEN_OK;
}

static enum gwen_status check_prompt(const struct gw_prompt_opts *o, const int32_t *ids, size_t n,
                                     size_t *max_tokens, struct gwen_err *err) {
    if (n == 0) return gw_fail(err, GWEN_ERR_FORMAT, "the prompt has no tokens");
    GW_TRY(gw_prompt_check_ids(ids, n, o->vocab_size, err));
    if (n >= o->context)
        return gw_fail(err, GWEN_ERR_FORMAT,
                       "the prompt's %zu tokens fill the model's context of %zu", n, o->context);
    if (*max_tokens <= o->context - n) return GWEN_OK;
    if (!o->clamp)
        return gw_fail(err, GWEN_ERR_FORMAT,
                       "the prompt's %zu tokens and %zu new ones exceed the model's context of "
                       "%zu: lower max_tokens or shorten the prompt",
                       n, *max_tokens, o->context);
    *max_tokens = o->context - n;
    return GWEN_OK;
}

static bool reserve_row(struct gw_prompts *p) {
    if (p->n < p->cap) return true;
    size_t cap = GW_MAX(p->cap * 2, (size_t)64), bytes;
    struct gw_prompt *rows =
        gw_mul_size(cap, sizeof *rows, &bytes) ? realloc(p->rows, bytes) : NULL;
    if (rows == NULL) return false;
    p->rows = rows;
    p->cap = cap;
    return true;
}

/* Adds a row whose texts and ids are copied; its key is filled in from `id_text` (NULL: its
 * number). */
static enum gwen_status add_row(struct gw_prompts *p, const struct gw_prompt_opts *o,
                                struct gw_prompt row, const struct gw_str *id_text,
                                struct gwen_err *err) {
    GW_TRY(check_prompt(o, row.ids, row.n, &row.max_tokens, err));
    int32_t *ids = gw_arena_alloc(&p->arena, row.n * sizeof *ids, sizeof *ids);
    if (ids == NULL || !reserve_row(p)) return gw_nomem(err, row.n * sizeof *ids, "prompts");
    memcpy(ids, row.ids, row.n * sizeof *ids);
    row.ids = ids;
    if (row.text != NULL) {
        row.text = gw_arena_strndup(&p->arena, row.text, row.text_len);
        if (row.text == NULL) return gw_nomem(err, row.text_len, "prompts");
    }
    if (row.id != NULL) row.id = gw_arena_strndup(&p->arena, row.id, row.id_len);
    bool had_id = id_text != NULL;
    row.meta = gw_arena_strndup(&p->arena, row.meta, row.meta_len);
    if ((had_id && row.id == NULL) || row.meta == NULL)
        return gw_nomem(err, row.meta_len, "prompts");
    row.key = had_id ? gw_hash64(id_text->data, id_text->len) : p->n;
    p->n_tokens += row.n;
    p->max_prompt = GW_MAX(p->max_prompt, row.n);
    p->max_tokens = GW_MAX(p->max_tokens, row.max_tokens);
    p->rows[p->n++] = row;
    return GWEN_OK;
}

/* --- the chat template ---------------------------------------------------------------------- */

void gw_prompt_chat_open(const struct gw_tokenizer *tokenizer, const struct tm *now,
                         struct gw_prompt_chat *chat) {
    *chat = (struct gw_prompt_chat){
        .env = {.bos_token = gw_tokenizer_named(tokenizer, GW_TOKEN_BOS, NULL),
                .eos_token = gw_tokenizer_named(tokenizer, GW_TOKEN_EOS, NULL),
                .unk_token = gw_tokenizer_named(tokenizer, GW_TOKEN_UNK, NULL),
                .pad_token = gw_tokenizer_named(tokenizer, GW_TOKEN_PAD, NULL),
                .now = *now}};
    const char *source = gw_tokenizer_chat_template(tokenizer, NULL);
    const char *tools = gw_tokenizer_chat_template(tokenizer, "tool_use");
    enum gwen_status status =
        source != NULL
            ? gw_chat_parse(source, strlen(source), "chat template", &chat->template, &chat->why)
            : gw_fail(&chat->why, GWEN_ERR_ARGUMENT, "the model has no chat template");
    if (status == GWEN_OK && tools != NULL &&
        gw_chat_parse(tools, strlen(tools), "chat template tool_use", &chat->tool_template,
                      &chat->why) != GWEN_OK) {
        gw_chat_free(chat->template);
        chat->template = NULL;
    }
}

void gw_prompt_chat_close(struct gw_prompt_chat *chat) {
    gw_chat_free(chat->template);
    gw_chat_free(chat->tool_template);
    *chat = (struct gw_prompt_chat){0};
}

/* --- text to ids ---------------------------------------------------------------------------- */

static enum gwen_status need_tokenizer(const struct gw_prompt_opts *o, struct gwen_err *err) {
    if (o->tokenizer != NULL) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_ARGUMENT,
                   "the model's directory has no tokenizer: prompts must be given as \"ids\"");
}

static bool append_message(json_t *messages, const char *role, const char *text, size_t len) {
    json_t *m = json_pack("{s:s, s:s%}", "role", role, "content", text, len);
    return m != NULL && json_array_append_new(messages, m) == 0;
}

static bool has_system(const json_t *messages) {
    const json_t *first = json_array_get(messages, 0);
    const char *role = json_string_value(json_object_get(first, "role"));
    return role != NULL && strcmp(role, "system") == 0;
}

/* What the template is given besides messages: opts->chat_args, then members of the row. */
static bool put_arguments(json_t *request, const struct gw_prompt_opts *o, const json_t *row,
                          bool generate) {
    static const char *const taken[] = {"tools", "documents", "chat_template_kwargs"};
    bool ok = json_object_set_new(request, "add_generation_prompt", json_boolean(generate)) == 0;
    if (o->chat_args != NULL)
        ok = ok && json_object_update(request, (json_t *)(uintptr_t)o->chat_args) == 0;
    for (size_t i = 0; i < GW_ARRAY_LEN(taken) && ok; i++) {
        json_t *v = json_object_get(row, taken[i]);
        if (v != NULL) ok = json_object_set(request, taken[i], v) == 0;
    }
    return ok;
}

/* {"messages": messages with opts->system in front, ...}; NULL: no memory. */
static json_t *make_request(const struct gw_prompt_opts *o, const json_t *messages,
                            const json_t *row, bool generate) {
    json_t *request = json_object(), *all = json_array();
    bool ok = request != NULL && json_object_set_new(request, "messages", all) == 0;
    if (ok && o->system != NULL && !has_system(messages))
        ok = append_message(all, "system", o->system, strlen(o->system));
    ok = ok && json_array_extend(all, (json_t *)(uintptr_t)messages) == 0 &&
         put_arguments(request, o, row, generate);
    if (ok) return request;
    json_decref(request);
    return NULL;
}

/* The template for what `arguments` (a request, or a row with some of its members) asks for. */
static const struct gw_chat *template_for(const struct gw_prompt_chat *chat,
                                          const json_t *arguments) {
    const json_t *tools = json_object_get(arguments, "tools");
    bool with_tools = tools != NULL && !json_is_null(tools) && chat->tool_template != NULL;
    return with_tools ? chat->tool_template : chat->template;
}

const struct gw_chat *gw_prompt_template(const struct gw_prompt_opts *o, const json_t *row) {
    if (o->chat == NULL || o->chat->template == NULL) return NULL;
    return template_for(o->chat, json_object_get(row, "tools") != NULL ? row : o->chat_args);
}

enum gwen_status gw_prompt_render_chat(const struct gw_prompt_opts *o, const json_t *messages,
                                       const json_t *row, bool generate, struct gw_str *text,
                                       struct gw_jinja_spans *spans, struct gwen_err *err) {
    GW_TRY(need_tokenizer(o, err));
    if (o->chat == NULL) return gw_fail(err, GWEN_ERR_ARGUMENT, "no chat template is known");
    if (o->chat->template == NULL) return gw_err_copy(err, &o->chat->why);
    json_t *request = make_request(o, messages, row, generate);
    if (request == NULL) return gw_nomem(err, 0, "messages");
    const struct gw_chat *template = template_for(o->chat, request);
    enum gwen_status status =
        spans != NULL ? gw_chat_render_spans(template, request, &o->chat->env, text, spans, err)
                      : gw_chat_render(template, request, &o->chat->env, text, err);
    json_decref(request);
    return status;
}

enum gwen_status gw_prompt_encode_chat(const struct gw_prompt_opts *o, const json_t *messages,
                                       const json_t *row, bool generate, struct gw_ids *ids,
                                       struct gwen_err *err) {
    struct gw_str text = {0};
    enum gwen_status status = gw_prompt_render_chat(o, messages, row, generate, &text, NULL, err);
    if (status == GWEN_OK)
        status = gw_tokenizer_encode(o->tokenizer, text.data != NULL ? text.data : "", text.len, 0,
                                     ids, err);
    gw_str_free(&text);
    return status;
}

static enum gwen_status encode_text(const struct gw_prompt_opts *o, const char *text, size_t len,
                                    const json_t *row, struct gw_ids *ids, struct gwen_err *err) {
    GW_TRY(need_tokenizer(o, err));
    if (!o->as_chat)
        return gw_tokenizer_encode(o->tokenizer, text, len, GW_ENCODE_ADD_SPECIAL, ids, err);
    json_t *messages = json_array();
    enum gwen_status status = messages != NULL && append_message(messages, "user", text, len)
                                  ? gw_prompt_encode_chat(o, messages, row, true, ids, err)
                                  : gw_nomem(err, len, "a message");
    json_decref(messages);
    return status;
}

static enum gwen_status add_ids(struct gw_prompts *p, const struct gw_prompt_opts *o,
                                const struct gw_ids *ids, struct gwen_err *err) {
    const struct gw_prompt row = {
        .ids = ids->data, .n = ids->len, .max_tokens = o->max_tokens, .meta = "{}", .meta_len = 2};
    return add_row(p, o, row, NULL, err);
}

enum gwen_status gw_prompts_add_text(struct gw_prompts *p, const struct gw_prompt_opts *opts,
                                     const char *text, struct gwen_err *err) {
    struct gw_ids ids = {0};
    enum gwen_status status = encode_text(opts, text, strlen(text), NULL, &ids, err);
    if (status == GWEN_OK) status = add_ids(p, opts, &ids, err);
    gw_ids_free(&ids);
    return status;
}

enum gwen_status gw_prompts_add_messages(struct gw_prompts *p, const struct gw_prompt_opts *opts,
                                         const json_t *messages, struct gwen_err *err) {
    struct gw_ids ids = {0};
    enum gwen_status status = gw_prompt_encode_chat(opts, messages, NULL, true, &ids, err);
    if (status == GWEN_OK) status = add_ids(p, opts, &ids, err);
    gw_ids_free(&ids);
    return status;
}

/* --- rows ----------------------------------------------------------------------------------- */

enum source { FROM_IDS, FROM_MESSAGES, FROM_PROMPT, FROM_QUESTION, N_SOURCES };
static const char *const SOURCES[N_SOURCES] = {"ids", "messages", "prompt", "question"};

/* Which member the prompt comes from. */
static enum gwen_status find_source(const struct gw_row *row, enum source *from,
                                    struct gwen_err *err) {
    *from = N_SOURCES;
    for (int i = 0; i < N_SOURCES; i++) {
        const json_t *v = json_object_get(row->obj, SOURCES[i]);
        if (v == NULL || json_is_null(v)) continue;
        if (*from == N_SOURCES)
            *from = (enum source)i;
        else if (i != FROM_QUESTION)
            return gw_row_fail(row, err, "\"%s\" and \"%s\" are both there: which is the prompt?",
                               SOURCES[*from], SOURCES[i]);
    }
    if (*from != N_SOURCES) return GWEN_OK;
    return gw_row_fail(row, err, "\"prompt\", \"messages\", \"ids\" or \"question\" is needed");
}

enum gwen_status gw_prompt_row_messages(const struct gw_row *row, const char *key,
                                        json_t **messages, struct gwen_err *err) {
    GW_TRY(gw_row_array(row, key, GW_JSON_REQUIRED, messages, err));
    for (size_t i = 0; i < json_array_size(*messages); i++)
        if (!json_is_object(json_array_get(*messages, i)))
            return gw_row_fail(row, err, "\"%s\"[%zu]: expected a message, an object", key, i);
    if (json_array_size(*messages) == 0)
        return gw_row_fail(row, err, "\"%s\": a conversation has at least one message", key);
    return GWEN_OK;
}

static enum gwen_status row_messages(const struct gw_row *row, const struct gw_prompt_opts *o,
                                     const char *key, struct gw_ids *ids, struct gwen_err *err) {
    json_t *messages;
    GW_TRY(gw_prompt_row_messages(row, key, &messages, err));
    enum gwen_status status = gw_prompt_encode_chat(o, messages, row->obj, true, ids, err);
    return gw_err_prefix(err, status, "%s:%" PRIu64, row->file, row->line);
}

static enum gwen_status row_ids(const struct gw_row *row, const struct gw_prompt_opts *o,
                                enum source from, struct gw_ids *ids, struct gwen_err *err) {
    const char *key = SOURCES[from], *text;
    size_t len;
    if (from == FROM_IDS) {
        GW_TRY(gw_row_ids(row, key, GW_JSON_REQUIRED, o->vocab_size, &ids->data, &ids->len, err));
        ids->cap = ids->len;
        return GWEN_OK;
    }
    if (from == FROM_MESSAGES ||
        (from == FROM_PROMPT && json_is_array(json_object_get(row->obj, key))))
        return row_messages(row, o, key, ids, err);
    GW_TRY(gw_row_string(row, key, GW_JSON_REQUIRED, &text, &len, err));
    enum gwen_status status = encode_text(o, text, len, row->obj, ids, err);
    return gw_err_prefix(err, status, "%s:%" PRIu64, row->file, row->line);
}

/* What a row's prompt asks; NULL where it is no text. */
static const char *row_text(const struct gw_row *row, enum source from, size_t *len) {
    const json_t *v = json_object_get(row->obj, SOURCES[from]);
    for (size_t i = from != FROM_IDS ? json_array_size(v) : 0; i-- > 0;) {
        const json_t *message = json_array_get(v, i);
        const char *role = json_string_value(json_object_get(message, "role"));
        if (role == NULL || strcmp(role, "user") != 0) continue;
        v = json_object_get(message, "content");
        break;
    }
    *len = json_string_length(v);
    return json_string_value(v);
}

/* The row's id as JSON, and the bytes that are hashed; both stay empty when there is none. */
static enum gwen_status row_id(const struct gw_row *row, struct gw_str *json, struct gw_str *text,
                               bool *there, struct gwen_err *err) {
    const json_t *v = json_object_get(row->obj, "id");
    *there = v != NULL && !json_is_null(v);
    if (!*there) return GWEN_OK;
    if (!json_is_string(v) && !json_is_integer(v))
        return gw_row_fail(row, err, "\"id\": expected a string or an integer");
    gw_str_put_row(json, v);
    if (json_is_string(v))
        gw_str_put(text, json_string_value(v), json_string_length(v));
    else
        gw_str_put(text, json->data, json->len);
    return GWEN_OK;
}

static void put_meta(const struct gw_row *row, enum source from, struct gw_str *out) {
    const char *key;
    json_t *v;
    bool first = true;
    gw_str_putc(out, '{');
    json_object_foreach(row->obj, key, v) {
        if (strcmp(key, "id") == 0 || strcmp(key, "max_tokens") == 0 ||
            strcmp(key, SOURCES[from]) == 0)
            continue;
        bool other_source = false;
        for (int i = 0; i < FROM_QUESTION; i++) other_source |= strcmp(key, SOURCES[i]) == 0;
        if (other_source) continue; /* null, or the row would have been refused */
        if (!first) gw_str_putc(out, ',');
        first = false;
        gw_str_put_json(out, key, strlen(key));
        gw_str_putc(out, ':');
        gw_str_put_row(out, v);
    }
    gw_str_putc(out, '}');
}

/* What reading a row needs; emptied, not freed, between rows. */
struct scratch {
    struct gw_ids ids;
    struct gw_str id_json, id_text, meta;
};

static enum gwen_status take_row(struct gw_prompts *p, const struct gw_prompt_opts *o,
                                 const struct gw_row *row, struct scratch *s,
                                 struct gwen_err *err) {
    enum source from;
    bool has_id;
    int64_t max_tokens = (int64_t)GW_MIN(o->max_tokens, (size_t)INT64_MAX);
    GW_TRY(find_source(row, &from, err));
    GW_TRY(row_id(row, &s->id_json, &s->id_text, &has_id, err));
    GW_TRY(
        gw_row_i64(row, "max_tokens", GW_JSON_OPTIONAL, 1, (int64_t)o->context, &max_tokens, err));
    GW_TRY(row_ids(row, o, from, &s->ids, err));
    put_meta(row, from, &s->meta);
    uint64_t data;
    GW_TRY(gw_row_hash(row, &data, err));
    if (s->id_json.failed || s->id_text.failed || s->meta.failed)
        return gw_nomem(err, s->meta.len, "prompts");
    gw_str_puts(&s->id_text, ""); /* so that data is not NULL */
    size_t text_len;
    const char *text = row_text(row, from, &text_len);
    const struct gw_prompt prompt = {.ids = s->ids.data,
                                     .n = s->ids.len,
                                     .text = text,
                                     .text_len = text_len,
                                     .max_tokens = (size_t)max_tokens,
                                     .data = data,
                                     .id = has_id ? s->id_json.data : NULL,
                                     .id_len = s->id_json.len,
                                     .meta = s->meta.data,
                                     .meta_len = s->meta.len};
    enum gwen_status status = add_row(p, o, prompt, has_id ? &s->id_text : NULL, err);
    return gw_err_prefix(err, status, "%s:%" PRIu64, row->file, row->line);
}

struct reading {
    struct gw_prompts *p;
    const struct gw_prompt_opts *o;
};

static enum gwen_status read_row(void *ctx, const struct gw_row *row, struct gwen_err *err) {
    const struct reading *r = ctx;
    struct scratch s = {0};
    enum gwen_status status = take_row(r->p, r->o, row, &s, err);
    gw_ids_free(&s.ids);
    gw_str_free(&s.id_json);
    gw_str_free(&s.id_text);
    gw_str_free(&s.meta);
    return status;
}

/* --- keys ----------------------------------------------------------------------------------- */

struct keyed {
    uint64_t key;
    size_t row;
};

static int by_key(const void *a, const void *b) {
    const struct keyed *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

/* Two prompts with one key would be given the same random numbers. */
static enum gwen_status check_keys(const struct gw_prompts *p, const char *file,
                                   struct gwen_err *err) {
    struct keyed *k = malloc((p->n + 1) * sizeof *k);
    size_t bad = SIZE_MAX, other = 0;
    if (k == NULL) return gw_nomem(err, p->n * sizeof *k, "prompts");
    for (size_t i = 0; i < p->n; i++) k[i] = (struct keyed){p->rows[i].key, i};
    qsort(k, p->n, sizeof *k, by_key);
    for (size_t i = 1; i < p->n; i++)
        if (k[i].key == k[i - 1].key && k[i].row < bad) {
            bad = k[i].row;
            other = k[i - 1].row;
        }
    free(k);
    if (bad == SIZE_MAX) return GWEN_OK;
    const char *id = p->rows[bad].id != NULL ? p->rows[bad].id : p->rows[other].id;
    return gw_fail(err, GWEN_ERR_FORMAT,
                   "%s:%zu: the id %.80s is the same as that of line %zu, or has the same hash",
                   file, bad + 1, id, other + 1);
}

enum gwen_status gw_prompts_read(const char *path, const struct gw_prompt_opts *opts,
                                 struct gw_prompts *p, struct gwen_err *err) {
    struct reading r = {p, opts};
    GW_TRY(gw_rows_read(path, GW_ROW_MAX_BYTES, "prompt", read_row, &r, err));
    return check_keys(p, strcmp(path, "-") == 0 ? GW_ROWS_STDIN : path, err);
}

void gw_prompts_free(struct gw_prompts *p) {
    free(p->rows);
    gw_arena_free(&p->arena);
    *p = (struct gw_prompts){0};
}

uint64_t gw_prompts_hash(const struct gw_prompts *p) {
    uint64_t h = p->n;
    for (size_t i = 0; i < p->n; i++) {
        const struct gw_prompt *r = &p->rows[i];
        const uint64_t parts[] = {h,
                                  gw_hash64(r->ids, r->n * sizeof *r->ids),
                                  r->max_tokens,
                                  r->key,
                                  r->text != NULL ? gw_hash64(r->text, r->text_len) : 0,
                                  r->id != NULL ? gw_hash64(r->id, r->id_len) : 0,
                                  gw_hash64(r->meta, r->meta_len)};
        h = gw_hash64(parts, sizeof parts);
    }
    return h;
}

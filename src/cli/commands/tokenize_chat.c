/* tokenize_chat.c - gwen-cpu tokenize --chat: messages through the chat template, then to ids. */
#include "cli/commands/tokenize.h"

#include "base/file.h"
#include "text/chat.h"

#include <string.h>

enum { TEMPLATE_MAX_BYTES = 1 << 20 };

static enum gwen_status parse_file(const char *path, struct gw_chat **out, struct gwen_err *err) {
    struct gw_str source = {0};
    enum gwen_status status = gw_file_read(path, TEMPLATE_MAX_BYTES, &source, err);
    if (status == GWEN_OK)
        status = gw_chat_parse(source.data != NULL ? source.data : "", source.len, path, out, err);
    gw_str_free(&source);
    return status;
}

/* A model may have one template for tools and one for all else, as transformers chooses them. */
enum gwen_status gw_tokenize_chat_open(struct gw_tokenize *t, const char *dir,
                                       struct gwen_err *err) {
    if (t->date == NULL) {
        time_t now = time(NULL);
        if (localtime_r(&now, &t->today) == NULL)
            return gw_fail(err, GWEN_ERR_INTERNAL, "today's date is not known: use --date");
    }
    if (t->template_path != NULL) return parse_file(t->template_path, &t->template, err);
    const char *source = gw_tokenizer_chat_template(t->tokenizer, NULL);
    const char *tools = gw_tokenizer_chat_template(t->tokenizer, "tool_use");
    if (source == NULL)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "%s has no chat template: give one with --chat-template FILE", dir);
    GW_TRY(gw_chat_parse(source, strlen(source), "chat template", &t->template, err));
    if (tools == NULL) return GWEN_OK;
    return gw_chat_parse(tools, strlen(tools), "chat template tool_use", &t->tool_template, err);
}

void gw_tokenize_chat_close(struct gw_tokenize *t) {
    gw_chat_free(t->template);
    gw_chat_free(t->tool_template);
}

static struct gw_chat_env environment(const struct gw_tokenize *t) {
    const struct gw_tokenizer *tokenizer = t->tokenizer;
    return (struct gw_chat_env){
        .bos_token = gw_tokenizer_named(tokenizer, GW_TOKEN_BOS, NULL),
        .eos_token = gw_tokenizer_named(tokenizer, GW_TOKEN_EOS, NULL),
        .pad_token = gw_tokenizer_named(tokenizer, GW_TOKEN_PAD, NULL),
        .unk_token = gw_tokenizer_named(tokenizer, GW_TOKEN_UNK, NULL),
        .now = t->today,
    };
}

void gw_tokenize_put_ids(struct gw_str *out, const struct gw_ids *ids) {
    gw_str_puts(out, "\"ids\":[");
    for (size_t i = 0; i < ids->len; i++)
        gw_str_printf(out, "%s%d", i == 0 ? "" : ",", (int)ids->data[i]);
    gw_str_putc(out, ']');
}

enum gwen_status gw_tokenize_chat_row(struct gw_tokenize *t, const struct gw_row *row,
                                      struct gwen_err *err) {
    const struct gw_chat_env env = environment(t);
    const json_t *tools = json_object_get(row->obj, "tools");
    bool with_tools = tools != NULL && !json_is_null(tools) && t->tool_template != NULL;
    json_t *messages;
    GW_TRY(gw_row_array(row, "messages", GW_JSON_REQUIRED, &messages, err));
    gw_str_clear(&t->text);
    GW_TRY(
        gw_chat_render(with_tools ? t->tool_template : t->template, row->obj, &env, &t->text, err));
    const char *text = t->text.data != NULL ? t->text.data : "";
    t->ids.len = 0;
    GW_TRY(gw_tokenizer_encode(t->tokenizer, text, t->text.len, 0, &t->ids, err));
    gw_str_puts(&t->out, "{\"text\":");
    gw_str_put_json(&t->out, text, t->text.len);
    gw_str_putc(&t->out, ',');
    gw_tokenize_put_ids(&t->out, &t->ids);
    gw_str_puts(&t->out, "}\n");
    return GWEN_OK;
}

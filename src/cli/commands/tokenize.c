/* tokenize.c - gwen-cpu tokenize: text to ids, ids to text, messages to text and ids. */
#include "cli/commands/tokenize.h"

#include "base/file.h"
#include "cli/date.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum gwen_status encode_row(struct gw_tokenize *t, const struct gw_row *row,
                                   struct gwen_err *err) {
    const char *text;
    size_t len;
    unsigned flags =
        (t->bos ? GW_ENCODE_ADD_SPECIAL : 0u) | (t->no_special ? GW_ENCODE_NO_SPECIAL_PARSE : 0u);
    GW_TRY(gw_row_string(row, "text", GW_JSON_REQUIRED, &text, &len, err));
    t->ids.len = 0;
    GW_TRY(gw_tokenizer_encode(t->tokenizer, text, len, flags, &t->ids, err));
    gw_str_putc(&t->out, '{');
    gw_tokenize_put_ids(&t->out, &t->ids);
    gw_str_puts(&t->out, "}\n");
    return GWEN_OK;
}

static enum gwen_status decode_row(struct gw_tokenize *t, const struct gw_row *row,
                                   struct gwen_err *err) {
    int32_t *ids;
    size_t n;
    GW_TRY(gw_row_ids(row, "ids", GW_JSON_REQUIRED, (size_t)INT32_MAX + 1, &ids, &n, err));
    gw_str_clear(&t->text);
    enum gwen_status status =
        gw_tokenizer_decode(t->tokenizer, ids, n, t->skip_special, &t->text, err);
    free(ids);
    GW_TRY(status);
    gw_str_puts(&t->out, "{\"text\":");
    gw_str_put_json(&t->out, t->text.data != NULL ? t->text.data : "", t->text.len);
    gw_str_puts(&t->out, "}\n");
    return t->text.failed ? gw_nomem(err, t->text.len, "a text") : GWEN_OK;
}

static enum gwen_status answer_line(struct gw_tokenize *t, const struct gw_line *line,
                                    struct gwen_err *err) {
    struct gw_row row = {.file = "stdin", .line = line->number};
    GW_TRY(gw_row_parse(line->text, line->len, row.file, line->number, &row.obj, err));
    enum gwen_status status = t->chat     ? gw_tokenize_chat_row(t, &row, err)
                              : t->decode ? decode_row(t, &row, err)
                                          : encode_row(t, &row, err);
    json_decref(row.obj);
    /* What the tokenizer and the template complain of does not say where yet. */
    if (status != GWEN_OK && strncmp(err->message, "stdin:", strlen("stdin:")) != 0)
        gw_err_prefix(err, status, "stdin:%llu", (unsigned long long)line->number);
    return status;
}

static enum gwen_status answer_lines(struct gw_tokenize *t, struct gw_lines *lines,
                                     struct gwen_err *err) {
    for (;;) {
        struct gw_line line;
        bool more;
        GW_TRY(gw_lines_next(lines, &line, &more, err));
        if (!more) return GWEN_OK;
        if (gw_interrupt_signal() != 0) return gw_fail(err, GWEN_ERR_CANCELLED, "interrupted");
        GW_TRY(answer_line(t, &line, err));
        GW_TRY(gw_cli_put(t->cli, &t->out, err));
    }
}

static enum gwen_status tokenize(struct gw_tokenize *t, struct gwen_err *err) {
    struct gw_str dir = {0};
    struct gw_lines *lines = NULL;
    enum gwen_status status = gw_model_dir(t->cli, &dir, err);
    if (status == GWEN_OK) status = gw_tokenizer_load(dir.data, &t->tokenizer, err);
    if (status == GWEN_OK && t->chat) status = gw_tokenize_chat_open(t, dir.data, err);
    if (status == GWEN_OK)
        status = gw_lines_open_fd(STDIN_FILENO, "stdin", GW_ROW_MAX_BYTES, &lines, err);
    if (status == GWEN_OK) status = answer_lines(t, lines, err);
    gw_lines_close(lines);
    gw_str_free(&dir);
    return status;
}

static void close_tokenize(struct gw_tokenize *t) {
    gw_tokenize_chat_close(t);
    gw_tokenizer_free(t->tokenizer);
    gw_ids_free(&t->ids);
    gw_str_free(&t->text);
    gw_str_free(&t->out);
}

int gw_cmd_tokenize(struct gw_cli *cli, int argc, char **argv) {
    struct gw_tokenize t = {.cli = cli};
    const struct gw_option options[] = {
        GW_OPT_FLAG("decode", 0, &t.decode, "decode rows of {\"ids\"} to {\"text\"}"),
        GW_OPT_FLAG("skip-special", 0, &t.skip_special, "with --decode: omit special tokens"),
        GW_OPT_FLAG("no-special", 0, &t.no_special,
                    "encode special tokens in a text as plain text"),
        GW_OPT_FLAG("bos", 0, &t.bos,
                    "add the special tokens that the tokenizer itself adds, such as BOS"),
        GW_OPT_FLAG("chat", 0, &t.chat,
                    "apply the chat template to rows of {\"messages\"}: {\"text\", \"ids\"}"),
        GW_OPT_STRING("date", 0, &t.date, "YYYY-MM-DD",
                      "the date that templates see (default: "
                      "today)"),
        GW_OPT_STRING("chat-template", 0, &t.template_path, "FILE",
                      "chat template to use instead of the model's"),
    };
    const struct gw_cli_spec spec = {
        "--model DIR [options] <rows.jsonl",
        "Reads rows of JSON from standard input and writes one for each: {\"text\"} gives\n"
        "{\"ids\"}.  With --decode {\"ids\"} gives {\"text\"}, in which bytes that are not\n"
        "UTF-8 become U+FFFD.  With --chat {\"messages\"} gives {\"text\", \"ids\"} by the\n"
        "model's chat template; the other members of a row are keywords of transformers'\n"
        "apply_chat_template (add_generation_prompt, continue_final_message, tools,\n"
        "enable_thinking, date_string ...) or variables of the template.  Only the\n"
        "tokenizer's files are needed.",
        options,
        GW_ARRAY_LEN(options),
        0,
        true};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code)) return code;
    if (t.decode && t.chat) return gw_cli_usage(cli, "give --decode or --chat, not both");
    if (t.date != NULL && !gw_date_parse(t.date, &t.today))
        return gw_cli_usage(cli, "--date %s: expected a date as YYYY-MM-DD", t.date);
    struct gwen_err err;
    enum gwen_status status = tokenize(&t, &err);
    close_tokenize(&t);
    return gw_cli_end(cli, status, &err);
}

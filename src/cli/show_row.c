/* show_row.c - see show_row.h. */
#include "cli/show_row.h"

#include <inttypes.h>

/* What a terminal obeys instead of showing it, or shows as nothing. */
static bool is_hidden(uint32_t c) {
    if (c == '\n' || c == '\t') return false;
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0xAD || c == 0x061C || c == 0xFEFF ||
           (c >= 0x200B && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) ||
           (c >= 0x2060 && c <= 0x206F) || (c >= 0xFFF9 && c <= 0xFFFB) ||
           (c >= 0xE0000 && c <= 0xE0FFF);
}

static void put_shown(struct gw_str *out, const char *s, size_t len) {
    for (size_t i = 0, n; i < len; i += n) {
        uint32_t c;
        bool valid;
        n = gw_utf8_next(s + i, len - i, &c, &valid);
        for (size_t k = 0; k < n && !valid; k++)
            gw_str_printf(out, "\\x%02x", (unsigned)(unsigned char)s[i + k]);
        if (valid && is_hidden(c))
            gw_str_printf(out, c < 0x80 ? "\\x%02x" : "\\u{%04x}", (unsigned)c);
        else if (valid)
            gw_str_put(out, s + i, n);
    }
}

/* Tokens that are all learnt or all not: characters may be cut between tokens, not between these.
 */
static enum gwen_status put_run(const struct gw_tokenizer *tokenizer, const int32_t *ids, size_t n,
                                struct gw_str *out, struct gwen_err *err) {
    struct gw_str text = {0};
    enum gwen_status status = GWEN_OK;
    for (size_t i = 0; i < n && status == GWEN_OK; i++) {
        if (tokenizer == NULL)
            gw_str_printf(&text, "%s%" PRId32, i > 0 ? " " : "", ids[i]);
        else
            status = gw_tokenizer_token_bytes(tokenizer, ids[i], &text, err);
    }
    if (status == GWEN_OK && text.failed) status = gw_nomem(err, text.len, "a row");
    if (status == GWEN_OK) put_shown(out, text.data, text.len);
    gw_str_free(&text);
    return status;
}

enum gwen_status gw_show_row(const struct gw_tokenizer *tokenizer, const struct gw_sft_row *row,
                             bool colour, struct gw_str *out, struct gwen_err *err) {
    gw_str_printf(out, "line %" PRIu64 ": %zu tokens, of which %zu are learnt\n", row->line, row->n,
                  row->n_loss);
    for (size_t i = 0, end; i < row->n; i = end) {
        const bool learnt = row->mask[i] != 0;
        for (end = i; end < row->n && (row->mask[end] != 0) == learnt;) end++;
        if (tokenizer == NULL && i > 0) gw_str_putc(out, ' ');
        if (learnt) gw_str_puts(out, colour ? "\x1b[32m[[" : "[[");
        GW_TRY(put_run(tokenizer, row->ids + i, end - i, out, err));
        if (learnt) gw_str_puts(out, colour ? "]]\x1b[0m" : "]]");
    }
    gw_str_puts(out, "\n\n");
    return out->failed ? gw_nomem(err, out->len, "a row") : GWEN_OK;
}

/* show_row.c - see show_row.h. */
#include "cli/show_row.h"

#include <inttypes.h>

#include "base/shown.h"

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
    if (status == GWEN_OK)
        gw_str_put_shown(out, text.data, text.len, GW_SHOWN_LINES | GW_SHOWN_INVISIBLE);
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

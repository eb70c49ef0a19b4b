/* show_row.h - a training row for people: its text, and which of it is learnt. */
#ifndef GW_CLI_SHOW_ROW_H
#define GW_CLI_SHOW_ROW_H

#include "service/train/sft/data.h"

/* Appends a line that says how many tokens there are, then the text with [[ and ]] around what is
 * learnt, in green if `colour`, and an empty line.  Line ends and tabs of the text stay as they
 * are, every other control character, direction mark or stray byte is shown by its number.
 * `tokenizer` NULL: ids in place of the text. */
enum gwen_status gw_show_row(const struct gw_tokenizer *tokenizer, const struct gw_sft_row *row,
                             bool colour, struct gw_str *out, struct gwen_err *err);

#endif

/* jinja_rows.h - rows of tests/fixtures/jinja: values that have a name, and cases over them. */
#ifndef GW_TEST_JINJA_ROWS_H
#define GW_TEST_JINJA_ROWS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/base.h"
#include "base/str.h"

/* Calls each(row, ctx) for every line of tests/fixtures/jinja/NAME; false counts as a failure.
 * Fails the test unless there are at least `least` rows and none failed. */
void jinja_rows(const char *name, size_t least, bool (*each)(json_t *row, void *ctx), void *ctx);
/* Whether what came out is what the row wants: "text"; "error", part of the message, or any
 * message when it is ""; "unsupported".  Says what differs. */
bool jinja_row_matches(const json_t *row, enum gwen_status status, const struct gw_str *text,
                       const struct gwen_err *err);
/* A whole file of tests/fixtures/jinja; fails the test when it cannot be read. */
void jinja_file(const char *name, struct gw_str *out);

#endif

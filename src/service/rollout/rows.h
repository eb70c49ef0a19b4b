/* rows.h - reading a file of data row by row. */
#ifndef GW_SERVICE_ROLLOUT_ROWS_H
#define GW_SERVICE_ROLLOUT_ROWS_H

#include "base/json.h"

#define GW_ROWS_STDIN "<stdin>" /* how messages call standard input */

/* Takes one row, which is valid during the call. */
typedef enum gwen_status gw_rows_take(void *ctx, const struct gw_row *row, struct gwen_err *err);

/* Calls take for every row of a file ("-": standard input).  `what` is how messages call a row.
 * JSONL, a JSON array or CSV, gzipped or not (service/rollout/records.h).  Errors begin with
 * FILE:LINE.  A file without rows is an error. */
enum gwen_status gw_rows_read(const char *path, size_t max_line, const char *what,
                              gw_rows_take *take, void *ctx, struct gwen_err *err);

/* A hash of all members of a row, their order too. */
enum gwen_status gw_row_hash(const struct gw_row *row, uint64_t *hash, struct gwen_err *err);

#endif

/* records.h - rows of data, however their file holds them:
 *
 *   JSONL       an object a line; blank lines are passed over
 *   JSON array  a file whose first byte is '[': its elements, each an object, one by one
 *   CSV         a file whose name ends in .csv (or .csv.gz): RFC 4180 with a header.  Rows are
 *               objects of strings; a field that is empty without quotes is null.  Blank lines are
 *               passed over.
 *
 * Each of them may be compressed by gzip, and begin with a byte order mark.  Memory is bounded by
 * the longest row, not by the file. */
#ifndef GW_SERVICE_ROLLOUT_RECORDS_H
#define GW_SERVICE_ROLLOUT_RECORDS_H

#include "base/json.h"

enum { GW_CSV_MAX_COLUMNS = 4096 };

struct gw_records;

/* Opens `path` for reading rows of at most `max_bytes` each, decompressed. */
enum gwen_status gw_records_open(const char *path, size_t max_bytes, struct gw_records **out,
                                 struct gwen_err *err);
/* The same over a descriptor (stdin), which stays open; `name` is for messages. */
enum gwen_status gw_records_open_fd(int fd, const char *name, size_t max_bytes,
                                    struct gw_records **out, struct gwen_err *err);
/* The next row, whose object is the caller's to release; *more is false at the end.  A row begins
 * in the file's line row->line.  Errors name file and line. */
enum gwen_status gw_records_next(struct gw_records *r, struct gw_row *row, bool *more,
                                 struct gwen_err *err);
void gw_records_close(struct gw_records *r); /* NULL is fine */

#endif

/* json.h - JSON two ways.
 *
 * Configuration files are parsed by cJSON after a strict scan of our own (cJSON by itself takes
 * "01", trailing bytes, duplicate keys and ill-formed UTF-8, and cuts strings at \u0000).  A node
 * is a value and the document it belongs to, so that errors read
 * "config.json: rope_parameters.rope_theta: expected a number, not \"x\"".
 *
 * Rows of JSONL may hold NUL and 64-bit integers, which cJSON cannot: they go through Jansson. */
#ifndef GW_JSON_H
#define GW_JSON_H

#include "base/base.h"
#include "base/str.h"

#include <cjson/cJSON.h>
#include <jansson.h>

/* --- configuration -------------------------------------------------------------------------- */

enum { GW_JSON_MAX_DEPTH = 64 };

struct gw_json_doc {
    cJSON *root;
    char *file; /* name used in messages */
};

struct gw_json_node {
    const struct gw_json_doc *doc;
    const cJSON *v;
};

/* Optional: absent or null leaves *out as it was.  Required: both are errors. */
enum gw_json_need { GW_JSON_OPTIONAL, GW_JSON_REQUIRED };

/* Parses text[0..len).  Refused, with line and column: anything RFC 8259 does not allow (NaN and
 * Infinity as Python writes them are named), trailing bytes, duplicate keys, nesting deeper than
 * GW_JSON_MAX_DEPTH, ill-formed UTF-8, lone surrogates, \u0000 and numbers beyond the range of
 * double.  A byte order mark at the start is skipped.  `name` is copied. */
enum gwen_status gw_json_parse(const char *text, size_t len, const char *name,
                               struct gw_json_doc *doc, struct gwen_err *err);
/* Reads and parses a file of at most `max_bytes`; messages use the whole path. */
enum gwen_status gw_json_load(const char *path, size_t max_bytes, struct gw_json_doc *doc,
                              struct gwen_err *err);
void gw_json_free(struct gw_json_doc *doc); /* a zeroed document is fine */

struct gw_json_node gw_json_root(const struct gw_json_doc *doc);

/* The kind of the value itself. */
bool gw_json_is_object(struct gw_json_node n);
bool gw_json_is_array(struct gw_json_node n);
bool gw_json_is_string(struct gw_json_node n);
bool gw_json_is_number(struct gw_json_node n);
bool gw_json_is_bool(struct gw_json_node n);
bool gw_json_is_null(struct gw_json_node n);

/* Fails with "file: path.of.node: ..." (or "file: ..." at the root). */
enum gwen_status gw_json_fail(struct gw_json_node n, struct gwen_err *err, enum gwen_status status,
                              const char *fmt, ...) GW_PRINTF(4, 5);

/* Member `key` of object n (names are case-sensitive); false when n is no object or has no such
 * member.  A null member is found. */
bool gw_json_find(struct gw_json_node n, const char *key, struct gw_json_node *out);
/* True when member `key` is there and not null. */
bool gw_json_has(struct gw_json_node n, const char *key);

/* The value itself as ... ; error when it is something else or out of [min, max].  Integers must
 * be integral and of magnitude below 2^53, where cJSON's doubles are exact.  Strings point into
 * the document. */
enum gwen_status gw_json_as_i64(struct gw_json_node n, int64_t min, int64_t max, int64_t *out,
                                struct gwen_err *err);
enum gwen_status gw_json_as_double(struct gw_json_node n, double min, double max, double *out,
                                   struct gwen_err *err);
enum gwen_status gw_json_as_bool(struct gw_json_node n, bool *out, struct gwen_err *err);
enum gwen_status gw_json_as_string(struct gw_json_node n, const char **out, struct gwen_err *err);

/* Members of object n by key; see enum gw_json_need. */
enum gwen_status gw_json_get_i64(struct gw_json_node n, const char *key, enum gw_json_need need,
                                 int64_t min, int64_t max, int64_t *out, struct gwen_err *err);
enum gwen_status gw_json_get_size(struct gw_json_node n, const char *key, enum gw_json_need need,
                                  size_t min, size_t max, size_t *out, struct gwen_err *err);
enum gwen_status gw_json_get_double(struct gw_json_node n, const char *key, enum gw_json_need need,
                                    double min, double max, double *out, struct gwen_err *err);
enum gwen_status gw_json_get_bool(struct gw_json_node n, const char *key, enum gw_json_need need,
                                  bool *out, struct gwen_err *err);
enum gwen_status gw_json_get_string(struct gw_json_node n, const char *key, enum gw_json_need need,
                                    const char **out, struct gwen_err *err);
/* An absent or null optional object or array gives out->v == NULL. */
enum gwen_status gw_json_get_object(struct gw_json_node n, const char *key, enum gw_json_need need,
                                    struct gw_json_node *out, struct gwen_err *err);
enum gwen_status gw_json_get_array(struct gw_json_node n, const char *key, enum gw_json_need need,
                                   struct gw_json_node *out, struct gwen_err *err);

/* Children of an array or object in file order (v NULL at the end, or when n has none):
 *   for (struct gw_json_node c = gw_json_first(n); c.v != NULL; c = gw_json_next(c)) */
struct gw_json_node gw_json_first(struct gw_json_node n);
struct gw_json_node gw_json_next(struct gw_json_node child);
const char *gw_json_key(struct gw_json_node member); /* its name; "" in an array */
size_t gw_json_size(struct gw_json_node n);          /* children; walks them */

/* Appends a string, a number or a boolean as it would stand on a command line; false, with nothing
 * appended, for anything else. */
bool gw_json_put_scalar(struct gw_json_node n, struct gw_str *out);
/* The value as one short line of JSON for messages, cut off with "..." (truncates to cap). */
void gw_json_show(struct gw_json_node n, char *buf, size_t cap);

/* --- rows ----------------------------------------------------------------------------------- */

enum { GW_ROW_MAX_DEPTH = 128 };

/* Parses one line that must hold a JSON object, nested no deeper than GW_ROW_MAX_DEPTH (a byte
 * order mark before line 1 is skipped).  On success the caller owns *out (json_decref).  Errors
 * name file:line:column. */
enum gwen_status gw_row_parse(const char *text, size_t len, const char *file, uint64_t line,
                              json_t **out, struct gwen_err *err);

/* Where a row came from, for messages of the getters below. */
struct gw_row {
    json_t *obj; /* borrowed */
    const char *file;
    uint64_t line;
};
/* Fails with "file:line: ...". */
enum gwen_status gw_row_fail(const struct gw_row *row, struct gwen_err *err, const char *fmt, ...)
    GW_PRINTF(3, 4);
/* A string with its length in bytes (it may hold NULs; valid UTF-8); points into the row.
 * Optional and absent (or null): *out NULL, *len 0. */
enum gwen_status gw_row_string(const struct gw_row *row, const char *key, enum gw_json_need need,
                               const char **out, size_t *len, struct gwen_err *err);
/* Optional and absent (or null): *out as it was. */
enum gwen_status gw_row_i64(const struct gw_row *row, const char *key, enum gw_json_need need,
                            int64_t min, int64_t max, int64_t *out, struct gwen_err *err);
enum gwen_status gw_row_double(const struct gw_row *row, const char *key, enum gw_json_need need,
                               double *out, struct gwen_err *err);
enum gwen_status gw_row_bool(const struct gw_row *row, const char *key, enum gw_json_need need,
                             bool *out, struct gwen_err *err);
/* Optional and absent (or null): *out NULL.  Borrowed. */
enum gwen_status gw_row_array(const struct gw_row *row, const char *key, enum gw_json_need need,
                              json_t **out, struct gwen_err *err);
/* An array of token ids in [0, vocab_size) as a malloc'ed array the caller frees; absent: NULL and
 * 0.  An empty array gives a non-NULL pointer and 0. */
enum gwen_status gw_row_ids(const struct gw_row *row, const char *key, enum gw_json_need need,
                            size_t vocab_size, int32_t **ids, size_t *n, struct gwen_err *err);

/* Appends a Jansson value as compact JSON, members in the order they were set, reals with the
 * fewest digits that give the same double again. */
void gw_str_put_row(struct gw_str *s, const json_t *value);

#endif

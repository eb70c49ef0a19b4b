/* scan.h - walking a large JSON text without building a tree.
 *
 * A tokenizer.json holds some 300,000 strings, and cJSON spends more time on allocating them than
 * the rest of loading takes.  The walker visits members in place and checks the syntax strictly as
 * it goes; small parts are handed to base/json.h as slices. */
#ifndef GW_TEXT_TOKENIZER_SCAN_H
#define GW_TEXT_TOKENIZER_SCAN_H

#include "base/base.h"
#include "base/str.h"

enum { GW_SCAN_MAX_DEPTH = 64 };

struct gw_scan {
    const char *text;
    size_t len, pos;
    const char *name; /* of the file, for messages: "name:line:column: ..." */
    struct gwen_err *err;
};

/* A part of the text: one value. */
struct gw_slice {
    size_t start, len;
};

/* Fails at byte `at`, naming line and column. */
enum gwen_status gw_scan_fail(const struct gw_scan *s, size_t at, const char *fmt, ...)
    GW_PRINTF(3, 4);

/* The first character of the value at the position, white space skipped; 0 at the end. */
char gw_scan_peek(struct gw_scan *s);

/* Enters the object or array at the position: `open` is '{' or '['. */
enum gwen_status gw_scan_open(struct gw_scan *s, char open);
/* To the next element; *more is false, and the container left, when there is none.  *first says
 * whether it is the first; set it to true before. */
enum gwen_status gw_scan_next(struct gw_scan *s, char close, bool *first, bool *more);
/* Appends the unescaped string at the position to *out (\u0000 gives a NUL). */
enum gwen_status gw_scan_string(struct gw_scan *s, struct gw_str *out);
/* The same for a key, and takes the colon behind it. */
enum gwen_status gw_scan_key(struct gw_scan *s, struct gw_str *out);
/* A whole number from 0 to `max`. */
enum gwen_status gw_scan_uint(struct gw_scan *s, uint32_t max, uint32_t *out);
/* Steps over any value, checking it; *slice says where it was. */
enum gwen_status gw_scan_skip(struct gw_scan *s, struct gw_slice *slice);
/* Nothing but white space may follow. */
enum gwen_status gw_scan_end(struct gw_scan *s);

#endif

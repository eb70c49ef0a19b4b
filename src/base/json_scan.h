/* json_scan.h - a strict check that bytes are one JSON value (RFC 8259), before cJSON builds it. */
#ifndef GW_JSON_SCAN_H
#define GW_JSON_SCAN_H

#include "base/base.h"

/* Checks text[0..len) as gw_json_parse promises, duplicate keys and the range of numbers apart.
 * Errors read "name:line:column: ..." (columns count bytes).  Nesting deeper than `max_depth` is
 * refused; the recursion is as deep. */
enum gwen_status gw_json_scan(const char *text, size_t len, const char *name, unsigned max_depth,
                              struct gwen_err *err);

#endif

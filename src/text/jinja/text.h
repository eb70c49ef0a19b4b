/* text.h - Python's view of strings: code points, white space, case, classes, and numbers as
 * text.  All strings given here are valid UTF-8. */
#ifndef GW_TEXT_JINJA_TEXT_H
#define GW_TEXT_JINJA_TEXT_H

#include "base/base.h"

struct gw_jbuf;
struct gw_jrt;

/* Decodes the code point at s[0] and returns its bytes; encodes one into out[4] likewise. */
size_t gw_j_decode(const char *s, uint32_t *cp);
size_t gw_j_encode(uint32_t cp, char out[4]);
/* The code point that ends at s[end], end > 0; returns its bytes. */
size_t gw_j_decode_back(const char *s, size_t end, uint32_t *cp);
/* Code points of s[0..len); the byte offset of code point `index` (len when past the end). */
size_t gw_j_cp_count(const char *s, size_t len);
size_t gw_j_cp_offset(const char *s, size_t len, size_t index);

/* str.isspace() and friends of one code point. */
bool gw_j_is_space(uint32_t cp);
bool gw_j_is_alpha(uint32_t cp);
bool gw_j_is_decimal(uint32_t cp);
bool gw_j_is_digit(uint32_t cp);
bool gw_j_is_numeric(uint32_t cp);
bool gw_j_is_alnum(uint32_t cp);
bool gw_j_is_lower(uint32_t cp);
bool gw_j_is_upper(uint32_t cp);
bool gw_j_is_title(uint32_t cp);
bool gw_j_is_printable(uint32_t cp);
bool gw_j_is_name_char(uint32_t cp, bool first); /* of an identifier */
bool gw_j_is_line_break(uint32_t cp);            /* for str.splitlines() */

enum gw_jcase { GW_J_UPPER, GW_J_LOWER, GW_J_TITLE, GW_J_CAPITALIZE, GW_J_SWAP, GW_J_FOLD };
/* str.upper(), .lower(), .title(), .capitalize(), .swapcase(), .casefold() with the full mappings
 * of Unicode (one code point may become three). */
void gw_j_put_case(struct gw_jbuf *b, const char *s, size_t len, enum gw_jcase how);

/* Narrows [*from, *to) of s by what str.strip() takes off. */
void gw_j_strip(const char *s, size_t *from, size_t *to, bool left, bool right);
/* The same for str.strip(chars); takes steps of rt, and fails when there are none left. */
bool gw_j_strip_chars(struct gw_jrt *rt, const char *s, size_t *from, size_t *to, const char *chars,
                      size_t n_chars, bool left, bool right);

/* First (or last) place of needle in s[from..to), as a byte offset; SIZE_MAX: none.  Takes steps
 * of rt; out of steps reads as none, with the failure in rt. */
size_t gw_j_find(struct gw_jrt *rt, const char *s, size_t from, size_t to, const char *needle,
                 size_t n, bool last);

/* repr(float); buf holds 32 bytes. */
void gw_j_float_repr(double v, char buf[32]);

/* int(text, base) and float(text): white space around, underscores between digits. */
enum gw_jparsed { GW_J_PARSED, GW_J_NOT_A_NUMBER, GW_J_TOO_LARGE };
enum gw_jparsed gw_j_parse_int(const char *s, size_t len, unsigned base, int64_t *out);
enum gw_jparsed gw_j_parse_float(const char *s, size_t len, double *out);

#endif

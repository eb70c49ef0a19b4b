/* unicode.h - characters as the tokenizers library sees them, whatever Unicode version
 * the installed PCRE2 and utf8proc have. */
#ifndef GW_TEXT_TOKENIZER_UNICODE_H
#define GW_TEXT_TOKENIZER_UNICODE_H

#include "base/base.h"
#include "base/str.h"

/* Rust's char::is_whitespace, which is also \s: the White_Space property. */
bool gw_uni_is_space(uint32_t c);
/* Rust's char::is_numeric: categories Nd, Nl and No. */
bool gw_uni_is_numeric(uint32_t c);
/* A letter that has another case. */
bool gw_uni_is_cased(uint32_t c);
/* Appends Rust's char::to_lowercase. */
void gw_uni_put_lower(struct gw_str *s, uint32_t c);

enum gw_uni_form { GW_NFC, GW_NFD, GW_NFKC, GW_NFKD };
/* Appends the normalization of text[0..len), valid UTF-8, in linear time.  False when there is no
 * memory. */
bool gw_uni_normalize(enum gw_uni_form form, const char *text, size_t len, struct gw_str *out);

/* Appends, as members of a PCRE2 character class, the ranges assigned after Unicode 14 whose
 * category begins with `category` ("" for all; "Alphabetic" for that property). */
void gw_uni_put_new(struct gw_str *s, const char *category);
/* The same by script (its name as in the standard); false if the script is not known here. */
bool gw_uni_put_new_script(struct gw_str *s, const char *script);
/* The known script whose name equals name[0..len) in any case, NULL if none. */
const char *gw_uni_script(const char *name, size_t len);

#endif

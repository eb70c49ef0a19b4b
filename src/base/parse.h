/* parse.h - values of options from their text, wherever they were given: on the command line, in a
 * --config file or by --set. */
#ifndef GW_PARSE_H
#define GW_PARSE_H

#include "base/base.h"

/* Decimal digits alone; false also when it does not fit. */
bool gw_parse_u64(const char *text, uint64_t *out);
/* A finite decimal number, exponent and all. */
bool gw_parse_real(const char *text, double *out);
/* true or false, so written. */
bool gw_parse_flag(const char *text, bool *out);
/* Index of `text` among words written a|b|c, -1: not one of them. */
int gw_parse_choice(const char *words, const char *text);
/* Letters to be changed, put in, left out or swapped with their neighbour to get from a to b ('-'
 * and '_' are the same); SIZE_MAX for names of more than 63 bytes. */
size_t gw_edit_distance(const char *a, const char *b);

#endif

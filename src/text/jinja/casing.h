/* casing.h - code points with an upper or title case of several code points. */
#ifndef GW_TEXT_JINJA_CASING_H
#define GW_TEXT_JINJA_CASING_H

#include <stddef.h>
#include <stdint.h>

struct gw_j_special_case {
    uint32_t cp;
    uint32_t upper[3], title[3]; /* 0 where shorter */
};
extern const struct gw_j_special_case gw_j_special_cases[]; /* in order of cp */
extern const size_t gw_j_n_special_cases;

#endif

/* show.c - how messages show what a file of strangers says. */
#include "checkpoint/safetensors/impl.h"

#include <stdio.h>
#include <string.h>

struct gw_st_shown gw_st_show(const char *name) {
    struct gw_st_shown shown;
    size_t n = 0, len = strnlen(name, sizeof shown.text);
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        bool valid;
        size_t step = gw_utf8_next(name + i, len - i, &cp, &valid);
        bool plain = valid && cp >= ' ' && cp != 0x7F;
        if (n + (plain ? step : 1) >= sizeof shown.text) break;
        if (plain)
            memcpy(shown.text + n, name + i, step);
        else
            shown.text[n] = '?';
        n += plain ? step : 1;
        i += step;
    }
    shown.text[n] = 0;
    return shown;
}

void gw_st_show_shape(size_t rank, const size_t *shape, char *buf, size_t cap) {
    size_t at = (size_t)snprintf(buf, cap, "[");
    for (size_t i = 0; i < rank && at < cap; i++)
        at += (size_t)snprintf(buf + at, cap - at, "%s%zu", i > 0 ? ", " : "", shape[i]);
    if (at < cap) snprintf(buf + at, cap - at, "]");
}

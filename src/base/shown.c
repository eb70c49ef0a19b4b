/* shown.c - see shown.h. */
#include "base/shown.h"

/* What a terminal obeys. */
static bool is_control(uint32_t c) {
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x061C || c == 0x200E || c == 0x200F ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

/* What it shows as nothing; writing needs some of it (joiners). */
static bool is_invisible(uint32_t c) {
    return c == 0xAD || c == 0xFEFF || (c >= 0x200B && c <= 0x200D) ||
           (c >= 0x2060 && c <= 0x206F) || (c >= 0xFFF9 && c <= 0xFFFB) ||
           (c >= 0xE0000 && c <= 0xE0FFF);
}

void gw_str_put_shown(struct gw_str *out, const char *s, size_t len, unsigned how) {
    const bool lines = (how & GW_SHOWN_LINES) != 0, invisible = (how & GW_SHOWN_INVISIBLE) != 0;
    for (size_t i = 0, n; i < len; i += n) {
        uint32_t c;
        bool valid;
        n = gw_utf8_next(s + i, len - i, &c, &valid);
        for (size_t k = 0; k < n && !valid; k++)
            gw_str_printf(out, "\\x%02x", (unsigned)(unsigned char)s[i + k]);
        if (!valid) continue;
        if (c == '\n' || c == '\t') {
            gw_str_puts(out, lines ? (c == '\n' ? "\n" : "\t") : (c == '\n' ? "\\n" : "\\t"));
        } else if (is_control(c) || (invisible && is_invisible(c))) {
            gw_str_printf(out, c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
        } else {
            gw_str_put(out, s + i, n);
        }
    }
}

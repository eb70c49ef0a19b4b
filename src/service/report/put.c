/* put.c - see impl.h: text of files and numbers, made fit to be read. */
#include "service/report/impl.h"

#include <math.h>

/* Characters that are not seen, or that change how others are read. */
static bool is_hidden(uint32_t cp) {
    return cp < 0x20 || (cp >= 0x7F && cp < 0xA0) || cp == 0x61C ||
           (cp >= 0x200E && cp <= 0x200F) || (cp >= 0x2028 && cp <= 0x202E) ||
           (cp >= 0x2066 && cp <= 0x2069) || cp == 0xFEFF || (cp & 0xFFFE) == 0xFFFE;
}

static void put_visible(struct gw_str *out, uint32_t cp) {
    if (cp < 0x20)
        gw_str_put_utf8(out, 0x2400 + cp);
    else if (cp == 0x7F)
        gw_str_put_utf8(out, 0x2421);
    else
        gw_str_printf(out, "\u27E8U+%04X\u27E9", (unsigned)cp);
}

static const char *entity(uint32_t cp) {
    switch (cp) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    default: return NULL;
    }
}

static void put_text(struct gw_str *out, const char *text, size_t len, bool html) {
    uint32_t cp;
    bool valid;
    for (size_t at = 0; at < len;) {
        at += gw_utf8_next(text + at, len - at, &cp, &valid);
        const char *name = html ? entity(cp) : NULL;
        if (name != NULL)
            gw_str_puts(out, name);
        else if (is_hidden(cp) && !(html && (cp == '\n' || cp == '\t')))
            put_visible(out, cp);
        else
            gw_str_put_utf8(out, cp);
    }
}

void gw_report_put_html(struct gw_str *out, const char *text, size_t len) {
    put_text(out, text, len, true);
}

void gw_report_put_plain(struct gw_str *out, const char *text, size_t len) {
    put_text(out, text, len, false);
}

void gw_report_put_number(struct gw_str *out, double v) {
    static const struct {
        double from, unit;
        const char *suffix;
    } scales[] = {{1e15, 0, ""}, {1e9, 1e9, "G"}, {1e6, 1e6, "M"}, {1e4, 1e3, "k"}};
    if (isnan(v)) {
        gw_str_putc(out, '-');
        return;
    }
    for (size_t i = 0; i < GW_ARRAY_LEN(scales); i++) {
        if (fabs(v) < scales[i].from) continue;
        const double unit = scales[i].unit;
        gw_str_printf(out, "%.4g%s", unit > 0 ? v / unit : v, scales[i].suffix);
        return;
    }
    gw_str_printf(out, "%.4g", v);
}

size_t gw_report_width(const char *text, size_t len) {
    size_t columns = 0;
    for (size_t i = 0; i < len; i++) columns += ((unsigned char)text[i] & 0xC0) != 0x80;
    return columns;
}

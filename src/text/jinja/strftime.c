/* strftime.c - datetime.strftime() of a date without time zone, in the C locale.  The C library's
 * strftime() would read the process's locale and TZ. */
#include "text/jinja/builtins.h"
#include "text/jinja/runtime.h"

#include <locale.h>
#include <string.h>

/* One directive, spec[0..n) from its "%" on. */
static void put_directive(struct gw_jbuf *b, locale_t c, const struct tm *tm, const char *spec,
                          size_t n) {
    char format[16], text[128];
    if (n + 1 >= sizeof format) {
        gw_j_put(b, spec, n);
        return;
    }
    /* What follows keeps an empty result apart from a full buffer. */
    memcpy(format, spec, n);
    format[n] = '.';
    format[n + 1] = '\0';
    size_t got = strftime_l(text, sizeof text, format, tm, c);
    if (got > 0) gw_j_put(b, text, got - 1);
}

bool gw_j_strftime(struct gw_jrt *rt, struct gw_jv format, struct gw_jv *out) {
    struct tm tm = {.tm_sec = rt->now->tm_sec,
                    .tm_min = rt->now->tm_min,
                    .tm_hour = rt->now->tm_hour,
                    .tm_mday = rt->now->tm_mday,
                    .tm_mon = rt->now->tm_mon,
                    .tm_year = rt->now->tm_year};
    timegm(&tm); /* day of the week and of the year */
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c == (locale_t)0) return gw_j_fail(rt, GWEN_ERR_NOMEM, "no memory for a locale");
    struct gw_jbuf b = {.rt = rt};
    for (size_t i = 0; i < format.len && !rt->failed;) {
        const char *s = format.u.s + i;
        size_t left = format.len - i, n = 1;
        if (s[0] != '%') {
            gw_j_putc(&b, s[0]);
            i++;
            continue;
        }
        while (n < left && s[n] != '\0' && strchr("-_0^#123456789EO", s[n]) != NULL) n++;
        if (n < left) n++;
        char directive = s[n - 1];
        if (directive == 'f' && n == 2)
            gw_j_puts(&b, "000000");
        else if (directive == 's')
            gw_j_fail(rt, GWEN_ERR_UNSUPPORTED, "%%s in a date format is not supported");
        else if (directive != 'z' && directive != 'Z') /* there is no time zone */
            put_directive(&b, c, &tm, s, n);
        i += n;
    }
    freelocale(c);
    return gw_j_buf_str(&b, out);
}

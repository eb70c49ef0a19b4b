/* chart.c - see impl.h: one metric as a line chart in SVG.
 *
 *     +-- TOP ------------------------+
 *     | 0.8 |                 __/\    |     a line per run; with one run also a band from low to
 *     L     |        __/\____/        R     high or of a standard deviation to both sides
 *     | 0.4 |___/\__/                 |
 *     |     +--------------------     |
 *     |     0     10     20    30     |
 *     +-- BOTTOM ---------------------+
 *
 * Lines of many points are drawn faintly, and over them a mean that moves along.  The script finds
 * values again from the places of points and the data-attributes. */
#include "service/report/impl.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { WIDTH = 460, HEIGHT = 230, LEFT = 58, RIGHT = 14, TOP = 10, BOTTOM = 36 };
enum { SMOOTHED_FROM = 40, DOTS_UP_TO = 30, COLOURS = 8 };

struct axis {
    double low, high, tick;
    double from, to; /* where these two are, in units of the picture */
};

struct chart {
    const struct gw_report_run *runs;
    size_t n_runs;
    const struct gw_report_metric *metric;
    struct axis x, y;
    struct gw_str *out;
};

/* --- axes ----------------------------------------------------------------------------------- */

static double place(const struct axis *a, double v) {
    return a->from + (v - a->low) / (a->high - a->low) * (a->to - a->from);
}

/* 1, 2 or 5 times a power of ten, so that there are about `wanted` ticks. */
static double nice_tick(double range, double wanted) {
    const double rough = range / wanted, power = pow(10, floor(log10(rough)));
    const double lead = rough / power;
    return power * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10);
}

/* Around [low, high]: ends at ticks, or for whole numbers at the data itself. */
static void set_axis(struct axis *a, double low, double high, bool whole) {
    /* What is equal but for rounding is equal. */
    if (!(high - low > 1e-9 * (fabs(low) + fabs(high)) && high - low > 1e-30)) {
        const double margin = fabs(low) > 1e-30 ? fabs(low) * 0.1 : 1;
        low -= margin;
        high += margin;
    } else if (!whole && low > 0 && low < 0.4 * high) {
        low = 0;
    }
    a->tick = nice_tick(high - low, whole ? 6 : 4);
    if (whole && a->tick < 1) a->tick = 1;
    a->low = whole ? low : floor(low / a->tick + 1e-9) * a->tick;
    a->high = whole ? high : ceil(high / a->tick - 1e-9) * a->tick;
}

static void widen(double v, double *low, double *high) {
    *low = fmin(*low, v); /* fmin and fmax pass over NaN */
    *high = fmax(*high, v);
}

/* Without smoothing a single run shows how far its values lie apart. */
static bool has_band(const struct chart *c) { return c->n_runs == 1; }

/* Ends of the band at point i; NaN where it has none. */
static void band_at(const struct chart *c, const struct gw_report_run *run, size_t i, double *low,
                    double *high) {
    const struct gw_report_metric *m = c->metric;
    const struct gw_report_series *one = gw_report_run_find(run, m->name);
    const struct gw_report_series *std = m->std ? gw_report_run_find(run, m->std) : NULL;
    const struct gw_report_series *least = m->low ? gw_report_run_find(run, m->low) : NULL;
    const struct gw_report_series *most = m->high ? gw_report_run_find(run, m->high) : NULL;
    *low = *high = NAN;
    if (std != NULL) {
        *low = one->values[i] - std->values[i];
        *high = one->values[i] + std->values[i];
    } else if (least != NULL && most != NULL) {
        *low = least->values[i];
        *high = most->values[i];
    }
}

/* False when there is nothing to draw. */
static bool set_axes(struct chart *c) {
    double x0 = INFINITY, x1 = -INFINITY, y0 = INFINITY, y1 = -INFINITY;
    for (size_t r = 0; r < c->n_runs; r++) {
        const struct gw_report_run *run = &c->runs[r];
        const struct gw_report_series *one = gw_report_run_find(run, c->metric->name);
        for (size_t i = 0; one != NULL && i < run->n; i++) {
            double low, high;
            widen(one->values[i], &y0, &y1);
            widen(run->steps[i], &x0, &x1);
            if (!has_band(c)) continue;
            band_at(c, run, i, &low, &high);
            widen(low, &y0, &y1);
            widen(high, &y0, &y1);
        }
    }
    if (!(y0 <= y1)) return false;
    set_axis(&c->x, x0, x1, true);
    set_axis(&c->y, y0 * c->metric->scale, y1 * c->metric->scale, false);
    c->x.from = LEFT;
    c->x.to = WIDTH - RIGHT;
    c->y.from = HEIGHT - BOTTOM;
    c->y.to = TOP;
    return true;
}

static void put_tick_label(struct gw_str *out, double v, double tick) {
    const double digits = ceil(-log10(tick) - 1e-9);
    if (fabs(v) < tick / 2)
        gw_str_putc(out, '0');
    else if (digits > 0 && digits <= 4)
        gw_str_printf(out, "%.*f", (int)digits, v);
    else
        gw_report_put_number(out, v);
}

static void put_axes(const struct chart *c) {
    struct gw_str *out = c->out;
    const double bottom = HEIGHT - BOTTOM;
    gw_str_puts(out, "<g class=\"grid\">");
    for (double v = c->y.low; v <= c->y.high + c->y.tick / 2; v += c->y.tick)
        gw_str_printf(out, "<path d=\"M%d %.1fH%d\"/>", LEFT, place(&c->y, v), WIDTH - RIGHT);
    gw_str_printf(out, "</g><path class=\"axis\" d=\"M%d %.1fH%d\"/><g class=\"ticks\">", LEFT,
                  bottom, WIDTH - RIGHT);
    for (double v = c->y.low; v <= c->y.high + c->y.tick / 2; v += c->y.tick) {
        gw_str_printf(out, "<text class=\"end\" x=\"%d\" y=\"%.1f\">", LEFT - 6,
                      place(&c->y, v) + 4);
        put_tick_label(out, v, c->y.tick);
        gw_str_puts(out, "</text>");
    }
    const double first = ceil(c->x.low / c->x.tick) * c->x.tick;
    for (double v = first; v <= c->x.high; v += c->x.tick) {
        gw_str_printf(out, "<text class=\"mid\" x=\"%.1f\" y=\"%.1f\">", place(&c->x, v),
                      bottom + 15);
        put_tick_label(out, v, c->x.tick);
        gw_str_puts(out, "</text>");
    }
    gw_str_printf(out, "<text class=\"mid\" x=\"%d\" y=\"%d\">step</text></g>",
                  (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5);
}

/* --- lines ---------------------------------------------------------------------------------- */

/* The mean of the values around point i. */
static double smoothed(const double *values, size_t n, size_t i, size_t reach) {
    double sum = 0;
    size_t count = 0;
    for (size_t k = i > reach ? i - reach : 0; k < n && k <= i + reach; k++) {
        if (isnan(values[k])) continue;
        sum += values[k];
        count++;
    }
    return count > 0 ? sum / (double)count : NAN;
}

/* One polyline; reach 0 draws the values themselves. */
static void put_line(const struct chart *c, size_t r, const double *values, size_t reach,
                     const char *class) {
    const struct gw_report_run *run = &c->runs[r];
    const char *blank = "";
    gw_str_printf(c->out, "<polyline class=\"%s c%zu%s\" data-run=\"%zu\" points=\"", class,
                  r % COLOURS, r >= COLOURS ? " dashed" : "", r);
    for (size_t i = 0; i < run->n; i++) {
        if (isnan(values[i])) continue;
        const double v = reach > 0 ? smoothed(values, run->n, i, reach) : values[i];
        gw_str_printf(c->out, "%s%.2f,%.2f", blank, place(&c->x, run->steps[i]),
                      place(&c->y, v * c->metric->scale));
        blank = " ";
    }
    gw_str_puts(c->out, "\"/>");
}

static void put_dots(const struct chart *c, size_t r, const double *values) {
    const struct gw_report_run *run = &c->runs[r];
    gw_str_printf(c->out, "<g class=\"dots c%zu\" data-run=\"%zu\">", r % COLOURS, r);
    for (size_t i = 0; i < run->n; i++)
        if (!isnan(values[i]))
            gw_str_printf(c->out, "<circle r=\"2.5\" cx=\"%.2f\" cy=\"%.2f\"/>",
                          place(&c->x, run->steps[i]), place(&c->y, values[i] * c->metric->scale));
    gw_str_puts(c->out, "</g>");
}

/* Along the upper ends and back along the lower ones. */
static void put_band(const struct chart *c) {
    const struct gw_report_run *run = &c->runs[0];
    const struct gw_report_metric *m = c->metric;
    double low, high;
    if (m->std == NULL && (m->low == NULL || m->high == NULL)) return;
    gw_str_puts(c->out, "<polygon class=\"band c0\" points=\"");
    for (size_t k = 0; k < 2 * run->n; k++) {
        const size_t i = k < run->n ? k : 2 * run->n - 1 - k;
        band_at(c, run, i, &low, &high);
        if (isnan(low) || isnan(high)) continue;
        gw_str_printf(c->out, "%.2f,%.2f ", place(&c->x, run->steps[i]),
                      place(&c->y, (k < run->n ? high : low) * m->scale));
    }
    gw_str_puts(c->out, "\"/>");
}

static size_t count_points(const struct gw_report_run *run, const double *values) {
    size_t n = 0;
    for (size_t i = 0; i < run->n; i++) n += !isnan(values[i]);
    return n;
}

static void put_lines(const struct chart *c) {
    if (has_band(c)) put_band(c);
    for (size_t r = 0; r < c->n_runs; r++) {
        const struct gw_report_series *one = gw_report_run_find(&c->runs[r], c->metric->name);
        if (one == NULL) continue;
        const size_t points = count_points(&c->runs[r], one->values);
        const bool smooth = points >= SMOOTHED_FROM;
        put_line(c, r, one->values, 0, smooth ? "raw" : "line");
        if (smooth) put_line(c, r, one->values, GW_MAX(c->runs[r].n / 40, (size_t)2), "line");
        if (points <= DOTS_UP_TO) put_dots(c, r, one->values);
    }
}

/* --- the figure ----------------------------------------------------------------------------- */

static void put_html(struct gw_str *out, const char *text) {
    gw_report_put_html(out, text, strlen(text));
}

/* What a reader who cannot see the picture is told. */
static void put_description(const struct chart *c) {
    struct gw_str *out = c->out;
    gw_str_puts(out, "<desc>");
    for (size_t r = 0; r < c->n_runs; r++) {
        const struct gw_report_series *one = gw_report_run_find(&c->runs[r], c->metric->name);
        if (one == NULL) continue;
        const double scale = c->metric->scale;
        const struct {
            const char *before;
            double value;
        } parts[] = {{": from ", one->first},
                     {" to ", one->last},
                     {", between ", one->least},
                     {" and ", one->most}};
        put_html(out, c->runs[r].name);
        for (size_t i = 0; i < GW_ARRAY_LEN(parts); i++) {
            gw_str_puts(out, parts[i].before);
            gw_report_put_number(out, parts[i].value * scale);
        }
        gw_str_printf(out, " in %" PRIu64 " steps. ", one->count);
    }
    gw_str_puts(out, "</desc>");
}

static void put_caption(const struct chart *c) {
    const struct gw_report_metric *m = c->metric;
    gw_str_puts(c->out, "<figcaption><b>");
    put_html(c->out, m->title);
    gw_str_puts(c->out, "</b> <span>");
    put_html(c->out, m->unit);
    if (has_band(c) && m->std != NULL) gw_str_puts(c->out, " \u00B1 standard deviation");
    if (has_band(c) && m->low != NULL && m->high != NULL) gw_str_puts(c->out, ", least to most");
    gw_str_puts(c->out, "</span>");
    if (strcmp(m->title, m->name) != 0) {
        gw_str_puts(c->out, "<code>");
        put_html(c->out, m->name);
        gw_str_puts(c->out, "</code>");
    }
    gw_str_puts(c->out, "</figcaption>");
}

void gw_report_put_chart(const struct gw_report_run *runs, size_t n_runs,
                         const struct gw_report_metric *metric, struct gw_str *out) {
    struct chart c = {.runs = runs, .n_runs = n_runs, .metric = metric, .out = out};
    if (!set_axes(&c)) return;
    gw_str_puts(out, "<figure>");
    put_caption(&c);
    gw_str_printf(out,
                  "<svg class=\"chart\" role=\"img\" viewBox=\"0 0 %d %d\" data-x=\"%.9g %.9g %.9g "
                  "%.9g\" data-y=\"%.9g %.9g %.9g %.9g\"><title>",
                  WIDTH, HEIGHT, c.x.from, c.x.to, c.x.low, c.x.high, c.y.from, c.y.to, c.y.low,
                  c.y.high);
    put_html(out, metric->title);
    gw_str_puts(out, "</title>");
    put_description(&c);
    put_axes(&c);
    put_lines(&c);
    gw_str_puts(out, "</svg></figure>\n");
}

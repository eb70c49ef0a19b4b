/* text.c - see report.h: the same figures for a terminal.
 *
 *     run3   30 steps
 *     Reward
 *       reward                         0.39     0.81   ▁▂▃▅▅▆▇▇
 *
 * With several runs each metric has a line per run. */
#include "service/record/metrics.h"
#include "service/report/impl.h"

#include <inttypes.h>
#include <string.h>

enum { LEAST_COLUMNS = 40, NAME_COLUMNS = 36, NUMBER_COLUMNS = 10, MOST_SPARK = 60 };

static const char *const NUMBERS[] = {"first", "last", "least", "most"};

/* How a line of a metric is divided; what there is no room for is left out from the right. */
struct layout {
    size_t name, numbers, spark;
};

static struct layout divide(size_t columns) {
    const size_t name = GW_MIN((size_t)NAME_COLUMNS, columns - 2 * NUMBER_COLUMNS);
    const size_t numbers = GW_MIN(GW_ARRAY_LEN(NUMBERS), (columns - name) / NUMBER_COLUMNS);
    const size_t used = name + numbers * NUMBER_COLUMNS + 2;
    return (struct layout){name, numbers,
                           columns > used ? GW_MIN(columns - used, (size_t)MOST_SPARK) : 0};
}

/* Text cut to `width` columns and filled up with blanks, on the side that `right` says. */
static void put_field(struct gw_str *out, const struct gw_str *text, size_t width, bool right) {
    const char *data = text->data != NULL ? text->data : "";
    const size_t columns = gw_report_width(data, text->len);
    size_t bytes = text->len, used = columns;
    while (used > width) {
        do bytes--;
        while (((unsigned char)data[bytes] & 0xC0) == 0x80);
        used--;
    }
    if (right) gw_str_printf(out, "%*s", (int)(width - used), "");
    gw_str_put(out, data, bytes);
    if (!right) gw_str_printf(out, "%*s", (int)(width - used), "");
    out->failed |= text->failed;
}

static void put_name(struct gw_str *out, const char *name, size_t width) {
    struct gw_str text = {0};
    gw_report_put_plain(&text, name, strlen(name));
    put_field(out, &text, width, false);
    gw_str_free(&text);
}

static void put_value(struct gw_str *out, double v) {
    struct gw_str text = {0};
    gw_report_put_number(&text, v);
    put_field(out, &text, NUMBER_COLUMNS, true);
    gw_str_free(&text);
}

static void put_series(struct gw_str *out, const char *label, const struct gw_report_run *run,
                       const struct gw_report_series *one, double scale, struct layout l) {
    const double values[GW_ARRAY_LEN(NUMBERS)] = {one->first, one->last, one->least, one->most};
    gw_str_puts(out, "  ");
    put_name(out, label, l.name - 2);
    for (size_t i = 0; i < l.numbers; i++) put_value(out, values[i] * scale);
    if (l.spark > 0) gw_str_puts(out, "  ");
    gw_sparkline(one->values, run->n, l.spark, out);
    gw_str_putc(out, '\n');
}

static void put_metric(struct gw_str *out, const struct gw_report_run *runs, size_t n_runs,
                       const struct gw_report_metric *m, struct layout l) {
    struct gw_str label = {0};
    if (n_runs > 1) {
        gw_str_puts(out, "  ");
        put_name(out, m->name, strlen(m->name));
        gw_str_putc(out, '\n');
    }
    for (size_t r = 0; r < n_runs; r++) {
        const struct gw_report_series *one = gw_report_run_find(&runs[r], m->name);
        if (one == NULL) continue;
        gw_str_clear(&label);
        if (n_runs > 1) gw_str_puts(&label, "  ");
        gw_str_puts(&label, n_runs > 1 ? runs[r].name : m->name);
        if (!label.failed) put_series(out, label.data, &runs[r], one, m->scale, l);
        out->failed |= label.failed;
    }
    gw_str_free(&label);
}

static void put_runs(struct gw_str *out, const struct gw_report_run *runs, size_t n_runs) {
    for (size_t r = 0; r < n_runs; r++) {
        const struct gw_report_run *run = &runs[r];
        gw_report_put_plain(out, run->name, strlen(run->name));
        gw_str_printf(out, ": %" PRIu64 " steps, the last one %" PRIu64 "\n", run->n_steps,
                      run->last_step);
        for (size_t at = 0; at < run->notes.len;) {
            const char *line = run->notes.data + at;
            const size_t n = strcspn(line, "\n");
            gw_str_puts(out, "  note: ");
            gw_report_put_plain(out, line, n);
            gw_str_putc(out, '\n');
            at += n + 1;
        }
    }
}

enum gwen_status gw_report_text(const struct gw_report_run *runs, size_t n_runs, size_t columns,
                                struct gw_str *out, struct gwen_err *err) {
    struct gw_report_plan plan;
    GW_TRY(gw_report_plan(runs, n_runs, &plan, err));
    const struct layout l = divide(GW_MAX(columns, (size_t)LEAST_COLUMNS));
    put_runs(out, runs, n_runs);
    for (size_t s = 0; s < plan.n_sections; s++) {
        const struct gw_report_section *section = &plan.sections[s];
        gw_str_printf(out, "\n%-*s", (int)l.name, section->title);
        for (size_t i = 0; i < l.numbers; i++)
            gw_str_printf(out, "%*s", NUMBER_COLUMNS, NUMBERS[i]);
        gw_str_putc(out, '\n');
        for (size_t i = 0; i < section->n; i++)
            put_metric(out, runs, n_runs, &plan.metrics[section->first + i], l);
    }
    gw_report_plan_free(&plan);
    return out->failed ? gw_nomem(err, out->len, "a report") : GWEN_OK;
}

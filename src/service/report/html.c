/* html.c - see report.h: the page.  It is written section by section, so that what is in
 * memory does not grow with it. */
#include "service/report/impl.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

struct writer {
    const struct gw_report_run *runs;
    size_t n_runs;
    const struct gw_report_opts *opts;
    struct gw_out *file;
    struct gw_str out; /* of the section */
};

static void put_html(struct gw_str *out, const char *text) {
    gw_report_put_html(out, text, strlen(text));
}

static enum gwen_status flush(struct writer *w, struct gwen_err *err) {
    if (w->out.failed) return gw_nomem(err, w->out.len, "a report");
    enum gwen_status status = gw_out_write(w->file, w->out.data, w->out.len, err);
    gw_str_clear(&w->out);
    return status;
}

/* --- head ----------------------------------------------------------------------------------- */

/* The policy forbids the page to load anything, and scripts but its own. */
static void put_head(struct writer *w) {
    struct gw_str *out = &w->out;
    gw_str_puts(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                     "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                     "style-src 'unsafe-inline'; script-src 'nonce-gwen'; img-src data:\">\n"
                     "<link rel=\"icon\" href=\"data:,\">\n<title>");
    for (size_t r = 0; r < w->n_runs; r++) {
        if (r > 0) gw_str_puts(out, ", ");
        put_html(out, w->runs[r].name);
    }
    gw_str_puts(out, "</title>\n<style>\n");
    gw_str_puts(out, GW_REPORT_STYLE);
    gw_str_puts(out, "</style></head>\n<body><main>\n");
}

/* --- the table of runs ---------------------------------------------------------------------- */

/* A few figures of each run; `both`: at the beginning and at the end. */
static const struct {
    const char *name, *title;
    bool both;
} OVERVIEW[] = {
    {"reward", "reward", true},
    {"loss", "loss", true},
    {"eval_full/accuracy", "accuracy", true},
    {"eval_loss", "eval loss", true},
    {"kl", "KL", false},
    {"entropy", "entropy", true},
    {"completions/mean_length", "length", true},
    {"time/train/rollout_tokens_per_s", "sampling tok/s", false},
    {"time/train/tokens_per_s", "training tok/s", false},
};

/* Means over the first and the last tenth of the points that have a value. */
static void ends_of(const struct gw_report_run *run, const struct gw_report_series *one,
                    double *first, double *last) {
    size_t n = 0;
    for (size_t i = 0; i < run->n; i++) n += !isnan(one->values[i]);
    const size_t some = GW_MAX(n / 10, (size_t)1);
    double sums[2] = {0, 0};
    for (size_t i = 0, at = 0; i < run->n; i++) {
        if (isnan(one->values[i])) continue;
        if (at < some) sums[0] += one->values[i];
        if (at >= n - some) sums[1] += one->values[i];
        at++;
    }
    *first = sums[0] / (double)some;
    *last = sums[1] / (double)some;
}

static bool any_has(const struct writer *w, const char *name) {
    for (size_t r = 0; r < w->n_runs; r++)
        if (gw_report_run_find(&w->runs[r], name) != NULL) return true;
    return false;
}

static void put_seconds(struct gw_str *out, double s) {
    if (s < 120)
        gw_str_printf(out, "%.3g s", s);
    else if (s < 7200)
        gw_str_printf(out, "%.3g min", s / 60);
    else
        gw_str_printf(out, "%.3g h", s / 3600);
}

static void put_figures(const struct writer *w, const struct gw_report_run *run,
                        struct gw_str *out) {
    for (size_t i = 0; i < GW_ARRAY_LEN(OVERVIEW); i++) {
        if (!any_has(w, OVERVIEW[i].name)) continue;
        const struct gw_report_series *one = gw_report_run_find(run, OVERVIEW[i].name);
        double first, last;
        gw_str_puts(out, "<td class=\"num\">");
        if (one != NULL) {
            ends_of(run, one, &first, &last);
            if (OVERVIEW[i].both) {
                gw_report_put_number(out, first);
                gw_str_puts(out, " \u2192 ");
            }
            gw_report_put_number(out, last);
        }
        gw_str_puts(out, "</td>");
    }
}

static void put_run(struct writer *w, size_t r) {
    struct gw_str *out = &w->out;
    const struct gw_report_run *run = &w->runs[r];
    const struct gw_report_series *seconds = gw_report_run_find(run, "time/train/step_s");
    const struct gw_report_series *tokens = gw_report_run_find(run, "num_tokens");
    gw_str_puts(out, "<tr data-name=\"");
    put_html(out, run->name);
    gw_str_printf(out,
                  "\" class=\"c%zu\"><th scope=\"row\"><label><input type=\"checkbox\" checked "
                  "hidden> <span class=\"swatch\"></span>",
                  r % 8);
    put_html(out, run->name);
    gw_str_printf(out, "</label></th><td class=\"num\">%" PRIu64 "</td>", run->n_steps);
    put_figures(w, run, out);
    gw_str_puts(out, "<td class=\"num\">");
    if (tokens != NULL) gw_report_put_number(out, tokens->last);
    gw_str_puts(out, "</td><td class=\"num\">");
    if (seconds != NULL) put_seconds(out, seconds->total);
    gw_str_puts(out, "</td></tr>\n");
}

static void put_runs(struct writer *w) {
    struct gw_str *out = &w->out;
    gw_str_puts(out, "<h1>");
    if (w->n_runs == 1)
        put_html(out, w->runs[0].name);
    else
        gw_str_printf(out, "%zu runs", w->n_runs);
    gw_str_puts(out, "</h1>\n<p>Means over the first and the last tenth of the steps.</p>\n"
                     "<div class=\"card wide\" id=\"runs\"><table><tr><th>run</th>"
                     "<th class=\"num\">steps</th>");
    for (size_t i = 0; i < GW_ARRAY_LEN(OVERVIEW); i++)
        if (any_has(w, OVERVIEW[i].name))
            gw_str_printf(out, "<th class=\"num\">%s</th>", OVERVIEW[i].title);
    gw_str_puts(out, "<th class=\"num\">tokens</th><th class=\"num\">time</th></tr>\n");
    for (size_t r = 0; r < w->n_runs; r++) put_run(w, r);
    gw_str_puts(out, "</table></div>\n");
    for (size_t r = 0; r < w->n_runs; r++) {
        const struct gw_report_run *run = &w->runs[r];
        if (run->notes.len == 0) continue;
        gw_str_puts(out, "<p class=\"note\"><b>");
        put_html(out, run->name);
        gw_str_puts(out, "</b>: ");
        gw_report_put_html(out, run->notes.data, run->notes.len - 1);
        gw_str_puts(out, "</p>\n");
    }
}

/* --- charts --------------------------------------------------------------------------------- */

static void put_constant(const struct gw_report_plan *plan, const struct writer *w,
                         struct gw_str *out) {
    if (plan->n_constant == 0) return;
    gw_str_puts(out, "<p>The same in every step: ");
    for (size_t i = 0; i < plan->n_constant; i++) {
        const struct gw_report_metric *m = &plan->constant[i];
        const struct gw_report_series *one = NULL;
        for (size_t r = 0; one == NULL; r++) one = gw_report_run_find(&w->runs[r], m->name);
        gw_str_puts(out, i > 0 ? ", <code>" : "<code>");
        put_html(out, m->name);
        gw_str_puts(out, "</code> ");
        gw_report_put_number(out, one->last * m->scale);
        if (m->unit[0] != 0) gw_str_printf(out, " %s", m->unit);
    }
    gw_str_puts(out, "</p>\n");
}

static enum gwen_status write_charts(struct writer *w, struct gwen_err *err) {
    struct gw_report_plan plan;
    GW_TRY(gw_report_plan(w->runs, w->n_runs, &plan, err));
    enum gwen_status status = GWEN_OK;
    for (size_t s = 0; s < plan.n_sections && status == GWEN_OK; s++) {
        const struct gw_report_section *section = &plan.sections[s];
        gw_str_printf(&w->out, "<h2>%s</h2>\n<div class=\"charts\">\n", section->title);
        for (size_t i = 0; i < section->n && status == GWEN_OK; i++) {
            gw_report_put_chart(w->runs, w->n_runs, &plan.metrics[section->first + i], &w->out);
            status = flush(w, err);
        }
        gw_str_puts(&w->out, "</div>\n");
    }
    put_constant(&plan, w, &w->out);
    gw_report_plan_free(&plan);
    return status == GWEN_OK ? flush(w, err) : status;
}

/* --- time ----------------------------------------------------------------------------------- */

enum { MOST_PARTS = 8 };

struct split {
    const char *names[MOST_PARTS]; /* "time/train/rollout_s" */
    size_t n;
};

#define TIME_PREFIX "time/train/"

static bool is_part(const char *name) {
    const size_t n = strlen(name);
    return strncmp(name, TIME_PREFIX, strlen(TIME_PREFIX)) == 0 &&
           strncmp(name, TIME_PREFIX "step_", strlen(TIME_PREFIX "step_")) != 0 &&
           strcmp(name + n - 2, "_s") == 0 && (n < 6 || strcmp(name + n - 6, "_per_s") != 0);
}

static void find_parts(const struct writer *w, struct split *split) {
    for (size_t r = 0; r < w->n_runs; r++)
        for (size_t s = 0; s < w->runs[r].n_series; s++) {
            const char *name = w->runs[r].series[s].name;
            size_t i = 0;
            while (i < split->n && strcmp(split->names[i], name) != 0) i++;
            if (i == split->n && i < MOST_PARTS && is_part(name)) split->names[split->n++] = name;
        }
}

static double total_of(const struct gw_report_run *run, const char *name) {
    const struct gw_report_series *one = gw_report_run_find(run, name);
    return one != NULL ? one->total : 0;
}

/* Seconds of a part, or of what no part accounts for (part == split->n). */
static double part_seconds(const struct split *split, const struct gw_report_run *run, size_t part,
                           double whole) {
    if (part < split->n) return total_of(run, split->names[part]);
    double rest = whole;
    for (size_t i = 0; i < split->n; i++) rest -= total_of(run, split->names[i]);
    return fmax(rest, 0);
}

static void put_split_head(const struct split *split, struct gw_str *out) {
    gw_str_puts(out, "<h2>Where the time went</h2>\n<div class=\"card wide\"><table><tr><th>run"
                     "</th><th></th><th class=\"num\">s per step</th>");
    for (size_t i = 0; i <= split->n; i++) {
        gw_str_printf(out, "<th class=\"num c%zu\"><span class=\"swatch\"></span>", i % 8);
        if (i < split->n) {
            const char *name = split->names[i] + strlen(TIME_PREFIX);
            gw_report_put_html(out, name, strlen(name) - 2);
        } else {
            gw_str_puts(out, "the rest");
        }
        gw_str_puts(out, "</th>");
    }
    gw_str_puts(out, "</tr>\n");
}

static void put_split(const struct split *split, const struct gw_report_run *run,
                      struct gw_str *out) {
    const struct gw_report_series *step = gw_report_run_find(run, TIME_PREFIX "step_s");
    if (step == NULL || !(step->total > 0)) return;
    gw_str_puts(out, "<tr><th scope=\"row\">");
    put_html(out, run->name);
    gw_str_puts(out, "</th><td style=\"width:40%\"><div class=\"bar\">");
    for (size_t i = 0; i <= split->n; i++)
        gw_str_printf(out, "<i class=\"c%zu\" style=\"width:%.2f%%\"></i>", i % 8,
                      100 * part_seconds(split, run, i, step->total) / step->total);
    gw_str_puts(out, "</div></td><td class=\"num\">");
    gw_report_put_number(out, step->total / (double)step->count);
    gw_str_puts(out, "</td>");
    for (size_t i = 0; i <= split->n; i++)
        gw_str_printf(out, "<td class=\"num\">%.1f %%</td>",
                      100 * part_seconds(split, run, i, step->total) / step->total);
    gw_str_puts(out, "</tr>\n");
}

static void put_time(struct writer *w) {
    struct split split = {{NULL}, 0};
    find_parts(w, &split);
    if (split.n == 0 || !any_has(w, TIME_PREFIX "step_s")) return;
    put_split_head(&split, &w->out);
    for (size_t r = 0; r < w->n_runs; r++) put_split(&split, &w->runs[r], &w->out);
    gw_str_puts(&w->out, "</table></div>\n");
}

/* --- samples -------------------------------------------------------------------------------- */

static enum gwen_status write_samples(struct writer *w, struct gwen_err *err) {
    size_t steps = 0, shown = 0;
    for (size_t r = 0; r < w->n_runs; r++) {
        steps += w->runs[r].n_sample_steps;
        shown += GW_MIN(w->runs[r].n_sample_steps, w->opts->sample_steps);
    }
    if (steps == 0) return GWEN_OK;
    gw_str_printf(&w->out,
                  "<h2>Samples</h2>\n<p>%zu of %zu steps with samples, at most %zu completions of "
                  "each, at most %d bytes of a text.</p>\n<div class=\"pager\" hidden>"
                  "<select aria-label=\"run\"></select><button type=\"button\" "
                  "aria-label=\"step before\">\u2190</button><input type=\"range\" min=\"0\" "
                  "value=\"0\" aria-label=\"step\"><button type=\"button\" "
                  "aria-label=\"next step\">\u2192</button><output></output></div>\n",
                  shown, steps, w->opts->samples, GW_REPORT_TEXT);
    GW_TRY(flush(w, err));
    for (size_t r = 0; r < w->n_runs; r++)
        GW_TRY(gw_report_put_samples(&w->runs[r], r, w->opts, w->file, err));
    return GWEN_OK;
}

/* --- the page ------------------------------------------------------------------------------- */

static enum gwen_status write_page(struct writer *w, struct gwen_err *err) {
    put_head(w);
    put_runs(w);
    GW_TRY(flush(w, err));
    GW_TRY(write_charts(w, err));
    put_time(w);
    GW_TRY(write_samples(w, err));
    gw_str_puts(&w->out, "</main>\n<script nonce=\"gwen\">\n");
    gw_str_puts(&w->out, GW_REPORT_SCRIPT);
    gw_str_puts(&w->out, "</script></body></html>\n");
    return flush(w, err);
}

enum gwen_status gw_report_html(const struct gw_report_run *runs, size_t n_runs,
                                const struct gw_report_opts *opts, const char *path,
                                struct gwen_err *err) {
    struct writer w = {.runs = runs, .n_runs = n_runs, .opts = opts};
    GW_TRY(gw_out_open(path, &w.file, err));
    enum gwen_status status = write_page(&w, err);
    gw_str_free(&w.out);
    if (status == GWEN_OK) return gw_out_commit(w.file, err);
    gw_out_abort(w.file);
    return status;
}

/* report.c - see report.h. */
#include "service/tune/report.h"

#include <math.h>
#include <stdio.h>

enum { BAR = 32 };

static const double GIB = 1024.0 * 1024 * 1024;

static double best_rate(const struct gw_tune_result *r) {
    double best = 0;
    for (size_t i = 0; i < r->n_candidates; i++) best = GW_MAX(best, r->candidates[i].choice.tok_s);
    return best;
}

/* --- text ----------------------------------------------------------------------------------- */

void gw_tune_put_table(const struct gw_tune_result *r, struct gw_str *s) {
    const double best = best_rate(r);
    gw_str_puts(s, "   batch       RAM      tok/s    std   busy\n");
    for (size_t i = 0; i < r->n_candidates; i++) {
        const struct gw_tune_candidate *c = &r->candidates[i];
        struct gw_str bytes = {0};
        gw_put_bytes(&bytes, c->choice.bytes);
        gw_str_printf(s, " %c %5zu  %8s  ", i == r->chosen ? '*' : ' ', c->choice.batch,
                      bytes.failed ? "?" : bytes.data);
        gw_str_free(&bytes);
        if (!c->choice.fits) {
            gw_str_puts(s, "   does not fit\n");
            continue;
        }
        gw_str_printf(s, "%9.1f %6.1f %4.0f %%  ", c->choice.tok_s, c->tok_s_std,
                      100 * c->choice.busy);
        const int bar = best > 0 ? (int)lround(c->choice.tok_s / best * BAR) : 0;
        for (int k = 0; k < bar; k++) gw_str_putc(s, '#');
        if (c->real) gw_str_puts(s, " (run)");
        gw_str_putc(s, '\n');
    }
}

void gw_tune_put_candidates(const struct gw_tune_result *r, struct gw_str *s) {
    for (size_t i = 0; i < r->n_candidates; i++) {
        const struct gw_tune_candidate *c = &r->candidates[i];
        gw_str_printf(s, "{\"what\":\"candidate\",\"rollout_batch_size\":%zu,\"memory_bytes\":%zu",
                      c->choice.batch, c->choice.bytes);
        if (c->choice.fits)
            gw_str_printf(s,
                          ",\"tok_s\":%.6g,\"tok_s_std\":%.4g,\"busy\":%.4g,\"run\":%s,"
                          "\"chosen\":%s}\n",
                          c->choice.tok_s, c->tok_s_std, c->choice.busy, c->real ? "true" : "false",
                          i == r->chosen ? "true" : "false");
        else
            gw_str_puts(s, ",\"tok_s\":null,\"reason\":\"does not fit\",\"chosen\":false}\n");
    }
    for (size_t i = 0; i < r->train.n; i++) {
        const struct gw_tune_train_choice *c = &r->train.choices[i];
        gw_str_printf(s,
                      "{\"what\":\"train candidate\",\"train_micro_batch\":%zu,"
                      "\"memory_bytes\":%zu,\"layer_s\":%.6g,\"picked\":%s}\n",
                      c->micro_batch, c->bytes, c->seconds,
                      c->micro_batch == r->train.micro_batch ? "true" : "false");
    }
}

/* --- the picture ---------------------------------------------------------------------------- */

enum { WIDTH = 720, HEIGHT = 420, LEFT = 70, RIGHT = 650, TOP = 50, BOTTOM = 350, TICKS = 5 };

#define RATE_COLOUR "#1f6feb"
#define RAM_COLOUR "#bf5700"

/* A round number that n of make at least `most`. */
static double nice_step(double most, int n) {
    const double step = GW_MAX(most, 1e-9) / n, power = pow(10, floor(log10(step)));
    const double of[] = {1, 2, 2.5, 5, 10};
    for (size_t i = 0; i < GW_ARRAY_LEN(of); i++)
        if (of[i] * power >= step * (1 - 1e-9)) return of[i] * power;
    return 10 * power;
}

struct axes {
    double log_lo, log_hi; /* of the batch size: doublings are equally far apart */
    double rate, ram;      /* at the top; GiB */
};

static double x_of(const struct axes *a, size_t batch) {
    return LEFT + (log2((double)batch) - a->log_lo) / (a->log_hi - a->log_lo) * (RIGHT - LEFT);
}

static double y_of(double value, double top) {
    return BOTTOM - GW_MIN(GW_MAX(value / top, 0), 1) * (BOTTOM - TOP);
}

static void put_text(struct gw_str *s, double x, double y, const char *anchor, const char *fill,
                     const char *text) {
    gw_str_printf(s, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" fill=\"%s\">", x, y, anchor,
                  fill);
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '<': gw_str_puts(s, "&lt;"); break;
        case '>': gw_str_puts(s, "&gt;"); break;
        case '&': gw_str_puts(s, "&amp;"); break;
        default: gw_str_putc(s, (unsigned char)*text < 0x20 ? ' ' : *text); break;
        }
    }
    gw_str_puts(s, "</text>\n");
}

static void put_line(struct gw_str *s, double x1, double y1, double x2, double y2,
                     const char *style) {
    gw_str_printf(s, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n", x1, y1, x2, y2,
                  style);
}

static void put_axes(const struct gw_tune_result *r, const struct axes *a, struct gw_str *s) {
    char text[32];
    for (int i = 0; i <= TICKS; i++) {
        const double y = BOTTOM - (double)i / TICKS * (BOTTOM - TOP);
        put_line(s, LEFT, y, RIGHT, y, "stroke=\"#dddddd\"");
        snprintf(text, sizeof text, "%g", a->rate * i / TICKS);
        put_text(s, LEFT - 8, y + 4, "end", RATE_COLOUR, text);
        snprintf(text, sizeof text, "%g", a->ram * i / TICKS);
        put_text(s, RIGHT + 8, y + 4, "start", RAM_COLOUR, text);
    }
    double last = -100;
    for (size_t i = 0; i < r->n_candidates; i++) {
        const double x = x_of(a, r->candidates[i].choice.batch);
        if (x - last < 26) continue;
        last = x;
        put_line(s, x, BOTTOM, x, BOTTOM + 5, "stroke=\"#444444\"");
        snprintf(text, sizeof text, "%zu", r->candidates[i].choice.batch);
        put_text(s, x, BOTTOM + 20, "middle", "#444444", text);
    }
    put_text(s, (LEFT + RIGHT) / 2.0, BOTTOM + 44, "middle", "#444444", "rollout batch size");
    put_text(s, LEFT, TOP - 12, "middle", RATE_COLOUR, "tokens/s");
    put_text(s, RIGHT, TOP - 12, "middle", RAM_COLOUR, "RAM, GiB");
}

static void put_curves(const struct gw_tune_result *r, const struct axes *a, struct gw_str *s) {
    gw_str_puts(s, "<polyline fill=\"none\" stroke=\"" RAM_COLOUR
                   "\" stroke-width=\"1.5\" stroke-dasharray=\"6 3\" points=\"");
    for (size_t i = 0; i < r->n_candidates; i++)
        gw_str_printf(s, "%.1f,%.1f ", x_of(a, r->candidates[i].choice.batch),
                      y_of((double)r->candidates[i].choice.bytes / GIB, a->ram));
    gw_str_puts(s, "\"/>\n<polyline fill=\"none\" stroke=\"" RATE_COLOUR
                   "\" stroke-width=\"2\" points=\"");
    for (size_t i = 0; i < r->n_candidates; i++)
        if (r->candidates[i].choice.fits)
            gw_str_printf(s, "%.1f,%.1f ", x_of(a, r->candidates[i].choice.batch),
                          y_of(r->candidates[i].choice.tok_s, a->rate));
    gw_str_puts(s, "\"/>\n");
    for (size_t i = 0; i < r->n_candidates; i++) {
        const struct gw_tune_candidate *c = &r->candidates[i];
        if (!c->choice.fits) continue;
        const double x = x_of(a, c->choice.batch);
        put_line(s, x, y_of(c->choice.tok_s - c->tok_s_std, a->rate), x,
                 y_of(c->choice.tok_s + c->tok_s_std, a->rate), "stroke=\"" RATE_COLOUR "\"");
        gw_str_printf(s,
                      "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%d\" fill=\"%s\" "
                      "stroke=\"" RATE_COLOUR "\"/>\n",
                      x, y_of(c->choice.tok_s, a->rate), i == r->chosen ? 7 : 3,
                      i == r->chosen ? "#ffd33d" : RATE_COLOUR);
    }
}

void gw_tune_put_svg(const struct gw_tune_result *r, size_t budget_bytes, const char *title,
                     struct gw_str *s) {
    const struct gw_rollout_choice *chosen = &r->candidates[r->chosen].choice;
    const struct gw_rollout_choice *last = &r->candidates[r->n_candidates - 1].choice;
    const double budget = (double)budget_bytes / GIB;
    double most_ram = (double)last->bytes / GIB;
    char text[96];
    if (budget < 2 * most_ram) most_ram = GW_MAX(most_ram, budget);
    struct axes a = {.log_lo = log2((double)r->candidates[0].choice.batch),
                     .log_hi = log2((double)last->batch),
                     .rate = TICKS * nice_step(best_rate(r) * 1.05, TICKS),
                     .ram = TICKS * nice_step(most_ram, TICKS)};
    if (a.log_hi <= a.log_lo) a.log_hi = a.log_lo + 1;
    gw_str_printf(s,
                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
                  "height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n"
                  "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
                  WIDTH, HEIGHT, WIDTH, HEIGHT);
    put_text(s, WIDTH / 2.0, 20, "middle", "#222222", title);
    put_axes(r, &a, s);
    if (budget <= a.ram) {
        const double y = y_of(budget, a.ram);
        put_line(s, LEFT, y, RIGHT, y, "stroke=\"" RAM_COLOUR "\" stroke-dasharray=\"2 2\"");
        put_text(s, LEFT + 6, y - 4, "start", RAM_COLOUR, "budget");
    }
    put_curves(r, &a, s);
    snprintf(text, sizeof text, "chosen: %zu, %.1f tokens/s, %.2f GiB", chosen->batch,
             chosen->tok_s, (double)chosen->bytes / GIB);
    put_text(s, WIDTH / 2.0, HEIGHT - 8, "middle", "#222222", text);
    gw_str_puts(s, "</svg>\n");
}

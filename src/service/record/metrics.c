/* metrics.c - see metrics.h. */
#include "service/record/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- one step ------------------------------------------------------------------------------- */

static struct gw_metric *find(const struct gw_metrics *m, const char *name) {
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->items[i].name, name) == 0) return &m->items[i];
    return NULL;
}

void gw_metrics_put(struct gw_metrics *m, const char *name, double value) {
    struct gw_metric *there = find(m, name);
    if (there != NULL) {
        there->value = value;
        return;
    }
    if (m->n == m->cap) {
        size_t cap = GW_MAX(m->cap * 2, (size_t)32);
        struct gw_metric *items = realloc(m->items, cap * sizeof *items);
        if (items == NULL) {
            m->failed = true;
            return;
        }
        m->items = items;
        m->cap = cap;
    }
    char *copy = strdup(name);
    m->failed |= copy == NULL;
    if (copy != NULL) m->items[m->n++] = (struct gw_metric){copy, value};
}

double gw_metrics_get(const struct gw_metrics *m, const char *name) {
    const struct gw_metric *there = find(m, name);
    return there != NULL ? there->value : NAN;
}

void gw_metrics_clear(struct gw_metrics *m) {
    for (size_t i = 0; i < m->n; i++) free(m->items[i].name);
    m->n = 0;
    m->failed = false;
}

void gw_metrics_free(struct gw_metrics *m) {
    gw_metrics_clear(m);
    free(m->items);
    *m = (struct gw_metrics){0};
}

void gw_metrics_put_json(const struct gw_metrics *m, uint64_t step, struct gw_str *out) {
    gw_str_printf(out, "{\"step\":%" PRIu64, step);
    for (size_t i = 0; i < m->n; i++) {
        double value = m->items[i].value;
        gw_str_putc(out, ',');
        gw_str_put_json(out, m->items[i].name, strlen(m->items[i].name));
        gw_str_putc(out, ':');
        if (isfinite(value))
            gw_str_printf(out, "%.9g", value);
        else
            gw_str_puts(out, "null");
    }
    gw_str_puts(out, "}\n");
    out->failed |= m->failed;
}

/* --- for people ----------------------------------------------------------------------------- */

/* A number without the sign of a negative zero. */
static void put_fixed(struct gw_str *out, const char *before, double value, int digits,
                      const char *after) {
    double unit = pow(10, -digits);
    if (isnan(value)) return;
    gw_str_printf(out, " | %s%.*f%s", before, digits, fabs(value) < unit / 2 ? 0 : value, after);
}

void gw_step_line(const struct gw_step_report *r, struct gw_str *out) {
    gw_str_printf(out, "step %" PRIu64 "/%" PRIu64, r->step, r->n_steps);
    put_fixed(out, "loss ", r->loss, 4, "");
    put_fixed(out, "reward ", r->reward, 2, "");
    put_fixed(out, "", r->seconds, 1, "s");
    put_fixed(out, "rollout ", r->rollout_tok_s, 1, " tok/s");
    put_fixed(out, "train ", r->train_tok_s, 1, " tok/s");
}

/* The mean of the finite values, NaN: there are none. */
static double mean_of(const double *values, size_t n) {
    double sum = 0;
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i])) continue;
        sum += values[i];
        count++;
    }
    return count > 0 ? sum / (double)count : NAN;
}

void gw_sparkline(const double *values, size_t n, size_t width, struct gw_str *out) {
    double low = INFINITY, high = -INFINITY;
    size_t columns = GW_MIN(n, width);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < columns; i++) {
            size_t from = i * n / columns, to = (i + 1) * n / columns;
            double v = mean_of(values + from, to - from);
            if (pass == 0) {
                low = fmin(low, v);
                high = fmax(high, v);
            } else if (isnan(v)) {
                gw_str_putc(out, ' ');
            } else {
                double level = high > low ? (v - low) / (high - low) * 8 : 4;
                gw_str_put_utf8(out, 0x2581 + (uint32_t)fmin(level, 7));
            }
        }
    }
}

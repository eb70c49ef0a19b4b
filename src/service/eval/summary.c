/* summary.c - what an evaluation's figures add up to, alone and beside another's; see
 * result.h. */
#include "service/eval/result.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- columns: one value for each unit ------------------------------------------------------- */

struct columns {
    struct gw_eval_column items[GW_EVAL_FIGURES];
    const char *names[GW_EVAL_FIGURES];
    size_t n;       /* of columns */
    double *values; /* what they point into */
};

static const struct gw_eval_cell *cells_of(const struct gw_eval_result *r, size_t unit) {
    return r->cells + unit * (r->k + 1);
}

/* Samples of a unit beside the greedy one that are right: a score of 1 or more. */
static size_t count_right(const struct gw_eval_result *r, size_t unit) {
    const struct gw_eval_cell *c = cells_of(r, unit);
    size_t right = 0;
    for (size_t s = 1; s <= r->k; s++) right += c[s].of.sample.score >= 1;
    return right;
}

static double mean_score(const struct gw_eval_result *r, size_t unit) {
    const struct gw_eval_cell *c = cells_of(r, unit);
    double sum = 0;
    for (size_t s = 1; s <= r->k; s++) sum += (double)c[s].of.sample.score;
    return sum / (double)r->k;
}

static double column_value(const struct gw_eval_result *r, size_t column, size_t unit) {
    const struct gw_eval_cell *c = cells_of(r, unit);
    switch (r->kind) {
    case GW_EVAL_SAMPLES:
        if (column == 0) return (double)c->of.sample.score;
        return column == 1 ? mean_score(r, unit) : gw_pass_at_k(r->k, count_right(r, unit), r->k);
    case GW_EVAL_CHOICES: return column == 0 ? c->of.choice.acc : c->of.choice.acc_norm;
    case GW_EVAL_TEXT: break;
    }
    return column == 0 ? (double)c->of.text.nll : (double)c->of.text.tokens;
}

static enum gwen_status make_columns(const struct gw_eval_result *r, struct columns *c,
                                     struct gwen_err *err) {
    static const char *const names[][3] = {{"accuracy", "mean_at_k", "pass_at_k"},
                                           {"accuracy", "acc_norm", NULL},
                                           {"perplexity", NULL, NULL}};
    const bool text = r->kind == GW_EVAL_TEXT;
    const size_t arrays = r->kind == GW_EVAL_SAMPLES ? (r->k > 0 ? 3 : 1) : 2;
    *c = (struct columns){.n = text ? 1 : arrays};
    c->values = malloc(arrays * r->n * sizeof *c->values);
    if (c->values == NULL) return gw_nomem(err, r->n * sizeof *c->values, "figures");
    for (size_t i = 0; i < arrays; i++)
        for (size_t u = 0; u < r->n; u++) c->values[i * r->n + u] = column_value(r, i, u);
    for (size_t i = 0; i < c->n; i++) {
        c->names[i] = names[r->kind][i];
        c->items[i].values = c->values + i * r->n;
    }
    if (text) c->items[0].weights = c->values + r->n;
    return GWEN_OK;
}

/* --- one evaluation ------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b) {
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static enum gwen_status add_lengths(const struct gw_eval_result *r, struct gw_eval_summary *s,
                                    struct gwen_err *err) {
    const size_t n = r->n * (r->k + 1);
    uint32_t *tokens = malloc(n * sizeof *tokens);
    double sum = 0, stopped = 0;
    if (tokens == NULL) return gw_nomem(err, n * sizeof *tokens, "lengths");
    for (size_t i = 0; i < n; i++) {
        tokens[i] = r->cells[i].of.sample.tokens;
        sum += tokens[i];
        stopped += r->cells[i].of.sample.stopped;
    }
    qsort(tokens, n, sizeof *tokens, by_number);
    s->least_tokens = tokens[0];
    s->median_tokens = tokens[(n - 1) / 2];
    s->most_tokens = tokens[n - 1];
    s->mean_tokens = sum / (double)n;
    s->stopped = stopped / (double)n;
    free(tokens);
    return GWEN_OK;
}

/* As lm-evaluation-harness defines them: likelihood of all documents by words and bytes. */
static void add_perplexities(const struct gw_eval_result *r, struct gw_eval_summary *s) {
    double nll = 0, bytes = 0, words = 0;
    for (size_t i = 0; i < r->n; i++) {
        nll += (double)r->cells[i].of.text.nll;
        s->tokens += r->cells[i].of.text.tokens;
        bytes += (double)r->cells[i].of.text.bytes;
        words += (double)r->cells[i].of.text.words;
    }
    const bool whole = r->cells[r->n - 1].of.text.bytes > 0;
    s->nll = nll / s->tokens;
    s->word_perplexity = whole ? exp(nll / words) : NAN;
    s->byte_perplexity = whole ? exp(nll / bytes) : NAN;
    s->bits_per_byte = whole ? nll / bytes / log(2) : NAN;
}

enum gwen_status gw_eval_summarize(const struct gw_eval_result *r, uint64_t seed,
                                   struct gw_eval_summary *s, struct gwen_err *err) {
    struct columns c;
    struct gw_interval ci[GW_EVAL_FIGURES];
    *s = (struct gw_eval_summary){.kind = r->kind, .n = r->n, .k = r->k};
    for (size_t i = 0; i < r->n * (r->k + 1); i++)
        if (!r->cells[i].there)
            return gw_fail(err, GWEN_ERR_INTERNAL, "an evaluation lacks sample %zu", i);
    if (r->kind == GW_EVAL_SAMPLES) GW_TRY(add_lengths(r, s, err));
    if (r->kind == GW_EVAL_TEXT) add_perplexities(r, s);
    GW_TRY(make_columns(r, &c, err));
    enum gwen_status status = gw_bootstrap(c.items, c.n, r->n, seed, ci, err);
    s->n_figures = c.n;
    for (size_t i = 0; status == GWEN_OK && i < c.n; i++) {
        struct gw_eval_named_figure *f = &s->figures[i];
        *f = (struct gw_eval_named_figure){c.names[i], gw_eval_figure(&c.items[i], r->n), ci[i]};
        if (r->kind != GW_EVAL_TEXT) continue;
        f->value = exp(f->value);
        f->ci = (struct gw_interval){exp(f->ci.lo), exp(f->ci.hi)};
    }
    free(c.values);
    return status;
}

double gw_eval_summary_get(const struct gw_eval_summary *s, const char *name) {
    for (size_t i = 0; i < s->n_figures; i++)
        if (strcmp(s->figures[i].name, name) == 0) return s->figures[i].value;
    return NAN;
}

double gw_eval_pass_at(const struct gw_eval_result *r, size_t j) {
    double sum = 0;
    for (size_t u = 0; u < r->n; u++) sum += gw_pass_at_k(r->k, count_right(r, u), j);
    return sum / (double)r->n;
}

/* --- as JSON and metrics -------------------------------------------------------------------- */

static void put_number(struct gw_str *out, double value) {
    if (isfinite(value))
        gw_str_printf(out, "%.9g", value);
    else
        gw_str_puts(out, "null");
}

static void put_member(struct gw_str *out, const char *name, double value) {
    gw_str_printf(out, ",\"%s\":", name);
    put_number(out, value);
}

static void put_interval(struct gw_str *out, const char *name, struct gw_interval ci) {
    gw_str_printf(out, ",\"%s\":[", name);
    put_number(out, ci.lo);
    gw_str_putc(out, ',');
    put_number(out, ci.hi);
    gw_str_putc(out, ']');
}

static void put_samples(struct gw_str *out, const struct gw_eval_result *r,
                        const struct gw_eval_summary *s) {
    gw_str_printf(out, ",\"k\":%zu,\"pass_at\":{", r->k);
    for (size_t j = 1; j <= r->k; j = j < r->k ? GW_MIN(2 * j, r->k) : r->k + 1) {
        gw_str_printf(out, "%s\"%zu\":", j > 1 ? "," : "", j);
        put_number(out, gw_eval_pass_at(r, j));
    }
    gw_str_puts(out, "}");
    put_member(out, "mean_tokens", s->mean_tokens);
    gw_str_printf(out, ",\"min_tokens\":%u,\"median_tokens\":%u,\"max_tokens\":%u", s->least_tokens,
                  s->median_tokens, s->most_tokens);
    put_member(out, "clipped_ratio", 1 - s->stopped);
}

static void put_text(struct gw_str *out, const struct gw_eval_summary *s) {
    put_member(out, "tokens", s->tokens);
    put_member(out, "nll", s->nll);
    put_member(out, "word_perplexity", s->word_perplexity);
    put_member(out, "byte_perplexity", s->byte_perplexity);
    put_member(out, "bits_per_byte", s->bits_per_byte);
}

void gw_eval_put_summary(struct gw_str *out, const char *task, const char *model,
                         const struct gw_eval_result *r, const struct gw_eval_summary *s) {
    struct gw_metrics m = {0};
    gw_str_printf(out, "{\"task\":\"%s\",\"model\":", task);
    gw_str_put_json(out, model, strlen(model));
    gw_str_printf(out, ",\"n\":%zu", s->n);
    for (size_t i = 0; i < s->n_figures; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s_ci95", s->figures[i].name);
        put_member(out, s->figures[i].name, s->figures[i].value);
        put_interval(out, name, s->figures[i].ci);
    }
    if (s->kind == GW_EVAL_SAMPLES) put_samples(out, r, s);
    if (s->kind == GW_EVAL_CHOICES) put_member(out, "acc", gw_eval_summary_get(s, "accuracy"));
    if (s->kind == GW_EVAL_TEXT) put_text(out, s);
    gw_eval_put_metrics(&m, s);
    for (size_t i = 0; i < m.n; i++) put_member(out, m.items[i].name, m.items[i].value);
    out->failed |= m.failed;
    gw_metrics_free(&m);
    gw_str_puts(out, "}\n");
}

void gw_eval_put_metrics(struct gw_metrics *m, const struct gw_eval_summary *s) {
    for (size_t i = 0; i < s->n_figures; i++) {
        char name[64];
        snprintf(name, sizeof name, "eval_full/%s", s->figures[i].name);
        gw_metrics_put(m, name, s->figures[i].value);
        if (i == 0 && s->kind == GW_EVAL_SAMPLES)
            gw_metrics_put(m, "eval_full/accuracy/pass_at_1", s->figures[i].value);
    }
    if (s->kind == GW_EVAL_SAMPLES) {
        gw_metrics_put(m, "eval_full/completions/mean_length", s->mean_tokens);
        gw_metrics_put(m, "eval_full/completions/clipped_ratio", 1 - s->stopped);
        gw_metrics_put(m, "time/eval_full/generate_s", s->generate_s);
    }
    gw_metrics_put(m, "time/eval_full/score_s", s->score_s);
}

/* --- two evaluations ------------------------------------------------------------------------ */

static enum gwen_status check_pair(const struct gw_eval_result *a, const char *name_a,
                                   const struct gw_eval_result *b, const char *name_b,
                                   struct gwen_err *err) {
    if (a->kind != b->kind)
        return gw_fail(err, GWEN_ERR_ARGUMENT, "%s and %s are of different tasks", name_a, name_b);
    if (a->n != b->n)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "%s has %zu prompts and %s %zu: only answers to the same ones can be "
                       "compared",
                       name_a, a->n, name_b, b->n);
    for (size_t i = 0; i < a->n; i++)
        if (cells_of(a, i)->key != cells_of(b, i)->key)
            return gw_fail(err, GWEN_ERR_ARGUMENT,
                           "prompt %zu is not the same in %s and %s: only answers to the same ones "
                           "can be compared",
                           i, name_a, name_b);
    return GWEN_OK;
}

struct difference {
    double of_a, of_b; /* the figures themselves */
    double mean, p_value;
    struct gw_interval ci;
    size_t a_greater, b_greater;
};

/* Of one column; text: of nats per token, each window counting by its tokens. */
static enum gwen_status compare_column(const struct gw_eval_column *a,
                                       const struct gw_eval_column *b, size_t n, uint64_t seed,
                                       struct difference *out, struct gwen_err *err) {
    double *d = malloc(n * sizeof *d);
    if (d == NULL) return gw_nomem(err, n * sizeof *d, "differences");
    *out = (struct difference){.of_a = gw_eval_figure(a, n), .of_b = gw_eval_figure(b, n)};
    for (size_t i = 0; i < n; i++) {
        d[i] = b->values[i] - a->values[i];
        out->a_greater += d[i] < 0;
        out->b_greater += d[i] > 0;
    }
    const struct gw_eval_column column = {d, a->weights};
    out->mean = gw_eval_figure(&column, n);
    enum gwen_status status = gw_bootstrap(&column, 1, n, seed, &out->ci, err);
    if (status == GWEN_OK) status = gw_sign_flip_test(d, n, seed, &out->p_value, err);
    free(d);
    return status;
}

static void put_difference(struct gw_str *out, const struct difference *d) {
    put_member(out, "a", d->of_a);
    put_member(out, "b", d->of_b);
    put_member(out, "difference", d->mean);
    put_interval(out, "difference_ci95", d->ci);
    put_member(out, "p_value", d->p_value);
    gw_str_printf(out, ",\"a_greater\":%zu,\"b_greater\":%zu", d->a_greater, d->b_greater);
}

static enum gwen_status put_differences(const struct columns *a, const struct columns *b, size_t n,
                                        uint64_t seed, struct gw_str *out, struct gwen_err *err) {
    for (size_t i = 0; i < GW_MIN(a->n, b->n); i++) {
        struct difference d;
        GW_TRY(compare_column(&a->items[i], &b->items[i], n, seed, &d, err));
        const char *name = a->items[i].weights != NULL ? "nll" : a->names[i];
        if (i == 0) gw_str_printf(out, ",\"metric\":\"%s\"", name);
        if (i == 0) put_difference(out, &d);
        gw_str_printf(out, "%s\"%s\":{\"n\":%zu", i == 0 ? ",\"metrics\":{" : ",", name, n);
        put_difference(out, &d);
        gw_str_putc(out, '}');
    }
    gw_str_puts(out, "}}\n");
    return GWEN_OK;
}

enum gwen_status gw_eval_compare(const struct gw_eval_result *a, const char *name_a,
                                 const struct gw_eval_result *b, const char *name_b, uint64_t seed,
                                 struct gw_str *out, struct gwen_err *err) {
    struct columns ca = {0}, cb = {0};
    GW_TRY(check_pair(a, name_a, b, name_b, err));
    enum gwen_status status = make_columns(a, &ca, err);
    if (status == GWEN_OK) status = make_columns(b, &cb, err);
    if (a->k != b->k) ca.n = GW_MIN(ca.n, (size_t)2); /* pass@k of another k is another figure */
    if (status == GWEN_OK) {
        gw_str_puts(out, "{\"file_a\":");
        gw_str_put_json(out, name_a, strlen(name_a));
        gw_str_puts(out, ",\"file_b\":");
        gw_str_put_json(out, name_b, strlen(name_b));
        gw_str_printf(out, ",\"n\":%zu", a->n);
        status = put_differences(&ca, &cb, a->n, seed, out, err);
    }
    free(ca.values);
    free(cb.values);
    return status;
}

/* likelihood.c - scoring the requests of an evaluation and answering its units; see likelihood.h.
 *
 * Units are taken in order, as many at a time as fill a window of rows; their rows go to the part
 * file as the window is done. */
#include "service/eval/likelihood.h"

#include "base/clock.h"
#include "base/progress.h"
#include "service/eval/score.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct scoring {
    const struct gw_eval_data *data;
    const struct gw_eval_score_opts *opts;
    struct gw_eval_result *result;
    struct gw_scorer *scorer;
    struct gw_progress progress;
    size_t done;
    /* of a window */
    struct gw_score_request *requests; /* [n] of the requests in it */
    size_t *units;                     /* [n_units] in it */
    float *logprobs;
    size_t n, n_units, n_logprobs, cap, cap_units, cap_logprobs;
    struct gw_str row;
};

/* --- sizes ---------------------------------------------------------------------------------- */

enum gwen_status gw_eval_score_plan(const struct gw_eval_data *data, size_t budget_bytes,
                                    struct gw_plan_options *plan, struct gwen_err *err) {
    const struct gw_score_opts opts = {.temperature = 1};
    struct gw_score_window w = {.longest = data->longest};
    w.n = GW_MIN(data->n_requests, (size_t)GW_SCORE_WINDOW_ROWS);
    w.rows = calloc(GW_MAX(w.n, (size_t)1), sizeof *w.rows);
    if (w.rows == NULL) return gw_nomem(err, w.n * sizeof *w.rows, "scoring");
    for (size_t i = 0; i < w.n; i++) w.rows[i].n = data->requests[i].n;
    enum gwen_status status = gw_score_plan(&w, &opts, budget_bytes, plan, err);
    free(w.rows);
    return status;
}

/* --- answers -------------------------------------------------------------------------------- */

static double sum_of(const struct gw_score_request *r) {
    double sum = 0;
    for (size_t i = 0; i < r->n - r->from; i++) sum += (double)r->logprobs[i];
    return sum;
}

static void answer_choices(struct scoring *s, const struct gw_eval_unit *u,
                           const struct gw_score_request *r, struct gw_eval_cell *c) {
    const struct gw_eval_request *asked = s->data->requests + u->first;
    size_t best = 0, best_norm = 0;
    double sum = -INFINITY, norm = -INFINITY;
    gw_str_puts(&s->row, ",\"logprobs\":[");
    for (size_t i = 0; i < u->n; i++) {
        const double value = sum_of(&r[i]);
        const double by_letter = value / (double)GW_MAX(asked[i].chars, (size_t)1);
        if (value > sum) {
            sum = value;
            best = i;
        }
        if (by_letter > norm) {
            norm = by_letter;
            best_norm = i;
        }
        gw_str_printf(&s->row, "%s%.9g", i > 0 ? "," : "", value);
    }
    c->of.choice.acc = best == u->number;
    c->of.choice.acc_norm = best_norm == u->number;
    gw_str_printf(&s->row,
                  "],\"choice\":%zu,\"choice_norm\":%zu,\"answer\":%zu,\"acc\":%d,\"acc_norm\":%d",
                  best, best_norm, u->number, c->of.choice.acc, c->of.choice.acc_norm);
}

static void answer_window(struct scoring *s, const struct gw_eval_unit *u,
                          const struct gw_score_request *r, struct gw_eval_cell *c) {
    c->of.text.nll = (float)-sum_of(r);
    c->of.text.tokens = (uint32_t)(r->n - r->from);
    c->of.text.bytes = u->bytes;
    c->of.text.words = u->words;
    gw_str_printf(&s->row, ",\"document\":%zu,\"tokens\":%u,\"nll\":", u->number,
                  c->of.text.tokens);
    gw_str_put_float(&s->row, c->of.text.nll);
    gw_str_printf(&s->row, ",\"bytes\":%" PRIu64 ",\"words\":%" PRIu64, u->bytes, u->words);
}

static enum gwen_status answer(struct scoring *s, size_t unit, const struct gw_score_request *r,
                               struct gwen_err *err) {
    const struct gw_eval_unit *u = &s->data->units[unit];
    struct gw_eval_cell *c = &s->result->cells[unit];
    for (size_t i = 0; i < u->n; i++)
        if (!isfinite(sum_of(&r[i])))
            return gw_fail(err, GWEN_ERR_NUMERIC,
                           "%s %zu: a log-probability is not finite; are the weights?",
                           s->data->kind == GW_EVAL_TEXT ? "window" : "question", unit);
    gw_str_clear(&s->row);
    gw_str_printf(&s->row, "{\"prompt_id\":%zu,\"sample_id\":0", unit);
    if (u->id != NULL) gw_str_printf(&s->row, ",\"id\":%s", u->id);
    if (s->data->kind == GW_EVAL_CHOICES)
        answer_choices(s, u, r, c);
    else
        answer_window(s, u, r, c);
    gw_str_printf(&s->row, ",\"data\":\"%016" PRIx64 "\"", u->data);
    gw_str_printf(&s->row, ",\"numeric_class\":\"%s\",\"settings\":\"%016" PRIx64 "\"}\n",
                  s->opts->numeric_class, s->opts->settings);
    if (s->row.failed) return gw_nomem(err, s->row.len, "a row");
    c->there = true;
    s->done++;
    if (s->opts->file == NULL) return GWEN_OK;
    return gw_rollout_file_append(s->opts->file, unit, 0, s->row.data, s->row.len, err);
}

/* --- windows -------------------------------------------------------------------------------- */

static bool grow(void **array, size_t *cap, size_t need, size_t bytes) {
    if (need <= *cap) return true;
    const size_t n = GW_MAX(need, 2 * *cap);
    void *p = realloc(*array, n * bytes);
    if (p == NULL) return false;
    *array = p;
    *cap = n;
    return true;
}

/* The requests point into the array only once it has its final place. */
static enum gwen_status add_unit(struct scoring *s, size_t unit, struct gwen_err *err) {
    const struct gw_eval_unit *u = &s->data->units[unit];
    void *requests = s->requests, *units = s->units;
    bool ok = grow(&requests, &s->cap, s->n + u->n, sizeof *s->requests);
    s->requests = requests;
    ok = ok && grow(&units, &s->cap_units, s->n_units + 1, sizeof *s->units);
    s->units = units;
    if (!ok) return gw_nomem(err, s->n * sizeof *s->requests, "scoring");
    for (size_t i = 0; i < u->n; i++) {
        const struct gw_eval_request *r = &s->data->requests[u->first + i];
        s->requests[s->n++] = (struct gw_score_request){
            .ids = s->data->ids.data + r->first, .n = r->n, .from = r->from};
        s->n_logprobs += r->n - r->from;
    }
    s->units[s->n_units++] = unit;
    return GWEN_OK;
}

static enum gwen_status run_window(struct scoring *s, struct gwen_err *err) {
    void *logprobs = s->logprobs;
    if (s->n == 0) return GWEN_OK;
    if (!grow(&logprobs, &s->cap_logprobs, s->n_logprobs, sizeof *s->logprobs))
        return gw_nomem(err, s->n_logprobs * sizeof *s->logprobs, "scoring");
    s->logprobs = logprobs;
    float *at = s->logprobs;
    for (size_t i = 0; i < s->n; i++) {
        s->requests[i].logprobs = at;
        at += s->requests[i].n - s->requests[i].from;
    }
    GW_TRY(gw_scorer_run(s->scorer, s->requests, s->n, false, NULL, NULL, err));
    const struct gw_score_request *r = s->requests;
    for (size_t i = 0; i < s->n_units; i++) {
        GW_TRY(answer(s, s->units[i], r, err));
        r += s->data->units[s->units[i]].n;
    }
    s->n = s->n_units = s->n_logprobs = 0;
    return gw_progress_update(&s->progress, s->done, err);
}

static enum gwen_status score_all(struct scoring *s, struct gwen_err *err) {
    size_t tokens = 0;
    for (size_t i = 0; i < s->data->n_units; i++) {
        if (s->opts->file != NULL && gw_rollout_file_has(s->opts->file, i, 0)) {
            s->done++;
            continue;
        }
        GW_TRY(add_unit(s, i, err));
        for (size_t k = 0; k < s->data->units[i].n; k++)
            tokens += s->data->requests[s->data->units[i].first + k].n;
        if (s->n < GW_SCORE_WINDOW_ROWS && tokens < GW_SCORE_WINDOW_TOKENS) continue;
        GW_TRY(run_window(s, err));
        tokens = 0;
    }
    return run_window(s, err);
}

static bool go_on(void *ctx) {
    struct scoring *s = ctx;
    struct gwen_err ignored;
    return gw_progress_update(&s->progress, s->done, &ignored) == GWEN_OK;
}

enum gwen_status gw_eval_score_run(const struct gw_eval_data *data,
                                   const struct gw_eval_score_opts *opts,
                                   struct gw_eval_result *result, double *score_s,
                                   struct gwen_err *err) {
    struct scoring s = {.data = data, .opts = opts, .result = result};
    struct gw_scorer_opts scorer = opts->plan->scorer;
    const uint64_t start = gw_now_ns();
    scorer.progress = go_on;
    scorer.progress_ctx = &s;
    gw_progress_init(&s.progress, opts->progress, opts->progress_user, "eval",
                     data->kind == GW_EVAL_TEXT ? "windows" : "questions", data->n_units);
    enum gwen_status status = gw_scorer_create(opts->model, opts->pool, &scorer, &s.scorer, err);
    if (status == GWEN_OK) status = score_all(&s, err);
    *score_s = gw_seconds_since(start);
    gw_scorer_free(s.scorer);
    free(s.requests);
    free(s.units);
    free(s.logprobs);
    gw_str_free(&s.row);
    return status;
}

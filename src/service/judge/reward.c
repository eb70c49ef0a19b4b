/* reward.c - see reward.h. */
#include "service/judge/reward.h"

#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { STOCK_TOKENS = 8 };
static const double NEUTRAL = 0.25;

struct gw_judge_reward {
    struct gw_judge *judge;
    const struct gw_rubric *rubric;
    const struct gw_log *log;
    struct gw_verdict *verdicts; /* [n][rubric->n] of the call in progress */
};

void gw_judge_reward_free(struct gw_judge_reward *r) {
    if (r == NULL) return;
    free(r->verdicts);
    free(r);
}

/* --- stock phrases -------------------------------------------------------------------------- */

struct phrase {
    uint64_t hash;
    size_t text;
};

static int by_hash(const void *pa, const void *pb) {
    const struct phrase *a = pa, *b = pb;
    if (a->hash != b->hash) return a->hash < b->hash ? -1 : 1;
    return a->text < b->text ? -1 : a->text > b->text;
}

double gw_stock_phrase_share(const struct gw_reward_input *in, size_t n) {
    size_t most = 0, total = 0, n_phrases = 0;
    for (size_t i = 0; i < n; i++) total += in[i].n;
    struct phrase *p = n > 1 && total > 0 ? malloc(total * sizeof *p) : NULL;
    if (p == NULL) return 0;
    for (size_t i = 0; i < n; i++)
        for (size_t t = 0; t + STOCK_TOKENS <= in[i].n; t++)
            p[n_phrases++] =
                (struct phrase){gw_hash64(in[i].ids + t, STOCK_TOKENS * sizeof *in[i].ids), i};
    qsort(p, n_phrases, sizeof *p, by_hash);
    for (size_t i = 0, end; i < n_phrases; i = end) {
        size_t texts = 1;
        for (end = i + 1; end < n_phrases && p[end].hash == p[i].hash; end++)
            texts += p[end].text != p[end - 1].text;
        most = GW_MAX(most, texts);
    }
    free(p);
    return (double)most / (double)n;
}

/* --- scoring -------------------------------------------------------------------------------- */

/* A grade as a reward, and back: -1 .. 1. */
static float reward_of(float grade) { return (grade - GW_GRADE_DEFAULT) / 2; }
static double grade_of(float reward) { return 2 * (double)reward + GW_GRADE_DEFAULT; }

/* A judge is shown what was asked: the markup of the policy's template means nothing to it. */
static struct gw_judge_item item_of(const struct gw_reward_input *in) {
    const bool known = in->asked != NULL;
    return (struct gw_judge_item){.prompt = known ? in->asked : in->prompt,
                                  .prompt_len = known ? in->asked_len : in->prompt_len,
                                  .response = in->completion,
                                  .response_len = in->completion_len};
}

/* Keeps the items that the judge can be asked about; which[i] is the number of the i-th kept.  Not
 * to know whether it can (no memory, say) is an error. */
static enum gwen_status keep_fitting(const struct gw_judge_reward *r, struct gw_judge_item *items,
                                     size_t *which, size_t n, size_t *kept, struct gwen_err *err) {
    struct gwen_err why, first = {0};
    *kept = 0;
    for (size_t i = 0; i < n; i++) {
        const enum gwen_status status = gw_judge_check(r->judge, &items[i], &why);
        if (status != GWEN_OK && status != GWEN_ERR_ARGUMENT && status != GWEN_ERR_FORMAT)
            return gw_fail(err, status, "judge: %s", why.message);
        if (status != GWEN_OK && *kept == i) first = why;
        if (status != GWEN_OK) continue;
        which[*kept] = i;
        items[(*kept)++] = items[i];
    }
    if (*kept < n)
        gw_log(r->log, GWEN_LOG_WARNING, "judge: %zu of %zu responses get no reward: %s", n - *kept,
               n, first.message);
    return GWEN_OK;
}

static enum gwen_status score(void *ctx, const struct gw_reward_input *in, size_t n, float *out,
                              size_t stride, struct gwen_err *err) {
    struct gw_judge_reward *r = ctx;
    const size_t criteria = r->rubric->n;
    struct gw_verdict *verdicts = realloc(r->verdicts, (n * criteria + 1) * sizeof *verdicts);
    if (verdicts != NULL) r->verdicts = verdicts;
    struct gw_judge_item *items = malloc((n + 1) * sizeof *items);
    size_t *which = malloc((n + 1) * sizeof *which);
    if (verdicts == NULL || items == NULL || which == NULL) {
        free(items);
        free(which);
        return gw_nomem(err, n * criteria * sizeof *verdicts, "verdicts");
    }
    for (size_t i = 0; i < n; i++) items[i] = item_of(&in[i]);
    size_t kept;
    enum gwen_status status = keep_fitting(r, items, which, n, &kept, err);
    if (status == GWEN_OK) status = gw_judge_run(r->judge, items, kept, 1, verdicts, err);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < criteria; k++) out[i * stride + k] = NAN;
    for (size_t i = 0; i < kept && status == GWEN_OK; i++)
        for (size_t k = 0; k < criteria; k++)
            out[which[i] * stride + k] = reward_of(verdicts[i * criteria + k].grade);
    free(items);
    free(which);
    return gw_err_prefix(err, status, "judge");
}

/* --- metrics -------------------------------------------------------------------------------- */

/* Scores may come from a file: one that is no grade counts as the nearest. */
static size_t grade_index(double grade) {
    if (!(grade >= 1)) return 0;
    return grade < GW_GRADES ? (size_t)(grade + 0.5) - 1 : GW_GRADES - 1;
}

static void put_criterion(const struct gw_judge_reward *r, size_t k, const float *scores,
                          size_t stride, size_t n, struct gw_metrics *m) {
    const char *name = r->rubric->criteria[k].name;
    size_t histogram[GW_GRADES] = {0}, graded = 0;
    double sum = 0;
    char key[GW_RUBRIC_MAX_NAME + 32];
    for (size_t i = 0; i < n; i++) {
        const double grade = grade_of(scores[i * stride + k]);
        if (isnan(grade)) continue;
        graded++;
        sum += grade;
        histogram[grade_index(grade)]++;
    }
    snprintf(key, sizeof key, "judge/%s/mean", name);
    gw_metrics_put(m, key, sum / (double)graded);
    for (size_t g = 0; g < GW_GRADES; g++) {
        snprintf(key, sizeof key, "judge/%s/hist_%zu", name, g + 1);
        gw_metrics_put(m, key, (double)histogram[g] / (double)graded);
    }
}

static double neutral_share(const struct gw_judge_reward *r, const float *scores, size_t stride,
                            size_t n) {
    size_t neutral = 0, graded = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < r->rubric->n; k++) {
            neutral += fabs(grade_of(scores[i * stride + k]) - GW_GRADE_DEFAULT) <= NEUTRAL;
            graded += !isnan(scores[i * stride + k]);
        }
    return (double)neutral / (double)graded;
}

/* Of what the judge pays and the tokens; 0 where one of them is always the same. */
static double length_correlation(const struct gw_judge_reward *r, const struct gw_reward_input *in,
                                 const float *scores, size_t stride, size_t n) {
    double x = 0, y = 0, xx = 0, yy = 0, xy = 0;
    size_t graded = 0;
    for (size_t i = 0; i < n; i++) {
        double a = 0;
        const double b = (double)in[i].n;
        for (size_t k = 0; k < r->rubric->n; k++)
            a += (double)scores[i * stride + k] * r->rubric->criteria[k].weight;
        if (isnan(a)) continue;
        graded++;
        x += a;
        y += b;
        xx += a * a;
        yy += b * b;
        xy += a * b;
    }
    const double m = (double)graded;
    const double spread_x = m * xx - x * x, spread_y = m * yy - y * y;
    if (!(spread_x > 1e-9 * m * m) || !(spread_y > 1e-9 * m * m)) return 0;
    return (m * xy - x * y) / sqrt(spread_x * spread_y);
}

static void put_metrics(void *ctx, const struct gw_reward_input *in, const float *scores,
                        size_t stride, size_t n, struct gw_metrics *m) {
    const struct gw_judge_reward *r = ctx;
    if (n == 0) return;
    for (size_t k = 0; k < r->rubric->n; k++) put_criterion(r, k, scores, stride, n, m);
    gw_metrics_put(m, "judge/neutral_share", neutral_share(r, scores, stride, n));
    gw_metrics_put(m, "judge/length_correlation", length_correlation(r, in, scores, stride, n));
    gw_metrics_put(m, "judge/stock_phrase_share", gw_stock_phrase_share(in, n));
}

/* --- adding it ------------------------------------------------------------------------------ */

static enum gwen_status add(struct gw_judge_reward *r, struct gw_rewards *rewards, double weight,
                            struct gwen_err *err) {
    const struct gw_reward_source source = {.ctx = r, .score = score, .put_metrics = put_metrics};
    const char *names[GW_RUBRIC_MAX_CRITERIA];
    double weights[GW_RUBRIC_MAX_CRITERIA];
    struct gw_str text = {0}; /* "judge/NAME", each with its NUL */
    size_t at[GW_RUBRIC_MAX_CRITERIA];
    for (size_t k = 0; k < r->rubric->n; k++) {
        at[k] = text.len;
        gw_str_printf(&text, "judge/%s", r->rubric->criteria[k].name);
        gw_str_putc(&text, '\0');
        weights[k] = weight * r->rubric->criteria[k].weight;
    }
    for (size_t k = 0; k < r->rubric->n && !text.failed; k++) names[k] = text.data + at[k];
    enum gwen_status status =
        text.failed ? gw_nomem(err, text.len, "the judge")
                    : gw_rewards_add_source(rewards, &source, names, weights, r->rubric->n, err);
    gw_str_free(&text);
    return status;
}

enum gwen_status gw_judge_reward_add(struct gw_rewards *rewards, struct gw_judge *judge,
                                     const struct gw_rubric *rubric, double weight,
                                     const struct gw_log *log, struct gw_judge_reward **out,
                                     struct gwen_err *err) {
    struct gw_judge_reward *r = calloc(1, sizeof *r);
    *out = r;
    if (r == NULL) return gw_nomem(err, sizeof *r, "the judge");
    r->judge = judge;
    r->rubric = rubric;
    r->log = log;
    return add(r, rewards, weight, err);
}

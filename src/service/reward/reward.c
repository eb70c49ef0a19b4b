/* reward.c - the table of built-in rewards, and sets of rewards (see reward.h). */
#include "service/reward/reward.h"

#include "base/json.h"
#include "service/reward/cmd.h"
#include "service/reward/impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct gw_reward_impl KINDS[] = {
    {{"gsm8k", NULL, "answer", "the number behind #### (else the last one) is the answer's"},
     NULL,
     NULL,
     gw_reward_gsm8k},
    {{"exact", NULL, "answer", "the trimmed text is the answer"}, NULL, NULL, gw_reward_exact},
    {{"countdown", NULL, "target", "the expression uses \"nums\" once each and gives \"target\""},
     NULL,
     NULL,
     gw_reward_countdown},
    {{"think_format", NULL, NULL, "<think>...</think> at the start, once"},
     NULL,
     NULL,
     gw_reward_think},
    {{"tags", "A,B,...", NULL, "<A>...</A><B>...</B> and nothing else"},
     gw_tags_open,
     gw_tags_close,
     gw_reward_tags},
    {{"regex", "PATTERN", NULL, "the pattern is found"},
     gw_regex_open,
     gw_regex_close,
     gw_reward_regex},
    {{"length", "N", NULL, "nearness to N tokens: 1 at N, 0 at none and at 2 N"},
     gw_length_open,
     gw_length_close,
     gw_reward_length},
    {{"overlong", "MAX,CACHE", NULL, "0 up to MAX - CACHE tokens, falling to -1 at MAX"},
     gw_overlong_open,
     gw_length_close,
     gw_reward_overlong},
};

size_t gw_reward_kind_count(void) { return GW_ARRAY_LEN(KINDS); }
struct gw_reward_kind gw_reward_kind_at(size_t i) {
    return KINDS[i].kind;
}

/* --- a set ---------------------------------------------------------------------------------- */

struct reward {
    const struct gw_reward_impl *impl; /* NULL: a command or a source */
    void *state;
    struct gw_reward_cmd *command;
    struct gw_reward_source source; /* score NULL: none */
    size_t column;                  /* among the source's */
    char *name;
    char *spec; /* of a built-in one */
    float weight;
};

struct gw_rewards {
    struct reward *items;
    size_t n;
};

enum gwen_status gw_rewards_new(struct gw_rewards **out, struct gwen_err *err) {
    *out = calloc(1, sizeof **out);
    return *out != NULL ? GWEN_OK : gw_nomem(err, sizeof **out, "rewards");
}

static void close_reward(struct reward *w) {
    if (w->impl != NULL && w->impl->close != NULL) w->impl->close(w->state);
    gw_reward_cmd_free(w->command);
    free(w->name);
    free(w->spec);
}

void gw_rewards_free(struct gw_rewards *r) {
    if (r == NULL) return;
    for (size_t i = 0; i < r->n; i++) close_reward(&r->items[i]);
    free(r->items);
    free(r);
}

size_t gw_rewards_count(const struct gw_rewards *r) { return r->n; }
const char *gw_rewards_name(const struct gw_rewards *r, size_t i) { return r->items[i].name; }

const char *gw_rewards_spec(const struct gw_rewards *r, size_t i) {
    const struct reward *w = &r->items[i];
    return w->spec != NULL ? w->spec : w->name;
}

static bool has_name(const struct gw_rewards *r, const char *name) {
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->items[i].name, name) == 0) return true;
    return false;
}

/* `name`, or name_2 ... when it is taken; NULL: no memory. */
static char *free_name(const struct gw_rewards *r, const char *name) {
    size_t cap = strlen(name) + 24;
    char *text = malloc(cap);
    if (text == NULL) return NULL;
    snprintf(text, cap, "%s", name);
    for (size_t i = 2; has_name(r, text); i++) snprintf(text, cap, "%s_%zu", name, i);
    return text;
}

/* Takes w, whose state it closes when there is no memory. */
static enum gwen_status append(struct gw_rewards *r, struct reward w, const char *name,
                               struct gwen_err *err) {
    struct reward *items = realloc(r->items, (r->n + 1) * sizeof *items);
    if (items != NULL) r->items = items;
    w.name = items != NULL ? free_name(r, name) : NULL;
    if (w.name == NULL) {
        close_reward(&w);
        return gw_nomem(err, sizeof *items, "rewards");
    }
    r->items[r->n++] = w;
    return GWEN_OK;
}

static const struct gw_reward_impl *find_kind(const char *name, size_t len) {
    for (size_t i = 0; i < GW_ARRAY_LEN(KINDS); i++)
        if (strlen(KINDS[i].kind.name) == len && memcmp(KINDS[i].kind.name, name, len) == 0)
            return &KINDS[i];
    return NULL;
}

static enum gwen_status no_such_kind(const char *spec, size_t len, struct gwen_err *err) {
    char names[400] = "";
    size_t at = 0;
    for (size_t i = 0; i < GW_ARRAY_LEN(KINDS); i++)
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i > 0 ? ", " : "",
                               KINDS[i].kind.name);
    return gw_fail(err, GWEN_ERR_ARGUMENT, "there is no reward \"%.*s\"; there are %s",
                   (int)GW_MIN(len, (size_t)80), spec, names);
}

enum gwen_status gw_rewards_add(struct gw_rewards *r, const char *spec, struct gwen_err *err) {
    size_t len = strcspn(spec, ":");
    const char *argument = spec[len] == ':' ? spec + len + 1 : NULL;
    struct reward w = {.impl = find_kind(spec, len), .weight = 1};
    if (w.impl == NULL) return no_such_kind(spec, len, err);
    const struct gw_reward_kind *kind = &w.impl->kind;
    if (kind->argument == NULL && argument != NULL)
        return gw_fail(err, GWEN_ERR_ARGUMENT, "reward %s takes no argument", kind->name);
    if (kind->argument != NULL && argument == NULL)
        return gw_fail(err, GWEN_ERR_ARGUMENT, "reward %s: expected %s:%s", kind->name, kind->name,
                       kind->argument);
    const enum gwen_status status =
        argument != NULL ? w.impl->open(argument, &w.state, err) : GWEN_OK;
    if (status != GWEN_OK) {
        w.impl->close(w.state);
        return gw_err_prefix(err, status, "reward %s", kind->name);
    }
    w.spec = strdup(spec);
    if (w.spec == NULL) {
        close_reward(&w);
        return gw_nomem(err, strlen(spec), "rewards");
    }
    return append(r, w, kind->name, err);
}

enum gwen_status gw_rewards_add_command(struct gw_rewards *r, const struct gw_reward_cmd_opts *opts,
                                        struct gwen_err *err) {
    struct reward w = {.weight = 1};
    GW_TRY(gw_reward_cmd_new(opts, &w.command, err));
    return append(r, w, "command", err);
}

enum gwen_status gw_rewards_add_source(struct gw_rewards *r, const struct gw_reward_source *source,
                                       const char *const *names, const double *weights, size_t n,
                                       struct gwen_err *err) {
    for (size_t k = 0; k < n; k++) {
        const struct reward w = {.weight = (float)weights[k], .source = *source, .column = k};
        GW_TRY(append(r, w, names[k], err));
    }
    return GWEN_OK;
}

enum gwen_status gw_rewards_set_weights(struct gw_rewards *r, const double *weights, size_t n,
                                        struct gwen_err *err) {
    if (n != r->n)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "reward_weights has %zu numbers, but there are %zu rewards", n, r->n);
    for (size_t i = 0; i < n; i++)
        if (!isfinite((float)weights[i]))
            return gw_fail(err, GWEN_ERR_ARGUMENT, "reward_weights[%zu] is not a finite number", i);
    for (size_t i = 0; i < n; i++) r->items[i].weight = (float)weights[i];
    return GWEN_OK;
}

/* --- scoring -------------------------------------------------------------------------------- */

/* An error when it is no object, which gw_prompts_read never makes. */
static enum gwen_status parse_meta(const char *meta, size_t len, json_t **out,
                                   struct gwen_err *err) {
    const enum gwen_status status = gw_row_parse(meta, len, "meta", 2, out, NULL);
    if (status == GWEN_OK) return GWEN_OK;
    if (status == GWEN_ERR_NOMEM) return gw_nomem(err, len, "a row's meta");
    return gw_fail(err, GWEN_ERR_ARGUMENT, "a row's meta is not a JSON object: %.*s",
                   (int)GW_MIN(len, (size_t)80), meta);
}

static enum gwen_status score_one(const struct reward *w, const json_t *meta,
                                  const struct gw_reward_input *in, double *score,
                                  struct gwen_err *err) {
    *score = w->impl->score(w->state, meta, in);
    if (*score != GW_SCORE_NOMEM) return GWEN_OK;
    return gw_nomem(err, in->completion_len, "a reward");
}

enum gwen_status gw_rewards_applies(const struct gw_rewards *r, size_t i, const char *meta,
                                    size_t meta_len, bool *applies, struct gwen_err *err) {
    const struct reward *w = &r->items[i];
    const struct gw_reward_input empty = {.completion = "", .prompt = ""};
    json_t *row;
    double score;
    *applies = true;
    if (w->impl == NULL) return GWEN_OK;
    GW_TRY(parse_meta(meta, meta_len, &row, err));
    const enum gwen_status status = score_one(w, row, &empty, &score, err);
    *applies = !isnan(score);
    json_decref(row);
    return status;
}

bool gw_rewards_built_in(const struct gw_rewards *r, bool first_only) {
    for (size_t k = 0; k < (first_only ? 1 : r->n); k++)
        if (r->items[k].impl == NULL) return false;
    return true;
}

/* scores[count] of the built-in ones among the first `count` rewards. */
static enum gwen_status score_row(struct gw_rewards *r, size_t count,
                                  const struct gw_reward_input *in, float *scores,
                                  struct gwen_err *err) {
    json_t *meta;
    enum gwen_status status = parse_meta(in->meta, in->meta_len, &meta, err);
    if (status != GWEN_OK) return status;
    for (size_t k = 0; k < count && status == GWEN_OK; k++) {
        double score;
        if (r->items[k].impl == NULL) continue;
        status = score_one(&r->items[k], meta, in, &score, err);
        scores[k] = (float)score;
    }
    json_decref(meta);
    return status;
}

enum gwen_status gw_rewards_score(struct gw_rewards *r, const struct gw_reward_input *in, size_t n,
                                  float *scores, struct gwen_err *err) {
    for (size_t i = 0; i < n; i++) GW_TRY(score_row(r, r->n, &in[i], scores + i * r->n, err));
    for (size_t k = 0; k < r->n; k++)
        if (r->items[k].command != NULL)
            GW_TRY(gw_reward_cmd_score(r->items[k].command, in, n, scores + k, r->n, err));
    for (size_t k = 0; k < r->n; k++) {
        const struct gw_reward_source *s = &r->items[k].source;
        if (s->score != NULL && r->items[k].column == 0)
            GW_TRY(s->score(s->ctx, in, n, scores + k, r->n, err));
    }
    return GWEN_OK;
}

enum gwen_status gw_rewards_score_first(struct gw_rewards *r, const struct gw_reward_input *in,
                                        size_t n, float *scores, struct gwen_err *err) {
    if (!gw_rewards_built_in(r, true)) return gw_rewards_score(r, in, n, scores, err);
    for (size_t i = 0; i < n; i++) GW_TRY(score_row(r, 1, &in[i], scores + i * r->n, err));
    return GWEN_OK;
}

void gw_rewards_combine(const struct gw_rewards *r, const float *scores, size_t n, float *rewards) {
    for (size_t i = 0; i < n; i++) {
        float sum = 0;
        bool any = false;
        for (size_t k = 0; k < r->n; k++) {
            float v = scores[i * r->n + k];
            if (isnan(v)) continue;
            sum += v * r->items[k].weight;
            any = true;
        }
        rewards[i] = any ? sum : NAN;
    }
}

struct gw_moments gw_moments(const float *values, size_t n, size_t stride) {
    struct gw_moments s = {0, NAN, NAN};
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(values[i * stride])) continue;
        sum += (double)values[i * stride];
        s.count++;
    }
    if (s.count == 0) return s;
    s.mean = sum / (double)s.count;
    for (size_t i = 0; i < n; i++) {
        double d = (double)values[i * stride] - s.mean;
        if (!isnan(d)) squares += d * d;
    }
    if (s.count > 1) s.std = sqrt(squares / (double)(s.count - 1));
    return s;
}

static void put_stats(struct gw_metrics *m, const char *mean, const char *std,
                      struct gw_moments s) {
    gw_metrics_put(m, mean, s.mean);
    gw_metrics_put(m, std, s.std);
}

void gw_rewards_put_metrics(const struct gw_rewards *r, const float *scores, const float *rewards,
                            size_t n, struct gw_metrics *m) {
    for (size_t k = 0; k < r->n; k++) {
        char mean[120], std[120];
        snprintf(mean, sizeof mean, "rewards/%.80s/mean", r->items[k].name);
        snprintf(std, sizeof std, "rewards/%.80s/std", r->items[k].name);
        put_stats(m, mean, std, gw_moments(scores + k, n, r->n));
    }
    put_stats(m, "reward", "reward_std", gw_moments(rewards, n, 1));
}

void gw_rewards_put_source_metrics(const struct gw_rewards *r, const struct gw_reward_input *in,
                                   const float *scores, size_t n, struct gw_metrics *m) {
    for (size_t k = 0; k < r->n; k++) {
        const struct gw_reward_source *s = &r->items[k].source;
        if (s->put_metrics != NULL && r->items[k].column == 0)
            s->put_metrics(s->ctx, in, scores + k, r->n, n, m);
    }
}

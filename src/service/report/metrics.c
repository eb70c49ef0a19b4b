/* metrics.c - see impl.h: which metrics belong together, and what they are
 * called.
 *
 * One table says all of it; the first row whose pattern fits a name counts.  Names that it does not
 * know are drawn too, at the end. */
#include "service/report/impl.h"

#include <stdlib.h>
#include <string.h>

/* A pattern is a name, or ends in '*' and is its beginning, or begins with '*' and is its end. */
static const struct rule {
    const char *pattern, *section, *title, *unit;
} RULES[] = {
    /* shown elsewhere: by the axis, in the table of runs */
    {"epoch", NULL, NULL, ""},
    {"num_tokens", NULL, NULL, ""},
    {"time/train/step_avg_last10_s", NULL, NULL, ""},
    {"reward", "Reward", "Reward", ""},
    {"rewards/judge/*", "Judge", NULL, ""},
    {"rewards/*", "Reward", NULL, ""},
    {"frac_reward_zero_std", "Reward", "Groups with equal rewards", "fraction"},
    {"judge*", "Judge", NULL, ""},
    {"eval*", "Evaluation", NULL, ""},
    {"loss", "Policy", "Loss", ""},
    {"kl", "Policy", "KL from the reference", "nats per token"},
    {"entropy", "Policy", "Entropy", "nats per token"},
    {"mean_token_accuracy", "Policy", "Token accuracy", "fraction"},
    {"grad_norm", "Policy", "Gradient norm", ""},
    {"learning_rate", "Policy", "Learning rate", ""},
    {"clip_ratio*", "Policy", NULL, "fraction"},
    {"cispo_clip_ratio", "Policy", NULL, "fraction"},
    {"completions/mean_length", "Completions", "Length", "tokens"},
    {"completions/mean_terminated_length", "Completions", "Length of those that ended", "tokens"},
    {"completions/clipped_ratio", "Completions", "Cut off at the limit", "fraction"},
    {"completions/*", "Completions", NULL, ""},
    {"time/train/rollout_tokens_per_s", "Speed", "Sampling", "tokens/s"},
    {"time/train/tokens_per_s", "Speed", "Training", "tokens/s"},
    {"time/train/step_s", "Speed", "A step", "s"},
    {"time/*", "Speed", NULL, ""},
    {"*_per_s", "Speed", NULL, ""},
    {"memory*", "Memory", NULL, ""},
    {"*_bytes", "Memory", NULL, ""},
    {"*", "Other", NULL, ""},
};

/* Metrics whose least and most are metrics too. */
static const char *const BOUNDED[][3] = {
    {"completions/mean_length", "completions/min_length", "completions/max_length"},
    {"completions/mean_terminated_length", "completions/min_terminated_length",
     "completions/max_terminated_length"},
};

static bool ends_with(const char *name, const char *end) {
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

static bool fits(const char *name, const char *pattern) {
    const size_t n = strlen(pattern);
    if (pattern[n - 1] == '*') return strncmp(name, pattern, n - 1) == 0;
    return pattern[0] == '*' ? ends_with(name, pattern + 1) : strcmp(name, pattern) == 0;
}

static size_t rule_of(const char *name) {
    size_t r = 0;
    while (!fits(name, RULES[r].pattern)) r++;
    return r;
}

/* --- names of all runs ---------------------------------------------------------------------- */

struct names {
    const char **items;
    bool *bound; /* drawn with another metric, as its bound or deviation */
    size_t n;
};

/* Its place, or names->n. */
static size_t find(const struct names *names, const char *name, size_t len) {
    size_t i = 0;
    while (i < names->n &&
           (strlen(names->items[i]) != len || memcmp(names->items[i], name, len) != 0))
        i++;
    return i;
}

static enum gwen_status collect(const struct gw_report_run *runs, size_t n_runs,
                                struct names *names, struct gwen_err *err) {
    size_t most = 1;
    for (size_t r = 0; r < n_runs; r++) most += runs[r].n_series;
    names->items = malloc(most * sizeof *names->items);
    names->bound = calloc(most, sizeof *names->bound);
    if (names->items == NULL || names->bound == NULL)
        return gw_nomem(err, most * sizeof *names->items, "names of metrics");
    for (size_t r = 0; r < n_runs; r++)
        for (size_t s = 0; s < runs[r].n_series; s++) {
            const struct gw_report_series *one = &runs[r].series[s];
            if (one->count > 0 && find(names, one->name, strlen(one->name)) == names->n)
                names->items[names->n++] = one->name;
        }
    return GWEN_OK;
}

/* The name if there is one like it, which from now on is drawn with another; else NULL. */
static const char *bind(struct names *names, const char *name, size_t len) {
    const size_t i = find(names, name, len);
    if (i == names->n) return NULL;
    names->bound[i] = true;
    return names->items[i];
}

static void find_bounds(struct names *names, struct gw_report_metric *m) {
    for (size_t i = 0; i < GW_ARRAY_LEN(BOUNDED); i++) {
        if (strcmp(m->name, BOUNDED[i][0]) != 0) continue;
        m->low = bind(names, BOUNDED[i][1], strlen(BOUNDED[i][1]));
        m->high = bind(names, BOUNDED[i][2], strlen(BOUNDED[i][2]));
    }
    char std[GW_REPORT_NAME + 1];
    const size_t stem = strlen(m->name) - strlen("mean");
    if (strcmp(m->name, "reward") == 0) {
        m->std = bind(names, "reward_std", strlen("reward_std"));
    } else if (ends_with(m->name, "/mean")) {
        memcpy(std, m->name, stem);
        memcpy(std + stem, "std", 3);
        m->std = bind(names, std, stem + 3);
    }
}

/* --- sections ------------------------------------------------------------------------------- */

static struct gw_report_metric describe(const char *name, const struct rule *rule) {
    struct gw_report_metric m = {
        name, rule->title != NULL ? rule->title : name, rule->unit, 1, NULL, NULL, NULL};
    if (m.unit[0] != 0) return m;
    if (ends_with(name, "_bytes")) {
        m.unit = "GiB";
        m.scale = 1.0 / (1 << 30);
    } else if (ends_with(name, "_per_s")) {
        m.unit = "per s";
    } else if (ends_with(name, "_s")) {
        m.unit = "s";
    } else if (ends_with(name, "_ratio")) {
        m.unit = "fraction";
    }
    return m;
}

/* Whether it has had the same value in every step of every run. */
static bool is_constant(const struct gw_report_run *runs, size_t n_runs, const char *name) {
    const struct gw_report_series *before = NULL;
    uint64_t count = 0;
    for (size_t r = 0; r < n_runs; r++) {
        const struct gw_report_series *one = gw_report_run_find(&runs[r], name);
        if (one == NULL) continue;
        if (one->least < one->most || (before != NULL && one->least < before->least) ||
            (before != NULL && one->least > before->least))
            return false;
        before = one;
        count += one->count;
    }
    return count > n_runs;
}

static void add_metric(struct gw_report_plan *plan, const struct rule *rule,
                       const struct gw_report_metric *m) {
    struct gw_report_section *last =
        plan->n_sections > 0 ? &plan->sections[plan->n_sections - 1] : NULL;
    if (last == NULL || strcmp(last->title, rule->section) != 0) {
        last = &plan->sections[plan->n_sections++];
        *last = (struct gw_report_section){rule->section, plan->n, 0};
    }
    last->n++;
    plan->metrics[plan->n++] = *m;
}

static enum gwen_status sort_metrics(const struct gw_report_run *runs, size_t n_runs,
                                     struct names *names, struct gw_report_plan *plan,
                                     struct gwen_err *err) {
    const size_t most = names->n + 1;
    struct gw_report_metric *all = malloc(most * sizeof *all);
    plan->metrics = malloc(most * sizeof *plan->metrics);
    plan->sections = malloc(GW_ARRAY_LEN(RULES) * sizeof *plan->sections);
    plan->constant = malloc(most * sizeof *plan->constant);
    if (all == NULL || plan->metrics == NULL || plan->sections == NULL || plan->constant == NULL) {
        free(all);
        return gw_nomem(err, most * sizeof *all, "metrics");
    }
    for (size_t i = 0; i < names->n; i++) {
        all[i] = describe(names->items[i], &RULES[rule_of(names->items[i])]);
        find_bounds(names, &all[i]);
    }
    for (size_t r = 0; r < GW_ARRAY_LEN(RULES); r++)
        for (size_t i = 0; i < names->n; i++) {
            if (names->bound[i] || RULES[r].section == NULL || rule_of(all[i].name) != r) continue;
            /* A reward or loss that never changes is news. */
            if (strcmp(all[i].name, "reward") != 0 && strcmp(all[i].name, "loss") != 0 &&
                is_constant(runs, n_runs, all[i].name))
                plan->constant[plan->n_constant++] = all[i];
            else
                add_metric(plan, &RULES[r], &all[i]);
        }
    free(all);
    return GWEN_OK;
}

enum gwen_status gw_report_plan(const struct gw_report_run *runs, size_t n_runs,
                                struct gw_report_plan *plan, struct gwen_err *err) {
    struct names names = {0};
    *plan = (struct gw_report_plan){0};
    enum gwen_status status = collect(runs, n_runs, &names, err);
    if (status == GWEN_OK) status = sort_metrics(runs, n_runs, &names, plan, err);
    free(names.items);
    free(names.bound);
    if (status != GWEN_OK) gw_report_plan_free(plan);
    return status;
}

void gw_report_plan_free(struct gw_report_plan *plan) {
    free(plan->metrics);
    free(plan->sections);
    free(plan->constant);
    *plan = (struct gw_report_plan){0};
}

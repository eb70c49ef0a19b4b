/* watch.c - see watch.h.  The limits are rules of thumb, not measurements. */
#include "service/train/watch.h"

#include <inttypes.h>
#include <math.h>

enum kind {
    ABOVE,       /* the mean of the window is above the limit */
    BELOW,       /* ... below it */
    BELOW_FIRST, /* ... below limit times the mean of the first window */
    ABOVE_FIRST  /* ... above that, and above 1 */
};

static const struct rule {
    const char *metric;
    enum kind kind;
    double limit;
    bool collapse;
    const char *meaning;
} RULES[GW_WATCH_RULES] = {
    {"frac_reward_zero_std", ABOVE, 0.8, false,
     "most groups have equal rewards and teach nothing: the prompts are too easy or too hard, or "
     "there are too few samples of each"},
    {"reward_std", BELOW, 1e-6, true,
     "every completion gets the same reward: the task is solved, out of reach, or the reward is "
     "wrong"},
    {"entropy", BELOW_FIRST, 0.1, true,
     "the policy has nearly stopped to explore: lower the learning rate, or raise the temperature, "
     "epsilon_high or beta"},
    {"grad_norm", BELOW_FIRST, 0.01, true,
     "loss and gradients have gone to 0: nothing is learned any more"},
    {"judge/neutral_share", ABOVE, 0.9, true,
     "all grades converge to 3: the judge tells nothing apart, or finds no grade to give"},
    {"judge/length_correlation", ABOVE, 0.6, false,
     "the judge pays for long answers: grades go with the number of tokens"},
    {"judge/length_correlation", BELOW, -0.6, false,
     "the judge pays for short answers: grades go with the number of tokens"},
    {"judge/stock_phrase_share", ABOVE, 0.5, true,
     "most completions say the same phrase: the policy may have found what pleases the judge"},
    {"completions/mean_length", BELOW_FIRST, 0.3, true,
     "completions have become much shorter: the reward may pay for ending early"},
    {"kl", ABOVE_FIRST, 10, true,
     "the policy runs away from the reference: lower the learning rate or raise beta"},
    {"clip_ratio/region_mean", ABOVE, 0.3, false,
     "many tokens are clipped: the policy moves too far per update; lower the learning rate or "
     "num_iterations"},
    {"completions/clipped_ratio", ABOVE, 0.5, false,
     "most completions are cut off at max_completion_length: raise it, or their rewards mean "
     "little"},
};

static void push(struct gw_watch_series *s, double value) {
    if (s->n < GW_WATCH_WINDOW) s->first_sum += value;
    s->last[s->n++ % GW_WATCH_WINDOW] = value;
}

static double window_mean(const struct gw_watch_series *s) {
    double sum = 0;
    for (int i = 0; i < GW_WATCH_WINDOW; i++) sum += s->last[i];
    return sum / GW_WATCH_WINDOW;
}

static bool holds(const struct rule *r, const struct gw_watch_series *s) {
    bool compares = r->kind == BELOW_FIRST || r->kind == ABOVE_FIRST;
    if (s->n < (compares ? 2 * GW_WATCH_WINDOW : GW_WATCH_WINDOW)) return false;
    double now = window_mean(s), first = s->first_sum / GW_WATCH_WINDOW;
    switch (r->kind) {
    case ABOVE: return now > r->limit;
    case BELOW: return now < r->limit;
    case BELOW_FIRST: return now < r->limit * first;
    case ABOVE_FIRST: return now > r->limit * first && now > 1;
    }
    return false;
}

static void tell(const struct rule *r, const struct gw_watch_series *s, uint64_t step,
                 struct gw_str *out) {
    gw_str_printf(out, "step %" PRIu64 ": %s is %.3g over %d steps", step, r->metric,
                  window_mean(s), GW_WATCH_WINDOW);
    if (r->kind == BELOW_FIRST || r->kind == ABOVE_FIRST)
        gw_str_printf(out, " (at first %.3g)", s->first_sum / GW_WATCH_WINDOW);
    gw_str_printf(out, ": %s\n", r->meaning);
}

size_t gw_watch_step(struct gw_watch *w, uint64_t step, const struct gw_metrics *m,
                     struct gw_str *out) {
    size_t told = 0;
    for (size_t i = 0; i < GW_WATCH_RULES; i++) {
        struct gw_watch_series *s = &w->series[i];
        double value = gw_metrics_get(m, RULES[i].metric);
        if (isnan(value)) continue;
        push(s, value);
        bool now = holds(&RULES[i], s);
        if (now && !s->holds) {
            tell(&RULES[i], s, step, out);
            told++;
        }
        s->holds = now;
    }
    return told;
}

bool gw_watch_collapsed(const struct gw_watch *w) {
    for (size_t i = 0; i < GW_WATCH_RULES; i++)
        if (RULES[i].collapse && w->series[i].holds) return true;
    return false;
}

/* loss.c - see loss.h. */
#include "ops/loss.h"

#include "ref/math.h"

double gw_loss_weight(const struct gw_loss_opts *o, const struct gw_loss_batch *b, size_t n) {
    const double m = (double)b->n_micro_batches, rows = (double)b->rows;
    switch (o->loss) {
    case GW_LOSS_GRPO: return 1.0 / ((double)GW_MAX(n, (size_t)1) * rows * m);
    case GW_LOSS_BNPO: return 1.0 / ((double)GW_MAX(b->tokens, (size_t)1) * m);
    case GW_LOSS_DR_GRPO: return 1.0 / (rows * (double)o->max_completion_length * m);
    default: return 1.0 / b->all_tokens;
    }
}

/* A token's loss and its derivatives: by w, and by lp with w held. */
struct token {
    double loss, by_w, by_lp, kl;
};

static struct token token_loss(const struct gw_loss_opts *o, double advantage, double w, double lp,
                               double ref) {
    struct token t = {0};
    if (o->loss == GW_LOSS_CISPO) {
        t.by_lp = -GW_MIN(w, o->epsilon_high) * advantage;
        t.loss = t.by_lp * lp;
    } else {
        const double low = 1 - o->epsilon, high = 1 + o->epsilon_high;
        const double free = GW_MIN(w, o->delta) * advantage;
        const double held = GW_MIN(GW_MAX(w, low), high) * advantage;
        t.loss = -GW_MIN(free, held);
        /* Where the two are equal w lies inside the bounds of both. */
        if (free <= held)
            t.by_w = w <= o->delta ? -advantage : 0;
        else
            t.by_w = w >= low && w <= high ? -advantage : 0;
    }
    if (o->beta == 0) return t;
    const double d = ref - lp, e = gwen_exp_d(d), kl = e - d - 1;
    const double factor = o->use_bias_correction_kl ? w : 1;
    t.kl = kl * factor;
    t.loss += o->beta * t.kl;
    t.by_lp += o->beta * factor * (1 - e);
    if (o->use_bias_correction_kl) t.by_w += o->beta * kl;
    return t;
}

/* Which bounds the ratio is beyond, as 0 or 1. */
struct beyond {
    double low, high, cispo;
};

static struct beyond beyond(const struct gw_loss_opts *o, double advantage, double w) {
    const double capped = GW_MIN(w, o->delta);
    return (struct beyond){.low = capped < 1 - o->epsilon &&
                                  advantage<0, .high = capped> 1 + o->epsilon_high && advantage > 0,
                           .cispo = w > o->epsilon_high && advantage > 0};
}

/* A completion whose shares of clipped tokens (or the completion itself) are low and high. */
static void add_shares(struct gw_loss_stats *s, double low, double high) {
    if (!s->any || low < s->low_min) s->low_min = low;
    if (!s->any || high > s->high_max) s->high_max = high;
    s->any = true;
}

static void add_clipped(struct gw_loss_stats *s, struct beyond b) {
    s->low += b.low;
    s->high += b.high;
    s->region += b.low + b.high; /* never both: they ask for opposite signs */
    s->cispo += b.cispo;
}

void gw_loss_completion(const struct gw_loss_opts *o, const struct gw_loss_input *in, double *loss,
                        float *dlp, struct gw_loss_stats *s) {
    const double weight = in->weight, advantage = in->advantage;
    const float *lp = in->lp, *old = in->old, *ref = in->ref;
    double sum = 0, by_w = 0, low = 0, high = 0;
    const size_t counted = in->masked ? 0 : in->n;
    for (size_t i = 0; i < counted; i++) sum += (double)lp[i] - (double)old[i];
    const double whole = gwen_exp_d(sum / (double)GW_MAX(counted, (size_t)1));
    s->rows++;
    s->tokens += counted;
    for (size_t i = 0; i < counted; i++) {
        const double w = o->sequence_level ? whole : gwen_exp_d((double)lp[i] - (double)old[i]);
        const struct token t =
            token_loss(o, advantage, w, (double)lp[i], ref != NULL ? (double)ref[i] : 0);
        *loss += weight * t.loss;
        by_w += t.by_w;
        s->kl += t.kl;
        if (in->entropy != NULL) s->entropy += (double)in->entropy[i];
        if (dlp != NULL)
            dlp[i] = (float)(weight * (t.by_lp + (o->sequence_level ? 0 : t.by_w * w)));
        if (o->sequence_level) continue;
        const struct beyond b = beyond(o, advantage, w);
        add_clipped(s, b);
        low += b.low;
        high += b.high;
    }
    for (size_t i = counted; dlp != NULL && i < in->n; i++) dlp[i] = 0;
    if (o->sequence_level) {
        /* Each log-probability moves the one ratio by w / n. */
        for (size_t i = 0; dlp != NULL && i < counted; i++)
            dlp[i] = (float)((double)dlp[i] + weight * by_w * whole / (double)counted);
        const struct beyond b = beyond(o, advantage, whole);
        add_clipped(s, b);
        add_shares(s, b.low, b.high);
    } else if (counted > 0) {
        add_shares(s, low / (double)counted, high / (double)counted);
    }
}

void gw_loss_metrics(const struct gw_loss_opts *o, const struct gw_loss_stats *s,
                     struct gw_loss_metrics *m) {
    const double tokens = (double)GW_MAX(s->tokens, (size_t)1);
    const double clipped = o->sequence_level ? (double)GW_MAX(s->rows, (size_t)1) : tokens;
    *m = (struct gw_loss_metrics){.kl = s->kl / tokens,
                                  .entropy = s->entropy / tokens,
                                  .clip_low_mean = s->low / clipped,
                                  .clip_high_mean = s->high / clipped,
                                  .clip_region_mean = s->region / clipped,
                                  .clip_low_min = s->low_min,
                                  .clip_high_max = s->high_max,
                                  .cispo_clip_ratio = s->cispo / clipped};
}

/* --- advantages ----------------------------------------------------------------------------- */

/* Of those that are not NaN. */
struct moments {
    size_t count;
    double mean, std; /* std with count - 1; of fewer than two: 0.  mean of none: 0 */
};

static struct moments moments_of(const double *x, size_t n) {
    struct moments m = {0};
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(x[i])) continue;
        sum += x[i];
        m.count++;
    }
    if (m.count == 0) return m;
    m.mean = sum / (double)m.count;
    for (size_t i = 0; i < n; i++)
        if (!isnan(x[i])) squares += (x[i] - m.mean) * (x[i] - m.mean);
    if (m.count > 1) m.std = sqrt(squares / (double)(m.count - 1));
    return m;
}

/* A deviation this small is rounding: TRL compares with 0 by isclose. */
static bool is_zero(double std) { return std <= 1e-8; }

bool gw_loss_is_flat(const double *rewards, size_t group) {
    return is_zero(moments_of(rewards, group).std);
}

void gw_loss_advantages(enum gw_advantage kind, const double *rewards, size_t n, size_t group,
                        double *advantages, struct gw_reward_stats *stats) {
    const struct moments all = moments_of(rewards, n);
    const bool by_batch = kind == GW_ADVANTAGE_BATCH || kind == GW_ADVANTAGE_REINFORCE_PP;
    size_t n_zero = 0;
    for (size_t g = 0; g < n; g += group) {
        const struct moments own = moments_of(rewards + g, group);
        n_zero += is_zero(by_batch ? all.std : own.std) ? group : 0;
        for (size_t i = g; i < g + group; i++) {
            const double d = rewards[i] - own.mean, count = (double)own.count;
            switch (kind) {
            case GW_ADVANTAGE_GROUP: advantages[i] = d / (own.std + 1e-4); break;
            case GW_ADVANTAGE_BATCH: advantages[i] = d / (all.std + 1e-4); break;
            case GW_ADVANTAGE_NONE: advantages[i] = d; break;
            case GW_ADVANTAGE_RLOO:
                advantages[i] = own.count > 1 ? d * count / (count - 1) : d;
                break;
            case GW_ADVANTAGE_REINFORCE_PP:
                advantages[i] = (rewards[i] - all.mean) / (all.std + 1e-4);
                break;
            }
            if (isnan(rewards[i])) advantages[i] = 0;
        }
    }
    *stats = (struct gw_reward_stats){all.mean, all.std, (double)n_zero / (double)n};
}

/* loss.h - the losses of group-relative policy optimisation (Shao et al. 2024) and its relatives:
 * advantages, losses, their derivatives and metrics, as TRL 1.16 computes them.  Pure functions on
 * arrays; sums are in double, in the order of the arrays.
 *
 * lp, old and ref are log-probabilities of one completion's tokens under the policy, the policy
 * that sampled them and the reference; A is the completion's advantage.
 *
 *     w  = exp(lp - old) per token, or exp(mean of lp - old) for the whole completion (GSPO)
 *     l  = -min(min(w, delta) A, clamp(w, 1 - epsilon, 1 + epsilon_high) A)
 *     l  = -min(w, epsilon_high) A lp, the ratio without gradient (CISPO)
 *     kl = exp(ref - lp) - (ref - lp) - 1, times w with bias correction;  l += beta kl */
#ifndef GW_OPS_LOSS_H
#define GW_OPS_LOSS_H

#include "base/base.h"

enum gw_loss_type {
    GW_LOSS_GRPO,    /* mean over completions of their means */
    GW_LOSS_BNPO,    /* mean over the tokens of a micro-batch */
    GW_LOSS_DR_GRPO, /* sum over a constant length */
    GW_LOSS_DAPO,    /* mean over all tokens of a step's share of the rollout */
    GW_LOSS_CISPO    /* DAPO's mean of another loss */
};

struct gw_loss_opts {
    enum gw_loss_type loss;
    bool sequence_level; /* importance_sampling_level */
    double epsilon, epsilon_high;
    double delta; /* INFINITY: none */
    double beta;  /* 0: no KL, ref is not read */
    bool use_bias_correction_kl;
    size_t max_completion_length;
};

/* What one of TRL's micro-batches is divided by. */
struct gw_loss_batch {
    size_t n_micro_batches; /* accumulation steps */
    size_t rows;            /* completions in this micro-batch, masked ones too */
    size_t tokens;          /* unmasked tokens in this micro-batch */
    double all_tokens;      /* ... in as many as a step has, on the average of the rollout's */
};

/* What a token's l is multiplied by in the loss, in a completion of n unmasked tokens. */
double gw_loss_weight(const struct gw_loss_opts *o, const struct gw_loss_batch *b, size_t n);

/* Sums behind the metrics of a micro-batch; zeroed before its first completion. */
struct gw_loss_stats {
    size_t tokens, rows;
    double kl, entropy;       /* over tokens */
    double low, high, region; /* clipped tokens, or completions with sequence_level */
    double cispo;             /* clipped by CISPO, likewise */
    double low_min, high_max; /* shares in one completion */
    bool any;                 /* low_min and high_max are those of some completion */
};

/* One completion. */
struct gw_loss_input {
    double weight; /* gw_loss_weight() */
    double advantage;
    bool masked;                 /* the completion is left out of the mask altogether */
    size_t n;                    /* tokens */
    const float *lp, *old, *ref; /* [n]; ref NULL: not wanted */
    const float *entropy;        /* [n]; NULL: not known */
};

/* Adds its part of the loss to *loss and its numbers to *stats, and writes d loss / d lp to dlp[n],
 * which may be NULL. */
void gw_loss_completion(const struct gw_loss_opts *o, const struct gw_loss_input *in, double *loss,
                        float *dlp, struct gw_loss_stats *stats);

/* The logged metrics; those without a completion to speak of are 0. */
struct gw_loss_metrics {
    double kl, entropy;
    double clip_low_mean, clip_high_mean, clip_region_mean, clip_low_min, clip_high_max;
    double cispo_clip_ratio;
};
void gw_loss_metrics(const struct gw_loss_opts *o, const struct gw_loss_stats *s,
                     struct gw_loss_metrics *m);

/* --- advantages ----------------------------------------------------------------------------- */

enum gw_advantage {
    GW_ADVANTAGE_GROUP,       /* (r - group mean) / (std of the group + 1e-4) */
    GW_ADVANTAGE_BATCH,       /* ... std of all rewards */
    GW_ADVANTAGE_NONE,        /* r - group mean */
    GW_ADVANTAGE_RLOO,        /* r - mean of the group's others (Ahmadian et al. 2024) */
    GW_ADVANTAGE_REINFORCE_PP /* (r - mean) / (std + 1e-4), both of all rewards (Hu 2025) */
};

struct gw_reward_stats {
    double mean, std;     /* of all rewards; std with n - 1 */
    double frac_zero_std; /* share of completions whose std is 0 */
};

/* Whether a group's rewards are all the same, so that they teach nothing; NaN: missing. */
bool gw_loss_is_flat(const double *rewards, size_t group);
/* Advantages of n rewards in groups of `group` (which divides n).  A missing one (NaN) counts in no
 * mean and no deviation, as in TRL's nanmean and nanstd, and its advantage is 0; so is that of the
 * only one of a group, where it is the group that is compared. */
void gw_loss_advantages(enum gw_advantage kind, const double *rewards, size_t n, size_t group,
                        double *advantages, struct gw_reward_stats *stats);

#endif

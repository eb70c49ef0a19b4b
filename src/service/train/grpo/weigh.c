/* weigh.c - see impl.h: what follows from a rollout's rewards, by arithmetic and seed alone; so it
 * is not saved, but made again. */
#include "service/train/grpo/impl.h"

#include "base/rng.h"

#include <math.h>

bool gw_grpo_is_masked(const struct gw_grpo *g, size_t i) {
    return g->weighed.left_out[i] || (g->run->config->mask_truncated_completions &&
                                      g->drawn.kept.samples[i].finish == GW_FINISH_LENGTH);
}

enum gw_teaching gw_grpo_teaching(const float *rewards, size_t group, double *values) {
    size_t there = 0;
    for (size_t i = 0; i < group; i++) {
        values[i] = (double)rewards[i];
        there += !isnan(rewards[i]);
    }
    if (there == 0) return GW_TEACHING_UNKNOWN;
    return gw_loss_is_flat(values, group) ? GW_TEACHING_NOTHING : GW_TEACHING_SOMETHING;
}

static enum gw_advantage advantage_kind(const struct gw_train_config *c) {
    switch ((enum gw_advantage_estimator)c->advantage_estimator) {
    case GW_ESTIMATOR_GRPO: break;
    case GW_ESTIMATOR_RLOO: return GW_ADVANTAGE_RLOO;
    case GW_ESTIMATOR_REINFORCE_PP: return GW_ADVANTAGE_REINFORCE_PP;
    }
    switch ((enum gw_scale_rewards)c->scale_rewards) {
    case GW_SCALE_GROUP: return GW_ADVANTAGE_GROUP;
    case GW_SCALE_BATCH: return GW_ADVANTAGE_BATCH;
    case GW_SCALE_NONE: break;
    }
    return GW_ADVANTAGE_NONE;
}

/* A part is what TRL generates at a time: its rewards are looked at together. */
static void weigh_part(struct gw_grpo *g, uint64_t number, size_t part) {
    const size_t n = g->size.completions / g->size.parts, first = part * n;
    const struct gw_train_config *c = g->run->config;
    struct gw_grpo_weighed *w = &g->weighed;
    struct gw_reward_stats stats;
    gw_loss_advantages(advantage_kind(c), w->values + first, n, g->size.group,
                       w->advantages + first, &stats);
    w->frac_zero_std += stats.frac_zero_std / (double)g->size.parts;
    const struct gw_rng_key key = {.seed = c->seed,
                                   .stream = GW_STREAM_DATA,
                                   .step = number * g->size.parts + part,
                                   .prompt_key = 1};
    gw_rng_shuffle(&key, w->shuffled, n);
    for (size_t i = 0; i < n; i++)
        w->micro_of[first + w->shuffled[i]] = (first + i) / c->per_device_train_batch_size;
    size_t tokens = 0;
    for (size_t i = first; i < first + n; i++)
        tokens += gw_grpo_is_masked(g, i) ? 0 : g->drawn.kept.samples[i].n;
    w->part_tokens[part] = (double)GW_MAX(tokens, (size_t)1);
}

void gw_grpo_weigh(struct gw_grpo *g, uint64_t number) {
    struct gw_grpo_weighed *w = &g->weighed;
    const size_t group = g->size.group;
    size_t unknown = 0;
    w->frac_zero_std = 0;
    for (size_t first = 0; first < g->size.completions; first += group) {
        const enum gw_teaching teaching =
            gw_grpo_teaching(g->drawn.rewards + first, group, w->values + first);
        const bool left_out = teaching == GW_TEACHING_UNKNOWN ||
                              (teaching == GW_TEACHING_NOTHING && g->run->config->filter_zero_std);
        for (size_t i = first; i < first + group; i++) w->left_out[i] = left_out;
        unknown += teaching == GW_TEACHING_UNKNOWN;
    }
    if (unknown > 0)
        gw_log(g->run->host->log, GWEN_LOG_WARNING,
               "%zu of %zu groups have no reward at all and count nothing", unknown,
               g->size.completions / group);
    for (size_t part = 0; part < g->size.parts; part++) weigh_part(g, number, part);
}

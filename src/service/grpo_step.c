/* grpo_step.c - see grpo_internal.h: loss, gradients, the optimizer's step. */
#include "service/grpo_internal.h"

#include "base/clock.h"

#include <inttypes.h>
#include <string.h>

/* --- loss ------------------------------------------------------------------------------------- */

static bool is_masked(const struct gw_grpo *g, size_t i) {
    return g->run->config->mask_truncated_completions &&
           g->completions[i].finish == GW_FINISH_LENGTH;
}

/* What TRL's micro-batches are divided by: per_device_train_batch_size completions each. */
static void count_batches(struct gw_grpo *g) {
    const size_t rows = g->run->config->per_device_train_batch_size;
    const size_t n = g->run->config->gradient_accumulation_steps;
    size_t all = 0;
    for (size_t b = 0; b < n; b++) {
        g->batches[b] = (struct gw_grpo_batch){.n_micro_batches = n, .rows = rows};
        g->stats[b] = (struct gw_grpo_stats){0};
        for (size_t i = b * rows; i < (b + 1) * rows; i++)
            g->batches[b].tokens += is_masked(g, i) ? 0 : g->completions[i].n;
        all += g->batches[b].tokens;
    }
    for (size_t b = 0; b < n; b++) g->batches[b].all_tokens = all;
}

static void completion_loss(void *ctx, size_t group, size_t index,
                            const struct gw_train_sample *s) {
    struct gw_grpo *g = ctx;
    const size_t i = group * g->group + index;
    const size_t b = i / g->run->config->per_device_train_batch_size;
    const bool masked = is_masked(g, i);
    const double weight = gw_grpo_weight(&g->loss_opts, &g->batches[b], masked ? 0 : s->n);
    const float *old = g->old + i * g->longest;
    for (size_t t = 0; t < s->n; t++)
        g->differing += memcmp(&old[t], &s->logprobs[t], sizeof *old) != 0;
    gw_grpo_completion(&g->loss_opts, weight, g->advantages[i], masked, s->logprobs, old,
                       g->loss_opts.beta > 0 ? g->ref + i * g->longest : NULL, s->entropy, s->n,
                       &g->loss, s->dlogprobs, &g->stats[b]);
}

static enum gwen_status accumulate(struct gw_grpo *g, struct gwen_err *err) {
    for (size_t i = 0; i < g->n; i++)
        g->samples[i] = (struct gw_train_sample){.ids = g->ids + i * g->longest,
                                                 .n = g->completions[i].n,
                                                 .logprobs = g->now + i * g->longest,
                                                 .entropy = g->entropy + i * g->longest,
                                                 .dlogprobs = g->slope + i * g->longest};
    for (size_t k = 0; k < g->n_groups; k++)
        g->groups[k] = (struct gw_train_group){.prompt = g->batch.rows[k].ids,
                                               .n_prompt = g->batch.rows[k].n,
                                               .samples = &g->samples[k * g->group],
                                               .n_samples = g->group};
    count_batches(g);
    g->loss = 0;
    g->differing = 0;
    GW_TRY(gw_learner_accumulate(g->learner, g->groups, g->n_groups, completion_loss, g, err));
    if (!g->o->verify || g->differing == 0) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_INTERNAL,
                   "step %" PRIu64 ": %zu of %zu log-probabilities recorded while sampling differ "
                   "from those of training",
                   g->run->state.step + 1, g->differing, g->sampled);
}

/* --- a step ----------------------------------------------------------------------------------- */

enum gwen_status gw_grpo_step(struct gw_grpo *g, struct gwen_err *err) {
    const uint64_t start = gw_now_ns();
    struct gw_learner_report report;
    GW_TRY(gw_grpo_make_rollout(g, err));
    const uint64_t trained = gw_now_ns();
    GW_TRY(accumulate(g, err));
    GW_TRY(gw_learner_step(g->learner, &report, err));
    g->run->state.step = g->learner->step;
    struct gw_step_report line = {.seconds = gw_seconds_since(start),
                                  .rollout_tok_s = (double)g->sampled / g->rollout_s,
                                  .train_tok_s = (double)g->sampled / gw_seconds_since(trained)};
    return gw_grpo_log_step(g, &line, &report, err);
}

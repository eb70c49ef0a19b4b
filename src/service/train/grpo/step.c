/* step.c - see impl.h: loss, gradients, the optimizer's step. */
#include "service/train/grpo/impl.h"

#include "base/clock.h"

#include <inttypes.h>
#include <string.h>

/* --- which completions ---------------------------------------------------------------------- */

bool gw_grpo_is_masked(const struct gw_grpo *g, size_t i) {
    return g->left_out[i] || (g->run->config->mask_truncated_completions &&
                              g->completions[i].finish == GW_FINISH_LENGTH);
}

/* Which of the step's micro-batches completion i is in; size.accumulation or more: in none. */
static size_t place_of(const struct gw_grpo *g, size_t i) {
    const size_t n = g->size.micro_batches, begin = g->update * g->size.accumulation % n;
    return (g->micro_of[i] + n - begin) % n;
}

static bool takes_part(const struct gw_grpo *g, size_t i) {
    return !g->left_out[i] && place_of(g, i) < g->size.accumulation;
}

/* The step's completions by their prompts, which they share. */
static void list_groups(struct gw_grpo *g) {
    size_t n = 0;
    g->n_groups = g->trained = 0;
    for (size_t k = 0; k < g->size.prompts; k++) {
        struct gw_train_group *group = &g->groups[g->n_groups];
        *group = (struct gw_train_group){.prompt = g->batch.rows[k].ids,
                                         .n_prompt = g->batch.rows[k].n,
                                         .samples = &g->samples[n]};
        for (size_t i = k * g->size.group; i < (k + 1) * g->size.group; i++) {
            if (!takes_part(g, i)) continue;
            const size_t at = i * g->longest;
            g->which[n] = i;
            g->samples[n++] = (struct gw_train_sample){.ids = g->ids + at,
                                                       .n = g->completions[i].n,
                                                       .logprobs = g->now + at,
                                                       .entropy = g->entropy + at,
                                                       .dlogprobs = g->slope + at};
            group->n_samples++;
            g->trained += g->completions[i].n;
        }
        g->n_groups += group->n_samples > 0;
    }
}

/* What TRL's micro-batches are divided by.  Its num_items_in_batch is the tokens of all that was
 * generated together, scaled to as many micro-batches as a step has. */
static void count_batches(struct gw_grpo *g) {
    const size_t n = g->size.accumulation, n_part = g->size.micro_batches / g->size.parts;
    for (size_t b = 0; b < n; b++) {
        const size_t micro = (g->update * n + b) % g->size.micro_batches;
        g->batches[b] = (struct gw_loss_batch){.n_micro_batches = n,
                                               .all_tokens = g->part_tokens[micro / n_part] *
                                                             (double)n / (double)n_part};
        g->stats[b] = (struct gw_loss_stats){0};
    }
    for (size_t i = 0; i < g->size.completions; i++) {
        if (!takes_part(g, i)) continue;
        struct gw_loss_batch *batch = &g->batches[place_of(g, i)];
        batch->rows++;
        batch->tokens += gw_grpo_is_masked(g, i) ? 0 : g->completions[i].n;
    }
}

/* --- loss ----------------------------------------------------------------------------------- */

static void completion_loss(void *ctx, size_t group, size_t index,
                            const struct gw_train_sample *s) {
    struct gw_grpo *g = ctx;
    const size_t i = g->which[(size_t)(g->groups[group].samples - g->samples) + index];
    const size_t b = place_of(g, i);
    const bool masked = gw_grpo_is_masked(g, i);
    const double weight = gw_loss_weight(&g->loss_opts, &g->batches[b], masked ? 0 : s->n);
    const float *old = g->old + i * g->longest;
    /* After an update they differ, and that is what ratios are about. */
    for (size_t t = 0; t < s->n && g->update == 0; t++)
        g->differing += memcmp(&old[t], &s->logprobs[t], sizeof *old) != 0;
    gw_loss_completion(&g->loss_opts, weight, g->advantages[i], masked, s->logprobs, old,
                       g->loss_opts.beta > 0 ? g->ref + i * g->longest : NULL, s->entropy, s->n,
                       &g->loss, s->dlogprobs, &g->stats[b]);
}

static enum gwen_status accumulate(struct gw_grpo *g, struct gwen_err *err) {
    list_groups(g);
    count_batches(g);
    g->loss = 0;
    g->differing = 0;
    const uint64_t start = gw_now_ns();
    GW_TRY(gw_learner_accumulate(g->learner, g->groups, g->n_groups, completion_loss, g, err));
    g->passes_s = gw_seconds_since(start);
    if (!g->o->verify || g->differing == 0) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_INTERNAL,
                   "step %" PRIu64 ": %zu of %zu log-probabilities recorded while sampling differ "
                   "from those of training",
                   g->run->state.step + 1, g->differing, g->trained);
}

/* --- a step --------------------------------------------------------------------------------- */

static enum gwen_status make_gradients(struct gw_grpo *g, struct gwen_err *err) {
    if (g->update == 0) GW_TRY(gw_grpo_make_rollout(g, err));
    return accumulate(g, err);
}

/* Gradients, new weights, what they are worth; a step without its evaluation is not one. */
static enum gwen_status make_step(struct gw_grpo *g, struct gw_step_report *line,
                                  struct gw_learner_report *report, struct gwen_err *err) {
    const uint64_t start = gw_now_ns();
    enum gwen_status status = make_gradients(g, err);
    /* Any other failure may be that of the weights, which then are not to take the place of those
     * of an earlier checkpoint. */
    g->step_saves = status == GWEN_ERR_CANCELLED || g->rewarding;
    GW_TRY(status);
    GW_TRY(gw_learner_step(g->learner, report, err));
    line->seconds = gw_seconds_since(start);
    return gw_grpo_evaluate(g, err);
}

enum gwen_status gw_grpo_step(struct gw_grpo *g, struct gwen_err *err) {
    struct gw_train_state *at = &g->run->state;
    const struct gw_train_state before = *at;
    struct gw_step_report line = {0};
    struct gw_learner_report report;
    g->update = (size_t)at->used;
    g->rewarding = false;
    enum gwen_status status = make_step(g, &line, &report, err);
    if (status != GWEN_OK) { /* it has not begun, should a checkpoint be made */
        at->generation = before.generation;
        at->epoch = before.epoch;
        at->row = before.row;
        return status;
    }
    at->step = g->learner->step;
    at->used = (g->update + 1) % g->size.updates;
    return gw_grpo_log_step(g, &line, &report, err);
}

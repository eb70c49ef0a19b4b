/* pass.c - see impl.h: loss and gradients of the completions that a step uses. */
#include "service/train/grpo/impl.h"

#include "base/clock.h"

#include <inttypes.h>
#include <string.h>

/* --- which completions ---------------------------------------------------------------------- */

/* Which of the step's micro-batches completion i is in; size.accumulation or more: in none. */
static size_t place_of(const struct gw_grpo *g, size_t i) {
    const size_t n = g->size.micro_batches, begin = g->pass.update * g->size.accumulation % n;
    return (g->weighed.micro_of[i] + n - begin) % n;
}

static bool takes_part(const struct gw_grpo *g, size_t i) {
    return !g->weighed.left_out[i] && place_of(g, i) < g->size.accumulation;
}

/* The step's completions by their prompts, which they share. */
static void list_groups(struct gw_grpo *g) {
    const struct gw_kept *kept = &g->drawn.kept;
    struct gw_grpo_pass *pass = &g->pass;
    size_t n = 0;
    pass->n_groups = pass->trained = 0;
    for (size_t k = 0; k < g->size.prompts; k++) {
        struct gw_train_group *group = &pass->groups[pass->n_groups];
        *group = (struct gw_train_group){.prompt = g->drawn.prompts[k].ids,
                                         .n_prompt = g->drawn.prompts[k].n,
                                         .samples = &pass->samples[n]};
        for (size_t i = k * g->size.group; i < (k + 1) * g->size.group; i++) {
            if (!takes_part(g, i)) continue;
            const size_t at = i * g->longest;
            pass->which[n] = i;
            pass->samples[n++] = (struct gw_train_sample){.ids = kept->ids + at,
                                                          .n = kept->samples[i].n,
                                                          .logprobs = pass->logprobs + at,
                                                          .entropy = pass->entropy + at,
                                                          .dlogprobs = pass->slope + at};
            group->n_samples++;
            pass->trained += kept->samples[i].n;
        }
        pass->n_groups += group->n_samples > 0;
    }
}

/* What TRL's micro-batches are divided by.  Its num_items_in_batch is the tokens of all that was
 * generated together, scaled to as many micro-batches as a step has. */
static void count_batches(struct gw_grpo *g) {
    const size_t n = g->size.accumulation, n_part = g->size.micro_batches / g->size.parts;
    struct gw_grpo_pass *pass = &g->pass;
    for (size_t b = 0; b < n; b++) {
        const size_t micro = (pass->update * n + b) % g->size.micro_batches;
        const double tokens = g->weighed.part_tokens[micro / n_part];
        pass->batches[b] = (struct gw_loss_batch){
            .n_micro_batches = n, .all_tokens = tokens * (double)n / (double)n_part};
        pass->stats[b] = (struct gw_loss_stats){0};
    }
    for (size_t i = 0; i < g->size.completions; i++) {
        if (!takes_part(g, i)) continue;
        struct gw_loss_batch *batch = &pass->batches[place_of(g, i)];
        batch->rows++;
        batch->tokens += gw_grpo_is_masked(g, i) ? 0 : g->drawn.kept.samples[i].n;
    }
}

/* --- loss ----------------------------------------------------------------------------------- */

static void completion_loss(void *ctx, size_t group, size_t index,
                            const struct gw_train_sample *s) {
    struct gw_grpo *g = ctx;
    struct gw_grpo_pass *pass = &g->pass;
    const size_t i = pass->which[(size_t)(pass->groups[group].samples - pass->samples) + index];
    const size_t b = place_of(g, i);
    const bool masked = gw_grpo_is_masked(g, i);
    const double weight = gw_loss_weight(&g->loss, &pass->batches[b], masked ? 0 : s->n);
    const float *old = g->drawn.old + i * g->longest;
    /* After an update they differ, and that is what ratios are about. */
    for (size_t t = 0; t < s->n && pass->update == 0; t++)
        pass->differing += memcmp(&old[t], &s->logprobs[t], sizeof *old) != 0;
    gw_train_run_done(g->run, pass->passed); /* before this one\'s backward pass */
    pass->passed += s->n;
    const struct gw_loss_input in = {.weight = weight,
                                     .advantage = g->weighed.advantages[i],
                                     .masked = masked,
                                     .n = s->n,
                                     .lp = s->logprobs,
                                     .old = old,
                                     .ref = g->loss.beta > 0 ? g->drawn.ref + i * g->longest : NULL,
                                     .entropy = s->entropy};
    gw_loss_completion(&g->loss, &in, &pass->loss, s->dlogprobs, &pass->stats[b]);
}

enum gwen_status gw_grpo_accumulate(struct gw_grpo *g, struct gwen_err *err) {
    struct gw_grpo_pass *pass = &g->pass;
    list_groups(g);
    count_batches(g);
    pass->loss = 0;
    pass->differing = 0;
    pass->passed = 0;
    gw_train_run_phase(g->run, "train", "tokens", pass->trained);
    const uint64_t start = gw_now_ns();
    GW_TRY(
        gw_learner_accumulate(g->learner, pass->groups, pass->n_groups, completion_loss, g, err));
    pass->seconds = gw_seconds_since(start);
    if (!g->opts->verify || pass->differing == 0) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_INTERNAL,
                   "step %" PRIu64 ": %zu of %zu log-probabilities recorded while sampling differ "
                   "from those of training",
                   g->run->state.step + 1, pass->differing, pass->trained);
}

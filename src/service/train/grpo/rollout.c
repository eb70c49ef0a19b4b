/* rollout.c - see impl.h: prompts, samples, rewards, what the reference says of them. */
#include "service/train/grpo/impl.h"

#include "base/clock.h"
#include "service/train/order.h"

#include <string.h>

/* A rollout that is being made. */
struct making {
    struct gw_grpo *grpo;
    uint64_t number; /* the rollout's */
    size_t first;    /* the group that is being sampled for from; those before it stay */
};

/* --- prompts -------------------------------------------------------------------------------- */

static void order_epoch(struct gw_grpo_order *order, const struct gw_train_config *c,
                        uint64_t epoch) {
    if (order->epoch == epoch) return;
    order->epoch = epoch;
    if (c->shuffle_dataset)
        gw_data_order(c->seed, epoch, order->rows, order->n);
    else
        for (size_t i = 0; i < order->n; i++) order->rows[i] = i;
}

/* The next prompts of the epoch's order; what is too few for them at its end is left out. */
static enum gwen_status choose_prompts(const struct making *m, struct gwen_err *err) {
    struct gw_grpo *g = m->grpo;
    struct gw_grpo_drawn *drawn = &g->drawn;
    const struct gw_prompts *p = g->opts->prompts;
    struct gw_train_state *at = &g->run->state;
    if (at->row + (g->size.prompts - m->first) > p->n) {
        at->row = 0;
        at->epoch++;
    }
    order_epoch(&g->order, g->run->config, at->epoch);
    for (size_t k = m->first; k < g->size.prompts; k++) {
        drawn->chosen[k] = g->order.rows[at->row++];
        drawn->prompts[k] = p->rows[drawn->chosen[k]];
        g->counts.prompt_tokens += drawn->prompts[k].n;
        GW_TRY(gw_kept_prompt(&drawn->kept, k, &drawn->prompts[k], err));
    }
    return GWEN_OK;
}

/* --- sampling ------------------------------------------------------------------------------- */

static enum gwen_status take_sample(void *ctx, const struct gw_rollout_sample *s,
                                    struct gwen_err *err) {
    const struct making *m = ctx;
    struct gw_grpo *g = m->grpo;
    struct gw_grpo_drawn *drawn = &g->drawn;
    const size_t k = m->first + s->prompt_id, i = k * g->size.group + s->sample_id;
    memcpy(drawn->old + i * g->longest, s->logprobs, s->n * sizeof *s->logprobs);
    g->counts.sampled += s->n;
    return gw_kept_put(&drawn->kept, i, s, drawn->chosen[k], err);
}

/* Samples of a later round have other numbers: a prompt that is met again gives others. */
static enum gwen_status sample(struct making *m, struct gwen_err *err) {
    struct gw_grpo *g = m->grpo;
    const struct gw_grpo_run_opts *o = g->opts;
    const struct gw_rollout_sink sink = {.ctx = m,
                                         .sample = take_sample,
                                         .progress = o->progress,
                                         .progress_user = o->progress_user};
    struct gw_prompts batch = {.rows = g->drawn.prompts + m->first,
                               .n = g->size.prompts - m->first,
                               .max_prompt = o->prompts->max_prompt,
                               .max_tokens = o->prompts->max_tokens};
    for (size_t k = 0; k < batch.n; k++) batch.n_tokens += batch.rows[k].n;
    const uint64_t start = gw_now_ns();
    gw_rollout_set_draws(g->sampler, m->number, g->counts.rounds * g->size.group);
    GW_TRY(gw_rollout_run(g->sampler, &batch, &sink, NULL, err));
    g->counts.rollout_s += gw_seconds_since(start);
    return GWEN_OK;
}

/* --- rewards -------------------------------------------------------------------------------- */

static enum gwen_status reward(const struct making *m, struct gwen_err *err) {
    struct gw_grpo *g = m->grpo;
    struct gw_grpo_drawn *drawn = &g->drawn;
    struct gw_rewards *rewards = g->opts->rewards;
    const uint64_t start = gw_now_ns();
    const size_t first = m->first * g->size.group, end = g->size.completions;
    gw_train_run_phase(g->run, "reward", "", 0);
    g->rewarding = true;
    GW_TRY(gw_kept_reward(&drawn->kept, drawn->prompts, first, end, rewards, false, err));
    g->rewarding = false;
    gw_rewards_combine(rewards, drawn->kept.scores + first * drawn->kept.n_rewards, end - first,
                       drawn->rewards + first);
    g->counts.reward_s += gw_seconds_since(start);
    return GWEN_OK;
}

/* --- groups that teach nothing -------------------------------------------------------------- */

/* The group `from` takes the place of another. */
static void move_group(struct gw_grpo *g, size_t from, size_t to) {
    struct gw_grpo_drawn *drawn = &g->drawn;
    const size_t group = g->size.group, n = group * g->longest;
    drawn->chosen[to] = drawn->chosen[from];
    drawn->prompts[to] = drawn->prompts[from];
    gw_kept_move(&drawn->kept, from, to);
    memcpy(drawn->old + to * n, drawn->old + from * n, n * sizeof *drawn->old);
    memcpy(drawn->rewards + to * group, drawn->rewards + from * group,
           group * sizeof *drawn->rewards);
}

/* Brings groups whose rewards differ to the front; m->first is then their number. */
static void keep_differing(struct making *m) {
    struct gw_grpo *g = m->grpo;
    const size_t group = g->size.group;
    size_t kept = m->first;
    for (size_t k = m->first; k < g->size.prompts; k++) {
        if (gw_grpo_teaching(g->drawn.rewards + k * group, group, g->weighed.values + k * group) !=
            GW_TEACHING_SOMETHING)
            continue;
        if (k != kept) move_group(g, k, kept);
        kept++;
    }
    m->first = kept;
}

/* --- reference ------------------------------------------------------------------------------ */

static enum gwen_status score_reference(struct gw_grpo *g, struct gwen_err *err) {
    const uint64_t start = gw_now_ns();
    const struct gw_kept *kept = &g->drawn.kept;
    const size_t n = g->size.completions;
    if (g->loss.beta == 0) return GWEN_OK;
    for (size_t i = 0; i < n; i++) {
        const struct gw_prompt *p = &g->drawn.prompts[i / g->size.group];
        const size_t len = kept->samples[i].n;
        int32_t *sequence = g->asked.sequences + i * g->asked.width;
        memcpy(sequence, p->ids, p->n * sizeof *sequence);
        memcpy(sequence + p->n, kept->ids + i * g->longest, len * sizeof *sequence);
        g->asked.requests[i] = (struct gw_score_request){.ids = sequence,
                                                         .n = p->n + len,
                                                         .from = p->n,
                                                         .logprobs = g->drawn.ref + i * g->longest};
    }
    gw_train_run_phase(g->run, "reference", "", 0);
    GW_TRY(gw_scorer_run(g->opts->reference, g->asked.requests, n, false, NULL, NULL, err));
    g->counts.reference_s = gw_seconds_since(start);
    return GWEN_OK;
}

/* --- all of it ------------------------------------------------------------------------------ */

/* Groups whose rewards are all the same give way to those of further prompts, as often as is
 * allowed; then they stay. */
static enum gwen_status sample_groups(struct making *m, struct gwen_err *err) {
    struct gw_grpo *g = m->grpo;
    const struct gw_train_config *c = g->run->config;
    for (;; g->counts.rounds++) {
        GW_TRY(choose_prompts(m, err));
        GW_TRY(sample(m, err));
        GW_TRY(reward(m, err));
        if (!c->dynamic_sampling || g->counts.rounds == c->max_resample_rounds) return GWEN_OK;
        keep_differing(m);
        if (m->first == g->size.prompts) return GWEN_OK;
        g->counts.dropped += g->size.prompts - m->first;
    }
}

enum gwen_status gw_grpo_make_rollout(struct gw_grpo *g, struct gwen_err *err) {
    struct making m = {.grpo = g, .number = g->run->state.generation++};
    g->counts = (struct gw_grpo_counts){0};
    GW_TRY(sample_groups(&m, err));
    gw_grpo_weigh(g, m.number);
    return score_reference(g, err);
}

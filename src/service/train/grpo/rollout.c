/* rollout.c - see impl.h: prompts, samples, rewards, advantages. */
#include "service/train/grpo/impl.h"

#include "base/clock.h"
#include "service/train/order.h"

#include <math.h>
#include <string.h>

/* --- prompts -------------------------------------------------------------------------------- */

enum gwen_status gw_grpo_decode_prompt(struct gw_grpo *g, size_t k, struct gwen_err *err) {
    const struct gw_prompt *p = &g->batch.rows[k];
    struct gw_str *text = &g->prompt_texts[k];
    gw_str_clear(text);
    gw_str_puts(text, "");
    if (g->o->tokenizer != NULL)
        GW_TRY(gw_tokenizer_decode(g->o->tokenizer, p->ids, p->n, true, text, err));
    return text->failed ? gw_nomem(err, p->n, "a prompt's text") : GWEN_OK;
}

static void order_epoch(struct gw_grpo *g) {
    const uint64_t epoch = g->run->state.epoch;
    const size_t n = g->o->prompts->n;
    if (g->epoch == epoch) return;
    g->epoch = epoch;
    if (g->run->config->shuffle_dataset)
        gw_data_order(g->run->config->seed, epoch, g->order, n);
    else
        for (size_t i = 0; i < n; i++) g->order[i] = i;
}

/* The next prompts of the epoch's order, for the groups from g->first on; what is too few for them
 * at its end is left out. */
static enum gwen_status choose_prompts(struct gw_grpo *g, struct gwen_err *err) {
    const struct gw_prompts *p = g->o->prompts;
    struct gw_train_state *at = &g->run->state;
    if (at->row + (g->size.prompts - g->first) > p->n) {
        at->row = 0;
        at->epoch++;
    }
    order_epoch(g);
    for (size_t k = g->first; k < g->size.prompts; k++) {
        g->chosen[k] = g->order[at->row++];
        g->batch.rows[k] = p->rows[g->chosen[k]];
        g->prompt_tokens += g->batch.rows[k].n;
        GW_TRY(gw_grpo_decode_prompt(g, k, err));
    }
    return GWEN_OK;
}

/* --- sampling ------------------------------------------------------------------------------- */

static enum gwen_status take_sample(void *ctx, const struct gw_rollout_sample *s,
                                    struct gwen_err *err) {
    struct gw_grpo *g = ctx;
    const size_t group = g->first + s->prompt_id, i = group * g->size.group + s->sample_id;
    struct gw_completion *c = &g->completions[i];
    struct gw_rollout_sample named = *s;
    named.prompt_id = g->chosen[group];
    c->n = s->n;
    c->finish = s->finish;
    memcpy(g->ids + i * g->longest, s->ids, s->n * sizeof *s->ids);
    memcpy(g->old + i * g->longest, s->logprobs, s->n * sizeof *s->logprobs);
    gw_str_clear(&c->text);
    gw_str_put(&c->text, s->text != NULL ? s->text : "", s->text_len);
    gw_str_clear(&c->row);
    gw_rollout_put_row(&c->row, &named, g->o->numeric_class);
    g->sampled += s->n;
    return c->text.failed || c->row.failed ? gw_nomem(err, s->n, "a sample") : GWEN_OK;
}

/* Samples of a later round have other numbers: a prompt that is met again gives others. */
static enum gwen_status sample(struct gw_grpo *g, uint64_t number, struct gwen_err *err) {
    const struct gw_rollout_sink sink = {.ctx = g,
                                         .sample = take_sample,
                                         .progress = g->o->progress,
                                         .progress_user = g->o->progress_user};
    struct gw_prompts batch = {.rows = g->batch.rows + g->first,
                               .n = g->size.prompts - g->first,
                               .max_prompt = g->o->prompts->max_prompt,
                               .max_tokens = g->o->prompts->max_tokens};
    for (size_t k = 0; k < batch.n; k++) batch.n_tokens += batch.rows[k].n;
    const uint64_t start = gw_now_ns();
    gw_rollout_set_draws(g->rollout, number, g->rounds * g->size.group);
    GW_TRY(gw_rollout_run(g->rollout, &batch, &sink, NULL, err));
    g->rollout_s += gw_seconds_since(start);
    return GWEN_OK;
}

/* --- rewards -------------------------------------------------------------------------------- */

void gw_grpo_set_inputs(struct gw_grpo *g, size_t first) {
    for (size_t i = first; i < g->size.completions; i++) {
        const struct gw_prompt *p = &g->batch.rows[i / g->size.group];
        const struct gw_str *prompt = &g->prompt_texts[i / g->size.group];
        const struct gw_completion *c = &g->completions[i];
        g->inputs[i] = (struct gw_reward_input){.prompt = prompt->data,
                                                .prompt_len = prompt->len,
                                                .asked = p->text,
                                                .asked_len = p->text_len,
                                                .completion = c->text.data,
                                                .completion_len = c->text.len,
                                                .ids = g->ids + i * g->longest,
                                                .n = c->n,
                                                .meta = p->meta,
                                                .meta_len = p->meta_len};
    }
}

static enum gwen_status reward(struct gw_grpo *g, struct gwen_err *err) {
    const uint64_t start = gw_now_ns();
    const size_t first = g->first * g->size.group, n = g->size.completions;
    const size_t n_rewards = gw_rewards_count(g->o->rewards);
    gw_grpo_set_inputs(g, first);
    g->rewarding = true;
    GW_TRY(gw_rewards_score(g->o->rewards, g->inputs + first, n - first,
                            g->scores + first * n_rewards, err));
    g->rewarding = false;
    gw_rewards_combine(g->o->rewards, g->scores + first * n_rewards, n - first, g->rewards + first);
    g->reward_s += gw_seconds_since(start);
    return GWEN_OK;
}

/* A completion without a reward stands in its group for the mean of the others. */
static void fill_missing(struct gw_grpo *g, size_t group) {
    const size_t first = group * g->size.group, end = first + g->size.group;
    double sum = 0;
    size_t there = 0;
    for (size_t i = first; i < end; i++) {
        if (isnan(g->rewards[i])) continue;
        sum += (double)g->rewards[i];
        there++;
    }
    const double mean = there > 0 ? sum / (double)there : 0;
    for (size_t i = first; i < end; i++)
        g->filled[i] = isnan(g->rewards[i]) ? mean : (double)g->rewards[i];
}

static bool is_flat(const struct gw_grpo *g, size_t group) {
    return gw_loss_is_flat(g->filled + group * g->size.group, g->size.group);
}

/* --- groups that teach nothing -------------------------------------------------------------- */

static void swap_strings(struct gw_str *a, struct gw_str *b) {
    const struct gw_str was = *a;
    *a = *b;
    *b = was;
}

/* The group `from` takes the place of another, whose texts' memory it gets in exchange. */
static void move_group(struct gw_grpo *g, size_t from, size_t to) {
    const size_t group = g->size.group, n_rewards = gw_rewards_count(g->o->rewards);
    const size_t f = from * group, t = to * group;
    g->chosen[to] = g->chosen[from];
    g->batch.rows[to] = g->batch.rows[from];
    swap_strings(&g->prompt_texts[to], &g->prompt_texts[from]);
    for (size_t i = 0; i < group; i++) {
        const struct gw_completion was = g->completions[t + i];
        g->completions[t + i] = g->completions[f + i];
        g->completions[f + i] = was;
    }
    memcpy(g->ids + t * g->longest, g->ids + f * g->longest, group * g->longest * sizeof *g->ids);
    memcpy(g->old + t * g->longest, g->old + f * g->longest, group * g->longest * sizeof *g->old);
    memcpy(g->scores + t * n_rewards, g->scores + f * n_rewards,
           group * n_rewards * sizeof *g->scores);
    memcpy(g->rewards + t, g->rewards + f, group * sizeof *g->rewards);
}

/* Brings groups whose rewards differ to the front; g->first is then their number. */
static void keep_differing(struct gw_grpo *g) {
    size_t kept = g->first;
    for (size_t k = g->first; k < g->size.prompts; k++) {
        fill_missing(g, k);
        if (is_flat(g, k)) continue;
        if (k != kept) move_group(g, k, kept);
        kept++;
    }
    g->first = kept;
}

/* --- advantages, micro-batches -------------------------------------------------------------- */

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
    struct gw_reward_stats stats;
    gw_loss_advantages(advantage_kind(c), g->filled + first, n, g->size.group,
                       g->advantages + first, &stats);
    g->frac_zero_std += stats.frac_zero_std / (double)g->size.parts;
    const struct gw_rng_key key = {.seed = c->seed,
                                   .stream = GW_STREAM_DATA,
                                   .step = number * g->size.parts + part,
                                   .prompt_key = 1};
    gw_rng_shuffle(&key, g->shuffled, n);
    for (size_t i = 0; i < n; i++)
        g->micro_of[first + g->shuffled[i]] = (first + i) / c->per_device_train_batch_size;
    size_t tokens = 0;
    for (size_t i = first; i < first + n; i++)
        tokens += gw_grpo_is_masked(g, i) ? 0 : g->completions[i].n;
    g->part_tokens[part] = (double)GW_MAX(tokens, (size_t)1);
}

void gw_grpo_weigh_rollout(struct gw_grpo *g, uint64_t number) {
    g->frac_zero_std = 0;
    for (size_t k = 0; k < g->size.prompts; k++) {
        fill_missing(g, k);
        const bool left_out = g->run->config->filter_zero_std && is_flat(g, k);
        for (size_t i = 0; i < g->size.group; i++) g->left_out[k * g->size.group + i] = left_out;
    }
    for (size_t part = 0; part < g->size.parts; part++) weigh_part(g, number, part);
    for (size_t i = 0; i < g->size.completions; i++)
        if (isnan(g->rewards[i])) g->advantages[i] = 0;
}

/* --- reference ------------------------------------------------------------------------------ */

static enum gwen_status score_reference(struct gw_grpo *g, struct gwen_err *err) {
    const uint64_t start = gw_now_ns();
    const size_t n = g->size.completions;
    if (g->loss_opts.beta == 0) return GWEN_OK;
    for (size_t i = 0; i < n; i++) {
        const struct gw_prompt *p = &g->batch.rows[i / g->size.group];
        const size_t len = g->completions[i].n;
        int32_t *sequence = g->sequences + i * g->width;
        memcpy(sequence, p->ids, p->n * sizeof *sequence);
        memcpy(sequence + p->n, g->ids + i * g->longest, len * sizeof *sequence);
        g->requests[i] = (struct gw_score_request){
            .ids = sequence, .n = p->n + len, .from = p->n, .logprobs = g->ref + i * g->longest};
    }
    GW_TRY(gw_scorer_run(g->o->reference, g->requests, n, false, NULL, NULL, err));
    g->reference_s = gw_seconds_since(start);
    return GWEN_OK;
}

/* --- all of it ------------------------------------------------------------------------------ */

/* Groups whose rewards are all the same give way to those of further prompts, as often as is
 * allowed; then they stay. */
static enum gwen_status sample_groups(struct gw_grpo *g, uint64_t number, struct gwen_err *err) {
    const struct gw_train_config *c = g->run->config;
    for (g->first = g->rounds = g->dropped = 0;; g->rounds++) {
        GW_TRY(choose_prompts(g, err));
        GW_TRY(sample(g, number, err));
        GW_TRY(reward(g, err));
        if (!c->dynamic_sampling || g->rounds == c->max_resample_rounds) return GWEN_OK;
        keep_differing(g);
        if (g->first == g->size.prompts) return GWEN_OK;
        g->dropped += g->size.prompts - g->first;
    }
}

enum gwen_status gw_grpo_make_rollout(struct gw_grpo *g, struct gwen_err *err) {
    const uint64_t number = g->run->state.generation++;
    g->sampled = g->prompt_tokens = 0;
    g->rollout_s = g->reward_s = g->reference_s = 0;
    GW_TRY(sample_groups(g, number, err));
    gw_grpo_weigh_rollout(g, number);
    return score_reference(g, err);
}

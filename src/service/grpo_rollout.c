/* grpo_rollout.c - see grpo_internal.h: prompts, samples, rewards, advantages. */
#include "service/grpo_internal.h"

#include "base/clock.h"
#include "service/sft_data.h"

#include <math.h>
#include <string.h>

/* --- sampling --------------------------------------------------------------------------------- */

/* The next prompts of the epoch's order; what fills no step at its end is left out. */
static enum gwen_status choose_prompts(struct gw_grpo *g, struct gwen_err *err) {
    const struct gw_prompts *p = g->o->prompts;
    const struct gw_train_config *c = g->run->config;
    struct gw_train_state *at = &g->run->state;
    if (at->row + g->n_groups > p->n) {
        at->row = 0;
        at->epoch++;
    }
    if (g->epoch != at->epoch && c->shuffle_dataset)
        gw_data_order(c->seed, at->epoch, g->order, p->n);
    for (size_t i = 0; g->epoch != at->epoch && !c->shuffle_dataset && i < p->n; i++)
        g->order[i] = i;
    g->epoch = at->epoch;
    g->batch.n = g->n_groups;
    g->batch.max_prompt = p->max_prompt;
    g->batch.max_tokens = p->max_tokens;
    g->batch.n_tokens = 0;
    for (size_t i = 0; i < g->n_groups; i++) {
        g->chosen[i] = g->order[at->row++];
        g->batch.rows[i] = p->rows[g->chosen[i]];
        g->batch.n_tokens += g->batch.rows[i].n;
        struct gw_str *text = &g->prompt_texts[i];
        gw_str_clear(text);
        gw_str_puts(text, "");
        if (g->o->tokenizer != NULL)
            GW_TRY(gw_tokenizer_decode(g->o->tokenizer, g->batch.rows[i].ids, g->batch.rows[i].n,
                                       true, text, err));
        if (text->failed) return gw_nomem(err, g->batch.rows[i].n, "a prompt's text");
    }
    return GWEN_OK;
}

static enum gwen_status take_sample(void *ctx, const struct gw_rollout_sample *s,
                                    struct gwen_err *err) {
    struct gw_grpo *g = ctx;
    const size_t i = s->prompt_id * g->group + s->sample_id;
    struct gw_completion *c = &g->completions[i];
    struct gw_rollout_sample named = *s;
    named.prompt_id = g->chosen[s->prompt_id];
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

static enum gwen_status sample(struct gw_grpo *g, struct gwen_err *err) {
    const struct gw_rollout_sink sink = {.ctx = g,
                                         .sample = take_sample,
                                         .progress = g->o->progress,
                                         .progress_user = g->o->progress_user};
    const uint64_t start = gw_now_ns();
    g->sampled = 0;
    gw_rollout_set_step(g->rollout, g->run->state.generation++);
    GW_TRY(gw_rollout_run(g->rollout, &g->batch, &sink, &g->rollout_stats, err));
    g->rollout_s = gw_seconds_since(start);
    return GWEN_OK;
}

/* --- rewards ---------------------------------------------------------------------------------- */

static enum gw_advantage advantage_kind(const struct gw_train_config *c) {
    switch ((enum gw_scale_rewards)c->scale_rewards) {
    case GW_SCALE_GROUP: return GW_ADVANTAGE_GROUP;
    case GW_SCALE_BATCH: return GW_ADVANTAGE_BATCH;
    case GW_SCALE_NONE: break;
    }
    return GW_ADVANTAGE_NONE;
}

/* A completion without a reward gets no advantage, and stands in its group for the mean of the
 * others. */
static void fill_missing(struct gw_grpo *g) {
    for (size_t first = 0; first < g->n; first += g->group) {
        double sum = 0;
        size_t there = 0;
        for (size_t i = first; i < first + g->group; i++) {
            if (isnan(g->rewards[i])) continue;
            sum += (double)g->rewards[i];
            there++;
        }
        const double mean = there > 0 ? sum / (double)there : 0;
        for (size_t i = first; i < first + g->group; i++)
            g->filled[i] = isnan(g->rewards[i]) ? mean : (double)g->rewards[i];
    }
}

static enum gwen_status reward(struct gw_grpo *g, struct gwen_err *err) {
    const uint64_t start = gw_now_ns();
    struct gw_reward_stats stats;
    for (size_t i = 0; i < g->n; i++) {
        const struct gw_prompt *p = &g->batch.rows[i / g->group];
        const struct gw_str *prompt = &g->prompt_texts[i / g->group];
        const struct gw_completion *c = &g->completions[i];
        g->inputs[i] = (struct gw_reward_input){.prompt = prompt->data,
                                                .prompt_len = prompt->len,
                                                .completion = c->text.data,
                                                .completion_len = c->text.len,
                                                .ids = g->ids + i * g->longest,
                                                .n = c->n,
                                                .meta = p->meta,
                                                .meta_len = p->meta_len};
    }
    GW_TRY(gw_rewards_score(g->o->rewards, g->inputs, g->n, g->scores, err));
    gw_rewards_combine(g->o->rewards, g->scores, g->n, g->rewards);
    fill_missing(g);
    gw_grpo_advantages(advantage_kind(g->run->config), g->filled, g->n, g->group, g->advantages,
                       &stats);
    for (size_t i = 0; i < g->n; i++)
        if (isnan(g->rewards[i])) g->advantages[i] = 0;
    g->frac_zero_std = stats.frac_zero_std;
    g->reward_s = gw_seconds_since(start);
    return GWEN_OK;
}

/* --- reference -------------------------------------------------------------------------------- */

static enum gwen_status score_reference(struct gw_grpo *g, struct gwen_err *err) {
    const uint64_t start = gw_now_ns();
    g->reference_s = 0;
    if (g->loss_opts.beta == 0) return GWEN_OK;
    for (size_t i = 0; i < g->n; i++) {
        const struct gw_prompt *p = &g->batch.rows[i / g->group];
        const size_t n = g->completions[i].n;
        int32_t *sequence = g->sequences + i * g->width;
        memcpy(sequence, p->ids, p->n * sizeof *sequence);
        memcpy(sequence + p->n, g->ids + i * g->longest, n * sizeof *sequence);
        g->requests[i] = (struct gw_score_request){
            .ids = sequence, .n = p->n + n, .from = p->n, .logprobs = g->ref + i * g->longest};
    }
    GW_TRY(gw_scorer_run(g->o->reference, g->requests, g->n, false, NULL, NULL, err));
    g->reference_s = gw_seconds_since(start);
    return GWEN_OK;
}

/* --- all of it -------------------------------------------------------------------------------- */

enum gwen_status gw_grpo_make_rollout(struct gw_grpo *g, struct gwen_err *err) {
    const struct gw_train_state before = g->run->state;
    enum gwen_status status = choose_prompts(g, err);
    if (status == GWEN_OK) status = sample(g, err);
    if (status == GWEN_OK) status = reward(g, err);
    if (status == GWEN_OK) status = score_reference(g, err);
    if (status == GWEN_OK) return GWEN_OK;
    g->run->state.generation = before.generation;
    g->run->state.epoch = before.epoch;
    g->run->state.row = before.row;
    return status;
}

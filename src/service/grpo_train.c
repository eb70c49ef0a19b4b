/* grpo_train.c - see grpo_train.h: options, memory, the loop over steps. */
#include "service/grpo_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- options ---------------------------------------------------------------------------------- */

enum gwen_status gw_grpo_check(const struct gw_train_config *c, struct gwen_err *err) {
    const char *what = NULL;
    if (c->num_iterations != 1) what = "num_iterations above 1";
    if (c->steps_per_generation != 0 && c->steps_per_generation != c->gradient_accumulation_steps)
        what = "steps_per_generation other than gradient_accumulation_steps";
    if (c->top_entropy_quantile < 1) what = "top_entropy_quantile below 1";
    if (c->entropy_coef != 0) what = "entropy_coef";
    if (c->log_completions) what = "log_completions";
    if (what != NULL) return gw_fail(err, GWEN_ERR_UNSUPPORTED, "%s is not implemented", what);
    return GWEN_OK;
}

size_t gw_grpo_step_prompts(const struct gw_train_config *c) {
    return gw_train_config_generation_batch(c) / c->num_generations;
}

uint64_t gw_grpo_total_steps(const struct gw_train_config *c, size_t n) {
    return gw_learner_total_steps(c, n, gw_grpo_step_prompts(c), true);
}

static struct gw_grpo_opts loss_options(const struct gw_train_config *c) {
    return (struct gw_grpo_opts){
        .loss = (enum gw_loss_type)c->loss_type,
        .sequence_level = c->importance_sampling_level == GW_IMPORTANCE_SEQUENCE,
        .epsilon = c->epsilon,
        .epsilon_high = isnan(c->epsilon_high) ? c->epsilon : c->epsilon_high,
        .delta = isnan(c->delta) ? (double)INFINITY : c->delta,
        .beta = c->beta,
        .use_bias_correction_kl = c->use_bias_correction_kl,
        .max_completion_length = c->max_completion_length};
}

/* --- memory ----------------------------------------------------------------------------------- */

size_t gw_grpo_bytes(const struct gw_train_config *c, const struct gw_prompts *p) {
    const size_t n = gw_grpo_step_prompts(c) * c->num_generations;
    /* Rows of the log take about 24 bytes for a token. */
    const size_t per_token = 6 * sizeof(float) + 24;
    return n * (p->max_tokens * per_token + (p->max_prompt + p->max_tokens) * sizeof(int32_t) +
                p->max_prompt * 8 + 1024) +
           p->n * sizeof(size_t);
}

static enum gwen_status allocate(struct gw_grpo *g, struct gwen_err *err) {
    const struct gw_train_config *c = g->run->config;
    const struct gw_prompts *p = g->o->prompts;
    const size_t n_rewards = gw_rewards_count(g->o->rewards),
                 micro = c->gradient_accumulation_steps;
    g->group = c->num_generations;
    g->n_groups = gw_grpo_step_prompts(c);
    g->n = g->group * g->n_groups;
    g->longest = p->max_tokens;
    g->width = p->max_prompt + p->max_tokens;
    const size_t floats = g->n * g->longest;
    struct {
        void *at;
        size_t n, bytes;
    } arrays[] = {{&g->order, p->n, sizeof *g->order},
                  {&g->batch.rows, g->n_groups, sizeof *g->batch.rows},
                  {&g->chosen, g->n_groups, sizeof *g->chosen},
                  {&g->prompt_texts, g->n_groups, sizeof *g->prompt_texts},
                  {&g->completions, g->n, sizeof *g->completions},
                  {&g->groups, g->n_groups, sizeof *g->groups},
                  {&g->samples, g->n, sizeof *g->samples},
                  {&g->ids, floats, sizeof *g->ids},
                  {&g->old, floats, sizeof *g->old},
                  {&g->now, floats, sizeof *g->now},
                  {&g->entropy, floats, sizeof *g->entropy},
                  {&g->slope, floats, sizeof *g->slope},
                  {&g->ref, floats, sizeof *g->ref},
                  {&g->sequences, g->n * g->width, sizeof *g->sequences},
                  {&g->requests, g->n, sizeof *g->requests},
                  {&g->inputs, g->n, sizeof *g->inputs},
                  {&g->scores, g->n * n_rewards, sizeof *g->scores},
                  {&g->rewards, g->n, sizeof *g->rewards},
                  {&g->filled, g->n, sizeof *g->filled},
                  {&g->advantages, g->n, sizeof *g->advantages},
                  {&g->batches, micro, sizeof *g->batches},
                  {&g->stats, micro, sizeof *g->stats}};
    for (size_t i = 0; i < GW_ARRAY_LEN(arrays); i++) {
        void *array = calloc(arrays[i].n, arrays[i].bytes);
        if (array == NULL) return gw_nomem(err, arrays[i].n * arrays[i].bytes, "a training step");
        memcpy(arrays[i].at, &array, sizeof array);
    }
    g->epoch = UINT64_MAX; /* no order yet */
    return GWEN_OK;
}

static void release(struct gw_grpo *g) {
    for (size_t i = 0; g->prompt_texts != NULL && i < g->n_groups; i++)
        gw_str_free(&g->prompt_texts[i]);
    for (size_t i = 0; g->completions != NULL && i < g->n; i++) {
        gw_str_free(&g->completions[i].text);
        gw_str_free(&g->completions[i].row);
    }
    void *arrays[] = {g->order,   g->batch.rows, g->chosen,  g->prompt_texts, g->completions,
                      g->groups,  g->samples,    g->ids,     g->old,          g->now,
                      g->entropy, g->slope,      g->ref,     g->sequences,    g->requests,
                      g->inputs,  g->scores,     g->rewards, g->filled,       g->advantages,
                      g->batches, g->stats};
    for (size_t i = 0; i < GW_ARRAY_LEN(arrays); i++) free(arrays[i]);
    gw_rollout_free(g->rollout);
}

/* --- the run ---------------------------------------------------------------------------------- */

static enum gwen_status check_collapse(const struct gw_grpo *g, struct gwen_err *err) {
    if (!g->o->stop_on_collapse || !gw_train_run_collapsed(g->run)) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_NUMERIC,
                   "step %" PRIu64
                   ": the run has collapsed (see the warnings); checkpoints are kept",
                   g->run->state.step);
}

static enum gwen_status train(struct gw_grpo *g, struct gwen_err *err) {
    bool more;
    if (g->o->prompts->n < gw_grpo_step_prompts(g->run->config))
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "a step takes %zu prompts (per_device_train_batch_size times "
                       "gradient_accumulation_steps / num_generations), the data have %zu",
                       gw_grpo_step_prompts(g->run->config), g->o->prompts->n);
    GW_TRY(allocate(g, err));
    g->loss_opts = loss_options(g->run->config);
    GW_TRY(gw_rollout_create(g->learner->model, g->o->pool, g->o->tokenizer, &g->o->rollout,
                             g->o->plan, &g->rollout, err));
    GW_TRY(gw_grpo_cut_rollouts(g, err));
    for (;;) {
        GW_TRY(gw_train_run_more(g->run, g->learner, &more, err));
        if (!more) return gw_train_run_finish(g->run, g->learner, err);
        enum gwen_status status = gw_grpo_step(g, err);
        if (status != GWEN_OK && g->learner->step == g->run->state.step) {
            /* Stopped while sampling, or a reward that failed: nothing is lost but this step. */
            struct gwen_err ignored;
            gw_train_run_save(g->run, g->learner, true, &ignored);
        }
        GW_TRY(status);
        GW_TRY(gw_train_run_save(g->run, g->learner, false, err));
        GW_TRY(check_collapse(g, err));
    }
}

enum gwen_status gw_grpo_run(struct gw_train_run *run, struct gw_learner *learner,
                             const struct gw_grpo_run_opts *opts, struct gwen_err *err) {
    struct gw_grpo g = {.run = run, .learner = learner, .o = opts};
    enum gwen_status status = train(&g, err);
    release(&g);
    return status;
}

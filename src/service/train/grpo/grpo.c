/* grpo.c - see grpo.h: options, memory, the loop over steps. */
#include "service/train/grpo/impl.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- options -------------------------------------------------------------------------------- */

/* What is given and would change nothing. */
static const char *without_effect(const struct gw_train_config *c) {
    struct gw_train_config usual;
    gw_train_config_init(&usual, GW_TRAIN_GRPO);
    if (c->advantage_estimator != GW_ESTIMATOR_GRPO && c->scale_rewards != GW_SCALE_GROUP)
        return "scale_rewards has no effect with this advantage_estimator";
    if (c->loss_type == GW_LOSS_CISPO && !isnan(c->delta)) return "delta has no effect with cispo";
    if (!c->dynamic_sampling && c->max_resample_rounds != usual.max_resample_rounds)
        return "max_resample_rounds has no effect without dynamic_sampling";
    if (!c->log_completions && c->num_completions_to_print != 0)
        return "num_completions_to_print has no effect without log_completions";
    return NULL;
}

enum gwen_status gw_grpo_check(const struct gw_train_config *c, struct gwen_err *err) {
    const char *useless = without_effect(c);
    const size_t accumulation = c->gradient_accumulation_steps;
    const size_t steps = c->steps_per_generation != 0 ? c->steps_per_generation : accumulation;
    if (useless != NULL) return gw_fail(err, GWEN_ERR_ARGUMENT, "%s: leave it out", useless);
    if (steps >= accumulation && steps * c->num_iterations % accumulation == 0) return GWEN_OK;
    if (accumulation % steps == 0 && c->num_iterations == 1) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_UNSUPPORTED,
                   "a rollout of steps_per_generation %zu, used num_iterations %zu times, does not "
                   "come out even with gradient_accumulation_steps %zu: make steps_per_generation "
                   "a multiple of it",
                   steps, c->num_iterations, accumulation);
}

/* Several generations of TRL's that feed one step are made at once, from the same weights. */
struct gw_grpo_sizes gw_grpo_sizes(const struct gw_train_config *c) {
    const size_t accumulation = c->gradient_accumulation_steps;
    const size_t steps = c->steps_per_generation != 0 ? c->steps_per_generation : accumulation;
    struct gw_grpo_sizes s = {.group = c->num_generations, .accumulation = accumulation};
    s.micro_batches = GW_MAX(steps, accumulation);
    s.parts = s.micro_batches / steps;
    s.completions = s.micro_batches * c->per_device_train_batch_size;
    s.prompts = s.completions / s.group;
    s.updates = s.micro_batches * c->num_iterations / accumulation;
    s.step_completions = accumulation * c->per_device_train_batch_size;
    return s;
}

uint64_t gw_grpo_total_steps(const struct gw_train_config *c, size_t n) {
    const struct gw_grpo_sizes s = gw_grpo_sizes(c);
    return gw_learner_total_steps(c, n / s.prompts * s.updates, 1, true);
}

static struct gw_loss_opts loss_options(const struct gw_train_config *c) {
    return (struct gw_loss_opts){
        .loss = (enum gw_loss_type)c->loss_type,
        .sequence_level = c->importance_sampling_level == GW_IMPORTANCE_SEQUENCE,
        .epsilon = c->epsilon,
        .epsilon_high = isnan(c->epsilon_high) ? c->epsilon : c->epsilon_high,
        .delta = isnan(c->delta) ? (double)INFINITY : c->delta,
        .beta = c->beta,
        .use_bias_correction_kl = c->use_bias_correction_kl,
        .max_completion_length = c->max_completion_length};
}

/* --- memory --------------------------------------------------------------------------------- */

size_t gw_grpo_saved_bytes(const struct gw_train_config *c, const struct gw_prompts *p) {
    const struct gw_grpo_sizes s = gw_grpo_sizes(c);
    return s.updates > 1 ? s.completions * (p->max_tokens * 3 * sizeof(float) + 64) : 0;
}

static void set_sizes(struct gw_grpo *g, const struct gw_train_config *c,
                      const struct gw_prompts *p, size_t n_rewards) {
    g->size = gw_grpo_sizes(c);
    g->longest = p->max_tokens;
    g->order.n = p->n;
    g->asked.width = p->max_prompt + p->max_tokens;
    g->drawn.kept = (struct gw_kept){.prompts = g->size.prompts,
                                     .group = g->size.group,
                                     .longest = g->longest,
                                     .n_rewards = n_rewards};
}

static void lay_out_drawn(struct gw_grpo_drawn *drawn, const struct gw_grpo_sizes *size,
                          size_t tokens, struct gw_layout *layout) {
    const size_t n = size->completions;
    drawn->prompts = gw_layout_take(layout, size->prompts, sizeof *drawn->prompts);
    drawn->chosen = gw_layout_take(layout, size->prompts, sizeof *drawn->chosen);
    gw_kept_lay_out(&drawn->kept, layout);
    drawn->rewards = gw_layout_take(layout, n, sizeof *drawn->rewards);
    drawn->old = gw_layout_take(layout, tokens, sizeof *drawn->old);
    drawn->ref = gw_layout_take(layout, tokens, sizeof *drawn->ref);
}

static void lay_out_weighed(struct gw_grpo_weighed *weighed, const struct gw_grpo_sizes *size,
                            struct gw_layout *layout) {
    const size_t n = size->completions;
    weighed->values = gw_layout_take(layout, n, sizeof *weighed->values);
    weighed->advantages = gw_layout_take(layout, n, sizeof *weighed->advantages);
    weighed->left_out = gw_layout_take(layout, n, sizeof *weighed->left_out);
    weighed->shuffled = gw_layout_take(layout, n, sizeof *weighed->shuffled);
    weighed->micro_of = gw_layout_take(layout, n, sizeof *weighed->micro_of);
    weighed->part_tokens = gw_layout_take(layout, size->parts, sizeof *weighed->part_tokens);
}

static void lay_out_pass(struct gw_grpo_pass *pass, const struct gw_grpo_sizes *size, size_t tokens,
                         struct gw_layout *layout) {
    const size_t n = size->completions;
    pass->groups = gw_layout_take(layout, size->prompts, sizeof *pass->groups);
    pass->samples = gw_layout_take(layout, n, sizeof *pass->samples);
    pass->which = gw_layout_take(layout, n, sizeof *pass->which);
    pass->logprobs = gw_layout_take(layout, tokens, sizeof *pass->logprobs);
    pass->entropy = gw_layout_take(layout, tokens, sizeof *pass->entropy);
    pass->slope = gw_layout_take(layout, tokens, sizeof *pass->slope);
    pass->batches = gw_layout_take(layout, size->accumulation, sizeof *pass->batches);
    pass->stats = gw_layout_take(layout, size->accumulation, sizeof *pass->stats);
}

/* All arrays of the state, for the sizes that are set. */
static void lay_out(struct gw_grpo *g, struct gw_layout *layout) {
    const size_t n = g->size.completions, tokens = n * g->longest;
    g->order.rows = gw_layout_take(layout, g->order.n, sizeof *g->order.rows);
    lay_out_drawn(&g->drawn, &g->size, tokens, layout);
    lay_out_weighed(&g->weighed, &g->size, layout);
    g->asked.sequences = gw_layout_take(layout, n * g->asked.width, sizeof *g->asked.sequences);
    g->asked.requests = gw_layout_take(layout, n, sizeof *g->asked.requests);
    lay_out_pass(&g->pass, &g->size, tokens, layout);
}

size_t gw_grpo_bytes(const struct gw_train_config *c, const struct gw_prompts *prompts,
                     size_t n_rewards) {
    struct gw_grpo g = {0};
    struct gw_layout plan = {0};
    set_sizes(&g, c, prompts, n_rewards);
    lay_out(&g, &plan);
    return plan.used + gw_kept_text_bytes(&g.drawn.kept, prompts->max_prompt);
}

static enum gwen_status allocate(struct gw_grpo *g, struct gwen_err *err) {
    set_sizes(g, g->run->config, g->opts->prompts, gw_rewards_count(g->opts->rewards));
    g->drawn.kept.tokenizer = g->opts->tokenizer;
    g->drawn.kept.numeric_class = g->opts->numeric_class;
    g->order.epoch = UINT64_MAX; /* no order yet */
    struct gw_layout plan = {0}, layout;
    lay_out(g, &plan);
    GW_TRY(gw_layout_map(&layout, plan.used, &g->memory, err));
    lay_out(g, &layout);
    return gw_layout_end(&layout, "a run", err);
}

static void release(struct gw_grpo *g) {
    gw_kept_free_texts(&g->drawn.kept);
    gw_mem_unmap(&g->memory);
    gw_rollout_free(g->sampler);
    gw_metrics_free(&g->eval);
}

/* --- the run -------------------------------------------------------------------------------- */

static enum gwen_status check_collapse(const struct gw_grpo *g, struct gwen_err *err) {
    if (!g->opts->stop_on_collapse || !gw_train_run_collapsed(g->run)) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_NUMERIC,
                   "step %" PRIu64
                   ": the run has collapsed (see the warnings); checkpoints are kept",
                   g->run->state.step);
}

static enum gwen_status open(struct gw_grpo *g, struct gwen_err *err) {
    GW_TRY(allocate(g, err));
    g->loss = loss_options(g->run->config);
    struct gw_rollout_opts most = g->opts->rollout;
    if (g->opts->eval_prompts != NULL)
        most.groups = gw_grpo_eval_groups(g->run->config, g->opts->eval_full_sweep);
    GW_TRY(gw_rollout_create(g->learner->model, g->opts->pool, g->opts->tokenizer, &most,
                             g->opts->plan, &g->sampler, err));
    GW_TRY(gw_rollout_redraw(g->sampler, &g->opts->rollout, err));
    g->run->more = (struct gw_checkpoint_part){gw_grpo_save_rollout, g};
    if (g->run->state.used > 0) GW_TRY(gw_grpo_load_rollout(g, g->run->checkpoint.data, err));
    return gw_grpo_cut_rollouts(g, err);
}

/* What follows a step, or half of one that was held. */
static enum gwen_status after_step(struct gw_grpo *g, enum gwen_status status,
                                   struct gwen_err *err) {
    /* Stopped, or a reward that failed: nothing is lost but this step. */
    if (status != GWEN_OK && g->step_saves) gw_train_run_rescue(g->run, g->learner);
    GW_TRY(status);
    GW_TRY(gw_learner_check_bad(g->learner, err));
    GW_TRY(gw_train_run_save(g->run, g->learner, false, err));
    return check_collapse(g, err);
}

static enum gwen_status train(struct gw_grpo *g, struct gwen_err *err) {
    bool more;
    GW_TRY(open(g, err));
    if (g->run->state.held.len > 0) GW_TRY(after_step(g, gw_grpo_end_held_step(g, err), err));
    for (;;) {
        GW_TRY(gw_train_run_more(g->run, g->learner, &more, err));
        if (!more) break;
        GW_TRY(after_step(g, gw_grpo_step(g, err), err));
    }
    GW_TRY(gw_train_run_finish(g->run, g->learner, err));
    return gw_grpo_sweep(g, err);
}

enum gwen_status gw_grpo_run(struct gw_train_run *run, struct gw_learner *learner,
                             const struct gw_grpo_run_opts *opts, struct gwen_err *err) {
    struct gw_grpo g = {.run = run, .learner = learner, .opts = opts};
    enum gwen_status status = train(&g, err);
    release(&g);
    return status;
}

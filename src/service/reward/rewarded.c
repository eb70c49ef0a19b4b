/* rewarded.c - see rewarded.h. */
#include "service/reward/rewarded.h"

#include "base/clock.h"
#include "service/reward/kept.h"

/* Many enough to hide the end of a window, where few samples are left to run; and what a sweep that
 * is killed does again at most. */
enum { WINDOW_SAMPLES = 1024 };

struct rewarding {
    const struct gw_rewarded_opts *opts;
    const struct gw_prompts *prompts;
    bool at_once;         /* each sample is rewarded as it comes: one is kept */
    size_t first, window; /* prompts */
    struct gw_mem memory; /* of what kept has */
    struct gw_kept kept;
    uint64_t score_ns;
};

static size_t window_of(const struct gw_prompts *prompts, size_t groups) {
    return GW_MIN(GW_MAX(WINDOW_SAMPLES / groups, (size_t)1), prompts->n);
}

static struct gw_kept sizes_of(const struct gw_prompts *prompts, size_t n_prompts, size_t group,
                               size_t n_rewards) {
    return (struct gw_kept){.prompts = n_prompts,
                            .group = group,
                            .longest = prompts->max_tokens,
                            .n_rewards = n_rewards};
}

size_t gw_rewarded_bytes(const struct gw_prompts *prompts, size_t groups, size_t n_rewards) {
    struct gw_kept kept = sizes_of(prompts, window_of(prompts, groups), groups, n_rewards);
    struct gw_layout plan = {0};
    gw_kept_lay_out(&kept, &plan);
    return plan.used + gw_kept_text_bytes(&kept, prompts->max_prompt);
}

/* --- rewarding ------------------------------------------------------------------------------ */

/* Of the first n samples' places; rows are their prompts. */
static enum gwen_status score(struct rewarding *r, const struct gw_prompt *rows, size_t n,
                              struct gwen_err *err) {
    const uint64_t start = gw_now_ns();
    GW_TRY(gw_kept_reward(&r->kept, rows, 0, n, r->opts->rewards, r->opts->first_only, err));
    r->score_ns += gw_now_ns() - start;
    return GWEN_OK;
}

/* Sample `sample` of the window's prompt `prompt`, which is kept in place i and has the scores
 * `number`. */
static enum gwen_status hand_over(struct rewarding *r, size_t i, size_t prompt, size_t sample,
                                  size_t number, struct gwen_err *err) {
    struct gw_kept_sample *kept = &r->kept.samples[i];
    const struct gw_rewarded s = {.prompt = &r->prompts->rows[r->first + prompt],
                                  .prompt_id = r->first + prompt,
                                  .sample_id = sample,
                                  .n = kept->n,
                                  .finish = kept->finish,
                                  .row = &kept->row,
                                  .scores = r->kept.scores + number * r->kept.n_rewards};
    kept->there = false;
    return r->opts->take(r->opts->ctx, &s, err);
}

/* Built-in rewards do not look at the prompt's text: at once it stays empty. */
static enum gwen_status take_sample(void *ctx, const struct gw_rollout_sample *s,
                                    struct gwen_err *err) {
    struct rewarding *r = ctx;
    const size_t i = r->at_once ? 0 : s->prompt_id * r->opts->groups + s->sample_id;
    GW_TRY(gw_kept_put(&r->kept, i, s, r->first + s->prompt_id, err));
    if (!r->at_once) return GWEN_OK;
    GW_TRY(score(r, s->prompt, 1, err));
    return hand_over(r, 0, s->prompt_id, s->sample_id, 0, err);
}

static enum gwen_status reward_window(struct rewarding *r, size_t n_prompts, struct gwen_err *err) {
    const struct gw_prompt *rows = r->prompts->rows + r->first;
    const size_t groups = r->opts->groups, n = n_prompts * groups;
    size_t number = 0;
    for (size_t p = 0; p < n_prompts; p++) GW_TRY(gw_kept_prompt(&r->kept, p, &rows[p], err));
    GW_TRY(score(r, rows, n, err));
    for (size_t i = 0; i < n; i++)
        if (r->kept.samples[i].there)
            GW_TRY(hand_over(r, i, i / groups, i % groups, number++, err));
    return GWEN_OK;
}

/* --- the run -------------------------------------------------------------------------------- */

static bool is_skipped(void *ctx, size_t prompt, size_t sample) {
    const struct rewarding *r = ctx;
    return r->opts->skip != NULL && r->opts->skip(r->opts->ctx, r->first + prompt, sample);
}

static enum gwen_status run(struct rewarding *r, struct gw_rollout *rollout,
                            struct gw_rollout_stats *stats, struct gwen_err *err) {
    const struct gw_rollout_sink sink = {.ctx = r,
                                         .skip = is_skipped,
                                         .sample = take_sample,
                                         .progress = r->opts->progress,
                                         .progress_user = r->opts->progress_user};
    for (; r->first < r->prompts->n; r->first += r->window) {
        struct gw_prompts part = *r->prompts;
        part.rows += r->first;
        part.n = GW_MIN(r->window, part.n - r->first);
        part.n_tokens = 0;
        for (size_t i = 0; i < part.n; i++) part.n_tokens += part.rows[i].n;
        GW_TRY(gw_rollout_run(rollout, &part, &sink, stats, err));
        if (!r->at_once) GW_TRY(reward_window(r, part.n, err));
    }
    return GWEN_OK;
}

static enum gwen_status allocate(struct rewarding *r, struct gwen_err *err) {
    struct gw_layout plan = {0}, layout;
    gw_kept_lay_out(&r->kept, &plan);
    GW_TRY(gw_layout_map(&layout, plan.used, &r->memory, err));
    gw_kept_lay_out(&r->kept, &layout);
    return gw_layout_end(&layout, "samples", err);
}

enum gwen_status gw_rewarded_run(struct gw_rollout *rollout, const struct gw_prompts *prompts,
                                 const struct gw_rewarded_opts *opts, double *score_s,
                                 struct gw_rollout_stats *stats, struct gwen_err *err) {
    struct rewarding r = {.opts = opts,
                          .prompts = prompts,
                          .at_once = gw_rewards_built_in(opts->rewards, opts->first_only)};
    r.window = r.at_once ? prompts->n : window_of(prompts, opts->groups);
    r.kept = sizes_of(prompts, r.at_once ? 1 : r.window, r.at_once ? 1 : opts->groups,
                      gw_rewards_count(opts->rewards));
    r.kept.tokenizer = opts->tokenizer;
    r.kept.numeric_class = opts->numeric_class;
    enum gwen_status status = allocate(&r, err);
    if (status == GWEN_OK) status = run(&r, rollout, stats, err);
    *score_s = (double)r.score_ns * 1e-9;
    gw_kept_free_texts(&r.kept);
    gw_mem_unmap(&r.memory);
    return status;
}

/* rewarded.c - see rewarded.h. */
#include "service/reward/rewarded.h"

#include "base/clock.h"

#include <stdlib.h>

/* Many enough to hide the end of a window, where few samples are left to run; and what a sweep that
 * is killed does again at most. */
enum { WINDOW_SAMPLES = 1024 };

struct kept {
    bool there;
    struct gw_ids ids;
    struct gw_str text, row;
    enum gw_finish finish;
};

struct rewarding {
    const struct gw_rewarded_opts *o;
    const struct gw_prompts *prompts;
    size_t n_rewards;
    bool at_once;
    size_t first, window; /* prompts */
    struct kept *kept;    /* [n_kept]: [window][groups], at_once [1] */
    size_t n_kept;
    struct gw_str *texts;           /* [window] of prompts */
    struct gw_reward_input *inputs; /* [n_kept] */
    float *scores;                  /* [n_kept][n_rewards] */
    uint64_t score_ns;
};

static size_t window_of(const struct gw_prompts *prompts, size_t groups) {
    return GW_MIN(GW_MAX(WINDOW_SAMPLES / groups, (size_t)1), prompts->n);
}

size_t gw_rewarded_bytes(const struct gw_prompts *prompts, size_t groups, size_t n_rewards) {
    const size_t window = window_of(prompts, groups);
    /* A token takes 4 bytes as an id, about 8 as text and 24 in a row. */
    return window * groups *
               (sizeof(struct kept) + sizeof(struct gw_reward_input) + n_rewards * sizeof(float) +
                prompts->max_tokens * (4 + 8 + 24) + 1024) +
           window * prompts->max_prompt * 8;
}

/* --- keeping -------------------------------------------------------------------------------- */

static enum gwen_status keep(struct rewarding *r, struct kept *k, const struct gw_rollout_sample *s,
                             struct gwen_err *err) {
    struct gw_rollout_sample named = *s;
    named.prompt_id += r->first;
    k->there = true;
    k->finish = s->finish;
    k->ids.len = 0;
    const bool has_ids = gw_ids_put(&k->ids, s->ids, s->n);
    gw_str_clear(&k->text);
    gw_str_put(&k->text, s->text != NULL ? s->text : "", s->text_len);
    gw_str_clear(&k->row);
    gw_rollout_put_row(&k->row, &named, r->o->numeric_class);
    return k->text.failed || k->row.failed || !has_ids ? gw_nomem(err, s->n, "a sample") : GWEN_OK;
}

static struct gw_reward_input input_of(const struct kept *k, const struct gw_prompt *p,
                                       const struct gw_str *prompt) {
    return (struct gw_reward_input){.prompt = prompt->data,
                                    .prompt_len = prompt->len,
                                    .asked = p->text,
                                    .asked_len = p->text_len,
                                    .completion = k->text.data,
                                    .completion_len = k->text.len,
                                    .ids = k->ids.data,
                                    .n = k->ids.len,
                                    .meta = p->meta,
                                    .meta_len = p->meta_len};
}

/* --- rewarding ------------------------------------------------------------------------------ */

/* Of inputs[n]. */
static enum gwen_status score(struct rewarding *r, size_t n, struct gwen_err *err) {
    const uint64_t start = gw_now_ns();
    GW_TRY(r->o->first_only ? gw_rewards_score_first(r->o->rewards, r->inputs, n, r->scores, err)
                            : gw_rewards_score(r->o->rewards, r->inputs, n, r->scores, err));
    r->score_ns += gw_now_ns() - start;
    return GWEN_OK;
}

static enum gwen_status hand_over(struct rewarding *r, struct kept *k, size_t prompt, size_t sample,
                                  size_t number, struct gwen_err *err) {
    const struct gw_rewarded s = {.prompt = &r->prompts->rows[r->first + prompt],
                                  .prompt_id = r->first + prompt,
                                  .sample_id = sample,
                                  .n = k->ids.len,
                                  .finish = k->finish,
                                  .row = &k->row,
                                  .scores = r->scores + number * r->n_rewards};
    k->there = false;
    return r->o->take(r->o->ctx, &s, err);
}

static enum gwen_status take_sample(void *ctx, const struct gw_rollout_sample *s,
                                    struct gwen_err *err) {
    const struct gw_str no_prompt = {.data = (char[]){""}}; /* no built-in one looks at it */
    struct rewarding *r = ctx;
    struct kept *k = &r->kept[r->at_once ? 0 : s->prompt_id * r->o->groups + s->sample_id];
    GW_TRY(keep(r, k, s, err));
    if (!r->at_once) return GWEN_OK;
    r->inputs[0] = input_of(k, s->prompt, &no_prompt);
    GW_TRY(score(r, 1, err));
    return hand_over(r, k, s->prompt_id, s->sample_id, 0, err);
}

static enum gwen_status decode_prompt(struct rewarding *r, size_t i, struct gwen_err *err) {
    const struct gw_prompt *p = &r->prompts->rows[r->first + i];
    struct gw_str *text = &r->texts[i];
    gw_str_clear(text);
    gw_str_puts(text, "");
    if (r->o->tokenizer != NULL)
        GW_TRY(gw_tokenizer_decode(r->o->tokenizer, p->ids, p->n, true, text, err));
    return text->failed ? gw_nomem(err, p->n, "a prompt's text") : GWEN_OK;
}

static enum gwen_status reward_window(struct rewarding *r, size_t n_prompts, struct gwen_err *err) {
    const size_t groups = r->o->groups, n = n_prompts * groups;
    size_t count = 0, number = 0;
    for (size_t p = 0; p < n_prompts; p++) GW_TRY(decode_prompt(r, p, err));
    for (size_t i = 0; i < n; i++)
        if (r->kept[i].there)
            r->inputs[count++] = input_of(&r->kept[i], &r->prompts->rows[r->first + i / groups],
                                          &r->texts[i / groups]);
    if (count > 0) GW_TRY(score(r, count, err));
    for (size_t i = 0; i < n; i++)
        if (r->kept[i].there)
            GW_TRY(hand_over(r, &r->kept[i], i / groups, i % groups, number++, err));
    return GWEN_OK;
}

/* --- the run -------------------------------------------------------------------------------- */

static bool is_skipped(void *ctx, size_t prompt, size_t sample) {
    const struct rewarding *r = ctx;
    return r->o->skip != NULL && r->o->skip(r->o->ctx, r->first + prompt, sample);
}

static enum gwen_status run(struct rewarding *r, struct gw_rollout *rollout,
                            struct gw_rollout_stats *stats, struct gwen_err *err) {
    const struct gw_rollout_sink sink = {.ctx = r,
                                         .skip = is_skipped,
                                         .sample = take_sample,
                                         .progress = r->o->progress,
                                         .progress_user = r->o->progress_user};
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
    r->n_kept = r->at_once ? 1 : r->window * r->o->groups;
    r->kept = calloc(r->n_kept, sizeof *r->kept);
    r->inputs = calloc(r->n_kept, sizeof *r->inputs);
    r->scores = calloc(r->n_kept * r->n_rewards, sizeof *r->scores);
    if (!r->at_once) r->texts = calloc(r->window, sizeof *r->texts);
    if (r->kept == NULL || r->inputs == NULL || r->scores == NULL ||
        (!r->at_once && r->texts == NULL))
        return gw_nomem(err, r->n_kept * sizeof *r->kept, "samples");
    return GWEN_OK;
}

static void release(struct rewarding *r) {
    for (size_t i = 0; r->kept != NULL && i < r->n_kept; i++) {
        gw_ids_free(&r->kept[i].ids);
        gw_str_free(&r->kept[i].text);
        gw_str_free(&r->kept[i].row);
    }
    for (size_t i = 0; r->texts != NULL && i < r->window; i++) gw_str_free(&r->texts[i]);
    free(r->kept);
    free(r->inputs);
    free(r->scores);
    free(r->texts);
}

enum gwen_status gw_rewarded_run(struct gw_rollout *rollout, const struct gw_prompts *prompts,
                                 const struct gw_rewarded_opts *opts, double *score_s,
                                 struct gw_rollout_stats *stats, struct gwen_err *err) {
    struct rewarding r = {.o = opts,
                          .prompts = prompts,
                          .n_rewards = gw_rewards_count(opts->rewards),
                          .at_once = gw_rewards_built_in(opts->rewards, opts->first_only)};
    r.window = r.at_once ? prompts->n : window_of(prompts, opts->groups);
    enum gwen_status status = allocate(&r, err);
    if (status == GWEN_OK) status = run(&r, rollout, stats, err);
    *score_s = (double)r.score_ns * 1e-9;
    release(&r);
    return status;
}

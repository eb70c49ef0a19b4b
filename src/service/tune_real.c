/* tune_real.c - a queue run through the engine, to see whether what was worked out is so. */
#include "service/tune.h"

#include "base/clock.h"
#include "base/rng.h"

#include <stdlib.h>

struct real {
    const struct gw_queue *queue;
    struct gw_queue_opts o;
    int32_t *ids;          /* [n_prompts][prompt_tokens] */
    struct gw_want *wants; /* [n_prompts][groups] */
    size_t next, *prompts; /* 0, 1, ...: what jobs point to */
    bool (*go_on)(void *ctx);
    void *ctx;
    uint64_t start;
    double limit;
    bool late;
};

static enum gwen_status next(void *ctx, struct gw_job *job, bool *more, struct gwen_err *err) {
    struct real *r = ctx;
    (void)err;
    *more = r->next < r->o.n_prompts;
    if (!*more) return GWEN_OK;
    const size_t p = gw_queue_at(r->queue, r->next++);
    *job = (struct gw_job){.prompt = r->ids + p * r->o.prompt_tokens,
                           .n_prompt = r->o.prompt_tokens,
                           .wants = r->wants + p * r->o.groups,
                           .n_wants = r->o.groups,
                           .key = {.seed = r->o.seed, .prompt_key = p},
                           .sampling = GW_SAMPLING_INIT,
                           .user = &r->prompts[p]};
    return GWEN_OK;
}

static bool token(void *ctx, const struct gw_sample *s) {
    const struct real *r = ctx;
    const size_t *prompt = s->job->user;
    return s->n >= gw_queue_length(r->queue, *prompt, s->want);
}

static enum gwen_status done(void *ctx, const struct gw_sample *s, struct gwen_err *err) {
    (void)ctx, (void)s, (void)err;
    return GWEN_OK;
}

static bool go_on(void *ctx) {
    struct real *r = ctx;
    r->late = r->limit > 0 && gw_seconds_since(r->start) > r->limit;
    return !r->late && r->go_on(r->ctx);
}

static enum gwen_status make_work(struct real *r, size_t vocab, size_t max_new,
                                  struct gwen_err *err) {
    const struct gw_queue_opts *o = &r->o;
    const size_t n = o->n_prompts * o->groups;
    r->ids = calloc(o->n_prompts * o->prompt_tokens, sizeof *r->ids);
    r->wants = calloc(n, sizeof *r->wants);
    r->prompts = calloc(o->n_prompts, sizeof *r->prompts);
    if (r->ids == NULL || r->wants == NULL || r->prompts == NULL)
        return gw_nomem(err, n * sizeof *r->wants, "a queue");
    for (size_t i = 0; i < o->n_prompts * o->prompt_tokens; i++) {
        const struct gw_rng_key key = {.seed = o->seed, .stream = GW_STREAM_DATA, .position = i};
        r->ids[i] = (int32_t)(gw_rng_uniform(&key) * (double)vocab);
    }
    for (size_t i = 0; i < n; i++) {
        const size_t length = gw_queue_length(r->queue, i / o->groups, i % o->groups);
        r->wants[i] = (struct gw_want){i % o->groups, o->lengths_known ? length : max_new};
    }
    for (size_t i = 0; i < o->n_prompts; i++) r->prompts[i] = i;
    return GWEN_OK;
}

static enum gwen_status run(struct real *r, struct gw_engine *engine, struct gw_tune_real *result,
                            struct gwen_err *err) {
    const struct gw_engine_client client = {
        .ctx = r, .next = next, .token = token, .done = done, .progress = go_on};
    r->start = gw_now_ns();
    const enum gwen_status status = gw_engine_run(engine, &client, &result->stats, err);
    const double seconds = gw_seconds_since(r->start);
    if (status == GWEN_ERR_CANCELLED && r->late) return GWEN_OK;
    if (status == GWEN_OK && seconds > 0)
        result->tok_s = (double)result->stats.new_tokens / seconds;
    return status;
}

enum gwen_status gw_tune_real(const struct gw_model *model, struct gw_pool *pool,
                              const struct gw_queue *queue, const struct gw_rollout_plan *plan,
                              double limit, bool (*progress)(void *ctx), void *ctx,
                              struct gw_tune_real *result, struct gwen_err *err) {
    const struct gw_engine_opts *e = &plan->options.engine;
    struct real r = {
        .queue = queue, .o = *gw_queue_opts(queue), .go_on = progress, .ctx = ctx, .limit = limit};
    struct gw_engine *engine = NULL;
    *result = (struct gw_tune_real){0};
    enum gwen_status status = make_work(&r, model->cfg.vocab_size, e->max_new, err);
    if (status == GWEN_OK) status = gw_engine_create(model, pool, e, &engine, err);
    if (status == GWEN_OK) status = run(&r, engine, result, err);
    gw_engine_free(engine);
    free(r.ids);
    free(r.wants);
    free(r.prompts);
    return status;
}

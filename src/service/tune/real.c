/* real.c - a queue run through the engine, to see whether what was worked out is so. */
#include "service/tune/tune.h"

#include "base/clock.h"
#include "base/rng.h"

#include <stdlib.h>

struct real {
    const struct gw_queue *queue;
    struct gw_queue_opts o;
    size_t vocab, next;
    int32_t **ids;         /* [n_prompts], each of [prompt_tokens] while its job is in flight */
    struct gw_want *wants; /* [n_prompts][groups] */
    bool (*go_on)(void *ctx);
    void *ctx;
    uint64_t start;
    double limit;
    bool late;
};

/* A queue can be far larger than the memory that was planned: only prompts in flight are held. */
static enum gwen_status draw_prompt(struct real *r, size_t p, struct gwen_err *err) {
    const size_t n = r->o.prompt_tokens;
    if ((r->ids[p] = calloc(n, sizeof **r->ids)) == NULL)
        return gw_nomem(err, n * sizeof **r->ids, "a prompt");
    for (size_t i = 0; i < n; i++) {
        const struct gw_rng_key key = {
            .seed = r->o.seed, .stream = GW_STREAM_DATA, .position = p * n + i};
        r->ids[p][i] = (int32_t)(gw_rng_uniform(&key) * (double)r->vocab);
    }
    return GWEN_OK;
}

static enum gwen_status next(void *ctx, struct gw_job *job, bool *more, struct gwen_err *err) {
    struct real *r = ctx;
    *more = r->next < r->o.n_prompts;
    if (!*more) return GWEN_OK;
    const size_t p = gw_queue_at(r->queue, r->next++);
    GW_TRY(draw_prompt(r, p, err));
    *job = (struct gw_job){.prompt = r->ids[p],
                           .n_prompt = r->o.prompt_tokens,
                           .wants = r->wants + p * r->o.groups,
                           .n_wants = r->o.groups,
                           .key = {.seed = r->o.seed, .prompt_key = p},
                           .sampling = GW_SAMPLING_INIT,
                           .user = &r->ids[p]};
    return GWEN_OK;
}

static bool token(void *ctx, const struct gw_sample *s) {
    const struct real *r = ctx;
    int32_t **ids = s->job->user;
    return s->n >= gw_queue_length(r->queue, (size_t)(ids - r->ids), s->want);
}

static enum gwen_status done(void *ctx, const struct gw_sample *s, struct gwen_err *err) {
    (void)ctx, (void)s, (void)err;
    return GWEN_OK;
}

static void job_done(void *ctx, const struct gw_job *job) {
    int32_t **ids = job->user;
    (void)ctx;
    free(*ids);
    *ids = NULL;
}

static bool go_on(void *ctx) {
    struct real *r = ctx;
    r->late = r->limit > 0 && gw_seconds_since(r->start) > r->limit;
    return !r->late && r->go_on(r->ctx);
}

static enum gwen_status make_work(struct real *r, size_t max_new, struct gwen_err *err) {
    const struct gw_queue_opts *o = &r->o;
    const size_t n = o->n_prompts * o->groups;
    r->ids = calloc(o->n_prompts, sizeof *r->ids);
    r->wants = calloc(n, sizeof *r->wants);
    if (r->ids == NULL || r->wants == NULL) return gw_nomem(err, n * sizeof *r->wants, "a queue");
    for (size_t i = 0; i < n; i++) {
        const size_t length = gw_queue_length(r->queue, i / o->groups, i % o->groups);
        r->wants[i] = (struct gw_want){i % o->groups, o->lengths_known ? length : max_new};
    }
    return GWEN_OK;
}

static void free_work(struct real *r) {
    for (size_t i = 0; r->ids != NULL && i < r->o.n_prompts; i++) free(r->ids[i]);
    free(r->ids);
    free(r->wants);
}

static enum gwen_status run(struct real *r, struct gw_engine *engine, struct gw_tune_real *result,
                            struct gwen_err *err) {
    const struct gw_engine_client client = {.ctx = r,
                                            .next = next,
                                            .token = token,
                                            .done = done,
                                            .job_done = job_done,
                                            .progress = go_on};
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
    struct real r = {.queue = queue,
                     .o = *gw_queue_opts(queue),
                     .vocab = model->cfg.vocab_size,
                     .go_on = progress,
                     .ctx = ctx,
                     .limit = limit};
    struct gw_engine *engine = NULL;
    *result = (struct gw_tune_real){0};
    enum gwen_status status = make_work(&r, e->max_new, err);
    if (status == GWEN_OK) status = gw_engine_create(model, pool, e, &engine, err);
    if (status == GWEN_OK) status = run(&r, engine, result, err);
    gw_engine_free(engine);
    free_work(&r);
    return status;
}

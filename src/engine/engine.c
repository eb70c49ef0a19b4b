/* engine.c - the decode engine's memory and its parallel region; see engine.h. */
#include "engine/impl.h"

#include "base/knob.h"
#include "base/layout.h"

#include <stdlib.h>
#include <string.h>

size_t gw_engine_min_blocks(size_t max_prompt, size_t max_new) {
    return gw_policy_min_blocks(max_prompt, max_new);
}

size_t gw_engine_good_blocks(size_t slots, size_t group, size_t max_prompt, size_t max_new) {
    /* Groups running at once: those that fill the slots, the oldest one's stragglers, and half
     * as many being prefilled. */
    size_t running = (slots + group - 1) / group + 1, ahead = (slots / 2 + group - 1) / group + 1;
    /* A sample's own blocks begin with the prompt's partial one: at worst one token short. */
    size_t own = gw_kv_blocks_for(GW_MIN(max_prompt, (size_t)GW_KV_BLOCK - 1) + max_new);
    return (running + ahead) * gw_kv_blocks_for(max_prompt) + slots * own +
           gw_engine_min_blocks(max_prompt, max_new);
}

size_t gw_engine_max_jobs(size_t slots) { return gw_policy_max_jobs(slots); }

struct gw_policy_sizes gw_engine_policy_sizes(const struct gw_engine_opts *o) {
    return (struct gw_policy_sizes){.slots = o->slots,
                                    .prefill_rows = o->prefill_rows,
                                    .max_finishing = GW_ENGINE_MAX_FINISHING,
                                    .n_blocks = o->n_blocks,
                                    .max_prompt = o->max_prompt,
                                    .max_new = o->max_new};
}

static size_t max_out(const struct gw_engine_opts *o) { return o->slots + GW_ENGINE_MAX_FINISHING; }
static size_t seq_blocks(const struct gw_engine_opts *o) {
    return gw_kv_blocks_for(o->max_prompt + o->max_new);
}

/* What jobs[] and slots[] point at (NULL: there are none yet, only the bytes count), the draws and
 * the sampler's scratch. */
static void lay_out(struct gw_layout *l, const struct gw_engine_opts *o, size_t vocab,
                    int n_threads, struct gw_engine *e) {
    const size_t group = o->max_group, seen = gw_seen_words(vocab);
    struct gw_engine_job no_job;
    struct gw_policy_job no_counts;
    struct gw_slot no_slot;
    for (size_t i = 0; i < gw_engine_max_jobs(o->slots); i++) {
        struct gw_engine_job *j = e->jobs != NULL ? &e->jobs[i] : &no_job;
        struct gw_policy_job *counts = e->jobs != NULL ? &e->policy.jobs[i] : &no_counts;
        j->seq.blocks = gw_layout_take(l, seq_blocks(o), sizeof *j->seq.blocks);
        j->first_ids = gw_layout_take(l, group, sizeof *j->first_ids);
        j->first_logprobs = gw_layout_take(l, group, sizeof *j->first_logprobs);
        counts->waiting = gw_layout_take(l, group, sizeof *counts->waiting);
        j->emitted = gw_layout_take(l, group, sizeof *j->emitted);
        j->seen = gw_layout_take(l, seen, sizeof *j->seen);
    }
    for (size_t i = 0; i < o->slots; i++) {
        struct gw_slot *s = e->slots != NULL ? &e->slots[i] : &no_slot;
        s->seq.blocks = gw_layout_take(l, seq_blocks(o), sizeof *s->seq.blocks);
        s->ids = gw_layout_take(l, o->max_new, sizeof *s->ids);
        s->logprobs = gw_layout_take(l, o->max_new, sizeof *s->logprobs);
        s->seen = gw_layout_take(l, seen, sizeof *s->seen);
    }
    e->draws = gw_layout_take(l, o->slots + GW_ENGINE_MAX_FINISHING * group, sizeof *e->draws);
    e->sampler_scratch_bytes = gw_sampler_scratch_bytes(vocab);
    e->sampler_scratch = gw_layout_take(l, (size_t)n_threads, e->sampler_scratch_bytes);
}

static size_t table_bytes(const struct gw_engine_opts *o, size_t vocab, int n_threads) {
    struct gw_layout plan = {0};
    struct gw_engine unused = {0};
    lay_out(&plan, o, vocab, n_threads, &unused);
    return plan.used;
}

void gw_engine_bytes(const struct gw_config *cfg, enum gw_panel_format format,
                     const struct gw_engine_opts *o, int n_threads, size_t *kv, size_t *scratch) {
    struct gw_kv_layout layout;
    gw_kv_layout_init(&layout, format, cfg->n_layers, cfg->n_kv_heads, cfg->head_dim);
    *kv = gw_kv_bytes(&layout, o->n_blocks);
    *scratch = gw_workspace_bytes(cfg, format, o->slots + o->prefill_rows, max_out(o),
                                  o->max_prompt + o->max_new, n_threads) +
               gw_head_bytes(cfg, max_out(o), true) + table_bytes(o, cfg->vocab_size, n_threads);
}

static enum gwen_status create_tables(struct gw_engine *e, struct gwen_err *err) {
    const struct gw_engine_opts *o = &e->opts;
    int n_threads = gw_pool_threads(e->pool);
    size_t vocab = e->model->cfg.vocab_size;
    const size_t n_jobs = gw_engine_max_jobs(o->slots);
    const struct gw_policy_sizes sizes = gw_engine_policy_sizes(o);
    struct gw_policy *p = &e->policy;
    p->jobs = calloc(n_jobs, sizeof *p->jobs);
    p->slots = calloc(o->slots, sizeof *p->slots);
    e->jobs = calloc(n_jobs, sizeof *e->jobs);
    e->slots = calloc(o->slots, sizeof *e->slots);
    e->eos = malloc((o->eos.n + 1) * sizeof *e->eos);
    if (p->jobs == NULL || p->slots == NULL || e->jobs == NULL || e->slots == NULL ||
        e->eos == NULL)
        return gw_nomem(err, n_jobs * sizeof *e->jobs, "the decode engine");
    gw_policy_init(p, &sizes, p->jobs, n_jobs, p->slots);
    for (size_t i = 0; i < n_jobs; i++) e->jobs[i].counts = &p->jobs[i];
    for (size_t i = 0; i < o->slots; i++) e->slots[i].counts = &p->slots[i];
    if (o->eos.n > 0) memcpy(e->eos, o->eos.ids, o->eos.n * sizeof *e->eos);
    e->opts.eos.ids = e->eos;
    struct gw_layout l;
    GW_TRY(gw_layout_map(&l, table_bytes(o, vocab, n_threads), &e->memory, err));
    lay_out(&l, o, vocab, n_threads, e);
    return gw_layout_end(&l, "the decode engine", err);
}

static enum gwen_status create_parts(struct gw_engine *e, struct gwen_err *err) {
    const struct gw_engine_opts *o = &e->opts;
    const struct gw_config *c = &e->model->cfg;
    struct gw_kv_layout layout;
    gw_kv_layout_init(&layout, e->model->arith.format, c->n_layers, c->n_kv_heads, c->head_dim);
    const struct gw_policy_sizes sizes = gw_engine_policy_sizes(o);
    const struct gw_kv_growth growth = {.budget = o->budget,
                                        .n_first = gw_policy_least_blocks(&sizes),
                                        .chunk_bytes = o->chunk_bytes};
    GW_TRY(gw_kv_create_growing(&layout, o->n_blocks, seq_blocks(o), &growth, &e->kv, err));
    GW_TRY(gw_workspace_create(e->model, e->kv, e->pool, o->slots + o->prefill_rows, max_out(o),
                               o->max_prompt + o->max_new, &e->ws, err));
    GW_TRY(gw_head_create(e->model, e->pool, max_out(o), true, &e->head, err));
    return create_tables(e, err);
}

enum gwen_status gw_engine_create(const struct gw_model *model, struct gw_pool *pool,
                                  const struct gw_engine_opts *opts, struct gw_engine **out,
                                  struct gwen_err *err) {
    *out = NULL;
    if (opts->slots == 0 || opts->prefill_rows == 0 || opts->max_prompt == 0 ||
        opts->max_new == 0 || opts->max_group == 0)
        return gw_fail(err, GWEN_ERR_ARGUMENT, "decode engine: sizes must be positive");
    size_t context = model->cfg.max_position_embeddings;
    if (opts->max_prompt > context || opts->max_new > context)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "prompts of %zu and %zu new tokens exceed the model's context of %zu "
                       "(max_position_embeddings): lower %s or shorten the prompts",
                       opts->max_prompt, opts->max_new, context, gw_knob(GW_KNOB_MAX_TOKENS));
    if (opts->n_blocks < gw_engine_min_blocks(opts->max_prompt, opts->max_new))
        return gw_fail(err, GWEN_ERR_NOMEM,
                       "KV arena of %zu blocks cannot hold one sample of %zu + %zu tokens",
                       opts->n_blocks, opts->max_prompt, opts->max_new);
    struct gw_engine *e = calloc(1, sizeof *e);
    if (e == NULL) return gw_nomem(err, sizeof *e, "the decode engine");
    e->opts = *opts;
    e->model = model;
    e->pool = pool;
    enum gwen_status status = create_parts(e, err);
    if (status != GWEN_OK) {
        gw_engine_free(e);
        return status;
    }
    *out = e;
    return GWEN_OK;
}

void gw_engine_free(struct gw_engine *e) {
    if (e == NULL) return;
    gw_head_free(e->head);
    gw_workspace_free(e->ws);
    gw_kv_free(e->kv);
    gw_mem_unmap(&e->memory);
    free(e->policy.jobs);
    free(e->policy.slots);
    free(e->jobs);
    free(e->slots);
    free(e->eos);
    free(e);
}

static void draw_tokens(struct gw_engine *e, int thread) {
    char *scratch = e->sampler_scratch + (size_t)thread * e->sampler_scratch_bytes;
    for (size_t i; gw_pool_next(e->pool, thread, e->n_draws, &i);) {
        struct gw_draw *d = &e->draws[i];
        const struct gw_job *job = &d->job->job;
        double u = gw_rng_uniform_at(&d->job->rng, job->wants[d->want].sample, d->position);
        const struct gw_sampling sampling = gw_job_sampling(job, d->want);
        const uint64_t *seen = d->slot != NULL ? d->slot->seen : d->job->seen;
        d->id = gw_sample(e->head, d->out_row, &sampling, u, seen, scratch, &d->logprob);
    }
}

static void engine_region(void *ctx, int thread, int n_threads) {
    struct gw_engine *e = ctx;
    struct gw_workspace *ws = e->ws;
    size_t x_stride = gw_packed_x_stride(e->model->arith.format, e->model->cfg.hidden);
    for (;;) {
        if (thread == 0) gw_engine_schedule(e);
        gw_pool_barrier(e->pool);
        if (!e->go) return;
        gw_forward(ws, thread, n_threads);
        gw_head_run(e->head, ws->head_x, x_stride, ws->batch.n_out,
                    ws->scratch + (size_t)thread * ws->scratch_bytes, thread);
        draw_tokens(e, thread);
        gw_pool_barrier(e->pool);
    }
}

enum gwen_status gw_engine_run(struct gw_engine *e, const struct gw_engine_client *client,
                               struct gw_engine_stats *stats, struct gwen_err *err) {
    GW_TRY(gw_pool_check_free(e->pool, err));
    e->client = client;
    e->stats = (struct gw_engine_stats){0};
    e->err = err;
    e->status = GWEN_OK;
    gw_pool_run(e->pool, engine_region, e);
    gw_engine_reset(e);
    if (stats != NULL) *stats = e->stats;
    return e->status;
}

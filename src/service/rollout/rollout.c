/* rollout.c - see rollout.h. */
#include "service/rollout/rollout.h"

#include "base/clock.h"
#include "service/rollout/stop.h"

#include <stdlib.h>
#include <string.h>

/* A prompt inside the engine. */
struct in_flight {
    bool used;
    size_t prompt;
    struct gw_want *wants;       /* [groups]; .sample counts from first_sample */
    struct gw_stop_text **texts; /* [groups] of samples that have begun; NULL: none kept */
};

struct gw_rollout {
    const struct gw_model *model;
    const struct gw_tokenizer *tokenizer;
    struct gw_rollout_opts opts;
    int32_t *eos_ids; /* the caller's, and stop strings that are a special token */
    struct gw_eos eos;
    struct gw_engine *engine;
    size_t slots, max_groups;
    struct gw_stop_set *stops; /* the other stop strings */
    size_t n_stops;
    struct in_flight *jobs;
    size_t n_jobs;
    struct gw_want *wants;
    struct gw_stop_text **job_texts;
    struct gw_stop_text **idle_texts; /* [n_jobs][groups] of which n_idle are there */
    size_t n_idle;
    struct gw_str text, piece;
    /* of the run in progress */
    const struct gw_prompts *prompts;
    const struct gw_rollout_sink *sink;
    struct gw_progress progress;
    size_t *order; /* prompts that have samples to draw, in the order they are started */
    size_t n_order, next, n_done, n_sampled;
    enum gwen_status status; /* of a callback that cannot return one */
    struct gwen_err err;
};

const char *gw_finish_name(enum gw_finish finish) {
    return finish == GW_FINISH_STOP ? "stop" : "length";
}

/* --- creation ------------------------------------------------------------------------------- */

/* Sorts the stop strings into ids and texts. */
static enum gwen_status take_stops(struct gw_rollout *r, const struct gw_rollout_opts *o,
                                   struct gwen_err *err) {
    const char **texts = malloc((o->n_stops + 1) * sizeof *texts);
    r->eos_ids = malloc((o->eos.n + o->n_stops + 1) * sizeof *r->eos_ids);
    if (texts == NULL || r->eos_ids == NULL) {
        free(texts);
        return gw_nomem(err, o->n_stops * sizeof *texts, "stop strings");
    }
    if (o->eos.n > 0) memcpy(r->eos_ids, o->eos.ids, o->eos.n * sizeof *r->eos_ids);
    r->eos = (struct gw_eos){r->eos_ids, o->eos.n};
    for (size_t i = 0; i < o->n_stops; i++) {
        int32_t id = r->tokenizer == NULL
                         ? -1
                         : gw_tokenizer_id_of_token(r->tokenizer, o->stops[i], strlen(o->stops[i]));
        if (id >= 0 && gw_tokenizer_is_special(r->tokenizer, id))
            r->eos_ids[r->eos.n++] = id;
        else
            texts[r->n_stops++] = o->stops[i];
    }
    enum gwen_status status = gw_stop_set_new(texts, r->n_stops, &r->stops, err);
    free(texts);
    if (status == GWEN_OK && r->n_stops > 0 && r->tokenizer == NULL)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "stop strings need a tokenizer, and the model has none");
    return status;
}

static enum gwen_status create_jobs(struct gw_rollout *r, struct gwen_err *err) {
    size_t groups = r->opts.groups, n;
    r->n_jobs = gw_engine_max_jobs(r->slots);
    r->jobs = calloc(r->n_jobs, sizeof *r->jobs);
    if (!gw_mul_size(r->n_jobs, groups, &n)) return gw_nomem(err, SIZE_MAX, "groups");
    r->wants = calloc(n, sizeof *r->wants);
    r->job_texts = calloc(n, sizeof(struct gw_stop_text *));
    r->idle_texts = calloc(n, sizeof(struct gw_stop_text *));
    if (r->jobs == NULL || r->wants == NULL || r->job_texts == NULL || r->idle_texts == NULL)
        return gw_nomem(err, n * sizeof *r->wants, "groups");
    for (size_t i = 0; i < r->n_jobs; i++) {
        r->jobs[i].wants = r->wants + i * groups;
        r->jobs[i].texts = r->job_texts + i * groups;
    }
    return GWEN_OK;
}

enum gwen_status gw_rollout_create(const struct gw_model *model, struct gw_pool *pool,
                                   const struct gw_tokenizer *tokenizer,
                                   const struct gw_rollout_opts *opts,
                                   const struct gw_rollout_plan *plan, struct gw_rollout **out,
                                   struct gwen_err *err) {
    *out = NULL;
    GW_TRY(gw_sampling_check(&opts->sampling, err));
    struct gw_rollout *r = calloc(1, sizeof *r);
    if (r == NULL) return gw_nomem(err, sizeof *r, "a rollout");
    r->model = model;
    r->tokenizer = tokenizer;
    r->opts = *opts;
    r->slots = plan->options.engine.slots;
    r->max_groups = opts->groups;
    struct gw_engine_opts engine = plan->options.engine;
    enum gwen_status status = take_stops(r, opts, err);
    if (status == GWEN_OK) status = create_jobs(r, err);
    engine.eos = r->eos;
    if (status == GWEN_OK) status = gw_engine_create(model, pool, &engine, &r->engine, err);
    if (status != GWEN_OK) {
        gw_rollout_free(r);
        return status;
    }
    *out = r;
    return GWEN_OK;
}

void gw_rollout_free(struct gw_rollout *r) {
    if (r == NULL) return;
    gw_engine_free(r->engine);
    for (size_t i = 0; i < r->n_idle; i++) gw_stop_text_free(r->idle_texts[i]);
    gw_stop_set_free(r->stops);
    gw_str_free(&r->text);
    gw_str_free(&r->piece);
    free(r->idle_texts);
    free(r->job_texts);
    free(r->wants);
    free(r->jobs);
    free(r->eos_ids);
    free(r);
}

void gw_rollout_set_draws(struct gw_rollout *r, uint64_t step, uint64_t first_sample) {
    r->opts.step = step;
    r->opts.first_sample = first_sample;
}

enum gwen_status gw_rollout_redraw(struct gw_rollout *r, const struct gw_rollout_opts *opts,
                                   struct gwen_err *err) {
    GW_TRY(gw_sampling_check(&opts->sampling, err));
    if (opts->groups > r->max_groups)
        return gw_fail(err, GWEN_ERR_INTERNAL, "rollout: groups of %zu, made for %zu", opts->groups,
                       r->max_groups);
    r->opts = *opts;
    return GWEN_OK;
}

/* --- the queue ------------------------------------------------------------------------------ */

size_t gw_rollout_limit(const struct gw_rollout_opts *o, const struct gw_prompt *prompt,
                        size_t sample_id) {
    if (o->length_hi == 0) return prompt->max_tokens;
    /* The order of training rows is drawn from the same stream, with an epoch for a step: the
     * last step of all is never one. */
    const struct gw_rng_key key = {.seed = o->seed,
                                   .stream = GW_STREAM_DATA,
                                   .step = UINT64_MAX,
                                   .prompt_key = prompt->key,
                                   .sample = o->first_sample + sample_id};
    size_t range = o->length_hi - o->length_lo + 1;
    size_t drawn = o->length_lo + (size_t)(gw_rng_uniform(&key) * (double)range);
    return GW_MIN(drawn, prompt->max_tokens);
}

static bool skipped(const struct gw_rollout *r, size_t prompt, size_t sample) {
    return r->sink->skip != NULL && r->sink->skip(r->sink->ctx, prompt, sample);
}

struct order_key {
    size_t prompt, longest;
};

static int by_length(const void *a, const void *b) {
    const struct order_key *x = a, *y = b;
    if (x->longest != y->longest) return x->longest > y->longest ? -1 : 1;
    return x->prompt < y->prompt ? -1 : 1;
}

/* Fills r->order, and counts what need not be sampled as done. */
static enum gwen_status make_order(struct gw_rollout *r, struct gwen_err *err) {
    size_t n = r->prompts->n, k = 0;
    struct order_key *keys = malloc((n + 1) * sizeof *keys);
    r->order = malloc((n + 1) * sizeof *r->order);
    if (keys == NULL || r->order == NULL) {
        free(keys);
        return gw_nomem(err, n * sizeof *keys, "the queue of prompts");
    }
    for (size_t i = 0; i < n; i++) {
        size_t longest = 0;
        for (size_t s = 0; s < r->opts.groups; s++) {
            if (skipped(r, i, s)) {
                r->n_done++;
                continue;
            }
            size_t limit = gw_rollout_limit(&r->opts, &r->prompts->rows[i], s);
            longest = GW_MAX(longest, limit);
        }
        if (longest > 0) keys[k++] = (struct order_key){i, longest};
    }
    if (!r->opts.file_order) qsort(keys, k, sizeof *keys, by_length);
    for (size_t i = 0; i < k; i++) r->order[i] = keys[i].prompt;
    r->n_order = k;
    free(keys);
    return GWEN_OK;
}

static enum gwen_status next_job(void *ctx, struct gw_job *job, bool *more, struct gwen_err *err) {
    struct gw_rollout *r = ctx;
    *more = r->next < r->n_order;
    if (!*more) return GWEN_OK;
    struct in_flight *f = NULL;
    for (size_t i = 0; i < r->n_jobs && f == NULL; i++)
        if (!r->jobs[i].used) f = &r->jobs[i];
    if (f == NULL)
        return gw_fail(err, GWEN_ERR_INTERNAL, "rollout: more prompts running than expected");
    f->used = true;
    f->prompt = r->order[r->next++];
    const struct gw_prompt *p = &r->prompts->rows[f->prompt];
    size_t n = 0;
    for (size_t s = 0; s < r->opts.groups; s++)
        if (!skipped(r, f->prompt, s))
            f->wants[n++] =
                (struct gw_want){r->opts.first_sample + s, gw_rollout_limit(&r->opts, p, s)};
    *job = (struct gw_job){.prompt = p->ids,
                           .n_prompt = p->n,
                           .wants = f->wants,
                           .n_wants = n,
                           .key = {.seed = r->opts.seed,
                                   .stream = r->opts.stream,
                                   .step = r->opts.step,
                                   .prompt_key = p->key},
                           .sampling = r->opts.sampling,
                           .greedy_first = r->opts.greedy_first,
                           .user = f};
    return GWEN_OK;
}

static void job_done(void *ctx, const struct gw_job *job) {
    (void)ctx;
    ((struct in_flight *)job->user)->used = false;
}

/* --- texts ---------------------------------------------------------------------------------- */

/* A text for a sample that begins. */
static enum gwen_status begin_text(struct gw_rollout *r, struct gw_stop_text **out,
                                   struct gwen_err *err) {
    if (r->n_idle > 0) {
        *out = r->idle_texts[--r->n_idle];
        return GWEN_OK;
    }
    return gw_stop_text_new(r->tokenizer, r->stops, out, err);
}

static enum gwen_status end_text(struct gw_rollout *r, struct gw_stop_text **text,
                                 struct gw_str *rest, struct gwen_err *err) {
    enum gwen_status status = gw_stop_text_finish(*text, rest, err);
    r->idle_texts[r->n_idle++] = *text;
    *text = NULL;
    return status;
}

static enum gwen_status push_token(struct gw_rollout *r, const struct gw_sample *s, bool *stop) {
    struct in_flight *f = s->job->user;
    struct gw_stop_text **text = &f->texts[s->want];
    if (s->n == 1) GW_TRY(begin_text(r, text, &r->err));
    if (gw_eos_has(r->eos, s->ids[s->n - 1])) return GWEN_OK;
    GW_TRY(gw_stop_text_push(*text, s->ids[s->n - 1], stop, &r->err));
    if (r->sink->text == NULL) return GWEN_OK;
    gw_str_clear(&r->piece);
    gw_stop_text_take(*text, &r->piece);
    if (r->piece.failed) return gw_nomem(&r->err, s->n, "a sample's text");
    if (r->piece.len == 0) return GWEN_OK;
    return r->sink->text(r->sink->ctx, f->prompt,
                         (size_t)(s->job->wants[s->want].sample - r->opts.first_sample),
                         r->piece.data, r->piece.len, &r->err);
}

/* The engine's token callback: an error is kept for the sample's end, which comes at once. */
static bool on_token(void *ctx, const struct gw_sample *s) {
    struct gw_rollout *r = ctx;
    bool stop = false;
    if (r->status == GWEN_OK) r->status = push_token(r, s, &stop);
    return stop || r->status != GWEN_OK;
}

/* --- finished samples ----------------------------------------------------------------------- */

/* Sets r->text to the sample's text. */
static enum gwen_status sample_text(struct gw_rollout *r, const struct gw_sample *s, size_t cut,
                                    struct gwen_err *err) {
    bool eos = s->finish == GW_FINISH_STOP && gw_eos_has(r->eos, s->ids[s->n - 1]);
    gw_str_clear(&r->text);
    gw_str_puts(&r->text, "");
    GW_TRY(gw_tokenizer_decode(r->tokenizer, s->ids, s->n - eos, true, &r->text, err));
    if (r->text.failed) return gw_nomem(err, s->n, "a sample's text");
    r->text.len = GW_MIN(r->text.len, cut);
    return GWEN_OK;
}

static enum gwen_status on_done(void *ctx, const struct gw_sample *s, struct gwen_err *err) {
    struct gw_rollout *r = ctx;
    struct in_flight *f = s->job->user;
    size_t sample_id = (size_t)(s->job->wants[s->want].sample - r->opts.first_sample);
    size_t cut = SIZE_MAX;
    if (r->status != GWEN_OK) {
        gw_err_copy(err, &r->err);
        return r->status;
    }
    if (f->texts[s->want] != NULL) {
        cut = gw_stop_text_cut(f->texts[s->want]);
        gw_str_clear(&r->piece);
        GW_TRY(end_text(r, &f->texts[s->want], &r->piece, err));
        if (r->piece.failed) return gw_nomem(err, s->n, "a sample's text");
        if (r->sink->text != NULL && r->piece.len > 0)
            GW_TRY(r->sink->text(r->sink->ctx, f->prompt, sample_id, r->piece.data, r->piece.len,
                                 err));
    }
    if (r->tokenizer != NULL) GW_TRY(sample_text(r, s, cut, err));
    const struct gw_rollout_sample sample = {
        .prompt = &r->prompts->rows[f->prompt],
        .prompt_id = f->prompt,
        .sample_id = sample_id,
        .ids = s->ids,
        .logprobs = s->logprobs,
        .n = s->n,
        .text = r->tokenizer != NULL ? r->text.data : NULL,
        .text_len = r->tokenizer != NULL ? r->text.len : 0,
        .finish = s->finish,
    };
    r->n_done++;
    r->n_sampled++;
    return r->sink->sample(r->sink->ctx, &sample, err);
}

static bool on_progress(void *ctx) {
    struct gw_rollout *r = ctx;
    struct gwen_err err;
    return gw_progress_update(&r->progress, r->n_done, &err) == GWEN_OK;
}

/* --- the run -------------------------------------------------------------------------------- */

/* After a run that did not reach its end: everything in flight is dropped. */
static void drop_running(struct gw_rollout *r) {
    struct gwen_err ignored;
    for (size_t i = 0; i < r->n_jobs; i++) {
        r->jobs[i].used = false;
        for (size_t s = 0; s < r->opts.groups; s++)
            if (r->jobs[i].texts[s] != NULL) end_text(r, &r->jobs[i].texts[s], NULL, &ignored);
    }
}

static void fill_stats(const struct gw_rollout *r, uint64_t start, struct gw_rollout_stats *stats) {
    const struct gw_engine_stats *e = &stats->engine;
    stats->samples = r->n_sampled;
    stats->seconds = gw_seconds_since(start);
    stats->occupancy = e->queued_steps > 0
                           ? (double)e->queued_live / ((double)e->queued_steps * (double)r->slots)
                           : 1;
}

enum gwen_status gw_rollout_run(struct gw_rollout *r, const struct gw_prompts *prompts,
                                const struct gw_rollout_sink *sink, struct gw_rollout_stats *stats,
                                struct gwen_err *err) {
    struct gw_rollout_stats scratch;
    if (stats == NULL) stats = &scratch;
    *stats = (struct gw_rollout_stats){.occupancy = 1};
    uint64_t start = gw_now_ns();
    r->prompts = prompts;
    r->sink = sink;
    r->next = r->n_done = r->n_sampled = 0;
    r->status = GWEN_OK;
    enum gwen_status status = make_order(r, err);
    gw_progress_init(&r->progress, sink->progress, sink->progress_user, "rollout", "samples",
                     prompts->n * r->opts.groups);
    if (status == GWEN_OK) {
        bool texts = r->n_stops > 0 || (sink->text != NULL && r->tokenizer != NULL);
        const struct gw_engine_client client = {.ctx = r,
                                                .next = next_job,
                                                .token = texts ? on_token : NULL,
                                                .done = on_done,
                                                .job_done = job_done,
                                                .progress = on_progress};
        status = gw_engine_run(r->engine, &client, &stats->engine, err);
        drop_running(r);
    }
    if (status == GWEN_OK) status = gw_progress_update(&r->progress, r->n_done, err);
    fill_stats(r, start, stats);
    free(r->order);
    r->order = NULL;
    return status;
}

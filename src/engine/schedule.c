/* schedule.c - what the decode engine does between two steps, on one thread.
 *
 * Blocks are promised before they are taken: a sample is started only if the blocks it may still
 * need, beside those promised to all others, are touched and free.  So no running sample ever lacks
 * one.  When memory is short, blocks are given back: those that nobody was promised, then those of
 * prompts and samples that are put back into the queue, the youngest first.  Enough are kept for
 * one sample of any prompt that has blocks: the oldest sample always goes on. */
#include "engine/impl.h"

#include "base/knob.h"

#include <string.h>

static void fail(struct gw_engine *e, enum gwen_status status) {
    if (e->status == GWEN_OK) e->status = status;
}

/* --- blocks --------------------------------------------------------------------------------- */

/* The last token drawn is never stored. */
static size_t final_blocks(const struct gw_engine_job *j, size_t want) {
    return gw_kv_blocks_for(j->job.n_prompt + j->job.wants[want].max_tokens - 1);
}

/* What a new sample may come to take: all but the prompt's full blocks, which it shares. */
static size_t new_sample_blocks(const struct gw_engine_job *j, size_t want) {
    return final_blocks(j, want) - j->job.n_prompt / GW_KV_BLOCK;
}

/* Free blocks that nobody has been promised. */
static size_t spare_blocks(const struct gw_engine *e) {
    size_t promised = 0, free_blocks = gw_kv_free_blocks(e->kv);
    for (size_t i = 0; i < e->opts.slots; i++) {
        const struct gw_slot *s = &e->slots[i];
        if (s->job == NULL) continue;
        size_t full = s->job->job.n_prompt / GW_KV_BLOCK;
        /* Before its first own token a sample still shares the prompt's partial block. */
        size_t own = s->n > 1 ? s->seq.n_blocks : full;
        promised += final_blocks(s->job, s->want) - GW_MIN(own, final_blocks(s->job, s->want));
    }
    for (size_t i = 0; i < e->n_jobs; i++) {
        const struct gw_engine_job *j = &e->jobs[i];
        if (j->state == GW_JOB_PREFILL)
            promised += gw_kv_blocks_for(j->job.n_prompt) - j->seq.n_blocks;
    }
    return free_blocks > promised ? free_blocks - promised : 0;
}

/* Makes `need` free blocks that nobody has been promised, touching more where it must and may. */
static bool make_room(struct gw_engine *e, size_t need) {
    while (spare_blocks(e) < need)
        if (!gw_kv_grow(e->kv)) return false;
    return true;
}

/* --- the life of a sample ------------------------------------------------------------------- */

static void finish_job_if_done(struct gw_engine *e, struct gw_engine_job *j) {
    if (j->n_done < j->job.n_wants) return;
    gw_kv_release(e->kv, &j->seq);
    j->state = GW_JOB_FREE;
    if (e->client->job_done != NULL) e->client->job_done(e->client->ctx, &j->job);
}

static bool is_eos(const struct gw_engine *e, int32_t id) {
    for (size_t i = 0; i < e->opts.n_eos; i++)
        if (e->eos[i] == id) return true;
    return false;
}

/* Adds a token to the sample in a slot; when that ends it, hands it over and frees the slot. */
static void accept_token(struct gw_engine *e, struct gw_slot *s, int32_t id, float logprob) {
    struct gw_engine_job *j = s->job;
    s->ids[s->n] = id;
    s->logprobs[s->n++] = logprob;
    if (s->seen != NULL) gw_seen_add(s->seen, id);
    e->stats.new_tokens++;
    struct gw_sample sample = {&j->job, s->want, s->ids, s->logprobs, s->n, GW_FINISH_LENGTH};
    bool stop = is_eos(e, id);
    if (e->client->token != NULL && s->n > j->told[s->want] &&
        e->client->token(e->client->ctx, &sample))
        stop = true;
    if (!stop && s->n < j->job.wants[s->want].max_tokens) return;
    if (stop) sample.finish = GW_FINISH_STOP;
    fail(e, e->client->done(e->client->ctx, &sample, e->err));
    gw_kv_release(e->kv, &s->seq);
    s->job = NULL;
    j->n_done++;
    finish_job_if_done(e, j);
}

/* Puts the job's next sample into a free slot, with the first token that was drawn for it. */
static void start_sample(struct gw_engine *e, struct gw_slot *s, struct gw_engine_job *j) {
    size_t want = j->waiting[--j->n_waiting];
    s->job = j;
    s->order = e->next_start++;
    s->want = want;
    s->n = 0;
    gw_kv_fork(e->kv, &j->seq, j->job.n_prompt, &s->seq);
    if (j->n_waiting == 0) gw_kv_release(e->kv, &j->seq);
    if (s->seen != NULL)
        memcpy(s->seen, j->seen, gw_seen_words(e->model->cfg.vocab_size) * sizeof *s->seen);
    accept_token(e, s, j->first_ids[want], j->first_logprobs[want]);
}

static void absorb_draws(struct gw_engine *e) {
    for (size_t i = 0; i < e->n_draws && e->status == GWEN_OK; i++) {
        const struct gw_draw *d = &e->draws[i];
        if (d->id < 0) {
            fail(e, gw_fail(e->err, GWEN_ERR_NUMERIC,
                            "the model's logits are not finite (prompt of %zu tokens, position "
                            "%zu): weights or %s are at fault",
                            d->job->job.n_prompt, d->job->job.n_prompt + d->position,
                            gw_knob(GW_KNOB_DTYPE)));
        } else if (d->slot != NULL) {
            accept_token(e, d->slot, d->id, d->logprob);
        } else {
            d->job->first_ids[d->want] = d->id;
            d->job->first_logprobs[d->want] = d->logprob;
            d->job->state = GW_JOB_READY;
        }
    }
    e->n_draws = 0;
}

/* --- admission ------------------------------------------------------------------------------ */

static struct gw_engine_job *oldest(struct gw_engine *e, enum gw_job_state state, bool to_start) {
    struct gw_engine_job *best = NULL;
    for (size_t i = 0; i < e->n_jobs; i++) {
        struct gw_engine_job *j = &e->jobs[i];
        if (j->state != state || (to_start && j->n_waiting == 0)) continue;
        if (best == NULL || j->order < best->order) best = j;
    }
    return best;
}

static void start_samples(struct gw_engine *e) {
    for (size_t i = 0; i < e->opts.slots; i++) {
        struct gw_slot *s = &e->slots[i];
        /* A first token can end its sample at once: the slot is free again. */
        while (s->job == NULL && e->status == GWEN_OK) {
            struct gw_engine_job *j = oldest(e, GW_JOB_READY, true);
            if (j == NULL || !make_room(e, new_sample_blocks(j, j->waiting[j->n_waiting - 1])))
                return;
            start_sample(e, s, j);
        }
    }
}

/* Samples of fetched jobs that are to be started. */
static size_t waiting_samples(const struct gw_engine *e) {
    size_t n = 0;
    for (size_t i = 0; i < e->n_jobs; i++)
        if (e->jobs[i].state != GW_JOB_FREE) n += e->jobs[i].n_waiting;
    return n;
}

static size_t live_samples(const struct gw_engine *e) {
    size_t n = 0;
    for (size_t i = 0; i < e->opts.slots; i++) n += e->slots[i].job != NULL;
    return n;
}

static bool check_context(struct gw_engine *e, const struct gw_job *job) {
    size_t context = e->model->cfg.max_position_embeddings, most = 0;
    for (size_t i = 0; i < job->n_wants; i++) most = GW_MAX(most, job->wants[i].max_tokens);
    if (job->n_prompt + most <= context) return true;
    fail(e, gw_fail(e->err, GWEN_ERR_ARGUMENT,
                    "a prompt of %zu and %zu new tokens exceed the model's context of %zu "
                    "(max_position_embeddings): lower %s or shorten the prompt",
                    job->n_prompt, most, context, gw_knob(GW_KNOB_MAX_TOKENS)));
    return false;
}

static bool check_job(struct gw_engine *e, const struct gw_job *job) {
    bool ok = job->n_prompt >= 1 && job->n_prompt <= e->opts.max_prompt && job->n_wants >= 1 &&
              job->n_wants <= e->opts.max_group;
    for (size_t i = 0; ok && i < job->n_wants; i++)
        ok = job->wants[i].max_tokens >= 1 && job->wants[i].max_tokens <= e->opts.max_new;
    for (size_t i = 0; ok && i < job->n_prompt; i++)
        ok = job->prompt[i] >= 0 && (size_t)job->prompt[i] < e->model->cfg.vocab_size;
    if (!ok)
        fail(e, gw_fail(e->err, GWEN_ERR_ARGUMENT,
                        "a prompt of %zu tokens with %zu samples is not what the engine was made "
                        "for",
                        job->n_prompt, job->n_wants));
    return ok && check_context(e, job);
}

static void take_job(struct gw_engine *e, struct gw_engine_job *j, const struct gw_job *job) {
    j->job = *job;
    j->state = GW_JOB_PREFILL;
    j->order = e->next_order++;
    j->n_done = 0;
    j->n_waiting = job->n_wants;
    for (size_t i = 0; i < job->n_wants; i++) {
        j->waiting[i] = (uint32_t)(job->n_wants - 1 - i);
        j->told[i] = 0;
    }
    gw_rng_init(&j->rng, &job->key);
    if (j->seen == NULL) return;
    memset(j->seen, 0, gw_seen_words(e->model->cfg.vocab_size) * sizeof *j->seen);
    for (size_t i = 0; i < job->n_prompt; i++) gw_seen_add(j->seen, job->prompt[i]);
}

/* Before a prompt is computed there must be room for it and for one sample of any prompt that has
 * blocks, or nothing could run once the live samples have ended. */
static bool room_for_prompt(struct gw_engine *e) {
    return make_room(e, gw_engine_min_blocks(e->opts.max_prompt, e->opts.max_new) + 1);
}

/* True when no sample runs and none could without another prompt being computed. */
static bool idle(struct gw_engine *e) {
    return live_samples(e) == 0 && oldest(e, GW_JOB_PREFILL, false) == NULL &&
           oldest(e, GW_JOB_READY, true) == NULL;
}

/* Has parked prompts computed again. */
static void resume_jobs(struct gw_engine *e) {
    struct gw_engine_job *j;
    while ((j = oldest(e, GW_JOB_PARKED, false)) != NULL && (idle(e) || room_for_prompt(e)))
        j->state = GW_JOB_PREFILL;
}

/* Fetches jobs while fewer samples wait than would fill the free slots and half of all. */
static void fetch_jobs(struct gw_engine *e) {
    while (!e->no_more_jobs && e->status == GWEN_OK) {
        size_t live = live_samples(e), ahead = e->opts.slots - live + (e->opts.slots + 1) / 2;
        if (waiting_samples(e) >= ahead) return;
        struct gw_engine_job *j = NULL;
        for (size_t i = 0; i < e->n_jobs && j == NULL; i++)
            if (e->jobs[i].state == GW_JOB_FREE) j = &e->jobs[i];
        if (j == NULL || oldest(e, GW_JOB_PARKED, false) != NULL) return;
        if (!idle(e) && !room_for_prompt(e)) return;
        struct gw_job job;
        bool more = true;
        fail(e, e->client->next(e->client->ctx, &job, &more, e->err));
        if (e->status != GWEN_OK) return;
        if (!more) {
            e->no_more_jobs = true;
            return;
        }
        if (!check_job(e, &job)) return;
        take_job(e, j, &job);
    }
}

/* --- short memory --------------------------------------------------------------------------- */

/* The last one to have come of the jobs whose prompt has blocks for waiting samples; `n` counts
 * them. */
static struct gw_engine_job *youngest_job(struct gw_engine *e, size_t *n) {
    struct gw_engine_job *best = NULL;
    *n = 0;
    for (size_t i = 0; i < e->n_jobs; i++) {
        struct gw_engine_job *j = &e->jobs[i];
        if ((j->state != GW_JOB_PREFILL && j->state != GW_JOB_READY) || j->n_waiting == 0) continue;
        ++*n;
        if (best == NULL || j->order > best->order) best = j;
    }
    return best;
}

static struct gw_slot *youngest_sample(struct gw_engine *e) {
    struct gw_slot *best = NULL;
    for (size_t i = 0; i < e->opts.slots; i++) {
        struct gw_slot *s = &e->slots[i];
        if (s->job != NULL && (best == NULL || s->order > best->order)) best = s;
    }
    return best;
}

static void park(struct gw_engine *e, struct gw_engine_job *j) {
    gw_kv_release(e->kv, &j->seq);
    j->state = GW_JOB_PARKED;
}

/* Puts a running sample back into the queue. */
static void restart(struct gw_engine *e, struct gw_slot *s) {
    struct gw_engine_job *j = s->job;
    j->told[s->want] = GW_MAX(j->told[s->want], s->n);
    j->waiting[j->n_waiting++] = (uint32_t)s->want;
    e->stats.new_tokens -= s->n;
    e->stats.restarted++;
    gw_kv_release(e->kv, &s->seq);
    s->job = NULL;
    if (j->state == GW_JOB_READY && j->seq.n_blocks == 0) j->state = GW_JOB_PARKED;
}

/* Touched blocks above those that must stay. */
static size_t blocks_above_least(const struct gw_engine *e) {
    size_t touched = gw_kv_touched_blocks(e->kv), least = gw_engine_least(&e->opts);
    for (size_t i = 0; i < e->n_jobs; i++) {
        const struct gw_engine_job *j = &e->jobs[i];
        if ((j->state == GW_JOB_PREFILL || j->state == GW_JOB_READY) && j->n_waiting > 0)
            least += gw_kv_blocks_for(j->job.n_prompt);
    }
    return touched > least ? touched - least : 0;
}

/* Puts the youngest thing back into the queue; false when only one is left. */
static bool put_back_youngest(struct gw_engine *e) {
    size_t n_jobs, live = live_samples(e);
    struct gw_engine_job *j = youngest_job(e, &n_jobs);
    if (n_jobs > (live > 0 ? 0 : 1)) {
        park(e, j);
        return true;
    }
    if (live <= 1) return false;
    restart(e, youngest_sample(e));
    return true;
}

/* If memory is short, gives back all that is spare, after making sure that this is a chunk or an
 * eighth of the arena, whichever is more. */
static void relieve(struct gw_engine *e) {
    const struct gw_budget *b = e->opts.budget;
    if (b == NULL || !b->pressed(b->ctx)) return;
    size_t goal = GW_MAX(gw_kv_chunk_blocks(e->kv), gw_kv_touched_blocks(e->kv) / 8);
    /* Until enough is free, or as much as does not have to stay. */
    while (spare_blocks(e) < goal && spare_blocks(e) < blocks_above_least(e))
        if (!put_back_youngest(e)) break;
    size_t n = GW_MIN(spare_blocks(e), blocks_above_least(e));
    gw_kv_give_back(e->kv, n);
    e->stats.given_back += n;
}

/* --- the next batch ------------------------------------------------------------------------- */

static void add_draw(struct gw_engine *e, struct gw_engine_job *j, struct gw_slot *s, size_t want,
                     size_t position) {
    size_t out_row = e->ws->batch.n_out - 1;
    const struct gw_sampling sampling = gw_job_sampling(&j->job, want);
    e->head->temperature[out_row] = gw_sampling_temperature(&sampling);
    e->head->target[out_row] = -1;
    e->draws[e->n_draws++] = (struct gw_draw){out_row, j, s, want, position, -1, 0};
}

/* One row for every occupied slot, job by job so that rows that share blocks are neighbours. */
static void add_decode_rows(struct gw_engine *e) {
    for (size_t i = 0; i < e->n_jobs; i++) {
        struct gw_engine_job *j = &e->jobs[i];
        if (j->state == GW_JOB_FREE || j->n_waiting + j->n_done == j->job.n_wants) continue;
        for (size_t k = 0; k < e->opts.slots; k++) {
            struct gw_slot *s = &e->slots[k];
            if (s->job != j) continue;
            size_t position = s->seq.n_tokens;
            fail(e, gw_kv_extend(e->kv, &s->seq, 1, e->err));
            if (e->status != GWEN_OK) return;
            gw_batch_add(&e->ws->batch, &s->ids[s->n - 1], 1, &s->seq, position);
            gw_batch_want_last(&e->ws->batch);
            add_draw(e, j, s, s->want, s->n);
        }
    }
}

/* Pieces of the oldest prompts, up to the step's share of prefill rows. */
static void add_prefill_rows(struct gw_engine *e) {
    size_t room = e->opts.prefill_rows, finishing = 0;
    struct gw_engine_job *j;
    uint64_t after = 0;
    while (room > 0 && finishing < GW_ENGINE_MAX_FINISHING) {
        j = NULL;
        for (size_t i = 0; i < e->n_jobs; i++) {
            struct gw_engine_job *c = &e->jobs[i];
            if (c->state == GW_JOB_PREFILL && c->order >= after &&
                (j == NULL || c->order < j->order))
                j = c;
        }
        if (j == NULL) return;
        after = j->order + 1;
        size_t position = j->seq.n_tokens, n = GW_MIN(room, j->job.n_prompt - position);
        fail(e, gw_kv_extend(e->kv, &j->seq, n, e->err));
        if (e->status != GWEN_OK) return;
        gw_batch_add(&e->ws->batch, j->job.prompt + position, n, &j->seq, position);
        room -= n;
        e->stats.prefill_tokens += n;
        if (j->seq.n_tokens < j->job.n_prompt) return;
        finishing++;
        gw_batch_want_last(&e->ws->batch);
        for (size_t w = 0; w < j->job.n_wants; w++) add_draw(e, j, NULL, w, 0);
    }
}

void gw_engine_schedule(struct gw_engine *e) {
    absorb_draws(e);
    if (e->status == GWEN_OK && e->client->progress != NULL && !e->client->progress(e->client->ctx))
        fail(e, gw_fail(e->err, GWEN_ERR_CANCELLED, "cancelled"));
    gw_batch_clear(&e->ws->batch);
    if (e->status == GWEN_OK) {
        relieve(e);
        start_samples(e);
        resume_jobs(e);
        fetch_jobs(e);
        add_decode_rows(e);
        bool waiting = waiting_samples(e) > 0;
        size_t live = e->ws->batch.n_rows;
        add_prefill_rows(e);
        e->stats.steps += e->ws->batch.n_rows > 0;
        e->stats.live_rows += live;
        e->stats.queued_live += waiting ? live : 0;
        e->stats.queued_steps += waiting;
        size_t touched = gw_kv_touched_blocks(e->kv), used = touched - gw_kv_free_blocks(e->kv);
        e->stats.peak_blocks = GW_MAX(e->stats.peak_blocks, used);
        e->stats.touched_blocks = GW_MAX(e->stats.touched_blocks, touched);
    }
    e->go = e->status == GWEN_OK && e->ws->batch.n_rows > 0;
    if (!e->go && e->status == GWEN_OK && waiting_samples(e) > 0)
        fail(e, gw_fail(e->err, GWEN_ERR_INTERNAL, "decode engine: %zu samples cannot be started",
                        waiting_samples(e)));
}

void gw_engine_reset(struct gw_engine *e) {
    gw_kv_copies_done(e->kv);
    for (size_t i = 0; i < e->opts.slots; i++) {
        gw_kv_release(e->kv, &e->slots[i].seq);
        e->slots[i].job = NULL;
    }
    for (size_t i = 0; i < e->n_jobs; i++) {
        gw_kv_release(e->kv, &e->jobs[i].seq);
        e->jobs[i].state = GW_JOB_FREE;
    }
    e->n_draws = 0;
}

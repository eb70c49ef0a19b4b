/* schedule.c - what the decode engine does between two steps, on one thread: takes in what was
 * drawn, carries out the policy's moves on real blocks (what starts when: policy.c), and puts the
 * next batch together. */
#include "engine/impl.h"

#include "base/knob.h"

#include <string.h>

static void fail(struct gw_engine *e, enum gwen_status status) {
    if (e->status == GWEN_OK) e->status = status;
}

/* --- the life of a sample ------------------------------------------------------------------- */

static struct gw_engine_job *job_of(struct gw_engine *e, const struct gw_slot *s) {
    return &e->jobs[s->counts->job];
}

/* Hands over the complete sample in a slot and frees the slot. */
static void end_sample(struct gw_engine *e, struct gw_slot *s, const struct gw_sample *sample) {
    struct gw_engine_job *j = job_of(e, s);
    fail(e, e->client->done(e->client->ctx, sample, e->err));
    gw_kv_release(e->kv, &s->seq);
    if (!gw_policy_end_sample(&e->policy, (size_t)(s - e->slots))) return;
    gw_kv_release(e->kv, &j->seq);
    if (e->client->job_done != NULL) e->client->job_done(e->client->ctx, &j->job);
}

/* Adds a token to the sample in a slot, and ends it where that was the last. */
static void accept_token(struct gw_engine *e, struct gw_slot *s, int32_t id, float logprob) {
    struct gw_engine_job *j = job_of(e, s);
    const size_t want = s->counts->want, n = s->counts->n_tokens + 1;
    s->ids[n - 1] = id;
    s->logprobs[n - 1] = logprob;
    if (s->seen != NULL) gw_seen_add(s->seen, id);
    gw_policy_add_tokens(&e->policy, (size_t)(s - e->slots), 1);
    e->stats.new_tokens++;
    struct gw_sample sample = {&j->job, want, s->ids, s->logprobs, n, GW_FINISH_LENGTH};
    bool stop = gw_eos_has(e->opts.eos, id);
    if (e->client->token != NULL && n > j->emitted[want] &&
        e->client->token(e->client->ctx, &sample))
        stop = true;
    if (!stop && n < j->job.wants[want].max_tokens) return;
    if (stop) sample.finish = GW_FINISH_STOP;
    end_sample(e, s, &sample);
}

/* The sample that a slot was given begins, with the first token that was drawn for it. */
static void start_sample(struct gw_engine *e, struct gw_slot *s) {
    struct gw_engine_job *j = job_of(e, s);
    const size_t want = s->counts->want;
    gw_kv_fork(e->kv, &j->seq, j->job.n_prompt, &s->seq);
    if (j->counts->n_waiting == 0) gw_kv_release(e->kv, &j->seq);
    if (s->seen != NULL)
        memcpy(s->seen, j->seen, gw_seen_words(e->model->cfg.vocab_size) * sizeof *s->seen);
    accept_token(e, s, j->first_ids[want], j->first_logprobs[want]);
}

/* The sample that was in a slot was put back into the queue. */
static void restart_sample(struct gw_engine *e, struct gw_slot *s) {
    const size_t n = s->counts->n_tokens;
    size_t *emitted = &job_of(e, s)->emitted[s->counts->want];
    *emitted = GW_MAX(*emitted, n);
    e->stats.new_tokens -= n;
    e->stats.restarted++;
    gw_kv_release(e->kv, &s->seq);
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
            gw_policy_prompt_done(&e->policy, (size_t)(d->job - e->jobs));
        }
    }
    e->n_draws = 0;
}

/* --- the next job --------------------------------------------------------------------------- */

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
    for (size_t i = 0; i < job->n_wants; i++) j->emitted[i] = 0;
    gw_policy_take(&e->policy, (size_t)(j - e->jobs), job->n_prompt, job->wants, job->n_wants);
    gw_rng_init(&j->rng, &job->key);
    if (j->seen == NULL) return;
    memset(j->seen, 0, gw_seen_words(e->model->cfg.vocab_size) * sizeof *j->seen);
    for (size_t i = 0; i < job->n_prompt; i++) gw_seen_add(j->seen, job->prompt[i]);
}

static void fetch_job(struct gw_engine *e, struct gw_engine_job *j) {
    struct gw_job job;
    bool more = true;
    fail(e, e->client->next(e->client->ctx, &job, &more, e->err));
    if (e->status != GWEN_OK) return;
    if (!more)
        gw_policy_no_more(&e->policy);
    else if (check_job(e, &job))
        take_job(e, j, &job);
}

/* --- moves ---------------------------------------------------------------------------------- */

/* Blocks that should be spare: a chunk or an eighth of the arena, whichever is more, if memory is
 * short. */
static size_t blocks_to_free(const struct gw_engine *e) {
    const struct gw_budget *b = e->opts.budget;
    if (b == NULL || !b->pressed(b->ctx)) return 0;
    return GW_MAX(gw_kv_chunk_blocks(e->kv), gw_kv_touched_blocks(e->kv) / 8);
}

static void carry_out(struct gw_engine *e, const struct gw_move *move) {
    switch (move->kind) {
    case GW_MOVE_NONE: break;
    case GW_MOVE_GROW: gw_kv_grow(e->kv); break;
    case GW_MOVE_PARK: gw_kv_release(e->kv, &e->jobs[move->job].seq); break;
    case GW_MOVE_RESTART: restart_sample(e, &e->slots[move->slot]); break;
    case GW_MOVE_GIVE_BACK:
        gw_kv_give_back(e->kv, move->n_blocks);
        e->stats.given_back += move->n_blocks;
        break;
    case GW_MOVE_START: start_sample(e, &e->slots[move->slot]); break;
    case GW_MOVE_FETCH: fetch_job(e, &e->jobs[move->job]); break;
    }
}

static void make_moves(struct gw_engine *e) {
    struct gw_move move;
    gw_policy_begin_step(&e->policy, blocks_to_free(e));
    do {
        const struct gw_policy_blocks have = {.n_touched = gw_kv_touched_blocks(e->kv),
                                              .n_free = gw_kv_free_blocks(e->kv)};
        move = gw_policy_next_move(&e->policy, &have);
        carry_out(e, &move);
    } while (move.kind != GW_MOVE_NONE && e->status == GWEN_OK);
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

/* One row for every busy slot, job by job so that rows that share blocks are neighbours. */
static void add_decode_rows(struct gw_engine *e) {
    for (size_t i = 0; i < e->policy.n_jobs; i++) {
        struct gw_engine_job *j = &e->jobs[i];
        const struct gw_policy_job *c = j->counts;
        if (c->state == GW_JOB_FREE || c->n_waiting + c->n_done == c->n_wants) continue;
        for (size_t k = 0; k < e->opts.slots; k++) {
            struct gw_slot *s = &e->slots[k];
            if (!s->counts->busy || s->counts->job != i) continue;
            const size_t position = s->seq.n_tokens, n = s->counts->n_tokens;
            fail(e, gw_kv_extend(e->kv, &s->seq, 1, e->err));
            if (e->status != GWEN_OK) return;
            gw_batch_add(&e->ws->batch, &s->ids[n - 1], 1, &s->seq, position);
            gw_batch_want_last(&e->ws->batch);
            add_draw(e, j, s, s->counts->want, n);
        }
    }
}

/* The step's pieces of prompts. */
static void add_prefill_rows(struct gw_engine *e) {
    for (size_t i, n; (n = gw_policy_next_piece(&e->policy, &i)) > 0;) {
        struct gw_engine_job *j = &e->jobs[i];
        const size_t position = j->seq.n_tokens;
        fail(e, gw_kv_extend(e->kv, &j->seq, n, e->err));
        if (e->status != GWEN_OK) return;
        gw_batch_add(&e->ws->batch, j->job.prompt + position, n, &j->seq, position);
        e->stats.prefill_tokens += n;
        if (j->seq.n_tokens < j->job.n_prompt) continue;
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
        make_moves(e);
        add_decode_rows(e);
        bool waiting = e->policy.n_waiting > 0;
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
    if (!e->go && e->status == GWEN_OK && e->policy.n_waiting > 0)
        fail(e, gw_fail(e->err, GWEN_ERR_INTERNAL, "decode engine: %zu samples cannot be started",
                        e->policy.n_waiting));
}

void gw_engine_reset(struct gw_engine *e) {
    gw_kv_copies_done(e->kv);
    for (size_t i = 0; i < e->opts.slots; i++) gw_kv_release(e->kv, &e->slots[i].seq);
    for (size_t i = 0; i < e->policy.n_jobs; i++) gw_kv_release(e->kv, &e->jobs[i].seq);
    gw_policy_reset(&e->policy);
    e->n_draws = 0;
}

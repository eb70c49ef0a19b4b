/* queue.c - see queue.h. */
#include "service/rollout/queue.h"

#include "base/rng.h"

#include <math.h>
#include <stdlib.h>

enum {
    MOST_SAMPLES = 2048, /* played of a long queue */
    MOST_WORK = 1 << 16  /* tokens drawn one by one; beyond, several at a time */
};

struct gw_queue {
    struct gw_queue_opts o;
    size_t tick;           /* tokens of a sample that one step of the play stands for */
    uint32_t *length;      /* [n_prompts][groups] */
    struct gw_want *wants; /* [n_prompts][groups] what blocks are promised for */
    size_t *order;         /* prompts as they are started */
};

/* --- the queue ------------------------------------------------------------------------------ */

struct place {
    size_t prompt, longest;
};

static int longest_first(const void *pa, const void *pb) {
    const struct place *a = pa, *b = pb;
    if (a->longest != b->longest) return a->longest > b->longest ? -1 : 1;
    return a->prompt < b->prompt ? -1 : 1;
}

static enum gwen_status draw(struct gw_queue *q, struct gwen_err *err) {
    const struct gw_queue_opts *o = &q->o;
    struct place *places = calloc(o->n_prompts, sizeof *places);
    size_t tokens = 0;
    q->length = calloc(o->n_prompts * o->groups, sizeof *q->length);
    q->wants = calloc(o->n_prompts * o->groups, sizeof *q->wants);
    q->order = calloc(o->n_prompts, sizeof *q->order);
    if (places == NULL || q->length == NULL || q->wants == NULL || q->order == NULL) {
        free(places);
        return gw_nomem(err, o->n_prompts * o->groups * sizeof *q->length, "a queue");
    }
    for (size_t p = 0; p < o->n_prompts; p++) {
        places[p] = (struct place){p, 0};
        for (size_t s = 0; s < o->groups; s++) {
            const struct gw_rng_key key = {.seed = o->seed,
                                           .stream = GW_STREAM_DATA,
                                           .step = UINT64_MAX,
                                           .prompt_key = p,
                                           .sample = s};
            const double range = (double)(o->length_hi - o->length_lo + 1);
            const size_t length = o->length_lo + (size_t)(gw_rng_uniform(&key) * range);
            q->length[p * o->groups + s] = (uint32_t)length;
            q->wants[p * o->groups + s] =
                (struct gw_want){s, o->lengths_known ? length : o->max_new};
            places[p].longest = GW_MAX(places[p].longest, length);
            tokens += length;
        }
    }
    if (o->lengths_known) qsort(places, o->n_prompts, sizeof *places, longest_first);
    for (size_t p = 0; p < o->n_prompts; p++) q->order[p] = places[p].prompt;
    free(places);
    q->tick = tokens / MOST_WORK + 1;
    return GWEN_OK;
}

enum gwen_status gw_queue_create(const struct gw_queue_opts *opts, struct gw_queue **out,
                                 struct gwen_err *err) {
    struct gw_queue *q = calloc(1, sizeof *q);
    *out = NULL;
    if (q == NULL) return gw_nomem(err, sizeof *q, "a queue");
    q->o = *opts;
    q->o.groups = GW_MIN(GW_MAX(opts->groups, (size_t)1), (size_t)MOST_SAMPLES);
    q->o.n_prompts = GW_MIN(GW_MAX(opts->n_prompts, (size_t)1), MOST_SAMPLES / q->o.groups);
    q->o.length_lo = GW_MAX(opts->length_lo, (size_t)1);
    q->o.length_hi = GW_MAX(opts->length_hi, q->o.length_lo);
    q->o.max_new = GW_MAX(opts->max_new, q->o.length_hi);
    enum gwen_status status = draw(q, err);
    if (status != GWEN_OK) {
        gw_queue_free(q);
        return status;
    }
    *out = q;
    return GWEN_OK;
}

void gw_queue_free(struct gw_queue *q) {
    if (q == NULL) return;
    free(q->length);
    free(q->wants);
    free(q->order);
    free(q);
}

const struct gw_queue_opts *gw_queue_opts(const struct gw_queue *q) { return &q->o; }

size_t gw_queue_at(const struct gw_queue *q, size_t i) { return q->order[i]; }

size_t gw_queue_length(const struct gw_queue *q, size_t prompt, size_t sample) {
    return q->length[prompt * q->o.groups + sample];
}

/* --- the play -------------------------------------------------------------------------------
 *
 * The engine's policy decides; here blocks are only counted.  Every prompt has the same length, and
 * nothing is ever put back into the queue, so a few sums stand for the whole arena. */

struct play {
    const struct gw_queue *q;
    struct gw_policy policy;
    struct gw_policy_job *jobs;   /* [n_jobs] */
    struct gw_policy_slot *slots; /* [e->slots] */
    uint32_t *waiting;            /* [n_jobs][groups] */
    size_t *prompts;              /* [n_jobs] which one a job is */
    size_t n_fetched;             /* jobs so far */
    size_t live_prompts;          /* that have begun samples, and not ended all */
    size_t held;                  /* blocks */
    /* Of those, shared only by samples that write to their own before the next step. */
    size_t let_go;
};

/* Blocks of a prompt that its samples share to the end, and beside them the partial one, which each
 * of them copies. */
static size_t full_blocks(const struct play *p) { return p->q->o.prompt_tokens / GW_KV_BLOCK; }
static size_t partial_block(const struct play *p) {
    return gw_kv_blocks_for(p->q->o.prompt_tokens) - full_blocks(p);
}

static void end_sample(struct play *p, size_t slot) {
    p->held -= p->slots[slot].n_blocks - full_blocks(p);
    if (!gw_policy_end_sample(&p->policy, slot)) return;
    p->held -= full_blocks(p);
    p->live_prompts--;
}

/* n tokens more for the sample in a slot; ends it when it is complete. */
static void add_tokens(struct play *p, size_t slot, size_t n) {
    const struct gw_policy_slot *s = &p->slots[slot];
    p->held += gw_policy_add_tokens(&p->policy, slot, n);
    if (s->n_tokens >= gw_queue_length(p->q, p->prompts[s->job], s->want)) end_sample(p, slot);
}

/* True while a sample of the job has no token of its own in the arena. */
static bool shares_partial(const struct play *p, size_t job) {
    for (size_t i = 0; i < p->policy.sizes.slots; i++)
        if (p->slots[i].busy && p->slots[i].job == job && p->slots[i].n_tokens == 1) return true;
    return false;
}

/* A sample begins; its first token came with the prompt. */
static void start_sample(struct play *p, size_t slot, size_t job) {
    const struct gw_policy_job *j = &p->jobs[job];
    const bool last = j->n_waiting == 0;
    p->live_prompts += j->n_waiting + 1 == j->n_wants;
    add_tokens(p, slot, 1);
    if (!last) return;
    if (shares_partial(p, job))
        p->let_go += partial_block(p);
    else
        p->held -= partial_block(p);
}

static void fetch_job(struct play *p, size_t job) {
    const struct gw_queue_opts *o = &p->q->o;
    if (p->n_fetched == o->n_prompts) {
        gw_policy_no_more(&p->policy);
        return;
    }
    const size_t prompt = p->q->order[p->n_fetched++];
    p->prompts[job] = prompt;
    gw_policy_take(&p->policy, job, o->prompt_tokens, &p->q->wants[prompt * o->groups], o->groups);
}

static void make_moves(struct play *p) {
    const size_t n_blocks = p->policy.sizes.n_blocks;
    struct gw_move m;
    gw_policy_begin_step(&p->policy, 0);
    do {
        /* All are touched; memory is never short. */
        const struct gw_policy_blocks have = {.n_touched = n_blocks,
                                              .n_free = n_blocks - GW_MIN(p->held, n_blocks)};
        m = gw_policy_next_move(&p->policy, &have);
        if (m.kind == GW_MOVE_START) start_sample(p, m.slot, m.job);
        if (m.kind == GW_MOVE_FETCH) fetch_job(p, m.job);
    } while (m.kind != GW_MOVE_NONE);
}

/* Prompt tokens computed in this step. */
static size_t prefill(struct play *p) {
    size_t sum = 0, job;
    for (size_t n; (n = gw_policy_next_piece(&p->policy, &job)) > 0; sum += n) {
        const struct gw_policy_job *j = &p->jobs[job];
        p->held += gw_kv_blocks_for(j->n_prefilled) - gw_kv_blocks_for(j->n_prefilled - n);
        if (j->n_prefilled == j->n_prompt) gw_policy_prompt_done(&p->policy, job);
    }
    return sum;
}

/* Live rows get their tokens; those that are complete end. */
static void decode(struct play *p) {
    p->held -= p->let_go;
    p->let_go = 0;
    for (size_t i = 0; i < p->policy.sizes.slots; i++)
        if (p->slots[i].busy) add_tokens(p, i, p->q->tick);
}

/* Mean tokens that a live sample has in the arena beside its prompt. */
static double mean_own(const struct play *p) {
    double sum = 0;
    for (size_t i = 0; i < p->policy.sizes.slots; i++)
        if (p->slots[i].busy) sum += (double)(p->slots[i].n_tokens - 1);
    return p->policy.n_live > 0 ? sum / (double)p->policy.n_live : 0;
}

static void play(struct play *p, const struct gw_speed *speed, struct gw_queue_result *r) {
    const double tick = (double)p->q->tick;
    double live = 0, steps = 0;
    for (;;) {
        make_moves(p);
        const struct gw_step step = {.rows = (double)p->policy.n_live,
                                     .prompts = (double)p->live_prompts,
                                     .prompt_tokens = (double)p->q->o.prompt_tokens,
                                     .own_tokens = mean_own(p),
                                     .prefill = (double)prefill(p) / tick};
        if (step.rows == 0 && step.prefill == 0) break;
        r->seconds += tick * gw_speed_step(speed, &step);
        live += step.rows;
        steps++;
        decode(p);
    }
    r->busy = steps > 0 ? live / (steps * (double)p->policy.sizes.slots) : 0;
    /* Too few blocks for a single sample. */
    if (p->policy.n_waiting > 0 || p->n_fetched < p->q->o.n_prompts) r->seconds = INFINITY;
}

enum gwen_status gw_queue_run(const struct gw_queue *q, const struct gw_engine_opts *e,
                              const struct gw_speed *speed, struct gw_queue_result *r,
                              struct gwen_err *err) {
    struct play p = {.q = q};
    struct gw_policy_sizes sizes = gw_engine_policy_sizes(e);
    const size_t n_jobs = GW_MIN(gw_policy_max_jobs(e->slots), q->o.n_prompts);
    sizes.prefill_rows *= q->tick;
    sizes.max_finishing *= q->tick;
    p.jobs = calloc(n_jobs, sizeof *p.jobs);
    p.slots = calloc(e->slots, sizeof *p.slots);
    p.waiting = calloc(n_jobs * q->o.groups, sizeof *p.waiting);
    p.prompts = calloc(n_jobs, sizeof *p.prompts);
    *r = (struct gw_queue_result){0};
    enum gwen_status status = GWEN_OK;
    for (size_t i = 0; i < q->o.n_prompts * q->o.groups; i++) r->tokens += (double)q->length[i];
    if (p.jobs == NULL || p.slots == NULL || p.waiting == NULL || p.prompts == NULL) {
        status = gw_nomem(err, e->slots * sizeof *p.slots, "a queue");
    } else {
        for (size_t i = 0; i < n_jobs; i++) p.jobs[i].waiting = &p.waiting[i * q->o.groups];
        gw_policy_init(&p.policy, &sizes, p.jobs, n_jobs, p.slots);
        play(&p, speed, r);
    }
    free(p.jobs);
    free(p.slots);
    free(p.waiting);
    free(p.prompts);
    return status;
}

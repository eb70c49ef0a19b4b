/* queue.c - see queue.h. */
#include "service/rollout/queue.h"

#include "base/rng.h"

#include <math.h>
#include <stdlib.h>

enum {
    MOST_SAMPLES = 2048, /* played of a long queue */
    MOST_WORK = 1 << 16, /* tokens drawn one by one; beyond, several at a time */
    MOST_FINISHING = 8   /* prompts whose prefill ends in one step, as in the engine */
};

struct gw_queue {
    struct gw_queue_opts o;
    size_t tick;      /* tokens of a sample that one step of the play stands for */
    uint32_t *length; /* [n_prompts][groups] */
    size_t *order;    /* prompts as they are started */
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
    q->order = calloc(o->n_prompts, sizeof *q->order);
    if (places == NULL || q->length == NULL || q->order == NULL) {
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
    free(q->order);
    free(q);
}

const struct gw_queue_opts *gw_queue_opts(const struct gw_queue *q) { return &q->o; }

size_t gw_queue_at(const struct gw_queue *q, size_t i) { return q->order[i]; }

size_t gw_queue_length(const struct gw_queue *q, size_t prompt, size_t sample) {
    return q->length[prompt * q->o.groups + sample];
}

/* --- the play ------------------------------------------------------------------------------- */

struct job {
    size_t prefilled, n_started, n_done;
};

struct slot {
    bool busy;
    size_t job, own, length;
};

struct play {
    const struct gw_queue *q;
    const struct gw_engine_opts *e;
    struct job *jobs;   /* [n_prompts] in the order they are started */
    struct slot *slots; /* [e->slots] */
    size_t fetched;     /* jobs so far */
    size_t oldest;      /* all jobs before it have started all samples */
    size_t waiting;     /* samples of fetched jobs that have not been started */
    size_t live, live_prompts;
    size_t promised; /* blocks */
    size_t let_go;   /* of those, shared by samples that have not written yet */
};

/* Blocks that a sample may come to take besides the prompt's full ones. */
static size_t own_blocks(const struct play *p, size_t length) {
    const size_t prompt = p->q->o.prompt_tokens;
    const size_t most = p->q->o.lengths_known ? length : p->q->o.max_new;
    return gw_kv_blocks_for(prompt + most - 1) - prompt / GW_KV_BLOCK;
}

static size_t spare(const struct play *p) {
    return p->e->n_blocks > p->promised ? p->e->n_blocks - p->promised : 0;
}

static void end_sample(struct play *p, struct slot *s) {
    struct job *j = &p->jobs[s->job];
    s->busy = false;
    p->live--;
    p->promised -= own_blocks(p, s->length);
    if (++j->n_done < p->q->o.groups) return;
    p->promised -= p->q->o.prompt_tokens / GW_KV_BLOCK;
    p->live_prompts--;
}

static void start_samples(struct play *p) {
    const struct gw_queue_opts *o = &p->q->o;
    for (size_t i = 0; i < p->e->slots;) {
        struct slot *s = &p->slots[i];
        if (s->busy) {
            i++;
            continue;
        }
        while (p->oldest < p->fetched && p->jobs[p->oldest].n_started == o->groups) p->oldest++;
        if (p->oldest == p->fetched) return;
        struct job *j = &p->jobs[p->oldest];
        if (j->prefilled < o->prompt_tokens) return;
        const size_t length = gw_queue_length(p->q, p->q->order[p->oldest], j->n_started);
        if (own_blocks(p, length) > spare(p)) return;
        *s = (struct slot){true, p->oldest, 0, length};
        p->live++;
        p->waiting--;
        p->promised += own_blocks(p, length);
        p->live_prompts += j->n_started == 0;
        const bool last = ++j->n_started == o->groups;
        const size_t partial = gw_kv_blocks_for(o->prompt_tokens) - o->prompt_tokens / GW_KV_BLOCK;
        if (length == 1) end_sample(p, s); /* its only token came with the prompt */
        /* The prompt's partial block is let go. */
        if (last && j->n_done == o->groups)
            p->promised -= partial;
        else if (last)
            p->let_go += partial;
    }
}

static void fetch_jobs(struct play *p) {
    const struct gw_queue_opts *o = &p->q->o;
    const size_t need = gw_engine_min_blocks(p->e->max_prompt, p->e->max_new) + 1;
    while (p->fetched < o->n_prompts &&
           p->waiting < p->e->slots - p->live + (p->e->slots + 1) / 2) {
        const bool empty = p->live == 0 && p->waiting == 0;
        if (!empty && spare(p) < need) return;
        p->jobs[p->fetched++] = (struct job){0};
        p->waiting += o->groups;
        p->promised += gw_kv_blocks_for(o->prompt_tokens);
    }
}

/* Prompt tokens computed in this step. */
static size_t prefill(struct play *p) {
    size_t done = 0, finished = 0;
    const size_t room = p->e->prefill_rows * p->q->tick, most = MOST_FINISHING * p->q->tick;
    for (size_t i = p->oldest; i < p->fetched && room > done && finished < most; i++) {
        const size_t n = GW_MIN(room - done, p->q->o.prompt_tokens - p->jobs[i].prefilled);
        p->jobs[i].prefilled += n;
        done += n;
        finished += n > 0;
    }
    return done;
}

/* Live rows get their tokens; those that are complete end. */
static void decode(struct play *p) {
    p->promised -= p->let_go;
    p->let_go = 0;
    for (size_t i = 0; i < p->e->slots; i++) {
        struct slot *s = &p->slots[i];
        if (!s->busy) continue;
        s->own += p->q->tick;
        /* The first token came with the prompt. */
        if (s->own + 1 >= s->length) end_sample(p, s);
    }
}

static double mean_own(const struct play *p) {
    double sum = 0;
    for (size_t i = 0; i < p->e->slots; i++)
        if (p->slots[i].busy) sum += (double)p->slots[i].own;
    return p->live > 0 ? sum / (double)p->live : 0;
}

static void play(struct play *p, const struct gw_speed *speed, struct gw_queue_result *r) {
    const double tick = (double)p->q->tick;
    double live = 0, steps = 0;
    for (;;) {
        start_samples(p);
        fetch_jobs(p);
        const struct gw_step step = {.rows = (double)p->live,
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
    r->busy = steps > 0 ? live / (steps * (double)p->e->slots) : 0;
    /* Too few blocks for a single sample. */
    if (p->waiting > 0 || p->fetched < p->q->o.n_prompts) r->seconds = INFINITY;
}

enum gwen_status gw_queue_run(const struct gw_queue *q, const struct gw_engine_opts *e,
                              const struct gw_speed *speed, struct gw_queue_result *r,
                              struct gwen_err *err) {
    struct play p = {.q = q, .e = e};
    p.jobs = calloc(q->o.n_prompts, sizeof *p.jobs);
    p.slots = calloc(e->slots, sizeof *p.slots);
    *r = (struct gw_queue_result){0};
    enum gwen_status status = GWEN_OK;
    if (p.jobs == NULL || p.slots == NULL)
        status = gw_nomem(err, e->slots * sizeof *p.slots, "a queue");
    for (size_t i = 0; i < q->o.n_prompts * q->o.groups; i++) r->tokens += (double)q->length[i];
    if (status == GWEN_OK) play(&p, speed, r);
    free(p.jobs);
    free(p.slots);
    return status;
}

/* policy.c - see policy.h; here is why it is as it is.
 *
 * Why blocks are promised.  Samples take KV blocks one by one as they grow.  If they were started
 * while any block is free, a batch of them could come to hold all blocks and each lack one more:
 * none could go on, and none would end to free some.  So of the touched blocks
 *
 *     | held                    | promised           | spare          |  not touched yet
 *     | by prompts, by samples  | what these may     | for whatever   |  (made free chunk by
 *     | as far as they are      | still come to take | starts next    |  chunk, if that may be)
 *                               '--------- free ---------------------'
 *
 * 1. A sample begins out of what is spare only, and is promised all that it may come to take
 *    (most_blocks).  As it grows promised blocks become held ones; if it ends early the rest is
 *    spare.  So there are always as many free blocks as are promised, and a running sample never
 *    waits for one.  What a promise covers is a matter of most_blocks alone.
 *
 * 2. Samples share the full blocks of their prompt, but each copies the partial one as it stores
 *    its first own token, while others may still read the original:
 *
 *        prompt   | full | full | part |
 *        sample   |  shared ->  | copy | own  | own  |        promised: copy and own
 *
 *    Hence the one block more in gw_policy_min_blocks().
 *
 * 3. A prompt takes blocks too, and does not end by itself.  It is computed only where room for it
 *    and for one sample of any prompt is spare (room_for_prompt): with P and N tokens at most that
 *    is blocks(P + N) + 2.  The prompt takes blocks(P) of them and leaves blocks(N) + 1 or more,
 *    beyond which no sample's own blocks go.  What samples take of these they give back as they
 *    end.  So once nothing runs, the oldest waiting sample has room: there is no deadlock.  If no
 *    prompt has blocks either, nothing is held at all, and the least that an arena may have is
 *    enough for a prompt and a sample of it; then no room is asked for.
 *
 * Why the oldest always goes on.  When memory is short, spare blocks are given back; if they are
 * too few, the youngest work is put back into the queue first: prompts computed ahead, whose loss
 * costs least, then samples, but never the last one that runs, nor, if none runs, the last prompt.
 * gw_policy_least_blocks() and the prompts with waiting samples stay, so 3. holds as before.  The
 * oldest sample is thus never put back; after at most its limit of steps it ends, and fewer are
 * left.  However short memory is, and however often, all samples end.  (They also end the same:
 * what is drawn depends on a sample's key, not on when it runs.)
 *
 * Why slots are refilled in this order.  The oldest job that is ready comes first, with the last
 * sample that was put back, else the next of its group.  So one prompt at a time gives up its own
 * hold on its blocks, where several half-begun groups would each keep theirs; rows that share
 * blocks run together; and groups end about in the order of the queue, which puts long samples
 * first where lengths are known.  If the oldest does not fit, nothing younger and smaller passes
 * it: small ones could keep it out for ever.
 *
 * Rows of prefill go to the oldest prompt too, all that it can use, then to the next: a prompt that
 * is half computed holds blocks and lets no sample begin.  And prompts are fetched as far ahead as
 * would fill the free slots and half of all: slots that fall free in the next steps find a sample,
 * and not more blocks lie idle than that takes. */
#include "engine/policy.h"

#include "model/kv.h"

static const struct gw_move no_move = {GW_MOVE_NONE, 0, 0, 0};

/* --- what is promised ----------------------------------------------------------------------- */

/* Blocks that a sample may come to hold, those it shares with its prompt included: how far the
 * promise to it reaches is said here and nowhere else.  The last token drawn is never stored. */
static size_t most_blocks(const struct gw_policy_job *j, size_t want) {
    return gw_kv_blocks_for(j->n_prompt + j->wants[want].max_tokens - 1);
}

/* Of those, the ones that a sample shares for as long as it runs. */
static size_t shared_blocks(const struct gw_policy_job *j) { return j->n_prompt / GW_KV_BLOCK; }

/* What a running sample may still take. */
static size_t promised_to_sample(const struct gw_policy_slot *s) {
    return s->most_blocks - s->n_blocks;
}

/* What a prompt that is being computed will still take. */
static size_t promised_to_prompt(const struct gw_policy_job *j) {
    return gw_kv_blocks_for(j->n_prompt) - gw_kv_blocks_for(j->n_prefilled);
}

/* Free blocks that nobody has been promised. */
static size_t spare_blocks(const struct gw_policy *p, const struct gw_policy_blocks *have) {
    return have->n_free > p->n_promised ? have->n_free - p->n_promised : 0;
}

size_t gw_policy_max_jobs(size_t slots) { return 2 * slots + 2; }

size_t gw_policy_min_blocks(size_t max_prompt, size_t max_new) {
    /* One more: while the partial block of a prompt is copied, original and copy both exist. */
    return gw_kv_blocks_for(max_prompt + max_new) + 1;
}

/* Before a prompt is computed there must be room for it and for one sample of any prompt that has
 * blocks, or nothing could run once the live samples have ended. */
static size_t room_for_prompt(const struct gw_policy_sizes *s) {
    return gw_policy_min_blocks(s->max_prompt, s->max_new) + 1;
}

size_t gw_policy_least_blocks(const struct gw_policy_sizes *s) {
    return GW_MIN(s->n_blocks, room_for_prompt(s));
}

/* --- jobs ----------------------------------------------------------------------------------- */

static void set_state(struct gw_policy *p, struct gw_policy_job *j, enum gw_job_state state) {
    p->n_in[j->state]--;
    p->n_in[state]++;
    j->state = state;
}

/* Its prompt has blocks, or will have, for samples that wait. */
static bool has_prompt(const struct gw_policy_job *j) {
    return (j->state == GW_JOB_PREFILL || j->state == GW_JOB_READY) && j->n_waiting > 0;
}

/* The oldest job of a state that has samples waiting, at least as young as `from`. */
static struct gw_policy_job *oldest(const struct gw_policy *p, enum gw_job_state state,
                                    uint64_t from) {
    struct gw_policy_job *best = NULL;
    if (p->n_in[state] == 0) return NULL;
    for (size_t i = 0; i < p->n_jobs; i++) {
        struct gw_policy_job *j = &p->jobs[i];
        if (j->state != state || j->n_waiting == 0 || j->order < from) continue;
        if (best == NULL || j->order < best->order) best = j;
    }
    return best;
}

/* The youngest job whose prompt has blocks for waiting samples; *n counts them. */
static struct gw_policy_job *youngest(const struct gw_policy *p, size_t *n) {
    struct gw_policy_job *best = NULL;
    *n = 0;
    for (size_t i = 0; i < p->n_jobs; i++) {
        struct gw_policy_job *j = &p->jobs[i];
        if (!has_prompt(j)) continue;
        ++*n;
        if (best == NULL || j->order > best->order) best = j;
    }
    return best;
}

static size_t youngest_sample(const struct gw_policy *p) {
    size_t best = 0;
    for (size_t i = 1; i < p->sizes.slots; i++)
        if (p->slots[i].busy && (!p->slots[best].busy || p->slots[i].order > p->slots[best].order))
            best = i;
    return best;
}

/* True when no sample runs and none could without another prompt being computed. */
static bool idle(const struct gw_policy *p) {
    return p->n_live == 0 && p->n_in[GW_JOB_PREFILL] == 0 && oldest(p, GW_JOB_READY, 0) == NULL;
}

/* --- moves ---------------------------------------------------------------------------------- */

/* More blocks are wanted than are spare. */
static struct gw_move grow(struct gw_policy *p, const struct gw_policy_blocks *have) {
    if (have->n_touched == p->sizes.n_blocks) return no_move;
    p->asked_at = have->n_touched;
    return (struct gw_move){.kind = GW_MOVE_GROW};
}

/* Touched blocks above those that must stay. */
static size_t blocks_above_least(const struct gw_policy *p, size_t n_touched) {
    size_t least = gw_policy_least_blocks(&p->sizes);
    for (size_t i = 0; i < p->n_jobs; i++)
        if (has_prompt(&p->jobs[i])) least += gw_kv_blocks_for(p->jobs[i].n_prompt);
    return n_touched > least ? n_touched - least : 0;
}

static void park(struct gw_policy *p, struct gw_policy_job *j) {
    if (j->state == GW_JOB_PREFILL) p->n_promised -= promised_to_prompt(j);
    set_state(p, j, GW_JOB_PARKED);
}

static void empty_slot(struct gw_policy *p, struct gw_policy_slot *s) {
    p->n_promised -= promised_to_sample(s);
    p->n_live--;
    s->busy = false;
}

/* Puts the youngest thing back into the queue; no move when only one is left. */
static struct gw_move put_back_youngest(struct gw_policy *p) {
    size_t n_prompts;
    struct gw_policy_job *j = youngest(p, &n_prompts);
    if (n_prompts > (p->n_live > 0 ? 0 : 1)) {
        park(p, j);
        return (struct gw_move){.kind = GW_MOVE_PARK, .job = (size_t)(j - p->jobs)};
    }
    if (p->n_live <= 1) return no_move;
    const size_t slot = youngest_sample(p);
    struct gw_policy_slot *s = &p->slots[slot];
    j = &p->jobs[s->job];
    empty_slot(p, s);
    /* Its prompt's blocks were let go. */
    if (j->state == GW_JOB_READY && j->n_waiting == 0) park(p, j);
    j->waiting[j->n_waiting++] = (uint32_t)s->want;
    p->n_waiting++;
    return (struct gw_move){.kind = GW_MOVE_RESTART, .job = s->job, .slot = slot};
}

/* If memory is short, gives back all that is spare, after making sure that this is `goal`, or as
 * much as does not have to stay. */
static struct gw_move relieve(struct gw_policy *p, const struct gw_policy_blocks *have) {
    if (p->goal == 0) return no_move;
    const size_t spare = spare_blocks(p, have);
    const size_t above = blocks_above_least(p, have->n_touched);
    if (spare < p->goal && spare < above) {
        const struct gw_move move = put_back_youngest(p);
        if (move.kind != GW_MOVE_NONE) return move;
    }
    p->goal = 0;
    return (struct gw_move){.kind = GW_MOVE_GIVE_BACK, .n_blocks = GW_MIN(spare, above)};
}

static struct gw_move start(struct gw_policy *p, const struct gw_policy_blocks *have) {
    if (p->n_live == p->sizes.slots || p->n_waiting == 0) return no_move;
    struct gw_policy_job *j = oldest(p, GW_JOB_READY, 0);
    if (j == NULL) return no_move;
    const size_t want = j->waiting[j->n_waiting - 1];
    const struct gw_policy_slot s = {.busy = true,
                                     .job = (size_t)(j - p->jobs),
                                     .want = want,
                                     .n_blocks = shared_blocks(j),
                                     .most_blocks = most_blocks(j, want),
                                     .order = p->next_start};
    if (spare_blocks(p, have) < promised_to_sample(&s)) return grow(p, have);
    while (p->slots[p->slot].busy) p->slot++;
    p->slots[p->slot] = s;
    p->next_start++;
    p->n_promised += promised_to_sample(&s);
    j->n_waiting--;
    p->n_waiting--;
    p->n_live++;
    return (struct gw_move){.kind = GW_MOVE_START, .job = s.job, .slot = p->slot};
}

static void compute_prompt(struct gw_policy *p, struct gw_policy_job *j) {
    set_state(p, j, GW_JOB_PREFILL);
    j->n_prefilled = 0;
    p->n_promised += promised_to_prompt(j);
}

/* Has parked prompts recomputed: the counts alone change. */
static struct gw_move resume(struct gw_policy *p, const struct gw_policy_blocks *have) {
    struct gw_policy_job *j;
    while ((j = oldest(p, GW_JOB_PARKED, 0)) != NULL) {
        if (!idle(p) && spare_blocks(p, have) < room_for_prompt(&p->sizes)) return grow(p, have);
        compute_prompt(p, j);
    }
    return no_move;
}

/* Fetches jobs while fewer samples wait than would fill the free slots and half of all. */
static struct gw_move fetch(struct gw_policy *p, const struct gw_policy_blocks *have) {
    const size_t slots = p->sizes.slots, ahead = slots - p->n_live + (slots + 1) / 2;
    if (p->no_more_jobs || p->n_waiting >= ahead || p->n_in[GW_JOB_FREE] == 0 ||
        p->n_in[GW_JOB_PARKED] > 0)
        return no_move;
    if (!idle(p) && spare_blocks(p, have) < room_for_prompt(&p->sizes)) return grow(p, have);
    size_t job = 0;
    while (p->jobs[job].state != GW_JOB_FREE) job++;
    return (struct gw_move){.kind = GW_MOVE_FETCH, .job = job};
}

struct gw_move gw_policy_next_move(struct gw_policy *p, const struct gw_policy_blocks *have) {
    static struct gw_move (*const phases[GW_PHASE_END])(
        struct gw_policy *, const struct gw_policy_blocks *) = {relieve, start, resume, fetch};
    while (p->phase < GW_PHASE_END) {
        /* When asking for blocks has brought none, the phase is over. */
        const bool refused = p->asked_at == have->n_touched;
        const struct gw_move move = refused ? no_move : phases[p->phase](p, have);
        if (move.kind != GW_MOVE_NONE) return move;
        p->phase++;
        p->asked_at = SIZE_MAX;
    }
    return no_move;
}

size_t gw_policy_next_piece(struct gw_policy *p, size_t *job) {
    if (p->room == 0 || p->n_finishing >= p->sizes.max_finishing) return 0;
    struct gw_policy_job *j = oldest(p, GW_JOB_PREFILL, p->next_piece);
    if (j == NULL) return 0;
    const size_t n = GW_MIN(p->room, j->n_prompt - j->n_prefilled);
    p->n_promised -= promised_to_prompt(j);
    j->n_prefilled += n;
    p->n_promised += promised_to_prompt(j);
    p->room -= n;
    p->n_finishing += j->n_prefilled == j->n_prompt;
    p->next_piece = j->order + 1;
    *job = (size_t)(j - p->jobs);
    return n;
}

/* --- what the driver tells ------------------------------------------------------------------ */

void gw_policy_init(struct gw_policy *p, const struct gw_policy_sizes *sizes,
                    struct gw_policy_job *jobs, size_t n_jobs, struct gw_policy_slot *slots) {
    *p = (struct gw_policy){.sizes = *sizes, .jobs = jobs, .n_jobs = n_jobs, .slots = slots};
    gw_policy_reset(p);
}

void gw_policy_reset(struct gw_policy *p) {
    for (size_t i = 0; i < p->n_jobs; i++)
        p->jobs[i] = (struct gw_policy_job){.waiting = p->jobs[i].waiting};
    for (size_t i = 0; i < p->sizes.slots; i++) p->slots[i] = (struct gw_policy_slot){0};
    *p = (struct gw_policy){.sizes = p->sizes,
                            .jobs = p->jobs,
                            .n_jobs = p->n_jobs,
                            .slots = p->slots,
                            .n_in[GW_JOB_FREE] = p->n_jobs,
                            .phase = GW_PHASE_END};
}

void gw_policy_begin_step(struct gw_policy *p, size_t goal) {
    p->phase = GW_PHASE_RELIEVE;
    p->goal = goal;
    p->asked_at = SIZE_MAX;
    p->slot = 0;
    p->room = p->sizes.prefill_rows;
    p->n_finishing = 0;
    p->next_piece = 0;
}

void gw_policy_take(struct gw_policy *p, size_t job, size_t n_prompt, const struct gw_want *wants,
                    size_t n_wants) {
    struct gw_policy_job *j = &p->jobs[job];
    j->order = p->next_order++;
    j->n_prompt = n_prompt;
    j->wants = wants;
    j->n_wants = j->n_waiting = n_wants;
    j->n_done = 0;
    for (size_t i = 0; i < n_wants; i++) j->waiting[i] = (uint32_t)(n_wants - 1 - i);
    p->n_waiting += n_wants;
    compute_prompt(p, j);
}

void gw_policy_no_more(struct gw_policy *p) { p->no_more_jobs = true; }

void gw_policy_prompt_done(struct gw_policy *p, size_t job) {
    set_state(p, &p->jobs[job], GW_JOB_READY);
}

size_t gw_policy_add_tokens(struct gw_policy *p, size_t slot, size_t n) {
    struct gw_policy_slot *s = &p->slots[slot];
    s->n_tokens += n;
    /* Before its first own token is stored it still shares the prompt's partial block. */
    if (s->n_tokens < 2) return 0;
    const size_t has = gw_kv_blocks_for(p->jobs[s->job].n_prompt + s->n_tokens - 1);
    const size_t taken = GW_MIN(has, s->most_blocks) - s->n_blocks;
    s->n_blocks += taken;
    p->n_promised -= taken;
    return taken;
}

bool gw_policy_end_sample(struct gw_policy *p, size_t slot) {
    struct gw_policy_job *j = &p->jobs[p->slots[slot].job];
    empty_slot(p, &p->slots[slot]);
    if (++j->n_done < j->n_wants) return false;
    set_state(p, j, GW_JOB_FREE);
    return true;
}

/* test_policy.c - the scheduling policy driven alone, through made-up queues and moods of memory:
 * whatever the sizes, no promised block is lacking, the oldest sample goes on, all samples end, and
 * what has room is started. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "engine/policy.h"
#include "model/kv.h"

enum {
    MOST_BLOCKS = 400,
    MOST_SEQ = 16, /* blocks of one sequence */
    MOST_SLOTS = 12,
    MOST_JOBS = 2 * MOST_SLOTS + 2,
    MOST_PROMPTS = 24,
    MOST_GROUP = 6,
    MOST_PROMPT = 400,
    MOST_NEW = 300
};

struct seq {
    size_t n, n_tokens;
    size_t blocks[MOST_SEQ];
};

/* A prompt of the queue, and what has become of its samples. */
struct prompt {
    size_t length, n_wants;
    struct gw_want wants[MOST_GROUP];
    size_t tokens[MOST_GROUP]; /* after which each ends, at most wants[].max_tokens */
    size_t n_ended[MOST_GROUP];
};

struct world {
    uint32_t random;
    /* the arena: block by block, so that nothing is counted as the policy counts */
    size_t n_blocks;
    size_t refs[MOST_BLOCKS];
    bool touched[MOST_BLOCKS];
    /* moods, of 256 */
    uint32_t granted, short_steps;
    /* the queue */
    size_t n_prompts, next, n_samples, n_ended;
    struct prompt prompts[MOST_PROMPTS];
    /* the policy and its tables */
    struct gw_policy policy;
    struct gw_policy_job jobs[MOST_JOBS];
    struct gw_policy_slot slots[MOST_SLOTS];
    uint32_t waiting[MOST_JOBS][MOST_GROUP];
    struct seq prompt_seqs[MOST_JOBS], slot_seqs[MOST_SLOTS];
    size_t prompt_of[MOST_JOBS];
    bool grew; /* in this step */
    /* seen in this case */
    size_t n_restarts, n_given_back, n_steps;
};

static size_t draw(struct world *w, size_t lo, size_t hi) {
    w->random = w->random * 1664525 + 1013904223;
    return lo + (size_t)(((uint64_t)w->random * (hi - lo + 1)) >> 32);
}

/* --- the arena ------------------------------------------------------------------------------ */

static struct gw_policy_blocks blocks_now(const struct world *w) {
    struct gw_policy_blocks b = {0, 0};
    for (size_t i = 0; i < w->n_blocks; i++) {
        b.n_touched += w->touched[i];
        b.n_free += w->touched[i] && w->refs[i] == 0;
    }
    return b;
}

static void touch(struct world *w, size_t n) {
    for (size_t i = 0; i < w->n_blocks && n > 0; i++) {
        n -= !w->touched[i];
        w->touched[i] = true;
    }
}

static void give_back(struct world *w, size_t n) {
    w->n_given_back += n;
    for (size_t i = w->n_blocks; i-- > 0 && n > 0;) {
        if (!w->touched[i] || w->refs[i] > 0) continue;
        w->touched[i] = false;
        n--;
    }
    assert_int_equal(n, 0);
}

static size_t take_block(struct world *w) {
    for (size_t i = 0; i < w->n_blocks; i++) {
        if (!w->touched[i] || w->refs[i] > 0) continue;
        w->refs[i] = 1;
        return i;
    }
    fail_msg("a block that was promised is not there");
    return 0;
}

/* n more tokens.  Returns the shared block that was copied: it is held until the step is over. */
static void extend(struct world *w, struct seq *s, size_t n, size_t *n_copied, size_t *copied) {
    if (s->n_tokens % GW_KV_BLOCK > 0 && w->refs[s->blocks[s->n - 1]] > 1) {
        copied[(*n_copied)++] = s->blocks[s->n - 1];
        s->blocks[s->n - 1] = take_block(w);
    }
    s->n_tokens += n;
    while (s->n < gw_kv_blocks_for(s->n_tokens)) {
        assert_true(s->n < MOST_SEQ);
        s->blocks[s->n++] = take_block(w);
    }
}

static void release(struct world *w, struct seq *s) {
    while (s->n > 0) w->refs[s->blocks[--s->n]]--;
    s->n_tokens = 0;
}

/* --- what must hold ------------------------------------------------------------------------- */

/* Free blocks that are not promised, by the arena's own blocks. */
static size_t spare(const struct world *w) {
    size_t promised = 0;
    for (size_t i = 0; i < w->policy.sizes.slots; i++) {
        const struct gw_policy_slot *s = &w->slots[i];
        if (!s->busy) continue;
        const struct prompt *p = &w->prompts[w->prompt_of[s->job]];
        const size_t own = s->n_tokens > 1 ? w->slot_seqs[i].n : p->length / GW_KV_BLOCK;
        promised += gw_kv_blocks_for(p->length + p->wants[s->want].max_tokens - 1) - own;
    }
    for (size_t i = 0; i < w->policy.n_jobs; i++)
        if (w->jobs[i].state == GW_JOB_PREFILL)
            promised += gw_kv_blocks_for(w->prompts[w->prompt_of[i]].length) - w->prompt_seqs[i].n;
    const size_t n_free = blocks_now(w).n_free;
    if (promised > n_free) fail_msg("%zu blocks are promised, %zu are free", promised, n_free);
    return n_free - promised;
}

static size_t oldest_live(const struct world *w) {
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < w->policy.sizes.slots; i++)
        if (w->slots[i].busy && (best == SIZE_MAX || w->slots[i].order < w->slots[best].order))
            best = i;
    return best;
}

/* The oldest job whose prompt is there for waiting samples. */
static size_t oldest_ready(const struct world *w) {
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < w->policy.n_jobs; i++)
        if (w->jobs[i].state == GW_JOB_READY && w->jobs[i].n_waiting > 0 &&
            (best == SIZE_MAX || w->jobs[i].order < w->jobs[best].order))
            best = i;
    return best;
}

/* What a parked job leaves: nothing younger, and something that goes on. */
static void check_parked(const struct world *w, size_t job) {
    size_t n_left = w->policy.n_live;
    for (size_t i = 0; i < w->policy.n_jobs; i++) {
        const struct gw_policy_job *j = &w->jobs[i];
        if ((j->state != GW_JOB_PREFILL && j->state != GW_JOB_READY) || j->n_waiting == 0) continue;
        assert_true(j->order < w->jobs[job].order);
        n_left++;
    }
    assert_true(n_left > 0);
}

/* After the last move nothing is left undone that has room. */
static void check_nothing_is_left(const struct world *w) {
    const struct gw_policy *p = &w->policy;
    const size_t left = spare(w), job = oldest_ready(w);
    /* (Growth refused to a sample may be granted to the next prompt.) */
    const bool came_late = w->grew && w->granted < 256;
    if (job != SIZE_MAX && p->n_live < p->sizes.slots && !came_late) {
        const struct prompt *q = &w->prompts[w->prompt_of[job]];
        const size_t want = w->jobs[job].waiting[w->jobs[job].n_waiting - 1];
        assert_true(left < gw_kv_blocks_for(q->length + q->wants[want].max_tokens - 1) -
                               q->length / GW_KV_BLOCK);
    }
    const size_t ahead = p->sizes.slots - p->n_live + (p->sizes.slots + 1) / 2;
    if (w->next < w->n_prompts && p->n_waiting < ahead && p->n_in[GW_JOB_FREE] > 0)
        assert_true(left < gw_policy_min_blocks(p->sizes.max_prompt, p->sizes.max_new) + 1);
}

/* --- a driver ------------------------------------------------------------------------------- */

static void add_token(struct world *w, size_t slot) {
    const size_t job = w->slots[slot].job, want = w->slots[slot].want;
    struct prompt *p = &w->prompts[w->prompt_of[job]];
    gw_policy_add_tokens(&w->policy, slot, 1);
    if (w->slots[slot].n_tokens < p->tokens[want]) return;
    p->n_ended[want]++;
    w->n_ended++;
    release(w, &w->slot_seqs[slot]);
    if (gw_policy_end_sample(&w->policy, slot)) {
        for (size_t i = 0; i < p->n_wants; i++) assert_int_equal(p->n_ended[i], 1);
        assert_int_equal(w->prompt_seqs[job].n, 0);
    }
}

static void start(struct world *w, const struct gw_move *m) {
    struct seq *s = &w->slot_seqs[m->slot], *prompt = &w->prompt_seqs[m->job];
    assert_true(w->slots[m->slot].busy && w->slots[m->slot].job == m->job && s->n == 0);
    assert_int_equal(prompt->n_tokens, w->prompts[w->prompt_of[m->job]].length);
    *s = *prompt;
    for (size_t i = 0; i < s->n; i++) w->refs[s->blocks[i]]++;
    if (w->jobs[m->job].n_waiting == 0) release(w, prompt);
    spare(w);
    add_token(w, m->slot);
}

static void carry_out(struct world *w, const struct gw_move *m, size_t oldest, size_t next_job) {
    switch (m->kind) {
    case GW_MOVE_NONE: break;
    case GW_MOVE_GROW:
        if (draw(w, 0, 255) >= w->granted) break;
        touch(w, 5);
        w->grew = true;
        break;
    case GW_MOVE_PARK:
        check_parked(w, m->job);
        release(w, &w->prompt_seqs[m->job]);
        break;
    case GW_MOVE_RESTART:
        assert_int_not_equal(m->slot, oldest);
        release(w, &w->slot_seqs[m->slot]);
        w->n_restarts++;
        break;
    case GW_MOVE_GIVE_BACK:
        give_back(w, m->n_blocks);
        assert_true(blocks_now(w).n_touched >= gw_policy_least_blocks(&w->policy.sizes));
        break;
    case GW_MOVE_START:
        assert_int_equal(m->job, next_job);
        start(w, m);
        break;
    case GW_MOVE_FETCH:
        assert_int_equal(w->jobs[m->job].state, GW_JOB_FREE);
        if (w->next == w->n_prompts) {
            gw_policy_no_more(&w->policy);
            break;
        }
        w->prompt_of[m->job] = w->next;
        const struct prompt *p = &w->prompts[w->next++];
        gw_policy_take(&w->policy, m->job, p->length, p->wants, p->n_wants);
        break;
    }
    spare(w);
}

static void make_moves(struct world *w) {
    const bool is_short = draw(w, 0, 255) < w->short_steps;
    struct gw_move m;
    size_t n_moves = 0;
    w->grew = false;
    gw_policy_begin_step(&w->policy, is_short ? draw(w, 1, 12) : 0);
    do {
        const struct gw_policy_blocks have = blocks_now(w);
        const size_t oldest = oldest_live(w), next_job = oldest_ready(w);
        m = gw_policy_next_move(&w->policy, &have);
        carry_out(w, &m, oldest, next_job);
        assert_true(++n_moves < 2 * MOST_BLOCKS);
        assert_true(oldest == SIZE_MAX || m.kind == GW_MOVE_START || w->slots[oldest].busy);
    } while (m.kind != GW_MOVE_NONE);
    check_nothing_is_left(w);
}

/* A step; false when there was nothing to compute. */
static bool step(struct world *w) {
    struct gw_policy *p = &w->policy;
    size_t rows = 0, copied[MOST_SLOTS], n_copied = 0, n_finishing = 0, finishing[MOST_JOBS], n, i;
    uint64_t last = 0;
    make_moves(w);
    const size_t live = p->n_live;
    for (size_t k = 0; k < p->sizes.slots; k++)
        if (w->slots[k].busy) extend(w, &w->slot_seqs[k], 1, &n_copied, copied);
    while ((n = gw_policy_next_piece(p, &i)) > 0) {
        assert_true(rows == 0 || w->jobs[i].order > last); /* the oldest first */
        last = w->jobs[i].order;
        extend(w, &w->prompt_seqs[i], n, &n_copied, copied);
        rows += n;
        assert_int_equal(w->jobs[i].n_prefilled, w->prompt_seqs[i].n_tokens);
        if (w->jobs[i].n_prefilled == w->jobs[i].n_prompt) finishing[n_finishing++] = i;
    }
    assert_true(rows <= p->sizes.prefill_rows && n_finishing <= p->sizes.max_finishing);
    assert_true(rows == p->sizes.prefill_rows || n_finishing == p->sizes.max_finishing ||
                n_finishing == p->n_in[GW_JOB_PREFILL]);
    while (n_copied > 0) w->refs[copied[--n_copied]]--;
    for (size_t k = 0; k < p->sizes.slots; k++)
        if (w->slots[k].busy) add_token(w, k);
    while (n_finishing > 0) gw_policy_prompt_done(p, finishing[--n_finishing]);
    return live + rows > 0;
}

/* --- queues --------------------------------------------------------------------------------- */

static void make_queue(struct world *w, const struct gw_policy_sizes *s) {
    const size_t early = draw(w, 0, 1), group = draw(w, 1, MOST_GROUP);
    w->n_prompts = draw(w, 1, MOST_PROMPTS);
    for (size_t i = 0; i < w->n_prompts; i++) {
        struct prompt *p = &w->prompts[i];
        p->length = draw(w, 1, s->max_prompt);
        p->n_wants = draw(w, 1, group);
        w->n_samples += p->n_wants;
        for (size_t k = 0; k < p->n_wants; k++) {
            p->wants[k] = (struct gw_want){k, draw(w, 1, s->max_new)};
            p->tokens[k] = early ? draw(w, 1, p->wants[k].max_tokens) : p->wants[k].max_tokens;
        }
    }
}

static void make_world(struct world *w, uint32_t seed) {
    static const uint32_t moods[] = {0, 8, 100, 256};
    memset(w, 0, sizeof *w);
    w->random = seed * 2654435761u;
    struct gw_policy_sizes s = {.slots = draw(w, 1, MOST_SLOTS),
                                .prefill_rows = draw(w, 1, 300),
                                .max_finishing = draw(w, 1, 8),
                                .max_prompt = draw(w, 1, MOST_PROMPT),
                                .max_new = draw(w, 1, MOST_NEW)};
    const size_t least = gw_policy_min_blocks(s.max_prompt, s.max_new);
    s.n_blocks = least + draw(w, 0, 3) * draw(w, 0, (MOST_BLOCKS - least) / 3);
    w->n_blocks = s.n_blocks;
    w->granted = moods[draw(w, 0, 3)];
    w->short_steps = moods[draw(w, 0, 3)];
    make_queue(w, &s);
    for (size_t i = 0; i < MOST_JOBS; i++) w->jobs[i].waiting = w->waiting[i];
    gw_policy_init(&w->policy, &s, w->jobs, gw_policy_max_jobs(s.slots), w->slots);
    touch(w, gw_policy_least_blocks(&s));
}

/* Were only the oldest sample ever to go on, it would take no more steps than this. */
static size_t most_steps(const struct world *w) {
    const struct gw_policy_sizes *s = &w->policy.sizes;
    const size_t prefill = (s->max_prompt + s->prefill_rows - 1) / s->prefill_rows;
    return w->n_samples * (s->max_new + prefill);
}

static void all_samples_end(void **state) {
    (void)state;
    struct world *w = malloc(sizeof *w);
    size_t restarts = 0, given_back = 0;
    assert_non_null(w);
    for (uint32_t seed = 1; seed <= 1500; seed++) {
        make_world(w, seed);
        while (step(w))
            if (++w->n_steps > most_steps(w)) fail_msg("queue %u does not end", seed);
        if (w->n_ended != w->n_samples)
            fail_msg("queue %u: %zu of %zu samples end", seed, w->n_ended, w->n_samples);
        const struct gw_policy_blocks have = blocks_now(w);
        assert_int_equal(have.n_free, have.n_touched);
        assert_int_equal(w->policy.n_live + w->policy.n_waiting, 0);
        assert_int_equal(w->policy.n_in[GW_JOB_FREE], w->policy.n_jobs);
        restarts += w->n_restarts;
        given_back += w->n_given_back;
    }
    /* Otherwise little was tried. */
    assert_true(restarts > 10000 && given_back > 10000);
    free(w);
}

/* Two prompts of two samples, two slots: in what order things begin. */
static void the_oldest_prompt_comes_first(void **state) {
    (void)state;
    static const struct gw_want wants[2] = {{0, 4}, {1, 9}};
    const struct gw_policy_sizes sizes = {.slots = 2,
                                          .prefill_rows = 15,
                                          .max_finishing = 8,
                                          .n_blocks = 50,
                                          .max_prompt = 10,
                                          .max_new = 9};
    const struct gw_policy_blocks have = {50, 50};
    struct gw_policy_job jobs[2] = {0};
    struct gw_policy_slot slots[2];
    uint32_t waiting[2][2];
    struct gw_policy p;
    struct gw_move m;
    size_t job;
    for (size_t i = 0; i < 2; i++) jobs[i].waiting = waiting[i];
    gw_policy_init(&p, &sizes, jobs, 2, slots);
    gw_policy_begin_step(&p, 0);
    for (size_t i = 0; i < 2; i++) {
        m = gw_policy_next_move(&p, &have);
        assert_true(m.kind == GW_MOVE_FETCH && m.job == i);
        gw_policy_take(&p, i, 10, wants, 2);
    }
    assert_int_equal(gw_policy_next_move(&p, &have).kind, GW_MOVE_NONE);
    assert_true(gw_policy_next_piece(&p, &job) == 10 && job == 0);
    assert_true(gw_policy_next_piece(&p, &job) == 5 && job == 1); /* what is left of the rows */
    assert_int_equal(gw_policy_next_piece(&p, &job), 0);
    gw_policy_prompt_done(&p, 0);
    gw_policy_begin_step(&p, 0);
    for (size_t i = 0; i < 2; i++) {
        m = gw_policy_next_move(&p, &have);
        assert_true(m.kind == GW_MOVE_START && m.job == 0 && m.slot == i && slots[i].want == i);
        gw_policy_add_tokens(&p, i, 1);
    }
    assert_int_equal(gw_policy_next_move(&p, &have).kind, GW_MOVE_NONE);
    /* Memory is short: the prompt computed ahead goes first, then the younger sample; the older
     * one stays. */
    const struct gw_policy_blocks few = {.n_touched = 8, .n_free = 5};
    gw_policy_begin_step(&p, 100);
    m = gw_policy_next_move(&p, &few);
    assert_true(m.kind == GW_MOVE_PARK && m.job == 1);
    m = gw_policy_next_move(&p, &few);
    assert_true(m.kind == GW_MOVE_RESTART && m.slot == 1);
    assert_int_equal(jobs[0].state, GW_JOB_PARKED);
    m = gw_policy_next_move(&p, &few);
    assert_int_equal(m.kind, GW_MOVE_GIVE_BACK);
    /* What was put back is computed again, the older prompt first. */
    assert_int_equal(gw_policy_next_move(&p, &have).kind, GW_MOVE_NONE);
    assert_true(gw_policy_next_piece(&p, &job) == 10 && job == 0);
    assert_true(gw_policy_next_piece(&p, &job) == 5 && job == 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_samples_end),
        cmocka_unit_test(the_oldest_prompt_comes_first),
    };
    return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}

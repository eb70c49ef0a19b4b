/* policy.h - what the decode engine starts when, over counts alone.
 *
 *     queue --fetch--> PREFILL --prompt computed--> READY --last sample started--> READY, no blocks
 *                         ^  |                        |                                |
 *                         |  '-----> PARKED <---------'<------ a sample is put back ---'
 *                         '------------'                                 all samples done: FREE
 *
 * A prompt is a length here, a sample a limit and how far it has come, and of the arena only the
 * touched and the free blocks count.  Two drive it: schedule.c with real blocks, and
 * service/rollout/queue.c, which plays a queue without a model.  In each step
 *
 *     begin_step;  next_move until there is none, each carried out before the next is asked for;
 *     one row for every busy slot;  next_piece of a prompt until there is none
 *
 * and then the driver reports what came of it: prompt_done, add_tokens, end_sample.  Nothing is
 * allocated, and nothing but the counts decides.  Why it is as it is stands in policy.c. */
#ifndef GW_ENGINE_POLICY_H
#define GW_ENGINE_POLICY_H

#include "base/base.h"

/* One sample wanted of a prompt. */
struct gw_want {
    uint64_t sample;   /* index in its group: part of the random key */
    size_t max_tokens; /* >= 1, at most the engine's max_new */
};

enum gw_job_state {
    GW_JOB_FREE,
    GW_JOB_PARKED,  /* some of its samples wait, and its prompt has no blocks */
    GW_JOB_PREFILL, /* its prompt is being computed; all its blocks are promised */
    GW_JOB_READY,   /* its prompt is there, as long as some of its samples wait */
    GW_JOB_STATES
};

/* A prompt and its samples. */
struct gw_policy_job {
    enum gw_job_state state;
    uint64_t order;               /* of arrival */
    size_t n_prompt, n_prefilled; /* tokens: of the prompt, and of those that have blocks */
    const struct gw_want *wants;  /* [n_wants] the driver's */
    size_t n_wants, n_waiting, n_done;
    uint32_t *waiting; /* [n_wants] wants to start, the next one last; the driver's memory */
};

/* A sample that runs. */
struct gw_policy_slot {
    bool busy;
    size_t job, want;
    size_t n_tokens;    /* drawn so far: all but the last have blocks */
    size_t n_blocks;    /* that it holds alone or shares to its end */
    size_t most_blocks; /* most that it may hold: the rest is promised */
    uint64_t order;     /* of starting */
};

struct gw_policy_sizes {
    size_t slots;
    size_t prefill_rows;  /* prompt tokens computed in one step ... */
    size_t max_finishing; /* ... and prompts that they may complete */
    size_t n_blocks;      /* of the arena, touched or not: at least gw_policy_min_blocks() */
    size_t max_prompt, max_new;
};

/* What there is of blocks now. */
struct gw_policy_blocks {
    size_t n_touched, n_free; /* free: those of the touched ones that nothing lies in */
};

enum gw_move_kind {
    GW_MOVE_NONE,
    GW_MOVE_GROW,      /* touch more blocks; if that may not be, leave them as they are */
    GW_MOVE_PARK,      /* let the blocks of `job`'s prompt go */
    GW_MOVE_RESTART,   /* let the blocks of the sample in `slot` go: it is recomputed later */
    GW_MOVE_GIVE_BACK, /* give back n_blocks free blocks */
    GW_MOVE_START,     /* the slot's sample begins, with the token drawn as its prompt ended; if its
                          job has none waiting any more, the prompt's own hold on blocks ends */
    GW_MOVE_FETCH      /* gw_policy_take the queue's next job as `job`, or gw_policy_no_more */
};

struct gw_move {
    enum gw_move_kind kind;
    size_t job, slot, n_blocks;
};

enum gw_policy_phase {
    GW_PHASE_RELIEVE,
    GW_PHASE_START,
    GW_PHASE_RESUME,
    GW_PHASE_FETCH,
    GW_PHASE_END
};

struct gw_policy {
    struct gw_policy_sizes sizes;
    struct gw_policy_job *jobs; /* [n_jobs] */
    size_t n_jobs;
    struct gw_policy_slot *slots; /* [sizes.slots] */
    size_t n_live;                /* busy slots */
    size_t n_waiting;             /* samples of fetched jobs that are to be started */
    size_t n_promised;            /* blocks that samples and prompts may still take */
    size_t n_in[GW_JOB_STATES];   /* jobs in each state */
    uint64_t next_order, next_start;
    bool no_more_jobs;
    /* of the step that is being put together */
    enum gw_policy_phase phase;
    size_t goal;         /* blocks to be made spare; 0: memory is not short */
    size_t asked_at;     /* touched blocks when growth was last asked for */
    size_t slot;         /* all before it are busy */
    size_t room;         /* rows of prefill that are left ... */
    size_t n_finishing;  /* ... and prompts that the others complete */
    uint64_t next_piece; /* order of the first job that has none of these rows yet */
};

/* Most jobs that are between `take` and their last sample's end at once. */
size_t gw_policy_max_jobs(size_t slots);
/* Blocks that let one sample of the longest prompt run. */
size_t gw_policy_min_blocks(size_t max_prompt, size_t max_new);
/* Blocks that stay touched however short memory is, beside those of prompts that have samples
 * waiting: with them some sample of any of these can run. */
size_t gw_policy_least_blocks(const struct gw_policy_sizes *sizes);

/* Begins with an empty queue.  jobs [n_jobs <= gw_policy_max_jobs(): fewer will do for a short
 * queue] and slots [sizes->slots] are the driver's, as is each job's `waiting`, which it sets. */
void gw_policy_init(struct gw_policy *policy, const struct gw_policy_sizes *sizes,
                    struct gw_policy_job *jobs, size_t n_jobs, struct gw_policy_slot *slots);
/* Forgets all jobs and samples. */
void gw_policy_reset(struct gw_policy *policy);

/* goal: blocks that should be spare, if memory is short; else 0. */
void gw_policy_begin_step(struct gw_policy *policy, size_t goal);
/* The next thing to do, GW_MOVE_NONE after the last.  What it changes in the counts is done. */
struct gw_move gw_policy_next_move(struct gw_policy *policy, const struct gw_policy_blocks *have);
/* The next n tokens of a job's prompt to compute in this step, which from now on have blocks; 0: no
 * more.  They complete the prompt when n_prefilled is n_prompt. */
size_t gw_policy_next_piece(struct gw_policy *policy, size_t *job);

/* Answers to GW_MOVE_FETCH: a prompt of n_prompt tokens and its samples; the queue is empty. */
void gw_policy_take(struct gw_policy *policy, size_t job, size_t n_prompt,
                    const struct gw_want *wants, size_t n_wants);
void gw_policy_no_more(struct gw_policy *policy);

/* The prompt has been computed, and the first token of its samples drawn. */
void gw_policy_prompt_done(struct gw_policy *policy, size_t job);
/* n more tokens were drawn for the sample in a slot.  Returns how many blocks the ones before them
 * took. */
size_t gw_policy_add_tokens(struct gw_policy *policy, size_t slot, size_t n);
/* The sample in a slot is complete.  Returns true when it was the last one of its job, which is
 * free then. */
bool gw_policy_end_sample(struct gw_policy *policy, size_t slot);

#endif

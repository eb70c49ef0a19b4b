/* impl.h - the engine's state, shared by engine.c (memory, threads) and schedule.c (what is done
 * between two steps). */
#ifndef GW_ENGINE_IMPL_H
#define GW_ENGINE_IMPL_H

#include "engine/engine.h"
#include "engine/policy.h"

/* Prompts whose prefill may end in one step: each asks for a row of the LM head. */
enum { GW_ENGINE_MAX_FINISHING = 8 };

struct gw_engine_job {
    const struct gw_policy_job *counts;
    struct gw_job job;
    struct gw_rng rng;
    struct gw_seq seq;  /* the prompt's blocks, until the last sample has been started */
    size_t *emitted;    /* [max_group] tokens of each want that the client has been given */
    int32_t *first_ids; /* [max_group] the first token of each want, drawn as prefill ends */
    float *first_logprobs;
    uint64_t *seen; /* tokens of the prompt */
};

struct gw_slot {
    const struct gw_policy_slot *counts;
    struct gw_seq seq;
    int32_t *ids; /* [max_new] */
    float *logprobs;
    uint64_t *seen;
};

/* One token to draw after the forward pass. */
struct gw_draw {
    size_t out_row;
    struct gw_engine_job *job;
    struct gw_slot *slot; /* NULL: the first token of want `want` */
    size_t want, position;
    int32_t id;
    float logprob;
};

struct gw_engine {
    struct gw_engine_opts opts;
    int32_t *eos;
    const struct gw_model *model;
    struct gw_pool *pool;
    struct gw_kv *kv;
    struct gw_workspace *ws;
    struct gw_head *head;
    struct gw_policy policy;
    struct gw_engine_job *jobs; /* [policy.n_jobs]; each with the policy's of the same index */
    struct gw_slot *slots;      /* [opts.slots]; likewise */
    struct gw_draw *draws;      /* [slots + MAX_FINISHING * max_group] */
    size_t n_draws;
    struct gw_mem memory; /* tables of jobs and slots, sampler scratch */
    char *sampler_scratch;
    size_t sampler_scratch_bytes; /* per thread */
    /* of the run in progress */
    const struct gw_engine_client *client;
    struct gw_engine_stats stats;
    struct gwen_err *err;
    enum gwen_status status;
    bool go;
};

/* How want `want` of a job is drawn. */
static inline struct gw_sampling gw_job_sampling(const struct gw_job *job, size_t want) {
    struct gw_sampling s = job->sampling;
    if (job->greedy_first && job->wants[want].sample == 0) s.temperature = 0;
    return s;
}

/* Thread 0, between steps: takes in the last step's draws, starts and ends samples, and puts
 * together the next batch.  Sets e->go. */
void gw_engine_schedule(struct gw_engine *e);
/* Gives back everything a run left behind. */
void gw_engine_reset(struct gw_engine *e);

#endif

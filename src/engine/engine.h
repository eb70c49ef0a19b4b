/* engine.h - the decode engine: groups of samples for a stream of prompts, in large batches.
 *
 *     queue of jobs --prefill once--> prompt KV --fork per sample--> slot 0..B-1 --done--> client
 *                                                       ^                |
 *                                                       '--- refilled ---'
 *
 * A job is a prompt and the samples wanted of it.  Every step runs one batch: a row for each
 * occupied slot, and beside them a piece of the prompts being prefilled, so that the next
 * group is ready when slots fall free.  A sample depends on its prompt, its key and its sampling
 * parameters, never on the slot, the step or its neighbours.  Nothing is allocated while it runs.
 *
 * With a budget the KV arena is touched as it is needed, and when memory becomes short the youngest
 * samples are put back into the queue and their blocks given back; recomputed, they come out the
 * same.  The oldest sample always goes on. */
#ifndef GW_ENGINE_ENGINE_H
#define GW_ENGINE_ENGINE_H

#include "base/rng.h"
#include "engine/policy.h"
#include "model/head.h"
#include "model/sampler.h"

struct gw_job {
    const int32_t *prompt; /* all four arrays live until job_done; owned by the client */
    size_t n_prompt;       /* 1 .. the engine's max_prompt */
    const struct gw_want *wants;
    size_t n_wants;        /* 1 .. the engine's max_group */
    struct gw_rng_key key; /* seed, stream, step and prompt_key count */
    struct gw_sampling sampling;
    bool greedy_first; /* the sample with index 0 is greedy, whatever `sampling` says */
    void *user;
};

enum gw_finish { GW_FINISH_STOP, GW_FINISH_LENGTH };

struct gw_sample {
    const struct gw_job *job;
    size_t want; /* index into job->wants */
    const int32_t *ids;
    const float *logprobs;
    size_t n;
    enum gw_finish finish;
};

/* All callbacks come from the thread that called gw_engine_run. */
struct gw_engine_client {
    void *ctx;
    /* The next job; *more = false when there are none left. */
    enum gwen_status (*next)(void *ctx, struct gw_job *job, bool *more, struct gwen_err *err);
    /* A token was drawn (it is the last of sample->ids; finish is not set yet).  Returns true to
     * end the sample with GW_FINISH_STOP.  Each token is emitted once, also when its sample had to
     * be recomputed.  May be NULL. */
    bool (*token)(void *ctx, const struct gw_sample *sample);
    /* A sample is complete; *sample is valid during the call. */
    enum gwen_status (*done)(void *ctx, const struct gw_sample *sample, struct gwen_err *err);
    /* All samples of a job are complete; the engine reads its arrays no more.  May be NULL. */
    void (*job_done)(void *ctx, const struct gw_job *job);
    /* Once a step; false ends the run with GWEN_ERR_CANCELLED.  May be NULL. */
    bool (*progress)(void *ctx);
};

/* The usual prefill_rows: enough to compute at full speed, few enough not to
 * hold decoding up. */
enum { GW_ENGINE_PREFILL_ROWS = 256 };

struct gw_engine_opts {
    size_t slots;        /* rollout batch size: samples decoded together */
    size_t prefill_rows; /* prompt tokens prefilled beside them in one step */
    size_t n_blocks;     /* KV blocks: at least gw_engine_min_blocks() */
    /* Prompt and new tokens of one sample together must be within the model's context. */
    size_t max_prompt, max_new, max_group;
    struct gw_eos eos;              /* ids that end a sample; copied */
    const struct gw_budget *budget; /* outlives the engine; NULL: all blocks are touched at once */
    size_t chunk_bytes;             /* of the arena's growth; 0: GW_KV_CHUNK_BYTES */
};

struct gw_engine_stats {
    uint64_t steps, prefill_tokens, new_tokens;
    uint64_t live_rows;   /* sum over steps of occupied slots ... */
    uint64_t queued_live; /* ... and over the steps while samples were waiting */
    uint64_t queued_steps;
    uint64_t peak_blocks, touched_blocks; /* most in use, most touched */
    uint64_t restarted;                   /* times that a sample was put back into the queue */
    uint64_t given_back;                  /* blocks */
};

struct gw_engine;

/* Most jobs that are between `next` and `job_done` at once. */
size_t gw_engine_max_jobs(size_t slots);
/* Blocks that let one sample of the longest prompt run. */
size_t gw_engine_min_blocks(size_t max_prompt, size_t max_new);
/* Blocks that keep `slots` samples of such prompts running, `group` to a prompt. */
size_t gw_engine_good_blocks(size_t slots, size_t group, size_t max_prompt, size_t max_new);

/* The engine as its policy sees it. */
struct gw_policy_sizes gw_engine_policy_sizes(const struct gw_engine_opts *opts);

/* What gw_engine_create takes besides the weights: KV arena and everything else, in bytes. */
void gw_engine_bytes(const struct gw_config *cfg, enum gw_panel_format format,
                     const struct gw_engine_opts *opts, int n_threads, size_t *kv, size_t *scratch);

enum gwen_status gw_engine_create(const struct gw_model *model, struct gw_pool *pool,
                                  const struct gw_engine_opts *opts, struct gw_engine **out,
                                  struct gwen_err *err);
void gw_engine_free(struct gw_engine *engine);

/* Runs until the queue is empty, an error, or a callback says stop.  The engine can run again. */
enum gwen_status gw_engine_run(struct gw_engine *engine, const struct gw_engine_client *client,
                               struct gw_engine_stats *stats, struct gwen_err *err);

#endif

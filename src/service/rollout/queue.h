/* queue.h - a rollout played through without a model: how long would it take with these sizes?
 *
 * What starts when is decided by the decode engine's own policy (engine/policy.h), driven here with
 * counted blocks; what a step takes comes from struct gw_speed.  So the ragged end, where few rows
 * are left, counts for what it is, and so does memory that keeps slots empty. */
#ifndef GW_SERVICE_ROLLOUT_QUEUE_H
#define GW_SERVICE_ROLLOUT_QUEUE_H

#include "service/rollout/speed.h"

struct gw_queue_opts {
    size_t n_prompts, groups, prompt_tokens;
    size_t max_new;              /* most new tokens of a sample */
    size_t length_lo, length_hi; /* those that it gets: drawn uniformly */
    bool lengths_known;          /* the lengths are limits: blocks are promised for them alone */
    uint64_t seed;
};

struct gw_queue_result {
    double seconds, tokens; /* new ones; seconds are infinite when the blocks are too few */
    double busy;            /* mean share of the slots that is occupied */
};

struct gw_queue;

/* Draws the lengths.  Of a long queue the beginning stands for the whole. */
enum gwen_status gw_queue_create(const struct gw_queue_opts *opts, struct gw_queue **out,
                                 struct gwen_err *err);
void gw_queue_free(struct gw_queue *q); /* NULL is fine */
/* What is played: no more prompts than the whole has. */
const struct gw_queue_opts *gw_queue_opts(const struct gw_queue *q);
/* The prompt that is started as the i-th. */
size_t gw_queue_at(const struct gw_queue *q, size_t i);
/* Tokens of a sample. */
size_t gw_queue_length(const struct gw_queue *q, size_t prompt, size_t sample);

/* Plays the queue with the engine's slots, prefill rows and blocks (at least
 * gw_engine_min_blocks).  Fails for want of memory only. */
enum gwen_status gw_queue_run(const struct gw_queue *q, const struct gw_engine_opts *engine,
                              const struct gw_speed *speed, struct gw_queue_result *result,
                              struct gwen_err *err);

#endif

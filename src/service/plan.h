/* plan.h - what a command will take, worked out before anything is taken.
 *
 * The parts are those of the modules themselves (gw_model_bytes, gw_engine_bytes,
 * gw_scorer_bytes): a plan and the allocations that follow it cannot drift apart. */
#ifndef GW_SERVICE_PLAN_H
#define GW_SERVICE_PLAN_H

#include "base/str.h"
#include "engine/engine.h"
#include "engine/scorer.h"
#include "train/trainer.h"

/* Bytes. */
struct gw_plan {
    size_t weights;   /* packed weights, norms and biases; an adapter */
    size_t kv;        /* the arena of keys and values */
    size_t scratch;   /* activations, logits, tables, per-thread scratch */
    size_t gradients; /* of training */
    size_t optimizer; /* of training: moments and master weights, with their scratch */
    size_t total;
};

enum gw_plan_kind { GW_PLAN_WEIGHTS, GW_PLAN_ROLLOUT, GW_PLAN_SCORE, GW_PLAN_TRAIN };

struct gw_plan_options {
    const struct gw_config *cfg;
    enum gw_panel_format format;
    int n_threads;
    enum gw_plan_kind kind;
    size_t other;                   /* bytes that the caller takes besides; counted as scratch */
    struct gw_engine_opts engine;   /* ROLLOUT; n_blocks 0: what gw_engine_good_blocks says */
    struct gw_scorer_opts scorer;   /* SCORE */
    struct gw_trainer_opts trainer; /* TRAIN; with engine.slots > 0 an engine beside it */
    bool reference;      /* TRAIN: a scorer and, unless it is `frozen`, a second model for it */
    bool optimizer_bf16; /* TRAIN: optimizer_bf16.h */
};

/* What can be turned to make a plan smaller. */
enum gw_plan_knob {
    GW_PLAN_SLOTS,        /* engine.slots */
    GW_PLAN_MAX_NEW,      /* engine.max_new */
    GW_PLAN_SCORE_LENGTH, /* scorer.max_len with as few blocks as it needs: the longest row */
    GW_PLAN_SCORE_BLOCKS, /* scorer.n_blocks */
    GW_PLAN_N_KNOBS
};

/* The blocks that an engine with these options gets: o->n_blocks, or when that is 0 a good
 * number. */
size_t gw_plan_engine_blocks(const struct gw_engine_opts *o);
/* What every plan has: the weights. */
size_t gw_plan_weights(const struct gw_config *cfg, enum gw_panel_format format);
/* Fills *plan; sums that overflow become SIZE_MAX. */
void gw_plan_make(const struct gw_plan_options *o, struct gw_plan *plan);
/* The largest value of a knob from 1 to `most` with which the plan takes at most budget_bytes; 0
 * when even 1 takes more, or the knob does not belong to the plan. */
size_t gw_plan_largest(const struct gw_plan_options *o, enum gw_plan_knob knob, size_t most,
                       size_t budget_bytes);
/* GWEN_ERR_NOMEM when the plan takes more than the budget: the message says both, and how far
 * which knob (base/knob.h) has to be lowered. */
enum gwen_status gw_plan_check(const struct gw_plan_options *o, size_t budget_bytes,
                               struct gwen_err *err);
/* Appends "weights 1.2 GiB, KV 350 MiB, scratch 12 MiB": the parts that are not 0. */
void gw_plan_put(struct gw_str *s, const struct gw_plan *plan);
/* The refusal of a plan that takes more than the budget, GWEN_ERR_NOMEM; `advice` follows what is
 * needed and available. */
enum gwen_status gw_plan_refuse(const struct gw_plan_options *o, size_t budget_bytes,
                                const char *advice, struct gwen_err *err);
/* Appends a number of bytes for people: "9.1 GiB", "350 MiB", "12 KiB". */
void gw_put_bytes(struct gw_str *s, size_t bytes);

#endif

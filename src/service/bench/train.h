/* train.h - the measurement behind `gwen-cpu bench train`: forward and backward passes. */
#ifndef GW_SERVICE_BENCH_TRAIN_H
#define GW_SERVICE_BENCH_TRAIN_H

#include "service/bench/bench.h"
#include "train/trainer.h"

struct gw_bench_train_opts {
    /* `prompts` prompts with `group` samples each; a sample has new_tokens tokens, all of which are
     * predicted, after prompt_tokens (0: none but the one that any first token follows). */
    size_t prompts, group, prompt_tokens, new_tokens;
    size_t micro_batch; /* samples of a pass; 0: all */
    enum gw_recompute recompute;
    int warmup, runs;
    uint64_t seed;
    struct gw_train_profile *profile; /* NULL, or filled: time per part of the fastest run */
};

struct gw_bench_train_result {
    struct gw_rate rate;   /* predicted tokens per second */
    double best;           /* of the fastest run */
    double seconds;        /* of its forward and backward passes */
    size_t resident_bytes; /* of the process, weights included; 0: not known */
};

/* The trainer's options for these measurements: what a memory plan needs. */
struct gw_trainer_opts gw_bench_train_trainer(const struct gw_bench_train_opts *o);
/* Predicted tokens per second that cannot be exceeded. */
double gw_bench_train_limit(const struct gw_model *model, const struct gw_limits *limits,
                            const struct gw_bench_train_opts *o);
/* Forward, loss and backward of random tokens; no optimizer. */
enum gwen_status gw_bench_train(const struct gw_model *model, struct gw_pool *pool,
                                const struct gw_limits *limits, const struct gw_bench_train_opts *o,
                                struct gw_bench_train_result *result, struct gwen_err *err);

/* Multiply-adds times two and bytes of one part of all passes of a measurement: of the backward
 * pass, and of the forward one. */
void gw_bench_train_cost(const struct gw_model *model, const struct gw_bench_train_opts *o,
                         enum gw_train_op op, double *flops, double *bytes);
void gw_bench_train_forward_cost(const struct gw_model *model, const struct gw_bench_train_opts *o,
                                 enum gw_op op, double *flops, double *bytes);

#endif

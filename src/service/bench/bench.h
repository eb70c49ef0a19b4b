/* bench.h - the measurements behind `gwen-cpu bench`, each with its limit on this machine. */
#ifndef GW_SERVICE_BENCH_BENCH_H
#define GW_SERVICE_BENCH_BENCH_H

#include "engine/engine.h"
#include "engine/scorer.h"
#include "model/forward.h"

/* What the machine can do, measured in the same run. */
struct gw_limits {
    double flops_s; /* peak of the kernels in force, all threads: 2 per multiply-add */
    double bytes_s; /* reading from memory, all threads */
};

/* A measured rate and what it is measured against. */
struct gw_rate {
    double mean, std; /* tokens per second */
    double limit;
};

struct gw_bench_decode_opts {
    size_t batch, prompt_tokens, new_tokens;
    bool separate_prompts; /* each row has its own copy; else all share one prompt */
    int runs;
    uint64_t seed;
    struct gw_profile *profile; /* NULL, or filled with the time per part, all steps together */
};

/* Bytes that gw_bench_decode takes beside the weights. */
size_t gw_bench_decode_bytes(const struct gw_config *cfg, enum gw_panel_format format,
                             const struct gw_bench_decode_opts *opts, int n_threads);
/* The same of gw_bench_prefill. */
size_t gw_bench_prefill_bytes(const struct gw_config *cfg, enum gw_panel_format format,
                              size_t prompt_tokens, int n_threads);

/* Averages over the steps of a measurement: the tokens that a row attends to, and the distinct
 * tokens whose keys and values a step reads. */
void gw_bench_decode_context(const struct gw_bench_decode_opts *opts, double *context,
                             double *kv_tokens);

/* Decodes new_tokens steps of `batch` rows at temperature 0.8; prefill is not counted. */
enum gwen_status gw_bench_decode(const struct gw_model *model, struct gw_pool *pool,
                                 const struct gw_limits *limits,
                                 const struct gw_bench_decode_opts *opts, struct gw_rate *rate,
                                 struct gwen_err *err);

/* Runs one prompt of prompt_tokens; only its last logits are wanted. */
enum gwen_status gw_bench_prefill(const struct gw_model *model, struct gw_pool *pool,
                                  const struct gw_limits *limits, size_t prompt_tokens, int runs,
                                  uint64_t seed, struct gw_profile *profile, struct gw_rate *rate,
                                  struct gwen_err *err);

/* Multiply-adds times two and bytes of one part of a step of n_rows rows that attend to `context`
 * tokens on average, of which kv_tokens distinct ones are read: for the profile. */
void gw_op_cost(const struct gw_model *model, enum gw_op op, size_t n_rows, size_t n_out,
                double context, double kv_tokens, double *flops, double *bytes);

/* Flops per second of Y = X W^T through gw_linear on all threads of the pool, best of several
 * repetitions that together take at least `seconds`. */
enum gwen_status gw_bench_gemm(const struct gw_arith *arith, struct gw_pool *pool, size_t m,
                               size_t n, size_t k, double seconds, double *flops_s,
                               struct gwen_err *err);

struct gw_bench_rollout_opts {
    size_t prompts, group, prompt_tokens, max_tokens;
    /* Row limits: lengths[(prompt * group + sample) % n_lengths], or where there are none drawn
     * from length_low to length_high by the seed, or where those are 0 all max_tokens. */
    const size_t *lengths;
    size_t n_lengths, length_low, length_high;
    size_t slots, n_blocks;
    size_t prefill_rows;
    double temperature;
    int warmup, runs;
    uint64_t seed;
    struct gw_eos eos;
    bool (*progress)(void *ctx); /* as in struct gw_engine_client */
};

struct gw_bench_rollout_result {
    double mean_ms, std_ms;       /* of a run: prefill and decode of all samples */
    uint64_t new_tokens;          /* of all runs */
    double tok_s;                 /* new tokens per second */
    struct gw_engine_stats stats; /* of the last run */
};

/* The most new tokens that any row may have. */
size_t gw_bench_rollout_longest(const struct gw_bench_rollout_opts *o);
/* New tokens per second that a rollout of as many steps and rows as the last run's cannot exceed:
 * weights and the rows' own KV are read once a step, every row is multiplied by every matrix. */
double gw_bench_rollout_limit(const struct gw_model *model, const struct gw_limits *limits,
                              const struct gw_bench_rollout_opts *o,
                              const struct gw_bench_rollout_result *result);
/* The engine's options for these measurements: what a memory plan needs. */
struct gw_engine_opts gw_bench_rollout_engine(const struct gw_bench_rollout_opts *o);
/* Rollouts of random prompts through the decode engine. */
enum gwen_status gw_bench_rollout(const struct gw_model *model, struct gw_pool *pool,
                                  const struct gw_bench_rollout_opts *opts,
                                  struct gw_bench_rollout_result *result, struct gwen_err *err);

/* Judging: a text shared by all, prompts, `group` responses to each, criteria of each response. */
struct gw_bench_judge_opts {
    size_t prompts, group, criteria;
    size_t shared_tokens, prompt_tokens, own_tokens, criterion_tokens;
    size_t max_new; /* tokens generated for a verdict; 0: only the logits of its first */
    size_t chunk;   /* responses judged together */
    int warmup, runs;
    uint64_t seed;
    bool (*progress)(void *ctx); /* as in struct gw_scorer_opts */
};

/* The scorer's options for it: what a memory plan needs. */
struct gw_scorer_opts gw_bench_judge_scorer(const struct gw_bench_judge_opts *o);
/* Tokens that cannot be shared, those generated included. */
size_t gw_bench_judge_tokens(const struct gw_bench_judge_opts *o);
/* rate: criteria per second; its limit is not set. */
enum gwen_status gw_bench_judge(const struct gw_model *model, struct gw_pool *pool,
                                const struct gw_bench_judge_opts *o, struct gw_rate *rate,
                                struct gwen_err *err);
/* Criteria per second that the peaks allow if all that is shared is computed once. */
double gw_bench_judge_limit(const struct gw_model *model, const struct gw_limits *limits,
                            const struct gw_bench_judge_opts *o);

#endif

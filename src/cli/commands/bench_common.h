/* bench_common.h - what the kinds of `bench` share: the machine's limits, and lines of output. */
#ifndef GW_CLI_COMMANDS_BENCH_COMMON_H
#define GW_CLI_COMMANDS_BENCH_COMMON_H

#include "cli/with_model.h"
#include "service/bench/bench.h"
#include "service/judge/judge.h"

/* Appends the beginning of an object of --json, which the caller ends, and a number in it. */
void gw_bench_put_common(struct gw_str *s, const struct gw_runtime *rt, const char *what);
void gw_bench_put_real(struct gw_str *s, const char *key, double v);
/* Appends the line of one part of a profile. */
void gw_bench_put_op(struct gw_str *s, const struct gw_runtime *rt, const struct gw_limits *limits,
                     const char *name, double seconds, double share, double flops, double bytes);
double gw_bench_measure_peak(struct gw_runtime *rt); /* flops per second, all threads */
/* Measures the peak and the reading of all threads; takes up to two seconds. */
enum gwen_status gw_bench_measure_limits(struct gw_runtime *rt, struct gw_limits *limits,
                                         struct gwen_err *err);

/* bench train: what its options say.  bench_train.c */
struct gw_bench_train_cli {
    size_t prompts, group, prompt_tokens, seq; /* seq: tokens of a sequence, the prompt's too */
    size_t micro_batch, runs, warmup;
    int recompute;
    bool profile, matrix;
};
/* Opens nothing; the runtime has found its model. */
enum gwen_status gw_bench_train_run(const struct gw_bench_train_cli *o, struct gw_runtime *rt,
                                    struct gwen_err *err);

/* bench judge: what its options say.  bench_judge.c */
struct gw_bench_judge_cli {
    size_t responses, criteria, shared_tokens, own_tokens, criterion_tokens;
    size_t verdict_tokens, chunk; /* chunk 0: auto */
    size_t runs, warmup;
    int mode; /* enum gw_judge_mode */
};
#define GW_BENCH_JUDGE_INIT                                                                        \
    {                                                                                              \
        .responses = 64, .criteria = 3, .shared_tokens = 150, .own_tokens = 200,                   \
        .criterion_tokens = 50, .verdict_tokens = GW_JUDGE_MAX_TOKENS, .mode = GW_JUDGE_LOGITS     \
    }
/* Opens nothing; the runtime has found its model. */
enum gwen_status gw_bench_judge_run(const struct gw_bench_judge_cli *o, struct gw_runtime *rt,
                                    struct gwen_err *err);
/* Judges what such a rollout gives, whose prompts are shared by their samples, and appends a line;
 * the model is loaded. */
enum gwen_status gw_bench_judge_rollout(const struct gw_bench_judge_cli *o, struct gw_runtime *rt,
                                        const struct gw_bench_rollout_opts *rollout,
                                        struct gw_str *s, struct gwen_err *err);

#endif

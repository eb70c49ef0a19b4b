/* bench_common.h - what the kinds of `bench` share: options, the machine's limits, lines of output.
 */
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

/* Opens the runtime, and finds the model where one was given; without one the number format is that
 * of --dtype, else bfloat16. */
enum gwen_status gw_bench_open(struct gw_runtime *rt, struct gw_cli *cli, struct gwen_err *err);
/* Measures the limits and loads the model, for work that takes `bytes` beside the weights; refused
 * where they do not fit. */
enum gwen_status gw_bench_load(struct gw_runtime *rt, size_t bytes, struct gw_limits *limits,
                               struct gwen_err *err);

/* Prints the line of a measured decode or prefill. */
enum gwen_status gw_bench_put_rate(const struct gw_runtime *rt, const char *what, size_t batch,
                                   size_t prompt_tokens, size_t new_tokens, const struct gw_rate *r,
                                   struct gwen_err *err);

/* What a profile is of: rows of a step, and what they attend to on average. */
struct gw_bench_profiled {
    double n_steps;
    size_t rows, n_out;
    double context, kv_tokens;
};
/* Prints a line for each part of a step: its share of the time, its work, and what its own limit
 * allows; and one for the whole. */
enum gwen_status gw_bench_put_profile(const struct gw_runtime *rt, const struct gw_limits *limits,
                                      const struct gw_profile *p,
                                      const struct gw_bench_profiled *of, struct gwen_err *err);

/* Rows of option tables that several kinds have. */
#define GW_BENCH_OPT_RUNS(var) GW_OPT_COUNT("runs", 0, var, 1, 1000, "number of measurements")
#define GW_BENCH_OPT_WARMUP(var)                                                                   \
    GW_OPT_COUNT("warmup", 0, var, 0, 1000, "runs before them that are not measured")
#define GW_BENCH_OPT_PROFILE(var)                                                                  \
    GW_OPT_FLAG("profile", 0, var, "also print time, bytes and FLOPs of each operation")

/* Options of bench judge and bench rollout --benchmark-judge.  bench_judge.c */
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
#define GW_BENCH_JUDGE_OPTIONS(b)                                                                  \
    GW_OPT_COUNT("criteria", 0, &(b).criteria, 1, GW_RUBRIC_MAX_CRITERIA,                          \
                 "criteria of the rubric"),                                                        \
        GW_OPT_COUNT("shared-tokens", 0, &(b).shared_tokens, 1, 1 << 20,                           \
                     "tokens at the beginning of every judge prompt, the same for all"),           \
        GW_OPT_COUNT("criterion-tokens", 0, &(b).criterion_tokens, 1, 1 << 20,                     \
                     "tokens that describe a criterion, at the end of a judge prompt"),            \
        GW_OPT_COUNT("verdict-tokens", 0, &(b).verdict_tokens, 1, 4096,                            \
                     "tokens of a generated verdict"),                                             \
        GW_OPT_AUTO("judge-chunk-size", 0, &(b).chunk, 1, 65536, "responses judged together")
/* Judges what such a rollout gives, whose prompts are shared by their samples, and appends a line;
 * the model is loaded. */
enum gwen_status gw_bench_judge_rollout(const struct gw_bench_judge_cli *o, struct gw_runtime *rt,
                                        const struct gw_bench_rollout_opts *rollout,
                                        struct gw_str *s, struct gwen_err *err);

/* The kinds; each is a command with options of its own. */
#define GW_BENCH(name, help) int gw_cmd_bench_##name(struct gw_cli *cli, int argc, char **argv);
#include "cli/commands/bench.def"
#undef GW_BENCH

#endif

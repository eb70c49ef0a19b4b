/* with_model.h - from the common options to a machine, a model and a tokenizer: what most commands
 * begin with.
 *
 *     gw_runtime_open        machine, threads, instruction set, memory budget
 *     gw_runtime_find        the model's directory and configuration; no weights yet
 *     ... the command works out its sizes (gw_plan_*) ...
 *     gw_runtime_load        refuses a plan that does not fit, then loads the weights
 *     gw_runtime_tokenizer   when the command has to do with text
 *
 * What was chosen, and why, is logged at -v. */
#ifndef GW_CLI_WITH_MODEL_H
#define GW_CLI_WITH_MODEL_H

#include "base/budget.h"
#include "base/hw/hw.h"
#include "base/pool.h"
#include "checkpoint/config/generation.h"
#include "cli/cli.h"
#include "service/plan.h"
#include "service/tune/profile.h"
#include "text/tokenizer/tokenizer.h"

struct gw_runtime {
    struct gw_cli *cli;
    /* after gw_runtime_open */
    struct gw_hw hw;
    int n_threads;
    struct gw_pool *pool;
    struct gwen_kernels kern;
    size_t budget; /* bytes that the process may hold in all */
    struct gw_memory_watch watch;
    /* after gw_runtime_find */
    struct gw_str dir; /* the model's directory */
    struct gw_config cfg;
    struct gw_generation_config generation;
    struct gw_eos eos;     /* ids that end a sample */
    enum gw_dtype dtype;   /* of weights and KV in memory: F32, F16 or BF16 */
    struct gw_arith arith; /* of these kernels */
    const char *adapter;   /* its directory, or NULL; at first that of --adapter */
    size_t stored_bytes;   /* of the checkpoint's tensors */
    size_t planned;        /* bytes, 0: no plan was made */
    bool is_tuned;         /* and how: */
    struct gw_tune_profile profile;
    /* after gw_runtime_load, gw_runtime_tokenizer */
    struct gw_model *model;
    struct gw_tokenizer *tokenizer;
};

/* Zeroes *rt and looks at the machine.  gw_runtime_close whatever the outcome. */
enum gwen_status gw_runtime_open(struct gw_runtime *rt, struct gw_cli *cli, struct gwen_err *err);
enum gwen_status gw_runtime_find(struct gw_runtime *rt, struct gwen_err *err);
/* Options of a plan for this machine and model: kind GW_PLAN_WEIGHTS, for the command to go on
 * from.  What the process holds already counts as scratch. */
struct gw_plan_options gw_runtime_plan(const struct gw_runtime *rt);
/* How long steps take: as the machine was tuned, else by its peaks, measured now (a fraction of a
 * second; small models: assumed). */
void gw_runtime_speed(const struct gw_runtime *rt, struct gw_speed *speed);
/* Appends "memory: weights ..., KV ..., together 2.1 GiB of 8.0 GiB". */
void gw_runtime_put_plan(const struct gw_runtime *rt, const struct gw_plan_options *options,
                         struct gw_str *s);
/* Logs the plan and checks it against the budget: for a command that takes memory without loading
 * weights, or before it loads them. */
enum gwen_status gw_runtime_check(struct gw_runtime *rt, const struct gw_plan_options *plan,
                                  struct gwen_err *err);
/* Takes another adapter than --adapter says; `dir` must live on. */
enum gwen_status gw_runtime_adapter(struct gw_runtime *rt, const char *dir, struct gwen_err *err);
/* gw_runtime_check, and loads the weights and the adapter. */
enum gwen_status gw_runtime_load(struct gw_runtime *rt, const struct gw_plan_options *plan,
                                 struct gwen_err *err);
enum gwen_status gw_runtime_tokenizer(struct gw_runtime *rt, struct gwen_err *err);
void gw_runtime_close(struct gw_runtime *rt);

/* The directory of --model, through the Hugging Face cache, without opening a runtime. */
enum gwen_status gw_model_dir(const struct gw_cli *cli, struct gw_str *dir, struct gwen_err *err);
/* The name of results' arithmetic, as in info and every output file: "f32-fma", "bf16-vdp"... */
const char *gw_runtime_class(const struct gw_runtime *rt);

#endif

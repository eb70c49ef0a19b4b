/* evaluate.h - one model evaluated on one data set: what `eval` does once for a model and once more
 * for each checkpoint of a run. */
#ifndef GW_CLI_COMMANDS_EVALUATE_H
#define GW_CLI_COMMANDS_EVALUATE_H

#include "cli/with_prompts.h"
#include "service/eval/likelihood.h"
#include "service/eval/result.h"
#include "service/reward/reward.h"
#include "service/rollout/file.h"

enum gw_eval_task {
    GW_TASK_GSM8K,
    GW_TASK_COUNTDOWN,
    GW_TASK_QA,
    GW_TASK_MC,
    GW_TASK_PPL,
    GW_N_TASKS
};
#define GW_EVAL_TASK_WORDS "gsm8k|countdown|qa|mc|ppl"

const char *gw_eval_task_name(enum gw_eval_task task);

/* Zeroed but for the options. */
struct gw_evaluate {
    /* options */
    int task; /* enum gw_eval_task */
    const char *data_path;
    const char *out_path; /* NULL: rows are not kept */
    size_t k, max_tokens, batch, limit;
    size_t window, overlap; /* of ppl */
    bool resume, overwrite;
    struct gw_prompting p; /* options of prompts and sampling */
    /* what was found */
    struct gw_eval_result result;
    struct gw_eval_summary summary;
    /* on the way there */
    struct gw_prompts prompts;
    struct gw_rewards *rewards;
    struct gw_eval_data data;
    struct gw_rollout_file *file;
    uint64_t settings;
};

/* Evaluates the model that cli->common names.  gw_evaluate_close whatever the outcome. */
enum gwen_status gw_evaluate(struct gw_evaluate *e, struct gw_cli *cli, struct gwen_err *err);
void gw_evaluate_close(struct gw_evaluate *e);

#endif

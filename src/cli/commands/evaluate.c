/* evaluate.c - see evaluate.h. */
#include "cli/commands/evaluate.h"

#include "cli/output.h"
#include "service/eval/eval.h"
#include "service/record/provenance.h"

#include <inttypes.h>

/* Tokens of a window of text, unless told otherwise or the context is shorter. */
enum { WINDOW = 2048 };

static const struct {
    const char *name, *reward; /* NULL: the task scores by likelihood */
} TASKS[GW_N_TASKS] = {
    {"gsm8k", "gsm8k"}, {"countdown", "countdown"}, {"qa", "exact"}, {"mc", NULL}, {"ppl", NULL}};

const char *gw_eval_task_name(enum gw_eval_task task) { return TASKS[task].name; }

/* --- the file of rows ----------------------------------------------------------------------- */

/* Opens the part file for n units of 1 + k rows; *complete: there is nothing left to do. */
static enum gwen_status open_rows(struct gw_evaluate *e, struct gw_provenance *from, size_t n,
                                  size_t k, bool *complete, struct gwen_err *err) {
    const enum gw_part_mode mode = e->resume      ? GW_PART_RESUME
                                   : e->overwrite ? GW_PART_OVERWRITE
                                                  : GW_PART_NEW;
    *complete = false;
    e->settings = gw_provenance_hash(from);
    if (e->out_path == NULL) return GWEN_OK;
    *complete = e->resume && gw_eval_result_complete(e->out_path, e->settings, &e->result);
    if (*complete) gw_log(&e->p.rt.cli->log, GWEN_LOG_INFO, "%s: is complete", e->out_path);
    if (*complete) return GWEN_OK;
    GW_TRY(gw_output_check_part(e->p.rt.cli, "out", e->out_path, e->resume, e->overwrite, err));
    return gw_provenance_open(from, e->out_path, mode, n, k + 1, &e->p.rt.cli->log, &e->file, err);
}

/* What was sampled before an interruption is in the file only. */
static enum gwen_status close_rows(struct gw_evaluate *e, struct gwen_err *err) {
    if (e->file == NULL) return GWEN_OK;
    GW_TRY(gw_rollout_file_finish(e->file, err));
    gw_eval_result_free(&e->result);
    return gw_eval_result_read(e->out_path, &e->result, err);
}

/* --- tasks that sample ---------------------------------------------------------------------- */

static enum gwen_status read_prompts(struct gw_evaluate *e, struct gwen_err *err) {
    const struct gw_prompt_opts opts = gw_prompting_prompts(&e->p, e->max_tokens, false);
    GW_TRY(gw_rewards_new(&e->rewards, err));
    GW_TRY(gw_rewards_add(e->rewards, TASKS[e->task].reward, err));
    GW_TRY(gw_prompts_read(e->data_path, &opts, &e->prompts, err));
    if (e->limit > 0 && e->limit < e->prompts.n) {
        e->prompts.n_tokens = e->prompts.n_tokens / e->prompts.n * e->limit;
        e->prompts.n = e->limit;
    }
    return gw_eval_check_prompts(e->rewards, &e->prompts, e->data_path, err);
}

static enum gwen_status plan_samples(struct gw_evaluate *e, const struct gw_rollout_opts *opts,
                                     struct gw_rollout_plan *plan, struct gwen_err *err) {
    struct gw_runtime *rt = &e->p.rt;
    struct gw_plan_options base = gw_runtime_plan(rt);
    struct gw_speed speed;
    base.other += e->prompts.n * (e->k + 1) * sizeof(struct gw_eval_cell);
    if (e->batch == 0) gw_runtime_speed(rt, &speed);
    GW_TRY(gw_rollout_plan(&base, &speed, &e->prompts, opts, e->batch, rt->budget, plan, err));
    gw_prompting_log_plan(&e->p, plan, e->prompts.n, opts->groups);
    gw_prompting_log_prefill(&e->p, plan);
    return gw_runtime_load(rt, &plan->options, err);
}

static enum gwen_status draw_samples(struct gw_evaluate *e, const struct gw_rollout_opts *opts,
                                     const struct gw_rollout_plan *plan, struct gwen_err *err) {
    struct gw_runtime *rt = &e->p.rt;
    const struct gw_eval_opts eval = {.k = e->k,
                                      .rewards = e->rewards,
                                      .file = e->file,
                                      .settings = e->settings,
                                      .numeric_class = gw_runtime_class(rt),
                                      .tokenizer = rt->tokenizer,
                                      .progress = gw_cli_progress,
                                      .progress_user = rt->cli};
    struct gw_rollout *rollout;
    struct gw_rollout_stats stats;
    struct gw_eval_summary *s = &e->summary;
    GW_TRY(gw_rollout_create(rt->model, rt->pool, rt->tokenizer, opts, plan, &rollout, err));
    enum gwen_status status = gw_eval_run(rollout, &e->prompts, &eval, &e->result, &s->generate_s,
                                          &s->score_s, &stats, err);
    gw_rollout_free(rollout);
    gw_bar_clear(&rt->cli->bar);
    gw_prompting_log_stats(&e->p, &stats, plan->options.engine.slots, true);
    return status;
}

static enum gwen_status evaluate_samples(struct gw_evaluate *e, struct gwen_err *err) {
    struct gw_rollout_plan plan;
    struct gw_provenance from = {0};
    bool complete;
    GW_TRY(read_prompts(e, err));
    struct gw_rollout_opts opts = gw_prompting_rollout(&e->p, 1);
    gw_eval_rollout_opts(&opts, e->k);
    GW_TRY(plan_samples(e, &opts, &plan, err));
    GW_TRY(gw_eval_result_new(GW_EVAL_SAMPLES, e->prompts.n, e->k, &e->result, err));
    const struct gw_runtime *rt = &e->p.rt;
    enum gwen_status status =
        gw_provenance_model(&from, rt->model, rt->pool, gw_runtime_class(rt), rt->tokenizer, err);
    gw_eval_provenance(&from, &opts, e->rewards, &e->prompts);
    if (status == GWEN_OK) status = open_rows(e, &from, e->prompts.n, e->k, &complete, err);
    gw_provenance_free(&from);
    if (status != GWEN_OK || complete) return status;
    GW_TRY(draw_samples(e, &opts, &plan, err));
    return close_rows(e, err);
}

/* --- tasks that score ----------------------------------------------------------------------- */

static int32_t prefix_token(const struct gw_runtime *rt) {
    int32_t id = -1;
    if (rt->tokenizer == NULL) return -1;
    gw_tokenizer_named(rt->tokenizer, GW_TOKEN_BOS, &id);
    if (id < 0) gw_tokenizer_named(rt->tokenizer, GW_TOKEN_EOS, &id);
    return id >= 0 || rt->eos.n == 0 ? id : rt->eos.ids[0];
}

static enum gwen_status read_data(struct gw_evaluate *e, struct gwen_err *err) {
    const struct gw_runtime *rt = &e->p.rt;
    const struct gw_prompt_opts prompt = gw_prompting_prompts(&e->p, 1, true);
    const size_t before = GW_MAX(e->overlap, (size_t)1); /* BOS, if nothing else */
    const struct gw_eval_data_opts opts = {
        .prompt = &prompt,
        .limit = e->limit,
        .window = e->window > 0
                      ? e->window
                      : GW_MIN((size_t)WINDOW, prompt.context - GW_MIN(before, prompt.context - 1)),
        .overlap = e->overlap,
        .prefix = prefix_token(rt)};
    if (e->task == GW_TASK_MC) {
        GW_TRY(gw_eval_read_choices(e->data_path, &opts, &e->data, err));
        if (e->data.n_straddling > 0)
            gw_log(
                &rt->cli->log, GWEN_LOG_INFO,
                "%s: of %zu choices a token straddles the question: it is scored as the choice's",
                e->data_path, e->data.n_straddling);
        return GWEN_OK;
    }
    if (opts.window + before > prompt.context)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "a window of %zu tokens and %zu before it exceed the model's context of %zu "
                       "(--window, --overlap)",
                       opts.window, before, prompt.context);
    return gw_eval_read_text(e->data_path, &opts, &e->data, err);
}

static enum gwen_status score_data(struct gw_evaluate *e, const struct gw_plan_options *plan,
                                   struct gwen_err *err) {
    struct gw_runtime *rt = &e->p.rt;
    const struct gw_eval_score_opts opts = {.model = rt->model,
                                            .pool = rt->pool,
                                            .plan = plan,
                                            .file = e->file,
                                            .settings = e->settings,
                                            .numeric_class = gw_runtime_class(rt),
                                            .progress = gw_cli_progress,
                                            .progress_user = rt->cli};
    return gw_eval_score_run(&e->data, &opts, &e->result, &e->summary.score_s, err);
}

static enum gwen_status evaluate_scores(struct gw_evaluate *e, struct gwen_err *err) {
    struct gw_runtime *rt = &e->p.rt;
    struct gw_plan_options plan = gw_runtime_plan(rt);
    struct gw_provenance from = {0};
    bool complete;
    GW_TRY(read_data(e, err));
    GW_TRY(gw_eval_score_plan(&e->data, rt->budget, &plan, err));
    GW_TRY(gw_runtime_load(rt, &plan, err));
    GW_TRY(gw_eval_result_new(e->data.kind, e->data.n_units, 0, &e->result, err));
    enum gwen_status status =
        gw_provenance_model(&from, rt->model, rt->pool, gw_runtime_class(rt), rt->tokenizer, err);
    gw_provenance_add(&from, "task", "%s", TASKS[e->task].name);
    gw_provenance_add(&from, "data", "%016" PRIx64, gw_eval_data_hash(&e->data));
    if (status == GWEN_OK) status = open_rows(e, &from, e->data.n_units, 0, &complete, err);
    gw_provenance_free(&from);
    if (status != GWEN_OK || complete) return status;
    GW_TRY(score_data(e, &plan, err));
    return close_rows(e, err);
}

/* --- both ----------------------------------------------------------------------------------- */

enum gwen_status gw_evaluate(struct gw_evaluate *e, struct gw_cli *cli, struct gwen_err *err) {
    GW_TRY(gw_prompting_open(&e->p, cli, err));
    GW_TRY(TASKS[e->task].reward != NULL ? evaluate_samples(e, err) : evaluate_scores(e, err));
    const double generate_s = e->summary.generate_s, score_s = e->summary.score_s;
    GW_TRY(gw_eval_summarize(&e->result, cli->common.seed, &e->summary, err));
    e->summary.generate_s = generate_s;
    e->summary.score_s = score_s;
    return GWEN_OK;
}

void gw_evaluate_close(struct gw_evaluate *e) {
    gw_rollout_file_close(e->file);
    gw_eval_result_free(&e->result);
    gw_eval_data_free(&e->data);
    gw_rewards_free(e->rewards);
    gw_prompts_free(&e->prompts);
    gw_prompting_close(&e->p);
}

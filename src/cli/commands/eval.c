/* eval.c - gwen-cpu eval: a model, or each checkpoint of a run, on a data set; two results
 * beside each other. */
#include "cli/commands/evaluate.h"

#include "base/file.h"
#include "service/train/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct eval {
    struct gw_evaluate options;
    const char *run_dir; /* of --checkpoints */
    bool compare;
};

/* --- one model ------------------------------------------------------------------------------ */

static void say_summary(const struct gw_evaluate *e) {
    struct gw_str s = {0};
    for (size_t i = 0; i < e->summary.n_figures; i++) {
        const struct gw_eval_named_figure *f = &e->summary.figures[i];
        gw_str_printf(&s, "%s%s %.4g (95 %%: %.4g to %.4g)", i > 0 ? ", " : "", f->name, f->value,
                      f->ci.lo, f->ci.hi);
    }
    if (!s.failed) gw_log(&e->p.rt.cli->log, GWEN_LOG_INFO, "%s", s.data);
    gw_str_free(&s);
}

static enum gwen_status put_summary(struct gw_evaluate *e, struct gw_cli *cli,
                                    struct gwen_err *err) {
    const struct gw_common *c = &cli->common;
    struct gw_str s = {0};
    gw_eval_put_summary(&s, gw_eval_task_name((enum gw_eval_task)e->task),
                        c->adapter != NULL ? c->adapter : c->model, &e->result, &e->summary);
    enum gwen_status status = gw_cli_put(cli, &s, err);
    gw_str_free(&s);
    return status;
}

static enum gwen_status evaluate_one(struct eval *v, struct gw_cli *cli, struct gwen_err *err) {
    struct gw_evaluate e = v->options;
    struct gw_str path = {0};
    enum gwen_status status = GWEN_OK;
    if (e.out_path != NULL && gw_dir_exists(e.out_path)) {
        status = gw_path_join(&path, e.out_path, GW_EVAL_FILE, err);
        e.out_path = path.data;
    }
    if (status == GWEN_OK) {
        status = gw_evaluate(&e, cli, err);
        if (status == GWEN_OK) say_summary(&e);
        if (status == GWEN_OK) status = put_summary(&e, cli, err);
        gw_evaluate_close(&e);
    }
    gw_str_free(&path);
    return status;
}

/* --- the checkpoints of a run --------------------------------------------------------------- */

static enum gwen_status put_table_row(const struct gw_eval_summary *s, const char *name, bool first,
                                      struct gw_cli *cli, struct gwen_err *err) {
    struct gw_str line = {0};
    if (first) {
        gw_str_printf(&line, "%-20s", "model");
        for (size_t i = 0; i < s->n_figures; i++)
            gw_str_printf(&line, "  %10s %-20s", s->figures[i].name, "(95 %)");
        if (s->kind == GW_EVAL_SAMPLES) gw_str_printf(&line, "  %8s", "tokens");
        gw_str_putc(&line, '\n');
    }
    gw_str_printf(&line, "%-20s", name);
    for (size_t i = 0; i < s->n_figures; i++) {
        const struct gw_eval_named_figure *f = &s->figures[i];
        char interval[48];
        snprintf(interval, sizeof interval, "(%.4g to %.4g)", f->ci.lo, f->ci.hi);
        gw_str_printf(&line, "  %10.4g %-20s", f->value, interval);
    }
    if (s->kind == GW_EVAL_SAMPLES) gw_str_printf(&line, "  %8.1f", s->mean_tokens);
    gw_str_putc(&line, '\n');
    enum gwen_status status = gw_cli_put(cli, &line, err);
    gw_str_free(&line);
    return status;
}

/* Evaluates the model that the command line names, or a checkpoint in its place, called `name` in
 * the table; rows go to OUT/name.jsonl. */
static enum gwen_status evaluate_row(struct eval *v, const char *name, bool first,
                                     struct gw_cli *cli, struct gwen_err *err) {
    struct gw_evaluate e = v->options;
    struct gw_str path = {0};
    char file[80];
    enum gwen_status status = GWEN_OK;
    snprintf(file, sizeof file, "%s.jsonl", name);
    if (e.out_path != NULL) {
        status = gw_path_join(&path, e.out_path, file, err);
        e.out_path = path.data;
    }
    if (status == GWEN_OK) {
        status = gw_evaluate(&e, cli, err);
        if (status == GWEN_OK && cli->common.json)
            status = put_summary(&e, cli, err);
        else if (status == GWEN_OK)
            status = put_table_row(&e.summary, name, first, cli, err);
        gw_evaluate_close(&e);
    }
    gw_str_free(&path);
    return status;
}

/* A checkpoint is a model, or an adapter for the model that `base` names. */
static enum gwen_status name_checkpoint(const struct gw_common *base, const char *dir,
                                        struct gw_common *c, struct gwen_err *err) {
    struct gw_str file = {0};
    GW_TRY(gw_path_join(&file, dir, "adapter_config.json", err));
    bool adapter;
    enum gwen_status status = gw_file_find(file.data, &adapter, err);
    gw_str_free(&file);
    if (status != GWEN_OK) return status;
    if (adapter && base->model == NULL)
        return gw_fail(err, GWEN_ERR_ARGUMENT, "%s: is an adapter: --model DIR, which it is for",
                       dir);
    c->model = adapter ? base->model : dir;
    c->adapter = adapter ? dir : NULL;
    return GWEN_OK;
}

static enum gwen_status evaluate_steps(struct eval *v, const uint64_t *steps, size_t n,
                                       struct gw_cli *cli, struct gwen_err *err) {
    const struct gw_common base = cli->common;
    struct gw_str dir = {0};
    enum gwen_status status = GWEN_OK;
    if (n == 0)
        return gw_fail(err, GWEN_ERR_ARGUMENT, "%s: has no checkpoint-N of a training run",
                       v->run_dir);
    if (v->options.out_path != NULL) GW_TRY(gw_dir_make(v->options.out_path, err));
    if (base.model != NULL) status = evaluate_row(v, "base", true, cli, err);
    for (size_t i = 0; i < n && status == GWEN_OK; i++) {
        char name[40];
        snprintf(name, sizeof name, "checkpoint-%" PRIu64, steps[i]);
        status = gw_path_join(&dir, v->run_dir, name, err);
        if (status == GWEN_OK) status = gw_checkpoint_check(dir.data, NULL, err);
        if (status == GWEN_OK) status = name_checkpoint(&base, dir.data, &cli->common, err);
        if (status == GWEN_OK)
            status = evaluate_row(v, name, i == 0 && base.model == NULL, cli, err);
    }
    gw_str_free(&dir);
    return status;
}

static enum gwen_status evaluate_run(struct eval *v, struct gw_cli *cli, struct gwen_err *err) {
    uint64_t *steps;
    size_t n;
    GW_TRY(gw_checkpoint_list(v->run_dir, &steps, &n, err));
    enum gwen_status status = evaluate_steps(v, steps, n, cli, err);
    free(steps);
    return status;
}

/* --- two results ---------------------------------------------------------------------------- */

static enum gwen_status read_result(const char *path, struct gw_eval_result *r,
                                    struct gwen_err *err) {
    struct gw_str file = {0};
    enum gwen_status status = GWEN_OK;
    if (gw_dir_exists(path)) {
        status = gw_path_join(&file, path, GW_EVAL_FILE, err);
        if (status == GWEN_OK && !gw_file_exists(file.data))
            status = gw_fail(err, GWEN_ERR_IO, "%s: has no %s, which eval --out %s would write",
                             path, GW_EVAL_FILE, path);
    }
    if (status == GWEN_OK)
        status = gw_eval_result_read(file.data != NULL ? file.data : path, r, err);
    gw_str_free(&file);
    return status;
}

static enum gwen_status compare(struct gw_cli *cli, struct gwen_err *err) {
    struct gw_eval_result a = {0}, b = {0};
    struct gw_str s = {0};
    enum gwen_status status = read_result(cli->args[0], &a, err);
    if (status == GWEN_OK) status = read_result(cli->args[1], &b, err);
    if (status == GWEN_OK)
        status = gw_eval_compare(&a, cli->args[0], &b, cli->args[1], cli->common.seed, &s, err);
    if (status == GWEN_OK) status = gw_cli_put(cli, &s, err);
    gw_str_free(&s);
    gw_eval_result_free(&a);
    gw_eval_result_free(&b);
    return status;
}

/* --- the command ---------------------------------------------------------------------------- */

static const char about[] =
    "Evaluates a model on a data set and prints one JSON object with the figures and\n"
    "their 95 % bootstrap intervals.  Tasks, and rows of their JSONL:\n"
    "  gsm8k      {\"question\", \"answer\"}: is the number right?\n"
    "  countdown  {\"prompt\", \"nums\", \"target\"}: does the expression give the target?\n"
    "  qa         {\"prompt\", \"answer\"}: is it the answer, word for word?\n"
    "  mc         {\"prompt\" or \"question\", \"choices\", \"answer\": number or letter}:\n"
    "             is it the likeliest choice, by its sum of log-probabilities\n"
    "             (acc) or that divided by its letters (acc_norm)?\n"
    "  ppl        {\"text\"}, or a plain text where the file is not called .jsonl:\n"
    "             perplexity by token, word and byte\n"
    "The first three sample: one greedy answer to each prompt, whose share of right ones is\n"
    "\"accuracy\", and -k answers at --temp: \"mean_at_k\" is their mean, \"pass_at_k\" the "
    "chance\n"
    "that one of k is right.  Prompts are rows as for rollout.\n"
    "\n"
    "--out keeps every sample as a row of JSON, as rollout does, with \"greedy\" and\n"
    "\"reward\".  Finished rows are kept in FILE.part; --resume goes on after an\n"
    "interruption of any kind, and FILE has the same bytes in the end.  Where --out is a\n"
    "directory, the file is eval.jsonl in it.\n"
    "\n"
    "--checkpoints evaluates each checkpoint-N of a training run and prints a table, with\n"
    "--json an object for each.  A --model beside it, which adapters need, comes first as\n"
    "\"base\".  Rows go to OUT/base.jsonl and OUT/checkpoint-N.jsonl.\n"
    "\n"
    "--compare A B takes two files of rows, or directories with an eval.jsonl, of the same\n"
    "data: the mean difference B - A with its interval, and the p-value of a paired\n"
    "sign-flip test.";

static bool check(const struct eval *v, struct gw_cli *cli, int *code) {
    const struct gw_evaluate *e = &v->options;
    *code = 0;
    if (v->compare && cli->n_args != 2)
        *code = gw_cli_usage(cli, "--compare needs two files or directories");
    else if (!v->compare && cli->n_args > 0)
        *code = gw_cli_usage(cli, "unexpected argument \"%s\"", cli->args[0]);
    else if (v->compare)
        return true;
    else if (v->run_dir == NULL && cli->common.model == NULL)
        *code = gw_cli_usage(cli, "--model is needed: a model directory or a hub id");
    else if (e->task < 0)
        *code = gw_cli_usage(cli, "--task " GW_EVAL_TASK_WORDS " is needed");
    else if (e->data_path == NULL)
        *code = gw_cli_usage(cli, "--data FILE is needed");
    else if (e->resume && e->overwrite)
        *code = gw_cli_usage(cli, "give --resume or --overwrite, not both");
    else if ((e->resume || e->overwrite) && e->out_path == NULL)
        *code = gw_cli_usage(cli, "--resume and --overwrite need --out FILE");
    return *code == 0 && gw_prompting_check(&e->p, cli, code);
}

int gw_cmd_eval(struct gw_cli *cli, int argc, char **argv) {
    struct eval v = {
        .options = {.task = -1, .k = 4, .max_tokens = 256, .p.sampling = GW_SAMPLING_INIT}};
    struct gw_evaluate *e = &v.options;
    const struct gw_option options[] = {
        GW_OPT_ADAPTER(cli),
        GW_OPT_CHOICE("task", 0, &e->task, GW_EVAL_TASK_WORDS, "evaluation task, see above"),
        GW_OPT_STRING("data", 'd', &e->data_path, "FILE",
                      "data set, a JSONL file; -: standard input"),
        GW_OPT_STRING("out", 'o', &e->out_path, "FILE",
                      "write the samples to this JSONL file, or to eval.jsonl in this directory"),
        GW_OPT_FLAG("resume", 0, &e->resume, "continue an interrupted evaluation from FILE.part"),
        GW_OPT_FLAG("overwrite", 0, &e->overwrite,
                    "replace FILE, discard FILE.part and start again"),
        GW_OPT_COUNT("samples", 'k', &e->k, 0, 1 << 16,
                     "samples drawn for each prompt, beside the greedy one"),
        GW_OPT_COUNT("max-tokens", 0, &e->max_tokens, 1, 1 << 24,
                     "most tokens of a sample, where the row has no max_tokens"),
        GW_OPT_COUNT("limit", 0, &e->limit, 0, 1 << 30,
                     "evaluate only the first N prompts, questions or windows; 0: all"),
        GW_OPT_AUTO("rollout-batch-size", 'B', &e->batch, 1, 1 << 16, "samples decoded together"),
        GW_OPT_COUNT("window", 0, &e->window, 0, 1 << 24,
                     "ppl: tokens of a window; 0: 2048, or the context length if less"),
        GW_OPT_COUNT("overlap", 0, &e->overlap, 0, 1 << 24,
                     "ppl: tokens of context before each window; 0: BOS only"),
        GW_OPT_STRING("checkpoints", 0, &v.run_dir, "DIR",
                      "evaluate each checkpoint of this training run"),
        GW_OPT_FLAG("compare", 0, &v.compare, "compare two results, see above"),
        GW_SAMPLING_OPTIONS(e->p),
        GW_OPT_FLAG("chat", 0, &e->p.as_chat,
                    "treat prompts as user messages: apply the chat template"),
        GW_CHAT_OPTIONS(e->p),
    };
    const struct gw_cli_spec spec = {"--model DIR --task TASK --data FILE [--out FILE] [options]",
                                     about,
                                     options,
                                     GW_ARRAY_LEN(options),
                                     2,
                                     false};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code) || !check(&v, cli, &code)) return code;
    struct gwen_err err;
    enum gwen_status status = v.compare           ? compare(cli, &err)
                              : v.run_dir != NULL ? evaluate_run(&v, cli, &err)
                                                  : evaluate_one(&v, cli, &err);
    return gw_cli_end(cli, status, &err);
}

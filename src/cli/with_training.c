/* with_training.c - see with_training.h. */
#include "cli/with_training.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/shown.h"

#include "checkpoint/dtype.h"
#include "service/record/fingerprint.h"
#include "service/train/adapter.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* --- options -------------------------------------------------------------------------------- */

const struct gw_option *gw_training_options(struct gw_cli *cli, struct gw_training *t,
                                            const struct gw_option *own, size_t n_own, size_t *n) {
    const size_t n_train = gw_train_option_count(t->config.kind);
    struct gw_option *all = gw_cli_alloc(cli, (n_own + n_train) * sizeof *all);
    memcpy(all, own, n_own * sizeof *own);
    for (size_t i = 0; i < n_train; i++) {
        const struct gw_train_option o = gw_train_option_at(t->config.kind, i);
        all[n_own + i] = (struct gw_option){.name = o.name,
                                            .kind = GW_OPTION_TRAIN,
                                            .value = &t->config,
                                            .arg = o.arg,
                                            .help = o.help};
    }
    *n = n_own + n_train;
    return all;
}

/* Options of an adapter that is not there, or that says so itself, would be lost silently. */
static bool check_adapter(struct gw_training *t, struct gw_cli *cli, int *code) {
    const bool given = cli->common.adapter != NULL;
    const char *name;
    for (size_t i = 0; (name = gw_adapter_option(i)) != NULL; i++) {
        if (!gw_cli_given(cli, name) || (t->config.use_peft && !given)) continue;
        *code =
            given ? gw_cli_usage(cli, "%s cannot be given with --adapter, which has its own", name)
                  : gw_cli_usage(cli, "%s needs --use_peft", name);
        return false;
    }
    t->config.use_peft = t->config.use_peft || given;
    return true;
}

bool gw_training_check(struct gw_training *t, struct gw_cli *cli, int *code) {
    struct gwen_err err;
    *code = 0;
    if (!check_adapter(t, cli, code)) return false;
    if (t->out == NULL && !t->only_check && t->show == 0)
        *code = gw_cli_usage(cli, "--out DIR is needed: the folder of the run");
    else if (gw_learner_check(&t->config, &err) != GWEN_OK)
        *code = gw_cli_usage(cli, "%s", gw_cli_message(cli, &err));
    return *code == 0 && gw_prompting_check(&t->p, cli, code);
}

/* --- the run -------------------------------------------------------------------------------- */

static enum gwen_status say(void *ctx, const char *text, size_t len, struct gwen_err *err) {
    struct gw_training *t = ctx;
    gw_bar_clear(&t->p.rt.cli->bar);
    gw_cli_log_line(t->p.rt.cli, "", text, len);
    if (t->p.rt.cli->common.quiet) return GWEN_OK;
    struct gw_str shown = {0}; /* for people, wherever it goes; completions may be in it */
    gw_str_put_shown(&shown, text, len, GW_SHOWN_LINES);
    enum gwen_status status = gw_cli_put(t->p.rt.cli, &shown, err);
    gw_str_free(&shown);
    return status;
}

/* What is reported is a phase of the step in progress: that after the last one. */
static bool report(void *ctx, const struct gwen_progress *progress) {
    struct gw_training *t = ctx;
    gw_training_at(t);
    return gw_cli_progress(t->p.rt.cli, progress);
}

void gw_training_at(struct gw_training *t) {
    struct gw_bar *bar = &t->p.rt.cli->bar;
    if (t->run.total_steps == 0) return;
    gw_steps_at(&bar->steps, gw_now_ns(), GW_MIN(t->run.state.step + 1, t->run.total_steps),
                t->run.total_steps);
}

static bool keep_going(void *ctx) { return gw_interrupt_none(ctx); }

/* The adapter is that of the checkpoint, of --adapter, or made by the options. */
static enum gwen_status find_adapter(struct gw_training *t, struct gwen_err *err) {
    struct gw_runtime *rt = &t->p.rt;
    if (!t->config.use_peft) return GWEN_OK;
    if (t->run.checkpoint.len > 0) return gw_runtime_adapter(rt, t->run.checkpoint.data, err);
    t->fresh = rt->adapter == NULL;
    return t->fresh ? gw_adapter_plan(&t->config, rt->arith.format, &rt->cfg, err) : GWEN_OK;
}

enum gwen_status gw_training_open(struct gw_training *t, struct gw_cli *cli, struct gwen_err *err) {
    GW_TRY(gw_prompting_open(&t->p, cli, err));
    t->host = (struct gw_train_host){&cli->log, cli->common.json, say, keep_going, t, report};
    t->made_out = t->only_check && t->out != NULL && !gw_dir_exists(t->out);
    if (t->out != NULL && t->show == 0)
        GW_TRY(gw_train_run_find(&t->run, t->out, t->resume, &t->config, &t->host, err));
    GW_TRY(find_adapter(t, err));
    gw_str_puts(&t->source, t->p.rt.dir.data);
    return t->source.failed ? gw_nomem(err, t->source.len, "a path") : GWEN_OK;
}

static void log_plan(const struct gw_training *t, const struct gw_plan_options *options) {
    static const char *const recompute[] = {"nothing", "all but attention", "whole layers"};
    struct gw_str s = {0};
    gw_runtime_put_plan(&t->p.rt, options, &s);
    if (!s.failed) gw_log(&t->p.rt.cli->log, GWEN_LOG_INFO, "%s", s.data);
    gw_str_free(&s);
    gw_log(&t->p.rt.cli->log, GWEN_LOG_DEBUG,
           "passes of at most %zu tokens and %zu samples, %s computed again",
           options->trainer.max_rows, options->trainer.micro_batch,
           recompute[options->trainer.recompute]);
}

/* The weights that are trained come from the checkpoint that the run goes on from. */
static enum gwen_status load_model(struct gw_training *t, const struct gw_plan_options *plan,
                                   struct gwen_err *err) {
    struct gw_runtime *rt = &t->p.rt;
    struct gw_str *dir = &rt->dir;
    if (t->run.checkpoint.len > 0 && !t->config.use_peft) {
        gw_str_clear(dir);
        gw_str_puts(dir, t->run.checkpoint.data);
        if (dir->failed) return gw_nomem(err, t->run.checkpoint.len, "a path");
    }
    GW_TRY(gw_runtime_load(rt, plan, err));
    if (t->fresh) GW_TRY(gw_adapter_create(&t->config, rt->model, err));
    if (!t->config.use_peft) return GWEN_OK;
    if (rt->model->lora->opts.own_ranks)
        return gw_fail(err, GWEN_ERR_UNSUPPORTED,
                       "adapter %s: training with rank_pattern or alpha_pattern is not supported",
                       rt->adapter);
    if (rt->model->lora->opts.dropout != 0)
        return gw_fail(err, GWEN_ERR_UNSUPPORTED,
                       "adapter %s: training with lora_dropout %g is not supported: only 0 is",
                       rt->adapter, rt->model->lora->opts.dropout);
    return gw_lora_name_base(rt->model->lora, rt->cli->common.model, err);
}

/* How the machine is used, for the checkpoint: it changes no result, but tells how it was made. */
static void put_profile(const struct gw_training *t, const struct gw_plan_options *plan,
                        struct gw_str *out) {
    static const char *const recompute[] = {"none", "attn", "layer"};
    const struct gw_runtime *rt = &t->p.rt;
    gw_str_printf(out,
                  "{\"tuned\":%s,\"threads\":%d,\"numeric_class\":\"%s\","
                  "\"rollout_batch_size\":%zu,\"prefill_rows\":%zu,\"train_micro_batch\":%zu,"
                  "\"train_max_rows\":%zu,\"recompute\":\"%s\"}",
                  rt->is_tuned ? "true" : "false", rt->n_threads, gw_runtime_class(rt),
                  plan->engine.slots, plan->engine.prefill_rows, plan->trainer.micro_batch,
                  plan->trainer.max_rows, recompute[plan->trainer.recompute]);
}

static enum gwen_status add_files(struct gw_training *t, const char *name, const char *dir,
                                  struct gwen_err *err) {
    uint64_t hash;
    GW_TRY(gw_files_fingerprint(dir, t->p.rt.pool, &hash, err));
    gw_provenance_add(&t->origin, name, "%016" PRIx64, hash);
    return GWEN_OK;
}

/* Weights that are trained are in the checkpoint; those that stay as they are have to be the
 * same. */
static enum gwen_status add_origin(struct gw_training *t, struct gwen_err *err) {
    const struct gw_runtime *rt = &t->p.rt;
    const char *adapter = rt->cli->common.adapter;
    gw_provenance_add(&t->origin, "dtype", "%s", gw_dtype_torch_name(rt->dtype));
    gw_provenance_add(&t->origin, "numeric class", "%s", gw_runtime_class(rt));
    gw_provenance_add(&t->origin, "tokenizer", "%016" PRIx64,
                      gw_tokenizer_fingerprint(rt->tokenizer));
    if (t->config.use_peft || t->has_reference) GW_TRY(add_files(t, "model", t->source.data, err));
    if (t->has_reference && adapter != NULL) GW_TRY(add_files(t, "adapter", adapter, err));
    return GWEN_OK;
}

/* What goes to the disk. */
static void count_bytes(const struct gw_training *t, struct gw_train_job *job) {
    const struct gw_runtime *rt = &t->p.rt;
    job->checkpoint_bytes += gw_learner_saved_bytes(&t->config, &rt->cfg, rt->dtype);
    job->model_bytes = rt->cfg.lora_width > 0
                           ? rt->cfg.lora_floats * sizeof(float)
                           : gw_config_n_params(&rt->cfg) * gw_dtype_bytes(rt->dtype);
    /* Beside an adapter these are most of it. */
    job->checkpoint_bytes += gw_tokenizer_copy_bytes(t->source.data);
    job->model_bytes += gw_tokenizer_copy_bytes(t->source.data);
}

static enum gwen_status open_run(struct gw_training *t, const struct gw_plan_options *plan,
                                 struct gw_train_job *job, struct gwen_err *err) {
    struct gw_str profile = {0};
    put_profile(t, plan, &profile);
    job->profile = &profile;
    enum gwen_status status = profile.failed ? gw_nomem(err, profile.len, "a profile")
                                             : gw_train_run_open(&t->run, job, err);
    job->profile = NULL;
    gw_str_free(&profile);
    return status;
}

enum gwen_status gw_training_load(struct gw_training *t, struct gw_plan_options *plan,
                                  const struct gw_train_work *work, struct gw_train_job *job,
                                  struct gwen_err *err) {
    struct gw_runtime *rt = &t->p.rt;
    const struct gw_train_cut cut = {.micro_batch = t->micro_batch,
                                     .tuned = rt->is_tuned ? rt->profile.train_micro_batch : 0,
                                     .recompute = t->recompute - 1,
                                     .stride = t->stride};
    const bool resumed = t->run.checkpoint.len > 0;
    plan->optimizer_bf16 = t->config.optim == GW_OPTIM_ADAMW_BF16;
    GW_TRY(gw_train_plan(&cut, work, rt->budget, plan, err));
    count_bytes(t, job);
    GW_TRY(add_origin(t, err));
    job->origin = &t->origin;
    if (t->only_check) {
        GW_TRY(gw_runtime_check(rt, plan, err));
        return t->out != NULL ? gw_train_run_check(&t->run, job, err) : GWEN_OK;
    }
    log_plan(t, plan);
    struct gw_learner_opts opts = {
        .config = &t->config,
        .total_steps = job->total_steps,
        .trainer = plan->trainer,
        .model_dir = t->source.data,
        .checkpoint = resumed ? t->run.checkpoint.data : NULL,
        .step = t->run.state.step,
        .skipped = t->run.state.skipped,
        .log = &rt->cli->log,
    };
    opts.trainer.go_on = gw_interrupt_none;
    GW_TRY(load_model(t, plan, err));
    GW_TRY(gw_learner_create(rt->model, rt->pool, &opts, &t->learner, err));
    GW_TRY(open_run(t, plan, job, err));
    gw_interrupt_tell(
        "gwen-cpu: interrupted: the unfinished step is dropped, the last finished one is "
        "saved; a further signal ends it at once\n");
    return GWEN_OK;
}

/* --- validate ------------------------------------------------------------------------------- */

const char gw_validate_usage[] = "CONFIG.json [options]";
const char gw_validate_about[] =
    "Checks that a training run could begin, without training: the options, the model's\n"
    "configuration, the data, the rewards (a command is started and given one row), the\n"
    "memory plan, and whether --out can be written and has room.  CONFIG.json is what train\n"
    "or sft take by --config; it is sft's when it has \"data\", else train's, whose options\n"
    "are listed here.  Exit status 0: it could begin; 1: it could not, and one line says why.";

enum gwen_status gw_training_tell(const struct gw_training *t, const struct gw_plan_options *plan,
                                  const struct gw_train_job *job, struct gwen_err *err) {
    struct gw_cli *cli = t->p.rt.cli;
    struct gw_plan bytes;
    struct gw_str s = {0};
    gw_plan_make(plan, &bytes);
    if (cli->common.json) {
        gw_str_printf(&s,
                      "{\"valid\":true,\"steps\":%" PRIu64 ",\"budget_bytes\":%zu,\"plan\":{"
                      "\"weights\":%zu,\"kv\":%zu,\"scratch\":%zu,\"gradients\":%zu,"
                      "\"optimizer\":%zu,\"total\":%zu}}\n",
                      job->total_steps, t->p.rt.budget, bytes.weights, bytes.kv, bytes.scratch,
                      bytes.gradients, bytes.optimizer, bytes.total);
    } else {
        gw_runtime_put_plan(&t->p.rt, plan, &s);
        gw_str_printf(&s, "\nvalid: %" PRIu64 " steps over %s\n", job->total_steps, job->data_path);
    }
    enum gwen_status status = gw_cli_put(cli, &s, err);
    gw_str_free(&s);
    return status;
}

void gw_training_close(struct gw_training *t) {
    if (t->made_out) rmdir(t->out);
    gw_learner_free(t->learner);
    gw_train_run_close(&t->run);
    gw_str_free(&t->source);
    gw_provenance_free(&t->origin);
    gw_prompting_close(&t->p);
}

/* train.c - gwen-cpu train: GRPO. */
#include "cli/commands/train_judge.h"

#include "engine/scorer.h"
#include "model/lora.h"
#include "service/eval/eval.h"
#include "service/reward/cmd.h"
#include "service/train/grpo/grpo.h"

#include <string.h>

struct train {
    struct gw_training t;
    const char *prompts_path, *eval_path, *reward_command;
    struct gw_words reward_specs;
    double reward_timeout;
    size_t batch;
    bool verify, stop_on_collapse, eval_full_sweep;
    struct gw_prompts prompts, eval_prompts;
    struct gw_rewards *rewards;
    struct gw_rollout_opts rollout;
    struct gw_rollout_plan rollout_plan;
    struct gw_model *reference;
    struct gw_lora *reference_lora;
    struct gw_scorer *scorer;
    struct gw_train_judge judge;
};

/* --- rewards -------------------------------------------------------------------------------- */

static bool reward_keep_going(void *user) { return gw_interrupt_none(user); }

static enum gwen_status make_rewards(struct train *s, struct gw_cli *cli, struct gwen_err *err) {
    const struct gw_train_config *c = &s->t.config;
    struct gw_reward_cmd_opts opts = GW_REWARD_CMD_OPTS_INIT;
    opts.command = s->reward_command;
    opts.timeout_s = s->reward_timeout;
    opts.keep_going = reward_keep_going;
    opts.log = &cli->log;
    GW_TRY(gw_rewards_new(&s->rewards, err));
    for (size_t i = 0; i < s->reward_specs.n; i++)
        GW_TRY(gw_rewards_add(s->rewards, s->reward_specs.items[i], err));
    if (s->reward_command != NULL) GW_TRY(gw_rewards_add_command(s->rewards, &opts, err));
    if (c->n_reward_weights == 0) return GWEN_OK;
    return gw_rewards_set_weights(s->rewards, c->reward_weights, c->n_reward_weights, err);
}

/* A reward that has something to say about no prompt at all is a mistake. */
static enum gwen_status check_rewards(const struct train *s, struct gwen_err *err) {
    for (size_t k = 0; k < gw_rewards_count(s->rewards); k++) {
        bool any = false;
        for (size_t i = 0; i < s->prompts.n && !any; i++)
            GW_TRY(gw_rewards_applies(s->rewards, k, s->prompts.rows[i].meta,
                                      s->prompts.rows[i].meta_len, &any, err));
        if (!any)
            return gw_fail(err, GWEN_ERR_ARGUMENT,
                           "%s: no row has what the reward %s looks at (see gwen-cpu train -h)",
                           s->prompts_path, gw_rewards_name(s->rewards, k));
    }
    return GWEN_OK;
}

/* Has the rewards score the first prompt with a completion that ends at once. */
static enum gwen_status try_rewards(struct train *s, struct gw_cli *cli, struct gwen_err *err) {
    const struct gw_runtime *rt = &s->t.p.rt;
    const struct gw_prompt *p = &s->prompts.rows[0];
    struct gw_str text = {0};
    enum gwen_status status = GWEN_OK;
    if (rt->tokenizer != NULL)
        status = gw_tokenizer_decode(rt->tokenizer, p->ids, p->n, true, &text, err);
    const struct gw_reward_input in = {.prompt = text.data != NULL ? text.data : "",
                                       .prompt_len = text.len,
                                       .completion = "",
                                       .ids = rt->eos.ids,
                                       .n = GW_MIN(rt->eos.n, (size_t)1),
                                       .meta = p->meta,
                                       .meta_len = p->meta_len};
    float *scores = gw_cli_alloc(cli, gw_rewards_count(s->rewards) * sizeof *scores);
    if (status == GWEN_OK) status = gw_rewards_score(s->rewards, &in, 1, scores, err);
    gw_str_free(&text);
    return status;
}

/* --- memory --------------------------------------------------------------------------------- */

static struct gw_train_work work_of(const struct train *s) {
    const struct gw_grpo_sizes size = gw_grpo_sizes(&s->t.config);
    /* A step that uses a part of a rollout gets it out of all groups, which are shuffled. */
    const bool part = size.micro_batches > size.accumulation;
    return (struct gw_train_work){.samples = size.step_completions,
                                  .max_len = s->prompts.max_prompt + s->prompts.max_tokens,
                                  .max_prompt = s->prompts.max_prompt,
                                  .group = size.group,
                                  .prompts = part ? size.prompts : 0,
                                  .temperature = s->t.config.temperature};
}

/* Tokens of prompt and completion that a judge may get to see. */
static size_t longest_text(const struct train *s) {
    return GW_MAX(s->prompts.max_prompt + s->prompts.max_tokens,
                  s->eval_prompts.max_prompt + s->eval_prompts.max_tokens);
}

static void set_sampling(struct train *s) {
    const struct gw_train_config *c = &s->t.config;
    struct gw_sampling *to = &s->t.p.sampling;
    to->temperature = c->temperature;
    to->top_p = c->top_p;
    to->top_k = c->top_k;
    to->min_p = isnan(c->min_p) ? 0 : c->min_p;
    to->repetition_penalty = c->repetition_penalty;
    s->rollout = gw_prompting_rollout(&s->t.p, c->num_generations);
    s->rollout.seed = c->seed;
}

static void set_scorer(struct train *s, const struct gw_train_work *work,
                       struct gw_plan_options *plan) {
    plan->reference = s->t.config.beta > 0;
    plan->scorer.max_len = work->max_len;
    plan->scorer.rows = 256;
    plan->scorer.n_blocks = gw_kv_blocks_for(work->max_len) + 1;
    plan->scorer.temperature = s->t.config.temperature;
    plan->scorer.frozen = s->t.config.use_peft;
    plan->scorer.progress = gw_interrupt_none;
}

/* Refuses when a trainer does not fit with an engine of one sample at a time: what is advised has
 * to leave room for both. */
static enum gwen_status check_both(const struct train *s, const struct gw_train_work *work,
                                   const struct gw_train_cut *least,
                                   const struct gw_plan_options *plan, struct gwen_err *err) {
    struct gw_plan_options both = *plan;
    both.engine = (struct gw_engine_opts){.slots = 1,
                                          .prefill_rows = GW_ENGINE_PREFILL_ROWS,
                                          .max_prompt = work->max_prompt,
                                          .max_new = s->prompts.max_tokens,
                                          .max_group = 1};
    return gw_train_plan(least, work, s->t.p.rt.budget, &both, err);
}

/* The engine's size: what is left beside a trainer that is as small as can be. */
static enum gwen_status plan_rollout(struct train *s, const struct gw_train_work *work,
                                     struct gw_plan_options *plan, struct gwen_err *err) {
    struct gw_runtime *rt = &s->t.p.rt;
    const struct gw_train_cut least = {.micro_batch = 1, .recompute = GW_RECOMPUTE_LAYER};
    struct gw_plan_options base = *plan, small = *plan;
    struct gw_plan taken;
    struct gw_speed speed;
    /* A rollout's share of the data. */
    struct gw_prompts step = s->prompts;
    step.n = gw_grpo_sizes(&s->t.config).prompts;
    step.n_tokens = s->prompts.n_tokens / s->prompts.n * step.n;
    if (!gw_train_fit(&least, work, rt->budget, &small))
        return check_both(s, work, &least, plan, err);
    gw_plan_make(&small, &taken);
    base.other = taken.total - gw_plan_weights(&rt->cfg, rt->arith.format);
    if (s->batch == 0) gw_runtime_speed(rt, &speed);
    struct gw_rollout_opts opts = s->rollout;
    if (s->eval_path != NULL) {
        step.max_prompt = GW_MAX(step.max_prompt, s->eval_prompts.max_prompt);
        step.max_tokens = GW_MAX(step.max_tokens, s->eval_prompts.max_tokens);
        opts.groups = gw_grpo_eval_groups(&s->t.config, s->eval_full_sweep);
    }
    const enum gwen_status status =
        gw_rollout_plan(&base, &speed, &step, &opts, s->batch, rt->budget, &s->rollout_plan, err);
    if (status == GWEN_ERR_NOMEM) GW_TRY(check_both(s, work, &least, plan, err));
    GW_TRY(status);
    plan->engine = s->rollout_plan.options.engine;
    gw_log(&rt->cli->log, GWEN_LOG_DEBUG, "rollout batch size %zu: %s", plan->engine.slots,
           s->rollout_plan.why);
    return GWEN_OK;
}

/* The policy before training, for the KL: a second model, or with an adapter the same one without
 * it, or with the adapter that the run began with. */
static enum gwen_status load_reference(struct train *s, struct gw_plan_options *plan,
                                       struct gwen_err *err) {
    const struct gw_runtime *rt = &s->t.p.rt;
    const char *adapter = rt->cli->common.adapter;
    const struct gw_model_opts opts = {
        .dtype = rt->dtype, .isa_cap = rt->cli->common.isa_cap, .log = &rt->cli->log};
    if (!plan->reference) return GWEN_OK;
    if (plan->scorer.frozen && adapter != NULL) {
        GW_TRY(gw_lora_read(&rt->cfg, &rt->arith, adapter, &s->reference_lora, err));
        gw_lora_pack(s->reference_lora, &rt->kern);
        plan->scorer.lora = s->reference_lora;
    }
    if (!plan->scorer.frozen)
        GW_TRY(gw_model_load(s->t.source.data, &opts, rt->pool, &s->reference, err));
    return gw_scorer_create(s->reference != NULL ? s->reference : rt->model, rt->pool,
                            &plan->scorer, &s->scorer, err);
}

/* --- the run -------------------------------------------------------------------------------- */

static enum gwen_status read_prompts(struct train *s, struct gwen_err *err) {
    const struct gw_prompt_opts opts =
        gw_prompting_prompts(&s->t.p, s->t.config.max_completion_length, false);
    GW_TRY(gw_prompts_read(s->prompts_path, &opts, &s->prompts, err));
    const struct gw_grpo_sizes size = gw_grpo_sizes(&s->t.config);
    if (s->prompts.n >= size.prompts) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_ARGUMENT,
                   "%s: %zu prompts, but a rollout takes %zu: %zu completions "
                   "(per_device_train_batch_size times gradient_accumulation_steps, or times "
                   "steps_per_generation), num_generations %zu of each prompt",
                   s->prompts_path, s->prompts.n, size.prompts, size.completions, size.group);
}

/* In the full sweep it is the first reward that says what is right. */
static enum gwen_status read_eval_prompts(struct train *s, struct gwen_err *err) {
    const struct gw_prompt_opts opts =
        gw_prompting_prompts(&s->t.p, s->t.config.max_completion_length, false);
    if (s->eval_path == NULL) return GWEN_OK;
    GW_TRY(gw_prompts_read(s->eval_path, &opts, &s->eval_prompts, err));
    return gw_eval_check_prompts(s->rewards, &s->eval_prompts, s->eval_path, err);
}

/* What decides the results and is neither an option of TRL's nor the data. */
static enum gwen_status add_origin(struct train *s, struct gwen_err *err) {
    struct gw_provenance *p = &s->t.origin;
    struct gw_str specs = {0};
    gw_provenance_sampling(p, &s->rollout);
    for (size_t i = 0; i < s->reward_specs.n; i++)
        gw_str_printf(&specs, "%s%s", i > 0 ? " " : "", s->reward_specs.items[i]);
    if (specs.len > 0) gw_provenance_add_text(p, "rewards", specs.data);
    enum gwen_status status = specs.failed ? gw_nomem(err, specs.len, "rewards") : GWEN_OK;
    gw_str_free(&specs);
    if (s->reward_command != NULL) gw_provenance_add_text(p, "reward command", s->reward_command);
    s->t.has_reference =
        s->t.config.beta > 0 || (s->judge.rubric_path != NULL && s->judge.model_dir == NULL);
    return status == GWEN_OK ? gw_train_judge_origin(&s->judge, p, err) : status;
}

static enum gwen_status train(struct train *s, struct gw_cli *cli, struct gwen_err *err) {
    struct gw_training *t = &s->t;
    GW_TRY(make_rewards(s, cli, err));
    GW_TRY(gw_training_open(t, cli, err));
    GW_TRY(read_prompts(s, err));
    GW_TRY(check_rewards(s, err));
    GW_TRY(read_eval_prompts(s, err));
    GW_TRY(gw_train_judge_open(&s->judge, t, s->rewards, err));
    struct gw_plan_options plan = gw_runtime_plan(&t->p.rt);
    const struct gw_train_work work = work_of(s);
    set_sampling(s);
    set_scorer(s, &work, &plan);
    plan.optimizer_bf16 = t->config.optim == GW_OPTIM_ADAMW_BF16;
    const size_t n_rewards = gw_rewards_count(s->rewards);
    plan.other += gw_grpo_bytes(&t->config, &s->prompts, n_rewards);
    plan.other += gw_grpo_eval_bytes(&t->config, &s->eval_prompts, n_rewards);
    if (plan.reference && cli->common.adapter != NULL) plan.other += t->p.rt.cfg.lora_bytes;
    GW_TRY(gw_train_judge_plan(&s->judge, longest_text(s), &plan, err));
    GW_TRY(plan_rollout(s, &work, &plan, err));
    struct gw_train_job job = {.total_steps = gw_grpo_total_steps(&t->config, s->prompts.n),
                               .data = gw_prompts_hash(&s->prompts),
                               .data_path = s->prompts_path,
                               .checkpoint_bytes = gw_grpo_saved_bytes(&t->config, &s->prompts)};
    GW_TRY(add_origin(s, err));
    GW_TRY(gw_training_load(t, &plan, &work, &job, err));
    if (t->only_check) {
        /* A judge has no weights yet, and is none of them. */
        if (gw_rewards_count(s->rewards) > 0) GW_TRY(try_rewards(s, cli, err));
        return gw_training_tell(t, &plan, &job, err);
    }
    GW_TRY(load_reference(s, &plan, err));
    gw_train_judge_share(&s->judge, s->reference);
    const struct gw_grpo_run_opts opts = {.pool = t->p.rt.pool,
                                          .tokenizer = t->p.rt.tokenizer,
                                          .prompts = &s->prompts,
                                          .rewards = s->rewards,
                                          .rollout = s->rollout,
                                          .plan = &s->rollout_plan,
                                          .reference = s->scorer,
                                          .numeric_class = gw_runtime_class(&t->p.rt),
                                          .eval_prompts =
                                              s->eval_path != NULL ? &s->eval_prompts : NULL,
                                          .eval_full_sweep = s->eval_full_sweep,
                                          .verify = s->verify,
                                          .stop_on_collapse = s->stop_on_collapse,
                                          .progress = t->host.progress,
                                          .progress_user = t->host.ctx};
    return gw_grpo_run(&t->run, t->learner, &opts, err);
}

static void put_reward_kinds(struct gw_str *s) {
    for (size_t i = 0; i < gw_reward_kind_count(); i++) {
        const struct gw_reward_kind k = gw_reward_kind_at(i);
        struct gw_str name = {0};
        gw_str_printf(&name, "%s%s%s", k.name, k.argument != NULL ? ":" : "",
                      k.argument != NULL ? k.argument : "");
        gw_str_printf(s, "  %-18s %s\n", name.data != NULL ? name.data : "", k.help);
        gw_str_free(&name);
    }
}

static const char about[] =
    "Trains by GRPO.  Each step samples num_generations completions for each of its\n"
    "prompts, has them rewarded, and takes one optimizer step; a step has\n"
    "per_device_train_batch_size times gradient_accumulation_steps completions.  With\n"
    "steps_per_generation and num_iterations a rollout feeds several steps.  Prompts are\n"
    "rows as for rollout; what else a row holds (\"answer\", ...) is there for rewards:\n";
static const char about_rest[] =
    "--reward-cmd is a program that is given a line of JSON {\"id\", \"prompt\",\n"
    "\"completion\", \"ids\", \"meta\"} for each completion and answers {\"id\", \"reward\"} in\n"
    "any order; null: nothing to say.  Ids only tell which answer belongs to which row: they\n"
    "begin at 0 whenever the command train does.\n"
    "\n"
    "The prompts of --eval-prompts are rewarded every eval_steps: eval/reward/func/NAME\n"
    "and others in metrics.jsonl.  --eval-full-sweep evaluates them in the end as eval\n"
    "does, with num_generations samples and the first reward, into OUT/eval.jsonl: a row\n"
    "of its own has eval_full/accuracy, eval_full/mean_at_k and others.\n"
    "\n"
    "--judge has a frozen model grade each completion by a rubric (gwen-cpu judge -h); the\n"
    "rewards \"judge/CRITERION\" are added to others with --judge-weight.  It is shown the\n"
    "text of a prompt, of a conversation the last message of its user.\n"
    "\n"
    "Into --out go metrics.jsonl with TRL's names, TensorBoard's events,\n"
    "rollouts/step-N.jsonl, checkpoint-N every save_steps and at the end, and the trained\n"
    "model itself: a Hugging Face directory.  After an interruption, of whatever kind,\n"
    "--resume goes on from the newest checkpoint and ends with the same weights, bit for\n"
    "bit.  Threads, batch sizes of rollout and training, and --recompute change no result.\n"
    "Options with underscores have the names, meanings and defaults of TRL's GRPOConfig.";

static const char *make_about(struct gw_cli *cli) {
    struct gw_str s = {0};
    gw_str_puts(&s, about);
    put_reward_kinds(&s);
    gw_str_puts(&s, about_rest);
    if (s.failed) return about;
    char *text = gw_cli_alloc(cli, s.len + 1);
    memcpy(text, s.data, s.len + 1);
    gw_str_free(&s);
    return text;
}

static bool check(struct train *s, struct gw_cli *cli, int *code) {
    struct gwen_err err;
    *code = 0;
    if (s->prompts_path == NULL)
        *code = gw_cli_usage(cli, "--prompts FILE is needed");
    else if (s->eval_path == NULL && (s->t.config.eval_steps > 0 || s->eval_full_sweep))
        *code = gw_cli_usage(cli, "%s needs --eval-prompts FILE",
                             s->eval_full_sweep ? "--eval-full-sweep" : "eval_steps");
    else if (s->eval_path != NULL && s->t.config.eval_steps == 0 && !s->eval_full_sweep)
        *code = gw_cli_usage(cli, "--eval-prompts needs eval_steps or --eval-full-sweep");
    else if (s->reward_specs.n == 0 && s->reward_command == NULL && s->judge.rubric_path == NULL)
        *code = gw_cli_usage(cli, "--reward NAME, --reward-cmd COMMAND or --judge FILE is needed");
    else if (s->judge.rubric_path == NULL &&
             (s->judge.model_dir != NULL || s->judge.cache_path != NULL))
        *code = gw_cli_usage(cli, "--judge-model and --judge-cache need --judge FILE");
    else if (gw_grpo_check(&s->t.config, &err) != GWEN_OK)
        *code = gw_cli_usage(cli, "%s", gw_cli_message(cli, &err));
    return *code == 0 && gw_training_check(&s->t, cli, code);
}

int gw_cmd_train(struct gw_cli *cli, int argc, char **argv) {
    struct train s = {
        .t = {.p.sampling = GW_SAMPLING_INIT, .only_check = strcmp(cli->command, "validate") == 0},
        .reward_timeout = 60,
        .judge = GW_TRAIN_JUDGE_INIT};
    gw_train_config_init(&s.t.config, GW_TRAIN_GRPO);
    const struct gw_option own[] = {
        GW_OPT_STRING("prompts", 'p', &s.prompts_path, "FILE",
                      "prompts, a JSONL file; -: standard input"),
        GW_OPT_WORDS("reward", 'r', &s.reward_specs, "NAME[:ARG]",
                     "built-in reward function, see above; repeatable"),
        GW_OPT_STRING("reward-cmd", 0, &s.reward_command, "COMMAND",
                      "program that computes rewards, see above"),
        GW_OPT_REAL("reward-timeout", 0, &s.reward_timeout, 0.01, 1e6,
                    "restart that program after so many seconds without an answer"),
        GW_TRAIN_JUDGE_OPTIONS(s.judge),
        GW_TRAINING_OPTIONS(s.t),
        GW_OPT_AUTO("rollout-batch-size", 'B', &s.batch, 1, 1 << 16, "samples decoded together"),
        GW_OPT_STRING("eval-prompts", 0, &s.eval_path, "FILE",
                      "prompts to evaluate on every eval_steps, a JSONL file"),
        GW_OPT_FLAG("eval-full-sweep", 0, &s.eval_full_sweep,
                    "also evaluate on them at the end as gwen-cpu eval does, into OUT/eval.jsonl"),
        GW_OPT_FLAG("verify-logprobs", 0, &s.verify,
                    "fail unless training gives the log-probabilities that were recorded while "
                    "sampling, to the last bit"),
        GW_OPT_FLAG("stop-on-collapse", 0, &s.stop_on_collapse,
                    "stop the run when entropy, length, rewards or KL show that it has collapsed"),
        GW_OPT_WORDS("stop", 0, &s.t.p.stops, "TEXT",
                     "stop a completion when its text contains this; repeatable"),
        GW_OPT_FLAG("chat", 0, &s.t.p.as_chat,
                    "treat prompts as user messages: apply the chat template"),
        GW_CHAT_OPTIONS(s.t.p),
    };
    size_t n;
    const struct gw_option *options = gw_training_options(cli, &s.t, own, GW_ARRAY_LEN(own), &n);
    const bool only_check = s.t.only_check;
    const struct gw_cli_spec spec = {
        only_check ? gw_validate_usage : "--model DIR -p FILE -r REWARD --out DIR [options]",
        only_check ? gw_validate_about : make_about(cli),
        options,
        n,
        0,
        true};
    int code;
    if (!gw_cli_parse(cli, &spec, argc, argv, &code) || !check(&s, cli, &code)) return code;
    struct gwen_err err;
    enum gwen_status status = train(&s, cli, &err);
    gw_rewards_free(s.rewards);
    gw_train_judge_close(&s.judge);
    gw_scorer_free(s.scorer);
    gw_lora_free(s.reference_lora);
    gw_model_free(s.reference);
    gw_prompts_free(&s.prompts);
    gw_prompts_free(&s.eval_prompts);
    gw_training_close(&s.t);
    return gw_cli_end(cli, status, &err);
}

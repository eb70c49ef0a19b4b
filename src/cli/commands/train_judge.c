/* train_judge.c - see train_judge.h. */
#include "cli/commands/train_judge.h"

#include "base/file.h"
#include "base/rng.h"
#include "checkpoint/hub.h"
#include "checkpoint/safetensors/safetensors.h"
#include "cli/date.h"

#include "service/record/fingerprint.h"

#include <inttypes.h>
#include <time.h>

/* Texts cross from tokenizer to tokenizer: how many tokens they may become for each that they were,
 * and for the same tokenizer how many more. */
enum { OTHER_TOKENIZER = 2, RETOKENISED = 16 };

static enum gwen_status find_dtype(struct gw_train_judge *j, struct gwen_err *err) {
    struct gw_safetensors *st;
    j->dtype = j->training->p.rt.cli->common.dtype;
    if (j->dtype != GW_DTYPE_NONE) return GWEN_OK;
    GW_TRY(gw_safetensors_open(j->dir.data, &st, err));
    j->dtype = gw_model_auto_dtype(gw_safetensors_dtype(st));
    gw_safetensors_close(st);
    return GWEN_OK;
}

/* A judge of its own: configuration and tokenizer, which may be quite different ones. */
static enum gwen_status find_own(struct gw_train_judge *j, struct gwen_err *err) {
    const struct gw_common *common = &j->training->p.rt.cli->common;
    GW_TRY(gw_hub_resolve(j->model_dir, common->cache_root, &j->dir, err));
    GW_TRY(gw_config_load(j->dir.data, &j->own_cfg, err));
    GW_TRY(gw_generation_config_load(j->dir.data, &j->generation, err));
    GW_TRY(find_dtype(j, err));
    return gw_tokenizer_load(j->dir.data, &j->own_tokenizer, err);
}

static enum gwen_status load(void *ctx, const struct gw_plan_options *plan, struct gw_model **model,
                             struct gw_pool **pool, struct gwen_err *err) {
    struct gw_train_judge *j = ctx;
    const struct gw_runtime *rt = &j->training->p.rt;
    const struct gw_model_opts opts = {
        .dtype = j->dtype, .isa_cap = rt->cli->common.isa_cap, .log = &rt->cli->log};
    (void)plan; /* it was part of the run's */
    if (j->shared == NULL && j->own_model == NULL)
        GW_TRY(gw_model_load(j->dir.data, &opts, rt->pool, &j->own_model, err));
    *model = j->own_model != NULL ? j->own_model : j->shared;
    *pool = rt->pool;
    return GWEN_OK;
}

static enum gwen_status make_judge(struct gw_train_judge *j, struct gwen_err *err) {
    const bool own = j->own_tokenizer != NULL;
    struct gw_runtime *rt = &j->training->p.rt;
    const struct gw_config *cfg = own ? &j->own_cfg : &rt->cfg;
    const struct gw_judge_opts opts = {
        .rubric = &j->rubric,
        .tokenizer = own ? j->own_tokenizer : rt->tokenizer,
        .now = &j->now,
        .mode = (enum gw_judge_mode)j->mode,
        .max_tokens = j->max_tokens,
        .chunk = j->chunk,
        .eos = gw_generation_eos(own ? &j->generation : &rt->generation, cfg),
        .plan = {.cfg = cfg,
                 .format = own ? gw_model_arith(j->dtype, &rt->kern).format : rt->arith.format,
                 .n_threads = rt->n_threads,
                 .scorer = {.budget = &rt->watch.budget,
                            .frozen = !own && j->training->config.use_peft}},
        .budget_bytes = SIZE_MAX,
        .load = load,
        .load_ctx = j,
        .cache = j->cache,
        .log = &rt->cli->log,
        .progress = gw_cli_progress,
        .progress_user = rt->cli};
    return gw_judge_create(&opts, &j->judge, err);
}

enum gwen_status gw_train_judge_open(struct gw_train_judge *j, struct gw_training *t,
                                     struct gw_rewards *rewards, struct gwen_err *err) {
    const time_t now = time(NULL);
    if (j->rubric_path == NULL) return GWEN_OK;
    j->training = t;
    j->dtype = t->p.rt.dtype;
    GW_TRY(gw_rubric_load(j->rubric_path, &j->rubric, err));
    if (t->p.date == NULL || !gw_date_parse(t->p.date, &j->now)) localtime_r(&now, &j->now);
    if (t->p.rt.tokenizer == NULL)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "--judge: %s has no tokenizer: a judge reads the text of completions",
                       t->p.rt.dir.data);
    if (j->model_dir != NULL) GW_TRY(find_own(j, err));
    if (j->cache_path != NULL && !t->only_check)
        GW_TRY(gw_judge_cache_open(j->cache_path, UINT64_C(1) << 30, &j->cache, err));
    GW_TRY(make_judge(j, err));
    if (t->only_check) return GWEN_OK; /* its plan is looked at, its weights are not loaded */
    return gw_judge_reward_add(rewards, j->judge, &j->rubric, j->weight, &t->p.rt.cli->log,
                               &j->reward, err);
}

enum gwen_status gw_train_judge_plan(struct gw_train_judge *j, size_t text_tokens,
                                     struct gw_plan_options *plan, struct gwen_err *err) {
    struct gw_plan_options own;
    struct gw_plan bytes;
    if (j->judge == NULL) return GWEN_OK;
    const bool other = j->own_tokenizer != NULL;
    const bool shares = !other && (plan->reference || j->training->config.use_peft);
    text_tokens = other ? OTHER_TOKENIZER * text_tokens : text_tokens + RETOKENISED;
    GW_TRY(gw_err_prefix(err, gw_judge_plan(j->judge, text_tokens, &own, err), "--judge"));
    gw_plan_make(&own, &bytes);
    gw_judge_hold(j->judge, bytes.total);
    plan->other += shares ? bytes.total - bytes.weights : bytes.total;
    if (shares || other) return GWEN_OK;
    gw_str_puts(&j->dir, j->training->source.data);
    return j->dir.failed ? gw_nomem(err, 0, "the judge") : GWEN_OK;
}

enum gwen_status gw_train_judge_origin(const struct gw_train_judge *j, struct gw_provenance *p,
                                       struct gwen_err *err) {
    struct gw_str rubric = {0};
    uint64_t model = 0;
    if (j->rubric_path == NULL) return GWEN_OK;
    GW_TRY(gw_file_read(j->rubric_path, GW_RUBRIC_MAX_BYTES, &rubric, err));
    gw_provenance_add(p, "judge's rubric", "%016" PRIx64, gw_hash64(rubric.data, rubric.len));
    gw_str_free(&rubric);
    gw_provenance_add(p, "judge", "weight %.17g, mode %d, max tokens %zu", j->weight, j->mode,
                      j->max_tokens);
    if (j->model_dir == NULL) return GWEN_OK;
    GW_TRY(gw_files_fingerprint(j->dir.data, j->training->p.rt.pool, &model, err));
    gw_provenance_add(p, "judge's model", "%016" PRIx64, model);
    return GWEN_OK;
}

void gw_train_judge_share(struct gw_train_judge *j, struct gw_model *reference) {
    if (j->judge != NULL && j->dir.len == 0)
        j->shared = reference != NULL ? reference : j->training->p.rt.model;
}

void gw_train_judge_close(struct gw_train_judge *j) {
    gw_judge_free(j->judge);
    gw_judge_reward_free(j->reward);
    gw_judge_cache_close(j->cache);
    gw_rubric_free(&j->rubric);
    gw_model_free(j->own_model);
    gw_tokenizer_free(j->own_tokenizer);
    gw_str_free(&j->dir);
}

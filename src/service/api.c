/* api.c - the public interface over the layers below: checks, defaults and sizes, no arithmetic. */
#include "base/budget.h"
#include "base/hw/hw.h"
#include "base/knob.h"
#include "checkpoint/config/generation.h"
#include "engine/engine.h"
#include "engine/scorer.h"
#include "text/tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

enum { SCORE_ROWS = 256, SCORE_WINDOW = 1024, DEFAULT_BATCH = 32, MAX_GROUP = 65536 };

struct gwen_model {
    struct gw_pool *pool;
    struct gw_model *model;
    struct gw_tokenizer *tokenizer; /* NULL: none */
    struct gw_log log;
    uint64_t max_memory; /* 0: what is free */
    struct gw_memory_watch watch;
    struct gw_generation_config generation;
    struct gw_eos eos;
};

void gwen_free(void *memory) { free(memory); }

/* The budget of the run that begins. */
static const struct gw_budget *watch_memory(struct gwen_model *m) {
    gw_memory_watch_init(&m->watch, &(struct gw_hw_opts){0}, m->max_memory != 0, &m->log);
    return &m->watch.budget;
}

/* --- models --------------------------------------------------------------------------------- */

static enum gw_dtype to_dtype(enum gwen_dtype t) {
    switch (t) {
    case GWEN_DTYPE_BF16: return GW_DTYPE_BF16;
    case GWEN_DTYPE_FP16: return GW_DTYPE_F16;
    case GWEN_DTYPE_FP32: return GW_DTYPE_F32;
    case GWEN_DTYPE_AUTO: break;
    }
    return GW_DTYPE_NONE;
}

static enum gwen_dtype from_dtype(enum gw_dtype t) {
    return t == GW_DTYPE_F32   ? GWEN_DTYPE_FP32
           : t == GW_DTYPE_F16 ? GWEN_DTYPE_FP16
                               : GWEN_DTYPE_BF16;
}

/* As many threads as wanted, or as the machine gives; each on a NUMA node while it works. */
static enum gwen_status make_pool(int wanted, struct gw_pool **pool, struct gwen_err *err) {
    struct gw_hw hw;
    GW_TRY(gw_hw_query(NULL, &hw, err));
    enum gwen_status status = gw_pool_create(wanted > 0 ? wanted : hw.default_threads, pool, err);
    if (status == GWEN_OK) gw_pool_bind(*pool, &hw, GW_BIND_NODE);
    gw_hw_free(&hw);
    return status;
}

static enum gwen_status load_parts(struct gwen_model *m, const char *dir,
                                   const struct gwen_model_options *o, struct gwen_err *err) {
    struct gw_model_opts mo = {to_dtype(o->dtype), gwen_isa_detect(), &m->log};
    if (o->isa != NULL && !gwen_isa_parse(o->isa, &mo.isa_cap))
        return gw_fail(err, GWEN_ERR_ARGUMENT, "isa: \"%s\" is not an instruction set", o->isa);
    GW_TRY(make_pool(o->threads, &m->pool, err));
    GW_TRY(gw_model_load(dir, &mo, m->pool, &m->model, err));
    GW_TRY(gw_generation_config_load(dir, &m->generation, err));
    m->eos = gw_generation_eos(&m->generation, &m->model->cfg);
    return gw_tokenizer_exists(dir) ? gw_tokenizer_load(dir, &m->tokenizer, err) : GWEN_OK;
}

enum gwen_status gwen_model_load(const char *dir, const struct gwen_model_options *opts,
                                 struct gwen_model **out, struct gwen_err *err) {
    struct gwen_model_options o = GWEN_MODEL_OPTIONS_INIT;
    *out = NULL;
    if (opts != NULL) {
        if (opts->struct_size == 0 || opts->struct_size > sizeof o)
            return gw_fail(err, GWEN_ERR_ARGUMENT, "options: struct_size %zu", opts->struct_size);
        memcpy(&o, opts, opts->struct_size);
    }
    struct gwen_model *m = calloc(1, sizeof *m);
    if (m == NULL) return gw_nomem(err, sizeof *m, "a model");
    m->log = (struct gw_log){.fn = o.log, .user = o.log_user, .level = GWEN_LOG_DEBUG};
    m->max_memory = o.max_memory;
    enum gwen_status status = load_parts(m, dir, &o, err);
    if (status != GWEN_OK) {
        gwen_model_free(m);
        return status;
    }
    *out = m;
    return GWEN_OK;
}

void gwen_model_free(struct gwen_model *m) {
    if (m == NULL) return;
    gw_tokenizer_free(m->tokenizer);
    gw_model_free(m->model);
    gw_pool_free(m->pool);
    free(m);
}

void gwen_model_get_info(const struct gwen_model *m, struct gwen_model_info *info) {
    const struct gw_config *c = &m->model->cfg;
    struct gwen_model_info i = {
        .struct_size = info->struct_size,
        .vocab_size = c->vocab_size,
        .n_layers = c->n_layers,
        .hidden_size = c->hidden,
        .n_heads = c->n_heads,
        .n_kv_heads = c->n_kv_heads,
        .head_dim = c->head_dim,
        .ffn_size = c->ffn,
        .max_context = c->max_position_embeddings,
        .n_params = gw_config_n_params(c),
        .weight_bytes = gw_model_bytes(c, m->model->arith.format),
        .threads = gw_pool_threads(m->pool),
        .has_tokenizer = m->tokenizer != NULL,
        .dtype = from_dtype(m->model->dtype),
        .isa = gwen_isa_name(m->model->kern.isa),
        .numeric_class = gw_arith_class(&m->model->arith),
    };
    memcpy(info, &i, GW_MIN(info->struct_size, sizeof i));
}

/* --- text ----------------------------------------------------------------------------------- */

static enum gwen_status need_tokenizer(const struct gwen_model *m, struct gwen_err *err) {
    if (m->tokenizer != NULL) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_ARGUMENT,
                   "the model's directory has no tokenizer.json, nor vocab.json and merges.txt");
}

enum gwen_status gwen_encode(const struct gwen_model *m, const char *text, size_t len,
                             bool add_special, int32_t **ids, size_t *n, struct gwen_err *err) {
    struct gw_ids out = {0};
    *ids = NULL;
    *n = 0;
    GW_TRY(need_tokenizer(m, err));
    enum gwen_status status = gw_tokenizer_encode(
        m->tokenizer, text, len, add_special ? GW_ENCODE_ADD_SPECIAL : 0, &out, err);
    if (status != GWEN_OK) {
        gw_ids_free(&out);
        return status;
    }
    *ids = out.data;
    *n = out.len;
    return GWEN_OK;
}

enum gwen_status gwen_decode(const struct gwen_model *m, const int32_t *ids, size_t n,
                             bool skip_special, char **text, size_t *len, struct gwen_err *err) {
    struct gw_str out = {0};
    *text = NULL;
    *len = 0;
    GW_TRY(need_tokenizer(m, err));
    enum gwen_status status = gw_tokenizer_decode(m->tokenizer, ids, n, skip_special, &out, err);
    gw_str_puts(&out, "");
    if (status == GWEN_OK && out.failed) status = gw_nomem(err, out.len, "decoded text");
    if (status != GWEN_OK) {
        gw_str_free(&out);
        return status;
    }
    *text = out.data;
    *len = out.len;
    return GWEN_OK;
}

/* --- scoring -------------------------------------------------------------------------------- */

/* Refuses work that does not fit beside the weights: samples, or sequences to be scored. */
static enum gwen_status check_memory(const struct gwen_model *m, size_t kv, size_t scratch,
                                     bool sampling, struct gwen_err *err) {
    uint64_t weights = gw_model_bytes(&m->model->cfg, m->model->arith.format), budget;
    if (m->max_memory > 0) {
        budget = m->max_memory > weights ? m->max_memory - weights : 0;
    } else {
        struct gw_hw_memory memory;
        gw_hw_read_memory(NULL, &memory);
        budget = memory.budget;
    }
    if ((uint64_t)kv + scratch <= budget) return GWEN_OK;
    const unsigned long long have = budget;
    if (!sampling)
        return gw_fail(err, GWEN_ERR_NOMEM,
                       "needs %zu bytes beside the weights, %llu available: score shorter "
                       "sequences",
                       kv + scratch, have);
    return gw_fail(err, GWEN_ERR_NOMEM,
                   "needs %zu bytes beside the weights, %llu available: lower %s or %s, or shorten "
                   "the prompts",
                   kv + scratch, have, gw_knob(GW_KNOB_BATCH_SIZE), gw_knob(GW_KNOB_MAX_TOKENS));
}

enum gwen_status gwen_score(struct gwen_model *m, struct gwen_sequence *sequences, size_t n,
                            double temperature, struct gwen_err *err) {
    size_t longest = 1, kv, scratch;
    if (n == 0) return GWEN_OK;
    struct gw_score_request *requests = malloc(n * sizeof *requests);
    if (requests == NULL) return gw_nomem(err, n * sizeof *requests, "scoring");
    for (size_t i = 0; i < n; i++) {
        const struct gwen_sequence *s = &sequences[i];
        requests[i] = (struct gw_score_request){
            .ids = s->ids, .n = s->n, .from = s->from, .logprobs = s->logprobs};
        longest = GW_MAX(longest, s->n);
    }
    struct gw_scorer_opts o = {.rows = SCORE_ROWS,
                               .max_len = longest,
                               .n_blocks = 2 * gw_kv_blocks_for(longest) + SCORE_ROWS / GW_KV_BLOCK,
                               .temperature = temperature,
                               .budget = watch_memory(m)};
    gw_scorer_bytes(&m->model->cfg, m->model->arith.format, &o, gw_pool_threads(m->pool), &kv,
                    &scratch);
    enum gwen_status status = check_memory(m, kv, scratch, false, err);
    struct gw_scorer *scorer = NULL;
    if (status == GWEN_OK) status = gw_scorer_create(m->model, m->pool, &o, &scorer, err);
    for (size_t i = 0; i < n && status == GWEN_OK; i += SCORE_WINDOW)
        status = gw_scorer_run(scorer, requests + i, GW_MIN(n - i, (size_t)SCORE_WINDOW), false,
                               NULL, NULL, err);
    gw_scorer_free(scorer);
    free(requests);
    return status;
}

/* --- sampling ------------------------------------------------------------------------------- */

struct sampling {
    const struct gwen_prompt *prompts;
    size_t n_prompts, next, n_done;
    struct gwen_sample_options o;
    struct gw_sampling params;
    struct gw_want *wants; /* [group], the same for every prompt */
    gwen_completion_fn fn;
    void *user;
};

static enum gwen_status next_prompt(void *ctx, struct gw_job *job, bool *more,
                                    struct gwen_err *err) {
    struct sampling *s = ctx;
    (void)err;
    *more = s->next < s->n_prompts;
    if (!*more) return GWEN_OK;
    const struct gwen_prompt *p = &s->prompts[s->next];
    *job = (struct gw_job){.prompt = p->ids,
                           .n_prompt = p->n,
                           .wants = s->wants,
                           .n_wants = s->o.group,
                           .key = {.seed = s->o.seed,
                                   .stream = GW_STREAM_ROLLOUT,
                                   .step = s->o.step,
                                   .prompt_key = p->key},
                           .sampling = s->params,
                           .user = (void *)(uintptr_t)s->next++};
    return GWEN_OK;
}

static enum gwen_status sample_done(void *ctx, const struct gw_sample *sample,
                                    struct gwen_err *err) {
    struct sampling *s = ctx;
    struct gwen_completion out = {.prompt = (size_t)(uintptr_t)sample->job->user,
                                  .sample = sample->want,
                                  .ids = sample->ids,
                                  .logprobs = sample->logprobs,
                                  .n = sample->n,
                                  .stopped = sample->finish == GW_FINISH_STOP};
    s->n_done++;
    return s->fn(s->user, &out) ? GWEN_OK : gw_fail(err, GWEN_ERR_CANCELLED, "cancelled");
}

static bool report_progress(void *ctx) {
    const struct sampling *s = ctx;
    struct gwen_progress p = {"sample", "samples", s->n_done, s->n_prompts * s->o.group};
    return s->o.progress == NULL || s->o.progress(s->o.progress_user, &p);
}

static enum gwen_status run_sampling(struct gwen_model *m, struct sampling *s,
                                     struct gwen_err *err) {
    size_t longest = 1, kv, scratch;
    for (size_t i = 0; i < s->n_prompts; i++) longest = GW_MAX(longest, s->prompts[i].n);
    struct gw_engine_opts o = {.slots = s->o.batch_size > 0 ? s->o.batch_size : DEFAULT_BATCH,
                               .prefill_rows = GW_ENGINE_PREFILL_ROWS,
                               .max_prompt = longest,
                               .max_new = s->o.max_tokens,
                               .max_group = s->o.group,
                               .eos = s->o.ignore_eos ? (struct gw_eos){0} : m->eos,
                               .budget = watch_memory(m)};
    o.slots = GW_MIN(o.slots, s->n_prompts * s->o.group);
    o.n_blocks = gw_engine_good_blocks(o.slots, s->o.group, longest, s->o.max_tokens);
    gw_engine_bytes(&m->model->cfg, m->model->arith.format, &o, gw_pool_threads(m->pool), &kv,
                    &scratch);
    GW_TRY(check_memory(m, kv, scratch, true, err));
    struct gw_engine *engine;
    GW_TRY(gw_engine_create(m->model, m->pool, &o, &engine, err));
    struct gw_engine_client client = {
        .ctx = s, .next = next_prompt, .done = sample_done, .progress = report_progress};
    enum gwen_status status = gw_engine_run(engine, &client, NULL, err);
    gw_engine_free(engine);
    return status;
}

enum gwen_status gwen_sample(struct gwen_model *m, const struct gwen_prompt *prompts,
                             size_t n_prompts, const struct gwen_sample_options *opts,
                             gwen_completion_fn fn, void *user, struct gwen_err *err) {
    struct sampling s = {.prompts = prompts,
                         .n_prompts = n_prompts,
                         .o = GWEN_SAMPLE_OPTIONS_INIT,
                         .fn = fn,
                         .user = user};
    if (opts != NULL) {
        if (opts->struct_size == 0 || opts->struct_size > sizeof s.o)
            return gw_fail(err, GWEN_ERR_ARGUMENT, "options: struct_size %zu", opts->struct_size);
        memcpy(&s.o, opts, opts->struct_size);
    }
    s.params = (struct gw_sampling){s.o.temperature, s.o.top_k, s.o.top_p, s.o.min_p,
                                    s.o.repetition_penalty};
    GW_TRY(gw_sampling_check(&s.params, err));
    if (s.o.group == 0 || s.o.group > MAX_GROUP || s.o.max_tokens == 0 ||
        s.o.max_tokens > m->model->cfg.max_position_embeddings)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "group: 1 to %d; %s: 1 to the model's context of %zu", MAX_GROUP,
                       gw_knob(GW_KNOB_MAX_TOKENS), m->model->cfg.max_position_embeddings);
    if (n_prompts == 0) return GWEN_OK;
    s.wants = calloc(s.o.group, sizeof *s.wants);
    if (s.wants == NULL) return gw_nomem(err, s.o.group * sizeof *s.wants, "a group");
    for (size_t i = 0; i < s.o.group; i++) s.wants[i] = (struct gw_want){i, s.o.max_tokens};
    enum gwen_status status = run_sampling(m, &s, err);
    free(s.wants);
    return status;
}

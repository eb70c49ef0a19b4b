/* golden_model.c - see golden_model.h. */
#include "golden_model.h"

#include "base/hw/hw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum gwen_status golden_get(const struct gw_safetensors *st, const char *name, enum gw_dtype dtype,
                            size_t rank, struct golden_tensor *t, struct gwen_err *err) {
    const struct gw_tensor *found = gw_safetensors_find(st, name);
    if (found == NULL) return gw_fail(err, GWEN_ERR_FORMAT, "there is no tensor %s", name);
    if (found->dtype != dtype || found->rank != rank)
        return gw_fail(err, GWEN_ERR_FORMAT, "tensor %s is not %s of rank %zu", name,
                       gw_dtype_name(dtype), rank);
    *t = (struct golden_tensor){.shape = {1, 1, 1}};
    for (size_t i = 0; i < rank; i++) t->shape[i] = found->shape[i];
    if (dtype == GW_DTYPE_I32)
        t->i = found->data;
    else
        t->f = found->data;
    return GWEN_OK;
}

enum gwen_status golden_model_open(const char *dir, struct golden_model *m, struct gwen_err *err) {
    struct gw_hw hw;
    *m = (struct golden_model){0};
    GW_TRY(gw_hw_query(NULL, &hw, err));
    int n_threads = hw.default_threads;
    gw_hw_free(&hw);
    GW_TRY(gw_pool_create(n_threads, &m->pool, err));
    const struct gw_model_opts opts = {.dtype = GW_DTYPE_F32, .isa_cap = golden_isa()};
    return gw_model_load(dir, &opts, m->pool, &m->model, err);
}

void golden_model_close(struct golden_model *m) {
    gw_model_free(m->model);
    gw_pool_free(m->pool);
    *m = (struct golden_model){0};
}

/* --- scoring -------------------------------------------------------------------------------- */

static void keep(void *ctx, size_t index, size_t t, const float *z) {
    struct golden_scores *s = (struct golden_scores *)ctx + index;
    memcpy(s->logits + (t - 1) * s->vocab, z, s->vocab * sizeof *z);
}

static enum gwen_status allocate_scores(size_t n, size_t vocab, struct golden_scores *s,
                                        struct gwen_err *err) {
    *s = (struct golden_scores){.n = n, .vocab = vocab};
    s->logprobs = calloc(n, sizeof *s->logprobs);
    s->logits = calloc(n * vocab, sizeof *s->logits);
    return s->logprobs != NULL && s->logits != NULL ? GWEN_OK : gw_nomem(err, n * vocab, "logits");
}

void golden_scores_free(struct golden_scores *s) {
    free(s->logprobs);
    free(s->logits);
    *s = (struct golden_scores){0};
}

static enum gwen_status run_scorer(const struct golden_model *m, struct gw_score_request *requests,
                                   size_t n, struct golden_scores *out, struct gwen_err *err) {
    size_t longest = 1, blocks = 1;
    for (size_t i = 0; i < n; i++) {
        longest = GW_MAX(longest, requests[i].n);
        blocks += gw_kv_blocks_for(requests[i].n) + 1;
    }
    const struct gw_scorer_opts opts = {.rows = 64,
                                        .n_blocks = GW_MAX(blocks, gw_kv_blocks_for(longest) + 1),
                                        .max_len = longest,
                                        .temperature = 1,
                                        .keep_logits = true};
    struct gw_scorer *scorer;
    GW_TRY(gw_scorer_create(m->model, m->pool, &opts, &scorer, err));
    enum gwen_status status = gw_scorer_run(scorer, requests, n, true, keep, out, err);
    gw_scorer_free(scorer);
    return status;
}

enum gwen_status golden_score(const struct golden_model *m, const int32_t *const *ids,
                              const size_t *lengths, size_t n, struct golden_scores *out,
                              struct gwen_err *err) {
    enum gwen_status status = GWEN_OK;
    struct gw_score_request *requests = calloc(n, sizeof *requests);
    if (requests == NULL) return gw_nomem(err, n * sizeof *requests, "requests");
    memset(out, 0, n * sizeof *out);
    for (size_t i = 0; i < n && status == GWEN_OK; i++) {
        status = allocate_scores(lengths[i], m->model->cfg.vocab_size, &out[i], err);
        requests[i] = (struct gw_score_request){
            .ids = ids[i], .n = lengths[i], .from = 1, .logprobs = out[i].logprobs + 1};
    }
    if (status == GWEN_OK) status = run_scorer(m, requests, n, out, err);
    free(requests);
    if (status != GWEN_OK)
        for (size_t i = 0; i < n; i++) golden_scores_free(&out[i]);
    return status;
}

/* --- greedy decoding ------------------------------------------------------------------------ */

struct greedy {
    const int32_t *const *prompts;
    const size_t *lengths;
    size_t n, next;
    struct gw_want want;
    int32_t *ids;
    float *logprobs;
};

static enum gwen_status next_job(void *ctx, struct gw_job *job, bool *more, struct gwen_err *err) {
    struct greedy *g = ctx;
    (void)err;
    *more = g->next < g->n;
    if (!*more) return GWEN_OK;
    *job = (struct gw_job){.prompt = g->prompts[g->next],
                           .n_prompt = g->lengths[g->next],
                           .wants = &g->want,
                           .n_wants = 1,
                           .key = {.stream = GW_STREAM_ROLLOUT, .prompt_key = g->next},
                           .sampling = GW_SAMPLING_INIT,
                           .user = (void *)(uintptr_t)g->next};
    job->sampling.temperature = 0;
    g->next++;
    return GWEN_OK;
}

static enum gwen_status take_sample(void *ctx, const struct gw_sample *s, struct gwen_err *err) {
    struct greedy *g = ctx;
    size_t row = (size_t)(uintptr_t)s->job->user, n_new = g->want.max_tokens;
    if (s->n != n_new)
        return gw_fail(err, GWEN_ERR_INTERNAL, "sample %zu has %zu tokens instead of %zu", row,
                       s->n, n_new);
    memcpy(g->ids + row * n_new, s->ids, n_new * sizeof *s->ids);
    memcpy(g->logprobs + row * n_new, s->logprobs, n_new * sizeof *s->logprobs);
    return GWEN_OK;
}

enum gwen_status golden_greedy(const struct golden_model *m, const int32_t *const *prompts,
                               const size_t *lengths, size_t n, size_t n_new, int32_t *ids,
                               float *logprobs, struct gwen_err *err) {
    struct greedy g = {.prompts = prompts,
                       .lengths = lengths,
                       .n = n,
                       .want = {.sample = 0, .max_tokens = n_new},
                       .ids = ids,
                       .logprobs = logprobs};
    size_t longest = 1;
    for (size_t i = 0; i < n; i++) longest = GW_MAX(longest, lengths[i]);
    const struct gw_engine_opts opts = {.slots = n,
                                        .prefill_rows = 16,
                                        .n_blocks = gw_engine_good_blocks(n, 1, longest, n_new),
                                        .max_prompt = longest,
                                        .max_new = n_new,
                                        .max_group = 1};
    const struct gw_engine_client client = {.ctx = &g, .next = next_job, .done = take_sample};
    struct gw_engine_stats stats;
    struct gw_engine *engine;
    GW_TRY(gw_engine_create(m->model, m->pool, &opts, &engine, err));
    enum gwen_status status = gw_engine_run(engine, &client, &stats, err);
    gw_engine_free(engine);
    return status;
}

/* --- comparing ------------------------------------------------------------------------------ */

size_t golden_first_difference(const int32_t *ids, const int32_t *wanted, const float *margin,
                               size_t n_new) {
    const float near_tie = 1e-3f;
    for (size_t i = 0; i < n_new; i++) {
        if (ids[i] == wanted[i]) continue;
        return margin[i] > near_tie ? i : n_new;
    }
    return n_new;
}

double golden_max_error(const float *a, const float *b, size_t n) {
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        if (!isfinite(d)) return INFINITY;
        worst = GW_MAX(worst, d);
    }
    return worst;
}

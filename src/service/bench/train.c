/* train.c - see train.h. */
#include "service/bench/train.h"

#include "base/clock.h"
#include "base/hw/hw.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>

/* Tokens before the first predicted one: there is always one. */
static size_t first_tokens(const struct gw_bench_train_opts *o) {
    return GW_MAX(o->prompt_tokens, (size_t)1);
}

/* Rows that samples of one prompt share, and those of each. */
static size_t shared_rows(const struct gw_bench_train_opts *o) {
    return o->group > 1 ? first_tokens(o) - 1 : 0;
}

static size_t own_rows(const struct gw_bench_train_opts *o) {
    return first_tokens(o) - 1 - shared_rows(o) + o->new_tokens;
}

static size_t all_rows(const struct gw_bench_train_opts *o) {
    return o->prompts * (shared_rows(o) + o->group * own_rows(o));
}

static size_t samples_of_pass(const struct gw_bench_train_opts *o) {
    const size_t all = o->prompts * o->group;
    return o->micro_batch == 0 ? all : GW_MIN(o->micro_batch, all);
}

struct gw_trainer_opts gw_bench_train_trainer(const struct gw_bench_train_opts *o) {
    const size_t samples = samples_of_pass(o), max_len = first_tokens(o) + o->new_tokens;
    const size_t rows =
        (samples + o->group - 1) / o->group * shared_rows(o) + samples * own_rows(o);
    return (struct gw_trainer_opts){.micro_batch = samples,
                                    .max_rows = GW_MAX(rows, max_len),
                                    .max_len = max_len,
                                    .max_prompt = first_tokens(o),
                                    .max_step_tokens = all_rows(o),
                                    .recompute = o->recompute,
                                    .share_prompts = o->group > 1,
                                    .temperature = 1};
}

/* --- costs ---------------------------------------------------------------------------------- */

/* Tokens that all rows attend to, together. */
static double attended(const struct gw_bench_train_opts *o) {
    const double shared = (double)shared_rows(o), own = (double)own_rows(o);
    return (double)o->prompts *
           (shared * (shared + 1) / 2 + (double)o->group * own * (shared + (own + 1) / 2));
}

static size_t passes(const struct gw_bench_train_opts *o) {
    const size_t samples = samples_of_pass(o);
    return (o->prompts * o->group + samples - 1) / samples;
}

void gw_bench_train_forward_cost(const struct gw_model *model, const struct gw_bench_train_opts *o,
                                 enum gw_op op, double *flops, double *bytes) {
    const size_t rows = all_rows(o), out = o->prompts * o->group * o->new_tokens;
    gw_op_cost(model, op, rows, out, attended(o) / (double)rows, 0, flops, bytes);
    *bytes *= (double)passes(o);
}

/* What a weight's gradient costs in memory: read and written once a pass. */
static double gradient_bytes(const struct gw_packed *w, double layers) {
    return 2 * sizeof(float) * layers * (double)(w->n * w->k);
}

void gw_bench_train_cost(const struct gw_model *m, const struct gw_bench_train_opts *o,
                         enum gw_train_op op, double *flops, double *bytes) {
    static const enum gw_op forward[GW_TRAIN_OP_COUNT] = {[GW_TRAIN_HEAD_Z] = GW_OP_HEAD,
                                                          [GW_TRAIN_HEAD_DX] = GW_OP_HEAD,
                                                          [GW_TRAIN_HEAD_DW] = GW_OP_HEAD,
                                                          [GW_TRAIN_DX_QKV] = GW_OP_QKV,
                                                          [GW_TRAIN_DW_QKV] = GW_OP_QKV,
                                                          [GW_TRAIN_DX_O] = GW_OP_O,
                                                          [GW_TRAIN_DW_O] = GW_OP_O,
                                                          [GW_TRAIN_DX_GATE_UP] = GW_OP_GATE_UP,
                                                          [GW_TRAIN_DW_GATE_UP] = GW_OP_GATE_UP,
                                                          [GW_TRAIN_DX_DOWN] = GW_OP_DOWN,
                                                          [GW_TRAIN_DW_DOWN] = GW_OP_DOWN,
                                                          [GW_TRAIN_ATTEND] = GW_OP_ATTEND};
    const struct gw_layer *l = &m->layers[0];
    const double layers = (double)m->cfg.n_layers, n = (double)passes(o);
    *flops = *bytes = 0;
    switch (op) {
    case GW_TRAIN_AGAIN:
    case GW_TRAIN_PACK:
    case GW_TRAIN_ROTATE:
    case GW_TRAIN_NORM:
    case GW_TRAIN_OP_COUNT: return;
    default: gw_bench_train_forward_cost(m, o, forward[op], flops, bytes);
    }
    switch (op) {
    case GW_TRAIN_ATTEND: *flops *= 2.5; break; /* five products, where forward there are two */
    case GW_TRAIN_HEAD_DW: *bytes = n * gradient_bytes(&m->head, 1); break;
    case GW_TRAIN_DW_QKV: *bytes = n * gradient_bytes(&l->qkv, layers); break;
    case GW_TRAIN_DW_O: *bytes = n * gradient_bytes(&l->o, layers); break;
    case GW_TRAIN_DW_GATE_UP: *bytes = n * gradient_bytes(&l->gate_up, layers); break;
    case GW_TRAIN_DW_DOWN: *bytes = n * gradient_bytes(&l->down, layers); break;
    default: break;
    }
}

/* Seconds that everything cannot be faster than.  Three times the forward pass is what has to be
 * computed: logits a second time and recomputation are not part of it, nor are attention's scores,
 * which the backward pass computes again. */
static double least_seconds(const struct gw_model *m, const struct gw_limits *limits,
                            const struct gw_bench_train_opts *o) {
    double flops = 0, bytes = 0, f, b;
    for (int op = 0; op < GW_OP_COUNT; op++) {
        gw_bench_train_forward_cost(m, o, (enum gw_op)op, &f, &b);
        flops += 3 * f;
        bytes += 2 * b; /* weights, in both directions */
    }
    for (int op = GW_TRAIN_HEAD_DW; op < GW_TRAIN_OP_COUNT; op++) {
        if (op != GW_TRAIN_HEAD_DW && (op < GW_TRAIN_DW_QKV || op > GW_TRAIN_DW_DOWN)) continue;
        gw_bench_train_cost(m, o, (enum gw_train_op)op, &f, &b);
        bytes += b;
    }
    return GW_MAX(flops / limits->flops_s, bytes / limits->bytes_s);
}

double gw_bench_train_limit(const struct gw_model *model, const struct gw_limits *limits,
                            const struct gw_bench_train_opts *o) {
    return (double)(o->prompts * o->group * o->new_tokens) / least_seconds(model, limits, o);
}

/* --- the measurement ------------------------------------------------------------------------ */

struct work {
    const struct gw_bench_train_opts *opts;
    int32_t *ids;     /* [prompts][first_tokens + group * new_tokens] */
    float *logprobs;  /* [prompts * group][new_tokens] */
    float *dlogprobs; /* likewise */
    struct gw_train_group *groups;
    struct gw_train_sample *samples;
};

static enum gwen_status make_work(struct work *w, size_t vocab, struct gwen_err *err) {
    const struct gw_bench_train_opts *o = w->opts;
    const size_t first = first_tokens(o), row = first + o->group * o->new_tokens;
    const size_t n_samples = o->prompts * o->group;
    w->ids = calloc(o->prompts * row, sizeof *w->ids);
    w->logprobs = calloc(n_samples * o->new_tokens, sizeof *w->logprobs);
    w->dlogprobs = calloc(n_samples * o->new_tokens, sizeof *w->dlogprobs);
    w->groups = calloc(o->prompts, sizeof *w->groups);
    w->samples = calloc(n_samples, sizeof *w->samples);
    if (w->ids == NULL || w->logprobs == NULL || w->dlogprobs == NULL || w->groups == NULL ||
        w->samples == NULL)
        return gw_nomem(err, o->prompts * row * sizeof *w->ids, "the benchmark");
    struct gw_rng_key key = {.seed = o->seed, .stream = GW_STREAM_DATA};
    for (size_t i = 0; i < o->prompts * row; i++) {
        key.position = i;
        w->ids[i] = (int32_t)(gw_rng_uniform(&key) * (double)vocab);
    }
    for (size_t s = 0; s < n_samples; s++)
        w->samples[s] = (struct gw_train_sample){.ids = w->ids + s / o->group * row + first +
                                                        s % o->group * o->new_tokens,
                                                 .n = o->new_tokens,
                                                 .logprobs = w->logprobs + s * o->new_tokens,
                                                 .dlogprobs = w->dlogprobs + s * o->new_tokens};
    for (size_t p = 0; p < o->prompts; p++)
        w->groups[p] =
            (struct gw_train_group){w->ids + p * row, first, &w->samples[p * o->group], o->group};
    return GWEN_OK;
}

static void free_work(struct work *w) {
    free(w->ids);
    free(w->logprobs);
    free(w->dlogprobs);
    free(w->groups);
    free(w->samples);
}

/* The mean of -log p: cross-entropy. */
static void loss(void *ctx, size_t group, size_t sample, const struct gw_train_sample *s) {
    const struct gw_bench_train_opts *o = ctx;
    (void)group, (void)sample;
    for (size_t i = 0; i < s->n; i++)
        s->dlogprobs[i] = -1 / (float)(o->prompts * o->group * o->new_tokens);
}

static enum gwen_status run(struct work *w, struct gw_trainer *t, double *seconds,
                            struct gwen_err *err) {
    struct gw_bench_train_opts o = *w->opts;
    for (int i = -o.warmup; i < o.runs; i++) {
        struct gw_train_profile profile = {0};
        bool fastest = i >= 0;
        gw_trainer_zero(t);
        gw_trainer_profile(t, o.profile != NULL ? &profile : NULL);
        uint64_t start = gw_now_ns();
        GW_TRY(gw_trainer_accumulate(t, w->groups, o.prompts, loss, &o, err));
        gw_trainer_finish(t);
        gw_trainer_profile(t, NULL);
        if (i < 0) continue;
        seconds[i] = gw_seconds_since(start);
        for (int j = 0; j < i; j++) fastest = fastest && seconds[i] < seconds[j];
        if (fastest && o.profile != NULL) *o.profile = profile;
    }
    return GWEN_OK;
}

static void summarize(const struct gw_bench_train_opts *o, const double *seconds,
                      struct gw_bench_train_result *r) {
    const double tokens = (double)(o->prompts * o->group * o->new_tokens);
    double sum = 0, square = 0;
    r->seconds = seconds[0];
    for (int i = 0; i < o->runs; i++) {
        r->seconds = GW_MIN(r->seconds, seconds[i]);
        sum += tokens / seconds[i];
    }
    r->best = tokens / r->seconds;
    r->rate.mean = sum / o->runs;
    for (int i = 0; i < o->runs; i++) {
        const double off = tokens / seconds[i] - r->rate.mean;
        square += off * off;
    }
    r->rate.std = o->runs > 1 ? sqrt(square / (o->runs - 1)) : 0;
}

enum gwen_status gw_bench_train(const struct gw_model *model, struct gw_pool *pool,
                                const struct gw_limits *limits, const struct gw_bench_train_opts *o,
                                struct gw_bench_train_result *result, struct gwen_err *err) {
    const struct gw_trainer_opts opts = gw_bench_train_trainer(o);
    struct work w = {.opts = o};
    struct gw_trainer *t = NULL;
    double *seconds = calloc((size_t)o->runs, sizeof *seconds);
    enum gwen_status status = seconds == NULL ? gw_nomem(err, 0, "the benchmark") : GWEN_OK;
    if (status == GWEN_OK) status = make_work(&w, model->cfg.vocab_size, err);
    if (status == GWEN_OK) status = gw_trainer_create(model, pool, &opts, &t, err);
    if (status == GWEN_OK) status = run(&w, t, seconds, err);
    if (status == GWEN_OK) {
        uint64_t now, most;
        gw_hw_read_process(&now, &most);
        summarize(o, seconds, result);
        result->rate.limit =
            (double)(o->prompts * o->group * o->new_tokens) / least_seconds(model, limits, o);
        result->resident_bytes = (size_t)now;
    }
    gw_trainer_free(t);
    free_work(&w);
    free(seconds);
    return status;
}

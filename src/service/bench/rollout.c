/* rollout.c - whole rollouts, queue and refill included. */
#include "service/bench/bench.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>

/* A prompt in the queue, and the most tokens that one of its samples may have. */
struct place {
    size_t prompt, longest;
};

struct rollout {
    const struct gw_bench_rollout_opts *opts;
    int32_t *ids;          /* [prompts][prompt_tokens] */
    struct gw_want *wants; /* [prompts][group] */
    struct place *order;   /* [prompts] longest first */
    size_t next;
};

static int longest_first(const void *pa, const void *pb) {
    const struct place *a = pa, *b = pb;
    if (a->longest != b->longest) return a->longest > b->longest ? -1 : 1;
    return a->prompt < b->prompt ? -1 : 1;
}

static double uniform(const struct rollout *r, enum gw_rng_stream stream, size_t prompt,
                      size_t sample, size_t position) {
    return gw_rng_uniform(&(struct gw_rng_key){.seed = r->opts->seed,
                                               .stream = stream,
                                               .prompt_key = prompt,
                                               .sample = sample,
                                               .position = position});
}

static size_t row_limit(const struct rollout *r, size_t p, size_t g) {
    const struct gw_bench_rollout_opts *o = r->opts;
    if (o->n_lengths > 0) return o->lengths[(p * o->group + g) % o->n_lengths];
    if (o->length_high == 0) return o->max_tokens;
    return o->length_low + (size_t)(uniform(r, GW_STREAM_DATA, p, g + 1, 0) *
                                    (double)(o->length_high - o->length_low + 1));
}

static void make_work(struct rollout *r, size_t vocab) {
    const struct gw_bench_rollout_opts *o = r->opts;
    for (size_t p = 0; p < o->prompts; p++) {
        for (size_t i = 0; i < o->prompt_tokens; i++)
            r->ids[p * o->prompt_tokens + i] =
                (int32_t)(uniform(r, GW_STREAM_DATA, p, 0, i) * (double)vocab);
        r->order[p] = (struct place){p, 0};
        for (size_t g = 0; g < o->group; g++) {
            size_t limit = row_limit(r, p, g);
            r->wants[p * o->group + g] = (struct gw_want){g, limit};
            r->order[p].longest = GW_MAX(r->order[p].longest, limit);
        }
    }
    qsort(r->order, o->prompts, sizeof *r->order, longest_first);
}

static enum gwen_status next(void *ctx, struct gw_job *job, bool *more, struct gwen_err *err) {
    struct rollout *r = ctx;
    const struct gw_bench_rollout_opts *o = r->opts;
    (void)err;
    *more = r->next < o->prompts;
    if (!*more) return GWEN_OK;
    size_t p = r->order[r->next++].prompt;
    *job = (struct gw_job){.prompt = r->ids + p * o->prompt_tokens,
                           .n_prompt = o->prompt_tokens,
                           .wants = r->wants + p * o->group,
                           .n_wants = o->group,
                           .key = {.seed = o->seed, .stream = GW_STREAM_ROLLOUT, .prompt_key = p},
                           .sampling = GW_SAMPLING_INIT};
    job->sampling.temperature = o->temperature;
    return GWEN_OK;
}

static enum gwen_status done(void *ctx, const struct gw_sample *sample, struct gwen_err *err) {
    (void)ctx;
    (void)sample;
    (void)err;
    return GWEN_OK;
}

size_t gw_bench_rollout_longest(const struct gw_bench_rollout_opts *o) {
    size_t longest = 0;
    for (size_t i = 0; i < o->n_lengths; i++) longest = GW_MAX(longest, o->lengths[i]);
    if (longest > 0) return longest;
    return o->length_high > 0 ? o->length_high : o->max_tokens;
}

double gw_bench_rollout_limit(const struct gw_model *model, const struct gw_limits *limits,
                              const struct gw_bench_rollout_opts *o,
                              const struct gw_bench_rollout_result *result) {
    const struct gw_engine_stats *st = &result->stats;
    double samples = (double)(o->prompts * o->group), new_tokens = (double)st->new_tokens;
    /* The first token of a sample comes with its prompt's prefill; from the mean length the sum
     * over rows is never too large. */
    double rows = new_tokens - samples, half = new_tokens / samples / 2, flops = 0, bytes = 0, f, b;
    for (int op = 0; op < GW_OP_COUNT; op++) {
        if (op == GW_OP_ATTEND) continue;
        double passes = op == GW_OP_HEAD ? ceil(new_tokens / (double)o->slots) : (double)st->steps;
        gw_op_cost(model, (enum gw_op)op, st->prefill_tokens + (size_t)rows, st->new_tokens, 0, 0,
                   &f, &b);
        flops += f;
        bytes += b * passes;
    }
    gw_op_cost(model, GW_OP_ATTEND, st->prefill_tokens, 0, (double)(o->prompt_tokens + 1) / 2, 0,
               &f, &b);
    flops += f;
    gw_op_cost(model, GW_OP_ATTEND, (size_t)rows, 0, (double)o->prompt_tokens + half, rows * half,
               &f, &b);
    return new_tokens / GW_MAX((flops + f) / limits->flops_s, (bytes + b) / limits->bytes_s);
}

struct gw_engine_opts gw_bench_rollout_engine(const struct gw_bench_rollout_opts *o) {
    return (struct gw_engine_opts){.slots = o->slots,
                                   .prefill_rows = o->prefill_rows,
                                   .n_blocks = o->n_blocks,
                                   .max_prompt = o->prompt_tokens,
                                   .max_new = gw_bench_rollout_longest(o),
                                   .max_group = o->group,
                                   .eos = o->eos};
}

static enum gwen_status run_all(struct rollout *r, struct gw_engine *engine,
                                struct gw_bench_rollout_result *result, struct gwen_err *err) {
    const struct gw_bench_rollout_opts *o = r->opts;
    struct gw_engine_client client = {.ctx = r, .next = next, .done = done};
    double sum = 0, square = 0;
    client.progress = o->progress;
    result->new_tokens = 0;
    for (int run = -o->warmup; run < o->runs; run++) {
        uint64_t start = gw_now_ns();
        r->next = 0;
        GW_TRY(gw_engine_run(engine, &client, &result->stats, err));
        double ms = gw_seconds_since(start) * 1e3;
        if (run < 0) continue;
        sum += ms;
        square += ms * ms;
        result->new_tokens += result->stats.new_tokens;
    }
    result->mean_ms = sum / o->runs;
    double variance = square / o->runs - result->mean_ms * result->mean_ms;
    result->std_ms = o->runs > 1 ? sqrt(GW_MAX(variance, 0) * o->runs / (o->runs - 1)) : 0;
    result->tok_s = (double)result->new_tokens / (sum * 1e-3);
    return GWEN_OK;
}

enum gwen_status gw_bench_rollout(const struct gw_model *model, struct gw_pool *pool,
                                  const struct gw_bench_rollout_opts *o,
                                  struct gw_bench_rollout_result *result, struct gwen_err *err) {
    struct rollout r = {.opts = o};
    struct gw_engine *engine = NULL;
    struct gw_engine_opts engine_opts = gw_bench_rollout_engine(o);
    struct gw_sampling sampling = GW_SAMPLING_INIT;
    sampling.temperature = o->temperature;
    GW_TRY(gw_sampling_check(&sampling, err));
    r.ids = calloc(o->prompts * o->prompt_tokens, sizeof *r.ids);
    r.wants = calloc(o->prompts * o->group, sizeof *r.wants);
    r.order = calloc(o->prompts, sizeof *r.order);
    enum gwen_status status = GWEN_OK;
    if (r.ids == NULL || r.wants == NULL || r.order == NULL)
        status = gw_nomem(err, o->prompts * o->group * sizeof *r.wants, "the benchmark");
    if (status == GWEN_OK) {
        make_work(&r, model->cfg.vocab_size);
        status = gw_engine_create(model, pool, &engine_opts, &engine, err);
    }
    if (status == GWEN_OK) status = run_all(&r, engine, result, err);
    gw_engine_free(engine);
    free(r.ids);
    free(r.wants);
    free(r.order);
    return status;
}

/* judge.c - judging random texts: the judge's own scorer, without tokenizer and cache. */
#include "service/bench/bench.h"

#include "base/clock.h"
#include "base/rng.h"
#include "service/judge/sizes.h"

#include <math.h>
#include <stdlib.h>

static size_t responses(const struct gw_bench_judge_opts *o) { return o->prompts * o->group; }

/* Tokens that all criteria of a response share. */
static size_t common_tokens(const struct gw_bench_judge_opts *o) {
    return o->shared_tokens + o->prompt_tokens + o->own_tokens;
}
static size_t prompt_length(const struct gw_bench_judge_opts *o) {
    return common_tokens(o) + o->criterion_tokens;
}

struct gw_scorer_opts gw_bench_judge_scorer(const struct gw_bench_judge_opts *o) {
    const size_t longest = prompt_length(o) + o->max_new, common = common_tokens(o);
    const struct gw_judge_need need = {
        .longest = longest,
        .item_blocks = gw_kv_blocks_for(common) - o->shared_tokens / GW_KV_BLOCK +
                       o->criteria * (gw_kv_blocks_for(longest) - common / GW_KV_BLOCK)};
    return (struct gw_scorer_opts){.rows = GW_JUDGE_ROWS,
                                   .n_blocks = gw_judge_blocks(&need, o->chunk, o->max_new > 0),
                                   .max_len = longest,
                                   .temperature = 1,
                                   .keep_logits = true,
                                   .progress = o->progress};
}

static size_t prefill_tokens(const struct gw_bench_judge_opts *o) {
    return o->shared_tokens + o->prompts * o->prompt_tokens + responses(o) * o->own_tokens +
           responses(o) * o->criteria * o->criterion_tokens;
}

static size_t decoded_tokens(const struct gw_bench_judge_opts *o) {
    return o->max_new > 1 ? responses(o) * o->criteria * (o->max_new - 1) : 0;
}

size_t gw_bench_judge_tokens(const struct gw_bench_judge_opts *o) {
    return prefill_tokens(o) + decoded_tokens(o);
}

/* Multiply-adds of attention go with the tokens that each token sees. */
static double seen_tokens(const struct gw_bench_judge_opts *o) {
    const double n = (double)responses(o), shared = (double)o->shared_tokens;
    const double prompt = (double)o->prompt_tokens, own = (double)o->own_tokens;
    const double criterion = (double)o->criterion_tokens, new = (double)o->max_new;
    double sum = shared * (shared + 1) / 2;
    sum += (double)o->prompts * prompt * (shared + (prompt + 1) / 2);
    sum += n * own * (shared + prompt + (own + 1) / 2);
    sum += n * (double)o->criteria * criterion * (shared + prompt + own + (criterion + 1) / 2);
    return sum + (double)decoded_tokens(o) * ((double)prompt_length(o) + new / 2);
}

double gw_bench_judge_limit(const struct gw_model *model, const struct gw_limits *limits,
                            const struct gw_bench_judge_opts *o) {
    const size_t n = responses(o) * o->criteria, rows = gw_bench_judge_tokens(o);
    const size_t n_out = n * GW_MAX(o->max_new, (size_t)1);
    /* What is generated beside other prompts reads nothing that they do not. */
    const double passes = ceil((double)rows / GW_JUDGE_ROWS);
    double flops = 0, bytes = 0;
    for (int op = 0; op < GW_OP_COUNT; op++) {
        double f, b;
        const bool attends = op == GW_OP_ATTEND;
        gw_op_cost(model, (enum gw_op)op, rows, n_out, attends ? seen_tokens(o) / (double)rows : 0,
                   0, &f, &b);
        flops += f;
        bytes += b * passes;
    }
    return (double)n / GW_MAX(flops / limits->flops_s, bytes / limits->bytes_s);
}

/* --- texts ---------------------------------------------------------------------------------- */

struct texts {
    const struct gw_bench_judge_opts *opts;
    size_t vocab;
    int32_t *ids; /* [responses][criteria][prompt_length] */
    int32_t *out; /* [responses][criteria][max_new] */
    struct gw_score_request *requests;
};

/* n random ids of text `which` of a kind. */
static int32_t *put_random(const struct texts *t, size_t kind, size_t which, size_t n,
                           int32_t *to) {
    struct gw_rng_key key = {
        .seed = t->opts->seed, .stream = GW_STREAM_DATA, .prompt_key = kind, .sample = which};
    for (; key.position < n; key.position++)
        *to++ = (int32_t)(gw_rng_uniform(&key) * (double)t->vocab);
    return to;
}

static void fill(struct texts *t) {
    const struct gw_bench_judge_opts *o = t->opts;
    const size_t n = prompt_length(o);
    for (size_t i = 0; i < responses(o); i++)
        for (size_t k = 0; k < o->criteria; k++) {
            const size_t at = i * o->criteria + k;
            int32_t *ids = t->ids + at * n, *to = ids;
            to = put_random(t, 0, 0, o->shared_tokens, to);
            to = put_random(t, 1, i / o->group, o->prompt_tokens, to);
            to = put_random(t, 2, i, o->own_tokens, to);
            put_random(t, 3, k, o->criterion_tokens, to);
            t->requests[at] = (struct gw_score_request){.ids = ids,
                                                        .n = n,
                                                        .from = n,
                                                        .max_new = o->max_new,
                                                        .out = t->out + at * o->max_new};
        }
}

static void take_logits(void *ctx, size_t index, size_t t, const float *z) {
    (void)ctx, (void)index, (void)t, (void)z;
}

static enum gwen_status run_once(struct texts *t, struct gw_scorer *scorer, struct gwen_err *err) {
    const size_t n = responses(t->opts), criteria = t->opts->criteria;
    for (size_t at = 0, part; at < n; at += part) {
        part = GW_MIN(n - at, t->opts->chunk);
        GW_TRY(gw_scorer_run(scorer, t->requests + at * criteria, part * criteria, true,
                             take_logits, NULL, err));
    }
    return GWEN_OK;
}

static enum gwen_status run_all(struct texts *t, struct gw_scorer *scorer, struct gw_rate *rate,
                                struct gwen_err *err) {
    const struct gw_bench_judge_opts *o = t->opts;
    double sum = 0, squares = 0;
    for (int run = -o->warmup; run < o->runs; run++) {
        uint64_t start = gw_now_ns();
        GW_TRY(run_once(t, scorer, err));
        double v = (double)(responses(o) * o->criteria) / gw_seconds_since(start);
        if (run < 0) continue;
        sum += v;
        squares += v * v;
    }
    rate->mean = sum / o->runs;
    double variance = squares / o->runs - rate->mean * rate->mean;
    rate->std = o->runs > 1 ? sqrt(GW_MAX(variance, 0) * o->runs / (o->runs - 1)) : 0;
    return GWEN_OK;
}

enum gwen_status gw_bench_judge(const struct gw_model *model, struct gw_pool *pool,
                                const struct gw_bench_judge_opts *o, struct gw_rate *rate,
                                struct gwen_err *err) {
    const struct gw_scorer_opts opts = gw_bench_judge_scorer(o);
    const size_t n = responses(o) * o->criteria;
    struct texts t = {.opts = o, .vocab = model->cfg.vocab_size};
    struct gw_scorer *scorer = NULL;
    t.ids = calloc(n, prompt_length(o) * sizeof *t.ids);
    t.out = calloc(n, (o->max_new + 1) * sizeof *t.out);
    t.requests = calloc(n, sizeof *t.requests);
    enum gwen_status status = t.ids == NULL || t.out == NULL || t.requests == NULL
                                  ? gw_nomem(err, n * prompt_length(o) * sizeof *t.ids, "texts")
                                  : gw_scorer_create(model, pool, &opts, &scorer, err);
    if (status == GWEN_OK) {
        fill(&t);
        status = run_all(&t, scorer, rate, err);
    }
    gw_scorer_free(scorer);
    free(t.ids);
    free(t.out);
    free(t.requests);
    return status;
}

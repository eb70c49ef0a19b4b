/* plan.c - how many samples to decode together, and the memory that takes.
 *
 * Few rows in a step are bound by memory, many by arithmetic; beyond the ridge a larger batch
 * gains little and makes the ragged end longer.  So the queue is played through
 * (service/rollout/queue.h) with several sizes, and the smallest is taken that comes within 2 % of
 * the best.  A wrong guess costs some speed, never another result. */
#include "service/rollout/rollout.h"

#include "service/rollout/queue.h"

#include <stdio.h>

enum { MAX_AUTO_BATCH = 256 };

/* Batch sizes up to `most` that are worth comparing where `fits` of them have room. */
static size_t candidates(size_t fits, size_t most, size_t out[GW_ROLLOUT_CANDIDATES]) {
    static const size_t sizes[] = {1,  2,  3,  4,  5,  6,  8,  10,  12,  14,  16,  20,  24, 28,
                                   32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256};
    size_t n = 0;
    for (size_t i = 0; i < GW_ARRAY_LEN(sizes) && sizes[i] + 1 < fits; i++)
        if (sizes[i] < most) out[n++] = sizes[i];
    /* Near the limit each size counts; the first that does not fit shows where it is. */
    for (size_t b = fits > 2 ? fits - 1 : 1; b <= GW_MIN(fits + 1, most); b++) out[n++] = b;
    return n;
}

/* What is to be planned for. */
struct load {
    const struct gw_prompts *prompts;
    const struct gw_rollout_opts *opts;
    size_t samples, prefill_rows;
    size_t other, budget; /* bytes */
};

/* Blocks of a sample beside the prompt's full ones: they begin with the partial one, at worst one
 * token short. */
static size_t own_blocks(const struct gw_engine_opts *e) {
    return gw_kv_blocks_for(GW_MIN(e->max_prompt, (size_t)GW_KV_BLOCK - 1) + e->max_new);
}

/* Blocks that keep all slots busy, but no more than all samples together can use. */
static size_t wanted_blocks(const struct gw_engine_opts *e, size_t n_prompts, size_t samples) {
    size_t good = gw_engine_good_blocks(e->slots, e->max_group, e->max_prompt, e->max_new);
    size_t least = gw_engine_min_blocks(e->max_prompt, e->max_new);
    size_t prompt = gw_kv_blocks_for(e->max_prompt), all;
    if (samples == 1) return least;
    /* Beyond what they hold, the next prompt is fetched only while `least` blocks are spare. */
    all = n_prompts * prompt + samples * own_blocks(e) + least + 1;
    return GW_MAX(GW_MIN(good, all), least);
}

/* Blocks with which all slots can be busy, though not always are: the next prompt may have to wait
 * until samples have ended. */
static size_t least_blocks(const struct gw_engine_opts *e) {
    const size_t prompts = (e->slots + e->max_group - 1) / e->max_group + 1;
    const size_t busy = prompts * gw_kv_blocks_for(e->max_prompt) + e->slots * own_blocks(e) + 1;
    const size_t least = gw_engine_min_blocks(e->max_prompt, e->max_new);
    return e->slots == 1 ? least : GW_MAX(busy, least);
}

struct block_search {
    struct gw_plan_options *options;
    size_t budget;
};

static bool blocks_fit(void *ctx, size_t n_blocks) {
    const struct block_search *s = ctx;
    struct gw_plan plan;
    s->options->engine.n_blocks = n_blocks;
    gw_plan_make(s->options, &plan);
    return plan.total <= s->budget;
}

/* Sets the number of blocks: as many as wanted, or as fit, at least `least`. */
static void choose_blocks(struct gw_plan_options *o, size_t wanted, size_t least, size_t budget) {
    struct block_search search = {o, budget};
    o->engine.n_blocks = gw_largest(least, wanted, blocks_fit, &search);
}

/* Sets the engine's sizes for `batch` slots.  False when they do not fit. */
static bool set_batch(const struct load *load, size_t batch, struct gw_plan_options *o,
                      size_t *bytes) {
    struct gw_plan made;
    o->engine.slots = batch;
    /* The groups in flight. */
    o->other = load->other + 2 * load->opts->groups * batch *
                                 (sizeof(struct gw_want) + 2 * sizeof(struct gw_stop_text *));
    /* A batch is not cut down behind the user's back. */
    const size_t wanted = wanted_blocks(&o->engine, load->prompts->n, load->samples);
    choose_blocks(o, wanted, GW_MIN(least_blocks(&o->engine), wanted), load->budget);
    gw_plan_make(o, &made);
    *bytes = made.total;
    return made.total <= load->budget;
}

struct batch_search {
    const struct load *load;
    struct gw_plan_options *options;
};

static bool batch_fits(void *ctx, size_t batch) {
    const struct batch_search *s = ctx;
    size_t bytes;
    return set_batch(s->load, batch, s->options, &bytes);
}

/* The largest batch up to `most` that fits; 0: none. */
static size_t largest(const struct load *load, struct gw_plan_options *o, size_t most) {
    struct batch_search search = {load, o};
    return gw_largest(0, most, batch_fits, &search);
}

struct gw_queue_opts gw_rollout_queue(const struct gw_prompts *prompts,
                                      const struct gw_rollout_opts *opts) {
    const size_t most = GW_MAX(prompts->max_tokens, (size_t)1);
    struct gw_queue_opts q = {
        .n_prompts = prompts->n,
        .groups = opts->groups,
        .prompt_tokens = GW_MAX(prompts->n_tokens / GW_MAX(prompts->n, (size_t)1), (size_t)1),
        .max_new = most,
        .length_lo = 1,
        .length_hi = most,
        .seed = opts->seed};
    if (opts->length_hi > 0) {
        q.lengths_known = true;
        q.length_hi = GW_MIN(most, opts->length_hi);
        q.length_lo = GW_MIN(q.length_hi, opts->length_lo);
    } else if (opts->eos.n == 0 && opts->n_stops == 0) {
        q.lengths_known = true;
        q.length_lo = most;
    }
    return q;
}

static const char *source_text(const struct gw_speed *speed, char *buf, size_t size) {
    if (speed->source == GW_SPEED_CURVE) return "by the steps that tune measured";
    snprintf(buf, size, "by %s %.0f GB/s and %.0f GFLOP/s",
             speed->source == GW_SPEED_PEAKS ? "measured" : "assumed", speed->bytes_s * 1e-9,
             speed->flops_s * 1e-9);
    return buf;
}

/* Plays `queue` with every candidate; *n of them are told, the last one perhaps not fitting. */
static enum gwen_status compare(const struct load *load, const struct gw_speed *speed,
                                const struct gw_queue *queue, struct gw_plan_options *o, size_t *n,
                                struct gw_rollout_choice choices[GW_ROLLOUT_CANDIDATES],
                                struct gwen_err *err) {
    const size_t most = GW_MAX(GW_MIN(load->samples, (size_t)MAX_AUTO_BATCH), (size_t)1);
    size_t sizes[GW_ROLLOUT_CANDIDATES];
    const size_t n_sizes = candidates(largest(load, o, most), most, sizes);
    for (*n = 0; *n < n_sizes;) {
        struct gw_rollout_choice *c = &choices[(*n)++];
        struct gw_queue_result result;
        *c = (struct gw_rollout_choice){.batch = sizes[*n - 1]};
        c->fits = set_batch(load, c->batch, o, &c->bytes);
        if (!c->fits) break;
        GW_TRY(gw_queue_run(queue, &o->engine, speed, &result, err));
        c->tok_s = result.tokens / result.seconds;
        c->busy = result.busy;
    }
    return GWEN_OK;
}

size_t gw_rollout_choose(const struct gw_rollout_choice *choices, size_t n, double noise) {
    double best = 0;
    for (size_t i = 0; i < n; i++) best = GW_MAX(best, choices[i].tok_s);
    for (size_t i = 0; i < n; i++)
        if (choices[i].fits && choices[i].tok_s >= (1 - noise) * best) return i;
    return 0;
}

static enum gwen_status choose_batch(const struct load *load, const struct gw_speed *speed,
                                     struct gw_rollout_plan *plan, struct gwen_err *err) {
    const struct gw_queue_opts queue_opts = gw_rollout_queue(load->prompts, load->opts);
    struct gw_rollout_choice choices[GW_ROLLOUT_CANDIDATES];
    struct gw_queue *queue;
    size_t n, bytes, within = 1;
    char buf[80];
    GW_TRY(gw_queue_create(&queue_opts, &queue, err));
    enum gwen_status status = compare(load, speed, queue, &plan->options, &n, choices, err);
    gw_queue_free(queue);
    GW_TRY(status);
    const size_t chosen = gw_rollout_choose(choices, n, GW_ROLLOUT_NOISE);
    for (size_t i = 0; i < n; i++)
        if (choices[i].fits) within = choices[i].batch;
    set_batch(load, choices[chosen].batch, &plan->options, &bytes);
    snprintf(plan->why, sizeof plan->why, "auto: %zu samples, memory for %zu at a time%s; %s",
             load->samples, within, within == choices[n - 1].batch ? " or more" : "",
             source_text(speed, buf, sizeof buf));
    return GWEN_OK;
}

/* More rows of prefill than the usual are there for speed alone: they are given up before the
 * command is refused. */
static void lower_prefill(const struct load *load, size_t batch, struct gw_plan_options *o) {
    size_t *rows = &o->engine.prefill_rows, bytes;
    while (*rows > GW_ENGINE_PREFILL_ROWS && !set_batch(load, batch, o, &bytes))
        *rows = GW_MAX(*rows / 2, (size_t)GW_ENGINE_PREFILL_ROWS);
}

/* What is to be planned for, and the options of a plan that is yet to get its batch size, which
 * will be at least `batch`. */
static enum gwen_status prepare(const struct gw_plan_options *base,
                                const struct gw_prompts *prompts,
                                const struct gw_rollout_opts *opts, size_t batch,
                                size_t budget_bytes, struct load *load, struct gw_plan_options *o,
                                struct gwen_err *err) {
    size_t max_new = prompts->max_tokens, prefill = base->engine.prefill_rows;
    *load = (struct load){.prompts = prompts, .opts = opts, .budget = budget_bytes};
    if (!gw_mul_size(prompts->n, opts->groups, &load->samples) || load->samples > SIZE_MAX / 64)
        return gw_fail(err, GWEN_ERR_ARGUMENT, "%zu prompts of %zu samples are too many",
                       prompts->n, opts->groups);
    if (opts->length_hi > 0) max_new = GW_MIN(max_new, opts->length_hi);
    if (prefill == 0) prefill = GW_ENGINE_PREFILL_ROWS;
    *o = *base;
    o->kind = GW_PLAN_ROLLOUT;
    o->engine = (struct gw_engine_opts){.slots = 1,
                                        .prefill_rows = GW_MIN(prompts->n_tokens + 1, prefill),
                                        .max_prompt = GW_MAX(prompts->max_prompt, (size_t)1),
                                        .max_new = GW_MAX(max_new, (size_t)1),
                                        .max_group = opts->groups,
                                        .budget = base->engine.budget};
    /* The index of samples.  (The prompts are there already.) */
    load->other = base->other + load->samples * 16;
    o->other = load->other;
    load->prefill_rows = o->engine.prefill_rows;
    lower_prefill(load, GW_MAX(GW_MIN(batch, load->samples), (size_t)1), o);
    return GWEN_OK;
}

enum gwen_status gw_rollout_compare(const struct gw_plan_options *base,
                                    const struct gw_speed *speed, const struct gw_prompts *prompts,
                                    const struct gw_rollout_opts *opts,
                                    const struct gw_queue *queue, size_t budget_bytes, size_t *n,
                                    struct gw_rollout_choice choices[GW_ROLLOUT_CANDIDATES],
                                    struct gwen_err *err) {
    struct load load;
    struct gw_plan_options o;
    *n = 0;
    GW_TRY(prepare(base, prompts, opts, 1, budget_bytes, &load, &o, err));
    return compare(&load, speed, queue, &o, n, choices, err);
}

enum gwen_status gw_rollout_plan(const struct gw_plan_options *base, const struct gw_speed *speed,
                                 const struct gw_prompts *prompts,
                                 const struct gw_rollout_opts *opts, size_t batch,
                                 size_t budget_bytes, struct gw_rollout_plan *plan,
                                 struct gwen_err *err) {
    struct gw_plan_options *o = &plan->options;
    struct load load;
    size_t bytes;
    *plan = (struct gw_rollout_plan){0};
    GW_TRY(prepare(base, prompts, opts, batch, budget_bytes, &load, o, err));
    plan->wanted_rows = load.prefill_rows;
    if (batch == 0) {
        GW_TRY(choose_batch(&load, speed, plan, err));
    } else {
        set_batch(&load, GW_MIN(batch, GW_MAX(load.samples, (size_t)1)), o, &bytes);
        snprintf(plan->why, sizeof plan->why, "as asked for");
    }
    struct gw_plan made;
    gw_plan_make(o, &made);
    if (made.total <= budget_bytes) return GWEN_OK;
    o->engine.n_blocks = 0; /* for the advice: what the batch should have */
    return gw_plan_check(o, budget_bytes, err);
}

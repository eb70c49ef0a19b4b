/* rollout_plan.c - how many samples to decode together, and the memory that takes.
 *
 * A decode step reads all weights once and the KV of its rows, and computes 2 flops per parameter
 * and row, in tiles of several rows: few rows are bound by memory, many by arithmetic.  Beyond the
 * ridge a larger batch gains little and makes the ragged end longer, so the smallest batch is taken
 * whose estimated time is within 2 % of the best.  Peaks are assumed, from measurements of one
 * machine; a wrong guess costs some speed, never another result. */
#include "service/rollout.h"

#include <math.h>
#include <stdio.h>

enum { MAX_AUTO_BATCH = 256 };

/* Barriers and the schedule, per layer and step. */
static const double LAYER_SECONDS = 20e-6;

struct machine {
    double flops_s, bytes_s;
    double tile_rows; /* rows that cost as much as one */
};

/* Per core: 2 x Zen 5 gave 130 (AVX2), 260 (AVX-512) and 520 (VDPBF16PS) GFLOP/s; reading 40 GB/s
 * with one core, 48 with two. */
static struct machine assume_machine(const struct gwen_kernels *kern, enum gw_panel_format format,
                                     int n_threads) {
    double gflops = 4;
    switch (kern->isa) {
    case GWEN_ISA_AVX2: gflops = 130; break;
    case GWEN_ISA_AVX512:
    case GWEN_ISA_AVX512BF16: gflops = 260; break;
    case GWEN_ISA_NEON:
    case GWEN_ISA_NEONFP16:
    case GWEN_ISA_NEONBF16: gflops = 60; break;
    case GWEN_ISA_REF:
    case GWEN_ISA_COUNT: break;
    }
    if (format == GW_PANEL_BF16X2 && kern->isa != GWEN_ISA_REF) gflops *= 2;
    double gb = 30 + 10 * (double)GW_MIN(n_threads, 32);
    const struct gwen_tile_shape *tile = format == GW_PANEL_F32    ? &kern->tile_f32
                                         : format == GW_PANEL_F16  ? &kern->tile_f16
                                         : format == GW_PANEL_BF16 ? &kern->tile_bf16
                                                                   : &kern->tile_bf16dot;
    return (struct machine){gflops * 1e9 * n_threads, gb * 1e9,
                            (double)GW_MAX(tile->rows[tile->nv], 1)};
}

/* What the estimate is made from. */
struct work {
    struct machine machine;
    double weight_bytes, params, layers;
    double kv_token_bytes, attn_flops; /* per row and token attended */
    double prompt_tokens, new_tokens;  /* of one sample */
    double samples, groups;
};

/* Seconds of one step of `batch` rows; *compute tells which side bounds it. */
static double step_seconds(const struct work *w, double batch, bool *compute) {
    double prompts = batch < w->groups ? 1 : batch / w->groups;
    double own = w->new_tokens / 2;
    double bytes = w->weight_bytes + w->kv_token_bytes * (prompts * w->prompt_tokens + batch * own);
    double tiles = ceil(batch / w->machine.tile_rows) * w->machine.tile_rows;
    double flops = tiles * 2 * w->params + batch * w->attn_flops * (w->prompt_tokens + own);
    double t_bytes = bytes / w->machine.bytes_s, t_flops = flops / w->machine.flops_s;
    *compute = t_flops > t_bytes;
    /* They overlap, not quite perfectly. */
    return GW_MAX(t_bytes, t_flops) + 0.1 * GW_MIN(t_bytes, t_flops) + w->layers * LAYER_SECONDS;
}

/* Slots are refilled as samples end, so they are all busy but for about one sample's length, while
 * the batch fills at the start and runs dry at the end. */
static double total_seconds(const struct work *w, size_t batch) {
    bool compute;
    double steps = w->new_tokens * (w->samples / (double)batch + 1);
    return steps * step_seconds(w, (double)batch, &compute);
}

static struct work make_work(const struct gw_plan_options *o, const struct gwen_kernels *kern,
                             const struct gw_prompts *prompts, size_t groups) {
    const struct gw_config *c = o->cfg;
    struct gw_kv_layout layout;
    gw_kv_layout_init(&layout, o->format, c->n_layers, c->n_kv_heads, c->head_dim);
    return (struct work){
        .machine = assume_machine(kern, o->format, o->n_threads),
        .weight_bytes = (double)gw_model_bytes(c, o->format),
        .params = (double)gw_config_n_params(c),
        .layers = (double)c->n_layers,
        .kv_token_bytes = (double)gw_kv_bytes(&layout, 1) / GW_KV_BLOCK,
        .attn_flops = 4.0 * (double)(c->n_layers * c->n_heads * c->head_dim),
        .prompt_tokens = (double)prompts->n_tokens / (double)GW_MAX(prompts->n, (size_t)1),
        .new_tokens = (double)o->engine.max_new,
        .samples = (double)prompts->n * (double)groups,
        .groups = (double)groups,
    };
}

/* The smallest batch up to `most` that is within 2 % of the best. */
static size_t worthwhile(const struct work *w, size_t most) {
    double best = total_seconds(w, 1);
    for (size_t b = 2; b <= most; b++) best = GW_MIN(best, total_seconds(w, b));
    for (size_t b = 1; b < most; b++)
        if (total_seconds(w, b) <= 1.02 * best) return b;
    return most;
}

static void choose_batch(struct gw_rollout_plan *plan, const struct gwen_kernels *kern,
                         const struct gw_prompts *prompts, size_t groups, size_t samples,
                         size_t budget) {
    struct gw_plan_options *o = &plan->options;
    size_t most = GW_MIN(samples, (size_t)MAX_AUTO_BATCH);
    size_t fits = gw_plan_largest(o, GW_KNOB_ROLLOUT_BATCH, most, budget);
    if (fits == 0) {
        o->engine.slots = 1;
        snprintf(plan->why, sizeof plan->why, "auto: memory allows no more");
        return;
    }
    struct work w = make_work(o, kern, prompts, groups);
    bool compute;
    o->engine.slots = worthwhile(&w, fits);
    step_seconds(&w, (double)o->engine.slots, &compute);
    snprintf(plan->why, sizeof plan->why,
             "auto: %zu samples, memory allows %zu%s; bound by %s at an assumed %.0f GB/s and "
             "%.0f GFLOP/s",
             samples, fits, fits == most && most < samples ? " or more" : "",
             compute ? "arithmetic" : "memory", w.machine.bytes_s * 1e-9, w.machine.flops_s * 1e-9);
}

/* Blocks that keep all slots busy, but no more than all samples together can use. */
static size_t wanted_blocks(const struct gw_engine_opts *e, size_t n_prompts, size_t samples) {
    size_t good = gw_engine_good_blocks(e->slots, e->max_group, e->max_prompt, e->max_new);
    size_t least = gw_engine_min_blocks(e->max_prompt, e->max_new);
    size_t prompt = gw_kv_blocks_for(e->max_prompt), all;
    /* A sample's own blocks begin with the prompt's partial one: at worst one token short. */
    size_t own = gw_kv_blocks_for(GW_MIN(e->max_prompt, (size_t)GW_KV_BLOCK - 1) + e->max_new);
    if (samples == 1) return least;
    /* Beyond what they hold, the next prompt is fetched only while `least` blocks are spare. */
    all = n_prompts * prompt + samples * own + least + 1;
    return GW_MAX(GW_MIN(good, all), least);
}

/* Sets the number of blocks: as many as wanted, or as fit, at least `least`. */
static void choose_blocks(struct gw_plan_options *o, size_t wanted, size_t least, size_t budget) {
    struct gw_engine_opts *e = &o->engine;
    struct gw_plan plan;
    size_t fits = least, above = wanted + 1;
    while (above > fits + 1) {
        e->n_blocks = fits + (above - fits) / 2;
        gw_plan_make(o, &plan);
        if (plan.total <= budget)
            fits = e->n_blocks;
        else
            above = e->n_blocks;
    }
    e->n_blocks = fits;
}

enum gwen_status gw_rollout_plan(const struct gw_plan_options *base,
                                 const struct gwen_kernels *kern, const struct gw_prompts *prompts,
                                 const struct gw_rollout_opts *opts, size_t batch,
                                 size_t budget_bytes, struct gw_rollout_plan *plan,
                                 struct gwen_err *err) {
    struct gw_plan_options *o = &plan->options;
    size_t samples, max_new = prompts->max_tokens;
    if (!gw_mul_size(prompts->n, opts->groups, &samples) || samples > SIZE_MAX / 64)
        return gw_fail(err, GWEN_ERR_ARGUMENT, "%zu prompts of %zu samples are too many",
                       prompts->n, opts->groups);
    if (opts->length_hi > 0) max_new = GW_MIN(max_new, opts->length_hi);
    *plan = (struct gw_rollout_plan){.options = *base};
    o->kind = GW_PLAN_ROLLOUT;
    o->engine = (struct gw_engine_opts){
        .slots = GW_MIN(GW_MAX(batch, (size_t)1), GW_MAX(samples, (size_t)1)),
        .prefill_rows = GW_MIN(prompts->n_tokens + 1, (size_t)GW_ENGINE_PREFILL_ROWS),
        .max_prompt = GW_MAX(prompts->max_prompt, (size_t)1),
        .max_new = GW_MAX(max_new, (size_t)1),
        .max_group = opts->groups,
        .budget = base->engine.budget};
    /* The index of samples, and the groups in flight.  (The prompts are there already.) */
    o->other += samples * 16 + 2 * opts->groups * o->engine.slots *
                                   (sizeof(struct gw_want) + 2 * sizeof(struct gw_stop_text *));
    if (batch == 0)
        choose_batch(plan, kern, prompts, opts->groups, samples, budget_bytes);
    else
        snprintf(plan->why, sizeof plan->why, "as asked for");
    /* A batch that was asked for is not cut down behind the user's back; but one sample at a time
     * needs no second prompt's blocks. */
    size_t wanted = wanted_blocks(&o->engine, prompts->n, samples), least = wanted;
    if (batch == 0 || o->engine.slots == 1)
        least = gw_engine_min_blocks(o->engine.max_prompt, o->engine.max_new);
    choose_blocks(o, wanted, least, budget_bytes);
    struct gw_plan made;
    gw_plan_make(o, &made);
    if (made.total <= budget_bytes) return GWEN_OK;
    o->engine.n_blocks = 0; /* for the advice: what the batch should have */
    return gw_plan_check(o, budget_bytes, err);
}

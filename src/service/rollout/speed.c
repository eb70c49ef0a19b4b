/* speed.c - see speed.h.
 *
 * A decode step reads all weights once and the KV of its rows, and computes 2 flops per parameter
 * and row, in tiles of several rows: few rows are bound by memory, many by arithmetic. */
#include "service/rollout/speed.h"

#include "ops/peak.h"

#include <math.h>

/* Barriers and the schedule, per layer and step. */
static const double LAYER_SECONDS = 20e-6;

/* Weights below which measuring the machine is not worth its while: they are in the caches, and a
 * rollout is over soon. */
static const double WORTH_MEASURING = 256 << 20;
static const double PEAK_SECONDS = 0.03, READ_SECONDS = 0.08;

/* --- peaks ---------------------------------------------------------------------------------- */

/* Per core: 2 x Zen 5 gave 130 (AVX2), 260 (AVX-512) and 520 (VDPBF16PS) GFLOP/s; reading 40 GB/s
 * with one core, 48 with two. */
static void assume_peaks(struct gw_speed *s, const struct gw_arith *arith, int n_threads) {
    double gflops = 4;
    switch (arith->kern->isa) {
    case GWEN_ISA_AVX2: gflops = 130; break;
    case GWEN_ISA_AVX512:
    case GWEN_ISA_AVX512BF16: gflops = 260; break;
    case GWEN_ISA_NEON:
    case GWEN_ISA_NEONFP16:
    case GWEN_ISA_NEONBF16: gflops = 60; break;
    case GWEN_ISA_REF:
    case GWEN_ISA_COUNT: break;
    }
    if (arith->format == GW_PANEL_BF16X2 && arith->kern->isa != GWEN_ISA_REF) gflops *= 2;
    s->flops_s = gflops * 1e9 * n_threads;
    s->bytes_s = (30 + 10 * (double)GW_MIN(n_threads, 32)) * 1e9;
}

void gw_speed_assume(const struct gw_plan_options *o, const struct gw_arith *arith,
                     struct gw_speed *s) {
    const struct gw_config *c = o->cfg;
    const struct gwen_tile_shape *tile = o->format == GW_PANEL_F32    ? &arith->kern->tile_f32
                                         : o->format == GW_PANEL_F16  ? &arith->kern->tile_f16
                                         : o->format == GW_PANEL_BF16 ? &arith->kern->tile_bf16
                                                                      : &arith->kern->tile_bf16dot;
    struct gw_kv_layout layout;
    gw_kv_layout_init(&layout, o->format, c->n_layers, c->n_kv_heads, c->head_dim);
    *s = (struct gw_speed){
        .source = GW_SPEED_ASSUMED,
        .weight_bytes = (double)gw_model_bytes(c, o->format),
        .params = (double)gw_config_n_params(c),
        .layers = (double)c->n_layers,
        .tile_rows = (double)GW_MAX(tile->rows[tile->nv], 1),
        .kv_token_bytes = (double)gw_kv_bytes(&layout, 1) / GW_KV_BLOCK,
        .attn_flops = 4.0 * (double)(c->n_layers * c->n_heads * c->head_dim),
    };
    assume_peaks(s, arith, o->n_threads);
}

void gw_speed_measure(struct gw_speed *s, const struct gw_arith *arith, struct gw_pool *pool,
                      size_t max_bytes) {
    const size_t most = (size_t)192 << 20;
    struct gw_read_peak read;
    if (s->weight_bytes < WORTH_MEASURING) return;
    if (gw_peak_read(arith, pool, GW_MIN(max_bytes, most), READ_SECONDS, &read, NULL) != GWEN_OK)
        return;
    const double flops = gw_peak_flops(arith, pool, PEAK_SECONDS);
    if (!(flops > 0) || !(read.bytes_s > 0)) return;
    s->flops_s = flops;
    s->bytes_s = read.bytes_s;
    s->source = GW_SPEED_PEAKS;
}

void gw_speed_set_curve(struct gw_speed *s, const struct gw_speed_curve *curve) {
    s->curve = *curve;
    s->source = GW_SPEED_CURVE;
}

/* --- steps ---------------------------------------------------------------------------------- */

static double roofline(const struct gw_speed *s, const struct gw_step *t) {
    const double rows = t->rows + t->prefill;
    const double bytes = s->weight_bytes + s->kv_token_bytes * (t->prompts * t->prompt_tokens +
                                                                t->rows * t->own_tokens);
    const double tiles = ceil(rows / s->tile_rows) * s->tile_rows;
    const double flops =
        tiles * 2 * s->params + s->attn_flops * (t->rows * (t->prompt_tokens + t->own_tokens) +
                                                 t->prefill * t->prompt_tokens / 2);
    const double t_bytes = bytes / s->bytes_s, t_flops = flops / s->flops_s;
    /* They overlap, not quite perfectly. */
    return GW_MAX(t_bytes, t_flops) + 0.1 * GW_MIN(t_bytes, t_flops) + s->layers * LAYER_SECONDS;
}

/* A point's seconds with `own` tokens of each row's own; what the prompt is longer than the one
 * that was measured with counts as own. */
static double point_seconds(const struct gw_speed_curve *c, const struct gw_speed_point *p,
                            double own) {
    const double slope = (p->far_s - p->near_s) / ((double)c->far_tokens - (double)c->near_tokens);
    const double seconds = p->near_s + GW_MAX(slope, 0) * (own - (double)c->near_tokens);
    return GW_MAX(seconds, p->near_s / 2);
}

static double curve_seconds(const struct gw_speed_curve *c, const struct gw_step *t) {
    const double own = t->own_tokens + t->prompt_tokens - (double)c->prompt_tokens;
    size_t i = 1;
    while (i + 1 < c->n_points && (double)c->points[i].batch < t->rows) i++;
    const struct gw_speed_point *a = &c->points[i - 1], *b = &c->points[i];
    const double sa = point_seconds(c, a, own), sb = point_seconds(c, b, own);
    const double at = (t->rows - (double)a->batch) / (double)(b->batch - a->batch);
    const double least = point_seconds(c, &c->points[0], own);
    /* A prompt token hides behind nothing: beside a step it costs its own arithmetic. */
    if (t->rows == 0) return GW_MAX(t->prefill * c->prefill_s, least);
    return GW_MAX(sa + GW_MAX(at, 0) * GW_MAX(sb - sa, 0), least / 2) + t->prefill * c->prefill_s;
}

double gw_speed_step(const struct gw_speed *s, const struct gw_step *t) {
    return s->source == GW_SPEED_CURVE ? curve_seconds(&s->curve, t) : roofline(s, t);
}

/* optimizer_bf16.c - see optimizer_bf16.h.  The packer goes through the weights panel by panel and
 * hands over their rows; each is made float, with its moments, in the cache, stepped and rounded.
 */
#include "train/optimizer_bf16.h"

#include "base/knob.h"
#include "base/touch.h"

#include <stdlib.h>
#include <string.h>

struct gw_optimizer_bf16 {
    uint64_t seed;
    struct gw_rng *rngs;       /* [params->n] of the step */
    struct gwen_adamw step[2]; /* without and with decay */
    const float *grads;
    float *rows; /* [threads][3][row_floats] weights and moments of a row */
    size_t row_floats;
};

/* The longest row, or vector. */
static size_t row_floats(const struct gw_config *c) {
    size_t most = 0;
    for (size_t i = 0; i < gw_config_n_tensors(c); i++) {
        struct gw_tensor_spec spec;
        gw_config_tensor_at(c, i, &spec);
        most = GW_MAX(most, spec.shape[spec.rank - 1]);
    }
    return gw_round_up(most, 16);
}

/* *o->bf16 is a part of it, and there only once there is a base. */
static void lay_out(struct gw_layout *l, const struct gw_config *c, int n_threads,
                    struct gw_optimizer *o) {
    const size_t n = gw_params_floats(c);
    struct gw_optimizer_bf16 unused, *b = gw_layout_take(l, 1, sizeof *b);
    o->bf16 = b;
    if (b == NULL) b = &unused;
    o->m16 = gw_layout_take(l, n, sizeof *o->m16);
    o->v16 = gw_layout_take(l, n, sizeof *o->v16);
    b->row_floats = row_floats(c);
    b->rows = gw_layout_take(l, (size_t)n_threads, 3 * b->row_floats * sizeof *b->rows);
    b->rngs = gw_layout_take(l, gw_config_n_tensors(c), sizeof *b->rngs);
    gw_optimizer_lay_out_norm(l, n, o);
}

static size_t memory_bytes(const struct gw_config *c, int n_threads) {
    struct gw_layout plan = {0};
    struct gw_optimizer unused;
    lay_out(&plan, c, n_threads, &unused);
    return plan.used;
}

size_t gw_optimizer_bf16_bytes(const struct gw_config *c, int n_threads) {
    return memory_bytes(c, n_threads) + gw_packer_bytes(c, n_threads);
}

static enum gwen_status allocate(struct gw_optimizer *o, struct gw_model *model,
                                 struct gwen_err *err) {
    const struct gw_config *c = &model->cfg;
    const int n_threads = gw_pool_threads(o->pool);
    struct gw_layout l;
    GW_TRY(gw_packer_create(model, o->params, o->pool, &o->packer, err));
    GW_TRY(gw_layout_map(&l, memory_bytes(c, n_threads), &o->memory, err));
    GW_TRY(gw_touch(o->pool, &o->memory, 0, o->memory.bytes, err));
    lay_out(&l, c, n_threads, o);
    return gw_layout_end(&l, "the optimizer", err);
}

enum gwen_status gw_optimizer_bf16_create(struct gw_model *model, const struct gw_params *params,
                                          struct gw_pool *pool, const struct gw_adamw_opts *opts,
                                          double max_grad_norm, uint64_t seed,
                                          struct gw_optimizer **out, struct gwen_err *err) {
    *out = NULL;
    if (model->dtype != GW_DTYPE_BF16)
        return gw_fail(err, GWEN_ERR_ARGUMENT,
                       "adamw-bf16 trains weights in bfloat16, not %s: use %s bf16 or %s adamw",
                       gw_dtype_torch_name(model->dtype), gw_knob(GW_KNOB_DTYPE),
                       gw_knob(GW_KNOB_OPTIMIZER));
    struct gw_optimizer *o = calloc(1, sizeof *o);
    if (o == NULL) return gw_nomem(err, sizeof *o, "the optimizer");
    *o = (struct gw_optimizer){.params = params,
                               .kern = &model->kern,
                               .pool = pool,
                               .opts = *opts,
                               .max_grad_norm = max_grad_norm};
    enum gwen_status status = allocate(o, model, err);
    if (status != GWEN_OK) {
        gw_optimizer_free(o);
        return status;
    }
    o->bf16->seed = seed;
    *out = o;
    return GWEN_OK;
}

/* --- a step --------------------------------------------------------------------------------- */

enum sample { WEIGHTS, EXP_AVG, EXP_AVG_SQ };

static void round_row(const struct gw_optimizer *o, size_t param, size_t row, enum sample sample,
                      const float *x, size_t n, struct gwen_bf16 *y) {
    const struct gwen_rounding r = gw_rounding_of(&o->bf16->rngs[param], sample, row, n);
    o->kern->random_bf16(y, x, n, &r);
}

static void step_row(void *ctx, int thread, size_t param, size_t row, void *values, size_t n) {
    struct gw_optimizer *o = ctx;
    const struct gw_optimizer_bf16 *b = o->bf16;
    const struct gw_param *p = &o->params->list[param];
    const size_t at = p->offset + row * n;
    float *w = b->rows + (size_t)thread * 3 * b->row_floats, *m = w + b->row_floats,
          *v = m + b->row_floats;
    if (p->rank == 1)
        memcpy(w, values, n * sizeof *w);
    else
        o->kern->bf16_to_f32(w, values, n);
    o->kern->bf16_to_f32(m, o->m16 + at, n);
    o->kern->bf16_to_f32(v, o->v16 + at, n);
    o->kern->adamw(w, m, v, b->grads + at, &b->step[p->decay], n);
    round_row(o, param, row, EXP_AVG, m, n, o->m16 + at);
    round_row(o, param, row, EXP_AVG_SQ, v, n, o->v16 + at);
    if (p->rank == 1)
        memcpy(values, w, n * sizeof *w);
    else
        round_row(o, param, row, WEIGHTS, w, n, values);
}

static void start_draws(struct gw_optimizer *o) {
    for (size_t i = 0; i < o->params->n; i++) {
        const char *name = o->params->list[i].name;
        const struct gw_rng_key key = {.seed = o->bf16->seed,
                                       .stream = GW_STREAM_ROUNDING,
                                       .step = o->steps + 1,
                                       .prompt_key = gw_hash64(name, strlen(name))};
        gw_rng_init(&o->bf16->rngs[i], &key);
    }
}

enum gwen_status gw_optimizer_bf16_step(struct gw_optimizer *o, const float *grads, double lr,
                                        double scale, double *norm, struct gwen_err *err) {
    double clip;
    if (!gw_optimizer_clip(o, grads, scale, norm, &clip)) return GWEN_OK;
    for (int decay = 0; decay < 2; decay++)
        o->bf16->step[decay] = gw_adamw_step(&o->opts, o->steps + 1, lr, clip, decay);
    start_draws(o);
    o->bf16->grads = grads;
    o->steps++;
    return gw_pack_edit(o->packer, step_row, o, err);
}

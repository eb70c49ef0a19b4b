/* optimizer.c - see optimizer.h. */
#include "train/optimizer.h"

#include "base/touch.h"
#include "model/pack.h"

#include <math.h>
#include <stdlib.h>

static size_t n_blocks(size_t n_floats) { return (n_floats + GW_NORM_BLOCK - 1) / GW_NORM_BLOCK; }

void gw_optimizer_lay_out_norm(struct gw_layout *l, size_t n_floats, struct gw_optimizer *o) {
    o->block_squares = gw_layout_take(l, n_blocks(n_floats), sizeof *o->block_squares);
}

static void lay_out(struct gw_layout *l, size_t n_floats, struct gw_optimizer *o) {
    o->master = gw_layout_take(l, n_floats, sizeof *o->master);
    o->m = gw_layout_take(l, n_floats, sizeof *o->m);
    o->v = gw_layout_take(l, n_floats, sizeof *o->v);
    gw_optimizer_lay_out_norm(l, n_floats, o);
}

size_t gw_optimizer_bytes(size_t n_floats) {
    struct gw_layout plan = {0};
    struct gw_optimizer unused;
    lay_out(&plan, n_floats, &unused);
    return plan.used;
}

static enum gwen_status create_memory(struct gw_optimizer *o, struct gwen_err *err) {
    const size_t n_floats = o->params->n_floats;
    struct gw_layout l;
    GW_TRY(gw_layout_map(&l, gw_optimizer_bytes(n_floats), &o->memory, err));
    lay_out(&l, n_floats, o);
    GW_TRY(gw_layout_end(&l, "the optimizer", err));
    return gw_touch(o->pool, &o->memory, 0, o->memory.bytes, err);
}

enum gwen_status gw_optimizer_create(const struct gw_params *params,
                                     const struct gwen_kernels *kern, struct gw_pool *pool,
                                     const struct gw_adamw_opts *opts, double max_grad_norm,
                                     struct gw_optimizer **out, struct gwen_err *err) {
    *out = NULL;
    struct gw_optimizer *o = calloc(1, sizeof *o);
    if (o == NULL) return gw_nomem(err, sizeof *o, "the optimizer");
    *o = (struct gw_optimizer){.params = params,
                               .kern = kern,
                               .pool = pool,
                               .opts = *opts,
                               .max_grad_norm = max_grad_norm};
    enum gwen_status status = create_memory(o, err);
    if (status != GWEN_OK) {
        gw_optimizer_free(o);
        return status;
    }
    *out = o;
    return GWEN_OK;
}

void gw_optimizer_free(struct gw_optimizer *o) {
    if (o == NULL) return;
    gw_packer_free(o->packer);
    gw_mem_unmap(&o->memory);
    free(o);
}

/* What a region works on. */
struct job {
    struct gw_optimizer *o;
    const float *grads;
    double lr, clip;
};

static void squares_region(void *ctx, int thread, int n_threads) {
    const struct job *j = ctx;
    const size_t n = j->o->params->n_floats;
    size_t begin, end;
    gw_share(n_blocks(n), thread, n_threads, &begin, &end);
    for (size_t b = begin; b < end; b++)
        j->o->block_squares[b] =
            gw_sum_squares(j->o->kern, j->grads + b * GW_NORM_BLOCK,
                           GW_MIN((size_t)GW_NORM_BLOCK, n - b * GW_NORM_BLOCK));
}

double gw_optimizer_norm(struct gw_optimizer *o, const float *grads) {
    struct job j = {.o = o, .grads = grads};
    gw_pool_run(o->pool, squares_region, &j);
    double sum = 0;
    for (size_t b = 0; b < n_blocks(o->params->n_floats); b++) sum += o->block_squares[b];
    return sqrt(sum);
}

static void step_region(void *ctx, int thread, int n_threads) {
    const struct job *j = ctx;
    struct gw_optimizer *o = j->o;
    size_t begin, end;
    for (size_t i = 0; i < o->params->n; i++) {
        const struct gw_param *p = &o->params->list[i];
        const struct gwen_adamw a = gw_adamw_step(&o->opts, o->steps + 1, j->lr, j->clip, p->decay);
        gw_share(p->n, thread, n_threads, &begin, &end);
        begin += p->offset;
        end += p->offset;
        o->kern->adamw(o->master + begin, o->m + begin, o->v + begin, j->grads + begin, &a,
                       end - begin);
    }
}

bool gw_optimizer_clip(struct gw_optimizer *o, const float *grads, double scale, double *norm,
                       double *clip) {
    *norm = gw_optimizer_norm(o, grads) * scale;
    *clip = scale * gw_clip_factor(*norm, o->max_grad_norm);
    if (!isfinite(*norm)) o->skipped++;
    return isfinite(*norm);
}

double gw_optimizer_step(struct gw_optimizer *o, const float *grads, double lr, double scale) {
    struct job j = {.o = o, .grads = grads, .lr = lr};
    double norm;
    if (!gw_optimizer_clip(o, grads, scale, &norm, &j.clip)) return norm;
    gw_pool_run(o->pool, step_region, &j);
    o->steps++;
    return norm;
}

/* optimizer.c - see optimizer.h. */
#include "train/optimizer.h"

#include "base/touch.h"

#include <math.h>
#include <stdlib.h>

static size_t n_blocks(size_t n_floats) { return (n_floats + GW_NORM_BLOCK - 1) / GW_NORM_BLOCK; }

static size_t array_bytes(size_t n_floats) { return gw_round_up(n_floats * sizeof(float), 64); }

size_t gw_optimizer_norm_bytes(size_t n_floats) { return n_blocks(n_floats) * sizeof(double); }

size_t gw_optimizer_bytes(size_t n_floats) {
    return 3 * array_bytes(n_floats) + gw_optimizer_norm_bytes(n_floats);
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
    enum gwen_status status = gw_mem_map(&o->memory, gw_optimizer_bytes(params->n_floats), err);
    if (status == GWEN_OK) status = gw_touch(pool, &o->memory, 0, o->memory.bytes, err);
    if (status != GWEN_OK) {
        gw_optimizer_free(o);
        return status;
    }
    char *at = o->memory.data;
    o->master = gw_mem_take(&at, array_bytes(params->n_floats));
    o->m = gw_mem_take(&at, array_bytes(params->n_floats));
    o->v = gw_mem_take(&at, array_bytes(params->n_floats));
    o->block_squares = (double *)(void *)at;
    *out = o;
    return GWEN_OK;
}

void gw_optimizer_free(struct gw_optimizer *o) {
    if (o == NULL) return;
    gw_optimizer_bf16_free(o->bf16);
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

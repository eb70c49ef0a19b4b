/* optim.c - see optim.h.  Scalars are in double, by functions that give the same bits everywhere.
 */
#include "ops/optim.h"

#include "ref/math.h"

#include <string.h>

double gw_schedule_lr(const struct gw_schedule *s, size_t step) {
    const double at = (double)step, warmup = (double)s->warmup_steps,
                 total = (double)s->total_steps;
    if (step < s->warmup_steps) return s->lr * (at / GW_MAX(1.0, warmup));
    if (s->kind == GW_SCHEDULE_CONSTANT) return s->lr;
    if (s->kind == GW_SCHEDULE_LINEAR)
        return s->lr * GW_MAX(0.0, (total - at) / GW_MAX(1.0, total - warmup));
    double sine, cosine, progress = (at - warmup) / GW_MAX(1.0, total - warmup);
    gwen_sincos_d(3.141592653589793 * progress, &sine, &cosine);
    const double factor = GW_MAX(0.0, 0.5 * (1.0 + cosine));
    return s->lr * (factor * (1.0 - s->min_lr_rate) + s->min_lr_rate);
}

double gw_sum_squares(const struct gwen_kernels *kern, const float *x, size_t n) {
    enum { PIECE = 256 }; /* short enough that float sums keep their precision */
    double sum = 0;
    for (size_t i = 0; i < n; i += PIECE)
        sum += (double)kern->dot(x + i, x + i, GW_MIN((size_t)PIECE, n - i));
    return sum;
}

double gw_clip_factor(double norm, double max_norm) {
    if (!(max_norm > 0)) return 1;
    const double factor = max_norm / (norm + 1e-6);
    return factor < 1 ? factor : 1;
}

/* 1 - beta^t */
static double bias_correction(double beta, uint64_t t) {
    return beta > 0 ? 1.0 - gwen_pow_d(beta, (double)t) : 1.0;
}

struct gwen_adamw gw_adamw_step(const struct gw_adamw_opts *o, uint64_t t, double lr, double clip,
                                bool decayed) {
    return (struct gwen_adamw){.clip = (float)clip,
                               .decay = (float)(decayed ? 1.0 - lr * o->weight_decay : 1.0),
                               .one_beta1 = (float)(1.0 - o->beta1),
                               .beta2 = (float)o->beta2,
                               .one_beta2 = (float)(1.0 - o->beta2),
                               .step = (float)(lr / bias_correction(o->beta1, t)),
                               .inv_bias2 = (float)(1.0 / sqrt(bias_correction(o->beta2, t))),
                               .eps = (float)o->eps};
}

struct gwen_rounding gw_rounding_of(const struct gw_rng *rng, uint32_t sample, size_t row,
                                    size_t n) {
    const uint64_t each =
        (n + GWEN_ROUNDING_CHUNK - 1) / GWEN_ROUNDING_CHUNK * GWEN_ROUNDING_POSITIONS;
    struct gwen_rounding r = {.sample = sample, .position = row * each};
    memcpy(r.seed, rng->seed, sizeof r.seed);
    memcpy(r.chain, rng->chain, sizeof r.chain);
    return r;
}

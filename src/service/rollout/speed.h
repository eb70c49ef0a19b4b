/* speed.h - how long a decode step takes on this machine: the measured curve of `tune`, else a
 * roofline of peak and bandwidth.
 *
 * What is chosen by it (a batch size) changes speed, never results. */
#ifndef GW_SERVICE_ROLLOUT_SPEED_H
#define GW_SERVICE_ROLLOUT_SPEED_H

#include "base/pool.h"
#include "service/plan.h"

enum gw_speed_source {
    GW_SPEED_ASSUMED, /* roofline of peaks that another machine gave */
    GW_SPEED_PEAKS,   /* roofline of measured peaks */
    GW_SPEED_CURVE    /* measured steps */
};

enum { GW_SPEED_POINTS = 40 };

/* Seconds of a step of `batch` rows that have few and many tokens of their own. */
struct gw_speed_point {
    size_t batch;
    double near_s, far_s;
    double noise; /* standard error of both, relative */
};

/* Measured steps; points ascend in batch. */
struct gw_speed_curve {
    size_t prompt_tokens, groups; /* prompts shared by so many rows each */
    size_t near_tokens, far_tokens;
    double prefill_s; /* a prompt token beside a decode step */
    size_t n_points;
    struct gw_speed_point points[GW_SPEED_POINTS];
};

struct gw_speed {
    enum gw_speed_source source;
    double flops_s, bytes_s; /* peaks of all threads together */
    /* of the model, for the roofline */
    double weight_bytes, params, layers, tile_rows;
    double kv_token_bytes, attn_flops; /* per row and token attended */
    struct gw_speed_curve curve;       /* CURVE */
};

/* What one step does. */
struct gw_step {
    double rows, prompts; /* decoded together; prompts that they share */
    double prompt_tokens, own_tokens;
    double prefill; /* prompt tokens computed beside them */
};

/* A roofline of assumed peaks. */
void gw_speed_assume(const struct gw_plan_options *plan, const struct gw_arith *arith,
                     struct gw_speed *speed);
/* Measures the peaks, in less than 0.3 s; takes at most max_bytes meanwhile.  Leaves *speed as it
 * is where too little memory is left, or the model is so small that measuring would take longer
 * than it can gain. */
void gw_speed_measure(struct gw_speed *speed, const struct gw_arith *arith, struct gw_pool *pool,
                      size_t max_bytes);
/* Steps from now on take what *curve (at least two points) says. */
void gw_speed_set_curve(struct gw_speed *speed, const struct gw_speed_curve *curve);

double gw_speed_step(const struct gw_speed *speed, const struct gw_step *step);

#endif

/* steps.h - decode steps with chosen rows, contexts and prefill, timed one by one.
 *
 * Contexts cost nothing to set up: sequences get their blocks, whose zeros take as long to attend
 * to as anything else, and every step stores its tokens at the same positions. */
#ifndef GW_SERVICE_TUNE_STEPS_H
#define GW_SERVICE_TUNE_STEPS_H

#include "model/forward.h"

struct gw_steps_opts {
    size_t rows;    /* the most of one step */
    size_t prefill; /* the most prompt tokens beside them */
    size_t prompt_tokens, groups;
    size_t own_tokens; /* the most of a row's own */
};

struct gw_steps;

/* Bytes that gw_steps_open takes beside the weights. */
size_t gw_steps_bytes(const struct gw_config *cfg, enum gw_panel_format format,
                      const struct gw_steps_opts *opts, int n_threads);
/* Model and pool must outlive *out. */
enum gwen_status gw_steps_open(const struct gw_model *model, struct gw_pool *pool,
                               const struct gw_steps_opts *opts, struct gw_steps **out,
                               struct gwen_err *err);
void gw_steps_close(struct gw_steps *s); /* NULL is fine */

/* Mean seconds of `repeat` steps of `rows` rows with own_tokens of their own and `prefill` prompt
 * tokens beside them. */
double gw_steps_time(struct gw_steps *s, size_t rows, size_t own_tokens, size_t prefill,
                     size_t repeat);

#endif

/* rope.h - tables of rotary angles (Su et al. 2021), as transformers computes them. */
#ifndef GW_ROPE_H
#define GW_ROPE_H

#include "base/base.h"
#include "base/mem.h"

/* How frequencies are stretched for long contexts. */
enum gw_rope_scaling { GW_ROPE_SCALE_NONE, GW_ROPE_SCALE_LINEAR, GW_ROPE_SCALE_LLAMA3 };

struct gw_rope_spec {
    double theta;
    enum gw_rope_scaling scaling;
    double factor, low_freq_factor, high_freq_factor, original_context;
    size_t head_dim; /* even */
};

/* cosines and sines [n_positions][head_dim/2]. */
struct gw_rope_table {
    size_t half, n_positions;
    float *cosines, *sines;
    struct gw_mem memory;
};

enum gwen_status gw_rope_table_create(const struct gw_rope_spec *spec, size_t n_positions,
                                      struct gw_rope_table *table, struct gwen_err *err);
void gw_rope_table_free(struct gw_rope_table *table);
size_t gw_rope_table_bytes(size_t head_dim, size_t n_positions);

/* The head_dim/2 angles per position, after scaling. */
void gw_rope_frequencies(const struct gw_rope_spec *spec, float *freq);

#endif

/* rope.c - see rope.h.  transformers forms frequencies and angles in float32: so are they here
 * (an angle of thousands of radians rounds to 1e-4, and models were trained with that); the
 * sine and cosine of the rounded angle are then exact to the last float bit. */
#include "ops/rope.h"

#include "base/layout.h"
#include "ref/math.h"

static float llama3_scaled(const struct gw_rope_spec *s, float freq) {
    const double two_pi = 6.283185307179586;
    double wavelen = two_pi / (double)freq;
    if (wavelen < s->original_context / s->high_freq_factor) return freq;
    if (wavelen > s->original_context / s->low_freq_factor) return freq / (float)s->factor;
    float smooth = (float)((s->original_context / wavelen - s->low_freq_factor) /
                           (s->high_freq_factor - s->low_freq_factor));
    return (1.0f - smooth) * freq / (float)s->factor + smooth * freq;
}

void gw_rope_frequencies(const struct gw_rope_spec *s, float *freq) {
    for (size_t i = 0; i < s->head_dim / 2; i++) {
        float exponent = (float)(2 * i) / (float)s->head_dim;
        freq[i] = 1.0f / (float)gwen_pow_d(s->theta, (double)exponent);
        if (s->scaling == GW_ROPE_SCALE_LINEAR) freq[i] /= (float)s->factor;
        if (s->scaling == GW_ROPE_SCALE_LLAMA3) freq[i] = llama3_scaled(s, freq[i]);
    }
}

/* The table's two planes; returns the frequencies that they are made from. */
static float *lay_out(struct gw_layout *l, size_t head_dim, size_t n_positions,
                      struct gw_rope_table *t) {
    t->half = head_dim / 2;
    t->n_positions = n_positions;
    t->cosines = gw_layout_take(l, n_positions, t->half * sizeof *t->cosines);
    t->sines = gw_layout_take(l, n_positions, t->half * sizeof *t->sines);
    return gw_layout_take(l, t->half, sizeof(float));
}

size_t gw_rope_table_bytes(size_t head_dim, size_t n_positions) {
    struct gw_layout plan = {0};
    struct gw_rope_table unused;
    lay_out(&plan, head_dim, n_positions, &unused);
    return plan.used;
}

enum gwen_status gw_rope_table_create(const struct gw_rope_spec *spec, size_t n_positions,
                                      struct gw_rope_table *t, struct gwen_err *err) {
    const size_t half = spec->head_dim / 2;
    struct gw_layout l;
    GW_TRY(gw_layout_map(&l, gw_rope_table_bytes(spec->head_dim, n_positions), &t->memory, err));
    float *freq = lay_out(&l, spec->head_dim, n_positions, t);
    GW_TRY(gw_layout_end(&l, "the rotation's table", err));
    gw_rope_frequencies(spec, freq);
    for (size_t p = 0; p < n_positions; p++)
        for (size_t i = 0; i < half; i++) {
            double sine, cosine;
            gwen_sincos_d((double)((float)p * freq[i]), &sine, &cosine);
            t->cosines[p * half + i] = (float)cosine;
            t->sines[p * half + i] = (float)sine;
        }
    return GWEN_OK;
}

void gw_rope_table_free(struct gw_rope_table *t) {
    gw_mem_unmap(&t->memory);
    *t = (struct gw_rope_table){0};
}

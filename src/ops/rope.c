/* rope.c - see rope.h.  transformers forms frequencies and angles in float32: so are they here
 * (an angle of thousands of radians rounds to 1e-4, and models were trained with that); the
 * sine and cosine of the rounded angle are then exact to the last float bit. */
#include "ops/rope.h"

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

size_t gw_rope_table_bytes(size_t head_dim, size_t n_positions) {
    return 2 * gw_round_up(n_positions * (head_dim / 2) * sizeof(float), 64) +
           gw_round_up(head_dim / 2 * sizeof(float), 64);
}

enum gwen_status gw_rope_table_create(const struct gw_rope_spec *spec, size_t n_positions,
                                      struct gw_rope_table *t, struct gwen_err *err) {
    size_t half = spec->head_dim / 2;
    t->half = half;
    t->n_positions = n_positions;
    GW_TRY(gw_mem_map(&t->memory, gw_rope_table_bytes(spec->head_dim, n_positions), err));
    size_t plane = gw_round_up(n_positions * half * sizeof(float), 64);
    t->cosines = t->memory.data;
    t->sines = (float *)(void *)((char *)t->memory.data + plane);
    float *freq = (float *)(void *)((char *)t->memory.data + 2 * plane);
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

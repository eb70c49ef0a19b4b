/* generation.h - the sampling defaults that come with a model. */
#ifndef GW_CHECKPOINT_CONFIG_GENERATION_H
#define GW_CHECKPOINT_CONFIG_GENERATION_H

#include "base/base.h"
#include "base/str.h"
#include "checkpoint/config/config.h"

/* A field that the file does not give has its has_ flag false (n_eos 0, ids -1). */
struct gw_generation_config {
    int32_t eos_ids[GW_CONFIG_MAX_EOS];
    size_t n_eos;
    int32_t bos_id, pad_id; /* -1: none */
    bool has_do_sample, has_temperature, has_top_k, has_top_p, has_min_p, has_repetition_penalty,
        has_max_new_tokens;
    bool do_sample;
    double temperature, top_p, min_p, repetition_penalty;
    size_t top_k; /* 0: off */
    size_t max_new_tokens;
    /* The first setting in the file that changes sampling and is not implemented here, as
     * "no_repeat_ngram_size 3"; empty when there is none.  Whoever applies the defaults says so. */
    char unsupported[96];
};

/* Reads DIR/generation_config.json; a missing file gives an empty structure and GWEN_OK. */
enum gwen_status gw_generation_config_load(const char *dir, struct gw_generation_config *g,
                                           struct gwen_err *err);
enum gwen_status gw_generation_config_parse(const char *text, size_t len, const char *name,
                                            struct gw_generation_config *g, struct gwen_err *err);
/* The ids that end a sample: those of *g when it gives any, else those of *c; they are not copied.
 */
struct gw_eos gw_generation_eos(const struct gw_generation_config *g, const struct gw_config *c);

#endif

/* weights_init.c - a model directory with random weights (see weights_init.h).
 *
 * Element i of a matrix takes word i % 4 of the draw at position i / 4 of the stream keyed by the
 * seed and the tensor's name, and turns it into a normal number by the inverse of the normal
 * distribution.  That is computed with + - * / and sqrt alone, the logarithm included, so that the
 * bits do not depend on the C library. */
#include "checkpoint/weights_init.h"

#include "base/file.h"
#include "base/progress.h"
#include "base/rng.h"
#include "checkpoint/safetensors/safetensors.h"
#include "gwen_simd.h"
#include "text/tokenizer/tokenizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GW_INIT_CHUNK = 4096 };

/* Natural logarithm of x, 2^-33 <= x < 1, to about 1e-15: x = m 2^e with m in [sqrt 1/2, sqrt 2),
 * ln m = 2 atanh((m - 1) / (m + 1)). */
static double ln(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int e = (int)(bits >> 52) - 1022;
    bits = (bits & 0x000FFFFFFFFFFFFF) | 0x3FE0000000000000; /* mantissa in [1/2, 1) */
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m < 0.70710678118654752) {
        m = m + m;
        e = e - 1;
    }
    double s = (m - 1) / (m + 1), s2 = s * s;
    double series = 1.0 / 17;
    for (int k = 15; k >= 1; k -= 2) series = series * s2 + 1.0 / k;
    return e * 0.69314718055994531 + 2 * s * series;
}

/* The standard normal quantile of (word + 1/2) / 2^32, |result| < 6.4, to within 1e-6: algorithm
 * PPND7 of Wichura, "The percentage points of the normal distribution", Applied Statistics 37
 * (1988). */
static double normal(uint32_t word) {
    double p = ((double)word + 0.5) * 0x1p-32, q = p - 0.5;
    if (fabs(q) <= 0.425) {
        double r = 0.180625 - q * q;
        return q * (((59.109374720 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179) /
               (((67.187563600 * r + 78.757757664) * r + 17.895169469) * r + 1);
    }
    double r = sqrt(-ln(q < 0 ? p : 1 - p)), x;
    if (r <= 5) {
        r -= 1.6;
        x = (((0.17023821103 * r + 1.3067284816) * r + 2.7568153900) * r + 1.4234372777) /
            ((0.12021132975 * r + 0.73700164250) * r + 1);
    } else {
        r -= 5;
        x = (((0.017337203997 * r + 0.42868294337) * r + 3.0812263860) * r + 6.6579051150) /
            ((0.012258202635 * r + 0.24197894225) * r + 1);
    }
    return q < 0 ? -x : x;
}

struct fill_state {
    const struct gw_config *config;
    uint64_t seed;
    struct gw_progress progress;
    uint64_t done; /* parameters */
};

/* Values of elements [first, first + n) of a tensor. */
static void fill_floats(const struct fill_state *s, const struct gw_tensor_spec *spec, size_t first,
                        size_t n, float *out) {
    if (spec->rank == 1) {
        size_t len = strlen(spec->name);
        bool bias = len > 5 && strcmp(spec->name + len - 5, ".bias") == 0;
        for (size_t i = 0; i < n; i++) out[i] = bias ? 0 : 1;
        return;
    }
    struct gw_rng rng;
    gw_rng_init(&rng,
                &(struct gw_rng_key){.seed = s->seed,
                                     .stream = GW_STREAM_INIT,
                                     .prompt_key = gw_hash64(spec->name, strlen(spec->name))});
    uint32_t words[4];
    for (size_t i = 0; i < n; i++) {
        size_t at = first + i;
        if (i == 0 || at % 4 == 0) gw_rng_words(&rng, 0, at / 4, words);
        out[i] = (float)(normal(words[at % 4]) * s->config->initializer_range);
    }
}

static enum gwen_status fill(void *ctx, size_t index, size_t first, size_t n, void *dst,
                             struct gwen_err *err) {
    struct fill_state *s = ctx;
    struct gw_tensor_spec spec;
    gw_config_tensor_at(s->config, index, &spec);
    float chunk[GW_INIT_CHUNK];
    for (size_t i = 0; i < n; i += GW_INIT_CHUNK) {
        size_t m = GW_MIN(n - i, (size_t)GW_INIT_CHUNK);
        GW_TRY(gw_progress_update(&s->progress, s->done, err));
        s->done += m;
        fill_floats(s, &spec, first + i, m, chunk);
        if (s->config->dtype == GW_DTYPE_F32)
            memcpy((float *)dst + i, chunk, m * sizeof *chunk);
        else if (s->config->dtype == GW_DTYPE_F16)
            gwen_ref_f32_to_f16((struct gwen_f16 *)dst + i, chunk, m);
        else
            gwen_ref_f32_to_bf16((struct gwen_bf16 *)dst + i, chunk, m);
    }
    return GWEN_OK;
}

static enum gwen_status write_weights(const struct gw_config *c, const struct gw_init_options *opt,
                                      const char *path, struct gwen_err *err) {
    size_t n = gw_config_n_tensors(c);
    struct gw_tensor *tensors = calloc(n, sizeof *tensors);
    struct gw_tensor_spec *specs = calloc(n, sizeof *specs);
    enum gwen_status status = GWEN_OK;
    if (tensors == NULL || specs == NULL) status = gw_nomem(err, n * sizeof *specs, path);
    for (size_t i = 0; i < n && status == GWEN_OK; i++) {
        gw_config_tensor_at(c, i, &specs[i]);
        tensors[i] = (struct gw_tensor){.name = specs[i].name,
                                        .dtype = c->dtype,
                                        .rank = specs[i].rank,
                                        .shape = {specs[i].shape[0], specs[i].shape[1]}};
    }
    struct fill_state state = {.config = c, .seed = opt->seed};
    gw_progress_init(&state.progress, opt->progress, opt->progress_user, "init", "parameters",
                     gw_config_n_params(c));
    const struct gw_meta meta = {"format", "pt"}; /* transformers wants to see it */
    if (status == GWEN_OK)
        status = gw_safetensors_write(path, tensors, n, &meta, 1, fill, &state, err);
    free(tensors);
    free(specs);
    return status;
}

enum gwen_status gw_weights_init(const struct gw_config *config, const struct gw_init_options *opt,
                                 const char *dir, struct gwen_err *err) {
    struct gw_config c = *config;
    if (opt->dtype != GW_DTYPE_NONE) c.dtype = opt->dtype;
    if (c.dtype == GW_DTYPE_NONE) c.dtype = GW_DTYPE_BF16;
    if (!gw_dtype_is_weight(c.dtype))
        return gw_fail(err, GWEN_ERR_ARGUMENT, "%s: weights cannot be %s", dir,
                       gw_dtype_name(c.dtype));
    GW_TRY(gw_config_validate(&c, dir, err));
    GW_TRY(gw_dir_make(dir, err));
    GW_TRY(gw_config_write(&c, dir, err));
    if (opt->tokenizer_dir != NULL) {
        if (!gw_tokenizer_exists(opt->tokenizer_dir))
            return gw_fail(err, GWEN_ERR_IO, "%s: no tokenizer.json and no vocab.json",
                           opt->tokenizer_dir);
        GW_TRY(gw_tokenizer_copy(opt->tokenizer_dir, dir, err));
    }
    struct gw_str path = {0};
    enum gwen_status status = gw_path_join(&path, dir, "model.safetensors", err);
    if (status == GWEN_OK) status = write_weights(&c, opt, path.data, err);
    gw_str_free(&path);
    return status;
}

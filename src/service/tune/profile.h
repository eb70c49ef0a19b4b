/* profile.h - what `tune` found, kept for the other commands: a small JSON file for each
 * machine, model shape and type.
 *
 * The file's key holds everything that the findings depend on; a file with another key is
 * stale.  Nothing in the file can change a result, and values that make no sense are refused. */
#ifndef GW_SERVICE_TUNE_PROFILE_H
#define GW_SERVICE_TUNE_PROFILE_H

#include "base/hw/hw.h"
#include "service/rollout/speed.h"

enum { GW_TUNE_PROFILE_MAX_BYTES = 64 << 10 };

struct gw_tune_profile {
    size_t threads, prefill_rows;
    size_t train_micro_batch; /* 0: not measured */
    struct gw_linear_tuning linear;
    double flops_s, bytes_s; /* 0: not measured */
    bool has_curve;
    struct gw_speed_curve curve;
    /* the work that it was tuned for, and what came out */
    size_t n_prompts, prompt_tokens, max_tokens, groups;
    uint64_t budget_bytes;
    size_t rollout_batch;
    double tok_s;
};

/* Sets *key to one line: processor, instruction set, mask, quota, threads asked for (0: none),
 * model shape, type and version. */
void gw_tune_key(const struct gw_hw *hw, const struct gwen_kernels *kern,
                 const struct gw_config *cfg, enum gw_dtype dtype, size_t threads_asked,
                 struct gw_str *key);
/* Sets *name to the file name of a key. */
void gw_tune_profile_name(const struct gw_config *cfg, enum gw_dtype dtype, const char *key,
                          struct gw_str *name);
/* Appends the file's text. */
void gw_tune_profile_put(const struct gw_tune_profile *p, const char *key, struct gw_str *out);
/* Reads a file's text.  Errors name the field; GWEN_ERR_FORMAT "... of another machine or version"
 * when the key is another one. */
enum gwen_status gw_tune_profile_parse(const char *text, size_t len, const char *file,
                                       const char *key, struct gw_tune_profile *p,
                                       struct gwen_err *err);

#endif

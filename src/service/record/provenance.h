/* provenance.h - what the rows of a long output depend on, for the first line of its part file, or
 * a training run's checkpoint: it is resumed only by one that would give the same. */
#ifndef GW_SERVICE_RECORD_PROVENANCE_H
#define GW_SERVICE_RECORD_PROVENANCE_H

#include "service/rollout/file.h"
#include "service/rollout/rollout.h"

enum { GW_PROVENANCE_MAX = 16 };

struct gw_provenance {
    const char *names[GW_PROVENANCE_MAX];
    struct gw_str values[GW_PROVENANCE_MAX];
    size_t n;
};

/* Adds a field, named as a person would. */
void gw_provenance_add(struct gw_provenance *p, const char *name, const char *fmt, ...)
    GW_PRINTF(3, 4);
/* The same with a text of any length. */
void gw_provenance_add_text(struct gw_provenance *p, const char *name, const char *text);
/* Adds model, dtype, numeric class and tokenizer (NULL: none). */
enum gwen_status gw_provenance_model(struct gw_provenance *p, const struct gw_model *model,
                                     struct gw_pool *pool, const char *numeric_class,
                                     const struct gw_tokenizer *tokenizer, struct gwen_err *err);
/* Adds seed, groups, sampling, eos ids and stop strings. */
void gw_provenance_sampling(struct gw_provenance *p, const struct gw_rollout_opts *o);
/* A hash of all fields. */
uint64_t gw_provenance_hash(const struct gw_provenance *p);
/* gw_rollout_file_open with these fields. */
enum gwen_status gw_provenance_open(const struct gw_provenance *p, const char *path,
                                    enum gw_part_mode mode, size_t n_prompts, size_t groups,
                                    const struct gw_log *log, struct gw_rollout_file **out,
                                    struct gwen_err *err);
/* Appends the fields as a JSON object of strings. */
void gw_provenance_put_json(const struct gw_provenance *p, struct gw_str *out);
/* For a resumed run: fails, naming the first field that differs, unless the object holds the same
 * ones. */
enum gwen_status gw_provenance_same(const struct gw_provenance *p, const char *json, size_t len,
                                    struct gwen_err *err);
void gw_provenance_free(struct gw_provenance *p);

#endif

/* checkpoint.h - a run's state on disk, from which it resumes as if it had never stopped.
 *
 *     RUN/checkpoint-100/          whole and durable: made under another name, synced, renamed
 *         config.json, *.safetensors, tokenizer files ...       } written by the parts given
 *         optimizer.safetensors ...                             }
 *         state.json               step, positions in the random draws and the data, options,
 *                                  the checksum of every file here, and its own
 *     RUN/checkpoint-200.tmp/      being written, or left over from a run that was killed
 *
 * Killed at any moment, or on a full disk, a run leaves the checkpoint before as it was. */
#ifndef GW_SERVICE_TRAIN_CHECKPOINT_H
#define GW_SERVICE_TRAIN_CHECKPOINT_H

#include "base/base.h"
#include "base/log.h"
#include "base/str.h"

/* What is not in tensors. */
struct gw_train_state {
    uint64_t step;       /* optimizer steps done */
    uint64_t generation; /* rollouts done: the "step" of the random draws of the next one */
    uint64_t used;       /* updates made with the last one; 0: all that it is for */
    uint64_t epoch;      /* of the data ... */
    uint64_t row;        /* ... and how many rows of its order have been used */
    uint64_t skipped;    /* steps that were skipped for gradients that were not finite */
    uint64_t data;       /* a fingerprint of the rows, below 2^53 */
    uint64_t metrics_bytes, metrics_sum; /* of metrics.jsonl as of this step (base/checksum.h) */
    struct gw_str config;                /* the options of the run, a JSON object */
    struct gw_str origin;  /* what else decides the results (provenance.h), a JSON object */
    struct gw_str profile; /* how the machine was used, a JSON object; changes no result */
    struct gw_str files;   /* {name: {"bytes", "sum"}} of the checkpoint's; gw_checkpoint_write
                            * fills it in */
    struct gw_str
        held;      /* the row of `step` (run.h: gw_train_run_hold), a JSON object; else empty */
    bool unsummed; /* read from one of an older version, which has no checksums */
};
void gw_train_state_free(struct gw_train_state *s);
/* Appends the state as JSON, and reads it back: `name` is for messages. */
void gw_train_state_put(const struct gw_train_state *s, struct gw_str *out);
enum gwen_status gw_train_state_parse(const char *text, size_t len, const char *name,
                                      struct gw_train_state *out, struct gwen_err *err);

/* One part of what is saved: writes its files into the folder `dir`, which is there. */
struct gw_checkpoint_part {
    enum gwen_status (*write)(void *ctx, const char *dir, struct gwen_err *err);
    void *ctx;
};

/* Writes RUN/checkpoint-STEP, then removes the oldest ones but `keep` (0: keep all); run_dir has to
 * be there.  On failure what was begun is removed. */
enum gwen_status gw_checkpoint_write(const char *run_dir, const struct gw_train_state *state,
                                     const struct gw_checkpoint_part *parts, size_t n_parts,
                                     size_t keep, struct gwen_err *err);
/* The steps of the checkpoints whose files are there at their lengths, ascending; *steps is to be
 * freed. */
enum gwen_status gw_checkpoint_list(const char *run_dir, uint64_t **steps, size_t *n,
                                    struct gwen_err *err);
/* Fails, saying which file, unless the checkpoint is what was written: all its files are there and
 * have their checksums.  Reads all of them.  *unsummed, unless NULL: it is of an older version,
 * which had no checksums, and only looks complete. */
enum gwen_status gw_checkpoint_check(const char *path, bool *unsummed, struct gwen_err *err);
/* Sets *path to the newest that gw_checkpoint_check accepts; *found false: nothing has a
 * checkpoint's name.  What is wrong with a newer one is logged as a warning, and so is one without
 * checksums; that there are some, none of them whole, is an error. */
enum gwen_status gw_checkpoint_newest(const char *run_dir, const struct gw_log *log,
                                      struct gw_str *path, bool *found, struct gwen_err *err);
/* Reads state.json of a checkpoint. */
enum gwen_status gw_checkpoint_read(const char *path, struct gw_train_state *out,
                                    struct gwen_err *err);
/* Fails unless the disk of run_dir can take a checkpoint of `bytes` beside those that are kept
 * (`keep` of them and the one being written, less those that are there) and `others` more bytes. */
enum gwen_status gw_checkpoint_check_space(const char *run_dir, uint64_t bytes, uint64_t others,
                                           size_t keep, struct gwen_err *err);

#endif

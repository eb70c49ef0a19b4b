/* logits_file.h - logits of many rows, gathered in any order, as one safetensors file.
 *
 * A safetensors file begins with the shapes of all its tensors, which are known only when the
 * input has ended; until then values go to a nameless file beside it, so that memory stays small
 * however long the input is. */
#ifndef GW_SERVICE_EVAL_LOGITS_FILE_H
#define GW_SERVICE_EVAL_LOGITS_FILE_H

#include "base/base.h"

struct gw_logits_file;

/* Begins the file `path` of rows of `vocab_size` floats; nothing of that name appears before
 * gw_logits_commit. */
enum gwen_status gw_logits_open(const char *path, size_t vocab_size, struct gw_logits_file **out,
                                struct gwen_err *err);
/* Adds tensor "logits.N" [n_positions, vocab_size], N counting from 0; *index is N. */
enum gwen_status gw_logits_add(struct gw_logits_file *f, size_t n_positions, size_t *index,
                               struct gwen_err *err);
/* Stores one position of tensor `index`.  A failure to write is reported by gw_logits_commit. */
void gw_logits_put(struct gw_logits_file *f, size_t index, size_t position, const float *values);
/* Writes the file and frees *f, also on failure. */
enum gwen_status gw_logits_commit(struct gw_logits_file *f, struct gwen_err *err);
void gw_logits_abort(struct gw_logits_file *f); /* NULL is fine */

#endif

/* safetensors.h - reading (one file or shards, mapped) and writing safetensors.
 *
 * The format: 8 bytes little-endian header length, that many bytes of JSON, then the data.  The
 * header is checked in full before any of it is used, as the reference implementation does:
 * offsets in range, without overlaps or holes, sizes that match dtype and shape. */
#ifndef GW_CHECKPOINT_SAFETENSORS_SAFETENSORS_H
#define GW_CHECKPOINT_SAFETENSORS_SAFETENSORS_H

#include "base/base.h"
#include "checkpoint/config/config.h"
#include "checkpoint/dtype.h"

enum { GW_TENSOR_MAX_RANK = 8 };

struct gw_tensor {
    const char *name;
    enum gw_dtype dtype;
    size_t rank; /* 0 is a scalar */
    size_t shape[GW_TENSOR_MAX_RANK];
    size_t n_elem;
    size_t bytes;
    /* Reading: the elements, row-major, little-endian, aligned to their size.
     * Writing: the elements, or NULL to have them asked for piece by piece. */
    const void *data;
};

struct gw_safetensors;

/* Opens `path`: a .safetensors file, or a directory that holds model.safetensors or
 * model.safetensors.index.json with its shards.  Files are mapped; one whose data do not start at
 * a multiple of 8 (old writers did not pad the header) is read into memory instead. */
enum gwen_status gw_safetensors_open(const char *path, struct gw_safetensors **out,
                                     struct gwen_err *err);
/* The same over bytes in memory, which must outlive *out; their tensors are only as aligned as the
 * bytes are. */
enum gwen_status gw_safetensors_open_memory(const void *bytes, size_t size, const char *name,
                                            struct gw_safetensors **out, struct gwen_err *err);
void gw_safetensors_close(struct gw_safetensors *st); /* NULL is fine */

size_t gw_safetensors_count(const struct gw_safetensors *st);
/* Tensor i, in file order; valid until close. */
const struct gw_tensor *gw_safetensors_at(const struct gw_safetensors *st, size_t i);
/* By name, NULL when there is none; logarithmic time.  Files saved from the model without its head
 * have no "model." in front: where no tensor has it, the names are found without.  Where there is
 * no embedding table, lm_head.weight is it: gw_safetensors_check refuses that unless tied. */
const struct gw_tensor *gw_safetensors_find(const struct gw_safetensors *st, const char *name);
/* By name with this rank and shape and, unless NONE, dtype; otherwise an error that says what was
 * wanted and what is there. */
enum gwen_status gw_safetensors_get(const struct gw_safetensors *st, const char *name,
                                    enum gw_dtype dtype, size_t rank, const size_t *shape,
                                    const struct gw_tensor **out, struct gwen_err *err);
/* A value of __metadata__, NULL when absent (of several files, the first that has it). */
const char *gw_safetensors_metadata(const struct gw_safetensors *st, const char *key);
/* Lets go of the pages of a tensor that will not be read again. */
void gw_safetensors_release(const struct gw_safetensors *st, const struct gw_tensor *t);

/* Checks that the tensors are those of the configuration: each one present with its shape and a
 * weight dtype, all of one dtype or not, none besides.  Harmless extras that transformers ignores
 * pass: rotary_emb.inv_freq buffers and an lm_head.weight beside tied embeddings if it has their
 * bits (with other bits it is refused, since it would be ignored). */
enum gwen_status gw_safetensors_check(const struct gw_safetensors *st, const struct gw_config *c,
                                      struct gwen_err *err);
/* The dtype of the embedding table: what `--dtype auto` means. */
enum gw_dtype gw_safetensors_dtype(const struct gw_safetensors *st);

/* Fills elements [first, first + n) of tensors[index] into dst (n elements of its dtype). */
typedef enum gwen_status gw_tensor_fill(void *ctx, size_t index, size_t first, size_t n, void *dst,
                                        struct gwen_err *err);

struct gw_meta {
    const char *key, *value;
};

/* Writes a file atomically.  name, dtype, rank and shape of each tensor are read; tensors with
 * data == NULL are asked from `fill` in ascending pieces, so that nothing big is held.  Layout and
 * header are those of the reference writer: tensors by falling element size, then by name; the
 * header padded with spaces to 8 bytes. */
enum gwen_status gw_safetensors_write(const char *path, const struct gw_tensor *tensors, size_t n,
                                      const struct gw_meta *meta, size_t n_meta,
                                      gw_tensor_fill *fill, void *ctx, struct gwen_err *err);

#endif

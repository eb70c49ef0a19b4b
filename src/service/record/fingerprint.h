/* fingerprint.h - which model made a result: hashes over its weights and its vocabulary. */
#ifndef GW_SERVICE_RECORD_FINGERPRINT_H
#define GW_SERVICE_RECORD_FINGERPRINT_H

#include "base/pool.h"
#include "model/model.h"
#include "text/tokenizer/tokenizer.h"

/* A hash of everything the model computes with, as it lies in memory: architecture, weights after
 * conversion to the storage type, norms and biases, and an adapter (`lora`; NULL: none).  Reads all
 * weights once, on all threads, at about the speed of memory.  Not meant to withstand chosen
 * collisions. */
enum gwen_status gw_model_fingerprint(const struct gw_model *model, const struct gw_lora *lora,
                                      struct gw_pool *pool, uint64_t *out, struct gwen_err *err);
/* A hash of what a model's or an adapter's directory holds: its configuration and its safetensors
 * files, byte for byte.  Reads them once; they need not have been loaded. */
enum gwen_status gw_files_fingerprint(const char *dir, struct gw_pool *pool, uint64_t *out,
                                      struct gwen_err *err);
/* A hash of all tokens and which of them are special; 0 for NULL, no tokenizer. */
uint64_t gw_tokenizer_fingerprint(const struct gw_tokenizer *t);

#endif

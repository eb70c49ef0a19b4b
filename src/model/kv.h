/* kv.h - the KV arena: one reservation cut into reference-counted blocks of GW_KV_BLOCK tokens.
 *
 *     arena   | block 0 | block 1 | block 2 | ...            one mmap, huge pages if there are any
 *     block   | layer 0: head 0 K V, head 1 K V, ... | layer 1: ... | ...     (ops/attention.h)
 *     sequence  -> [7, 2, 5]   block numbers; token t lies in block t/64, slot t%64
 *
 * Samples of one prompt share its blocks (gw_kv_fork); a shared block is copied only when
 * one of its sequences writes into it.  Nothing is allocated after creation.
 *
 * Blocks are touched before they count as free: all at creation, or, with a budget, the first ones
 * then and more in chunks as they are wanted (gw_kv_grow).  Free ones can be given back to the
 * kernel (gw_kv_give_back) and then have to be touched anew. */
#ifndef GW_KV_H
#define GW_KV_H

#include "base/budget.h"
#include "ops/attention.h"

struct gw_kv;

/* What is touched at once unless chunk_bytes says otherwise: 3 ms where pages are huge. */
enum { GW_KV_CHUNK_BYTES = 64 << 20 };

struct gw_kv_growth {
    const struct gw_budget *budget; /* asked before each chunk; NULL: all is touched at once */
    size_t n_first;                 /* blocks touched at once, without asking */
    size_t chunk_bytes;             /* 0: GW_KV_CHUNK_BYTES */
};

/* A sequence: its blocks and how many tokens they hold. */
struct gw_seq {
    uint32_t *blocks; /* capacity gw_kv_max_blocks(); owned by whoever made the sequence */
    size_t n_blocks, n_tokens;
};

/* Reserves n_blocks blocks and touches them; sequences can be at most max_blocks blocks long. */
enum gwen_status gw_kv_create(const struct gw_kv_layout *layout, size_t n_blocks, size_t max_blocks,
                              struct gw_kv **out, struct gwen_err *err);
/* The same with an arena that grows. */
enum gwen_status gw_kv_create_growing(const struct gw_kv_layout *layout, size_t n_blocks,
                                      size_t max_blocks, const struct gw_kv_growth *growth,
                                      struct gw_kv **out, struct gwen_err *err);
void gw_kv_free(struct gw_kv *kv);

const struct gw_kv_layout *gw_kv_layout(const struct gw_kv *kv);
char *gw_kv_base(const struct gw_kv *kv);
char *gw_kv_block(const struct gw_kv *kv, uint32_t block);
/* Blocks that have been touched, and those of them that nothing lies in. */
size_t gw_kv_touched_blocks(const struct gw_kv *kv);
size_t gw_kv_free_blocks(const struct gw_kv *kv);
size_t gw_kv_max_blocks(const struct gw_kv *kv);
/* Bytes that gw_kv_create takes. */
size_t gw_kv_bytes(const struct gw_kv_layout *layout, size_t n_blocks);
/* Blocks that hold n tokens. */
static inline size_t gw_kv_blocks_for(size_t n_tokens) {
    return (n_tokens + GW_KV_BLOCK - 1) / GW_KV_BLOCK;
}

/* Touches another chunk: there are more free blocks then.  False when all are touched, or the
 * budget does not allow it. */
bool gw_kv_grow(struct gw_kv *kv);
/* Blocks of a chunk. */
size_t gw_kv_chunk_blocks(const struct gw_kv *kv);
/* Takes up to `most` blocks off the free list, the highest ones, and gives their pages back. */
void gw_kv_give_back(struct gw_kv *kv, size_t most);

/* Makes room for `extra` more tokens, which the caller will store at n_tokens onwards: takes
 * blocks from the free list, and replaces a shared last block by a copy of its own (queued:
 * see gw_kv_run_copies).  n_tokens grows by extra.  GWEN_ERR_NOMEM, nothing changed, when
 * the free list is too short or the sequence would be too long. */
enum gwen_status gw_kv_extend(struct gw_kv *kv, struct gw_seq *seq, size_t extra,
                              struct gwen_err *err);
/* dst (empty) becomes the first n_tokens tokens of src, sharing its blocks: a snapshot. */
void gw_kv_fork(struct gw_kv *kv, const struct gw_seq *src, size_t n_tokens, struct gw_seq *dst);
/* Gives back every block of the sequence and empties it. */
void gw_kv_release(struct gw_kv *kv, struct gw_seq *seq);

/* Carries out the queued copies, split over the threads by layer; a barrier must follow, and
 * then one thread calls gw_kv_copies_done. */
void gw_kv_run_copies(struct gw_kv *kv, int thread, int n_threads);
size_t gw_kv_n_copies(const struct gw_kv *kv);
void gw_kv_copies_done(struct gw_kv *kv);

#endif

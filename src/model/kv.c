/* kv.c - see kv.h. */
#include "model/kv.h"

#include "base/mem.h"
#include "base/pool.h"

#include <stdlib.h>
#include <string.h>

struct copy {
    uint32_t dst, src;
    size_t used;
};

struct gw_kv {
    struct gw_kv_layout layout;
    size_t n_blocks, max_blocks, n_free, n_touched, n_copies;
    size_t chunk_blocks;
    const struct gw_budget *budget;
    uint32_t *free_list; /* [n_blocks] a stack of touched blocks */
    uint32_t *refs;      /* [n_blocks] */
    bool *touched;       /* [n_blocks] */
    struct copy *copies; /* [n_blocks] */
    struct gw_mem arena;
};

size_t gw_kv_bytes(const struct gw_kv_layout *layout, size_t n_blocks) {
    return n_blocks *
           (layout->block_bytes + 2 * sizeof(uint32_t) + sizeof(bool) + sizeof(struct copy));
}

/* Touches blocks [begin, end) and puts them on the free list. */
static enum gwen_status touch_blocks(struct gw_kv *kv, size_t begin, size_t end,
                                     struct gwen_err *err) {
    size_t bytes = kv->layout.block_bytes;
    GW_TRY(gw_mem_touch(&kv->arena, begin * bytes, end * bytes, err));
    /* Popped from the end: low blocks first. */
    for (size_t i = end; i-- > begin;) {
        kv->touched[i] = true;
        kv->free_list[kv->n_free++] = (uint32_t)i;
    }
    kv->n_touched += end - begin;
    return GWEN_OK;
}

enum gwen_status gw_kv_create(const struct gw_kv_layout *layout, size_t n_blocks, size_t max_blocks,
                              struct gw_kv **out, struct gwen_err *err) {
    const struct gw_kv_growth all = {.n_first = n_blocks};
    return gw_kv_create_growing(layout, n_blocks, max_blocks, &all, out, err);
}

enum gwen_status gw_kv_create_growing(const struct gw_kv_layout *layout, size_t n_blocks,
                                      size_t max_blocks, const struct gw_kv_growth *growth,
                                      struct gw_kv **out, struct gwen_err *err) {
    size_t bytes, chunk = growth->chunk_bytes != 0 ? growth->chunk_bytes : GW_KV_CHUNK_BYTES;
    *out = NULL;
    if (n_blocks == 0 || n_blocks >= UINT32_MAX || max_blocks == 0 ||
        !gw_mul_size(n_blocks, layout->block_bytes + 64, &bytes))
        return gw_fail(err, GWEN_ERR_ARGUMENT, "KV arena of %zu blocks", n_blocks);
    struct gw_kv *kv = calloc(1, sizeof *kv);
    if (kv == NULL) return gw_nomem(err, sizeof *kv, "the KV arena");
    kv->layout = *layout;
    kv->n_blocks = n_blocks;
    kv->max_blocks = max_blocks;
    kv->budget = growth->budget;
    kv->chunk_blocks = GW_MAX(chunk / layout->block_bytes, (size_t)1);
    kv->touched = calloc(n_blocks, sizeof *kv->touched);
    kv->free_list = malloc(n_blocks * sizeof *kv->free_list);
    kv->refs = calloc(n_blocks, sizeof *kv->refs);
    kv->copies = malloc(n_blocks * sizeof *kv->copies);
    size_t first = growth->budget == NULL ? n_blocks : GW_MIN(growth->n_first, n_blocks);
    bool ok = kv->free_list != NULL && kv->refs != NULL && kv->copies != NULL &&
              kv->touched != NULL &&
              gw_mem_map(&kv->arena, n_blocks * layout->block_bytes, err) == GWEN_OK;
    if (ok) gw_mem_interleave(kv->arena.data, kv->arena.bytes);
    if (!ok || touch_blocks(kv, 0, first, err) != GWEN_OK) {
        gw_kv_free(kv);
        return gw_nomem(err, n_blocks * layout->block_bytes, "the KV arena");
    }
    *out = kv;
    return GWEN_OK;
}

void gw_kv_free(struct gw_kv *kv) {
    if (kv == NULL) return;
    gw_mem_unmap(&kv->arena);
    free(kv->free_list);
    free(kv->refs);
    free(kv->touched);
    free(kv->copies);
    free(kv);
}

const struct gw_kv_layout *gw_kv_layout(const struct gw_kv *kv) { return &kv->layout; }
char *gw_kv_base(const struct gw_kv *kv) { return kv->arena.data; }
size_t gw_kv_touched_blocks(const struct gw_kv *kv) { return kv->n_touched; }
size_t gw_kv_free_blocks(const struct gw_kv *kv) { return kv->n_free; }
size_t gw_kv_chunk_blocks(const struct gw_kv *kv) { return kv->chunk_blocks; }
size_t gw_kv_max_blocks(const struct gw_kv *kv) { return kv->max_blocks; }
size_t gw_kv_n_copies(const struct gw_kv *kv) { return kv->n_copies; }

char *gw_kv_block(const struct gw_kv *kv, uint32_t block) {
    return (char *)kv->arena.data + (size_t)block * kv->layout.block_bytes;
}

/* --- growing and giving back ---------------------------------------------------------------- */

bool gw_kv_grow(struct gw_kv *kv) {
    size_t begin = 0, end, bytes = kv->layout.block_bytes;
    while (begin < kv->n_blocks && kv->touched[begin]) begin++;
    for (end = begin; end < kv->n_blocks && !kv->touched[end] && end - begin < kv->chunk_blocks;)
        end++;
    if (begin == end) return false;
    size_t left = (kv->n_blocks - kv->n_touched) * bytes;
    if (kv->budget != NULL && !kv->budget->may_take(kv->budget->ctx, (end - begin) * bytes, left))
        return false;
    return touch_blocks(kv, begin, end, NULL) == GWEN_OK;
}

void gw_kv_give_back(struct gw_kv *kv, size_t most) {
    size_t bytes = kv->layout.block_bytes;
    for (size_t i = kv->n_blocks; i-- > 0 && most > 0;) {
        if (!kv->touched[i] || kv->refs[i] > 0) continue;
        kv->touched[i] = false;
        kv->n_touched--;
        most--;
    }
    kv->n_free = 0;
    for (size_t i = kv->n_blocks, end; i-- > 0;) {
        if (kv->touched[i] && kv->refs[i] == 0) kv->free_list[kv->n_free++] = (uint32_t)i;
        if (kv->touched[i]) continue;
        /* Together with its neighbours a block may make up more whole pages. */
        for (end = i + 1; i > 0 && !kv->touched[i - 1];) i--;
        gw_mem_drop(&kv->arena, i * bytes, end * bytes);
    }
}

/* --- sequences ------------------------------------------------------------------------------ */

static uint32_t take(struct gw_kv *kv) {
    uint32_t block = kv->free_list[--kv->n_free];
    kv->refs[block] = 1;
    return block;
}

static void drop(struct gw_kv *kv, uint32_t block) {
    if (--kv->refs[block] == 0) kv->free_list[kv->n_free++] = block;
}

enum gwen_status gw_kv_extend(struct gw_kv *kv, struct gw_seq *seq, size_t extra,
                              struct gwen_err *err) {
    size_t used = seq->n_tokens % GW_KV_BLOCK, total = gw_kv_blocks_for(seq->n_tokens + extra);
    bool copy = used > 0 && extra > 0 && kv->refs[seq->blocks[seq->n_blocks - 1]] > 1;
    size_t need = total - seq->n_blocks + (copy ? 1 : 0);
    if (total > kv->max_blocks)
        return gw_fail(err, GWEN_ERR_NOMEM, "sequence of %zu tokens: planned for at most %zu",
                       seq->n_tokens + extra, kv->max_blocks * GW_KV_BLOCK);
    if (need > kv->n_free || (copy && kv->n_copies == kv->n_blocks))
        return gw_fail(err, GWEN_ERR_NOMEM, "KV arena: %zu blocks wanted, %zu of %zu free", need,
                       kv->n_free, kv->n_touched);
    if (copy) {
        uint32_t *last = &seq->blocks[seq->n_blocks - 1], own = take(kv);
        /* The copy holds on to its source until it has been made. */
        kv->copies[kv->n_copies++] = (struct copy){own, *last, used};
        *last = own;
    }
    while (seq->n_blocks < total) seq->blocks[seq->n_blocks++] = take(kv);
    seq->n_tokens += extra;
    return GWEN_OK;
}

void gw_kv_fork(struct gw_kv *kv, const struct gw_seq *src, size_t n_tokens, struct gw_seq *dst) {
    dst->n_tokens = n_tokens;
    dst->n_blocks = gw_kv_blocks_for(n_tokens);
    for (size_t i = 0; i < dst->n_blocks; i++) {
        dst->blocks[i] = src->blocks[i];
        kv->refs[dst->blocks[i]]++;
    }
}

void gw_kv_release(struct gw_kv *kv, struct gw_seq *seq) {
    while (seq->n_blocks > 0) drop(kv, seq->blocks[--seq->n_blocks]);
    seq->n_tokens = 0;
}

void gw_kv_run_copies(struct gw_kv *kv, int thread, int n_threads) {
    size_t begin, end;
    gw_share(kv->layout.n_layers, thread, n_threads, &begin, &end);
    for (size_t i = 0; i < kv->n_copies; i++)
        for (size_t layer = begin; layer < end; layer++)
            gw_kv_copy_layer(&kv->layout, gw_kv_block(kv, kv->copies[i].dst),
                             gw_kv_block(kv, kv->copies[i].src), layer, kv->copies[i].used);
}

void gw_kv_copies_done(struct gw_kv *kv) {
    for (size_t i = 0; i < kv->n_copies; i++) drop(kv, kv->copies[i].src);
    kv->n_copies = 0;
}

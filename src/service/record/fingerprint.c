/* fingerprint.c - see fingerprint.h. */
#include "service/record/fingerprint.h"

#include "base/checksum.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/str.h"
#include "model/lora.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 20 };

/* len is a multiple of 64 (packed memory is laid out so), or what is left over is hashed elsewhere.
 */
static uint64_t hash_piece(const char *bytes, size_t len) {
    uint64_t lanes[GW_LANES];
    gw_hash_lanes(bytes, len, lanes);
    return gw_hash64(lanes, sizeof lanes);
}

struct hashing {
    const char *bytes;
    size_t n_bytes, n_pieces;
    uint64_t *hashes;
};

static void hash_region(void *ctx, int thread, int n_threads) {
    const struct hashing *h = ctx;
    size_t begin, end;
    gw_share(h->n_pieces, thread, n_threads, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        size_t at = i * PIECE;
        h->hashes[i] = hash_piece(h->bytes + at, GW_MIN((size_t)PIECE, h->n_bytes - at));
    }
}

static void put_config(struct gw_str *s, const struct gw_config *c) {
    gw_str_printf(s, "%d %zu %zu %zu %zu %zu %zu %zu %a %d %d%d%d%d ", (int)c->arch, c->vocab_size,
                  c->hidden, c->n_layers, c->n_heads, c->n_kv_heads, c->head_dim, c->ffn,
                  c->rms_eps, c->tie_word_embeddings, c->qkv_bias, c->o_bias, c->mlp_bias,
                  c->qk_norm);
    gw_str_printf(s, "%d %a %a %a %a %zu", (int)c->rope.type, c->rope.theta, c->rope.factor,
                  c->rope.low_freq_factor, c->rope.high_freq_factor,
                  c->rope.original_max_position_embeddings);
}

/* The adapter, which is not in the model's memory. */
static void put_lora(struct gw_str *s, const struct gw_lora *l) {
    if (l == NULL) return;
    gw_str_printf(s, " %zu %a", l->opts.r, (double)l->scale);
    for (size_t i = 0; i < l->params.n; i++) {
        const struct gw_param *p = &l->params.list[i];
        gw_str_printf(s, " %s %016" PRIx64, p->name,
                      gw_hash64(l->values + p->offset, p->n * sizeof *l->values));
    }
}

enum gwen_status gw_model_fingerprint(const struct gw_model *model, const struct gw_lora *lora,
                                      struct gw_pool *pool, uint64_t *out, struct gwen_err *err) {
    struct hashing h = {.bytes = model->memory.data, .n_bytes = model->memory.bytes};
    struct gw_str s = {0};
    h.n_pieces = (h.n_bytes + PIECE - 1) / PIECE;
    h.hashes = malloc((h.n_pieces + 1) * sizeof *h.hashes);
    if (h.hashes == NULL) return gw_nomem(err, h.n_pieces * sizeof *h.hashes, "a fingerprint");
    gw_pool_run(pool, hash_region, &h);
    put_config(&s, &model->cfg);
    put_lora(&s, lora);
    gw_str_put(&s, h.hashes, h.n_pieces * sizeof *h.hashes);
    free(h.hashes);
    enum gwen_status status = s.failed ? gw_nomem(err, s.len, "a fingerprint") : GWEN_OK;
    if (status == GWEN_OK) *out = gw_hash64(s.data, s.len);
    gw_str_free(&s);
    return status;
}

/* --- files ---------------------------------------------------------------------------------- */

enum { SLICE_PIECES = 64 }; /* of a file in memory at a time */

/* Adds a file's bytes to *hash. */
static enum gwen_status add_file(const char *path, struct gw_pool *pool, uint64_t *hash,
                                 struct gwen_err *err) {
    uint64_t hashes[SLICE_PIECES];
    struct gw_map map;
    GW_TRY(gw_map_open(path, &map, err));
    for (size_t at = 0; at < map.size; at += (size_t)SLICE_PIECES * PIECE) {
        const size_t n = GW_MIN(map.size - at, (size_t)SLICE_PIECES * PIECE);
        struct hashing h = {.bytes = (const char *)map.data + at,
                            .n_bytes = n,
                            .n_pieces = (n + PIECE - 1) / PIECE,
                            .hashes = hashes};
        gw_pool_run(pool, hash_region, &h);
        const uint64_t parts[] = {*hash, gw_hash64(hashes, h.n_pieces * sizeof *hashes)};
        *hash = gw_hash64(parts, sizeof parts);
        gw_map_release(&map, at, n);
    }
    const size_t rest = map.size % GW_LANES_BYTES; /* which is in no piece's hash */
    const uint64_t end[] = {*hash, map.size,
                            rest > 0 ? gw_hash64(map.data + map.size - rest, rest) : 0};
    *hash = gw_hash64(end, sizeof end);
    gw_map_close(&map);
    return GWEN_OK;
}

static int is_hashed(const struct dirent *e) {
    static const char ending[] = ".safetensors";
    const size_t n = strlen(e->d_name), m = sizeof ending - 1;
    if (strcmp(e->d_name, "optimizer.safetensors") == 0) return 0; /* of a checkpoint */
    return strcmp(e->d_name, "config.json") == 0 || strcmp(e->d_name, "adapter_config.json") == 0 ||
           (n >= m && strcmp(e->d_name + n - m, ending) == 0);
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

enum gwen_status gw_files_fingerprint(const char *dir, struct gw_pool *pool, uint64_t *out,
                                      struct gwen_err *err) {
    struct dirent **entries;
    struct gw_str path = {0};
    enum gwen_status status = GWEN_OK;
    const int n = scandir(dir, &entries, is_hashed, by_name);
    if (n < 0) return gw_fail(err, GWEN_ERR_IO, "cannot read the folder %s", dir);
    *out = (uint64_t)n;
    for (int i = 0; i < n; i++) {
        if (status == GWEN_OK) status = gw_path_join(&path, dir, entries[i]->d_name, err);
        if (status == GWEN_OK) status = add_file(path.data, pool, out, err);
        free(entries[i]);
    }
    free(entries);
    gw_str_free(&path);
    return status;
}

uint64_t gw_tokenizer_fingerprint(const struct gw_tokenizer *t) {
    if (t == NULL) return 0;
    size_t n = gw_tokenizer_size(t);
    uint64_t h = n;
    for (size_t id = 0; id < n; id++) {
        size_t len = 0;
        const char *token = gw_tokenizer_token(t, (int32_t)id, &len);
        const uint64_t parts[] = {h, token != NULL ? gw_hash64(token, len) : 0,
                                  gw_tokenizer_is_special(t, (int32_t)id)};
        h = gw_hash64(parts, sizeof parts);
    }
    return h;
}

/* vocab.h - the two tables behind BPE: strings to numbers, and pairs of ids to merges.
 * Both are open-addressing tables filled once and then only read. */
#ifndef GW_TEXT_TOKENIZER_VOCAB_H
#define GW_TEXT_TOKENIZER_VOCAB_H

#include "base/base.h"
#include "base/str.h"

#define GW_NO_ID UINT32_MAX

/* Strings in the order they were added, each with a number. */
struct gw_string_map {
    struct gw_str bytes; /* all strings, one after the other */
    struct gw_string_entry {
        uint32_t start, len; /* in bytes */
        uint32_t value;
    } * entries;
    size_t n, cap;
    uint64_t *slots; /* upper half of the hash << 32 | index of an entry + 1; 0: empty */
    size_t mask;     /* slots - 1 */
    uint64_t seed;
};

void gw_string_map_free(struct gw_string_map *m);
/* Makes room for n entries at once; false when there is no memory. */
bool gw_string_map_reserve(struct gw_string_map *m, size_t n);
/* The entry of s[0..len), NULL if there is none. */
const struct gw_string_entry *gw_string_map_find(const struct gw_string_map *m, const char *s,
                                                 size_t len);
/* The value of s[0..len), GW_NO_ID if it has no entry. */
uint32_t gw_string_map_get(const struct gw_string_map *m, const char *s, size_t len);
/* Adds the last `len` bytes of m->bytes, which the caller has just put there, with a value.  If
 * the string is known, *known is set, its bytes are taken off again and nothing is added.  False
 * when there is no memory or the strings exceed 4 GiB. */
bool gw_string_map_add_tail(struct gw_string_map *m, size_t len, uint32_t value,
                            const struct gw_string_entry **known);

/* What two neighbours become. */
struct gw_merge {
    uint64_t pair; /* left id << 32 | right id; UINT64_MAX: empty */
    uint32_t rank; /* smaller is merged first */
    uint32_t id;
};
struct gw_merge_map {
    struct gw_merge *slots;
    size_t mask;
    uint64_t seed;
};

void gw_merge_map_free(struct gw_merge_map *m);
/* An empty table for n merges. */
bool gw_merge_map_init(struct gw_merge_map *m, size_t n);
/* Adds or replaces; no more than the n of the init. */
void gw_merge_map_put(struct gw_merge_map *m, uint32_t left, uint32_t right, uint32_t rank,
                      uint32_t id);

static inline size_t gw_merge_slot(const struct gw_merge_map *m, uint64_t pair) {
    uint64_t h = (pair ^ m->seed) * UINT64_C(0x9E3779B97F4A7C15);
    h = (h ^ h >> 32) * UINT64_C(0x9FB21C651E98DF25);
    return (size_t)(h >> 32) & m->mask;
}

/* NULL when the two do not merge. */
static inline const struct gw_merge *gw_merge_map_get(const struct gw_merge_map *m, uint32_t left,
                                                      uint32_t right) {
    uint64_t pair = (uint64_t)left << 32 | right;
    for (size_t i = gw_merge_slot(m, pair);; i = (i + 1) & m->mask) {
        if (m->slots[i].pair == pair) return &m->slots[i];
        if (m->slots[i].pair == UINT64_MAX) return NULL;
    }
}

#endif

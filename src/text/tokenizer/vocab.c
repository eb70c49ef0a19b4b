/* vocab.c - the two tables behind BPE (see vocab.h). */
#include "text/tokenizer/vocab.h"

#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t h, uint64_t word) {
    h = (h ^ word) * UINT64_C(0x9FB21C651E98DF25);
    return h ^ h >> 32;
}

static uint64_t hash(uint64_t seed, const char *s, size_t len) {
    uint64_t h = mix(seed, len), word;
    for (; len >= 8; s += 8, len -= 8) {
        memcpy(&word, s, 8);
        h = mix(h, word);
    }
    if (len > 0) {
        word = 0;
        memcpy(&word, s, len);
        h = mix(h, word);
    }
    return mix(h, 0);
}

void gw_string_map_free(struct gw_string_map *m) {
    gw_str_free(&m->bytes);
    free(m->entries);
    free(m->slots);
    *m = (struct gw_string_map){0};
}

static void put_slot(struct gw_string_map *m, uint64_t h, size_t entry) {
    size_t at = (size_t)h & m->mask;
    while (m->slots[at] != 0) at = (at + 1) & m->mask;
    m->slots[at] = (h >> 32) << 32 | (entry + 1);
}

/* A table at most half full, so that chains stay short. */
static bool rehash(struct gw_string_map *m, size_t n_slots) {
    uint64_t *slots = calloc(n_slots, sizeof *slots);
    if (slots == NULL) return false;
    free(m->slots);
    m->slots = slots;
    m->mask = n_slots - 1;
    /* Where the table lies is not known to who writes a file: colliding keys can't be prepared. */
    if (m->seed == 0) m->seed = (uint64_t)(uintptr_t)m->slots >> 4 | 1;
    for (size_t i = 0; i < m->n; i++) {
        const struct gw_string_entry *e = &m->entries[i];
        put_slot(m, hash(m->seed, m->bytes.data + e->start, e->len), i);
    }
    return true;
}

bool gw_string_map_reserve(struct gw_string_map *m, size_t n) {
    if (n >= UINT32_MAX / 4) return false;
    if (n > m->cap) {
        size_t cap = n > m->cap * 2 ? n : m->cap * 2;
        struct gw_string_entry *entries = realloc(m->entries, cap * sizeof *entries);
        if (entries == NULL) return false;
        m->entries = entries;
        m->cap = cap;
    }
    if (m->slots != NULL && n <= (m->mask + 1) / 2) return true;
    size_t n_slots = 64;
    while (n_slots < n * 2) n_slots *= 2;
    return rehash(m, n_slots);
}

const struct gw_string_entry *gw_string_map_find(const struct gw_string_map *m, const char *s,
                                                 size_t len) {
    if (m->n == 0) return NULL;
    uint64_t h = hash(m->seed, s, len), slot;
    for (size_t at = (size_t)h & m->mask; (slot = m->slots[at]) != 0; at = (at + 1) & m->mask) {
        if (slot >> 32 != h >> 32) continue;
        const struct gw_string_entry *e = &m->entries[(uint32_t)slot - 1];
        if (e->len == len && memcmp(m->bytes.data + e->start, s, len) == 0) return e;
    }
    return NULL;
}

uint32_t gw_string_map_get(const struct gw_string_map *m, const char *s, size_t len) {
    const struct gw_string_entry *e = gw_string_map_find(m, s, len);
    return e != NULL ? e->value : GW_NO_ID;
}

bool gw_string_map_add_tail(struct gw_string_map *m, size_t len, uint32_t value,
                            const struct gw_string_entry **known) {
    *known = NULL;
    if (m->bytes.failed || m->bytes.len > UINT32_MAX) return false;
    if (len == 0 && !gw_str_reserve(&m->bytes, 1)) return false; /* data is never NULL */
    size_t start = m->bytes.len - len;
    *known = gw_string_map_find(m, m->bytes.data + start, len);
    if (*known != NULL) {
        m->bytes.len = start;
        return true;
    }
    if (!gw_string_map_reserve(m, m->n + 1)) return false;
    m->entries[m->n] = (struct gw_string_entry){(uint32_t)start, (uint32_t)len, value};
    put_slot(m, hash(m->seed, m->bytes.data + start, len), m->n++);
    return true;
}

/* --- merges --------------------------------------------------------------------------------- */

void gw_merge_map_free(struct gw_merge_map *m) {
    free(m->slots);
    *m = (struct gw_merge_map){0};
}

bool gw_merge_map_init(struct gw_merge_map *m, size_t n) {
    size_t n_slots = 16;
    while (n_slots < n + n / 2 + 1) n_slots *= 2;
    m->slots = malloc(n_slots * sizeof *m->slots);
    if (m->slots == NULL) return false;
    m->mask = n_slots - 1;
    m->seed = (uint64_t)(uintptr_t)m->slots >> 4;
    for (size_t i = 0; i < n_slots; i++) m->slots[i].pair = UINT64_MAX;
    return true;
}

void gw_merge_map_put(struct gw_merge_map *m, uint32_t left, uint32_t right, uint32_t rank,
                      uint32_t id) {
    uint64_t pair = (uint64_t)left << 32 | right;
    size_t i = gw_merge_slot(m, pair);
    while (m->slots[i].pair != pair && m->slots[i].pair != UINT64_MAX) i = (i + 1) & m->mask;
    m->slots[i] = (struct gw_merge){pair, rank, id};
}

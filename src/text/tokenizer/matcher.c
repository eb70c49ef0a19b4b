/* matcher.c - finds many fixed strings in one pass (see matcher.h).
 *
 * States are the nodes of a trie; state 0 is the root.  Edges are in one hash table keyed by state
 * and byte, but for those of the root, which sees nearly every byte of a text and has a table.
 *
 * Leftmost-longest instead of all matches: once a match has been seen on the way to a state,
 * falling back from it to a shorter suffix could only find matches that begin later, so its
 * failure link leads nowhere (DEAD) and the search ends with the match it has. */
#include "text/tokenizer/matcher.h"

#include <stdlib.h>
#include <string.h>

#define ROOT 0u
#define DEAD UINT32_MAX
#define NONE UINT32_MAX

struct state {
    uint32_t fail;
    uint32_t value;   /* of the match known here, NONE if none */
    uint32_t length;  /* of that match, which ends here */
    uint32_t child;   /* first; then along `sibling` */
    uint32_t sibling; /* next child of the same parent */
    uint8_t byte;     /* on the edge from the parent */
    bool own;         /* a string ends here, not only a suffix of the way */
};

struct gw_matcher {
    struct state *states;
    size_t n, cap;
    uint64_t *keys; /* state << 8 | byte, + 1; 0: empty */
    uint32_t *targets;
    size_t mask;
    uint32_t root[256]; /* ROOT where there is no edge */
};

enum gwen_status gw_matcher_new(struct gw_matcher **out, struct gwen_err *err) {
    struct gw_matcher *m = calloc(1, sizeof *m);
    *out = m;
    if (m == NULL) return gw_nomem(err, sizeof *m, "added tokens");
    m->cap = 64;
    m->n = 1;
    m->states = calloc(m->cap, sizeof *m->states);
    if (m->states == NULL) {
        gw_matcher_free(m);
        *out = NULL;
        return gw_nomem(err, 64 * sizeof *m->states, "added tokens");
    }
    m->states[ROOT] = (struct state){.value = NONE, .child = NONE, .sibling = NONE};
    return GWEN_OK;
}

void gw_matcher_free(struct gw_matcher *m) {
    if (m == NULL) return;
    free(m->states);
    free(m->keys);
    free(m->targets);
    free(m);
}

static size_t slot_of(const struct gw_matcher *m, uint64_t key) {
    uint64_t h = key * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(h ^ h >> 32) & m->mask;
}

static uint32_t edge(const struct gw_matcher *m, uint32_t state, uint8_t byte) {
    if (m->mask == 0) return NONE;
    uint64_t key = ((uint64_t)state << 8 | byte) + 1;
    for (size_t i = slot_of(m, key); m->keys[i] != 0; i = (i + 1) & m->mask)
        if (m->keys[i] == key) return m->targets[i];
    return NONE;
}

static void put_edge(struct gw_matcher *m, uint32_t state, uint8_t byte, uint32_t target) {
    uint64_t key = ((uint64_t)state << 8 | byte) + 1;
    size_t i = slot_of(m, key);
    while (m->keys[i] != 0) i = (i + 1) & m->mask;
    m->keys[i] = key;
    m->targets[i] = target;
}

/* Room for n states and their edges. */
static enum gwen_status reserve(struct gw_matcher *m, size_t n, struct gwen_err *err) {
    if (n > UINT32_MAX / 4)
        return gw_fail(err, GWEN_ERR_UNSUPPORTED, "the added tokens are longer than 1 GiB");
    if (n > m->cap) {
        size_t cap = GW_MAX(n, m->cap * 2);
        struct state *states = realloc(m->states, cap * sizeof *states);
        if (states == NULL) return gw_nomem(err, cap * sizeof *states, "added tokens");
        m->states = states;
        m->cap = cap;
    }
    if (m->mask != 0 && n * 2 <= m->mask + 1) return GWEN_OK;
    size_t slots = 128;
    while (slots < n * 2) slots *= 2;
    uint64_t *keys = calloc(slots, sizeof *keys);
    uint32_t *targets = malloc(slots * sizeof *targets);
    if (keys == NULL || targets == NULL) {
        free(keys);
        free(targets);
        return gw_nomem(err, slots * 12, "added tokens");
    }
    struct gw_matcher old = *m;
    m->keys = keys;
    m->targets = targets;
    m->mask = slots - 1;
    for (size_t i = 0; old.mask != 0 && i <= old.mask; i++) {
        if (old.keys[i] == 0) continue;
        uint64_t key = old.keys[i] - 1;
        put_edge(m, (uint32_t)(key >> 8), (uint8_t)key, old.targets[i]);
    }
    free(old.keys);
    free(old.targets);
    return GWEN_OK;
}

enum gwen_status gw_matcher_add(struct gw_matcher *m, const char *s, size_t len, uint32_t value,
                                struct gwen_err *err) {
    if (len == 0) return GWEN_OK;
    GW_TRY(reserve(m, m->n + len, err));
    uint32_t at = ROOT;
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = (uint8_t)s[i];
        uint32_t next = edge(m, at, byte);
        if (next == NONE) {
            next = (uint32_t)m->n++;
            m->states[next] = (struct state){
                .value = NONE, .child = NONE, .sibling = m->states[at].child, .byte = byte};
            m->states[at].child = next;
            put_edge(m, at, byte, next);
        }
        at = next;
    }
    struct state *end = &m->states[at];
    if (end->own) return GWEN_OK;
    end->own = true;
    end->value = value;
    end->length = (uint32_t)len;
    return GWEN_OK;
}

/* The state after `byte`, falling back as far as needed. */
static uint32_t step(const struct gw_matcher *m, uint32_t at, uint8_t byte) {
    for (;;) {
        uint32_t next = at == ROOT ? m->root[byte] : edge(m, at, byte);
        if (next != NONE) return next;
        at = m->states[at].fail;
        if (at == DEAD) return DEAD;
    }
}

enum gwen_status gw_matcher_finish(struct gw_matcher *m, struct gwen_err *err) {
    uint32_t *queue = malloc(m->n * sizeof *queue);
    if (queue == NULL) return gw_nomem(err, m->n * sizeof *queue, "added tokens");
    for (unsigned b = 0; b < 256; b++) {
        uint32_t next = edge(m, ROOT, (uint8_t)b);
        m->root[b] = next != NONE ? next : ROOT;
    }
    size_t head = 0, tail = 0;
    queue[tail++] = ROOT;
    while (head < tail) { /* breadth first: a failure link leads to a shorter state, done before */
        uint32_t parent = queue[head++];
        const struct state *p = &m->states[parent];
        for (uint32_t c = p->child; c != NONE; c = m->states[c].sibling) {
            struct state *s = &m->states[c];
            queue[tail++] = c;
            if (parent == ROOT)
                s->fail = s->own ? DEAD : ROOT;
            else if (s->own || p->fail == DEAD)
                s->fail = DEAD;
            else
                s->fail = step(m, p->fail, s->byte);
            if (!s->own && s->fail != DEAD) { /* the match of the suffix, if it has one */
                s->value = m->states[s->fail].value;
                s->length = m->states[s->fail].length;
            }
        }
    }
    free(queue);
    return GWEN_OK;
}

bool gw_matcher_find(const struct gw_matcher *m, const char *text, size_t len, size_t from,
                     size_t *start, size_t *end, uint32_t *value) {
    uint32_t at = ROOT, found = NONE;
    for (size_t i = from; i < len; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (at == ROOT) {
            at = m->root[byte];
            if (at == ROOT) continue;
        } else {
            at = step(m, at, byte);
            if (at == DEAD) break;
        }
        const struct state *s = &m->states[at];
        if (s->value == NONE) continue;
        found = s->value; /* begins no later than the one before, and is longer */
        *end = i + 1;
        *start = *end - s->length;
    }
    *value = found;
    return found != NONE;
}

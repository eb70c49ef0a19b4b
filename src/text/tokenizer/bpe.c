/* bpe.c - byte pair encoding of one piece after the other.
 *
 * A piece becomes a doubly linked list of symbols, one per character.  Pairs that merge wait in a
 * binary heap ordered by rank, then position, so a word of n characters takes n log n steps.  An
 * entry of the heap goes stale when one of its symbols was merged meanwhile; as in the library it
 * is known by the id its pair would give, not by its rank, which matters to vocabularies where two
 * merges give the same token.
 *
 * Words repeat: within one text, those met before are copied from where they stand in the output.
 */
#include "text/tokenizer/impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    GW_BPE_CACHE_SLOTS = 4096, /* words remembered, per call */
    GW_BPE_CACHE_MAX = 64,     /* bytes of a word worth remembering */
    GW_BPE_CACHE_MIN_TEXT = 4096
};

struct symbol {
    uint32_t id;
    int32_t prev, next; /* -1: none */
    uint32_t len;       /* bytes of the piece; 0: merged into the one before */
};

struct heap_item {
    uint64_t key; /* rank << 32 | position of the left symbol */
    uint32_t id;  /* what the pair gives */
};

struct cached_word {
    uint32_t hash;
    uint32_t start, len; /* in the buffer of pieces; len 0: empty */
    uint32_t n;          /* ids */
    size_t first;        /* of the output */
};

struct gw_bpe_work {
    struct symbol *symbols;
    size_t n, cap;
    struct heap_item *heap;
    size_t n_heap, heap_cap;
    struct cached_word *cache; /* NULL for short texts */
    struct gw_str text;        /* of a character with its prefix and suffix */
};

void gw_bpe_work_free(struct gw_bpe_work *w) {
    if (w == NULL) return;
    free(w->symbols);
    free(w->heap);
    free(w->cache);
    gw_str_free(&w->text);
    free(w);
}

/* --- the model ------------------------------------------------------------------------------ */

void gw_bpe_free(struct gw_bpe *m) {
    gw_string_map_free(&m->vocab);
    gw_merge_map_free(&m->merges);
    free(m->entry_of_id);
    gw_str_free(&m->unk);
    gw_str_free(&m->prefix);
    gw_str_free(&m->suffix);
    *m = (struct gw_bpe){0};
}

enum gwen_status gw_bpe_index(struct gw_bpe *m, const char *where, struct gwen_err *err) {
    m->n_ids = 0;
    for (size_t i = 0; i < m->vocab.n; i++)
        m->n_ids = GW_MAX(m->n_ids, (size_t)m->vocab.entries[i].value + 1);
    m->entry_of_id = malloc((m->n_ids + 1) * sizeof *m->entry_of_id);
    if (m->entry_of_id == NULL) return gw_nomem(err, m->n_ids * 4, "a vocabulary");
    for (size_t i = 0; i < m->n_ids; i++) m->entry_of_id[i] = GW_NO_ID;
    for (size_t i = 0; i < m->vocab.n; i++) {
        const struct gw_string_entry *e = &m->vocab.entries[i];
        if (m->entry_of_id[e->value] != GW_NO_ID) {
            const struct gw_string_entry *f = &m->vocab.entries[m->entry_of_id[e->value]];
            char one[GW_SHOWN], two[GW_SHOWN];
            return gw_fail(err, GWEN_ERR_FORMAT, "%s: tokens %s and %s both have id %u", where,
                           gw_shown(one, m->vocab.bytes.data + f->start, f->len),
                           gw_shown(two, m->vocab.bytes.data + e->start, e->len),
                           (unsigned)e->value);
        }
        m->entry_of_id[e->value] = (uint32_t)i;
    }
    struct gw_str c = {0};
    for (uint32_t i = 0; i < GW_ARRAY_LEN(m->letter_id); i++) {
        gw_str_clear(&c);
        gw_str_put_utf8(&c, i);
        m->letter_id[i] = c.failed ? GW_NO_ID : gw_string_map_get(&m->vocab, c.data, c.len);
    }
    bool failed = c.failed;
    gw_str_free(&c);
    for (unsigned b = 0; b < 256; b++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", b);
        m->byte_id[b] = gw_string_map_get(&m->vocab, name, 6);
    }
    m->unk_id =
        m->unk.data != NULL ? gw_string_map_get(&m->vocab, m->unk.data, m->unk.len) : GW_NO_ID;
    return failed ? gw_nomem(err, 64, "a vocabulary") : GWEN_OK;
}

static uint32_t require(const struct gw_bpe *m, const char *s, size_t len, struct gw_str *missing) {
    uint32_t id = gw_string_map_get(&m->vocab, s, len);
    if (id == GW_NO_ID) {
        gw_str_clear(missing);
        gw_str_put(missing, s, len);
    }
    return id;
}

bool gw_bpe_add_merge(struct gw_bpe *m, const char *left, size_t left_len, const char *right,
                      size_t right_len, uint32_t rank, struct gw_str *missing) {
    uint32_t a = require(m, left, left_len, missing);
    if (a == GW_NO_ID) return false;
    uint32_t b = require(m, right, right_len, missing);
    if (b == GW_NO_ID) return false;
    size_t cut = GW_MIN(m->prefix.len, right_len); /* the prefix stands inside a word only */
    char both[256];
    size_t len = left_len + right_len - cut;
    uint32_t c;
    if (len <= sizeof both) {
        memcpy(both, left, left_len);
        memcpy(both + left_len, right + cut, right_len - cut);
        c = require(m, both, len, missing);
    } else {
        struct gw_str s = {0};
        gw_str_put(&s, left, left_len);
        gw_str_put(&s, right + cut, right_len - cut);
        c = s.failed ? GW_NO_ID : require(m, s.data, s.len, missing);
        gw_str_free(&s);
    }
    if (c == GW_NO_ID) return false;
    gw_merge_map_put(&m->merges, a, b, rank, c);
    return true;
}

/* --- symbols -------------------------------------------------------------------------------- */

static bool add_symbol(struct gw_bpe_work *w, uint32_t id, uint32_t len) {
    if (w->n == w->cap) {
        size_t cap = w->cap * 2 + 64;
        struct symbol *symbols = realloc(w->symbols, cap * sizeof *symbols);
        if (symbols == NULL) return false;
        w->symbols = symbols;
        w->cap = cap;
    }
    int32_t at = (int32_t)w->n;
    if (at > 0) w->symbols[at - 1].next = at;
    w->symbols[w->n++] = (struct symbol){id, at - 1, -1, len};
    return true;
}

/* The id of the character text[at..at+n) with the prefix or suffix its place asks for; its string
 * as looked up is left in *s and *len. */
static uint32_t char_id(const struct gw_bpe *m, struct gw_bpe_work *w, const char *text, size_t at,
                        size_t n, bool last, const char **s, size_t *len) {
    bool prefix = at > 0 && m->prefix.len > 0, suffix = last && m->suffix.len > 0;
    *s = text + at;
    *len = n;
    if (prefix || suffix) {
        gw_str_clear(&w->text);
        if (prefix) gw_str_put(&w->text, m->prefix.data, m->prefix.len);
        gw_str_put(&w->text, text + at, n);
        if (suffix) gw_str_put(&w->text, m->suffix.data, m->suffix.len);
        if (w->text.failed) return GW_NO_ID;
        *s = w->text.data;
        *len = w->text.len;
    } else if (n == 1) {
        return m->letter_id[(unsigned char)text[at]];
    } else if (n == 2) {
        uint32_t c = ((uint32_t)text[at] & 0x1F) << 6 | ((uint32_t)text[at + 1] & 0x3F);
        if (c < GW_ARRAY_LEN(m->letter_id)) return m->letter_id[c];
    }
    return gw_string_map_get(&m->vocab, *s, *len);
}

/* An unknown character as its bytes; false if not all of them are tokens. */
static bool add_bytes(const struct gw_bpe *m, struct gw_bpe_work *w, const char *s, size_t len,
                      bool *ok) {
    for (size_t i = 0; i < len; i++)
        if (m->byte_id[(unsigned char)s[i]] == GW_NO_ID) return false;
    for (size_t i = 0; i < len && *ok; i++) *ok = add_symbol(w, m->byte_id[(unsigned char)s[i]], 1);
    return true;
}

/* The characters of a piece as symbols.  An unknown character is held back as `unk` until the next
 * known one; bytes do not wait for it, a quirk of the library. */
static enum gwen_status make_symbols(const struct gw_bpe *m, struct gw_bpe_work *w,
                                     const char *text, size_t len, struct gwen_err *err) {
    uint32_t unk_len = 0; /* bytes held back */
    char shown[GW_SHOWN];
    bool ok = true;
    w->n = 0;
    for (size_t at = 0; at < len && ok;) {
        uint32_t c;
        bool valid;
        size_t n = gw_utf8_next(text + at, len - at, &c, &valid), s_len;
        const char *s;
        uint32_t id = char_id(m, w, text, at, n, at + n == len, &s, &s_len);
        at += n;
        if (id != GW_NO_ID) {
            if (unk_len > 0) ok = add_symbol(w, m->unk_id, unk_len);
            unk_len = 0;
            ok = ok && add_symbol(w, id, (uint32_t)n);
            continue;
        }
        if (m->byte_fallback && add_bytes(m, w, s, s_len, &ok)) continue;
        if (m->unk.data == NULL) continue; /* dropped, as the library does */
        if (m->unk_id == GW_NO_ID)
            return gw_fail(err, GWEN_ERR_FORMAT, "unk_token %s is needed but not in the vocabulary",
                           gw_shown(shown, m->unk.data, m->unk.len));
        if (unk_len > 0 && !m->fuse_unk) ok = add_symbol(w, m->unk_id, unk_len);
        unk_len = unk_len > 0 && m->fuse_unk ? unk_len + (uint32_t)n : (uint32_t)n;
    }
    if (ok && unk_len > 0) ok = add_symbol(w, m->unk_id, unk_len);
    ok = ok && !w->text.failed;
    return ok ? GWEN_OK : gw_nomem(err, w->cap * sizeof *w->symbols, "a long word");
}

/* --- merging -------------------------------------------------------------------------------- */

static bool heap_push(struct gw_bpe_work *w, const struct gw_merge *merge, int32_t pos) {
    if (merge == NULL) return true;
    if (w->n_heap == w->heap_cap) {
        size_t cap = w->heap_cap * 2 + 64;
        struct heap_item *heap = realloc(w->heap, cap * sizeof *heap);
        if (heap == NULL) return false;
        w->heap = heap;
        w->heap_cap = cap;
    }
    struct heap_item item = {(uint64_t)merge->rank << 32 | (uint32_t)pos, merge->id};
    size_t i = w->n_heap++;
    for (; i > 0 && w->heap[(i - 1) / 2].key > item.key; i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = item;
    return true;
}

static struct heap_item heap_pop(struct gw_bpe_work *w) {
    struct heap_item top = w->heap[0], last = w->heap[--w->n_heap];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= w->n_heap) break;
        if (child + 1 < w->n_heap && w->heap[child + 1].key < w->heap[child].key) child++;
        if (w->heap[child].key >= last.key) break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = last;
    return top;
}

static bool merge_symbols(const struct gw_bpe *m, struct gw_bpe_work *w) {
    struct symbol *s = w->symbols;
    w->n_heap = 0;
    for (size_t i = 0; i + 1 < w->n; i++)
        if (!heap_push(w, gw_merge_map_get(&m->merges, s[i].id, s[i + 1].id), (int32_t)i))
            return false;
    while (w->n_heap > 0) {
        struct heap_item top = heap_pop(w);
        int32_t pos = (int32_t)(uint32_t)top.key, next = s[pos].next;
        if (s[pos].len == 0 || next < 0) continue;
        const struct gw_merge *now = gw_merge_map_get(&m->merges, s[pos].id, s[next].id);
        if (now == NULL || now->id != top.id) continue;
        s[pos].id = top.id;
        s[pos].len += s[next].len;
        s[pos].next = s[next].next;
        s[next].len = 0;
        if (s[pos].next >= 0) s[s[pos].next].prev = pos;
        int32_t prev = s[pos].prev;
        next = s[pos].next;
        if (prev >= 0 && !heap_push(w, gw_merge_map_get(&m->merges, s[prev].id, s[pos].id), prev))
            return false;
        if (next >= 0 && !heap_push(w, gw_merge_map_get(&m->merges, s[pos].id, s[next].id), pos))
            return false;
    }
    return true;
}

/* --- pieces to ids -------------------------------------------------------------------------- */

static enum gwen_status encode_word(const struct gw_bpe *m, struct gw_bpe_work *w, const char *text,
                                    size_t len, struct gw_ids *out, struct gwen_err *err) {
    if (m->ignore_merges) {
        uint32_t id = gw_string_map_get(&m->vocab, text, len);
        int32_t one = (int32_t)id;
        if (id != GW_NO_ID)
            return gw_ids_put(out, &one, 1) ? GWEN_OK : gw_nomem(err, out->len * 4, "ids");
    }
    GW_TRY(make_symbols(m, w, text, len, err));
    if (!merge_symbols(m, w)) return gw_nomem(err, w->heap_cap * sizeof *w->heap, "a long word");
    for (size_t i = 0; i < w->n; i++) {
        int32_t id = (int32_t)w->symbols[i].id;
        if (w->symbols[i].len != 0 && !gw_ids_put(out, &id, 1))
            return gw_nomem(err, out->len * 4, "ids");
    }
    return GWEN_OK;
}

static uint32_t hash_word(const char *s, size_t len) {
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < len; i++) h = (h ^ (unsigned char)s[i]) * 16777619u;
    return h ^ h >> 15;
}

/* As encode_word, by way of the cache. */
static enum gwen_status encode_piece(const struct gw_bpe *m, struct gw_bpe_work *w,
                                     const char *text, struct gw_piece p, struct gw_ids *out,
                                     struct gwen_err *err) {
    const char *s = text + p.start;
    uint32_t len = p.end - p.start;
    if (w->cache == NULL || len > GW_BPE_CACHE_MAX) return encode_word(m, w, s, len, out, err);
    uint32_t h = hash_word(s, len);
    struct cached_word *c = &w->cache[h % GW_BPE_CACHE_SLOTS];
    if (c->len == len && c->hash == h && memcmp(text + c->start, s, len) == 0) {
        for (uint32_t i = 0; i < c->n; i++) {
            int32_t id = out->data[c->first + i];
            if (!gw_ids_put(out, &id, 1)) return gw_nomem(err, out->len * 4, "ids");
        }
        return GWEN_OK;
    }
    size_t first = out->len;
    GW_TRY(encode_word(m, w, s, len, out, err));
    *c = (struct cached_word){h, p.start, len, (uint32_t)(out->len - first), first};
    return GWEN_OK;
}

enum gwen_status gw_bpe_encode(const struct gw_bpe *m, struct gw_tok_work *w, struct gw_ids *out) {
    struct gw_bpe_work *bpe = calloc(1, sizeof *bpe);
    w->bpe = bpe;
    if (bpe == NULL) return gw_nomem(w->err, sizeof *bpe, "ids");
    if (w->now.text.len >= GW_BPE_CACHE_MIN_TEXT) /* a cache that fails to come is no loss */
        bpe->cache = calloc(GW_BPE_CACHE_SLOTS, sizeof *bpe->cache);
    for (size_t i = 0; i < w->now.n; i++) {
        struct gw_piece p = w->now.v[i];
        if (p.id >= 0) {
            if (!gw_ids_put(out, &p.id, 1)) return gw_nomem(w->err, out->len * 4, "ids");
            continue;
        }
        GW_TRY(encode_piece(m, bpe, w->now.text.data, p, out, w->err));
    }
    return GWEN_OK;
}

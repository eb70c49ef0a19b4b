/* arena.c - see arena.h for the layout. */
#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define GW_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GW_POISON 1
#endif
#endif

#ifdef GW_POISON
#include <sanitizer/asan_interface.h>
#define POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define POISON(p, n) ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

enum {
    CHUNK_FIRST = 4096,   /* what a parse of a small file needs */
    CHUNK_MOST = 1 << 20, /* beyond this, larger chunks save nothing */
    ALIGN_MOST = 4096
};

struct gw_arena_chunk {
    struct gw_arena_chunk *next;
    size_t size; /* of bytes[] */
    size_t used;
    _Alignas(max_align_t) unsigned char bytes[];
};

void gw_arena_init(struct gw_arena *a, size_t limit_bytes) {
    *a = (struct gw_arena){.limit = limit_bytes};
}

/* Takes `size` aligned bytes of chunk c, or NULL when they do not fit. */
static void *chunk_take(struct gw_arena *a, struct gw_arena_chunk *c, size_t size, size_t align) {
    uintptr_t at = (uintptr_t)(c->bytes + c->used);
    size_t pad = (size_t)(-at & (align - 1));
    size_t room = c->size - c->used;
    if (pad > room || size > room - pad) return NULL;
    unsigned char *p = c->bytes + c->used + pad;
    UNPOISON(p, size);
    c->used += pad + size;
    a->used += pad + size;
    return p;
}

/* A new chunk that holds at least `need` bytes, put after the current one. */
static struct gw_arena_chunk *chunk_new(struct gw_arena *a, size_t need) {
    const size_t header = sizeof(struct gw_arena_chunk);
    size_t size = a->cur != NULL ? GW_MIN(a->cur->size, (size_t)CHUNK_MOST / 2) * 2 : CHUNK_FIRST;
    size = GW_MAX(size, need);
    size_t total;
    if (!gw_add_size(header, size, &total)) return NULL;
    if (a->limit != 0) {
        size_t left = a->limit - a->taken; /* taken never passes limit */
        if (left < header || left - header < need) return NULL;
        size = GW_MIN(size, left - header);
        total = header + size;
    }
    struct gw_arena_chunk *c = malloc(total);
    if (c == NULL) return NULL;
    c->size = size;
    c->used = 0;
    c->next = a->cur != NULL ? a->cur->next : NULL;
    if (a->cur != NULL)
        a->cur->next = c;
    else
        a->first = c;
    a->taken += total;
    POISON(c->bytes, size);
    return c;
}

void *gw_arena_alloc(struct gw_arena *a, size_t size, size_t align) {
    if (align == 0 || (align & (align - 1)) != 0 || align > ALIGN_MOST) return NULL;
    size = GW_MAX(size, 1); /* distinct pointers */
    size_t need;
    if (!gw_add_size(size, align - 1, &need)) return NULL;
    if (a->cur != NULL) {
        void *p = chunk_take(a, a->cur, size, align);
        if (p != NULL) return p;
        /* A chunk kept by a reset is used if it is large enough, else a new one goes before it. */
        struct gw_arena_chunk *next = a->cur->next;
        if (next != NULL && next->size >= need) {
            a->cur = next;
            return chunk_take(a, next, size, align);
        }
    }
    struct gw_arena_chunk *c = chunk_new(a, need);
    if (c == NULL) return NULL;
    a->cur = c;
    return chunk_take(a, c, size, align);
}

void *gw_arena_calloc(struct gw_arena *a, size_t n, size_t size) {
    size_t bytes;
    if (!gw_mul_size(n, size, &bytes)) return NULL;
    void *p = gw_arena_alloc(a, bytes, _Alignof(max_align_t));
    if (p != NULL) memset(p, 0, bytes);
    return p;
}

char *gw_arena_strndup(struct gw_arena *a, const char *text, size_t len) {
    size_t bytes;
    if (!gw_add_size(len, 1, &bytes)) return NULL;
    char *p = gw_arena_alloc(a, bytes, 1);
    if (p == NULL) return NULL;
    if (len > 0) memcpy(p, text, len);
    p[len] = '\0';
    return p;
}

void gw_arena_reset(struct gw_arena *a) {
    for (struct gw_arena_chunk *c = a->first; c != NULL; c = c->next) {
        c->used = 0;
        POISON(c->bytes, c->size);
    }
    a->cur = a->first;
    a->used = 0;
}

void gw_arena_free(struct gw_arena *a) {
    struct gw_arena_chunk *c = a->first;
    while (c != NULL) {
        struct gw_arena_chunk *next = c->next;
        UNPOISON(c->bytes, c->size);
        free(c);
        c = next;
    }
    gw_arena_init(a, a->limit);
}

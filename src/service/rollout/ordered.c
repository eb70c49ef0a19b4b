/* ordered.c - see ordered.h. */
#include "service/rollout/ordered.h"

#include <stdlib.h>
#include <string.h>

struct row {
    char *text; /* NULL: not there */
    size_t len;
};

struct gw_ordered {
    gw_ordered_emit *emit;
    void *ctx;
    size_t n, next;
    struct row rows[];
};

enum gwen_status gw_ordered_new(size_t n, gw_ordered_emit *emit, void *ctx, struct gw_ordered **out,
                                struct gwen_err *err) {
    size_t bytes;
    *out = NULL;
    if (!gw_mul_size(n, sizeof(struct row), &bytes) ||
        !gw_add_size(bytes, sizeof(struct gw_ordered), &bytes))
        return gw_nomem(err, SIZE_MAX, "the order of rows");
    struct gw_ordered *o = calloc(1, bytes);
    if (o == NULL) return gw_nomem(err, bytes, "the order of rows");
    o->emit = emit;
    o->ctx = ctx;
    o->n = n;
    *out = o;
    return GWEN_OK;
}

enum gwen_status gw_ordered_put(struct gw_ordered *o, size_t index, const char *row, size_t len,
                                struct gwen_err *err) {
    if (index >= o->n || index < o->next || o->rows[index].text != NULL)
        return gw_fail(err, GWEN_ERR_INTERNAL, "row %zu of %zu came twice", index, o->n);
    if (index != o->next) {
        char *copy = malloc(len + 1);
        if (copy == NULL) return gw_nomem(err, len, "a row");
        memcpy(copy, row, len);
        o->rows[index] = (struct row){copy, len};
        return GWEN_OK;
    }
    GW_TRY(o->emit(o->ctx, row, len, err));
    for (o->next++; o->next < o->n && o->rows[o->next].text != NULL; o->next++) {
        struct row *r = &o->rows[o->next];
        GW_TRY(o->emit(o->ctx, r->text, r->len, err));
        free(r->text);
        r->text = NULL;
    }
    return GWEN_OK;
}

void gw_ordered_free(struct gw_ordered *o) {
    if (o == NULL) return;
    for (size_t i = o->next; i < o->n; i++) free(o->rows[i].text);
    free(o);
}

/* write.c - writing safetensors files, byte for byte as the reference writer lays them
 * out (with at most one metadata entry: of several, the reference's order is arbitrary). */
#include "checkpoint/safetensors/impl.h"

#include <stdlib.h>
#include <string.h>

enum { GW_ST_PIECE = 1 << 20 }; /* bytes asked from the callback at a time */

/* The reference sorts by its enumeration of dtypes, largest first, so that every tensor is aligned
 * to its element size. */
static int dtype_order(enum gw_dtype t) {
    static const int order[GW_DTYPE_COUNT] = {
        [GW_DTYPE_BOOL] = 1, [GW_DTYPE_U8] = 2,   [GW_DTYPE_I8] = 3,   [GW_DTYPE_I16] = 4,
        [GW_DTYPE_U16] = 5,  [GW_DTYPE_F16] = 6,  [GW_DTYPE_BF16] = 7, [GW_DTYPE_I32] = 8,
        [GW_DTYPE_U32] = 9,  [GW_DTYPE_F32] = 10, [GW_DTYPE_F64] = 11, [GW_DTYPE_I64] = 12,
        [GW_DTYPE_U64] = 13};
    return order[t];
}

/* One tensor to be written: where the caller has it, and its sizes. */
struct item {
    const struct gw_tensor *t;
    size_t index, n_elem, bytes;
};

static int compare_items(const void *a, const void *b) {
    const struct item *x = a, *y = b;
    int order = dtype_order(y->t->dtype) - dtype_order(x->t->dtype);
    return order != 0 ? order : strcmp(x->t->name, y->t->name);
}

static enum gwen_status fill_item(const char *path, const struct gw_tensor *t, size_t index,
                                  bool has_fill, struct item *item, struct gwen_err *err) {
    *item = (struct item){.t = t, .index = index, .n_elem = 1};
    bool ok = t->rank <= GW_TENSOR_MAX_RANK && gw_dtype_bytes(t->dtype) > 0 &&
              strcmp(t->name, "__metadata__") != 0 && gw_utf8_is_valid(t->name, strlen(t->name));
    for (size_t i = 0; i < t->rank && ok; i++)
        ok = gw_mul_size(item->n_elem, t->shape[i], &item->n_elem);
    ok = ok && gw_mul_size(item->n_elem, gw_dtype_bytes(t->dtype), &item->bytes);
    ok = ok && (t->data != NULL || has_fill || item->bytes == 0);
    if (ok) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_ARGUMENT, "%s: tensor \"%s\" cannot be written", path,
                   gw_st_show(t->name).text);
}

static enum gwen_status make_items(const char *path, const struct gw_tensor *tensors, size_t n,
                                   bool has_fill, struct item *items, struct gwen_err *err) {
    for (size_t i = 0; i < n; i++)
        GW_TRY(fill_item(path, &tensors[i], i, has_fill, &items[i], err));
    qsort(items, n, sizeof *items, compare_items);
    for (size_t i = 1; i < n; i++)
        if (compare_items(&items[i - 1], &items[i]) == 0)
            return gw_fail(err, GWEN_ERR_ARGUMENT, "%s: tensor \"%s\" is given twice", path,
                           gw_st_show(items[i].t->name).text);
    return GWEN_OK;
}

/* The 8 bytes of length and the header, padded. */
static enum gwen_status put_header(const char *path, const struct item *items, size_t n,
                                   const struct gw_meta *meta, size_t n_meta, struct gw_str *s,
                                   struct gwen_err *err) {
    size_t at = 0;
    gw_str_put(s, "\0\0\0\0\0\0\0", 8);
    gw_str_putc(s, '{');
    if (n_meta > 0) {
        gw_str_puts(s, "\"__metadata__\":{");
        for (size_t i = 0; i < n_meta; i++) {
            if (i > 0) gw_str_putc(s, ',');
            gw_str_put_json(s, meta[i].key, strlen(meta[i].key));
            gw_str_putc(s, ':');
            gw_str_put_json(s, meta[i].value, strlen(meta[i].value));
        }
        gw_str_putc(s, '}');
    }
    for (size_t i = 0; i < n; i++) {
        const struct gw_tensor *t = items[i].t;
        if (i > 0 || n_meta > 0) gw_str_putc(s, ',');
        gw_str_put_json(s, t->name, strlen(t->name));
        gw_str_printf(s, ":{\"dtype\":\"%s\",\"shape\":[", gw_dtype_name(t->dtype));
        for (size_t j = 0; j < t->rank; j++)
            gw_str_printf(s, "%s%zu", j > 0 ? "," : "", t->shape[j]);
        gw_str_printf(s, "],\"data_offsets\":[%zu,", at);
        if (!gw_add_size(at, items[i].bytes, &at))
            return gw_fail(err, GWEN_ERR_ARGUMENT, "%s: too many bytes of tensors", path);
        gw_str_printf(s, "%zu]}", at);
    }
    gw_str_putc(s, '}');
    while (s->len % 8 != 0 && !s->failed) gw_str_putc(s, ' ');
    if (s->failed) return gw_nomem(err, s->cap, path);
    uint64_t len = s->len - 8;
    if (len > GW_ST_MAX_HEADER)
        return gw_fail(err, GWEN_ERR_ARGUMENT, "%s: the header would have more than %d bytes", path,
                       GW_ST_MAX_HEADER);
    for (int i = 0; i < 8; i++) s->data[i] = (char)(len >> (8 * i) & 255);
    return GWEN_OK;
}

static enum gwen_status write_pieces(struct gw_out *out, const struct item *item,
                                     gw_tensor_fill *fill, void *ctx, unsigned char *buf,
                                     struct gwen_err *err) {
    size_t elem = gw_dtype_bytes(item->t->dtype), piece = GW_ST_PIECE / elem;
    for (size_t first = 0; first < item->n_elem; first += piece) {
        size_t n = GW_MIN(piece, item->n_elem - first);
        GW_TRY(fill(ctx, item->index, first, n, buf, err));
        GW_TRY(gw_out_write(out, buf, n * elem, err));
    }
    return GWEN_OK;
}

static enum gwen_status write_all(struct gw_out *out, const struct gw_str *header,
                                  const struct item *items, size_t n, gw_tensor_fill *fill,
                                  void *ctx, struct gwen_err *err) {
    GW_TRY(gw_out_write(out, header->data, header->len, err));
    unsigned char *buf = fill != NULL ? malloc(GW_ST_PIECE) : NULL;
    if (fill != NULL && buf == NULL) return gw_nomem(err, GW_ST_PIECE, "a piece of a tensor");
    enum gwen_status status = GWEN_OK;
    for (size_t i = 0; i < n && status == GWEN_OK; i++) {
        if (items[i].bytes == 0) continue;
        if (items[i].t->data != NULL)
            status = gw_out_write(out, items[i].t->data, items[i].bytes, err);
        else
            status = write_pieces(out, &items[i], fill, ctx, buf, err);
    }
    free(buf);
    return status;
}

enum gwen_status gw_safetensors_write(const char *path, const struct gw_tensor *tensors, size_t n,
                                      const struct gw_meta *meta, size_t n_meta,
                                      gw_tensor_fill *fill, void *ctx, struct gwen_err *err) {
    struct item *items = malloc((n > 0 ? n : 1) * sizeof *items);
    if (items == NULL) return gw_nomem(err, n * sizeof *items, path);
    struct gw_str header = {0};
    struct gw_out *out = NULL;
    enum gwen_status status = make_items(path, tensors, n, fill != NULL, items, err);
    if (status == GWEN_OK) status = put_header(path, items, n, meta, n_meta, &header, err);
    if (status == GWEN_OK) status = gw_out_open(path, &out, err);
    if (status == GWEN_OK) status = write_all(out, &header, items, n, fill, ctx, err);
    if (status == GWEN_OK)
        status = gw_out_commit(out, err);
    else
        gw_out_abort(out);
    free(items);
    gw_str_free(&header);
    return status;
}

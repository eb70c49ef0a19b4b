/* header.c - the header of a safetensors file.
 *
 * gw_json_scan has checked that the header is well-formed JSON, so the walk below needs no error
 * paths for syntax, only for meaning; it builds no tree, because a header may have 100 MB.  After
 * it, no number of the header is used before it was checked:
 *   - the bytes of a tensor are dtype size * product of the shape, without overflow;
 *   - in order of their offsets the tensors tile the data without gaps or overlaps. */
#include "base/json_scan.h"
#include "checkpoint/safetensors/impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GW_ST_MAX_DEPTH = 16 };

struct walk {
    const char *p, *end;
    struct gw_st_file *f;
    struct gw_str strings; /* f->strings while it grows */
    struct gw_str numbers; /* f->meta while it grows: size_t each */
    struct gw_str entries; /* struct entry each */
    struct gwen_err *err;
};

/* A tensor as the header gives it; the name is an offset into the strings. */
struct entry {
    size_t name;
    struct gw_tensor t;
    size_t begin, end;
};

enum gwen_status gw_st_header_len(const unsigned char *bytes, size_t size, const char *name,
                                  size_t *len, struct gwen_err *err) {
    if (size < 8)
        return gw_fail(err, GWEN_ERR_FORMAT, "%s: %zu bytes are too few for a safetensors file",
                       name, size);
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--) n = n << 8 | bytes[i];
    if (n > GW_ST_MAX_HEADER)
        return gw_fail(err, GWEN_ERR_FORMAT,
                       "%s: not a safetensors file: header of %llu bytes (at most %d)", name,
                       (unsigned long long)n, GW_ST_MAX_HEADER);
    if (n > size - 8)
        return gw_fail(err, GWEN_ERR_FORMAT,
                       "%s: cut short: header of %llu bytes in a file of %zu bytes", name,
                       (unsigned long long)n, size);
    *len = (size_t)n;
    return GWEN_OK;
}

/* --- walking well-formed JSON --------------------------------------------------------------- */

static char peek(struct walk *w) {
    while (*w->p == ' ' || *w->p == '\t' || *w->p == '\n' || *w->p == '\r') w->p++;
    return *w->p;
}

/* Takes `c` if it is next. */
static bool accept(struct walk *w, char c) {
    if (peek(w) != c) return false;
    w->p++;
    return true;
}

static unsigned hex4(const char *p) {
    unsigned v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        v = v * 16 + (unsigned)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    return v;
}

/* Decodes the escape behind a backslash. */
static void put_escape(struct walk *w) {
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    char c = *w->p++;
    if (c != 'u') {
        const char *at = strchr(from, c);
        gw_str_putc(&w->strings, at != NULL ? to[at - from] : c);
        return;
    }
    uint32_t cp = hex4(w->p);
    w->p += 4;
    if (cp >= 0xD800 && cp < 0xDC00) {
        cp = 0x10000 + ((cp - 0xD800) << 10) + (hex4(w->p + 2) - 0xDC00);
        w->p += 6;
    }
    gw_str_put_utf8(&w->strings, cp);
}

/* Reads a string (peek says '"') into the strings; returns its offset. */
static size_t take_string(struct walk *w) {
    size_t offset = w->strings.len;
    w->p++;
    for (;;) {
        const char *start = w->p;
        while (*w->p != '"' && *w->p != '\\') w->p++;
        gw_str_put(&w->strings, start, (size_t)(w->p - start));
        if (*w->p++ == '"') break;
        put_escape(w);
    }
    gw_str_putc(&w->strings, 0);
    return offset;
}

static const char *string_at(const struct walk *w, size_t offset) {
    return w->strings.failed ? "" : w->strings.data + offset;
}

static void skip_string(struct walk *w) {
    for (w->p++; *w->p != '"'; w->p++)
        if (*w->p == '\\') w->p++;
    w->p++;
}

/* Steps over any value. */
static void skip_value(struct walk *w) {
    size_t depth = 0;
    do {
        char c = peek(w);
        if (c == '"') {
            skip_string(w);
        } else {
            if (c == '{' || c == '[') depth++;
            if (c == '}' || c == ']') depth--;
            w->p++;
            /* the rest of a number or word; structure ends it */
            if (strchr("{}[],:", c) == NULL)
                while (w->p < w->end && strchr("{}[],: \t\r\n\"", *w->p) == NULL) w->p++;
        }
    } while (depth > 0);
}

static enum gwen_status fail(struct walk *w, const char *tensor, const char *what) {
    return gw_fail(w->err, GWEN_ERR_FORMAT, "%s: tensor \"%s\": %s", w->f->name,
                   gw_st_show(tensor).text, what);
}

/* A non-negative integer without fraction or exponent. */
static bool take_size(struct walk *w, size_t *out) {
    char c = peek(w);
    if (c < '0' || c > '9') return false;
    *out = 0;
    while (*w->p >= '0' && *w->p <= '9') {
        if (!gw_mul_size(*out, 10, out) || !gw_add_size(*out, (size_t)(*w->p - '0'), out))
            return false;
        w->p++;
    }
    return *w->p != '.' && *w->p != 'e' && *w->p != 'E';
}

/* An array of at most `max` sizes; -1 when it is something else. */
static int take_sizes(struct walk *w, size_t *out, int max) {
    if (!accept(w, '[')) return -1;
    if (accept(w, ']')) return 0;
    for (int n = 0;; n++) {
        if (n == max || !take_size(w, &out[n])) return -1;
        if (accept(w, ']')) return n + 1;
        if (!accept(w, ',')) return -1;
    }
}

/* --- entries -------------------------------------------------------------------------------- */

static enum gwen_status walk_metadata(struct walk *w) {
    if (!accept(w, '{'))
        return gw_fail(w->err, GWEN_ERR_FORMAT, "%s: __metadata__: expected an object", w->f->name);
    if (accept(w, '}')) return GWEN_OK;
    do {
        peek(w);
        size_t pair[2] = {take_string(w), 0};
        accept(w, ':');
        if (peek(w) != '"')
            return gw_fail(w->err, GWEN_ERR_FORMAT, "%s: __metadata__: \"%s\" is no string",
                           w->f->name, gw_st_show(string_at(w, pair[0])).text);
        pair[1] = take_string(w);
        gw_str_put(&w->numbers, pair, sizeof pair);
    } while (accept(w, ','));
    accept(w, '}');
    return GWEN_OK;
}

static enum gwen_status walk_dtype(struct walk *w, const char *tensor, struct entry *e) {
    size_t mark = w->strings.len;
    if (peek(w) != '"') return fail(w, tensor, "dtype: expected a string");
    size_t at = take_string(w);
    const char *name = string_at(w, at);
    bool known = gw_dtype_from_name(name, strlen(name), &e->t.dtype);
    if (!known && !w->strings.failed)
        return gw_fail(w->err, GWEN_ERR_UNSUPPORTED,
                       "%s: tensor \"%s\": dtype \"%s\" is not supported", w->f->name,
                       gw_st_show(tensor).text, gw_st_show(name).text);
    w->strings.len = mark; /* the name was only passing through */
    return GWEN_OK;
}

/* The three members of a tensor's entry, each once; others are passed over, as the reference
 * implementation does. */
static enum gwen_status walk_members(struct walk *w, struct entry *e) {
    /* the strings may move while they grow: keep the tensor's name for messages here */
    const struct gw_st_shown shown = gw_st_show(string_at(w, e->name));
    const char *tensor = shown.text;
    enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4 };
    unsigned seen = 0;
    if (!accept(w, '{')) return fail(w, tensor, "expected an object");
    if (peek(w) == '}') return fail(w, tensor, "dtype, shape and data_offsets are missing");
    do {
        peek(w);
        size_t mark = w->strings.len, key_at = take_string(w);
        const char *key = string_at(w, key_at);
        unsigned bit = strcmp(key, "dtype") == 0          ? DTYPE
                       : strcmp(key, "shape") == 0        ? SHAPE
                       : strcmp(key, "data_offsets") == 0 ? OFFSETS
                                                          : 0;
        w->strings.len = mark;
        accept(w, ':');
        if (seen & bit) return fail(w, tensor, "a member occurs twice");
        seen |= bit;
        if (bit == DTYPE) {
            GW_TRY(walk_dtype(w, tensor, e));
        } else if (bit == SHAPE) {
            int rank = take_sizes(w, e->t.shape, GW_TENSOR_MAX_RANK);
            if (rank < 0) return fail(w, tensor, "shape: expected at most 8 sizes");
            e->t.rank = (size_t)rank;
        } else if (bit == OFFSETS) {
            size_t offsets[2];
            if (take_sizes(w, offsets, 2) != 2)
                return fail(w, tensor, "data_offsets: expected two offsets");
            e->begin = offsets[0];
            e->end = offsets[1];
        } else {
            skip_value(w);
        }
    } while (accept(w, ','));
    accept(w, '}');
    if (seen != (DTYPE | SHAPE | OFFSETS))
        return fail(w, tensor,
                    !(seen & DTYPE)   ? "dtype is missing"
                    : !(seen & SHAPE) ? "shape is missing"
                                      : "data_offsets is missing");
    return GWEN_OK;
}

/* Element count and bytes, without overflow, and offsets that match them. */
static enum gwen_status check_entry(struct walk *w, struct entry *e) {
    const char *tensor = string_at(w, e->name);
    e->t.n_elem = 1;
    for (size_t i = 0; i < e->t.rank; i++)
        if (!gw_mul_size(e->t.n_elem, e->t.shape[i], &e->t.n_elem))
            return fail(w, tensor, "shape: the number of elements overflows");
    if (!gw_mul_size(e->t.n_elem, gw_dtype_bytes(e->t.dtype), &e->t.bytes))
        return fail(w, tensor, "shape: the number of bytes overflows");
    if (e->begin > e->end) return fail(w, tensor, "data_offsets: the end is before the beginning");
    if (e->end - e->begin == e->t.bytes) return GWEN_OK;
    char shape[128];
    gw_st_show_shape(e->t.rank, e->t.shape, shape, sizeof shape);
    return gw_fail(w->err, GWEN_ERR_FORMAT,
                   "%s: tensor \"%s\": data_offsets span %zu bytes, but %s %s has %zu", w->f->name,
                   gw_st_show(tensor).text, e->end - e->begin, gw_dtype_name(e->t.dtype), shape,
                   e->t.bytes);
}

static enum gwen_status walk_top(struct walk *w) {
    bool metadata = false;
    accept(w, '{');
    if (accept(w, '}')) return GWEN_OK;
    do {
        peek(w);
        struct entry e = {.name = take_string(w)};
        accept(w, ':');
        if (strcmp(string_at(w, e.name), "__metadata__") == 0) {
            if (metadata) return fail(w, "__metadata__", "occurs twice");
            metadata = true;
            GW_TRY(walk_metadata(w));
        } else {
            GW_TRY(walk_members(w, &e));
            GW_TRY(check_entry(w, &e));
            gw_str_put(&w->entries, &e, sizeof e);
        }
    } while (accept(w, ','));
    return GWEN_OK;
}

/* --- layout --------------------------------------------------------------------------------- */

static int compare_offsets(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* Sorts by offset; the tensors must tile [0, data_len). */
static enum gwen_status check_layout(struct walk *w, struct entry *entries, size_t n,
                                     size_t data_len) {
    if (n > 1) qsort(entries, n, sizeof *entries, compare_offsets);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const char *tensor = string_at(w, entries[i].name);
        if (entries[i].begin < at)
            return fail(w, tensor, "data_offsets: overlaps the tensor before it");
        if (entries[i].begin > at)
            return fail(w, tensor, "data_offsets: unused bytes before this tensor");
        if (entries[i].end > data_len)
            return gw_fail(w->err, GWEN_ERR_FORMAT,
                           "%s: tensor \"%s\": cut short: ends at byte %zu of the data, which "
                           "have %zu",
                           w->f->name, gw_st_show(tensor).text, entries[i].end, data_len);
        at = entries[i].end;
    }
    if (at != data_len)
        return gw_fail(w->err, GWEN_ERR_FORMAT, "%s: %zu bytes after the last tensor", w->f->name,
                       data_len - at);
    return GWEN_OK;
}

/* Hands what the walk gathered to the file. */
static enum gwen_status take_over(struct walk *w, const unsigned char *data, size_t data_len) {
    struct gw_st_file *f = w->f;
    struct entry *entries = (struct entry *)(void *)w->entries.data;
    size_t n = w->entries.len / sizeof *entries;
    GW_TRY(check_layout(w, entries, n, data_len));
    f->tensors = malloc((n > 0 ? n : 1) * sizeof *f->tensors);
    if (f->tensors == NULL) return gw_nomem(w->err, n * sizeof *f->tensors, f->name);
    f->strings = w->strings.data;
    w->strings = (struct gw_str){0};
    f->meta = (size_t *)(void *)w->numbers.data;
    f->n_meta = w->numbers.len / (2 * sizeof *f->meta);
    w->numbers = (struct gw_str){0};
    for (size_t i = 0; i < n; i++) {
        f->tensors[i] = entries[i].t;
        f->tensors[i].name = f->strings + entries[i].name;
        f->tensors[i].data = data + entries[i].begin;
    }
    f->n_tensors = n;
    return GWEN_OK;
}

enum gwen_status gw_st_parse_header(struct gw_st_file *f, struct gwen_err *err) {
    size_t len;
    GW_TRY(gw_st_header_len(f->map.data, f->map.size, f->name, &len, err));
    const char *text = (const char *)f->map.data + 8;
    if (len == 0 || text[0] != '{')
        return gw_fail(err, GWEN_ERR_FORMAT,
                       "%s: not a safetensors file: the header does not begin with '{'", f->name);
    GW_TRY(gw_json_scan(text, len, f->name, GW_ST_MAX_DEPTH, err));
    struct walk w = {.p = text, .end = text + len, .f = f, .err = err};
    enum gwen_status status = walk_top(&w);
    if (status == GWEN_OK && (w.strings.failed || w.numbers.failed || w.entries.failed))
        status = gw_nomem(err, len, f->name);
    if (status == GWEN_OK) status = take_over(&w, f->map.data + 8 + len, f->map.size - 8 - len);
    gw_str_free(&w.strings);
    gw_str_free(&w.numbers);
    gw_str_free(&w.entries);
    return status;
}

void gw_st_file_free(struct gw_st_file *f) {
    if (f->mapped) gw_map_close(&f->map);
    free(f->name);
    free(f->strings);
    free(f->meta);
    free(f->tensors);
    *f = (struct gw_st_file){0};
}

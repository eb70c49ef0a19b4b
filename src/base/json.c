/* json.c - configuration files: cJSON behind nodes that can name themselves (see json.h).
 *
 * A node does not carry its path: it is looked for in the tree when an error needs it, which costs
 * nothing otherwise and leaves no lifetimes to get wrong. */
#include "base/json.h"

#include "base/file.h"
#include "base/json_scan.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GW_JSON_EXACT ((int64_t)1 << 53) /* doubles below hold every integer exactly */

/* --- paths and messages --------------------------------------------------------------------- */

/* Appends ".key" or "[i]"; a key that is no plain word is shown in quotes. */
static void put_step(struct gw_str *s, const cJSON *child, size_t index, bool in_array) {
    if (in_array) {
        gw_str_printf(s, "[%zu]", index);
        return;
    }
    const char *key = child->string != NULL ? child->string : "";
    if (s->len > 0) gw_str_putc(s, '.');
    bool plain = *key != 0;
    for (const char *p = key; *p != 0; p++) plain = plain && *p > ' ' && *p < 0x7F && *p != '"';
    if (plain)
        gw_str_puts(s, key);
    else
        gw_str_put_json(s, key, strlen(key));
}

/* Depth-first search for `target`; on success *s holds the path to it. */
static bool find_path(const cJSON *at, const cJSON *target, struct gw_str *s) {
    if (at == target) return true;
    size_t len = s->len, i = 0;
    const cJSON *child;
    cJSON_ArrayForEach(child, at) {
        put_step(s, child, i++, cJSON_IsArray(at));
        if (find_path(child, target, s)) return true;
        s->len = len;
    }
    return false;
}

static enum gwen_status node_fail(struct gw_json_node n, const char *key, struct gwen_err *err,
                                  enum gwen_status status, const char *message) {
    struct gw_str path = {0};
    if (!find_path(n.doc->root, n.v, &path)) gw_str_clear(&path);
    if (key != NULL) {
        const cJSON child = {.string = (char *)(uintptr_t)key};
        put_step(&path, &child, 0, false);
    }
    if (path.len > 0 && !path.failed) {
        path.data[path.len] = 0; /* the search cuts by length only */
        gw_fail(err, status, "%s: %.300s: %s", n.doc->file, path.data, message);
    } else {
        gw_fail(err, status, "%s: %s", n.doc->file, message);
    }
    gw_str_free(&path);
    return status;
}

enum gwen_status gw_json_fail(struct gw_json_node n, struct gwen_err *err, enum gwen_status status,
                              const char *fmt, ...) {
    char message[768];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    return node_fail(n, NULL, err, status, message);
}

static void show_number(struct gw_str *s, double v) {
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    gw_str_puts(s, text);
}

/* Stops growing soon after `limit` bytes. */
static void show(struct gw_str *s, const cJSON *v, size_t limit) {
    if (s->len > limit) return;
    if (cJSON_IsNumber(v))
        show_number(s, v->valuedouble);
    else if (cJSON_IsString(v))
        gw_str_put_json(s, v->valuestring, strlen(v->valuestring));
    else if (cJSON_IsBool(v))
        gw_str_puts(s, cJSON_IsTrue(v) ? "true" : "false");
    else if (cJSON_IsNull(v))
        gw_str_puts(s, "null");
    if (!cJSON_IsArray(v) && !cJSON_IsObject(v)) return;
    gw_str_putc(s, cJSON_IsArray(v) ? '[' : '{');
    const cJSON *child;
    cJSON_ArrayForEach(child, v) {
        if (child != v->child) gw_str_puts(s, ", ");
        if (s->len > limit) break;
        if (cJSON_IsObject(v)) {
            gw_str_put_json(s, child->string, strlen(child->string));
            gw_str_puts(s, ": ");
        }
        show(s, child, limit);
    }
    gw_str_putc(s, cJSON_IsArray(v) ? ']' : '}');
}

bool gw_json_put_scalar(struct gw_json_node n, struct gw_str *out) {
    if (gw_json_is_string(n)) {
        gw_str_puts(out, n.v->valuestring);
    } else if (gw_json_is_bool(n)) {
        gw_str_puts(out, cJSON_IsTrue(n.v) ? "true" : "false");
    } else if (gw_json_is_number(n)) {
        double v = n.v->valuedouble;
        gw_str_printf(out, fabs(v) < 0x1p53 && v == floor(v) ? "%.0f" : "%.17g", v);
    } else {
        return false;
    }
    return true;
}

void gw_json_show(struct gw_json_node n, char *buf, size_t cap) {
    struct gw_str s = {0};
    show(&s, n.v, cap);
    if (s.data == NULL || s.failed)
        snprintf(buf, cap, "?");
    else if (s.len < cap)
        memcpy(buf, s.data, s.len + 1);
    else
        snprintf(buf, cap, "%.*s...", (int)(cap > 4 ? cap - 4 : 0), s.data);
    gw_str_free(&s);
}

static enum gwen_status expected(struct gw_json_node n, const char *what, struct gwen_err *err) {
    char value[64];
    gw_json_show(n, value, sizeof value);
    return gw_json_fail(n, err, GWEN_ERR_FORMAT, "expected %s, not %s", what, value);
}

/* --- parsing -------------------------------------------------------------------------------- */

static int compare_keys(const void *a, const void *b) {
    return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

/* Refuses duplicate keys among the members of one object; sorts, so that it is not quadratic. */
static enum gwen_status check_keys(struct gw_json_node n, struct gwen_err *err) {
    size_t count = gw_json_size(n), i = 0;
    if (count < 2) return GWEN_OK;
    const cJSON **sorted = malloc(count * sizeof *sorted);
    if (sorted == NULL) return gw_nomem(err, count * sizeof *sorted, n.doc->file);
    const cJSON *child;
    cJSON_ArrayForEach(child, n.v) sorted[i++] = child;
    qsort(sorted, count, sizeof *sorted, compare_keys);
    enum gwen_status status = GWEN_OK;
    for (i = 1; i < count && status == GWEN_OK; i++)
        if (strcmp(sorted[i - 1]->string, sorted[i]->string) == 0)
            status = gw_json_fail((struct gw_json_node){n.doc, sorted[i]}, err, GWEN_ERR_FORMAT,
                                  "this key occurs twice");
    free(sorted);
    return status;
}

/* What the scan cannot see: duplicate keys and numbers beyond the range of double. */
static enum gwen_status check_tree(struct gw_json_node n, struct gwen_err *err) {
    if (cJSON_IsNumber(n.v) && !isfinite(n.v->valuedouble))
        return gw_json_fail(n, err, GWEN_ERR_FORMAT, "number too large");
    if (cJSON_IsObject(n.v)) GW_TRY(check_keys(n, err));
    for (struct gw_json_node c = gw_json_first(n); c.v != NULL; c = gw_json_next(c))
        GW_TRY(check_tree(c, err));
    return GWEN_OK;
}

enum gwen_status gw_json_parse(const char *text, size_t len, const char *name,
                               struct gw_json_doc *doc, struct gwen_err *err) {
    *doc = (struct gw_json_doc){0};
    if (len == 0) text = ""; /* it may be NULL */
    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        text += 3;
        len -= 3;
    }
    GW_TRY(gw_json_scan(text, len, name, GW_JSON_MAX_DEPTH, err));
    doc->file = strdup(name);
    doc->root = doc->file != NULL ? cJSON_ParseWithLength(text, len) : NULL;
    /* what the scan passes, cJSON builds unless memory ends */
    enum gwen_status status =
        doc->root != NULL ? check_tree(gw_json_root(doc), err) : gw_nomem(err, len, name);
    if (status != GWEN_OK) gw_json_free(doc);
    return status;
}

enum gwen_status gw_json_load(const char *path, size_t max_bytes, struct gw_json_doc *doc,
                              struct gwen_err *err) {
    *doc = (struct gw_json_doc){0};
    struct gw_str text = {0};
    enum gwen_status status = gw_file_read(path, max_bytes, &text, err);
    if (status == GWEN_OK) status = gw_json_parse(text.data, text.len, path, doc, err);
    gw_str_free(&text);
    return status;
}

void gw_json_free(struct gw_json_doc *doc) {
    cJSON_Delete(doc->root);
    free(doc->file);
    *doc = (struct gw_json_doc){0};
}

/* --- nodes ---------------------------------------------------------------------------------- */

struct gw_json_node gw_json_root(const struct gw_json_doc *doc) {
    return (struct gw_json_node){.doc = doc, .v = doc->root};
}

bool gw_json_is_object(struct gw_json_node n) { return cJSON_IsObject(n.v); }
bool gw_json_is_array(struct gw_json_node n) { return cJSON_IsArray(n.v); }
bool gw_json_is_string(struct gw_json_node n) { return cJSON_IsString(n.v); }
bool gw_json_is_number(struct gw_json_node n) { return cJSON_IsNumber(n.v); }
bool gw_json_is_bool(struct gw_json_node n) { return cJSON_IsBool(n.v); }
bool gw_json_is_null(struct gw_json_node n) { return cJSON_IsNull(n.v); }

bool gw_json_find(struct gw_json_node n, const char *key, struct gw_json_node *out) {
    const cJSON *v = cJSON_IsObject(n.v) ? cJSON_GetObjectItemCaseSensitive(n.v, key) : NULL;
    *out = (struct gw_json_node){.doc = n.doc, .v = v};
    return v != NULL;
}

bool gw_json_has(struct gw_json_node n, const char *key) {
    struct gw_json_node v;
    return gw_json_find(n, key, &v) && !cJSON_IsNull(v.v);
}

struct gw_json_node gw_json_first(struct gw_json_node n) {
    bool container = cJSON_IsArray(n.v) || cJSON_IsObject(n.v);
    return (struct gw_json_node){.doc = n.doc, .v = container ? n.v->child : NULL};
}

struct gw_json_node gw_json_next(struct gw_json_node child) {
    return (struct gw_json_node){.doc = child.doc, .v = child.v->next};
}

const char *gw_json_key(struct gw_json_node member) {
    return member.v->string != NULL ? member.v->string : "";
}

size_t gw_json_size(struct gw_json_node n) {
    size_t count = 0;
    for (struct gw_json_node c = gw_json_first(n); c.v != NULL; c = gw_json_next(c)) count++;
    return count;
}

/* --- values --------------------------------------------------------------------------------- */

enum gwen_status gw_json_as_i64(struct gw_json_node n, int64_t min, int64_t max, int64_t *out,
                                struct gwen_err *err) {
    if (!cJSON_IsNumber(n.v)) return expected(n, "an integer", err);
    double v = n.v->valuedouble;
    if (v != floor(v) || !(fabs(v) < (double)GW_JSON_EXACT)) return expected(n, "an integer", err);
    if ((int64_t)v < min || (int64_t)v > max)
        return gw_json_fail(n, err, GWEN_ERR_FORMAT, "%.0f is outside %lld..%lld", v,
                            (long long)min, (long long)max);
    *out = (int64_t)v;
    return GWEN_OK;
}

enum gwen_status gw_json_as_double(struct gw_json_node n, double min, double max, double *out,
                                   struct gwen_err *err) {
    if (!cJSON_IsNumber(n.v)) return expected(n, "a number", err);
    double v = n.v->valuedouble;
    if (!(v >= min && v <= max))
        return gw_json_fail(n, err, GWEN_ERR_FORMAT, "%g is outside %g..%g", v, min, max);
    *out = v;
    return GWEN_OK;
}

enum gwen_status gw_json_as_bool(struct gw_json_node n, bool *out, struct gwen_err *err) {
    if (!cJSON_IsBool(n.v)) return expected(n, "true or false", err);
    *out = cJSON_IsTrue(n.v);
    return GWEN_OK;
}

enum gwen_status gw_json_as_string(struct gw_json_node n, const char **out, struct gwen_err *err) {
    if (!cJSON_IsString(n.v)) return expected(n, "a string", err);
    *out = n.v->valuestring;
    return GWEN_OK;
}

/* The member, or v == NULL when it is optional and absent or null. */
static enum gwen_status member(struct gw_json_node n, const char *key, enum gw_json_need need,
                               struct gw_json_node *out, struct gwen_err *err) {
    if (!cJSON_IsObject(n.v)) return expected(n, "an object", err);
    bool there = gw_json_find(n, key, out);
    if (there && !cJSON_IsNull(out->v)) return GWEN_OK;
    out->v = NULL;
    if (need == GW_JSON_OPTIONAL) return GWEN_OK;
    return node_fail(n, key, err, GWEN_ERR_FORMAT,
                     there ? "is null, but needed" : "is missing, but needed");
}

enum gwen_status gw_json_get_i64(struct gw_json_node n, const char *key, enum gw_json_need need,
                                 int64_t min, int64_t max, int64_t *out, struct gwen_err *err) {
    struct gw_json_node v;
    GW_TRY(member(n, key, need, &v, err));
    return v.v != NULL ? gw_json_as_i64(v, min, max, out, err) : GWEN_OK;
}

enum gwen_status gw_json_get_size(struct gw_json_node n, const char *key, enum gw_json_need need,
                                  size_t min, size_t max, size_t *out, struct gwen_err *err) {
    int64_t v = -1;
    int64_t hi = max < (size_t)GW_JSON_EXACT ? (int64_t)max : GW_JSON_EXACT;
    GW_TRY(gw_json_get_i64(n, key, need, (int64_t)min, hi, &v, err));
    if (v >= 0) *out = (size_t)v;
    return GWEN_OK;
}

enum gwen_status gw_json_get_double(struct gw_json_node n, const char *key, enum gw_json_need need,
                                    double min, double max, double *out, struct gwen_err *err) {
    struct gw_json_node v;
    GW_TRY(member(n, key, need, &v, err));
    return v.v != NULL ? gw_json_as_double(v, min, max, out, err) : GWEN_OK;
}

enum gwen_status gw_json_get_bool(struct gw_json_node n, const char *key, enum gw_json_need need,
                                  bool *out, struct gwen_err *err) {
    struct gw_json_node v;
    GW_TRY(member(n, key, need, &v, err));
    return v.v != NULL ? gw_json_as_bool(v, out, err) : GWEN_OK;
}

enum gwen_status gw_json_get_string(struct gw_json_node n, const char *key, enum gw_json_need need,
                                    const char **out, struct gwen_err *err) {
    struct gw_json_node v;
    GW_TRY(member(n, key, need, &v, err));
    return v.v != NULL ? gw_json_as_string(v, out, err) : GWEN_OK;
}

enum gwen_status gw_json_get_object(struct gw_json_node n, const char *key, enum gw_json_need need,
                                    struct gw_json_node *out, struct gwen_err *err) {
    GW_TRY(member(n, key, need, out, err));
    return out->v == NULL || cJSON_IsObject(out->v) ? GWEN_OK : expected(*out, "an object", err);
}

enum gwen_status gw_json_get_array(struct gw_json_node n, const char *key, enum gw_json_need need,
                                   struct gw_json_node *out, struct gwen_err *err) {
    GW_TRY(member(n, key, need, out, err));
    return out->v == NULL || cJSON_IsArray(out->v) ? GWEN_OK : expected(*out, "an array", err);
}

/* provenance.c - see provenance.h. */
#include "service/record/provenance.h"

#include "base/json.h"
#include "base/knob.h"
#include "base/rng.h"
#include "service/record/fingerprint.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A value that is still empty; the table has room for all that there are. */
static struct gw_str *add(struct gw_provenance *p, const char *name) {
    p->names[p->n] = name;
    return &p->values[p->n++];
}

void gw_provenance_add(struct gw_provenance *p, const char *name, const char *fmt, ...) {
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    gw_provenance_add_text(p, name, text);
}

void gw_provenance_add_text(struct gw_provenance *p, const char *name, const char *text) {
    gw_str_puts(add(p, name), text);
}

enum gwen_status gw_provenance_model(struct gw_provenance *p, const struct gw_model *model,
                                     struct gw_pool *pool, const char *numeric_class,
                                     const struct gw_tokenizer *tokenizer, struct gwen_err *err) {
    uint64_t hash;
    GW_TRY(gw_model_fingerprint(model, model->lora, pool, &hash, err));
    gw_provenance_add(p, "model", "%016" PRIx64, hash);
    gw_provenance_add(p, "dtype", "%s", gw_dtype_torch_name(model->dtype));
    gw_provenance_add(p, "numeric class", "%s", numeric_class);
    gw_provenance_add(p, "tokenizer", "%016" PRIx64, gw_tokenizer_fingerprint(tokenizer));
    return GWEN_OK;
}

void gw_provenance_sampling(struct gw_provenance *p, const struct gw_rollout_opts *o) {
    const struct gw_sampling *s = &o->sampling;
    gw_provenance_add(p, "seed", "%" PRIu64, o->seed);
    gw_provenance_add(p, "groups", "%zu", o->groups);
    gw_provenance_add(p, "sampling",
                      "temp %.17g, top-k %zu, top-p %.17g, min-p %.17g, repetition-penalty %.17g",
                      s->temperature, s->top_k, s->top_p, s->min_p, s->repetition_penalty);
    struct gw_str *eos = add(p, "eos ids"), *stops = add(p, "stop strings");
    gw_str_puts(eos, "");
    for (size_t i = 0; i < o->eos.n; i++)
        gw_str_printf(eos, "%s%" PRId32, i > 0 ? " " : "", o->eos.ids[i]);
    gw_str_putc(stops, '[');
    for (size_t i = 0; i < o->n_stops; i++) {
        if (i > 0) gw_str_putc(stops, ',');
        gw_str_put_json(stops, o->stops[i], strlen(o->stops[i]));
    }
    gw_str_putc(stops, ']');
}

uint64_t gw_provenance_hash(const struct gw_provenance *p) {
    uint64_t h = p->n;
    for (size_t i = 0; i < p->n; i++) {
        const uint64_t parts[] = {h, gw_hash64(p->names[i], strlen(p->names[i])),
                                  gw_hash64(p->values[i].data, p->values[i].len)};
        h = gw_hash64(parts, sizeof parts);
    }
    return h;
}

enum gwen_status gw_provenance_open(const struct gw_provenance *p, const char *path,
                                    enum gw_part_mode mode, size_t n_prompts, size_t groups,
                                    const struct gw_log *log, struct gw_rollout_file **out,
                                    struct gwen_err *err) {
    struct gw_part_field fields[GW_PROVENANCE_MAX];
    for (size_t i = 0; i < p->n; i++) {
        if (p->values[i].failed) return gw_nomem(err, p->values[i].len, "the first line");
        fields[i] = (struct gw_part_field){p->names[i], p->values[i].data};
    }
    return gw_rollout_file_open(path, mode, fields, p->n, n_prompts, groups, log, out, err);
}

void gw_provenance_put_json(const struct gw_provenance *p, struct gw_str *out) {
    gw_str_putc(out, '{');
    for (size_t i = 0; i < p->n; i++) {
        gw_str_printf(out, "%s\"%s\":", i > 0 ? "," : "", p->names[i]);
        gw_str_put_json(out, p->values[i].data, p->values[i].len);
        out->failed |= p->values[i].failed;
    }
    gw_str_putc(out, '}');
}

static enum gwen_status differs(const char *name, const char *now, const char *then,
                                struct gwen_err *err) {
    return gw_fail(err, GWEN_ERR_ARGUMENT,
                   "%s: %.120s, but when the run was begun: %.120s; %s needs the same", name, now,
                   then, gw_knob(GW_KNOB_RESUME));
}

static enum gwen_status compare(const struct gw_provenance *p, json_t *then, struct gwen_err *err) {
    const char *name;
    json_t *value;
    for (size_t i = 0; i < p->n; i++) {
        const struct gw_str *now = &p->values[i];
        if (now->failed) return gw_nomem(err, now->len, p->names[i]);
        value = json_object_get(then, p->names[i]);
        if (!json_is_string(value)) return differs(p->names[i], now->data, "none", err);
        if (json_string_length(value) != now->len ||
            memcmp(json_string_value(value), now->data, now->len) != 0)
            return differs(p->names[i], now->data, json_string_value(value), err);
        json_object_del(then, p->names[i]);
    }
    json_object_foreach(then, name, value) return differs(
        name, "none", json_is_string(value) ? json_string_value(value) : "?", err);
    return GWEN_OK;
}

enum gwen_status gw_provenance_same(const struct gw_provenance *p, const char *json, size_t len,
                                    struct gwen_err *err) {
    json_t *then;
    GW_TRY(gw_row_parse(json, len, "the checkpoint's origin", 1, &then, err));
    enum gwen_status status = compare(p, then, err);
    json_decref(then);
    return status;
}

void gw_provenance_free(struct gw_provenance *p) {
    for (size_t i = 0; i < p->n; i++) gw_str_free(&p->values[i]);
    *p = (struct gw_provenance){0};
}

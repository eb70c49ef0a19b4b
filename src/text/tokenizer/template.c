/* template.c - post-processors: which ids stand before and after those of a text.
 *
 * For one sequence every post-processor comes down to a list of ids around it; ByteLevel, which
 * only adjusts offsets, adds nothing. */
#include "text/tokenizer/impl.h"

#include <stdlib.h>
#include <string.h>

static const char *const type_names[] = {"TemplateProcessing", "ByteLevel", "RobertaProcessing",
                                         "BertProcessing", "Sequence"};
enum kind { TEMPLATE, BYTE_LEVEL, ROBERTA, BERT, SEQUENCE };

void gw_template_free(struct gw_template *t) {
    free(t->items);
    *t = (struct gw_template){0};
}

static enum gwen_status put(struct gw_template *t, int32_t item, struct gwen_err *err) {
    int32_t *items = realloc(t->items, (t->n + 1) * sizeof *items);
    if (items == NULL) return gw_nomem(err, (t->n + 1) * sizeof *items, "a post-processor");
    t->items = items;
    t->items[t->n++] = item;
    return GWEN_OK;
}

static enum gwen_status put_id(struct gw_template *t, struct gw_json_node id,
                               struct gwen_err *err) {
    int64_t v = 0;
    GW_TRY(gw_json_as_i64(id, 0, GW_TOKEN_MAX_ID, &v, err));
    return put(t, (int32_t)v, err);
}

/* The ids of special token `name`, from the template's own table. */
static enum gwen_status put_special(struct gw_template *t, struct gw_json_node config,
                                    const char *name, struct gwen_err *err) {
    struct gw_json_node table, token, ids;
    GW_TRY(gw_json_get_object(config, "special_tokens", GW_JSON_REQUIRED, &table, err));
    GW_TRY(gw_json_get_object(table, name, GW_JSON_REQUIRED, &token, err));
    GW_TRY(gw_json_get_array(token, "ids", GW_JSON_REQUIRED, &ids, err));
    for (struct gw_json_node id = gw_json_first(ids); id.v != NULL; id = gw_json_next(id))
        GW_TRY(put_id(t, id, err));
    return GWEN_OK;
}

static enum gwen_status load_template(struct gw_template *t, struct gw_json_node config,
                                      struct gwen_err *err) {
    struct gw_json_node list, piece;
    const char *id;
    char shown[GW_SHOWN];
    GW_TRY(gw_json_get_array(config, "single", GW_JSON_REQUIRED, &list, err));
    for (struct gw_json_node c = gw_json_first(list); c.v != NULL; c = gw_json_next(c)) {
        bool special = gw_json_find(c, "SpecialToken", &piece);
        if (!special && !gw_json_find(c, "Sequence", &piece))
            return gw_json_fail(c, err, GWEN_ERR_FORMAT, "expected SpecialToken or Sequence");
        GW_TRY(gw_json_get_string(piece, "id", GW_JSON_REQUIRED, &id, err));
        if (special)
            GW_TRY(put_special(t, config, id, err));
        else if (strcmp(id, "A") == 0)
            GW_TRY(put(t, -1, err));
        else
            return gw_json_fail(piece, err, GWEN_ERR_FORMAT,
                                "sequence %s in the template of a single one",
                                gw_shown(shown, id, strlen(id)));
    }
    return GWEN_OK;
}

/* "cls" or "sep": [token, id]. */
static enum gwen_status put_pair(struct gw_template *t, struct gw_json_node config, const char *key,
                                 struct gwen_err *err) {
    struct gw_json_node pair;
    GW_TRY(gw_json_get_array(config, key, GW_JSON_REQUIRED, &pair, err));
    if (gw_json_size(pair) != 2)
        return gw_json_fail(pair, err, GWEN_ERR_FORMAT, "expected a token and its id");
    return put_id(t, gw_json_next(gw_json_first(pair)), err);
}

static enum gwen_status add(struct gw_template *t, struct gw_json_node config,
                            struct gwen_err *err) {
    size_t type;
    struct gw_json_node list;
    GW_TRY(gw_type_load(config, type_names, GW_ARRAY_LEN(type_names), &type, err));
    if (type == BYTE_LEVEL) return GWEN_OK;
    if (type == SEQUENCE) {
        GW_TRY(gw_json_get_array(config, "processors", GW_JSON_REQUIRED, &list, err));
        for (struct gw_json_node c = gw_json_first(list); c.v != NULL; c = gw_json_next(c))
            GW_TRY(add(t, c, err));
        return GWEN_OK;
    }
    if (t->n > 0)
        return gw_json_fail(config, err, GWEN_ERR_UNSUPPORTED,
                            "more than one post-processor that adds tokens");
    if (type == TEMPLATE) return load_template(t, config, err);
    GW_TRY(put_pair(t, config, "cls", err));
    GW_TRY(put(t, -1, err));
    return put_pair(t, config, "sep", err);
}

enum gwen_status gw_template_load(struct gw_json_node config, struct gw_template *out,
                                  struct gwen_err *err) {
    enum gwen_status status = add(out, config, err);
    if (status == GWEN_OK && out->n == 0) status = put(out, -1, err);
    if (status != GWEN_OK) gw_template_free(out);
    return status;
}

/* config_file.c - --config FILE.json: an object whose members are options by name. */
#include "cli/cli.h"

#include "base/json.h"

#include <stdio.h>
#include <string.h>

enum { CONFIG_MAX_BYTES = 1 << 20 };

static const char *keep(struct gw_cli *cli, const char *text) {
    size_t bytes = strlen(text) + 1;
    return memcpy(gw_cli_alloc(cli, bytes), text, bytes);
}

/* A scalar as it would stand on the command line; NULL when it is none. */
static const char *as_text(struct gw_cli *cli, struct gw_json_node n) {
    struct gw_str s = {0};
    const char *text = NULL;
    if (gw_json_put_scalar(n, &s)) text = keep(cli, s.data != NULL ? s.data : "");
    gw_str_free(&s);
    return text;
}

static bool apply_scalar(struct gw_cli *cli, struct gw_json_node n, size_t slot,
                         const char *where) {
    const char *text = as_text(cli, n);
    if (text != NULL) return gw_option_set(cli, slot, where, text);
    gw_cli_usage(cli, "%s: expected a string, a number or a boolean", where);
    return false;
}

/* Lists: [1, 8] for options that may be repeated or hold several numbers. */
static bool apply_array(struct gw_cli *cli, struct gw_json_node n, size_t slot, const char *where) {
    const struct gw_option *o = gw_option_at(cli, slot);
    if (o->kind == GW_OPTION_WORDS) {
        for (struct gw_json_node c = gw_json_first(n); c.v != NULL; c = gw_json_next(c))
            if (!apply_scalar(cli, c, slot, where)) return false;
        return true;
    }
    struct gw_str list = {0};
    bool ok = o->kind == GW_OPTION_COUNTS || o->kind == GW_OPTION_TRAIN;
    for (struct gw_json_node c = gw_json_first(n); ok && c.v != NULL; c = gw_json_next(c)) {
        const char *text = as_text(cli, c);
        ok = text != NULL;
        if (ok) gw_str_printf(&list, "%s%s", list.len == 0 ? "" : ",", text);
    }
    ok = ok && !list.failed && list.len > 0;
    if (!ok) gw_cli_usage(cli, "%s: expected one value, not a list", where);
    if (ok) ok = gw_option_set(cli, slot, where, keep(cli, list.data));
    gw_str_free(&list);
    return ok;
}

static bool apply_member(struct gw_cli *cli, struct gw_json_node n) {
    const char *key = gw_json_key(n);
    char where[400];
    size_t slot;
    snprintf(where, sizeof where, "%.200s: %.100s", n.doc->file, key);
    const struct gw_option *o = gw_option_find(cli, key, strlen(key), &slot);
    if (o == NULL || o->value == &cli->help || o->value == &cli->config || o->value == &cli->sets) {
        gw_cli_usage(cli, "%s: there is no such option%s", where,
                     o != NULL ? "" : gw_foreign_hint(cli, key, strlen(key)));
        return false;
    }
    if (gw_json_is_null(n)) return true;
    return gw_json_is_array(n) ? apply_array(cli, n, slot, where)
                               : apply_scalar(cli, n, slot, where);
}

static bool is_yaml(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot != NULL && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

bool gw_config_file_apply(struct gw_cli *cli, const char *path, int *code) {
    if (is_yaml(path)) {
        *code = gw_cli_usage(cli,
                             "--config %s: options are read from JSON, not from YAML: "
                             "{\"NAME\": VALUE, ...}",
                             path);
        return false;
    }
    struct gw_json_doc doc = {0};
    struct gwen_err err;
    enum gwen_status status = gw_json_load(path, CONFIG_MAX_BYTES, &doc, &err);
    if (status == GWEN_OK && !gw_json_is_object(gw_json_root(&doc)))
        status = gw_fail(&err, GWEN_ERR_FORMAT, "%s: expected an object", path);
    if (status != GWEN_OK) {
        gw_json_free(&doc);
        *code = gw_cli_end(cli, status, &err);
        return false;
    }
    cli->source = GW_SOURCE_FILE;
    bool ok = true;
    for (struct gw_json_node n = gw_json_first(gw_json_root(&doc)); ok && n.v != NULL;
         n = gw_json_next(n))
        ok = apply_member(cli, n);
    gw_json_free(&doc);
    if (!ok) *code = GW_EXIT_USAGE;
    return ok;
}

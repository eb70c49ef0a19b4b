/* golden_chat.c - chat templates: every row of the files that chat/golden.json lists, to the last
 * byte. */
#include "golden.h"

#include "base/file.h"
#include "text/chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 256 << 20 };

struct chat {
    const char *dir;
    struct gw_json_doc manifest;
    struct golden_counts *counts;
};

/* A template of the manifest with its special tokens. */
struct template {
    const char *name;
    struct gw_chat *chat;
    struct gw_chat_env env;
};

static enum gwen_status read_text(const struct chat *c, const char *name, struct gw_str *out,
                                  struct gwen_err *err) {
    struct gw_str inside = {0};
    gw_str_printf(&inside, "chat/%s", name);
    char *path = golden_path(c->dir, inside.data);
    enum gwen_status status = gw_file_read(path, MOST_BYTES, out, err);
    free(path);
    gw_str_free(&inside);
    return status;
}

static enum gwen_status special_token(struct gw_json_node tokens, const char *key, const char **out,
                                      struct gwen_err *err) {
    return gw_json_get_string(tokens, key, GW_JSON_OPTIONAL, out, err);
}

static enum gwen_status special_tokens(const struct chat *c, struct template *t,
                                       struct gwen_err *err) {
    struct gw_json_node all, mine;
    GW_TRY(gw_json_get_object(gw_json_root(&c->manifest), "special_tokens", GW_JSON_OPTIONAL, &all,
                              err));
    if (all.v == NULL || !gw_json_find(all, t->name, &mine)) return GWEN_OK;
    GW_TRY(special_token(mine, "bos_token", &t->env.bos_token, err));
    GW_TRY(special_token(mine, "eos_token", &t->env.eos_token, err));
    GW_TRY(special_token(mine, "unk_token", &t->env.unk_token, err));
    GW_TRY(special_token(mine, "sep_token", &t->env.sep_token, err));
    GW_TRY(special_token(mine, "pad_token", &t->env.pad_token, err));
    GW_TRY(special_token(mine, "cls_token", &t->env.cls_token, err));
    return special_token(mine, "mask_token", &t->env.mask_token, err);
}

static enum gwen_status open_template(const struct chat *c, struct template *t,
                                      struct gwen_err *err) {
    struct gw_str file = {0}, source = {0};
    gw_str_printf(&file, "%s.jinja", t->name);
    enum gwen_status status = read_text(c, file.data, &source, err);
    if (status == GWEN_OK)
        status = gw_chat_parse(source.data != NULL ? source.data : "", source.len, file.data,
                               &t->chat, err);
    if (status == GWEN_OK) status = special_tokens(c, t, err);
    gw_str_free(&file);
    gw_str_free(&source);
    return status;
}

static const struct template *find_template(const struct template *templates, size_t n,
                                            const char *name) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(templates[i].name, name) == 0) return &templates[i];
    return NULL;
}

/* The request of a row: its messages and tools, and its kwargs. */
static json_t *request_of(const struct gw_row *row) {
    json_t *request = json_object(), *tools = json_object_get(row->obj, "tools");
    json_object_update(request, json_object_get(row->obj, "kwargs"));
    if (tools != NULL) json_object_set(request, "tools", tools);
    json_object_set(request, "messages", json_object_get(row->obj, "messages"));
    return request;
}

static enum gwen_status run_row(const struct chat *c, const struct template *templates, size_t n,
                                const struct gw_row *row, struct gwen_err *err) {
    const char *name, *wanted;
    size_t len;
    GW_TRY(gw_row_string(row, "template", GW_JSON_REQUIRED, &name, &len, err));
    GW_TRY(gw_row_string(row, "text", GW_JSON_REQUIRED, &wanted, &len, err));
    const struct template *t = find_template(templates, n, name);
    if (t == NULL) return gw_row_fail(row, err, "golden.json lists no template \"%s\"", name);
    json_t *request = request_of(row);
    struct gw_str text = {0};
    enum gwen_status status = gw_chat_render(t->chat, request, &t->env, &text, err);
    if (status == GWEN_OK)
        golden_case(c->counts, text.len == len && (len == 0 || memcmp(text.data, wanted, len) == 0),
                    "%s:%llu: %s gives\n%s\nbut wanted\n%s", row->file,
                    (unsigned long long)row->line, name, text.data != NULL ? text.data : "",
                    wanted);
    gw_str_free(&text);
    json_decref(request);
    return status;
}

static void run_file(const struct chat *c, const struct template *templates, size_t n,
                     const char *name) {
    struct gw_str text = {0};
    struct gwen_err err = {0};
    if (read_text(c, name, &text, &err) != GWEN_OK) {
        golden_error(c->counts, &err, "chat/%s", name);
        return;
    }
    uint64_t line = 1;
    for (size_t at = 0, end; at < text.len; at = end + 1, line++) {
        const char *newline = memchr(text.data + at, '\n', text.len - at);
        end = newline != NULL ? (size_t)(newline - text.data) : text.len;
        struct gw_row row = {.file = name, .line = line};
        enum gwen_status status =
            gw_row_parse(text.data + at, end - at, name, line, &row.obj, &err);
        if (status == GWEN_OK) status = run_row(c, templates, n, &row, &err);
        if (status != GWEN_OK)
            golden_error(c->counts, &err, "chat/%s:%llu", name, (unsigned long long)line);
        json_decref(row.obj);
    }
    gw_str_free(&text);
}

/* All templates, then all files; a template that cannot be used fails once. */
static void run_manifest(struct chat *c) {
    struct gw_json_node list, files;
    struct gwen_err err = {0};
    const struct gw_json_node root = gw_json_root(&c->manifest);
    if (gw_json_get_array(root, "templates", GW_JSON_REQUIRED, &list, &err) != GWEN_OK ||
        gw_json_get_object(root, "files", GW_JSON_REQUIRED, &files, &err) != GWEN_OK) {
        golden_error(c->counts, &err, "chat");
        return;
    }
    size_t n = 0;
    struct template *templates = calloc(gw_json_size(list) + 1, sizeof *templates);
    for (struct gw_json_node i = gw_json_first(list); templates != NULL && i.v != NULL;
         i = gw_json_next(i)) {
        struct template *t = &templates[n];
        t->env.now = (struct tm){.tm_year = 124, .tm_mon = 6, .tm_mday = 26};
        if (gw_json_as_string(i, &t->name, &err) == GWEN_OK && open_template(c, t, &err) == GWEN_OK)
            n++;
        else
            golden_error(c->counts, &err, "chat");
    }
    for (struct gw_json_node f = gw_json_first(files); templates != NULL && f.v != NULL;
         f = gw_json_next(f))
        run_file(c, templates, n, gw_json_key(f));
    for (size_t i = 0; i < n; i++) gw_chat_free(templates[i].chat);
    free(templates);
}

void golden_chat(const char *dir, struct golden_counts *counts) {
    struct chat c = {.dir = dir, .counts = counts};
    struct gwen_err err = {0};
    char *path = golden_path(dir, "chat/golden.json");
    if (gw_json_load(path, MOST_BYTES, &c.manifest, &err) == GWEN_OK)
        run_manifest(&c);
    else if (err.status != GWEN_ERR_IO || gw_file_exists(path))
        golden_error(counts, &err, "chat");
    gw_json_free(&c.manifest);
    free(path);
}

/* load.c - a tokenizer from its files. */
#include "text/tokenizer/json.h"

#include "base/file.h"

#include <stdlib.h>

/* Fills the tables by id once model and added tokens are complete. */
static enum gwen_status index_ids(struct gw_tokenizer *t, struct gwen_err *err) {
    GW_TRY(gw_added_finish(&t->added, err));
    t->n_ids = t->model.n_ids;
    for (size_t i = 0; i < t->added.n; i++)
        t->n_ids = GW_MAX(t->n_ids, (size_t)t->added.tokens[i].id + 1);
    t->special = calloc(t->n_ids + 1, sizeof *t->special);
    if (t->special == NULL) return gw_nomem(err, t->n_ids, "a vocabulary");
    for (size_t i = 0; i < t->added.n; i++) { /* special is who is written like a special token */
        const struct gw_added_token *a = &t->added.tokens[i];
        size_t len;
        const char *form = gw_added_form(&t->added, a, &len);
        const struct gw_string_entry *e = gw_string_map_find(&t->added.names, form, len);
        t->special[a->id] = e != NULL && t->added.special[e - t->added.names.entries];
    }
    return GWEN_OK;
}

static struct gw_tokenizer *new_tokenizer(void) {
    struct gw_tokenizer *t = calloc(1, sizeof *t);
    for (int i = 0; t != NULL && i < GW_N_NAMED_TOKENS; i++) t->named[i].id = -1;
    return t;
}

enum gwen_status gw_tokenizer_load_memory(const char *json, size_t len, const char *name,
                                          struct gw_tokenizer **out, struct gwen_err *err) {
    struct gw_tokenizer *t = new_tokenizer();
    *out = NULL;
    if (t == NULL) return gw_nomem(err, sizeof *t, "a tokenizer");
    enum gwen_status status = gw_tokenizer_read_json(json, len, name, t, err);
    if (status == GWEN_OK) status = index_ids(t, err);
    if (status == GWEN_OK)
        *out = t;
    else
        gw_tokenizer_free(t);
    return status;
}

/* The tokens themselves, from whichever layout `dir` has. */
static enum gwen_status read_tokens(const char *dir, struct gw_json_node config,
                                    struct gw_tokenizer *t, struct gwen_err *err) {
    struct gw_str path = {0}, text = {0};
    bool there = false;
    enum gwen_status status = gw_path_join(&path, dir, "tokenizer.json", err);
    if (status == GWEN_OK) status = gw_file_find(path.data, &there, err);
    if (status == GWEN_OK && there) {
        status = gw_file_read(path.data, GW_TOKENIZER_MAX_FILE, &text, err);
        if (status == GWEN_OK)
            status = gw_tokenizer_read_json(text.data != NULL ? text.data : "", text.len, path.data,
                                            t, err);
    } else if (status == GWEN_OK) {
        gw_str_clear(&path);
        status = gw_path_join(&path, dir, "vocab.json", err);
        if (status == GWEN_OK) status = gw_file_find(path.data, &there, err);
        if (status == GWEN_OK && !there)
            status = gw_fail(err, GWEN_ERR_IO,
                             "%s: no tokenizer.json here, nor vocab.json and merges.txt", dir);
        if (status == GWEN_OK) status = gw_tokenizer_read_files(dir, config, t, err);
    }
    gw_str_free(&path);
    gw_str_free(&text);
    return status;
}

enum gwen_status gw_tokenizer_load(const char *model_dir, struct gw_tokenizer **out,
                                   struct gwen_err *err) {
    struct gw_tokenizer *t = new_tokenizer();
    struct gw_json_doc doc = {0};
    struct gw_str path = {0};
    bool there = false;
    *out = NULL;
    enum gwen_status status = t != NULL ? GWEN_OK : gw_nomem(err, sizeof *t, "a tokenizer");
    if (status == GWEN_OK) status = gw_path_join(&path, model_dir, "tokenizer_config.json", err);
    if (status == GWEN_OK) status = gw_file_find(path.data, &there, err);
    if (status == GWEN_OK && there) status = gw_json_load(path.data, (size_t)64 << 20, &doc, err);
    struct gw_json_node config = gw_json_root(&doc);
    if (status == GWEN_OK) status = read_tokens(model_dir, config, t, err);
    if (status == GWEN_OK) status = index_ids(t, err);
    if (status == GWEN_OK) status = gw_tokenizer_read_config(model_dir, config, t, err);
    gw_json_free(&doc);
    gw_str_free(&path);
    if (status == GWEN_OK)
        *out = t;
    else
        gw_tokenizer_free(t);
    return status;
}

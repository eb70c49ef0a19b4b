/* config.c - what tokenizer_config.json and chat_template.jinja add to a tokenizer: named
 * special tokens, chat templates, and whether BOS and EOS surround a text. */
#include "text/tokenizer/json.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

enum { GW_MAX_TEMPLATE = 16 << 20 }; /* bytes of a chat template */

static const char *const named_keys[GW_N_NAMED_TOKENS] = {"bos_token", "eos_token", "pad_token",
                                                          "unk_token"};

enum gwen_status gw_tokenizer_read_named(struct gw_json_node config, const char *key,
                                         const char **content, struct gwen_err *err) {
    struct gw_json_node n;
    *content = NULL;
    if (!gw_json_has(config, key)) return GWEN_OK;
    gw_json_find(config, key, &n);
    if (gw_json_is_object(n))
        return gw_json_get_string(n, "content", GW_JSON_REQUIRED, content, err);
    return gw_json_as_string(n, content, err);
}

/* --- BOS and EOS ---------------------------------------------------------------------------- */

/* The items to put on one side: as the file says, or as the post-processor has them. */
static enum gwen_status put_side(struct gw_json_node config, const char *key,
                                 enum gw_named_token which, const struct gw_tokenizer *t,
                                 const int32_t *items, size_t n, struct gw_ids *out,
                                 struct gwen_err *err) {
    bool wanted = false;
    if (!gw_json_has(config, key))
        return gw_ids_put(out, items, n) ? GWEN_OK : gw_nomem(err, n * 4, "a post-processor");
    GW_TRY(gw_json_get_bool(config, key, GW_JSON_REQUIRED, &wanted, err));
    const struct gw_named *named = &t->named[which];
    char shown[GW_SHOWN];
    if (!wanted || named->text == NULL) return GWEN_OK;
    if (named->id < 0)
        return gw_json_fail(config, err, GWEN_ERR_FORMAT,
                            "%s is true, but %s is not in the vocabulary", key,
                            gw_shown(shown, named->text, strlen(named->text)));
    return gw_ids_put(out, &named->id, 1) ? GWEN_OK : gw_nomem(err, 4, "a post-processor");
}

/* add_bos_token and add_eos_token, where they are written, overrule the post-processor, as in
 * transformers. */
static enum gwen_status apply_bos_eos(struct gw_json_node config, struct gw_tokenizer *t,
                                      struct gwen_err *err) {
    if (!gw_json_has(config, "add_bos_token") && !gw_json_has(config, "add_eos_token"))
        return GWEN_OK;
    struct gw_ids out = {0};
    const int32_t self = -1;
    size_t before = 0;
    while (before < t->post.n && t->post.items[before] >= 0) before++;
    size_t after = before < t->post.n ? before + 1 : before;
    enum gwen_status status =
        put_side(config, "add_bos_token", GW_TOKEN_BOS, t, t->post.items, before, &out, err);
    if (status == GWEN_OK && !gw_ids_put(&out, &self, 1))
        status = gw_nomem(err, 4, "a post-processor");
    if (status == GWEN_OK)
        status = put_side(config, "add_eos_token", GW_TOKEN_EOS, t,
                          t->post.items != NULL ? t->post.items + after : NULL, t->post.n - after,
                          &out, err);
    if (status != GWEN_OK) {
        gw_ids_free(&out);
        return status;
    }
    gw_template_free(&t->post);
    t->post = (struct gw_template){out.data, out.len};
    return GWEN_OK;
}

/* --- chat templates ------------------------------------------------------------------------- */

static enum gwen_status put_template(struct gw_tokenizer *t, const char *name, const char *source,
                                     struct gwen_err *err) {
    struct gw_chat_template *templates =
        realloc(t->templates, (t->n_templates + 1) * sizeof *templates);
    if (templates == NULL) return gw_nomem(err, sizeof *templates, "a chat template");
    t->templates = templates;
    struct gw_chat_template *c = &t->templates[t->n_templates++];
    *c = (struct gw_chat_template){strdup(name), strdup(source)};
    if (c->name == NULL || c->source == NULL)
        return gw_nomem(err, strlen(source), "a chat template");
    return GWEN_OK;
}

/* A string, or a list of {"name", "template"}. */
static enum gwen_status read_templates(struct gw_json_node config, struct gw_tokenizer *t,
                                       struct gwen_err *err) {
    struct gw_json_node n;
    const char *name, *source;
    if (!gw_json_has(config, "chat_template")) return GWEN_OK;
    gw_json_find(config, "chat_template", &n);
    if (!gw_json_is_array(n)) {
        GW_TRY(gw_json_as_string(n, &source, err));
        return put_template(t, "default", source, err);
    }
    for (struct gw_json_node c = gw_json_first(n); c.v != NULL; c = gw_json_next(c)) {
        GW_TRY(gw_json_get_string(c, "name", GW_JSON_REQUIRED, &name, err));
        GW_TRY(gw_json_get_string(c, "template", GW_JSON_REQUIRED, &source, err));
        GW_TRY(put_template(t, name, source, err));
    }
    return GWEN_OK;
}

/* chat_template.jinja, which comes before what tokenizer_config.json says; *found if it is there.
 */
static enum gwen_status read_template_file(const char *dir, struct gw_tokenizer *t, bool *found,
                                           struct gwen_err *err) {
    struct gw_str path = {0}, text = {0};
    enum gwen_status status = gw_path_join(&path, dir, "chat_template.jinja", err);
    *found = false;
    if (status == GWEN_OK) status = gw_file_find(path.data, found, err);
    if (*found) status = gw_file_read(path.data, GW_MAX_TEMPLATE, &text, err);
    if (status == GWEN_OK && *found) {
        gw_str_putc(&text, 0); /* an empty file has no data yet */
        if (text.failed)
            status = gw_nomem(err, text.len, "a chat template");
        else if (strlen(text.data) + 1 != text.len || !gw_utf8_is_valid(text.data, text.len))
            status = gw_fail(err, GWEN_ERR_FORMAT, "%s: not a text in UTF-8", path.data);
        else
            status = put_template(t, "default", text.data, err);
    }
    gw_str_free(&path);
    gw_str_free(&text);
    return status;
}

/* --- the whole ------------------------------------------------------------------------------ */

enum gwen_status gw_tokenizer_read_config(const char *dir, struct gw_json_node config,
                                          struct gw_tokenizer *t, struct gwen_err *err) {
    bool found = false;
    GW_TRY(read_template_file(dir, t, &found, err));
    if (config.v == NULL) return GWEN_OK;
    for (int i = 0; i < GW_N_NAMED_TOKENS; i++) {
        const char *content;
        GW_TRY(gw_tokenizer_read_named(config, named_keys[i], &content, err));
        if (content == NULL) continue;
        t->named[i].text = strdup(content);
        if (t->named[i].text == NULL) return gw_nomem(err, strlen(content), named_keys[i]);
        t->named[i].id = gw_tokenizer_id_of_token(t, content, strlen(content));
    }
    if (!found) GW_TRY(read_templates(config, t, err));
    return apply_bos_eos(config, t, err);
}

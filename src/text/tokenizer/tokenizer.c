/* tokenizer.c - the tokenizer as a whole: loading, the way through the stages, the vocabulary. */
#include "text/tokenizer/json.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

/* --- loading -------------------------------------------------------------------------------- */

void gw_tokenizer_free(struct gw_tokenizer *t) {
    if (t == NULL) return;
    gw_normalizer_free(t->normalizer);
    gw_pretokenizer_free(t->pretokenizer);
    gw_bpe_free(&t->model);
    gw_added_free(&t->added);
    gw_template_free(&t->post);
    gw_decoder_free(t->decoder);
    free(t->special);
    for (int i = 0; i < GW_N_NAMED_TOKENS; i++) free(t->named[i].text);
    for (size_t i = 0; i < t->n_templates; i++) {
        free(t->templates[i].name);
        free(t->templates[i].source);
    }
    free(t->templates);
    free(t);
}

enum gwen_status gw_tokenizer_index(struct gw_tokenizer *t, struct gwen_err *err) {
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
    if (status == GWEN_OK) status = gw_tokenizer_index(t, err);
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
    enum gwen_status status = gw_path_join(&path, dir, "tokenizer.json", err);
    if (status == GWEN_OK && gw_file_exists(path.data)) {
        status = gw_file_read(path.data, GW_TOKENIZER_MAX_FILE, &text, err);
        if (status == GWEN_OK)
            status = gw_tokenizer_read_json(text.data != NULL ? text.data : "", text.len, path.data,
                                            t, err);
    } else if (status == GWEN_OK) {
        gw_str_clear(&path);
        status = gw_path_join(&path, dir, "vocab.json", err);
        if (status == GWEN_OK && !gw_file_exists(path.data))
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
    *out = NULL;
    enum gwen_status status = t != NULL ? GWEN_OK : gw_nomem(err, sizeof *t, "a tokenizer");
    if (status == GWEN_OK) status = gw_path_join(&path, model_dir, "tokenizer_config.json", err);
    if (status == GWEN_OK && gw_file_exists(path.data))
        status = gw_json_load(path.data, (size_t)64 << 20, &doc, err);
    struct gw_json_node config = gw_json_root(&doc);
    if (status == GWEN_OK) status = read_tokens(model_dir, config, t, err);
    if (status == GWEN_OK) status = gw_tokenizer_index(t, err);
    if (status == GWEN_OK) status = gw_tokenizer_read_config(model_dir, config, t, err);
    gw_json_free(&doc);
    gw_str_free(&path);
    if (status == GWEN_OK)
        *out = t;
    else
        gw_tokenizer_free(t);
    return status;
}

/* --- encoding ------------------------------------------------------------------------------- */

static enum gwen_status check_text(const char *text, size_t len, struct gwen_err *err) {
    if (len > INT32_MAX / 2)
        return gw_fail(err, GWEN_ERR_ARGUMENT, "a text of %zu bytes; the tokenizer takes up to %d",
                       len, INT32_MAX / 2);
    for (size_t i = 0; i < len;) {
        uint32_t c;
        bool valid;
        size_t n = gw_utf8_next(text + i, len - i, &c, &valid);
        if (!valid) return gw_fail(err, GWEN_ERR_ARGUMENT, "the text is not UTF-8 at byte %zu", i);
        i += n;
    }
    return GWEN_OK;
}

static void free_work(struct gw_tok_work *w) {
    gw_str_free(&w->now.text);
    gw_str_free(&w->next.text);
    free(w->now.v);
    free(w->next.v);
    free(w->spans.v);
    gw_str_free(&w->scratch[0]);
    gw_str_free(&w->scratch[1]);
    gw_regex_run_free(w->regex);
    gw_bpe_work_free(w->bpe);
}

static enum gwen_status encode(const struct gw_tokenizer *t, const char *text, size_t len,
                               bool no_special, struct gw_ids *out, struct gwen_err *err) {
    struct gw_tok_work w = {.err = err};
    enum gwen_status status = gw_regex_run_new(&w.regex, err);
    if (status == GWEN_OK)
        status = gw_added_extract(&t->added, t->normalizer, text, len, no_special, &w);
    if (status == GWEN_OK) status = gw_pretokenize(t->pretokenizer, &w);
    if (status == GWEN_OK) status = gw_bpe_encode(&t->model, &w, out);
    free_work(&w);
    return status;
}

enum gwen_status gw_tokenizer_encode(const struct gw_tokenizer *t, const char *text, size_t len,
                                     unsigned flags, struct gw_ids *out, struct gwen_err *err) {
    static const int32_t self = -1;
    GW_TRY(check_text(text, len, err));
    bool add_special = (flags & GW_ENCODE_ADD_SPECIAL) != 0;
    bool no_special = (flags & GW_ENCODE_NO_SPECIAL_PARSE) != 0;
    const int32_t *items = t->post.n > 0 ? t->post.items : &self;
    size_t n = t->post.n > 0 ? t->post.n : 1, start = SIZE_MAX, end = 0;
    for (size_t i = 0; i < n; i++) {
        bool ok = true;
        if (items[i] >= 0) {
            ok = !add_special || gw_ids_put(out, &items[i], 1);
        } else if (start == SIZE_MAX) {
            start = out->len;
            GW_TRY(encode(t, text, len, no_special, out, err));
            end = out->len;
        } else { /* a template that repeats the text */
            for (size_t k = start; k < end && ok; k++) {
                int32_t id = out->data[k];
                ok = gw_ids_put(out, &id, 1);
            }
        }
        if (!ok) return gw_nomem(err, out->len * sizeof *out->data, "ids");
    }
    return GWEN_OK;
}

/* --- the vocabulary ------------------------------------------------------------------------- */

static const char *model_token(const struct gw_tokenizer *t, int32_t id, size_t *len) {
    if (id < 0 || (size_t)id >= t->model.n_ids || t->model.entry_of_id[id] == GW_NO_ID) return NULL;
    const struct gw_string_entry *e = &t->model.vocab.entries[t->model.entry_of_id[id]];
    *len = e->len;
    return t->model.vocab.bytes.data + e->start;
}

const char *gw_token_for_decoding(const struct gw_tokenizer *t, int32_t id, size_t *len) {
    const struct gw_added_token *a = gw_added_of_id(&t->added, id);
    return a != NULL ? gw_added_form(&t->added, a, len) : model_token(t, id, len);
}

const char *gw_tokenizer_token(const struct gw_tokenizer *t, int32_t id, size_t *len) {
    const struct gw_added_token *a = gw_added_of_id(&t->added, id);
    if (a == NULL) return model_token(t, id, len);
    const struct gw_string_entry *e = &t->added.names.entries[a->content];
    *len = e->len;
    return t->added.names.bytes.data + e->start;
}

size_t gw_tokenizer_size(const struct gw_tokenizer *t) { return t->n_ids; }

int32_t gw_tokenizer_id_of_token(const struct gw_tokenizer *t, const char *content, size_t len) {
    const struct gw_string_entry *e = gw_string_map_find(&t->added.names, content, len);
    if (e != NULL) return (int32_t)e->value;
    uint32_t id = gw_string_map_get(&t->model.vocab, content, len);
    return id != GW_NO_ID ? (int32_t)id : -1;
}

bool gw_tokenizer_is_special(const struct gw_tokenizer *t, int32_t id) {
    return id >= 0 && (size_t)id < t->n_ids && t->special[id];
}

const char *gw_tokenizer_named(const struct gw_tokenizer *t, enum gw_named_token which,
                               int32_t *id) {
    if (id != NULL) *id = t->named[which].id;
    return t->named[which].text;
}

const char *gw_tokenizer_chat_template(const struct gw_tokenizer *t, const char *name) {
    if (name == NULL) name = "default";
    for (size_t i = 0; i < t->n_templates; i++)
        if (strcmp(t->templates[i].name, name) == 0) return t->templates[i].source;
    return NULL;
}

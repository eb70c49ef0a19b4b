/* tokens.c - what a loaded tokenizer tells of its tokens and templates. */
#include "text/tokenizer/impl.h"

#include <string.h>

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

/* tokenizer.c - the tokenizer as a whole: the way of a text through the stages, and its end. */
#include "text/tokenizer/impl.h"

#include <stdlib.h>

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

void gw_tok_work_free(struct gw_tok_work *w) {
    gw_str_free(&w->now.text);
    gw_str_free(&w->next.text);
    free(w->now.v);
    free(w->next.v);
    free(w->parts.v);
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
    gw_tok_work_free(&w);
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

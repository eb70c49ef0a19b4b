/* check.c - do the tensors of a file fit a configuration? */
#include "checkpoint/safetensors/impl.h"

#include <stdlib.h>
#include <string.h>

static bool ends_with(const char *s, const char *tail) {
    size_t n = strlen(s), m = strlen(tail);
    return n >= m && strcmp(s + n - m, tail) == 0;
}

/* The tensor must be there, in shape, and in a dtype that weights may have. */
static enum gwen_status check_expected(const struct gw_safetensors *st, const struct gw_config *c,
                                       const struct gw_tensor_spec *spec, struct gwen_err *err) {
    const struct gw_st_ref *ref = gw_st_resolve(st, spec->name);
    const struct gw_tensor *t;
    if (ref == NULL && spec->kind == GW_TENSOR_LM_HEAD)
        return gw_fail(err, GWEN_ERR_FORMAT,
                       "%s: tensor %s is missing, and tie_word_embeddings is false", st->path,
                       spec->name);
    if (ref != NULL && spec->kind == GW_TENSOR_EMBED && !c->tie_word_embeddings &&
        strcmp(ref->tensor->name, "lm_head.weight") == 0)
        return gw_fail(err, GWEN_ERR_FORMAT,
                       "%s: tensor %s is missing, and tie_word_embeddings is false", st->path,
                       spec->name);
    GW_TRY(gw_safetensors_get(st, spec->name, GW_DTYPE_NONE, spec->rank, spec->shape, &t, err));
    if (gw_dtype_is_weight(t->dtype)) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_UNSUPPORTED,
                   "%s: tensor %s has dtype %s; weights of a %s must be F32, F16 or BF16",
                   ref->file->name, spec->name, gw_dtype_name(t->dtype), gw_arch_name(c->arch));
}

static enum gwen_status check_tied_head(const struct gw_safetensors *st,
                                        const struct gw_st_ref *head, struct gwen_err *err) {
    const struct gw_tensor *a = head->tensor;
    const struct gw_tensor *b = gw_safetensors_find(st, "model.embed_tokens.weight");
    if (a->dtype == b->dtype && a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0)
        return GWEN_OK;
    return gw_fail(err, GWEN_ERR_UNSUPPORTED,
                   "%s: lm_head.weight differs from model.embed_tokens.weight, but "
                   "tie_word_embeddings is true",
                   head->file->name);
}

/* A tensor that the configuration does not ask for. */
static enum gwen_status check_extra(const struct gw_safetensors *st, const struct gw_config *c,
                                    const struct gw_st_ref *ref, struct gwen_err *err) {
    const char *name = ref->tensor->name;
    /* old checkpoints saved this buffer; it is computed from the configuration */
    if (ends_with(name, "rotary_emb.inv_freq")) return GWEN_OK;
    if (c->tie_word_embeddings && strcmp(name, "lm_head.weight") == 0)
        return check_tied_head(st, ref, err);
    return gw_fail(err, GWEN_ERR_UNSUPPORTED,
                   "%s: tensor \"%s\" is not part of a %s with this config.json", ref->file->name,
                   gw_st_show(name).text, gw_arch_name(c->arch));
}

enum gwen_status gw_safetensors_check(const struct gw_safetensors *st, const struct gw_config *c,
                                      struct gwen_err *err) {
    bool *expected = calloc(st->n_tensors > 0 ? st->n_tensors : 1, sizeof *expected);
    if (expected == NULL) return gw_nomem(err, st->n_tensors, st->path);
    enum gwen_status status = GWEN_OK;
    size_t n = gw_config_n_tensors(c);
    for (size_t i = 0; i < n && status == GWEN_OK; i++) {
        struct gw_tensor_spec spec;
        gw_config_tensor_at(c, i, &spec);
        status = check_expected(st, c, &spec, err);
        if (status == GWEN_OK) expected[gw_st_resolve(st, spec.name) - st->by_name] = true;
    }
    for (size_t i = 0; i < st->n_tensors && status == GWEN_OK; i++)
        if (!expected[i]) status = check_extra(st, c, &st->by_name[i], err);
    free(expected);
    return status;
}

enum gw_dtype gw_safetensors_dtype(const struct gw_safetensors *st) {
    const struct gw_tensor *t = gw_safetensors_find(st, "model.embed_tokens.weight");
    return t != NULL ? t->dtype : GW_DTYPE_NONE;
}

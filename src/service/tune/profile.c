/* profile.c - see profile.h. */
#include "service/tune/profile.h"

#include "base/json.h"
#include "base/rng.h"

#include <inttypes.h>
#include <string.h>

enum { MOST_THREADS = 1024, MOST_PREFILL = 4096, MOST_ROWS = 1 << 16, MOST_TOKENS = 1 << 24 };

/* --- the key -------------------------------------------------------------------------------- */

void gw_tune_key(const struct gw_hw *hw, const struct gwen_kernels *kern, const struct gw_config *c,
                 enum gw_dtype dtype, size_t threads_asked, struct gw_str *key) {
    struct gw_str pus = {0};
    for (int i = 0; i < hw->n_pus; i++)
        gw_str_printf(&pus, "%u:%d:%d,", hw->pus[i].os_index, hw->pus[i].core, hw->pus[i].node);
    gw_str_clear(key);
    gw_str_printf(key, "gwen-cpu %s; %s, %s, %d cores, %d threads, mask %016" PRIx64 ", quota %.2f",
                  gwen_version(), hw->cpu_model, gwen_isa_name(kern->isa), hw->n_cores, hw->n_pus,
                  gw_hash64(pus.data != NULL ? pus.data : "", pus.len), hw->cpu_quota);
    gw_str_printf(key,
                  "; --threads %zu; %s, %s, layers %zu, hidden %zu, heads %zu/%zu x %zu, ffn %zu, "
                  "vocabulary %zu%s%s",
                  threads_asked, gw_arch_name(c->arch), gw_dtype_torch_name(dtype), c->n_layers,
                  c->hidden, c->n_heads, c->n_kv_heads, c->head_dim, c->ffn, c->vocab_size,
                  c->tie_word_embeddings ? ", tied" : "", c->qk_norm ? ", q and k norms" : "");
    key->failed |= pus.failed;
    gw_str_free(&pus);
}

void gw_tune_profile_name(const struct gw_config *c, enum gw_dtype dtype, const char *key,
                          struct gw_str *name) {
    gw_str_clear(name);
    gw_str_printf(name, "%s-%zux%zu-%s-%016" PRIx64 ".json", gw_arch_name(c->arch), c->n_layers,
                  c->hidden, gw_dtype_torch_name(dtype), gw_hash64(key, strlen(key)));
}

/* --- writing -------------------------------------------------------------------------------- */

static void put_curve(const struct gw_speed_curve *c, struct gw_str *s) {
    gw_str_printf(s,
                  "{\"prompt_tokens\": %zu, \"groups\": %zu, \"near_tokens\": %zu, "
                  "\"far_tokens\": %zu, \"prefill_s\": %.9g,\n    \"points\": [",
                  c->prompt_tokens, c->groups, c->near_tokens, c->far_tokens, c->prefill_s);
    for (size_t i = 0; i < c->n_points; i++)
        gw_str_printf(s, "%s[%zu, %.9g, %.9g, %.4g]", i > 0 ? ",\n      " : "", c->points[i].batch,
                      c->points[i].near_s, c->points[i].far_s, c->points[i].noise);
    gw_str_puts(s, "]}");
}

void gw_tune_profile_put(const struct gw_tune_profile *p, const char *key, struct gw_str *s) {
    gw_str_puts(s, "{\n  \"key\": ");
    gw_str_put_json(s, key, strlen(key));
    gw_str_printf(s,
                  ",\n  \"threads\": %zu,\n  \"prefill_rows\": %zu,\n"
                  "  \"train_micro_batch\": %zu",
                  p->threads, p->prefill_rows, p->train_micro_batch);
    gw_str_printf(s, ",\n  \"flops_s\": %.9g,\n  \"bytes_s\": %.9g,\n  \"linear\": [", p->flops_s,
                  p->bytes_s);
    for (size_t i = 0; i < GW_LINEAR_RANGES; i++) {
        const struct gw_linear_cut *c = &p->linear.ranges[i];
        gw_str_printf(s, "%s[%u, %u, %u]", i > 0 ? ", " : "", c->panels, c->block_bytes,
                      c->ahead_bytes);
    }
    gw_str_puts(s, "],\n  \"curve\": ");
    if (p->has_curve)
        put_curve(&p->curve, s);
    else
        gw_str_puts(s, "null");
    gw_str_printf(s,
                  ",\n  \"work\": {\"prompts\": %zu, \"prompt_tokens\": %zu, \"max_tokens\": %zu, "
                  "\"groups\": %zu,\n    \"budget_bytes\": %" PRIu64
                  ", \"rollout_batch_size\": %zu, \"tok_s\": %.9g}\n}\n",
                  p->n_prompts, p->prompt_tokens, p->max_tokens, p->groups, p->budget_bytes,
                  p->rollout_batch, p->tok_s);
}

/* --- reading -------------------------------------------------------------------------------- */

static enum gwen_status parse_cut(struct gw_json_node n, struct gw_linear_cut *cut,
                                  struct gwen_err *err) {
    int64_t v[3];
    struct gw_json_node item = gw_json_first(n);
    if (!gw_json_is_array(n) || gw_json_size(n) != 3)
        return gw_json_fail(n, err, GWEN_ERR_FORMAT, "expected three numbers");
    for (size_t i = 0; i < 3; i++, item = gw_json_next(item))
        GW_TRY(gw_json_as_i64(item, i == 0 ? 0 : GW_LINEAR_MIN_BYTES,
                              i == 0 ? GWEN_TILE_PANELS : GW_LINEAR_MAX_BYTES, &v[i], err));
    *cut = (struct gw_linear_cut){(uint32_t)v[0], (uint32_t)v[1], (uint32_t)v[2]};
    return GWEN_OK;
}

static enum gwen_status parse_linear(struct gw_json_node root, struct gw_linear_tuning *t,
                                     struct gwen_err *err) {
    struct gw_json_node list;
    GW_TRY(gw_json_get_array(root, "linear", GW_JSON_REQUIRED, &list, err));
    if (gw_json_size(list) != GW_LINEAR_RANGES)
        return gw_json_fail(list, err, GWEN_ERR_FORMAT, "expected %d ranges", GW_LINEAR_RANGES);
    struct gw_json_node n = gw_json_first(list);
    for (size_t i = 0; i < GW_LINEAR_RANGES; i++, n = gw_json_next(n))
        GW_TRY(parse_cut(n, &t->ranges[i], err));
    return GWEN_OK;
}

static enum gwen_status parse_point(struct gw_json_node n, struct gw_speed_point *p,
                                    struct gwen_err *err) {
    double *const reals[] = {&p->near_s, &p->far_s, &p->noise};
    struct gw_json_node item = gw_json_first(n);
    int64_t batch;
    if (!gw_json_is_array(n) || gw_json_size(n) != 4)
        return gw_json_fail(n, err, GWEN_ERR_FORMAT, "expected four numbers");
    GW_TRY(gw_json_as_i64(item, 1, MOST_ROWS, &batch, err));
    p->batch = (size_t)batch;
    for (size_t i = 0; i < GW_ARRAY_LEN(reals); i++) {
        item = gw_json_next(item);
        GW_TRY(gw_json_as_double(item, i < 2 ? 1e-9 : 0, i < 2 ? 1e6 : 1, reals[i], err));
    }
    return GWEN_OK;
}

static enum gwen_status parse_points(struct gw_json_node list, struct gw_speed_curve *c,
                                     struct gwen_err *err) {
    if (gw_json_size(list) < 2 || gw_json_size(list) > GW_SPEED_POINTS)
        return gw_json_fail(list, err, GWEN_ERR_FORMAT, "expected 2 to %d points", GW_SPEED_POINTS);
    c->n_points = 0;
    for (struct gw_json_node n = gw_json_first(list); n.v != NULL; n = gw_json_next(n)) {
        struct gw_speed_point *p = &c->points[c->n_points++];
        GW_TRY(parse_point(n, p, err));
        if (p > c->points && p->batch <= p[-1].batch)
            return gw_json_fail(n, err, GWEN_ERR_FORMAT, "batch sizes do not ascend");
    }
    return GWEN_OK;
}

static enum gwen_status parse_curve(struct gw_json_node root, struct gw_tune_profile *p,
                                    struct gwen_err *err) {
    struct gw_speed_curve *c = &p->curve;
    struct gw_json_node n, list;
    GW_TRY(gw_json_get_object(root, "curve", GW_JSON_OPTIONAL, &n, err));
    p->has_curve = n.v != NULL;
    if (!p->has_curve) return GWEN_OK;
    GW_TRY(gw_json_get_size(n, "prompt_tokens", GW_JSON_REQUIRED, 1, MOST_TOKENS, &c->prompt_tokens,
                            err));
    GW_TRY(gw_json_get_size(n, "groups", GW_JSON_REQUIRED, 1, MOST_TOKENS, &c->groups, err));
    GW_TRY(
        gw_json_get_size(n, "near_tokens", GW_JSON_REQUIRED, 1, MOST_TOKENS, &c->near_tokens, err));
    GW_TRY(gw_json_get_size(n, "far_tokens", GW_JSON_REQUIRED, c->near_tokens + 1, MOST_TOKENS + 1,
                            &c->far_tokens, err));
    GW_TRY(gw_json_get_double(n, "prefill_s", GW_JSON_REQUIRED, 0, 1e6, &c->prefill_s, err));
    GW_TRY(gw_json_get_array(n, "points", GW_JSON_REQUIRED, &list, err));
    return parse_points(list, c, err);
}

static enum gwen_status parse_work(struct gw_json_node root, struct gw_tune_profile *p,
                                   struct gwen_err *err) {
    struct gw_json_node n;
    int64_t budget;
    GW_TRY(gw_json_get_object(root, "work", GW_JSON_REQUIRED, &n, err));
    const struct {
        const char *name;
        size_t *value;
    } sizes[] = {{"prompts", &p->n_prompts},
                 {"prompt_tokens", &p->prompt_tokens},
                 {"max_tokens", &p->max_tokens},
                 {"groups", &p->groups},
                 {"rollout_batch_size", &p->rollout_batch}};
    for (size_t i = 0; i < GW_ARRAY_LEN(sizes); i++)
        GW_TRY(gw_json_get_size(n, sizes[i].name, GW_JSON_REQUIRED, 1, MOST_TOKENS, sizes[i].value,
                                err));
    GW_TRY(gw_json_get_i64(n, "budget_bytes", GW_JSON_REQUIRED, 0, INT64_C(1) << 52, &budget, err));
    p->budget_bytes = (uint64_t)budget;
    return gw_json_get_double(n, "tok_s", GW_JSON_REQUIRED, 0, 1e12, &p->tok_s, err);
}

static enum gwen_status parse(struct gw_json_node root, const char *wanted,
                              struct gw_tune_profile *p, struct gwen_err *err) {
    const char *key;
    if (!gw_json_is_object(root))
        return gw_json_fail(root, err, GWEN_ERR_FORMAT, "expected an object");
    GW_TRY(gw_json_get_string(root, "key", GW_JSON_REQUIRED, &key, err));
    if (strcmp(key, wanted) != 0)
        return gw_json_fail(root, err, GWEN_ERR_FORMAT, "is of another machine, model or version");
    GW_TRY(gw_json_get_size(root, "threads", GW_JSON_REQUIRED, 1, MOST_THREADS, &p->threads, err));
    GW_TRY(gw_json_get_size(root, "prefill_rows", GW_JSON_REQUIRED, 1, MOST_PREFILL,
                            &p->prefill_rows, err));
    GW_TRY(gw_json_get_size(root, "train_micro_batch", GW_JSON_OPTIONAL, 0, MOST_ROWS,
                            &p->train_micro_batch, err));
    GW_TRY(gw_json_get_double(root, "flops_s", GW_JSON_REQUIRED, 0, 1e18, &p->flops_s, err));
    GW_TRY(gw_json_get_double(root, "bytes_s", GW_JSON_REQUIRED, 0, 1e18, &p->bytes_s, err));
    GW_TRY(parse_linear(root, &p->linear, err));
    GW_TRY(parse_curve(root, p, err));
    return parse_work(root, p, err);
}

enum gwen_status gw_tune_profile_parse(const char *text, size_t len, const char *file,
                                       const char *key, struct gw_tune_profile *p,
                                       struct gwen_err *err) {
    struct gw_json_doc doc;
    *p = (struct gw_tune_profile){0};
    GW_TRY(gw_json_parse(text, len, file, &doc, err));
    enum gwen_status status = parse(gw_json_root(&doc), key, p, err);
    gw_json_free(&doc);
    return status;
}

/* golden_stories.c - a small trained model: greedy stories to the last token and letter, and the
 * likelihood of a text. */
#include "golden_model.h"

#include "base/file.h"
#include "text/tokenizer/tokenizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stories {
    const char *dir; /* the golden folder */
    struct golden_model model;
    struct gw_tokenizer *tokenizer;
    struct gw_safetensors *golden;
    struct gw_json_doc manifest;
    struct golden_counts *counts;
};

/* Element i of the manifest's list `key`, or the member itself when it is a string. */
static enum gwen_status manifest_text(const struct stories *s, const char *key, size_t i,
                                      const char **text, struct gwen_err *err) {
    struct gw_json_node n, list;
    if (!gw_json_find(gw_json_root(&s->manifest), key, &list))
        return gw_fail(err, GWEN_ERR_FORMAT, "golden.json has no %s", key);
    if (gw_json_is_string(list)) return gw_json_as_string(list, text, err);
    for (n = gw_json_first(list); n.v != NULL && i > 0; i--) n = gw_json_next(n);
    if (n.v == NULL) return gw_fail(err, GWEN_ERR_FORMAT, "golden.json: %s is too short", key);
    return gw_json_as_string(n, text, err);
}

static enum gwen_status check_text(struct stories *s, const char *what, const int32_t *ids,
                                   size_t n, const char *wanted, struct gwen_err *err) {
    struct gw_str text = {0};
    enum gwen_status status = gw_tokenizer_decode(s->tokenizer, ids, n, true, &text, err);
    if (status == GWEN_OK)
        golden_case(
            s->counts, text.len == strlen(wanted) && memcmp(text.data, wanted, text.len) == 0,
            "stories: %s: the text is \"%.60s...\"", what, text.data != NULL ? text.data : "");
    gw_str_free(&text);
    return status;
}

/* --- greedy stories ------------------------------------------------------------------------- */

/* The continuation of the ids in front is `wanted`, where no margin is known: all of it. */
static enum gwen_status check_story(struct stories *s, const char *what, const int32_t *prompt,
                                    size_t n_prompt, const int32_t *wanted, const float *margin,
                                    size_t n_new, const char *text, struct gwen_err *err) {
    int32_t *ids = calloc(n_new, sizeof *ids);
    float *logprobs = calloc(n_new, sizeof *logprobs), *wide = calloc(n_new, sizeof *wide);
    if (ids == NULL || logprobs == NULL || wide == NULL) {
        free(ids);
        free(logprobs);
        free(wide);
        return gw_nomem(err, n_new * sizeof *ids, "a story");
    }
    for (size_t i = 0; i < n_new; i++) wide[i] = 1;
    enum gwen_status status =
        golden_greedy(&s->model, &prompt, &n_prompt, 1, n_new, ids, logprobs, err);
    if (status == GWEN_OK) {
        size_t at = golden_first_difference(ids, wanted, margin != NULL ? margin : wide, n_new);
        golden_case(s->counts, at == n_new, "stories: %s differs at token %zu", what, at);
        status = check_text(s, what, ids, n_new, text, err);
    }
    free(ids);
    free(logprobs);
    free(wide);
    return status;
}

static enum gwen_status check_prompt(struct stories *s, size_t i, const int32_t *ids, size_t n,
                                     struct gwen_err *err) {
    const char *text;
    struct gw_ids encoded = {0};
    GW_TRY(manifest_text(s, "prompts", i, &text, err));
    enum gwen_status status =
        gw_tokenizer_encode(s->tokenizer, text, strlen(text), GW_ENCODE_ADD_SPECIAL, &encoded, err);
    if (status == GWEN_OK)
        golden_case(s->counts, encoded.len == n && memcmp(encoded.data, ids, n * sizeof *ids) == 0,
                    "stories: ids of prompt %zu", i);
    gw_ids_free(&encoded);
    return status;
}

static enum gwen_status check_greedy(struct stories *s, struct gwen_err *err) {
    struct golden_tensor prompts, lengths, ids, margin;
    GW_TRY(golden_get(s->golden, "greedy_prompt_ids", GW_DTYPE_I32, 2, &prompts, err));
    GW_TRY(golden_get(s->golden, "greedy_prompt_lengths", GW_DTYPE_I32, 1, &lengths, err));
    GW_TRY(golden_get(s->golden, "greedy_ids", GW_DTYPE_I32, 2, &ids, err));
    GW_TRY(golden_get(s->golden, "greedy_margin", GW_DTYPE_F32, 2, &margin, err));
    size_t n = ids.shape[0], n_new = ids.shape[1];
    if (prompts.shape[0] != n || lengths.shape[0] != n || margin.shape[0] != n ||
        margin.shape[1] != n_new)
        return gw_fail(err, GWEN_ERR_FORMAT, "greedy_ids: unexpected shape");
    for (size_t i = 0; i < n; i++) {
        char what[40];
        const char *text;
        const int32_t *prompt = prompts.i + i * prompts.shape[1];
        size_t len = (size_t)lengths.i[i];
        if (lengths.i[i] < 1 || len > prompts.shape[1])
            return gw_fail(err, GWEN_ERR_FORMAT, "greedy_prompt_lengths: out of range");
        snprintf(what, sizeof what, "story %zu", i);
        GW_TRY(manifest_text(s, "greedy_texts", i, &text, err));
        GW_TRY(check_prompt(s, i, prompt, len, err));
        GW_TRY(check_story(s, what, prompt, len, ids.i + i * n_new, margin.f + i * n_new, n_new,
                           text, err));
    }
    return GWEN_OK;
}

static enum gwen_status check_reference(struct stories *s, struct gwen_err *err) {
    struct golden_tensor ids;
    const char *text;
    GW_TRY(golden_get(s->golden, "reference_ids", GW_DTYPE_I32, 1, &ids, err));
    GW_TRY(manifest_text(s, "reference_text", 0, &text, err));
    if (ids.shape[0] < 2) return gw_fail(err, GWEN_ERR_FORMAT, "reference_ids is too short");
    return check_story(s, "the reference story", ids.i, 1, ids.i + 1, NULL, ids.shape[0] - 1, text,
                       err);
}

/* --- likelihood ----------------------------------------------------------------------------- */

/* The windows are the first tokens of the text. */
static enum gwen_status check_eval_ids(struct stories *s, const struct golden_tensor *ids,
                                       struct gwen_err *err) {
    struct gw_str text = {0};
    struct gw_ids encoded = {0};
    char *path = golden_path(s->dir, "stories/eval.txt");
    size_t n = ids->shape[0] * ids->shape[1];
    enum gwen_status status = gw_file_read(path, 64 << 20, &text, err);
    if (status == GWEN_OK)
        status = gw_tokenizer_encode(s->tokenizer, text.data != NULL ? text.data : "", text.len, 0,
                                     &encoded, err);
    if (status == GWEN_OK)
        golden_case(s->counts,
                    encoded.len >= n && memcmp(encoded.data, ids->i, n * sizeof *ids->i) == 0,
                    "stories: %s does not begin with eval_ids", path);
    gw_ids_free(&encoded);
    gw_str_free(&text);
    free(path);
    return status;
}

/* Mean negative log-likelihood of one window behind BOS. */
static enum gwen_status window_nll(const struct stories *s, const int32_t *ids, size_t n,
                                   double *nll, struct gwen_err *err) {
    int32_t *row = calloc(n + 1, sizeof *row);
    size_t len = n + 1;
    if (row == NULL) return gw_nomem(err, len * sizeof *row, "a window");
    row[0] = s->model.model->cfg.bos_id;
    memcpy(row + 1, ids, n * sizeof *row);
    struct golden_scores scores;
    const int32_t *rows = row;
    enum gwen_status status = golden_score(&s->model, &rows, &len, 1, &scores, err);
    free(row);
    GW_TRY(status);
    double sum = 0;
    for (size_t t = 1; t <= n; t++) sum -= (double)scores.logprobs[t];
    *nll = sum / (double)n;
    golden_scores_free(&scores);
    return GWEN_OK;
}

static enum gwen_status check_likelihood(struct stories *s, struct gwen_err *err) {
    struct golden_tensor ids, nll;
    double wanted_mean, mean = 0, worst = 0;
    const char *row = "stories: mean NLL / window NLL";
    double mean_tolerance = golden_tolerance(s->dir, row, 0, s->counts);
    double window_tolerance = golden_tolerance(s->dir, row, 1, s->counts);
    GW_TRY(golden_get(s->golden, "eval_ids", GW_DTYPE_I32, 2, &ids, err));
    GW_TRY(golden_get(s->golden, "eval_nll", GW_DTYPE_F32, 1, &nll, err));
    GW_TRY(gw_json_get_double(gw_json_root(&s->manifest), "mean_nll", GW_JSON_REQUIRED, 0, 1e3,
                              &wanted_mean, err));
    if (ids.shape[0] == 0 || nll.shape[0] != ids.shape[0] || s->model.model->cfg.bos_id < 0)
        return gw_fail(err, GWEN_ERR_FORMAT, "eval_ids, eval_nll: unexpected shape");
    GW_TRY(check_eval_ids(s, &ids, err));
    for (size_t i = 0; i < ids.shape[0]; i++) {
        double got = 0;
        GW_TRY(window_nll(s, ids.i + i * ids.shape[1], ids.shape[1], &got, err));
        worst = fmax(worst, fabs(got - (double)nll.f[i]));
        mean += got / (double)ids.shape[0];
    }
    printf("  stories: NLL of %zu windows: max abs error %.2g (at most %.2g), mean %.7g: error "
           "%.2g (at most %.2g)\n",
           ids.shape[0], worst, window_tolerance, mean, fabs(mean - wanted_mean), mean_tolerance);
    golden_case(s->counts, worst <= window_tolerance, "stories: NLL of a window: error %g", worst);
    golden_case(s->counts, fabs(mean - wanted_mean) <= mean_tolerance,
                "stories: mean NLL %.9g is not %.9g", mean, wanted_mean);
    return GWEN_OK;
}

/* --- all of it ------------------------------------------------------------------------------ */

static enum gwen_status open_stories(struct stories *s, const char *dir, struct gwen_err *err) {
    char *manifest = golden_path(dir, "stories/golden.json");
    char *golden = golden_path(dir, "stories/golden.safetensors");
    char *model = golden_path(dir, "stories260K-hf");
    enum gwen_status status = gw_json_load(manifest, 16 << 20, &s->manifest, err);
    if (status == GWEN_OK) status = gw_safetensors_open(golden, &s->golden, err);
    if (status == GWEN_OK) status = golden_model_open(model, &s->model, err);
    if (status == GWEN_OK) status = gw_tokenizer_load(model, &s->tokenizer, err);
    free(manifest);
    free(golden);
    free(model);
    return status;
}

void golden_stories(const char *dir, struct golden_counts *counts) {
    struct stories s = {.dir = dir, .counts = counts};
    struct gwen_err err;
    if (open_stories(&s, dir, &err) != GWEN_OK) {
        golden_error(counts, &err, "stories");
    } else {
        if (check_greedy(&s, &err) != GWEN_OK) golden_error(counts, &err, "stories: greedy");
        if (check_reference(&s, &err) != GWEN_OK) golden_error(counts, &err, "stories: reference");
        if (check_likelihood(&s, &err) != GWEN_OK) golden_error(counts, &err, "stories: NLL");
    }
    gw_tokenizer_free(s.tokenizer);
    gw_safetensors_close(s.golden);
    gw_json_free(&s.manifest);
    golden_model_close(&s.model);
}

/* golden_models.c - the forward pass and greedy decoding of every directory under models/, with
 * config.json and again with config.v4.json in its place. */
#include "golden_model.h"

#include "base/file.h"
#include "model/forward.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct tolerances {
    double logits, long_logits, logprobs, hidden;
};

/* One model directory and its reference. */
struct subject {
    const char *name;
    char *dir;
    const struct tolerances *tolerance;
    struct golden_model model;
    struct gw_safetensors *golden;
    struct golden_tensor ids, lengths; /* prompt_ids, lengths */
    size_t n;
    const int32_t **rows; /* [n] */
    size_t *row_lengths;  /* [n] */
    struct golden_counts *counts;
};

static void compare(struct subject *s, const char *what, const float *got, const float *wanted,
                    size_t n, double tolerance) {
    double worst = golden_max_error(got, wanted, n);
    printf("  %-18s %-22s max abs error %.2g (at most %.2g)\n", s->name, what, worst, tolerance);
    golden_case(s->counts, worst <= tolerance, "%s: %s: max abs error %g exceeds %g", s->name, what,
                worst, tolerance);
}

/* --- logits and log-probabilities ----------------------------------------------------------- */

static enum gwen_status check_prompts(struct subject *s, struct gwen_err *err) {
    struct golden_tensor logits, logprobs;
    size_t vocab = s->model.model->cfg.vocab_size, total = 0;
    GW_TRY(golden_get(s->golden, "logits", GW_DTYPE_F32, 2, &logits, err));
    GW_TRY(golden_get(s->golden, "logprobs", GW_DTYPE_F32, 2, &logprobs, err));
    for (size_t i = 0; i < s->n; i++) total += s->row_lengths[i];
    if (logits.shape[0] != total || logits.shape[1] != vocab || logprobs.shape[0] != s->n)
        return gw_fail(err, GWEN_ERR_FORMAT, "logits, logprobs: unexpected shape");
    struct golden_scores *scores = calloc(s->n, sizeof *scores);
    float *got = calloc(total * vocab, sizeof *got), *got_lp = calloc(total, sizeof *got_lp);
    float *want_lp = calloc(total, sizeof *want_lp);
    enum gwen_status status = golden_score(&s->model, s->rows, s->row_lengths, s->n, scores, err);
    for (size_t i = 0, at = 0; i < s->n && status == GWEN_OK; at += s->row_lengths[i++]) {
        size_t n = s->row_lengths[i];
        memcpy(got + at * vocab, scores[i].logits, n * vocab * sizeof *got);
        memcpy(got_lp + at, scores[i].logprobs, n * sizeof *got_lp);
        memcpy(want_lp + at, logprobs.f + i * logprobs.shape[1], n * sizeof *want_lp);
        golden_scores_free(&scores[i]);
    }
    if (status == GWEN_OK) {
        compare(s, "logits", got, logits.f, total * vocab, s->tolerance->logits);
        compare(s, "logprobs", got_lp, want_lp, total, s->tolerance->logprobs);
    }
    free(scores);
    free(got);
    free(got_lp);
    free(want_lp);
    return status;
}

static enum gwen_status check_long(struct subject *s, struct gwen_err *err) {
    struct golden_tensor ids, logprobs, tail;
    size_t vocab = s->model.model->cfg.vocab_size;
    GW_TRY(golden_get(s->golden, "long_ids", GW_DTYPE_I32, 1, &ids, err));
    GW_TRY(golden_get(s->golden, "long_logprobs", GW_DTYPE_F32, 1, &logprobs, err));
    GW_TRY(golden_get(s->golden, "long_logits_tail", GW_DTYPE_F32, 2, &tail, err));
    size_t n = ids.shape[0];
    if (logprobs.shape[0] != n || tail.shape[0] > n || tail.shape[1] != vocab)
        return gw_fail(err, GWEN_ERR_FORMAT, "long_ids, long_logits_tail: unexpected shape");
    struct golden_scores scores;
    GW_TRY(golden_score(&s->model, &ids.i, &n, 1, &scores, err));
    compare(s, "long logits", scores.logits + (n - tail.shape[0]) * vocab, tail.f,
            tail.shape[0] * vocab, s->tolerance->long_logits);
    compare(s, "long logprobs", scores.logprobs, logprobs.f, n, s->tolerance->logprobs);
    golden_scores_free(&scores);
    return GWEN_OK;
}

/* --- hidden states -------------------------------------------------------------------------- */

struct trace {
    float *h; /* [layers + 2][rows][hidden] */
    size_t hidden;
};

static void keep_layer(void *ctx, size_t layer, const float *h, size_t n_rows) {
    struct trace *t = ctx;
    memcpy(t->h + layer * n_rows * t->hidden, h, n_rows * t->hidden * sizeof *h);
}

static void forward_region(void *ctx, int thread, int n_threads) {
    gw_forward(ctx, thread, n_threads);
}

/* Sequence 0 through the layers, with the residual stream kept after each. */
static enum gwen_status run_traced(const struct subject *s, struct gw_kv *kv,
                                   struct gw_workspace *ws, struct trace *t, struct gwen_err *err) {
    const struct gw_model *m = s->model.model;
    size_t n = s->row_lengths[0], stride = gw_packed_x_stride(m->arith.format, t->hidden);
    struct gw_seq seq = {.blocks = calloc(gw_kv_max_blocks(kv), sizeof *seq.blocks)};
    if (seq.blocks == NULL) return gw_nomem(err, gw_kv_max_blocks(kv), "a sequence");
    enum gwen_status status = gw_kv_extend(kv, &seq, n, err);
    if (status == GWEN_OK) {
        ws->trace = keep_layer;
        ws->trace_ctx = t;
        gw_batch_clear(&ws->batch);
        gw_batch_add(&ws->batch, s->rows[0], n, &seq, 0);
        gw_batch_want(&ws->batch, n);
        gw_pool_run(s->model.pool, forward_region, ws);
        float *last = t->h + (m->cfg.n_layers + 1) * n * t->hidden;
        for (size_t i = 0; i < n; i++) /* float32 activations are floats */
            memcpy(last + i * t->hidden, ws->head_x + i * stride, t->hidden * sizeof *last);
        gw_kv_release(kv, &seq);
    }
    free(seq.blocks);
    return status;
}

static enum gwen_status check_hidden(struct subject *s, struct gwen_err *err) {
    const struct gw_config *c = &s->model.model->cfg;
    struct golden_tensor hidden;
    size_t n = s->row_lengths[0], count = (c->n_layers + 2) * n * c->hidden;
    GW_TRY(golden_get(s->golden, "hidden", GW_DTYPE_F32, 3, &hidden, err));
    if (hidden.shape[0] != c->n_layers + 2 || hidden.shape[1] != n || hidden.shape[2] != c->hidden)
        return gw_fail(err, GWEN_ERR_FORMAT, "hidden: unexpected shape");
    struct gw_kv_layout layout;
    gw_kv_layout_init(&layout, s->model.model->arith.format, c->n_layers, c->n_kv_heads,
                      c->head_dim);
    size_t blocks = gw_kv_blocks_for(n);
    struct trace t = {.h = calloc(count, sizeof *t.h), .hidden = c->hidden};
    struct gw_kv *kv = NULL;
    struct gw_workspace *ws = NULL;
    enum gwen_status status = t.h != NULL ? GWEN_OK : gw_nomem(err, count, "hidden states");
    if (status == GWEN_OK) status = gw_kv_create(&layout, blocks, blocks, &kv, err);
    if (status == GWEN_OK)
        status = gw_workspace_create(s->model.model, kv, s->model.pool, n, n, n, &ws, err);
    if (status == GWEN_OK) status = run_traced(s, kv, ws, &t, err);
    if (status == GWEN_OK) compare(s, "hidden", t.h, hidden.f, count, s->tolerance->hidden);
    gw_workspace_free(ws);
    gw_kv_free(kv);
    free(t.h);
    return status;
}

/* --- greedy decoding ------------------------------------------------------------------------ */

/* What was recorded while sampling is what scoring the same tokens gives, to the last bit. */
static enum gwen_status check_scored(struct subject *s, const int32_t *ids, const float *logprobs,
                                     size_t n_new, struct gwen_err *err) {
    size_t differing = 0;
    for (size_t i = 0; i < s->n; i++) {
        size_t n = s->row_lengths[i], total = n + n_new;
        int32_t *both = calloc(total, sizeof *both);
        if (both == NULL) return gw_nomem(err, total * sizeof *both, "a sequence");
        memcpy(both, s->rows[i], n * sizeof *both);
        memcpy(both + n, ids + i * n_new, n_new * sizeof *both);
        struct golden_scores scores;
        const int32_t *row = both;
        enum gwen_status status = golden_score(&s->model, &row, &total, 1, &scores, err);
        free(both);
        GW_TRY(status);
        differing += memcmp(scores.logprobs + n, logprobs + i * n_new, n_new * sizeof(float)) != 0;
        golden_scores_free(&scores);
    }
    golden_case(s->counts, differing == 0,
                "%s: sampled and scored log-probabilities of %zu sequences differ", s->name,
                differing);
    return GWEN_OK;
}

static enum gwen_status check_greedy(struct subject *s, struct gwen_err *err) {
    struct golden_tensor wanted, margin;
    GW_TRY(golden_get(s->golden, "greedy_ids", GW_DTYPE_I32, 2, &wanted, err));
    GW_TRY(golden_get(s->golden, "greedy_margin", GW_DTYPE_F32, 2, &margin, err));
    size_t n_new = wanted.shape[1];
    if (wanted.shape[0] != s->n || margin.shape[0] != s->n || margin.shape[1] != n_new)
        return gw_fail(err, GWEN_ERR_FORMAT, "greedy_ids, greedy_margin: unexpected shape");
    int32_t *ids = calloc(s->n * n_new, sizeof *ids);
    float *logprobs = calloc(s->n * n_new, sizeof *logprobs);
    enum gwen_status status =
        ids == NULL || logprobs == NULL
            ? gw_nomem(err, s->n * n_new, "greedy ids")
            : golden_greedy(&s->model, s->rows, s->row_lengths, s->n, n_new, ids, logprobs, err);
    for (size_t i = 0; i < s->n && status == GWEN_OK; i++) {
        size_t at = golden_first_difference(ids + i * n_new, wanted.i + i * n_new,
                                            margin.f + i * n_new, n_new);
        golden_case(s->counts, at == n_new, "%s: greedy ids of prompt %zu differ at token %zu",
                    s->name, i, at);
    }
    if (status == GWEN_OK) status = check_scored(s, ids, logprobs, n_new, err);
    free(ids);
    free(logprobs);
    return status;
}

/* --- config.v4.json ------------------------------------------------------------------------- */

/* Links every file of the model into `to`, config.v4.json under the name config.json. */
static enum gwen_status link_files(const char *from, const char *to, struct gwen_err *err) {
    DIR *d = opendir(from);
    if (d == NULL) return gw_fail(err, GWEN_ERR_IO, "cannot read %s", from);
    enum gwen_status status = GWEN_OK;
    char *absolute = realpath(from, NULL);
    for (struct dirent *e; status == GWEN_OK && (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.' || strcmp(e->d_name, "config.json") == 0) continue;
        bool v4 = strcmp(e->d_name, "config.v4.json") == 0;
        char *target = golden_path(absolute, e->d_name);
        char *path = golden_path(to, v4 ? "config.json" : e->d_name);
        if (symlink(target, path) != 0) status = gw_fail(err, GWEN_ERR_IO, "cannot link %s", path);
        free(target);
        free(path);
    }
    free(absolute);
    closedir(d);
    return status;
}

static void remove_links(const char *dir) {
    DIR *d = opendir(dir);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.') continue;
        char *path = golden_path(dir, e->d_name);
        unlink(path);
        free(path);
    }
    if (d != NULL) closedir(d);
    rmdir(dir);
}

static enum gwen_status compare_models(struct subject *s, const struct golden_model *other,
                                       struct gwen_err *err) {
    size_t differing = 0;
    for (size_t i = 0; i < s->n; i++) {
        struct golden_scores a, b;
        size_t n = s->row_lengths[i], bytes = n * s->model.model->cfg.vocab_size * sizeof(float);
        GW_TRY(golden_score(&s->model, &s->rows[i], &n, 1, &a, err));
        enum gwen_status status = golden_score(other, &s->rows[i], &n, 1, &b, err);
        if (status == GWEN_OK) {
            differing += memcmp(a.logits, b.logits, bytes) != 0;
            golden_scores_free(&b);
        }
        golden_scores_free(&a);
        GW_TRY(status);
    }
    golden_case(s->counts, differing == 0,
                "%s: logits with config.v4.json are not those with config.json (%zu sequences)",
                s->name, differing);
    return GWEN_OK;
}

static enum gwen_status check_v4(struct subject *s, struct gwen_err *err) {
    char *v4 = golden_path(s->dir, "config.v4.json");
    bool there = gw_file_exists(v4);
    free(v4);
    if (!there) return GWEN_OK;
    const char *tmp = getenv("TMPDIR");
    char *dir = golden_path(tmp != NULL ? tmp : "/tmp", "gwen-golden-XXXXXX");
    struct golden_model model = {0};
    enum gwen_status status = mkdtemp(dir) != NULL
                                  ? link_files(s->dir, dir, err)
                                  : gw_fail(err, GWEN_ERR_IO, "cannot make the folder %s", dir);
    if (status == GWEN_OK) status = golden_model_open(dir, &model, err);
    if (status == GWEN_OK) status = compare_models(s, &model, err);
    golden_model_close(&model);
    remove_links(dir);
    free(dir);
    return status;
}

/* --- a model -------------------------------------------------------------------------------- */

static enum gwen_status open_subject(struct subject *s, struct gwen_err *err) {
    GW_TRY(golden_model_open(s->dir, &s->model, err));
    char *path = golden_path(s->dir, "golden.safetensors");
    enum gwen_status status = gw_safetensors_open(path, &s->golden, err);
    free(path);
    GW_TRY(status);
    GW_TRY(golden_get(s->golden, "prompt_ids", GW_DTYPE_I32, 2, &s->ids, err));
    GW_TRY(golden_get(s->golden, "lengths", GW_DTYPE_I32, 1, &s->lengths, err));
    s->n = s->ids.shape[0];
    s->rows = calloc(s->n, sizeof *s->rows);
    s->row_lengths = calloc(s->n, sizeof *s->row_lengths);
    if (s->rows == NULL || s->row_lengths == NULL) return gw_nomem(err, s->n, "rows");
    if (s->n == 0 || s->lengths.shape[0] != s->n)
        return gw_fail(err, GWEN_ERR_FORMAT, "prompt_ids, lengths: unexpected shape");
    for (size_t i = 0; i < s->n; i++) {
        s->rows[i] = s->ids.i + i * s->ids.shape[1];
        s->row_lengths[i] = (size_t)s->lengths.i[i];
        if (s->lengths.i[i] < 1 || s->row_lengths[i] > s->ids.shape[1])
            return gw_fail(err, GWEN_ERR_FORMAT, "lengths: %d is out of range",
                           (int)s->lengths.i[i]);
    }
    return GWEN_OK;
}

static void close_subject(struct subject *s) {
    gw_safetensors_close(s->golden);
    golden_model_close(&s->model);
    free(s->rows);
    free(s->row_lengths);
    free(s->dir);
}

static void run_model(const char *models, const char *name, const struct tolerances *tolerance,
                      struct golden_counts *counts) {
    static const struct {
        const char *what;
        enum gwen_status (*check)(struct subject *s, struct gwen_err *err);
    } checks[] = {{"logits", check_prompts},
                  {"hidden", check_hidden},
                  {"long sequence", check_long},
                  {"greedy", check_greedy},
                  {"config.v4.json", check_v4}};
    struct subject s = {.name = name, .tolerance = tolerance, .counts = counts};
    struct gwen_err err;
    s.dir = golden_path(models, name);
    if (open_subject(&s, &err) != GWEN_OK) {
        golden_error(counts, &err, "%s", name);
    } else {
        for (size_t i = 0; i < GW_ARRAY_LEN(checks); i++)
            if (checks[i].check(&s, &err) != GWEN_OK)
                golden_error(counts, &err, "%s: %s", name, checks[i].what);
    }
    close_subject(&s);
}

static int visible(const struct dirent *e) { return e->d_name[0] != '.'; }

void golden_models(const char *dir, struct golden_counts *counts) {
    struct tolerances t = {
        .logits = golden_tolerance(dir, "models: logits (6 prompts)", 0, counts),
        .long_logits = golden_tolerance(dir, "models: logits (200 tokens)", 0, counts),
        .logprobs = golden_tolerance(dir, "models: log-probs", 0, counts),
        .hidden = golden_tolerance(dir, "models: hidden", 0, counts),
    };
    char *models = golden_path(dir, "models");
    struct dirent **names = NULL;
    int n = scandir(models, &names, visible, alphasort);
    for (int i = 0; i < n; i++) {
        run_model(models, names[i]->d_name, &t, counts);
        free(names[i]);
    }
    free(names);
    free(models);
}

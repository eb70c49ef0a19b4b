/* golden_lora.c - every adapter directory under lora/: logits with the adapter and after merging
 * it, gradients, optimizer steps, and that what is saved is read back to the same bits. */
#include "golden_sft.h"

#include "base/file.h"
#include "model/lora.h"
#include "model/pack.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MANIFEST_BYTES = 16 << 20 };

struct tolerances {
    double logits, gradients, steps, final_rms;
};

struct subject {
    const char *name;
    const struct tolerances *tolerance;
    struct golden_counts *counts;
    char *dir, *model_dir;
    struct gw_json_doc manifest;
    struct gw_safetensors *golden, *batch_st, *prompt_st;
    struct golden_model model;
    struct golden_batch batch;
    struct gw_trainer *trainer;
    struct gw_optimizer *optimizer;
    struct golden_steps steps;
};

/* Logits of the first sequences of the model's own golden, one after another, against `name`. */
static enum gwen_status check_logits(struct subject *s, const char *name, struct gwen_err *err) {
    struct golden_tensor wanted, ids, lengths;
    struct golden_scores scores[64];
    const int32_t *rows[64];
    size_t n = 0, total = 0, sizes[64];
    GW_TRY(golden_get(s->golden, name, GW_DTYPE_F32, 2, &wanted, err));
    GW_TRY(golden_get(s->prompt_st, "prompt_ids", GW_DTYPE_I32, 2, &ids, err));
    GW_TRY(golden_get(s->prompt_st, "lengths", GW_DTYPE_I32, 1, &lengths, err));
    for (; n < 64 && n < ids.shape[0] && total < wanted.shape[0]; n++) {
        rows[n] = ids.i + n * ids.shape[1];
        sizes[n] = (size_t)lengths.i[n];
        total += sizes[n];
    }
    const size_t vocab = s->model.model->cfg.vocab_size;
    if (total != wanted.shape[0] || wanted.shape[1] != vocab)
        return gw_fail(err, GWEN_ERR_FORMAT, "%s: unexpected shape", name);
    GW_TRY(golden_score(&s->model, rows, sizes, n, scores, err));
    double worst = 0;
    for (size_t i = 0, at = 0; i < n; at += sizes[i++]) {
        const double off =
            golden_max_error(scores[i].logits, wanted.f + at * vocab, sizes[i] * vocab);
        if (!(off <= worst)) worst = off;
        golden_scores_free(&scores[i]);
    }
    printf("  %-22s %-28s max abs error %.2g (at most %.2g)\n", s->name, name, worst,
           s->tolerance->logits);
    golden_case(s->counts, worst <= s->tolerance->logits, "%s: %s: max abs error %g", s->name, name,
                worst);
    return GWEN_OK;
}

static enum gwen_status check_first(struct subject *s, struct gwen_err *err) {
    double loss, wanted;
    GW_TRY(gw_json_get_double(gw_json_root(&s->manifest), "loss", GW_JSON_REQUIRED, 0, 1e9, &wanted,
                              err));
    GW_TRY(golden_batch_gradients(&s->batch, s->trainer, &loss, err));
    golden_compare_number(s->name, "loss", loss, wanted, s->tolerance->steps, s->counts);
    golden_compare_gradients(s->name, "grad.", s->golden, gw_trainer_params(s->trainer),
                             gw_trainer_grads(s->trainer), s->tolerance->gradients, s->counts);
    return GWEN_OK;
}

static enum gwen_status check_steps(struct subject *s, struct gwen_err *err) {
    struct gw_lora *lora = s->model.model->lora;
    const size_t bytes = lora->params.n_floats * sizeof(float);
    double loss;
    memcpy(s->optimizer->master, lora->values, bytes);
    for (size_t i = 0; i < s->steps.n; i++) {
        GW_TRY(golden_batch_gradients(&s->batch, s->trainer, &loss, err));
        gw_optimizer_step(s->optimizer, gw_trainer_grads(s->trainer), s->steps.list[i].lr, 1);
        golden_compare_number(s->name, "loss before a step", loss, s->steps.list[i].loss_before,
                              s->tolerance->steps, s->counts);
        memcpy(lora->values, s->optimizer->master, bytes);
        gw_lora_pack(lora, &s->model.model->kern);
    }
    GW_TRY(golden_batch_gradients(&s->batch, s->trainer, &loss, err));
    golden_compare_number(s->name, "loss after the last step", loss, s->steps.loss_after,
                          s->tolerance->steps, s->counts);
    golden_compare_final(s->name, s->golden, gw_trainer_params(s->trainer), lora->values,
                         s->tolerance->final_rms, INFINITY, s->counts);
    return GWEN_OK;
}

/* Saves the adapter and reads it onto the model loaded once more. */
static enum gwen_status check_saved(struct subject *s, struct gwen_err *err) {
    struct golden_model again = {0};
    const char *tmp = getenv("TMPDIR");
    char *dir = golden_path(tmp != NULL ? tmp : "/tmp", "gwen-lora-XXXXXX");
    const struct gw_lora *lora = s->model.model->lora;
    enum gwen_status status = mkdtemp(dir) != NULL
                                  ? gw_lora_save(lora, dir, err)
                                  : gw_fail(err, GWEN_ERR_IO, "cannot make the folder %s", dir);
    if (status == GWEN_OK) status = golden_model_open(s->model_dir, &again, err);
    if (status == GWEN_OK) status = gw_lora_load(again.model, dir, err);
    if (status == GWEN_OK) {
        const struct gw_lora *other = again.model->lora;
        golden_case(
            s->counts,
            other->params.n_floats == lora->params.n_floats && other->scale == lora->scale &&
                memcmp(other->values, lora->values, lora->params.n_floats * sizeof(float)) == 0,
            "%s: a saved adapter differs from what is read back", s->name);
    }
    golden_model_close(&again);
    static const char *const files[] = {"adapter_config.json", "adapter_model.safetensors"};
    for (size_t i = 0; i < GW_ARRAY_LEN(files); i++) {
        char *path = golden_path(dir, files[i]);
        remove(path);
        free(path);
    }
    rmdir(dir);
    free(dir);
    return status;
}

static enum gwen_status check_merged(struct subject *s, struct gwen_err *err) {
    struct gw_model *m = s->model.model;
    struct gw_params params;
    struct gw_safetensors *weights = NULL;
    struct gw_packer *packer = NULL;
    GW_TRY(gw_params_of_model(&m->cfg, &params, err));
    float *master = calloc(params.n_floats, sizeof *master);
    enum gwen_status status =
        master != NULL ? GWEN_OK : gw_nomem(err, params.n_floats, "merged weights");
    if (status == GWEN_OK) status = gw_safetensors_open(s->model_dir, &weights, err);
    if (status == GWEN_OK) status = gw_master_read(&params, weights, &m->kern, master, err);
    if (status == GWEN_OK) {
        gw_lora_merge(m->lora, &params, master);
        gw_lora_free(m->lora);
        m->lora = NULL;
        m->cfg.lora_width = 0;
        status = gw_packer_create(m, &params, s->model.pool, &packer, err);
    }
    if (status == GWEN_OK) status = gw_pack_update(packer, master, err);
    if (status == GWEN_OK) status = check_logits(s, "merged_logits", err);
    gw_safetensors_close(weights);
    gw_packer_free(packer);
    gw_params_free(&params);
    free(master);
    return status;
}

static enum gwen_status open_subject(const char *golden_dir, struct subject *s,
                                     struct gwen_err *err) {
    struct gw_str manifest = {0}, tensors = {0}, train = {0}, base = {0}, prompts = {0};
    const char *model;
    gw_str_printf(&manifest, "%s/golden.json", s->dir);
    gw_str_printf(&tensors, "%s/golden.safetensors", s->dir);
    enum gwen_status status = gw_json_load(manifest.data, MANIFEST_BYTES, &s->manifest, err);
    if (status == GWEN_OK)
        status =
            gw_json_get_string(gw_json_root(&s->manifest), "model", GW_JSON_REQUIRED, &model, err);
    if (status == GWEN_OK) {
        gw_str_printf(&train, "%s/train/%s/golden.safetensors", golden_dir, model);
        gw_str_printf(&base, "%s/models/%s", golden_dir, model);
        gw_str_printf(&prompts, "%s/models/%s/golden.safetensors", golden_dir, model);
        s->model_dir = base.data;
        status = gw_safetensors_open(tensors.data, &s->golden, err);
    }
    if (status == GWEN_OK) status = gw_safetensors_open(train.data, &s->batch_st, err);
    if (status == GWEN_OK) status = gw_safetensors_open(prompts.data, &s->prompt_st, err);
    if (status == GWEN_OK) status = golden_batch_open(s->batch_st, &s->batch, err);
    if (status == GWEN_OK) status = golden_steps_read(gw_json_root(&s->manifest), &s->steps, err);
    if (status == GWEN_OK) status = golden_model_open(s->model_dir, &s->model, err);
    if (status == GWEN_OK) status = gw_lora_load(s->model.model, s->dir, err);
    gw_str_free(&manifest);
    gw_str_free(&tensors);
    gw_str_free(&train);
    gw_str_free(&prompts);
    return status;
}

static enum gwen_status run_subject(const char *dir, struct subject *s, struct gwen_err *err) {
    GW_TRY(open_subject(dir, s, err));
    GW_TRY(check_logits(s, "logits", err));
    GW_TRY(golden_batch_trainer(&s->batch, &s->model, &s->trainer, err));
    GW_TRY(gw_optimizer_create(gw_trainer_params(s->trainer), &s->model.model->kern, s->model.pool,
                               &s->steps.adamw, s->steps.max_grad_norm, &s->optimizer, err));
    GW_TRY(check_saved(s, err));
    float *before = malloc(s->model.model->lora->params.n_floats * sizeof *before);
    if (before == NULL) return gw_nomem(err, 1, "an adapter");
    memcpy(before, s->model.model->lora->values,
           s->model.model->lora->params.n_floats * sizeof *before);
    enum gwen_status status = check_first(s, err);
    if (status == GWEN_OK) status = check_steps(s, err);
    memcpy(s->model.model->lora->values, before,
           s->model.model->lora->params.n_floats * sizeof *before);
    free(before);
    gw_trainer_free(s->trainer); /* it looks at the adapter */
    s->trainer = NULL;
    return status == GWEN_OK ? check_merged(s, err) : status;
}

static void run_name(const char *golden_dir, const char *lora, const char *name,
                     const struct tolerances *tolerance, struct golden_counts *counts) {
    struct subject s = {.name = name, .tolerance = tolerance, .counts = counts};
    struct gwen_err err;
    s.dir = golden_path(lora, name);
    if (run_subject(golden_dir, &s, &err) != GWEN_OK) golden_error(counts, &err, "lora/%s", name);
    gw_trainer_free(s.trainer);
    gw_optimizer_free(s.optimizer);
    golden_batch_close(&s.batch);
    golden_model_close(&s.model);
    gw_safetensors_close(s.golden);
    gw_safetensors_close(s.batch_st);
    gw_safetensors_close(s.prompt_st);
    gw_json_free(&s.manifest);
    free(s.steps.list);
    free(s.model_dir);
    free(s.dir);
}

void golden_lora(const char *dir, struct golden_counts *counts) {
    char *lora = golden_path(dir, "lora");
    struct dirent **names = NULL;
    int n = scandir(lora, &names, NULL, alphasort);
    struct tolerances t = {
        .logits = golden_tolerance(dir, "lora: logits and merged logits", 0, counts),
        .gradients =
            golden_tolerance(dir, "lora: gradients, relative to the tensor's largest", 0, counts),
        .steps = golden_tolerance(dir, "lora: step losses", 0, counts),
        .final_rms = golden_tolerance(dir, "lora: final adapter, RMS over a tensor", 0, counts),
    };
    for (int i = 0; i < n; i++) {
        if (names[i]->d_name[0] != '.') run_name(dir, lora, names[i]->d_name, &t, counts);
        free(names[i]);
    }
    free(names);
    free(lora);
}

/* golden_train.c - supervised fine-tuning of every directory under train/: loss, gradients of all
 * parameters, optimizer steps; and the learning-rate schedules. */
#include "golden_sft.h"

#include "base/file.h"
#include "model/pack.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANIFEST_BYTES = 16 << 20 };

struct tolerances {
    double loss, gradients, norm, steps, final_rms, final_largest;
};

struct subject {
    const char *name;
    char *model_dir;
    const struct tolerances *tolerance;
    struct golden_counts *counts;
    struct gw_json_doc manifest;
    struct gw_safetensors *golden;
    struct golden_model model;
    struct golden_batch batch;
    struct gw_trainer *trainer;
    struct golden_steps steps;
    struct gw_optimizer *optimizer;
    struct gw_packer *packer;
};

/* The same weights on disk, as master weights. */
static enum gwen_status create_optimizer(struct subject *s, struct gwen_err *err) {
    const struct gw_params *params = gw_trainer_params(s->trainer);
    struct gw_safetensors *weights;
    GW_TRY(gw_optimizer_create(params, &s->model.model->kern, s->model.pool, &s->steps.adamw,
                               s->steps.max_grad_norm, &s->optimizer, err));
    GW_TRY(gw_packer_create(s->model.model, params, s->model.pool, &s->packer, err));
    GW_TRY(gw_safetensors_open(s->model_dir, &weights, err));
    enum gwen_status status =
        gw_master_read(params, weights, &s->model.model->kern, s->optimizer->master, err);
    gw_safetensors_close(weights);
    return status;
}

static enum gwen_status check_first(struct subject *s, struct gwen_err *err) {
    const struct gw_params *params = gw_trainer_params(s->trainer);
    double loss, wanted_loss, wanted_norm;
    GW_TRY(gw_json_get_double(gw_json_root(&s->manifest), "loss", GW_JSON_REQUIRED, 0, 1e9,
                              &wanted_loss, err));
    GW_TRY(gw_json_get_double(gw_json_root(&s->manifest), "grad_norm", GW_JSON_REQUIRED, 0, 1e9,
                              &wanted_norm, err));
    GW_TRY(golden_batch_gradients(&s->batch, s->trainer, &loss, err));
    const float *grads = gw_trainer_grads(s->trainer);
    golden_compare_number(s->name, "loss", loss, wanted_loss, s->tolerance->loss, s->counts);
    golden_compare_gradients(s->name, "grad.", s->golden, params, grads, s->tolerance->gradients,
                             s->counts);
    golden_compare_number(s->name, "gradient norm", gw_optimizer_norm(s->optimizer, grads),
                          wanted_norm, s->tolerance->norm * wanted_norm, s->counts);
    return GWEN_OK;
}

static enum gwen_status check_steps(struct subject *s, struct gwen_err *err) {
    const struct gw_params *params = gw_trainer_params(s->trainer);
    double loss;
    for (size_t i = 0; i < s->steps.n; i++) {
        const struct golden_step *step = &s->steps.list[i];
        GW_TRY(golden_batch_gradients(&s->batch, s->trainer, &loss, err));
        const double norm =
            gw_optimizer_step(s->optimizer, gw_trainer_grads(s->trainer), step->lr, 1);
        golden_compare_number(s->name, "loss before a step", loss, step->loss_before,
                              s->tolerance->steps, s->counts);
        golden_compare_number(s->name, "gradient norm of a step", norm, step->grad_norm,
                              s->tolerance->steps * step->grad_norm, s->counts);
        GW_TRY(gw_pack_update(s->packer, s->optimizer->master, err));
    }
    GW_TRY(golden_batch_gradients(&s->batch, s->trainer, &loss, err));
    golden_compare_number(s->name, "loss after the last step", loss, s->steps.loss_after,
                          s->tolerance->steps, s->counts);
    char first[512];
    snprintf(first, sizeof first, "final.%s", params->list[0].name);
    if (gw_safetensors_find(s->golden, first) != NULL)
        golden_compare_final(s->name, s->golden, params, s->optimizer->master,
                             s->tolerance->final_rms, s->tolerance->final_largest, s->counts);
    return GWEN_OK;
}

static enum gwen_status run_subject(const char *dir, struct subject *s, struct gwen_err *err) {
    struct gw_str manifest = {0}, golden = {0}, model = {0};
    gw_str_printf(&manifest, "%s/train/%s/golden.json", dir, s->name);
    gw_str_printf(&golden, "%s/train/%s/golden.safetensors", dir, s->name);
    gw_str_printf(&model, "%s/models/%s", dir, s->name);
    s->model_dir = model.data;
    enum gwen_status status = gw_json_load(manifest.data, MANIFEST_BYTES, &s->manifest, err);
    if (status == GWEN_OK) status = gw_safetensors_open(golden.data, &s->golden, err);
    if (status == GWEN_OK) status = golden_model_open(model.data, &s->model, err);
    if (status == GWEN_OK) status = golden_batch_open(s->golden, &s->batch, err);
    if (status == GWEN_OK) status = golden_batch_trainer(&s->batch, &s->model, &s->trainer, err);
    if (status == GWEN_OK) status = golden_steps_read(gw_json_root(&s->manifest), &s->steps, err);
    if (status == GWEN_OK) status = create_optimizer(s, err);
    if (status == GWEN_OK) status = check_first(s, err);
    if (status == GWEN_OK) status = check_steps(s, err);
    gw_str_free(&manifest);
    gw_str_free(&golden);
    gw_str_free(&model);
    return status;
}

static void run_name(const char *dir, const char *name, const struct tolerances *tolerance,
                     struct golden_counts *counts) {
    struct subject s = {.name = name, .tolerance = tolerance, .counts = counts};
    struct gwen_err err;
    if (run_subject(dir, &s, &err) != GWEN_OK) golden_error(counts, &err, "train/%s", name);
    gw_optimizer_free(s.optimizer);
    gw_packer_free(s.packer);
    free(s.steps.list);
    gw_trainer_free(s.trainer);
    golden_batch_close(&s.batch);
    golden_model_close(&s.model);
    gw_safetensors_close(s.golden);
    gw_json_free(&s.manifest);
}

/* --- schedules ------------------------------------------------------------------------------ */

static enum gwen_status read_schedule(struct gw_json_node n, struct gw_schedule *s, bool *known,
                                      struct gwen_err *err) {
    static const struct {
        const char *name;
        enum gw_schedule_kind kind;
    } names[] = {{"constant", GW_SCHEDULE_CONSTANT},
                 {"constant_with_warmup", GW_SCHEDULE_CONSTANT},
                 {"linear", GW_SCHEDULE_LINEAR},
                 {"cosine", GW_SCHEDULE_COSINE},
                 {"cosine_with_min_lr", GW_SCHEDULE_COSINE}};
    const char *name;
    *s = (struct gw_schedule){.lr = 1};
    *known = false;
    GW_TRY(gw_json_get_string(n, "name", GW_JSON_REQUIRED, &name, err));
    for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
        if (strcmp(name, names[i].name) != 0) continue;
        s->kind = names[i].kind;
        *known = true;
    }
    GW_TRY(
        gw_json_get_size(n, "warmup_steps", GW_JSON_REQUIRED, 0, 1 << 20, &s->warmup_steps, err));
    GW_TRY(gw_json_get_size(n, "total_steps", GW_JSON_REQUIRED, 1, 1 << 20, &s->total_steps, err));
    return gw_json_get_double(n, "min_lr_rate", GW_JSON_OPTIONAL, 0, 1, &s->min_lr_rate, err);
}

static enum gwen_status run_schedule(struct gw_json_node n, struct golden_counts *counts,
                                     struct gwen_err *err) {
    struct gw_schedule schedule;
    struct gw_json_node rates;
    bool known;
    double wanted, worst = 0;
    size_t step = 0;
    GW_TRY(read_schedule(n, &schedule, &known, err));
    GW_TRY(gw_json_get_array(n, "lr_of_step", GW_JSON_REQUIRED, &rates, err));
    for (struct gw_json_node i = gw_json_first(rates); i.v != NULL; i = gw_json_next(i)) {
        GW_TRY(gw_json_as_double(i, 0, 1, &wanted, err));
        const double off = fabs(gw_schedule_lr(&schedule, step++) - wanted);
        worst = GW_MAX(worst, off);
    }
    char shown[128];
    gw_json_show(n, shown, sizeof shown);
    golden_case(counts, known && worst <= 1e-12, "train: %s: off by %g", shown, worst);
    return GWEN_OK;
}

static void run_schedules(const char *dir, struct golden_counts *counts) {
    struct gw_json_doc doc = {0};
    struct gw_json_node list;
    struct gwen_err err;
    char *path = golden_path(dir, "train/lr_schedules.json");
    enum gwen_status status = GWEN_OK;
    if (gw_file_exists(path)) {
        status = gw_json_load(path, MANIFEST_BYTES, &doc, &err);
        if (status == GWEN_OK)
            status =
                gw_json_get_array(gw_json_root(&doc), "schedules", GW_JSON_REQUIRED, &list, &err);
        for (struct gw_json_node i = status == GWEN_OK ? gw_json_first(list)
                                                       : (struct gw_json_node){0};
             status == GWEN_OK && i.v != NULL; i = gw_json_next(i))
            status = run_schedule(i, counts, &err);
    }
    if (status != GWEN_OK) golden_error(counts, &err, "train/lr_schedules.json");
    gw_json_free(&doc);
    free(path);
}

/* --- all ------------------------------------------------------------------------------------ */

void golden_train(const char *dir, struct golden_counts *counts) {
    char *train = golden_path(dir, "train");
    struct dirent **names = NULL;
    int n = scandir(train, &names, NULL, alphasort);
    struct tolerances t = {
        .loss = golden_tolerance(dir, "train: loss", 0, counts),
        .gradients =
            golden_tolerance(dir, "train: gradients, relative to the tensor's largest", 0, counts),
        .norm = golden_tolerance(dir, "train: gradient norm, relative", 0, counts),
        .steps = golden_tolerance(dir, "train: loss at steps 2..4 and after", 0, counts),
        .final_rms = golden_tolerance(dir, "train: final parameters, RMS over a tensor, tiny-qwen3",
                                      0, counts),
        .final_largest =
            golden_tolerance(dir, "train: final parameters, largest element", 0, counts),
    };
    for (int i = 0; i < n; i++) {
        char *path = golden_path(train, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && gw_dir_exists(path))
            run_name(dir, names[i]->d_name, &t, counts);
        free(path);
        free(names[i]);
    }
    run_schedules(dir, counts);
    free(names);
    free(train);
}

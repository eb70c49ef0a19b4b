/* learner.c - see learner.h. */
#include "service/train/learner.h"

#include "base/clock.h"
#include "base/file.h"
#include "model/lora.h"
#include "text/tokenizer/tokenizer.h"
#include "train/optimizer_bf16.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char OPTIMIZER_FILE[] = "optimizer.safetensors";

/* --- options -------------------------------------------------------------------------------- */

enum gwen_status gw_learner_check(const struct gw_train_config *c, struct gwen_err *err) {
    if (c->optim == GW_OPTIM_ADAMW_BF16 && c->use_peft)
        return gw_fail(
            err, GWEN_ERR_UNSUPPORTED,
            "optim=adamw-bf16 is for whole models; an adapter's state is small: use adamw");
    return gw_train_config_check(c, err);
}

uint64_t gw_learner_total_steps(const struct gw_train_config *c, size_t n, size_t per_step,
                                bool whole) {
    if (c->max_steps > 0) return (uint64_t)c->max_steps;
    const size_t per_epoch = whole ? n / per_step : (n + per_step - 1) / per_step;
    return (uint64_t)GW_MIN(ceil(c->num_train_epochs * (double)per_epoch), 0x1p53);
}

/* As transformers does: a share of all steps is rounded up. */
static size_t warmup_steps(const struct gw_train_config *c, uint64_t total) {
    if (c->lr_scheduler_type == GW_LR_CONSTANT) return 0;
    if (c->warmup_steps >= 1) return (size_t)c->warmup_steps;
    const double share = c->warmup_steps > 0 ? c->warmup_steps : c->warmup_ratio;
    return (size_t)ceil(share * (double)total);
}

static struct gw_schedule schedule_of(const struct gw_train_config *c, uint64_t total) {
    const enum gw_schedule_kind kind = c->lr_scheduler_type == GW_LR_LINEAR ? GW_SCHEDULE_LINEAR
                                       : c->lr_scheduler_type == GW_LR_COSINE
                                           ? GW_SCHEDULE_COSINE
                                           : GW_SCHEDULE_CONSTANT;
    return (struct gw_schedule){.kind = kind,
                                .lr = c->learning_rate,
                                .warmup_steps = warmup_steps(c, total),
                                .total_steps = (size_t)total};
}

/* --- the optimizer's file ------------------------------------------------------------------- */

/* What is kept of every parameter, by the prefix of its name there. */
struct kept {
    const char *prefix;
    enum gw_dtype dtype;
    void *values; /* laid out as the parameters */
};
enum { MAX_KEPT = 3 };

/* Float32 models, and adapters, are their own master weights, and so are those in bfloat16 that are
 * rounded at random. */
static bool saves_master(const struct gw_learner *l) {
    return l->model->lora != NULL || l->model->dtype == GW_DTYPE_F32 || l->optimizer->bf16 != NULL;
}

static size_t list_kept(const struct gw_learner *l, struct kept kept[MAX_KEPT]) {
    const struct gw_optimizer *o = l->optimizer;
    const bool bf16 = o->bf16 != NULL;
    const enum gw_dtype dtype = bf16 ? GW_DTYPE_BF16 : GW_DTYPE_F32;
    kept[0] = (struct kept){"exp_avg.", dtype, bf16 ? (void *)o->m16 : o->m};
    kept[1] = (struct kept){"exp_avg_sq.", dtype, bf16 ? (void *)o->v16 : o->v};
    kept[2] = (struct kept){"master.", dtype, o->master};
    return saves_master(l) ? 2 : 3;
}

/* Those of one parameter. */
static void *kept_values(const struct kept *k, const struct gw_param *p) {
    return (char *)k->values + p->offset * gw_dtype_bytes(k->dtype);
}

enum { NAME_MAX_LEN = 2 * GW_TENSOR_NAME_MAX + 16 };

enum gwen_status gw_learner_save_optimizer(void *ctx, const char *dir, struct gwen_err *err) {
    const struct gw_learner *l = ctx;
    const struct gw_params *p = l->optimizer->params;
    struct kept kept[MAX_KEPT];
    const size_t n_kept = list_kept(l, kept), n = n_kept * p->n;
    struct gw_tensor *tensors = calloc(n, sizeof *tensors);
    char(*names)[NAME_MAX_LEN] = calloc(n, sizeof *names);
    struct gw_str path = {0};
    enum gwen_status status = GWEN_OK;
    if (tensors == NULL || names == NULL)
        status = gw_nomem(err, n * sizeof *names, "the optimizer's state");
    for (size_t i = 0; i < n && status == GWEN_OK; i++) {
        const struct gw_param *t = &p->list[i % p->n];
        const struct kept *k = &kept[i / p->n];
        snprintf(names[i], sizeof names[i], "%s%s", k->prefix, t->name);
        tensors[i] = (struct gw_tensor){.name = names[i],
                                        .dtype = k->dtype,
                                        .rank = t->rank,
                                        .shape = {t->shape[0], t->shape[1]},
                                        .data = kept_values(k, t)};
    }
    if (status == GWEN_OK) status = gw_path_join(&path, dir, OPTIMIZER_FILE, err);
    if (status == GWEN_OK)
        status = gw_safetensors_write(path.data, tensors, n, NULL, 0, NULL, NULL, err);
    gw_str_free(&path);
    free(tensors);
    free(names);
    return status;
}

static enum gwen_status read_kept(const struct gw_params *p, const struct gw_safetensors *st,
                                  const struct kept *k, struct gwen_err *err) {
    for (size_t i = 0; i < p->n; i++) {
        const struct gw_param *t = &p->list[i];
        const struct gw_tensor *tensor;
        char name[NAME_MAX_LEN];
        snprintf(name, sizeof name, "%s%s", k->prefix, t->name);
        GW_TRY(gw_safetensors_get(st, name, k->dtype, t->rank, t->shape, &tensor, err));
        memcpy(kept_values(k, t), tensor->data, t->n * gw_dtype_bytes(k->dtype));
        gw_safetensors_release(st, tensor);
    }
    return GWEN_OK;
}

static enum gwen_status load_optimizer(const struct gw_learner *l, struct gwen_err *err) {
    struct kept kept[MAX_KEPT];
    const size_t n = list_kept(l, kept);
    struct gw_safetensors *st = NULL;
    struct gw_str path = {0};
    enum gwen_status status = gw_path_join(&path, l->opts.checkpoint, OPTIMIZER_FILE, err);
    if (status == GWEN_OK) status = gw_safetensors_open(path.data, &st, err);
    for (size_t i = 0; i < n && status == GWEN_OK; i++)
        status = read_kept(l->optimizer->params, st, &kept[i], err);
    gw_safetensors_close(st);
    gw_str_free(&path);
    return status;
}

static enum gwen_status load_master(const struct gw_learner *l, const char *dir,
                                    struct gwen_err *err) {
    struct gw_safetensors *st;
    GW_TRY(gw_safetensors_open(dir, &st, err));
    enum gwen_status status =
        gw_master_read(l->optimizer->params, st, &l->model->kern, l->optimizer->master, err);
    gw_safetensors_close(st);
    return status;
}

/* --- creation ------------------------------------------------------------------------------- */

static enum gwen_status load(struct gw_learner *l, struct gwen_err *err) {
    const char *checkpoint = l->opts.checkpoint;
    const struct gw_lora *lora = l->model->lora;
    if (lora != NULL)
        memcpy(l->optimizer->master, lora->values, lora->params.n_floats * sizeof *lora->values);
    else if (l->optimizer->bf16 == NULL && (checkpoint == NULL || saves_master(l)))
        GW_TRY(load_master(l, checkpoint != NULL ? checkpoint : l->opts.model_dir, err));
    if (checkpoint == NULL) return GWEN_OK;
    l->step = l->opts.step;
    l->optimizer->skipped = l->opts.skipped;
    l->optimizer->steps = l->opts.step - GW_MIN(l->opts.skipped, l->opts.step);
    return load_optimizer(l, err);
}

static enum gwen_status create_optimizer(struct gw_learner *l, struct gwen_err *err) {
    const struct gw_train_config *c = l->opts.config;
    const struct gw_params *params = gw_trainer_params(l->trainer);
    const struct gw_adamw_opts adamw = {c->adam_beta1, c->adam_beta2, c->adam_epsilon,
                                        c->weight_decay};
    if (c->optim == GW_OPTIM_ADAMW_BF16)
        return gw_optimizer_bf16_create(l->model, params, l->pool, &adamw, c->max_grad_norm,
                                        c->seed, &l->optimizer, err);
    if (l->model->lora == NULL)
        GW_TRY(gw_packer_create(l->model, params, l->pool, &l->packer, err));
    return gw_optimizer_create(params, &l->model->kern, l->pool, &adamw, c->max_grad_norm,
                               &l->optimizer, err);
}

enum gwen_status gw_learner_create(struct gw_model *model, struct gw_pool *pool,
                                   const struct gw_learner_opts *opts, struct gw_learner **out,
                                   struct gwen_err *err) {
    *out = NULL;
    struct gw_learner *l = calloc(1, sizeof *l);
    if (l == NULL) return gw_nomem(err, sizeof *l, "the learner");
    l->model = model;
    l->pool = pool;
    l->opts = *opts;
    l->schedule = schedule_of(opts->config, opts->total_steps);
    enum gwen_status status = gw_trainer_create(model, pool, &opts->trainer, &l->trainer, err);
    if (status == GWEN_OK) status = create_optimizer(l, err);
    if (status == GWEN_OK) status = load(l, err);
    if (status != GWEN_OK) {
        gw_learner_free(l);
        return status;
    }
    *out = l;
    return GWEN_OK;
}

void gw_learner_free(struct gw_learner *l) {
    if (l == NULL) return;
    gw_optimizer_free(l->optimizer);
    gw_packer_free(l->packer);
    gw_trainer_free(l->trainer);
    free(l);
}

/* --- a step --------------------------------------------------------------------------------- */

enum gwen_status gw_learner_accumulate(struct gw_learner *l, struct gw_train_group *groups,
                                       size_t n, gw_train_loss *loss, void *ctx,
                                       struct gwen_err *err) {
    if (l->not_finite) return GWEN_OK;
    enum gwen_status status = gw_trainer_accumulate(l->trainer, groups, n, loss, ctx, err);
    if (status != GWEN_ERR_NUMERIC) return status;
    l->not_finite = true;
    return GWEN_OK;
}

static void tell_skipped(struct gw_learner *l) {
    l->bad++;
    if (l->bad >= GW_LEARNER_MAX_BAD) return; /* gw_learner_check_bad has more to say */
    gw_log(l->opts.log, GWEN_LOG_WARNING,
           "step %" PRIu64 " was left out: its gradients are not finite", l->step);
}

enum gwen_status gw_learner_check_bad(const struct gw_learner *l, struct gwen_err *err) {
    if (l->bad < GW_LEARNER_MAX_BAD) return GWEN_OK;
    return gw_fail(err, GWEN_ERR_NUMERIC,
                   "gradients were not finite in %u steps in a row, the last one is step %" PRIu64
                   ": lower the learning rate, or look at the data and the weights",
                   l->bad, l->step);
}

/* The optimizer's step, and the new weights into the model; the norm is not finite when it was left
 * out. */
static enum gwen_status update(struct gw_learner *l, struct gw_learner_report *r,
                               struct gwen_err *err) {
    const float *grads = gw_trainer_grads(l->trainer);
    if (l->optimizer->bf16 != NULL)
        return gw_optimizer_bf16_step(l->optimizer, grads, r->learning_rate, 1, &r->grad_norm, err);
    r->grad_norm = gw_optimizer_step(l->optimizer, grads, r->learning_rate, 1);
    if (!isfinite(r->grad_norm)) return GWEN_OK;
    const uint64_t start = gw_now_ns();
    const float *master = l->optimizer->master;
    enum gwen_status status = l->packer != NULL ? gw_pack_update(l->packer, master, err)
                                                : gw_lora_update(l->model, master, err);
    r->repack_s = gw_seconds_since(start);
    return status;
}

enum gwen_status gw_learner_step(struct gw_learner *l, struct gw_learner_report *report,
                                 struct gwen_err *err) {
    const uint64_t start = gw_now_ns();
    *report = (struct gw_learner_report){
        .learning_rate = gw_schedule_lr(&l->schedule, (size_t)l->step), .grad_norm = NAN};
    gw_trainer_finish(l->trainer);
    if (l->not_finite)
        l->optimizer->skipped++;
    else
        GW_TRY(update(l, report, err));
    report->skipped = !isfinite(report->grad_norm);
    l->not_finite = false;
    l->step++;
    gw_trainer_zero(l->trainer);
    report->optimizer_s = gw_seconds_since(start) - report->repack_s;
    if (report->skipped)
        tell_skipped(l);
    else
        l->bad = 0;
    return GWEN_OK;
}

/* --- the model's directory ------------------------------------------------------------------ */

/* Norms and biases are float32 in memory whatever the matrices are: saved so, the model that is
 * loaded is the one that was trained, to the last bit. */
static enum gw_dtype saved_dtype(const struct gw_learner *l, const struct gw_param *p) {
    return p->rank == 1 ? GW_DTYPE_F32 : l->model->dtype;
}

static enum gwen_status fill(void *ctx, size_t index, size_t first, size_t n, void *dst,
                             struct gwen_err *err) {
    const struct gw_learner *l = ctx;
    const struct gw_param *p = &l->optimizer->params->list[index];
    const float *values = l->optimizer->master + p->offset + first;
    (void)err;
    if (l->optimizer->bf16 != NULL) {
        gw_pack_read(l->model, index, first, n, dst);
        return GWEN_OK;
    }
    switch (saved_dtype(l, p)) {
    case GW_DTYPE_F16: l->model->kern.f32_to_f16(dst, values, n); break;
    case GW_DTYPE_BF16: l->model->kern.f32_to_bf16(dst, values, n); break;
    default: memcpy(dst, values, n * sizeof *values); break;
    }
    return GWEN_OK;
}

static enum gwen_status write_weights(const struct gw_learner *l, const char *path,
                                      struct gwen_err *err) {
    const struct gw_params *p = l->optimizer->params;
    const struct gw_meta meta = {"format", "pt"}; /* transformers wants to see it */
    struct gw_tensor *tensors = calloc(p->n, sizeof *tensors);
    if (tensors == NULL) return gw_nomem(err, p->n * sizeof *tensors, path);
    for (size_t i = 0; i < p->n; i++)
        tensors[i] = (struct gw_tensor){.name = p->list[i].name,
                                        .dtype = saved_dtype(l, &p->list[i]),
                                        .rank = p->list[i].rank,
                                        .shape = {p->list[i].shape[0], p->list[i].shape[1]}};
    enum gwen_status status =
        gw_safetensors_write(path, tensors, p->n, &meta, 1, fill, (void *)l, err);
    free(tensors);
    return status;
}

enum gwen_status gw_learner_write_model(const struct gw_learner *l, const char *dir,
                                        struct gwen_err *err) {
    struct gw_config c = l->model->cfg;
    struct gw_str path = {0};
    c.dtype = l->model->dtype;
    if (l->model->lora == NULL) GW_TRY(gw_config_write(&c, dir, err));
    GW_TRY(gw_tokenizer_copy(l->opts.model_dir, dir, err));
    if (l->model->lora != NULL) return gw_lora_save(l->model->lora, dir, err);
    enum gwen_status status = gw_path_join(&path, dir, "model.safetensors", err);
    if (status == GWEN_OK) status = write_weights(l, path.data, err);
    gw_str_free(&path);
    return status;
}

enum gwen_status gw_learner_save_model(void *ctx, const char *dir, struct gwen_err *err) {
    return gw_learner_write_model(ctx, dir, err);
}

uint64_t gw_learner_saved_bytes(const struct gw_train_config *c, const struct gw_config *cfg,
                                enum gw_dtype dtype) {
    const uint64_t model = gw_dtype_bytes(dtype), kept = dtype == GW_DTYPE_F32 ? 2 : 3;
    if (cfg->lora_width > 0) return (uint64_t)cfg->lora_floats * 3 * sizeof(float);
    const uint64_t state =
        c->optim == GW_OPTIM_ADAMW_BF16 ? 2 * sizeof(struct gwen_bf16) : kept * sizeof(float);
    return (uint64_t)gw_config_n_params(cfg) * (model + state);
}

/* golden_sft.c - see golden_sft.h. */
#include "golden_sft.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the batch ------------------------------------------------------------------------------ */

enum gwen_status golden_batch_open(const struct gw_safetensors *st, struct golden_batch *b,
                                   struct gwen_err *err) {
    struct golden_tensor ids, lengths, mask;
    GW_TRY(golden_get(st, "ids", GW_DTYPE_I32, 2, &ids, err));
    GW_TRY(golden_get(st, "lengths", GW_DTYPE_I32, 1, &lengths, err));
    GW_TRY(golden_get(st, "loss_mask", GW_DTYPE_I32, 2, &mask, err));
    *b = (struct golden_batch){.n = ids.shape[0], .width = ids.shape[1]};
    if (lengths.shape[0] != b->n || mask.shape[0] != b->n || mask.shape[1] != b->width)
        return gw_fail(err, GWEN_ERR_FORMAT, "ids, lengths, loss_mask: unexpected shape");
    b->groups = calloc(b->n, sizeof *b->groups);
    b->samples = calloc(b->n, sizeof *b->samples);
    b->logprobs = calloc(b->n * b->width, sizeof *b->logprobs);
    b->dlogprobs = calloc(b->n * b->width, sizeof *b->dlogprobs);
    b->want = calloc(b->n * b->width, sizeof *b->want);
    if (b->groups == NULL || b->samples == NULL || b->logprobs == NULL || b->dlogprobs == NULL ||
        b->want == NULL)
        return gw_nomem(err, b->n * b->width, "a batch");
    for (size_t i = 0; i < b->n; i++) {
        const size_t at = i * b->width, n = (size_t)lengths.i[i];
        if (lengths.i[i] < 2 || n > b->width)
            return gw_fail(err, GWEN_ERR_FORMAT, "lengths: %d is out of range", lengths.i[i]);
        for (size_t t = 1; t < n; t++) b->n_targets += b->want[at + t] = mask.i[at + t] != 0;
        b->samples[i] = (struct gw_train_sample){.ids = ids.i + at + 1,
                                                 .n = n - 1,
                                                 .want = b->want + at + 1,
                                                 .logprobs = b->logprobs + at + 1,
                                                 .dlogprobs = b->dlogprobs + at + 1};
        b->groups[i] = (struct gw_train_group){ids.i + at, 1, &b->samples[i], 1};
        b->longest = GW_MAX(b->longest, n);
        b->n_tokens += n;
    }
    return GWEN_OK;
}

void golden_batch_close(struct golden_batch *b) {
    free(b->groups);
    free(b->samples);
    free(b->logprobs);
    free(b->dlogprobs);
    free(b->want);
    *b = (struct golden_batch){0};
}

enum gwen_status golden_batch_trainer(const struct golden_batch *b, const struct golden_model *m,
                                      struct gw_trainer **out, struct gwen_err *err) {
    const struct gw_trainer_opts opts = {.micro_batch = 2,
                                         .max_rows = 2 * b->longest,
                                         .max_len = b->longest,
                                         .max_prompt = b->longest,
                                         .max_step_tokens = b->n_tokens,
                                         .recompute = GW_RECOMPUTE_ATTN,
                                         .share_prompts = true,
                                         .temperature = 1};
    return gw_trainer_create(m->model, m->pool, &opts, out, err);
}

/* The loss so far, and what it is divided by. */
struct sum {
    double logprobs, n_targets;
};

static void sft_loss(void *ctx, size_t group, size_t sample, const struct gw_train_sample *s) {
    struct sum *sum = ctx;
    (void)group, (void)sample;
    for (size_t i = 0; i < s->n; i++) {
        s->dlogprobs[i] = s->want[i] ? (float)(-1.0 / sum->n_targets) : 0;
        if (s->want[i]) sum->logprobs += (double)s->logprobs[i];
    }
}

enum gwen_status golden_batch_gradients(const struct golden_batch *b, struct gw_trainer *t,
                                        double *loss, struct gwen_err *err) {
    struct sum sum = {.n_targets = (double)b->n_targets};
    gw_trainer_zero(t);
    GW_TRY(gw_trainer_accumulate(t, b->groups, b->n, sft_loss, &sum, err));
    gw_trainer_finish(t);
    *loss = -sum.logprobs / sum.n_targets;
    return GWEN_OK;
}

/* --- the manifest --------------------------------------------------------------------------- */

static enum gwen_status number(struct gw_json_node n, const char *key, double *out,
                               struct gwen_err *err) {
    return gw_json_get_double(n, key, GW_JSON_REQUIRED, -1e9, 1e9, out, err);
}

/* "clip" is a number, or a sentence of the form "... min(1, NUMBER / (norm + 1e-6))". */
static enum gwen_status read_clip(struct gw_json_node optimizer, double *out,
                                  struct gwen_err *err) {
    struct gw_json_node clip;
    const char *text;
    if (!gw_json_find(optimizer, "clip", &clip))
        return gw_json_fail(optimizer, err, GWEN_ERR_FORMAT, "no \"clip\"");
    if (gw_json_is_number(clip)) return gw_json_as_double(clip, 0, 1e9, out, err);
    GW_TRY(gw_json_as_string(clip, &text, err));
    text = strstr(text, "min(1, ");
    if (text == NULL || (*out = strtod(text + 7, NULL)) <= 0)
        return gw_json_fail(clip, err, GWEN_ERR_FORMAT, "no norm to clip at");
    return GWEN_OK;
}

static enum gwen_status read_adamw(struct gw_json_node o, struct golden_steps *s,
                                   struct gwen_err *err) {
    struct gw_json_node betas;
    GW_TRY(number(o, "wd", &s->adamw.weight_decay, err));
    GW_TRY(number(o, "eps", &s->adamw.eps, err));
    GW_TRY(gw_json_get_array(o, "betas", GW_JSON_REQUIRED, &betas, err));
    if (gw_json_size(betas) != 2)
        return gw_json_fail(betas, err, GWEN_ERR_FORMAT, "two numbers wanted");
    GW_TRY(gw_json_as_double(gw_json_first(betas), 0, 1, &s->adamw.beta1, err));
    GW_TRY(gw_json_as_double(gw_json_next(gw_json_first(betas)), 0, 1, &s->adamw.beta2, err));
    return read_clip(o, &s->max_grad_norm, err);
}

enum gwen_status golden_steps_read(struct gw_json_node root, struct golden_steps *s,
                                   struct gwen_err *err) {
    struct gw_json_node optimizer, steps;
    *s = (struct golden_steps){0};
    GW_TRY(gw_json_get_object(root, "optimizer", GW_JSON_REQUIRED, &optimizer, err));
    GW_TRY(read_adamw(optimizer, s, err));
    GW_TRY(number(root, "loss_after_last_step", &s->loss_after, err));
    GW_TRY(gw_json_get_array(root, "steps", GW_JSON_REQUIRED, &steps, err));
    s->list = calloc(gw_json_size(steps) + 1, sizeof *s->list);
    if (s->list == NULL) return gw_nomem(err, gw_json_size(steps), "steps");
    for (struct gw_json_node i = gw_json_first(steps); i.v != NULL; i = gw_json_next(i)) {
        struct golden_step *step = &s->list[s->n++];
        GW_TRY(number(i, "lr", &step->lr, err));
        GW_TRY(number(i, "loss_before", &step->loss_before, err));
        GW_TRY(number(i, "grad_norm_before_clip", &step->grad_norm, err));
    }
    return GWEN_OK;
}

/* --- comparing ------------------------------------------------------------------------------ */

void golden_compare_number(const char *name, const char *what, double got, double wanted,
                           double tolerance, struct golden_counts *counts) {
    golden_case(counts, fabs(got - wanted) <= tolerance, "%s: %s is %.9g, not %.9g (+-%g)", name,
                what, got, wanted, tolerance);
}

/* PREFIX + the parameter's name, of as many elements; NULL, after a failed case, if there is none.
 */
static const float *reference(const char *name, const char *prefix, const struct gw_safetensors *st,
                              const struct gw_param *p, struct golden_counts *counts) {
    char full[512];
    snprintf(full, sizeof full, "%s%s", prefix, p->name);
    const struct gw_tensor *t = gw_safetensors_find(st, full);
    if (t != NULL && t->dtype == GW_DTYPE_F32 && t->n_elem == p->n) return t->data;
    golden_case(counts, false, "%s: no tensor %s of %zu floats", name, full, p->n);
    return NULL;
}

void golden_compare_gradients(const char *name, const char *prefix, const struct gw_safetensors *st,
                              const struct gw_params *params, const float *got, double tolerance,
                              struct golden_counts *counts) {
    double worst_of_all = 0;
    for (size_t i = 0; i < params->n; i++) {
        const struct gw_param *p = &params->list[i];
        const float *want = reference(name, prefix, st, p, counts);
        double largest = 0, worst;
        if (want == NULL) continue;
        for (size_t j = 0; j < p->n; j++) largest = GW_MAX(largest, fabs((double)want[j]));
        worst = golden_max_error(got + p->offset, want, p->n) / largest;
        if (!(worst <= worst_of_all)) worst_of_all = worst;
        golden_case(counts, worst <= tolerance, "%s: %s%s: relative error %g exceeds %g", name,
                    prefix, p->name, worst, tolerance);
    }
    printf("  %-22s %-28s max relative error %.2g (at most %.2g)\n", name, prefix, worst_of_all,
           tolerance);
}

void golden_compare_final(const char *name, const struct gw_safetensors *st,
                          const struct gw_params *params, const float *got, double rms,
                          double largest, struct golden_counts *counts) {
    double worst_rms = 0, worst = 0;
    for (size_t i = 0; i < params->n; i++) {
        const struct gw_param *p = &params->list[i];
        const float *want = reference(name, "final.", st, p, counts);
        double squares = 0;
        if (want == NULL) continue;
        for (size_t j = 0; j < p->n; j++) {
            const double d = (double)got[p->offset + j] - (double)want[j];
            squares += d * d;
        }
        const double own_rms = sqrt(squares / (double)p->n);
        const double own = golden_max_error(got + p->offset, want, p->n);
        golden_case(counts, own_rms <= rms && own <= largest,
                    "%s: final.%s: RMS error %g exceeds %g, or the largest one, %g, %g", name,
                    p->name, own_rms, rms, own, largest);
        if (!(own_rms <= worst_rms)) worst_rms = own_rms;
        if (!(own <= worst)) worst = own;
    }
    printf("  %-22s final parameters: RMS error %.2g (at most %.2g), largest %.2g (%.2g)\n", name,
           worst_rms, rms, worst, largest);
}
